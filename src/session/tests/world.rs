//! A process with one thread, a catalog of two tables made by hand, and clients that are fed by hand.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::key::Contexts;
use crate::cache::rules::Rules;
use crate::cache::store::Store;
use crate::cache::version::{Database, Ledger};
use crate::metrics::Metrics;
use crate::session::{Io, Mode, Next, Session, Shared, Thread, Verify};
use crate::sql::catalog::{Locking, Rows};
use crate::sql::verdict::tests_support::cacheable;
use crate::sql::{Catalog, Oid};
use crate::wire::frame::{self, Frame};
use crate::wire::startup::Startup;

/// What all clients share.
pub struct World {
    pub thread: Rc<Thread>,
    pub database: Arc<Database>,
    pub t: Oid,
    pub u: Oid,
    /// Sees every write it is told of, and more: writes to it run code that is not known.
    pub triggered: Oid,
    rows: Rows,
    locking: Locking,
}

impl World {
    pub fn new() -> World {
        World::with(Mode::On, 1 << 20)
    }

    /// One in which locks tell what was written; `u` has a trigger that fires at COMMIT.
    pub fn telling() -> World {
        let mut world = World::new();
        world.locking = Locking {
            open: true,
            deferred: vec![world.u],
            ..Locking::default()
        };
        world.database.raise_catalog();
        world.load();
        world
    }

    pub fn with(mode: Mode, max_answer: usize) -> World {
        World::verifying(mode, max_answer, Verify::default())
    }

    /// Over that ledger.
    pub fn over(ledger: Ledger, mode: Mode, max_answer: usize) -> World {
        World::built(ledger, mode, max_answer, Verify::default())
    }

    pub fn verifying(mode: Mode, max_answer: usize, verify: Verify) -> World {
        World::built(Ledger::default(), mode, max_answer, verify)
    }

    fn built(ledger: Ledger, mode: Mode, max_answer: usize, verify: Verify) -> World {
        let mut rows = Rows::empty_database();
        let (t, u) = (rows.table("public", "t"), rows.table("public", "u"));
        let triggered = rows.table("public", "triggered");
        let function = rows.function("public", "on_write", 0, b'v');
        rows.triggers.push(crate::sql::catalog::rows::Trigger {
            relation: triggered,
            function,
        });
        // One that introspection reads.
        rows.relations.push(crate::sql::catalog::rows::Relation {
            oid: 1259,
            namespace: 11,
            name: "pg_class".into(),
            kind: b'r',
            persistence: b'p',
            row_security: false,
        });
        for name in ["=", "+", "/"] {
            rows.operator("pg_catalog", name);
        }
        let live = crate::session::Live {
            mode,
            transactions: crate::session::Transactions::UntilWrite,
            rules: Rules::new(Duration::from_secs(60), []),
            coalesce_wait: 1_000_000,
            verify,
            paused: false,
            shared: false,
            audit: false,
        };
        let shared = Arc::new(Shared {
            steering: crate::session::Steering::new(live),
            ledger,
            store: Store::new(64 << 20, max_answer, 1),
            contexts: Contexts::default(),
            pooler: crate::config::Pooler::None,
            metrics: Arc::new(Metrics::new(1).unwrap()),
            quarantine: Default::default(),
        });
        let recorder = shared.metrics.recorder(0).unwrap();
        let world = World {
            database: shared.ledger.database("shop"),
            thread: Rc::new(Thread::new(shared, recorder)),
            t,
            u,
            triggered,
            rows,
            locking: Locking::default(),
        };
        world.load();
        world
    }

    /// Loads the catalog where it is wanted and can be.
    pub fn load(&self) {
        if self.database.catalog().is_none()
            && let Some(version) = self.database.load_version()
        {
            let _ = self.database.publish(
                Catalog::build(version, self.rows.clone()).with_locks(self.locking.clone()),
            );
        }
    }

    /// Whether a write to that table is in flight, or to everything.
    pub fn shut(&self, table: Oid) -> bool {
        let version = self.database.load_version().unwrap_or_default();
        self.database.stamp(&cacheable(&[table]), version).is_none()
    }

    /// A word that changes when something of that table is raised.
    pub fn mark(&self, table: Oid) -> crate::cache::version::Stamp {
        let version = self.database.load_version().unwrap();
        self.database.stamp(&cacheable(&[table]), version).unwrap()
    }

    /// A client that is logged in, Larder's own question answered.
    pub fn client(&self) -> Client {
        let mut client = self.client_of(&[("user", "ann"), ("database", "shop")]);
        client.login();
        client
    }

    /// A client that has sent its startup message.
    pub fn client_of(&self, parameters: &[(&str, &str)]) -> Client {
        let startup = Startup {
            packet: b"",
            major: 3,
            minor: 0,
            parameters: parameters.to_vec(),
        };
        Client {
            session: Session::new(self.thread.clone(), &startup),
            now: 1,
            told: Vec::new(),
            sent: Vec::new(),
            unread: Vec::new(),
            unheard: Vec::new(),
            closed: false,
        }
    }

    /// A client has read the table, and it is kept.
    pub fn warm(&self, table: &str) {
        let mut client = self.client();
        client.ask(&query(&format!("SELECT v FROM {table}")));
        client.answer(&[one_row("1"), ready(b'I')].concat());
    }
}

/// A client, its session, and what has come out of it.
pub struct Client {
    pub session: Session,
    pub now: u64,
    /// To the client.
    pub told: Vec<u8>,
    /// To the upstream.
    pub sent: Vec<u8>,
    unread: Vec<u8>,
    unheard: Vec<u8>,
    pub closed: bool,
}

impl Client {
    /// The client sends.
    pub fn ask(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        self.turn(true);
    }

    /// The upstream sends.
    pub fn answer(&mut self, bytes: &[u8]) {
        self.unheard.extend_from_slice(bytes);
        self.turn(false);
        self.turn(true);
    }

    fn turn(&mut self, client: bool) {
        if self.closed {
            return;
        }
        self.now += 1;
        let mut io = Io {
            client: &mut self.told,
            upstream: &mut self.sent,
            now: self.now,
        };
        let buffer = if client {
            &mut self.unread
        } else {
            &mut self.unheard
        };
        let (used, next) = if client {
            self.session.client(buffer, &mut io)
        } else {
            self.session.upstream(buffer, &mut io)
        };
        buffer.drain(..used);
        self.closed = next == Next::Close;
    }

    pub fn login(&mut self) {
        self.answer(&greeting(7));
        assert_eq!(self.sent(), "Q");
        self.answer(&own_row(7, "hex", "read committed"));
        self.told();
    }

    /// The types of the messages sent upstream since the last time.
    pub fn sent(&mut self) -> String {
        tags(&std::mem::take(&mut self.sent))
    }

    /// The types of the messages told to the client since the last time.
    pub fn told(&mut self) -> String {
        tags(&std::mem::take(&mut self.told))
    }

    /// The word of `SHOW larder.last`, of a client that waits for nothing.
    pub fn last(&mut self) -> String {
        self.told.clear();
        self.ask(&query("SHOW larder.last"));
        let told = std::mem::take(&mut self.told);
        assert_eq!(tags(&told), "TDCZ");
        let row = messages(&told).into_iter().find(|(tag, _)| *tag == b'D');
        String::from_utf8_lossy(&row.unwrap().1[6..]).into()
    }
}

/// Whole messages: type and body.
pub fn messages(mut bytes: &[u8]) -> Vec<(u8, &[u8])> {
    let mut found = Vec::new();
    while let Frame::Whole { tag, body } = frame::peek(bytes) {
        found.push((tag, body));
        bytes = &bytes[frame::HEAD + body.len()..];
    }
    assert!(bytes.is_empty(), "a message is cut short");
    found
}

pub fn tags(bytes: &[u8]) -> String {
    messages(bytes)
        .iter()
        .map(|(tag, _)| char::from(*tag))
        .collect()
}

pub fn message(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put(&mut out, tag, &parts.concat());
    out
}

pub fn query(sql: &str) -> Vec<u8> {
    message(b'Q', &[sql.as_bytes(), b"\0"])
}

pub fn parse(name: &str, sql: &str) -> Vec<u8> {
    message(b'P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"])
}

/// Bind without parameters; results in text, or all in binary.
pub fn bind(portal: &str, statement: &str, binary: bool) -> Vec<u8> {
    let formats: &[u8] = if binary { &[0, 1, 0, 1] } else { &[0, 0] };
    let names = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0"].concat();
    message(b'B', &[&names, b"\0\0\0\0", formats])
}

pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    message(b'D', &[&[kind], name.as_bytes(), b"\0"])
}

pub fn close(kind: u8, name: &str) -> Vec<u8> {
    message(b'C', &[&[kind], name.as_bytes(), b"\0"])
}

pub fn execute(portal: &str, limit: i32) -> Vec<u8> {
    message(b'E', &[portal.as_bytes(), b"\0", &limit.to_be_bytes()])
}

pub fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub fn flush() -> Vec<u8> {
    message(b'H', &[])
}

/// Parse, Bind, Describe, Execute of the unnamed statement.
pub fn unit(sql: &str) -> Vec<u8> {
    [
        parse("", sql),
        bind("", "", false),
        describe(b'P', ""),
        execute("", 0),
    ]
    .concat()
}

pub fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[&[status]])
}

pub fn complete(tag: &str) -> Vec<u8> {
    message(b'C', &[tag.as_bytes(), b"\0"])
}

pub fn description(binary: bool) -> Vec<u8> {
    let head = b"\0\x01v\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0";
    message(b'T', &[head, &[u8::from(binary)]])
}

pub fn row(value: &str) -> Vec<u8> {
    let length = (value.len() as i32).to_be_bytes();
    message(b'D', &[b"\0\x01", &length, value.as_bytes()])
}

/// The answer to a read of one row, as a simple Query has it.
pub fn one_row(value: &str) -> Vec<u8> {
    [description(false), row(value), complete("SELECT 1")].concat()
}

/// The answer to [`unit`] of a read.
pub fn unit_row(value: &str) -> Vec<u8> {
    [message(b'1', &[]), message(b'2', &[]), one_row(value)].concat()
}

/// The answer to [`unit`] of anything else.
pub fn unit_done(tag: &str) -> Vec<u8> {
    let (one, two, none) = (message(b'1', &[]), message(b'2', &[]), message(b'n', &[]));
    [one, two, none, complete(tag)].concat()
}

pub fn error(code: &str) -> Vec<u8> {
    let code = format!("C{code}\0");
    message(b'E', &[b"SERROR\0", code.as_bytes(), b"Mno\0\0"])
}

/// All that a server says until the first ReadyForQuery.
pub fn greeting(pid: i32) -> Vec<u8> {
    let mut out = message(b'R', &[&[0; 4]]);
    for (name, value) in [
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
    ] {
        out.extend(message(
            b'S',
            &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"],
        ));
    }
    out.extend(message(b'K', &[&pid.to_be_bytes(), &[0; 4]]));
    out.extend(ready(b'I'));
    out
}

/// The answer to Larder's own question.
pub fn own_row(pid: i32, bytea_output: &str, isolation: &str) -> Vec<u8> {
    own_row_of("ann", pid, bytea_output, isolation)
}

/// The same for any role.
pub fn own_row_of(user: &str, pid: i32, bytea_output: &str, isolation: &str) -> Vec<u8> {
    let probe = crate::session::probe::probe();
    let settings = probe
        .split("current_setting('")
        .skip(1)
        .filter_map(|rest| rest.split('\'').next())
        .filter(|name| !name.ends_with("_timeout"));
    let pid = pid.to_string();
    let mut values = vec![&*pid, "t0", user, user, "0", "7/1/5", "f", "t0", "0/1", "0"];
    values.extend(settings.map(|name| match name {
        "search_path" => "public",
        "bytea_output" => bytea_output,
        "default_transaction_isolation" => isolation,
        name if name.starts_with("larder.") => "",
        _ => "x",
    }));
    let mut body = (values.len() as u16).to_be_bytes().to_vec();
    for value in values {
        body.extend((value.len() as i32).to_be_bytes());
        body.extend(value.as_bytes());
    }
    let description = message(b'T', &[b"\0\0"]);
    [
        description,
        message(b'D', &[&body]),
        complete("SELECT 1"),
        ready(b'I'),
    ]
    .concat()
}

/// Begins a block in a way that is not held back.
pub fn begin(client: &mut Client) {
    client.ask(&query("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"));
    assert_eq!(client.sent(), "Q");
    client.answer(&[complete("BEGIN"), ready(b'T')].concat());
    client.told();
}
