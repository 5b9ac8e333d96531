//! The question to a backend about itself, and its answer.
//!
//! * Names are written with their schema: nothing that a user made can stand in for what PostgreSQL brings with it.
//! * What cannot be read counts against the cache: a backend that does not say that it is no standby is one.
//!
//! Not here: when it is asked, and what follows (`settings`).

use crate::cache::servers::position;

/// Settings read on the backend. Of those that no client can see reported, a role's or a database's default may differ.
pub(super) const TRACKED: [&str; 29] = [
    "search_path",
    "timezone",
    "datestyle",
    "intervalstyle",
    "extra_float_digits",
    "bytea_output",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "xmlbinary",
    "xmloption",
    "default_text_search_config",
    "backslash_quote",
    "transform_null_equals",
    "array_nulls",
    "quote_all_identifiers",
    "row_security",
    "session_replication_role",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "default_transaction_deferrable",
    "client_min_messages",
    "gin_fuzzy_search_limit",
    "timezone_abbreviations",
    "standard_conforming_strings",
    OWN[0],
    OWN[1],
    OWN[2],
];

/// Larder's own settings, the last of those: they change no answer, and what reads them is not kept.
pub(super) const OWN: [&str; 3] = ["larder.cache", "larder.ttl", "larder.trace"];

/// Settings that change no answer: times, logging, memory, names.
pub(super) const HARMLESS: [&str; 20] = [
    "application_name",
    "statement_timeout",
    "lock_timeout",
    "transaction_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "client_connection_check_interval",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_keepalives_count",
    "tcp_user_timeout",
    "synchronous_commit",
    "work_mem",
    "maintenance_work_mem",
    "temp_buffers",
    "log_statement",
    "log_min_duration_statement",
    "log_duration",
    "jit",
    "client_encoding", // anything but UTF8 is a bypass
];

/// Columns of the probe before the tracked settings.
const PROBE_HEAD: &str = "SELECT pg_catalog.pg_backend_pid(), (SELECT pg_catalog.to_char(pg_catalog.timezone('UTC', \
     a.backend_start), 'YYYY-MM-DD HH24:MI:SS.US') FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a), \
     session_user, current_user, pg_catalog.pg_my_temp_schema(), \
     (SELECT pg_catalog.concat_ws('/', s.system_identifier, c.timeline_id, d.oid) FROM pg_catalog.pg_control_system() s, \
     pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_database d \
     WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()), pg_catalog.pg_is_in_recovery(), \
     pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.pg_postmaster_start_time()), 'YYYY-MM-DD HH24:MI:SS.US'), \
     CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_insert_lsn() END, \
     pg_catalog.concat_ws(' ', pg_catalog.current_setting('statement_timeout'), \
     pg_catalog.current_setting('transaction_timeout', true))";

/// The question to the backend about itself: one row, all text.
pub fn probe() -> String {
    let settings = TRACKED
        .iter()
        .map(|name| format!(", pg_catalog.current_setting('{name}', true)"));
    std::iter::once(PROBE_HEAD.to_owned())
        .chain(settings)
        .collect()
}

/// What the backend said of itself.
#[derive(Debug)]
pub(super) struct Probed {
    /// Its process id and start.
    pub backend: (i32, Option<Box<str>>),
    pub session_user: Box<str>,
    pub current_user: Box<str>,
    pub temporary: bool,
    /// Cluster, timeline and database: another server under the same name is another context (hazards 18, 68).
    pub identity: Box<str>,
    /// It replays another server's writes.
    pub recovery: bool,
    /// When its server was started.
    pub started: Box<str>,
    /// Where its write-ahead log ended; no two backends say the same.
    pub position: Option<u64>,
    /// Time-outs in force: in no key, and no other backend need say the same.
    pub timeouts: Box<str>,
    /// The tracked settings, in their order.
    pub values: Box<[Box<str>]>,
}

impl Probed {
    /// The answer to [`probe`]; `None` if it is not one.
    pub fn read(fields: &[Option<&[u8]>]) -> Option<Probed> {
        let text =
            |field: &Option<&[u8]>| Some(Box::<str>::from(std::str::from_utf8((*field)?).ok()?));
        let [
            pid,
            start,
            session,
            current,
            temporary,
            identity,
            recovery,
            started,
            end,
            timeouts,
            values @ ..,
        ] = fields
        else {
            return None;
        };
        if values.len() != TRACKED.len() {
            return None;
        }
        Some(Probed {
            backend: (text(pid)?.parse().ok()?, text(start)),
            session_user: text(session)?,
            current_user: text(current)?,
            temporary: &*text(temporary)? != "0",
            identity: text(identity).unwrap_or_default(),
            recovery: text(recovery).as_deref() != Some("f"),
            started: text(started).unwrap_or_default(),
            position: text(end).and_then(|end| position(&end)),
            timeouts: text(timeouts).unwrap_or_default(),
            values: values.iter().map(|v| text(v).unwrap_or_default()).collect(),
        })
    }

    /// Whether another backend of the same server has said the same.
    pub fn says_the_same(&self, other: &Probed) -> bool {
        self.session_user == other.session_user
            && self.current_user == other.current_user
            && self.identity == other.identity
            && self.started == other.started
            && (self.temporary, self.recovery) == (other.temporary, other.recovery)
            && self.values == other.values
    }
}
