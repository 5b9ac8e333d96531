//! The process's way from start to end, as everything that runs sees it.
//!
//! * Phases only go forward: a session that has seen the drain cannot be told that all is well again.
//! * The drain is over when every [`Guard`] is gone, and the acceptor holds one too: a connection accepted in the
//!   last instant is counted before the acceptor's own guard goes, so none is cut that was taken in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, watch};

/// Where the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Not listening yet.
    Starting,
    /// Serving.
    Running,
    /// No new clients; idle sessions end at once, busy ones after their transaction.
    Draining,
    /// The deadline is over, or an operator is in a hurry: everything closes.
    Stopping,
}

/// A handle on the phase; clones share it.
#[derive(Clone, Debug)]
pub struct Drain {
    phase: Arc<watch::Sender<Phase>>,
    open: Arc<Open>,
}

#[derive(Debug, Default)]
struct Open {
    count: AtomicUsize,
    none: Notify,
}

/// Holds the end of the drain off while it lives.
#[derive(Debug)]
pub struct Guard(Arc<Open>);

impl Default for Drain {
    fn default() -> Drain {
        Drain {
            phase: Arc::new(watch::Sender::new(Phase::Starting)),
            open: Arc::default(),
        }
    }
}

impl Drain {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes forward to `phase`; going back is ignored.
    pub fn advance(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let forward = phase > *now;
            if forward {
                *now = phase;
            }
            forward
        });
    }

    /// Waits until the phase is `phase` or later.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.phase.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// A receiver, for loops that wait for each change.
    pub fn subscribe(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Counts one more that the drain waits for.
    pub fn enter(&self) -> Guard {
        self.open.count.fetch_add(1, Ordering::AcqRel);
        Guard(self.open.clone())
    }

    /// How many the drain would wait for.
    pub fn open(&self) -> usize {
        self.open.count.load(Ordering::Acquire)
    }

    /// Waits until nobody is left.
    pub async fn emptied(&self) {
        loop {
            let none = self.open.none.notified();
            tokio::pin!(none);
            // Registered before the count is read: the last one to go cannot be missed.
            none.as_mut().enable();
            if self.open() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn phases_only_go_forward() {
        let drain = Drain::default();
        drain.advance(Phase::Draining);
        drain.advance(Phase::Running);
        assert_eq!(drain.phase(), Phase::Draining);
        drain.reached(Phase::Running).await;
    }

    #[tokio::test]
    async fn emptied_waits_for_the_last_guard() {
        let drain = Drain::default();
        drain.emptied().await;
        let (a, b) = (drain.enter(), drain.enter());
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.emptied().await }
        });
        drop(a);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(b);
        waiting.await.unwrap();
    }
}
