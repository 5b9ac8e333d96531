//! Tests of the order of answers, and of what the upstream hears of statements and portals.

use super::world::*;

const T: &str = "SELECT v FROM t";
const U: &str = "SELECT v FROM u";

#[test]
fn a_local_answer_waits_behind_what_is_owed() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[query(U), query("SHOW larder.last"), query(U)].concat());
    assert_eq!((client.sent(), client.told()), ("QQ".into(), "".into()));
    client.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(client.told(), "TDCZTDCZ");
    client.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(client.told(), "TDCZ");
}

#[test]
fn p4_a_hit_is_never_given_behind_a_read_that_is_under_way() {
    let world = World::new();
    world.warm("t");
    for sent in [
        [query(U), query(T)].concat(),
        [unit(U), unit(T), sync()].concat(),
        [unit(U), sync(), query(T)].concat(),
    ] {
        let mut client = world.client();
        client.ask(&sent);
        let sent = client.sent();
        assert!(
            ["QQ", "PBDEPBDES", "PBDESQ"].contains(&&*sent),
            "what the first sees may be newer than the entry: {sent}"
        );
    }
}

#[test]
fn no_sync_is_invented_and_none_is_lost() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    client.ask(&sync());
    assert_eq!((client.sent(), client.told()), ("S".into(), "".into()));
    client.answer(&ready(b'I'));
    assert_eq!(client.told(), "Z");
    client.ask(&[unit("BEGIN READ WRITE"), unit(U), sync(), sync()].concat());
    assert_eq!(client.sent(), "PBDEPBDESS");
}

#[test]
fn a_statement_that_only_lived_here_is_parsed_before_it_is_needed_and_nobody_hears() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.ask(&[unit(T), sync()].concat());
    assert_eq!(
        (client.sent(), client.told()),
        ("PBDES".into(), "12TDCZ12TDCZ".into())
    );
    // The same statement once more, in another format.
    client.ask(&[bind("", "", true), execute("", 1), sync()].concat());
    assert_eq!(client.sent(), "PBES");
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    client.answer(&[one, two, row("1"), message(b's', &[]), ready(b'I')].concat());
    assert_eq!(client.told(), "2DsZ");
}

#[test]
fn an_error_takes_back_what_was_assumed_behind_it() {
    let world = World::new();
    let mut client = world.client();
    let first = [bind("", "missing", false), parse("a", T), sync()].concat();
    let second = [parse("a", "UPDATE t SET v = 5"), sync()].concat();
    client.ask(&[first, second].concat());
    client.answer(&[error("26000"), ready(b'I')].concat());
    client.answer(&[message(b'1', &[]), ready(b'I')].concat());
    client.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
    assert!(world.shut(world.t), "the name stands for the UPDATE");
}

#[test]
fn a_name_that_is_freed_in_the_same_pipeline_is_free() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[parse("a", T), sync()].concat());
    client.answer(&[message(b'1', &[]), ready(b'I')].concat());
    for free in [
        unit("DEALLOCATE a"),
        unit("DEALLOCATE ALL"),
        close(b'S', "a"),
    ] {
        client.sent();
        client.ask(&[free.clone(), parse("a", "UPDATE t SET v = 5")].concat());
        client.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
        assert!(world.shut(world.t), "the name stands for the UPDATE");
        let freed = match free[0] {
            b'C' => message(b'3', &[]),
            _ => unit_done("DEALLOCATE"),
        };
        let done = [message(b'1', &[]), message(b'2', &[]), complete("UPDATE 1")].concat();
        client.answer(&[freed, done, ready(b'I')].concat());
        assert!(!world.shut(world.t));
    }
}

#[test]
fn a_statement_that_a_failed_pipeline_has_ignored_does_not_exist() {
    let world = World::new();
    let mut client = world.client();
    client.ask(
        &[
            bind("", "missing", false),
            parse("a", "SHOW larder.last"),
            sync(),
        ]
        .concat(),
    );
    client.answer(&[error("26000"), ready(b'I')].concat());
    assert_eq!(client.told(), "EZ");
    client.sent();
    client.ask(&[parse("a", T), sync()].concat());
    assert_eq!(client.sent(), "PS");
}

#[test]
fn a_close_that_a_failed_pipeline_has_ignored_has_not_happened() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[parse("a", "SHOW larder.last"), sync()].concat());
    assert_eq!(client.told(), "1Z");
    client.ask(&[bind("", "missing", false), close(b'S', "a"), sync()].concat());
    client.answer(&[error("26000"), ready(b'I')].concat());
    client.told();
    client.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
    assert_eq!(client.told(), "2DCZ");
}

#[test]
fn the_last_outcome_is_told_in_a_pipeline_where_it_stands() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[unit(U), sync(), unit("SHOW larder.last"), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    let told = std::mem::take(&mut client.told);
    assert_eq!(tags(&told), "12TDCZ12TDCZ");
    assert!(told.windows(4).any(|word| word == b"miss"));
}

/// What a prepared statement returns is settled when it is prepared (0A000): after a change of the catalog PostgreSQL
/// itself must say whether it still holds, and a hit of somebody's newer entry would be of another shape.
#[test]
fn p7_a_prepared_statement_is_checked_again_after_a_change_of_the_catalog() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[parse("a", T), sync()].concat());
    client.answer(&[message(b'1', &[]), ready(b'I')].concat());
    let run = [bind("", "a", false), execute("", 0), sync()].concat();
    let rows = [
        message(b'2', &[]),
        row("1"),
        complete("SELECT 1"),
        ready(b'I'),
    ]
    .concat();
    client.ask(&run);
    client.answer(&rows);
    client.sent();
    client.ask(&run);
    assert_eq!(client.sent(), "", "a hit");
    world.database.raise_catalog();
    world.load();
    // Somebody else prepares it now, and fills.
    let mut other = world.client();
    other.ask(&[parse("b", T), sync()].concat());
    other.answer(&[message(b'1', &[]), ready(b'I')].concat());
    other.ask(&[bind("", "b", false), execute("", 0), sync()].concat());
    other.answer(&rows);
    client.ask(&run);
    assert_eq!(client.sent(), "BES");
    client.answer(&[error("0A000"), ready(b'I')].concat());
    client.ask(&run);
    assert_eq!(client.sent(), "BES", "still not what it was");
    client.answer(&rows);
    client.ask(&run);
    assert_eq!(client.sent(), "", "PostgreSQL has taken it: a hit again");
}

#[test]
fn a_named_statement_is_prepared_upstream_although_its_answer_is_here() {
    let world = World::new();
    let named = [parse("a", T), bind("", "a", false), execute("", 0), sync()].concat();
    let rows = [
        message(b'1', &[]),
        message(b'2', &[]),
        row("1"),
        complete("SELECT 1"),
        ready(b'I'),
    ]
    .concat();
    let mut first = world.client();
    first.ask(&named);
    first.answer(&rows);
    let mut second = world.client();
    second.ask(&named);
    assert_eq!(second.told(), "12DCZ", "a hit");
    assert_eq!(second.sent(), "PS", "its shape is that of this moment");
    second.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
    assert_eq!(
        second.told(),
        "2DCZ",
        "a hit while the upstream learns the name"
    );
    second.answer(&[message(b'1', &[]), ready(b'I')].concat());
    assert_eq!(second.told(), "", "of which the client hears nothing");
    second.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
    assert_eq!(second.sent(), "");
}

#[test]
fn a_portal_runs_what_it_was_bound_to() {
    let world = World::new();
    let mut client = world.client();
    let bound = [
        parse("", T),
        bind("", "", false),
        describe(b'P', ""),
        flush(),
    ]
    .concat();
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.sent();
    client.ask(&query("BEGIN READ WRITE"));
    client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
    client.sent();
    client.ask(&bound);
    assert_eq!(client.sent(), "", "bound to an answer");
    // The name is given to something else, and the answer does not hold any more.
    let mut writer = world.client();
    writer.ask(&query("UPDATE t SET v = 5"));
    client.ask(&[parse("", U), execute("", 0), sync()].concat());
    let sent = std::mem::take(&mut client.sent);
    let binds: Vec<_> = messages(&sent)
        .into_iter()
        .filter(|(tag, _)| matches!(tag, b'P' | b'B'))
        .map(|(tag, body)| (tag, String::from_utf8_lossy(body).into_owned()))
        .collect();
    let bind_at = binds.iter().position(|(tag, _)| *tag == b'B').unwrap();
    let parsed = &binds[bind_at - 1].1;
    assert!(parsed.contains(T), "{binds:?}");
}

#[test]
fn an_error_ends_what_lives_here_of_the_segment() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.sent();
    client.ask(&[unit(T), execute("missing", 0), flush()].concat());
    client.answer(&error("34000"));
    client.ask(&sync());
    client.answer(&ready(b'I'));
    client.sent();
    client.ask(&[execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "ES", "the portal is gone, says PostgreSQL");
}

#[test]
fn an_unnamed_statement_that_an_ignored_message_was_to_end_is_ended_later() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.ask(&query(T));
    client.answer(&[one_row("1"), ready(b'I')].concat());
    client.ask(&[unit(T), sync()].concat());
    client.ask(&query(T));
    client.sent();
    client.ask(&[describe(b'P', "missing"), parse("", T), sync()].concat());
    client.answer(&[error("34000"), ready(b'I')].concat());
    client.sent();
    client.ask(&[bind("", "", false), execute("", 0), sync()].concat());
    assert!(client.sent().starts_with('C'));
}

#[test]
fn what_a_failing_pipeline_leaves_of_the_unnamed_statement_is_awaited() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    client.ask(&[parse("", T), sync()].concat());
    client.answer(&[message(b'1', &[]), ready(b'I')].concat());
    client.ask(&query(T));
    client.told();
    client.sent();
    let failing = [bind("", "missing", false), parse("", T), sync()].concat();
    client.ask(&[failing, describe(b'S', ""), sync()].concat());
    assert_eq!(
        client.sent(),
        "BPS",
        "whether there is one is not known yet"
    );
    client.answer(&[error("26000"), ready(b'I')].concat());
    assert!(client.sent().starts_with('C'), "there is none");
}

#[test]
fn a_query_that_hits_ends_the_unnamed_portal() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    client.ask(&query("BEGIN READ WRITE"));
    client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
    client.ask(&[parse("", U), bind("", "", false), sync()].concat());
    client.answer(&[message(b'1', &[]), message(b'2', &[]), ready(b'T')].concat());
    client.sent();
    client.ask(&query(T));
    assert_eq!(client.sent(), "", "a hit");
    client.ask(&[execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "CES", "the upstream's portal is gone, too");
}

#[test]
fn a_name_that_was_freed_stays_free_whatever_fails_behind_it() {
    // Planning of what was bound may have changed the session: before a read that is known it is asked about itself.
    for (failed, sent) in [(false, "BES"), (true, "Q")] {
        let world = World::new();
        world.warm("t");
        let mut client = world.client();
        client.ask(&[parse("a", T), bind("", "a", false), execute("", 0), sync()].concat());
        let (one, two) = (message(b'1', &[]), message(b'2', &[]));
        client.answer(&[one, two, row("1"), complete("SELECT 1"), ready(b'I')].concat());
        client.ask(&[unit("DEALLOCATE ALL"), bind("", "a", false), sync()].concat());
        // Itself refused, or the Bind behind it.
        let answer = match failed {
            true => error("25P02"),
            false => [unit_done("DEALLOCATE ALL"), error("26000")].concat(),
        };
        client.answer(&[answer, ready(b'I')].concat());
        client.sent();
        client.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
        assert_eq!(client.sent(), sent);
    }
}

#[test]
fn p1_a_name_in_doubt_is_not_used_before_it_is_known_what_it_means() {
    let world = World::new();
    let mut client = world.client();
    let failing = [
        parse("", "UPDATE t SET v = 5"),
        bind("", "missing", false),
        unit(T),
        sync(),
    ];
    client.ask(&failing.concat());
    client.ask(&[bind("", "", false), execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "PBPBDES", "is it the UPDATE or the SELECT?");
    client.answer(&[message(b'1', &[]), error("26000"), ready(b'I')].concat());
    assert_eq!(client.sent(), "BES");
    assert!(world.shut(world.t), "it is the UPDATE");
}

#[test]
fn an_unnamed_statement_that_a_hit_has_hidden_is_ended_with_the_next_query() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.ask(&[unit(U), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.ask(&[unit(T), sync(), query(T)].concat());
    client.sent();
    client.ask(&[bind("", "", false), execute("", 0), sync()].concat());
    assert!(
        client.sent().starts_with('C'),
        "the read of the other table is gone"
    );
}

#[test]
fn a_name_that_a_failing_pipeline_was_to_free_is_awaited() {
    let world = World::new();
    world.warm("t");
    for free in [close(b'S', "a"), unit("DEALLOCATE a")] {
        let mut client = world.client();
        client.ask(&[parse("a", T), sync()].concat());
        client.answer(&[message(b'1', &[]), ready(b'I')].concat());
        client.sent();
        client.ask(
            &[
                bind("", "missing", false),
                free,
                sync(),
                describe(b'S', "a"),
                sync(),
            ]
            .concat(),
        );
        assert!(
            !client.sent().contains("DS"),
            "whether it is free is not known yet"
        );
        client.answer(&[error("26000"), ready(b'I')].concat());
        assert_eq!(client.sent(), "DS");
    }
}

#[test]
fn an_error_gives_no_name_back_that_was_freed_behind_it() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    client.ask(&[parse("a", T), bind("", "a", false), execute("", 0), sync()].concat());
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    client.answer(&[one, two, row("1"), complete("SELECT 1"), ready(b'I')].concat());
    client.ask(&[parse("a", U), sync(), query("DEALLOCATE ALL")].concat());
    client.answer(&[error("42P05"), ready(b'I')].concat());
    client.answer(&[complete("DEALLOCATE ALL"), ready(b'I')].concat());
    client.sent();
    client.ask(&[bind("", "a", false), execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "BES", "PostgreSQL says that it is gone");
}

#[test]
fn a_block_outlives_an_answer_owed_from_before_it() {
    let world = World::new();
    world.warm("t");
    let prepared = |name: &str| {
        [
            parse(name, T),
            bind("", name, false),
            describe(b'P', ""),
            execute("", 0),
            sync(),
        ]
        .concat()
    };
    // Kept in this shape, too.
    let mut other = world.client();
    other.ask(&prepared("s"));
    other.answer(
        &[
            message(b'1', &[]),
            message(b'2', &[]),
            one_row("1"),
            ready(b'I'),
        ]
        .concat(),
    );
    for told_before in [false, true] {
        let mut client = world.client();
        client.ask(&prepared("s"));
        assert_eq!(client.sent(), "PS", "the name is taught behind the hit");
        client.ask(&query("BEGIN"));
        if told_before {
            client.ask(&query("SET LOCAL bytea_output = 'escape'"));
        }
        client.answer(&[message(b'1', &[]), ready(b'I')].concat());
        assert_eq!(client.session.transaction.status(), b'T');
        client.told();
        client.ask(&query("SAVEPOINT a"));
        assert_eq!(client.told(), if told_before { "" } else { "CZ" });
    }
}
