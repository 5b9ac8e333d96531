//! What has passed, by database, in PgBouncer's columns.
//!
//! A figure that Larder does not count is 0: time in transactions, and Parse and Bind messages.

use super::super::desk::Desk;
use super::{Value, View};
use crate::metrics::{ByDatabase, Traffic};
use std::time::Duration;

const STATS: &[&str] = &[
    "database",
    "total_xact_count",
    "total_query_count",
    "total_server_assignment_count",
    "total_received",
    "total_sent",
    "total_xact_time",
    "total_query_time",
    "total_wait_time",
    "total_client_parse_count",
    "total_server_parse_count",
    "total_bind_count",
    "total_client_login_count",
    "avg_xact_count",
    "avg_query_count",
    "avg_server_assignment_count",
    "avg_recv",
    "avg_sent",
    "avg_xact_time",
    "avg_query_time",
    "avg_wait_time",
    "avg_client_parse_count",
    "avg_server_parse_count",
    "avg_bind_count",
    "avg_client_login_count",
];

/// The totals' columns behind the database, without the averages.
const TOTALS: usize = 12;
const TOTAL_COLUMNS: &[&str] = STATS.split_at(TOTALS + 1).0;

const AVERAGE_COLUMNS: &[&str] = &[
    "database",
    "avg_xact_count",
    "avg_query_count",
    "avg_server_assignment_count",
    "avg_recv",
    "avg_sent",
    "avg_xact_time",
    "avg_query_time",
    "avg_wait_time",
    "avg_client_parse_count",
    "avg_server_parse_count",
    "avg_bind_count",
    "avg_client_login_count",
];

fn total(traffic: &Traffic) -> [u64; TOTALS] {
    [
        traffic.transactions,
        traffic.statements,
        traffic.assigned,
        traffic.received,
        traffic.sent,
        0,
        traffic.busy,
        traffic.waited,
        0,
        0,
        0,
        traffic.logins,
    ]
}

/// A second; times are of one statement.
fn average(traffic: &Traffic, period: Duration) -> [u64; TOTALS] {
    let seconds = period.as_secs_f64().max(1.0);
    let a_second = |count: u64| (count as f64 / seconds) as u64;
    let each = |time: u64| time / traffic.statements.max(1);
    [
        a_second(traffic.transactions),
        a_second(traffic.statements),
        a_second(traffic.assigned),
        a_second(traffic.received),
        a_second(traffic.sent),
        0,
        each(traffic.busy),
        a_second(traffic.waited),
        0,
        0,
        0,
        a_second(traffic.logins),
    ]
}

fn row(database: &str, numbers: impl IntoIterator<Item = u64>) -> Vec<Value> {
    let mut row = vec![Value::from(database)];
    row.extend(numbers.into_iter().map(Value::from));
    row
}

fn lately(last: &ByDatabase, database: &str) -> Traffic {
    last.get(database).copied().unwrap_or_default()
}

/// Totals and averages.
pub fn stats(desk: &Desk) -> View {
    let roll = &desk.metrics.roll;
    let (all, (last, period)) = (roll.traffic(), roll.lately());
    let rows = all.iter().map(|(database, traffic)| {
        let last = average(&lately(&last, database), period);
        row(database, total(traffic).into_iter().chain(last))
    });
    View {
        columns: STATS,
        rows: rows.collect(),
    }
}

/// Totals alone.
pub fn totals(desk: &Desk) -> View {
    let all = desk.metrics.roll.traffic();
    let rows = all.iter();
    View {
        columns: TOTAL_COLUMNS,
        rows: rows
            .map(|(name, traffic)| row(name, total(traffic)))
            .collect(),
    }
}

/// Averages alone.
pub fn averages(desk: &Desk) -> View {
    let roll = &desk.metrics.roll;
    let (all, (last, period)) = (roll.traffic(), roll.lately());
    let rows = all.keys();
    let rows = rows.map(|name| row(name, average(&lately(&last, name), period)));
    View {
        columns: AVERAGE_COLUMNS,
        rows: rows.collect(),
    }
}

/// All databases together.
pub fn sums(desk: &Desk) -> View {
    let sum = |all: ByDatabase| all.values().fold(Traffic::default(), |a, b| a.plus(b));
    let roll = &desk.metrics.roll;
    let (last, period) = roll.lately();
    let (all, last) = (sum(roll.traffic()), sum(last));
    let numbers = total(&all).into_iter().chain(average(&last, period));
    let names = STATS.iter().skip(1);
    let pair = |(name, number): (&&str, u64)| vec![Value::from(*name), Value::from(number)];
    View {
        columns: &["name", "value"],
        rows: names.zip(numbers).map(pair).collect(),
    }
}
