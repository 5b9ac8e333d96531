//! `EXPLAIN (LARDER)`: what Larder says of a statement is what it then does with it, and nothing of it is run.

use crate::ground::{Ground, eventually};
use crate::wireclient::{Answered, Batch, Bind, Client};

const SCHEMA: &str = "CREATE TABLE users (id int PRIMARY KEY, name text); \
    CREATE TABLE orders (id int PRIMARY KEY, buyer int REFERENCES users ON DELETE CASCADE, day date) ; \
    CREATE TABLE parts (id int, n int) PARTITION BY RANGE (id); \
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (100); \
    CREATE VIEW buyers AS SELECT u.name, count(*) FROM users u JOIN orders o ON o.buyer = u.id GROUP BY 1; \
    CREATE VIEW lucky AS SELECT name, random() FROM users; \
    CREATE TABLE secret (id int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY; \
    CREATE TABLE audited (id int); \
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
    CREATE TRIGGER audit BEFORE INSERT ON audited FOR EACH ROW EXECUTE FUNCTION audit(); \
    CREATE FUNCTION mine(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1'; \
    INSERT INTO users VALUES (1, 'ann'); INSERT INTO orders VALUES (1, 1, '2024-01-01')";

/// The rows of one text column.
fn lines(client: &mut Client, sql: &str) -> Vec<String> {
    let answer = client.ok(sql);
    let rows = answer.rows().into_iter();
    rows.map(|row| row[0].clone().expect("text")).collect()
}

fn explain(client: &mut Client, statement: &str) -> Vec<String> {
    lines(client, &format!("EXPLAIN (LARDER) {statement}"))
}

/// The items under a heading.
fn under(lines: &[String], heading: &str) -> Vec<String> {
    let from = lines
        .iter()
        .position(|line| line.starts_with(&format!("  {heading}: ")));
    let Some(from) = from else { return Vec::new() };
    let first = lines[from]
        .split_once(": ")
        .expect("a heading")
        .1
        .to_owned();
    let rest = lines[from + 1..].iter();
    let rest = rest.take_while(|line| line.starts_with("    "));
    std::iter::once(first)
        .chain(rest.map(|line| line.trim().to_owned()))
        .collect()
}

#[test]
fn what_is_said_is_what_happens() {
    let ground = Ground::new("explain_says", SCHEMA);
    ground.warm("users");
    let mut client = ground.through();
    let read = "SELECT name FROM users WHERE id = 1";
    let before = explain(&mut client, read);
    assert_eq!(
        before[0],
        "Larder: cacheable (miss now; would be kept 30 min: cache.ttl)"
    );
    assert_eq!(
        under(&before, "Reads"),
        ["public.users (named in the statement)"]
    );
    assert_eq!(under(&before, "TTL"), ["30 min (cache.ttl)"]);
    assert_eq!(under(&before, "Stamp")[0], "no answer in memory");
    client.ok(read);
    assert_eq!(client.larder_last(), "miss", "asking has kept nothing");
    let after = explain(&mut client, read);
    assert!(
        after[0].starts_with("Larder: cacheable (hit now: "),
        "{after:?}"
    );
    client.ok(read);
    assert_eq!(client.larder_last(), "hit");
    client.ok("UPDATE users SET name = 'bob' WHERE id = 1");
    let stale = explain(&mut client, read);
    assert!(stale[0].contains("miss now"), "{stale:?}");
    assert_eq!(
        under(&stale, "Stamp")[0],
        "the answer in memory was raised by public.users"
    );
    // The session's own reasons, and what would be without them.
    client.ok("BEGIN");
    client.ok("INSERT INTO users VALUES (2, 'carl')");
    let dirty = explain(&mut client, read);
    assert!(
        dirty[0].starts_with("Larder: bypass - transaction_dirty: "),
        "{dirty:?}"
    );
    assert_eq!(
        under(&dirty, "Note"),
        ["by itself the statement is cacheable"]
    );
    assert_eq!(client.status, b'T', "it leaves the block as it is");
    client.ok("ROLLBACK");
    // A write that is under way elsewhere.
    client.ok("SET work.unit = '7'");
    let set = explain(&mut client, read);
    let key = under(&set, "Key").concat();
    assert!(
        key.contains("settings of this session: work.unit") && !key.contains('7'),
        "{key}"
    );
}

#[test]
fn the_reason_names_its_object() {
    let ground = Ground::new("explain_reason", SCHEMA);
    ground.warm("users");
    let mut client = ground.through();
    for (statement, expected) in [
        (
            "SELECT random() FROM users",
            "bypass - volatile_function: a volatile function (function random())",
        ),
        (
            "SELECT mine(id) FROM users",
            "bypass - user_function: a function that is not PostgreSQL's own, and not declared as one that only reads (function mine())",
        ),
        (
            "SELECT * FROM lucky",
            "bypass - opaque_view: a view over something that is itself not cacheable (view public.lucky: its function random())",
        ),
        (
            "SELECT * FROM secret",
            "bypass - row_security: a table with row-level security (table public.secret)",
        ),
        (
            "SELECT * FROM nowhere",
            "bypass - unknown_relation: a relation that the catalog does not have (nowhere)",
        ),
        (
            "SELECT 1",
            "bypass - no_relation: the statement reads no relation (a health check must reach the database)",
        ),
        (
            "SELECT 1 FROM users FOR UPDATE",
            "bypass - locking_read: FOR UPDATE, FOR SHARE and their kin",
        ),
        ("INSERT INTO users VALUES (7, 'x')", "write"),
    ] {
        let told = explain(&mut client, statement);
        assert_eq!(told[0], format!("Larder: {expected}"), "{statement}");
    }
    let several = explain(&mut client, "SELECT random() FROM secret");
    assert!(
        under(&several, "Also in the way")[0].starts_with("volatile_function: "),
        "{several:?}"
    );
    let helps = |line: &String| line.contains("What would help: move it out of the statement");
    assert!(several.iter().any(helps), "{several:?}");
    assert_eq!(
        under(
            &explain(&mut client, "SELECT * FROM buyers, parts"),
            "Reads"
        ),
        [
            "public.buyers (named in the statement)",
            "public.parts (named in the statement)",
            "public.users (below view public.buyers)",
            "public.orders (below view public.buyers)",
            "public.parts_1 (a partition of public.parts)",
        ]
    );
    // No literal of the statement is ever shown.
    let told = explain(
        &mut client,
        "SELECT mine(4711) FROM users WHERE name = 'hush'",
    );
    assert!(
        !told.concat().contains("4711") && !told.concat().contains("hush"),
        "{told:?}"
    );
}

#[test]
fn a_write_says_what_it_makes_old() {
    let ground = Ground::new("explain_writes", SCHEMA);
    ground.warm("users");
    let mut client = ground.through();
    for (statement, expected) in [
        (
            "DELETE FROM users WHERE id = 1",
            &[
                "public.users (named in the statement)",
                "public.orders (its foreign key to public.users carries the change on)",
            ][..],
        ),
        (
            "INSERT INTO orders VALUES (2, 1, '2024-01-02')",
            &["public.orders (named in the statement)"],
        ),
        (
            "UPDATE parts SET n = 1",
            &[
                "public.parts (named in the statement)",
                "public.parts_1 (a partition of public.parts)",
            ],
        ),
        (
            "INSERT INTO audited VALUES (1)",
            &[
                "everything, because public.audited has a trigger whose function public.audit() may write anything",
            ],
        ),
        (
            "SELECT mine(1)",
            &["everything, because function mine() may write anything"],
        ),
    ] {
        let told = explain(&mut client, statement);
        assert_eq!(under(&told, "Invalidates"), expected, "{statement}");
    }
    // Nothing of it was run.
    let mut direct = ground.direct();
    let count = "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM orders) + (SELECT count(*) FROM audited)";
    assert_eq!(direct.query(count).value().as_deref(), Some("2"));
    assert_eq!(ground.larder.outcome("write"), 0.0);
}

#[test]
fn it_is_a_statement_like_any_other() {
    let ground = Ground::new("explain_shape", SCHEMA);
    ground.warm("users");
    let mut client = ground.through();
    let simple = client.query("EXPLAIN (LARDER) SELECT name FROM users");
    assert!(simple.tags().starts_with("TDD"), "{}", simple.tags());
    assert_eq!(simple.complete(), ["EXPLAIN"]);
    let sql = "explain /* ? */ ( Larder ) SELECT name FROM users WHERE id = $1 AND name <> $2";
    let extended = client.extended(sql, &["1", "x"]);
    assert!(extended.tags().starts_with("12TDD"), "{}", extended.tags());
    // Described before it is bound, as drivers do.
    let described = client.run(
        Batch::new()
            .parse("why", sql, &[23])
            .describe_statement("why")
            .sync(),
    );
    assert_eq!(described.tags(), "1tTZ");
    assert_eq!(
        described[1].body,
        [&[0, 2][..], &23u32.to_be_bytes(), &25u32.to_be_bytes()].concat()
    );
    let ask = |client: &mut Client| {
        client.run(
            Batch::new()
                .bind_text("why", &["1", "x"])
                .execute("", 0)
                .sync(),
        )
    };
    let before = ask(&mut client);
    assert!(
        before.rows()[0][0]
            .as_deref()
            .is_some_and(|line| line.contains("miss now"))
    );
    let read = "SELECT name FROM users WHERE id = $1 AND name <> $2";
    client.run(
        Batch::new()
            .parse("", read, &[23])
            .bind_text("", &["1", "x"])
            .execute("", 0)
            .sync(),
    );
    let after = ask(&mut client);
    assert!(
        after.rows()[0][0]
            .as_deref()
            .is_some_and(|line| line.contains("hit now")),
        "{:?}",
        after.rows()
    );
    // A row limit suspends it.
    let some = client.run(
        Batch::new()
            .bind(Bind {
                portal: "p",
                statement: "why",
                params: &[Some(b"1"), Some(b"x")],
                ..Bind::default()
            })
            .execute("p", 1)
            .execute("p", 2)
            .execute("p", 0)
            .sync(),
    );
    assert!(
        some.tags().starts_with("2DsDDsD") && some.tags().ends_with("CZ"),
        "{}",
        some.tags()
    );
    assert_eq!(some.rows().len(), after.rows().len());
    // By simple protocol nobody knows the parameters.
    let open = explain(&mut client, read);
    assert!(
        open[0].starts_with("Larder: cacheable (is kept 30 min"),
        "{open:?}"
    );
}

#[test]
fn it_fails_where_postgresql_would() {
    let ground = Ground::new("explain_fails", SCHEMA);
    ground.warm("users");
    let mut client = ground.through();
    let state = |client: &mut Client, sql: &str| client.query(sql).sqlstate();
    for option in ["LARDER, ANALYZE", "ANALYZE, LARDER", "LARDER, FORMAT json"] {
        let sql = format!("EXPLAIN ({option}) DELETE FROM users");
        let answer = client.query(&sql);
        assert_eq!(answer.sqlstate().as_deref(), Some("42601"), "{sql}");
        assert!(
            format!("{answer:?}").contains("takes no other option"),
            "{answer:?}"
        );
        assert_eq!(
            client.extended(&sql, &[]).sqlstate().as_deref(),
            Some("42601")
        );
        assert_eq!(client.status, b'I');
    }
    client.ok("BEGIN");
    assert_eq!(
        state(&mut client, "EXPLAIN (LARDER, VERBOSE) SELECT 1").as_deref(),
        Some("42601")
    );
    assert_eq!(client.status, b'E', "the block fails with it");
    for _ in 0..2 {
        assert_eq!(
            state(&mut client, "EXPLAIN (LARDER) SELECT 1").as_deref(),
            Some("25P02")
        );
        let answer = client.extended("EXPLAIN (LARDER) SELECT 1", &[]);
        assert_eq!(answer.sqlstate().as_deref(), Some("25P02"));
    }
    client.ok("ROLLBACK");
    assert_eq!(
        state(&mut client, "EXPLAIN (LARDER) SELEC 1").as_deref(),
        Some("42601")
    );
    assert_eq!(
        state(&mut client, "EXPLAIN (LARDER) SELECT 1; DELETE FROM users").as_deref(),
        Some("42601"),
        "PostgreSQL does not know the option"
    );
    assert_eq!(
        client
            .query("SELECT count(*) FROM users")
            .value()
            .as_deref(),
        Some("1")
    );
    // Other forms are PostgreSQL's.
    ground.same("explain", |client| {
        let mut all = client.query("EXPLAIN (COSTS off) SELECT * FROM users");
        all.extend(client.query("EXPLAIN (LARDER false) SELECT 1"));
        all.extend(client.extended("EXPLAIN (COSTS off) UPDATE users SET id = 2", &[]));
        all
    });
}

#[test]
fn a_prepared_statement_is_explained_by_its_name() {
    let ground = Ground::new("explain_execute", SCHEMA);
    ground.warm("users");
    let mut client = ground.through();
    client.ok("PREPARE p (int) AS SELECT name FROM users WHERE id = $1");
    client.ok("PREPARE d AS DELETE FROM users");
    let read = explain(&mut client, "EXECUTE p(1)");
    assert!(
        read[0].starts_with("Larder: bypass - execute: "),
        "{read:?}"
    );
    assert_eq!(
        under(&read, "Reads"),
        ["public.users (named in the statement)"]
    );
    assert!(
        under(&read, "Note").contains(
            &"sent by the protocol's Parse, Bind and Execute it would be cacheable".to_owned()
        ),
        "{read:?}"
    );
    let write = explain(&mut client, "EXECUTE d");
    assert_eq!(write[0], "Larder: write");
    assert_eq!(under(&write, "Invalidates").len(), 2, "{write:?}");
    assert_eq!(
        client
            .query("SELECT count(*) FROM users")
            .value()
            .as_deref(),
        Some("1")
    );
    let unknown = explain(&mut client, "EXECUTE nothing");
    assert!(
        unknown.concat().contains("is not known here"),
        "{unknown:?}"
    );
}

#[test]
fn it_answers_in_every_mode() {
    for (mode, expected) in [
        ("off", "Larder: bypass - off: `cache.mode` is off"),
        ("observe", "Larder: cacheable (miss now"),
    ] {
        let ground = Ground::with(&format!("explain_{mode}"), SCHEMA, |setup| {
            setup.set("CACHE__MODE", mode)
        });
        let mut client = ground.through();
        eventually(expected, || {
            explain(&mut client, "SELECT name FROM users")[0].starts_with(expected)
        });
        let answer = client.extended("EXPLAIN (LARDER) SELECT name FROM users", &[]);
        assert!(
            answer.rows()[0][0]
                .as_deref()
                .is_some_and(|line| line.starts_with(expected))
        );
    }
}

#[test]
fn it_waits_for_its_turn() {
    let ground = Ground::new("explain_turn", SCHEMA);
    ground.warm("users");
    let mut client = ground.through();
    // Behind a write that is under way it says what is then.
    client.send(
        Batch::new()
            .query("BEGIN")
            .query("INSERT INTO users SELECT 9, pg_sleep(0.1)::text")
            .query("EXPLAIN (LARDER) SELECT name FROM users")
            .query("ROLLBACK")
            .query("EXPLAIN (LARDER) SELECT name FROM users"),
    );
    let answers = client.until_ready_times(5);
    let rows = answers.rows();
    let heads: Vec<_> = rows
        .iter()
        .filter_map(|row| row[0].as_deref())
        .filter(|line| line.starts_with("Larder: "))
        .collect();
    assert_eq!(heads.len(), 2, "{answers:?}");
    assert!(
        heads[0].starts_with("Larder: bypass - transaction_dirty"),
        "{heads:?}"
    );
    assert!(!heads[1].contains("transaction_dirty"), "{heads:?}");
}

#[test]
fn hits_are_told_to_the_log_on_request() {
    let ground = Ground::with("explain_audit", SCHEMA, |setup| {
        setup.set("LOG__AUDIT", "hits").set("LOG__LEVEL", "error")
    });
    ground.warm("users");
    let read = "SELECT name FROM users WHERE name = 'hush' OR id = $1";
    let login = ground.over(&ground.login().parameter("application_name", "shop"));
    let mut client = login.connect();
    eventually("a hit", || {
        client.extended(read, &["4711"]);
        client.larder_last() == "hit"
    });
    let told = explain(&mut client, read);
    let statement = told
        .last()
        .expect("a line")
        .rsplit(' ')
        .next()
        .expect("a number")
        .to_owned();
    eventually("it is told", || ground.larder.log().contains(&statement));
    let log = ground.larder.log();
    let line = log
        .lines()
        .find(|line| line.contains(&statement))
        .expect("it");
    for word in [
        "larder::audit",
        "explain_audit",
        "postgres",
        "shop",
        "age_ms",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(
        !log.contains("hush") && !log.contains("4711") && !log.contains("SELECT"),
        "{log}"
    );
    // Not asked for, nothing is told.
    let quiet = Ground::new("explain_quiet", SCHEMA);
    quiet.warm("users");
    assert!(!quiet.larder.log().contains("larder::audit"));
}
