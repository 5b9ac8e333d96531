//! The transaction: its status as the upstream last said, and whether it is clean.
//!
//! * The status is taken from ReadyForQuery alone (hazard 36).
//! * Clean: nothing but reads, SET and SAVEPOINT so far; only then may a statement hit or fill (hazards 33, 34).

use crate::cache::version::WriteSet;
use crate::sql::statement::Isolation;

/// The transaction of a session.
#[derive(Debug)]
pub struct Transaction {
    status: u8,
    /// Has written, locked, or run something opaque.
    pub dirty: bool,
    /// `None`: not known.
    pub isolation: Option<Isolation>,
    /// What its statements may have written so far.
    pub writes: WriteSet,
    /// A hit was given that the upstream does not know of.
    pub hit: bool,
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction {
            status: b'I',
            dirty: false,
            isolation: None,
            writes: WriteSet::default(),
            hit: false,
        }
    }
}

impl Transaction {
    /// `I`, `T` or `E`.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Takes over the status of a ReadyForQuery; outside a transaction everything else is forgotten.
    pub fn ready(&mut self, status: u8) {
        if status == b'I' {
            *self = Transaction::default();
        }
        self.status = status;
    }
}
