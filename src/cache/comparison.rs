//! The comparison of an answer from memory with the database's own, and the statements that did not stand it.
//!
//! * Compared is byte for byte what a client would have been told. Rows in another order are the same answer, since
//!   nothing is looked into that would say whether an order was asked for.
//! * A statement that is quarantined stays so until the process ends or an operator purges everything. It is known by a hash: one that shares it is not
//!   served either, which costs time and no truth. So many that the list is full: then every statement is.
//!
//! Not here: whether a difference proves anything (`session::selfcheck`, `sql::determined`).

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use super::reply::{Entry, Reply};
use super::version::Fresh;
use crate::sql::Oid;
use crate::wire::frame;

/// An answer from memory that is kept aside while the database is asked.
#[derive(Debug)]
pub struct Aside {
    /// The answer; its stamp held when it was put aside.
    pub entry: Fresh,
    /// What it read.
    pub relations: Box<[Oid]>,
    /// Nothing but this statement belongs to its segment: an error there is an answer to it.
    pub alone: bool,
}

/// How two answers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    Same,
    /// The same rows in another order.
    Order,
    /// Other rows, but as many.
    Rows,
    /// Another number of rows.
    Count,
    /// Other columns, or an error.
    Shape,
}

/// Compares an answer from memory with what the database has said: `description` bytes of RowDescription, then the rest.
pub fn compare(entry: &Entry, said: &[u8], description: usize) -> Comparison {
    let (columns, rest) = said.split_at(description);
    let asked = !columns.is_empty() && !entry.description().is_empty();
    if asked && columns != entry.description() {
        return Comparison::Shape;
    }
    if rest == entry.rows() {
        return Comparison::Same;
    }
    let (mut kept, kept_end) = frames(entry.rows());
    let (mut told, told_end) = frames(rest);
    if kept_end != told_end || kept.len() != told.len() {
        return Comparison::Count;
    }
    kept.sort_unstable();
    told.sort_unstable();
    if kept == told {
        Comparison::Order
    } else {
        Comparison::Rows
    }
}

/// The DataRows, and what ends them.
fn frames(rest: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut rows = Vec::new();
    let mut at = 0;
    loop {
        match frame::run_of(&rest[at..], b'D', 1) {
            (_, 0) => return (rows, &rest[at..]),
            (len, _) => {
                rows.push(&rest[at..at + len]);
                at += len;
            }
        }
    }
}

/// The number that stands for a statement, the same in every process.
pub fn number(database: &str, text: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = database.bytes().chain([0]).chain(text.iter().copied());
    bytes.fold(BASIS, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(PRIME)
    })
}

/// Statements kept apart.
#[derive(Debug, Default)]
pub struct Quarantine {
    any: AtomicBool,
    numbers: RwLock<HashSet<u64>>,
}

/// So many statements are kept apart; with one more, all are.
const MOST: usize = 10_000;

impl Quarantine {
    /// Whether any statement is in it.
    #[inline]
    pub fn holds_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Whether this one is.
    pub fn holds(&self, number: u64) -> bool {
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        numbers.len() >= MOST || numbers.contains(&number)
    }

    /// Takes all out.
    pub fn clear(&self) {
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        numbers.clear();
        self.any.store(false, Ordering::Relaxed);
    }

    /// Puts a statement in. Whether it was not there.
    pub fn put(&self, number: u64) -> bool {
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        self.any.store(true, Ordering::Relaxed);
        numbers.len() < MOST && numbers.insert(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_quarantine_holds_everything() {
        let quarantine = Quarantine::default();
        assert!(!quarantine.holds_any());
        assert!(quarantine.put(7) && !quarantine.put(7));
        assert!(quarantine.holds_any() && quarantine.holds(7) && !quarantine.holds(8));
        for number in 100.. {
            if !quarantine.put(number) {
                break;
            }
        }
        assert!(quarantine.holds(8));
    }

    #[test]
    fn statements_of_two_databases_have_two_numbers() {
        assert_eq!(number("a", b"b"), number("a", b"b"));
        assert_ne!(number("a", b"b"), number("ab", b""));
        assert_ne!(number("a", b"b"), number("b", b"b"));
    }
}
