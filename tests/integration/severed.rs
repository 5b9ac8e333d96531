//! Connections that end at any byte: a conversation of reads and writes of every kind, cut after each number of bytes on
//! either side of Larder.
//!
//! Afterwards whatever a client was told has happened is there, readers agree with the database, nothing of a partial
//! answer was kept (P5), and nothing stays shut (P9): what can hit hits again. `LARDER_CUTS` says how many cuts of each
//! kind are made, spread over the conversation; `LARDER_CUTS=100000` is every byte.

use crate::faults::{Relay, Toward};
use crate::ground::{SUPERUSER, create_database};
use crate::larder::{Larder, Setup};
use crate::wireclient::{Answered, Batch, Client, Login};
use std::io::Write;
use std::ops::Range;

const SCHEMA: &str = "
    CREATE TABLE counters (id int PRIMARY KEY, v int NOT NULL);
    INSERT INTO counters SELECT g, 0 FROM generate_series(1, 5) g;
    CREATE TABLE lines (n int);
    CREATE TABLE texts (id int, t text);
    INSERT INTO texts SELECT g, repeat('x', 100) FROM generate_series(1, 20) g;";
const TEXTS: &str = "SELECT id, t FROM texts";

/// What writes: each step and the counter that says that it was done.
const STEPS: usize = 5;

fn cuts(default: usize) -> usize {
    let given = std::env::var("LARDER_CUTS").ok();
    given.map_or(default, |cuts| cuts.parse().expect("a number of cuts"))
}

/// Numbers of bytes, spread over a part of a conversation.
fn spread(part: Range<usize>, cuts: usize) -> impl Iterator<Item = usize> {
    let step = (part.len() / cuts).max(1);
    // Not always at the same distance from the ends of messages.
    (0..)
        .map(move |n| part.start + n * step + n % step.min(7))
        .take_while(move |n| *n <= part.end)
}

fn increment(id: usize) -> String {
    format!("UPDATE counters SET v = v + 1 WHERE id = {id}")
}

/// One step of the conversation; true if the client was told that it is done.
fn step(client: &mut Client, step: usize) -> bool {
    let increment = increment(step);
    let told = match step {
        1 => client.query(&increment),
        2 => {
            let before = [client.query("BEGIN"), client.query(&increment)];
            if before.iter().any(|told| !told.tags().ends_with('Z')) {
                return false;
            }
            client.query("COMMIT")
        }
        3 => client.run(
            Batch::new()
                .unnamed(TEXTS, &[])
                .unnamed(&increment, &[])
                .unnamed("SELECT count(*) FROM lines", &[])
                .sync(),
        ),
        4 => {
            // A copy that is done and an update in one: as long as both are.
            client.send(Batch::new().query(&format!("{increment}; COPY lines FROM STDIN")));
            if !client.until(b'G').tags().ends_with('G') {
                return false;
            }
            client.run(Batch::new().copy_data(b"1\n").copy_data(b"2\n").copy_done())
        }
        _ => client.run(
            Batch::new()
                .unnamed("BEGIN", &[])
                .unnamed(&increment, &[])
                .unnamed("COMMIT", &[])
                .sync(),
        ),
    };
    told.tags().ends_with('Z') && told.error().is_none()
}

/// The counters and the number of lines.
fn state(client: &mut Client) -> Vec<i64> {
    let sql = "SELECT v FROM counters ORDER BY id";
    let counters = client.ok(sql).rows();
    let lines = client.ok("SELECT count(*) FROM lines").rows();
    let number = |row: &Vec<Option<String>>| row[0].as_ref().expect("a number").parse().unwrap();
    counters.iter().chain(&lines).map(number).collect()
}

struct Place {
    relay: Relay,
    larder: Larder,
    login: Login,
    direct: Login,
}

impl Place {
    fn new(name: &str, shared: bool) -> Place {
        create_database(name, SCHEMA);
        let relay = Relay::to(crate::ground::server_port());
        let direct = Login::new(crate::ground::server_port(), SUPERUSER, name);
        let user = if shared {
            let role = format!("{name}_role");
            let mut admin = direct.connect();
            admin.ok(&format!("DROP ROLE IF EXISTS {role}"));
            admin.ok(&format!(
                "CREATE ROLE {role} SUPERUSER LOGIN PASSWORD 'secret'"
            ));
            format!("{role}:secret")
        } else {
            SUPERUSER.to_owned()
        };
        let url = format!("postgres://{user}@127.0.0.1:{}/{name}", relay.port);
        let setup = Setup::new(&url).set("SERVER__WORKERS", "1");
        let larder = match shared {
            true => setup.set("POOL__MODE", "transaction"),
            false => setup,
        }
        .start();
        let login = match user.split_once(':') {
            Some((role, password)) => larder.login(role, name).password(password),
            None => larder.login(SUPERUSER, name),
        };
        larder.wait_hit(&login, TEXTS);
        Place {
            relay,
            larder,
            login,
            direct,
        }
    }

    /// A client whose upstream connection nobody has had before.
    fn fresh(&self, number: usize) -> Login {
        let name = format!("cut{number}");
        self.login.clone().parameter("application_name", &name)
    }

    /// Whatever was broken: `least` is what must be there.
    fn check(&self, what: &str, least: &[i64]) {
        let mut direct = self.direct.connect();
        for _ in 0..2 {
            let before = state(&mut direct);
            let mut client = self.login.connect();
            let seen = state(&mut client);
            let last = client.larder_last();
            let texts = client.ok(TEXTS);
            let after = state(&mut direct);
            for (n, seen) in seen.iter().enumerate() {
                assert!(
                    before[n] >= least[n],
                    "{what}: {n} was told to be {}, is {before:?}",
                    least[n]
                );
                assert!(
                    before[n] <= *seen && *seen <= after[n],
                    "{what}: counter {n} shows {seen}, it was {} before and {} after ({last})",
                    before[n],
                    after[n]
                );
            }
            assert_eq!(texts.rows().len(), 20, "{what}");
        }
        for sql in [
            TEXTS,
            "SELECT v FROM counters ORDER BY id",
            "SELECT count(*) FROM lines",
        ] {
            self.larder.wait_hit(&self.login, sql);
        }
        // What hits is what is there.
        assert_eq!(
            state(&mut self.login.connect()),
            state(&mut direct),
            "{what}"
        );
    }
}

fn severed(name: &str, shared: bool, way: Toward) {
    let place = Place::new(name, shared);
    let mut told = vec![0; STEPS + 1];
    let mut lost = 0;
    let mut number = 0;
    // Gives how long the login and the whole were.
    let mut run = |after: usize| {
        number += 1;
        let cut = place.relay.cut_next(way, after);
        let mut login = 0;
        if let Ok(mut client) = place.fresh(number).try_connect() {
            login = cut.passed(way);
            let _ = client.query(TEXTS);
            for id in 1..=STEPS {
                if !step(&mut client, id) {
                    println!("{after}: step {id} was lost");
                    lost += 1;
                    break;
                }
                told[id - 1] += 1;
                told[STEPS] += if id == 4 { 2 } else { 0 };
            }
        }
        place.check(&format!("cut toward {way:?} after {after} bytes"), &told);
        (login, cut.passed(way))
    };
    run(usize::MAX); // what hits from now on does not pass any more
    let (login, all) = run(usize::MAX);
    println!("{name}: {login} bytes of the login, {all} in all");
    assert!(0 < login && login < all, "{login}, {all}: nothing was said");
    let during = spread(0..login, cuts(3));
    for after in during.chain(spread(login..all, cuts(10))) {
        run(after);
    }
    assert!(lost > 3, "{lost} of them in the middle");
}

#[test]
fn p5_p9_an_upstream_that_is_cut_at_any_byte() {
    severed("severed_answers", false, Toward::Client);
}

#[test]
fn p5_p9_a_pooled_upstream_that_is_cut_at_any_byte() {
    severed("severed_pooled", true, Toward::Client);
}

#[test]
fn p5_p9_requests_that_are_cut_at_any_byte() {
    severed("severed_requests", false, Toward::Server);
}

/// The client leaves in the middle of its own words, having read nothing.
#[test]
fn p5_p9_a_client_that_is_cut_at_any_byte() {
    for shared in [false, true] {
        let name = if shared {
            "severed_guest"
        } else {
            "severed_client"
        };
        let place = Place::new(name, shared);
        let words = Batch::new()
            .query(&increment(1))
            .query("BEGIN")
            .query(&increment(2))
            .query("COMMIT")
            .unnamed(TEXTS, &[])
            .unnamed(&increment(3), &[])
            .sync()
            .unnamed("BEGIN", &[])
            .unnamed(&increment(5), &[])
            .unnamed("COMMIT", &[])
            .sync()
            .query(&format!("{}; COPY lines FROM STDIN", increment(4)))
            .copy_data(b"1\n")
            .copy_data(b"2\n")
            .copy_done()
            .query(TEXTS)
            .0;
        let least = vec![0; STEPS + 1];
        for after in spread(0..words.len(), cuts(12)) {
            let mut client = place.login.connect();
            let _ = client.sock.write_all(&words[..after]);
            drop(client);
            place.check(&format!("a client gone after {after} bytes"), &least);
        }
        let mut direct = place.direct.connect();
        assert!(state(&mut direct)[0] > 0, "something was done");
    }
}
