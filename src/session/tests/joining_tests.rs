//! Tests of coalescing: who waits for whom, what frees them, and that nobody is given an answer older than a write that
//! was acknowledged before it came.

use std::sync::Arc;

use super::world::*;
use crate::session::{Greeting, Mode, Session};
use crate::wire::message as wire;
use crate::wire::startup::Startup;

const T: &str = "SELECT v FROM t";
const U: &str = "SELECT v FROM u";

fn poke(client: &mut Client) -> (String, String) {
    client.ask(b"");
    (client.sent(), client.told())
}

/// What a client that asks is told, and what the upstream hears of it.
fn asks(client: &mut Client, bytes: &[u8]) -> (String, String) {
    client.ask(bytes);
    (client.sent(), client.told())
}

fn is(sent: &str, told: &str) -> (String, String) {
    (sent.into(), told.into())
}

fn coalesced(world: &World, result: &str) -> String {
    let text = world.thread.metrics.render().unwrap();
    let name = format!("larder_coalesced_total{{result=\"{result}\"}} ");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(&*name));
    lines.next().unwrap().into()
}

fn metrics(world: &World) -> (String, String) {
    (coalesced(world, "shared"), coalesced(world, "freed"))
}

/// A leader whose read is under way, and a follower that waits for it.
fn two(world: &World) -> (Client, Client) {
    let (mut leader, mut follower) = (world.client(), world.client());
    assert_eq!(asks(&mut leader, &query(T)), is("Q", ""));
    assert_eq!(asks(&mut follower, &query(T)), is("", ""));
    assert!(follower.session.is_following() && !follower.session.is_idle());
    (leader, follower)
}

#[test]
fn equal_misses_are_asked_once() {
    let world = World::new();
    let (mut leader, mut follower) = two(&world);
    let mut others = [world.client(), world.client()];
    assert_eq!(asks(&mut others[0], &query(T)), is("", ""));
    assert_eq!(asks(&mut others[1], &query(U)), is("Q", ""), "another text");
    assert_eq!(poke(&mut follower), is("", ""), "nothing has come yet");
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    let told = std::mem::take(&mut leader.told);
    poke_same(&mut follower, &told);
    poke_same(&mut others[0], &told);
    assert_eq!(follower.last(), "hit");
    assert_eq!(metrics(&world), is("2", "0"));
    assert_eq!(world.database.flights.count(), (1, 0), "the other text's");
}

fn poke_same(client: &mut Client, told: &[u8]) {
    client.ask(b"");
    assert_eq!(std::mem::take(&mut client.told), told);
    assert_eq!(client.sent(), "");
}

#[test]
fn a_unit_waits_and_what_is_behind_it_waits_with_it() {
    let world = World::new();
    let (mut leader, mut follower) = (world.client(), world.client());
    let read = [unit(T), sync()].concat();
    assert_eq!(asks(&mut leader, &read), is("PBDES", ""));
    assert_eq!(
        asks(&mut follower, &[read.clone(), query(U)].concat()),
        is("", "")
    );
    leader.answer(&[unit_row("1"), ready(b'I')].concat());
    assert_eq!(leader.told(), "12TDCZ");
    assert_eq!(poke(&mut follower), is("Q", "12TDCZ"));
    assert_eq!(metrics(&world), is("1", "0"));
    follower.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(follower.told(), "TDCZ");
}

#[test]
fn p4_nobody_waits_behind_a_read_of_its_own() {
    let world = World::new();
    let (_leader, mut follower) = two(&world);
    let mut other = world.client();
    let both = [query(U), query(T)].concat();
    assert_eq!(asks(&mut other, &both), is("QQ", ""));
    // Nor does anybody for what may stay open for long.
    let mut leader = world.client();
    assert_eq!(asks(&mut leader, &[unit(U), flush()].concat()).0, "PBDEH");
    let read = [unit(U), sync()].concat();
    assert_eq!(asks(&mut world.client(), &read).0, "PBDES");
    assert_eq!(poke(&mut follower), is("", ""));
}

#[test]
fn p1_a_waiter_after_a_write_never_takes_an_older_read() {
    let world = World::new();
    let (mut leader, mut follower) = two(&world);
    let mut writer = world.client();
    writer.ask(&query("UPDATE t SET v = 2"));
    // Who waits is freed at once: what it waits for will not be kept.
    let wait = follower.session.follows().unwrap().0.clone();
    assert!(wait.is_over());
    assert_eq!(poke(&mut follower), is("Q", ""));
    let mut during = world.client();
    assert_eq!(asks(&mut during, &query(T)), is("Q", ""));
    writer.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    let mut after = world.client();
    assert_eq!(
        asks(&mut after, &query(T)),
        is("Q", ""),
        "not the leader's, which is older"
    );
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(asks(&mut after, b""), is("", ""));
    after.answer(&[one_row("2"), ready(b'I')].concat());
    after.told();
    let mut last = world.client();
    last.ask(&query(T));
    let told = std::mem::take(&mut last.told);
    assert!(told.windows(2).any(|w| w == b"\x012") || last.sent() == "Q");
    assert_eq!(metrics(&world), is("0", "1"));
}

#[test]
fn p1_a_waiter_behind_a_write_that_nobody_waited_through_leads_anew() {
    let world = World::new();
    let (mut leader, mut writer) = (world.client(), world.client());
    leader.ask(&query(T));
    writer.ask(&query("UPDATE t SET v = 2"));
    writer.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    let (mut after, mut follower) = (world.client(), world.client());
    assert_eq!(asks(&mut after, &query(T)), is("Q", ""));
    assert_eq!(asks(&mut follower, &query(T)), is("", ""));
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(poke(&mut follower), is("", ""), "that one was older");
    after.answer(&[one_row("2"), ready(b'I')].concat());
    poke_same(&mut follower, &[one_row("2"), ready(b'I')].concat());
}

#[test]
fn who_waits_for_what_fails_goes_upstream() {
    let world = World::new();
    let (mut leader, mut follower) = two(&world);
    let mut other = world.client();
    other.ask(&query(T));
    leader.answer(&error("22012"));
    assert_eq!(poke(&mut follower), is("Q", ""), "before its end is told");
    assert_eq!(poke(&mut other), is("Q", ""), "they do not fail in a row");
    assert_eq!(metrics(&world), is("0", "2"));
}

#[test]
fn when_the_leader_is_cancelled_or_gone_one_leads_next() {
    for gone in [false, true] {
        let world = World::new();
        let (mut leader, mut follower) = two(&world);
        let mut other = world.client();
        other.ask(&query(T));
        if gone {
            let _ = leader.session.end();
            drop(leader);
        } else {
            leader.answer(&[error("57014"), ready(b'I')].concat());
            assert_eq!(leader.told(), "EZ");
        }
        assert_eq!(poke(&mut follower), is("Q", ""));
        assert_eq!(poke(&mut other), is("", ""));
        follower.answer(&[one_row("1"), ready(b'I')].concat());
        assert_eq!(poke(&mut other), is("", "TDCZ"));
        assert_eq!(metrics(&world), is("1", "1"));
    }
}

#[test]
fn a_cancel_request_sends_upstream_who_waits() {
    let world = World::new();
    let (_leader, mut follower) = two(&world);
    let wait = follower.session.follows().unwrap().0.clone();
    wait.cancel();
    assert_eq!(wait.outcome(), None);
    assert_eq!(poke(&mut follower), is("Q", ""), "and not to wait again");
    assert_eq!(wait.outcome(), Some(true), "where the request may follow");
    // One that was answered meanwhile is followed by none.
    let (mut leader, mut follower) = (world.client(), world.client());
    leader.ask(&query(U));
    follower.ask(&query(U));
    let wait = follower.session.follows().unwrap().0.clone();
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    wait.cancel();
    assert_eq!(poke(&mut follower), is("", "TDCZ"));
    assert_eq!(wait.outcome(), Some(false));
}

#[test]
fn nobody_waits_for_more_than_two_leaders() {
    let world = World::new();
    let (leader, mut follower) = two(&world);
    let mut last = world.client();
    last.ask(&query(T));
    drop(leader);
    assert_eq!(poke(&mut follower).0, "Q");
    assert_eq!(poke(&mut last).0, "");
    let mut third = world.client();
    assert_eq!(asks(&mut third, &query(T)).0, "");
    drop(follower);
    assert_eq!(poke(&mut third).0, "Q");
    assert_eq!(poke(&mut last).0, "Q", "it has waited twice");
}

#[test]
fn a_session_that_ends_frees_before_its_last_words_are_read() {
    let world = World::new();
    let (mut leader, mut follower) = two(&world);
    leader.session.leave_flights();
    assert_eq!(poke(&mut follower).0, "Q");
    // Its answer may still come.
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(leader.told(), "TDCZ");
}

#[test]
fn who_waits_for_what_is_not_to_be_kept_goes_upstream() {
    let large = row(&"x".repeat(200));
    let notice = message(b'N', &[b"SNOTICE\0C00000\0Mno\0\0"]);
    for unkept in [[description(false), large].concat(), notice] {
        let world = World::with(Mode::On, 100);
        let (mut leader, mut follower) = two(&world);
        leader.answer(&unkept);
        assert_eq!(poke(&mut follower).0, "Q", "at once");
    }
}

#[test]
fn nobody_waits_longer_than_the_limit() {
    let world = World::new();
    let (mut leader, mut follower) = two(&world);
    follower.now = 900_000;
    assert_eq!(poke(&mut follower), is("", ""));
    let mut later = world.client();
    later.now = 900_000;
    assert_eq!(asks(&mut later, &query(T)), is("", ""));
    follower.now = 1_000_100;
    assert_eq!(poke(&mut follower), is("Q", ""));
    // It leads now, and who came later waits for it for the rest of its time.
    later.now = 1_000_200;
    assert_eq!(poke(&mut later), is("", ""));
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(poke(&mut later), is("", ""), "freed once, and it leads");
    follower.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(poke(&mut later).1, "TDCZ");
}

#[test]
fn a_follower_that_leaves_is_missed_by_nobody() {
    let world = World::new();
    let (mut leader, mut follower) = two(&world);
    assert!(follower.session.may_leave(5));
    assert!(follower.session.end().is_none());
    drop(follower);
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(leader.told(), "TDCZ");
    assert_eq!(world.database.flights.count(), (0, 0));
}

#[test]
fn a_clean_transaction_waits_and_one_that_has_written_does_not() {
    let world = World::new();
    let (mut leader, _) = two(&world);
    let (mut clean, mut dirty) = (world.client(), world.client());
    assert_eq!(asks(&mut clean, &query("BEGIN")).1, "CZ");
    assert_eq!(asks(&mut clean, &query(T)), is("", ""));
    begin(&mut dirty);
    dirty.ask(&query("UPDATE u SET v = 1"));
    dirty.answer(&[complete("UPDATE 1"), ready(b'T')].concat());
    dirty.told();
    dirty.sent();
    assert_eq!(asks(&mut dirty, &query(T)), is("Q", ""));
    // Nor one that the upstream has begun: it may hold locks there.
    let mut told = world.client();
    begin(&mut told);
    assert_eq!(asks(&mut told, &query(T)), is("Q", ""));
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    poke_same(&mut clean, &[one_row("1"), ready(b'T')].concat());
}

#[test]
fn p6_another_role_waits_for_nobody() {
    let world = World::new();
    let _two = two(&world);
    let mut bob = world.client_of(&[("user", "bob"), ("database", "shop")]);
    bob.answer(&greeting(8));
    bob.sent();
    bob.answer(&own_row_of("bob", 8, "hex", "read committed"));
    bob.told();
    assert_eq!(asks(&mut bob, &query(T)), is("Q", ""));
}

/// A client that Larder has let in, and what it takes to give it a connection.
fn guest(world: &World) -> (Client, Arc<Greeting>) {
    let mut statuses = Vec::new();
    for (tag, body) in messages(&greeting(7)) {
        if tag == b'S'
            && let Some((name, value)) = wire::parameter_status(body)
        {
            statuses.push((name.into(), value.into()));
        }
    }
    let answer = own_row(7, "hex", "read committed");
    let row = messages(&answer).into_iter().find(|(tag, _)| *tag == b'D');
    let fields = row.and_then(|(_, body)| wire::data_row(body)).unwrap();
    let greeting = Arc::new(Greeting::new(statuses, 7, Some(&fields), 0));
    let parameters = vec![("user", "ann"), ("database", "shop")];
    let startup = Startup {
        packet: b"",
        major: 3,
        minor: 0,
        parameters: parameters.clone(),
    };
    let mut client = world.client_of(&parameters);
    client.session = Session::welcomed(world.thread.clone(), &startup, &greeting);
    (client, greeting)
}

#[test]
fn a_client_let_in_waits_without_a_connection() {
    let world = World::new();
    world.database.meet(true);
    let ((mut leader, greeting), (mut follower, _)) = (guest(&world), guest(&world));
    assert_eq!(asks(&mut leader, &query(T)), is("", ""));
    assert!(leader.session.wants_link(), "it leads, as soon as it can");
    assert_eq!(asks(&mut follower, &query(T)), is("", ""));
    assert!(follower.session.is_following() && !follower.session.wants_link());
    let mut io = crate::session::Io {
        client: &mut leader.told,
        upstream: &mut leader.sent,
        now: 5,
    };
    leader.session.link(&greeting, &greeting, &mut io);
    assert_eq!(poke(&mut leader).0, "Q");
    leader.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(leader.told(), "TDCZ");
    assert_eq!(poke(&mut follower), is("", "TDCZ"));
    assert!(!follower.session.is_linked());
    assert_eq!(metrics(&world), is("1", "0"));
}

#[test]
fn a_client_let_in_that_waited_in_vain_leads_once_it_has_a_connection() {
    let world = World::new();
    world.database.meet(true);
    let mut leader = world.client();
    leader.ask(&query(T));
    let ((mut follower, greeting), (mut other, _)) = (guest(&world), guest(&world));
    assert_eq!(asks(&mut follower, &query(T)), is("", ""));
    assert_eq!(asks(&mut other, &query(T)), is("", ""));
    let wait = follower.session.follows().unwrap().0.clone();
    drop(leader);
    assert_eq!(poke(&mut follower).0, "");
    assert!(follower.session.wants_link());
    assert_eq!(wait.outcome(), None, "a cancel request waits for it");
    poke(&mut other);
    assert!(other.session.is_following());
    let mut io = crate::session::Io {
        client: &mut follower.told,
        upstream: &mut follower.sent,
        now: 5,
    };
    follower.session.link(&greeting, &greeting, &mut io);
    assert_eq!(poke(&mut follower).0, "Q");
    assert_eq!(wait.outcome(), Some(true));
    follower.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(poke(&mut other).1, "TDCZ");
    assert_eq!(metrics(&world), is("1", "1"));
}

#[test]
fn observed_and_switched_off_nobody_waits() {
    let world = World::with(Mode::Observe, 1 << 20);
    let (mut one, mut other) = (world.client(), world.client());
    assert_eq!(asks(&mut one, &query(T)).0, "Q");
    assert_eq!(asks(&mut other, &query(T)).0, "Q");
}
