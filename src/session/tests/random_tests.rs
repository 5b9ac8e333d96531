//! Random conversations: cut anywhere, answered at once or late, a client is told byte for byte what a server of its
//! own would have told it; and no bytes from either side end in a panic.

use std::cell::RefCell;
use std::rc::Rc;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::RngSeed;

use super::backend::{Backend, Data};
use super::world::*;

/// Messages, to be read by people when a test fails.
#[derive(Clone)]
struct Said(Vec<u8>);

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

/// A client through Larder, with its backend.
struct Through {
    client: Client,
    backend: Backend,
}

impl Through {
    fn new(world: &World, committed: &Rc<RefCell<Data>>, pid: i32) -> Through {
        let mut client = world.client_of(&[("user", "ann"), ("database", "shop")]);
        client.answer(&greeting(pid));
        client.answer(&own_row(pid, "hex", "read committed"));
        client.sent.clear();
        client.told.clear();
        let backend = Backend::new(committed.clone(), pid);
        Through { client, backend }
    }

    /// Sends in pieces; the upstream answers after each piece that the mask names, and at the end.
    fn say(&mut self, bytes: &[u8], piece: usize, mask: u32, world: &World) -> Vec<u8> {
        for (n, part) in bytes.chunks(piece).enumerate() {
            self.client.ask(part);
            if mask >> (n % 32) & 1 == 1 {
                self.drain(piece, world);
            }
        }
        self.drain(piece, world);
        std::mem::take(&mut self.client.told)
    }

    fn drain(&mut self, piece: usize, world: &World) {
        while !self.client.sent.is_empty() {
            let sent = std::mem::take(&mut self.client.sent);
            for part in self.backend.hear(&sent).chunks(piece) {
                self.client.answer(part);
                world.load();
            }
        }
    }
}

const STATEMENTS: [&str; 19] = [
    "SELECT v FROM t",
    "SELECT v FROM t",
    "SELECT v FROM u",
    "SELECT v FROM u",
    "UPDATE t SET v = 5",
    "UPDATE u SET v = 5",
    "SELECT 1/0",
    "BEGIN",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
    "SET bytea_output = 'escape'",
    "SET bytea_output = 'hex'",
    "SET LOCAL bytea_output = 'escape'",
    "DEALLOCATE ALL",
    "DEALLOCATE a",
];

const BATCHES: [&str; 7] = [
    "COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ",
    "UPDATE t SET v = 5; COMMIT",
    "UPDATE t SET v = 5; SELECT 1/0",
    "ROLLBACK; UPDATE t SET v = 5",
    "SET bytea_output = 'escape'; SELECT 1/0",
    "BEGIN; SET default_transaction_isolation = 'repeatable read'",
    "SET default_transaction_isolation = 'read committed'",
];

fn statement() -> impl Strategy<Value = String> {
    select(&STATEMENTS[..]).prop_map(str::to_owned)
}

fn extended() -> impl Strategy<Value = Vec<u8>> {
    let name = || select(&["", "", "a"][..]);
    let portal = || select(&["", "", "x"][..]);
    let limit = select(&[0, 0, 0, 1, 2, 3][..]);
    prop_oneof![
        6 => (name(), portal(), statement(), any::<bool>(), any::<bool>(), limit.clone()).prop_map(
            |(name, portal, sql, binary, described, limit)| {
                let described = if described { describe(b'P', portal) } else { Vec::new() };
                [parse(name, &sql), bind(portal, name, binary), described, execute(portal, limit)].concat()
            }
        ),
        3 => (name(), portal(), any::<bool>(), limit.clone()).prop_map(|(name, portal, binary, limit)| {
            [bind(portal, name, binary), describe(b'P', portal), execute(portal, limit)].concat()
        }),
        2 => (name(), statement()).prop_map(|(name, sql)| parse(name, &sql)),
        2 => (name(), statement(), 0usize..4, any::<bool>()).prop_map(|(name, sql, shape, binary)| {
            let (parse, described) = (parse(name, &sql), describe(b'S', name));
            let (bind, execute) = (bind("", name, binary), execute("", 0));
            match shape {
                0 => [parse, described, flush()].concat(),
                1 => [parse, described, bind, execute].concat(),
                2 => [parse, bind, described, execute].concat(),
                _ => [bind, described, describe(b'P', ""), execute].concat(),
            }
        }),
        2 => (portal(), name(), any::<bool>()).prop_map(|(p, n, b)| bind(p, n, b)),
        1 => name().prop_map(|n| describe(b'S', n)),
        1 => (name(), any::<bool>()).prop_map(|(name, binary)| {
            [bind("", name, binary), flush(), describe(b'P', "")].concat()
        }),
        2 => portal().prop_map(|p| describe(b'P', p)),
        4 => (portal(), limit).prop_map(|(p, l)| execute(p, l)),
        1 => name().prop_map(|n| close(b'S', n)),
        1 => portal().prop_map(|p| close(b'P', p)),
        1 => Just(flush()),
    ]
}

/// All up to a ReadyForQuery.
fn segment() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => statement().prop_map(|sql| query(&sql)),
        1 => select(&BATCHES[..]).prop_map(query),
        5 => proptest::collection::vec(extended(), 0..5)
            .prop_map(|parts| [parts.concat(), sync()].concat()),
    ]
}

fn turns() -> impl Strategy<Value = Vec<(usize, Said, usize, u32)>> {
    let said = proptest::collection::vec(segment(), 1..4).prop_map(|parts| Said(parts.concat()));
    let piece = select(&[1usize, 2, 7, 50, 1 << 20][..]);
    let mask = select(&[0u32, u32::MAX, 0x1111_1111, 0x0f0f_00f0][..]);
    proptest::collection::vec((0usize..2, said, piece, mask), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4 * ProptestConfig::default().cases,
        failure_persistence: None,
        // The same conversations every time, others when more are asked for.
        rng_seed: match std::env::var_os("PROPTEST_CASES") {
            None => RngSeed::Fixed(1),
            Some(_) => RngSeed::Random,
        },
        ..ProptestConfig::default()
    })]

    #[test]
    fn p7_a_client_is_told_what_its_own_server_would_have_told_it(turns in turns()) {
        let data = |n| Rc::new(RefCell::new(Data::from([("t".into(), n), ("u".into(), n)])));
        let world = World::new();
        let (behind, direct) = (data(1), data(1));
        let mut through = [
            Through::new(&world, &behind, 7),
            Through::new(&world, &behind, 8),
        ];
        let mut alone = [Backend::new(direct.clone(), 7), Backend::new(direct, 8)];
        for (who, said, piece, mask) in turns {
            let expected = alone[who].hear(&said.0);
            let told = through[who].say(&said.0, piece, mask, &world);
            prop_assert_eq!(
                same(&shown(&told)), same(&shown(&expected)),
                "client {} said {}", who, shown(&said.0)
            );
        }
    }

    #[test]
    fn no_bytes_of_a_client_end_in_a_panic(
        said in proptest::collection::vec(prop_oneof![
            3 => segment(),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
            1 => (select(&b"QPBDECSHFXdcfp\0z"[..]), proptest::collection::vec(any::<u8>(), 0..20))
                .prop_map(|(tag, body)| message(tag, &[&body])),
        ], 0..10),
        piece in 1usize..40,
    ) {
        let world = World::new();
        world.warm("t");
        let mut client = world.client();
        for part in said.concat().chunks(piece) {
            client.ask(part);
        }
    }

    #[test]
    fn no_bytes_of_an_upstream_end_in_a_panic(
        asked in proptest::collection::vec(segment(), 0..4),
        said in proptest::collection::vec(prop_oneof![
            6 => (select(&b"123CDEGHIKNRSTVWZcdnst"[..]), proptest::collection::vec(any::<u8>(), 0..12))
                .prop_map(|(tag, body)| message(tag, &[&body])),
            3 => select(&b"ITE"[..]).prop_map(ready),
            1 => proptest::collection::vec(any::<u8>(), 0..20),
        ], 0..20),
        piece in 1usize..40,
    ) {
        let world = World::new();
        let mut client = world.client();
        client.ask(&asked.concat());
        for part in said.concat().chunks(piece) {
            client.answer(part);
        }
        client.ask(&asked.concat());
    }
}

/// What random conversations have found, each in its shortest form.
#[test]
fn p7_conversations_that_were_once_told_wrong() {
    let run = |sql: &str, portal: &str| {
        let bound = bind(portal, "", false);
        [parse("", sql), bound, execute(portal, 0)].concat()
    };
    let again = || bind("", "", false);
    let (on, off) = (u32::MAX, 0);
    let found: Vec<(&str, Vec<Vec<u8>>, usize, u32)> = vec![
        (
            "a portal bound behind a COMMIT",
            vec![[run("COMMIT", ""), again(), describe(b'P', ""), sync()].concat()],
            1,
            on,
        ),
        (
            "DEALLOCATE while its name is in doubt",
            vec![
                [parse("a", "BEGIN"), sync()].concat(),
                [
                    again(),
                    parse("a", "SELECT v FROM t"),
                    bind("", "a", false),
                    execute("", 0),
                    sync(),
                    query("DEALLOCATE a"),
                ]
                .concat(),
            ],
            1,
            off,
        ),
        (
            "a DEALLOCATE that fails",
            vec![
                [
                    parse("a", "BEGIN"),
                    bind("", "a", false),
                    execute("", 0),
                    sync(),
                ]
                .concat(),
                query("SELECT 1/0"),
                [query("DEALLOCATE ALL"), parse("a", "COMMIT"), sync()].concat(),
            ],
            1,
            off,
        ),
        (
            "the portal of a SAVEPOINT behind the ROLLBACK TO it",
            vec![
                query("BEGIN"),
                [
                    run("SAVEPOINT s", ""),
                    run("ROLLBACK TO s", "x"),
                    describe(b'P', ""),
                    sync(),
                ]
                .concat(),
            ],
            1,
            off,
        ),
        (
            "a portal in a block that has failed",
            vec![
                [run("BEGIN", ""), again(), execute("x", 0), sync()].concat(),
                [describe(b'P', ""), sync()].concat(),
            ],
            1,
            on,
        ),
        (
            "a Bind that fails leaves the portal",
            vec![
                [query("BEGIN"), run("SAVEPOINT s", ""), sync()].concat(),
                [
                    parse("", "SAVEPOINT s"),
                    again(),
                    bind("", "b", false),
                    sync(),
                    describe(b'P', ""),
                    sync(),
                ]
                .concat(),
            ],
            1,
            off,
        ),
        (
            "what was held fails in front of a Query, behind another segment with such",
            vec![
                [
                    [parse("a", "BEGIN"), bind("", "a", false), execute("", 0)].concat(),
                    [execute("", 0), sync(), query("DEALLOCATE a")].concat(),
                ]
                .concat(),
            ],
            50,
            off,
        ),
        (
            "a BEGIN in a block ends no portal",
            vec![
                query("BEGIN; SET default_transaction_isolation = 'repeatable read'"),
                [
                    run("SAVEPOINT s", ""),
                    again(),
                    run("BEGIN", "x"),
                    sync(),
                    describe(b'P', ""),
                    sync(),
                ]
                .concat(),
            ],
            1,
            off,
        ),
        (
            "a Sync behind another that begins a block",
            vec![
                [run("BEGIN", "x"), again(), sync(), sync()].concat(),
                [describe(b'P', ""), sync()].concat(),
            ],
            2,
            252641520,
        ),
        (
            "BEGIN while names are taught",
            vec![
                [unit("SELECT v FROM t"), sync()].concat(),
                [
                    parse("a", "SELECT v FROM t"),
                    bind("", "a", false),
                    describe(b'P', ""),
                    execute("", 0),
                    sync(),
                    query("BEGIN"),
                ]
                .concat(),
                query("COMMIT; BEGIN ISOLATION LEVEL REPEATABLE READ"),
            ],
            1 << 20,
            off,
        ),
        (
            "a Bind of what is missing in a block that fails",
            vec![
                [
                    run("BEGIN", "x"),
                    again(),
                    bind("", "a", false),
                    sync(),
                    describe(b'P', ""),
                    sync(),
                ]
                .concat(),
            ],
            1 << 20,
            off,
        ),
        (
            "an Execute in a failed block of what ends it",
            vec![
                [query("BEGIN"), query("SELECT 1/0"), run("COMMIT", "")].concat(),
                [run("BEGIN", ""), sync()].concat(),
                [again(), execute("x", 0), sync(), execute("", 0), sync()].concat(),
            ],
            1,
            off,
        ),
        (
            "a COMMIT behind a BEGIN in a block that was begun here",
            vec![
                [
                    [parse("", "BEGIN"), describe(b'S', "")].concat(),
                    [again(), execute("", 0)].concat(),
                    [run("BEGIN", ""), run("COMMIT", ""), sync()].concat(),
                ]
                .concat(),
            ],
            1,
            on,
        ),
    ];
    for (what, turns, piece, mask) in found {
        let data = || Rc::new(RefCell::new(Data::from([("t".into(), 1), ("u".into(), 1)])));
        let world = World::new();
        let mut through = Through::new(&world, &data(), 7);
        let mut alone = Backend::new(data(), 7);
        for said in turns {
            let expected = alone.hear(&said);
            let told = through.say(&said, piece, mask, &world);
            assert_eq!(same(&shown(&told)), same(&shown(&expected)), "{what}");
        }
    }
}

fn shown(bytes: &[u8]) -> String {
    messages(bytes)
        .iter()
        .map(|(tag, body)| format!("{}{:?} ", char::from(*tag), String::from_utf8_lossy(body)))
        .collect()
}

/// In a failed block a Parse of a name that exists may be refused for either reason.
fn same(shown: &str) -> String {
    shown.replace("C42P05", "C25P02")
}
