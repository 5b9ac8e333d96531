//! One client and its upstream connection, from the first packet to the last.

mod cancel;
mod drive;
mod far;
mod greeting;
mod handshake;
mod landing;
mod line;
pub mod reception;
pub mod verify;
mod who;

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::sync::mpsc::UnboundedSender;

use crate::cache::Micros;
use crate::net::pool::Pools;
use crate::net::{Stream, ThreadPhase};
use crate::session::{Doubt, Thread};
use crate::wire::startup::Startup;
use drive::Scratch;
use reception::Reception;

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Look.
    Stats,
    /// Look and change.
    Admin,
}

/// An operator whose proof was good.
#[derive(Clone, Debug)]
pub struct Visitor {
    pub user: Box<str>,
    pub role: Role,
}

/// Serves an operator until he leaves.
pub type Enter = Rc<dyn Fn(Stream, Vec<u8>, Visitor) -> Pin<Box<dyn Future<Output = ()>>>>;

/// The console: a database that is Larder's own.
pub struct Console {
    /// Its name.
    pub database: Box<str>,
    /// Who may change things, and who may look.
    pub admins: Vec<String>,
    pub stats: Vec<String>,
    /// What takes over.
    pub enter: Enter,
}

impl Console {
    fn is_meant(&self, database: &str, startup: &Startup<'_>) -> bool {
        *self.database == *database && startup.get("replication").is_none()
    }

    fn role(&self, user: &str) -> Option<Role> {
        let named = |names: &[String]| names.iter().any(|name| name == user);
        match (named(&self.admins), named(&self.stats)) {
            (true, _) => Some(Role::Admin),
            (false, true) => Some(Role::Stats),
            (false, false) => None,
        }
    }
}

/// What the sessions of one thread need beside the cache.
pub struct Door {
    /// The thread's share of the cache.
    pub thread: Rc<Thread>,
    /// When to end.
    pub phase: ThreadPhase,
    /// Where writes go whose outcome nobody knows.
    pub doubts: UnboundedSender<Doubt>,
    /// The process's clock starts here.
    pub epoch: Instant,
    /// Who is let in.
    pub reception: Arc<Reception>,
    /// How the upstream is reached.
    pub pools: Rc<Pools>,
    /// Where operators go.
    pub console: Option<Console>,
    scratch: RefCell<Scratch>,
    /// The epoch as others count it.
    born: u64,
}

impl Door {
    /// The door of one thread.
    pub fn new(
        thread: Rc<Thread>,
        phase: ThreadPhase,
        doubts: UnboundedSender<Doubt>,
        epoch: Instant,
        reception: Arc<Reception>,
        pools: Rc<Pools>,
        console: Option<Console>,
    ) -> Door {
        Door {
            thread,
            phase,
            doubts,
            epoch,
            reception,
            pools,
            console,
            scratch: RefCell::default(),
            born: unix(epoch),
        }
    }
}

impl Door {
    /// A moment as sessions count it.
    fn at(&self, moment: Instant) -> Micros {
        Micros::try_from((moment - self.epoch).as_micros()).unwrap_or(Micros::MAX)
    }

    /// The same moment as others count it: microseconds since 1970.
    fn unix(&self, moment: Micros) -> u64 {
        self.born.wrapping_add(moment)
    }

    fn now(&self) -> Micros {
        self.at(Instant::now())
    }
}

/// A moment in microseconds since 1970.
fn unix(moment: Instant) -> u64 {
    let at = SystemTime::now() - moment.elapsed();
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0))
}

/// Serves a client until it or the upstream leaves.
pub async fn serve(client: Stream, door: Rc<Door>) {
    let Some(arrived) = handshake::run(client, &door).await else {
        return;
    };
    drive::run(arrived, &door).await;
}
