//! Functions that are declared in the configuration: what they read is followed, and what they write is all they write.

use crate::ground::Ground;
use crate::larder::Setup;
use crate::wireclient::{Answered, Client, Transcript};

const SCHEMA: &str = "
    CREATE SCHEMA app;
    CREATE TABLE app.orders (id int PRIMARY KEY, cents int);
    CREATE TABLE app.log (n int);
    CREATE TABLE app.other (id int PRIMARY KEY, name text);
    CREATE TABLE app.watched (id int);
    INSERT INTO app.orders SELECT g, g * 10 FROM generate_series(1, 5) g;
    INSERT INTO app.other VALUES (1, 'one');
    CREATE FUNCTION app.order_total(up_to int) RETURNS bigint LANGUAGE plpgsql STABLE AS
        $$ BEGIN RETURN (SELECT sum(cents) FROM app.orders WHERE id <= up_to); END $$;
    CREATE FUNCTION app.order_total(up_to text, base int) RETURNS bigint LANGUAGE plpgsql AS
        $$ BEGIN RETURN base + app.order_total(up_to::int); END $$;
    CREATE FUNCTION app.doubled(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n * 2; END $$;
    CREATE VIEW app.totals AS SELECT id, app.order_total(id) AS total FROM app.other;
    CREATE FUNCTION app.note(what int) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'INSERT INTO app.log VALUES ($1)' USING what; RETURN what; END $$;
    CREATE FUNCTION app.mistaken(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n; END $$;
    CREATE PROCEDURE app.archive(upto int) LANGUAGE plpgsql AS
        $$ BEGIN DELETE FROM app.log WHERE n <= upto; COMMIT; INSERT INTO app.log VALUES (upto); END $$;
    CREATE PROCEDURE app.unknown() LANGUAGE plpgsql AS $$ BEGIN UPDATE app.orders SET cents = cents + 1; END $$;
    CREATE FUNCTION app.on_watched() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO app.log VALUES (-1); RETURN NULL; END $$;
    CREATE TRIGGER keep AFTER INSERT OR UPDATE OR DELETE ON app.watched FOR EACH STATEMENT EXECUTE FUNCTION app.on_watched();";

const DECLARED: &str = "
    [[function]]
    name = 'app.order_total(integer)'
    reads = ['app.orders']
    [[function]]
    name = 'app.doubled'
    pure = true
    [[function]]
    name = 'app.note(int)'
    writes = ['app.log']
    [[function]]
    name = 'app.archive'
    writes = ['app.log']
    [[function]]
    name = 'app.on_watched'
    writes = ['app.log']
    [[function]]
    name = 'app.mistaken'
    reads = ['app.order']
    [[function]]
    name = 'elsewhere.nothing'
    pure = true";

const LOG: &str = "SELECT count(*), sum(n) FROM app.log";
const OTHER: &str = "SELECT name FROM app.other WHERE id = 1";

fn ground(name: &str) -> Ground {
    let file = std::env::temp_dir().join(format!("larder-{name}-{}.toml", std::process::id()));
    std::fs::write(&file, DECLARED).expect("a file");
    let told = |setup: Setup| {
        setup
            .argument("--config")
            .argument(&file.display().to_string())
    };
    let ground = Ground::with(name, SCHEMA, told);
    let _ = std::fs::remove_file(&file);
    ground.warm("app.other");
    ground
}

/// The rows, whatever the protocol.
fn rows(transcript: &Transcript) -> Vec<Vec<u8>> {
    let rows = transcript.iter().filter(|frame| frame.tag == b'D');
    rows.map(|frame| frame.body.clone()).collect()
}

/// Reads by both protocols; each must say what PostgreSQL says. Gives what the last was.
fn read(ground: &Ground, client: &mut Client, sql: &str) -> [String; 2] {
    let expected = rows(&ground.direct().ok(sql));
    let mut lasts = [String::new(), String::new()];
    for (last, extended) in lasts.iter_mut().zip([false, true]) {
        let got = match extended {
            true => client.extended(sql, &[]),
            false => client.ok(sql),
        };
        assert_eq!(rows(&got), expected, "{sql}");
        *last = client.larder_last();
    }
    lasts
}

fn warm(ground: &Ground, client: &mut Client, sql: &str) {
    read(ground, client, sql);
    assert_eq!(read(ground, client, sql), ["hit", "hit"], "{sql}");
}

/// Runs it by either protocol in turn: first `LOG` is not the same, `OTHER` still hits.
fn writes_only_log(ground: &Ground, sql: &str) {
    let mut reader = ground.through();
    for extended in [false, true] {
        for read in [LOG, OTHER] {
            warm(ground, &mut reader, read);
        }
        let mut writer = ground.through();
        match extended {
            true => assert!(writer.extended(sql, &[]).error().is_none(), "{sql}"),
            false => drop(writer.ok(sql)),
        }
        assert_ne!(writer.larder_last(), "hit", "{sql}");
        assert_eq!(read(ground, &mut reader, LOG)[0], "miss", "{sql}");
        assert_eq!(read(ground, &mut reader, OTHER), ["hit", "hit"], "{sql}");
    }
}

#[test]
fn p1_a_declared_reader_hits_until_what_it_reads_is_written() {
    let ground = ground("declared_reads");
    let mut client = ground.through();
    for sql in [
        "SELECT app.order_total(3)",
        "SELECT id, app.order_total(id) AS total FROM app.other",
        "SELECT * FROM app.totals",
        "SELECT app.doubled(id) FROM app.orders ORDER BY id",
    ] {
        warm(&ground, &mut client, sql);
        for write in [
            "UPDATE app.orders SET cents = cents + 1",
            "INSERT INTO app.orders SELECT max(id) + 1, 7 FROM app.orders",
        ] {
            ground.through().ok(write);
            assert_eq!(read(&ground, &mut client, sql)[0], "miss", "{sql}: {write}");
            warm(&ground, &mut client, sql);
        }
        // It is not touched by what it does not read.
        ground.through().ok("INSERT INTO app.log VALUES (1)");
        assert_eq!(read(&ground, &mut client, sql), ["hit", "hit"], "{sql}");
    }
    // In a transaction as well, which stays clean.
    client.ok("BEGIN");
    for sql in ["SELECT app.order_total(3)", OTHER] {
        read(&ground, &mut client, sql);
        assert_eq!(read(&ground, &mut client, sql), ["hit", "hit"], "{sql}");
    }
    client.ok("COMMIT");
}

#[test]
fn p1_a_declared_writer_touches_what_it_is_said_to() {
    let ground = ground("declared_writes");
    for sql in [
        "SELECT app.note(4)",
        "SELECT app.note(id) FROM app.other",
        "CALL app.archive(3)",
        "INSERT INTO app.watched VALUES (1)",
        "UPDATE app.watched SET id = 2",
        // The trigger is a statement's: it runs although no row is there.
        "DELETE FROM app.watched WHERE id = 77",
    ] {
        writes_only_log(&ground, sql);
    }
    let mut client = ground.through();
    let mut reader = ground.through();
    for (end, last) in [("ROLLBACK", "hit"), ("COMMIT", "miss")] {
        warm(&ground, &mut reader, LOG);
        client.ok("BEGIN");
        client.ok("SELECT app.note(9)");
        client.ok("INSERT INTO app.watched VALUES (5)");
        assert_eq!(read(&ground, &mut reader, LOG), ["hit", "hit"]);
        client.ok(end);
        assert_eq!(read(&ground, &mut reader, LOG)[0], last, "{end}");
    }
}

#[test]
fn p1_what_is_not_declared_writes_everything() {
    let ground = ground("undeclared");
    let mut reader = ground.through();
    for sql in [
        "SELECT app.order_total('3', 1)",
        "SELECT app.mistaken(1)",
        "SELECT app.note(app.mistaken(1))",
        "CALL app.unknown()",
        "DO $$ BEGIN UPDATE app.orders SET cents = 0; END $$",
    ] {
        // The catalog is loaded again behind CALL and DO.
        ground.warm("app.other");
        warm(&ground, &mut reader, OTHER);
        let total = "SELECT app.order_total(3)";
        ground.warm("app.orders");
        warm(&ground, &mut reader, total);
        ground.through().ok(sql);
        assert_ne!(read(&ground, &mut reader, OTHER)[0], "hit", "{sql}");
        read(&ground, &mut reader, total);
    }
    let log = ground.larder.log();
    let wrong =
        "the declaration of app.mistaken does not count: there is no table or view app.order here";
    assert!(log.contains(wrong), "{log}");
    assert!(
        log.contains("a function is declared that is not in this database: elsewhere.nothing"),
        "{log}"
    );
    // What is made later is found by the load that follows; who drops it makes it undeclared again.
    let mut client = ground.through();
    client.ok("CREATE TABLE app.\"order\" (id int)");
    let declared = "SELECT app.mistaken(1)";
    ground.larder.wait_hit(&ground.login(), declared);
    client.ok("DROP TABLE app.\"order\"");
    ground.larder.wait_hit(&ground.login(), OTHER);
    client.ok(declared);
    assert_ne!(client.larder_last(), "hit");
    assert_ne!(read(&ground, &mut reader, OTHER)[0], "hit");
}
