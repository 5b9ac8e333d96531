//! Databases that an operator has closed: paused, or disabled.
//!
//! * A paused database gets no new connection, and none that is free is given on; who needs one waits. What needs none
//!   goes on, answers from memory among it: they are as true as before.
//! * A disabled one lets no new client in; those that are there go on.
//!
//! Not here: Larder's own connections, which are few and come back by themselves.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The databases that are closed.
#[derive(Debug)]
pub struct Gates {
    closed: Mutex<Closed>,
    /// Tells of each change.
    turn: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Closed {
    all: bool,
    paused: BTreeSet<Box<str>>,
    disabled: BTreeSet<Box<str>>,
    /// No client comes in anywhere: the process ends when those that are here have left.
    leaving: bool,
}

impl Default for Gates {
    fn default() -> Gates {
        Gates {
            closed: Mutex::default(),
            turn: watch::Sender::new(0),
        }
    }
}

impl Gates {
    fn lock(&self) -> MutexGuard<'_, Closed> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Closed) -> bool) -> bool {
        let changed = change(&mut self.lock());
        if changed {
            self.turn.send_modify(|turn| *turn += 1);
        }
        changed
    }

    /// Pauses one database, or all there are and will be. `false`: it was.
    pub fn pause(&self, database: Option<&str>) -> bool {
        self.change(|closed| match database {
            Some(name) => closed.paused.insert(name.into()),
            None => !std::mem::replace(&mut closed.all, true),
        })
    }

    /// Lets it go on. `false`: it was not paused. One alone cannot while all are paused.
    pub fn resume(&self, database: Option<&str>) -> bool {
        self.change(|closed| match database {
            Some(name) => closed.paused.remove(name),
            None => {
                let any = closed.all || !closed.paused.is_empty();
                closed.all = false;
                closed.paused.clear();
                any
            }
        })
    }

    /// Lets no new client in. `false`: none was before.
    pub fn disable(&self, database: &str) -> bool {
        self.change(|closed| closed.disabled.insert(database.into()))
    }

    /// Lets clients in again. `false`: they were before.
    pub fn enable(&self, database: &str) -> bool {
        self.change(|closed| closed.disabled.remove(database))
    }

    /// Whether connections to it have to wait.
    pub fn is_paused(&self, database: &str) -> bool {
        let closed = self.lock();
        closed.all || closed.paused.contains(database)
    }

    /// Whether everything is paused.
    pub fn is_all_paused(&self) -> bool {
        self.lock().all
    }

    /// Lets no client in anywhere, for ever. `false`: none was before.
    pub fn leave(&self) -> bool {
        self.change(|closed| !std::mem::replace(&mut closed.leaving, true))
    }

    /// Whether no client is let in anywhere.
    pub fn is_leaving(&self) -> bool {
        self.lock().leaving
    }

    /// Whether it lets no new client in.
    pub fn is_disabled(&self, database: &str) -> bool {
        self.lock().disabled.contains(database)
    }

    /// The databases that are paused or disabled by name.
    pub fn named(&self) -> BTreeSet<Box<str>> {
        let closed = self.lock();
        closed.paused.union(&closed.disabled).cloned().collect()
    }

    /// Waits until a database is not paused; `false`: it still is after `limit`.
    pub async fn open(&self, database: &str, limit: Duration) -> bool {
        if !self.is_paused(database) {
            return true;
        }
        let mut turn = self.turn.subscribe();
        let open = turn.wait_for(|_| !self.is_paused(database));
        timeout(limit, open).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_is_closed_is_opened_by_its_name_or_with_all() {
        let gates = Gates::default();
        assert!(gates.pause(Some("a")) && !gates.pause(Some("a")));
        assert!(gates.is_paused("a") && !gates.is_paused("b"));
        assert!(gates.pause(None) && gates.is_paused("b"));
        assert!(gates.resume(Some("a")) && gates.is_paused("a"));
        assert!(gates.resume(None) && !gates.is_paused("a") && !gates.resume(None));
        assert!(gates.disable("a") && gates.is_disabled("a") && gates.enable("a"));
        assert!(gates.named().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_when_it_is_resumed() {
        let gates = Arc::new(Gates::default());
        gates.pause(Some("a"));
        assert!(!gates.open("a", Duration::from_secs(1)).await);
        assert!(gates.open("b", Duration::ZERO).await);
        let waits = tokio::spawn({
            let gates = gates.clone();
            async move { gates.open("a", Duration::from_secs(60)).await }
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waits.is_finished());
        gates.resume(None);
        assert!(waits.await.unwrap());
    }
}
