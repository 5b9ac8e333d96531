//! Clients that wait for a connection of a pool.
//!
//! * Who has waited longest is called first: with a connection that became free, or because there is room for one more.
//! * A call that reaches a client which has just left is passed on to the next: else there would be room, and nobody told.
//! * While the database says that it has too many clients, one of those who wait tries again each time a pause is over,
//!   not all of them.
//!
//! Not here: for how long one waits (`pool`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::wire::message;

/// Between two tries to log in to a database that is full.
const PAUSE: Duration = Duration::from_millis(250);

/// Who waits, for things of one kind; `None` calls without one.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: RefCell<VecDeque<oneshot::Sender<Option<T>>>>,
    /// The database is full; when to try again.
    again: Cell<Option<Instant>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue {
            waiting: RefCell::default(),
            again: Cell::new(None),
        }
    }
}

impl<T> Queue<T> {
    /// Takes a place at the end; `back` is given what arrives when nobody is there any more.
    pub fn wait(&self, back: Back<T>) -> Called<T> {
        let (call, called) = oneshot::channel();
        self.waiting.borrow_mut().push_back(call);
        Called { called, back }
    }

    /// Gives it to who has waited longest; gives back what nobody wants.
    pub fn call(&self, mut given: Option<T>) -> Option<T> {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(next) = next else { return given };
            match next.send(given) {
                Ok(()) => return None,
                Err(back) => given = back,
            }
        }
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Whether the database may be asked for one more. Who is told so asks.
    pub fn may_try(&self) -> bool {
        match self.again.get() {
            None => true,
            Some(_) if self.pause().is_some() => false,
            Some(_) => {
                self.again.set(Some(Instant::now() + PAUSE));
                true
            }
        }
    }

    /// The database has said whether it has room.
    pub fn tried(&self, full: bool) {
        self.again.set(full.then(|| Instant::now() + PAUSE));
    }

    /// How long there is to wait before somebody may try again.
    pub fn pause(&self) -> Option<Duration> {
        let left = self.again.get()?;
        let left = left.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }
}

/// Takes what reached nobody.
pub(super) type Back<T> = Box<dyn Fn(Option<T>)>;

/// A place in the queue.
pub(super) struct Called<T> {
    /// Ready once it is called.
    pub called: oneshot::Receiver<Option<T>>,
    back: Back<T>,
}

impl<T> Drop for Called<T> {
    fn drop(&mut self) {
        self.called.close();
        if let Ok(given) = self.called.try_recv() {
            (self.back)(given);
        }
    }
}

/// Whether an error at login says that the database has as many clients as it takes.
pub(super) fn is_full(error: &[u8]) -> bool {
    message::sqlstate(error) == Some(b"53300")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    #[test]
    fn a_call_to_who_has_left_is_passed_on() {
        let queue = Rc::new(Queue::<u8>::default());
        let wait = || {
            let back = queue.clone();
            queue.wait(Box::new(move |given| {
                back.call(given);
            }))
        };
        for given in [None, Some(7)] {
            let gone = wait();
            let mut there = wait();
            assert_eq!(queue.call(given), None);
            drop(gone); // called, but it has not heard it
            assert_eq!(there.called.try_recv(), Ok(given));
            drop(there); // nothing is passed on twice
            assert!(queue.is_empty());
        }
        drop(wait());
        assert_eq!(queue.call(Some(8)), Some(8), "nobody wants it");
    }

    #[test]
    fn one_tries_at_a_time_while_the_database_is_full() {
        let queue = Queue::<u8>::default();
        assert!(queue.may_try() && queue.may_try());
        queue.tried(true);
        assert!(!queue.may_try() && queue.pause().is_some());
        queue.again.set(Some(Instant::now()));
        assert!(queue.pause().is_none());
        assert!(queue.may_try() && !queue.may_try(), "only one");
        queue.tried(false);
        assert!(queue.may_try() && queue.may_try());
    }
}
