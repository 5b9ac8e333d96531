//! What is in the way of an answer at this moment, for people: writes in flight.
//!
//! Nothing here decides anything; by the time it is read it may be otherwise.

use std::sync::PoisonError;

use super::{Database, Ledger, STEP, Slot};
use crate::sql::Oid;
use crate::sql::catalog::SYSTEM_CATALOGS;

impl Database {
    /// Those of these relations that are being written.
    pub fn being_written(&self, relations: &[Oid]) -> Vec<Oid> {
        let slots = self.relations.read();
        let slots = slots.unwrap_or_else(PoisonError::into_inner);
        let open = |relation: &&Oid| {
            let slot = slots.get(*relation);
            slot.is_some_and(|slot| slot.settled().is_none())
        };
        relations.iter().filter(open).copied().collect()
    }

    /// Whether something is being written that may be any of its relations.
    pub fn anything_being_written(&self) -> bool {
        self.all.settled().is_none()
    }

    /// How often its catalog was raised; `None`: it is being changed.
    pub fn catalog_raises(&self) -> Option<u64> {
        Some(self.catalog.settled()? / STEP)
    }
}

impl Slot {
    /// Open intents on it.
    fn open_now(&self) -> u64 {
        self.word() % STEP
    }
}

impl Ledger {
    /// Open intents: those on tables, on whole databases, and on the catalogs.
    pub fn open_intents(&self) -> [u64; 3] {
        let (mut tables, mut databases) = (0, 0);
        for database in self.all() {
            let resolved = database.resolved_with.lock();
            let resolved = resolved.unwrap_or_else(PoisonError::into_inner);
            tables += resolved.values().sum::<usize>() as u64;
            drop(resolved);
            // Those on the catalogs as tables are resolved with none.
            let slots = database.relations.read();
            let slots = slots.unwrap_or_else(PoisonError::into_inner);
            tables += slots
                .get(&SYSTEM_CATALOGS)
                .map_or(0, |slot| slot.open_now());
            databases += database.all.open_now();
        }
        [tables, databases, self.changing() as u64]
    }

    /// How many databases' catalogs are known, and how many are not.
    pub fn catalogs(&self) -> [u64; 2] {
        let all = self.all();
        let known = all.iter().filter(|database| database.catalog().is_some());
        let known = known.count() as u64;
        [known, all.len() as u64 - known]
    }
}
