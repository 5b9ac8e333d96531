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

/// The answer to the question, as it comes the first time.
fn locks(prepares: bool, locked: &[Oid]) -> Vec<u8> {
    let one = if prepares {
        message(b'1', &[])
    } else {
        Vec::new()
    };
    let rows: Vec<u8> = locked
        .iter()
        .flat_map(|oid| row(&oid.to_string()))
        .collect();
    let (three, two) = (message(b'3', &[]), message(b'2', &[]));
    [one, three, two, rows, complete("SELECT 2")].concat()
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
    for (prepares, sent) in [(true, "PCBEQ"), (false, "CBEQ")] {
        let before = marks(&world);
        client.ask(&query("COMMIT"));
        assert_eq!(client.sent(), sent);
        let all = [world.t, world.u, world.triggered];
        assert!(all.iter().all(|table| world.shut(*table)), "whatever it is");
        client.answer(&locks(prepares, &[world.triggered, world.triggered]));
        assert!(
            all.iter().all(|table| world.shut(*table)),
            "until it is committed"
        );
        client.answer(&committed(b'I'));
        assert_eq!(client.told(), "CZ", "nothing is heard of the question");
        assert_eq!(untouched(&world, &before), [true, true, false]);
        client.answer(b"");
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
    assert_eq!(client.sent(), "PCBEQ");
    client.answer(&[locks(true, &[]), committed(b'I')].concat());
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
        client.answer(&[locks(true, locked), committed(b'I')].concat());
        assert_eq!(untouched(&world, &before), [false; 3], "{locked:?}");
        assert!(before[0].dead());
    }
    // A trigger of `u` fires at COMMIT.
    let world = World::telling();
    let mut client = opaque(&world);
    let before = marks(&world);
    client.ask(&query("COMMIT"));
    client.answer(&[locks(true, &[world.u]), committed(b'I')].concat());
    assert_eq!(untouched(&world, &before), [false; 3]);
}

#[test]
fn p6_a_system_catalog_that_was_changed_raises_the_catalog() {
    let world = World::telling();
    let mut client = opaque(&world);
    client.ask(&query("COMMIT"));
    client.answer(&[locks(true, &[world.triggered, 1259]), committed(b'I')].concat());
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
        assert_eq!(client.sent(), "PCBEPBDES");
        let heard = [message(b'1', &[]), message(b'2', &[]), message(b'n', &[])].concat();
        client.answer(&[locks(true, &[world.triggered]), heard, answer].concat());
        assert_eq!(client.told(), told);
        assert_eq!(untouched(&world, &before), [false; 3]);
    }
    // A block that had failed is rolled back.
    let world = World::telling();
    let mut client = opaque(&world);
    let before = marks(&world);
    client.ask(&query("COMMIT"));
    client.answer(
        &[
            locks(true, &[world.triggered]),
            complete("ROLLBACK"),
            ready(b'I'),
        ]
        .concat(),
    );
    assert_eq!(untouched(&world, &before), [true; 3]);
}

#[test]
fn p7_a_question_that_fails_is_a_commit_that_failed() {
    for prepares in [true, false] {
        let world = World::telling();
        let mut client = opaque(&world);
        if !prepares {
            client.ask(&query("COMMIT"));
            client.answer(&[locks(true, &[]), committed(b'I')].concat());
            client.sent();
            begin(&mut client);
            says(&mut client, TRIGGERED, "UPDATE 1", b'T');
        }
        let before = marks(&world);
        client.sent();
        client.ask(&query("COMMIT"));
        client.told();
        client.answer(&error("57014"));
        assert_eq!(client.told(), "E");
        assert!(client.sent().ends_with('S'), "the Query is not heard");
        client.answer(&ready(b'E'));
        assert_eq!(client.told(), "Z");
        // A Parse that fails says that nothing behind it ran.
        assert_eq!(untouched(&world, &before), [prepares; 3]);
        says(&mut client, "ROLLBACK", "ROLLBACK", b'I');
        // And in the extended protocol, with rows on their way.
        begin(&mut client);
        says(&mut client, TRIGGERED, "UPDATE 1", b'T');
        let before = marks(&world);
        client.ask(&[unit("COMMIT"), sync()].concat());
        let asked = client.sent();
        assert!(asked.ends_with("CBEPBDES"), "{asked}");
        let one = if asked.starts_with('P') {
            message(b'1', &[])
        } else {
            Vec::new()
        };
        let (three, two) = (message(b'3', &[]), message(b'2', &[]));
        client.answer(&[one, three, two, row("1"), error("57014"), ready(b'E')].concat());
        assert_eq!(client.told(), "EZ");
        assert_eq!(untouched(&world, &before), [false; 3]);
    }
}

#[test]
fn p1_a_commit_whose_answer_is_lost_leaves_everything_shut() {
    let world = World::telling();
    let mut client = opaque(&world);
    client.ask(&query("COMMIT"));
    client.answer(&locks(true, &[world.triggered]));
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
        (&query("COMMIT"), "PCBEQ"),
        (&query("COMMIT AND CHAIN"), "PCBEQ"),
        (&[unit("END"), sync()].concat(), "PCBEPBDES"),
        (
            &[
                parse("", "COMMIT"),
                bind("", "", false),
                flush(),
                execute("", 0),
                sync(),
            ]
            .concat(),
            "PBHPCBEES",
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
