//! The server behind the one address there is: which it is, and whether it still is.
//!
//! * An address can come to lead to another server: a virtual address or a name that moves, a server restored from a
//!   backup. Connections made before stay where they are. So the control connections say which server is in use: it is
//!   one as long as there is one of them to it, and the last to be made says which. What was kept before another came
//!   into use is void (P9, hazard 68).
//! * A session that meets another server than the one in use neither hits nor fills, and causes the control connections to
//!   look where the address leads now.
//! * A server in recovery does not take the place of one that is not: behind an address that leads to a primary and its
//!   standbys by turns, nothing of the standbys counts anyway.
//!
//! Not here: several addresses (`primary`).

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::sleep;

use super::control::Control;
use super::link::{Facts, Failure};
use super::primary::{CHECK, RETRY};
use crate::session::Shared;

/// The control connections to the server in use, where there is nothing to choose.
#[derive(Default)]
pub struct Links(Mutex<InUse>);

#[derive(Default)]
struct InUse {
    /// How often another has come into use.
    turn: u64,
    /// Connections to it of this turn.
    count: usize,
    /// It was in recovery when the last of them was made.
    recovery: bool,
}

impl Links {
    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A control connection to a server in use.
pub(super) struct Held {
    turn: u64,
    links: Arc<Links>,
    shared: Arc<Shared>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut links = self.links.lock();
        // Those to a server that was replaced are not counted any more.
        if links.turn == self.turn {
            links.count -= 1;
            if links.count == 0 {
                self.shared.ledger.servers.leave();
                self.shared.ledger.blind();
            }
        }
    }
}

impl Control {
    /// Counts a control connection to a server; puts that one in use if it is another than before.
    pub(super) fn hold(&self, facts: &Facts) -> Result<Option<Held>, Failure> {
        let (target, ledger) = (&self.dialer.route.target, &self.shared.ledger);
        if !target.is_single() {
            return match ledger.servers.allow(facts.server) {
                true => Ok(None),
                false => Err("it reached a server that is not in use".into()),
            };
        }
        let mut links = self.links.lock();
        if !ledger.servers.allow(facts.server) {
            if facts.recovery && links.count > 0 && !links.recovery {
                return Err("it reached a server in recovery, and another is in use".into());
            }
            ledger.servers.leave();
            ledger.blind();
            self.parked.choose(&self.shared, facts.server, &self.doubts);
            if let [address] = target.hosts() {
                target.choose(address, facts.server);
            }
            links.turn += 1;
            links.count = 0;
        }
        links.count += 1;
        links.recovery = facts.recovery;
        Ok(Some(Held {
            turn: links.turn,
            links: self.links.clone(),
            shared: self.shared.clone(),
        }))
    }

    /// Returns when the address has come to lead to another server than the one a control connection is at.
    pub(super) async fn moved(&self, database: &str, at: &Facts) {
        if !self.dialer.route.target.is_single() {
            return std::future::pending().await;
        }
        let mut strangers = self.shared.ledger.servers.strangers();
        loop {
            if strangers.changed().await.is_err() {
                return std::future::pending().await;
            }
            loop {
                let asked = pin!(self.connect(database));
                match asked.await {
                    Ok((_, facts)) if facts.server == at.server => break,
                    Ok((_, facts)) if facts.recovery && !at.recovery => break,
                    Ok(_) => return,
                    Err(_) => sleep(RETRY).await,
                }
            }
            sleep(CHECK).await;
        }
    }
}
