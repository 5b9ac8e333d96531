//! One client and its upstream connection, from the first packet to the last.

mod cancel;
mod drive;
mod greeting;
mod handshake;
mod line;
pub mod verify;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc::UnboundedSender;

use crate::config::Upstream;
use crate::metrics::Metrics;
use crate::net::{Stream, ThreadPhase, Tls};
use crate::session::{Doubt, Thread};
use drive::Scratch;

/// What the sessions of one thread need beside the cache.
pub struct Door {
    /// The thread's share of the cache.
    pub thread: Rc<Thread>,
    /// Where the upstream is.
    pub upstream: Upstream,
    /// How both sides are encrypted.
    pub tls: Arc<Tls>,
    /// Gauges of connections.
    pub metrics: Arc<Metrics>,
    /// When to end.
    pub phase: ThreadPhase,
    /// Where writes go whose outcome nobody knows.
    pub doubts: UnboundedSender<Doubt>,
    /// The process's clock starts here.
    pub epoch: Instant,
    scratch: RefCell<Scratch>,
}

impl Door {
    /// The door of one thread.
    pub fn new(
        thread: Rc<Thread>,
        upstream: Upstream,
        tls: Arc<Tls>,
        metrics: Arc<Metrics>,
        phase: ThreadPhase,
        doubts: UnboundedSender<Doubt>,
        epoch: Instant,
    ) -> Door {
        Door {
            thread,
            upstream,
            tls,
            metrics,
            phase,
            doubts,
            epoch,
            scratch: RefCell::default(),
        }
    }
}

/// Serves a client until it or the upstream leaves.
pub async fn serve(client: Stream, door: Rc<Door>) {
    let Some(arrived) = handshake::run(client, &door).await else {
        return;
    };
    drive::run(arrived, &door).await;
}
