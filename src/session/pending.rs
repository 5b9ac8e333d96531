//! What is under way: answers the upstream owes, local answers that wait behind them, and the segments they belong to.
//!
//! * A segment is all that one ReadyForQuery ends. Its effects (settings, transaction, fills, intents) are applied
//!   when that message comes, and before the client sees it.
//! * After an error the upstream answers nothing until Sync; local answers of that segment that still wait are
//!   dropped with what it owes (hazard 51).

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

pub use super::owed::{Item, Kind, Owed, Tag};
use super::statements::Known;
use super::text::Text;
use crate::cache::Micros;
use crate::cache::fill::Fill;
use crate::cache::version::{Database, Intent, Ledger, WriteSet};
use crate::guard::{Guard, stands};
use crate::metrics::{Outcome, Record};
use crate::sql::statement::Statement;

/// How many unanswered messages a client may run ahead.
const AHEAD: usize = 8192;
/// How many bytes of local answers may wait behind what is owed.
const WAITING: usize = 256 << 10;
/// How many answers a session keeps at a time until their batches have ended.
const FILLS: usize = 256;
/// How many of the largest answers one batch may keep until it has ended.
const LARGEST: usize = 4;

/// Marks of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    /// Holds something else than cacheable reads.
    pub impure: bool,
    /// Ends the cleanness of a transaction.
    pub dirty: bool,
    /// May have changed the session unseen.
    pub opaque: bool,
    /// The upstream reported an error.
    pub failed: bool,
    /// An asynchronous message came: nothing of it is kept.
    pub noisy: bool,
    pub kind: Kind,
    /// Holds one statement that writes, whose command tag counts all that it changes.
    pub counted: bool,
    /// Gives names another meaning behind something that may fail.
    pub risky: bool,
    /// Begins with statements that were held back.
    pub held: bool,
    /// Contains COMMIT or its kin, CALL or DO: an error does not prove that nothing became visible.
    pub commits: bool,
    /// May end a transaction block: what is sent behind it may run outside of one.
    pub ends: bool,
    /// Its intents were closed for the length of a COPY and open again at CopyDone.
    pub copying: bool,
}

impl Marks {
    fn add(&mut self, other: Marks) {
        self.impure |= other.impure;
        self.dirty |= other.dirty;
        self.opaque |= other.opaque;
        self.failed |= other.failed;
        self.noisy |= other.noisy;
        self.commits |= other.commits;
        self.ends |= other.ends;
        self.risky |= other.risky;
    }
}

/// All that one ReadyForQuery ends.
#[derive(Debug)]
pub struct Segment {
    pub started: Micros,
    pub marks: Marks,
    /// Texts that ran and are not reads, in order.
    pub ran: Vec<Rc<Text>>,
    pub writes: WriteSet,
    pub intents: Vec<Intent>,
    /// What the intents cover, or less.
    pub covered: WriteSet,
    /// Names that each DEALLOCATE in it takes away, until it is known to have done so.
    pub dropped: VecDeque<Vec<(Box<[u8]>, Known)>>,
    /// In order of their statements; the first `filled` are complete.
    pub fills: Vec<Fill>,
    pub filled: usize,
    /// Their bytes.
    pub kept: usize,
    pub tag: Tag,
    /// What is counted with its duration when it ends.
    pub timed: Timed,
}

/// Whose duration a segment's is.
#[derive(Debug)]
pub struct Timed {
    pub outcome: Outcome,
    /// The only statement in it.
    pub alone: Option<Arc<Record>>,
    many: bool,
}

impl Segment {
    fn new(started: Micros) -> Segment {
        Segment {
            started,
            marks: Marks::default(),
            ran: Vec::new(),
            writes: WriteSet::default(),
            intents: Vec::new(),
            covered: WriteSet::default(),
            dropped: VecDeque::new(),
            fills: Vec::new(),
            filled: 0,
            kept: 0,
            tag: Tag::None,
            timed: Timed {
                outcome: Outcome::Other,
                alone: None,
                many: false,
            },
        }
    }

    /// Its duration is that of this statement, if there is no other.
    pub fn times(&mut self, outcome: Outcome, statement: &Arc<Record>) {
        let timed = &mut self.timed;
        timed.outcome = outcome;
        timed.alone = (!timed.many).then(|| statement.clone());
        timed.many = true;
    }

    /// Puts what another segment holds before what this one holds.
    fn precede(&mut self, first: Segment) {
        let rest = std::mem::replace(self, first);
        self.ran.extend(rest.ran);
        self.intents.extend(rest.intents);
        self.covered = WriteSet::default();
        self.dropped.extend(rest.dropped);
        self.fills.extend(rest.fills);
        self.writes.add(&rest.writes);
        self.marks.add(rest.marks);
    }

    /// Nothing of it has run.
    pub fn forget_what_ran(&mut self) {
        self.ran.clear();
        self.writes = WriteSet::default();
        self.marks.opaque = false;
        self.marks.commits = false;
        self.marks.ends = false;
    }

    /// Opens an intent, unless one that is open covers it: a pipeline of a million writes opens one, not a million.
    pub fn intend(&mut self, ledger: &Ledger, database: &Arc<Database>, writes: &WriteSet) {
        let any = !self.covered.is_empty() && !stands(Guard::CoversOnlyCovered);
        if self.covered.covers(writes) || any {
            return;
        }
        self.intents.push(Intent::open(ledger, database, writes));
        self.covered.extend(writes);
    }

    /// A text has run that is not a read.
    pub fn run(&mut self, text: &Rc<Text>) {
        let plain = |s: &Statement| matches!(s, Statement::Query(_));
        let again = self.ran.last().is_some_and(|last| Rc::ptr_eq(last, text));
        if !(again && text.analysis.statements.iter().all(plain)) {
            self.ran.push(text.clone());
        }
    }

    /// The fill that answers arriving now belong to has ended.
    pub fn filled(&mut self) {
        if let Some(fill) = self.fills.get_mut(self.filled) {
            self.kept += fill.len();
            if self.kept > LARGEST * fill.limit() {
                self.kept -= fill.len();
                fill.give_up();
            }
        }
        self.filled += 1;
    }

    /// The fill that answers arriving now belong to.
    pub fn filling(&mut self) -> Option<&mut Fill> {
        self.fills.get_mut(self.filled)
    }
}

/// What is under way.
#[derive(Debug, Default)]
pub struct Pending {
    queue: VecDeque<Item>,
    /// Bytes of ours that wait in it.
    waiting: usize,
    /// A segment under way may be risky.
    risky: bool,
    /// Closed by the client, oldest first; the upstream answers the first.
    closed: VecDeque<Segment>,
    /// Not closed yet; something of it was forwarded.
    open: Option<Segment>,
    /// Something was answered locally in the segment that the client has not closed yet.
    pub local: bool,
    /// The open segment has failed: the upstream ignores everything until Sync.
    pub skipping: bool,
    /// The upstream was asked to send what it has, and nothing was asked of it since.
    flushed: bool,
    /// A statement is being verified: the client waits.
    verifying: bool,
    /// The description that comes, of a statement that is looked at.
    pub description: Vec<u8>,
    /// How many portals that lived here wait for the answer to the Bind in their place.
    replaced: usize,
    /// Held statements went in front of a Query, which an error of theirs would leave unheard: the client waits.
    pub fragile: bool,
}

impl Pending {
    /// Nothing is owed and no segment is open.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.closed.is_empty() && self.open.is_none()
    }

    /// Nothing is owed that the client waits for or that reads data.
    #[inline]
    pub fn nothing_awaited(&self) -> bool {
        self.queue.is_empty()
            || self
                .closed
                .iter()
                .all(|segment| segment.marks.kind == Kind::Quiet)
                && self.open.is_none()
    }

    /// Nothing is owed.
    #[inline]
    pub fn nothing_owed(&self) -> bool {
        self.queue.is_empty()
    }

    /// The client has run ahead as far as it may.
    pub fn is_full(&self) -> bool {
        self.queue.len() > AHEAD || self.waiting > WAITING
    }

    /// Whether a simple Query waits, of the client's or of ours.
    pub fn asks(&self) -> bool {
        let query = |item: &Item| {
            matches!(
                item,
                Item::Owed {
                    owed: Owed::Query { .. },
                    ..
                } | Item::Ours { simple: true, .. }
            )
        };
        self.queue.iter().any(query)
    }

    /// Whether answers of ours wait, or such as the client must not see are owed.
    pub fn mixes(&self) -> bool {
        let theirs = |item: &Item| {
            matches!(
                item,
                Item::Owed { hidden: false, .. }
                    | Item::Made(..)
                    | Item::Replaced(_)
                    | Item::CopyEnd
            )
        };
        !self.queue.iter().all(theirs)
    }

    /// Whether so many reads of this session are being kept that no more are begun.
    pub fn fills_enough(&self) -> bool {
        let fills = |segment: &Segment| segment.fills.len();
        self.closed
            .iter()
            .chain(&self.open)
            .map(fills)
            .sum::<usize>()
            >= FILLS
    }

    /// A message is sent that gives a name another meaning: should one before it in its segment fail, it has the old one
    /// upstream, or none.
    pub fn risks(&mut self, risky: bool) {
        if let Some(segment) = &mut self.open {
            segment.marks.risky |= risky;
            self.risky |= risky;
        }
    }

    /// Whether such a segment is closed and not answered: what is behind it must wait to know what its names mean.
    pub fn in_doubt(&self) -> bool {
        self.risky && self.closed.iter().any(|segment| segment.marks.risky)
    }

    /// Whether such a segment has replaced a portal: what is behind it must wait to know which there is.
    pub fn replaces(&self) -> bool {
        self.replaced > 0 && self.has_closed()
    }

    /// Whether what is closed and not answered may leave a transaction that has failed.
    pub fn may_abort(&self, in_transaction: bool) -> bool {
        let closed = &mut self.closed.iter();
        closed.any(|segment| in_transaction || segment.marks.impure)
    }

    /// A question of Larder's own is not answered yet.
    pub fn asked_itself(&self) -> bool {
        let own = |segment: &Segment| segment.marks.kind == Kind::Own;
        self.verifying || self.closed.back().is_some_and(own)
    }

    /// Whether a closed segment is under way that may change the transaction.
    pub fn has_closed(&self) -> bool {
        self.closed
            .iter()
            .any(|segment| segment.marks.kind != Kind::Quiet)
    }

    /// Whether a closed segment begins with a BEGIN of ours that may yet fail: what is sent behind it would then run outside
    /// of the block that its client is in.
    pub fn begins_unheard(&self) -> bool {
        self.closed.iter().any(|segment| segment.marks.held)
    }

    /// Whether anything under way is more than cacheable reads.
    pub fn impure(&self) -> bool {
        self.closed
            .iter()
            .chain(&self.open)
            .any(|segment| segment.marks.impure)
    }

    /// Whether what is sent now could be left unheard.
    pub fn is_fragile(&self) -> bool {
        let hidden = |item: &Item| matches!(item, Item::Owed { hidden: true, .. });
        self.fragile && self.queue.iter().any(hidden)
    }

    /// Whether the open segment begins with statements that were held back.
    pub fn is_held(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.marks.held)
    }

    /// Whether something of the open segment was forwarded.
    pub fn forwarded(&self) -> bool {
        self.open.is_some()
    }

    /// The open segment, opened now if need be.
    pub fn open(&mut self, now: Micros) -> &mut Segment {
        self.open.get_or_insert_with(|| Segment::new(now))
    }

    /// The segment that the upstream answers now.
    pub fn front(&mut self) -> Option<&mut Segment> {
        self.closed.front_mut().or(self.open.as_mut())
    }

    /// What the client has closed, oldest first.
    pub fn closed(&self) -> impl Iterator<Item = &Segment> {
        self.closed.iter()
    }

    /// The first place, and the segment that the upstream answers now.
    pub fn answered(&mut self) -> (Option<&Item>, Option<&mut Segment>) {
        let segment = self.closed.front_mut().or(self.open.as_mut());
        (self.queue.front(), segment)
    }

    /// Every segment under way.
    pub fn segments(&mut self) -> impl Iterator<Item = &mut Segment> {
        self.closed.iter_mut().chain(&mut self.open)
    }

    /// The client has closed the open segment.
    pub fn close(&mut self) {
        self.closed.extend(self.open.take());
        self.local = false;
        self.skipping = false;
    }

    /// The oldest segment has ended.
    pub fn finish(&mut self) -> Option<Segment> {
        let segment = self.closed.pop_front();
        self.risky &= !(self.closed.is_empty() && self.open.is_none());
        segment
    }

    /// COPY has begun behind the first place: what was sent before its end is ignored by the upstream, Sync included.
    /// Gives whether its end was sent already; `None`: something else than Sync was sent behind it.
    pub fn copy_began(&mut self) -> Option<bool> {
        let end = self
            .queue
            .iter()
            .position(|item| matches!(item, Item::CopyEnd));
        let behind = self.queue.range(1..end.unwrap_or(self.queue.len()));
        let mut syncs = 0;
        for item in behind {
            if !matches!(
                item,
                Item::Owed {
                    owed: Owed::Sync,
                    ..
                }
            ) {
                return None;
            }
            syncs += 1;
        }
        for _ in 0..syncs {
            self.queue.remove(1);
            self.reopen();
        }
        Some(end.is_some())
    }

    /// Whether the end of a COPY was sent before the upstream has asked for data.
    pub fn copy_ended(&self) -> bool {
        self.queue.iter().any(|item| matches!(item, Item::CopyEnd))
    }

    /// The oldest segment was not closed after all: what follows belongs to it.
    fn reopen(&mut self) {
        let Some(first) = self.closed.pop_front() else {
            return;
        };
        match self.closed.front_mut().or(self.open.as_mut()) {
            Some(next) => next.precede(first),
            None => self.open = Some(first),
        }
    }

    /// Whether the upstream has answers that it need not have sent; once.
    pub fn wants_flush(&mut self) -> bool {
        self.open.is_some() && !std::mem::replace(&mut self.flushed, true)
    }

    /// The open segment, if there is one.
    pub fn unfinished(&self) -> Option<&Segment> {
        self.open.as_ref()
    }

    /// Adds a place.
    pub fn push(&mut self, item: Item) {
        self.flushed = false;
        self.verifying |= verifies(&item);
        self.replaced += usize::from(matches!(item, Item::Replaced(_)));
        self.queue.push_back(item);
    }

    /// Adds bytes of ours behind what is owed.
    pub fn push_local(&mut self, bytes: &[u8]) {
        self.waiting += bytes.len();
        match self.queue.back_mut() {
            Some(Item::Local(waiting)) => waiting.extend_from_slice(bytes),
            _ => self.queue.push_back(Item::Local(bytes.to_vec())),
        }
    }

    /// The first place.
    pub fn first(&self) -> Option<&Item> {
        self.queue.front()
    }

    /// Takes the first place.
    pub fn pop(&mut self) -> Option<Item> {
        let item = self.queue.pop_front();
        if let Some(Item::Local(bytes)) = &item {
            self.waiting -= bytes.len();
        }
        self.replaced -= usize::from(matches!(item, Some(Item::Replaced(_))));
        self.verifying &= !item.as_ref().is_some_and(verifies);
        item
    }

    /// A name stands again for what it stood for `before`, so for what is sent behind. Gives it back if nothing that is
    /// under way has given the name another meaning since.
    /// `given`: the name stands for something now.
    pub fn restore(
        &mut self,
        name: &[u8],
        before: Option<Known>,
        given: bool,
    ) -> Option<Option<Known>> {
        for item in &mut self.queue {
            match item {
                Item::Made(later, then)
                | Item::Owed {
                    owed: Owed::Statement(later, then),
                    ..
                } if **later == *name => {
                    *then = before;
                    return None;
                }
                // A simple Query ends the unnamed statement.
                Item::Owed {
                    owed: Owed::Query { .. },
                    ..
                }
                | Item::Ours { simple: true, .. }
                    if name.is_empty() =>
                {
                    return None;
                }
                _ => {}
            }
        }
        if given {
            return Some(before);
        }
        // A DEALLOCATE that is under way has taken it away: that is what it gives back should it fail.
        let mut groups = self.segments().flat_map(|segment| &mut segment.dropped);
        let Some(group) = groups.find(|group| group.iter().any(|(taken, _)| **taken == *name))
        else {
            return Some(before);
        };
        match before {
            Some(before) => {
                for (_, known) in group.iter_mut().filter(|(taken, _)| **taken == *name) {
                    *known = before.clone();
                }
            }
            None => group.retain(|(taken, _)| **taken != *name),
        }
        None
    }

    /// Nobody waits any longer for what is being kept.
    pub fn release(&mut self) {
        for fill in self.segments().flat_map(|segment| &mut segment.fills) {
            fill.release(true);
        }
    }

    /// Nothing is known of the order of answers any more.
    pub fn forget_order(&mut self) {
        self.release();
        self.queue.clear();
        self.waiting = 0;
        self.risky = false;
        self.verifying = false;
        self.replaced = 0;
    }

    /// Everything that is still in flight.
    pub fn into_intents(self) -> Vec<Intent> {
        self.closed
            .into_iter()
            .chain(self.open)
            .flat_map(|segment| segment.intents)
            .collect()
    }
}

fn verifies(item: &Item) -> bool {
    matches!(
        item,
        Item::Owed {
            owed: Owed::Verify(..),
            ..
        }
    )
}
