//! Tests of what is known of statements without asking, and of what a change of the catalog makes of it.

use super::world::*;

const T: &str = "SELECT v FROM t";

/// ParameterDescription and RowDescription of a statement.
fn shape(column: &str) -> Vec<u8> {
    let mut rows = description(false);
    rows[7] = column.as_bytes()[0];
    [message(b't', &[b"\0\0"]), rows].concat()
}

/// A world where the statement was described once, and its answer is kept.
fn warm() -> World {
    let world = World::new();
    learn(&world, "v");
    world.warm_extended();
    world
}

fn learn(world: &World, column: &str) {
    let mut client = world.client();
    client.ask(&[parse("", T), describe(b'S', ""), sync()].concat());
    let one = message(b'1', &[]);
    client.answer(&[one, shape(column), ready(b'I')].concat());
}

impl World {
    /// The rows of `t` are kept for the extended protocol.
    fn warm_extended(&self) {
        let mut client = self.client();
        client.ask(&[parse("", T), bind("", "", false), execute("", 0), sync()].concat());
        let (one, two) = (message(b'1', &[]), message(b'2', &[]));
        client.answer(&[one, two, row("1"), complete("SELECT 1"), ready(b'I')].concat());
    }
}

#[test]
fn p7_the_first_use_of_a_known_text_needs_no_upstream() {
    let world = warm();
    let run = |name: &str| [bind("", name, false), execute("", 0), sync()].concat();
    for name in ["", "a"] {
        let shapes = [
            // asyncpg, pgx
            vec![
                [parse(name, T), describe(b'S', name), flush()].concat(),
                run(name),
            ],
            // lib/pq, pgjdbc, node-postgres
            vec![
                [parse(name, T), describe(b'S', name), sync()].concat(),
                run(name),
            ],
            // pg8000
            vec![
                [parse(name, T), flush(), sync()].concat(),
                [describe(b'S', name), flush(), sync()].concat(),
                [
                    bind("", name, false),
                    flush(),
                    execute("", 0),
                    flush(),
                    sync(),
                ]
                .concat(),
            ],
            // tokio-postgres
            vec![
                [parse(name, T), bind("", name, false), describe(b'S', name)].concat(),
                [execute("", 0), sync()].concat(),
            ],
            vec![
                [parse(name, T), describe(b'S', name), bind("", name, false)].concat(),
                [execute("", 0), close(b'S', name), sync()].concat(),
            ],
        ];
        for shape in shapes {
            let mut client = world.client();
            let mut told = String::new();
            for said in &shape {
                client.ask(said);
                told += &client.told();
            }
            assert_eq!(
                told.replace(['3', 'Z'], ""),
                match &*told {
                    told if told.starts_with("12t") => "12tTDC",
                    _ => "1tT2DC",
                }
            );
            assert_eq!(client.sent(), "", "{told}");
        }
    }
}

#[test]
fn what_is_not_known_goes_upstream() {
    let world = warm();
    let mut client = world.client();
    client.ask(&[parse("", "SELEC"), describe(b'S', ""), sync()].concat());
    assert_eq!((client.sent(), client.told()), ("PDS".into(), "".into()));
    // Other declared types.
    let typed = message(b'P', &[b"\0", T.as_bytes(), b"\0\0\x01\0\0\0\x17"]);
    let mut client = world.client();
    client.ask(&[typed, sync()].concat());
    assert_eq!(client.sent(), "PS");
    // Other settings.
    let mut client = world.client();
    client.ask(&query("SET bytea_output = 'escape'"));
    client.answer(&[complete("SET"), ready(b'I')].concat());
    client.sent();
    client.ask(&[parse("", T), sync()].concat());
    assert_eq!(client.sent(), "PS");
    // Another catalog.
    world.database.raise_catalog();
    world.load();
    let mut client = world.client();
    client.ask(&[parse("", T), sync()].concat());
    assert_eq!(client.sent(), "PS");
}

/// Parse of the statement with a parameter's type declared (0: PostgreSQL is to find it out).
fn typed(name: &str, oid: u8) -> Vec<u8> {
    let types = [0, 1, 0, 0, 0, oid];
    let name = [name.as_bytes(), b"\0"].concat();
    message(b'P', &[&name, T.as_bytes(), b"\0", &types])
}

/// tokio-postgres names statements without types, and declares all in `query_typed`.
#[test]
fn a_text_is_known_with_and_without_declared_types() {
    let world = warm();
    let unit = |parse: &[u8]| {
        let rest = [bind("", "", false), describe(b'S', ""), execute("", 0)].concat();
        [parse, &rest, &sync()].concat()
    };
    let mut client = world.client();
    client.ask(&unit(&typed("", 0)));
    assert_eq!(client.sent(), "PBDES");
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    let rows = [row("1"), complete("SELECT 1"), ready(b'I')].concat();
    client.answer(&[one, two, shape("v"), rows].concat());
    client.told();
    for parse in [typed("", 0), parse("", T), typed("", 0)] {
        client.ask(&unit(&parse));
        let (sent, told) = (client.sent(), client.told());
        assert_eq!((&*sent, &*told), ("", "12tTDCZ"), "{parse:?}");
    }
    // A few are kept, not any number.
    for oid in 100..110 {
        client.ask(&[typed("", oid), describe(b'S', ""), sync()].concat());
        client.sent();
        client.answer(&[message(b'1', &[]), shape("v"), ready(b'I')].concat());
    }
    client.told();
    for (name, parse, known) in [("a", typed("a", 109), true), ("b", parse("b", T), false)] {
        client.ask(&[parse, describe(b'S', name), sync()].concat());
        assert_eq!(client.sent().is_empty(), known, "{name}");
    }
}

#[test]
fn p6_what_a_transaction_made_of_the_catalog_is_not_learnt() {
    let world = World::new();
    let mut client = world.client();
    begin(&mut client);
    client.ask(&query("ALTER TABLE t ADD w int"));
    client.answer(&[complete("ALTER TABLE"), ready(b'T')].concat());
    client.ask(&[parse("", T), describe(b'S', ""), sync()].concat());
    client.answer(&[message(b'1', &[]), shape("w"), ready(b'T')].concat());
    client.ask(&query("ROLLBACK"));
    client.answer(&[complete("ROLLBACK"), ready(b'I')].concat());
    world.load();
    let mut other = world.client();
    other.ask(&[parse("", T), sync()].concat());
    assert_eq!(other.sent(), "PS");
}

/// What a statement returns is settled when it is prepared; a statement that has only lived here is no exception.
#[test]
fn p7_a_statement_that_lives_here_returns_what_it_did_or_nothing() {
    for name in ["", "a"] {
        for column in ["v", "w"] {
            let world = warm();
            let mut client = world.client();
            client.ask(&[parse(name, T), describe(b'S', name), sync()].concat());
            assert_eq!((client.sent(), client.told()), ("".into(), "1tTZ".into()));
            world.database.raise_catalog();
            world.load();
            // Somebody else has asked for it in its new shape.
            learn(&world, column);
            world.warm_extended();
            client.ask(&[bind("", name, false), execute("", 0), sync()].concat());
            assert_eq!((client.sent(), client.told()), ("PDH".into(), "".into()));
            client.answer(&[message(b'1', &[]), shape(column)].concat());
            if column == "v" {
                assert_eq!(
                    (client.sent(), client.told()),
                    ("S".into(), "2DC".into()),
                    "a hit"
                );
                client.answer(&ready(b'I'));
                assert_eq!(client.told(), "Z");
                continue;
            }
            assert_eq!(client.sent(), "CBS");
            client.answer(&[message(b'3', &[]), error("26000"), ready(b'I')].concat());
            let told = std::mem::take(&mut client.told);
            assert_eq!(tags(&told), "EZ");
            let text = String::from_utf8_lossy(&told).into_owned();
            assert!(text.contains("C0A000\0Mcached plan must not change result type\0"));
            client.ask(&[describe(b'S', name), sync()].concat());
            assert_eq!(client.sent(), "PDH", "and is asked for again");
        }
    }
}

#[test]
fn a_statement_whose_table_is_gone_is_refused_by_postgresql() {
    let world = warm();
    let mut client = world.client();
    client.ask(&[parse("a", T), sync()].concat());
    client.told();
    world.database.raise_catalog();
    world.load();
    client.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "PDH");
    client.answer(&error("42P01"));
    assert_eq!((client.sent(), client.told()), ("BES".into(), "E".into()));
    client.answer(&ready(b'I'));
    assert_eq!(client.told(), "Z");
}

#[test]
fn in_a_block_the_upstream_is_not_told_what_may_fail() {
    let world = World::new();
    world.warm_extended();
    let mut client = world.client();
    begin(&mut client);
    client.sent();
    client.ask(&[parse("a", T), bind("", "a", false), execute("", 0), sync()].concat());
    assert_eq!(
        client.sent(),
        "",
        "it was not described: it is told of later"
    );
    client.ask(&query("COMMIT"));
    client.answer(&[complete("COMMIT"), ready(b'I')].concat());
    client.sent();
    client.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "PS");
}

#[test]
fn a_name_that_lives_here_is_taken() {
    let world = warm();
    let mut client = world.client();
    client.ask(&[parse("a", T), sync()].concat());
    client.ask(&[parse("a", T), sync()].concat());
    assert_eq!(client.sent(), "PPS", "PostgreSQL says so (42P05)");
    client.answer(&[message(b'1', &[]), error("42P05"), ready(b'I')].concat());
    assert_eq!(client.told(), "1ZEZ");
}

#[test]
fn in_a_failed_block_what_lives_here_is_refused_as_what_does_not() {
    let world = warm();
    let mut client = world.client();
    client.ask(&[parse("a", T), sync()].concat());
    begin(&mut client);
    client.ask(&query("SELECT 1/0"));
    client.answer(&[error("22012"), ready(b'E')].concat());
    client.sent();
    client.told();
    for asked in [describe(b'S', "a"), bind("", "a", false), parse("", T)] {
        client.ask(&[asked, sync()].concat());
        assert!(client.sent().starts_with('P'));
        client.answer(&[error("25P02"), ready(b'E')].concat());
        assert_eq!(client.told(), "EZ");
    }
}

#[test]
fn statements_take_a_bounded_amount_of_memory() {
    let world = warm();
    let mut client = world.client();
    let long = " ".repeat(4000);
    for n in 0..5000 {
        let sql = format!("SELECT v FROM t WHERE v = {n}{long}");
        client.ask(&[parse(&format!("s{n}"), &sql), flush()].concat());
        client.answer(&message(b'1', &[]));
    }
    client.ask(&sync());
    client.answer(&ready(b'I'));
    assert!(client.session.statements.spilled);
    client.sent();
    // A name that is not known here may be the upstream's: it is asked, and may write anything.
    client.ask(&[parse("s4999", T), sync()].concat());
    assert_eq!(client.sent(), "PS");
    client.answer(&[error("42P05"), ready(b'I')].concat());
    client.ask(&[bind("", "s4999", false), execute("", 0), sync()].concat());
    assert!(world.shut(world.t));
}
