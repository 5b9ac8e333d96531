//! The fill: a miss on its way to become an entry.
//!
//! * Its stamp is taken before the statement is sent, and it is stored only if the stamp still holds at the
//!   ReadyForQuery that ends its batch without error (hazards 41, 42).
//! * Larger than the limit, or with a notice, a notification or a parameter status among its rows: given up, never
//!   cut short (hazards 6, 41).
//! * Who waits for it is freed when it is kept, given up or dropped: by the [`Lead`] in it.

use std::sync::Arc;

use super::Micros;
use super::comparison::{Aside, Comparison, compare};
use super::flight::Lead;
use super::key::Key;
use super::reply::{Entry, Header, Reply};
use super::store::Store;
use super::version::Stamp;
use crate::guard::{Guard, stands};
use crate::metrics::{OTHERS, Record};

/// A miss being answered.
#[derive(Debug)]
pub struct Fill {
    key: Key,
    stamp: Stamp,
    terms: Terms,
    limit: usize,
    /// Row limit under which its first rows may be kept; 0: only all of them.
    first: u32,
    body: Vec<u8>,
    description: usize,
    rows: u32,
    state: State,
    /// Equal ones may wait for it.
    lead: Option<Lead>,
    /// What would have been given instead, to be compared.
    aside: Option<Box<Aside>>,
    /// What its statement is counted in.
    statement: Option<Arc<Record>>,
}

/// From when on it is kept, and how long.
#[derive(Clone, Copy, Debug)]
struct Terms {
    started: Micros,
    ttl: Micros,
    /// For who wishes no other.
    usual: Micros,
    /// How often something had been purged when it began.
    purges: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Complete,
    GivenUp,
    TooLarge,
    /// The database has said that there is no such answer.
    Denied,
}

impl Fill {
    /// A fill of that key, its stamp taken before the statement is sent.
    pub fn new(key: Key, stamp: Stamp, ttl: Micros, started: Micros, limit: usize) -> Fill {
        Fill {
            key,
            stamp,
            terms: Terms {
                started,
                ttl,
                usual: ttl,
                purges: 0,
            },
            limit,
            first: 0,
            body: Vec::new(),
            description: 0,
            rows: 0,
            state: State::Open,
            lead: None,
            aside: None,
            statement: None,
        }
    }

    /// So often had something been purged before its stamp was taken.
    #[must_use]
    pub fn after_purges(mut self, purges: u64) -> Fill {
        self.terms.purges = purges;
        self
    }

    /// Who wishes no other time to live is given it for so long at most.
    #[must_use]
    pub fn usually(mut self, ttl: Micros) -> Fill {
        self.terms.usual = ttl;
        self
    }

    pub(super) fn purges(&self) -> u64 {
        self.terms.purges
    }

    /// Its statement.
    #[must_use]
    pub fn of(self, statement: Arc<Record>) -> Fill {
        Fill {
            statement: Some(statement),
            ..self
        }
    }

    /// What its statement is counted in.
    pub fn statement(&self) -> Option<&Record> {
        self.statement.as_deref()
    }

    /// Taken before it is sent.
    pub(super) fn stamp(&self) -> &Stamp {
        &self.stamp
    }

    /// Equal ones wait for it from now on.
    pub fn lead(&mut self, lead: Lead) {
        self.lead = Some(lead);
    }

    /// Nobody waits for it any longer; `again`: but perhaps for the next.
    pub fn release(&mut self, again: bool) {
        match self.lead.take() {
            Some(lead) if !again => lead.ground(),
            _ => {}
        }
    }

    /// Who waits is told when the entry is there.
    pub(super) fn take_lead(&mut self) -> Option<Lead> {
        self.lead.take()
    }

    /// Puts an answer aside that the one to come is compared with.
    pub fn put_aside(&mut self, aside: Aside) {
        self.aside = Some(Box::new(aside));
    }

    /// What was put aside.
    pub fn aside(&self) -> Option<&Aside> {
        self.aside.as_deref()
    }

    /// An error says that there is no such answer. Only of one that is compared, and alone.
    pub fn deny(&mut self) {
        if self.aside().is_some_and(|aside| aside.alone) {
            self.give_up();
            self.state = State::Denied;
        }
    }

    /// What giving what was put aside would have saved.
    pub fn spared(&self) -> Option<Micros> {
        self.aside()
            .map(|aside| u64::from(aside.entry.header().cost))
    }

    /// How what was put aside compares with what has come. `None`: it cannot be said, or something that it read was
    /// written since it was put aside.
    pub fn compared(&self) -> Option<Comparison> {
        let aside = self.aside()?;
        let held = self.stamp.holds() && aside.entry.header().stamp.holds();
        if !held && stands(Guard::CheckFenced) {
            return None;
        }
        match self.state {
            State::Complete => Some(compare(&aside.entry, &self.body, self.description)),
            State::Denied => Some(Comparison::Shape),
            // What is in memory is not.
            State::TooLarge => Some(Comparison::Rows),
            State::Open | State::GivenUp => None,
        }
    }

    /// The key it would be kept under.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Removes what was put aside from the store.
    pub fn forget(&self, store: &Store) {
        let Some(aside) = self.aside() else { return };
        let mut key = self.key.clone();
        key.limit(match aside.entry.suspended() {
            true => aside.entry.header().rows,
            false => 0,
        });
        store.forget(&key);
    }

    /// Lets its first rows be kept for who asks for so many and no more.
    pub fn first(&mut self, rows: u32) {
        self.first = rows;
    }

    /// The RowDescription.
    pub fn description(&mut self, frame: &[u8]) {
        if !self.body.is_empty() {
            return self.give_up();
        }
        self.push(frame);
        self.description = self.body.len();
    }

    /// Whole DataRows.
    pub fn rows(&mut self, frames: &[u8], count: usize) {
        self.rows = self.rows.saturating_add(count as u32);
        self.push(frames);
    }

    /// The CommandComplete.
    pub fn complete(&mut self, frame: &[u8]) {
        self.push(frame);
        if self.state == State::Open {
            self.state = State::Complete;
        }
    }

    /// The PortalSuspended: more rows may be left.
    pub fn suspended(&mut self, frame: &[u8]) {
        if self.first == 0 {
            if !stands(Guard::SuspendedNotKept) {
                return self.complete(frame);
            }
            return self.give_up();
        }
        self.key.limit(self.first);
        self.complete(frame);
    }

    /// Not to be kept, whatever comes.
    pub fn give_up(&mut self) {
        self.state = State::GivenUp;
        self.body = Vec::new();
        self.release(false);
    }

    /// Not to be kept: larger than the limit.
    pub fn too_large(&mut self) {
        self.give_up();
        self.state = State::TooLarge;
    }

    /// Whether it was given up for its size.
    pub fn is_too_large(&self) -> bool {
        self.state == State::TooLarge
    }

    /// Bytes kept so far.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// The most it may keep.
    pub fn limit(&self) -> usize {
        self.limit
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Open {
            return;
        }
        if self.body.len() + bytes.len() > self.limit {
            return self.too_large();
        }
        self.body.extend_from_slice(bytes);
    }

    /// Whether it is complete and everything it read is still what it was.
    fn holds(&self) -> bool {
        self.state == State::Complete && (self.stamp.holds() || !stands(Guard::StampAtFill))
    }

    /// The entry, if it is complete and nothing it read was written since it was asked for.
    pub fn finish(self, now: Micros) -> Option<(Key, Entry)> {
        if !stands(Guard::StampBeforeSent) {
            let stamp = self.stamp.late();
            return Fill { stamp, ..self }.entry(now);
        }
        self.entry(now)
    }

    fn entry(self, now: Micros) -> Option<(Key, Entry)> {
        if !self.holds() {
            return None;
        }
        let terms = self.terms;
        let until = |ttl| terms.started.saturating_add(ttl);
        let header = Header {
            stamp: self.stamp,
            made: terms.started,
            expires: until(terms.ttl),
            usual: until(terms.ttl.min(terms.usual)),
            statement: self.statement.as_ref().map_or(OTHERS, |s| s.id()),
            cost: u32::try_from(now.saturating_sub(terms.started)).unwrap_or(u32::MAX),
            rows: self.rows,
            description: self.description as u32,
        };
        Some((self.key, Entry::from_header_and_slice(header, &self.body)))
    }
}
