//! What the sessions of one thread share.

use std::cell::{Cell, Ref, RefCell};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;

use super::selfcheck::{SEED, next};
use super::steering::{Live, Steering};
use super::text::{NOT_ANALYSED, Text};
use crate::cache::Micros;
use crate::cache::comparison::Quarantine;
use crate::cache::key::Contexts;
use crate::cache::store::Store;
use crate::cache::version::Ledger;
use crate::cache::version::Raised;
use crate::config::Pooler;
use crate::metrics::{Coalesced, Metrics, Outcome, Record, Recorder, Scope, Source, number};
use crate::why::Why;
use crate::wire::message::sqlstate;

/// Analysed texts kept per thread.
const TEXTS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
/// Longer texts are analysed each time: few are, and they would fill the memory.
const LONGEST_KEPT: usize = 16 << 10;

/// Whether the cache is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Decide, fill, serve.
    On,
    /// Decide and count; serve nothing.
    Observe,
    /// Pass everything on.
    Off,
}

/// What all threads share.
pub struct Shared {
    /// What can change while it runs.
    pub steering: Steering,
    pub ledger: Ledger,
    pub store: Store,
    pub contexts: Contexts,
    pub pooler: Pooler,
    pub metrics: Arc<Metrics>,
    /// Statements that are not answered from memory any more.
    pub quarantine: Quarantine,
}

/// What has passed in one turn.
#[derive(Debug, Default)]
pub struct Passed {
    statements: Cell<u64>,
    transactions: Cell<u64>,
    busy: Cell<u64>,
}

impl Passed {
    /// Statements, transactions that have ended, and microseconds that statements took; from now on none.
    #[inline]
    pub fn take(&self) -> (u64, u64, u64) {
        (
            self.statements.take(),
            self.transactions.take(),
            self.busy.take(),
        )
    }
}

#[inline]
fn more(cell: &Cell<u64>, by: u64) {
    cell.set(cell.get().wrapping_add(by));
}

/// What the sessions of one thread share.
pub struct Thread {
    shared: Arc<Shared>,
    /// The state that this turn is decided under, and which it is.
    live: RefCell<Arc<Live>>,
    turn: Cell<u64>,
    /// Why nothing is served or kept under it.
    shut: Cell<Option<Why>>,
    recorder: Recorder,
    /// Hits of this turn, whose time is taken when their answers are sent.
    hits: Cell<u32>,
    /// What this turn has added to its client's traffic.
    passed: Passed,
    drawn: Cell<u64>,
    no_types: Rc<[u8]>,
    texts: RefCell<LruCache<Rc<[u8]>, Rc<Text>, foldhash::fast::RandomState>>,
}

impl Thread {
    /// A thread's share of the process.
    pub fn new(shared: Arc<Shared>, recorder: Recorder) -> Thread {
        let texts = RefCell::new(LruCache::with_hasher(
            TEXTS,
            foldhash::fast::RandomState::default(),
        ));
        // Older than the state: at worst it is taken once more.
        let turn = shared.steering.turn();
        let live = shared.steering.live();
        Thread {
            turn: Cell::new(turn),
            shut: Cell::new(live.shut()),
            live: RefCell::new(live),
            shared,
            recorder,
            hits: Cell::new(0),
            passed: Passed::default(),
            drawn: Cell::new(SEED),
            no_types: Rc::from([]),
            texts,
        }
    }

    /// Takes the state of this moment for the turn that begins.
    #[inline]
    pub(super) fn look(&self) {
        if !self.is_current() {
            self.take_over();
        }
    }

    #[cold]
    fn take_over(&self) {
        self.turn.set(self.shared.steering.turn());
        let live = self.shared.steering.live();
        self.shut.set(live.shut());
        *self.live.borrow_mut() = live;
    }

    /// Why nothing is served or kept in this turn.
    #[inline]
    pub(super) fn shut(&self) -> Option<Why> {
        self.shut.get()
    }

    /// Whether the state of this turn is still that of the process.
    #[inline]
    pub(super) fn is_current(&self) -> bool {
        self.turn.get() == self.shared.steering.turn()
    }

    /// The state of this turn.
    #[inline]
    pub(super) fn live(&self) -> Ref<'_, Live> {
        Ref::map(self.live.borrow(), |live| &**live)
    }

    /// Whether the cache is used.
    #[inline]
    pub(super) fn mode(&self) -> Mode {
        self.live.borrow().mode
    }

    /// Counts a statement.
    pub(super) fn count(&self, statement: &Record, outcome: Outcome, why: Option<Why>) {
        more(&self.passed.statements, 1);
        self.recorder.outcome(outcome);
        self.recorder.book.outcome(statement, outcome, why);
        if let Some(why) = why {
            self.recorder.bypass(why);
        }
    }

    /// What a text is counted in.
    #[inline]
    pub(super) fn record<'a>(&self, text: &'a Text) -> &'a Arc<Record> {
        text.record(&self.recorder.book)
    }

    /// What is counted that has no text.
    pub(super) fn textless(&self) -> Arc<Record> {
        self.recorder
            .book
            .record(number(NOT_ANALYSED), NOT_ANALYSED)
    }

    /// Counts a hit on an entry of that age and size, which spares the upstream so much.
    pub(super) fn hit(&self, text: &Text, age: Micros, spared: Micros, bytes: usize) {
        more(&self.passed.statements, 1);
        self.recorder.outcome(Outcome::Hit);
        self.recorder.book.hit(self.record(text), spared, bytes);
        self.recorder.entry_age(Duration::from_micros(age));
        self.recorder.time_saved(Duration::from_micros(spared));
        self.hits.set(self.hits.get() + 1);
    }

    /// Records what a statement took that went upstream.
    pub(super) fn took(&self, outcome: Outcome, took: Micros) {
        more(&self.passed.busy, took);
        self.recorder.duration(outcome, Duration::from_micros(took));
    }

    /// … which was the only one of its batch.
    pub(super) fn took_alone(&self, statement: &Record, took: Micros) {
        self.recorder.book.took(statement, took);
    }

    /// A hit would have saved that, had it been given.
    pub(super) fn would_save(&self, statement: &Record, saved: Micros) {
        self.recorder.book.would_save(statement, saved);
    }

    /// Counts a statement that goes upstream.
    pub(super) fn upstream_query(&self) {
        self.recorder.upstream_query();
    }

    /// Counts what a write has raised.
    pub(super) fn raised(&self, raised: Raised) {
        for _ in 0..raised.tables {
            self.shared.metrics.invalidated(Scope::Table, Source::Own);
        }
        for _ in 0..raised.databases {
            self.shared
                .metrics
                .invalidated(Scope::Database, Source::Own);
        }
        if raised.catalog {
            self.shared
                .metrics
                .invalidated(Scope::Database, Source::Catalog);
        }
    }

    /// A statement that has waited for an equal one was answered from memory.
    pub(super) fn shared(&self, waited: Micros) {
        self.coalesced(Coalesced::Shared);
        // Its time is not that of this turn.
        if let Some(hits) = self.hits.get().checked_sub(1) {
            self.hits.set(hits);
            self.took(Outcome::Hit, waited);
        }
    }

    /// Counts an answer that was read to be kept.
    pub(super) fn kept(&self, kept: bool) {
        self.recorder.fill(kept);
    }

    /// Counts an error of the database's.
    pub(super) fn error(&self, raw: &[u8]) {
        self.recorder.error(sqlstate(raw).unwrap_or_default());
    }

    /// Counts what became of a statement that has waited for an equal one.
    pub(super) fn coalesced(&self, coalesced: Coalesced) {
        self.recorder.coalesced(coalesced);
    }

    /// Whether hits were given in this turn.
    pub fn has_hits(&self) -> bool {
        self.hits.get() > 0
    }

    /// Records what the hits of this turn took.
    pub fn end_turn(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(0);
        more(&self.passed.busy, micros);
        for _ in 0..self.hits.take() {
            self.recorder.duration(Outcome::Hit, took);
        }
    }

    /// A client was told that it may go on.
    #[inline]
    pub(super) fn ready(&self, status: u8) {
        more(&self.passed.transactions, u64::from(status == b'I'));
    }

    /// What this turn has added to its client's traffic.
    #[inline]
    pub fn passed(&self) -> &Passed {
        &self.passed
    }

    /// A number drawn for the self-check.
    pub(super) fn draw(&self) -> u64 {
        self.drawn.set(next(self.drawn.get()));
        self.drawn.get()
    }

    /// Declared parameter types to keep; none are declared most of the time.
    pub(super) fn types(&self, types: &[u8]) -> Rc<[u8]> {
        if types.is_empty() {
            self.no_types.clone()
        } else {
            types.into()
        }
    }

    /// A text, analysed now or before.
    pub(super) fn text(&self, sql: &[u8]) -> Rc<Text> {
        if let Some(found) = self.texts.borrow_mut().get(sql) {
            return found.clone();
        }
        let text = Rc::new(Text::new(sql, self.mode() != Mode::Off));
        if sql.len() <= LONGEST_KEPT {
            self.texts.borrow_mut().put(text.sql.clone(), text.clone());
        }
        text
    }
}

impl std::ops::Deref for Thread {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}
