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

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::cache::Micros;
use crate::net::pool::Pools;
use crate::net::{Stream, ThreadPhase};
use crate::session::{Doubt, Thread};
use drive::Scratch;
use reception::Reception;

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
    scratch: RefCell<Scratch>,
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
    ) -> Door {
        Door {
            thread,
            phase,
            doubts,
            epoch,
            reception,
            pools,
            scratch: RefCell::default(),
        }
    }
}

impl Door {
    /// A moment as sessions count it.
    fn at(&self, moment: Instant) -> Micros {
        Micros::try_from((moment - self.epoch).as_micros()).unwrap_or(Micros::MAX)
    }

    fn now(&self) -> Micros {
        self.at(Instant::now())
    }
}

/// Serves a client until it or the upstream leaves.
pub async fn serve(client: Stream, door: Rc<Door>) {
    let Some(arrived) = handshake::run(client, &door).await else {
        return;
    };
    drive::run(arrived, &door).await;
}
