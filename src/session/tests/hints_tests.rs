//! Tests of hints, of Larder's own settings and of the trace.

use std::time::Duration;

use super::world::*;
use crate::cache::rules::{Rule, Rules, Says};

const T: &str = "SELECT v FROM t";
const SECOND: u64 = 1_000_000;

fn set(client: &mut Client, sql: &str) {
    client.ask(&query(sql));
    client.sent();
    client.answer(&[complete("SET"), ready(client_status(client))].concat());
    client.told();
}

fn client_status(client: &Client) -> u8 {
    client.session.transaction.status()
}

/// Asks, and is answered by the upstream if it has to be. Whether it hit.
fn hits(client: &mut Client, sql: &str) -> bool {
    client.told();
    client.ask(&query(sql));
    let hit = client.sent.is_empty();
    if !hit {
        client.sent();
        let status = client_status(client);
        client.answer(&[one_row("1"), ready(status)].concat());
    }
    assert!(client.told().ends_with("TDCZ"));
    hit
}

/// What the client was told beside answers since the last time.
fn notices(client: &mut Client) -> Vec<String> {
    let told = std::mem::take(&mut client.told);
    let said = messages(&told).into_iter().filter(|(tag, _)| *tag == b'N');
    said.map(|(_, body)| {
        let mut fields = body.split(|byte| *byte == 0);
        let words = fields.find_map(|field| field.strip_prefix(b"M"));
        String::from_utf8_lossy(words.unwrap_or_default()).into()
    })
    .collect()
}

#[test]
fn off_is_neither_given_nor_kept() {
    let world = World::new();
    let mut client = world.client();
    let off = "/* larder: off */ SELECT v FROM t";
    assert!(!hits(&mut client, off) && !hits(&mut client, off));
    assert_eq!(client.last(), "bypass: hint");
    assert_eq!(world.thread.store.entries(), 0);
    assert!(!hits(&mut client, T) && hits(&mut client, T));
    assert!(!hits(&mut client, off));
    assert!(hits(&mut client, T), "what others have kept stays");
}

/// The key is the text without comments: an answer that one statement has kept for long is another's, too.
#[test]
fn p3_who_wishes_nothing_is_given_nothing_older_than_what_holds_for_all() {
    let world = World::new();
    let mut client = world.client();
    let long = "SELECT v FROM t -- larder: ttl=1h";
    assert!(!hits(&mut client, long) && hits(&mut client, T));
    client.now += 59 * SECOND;
    assert!(hits(&mut client, T) && hits(&mut client, long));
    client.now += 2 * SECOND;
    assert!(hits(&mut client, long), "an hour was wished");
    assert!(
        !hits(&mut client, T),
        "a minute holds for who wishes nothing"
    );
    assert!(hits(&mut client, T));
    client.now += 59 * 60 * SECOND;
    assert!(!hits(&mut client, long), "kept since for a minute only");
    client.now += 61 * 60 * SECOND;
    assert!(!hits(&mut client, long));
}

/// The application's name is not in the key: what a rule lets one keep for long is found by those it does not mean.
#[test]
fn p3_whom_no_rule_means_is_given_nothing_older_than_what_holds_for_all() {
    let world = World::new();
    let rule = Rule {
        application_name: Some("batch".into()),
        says: Says {
            ttl: Some(3600 * SECOND),
            ..Says::default()
        },
        ..Rule::default()
    };
    let rules = Rules::new(Duration::from_secs(60), [rule]);
    world.thread.steer(|live| live.rules = rules.clone());
    let of = |name| {
        let named = [
            ("user", "ann"),
            ("database", "shop"),
            ("application_name", name),
        ];
        let mut client = world.client_of(&named);
        client.login();
        client
    };
    let (mut batch, mut other) = (of("batch"), of("other"));
    assert!(!hits(&mut batch, T) && hits(&mut other, T));
    for client in [&mut batch, &mut other] {
        client.now += 61 * SECOND;
    }
    assert!(hits(&mut batch, T), "an hour is its rule's");
    assert!(!hits(&mut other, T), "a minute holds for the others");
}

#[test]
fn a_shorter_time_holds_for_what_others_have_kept() {
    let world = World::new();
    let mut client = world.client();
    assert!(!hits(&mut client, T));
    client.now += 6 * SECOND;
    assert!(hits(&mut client, "/* larder: ttl=10s */ SELECT v FROM t"));
    assert!(!hits(
        &mut client,
        "/* CACHE_PARAM(ttl=5s) */ SELECT v FROM t"
    ));
    client.now += 6 * SECOND;
    set(&mut client, "SET larder.ttl = '5s'");
    assert!(!hits(&mut client, T));
    assert!(hits(&mut client, T));
    set(&mut client, "RESET larder.ttl");
    client.now += 50 * SECOND;
    assert!(hits(&mut client, T), "for the others it is kept as ever");
    client.now += 11 * SECOND;
    assert!(!hits(&mut client, T));
}

#[test]
fn larder_cache_follows_its_transaction() {
    let world = World::new();
    let mut client = world.client();
    assert!(!hits(&mut client, T) && hits(&mut client, T));
    set(&mut client, "SET larder.cache = off");
    assert!(!hits(&mut client, T));
    assert_eq!(client.last(), "bypass: hint");
    set(&mut client, "RESET larder.cache");
    assert!(hits(&mut client, T));
    client.ask(&query("BEGIN"));
    client.ask(&query("SET LOCAL larder.cache = 'off'"));
    client.told();
    client.ask(&query("SHOW larder.cache"));
    assert!(client.told.windows(3).any(|three| three == b"off"));
    client.told();
    client.ask(&query("ROLLBACK"));
    client.told();
    assert_eq!(client.sent(), "", "all of it is answered here");
    assert!(hits(&mut client, T));
}

#[test]
fn who_differs_in_them_alone_shares_answers() {
    let world = World::new();
    let mut one = world.client();
    set(&mut one, "SET larder.ttl = '1h'");
    assert!(!hits(&mut one, T));
    let options = ("options", "-c larder.trace=off -c larder.cache=on");
    let mut other = world.client_of(&[("user", "ann"), ("database", "shop"), options]);
    other.login();
    assert!(hits(&mut other, T));
    let mut third = world.client_of(&[("user", "ann"), ("database", "shop"), ("larder.ttl", "1s")]);
    third.login();
    assert!(hits(&mut third, T));
}

#[test]
fn every_statement_is_traced_in_its_place() {
    let world = World::new();
    let mut client = world.client();
    set(&mut client, "SET larder.trace = on");
    client.ask(&query(T));
    client.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(notices(&mut client), ["larder: miss"]);
    client.now += 12 * SECOND;
    client.ask(&query(T));
    assert_eq!(tags(&client.told), "NTDCZ");
    assert_eq!(
        notices(&mut client),
        ["larder: hit, age 12.0 s, at most 48.0 s more"]
    );
    client.ask(&query("/* larder: ttl=20s */ SELECT v FROM t"));
    assert_eq!(
        notices(&mut client),
        ["larder: hit, age 12.0 s, at most 8.0 s more"]
    );
    client.ask(&query("SELECT v FROM t /* larder: off */"));
    client.answer(&[one_row("1"), ready(b'I')].concat());
    let words = notices(&mut client);
    assert!(words[0].starts_with("larder: bypass: hint ("), "{words:?}");
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    assert_eq!(client.told(), "12TNDCZ");
    client.ask(&[unit(T), sync()].concat());
    assert_eq!(client.told(), "12TNDCZ");
    client.sent();
    // Behind what is owed, each in front of its own answer.
    client.ask(&[query("UPDATE u SET v = 1"), query("SELECT v FROM u")].concat());
    client.ask(&query("SHOW larder.trace"));
    assert_eq!(tags(&client.told), "N");
    client.answer(&[complete("UPDATE 1"), ready(b'I')].concat());
    client.answer(&[one_row("1"), ready(b'I')].concat());
    assert_eq!(tags(&client.told), "NCZNTDCZTDCZ");
    let words = notices(&mut client);
    assert_eq!(words[0], "larder: write");
    set(&mut client, "SET client_min_messages = 'WARNING'");
    client.ask(&query(T));
    client.answer(&[one_row("1"), ready(b'I')].concat());
    client.ask(&query(T));
    assert_eq!(client.told(), "TDCZTDCZ");
}

/// What PostgreSQL passes over behind an error has not become anything.
#[test]
fn what_is_not_run_is_not_traced() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    set(&mut client, "SET larder.trace = on");
    client.ask(&[unit("SELECT v / 0 FROM u"), unit(T), sync()].concat());
    let (one, two) = (message(b'1', &[]), message(b'2', &[]));
    let failed = [one, two, description(false), error("22012")].concat();
    client.answer(&[failed, ready(b'I')].concat());
    assert_eq!(client.told(), "12TNEZ");
}

/// While a COPY is under way nothing is told but what the upstream tells.
#[test]
fn a_copy_is_not_disturbed() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    set(&mut client, "SET larder.trace = on");
    client.ask(&query("COPY u FROM STDIN"));
    assert_eq!(client.told(), "N");
    client.answer(&message(b'G', &[&[0, 0, 0]]));
    assert_eq!(client.told(), "G");
    client.ask(&message(b'd', &[b"1\n"]));
    client.ask(&[message(b'c', &[]), query(T)].concat());
    assert_eq!(client.told(), "");
    client.answer(&[complete("COPY 1"), ready(b'I')].concat());
    let told = client.told();
    assert!(told == "CZNTDCZ" || told == "CZN", "{told}");
}

#[test]
fn what_cannot_be_read_is_off_and_told_once() {
    let world = World::new();
    let mut client = world.client();
    assert!(!hits(&mut client, T));
    let told = |client: &mut Client, sql: &str| {
        client.told();
        client.ask(&query(sql));
        assert_eq!(client.sent(), "Q");
        client.answer(&[one_row("1"), ready(b'I')].concat());
        notices(client)
    };
    let words = told(&mut client, "/* larder: ttl=30 */ SELECT v FROM t");
    assert!(
        words.len() == 1 && words[0].contains("looks like a hint"),
        "{words:?}"
    );
    assert_eq!(client.last(), "bypass: hint");
    assert!(told(&mut client, "/* larder: of */ SELECT v FROM t").is_empty());
    for (sql, part) in [
        ("SET larder.cache = 'maybe'", "larder.cache"),
        ("SET larder.ttl = 30", "larder.ttl"),
    ] {
        set(&mut client, sql);
        let words = told(&mut client, T);
        assert!(words.len() == 1 && words[0].contains(part), "{words:?}");
        assert!(told(&mut client, T).is_empty());
        let reset = sql.replace("SET", "RESET");
        set(&mut client, reset.split(" =").next().unwrap());
        assert!(hits(&mut client, T));
    }
    set(&mut client, "SET larder.trace = 'loud'");
    client.ask(&query(T));
    let words = notices(&mut client);
    assert!(
        words.len() == 1 && words[0].contains("larder.trace"),
        "{words:?}"
    );
    client.ask(&query(T));
    assert!(notices(&mut client).is_empty());
}

#[test]
fn what_was_not_set_is_shown_by_larder() {
    let world = World::new();
    let mut client = world.client();
    for (name, expected) in [("cache", "on"), ("ttl", "60s"), ("trace", "off")] {
        client.ask(&query(&format!("SHOW larder.{name}")));
        let told = std::mem::take(&mut client.told);
        assert_eq!(tags(&told), "TDCZ");
        let row = messages(&told)[1].1;
        assert_eq!(&row[6..], expected.as_bytes());
    }
    // Where it is not known it is PostgreSQL's to say.
    begin(&mut client);
    client.ask(&query("SELECT unknown()"));
    client.sent();
    client.answer(&[one_row("1"), ready(b'T')].concat());
    client.told();
    client.ask(&query("SHOW larder.cache"));
    assert_eq!(client.sent(), "Q");
}

#[test]
fn a_prepared_statement_keeps_its_hint() {
    let world = World::new();
    world.warm("t");
    let mut client = world.client();
    let run = [
        bind("", "a", false),
        describe(b'P', ""),
        execute("", 0),
        sync(),
    ]
    .concat();
    let off = [parse("a", "SELECT v FROM t /* larder: off */"), run.clone()].concat();
    client.ask(&off);
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    assert_eq!(client.last(), "bypass: hint");
    client.sent();
    client.ask(&run);
    assert!(client.sent().contains('E'), "it is run each time");
}

#[test]
fn a_portal_that_is_bound_heeds_what_is_set_since() {
    let world = World::new();
    let mut client = world.client();
    client.ask(&[unit(T), sync()].concat());
    client.answer(&[unit_row("1"), ready(b'I')].concat());
    client.sent();
    begin(&mut client);
    client.ask(&[parse("", T), bind("p", "", false), sync()].concat());
    assert_eq!(client.told(), "12Z");
    set(&mut client, "SET LOCAL larder.cache = off");
    client.ask(&[execute("p", 0), sync()].concat());
    assert!(client.sent().contains('E'));
}

/// What is said of a statement is told of no other: sqlcommenter's comments differ with each request.
#[test]
fn other_comments_do_not_matter() {
    let world = World::new();
    let mut client = world.client();
    assert!(!hits(&mut client, T));
    for n in 0..3 {
        let sql = format!(
            "{T} /*route='%2Fitems',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd{n}-01'*/"
        );
        assert!(hits(&mut client, &sql), "{sql}");
    }
}
