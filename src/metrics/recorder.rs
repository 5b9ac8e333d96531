//! What one thread counts, per query.
//!
//! * A thread writes its own cells only, and only one [`Recorder`] of a thread lives, which cannot be shared between
//!   threads. So a count is a load, an add and a store without a lock prefix, and none is lost.
//! * Cells of different threads never share a cache line.

use super::labels;
use super::shapes::Book;
use crate::why::Why;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::time::Duration;

labels! {
    /// What became of a statement.
    Outcome {
        /// Answered from memory.
        Hit = "hit",
        /// Could have been, was not there.
        Miss = "miss",
        /// May not be answered from memory.
        Bypass = "bypass",
        /// Writes.
        Write = "write",
        /// Neither reads nor writes a table: BEGIN, SET, and what Larder does not look into.
        Other = "other",
    }
}

labels! {
    /// What became of a statement that has waited for an equal one.
    Coalesced {
        /// Answered from memory.
        Shared = "shared",
        /// Went upstream after all.
        Freed = "freed",
    }
}

const OUTCOMES: usize = Outcome::ALL.len();
const REASONS: usize = Why::ALL.len();

/// Upper bounds in nanoseconds: 25 µs to 10 s, since a hit takes tens of microseconds.
pub(super) const DURATIONS: [u64; 18] = [
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Upper bounds in nanoseconds: 1 ms to 1 h, the longest time that is not asked for.
pub(super) const AGES: [u64; 14] = [
    1_000_000,
    10_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
    30_000_000_000,
    60_000_000_000,
    300_000_000_000,
    900_000_000_000,
    3_600_000_000_000,
];

/// Classes of SQLSTATE (manual, appendix A) as far as they are told apart; the last stands for the rest.
pub(super) const ERRORS: [&str; 17] = [
    "08", "0A", "21", "22", "23", "25", "26", "28", "40", "42", "53", "54", "55", "57", "58", "P0",
    "other",
];

/// Counts per bucket, not cumulated, and their sum in nanoseconds. The last bucket has no bound.
pub(super) struct Buckets<const N: usize> {
    pub(super) counts: [AtomicU64; N],
    pub(super) beyond: AtomicU64,
    pub(super) sum: AtomicU64,
}

impl<const N: usize> Default for Buckets<N> {
    fn default() -> Buckets<N> {
        Buckets {
            counts: [const { AtomicU64::new(0) }; N],
            beyond: AtomicU64::new(0),
            sum: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Buckets<N> {
    fn record(&self, bounds: &[u64; N], took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // A walk: a hit's bucket is one of the first.
        let bucket = bounds.iter().position(|bound| nanos <= *bound);
        add(
            bucket
                .and_then(|i| self.counts.get(i))
                .unwrap_or(&self.beyond),
            1,
        );
        add(&self.sum, nanos);
    }
}

/// One thread's counts. Two lines of alignment: processors fetch lines in pairs.
#[repr(align(128))]
pub(super) struct Cells {
    pub(super) outcomes: [AtomicU64; OUTCOMES],
    pub(super) reasons: [AtomicU64; REASONS],
    pub(super) durations: [Buckets<18>; OUTCOMES],
    pub(super) age: Buckets<14>,
    pub(super) upstream_queries: AtomicU64,
    pub(super) saved: AtomicU64,
    pub(super) coalesced: [AtomicU64; 2],
    /// Answers not kept, and kept.
    pub(super) fills: [AtomicU64; 2],
    pub(super) errors: [AtomicU64; ERRORS.len()],
    taken: AtomicBool,
}

impl Default for Cells {
    fn default() -> Cells {
        Cells {
            outcomes: [const { AtomicU64::new(0) }; OUTCOMES],
            reasons: [const { AtomicU64::new(0) }; REASONS],
            durations: Default::default(),
            age: Buckets::default(),
            upstream_queries: AtomicU64::new(0),
            saved: AtomicU64::new(0),
            coalesced: Default::default(),
            fills: Default::default(),
            errors: [const { AtomicU64::new(0) }; ERRORS.len()],
            taken: AtomicBool::new(false),
        }
    }
}

/// A thread's own writer.
pub struct Recorder {
    cells: Arc<Cells>,
    /// What each statement did.
    pub book: Book,
    /// Not `Sync`: see the file's first invariant.
    one_thread: PhantomData<Cell<()>>,
}

impl Recorder {
    pub(super) fn of(cells: &Arc<Cells>, book: Book) -> Option<Recorder> {
        let free = cells
            .taken
            .compare_exchange(false, true, Acquire, Relaxed)
            .is_ok();
        free.then(|| Recorder {
            cells: cells.clone(),
            book,
            one_thread: PhantomData,
        })
    }

    /// Counts a statement.
    pub fn outcome(&self, outcome: Outcome) {
        add(&self.cells.outcomes[outcome as usize], 1);
    }

    /// Records how long a statement took, from its last byte in to its answer's last byte out.
    pub fn duration(&self, outcome: Outcome, took: Duration) {
        self.cells.durations[outcome as usize].record(&DURATIONS, took);
    }

    /// Counts why a statement was not answered from memory.
    pub fn bypass(&self, why: Why) {
        add(&self.cells.reasons[why as usize], 1);
    }

    /// Counts a statement that the upstream ran.
    pub fn upstream_query(&self) {
        add(&self.cells.upstream_queries, 1);
    }

    /// Counts a statement that has waited for an equal one.
    pub fn coalesced(&self, coalesced: Coalesced) {
        add(&self.cells.coalesced[coalesced as usize], 1);
    }

    /// Counts an answer that was read to be kept.
    pub fn fill(&self, kept: bool) {
        add(&self.cells.fills[usize::from(kept)], 1);
    }

    /// Counts an error of the database's by its SQLSTATE.
    pub fn error(&self, sqlstate: &[u8]) {
        let class = |class: &&str| sqlstate.starts_with(class.as_bytes());
        let place = ERRORS.iter().position(class);
        add(&self.cells.errors[place.unwrap_or(ERRORS.len() - 1)], 1);
    }

    /// Records how old an answer was when it was served.
    pub fn entry_age(&self, age: Duration) {
        self.cells.age.record(&AGES, age);
    }

    /// Adds what a hit saved: the time the upstream took for the same answer, less the hit's own.
    pub fn time_saved(&self, saved: Duration) {
        add(
            &self.cells.saved,
            u64::try_from(saved.as_nanos()).unwrap_or(u64::MAX),
        );
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.cells.taken.store(false, Release);
    }
}

pub(super) fn add(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}
