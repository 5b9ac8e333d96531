//! What is told to the service manager: sd_notify's words over `NOTIFY_SOCKET`.
//!
//! * Nobody is told where nobody asked: without the variable each call is a look at the environment.
//! * A manager that does not listen is no reason to stop: the message is lost, and that is logged.

use rustix::time::{ClockId, clock_gettime};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

const VARIABLE: &str = "NOTIFY_SOCKET";

/// Where the process is, as its manager is to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Serving, or serving again after a reload.
    Ready,
    /// The configuration is being read.
    Reloading,
    /// Draining.
    Stopping,
    /// This process has taken over from the one the manager knows.
    Successor,
}

/// Tells the manager, if there is one.
pub fn notify(state: State) {
    let Some(path) = std::env::var_os(VARIABLE) else {
        return;
    };
    if let Err(error) = send(&path, &words(state)) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

fn words(state: State) -> String {
    match state {
        State::Ready => "READY=1\nSTATUS=serving".into(),
        State::Reloading => {
            // Type=notify-reload wants to know that the answer to READY is not an older one.
            let now = clock_gettime(ClockId::Monotonic);
            let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
            format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the configuration")
        }
        State::Stopping => "STOPPING=1\nSTATUS=draining".into(),
        State::Successor => format!("MAINPID={}\nSTATUS=taking over", std::process::id()),
    }
}

/// `@name` is a name in the kernel's own space, anything else a path.
fn send(name: &OsString, words: &str) -> io::Result<()> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(words.as_bytes(), &address)
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_are_reached() {
        let path = std::env::temp_dir().join(format!("larder-notify-{}", std::process::id()));
        let abstract_name = format!("larder-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let sockets = [
            UnixDatagram::bind(&path).unwrap(),
            UnixDatagram::bind_addr(&address).unwrap(),
        ];
        let names = [
            path.clone().into_os_string(),
            format!("@{abstract_name}").into(),
        ];
        for (socket, name) in sockets.iter().zip(&names) {
            send(name, &words(State::Ready)).unwrap();
            let mut buffer = [0; 64];
            let count = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..count], b"READY=1\nSTATUS=serving");
        }
        std::fs::remove_file(path).unwrap();
        assert!(words(State::Reloading).starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }
}
