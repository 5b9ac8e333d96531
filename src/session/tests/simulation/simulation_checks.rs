//! The self-check in the simulation: as if nobody wrote past Larder, which one does to one table.

use super::Simulation;
use crate::cache::comparison::number;
use crate::metrics::Verified;
use crate::session::tests::simulation_client::READS;

impl Simulation {
    /// The self-check finds nothing but what was written past Larder.
    pub(super) fn checks(&self, n: usize) -> Result<(), String> {
        let quarantine = &self.thread.quarantine;
        if !quarantine.holds_any() {
            return Ok(());
        }
        let watched = READS.iter().filter(|sql| !sql.ends_with(" o"));
        for sql in watched {
            if quarantine.holds(number("shop", sql.as_bytes())) {
                return Err(format!("session {n} calls {sql} wrong"));
            }
        }
        Ok(())
    }

    /// How many hits were looked at and called right, and how many were called wrong.
    pub(super) fn checked(&self) -> [u64; 2] {
        [Verified::Same, Verified::Different]
            .map(|result| self.thread.metrics.verified_so_far(result))
    }
}
