//! Tests of the self-check: what is looked at, what counts as a mistake, and what comes of one.
//!
//! A wrong entry is planted by the database's changing its mind: what it says without a write is what nobody has told
//! of, so the entry that was kept is wrong by all that is known here.

use super::world::*;
use crate::config::Share;
use crate::metrics::Verified;
use crate::session::{Mode, Verify};

const T: &str = "SELECT v FROM t";
const U: &str = "SELECT v FROM u";

fn checking(outside_writers: bool) -> World {
    checking_in(Mode::On, outside_writers)
}

fn checking_in(mode: Mode, outside_writers: bool) -> World {
    let verify = Verify {
        sample: Share::ALL,
        outside_writers,
    };
    World::verifying(mode, 400, verify)
}

/// The results that were counted so far.
fn results(world: &World) -> Vec<(&'static str, u64)> {
    let count = |result: &Verified| world.thread.metrics.verified_so_far(*result);
    let all = Verified::ALL.iter().map(|r| (r.label(), count(r)));
    all.filter(|(_, count)| *count > 0).collect()
}

fn read(client: &mut Client, sql: &str, answer: &[u8]) -> String {
    client.sent();
    client.ask(&query(sql));
    assert_eq!(client.sent(), "Q", "{sql}");
    client.answer(&[answer, &ready(b'I')].concat());
    client.told()
}

/// The statement without a description, kept.
fn warm_extended(world: &World) -> Client {
    let mut client = world.client();
    client.ask(&[bare(T), sync()].concat());
    client.answer(&[bare_answer("1"), ready(b'I')].concat());
    client.told();
    client.sent();
    client
}

fn bare(sql: &str) -> Vec<u8> {
    [parse("", sql), bind("", "", false), execute("", 0)].concat()
}

fn bare_answer(value: &str) -> Vec<u8> {
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    [one, two, row(value), complete("SELECT 1")].concat()
}

fn rows(values: &[&str]) -> Vec<u8> {
    let rows: Vec<u8> = values.iter().flat_map(|value| row(value)).collect();
    let tag = complete(&format!("SELECT {}", values.len()));
    [description(false), rows, tag].concat()
}

#[test]
fn what_is_looked_at_and_right_stays() {
    let world = checking(false);
    world.warm("t");
    let mut client = world.client();
    for _ in 0..3 {
        assert_eq!(read(&mut client, T, &one_row("1")), "TDCZ");
        assert_eq!(client.last(), "miss", "the database has answered");
    }
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    assert_eq!(
        (client.sent(), client.told()),
        ("PBDES".into(), "12TDCZ".into())
    );
    client.ask(&[unit(T), sync()].concat());
    assert_eq!(client.sent(), "PBDES");
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    assert_eq!(results(&world), [("same", 4)]);
}

#[test]
fn a_wrong_answer_is_found_and_its_statement_is_served_no_more() {
    let world = checking(false);
    world.warm("t");
    world.warm("u");
    let mut client = world.client();
    client.ask(&query(T));
    client.answer(&[one_row("2"), ready(b'I')].concat());
    let told = std::mem::take(&mut client.told);
    assert_eq!(
        told,
        [one_row("2"), ready(b'I')].concat(),
        "the client gets the truth"
    );
    assert_eq!(results(&world), [("different", 1)]);
    // Served and kept no more, by nobody, in neither protocol.
    let mut other = world.client();
    for _ in 0..2 {
        assert_eq!(read(&mut other, T, &one_row("2")), "TDCZ");
        assert_eq!(other.last(), "bypass: quarantined");
    }
    other.sent();
    other.ask(&[unit(T), sync()].concat());
    assert_eq!(other.sent(), "PBDES");
    other.answer(&[unit_row("2"), ready(b'I')].concat());
    assert_eq!(other.last(), "bypass: quarantined");
    assert_eq!(world.thread.store.entries(), 1);
    // Another statement is as before.
    read(&mut other, U, &one_row("1"));
    assert_eq!(results(&world), [("same", 1), ("different", 1)]);
}

#[test]
fn a_portal_bound_to_what_was_found_wrong_is_run_upstream() {
    let world = checking(false);
    world.warm("t");
    let mut client = world.client();
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.told();
    client.sent();
    client.ask(&[parse("", T), bind("", "", false), flush()].concat());
    assert_eq!((client.sent(), client.told()), ("".into(), "12".into()));
    let mut other = world.client();
    read(&mut other, T, &one_row("2"));
    assert_eq!(results(&world), [("different", 1)]);
    client.ask(&[execute("", 0), sync()].concat());
    assert_eq!(client.sent(), "PBES");
}

#[test]
fn where_others_write_a_difference_is_counted_as_theirs() {
    let world = checking(true);
    world.warm("t");
    let mut client = world.client();
    read(&mut client, T, &one_row("2"));
    assert_eq!(results(&world), [("outside", 1)]);
    // What is in memory now is what the database has said.
    read(&mut client, T, &one_row("2"));
    assert_eq!(results(&world), [("same", 1), ("outside", 1)]);
}

#[test]
fn a_write_in_between_explains_a_difference() {
    for (sql, tag) in [
        ("UPDATE t SET v = 5", "UPDATE 1"),
        ("UPDATE t SET v = 5", "UPDATE 0"),
    ] {
        let world = checking(false);
        world.warm("t");
        let (mut reader, mut writer) = (world.client(), world.client());
        reader.ask(&query(T));
        writer.ask(&query(sql));
        // Under way, it may be visible already.
        if tag == "UPDATE 1" {
            writer.answer(&[complete(tag), ready(b'I')].concat());
        }
        reader.answer(&[one_row("5"), ready(b'I')].concat());
        assert_eq!(results(&world), [("skipped", 1)]);
        writer.answer(&[complete(tag), ready(b'I')].concat());
        assert_eq!(reader.last(), "miss");
    }
    // In the same pipeline.
    let world = checking(false);
    let mut client = warm_extended(&world);
    client.ask(&[bare(T), bare("UPDATE t SET v = 5"), sync()].concat());
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    let write = [one, two, complete("UPDATE 1"), ready(b'I')].concat();
    client.answer(&[bare_answer("5"), write].concat());
    assert_eq!(results(&world), [("skipped", 1)]);
}

#[test]
fn what_postgresql_may_choose_is_no_mistake() {
    let limited = "SELECT v FROM t LIMIT 2";
    for (sql, kept, said, result) in [
        (T, &["1", "2"][..], &["2", "1"][..], "unordered"),
        (T, &["1", "2"], &["1", "3"], "different"),
        (T, &["1", "1", "2"], &["1", "2", "2"], "different"),
        (T, &["1"], &["1", "1"], "different"),
        (T, &["1"], &[], "different"),
        (limited, &["1", "2"], &["1", "3"], "unordered"),
        (limited, &["1"], &["3"], "different"),
        (limited, &["1"], &["1", "3"], "different"),
        ("SELECT DISTINCT v FROM t", &["1"], &["1", "2"], "unordered"),
    ] {
        let world = checking(false);
        let mut client = world.client();
        read(&mut client, sql, &rows(kept));
        read(&mut client, sql, &rows(said));
        assert_eq!(results(&world), [(result, 1)], "{sql}: {kept:?}, {said:?}");
    }
}

#[test]
fn an_error_or_too_much_is_a_difference_too() {
    let long = "x".repeat(500);
    for (answer, expected) in [
        (error("42501"), "different"),
        (error("42P01"), "different"),
        (error("57014"), "skipped"),
        (error("53300"), "skipped"),
        ([message(b'N', &[b"\0"]), one_row("2")].concat(), "skipped"),
        (one_row(&long), "different"),
    ] {
        let world = checking(false);
        world.warm("t");
        read(&mut world.client(), T, &answer);
        assert_eq!(results(&world), [(expected, 1)]);
    }
    // A right that others have taken away: what is in memory goes.
    let world = checking(true);
    world.warm("t");
    read(&mut world.client(), T, &error("42501"));
    assert_eq!(results(&world), [("outside", 1)]);
    assert_eq!(world.thread.store.entries(), 0);
    // An error of something else in the same pipeline says nothing of this one.
    let world = checking(false);
    let mut client = warm_extended(&world);
    client.ask(&[bare(T), parse("", "SELECT w FROM u"), sync()].concat());
    client.answer(&[error("42P01"), ready(b'I')].concat());
    assert_eq!(results(&world), [("skipped", 1)]);
    // Of this one alone, found when it is bound, it does.
    client.ask(&[bare(T), sync()].concat());
    client.answer(&[message(b'1', &[]), error("42501"), ready(b'I')].concat());
    assert_eq!(results(&world), [("different", 1), ("skipped", 1)]);
}

#[test]
fn other_columns_are_a_difference() {
    let world = checking(false);
    world.warm("t");
    let other = message(
        b'T',
        &[b"\0\x01w\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"],
    );
    let answer = [other, row("1"), complete("SELECT 1")].concat();
    read(&mut world.client(), T, &answer);
    assert_eq!(results(&world), [("different", 1)]);
}

#[test]
fn first_rows_are_compared_with_first_rows() {
    let limited = [parse("", T), bind("", "", false), execute("", 1), sync()].concat();
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    let first = |value: &str| {
        [
            &one[..],
            &two,
            &row(value),
            &message(b's', &[]),
            &ready(b'I'),
        ]
        .concat()
    };
    let world = checking(false);
    let mut client = world.client();
    for (value, expected) in [
        ("1", vec![]),
        ("1", vec![("same", 1)]),
        ("2", vec![("same", 1), ("unordered", 1)]),
    ] {
        client.ask(&limited);
        client.answer(&first(value));
        assert_eq!(
            (client.sent(), client.told()),
            ("PBES".into(), "12DsZ".into())
        );
        assert_eq!(results(&world), expected);
    }
    client.ask(&limited);
    client.answer(&[&one[..], &two, &complete("SELECT 0"), &ready(b'I')].concat());
    assert_eq!(
        results(&world),
        [("same", 1), ("unordered", 1), ("different", 1)]
    );
    // A part of a whole answer is given as ever.
    let world = checking(false);
    let mut client = world.client();
    let whole = [parse("", T), bind("", "", false), execute("", 0), sync()].concat();
    client.ask(&whole);
    let rows = [row("1"), row("2"), complete("SELECT 2"), ready(b'I')].concat();
    client.answer(&[&one[..], &two, &rows].concat());
    client.sent();
    client.told();
    client.ask(&limited);
    assert_eq!((client.sent(), client.told()), ("".into(), "12DsZ".into()));
    assert_eq!(results(&world), []);
}

#[test]
fn in_a_transaction_a_hit_is_looked_at_as_outside() {
    let world = checking(false);
    world.warm("t");
    let mut client = world.client();
    begin(&mut client);
    client.ask(&query(T));
    assert_eq!(client.sent(), "Q");
    client.answer(&[one_row("2"), ready(b'T')].concat());
    assert_eq!(results(&world), [("different", 1)]);
    // Behind a write of its own nothing is a hit.
    client.ask(&query("UPDATE u SET v = 5"));
    client.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    client.told();
    client.sent();
    client.ask(&query(U));
    client.answer(&[one_row("5"), ready(b'T')].concat());
    assert_eq!(results(&world), [("different", 1)]);
}

#[test]
fn observing_compares_and_counts_hits() {
    let world = checking_in(Mode::Observe, false);
    let mut client = world.client();
    read(&mut client, T, &one_row("1"));
    assert_eq!(client.last(), "miss");
    read(&mut client, T, &one_row("1"));
    assert_eq!(client.last(), "hit");
    read(&mut client, T, &one_row("2"));
    assert_eq!(results(&world), [("same", 1), ("different", 1)]);
    read(&mut client, T, &one_row("2"));
    assert_eq!(client.last(), "bypass: quarantined");
}

#[test]
fn nothing_is_looked_at_unless_asked_for_and_a_share_is_a_share() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    for _ in 0..100 {
        client.ask(&query(T));
    }
    assert_eq!((client.sent(), results(&world)), ("".into(), vec![]));
    let verify = Verify {
        sample: "0.1".parse().unwrap(),
        ..Verify::default()
    };
    let world = World::verifying(Mode::On, 400, verify);
    world.warm("t");
    let mut client = world.client();
    for _ in 0..1000 {
        client.ask(&query(T));
        if client.sent() == "Q" {
            client.answer(&[one_row("1"), ready(b'I')].concat());
        }
    }
    let looks = results(&world)[0].1;
    assert!((60..=140).contains(&looks), "{looks} of 1000");
}
