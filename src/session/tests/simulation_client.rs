//! A client of the simulation: it says something at random, and follows what it is told.

use std::collections::{BTreeMap, VecDeque};

use super::simulation::Rng;
use super::simulation_oracle::{Since, Transaction, check};
use super::simulation_server::{Server, Settled, columns};
use super::world::{bind, close, describe, execute, flush, message, parse, query, sync};
use crate::cache::Micros;
use crate::wire::frame::{self, Frame};

const READS: [&str; 8] = [
    "SELECT v FROM t",
    "SELECT v FROM u",
    "SELECT v FROM a",
    "SELECT v FROM b",
    "SELECT v FROM g",
    "SELECT v FROM o",
    "SELECT a.v, b.v FROM a, b",
    "SELECT t.v, u.v FROM t, u",
];
const WRITES: [&str; 4] = [
    "UPDATE t SET v = 5",
    "UPDATE u SET v = 5",
    "UPDATE a SET v = 5",
    "UPDATE b SET v = 5",
];
/// What writes more than its text says.
const CODE: [&str; 2] = ["UPDATE g SET v = 5", "SELECT on_write()"];
const SETS: [&str; 5] = [
    "SET bytea_output = 'escape'",
    "SET bytea_output = 'hex'",
    "SET default_transaction_isolation = 'repeatable read'",
    "SET default_transaction_isolation = 'read committed'",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
];
const OTHERS: [&str; 6] = [
    "EXECUTE c", // a COMMIT
    "SELECT 1/0",
    "SELECT on_write()",
    "UPDATE g SET v = 5",
    "CREATE TRIGGER x AFTER UPDATE ON t EXECUTE FUNCTION on_write()",
    "DROP TRIGGER x ON t",
];
/// Simple queries of several statements.
const BATCHES: [&str; 8] = [
    "COMMIT; SELECT 1/0",
    "BEGIN; UPDATE t SET v = 5; COMMIT; SELECT 1/0",
    "UPDATE a SET v = 5; UPDATE b SET v = 5",
    "BEGIN; UPDATE a SET v = 5; UPDATE b SET v = 5; COMMIT",
    "UPDATE t SET v = 5; SELECT v FROM t",
    "COMMIT; UPDATE u SET v = 5",
    "UPDATE b SET v = 5; SELECT 1/0",
    "ROLLBACK; UPDATE a SET v = 5",
];

/// How often the clients of a run do what, in 200.
pub struct Habits {
    writes: usize,
    sets: usize,
    definitions: usize,
    /// Batches and COPY, in 40.
    batches: usize,
    /// How many segments are asked for ahead of their answers.
    ahead: usize,
    /// So rarely something breaks.
    pub peace: usize,
    /// How many of four clients Larder lets in itself.
    pub guests: usize,
    /// There is little memory.
    pub small: bool,
    /// Nobody waits for an equal read.
    pub alone: bool,
    /// Most read the same.
    pub herd: bool,
    /// Locks tell what a transaction wrote.
    pub told: bool,
}

impl Habits {
    pub fn new(rng: &mut Rng) -> Habits {
        Habits {
            writes: [4, 15, 40][rng.below(3)],
            sets: [0, 2, 12][rng.below(3)],
            definitions: [0, 2, 6][rng.below(3)],
            batches: [1, 2, 5][rng.below(3)],
            ahead: [1, 1, 2, 4][rng.below(4)],
            peace: [20, 100, 1000][rng.below(3)],
            guests: [0, 2, 4][rng.below(3)],
            small: rng.one_in(4),
            alone: rng.one_in(4),
            herd: rng.one_in(2),
            told: !rng.one_in(4),
        }
    }
}

/// What a client has asked, up to a ReadyForQuery.
#[derive(Default)]
struct Asked {
    /// The statements, with the state and the time when each was sent.
    statements: Vec<(String, usize, Micros)>,
    /// Which of them are to be described, and whether the one that is answered now was.
    described: Vec<bool>,
    description: bool,
    /// The portal of each, and whether it goes on with it.
    portals: Vec<(String, bool)>,
    /// The first row of the statement that is answered now.
    first: Option<String>,
    /// A statement's description comes: it is none of a portal's.
    of_statement: bool,
    done: usize,
    failed: bool,
}

/// One client. What it says goes to `said`.
#[derive(Default)]
pub struct Client {
    pub said: Vec<u8>,
    asked: VecDeque<Asked>,
    /// An extended segment whose Sync is not sent yet.
    open: Option<Asked>,
    /// A statement is bound in it, to that portal, and not executed.
    bound: Option<String>,
    /// Portals that may have rows left, with what they run.
    left: Vec<(String, String)>,
    /// What each has first shown.
    shown: BTreeMap<String, String>,
    /// Its place among the clients: the same name stands for something else with each.
    place: usize,
    opened: usize,
    /// COPY data is asked for, or will be.
    copies: bool,
    prepared: Vec<usize>,
    names: usize,
    status: u8,
    settings: Settled,
    transaction: Transaction,
    /// The state of its last answer, or an earlier one.
    seen: usize,
    unread: Vec<u8>,
}

impl Client {
    /// A client that waits for its login.
    pub fn new(place: usize) -> Client {
        Client {
            status: b'L',
            place,
            ..Client::default()
        }
    }

    /// It is logged in.
    pub fn welcome(&mut self) {
        self.status = b'I';
        self.said.extend([parse("c", "COMMIT"), sync()].concat());
        self.asked.push_back(Asked::default());
    }

    /// Whether everything it has asked for is answered.
    pub fn is_quiet(&self) -> bool {
        self.status == b'I' && self.asked.is_empty() && self.open.is_none() && self.said.is_empty()
    }

    /// Brings it to rest: nothing new, what is open is ended.
    pub fn come_to_rest(&mut self, server: &Server) {
        if self.copies {
            self.end_copy(true);
        } else if self.open.is_some() {
            self.end_segment();
        } else if self.asked.is_empty() && !matches!(self.status, b'I' | b'L') {
            self.ask("ROLLBACK", server);
        }
    }

    /// A simple Query.
    pub fn ask(&mut self, sql: &str, server: &Server) {
        let statements = sql
            .split(';')
            .map(|sql| (sql.trim().to_owned(), server.state, server.now))
            .collect();
        self.asked.push_back(Asked {
            statements,
            ..Asked::default()
        });
        self.said.extend(query(sql));
    }

    /// Says something, if it likes to.
    pub fn act(&mut self, server: &Server, habits: &Habits, rng: &mut Rng) {
        if self.copies {
            if rng.one_in(3) {
                let fails = rng.one_in(6);
                self.end_copy(!fails);
            }
            return;
        }
        if self.status == b'L' || self.asked.len() > rng.below(habits.ahead) {
            return;
        }
        if self.open.is_some() {
            return self.go_on(server, habits, rng);
        }
        match rng.below(40) {
            n if n + habits.batches >= 40 => {
                self.ask("COPY t FROM STDIN", server);
                self.copies = true;
                if rng.one_in(3) {
                    self.end_copy(true); // sent ahead
                }
            }
            n if n + 2 * habits.batches >= 40 => {
                self.ask(BATCHES[rng.below(BATCHES.len())], server)
            }
            n if n % 2 == 0 => {
                let sql = self.statement(habits, rng);
                self.ask(sql, server);
            }
            _ => {
                self.open = Some(Asked::default());
                self.go_on(server, habits, rng);
            }
        }
    }

    fn statement(&self, habits: &Habits, rng: &mut Rng) -> &'static str {
        if matches!(self.status, b'T' | b'E') && rng.one_in(4) {
            return if rng.one_in(4) { "ROLLBACK" } else { "COMMIT" };
        }
        if self.status == b'T' && rng.one_in(4) {
            return CODE[rng.below(CODE.len())];
        }
        match rng.below(200) {
            0..=9 => "BEGIN",
            10..=12 => "COMMIT",
            n if n < 13 + habits.writes => WRITES[rng.below(WRITES.len())],
            n if n < 13 + habits.writes + habits.sets => SETS[rng.below(SETS.len())],
            n if n >= 200 - habits.definitions => OTHERS[rng.below(OTHERS.len())],
            _ if habits.herd && !rng.one_in(4) => READS[0],
            _ => READS[rng.below(READS.len())],
        }
    }

    /// Goes on with an extended segment.
    fn go_on(&mut self, server: &Server, habits: &Habits, rng: &mut Rng) {
        if let Some(portal) = self.bound.take() {
            let limit = if rng.one_in(4) {
                1 + rng.below(3) as i32
            } else {
                0
            };
            self.said.extend(execute(&portal, limit));
        } else if !self.left.is_empty() && rng.one_in(3) {
            self.more(server, rng);
        } else if rng.one_in(3)
            && self
                .open
                .as_ref()
                .is_some_and(|open| !open.statements.is_empty())
        {
            return self.end_segment();
        } else {
            self.unit(server, habits, rng);
        }
        match rng.below(4) {
            0 => self.said.extend(flush()),
            1..=2 if self.bound.is_some() => self.said.extend(flush()),
            1 if self.bound.is_none() => self.end_segment(),
            _ => {}
        }
    }

    fn unit(&mut self, server: &Server, habits: &Habits, rng: &mut Rng) {
        let sql = self.statement(habits, rng);
        let named = READS
            .iter()
            .position(|read| *read == sql)
            .filter(|_| rng.one_in(2));
        let slot = |n: usize| (n + self.place) % READS.len();
        let name = named.map_or(String::new(), |n| format!("s{}x{}", slot(n), self.names));
        let portal = match rng.one_in(4) {
            true => {
                self.opened += 1;
                format!("p{}", self.opened)
            }
            false => String::new(),
        };
        let of_statement = if rng.one_in(6) { 1 + rng.below(2) } else { 0 };
        match named {
            Some(n) if self.prepared.contains(&n) => {}
            _ => self.said.extend(parse(&name, sql)),
        }
        self.prepared.extend(named);
        if of_statement == 1 {
            self.said.extend(describe(b'S', &name));
        }
        self.said.extend(bind(&portal, &name, false));
        if of_statement == 2 {
            self.said.extend(describe(b'S', &name));
        }
        let described = rng.one_in(2);
        if described {
            self.said.extend(describe(b'P', &portal));
        }
        if portal.is_empty() {
            self.left.retain(|(left, _)| !left.is_empty());
        }
        if columns(sql).is_some() {
            self.left.push((portal.clone(), sql.to_owned()));
        }
        self.asks(sql, &portal, false, described, server);
        if rng.one_in(5) {
            self.bound = Some(portal);
        } else {
            let limit = if rng.one_in(8) {
                1 + rng.below(3) as i32
            } else {
                0
            };
            self.said.extend(execute(&portal, limit));
        }
    }

    fn asks(&mut self, sql: &str, portal: &str, again: bool, described: bool, server: &Server) {
        if let Some(open) = &mut self.open {
            open.described.push(described);
            open.portals.push((portal.to_owned(), again));
            open.statements
                .push((sql.to_owned(), server.state, server.now));
        }
    }

    /// Goes on with a portal, or closes it.
    fn more(&mut self, server: &Server, rng: &mut Rng) {
        let at = rng.below(self.left.len());
        let (portal, sql) = self.left[at].clone();
        if rng.one_in(6) {
            self.left.remove(at);
            return self.said.extend(close(b'P', &portal));
        }
        let described = rng.one_in(4);
        if described {
            self.said.extend(describe(b'P', &portal));
        }
        self.asks(&sql, &portal, true, described, server);
        self.said.extend(execute(&portal, rng.below(3) as i32));
    }

    fn end_segment(&mut self) {
        if let Some(portal) = self.bound.take() {
            self.said.extend(execute(&portal, 0));
        }
        self.said.extend(sync());
        self.asked.extend(self.open.take());
    }

    fn end_copy(&mut self, good: bool) {
        self.copies = false;
        self.said.extend(message(b'd', &[b"1\n"]));
        self.said.extend(if good {
            message(b'c', &[])
        } else {
            message(b'f', &[b"no\0"])
        });
    }

    /// Reads what it is told, and checks every row.
    pub fn hear(&mut self, bytes: &[u8], user: &str, server: &Server) -> Result<(), String> {
        self.unread.extend_from_slice(bytes);
        loop {
            let Frame::Whole { tag, body } = frame::peek(&self.unread) else {
                return Ok(());
            };
            let body = body.to_vec();
            self.unread.drain(..frame::HEAD + body.len());
            self.one(tag, &body, user, server)?;
        }
    }

    fn one(&mut self, tag: u8, body: &[u8], user: &str, server: &Server) -> Result<(), String> {
        if self.status == b'L' {
            if tag == b'Z' {
                self.welcome();
            }
            return Ok(());
        }
        let Some(asked) = self.asked.front_mut().or(self.open.as_mut()) else {
            return Err(format!("{:?} answers nothing", char::from(tag)));
        };
        match tag {
            b'D' => return self.row(body, user, server),
            b'C' | b's' => {
                let Some((sql, since, _)) = asked.statements.get(asked.done) else {
                    return Err("a CommandComplete too many".into());
                };
                let (sql, since) = (sql.clone(), *since);
                asked.done += 1;
                asked.description = false;
                asked.first = None;
                self.completed(&sql, since, body, server);
            }
            b't' => asked.of_statement = true,
            b'T' | b'n' if std::mem::take(&mut asked.of_statement) => {}
            b'T' => asked.description = true,
            b'E' => {
                if body.windows(7).any(|code| code == b"C42P05\0") {
                    return Err("somebody else has prepared its name".into());
                }
                asked.failed = true;
                self.names += 1; // which of them are there is not known
                self.prepared.clear();
            }
            b'Z' => {
                let Some(asked) = self.asked.pop_front() else {
                    return Err("a ReadyForQuery too many".into());
                };
                if !asked.failed && asked.done != asked.statements.len() {
                    return Err(format!(
                        "{} of {} answers",
                        asked.done,
                        asked.statements.len()
                    ));
                }
                self.copies &= !self.asked.is_empty();
                self.status = body[0];
                if self.status == b'I' {
                    self.left.clear();
                    let good = !asked.failed;
                    self.ended(good);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A row of the first statement that is not done.
    fn row(&mut self, body: &[u8], user: &str, server: &Server) -> Result<(), String> {
        let asked = self.asked.front_mut().or(self.open.as_mut());
        let asked = asked.ok_or("a row answers nothing")?;
        let (sql, state, time) = asked.statements.get(asked.done).ok_or("a row too many")?;
        if sql == "SELECT on_write()" {
            return Ok(());
        }
        let described = asked.described.get(asked.done).is_none_or(|asked| *asked);
        if asked.description != described {
            return Err("a description too many, or missing".into());
        }
        let row = std::str::from_utf8(&body[6..]).unwrap();
        let same = |first: &str| match first == row {
            true => Ok(()),
            false => Err(format!("{row:?} behind {first:?}")),
        };
        if let Some(first) = asked.first.replace(row.to_owned()) {
            return same(&first);
        }
        let portal = asked.portals.get(asked.done);
        if let Some((portal, true)) = portal
            && let Some(first) = self.shown.get(portal)
        {
            return same(first);
        }
        if let Some((portal, _)) = portal {
            self.shown.insert(portal.clone(), row.to_owned());
        }
        self.transaction.begin(self.settings.now.repeatable, *state);
        let head = format!("{user} {} ", self.settings.now.escape);
        let numbers = row
            .strip_prefix(&head)
            .ok_or_else(|| format!("{row:?} instead of {head:?}"))?;
        let numbers: Vec<usize> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
        let since = Since {
            state: *state,
            time: *time,
            seen: self.seen,
        };
        self.seen = check(server, &mut self.transaction, sql, &numbers, since)
            .map_err(|error| format!("{sql} has shown {row:?}: {error}"))?;
        Ok(())
    }

    fn completed(&mut self, sql: &str, since: usize, body: &[u8], server: &Server) {
        let tag = std::str::from_utf8(&body[..body.len().saturating_sub(1)]).unwrap();
        let mut words = tag.split(' ');
        match words.next().unwrap_or_default() {
            "COMMIT" => return self.ended(true),
            "ROLLBACK" => return self.ended(false),
            _ => {}
        }
        self.transaction.begin(self.settings.now.repeatable, since);
        match words.next().and_then(|number| number.parse::<usize>().ok()) {
            _ if sql.starts_with("SELECT") && !sql.ends_with("()") => {}
            Some(number) => self
                .transaction
                .wrote(&server.writes[number].tables, number),
            None if sql.starts_with("SET") => self.settings.now.set(sql),
            None if sql.ends_with("REPEATABLE READ") => self.transaction.repeatable(since),
            None => {}
        }
    }

    fn ended(&mut self, good: bool) {
        self.transaction = Transaction::default();
        if good {
            self.settings.commit();
        } else {
            self.settings.roll_back();
        }
    }
}
