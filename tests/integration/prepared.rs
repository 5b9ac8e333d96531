//! SQL's PREPARE and EXECUTE: what was prepared is what is touched, and a text that does not parse touches nothing.

use crate::ground::Ground;
use crate::wireclient::{Answered, Batch, Client};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text);
    CREATE TABLE calm (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'n' || g FROM generate_series(1, 9) g;
    INSERT INTO calm VALUES (1, 'calm');
    CREATE FUNCTION renames(what text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN UPDATE calm SET name = what; RETURN what; END $$;
    CREATE FUNCTION again(name text) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'DEALLOCATE ' || name; EXECUTE 'PREPARE ' || name || ' AS UPDATE calm SET name = ''again'''; END $$;
    CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM 1 FROM nosuch; RETURN 1; END $$;";

const ITEM: &str = "SELECT name FROM items WHERE id = 1";
const CALM: &str = "SELECT name FROM calm WHERE id = 1";

fn ground(name: &str) -> Ground {
    let ground = Ground::new(name, SCHEMA);
    ground.warm("items");
    ground
}

/// Reads as PostgreSQL does; gives what it was.
fn read(ground: &Ground, client: &mut Client, sql: &str) -> String {
    let expected = ground.direct().ok(sql).value();
    assert_eq!(client.ok(sql).value(), expected, "{sql}");
    client.larder_last()
}

fn warm(ground: &Ground, client: &mut Client) {
    ground.warm("items");
    for sql in [ITEM, CALM] {
        read(ground, client, sql);
        assert_eq!(read(ground, client, sql), "hit", "{sql}");
    }
}

#[test]
fn p1_execute_writes_what_was_prepared() {
    let ground = ground("execute_writes");
    let (mut reader, mut client) = (ground.through(), ground.through());
    client.ok("PREPARE p (text) AS UPDATE items SET name = $1 WHERE id = 1");
    client.ok("PREPARE s AS SELECT name FROM items WHERE id = $1");
    for extended in [false, true] {
        let run = |client: &mut Client, sql: &str| match extended {
            true => client.extended(sql, &[]),
            false => client.query(sql),
        };
        warm(&ground, &mut reader);
        assert!(run(&mut client, "EXECUTE p('a' || 'b')").error().is_none());
        assert_eq!(client.larder_last(), "write");
        assert_eq!(read(&ground, &mut reader, CALM), "hit");
        assert_eq!(read(&ground, &mut reader, ITEM), "miss");
        // A read of the same kind touches nothing, and is not kept either.
        for _ in 0..2 {
            let value = run(&mut client, "EXECUTE s(1)").value();
            assert_eq!(value, ground.direct().ok(ITEM).value());
            assert_eq!(client.larder_last(), "bypass: execute");
        }
        for sql in [ITEM, CALM] {
            assert_eq!(read(&ground, &mut reader, sql), "hit", "{sql}");
        }
        client.ok("BEGIN");
        assert!(
            run(&mut client, "EXECUTE p('of a block')")
                .error()
                .is_none()
        );
        assert_eq!(read(&ground, &mut reader, ITEM), "hit");
        client.ok("COMMIT");
        assert_eq!(read(&ground, &mut reader, ITEM), "miss");
        assert_eq!(read(&ground, &mut reader, CALM), "hit");
    }
}

#[test]
fn p1_execute_of_what_is_in_doubt_writes_everything() {
    let ground = ground("execute_doubt");
    let mut reader = ground.through();
    for (setup, run) in [
        // Arguments are run here.
        ("", "EXECUTE p(renames('x'))"),
        ("", "EXPLAIN EXECUTE p(renames('y'))"),
        // Code has given the name another meaning.
        ("SELECT again('p')", "EXECUTE p"),
        (
            "DEALLOCATE p; PREPARE p AS UPDATE calm SET name = 'other'",
            "EXECUTE p",
        ),
        (
            "",
            "DEALLOCATE p; PREPARE p AS UPDATE calm SET name = 'third'; EXECUTE p",
        ),
    ] {
        let mut client = ground.through();
        client.ok("PREPARE p (text) AS SELECT name FROM items WHERE name = $1");
        if !setup.is_empty() {
            client.ok(setup);
        }
        warm(&ground, &mut reader);
        assert!(client.query(run).error().is_none(), "{run}");
        assert_ne!(read(&ground, &mut reader, CALM), "hit", "{setup}; {run}");
    }
}

#[test]
fn p1_execute_in_a_pipeline_with_its_prepare() {
    let ground = ground("execute_pipeline");
    let (mut reader, mut client) = (ground.through(), ground.through());
    warm(&ground, &mut reader);
    client.send(
        Batch::new()
            .query("PREPARE p AS SELECT name FROM items")
            .query("DEALLOCATE p")
            .query("PREPARE p AS UPDATE calm SET name = 'piped'")
            .query("EXECUTE p"),
    );
    client.until_ready_times(4);
    assert_ne!(read(&ground, &mut reader, CALM), "hit");
}

#[test]
fn a_typo_keeps_the_cache() {
    let ground = ground("typos");
    let (mut reader, mut client) = (ground.through(), ground.through());
    warm(&ground, &mut reader);
    for extended in [false, true] {
        for (sql, code) in [
            ("SELEC name FROM items", "42601"),
            ("SELECT name FROM items WHERE", "42601"),
            ("SELECT name FROM itmes", "42P01"),
            ("SELECT nmae FROM itmes", "42P01"),
            ("SELECT name FROM items WHERE lowre(name) = 'a'", "42883"),
            ("UPDATE itmes SET name = 'x'", "42P01"),
            ("UPDATE items SET nmae = 'x'", "42703"),
            ("CREATE TABEL x (id int)", "42601"),
            ("UPDATE calm SET name = 'never'; SELEC 1", "42601"),
        ] {
            for block in [false, true] {
                if block {
                    client.ok("BEGIN");
                }
                let answer = match extended {
                    true => client.extended(sql, &[]),
                    false => client.query(sql),
                };
                let state = answer.sqlstate();
                assert_eq!(state.as_deref(), Some(code), "{sql}");
                if block {
                    client.ok("ROLLBACK");
                }
                for read_sql in [ITEM, CALM] {
                    let last = read(&ground, &mut reader, read_sql);
                    assert_eq!(last, "hit", "{sql}, extended {extended}, block {block}");
                }
            }
        }
    }
    // The client's own next reads hit as well: nothing of its session is in doubt.
    assert_eq!(read(&ground, &mut client, ITEM), "hit");
    for sql in [
        "UPDATE calm SET name = 'undone'; SELECT nosuch",
        "UPDATE calm SET name = 'undone'; SELECT * FROM nosuch",
        "SELECT fails()",
        "SELECT renames('x'), 1 / 0",
    ] {
        assert!(client.query(sql).error().is_some(), "{sql}");
        ground.warm("items");
        for read_sql in [ITEM, CALM] {
            read(&ground, &mut reader, read_sql);
        }
    }
}

/// What has run before the error is in doubt, if it may be: a procedure commits.
#[test]
fn p1_an_error_behind_what_has_run_is_no_typo() {
    let ground = ground("typos_behind");
    ground
        .direct()
        .ok("CREATE PROCEDURE stays(bad text) LANGUAGE plpgsql AS
            $$ BEGIN UPDATE calm SET name = name || '+'; COMMIT; EXECUTE bad; END $$");
    let (mut reader, mut client) = (ground.through(), ground.through());
    for extended in [false, true] {
        for sql in [
            "CALL stays('SELEC')",
            "CALL stays('SELECT * FROM nosuch')",
            "DO $$ BEGIN UPDATE calm SET name = name || '-'; COMMIT; EXECUTE 'SELEC'; END $$",
            "DO $$ BEGIN UPDATE calm SET name = name || '-'; COMMIT; PERFORM * FROM nosuch; END $$",
        ] {
            warm(&ground, &mut reader);
            let answer = match extended {
                true => client.extended(sql, &[]),
                false => client.query(sql),
            };
            assert!(answer.error().is_some(), "{sql}");
            assert_ne!(read(&ground, &mut reader, CALM), "hit", "{sql}");
        }
    }
}
