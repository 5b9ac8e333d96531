//! The process's way from start to end, as everything that runs sees it.
//!
//! * Phases only go forward: a session that has seen the drain cannot be told that all is well again.
//! * The drain is over when every [`Guard`] is gone, and the acceptor holds one too: a connection accepted in the
//!   last instant is counted before the acceptor's own guard goes, so none is cut that was taken in.
//! * A session asks its thread's copy of the phase ([`ThreadPhase`]), which costs a load: waiting for the end must not
//!   cost a lock at each message, and a lock that all threads share at that.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
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
    handed: Arc<watch::Sender<bool>>,
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
            handed: Arc::new(watch::Sender::new(false)),
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

    /// A successor has the listening sockets: nobody is let in any more, and who is in goes on.
    pub fn hand_over(&self) {
        self.handed.send_replace(true);
    }

    /// Whether it has.
    pub fn is_handed(&self) -> bool {
        *self.handed.borrow()
    }

    /// Waits until it has.
    pub async fn handed(&self) {
        let _ = self.handed.subscribe().wait_for(|handed| *handed).await;
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

/// One thread's copy of the phase; clones share it.
#[derive(Clone, Debug)]
pub struct ThreadPhase(Rc<Copied>);

#[derive(Debug)]
struct Copied {
    phase: Cell<Phase>,
    /// One place per watch, so that a watch that is polled again need not wake or allocate.
    wakers: RefCell<Vec<Option<Waker>>>,
    free: RefCell<Vec<usize>>,
}

/// One session's wait for a phase.
#[derive(Debug)]
pub struct PhaseWatch {
    copied: Rc<Copied>,
    place: usize,
}

impl ThreadPhase {
    /// A copy of `drain`'s phase; it follows while [`ThreadPhase::follow`] runs.
    pub fn of(drain: &Drain) -> ThreadPhase {
        ThreadPhase(Rc::new(Copied {
            phase: Cell::new(drain.phase()),
            wakers: RefCell::default(),
            free: RefCell::default(),
        }))
    }

    /// The phase now.
    pub fn get(&self) -> Phase {
        self.0.phase.get()
    }

    /// Keeps the copy up to date, until the last phase.
    pub async fn follow(&self, drain: &Drain) {
        let mut changes = drain.subscribe();
        loop {
            let now = *changes.borrow_and_update();
            if now > self.0.phase.replace(now) {
                let wakers = self.0.wakers.borrow();
                wakers.iter().flatten().for_each(Waker::wake_by_ref);
            }
            if now == Phase::Stopping || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// A wait, for one session.
    pub fn watch(&self) -> PhaseWatch {
        let place = self.0.free.borrow_mut().pop().unwrap_or_else(|| {
            let mut wakers = self.0.wakers.borrow_mut();
            wakers.push(None);
            wakers.len() - 1
        });
        PhaseWatch {
            copied: self.0.clone(),
            place,
        }
    }
}

impl PhaseWatch {
    /// The phase now.
    pub fn get(&self) -> Phase {
        self.copied.phase.get()
    }

    /// Ready once the phase is `phase` or later.
    pub fn poll_reached(&self, cx: &mut Context<'_>, phase: Phase) -> Poll<()> {
        if self.get() >= phase {
            return Poll::Ready(());
        }
        let mut wakers = self.copied.wakers.borrow_mut();
        match wakers.get_mut(self.place) {
            Some(Some(waker)) => waker.clone_from(cx.waker()),
            Some(empty) => *empty = Some(cx.waker().clone()),
            None => {}
        }
        Poll::Pending
    }

    /// Waits until the phase is `phase` or later.
    pub async fn reached(&self, phase: Phase) {
        poll_fn(|cx| self.poll_reached(cx, phase)).await
    }
}

impl Drop for PhaseWatch {
    fn drop(&mut self) {
        if let Some(waker) = self.copied.wakers.borrow_mut().get_mut(self.place) {
            *waker = None;
        }
        self.copied.free.borrow_mut().push(self.place);
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

    #[tokio::test]
    async fn a_threads_copy_follows_and_wakes() {
        let drain = Drain::default();
        let phase = ThreadPhase::of(&drain);
        // Tasks of their own: only a wake makes them run again.
        let tasks = tokio::task::LocalSet::new();
        let wait = |at: Phase| {
            let watch = phase.watch();
            tasks.spawn_local(async move { watch.reached(at).await })
        };
        let (early, late) = (wait(Phase::Draining), wait(Phase::Stopping));
        let (copy, original) = (phase.clone(), drain.clone());
        tasks.spawn_local(async move { copy.follow(&original).await });
        tasks
            .run_until(async {
                drain.advance(Phase::Running);
                while phase.get() != Phase::Running {
                    tokio::task::yield_now().await;
                }
                assert!(!early.is_finished());
                drain.advance(Phase::Draining);
                early.await.unwrap();
                assert!(!late.is_finished());
                drain.advance(Phase::Stopping);
                late.await.unwrap();
            })
            .await;
    }

    #[test]
    fn places_of_watches_are_used_again() {
        let phase = ThreadPhase::of(&Drain::default());
        for _ in 0..100 {
            let (_a, _b) = (phase.watch(), phase.watch());
        }
        assert_eq!(phase.0.wakers.borrow().len(), 2);
    }
}
