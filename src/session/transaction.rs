//! The transaction: its status as the upstream last said, and whether it is clean.
//!
//! * The status is taken from ReadyForQuery alone (hazard 36), but for a block that was begun here and not told yet.
//! * Clean: nothing but reads, SET and SAVEPOINT so far; only then may a statement hit or fill (hazards 33, 34).

use std::rc::Rc;

use super::locks::Locked;
use super::text::Text;
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
    /// What it has locked, as the backend has said in front of its COMMIT.
    pub locked: Locked,
    /// A hit was given that the upstream does not know of.
    pub hit: bool,
    /// Declared so; `None`: not known.
    pub read_only: Option<bool>,
    /// Statements of it that the upstream was not told yet.
    pub held: Vec<Rc<Text>>,
    /// The upstream has begun it; `true` outside of one, too.
    pub told: bool,
}

impl Default for Transaction {
    fn default() -> Transaction {
        Transaction {
            status: b'I',
            dirty: false,
            isolation: None,
            writes: WriteSet::default(),
            locked: Locked::default(),
            hit: false,
            read_only: None,
            held: Vec::new(),
            told: true,
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
