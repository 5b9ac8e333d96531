//! The roll: who is connected now, on both sides.
//!
//! * A connection writes into its own entry only, without a lock; the lock is for coming, leaving and looking.
//! * An entry lives as long as its connection: whoever holds it takes it off the roll by letting go.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::traffic::{ByDatabase, Meter, Past, Traffic};

/// Who a connection is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Name {
    pub user: Box<str>,
    pub database: Box<str>,
    pub application: Box<str>,
    /// The other end, `host:port` or `unix`.
    pub peer: Box<str>,
    pub tls: bool,
    /// Of a pool; else the connection of one client from its login on.
    pub pooled: bool,
}

/// One connection.
#[derive(Debug)]
pub struct Entry {
    pub id: u64,
    pub name: Name,
    /// When it came.
    pub since: SystemTime,
    /// When it last said something: microseconds since 1970.
    asked: AtomicU64,
    /// When it began to wait for a connection to the database; 0: it does not.
    waits: AtomicU64,
    /// The connection on the other side; 0: none.
    link: AtomicU64,
    /// The process id at the other end, of a server.
    pid: AtomicI32,
    /// A client: it is to end. A server: nobody else gets it.
    killed: AtomicBool,
    waker: Mutex<Option<Waker>>,
    /// What has passed by a client.
    pub meter: Meter,
}

/// What there is to say of a connection at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub id: u64,
    pub name: Name,
    pub since: SystemTime,
    pub asked: SystemTime,
    /// For how long it has waited.
    pub waits: Option<Duration>,
    pub link: Option<u64>,
    pub pid: i32,
    /// It is to end as soon as it can.
    pub ends: bool,
}

fn micros(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Entry {
    /// It has said something.
    #[inline]
    pub fn asks(&self, micros: u64) {
        self.asked.store(micros, Relaxed);
    }

    /// It waits for a connection to the database, or does not any more.
    pub fn waits(&self, waits: bool) {
        match (waits, self.waits.load(Relaxed)) {
            (true, 0) => self.waits.store(micros(SystemTime::now()), Relaxed),
            (true, _) | (false, 0) => {}
            (false, since) => {
                self.waits.store(0, Relaxed);
                let waited = micros(SystemTime::now()).saturating_sub(since);
                self.meter.waited.fetch_add(waited, Relaxed);
            }
        }
    }

    /// What it is connected to; `None`: nothing.
    pub fn links(&self, other: Option<u64>) {
        let before = self.link.swap(other.unwrap_or(0), Relaxed);
        if other.is_some_and(|other| other != before) {
            self.meter.assigned.fetch_add(1, Relaxed);
        }
    }

    /// The process at the other end.
    pub fn is_process(&self, pid: i32) {
        self.pid.store(pid, Relaxed);
    }

    /// Whether an operator has ended it.
    #[inline]
    pub fn is_killed(&self) -> bool {
        self.killed.load(Relaxed)
    }

    /// Whom to wake when it is to end.
    pub fn wakes(&self, waker: &Waker) {
        *self.waker.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    fn kill(&self) {
        self.killed.store(true, Relaxed);
        let waker = self.waker.lock();
        if let Some(waker) = &*waker.unwrap_or_else(PoisonError::into_inner) {
            waker.wake_by_ref();
        }
    }

    fn state(&self, now: SystemTime) -> State {
        let at = |micros| UNIX_EPOCH + Duration::from_micros(micros);
        let waits = Some(self.waits.load(Relaxed)).filter(|since| *since > 0);
        State {
            id: self.id,
            name: self.name.clone(),
            since: self.since,
            asked: at(self.asked.load(Relaxed)),
            waits: waits.map(|since| now.duration_since(at(since)).unwrap_or_default()),
            link: Some(self.link.load(Relaxed)).filter(|link| *link > 0),
            pid: self.pid.load(Relaxed),
            ends: self.is_killed(),
        }
    }
}

/// One side of the roll.
#[derive(Debug, Default)]
struct Side(Mutex<BTreeMap<u64, Arc<Entry>>>);

impl Side {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn states(&self) -> Vec<State> {
        let now = SystemTime::now();
        self.lock().values().map(|entry| entry.state(now)).collect()
    }
}

/// Everybody.
#[derive(Debug, Default)]
pub struct Roll {
    clients: Arc<Side>,
    servers: Arc<Side>,
    next: AtomicU64,
    past: Arc<Past>,
}

/// A connection on the roll, until this is dropped.
#[derive(Debug)]
pub struct Listed {
    entry: Arc<Entry>,
    side: Arc<Side>,
    /// Where a client's traffic is summed up.
    past: Option<Arc<Past>>,
}

impl std::ops::Deref for Listed {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        // Under the lock: whoever looks counts it once.
        let mut side = self.side.lock();
        side.remove(&self.entry.id);
        if let Some(past) = &self.past {
            past.add(&self.entry.name.database, &self.entry.meter.read());
        }
    }
}

impl Roll {
    fn enter(&self, side: &Arc<Side>, name: Name) -> Listed {
        let now = SystemTime::now();
        let entry = Arc::new(Entry {
            id: self.next.fetch_add(1, Relaxed) + 1,
            name,
            since: now,
            asked: AtomicU64::new(micros(now)),
            waits: AtomicU64::new(0),
            link: AtomicU64::new(0),
            pid: AtomicI32::new(0),
            killed: AtomicBool::new(false),
            waker: Mutex::new(None),
            meter: Meter::default(),
        });
        side.lock().insert(entry.id, entry.clone());
        Listed {
            entry,
            side: side.clone(),
            past: None,
        }
    }

    /// A client has come.
    pub fn client(&self, name: Name) -> Listed {
        let login = Traffic {
            logins: 1,
            ..Traffic::default()
        };
        self.past.add(&name.database, &login);
        let mut listed = self.enter(&self.clients, name);
        listed.past = Some(self.past.clone());
        listed
    }

    /// A connection to the database was made.
    pub fn server(&self, name: Name) -> Listed {
        self.enter(&self.servers, name)
    }

    /// All clients, the oldest first.
    pub fn clients(&self) -> Vec<State> {
        self.clients.states()
    }

    /// How many clients wait for a connection to the database, and for how long the first of them has.
    pub(super) fn waiting(&self) -> (u64, Duration) {
        let now = micros(SystemTime::now());
        let (mut waiting, mut longest) = (0, 0);
        for entry in self.clients.lock().values() {
            let since = entry.waits.load(Relaxed);
            if since > 0 {
                waiting += 1;
                longest = now.saturating_sub(since).max(longest);
            }
        }
        (waiting, Duration::from_micros(longest))
    }

    /// All connections to the database that clients use or have used.
    pub fn servers(&self) -> Vec<State> {
        self.servers.states()
    }

    /// What has passed since the start, by database.
    pub fn traffic(&self) -> ByDatabase {
        let clients = self.clients.lock();
        let present = clients.values();
        let present = present.map(|e| (e.name.database.clone(), e.meter.read()));
        self.past.with(present)
    }

    /// What has passed in the last whole period, by database, and how long that is.
    pub fn lately(&self) -> (ByDatabase, Duration) {
        self.past.lately(Instant::now(), &self.traffic())
    }

    /// Looks whether a period is over. For a background thread, every second.
    pub fn tick(&self) {
        self.past.tick(Instant::now(), || self.traffic());
    }

    /// Lets the connections to the database that fit be closed as soon as nobody uses them. Gives how many there are.
    pub fn retire(&self, fits: impl Fn(&Entry) -> bool) -> usize {
        let servers = self.servers.lock();
        let fitting = servers.values().filter(|entry| fits(entry));
        fitting.map(|entry| entry.kill()).count()
    }

    /// How many connections to the database there are that fit.
    pub fn servers_that(&self, fits: impl Fn(&Entry) -> bool) -> usize {
        let servers = self.servers.lock();
        servers.values().filter(|entry| fits(entry)).count()
    }

    /// Ends the clients that fit. Gives how many there were.
    pub fn kill(&self, fits: impl Fn(&Entry) -> bool) -> usize {
        let clients = self.clients.lock();
        let fitting = clients.values().filter(|entry| fits(entry));
        fitting.map(|entry| entry.kill()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_left_is_not_on_the_roll() {
        let roll = Roll::default();
        let name = |user: &str| Name {
            user: user.into(),
            ..Name::default()
        };
        let (ann, bob) = (roll.client(name("ann")), roll.client(name("bob")));
        let server = roll.server(name("ann"));
        ann.links(Some(server.id));
        ann.waits(true);
        let states = roll.clients();
        assert_eq!(states.len(), 2);
        assert_eq!(states[0].link, Some(server.id));
        assert!(states[0].waits.is_some() && states[1].waits.is_none());
        assert_eq!(roll.kill(|entry| *entry.name.user == *"bob"), 1);
        assert!(bob.is_killed() && !ann.is_killed());
        drop((ann, bob));
        assert!(roll.clients().is_empty());
        assert_eq!(roll.servers().len(), 1);
    }
}
