//! The self-check: a share of what would be answered from memory is asked of the database again, and compared.
//!
//! * A hit that is drawn goes upstream like a miss, on the client's own connection: role and settings are the client's
//!   by themselves, and the client gets the database's answer. What was in memory is put aside until that has come.
//! * A difference counts only if the entry's stamp held when it was looked up and still holds, without an open intent,
//!   when the answer has ended: then no write through this Larder lies between, and by the ledger's own proof the two
//!   must be one answer. It counts only where the data determines the answer (`sql::determined`).
//! * Where others write past this Larder a difference may be a write of theirs, and nothing here can tell: it is counted
//!   as such, and what is in memory is replaced. Where the operator says that nobody does, it is an error of Larder's.
//! * Neither text nor row is told: a number, and the names of what was read.
//!
//! Not here: portals that are bound before they run, and answers of which a row limit takes only a part.

use super::decision::{How, Pass};
use super::pending::Marks;
use super::text::Text;
use super::{Mode, Session};
use crate::cache::Micros;
use crate::cache::comparison::{Aside, Comparison, number};
use crate::cache::fill::Fill;
use crate::cache::reply::Reply;
use crate::cache::version::Fresh;
use crate::guard::{Guard, stands};
use crate::metrics::{Outcome, Verified};
use crate::sql::{Determined, determined};
use crate::why::Why;
use crate::wire::frame::HEAD;

/// Numbers that look drawn at random. The same in every run, so that a test can be run again.
pub(super) const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number behind this one (xorshift64).
pub(super) fn next(mut drawn: u64) -> u64 {
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^ (drawn << 17)
}

impl Session {
    /// Whether this text may be answered from memory as far as the self-check knows.
    #[inline]
    pub(super) fn trusted(&self, text: &Text) -> Result<(), Why> {
        let any = self.thread.quarantine.holds_any() && stands(Guard::CheckSetsApart);
        if any && self.is_apart(text) {
            return Err(Why::Quarantined);
        }
        Ok(())
    }

    #[cold]
    fn is_apart(&self, text: &Text) -> bool {
        let number = number(self.database.name(), text.analysis.canonical.as_bytes());
        self.thread.quarantine.holds(number)
    }

    /// Whether a hit is to be looked at.
    #[inline]
    pub(super) fn is_due(&mut self, entry: &Fresh, how: &How<'_>) -> bool {
        !self.thread.live().verify.sample.is_none() && self.draw(entry, how)
    }

    #[cold]
    fn draw(&mut self, entry: &Fresh, how: &How<'_>) -> bool {
        let whole = how.limit <= 0 || entry.header().rows < how.limit as u32;
        if !how.runs || !(whole || entry.suspended()) {
            return false;
        }
        // One that waits for its connection is decided again, and drawn once.
        self.due = self.due || self.thread.live().verify.sample.takes(self.thread.draw());
        self.due
    }

    /// Puts what would have been given aside; the statement goes upstream.
    pub(super) fn put_aside(&mut self, entry: Fresh, how: &How<'_>, pass: &mut Pass) {
        if self.thread.mode() == Mode::Observe {
            (pass.outcome, pass.why) = (Outcome::Hit, None);
        }
        let reads = pass.effects.first().map(|effect| &effect.reads);
        let (Some(fill), Some(Ok(reads))) = (&mut pass.fill, reads) else {
            self.due = false;
            self.thread.metrics.verified(Verified::Skipped);
            return;
        };
        fill.put_aside(Aside {
            entry,
            relations: reads.relations().into(),
            alone: how.last && !self.pending.forwarded(),
        });
    }

    /// The database has answered what was put aside for.
    pub(super) fn settle_aside(&mut self, fill: Fill, marks: Marks, now: Micros) {
        let sound = !marks.noisy && self.still_counts().is_ok();
        let compared = fill.compared().filter(|found| {
            // An error may be another statement's.
            sound && (!marks.failed || *found == Comparison::Shape)
        });
        let result = compared.map_or(Verified::Skipped, |found| self.weigh(&fill, found));
        self.thread.metrics.verified(result);
        match result {
            Verified::Same | Verified::Unordered => return,
            Verified::Skipped => {}
            Verified::Outside => fill.forget(&self.thread.store),
            Verified::Different => {
                self.set_apart(&fill);
                return fill.forget(&self.thread.store);
            }
        }
        if !marks.failed && !marks.noisy {
            self.thread.store.keep(fill, now);
        }
    }

    /// What a comparison proves.
    fn weigh(&self, fill: &Fill, found: Comparison) -> Verified {
        let Some(aside) = fill.aside() else {
            return Verified::Skipped;
        };
        let catalog = self.database.catalog();
        let text = std::str::from_utf8(fill.key().text()).unwrap_or_default();
        let far = |catalog| determined(text, &aside.relations, catalog);
        let rows = aside.entry.header().rows;
        let proves = match (found, catalog.as_deref().map(far)) {
            (Comparison::Same, _) => return Verified::Same,
            (_, None) => return Verified::Skipped,
            (Comparison::Order, _) => false,
            (Comparison::Shape, _) => true,
            (_, Some(Determined::Nothing)) => false,
            (Comparison::Count, _) => true,
            (Comparison::Rows, _) if aside.entry.suspended() => false,
            (Comparison::Rows, Some(Determined::Below(limit))) => rows < limit,
            (Comparison::Rows, Some(Determined::Whole)) => true,
        };
        let proves = proves || !stands(Guard::CheckSparesFreedom);
        let others = self.thread.live().verify.outside_writers && stands(Guard::CheckSparesOthers);
        match (proves, others) {
            (false, _) => Verified::Unordered,
            (true, true) => Verified::Outside,
            (true, false) => Verified::Different,
        }
    }

    /// Serves a statement from memory no more, and says so once.
    fn set_apart(&self, fill: &Fill) {
        let number = number(self.database.name(), fill.key().text());
        if !self.thread.quarantine.put(number) {
            return;
        }
        let catalog = self.database.catalog();
        let named = |oid: &u32| {
            let (schema, name) = catalog.as_ref()?.relation_name(*oid)?;
            Some(format!("{schema}.{name}"))
        };
        let relations = fill.aside().map_or(&[][..], |aside| &aside.relations);
        let relations: Vec<_> = relations.iter().filter_map(named).collect();
        tracing::error!(
            database = self.database.name(),
            statement = format!("{number:016x}"),
            relations = relations.join(", "),
            hint = "please report it; if others write to this database, set verify.outside_writers = true",
            "an answer in memory was not the database's, and no write through Larder explains it: this statement is not answered from memory until everything is purged or Larder is restarted"
        );
    }
}

/// Whether an error says that there is no such answer, and not that something has gone wrong on the way to it.
pub(super) fn denies(raw: &[u8]) -> bool {
    // insufficient_privilege, undefined_table, undefined_column, undefined_function
    const CODES: [&[u8]; 4] = [b"C42501", b"C42P01", b"C42703", b"C42883"];
    let mut fields = raw.get(HEAD..).unwrap_or_default().split(|b| *b == 0);
    fields.any(|field| CODES.contains(&field))
}
