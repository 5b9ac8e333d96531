//! A long run: mixed load through one Larder in front of one PostgreSQL, with everything going wrong that goes wrong.
//!
//! * Reads in every protocol, inside transactions and out, by clients that Larder lets in (pooled by transaction) and by
//!   clients whose login it passes on; writes whose effect every later read must show (`accounts`, `actors`).
//! * Meanwhile backends are terminated, Larder and PostgreSQL are told to read their configuration again, columns and
//!   indexes come and go, rights are given and taken, clients leave in the middle of a message, and answers are evicted:
//!   those that are asked for need ten times the memory there is.
//! * A share of the hits is compared with the database (`verify.sample`), nobody writes past Larder.
//!
//! In the end nothing was stale, torn, back in time, forbidden or found wrong by the self-check; memory has stopped
//! growing; nothing is shut, nothing is left connected, and both sides say the same.
//!
//! `make soak` runs it for SOAK_MINUTES (30). It is not part of `cargo test`.

#[path = "../support/accounts.rs"]
mod accounts;
#[path = "../support/ground.rs"]
mod ground;
#[path = "../support/larder.rs"]
mod larder;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/wireclient.rs"]
mod wireclient;

mod actors;

use actors::{PAGES, Soak};
use ground::{SUPERUSER, create_database_on};
use larder::{Larder, Setup};
use postgres::{Options, Postgres};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use wireclient::{Answered, Login};

const DATABASE: &str = "soak";
/// Answers may take so much: those that are asked for need more than ten times of it.
const MEMORY: &str = "700kB";
/// What memory may grow by after the first half, over what it was in the second quarter.
const GROWTH: f64 = 1.10;
const SLACK: usize = 4 << 20;

/// The server, Larder, and who comes.
struct House {
    server: Postgres,
    larder: Larder,
}

impl House {
    fn new() -> House {
        let server = Options::new()
            .hba("host all app 127.0.0.1/32 scram-sha-256")
            .start();
        create_database_on(server.port(), DATABASE, accounts::SCHEMA);
        let mut direct = Login::new(server.port(), SUPERUSER, DATABASE).connect();
        direct.ok(&format!(
            "SET password_encryption = 'scram-sha-256';
             CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret';
             CREATE ROLE soak_reader LOGIN;
             CREATE TABLE pages (id int PRIMARY KEY, version bigint NOT NULL, body text NOT NULL);
             INSERT INTO pages SELECT g, 0, rpad('', {body}, '0/') FROM generate_series(0, {last}) g;
             CREATE TABLE scratch (id serial PRIMARY KEY, word text);
             CREATE TABLE secrets (id int PRIMARY KEY, word text);
             INSERT INTO secrets VALUES (1, 'open')",
            body = actors::BODY,
            last = PAGES - 1,
        ));
        let url = format!(
            "postgres://app:secret@127.0.0.1:{}/{DATABASE}",
            server.port()
        );
        let larder = Setup::new(&url)
            .set("POOL__MODE", "transaction")
            .set("CACHE__MEMORY", MEMORY)
            .set("CACHE__MAX_ANSWER", "64kB")
            .set("CACHE__TTL", "5s")
            .set("VERIFY__SAMPLE", "0.05")
            .set("VERIFY__OUTSIDE_WRITERS", "false")
            .start();
        House { server, larder }
    }

    /// A client whose login Larder passes on, or one that it lets in.
    fn login(&self, guest: bool) -> Login {
        match guest {
            true => self.larder.login("app", DATABASE).password("secret"),
            false => self.larder.login(SUPERUSER, DATABASE),
        }
    }

    fn direct(&self) -> Login {
        Login::new(self.server.port(), SUPERUSER, DATABASE)
    }

    fn verified(&self, result: &str) -> u64 {
        let labels = [("result", result)];
        self.larder.metric("larder_verify_total", &labels) as u64
    }

    fn evicted(&self) -> u64 {
        self.larder.metric("larder_cache_evictions_total", &[]) as u64
    }

    /// One line of the table.
    fn line(&self, soak: &Soak, since: Instant) -> usize {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let resident = self.larder.resident();
        let [hits, misses] = ["hit", "miss"].map(|outcome| self.larder.outcome(outcome));
        println!(
            "| {:>6} | {:>9} | {:>7} | {:>5.1} % | {:>7} | {:>5} | {:>5} | {:>5} | {:>6} | {:>8} | {:>7} | {:>7} | {:>9} | {:>7.1} |",
            since.elapsed().as_secs(),
            count(&soak.reads),
            count(&soak.writes),
            100.0 * hits / (hits + misses).max(1.0),
            count(&soak.lost),
            count(&soak.killed),
            count(&soak.reloads),
            count(&soak.changes),
            count(&soak.quits),
            self.evicted(),
            self.verified("same"),
            self.verified("skipped"),
            self.verified("different"),
            resident as f64 / f64::from(1 << 20),
        );
        resident
    }

    /// When nobody asks any more, all is as it should be.
    fn settles(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let clients = || self.larder.metric("larder_client_connections", &[]);
        while clients() > 0.0 {
            let left = clients();
            assert!(Instant::now() < deadline, "{left} clients are left");
            std::thread::sleep(Duration::from_millis(100));
        }
        for guest in [false, true] {
            for sql in [
                "SELECT * FROM both_rows ORDER BY id",
                "SELECT count(*) FROM scratch",
            ] {
                let table = self.login(guest);
                self.larder.wait_hit(&self.login(guest), sql);
                let through = table.connect().ok(sql).rows();
                assert_eq!(through, self.direct().connect().ok(sql).rows(), "{sql}");
            }
        }
        let mut clients: Vec<_> = (0..40).map(|n| self.login(n % 2 == 0).connect()).collect();
        for (id, client) in clients.iter_mut().enumerate() {
            client.ok(&format!("SELECT body FROM pages WHERE id = {id}"));
        }
    }
}

fn median(mut of: Vec<usize>) -> usize {
    of.sort_unstable();
    of[of.len() / 2]
}

#[test]
#[ignore = "runs for half an hour: make soak"]
fn nothing_goes_wrong_for_a_long_time() {
    let minutes = std::env::var("SOAK_MINUTES").ok();
    let minutes: f64 = minutes.map_or(30.0, |text| text.parse().expect("SOAK_MINUTES"));
    let duration = Duration::from_secs_f64(minutes * 60.0);
    let house = House::new();
    house
        .larder
        .wait_hit(&house.login(false), "SELECT count(*) FROM rows_a");
    println!(
        "PostgreSQL on {}, Larder on {}",
        house.server.port(),
        house.larder.port
    );
    let soak = Soak::default();
    println!(
        "|  s     |   reads   | writes  | hits    |  lost   | kills | loads |  DDL  | leaves | evicted  |  same   | skipped | different | RSS MB  |"
    );
    println!(
        "|--------|-----------|---------|---------|---------|-------|-------|-------|--------|----------|---------|---------|-----------|---------|"
    );
    let mut resident = Vec::new();
    std::thread::scope(|scope| {
        actors::start(scope, &soak, &house);
        let began = Instant::now();
        // Even a short run has enough lines for a median of each quarter.
        let every = (duration / 40).min(Duration::from_secs(20));
        while began.elapsed() < duration && soak.running() {
            std::thread::sleep(every);
            resident.push(house.line(&soak, began));
            if house.verified("different") > 0 {
                soak.violated("the self-check has found a wrong answer".into());
            }
        }
        soak.stop();
    });
    let violations = soak.violations();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    house.settles();
    assert_eq!(house.verified("different"), 0, "the self-check");
    assert_eq!(
        house.larder.metric("larder_verify_mismatch_total", &[]),
        0.0
    );
    // A run in which nothing happens finds nothing.
    for (what, count) in [
        ("reads", soak.reads.into_inner()),
        ("writes", soak.writes.into_inner()),
        ("lost", soak.lost.into_inner()),
        ("kills", soak.killed.into_inner()),
        ("reloads", soak.reloads.into_inner()),
        ("DDL", soak.changes.into_inner()),
        ("leaves", soak.quits.into_inner()),
        ("evictions", house.evicted()),
        ("compared", house.verified("same")),
    ] {
        assert!(count > 0, "no {what}: it was not tested");
    }
    let quarter = resident.len() / 4;
    assert!(quarter > 1, "too short to say anything of memory");
    let warm = median(resident[quarter..2 * quarter].to_vec());
    let end = median(resident[3 * quarter..].to_vec());
    let mb = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "memory: {:.1} MB in the second quarter, {:.1} MB in the last",
        mb(warm),
        mb(end)
    );
    assert!(
        end as f64 <= warm as f64 * GROWTH + SLACK as f64,
        "memory grows: {warm} bytes in the second quarter, {end} in the last"
    );
}
