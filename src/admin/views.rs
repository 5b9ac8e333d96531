//! What an operator is shown: tables with named columns, the same on the console and in JSON.
//!
//! * A view is made of the numbers of one moment, each right by itself; they are not of one instant together.
//! * No parameter, row or password, and no text but without its constants.
//! * Names and columns that PgBouncer has mean what they mean there.

mod people;
mod stats;

use super::desk::Desk;
use crate::cache::store::Cause;
use crate::metrics::{Line, Outcome};
use crate::session::Mode;
use crate::why::Why;
use std::time::{Duration, SystemTime};

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Value {
        Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::from(number as u64)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Bool(yes)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Float(number)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Null => Ok(()),
            Value::Text(text) => f.write_str(text),
            Value::Int(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number:.3}"),
            Value::Bool(yes) => f.write_str(if *yes { "t" } else { "f" }),
        }
    }
}

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub columns: &'static [&'static str],
    pub rows: Vec<Vec<Value>>,
}

/// Makes a row.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$(Value::from($value)),*] };
}
use row;

/// A view of a name, as `SHOW` takes it.
pub struct Shown {
    pub name: &'static str,
    pub what: &'static str,
    pub make: fn(&Desk) -> View,
}

/// All views.
pub const ALL: &[Shown] = &[
    shown("CACHE", "what is in memory, and what came of it", cache),
    shown("QUERIES", "what each statement did", queries),
    shown("TABLES", "what was read and written", tables),
    shown("REASONS", "why statements were passed on", reasons),
    shown("SOURCES", "who tells of writes", sources),
    shown("RULES", "what the configuration says of whom", rules),
    shown("REPORT", "what would help, statement by statement", report),
    shown("STATS", "what has passed, by database", stats::stats),
    shown("STATS_TOTALS", "… since the start", stats::totals),
    shown("TOTALS", "… of all databases together", stats::sums),
    shown(
        "STATS_AVERAGES",
        "… a second, in the last minute",
        stats::averages,
    ),
    shown("POOLS", "connections by database and user", people::pools),
    shown("CLIENTS", "who is connected", people::clients),
    shown("SERVERS", "connections to the database", people::servers),
    shown(
        "SOCKETS",
        "clients and connections to the database",
        people::sockets,
    ),
    shown("DATABASES", "where clients go", people::databases),
    shown("USERS", "who is connected, by name", people::users),
    shown("LISTS", "how many of what", people::lists),
    shown("MEM", "what takes memory", mem),
    shown("CONFIG", "the settings in force", config),
    shown("STATE", "whether it runs", state),
    shown("VERSION", "which Larder this is", version),
];

const fn shown(name: &'static str, what: &'static str, make: fn(&Desk) -> View) -> Shown {
    Shown { name, what, make }
}

/// A moment in UTC, as PostgreSQL writes it.
fn time(at: SystemTime) -> String {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days since 0000-03-01 (H. Hinnant, chrono-compatible low-level date algorithms).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

fn ratio(part: u64, of: u64) -> Value {
    match of {
        0 => Value::Null,
        _ => Value::Float(part as f64 / of as f64),
    }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How the cache is, in one word.
pub fn mode(desk: &Desk) -> &'static str {
    let live = desk.shared.steering.live();
    match live.mode {
        Mode::Off => "off",
        _ if live.paused => "paused",
        _ if live.shared => "upgrade",
        Mode::Observe => "observe",
        Mode::On => "on",
    }
}

fn cache(desk: &Desk) -> View {
    let (shared, metrics) = (&desk.shared, &desk.metrics);
    let of = |outcome| metrics.outcomes(outcome);
    let (hits, misses) = (of(Outcome::Hit), of(Outcome::Miss));
    let gone = |cause| Value::from(shared.store.gone(cause));
    let rows = vec![
        row!["mode", mode(desk)],
        vec!["open".into(), Value::Bool(shared.is_open())],
        row!["entries", shared.store.entries()],
        row!["bytes", shared.store.bytes()],
        row!["limit_bytes", shared.store.capacity()],
        row!["max_answer", shared.store.max_answer()],
        row!["hits", hits],
        row!["misses", misses],
        row!["bypasses", of(Outcome::Bypass)],
        row!["writes", of(Outcome::Write)],
        row!["others", of(Outcome::Other)],
        vec!["hit_ratio".into(), ratio(hits, hits + misses)],
        row!["time_saved_seconds", metrics.saved().as_secs_f64()],
        vec!["evicted_size".into(), gone(Cause::Size)],
        vec!["evicted_ttl".into(), gone(Cause::Ttl)],
        vec!["evicted_invalid".into(), gone(Cause::Stale)],
        row!["uptime_seconds", desk.started.elapsed().as_secs()],
    ];
    View {
        columns: &["name", "value"],
        rows,
    }
}

fn reasons_of(line: &Line) -> String {
    let all = line.reasons.iter();
    let all: Vec<_> = all.map(|(why, n)| format!("{}={n}", why.label())).collect();
    all.join(", ")
}

fn queries(desk: &Desk) -> View {
    let census = desk.census();
    let row = |line: Line| {
        let share = census.statements.get(&line.id).copied().unwrap_or_default();
        let timed = line.costs.timed.max(1) as f64;
        row![
            format!("{:016x}", line.id),
            line.calls,
            line.hits,
            line.misses,
            line.bypasses,
            line.writes,
            line.others,
            line.hit_ratio(),
            millis(line.costs.saved),
            millis(line.costs.upstream) / timed,
            share.entries,
            share.bytes,
            line.reasons.first().map(|(why, _)| why.label()),
            reasons_of(&line),
            line.invalidated.as_ref().map(|found| time(found.at)),
            line.invalidated.as_ref().map(|found| &*found.cause),
            &*line.text,
        ]
    };
    View {
        columns: &[
            "id",
            "calls",
            "hits",
            "misses",
            "bypasses",
            "writes",
            "others",
            "hit_ratio",
            "saved_ms",
            "upstream_ms_avg",
            "entries",
            "bytes",
            "reason",
            "reasons",
            "last_invalidation",
            "cause",
            "query",
        ],
        rows: desk
            .metrics
            .statements
            .lines()
            .into_iter()
            .map(row)
            .collect(),
    }
}

fn tables(desk: &Desk) -> View {
    let census = desk.census();
    let rows = desk.shared.ledger.tables().into_iter().filter_map(|line| {
        let (schema, name) = line.name?;
        let key = (line.database.clone(), line.relation);
        let share = census.relations.get(&key).copied().unwrap_or_default();
        Some(row![
            &*line.database,
            &*schema,
            &*name,
            share.entries,
            share.bytes,
            line.invalidations,
            line.last.map(time),
        ])
    });
    View {
        columns: &[
            "database",
            "schema",
            "table",
            "entries",
            "bytes",
            "invalidations",
            "last_write",
        ],
        rows: rows.collect(),
    }
}

fn reasons(desk: &Desk) -> View {
    let rows = Why::ALL.iter().map(|why| {
        row![
            why.label(),
            desk.metrics.reasons(*why),
            why.text(),
            why.remedy()
        ]
    });
    View {
        columns: &["reason", "count", "meaning", "remedy"],
        rows: rows.collect(),
    }
}

fn sources(desk: &Desk) -> View {
    let mut rows = vec![row![
        "own traffic",
        "on",
        "every write through this Larder, before its client is told"
    ]];
    for database in desk.shared.ledger.all() {
        let loaded = database.catalog().is_some();
        rows.push(row![
            format!("catalog of {}", database.name()),
            if loaded { "loaded" } else { "loading" },
            "DDL made elsewhere, every catalog.refresh"
        ]);
    }
    rows.push(row![
        "replication",
        "not built",
        "writes past this Larder are seen by TTL alone"
    ]);
    View {
        columns: &["source", "state", "detail"],
        rows,
    }
}

fn rules(desk: &Desk) -> View {
    let live = desk.shared.steering.live();
    let mut rows: Vec<_> = live
        .rules
        .all()
        .map(|(words, says)| {
            let mut effects = Vec::new();
            if says.off {
                effects.push("off".to_owned());
            }
            if let Some(ttl) = says.ttl {
                effects.push(format!("ttl {:?}", Duration::from_micros(ttl)));
            }
            if says.trust {
                effects.push("trust".into());
            }
            if let Some(bytes) = says.max_bytes {
                effects.push(format!("at most {bytes} bytes"));
            }
            row![words, effects.join(", ")]
        })
        .collect();
    let default = Duration::from_micros(live.rules.default_ttl());
    rows.push(row!["cache.ttl", format!("ttl {default:?}")]);
    View {
        columns: &["rule", "effect"],
        rows,
    }
}

/// Statements that hit less often than that have something in their way.
const POOR: f64 = 0.5;

fn report(desk: &Desk) -> View {
    let row = |line: Line| {
        let id = format!("{:016x}", line.id);
        let why = line.reasons.first().map(|(why, _)| *why);
        let poor = line.hit_ratio().is_some_and(|ratio| ratio < POOR);
        let rule = match why {
            // What is another answer each time is nothing to keep, though a rule may say so.
            Some(why) if why != Why::VolatileFunction && crate::sql::may_overrule(why) => {
                Some(format!(
                    "[[rule]]\nstatement = \"{id}\"\ntrust = true   # only if its functions depend on nothing but these tables, the time included"
                ))
            }
            None if poor && line.calls > 100 => Some(format!(
                "[[rule]]\nstatement = \"{id}\"\noff = true   # it hits too seldom to be worth its memory"
            )),
            _ => None,
        };
        row![
            id,
            line.calls,
            line.hits,
            line.hit_ratio(),
            millis(line.costs.saved),
            why.map(Why::label),
            why.map(Why::remedy),
            rule,
            &*line.text,
        ]
    };
    let lines = desk.metrics.statements.lines();
    View {
        columns: &[
            "id",
            "calls",
            "would_hit",
            "hit_ratio",
            "saved_ms",
            "reason",
            "remedy",
            "rule",
            "query",
        ],
        rows: lines
            .into_iter()
            .filter(|line| line.id != 0)
            .map(row)
            .collect(),
    }
}

fn mem(desk: &Desk) -> View {
    let store = &desk.shared.store;
    View {
        columns: &["name", "used", "limit"],
        rows: vec![row!["answers", store.bytes(), store.capacity()]],
    }
}

fn config(desk: &Desk) -> View {
    let rows = (desk.settings)().into_iter().map(|setting| {
        let changeable = if setting.changeable { "yes" } else { "no" };
        row![setting.key, setting.value, setting.default, changeable]
    });
    View {
        columns: &["key", "value", "default", "changeable"],
        rows: rows.collect(),
    }
}

fn state(desk: &Desk) -> View {
    let phase = format!("{:?}", desk.drain.phase()).to_lowercase();
    View {
        columns: &["key", "value"],
        rows: vec![
            row!["active", if phase == "running" { "yes" } else { "no" }],
            row![
                "paused",
                if desk.target.gates.is_all_paused() {
                    "yes"
                } else {
                    "no"
                }
            ],
            row!["suspended", "no"],
            row!["phase", phase],
            row!["cache", mode(desk)],
        ],
    }
}

fn version(_: &Desk) -> View {
    View {
        columns: &["version"],
        rows: vec![row![concat!("Larder ", env!("CARGO_PKG_VERSION"))]],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_postgresql_writes_them() {
        let at = |seconds| time(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(at(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(at(1_795_564_799), "2026-11-24 23:59:59 UTC");
    }

    #[test]
    fn names_are_distinct() {
        let mut names: Vec<_> = ALL.iter().map(|shown| shown.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
