//! Reads inside transactions: hits while READ COMMITTED is clean, the database's own answers otherwise.

use crate::faults::{Fault, Relay};
use crate::ground::{Ground, SUPERUSER, assert_same, create_database, server_port, upstream};
use crate::larder::Setup;
use crate::wireclient::{Answered, Batch, Client, Login, PATIENCE, Transcript};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 20) g;
    CREATE TABLE others (id int PRIMARY KEY, name text);
    CREATE FUNCTION sneaky() RETURNS int LANGUAGE plpgsql AS $$ BEGIN UPDATE items SET name = 'sneaked' WHERE id = 1; RETURN 1; END $$;
    CREATE SEQUENCE counter;";

const READ: &str = "SELECT name FROM items WHERE id = 1";

fn ground(name: &str) -> Ground {
    let ground = Ground::new(name, SCHEMA);
    ground.warm("items");
    ground.through().ok(READ);
    ground
}

/// Runs statements and then asks how a read is answered.
fn read_after(client: &mut Client, statements: &[&str]) -> String {
    for sql in statements {
        client.ok(sql);
    }
    client.ok(READ);
    client.larder_last()
}

#[test]
fn p1_clean_read_committed_transactions_hit() {
    let ground = ground("tx_clean");
    for statements in [
        &["BEGIN"][..],
        &["START TRANSACTION"],
        &["BEGIN ISOLATION LEVEL READ COMMITTED"],
        &["BEGIN ISOLATION LEVEL READ UNCOMMITTED"],
        &["BEGIN READ ONLY"],
        &["BEGIN;"],
        &["begin transaction "],
        &["BEGIN", READ, READ],
        &["BEGIN", "SAVEPOINT a"],
        &["BEGIN", "SAVEPOINT a", READ, "ROLLBACK TO a"],
        &["BEGIN", "SAVEPOINT a", "RELEASE a"],
        &["BEGIN", "SHOW server_version"],
        &["BEGIN", "SET LOCAL application_name = 'x'"],
        &["BEGIN", "SELECT 1"],
        &["BEGIN", "SELECT count(*) FROM others"],
    ] {
        let mut client = ground.through();
        assert_eq!(read_after(&mut client, statements), "hit", "{statements:?}");
        assert_eq!(client.status, b'T', "a hit keeps the transaction's status");
        client.ok("COMMIT");
        assert_eq!(client.status, b'I');
    }
}

/// As clients do that begin a transaction before whatever they are asked: the session must be asked about itself before
/// one, as there is nothing outside of them.
#[test]
fn a_session_that_only_reads_in_transactions_hits_again_after_something_opaque() {
    let ground = ground("tx_recovers");
    for extended in [false, true] {
        let mut client = ground.through();
        let run = |client: &mut Client, sql: &str| {
            match extended {
                true => client.extended("BEGIN", &[]),
                false => client.query("BEGIN"),
            };
            client.ok(sql);
            let last = client.larder_last();
            client.ok("COMMIT");
            last
        };
        for opaque in ["DO $$ BEGIN PERFORM sneaky(); END $$", "SELECT sneaky()"] {
            run(&mut client, opaque);
            let deadline = Instant::now() + PATIENCE;
            // The catalog may be loaded again first.
            while run(&mut client, READ) != "hit" {
                assert!(Instant::now() < deadline, "{opaque}: never a hit again");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

#[test]
fn p1_the_first_write_ends_the_hits() {
    let ground = ground("tx_dirty");
    for statements in [
        &["BEGIN", "UPDATE items SET name = 'mine' WHERE id = 1"][..],
        &["BEGIN", "INSERT INTO others VALUES (1, 'x')"],
        &["BEGIN", "DELETE FROM others"],
        &["BEGIN", "SELECT name FROM items WHERE id = 2 FOR UPDATE"],
        &["BEGIN", "LOCK TABLE others"],
        &["BEGIN", "SELECT sneaky()"],
        &["BEGIN", "DO $$ BEGIN PERFORM sneaky(); END $$"],
        &["BEGIN", "SELECT pg_advisory_xact_lock(1)"],
        &["BEGIN", "CREATE TABLE made (a int)"],
        &[
            "BEGIN",
            "SAVEPOINT a",
            "UPDATE items SET name = 'mine' WHERE id = 1",
            "ROLLBACK TO a",
        ],
        &[
            "BEGIN",
            "SAVEPOINT a",
            "UPDATE items SET name = 'mine' WHERE id = 1",
            "RELEASE a",
        ],
        &["BEGIN ISOLATION LEVEL REPEATABLE READ"],
        &["BEGIN ISOLATION LEVEL SERIALIZABLE"],
        &["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
        &[
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "BEGIN",
        ],
        &[
            "SET default_transaction_isolation = 'repeatable read'",
            "BEGIN",
        ],
        &["SET default_transaction_isolation = 'serializable'"],
    ] {
        let mut client = ground.through();
        let last = read_after(&mut client, statements);
        assert!(last.starts_with("bypass: "), "{statements:?}: {last}");
        client.query("ROLLBACK");
        // What it reads is what its own transaction sees.
        let run = |c: &mut Client| -> Transcript {
            let all = statements.iter().copied().chain([READ, READ, "ROLLBACK"]);
            all.flat_map(|sql| c.query(sql)).collect()
        };
        let expected = run(&mut ground.direct());
        assert_same(
            &statements.join("; "),
            &expected,
            &run(&mut ground.through()),
        );
    }
    // Its own uncommitted row, and nobody else's view of it.
    let mut client = ground.through();
    for sql in ["BEGIN", "UPDATE items SET name = 'mine' WHERE id = 1"] {
        client.ok(sql);
    }
    assert_eq!(client.query(READ).value().as_deref(), Some("mine"));
    assert_eq!(
        ground.through().query(READ).value().as_deref(),
        Some("item 1")
    );
    client.ok("ROLLBACK");
    assert_eq!(client.query(READ).value().as_deref(), Some("item 1"));
    // After the end everything is as before.
    assert_eq!(read_after(&mut client, &[]), "hit");
}

#[test]
fn p4_snapshots_of_repeatable_read_are_the_databases() {
    let ground = ground("tx_snapshot");
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let mut client = ground.through();
        let mut writer = ground.through();
        client.ok(&format!("BEGIN ISOLATION LEVEL {level}"));
        let seen = client.query(READ).value();
        writer.ok(&format!(
            "UPDATE items SET name = 'after {level}' WHERE id = 1"
        ));
        // Another connection fills the new state; the old snapshot stays what it was.
        let now = ground.through().query(READ).value();
        assert_eq!(now, Some(format!("after {level}")));
        assert_eq!(client.query(READ).value(), seen);
        client.ok("COMMIT");
        assert_eq!(client.query(READ).value(), now);
    }
    // And a read inside the old snapshot never fills.
    let mut old = ground.through();
    old.ok("BEGIN ISOLATION LEVEL REPEATABLE READ");
    old.ok(READ);
    ground
        .through()
        .ok("UPDATE items SET name = 'newest' WHERE id = 1");
    old.ok(READ);
    assert_eq!(
        ground.through().query(READ).value().as_deref(),
        Some("newest")
    );
}

#[test]
fn p7_transaction_scripts_answer_as_postgresql_does() {
    let ground = ground("tx_scripts");
    let run = |statements: &'static [&'static str]| {
        move |c: &mut Client| -> Transcript {
            statements.iter().flat_map(|sql| c.query(sql)).collect()
        }
    };
    for statements in [
        &["BEGIN", READ, "BEGIN", READ, "COMMIT", "COMMIT"][..],
        &[
            "BEGIN",
            READ,
            "SELECT 1/0",
            READ,
            "SAVEPOINT a",
            "COMMIT",
            READ,
        ],
        &[
            "BEGIN",
            "SAVEPOINT a",
            "SELECT 1/0",
            READ,
            "ROLLBACK TO a",
            READ,
            "COMMIT",
        ],
        &[
            "BEGIN",
            READ,
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            READ,
            "ROLLBACK",
        ],
        &[
            "BEGIN",
            READ,
            "COMMIT AND CHAIN",
            READ,
            "ROLLBACK AND CHAIN",
            READ,
            "ROLLBACK",
        ],
        &["BEGIN", READ, "RELEASE nothing", READ, "ROLLBACK"],
        &[
            "BEGIN READ ONLY",
            READ,
            "UPDATE items SET name = 'no' WHERE id < 0",
            READ,
            "ROLLBACK",
        ],
        &["ROLLBACK", "SAVEPOINT a", READ],
        &[
            "BEGIN",
            "UPDATE items SET name = 'x' WHERE id = 1",
            READ,
            "SAVEPOINT a",
            "DELETE FROM items WHERE id = 1",
            READ,
            "ROLLBACK TO a",
            READ,
            "ROLLBACK",
            READ,
        ],
        &[
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            READ,
            "UPDATE items SET name = 'no' WHERE id < 0",
            READ,
        ],
        &[
            "BEGIN",
            "DECLARE a CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id",
            "COMMIT",
            "FETCH 2 FROM a",
            READ,
            "CLOSE a",
        ],
    ] {
        ground.same(&statements.join("; "), run(statements));
        ground.same(&format!("extended {}", statements.join("; ")), move |c| {
            statements
                .iter()
                .flat_map(|sql| c.extended(sql, &[]))
                .collect()
        });
        ground.same(&format!("pipelined {}", statements.join("; ")), move |c| {
            c.send(
                statements
                    .iter()
                    .fold(Batch::new(), |b, sql| b.unnamed(sql, &[]).sync()),
            );
            c.until_ready_times(statements.len())
        });
        ground.same(
            &format!("simple, pipelined {}", statements.join("; ")),
            move |c| {
                c.send(statements.iter().fold(Batch::new(), |b, sql| b.query(sql)));
                c.until_ready_times(statements.len())
            },
        );
        ground.same(&format!("one Sync {}", statements.join("; ")), move |c| {
            c.run(
                statements
                    .iter()
                    .fold(Batch::new(), |b, sql| b.unnamed(sql, &[]))
                    .sync(),
            )
        });
    }
}

#[test]
fn p1_a_pipeline_reads_its_own_writes() {
    let ground = ground("tx_pipeline");
    let write = |n: usize| format!("UPDATE items SET name = 'p{n}' WHERE id = 1");
    // One Sync each, all sent at once: the read behind the write shows it.
    for round in 0..10 {
        let mut client = ground.through();
        client.send(
            Batch::new()
                .unnamed(READ, &[])
                .sync()
                .unnamed(&write(round), &[])
                .sync()
                .unnamed(READ, &[])
                .sync(),
        );
        let answer = client.until_ready_times(3);
        assert_eq!(answer.rows().last().unwrap()[0], Some(format!("p{round}")));
        client.send(
            Batch::new()
                .query(READ)
                .query(&write(round + 100))
                .query(READ)
                .unnamed(READ, &[])
                .sync(),
        );
        let answer = client.until_ready_times(4);
        let rows = answer.rows();
        assert_eq!(
            rows[1..]
                .iter()
                .map(|r| r[0].clone().unwrap())
                .collect::<Vec<_>>(),
            vec![format!("p{}", round + 100); 2]
        );
    }
    // One Sync for all: the implicit transaction sees itself, others see it after the answer.
    let mut client = ground.through();
    let mut other = ground.through();
    let answer = client.run(
        Batch::new()
            .unnamed(READ, &[])
            .unnamed(&write(777), &[])
            .unnamed(READ, &[])
            .sync(),
    );
    assert_eq!(answer.rows()[1][0].as_deref(), Some("p777"));
    assert_eq!(other.query(READ).value().as_deref(), Some("p777"));
    // Written, flushed, not yet committed: only the writer sees it, and nothing of it is kept.
    client.send(Batch::new().unnamed(&write(888), &[]).flush());
    client.until(b'C');
    assert_eq!(other.query(READ).value().as_deref(), Some("p777"));
    client.send(Batch::new().unnamed(READ, &[]).flush());
    let inside = client.until(b'C');
    assert_eq!(inside.value().as_deref(), Some("p888"));
    assert_eq!(other.query(READ).value().as_deref(), Some("p777"));
    client.run(Batch::new().sync());
    assert_eq!(other.query(READ).value().as_deref(), Some("p888"));
}

#[test]
fn p4_a_read_behind_anothers_answer_is_not_older() {
    let ground = ground("tx_monotonic");
    let mut readers: Vec<_> = (0..4).map(|_| ground.through()).collect();
    let mut writer = ground.through();
    for n in 0..100 {
        writer.ok(&format!("UPDATE items SET name = '{n}' WHERE id = 1"));
        for reader in &mut readers {
            assert_eq!(reader.query(READ).value(), Some(n.to_string()));
        }
    }
    let direct = ground.direct().query(READ);
    assert_same("at last", &direct, &readers[0].query(READ));
}

/// What is taught to the upstream behind a hit is answered while a BEGIN is held: the block must not end with it.
#[test]
fn p7_a_block_that_is_held_outlives_an_answer_owed_from_before() {
    let database = "tx_taught";
    create_database(database, SCHEMA);
    let relay = Relay::to(server_port());
    let larder = Setup::new(&upstream(relay.port, database)).start();
    let login = larder.login(SUPERUSER, database);
    larder.wait_hit(&login, READ);
    let named = |name: &str| {
        let parse = Batch::new().parse(name, READ, &[]);
        let bind = parse.bind_text(name, &[]).describe_portal("");
        bind.execute("", 0).sync()
    };
    // Kept, and a hit on a connection that has its backend.
    login.connect().run(named("one"));
    let mut client = login.connect();
    client.run(named("one"));
    relay.set(Fault::Delay(Duration::from_millis(200)));
    client.run(named("two"));
    client.ok("BEGIN");
    for _ in 0..50 {
        client.ok(READ);
        assert_eq!(client.status, b'T');
        std::thread::sleep(Duration::from_millis(20));
    }
    client.ok("DELETE FROM items");
    client.ok("ROLLBACK");
    let left = Login::new(server_port(), SUPERUSER, database)
        .connect()
        .ok(READ);
    assert!(!left.rows().is_empty(), "a DELETE that was rolled back");
}
