//! The decision: hit, miss or bypass.
//!
//! * Served and filled are only single SELECTs that are proven cacheable, in a session whose settings are known, outside
//!   a transaction or in a clean READ COMMITTED one (DESIGN: hazards 33 to 37).
//! * A look-up comes before analysis against the catalog: an entry is found only under the exact key that a proven
//!   statement was filled under, and its stamp carries the catalog's version.

use std::rc::Rc;

use super::lazy::Transactions;
use super::probe::OWN;
use super::text::Text;
use super::writes::May;
use super::{Mode, Phase, Session};
use crate::cache::Micros;
use crate::cache::fill::Fill;
use crate::cache::key::Asked;
use crate::cache::reply::{Entry, Reply};
use crate::cache::version::Fresh;
use crate::guard::{Guard, stands};
use crate::metrics::Outcome;
use crate::sql::statement::{Discard, Isolation, Statement};
use crate::sql::{
    Cacheable, Catalog, Effect, may_overrule, reads_the_clock, resolve, resolve_execute,
    resolve_trusting,
};
use crate::why::Why;
use crate::wire::message;

/// How a statement is asked for.
#[derive(Clone, Copy, Debug)]
pub struct How<'a> {
    /// Declared parameter types, as in Parse.
    pub types: &'a [u8],
    /// Bind behind its names; `None` in simple protocol.
    pub tail: Option<&'a [u8]>,
    /// The RowDescription is asked for, too.
    pub describe: bool,
    /// Row limit; 0 or less: none.
    pub limit: i32,
    /// May be answered from memory at this place.
    pub serve: bool,
    /// Nothing else will belong to its segment after it.
    pub last: bool,
    /// An Execute comes with it.
    pub runs: bool,
    /// Its text comes with it: constants are looked up now, not when it was prepared.
    pub parsed: bool,
    /// Whether its constants are what they would be now.
    pub reads: Result<(), Why>,
}

impl How<'_> {
    /// By simple query.
    pub fn simple(serve: bool) -> Self {
        How {
            types: &[],
            tail: None,
            describe: true,
            limit: 0,
            serve,
            last: true,
            runs: true,
            parsed: true,
            reads: Ok(()),
        }
    }
}

/// A statement that goes upstream.
#[derive(Debug)]
pub struct Pass {
    pub effects: Rc<[Effect]>,
    /// The catalog version the effects were resolved with.
    pub version: Option<u64>,
    pub outcome: Outcome,
    pub why: Option<Why>,
    pub fill: Option<Fill>,
}

impl Session {
    /// Whether a read may be served and kept at this point of the session.
    pub(super) fn gate(&self) -> Result<(), Why> {
        if let Some(why) = self.thread.shut() {
            return Err(why);
        }
        // Who was told that the backend is gone is answered by nobody (hazard 22).
        if self.flow.phase != Phase::Running || self.flow.replication || self.flow.parting {
            return Err(Why::Protocol);
        }
        self.settings.gate(self.thread.pooler)?;
        self.still_counts()?;
        if self.pending.impure() && stands(Guard::ReadsOnly) {
            return Err(Why::Pipeline);
        }
        match self.transaction.status() {
            b'I' => Ok(()),
            b'T' if self.transaction.dirty && stands(Guard::CleanOnly) => Err(Why::Dirty),
            b'T' if !self.transactions_allow() => Err(Why::Transactions),
            b'T' if self.transaction.isolation != Some(Isolation::ReadCommitted)
                && stands(Guard::IsolationOfBlock) =>
            {
                Err(Why::Isolation)
            }
            // An earlier read may yet fail the transaction.
            b'T' if self.pending.has_closed() => Err(Why::Pipeline),
            b'T' => Ok(()),
            _ if stands(Guard::NotFailed) => Err(Why::FailedTransaction),
            _ => Ok(()),
        }
    }

    fn transactions_allow(&self) -> bool {
        match self.thread.live().transactions {
            Transactions::UntilWrite => true,
            Transactions::ReadOnly => self.transaction.read_only == Some(true),
            Transactions::Never => false,
        }
    }

    /// Whether what the backend has said of itself still counts: its server is the one in use, and no default has changed.
    ///
    /// Asked before a look-up or a stamp for the reason's sake, and after it for the truth's: what changes either of the
    /// two raises everything afterwards.
    #[inline]
    pub(super) fn still_counts(&self) -> Result<(), Why> {
        let servers = &self.thread.ledger.servers;
        if !servers.allow(self.footing.server) && stands(Guard::ServerInUse) {
            return Err(servers.why());
        }
        if self.is_rebased() {
            return Err(Why::Settings);
        }
        Ok(())
    }

    /// Whether a default may have changed since the settings were read.
    #[inline]
    fn is_rebased(&self) -> bool {
        self.database.baselines() != self.footing.baselines
    }

    /// Whether a read has a snapshot of its own, `last` in its segment. Where REPEATABLE READ is the default, the
    /// statements of a pipeline share that of the first: what a later one reads is older than its stamp, and a hit
    /// among them is of another moment.
    pub(super) fn own_snapshot(&self, last: bool) -> Result<(), Why> {
        let alone = || last && !self.pending.forwarded() && !self.pending.local;
        if self.settings.own_snapshots()
            || self.transaction.status() != b'I'
            || alone()
            || !stands(Guard::IsolationOfPipeline)
        {
            Ok(())
        } else {
            Err(Why::Isolation)
        }
    }

    /// Whether a read of system catalogs is of one moment. What looks names up there sees changes only from the start of
    /// its transaction on, and what was looked up when it was parsed is kept by its plan.
    fn own_moment(&self, how: &How<'_>) -> bool {
        how.last
            && self.transaction.status() == b'I'
            && !self.pending.forwarded()
            && !self.pending.local
    }

    fn catalogs_allow(&self, pass: &Pass, looked_up: bool, how: &How<'_>) -> Result<(), Why> {
        let reads = |effect: &Effect| effect.reads.as_ref().is_ok_and(Cacheable::of_catalogs);
        let of_catalogs = pass.effects.iter().any(reads);
        match of_catalogs && (looked_up || !self.own_moment(how)) && stands(Guard::OneMoment) {
            true => Err(Why::CatalogMoment),
            false => Ok(()),
        }
    }

    /// Whether the session should ask the backend about itself before this text is decided.
    pub(super) fn wants_probe(&self, text: &Text) -> bool {
        (self.settings.unknown() || self.is_rebased())
            && self.thread.mode() != Mode::Off
            && self.flow.phase == Phase::Running
            && !self.flow.replication
            && self.transaction.status() == b'I'
            && self.pending.is_empty()
            && match text.single() {
                // A read that may hit, or a write whose names must be looked up to know what it touches.
                Some(Statement::Query(query)) => !matches!(query.why, Some(why) if !writes(why)),
                Some(Statement::CopyFrom(_) | Statement::Truncate { .. }) => true,
                // Inside the block it cannot be asked any more, and some clients read nowhere else.
                Some(Statement::Begin(_)) => self.settings.missed(),
                Some(Statement::Show(name)) => OWN.contains(&&**name),
                _ => false,
            }
    }

    /// Decides about a text.
    pub(super) fn plan(
        &mut self,
        text: &Rc<Text>,
        how: How<'_>,
        now: Micros,
    ) -> Result<Fresh, Box<Pass>> {
        let gate = self.gate().and(how.reads);
        let gate = gate.and_then(|()| self.own_snapshot(how.last));
        let gate = gate.and_then(|()| self.trusted(text));
        let (gate, wish) = self.bound(text, gate);
        let context = self.settings.context(&self.thread.contexts);
        let asked = Asked {
            context,
            text: text.analysis.canonical.as_bytes(),
            types: how.types,
            tail: how.tail,
            limit: 0,
        };
        let looked_up = matches!(
            text.single(),
            Some(Statement::Query(query)) if query.catalogs.looks_up && !how.parsed
        );
        let (mut limited, mut aside) = (false, None);
        // Behind a read that is under way a hit could be older than that read's answer (P4).
        if gate.is_ok()
            && how.serve
            && !looked_up
            && (self.pending.nothing_awaited() || !stands(Guard::NoHitBehindOwed))
            && matches!(text.single(), Some(Statement::Query(query)) if query.why.is_none())
        {
            match self.kept(text, asked, &how, now) {
                // The server has changed meanwhile.
                Ok(Some(_)) if self.still_counts().is_err() => {}
                Ok(Some(entry)) if wish.outlived(entry.header(), now) => {}
                Ok(Some(entry)) if self.is_due(&entry, &how) => aside = Some(entry),
                Ok(Some(entry)) if self.thread.mode() == Mode::On => return Ok(entry),
                Ok(Some(_)) => {
                    let mut pass = self.pass(text, context);
                    (pass.outcome, pass.why) = (Outcome::Hit, None);
                    return Err(pass);
                }
                Err(Why::RowLimit) => limited = true,
                Ok(None) | Err(_) => {}
            }
        }
        let mut pass = self.pass(text, context);
        let gate = if limited { Err(Why::RowLimit) } else { gate };
        let gate = gate.and_then(|()| self.catalogs_allow(&pass, looked_up, &how));
        self.judge(text, &asked, gate, &mut pass, now);
        if pass.why == Some(Why::Settings) {
            self.settings.miss();
        }
        if let Some(fill) = &mut pass.fill
            && how.limit > 0
            && self.ends(&how)
        {
            fill.first(how.limit as u32);
        }
        if let Some(entry) = aside {
            self.put_aside(entry, &how, &mut pass);
        }
        Err(pass)
    }

    /// The answer that is kept: whole, or its first rows if no more can be asked of it. An error: there is one that
    /// cannot be given.
    #[inline]
    fn kept(
        &self,
        text: &Text,
        asked: Asked<'_>,
        how: &How<'_>,
        now: Micros,
    ) -> Result<Option<Fresh>, Why> {
        let store = &self.thread.store;
        let gone = |entry: &Entry| self.note_gone(text, entry);
        match store.lookup_or(&asked, how.describe, now, gone) {
            Some(entry) if self.may_give(&entry, text, how) => return Ok(Some(entry)),
            Some(_) => return Err(Why::RowLimit),
            None => {}
        }
        if how.limit <= 0 || !self.ends(how) {
            return Ok(None);
        }
        let limit = how.limit as u32;
        let first = Asked { limit, ..asked };
        Ok(store.lookup(&first, how.describe, now))
    }

    /// Notes what has made an answer to that text untrue.
    #[cold]
    fn note_gone(&self, text: &Text, entry: &Entry) {
        // An intent may be open that closes without a raise.
        if let Some(cause) = entry.header().stamp.passed() {
            let cause = self.database.cause(&cause);
            self.thread.record(text).invalidated(cause);
        }
    }

    /// Decides about a portal that the upstream has; `bound`: the fill begun when it was bound.
    pub(super) fn plan_portal(
        &mut self,
        text: &Rc<Text>,
        bound: Option<Fill>,
        now: Micros,
    ) -> Pass {
        let context = self.settings.context(&self.thread.contexts);
        let gate = match bound {
            Some(_) => self.gate().and_then(|()| self.own_snapshot(false)),
            None => self.gate().and(Err(Why::Portal)),
        };
        let mut pass = *self.pass(text, context);
        let asked = Asked {
            context,
            text: b"",
            types: b"",
            tail: None,
            limit: 0,
        };
        self.judge(text, &asked, gate, &mut pass, now);
        pass.fill = if pass.outcome == Outcome::Miss {
            bound
        } else {
            None
        };
        pass
    }

    /// What a portal of that statement may do where it is bound.
    pub(super) fn may_do(&mut self, statement: &[u8]) -> May {
        let Some(named) = self.statements.named(statement) else {
            return match self.lacks_statement(statement) {
                true => May::Do(Rc::from([]), None),
                false => May::Anything,
            };
        };
        let text = named.text.clone();
        let context = self.settings.context(&self.thread.contexts);
        let pass = self.pass(&text, context);
        May::Do(pass.effects, pass.version)
    }

    /// What a text does, for its way upstream.
    pub(super) fn pass(&mut self, text: &Rc<Text>, context: u64) -> Box<Pass> {
        let catalog = self.database.catalog();
        let discards = matches!(
            text.single(),
            Some(Statement::Discard(Discard::All | Discard::Temp))
        );
        let effects = match self.thread.mode() {
            Mode::Off => Rc::from([]),
            // Pools send it whenever a connection comes back: mostly it has nothing to discard.
            _ if discards && !self.pending.impure() && self.settings.nothing_temporary() => {
                Rc::from([resolve(&Statement::Discard(Discard::Plans), None, &[])])
            }
            _ => match self.executes(text, catalog.as_deref()) {
                Some(effect) => Rc::from([effect]),
                None => text.effects(catalog.as_ref(), context, &self.settings.path()),
            },
        };
        let effects = self.overruled(text, catalog.as_deref(), effects);
        let version = catalog.map(|catalog| catalog.version);
        Box::new(Pass {
            effects,
            version,
            outcome: Outcome::Other,
            why: None,
            fill: None,
        })
    }

    /// What it does where a rule says that its functions can be trusted.
    pub(super) fn overruled(
        &mut self,
        text: &Text,
        catalog: Option<&Catalog>,
        effects: Rc<[Effect]>,
    ) -> Rc<[Effect]> {
        let asked = || match (&*effects, text.single()) {
            ([effect], Some(Statement::Query(query))) => {
                let why = effect.reads.as_ref().err()?;
                may_overrule(*why).then_some(query)
            }
            _ => None,
        };
        if !self.thread.live().rules.trust() {
            return effects;
        }
        let (Some(catalog), Some(query)) = (catalog, asked()) else {
            return effects;
        };
        let trusting = resolve_trusting(query, catalog, &self.settings.path());
        let trusted = trusting.filter(|effect| {
            let live = self.thread.live();
            let reads = effect.reads.as_ref();
            reads.is_ok_and(|reads| live.rules.decide(&self.asker(text), reads, catalog).trust)
        });
        trusted.map_or(effects, |effect| Rc::from([effect]))
    }

    /// What an EXECUTE does of a statement that is known.
    fn executes(&mut self, text: &Text, catalog: Option<&Catalog>) -> Option<Effect> {
        let Some(Statement::Execute(name, arguments)) = text.single() else {
            return None;
        };
        let executed = self.executed(name)?;
        let path = self.settings.path();
        Some(resolve_execute(executed.body()?, arguments, catalog, &path))
    }

    /// Names the outcome of a text that goes upstream, and begins its fill if it may be kept.
    pub(super) fn judge(
        &self,
        text: &Text,
        asked: &Asked<'_>,
        gate: Result<(), Why>,
        pass: &mut Pass,
        now: Micros,
    ) {
        let off = (self.thread.mode() == Mode::Off).then_some(Why::Off);
        if let Some(why) = off.or(text.analysis.refused) {
            (pass.outcome, pass.why) = (Outcome::Bypass, Some(why));
            return;
        }
        let raises = pass
            .effects
            .iter()
            .any(|effect| effect.catalog || effect.writes != Default::default());
        let Some(Statement::Query(_)) = text.single() else {
            (pass.outcome, pass.why) = other_outcome(text, raises);
            return;
        };
        let verdict = match &pass.effects[0].reads {
            Err(why) if raises && writes(*why) => {
                pass.outcome = Outcome::Write;
                return;
            }
            Err(why) => gate.and(Err(*why)),
            Ok(reads) => gate
                .and_then(|()| parameters_allow(asked.tail))
                .map(|()| reads),
        };
        match verdict {
            Err(why) => (pass.outcome, pass.why) = (Outcome::Bypass, Some(why)),
            Ok(reads) => {
                pass.outcome = Outcome::Miss;
                if self.pending.fills_enough() {
                    return;
                }
                let (Some(version), Some(catalog)) = (pass.version, self.database.catalog()) else {
                    return;
                };
                if let Some(why) = types_refused(asked.types, text, &catalog) {
                    (pass.outcome, pass.why) = (Outcome::Bypass, Some(why));
                    return;
                }
                let ruling = {
                    let live = self.thread.live();
                    live.rules.decide(&self.asker(text), reads, &catalog)
                };
                // Who wishes it to be younger sees to that himself: it need not end sooner for the others.
                let ttl = ruling.within(self.wish(text).ttl).max(ruling.ttl);
                if ttl == 0 {
                    (pass.outcome, pass.why) = (Outcome::Bypass, Some(Why::Rule));
                    return;
                }
                let purges = self.thread.store.purges();
                let stamp = self.database.stamp(reads, version);
                let stands = self.still_counts().is_ok() && self.thread.is_current();
                let Some(stamp) = stamp.filter(|_| stands) else {
                    return;
                };
                let limit = self.thread.store.max_answer();
                let limit = ruling.max_bytes.map_or(limit, |most| most.min(limit));
                let fill = Fill::new(asked.to_key(), stamp, ttl, now, limit);
                let fill = fill.usually(ruling.ttl).after_purges(purges);
                pass.fill = Some(fill.of(self.thread.record(text).clone()));
            }
        }
    }
}

/// The outcome of what is no single query.
fn other_outcome(text: &Text, raises: bool) -> (Outcome, Option<Why>) {
    let mut statements = text.analysis.statements.iter();
    let queries = statements.any(|s| matches!(s, Statement::Query(_)));
    match (raises, queries) {
        (true, _) => (Outcome::Write, None),
        (false, _) if matches!(text.single(), Some(Statement::Execute(..))) => {
            (Outcome::Bypass, Some(Why::Execute))
        }
        (false, true) => (Outcome::Bypass, Some(Why::Batch)),
        (false, false) => (Outcome::Other, None),
    }
}

/// Why a parameter of a declared type may not be in a cacheable statement (0: not declared).
///
/// The types of an answer's columns need no look: a column comes from a relation, a cast or a parameter, which are
/// refused by their type, or from a function, and those that give such a type and none but such are refused by
/// their name: the others give it only for a value of such a type.
///
/// AT TIME ZONE makes a `timetz` of a `time`, unwritten: what offset it gets, the date of today decides.
fn types_refused(types: &[u8], text: &Text, catalog: &Catalog) -> Option<Why> {
    let zones = matches!(text.single(), Some(Statement::Query(query)) if query.hidden.zones);
    let (types, _) = types.as_chunks::<4>();
    let types = types.iter().map(|oid| u32::from_be_bytes(*oid));
    types.filter(|oid| *oid != 0).find_map(|oid| {
        let time = zones && catalog.type_is_time(oid);
        catalog.type_kept(oid).or(time.then_some(Why::ClockColumn))
    })
}

/// Whether a query is refused because it is a write.
fn writes(why: Why) -> bool {
    matches!(
        why,
        Why::NotSelect | Why::DataModifyingCte | Why::SelectInto
    )
}

/// Text such as 'today' in a parameter is read as the clock by the types that know the word (hazard 3). A text has the
/// same bytes in either format.
fn parameters_allow(tail: Option<&[u8]>) -> Result<(), Why> {
    let Some(tail) = tail else { return Ok(()) };
    let Some(parameters) = message::parameters(tail) else {
        return Err(Why::Protocol);
    };
    let clock = |(_, value): &(u16, Option<&[u8]>)| value.is_some_and(reads_the_clock);
    if parameters.iter().any(clock) && stands(Guard::ClockText) {
        Err(Why::ClockText)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::Rows;

    #[test]
    fn declared_types_are_refused_like_columns() {
        let mut rows = Rows::empty_database();
        let fine = rows.named_type("pg_catalog", "int4", b'b');
        let clock = rows.named_type("pg_catalog", "timetz", b'b');
        let time = rows.named_type("pg_catalog", "time", b'b');
        let catalog = Catalog::build(1, rows);
        for (types, expected) in [
            (vec![], None),
            (vec![0, fine, 0], None),
            (vec![fine, clock], Some(Why::ClockColumn)),
            (vec![fine, 99_999], Some(Why::UserType)),
        ] {
            let bytes: Vec<u8> = types
                .iter()
                .flat_map(|oid: &u32| oid.to_be_bytes())
                .collect();
            let text = Text::new(b"SELECT a FROM t", true);
            assert_eq!(
                types_refused(&bytes, &text, &catalog),
                expected,
                "{types:?}"
            );
        }
        let bytes = time.to_be_bytes();
        let text = |sql: &[u8]| Text::new(sql, true);
        let (plain, zoned) = (
            text(b"SELECT $1 FROM t"),
            text(b"SELECT $1 AT TIME ZONE 'UTC' FROM t"),
        );
        assert_eq!(types_refused(&bytes, &plain, &catalog), None);
        assert_eq!(
            types_refused(&bytes, &zoned, &catalog),
            Some(Why::ClockColumn)
        );
    }

    #[test]
    fn a_clock_word_is_found_in_both_formats() {
        let tail = |format: u8, value: &[u8]| {
            let mut tail = vec![0, 1, 0, format, 0, 1, 0, 0, 0, value.len() as u8];
            tail.extend_from_slice(value);
            tail.extend_from_slice(&[0, 0]);
            tail
        };
        for format in [0, 1] {
            let words = tail(format, b"today");
            assert_eq!(parameters_allow(Some(&words)), Err(Why::ClockText));
            assert_eq!(parameters_allow(Some(&tail(format, &[0, 0, 0, 7]))), Ok(()));
        }
        assert_eq!(parameters_allow(None), Ok(()));
    }
}
