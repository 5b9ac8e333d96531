//! The threads that serve clients, each with an event loop of its own.
//!
//! * A connection stays on the thread it was placed on, its upstream socket with it: a hit crosses no thread, and a
//!   session need not be `Send`.
//! * A new connection goes to the thread with the fewest sessions: pools keep connections for hours, and a random
//!   placement of a few would stay unfair as long.
//! * Every connection is counted before it is handed over ([`Drain::enter`]), so the drain cannot end between.

use crate::metrics::{Metrics, Recorder};
use crate::net::{Accepted, Drain, Stream, ThreadPhase};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::runtime::{self, LocalOptions};
use tokio::sync::mpsc;

/// A parse of deeply nested text may use a deep stack; it is only mapped when used.
const STACK: usize = 4 << 20;

/// How long sessions may take to say goodbye once the process stops.
const FAREWELL: Duration = Duration::from_millis(200);

/// What a thread gives to the handler it makes.
pub struct Seat {
    /// The thread's number, from 0.
    pub thread: usize,
    /// The thread's counters.
    pub recorder: Recorder,
    /// When to end, as the thread sees it.
    pub phase: ThreadPhase,
}

/// The life of one client.
pub type Session = Pin<Box<dyn Future<Output = ()>>>;

/// Starts the life of a client; one per thread.
pub type Handler = Box<dyn Fn(Stream) -> Session>;

/// Makes the handler of a thread, on that thread.
pub type MakeHandler = Arc<dyn Fn(Seat) -> Handler + Send + Sync>;

/// All threads.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    places: Places,
}

/// Where connections are handed to the threads.
#[derive(Clone)]
pub struct Places {
    seats: Arc<[Place]>,
    metrics: Arc<Metrics>,
    drain: Drain,
}

struct Place {
    live: Arc<AtomicUsize>,
    door: mpsc::UnboundedSender<Arrival>,
}

/// A connection on its way to its thread.
struct Arrival {
    accepted: Accepted,
    ticket: Ticket,
}

/// Everything that counts a session, for as long as it lives.
struct Ticket {
    live: Arc<AtomicUsize>,
    _client: crate::metrics::Counted,
    _drain: crate::net::Guard,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// Starts `count` threads, and returns when all of them run.
    pub fn start(
        count: usize,
        metrics: Arc<Metrics>,
        drain: &Drain,
        make: &MakeHandler,
    ) -> io::Result<Workers> {
        let mut threads = Vec::with_capacity(count);
        let mut seats = Vec::with_capacity(count);
        let (started, starts) = std::sync::mpsc::channel();
        for thread in 0..count {
            let recorder = metrics
                .recorder(thread)
                .ok_or_else(|| io::Error::other("a thread's recorder is taken"))?;
            let (make, started, drain) = (make.clone(), started.clone(), drain.clone());
            let (door, arrivals) = mpsc::unbounded_channel();
            seats.push(Place {
                live: Arc::default(),
                door,
            });
            let body = move || {
                let phase = ThreadPhase::of(&drain);
                let seat = Seat {
                    thread,
                    recorder,
                    phase,
                };
                work(seat, &drain, arrivals, &make, &started);
            };
            let builder = Builder::new().name(format!("larder-{thread}"));
            threads.push(builder.stack_size(STACK).spawn(body)?);
        }
        drop(started);
        // A thread that could not start says so; one that died in its handler's making says nothing.
        for _ in 0..count {
            starts
                .recv()
                .unwrap_or_else(|_| Err(io::Error::other("a thread ended before it served")))?;
        }
        let places = Places {
            seats: seats.into(),
            metrics,
            drain: drain.clone(),
        };
        Ok(Workers { threads, places })
    }

    /// Where to hand connections to the threads.
    pub fn places(&self) -> Places {
        self.places.clone()
    }

    /// Waits until every thread has ended, which they do when the phase is [`crate::net::Phase::Stopping`].
    pub fn join(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

impl Places {
    /// Hands a connection to the thread with the fewest sessions.
    pub fn place(&self, accepted: Accepted) {
        let fewest = self
            .seats
            .iter()
            .min_by_key(|p| p.live.load(Ordering::Relaxed));
        let Some(place) = fewest else { return };
        place.live.fetch_add(1, Ordering::Relaxed);
        let ticket = Ticket {
            live: place.live.clone(),
            _client: self.metrics.client(),
            _drain: self.drain.enter(),
        };
        // A thread that has ended drops the connection, and the ticket with it.
        let _ = place.door.send(Arrival { accepted, ticket });
    }
}

fn work(
    seat: Seat,
    drain: &Drain,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    make: &MakeHandler,
    started: &std::sync::mpsc::Sender<io::Result<()>>,
) {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return drop(started.send(Err(error))),
    };
    let phase = seat.phase.clone();
    runtime.block_on(async move {
        let handler = make(seat);
        let _ = started.send(Ok(()));
        tokio::select! {
            () = serve(&mut arrivals, &handler) => {}
            // Ends with the last phase.
            () = phase.follow(drain) => {
                let _ = tokio::time::timeout(FAREWELL, drain.emptied()).await;
            }
        }
    });
}

async fn serve(arrivals: &mut mpsc::UnboundedReceiver<Arrival>, handler: &Handler) {
    while let Some(Arrival { accepted, ticket }) = arrivals.recv().await {
        match accepted.into_stream() {
            Ok(stream) => {
                let session = handler(stream);
                tokio::task::spawn_local(async move {
                    let _ticket = ticket;
                    session.await;
                });
            }
            Err(error) => tracing::debug!(%error, "a client was gone before it was served"),
        }
    }
}
