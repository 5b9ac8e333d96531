//! What has passed, by database, since the start and in the last whole minute.
//!
//! * A client's connection counts for itself and says so in its entry of the roll, on no line that another thread writes;
//!   what it has said is summed up when it leaves, or when somebody looks.
//! * So many databases and no more are told apart (hazard 77): anybody can name one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many databases are told apart.
const DATABASES: usize = 1000;
/// What stands for the others.
const OTHERS: &str = "(others)";
/// The time that averages are over.
pub const PERIOD: Duration = Duration::from_secs(60);

/// What has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Transactions that have ended; a statement outside of one is one.
    pub transactions: u64,
    pub statements: u64,
    /// Bytes from clients, and to them.
    pub received: u64,
    pub sent: u64,
    /// Microseconds that statements took.
    pub busy: u64,
    /// Microseconds that clients have waited for a connection to the database.
    pub waited: u64,
    /// How often a client got a connection to the database.
    pub assigned: u64,
    pub logins: u64,
}

impl Traffic {
    fn with(&self, other: &Traffic, op: impl Fn(u64, u64) -> u64) -> Traffic {
        Traffic {
            transactions: op(self.transactions, other.transactions),
            statements: op(self.statements, other.statements),
            received: op(self.received, other.received),
            sent: op(self.sent, other.sent),
            busy: op(self.busy, other.busy),
            waited: op(self.waited, other.waited),
            assigned: op(self.assigned, other.assigned),
            logins: op(self.logins, other.logins),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Traffic) -> Traffic {
        self.with(other, u64::wrapping_add)
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Traffic) -> Traffic {
        self.with(before, u64::saturating_sub)
    }
}

/// What one client says of itself.
#[derive(Debug, Default)]
pub struct Meter {
    transactions: AtomicU64,
    statements: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    busy: AtomicU64,
    pub(super) waited: AtomicU64,
    pub(super) assigned: AtomicU64,
}

impl Meter {
    /// How many statements and transactions there were so far.
    #[inline]
    pub fn counts(&self, statements: u64, transactions: u64) {
        self.statements.store(statements, Relaxed);
        self.transactions.store(transactions, Relaxed);
    }

    /// The rest, which may lag behind a little.
    pub fn tells(&self, received: u64, sent: u64, busy: u64) {
        self.received.store(received, Relaxed);
        self.sent.store(sent, Relaxed);
        self.busy.store(busy, Relaxed);
    }

    pub(super) fn read(&self) -> Traffic {
        Traffic {
            transactions: self.transactions.load(Relaxed),
            statements: self.statements.load(Relaxed),
            received: self.received.load(Relaxed),
            sent: self.sent.load(Relaxed),
            busy: self.busy.load(Relaxed),
            waited: self.waited.load(Relaxed),
            assigned: self.assigned.load(Relaxed),
            logins: 0,
        }
    }
}

/// What has passed, by database.
pub type ByDatabase = BTreeMap<Box<str>, Traffic>;

/// What is known of clients that have left, and of the last minute.
#[derive(Debug, Default)]
pub(super) struct Past {
    gone: Mutex<ByDatabase>,
    periods: Mutex<Periods>,
}

#[derive(Debug, Default)]
struct Periods {
    began: Option<Instant>,
    at_begin: ByDatabase,
    /// What came in the last whole period.
    last: Option<ByDatabase>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds to a database's sum, or to that of the others.
pub(super) fn add(sums: &mut ByDatabase, database: &str, traffic: &Traffic) {
    let known = sums.len() < DATABASES || sums.contains_key(database);
    let name = if known { database } else { OTHERS };
    let sum = sums.entry(name.into()).or_default();
    *sum = sum.plus(traffic);
}

impl Past {
    pub(super) fn add(&self, database: &str, traffic: &Traffic) {
        add(&mut lock(&self.gone), database, traffic);
    }

    /// Those that have left, together with those that are there.
    pub(super) fn with(&self, present: impl Iterator<Item = (Box<str>, Traffic)>) -> ByDatabase {
        let mut sums = lock(&self.gone).clone();
        for (database, traffic) in present {
            add(&mut sums, &database, &traffic);
        }
        sums
    }

    /// Begins another period when one is over.
    pub(super) fn tick(&self, now: Instant, sums: impl FnOnce() -> ByDatabase) {
        let mut periods = lock(&self.periods);
        let over = periods.began.is_none_or(|began| now - began >= PERIOD);
        if over {
            let sums = sums();
            if periods.began.is_some() {
                periods.last = Some(since(&sums, &periods.at_begin));
            }
            periods.began = Some(now);
            periods.at_begin = sums;
        }
    }

    /// What came in the last whole period; before one is over, what came so far. And how long that took.
    pub(super) fn lately(&self, now: Instant, sums: &ByDatabase) -> (ByDatabase, Duration) {
        let periods = lock(&self.periods);
        match (&periods.last, periods.began) {
            (Some(last), _) => (last.clone(), PERIOD),
            (None, Some(began)) => (since(sums, &periods.at_begin), now - began),
            (None, None) => (sums.clone(), PERIOD),
        }
    }
}

fn since(sums: &ByDatabase, before: &ByDatabase) -> ByDatabase {
    let nothing = Traffic::default();
    let all = sums.iter();
    all.map(|(name, sum)| {
        let earlier = before.get(name).unwrap_or(&nothing);
        (name.clone(), sum.since(earlier))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(statements: u64) -> Traffic {
        Traffic {
            statements,
            ..Traffic::default()
        }
    }

    #[test]
    fn averages_are_of_the_last_whole_period() {
        let past = Past::default();
        let began = Instant::now();
        let sums = |statements| ByDatabase::from([("a".into(), traffic(statements))]);
        let lately = |at, statements| {
            let (sums, took) = past.lately(began + at, &sums(statements));
            (sums["a"].statements, took)
        };
        past.tick(began, || sums(5));
        let ten = Duration::from_secs(10);
        assert_eq!(lately(ten, 7), (2, ten));
        past.tick(began + ten, || unreachable!());
        past.tick(began + PERIOD, || sums(65));
        assert_eq!(lately(PERIOD + ten, 99), (60, PERIOD));
    }

    #[test]
    fn databases_are_not_told_apart_without_end() {
        let past = Past::default();
        for i in 0..DATABASES + 10 {
            past.add(&format!("d{i}"), &traffic(1));
        }
        let sums = past.with([("d0".into(), traffic(2))].into_iter());
        assert_eq!(sums.len(), DATABASES + 1);
        assert_eq!(sums["d0"].statements, 3);
        assert_eq!(sums[OTHERS].statements, 10);
    }
}
