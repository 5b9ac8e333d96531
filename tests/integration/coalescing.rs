//! Equal misses at the same moment: asked once, heard by all; and who waits is freed, whatever becomes of the one that
//! asks.
//!
//! A lock on the table, taken past Larder, holds the one that asks for as long as a test likes.

use crate::ground::{Ground, SUPERUSER, create_database_on, eventually};
use crate::larder::{Larder, Setup};
use crate::postgres::Options;
use crate::wireclient::{Answered, Batch, Bind, Client, Login, Transcript, cancel};
use std::time::Duration;

const SCHEMA: &str = "
    CREATE TABLE t (n int PRIMARY KEY);
    CREATE TABLE v (version int);
    INSERT INTO t SELECT g FROM generate_series(1, 1500) g;
    INSERT INTO v VALUES (1);";
const READ: &str = "SELECT count(*), sum(x.n * y.n % 7) FROM t x, t y WHERE x.n < 50";

fn setup(wait: &str) -> impl FnOnce(Setup) -> Setup {
    let wait = wait.to_owned();
    move |setup| setup.set("CACHE__COALESCE_WAIT", &wait)
}

fn coalesced(larder: &Larder, result: &str) -> f64 {
    larder.metric("larder_coalesced_total", &[("result", result)])
}

fn asked(larder: &Larder) -> f64 {
    larder.metric("larder_upstream_queries_total", &[])
}

/// Locks the table past Larder.
fn lock(ground: &Ground) -> Client {
    let mut holder = ground.direct();
    holder.ok("BEGIN");
    holder.ok("LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    holder
}

/// The backends that wait for the lock, once there are so many.
fn blocked(ground: &Ground, count: usize) -> Vec<String> {
    let mut direct = ground.direct();
    let sql =
        "SELECT coalesce(string_agg(pid::text, ' ' ORDER BY query_start), '') FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let mut pids: Vec<String> = Vec::new();
    eventually(&format!("{count} wait for the lock"), || {
        let found = direct.ok(sql).value().unwrap_or_default();
        pids = found.split_whitespace().map(str::to_owned).collect();
        pids.len() == count
    });
    pids
}

fn extended() -> Batch {
    let batch = Batch::new().parse("", READ, &[]).bind(Bind::default());
    batch.describe_portal("").execute("", 0).sync()
}

fn clients(ground: &Ground, count: usize) -> Vec<Client> {
    (0..count).map(|_| ground.through()).collect()
}

#[test]
fn p7_equal_misses_are_asked_once_and_all_hear_the_same() {
    let ground = Ground::with("coalesce_once", SCHEMA, setup("60s"));
    ground.warm("v");
    let mut direct = ground.direct();
    let (simple, unit) = (direct.query(READ), direct.run(extended()));
    let mut clients = clients(&ground, 50);
    let mut holder = lock(&ground);
    let before = asked(&ground.larder);
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(if n % 2 == 0 {
            Batch::new().query(READ)
        } else {
            extended()
        });
    }
    assert_eq!(blocked(&ground, 2).len(), 2, "one for each protocol");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(blocked(&ground, 2).len(), 2);
    assert_eq!(asked(&ground.larder) - before, 2.0);
    holder.ok("COMMIT");
    for (n, client) in clients.iter_mut().enumerate() {
        let expected = if n % 2 == 0 { &simple } else { &unit };
        assert_eq!(&client.until_ready(), expected, "client {n}");
    }
    assert_eq!(asked(&ground.larder) - before, 2.0);
    assert_eq!(coalesced(&ground.larder, "shared"), 48.0);
    assert_eq!(coalesced(&ground.larder, "freed"), 0.0);
    let hits = clients.iter_mut().map(Client::larder_last);
    assert_eq!(hits.filter(|last| last == "hit").count(), 48);
}

#[test]
fn p1_a_waiter_after_a_write_never_hears_what_was_before_it() {
    let ground = Ground::with("coalesce_write", SCHEMA, setup("60s"));
    ground.warm("v");
    let read = "SELECT max(version), sum(x.n * y.n % 7) FROM v, t x, t y";
    let version = |answer: &Transcript| -> i32 { answer.value().unwrap().parse().unwrap() };
    let mut writer = ground.through();
    for round in 2..8 {
        let mut before = clients(&ground, 6);
        let mut after = clients(&ground, 6);
        for client in &mut before {
            client.send(Batch::new().query(read));
        }
        std::thread::sleep(Duration::from_millis(40 * (round % 3)));
        writer.ok(&format!("UPDATE v SET version = {round}"));
        for client in &mut after {
            client.send(Batch::new().query(read));
        }
        let round = i32::try_from(round).unwrap();
        for client in &mut before {
            let shown = version(&client.until_ready());
            assert!(shown == round || shown == round - 1, "{shown} in {round}");
        }
        for client in &mut after {
            assert_eq!(version(&client.until_ready()), round);
        }
    }
}

#[test]
fn p8_who_waits_is_answered_when_the_one_that_asks_is_lost() {
    let ground = Ground::with("coalesce_lost", SCHEMA, setup("60s"));
    ground.warm("v");
    let expected = ground.direct().query(READ);
    let mut clients = clients(&ground, 10);
    let mut holder = lock(&ground);
    for client in &mut clients[..3] {
        client.send(Batch::new().query(READ));
        // In this order.
        std::thread::sleep(Duration::from_millis(50));
    }
    let leader = blocked(&ground, 1);
    let mut direct = ground.direct();
    direct.ok(&format!("SELECT pg_terminate_backend({})", leader[0]));
    let mut lost = clients.remove(0);
    assert!(lost.until(b'E').error().is_some() && lost.closed());
    // One of the others asks now; its client leaves.
    let next = blocked(&ground, 1);
    assert_ne!(next, leader);
    eventually("the others wait again", || {
        coalesced(&ground.larder, "freed") == 1.0
    });
    for client in &mut clients[2..] {
        client.send(Batch::new().query(READ));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(blocked(&ground, 1), next);
    holder.ok("COMMIT");
    for client in &mut clients {
        assert_eq!(client.until_ready(), expected);
    }
    assert_eq!(coalesced(&ground.larder, "shared"), 8.0);

    let mut holder = lock(&ground);
    let other = "SELECT count(*) FROM t WHERE n > 3";
    clients[0].send(Batch::new().query(other));
    let leader = blocked(&ground, 1);
    for client in &mut clients[1..] {
        client.send(Batch::new().query(other));
    }
    std::thread::sleep(Duration::from_millis(100));
    drop(clients.remove(0));
    // PostgreSQL itself notices that a client has left only later.
    let both = blocked(&ground, 2);
    assert!(both.contains(&leader[0]));
    holder.ok("COMMIT");
    for client in &mut clients {
        assert_eq!(client.until_ready().value().unwrap(), "1497");
    }
}

#[test]
fn p8_nobody_waits_for_a_slow_one_longer_than_the_limit() {
    let ground = Ground::with("coalesce_slow", SCHEMA, setup("200ms"));
    ground.warm("v");
    let expected = ground.direct().query(READ);
    let mut clients = clients(&ground, 5);
    let mut holder = lock(&ground);
    for client in &mut clients {
        client.send(Batch::new().query(READ));
    }
    blocked(&ground, 5);
    holder.ok("COMMIT");
    for client in &mut clients {
        assert_eq!(client.until_ready(), expected);
    }
    assert_eq!(coalesced(&ground.larder, "freed"), 4.0);
}

#[test]
fn p7_a_cancel_request_ends_a_wait_as_it_ends_a_query() {
    let ground = Ground::with("coalesce_cancel", SCHEMA, setup("60s"));
    ground.warm("v");
    let mut clients = clients(&ground, 3);
    let mut holder = lock(&ground);
    clients[0].send(Batch::new().query(READ));
    blocked(&ground, 1);
    clients[1].send(Batch::new().query(READ));
    clients[2].send(Batch::new().query("BEGIN"));
    clients[2].until_ready();
    clients[2].send(extended());
    std::thread::sleep(Duration::from_millis(100));
    for (n, status) in [(1, b'I'), (2, b'E')] {
        cancel(ground.larder.port, clients[n].key);
        let told = clients[n].until_ready();
        assert_eq!(told.sqlstate().as_deref(), Some("57014"), "{}", told.tags());
        assert_eq!(told.last().unwrap().body, [status]);
    }
    clients[2].ok("ROLLBACK");
    assert_eq!(blocked(&ground, 1).len(), 1, "the leader waits on");
    holder.ok("COMMIT");
    clients[0].until_ready();
    // A request behind an answer from memory is nobody's.
    assert!(clients[1].ok(READ).error().is_none());
    cancel(ground.larder.port, clients[1].key);
    assert!(clients[1].ok("SELECT count(*) FROM v").error().is_none());
}

#[test]
fn clients_let_in_wait_without_a_connection() {
    let server = Options::new()
        .hba("host all app 127.0.0.1/32 scram-sha-256")
        .start();
    create_database_on(server.port(), "coalesce_pool", SCHEMA);
    let mut direct = Login::new(server.port(), SUPERUSER, "coalesce_pool").connect();
    direct.ok("SET password_encryption = 'scram-sha-256'; CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'");
    let url = format!(
        "postgres://app:secret@127.0.0.1:{}/coalesce_pool",
        server.port()
    );
    let change = setup("60s");
    let larder = change(Setup::new(&url).set("POOL__MODE", "transaction")).start();
    let login = larder.login("app", "coalesce_pool").password("secret");
    larder.wait_hit(&login, "SELECT count(*) FROM v");
    let lent = || larder.metric("larder_upstream_connections", &[("state", "client")]);
    eventually("all go back", || lent() == 0.0);
    direct.ok("BEGIN");
    direct.ok("LOCK TABLE t IN ACCESS EXCLUSIVE MODE");
    let mut clients: Vec<Client> = (0..20).map(|_| login.connect()).collect();
    let before = asked(&larder);
    for client in &mut clients {
        client.send(Batch::new().query(READ));
    }
    eventually("one asks", || asked(&larder) - before == 1.0);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!((asked(&larder) - before, lent()), (1.0, 1.0));
    // One that is cancelled needs a connection to be told so.
    let last = clients.len() - 1;
    let mut waits = clients.remove(last);
    cancel(larder.port, waits.key);
    assert_eq!(waits.until_ready().sqlstate().as_deref(), Some("57014"));
    eventually("it goes back", || lent() == 1.0);
    direct.ok("COMMIT");
    let first = clients[0].until_ready();
    assert!(first.error().is_none());
    for client in &mut clients[1..] {
        assert_eq!(client.until_ready(), first);
    }
    assert_eq!(coalesced(&larder, "shared"), 18.0);
    eventually("all go back", || lent() == 0.0);
}
