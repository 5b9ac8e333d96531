//! What the self-check has found.

use super::labels;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};

labels! {
    /// How an answer from memory compares with the database's own.
    Verified {
        /// The same.
        Same = "same",
        /// Different where PostgreSQL may choose: in the order of rows, under a LIMIT, in an aggregate.
        Unordered = "unordered",
        /// Different, and others may have written.
        Outside = "outside",
        /// Different, and nothing explains it.
        Different = "different",
        /// Not compared: something it reads was written meanwhile, or the database did not answer.
        Skipped = "skipped",
    }
}

/// The counters.
pub(super) struct Verifications {
    results: IntCounterVec,
    mismatches: IntCounter,
}

impl Verifications {
    pub(super) fn register(registry: &Registry) -> Result<Verifications, prometheus::Error> {
        let results = IntCounterVec::new(
            Opts::new(
                "larder_verify_total",
                "Answers from memory that the database was asked for again, by how they compare.",
            ),
            &["result"],
        )?;
        let mismatches = IntCounter::new(
            "larder_verify_mismatch_total",
            "Answers from memory that were not the database's, and nothing explains it.",
        )?;
        for result in Verified::ALL {
            results.with_label_values(&[result.label()]);
        }
        registry.register(Box::new(results.clone()))?;
        registry.register(Box::new(mismatches.clone()))?;
        Ok(Verifications {
            results,
            mismatches,
        })
    }

    #[cfg(test)]
    pub(super) fn so_far(&self, result: Verified) -> u64 {
        self.results.with_label_values(&[result.label()]).get()
    }

    pub(super) fn count(&self, result: Verified) {
        self.results.with_label_values(&[result.label()]).inc();
        if result == Verified::Different {
            self.mismatches.inc();
        }
    }
}
