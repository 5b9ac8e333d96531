//! What an operator can look at and do, whichever way he asks: the console, HTTP, a signal.
//!
//! Deliberately not here: who may (`proxy` and `http` ask), how it is shown (`views`), and how it is written.

use crate::config::Setting;
use crate::metrics::Metrics;
use crate::net::Drain;
use crate::session::{Purge, Shared};
use rustix::process::{Signal, getpid, kill_process};
use std::sync::Arc;
use std::time::Instant;

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
    pub started: Instant,
    pub reload: Reload,
    pub set: Set,
    pub settings: Settings,
}

impl Desk {
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
        // The host knows what signals mean, and is waiting for one.
        let signal = if at_once { Signal::INT } else { Signal::TERM };
        if let Err(error) = kill_process(getpid(), signal) {
            tracing::error!(%error, "cannot send myself a signal");
        }
    }

    /// Ends clients; how many.
    pub fn kill(&self, who: &str, fits: impl Fn(u64, &str) -> bool) -> usize {
        note(who, "KILL");
        let fits = |entry: &crate::metrics::RollEntry| fits(entry.id, &entry.name.database);
        self.metrics.roll.kill(fits)
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
            started: Instant::now(),
            reload: Box::new(|| Ok((Vec::new(), Vec::new()))),
            set: Box::new(|_, _| Ok(())),
            settings: Box::new(Vec::new),
        }
    }
}
