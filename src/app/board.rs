//! What `larder top` knows and shows: the last answer, what passes per second, which table is looked at, sorted by what.
//!
//! Deliberately not here: the terminal (`top`) and how it is painted (`screen`).

use super::figures::{Status, bytes, line, share, short, span};
use serde_json::Value;
use std::cmp::Ordering;
use std::time::Duration;

/// Outcomes, as `/status` counts them and as they are shown.
pub const OUTCOMES: [(&str, &str); 5] = [
    ("cache/hits", "hit"),
    ("cache/misses", "miss"),
    ("cache/bypasses", "bypass"),
    ("cache/writes", "write"),
    ("cache/others", "other"),
];

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Count,
    Share,
    Millis,
    Bytes,
    Text,
}

/// A column of a table.
pub struct Column {
    pub key: &'static str,
    pub title: &'static str,
    /// Characters; 0: what is left.
    pub width: u16,
    pub kind: Kind,
}

const fn column(key: &'static str, title: &'static str, width: u16, kind: Kind) -> Column {
    Column {
        key,
        title,
        width,
        kind,
    }
}

/// A table that can be looked at.
pub struct Tab {
    pub title: &'static str,
    view: &'static str,
    pub columns: &'static [Column],
    pub empty: &'static str,
}

/// All of them.
pub const TABS: [Tab; 3] = [
    Tab {
        title: "Statements",
        view: "queries",
        columns: &[
            column("calls", "CALLS", 6, Kind::Count),
            column("hit_ratio", "HIT", 7, Kind::Share),
            column("misses", "MISS", 6, Kind::Count),
            column("bypasses", "BYPASS", 6, Kind::Count),
            column("saved_ms", "SAVED", 9, Kind::Millis),
            column("upstream_ms_avg", "DATABASE", 8, Kind::Millis),
            column("query", "STATEMENT", 0, Kind::Text),
        ],
        empty: "No statement has come yet.",
    },
    Tab {
        title: "Reasons",
        view: "reasons",
        columns: &[
            column("count", "COUNT", 6, Kind::Count),
            column("reason", "REASON", 22, Kind::Text),
            column("meaning", "MEANING", 0, Kind::Text),
        ],
        empty: "Nothing was passed on.",
    },
    Tab {
        title: "Tables",
        view: "tables",
        columns: &[
            column("entries", "ANSWERS", 7, Kind::Count),
            column("bytes", "MEMORY", 8, Kind::Bytes),
            column("invalidations", "UNTRUE", 6, Kind::Count),
            column("last_write", "LAST", 23, Kind::Text),
            column("database", "DATABASE", 12, Kind::Text),
            column("table", "TABLE", 0, Kind::Text),
        ],
        empty: "No table was read or written yet.",
    },
];

/// The value of a column, as it is shown.
pub fn cell(row: &Value, column: &Column) -> String {
    let value = &row[column.key];
    match (column.kind, value.as_f64()) {
        (Kind::Count, Some(number)) => short(number),
        (Kind::Millis, Some(number)) => span(number / 1e3),
        (Kind::Bytes, Some(number)) => bytes(number),
        (Kind::Share, _) => share(value),
        (Kind::Text, _) if column.key == "table" => {
            let part = |key: &str| line(row[key].as_str().unwrap_or_default());
            format!("{}.{}", part("schema"), part("table"))
        }
        (_, _) => line(value.as_str().unwrap_or_default()),
    }
}

/// Everything that is shown.
#[derive(Default)]
pub struct Board {
    pub address: String,
    pub status: Option<Status>,
    /// Per second, by outcome.
    pub rates: Option<[f64; 5]>,
    /// Why there is no newer status.
    pub lost: Option<String>,
    pub tab: usize,
    pub sort: usize,
    pub up: bool,
    pub selected: usize,
    /// Whether a person is asked if he means it.
    pub asks: bool,
    pub said: Option<String>,
}

impl Board {
    /// Takes a newer status, so long after the one before.
    pub fn take(&mut self, status: Result<Status, String>, after: Duration) {
        match status {
            Ok(status) => {
                let seconds = after.as_secs_f64();
                self.rates = self
                    .status
                    .as_ref()
                    .filter(|_| self.lost.is_none() && seconds > 0.0)
                    .map(|before| {
                        // One that has restarted counts from nothing.
                        OUTCOMES.map(|(path, _)| {
                            ((status.number(path) - before.number(path)) / seconds).max(0.0)
                        })
                    });
                self.status = Some(status);
                self.lost = None;
            }
            Err(error) => {
                self.lost = Some(error);
                self.rates = None;
            }
        }
    }

    /// Whether an operator has paused the cache.
    pub fn paused(&self) -> bool {
        let status = self.status.as_ref();
        status.is_some_and(|status| status.at("larder/paused") == &Value::Bool(true))
    }

    /// The rows of a table, sorted by what was chosen if it is the one looked at.
    pub fn rows(&self, tab: usize) -> Vec<&Value> {
        let of = &TABS[tab];
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let mut rows: Vec<_> = status.rows(of.view).iter().collect();
        if of.view == "reasons" {
            rows.retain(|row| row["count"].as_u64().unwrap_or_default() > 0);
        }
        let (sort, up) = if tab == self.tab {
            (self.sort, self.up)
        } else {
            (0, false)
        };
        let column = &of.columns[sort.min(of.columns.len() - 1)];
        rows.sort_by(|a, b| {
            let order = order(a, b, column);
            if up { order.reverse() } else { order }
        });
        rows
    }

    /// Another table.
    pub fn turn(&mut self, forward: bool) {
        let step = if forward { 1 } else { TABS.len() - 1 };
        self.tab = (self.tab + step) % TABS.len();
        (self.sort, self.up, self.selected) = (0, false, 0);
    }

    /// Another row.
    pub fn step(&mut self, by: isize) {
        let last = self.rows(self.tab).len().saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }

    /// Sorted by the next column.
    pub fn sort_next(&mut self) {
        self.sort = (self.sort + 1) % TABS[self.tab].columns.len();
        self.up = false;
    }
}

/// The most first, and text by the alphabet; what has no value last.
fn order(a: &Value, b: &Value, column: &Column) -> Ordering {
    match column.kind {
        Kind::Text => cell(a, column).cmp(&cell(b, column)),
        _ => {
            let of = |row: &Value| row[column.key].as_f64().unwrap_or(-1.0);
            of(b).total_cmp(&of(a))
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use serde_json::json;

    /// A status with two statements.
    pub fn status(hits: u64) -> Status {
        Status(json!({
            "larder": {"version": "1", "mode": "on", "paused": false, "phase": "running", "uptime_seconds": 60},
            "cache": {"hits": hits, "misses": 10, "bypasses": 5, "writes": 1, "others": 0, "hit_ratio": 0.5,
                "time_saved_seconds": 2.0, "bytes": 10_000, "limit_bytes": 1_048_576, "entries": 12, "open": true},
            "queries": [
                {"id": "0000000000000001", "calls": 5, "hit_ratio": null, "misses": 0, "bypasses": 5, "saved_ms": 0.0,
                 "upstream_ms_avg": 1.0, "query": "SELECT \u{1b}[31mred", "reason": "user_function", "reasons": "user_function=5"},
                {"id": "0000000000000002", "calls": 20, "hit_ratio": 0.5, "misses": 10, "bypasses": 0, "saved_ms": 2000.0,
                 "upstream_ms_avg": 0.4, "query": "SELECT name\nFROM people", "cause": "public.people"}
            ],
            "reasons": [{"reason": "user_function", "count": 5, "meaning": "m", "remedy": "r"}, {"reason": "other", "count": 0}],
            "tables": [{"database": "d", "schema": "public", "table": "people", "entries": 3, "bytes": 9, "invalidations": 1, "last_write": null}],
        }))
    }

    #[test]
    fn rates_are_of_the_time_between_and_start_anew_with_another_larder() {
        let mut board = Board::default();
        board.take(Ok(status(10)), Duration::from_secs(2));
        assert_eq!(board.rates, None);
        board.take(Ok(status(30)), Duration::from_secs(2));
        assert_eq!(board.rates.unwrap()[0], 10.0);
        board.take(Ok(status(0)), Duration::from_secs(2));
        assert_eq!(board.rates.unwrap()[0], 0.0);
        board.take(Err("gone".into()), Duration::from_secs(2));
        assert_eq!((board.rates, board.lost.as_deref()), (None, Some("gone")));
        board.take(Ok(status(9)), Duration::from_secs(2));
        assert_eq!((board.rates, board.lost.as_deref()), (None, None));
    }

    #[test]
    fn rows_are_sorted_by_what_is_chosen() {
        let mut board = Board::default();
        board.take(Ok(status(1)), Duration::ZERO);
        let first = |board: &Board| board.rows(board.tab)[0]["calls"].as_u64();
        assert_eq!(first(&board), Some(20));
        board.up = true;
        assert_eq!(first(&board), Some(5));
        for _ in 0..3 {
            board.sort_next();
        }
        assert_eq!(
            (TABS[0].columns[board.sort].key, first(&board)),
            ("bypasses", Some(5))
        );
        board.step(5);
        assert_eq!(board.selected, 1);
        board.turn(false);
        assert_eq!((board.tab, board.selected, board.rows(2).len()), (2, 0, 1));
        board.turn(false);
        assert_eq!((board.tab, board.rows(1).len()), (1, 1));
    }
}
