//! A small blocking PostgreSQL client that speaks in frames: the oracle the tests hold Larder against.
//!
//! It shares no code with Larder: a mistake in Larder's own reading of the protocol cannot hide in the test.
//! Deliberately not here: TLS, and any interpretation of values beyond text.
#![allow(dead_code)]

use postgres_protocol::authentication::{md5_hash, sasl};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a test waits for bytes before it calls them lost.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One message: its type byte and what follows the length.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Frame {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = &self.body[..self.body.len().min(160)];
        write!(f, "{}\"{}\"", self.tag as char, shown.escape_ascii())?;
        if shown.len() < self.body.len() {
            write!(f, "…({} bytes)", self.body.len())?;
        }
        Ok(())
    }
}

/// The frames of one exchange, in order.
pub type Transcript = Vec<Frame>;

/// What transcripts can be asked.
pub trait Answered {
    /// The type bytes as a word: `"12TDCZ"`.
    fn tags(&self) -> String;
    /// Each DataRow's columns as text, `None` for NULL.
    fn rows(&self) -> Vec<Vec<Option<String>>>;
    /// The first column of the first row.
    fn value(&self) -> Option<String>;
    /// The SQLSTATE of the first ErrorResponse.
    fn sqlstate(&self) -> Option<String>;
    /// The message of the first ErrorResponse.
    fn error(&self) -> Option<String>;
    /// The texts of the CommandComplete messages.
    fn complete(&self) -> Vec<String>;
}

impl Answered for [Frame] {
    fn tags(&self) -> String {
        self.iter().map(|f| f.tag as char).collect()
    }

    fn rows(&self) -> Vec<Vec<Option<String>>> {
        self.iter()
            .filter(|f| f.tag == b'D')
            .map(|f| columns(&f.body))
            .collect()
    }

    fn value(&self) -> Option<String> {
        self.rows().into_iter().next()?.into_iter().next()?
    }

    fn sqlstate(&self) -> Option<String> {
        self.iter()
            .find(|f| f.tag == b'E')
            .and_then(|f| field(&f.body, b'C'))
    }

    fn error(&self) -> Option<String> {
        self.iter()
            .find(|f| f.tag == b'E')
            .and_then(|f| field(&f.body, b'M'))
    }

    fn complete(&self) -> Vec<String> {
        self.iter()
            .filter(|f| f.tag == b'C')
            .map(|f| cstr(&f.body))
            .collect()
    }
}

fn cstr(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// One field of an ErrorResponse or NoticeResponse.
pub fn field(body: &[u8], wanted: u8) -> Option<String> {
    body.split(|b| *b == 0)
        .find(|f| f.first() == Some(&wanted))
        .map(|f| String::from_utf8_lossy(&f[1..]).into_owned())
}

fn columns(body: &[u8]) -> Vec<Option<String>> {
    let n = u16::from_be_bytes([body[0], body[1]]);
    let mut at = 2;
    (0..n)
        .map(|_| {
            let len = i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
            at += 4;
            (len >= 0).then(|| {
                let text = String::from_utf8_lossy(&body[at..at + len as usize]).into_owned();
                at += len as usize;
                text
            })
        })
        .collect()
}

/// Messages to send, built by hand.
#[derive(Clone, Default)]
pub struct Batch(pub Vec<u8>);

/// A Bind's three lists. Parameters are sent as they are: text unless `formats` says otherwise.
#[derive(Clone, Copy, Default)]
pub struct Bind<'a> {
    pub portal: &'a str,
    pub statement: &'a str,
    pub formats: &'a [i16],
    pub params: &'a [Option<&'a [u8]>],
    pub results: &'a [i16],
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    /// Any message at all.
    pub fn raw(mut self, tag: u8, body: &[u8]) -> Self {
        self.0.push(tag);
        self.0
            .extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
        self.0.extend_from_slice(body);
        self
    }

    /// Bytes that need not be a message.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn query(self, sql: &str) -> Self {
        self.raw(b'Q', &z(sql))
    }

    pub fn parse(self, name: &str, sql: &str, types: &[u32]) -> Self {
        let mut body = [z(name), z(sql)].concat();
        body.extend_from_slice(&(types.len() as u16).to_be_bytes());
        types
            .iter()
            .for_each(|t| body.extend_from_slice(&t.to_be_bytes()));
        self.raw(b'P', &body)
    }

    pub fn bind(self, bind: Bind<'_>) -> Self {
        let mut body = [z(bind.portal), z(bind.statement)].concat();
        let codes = |body: &mut Vec<u8>, list: &[i16]| {
            body.extend_from_slice(&(list.len() as u16).to_be_bytes());
            list.iter()
                .for_each(|f| body.extend_from_slice(&f.to_be_bytes()));
        };
        codes(&mut body, bind.formats);
        body.extend_from_slice(&(bind.params.len() as u16).to_be_bytes());
        for param in bind.params {
            match param {
                None => body.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(bytes) => {
                    body.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
                    body.extend_from_slice(bytes);
                }
            }
        }
        codes(&mut body, bind.results);
        self.raw(b'B', &body)
    }

    /// Bind of text parameters, text results, unnamed portal.
    pub fn bind_text(self, statement: &str, params: &[&str]) -> Self {
        let params: Vec<_> = params.iter().map(|p| Some(p.as_bytes())).collect();
        self.bind(Bind {
            statement,
            params: &params,
            ..Bind::default()
        })
    }

    pub fn describe_statement(self, name: &str) -> Self {
        self.raw(b'D', &[b"S".as_slice(), &z(name)].concat())
    }

    pub fn describe_portal(self, name: &str) -> Self {
        self.raw(b'D', &[b"P".as_slice(), &z(name)].concat())
    }

    pub fn execute(self, portal: &str, max_rows: i32) -> Self {
        self.raw(b'E', &[z(portal), max_rows.to_be_bytes().to_vec()].concat())
    }

    pub fn close_statement(self, name: &str) -> Self {
        self.raw(b'C', &[b"S".as_slice(), &z(name)].concat())
    }

    pub fn close_portal(self, name: &str) -> Self {
        self.raw(b'C', &[b"P".as_slice(), &z(name)].concat())
    }

    pub fn sync(self) -> Self {
        self.raw(b'S', b"")
    }

    pub fn flush(self) -> Self {
        self.raw(b'H', b"")
    }

    pub fn copy_data(self, bytes: &[u8]) -> Self {
        self.raw(b'd', bytes)
    }

    pub fn copy_done(self) -> Self {
        self.raw(b'c', b"")
    }

    pub fn copy_fail(self, why: &str) -> Self {
        self.raw(b'f', &z(why))
    }

    /// FunctionCall with binary arguments and a binary result.
    pub fn function_call(self, oid: u32, args: &[&[u8]]) -> Self {
        let mut body = oid.to_be_bytes().to_vec();
        body.extend_from_slice(&[0, 1, 0, 1]);
        body.extend_from_slice(&(args.len() as u16).to_be_bytes());
        for arg in args {
            body.extend_from_slice(&(arg.len() as i32).to_be_bytes());
            body.extend_from_slice(arg);
        }
        body.extend_from_slice(&[0, 1]);
        self.raw(b'F', &body)
    }

    pub fn terminate(self) -> Self {
        self.raw(b'X', b"")
    }

    /// Parse, Bind, Describe, Execute of the unnamed statement, without Sync.
    pub fn unnamed(self, sql: &str, params: &[&str]) -> Self {
        self.parse("", sql, &[])
            .bind_text("", params)
            .describe_portal("")
            .execute("", 0)
    }
}

fn z(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// A socket of either kind.
pub enum Sock {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Sock {
    fn timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Sock::Tcp(s) => s.set_read_timeout(Some(timeout)),
            Sock::Unix(s) => s.set_read_timeout(Some(timeout)),
        }
    }

    pub fn shutdown(&self, how: Shutdown) {
        let _ = match self {
            Sock::Tcp(s) => s.shutdown(how),
            Sock::Unix(s) => s.shutdown(how),
        };
    }
}

impl Read for Sock {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Sock::Tcp(s) => s.read(buf),
            Sock::Unix(s) => s.read(buf),
        }
    }
}

impl Write for Sock {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Sock::Tcp(s) => s.write(buf),
            Sock::Unix(s) => s.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Who connects, where, with what startup parameters.
#[derive(Clone)]
pub struct Login {
    port: u16,
    socket: Option<std::path::PathBuf>,
    password: Option<String>,
    parameters: Vec<(String, String)>,
    minor: u16,
}

impl Login {
    /// To 127.0.0.1 on `port`.
    pub fn new(port: u16, user: &str, database: &str) -> Self {
        let parameters = vec![
            ("user".into(), user.into()),
            ("database".into(), database.into()),
        ];
        Self {
            port,
            socket: None,
            password: None,
            parameters,
            minor: 0,
        }
    }

    /// By protocol 3.`minor`.
    pub fn minor(mut self, minor: u16) -> Self {
        self.minor = minor;
        self
    }

    /// The same over another port.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Over a Unix socket instead.
    pub fn socket(mut self, path: &Path) -> Self {
        self.socket = Some(path.to_owned());
        self
    }

    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.into());
        self
    }

    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// A socket on which nothing has been said.
    pub fn dial(&self) -> io::Result<Sock> {
        match &self.socket {
            Some(path) => Ok(Sock::Unix(UnixStream::connect(path)?)),
            None => {
                let address = ("127.0.0.1", self.port).to_socket_addrs()?.next().unwrap();
                let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
                stream.set_nodelay(true)?;
                Ok(Sock::Tcp(stream))
            }
        }
    }

    /// The StartupMessage.
    pub fn startup(&self) -> Vec<u8> {
        let mut body = (3 << 16 | i32::from(self.minor)).to_be_bytes().to_vec();
        for (name, value) in &self.parameters {
            body.extend([z(name), z(value)].concat());
        }
        body.push(0);
        let mut packet = (body.len() as i32 + 4).to_be_bytes().to_vec();
        packet.extend(body);
        packet
    }

    /// Connects and authenticates; the error is the transcript up to the ErrorResponse.
    pub fn try_connect(&self) -> Result<Client, Transcript> {
        let sock = self.dial().map_err(|e| vec![closed(&e)])?;
        let mut client = Client::over(sock);
        client.send(Batch(self.startup()));
        client.authenticate(self)?;
        Ok(client)
    }

    /// Connects and authenticates.
    pub fn connect(&self) -> Client {
        self.try_connect()
            .unwrap_or_else(|t| panic!("cannot connect: {t:?}"))
    }
}

fn closed(error: &io::Error) -> Frame {
    Frame {
        tag: b'!',
        body: error.to_string().into_bytes(),
    }
}

/// One connection.
pub struct Client {
    pub sock: Sock,
    buffer: Vec<u8>,
    at: usize,
    /// ParameterStatus as last reported.
    pub parameters: BTreeMap<String, String>,
    /// BackendKeyData: process and secret.
    pub key: (u32, u32),
    /// The frames from the server's first answer to the first ReadyForQuery.
    pub greeting: Transcript,
    /// The status of the last ReadyForQuery.
    pub status: u8,
}

impl Client {
    /// A client over a socket on which the startup is still to come.
    pub fn over(sock: Sock) -> Self {
        sock.timeout(PATIENCE).expect("a timeout above zero");
        let parameters = BTreeMap::new();
        Self {
            sock,
            buffer: Vec::new(),
            at: 0,
            parameters,
            key: (0, 0),
            greeting: Vec::new(),
            status: 0,
        }
    }

    fn authenticate(&mut self, login: &Login) -> Result<(), Transcript> {
        let user = login.parameters[0].1.clone();
        let password = login.password.clone().unwrap_or_default();
        let mut scram = None;
        loop {
            let frame = self.try_frame().unwrap_or_else(|e| closed(&e));
            self.greeting.push(frame.clone());
            match frame.tag {
                b'R' => self.answer_challenge(&frame.body, &user, &password, &mut scram),
                b'Z' => return Ok(()),
                b'E' | b'!' => return Err(self.greeting.clone()),
                _ => {}
            }
        }
    }

    fn answer_challenge(
        &mut self,
        body: &[u8],
        user: &str,
        password: &str,
        scram: &mut Option<sasl::ScramSha256>,
    ) {
        match u32::from_be_bytes(body[..4].try_into().unwrap()) {
            3 => self.send(Batch::new().raw(b'p', &z(password))),
            5 => {
                let hash = md5_hash(
                    user.as_bytes(),
                    password.as_bytes(),
                    body[4..8].try_into().unwrap(),
                );
                self.send(Batch::new().raw(b'p', &z(&hash)));
            }
            10 => {
                let exchange = sasl::ScramSha256::new(
                    password.as_bytes(),
                    sasl::ChannelBinding::unsupported(),
                );
                let first = exchange.message().to_vec();
                let mut message = z(sasl::SCRAM_SHA_256);
                message.extend_from_slice(&(first.len() as i32).to_be_bytes());
                message.extend_from_slice(&first);
                self.send(Batch::new().raw(b'p', &message));
                *scram = Some(exchange);
            }
            11 => {
                let exchange = scram.as_mut().expect("SASLContinue after SASL");
                exchange.update(&body[4..]).expect("a server-first message");
                let message = exchange.message().to_vec();
                self.send(Batch::new().raw(b'p', &message));
            }
            12 => scram
                .as_mut()
                .expect("SASLFinal after SASL")
                .finish(&body[4..])
                .expect("the server knows the password"),
            _ => {}
        }
    }

    /// Sends; a server that has hung up is noticed at the next read.
    pub fn send(&mut self, batch: Batch) {
        let _ = self.sock.write_all(&batch.0);
    }

    /// The next frame.
    pub fn try_frame(&mut self) -> io::Result<Frame> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let have = &self.buffer[self.at..];
            if have.len() >= 5 {
                let len = i32::from_be_bytes(have[1..5].try_into().unwrap());
                let Some(len) = usize::try_from(len).ok().filter(|len| *len >= 4) else {
                    return Err(io::ErrorKind::InvalidData.into());
                };
                if have.len() > len {
                    let frame = Frame {
                        tag: have[0],
                        body: have[5..=len].to_vec(),
                    };
                    self.at += len + 1;
                    self.note(&frame);
                    return Ok(frame);
                }
            }
            if self.at > 0 {
                self.buffer.drain(..self.at);
                self.at = 0;
            }
            let mut chunk = [0u8; 65_536];
            let n = self.sock.read(&mut chunk)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.extend_from_slice(&chunk[..n]);
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    fn note(&mut self, frame: &Frame) {
        match frame.tag {
            b'Z' => self.status = frame.body.first().copied().unwrap_or_default(),
            b'K' if frame.body.len() >= 8 => {
                let word =
                    |at: usize| u32::from_be_bytes(frame.body[at..at + 4].try_into().unwrap());
                self.key = (word(0), word(4));
            }
            b'S' => {
                let mut parts = frame
                    .body
                    .split(|b| *b == 0)
                    .map(|p| String::from_utf8_lossy(p).into_owned());
                let (name, value) = (
                    parts.next().unwrap_or_default(),
                    parts.next().unwrap_or_default(),
                );
                self.parameters.insert(name, value);
            }
            _ => {}
        }
    }

    /// The next frame, or a frame `!` with the reason why there is none.
    pub fn frame(&mut self) -> Frame {
        self.try_frame().unwrap_or_else(|e| closed(&e))
    }

    /// The next `n` frames.
    pub fn frames(&mut self, n: usize) -> Transcript {
        (0..n).map(|_| self.frame()).collect()
    }

    /// Frames up to and with the first of type `tag`, or the end of the connection.
    pub fn until(&mut self, tag: u8) -> Transcript {
        let mut frames = Vec::new();
        loop {
            let frame = self.frame();
            let end = frame.tag == tag || frame.tag == b'!';
            frames.push(frame);
            if end {
                return frames;
            }
        }
    }

    /// Frames up to and with the next ReadyForQuery.
    pub fn until_ready(&mut self) -> Transcript {
        self.until(b'Z')
    }

    /// Frames up to and with the `n`th ReadyForQuery.
    pub fn until_ready_times(&mut self, n: usize) -> Transcript {
        (0..n).flat_map(|_| self.until_ready()).collect()
    }

    /// Sends and reads to the next ReadyForQuery.
    pub fn run(&mut self, batch: Batch) -> Transcript {
        self.send(batch);
        self.until_ready()
    }

    /// A simple Query.
    pub fn query(&mut self, sql: &str) -> Transcript {
        self.run(Batch::new().query(sql))
    }

    /// A simple Query that must not fail.
    pub fn ok(&mut self, sql: &str) -> Transcript {
        let transcript = self.query(sql);
        let failed = transcript.iter().any(|f| f.tag == b'E' || f.tag == b'!');
        assert!(!failed, "{sql}: {transcript:?}");
        transcript
    }

    /// Parse, Bind, Describe, Execute, Sync of the unnamed statement.
    pub fn extended(&mut self, sql: &str, params: &[&str]) -> Transcript {
        self.run(Batch::new().unnamed(sql, params).sync())
    }

    /// The word of `SHOW larder.last`.
    pub fn larder_last(&mut self) -> String {
        let transcript = self.query("SHOW larder.last");
        transcript
            .value()
            .unwrap_or_else(|| panic!("SHOW larder.last: {transcript:?}"))
    }

    /// Whether the other side has closed, after whatever it still says.
    pub fn closed(&mut self) -> bool {
        loop {
            match self.try_frame() {
                Ok(_) => {}
                Err(e) => {
                    return !matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    );
                }
            }
        }
    }

    /// Waits `timeout` for a frame that may not come.
    pub fn frame_within(&mut self, timeout: Duration) -> Option<Frame> {
        self.sock.timeout(timeout).expect("a timeout above zero");
        let frame = self.try_frame().ok();
        self.sock.timeout(PATIENCE).expect("a timeout above zero");
        frame
    }

    /// Reads and throws away one ReadyForQuery's worth of bytes without keeping them; returns how many there were.
    pub fn skim_until_ready(&mut self) -> usize {
        let mut total = 0;
        loop {
            let frame = self.frame();
            total += frame.body.len() + 5;
            match frame.tag {
                b'Z' => return total,
                b'!' => panic!("connection lost: {frame:?}"),
                _ => {}
            }
        }
    }
}

/// Sends CancelRequest for `key` to `port`; returns when the other side has closed.
pub fn cancel(port: u16, key: (u32, u32)) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the cancel connection");
    let mut packet = 16i32.to_be_bytes().to_vec();
    packet.extend_from_slice(&80_877_102i32.to_be_bytes());
    packet.extend_from_slice(&key.0.to_be_bytes());
    packet.extend_from_slice(&key.1.to_be_bytes());
    stream.write_all(&packet).expect("the cancel request");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout above zero");
    let _ = stream.read(&mut [0u8; 1]);
}

/// A transcript without what must differ between two connections: BackendKeyData, the sender of a notification,
/// and the order of the greeting's ParameterStatus messages.
pub fn normalised(mut transcript: Transcript) -> Transcript {
    for frame in &mut transcript {
        match frame.tag {
            b'K' => frame.body.fill(0),
            b'A' => frame.body[..4].fill(0),
            _ => {}
        }
    }
    let mut at = 0;
    while at < transcript.len() {
        let run = transcript[at..]
            .iter()
            .take_while(|f| f.tag == b'S')
            .count();
        transcript[at..at + run].sort_by(|a, b| a.body.cmp(&b.body));
        at += run.max(1);
    }
    transcript
}
