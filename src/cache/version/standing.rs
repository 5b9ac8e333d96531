//! What is in the way of an answer at this moment, for people: writes in flight.
//!
//! Nothing here decides anything; by the time it is read it may be otherwise.

use std::sync::PoisonError;

use super::{Database, STEP};
use crate::sql::Oid;

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
