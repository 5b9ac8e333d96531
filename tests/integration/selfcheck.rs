//! The self-check on a real server: nothing is called wrong that is right, and what is wrong is found.
//!
//! A wrong entry is made by a write past a Larder that was told that nobody writes past it.

use crate::ground::Ground;
use crate::wireclient::{Answered, Client};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text, price numeric);
    INSERT INTO items SELECT g, 'secret' || g, g FROM generate_series(1, 9) g;
    CREATE TABLE others (id int PRIMARY KEY);
    CREATE ROLE selfcheck_reader LOGIN; GRANT SELECT ON items TO selfcheck_reader;";
const READ: &str = "SELECT name FROM items WHERE id = 1";

fn ground(name: &str, outside: bool) -> Ground {
    let ground = Ground::alone_with(name, SCHEMA, |setup| {
        setup
            .set("VERIFY__SAMPLE", "1")
            .set("VERIFY__OUTSIDE_WRITERS", &outside.to_string())
    });
    // With every hit looked at none is served: a second miss says that the first was kept.
    let mut client = ground.through();
    while results(&ground, "same") == 0.0 {
        client.ok("SELECT count(*) AS warming FROM items");
    }
    ground
}

fn results(ground: &Ground, result: &str) -> f64 {
    ground
        .larder
        .metric("larder_verify_total", &[("result", result)])
}

fn mismatches(ground: &Ground) -> f64 {
    ground.larder.metric("larder_verify_mismatch_total", &[])
}

fn name(client: &mut Client, sql: &str) -> String {
    client.ok(sql).value().expect("a row")
}

#[test]
fn a_wrong_answer_is_found_told_of_and_served_no_more() {
    let ground = ground("selfcheck_wrong", false);
    let mut client = ground.through();
    assert_eq!(name(&mut client, READ), "secret1");
    let mut direct = ground.direct();
    direct.ok("UPDATE items SET name = 'sesame' WHERE id = 1");
    assert_eq!(
        name(&mut client, READ),
        "sesame",
        "the client gets the truth"
    );
    assert_eq!(
        (mismatches(&ground), results(&ground, "different")),
        (1.0, 1.0)
    );
    for _ in 0..2 {
        direct.ok("UPDATE items SET name = name || '!' WHERE id = 1");
        let now = direct.ok(READ).value();
        assert_eq!(client.ok(READ).value(), now);
        assert_eq!(client.larder_last(), "bypass: quarantined");
        assert_eq!(ground.through().extended(READ, &[]).value(), now);
    }
    assert_eq!(mismatches(&ground), 1.0);
    // Another statement over the same table is as before.
    let other = "SELECT price FROM items WHERE id = 2";
    client.ok(other);
    client.ok(other);
    assert_eq!(client.larder_last(), "miss");
    let log = ground.larder.log();
    let told = log.lines().filter(|l| l.contains("not the database's"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("public.items"), "{}", told[0]);
    for word in ["secret", "sesame", "SELECT"] {
        assert!(!log.contains(word), "{word} is in the log:\n{log}");
    }
}

#[test]
fn p6_an_answer_that_the_database_refuses_is_found() {
    let ground = ground("selfcheck_refused", false);
    let login = ground.login_as("selfcheck_reader");
    let mut reader = ground.over(&login).connect();
    for _ in 0..2 {
        reader.ok(READ);
        reader.extended("SELECT name FROM items WHERE id = $1", &["2"]);
    }
    let before = results(&ground, "different");
    // Within `catalog.refresh`, which has not passed.
    ground
        .direct()
        .ok("REVOKE SELECT ON items FROM selfcheck_reader");
    let refused = reader.extended("SELECT name FROM items WHERE id = $1", &["2"]);
    assert!(refused.error().is_some());
    // The catalog may have been found changed by now: then nothing was a hit.
    let found = results(&ground, "different") - before;
    let missed = ground.larder.metric(
        "larder_invalidations_total",
        &[("source", "catalog"), ("scope", "database")],
    );
    assert!(
        found == 1.0 || missed > 0.0,
        "{found} found, {missed} missed"
    );
    let refused = reader.query(READ);
    assert!(refused.error().is_some());
}

#[test]
fn where_others_write_nothing_is_called_wrong() {
    let ground = ground("selfcheck_outside", true);
    let mut client = ground.through();
    client.ok(READ);
    for round in 1..=3 {
        ground
            .direct()
            .ok(&format!("UPDATE items SET name = 'n{round}' WHERE id = 1"));
        assert_eq!(name(&mut client, READ), format!("n{round}"));
        assert_eq!(results(&ground, "outside"), f64::from(round));
        client.ok(READ);
        assert_eq!(client.larder_last(), "miss");
    }
    assert_eq!(
        (mismatches(&ground), results(&ground, "different")),
        (0.0, 0.0)
    );
}

#[test]
fn what_is_right_is_never_called_wrong() {
    let ground = ground("selfcheck_right", false);
    let mut client = ground.through();
    let reads = [
        "SELECT * FROM items ORDER BY id",
        "SELECT name, price FROM items WHERE id = 3 LIMIT 1",
        "SELECT name FROM items WHERE id < 5 LIMIT 2",
        "SELECT sum(price), array_agg(name) FROM items",
        "SELECT i.name FROM items i JOIN others o USING (id)",
        "SELECT DISTINCT price FROM items",
        "SELECT name FROM items WHERE id = $1",
        "SELECT relname FROM pg_catalog.pg_class WHERE relname = 'items'",
    ];
    let ask = |client: &mut Client, round: i32, sql: &str| match sql.contains("$1") {
        true => client.extended(sql, &["4"]),
        false if round % 2 == 0 => client.extended(sql, &[]),
        false => client.query(sql),
    };
    for round in 0..6 {
        let before = results(&ground, "same");
        let deadline = Instant::now() + Duration::from_secs(20);
        // DDL shuts the cache until the catalog is loaded again.
        while results(&ground, "same") < before + 10.0 {
            assert!(Instant::now() < deadline, "round {round}: no hits");
            for sql in reads {
                ask(&mut client, round, sql);
            }
        }
        match round {
            1 => client.ok("UPDATE items SET price = price + 1"),
            2 => client.ok("INSERT INTO others VALUES (1), (2)"),
            3 => client.ok("CREATE INDEX ON items (name)"),
            4 => client.ok("BEGIN; DELETE FROM items WHERE id = 3; ROLLBACK"),
            _ => client.ok("SET extra_float_digits = 0"),
        };
    }
    assert!(
        results(&ground, "same") > 20.0,
        "{}",
        ground.larder.metrics()
    );
    assert_eq!(mismatches(&ground), 0.0);
}

#[test]
fn nothing_is_looked_at_unless_asked_for() {
    let ground = Ground::new("selfcheck_off", "CREATE TABLE items (id int)");
    ground.warm("items");
    for result in ["same", "unordered", "outside", "different", "skipped"] {
        assert_eq!(results(&ground, result), 0.0);
    }
}
