//! The end of a segment: what its ReadyForQuery makes true.
//!
//! Order matters: intents close and raise, fills are kept, settings and transaction change, and only then does the
//! client see the ReadyForQuery (P1).

use std::rc::Rc;

use super::pending::{Kind, Segment, Tag};
use super::statements::Known;
use super::text::Text;
use super::{Mode, Session};
use crate::cache::Micros;
use crate::cache::version::{Intent, Outcome};
use crate::guard::{Guard, stands};
use crate::metrics::Outcome as Statistic;
use crate::sql::statement::{Discard, Statement, TransactionModes};
use crate::why::Why;

/// How many portals are remembered of a client that never waits for an answer.
const PORTALS: usize = 1024;

impl Session {
    /// Ends the oldest segment with that transaction status.
    pub(super) fn finish(&mut self, status: u8, now: Micros) {
        let Some(mut segment) = self.pending.finish() else {
            return;
        };
        self.link.cancelled = None;
        // What the upstream was sent before it heard of a block says nothing about that block.
        let status = match segment.marks.kind {
            Kind::Quiet => self.transaction.status(),
            _ if !self.transaction.told => self.transaction.status(),
            _ => status,
        };
        // Another may begin with what was held, too.
        let held = self.pending.segments().any(|next| next.marks.held);
        self.pending.fragile &= held || !segment.marks.held;
        let before = self.transaction.status();
        let narrowed = self.narrowed(&segment, status);
        let mut outcome = intent_outcome(&segment, status);
        if segment.tag == Tag::Unrun {
            segment.forget_what_ran();
        }
        // Open before the others close: at no moment is what was written not shut.
        let narrow = narrowed.filter(|_| outcome == Outcome::Visible).map(|set| {
            outcome = Outcome::Nothing;
            Intent::open(&self.thread.ledger, &self.database, &set)
        });
        for intent in std::mem::take(&mut segment.intents) {
            self.close_intent(intent, outcome);
        }
        if let Some(intent) = narrow {
            self.close_intent(intent, Outcome::Visible);
        }
        self.raise_late(&segment, before, status);
        self.settle_fills(&mut segment, now);
        if segment.marks.kind == Kind::Own {
            self.settings.asked();
        } else if segment.marks.kind != Kind::Quiet {
            let took = now.saturating_sub(segment.started);
            self.thread.took(segment.timed.outcome, took);
            if let Some(statement) = &segment.timed.alone {
                self.thread.took_alone(statement, took);
            }
        }
        if segment.marks.kind == Kind::Quiet {
            // A block may have begun here since.
            return;
        }
        self.settle_portals(&segment, before, status);
        self.settle_settings(&segment, before, status);
        self.settle_statements(&mut segment);
        self.settle_transaction(segment, before, status);
    }

    /// Keeps what was read, and compares what was put aside.
    fn settle_fills(&mut self, segment: &mut Segment, now: Micros) {
        let marks = segment.marks;
        let failed = marks.failed && stands(Guard::FailedNotKept);
        let noisy = marks.noisy && stands(Guard::NoisyNotKept);
        for fill in segment.fills.drain(..) {
            let aside = fill.aside().is_some();
            // Whether a read could have been answered from memory is known only now.
            let (outcome, why) = match fill.is_too_large() {
                true => (Statistic::Bypass, Some(Why::TooLarge)),
                false if aside && self.thread.mode() == Mode::Observe => (Statistic::Hit, None),
                false => (Statistic::Miss, None),
            };
            if let Some(statement) = fill.statement() {
                self.thread.count(statement, outcome, why);
                if let (Statistic::Hit, Some(cost)) = (outcome, fill.spared()) {
                    self.thread.would_save(statement, cost);
                }
            }
            if why.is_some() && self.last == (Statistic::Miss, None) {
                self.last = (outcome, why);
            }
            if aside {
                self.settle_aside(fill, marks, now);
            } else if !(failed || noisy) {
                self.thread.kept(self.thread.store.keep(fill, now));
            } else {
                self.thread.kept(false);
            }
        }
    }

    /// A block has ended without anything that is known to end one, such as EXECUTE of a COMMIT: what it may have
    /// written is raised before the client is told.
    fn raise_late(&mut self, segment: &Segment, before: u8, status: u8) {
        let ended = before != b'I' && status == b'I' && !segment.marks.commits;
        let rolled_back = segment.marks.ends && !segment.marks.opaque;
        let late = !stands(Guard::IntentBeforeBytes) && status == b'I';
        let unseen = ended && stands(Guard::UnseenEndRaises);
        if !(unseen || late) || rolled_back || self.thread.mode() == Mode::Off {
            return;
        }
        let mut writes = self.transaction.writes.clone();
        writes.add(&segment.writes);
        if !writes.is_empty() {
            let intent = Intent::open(&self.thread.ledger, &self.database, &writes);
            self.close_intent(intent, Outcome::Visible);
        }
    }

    fn settle_transaction(&mut self, segment: Segment, before: u8, status: u8) {
        self.transaction.ready(status);
        if status == b'I' {
            // What was already sent may have bound portals of its own; a name too many does no harm.
            if self.pending.is_empty() {
                self.statements.end_known();
            } else if self.statements.portals.len() > PORTALS {
                self.statements.end_known();
                self.link.strays = true;
            }
            // Segments already sent may belong to a transaction of their own.
            return;
        }
        if segment.marks.failed {
            self.statements.doubt_known();
        }
        if before == b'I' {
            let modes = modes(&segment.ran);
            self.transaction.isolation =
                modes.and_then(|modes| modes.isolation.or_else(|| self.settings.isolation()));
            self.transaction.read_only =
                modes.and_then(|modes| modes.read_only.or_else(|| self.settings.read_only()));
        }
        let mut statements = segment
            .ran
            .iter()
            .flat_map(|text| text.analysis.statements.iter());
        // One block may have ended and another begun, or the isolation was set by its name.
        if statements.any(|s| sets_isolation(s) || (before != b'I' && bounds_transaction(s))) {
            self.transaction.isolation = None;
            self.transaction.read_only = None;
        }
        self.transaction.dirty |= segment.marks.dirty || status == b'E';
        if !changed_nothing(&segment) {
            self.transaction.writes.add(&segment.writes);
        }
    }

    /// Ends the portals that live here with their transaction.
    fn settle_portals(&mut self, segment: &Segment, before: u8, status: u8) {
        if segment.marks.kind != Kind::Client {
            return;
        }
        let mut statements = segment
            .ran
            .iter()
            .flat_map(|text| text.analysis.statements.iter());
        let ended =
            status == b'I' || (before != b'I' && segment.marks.ends && segment.tag.is_done());
        // How far it came is not known.
        let torn = segment.marks.failed
            && segment.tag == Tag::Rollback
            && statements.any(|s| matches!(s, Statement::RollbackTo(_)));
        if ended || torn {
            self.statements.end_portals();
        }
    }

    fn settle_settings(&mut self, segment: &Segment, before: u8, status: u8) {
        let marks = segment.marks;
        let statements = || {
            segment
                .ran
                .iter()
                .flat_map(|text| text.analysis.statements.iter())
        };
        let count = statements().count();
        let sets = statements().any(changes_settings);
        let controls = statements().any(controls_transaction);
        let ended = status == b'I' && before != b'I';
        // A COMMIT that came before the error has kept them, one behind it has not.
        let perhaps = marks.failed && marks.commits && segment.tag.is_done();
        let tangled = (perhaps && (sets || self.settings.journaled()))
            || (count > 1 && controls && (sets || self.settings.journaled()))
            || (marks.failed && sets && count > 1);
        if (marks.opaque && stands(Guard::OpaqueForgets)) || tangled {
            self.settings.forget();
        }
        let chained = statements().any(|s| {
            matches!(
                s,
                Statement::Commit { chain: true } | Statement::Rollback { chain: true }
            )
        });
        if ended || chained {
            self.settings
                .end(segment.tag != Tag::Rollback && !marks.failed);
        }
        if (before == b'I' && status != b'I') || chained {
            self.settings.begin();
        }
        if marks.failed {
            return;
        }
        for statement in statements() {
            self.apply(statement, status != b'I');
        }
    }

    fn apply(&mut self, statement: &Statement, in_transaction: bool) {
        self.portals_follow(statement);
        match statement {
            Statement::Set(settings) => {
                for setting in settings {
                    self.settings.set(setting, in_transaction);
                }
            }
            Statement::ResetAll => self.settings.reset_all(false),
            Statement::Discard(Discard::All) => self.settings.reset_all(true),
            Statement::Savepoint(name) => self.settings.savepoint(name),
            Statement::Release(name) => self.settings.release(name),
            Statement::RollbackTo(name) => self.settings.rollback_to(name),
            _ => {}
        }
    }

    fn settle_statements(&mut self, segment: &mut Segment) {
        let dropped = std::mem::take(&mut segment.dropped);
        if segment.marks.failed {
            for (name, known) in dropped.into_iter().flatten() {
                if self.statements.get(&name).is_none() {
                    self.statements.put(&name, Some(known));
                }
            }
        }
        let mut texts = segment.ran.iter().filter(|text| text.names);
        // It has this meaning if it is alone, and nothing was sent behind it that could give it another.
        let alone = !(segment.marks.failed || segment.marks.opaque) && self.pending.is_empty();
        let text = match (texts.next(), texts.next()) {
            (Some(text), None) if alone && text.body().is_some() => Some(text.clone()),
            _ => None,
        };
        for statement in segment
            .ran
            .iter()
            .flat_map(|text| text.analysis.statements.iter())
        {
            // Whether it ran before an error is not known: PostgreSQL shall judge its next use. Where Parse has given the
            // name its meaning, this is the error.
            if let Statement::Prepare(name, _) = statement
                && !(segment.marks.failed
                    && matches!(
                        self.statements.get(name.as_bytes()),
                        Some(Known::Named(_) | Known::Foreign)
                    ))
            {
                let known = Known::Prepared(text.clone());
                self.statements.put(name.as_bytes(), Some(known));
            }
        }
    }
}

/// Whether what the segment's intents cover may have become visible.
fn intent_outcome(segment: &Segment, status: u8) -> Outcome {
    if segment.tag == Tag::Unrun {
        return Outcome::Nothing;
    }
    let mut statements = segment
        .ran
        .iter()
        .flat_map(|text| text.analysis.statements.iter());
    let nothing = match &*segment.ran {
        // COMMIT of a failed transaction is answered with ROLLBACK.
        [one] if matches!(one.single(), Some(Statement::Commit { .. })) => {
            segment.tag == Tag::Rollback
        }
        // What failed outside a transaction block was rolled back whole, if none of it ends a transaction itself.
        _ if segment.tag == Tag::Rollback && !stands(Guard::RollbackProvesOne) => true,
        _ => {
            let plain = statements.all(is_rolled_back) || !stands(Guard::ErrorProvesLittle);
            segment.marks.failed && status == b'I' && plain
        }
    };
    if (nothing && !segment.marks.opaque) || changed_nothing(segment) {
        Outcome::Nothing
    } else {
        Outcome::Visible
    }
}

/// Whether its one writing statement has counted no row.
fn changed_nothing(segment: &Segment) -> bool {
    let alone = segment.ran.len() == 1 && !segment.marks.opaque;
    let proves = (segment.marks.counted && alone) || !stands(Guard::ZeroProvesOne);
    proves && segment.tag == Tag::Zero
}

/// Statements that an error later in the same implicit transaction undoes.
fn is_rolled_back(statement: &Statement) -> bool {
    use Statement::{CopyFrom, Query, Set, Show, Truncate};
    matches!(
        statement,
        Query(_) | CopyFrom(_) | Truncate { .. } | Set(_) | Show(_)
    )
}

/// The modes of the BEGIN that a segment begins with, if it is the only transaction control in it.
fn modes(ran: &[Rc<Text>]) -> Option<TransactionModes> {
    let mut statements = ran.iter().flat_map(|text| text.analysis.statements.iter());
    let Some(Statement::Begin(modes)) = statements.next() else {
        return None;
    };
    statements
        .all(|s| !controls_transaction(s))
        .then_some(*modes)
}

fn changes_settings(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Set(_)
            | Statement::ResetAll
            | Statement::Discard(Discard::All)
            | Statement::RollbackTo(_)
    )
}

fn sets_isolation(statement: &Statement) -> bool {
    match statement {
        Statement::SetTransaction(_) => true,
        Statement::Set(settings) => settings.iter().any(|setting| {
            matches!(
                &*setting.name,
                "transaction_isolation" | "default_transaction_isolation"
            )
        }),
        _ => false,
    }
}

fn bounds_transaction(statement: &Statement) -> bool {
    use Statement::{Begin, Commit, PrepareTransaction, Rollback};
    matches!(
        statement,
        Begin(_) | Commit { .. } | Rollback { .. } | PrepareTransaction
    )
}

fn controls_transaction(statement: &Statement) -> bool {
    use Statement::{Begin, Commit, PrepareTransaction, Release, Rollback, RollbackTo, Savepoint};
    matches!(
        statement,
        Begin(_)
            | Commit { .. }
            | Rollback { .. }
            | Savepoint(_)
            | Release(_)
            | RollbackTo(_)
            | PrepareTransaction
    )
}
