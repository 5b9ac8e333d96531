//! The statements that are called most, and who waits, as metrics: made when somebody looks.
//!
//! * A statement is a label by its number only, never by its text, and only so many are shown.
//! * Of as many calls, who was shown stays: a counter that comes and goes is of no use. Who is called more takes its place:
//!   else those that happened to come first would be all that is ever seen.

use super::roll::Roll;
use super::scrape::{counter_of, gauge_of};
use super::shapes::{Line, Statements};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{MetricFamily, MetricType};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The collector.
pub(super) struct Topmost {
    statements: Arc<Statements>,
    roll: Arc<Roll>,
    most: usize,
    shown: Mutex<HashSet<u64>>,
    descriptions: Vec<Desc>,
}

const CALLS: (&str, &str) = (
    "larder_statement_calls_total",
    "Calls of the most frequent statements, by their number in SHOW QUERIES and by what became of them.",
);
const SAVED: (&str, &str) = (
    "larder_statement_time_saved_seconds_total",
    "Time that hits of the most frequent statements saved.",
);
const UPSTREAM: (&str, &str) = (
    "larder_statement_upstream_seconds_total",
    "Time that the database took for the most frequent statements.",
);
const WAITING: (&str, &str) = (
    "larder_client_waiting_connections",
    "Clients that wait for a connection to the database now.",
);
const LONGEST: (&str, &str) = (
    "larder_client_longest_wait_seconds",
    "For how long the first of them has waited.",
);

impl Topmost {
    pub(super) fn new(statements: Arc<Statements>, roll: Arc<Roll>, most: usize) -> Topmost {
        let describe = |((name, help), labels): ((&str, &str), &[&str])| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            Desc::new(name.into(), help.into(), labels, HashMap::new()).ok()
        };
        let all: [((&str, &str), &[&str]); 5] = [
            (CALLS, &["statement", "outcome"]),
            (SAVED, &["statement"]),
            (UPSTREAM, &["statement"]),
            (WAITING, &[]),
            (LONGEST, &[]),
        ];
        Topmost {
            statements,
            roll,
            most,
            shown: Mutex::default(),
            descriptions: all.into_iter().filter_map(describe).collect(),
        }
    }

    fn lines(&self) -> Vec<Line> {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = self.statements.topmost(self.most, &shown);
        *shown = lines.iter().map(|line| line.id).collect();
        lines
    }
}

fn family(
    (name, help): (&str, &str),
    kind: MetricType,
    metrics: Vec<prometheus::proto::Metric>,
) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

impl Collector for Topmost {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut calls, mut saved, mut upstream) = (Vec::new(), Vec::new(), Vec::new());
        for line in self.lines() {
            let id = format!("{:016x}", line.id);
            for (outcome, count) in [
                ("hit", line.hits),
                ("miss", line.misses),
                ("bypass", line.bypasses),
                ("write", line.writes),
                ("other", line.others),
            ] {
                let labels = [("outcome", outcome), ("statement", &id)];
                calls.push(counter_of(&labels, count as f64));
            }
            let labels = [("statement", &*id)];
            saved.push(counter_of(&labels, line.costs.saved.as_secs_f64()));
            upstream.push(counter_of(&labels, line.costs.upstream.as_secs_f64()));
        }
        let (waiting, longest) = self.roll.waiting();
        let counter = MetricType::COUNTER;
        let mut families = vec![
            family(CALLS, counter, calls),
            family(SAVED, counter, saved),
            family(UPSTREAM, counter, upstream),
        ];
        families.retain(|family| !family.get_metric().is_empty());
        let gauges = [(WAITING, waiting as f64), (LONGEST, longest.as_secs_f64())];
        families.extend(
            gauges.map(|(what, value)| family(what, MetricType::GAUGE, vec![gauge_of(value)])),
        );
        families
    }
}
