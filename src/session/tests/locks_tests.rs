//! Tests of the question what a transaction has locked: when it is asked, and what is raised by its answer.

use super::world::*;
use crate::sql::Oid;

const TRIGGERED: &str = "UPDATE triggered SET v = 5";

/// A client in a block that has run a trigger.
fn opaque(world: &World) -> Client {
    let mut client = world.client();
    begin(&mut client);
    says(&mut client, TRIGGERED, "UPDATE 1", b'T');
    client
}

fn says(client: &mut Client, sql: &str, tag: &str, status: u8) {
    client.ask(&query(sql));
    client.sent();
    client.answer(&[complete(tag), ready(status)].concat());
    client.told();
}

/// The answer to the question.
fn locks(locked: &[Oid]) -> Vec<u8> {
    let rows: Vec<u8> = locked
        .iter()
        .flat_map(|oid| row(&oid.to_string()))
        .collect();
    [parsed(), rows, complete("SELECT 2")].concat()
}

/// The answer up to its rows.
fn parsed() -> Vec<u8> {
    [b'3', b'1', b'3', b'2']
        .map(|tag| message(tag, &[]))
        .concat()
}

fn committed(status: u8) -> Vec<u8> {
    [complete("COMMIT"), ready(status)].concat()
}

/// Whether the tables `t`, `u` and `triggered` are as they were at these marks.
fn untouched(world: &World, marks: &[crate::cache::version::Stamp; 3]) -> [bool; 3] {
    world.load();
    let all = [world.t, world.u, world.triggered];
    assert!(all.iter().all(|table| !world.shut(*table)));
    [marks[0].holds(), marks[1].holds(), marks[2].holds()]
}

fn marks(world: &World) -> [crate::cache::version::Stamp; 3] {
    [world.t, world.u, world.triggered].map(|table| world.mark(table))
}

#[test]
fn p1_only_what_was_locked_is_raised_by_a_commit() {
    let world = World::telling();
    let mut client = opaque(&world);
    for _ in 0..2 {
        let before = marks(&world);
        client.ask(&query("COMMIT"));
        assert_eq!(client.sent(), "CPCBEQ");
        let all = [world.t, world.u, world.triggered];
        assert!(all.iter().all(|table| world.shut(*table)), "whatever it is");
        client.answer(&locks(&[world.triggered, world.triggered]));
        assert!(
            all.iter().all(|table| world.shut(*table)),
            "until it is committed"
        );
        client.answer(&committed(b'I'));
        assert_eq!(client.told(), "CZ", "nothing is heard of the question");
        assert_eq!(untouched(&world, &before), [true, true, false]);
        begin(&mut client);
        says(&mut client, TRIGGERED, "UPDATE 1", b'T');
    }
}

#[test]
fn p1_what_the_text_says_is_raised_whatever_the_locks_say() {
    let world = World::telling();
    let mut client = opaque(&world);
    says(&mut client, "UPDATE public.t SET v = 5", "UPDATE 1", b'T');
    let before = marks(&world);
    client.ask(&query("END"));
    assert_eq!(client.sent(), "CPCBEQ");
    client.answer(&[locks(&[]), committed(b'I')].concat());
    assert_eq!(untouched(&world, &before), [false, true, true]);
}

#[test]
fn p1_what_locks_do_not_tell_is_everything() {
    let unknown = 99_999;
    for locked in [&[0][..], &[unknown]] {
        let world = World::telling();
        let mut client = opaque(&world);
        let before = marks(&world);
        client.ask(&query("COMMIT"));
        client.answer(&[locks(locked), committed(b'I')].concat());
        assert_eq!(untouched(&world, &before), [false; 3], "{locked:?}");
        assert!(before[0].dead());
    }
    // A trigger of `u` fires at COMMIT.
    let world = World::telling();
    let mut client = opaque(&world);
    let before = marks(&world);
    client.ask(&query("COMMIT"));
    client.answer(&[locks(&[world.u]), committed(b'I')].concat());
    assert_eq!(untouched(&world, &before), [false; 3]);
}

#[test]
fn p6_a_system_catalog_that_was_changed_raises_the_catalog() {
    let world = World::telling();
    let mut client = opaque(&world);
    client.ask(&query("COMMIT"));
    client.answer(&[locks(&[world.triggered, 1259]), committed(b'I')].concat());
    assert_eq!(client.told(), "CZ");
    assert!(world.database.catalog().is_none());
}

#[test]
fn p1_locks_count_only_once_the_commit_has_succeeded() {
    for (answer, told) in [
        ([error("23505"), ready(b'I')].concat(), "12nEZ"),
        ([error("57014"), ready(b'E')].concat(), "12nEZ"),
    ] {
        let world = World::telling();
        let mut client = opaque(&world);
        let before = marks(&world);
        client.ask(&[unit("COMMIT"), sync()].concat());
        assert_eq!(client.sent(), "CPCBEPBDES");
        let bound = [b'1', b'2', b'n'].map(|tag| message(tag, &[])).concat();
        client.answer(&[locks(&[world.triggered]), bound, answer].concat());
        assert_eq!(client.told(), told);
        assert_eq!(untouched(&world, &before), [false; 3]);
    }
    // A block that had failed is rolled back.
    let world = World::telling();
    let mut client = opaque(&world);
    let before = marks(&world);
    client.ask(&query("COMMIT"));
    client.answer(&[locks(&[world.triggered]), complete("ROLLBACK"), ready(b'I')].concat());
    assert_eq!(untouched(&world, &before), [true; 3]);
}

#[test]
fn p7_a_question_that_fails_is_a_commit_that_failed() {
    let world = World::telling();
    let mut client = opaque(&world);
    let before = marks(&world);
    client.ask(&query("COMMIT"));
    client.answer(&error("57014"));
    assert_eq!(client.told(), "E");
    assert_eq!(client.sent(), "CPCBEQS", "the Query is not heard");
    client.answer(&ready(b'E'));
    assert_eq!(client.told(), "Z");
    assert_eq!(untouched(&world, &before), [false; 3]);
    says(&mut client, "ROLLBACK", "ROLLBACK", b'I');
    // And in the extended protocol, with rows on their way.
    begin(&mut client);
    says(&mut client, TRIGGERED, "UPDATE 1", b'T');
    let before = marks(&world);
    client.ask(&[unit("COMMIT"), sync()].concat());
    assert_eq!(client.sent(), "CPCBEPBDES");
    client.answer(&[parsed(), row("1"), error("57014"), ready(b'E')].concat());
    assert_eq!(client.told(), "EZ");
    assert_eq!(untouched(&world, &before), [false; 3]);
}

#[test]
fn p1_an_implicit_transaction_is_asked_before_its_sync() {
    let world = World::telling();
    for (ends, kept) in [
        (ready(b'I'), true),
        ([error("57014"), ready(b'I')].concat(), false),
    ] {
        let mut client = world.client();
        let before = marks(&world);
        client.ask(&[unit(TRIGGERED), sync()].concat());
        assert_eq!(client.sent(), "PBDECPCBES");
        let all = [world.t, world.u, world.triggered];
        assert!(all.iter().all(|table| world.shut(*table)), "whatever it is");
        client.answer(&[unit_done("UPDATE 1"), locks(&[world.triggered])].concat());
        assert_eq!(client.told(), "12nC");
        client.answer(&ends);
        client.told();
        assert_eq!(untouched(&world, &before), [kept, kept, false]);
    }
    // A second one behind it waits for no answer, and is not asked; nor is one with a BEGIN, or of known writes.
    let mut client = world.client();
    client.ask(&[unit(TRIGGERED), sync(), unit(TRIGGERED), sync()].concat());
    assert_eq!(client.sent(), "PBDECPCBESPBDES");
    let mut client = world.client();
    client.ask(&[unit("BEGIN READ WRITE"), unit(TRIGGERED), sync()].concat());
    assert_eq!(client.sent(), "PBDEPBDES");
    let mut client = world.client();
    client.ask(&[unit("UPDATE t SET v = 5"), sync()].concat());
    assert_eq!(client.sent(), "PBDES");
    client.answer(&[unit_done("UPDATE 1"), ready(b'I')].concat());
    client.ask(&query(TRIGGERED));
    assert_eq!(client.sent(), "Q");
}

#[test]
fn p1_a_commit_whose_answer_is_lost_leaves_everything_shut() {
    let world = World::telling();
    let mut client = opaque(&world);
    client.ask(&query("COMMIT"));
    client.answer(&locks(&[world.triggered]));
    let doubt = client.session.end().expect("it is in doubt");
    assert!(world.shut(world.t) && world.shut(world.u));
    for intent in doubt.intents {
        let _ = intent.close(crate::cache::version::Outcome::Visible);
    }
    assert!(!world.shut(world.t));
}

#[test]
fn every_way_to_commit_asks_and_none_is_asked_that_would_not_count() {
    let ways: [(&[u8], &str); 4] = [
        (&query("COMMIT"), "CPCBEQ"),
        (&query("COMMIT AND CHAIN"), "CPCBEQ"),
        (&[unit("END"), sync()].concat(), "CPCBEPBDES"),
        (
            &[
                parse("", "COMMIT"),
                bind("", "", false),
                flush(),
                execute("", 0),
                sync(),
            ]
            .concat(),
            "PBHCPCBEES",
        ),
    ];
    for (commit, sent) in ways {
        let world = World::telling();
        let mut client = opaque(&world);
        client.ask(commit);
        assert_eq!(client.sent(), sent);
    }
    let commit = query("COMMIT");
    for (before, why) in [
        ("SET statement_timeout = '100ms'", "it could fail"),
        ("TRUNCATE t", "it shows in the catalog, and would raise it"),
        ("CREATE TABLE x ()", "it raises everything"),
        ("CREATE TEMP TABLE x ()", "the same"),
        ("DO $$ BEGIN END $$", "the same"),
        ("EXECUTE what", "the same"),
    ] {
        let world = World::telling();
        let mut client = opaque(&world);
        says(&mut client, before, "SET", b'T');
        client.ask(&commit);
        assert_eq!(client.sent(), "Q", "{why}");
    }
    let world = World::telling();
    let mut client = opaque(&world);
    client.ask(&[query("UPDATE t SET v = 6"), commit.clone()].concat());
    assert_eq!(client.sent(), "QQ", "what is under way may fail");
    let mut client = opaque(&world);
    says(&mut client, "ROLLBACK", "ROLLBACK", b'I');
    begin(&mut client);
    says(&mut client, "UPDATE public.t SET v = 5", "UPDATE 1", b'T');
    client.ask(&commit);
    assert_eq!(client.sent(), "Q", "it is known what was written");
    // Not in a database in which locks tell nothing.
    let world = World::new();
    let mut client = opaque(&world);
    client.ask(&commit);
    assert_eq!(client.sent(), "Q");
}
