//! What a transaction undoes: the settings of its begin and of each savepoint.
//!
//! * ROLLBACK and ROLLBACK TO go back to what was before, COMMIT ends SET LOCAL. A savepoint that is not known makes the
//!   settings unknown: what was undone nobody can say (hazard 19).

use super::{Layer, Settings};
use crate::guard::{Guard, stands};
use std::rc::Rc;

/// Layers to go back to: of the transaction's begin (no name) and of each savepoint.
pub(super) type Journal = Vec<(Option<Box<str>>, Layer)>;

impl Settings {
    /// A transaction block has begun.
    pub fn begin(&mut self) {
        self.journal = vec![(None, self.layer.clone())];
    }

    /// SAVEPOINT.
    pub fn savepoint(&mut self, name: &str) {
        self.journal.push((Some(name.into()), self.layer.clone()));
    }

    /// RELEASE SAVEPOINT.
    pub fn release(&mut self, name: &str) {
        if let Some(at) = self.find(name) {
            self.journal.truncate(at);
        }
    }

    /// ROLLBACK TO SAVEPOINT.
    pub fn rollback_to(&mut self, name: &str) {
        match self.find(name) {
            Some(at) => {
                self.layer = self.journal[at].1.clone();
                self.journal.truncate(at + 1);
                self.changed();
            }
            None => self.forget(),
        }
    }

    /// How many savepoints there are, the block itself included.
    pub fn depth(&self) -> usize {
        self.journal.len()
    }

    /// How many there were before that one.
    pub fn depth_of(&self, name: &str) -> Option<usize> {
        self.find(name)
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.journal
            .iter()
            .rposition(|(found, _)| found.as_deref() == Some(name))
    }

    /// Whether the end of the transaction changes anything.
    pub fn journaled(&self) -> bool {
        !self.layer.local.is_empty()
            || self
                .journal
                .first()
                .is_some_and(|(_, before)| before.session != self.layer.session)
    }

    /// The transaction has ended.
    pub fn end(&mut self, committed: bool) {
        let journal = std::mem::take(&mut self.journal);
        let kept = committed || !stands(Guard::RollbackUndoes);
        if let (false, Some((_, before))) = (kept, journal.into_iter().next()) {
            self.layer = before;
            self.changed();
        }
        if !self.layer.local.is_empty() {
            self.layer.local = Rc::default();
            self.changed();
        }
    }
}
