//! Tests of what is served, filled and raised, and when.

use super::world::*;
use crate::session::Mode;

const T: &str = "SELECT v FROM t";
const U: &str = "SELECT v FROM u";
const WRITE: &str = "UPDATE t SET v = 5";

#[test]
fn a_second_read_hits_in_simple_and_in_extended_protocol() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&query(T));
    assert_eq!(client.sent(), "Q");
    client.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(client.told(), "TDCZ");
    assert_eq!(client.last(), "miss");
    let mut other = world.client();
    other.ask(&query(T));
    assert_eq!((other.sent(), other.told()), ("".into(), "TDCZ".into()));
    assert_eq!(other.last(), "hit");
    other.ask(&[unit(T), sync()].concat());
    assert_eq!(other.sent(), "PBDES");
    other.answer(&[unit_row("1"), ready(b'I')].concat());
    assert_eq!(other.told(), "12TDCZ");
    other.ask(&[unit(T), sync()].concat());
    assert_eq!((other.sent(), other.told()), ("".into(), "12TDCZ".into()));
}

#[test]
fn nothing_is_served_in_the_modes_observe_and_off() {
    for (mode, word) in [(Mode::Observe, "hit"), (Mode::Off, "bypass: off")] {
        let world = World::with(mode, 1 << 20);
        let mut client = world.client_of(&[("user", "ann"), ("database", "shop")]);
        client.answer(&greeting(7));
        if client.sent() == "Q" {
            client.answer(&own_row(7, "hex", "read committed"));
        }
        for _ in 0..2 {
            client.ask(&query(T));
            assert_eq!(client.sent(), "Q", "{mode:?}");
            client.answer(&[one_row("1"), ready(b'I')].concat());
        }
        assert_eq!(client.last(), word);
        client.ask(&query(WRITE));
        assert_eq!(world.shut(world.t), mode == Mode::Observe);
    }
}

#[test]
fn p1_an_own_write_is_shut_before_it_leaves_and_raised_before_it_is_told() {
    let world = World::new();
    world.warm("t");
    let (mut writer, mut reader) = (world.client(), world.client());
    writer.ask(&query(WRITE));
    assert!(world.shut(world.t) && !world.shut(world.u));
    reader.ask(&query(T));
    assert_eq!(
        reader.sent(),
        "Q",
        "not served while the write is in flight"
    );
    reader.answer(&[one_row("1"), ready(b'I')].concat());
    writer.answer(&complete("UPDATE 1"));
    assert!(world.shut(world.t), "the answer has not ended");
    writer.answer(&ready(b'I'));
    assert!(!world.shut(world.t));
    reader.told();
    reader.ask(&query(T));
    assert_eq!(reader.sent(), "Q", "what was read meanwhile was not kept");
}

#[test]
fn a_read_that_a_write_overlapped_is_not_kept() {
    let world = World::new();
    let (mut writer, mut reader) = (world.client(), world.client());
    reader.ask(&query(T));
    writer.ask(&query(WRITE));
    writer.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    reader.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(world.thread.store.entries(), 0, "it would only take memory");
    reader.sent();
    reader.ask(&query(T));
    assert_eq!(reader.sent(), "Q");
}

#[test]
fn what_ends_in_an_error_or_comes_with_a_notice_is_not_kept() {
    for answer in [
        [description(false), row("1"), error("57014"), ready(b'I')].concat(),
        [message(b'N', &[b"\0"]), one_row("1"), ready(b'I')].concat(),
        [
            description(false),
            message(b'A', &[b"\0\0\0\x01c\0\0"]),
            row("1"),
            complete("SELECT 1"),
            ready(b'I'),
        ]
        .concat(),
    ] {
        let world = World::new();
        let mut client = world.client();
        client.ask(&query(T));
        client.answer(&answer);
        client.sent();
        client.ask(&query(T));
        assert_eq!(client.sent(), "Q");
    }
}

#[test]
fn what_a_row_limit_cuts_is_kept_for_that_limit_only() {
    let world = World::new();
    let limited = [parse("", T), bind("", "", false), execute("", 1), sync()].concat();
    let mut client = world.client();
    client.ask(&limited);
    client.answer(
        &[
            message(b'1', &[]),
            message(b'2', &[]),
            row("1"),
            message(b's', &[]),
            ready(b'I'),
        ]
        .concat(),
    );
    assert_eq!(
        (client.sent(), client.told()),
        ("PBES".into(), "12DsZ".into())
    );
    client.ask(&limited);
    assert_eq!(
        (client.sent(), client.told()),
        ("".into(), "12DsZ".into()),
        "the same limit again"
    );
    let other = [parse("", T), bind("", "", false), execute("", 2), sync()].concat();
    client.ask(&other);
    assert_eq!(client.sent(), "PBES", "another limit may have more rows");
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    client.answer(&[one, two, row("1"), complete("SELECT 1"), ready(b'I')].concat());
    client.told();
    for (limit, told) in [(0, "12DCZ"), (1, "12DsZ"), (2, "12DCZ"), (-1, "12DCZ")] {
        client.ask(
            &[
                parse("", T),
                bind("", "", false),
                execute("", limit),
                sync(),
            ]
            .concat(),
        );
        assert_eq!(
            (client.sent(), client.told()),
            ("".into(), told.into()),
            "the whole answer, under {limit}"
        );
    }
}

#[test]
fn a_transaction_shuts_at_its_commit_and_raises_what_it_wrote() {
    let world = World::new();
    let mut client = world.client();
    let before = world.mark(world.t);
    client.ask(&query("BEGIN READ WRITE"));
    client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
    client.ask(&query(WRITE));
    assert!(!world.shut(world.t), "nobody sees it yet");
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    assert!(before.holds());
    client.ask(&query(T));
    assert_eq!(client.sent(), "QQQ", "its own write is not in the cache");
    client.answer(&[one_row("5"), ready(b'T')].concat());
    client.ask(&query("COMMIT"));
    assert!(world.shut(world.t) && !world.shut(world.u));
    client.answer(&[complete("COMMIT"), ready(b'I')].concat());
    assert!(!world.shut(world.t) && before.dead());
}

#[test]
fn rollback_raises_nothing_and_so_does_the_commit_of_a_failed_transaction() {
    for end in ["ROLLBACK", "COMMIT"] {
        let world = World::new();
        let mut client = world.client();
        let before = world.mark(world.t);
        client.ask(&query("BEGIN READ WRITE"));
        client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
        client.ask(&query(WRITE));
        client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
        client.ask(&query("SELECT 1/0"));
        client.answer(&[error("22012"), ready(b'E')].concat());
        client.ask(&query(end));
        client.answer(&[complete("ROLLBACK"), ready(b'I')].concat());
        assert!(before.holds(), "{end}");
    }
}

#[test]
fn a_savepoint_gone_back_to_keeps_the_write_set() {
    let world = World::new();
    let mut client = world.client();
    let before = world.mark(world.t);
    for (sql, tag, status) in [
        ("BEGIN READ WRITE", "BEGIN READ WRITE", b'T'),
        ("SELECT 1; SAVEPOINT s", "SAVEPOINT", b'T'),
        (WRITE, "UPDATE 1", b'T'),
        ("ROLLBACK TO s", "ROLLBACK", b'T'),
        ("COMMIT", "COMMIT", b'I'),
    ] {
        client.ask(&query(sql));
        client.answer(&[complete(tag), ready(status)].concat());
    }
    assert!(
        before.dead(),
        "a superset is right, and here it is known no better"
    );
}

#[test]
fn a_pipelined_transaction_raises_what_it_wrote() {
    for sent in [
        [query("BEGIN READ WRITE"), query(WRITE), query("COMMIT")].concat(),
        [
            unit("BEGIN READ WRITE"),
            unit(WRITE),
            unit("COMMIT"),
            sync(),
        ]
        .concat(),
        query("BEGIN READ WRITE; UPDATE t SET v = 5; COMMIT"),
    ] {
        let world = World::new();
        let mut client = world.client();
        let before = world.mark(world.t);
        client.ask(&sent);
        assert!(world.shut(world.t), "before any answer has come");
        let answers: [Vec<u8>; 2] = match client.sent().as_str() {
            "QQQ" => [
                [
                    complete("BEGIN READ WRITE"),
                    ready(b'T'),
                    complete("UPDATE 1"),
                    ready(b'T'),
                ]
                .concat(),
                [complete("COMMIT"), ready(b'I')].concat(),
            ],
            "Q" => [
                [complete("BEGIN READ WRITE"), complete("UPDATE 1")].concat(),
                [complete("COMMIT"), ready(b'I')].concat(),
            ],
            _ => [
                [unit_done("BEGIN READ WRITE"), unit_done("UPDATE 1")].concat(),
                [unit_done("COMMIT"), ready(b'I')].concat(),
            ],
        };
        client.answer(&answers[0]);
        assert!(world.shut(world.t), "COMMIT is not answered yet");
        client.answer(&answers[1]);
        assert!(!world.shut(world.t) && before.dead());
    }
}

#[test]
fn what_is_sent_behind_a_rollback_may_run_outside_of_a_block() {
    for sent in [
        [query("ROLLBACK"), query(WRITE)].concat(),
        [unit("ROLLBACK"), unit(WRITE), sync()].concat(),
    ] {
        let world = World::new();
        let mut client = world.client();
        let before = world.mark(world.t);
        client.ask(&query("BEGIN READ WRITE"));
        client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
        client.sent();
        client.ask(&sent);
        assert!(world.shut(world.t));
        if client.sent() == "QQ" {
            client.answer(&[complete("ROLLBACK"), ready(b'I')].concat());
            assert!(world.shut(world.t));
            client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
        } else {
            client.answer(&[unit_done("ROLLBACK"), unit_done("UPDATE 1")].concat());
            client.answer(&ready(b'I'));
        }
        assert!(!world.shut(world.t) && before.dead());
    }
}

#[test]
fn what_is_sent_behind_a_held_begin_may_run_outside_of_a_block() {
    let world = World::new();
    let mut client = world.client();
    let before = world.mark(world.t);
    client.ask(&[unit("BEGIN"), sync()].concat());
    assert_eq!(
        (client.sent().as_str(), client.told().as_str()),
        ("", "12nCZ")
    );
    client.ask(&[unit("SELECT v FROM u"), sync()].concat());
    assert!(
        client.sent().ends_with("PBDES"),
        "the BEGIN in front of the read"
    );
    client.ask(&query(WRITE));
    assert!(
        world.shut(world.t),
        "should the BEGIN fail, it runs by itself"
    );
    // A cancel has met the BEGIN.
    client.answer(&[error("57014"), ready(b'I')].concat());
    client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    assert!(!world.shut(world.t) && before.dead());
}

#[test]
fn a_text_that_is_not_looked_into_may_commit() {
    let world = World::new();
    let mut client = world.client();
    let before = world.mark(world.t);
    client.ask(&query("BEGIN READ WRITE"));
    client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
    client.ask(&query(WRITE));
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    client.ask(&query("SELECT 1 syntax of a later version; COMMIT"));
    assert!(world.shut(world.t));
    client.answer(&[complete("COMMIT"), ready(b'I')].concat());
    assert!(before.dead());
}

#[test]
fn p9_a_commit_behind_execute_is_shut_before_it_leaves() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[parse("c", "COMMIT"), sync()].concat());
    let before = world.mark(world.t);
    client.ask(&query("BEGIN READ WRITE"));
    client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
    client.ask(&query(WRITE));
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    client.ask(&query("EXECUTE c"));
    assert!(world.shut(world.t), "its outcome may stay unknown");
    client.answer(&[message(b'1', &[]), complete("COMMIT"), ready(b'I')].concat());
    assert!(!world.shut(world.t) && before.dead());
}

#[test]
fn a_portal_that_is_not_followed_may_write_anything() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&query("SELECT on_write()"));
    client.answer(&[one_row("1"), ready(b'I')].concat());
    world.load();
    let before = world.mark(world.u);
    client.ask(&[execute("p", 0), sync()].concat());
    assert!(world.shut(world.u));
    client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    assert!(before.dead());
}

#[test]
fn a_trigger_touches_everything() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&query("UPDATE triggered SET v = 5"));
    assert!(world.shut(world.t) && world.shut(world.u));
    client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    assert!(!world.shut(world.t));
    client.ask(&query(U));
    assert_eq!(
        client.sent(),
        "QQ",
        "the session is asked about itself first"
    );
    assert_ne!(world.triggered, world.t);
}

/// Planning runs functions, and FETCH what was only bound.
#[test]
fn p1_what_is_only_bound_may_write() {
    let bound = |sql: &str| [parse("s", sql), bind("p", "s", false)].concat();
    let answers = || [message(b'1', &[]), message(b'2', &[])].concat();
    let opaque = "UPDATE triggered SET v = 5 RETURNING v";
    let world = World::new();
    let mut client = world.client();
    client.ask(&[bound(opaque), sync()].concat());
    assert!(world.shut(world.t) && world.shut(world.u));
    client.answer(&[answers(), ready(b'I')].concat());
    assert!(!world.shut(world.t));
    // In a block its COMMIT makes it visible.
    let mut client = world.client();
    begin(&mut client);
    client.ask(&[bound(opaque), query("FETCH ALL FROM p")].concat());
    client.answer(&answers());
    client.answer(&[row("5"), complete("FETCH 1"), ready(b'T')].concat());
    assert!(!world.shut(world.t));
    client.ask(&query("COMMIT"));
    assert!(world.shut(world.t) && world.shut(world.u));
    client.answer(&[complete("COMMIT"), ready(b'I')].concat());
    assert!(!world.shut(world.t));
    // A count of zero says nothing of it.
    world.warm("u");
    let mut client = world.client();
    let update = bound("UPDATE u SET v = 5 RETURNING v");
    client.ask(&[update, unit("UPDATE t SET v = 5"), sync()].concat());
    assert!(world.shut(world.t) && world.shut(world.u));
    client.answer(&[answers(), unit_done("UPDATE 0"), ready(b'I')].concat());
    client.sent();
    client.ask(&query(U));
    assert_eq!(client.sent(), "Q", "not a hit any more");
    // A read that is bound shuts nobody out.
    let mut client = world.client();
    client.ask(&[bound(T), flush()].concat());
    assert!(!world.shut(world.t) && !world.shut(world.u));
}

#[test]
fn a_read_committed_transaction_hits_while_it_is_clean_and_no_other_does() {
    for (begin, hits) in [
        ("BEGIN READ WRITE", true),
        ("BEGIN ISOLATION LEVEL READ COMMITTED", true),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", false),
        (
            "BEGIN READ WRITE; SET default_transaction_isolation = 'read committed'",
            false,
        ),
    ] {
        let world = World::new();
        world.warm("t");
        let mut client = world.client();
        client.ask(&query(begin));
        if !client.sent().is_empty() {
            client.answer(&[complete("BEGIN"), ready(b'T')].concat());
        }
        client.ask(&query(T));
        assert_eq!(client.sent(), if hits { "" } else { "Q" }, "{begin}");
    }
}

#[test]
fn p1_a_snapshot_that_a_pipeline_shares_fills_nothing() {
    let world = World::new();
    let repeatable = || {
        let mut client = world.client_of(&[("user", "ann"), ("database", "shop")]);
        client.answer(&greeting(7));
        client.answer(&own_row(7, "hex", "repeatable read"));
        client.told.clear();
        client.sent();
        client
    };
    let (mut client, mut writer) = (repeatable(), world.client());
    client.ask(&[unit(T), flush()].concat());
    client.answer(&unit_row("1"));
    writer.ask(&query("UPDATE u SET v = 5"));
    writer.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    client.ask(&[unit(U), sync()].concat());
    client.answer(&[unit_row("old"), ready(b'I')].concat());
    let mut other = repeatable();
    other.ask(&query(U));
    assert_eq!(other.sent(), "Q", "the snapshot was older than the write");
    other.answer(&[one_row("5"), ready(b'I')].concat());
    other.ask(&query(U));
    assert_eq!(
        other.sent(),
        "",
        "a message of its own has a snapshot of its own"
    );
    other.ask(&[unit(U), sync()].concat());
    other.answer(&[unit_row("5"), ready(b'I')].concat());
    other.sent();
    other.ask(&[unit(U), sync()].concat());
    assert_eq!(other.sent(), "", "and so has a unit that is alone");
    other.ask(&[unit(U), unit(T), sync()].concat());
    assert_eq!(
        other.sent(),
        "PBDEPBDES",
        "a hit would be of another moment"
    );
}

#[test]
fn the_next_block_of_the_same_message_has_an_isolation_of_its_own() {
    for sent in [
        query("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ"),
        [
            unit("COMMIT"),
            unit("BEGIN ISOLATION LEVEL REPEATABLE READ"),
            sync(),
        ]
        .concat(),
    ] {
        let world = World::new();
        world.warm("t");
        let mut client = world.client();
        client.ask(&query("BEGIN READ WRITE"));
        client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
        client.sent();
        client.ask(&sent);
        if client.sent() == "Q" {
            client.answer(
                &[
                    complete("COMMIT"),
                    complete("BEGIN READ WRITE"),
                    ready(b'T'),
                ]
                .concat(),
            );
        } else {
            let done = [
                unit_done("COMMIT"),
                unit_done("BEGIN READ WRITE"),
                ready(b'T'),
            ]
            .concat();
            client.answer(&done);
        }
        client.ask(&query(T));
        assert_eq!(client.sent(), "Q");
    }
}

#[test]
fn a_read_behind_a_rollback_does_not_make_its_settings_stay() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    for (sql, tag) in [
        ("BEGIN READ WRITE", "BEGIN READ WRITE"),
        ("SET bytea_output = 'escape'", "SET"),
    ] {
        client.ask(&query(sql));
        client.answer(&[complete(tag), ready(b'T')].concat());
    }
    client.sent();
    client.ask(&query(T));
    assert_eq!(client.sent(), "Q", "another setting is another key");
    client.answer(&[one_row("escaped"), ready(b'T')].concat());
    client.ask(&[unit("ROLLBACK"), unit(U), sync()].concat());
    client.answer(&[unit_done("ROLLBACK"), unit_row("1"), ready(b'I')].concat());
    client.told.clear();
    client.ask(&query(T));
    assert!(!String::from_utf8_lossy(&client.told).contains("escaped"));
}

#[test]
fn a_copy_shuts_from_its_end_on_and_never_without() {
    let world = World::new();
    let asks = message(b'G', &[&[0, 0, 0]]);
    let (data, end) = (message(b'd', &[b"1\n"]), message(b'c', &[]));
    let mut client = world.client();
    let before = world.mark(world.t);
    client.ask(&query("COPY t FROM STDIN"));
    client.answer(&asks);
    client.ask(&data);
    assert!(
        !world.shut(world.t) && before.holds(),
        "nobody sees the rows yet"
    );
    client.ask(&end);
    assert!(world.shut(world.t));
    client.answer(&[complete("COPY 1"), ready(b'I')].concat());
    assert!(!world.shut(world.t) && before.dead());

    let before = world.mark(world.t);
    client.ask(&[query("COPY t FROM STDIN"), data.clone(), end.clone()].concat());
    assert!(world.shut(world.t));
    client.answer(&asks);
    assert!(world.shut(world.t), "its end was sent ahead");
    client.answer(&[complete("COPY 1"), ready(b'I')].concat());
    assert!(!world.shut(world.t) && before.dead());

    let before = world.mark(world.t);
    client.ask(&query("COPY t FROM STDIN"));
    client.answer(&asks);
    client.ask(&[data, message(b'f', &[b"no\0"])].concat());
    client.answer(&[error("57014"), ready(b'I')].concat());
    assert!(before.holds(), "a COPY that failed");
}

#[test]
fn an_extended_copy_ignores_the_sync_before_its_end() {
    let world = World::new();
    let mut client = world.client();
    let before = world.mark(world.t);
    let copy = [
        parse("", "COPY t FROM STDIN"),
        bind("", "", false),
        execute("", 0),
        sync(),
    ];
    client.ask(&copy.concat());
    let done = [message(b'1', &[]), message(b'2', &[])].concat();
    client.answer(&[done, message(b'G', &[&[0, 0, 0]])].concat());
    client.ask(&[message(b'd', &[b"1\n"]), message(b'c', &[]), sync()].concat());
    assert!(world.shut(world.t));
    client.answer(&[complete("COPY 1"), ready(b'I')].concat());
    assert!(!world.shut(world.t) && before.dead());
    client.told.clear();
    client.sent();
    client.ask(&query(T));
    assert_eq!(client.sent(), "Q");
    client.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(client.told(), "TDCZ");
}

#[test]
fn a_write_whose_connection_ends_stays_shut() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&query(WRITE));
    assert!(!client.session.may_leave(0));
    let doubt = client
        .session
        .end()
        .expect("nobody knows what became of it");
    assert_eq!(doubt.backend.as_ref().map(|(pid, _)| *pid), Some(7));
    assert!(world.shut(world.t));
    for intent in doubt.intents {
        intent.close(crate::cache::version::Outcome::Visible);
    }
    assert!(!world.shut(world.t));
}

#[test]
fn two_names_of_one_database_are_one() {
    let world = World::new();
    let mut client = world.client_of(&[("user", "shop"), ("database", "")]);
    client.login();
    client.ask(&query(WRITE));
    assert!(world.shut(world.t), "an empty name is the user's");
    let long = "x".repeat(70);
    let (mut one, mut other) = (
        world.client_of(&[("user", "ann"), ("database", &long)]),
        world.client_of(&[("user", "ann"), ("database", &long[..63])]),
    );
    one.login();
    other.login();
    assert_eq!(
        one.session.database().name(),
        other.session.database().name()
    );
}

#[test]
fn only_a_replication_connection_has_replication_commands() {
    for (value, shuts) in [
        ("f", true),
        ("OFF", true),
        ("0", true),
        ("no", true),
        ("1", false),
    ] {
        let world = World::new();
        let mut client = world.client_of(&[
            ("user", "ann"),
            ("database", "shop"),
            ("replication", value),
        ]);
        client.answer(&greeting(7));
        if client.sent() == "Q" {
            client.answer(&own_row(7, "hex", "read committed"));
        }
        client.ask(&query("SHOW x; UPDATE t SET v = 5"));
        assert_eq!(world.shut(world.t), shuts, "{value}");
    }
}

#[test]
fn p9_a_backend_that_did_not_tell_of_itself_is_the_announced_one_unless_the_upstream_is_a_pooler() {
    for (others, pid) in [
        (vec![(7, 7)], Some(9)),
        (vec![(7, 7), (7, 8)], None),
        (vec![], None),
    ] {
        let world = World::new();
        for (announced, own) in others {
            let mut other = world.client_of(&[("user", "ann"), ("database", "shop")]);
            other.answer(&greeting(announced));
            other.answer(&own_row(own, "hex", "read committed"));
        }
        let mut client = world.client_of(&[("user", "ann"), ("database", "shop")]);
        client.answer(&greeting(9));
        client.answer(&[error("42501"), ready(b'I')].concat());
        client.ask(&query(WRITE));
        let doubt = client.session.end().unwrap();
        assert_eq!(doubt.backend, pid.map(|pid| (pid, None)));
    }
}

#[test]
fn a_count_of_zero_says_nothing_of_what_else_ran_in_the_segment() {
    let unknown = execute("p", 0);
    let (zero, five) = (unit_done("UPDATE 0"), complete("UPDATE 5"));
    for (sent, answer) in [
        ([unit(WRITE), unknown.clone()], [zero.clone(), five.clone()]),
        ([unknown, unit(WRITE)], [five, zero]),
    ] {
        let world = World::new();
        let mut client = world.client();
        let before = world.mark(world.u);
        client.ask(&[sent.concat(), sync()].concat());
        client.answer(&[answer.concat(), ready(b'I')].concat());
        assert!(before.dead());
    }
}

#[test]
fn execute_of_what_cannot_end_a_block_shuts_nobody_out() {
    for prepared in ["PREPARE p AS UPDATE t SET v = 5", "parse"] {
        let world = World::new();
        let mut client = world.client();
        if prepared == "parse" {
            client.ask(&[parse("p", WRITE), sync()].concat());
            client.answer(&[message(b'1', &[]), ready(b'I')].concat());
        } else {
            client.ask(&query(prepared));
            client.answer(&[complete("PREPARE"), ready(b'I')].concat());
        }
        let before = world.mark(world.t);
        client.ask(&query("BEGIN READ WRITE"));
        client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
        client.ask(&query("EXECUTE p"));
        assert!(!world.shut(world.t), "nobody sees it yet");
        client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
        client.ask(&query("COMMIT"));
        assert!(world.shut(world.t));
        client.answer(&[complete("COMMIT"), ready(b'I')].concat());
        assert!(before.dead());
    }
}

#[test]
fn a_block_that_ends_unseen_is_raised_before_the_client_is_told() {
    let world = World::new();
    let mut client = world.client();
    let before = world.mark(world.t);
    for (sql, tag, status) in [
        ("BEGIN READ WRITE", "BEGIN READ WRITE", b'T'),
        (WRITE, "UPDATE 1", b'T'),
        ("SHOW search_path", "SHOW", b'I'),
    ] {
        client.ask(&query(sql));
        client.answer(&[complete(tag), ready(status)].concat());
    }
    assert!(before.dead());
}

#[test]
fn a_copy_raises_what_was_visible_before_it_began() {
    let asks = message(b'G', &[&[0, 0, 0]]);
    let world = World::new();
    let mut client = world.client();
    let before = world.mark(world.u);
    client.ask(&query("BEGIN READ WRITE"));
    client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
    client.ask(&query("UPDATE u SET v = 5"));
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    client.ask(&query("COMMIT; COPY t FROM STDIN"));
    client.answer(&[complete("COMMIT"), asks].concat());
    assert!(before.dead(), "the COMMIT has happened");
    client.ask(&message(b'c', &[]));
    client.answer(&[complete("COPY 1"), ready(b'I')].concat());
    assert!(!world.shut(world.t));
}

#[test]
fn a_write_behind_a_copy_in_the_same_message_shuts_again() {
    let asks = message(b'G', &[&[0, 0, 0]]);
    let world = World::new();
    let mut client = world.client();
    // An extended segment goes on behind the end of its COPY.
    let copy = [
        parse("", "COPY t FROM STDIN"),
        bind("", "", false),
        execute("", 0),
    ];
    client.ask(&[copy.concat(), flush()].concat());
    client.answer(&[message(b'1', &[]), message(b'2', &[]), asks].concat());
    client.ask(&message(b'f', &[b"no\0"]));
    client.answer(&error("57014"));
    client.ask(&sync());
    client.answer(&ready(b'I'));
    let before = world.mark(world.t);
    client.ask(&[copy.concat(), flush()].concat());
    client.answer(
        &[
            message(b'1', &[]),
            message(b'2', &[]),
            message(b'G', &[&[0, 0, 0]]),
        ]
        .concat(),
    );
    assert!(!world.shut(world.t));
    client.ask(&[message(b'c', &[]), unit(WRITE), sync()].concat());
    assert!(world.shut(world.t));
    client.answer(&[complete("COPY 1"), unit_done("UPDATE 1"), ready(b'I')].concat());
    assert!(!world.shut(world.t) && before.dead());
}

#[test]
fn an_error_behind_a_commit_takes_nothing_back() {
    for (begin, sent) in [
        (true, "COMMIT; SELECT 1/0"),
        (
            false,
            "BEGIN READ WRITE; UPDATE t SET v = 5; COMMIT; SELECT 1/0",
        ),
    ] {
        let world = World::new();
        let mut client = world.client();
        let before = world.mark(world.t);
        if begin {
            client.ask(&query("BEGIN READ WRITE"));
            client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
            client.ask(&query(WRITE));
            client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
        }
        client.ask(&query(sent));
        client.answer(&[complete("COMMIT"), error("22012"), ready(b'I')].concat());
        assert!(before.dead() && !world.shut(world.t), "{sent}");
    }
}

/// A client whose unnamed portal is bound to the answer that is kept, and lives here.
fn bound_here(world: &World) -> Client {
    world.warm("t");
    let mut client = world.client();
    let bound = [parse("", T), bind("", "", false)].concat();
    client.ask(&[bound.clone(), execute("", 0), sync()].concat());
    let unit = [
        message(b'1', &[]),
        message(b'2', &[]),
        row("1"),
        complete("SELECT 1"),
    ];
    client.answer(&[unit.concat(), ready(b'I')].concat());
    client.sent();
    client.ask(&[bound, flush()].concat());
    assert_eq!(client.sent(), "");
    client
}

#[test]
fn what_is_bound_here_is_run_upstream_once_it_is_raised() {
    let world = World::new();
    let mut client = bound_here(&world);
    let mut writer = world.client();
    writer.ask(&query(WRITE));
    writer.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    client.ask(&[execute("", 0), sync()].concat());
    assert_eq!(
        client.sent(),
        "PBES",
        "the upstream has neither its statement nor its portal"
    );
}

#[test]
fn p4_what_is_bound_here_is_not_run_here_behind_a_read_that_is_under_way() {
    let world = World::new();
    let mut client = bound_here(&world);
    client.ask(&[parse("u", U), bind("p", "u", false), execute("p", 0)].concat());
    client.ask(&[execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "PBEPBES");
}

#[test]
fn what_was_bound_before_a_setting_changed_is_not_kept() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&query("BEGIN READ WRITE"));
    client.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
    client.ask(&[parse("", T), bind("", "", false), flush()].concat());
    client.answer(&[message(b'1', &[]), message(b'2', &[])].concat());
    client.ask(&sync());
    client.answer(&ready(b'T'));
    // A simple Query would close the portal.
    client.ask(
        &[
            parse("s", "SET bytea_output = 'escape'"),
            bind("x", "s", false),
        ]
        .concat(),
    );
    client.ask(&[execute("x", 0), sync()].concat());
    client.answer(&[message(b'1', &[]), message(b'2', &[]), complete("SET")].concat());
    client.answer(&ready(b'T'));
    client.ask(&[execute("", 0), sync()].concat());
    client.answer(&[row("escaped"), complete("SELECT 1"), ready(b'T')].concat());
    assert_eq!(world.thread.store.entries(), 0);
}

#[test]
fn an_answer_without_description_is_none_for_who_asks_for_it() {
    let world = World::new();
    let mut client = world.client();
    let bound = [parse("", T), bind("", "", false)].concat();
    client.ask(&[bound.clone(), execute("", 0), sync()].concat());
    let unit = [
        message(b'1', &[]),
        message(b'2', &[]),
        row("1"),
        complete("SELECT 1"),
    ];
    client.answer(&[unit.concat(), ready(b'I')].concat());
    client.sent();
    client.ask(&[bound, describe(b'P', ""), execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "PBDES");
}

#[test]
fn nothing_of_a_batch_that_failed_is_kept() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[unit(T), unit("SELECT 1/0"), sync()].concat());
    client.answer(&[unit_row("1"), error("22012"), ready(b'I')].concat());
    assert_eq!(world.thread.store.entries(), 0);
}

#[test]
fn p1_a_portal_is_as_old_as_its_bind() {
    for overlapped in [true, false] {
        let world = World::new();
        let (mut client, mut writer) = (world.client(), world.client());
        client.ask(&[parse("", T), bind("", "", false), flush()].concat());
        client.answer(&[message(b'1', &[]), message(b'2', &[])].concat());
        if overlapped {
            writer.ask(&query(WRITE));
            writer.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
        }
        client.ask(&[execute("", 0), sync()].concat());
        client.answer(&[row("1"), complete("SELECT 1"), ready(b'I')].concat());
        assert_eq!(world.thread.store.entries(), usize::from(!overlapped));
    }
}

/// What PostgreSQL answers with 34000 or 26000 has run nothing, and shuts nothing.
#[test]
fn what_names_nothing_touches_nothing() {
    let strays = [
        ("34000", [execute("p", 0), sync()].concat()),
        (
            "26000",
            [bind("", "gone", false), execute("", 0), sync()].concat(),
        ),
        ("26000", query("EXECUTE gone")),
    ];
    for (code, stray) in &strays {
        let world = World::new();
        let mut client = world.client();
        let before = world.mark(world.u);
        client.ask(stray);
        assert!(!world.shut(world.u), "{code}");
        client.answer(&[error(code), ready(b'I')].concat());
        assert!(!before.dead() && world.database.catalog().is_some());
    }
    // Should it have run all the same, everything is raised before the client is told.
    for (_, stray) in [&strays[0], &strays[2]] {
        let world = World::new();
        let mut client = world.client();
        let before = world.mark(world.u);
        client.ask(stray);
        client.answer(&complete("UPDATE 1"));
        assert!(before.dead());
    }
}

#[test]
fn a_name_that_may_be_there_is_not_taken_for_missing() {
    let update = "UPDATE u SET v = 5";
    let cases: [Vec<Vec<u8>>; 4] = [
        // SQL's PREPARE is under way.
        vec![
            query(&format!("PREPARE gone AS {update}")),
            query("EXECUTE gone"),
        ],
        // So is the message that may give it.
        vec![
            [parse("gone", update), sync()].concat(),
            query("EXECUTE gone"),
        ],
        // A cursor is a portal.
        vec![
            query("BEGIN; DECLARE p CURSOR FOR SELECT v FROM u"),
            [execute("p", 0), sync()].concat(),
        ],
        // Its Close may be ignored behind an error.
        vec![
            [parse("", update), bind("p", "", false), sync()].concat(),
            [query("SELECT 1/0"), close(b'P', "p"), sync()].concat(),
            [execute("p", 0), sync()].concat(),
        ],
    ];
    for case in cases {
        let world = World::new();
        let mut client = world.client();
        for said in case {
            client.ask(&said);
        }
        assert!(world.shut(world.u));
    }
}

#[test]
fn p4_a_read_of_catalogs_is_kept_only_if_it_was_alone() {
    let world = World::new();
    let catalogs = "SELECT oid FROM pg_catalog.pg_class";
    let read = |client: &mut Client, behind: bool, status: u8| {
        let first = if behind {
            unit("SELECT v FROM t")
        } else {
            Vec::new()
        };
        client.ask(&[first, unit(catalogs), sync()].concat());
        let rows = if behind { 2 } else { 1 };
        client.answer(&[unit_row("1").repeat(rows), ready(status)].concat());
    };
    let kept = || world.thread.store.entries();
    let mut client = world.client();
    begin(&mut client);
    read(&mut client, false, b'T');
    assert_eq!(
        kept(),
        0,
        "names are looked up in the state at the block's start"
    );
    let mut client = world.client();
    read(&mut client, true, b'I');
    assert_eq!(kept(), 1, "the other read");
    read(&mut world.client(), false, b'I');
    assert_eq!(kept(), 2);
}

#[test]
fn p4_a_backend_of_a_server_that_is_not_in_use_neither_hits_nor_fills() {
    let (new, _databases) = tokio::sync::mpsc::unbounded_channel();
    let servers = crate::cache::servers::Servers::unchosen(true);
    let in_use = servers.named("t0", None, &servers.mark());
    servers.choose(in_use);
    let ledger = crate::cache::version::Ledger::telling(new, servers);
    let world = World::over(ledger, Mode::On, 1 << 20);
    world.warm("t");
    let mut client = world.client();
    client.ask(&query("SELECT v FROM t"));
    assert_eq!(client.sent(), "", "t0 is in use: a hit");
    let servers = &world.thread.ledger.servers;
    servers.choose(servers.named("t1", None, &servers.mark()));
    client.ask(&query("SELECT v FROM t"));
    assert_eq!(client.sent(), "Q");
}
