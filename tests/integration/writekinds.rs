//! P1 for every kind of write, each in each place a transaction can have for it.
//!
//! A kind has tables of its own, `t#` and `w#` (`#` is a number), and what it makes besides. Before a write the reads of
//! another connection are hits, in the simple and in the extended protocol; right after its acknowledgement both show
//! what PostgreSQL shows past Larder. So they do after a ROLLBACK, and after a ROLLBACK TO.

mod kinds;

use self::kinds::{ALTERING, Kind, PLAIN, Place};
use crate::ground::{Ground, assert_same};
use crate::wireclient::{Answered, Batch, Client, Transcript};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What every kind has. `f#` writes, `h#` does so although it says that it does not, `g#` is for triggers.
const BASE: &str = "
    CREATE TABLE t# (id int PRIMARY KEY, u int CONSTRAINT u# UNIQUE, name text);
    CREATE TABLE w# (id int, name text);
    CREATE FUNCTION f#(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO w# VALUES (i, ''written''); RETURN i; END';
    CREATE FUNCTION g#() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN INSERT INTO w# VALUES (0, tg_op); IF tg_op = ''DELETE'' THEN RETURN OLD; END IF; RETURN NEW; END';
    CREATE FUNCTION h#(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM f#(i); RETURN i; END';";
const FILL: &str = "
    DELETE FROM t#; INSERT INTO t# SELECT g, g * 10 + 1000, 'n' || g FROM generate_series(1, 5) g;
    DELETE FROM w#; INSERT INTO w# VALUES (1, 'one')";
const READS: &[&str] = &[
    "SELECT * FROM t# ORDER BY id",
    "SELECT name FROM t# WHERE id = 1",
    "SELECT count(*), max(name) FROM w#",
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Protocol {
    Simple,
    Extended,
}

/// Where a write stands.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    protocol: Protocol,
    before: &'static [&'static str],
    after: &'static [&'static str],
    /// What it writes is there afterwards.
    lasts: bool,
    /// What changes the catalog is tried here, too: each time costs a load of it.
    altering: bool,
}

const WAYS: &[Way] = &[
    Way {
        name: "simple",
        protocol: Protocol::Simple,
        before: &[],
        after: &[],
        lasts: true,
        altering: true,
    },
    Way {
        name: "extended",
        protocol: Protocol::Extended,
        before: &[],
        after: &[],
        lasts: true,
        altering: true,
    },
    Way {
        name: "a block",
        protocol: Protocol::Simple,
        before: &["BEGIN"],
        after: &["COMMIT"],
        lasts: true,
        altering: false,
    },
    Way {
        name: "an extended block",
        protocol: Protocol::Extended,
        before: &["BEGIN"],
        after: &["COMMIT"],
        lasts: true,
        altering: true,
    },
    Way {
        name: "a savepoint that is released",
        protocol: Protocol::Extended,
        before: &["BEGIN", "SAVEPOINT a"],
        after: &["RELEASE a", "COMMIT"],
        lasts: true,
        altering: false,
    },
    Way {
        name: "a savepoint that is gone back to",
        protocol: Protocol::Simple,
        before: &["BEGIN", "SAVEPOINT a"],
        after: &["ROLLBACK TO a", "COMMIT"],
        lasts: false,
        altering: true,
    },
    Way {
        name: "a block that is rolled back",
        protocol: Protocol::Extended,
        before: &["BEGIN"],
        after: &["ROLLBACK"],
        lasts: false,
        altering: true,
    },
];

/// Who takes part.
struct Stage {
    ground: Ground,
    writer: Client,
    /// Makes and fills the tables; no trigger and no rule fires for it.
    stagehand: Client,
    readers: [Client; 2],
    direct: Client,
    number: usize,
    runs: usize,
}

impl Stage {
    fn new(database: &str) -> Stage {
        let ground = Ground::alone(database, "");
        let mut direct = ground.direct();
        direct.ok("CREATE ROLE guest; GRANT pg_execute_server_program TO guest");
        let stagehand = ground
            .login()
            .parameter("session_replication_role", "replica");
        Stage {
            writer: ground.through(),
            stagehand: ground.over(&stagehand).connect(),
            readers: [ground.through(), ground.through()],
            direct,
            number: 0,
            runs: 0,
            ground,
        }
    }

    fn play(&mut self, kind: &Kind) {
        let ways = WAYS.iter().filter(|way| match kind.place {
            Place::Anywhere => way.altering || !kind.alters,
            Place::Alone => way.before.is_empty(),
            Place::Block => !way.before.is_empty(),
        });
        self.number += 1;
        let mut made = false;
        for way in ways {
            if !std::mem::replace(&mut made, !kind.alters) {
                self.number += usize::from(kind.alters);
                self.prepare(&[BASE, kind.make].concat());
            }
            self.prepare(FILL);
            self.prepare(kind.fill);
            self.run(kind, way);
            self.runs += 1;
        }
    }

    fn text(&self, sql: &str) -> String {
        sql.replace('#', &self.number.to_string())
    }

    fn prepare(&mut self, sql: &str) {
        let sql = self.text(sql);
        if !sql.is_empty() {
            self.stagehand.ok(&sql);
        }
    }

    fn run(&mut self, kind: &Kind, way: &Way) {
        let what = format!("{}, {}", kind.name, way.name);
        let warm = READS.iter().chain(kind.reads).map(|sql| (sql, true));
        let all = warm.chain(kind.cold.iter().map(|sql| (sql, false)));
        let texts: Vec<_> = all.map(|(sql, warm)| (self.text(sql), warm)).collect();
        let all: Vec<_> = texts
            .into_iter()
            .map(|(sql, warm)| (self.direct.query(&sql), sql, warm))
            .collect();
        for (before, sql, warm) in &all {
            if *warm && before.error().is_none() {
                self.until_hit(0, Protocol::Simple, sql, &what);
                self.until_hit(1, Protocol::Extended, sql, &what);
            }
        }
        for sql in way.before {
            acknowledged(&what, &say(&mut self.writer, way.protocol, sql, &[]));
        }
        for sql in kind.write {
            let sql = self.text(sql);
            acknowledged(&what, &say(&mut self.writer, way.protocol, &sql, kind.rows));
        }
        for sql in way.after {
            acknowledged(&what, &say(&mut self.writer, way.protocol, sql, &[]));
        }
        let mut changed = false;
        for (before, sql, _) in &all {
            let expected = self.direct.query(sql);
            changed |= expected != *before;
            let got = self.readers[0].query(sql);
            assert_same(&format!("{what}: {sql}"), &expected, &got);
            // What may be a hit again is no other, and the writer sees what all see.
            let again = self.readers[0].query(sql);
            assert_same(&format!("{what}, again: {sql}"), &expected, &again);
            let own = self.writer.query(sql);
            assert_same(&format!("{what}, the writer: {sql}"), &expected, &own);
            let expected = self.direct.extended(sql, &[]);
            let got = self.readers[1].extended(sql, &[]);
            assert_same(&format!("{what}, extended: {sql}"), &expected, &got);
        }
        assert_eq!(
            changed,
            way.lasts && kind.changes,
            "{what}: the test is wrong"
        );
        if !kind.after.is_empty() {
            let sql = self.text(kind.after);
            self.writer.ok(&sql);
        }
    }

    fn until_hit(&mut self, reader: usize, protocol: Protocol, sql: &str, what: &str) {
        let client = &mut self.readers[reader];
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            acknowledged(sql, &say(client, protocol, sql, &[]));
            acknowledged(sql, &say(client, protocol, sql, &[]));
            let last = client.larder_last();
            if last == "hit" {
                return;
            }
            let log = || self.ground.larder.log();
            assert!(
                Instant::now() < deadline,
                "{what}: {sql} never hits: {last}\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

fn acknowledged(what: &str, answer: &Transcript) {
    assert!(
        answer.error().is_none() && answer.tags().ends_with('Z'),
        "{what}: {answer:?}"
    );
}

/// One statement; a COPY … FROM STDIN with its rows.
fn say(client: &mut Client, protocol: Protocol, sql: &str, rows: &[u8]) -> Transcript {
    let copy = sql.contains("FROM STDIN");
    match (protocol, copy) {
        (Protocol::Simple, false) => client.query(sql),
        (Protocol::Extended, false) => client.extended(sql, &[]),
        (Protocol::Simple, true) => {
            client.send(Batch::new().query(sql));
            let asked = client.until(b'G');
            [asked, client.run(Batch::new().copy_data(rows).copy_done())].concat()
        }
        (Protocol::Extended, true) => {
            client.send(Batch::new().unnamed(sql, &[]).flush());
            let asked = client.until(b'G');
            [
                asked,
                client.run(Batch::new().copy_data(rows).copy_done().sync()),
            ]
            .concat()
        }
    }
}

/// All of them, and what is wrong with each.
fn play(database: &str, kinds: &[Kind], runs: usize) {
    let mut stage = Stage::new(database);
    let only = std::env::var("LARDER_KIND").unwrap_or_default();
    let mut wrong = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.name.contains(&only)) {
        let played = catch_unwind(AssertUnwindSafe(|| stage.play(kind)));
        if played.is_err() {
            wrong.push(kind.name);
            stage.writer = stage.ground.through();
        }
    }
    assert!(wrong.is_empty(), "{} kinds: {wrong:#?}", wrong.len());
    assert!(stage.runs > runs || !only.is_empty(), "{} runs", stage.runs);
}

/// hazard 25, hazard 26, hazard 27, hazard 29, hazard 38, hazard 39: every kind of write that leaves the catalog as it is.
#[test]
fn p1_every_kind_of_write_is_seen_by_the_next_read() {
    play("kinds_plain", PLAIN, 500);
}

/// hazard 26, hazard 28: every kind of write that changes the catalog.
#[test]
fn p1_every_kind_of_ddl_is_seen_by_the_next_read() {
    play("kinds_altering", ALTERING, 100);
}
