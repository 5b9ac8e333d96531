//! The numbers that `/metrics` shows.
//!
//! * What happens per query is counted in cells of the thread it happens on ([`Recorder`]), and summed only when
//!   somebody looks: no look-up by label and no shared cache line on a hit.
//! * Every label value exists from the start with zero, so that a panel or an alert is never empty for want of events.
//! * No statement, parameter, key, table or role is a label: labels come from closed lists only.

mod counts;
mod moment;
mod recorder;
mod reloads;
mod roll;
mod scrape;
mod shapes;
mod topmost;
mod traffic;
mod verified;

pub use counts::{Attempt, Counts, Doubted};
pub use moment::ModeNow;
pub use recorder::{Coalesced, Outcome, Recorder};
pub use roll::{Entry as RollEntry, Listed, Name, Roll, State};
pub use shapes::{Book, Costs, Invalidation, Line, OTHERS, Record, Statements, number};
pub use traffic::{ByDatabase, PERIOD, Traffic};
pub use verified::Verified;

use crate::why::Why;
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};
use recorder::Cells;
use reloads::Reloads;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use verified::Verifications;

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $value:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$each])* $value,)* }

        impl $name {
            /// Every value.
            pub const ALL: &[$name] = &[$($name::$value,)*];

            /// The label's value.
            pub fn label(self) -> &'static str {
                match self { $($name::$value => $label,)* }
            }
        }
    };
}
use labels;

labels! {
    /// How much an invalidation took away.
    Scope {
        /// One row.
        Row = "row",
        /// All answers that read a table.
        Table = "table",
        /// All answers of a database.
        Database = "database",
    }
}

labels! {
    /// Who told of a change.
    Source {
        /// A client of this Larder.
        Own = "own",
        /// The replication stream.
        Replication = "replication",
        /// LISTEN.
        Notify = "notify",
        /// Another Larder.
        Peer = "peer",
        /// An operator.
        Console = "console",
        /// The catalog changed.
        Catalog = "catalog",
    }
}

labels! {
    /// Why an answer was given up.
    Eviction {
        /// The memory limit.
        Size = "size",
        /// Its time was over.
        Ttl = "ttl",
        /// A write had made it worthless.
        Invalid = "invalid",
    }
}

labels! {
    /// What a connection to the upstream is for.
    UpstreamState {
        /// Not connected yet.
        Connecting = "connecting",
        /// Serves a client.
        Client = "client",
        /// In a pool, and nobody's.
        Idle = "idle",
        /// Larder's own.
        Control = "control",
    }
}

/// What the cache holds at one moment, and how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheNumbers {
    /// Answers.
    pub entries: u64,
    /// Bytes they take.
    pub bytes: u64,
    /// Bytes they may take.
    pub limit: u64,
    /// Whether they may be served.
    pub open: bool,
    /// The mode.
    pub mode: ModeNow,
    /// Writes in flight that shut tables, databases, catalogs.
    pub intents: [u64; 3],
    /// Databases whose catalog is known, and is not.
    pub catalogs: [u64; 2],
}

impl Default for CacheNumbers {
    fn default() -> CacheNumbers {
        CacheNumbers {
            entries: 0,
            bytes: 0,
            limit: 0,
            open: false,
            mode: ModeNow::Off,
            intents: [0; 3],
            catalogs: [0; 2],
        }
    }
}

/// Asks the cache what it holds.
pub type CacheProbe = Box<dyn Fn() -> CacheNumbers + Send + Sync>;

/// All numbers of the process.
pub struct Metrics {
    registry: Registry,
    threads: Arc<[Arc<Cells>]>,
    cache: Arc<OnceLock<CacheProbe>>,
    evictions: IntCounterVec,
    invalidations: IntCounterVec,
    clients: IntGauge,
    upstreams: IntGaugeVec,
    verifications: Verifications,
    /// What each statement did.
    pub statements: Arc<Statements>,
    /// Who is connected.
    pub roll: Arc<Roll>,
    /// What happens beside queries.
    pub counts: Counts,
    reloads: Reloads,
}

/// How many statements a thread tells apart where nothing else is said.
pub const STATEMENTS: usize = 5000;

/// How many of them are shown as metrics.
pub const SHOWN: usize = 50;

/// A connection that a gauge counts while this lives.
#[derive(Debug)]
pub struct Counted(IntGauge);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// The numbers of a process with so many threads that record.
    pub fn new(threads: usize) -> Result<Metrics, prometheus::Error> {
        Metrics::telling_apart(STATEMENTS, SHOWN, threads)
    }

    /// The same, with so many statements that are told apart, and so many that are shown.
    pub fn telling_apart(
        limit: usize,
        shown: usize,
        threads: usize,
    ) -> Result<Metrics, prometheus::Error> {
        let statements = Arc::new(Statements::new(threads, limit));
        let roll = Arc::new(Roll::default());
        let threads: Arc<[Arc<Cells>]> = (0..threads).map(|_| Arc::new(Cells::default())).collect();
        let registry = Registry::new();
        let cache = Arc::new(OnceLock::new());
        registry.register(Box::new(scrape::Scrape::new(
            threads.clone(),
            cache.clone(),
        )))?;
        let evictions = counters(
            &registry,
            "larder_cache_evictions_total",
            "Answers given up, by cause.",
            &["cause"],
        )?;
        let invalidations = counters(
            &registry,
            "larder_invalidations_total",
            "Changes that made answers worthless, by how much they took away and who told of them.",
            &["scope", "source"],
        )?;
        let clients = IntGauge::new("larder_client_connections", "Clients connected now.")?;
        let upstreams = IntGaugeVec::new(
            Opts::new(
                "larder_upstream_connections",
                "Connections to the upstream now, by what they are for.",
            ),
            &["state"],
        )?;
        for cause in Eviction::ALL {
            evictions.with_label_values(&[cause.label()]);
        }
        for (scope, source) in Scope::ALL
            .iter()
            .flat_map(|a| Source::ALL.iter().map(move |b| (a, b)))
        {
            invalidations.with_label_values(&[scope.label(), source.label()]);
        }
        for state in UpstreamState::ALL {
            upstreams.with_label_values(&[state.label()]);
        }
        registry.register(Box::new(clients.clone()))?;
        registry.register(Box::new(upstreams.clone()))?;
        tell_version(&registry)?;
        let topmost = topmost::Topmost::new(statements.clone(), roll.clone(), shown);
        registry.register(Box::new(topmost))?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let counts = Counts::register(&registry)?;
        let verifications = Verifications::register(&registry)?;
        let reloads = Reloads::register(&registry)?;
        Ok(Metrics {
            registry,
            threads,
            cache,
            evictions,
            invalidations,
            clients,
            upstreams,
            verifications,
            statements,
            roll,
            counts,
            reloads,
        })
    }

    /// The recorder of one thread. Asked for once per thread; `None` beyond the number of threads, or while another
    /// recorder of the same thread lives.
    pub fn recorder(&self, thread: usize) -> Option<Recorder> {
        let cells = self.threads.get(thread)?;
        Recorder::of(cells, self.statements.book(thread)?)
    }

    /// How many statements had that outcome.
    pub fn outcomes(&self, outcome: Outcome) -> u64 {
        self.sum(|cells| &cells.outcomes[outcome as usize])
    }

    /// How many were passed on for that reason.
    pub fn reasons(&self, why: Why) -> u64 {
        self.sum(|cells| &cells.reasons[why as usize])
    }

    /// How many the upstream has run.
    pub fn upstream_queries(&self) -> u64 {
        self.sum(|cells| &cells.upstream_queries)
    }

    /// Time that hits have saved.
    pub fn saved(&self) -> Duration {
        Duration::from_nanos(self.sum(|cells| &cells.saved))
    }

    fn sum(&self, cell: impl Fn(&Cells) -> &AtomicU64) -> u64 {
        let threads = self.threads.iter();
        threads
            .map(|cells| cell(cells).load(Ordering::Relaxed))
            .sum()
    }

    /// The configuration was read again, or was wrong.
    pub fn reloaded(&self, successful: bool) {
        self.reloads.count(successful);
    }

    /// Tells where to ask what the cache holds; the first to tell counts.
    pub fn watch_cache(&self, probe: CacheProbe) {
        let _ = self.cache.set(probe);
    }

    /// Counts answers given up.
    pub fn evicted(&self, cause: Eviction, answers: u64) {
        self.evictions
            .with_label_values(&[cause.label()])
            .inc_by(answers);
    }

    /// Counts a change.
    pub fn invalidated(&self, scope: Scope, source: Source) {
        self.invalidations
            .with_label_values(&[scope.label(), source.label()])
            .inc();
    }

    /// Counts an answer from memory that was looked at.
    pub fn verified(&self, result: Verified) {
        self.verifications.count(result);
    }

    /// How many looks have ended so.
    #[cfg(test)]
    pub fn verified_so_far(&self, result: Verified) -> u64 {
        self.verifications.so_far(result)
    }

    /// Counts a client while the answer lives.
    pub fn client(&self) -> Counted {
        counted(self.clients.clone())
    }

    /// Counts a connection to the upstream while the answer lives.
    pub fn upstream(&self, state: UpstreamState) -> Counted {
        counted(self.upstreams.with_label_values(&[state.label()]))
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        let probe = self.cache.get();
        let now = probe.map_or_else(CacheNumbers::default, |probe| probe());
        families.extend(moment::families(&now));
        TextEncoder::new().encode_to_string(&families)
    }
}

fn tell_version(registry: &Registry) -> Result<(), prometheus::Error> {
    let build = IntGaugeVec::new(
        Opts::new("larder_build_info", "The version that runs; always 1."),
        &["version"],
    )?;
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    registry.register(Box::new(build))
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

fn counted(gauge: IntGauge) -> Counted {
    gauge.inc();
    Counted(gauge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::why::Why;
    use std::time::Duration;

    /// The value of the sample whose name and labels are `sample`.
    fn value(text: &str, sample: &str) -> f64 {
        let line = text.lines().find(|l| {
            l.strip_prefix(sample)
                .is_some_and(|rest| rest.starts_with(' '))
        });
        line.unwrap_or_else(|| panic!("no {sample} in\n{text}"))[sample.len() + 1..]
            .parse()
            .unwrap()
    }

    #[test]
    fn every_label_value_is_there_from_the_start() {
        let text = Metrics::new(1).unwrap().render().unwrap();
        for outcome in Outcome::ALL {
            assert_eq!(
                value(
                    &text,
                    &format!("larder_queries_total{{outcome=\"{}\"}}", outcome.label())
                ),
                0.0
            );
            assert_eq!(
                value(
                    &text,
                    &format!(
                        "larder_query_duration_seconds_count{{outcome=\"{}\"}}",
                        outcome.label()
                    )
                ),
                0.0
            );
        }
        for why in Why::ALL {
            assert_eq!(
                value(
                    &text,
                    &format!("larder_bypass_total{{reason=\"{}\"}}", why.label())
                ),
                0.0
            );
        }
        assert_eq!(text.matches("larder_invalidations_total{").count(), 18);
        assert_eq!(value(&text, "larder_cache_limit_bytes"), 0.0);
        assert_eq!(
            value(
                &text,
                &format!(
                    "larder_build_info{{version=\"{}\"}}",
                    env!("CARGO_PKG_VERSION")
                )
            ),
            1.0
        );
    }

    #[test]
    fn threads_are_summed() {
        let metrics = Metrics::new(2).unwrap();
        for thread in 0..2 {
            let recorder = metrics.recorder(thread).unwrap();
            recorder.outcome(Outcome::Hit);
            recorder.duration(Outcome::Hit, Duration::from_micros(30));
            recorder.bypass(Why::Locking);
            recorder.upstream_query();
            recorder.entry_age(Duration::from_secs(2));
            recorder.time_saved(Duration::from_millis(250));
        }
        let text = metrics.render().unwrap();
        assert_eq!(value(&text, "larder_queries_total{outcome=\"hit\"}"), 2.0);
        assert_eq!(
            value(&text, "larder_bypass_total{reason=\"locking_read\"}"),
            2.0
        );
        assert_eq!(value(&text, "larder_upstream_queries_total"), 2.0);
        assert_eq!(value(&text, "larder_time_saved_seconds_total"), 0.5);
        assert_eq!(value(&text, "larder_entry_age_seconds_sum"), 4.0);
        assert_eq!(
            value(
                &text,
                "larder_query_duration_seconds_bucket{outcome=\"hit\",le=\"0.000025\"}"
            ),
            0.0
        );
        assert_eq!(
            value(
                &text,
                "larder_query_duration_seconds_bucket{outcome=\"hit\",le=\"0.00005\"}"
            ),
            2.0
        );
        assert_eq!(
            value(
                &text,
                "larder_query_duration_seconds_bucket{outcome=\"hit\",le=\"+Inf\"}"
            ),
            2.0
        );
    }

    #[test]
    fn a_thread_has_one_recorder() {
        let metrics = Metrics::new(1).unwrap();
        let first = metrics.recorder(0);
        assert!(first.is_some() && metrics.recorder(0).is_none() && metrics.recorder(1).is_none());
        drop(first);
        assert!(metrics.recorder(0).is_some());
    }

    #[test]
    fn gauges_follow_what_lives() {
        let metrics = Metrics::new(1).unwrap();
        metrics.watch_cache(Box::new(|| CacheNumbers {
            entries: 3,
            bytes: 4096,
            limit: 8192,
            open: true,
            intents: [2, 0, 0],
            ..CacheNumbers::default()
        }));
        let (client, upstream) = (metrics.client(), metrics.upstream(UpstreamState::Client));
        metrics.evicted(Eviction::Size, 5);
        metrics.invalidated(Scope::Table, Source::Own);
        let text = metrics.render().unwrap();
        assert_eq!(value(&text, "larder_client_connections"), 1.0);
        assert_eq!(
            value(&text, "larder_upstream_connections{state=\"client\"}"),
            1.0
        );
        assert_eq!(value(&text, "larder_cache_entries"), 3.0);
        assert_eq!(value(&text, "larder_cache_bytes"), 4096.0);
        assert_eq!(
            value(&text, "larder_cache_evictions_total{cause=\"size\"}"),
            5.0
        );
        assert_eq!(
            value(
                &text,
                "larder_invalidations_total{scope=\"table\",source=\"own\"}"
            ),
            1.0
        );
        drop((client, upstream));
        assert_eq!(
            value(&metrics.render().unwrap(), "larder_client_connections"),
            0.0
        );
    }
}
