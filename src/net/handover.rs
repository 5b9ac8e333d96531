//! Listening sockets handed from a process to its successor over a Unix socket.
//!
//! * Only the same user (or root) is answered: whoever gets the sockets gets the clients, and their passwords.
//! * The sockets go only to a successor whose process can serve; one that fails before it says so changes nothing, as it
//!   has let nobody in.
//! * That the predecessor is gone is what the kernel says, not the predecessor: the conversation's end is held open for
//!   as long as the process lives. A word could be said too early, and a crash says none.
//!
//! What has to be shut meanwhile is `app`'s to know.

use super::listen::{SocketFile, unix_socket};
use super::passed::{Passed, Use};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt::socket_peercred,
};
use rustix::process::geteuid;
use socket2::Socket;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// What a successor says first; another version of the conversation says something else.
const ASKS: &[u8] = b"larder-upgrade 1\n";
/// What it says when nothing can fail any more but the machine.
const READY: &[u8] = b"ready\n";

/// What the predecessor answers: it lets nobody in from then on.
const YOURS: &[u8] = b"yours\n";

/// Sockets in one message; the kernel takes 253.
const MOST: usize = 128;

/// How long either side waits for what the other only has to write.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a successor may take to start: it may have to wait for a password command.
const START: Duration = Duration::from_secs(60);

/// The socket file is for its user alone.
const MODE: u32 = 0o600;

/// How a socket is named in the message: the case says who opened it.
fn letter(passed: &Passed) -> u8 {
    match (passed.used, passed.managed) {
        (Use::Clients, false) => b'c',
        (Use::Clients, true) => b'C',
        (Use::Admin, false) => b'a',
        (Use::Admin, true) => b'A',
    }
}

fn passed(letter: u8, descriptor: OwnedFd) -> io::Result<Passed> {
    let used = match letter.to_ascii_lowercase() {
        b'c' => Use::Clients,
        b'a' => Use::Admin,
        _ => {
            return Err(io::Error::other(
                "it hands over what this version does not know",
            ));
        }
    };
    let socket = Socket::from(descriptor);
    Passed::new(socket, used, letter.is_ascii_uppercase())
}

/// Whether the other side is us, or root.
fn is_ours(socket: impl AsFd) -> bool {
    socket_peercred(socket).is_ok_and(|peer| peer.uid.is_root() || peer.uid == geteuid())
}

/// The process before this one.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Asks who listens at `path` for the sockets.
    pub fn ask(path: &Path) -> io::Result<(Predecessor, Vec<Passed>)> {
        let mut stream = UnixStream::connect(path)?;
        if !is_ours(&stream) {
            return Err(io::Error::other("another user's process listens there"));
        }
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(ASKS)?;
        let sockets = receive(&stream)?;
        Ok((Predecessor(stream), sockets))
    }

    /// Says that it may let go. From when it has confirmed that, clients are this process's; if it does not, they are not.
    pub fn ready(&mut self) -> io::Result<()> {
        self.0.write_all(READY)?;
        let mut said = [0; YOURS.len()];
        self.0.read_exact(&mut said)?;
        if said != YOURS {
            return Err(io::Error::other("it said something else"));
        }
        Ok(())
    }

    /// Waits until the process is no more.
    pub async fn gone(self) {
        let Predecessor(stream) = self;
        let waiting = stream.set_nonblocking(true);
        let stream = waiting.and_then(|()| tokio::net::UnixStream::from_std(stream));
        match stream {
            // It says no more; whatever comes instead of the end is not the end.
            Ok(mut stream) => while matches!(stream.read(&mut [0; 64]).await, Ok(1..)) {},
            Err(error) => {
                tracing::error!(%error, "cannot tell when the process before this one ends: the cache stays shut");
                std::future::pending().await
            }
        }
    }
}

fn receive(stream: &UnixStream) -> io::Result<Vec<Passed>> {
    let mut letters = [0; MOST + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut letters)];
    let count = recvmsg(stream, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if count == 0 || count != descriptors.len() + 1 {
        return Err(io::Error::other("it does not hand its sockets over"));
    }
    letters
        .into_iter()
        .zip(descriptors)
        .map(|(letter, descriptor)| passed(letter, descriptor))
        .collect()
}

/// Where successors ask.
#[derive(Debug)]
pub struct Waiting {
    listener: std::os::unix::net::UnixListener,
    _file: SocketFile,
}

/// A successor that has asked.
#[derive(Debug)]
pub struct Heir(tokio::net::UnixStream);

impl Waiting {
    /// Listens at `path`.
    pub fn at(path: &Path) -> io::Result<Waiting> {
        let socket = unix_socket(path, MODE)?;
        Ok(Waiting {
            _file: SocketFile::made(path)?,
            listener: socket.into(),
        })
    }

    async fn accept(&self) -> io::Result<tokio::net::UnixStream> {
        let listener = tokio::net::UnixListener::from_std(self.listener.try_clone()?)?;
        Ok(listener.accept().await?.0)
    }

    /// The next who asks and may.
    pub async fn next(&self) -> Heir {
        loop {
            let mut stream = match self.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a successor could not be heard");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let mut said = [0; ASKS.len()];
            let heard = tokio::time::timeout(PATIENCE, stream.read_exact(&mut said)).await;
            if is_ours(&stream) && matches!(heard, Ok(Ok(_))) && said == ASKS {
                return Heir(stream);
            }
            tracing::warn!("something that is no successor asked for the listening sockets");
        }
    }
}

impl Heir {
    /// Hands the sockets over, waits until it says that it is ready, and confirms that. When this is dropped, the successor
    /// takes this process for gone.
    pub async fn take(&mut self, sockets: &[Passed]) -> io::Result<()> {
        if sockets.len() > MOST {
            return Err(io::Error::other("there are too many to hand over"));
        }
        let mut letters: Vec<u8> = sockets.iter().map(letter).collect();
        letters.push(b'\n');
        let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|s| s.socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let slices = [IoSlice::new(&letters)];
        sendmsg(&self.0, &slices, &mut control, SendFlags::NOSIGNAL)?;
        let mut said = [0; READY.len()];
        tokio::time::timeout(START, self.0.read_exact(&mut said)).await??;
        if said != READY {
            return Err(io::Error::other(
                "it said something else than that it is ready",
            ));
        }
        self.0.write_all(YOURS).await?;
        sockets.iter().for_each(Passed::leave);
        Ok(())
    }
}
