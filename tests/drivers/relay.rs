//! A recording relay: what a driver and its server say to each other, message by message.
//!
//! * It forwards bytes as they come and keeps a copy, so it cannot change what it watches.
//! * A message is recorded before it is forwarded: what a driver has answered to is in the record.
//! * Behind an accepted SSLRequest it sees nothing: then there is nothing to compare, and the record says so.

use crate::wireclient::Frame;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// What one connection's two sides said.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Everything the server said.
    pub backend: Vec<Frame>,
    /// Whether it went on in TLS.
    pub opaque: bool,
}

#[derive(Default)]
struct Log {
    connections: Vec<Record>,
    /// What the driver has sent since it was last asked, in words.
    sent: Vec<String>,
}

/// A listening relay; it ends with the test process.
pub struct Relay {
    pub port: u16,
    log: Arc<Mutex<Log>>,
}

impl Relay {
    /// Listens on a port of its own and forwards to another.
    pub fn to(server: u16) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Arc::clone(&log);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(upstream) = TcpStream::connect(("127.0.0.1", server)) else {
                    continue;
                };
                let number = {
                    let mut log = shared.lock().unwrap();
                    log.connections.push(Record::default());
                    log.connections.len() - 1
                };
                connect(client, upstream, number, &shared);
            }
        });
        Relay { port, log }
    }

    /// What the driver has sent since the last call, on all connections.
    pub fn sent(&self) -> Vec<String> {
        std::mem::take(&mut self.log.lock().unwrap().sent)
    }

    /// What came back, by connection in the order they were made.
    pub fn records(&self) -> Vec<Record> {
        self.log.lock().unwrap().connections.clone()
    }
}

/// One connection's state that both directions know.
#[derive(Default)]
struct Shared {
    /// Requests for encryption whose one-byte answer is still to come.
    asked: AtomicU32,
    /// Encrypted: nothing more to read.
    opaque: AtomicBool,
}

fn connect(client: TcpStream, upstream: TcpStream, number: usize, log: &Arc<Mutex<Log>>) {
    let shared = Arc::new(Shared::default());
    for stream in [&client, &upstream] {
        stream.set_nodelay(true).expect("a socket");
    }
    let (from, to) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
    let (state, its_log) = (Arc::clone(&shared), Arc::clone(log));
    let mut started = false;
    std::thread::spawn(move || {
        pump(from, to, |buffer| {
            while !state.opaque.load(Ordering::SeqCst) {
                let Some(taken) = frontend(buffer, &mut started, &state, &its_log) else {
                    return;
                };
                buffer.drain(..taken);
            }
        });
    });
    let log = Arc::clone(log);
    std::thread::spawn(move || {
        pump(upstream, client, |buffer| {
            while !shared.opaque.load(Ordering::SeqCst) {
                let Some(taken) = backend(buffer, number, &shared, &log) else {
                    return;
                };
                buffer.drain(..taken);
            }
        });
    });
}

/// Forwards until one side ends, and shows each piece before it goes on.
fn pump(mut from: TcpStream, mut to: TcpStream, mut show: impl FnMut(&mut Vec<u8>)) {
    let (mut buffer, mut piece) = (Vec::new(), vec![0; 65_536]);
    while let Ok(read) = from.read(&mut piece) {
        if read == 0 {
            break;
        }
        buffer.extend_from_slice(&piece[..read]);
        show(&mut buffer);
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    let _gone = to.shutdown(Shutdown::Write);
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?))
}

/// The first message's length, its words recorded.
fn frontend(buffer: &[u8], started: &mut bool, state: &Shared, log: &Mutex<Log>) -> Option<usize> {
    if !*started {
        let length = number(buffer)? as usize;
        match number(buffer.get(4..length)?)? {
            SSL_REQUEST | GSSENC_REQUEST => {
                state.asked.fetch_add(1, Ordering::SeqCst);
            }
            _ => *started = true,
        }
        return Some(length);
    }
    let length = number(buffer.get(1..)?)? as usize;
    let body = buffer.get(5..1 + length)?;
    let words = words(buffer[0], body);
    log.lock().unwrap().sent.push(words);
    Some(1 + length)
}

/// The first message's length, itself recorded.
fn backend(buffer: &[u8], number_: usize, state: &Shared, log: &Mutex<Log>) -> Option<usize> {
    let tag = *buffer.first()?;
    let mut log = log.lock().unwrap();
    let record = &mut log.connections[number_];
    if state.asked.load(Ordering::SeqCst) > 0 {
        state.asked.fetch_sub(1, Ordering::SeqCst);
        if tag != b'N' {
            state.opaque.store(true, Ordering::SeqCst);
            record.opaque = true;
        }
        return Some(1);
    }
    let length = number(&buffer[1..])? as usize;
    let body = buffer.get(5..1 + length)?.to_vec();
    record.backend.push(Frame { tag, body });
    Some(1 + length)
}

/// A message of a driver in short: its type, whether it is named, its statement's first word, its row limit.
fn words(tag: u8, body: &[u8]) -> String {
    let letter = tag as char;
    let mut strings = body.split(|b| *b == 0).map(String::from_utf8_lossy);
    let mut next = || strings.next().unwrap_or_default().into_owned();
    match tag {
        b'Q' => format!("Q({})", keyword(&next())),
        b'P' => {
            let name = next();
            format!("P{}({})", star(&name), keyword(&next()))
        }
        b'B' => {
            let portal = next();
            format!("B{}{}", star(&portal), star(&next()))
        }
        b'E' => {
            let name = next();
            match number(&body[name.len() + 1..]) {
                Some(0) | None => format!("E{}", star(&name)),
                Some(limit) => format!("E{}[{limit}]", star(&name)),
            }
        }
        b'D' | b'C' => {
            let kind = body.first().copied().unwrap_or(b'?') as char;
            let named = body.len() > 2;
            format!("{letter}{kind}{}", if named { "*" } else { "" })
        }
        _ => letter.to_string(),
    }
}

fn star(name: &str) -> &'static str {
    if name.is_empty() { "" } else { "*" }
}

fn keyword(sql: &str) -> String {
    let words = sql.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let word = words.into_iter().find(|w| !w.is_empty());
    word.unwrap_or_default().to_ascii_uppercase()
}
