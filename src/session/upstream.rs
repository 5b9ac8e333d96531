//! What the upstream sends.
//!
//! * Everything is relayed, in order, but what answers a message of Larder's own.
//! * A message that the queue of owed answers does not explain is relayed, too, and ends the following of the session.

use super::pending::{Item, Kind, Owed, Tag};
use super::refusal::proves_nothing_ran;
use super::selfcheck::denies;
use super::statements::Portal;
use super::{Copy, Io, Next, Phase, Session};
use crate::config::Pooler;
use crate::wire::frame::{self, Frame, HEAD, LONGEST_SEEN};
use crate::wire::message;

impl Session {
    /// Takes bytes from the upstream. Gives how many it used; the caller keeps the rest.
    pub fn upstream(&mut self, buf: &[u8], io: &mut Io<'_>) -> (usize, Next) {
        self.thread.look();
        let mut at = 0;
        while at < buf.len() {
            if self.flow.broken {
                return (buf.len(), Next::Close);
            }
            let rest = &buf[at..];
            if self.flow.upstream_left > 0 {
                let part = self.flow.upstream_left.min(rest.len());
                io.client.extend_from_slice(&rest[..part]);
                self.flow.upstream_left -= part;
                at += part;
                continue;
            }
            // What was owed before the client left the protocol is still answered in order.
            if self.flow.phase == Phase::Lost && self.pending.nothing_owed() {
                io.client.extend_from_slice(rest);
                return (buf.len(), Next::Continue);
            }
            match frame::peek(rest) {
                Frame::Short => break,
                Frame::Malformed => return (buf.len(), Next::Close),
                Frame::Part { len, .. } if len <= LONGEST_SEEN => break,
                Frame::Part { tag, len } => {
                    if self.hides() || !matches!(tag, b'D' | b'd' | b'V' | b'T') {
                        self.lose_order();
                    } else if let Some(fill) =
                        self.pending.front().and_then(|segment| segment.filling())
                    {
                        fill.too_large();
                    }
                    self.flow.upstream_left = len;
                }
                Frame::Whole { tag: b'D', .. } => at += self.rows(rest, io),
                Frame::Whole { tag, body } => {
                    let raw = &rest[..HEAD + body.len()];
                    self.upstream_message(tag, body, raw, io);
                    at += raw.len();
                }
            }
        }
        let next = if self.flow.broken {
            Next::Close
        } else {
            Next::Continue
        };
        (at, next)
    }

    /// Whether what comes now answers a message of Larder's own.
    fn hides(&self) -> bool {
        matches!(self.pending.first(), Some(Item::Owed { hidden: true, .. }))
    }

    /// Relays whole DataRows with one copy.
    fn rows(&mut self, rest: &[u8], io: &mut Io<'_>) -> usize {
        let (len, count) = frame::run(rest, b'D');
        match self.pending.first() {
            Some(Item::Owed {
                owed: Owed::Query { .. },
                hidden: true,
            }) => {
                if let Frame::Whole { body, .. } = frame::peek(rest) {
                    self.read_itself(body);
                }
                return len;
            }
            Some(Item::Owed {
                owed: Owed::Locks, ..
            }) => {
                self.locks_told(&rest[..len]);
                return len;
            }
            Some(Item::Owed {
                owed: Owed::Refused,
                ..
            }) => {}
            Some(Item::Owed {
                owed: Owed::Execute { fill } | Owed::Query { fill },
                ..
            }) => {
                if *fill
                    && let Some(fill) = self.pending.front().and_then(|segment| segment.filling())
                {
                    fill.rows(&rest[..len], count);
                }
            }
            _ => self.lose_order(),
        }
        io.client.extend_from_slice(&rest[..len]);
        len
    }

    fn read_itself(&mut self, body: &[u8]) {
        let own = self
            .pending
            .front()
            .is_some_and(|segment| segment.marks.kind == Kind::Own);
        if own
            && let Some(fields) = message::data_row(body)
            && self.settings.read(&fields)
        {
            let servers = &self.thread.ledger.servers;
            self.footing.server = self.settings.server(servers, &self.footing.mark);
            servers.meet(self.footing.server);
            let announced = self.settings.backend().is_some();
            if self.database.meet(announced) && !announced && self.thread.pooler == Pooler::None {
                let hint =
                    "nothing is served from memory until upstream.pooler says what kind it is";
                tracing::warn!(
                    database = self.database.name(),
                    hint,
                    "the upstream is a pooler: its backends are not those it announces"
                );
            }
        }
    }

    fn upstream_message(&mut self, tag: u8, body: &[u8], raw: &[u8], io: &mut Io<'_>) {
        match tag {
            b'N' | b'A' | b'S' => return self.asynchronous(tag, body, raw, io),
            b'E' => return self.error(raw, io),
            _ => {}
        }
        if self.flow.phase == Phase::Login {
            self.relay_login(tag, body, raw, io.client);
            match (tag, body.first_chunk::<4>()) {
                (b'K', Some(pid)) => {
                    self.settings.announce(i32::from_be_bytes(*pid));
                    self.link.key = body.into();
                }
                (b'Z', _) => {
                    self.flow.phase = Phase::Running;
                    self.transaction.ready(b'I');
                    if self.thread.mode() != super::Mode::Off {
                        self.database = self.thread.ledger.database(self.database.name());
                        if !self.flow.replication {
                            self.ask_itself(io);
                        }
                    }
                }
                _ => {}
            }
            return;
        }
        if tag == b'Z' {
            return self.ready(body, raw, io);
        }
        let hidden = self.hides();
        if !self.explained(tag, body, raw, io) {
            self.lose_order();
        }
        if !hidden || self.flow.phase == Phase::Lost {
            io.client.extend_from_slice(raw);
        }
        self.release(io);
    }

    /// Notice, Notification, ParameterStatus: at any time, at once (hazard 58), and nothing they come with is kept.
    fn asynchronous(&mut self, tag: u8, body: &[u8], raw: &[u8], io: &mut Io<'_>) {
        if tag == b'S'
            && let Some((name, value)) = message::parameter_status(body)
        {
            self.settings.report(name, value);
        }
        let own = self.pending.front().is_some_and(|segment| {
            segment.marks.noisy = true;
            segment.fills.iter_mut().for_each(|fill| fill.release(true));
            segment.marks.kind == Kind::Own
        });
        if !(own && tag == b'N') {
            io.client.extend_from_slice(raw);
        }
    }

    /// Whether the first owed answer explains this message; takes it off if it is its last.
    fn explained(&mut self, tag: u8, body: &[u8], raw: &[u8], io: &mut Io<'_>) -> bool {
        let Some(Item::Owed { owed, .. }) = self.pending.first() else {
            return false;
        };
        let hidden = self.hides();
        let execute = matches!(owed, Owed::Execute { .. });
        let refused = matches!(owed, Owed::Refused);
        let (last, filled) = match (owed, tag) {
            (Owed::Statement(..), b'1' | b'3')
            | (Owed::Simple, b'2' | b'3')
            | (Owed::Bound(..), b'2') => (true, false),
            (Owed::Describe { .. }, b't') => (false, false),
            (Owed::Learn(_) | Owed::Verify(..), b't') => {
                self.pending.description.clear();
                self.pending.description.extend_from_slice(raw);
                return true;
            }
            (Owed::Learn(_) | Owed::Verify(..), b'T' | b'n') => {
                self.pending.description.extend_from_slice(raw);
                (true, false)
            }
            (Owed::Describe { fill }, b'T' | b'n') => (true, *fill),
            (Owed::Execute { fill }, b'C' | b's' | b'I') => (true, *fill),
            (Owed::Refused, b'C' | b's' | b'I') => (true, false),
            (Owed::Locks, b'C') => {
                self.transaction.locked.complete();
                self.pending.pop();
                return true;
            }
            (Owed::Query { fill }, b'T' | b'C') => (false, *fill),
            (Owed::Query { .. } | Owed::Execute { .. }, b'G' | b'H' | b'W' | b'd' | b'c')
            | (Owed::Query { .. }, b'I')
            | (Owed::Function, b'V') => (false, false),
            _ => return false,
        };
        if refused || (tag == b'C' && self.front_is_refused()) {
            self.unforeseen();
        }
        self.note(tag, body, filled.then_some(raw), hidden);
        if last && let Some(Item::Owed { owed, .. }) = self.pending.pop() {
            match owed {
                Owed::Bound(name, word) => self.statements.checked(&name, word),
                Owed::Learn(learn) => self.learn(*learn),
                Owed::Verify(name, word) => self.verified(&name, word, io),
                _ => {}
            }
        }
        self.copies(tag, execute)
    }

    /// What a message says of COPY, in answer to an Execute or a Query. `false`: it explains nothing.
    fn copies(&mut self, tag: u8, execute: bool) -> bool {
        match tag {
            b'G' => match execute.then(|| self.pending.copy_began()) {
                Some(None) => return false,
                // With its end already sent, the rows may become visible at any moment: the intents stay open.
                Some(Some(true)) => {}
                None if self.pending.copy_ended() => {}
                Some(Some(false)) | None => {
                    self.flow.copy = Copy::In;
                    self.copy_begins();
                }
            },
            b'W' => self.flow.copy = Copy::Both,
            b'C' => self.flow.copy = Copy::None,
            _ => {}
        }
        true
    }

    /// Notes in its segment what a message says; `filled`: it belongs to an answer that is kept.
    fn note(&mut self, tag: u8, body: &[u8], filled: Option<&[u8]>, hidden: bool) {
        let Some(segment) = self.pending.front() else {
            return;
        };
        if let Some(raw) = filled {
            Session::fill(segment, tag, raw);
        }
        // What Larder runs in front of it counts for nothing.
        if tag == b'C' && !hidden {
            Session::completed(segment, body);
        }
        if tag == b's' && segment.tag == Tag::None {
            segment.tag = Tag::Begun;
        }
        // The tag of a portal that goes on counts the rows of its last Execute only.
        segment.marks.counted &= tag != b's';
    }

    fn front_is_refused(&mut self) -> bool {
        self.pending
            .front()
            .is_some_and(|segment| segment.tag == Tag::Refused)
    }

    /// A statement of that command tag was completed.
    fn completed(segment: &mut super::pending::Segment, body: &[u8]) {
        // No transaction gives the names back.
        let frees = |word: &&[u8]| body.starts_with(word);
        if [&b"DEALLOCATE"[..], b"DISCARD ALL"].iter().any(frees) {
            segment.dropped.pop_front();
        }
        // Reads may follow it in the same segment.
        if body.starts_with(b"ROLLBACK") {
            segment.tag = Tag::Rollback;
        } else if segment.tag != Tag::Rollback && counts_zero(body) {
            segment.tag = Tag::Zero;
        } else if !segment.tag.is_done() {
            segment.tag = Tag::Other;
        }
    }

    fn fill(segment: &mut super::pending::Segment, tag: u8, raw: &[u8]) {
        let Some(fill) = segment.filling() else {
            return;
        };
        match tag {
            b'T' => fill.description(raw),
            b'C' => {
                fill.complete(raw);
                segment.filled();
            }
            b's' => {
                fill.suspended(raw);
                segment.filled();
            }
            b'I' => {
                fill.give_up();
                segment.filled();
            }
            _ => fill.give_up(),
        }
    }

    fn error(&mut self, raw: &[u8], io: &mut Io<'_>) {
        self.thread.error(raw);
        let leaves = |field: &[u8]| matches!(field, b"SFATAL" | b"VFATAL" | b"SPANIC" | b"VPANIC");
        self.flow.parting |= raw[HEAD..].split(|byte| *byte == 0).any(leaves);
        let quiet = self
            .pending
            .front()
            .is_some_and(|segment| segment.marks.kind == Kind::Quiet);
        let hidden = match self.pending.first() {
            Some(Item::Owed {
                owed: Owed::Query { .. },
                hidden,
            }) => *hidden,
            _ => quiet,
        };
        let instead = match self.pending.first() {
            Some(Item::Owed {
                owed: Owed::Instead(words),
                ..
            }) => Some(words),
            _ => None,
        };
        // Why the upstream leaves is the client's business whatever it was asked.
        if let Some(words) = instead
            && !self.flow.parting
        {
            io.client.extend_from_slice(words);
        } else if !hidden || self.flow.parting {
            io.client.extend_from_slice(raw);
        }
        if self.flow.copy == Copy::In {
            self.flow.copy = Copy::None;
        }
        let (owed, segment) = self.pending.answered();
        let Some(segment) = segment else {
            return;
        };
        if proves_nothing_ran(&raw[HEAD..], owed, segment) {
            segment.tag = Tag::Unrun;
        }
        segment.marks.failed = true;
        // Of class 57 are cancels and shutdowns: the next may do better.
        let passing = raw[HEAD..]
            .split(|byte| *byte == 0)
            .any(|field| field.starts_with(b"C57"));
        for fill in &mut segment.fills {
            fill.release(passing);
        }
        if let Some(fill) = segment.filling()
            && denies(raw)
        {
            fill.deny();
        }
        if !matches!(
            self.pending.first(),
            Some(Item::Owed {
                owed: Owed::Query { .. } | Owed::Function | Owed::Sync,
                ..
            }) | None
        ) {
            self.skip_to_sync(io);
        }
    }

    /// Takes off what the upstream will not answer, and takes back what was assumed of it.
    fn skip_to_sync(&mut self, io: &mut Io<'_>) {
        let mut undo = Vec::new();
        let mut portal = None;
        let mut first = true;
        loop {
            match self.pending.first() {
                None => {
                    self.pending.skipping = true;
                    break;
                }
                Some(Item::Owed {
                    owed: Owed::Sync, ..
                }) => break,
                // What was held in front of it has failed, and it is not heard; the client has sent nothing behind it.
                Some(Item::Owed {
                    owed: Owed::Query { .. } | Owed::Function,
                    ..
                }) if self.pending.fragile => {
                    self.pending.pop();
                    // It has not ended the unnamed portal.
                    self.statements.place(b"", Some(Portal::Closed));
                    io.upstream.extend_from_slice(message::SYNC);
                    self.pending.push(Item::Owed {
                        owed: Owed::Sync,
                        hidden: false,
                    });
                    break;
                }
                // A Query behind a failed pipeline is ignored, too; nobody does that.
                Some(Item::Owed {
                    owed: Owed::Query { .. } | Owed::Function,
                    ..
                }) => return self.lose_order(),
                Some(_) => {}
            }
            match self.pending.pop() {
                // A Parse of the unnamed statement that fails has ended the one before.
                Some(Item::Owed {
                    owed: Owed::Statement(name, _),
                    hidden: false,
                }) if first && name.is_empty() => undo.push((name, None)),
                Some(
                    Item::Made(name, before)
                    | Item::Owed {
                        owed: Owed::Statement(name, before),
                        ..
                    },
                ) => undo.push((name, before)),
                Some(Item::Replaced(before)) => portal = portal.or(Some(before)),
                _ => {}
            }
            first = false;
        }
        for (name, before) in undo.into_iter().rev() {
            let given = self.statements.get(&name).is_some();
            if let Some(before) = self.pending.restore(&name, before, given) {
                self.statements.put(&name, before);
            }
        }
        // What was to be closed there may be left, and no portal is but in a block that has failed.
        self.statements.unnamed_left |= self.statements.get(b"").is_none();
        if let Some(portal) = portal
            && !self.pending.asks()
        {
            self.statements.place(b"", Some(*portal));
        }
    }

    fn ready(&mut self, body: &[u8], raw: &[u8], io: &mut Io<'_>) {
        let status = body.first().copied().unwrap_or(b'I');
        match self.pending.first() {
            Some(Item::Owed {
                owed: Owed::Sync | Owed::Query { .. } | Owed::Function,
                hidden,
            }) => {
                let hidden = *hidden;
                self.pending.pop();
                self.flow.copy = Copy::None;
                self.finish(status, io.now);
                if !hidden {
                    self.thread.ready(status);
                    io.client.extend_from_slice(raw);
                }
                self.release(io);
            }
            _ => {
                self.lose_order();
                io.client.extend_from_slice(raw);
            }
        }
    }
}

/// Whether a command tag says that a write has changed no row.
fn counts_zero(tag: &[u8]) -> bool {
    let writes: [&[u8]; 4] = [b"INSERT ", b"UPDATE ", b"DELETE ", b"MERGE "];
    tag.ends_with(b" 0\0") && writes.iter().any(|word| tag.starts_with(word))
}
