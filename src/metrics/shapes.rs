//! What each statement did: one record a shape, on each thread that has met it.
//!
//! * A thread writes its own records only, through the one [`Book`] that lives of a thread: a count is a load, an add and
//!   a store, as in `recorder`. The lock is for finding and listing records, never for counting.
//! * So many records and no more (hazard 77). When there are too many, the quarter of them with the fewest calls is summed
//!   up in one line, `(others)`. A text that is still in use may count on in its record until it is forgotten; the record is
//!   listed with the others meanwhile, so that no count is lost, and by itself again once it is called more than others.
//! * A shape has no constant in it (`sql::canonical`), so a line may be shown to whoever may see the statistics.
//!
//! Deliberately not here: what is in memory (`cache::store`), by whom it was asked for.

use super::recorder::{Outcome, add};
use crate::why::Why;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

const OUTCOMES: usize = Outcome::ALL.len();
const REASONS: usize = Why::ALL.len();

/// The number of what is not told apart, and of texts that are not read.
pub const OTHERS: u64 = 0;
/// What stands for them.
const OTHERS_TEXT: &str = "(others)";

/// The number of a shape: the same in every process and of every release, never [`OTHERS`].
pub fn number(shape: &str) -> u64 {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(shape.as_bytes());
    let (first, _) = digest.split_at(8);
    let number = first
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte));
    number.max(1)
}

/// What one thread counts of one shape.
#[derive(Debug)]
pub struct Record {
    id: u64,
    text: Box<str>,
    outcomes: [AtomicU64; OUTCOMES],
    reasons: [AtomicU64; REASONS],
    /// Microseconds that hits saved.
    saved: AtomicU64,
    /// Microseconds that the upstream took, and for how many.
    upstream: AtomicU64,
    timed: AtomicU64,
    /// Bytes of the answers that hits gave.
    bytes: AtomicU64,
    invalidated: Mutex<Option<Invalidation>>,
}

/// When an answer in memory was last found to be untrue, and what has made it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// When that was found.
    pub at: SystemTime,
    /// A table with its schema, or `everything`, `catalog`.
    pub cause: Arc<str>,
}

impl Record {
    fn new(id: u64, text: &str) -> Record {
        Record {
            id,
            text: text.into(),
            outcomes: [const { AtomicU64::new(0) }; OUTCOMES],
            reasons: [const { AtomicU64::new(0) }; REASONS],
            saved: AtomicU64::new(0),
            upstream: AtomicU64::new(0),
            timed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            invalidated: Mutex::new(None),
        }
    }

    /// The shape's number.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    fn calls(&self) -> u64 {
        self.outcomes.iter().map(|cell| cell.load(Relaxed)).sum()
    }

    /// Notes why an answer does not hold any more.
    #[cold]
    pub fn invalidated(&self, cause: Arc<str>) {
        let at = SystemTime::now();
        *self
            .invalidated
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Invalidation { at, cause });
    }
}

/// What all threads know of one shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The shape's number; [`OTHERS`]: what is not told apart.
    pub id: u64,
    /// The shape.
    pub text: Box<str>,
    /// How often it was asked for.
    pub calls: u64,
    /// … and answered from memory; in mode observe: could have been.
    pub hits: u64,
    pub misses: u64,
    pub bypasses: u64,
    pub writes: u64,
    pub others: u64,
    /// Why it was passed on, the most frequent reason first.
    pub reasons: Vec<(Why, u64)>,
    pub costs: Costs,
    pub invalidated: Option<Invalidation>,
}

/// What a statement's calls took, and what they were spared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Time that hits saved; in mode observe: would have saved.
    pub saved: Duration,
    /// Time that the upstream took …
    pub upstream: Duration,
    /// … for so many of the calls.
    pub timed: u64,
    /// Bytes of the answers that hits gave.
    pub bytes: u64,
}

impl Costs {
    fn add(&mut self, more: &Costs) {
        self.saved += more.saved;
        self.upstream += more.upstream;
        self.timed += more.timed;
        self.bytes += more.bytes;
    }
}

impl Line {
    /// Hits of what could be answered from memory.
    pub fn hit_ratio(&self) -> Option<f64> {
        let all = self.hits + self.misses;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }

    fn add(&mut self, record: &Record) {
        let of = |outcome: Outcome| record.outcomes[outcome as usize].load(Relaxed);
        self.calls += record.calls();
        self.hits += of(Outcome::Hit);
        self.misses += of(Outcome::Miss);
        self.bypasses += of(Outcome::Bypass);
        self.writes += of(Outcome::Write);
        self.others += of(Outcome::Other);
        for why in Why::ALL {
            let count = record.reasons[*why as usize].load(Relaxed);
            if count == 0 {
                continue;
            }
            match self.reasons.iter_mut().find(|(found, _)| found == why) {
                Some((_, sum)) => *sum += count,
                None => self.reasons.push((*why, count)),
            }
        }
        self.costs.add(&Costs {
            saved: Duration::from_micros(record.saved.load(Relaxed)),
            upstream: Duration::from_micros(record.upstream.load(Relaxed)),
            timed: record.timed.load(Relaxed),
            bytes: record.bytes.load(Relaxed),
        });
        let found = record.invalidated.lock();
        let found = found.unwrap_or_else(PoisonError::into_inner).clone();
        if found.as_ref().map(|f| f.at) > self.invalidated.as_ref().map(|f| f.at) {
            self.invalidated = found;
        }
    }
}

/// The records of one thread.
#[derive(Debug, Default)]
struct Shelf {
    records: HashMap<u64, Arc<Record>, foldhash::fast::RandomState>,
    /// What was given up.
    others: Line,
    /// … and is still written to.
    leaving: Vec<Arc<Record>>,
}

impl Shelf {
    /// Makes room: what was called least goes.
    fn prune(&mut self) {
        let all = self.records.values();
        let mut few: Vec<(u64, u64)> = all.map(|r| (r.calls(), r.id)).collect();
        let quarter = few.len() / 4;
        let bound = few.select_nth_unstable(quarter).1.0;
        few.truncate(quarter + 1);
        let room = few.len();
        let mut gone: Vec<_> = few
            .iter()
            .filter_map(|(_, id)| self.records.remove(id))
            .collect();
        // A text may have been young when its record went, and be called for days: then it is told apart again.
        let grown = |record: &Arc<Record>| record.calls() > bound;
        let mut returned = 0;
        for record in std::mem::take(&mut self.leaving) {
            let free = grown(&record) && !self.records.contains_key(&record.id);
            if free && 2 * returned < room {
                returned += 1;
                self.records.insert(record.id, record);
            } else {
                gone.push(record);
            }
        }
        self.leaving = gone;
        let others = &mut self.others;
        self.leaving.retain(|record| {
            let used = Arc::strong_count(record) > 1;
            if !used {
                others.add(record);
            }
            used
        });
    }
}

/// The records of a process.
#[derive(Debug)]
pub struct Statements {
    shelves: Box<[Arc<Mutex<Shelf>>]>,
    limit: usize,
}

impl Statements {
    /// Records of so many threads, at most so many shapes on each.
    pub fn new(threads: usize, limit: usize) -> Statements {
        Statements {
            shelves: (0..threads).map(|_| Arc::default()).collect(),
            limit: limit.max(4),
        }
    }

    /// A thread's own writer. One at a time, as with the thread's `Recorder`.
    pub fn book(&self, thread: usize) -> Option<Book> {
        Some(Book {
            shelf: self.shelves.get(thread)?.clone(),
            limit: self.limit,
            one_thread: PhantomData,
        })
    }

    /// So many that are called most; of as many calls, those that were `shown` before.
    pub fn topmost(&self, most: usize, shown: &HashSet<u64>) -> Vec<Line> {
        let mut calls: HashMap<u64, u64, foldhash::fast::RandomState> = HashMap::default();
        for shelf in &self.shelves {
            let shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            for record in shelf.records.values() {
                *calls.entry(record.id).or_default() += record.calls();
            }
        }
        let mut calls: Vec<_> = calls.into_iter().collect();
        let rank = |(id, calls): &(u64, u64)| (std::cmp::Reverse(*calls), !shown.contains(id), *id);
        if most < calls.len() {
            calls.select_nth_unstable_by_key(most, rank);
            calls.truncate(most);
        }
        calls.sort_unstable_by_key(rank);
        let line = |(id, _): (u64, u64)| {
            let mut line = Line {
                id,
                ..Line::default()
            };
            for shelf in &self.shelves {
                let shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(record) = shelf.records.get(&id) {
                    line.add(record);
                }
            }
            line
        };
        calls.into_iter().map(line).collect()
    }

    /// All that was counted, by shape, the most called first. What is not told apart is last, if there is any.
    pub fn lines(&self) -> Vec<Line> {
        let mut lines: HashMap<u64, Line> = HashMap::new();
        let mut others = Line::default();
        for shelf in &self.shelves {
            let shelf = shelf.lock().unwrap_or_else(PoisonError::into_inner);
            for record in shelf.records.values() {
                lines
                    .entry(record.id)
                    .or_insert_with(|| Line {
                        id: record.id,
                        text: record.text.clone(),
                        ..Line::default()
                    })
                    .add(record);
            }
            others.merge(&shelf.others);
            for record in &shelf.leaving {
                others.add(record);
            }
        }
        // What was only explained was not called.
        let called = lines.into_values().filter(|line| line.calls > 0);
        let mut lines: Vec<Line> = called.collect();
        lines.sort_by(|a, b| b.calls.cmp(&a.calls).then(a.id.cmp(&b.id)));
        if others.calls > 0 {
            others.text = OTHERS_TEXT.into();
            lines.push(others);
        }
        for line in &mut lines {
            line.reasons
                .sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        }
        lines
    }
}

impl Line {
    fn merge(&mut self, other: &Line) {
        self.calls += other.calls;
        self.hits += other.hits;
        self.misses += other.misses;
        self.bypasses += other.bypasses;
        self.writes += other.writes;
        self.others += other.others;
        for (why, count) in &other.reasons {
            match self.reasons.iter_mut().find(|(found, _)| found == why) {
                Some((_, sum)) => *sum += count,
                None => self.reasons.push((*why, *count)),
            }
        }
        self.costs.add(&other.costs);
    }
}

/// A thread's own writer.
#[derive(Debug)]
pub struct Book {
    shelf: Arc<Mutex<Shelf>>,
    limit: usize,
    /// Not `Sync`: see the file's first invariant.
    one_thread: PhantomData<Cell<()>>,
}

impl Book {
    /// The record of a shape. Once a text: it is kept with it.
    pub fn record(&self, id: u64, shape: &str) -> Arc<Record> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = shelf.records.get(&id) {
            return found.clone();
        }
        if shelf.records.len() >= self.limit {
            shelf.prune();
        }
        let record = Arc::new(Record::new(id, shape));
        shelf.records.insert(id, record.clone());
        record
    }

    /// Counts a call.
    #[inline]
    pub fn outcome(&self, record: &Record, outcome: Outcome, why: Option<Why>) {
        add(&record.outcomes[outcome as usize], 1);
        if let Some(why) = why {
            add(&record.reasons[why as usize], 1);
        }
    }

    /// Counts a hit, what it saved in microseconds, and its bytes.
    #[inline]
    pub fn hit(&self, record: &Record, saved: u64, bytes: usize) {
        add(&record.outcomes[Outcome::Hit as usize], 1);
        add(&record.saved, saved);
        add(&record.bytes, bytes as u64);
    }

    /// Adds what a hit would have saved that was not given.
    pub fn would_save(&self, record: &Record, saved: u64) {
        add(&record.saved, saved);
    }

    /// Adds what the upstream took, in microseconds.
    pub fn took(&self, record: &Record, took: u64) {
        add(&record.upstream, took);
        add(&record.timed, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_summed_up() {
        let statements = Statements::new(2, 100);
        let shape = "SELECT a FROM t WHERE b = ?";
        let id = number(shape);
        for thread in 0..2 {
            let book = statements.book(thread).unwrap();
            let record = book.record(id, shape);
            assert_eq!(record.id(), book.record(id, shape).id());
            book.hit(&record, 300, 40);
            book.outcome(&record, Outcome::Miss, None);
            book.took(&record, 500);
            book.outcome(&record, Outcome::Bypass, Some(Why::Dirty));
            record.invalidated("public.t".into());
        }
        let lines = statements.lines();
        let [line] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert_eq!((line.id, &*line.text), (id, shape));
        assert_eq!((line.calls, line.hits, line.misses), (6, 2, 2));
        assert_eq!(line.reasons, [(Why::Dirty, 2)]);
        let costs = Costs {
            saved: Duration::from_micros(600),
            upstream: Duration::from_millis(1),
            timed: 2,
            bytes: 80,
        };
        assert_eq!(line.costs, costs);
        assert_eq!(line.hit_ratio(), Some(0.5));
        assert_eq!(&*line.invalidated.as_ref().unwrap().cause, "public.t");
        assert!(statements.book(2).is_none());
    }

    /// Hazard 77: however many shapes there are, memory is bounded, and no count is lost.
    #[test]
    fn the_least_called_are_summed_up() {
        let statements = Statements::new(1, 100);
        let book = statements.book(0).unwrap();
        let held = book.record(number("held"), "held");
        for round in 0..1000 {
            let shape = format!("SELECT a{round}");
            let record = book.record(number(&shape), &shape);
            book.outcome(&record, Outcome::Miss, None);
            if round < 10 {
                for _ in 0..50 {
                    book.hit(&record, 1, 1);
                }
            }
        }
        book.hit(&held, 1, 1);
        let lines = statements.lines();
        assert!(lines.len() <= 101, "{}", lines.len());
        assert_eq!(lines.iter().map(|l| l.calls).sum::<u64>(), 1501);
        assert!(
            lines[..10].iter().all(|l| l.calls == 51),
            "{:?}",
            &lines[..10]
        );
        let others = lines.last().unwrap();
        assert_eq!((others.id, &*others.text), (OTHERS, OTHERS_TEXT));
        let shelf = statements.shelves[0].lock().unwrap();
        assert!(shelf.leaving.len() <= 1, "only what is held");
    }

    /// A statement that is prepared once and called for days must not be hidden for having been young at a bad moment.
    #[test]
    fn what_grows_is_told_apart_again() {
        let statements = Statements::new(1, 100);
        let book = statements.book(0).unwrap();
        let young = book.record(number("young"), "young");
        let meet = |from: u32| {
            for round in from..from + 200 {
                let shape = format!("SELECT a{round}");
                let record = book.record(number(&shape), &shape);
                for _ in 0..3 {
                    book.outcome(&record, Outcome::Miss, None);
                }
            }
        };
        meet(0);
        let lists = || statements.lines().iter().any(|line| &*line.text == "young");
        assert!(!lists(), "it was never called");
        for _ in 0..1000 {
            book.hit(&young, 1, 1);
        }
        meet(200);
        assert!(lists());
        assert_eq!(statements.lines()[0].hits, 1000);
        let sum: u64 = statements.lines().iter().map(|line| line.calls).sum();
        assert_eq!(sum, 1000 + 400 * 3);
    }

    /// Those that come first, such as an application's questions at its start, must not be all that is ever shown.
    #[test]
    fn who_is_called_more_takes_the_place_of_who_was_shown() {
        let statements = Statements::new(1, 100);
        let book = statements.book(0).unwrap();
        let call = |shape: &str, times: usize| {
            let record = book.record(number(shape), shape);
            for _ in 0..times {
                book.outcome(&record, Outcome::Miss, None);
            }
        };
        let ids = |shown: &HashSet<u64>| {
            let lines = statements.topmost(2, shown);
            lines.iter().map(|line| line.id).collect::<HashSet<_>>()
        };
        call("a", 1);
        call("b", 1);
        let first = ids(&HashSet::new());
        assert_eq!(first, HashSet::from([number("a"), number("b")]));
        call("c", 1);
        assert_eq!(ids(&first), first, "of as many calls they stay");
        call("c", 9);
        assert!(ids(&first).contains(&number("c")));
    }

    #[test]
    fn numbers_are_the_same_everywhere() {
        assert_eq!(number("SELECT ?"), 0x66cb_b3a4_0d4b_bd15);
        assert_ne!(number("a"), number("b"));
    }
}
