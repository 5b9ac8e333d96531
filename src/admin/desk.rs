//! What an operator can look at and do, whichever way he asks: the console, HTTP, a signal.
//!
//! Deliberately not here: who may (`proxy` and `http` ask), how it is shown (`views`), and how it is written.

use crate::cache::store::Census;
use crate::config::Setting;
use crate::metrics::{Metrics, RollEntry};
use crate::net::{Drain, Target};
use crate::session::{Purge, Shared};
use rustix::process::{Signal, getpid, kill_process};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Operators on the console at one time.
pub const CONSOLES: usize = 32;

/// Reads the configuration again; gives what was applied, and what a restart is needed for.
pub type Reload = Box<dyn Fn() -> Result<(Vec<String>, Vec<String>), String> + Send + Sync>;
/// Gives one setting another value.
pub type Set = Box<dyn Fn(&str, &str) -> Result<(), String> + Send + Sync>;
/// The settings in force.
pub type Settings = Box<dyn Fn() -> Vec<Setting> + Send + Sync>;

/// What `app` knows and operators ask for.
pub struct Desk {
    pub shared: Arc<Shared>,
    pub metrics: Arc<Metrics>,
    pub drain: Drain,
    /// Where the database is, and which are closed.
    pub target: Arc<Target>,
    /// Places for operators on the console.
    pub consoles: Arc<Semaphore>,
    pub started: Instant,
    pub reload: Reload,
    pub set: Set,
    pub settings: Settings,
    /// What was last found in memory.
    pub counted: Counted,
}

/// What was last found in memory, and how dear it was to look.
#[derive(Debug, Default)]
pub struct Counted(Mutex<Option<(Instant, Duration, Arc<Census>)>>);

/// A look at everything in memory takes at most one part in so many of the time.
const SELDOM: u32 = 20;

impl Counted {
    /// As `look` finds it, or has found it not long ago: what takes long is done less often, however many ask.
    fn census(&self, look: impl FnOnce() -> Census) -> Arc<Census> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, took, census)) = &*counted
            && at.elapsed() < *took * SELDOM
        {
            return census.clone();
        }
        let began = Instant::now();
        let census = Arc::new(look());
        *counted = Some((Instant::now(), began.elapsed(), census.clone()));
        census
    }
}

impl Desk {
    /// What is in memory, by statement and table.
    pub fn census(&self) -> Arc<Census> {
        self.counted.census(|| self.shared.store.census())
    }

    /// Nothing is served from memory until it is resumed.
    pub fn pause(&self, who: &str) {
        self.shared.steer(|live| live.paused = true);
        note(who, "PAUSE CACHE");
    }

    /// It is again.
    pub fn resume(&self, who: &str) {
        self.shared.steer(|live| live.paused = false);
        note(who, "RESUME CACHE");
    }

    /// Takes answers out of memory; how many there were.
    ///
    /// # Errors
    /// There is no such table.
    pub fn purge(&self, who: &str, purge: &Purge) -> Result<usize, String> {
        let what = match purge {
            Purge::All => "PURGE ALL".into(),
            Purge::Table { schema, name, .. } => format!("PURGE TABLE {schema}.{name}"),
            Purge::Statement(number) => format!("PURGE QUERY {number:016x}"),
            Purge::Role(_) => "PURGE ROLE".into(),
        };
        note(who, &what);
        self.shared.purge(purge).ok_or_else(|| match purge {
            Purge::Table { schema, name, .. } => {
                format!("table {schema}.{name} is in no catalog that is loaded")
            }
            _ => "there is nothing like that".into(),
        })
    }

    /// Reads the configuration again.
    ///
    /// # Errors
    /// It is wrong, and the one before stays in force.
    pub fn reload(&self, who: &str) -> Result<String, String> {
        note(who, "RELOAD");
        let (applied, needs_restart) = (self.reload)()?;
        let list = |keys: &[String]| match keys {
            [] => "nothing".to_owned(),
            keys => keys.join(", "),
        };
        Ok(format!(
            "applied: {}; a restart is needed for: {}",
            list(&applied),
            list(&needs_restart)
        ))
    }

    /// Gives a setting another value until the configuration is read again.
    ///
    /// # Errors
    /// It cannot be that, or cannot change.
    pub fn set(&self, who: &str, key: &str, value: &str) -> Result<(), String> {
        note(who, &format!("SET {key}"));
        (self.set)(key, value)
    }

    /// Ends the process: with the patience of SIGTERM, or at once.
    pub fn shut_down(&self, who: &str, at_once: bool) {
        note(who, "SHUTDOWN");
        end(if at_once { Signal::INT } else { Signal::TERM });
    }

    /// Lets no new client in, and ends the process when those that are here have left.
    pub fn shut_down_behind_clients(&self, who: &str) {
        note(who, "SHUTDOWN WAIT_FOR_CLIENTS");
        if !self.target.gates.leave() {
            return;
        }
        let metrics = self.metrics.clone();
        let waits = move || {
            while !metrics.roll.clients().is_empty() {
                std::thread::sleep(LOOK);
            }
            end(Signal::TERM);
        };
        if let Err(error) = std::thread::Builder::new()
            .name("larder-leave".into())
            .spawn(waits)
        {
            tracing::error!(%error, "cannot wait for clients");
        }
    }

    /// Ends one client; `false`: there is no such.
    pub fn kill_client(&self, who: &str, id: u64) -> bool {
        note(who, &format!("KILL_CLIENT {id}"));
        self.metrics.roll.kill(|entry| entry.id == id) > 0
    }

    /// Ends the clients of one database or of all, which is paused then; how many there were.
    pub fn kill(&self, who: &str, database: Option<&str>) -> usize {
        note(who, &worded("KILL", database));
        self.target.gates.pause(database);
        let fits = |entry: &RollEntry| is_of(entry, database);
        let ended = self.metrics.roll.kill(fits);
        self.metrics.roll.retire(fits);
        ended
    }

    /// Lets nobody get a connection to a database any more, or to any. `false`: so it was.
    pub fn pause_database(&self, who: &str, database: Option<&str>) -> bool {
        note(who, &worded("PAUSE", database));
        let paused = self.target.gates.pause(database);
        self.metrics.roll.retire(|entry| is_of(entry, database));
        paused
    }

    /// Whether a database that was paused has no connection left; `None`: it is paused no more.
    pub fn has_paused(&self, database: Option<&str>) -> Option<bool> {
        let gates = &self.target.gates;
        let paused = match database {
            Some(name) => gates.is_paused(name),
            None => gates.is_all_paused(),
        };
        let left = self
            .metrics
            .roll
            .servers_that(|entry| is_of(entry, database));
        paused.then_some(left == 0)
    }

    /// Lets them get connections again. `false`: they could.
    pub fn resume_database(&self, who: &str, database: Option<&str>) -> bool {
        note(who, &worded("RESUME", database));
        self.target.gates.resume(database)
    }

    /// Lets no new client into a database, or lets them in again. `false`: so it was.
    pub fn admit(&self, who: &str, database: &str, admits: bool) -> bool {
        let verb = if admits { "ENABLE" } else { "DISABLE" };
        note(who, &worded(verb, Some(database)));
        match admits {
            true => self.target.gates.enable(database),
            false => self.target.gates.disable(database),
        }
    }

    /// Lets every connection to a database, or to all, be replaced as soon as nobody uses it.
    pub fn reconnect(&self, who: &str, database: Option<&str>) -> usize {
        note(who, &worded("RECONNECT", database));
        self.metrics.roll.retire(|entry| is_of(entry, database))
    }

    /// Whether all that were to be replaced are gone.
    pub fn has_closed(&self, database: Option<&str>) -> bool {
        let waits = |entry: &RollEntry| entry.is_killed() && is_of(entry, database);
        self.metrics.roll.servers_that(waits) == 0
    }
}

/// How often it is looked whether clients have left.
const LOOK: Duration = Duration::from_millis(100);

fn is_of(entry: &RollEntry, database: Option<&str>) -> bool {
    database.is_none_or(|name| *entry.name.database == *name)
}

fn worded(verb: &str, database: Option<&str>) -> String {
    match database {
        Some(name) => format!("{verb} {name}"),
        None => verb.to_owned(),
    }
}

/// Sends the process a signal: the host knows what signals mean, and is waiting for one.
fn end(signal: Signal) {
    if let Err(error) = kill_process(getpid(), signal) {
        tracing::error!(%error, "cannot send myself a signal");
    }
}

/// Who has changed what.
fn note(who: &str, what: &str) {
    tracing::info!(target: "larder::operator", who, what, "an operator has changed something");
}

#[cfg(test)]
impl Desk {
    /// One of a process that has nothing to do.
    pub fn plain() -> Desk {
        use crate::session::{Live, Steering};
        let metrics = Arc::new(Metrics::new(1).unwrap());
        let shared = Shared {
            steering: Steering::new(Live::default()),
            ledger: Default::default(),
            store: crate::cache::store::Store::new(1 << 20, 1 << 16, 1),
            contexts: Default::default(),
            pooler: crate::config::Pooler::None,
            metrics: metrics.clone(),
            quarantine: Default::default(),
        };
        Desk {
            shared: Arc::new(shared),
            metrics,
            drain: Drain::default(),
            target: Arc::new(Target::new(Vec::new(), true)),
            consoles: Arc::new(Semaphore::new(CONSOLES)),
            started: Instant::now(),
            reload: Box::new(|| Ok((Vec::new(), Vec::new()))),
            set: Box::new(|_, _| Ok(())),
            settings: Box::new(Vec::new),
            counted: Counted::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_looked_at_seldom() {
        let counted = Counted::default();
        let slow = || {
            std::thread::sleep(Duration::from_millis(50));
            Census::default()
        };
        let first = counted.census(slow);
        assert!(Arc::ptr_eq(&first, &counted.census(|| unreachable!())));
        let quick = Counted::default();
        let first = quick.census(Census::default);
        std::thread::sleep(Duration::from_millis(50));
        assert!(!Arc::ptr_eq(&first, &quick.census(Census::default)));
    }
}
