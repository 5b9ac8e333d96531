//! The wait of a session for an equal read: its wake-up, its end by the clock, and where a cancel request finds it.
//!
//! * A request for a client that waits ends the wait; the request goes on once the statement has gone upstream, and is
//!   dropped if it was answered from memory: it must not hit what comes after (hazard 57). A backend that has not read the
//!   statement yet does not heed it: it is repeated until the statement is answered.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::Door;
use crate::cache::flight::Wait;
use crate::session::Session;

/// How long a cancel request waits to know where it goes.
const LIMIT: Duration = Duration::from_secs(10);
/// After how long it is repeated.
const REPEAT: Duration = Duration::from_millis(25);
/// How often it looks.
const AGAIN: Duration = Duration::from_millis(1);

/// The waits of clients, by what their cancel requests name: process id and secret.
#[derive(Debug, Default)]
pub struct Waits(Mutex<HashMap<Box<[u8]>, Weak<Wait>>>);

impl Waits {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<[u8]>, Weak<Wait>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the wait of the client that a request names, and passes the request on as long as its statement, which has
    /// then gone upstream, is not answered.
    pub async fn cancel<F: Future<Output = ()>>(&self, key: &[u8], pass_on: impl Fn() -> F) {
        let found = self.lock().get(key).and_then(Weak::upgrade);
        let Some(wait) = found else {
            return pass_on().await;
        };
        wait.cancel();
        let outcome = async {
            loop {
                match wait.outcome() {
                    Some(went) => return went,
                    None => sleep(AGAIN).await,
                }
            }
        };
        if !timeout(LIMIT, outcome).await.unwrap_or(false) {
            return;
        }
        let passed = async {
            while wait.is_held() {
                pass_on().await;
                sleep(REPEAT).await;
            }
        };
        let _ = timeout(LIMIT, passed).await;
    }
}

/// A wait under way, as its connection sees it.
#[derive(Default)]
pub struct Landing(Option<Waiting>);

struct Waiting {
    sleep: Pin<Box<Sleep>>,
    key: Box<[u8]>,
    waits: Arc<Waits>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.waits.lock().remove(&self.key);
    }
}

impl Landing {
    /// Whether the client's bytes can be taken again; `key`: what its cancel requests name.
    pub fn poll(
        &mut self,
        session: &Session,
        key: impl FnOnce() -> Box<[u8]>,
        door: &Door,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some((wait, until)) = session.follows() else {
            self.0 = None;
            return false;
        };
        let waiting = self.0.get_or_insert_with(|| {
            let until = door.epoch + Duration::from_micros(until);
            let waiting = Waiting {
                sleep: Box::pin(sleep_until(Instant::from_std(until))),
                key: key(),
                waits: door.reception.cancels.waits.clone(),
            };
            let named = waiting.key.clone();
            waiting.waits.lock().insert(named, Arc::downgrade(wait));
            waiting
        });
        let over =
            session.poll_followed(cx).is_ready() || waiting.sleep.as_mut().poll(cx).is_ready();
        if over {
            self.0 = None;
        }
        over
    }

    /// The client's statement waits no longer.
    pub fn is_over(&self) -> bool {
        self.0.is_none()
    }
}
