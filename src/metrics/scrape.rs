//! The sum over all threads' cells, made when somebody looks.
//!
//! Counts are read while they grow, so a scrape may catch a statement in one number and not yet in another; each
//! number by itself only grows. A histogram's count is the sum of its buckets as read, so it never contradicts them.

use super::recorder::{AGES, Buckets, Cells, Coalesced, DURATIONS, ERRORS, Outcome};
use super::{CacheNumbers, CacheProbe};
use crate::why::Why;
use prometheus::Opts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Name, help, label name.
const DESCRIPTIONS: [(&str, &str, &str); 13] = [
    (
        "larder_queries_total",
        "Statements, by what became of them.",
        "outcome",
    ),
    (
        "larder_bypass_total",
        "Statements not answered from memory, by reason.",
        "reason",
    ),
    (
        "larder_query_duration_seconds",
        "Time from a statement's last byte in to its answer's last byte out.",
        "outcome",
    ),
    (
        "larder_upstream_queries_total",
        "Statements that the upstream ran.",
        "",
    ),
    (
        "larder_entry_age_seconds",
        "Age of answers when they were served.",
        "",
    ),
    (
        "larder_time_saved_seconds_total",
        "Time that hits saved against the upstream's own answers.",
        "",
    ),
    (
        "larder_coalesced_total",
        "Statements that have waited for an equal one, by what became of them.",
        "result",
    ),
    (
        "larder_cache_fills_total",
        "Answers that were read to be kept, by what became of them.",
        "result",
    ),
    (
        "larder_errors_total",
        "Errors that the database answered with, by SQLSTATE class.",
        "class",
    ),
    ("larder_cache_entries", "Answers in memory.", ""),
    ("larder_cache_bytes", "Bytes that answers take.", ""),
    (
        "larder_cache_limit_bytes",
        "Bytes that answers may take.",
        "",
    ),
    (
        "larder_cache_open",
        "1 while answers may be served, 0 while the cache is off or a database's catalog is not known.",
        "",
    ),
];

/// The collector.
pub(super) struct Scrape {
    descriptions: Vec<Desc>,
    threads: Arc<[Arc<Cells>]>,
    cache: Arc<OnceLock<CacheProbe>>,
}

impl Scrape {
    pub(super) fn new(threads: Arc<[Arc<Cells>]>, cache: Arc<OnceLock<CacheProbe>>) -> Scrape {
        let describe = |(name, help, label): &(&str, &str, &str)| {
            let labels = if label.is_empty() {
                Vec::new()
            } else {
                vec![(*label).to_owned()]
            };
            let opts = Opts::new(*name, *help);
            Desc::new(opts.name, opts.help, labels, Default::default()).ok()
        };
        Scrape {
            descriptions: DESCRIPTIONS.iter().filter_map(describe).collect(),
            threads,
            cache,
        }
    }

    fn sum(&self, cell: impl Fn(&Cells) -> &AtomicU64) -> u64 {
        self.threads
            .iter()
            .fold(0, |sum, cells| sum.wrapping_add(cell(cells).load(Relaxed)))
    }

    fn histogram<const N: usize>(
        &self,
        bounds: &[u64; N],
        buckets: impl Fn(&Cells) -> &Buckets<N>,
    ) -> Histogram {
        let mut count = 0;
        let bucket = |(i, bound): (usize, &u64)| {
            count += self.sum(|c| &buckets(c).counts[i]);
            let mut bucket = Bucket::default();
            bucket.set_cumulative_count(count);
            bucket.set_upper_bound(seconds(*bound));
            bucket
        };
        let listed = bounds.iter().enumerate().map(bucket).collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(listed);
        histogram.set_sample_count(count + self.sum(|c| &buckets(c).beyond));
        histogram.set_sample_sum(seconds(self.sum(|c| &buckets(c).sum)));
        histogram
    }
}

impl Collector for Scrape {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let cache = self
            .cache
            .get()
            .map_or_else(CacheNumbers::default, |probe| probe());
        let outcomes = || Outcome::ALL.iter().map(|o| (*o, o.label()));
        let queries = outcomes()
            .map(|(o, l)| counter(Some(l), self.sum(|c| &c.outcomes[o as usize]) as f64))
            .collect();
        let reasons = Why::ALL.iter().map(|w| {
            counter(
                Some(w.label()),
                self.sum(|c| &c.reasons[*w as usize]) as f64,
            )
        });
        let coalesced = Coalesced::ALL.iter().map(|c| {
            let number = self.sum(|cells| &cells.coalesced[*c as usize]);
            counter(Some(c.label()), number as f64)
        });
        let durations = outcomes().map(|(o, l)| {
            histogram(
                Some(l),
                self.histogram(&DURATIONS, |c| &c.durations[o as usize]),
            )
        });
        let fills = [("kept", 1), ("refused", 0)]
            .map(|(label, kept)| counter(Some(label), self.sum(|c| &c.fills[kept]) as f64));
        let errors = ERRORS
            .iter()
            .enumerate()
            .map(|(class, label)| counter(Some(label), self.sum(|c| &c.errors[class]) as f64));
        let values: [(MetricType, Vec<Labelled>); 13] = [
            (MetricType::COUNTER, queries),
            (MetricType::COUNTER, reasons.collect()),
            (MetricType::HISTOGRAM, durations.collect()),
            (
                MetricType::COUNTER,
                vec![counter(None, self.sum(|c| &c.upstream_queries) as f64)],
            ),
            (
                MetricType::HISTOGRAM,
                vec![histogram(None, self.histogram(&AGES, |c| &c.age))],
            ),
            (
                MetricType::COUNTER,
                vec![counter(None, seconds(self.sum(|c| &c.saved)))],
            ),
            (MetricType::COUNTER, coalesced.collect()),
            (MetricType::COUNTER, fills.into()),
            (MetricType::COUNTER, errors.collect()),
            (MetricType::GAUGE, vec![gauge(cache.entries)]),
            (MetricType::GAUGE, vec![gauge(cache.bytes)]),
            (MetricType::GAUGE, vec![gauge(cache.limit)]),
            (MetricType::GAUGE, vec![gauge(u64::from(cache.open))]),
        ];
        DESCRIPTIONS
            .iter()
            .zip(values)
            .map(|(description, (kind, values))| family(description, kind, values))
            .collect()
    }
}

/// A label's value, where there is a label, and the number.
pub(super) type Labelled = (Option<&'static str>, Metric);

pub(super) fn family(
    (name, help, label): &(&str, &str, &str),
    kind: MetricType,
    values: Vec<Labelled>,
) -> MetricFamily {
    let metrics = values.into_iter().map(|(value, mut metric)| {
        if let Some(value) = value {
            let mut pair = LabelPair::default();
            pair.set_name((*label).to_owned());
            pair.set_value(value.to_owned());
            metric.set_label(vec![pair]);
        }
        metric
    });
    let mut family = MetricFamily::default();
    family.set_metric(metrics.collect());
    family.set_name((*name).to_owned());
    family.set_help((*help).to_owned());
    family.set_field_type(kind);
    family
}

fn counter(label: Option<&'static str>, value: f64) -> Labelled {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = Metric::default();
    metric.set_counter(counter);
    (label, metric)
}

fn gauge(value: u64) -> Labelled {
    (None, gauge_of(value as f64))
}

fn histogram(label: Option<&'static str>, value: Histogram) -> Labelled {
    let mut metric = Metric::default();
    metric.set_histogram(value);
    (label, metric)
}

/// A counter with those labels, in the order of their names.
pub(super) fn counter_of(labels: &[(&str, &str)], value: f64) -> Metric {
    let (_, mut metric) = counter(None, value);
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    metric.set_label(labels.iter().map(pair).collect());
    metric
}

/// A gauge without labels.
pub(super) fn gauge_of(value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = Metric::default();
    metric.set_gauge(gauge);
    metric
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}
