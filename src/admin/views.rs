//! What an operator is shown: tables with named columns, the same on the console and in JSON.
//!
//! * A view is made of the numbers of one moment, each right by itself; they are not of one instant together.
//! * No parameter, row or password, and no text but without its constants.
//! * Names and columns that PgBouncer has mean what they mean there.

use super::desk::Desk;
use crate::cache::store::{Cause, Census};
use crate::metrics::{Line, Outcome, State};
use crate::session::Mode;
use crate::why::Why;
use std::collections::BTreeMap;
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
    shown("STATS", "what passed, by database", stats),
    shown("POOLS", "connections by database and user", pools),
    shown("CLIENTS", "who is connected", clients),
    shown("SERVERS", "connections to the database", servers),
    shown("DATABASES", "where clients go", databases),
    shown("USERS", "who has come", users),
    shown("LISTS", "how many of what", lists),
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
    let Census { statements, .. } = desk.shared.store.census();
    let row = |line: Line| {
        let share = statements.get(&line.id).copied().unwrap_or_default();
        let timed = line.timed.max(1) as f64;
        row![
            format!("{:016x}", line.id),
            line.calls,
            line.hits,
            line.misses,
            line.bypasses,
            line.writes,
            line.others,
            line.hit_ratio(),
            millis(line.saved),
            millis(line.upstream) / timed,
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
    let Census { relations, .. } = desk.shared.store.census();
    let rows = desk.shared.ledger.tables().into_iter().filter_map(|line| {
        let (schema, name) = line.name?;
        let key = (line.database.clone(), line.relation);
        let share = relations.get(&key).copied().unwrap_or_default();
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
            Some(why) if crate::sql::may_overrule(why) => Some(format!(
                "[[rule]]\nstatement = \"{id}\"\ntrust = true   # only if its functions read nothing but these tables"
            )),
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
            millis(line.saved),
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

fn stats(desk: &Desk) -> View {
    let metrics = &desk.metrics;
    let all: u64 = Outcome::ALL
        .iter()
        .map(|outcome| metrics.outcomes(*outcome))
        .sum();
    let upstream = metrics.upstream_queries();
    let seconds = desk.started.elapsed().as_secs().max(1);
    View {
        columns: &[
            "database",
            "total_query_count",
            "total_upstream_count",
            "total_hit_count",
            "total_saved_time",
            "avg_query_count",
            "avg_upstream_count",
        ],
        rows: vec![row![
            "(all)",
            all,
            upstream,
            metrics.outcomes(Outcome::Hit),
            u64::try_from(metrics.saved().as_micros()).unwrap_or(u64::MAX),
            all / seconds,
            upstream / seconds,
        ]],
    }
}

#[derive(Default)]
struct Pool {
    cl_active: u64,
    cl_waiting: u64,
    sv_active: u64,
    sv_idle: u64,
    maxwait: Duration,
    pooled: bool,
}

fn pools(desk: &Desk) -> View {
    let mut pools: BTreeMap<(Box<str>, Box<str>), Pool> = BTreeMap::new();
    let key = |state: &State| (state.name.database.clone(), state.name.user.clone());
    for client in desk.metrics.roll.clients() {
        let pool = pools.entry(key(&client)).or_default();
        match client.waits {
            Some(waits) => {
                pool.cl_waiting += 1;
                pool.maxwait = pool.maxwait.max(waits);
            }
            None => pool.cl_active += 1,
        }
    }
    for server in desk.metrics.roll.servers() {
        let pool = pools.entry(key(&server)).or_default();
        pool.pooled |= server.name.pooled;
        match server.link {
            Some(_) => pool.sv_active += 1,
            None => pool.sv_idle += 1,
        }
    }
    let mode = |pooled| if pooled { "pooled" } else { "relayed" };
    let rows = pools.into_iter().map(|((database, user), pool)| {
        row![
            &*database,
            &*user,
            pool.cl_active,
            pool.cl_waiting,
            pool.sv_active,
            pool.sv_idle,
            pool.maxwait.as_secs(),
            u64::from(pool.maxwait.subsec_micros()),
            mode(pool.pooled),
        ]
    });
    View {
        columns: &[
            "database",
            "user",
            "cl_active",
            "cl_waiting",
            "sv_active",
            "sv_idle",
            "maxwait",
            "maxwait_us",
            "pool_mode",
        ],
        rows: rows.collect(),
    }
}

const CONNECTION: &[&str] = &[
    "type",
    "user",
    "database",
    "state",
    "addr",
    "connect_time",
    "request_time",
    "wait",
    "wait_us",
    "link",
    "remote_pid",
    "tls",
    "application_name",
    "id",
];

fn connection(kind: &str, state: State) -> Vec<Value> {
    let is = match (kind, state.waits, state.link) {
        (_, Some(_), _) => "waiting",
        ("S", _, None) => "idle",
        _ => "active",
    };
    let waits = state.waits.unwrap_or_default();
    let mut row = row![
        kind,
        &*state.name.user,
        &*state.name.database,
        is,
        &*state.name.peer,
        time(state.since),
        time(state.asked),
        waits.as_secs(),
        u64::from(waits.subsec_micros()),
        state.link,
    ];
    row.push(Value::Int(state.pid.into()));
    row.push(Value::from(if state.name.tls { "TLS" } else { "" }));
    row.push(Value::from(&*state.name.application));
    row.push(Value::from(state.id));
    row
}

fn clients(desk: &Desk) -> View {
    let all = desk.metrics.roll.clients().into_iter();
    View {
        columns: CONNECTION,
        rows: all.map(|state| connection("C", state)).collect(),
    }
}

fn servers(desk: &Desk) -> View {
    let all = desk.metrics.roll.servers().into_iter();
    View {
        columns: CONNECTION,
        rows: all.map(|state| connection("S", state)).collect(),
    }
}

fn databases(desk: &Desk) -> View {
    let clients = desk.metrics.roll.clients();
    let servers = desk.metrics.roll.servers();
    let rows = desk.shared.ledger.all().into_iter().map(|database| {
        let of = |states: &[State]| {
            let of = states
                .iter()
                .filter(|s| *s.name.database == *database.name());
            of.count()
        };
        let mut row = row![database.name(), of(&clients), of(&servers)];
        row.push(Value::Bool(database.catalog().is_some()));
        row
    });
    View {
        columns: &[
            "name",
            "current_client_connections",
            "current_connections",
            "catalog_loaded",
        ],
        rows: rows.collect(),
    }
}

fn users(desk: &Desk) -> View {
    let mut users: BTreeMap<Box<str>, u64> = BTreeMap::new();
    for client in desk.metrics.roll.clients() {
        *users.entry(client.name.user).or_default() += 1;
    }
    let rows = users
        .into_iter()
        .map(|(user, clients)| row![&*user, clients]);
    View {
        columns: &["name", "current_client_connections"],
        rows: rows.collect(),
    }
}

fn lists(desk: &Desk) -> View {
    let (clients, servers) = (desk.metrics.roll.clients(), desk.metrics.roll.servers());
    let used = servers
        .iter()
        .filter(|server| server.link.is_some())
        .count();
    View {
        columns: &["list", "items"],
        rows: vec![
            row!["databases", desk.shared.ledger.all().len()],
            row!["users", users(desk).rows.len()],
            row!["pools", pools(desk).rows.len()],
            row!["used_clients", clients.len()],
            row!["used_servers", used],
            row!["free_servers", servers.len() - used],
            row!["statements", desk.metrics.statements.lines().len()],
            row!["entries", desk.shared.store.entries()],
        ],
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
        rows: vec![row!["phase", phase], row!["cache", mode(desk)]],
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
