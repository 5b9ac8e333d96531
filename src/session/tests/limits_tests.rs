//! Tests of what a client may cost, of what ends a connection, and of writes that change nothing.

use super::world::*;
use crate::session::{FULL, Mode};
use crate::wire::frame::{self, Frame};

const T: &str = "SELECT v FROM t";

#[test]
fn answers_that_are_not_read_hold_back_the_questions() {
    let world = World::new();
    let large = "x".repeat(200 << 10);
    let mut client = world.client();
    client.ask(&query(T));
    client.answer(&[one_row(&large), ready(b'I')].concat());
    client.told.clear();
    client.ask(&query(T).repeat(100));
    assert!(client.told.len() < FULL + (210 << 10));
    let mut answers = 0;
    while !client.told.is_empty() {
        answers += client.told().matches('Z').count();
        client.ask(&[]);
    }
    assert_eq!(answers, 100);
}

#[test]
fn local_answers_behind_a_slow_one_are_bounded() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[parse("a", "BEGIN"), sync()].concat());
    client.told();
    client.ask(&query("SELECT v FROM u"));
    client.ask(&describe(b'S', "a").repeat(100_000));
    assert!(client.session.pending.is_full());
    client.answer(&[one_row("1"), ready(b'I')].concat());
    let mut answers = 0;
    while !client.told.is_empty() {
        answers += client.told().matches('t').count();
        client.ask(&[]);
    }
    assert_eq!(answers, 100_000);
}

#[test]
fn a_batch_keeps_no_more_than_a_few_of_the_largest_answers() {
    let world = World::with(Mode::On, 1000);
    let mut client = world.client();
    let large = "x".repeat(800);
    for n in 0..40 {
        client.ask(&unit(&format!("SELECT v FROM t WHERE v = {n}")));
        client.answer(&unit_row(&large));
    }
    client.ask(&sync());
    client.answer(&ready(b'I'));
    assert_eq!(client.told().matches('C').count(), 40);
    let kept = world.thread.store.entries();
    assert!((1..=5).contains(&kept), "{kept}");
}

#[test]
fn a_pipeline_of_many_writes_opens_one_intent() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&unit("UPDATE t SET v = 5").repeat(1000));
    client.ask(&unit("UPDATE u SET v = 5"));
    let segment = client.session.pending.front().unwrap();
    assert_eq!((segment.intents.len(), segment.ran.len()), (2, 2));
    assert!(world.shut(world.t) && world.shut(world.u));
    client.ask(&sync());
    client.answer(&unit_done("UPDATE 1").repeat(1001));
    client.answer(&ready(b'I'));
    assert!(!world.shut(world.t) && !world.shut(world.u));
}

#[test]
fn a_name_that_does_not_end_is_not_awaited() {
    let world = World::new();
    let mut client = world.client();
    let mut endless = parse(&"n".repeat(2 << 20), T);
    endless.truncate(1 << 20);
    client.ask(&endless);
    client.ask(&[b'n'; 64]);
    assert!(!client.sent.is_empty());
    assert!(world.shut(world.t), "it is not followed any more");
}

#[test]
fn an_upstream_that_answers_what_was_not_asked_does_not_uncover_questions_of_ours() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&query("UPDATE triggered SET v = 5"));
    client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    client.ask(&query(T));
    assert_eq!(client.sent(), "QQ");
    client.told();
    client.answer(&message(b'2', &[]));
    client.answer(&own_row(7, "hex", "read committed"));
    assert!(client.closed);
    assert!(!client.told().contains('D'));
    assert!(
        client.session.end().is_none(),
        "nothing of it can have written"
    );
}

#[test]
fn the_reason_why_the_upstream_leaves_is_told_whatever_it_was_asked() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&query("UPDATE triggered SET v = 5"));
    client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    client.ask(&query(T));
    client.told();
    client.answer(&message(b'E', &[b"SFATAL\0VFATAL\0C57P01\0Mno\0\0"]));
    assert_eq!(client.told(), "E");
    assert!(client.session.was_told());
}

#[test]
fn a_portal_that_has_run_can_be_described() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.sent();
    client.told();
    client.ask(&[unit(T), describe(b'P', ""), execute("", 0), sync()].concat());
    assert_eq!(
        (client.sent(), client.told()),
        ("".into(), "12TDCTCZ".into())
    );
}

#[test]
fn an_upstream_that_is_none_shuts_nothing() {
    let world = World::new();
    for nonsense in [b"SSH-2.0-nonsense\r\n".to_vec(), row("1")] {
        let mut client = world.client_of(&[("user", "ann"), ("database", "shop")]);
        client.answer(&nonsense);
        assert!(client.closed);
        assert!(client.session.end().is_none());
        assert!(!world.shut(world.t) && world.database.catalog().is_some());
    }
}

#[test]
fn copy_data_before_the_login_is_not_passed_on() {
    let world = World::new();
    let mut client = world.client_of(&[("user", "ann"), ("database", "shop")]);
    client.ask(b"d\0\x20\0\0data");
    assert!(client.sent.is_empty());
}

/// A command tag of zero raises nothing, where it counts everything that the statement changes.
#[test]
fn a_write_that_changes_no_row_leaves_answers_valid() {
    for (sql, tag, holds) in [
        ("UPDATE t SET v = 5", "UPDATE 0", true),
        ("DELETE FROM t", "DELETE 0", true),
        ("INSERT INTO t SELECT v FROM u", "INSERT 0 0", true),
        ("UPDATE t SET v = 5", "UPDATE 10", false),
        (
            "WITH w AS (DELETE FROM t RETURNING v) UPDATE t SET v = 5",
            "UPDATE 0",
            false,
        ),
        (
            "WITH w AS (DELETE FROM u RETURNING v) UPDATE t SET v = 5",
            "UPDATE 0",
            false,
        ),
        ("UPDATE t SET v = random()", "UPDATE 0", false),
    ] {
        for block in [false, true] {
            let world = World::new();
            world.warm("t");
            let mut writer = world.client();
            if block {
                writer.ask(&query("BEGIN READ WRITE"));
                writer.answer(&[complete("BEGIN READ WRITE"), ready(b'T')].concat());
            }
            writer.ask(&query(sql));
            writer.answer(&[complete(tag), ready(if block { b'T' } else { b'I' })].concat());
            if block {
                writer.ask(&query("COMMIT"));
                writer.answer(&[complete("COMMIT"), ready(b'I')].concat());
            }
            let mut reader = world.client();
            reader.ask(&query("SELECT v FROM t"));
            assert_eq!(
                reader.sent().is_empty(),
                holds,
                "{sql}, {tag}, in a block: {block}"
            );
        }
    }
}

#[test]
fn of_a_client_that_is_gone_the_beginning_of_a_message_is_not_awaited() {
    let world = World::new();
    let client = world.client();
    let insert = [unit("INSERT INTO t VALUES (1)"), sync()].concat();
    let whole = [parse("", "SELECT v FROM t"), bind("", "", false)].concat();
    for end in 1..insert.len() {
        let left = &insert[..end];
        let taken = tags_of_whole(left).contains(['E', 'S']);
        assert_eq!(client.session.lacks(left), !taken, "{end} bytes");
    }
    assert!(
        client.session.lacks(&whole),
        "nothing runs without an Execute"
    );
    assert!(!client.session.lacks(&query("SELECT v FROM t")));
    assert!(!client.session.lacks(b""));
}

fn tags_of_whole(mut bytes: &[u8]) -> String {
    let mut tags = String::new();
    while let Frame::Whole { tag, body } = frame::peek(bytes) {
        tags.push(char::from(tag));
        bytes = &bytes[frame::HEAD + body.len()..];
    }
    tags
}
