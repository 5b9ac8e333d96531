//! Tests of errors: what was refused before it ran raises nothing, what may have run does.

use super::world::*;

/// An error as PostgreSQL sends it.
fn refused(code: &str, file: &str, context: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{code}\0Mno\0P1\0{context}F{file}\0L1\0Rx\0\0");
    message(b'E', &[fields.as_bytes()])
}

fn syntax() -> Vec<u8> {
    refused("42601", "scan.l", "")
}

/// The answers to one statement that goes in front of another.
fn held(sent: &str, tag: &str) -> Vec<u8> {
    let (mut answer, mut done) = (Vec::new(), false);
    for tag_sent in sent.chars() {
        match tag_sent {
            'P' if done => break,
            'P' => answer.extend(message(b'1', &[])),
            'B' => answer.extend(message(b'2', &[])),
            'C' => answer.extend(message(b'3', &[])),
            'E' => {
                answer.extend(complete(tag));
                done = true;
            }
            _ => break,
        }
    }
    answer
}

/// Whether what was kept of `u` is still served after it.
fn keeps(world: &World) -> bool {
    assert!(!world.shut(world.t) && !world.shut(world.u));
    let mut client = world.client();
    client.ask(&query("SELECT v FROM u"));
    client.sent().is_empty()
}

#[test]
fn a_text_that_is_refused_unrun_raises_nothing() {
    let simple = |sql: &str| query(sql);
    let extended = |sql: &str| [unit(sql), sync()].concat();
    let unknown = || refused("42P01", "parse_relation.c", "");
    let cases: [(Vec<u8>, Vec<u8>); 8] = [
        (simple("SELEC v FROM t"), syntax()),
        (simple("UPDATE t SET v = 2; SELEC 1"), syntax()),
        (extended("SELEC v FROM t"), syntax()),
        (simple("SELECT v FROM nosuch"), unknown()),
        (
            simple("UPDATE nosuch SET v = 2; UPDATE t SET v = 2"),
            unknown(),
        ),
        (extended("SELECT v FROM nosuch"), unknown()),
        (
            extended("CALL nosuch()"),
            refused("42883", "parse_func.c", ""),
        ),
        // A Parse runs nothing, whatever it says.
        (extended("SELECT v FROM nosuch"), error("XX000")),
    ];
    for (sent, answer) in cases {
        let world = World::new();
        world.warm("u");
        let mut client = world.client();
        client.ask(&sent);
        assert!(world.shut(world.t) && world.shut(world.u));
        client.answer(&[answer, ready(b'I')].concat());
        assert!(keeps(&world), "{}", String::from_utf8_lossy(&sent));
    }
}

#[test]
fn an_error_that_may_come_from_running_raises() {
    let simple = |sql: &str| query(sql);
    let inside = "WPL/pgSQL function f() line 1\0";
    let cases: [(Vec<u8>, Vec<u8>); 9] = [
        // It parses there: newer syntax. A function in it has failed to parse something.
        (simple("SELEC f()"), refused("42601", "scan.l", inside)),
        (
            simple("SELEC f()"),
            refused("42P01", "parse_relation.c", ""),
        ),
        (simple("SELEC f()"), error("42601")),
        (
            simple("SELECT f()"),
            refused("42P01", "parse_relation.c", inside),
        ),
        (simple("SELECT f()"), refused("42P01", "namespace.c", "")),
        (simple("DO 'x'"), refused("42601", "scan.l", "")),
        (
            simple("CREATE FUNCTION g()"),
            refused("42P13", "parse_func.c", ""),
        ),
        // The first of it has run.
        (
            simple("DO 'x'; SELECT v FROM nosuch"),
            [complete("DO"), refused("42P01", "parse_relation.c", "")].concat(),
        ),
        (
            [unit("DO 'x'"), unit("SELEC"), sync()].concat(),
            [unit_done("DO"), syntax()].concat(),
        ),
    ];
    for (sent, answer) in cases {
        let world = World::new();
        world.warm("u");
        let mut client = world.client();
        client.ask(&sent);
        client.answer(&[answer, ready(b'I')].concat());
        assert!(!keeps(&world), "{}", String::from_utf8_lossy(&sent));
    }
}

/// A portal that was suspended has run.
#[test]
fn a_parse_that_fails_behind_what_was_suspended_raises() {
    let world = World::new();
    world.warm("u");
    let mut client = world.client();
    let writes = "INSERT INTO triggered VALUES (1), (2) RETURNING v";
    let begun = [parse("", writes), bind("", "", false), execute("", 1)].concat();
    client.ask(&[begun, parse("", "SELEC"), sync()].concat());
    let answers = [
        message(b'1', &[]),
        message(b'2', &[]),
        row("1"),
        message(b's', &[]),
    ];
    client.answer(&[answers.concat(), syntax(), ready(b'I')].concat());
    assert!(!keeps(&world));
}

#[test]
fn a_typo_in_a_block_leaves_what_it_wrote_to_its_end() {
    let world = World::new();
    world.warm("u");
    let mut client = world.client();
    begin(&mut client);
    client.ask(&query("UPDATE t SET v = 2"));
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    client.sent();
    client.ask(&query("SAVEPOINT s"));
    assert_eq!(client.sent(), "");
    client.ask(&query("SELEC"));
    assert!(world.shut(world.u));
    let answer = held(&client.sent(), "SAVEPOINT");
    client.answer(&[answer, syntax(), ready(b'E')].concat());
    client.ask(&query("ROLLBACK TO s"));
    client.answer(&[complete("ROLLBACK"), ready(b'T')].concat());
    assert!(!world.shut(world.t) && !world.shut(world.u));
    client.ask(&query("COMMIT"));
    assert!(world.shut(world.t) && !world.shut(world.u));
    client.answer(&[complete("COMMIT"), ready(b'I')].concat());
    assert!(keeps(&world));
}

/// A BEGIN that was held goes in front of it.
#[test]
fn a_typo_as_the_first_of_a_held_block_raises_nothing() {
    let world = World::new();
    world.warm("u");
    for extended in [false, true] {
        let mut client = world.client();
        client.ask(&query("BEGIN"));
        assert_eq!(client.sent(), "");
        client.ask(&match extended {
            true => [unit("SELEC"), sync()].concat(),
            false => query("SELEC"),
        });
        assert!(world.shut(world.u));
        let sent = client.sent();
        let answer = held(&sent, "BEGIN");
        client.answer(&[answer, syntax(), ready(b'E')].concat());
        client.ask(&query("ROLLBACK"));
        client.answer(&[complete("ROLLBACK"), ready(b'I')].concat());
        assert!(keeps(&world), "{sent}");
    }
}

/// The name keeps what it stood for.
#[test]
fn what_was_not_run_prepares_nothing() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&query("PREPARE p AS UPDATE t SET v = 1"));
    client.answer(&[complete("PREPARE"), ready(b'I')].concat());
    client.ask(&query("PREPARE p AS SELECT 1; SELEC"));
    client.answer(&[syntax(), ready(b'I')].concat());
    client.sent();
    client.ask(&query("EXECUTE p"));
    assert_eq!(client.sent(), "Q");
    assert!(world.shut(world.t));
}
