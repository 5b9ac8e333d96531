//! What a message may make visible: intents are opened here, before its bytes leave.
//!
//! * Outside a transaction block a write is visible as soon as PostgreSQL has run it: its intent opens now. Inside one
//!   it is the COMMIT that makes it visible: the write set is only remembered (hazards 42, 43).
//! * Where it is not known which of the two holds (a BEGIN or COMMIT is still unanswered), both is done.

use std::rc::Rc;

use super::decision::Pass;
use super::text::Text;
use super::{Io, Mode, Session};
use crate::cache::version::{Intent, WriteSet};
use crate::metrics::Outcome;
use crate::sql::Touched;
use crate::sql::statement::Statement;
use crate::why::Why;

impl Session {
    /// Accounts for a text that is about to be sent to run.
    pub(super) fn account(&mut self, text: &Rc<Text>, pass: Pass, io: &mut Io<'_>) {
        let Pass {
            effects,
            version,
            outcome,
            why,
            fill,
        } = pass;
        let mut set = WriteSet::default();
        let (mut dirty, mut opaque, mut leaves) = (false, false, false);
        for effect in effects.iter() {
            set.add(&WriteSet::new(
                effect.writes.clone(),
                effect.catalog,
                version,
            ));
            dirty |= effect.dirty;
            opaque |= effect.opaque;
            leaves |= effect.leaves;
        }
        let read = matches!(text.single(), Some(Statement::Query(_)))
            && !(dirty || opaque)
            && set.is_empty();
        // Which statement an EXECUTE runs is known here only.
        let executes = text.analysis.statements.iter().any(|statement| {
            matches!(statement, Statement::Execute(name) if self.statements.may_end(name.as_bytes()))
        });
        let opens = self.visible(&set, text.commits || executes);
        self.pin(text, opaque || leaves, version.is_some());
        let segment = self.pending.open(io.now);
        segment.marks.impure |= !read;
        segment.marks.dirty |= dirty;
        segment.marks.opaque |= opaque;
        segment.marks.commits |= text.commits || executes;
        segment.marks.ends |= text.ends || executes;
        segment.outcome = outcome;
        if !read && self.thread.mode != Mode::Off {
            let counted = effects.len() == 1 && effects[0].counted;
            segment.marks.counted = counted && segment.ran.is_empty();
            segment.run(text);
            // A portal bound before may send its rows under other settings now.
            self.statements.bound_fill = None;
        }
        segment.writes.add(&set);
        let counted_later = fill.is_some();
        segment.fills.extend(fill);
        if !opens.is_empty() {
            segment.intend(&self.thread.ledger, &self.database, &opens);
        }
        self.last = (outcome, why);
        if !counted_later {
            self.thread.count(outcome, why);
        }
        self.thread.upstream_query();
    }

    /// Accounts for something that is not looked into: it may write everything.
    pub(super) fn account_opaque(&mut self, why: Why, io: &mut Io<'_>) {
        self.link.pinned = true;
        let segment = self.pending.open(io.now);
        self.statements.bound_fill = None;
        segment.outcome = Outcome::Bypass;
        segment.marks.impure = true;
        segment.marks.dirty = true;
        segment.marks.opaque = true;
        segment.marks.commits = true;
        segment.marks.ends = true;
        if self.thread.mode != Mode::Off {
            let all = WriteSet::new(Touched::Everything, true, None);
            segment.writes.add(&all);
            segment.intend(&self.thread.ledger, &self.database, &all);
        }
        self.count(Outcome::Bypass, Some(why));
        self.thread.upstream_query();
    }

    /// What becomes visible if a message with that write set runs now.
    fn visible(&mut self, set: &WriteSet, commits: bool) -> WriteSet {
        let mut block = self.transaction.status() != b'I';
        let mut earlier = self.transaction.writes.clone();
        for segment in self.pending.segments() {
            block &= !segment.marks.ends;
            earlier.add(&segment.writes);
        }
        if block && !commits {
            return WriteSet::default();
        }
        if commits {
            earlier.add(set);
            return earlier;
        }
        set.clone()
    }

    /// COPY FROM has begun: its rows are invisible until CopyDone, and so its intents may rest until then.
    pub(super) fn copy_begins(&mut self) {
        let Some(segment) = self.pending.front() else {
            return;
        };
        let outcome = match &*segment.ran {
            [one] if one.single().is_some() && !segment.marks.opaque => {
                crate::cache::version::Outcome::Nothing
            }
            _ => crate::cache::version::Outcome::Visible,
        };
        segment.marks.copying = !segment.intents.is_empty();
        segment.covered = WriteSet::default();
        let intents = std::mem::take(&mut segment.intents);
        for intent in intents {
            self.close_intent(intent, outcome);
        }
    }

    /// CopyDone is about to be sent: from now on the rows may become visible.
    pub(super) fn copy_ends(&mut self) {
        let (ledger, database) = (&self.thread.ledger, &self.database);
        let Some(segment) = self.pending.front() else {
            return;
        };
        if std::mem::take(&mut segment.marks.copying) {
            segment
                .intents
                .push(Intent::open(ledger, database, &segment.writes));
        }
    }

    pub(super) fn close_intent(&self, intent: Intent, outcome: crate::cache::version::Outcome) {
        self.thread.raised(intent.close(outcome));
    }
}
