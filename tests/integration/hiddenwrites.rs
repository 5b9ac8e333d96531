//! Writes where none is seen: code that commands, planning and the server itself run, and outcomes that come late.

use crate::ground::{
    Ground, SUPERUSER, assert_same, create_database, eventually, server_port, until_hit, upstream,
};
use crate::larder::Setup;
use crate::wireclient::{Answered, Batch, Client, Login, Transcript, cancel};
use std::time::{Duration, Instant};

fn done(what: &str, answer: &Transcript) {
    let whole = answer.error().is_none() && answer.tags().ends_with('Z');
    assert!(whole, "{what}: {answer:?}");
}

/// hazard 26: an event trigger keeps a journal of commands, those among them that change no table.
#[test]
fn p1_event_triggers_write_too() {
    const READ: &str = "SELECT count(*), max(tag) FROM commands";
    let ground = Ground::new(
        "hidden_events",
        "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE commands (tag text);
         CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
         CREATE FUNCTION keep() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO commands VALUES (tg_tag); END';
         CREATE EVENT TRIGGER keep ON ddl_command_end EXECUTE FUNCTION keep();",
    );
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    for sql in [
        "COMMENT ON TABLE t IS 'a table'",
        "CREATE TEMP TABLE x# (a int)",
        "CREATE TEMP TABLE y# AS SELECT * FROM t",
        "SELECT * INTO TEMP z# FROM t",
        "CREATE TEMP VIEW v# AS SELECT 1",
        "CREATE TEMP SEQUENCE s#",
        "REFRESH MATERIALIZED VIEW m",
        "GRANT SELECT ON t TO PUBLIC",
        "CREATE INDEX i# ON t (id)",
    ] {
        for way in 0..3 {
            let sql = sql.replace('#', &way.to_string());
            until_hit(&mut reader, READ);
            let before = direct.query(READ);
            match way {
                0 => done(&sql, &writer.query(&sql)),
                1 => done(&sql, &writer.extended(&sql, &[])),
                _ => ["BEGIN", &sql, "COMMIT"]
                    .iter()
                    .for_each(|sql| done(sql, &writer.extended(sql, &[]))),
            }
            let expected = direct.query(READ);
            assert_ne!(before, expected, "{sql}: the test is wrong");
            assert_same(&sql, &expected, &reader.query(READ));
        }
    }
    // One that was made or switched on a moment ago counts at once.
    for sql in [
        "ALTER EVENT TRIGGER keep DISABLE",
        "ALTER EVENT TRIGGER keep ENABLE",
        "COMMENT ON TABLE t IS 'again'",
    ] {
        writer.ok(sql);
        assert_same(sql, &direct.query(READ), &reader.query(READ));
        until_hit(&mut reader, READ);
    }
}

const WRITING: &str = "
    CREATE TABLE plain (id int, name text);
    INSERT INTO plain VALUES (1, 'one');
    CREATE FUNCTION writes(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO plain VALUES (i, ''written''); RETURN i; END';
    CREATE FUNCTION hides(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM writes(i); RETURN i; END';";
const PLAIN: &str = "SELECT count(*), max(id) FROM plain";

/// hazard 26: Bind plans, and planning runs functions that are said to be immutable. Nothing is ever executed here.
#[test]
fn p1_what_planning_runs_at_bind_is_seen() {
    let ground = Ground::new("hidden_bind", WRITING);
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    let bind = |name: &str, portal: &str| {
        let sql = "SELECT hides($1::int) + id FROM plain";
        let value: &[u8] = b"7";
        Batch::new()
            .parse(name, sql, &[])
            .bind(crate::wireclient::Bind {
                statement: name,
                portal,
                params: &[Some(value)],
                ..Default::default()
            })
    };
    type Way = fn(&mut Client, Batch);
    let ways: &[(&str, Way)] = &[
        ("Bind and Sync", |c, b| done("bind", &c.run(b.sync()))),
        ("Bind, Describe and Sync", |c, b| {
            done("describe", &c.run(b.describe_portal("p").sync()))
        }),
        ("Bind, Flush, Sync", |c, b| {
            c.send(b.flush());
            c.until(b'2');
            done("flush", &c.run(Batch::new().sync()));
        }),
        ("Bind in a block", |c, b| {
            c.ok("BEGIN");
            done("bind", &c.run(b.sync()));
            c.ok("COMMIT");
        }),
        ("Bind and Close", |c, b| {
            done("close", &c.run(b.close_portal("p").sync()))
        }),
    ];
    for (n, (what, way)) in ways.iter().enumerate() {
        for name in ["", &format!("named{n}")] {
            until_hit(&mut reader, PLAIN);
            let before = direct.query(PLAIN);
            way(&mut writer, bind(name, "p"));
            let expected = direct.query(PLAIN);
            assert_ne!(before, expected, "{what}: the test is wrong");
            assert_same(what, &expected, &reader.query(PLAIN));
        }
    }
}

/// hazard 55: FETCH and MOVE run a portal that was only bound.
#[test]
fn p1_a_portal_that_sql_runs_writes() {
    let ground = Ground::new("hidden_fetch", WRITING);
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    let bind = || {
        Batch::new()
            .parse("s", "SELECT writes(8) FROM plain", &[])
            .bind(crate::wireclient::Bind {
                statement: "s",
                portal: "p",
                ..Default::default()
            })
    };
    let free = || Batch::new().close_statement("s").sync();
    for run in ["FETCH ALL FROM p", "MOVE ALL IN p", "FETCH 1 FROM p"] {
        for way in 0..3 {
            until_hit(&mut reader, PLAIN);
            let before = direct.query(PLAIN);
            if way == 0 {
                writer.ok("BEGIN");
                done(run, &writer.run(bind().sync()));
                writer.ok(run);
                writer.ok("COMMIT");
            } else if way == 1 {
                writer.ok("BEGIN");
                done(run, &writer.run(bind().unnamed(run, &[]).sync()));
                done(run, &writer.extended("COMMIT", &[]));
            } else {
                done(run, &writer.run(bind().unnamed(run, &[]).sync()));
            }
            let expected = direct.query(PLAIN);
            assert_ne!(before, expected, "{run}, {way}: the test is wrong");
            assert_same(&format!("{run}, {way}"), &expected, &reader.query(PLAIN));
            done("close", &writer.run(free()));
        }
    }
}

/// hazard 38: what was prepared before Larder started is committed through it, from whatever connection.
#[test]
fn p1_a_transaction_prepared_before_the_start_is_seen_when_it_commits() {
    create_database("hidden_2pc", WRITING);
    let prepare = |login: &Login, name: &str| {
        let mut client = login.connect();
        client.ok(&format!(
            "BEGIN; UPDATE plain SET name = '{name}'; PREPARE TRANSACTION '{name}'"
        ));
    };
    let direct = Login::new(server_port(), SUPERUSER, "hidden_2pc");
    let read = "SELECT name FROM plain";
    prepare(&direct, "before the start");
    let mut larder = Setup::new(&upstream(server_port(), "hidden_2pc")).start();
    let through = larder.login(SUPERUSER, "hidden_2pc");
    let mut reader = through.connect();
    until_hit(&mut reader, read);
    through.connect().ok("COMMIT PREPARED 'before the start'");
    assert_eq!(
        reader.query(read).value().as_deref(),
        Some("before the start")
    );
    // Prepared through Larder by a client that has gone since, and by a Larder that has.
    prepare(&through, "by another");
    until_hit(&mut reader, read);
    done(
        "commit",
        &through
            .connect()
            .extended("COMMIT PREPARED 'by another'", &[]),
    );
    assert_eq!(reader.query(read).value().as_deref(), Some("by another"));
    prepare(&through, "before it was killed");
    drop(reader);
    larder.kill();
    larder.restart();
    let mut reader = larder.login(SUPERUSER, "hidden_2pc").connect();
    until_hit(&mut reader, read);
    assert_eq!(reader.query(read).value().as_deref(), Some("by another"));
    larder
        .login(SUPERUSER, "hidden_2pc")
        .connect()
        .ok("COMMIT PREPARED 'before it was killed'");
    assert_eq!(
        reader.query(read).value().as_deref(),
        Some("before it was killed")
    );
}

/// hazard 39: a procedure commits between its sleeps; whoever reads meanwhile never goes back.
#[test]
fn p4_reads_beside_a_procedure_that_commits_never_go_back() {
    let ground = Ground::new(
        "hidden_call",
        "CREATE TABLE counter (n int); INSERT INTO counter VALUES (0);
         CREATE PROCEDURE counts() LANGUAGE plpgsql AS
         'BEGIN FOR i IN 1..20 LOOP UPDATE counter SET n = n + 1; COMMIT; PERFORM pg_sleep(0.01); END LOOP; END';",
    );
    let read = "SELECT n FROM counter";
    let (mut writer, mut direct) = (ground.through(), ground.direct());
    let mut readers = [ground.through(), ground.through()];
    readers
        .iter_mut()
        .for_each(|reader| until_hit(reader, read));
    for (round, call) in ["CALL counts()", "DO 'BEGIN CALL counts(); END'"]
        .iter()
        .enumerate()
    {
        writer.send(match round {
            0 => Batch::new().query(call),
            _ => Batch::new().unnamed(call, &[]).sync(),
        });
        let (mut last, end) = (0, 20 * (round as u64 + 1));
        let deadline = Instant::now() + Duration::from_secs(30);
        for turn in 0.. {
            let shown = match turn % 3 {
                2 => direct.query(read),
                reader => readers[reader].query(read),
            };
            let shown: u64 = shown.value().unwrap().parse().unwrap();
            assert!(shown >= last, "{shown} after {last}");
            last = shown;
            if last == end || Instant::now() > deadline {
                break;
            }
        }
        done(call, &writer.until_ready());
        assert_eq!(readers[0].query(read).value(), Some(end.to_string()));
    }
}

/// hazard 40, hazard 44: a COMMIT waits for a standby that never comes. What others read meanwhile does not show it and
/// is not kept; the wait is given up, and with that the commit is there.
#[test]
fn p9_a_commit_that_no_longer_waits_for_its_standby_is_seen() {
    let ground = Ground::alone(
        "hidden_standby",
        "CREATE TABLE plain (id int PRIMARY KEY, name text); INSERT INTO plain VALUES (1, 'old')",
    );
    let read = "SELECT name FROM plain WHERE id = 1";
    let mut direct = ground.direct();
    direct.ok("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    direct.ok("SELECT pg_reload_conf()");
    eventually("the setting", || {
        direct
            .query("SHOW synchronous_standby_names")
            .value()
            .as_deref()
            == Some("nobody")
    });
    let mut reader = ground.through();
    until_hit(&mut reader, read);
    let old = reader.query(read).value();
    for (round, ended) in ["cancelled", "terminated"].iter().enumerate() {
        let before = reader.query(read).value();
        let mut writer = ground.through();
        let update = format!("UPDATE plain SET name = '{ended}' WHERE id = 1");
        match round {
            0 => writer.send(Batch::new().query(&update)),
            _ => {
                writer.ok("BEGIN");
                writer.ok(&update);
                writer.send(Batch::new().unnamed("COMMIT", &[]).sync());
            }
        }
        let waits = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        eventually("it waits", || direct.query(waits).value().is_some());
        for _ in 0..5 {
            assert_same("waiting", &direct.query(read), &reader.query(read));
            assert_ne!(reader.larder_last(), "hit", "the window is open");
        }
        assert_eq!(reader.query(read).value(), before, "nobody sees it yet");
        if round == 0 {
            cancel(ground.larder.port, writer.key);
            let answer = writer.until_ready();
            assert!(answer.tags().starts_with("NC"), "{answer:?}");
        } else {
            direct.ok(&format!(
                "SELECT pg_terminate_backend(pid) FROM ({waits}) w"
            ));
            assert!(writer.closed());
            // Nobody was told of it; it is shut until the backend is gone.
            eventually("committed", || {
                direct.query(read).value().as_deref() == Some(ended)
            });
        }
        assert_eq!(reader.query(read).value().as_deref(), Some(*ended));
        until_hit(&mut reader, read);
        assert_same(ended, &direct.query(read), &reader.query(read));
    }
    assert_eq!(old.as_deref(), Some("old"));
}

/// hazard 47: what one transaction wrote to two tables is read from both, one after the other, in that order or together.
#[test]
fn p4_two_tables_of_one_transaction_are_never_read_backwards() {
    let ground = Ground::new(
        "hidden_pair",
        "CREATE TABLE a (n int); CREATE TABLE b (n int); INSERT INTO a VALUES (0); INSERT INTO b VALUES (0)",
    );
    let mut readers = [ground.through(), ground.through()];
    for sql in ["SELECT n FROM a", "SELECT n FROM b"] {
        readers.iter_mut().for_each(|reader| until_hit(reader, sql));
    }
    let login = ground.over(&ground.login());
    let writer = std::thread::spawn(move || {
        let mut client = login.connect();
        for n in 1..=150 {
            client.ok("BEGIN");
            client.ok(&format!("UPDATE a SET n = {n}"));
            client.ok(&format!("UPDATE b SET n = {n}"));
            client.ok("COMMIT");
        }
    });
    let mut value = |reader: usize, sql: &str| -> u64 {
        readers[reader].query(sql).value().unwrap().parse().unwrap()
    };
    let mut hits = 0;
    while !writer.is_finished() || hits < 20 {
        let (first, second) = if hits % 2 == 0 {
            ("a", "b")
        } else {
            ("b", "a")
        };
        let (first, second) = (
            format!("SELECT n FROM {first}"),
            format!("SELECT n FROM {second}"),
        );
        let (one, other) = (value(0, &first), value(1, &second));
        assert!(other >= one, "{first}: {one}, then {second}: {other}");
        hits += 1;
    }
    writer.join().expect("the writer");
}

/// hazard 34: a snapshot that was taken elsewhere is read and never kept.
#[test]
fn p4_an_imported_snapshot_fills_nothing() {
    let ground = Ground::new(
        "hidden_snapshot",
        "CREATE TABLE t (n int); INSERT INTO t VALUES (1)",
    );
    let read = "SELECT n FROM t";
    let (mut exporter, mut importer, mut writer, mut reader) = (
        ground.through(),
        ground.through(),
        ground.through(),
        ground.through(),
    );
    until_hit(&mut reader, read);
    exporter.ok("BEGIN ISOLATION LEVEL REPEATABLE READ");
    let snapshot = exporter.ok("SELECT pg_export_snapshot()").value().unwrap();
    writer.ok("UPDATE t SET n = 2");
    for level in ["REPEATABLE READ", "SERIALIZABLE, READ ONLY, DEFERRABLE"] {
        importer.ok(&format!("BEGIN ISOLATION LEVEL {level}"));
        if level == "REPEATABLE READ" {
            importer.ok(&format!("SET TRANSACTION SNAPSHOT '{snapshot}'"));
        }
        let expected = if level == "REPEATABLE READ" { "1" } else { "2" };
        for _ in 0..3 {
            assert_eq!(
                importer.ok(read).value().as_deref(),
                Some(expected),
                "{level}"
            );
            assert_ne!(importer.larder_last(), "hit");
            assert_eq!(reader.ok(read).value().as_deref(), Some("2"));
        }
        importer.ok("COMMIT");
    }
}

/// hazard 35: reads of serializable transactions reach the database, so two that skew each other do not both commit,
/// however the level was set.
#[test]
fn p4_write_skew_does_not_pass_under_serializable() {
    let ground = Ground::new(
        "hidden_skew",
        "CREATE TABLE duty (id int PRIMARY KEY, here bool); INSERT INTO duty VALUES (1, true), (2, true)",
    );
    let read = "SELECT count(*) FROM duty WHERE here";
    let mut reader = ground.through();
    let serializable = ground
        .login()
        .parameter("default_transaction_isolation", "serializable");
    for way in 0..4 {
        ground.through().ok("UPDATE duty SET here = true");
        until_hit(&mut reader, read);
        let mut clients: Vec<_> = (0..2)
            .map(|_| match way {
                0 => ground.over(&serializable).connect(),
                _ => ground.through(),
            })
            .collect();
        for client in &mut clients {
            match way {
                0 => done("BEGIN", &client.query("BEGIN")),
                1 => done("BEGIN", &client.query("BEGIN ISOLATION LEVEL SERIALIZABLE")),
                2 => done(
                    "BEGIN",
                    &client.query("BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
                ),
                _ => {
                    client.ok(
                        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
                    );
                    client.ok("BEGIN");
                }
            }
            assert_eq!(client.extended(read, &[]).value().as_deref(), Some("2"));
        }
        let mut committed = 0;
        for (n, client) in clients.iter_mut().enumerate() {
            let went = client.query(&format!(
                "UPDATE duty SET here = false WHERE id = {}",
                n + 1
            ));
            let ended = client.query("COMMIT");
            committed += usize::from(went.error().is_none() && ended.error().is_none());
        }
        assert_eq!(committed, 1, "way {way}");
        assert_same("after", &ground.direct().query(read), &reader.query(read));
    }
}

/// hazard 41: what is cut short at whatever point is never kept as a whole.
#[test]
fn p5_what_is_cut_short_is_never_kept() {
    let ground = Ground::new(
        "hidden_cut",
        "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 12) g",
    );
    ground.warm("t");
    let read = "SELECT id, repeat('x', 9000), (SELECT count(*) FROM generate_series(1, 60000) g WHERE g % 7 < id) FROM t";
    let mut direct = ground.direct();
    let expected = direct.query(read);
    for (n, way) in ["cancelled", "terminated", "left", "limited", "timed out"]
        .iter()
        .enumerate()
    {
        // A text of its own each time: nothing of it is there yet.
        let sql = read.replace("count(*)", &format!("count(*) + {n} - {n}"));
        let mut client = ground.through();
        client.ok("SELECT id FROM t");
        if *way == "timed out" {
            client.ok("SET statement_timeout = 15");
        }
        if *way == "limited" {
            let batch = Batch::new()
                .parse("", &sql, &[])
                .bind_text("", &[])
                .execute("", 3);
            done(way, &client.run(batch.sync()));
        } else {
            client.send(Batch::new().query(&sql));
            client.until(b'T');
        }
        match *way {
            "cancelled" => {
                cancel(ground.larder.port, client.key);
                client.until_ready();
            }
            "terminated" => {
                direct.ok("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%repeat%' AND pid <> pg_backend_pid()");
                client.closed();
            }
            "timed out" => drop(client.until_ready()),
            _ => {}
        }
        drop(client);
        for _ in 0..3 {
            assert_eq!(
                expected.rows(),
                ground.through().query(&sql).rows(),
                "{way}"
            );
        }
    }
}

/// hazard 37, hazard 36: in a block that has failed nothing is served; a COMMIT that fails is none; `AND CHAIN` goes on.
#[test]
fn p7_what_ends_a_block_is_what_postgresql_says_ends_it() {
    let ground = Ground::new(
        "hidden_ends",
        "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED); INSERT INTO t VALUES (1, 1), (2, 2)",
    );
    let read = "SELECT * FROM t ORDER BY id";
    let mut reader = ground.through();
    until_hit(&mut reader, read);
    for script in [
        &["BEGIN", read, "SELECT 1/0", read, "SAVEPOINT a", "ROLLBACK"][..],
        &["BEGIN", "SELECT 1/0", read, "COMMIT", read],
        &[
            "BEGIN",
            "UPDATE t SET u = 1 WHERE id = 2",
            read,
            "COMMIT",
            read,
        ],
        &[
            "BEGIN",
            "UPDATE t SET u = 9 WHERE id = 2",
            "COMMIT AND CHAIN",
            read,
            "ROLLBACK",
            read,
            "UPDATE t SET u = 2 WHERE id = 2",
        ],
        &[
            "BEGIN",
            "UPDATE t SET u = 9 WHERE id = 2",
            "ROLLBACK AND CHAIN",
            read,
            "COMMIT",
            read,
        ],
        &[
            "BEGIN",
            "SAVEPOINT a",
            "UPDATE t SET u = 8 WHERE id = 2",
            "ROLLBACK TO a",
            read,
            "COMMIT",
            read,
        ],
        &[
            "BEGIN",
            "SAVEPOINT a",
            "SELECT 1/0",
            read,
            "ROLLBACK TO a",
            read,
            "UPDATE t SET u = 7 WHERE id = 2",
            "RELEASE a",
            read,
            "ROLLBACK",
            read,
        ],
        &[
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            read,
            "COMMIT AND CHAIN",
            "SHOW transaction_isolation",
            read,
            "COMMIT",
            read,
        ],
        &[
            "BEGIN",
            "INSERT INTO t VALUES (5, 1)",
            "SET CONSTRAINTS ALL IMMEDIATE",
            read,
            "COMMIT",
            read,
        ],
    ] {
        ground.same(&format!("{script:?}"), |c| {
            script.iter().flat_map(|sql| c.query(sql)).collect()
        });
        ground.same(&format!("extended {script:?}"), |c| {
            script.iter().flat_map(|sql| c.extended(sql, &[])).collect()
        });
        assert_same("after", &ground.direct().query(read), &reader.query(read));
    }
}
