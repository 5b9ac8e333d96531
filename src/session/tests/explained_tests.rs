//! Tests of `EXPLAIN (LARDER)`: it is answered here, changes nothing, and says what then happens.

use super::world::*;

/// The lines it gives by simple query, of a client that waits for nothing.
fn lines(client: &mut Client, statement: &str) -> Vec<String> {
    client.told.clear();
    client.ask(&query(&format!("EXPLAIN (LARDER) {statement}")));
    let told = std::mem::take(&mut client.told);
    let rows = messages(&told).into_iter().filter(|(tag, _)| *tag == b'D');
    rows.map(|(_, body)| String::from_utf8_lossy(&body[6..]).into())
        .collect()
}

/// What the first line says: `cacheable`, `write`, `other`, or the reason.
fn verdict(client: &mut Client, statement: &str) -> String {
    let lines = lines(client, statement);
    let words = lines[0].strip_prefix("Larder: ").expect("a verdict");
    let word = words.strip_prefix("bypass - ").unwrap_or(words);
    word.split([' ', ':']).next().unwrap_or_default().into()
}

#[test]
fn nothing_of_it_leaves_and_nothing_is_kept() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    let (t, u) = (world.mark(world.t), world.mark(world.u));
    for statement in [
        "SELECT v FROM t",
        "SELECT v FROM u",
        "DELETE FROM t",
        "INSERT INTO triggered VALUES (1)",
        "SELECT unknown_function()",
        "EXECUTE p",
    ] {
        let sql = format!("EXPLAIN (LARDER) {statement}");
        client.ask(&query(&sql));
        let simple = client.told();
        assert!(
            simple.starts_with("TD") && simple.ends_with("CZ"),
            "{simple}"
        );
        client.ask(&[unit(&sql), sync()].concat());
        let extended = client.told();
        assert!(
            extended.starts_with("12TD") && extended.ends_with("CZ"),
            "{extended}"
        );
        assert_eq!(client.sent(), "", "{statement}");
        assert!(!world.shut(world.t) && !world.shut(world.u), "{statement}");
    }
    assert!(t.holds() && u.holds());
    assert_eq!(world.thread.store.entries(), 1);
    // A block that is held back is held back still.
    client.ask(&query("BEGIN"));
    lines(&mut client, "SELECT v FROM t");
    client.ask(&query("COMMIT"));
    assert_eq!(
        (client.sent(), client.last()),
        (String::new(), "other".into())
    );
}

#[test]
fn it_says_what_then_happens() {
    let world = World::new();
    let statements = [
        "SELECT v FROM t",
        "SELECT v FROM t WHERE v = 'today'::date",
        "SELECT 1",
        "SELECT unknown_function()",
        "SELECT v FROM t FOR UPDATE",
        "SELECT v FROM nowhere",
        "SELECT v FROM triggered",
        "DELETE FROM t",
        "INSERT INTO triggered VALUES (1)",
        "WITH x AS (DELETE FROM u RETURNING v) SELECT * FROM x",
    ];
    for dirty in [false, true] {
        for statement in statements {
            world.load();
            let mut client = world.client();
            if dirty {
                begin(&mut client);
                client.ask(&query("INSERT INTO u VALUES (1)"));
                client.answer(&[complete("INSERT 0 1"), ready(b'T')].concat());
            }
            let said = verdict(&mut client, statement);
            client.told();
            client.sent();
            client.ask(&query(statement));
            assert_eq!(client.sent(), "Q", "{statement}");
            let status = if dirty { b'T' } else { b'I' };
            client.answer(&[complete("X"), ready(status)].concat());
            let happened = client.last();
            let happened = match happened.strip_prefix("bypass: ") {
                Some(reason) => reason.into(),
                None if happened == "miss" => "cacheable".into(),
                None => happened,
            };
            assert_eq!(said, happened, "{statement}, dirty: {dirty}");
        }
    }
}

#[test]
fn what_it_does_not_take_postgresql_refuses_in_its_place() {
    let world = World::new();
    let refused = "EXPLAIN (LARDER, ANALYZE) DELETE FROM t";
    let theirs = message(b'E', &[b"SERROR\0VERROR\0C26000\0Mno such statement\0\0"]);
    for extended in [false, true] {
        let mut client = world.client();
        client.ask(&match extended {
            true => [unit(refused), sync()].concat(),
            false => query(refused),
        });
        let sent = client.sent();
        assert!(
            !sent.contains('Q') && !sent.contains('P'),
            "nothing of it: {sent}"
        );
        client.answer(&[theirs.clone(), ready(b'I')].concat());
        let told = std::mem::take(&mut client.told);
        let words = String::from_utf8_lossy(&told).into_owned();
        assert!(
            words.contains("C42601") && words.contains("no other option"),
            "{words}"
        );
        assert_eq!(tags(&told), "EZ");
        assert!(!world.shut(world.t));
    }
    // In an open pipeline, or with others in its message, it is PostgreSQL's to say that it knows no such option.
    let mut client = world.client();
    client.ask(&query("EXPLAIN (LARDER) SELECT v FROM t; SELECT 1"));
    assert_eq!(client.sent(), "Q");
}
