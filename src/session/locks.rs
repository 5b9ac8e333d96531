//! The question to a backend what its transaction has locked, in front of a COMMIT that would raise everything, or of the
//! Sync that ends an implicit transaction.
//!
//! * The intent opens on everything before the COMMIT leaves, whatever is asked. What was answered counts only once the
//!   COMMIT has succeeded; then the intent closes with nothing, and what was locked is raised: before the client is told.
//! * It cannot fail but where the COMMIT could have: everybody may ask (`sql::catalog::Locking`), nothing in it waits for
//!   a lock or reads a table, and it is not asked where a time-out is short. If it fails all the same (a cancel), the client hears that
//!   error in the place of its COMMIT's answer, in a block that has failed, as from PostgreSQL.
//! * Names and operators are written with their schema. A user's code may stand behind neither.
//! * Rows of system catalogs that the transaction has changed are counted by the backend itself, of the transactions of
//!   its last second, too: a count too many raises the catalog once more. 0 stands for what locks do not tell: a cursor
//!   WITH HOLD is run to its end by COMMIT, and nothing is counted without `track_counts`.
//!
//! Not here: what a lock means (`sql::catalog::Locking`); a simple Query in autocommit, which leaves no place for a
//! question: that raises everything.

use super::pending::{Owed, Segment, Tag};
use super::portal::ASIDE;
use super::text::Text;
use super::{Io, Mode, Session};
use crate::cache::version::WriteSet;
use crate::config::Pooler;
use crate::guard::{Guard, stands};
use crate::sql::Oid;
use crate::sql::statement::Statement;
use crate::wire::frame;
use crate::wire::message;

/// One column of relations. The numbers are those of the system catalogs whose rows analysis or introspection shows;
/// `pg_largeobject` and dependencies are not among them.
pub const QUESTION: &str = "SELECT l.relation FROM pg_catalog.pg_lock_status() l \
    WHERE l.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid() AND l.locktype OPERATOR(pg_catalog.=) 'relation' \
    AND l.mode OPERATOR(pg_catalog.<>) 'AccessShareLock' AND l.mode OPERATOR(pg_catalog.<>) 'RowShareLock' \
    UNION ALL SELECT c.c FROM pg_catalog.unnest('{1213,1247,1249,1255,1259,1260,1261,1262,1417,1418,2224,2328,2396,2600,\
    2601,2602,2603,2604,2605,2606,2607,2609,2610,2611,2612,2615,2616,2617,2618,2619,2620,2753,2964,3079,3118,3256,3350,\
    3381,3394,3429,3456,3466,3501,3541,3576,3600,3601,3602,3603,3764,6100,6102,6104,6106,6237,6243,826}'\
    ::pg_catalog.oid[]) c(c) WHERE ((pg_catalog.pg_stat_get_xact_tuples_inserted(c.c) OPERATOR(pg_catalog.+) \
    pg_catalog.pg_stat_get_xact_tuples_updated(c.c)) OPERATOR(pg_catalog.+) \
    pg_catalog.pg_stat_get_xact_tuples_deleted(c.c)) OPERATOR(pg_catalog.>) '0' \
    UNION ALL SELECT '0'::pg_catalog.oid FROM pg_catalog.pg_cursor() k WHERE k.is_holdable \
    UNION ALL SELECT '0'::pg_catalog.oid WHERE pg_catalog.current_setting('track_counts') OPERATOR(pg_catalog.<>) 'on'";

/// What a transaction has locked, as far as it was asked.
#[derive(Debug, Default)]
pub enum Locked {
    #[default]
    Unknown,
    /// The backend tells.
    Coming(Vec<Oid>),
    /// It has told all.
    Told(Vec<Oid>),
}

impl Locked {
    /// A row of the answer.
    fn row(&mut self, body: &[u8]) {
        let Locked::Coming(all) = self else {
            return;
        };
        let oid = message::data_row(body).and_then(|fields| match &*fields {
            [Some(text)] => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        });
        match oid {
            Some(oid) => all.push(oid),
            None => *self = Locked::Unknown,
        }
    }

    /// The answer is complete.
    pub fn complete(&mut self) {
        *self = match std::mem::take(self) {
            Locked::Coming(all) => Locked::Told(all),
            _ => Locked::Unknown,
        };
    }
}

impl Session {
    /// Asks in front of a COMMIT that is about to be sent.
    pub(super) fn ask_at_commit(&mut self, text: &Text, io: &mut Io<'_>) {
        let open = self.pending.unfinished();
        let alone = open.is_none_or(|segment| segment.ran.is_empty() && segment.writes.is_empty());
        if alone
            && is_commit(text)
            && self.transaction.status() == b'T'
            && self.may_ask_locks(&self.transaction.writes)
        {
            self.ask_locks(io);
        }
    }

    /// Asks in front of a Sync that is about to be sent and ends an implicit transaction.
    pub(super) fn ask_at_sync(&mut self, io: &mut Io<'_>) {
        let asks = self.pending.unfinished().is_some_and(|segment| {
            !segment.marks.ends
                && segment.ran.iter().all(|text| only_queries(text))
                && self.may_ask_locks(&segment.writes)
        });
        if asks && self.transaction.status() == b'I' {
            self.ask_locks(io);
        }
    }

    fn may_ask_locks(&self, writes: &WriteSet) -> bool {
        writes.asks()
            && self.thread.mode() != Mode::Off
            && self.thread.pooler == Pooler::None
            && self.database.is_direct()
            && !self.flow.replication
            // What is not answered may yet write, begin or end a block.
            && (self.settings.is_patient() && !self.pending.has_closed() || !stands(Guard::LocksUnhurried))
    }

    fn ask_locks(&mut self, io: &mut Io<'_>) {
        self.transaction.locked = Locked::Coming(Vec::new());
        // Each time anew: the code that has run may have thrown away what was prepared (DEALLOCATE ALL).
        self.parse_aside(QUESTION.as_bytes(), &[], io);
        // The unnamed portal may be the one that is about to run.
        frame::put(io.upstream, b'C', &[b"P", ASIDE, b"\0"].concat());
        self.hidden(Owed::Simple, io);
        let names = [ASIDE, b"\0", ASIDE].concat();
        frame::put(io.upstream, b'B', &[&names[..], b"\0\0\0\0\0\0\0"].concat());
        self.hidden(Owed::Simple, io);
        frame::put(io.upstream, b'E', &[ASIDE, b"\0\0\0\0\0"].concat());
        self.hidden(Owed::Locks, io);
    }

    /// Rows of the answer.
    pub(super) fn locks_told(&mut self, mut rows: &[u8]) {
        while let frame::Frame::Whole { body, .. } = frame::peek(rows) {
            self.transaction.locked.row(body);
            rows = &rows[frame::HEAD + body.len()..];
        }
    }

    /// What the transaction has written that this segment has committed, if its locks have told; `status`: what it is now.
    pub(super) fn narrowed(&mut self, segment: &Segment, status: u8) -> Option<WriteSet> {
        let Locked::Told(locked) = std::mem::take(&mut self.transaction.locked) else {
            return None;
        };
        let done = match self.transaction.status() {
            b'I' => status == b'I' && segment.tag.is_done(),
            _ => segment.tag == Tag::Other && matches!(&*segment.ran, [one] if is_commit(one)),
        };
        if (!done || segment.marks.failed) && stands(Guard::LocksOfSuccess) {
            return None;
        }
        let catalog = self.database.catalog()?;
        let (touched, changed) = catalog.written(&locked);
        let mut writes = self.transaction.writes.clone();
        writes.add(&segment.writes);
        writes.narrowed(touched, changed, catalog.version)
    }
}

fn is_commit(text: &Text) -> bool {
    matches!(text.single(), Some(Statement::Commit { .. }))
}

fn only_queries(text: &Text) -> bool {
    let mut statements = text.analysis.statements.iter();
    statements.all(|statement| matches!(statement, Statement::Query(_)))
}

/// How soon the backend gives up what it does.
#[derive(Clone, Copy, Debug, Default)]
pub struct Patience {
    /// A time-out that may be in force now is short, or not known.
    short: bool,
    /// So it was when the backend was first asked.
    at_login: bool,
}

/// Shorter time-outs (in milliseconds) could be those that the client counts on to be met.
const SHORT: u64 = 1000;

impl Patience {
    /// Before the backend was asked.
    pub const UNKNOWN: Patience = Patience {
        short: true,
        at_login: true,
    };

    /// Whether no time-out is short.
    pub fn is_long(self) -> bool {
        !self.short
    }

    /// The backend has told its time-outs; `first`: before the client could set any.
    pub fn read(&mut self, timeouts: &str, first: bool) {
        self.short = !timeouts.split(' ').all(is_long);
        if first {
            self.at_login = self.short;
        }
    }

    /// A SET, or with `None` a RESET, of any setting; `stays`: it is not undone by a ROLLBACK or a COMMIT.
    pub fn set(&mut self, name: &str, value: Option<&str>, stays: bool) {
        if !matches!(name, "statement_timeout" | "transaction_timeout") {
            return;
        }
        match value {
            // Of two the other may still be short: only the backend knows.
            Some(value) => self.short |= !is_long(value),
            None if stays => self.short |= self.at_login,
            None => self.short = true,
        }
    }

    /// RESET ALL, DISCARD ALL.
    pub fn reset(&mut self) {
        self.short |= self.at_login;
    }
}

/// Whether a time-out as PostgreSQL shows it, or as a client writes it, is none or long.
fn is_long(value: &str) -> bool {
    let value = value.trim();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let Ok(number) = value[..digits].parse::<u64>() else {
        return false;
    };
    let factor = match value[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" | "h" | "d" => 60_000,
        _ => return false,
    };
    number == 0 || number.saturating_mul(factor) >= SHORT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_time_out_is_known_until_the_backend_says_otherwise() {
        for (value, long) in [
            ("0", true),
            ("1000", true),
            ("30s", true),
            (" 5 min ", true),
            ("999", false),
            ("250ms", false),
            ("-1", false),
            ("", false),
            ("1us", false),
            ("1.5s", false),
        ] {
            assert_eq!(is_long(value), long, "{value:?}");
        }
        let mut patience = Patience::UNKNOWN;
        assert!(!patience.is_long(), "before it was asked");
        patience.read("0 0", true);
        patience.set("work_mem", Some("1"), true);
        patience.set("statement_timeout", Some("5s"), true);
        patience.reset();
        assert!(patience.is_long());
        patience.set("statement_timeout", Some("5ms"), false);
        patience.set("statement_timeout", Some("5s"), true);
        assert!(!patience.is_long(), "it may be another that was short");
        patience.read("5s 0", false);
        assert!(patience.is_long());
        patience.set("transaction_timeout", None, false);
        assert!(!patience.is_long());
        // A role whose default is short, and a client that sets another.
        let mut patience = Patience::UNKNOWN;
        patience.read("50ms", true);
        patience.read("50s", false);
        assert!(patience.is_long());
        patience.reset();
        assert!(!patience.is_long());
    }

    #[test]
    fn a_row_that_is_none_makes_the_answer_count_for_nothing() {
        let row = |text: &[u8]| {
            let mut body = vec![0, 1, 0, 0, 0, text.len() as u8];
            body.extend_from_slice(text);
            body
        };
        let mut locked = Locked::Coming(Vec::new());
        for text in [&b"16384"[..], b"0"] {
            locked.row(&row(text));
        }
        locked.complete();
        assert!(matches!(&locked, Locked::Told(all) if *all == [16384, 0]));
        let mut locked = Locked::Coming(Vec::new());
        locked.row(&row(b"t"));
        locked.row(&row(b"1"));
        locked.complete();
        assert!(matches!(locked, Locked::Unknown));
    }
}
