//! P8: much of everything costs a bounded amount, and a bulk write one raise.

use crate::ground::{Ground, assert_same};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 50000) g;
    CREATE TABLE apart (id int); INSERT INTO apart VALUES (1);";

/// Hazard 79: a write of fifty thousand rows raises one table once, however many answers there are, and others hit on.
#[test]
fn a_bulk_write_raises_its_table_once() {
    let ground = Ground::new("storm_bulk", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    for n in 0..500 {
        client.ok(&format!("SELECT name FROM items WHERE id = {n}"));
    }
    client.ok("SELECT id FROM apart");
    let raised = || {
        ground
            .larder
            .metric("larder_invalidations_total", &[("source", "own")])
    };
    for sql in [
        "UPDATE items SET name = 'x' || id",
        "DELETE FROM items WHERE id > 40000",
        "INSERT INTO items SELECT g, 'new' FROM generate_series(40001, 90000) g",
        "DELETE FROM items",
    ] {
        let before = raised();
        client.ok(sql);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while raised() < before + 1.0 {
            assert!(std::time::Instant::now() < deadline, "{sql} raises nothing");
        }
        assert_eq!(raised(), before + 1.0, "{sql}");
        for id in [1, 100, 499] {
            let read = format!("SELECT name FROM items WHERE id = {id}");
            assert_same(sql, &ground.direct().query(&read), &client.query(&read));
        }
        client.ok("SELECT id FROM apart");
        assert_eq!(client.larder_last(), "hit", "{sql}");
    }
}

/// Hazards 77, 78: texts, parameters, settings and names that never come again do not pile up.
#[test]
fn p8_what_never_comes_again_costs_bounded_memory() {
    let ground = Ground::with("storm_flood", SCHEMA, |setup| {
        setup.set("CACHE__MEMORY", "4MB")
    });
    ground.warm("items");
    let mut client = ground.through();
    let mut flood = |from: i32| {
        for n in from..from + 2500 {
            client.query(&format!(
                "SELECT name FROM items WHERE id = {n} AND name <> 'literal {n}'"
            ));
            client.extended(
                "SELECT name FROM items WHERE name = $1",
                &[&format!("{n}{}", "p".repeat(100))],
            );
        }
        for n in 0..60 {
            // Of half a megabyte each, and of a name of their own.
            client.ok(&format!(
                "SET app.blob = '{from}{n}{}'",
                "x".repeat(500_000)
            ));
            client.ok("SELECT id FROM apart");
            client.ok("RESET ALL");
            client.ok(&format!("SET app.n{from}_{n} = '{}'", "y".repeat(50_000)));
            client.ok("SELECT id FROM apart");
        }
        client.ok("RESET ALL");
    };
    flood(0);
    let before = ground.larder.resident();
    flood(10_000);
    let grown = ground.larder.resident().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more");
    let mut client = ground.through();
    client.ok("SELECT id FROM apart");
    client.ok("SELECT id FROM apart");
    assert_eq!(client.larder_last(), "hit");
}

/// Hazard 78: as many columns as a table can have, and as many as a query can give.
#[test]
fn p7_as_many_columns_as_there_can_be() {
    let columns: Vec<_> = (1..=1600).map(|n| format!("c{n} int")).collect();
    let values = vec!["7"; 1600].join(", ");
    let schema = format!(
        "CREATE TABLE wide ({}); INSERT INTO wide VALUES ({values})",
        columns.join(", ")
    );
    let ground = Ground::new("storm_wide", &schema);
    ground
        .larder
        .wait_hit(&ground.login(), "SELECT * FROM wide");
    for sql in ["SELECT * FROM wide", "SELECT c1, c1600, wide FROM wide"] {
        ground.same(sql, |c| {
            [c.query(sql), c.extended(sql, &[]), c.query(sql)].concat()
        });
    }
}
