//! What a message may make visible: intents are opened here, before its bytes leave.
//!
//! * Outside a transaction block a write is visible as soon as PostgreSQL has run it: its intent opens now. Inside one
//!   it is the COMMIT that makes it visible: the write set is only remembered (hazards 42, 43).
//! * Where it is not known which of the two holds (a BEGIN or COMMIT is still unanswered), both is done.

use std::rc::Rc;

use super::decision::Pass;
use super::pending::Tag;
use super::statements::Known;
use super::text::Text;
use super::{Io, Mode, Session};
use crate::cache::fill::Fill;
use crate::cache::version::{Intent, WriteSet};
use crate::guard::{Guard, stands};
use crate::metrics::Outcome;
use crate::sql::statement::Statement;
use crate::sql::{Effect, Touched};
use crate::why::Why;

/// What a portal may do.
#[derive(Debug)]
pub(super) enum May {
    /// With the catalog version that the effects were resolved with.
    Do(Rc<[Effect]>, Option<u64>),
    Anything,
}

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
        let refused = self.is_refused(text);
        let effects = if refused { Rc::from([]) } else { effects };
        for effect in effects.iter() {
            let writes = WriteSet::new(effect.writes.clone(), effect.catalog, version);
            set.add(&writes.told(effect.told));
            dirty |= effect.dirty;
            opaque |= effect.opaque;
            leaves |= effect.leaves;
        }
        let read = matches!(text.single(), Some(Statement::Query(_)))
            && !(dirty || opaque)
            && set.is_empty();
        // Which statement an EXECUTE runs is known here only.
        let executes = text.analysis.statements.iter().any(|statement| {
            matches!(statement, Statement::Execute(name, _) if self.statements.may_end(name.as_bytes()))
        }) && !refused;
        self.link.strays |= opaque || executes || text.analysis.statements.iter().any(is_declare);
        if opaque {
            self.statements.doubt_prepared();
        }
        let commits = text.commits || (executes && stands(Guard::ExecuteMayCommit));
        let opens = self.visible(&set, commits);
        self.pin(text, opaque || leaves, version.is_some());
        let segment = self.pending.open(io.now);
        if refused {
            segment.tag = Tag::Refused;
        }
        segment.marks.impure |= !read;
        segment.marks.dirty |= dirty;
        segment.marks.opaque |= opaque;
        segment.marks.commits |= text.commits || executes;
        segment.marks.ends |= text.ends || executes;
        segment.times(outcome, self.thread.record(text));
        if !read && self.thread.mode() != Mode::Off {
            let counted = effects.len() == 1 && effects[0].counted;
            segment.marks.counted = counted && segment.ran.is_empty() && segment.writes.is_empty();
            segment.run(text);
            // A portal bound before may send its rows under other settings now.
            if stands(Guard::BoundSettings) {
                self.statements.bound_fill = None;
            }
        }
        segment.writes.add(&set);
        let counted_later = fill.is_some();
        self.due &= fill.as_ref().and_then(Fill::aside).is_none();
        segment.fills.extend(fill);
        if !opens.is_empty() && stands(Guard::IntentBeforeBytes) {
            segment.intend(&self.thread.ledger, &self.database, &opens);
        }
        self.last = (outcome, why);
        self.trace(Some(text), outcome, why, io);
        if !counted_later {
            self.thread.count(self.thread.record(text), outcome, why);
        }
        self.thread.upstream_query();
    }

    /// Accounts for a portal that is bound and may not run in this way: planning calls functions that are said to be
    /// immutable, and SQL's FETCH runs what was only bound.
    pub(super) fn account_bound(&mut self, may: May, io: &mut Io<'_>) {
        if self.thread.mode() == Mode::Off {
            return;
        }
        let mut set = WriteSet::default();
        let (mut dirty, mut opaque) = (false, false);
        match may {
            May::Anything => {
                set = WriteSet::new(Touched::Everything, true, None);
                (dirty, opaque) = (true, true);
            }
            May::Do(effects, version) => {
                for effect in effects.iter() {
                    let writes = effect.writes.clone();
                    set.add(&WriteSet::new(writes, effect.catalog, version));
                    dirty |= effect.dirty;
                    opaque |= effect.opaque;
                }
            }
        }
        if !dirty && !opaque && set.is_empty() {
            return;
        }
        self.link.pinned |= opaque;
        self.link.strays |= opaque;
        if opaque {
            self.statements.doubt_prepared();
        }
        let opens = self.visible(&set, false);
        let segment = self.pending.open(io.now);
        segment.marks.impure = true;
        segment.marks.dirty |= dirty;
        segment.marks.opaque |= opaque;
        segment.marks.counted = false;
        segment.writes.add(&set);
        if !opens.is_empty() {
            segment.intend(&self.thread.ledger, &self.database, &opens);
        }
    }

    /// Accounts for something that is not looked into: it may write everything.
    pub(super) fn account_opaque(&mut self, why: Why, io: &mut Io<'_>) {
        self.link.pinned = true;
        self.link.strays = true;
        self.statements.doubt_prepared();
        let segment = self.pending.open(io.now);
        self.statements.bound_fill = None;
        segment.times(Outcome::Bypass, &self.thread.textless());
        segment.marks.impure = true;
        segment.marks.dirty = true;
        segment.marks.opaque = true;
        segment.marks.commits = true;
        segment.marks.ends = true;
        if self.thread.mode() != Mode::Off {
            let all = WriteSet::new(Touched::Everything, true, None);
            segment.writes.add(&all);
            segment.intend(&self.thread.ledger, &self.database, &all);
        }
        self.count(None, Outcome::Bypass, Some(why));
        self.trace(None, Outcome::Bypass, Some(why), io);
        self.thread.upstream_query();
    }

    /// Accounts for what cannot run: what it names does not exist.
    pub(super) fn account_refused(&mut self, io: &mut Io<'_>) {
        self.pending.open(io.now).timed.outcome = Outcome::Bypass;
        self.count(None, Outcome::Bypass, Some(Why::Portal));
        self.thread.upstream_query();
    }

    /// Whether every name that the upstream has is known here at this moment.
    fn knows_names(&self) -> bool {
        !self.link.strays && !self.statements.spilled && self.names_are_settled()
    }

    /// Whether nothing is under way that could give a name another meaning.
    fn names_are_settled(&self) -> bool {
        let open = self.pending.unfinished();
        self.database.is_direct()
            && !self.pending.has_closed()
            && open.is_none_or(|segment| segment.ran.iter().all(|text| !text.names))
    }

    /// What an EXECUTE of that name runs, if that is certain: a query or DML.
    pub(super) fn executed(&self, name: &str) -> Option<Rc<Text>> {
        let text = match self.statements.get(name.as_bytes())? {
            Known::Prepared(text) => text.as_ref()?,
            // Declared types may be a user's.
            Known::Named(named) if !self.link.strays && named.types.is_empty() => &named.text,
            _ => return None,
        };
        (self.names_are_settled() && text.body().is_some()).then(|| text.clone())
    }

    /// Whether there is no such statement.
    pub(super) fn lacks_statement(&self, name: &[u8]) -> bool {
        self.statements.get(name).is_none() && self.knows_names()
    }

    /// Whether there is no such portal.
    pub(super) fn lacks_portal(&self, name: &[u8]) -> bool {
        !self.statements.portals.contains_key(name) && self.knows_names()
    }

    /// Whether a simple Query is the EXECUTE of a statement that does not exist.
    fn is_refused(&self, text: &Text) -> bool {
        matches!(text.single(), Some(Statement::Execute(name, _)) if self.lacks_statement(name.as_bytes()))
            && !self.pending.forwarded()
    }

    /// What was not to run has run: everything is raised before the client is told.
    pub(super) fn unforeseen(&mut self) {
        let all = WriteSet::new(Touched::Everything, true, None);
        self.link.strays = true;
        self.link.pinned = true;
        self.statements.doubt_prepared();
        if let Some(segment) = self.pending.front() {
            segment.marks.dirty = true;
            segment.marks.opaque = true;
            segment.marks.commits = true;
            segment.marks.ends = true;
            segment.writes.add(&all);
        }
        if self.thread.mode() != Mode::Off {
            let intent = Intent::open(&self.thread.ledger, &self.database, &all);
            self.close_intent(intent, crate::cache::version::Outcome::Visible);
        }
    }

    /// What becomes visible if a message with that write set runs now.
    fn visible(&mut self, set: &WriteSet, commits: bool) -> WriteSet {
        let unheard = self.pending.begins_unheard() && stands(Guard::BehindHeldBegin);
        let mut block = self.transaction.status() != b'I' && !unheard;
        let mut earlier = self.transaction.writes.clone();
        for segment in self.pending.segments() {
            block &= !(segment.marks.ends && stands(Guard::BehindRollback));
            earlier.add(&segment.writes);
        }
        if block && !commits {
            return WriteSet::default();
        }
        if commits && stands(Guard::CommitOpensEarlier) {
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
            [one]
                if (one.single().is_some() && !segment.marks.opaque)
                    || !stands(Guard::CopyRaisesBefore) =>
            {
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
        if std::mem::take(&mut segment.marks.copying) && stands(Guard::CopyShuts) {
            segment
                .intents
                .push(Intent::open(ledger, database, &segment.writes));
        }
    }

    pub(super) fn close_intent(&self, intent: Intent, outcome: crate::cache::version::Outcome) {
        self.thread.raised(intent.close(outcome));
    }
}

/// Whether a statement makes a portal that is not followed.
fn is_declare(statement: &Statement) -> bool {
    matches!(statement, Statement::Declare(_))
}
