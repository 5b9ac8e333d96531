//! What is counted where no query passes: connections, waits, catalogs, writes in doubt. A lock or two do no harm here.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts, Registry};
use std::time::Duration;

/// Upper bounds in seconds: 25 µs to 10 s.
pub(super) const SECONDS: [f64; 18] = [
    25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3,
    500e-3, 1.0, 2.5, 5.0, 10.0,
];

/// The numbers.
#[derive(Debug)]
pub struct Counts {
    up: IntGauge,
    logins: IntCounterVec,
    waits: Histogram,
    loads: Histogram,
    failed_loads: IntCounterVec,
    doubts: IntGauge,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    Made,
    Failed,
}

impl Attempt {
    fn label(self) -> &'static str {
        match self {
            Attempt::Made => "ok",
            Attempt::Failed => "error",
        }
    }
}

/// A write in doubt, counted while this lives.
#[derive(Debug)]
pub struct Doubted(IntGauge);

impl Drop for Doubted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Counts {
    pub(super) fn register(registry: &Registry) -> Result<Counts, prometheus::Error> {
        let histogram = |name: &str, help: &str| {
            let opts = HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
            let made = Histogram::with_opts(opts)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let gauge = |name: &str, help: &str| {
            let made = IntGauge::new(name, help)?;
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let counter = |name: &str, help: &str| {
            let made = IntCounterVec::new(Opts::new(name, help), &["result"])?;
            for attempt in [Attempt::Made, Attempt::Failed] {
                made.with_label_values(&[attempt.label()]);
            }
            registry.register(Box::new(made.clone()))?;
            Ok::<_, prometheus::Error>(made)
        };
        let up = gauge(
            "larder_upstream_up",
            "1 while Larder's own connections reach the database, 0 after they could not.",
        )?;
        // Nobody has tried: a Larder that no client has used yet is no reason for an alarm.
        up.set(1);
        Ok(Counts {
            up,
            logins: counter(
                "larder_upstream_logins_total",
                "Logins into the database for pooled clients and for Larder itself, by how they ended.",
            )?,
            waits: histogram(
                "larder_pool_wait_seconds",
                "How long clients have waited for a connection to the database.",
            )?,
            loads: histogram(
                "larder_catalog_load_seconds",
                "How long it took to read a database's catalog.",
            )?,
            failed_loads: counter(
                "larder_catalog_loads_total",
                "Readings of a database's catalog, by how they ended.",
            )?,
            doubts: gauge(
                "larder_writes_in_doubt",
                "Sessions that ended with a write whose outcome is not known yet: what it touches is not served.",
            )?,
        })
    }

    /// The database was reached by Larder's own connections, or was not.
    pub fn is_up(&self, up: bool) {
        self.up.set(up.into());
    }

    /// A login into the database.
    pub fn login(&self, attempt: Attempt) {
        self.logins.with_label_values(&[attempt.label()]).inc();
    }

    /// A client has waited for a connection.
    pub fn waited(&self, waited: Duration) {
        self.waits.observe(waited.as_secs_f64());
    }

    /// A catalog was read; `None`: it could not be.
    pub fn loaded(&self, took: Option<Duration>) {
        let attempt = match took {
            Some(_) => Attempt::Made,
            None => Attempt::Failed,
        };
        self.failed_loads
            .with_label_values(&[attempt.label()])
            .inc();
        if let Some(took) = took {
            self.loads.observe(took.as_secs_f64());
        }
    }

    /// A write is in doubt while the answer lives.
    pub fn doubted(&self) -> Doubted {
        self.doubts.inc();
        Doubted(self.doubts.clone())
    }
}
