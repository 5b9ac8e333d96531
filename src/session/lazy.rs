//! Statements of a transaction that are held back: BEGIN, SAVEPOINT, RELEASE, ROLLBACK TO and SET LOCAL are answered here
//! and told the upstream in front of the first message that needs it. A transaction of hits never reaches it.
//!
//! * Held is only what cannot fail where it is told, or whose failure the client sees in its place: what is told goes
//!   without a Sync of its own, so that after an error nothing of what follows runs outside of the block.
//! * Held is only what stands alone: nothing of this client is on its way. What PostgreSQL would comment (a BEGIN
//!   in a block, a COMMIT outside of one) is PostgreSQL's to answer.
//! * Transactions whose first snapshot is theirs to the end (REPEATABLE READ, SERIALIZABLE) are not held: nothing hits
//!   in them, and BEGIN READ WRITE is refused by a server in recovery.

use std::rc::Rc;

use super::pending::Owed;
use super::portal::ASIDE;
use super::statements::{Known, Named, Portal};
use super::text::Text;
use super::transaction::Transaction;
use super::unit::Unit;
use super::{Io, Mode, Session};
use crate::sql::statement::{Isolation, Setting, Statement, TransactionModes};
use crate::wire::frame;
use crate::wire::message;

/// How many statements are held at most.
const HELD: usize = 64;
/// Longer texts of BEGIN are not kept prepared upstream.
const SHORT: usize = 64;
/// No client uses such names.
const NAME: &[u8] = b"larder\x01";

/// Which transactions are answered from memory (`cache.transactions`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transactions {
    /// Every READ COMMITTED one, until it writes.
    UntilWrite,
    /// Those that are declared READ ONLY.
    ReadOnly,
    /// None.
    Never,
}

impl Session {
    /// Answers a statement of transaction control here, if that is what the upstream would answer. Gives the command tag.
    pub(super) fn hold(&mut self, text: &Rc<Text>) -> Option<&'static str> {
        let statement = text.single()?;
        if self.thread.mode() != Mode::On
            || self.thread.live().transactions == Transactions::Never
            || self.flow.replication
            || !self.pending.nothing_awaited()
            // A BEGIN or COMMIT among it counts from its Sync on only.
            || self.pending.forwarded()
            || self.portals_over()
            || self.transaction.held.len() >= HELD
        {
            return None;
        }
        match (statement, self.transaction.status()) {
            (Statement::Begin(modes), b'I') => self.hold_begin(text, *modes),
            (Statement::Commit { chain: false }, b'T') => self.hold_end("COMMIT"),
            (Statement::Rollback { chain: false }, b'T') => self.hold_end("ROLLBACK"),
            (Statement::Savepoint(name), b'T') => {
                self.settings.savepoint(name);
                self.transaction.held.push(text.clone());
                Some("SAVEPOINT")
            }
            (Statement::Release(name), b'T') => {
                let at = self.transaction.held_savepoint(name)?;
                self.portals_follow(statement);
                self.hold_release(name, at)
            }
            (Statement::RollbackTo(name), b'T') => {
                let at = self.transaction.held_savepoint(name)?;
                self.portals_follow(statement);
                self.settings.rollback_to(name);
                self.transaction.held.truncate(at + 1);
                Some("ROLLBACK")
            }
            (Statement::Set(settings), b'T') if text.is_set() && settings.iter().all(is_safe) => {
                for setting in settings {
                    self.settings.set(setting, true);
                }
                self.transaction.held.push(text.clone());
                Some("SET")
            }
            _ => None,
        }
    }

    fn hold_begin(&mut self, text: &Rc<Text>, modes: TransactionModes) -> Option<&'static str> {
        let isolation = modes.isolation.or_else(|| self.settings.isolation());
        if isolation != Some(Isolation::ReadCommitted)
            || modes.read_only == Some(false)
            || self.settings.gate(self.thread.pooler).is_err()
            || self.still_counts().is_err()
        {
            return None;
        }
        let read_only = modes.read_only.or_else(|| self.settings.read_only());
        self.transaction = Transaction::begun_here(text.clone(), isolation, read_only);
        self.settings.begin();
        self.statements.portals.clear();
        Some(text.begin_tag())
    }

    fn hold_end(&mut self, tag: &'static str) -> Option<&'static str> {
        if self.transaction.told {
            // It ends what was held, too.
            self.transaction.held.clear();
            return None;
        }
        self.settings.end(tag == "COMMIT");
        self.transaction.ready(b'I');
        self.statements.end_portals();
        Some(tag)
    }

    fn hold_release(&mut self, name: &str, at: usize) -> Option<&'static str> {
        self.settings.release(name);
        // The savepoint goes, and all behind it; what was set stays.
        let held = &mut self.transaction.held;
        let mut place = 0;
        held.retain(|text| {
            place += 1;
            place <= at || matches!(text.single(), Some(Statement::Set(_)))
        });
        Some("RELEASE")
    }

    /// A unit that is answered here as a whole. `None`: it is not.
    pub(super) fn unit_held(&mut self, unit: &Unit<'_>, named: &Named, io: &mut Io<'_>) -> bool {
        if !named.text.is_control && !named.text.is_set() {
            return false;
        }
        let plain = named.types.is_empty()
            && message::parameters(unit.bind.tail).is_some_and(|parameters| parameters.is_empty());
        let shape = unit.bind.portal.is_empty() && !unit.describes_statement();
        if !plain || !shape || unit.execute.is_none() {
            return false;
        }
        let Some(tag) = self.hold(&named.text) else {
            return false;
        };
        if let Some(parse) = &unit.parse {
            self.emit(message::PARSE_COMPLETE, io);
            self.statements
                .put(parse.name, Some(Known::Named(named.clone())));
        }
        self.emit(message::BIND_COMPLETE, io);
        if unit.describe {
            self.emit(message::NO_DATA, io);
        }
        self.say_held(&named.text, tag, io);
        self.pending.local = true;
        true
    }

    /// CommandComplete of a statement that was held.
    pub(super) fn say_held(&mut self, text: &Rc<Text>, tag: &str, io: &mut Io<'_>) {
        self.count(Some(text), crate::metrics::Outcome::Other, None);
        let mut out = Vec::new();
        message::put_complete(&mut out, tag);
        self.emit(&out, io);
        // The end of a block ends its portals.
        let portal = match self.transaction.status() {
            // ROLLBACK TO ends the portal that it runs in, too.
            b'T' if tag != "ROLLBACK" => Portal::Ran(text.clone()),
            _ => Portal::Closed,
        };
        self.statements.place(b"", Some(portal));
    }

    /// Tells the upstream what was held, in front of what is about to be sent.
    pub(super) fn tell(&mut self, io: &mut Io<'_>) {
        let held = std::mem::take(&mut self.transaction.held);
        let last = held.last().cloned();
        for text in held {
            let begins = matches!(text.single(), Some(Statement::Begin(_)));
            // Not where others will have the backend.
            if begins && text.sql.len() <= SHORT && !self.link.welcomed {
                let name = [NAME, &text.sql[..]].concat();
                if self.statements.get(&name).is_none() {
                    let named = Named {
                        text: text.clone(),
                        types: self.thread.types(&[]),
                        upstream: false,
                        checked: self.database.catalog_word(),
                        shape: None,
                        reading: None,
                    };
                    self.statements.put(&name, Some(Known::Named(named)));
                }
                self.ensure_upstream(&name, io);
                self.run_hidden(&name, b"", io);
            } else {
                self.run_aside(&text.sql, b"", io);
            }
            self.pending.open(io.now).marks.held = true;
        }
        match (last, self.statements.local(b"")) {
            // The portal that has run there is the client's: PostgreSQL knows how long it lives.
            (Some(last), Some(Portal::Ran(text))) if Rc::ptr_eq(&last, text) => {
                self.statements.place(b"", None);
                self.statements.portals.insert(Box::default(), Some(last));
            }
            (Some(_), _) => {
                frame::put(io.upstream, b'C', b"P\0");
                self.hidden(Owed::Simple, io);
            }
            (None, _) => {}
        }
        self.transaction.told = true;
    }

    /// Runs a text without parameters and rows upstream, unseen by the client.
    pub(super) fn run_aside(&mut self, sql: &[u8], portal: &[u8], io: &mut Io<'_>) {
        self.parse_aside(sql, &[], io);
        if !portal.is_empty() {
            // The one before is still there.
            frame::put(io.upstream, b'C', &[b"P", portal, b"\0"].concat());
            self.hidden(Owed::Simple, io);
        }
        self.run_hidden(ASIDE, portal, io);
    }

    fn run_hidden(&mut self, name: &[u8], portal: &[u8], io: &mut Io<'_>) {
        let names = [portal, b"\0", name].concat();
        frame::put(io.upstream, b'B', &[&names[..], b"\0\0\0\0\0\0\0"].concat());
        frame::put(io.upstream, b'E', &[portal, b"\0\0\0\0\0"].concat());
        self.hidden(Owed::Simple, io);
        self.hidden(Owed::Execute { fill: false }, io);
    }
}

impl Transaction {
    fn begun_here(
        text: Rc<Text>,
        isolation: Option<Isolation>,
        read_only: Option<bool>,
    ) -> Transaction {
        let mut transaction = Transaction::default();
        transaction.ready(b'T');
        transaction.isolation = isolation;
        transaction.read_only = read_only;
        transaction.held.push(text);
        transaction.told = false;
        transaction
    }

    /// Where a savepoint is held.
    fn held_savepoint(&self, name: &str) -> Option<usize> {
        self.held.iter().rposition(
            |text| matches!(text.single(), Some(Statement::Savepoint(held)) if **held == *name),
        )
    }
}

/// Whether SET LOCAL of it cannot fail: a number of milliseconds, a free text, a placeholder of the application's own.
fn is_safe(setting: &Setting) -> bool {
    let Some(value) = setting.value.as_deref() else {
        return false;
    };
    let milliseconds = |value: &str| {
        let digits = value.bytes().take_while(u8::is_ascii_digit).count();
        let unit = value[digits..].trim_start();
        // What is longer may be more than the greatest of them (2^31 ms).
        match unit {
            "" | "ms" | "s" => (1..=6).contains(&digits),
            "min" => (1..=4).contains(&digits),
            _ => false,
        }
    };
    setting.local
        && match &*setting.name {
            "statement_timeout" | "lock_timeout" | "idle_in_transaction_session_timeout" => {
                milliseconds(value)
            }
            "application_name" => false, // reported: the client would miss its ParameterStatus
            name => is_placeholder(name),
        }
}

/// A name that no extension is known to own: those check values, or refuse names that they do not know.
fn is_placeholder(name: &str) -> bool {
    const OWNED: [&str; 14] = [
        "plpgsql",
        "plperl",
        "plpython",
        "pltcl",
        "plv8",
        "auto_explain",
        "pg_stat_statements",
        "pg_trgm",
        "pgaudit",
        "postgis",
        "timescaledb",
        "citus",
        "hnsw",
        "ivfflat",
    ];
    let Some((class, rest)) = name.split_once('.') else {
        return false;
    };
    let plain = |word: &str| {
        !word.is_empty()
            && !word.starts_with(|c: char| c.is_ascii_digit())
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    plain(class) && rest.split('.').all(plain) && !OWNED.contains(&class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_postgresql_takes_is_held() {
        let safe = |name: &str, value: &str| {
            is_safe(&Setting {
                name: name.into(),
                value: Some(value.into()),
                local: true,
            })
        };
        for value in ["0", "250", "5s", "10 min", "999999ms"] {
            assert!(safe("statement_timeout", value), "{value}");
        }
        // Too great, of another unit, or no number: PostgreSQL refuses it where it stands.
        for value in ["99999min", "9999999s", "1d", "-1", "", "soon"] {
            assert!(!safe("statement_timeout", value), "{value}");
        }
        assert!(safe("app.tenant", "7"));
        for name in [
            "work_mem",
            "role",
            "plpgsql.extra_errors",
            "app.",
            ".x",
            "App.x",
        ] {
            assert!(!safe(name, "7"), "{name}");
        }
    }
}
