//! The flight table: misses under way that equal ones wait for, instead of asking the same of the upstream.
//!
//! * Nothing is handed on here. Who has waited looks the store up like anybody else, and is served only if the stamp of
//!   the entry holds at that moment: nothing that it read has been opened or raised since the leader was sent, so the
//!   answer is that of the moment it is served, whenever the follower came (P1, P4; hazard 48).
//! * A flight ends with its leader, whatever becomes of that: [`Lead`] ends it when it is dropped. And it ends at once
//!   when a write opens on what it reads ([`Flights::shaken`]), since no answer will come of it.
//! * Nobody waits for a leader that is slow: a flight is joined for `limit` from its begin, and then gives way to the
//!   next. For as long nobody waits again where an answer was not kept: the next would not be, either.
//! * Flights are found by hash alone: a collision costs a wait, never an answer.
//! * Bounded: so many flights, so many followers of each; more go upstream as if there were no table.
//!
//! Not here: who may wait, and for how long (`session`); who keeps time and is woken (`proxy`).

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::Micros;
use super::fill::Fill;
use super::sync::{AtomicUsize, Mutex};
use super::version::{Database, Stamp};

/// So that misses of different statements do not meet at a lock.
const SHARDS: usize = 16;
/// Flights in each.
const FLIGHTS: usize = 1024;
/// How many wait for one.
const FOLLOWERS: usize = 1024;

/// The misses under way in one database.
#[derive(Debug, Default)]
pub struct Flights {
    hasher: foldhash::fast::RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// How many of them somebody waits for.
    awaited: AtomicUsize,
}

#[derive(Debug, Default)]
struct Shard {
    flights: HashMap<u64, Flight, foldhash::fast::RandomState>,
    numbers: u64,
}

/// One miss under way, or one that has ended unkept.
#[derive(Debug)]
struct Flight {
    number: u64,
    began: Micros,
    /// Of the stamp it was sent under: greater in one that was taken later, if anything was raised in between.
    sum: u64,
    /// Its answer has a RowDescription.
    described: bool,
    grounded: bool,
    followers: Vec<Weak<Wait>>,
    /// Taken by the first follower: holds as long as the leader's.
    stamp: Option<Stamp>,
}

/// What a miss asks of the table.
#[derive(Clone, Copy, Debug)]
pub struct Asks {
    /// A RowDescription is asked for.
    pub described: bool,
    pub now: Micros,
    /// How long a leader is waited for.
    pub limit: Micros,
    /// May wait.
    pub waits: bool,
}

/// What a miss does.
#[derive(Debug)]
pub enum Entered {
    /// It goes upstream, and equal ones may wait for it.
    Leads(Lead),
    /// It waits for one that is under way.
    Follows(Ticket),
    /// It goes upstream, and nobody waits for it.
    Alone,
}

/// A follower's wait.
#[derive(Debug, Default)]
pub struct Wait {
    state: Mutex<Waiting>,
    /// Whether its statement was dealt with, and went upstream.
    done: AtomicBool,
    went: AtomicBool,
}

/// The follower's own end of its wait, kept until its statement is dealt with.
#[derive(Debug)]
pub struct Ticket(Arc<Wait>);

impl Ticket {
    /// The statement goes upstream after all. What is given back is to be kept until it is answered.
    pub fn goes(self) -> Arc<Wait> {
        self.0.went.store(true, Ordering::SeqCst);
        self.0.clone()
    }
}

impl std::ops::Deref for Ticket {
    type Target = Arc<Wait>;
    fn deref(&self) -> &Arc<Wait> {
        &self.0
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.done.store(true, Ordering::SeqCst);
    }
}

#[derive(Debug, Default)]
struct Waiting {
    over: bool,
    cancelled: bool,
    waker: Option<Waker>,
}

impl Wait {
    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        lock(&self.state).over
    }

    /// Ready once it is over.
    pub fn poll_over(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.over {
            return Poll::Ready(());
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends it: there is nothing to wait for any more.
    fn end(&self) {
        self.ends(false);
    }

    /// Ends it: its client wants no answer any more, and so it shall wait for no other, either.
    pub fn cancel(&self) {
        self.ends(true);
    }

    /// Whether its client wants no answer any more.
    pub fn is_cancelled(&self) -> bool {
        lock(&self.state).cancelled
    }

    fn ends(&self, cancelled: bool) {
        let mut state = lock(&self.state);
        state.over = true;
        state.cancelled |= cancelled;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether somebody else still has it: its statement is not answered.
    pub fn is_held(self: &Arc<Wait>) -> bool {
        Arc::strong_count(self) > 1
    }

    /// Whether its statement has gone upstream; `None`: it is not known yet.
    pub fn outcome(&self) -> Option<bool> {
        let done = self.done.load(Ordering::SeqCst);
        done.then(|| self.went.load(Ordering::SeqCst))
    }
}

/// The one that others wait for. They wait no longer once it is dropped.
#[derive(Debug)]
pub struct Lead {
    database: Arc<Database>,
    hash: u64,
    number: u64,
    grounds: bool,
}

/// A miss enters the table.
pub fn enter(fill: &Fill, asks: Asks) -> Entered {
    let stamp = fill.stamp();
    let flights = &stamp.database().flights;
    let (hash, sum) = (flights.hasher.hash_one(fill.key()), stamp.sum());
    let mut shard = flights.shard(hash);
    if let Some(flight) = shard.flights.get_mut(&hash)
        && flight.is_of(asks.now, asks.limit)
    {
        if flight.grounded || sum < flight.sum {
            return Entered::Alone;
        }
        if sum == flight.sum {
            let may = asks.waits && (flight.described || !asks.described);
            let wait = may.then(|| flight.follow(stamp, &flights.awaited));
            drop(shard);
            return match wait.flatten() {
                // A write that opened before this has not seen the follower.
                Some(wait) if stamp.holds() => Entered::Follows(Ticket(wait)),
                _ => Entered::Alone,
            };
        }
    } else if shard.flights.len() >= FLIGHTS {
        let keeps = |flight: &Flight| !flight.grounded || flight.is_of(asks.now, asks.limit);
        shard.flights.retain(|_, flight| keeps(flight));
        if shard.flights.len() >= FLIGHTS {
            return Entered::Alone;
        }
    }
    shard.numbers += 1;
    let flight = Flight {
        number: shard.numbers,
        began: asks.now,
        sum,
        described: asks.described,
        grounded: false,
        followers: Vec::new(),
        stamp: None,
    };
    let number = flight.number;
    let before = shard.flights.insert(hash, flight);
    drop(shard);
    if let Some(mut before) = before {
        flights.free(before.land());
    }
    Entered::Leads(Lead {
        database: stamp.database().clone(),
        hash,
        number,
        grounds: false,
    })
}

impl Flight {
    /// Whether it is young enough to say anything.
    fn is_of(&self, now: Micros, limit: Micros) -> bool {
        now < self.began.saturating_add(limit)
    }

    fn follow(&mut self, stamp: &Stamp, awaited: &AtomicUsize) -> Option<Arc<Wait>> {
        if self.followers.len() >= FOLLOWERS {
            self.followers.retain(|wait| wait.strong_count() > 0);
            if self.followers.len() >= FOLLOWERS {
                return None;
            }
        }
        if self.stamp.is_none() {
            self.stamp = Some(stamp.clone());
            awaited.fetch_add(1, Ordering::SeqCst);
        }
        let wait = Arc::new(Wait::default());
        self.followers.push(Arc::downgrade(&wait));
        Some(wait)
    }

    /// Who has waited.
    fn land(&mut self) -> Landed {
        Landed {
            awaited: self.stamp.take().is_some(),
            followers: std::mem::take(&mut self.followers),
        }
    }
}

/// Who has waited for a flight, to be told outside of the table's lock.
#[derive(Debug)]
struct Landed {
    awaited: bool,
    followers: Vec<Weak<Wait>>,
}

impl Flights {
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        lock(&self.shards[hash as usize % SHARDS])
    }

    fn free(&self, landed: Landed) {
        if landed.awaited {
            self.awaited.fetch_sub(1, Ordering::SeqCst);
        }
        for wait in landed.followers.iter().filter_map(Weak::upgrade) {
            wait.end();
        }
    }

    /// Something of the ledger was opened or raised: what can no longer be kept is waited for no longer. While nobody waits
    /// this is one load.
    pub fn shaken(&self) {
        if self.awaited.load(Ordering::SeqCst) == 0 {
            return;
        }
        for shard in &self.shards {
            let mut landed = Vec::new();
            for flight in lock(shard).flights.values_mut() {
                if flight.stamp.as_ref().is_some_and(|stamp| !stamp.holds()) {
                    flight.grounded = true;
                    landed.push(flight.land());
                }
            }
            for landed in landed {
                self.free(landed);
            }
        }
    }

    /// How many there are, and how many followers they have.
    #[cfg(test)]
    pub fn count(&self) -> (usize, usize) {
        let shards = self.shards.iter().map(lock);
        shards.fold((0, 0), |(flights, followers), shard| {
            let of = |flight: &Flight| flight.followers.len();
            (
                flights + shard.flights.len(),
                followers + shard.flights.values().map(of).sum::<usize>(),
            )
        })
    }
}

impl Lead {
    /// Its statement is sent only now: it is as old as this stamp. `false`: it leads no more.
    pub fn renew(&self, fill: &Fill, now: Micros) -> bool {
        let stamp = fill.stamp();
        let flights = &self.database.flights;
        if !Arc::ptr_eq(stamp.database(), &self.database)
            || flights.hasher.hash_one(fill.key()) != self.hash
        {
            return false;
        }
        let mut shard = flights.shard(self.hash);
        match shard.flights.get_mut(&self.hash) {
            Some(flight) if flight.number == self.number && !flight.grounded => {
                (flight.sum, flight.began) = (stamp.sum(), now);
                true
            }
            _ => false,
        }
    }

    /// Its answer will not be kept, and the next would not be, either.
    pub fn ground(mut self) {
        self.grounds = true;
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let flights = &self.database.flights;
        let mut shard = flights.shard(self.hash);
        let Some(flight) = shard.flights.get_mut(&self.hash) else {
            return;
        };
        if flight.number != self.number {
            return;
        }
        let landed = flight.land();
        if self.grounds {
            flight.grounded = true;
        } else if !flight.grounded {
            shard.flights.remove(&self.hash);
        }
        drop(shard);
        flights.free(landed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
