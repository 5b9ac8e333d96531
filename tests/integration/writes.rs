//! P1: once a write through Larder is acknowledged, no later read through it, on any connection, shows the state before.
//!
//! Each kind of write is made in each way a client can make it. Before it, the reads that it touches are hits; after
//! it, every read of the set equals PostgreSQL's own answer. After a ROLLBACK the hits are still hits.

use crate::faults::{Fault, Relay, Toward};
use crate::ground::{Ground, SUPERUSER, assert_same, create_database, server_port, upstream};
use crate::larder::Setup;
use crate::wireclient::{Answered, Batch, Client, Login, Transcript};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
    CREATE TABLE plain (id int PRIMARY KEY, name text);
    CREATE TABLE owner (id int PRIMARY KEY, name text);
    CREATE TABLE pet (id int PRIMARY KEY, owner int REFERENCES owner ON DELETE CASCADE ON UPDATE CASCADE, name text);
    CREATE TABLE toy (id int PRIMARY KEY, pet int REFERENCES pet ON DELETE SET NULL, name text);
    CREATE VIEW plain_view AS SELECT id, name FROM plain WHERE id < 1000;
    CREATE TABLE ruled (id int PRIMARY KEY, name text);
    CREATE RULE also AS ON INSERT TO ruled DO ALSO INSERT INTO plain VALUES (NEW.id + 500, NEW.name);
    CREATE TABLE watched (id int PRIMARY KEY, name text);
    CREATE TABLE journal (n int, what text);
    CREATE FUNCTION keep_journal() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'INSERT INTO journal SELECT count(*), ''w'' FROM journal'; RETURN NULL; END $$;
    CREATE TRIGGER keep AFTER INSERT OR UPDATE OR DELETE ON watched FOR EACH ROW EXECUTE FUNCTION keep_journal();
    CREATE TABLE deferred (id int PRIMARY KEY, name text);
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON deferred DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION keep_journal();
    CREATE TABLE parts (id int, kind text, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind);
    CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
    CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
    CREATE TABLE parent (id int, name text);
    CREATE TABLE child () INHERITS (parent);
    CREATE MATERIALIZED VIEW frozen AS SELECT count(*) AS n FROM plain;
    CREATE FUNCTION add_plain(i int) RETURNS int LANGUAGE sql AS $$ INSERT INTO plain VALUES (i, 'by function') RETURNING id $$;
    CREATE PROCEDURE call_plain(i int) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO plain VALUES (i, 'by procedure'); END $$;
    CREATE PROCEDURE commit_plain(i int) LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO plain VALUES (i, 'first'); COMMIT; INSERT INTO plain VALUES (i + 1, 'second'); END $$;";

/// Brings the data back; through Larder, so that it is a write it sees.
const RESET: &str = "
    TRUNCATE plain, owner, pet, toy, ruled, watched, journal, deferred, parts, parent, child;
    INSERT INTO plain SELECT g, 'n' || g FROM generate_series(1, 9) g;
    INSERT INTO owner VALUES (1, 'ann'), (2, 'bob');
    INSERT INTO pet VALUES (1, 1, 'rex'), (2, 2, 'tom');
    INSERT INTO toy VALUES (1, 1, 'ball'), (2, 2, 'bone');
    INSERT INTO ruled VALUES (1, 'r');
    INSERT INTO watched VALUES (1, 'w');
    INSERT INTO parts VALUES (1, 'a'), (2, 'b');
    INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c');
    REFRESH MATERIALIZED VIEW frozen";

/// The reads that are compared after every write.
const READS: &[&str] = &[
    "SELECT * FROM plain ORDER BY id",
    "SELECT name FROM plain WHERE id = 1",
    "SELECT * FROM plain_view ORDER BY id",
    "SELECT * FROM owner ORDER BY id",
    "SELECT * FROM pet ORDER BY id",
    "SELECT * FROM toy ORDER BY id",
    "SELECT o.name, p.name FROM owner o JOIN pet p ON p.owner = o.id ORDER BY o.id",
    "SELECT * FROM ruled ORDER BY id",
    "SELECT * FROM watched ORDER BY id",
    "SELECT count(*) FROM journal",
    "SELECT * FROM deferred ORDER BY id",
    "SELECT * FROM parts ORDER BY id",
    "SELECT * FROM parts_a ORDER BY id",
    "SELECT * FROM parts_b ORDER BY id",
    "SELECT * FROM parent ORDER BY id",
    "SELECT * FROM ONLY parent ORDER BY id",
    "SELECT * FROM child ORDER BY id",
    "SELECT * FROM frozen",
];

/// Writes that may run inside a transaction, each with a read that must change.
const WRITES: &[(&str, &str)] = &[
    ("INSERT INTO plain VALUES (20, 'new')", READS[0]),
    (
        "INSERT INTO plain SELECT g, 'many' FROM generate_series(20, 60) g",
        READS[0],
    ),
    (
        "INSERT INTO plain VALUES (1, 'upserted') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        READS[1],
    ),
    ("INSERT INTO plain VALUES (21, 'r') RETURNING id", READS[0]),
    ("UPDATE plain SET name = 'changed' WHERE id = 1", READS[1]),
    (
        "UPDATE plain SET name = o.name FROM owner o WHERE o.id = plain.id",
        READS[1],
    ),
    (
        "UPDATE public.plain AS p SET (id, name) = (100, 'moved') WHERE p.id = 1",
        READS[1],
    ),
    ("UPDATE ONLY plain SET name = 'only' WHERE id = 1", READS[1]),
    ("DELETE FROM plain WHERE id = 1", READS[1]),
    (
        "DELETE FROM plain USING owner o WHERE o.id = plain.id",
        READS[1],
    ),
    (
        "MERGE INTO plain p USING owner o ON p.id = o.id WHEN MATCHED THEN UPDATE SET name = o.name",
        READS[1],
    ),
    (
        "WITH gone AS (DELETE FROM plain WHERE id = 1 RETURNING *) SELECT count(*) FROM gone",
        READS[1],
    ),
    (
        "WITH x AS (SELECT 22 AS i) INSERT INTO plain SELECT i, 'cte' FROM x",
        READS[0],
    ),
    (
        "EXPLAIN ANALYZE UPDATE plain SET name = 'explained' WHERE id = 1",
        READS[1],
    ),
    ("TRUNCATE plain", READS[0]),
    ("TRUNCATE owner CASCADE", READS[5]),
    (
        "UPDATE plain_view SET name = 'by view' WHERE id = 1",
        READS[1],
    ),
    ("INSERT INTO ruled VALUES (3, 'by rule')", READS[0]),
    ("DELETE FROM owner WHERE id = 1", READS[4]),
    ("DELETE FROM owner WHERE id = 2", READS[5]),
    ("UPDATE owner SET id = 10 WHERE id = 1", READS[4]),
    ("UPDATE watched SET name = 'x' WHERE id = 1", READS[9]),
    ("INSERT INTO deferred VALUES (1, 'd')", READS[9]),
    ("INSERT INTO parts VALUES (3, 'a')", READS[12]),
    ("INSERT INTO parts_b VALUES (3, 'b')", READS[11]),
    ("UPDATE parts SET kind = 'b' WHERE id = 1", READS[13]),
    ("UPDATE parent SET name = 'all' WHERE id = 2", READS[16]),
    ("INSERT INTO child VALUES (3, 'c')", READS[14]),
    ("SELECT add_plain(23)", READS[0]),
    (
        "SELECT id FROM owner WHERE add_plain(24 + id) > 0",
        READS[0],
    ),
    (
        "DO $$ BEGIN INSERT INTO plain VALUES (25, 'do'); END $$",
        READS[0],
    ),
    ("CALL call_plain(26)", READS[0]),
    ("REFRESH MATERIALIZED VIEW frozen", READS[9]),
];

/// A way to make one write; it must be acknowledged when this returns.
type Way = fn(&mut Client, &str);

fn acknowledged(sql: &str, answer: &Transcript) {
    assert!(
        answer.error().is_none() && answer.tags().ends_with('Z'),
        "{sql}: {answer:?}"
    );
}

const WAYS: &[(&str, Way)] = &[
    ("simple", |c, sql| acknowledged(sql, &c.query(sql))),
    ("extended", |c, sql| {
        acknowledged(sql, &c.extended(sql, &[]))
    }),
    ("named statement", |c, sql| {
        acknowledged(
            sql,
            &c.run(
                Batch::new()
                    .parse("w", sql, &[])
                    .describe_statement("w")
                    .sync(),
            ),
        );
        acknowledged(
            sql,
            &c.run(Batch::new().bind_text("w", &[]).execute("", 0).sync()),
        );
        acknowledged(sql, &c.run(Batch::new().close_statement("w").sync()));
    }),
    ("a transaction", |c, sql| {
        for sql in ["BEGIN", sql, "COMMIT"] {
            acknowledged(sql, &c.query(sql));
        }
    }),
    ("an extended transaction", |c, sql| {
        for sql in ["BEGIN", sql, "COMMIT"] {
            acknowledged(sql, &c.extended(sql, &[]));
        }
    }),
    ("BEGIN, write, COMMIT before one Sync", |c, sql| {
        acknowledged(
            sql,
            &c.run(
                Batch::new()
                    .unnamed("BEGIN", &[])
                    .unnamed(sql, &[])
                    .unnamed("COMMIT", &[])
                    .sync(),
            ),
        );
    }),
    (
        "BEGIN with the write, COMMIT as a prepared statement",
        |c, sql| {
            acknowledged(
                sql,
                &c.run(
                    Batch::new()
                        .parse("done", "COMMIT", &[])
                        .unnamed("BEGIN", &[])
                        .unnamed(sql, &[])
                        .sync(),
                ),
            );
            acknowledged(
                sql,
                &c.run(
                    Batch::new()
                        .bind_text("done", &[])
                        .execute("", 1)
                        .sync()
                        .close_statement("done")
                        .sync(),
                ),
            );
            acknowledged(sql, &c.until_ready());
        },
    ),
    ("an implicit transaction", |c, sql| {
        let read = "SELECT count(*) FROM plain";
        acknowledged(
            sql,
            &c.run(
                Batch::new()
                    .unnamed(read, &[])
                    .unnamed(sql, &[])
                    .unnamed(read, &[])
                    .sync(),
            ),
        );
    }),
    (
        "an implicit transaction with Flush before its Sync",
        |c, sql| {
            c.send(Batch::new().unnamed(sql, &[]).flush());
            acknowledged(sql, &[c.until(b'C'), c.run(Batch::new().sync())].concat());
        },
    ),
    ("several statements in one message", |c, sql| {
        acknowledged(
            sql,
            &c.query(&format!("SELECT 1; {sql}; SELECT count(*) FROM plain")),
        )
    }),
    ("a transaction in one message", |c, sql| {
        acknowledged(sql, &c.query(&format!("BEGIN; {sql}; COMMIT")))
    }),
    ("a savepoint released", |c, sql| {
        for sql in ["BEGIN", "SAVEPOINT a", sql, "RELEASE a", "COMMIT"] {
            acknowledged(sql, &c.query(sql));
        }
    }),
    ("a savepoint rolled back behind it", |c, sql| {
        for sql in [
            "BEGIN",
            sql,
            "SAVEPOINT a",
            "INSERT INTO owner VALUES (50, 'no')",
            "ROLLBACK TO a",
            "COMMIT",
        ] {
            acknowledged(sql, &c.query(sql));
        }
    }),
    ("END AND CHAIN", |c, sql| {
        for sql in ["BEGIN", sql, "COMMIT AND CHAIN", "ROLLBACK"] {
            acknowledged(sql, &c.query(sql));
        }
    }),
    ("PREPARE and EXECUTE", |c, sql| {
        let preparable = ["INSERT", "UPDATE", "DELETE", "SELECT", "WITH", "MERGE"]
            .iter()
            .any(|verb| sql.starts_with(verb));
        if preparable {
            for sql in [&format!("PREPARE w AS {sql}"), "EXECUTE w", "DEALLOCATE w"] {
                acknowledged(sql, &c.query(sql));
            }
        } else {
            acknowledged(sql, &c.query(sql));
        }
    }),
];

/// Every read of the set, through Larder and past it.
fn compare(what: &str, reader: &mut Client, direct: &mut Client, reads: &[&str]) {
    for sql in reads {
        assert_same(
            &format!("{what}: {sql}"),
            &direct.query(sql),
            &reader.query(sql),
        );
    }
}

/// Reads until a hit, so that the write has something to invalidate.
fn until_hit(reader: &mut Client, sql: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        reader.ok(sql);
        let last = reader.larder_last();
        if last == "hit" {
            return;
        }
        assert!(Instant::now() < deadline, "{sql} never hits: {last}");
        if last != "miss" {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn every_write(database: &str, ways: &[(&str, Way)]) {
    let ground = Ground::new(database, SCHEMA);
    let (mut writer, mut reader, mut other, mut direct) = (
        ground.through(),
        ground.through(),
        ground.through(),
        ground.direct(),
    );
    for (how, way) in ways {
        for (sql, touched) in WRITES {
            let what = format!("{sql}, {how}");
            writer.ok(RESET);
            READS.iter().for_each(|read| until_hit(&mut reader, read));
            let before = direct.query(touched);
            way(&mut writer, sql);
            // Straight after the acknowledgement, on a connection that has its hits and on another.
            let after = other.query(touched);
            assert_same(&what, &direct.query(touched), &after);
            assert!(
                before != after || sql.starts_with("REFRESH"),
                "{what}: the write changes nothing, the test is wrong"
            );
            compare(&what, &mut reader, &mut direct, READS);
            compare(&what, &mut writer, &mut direct, &[touched]);
            // And once more, now that the reads may be hits again.
            compare(&what, &mut other, &mut direct, READS);
        }
    }
    assert!(ground.larder.outcome("hit") > 1000.0);
}

#[test]
fn p1_own_writes_simple_and_extended() {
    every_write("writes_one", &WAYS[..3]);
}

#[test]
fn p1_own_writes_in_transactions() {
    every_write("writes_two", &WAYS[3..7]);
}

#[test]
fn p1_own_writes_in_implicit_transactions() {
    every_write("writes_three", &WAYS[7..11]);
}

#[test]
fn p1_own_writes_with_savepoints_and_execute() {
    every_write("writes_four", &WAYS[11..]);
}

/// What cannot run inside a transaction, or changes the catalog.
#[test]
fn p1_own_writes_by_ddl_and_procedures() {
    let ground = Ground::new("writes_ddl", SCHEMA);
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    writer.ok(RESET);
    for sql in [
        "CALL commit_plain(40)",
        "ALTER TABLE plain ADD extra int DEFAULT 7",
        "ALTER TABLE plain RENAME name TO label",
        "ALTER TABLE watched ALTER name TYPE varchar(50)",
        "ALTER TABLE plain DROP extra",
        "ALTER TABLE plain RENAME label TO name",
        "CREATE OR REPLACE VIEW plain_view AS SELECT id, name FROM plain WHERE id < 3",
        "BEGIN; ALTER TABLE plain RENAME TO plain_old; CREATE TABLE plain (id int, name text); INSERT INTO plain VALUES (1, 'swapped'); COMMIT",
        "DROP TABLE plain; ALTER TABLE plain_old RENAME TO plain",
        "ALTER TABLE parts DETACH PARTITION parts_b",
        "ALTER TABLE parts ATTACH PARTITION parts_b FOR VALUES IN ('b')",
        "ALTER TABLE child NO INHERIT parent",
        "CREATE TABLE made AS SELECT * FROM plain",
        "SELECT * INTO made_too FROM plain",
        "CREATE SCHEMA first; CREATE TABLE first.plain (id int, name text)",
        "DROP TABLE toy",
        "CREATE TABLE toy (id int, pet int, name text)",
        "DROP TABLE pet CASCADE",
        "ALTER TABLE owner RENAME TO keeper",
    ] {
        let reads: Vec<_> = READS
            .iter()
            .copied()
            .filter(|read| direct.query(read).error().is_none())
            .collect();
        reads.iter().for_each(|read| until_hit(&mut reader, read));
        let answer = writer.query(sql);
        assert_eq!(answer.error(), None, "{sql}");
        compare(sql, &mut reader, &mut direct, READS);
        compare(sql, &mut writer, &mut direct, READS);
    }
}

#[test]
fn p1_own_writes_by_copy() {
    let ground = Ground::new("writes_copy", SCHEMA);
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    let read = READS[0];
    let data = || Batch::new().copy_data(b"70\tcopied\n71\ttoo\n");
    let begin = |c: &mut Client| c.ok("BEGIN");
    let mut check = |what: &str, writes: bool, copy: &dyn Fn(&mut Client)| {
        writer.ok(RESET);
        until_hit(&mut reader, read);
        let before = direct.query(read);
        copy(&mut writer);
        assert_same(what, &direct.query(read), &reader.query(read));
        assert_eq!(before != direct.query(read), writes, "{what}");
    };
    check("simple", true, &|c| {
        drop(
            c.run(
                Batch::new()
                    .query("COPY plain FROM STDIN")
                    .bytes(&data().0)
                    .copy_done(),
            ),
        )
    });
    check("given up", false, &|c| {
        drop(
            c.run(
                Batch::new()
                    .query("COPY plain FROM STDIN")
                    .bytes(&data().0)
                    .copy_fail("no"),
            ),
        )
    });
    check("wrong data", false, &|c| {
        drop(
            c.run(
                Batch::new()
                    .query("COPY plain FROM STDIN")
                    .copy_data(b"x\ty\n")
                    .copy_done(),
            ),
        )
    });
    check("extended", true, &|c| {
        c.send(Batch::new().unnamed("COPY plain FROM STDIN", &[]).sync());
        c.until(b'G');
        c.run(Batch::new().bytes(&data().0).copy_done().sync());
    });
    check("extended, everything at once", true, &|c| {
        c.run(
            Batch::new()
                .unnamed("COPY plain FROM STDIN", &[])
                .bytes(&data().0)
                .copy_done()
                .sync(),
        );
    });
    check("in a transaction", true, &|c| {
        begin(c);
        c.run(
            Batch::new()
                .query("COPY plain FROM STDIN")
                .bytes(&data().0)
                .copy_done(),
        );
        c.ok("COMMIT");
    });
    check("in a transaction, rolled back", false, &|c| {
        begin(c);
        c.run(
            Batch::new()
                .query("COPY plain FROM STDIN")
                .bytes(&data().0)
                .copy_done(),
        );
        c.ok("ROLLBACK");
    });
    check("among other statements", true, &|c| {
        c.run(
            Batch::new()
                .query("SELECT 1; COPY plain FROM STDIN; SELECT 2")
                .bytes(&data().0)
                .copy_done(),
        );
    });
}

#[test]
fn p1_own_writes_by_function_call() {
    let ground = Ground::new("writes_function", SCHEMA);
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    writer.ok(RESET);
    let oid: u32 = direct
        .query("SELECT 'add_plain'::regproc::oid")
        .value()
        .unwrap()
        .parse()
        .unwrap();
    until_hit(&mut reader, READS[0]);
    let answer = writer.run(Batch::new().function_call(oid, &[&80i32.to_be_bytes()]));
    assert_eq!(answer.tags(), "VZ");
    compare("function call", &mut reader, &mut direct, READS);
}

#[test]
fn p1_own_writes_of_prepared_transactions() {
    let ground = Ground::new("writes_2pc", SCHEMA);
    let (mut writer, mut reader, mut other, mut direct) = (
        ground.through(),
        ground.through(),
        ground.through(),
        ground.direct(),
    );
    writer.ok(RESET);
    until_hit(&mut reader, READS[1]);
    for sql in [
        "BEGIN",
        "UPDATE plain SET name = 'prepared' WHERE id = 1",
        "PREPARE TRANSACTION 'writes_2pc'",
    ] {
        writer.ok(sql);
    }
    compare("prepared", &mut reader, &mut direct, READS);
    other.ok("COMMIT PREPARED 'writes_2pc'");
    assert_eq!(reader.query(READS[1]).value().as_deref(), Some("prepared"));
    compare("committed", &mut reader, &mut direct, READS);
}

#[test]
fn p1_cursors_write_too() {
    let ground = Ground::new("writes_cursor", SCHEMA);
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    writer.ok(RESET);
    until_hit(&mut reader, READS[1]);
    for sql in [
        "BEGIN",
        "DECLARE a CURSOR FOR SELECT * FROM plain WHERE id = 1 FOR UPDATE",
        "FETCH a",
        "UPDATE plain SET name = 'under the cursor' WHERE CURRENT OF a",
        "COMMIT",
    ] {
        writer.ok(sql);
    }
    assert_eq!(
        reader.query(READS[1]).value().as_deref(),
        Some("under the cursor")
    );
    compare("cursor", &mut reader, &mut direct, READS);
}

/// A ROLLBACK changes nothing, so nothing is invalidated.
#[test]
fn nothing_is_invalidated_by_a_rollback() {
    let ground = Ground::new("writes_rollback", SCHEMA);
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    writer.ok(RESET);
    let write = "UPDATE plain SET name = 'never' WHERE id = 1";
    let ways: &[(&str, &[&str])] = &[
        ("ROLLBACK", &["BEGIN", write, "ROLLBACK"]),
        (
            "ABORT",
            &[
                "BEGIN",
                write,
                "INSERT INTO owner VALUES (60, 'x')",
                "ABORT",
            ],
        ),
        (
            "ROLLBACK TO",
            &["BEGIN", "SAVEPOINT a", write, "ROLLBACK TO a", "ROLLBACK"],
        ),
        (
            "COMMIT of a failed transaction",
            &["BEGIN", write, "SELECT 1/0", "COMMIT"],
        ),
        (
            "a failed statement",
            &["UPDATE plain SET id = 2 WHERE id = 1"],
        ),
    ];
    // After an opaque statement a session is read again at its next read.
    until_hit(&mut writer, READS[1]);
    for (what, statements) in ways {
        until_hit(&mut reader, READS[1]);
        for sql in *statements {
            writer.query(sql);
            if writer.status != b'I' {
                reader.ok(READS[1]);
                assert_eq!(
                    reader.larder_last(),
                    "hit",
                    "{what}, after {sql}: uncommitted writes shut nobody out"
                );
            }
        }
        assert_eq!(writer.status, b'I');
        compare(what, &mut reader, &mut direct, &READS[1..2]);
        assert_eq!(reader.larder_last(), "hit", "{what}");
    }
    // The implicit transaction of a pipeline that fails.
    until_hit(&mut reader, READS[1]);
    writer.run(
        Batch::new()
            .unnamed(write, &[])
            .unnamed("SELECT 1/0", &[])
            .sync(),
    );
    compare("a failed pipeline", &mut reader, &mut direct, &READS[1..2]);
}

/// A connection that goes in the middle of a transaction has written nothing.
#[test]
fn p9_a_lost_client_leaves_nothing_shut() {
    let ground = Ground::new("writes_lost", SCHEMA);
    let (mut writer, mut reader) = (ground.through(), ground.through());
    writer.ok(RESET);
    until_hit(&mut reader, READS[1]);
    let mut gone = ground.through();
    gone.ok("BEGIN");
    gone.ok("UPDATE plain SET name = 'gone' WHERE id = 1");
    drop(gone);
    until_hit(&mut reader, READS[1]);
    // Without waiting for the answer of an autocommit write, too: PostgreSQL finishes it.
    let mut gone = ground.through();
    gone.send(
        Batch::new()
            .query("UPDATE plain SET name = 'finished' WHERE id = 1")
            .terminate(),
    );
    drop(gone);
    let deadline = Instant::now() + Duration::from_secs(20);
    while ground.direct().query(READS[1]).value().as_deref() != Some("finished") {
        assert!(Instant::now() < deadline, "the write never happened");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Nobody was told of it, but whoever has seen it must not see the state before; hits come back.
    until_hit(&mut reader, READS[1]);
    assert_eq!(reader.query(READS[1]).value().as_deref(), Some("finished"));
}

/// The answer of a COMMIT is lost on its way to Larder: what it wrote is not served until the backend is gone.
#[test]
fn p9_a_write_whose_answer_is_lost_stays_shut() {
    create_database("writes_doubt", SCHEMA);
    let relay = Relay::to(server_port());
    let larder = Setup::new(&upstream(relay.port, "writes_doubt")).start();
    let through = || Login::new(larder.port, SUPERUSER, "writes_doubt").connect();
    let (mut writer, mut reader) = (through(), through());
    writer.ok(RESET);
    until_hit(&mut reader, READS[1]);
    let mut direct = Login::new(server_port(), SUPERUSER, "writes_doubt").connect();
    // The backend is kept busy after the write by a trigger that waits for a lock we hold.
    direct.ok("BEGIN; SELECT pg_advisory_lock(7)");
    writer.ok("BEGIN");
    writer.ok("UPDATE plain SET name = 'in doubt' WHERE id = 1");
    relay.set(Fault::Hold(Toward::Client));
    writer.send(Batch::new().query("COMMIT"));
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut second = Login::new(server_port(), SUPERUSER, "writes_doubt").connect();
    while second.query(READS[1]).value().as_deref() != Some("in doubt") {
        assert!(Instant::now() < deadline, "the COMMIT never arrived");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Committed and visible, not acknowledged. Now the connection breaks.
    relay.set(Fault::CutAfter(Toward::Client, 0));
    assert!(
        writer.closed(),
        "the client of a lost upstream is told or closed"
    );
    relay.heal();
    let mut reader = through();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let value = reader.query(READS[1]).value();
        assert_eq!(
            value.as_deref(),
            Some("in doubt"),
            "the state before the lost COMMIT"
        );
        if reader.larder_last() == "hit" {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the cache never opens again: {}",
            larder.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fill and write race: a slow read that began before a write must not be kept after it.
#[test]
fn p1_a_slow_read_does_not_survive_a_write() {
    let ground = Ground::new("writes_race", SCHEMA);
    let mut writer = ground.through();
    writer.ok(RESET);
    ground.warm("plain");
    let slow = "SELECT a.name, count(*) FROM plain a, generate_series(1, 400000) g WHERE a.id = 1 AND g % 7 < 6 GROUP BY a.name";
    for round in 0..5 {
        let mut reader = ground.through();
        reader.send(Batch::new().query(slow));
        std::thread::sleep(Duration::from_millis(10));
        writer.ok(&format!(
            "UPDATE plain SET name = 'round {round}' WHERE id = 1"
        ));
        reader.until_ready();
        assert_eq!(reader.query(slow).value(), Some(format!("round {round}")));
        assert_eq!(
            ground.through().query(slow).value(),
            Some(format!("round {round}"))
        );
    }
}

/// While a COMMIT waits for its answer nothing it touches is served or filled.
#[test]
fn p1_reads_during_a_commit_reach_the_database() {
    create_database("writes_window", SCHEMA);
    let relay = Relay::to(server_port());
    let larder = Setup::new(&upstream(relay.port, "writes_window")).start();
    let through = || Login::new(larder.port, SUPERUSER, "writes_window").connect();
    let (mut writer, mut reader) = (through(), through());
    writer.ok(RESET);
    until_hit(&mut reader, READS[1]);
    // The writer's settings are known, too: its write goes out at once.
    until_hit(&mut writer, READS[1]);
    relay.set(Fault::Delay(Duration::from_millis(150)));
    for round in 0..3 {
        writer.send(Batch::new().query(&format!(
            "UPDATE plain SET name = 'window {round}' WHERE id = 1"
        )));
        std::thread::sleep(Duration::from_millis(60));
        // Either state is right now; what counts is that neither is kept as the other.
        reader.ok(READS[1]);
        assert_ne!(reader.larder_last(), "hit", "the window is open");
        writer.until_ready();
        assert_eq!(
            reader.query(READS[1]).value(),
            Some(format!("window {round}"))
        );
    }
}
