//! Tests of portals that live here: row limits, named portals, what ends them and what they must not outlive.

use super::world::*;

const T: &str = "SELECT v FROM t";
const U: &str = "SELECT v FROM u";

/// The answer to a read of three rows.
fn three() -> Vec<u8> {
    [row("1"), row("2"), row("3"), complete("SELECT 3")].concat()
}

/// A world where the three rows of `t` are kept.
fn warm() -> World {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[unit(T), sync()].concat());
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    client.answer(&[one, two, description(false), three(), ready(b'I')].concat());
    world
}

/// A client in a block that the upstream knows of.
fn in_block(world: &World) -> Client {
    let mut client = world.client();
    begin(&mut client);
    client
}

fn unit_of(portal: &str, limit: i32) -> Vec<u8> {
    let execute = execute(portal, limit);
    [parse("", T), bind(portal, "", false), execute, sync()].concat()
}

/// Values of the rows told since the last time, and what ended each Execute.
fn told(client: &mut Client) -> String {
    let told = std::mem::take(&mut client.told);
    let show = |(tag, body): (u8, &[u8])| match tag {
        b'D' => String::from_utf8_lossy(&body[6..]).into_owned(),
        b'C' => format!("({})", String::from_utf8_lossy(&body[..body.len() - 1])),
        b'E' => "error".into(),
        b's' => "…".into(),
        _ => String::new(),
    };
    messages(&told).into_iter().map(show).collect()
}

#[test]
fn p7_a_row_limit_on_a_hit_suspends_and_goes_on() {
    let world = warm();
    for portal in ["", "c"] {
        let mut client = in_block(&world);
        client.ask(&unit_of(portal, 2));
        assert_eq!(told(&mut client), "12…");
        client.ask(&[execute(portal, 1), sync()].concat());
        assert_eq!(
            told(&mut client),
            "3…",
            "all are given, and it is not known yet"
        );
        client.ask(&[execute(portal, 1), execute(portal, 0), sync()].concat());
        assert_eq!(told(&mut client), "(SELECT 0)(SELECT 0)");
        assert_eq!(client.sent(), "");
        client.ask(&unit_of("d", 4));
        assert_eq!(told(&mut client), "123(SELECT 3)");
    }
}

#[test]
fn p5_a_portal_goes_on_in_its_own_snapshot() {
    let world = warm();
    let mut client = in_block(&world);
    client.ask(&unit_of("c", 1));
    let mut writer = world.client();
    writer.ask(&query("UPDATE t SET v = 5"));
    client.ask(&[execute("c", 1), sync()].concat());
    writer.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    client.ask(&[execute("c", 0), sync()].concat());
    assert_eq!(told(&mut client), "1…2…3(SELECT 1)");
    // And while its client writes.
    client.ask(&query("UPDATE t SET v = 5"));
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    client.sent();
    client.ask(&[execute("c", 0), sync()].concat());
    assert_eq!(client.sent(), "");
    client.ask(&unit_of("d", 1));
    assert_eq!(client.sent(), "PBES", "what is bound anew is not");
}

#[test]
fn a_portal_ends_with_its_transaction() {
    let world = warm();
    // Without a block, at Sync.
    let mut client = world.client();
    client.ask(&unit_of("c", 1));
    client.ask(&[execute("c", 1), sync()].concat());
    assert_eq!(client.sent(), "ES", "there is none, says PostgreSQL");
    for end in ["COMMIT", "ROLLBACK", "COMMIT AND CHAIN"] {
        let world = warm();
        let mut client = in_block(&world);
        client.ask(&unit_of("c", 1));
        client.ask(&query(end));
        let status = if end.ends_with("CHAIN") { b'T' } else { b'I' };
        client.answer(&[complete("COMMIT"), ready(status)].concat());
        client.sent();
        client.ask(&[execute("c", 1), sync()].concat());
        assert_eq!(client.sent(), "ES", "{end}");
    }
    // Before the Sync that ends the block.
    let world = warm();
    let mut client = in_block(&world);
    client.ask(&unit_of("c", 1));
    client.ask(&[parse("e", "COMMIT"), bind("e", "e", false), execute("e", 0)].concat());
    client.ask(&[execute("c", 1), sync()].concat());
    assert_eq!(
        client.sent(),
        "PBEH",
        "whether it is still there is not known"
    );
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    client.answer(&[one, two, complete("COMMIT")].concat());
    assert_eq!(client.sent(), "ES");
}

#[test]
fn a_portal_lives_and_dies_with_its_savepoint() {
    let world = warm();
    let mut client = in_block(&world);
    let run = |client: &mut Client, sql: &str| {
        client.ask(&query(sql));
        let tag = sql.split(' ').next().unwrap();
        client.answer(&[complete(tag), ready(b'T')].concat());
        client.sent();
        client.told();
    };
    client.ask(&unit_of("before", 1));
    run(&mut client, "SAVEPOINT s; SAVEPOINT s1");
    client.ask(&unit_of("behind", 1));
    run(&mut client, "SAVEPOINT r; SAVEPOINT r1");
    client.ask(&unit_of("released", 1));
    run(&mut client, "RELEASE r");
    client.told();
    client.ask(&[execute("released", 1), sync()].concat());
    assert_eq!(told(&mut client), "2…");
    run(&mut client, "ROLLBACK TO s");
    client.ask(&[execute("before", 1), sync()].concat());
    assert_eq!((told(&mut client), client.sent()), ("2…".into(), "".into()));
    for gone in ["behind", "released"] {
        client.ask(&[execute(gone, 1), sync()].concat());
        assert_eq!(client.sent(), "ES", "{gone}");
        client.answer(&[error("34000"), ready(b'E')].concat());
        client.told();
    }
    // In a failed block it is there and refused.
    client.ask(&[execute("before", 1), sync()].concat());
    assert_eq!(client.sent(), "CPS");
    let closed = message(b'3', &[]);
    client.answer(&[closed, error("25P02"), ready(b'E')].concat());
    assert_eq!(told(&mut client), "error");
    run(&mut client, "ROLLBACK TO s");
    client.ask(&[execute("before", 0), sync()].concat());
    assert_eq!(told(&mut client), "3(SELECT 1)");
}

/// An Execute that PostgreSQL ignores behind an error does not move the portal.
#[test]
fn p7_a_portal_moves_only_where_nothing_can_fail_before_it() {
    for fails in [false, true] {
        let world = warm();
        let mut client = in_block(&world);
        client.ask(&query("SAVEPOINT s; SAVEPOINT s1"));
        client.answer(&[complete("SAVEPOINT"), complete("SAVEPOINT"), ready(b'T')].concat());
        // Made before the savepoint that is gone back to.
        client.ask(&unit_of("c", 1));
        client.ask(&query("SAVEPOINT r; SAVEPOINT r1"));
        client.answer(&[complete("SAVEPOINT"), complete("SAVEPOINT"), ready(b'T')].concat());
        client.sent();
        client.told();
        client.ask(&[unit(U), execute("c", 1), sync()].concat());
        assert_eq!(client.sent(), "PBDEH");
        if fails {
            client.answer(&error("22012"));
            assert_eq!(
                (client.sent(), told(&mut client)),
                ("ES".into(), "error".into())
            );
            client.answer(&ready(b'E'));
            client.ask(&query("ROLLBACK TO r"));
            client.answer(&[complete("ROLLBACK"), ready(b'T')].concat());
        } else {
            client.answer(&unit_row("7"));
            assert_eq!(told(&mut client), "7(SELECT 1)2…");
            client.answer(&ready(b'T'));
        }
        client.told();
        client.ask(&[execute("c", 1), sync()].concat());
        assert_eq!(told(&mut client), if fails { "2…" } else { "3…" });
    }
}

#[test]
fn rows_are_left_for_later_only_if_they_look_the_same_then() {
    // float8, bytea, money, regclass, an enum: as text they follow what may be set unseen.
    for (oid, binary, stays) in [
        (701u32, false, false),
        (17, false, false),
        (790, false, false),
        (2205, false, false),
        (16_400, false, false),
        (25, false, true),
        (701, true, true),
        (1184, false, true),
    ] {
        let world = World::new();
        let mut client = world.client();
        let described = [parse("", T), bind("", "", binary), describe(b'P', "")].concat();
        client.ask(&[described, execute("", 0), sync()].concat());
        let (one, two) = (message(b'1', &[]), message(b'2', &[]));
        let mut shape = description(binary);
        shape[15..19].copy_from_slice(&oid.to_be_bytes());
        client.answer(&[one, two, shape, three(), ready(b'I')].concat());
        let mut client = in_block(&world);
        client.ask(&[parse("", T), bind("", "", binary), execute("", 1), sync()].concat());
        assert_eq!(client.sent().is_empty(), stays, "{oid}");
        if oid == 1184 {
            // A date, and what its text follows is changed.
            client.told();
            client.answer(&message(b'S', &[b"TimeZone\0Asia/Tokyo\0"]));
            client.ask(&[execute("", 1), sync()].concat());
            assert_eq!(client.sent(), "CES");
        }
    }
}

#[test]
fn a_named_portal_is_bound_described_run_and_closed_here() {
    let world = warm();
    let mut client = in_block(&world);
    let bound = [parse("", T), bind("c", "", false)].concat();
    client.ask(&[bound, describe(b'P', "c"), sync()].concat());
    assert_eq!(client.told(), "12TZ");
    client.ask(&[execute("c", 2), flush()].concat());
    assert_eq!(told(&mut client), "12…");
    client.ask(
        &[
            describe(b'P', "c"),
            execute("c", 2),
            close(b'P', "c"),
            sync(),
        ]
        .concat(),
    );
    assert_eq!(client.told(), "TDC3Z");
    assert_eq!(client.sent(), "");
    client.ask(&[execute("c", 2), sync()].concat());
    assert_eq!(client.sent(), "ES", "it is closed");
}

#[test]
fn a_name_that_a_portal_has_is_taken() {
    let world = warm();
    let mut client = in_block(&world);
    client.ask(&unit_of("c", 1));
    client.sent();
    client.ask(&unit_of("c", 1));
    assert_eq!(client.sent(), "PBBH", "PostgreSQL says so (42P03)");
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    client.answer(&[one, two, error("42P03")].concat());
    assert_eq!(client.sent(), "ES");
    client.answer(&ready(b'E'));
    assert_eq!(told(&mut client), "1…error");
}

#[test]
fn sql_finds_a_portal_that_has_not_run_and_none_that_has() {
    let world = warm();
    for (limit, sql, sent) in [
        (None, "FETCH 1 FROM c", "PBQ"),
        (Some(1), "FETCH 1 FROM c", "Q"),
        (Some(1), "DECLARE c CURSOR FOR SELECT v FROM t", "PBQ"),
    ] {
        let mut client = in_block(&world);
        let run = limit.map_or(Vec::new(), |limit| execute("c", limit));
        client.ask(&[parse("", T), bind("c", "", false), run, sync()].concat());
        assert_eq!(client.sent(), "");
        client.ask(&query(sql));
        assert_eq!(client.sent(), sent, "{limit:?}, {sql}");
    }
}

#[test]
fn a_portal_whose_description_is_not_known_is_described_by_postgresql() {
    for portal in ["", "c"] {
        let world = World::new();
        let mut client = world.client();
        client.ask(&unit_of("", 0));
        let (one, two) = (message(b'1', &[]), message(b'2', &[]));
        client.answer(&[one.clone(), two.clone(), three(), ready(b'I')].concat());
        let mut client = in_block(&world);
        client.ask(&unit_of(portal, 0));
        assert_eq!(
            (told(&mut client), client.sent()),
            ("123(SELECT 3)".into(), "".into())
        );
        client.ask(&[describe(b'P', portal), execute(portal, 0), sync()].concat());
        assert_eq!(client.sent(), "PBDH", "bound there, but not run");
        client.answer(&[one.clone(), two.clone(), description(false)].concat());
        assert_eq!(client.told(), "TC");
        client.answer(&ready(b'T'));
        client.sent();
        client.ask(&[close(b'P', portal), execute(portal, 0), sync()].concat());
        assert_eq!(client.sent(), "CES", "what was bound for that is gone, too");
    }
}

#[test]
fn what_is_bound_here_is_run_upstream_under_other_settings() {
    let world = warm();
    let mut client = in_block(&world);
    client.ask(&[parse("", T), bind("c", "", false), sync()].concat());
    assert_eq!(client.sent(), "", "it lives here");
    client.ask(&query("SET LOCAL bytea_output = 'escape'"));
    client.answer(&[complete("SET"), ready(b'T')].concat());
    client.sent();
    client.ask(&[execute("c", 0), sync()].concat());
    assert!(client.sent().ends_with("ES"), "rows look different now");
}

#[test]
fn p5_what_was_suspended_is_not_the_whole_answer() {
    let world = World::new();
    let mut client = in_block(&world);
    client.ask(&unit_of("", 2));
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    let suspended = message(b's', &[]);
    client.answer(&[one, two, row("1"), row("2"), suspended, ready(b'T')].concat());
    let mut other = world.client();
    other.ask(&[parse("", T), bind("", "", false), execute("", 0), sync()].concat());
    assert_eq!(other.sent(), "PBES", "nobody knows the rows behind them");
}
