//! A relay between Larder and PostgreSQL that breaks the connection in chosen ways.
//!
//! A fault can be set and taken back while connections run; counters of bytes start when it is set. Two threads a
//! connection, woken at least every few milliseconds, so that a fault set now holds now.
//! Deliberately not here: any reading of the protocol; the relay cuts where it is told, in bytes.
#![allow(dead_code)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const TICK: Duration = Duration::from_millis(5);

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Toward {
    Server,
    Client,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// After so many more bytes in one direction, both sockets are closed.
    CutAfter(Toward, usize),
    /// Every read waits before it is passed on.
    Delay(Duration),
    /// One byte a segment.
    Drip,
    /// One direction is not read any more: the sender's socket fills up.
    Hold(Toward),
    /// New connections are refused (the port is closed); those that exist are cut.
    Refuse,
    /// New connections are accepted and closed at once; those that exist are cut.
    AcceptAndClose,
    /// The next bytes toward the client are these, then silence.
    Garbage(Vec<u8>),
}

/// Where one connection is cut, and how many bytes have passed on it.
#[derive(Clone)]
pub struct Cut {
    way: Toward,
    after: usize,
    passed: [Arc<AtomicUsize>; 2],
}

impl Cut {
    /// Bytes that have passed in a direction.
    pub fn passed(&self, toward: Toward) -> usize {
        self.passed[toward as usize].load(Ordering::SeqCst)
    }
}

struct Shared {
    target: AtomicU16,
    /// What happens to the next connection alone.
    next: Mutex<Option<Cut>>,
    fault: Mutex<(Fault, usize)>,
    /// Bytes in each direction since the fault was set.
    passed: [AtomicUsize; 2],
    accepted: AtomicUsize,
    sockets: Mutex<Vec<TcpStream>>,
    stop: AtomicBool,
}

/// The relay; it ends when dropped.
pub struct Relay {
    /// Where to connect instead of the server.
    pub port: u16,
    shared: Arc<Shared>,
    listener: Option<thread::JoinHandle<()>>,
}

impl Relay {
    /// A relay to 127.0.0.1:`target`, without fault.
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(target),
            next: Mutex::default(),
            fault: Mutex::new((Fault::None, 0)),
            passed: [AtomicUsize::new(0), AtomicUsize::new(0)],
            accepted: AtomicUsize::new(0),
            sockets: Mutex::default(),
            stop: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let handle = thread::spawn(move || accept(listener, port, &for_thread));
        Self {
            port,
            shared,
            listener: Some(handle),
        }
    }

    /// From now on this goes wrong.
    pub fn set(&self, fault: Fault) {
        let mut current = self.shared.fault.lock().unwrap();
        self.shared
            .passed
            .iter()
            .for_each(|p| p.store(0, Ordering::SeqCst));
        let cut = matches!(fault, Fault::Refuse | Fault::AcceptAndClose);
        *current = (fault, current.1 + 1);
        drop(current);
        if cut {
            self.cut();
        }
        thread::sleep(TICK * 3);
    }

    /// New connections go to another server from now on, as behind a name or an address that moves; those that exist stay.
    pub fn lead(&self, target: u16) {
        self.shared.target.store(target, Ordering::SeqCst);
    }

    /// The next connection, and no other, is cut after so many bytes in one direction.
    pub fn cut_next(&self, way: Toward, after: usize) -> Cut {
        let cut = Cut {
            way,
            after,
            passed: Default::default(),
        };
        *self.shared.next.lock().unwrap() = Some(cut.clone());
        cut
    }

    /// Those that exist are cut.
    pub fn cut(&self) {
        let sockets = std::mem::take(&mut *self.shared.sockets.lock().unwrap());
        sockets
            .iter()
            .for_each(|s| drop(s.shutdown(Shutdown::Both)));
    }

    /// Nothing goes wrong any more. Connections that were cut stay cut.
    pub fn heal(&self) {
        self.set(Fault::None);
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Bytes passed in a direction since the last `set`.
    pub fn passed(&self, toward: Toward) -> usize {
        self.shared.passed[toward as usize].load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(handle) = self.listener.take() {
            let _ = handle.join();
        }
    }
}

impl Shared {
    fn fault(&self) -> (Fault, usize) {
        self.fault.lock().unwrap().clone()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

fn accept(listener: TcpListener, port: u16, shared: &Arc<Shared>) {
    listener
        .set_nonblocking(true)
        .expect("a non-blocking listener");
    let mut listener = Some(listener);
    while !shared.stopped() {
        let (fault, _) = shared.fault();
        if fault == Fault::Refuse {
            listener = None;
        } else if listener.is_none() {
            listener = TcpListener::bind(("127.0.0.1", port)).ok();
            if let Some(l) = &listener {
                l.set_nonblocking(true).expect("a non-blocking listener");
            }
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) if fault != Fault::AcceptAndClose => {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                let target = shared.target.load(Ordering::SeqCst);
                if let Ok(server) = TcpStream::connect(("127.0.0.1", target)) {
                    let both = [client.try_clone(), server.try_clone()];
                    shared
                        .sockets
                        .lock()
                        .unwrap()
                        .extend(both.into_iter().flatten());
                    let cut = shared.next.lock().unwrap().take();
                    pump(Toward::Server, &client, &server, shared, cut.as_ref());
                    pump(Toward::Client, &server, &client, shared, cut.as_ref());
                }
            }
            Some(Ok(_)) => {
                shared.accepted.fetch_add(1, Ordering::SeqCst);
            }
            _ => thread::sleep(TICK),
        }
    }
}

fn pump(toward: Toward, from: &TcpStream, to: &TcpStream, shared: &Arc<Shared>, cut: Option<&Cut>) {
    let (from, to) = (
        from.try_clone().expect("a socket"),
        to.try_clone().expect("a socket"),
    );
    let _ = from.set_nonblocking(false);
    let _ = from.set_read_timeout(Some(TICK));
    let _ = to.set_nodelay(true);
    let (shared, cut) = (Arc::clone(shared), cut.cloned());
    thread::spawn(move || {
        carry(toward, &from, &to, &shared, cut.as_ref());
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Carries bytes one way until either socket ends or the fault says so.
fn carry(
    toward: Toward,
    mut from: &TcpStream,
    mut to: &TcpStream,
    shared: &Shared,
    cut: Option<&Cut>,
) {
    let mut buffer = vec![0u8; 65_536];
    let mut spoken = None;
    while !shared.stopped() {
        let (fault, epoch) = shared.fault();
        match &fault {
            Fault::Refuse | Fault::AcceptAndClose => return,
            Fault::CutAfter(way, 0) if *way == toward => return,
            Fault::Hold(way) if *way == toward => {
                thread::sleep(TICK);
                continue;
            }
            Fault::Garbage(bytes) if toward == Toward::Client && spoken != Some(epoch) => {
                let _ = to.write_all(bytes);
                spoken = Some(epoch);
            }
            _ => {}
        }
        let n = match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(_) => return,
        };
        if let Some(cut) = cut {
            let before = cut.passed[toward as usize].fetch_add(n, Ordering::SeqCst);
            if cut.way == toward && before + n >= cut.after {
                let _ = to.write_all(&buffer[..cut.after.saturating_sub(before)]);
                return;
            }
        }
        if !pass(toward, &buffer[..n], to, shared) {
            return;
        }
    }
}

/// Passes one read on as the fault of this moment says; false ends the connection.
fn pass(toward: Toward, bytes: &[u8], mut to: &TcpStream, shared: &Shared) -> bool {
    let before = shared.passed[toward as usize].fetch_add(bytes.len(), Ordering::SeqCst);
    let mut fault = shared.fault().0;
    // Bytes read just before a Hold was set belong behind it.
    while fault == Fault::Hold(toward) && !shared.stopped() {
        thread::sleep(TICK);
        fault = shared.fault().0;
    }
    match fault {
        Fault::CutAfter(way, limit) if way == toward && before + bytes.len() >= limit => {
            let _ = to.write_all(&bytes[..limit.saturating_sub(before).min(bytes.len())]);
            false
        }
        Fault::Delay(time) => {
            thread::sleep(time);
            to.write_all(bytes).is_ok()
        }
        Fault::Drip => bytes.iter().all(|byte| to.write_all(&[*byte]).is_ok()),
        Fault::Garbage(_) if toward == Toward::Client => true,
        _ => to.write_all(bytes).is_ok(),
    }
}
