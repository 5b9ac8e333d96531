//! Listening sockets, TCP and Unix.
//!
//! * A socket is bound before anything else starts, so that a port in use is one clear error and no half-started process.
//! * Accepted sockets leave the acceptor's event loop before they are handed on: they belong to the thread that serves
//!   them, and wake no other.
//! * Errors of accept never end the listener and never spin: a process out of file descriptors waits for one.
//! * A socket file is removed only by who made it, and on start only when nobody answers behind it.
//! * A socket that somebody else opened ([`Passed`]) is taken where it is what is asked for, and is never opened twice:
//!   a second one beside it would get half of the connections.

use super::passed::{Passed, Use};
use super::{Address, Stream};
use socket2::{Domain, SockAddr, Socket, Type};
use std::fs;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

const BACKLOG: i32 = 4096;

/// How long accept rests after an error that will not go away by itself.
const REST: Duration = Duration::from_millis(50);

/// How long the same complaint is not repeated.
const SILENCE: Duration = Duration::from_secs(10);

/// What PostgreSQL gives its own socket files (`unix_socket_permissions`): the directory decides who gets in.
const SOCKET_MODE: u32 = 0o777;

/// A listening socket that no event loop has yet.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: Address,
    /// Keeps the socket file; gone with it.
    file: Option<SocketFile>,
    /// A service manager opened it, and keeps it when we end.
    managed: bool,
}

/// Opens every listener of `addresses`; a TCP name may give several.
pub fn bind(addresses: &[Address]) -> io::Result<Vec<Bound>> {
    open(addresses, Use::Clients, &mut Vec::new())
}

/// The same, of what others have opened for this use first. What a service manager opened is all that is listened on.
pub fn open(addresses: &[Address], used: Use, passed: &mut Vec<Passed>) -> io::Result<Vec<Bound>> {
    let ours = |passed: &mut Passed| passed.used == used;
    let mut offered: Vec<Passed> = passed.extract_if(.., ours).collect();
    if offered.iter().any(|passed| passed.managed) {
        return offered.into_iter().map(Bound::managed).collect();
    }
    let mut bound = Vec::new();
    for address in addresses {
        match address {
            Address::Tcp(host, port) => bind_tcp(host, *port, &mut offered, &mut bound),
            Address::Unix(path) => bind_unix(path, &mut offered).map(|b| bound.push(b)),
        }
        .map_err(|e| io::Error::new(e.kind(), told(address, &e)))?;
    }
    Ok(bound)
}

fn told(address: &Address, error: &io::Error) -> String {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "something else listens there; stop it, or choose another address with --listen or --admin"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        io::ErrorKind::PermissionDenied => {
            "this user may not; ports below 1024 and foreign directories need more rights"
        }
        io::ErrorKind::NotFound => "the directory does not exist",
        _ => return format!("cannot listen on {address}: {error}"),
    };
    format!("cannot listen on {address}: {advice}")
}

fn bind_tcp(
    host: &str,
    port: u16,
    offered: &mut Vec<Passed>,
    bound: &mut Vec<Bound>,
) -> io::Result<()> {
    let mut port = port;
    for mut address in (host, port).to_socket_addrs()? {
        // Port 0 is chosen by the kernel once, for all addresses of the name.
        address.set_port(port);
        if let Some((socket, local)) = take_tcp(offered, address) {
            port = local.port();
            bound.push(Bound::new(socket, tcp(local), None));
            continue;
        }
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking(),
            None,
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // 0.0.0.0 and :: may both be given.
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let local = socket.local_addr()?.as_socket().unwrap_or(address);
        port = local.port();
        bound.push(Bound::new(socket, tcp(local), None));
    }
    Ok(())
}

/// The one that listens there already.
fn take_tcp(offered: &mut Vec<Passed>, address: SocketAddr) -> Option<(Socket, SocketAddr)> {
    let local = |passed: &Passed| passed.socket.local_addr().ok()?.as_socket();
    let at = offered.iter().position(|passed| {
        local(passed).is_some_and(|local| {
            local.ip() == address.ip() && [local.port(), 0].contains(&address.port())
        })
    })?;
    let local = local(&offered[at])?;
    Some((offered.swap_remove(at).socket, local))
}

fn tcp(address: SocketAddr) -> Address {
    Address::Tcp(address.ip().to_string(), address.port())
}

fn bind_unix(path: &Path, offered: &mut Vec<Passed>) -> io::Result<Bound> {
    let at = offered.iter().position(|passed| passed.is_at(path));
    if let Some(at) = at
        && let Ok(file) = SocketFile::made(path)
    {
        let socket = offered.swap_remove(at).socket;
        return Ok(Bound::new(socket, Address::Unix(path.into()), Some(file)));
    }
    let socket = unix_socket(path, SOCKET_MODE)?;
    let file = SocketFile::made(path)?;
    Ok(Bound::new(socket, Address::Unix(path.into()), Some(file)))
}

/// Listens on a path that nobody answers on. Nobody gets in before the mode holds.
pub(super) fn unix_socket(path: &Path, mode: u32) -> io::Result<Socket> {
    let name = SockAddr::unix(path)?;
    remove_stale(path, &name)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&name)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Removes what a killed process left, but nothing that is not a socket and none that somebody answers.
fn remove_stale(path: &Path, name: &SockAddr) -> io::Result<()> {
    let is_socket = match fs::symlink_metadata(path) {
        Ok(meta) => meta.file_type().is_socket(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    if !is_socket {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the path exists and is not a socket",
        ));
    }
    // Non-blocking, as a full backlog would hold us; that too is somebody.
    match Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?.connect(name) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

/// A socket file that goes when this does, unless a successor has put its own there.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: Identity,
    /// A successor has the socket now, and the file with it.
    left: Arc<AtomicBool>,
}

/// Device, inode and time of making: file systems give a removed file's inode to the next one.
type Identity = (u64, u64, i64, i64);

fn identity(path: &Path) -> io::Result<Identity> {
    let meta = fs::symlink_metadata(path)?;
    Ok((meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec()))
}

impl SocketFile {
    pub(super) fn made(path: &Path) -> io::Result<SocketFile> {
        Ok(SocketFile {
            path: path.into(),
            identity: identity(path)?,
            left: Arc::default(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let left = self.left.load(Ordering::Acquire);
        if !left && identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Bound {
    fn new(socket: Socket, address: Address, file: Option<SocketFile>) -> Bound {
        Bound {
            socket,
            address,
            file,
            managed: false,
        }
    }

    /// One that a service manager opened, and whose file is the manager's.
    fn managed(passed: Passed) -> io::Result<Bound> {
        let name = passed.socket.local_addr()?;
        let address = match (name.as_socket(), name.as_pathname()) {
            (Some(local), _) => tcp(local),
            (None, Some(path)) => Address::Unix(path.into()),
            (None, None) => return Err(io::Error::other("a socket without an address was passed")),
        };
        Ok(Bound {
            managed: true,
            ..Bound::new(passed.socket, address, None)
        })
    }

    /// A second handle on the socket, to be given to a successor.
    pub fn keep(&self, used: Use) -> io::Result<Passed> {
        Ok(Passed {
            socket: self.socket.try_clone()?,
            used,
            managed: self.managed,
            left: self.file.as_ref().map(|file| file.left.clone()),
        })
    }

    /// Where it listens, with the port the kernel chose.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Gives the socket to the event loop of the calling task.
    pub fn listen(self) -> io::Result<Listener> {
        match self.address {
            Address::Unix(_) => Ok(Listener::Unix(
                UnixListener::from_std(self.socket.into())?,
                self.file,
            )),
            Address::Tcp(..) => Ok(Listener::Tcp(TcpListener::from_std(self.socket.into())?)),
        }
    }
}

/// A listening socket in an event loop.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// Over a Unix socket, with its file where it is ours.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// The next connection, however long it takes.
    pub async fn accept(&self) -> Accepted {
        let mut told: Option<Instant> = None;
        loop {
            let error = match self.accept_one().await {
                Ok(accepted) => return accepted,
                Err(error) => error,
            };
            match error.kind() {
                // The client was gone before we looked.
                io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::Interrupted => {}
                _ => {
                    if told.is_none_or(|t| t.elapsed() > SILENCE) {
                        tracing::warn!(%error, "cannot accept a connection; trying again");
                        told = Some(Instant::now());
                    }
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn accept_one(&self) -> io::Result<Accepted> {
        match self {
            Listener::Tcp(listener) => Ok(Accepted::Tcp(listener.accept().await?.0.into_std()?)),
            Listener::Unix(listener, _) => {
                Ok(Accepted::Unix(listener.accept().await?.0.into_std()?))
            }
        }
    }
}

/// A connection that no event loop has.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP.
    Tcp(std::net::TcpStream),
    /// Over a Unix socket.
    Unix(std::os::unix::net::UnixStream),
}

impl Accepted {
    /// Gives it to the event loop of the calling thread.
    pub fn into_stream(self) -> io::Result<Stream> {
        match self {
            Accepted::Tcp(socket) => Stream::tcp(TcpStream::from_std(socket)?),
            Accepted::Unix(socket) => Ok(Stream::Unix(UnixStream::from_std(socket)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dial;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn directory(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("larder-listen-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    async fn echoes(address: &Address, listener: &Listener) {
        let (client, accepted) =
            tokio::join!(dial(address, Duration::from_secs(5)), listener.accept());
        let (mut client, mut server) = (client.unwrap(), accepted.into_stream().unwrap());
        client.write_all(b"ping").await.unwrap();
        let mut buffer = [0; 4];
        server.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"ping");
    }

    #[tokio::test]
    async fn tcp_and_unix_accept() {
        let directory = directory("both");
        let unix = Address::unix(&directory, 5432);
        let bound = bind(&["127.0.0.1:0".parse().unwrap(), unix.clone()]).unwrap();
        assert_ne!(bound[0].address().port(), Some(0));
        for bound in bound {
            let address = bound.address().clone();
            echoes(&address, &bound.listen().unwrap()).await;
        }
        assert!(
            !directory.join(".s.PGSQL.5432").exists(),
            "the socket file goes with its listener"
        );
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn a_taken_address_is_told() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let error = bind(&[first[0].address().clone()]).unwrap_err().to_string();
        assert!(error.contains("something else listens there"), "{error}");
        let directory = directory("taken");
        let unix = Address::unix(&directory, 1);
        let _first = bind(std::slice::from_ref(&unix)).unwrap();
        let error = bind(&[unix]).unwrap_err().to_string();
        assert!(error.contains("something else listens there"), "{error}");
        drop(_first);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn stale_sockets_go_other_files_stay() {
        let directory = directory("stale");
        let path = directory.join(".s.PGSQL.1");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = bind(&[Address::Unix(path.clone())]).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            SOCKET_MODE
        );
        // A successor's socket is not ours to remove.
        fs::remove_file(&path).unwrap();
        let _successor = std::os::unix::net::UnixListener::bind(&path).unwrap();
        drop(bound);
        assert!(path.exists());
        let plain = directory.join("plain");
        fs::write(&plain, "mine").unwrap();
        assert!(bind(&[Address::Unix(plain.clone())]).is_err());
        assert_eq!(fs::read_to_string(&plain).unwrap(), "mine");
        fs::remove_dir_all(directory).unwrap();
    }
}
