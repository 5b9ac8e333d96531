//! A session between a client that says anything and an upstream that is polite or says anything.
//!
//! The input: one byte for the mode (`b'0'` off, `b'1'` observe, else on), then steps of one kind byte each. `C`, `U`: two bytes of
//! length (big-endian, cut at what is there), then bytes from the client or from the upstream. `R`: the upstream
//! answers, as PostgreSQL would if every statement gave one row, all it has been sent. Other kinds are skipped.

use larder::cache::key::Contexts;
use larder::cache::rules::Rules;
use larder::cache::store::Store;
use larder::cache::version::Ledger;
use larder::metrics::Metrics;
use larder::session::{Io, Mode, Next, Session, Shared, Thread};
use larder::sql::Catalog;
use larder::wire::frame::{self, Frame, HEAD};
use larder::wire::startup::{self, First};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

const STARTUP: &[u8] = b"\0\0\0\x20\0\x03\0\0user\0app\0database\0shop\0\0";

struct Conversation {
    session: Session,
    mode: Mode,
    now: u64,
    /// From the client and not used yet; by the session, in all; by the upstream, as yet unanswered from `answered`.
    from_client: Vec<u8>,
    from_upstream: Vec<u8>,
    to_upstream: Vec<u8>,
    to_client: Vec<u8>,
    answered: usize,
    /// What the session used of both directions, in all.
    used_client: Vec<u8>,
    used_upstream: Vec<u8>,
    /// The upstream has said something of its own.
    rude: bool,
    closed: bool,
}

fn thread(mode: Mode) -> Rc<Thread> {
    let live = larder::session::Live {
        mode,
        rules: Rules::new(Duration::from_secs(3600), []),
        ..larder::session::Live::default()
    };
    let shared = Arc::new(Shared {
        steering: larder::session::Steering::new(live),
        ledger: Ledger::default(),
        store: Store::new(1 << 20, 1 << 16, 1),
        contexts: Contexts::default(),
        pooler: larder::config::Pooler::None,
        metrics: Arc::new(Metrics::new(1).expect("metrics")),
        quarantine: Default::default(),
    });
    let database = shared.ledger.database("shop");
    let version = database.load_version().expect("nothing is under way");
    let _ = database.publish(Catalog::build(version, super::rows()));
    let recorder = shared.metrics.recorder(0).expect("the only thread");
    Rc::new(Thread::new(shared, recorder))
}

impl Conversation {
    fn new(mode: Mode) -> Conversation {
        let Ok(Some((First::Startup(first), _))) = startup::first(STARTUP) else {
            panic!("not a startup packet")
        };
        Conversation {
            session: Session::new(thread(mode), &first),
            mode,
            now: 0,
            from_client: Vec::new(),
            from_upstream: Vec::new(),
            to_upstream: Vec::new(),
            to_client: Vec::new(),
            answered: 0,
            used_client: Vec::new(),
            used_upstream: Vec::new(),
            rude: false,
            closed: false,
        }
    }

    /// Lets the session work until it wants no more of what is there.
    fn work(&mut self) {
        loop {
            self.now += 1;
            let mut io = Io {
                client: &mut self.to_client,
                upstream: &mut self.to_upstream,
                now: self.now,
            };
            let (up, first) = self.session.upstream(&self.from_upstream, &mut io);
            assert!(up <= self.from_upstream.len());
            self.used_upstream.extend(self.from_upstream.drain(..up));
            let mut io = Io {
                client: &mut self.to_client,
                upstream: &mut self.to_upstream,
                now: self.now,
            };
            let (down, second) = match first {
                Next::Continue => self.session.client(&self.from_client, &mut io),
                Next::Close => (0, Next::Close),
            };
            assert!(down <= self.from_client.len());
            self.used_client.extend(self.from_client.drain(..down));
            self.closed = first == Next::Close || second == Next::Close;
            if self.closed || up + down == 0 {
                return;
            }
        }
    }

    /// The upstream answers what it has been sent.
    fn reply(&mut self) {
        let out = &mut self.from_upstream;
        while let Frame::Whole { tag, body } = frame::peek(&self.to_upstream[self.answered..]) {
            self.answered += HEAD + body.len();
            match tag {
                b'Q' => {
                    rows(out, body, true);
                    ready(out);
                }
                b'P' => frame::put(out, b'1', b""),
                b'B' => frame::put(out, b'2', b""),
                b'C' => frame::put(out, b'3', b""),
                b'D' => {
                    if body.first() == Some(&b'S') {
                        frame::put(out, b't', b"\0\0");
                    }
                    description(out, 1);
                }
                b'E' => rows(out, body, false),
                b'S' | b'F' => ready(out),
                _ => {}
            }
        }
    }
}

fn ready(out: &mut Vec<u8>) {
    frame::put(out, b'Z', b"I");
}

fn description(out: &mut Vec<u8>, columns: usize) {
    let mut body = (columns as u16).to_be_bytes().to_vec();
    for _ in 0..columns {
        body.extend_from_slice(b"c\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    }
    frame::put(out, b'T', &body);
}

/// One row; for the session's own question about its backend, the row that it asks for.
fn rows(out: &mut Vec<u8>, text: &[u8], describe: bool) {
    let text = String::from_utf8_lossy(text);
    let mut fields = vec!["1"];
    if text.contains("pg_my_temp_schema()") {
        fields = vec![
            "42",
            "2024-01-01 00:00:00.000000",
            "app",
            "app",
            "0",
            "7/1/5",
            "f",
            "2024-01-01 00:00:00.000000",
        ];
        let settings = text.split(", pg_catalog.current_setting('").skip(1);
        // Larder's own are not set.
        fields.extend(settings.map(|name| match name.starts_with("larder.") {
            true => "",
            false => "public",
        }));
    }
    if describe {
        description(out, fields.len());
    }
    let mut body = (fields.len() as u16).to_be_bytes().to_vec();
    for field in fields {
        body.extend_from_slice(&(field.len() as u32).to_be_bytes());
        body.extend_from_slice(field.as_bytes());
    }
    frame::put(out, b'D', &body);
    frame::put(out, b'C', b"SELECT 1\0");
}

fn log_in(talk: &mut Conversation) {
    let out = &mut talk.from_upstream;
    frame::put(out, b'R', b"\0\0\0\0");
    for status in [
        "client_encoding\0UTF8\0",
        "server_encoding\0UTF8\0",
        "standard_conforming_strings\0on\0",
    ] {
        frame::put(out, b'S', status.as_bytes());
    }
    frame::put(out, b'K', b"\0\0\0\x2a\0\0\0\x07");
    ready(out);
    talk.work();
    talk.reply();
    talk.work();
}

/// Messages of these types in a stream of whole messages, and whether the last is whole.
fn count(stream: &[u8], tags: &[u8]) -> (usize, bool) {
    let (mut found, mut rest) = (0, stream);
    while let Frame::Whole { tag, body } = frame::peek(rest) {
        found += usize::from(tags.contains(&tag));
        rest = &rest[HEAD + body.len()..];
    }
    (found, rest.is_empty())
}

/// Whether the client asks Larder something, or hints at what it wants of it: that may be answered.
fn speaks_to_larder(talk: &Conversation) -> bool {
    let said = talk.used_client.to_ascii_lowercase();
    let says = |word: &[u8]| said.windows(word.len()).any(|w| w == word);
    says(b"larder") || says(b"cache_param")
}

fn judge(talk: &Conversation) {
    if talk.closed {
        return;
    }
    if talk.mode == Mode::Off && !speaks_to_larder(talk) {
        assert_eq!(
            talk.to_upstream, talk.used_client,
            "off changes what the client sends"
        );
        assert_eq!(
            talk.to_client, talk.used_upstream,
            "off changes what the upstream sends"
        );
    }
    // As many ReadyForQuery as there were messages that ask for one, and the login's.
    let (asked, whole) = count(&talk.used_client, b"QSF");
    let (others, _) = count(&talk.used_client, b"Xcdfp");
    if whole && others == 0 && !talk.rude && talk.from_client.is_empty() {
        let (given, whole) = count(&talk.to_client, b"Z");
        assert!(whole, "the client is left inside a message");
        assert_eq!(
            given,
            asked + 1,
            "an answer is missing, or there is one too many"
        );
    }
}

/// Plays one input; with the cache on a second time without, and a client must not see a difference.
pub fn play(data: &[u8]) {
    let Some((mode, steps)) = data.split_first() else {
        return;
    };
    let mode = match mode {
        b'0' => Mode::Off,
        b'1' => Mode::Observe,
        _ => Mode::On,
    };
    let mut talk = converse(mode, steps);
    judge(&talk);
    let asks_larder = speaks_to_larder(&talk);
    if mode != Mode::Off && !talk.rude && !talk.closed && !asks_larder {
        let plain = converse(Mode::Off, steps);
        if talk.used_client == plain.used_client {
            assert_eq!(
                talk.to_client, plain.to_client,
                "the client can tell a hit from the upstream's answer"
            );
        }
    }
    let _ = talk.session.end();
}

fn converse(mode: Mode, mut rest: &[u8]) -> Conversation {
    let mut talk = Conversation::new(mode);
    log_in(&mut talk);
    while let Some((kind, more)) = rest.split_first() {
        rest = more;
        match kind {
            b'C' | b'U' => {
                let Some(head) = rest.first_chunk::<2>() else {
                    break;
                };
                rest = &rest[2..];
                let (bytes, more) =
                    rest.split_at(rest.len().min(usize::from(u16::from_be_bytes(*head))));
                rest = more;
                if *kind == b'C' {
                    talk.from_client.extend_from_slice(bytes);
                } else {
                    talk.rude = true;
                    talk.from_upstream.extend_from_slice(bytes);
                }
            }
            b'R' => talk.reply(),
            _ => continue,
        }
        talk.work();
        if talk.closed {
            break;
        }
    }
    for _ in 0..64 {
        if talk.closed {
            break;
        }
        talk.reply();
        talk.work();
    }
    talk
}
