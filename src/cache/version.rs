//! The ledger: the only place that says "still true".
//!
//! Per relation, per database (`all`, raised by opaque writes) and per catalog one [`Slot`]: a version and the
//! count of open intents in one word. An entry carries a [`Stamp`], the words it was made under; it holds while
//! every one of them is the current word. A stamp is only taken while no intent is open, so equality alone says
//! both "not raised since" and "no write in flight" (hazards 42, 43; the proof is in `docs/consistency.md`).
//!
//! * An [`Intent`] opens before the bytes leave that can make a write visible, and closes after the upstream has
//!   answered and before the client is told. Dropping one without closing it leaves it open for ever: shut, never
//!   wrong (P9).
//! * A write set is resolved with a catalog. If the catalog is raised before the intent opens, the intent widens to
//!   everything; a catalog is published only when no intent is open that was resolved with an older one. So a
//!   trigger created meanwhile cannot write what no intent covers.
//! * A raise of the catalog shuts the database until a load *begun after* it is published.
//!
//! Not here: who writes what (`sql`), when the bytes leave (`session`), loading (`watch`).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;

use super::Micros;
use super::flight::Flights;
use super::reply::{Entry, Reply};
use super::sync::{AtomicU64, Mutex, RwLock};
use crate::guard::{Guard, stands};
use crate::sql::catalog::SYSTEM_CATALOGS;
use crate::sql::{Cacheable, Catalog, Oid, Touched};

mod ledger;
mod raises;
mod standing;
mod writeset;

use ledger::Databases;
pub use ledger::Ledger;
use raises::Noted;
pub use raises::{Cause, TableLine};
pub use writeset::WriteSet;

/// One version step; below it the count of open intents (at most 2^24 − 1, more connections than a machine has).
const STEP: u64 = 1 << 24;

/// A version and the count of open intents.
#[derive(Debug, Default)]
pub struct Slot {
    word: AtomicU64,
    noted: Noted,
}

impl Slot {
    #[inline]
    fn word(&self) -> u64 {
        self.word.load(Ordering::SeqCst)
    }

    /// The current word if no intent is open.
    #[inline]
    fn settled(&self) -> Option<u64> {
        let word = self.word();
        word.is_multiple_of(STEP).then_some(word)
    }

    /// The current word if nothing is in its way.
    #[inline]
    fn readable(&self) -> Option<u64> {
        if stands(Guard::NoStampWhileOpen) {
            self.settled()
        } else {
            Some(self.word())
        }
    }

    fn open(&self) {
        if stands(Guard::OpenShuts) {
            self.word.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn close(&self, raise: bool) {
        let version = STEP * u64::from(raise && stands(Guard::CloseRaises));
        let opened = u64::from(stands(Guard::OpenShuts));
        self.word
            .fetch_add(version.wrapping_sub(opened), Ordering::SeqCst);
    }

    fn raise(&self) {
        self.word.fetch_add(STEP, Ordering::SeqCst);
    }
}

/// One database's versions and its catalog.
#[derive(Debug)]
pub struct Database {
    name: Box<str>,
    all: Slot,
    catalog: Slot,
    relations: RwLock<HashMap<Oid, Arc<Slot>>>,
    loaded: ArcSwapOption<Catalog>,
    /// Open intents by the catalog version their write set was resolved with.
    resolved_with: Mutex<BTreeMap<u64, usize>>,
    /// Wakes the loader.
    pub wanted: Notify,
    /// Raised when the server has read its configuration again.
    baselines: AtomicU64,
    /// Backends that sessions have asked about themselves: some were those that had been announced, some were others.
    met: [AtomicBool; 2],
    /// Misses under way.
    pub flights: Flights,
}

impl Database {
    /// A database that no ledger knows yet: of a client that has not logged in.
    pub fn new(name: &str) -> Database {
        Database {
            name: name.into(),
            all: Slot::default(),
            catalog: Slot::default(),
            relations: RwLock::default(),
            loaded: ArcSwapOption::empty(),
            resolved_with: Mutex::default(),
            wanted: Notify::new(),
            baselines: AtomicU64::new(0),
            met: Default::default(),
            flights: Flights::default(),
        }
    }

    /// A session was answered by the backend that the upstream had announced, or by another. Whether that is the first.
    pub fn meet(&self, announced: bool) -> bool {
        !self.met[usize::from(!announced)].swap(true, Ordering::Relaxed)
    }

    /// A number that changes when settings may have another default: what a session has read before is to be read again.
    #[inline]
    pub fn baselines(&self) -> u64 {
        self.baselines.load(Ordering::SeqCst)
    }

    /// Settings may have another default. Call it before the catalog is raised: who took a stamp and finds the number
    /// unchanged afterwards has a stamp that the raise will kill.
    pub fn rebase(&self) {
        self.baselines.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether sessions are answered by the backends that the upstream announces: it is no pooler.
    pub fn is_direct(&self) -> bool {
        let [announced, others] = &self.met;
        announced.load(Ordering::Relaxed) && !others.load(Ordering::Relaxed)
    }

    /// The name clients give.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn slot(&self, relation: Oid) -> Arc<Slot> {
        if let Some(found) = self
            .relations
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&relation)
        {
            return found.clone();
        }
        let mut relations = self
            .relations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let slot = || {
            Arc::new(Slot {
                word: AtomicU64::default(),
                noted: Noted::of(relation),
            })
        };
        relations.entry(relation).or_insert_with(slot).clone()
    }

    /// The catalog, if it is loaded and still true.
    pub fn catalog(&self) -> Option<Arc<Catalog>> {
        let loaded = self.loaded.load();
        let catalog = loaded.as_ref()?;
        let current = self.catalog.settled() == Some(catalog.version);
        (current || !stands(Guard::NoOldCatalog)).then(|| catalog.clone())
    }

    /// The catalog's word of this moment: the same word later says that nothing in the catalog has changed since, as far
    /// as is known.
    #[inline]
    pub fn catalog_word(&self) -> u64 {
        self.catalog.word()
    }

    /// The version a load that begins now is good for; `None` while a change of the catalog is in flight.
    pub fn load_version(&self) -> Option<u64> {
        self.catalog.settled()
    }

    /// Puts a loaded catalog in force. `false`: raised meanwhile, or writes are in flight that were resolved with an
    /// older one; try again after the next [`Database::wanted`].
    pub fn publish(&self, catalog: Catalog) -> Result<(), Catalog> {
        let open = self
            .resolved_with
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let older = open.keys().any(|version| *version != catalog.version);
        let waits = older && stands(Guard::CatalogWaits);
        let raised = self.catalog.settled() != Some(catalog.version) && stands(Guard::NoOldLoad);
        if waits || raised {
            return Err(catalog);
        }
        self.loaded.store(Some(Arc::new(catalog)));
        Ok(())
    }

    /// A change of the catalog made past Larder was found.
    pub fn raise_catalog(&self) {
        self.catalog.raise();
        self.flights.shaken();
        self.wanted.notify_one();
    }

    /// Nothing of it is to be served that was read before.
    pub fn raise_all(&self) {
        self.all.raise();
        self.flights.shaken();
    }

    /// A change of one relation made past Larder was found.
    pub fn raise(&self, relation: Oid) {
        self.slot(relation).raise();
        self.flights.shaken();
    }

    /// The catalog can no longer be watched: nothing is analysed, served or filled until the next load.
    pub fn blind(&self) {
        self.loaded.store(None);
        self.raise_catalog();
    }

    /// The words an answer that is read from now on is made under; `None` while anything it reads is being written,
    /// or the catalog is not the one it was resolved with.
    pub fn stamp(self: &Arc<Database>, reads: &Cacheable, catalog: u64) -> Option<Stamp> {
        if self.catalog.settled() != Some(catalog) {
            return None;
        }
        let all = self.all.readable()?;
        let mut relations = Vec::with_capacity(reads.relations().len());
        for relation in reads.relations() {
            let slot = self.slot(*relation);
            let word = slot.readable()?;
            relations.push((slot, word));
        }
        Some(Stamp {
            database: self.clone(),
            all,
            catalog,
            relations: relations.into(),
        })
    }
}

/// The words an answer was made under.
#[derive(Clone, Debug)]
pub struct Stamp {
    database: Arc<Database>,
    all: u64,
    catalog: u64,
    relations: Box<[(Arc<Slot>, u64)]>,
}

impl Stamp {
    /// Whether every word is the current one: a few loads, no lock.
    #[inline]
    pub fn holds(&self) -> bool {
        let all = self.database.all.word() == self.all;
        let catalog = self.database.catalog.word() == self.catalog;
        let mut relations = self.relations.iter();
        (all || !stands(Guard::StampOfDatabase))
            && (catalog || !stands(Guard::StampOfCatalog))
            && relations.all(|(slot, word)| slot.word() == *word)
    }

    /// The words as they are now: what a stamp would be that is taken too late.
    pub(super) fn late(mut self) -> Stamp {
        self.all = self.database.all.word();
        for (slot, word) in &mut self.relations {
            *word = slot.word();
        }
        self
    }

    /// Whether it can never hold again: a version has passed it. An open intent alone does not say so.
    pub fn dead(&self) -> bool {
        let passed = |slot: &Slot, word: u64| slot.word() / STEP != word / STEP;
        passed(&self.database.all, self.all)
            || passed(&self.database.catalog, self.catalog)
            || self
                .relations
                .iter()
                .any(|(slot, word)| passed(slot, *word))
    }

    /// The database it is of.
    pub(super) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Of two stamps of the same statement the sum is the same if the words are: versions only grow.
    pub(super) fn sum(&self) -> u64 {
        let of_database = self.all.wrapping_add(self.catalog);
        let words = self.relations.iter();
        words.fold(of_database, |sum, (_, word)| sum.wrapping_add(*word))
    }

    /// Heap bytes of the stamp, for the store's accounts.
    pub fn bytes(&self) -> usize {
        std::mem::size_of_val(&*self.relations)
    }
}

/// An entry that held at the moment it was asked for. Made only here.
#[derive(Debug)]
pub struct Fresh(Entry);

impl Fresh {
    /// The proof: stamp current, not expired. Or the entry again.
    #[inline]
    pub fn check(entry: Entry, now: Micros) -> Result<Fresh, Entry> {
        let alive = now < entry.header().expires || !stands(Guard::TimeToLive);
        let holds = entry.header().stamp.holds() || !stands(Guard::StampAtHit);
        if alive && holds {
            Ok(Fresh(entry))
        } else {
            Err(entry)
        }
    }

    /// The same entry asked for again later, as when a portal was bound before.
    pub fn again(&self, now: Micros) -> bool {
        let holds = now < self.header().expires && self.header().stamp.holds();
        holds || !stands(Guard::PortalHolds)
    }
}

impl std::ops::Deref for Fresh {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        &self.0
    }
}

/// How a closed intent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Proven to have made nothing visible.
    Nothing,
    /// May have become visible.
    Visible,
}

/// What a closed intent raised, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raised {
    pub tables: usize,
    pub databases: usize,
    pub catalog: bool,
}

/// A write in flight: what it touches is neither served nor filled.
#[must_use = "an intent that is not closed shuts what it touches for ever"]
#[derive(Debug)]
pub struct Intent {
    database: Arc<Database>,
    slots: Box<[Arc<Slot>]>,
    everything: bool,
    /// All databases, if their catalogs are being changed: roles and privileges are the cluster's.
    catalogs: Option<Arc<RwLock<Databases>>>,
    registered: Option<u64>,
}

impl Intent {
    /// Opens an intent; call it before the bytes leave.
    pub fn open(ledger: &Ledger, database: &Arc<Database>, writes: &WriteSet) -> Intent {
        let catalogs = writes.catalog.then(|| ledger.databases.clone());
        if let Some(all) = &catalogs {
            let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
            all.open_catalogs();
        }
        let mut intent = Intent {
            database: database.clone(),
            slots: Box::default(),
            everything: false,
            catalogs,
            registered: None,
        };
        // Under the lock that `publish` takes: a set resolved with a catalog that is no longer in force is widened.
        let mut open = database
            .resolved_with
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match (&writes.touched, writes.version) {
            (Touched::Nothing, _) => {}
            // It is the same in every catalog: a VACUUM of hours does not shut a database for being sent in a bad moment.
            (Touched::Relations(relations), _) if **relations == [SYSTEM_CATALOGS] => {
                intent.slots = [database.slot(SYSTEM_CATALOGS)].into();
            }
            (Touched::Relations(relations), Some(version))
                if database.catalog.settled() == Some(version) || !stands(Guard::OldSetsWiden) =>
            {
                intent.slots = relations
                    .iter()
                    .map(|relation| database.slot(*relation))
                    .collect();
                intent.registered = Some(version);
                *open.entry(version).or_default() += 1;
            }
            _ => intent.everything = stands(Guard::OpaqueOpensAll),
        }
        drop(open);
        if intent.everything {
            database.all.open();
        }
        for slot in &intent.slots {
            slot.open();
        }
        database.flights.shaken();
        intent
    }

    /// Closes it; call it after the upstream has answered and before the client is told.
    pub fn close(self, outcome: Outcome) -> Raised {
        let raise = outcome == Outcome::Visible;
        for slot in &self.slots {
            slot.close(raise);
        }
        if self.everything {
            self.database.all.close(raise);
        }
        if let Some(all) = &self.catalogs {
            let mut all = all.write().unwrap_or_else(PoisonError::into_inner);
            all.close_catalogs(raise);
        }
        if let Some(version) = self.registered {
            let mut open = self
                .database
                .resolved_with
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = open.get_mut(&version) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&version);
                    if self
                        .database
                        .loaded
                        .load()
                        .as_ref()
                        .is_none_or(|c| c.version != version)
                    {
                        self.database.wanted.notify_one();
                    }
                }
            }
        }
        match raise {
            false => Raised::default(),
            true => Raised {
                tables: self.slots.len(),
                databases: usize::from(self.everything),
                catalog: self.catalogs.is_some(),
            },
        }
    }
}

#[cfg(test)]
mod tests;
