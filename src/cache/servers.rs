//! Which server's answers count, where there are several to choose from.
//!
//! * A server is known by what its backends say of it, not by its address: a session that reached another one than was
//!   meant, or stayed on the one before, neither fills nor hits (P4).
//! * While none is chosen nothing is served and nothing kept.
//! * The order of a change: [`Servers::leave`], everything raised, [`Servers::choose`]. So who took a stamp and finds its
//!   server still in use afterwards has a stamp that the change will kill.
//!
//! Not here: who chooses (`watch`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// There is one only: whatever it is, it counts.
const SINGLE: u64 = 0;
/// None is chosen, or it is not known which it is.
const NONE: u64 = 1;

/// A server, as far as it is known which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server(u64);

impl Server {
    /// One that has not said which it is.
    pub const UNKNOWN: Server = Server(NONE);
}

/// The servers there were, and the one in use.
#[derive(Debug, Default)]
pub struct Servers {
    current: AtomicU64,
    known: Mutex<Vec<Box<str>>>,
}

impl Servers {
    /// Several to choose from; none is chosen yet.
    pub fn several() -> Servers {
        Servers {
            current: AtomicU64::new(NONE),
            known: Mutex::default(),
        }
    }

    /// Whether there is nothing to choose.
    pub fn is_single(&self) -> bool {
        self.current.load(Ordering::SeqCst) == SINGLE
    }

    /// The server whose backends say this of it: when it was started.
    pub fn named(&self, started: &str) -> Server {
        if started.is_empty() || self.is_single() {
            return Server::UNKNOWN;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let at = known.iter().position(|name| **name == *started);
        let at = at.unwrap_or_else(|| {
            known.push(started.into());
            known.len() - 1
        });
        Server(NONE + 1 + at as u64)
    }

    /// Whether that server's answers count.
    #[inline]
    pub fn allow(&self, server: Server) -> bool {
        let current = self.current.load(Ordering::SeqCst);
        current == SINGLE || (current == server.0 && current != NONE)
    }

    /// No server is in use from now on.
    pub fn leave(&self) {
        self.current.store(NONE, Ordering::SeqCst);
    }

    /// That one is.
    pub fn choose(&self, server: Server) {
        self.current.store(server.0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chosen_ones_answers_count() {
        let single = Servers::default();
        assert!(single.allow(Server::UNKNOWN) && single.is_single());
        let servers = Servers::several();
        let (a, b) = (servers.named("a"), servers.named("b"));
        assert_eq!(a, servers.named("a"));
        assert_eq!(servers.named(""), Server::UNKNOWN);
        for server in [a, b, Server::UNKNOWN] {
            assert!(!servers.allow(server));
        }
        servers.choose(a);
        assert!(servers.allow(a) && !servers.allow(b) && !servers.allow(Server::UNKNOWN));
        servers.leave();
        assert!(!servers.allow(a) && !servers.allow(Server::UNKNOWN));
    }
}
