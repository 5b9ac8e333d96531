//! What each statement did, as the status says it: counted by shape, with no constant of anybody in it.

use crate::ground::{Ground, eventually, until_hit};
use crate::wireclient::Client;
use serde_json::Value;

const SCHEMA: &str = "CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 50) g;
    CREATE TABLE stock (id int PRIMARY KEY, name text);
    INSERT INTO stock SELECT g, 'left' FROM generate_series(1, 50) g;";

fn status(ground: &Ground) -> Value {
    let (code, body) = ground
        .larder
        .http("/status?statements=5000")
        .expect("an answer");
    assert_eq!(code, 200, "{body}");
    serde_json::from_str(&body).expect("JSON")
}

/// The line of a shape.
fn line(ground: &Ground, shape: &str) -> Option<Value> {
    let status = status(ground);
    let mut lines = status["queries"].as_array().expect("queries").iter();
    lines.find(|line| line["query"] == shape).cloned()
}

/// The same, where it must be there.
fn known(ground: &Ground, shape: &str) -> Value {
    line(ground, shape).unwrap_or_else(|| panic!("no {shape} in {:#}", status(ground)["queries"]))
}

fn count(line: &Value, column: &str) -> u64 {
    line[column]
        .as_u64()
        .unwrap_or_else(|| panic!("{column} in {line}"))
}

/// Runs it and says what became of it.
fn last(client: &mut Client, sql: &str) -> String {
    client.ok(sql);
    client.larder_last()
}

#[test]
fn each_outcome_is_counted_at_its_shape() {
    let ground = Ground::new("statements_outcomes", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    until_hit(&mut client, "SELECT name FROM items WHERE id = 1");
    let shape = "SELECT name FROM items WHERE id = ?";
    let before = known(&ground, shape);
    for id in 2..=4 {
        let sql = format!("SELECT name FROM items WHERE id = {id}");
        assert_eq!(last(&mut client, &sql), "miss");
        assert_eq!(last(&mut client, &sql), "hit");
        assert_eq!(last(&mut client, &sql), "hit");
    }
    let after = known(&ground, shape);
    let more = |column: &str| count(&after, column) - count(&before, column);
    assert_eq!(
        (more("calls"), more("hits"), more("misses")),
        (9, 6, 3),
        "{after}"
    );
    assert_eq!(
        count(&after, "entries"),
        4,
        "one answer a constant: {after}"
    );
    assert!(count(&after, "bytes") > 0, "{after}");
    assert!(after["upstream_ms_avg"].as_f64().unwrap() > 0.0, "{after}");
    assert_eq!(
        count(&after, "calls"),
        ["hits", "misses", "bypasses", "writes", "others"]
            .iter()
            .map(|column| count(&after, column))
            .sum::<u64>(),
        "each call has one outcome: {after}"
    );

    client.ok("UPDATE stock SET name = 'sold' WHERE id = 7");
    let write = known(&ground, "UPDATE stock SET name = ? WHERE id = ?");
    assert_eq!(
        (count(&write, "calls"), count(&write, "writes")),
        (1, 1),
        "{write}"
    );

    client.ok("SELECT name, random() FROM items WHERE id = 7");
    let bypass = known(&ground, "SELECT name, random() FROM items WHERE id = ?");
    assert_eq!(
        (count(&bypass, "calls"), count(&bypass, "bypasses")),
        (1, 1)
    );
    assert_eq!(bypass["reason"], "volatile_function", "{bypass}");
}

/// The three ways to ask are one statement if their texts are one.
#[test]
fn prepared_and_simple_are_counted_alike() {
    let ground = Ground::new("statements_prepared", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    let sql = "SELECT name FROM items WHERE id = $1";
    for round in 0..6 {
        client.extended(sql, &[if round % 2 == 0 { "3" } else { "4" }]);
    }
    let line = known(&ground, sql);
    assert_eq!(count(&line, "calls"), 6, "{line}");
    assert_eq!(count(&line, "misses"), 2, "{line}");
    assert_eq!(count(&line, "hits"), 4, "{line}");
    let again = known(&ground, sql);
    assert_eq!(line["id"], again["id"]);
    assert_eq!(line["id"].as_str().map(str::len), Some(16), "{line}");
}

#[test]
fn what_made_an_answer_untrue_is_named() {
    let ground = Ground::new("statements_cause", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    let read = "SELECT i.name FROM items i JOIN stock s ON s.id = i.id WHERE i.id = 5";
    until_hit(&mut client, read);
    let shape = "SELECT i.name FROM items i JOIN stock s ON s.id = i.id WHERE i.id = ?";
    assert!(
        known(&ground, shape)["cause"].is_null(),
        "nothing has happened yet"
    );
    client.ok("UPDATE stock SET name = 'sold' WHERE id = 5");
    eventually("the read misses and fills again", || {
        last(&mut client, read) == "hit"
    });
    let line = known(&ground, shape);
    assert_eq!(line["cause"], "public.stock", "{line}");
    assert!(line["last_invalidation"].is_string(), "{line}");

    let status = status(&ground);
    let tables = status["tables"].as_array().expect("tables");
    let table = |name: &str| {
        let found = tables.iter().find(|line| line["table"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {tables:?}"))
    };
    assert!(count(table("stock"), "invalidations") >= 1);
    assert_eq!(count(table("items"), "invalidations"), 0);
    assert!(count(table("items"), "entries") >= 1);
}

/// Hazard 76: whatever the text, nobody's constant is shown, neither here nor as a metric.
#[test]
fn no_constant_is_shown() {
    let ground = Ground::new("statements_secrets", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    for constant in [
        "'hush'",
        "'hush''hush'",
        r"E'\'hush\\'",
        r"U&'hush\0041'",
        "$$hush$$",
        "$x$ 'hush' $y$ hush $x$",
        "'a'\n 'hush'",
        "/* hush /* hush */ 'hush */ 'b'",
        "'c' -- hush 'hush\n",
    ] {
        client.query(&format!("SELECT name FROM items WHERE name = {constant}"));
        client.extended(
            &format!("SELECT id FROM items WHERE name = {constant} AND id = $1"),
            &["7"],
        );
        client.query(&format!("INSERT INTO stock VALUES (99, {constant})"));
    }
    // What fails, is not closed, or is read in another way.
    client.query("SELECT 'hush");
    client.query("SELECT name FROM missing WHERE name = 'hush'");
    client.ok("CREATE ROLE statements_secret PASSWORD 'hush'");
    client.ok("ALTER ROLE statements_secret PASSWORD E'hu\\x73h hush'");
    client.ok("DROP ROLE statements_secret");
    client.ok("SET application_name = 'hush'");
    client.ok("PREPARE p AS SELECT name FROM items WHERE name = 'hush'");
    client.ok("EXECUTE p");
    client.ok("DO $$ BEGIN PERFORM 'hush'; END $$");
    client.query("COPY items FROM STDIN WITH (NULL 'hush', FORMAT nonsense)");
    client.ok("SET standard_conforming_strings = off");
    client.query(r"SELECT 'x\' hush, hush\' '");
    client.query(r"SELECT name FROM items WHERE name IN ('x\' hush', ' hush\'')");
    client.ok("SET standard_conforming_strings = on");
    client.ok("SET client_encoding = 'SJIS'");
    client.query("SELECT name FROM items WHERE name = 'hush'");
    let shown = status(&ground).to_string();
    assert!(shown.contains("SELECT name FROM items WHERE name = ?"));
    assert!(!shown.contains("hush"), "{shown}");
    assert!(!ground.larder.metrics().contains("hush"));
}

/// Hazard 77: shapes without end are not memory without end, and every call is still counted.
#[test]
fn shapes_without_end_are_summed_up() {
    let ground = Ground::with("statements_bounded", SCHEMA, |setup| {
        setup.set("ADMIN__STATEMENTS", "20")
    });
    ground.warm("items");
    let mut client = ground.through();
    let before = status(&ground);
    let sum = |status: &Value| {
        let lines = status["queries"].as_array().expect("queries");
        lines.iter().map(|line| count(line, "calls")).sum::<u64>()
    };
    for name in 0..500 {
        client.ok(&format!("SELECT name AS n{name} FROM items WHERE id = 1"));
    }
    let after = status(&ground);
    let lines = after["queries"].as_array().expect("queries");
    // So many on each thread.
    assert!(lines.len() < 200, "{}", lines.len());
    assert!(lines.iter().any(|line| line["query"] == "(others)"));
    assert_eq!(sum(&after) - sum(&before), 500);
}
