//! One client and its upstream connection, from the first packet to the last.

mod cancel;
mod drive;
mod handshake;
mod line;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::metrics::Metrics;
use crate::net::{Stream, Target, ThreadPhase};
use crate::session::{Doubt, Thread};
use drive::Scratch;

/// What the sessions of one thread need beside the cache.
pub struct Door {
    /// The thread's share of the cache.
    pub thread: Rc<Thread>,
    /// Where the upstream is.
    pub target: Arc<Target>,
    /// How long a connect may take.
    pub connect_timeout: Duration,
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
        target: Arc<Target>,
        connect_timeout: Duration,
        metrics: Arc<Metrics>,
        phase: ThreadPhase,
        doubts: UnboundedSender<Doubt>,
        epoch: Instant,
    ) -> Door {
        Door {
            thread,
            target,
            connect_timeout,
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
