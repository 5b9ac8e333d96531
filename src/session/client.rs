//! What the client sends.

use super::decision::How;
use super::pending::{Item, Owed};
use super::reach::Link;
use super::statements::Known;
use super::text::Text;
use super::unit::{Ahead, ahead};
use super::{Copy, FULL, Io, Next, Phase, Session};
use crate::cache::reply::Reply;
use crate::cache::version::Fresh;
use crate::metrics::Outcome;
use crate::why::Why;
use crate::wire::frame::{self, Frame, HEAD, LONGEST_SEEN};
use crate::wire::message::{self, Severity};

/// Refuses a connection: the text goes to the client, then both sides are closed.
pub(super) struct Refused;

impl Session {
    /// Takes bytes from the client. Gives how many it used; the caller keeps the rest.
    pub fn client(&mut self, buf: &[u8], io: &mut Io<'_>) -> (usize, Next) {
        self.thread.look();
        match self.joining {
            None => self.take(buf, io),
            Some(_) => self.client_again(buf, io),
        }
    }

    pub(super) fn take(&mut self, buf: &[u8], io: &mut Io<'_>) -> (usize, Next) {
        let mut at = 0;
        while at < buf.len() {
            if self.flow.client_left > 0 {
                let part = self.flow.client_left.min(buf.len() - at);
                io.upstream.extend_from_slice(&buf[at..at + part]);
                self.flow.client_left -= part;
                at += part;
                continue;
            }
            if self.flow.phase == Phase::Lost {
                if !self.may_pass_unseen() {
                    refuse(
                        io,
                        "08P01",
                        "the database behind Larder does not speak PostgreSQL's protocol",
                    );
                    return (buf.len(), Next::Close);
                }
                io.upstream.extend_from_slice(&buf[at..]);
                return (buf.len(), Next::Continue);
            }
            if self.holds_client()
                || self.link.state == Link::Wanted
                || self.pending.is_full()
                || io.client.len() >= FULL
            {
                break;
            }
            let rest = &buf[at..];
            // Whether a name is free is in doubt with what it means.
            let gives = rest[0] == b'P' && rest.get(HEAD).is_some_and(|byte| *byte != 0);
            let names = gives || matches!(rest[0], b'B' | b'D' | b'C');
            let portals = matches!(rest[0], b'P' | b'B' | b'D' | b'C' | b'E');
            if (names && self.pending.in_doubt())
                || (portals && self.pending.replaces())
                || self.pending.is_fragile()
            {
                break;
            }
            let used = match frame::peek(rest) {
                Frame::Short => break,
                Frame::Malformed => {
                    refuse(io, "08P01", "invalid message length");
                    return (buf.len(), Next::Close);
                }
                Frame::Whole { tag, body } => self.client_message(tag, body, rest, io),
                Frame::Part { tag, len } => self.client_part(tag, len, rest, io),
            };
            match used {
                Ok(0) if self.flow.phase == Phase::Lost => {}
                Ok(0) => break,
                Ok(used) => at += used,
                Err(Refused) => return (buf.len(), Next::Close),
            }
        }
        let next = if self.flow.broken {
            Next::Close
        } else {
            Next::Continue
        };
        (at, next)
    }

    /// A message that is not whole: awaited if it must be seen, else streamed.
    fn client_part(
        &mut self,
        tag: u8,
        len: usize,
        rest: &[u8],
        io: &mut Io<'_>,
    ) -> Result<usize, Refused> {
        let streamed = match tag {
            b'd' if self.flow.phase != Phase::Login => true,
            _ if len <= LONGEST_SEEN || self.flow.phase == Phase::Login => false,
            _ if self.pending.skipping => true,
            _ if !self.reach(io) => return Ok(0),
            b'Q' | b'F' => {
                self.account_opaque(Why::TooLong, io);
                self.statements.query(true);
                self.owe(Owed::Query { fill: false });
                self.pending.close();
                true
            }
            b'P' => {
                let Some((name, _)) = message::cstr(&rest[HEAD..]) else {
                    return Ok(self.await_names(rest));
                };
                self.ensure_upstream(name, io);
                self.link.pinned = true;
                let before = self.statements.put(name, Some(Known::Foreign));
                self.pending.open(io.now).marks.impure = true;
                self.owe(Owed::Statement(name.into(), before));
                true
            }
            b'B' => {
                let Some(bind) = message::bind(&rest[HEAD..]) else {
                    return Ok(self.await_names(rest));
                };
                let may = self.may_do(bind.statement);
                self.ensure_upstream(bind.statement, io);
                self.bind_upstream(bind.portal, bind.statement, io);
                self.account_bound(may, io);
                true
            }
            _ => {
                self.lose_track();
                return Ok(0);
            }
        };
        if !streamed {
            return if len > LONGEST_SEEN {
                Err(self.refuse_login(io))
            } else {
                Ok(0)
            };
        }
        io.upstream.extend_from_slice(rest);
        self.flow.client_left = len - rest.len();
        Ok(rest.len())
    }

    /// The names at its start are not whole: a name that never ends is not awaited.
    fn await_names(&mut self, rest: &[u8]) -> usize {
        if rest.len() > LONGEST_SEEN {
            self.lose_track();
        }
        0
    }

    fn refuse_login(&self, io: &mut Io<'_>) -> Refused {
        refuse(
            io,
            "08P01",
            "a message of the authentication exchange is too long",
        );
        Refused
    }

    /// A whole message at the start of `rest`. Gives how many bytes it used; 0: not now.
    fn client_message(
        &mut self,
        tag: u8,
        body: &[u8],
        rest: &[u8],
        io: &mut Io<'_>,
    ) -> Result<usize, Refused> {
        let raw = &rest[..HEAD + body.len()];
        if self.flow.phase == Phase::Login {
            // Only the authentication exchange passes; what a hasty client sends behind it waits for its end.
            if tag != b'p' && tag != b'X' {
                return Ok(0);
            }
            if tag == b'p' && self.breaks_binding(body) {
                refuse_binding(io);
                return Err(Refused);
            }
            io.upstream.extend_from_slice(raw);
            return Ok(raw.len());
        }
        if self.flow.copy != Copy::None || self.pending.skipping {
            self.client_unheard(tag, raw, io);
            return Ok(raw.len());
        }
        let taken = match tag {
            b'Q' => match message::query(body) {
                Some(sql) => return Ok(self.query(sql, raw, io)),
                None => self.pass_unknown(raw, io),
            },
            b'P' | b'B' => match ahead(rest) {
                Ahead::Open => return Ok(0),
                Ahead::Unit(unit) => {
                    if let Some(used) = self.unit(&unit, io) {
                        return Ok(used);
                    }
                    self.single(tag, body, raw, io)
                }
                Ahead::Not => self.single(tag, body, raw, io),
            },
            b'D' | b'E' | b'C' => self.single(tag, body, raw, io),
            b'S' => self.sync(raw, io),
            _ => self.client_other(tag, raw, io),
        };
        Ok(if taken { raw.len() } else { 0 })
    }

    /// Messages of neither query protocol. `false`: not now.
    fn client_other(&mut self, tag: u8, raw: &[u8], io: &mut Io<'_>) -> bool {
        match tag {
            b'H' => {
                if self.pending.forwarded() {
                    io.upstream.extend_from_slice(raw);
                }
            }
            b'F' => {
                if !self.reach(io) {
                    return false;
                }
                self.account_opaque(Why::NotSelect, io);
                io.upstream.extend_from_slice(raw);
                self.owe(Owed::Function);
                self.pending.close();
            }
            b'X' => self.goodbye(raw, io),
            // Sent ahead of a COPY, or left over from one that has failed: PostgreSQL then ignores them, too.
            b'd' | b'c' | b'f' if self.link.state != Link::Held => {}
            b'd' | b'c' | b'f' => {
                if tag != b'd' && !self.pending.nothing_owed() {
                    self.pending.push(Item::CopyEnd);
                }
                io.upstream.extend_from_slice(raw);
            }
            _ => return self.pass_unknown(raw, io),
        }
        true
    }

    /// Terminate: not for a connection that others will have.
    fn goodbye(&mut self, raw: &[u8], io: &mut Io<'_>) {
        self.flow.parting = true;
        if !self.link.welcomed {
            io.upstream.extend_from_slice(raw);
        }
    }

    /// Forwards what is not understood. `false`: not now.
    pub(super) fn pass_unknown(&mut self, raw: &[u8], io: &mut Io<'_>) -> bool {
        if !self.reach(io) {
            return false;
        }
        self.lose_track();
        if self.may_pass_unseen() {
            io.upstream.extend_from_slice(raw);
        } else {
            self.flow.broken = true;
        }
        true
    }

    /// Messages while the upstream reads COPY data, or ignores everything until Sync.
    fn client_unheard(&mut self, tag: u8, raw: &[u8], io: &mut Io<'_>) {
        match tag {
            b'c' | b'f' if self.flow.copy != Copy::None => {
                if tag == b'c' {
                    self.copy_ends();
                }
                if self.flow.copy == Copy::In {
                    self.flow.copy = Copy::None;
                }
            }
            // During COPY PostgreSQL ignores Sync and Flush.
            b'd' | b'c' | b'f' | b'H' => {}
            b'S' if self.flow.copy != Copy::None => {}
            b'S' => {
                self.owe(Owed::Sync);
                self.pending.close();
            }
            b'X' => return self.goodbye(raw, io),
            _ if self.flow.copy != Copy::None => {
                self.pass_unknown(raw, io);
                return;
            }
            _ => {}
        }
        io.upstream.extend_from_slice(raw);
    }

    fn query_hit(&mut self, text: &Text, entry: &Fresh, io: &mut Io<'_>) {
        self.hit(text, entry, io);
        self.statements.query(false);
        self.pending.local = false;
        self.emit(entry.body(), io);
        self.answer(Item::Ready, io);
    }

    fn query(&mut self, sql: &[u8], raw: &[u8], io: &mut Io<'_>) -> usize {
        let Some(text) = self.text(sql) else {
            return 0;
        };
        if text.names && self.pending.in_doubt() {
            return 0;
        }
        match self.our_query(&text, io) {
            Some(true) => return raw.len(),
            Some(false) => return 0,
            None => {}
        }
        if self.wants_probe(&text) {
            self.ask_itself(io);
            return 0;
        }
        if !self.pending.forwarded()
            && !self.pending.local
            && let Some(tag) = self.hold(&text)
        {
            self.say_held(&text, tag, io);
            self.statements.query(false);
            self.answer(Item::Ready, io);
            return raw.len();
        }
        if self.flow.replication && is_replication_command(sql) {
            self.pending.open(io.now).marks.impure = true;
            self.count(Some(&text), Outcome::Other, None);
        } else {
            let how = How::simple(!self.pending.forwarded());
            match self.plan(&text, how, io.now) {
                Ok(entry) if !self.pending.forwarded() => {
                    self.query_hit(&text, &entry, io);
                    return raw.len();
                }
                Ok(_) => self.account_opaque(Why::Pipeline, io),
                Err(mut pass) => {
                    if self.joins(&mut pass, &how, io.now) || !self.reach(io) {
                        return 0;
                    }
                    self.prepare_upstream(&text, io);
                    let fill = pass.fill.is_some();
                    self.account(&text, *pass, io);
                    io.upstream.extend_from_slice(raw);
                    self.statements.query(true);
                    self.owe(Owed::Query { fill });
                    self.pending.close();
                    return raw.len();
                }
            }
        }
        io.upstream.extend_from_slice(raw);
        self.statements.query(true);
        self.owe(Owed::Query { fill: false });
        self.pending.close();
        raw.len()
    }
}

/// Tells a client why its connection ends.
fn refuse(io: &mut Io<'_>, sqlstate: &str, text: &str) {
    let hint = "This error comes from Larder, not from PostgreSQL.";
    message::put_error(io.client, Severity::Fatal, sqlstate, text, hint);
}

/// Tells a client why its login would fail.
fn refuse_binding(io: &mut Io<'_>) {
    let text = "SCRAM channel binding cannot pass through Larder: the client's TLS ends here, and the database's is another";
    let hint = "Let Larder verify this user itself ([[users]] or auth_query), or connect to Larder without TLS on the \
        same machine (sslmode=disable), or with channel_binding=disable.";
    message::put_error(io.client, Severity::Fatal, "28000", text, hint);
}

/// Commands of a replication connection that write no table (manual, 55.4); SQL on such a connection is SQL.
fn is_replication_command(sql: &[u8]) -> bool {
    const COMMANDS: [&str; 10] = [
        "IDENTIFY_SYSTEM",
        "TIMELINE_HISTORY",
        "CREATE_REPLICATION_SLOT",
        "ALTER_REPLICATION_SLOT",
        "READ_REPLICATION_SLOT",
        "DROP_REPLICATION_SLOT",
        "START_REPLICATION",
        "BASE_BACKUP",
        "UPLOAD_MANIFEST",
        "SHOW",
    ];
    let word: Vec<u8> = sql
        .trim_ascii_start()
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'_')
        .map(u8::to_ascii_uppercase)
        .collect();
    COMMANDS.iter().any(|command| command.as_bytes() == word)
}
