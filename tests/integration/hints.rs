//! Hints in comments, Larder's own settings, and the trace: against PostgreSQL itself, which takes all of them for comments
//! and for settings of the application.

use crate::ground::{Ground, until_hit};
use crate::wireclient::{Answered, Batch, Client, Login, Transcript, field};

const SCHEMA: &str = "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one'), (2, 'two'); \
    CREATE FUNCTION turns_off() RETURNS void LANGUAGE plpgsql AS \
        $$BEGIN PERFORM set_config('larder.cache', 'off', false); END$$; \
    CREATE VIEW seen AS SELECT id, current_setting('larder.cache', true) AS cache FROM items";

const READ: &str = "SELECT name FROM items WHERE id = 1";

fn last(client: &mut Client, sql: &str) -> String {
    client.ok(sql);
    client.larder_last()
}

/// The messages of notices and warnings, severity first.
fn said(transcript: &Transcript) -> Vec<String> {
    let said = transcript.iter().filter(|frame| frame.tag == b'N');
    said.map(|frame| {
        let text = |wanted| field(&frame.body, wanted).expect("a field");
        format!("{} {}: {}", text(b'V'), text(b'C'), text(b'M'))
    })
    .collect()
}

fn bytes_of(sql: &[&str]) -> impl Fn(&mut Client) -> Transcript {
    move |client| {
        sql.iter()
            .flat_map(|sql| {
                let mut all = client.query(sql);
                all.extend(client.extended(sql, &[]));
                all
            })
            .collect()
    }
}

/// P7: without the trace, and while nothing is mistyped, nobody can tell that there are hints.
#[test]
fn p7_hints_and_settings_show_nowhere() {
    let ground = Ground::new("hints_same", SCHEMA);
    ground.warm("items");
    ground.same(
        "hints",
        bytes_of(&[
            READ,
            "/* larder: off */ SELECT name FROM items WHERE id = 1",
            "SELECT name FROM items /*+ CACHE_PARAM(ttl=300s) */ WHERE id = 1",
            "/*NO QUERY CACHE*/ SELECT name FROM items",
            "SELECT name FROM items -- larder: ttl=1m",
            "INSERT INTO items VALUES (3, 'three') /* larder: ttl=1m */",
            "DELETE FROM items WHERE id = 3 -- larder: off",
            "SELECT '/* larder: off */', $$-- larder: off\n$$, name FROM items",
            "SELECT name FROM items /* larder: off */; SELECT 2 /* larder: ttl=5s */",
            "/* larder: off */ SELECT nothing FROM items",
        ]),
    );
    ground.same(
        "settings",
        bytes_of(&[
            "SET larder.cache = off",
            READ,
            "SHOW larder.cache",
            "SELECT current_setting('larder.cache')",
            "SELECT cache, id FROM seen ORDER BY id",
            "RESET larder.cache",
            "SELECT set_config('larder.ttl', '5s', false)",
            "SHOW larder.ttl",
            READ,
            "BEGIN",
            "SET LOCAL larder.ttl = '7s'",
            "SHOW larder.ttl",
            READ,
            "ROLLBACK",
            "SHOW larder.ttl",
            "DISCARD ALL",
            READ,
        ]),
    );
}

#[test]
fn a_hint_is_of_its_statement() {
    let ground = Ground::new("hints_statement", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    until_hit(&mut client, READ);
    for off in [
        "/* larder: off */ SELECT name FROM items WHERE id = 1",
        "/*NO QUERY CACHE*/ SELECT name FROM items WHERE id = 1",
        "SELECT name FROM items WHERE id = 1 -- LARDER: OFF",
        "SELECT name FROM items /* larder: ttl=0s */ WHERE id = 1",
    ] {
        assert_eq!(last(&mut client, off), "bypass: hint", "{off}");
        client.extended(off, &[]);
        assert_eq!(client.larder_last(), "bypass: hint", "{off}");
    }
    assert_eq!(last(&mut client, READ), "hit");
    // A hint makes nothing cached that is not.
    for (sql, expected) in [
        (
            "SELECT random(), name FROM items",
            "bypass: volatile_function",
        ),
        ("SELECT name FROM items FOR UPDATE", "bypass: locking_read"),
        ("SELECT cache FROM seen", "bypass: opaque_view"),
    ] {
        let hinted = format!("/* larder: ttl=1h */ {sql}");
        for _ in 0..2 {
            assert_eq!(last(&mut client, &hinted), last(&mut client, sql), "{sql}");
        }
        assert_eq!(client.larder_last(), expected, "{sql}");
    }
    // Prepared, it stays what it is.
    let hinted = "SELECT name FROM items WHERE id = $1 /* larder: off */";
    client.run(Batch::new().parse("off", hinted, &[23]).sync());
    for _ in 0..3 {
        client.run(Batch::new().bind_text("off", &["1"]).execute("", 0).sync());
        assert_eq!(client.larder_last(), "bypass: hint");
    }
    // One of several statements: they go to the database together.
    let batch = "SELECT name FROM items WHERE id = 1; SELECT name FROM items WHERE id = 2 /* larder: off */";
    assert!(last(&mut client, batch).starts_with("bypass: "));
    let counted = ground
        .larder
        .metric("larder_bypass_total", &[("reason", "hint")]);
    assert!(counted >= 11.0, "{counted}");
}

#[test]
fn larder_cache_is_followed_by_whatever_way_it_is_set() {
    let ground = Ground::alone("hints_settings", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    until_hit(&mut client, READ);
    for (set, reset) in [
        ("SET larder.cache = off", "RESET larder.cache"),
        (
            "SET SESSION larder.cache TO 'false'",
            "SET larder.cache TO DEFAULT",
        ),
        (
            "SELECT set_config('larder.cache', 'no', false)",
            "DISCARD ALL",
        ),
        ("SELECT turns_off()", "SET larder.cache = on"),
        ("DO $$BEGIN SET larder.cache = off; END$$", "RESET ALL"),
        (
            "BEGIN; SET larder.cache = off; COMMIT",
            "SET larder.cache = 'yes'",
        ),
    ] {
        client.ok(set);
        assert_eq!(last(&mut client, READ), "bypass: hint", "{set}");
        client.ok(reset);
        // What runs code that is not known has made everything old.
        until_hit(&mut client, READ);
    }
    for (start, end) in [
        ("BEGIN; SET LOCAL larder.cache = off", "COMMIT"),
        ("BEGIN; SET LOCAL larder.cache = off", "ROLLBACK"),
        ("BEGIN; SET larder.cache = off", "ROLLBACK"),
        (
            "BEGIN; SAVEPOINT a; SET larder.cache = off",
            "ROLLBACK TO a; COMMIT",
        ),
    ] {
        for sql in start.split("; ") {
            client.ok(sql);
        }
        assert_eq!(last(&mut client, READ), "bypass: hint", "{start}");
        for sql in end.split("; ") {
            client.ok(sql);
        }
        assert_eq!(last(&mut client, READ), "hit", "{start} {end}");
    }
    let through = |change: fn(Login) -> Login| ground.over(&change(ground.login())).connect();
    let mut by_options = through(|login| login.parameter("options", "-c larder.cache=off"));
    assert_eq!(last(&mut by_options, READ), "bypass: hint");
    by_options.ok("SET larder.cache = on");
    assert_eq!(last(&mut by_options, READ), "hit", "it shares what is kept");
    by_options.ok("RESET larder.cache");
    assert_eq!(last(&mut by_options, READ), "bypass: hint");
    let mut by_startup = through(|login| login.parameter("larder.cache", "off"));
    assert_eq!(last(&mut by_startup, READ), "bypass: hint");
    // Defaults of a role and of a database, for who comes later.
    let mut direct = ground.direct();
    direct.ok(
        "CREATE ROLE reporter LOGIN; GRANT SELECT ON items TO reporter; \
        ALTER ROLE reporter SET larder.cache = off",
    );
    let reporter = ground.over(&ground.login_as("reporter"));
    assert_eq!(last(&mut reporter.connect(), READ), "bypass: hint");
    direct.ok("ALTER ROLE reporter RESET larder.cache; ALTER DATABASE hints_settings SET larder.cache = off");
    crate::ground::eventually("the database's default counts", || {
        last(&mut reporter.connect(), READ) == "bypass: hint"
    });
    assert_eq!(
        last(&mut client, READ),
        "hit",
        "who is there keeps what he has"
    );
}

/// P3: the time to live that a statement or session names is its own.
#[test]
fn p3_a_time_to_live_is_of_who_names_it() {
    let ground = Ground::with("hints_ttl", SCHEMA, |setup| setup.set("cache.ttl", "2s"));
    ground.warm("items");
    let mut client = ground.through();
    client.ok("UPDATE items SET name = 'uno' WHERE id = 1");
    let long = format!("{READ} /* larder: ttl=1h */");
    assert_eq!(last(&mut client, &long), "miss");
    assert_eq!(last(&mut client, &long), "hit");
    ground
        .direct()
        .ok("UPDATE items SET name = 'eins' WHERE id = 1");
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let old = client.ok(&long);
    assert_eq!(
        (old.value().as_deref(), &*client.larder_last()),
        (Some("uno"), "hit")
    );
    let new = client.ok(READ);
    assert_eq!(
        (new.value().as_deref(), &*client.larder_last()),
        (Some("eins"), "miss"),
        "who wishes nothing is not given what is older than cache.ttl"
    );
    // And a shorter one holds for what others have kept.
    client.ok("SET larder.ttl = '1us'");
    assert_eq!(last(&mut client, READ), "miss");
    assert_eq!(
        last(&mut client, &long),
        "hit",
        "the hint is the statement's own"
    );
    // An own write is seen by all of them.
    client.ok("UPDATE items SET name = 'un' WHERE id = 1");
    assert_eq!(client.ok(&long).value().as_deref(), Some("un"));
}

#[test]
fn the_trace_tells_of_each_statement_in_its_place() {
    let ground = Ground::new("hints_trace", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    until_hit(&mut client, READ);
    client.ok("SET larder.trace = on");
    let hit = client.query(READ);
    assert_eq!(hit.tags(), "NTDCZ");
    let words = said(&hit);
    assert!(
        words[0].starts_with("NOTICE 00000: larder: hit, age ") && words[0].ends_with(" more"),
        "{words:?}"
    );
    for (sql, expected) in [
        (
            "SELECT name FROM items WHERE id = 2",
            "NOTICE 00000: larder: miss",
        ),
        (
            "SELECT 1",
            "NOTICE 00000: larder: bypass: no_relation (the statement reads no relation (a health check must reach the database))",
        ),
        (
            "UPDATE items SET name = 'uno' WHERE id = 1",
            "NOTICE 00000: larder: write",
        ),
    ] {
        assert_eq!(said(&client.query(sql)), [expected], "{sql}");
    }
    assert!(said(&client.query("SET work_mem = '5MB'")).is_empty());
    // In a pipeline each is in front of its own rows.
    let read = "SELECT name FROM items WHERE id = $1";
    let batch = Batch::new()
        .unnamed(read, &["1"])
        .unnamed("SELECT pg_sleep(0.05)", &[]);
    let answer = client.run(batch.unnamed(read, &["2"]).sync());
    assert_eq!(said(&answer).len(), 3, "{}", answer.tags());
    let mut rows_before = Vec::new();
    let mut rows = 0;
    for frame in &answer {
        match frame.tag {
            b'N' => rows_before.push(rows),
            b'D' => rows += 1,
            _ => {}
        }
    }
    assert_eq!(rows_before, [0, 1, 2], "{}", answer.tags());
    // COPY in both directions is as ever.
    let batch = Batch::new().query("COPY items FROM STDIN");
    client.send(batch.copy_data(b"7\tseven\n").copy_done());
    assert_eq!(client.until_ready().tags(), "NGCZ");
    let copied = client.query("COPY items TO STDOUT");
    assert!(copied.tags().starts_with("Hd"), "{}", copied.tags());
    // What the client does not want to hear it is not told.
    client.ok("SET client_min_messages = 'WARNING'");
    assert!(said(&client.query(READ)).is_empty());
    client.ok("RESET client_min_messages");
    assert_eq!(said(&client.query(READ)).len(), 1);
    client.ok("RESET larder.trace");
    assert!(said(&client.query(READ)).is_empty());
}

#[test]
fn what_is_mistyped_is_off_and_said_once() {
    let ground = Ground::new("hints_typo", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    until_hit(&mut client, READ);
    let typo = format!("{READ} /* larder: tll=30s */");
    let words = said(&client.query(&typo));
    assert!(
        words.len() == 1 && words[0].starts_with("WARNING 01000: larder: a comment"),
        "{words:?}"
    );
    assert_eq!(client.larder_last(), "bypass: hint");
    assert!(said(&client.query(&typo)).is_empty());
    assert_eq!(client.larder_last(), "bypass: hint");
    client.ok("SET larder.ttl = 30");
    let words = said(&client.query(READ));
    assert!(
        words.len() == 1 && words[0].contains("larder.ttl"),
        "{words:?}"
    );
    assert_eq!(client.larder_last(), "bypass: hint");
    client.ok("SET larder.ttl = '30s'");
    assert!(said(&client.query(READ)).is_empty());
    assert_eq!(client.larder_last(), "hit");
}

#[test]
fn settings_that_were_not_set_are_shown() {
    let ground = Ground::with("hints_show", SCHEMA, |setup| setup.set("cache.ttl", "90s"));
    ground.warm("items");
    let mut client = ground.through();
    for (name, default) in [("cache", "on"), ("ttl", "90s"), ("trace", "off")] {
        let show = format!("SHOW larder.{name}");
        assert_eq!(client.query(&show).value().as_deref(), Some(default));
        let extended = client.extended(&show, &[]);
        assert_eq!(
            (extended.tags().as_str(), extended.value().as_deref()),
            ("12TDCZ", Some(default))
        );
        client.ok(&format!("SET larder.{name} = 'x'"));
        assert_eq!(client.query(&show).value().as_deref(), Some("x"));
        client.ok(&format!("RESET larder.{name}"));
    }
    // Also where a function may have set it, prepared or not.
    client.run(Batch::new().parse("show", "SHOW larder.cache", &[]).sync());
    client.ok("BEGIN");
    client.ok("SELECT turns_off()");
    let show = Batch::new().bind_text("show", &[]).execute("", 0).sync();
    assert_eq!(client.run(show).value().as_deref(), Some("off"));
    assert_eq!(
        client.query("SHOW larder.cache").value().as_deref(),
        Some("off")
    );
    client.ok("COMMIT");
    assert_eq!(
        client.query("SHOW larder.cache").value().as_deref(),
        Some("off")
    );
}

#[test]
fn a_setting_is_the_clients_own_where_connections_are_shared() {
    let ground = Ground::with("hints_pool", SCHEMA, |setup| {
        setup
            .set("pool.mode", "transaction")
            .set("pool.pool_size", "2")
    });
    ground.warm("items");
    let (mut one, mut other) = (ground.through(), ground.through());
    until_hit(&mut other, READ);
    one.ok("SET larder.cache = off");
    for _ in 0..3 {
        assert_eq!(last(&mut one, READ), "bypass: hint");
        assert_eq!(last(&mut other, READ), "hit");
        assert_eq!(last(&mut other, "SELECT 1"), "bypass: no_relation");
    }
    one.ok("BEGIN");
    one.ok("SET LOCAL larder.cache = on");
    assert_eq!(last(&mut one, READ), "hit");
    one.ok("COMMIT");
    assert_eq!(last(&mut one, READ), "bypass: hint");
}

#[test]
fn observe_says_what_would_be() {
    let ground = Ground::with("hints_observe", SCHEMA, |setup| {
        setup.set("cache.mode", "observe")
    });
    let mut client = ground.through();
    client.ok("SET larder.trace = on");
    let would = "NOTICE 00000: larder: would be a hit (cache.mode is observe)";
    crate::ground::eventually("a hit that would be", || {
        said(&client.query(READ)) == [would]
    });
    let off = format!("{READ} -- larder: off");
    let words = said(&client.query(&off));
    assert!(
        words[0].starts_with("NOTICE 00000: larder: bypass: hint ("),
        "{words:?}"
    );
}

/// What sqlcommenter, Marginalia and tracers write behind a statement is another text each time, and the same answer.
#[test]
fn comments_of_tracers_do_not_matter() {
    let ground = Ground::new("hints_tracers", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    let before = ground.larder.outcome("miss");
    let read = "SELECT name FROM items WHERE id = $1";
    let traced = |n: usize| {
        format!(
            "{read} /*action='show',controller='items',db_driver='django.db.backends.postgresql',\
            traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3d{n:02}-01',tracestate='congo%3Dt61rcWkgMzE'*/"
        )
    };
    for n in 0..5 {
        let sql = traced(n);
        let answer = client.extended(&sql, &["1"]);
        assert_eq!(answer.value().as_deref(), Some("one"));
        let expected = if n == 0 { "miss" } else { "hit" };
        assert_eq!(client.larder_last(), expected, "{sql}");
    }
    // In front, too, and by name: Rails' and psycopg's way.
    for n in 0..3 {
        let sql = format!("/*application:shop,request_id:{n}*/ {read}");
        client.run(Batch::new().parse(&format!("s{n}"), &sql, &[]).sync());
        client.run(
            Batch::new()
                .bind_text(&format!("s{n}"), &["1"])
                .execute("", 0)
                .sync(),
        );
        assert_eq!(client.larder_last(), "hit", "{sql}");
    }
    assert_eq!(ground.larder.outcome("miss") - before, 1.0);
    // A hint beside them is one.
    let sql = format!("{} /* larder: off */", traced(9));
    client.extended(&sql, &["1"]);
    assert_eq!(client.larder_last(), "bypass: hint");
}
