//! A PostgreSQL for the simulation: snapshots, row locks, triggers that come and go, backends that outlive their
//! connection. A commit becomes visible at a moment of its own between the message that asks for it and its answer.
//!
//! Every write gives its tables one new number. A number is never used twice, so an answer tells which states it can
//! be the answer of. Each row shows its role, the setting `bytea_output`, the last DDL (table [`CATALOG`]) and the
//! numbers of the tables that were asked for.

use std::collections::{BTreeMap, VecDeque};

use super::simulation::Rng;
use super::world::{complete, description, error, greeting, message, own_row_of, ready, row};
use crate::cache::Micros;
use crate::wire::frame::{self, Frame};
use crate::wire::message as wire;

mod simulation_statements;

/// Names of the tables, by number. `g` has a trigger that writes `t`; a trigger of `t` that writes `u` comes and goes;
/// `o` is written past Larder only.
pub const TABLES: [&str; 6] = ["t", "u", "a", "b", "g", "o"];
pub const OUTSIDE: usize = 5;
/// What DDL writes.
pub const CATALOG: usize = 6;
const ALL: usize = 7;

/// How many rows a SELECT shows, all the same.
pub fn rows(sql: &str) -> usize {
    match columns(sql) {
        Some([3] | [2, 3]) => 3,
        _ => 1,
    }
}

/// The tables a SELECT shows, in order.
pub fn columns(sql: &str) -> Option<&'static [usize]> {
    Some(match sql {
        "SELECT v FROM t" => &[0],
        "SELECT v FROM u" => &[1],
        "SELECT v FROM a" => &[2],
        "SELECT v FROM b" => &[3],
        "SELECT v FROM g" => &[4],
        "SELECT v FROM o" => &[OUTSIDE],
        "SELECT a.v, b.v FROM a, b" => &[2, 3],
        "SELECT t.v, u.v FROM t, u" => &[0, 1],
        _ => return None,
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    /// Visible from that state on.
    Visible(usize),
    Undone,
}

/// A write, by its number.
pub struct Write {
    pub tables: Vec<usize>,
    pub fate: Fate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    pub escape: bool,
    /// `default_transaction_isolation` is REPEATABLE READ.
    pub repeatable: bool,
}

impl Settings {
    /// What a SET of the simulation does.
    pub fn set(&mut self, sql: &str) {
        if sql.contains("isolation") {
            self.repeatable = sql.contains("repeatable");
        } else {
            self.escape = sql.contains("escape");
        }
    }
}

/// Settings, and what a ROLLBACK goes back to.
#[derive(Default)]
pub struct Settled {
    pub now: Settings,
    before: Settings,
}

impl Settled {
    pub fn commit(&mut self) {
        self.before = self.now;
    }

    pub fn roll_back(&mut self) {
        self.now = self.before;
    }
}

/// How far a backend is in what it may be asked.
#[derive(Default)]
struct State {
    block: bool,
    failed: bool,
    skipping: bool,
    copying: Option<bool>,
    waits_for: Option<usize>,
}

#[derive(Default)]
struct Transaction {
    own: BTreeMap<usize, usize>,
    snapshot: Option<usize>,
    repeatable: bool,
    trigger: Option<bool>,
    numbers: Vec<usize>,
}

#[derive(Clone)]
struct Portal {
    sql: String,
    /// What its SELECT has seen when it was bound.
    seen: Option<String>,
    /// Its row as it was first shown.
    shown: Option<String>,
    /// How many rows it has given.
    given: usize,
}

enum Task {
    /// One statement of a simple Query; whether it is the last.
    Simple(String, bool),
    /// An Execute that waits for a lock.
    Execute(String, i32),
    /// A commit on its way: what is told afterwards.
    Commit(Vec<u8>, bool),
}

enum Ran {
    Done(String),
    Waits,
    Failed(&'static str),
    Commits(String),
    Copies,
}

pub struct Backend {
    pub user: &'static str,
    /// What has been sent to it.
    pub inbox: Vec<u8>,
    /// What it has said.
    pub out: Vec<u8>,
    pub dead: bool,
    /// A cancel request came.
    pub cancelled: bool,
    tasks: VecDeque<Task>,
    transaction: Option<Transaction>,
    state: State,
    settings: Settled,
    statements: BTreeMap<String, String>,
    portals: BTreeMap<String, Portal>,
}

#[derive(Default)]
pub struct Server {
    /// The number of the last state.
    pub state: usize,
    /// By table: states in which it changed, and the number from then on.
    pub changes: Vec<Vec<(usize, usize)>>,
    pub writes: Vec<Write>,
    pub backends: Vec<Backend>,
    /// The tables' numbers in the catalog.
    pub oids: Vec<crate::sql::Oid>,
    /// How often a transaction was asked for its locks.
    pub asked: usize,
    /// `t` has its trigger.
    pub trigger: bool,
    pub now: Micros,
    /// When each state began.
    began: Vec<Micros>,
    locks: [Option<usize>; ALL],
}

impl Server {
    pub fn new() -> Server {
        let tables = (0..ALL).collect();
        let first = Write {
            tables,
            fate: Fate::Visible(0),
        };
        Server {
            changes: vec![vec![(0, 0)]; ALL],
            writes: vec![first],
            began: vec![0],
            ..Server::default()
        }
    }

    /// A new backend; its process identifier is its number and one.
    pub fn start(&mut self, user: &'static str) -> usize {
        let number = self.backends.len();
        self.backends.push(Backend {
            user,
            inbox: Vec::new(),
            out: greeting(number as i32 + 1),
            dead: false,
            cancelled: false,
            tasks: VecDeque::new(),
            transaction: None,
            state: State::default(),
            settings: Settled::default(),
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
        });
        number
    }

    /// From which state on, and up to which, a table had that number.
    pub fn span(&self, table: usize, number: usize) -> Option<(usize, usize)> {
        let changes = &self.changes[table];
        let Fate::Visible(from) = self.writes.get(number)?.fate else {
            return None;
        };
        let at = changes.partition_point(|(state, _)| *state < from);
        let (_, found) = changes.get(at)?;
        let until = changes
            .get(at + 1)
            .map_or(usize::MAX, |(state, _)| state - 1);
        (*found == number).then_some((from, until))
    }

    /// The state at that time.
    pub fn state_at(&self, time: Micros) -> usize {
        self.began.partition_point(|began| *began <= time) - 1
    }

    fn next_state(&mut self) {
        self.state += 1;
        self.began.push(self.now);
    }

    /// Somebody writes `o` past Larder.
    pub fn write_outside(&mut self) {
        self.next_state();
        self.changes[OUTSIDE].push((self.state, self.writes.len()));
        let fate = Fate::Visible(self.state);
        self.writes.push(Write {
            tables: vec![OUTSIDE],
            fate,
        });
    }

    /// One small step of a backend; `false`: it has nothing to do.
    pub fn step(&mut self, b: usize, rng: &mut Rng) -> bool {
        let backend = &mut self.backends[b];
        if backend.dead {
            return false;
        }
        if backend.state.copying.is_some() {
            return self.hear(b, rng);
        }
        match backend.tasks.pop_front() {
            Some(Task::Commit(then, false)) => {
                self.make_visible(b);
                self.backends[b].tasks.push_front(Task::Commit(then, true));
            }
            Some(Task::Commit(then, true)) => backend.out.extend(then),
            Some(Task::Simple(sql, last)) => self.simple(b, sql, last, rng),
            Some(Task::Execute(name, limit)) => self.execute(b, name, limit, rng),
            None => return self.hear(b, rng),
        }
        true
    }

    /// The backend learns that its client is gone, unless it is committing.
    pub fn end(&mut self, b: usize) -> bool {
        if matches!(self.backends[b].tasks.front(), Some(Task::Commit(..))) {
            return false;
        }
        self.abort(b);
        self.backends[b].dead = true;
        true
    }

    fn hear(&mut self, b: usize, rng: &mut Rng) -> bool {
        let backend = &mut self.backends[b];
        let Frame::Whole { tag, body } = frame::peek(&backend.inbox) else {
            return false;
        };
        let body = body.to_vec();
        backend.inbox.drain(..frame::HEAD + body.len());
        if let Some(last) = backend.state.copying {
            self.copy(b, tag, last, rng);
            return true;
        }
        if backend.state.skipping && tag != b'S' {
            return true;
        }
        match tag {
            b'Q' => {
                backend.statements.remove("");
                backend.portals.remove("");
                let text = String::from_utf8(wire::query(&body).unwrap().to_vec()).unwrap();
                let parts: Vec<&str> = match text.starts_with("SELECT pg_catalog") {
                    true => vec![&text],
                    false => text.split(';').map(str::trim).collect(),
                };
                let last = parts.len() - 1;
                let task = |(n, sql): (usize, &&str)| Task::Simple((*sql).to_owned(), n == last);
                backend.tasks.extend(parts.iter().enumerate().map(task));
            }
            b'S' => {
                backend.state.skipping = false;
                let status = backend.status();
                if backend.state.block {
                    backend.out.extend(ready(status));
                } else if std::mem::take(&mut backend.cancelled) {
                    self.fail(b, "57014", true);
                } else {
                    backend.tasks.push_front(Task::Commit(ready(b'I'), false));
                }
            }
            b'X' => return self.end(b),
            b'H' | b'd' | b'c' | b'f' => {}
            _ => {
                if let Err(code) = self.extended(b, tag, &body, rng) {
                    self.fail(b, code, false);
                }
            }
        }
        true
    }

    fn copy(&mut self, b: usize, tag: u8, last: bool, rng: &mut Rng) {
        let simple = self.backends[b].tasks.front().is_some() || last;
        match tag {
            b'c' => {
                self.backends[b].state.copying = None;
                let number = self.write(b, &[0]);
                self.ran(
                    b,
                    Ran::Done(format!("COPY {number}")),
                    simple.then_some(last),
                    rng,
                );
            }
            b'f' => {
                self.backends[b].state.copying = None;
                self.ran(b, Ran::Failed("57014"), simple.then_some(last), rng);
            }
            _ => {}
        }
    }

    fn simple(&mut self, b: usize, sql: String, last: bool, rng: &mut Rng) {
        let backend = &mut self.backends[b];
        if sql.starts_with("SELECT pg_catalog") {
            let bytea = if backend.settings.now.escape {
                "escape"
            } else {
                "hex"
            };
            let isolation =
                ["read committed", "repeatable read"][usize::from(backend.settings.now.repeatable)];
            let answer = own_row_of(backend.user, b as i32 + 1, bytea, isolation);
            backend.out.extend(answer);
            return;
        }
        let ran = match self.allowed(b, &sql) {
            Err(code) => Ran::Failed(code),
            Ok(()) => match self.look(b, &sql) {
                Some(seen) => {
                    let shown = self.shown(b, &seen);
                    let out = &mut self.backends[b].out;
                    out.extend(description(false));
                    for _ in 0..rows(&sql) {
                        out.extend(row(&shown));
                    }
                    Ran::Done(format!("SELECT {}", rows(&sql)))
                }
                None => self.run(b, &sql, true),
            },
        };
        if matches!(ran, Ran::Waits) {
            self.backends[b].tasks.push_front(Task::Simple(sql, last));
        } else {
            self.ran(b, ran, Some(last), rng);
        }
    }

    /// What a statement has come to is told. `simple`: of a simple Query, and whether it is its last.
    fn ran(&mut self, b: usize, ran: Ran, simple: Option<bool>, rng: &mut Rng) {
        let backend = &mut self.backends[b];
        let status = backend.status();
        match (ran, simple) {
            (Ran::Done(tag), Some(true)) if !backend.state.block => {
                let told = [complete(&tag), ready(b'I')].concat();
                backend.tasks.push_front(Task::Commit(told, false));
            }
            (Ran::Done(tag), Some(true)) => {
                backend.out.extend([complete(&tag), ready(status)].concat());
            }
            (Ran::Done(tag), _) => backend.out.extend(complete(&tag)),
            (Ran::Commits(tag), last) => {
                let ready = if last == Some(true) {
                    ready(b'I')
                } else {
                    Vec::new()
                };
                backend.state.block = false;
                backend
                    .tasks
                    .push_front(Task::Commit([complete(&tag), ready].concat(), false));
                if rng.one_in(3) {
                    self.step(b, rng); // visible at once
                }
            }
            (Ran::Failed(code), simple) => self.fail(b, code, simple.is_some()),
            (Ran::Copies, simple) => {
                backend.state.copying = Some(simple.unwrap_or_default());
                backend.out.extend(message(b'G', &[&[0, 0, 0]]));
            }
            (Ran::Waits, _) => unreachable!(),
        }
    }

    /// Everything of its client is thrown out of a backend, or only the names that it has prepared.
    pub fn reset(&mut self, b: usize, all: bool) {
        let backend = &mut self.backends[b];
        assert!(
            backend.transaction.is_none() && !backend.state.block,
            "it is in a transaction"
        );
        backend.statements.clear();
        if all {
            backend.settings = Settled::default();
        }
    }

    fn fail(&mut self, b: usize, code: &str, simple: bool) {
        let backend = &mut self.backends[b];
        backend.tasks.clear();
        backend.out.extend(error(code));
        (backend.state.failed, backend.state.skipping) = (backend.state.block, !simple);
        if !backend.state.block {
            self.abort(b);
        }
        let backend = &mut self.backends[b];
        if simple {
            let status = backend.status();
            backend.out.extend(ready(status));
        }
    }
}

impl Backend {
    fn status(&self) -> u8 {
        match (self.state.block, self.state.failed) {
            (true, true) => b'E',
            (true, false) => b'T',
            _ => b'I',
        }
    }
}
