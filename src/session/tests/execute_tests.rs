//! Tests of SQL's EXECUTE: it does what the statement does that was prepared, where that is certain.

use super::world::*;

/// A client that has prepared a text under the name `p`.
fn prepared(world: &World, text: &str) -> Client {
    let mut client = world.client();
    client.ask(&query(&format!("PREPARE p AS {text}")));
    client.answer(&[complete("PREPARE"), ready(b'I')].concat());
    client.told();
    client.sent();
    client
}

/// Sends it in the ways there are; gives whether the two tables are shut while it runs. Each time it is answered.
fn shuts(world: &World, client: &mut Client, sql: &str, tag: &str) -> Vec<(bool, bool)> {
    let mut found = Vec::new();
    for extended in [false, true] {
        world.load();
        let sent = match extended {
            true => [unit(sql), sync()].concat(),
            false => query(sql),
        };
        client.ask(&sent);
        found.push((world.shut(world.t), world.shut(world.u)));
        let answer = match extended {
            true => unit_done(tag),
            false => complete(tag),
        };
        client.answer(&[answer, ready(b'I')].concat());
        client.sent();
    }
    found
}

#[test]
fn p1_execute_touches_what_the_prepared_statement_does() {
    let world = World::new();
    for (body, expected) in [
        ("UPDATE t SET v = $1", (true, false)),
        (
            "WITH x AS (DELETE FROM u RETURNING v) SELECT * FROM x",
            (false, true),
        ),
        ("SELECT v FROM t WHERE v = $1", (false, false)),
        ("UPDATE triggered SET v = $1", (true, true)),
        ("SELECT unknown_function()", (true, true)),
    ] {
        let mut client = prepared(&world, body);
        let found = shuts(&world, &mut client, "EXECUTE p(1)", "SELECT 1");
        // What is not known may have prepared something else under the name.
        assert_eq!(found[0], expected, "{body}");
        assert_eq!(found[1], expected, "{body}");
    }
    let mut client = prepared(&world, "UPDATE t SET v = $1");
    for arguments in ["unknown_function()", "(SELECT unknown_function())"] {
        let sql = format!("EXECUTE p({arguments})");
        assert_eq!(
            shuts(&world, &mut client, &sql, "UPDATE 1")[0],
            (true, true)
        );
    }
    // It has run: the name may be another's now.
    let found = shuts(&world, &mut client, "EXECUTE p(1)", "UPDATE 1");
    assert_eq!(found[0], (true, true));
}

#[test]
fn an_executed_read_is_passed_on_and_keeps_everything() {
    let world = World::new();
    for table in ["t", "u"] {
        world.warm(table);
    }
    let mut client = prepared(&world, "SELECT v FROM t");
    let marks = (world.mark(world.t), world.mark(world.u));
    client.ask(&query("EXECUTE p"));
    assert_eq!(client.sent(), "Q");
    client.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(client.last(), "bypass: execute");
    assert!(marks.0.holds() && marks.1.holds());
    client.ask(&query("SELECT v FROM u"));
    assert_eq!((&*client.sent(), &*client.last()), ("", "hit"));
    // An UPDATE raises what it touches, in a block at its end.
    let mut client = prepared(&world, "UPDATE t SET v = 2");
    begin(&mut client);
    client.ask(&query("EXECUTE p"));
    assert!(!world.shut(world.t));
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    client.ask(&query("COMMIT"));
    assert!(world.shut(world.t) && !world.shut(world.u));
    client.answer(&[complete("COMMIT"), ready(b'I')].concat());
    assert!(!marks.0.holds() && marks.1.holds());
}

#[test]
fn p1_a_name_whose_meaning_is_in_doubt_writes_everything() {
    let body = "UPDATE t SET v = 2";
    let everything = |world: &World, client: &mut Client, what: &str| {
        client.ask(&query("EXECUTE p"));
        assert!(world.shut(world.u), "{what}");
        client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    };
    // It failed: an older one of that name, or none.
    let world = World::new();
    let mut client = prepared(&world, body);
    client.ask(&query("PREPARE p AS SELECT v FROM t"));
    client.answer(&[error("42P05"), ready(b'I')].concat());
    everything(&world, &mut client, "a second PREPARE");
    // Not answered yet.
    let world = World::new();
    let mut client = world.client();
    client.ask(&[query(&format!("PREPARE p AS {body}")), query("EXECUTE p")].concat());
    assert!(world.shut(world.u));
    // Several in one message, or in one pipeline.
    for several in [
        query(&format!("DEALLOCATE p; PREPARE p AS {body}; EXECUTE p")),
        [
            unit("DEALLOCATE p"),
            unit(&format!("PREPARE p AS {body}")),
            unit("EXECUTE p"),
            sync(),
        ]
        .concat(),
    ] {
        let world = World::new();
        let mut client = prepared(&world, "SELECT v FROM t");
        client.ask(&several);
        assert!(world.shut(world.u));
    }
    // Prepared together with another statement that names one.
    let world = World::new();
    let mut client = world.client();
    client.ask(&query("PREPARE p AS SELECT v FROM t; DEALLOCATE p"));
    client.answer(&[complete("PREPARE"), complete("DEALLOCATE"), ready(b'I')].concat());
    everything(&world, &mut client, "DEALLOCATE behind it");
    // Code that is not known.
    for opaque in [
        "DO 'x'",
        "UPDATE triggered SET v = 1",
        "SELECT nobody_knows()",
    ] {
        let world = World::new();
        let mut client = prepared(&world, body);
        client.ask(&query(opaque));
        client.answer(&[complete("X"), ready(b'I')].concat());
        world.load();
        // What its settings are is known again.
        client.ask(&query("SELECT v FROM t"));
        client.answer(&own_row(7, "hex", "read committed"));
        client.answer(&[one_row("1"), ready(b'I')].concat());
        everything(&world, &mut client, opaque);
    }
    // Given back.
    let world = World::new();
    let mut client = prepared(&world, body);
    client.ask(&query("DEALLOCATE ALL"));
    client.answer(&[complete("DEALLOCATE ALL"), ready(b'I')].concat());
    client.ask(&query("EXECUTE p"));
    client.answer(&[error("26000"), ready(b'I')].concat());
    assert!(!world.shut(world.u));
}

#[test]
fn execute_of_what_parse_has_prepared_is_known_too() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[parse("p", "UPDATE t SET v = 2"), sync()].concat());
    client.answer(&[message(b'1', &[]), ready(b'I')].concat());
    client.ask(&query("EXECUTE p"));
    assert!(world.shut(world.t) && !world.shut(world.u));
    client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    assert!(!world.shut(world.t));
    // Parse takes what PREPARE does not.
    client.ask(&[parse("q", "COMMIT"), sync()].concat());
    client.answer(&[message(b'1', &[]), ready(b'I')].concat());
    client.ask(&query("PREPARE q AS SELECT 1"));
    client.answer(&[error("42P05"), ready(b'I')].concat());
    client.sent();
    begin(&mut client);
    client.ask(&query("UPDATE t SET v = 3"));
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    client.ask(&query("EXECUTE q"));
    assert!(world.shut(world.t) && world.shut(world.u));
}

#[test]
fn a_prepared_statement_outlives_its_block() {
    let world = World::new();
    let mut client = world.client();
    begin(&mut client);
    client.ask(&query("PREPARE p AS UPDATE t SET v = 2"));
    client.answer(&[complete("PREPARE"), ready(b'T')].concat());
    client.ask(&query("ROLLBACK"));
    client.answer(&[complete("ROLLBACK"), ready(b'I')].concat());
    client.ask(&query("EXECUTE p"));
    assert!(world.shut(world.t) && !world.shut(world.u));
}
