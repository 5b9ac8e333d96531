//! THE loop: bytes between a client, its session and its upstream.
//!
//! * The only place that waits for two sockets. Nothing waits between a client's bytes and a hit's answer: one receive,
//!   one send, no other thread.
//! * Back-pressure both ways: a side whose answers are not read is not read from (hazard 65).

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use super::Door;
use super::far::Far;
use super::handshake::Arrived;
use super::landing::Landing;
use super::line::Line;
use super::reception;
use super::who::Who;
use crate::net::{Phase, PhaseWatch};
use crate::session::{FULL, Io, Next, Session};
use crate::wire::message::{self, Severity};

/// What may wait for a slow reader before the other side is not read any more.
const WAITING: usize = 256 << 10;
/// What a client may have sent that the session does not take yet; more than its longest whole message.
const UNREAD: usize = (1 << 20) + (128 << 10);
/// How long an upstream may go on with what a vanished client had asked for.
const AFTER_CLIENT: Duration = Duration::from_secs(5);
/// How often it is looked whether there is a catalog.
const AGAIN: Duration = Duration::from_millis(50);
/// How long a client may take to read the last bytes.
const FAREWELL: Duration = Duration::from_secs(5);

/// Buffers of a thread, used between two waits only.
pub struct Scratch {
    received: Box<[u8]>,
    client: Vec<u8>,
    upstream: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            received: vec![0; 64 << 10].into(),
            client: Vec::new(),
            upstream: Vec::new(),
        }
    }
}

/// Which side bytes come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

/// How a session ends.
enum End {
    /// Nothing more to say.
    Quiet,
    /// The upstream has left, and the client has not been told why.
    UpstreamLost,
    /// The process stops.
    Stopping,
    /// No upstream connection could be had.
    NoUpstream,
    /// The client may not be here any more.
    Revoked,
    /// The client has left a transaction open for too long.
    IdleTransaction,
    /// An operator has said so.
    Killed,
}

struct Drive<'a> {
    session: Session,
    client: Line,
    upstream: Far,
    door: &'a Door,
    phase: PhaseWatch,
    /// This task is woken when the phase changes.
    subscribed: bool,
    after_client: Option<Pin<Box<Sleep>>>,
    /// The upstream was told that the client is gone.
    heard: bool,
    /// Messages of the client wait until it has read its answers.
    behind: bool,
    /// The client on the roll, and what has passed by it.
    who: Option<Who>,
    /// The upstream's first words were read before, and are not dealt with yet.
    greeted: bool,
    timers: Timers,
}

/// What a session waits for besides bytes.
#[derive(Default)]
struct Timers {
    /// Ends a transaction that rests.
    resting: Option<Pin<Box<Sleep>>>,
    /// Looks again whether the connection can go back.
    again: Option<Pin<Box<Sleep>>>,
    /// An equal read is under way.
    landing: Landing,
}

/// Serves until one side leaves.
pub async fn run(arrived: Arrived, door: &Rc<Door>) {
    let Arrived {
        client,
        upstream,
        session,
        unread,
        greeted,
        admitted,
    } = arrived;
    let (admitted, who) = admitted.unzip();
    let who = who.map(Who::new);
    let mut drive = Drive {
        session,
        client: Line::new(client, unread),
        greeted,
        upstream,
        timers: Timers::default(),
        door,
        phase: door.phase.watch(),
        subscribed: false,
        after_client: None,
        heard: false,
        behind: false,
        who,
    };
    let end = poll_fn(|cx| drive.poll(cx)).await;
    if let Err(error) = &end {
        tracing::debug!(%error, peer = drive.client.peer(), "a connection broke");
    }
    drive.session.leave_flights();
    let farewell = drive.farewell(&end);
    if !drive.heard {
        drive.upstream.leave(&drive.session);
    }
    if let Some(who) = drive.who.take() {
        who.leaves();
    }
    drop(admitted);
    let _ = tokio::time::timeout(FAREWELL, poll_fn(|cx| drive.say(cx, &farewell))).await;
}

/// However a session ends, a panic included, what it has left open is not forgotten.
impl Drop for Drive<'_> {
    fn drop(&mut self) {
        if let Some(doubt) = self.session.end() {
            // Closed by a control connection, once the backend is gone; shut until then.
            let _ = self.door.doubts.send(doubt);
        }
    }
}

impl Drive<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<End>> {
        if !self.subscribed {
            // Once: the task stays the same, and from now on the phase alone is looked at.
            self.subscribed = true;
            let _ = self.phase.poll_reached(cx, Phase::Stopping);
            if let Some(who) = &self.who {
                who.listed.wakes(cx.waker());
            }
            self.note();
        }
        loop {
            match self.turn(cx) {
                Ok(None) => {}
                Ok(Some(Next::Continue)) => continue,
                Ok(Some(Next::Close)) => return Poll::Ready(Ok(End::Quiet)),
                Err(error) => return Poll::Ready(Err(error)),
            }
            if let Some(end) = self.is_over(cx) {
                return Poll::Ready(Ok(end));
            }
            return Poll::Pending;
        }
    }

    /// Notes on the roll which connection the client has.
    fn note(&self) {
        if let Some(who) = &self.who {
            self.upstream.note(&who.listed);
        }
    }

    /// Reads and writes what can be; `Some(Continue)` if anything moved.
    fn turn(&mut self, cx: &mut Context<'_>) -> io::Result<Option<Next>> {
        if !self.client.ended && self.client.flush(cx).is_err() {
            self.client.ended = true;
        }
        self.upstream.flush(cx)?;
        let mut moved = None;
        for side in [Side::Client, Side::Upstream] {
            let behind = match side {
                Side::Client => self.may_go_on(),
                Side::Upstream => std::mem::take(&mut self.greeted),
            };
            if (behind || self.may_read(side))
                && let Some(next) = self.read(side, !behind, cx)?
            {
                moved = Some(next);
                if next == Next::Close {
                    return Ok(moved);
                }
            }
        }
        if self.has_landed(cx) {
            moved = Some(self.go_on(false, cx)?);
        }
        if self.session.wants_link() && self.upstream.refused.is_none() {
            let came = self.upstream.poll_come(cx).is_ready();
            self.note();
            if came && self.upstream.line.is_some() {
                moved = Some(self.go_on(true, cx)?);
            }
        } else {
            self.part(cx);
        }
        Ok(moved)
    }

    /// Gives the connection back if it is not the client's own and nothing of the client is left in it.
    fn part(&mut self, cx: &mut Context<'_>) {
        // One that was told that nobody is here ends; nobody else may have it.
        if !self.upstream.is_shared() || self.heard {
            return;
        }
        loop {
            let linked = self.upstream.number();
            self.upstream.part(&mut self.session);
            if self.upstream.number() != linked {
                self.note();
            }
            if !self.session.waits_for_catalog() {
                self.timers.again = None;
                return;
            }
            let sleep = self
                .timers
                .again
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(AGAIN)));
            if sleep.as_mut().poll(cx).is_pending() {
                return;
            }
            self.timers.again = None;
        }
    }

    /// Whether the client's statement has waited long enough for an equal one.
    fn has_landed(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.session.is_following() && self.timers.landing.is_over() {
            return false;
        }
        let (session, upstream) = (&self.session, &self.upstream);
        let key = || {
            let own = || session.cancel_key().into();
            upstream.cancel_key().unwrap_or_else(own)
        };
        self.timers.landing.poll(session, key, self.door, cx)
    }

    /// Goes on with what waited: for a connection that has come, or for an equal read.
    fn go_on(&mut self, connected: bool, cx: &mut Context<'_>) -> io::Result<Next> {
        let door = self.door;
        let mut scratch = door.scratch.borrow_mut();
        let Scratch {
            client, upstream, ..
        } = &mut *scratch;
        client.clear();
        upstream.clear();
        let now = door.now();
        let mut io = Io {
            client,
            upstream,
            now,
        };
        if connected {
            self.upstream.introduce(&mut self.session, &mut io);
        }
        let next = feed(
            &mut self.session,
            &mut self.client,
            Side::Client,
            &[],
            &mut io,
        );
        let sent = client.len() as u64;
        self.send(Side::Client, client, upstream, cx)?;
        if let Some(who) = &mut self.who {
            who.passed(0, sent, now, door);
        }
        Ok(next)
    }

    /// Whether messages that waited for a client to read its answers can be dealt with now.
    fn may_go_on(&self) -> bool {
        self.behind
            && (self.client.ended || self.client.waiting() < WAITING)
            && self.upstream.waiting() < WAITING
    }

    fn may_read(&self, side: Side) -> bool {
        match side {
            Side::Client => {
                !self.client.ended
                    && self.client.waiting() < WAITING
                    && self.upstream.waiting() < WAITING
                    && self.client.unread.len() < UNREAD
            }
            Side::Upstream => {
                self.upstream.line.is_some()
                    && !self.upstream.ended()
                    && (self.client.waiting() < WAITING || self.client.ended)
            }
        }
    }

    /// Receives, unless there is enough already, and deals with what is there.
    fn read(
        &mut self,
        side: Side,
        receive: bool,
        cx: &mut Context<'_>,
    ) -> io::Result<Option<Next>> {
        let door = self.door;
        let mut scratch = door.scratch.borrow_mut();
        let Scratch {
            received,
            client,
            upstream,
        } = &mut *scratch;
        // A session that panicked may have left bytes of its own.
        client.clear();
        upstream.clear();
        let line = match (side, &mut self.upstream.line) {
            (Side::Client, _) => &mut self.client,
            (Side::Upstream, Some(line)) => line,
            (Side::Upstream, None) => return Ok(None),
        };
        let count = match receive.then(|| line.receive(cx, received)) {
            None => 0,
            Some(Poll::Ready(Ok(count))) => count,
            // A client that is gone is not an end of its own: what it asked for may still be under way.
            Some(Poll::Ready(Err(_))) => {
                line.ended = true;
                0
            }
            Some(Poll::Pending) => return Ok(None),
        };
        let began = Instant::now();
        let now = door.at(began);
        if side == Side::Client {
            self.timers.resting = None;
        }
        let mut io = Io {
            client,
            upstream,
            now,
        };
        let mut next = feed(&mut self.session, line, side, &received[..count], &mut io);
        if side == Side::Upstream && !self.client.unread.is_empty() && next == Next::Continue {
            next = feed(
                &mut self.session,
                &mut self.client,
                Side::Client,
                &[],
                &mut io,
            );
        }
        let sent = client.len() as u64;
        self.send(side, client, upstream, cx)?;
        if client.capacity() > 4 * WAITING {
            *client = Vec::new();
        }
        let thread = &self.door.thread;
        if thread.has_hits() {
            thread.end_turn(began.elapsed());
        }
        if let Some(who) = &mut self.who {
            let received = if side == Side::Client {
                count as u64
            } else {
                0
            };
            who.passed(received, sent, now, self.door);
        }
        Ok(Some(next))
    }

    /// Sends what came of a turn; what is not taken is kept.
    fn send(
        &mut self,
        side: Side,
        client: &mut Vec<u8>,
        upstream: &mut Vec<u8>,
        cx: &mut Context<'_>,
    ) -> io::Result<()> {
        self.behind = client.len() >= FULL && !self.client.unread.is_empty();
        if !self.client.ended {
            let sent = self.client.send(cx, client);
            if sent.is_err() {
                self.client.ended = true;
            }
        }
        client.clear();
        self.upstream.send(cx, upstream).or_else(|error| {
            upstream.clear();
            // Its last words may still be there to be read.
            if side == Side::Client && !self.upstream.ended() {
                Ok(())
            } else {
                Err(error)
            }
        })
    }

    fn is_over(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.upstream.ended() {
            return Some(End::UpstreamLost);
        }
        if self.upstream.refused.is_some() {
            return Some(End::NoUpstream);
        }
        if self.upstream.is_revoked() && !self.session.is_linked() {
            return Some(End::Revoked);
        }
        if self.session.is_leaving() && self.client.waiting() == 0 {
            return Some(End::Quiet);
        }
        if self.rests_too_long(cx) {
            return Some(End::IdleTransaction);
        }
        if self.who.as_ref().is_some_and(|who| who.listed.is_killed()) {
            return Some(End::Killed);
        }
        let phase = self.phase.get();
        if phase >= Phase::Stopping {
            return Some(End::Stopping);
        }
        if phase >= Phase::Draining && self.session.is_idle() && self.client.waiting() == 0 {
            return Some(End::Stopping);
        }
        if self.client.ended {
            // PostgreSQL does not wait for the rest of a message either, nor holds its locks until then.
            if self.session.lacks(&self.client.unread) {
                self.client.unread.clear();
            }
            if self.session.may_leave(self.client.unread.len()) {
                return Some(End::Quiet);
            }
            let passed_on = self.client.unread.is_empty() && self.upstream.waiting() == 0;
            if passed_on && !std::mem::replace(&mut self.heard, true) {
                // All it has said was passed on; as PostgreSQL would see it, it is gone.
                self.upstream.close_write(cx);
            }
            let sleep = self
                .after_client
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(AFTER_CLIENT)));
            if sleep.as_mut().poll(cx).is_ready() {
                return Some(End::Quiet);
            }
        }
        None
    }

    /// Whether the client has left a transaction open for longer than it may.
    fn rests_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let limit = self.upstream.idle_transaction_timeout();
        let Some(limit) = limit.filter(|_| self.session.rests_in_transaction()) else {
            self.timers.resting = None;
            return false;
        };
        let sleep = self
            .timers
            .resting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        sleep.as_mut().poll(cx).is_ready()
    }

    /// The last words to the client.
    fn farewell(&self, end: &io::Result<End>) -> Vec<u8> {
        let mut out = Vec::new();
        if self.client.ended || !self.session.at_message_boundary() {
            return out;
        }
        match end {
            Ok(End::Stopping) => {
                let text = "terminating connection due to administrator command";
                message::put_error(
                    &mut out,
                    Severity::Fatal,
                    "57P01",
                    text,
                    "Larder is stopping.",
                );
            }
            Ok(End::Killed) => {
                let text = "terminating connection due to administrator command";
                let hint = "An operator of Larder has ended it.";
                message::put_error(&mut out, Severity::Fatal, "57P01", text, hint);
            }
            Ok(End::NoUpstream) => {
                if let Some(refusal) = &self.upstream.refused {
                    out = reception::words(refusal);
                }
            }
            Ok(End::Revoked) => {
                let text =
                    "terminating connection: the database does not let this user in any more";
                let hint = "The role, its password or its rights have changed. Connect anew.";
                message::put_error(&mut out, Severity::Fatal, "28000", text, hint);
            }
            Ok(End::IdleTransaction) => {
                let text = "terminating connection due to idle-in-transaction timeout";
                let hint = "Larder's pool.idle_transaction_timeout has passed.";
                message::put_error(&mut out, Severity::Fatal, "25P03", text, hint);
            }
            Ok(End::UpstreamLost) | Err(_) if !self.session.was_told() => {
                let text = "the connection to the database behind Larder was lost";
                let hint = "Whether a statement under way took effect is not known.";
                message::put_error(&mut out, Severity::Fatal, "08006", text, hint);
            }
            _ => {}
        }
        out
    }

    fn say(&mut self, cx: &mut Context<'_>, words: &[u8]) -> Poll<()> {
        if self.client.ended {
            return Poll::Ready(());
        }
        if self.subscribed {
            self.subscribed = false; // once
            if self.client.send(cx, &mut words.to_vec()).is_err() {
                return Poll::Ready(());
            }
        } else if self.client.flush(cx).is_err() {
            return Poll::Ready(());
        }
        if self.client.waiting() > 0 {
            return Poll::Pending;
        }
        self.client.close_write(cx);
        self.upstream.close_write(cx);
        Poll::Ready(())
    }
}

/// Gives bytes to the session; what it does not use is kept.
fn feed(session: &mut Session, line: &mut Line, side: Side, bytes: &[u8], io: &mut Io<'_>) -> Next {
    let mut give = |bytes: &[u8]| match side {
        Side::Client => session.client(bytes, io),
        Side::Upstream => session.upstream(bytes, io),
    };
    if line.unread.is_empty() {
        let (used, next) = give(bytes);
        line.keep(bytes, used);
        return next;
    }
    line.unread.extend_from_slice(bytes);
    let (used, next) = give(&line.unread);
    line.used(used);
    next
}
