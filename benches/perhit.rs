//! What one hit costs the session alone: allocations, and time on this machine.
//!
//! usage: cargo bench --bench perhit [-- HITS]      (needs PostgreSQL's binaries)
//!
//! A session is driven without sockets, against a real PostgreSQL for login and first read; then the same message is
//! fed again and again, and every answer must be the first one, byte by byte, with nothing sent upstream. What sockets,
//! system calls and threads add is measured on the whole process, by `perhit.py`.
//!
//! Ends with 1 if a hit allocates more than twice.

#[path = "../tests/support/postgres.rs"]
mod postgres;

use larder::cache::key::Contexts;
use larder::cache::rules::Rules;
use larder::cache::store::Store;
use larder::cache::version::Ledger;
use larder::metrics::Metrics;
use larder::session::{Io, Mode, Next, Session, Shared, Thread};
use larder::wire::frame;
use larder::wire::startup::{self, First};
use postgres::Postgres;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The system's allocator, counting what this thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

fn count(bytes: usize) {
    // a thread that is ending has no counter any more, and nothing that is measured
    let _ = ALLOCATIONS.try_with(|c| {
        let (calls, sum) = c.get();
        c.set((calls + 1, sum + bytes as u64));
    });
}

// SAFETY: every call goes to the system's allocator as it came; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static GLOBAL: Counting = Counting;

/// More than this is a failure.
const MOST_ALLOCATIONS: f64 = 2.0;
const ROLE: &str = "postgres";

/// A session between this program and a real upstream.
struct Driven {
    session: Session,
    upstream: TcpStream,
    started: Instant,
    /// Written by the session, not sent yet; from the upstream, not used yet.
    to_upstream: Vec<u8>,
    from_upstream: Vec<u8>,
    to_client: Vec<u8>,
}

impl Driven {
    fn log_in(thread: Rc<Thread>, port: u16) -> Driven {
        let mut packet = vec![0; 4];
        packet.extend_from_slice(&196_608u32.to_be_bytes());
        for word in ["user", ROLE, "database", "postgres", ""] {
            packet.extend_from_slice(word.as_bytes());
            packet.push(0);
        }
        let len = packet.len() as u32;
        packet[..4].copy_from_slice(&len.to_be_bytes());
        let Ok(Some((First::Startup(first), _))) = startup::first(&packet) else {
            panic!("not a startup packet")
        };
        let session = Session::new(thread, &first);
        let mut upstream = TcpStream::connect(("127.0.0.1", port)).expect("upstream");
        upstream.write_all(&packet).expect("startup");
        let mut driven = Driven {
            session,
            upstream,
            started: Instant::now(),
            to_upstream: Vec::new(),
            from_upstream: Vec::new(),
            to_client: Vec::new(),
        };
        driven.until_ready();
        driven
    }

    fn turn(&mut self, client: &[u8]) -> usize {
        let now = self.started.elapsed().as_micros() as u64;
        let mut io = Io {
            client: &mut self.to_client,
            upstream: &mut self.to_upstream,
            now,
        };
        let (used, next) = self.session.client(client, &mut io);
        assert_eq!(next, Next::Continue);
        used
    }

    /// Exchanges bytes with the upstream until the client has a ReadyForQuery and nothing is under way.
    fn until_ready(&mut self) {
        let mut buffer = [0; 65536];
        loop {
            self.upstream.write_all(&self.to_upstream).expect("write");
            self.to_upstream.clear();
            if self.to_client.ends_with(b"Z\0\0\0\x05I") && self.session.is_idle() {
                return;
            }
            let n = self.upstream.read(&mut buffer).expect("read");
            assert_ne!(n, 0, "the upstream closed");
            self.from_upstream.extend_from_slice(&buffer[..n]);
            let now = self.started.elapsed().as_micros() as u64;
            let mut io = Io {
                client: &mut self.to_client,
                upstream: &mut self.to_upstream,
                now,
            };
            let (used, next) = self.session.upstream(&self.from_upstream, &mut io);
            assert_eq!(next, Next::Continue);
            self.from_upstream.drain(..used);
        }
    }

    /// The answer to a message, from wherever it comes; and whether it came from memory.
    fn ask(&mut self, message: &[u8]) -> (Vec<u8>, bool) {
        self.to_client.clear();
        let mut at = 0;
        let mut hit = true;
        while at < message.len() || !self.to_upstream.is_empty() {
            at += self.turn(&message[at..]);
            if !self.to_upstream.is_empty() {
                hit = false;
                self.until_ready();
            }
        }
        (std::mem::take(&mut self.to_client), hit)
    }
}

fn message(out: &mut Vec<u8>, tag: u8, parts: &[&[u8]]) {
    frame::put(out, tag, &parts.concat());
}

/// A statement in the three protocols of pgbench: what is sent once, and what is sent for each read.
fn protocols(
    simple: &str,
    text: &str,
    parameters: &[&str],
) -> [(&'static str, Vec<u8>, Vec<u8>); 3] {
    let mut values = (parameters.len() as u16).to_be_bytes().to_vec();
    for value in parameters {
        values.extend_from_slice(&(value.len() as i32).to_be_bytes());
        values.extend_from_slice(value.as_bytes());
    }
    let batch = |parse: bool, name: &[u8]| {
        let mut out = Vec::new();
        if parse {
            message(&mut out, b'P', &[name, b"\0", text.as_bytes(), b"\0\0\0"]);
        }
        message(&mut out, b'B', &[b"\0", name, b"\0\0\0", &values, b"\0\0"]);
        message(&mut out, b'D', &[b"P\0"]);
        message(&mut out, b'E', &[b"\0\0\0\0\0"]);
        message(&mut out, b'S', &[]);
        out
    };
    let mut query = Vec::new();
    message(&mut query, b'Q', &[simple.as_bytes(), b"\0"]);
    let mut prepare = Vec::new();
    message(&mut prepare, b'P', &[b"s1\0", text.as_bytes(), b"\0\0\0"]);
    message(&mut prepare, b'S', &[]);
    [
        ("simple", Vec::new(), query),
        ("extended", Vec::new(), batch(true, b"")),
        ("prepared", prepare, batch(false, b"s1")),
    ]
}

/// Measures one kind of hit; gives its allocations.
fn measure(driven: &mut Driven, name: &str, once: &[u8], each: &[u8], hits: u32) -> f64 {
    if !once.is_empty() {
        driven.ask(once);
    }
    // the first fills, the second grows the session's own buffers and lists
    let (first, _) = driven.ask(each);
    let (second, hit) = driven.ask(each);
    assert!(hit, "{name}: the second read did not come from memory");
    assert_eq!(
        first, second,
        "{name}: a hit differs from the upstream's answer"
    );
    driven.to_client.reserve(first.len());
    let before = ALLOCATIONS.get();
    let started = Instant::now();
    for _ in 0..hits {
        driven.to_client.clear();
        let used = driven.turn(each);
        assert!(
            used == each.len() && driven.to_upstream.is_empty() && driven.to_client == first,
            "{name}: not a hit"
        );
    }
    let took = started.elapsed();
    let after = ALLOCATIONS.get();
    let per = |n: u64| n as f64 / f64::from(hits);
    let allocations = per(after.0 - before.0);
    println!(
        "| {name} | {} | {allocations:.2} | {:.0} | {:.0} |",
        first.len(),
        per(after.1 - before.1),
        took.as_nanos() as f64 / f64::from(hits)
    );
    allocations
}

fn main() -> ExitCode {
    // cargo passes --bench
    let hits = std::env::args()
        .filter_map(|a| a.parse().ok())
        .next()
        .unwrap_or(20_000);
    let server = Postgres::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let live = larder::session::Live {
        mode: Mode::On,
        transactions: larder::session::Transactions::UntilWrite,
        rules: Rules::new(Duration::from_secs(3600), []),
        coalesce_wait: 1_000_000,
        verify: Default::default(),
        paused: false,
        audit: false,
        ..larder::session::Live::default()
    };
    let shared = Arc::new(Shared {
        steering: larder::session::Steering::new(live),
        ledger: Ledger::default(),
        store: Store::new(64 << 20, 1 << 20, 1),
        contexts: Contexts::default(),
        pooler: larder::config::Pooler::None,
        metrics: Arc::new(Metrics::new(1).expect("metrics")),
        quarantine: Default::default(),
    });
    runtime.block_on(async {
        let made = "CREATE TABLE bench AS SELECT i AS id, repeat('x', 90) AS body FROM generate_series(1, 1000) i;
                    CREATE UNIQUE INDEX ON bench (id)";
        server.sql("postgres", made).await;
        let client = server.connect(ROLE, "postgres").await;
        let database = shared.ledger.database("postgres");
        let version = database.load_version().expect("no change of the catalog");
        let (catalog, _) = larder::watch::schema::load(&client, version, &[]).await.expect("catalog");
        database.publish(catalog).expect("nothing was written meanwhile");
    });
    let recorder = shared.metrics.recorder(0).expect("the only thread");
    let thread = Rc::new(Thread::new(shared, recorder));
    let mut driven = Driven::log_in(thread, server.port());
    println!(
        "| hit | answer, bytes | allocations | bytes allocated | ns |\n|---|---:|---:|---:|---:|"
    );
    let mut most = 0.0f64;
    let point = protocols(
        "SELECT id FROM bench WHERE id = 7",
        "SELECT id FROM bench WHERE id = $1",
        &["7"],
    );
    let rows = protocols(
        "SELECT id, body FROM bench WHERE id BETWEEN 1 AND 100",
        "SELECT id, body FROM bench WHERE id BETWEEN $1 AND $2",
        &["1", "100"],
    );
    for (what, kinds) in [("point", point), ("100 rows", rows)] {
        for (protocol, once, each) in kinds {
            // a name of its own for each: a session may not prepare one twice
            let (once, each) = if what == "point" {
                (once, each)
            } else {
                (rename(&once), rename(&each))
            };
            most = most.max(measure(
                &mut driven,
                &format!("{what}, {protocol}"),
                &once,
                &each,
                hits,
            ));
        }
    }
    if most > MOST_ALLOCATIONS {
        println!("\na hit allocates more than {MOST_ALLOCATIONS} times");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// The same messages for statement `s2`.
fn rename(messages: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(messages)
        .replace("s1\0", "s2\0")
        .into_bytes()
}
