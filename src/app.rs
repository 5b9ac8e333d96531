//! The wiring: every part, and how they start and end.
//!
//! The only file that knows them all. What can fail at start fails before the first client is let in.

mod host;
mod workers;

pub use workers::{Handler, MakeHandler, Seat, Session};

use crate::config::Config;
use crate::metrics::{Metrics, UpstreamState};
use crate::net::{Bound, Drain, Phase, Stream, bind, dial};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::io::copy_bidirectional;

/// Why the process could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be listened on.
    #[error("{0}")]
    Listen(io::Error),
    /// The threads could not be started.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// The metrics contradict each other.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs until a signal ends the process.
pub fn run(config: Config) -> Result<(), Error> {
    let config = Arc::new(config);
    let count = config.server.workers.count();
    let metrics = Arc::new(Metrics::new(count)?);
    let drain = Drain::default();
    let clients = bind(&config.listen).map_err(Error::Listen)?;
    let admin = bind(std::slice::from_ref(&config.admin.address)).map_err(Error::Listen)?;
    announce(&config, &clients, &admin, count);
    let make = make_handler(config.clone(), metrics.clone());
    let workers =
        workers::Workers::start(count, metrics.clone(), &drain, &make).map_err(Error::Start)?;
    let parts = host::Parts {
        clients,
        admin,
        pages: crate::admin::http::Pages::new(metrics, drain.clone()),
        places: workers.places(),
        drain_for: config.server.drain,
    };
    host::run(parts, &drain);
    workers.join();
    Ok(())
}

fn announce(config: &Config, clients: &[Bound], admin: &[Bound], workers: usize) {
    for bound in clients {
        tracing::info!(address = %bound.address(), "listening for clients");
    }
    for bound in admin {
        tracing::info!(address = %bound.address(), "listening for operators");
    }
    let version = env!("CARGO_PKG_VERSION");
    let (upstream, mode) = (&config.upstream.address, config.cache.mode);
    tracing::info!(version, %upstream, ?mode, memory = config.cache.memory, workers, "larder starts");
}

// ---- the place where a thread's handler is made --------------------------------------------------------------------

/// The handler of each thread: passes a client's bytes to the upstream and back.
fn make_handler(config: Arc<Config>, metrics: Arc<Metrics>) -> MakeHandler {
    Arc::new(move |seat: Seat| {
        let (config, metrics, seat) = (config.clone(), metrics.clone(), Rc::new(seat));
        Box::new(move |client: Stream| -> Session {
            let (config, metrics, seat) = (config.clone(), metrics.clone(), seat.clone());
            Box::pin(async move {
                tokio::select! {
                    () = pass_through(client, &config, &metrics) => {}
                    () = seat.drain.reached(Phase::Stopping) => {}
                }
            })
        })
    })
}

async fn pass_through(mut client: Stream, config: &Config, metrics: &Metrics) {
    let connecting = metrics.upstream(UpstreamState::Connecting);
    match dial(&config.upstream.address, config.upstream.connect_timeout).await {
        Ok(mut upstream) => {
            drop(connecting);
            let _connected = metrics.upstream(UpstreamState::Client);
            let _ = copy_bidirectional(&mut client, &mut upstream).await;
        }
        Err(error) => {
            tracing::warn!(%error, upstream = %config.upstream.address, "cannot connect to the upstream")
        }
    }
}
