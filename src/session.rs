//! The protocol brain of one client: bytes and time in, bytes out; no socket and no clock.
//!
//! A session stands between a client and its own upstream connection. It forwards what it must, answers from the
//! cache what it may, and keeps the order of answers that PostgreSQL would give:
//!
//! * A local answer waits behind every answer the upstream still owes (hazard 50); no Sync is ever invented in a
//!   client's pipeline (hazard 51).
//! * What the session does not follow ends its use of the cache, not the connection: bytes then pass untouched, and
//!   a write set of everything stays open until the backend is gone (`lose_track`).
//!
//! Files: `client` and `upstream` read the two directions, `binding` minds relayed logins, `unit` looks ahead over Parse/Bind/Describe/Execute,
//! `extended` answers them, `replay` tells the upstream what it has missed, `egress` keeps the order, `reach` knows whether there is an upstream, `joining` waits for equal misses, `ours` answers what asks about Larder, `explaining` finds out what is said of a statement and `explain` puts it in lines, `lazy` holds BEGIN back, `portal` keeps portals and `describe` descriptions here, `decision` says hit, miss or bypass, `selfcheck` looks at a share of the hits, `writes` opens intents, `locks` asks what a transaction wrote, `finish` ends a segment, `refusal` tells what never ran; `settings`, `probe`, `transaction`,
//! `statements`, `pending` hold what is known.

use std::rc::Rc;
use std::sync::Arc;

use crate::cache::Micros;
use crate::cache::servers::{Mark, Server};
use crate::cache::version::{self, Database, Intent, WriteSet};
use crate::guard::{Guard, stands};
use crate::metrics::{Doubted, Outcome};
use crate::sql::Touched;
use crate::why::Why;
use crate::wire::frame::{self, Frame, LONGEST_SEEN};
use crate::wire::startup::Startup;

mod binding;
mod client;
mod decision;
mod describe;
mod egress;
pub mod explain;
mod explaining;
mod extended;
mod finish;
mod joining;
mod lazy;
mod locks;
mod ours;
mod owed;
mod pending;
mod portal;
mod probe;
mod reach;
mod reading;
mod refusal;
mod replay;
mod selfcheck;
mod settings;
mod statements;
mod steering;
mod text;
mod thread;
mod transaction;
mod unit;
mod upstream;
mod welcome;
mod wishes;
mod writes;

pub use binding::Binding;
pub use explaining::Form;
pub use lazy::Transactions;
use pending::Pending;
pub use probe::probe;
use settings::Settings;
use statements::Statements;
pub use steering::{Live, Purge, Steering, Verify};
use text::Text;
pub use thread::{Mode, Shared, Thread};
use transaction::Transaction;
use unit::Ahead;
pub use welcome::Greeting;

/// Where a session's bytes go.
#[derive(Debug)]
pub struct Io<'a> {
    /// Towards the client.
    pub client: &'a mut Vec<u8>,
    /// Towards the upstream.
    pub upstream: &'a mut Vec<u8>,
    /// The time, read once a turn.
    pub now: Micros,
}

/// Bytes towards the client after which the rest of its messages wait until these were sent: a hundred bytes can ask
/// for a hundred megabytes (hazard 65).
pub const FULL: usize = 256 << 10;

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Go on.
    Continue,
    /// Send what is written, then close both connections.
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Authentication is relayed until the first ReadyForQuery.
    Login,
    Running,
    /// The session is no longer followed.
    Lost,
}

/// COPY as far as it changes what messages mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Copy {
    None,
    In,
    Both,
}

/// What passes at this moment.
#[derive(Debug)]
struct Flow {
    phase: Phase,
    binding: Binding,
    replication: bool,
    copy: Copy,
    /// Bytes still to come of a message that is streamed unseen, by direction.
    client_left: usize,
    upstream_left: usize,
    /// The client has said goodbye, or the upstream has said why it leaves.
    parting: bool,
    /// What comes can no longer be told apart: the connections end.
    broken: bool,
    /// Held open for as long as the session is not followed.
    lost: Option<Intent>,
}

/// One client and its upstream connection.
pub struct Session {
    thread: Rc<Thread>,
    database: Arc<Database>,
    flow: Flow,
    link: reach::Tie,
    settings: Settings,
    transaction: Transaction,
    statements: Statements,
    pending: Pending,
    last: (Outcome, Option<Why>),
    footing: Footing,
    /// An equal miss that is waited for.
    joining: Option<joining::Joining>,
    /// The next hit that can be is to be looked at.
    due: bool,
}

/// What the settings that were read rest on.
#[derive(Clone, Copy, Debug)]
struct Footing {
    /// The server that the backend belongs to.
    server: Server,
    /// Taken when the backend was last asked.
    mark: Mark,
    /// The database's baselines when the settings were last asked for.
    baselines: u64,
}

/// What a session leaves behind that nobody has answered.
#[derive(Debug)]
pub struct Doubt {
    /// The writes in flight.
    pub intents: Vec<Intent>,
    /// The database they were made in.
    pub database: Arc<Database>,
    /// The backend: process id and start time, as far as known.
    pub backend: Option<(i32, Option<Box<str>>)>,
    /// Its server, as far as it is known.
    pub server: Server,
    /// Counted as in doubt until it is settled, on a server that is not in use, too.
    pub counted: Doubted,
}

impl Session {
    /// A session for a client whose startup message is forwarded as it is.
    pub fn new(thread: Rc<Thread>, startup: &Startup<'_>) -> Session {
        let name = database_name(startup);
        let replication = startup.get("replication").is_some_and(|r| !is_false(r));
        Session {
            flow: Flow {
                phase: Phase::Login,
                binding: Binding::Kept,
                replication,
                copy: Copy::None,
                client_left: 0,
                upstream_left: 0,
                parting: false,
                broken: false,
                lost: None,
            },
            link: reach::Tie::default(),
            settings: Settings::new(name, startup),
            transaction: Transaction::default(),
            statements: Statements::default(),
            pending: Pending::default(),
            last: (Outcome::Other, None),
            footing: Footing {
                server: Server::UNKNOWN,
                mark: Mark::default(),
                baselines: 0,
            },
            joining: None,
            due: false,
            // In the ledger only once the upstream has let the client in.
            database: Arc::new(Database::new(name)),
            thread,
        }
    }

    /// Whether the client must wait: the session reads its own settings.
    pub fn holds_client(&self) -> bool {
        self.pending.asked_itself()
    }

    /// Whether nothing is under way: the session may be ended without breaking a transaction.
    pub fn is_idle(&self) -> bool {
        self.flow.phase == Phase::Running
            && self.transaction.status() == b'I'
            && self.pending.is_empty()
            && !self.is_following()
    }

    /// Whether the login is over.
    pub fn is_running(&self) -> bool {
        self.flow.phase != Phase::Login
    }

    /// Whether an error of Larder's own may be written to the client now: not inside a message.
    pub fn at_message_boundary(&self) -> bool {
        self.flow.upstream_left == 0
    }

    /// Whether the client knows that its session is over.
    pub fn was_told(&self) -> bool {
        self.flow.parting
    }

    /// Whether the session may end without leaving the outcome of a write open, or something the client has sent
    /// (`unread` bytes of it) unheard.
    pub fn may_leave(&mut self, unread: usize) -> bool {
        self.flow.lost.is_none()
            && (unread == 0 || self.pending.nothing_owed())
            && self
                .pending
                .segments()
                .all(|segment| segment.intents.is_empty() || !stands(Guard::LeaveWaits))
    }

    /// Whether a client that is gone has left nothing but the beginning of what could be taken.
    pub fn lacks(&self, unread: &[u8]) -> bool {
        self.flow.phase == Phase::Running
            && match frame::peek(unread) {
                Frame::Whole {
                    tag: b'P' | b'B', ..
                } => matches!(unit::ahead(unread), Ahead::Open),
                Frame::Part { len, .. } => len <= LONGEST_SEEN,
                Frame::Short => !unread.is_empty(),
                Frame::Whole { .. } | Frame::Malformed => false,
            }
    }

    /// The database this session is in.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Ends the session. What is left is in doubt if the upstream may still be working on it.
    pub fn end(&mut self) -> Option<Doubt> {
        let mut intents = std::mem::take(&mut self.pending).into_intents();
        intents.extend(self.flow.lost.take());
        if !stands(Guard::DoubtShuts) {
            for intent in intents.drain(..) {
                self.close_intent(intent, version::Outcome::Visible);
            }
        }
        if intents.is_empty() {
            return None;
        }
        Some(Doubt {
            intents,
            database: self.database.clone(),
            backend: self.backend(),
            server: self.footing.server,
            counted: self.thread.metrics.counts.doubted(),
        })
    }

    /// The backend, as it said itself, or else as it was announced where others have shown that this can be believed.
    fn backend(&self) -> Option<(i32, Option<Box<str>>)> {
        let direct = self.database.is_direct();
        let told = self.settings.backend();
        told.or_else(|| self.settings.announced(direct))
    }

    /// Stops following the protocol: everything passes untouched.
    fn lose_track(&mut self) {
        tracing::warn!(
            database = self.database.name(),
            "a session left the part of the protocol that is followed"
        );
        self.flow.phase = Phase::Lost;
    }

    /// Before bytes are forwarded unseen: they may write everything, for as long as the backend lives. `false`: which
    /// backend that is will never be known, and so they must not be sent.
    fn may_pass_unseen(&mut self) -> bool {
        if self.flow.lost.is_some() || self.thread.mode() == Mode::Off {
            return true;
        }
        if self.backend().is_none() {
            return false;
        }
        let all = WriteSet::new(Touched::Everything, true, None);
        if stands(Guard::UnseenShutsAll) {
            self.flow.lost = Some(Intent::open(&self.thread.ledger, &self.database, &all));
        }
        true
    }

    /// The upstream answered what it was not asked: nothing is known of the order of answers any more.
    fn lose_order(&mut self) {
        if self.pending.mixes() || self.flow.phase == Phase::Login {
            // The client must neither miss an answer of ours nor see one that was meant for us. Nothing passes any
            // more, and what is in flight has its intents.
            self.flow.phase = Phase::Lost;
            self.flow.broken = true;
        } else {
            self.lose_track();
        }
        self.pending.forget_order();
    }

    fn count(&mut self, text: Option<&Text>, outcome: Outcome, why: Option<Why>) {
        self.last = (outcome, why);
        match text {
            Some(text) => self.thread.count(self.thread.record(text), outcome, why),
            None => self.thread.count(&self.thread.textless(), outcome, why),
        }
    }
}

/// The database that PostgreSQL takes a client to: the user's where none is named, names cut to NAMEDATALEN. Two names
/// of one database must be one here, or a write under one would not be seen under the other.
pub fn database_name<'a>(startup: &'a Startup<'_>) -> &'a str {
    database_of(|name| startup.get(name))
}

/// The same of startup parameters that are kept elsewhere.
pub fn database_of<'a>(get: impl Fn(&str) -> Option<&'a str>) -> &'a str {
    const LONGEST: usize = 63;
    let named = get("database").filter(|name| !name.is_empty());
    let name = named.or(get("user")).unwrap_or_default();
    &name[..name.floor_char_boundary(LONGEST)]
}

/// PostgreSQL's `parse_bool`, as far as it says no.
fn is_false(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let starts = |word: &str, least: usize| value.len() >= least && word.starts_with(&*value);
    value == "0" || starts("false", 1) || starts("no", 1) || starts("off", 2)
}

#[cfg(test)]
mod tests;
