//! The process's host: pingora's server, with signals and listeners of our own.
//!
//! * pingora's answer to SIGTERM closes every listener, `/ready` included, and sleeps through its whole grace period.
//!   Ours waits for sessions instead, then asks pingora for its fast way out, which returns at once and in order.
//! * Signals are caught before the process calls itself ready: who has seen `/ready` may send SIGTERM and gets a drain.
//! * SIGHUP reads certificates and configuration anew; SIGUSR2 starts a successor.
//! * When a successor has the listening sockets, nobody is let in here any more, and who is in has a moment for a first
//!   statement before idle sessions end: a client that was let in at the last instant is not turned away.
//! * The service manager is told of each step, but not of the end of a process that has a successor: it would take that
//!   for the end of the service.
//! * Sockets are bound before the server exists ([`crate::net::bind`]): pingora's own listening service retries a taken
//!   port for 30 seconds and then panics.
//!
//! pingora's command line and its YAML file are never read. How listening sockets get to a successor is not here.

use super::workers::Places;
use crate::admin::http::{Pages, serve};
use crate::net::notify::{State, notify};
use crate::net::{Bound, Drain, Guard, Listener, Phase};
use async_trait::async_trait;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{
    ListenFds, RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch,
};
use pingora_core::services::{ServiceReadyNotifier, ServiceWithDependents};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long a client that was let in may take to ask something, once a successor has the sockets.
const FIRST_WORDS: Duration = Duration::from_secs(2);

/// How long the listeners may take to close.
const CLOSING: Duration = Duration::from_secs(1);

/// What the host runs.
pub struct Parts {
    /// Where clients connect.
    pub clients: Vec<Bound>,
    /// Where operators connect.
    pub admin: Vec<Bound>,
    /// What operators see.
    pub pages: Pages,
    /// Where clients go.
    pub places: Places,
    /// How long SIGTERM waits.
    pub drain_for: Duration,
    /// What SIGHUP does.
    pub reload: Box<dyn Fn() + Send + Sync>,
    /// What SIGUSR2 does.
    pub succeed: Box<dyn Fn() + Send + Sync>,
}

/// Runs until a signal ends the process; returns with the phase at [`Phase::Stopping`].
pub fn run(parts: Parts, drain: &Drain) {
    let conf = ServerConf {
        threads: 1,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    // Open while a listener is: closed when the last sender is gone.
    let (open, closed) = mpsc::channel(1);
    server.add_service(Clients {
        bound: parts.clients,
        places: parts.places,
        drain: drain.clone(),
        open: Some(open),
    });
    server.add_service(Admin {
        bound: parts.admin,
        pages: Some(parts.pages),
        drain: drain.clone(),
    });
    let signals = Signals {
        drain: drain.clone(),
        drain_for: parts.drain_for,
        reload: parts.reload,
        succeed: parts.succeed,
        closed: tokio::sync::Mutex::new(closed),
    };
    server.run(RunArgs {
        shutdown_signal: Box::new(signals),
    });
    drain.advance(Phase::Stopping);
}

/// The listeners of clients.
struct Clients {
    bound: Vec<Bound>,
    places: Places,
    drain: Drain,
    open: Option<mpsc::Sender<()>>,
}

#[async_trait]
impl ServiceWithDependents for Clients {
    async fn start_service(
        &mut self,
        _: Option<ListenFds>,
        _: ShutdownWatch,
        _: usize,
        ready: ServiceReadyNotifier,
    ) {
        let mut accepting = JoinSet::new();
        let open = self.open.take();
        for bound in self.bound.drain(..) {
            let address = bound.address().clone();
            match bound.listen() {
                Ok(listener) => {
                    accepting.spawn(accept(
                        listener,
                        self.places.clone(),
                        self.drain.clone(),
                        self.drain.enter(),
                    ));
                }
                Err(error) => tracing::error!(%error, %address, "a listener could not start"),
            }
        }
        ready.notify_ready();
        while accepting.join_next().await.is_some() {}
        drop(open);
    }

    fn name(&self) -> &str {
        "larder-accept"
    }
}

async fn accept(listener: Listener, places: Places, drain: Drain, _until_closed: Guard) {
    tokio::select! {
        () = async { loop { places.place(listener.accept().await) } } => {}
        () = drain.reached(Phase::Draining) => {}
        () = drain.handed() => {}
    }
}

/// The listener of operators.
struct Admin {
    bound: Vec<Bound>,
    pages: Option<Pages>,
    drain: Drain,
}

#[async_trait]
impl ServiceWithDependents for Admin {
    async fn start_service(
        &mut self,
        _: Option<ListenFds>,
        shutdown: ShutdownWatch,
        _: usize,
        ready: ServiceReadyNotifier,
    ) {
        let bound = self.bound.drain(..).map(Bound::listen);
        let listeners: io::Result<Vec<Listener>> = bound.collect();
        ready.notify_ready();
        match (listeners, self.pages.take()) {
            (Ok(listeners), Some(pages)) => tokio::select! {
                () = serve(listeners, pages, shutdown) => {}
                () = self.drain.handed() => {}
            },
            (Err(error), _) => tracing::error!(%error, "the admin listener could not start"),
            (Ok(_), None) => {}
        }
    }

    fn name(&self) -> &str {
        "larder-admin"
    }
}

/// The signals, and what each means.
struct Signals {
    drain: Drain,
    drain_for: Duration,
    reload: Box<dyn Fn() + Send + Sync>,
    succeed: Box<dyn Fn() + Send + Sync>,
    closed: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

/// They, caught.
struct Caught {
    term: Signal,
    int: Signal,
    hup: Signal,
    usr2: Signal,
}

fn catch() -> io::Result<Caught> {
    Ok(Caught {
        term: signal(SignalKind::terminate())?,
        int: signal(SignalKind::interrupt())?,
        hup: signal(SignalKind::hangup())?,
        usr2: signal(SignalKind::user_defined2())?,
    })
}

impl Signals {
    fn stopping(&self) {
        if !self.drain.is_handed() {
            notify(State::Stopping);
        }
    }

    /// Returns when the process is to end.
    async fn watch(&self, mut caught: Caught) {
        // None until the first SIGTERM, or until a successor has the sockets.
        let mut drained = std::pin::pin!(None);
        loop {
            tokio::select! {
                biased;
                _ = caught.int.recv() => {
                    tracing::info!(clients = self.drain.open(), "SIGINT: ending at once");
                    return;
                }
                () = async { match drained.as_mut().as_pin_mut() {
                    Some(drained) => drained.await,
                    None => std::future::pending().await,
                } } => return,
                _ = caught.term.recv() => {
                    if drained.is_none() {
                        tracing::info!(deadline = ?self.drain_for, "SIGTERM: draining");
                        drained.set(Some(self.drained(Duration::ZERO)));
                    }
                }
                () = self.drain.handed(), if drained.is_none() => {
                    tracing::info!(deadline = ?self.drain_for, "a successor has the listening sockets: draining");
                    drained.set(Some(self.drained(FIRST_WORDS)));
                }
                _ = caught.hup.recv() => {
                    tracing::info!("SIGHUP: reading configuration and certificates anew");
                    notify(State::Reloading);
                    (self.reload)();
                    notify(State::Ready);
                }
                _ = caught.usr2.recv() => (self.succeed)(),
            }
        }
    }

    /// From the start of the drain until nobody is left, or the deadline.
    async fn drained(&self, first: Duration) {
        tokio::time::sleep(first).await;
        self.drain.advance(Phase::Draining);
        self.stopping();
        match tokio::time::timeout(self.drain_for, self.drain.emptied()).await {
            Ok(()) => tracing::info!("drained"),
            Err(_) => tracing::warn!(
                left = self.drain.open(),
                "the drain's deadline is over; closing what is left"
            ),
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        match catch() {
            Ok(caught) => {
                self.drain.advance(Phase::Running);
                notify(State::Ready);
                self.watch(caught).await;
            }
            Err(error) => tracing::error!(%error, "cannot catch signals"),
        }
        self.drain.advance(Phase::Stopping);
        self.stopping();
        // The listeners go before the process does, and their socket files with them.
        let mut closed = self.closed.lock().await;
        let _ = tokio::time::timeout(CLOSING, closed.recv()).await;
        ShutdownSignal::FastShutdown
    }
}
