//! Clients that leave, at every point of their session, and a Larder that stops: nothing is left, nothing is lost.

use crate::ground::{Ground, SUPERUSER, create_database_on, eventually};
use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres, Stop};
use crate::wireclient::{Answered, Batch, Client, Login};
use std::io::Write;
use std::time::Duration;

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 50) g;";
const READ: &str = "SELECT name FROM items WHERE id = 4";
const NAME: &str = "departures";

/// A server that asks for passwords, and a Larder that lets `app` in itself and relays `someone`.
fn guarded(change: impl FnOnce(Setup) -> Setup) -> (Postgres, Larder, Login, Login) {
    let server = Options::new()
        .hba("host all app,someone 127.0.0.1/32 scram-sha-256")
        .start();
    create_database_on(server.port(), NAME, SCHEMA);
    Login::new(server.port(), SUPERUSER, NAME).connect().ok(
        "CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'; CREATE ROLE someone SUPERUSER LOGIN PASSWORD 'hidden'",
    );
    let url = format!("postgres://app:secret@127.0.0.1:{}/{NAME}", server.port());
    let larder = change(Setup::new(&url)).start();
    let guest = larder.login("app", NAME).password("secret");
    let relayed = larder.login("someone", NAME).password("hidden");
    larder.wait_hit(&guest, READ);
    larder.wait_hit(&relayed, READ);
    (server, larder, guest, relayed)
}

fn descriptors(larder: &Larder) -> usize {
    let path = format!("/proc/{}/fd", larder.pid());
    std::fs::read_dir(path).expect("a running process").count()
}

/// `LARDER_DEPARTURES` clients, or so many.
fn departures(default: usize) -> usize {
    let given = std::env::var("LARDER_DEPARTURES").ok();
    given.map_or(default, |given| given.parse().expect("a number of clients"))
}

#[test]
fn p8_clients_that_leave_during_their_login_leave_nothing() {
    let (server, larder, guest, relayed) = guarded(|setup| setup);
    // Two rounds: what the first has made once, such as the threads' buffers, stays.
    let mut before = None;
    for round in 0..2 {
        for number in 0..departures(500) {
            let login = if number % 2 == 0 { &guest } else { &relayed };
            let startup = login.startup();
            let phase = number / 2 % 8;
            if phase < 7 {
                let mut sock = login.dial().expect("Larder listens");
                let part = match phase {
                    0 => 0,
                    1 => 3,
                    2 => startup.len() / 2,
                    _ => startup.len(),
                };
                let _ = sock.write_all(&startup[..part]);
                if phase >= 4 {
                    let mut client = Client::over(sock);
                    // AuthenticationSASL, and an answer that is half one, wrong, or only begun.
                    client.frame();
                    let first = b"SCRAM-SHA-256\0\0\0\0\x20n,,n=,r=abcdefghijklmnopqrstuvwx";
                    match phase {
                        5 => client.send(Batch(b"p\0\0\0".to_vec())),
                        6 => {
                            client.send(Batch::new().raw(b'p', first));
                            client.frame();
                        }
                        _ => {}
                    }
                }
            } else {
                let mut client = login.connect();
                client.send(Batch(Batch::new().query(READ).0[..number % 20].to_vec()));
            }
        }
        eventually("all are gone", || {
            larder.metric("larder_client_connections", &[]) == 0.0
        });
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'someone'";
        let mut direct = Login::new(server.port(), SUPERUSER, NAME).connect();
        eventually("their backends are gone", || {
            direct.ok(sql).value().as_deref() == Some("0")
        });
        let now = (descriptors(&larder), larder.resident());
        println!("round {round}: {now:?}");
        if let Some((descriptors, resident)) = before.replace(now) {
            assert!(
                now.0 <= descriptors + 4,
                "{} descriptors, {} before",
                now.0,
                descriptors
            );
            assert!(
                now.1 < resident + (4 << 20),
                "{} bytes, {resident} before",
                now.1
            );
        }
    }
    larder.wait_hit(&guest, READ);
    larder.wait_hit(&relayed, READ);
}

#[test]
fn a_client_that_leaves_while_it_waits_takes_nobodys_turn() {
    let (_server, larder, guest, _) = guarded(|setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("POOL__POOL_SIZE", "1")
            .set("SERVER__WORKERS", "1")
    });
    let update = "UPDATE items SET name = name || '+' WHERE id = 6";
    for round in 0..20 {
        let mut holder = guest.connect();
        holder.ok("BEGIN");
        holder.ok(update);
        let mut waiters: Vec<_> = (0..6).map(|_| guest.connect()).collect();
        for waiter in &mut waiters {
            waiter.send(Batch::new().query("UPDATE items SET name = 'w' WHERE id = 7"));
        }
        std::thread::sleep(Duration::from_millis(if round < 3 { 50 } else { 5 }));
        // The connection ends with its holder, or becomes free, in the moment in which every other waiter leaves.
        let leaving: Vec<_> = (0..3).map(|n| waiters.remove(n)).collect();
        if round % 2 == 0 {
            drop(holder);
            drop(leaving);
        } else {
            holder.send(Batch::new().query("COMMIT"));
            drop(leaving);
        }
        for waiter in &mut waiters {
            let told = waiter.until_ready();
            assert_eq!(told.complete(), ["UPDATE 1"], "round {round}: {told:?}");
        }
    }
    larder.wait_hit(&guest, READ);
}

#[test]
fn clients_are_not_ended_for_an_outage_in_which_they_cannot_be_asked_for() {
    let (mut server, larder, guest, _) = guarded(|setup| {
        setup
            .set("AUTH__RECHECK", "1s")
            .set("POOL__MODE", "transaction")
    });
    let mut client = guest.connect();
    assert_eq!(client.ok(READ).value().as_deref(), Some("item 4"));
    server.stop(Stop::Fast);
    std::thread::sleep(Duration::from_secs(2)); // asked for at least once
    let told = client.query("SHOW larder.last");
    assert!(told.error().is_none(), "{told:?}");
    server.start_again();
    larder.wait_hit(&guest, READ);
    assert_eq!(client.ok(READ).value().as_deref(), Some("item 4"));
    // Now it can be, and the answer is no.
    Login::new(server.port(), SUPERUSER, NAME)
        .connect()
        .ok("ALTER ROLE app NOLOGIN");
    let mut idle = client;
    eventually("the session ends", || {
        idle.send(Batch::new().query("SHOW larder.last"));
        idle.frame().tag == b'E' || {
            idle.until_ready();
            false
        }
    });
}

/// SIGTERM: who is in a transaction may end it, held back or not; who is not is told at once.
#[test]
fn a_larder_that_stops_lets_transactions_end() {
    let (server, mut larder, guest, relayed) = guarded(|setup| {
        setup
            .set("SERVER__DRAIN", "10s")
            .set("POOL__MODE", "transaction")
    });
    let mut direct = Login::new(server.port(), SUPERUSER, NAME).connect();
    let mut held = Vec::new();
    for (n, login) in [&guest, &relayed].into_iter().enumerate() {
        // Nothing of it is known upstream.
        let mut lazy = login.connect();
        lazy.ok("BEGIN");
        lazy.ok(READ);
        // It is, and has written.
        let mut real = login.connect();
        real.ok("BEGIN");
        real.ok(&format!(
            "UPDATE items SET name = 'drained' WHERE id = {}",
            20 + n
        ));
        held.push((lazy, real, login.connect()));
    }
    larder.signal("TERM");
    for (_, _, idle) in &mut held {
        let told = idle.frame_within(Duration::from_secs(5)).expect("an end");
        assert_eq!([told].sqlstate().as_deref(), Some("57P01"));
    }
    for (n, (lazy, real, _)) in held.iter_mut().enumerate() {
        assert_eq!(lazy.ok(READ).value().as_deref(), Some("item 4"));
        lazy.ok(&format!(
            "UPDATE items SET name = 'late' WHERE id = {}",
            30 + n
        ));
        for client in [lazy, real] {
            let told = client.query("COMMIT");
            assert_eq!(told.complete(), ["COMMIT"], "{told:?}");
            let told = client.frame();
            assert_eq!([told].sqlstate().as_deref(), Some("57P01"));
            assert!(client.closed());
        }
    }
    assert!(larder.wait(Duration::from_secs(8)).is_some(), "it stops");
    let count = "SELECT count(*) FROM items WHERE name IN ('drained', 'late')";
    assert_eq!(direct.ok(count).value().as_deref(), Some("4"));
}

/// Past its time what is left is rolled back, and told so.
#[test]
fn a_larder_that_may_not_wait_longer_ends_transactions() {
    let (server, mut larder, guest, relayed) = guarded(|setup| setup.set("SERVER__DRAIN", "1s"));
    let mut held: Vec<_> = [&guest, &relayed].map(Login::connect).into();
    for client in &mut held {
        client.ok("BEGIN");
        client.ok("INSERT INTO items SELECT max(id) + 1, 'no' FROM items");
        client.ok("ROLLBACK");
        client.ok("BEGIN");
        client.ok("UPDATE items SET name = 'no' WHERE id > 10");
        client.ok("ROLLBACK");
        client.ok("BEGIN");
    }
    held[0].ok("UPDATE items SET name = 'no' WHERE id = 11");
    held[1].ok("UPDATE items SET name = 'no' WHERE id = 12");
    larder.signal("TERM");
    for client in &mut held {
        let told = client
            .frame_within(Duration::from_secs(10))
            .expect("an end");
        assert_eq!([told].sqlstate().as_deref(), Some("57P01"));
        assert!(client.closed());
    }
    assert!(larder.wait(Duration::from_secs(8)).is_some(), "it stops");
    let mut direct = Login::new(server.port(), SUPERUSER, NAME).connect();
    let count = "SELECT count(*) FROM items WHERE name = 'no'";
    eventually("they are rolled back", || {
        direct.ok(count).value().as_deref() == Some("0")
    });
}

/// A client in a transaction of hits is gone: nothing of it was ever upstream, and nothing is left.
#[test]
fn p9_who_leaves_a_held_transaction_leaves_nothing() {
    let ground = Ground::new("departures_held", SCHEMA);
    ground.warm("items");
    ground.larder.wait_hit(&ground.login(), READ);
    for words in [
        vec!["BEGIN"],
        vec!["BEGIN", READ],
        vec!["BEGIN", "SAVEPOINT a", READ, "SAVEPOINT b"],
        vec!["BEGIN", "SET LOCAL work_mem = '5MB'", READ],
    ] {
        let mut client = ground.through();
        for word in &words {
            client.ok(word);
        }
        drop(client);
        ground.larder.wait_hit(&ground.login(), READ);
    }
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'departures_held' AND state LIKE 'idle in%'";
    let mut direct = ground.direct();
    eventually("nobody is in a transaction", || {
        direct.ok(sql).value().as_deref() == Some("0")
    });
}
