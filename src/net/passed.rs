//! Listening sockets that somebody else opened: a service manager, or the process before this one.
//!
//! * `LISTEN_FDS` counts only where `LISTEN_PID` names this process: a child of who was meant inherits the words.
//! * What was passed and is not a listening stream socket stops the start: a wrong unit file must not give a Larder that
//!   listens on less than it was given.
//! * Sockets named `admin` are the operators'; all others the clients'.

use listenfd::ListenFd;
use socket2::{Socket, Type};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The name of the operators' sockets (`FileDescriptorName=` of systemd).
const ADMIN: &str = "admin";

/// Who connects there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Clients.
    Clients,
    /// Operators.
    Admin,
}

/// A listening socket on its way from one process to another.
#[derive(Debug)]
pub struct Passed {
    pub(super) socket: Socket,
    pub(super) used: Use,
    /// Whether a service manager opened it: then it is what is listened on, whatever the configuration says.
    pub(super) managed: bool,
    /// Tells the keeper of its file that a successor has it.
    pub(super) left: Option<Arc<AtomicBool>>,
}

impl Passed {
    /// One that came from another process.
    pub(super) fn new(socket: Socket, used: Use, managed: bool) -> io::Result<Passed> {
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::other(
                "a passed socket is no listening stream socket",
            ));
        }
        Ok(Passed {
            socket,
            used,
            managed,
            left: None,
        })
    }

    /// Whether it listens at that path.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let name = self.socket.local_addr();
        name.is_ok_and(|name| name.as_pathname() == Some(path))
    }

    /// A successor has it: its file stays when we end.
    pub(super) fn leave(&self) {
        if let Some(left) = &self.left {
            left.store(true, Ordering::Release);
        }
    }
}

/// What a service manager opened for this process (`LISTEN_FDS`). To be called before there are threads.
pub fn managed() -> io::Result<Vec<Passed>> {
    let of_ours =
        std::env::var("LISTEN_PID").is_ok_and(|pid| pid == std::process::id().to_string());
    if !of_ours {
        return Ok(Vec::new());
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut descriptors = ListenFd::from_env();
    (0..descriptors.len())
        .map(|at| {
            let used = match names.next() {
                Some(ADMIN) => Use::Admin,
                _ => Use::Clients,
            };
            Passed::new(take(&mut descriptors, at)?, used, true)
        })
        .collect()
}

fn take(descriptors: &mut ListenFd, at: usize) -> io::Result<Socket> {
    // A socket that is not of the first kind stays to be taken as the second.
    let socket = match descriptors.take_tcp_listener(at) {
        Ok(listener) => listener.map(Socket::from),
        Err(_) => descriptors.take_unix_listener(at)?.map(Socket::from),
    };
    socket.ok_or_else(|| io::Error::other("a passed socket was taken twice"))
}
