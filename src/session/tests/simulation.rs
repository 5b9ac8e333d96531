//! A seeded simulation: many clients, one ledger and one store, a database whose commits become visible when they
//! like, a network that delivers in pieces and breaks, a clock that stands still until it is told.
//!
//! A run is a list of numbers, each one step: what is not possible then is no step. So steps can be left out of a list
//! that fails, and what is told in the end is the shortest that was found.
//!
//! `LARDER_SIM_SEEDS=17` runs one seed, `=0..5000` many; `LARDER_SIM_STEPS` makes each longer.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::simulation_client::{Client, Habits};
use super::simulation_server::{Server, TABLES};
use crate::cache::Micros;
use crate::cache::key::Contexts;
use crate::cache::rules::Rules;
use crate::cache::store::{Cause, Store};
use crate::cache::version::{Database, Ledger, Outcome};
use crate::metrics::Metrics;
use crate::session::{Doubt, Greeting, Io, Next, Phase, Session, Shared, Thread, Verify};
use crate::sql::catalog::{Locking, Rows};
use crate::sql::verdict::tests_support::cacheable;
use crate::sql::{Catalog, Oid};

mod simulation_checks;
mod simulation_pool;
mod simulation_run;

pub use simulation_run::Rng;
use simulation_run::{cut, shown};

/// The time to live of every answer.
pub const TTL: Micros = 60_000_000;

/// A client's connection, its session and its backend, with the bytes on the way.
struct Line {
    user: &'static str,
    client: Client,
    session: Option<Session>,
    /// Its backend, or the one it had before.
    backend: usize,
    /// Larder itself has let the client in, who was told this; its backends are of the pool.
    guest: Option<Arc<Greeting>>,
    /// What is sent where there is no backend.
    nowhere: Vec<u8>,
    unread: Vec<u8>,
    unheard: Vec<u8>,
    to_client: Vec<u8>,
    /// The client is gone, its session is not.
    leaving: bool,
    /// Its backend gets no time until then.
    stalled: usize,
}

/// A catalog on its way.
struct Load {
    version: u64,
    catalog: Option<Catalog>,
}

/// What has happened in a run.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    steps: usize,
    hits: usize,
    in_doubt: usize,
    loads: usize,
    states: usize,
    evicted: u64,
    /// Backends that went to another client.
    shared: usize,
    /// Reads that were answered by waiting for another's.
    coalesced: usize,
    /// … or have waited in vain.
    freed: usize,
    /// Hits that were looked at, and those called wrong.
    checked: [u64; 2],
    /// Questions what a transaction has locked.
    asked: usize,
}

struct Simulation {
    server: Server,
    thread: Rc<Thread>,
    database: Arc<Database>,
    /// Without and with the trigger that comes and goes.
    rows: [Rows; 2],
    tables: Vec<Oid>,
    lines: Vec<Line>,
    ghosts: Vec<usize>,
    pool: simulation_pool::Pool,
    doubts: Vec<(Doubt, usize)>,
    load: Option<Load>,
    habits: Habits,
    tally: Tally,
    trace: Option<Vec<String>>,
}

/// The catalog's rows, and the tables.
fn rows() -> ([Rows; 2], Vec<Oid>) {
    let mut rows = Rows::empty_database();
    let tables: Vec<Oid> = TABLES
        .iter()
        .map(|name| rows.table("public", name))
        .collect();
    let function = rows.function("public", "on_write", 0, b'v');
    rows.operator("pg_catalog", "/");
    let trigger = |relation| crate::sql::catalog::rows::Trigger { relation, function };
    rows.triggers.push(trigger(tables[4]));
    let mut with = rows.clone();
    with.triggers.push(trigger(tables[0]));
    ([rows, with], tables)
}

impl Line {
    fn is_linked(&self) -> bool {
        self.session.as_ref().is_none_or(Session::is_linked)
    }
}

/// Shares of the hits that are looked at.
const SAMPLES: [&str; 5] = ["0", "0", "0", "0.3", "1"];

impl Simulation {
    fn new(seed: u64) -> Simulation {
        let mut rng = Rng(seed);
        let habits = Habits::new(&mut rng);
        let live = crate::session::Live {
            rules: Rules::new(Duration::from_micros(TTL), []),
            coalesce_wait: if habits.alone { 0 } else { 1_500_000 },
            verify: Verify {
                // In some runs a part of the hits is looked at, as if nobody wrote past Larder.
                sample: SAMPLES[seed as usize % 5].parse().unwrap(),
                ..Verify::default()
            },
            ..crate::session::Live::default()
        };
        let shared = Arc::new(Shared {
            steering: crate::session::Steering::new(live),
            ledger: Ledger::default(),
            store: Store::new(if habits.small { 2500 } else { 1 << 20 }, 600, 1),
            contexts: Contexts::default(),
            pooler: crate::config::Pooler::None,
            metrics: Arc::new(Metrics::new(1).unwrap()),
            quarantine: Default::default(),
        });
        let recorder = shared.metrics.recorder(0).unwrap();
        let (rows, tables) = rows();
        let mut simulation = Simulation {
            server: Server::new(),
            database: shared.ledger.database("shop"),
            thread: Rc::new(Thread::new(shared, recorder)),
            rows,
            tables,
            lines: Vec::new(),
            ghosts: Vec::new(),
            pool: simulation_pool::Pool::default(),
            doubts: Vec::new(),
            load: None,
            habits,
            tally: Tally::default(),
            trace: None,
        };
        simulation.server.now = 1;
        simulation.server.oids = simulation.tables.clone();
        for n in 0..2 + rng.below(3) {
            let user = if n == 2 { "bob" } else { "ann" };
            let guest = simulation.habits.guests > rng.below(4);
            let line = simulation.connect(user, n, guest);
            simulation.lines.push(line);
        }
        simulation
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// One step.
    fn step(&mut self, number: u64) -> Result<(), String> {
        let mut rng = Rng(number);
        let n = rng.below(self.lines.len());
        self.tally.steps += 1;
        match rng.below(100) {
            0..=2 => {
                let more = rng.one_in(4);
                self.link(n, more)?;
            }
            3..=5 => self.part(n),
            first @ 0..=84 => {
                // What is not possible leaves its turn to the next: bytes move on.
                for kind in (0..5).map(|kind| (first + kind) % 5) {
                    if self.moves(n, kind, &mut rng)? {
                        break;
                    }
                }
            }
            85..=86 => {
                let units = [1, 1, 1000, 1000, 2_000_000, 30_000_000];
                self.server.now += units[rng.below(6)];
            }
            87..=89 if self.habits.herd => self.herd(&mut rng)?,
            87..=92 => self.load(),
            93 if rng.one_in(4) => self.server.write_outside(),
            93 if rng.one_in(8) => self.thread.store.sweep(self.server.now),
            94..=96 => self.ghosts(&mut rng),
            97 => self.settle(&mut rng)?,
            98 if rng.one_in(16) && self.lines[n].is_linked() => {
                let b = self.lines[n].backend;
                self.note(|| format!("backend {b} is cancelled"));
                self.server.backends[b].cancelled = true;
            }
            98 if rng.one_in(4) => {
                self.lines[n].stalled = self.tally.steps + rng.below(500);
            }
            99 if rng.below(self.habits.peace) < 10 => self.breaks(n, &mut rng)?,
            _ => {}
        }
        Ok(())
    }

    /// Bytes of a client's connection, or its backend, move on; `false`: this was not possible.
    fn moves(&mut self, n: usize, kind: usize, rng: &mut Rng) -> Result<bool, String> {
        let line = &self.lines[n];
        let b = line.backend;
        if matches!(kind, 2 | 3) && !line.is_linked() {
            return Ok(false);
        }
        let len = match kind {
            0 => return Ok(self.act(n, rng)),
            1 => line.client.said.len(),
            2 => {
                let mut steps = 0;
                let stalled = line.stalled > self.tally.steps;
                while !stalled && steps < 8 && self.server.step(b, rng) {
                    steps += 1;
                    if rng.one_in(4) {
                        break;
                    }
                }
                if steps > 0 {
                    self.note(|| format!("backend {b} goes {steps} steps"));
                }
                return Ok(steps > 0);
            }
            3 => self.server.backends[b].out.len(),
            _ => line.to_client.len(),
        };
        let count = cut(len, rng);
        match kind {
            1 => self.hear_client(n, count)?,
            3 => self.hear_upstream(n, count)?,
            _ => self.tell_client(n, count)?,
        }
        Ok(count > 0)
    }

    fn act(&mut self, n: usize, rng: &mut Rng) -> bool {
        let line = &mut self.lines[n];
        let before = line.client.said.len();
        if !line.leaving {
            line.client.act(&self.server, &self.habits, rng);
        }
        let said = &self.lines[n].client.said[before..];
        if self.trace.is_some() && !said.is_empty() {
            let said = shown(said);
            self.note(|| format!("client {n} says {said}"));
        }
        self.lines[n].client.said.len() > before
    }

    /// Bytes of the client reach the session.
    fn hear_client(&mut self, n: usize, count: usize) -> Result<(), String> {
        let line = &mut self.lines[n];
        line.unread.extend(line.client.said.drain(..count));
        self.feed(n, true)?;
        let line = &mut self.lines[n];
        let (rest, unread) = (line.client.said.len(), line.unread.len());
        if line.leaving && rest == 0 && line.session.as_mut().is_some_and(|s| s.may_leave(unread)) {
            self.leaves(n);
        }
        Ok(())
    }

    fn hear_upstream(&mut self, n: usize, count: usize) -> Result<(), String> {
        let line = &mut self.lines[n];
        if !line.is_linked() {
            return Ok(());
        }
        line.unheard
            .extend(self.server.backends[line.backend].out.drain(..count));
        if count > 0 {
            self.feed(n, false)?;
            self.feed(n, true)?;
        }
        Ok(())
    }

    fn feed(&mut self, n: usize, client: bool) -> Result<(), String> {
        let line = &mut self.lines[n];
        let Some(session) = &mut line.session else {
            return Ok(());
        };
        let linked = session.is_linked();
        let upstream = match linked {
            true => &mut self.server.backends[line.backend].inbox,
            false => &mut line.nowhere,
        };
        let before = (line.to_client.len(), upstream.len());
        let mut io = Io {
            client: &mut line.to_client,
            upstream,
            now: self.server.now,
        };
        let buffer = match client {
            true => &mut line.unread,
            false => &mut line.unheard,
        };
        let (used, next) = match client {
            true => session.client(buffer, &mut io),
            false => session.upstream(buffer, &mut io),
        };
        buffer.drain(..used);
        if !line.nowhere.is_empty() {
            return Err(format!("session {n} sends where nobody is"));
        }
        let followed = session.flow.phase != Phase::Lost && next == Next::Continue;
        if self.thread.has_hits() {
            self.tally.hits += 1;
            self.thread.end_turn(Duration::ZERO);
        }
        if self.trace.is_some() && used > 0 {
            let sent = match linked {
                true => shown(&self.server.backends[line.backend].inbox[before.1..]),
                false => String::new(),
            };
            let told = shown(&line.to_client[before.0..]);
            let side = if client { "client" } else { "upstream" };
            self.note(|| {
                format!(
                    "session {n} takes {used} bytes of its {side}; tells {told:?}, sends {sent:?}"
                )
            });
        }
        self.checks(n)?;
        followed
            .then_some(())
            .ok_or_else(|| format!("session {n} is not followed any more"))
    }

    fn tell_client(&mut self, n: usize, count: usize) -> Result<(), String> {
        let line = &mut self.lines[n];
        let bytes: Vec<u8> = line.to_client.drain(..count).collect();
        if count == 0 || line.leaving {
            return Ok(());
        }
        let heard = line.client.hear(&bytes, line.user, &self.server);
        self.note(|| format!("client {n} hears {}", shown(&bytes)));
        heard.map_err(|error| format!("client {n}: {error}"))
    }

    /// The catalog is loaded, in small steps.
    fn load(&mut self) {
        let current = self.database.load_version();
        match &mut self.load {
            None if self.database.catalog().is_none() => {
                self.load = current.map(|version| Load {
                    version,
                    catalog: None,
                });
            }
            None => {}
            Some(load) if current != Some(load.version) => self.load = None,
            Some(Load {
                version,
                catalog: catalog @ None,
            }) => {
                let rows = self.rows[usize::from(self.server.trigger)].clone();
                let locking = Locking {
                    open: self.habits.told,
                    ..Locking::default()
                };
                *catalog = Some(Catalog::build(*version, rows).with_locks(locking));
            }
            Some(Load { catalog, .. }) => match self.database.publish(catalog.take().unwrap()) {
                Ok(()) => {
                    self.tally.loads += 1;
                    self.load = None;
                    self.note(|| "a catalog is in force".into());
                }
                Err(back) => *catalog = Some(back),
            },
        }
    }

    /// A backend whose connection is lost goes on, or learns of it.
    fn ghosts(&mut self, rng: &mut Rng) {
        if self.ghosts.is_empty() {
            return;
        }
        let at = rng.below(self.ghosts.len());
        let b = self.ghosts[at];
        if !self.server.step(b, rng) && self.server.end(b) {
            self.ghosts.swap_remove(at);
            self.note(|| format!("backend {b} is gone"));
        } else {
            self.note(|| format!("backend {b} steps"));
        }
        self.server.backends[b].out.clear();
    }

    /// As `watch::control` does: what is in doubt closes once its backend is gone.
    fn settle(&mut self, rng: &mut Rng) -> Result<(), String> {
        if self.doubts.is_empty() {
            return Ok(());
        }
        let at = rng.below(self.doubts.len());
        let b = self.doubts[at].1;
        let pid = self.doubts[at].0.backend.as_ref().map(|(pid, _)| *pid);
        if pid != Some(b as i32 + 1) {
            return Err(format!("in doubt is {pid:?}, not backend {b}"));
        }
        if self.server.backends[b].dead || (rng.one_in(3) && self.server.end(b)) {
            for intent in self.doubts.swap_remove(at).0.intents {
                let _ = intent.close(Outcome::Visible);
            }
            self.note(|| format!("what was in doubt of backend {b} is settled"));
        }
        Ok(())
    }

    /// The upstream connection breaks, or the client goes.
    fn breaks(&mut self, n: usize, rng: &mut Rng) -> Result<(), String> {
        // Rather where a write is under way.
        let writes = |line: &mut Line| line.session.as_mut().is_some_and(|s| !s.may_leave(0));
        let n = match self.lines.iter_mut().position(writes) {
            Some(writer) if rng.one_in(2) => writer,
            _ => n,
        };
        let line = &mut self.lines[n];
        if line.leaving {
            self.leaves(n); // it took too long
            return Ok(());
        }
        if rng.one_in(3) {
            let kept = rng.below(line.client.said.len() + 1);
            line.client.said.truncate(kept);
            line.leaving = true;
            self.note(|| format!("client {n} is gone"));
            return Ok(());
        }
        if !line.is_linked() {
            return Ok(());
        }
        let inbox = &mut self.server.backends[line.backend].inbox;
        let kept = if rng.one_in(2) {
            inbox.len()
        } else {
            rng.below(inbox.len() + 1)
        };
        inbox.truncate(kept);
        if rng.one_in(2) {
            self.tell_client(n, self.lines[n].to_client.len())?;
        }
        self.note(|| format!("the upstream connection of client {n} breaks"));
        self.leaves(n);
        Ok(())
    }

    /// A session ends, and its client comes back with a new one.
    fn leaves(&mut self, n: usize) {
        let line = &self.lines[n];
        let next = self.connect(line.user, n, line.guest.is_some());
        let line = std::mem::replace(&mut self.lines[n], next);
        let b = line.backend;
        let linked = line.is_linked();
        let rests = linked && line.guest.is_some() && self.is_at_rest(&line);
        if rests && line.session.as_ref().is_some_and(Session::may_recycle) {
            self.server.reset(b, true);
            self.pool.give(line.user, b);
        } else if linked {
            self.ghosts.push(b);
        }
        if let Some(doubt) = line.session.and_then(|mut session| session.end()) {
            self.tally.in_doubt += 1;
            self.note(|| format!("a write of backend {b} is in doubt"));
            self.doubts.push((doubt, b));
        }
    }

    /// Nothing new is asked, and all that is under way comes to its end.
    fn rest(&mut self) -> Result<(), String> {
        let mut rng = Rng(1);
        for _ in 0..5000 {
            for n in 0..self.lines.len() {
                if self.lines[n].leaving {
                    self.leaves(n);
                }
                self.lines[n].client.come_to_rest(&self.server);
                self.hear_client(n, self.lines[n].client.said.len())?;
                self.link(n, true)?;
                if !self.lines[n].is_linked() {
                    self.tell_client(n, self.lines[n].to_client.len())?;
                    continue;
                }
                let b = self.lines[n].backend;
                self.server.backends[b].cancelled = false;
                self.server.step(b, &mut rng);
                self.hear_upstream(n, self.server.backends[b].out.len())?;
                self.tell_client(n, self.lines[n].to_client.len())?;
            }
            self.ghosts(&mut rng);
            self.settle(&mut rng)?;
            self.load();
            let quiet = self.lines.iter().all(|line| {
                let idle = line.session.as_ref().is_some_and(Session::is_idle);
                line.client.is_quiet() && line.to_client.is_empty() && idle
            });
            let loaded = self.database.catalog().is_some();
            if quiet && loaded && self.ghosts.is_empty() && self.doubts.is_empty() {
                if self.database.flights.count().1 > 0 {
                    return Err("somebody waits although nothing is under way".into());
                }
                return Ok(());
            }
        }
        Err("it does not come to rest".into())
    }

    /// At rest nothing is shut, and what is read again is a hit.
    fn finish(&mut self) -> Result<(), String> {
        self.rest()?;
        let version = self.database.load_version().ok_or("the catalog is shut")?;
        for (name, table) in TABLES.iter().zip(&self.tables) {
            let stamp = self.database.stamp(&cacheable(&[*table]), version);
            if stamp.is_none() {
                return Err(format!("{name} is shut although nothing is under way"));
            }
        }
        let before = self.tally.hits;
        for n in 0..self.lines.len() {
            for _ in 0..2 {
                self.lines[n].client.ask("SELECT v FROM t", &self.server);
                self.rest()?;
            }
            let looked_at = !self.thread.live().verify.sample.is_none();
            if self.tally.hits == before && !self.habits.small && !looked_at {
                return Err("what is read again is not a hit".into());
            }
        }
        self.tally.states = self.server.state;
        self.tally.shared = self.pool.shared;
        self.tally.coalesced = self.coalesced("shared");
        self.tally.freed = self.coalesced("freed");
        self.tally.checked = self.checked();
        self.tally.asked = self.server.asked;
        self.tally.evicted = self.thread.store.gone(Cause::Size);
        Ok(())
    }
}
