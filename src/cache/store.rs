//! The store: entries by key, under a hard limit of bytes.
//!
//! * An entry is weighed with its key and what it costs beside its bytes; the limit holds at every insertion (P8).
//! * An entry that no longer holds is removed when it is met, and by a slow sweep; it is never served meanwhile.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::Micros;
use super::fill::Fill;
use super::key::{Asked, Key};
use super::reply::{Entry, Header, Reply};
use super::version::Fresh;
use crate::guard::{Guard, stands};
use crate::sql::Oid;

/// Bytes an entry costs beside key, stamp and reply: table slots, headers, allocator.
const OVERHEAD: usize = 160;

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Key, Entry> for Bytes {
    fn weight(&self, key: &Key, entry: &Entry) -> u64 {
        (OVERHEAD + key.bytes() + entry.header().stamp.bytes() + entry.body().len()) as u64
    }
}

/// Counts why entries went.
#[derive(Clone, Debug, Default)]
struct Gone(Arc<[AtomicU64; 3]>);

impl Lifecycle<Key, Entry> for Gone {
    type RequestState = ();
    fn on_evict(&self, (): &mut (), _key: Key, _entry: Entry) {
        self.count(Cause::Size);
    }
}

impl Gone {
    fn count(&self, cause: Cause) {
        self.0[cause as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Why an entry went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The limit.
    Size,
    /// Its time to live.
    Ttl,
    /// Something it read was written.
    Stale,
}

impl Cause {
    /// All of them.
    pub const ALL: [Cause; 3] = [Cause::Size, Cause::Ttl, Cause::Stale];

    /// The metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Cause::Size => "size",
            Cause::Ttl => "ttl",
            Cause::Stale => "stale",
        }
    }
}

/// What is in memory, counted once.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// By the number of the statement's shape.
    pub statements: HashMap<u64, Share>,
    /// By database and relation that was read; an answer counts for each.
    pub relations: HashMap<(Box<str>, Oid), Share>,
}

/// So many answers, so many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    pub entries: u64,
    pub bytes: u64,
}

impl Share {
    fn add(&mut self, bytes: u64) {
        self.entries += 1;
        self.bytes += bytes;
    }
}

/// Entries by key.
#[derive(Debug)]
pub struct Store {
    cache: Cache<Key, Entry, Bytes, foldhash::fast::RandomState, Gone>,
    gone: Gone,
    max_answer: AtomicUsize,
    /// Another number after each purge.
    purges: AtomicU64,
}

impl Store {
    /// A store of at most `capacity` bytes, entries of at most `max_answer`, used by that many threads.
    pub fn new(capacity: u64, max_answer: usize, threads: usize) -> Store {
        // An entry larger than its shard's share would be refused: few shards if the store is small.
        let wanted = (threads * 4).next_power_of_two();
        let fit = (capacity / (max_answer as u64 * 4).max(1)).max(1) as usize;
        let shards = wanted
            .min(if fit.is_power_of_two() {
                fit
            } else {
                fit.next_power_of_two() / 2
            })
            .max(1);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity((capacity / 1024).clamp(64, 1 << 16) as usize)
            .weight_capacity(capacity)
            .build()
            .expect("all required options are set");
        let gone = Gone::default();
        let cache = Cache::with_options(
            options,
            Bytes,
            foldhash::fast::RandomState::default(),
            gone.clone(),
        );
        Store {
            cache,
            gone,
            max_answer: AtomicUsize::new(max_answer),
            purges: AtomicU64::new(0),
        }
    }

    /// The entry that answers this, if there is one that holds. `description`: one with RowDescription is needed.
    #[inline]
    pub fn lookup(&self, asked: &Asked<'_>, description: bool, now: Micros) -> Option<Fresh> {
        self.lookup_or(asked, description, now, |_| {})
    }

    /// The same; `gone` is told of an entry that does not hold any more.
    #[inline]
    pub fn lookup_or(
        &self,
        asked: &Asked<'_>,
        description: bool,
        now: Micros,
        gone: impl FnOnce(&Entry),
    ) -> Option<Fresh> {
        let entry = self.cache.get(asked)?;
        let bare = description && entry.description().is_empty();
        if bare && stands(Guard::DescriptionAsked) {
            return None;
        }
        let expired = now >= entry.header().expires;
        match Fresh::check(entry, now) {
            Ok(fresh) => Some(fresh),
            Err(entry) => {
                if expired {
                    self.remove_expired(asked, now);
                } else {
                    self.remove_dead(asked, &entry);
                    gone(&entry);
                }
                None
            }
        }
    }

    #[cold]
    fn remove_expired(&self, asked: &Asked<'_>, now: Micros) {
        let expired = |entry: &Entry| now >= entry.header().expires;
        if self.cache.remove_if(asked, expired).is_some() {
            self.gone.count(Cause::Ttl);
        }
    }

    #[cold]
    fn remove_dead(&self, asked: &Asked<'_>, entry: &Entry) {
        // An intent may be open that closes without a raise: only what can never hold again goes. That is looked at
        // before the shard is locked.
        let made = entry.header().made;
        if entry.header().stamp.dead()
            && self
                .cache
                .remove_if(asked, |found| found.header().made == made)
                .is_some()
        {
            self.gone.count(Cause::Stale);
        }
    }

    /// Keeps a fill that holds.
    pub fn keep(&self, mut fill: Fill, now: Micros) -> bool {
        // Who waits for it is freed when this ends: then it is there.
        let _lead = fill.take_lead();
        let purges = fill.purges();
        let Some((key, entry)) = fill.finish(now) else {
            return false;
        };
        if self.purges() != purges {
            return false;
        }
        let (made, statement) = (entry.header().made, entry.header().statement);
        self.cache.insert(key, entry);
        // A purge that has begun since may have looked there before. That is rare enough to look everywhere.
        let kept = self.purges() == purges;
        if !kept {
            let is_it = |header: &Header| (header.made, header.statement) == (made, statement);
            self.cache.retain(|_, entry| !is_it(entry.header()));
        }
        kept
    }

    /// Another limit; what is too much goes at once.
    pub fn resize(&self, capacity: u64) {
        self.cache.set_capacity(capacity);
    }

    /// How often something was purged: a fill is kept only if that is what it was when it began.
    pub fn purges(&self) -> u64 {
        self.purges.load(Ordering::SeqCst)
    }

    /// Removes what fits, and keeps no fill that has begun. Gives how many there were.
    pub fn purge(&self, fits: impl Fn(&Key, &Header) -> bool) -> usize {
        self.purges.fetch_add(1, Ordering::SeqCst);
        let count = Cell::new(0);
        self.cache.retain(|key, entry| {
            let gone = fits(key, entry.header());
            count.set(count.get() + usize::from(gone));
            !gone
        });
        count.get()
    }

    /// Removes an entry, whatever it is worth.
    pub fn forget(&self, key: &Key) {
        self.cache.remove(key);
    }

    /// Removes what no longer holds; locks one shard at a time. For a background thread.
    pub fn sweep(&self, now: Micros) {
        let gone = &self.gone;
        self.cache.retain(|_, entry| {
            if now >= entry.header().expires {
                gone.count(Cause::Ttl);
                return false;
            }
            let dead = entry.header().stamp.dead();
            if dead {
                gone.count(Cause::Stale);
            }
            !dead
        });
    }

    /// What is in memory, by statement and by relation. It looks at everything, one shard at a time: for a background
    /// thread.
    pub fn census(&self) -> Census {
        let mut census = Census::default();
        for (key, entry) in self.cache.iter() {
            let bytes = Bytes.weight(&key, &entry);
            let header = entry.header();
            census
                .statements
                .entry(header.statement)
                .or_default()
                .add(bytes);
            for (database, relation) in header.stamp.relations() {
                let name = database.name().into();
                census
                    .relations
                    .entry((name, relation))
                    .or_default()
                    .add(bytes);
            }
        }
        census
    }

    /// The largest answer that is kept.
    pub fn max_answer(&self) -> usize {
        self.max_answer.load(Ordering::Relaxed)
    }

    /// Another largest answer, for what is asked from now on.
    pub fn keep_up_to(&self, max_answer: usize) {
        self.max_answer.store(max_answer, Ordering::Relaxed);
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.cache.len()
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// The limit in bytes.
    pub fn capacity(&self) -> u64 {
        self.cache.capacity()
    }

    /// How many entries went for that cause.
    pub fn gone(&self, cause: Cause) -> u64 {
        self.gone.0[cause as usize].load(Ordering::Relaxed)
    }
}
