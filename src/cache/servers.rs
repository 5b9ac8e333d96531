//! Which server's answers count.
//!
//! * A server is known by what its backends say of it, not by its address: a session that reached another one than was
//!   meant, or stayed on the one before, neither fills nor hits (P4, P9, hazards 67, 68). A copy of a server has its system
//!   identifier and may have its timeline, but was started at another moment.
//! * One whose write-ahead log has gone back since is another, too: a machine that was set back with its memory.
//! * While none is in use nothing is served and nothing kept.
//! * The order of a change: [`Servers::leave`], everything raised, [`Servers::choose`]. So who took a stamp and finds its
//!   server still in use afterwards has a stamp that the change will kill.
//!
//! Not here: who chooses (`watch`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::why::Why;

/// Nobody chooses: whatever it is, it counts.
const ANY: u64 = 0;
/// None is in use, or it is not known which it is.
const NONE: u64 = 1;

/// A server, as far as it is known which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server(u64);

impl Server {
    /// One that has not said which it is.
    pub const UNKNOWN: Server = Server(NONE);
}

/// How far servers were known to have come when one was asked about itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(Option<(u64, u64)>);

/// One that has said when it was started.
#[derive(Debug)]
struct Known {
    started: Box<str>,
    /// The furthest end of its write-ahead log that was heard of.
    position: u64,
}

/// The servers there were, and the one in use.
#[derive(Debug)]
pub struct Servers {
    current: AtomicU64,
    several: bool,
    known: Mutex<Vec<Known>>,
    met: watch::Sender<u64>,
}

impl Default for Servers {
    /// Nobody chooses.
    fn default() -> Servers {
        Servers::of(ANY, false)
    }
}

impl Servers {
    fn of(current: u64, several: bool) -> Servers {
        Servers {
            current: AtomicU64::new(current),
            several,
            known: Mutex::default(),
            met: watch::Sender::new(0),
        }
    }

    /// Several addresses, or one to find out about; none is in use yet.
    pub fn unchosen(several: bool) -> Servers {
        Servers::of(NONE, several)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be taken before a backend is asked about itself, so that its answer is not older than what is known.
    pub fn mark(&self) -> Mark {
        let current = self.current.load(Ordering::SeqCst);
        let known = self.lock();
        let at = current.checked_sub(NONE + 1).map(|at| at as usize);
        Mark(at.and_then(|at| Some((current, known.get(at)?.position))))
    }

    /// The server whose backends say this of it: when it was started and, if it writes one, where its write-ahead log ends.
    pub fn named(&self, started: &str, position: Option<u64>, mark: &Mark) -> Server {
        if started.is_empty() {
            return Server::UNKNOWN;
        }
        let mut known = self.lock();
        let at = known.iter().rposition(|known| *known.started == *started);
        let server = |at: usize| NONE + 1 + at as u64;
        let back = |at: &usize| match (position, mark.0) {
            (Some(now), Some((then, position))) => then == server(*at) && now < position,
            _ => false,
        };
        let at = at.filter(|at| !back(at)).unwrap_or_else(|| {
            known.push(Known {
                started: started.into(),
                position: 0,
            });
            known.len() - 1
        });
        known[at].position = known[at].position.max(position.unwrap_or_default());
        Server(server(at))
    }

    /// A backend of that server has answered a session. If it is another than the one in use, somebody must look.
    pub fn meet(&self, server: Server) {
        if !self.allow(server) && server != Server::UNKNOWN {
            self.met.send_modify(|times| *times += 1);
        }
    }

    /// Changes when a session has met another server than the one in use.
    pub fn strangers(&self) -> watch::Receiver<u64> {
        self.met.subscribe()
    }

    /// Whether that server's answers count.
    #[inline]
    pub fn allow(&self, server: Server) -> bool {
        let current = self.current.load(Ordering::SeqCst);
        current == ANY || (current == server.0 && current != NONE)
    }

    /// Why a server's answers do not count.
    pub fn why(&self) -> Why {
        match !self.several && self.current.load(Ordering::SeqCst) == NONE {
            true => Why::NoCatalog,
            false => Why::Server,
        }
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

/// A position in the write-ahead log, as PostgreSQL writes it.
pub fn position(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let word = |text| u32::from_str_radix(text, 16).ok();
    Some(u64::from(word(high)?) << 32 | u64::from(word(low)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chosen_ones_answers_count() {
        let any = Servers::default();
        assert!(any.allow(Server::UNKNOWN));
        let servers = Servers::unchosen(true);
        let named = |started: &str| servers.named(started, None, &Mark::default());
        let (a, b) = (named("a"), named("b"));
        assert_eq!(a, named("a"));
        assert_eq!(named(""), Server::UNKNOWN);
        for server in [a, b, Server::UNKNOWN] {
            assert!(!servers.allow(server));
        }
        servers.choose(a);
        assert!(servers.allow(a) && !servers.allow(b) && !servers.allow(Server::UNKNOWN));
        servers.leave();
        assert!(!servers.allow(a) && !servers.allow(Server::UNKNOWN));
    }

    #[test]
    fn p9_a_log_that_goes_back_is_another_servers() {
        let servers = Servers::unchosen(false);
        let a = servers.named("a", position("0/FF"), &servers.mark());
        servers.choose(a);
        let early = servers.mark();
        assert_eq!(servers.named("a", position("1/0"), &servers.mark()), a);
        // Asked before the other had answered, it may be behind.
        assert_eq!(servers.named("a", position("0/100"), &early), a);
        // One that writes none, or does not say.
        assert_eq!(servers.named("a", None, &servers.mark()), a);
        assert_eq!(servers.named("a", position("1/0"), &servers.mark()), a);
        let late = servers.mark();
        let back = servers.named("a", position("0/FFFFFFFF"), &late);
        assert_ne!(back, a);
        // Whoever else was asked in between hears the new one, and where it is now counts.
        assert_eq!(servers.named("a", position("0/FFFFFFF0"), &late), back);
        servers.choose(back);
        let on = servers.named("a", position("0/FFFFFFFF"), &servers.mark());
        assert_eq!(on, back);
    }

    #[test]
    fn who_meets_a_stranger_says_so() {
        let servers = Servers::unchosen(false);
        let strangers = servers.strangers();
        let [a, b] = ["a", "b"].map(|name| servers.named(name, None, &Mark::default()));
        servers.choose(a);
        servers.meet(a);
        servers.meet(Server::UNKNOWN);
        assert!(!strangers.has_changed().unwrap());
        servers.meet(b);
        assert!(strangers.has_changed().unwrap());
        assert_eq!(servers.why(), Why::Server);
        servers.leave();
        assert_eq!(servers.why(), Why::NoCatalog);
    }

    #[test]
    fn positions_are_numbers() {
        assert_eq!(position("0/0"), Some(0));
        assert_eq!(position("1/FFFFFFFF"), Some(0x1_ffff_ffff));
        assert!(position("9/0") < position("10/0"));
        assert!(position("").is_none() && position("1").is_none() && position("x/1").is_none());
    }
}
