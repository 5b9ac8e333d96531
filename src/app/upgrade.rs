//! The change from a running process to its successor, without a client that is refused or given an old answer.
//!
//! * For as long as two processes have clients, neither answers from memory or keeps anything: each would not hear of the
//!   other's writes. The predecessor shuts before it hands a socket over, the successor is shut from its start.
//! * The successor opens when the predecessor is no more, which the kernel says. Then nothing that was known before counts.
//! * A successor that fails before it has said that it is ready changes nothing: it has let nobody in, and the predecessor
//!   goes on. If the predecessor does not confirm, the successor does not start.
//! * A drain drops what is kept for a successor: a listening socket nobody accepts from would let clients wait for nothing.

use super::Error;
use crate::config::Config;
use crate::net::notify::{State, notify};
use crate::net::{Bound, Drain, Passed, Phase, Predecessor, Use, Waiting, open};
use crate::session::Shared;
use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

/// What the kernel adds to the path of a program that was replaced.
const DELETED: &[u8] = b" (deleted)";

/// How this process stands to the one before it and the one after.
#[derive(Clone, Debug, Default)]
pub struct Succession {
    /// Whether it takes over from one that runs.
    pub upgrade: bool,
    /// The arguments of its own successor.
    pub again: Vec<OsString>,
}

/// What is known of both.
pub struct Upgrade {
    path: Option<PathBuf>,
    predecessor: Option<Predecessor>,
    /// Where successors ask; bound at start, or once the predecessor is gone, whose place it is.
    waiting: Option<Waiting>,
    kept: Vec<Passed>,
    again: Vec<OsString>,
}

impl Upgrade {
    /// Asks the predecessor for its sockets, if this is to be a successor.
    pub fn begin(
        config: &Config,
        succession: Succession,
        passed: &mut Vec<Passed>,
    ) -> Result<Upgrade, Error> {
        let path = config.server.upgrade_socket.clone();
        let (mut predecessor, mut waiting) = (None, None);
        match &path {
            Some(path) if succession.upgrade => {
                let asked = Predecessor::ask(path);
                let (process, sockets) = asked.map_err(|error| {
                    let path = path.display();
                    Error::Upgrade(format!(
                        "cannot take over from the Larder at {path}: {error}; if none runs, start without --upgrade"
                    ))
                })?;
                predecessor = Some(process);
                passed.extend(sockets);
            }
            None if succession.upgrade => {
                return Err(Error::Upgrade(
                    "--upgrade needs server.upgrade_socket, in the running Larder's configuration too".into(),
                ));
            }
            Some(path) => {
                let bound = Waiting::at(path).map_err(|error| {
                    let path = path.display();
                    Error::Upgrade(format!(
                        "cannot listen on server.upgrade_socket {path}: {error}"
                    ))
                });
                waiting = Some(bound?);
            }
            None => {}
        }
        Ok(Upgrade {
            path,
            predecessor,
            waiting,
            kept: Vec::new(),
            again: succession.again,
        })
    }

    /// The listeners of clients and of operators.
    pub fn bind(
        &mut self,
        config: &Config,
        passed: &mut Vec<Passed>,
    ) -> io::Result<(Vec<Bound>, Vec<Bound>)> {
        let clients = open(&config.listen, Use::Clients, passed)?;
        let address = std::slice::from_ref(&config.admin.address);
        let admin = open(address, Use::Admin, passed)?;
        if self.path.is_some() {
            let clients = clients.iter().map(|bound| bound.keep(Use::Clients));
            let admin = admin.iter().map(|bound| bound.keep(Use::Admin));
            self.kept = clients.chain(admin).collect::<io::Result<_>>()?;
        }
        Ok((clients, admin))
    }

    /// Keeps the cache shut while there is a predecessor.
    pub fn shut(&self, shared: &Shared) {
        if self.predecessor.is_some() {
            shared.shut();
        }
    }

    /// What SIGUSR2 does.
    pub fn succeed(&self) -> impl Fn() + Send + Sync + use<> {
        let (possible, again) = (self.path.is_some(), self.again.clone());
        move || match possible {
            true => start(&again),
            false => tracing::warn!(
                "SIGUSR2: server.upgrade_socket is not set, so nothing can be handed over"
            ),
        }
    }

    /// Takes over, as nothing can fail any more; gives what is to run beside.
    pub fn take_over(
        mut self,
        shared: Arc<Shared>,
        drain: Drain,
    ) -> Result<impl Future<Output = ()> + Send + use<>, Error> {
        if let Some(predecessor) = &mut self.predecessor {
            predecessor.ready().map_err(|error| {
                Error::Upgrade(format!(
                    "the process before this one did not let go: {error}"
                ))
            })?;
            notify(State::Successor);
        }
        Ok(self.run(shared, drain))
    }

    async fn run(self, shared: Arc<Shared>, drain: Drain) {
        if let Some(predecessor) = self.predecessor {
            tracing::info!(
                "the listening sockets are ours; answering from memory once the process before is gone"
            );
            predecessor.gone().await;
            shared.open();
            tracing::info!("the process before is gone; answering from memory");
        }
        let waiting = match (self.waiting, self.path) {
            (Some(waiting), _) => waiting,
            (None, Some(path)) => match Waiting::at(&path) {
                Ok(waiting) => waiting,
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "no successor can ask");
                    return;
                }
            },
            (None, None) => return,
        };
        tokio::select! {
            () = drain.reached(Phase::Draining) => {}
            () = hand_over(waiting, self.kept, &shared, &drain) => {}
        }
    }
}

/// Waits for successors until one has taken over; then does not return.
async fn hand_over(waiting: Waiting, kept: Vec<Passed>, shared: &Shared, drain: &Drain) {
    loop {
        let mut heir = waiting.next().await;
        tracing::info!("a successor asks for the listening sockets; the cache is shut");
        shared.shut();
        match heir.take(&kept).await {
            Ok(()) => {
                // Held for as long as the process lives: its end is what the successor waits for.
                std::mem::forget(heir);
                // The successor listens there once this process is gone; until then there is no other upgrade.
                drop(waiting);
                drop(kept);
                drain.hand_over();
                return pending().await;
            }
            Err(error) => {
                tracing::warn!(%error, "the successor did not take over; going on as before");
                shared.open();
            }
        }
    }
}

/// Starts a successor: the program that is now where this one was, with the same arguments.
fn start(again: &[OsString]) {
    let started = program().and_then(|program| Command::new(program).args(again).spawn());
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            return tracing::error!(%error, "SIGUSR2: a successor could not be started");
        }
    };
    tracing::info!(process = child.id(), "SIGUSR2: a successor starts");
    std::thread::spawn(move || match child.wait() {
        Ok(status) => tracing::error!(%status, "the successor has ended"),
        Err(error) => tracing::error!(%error, "the successor is not known any more"),
    });
}

fn program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?.into_os_string();
    let path = path.as_bytes();
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    Ok(OsString::from_vec(path.to_vec()).into())
}
