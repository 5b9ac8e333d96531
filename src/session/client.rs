//! What the client sends.

use std::rc::Rc;

use super::decision::How;
use super::pending::{Item, Owed};
use super::statements::{Known, Named, Portal};
use super::text::Text;
use super::unit::{Ahead, Unit, ahead};
use super::{Copy, Io, Next, Phase, Session};
use crate::cache::reply::Reply;
use crate::metrics::Outcome;
use crate::sql::statement::Statement;
use crate::why::Why;
use crate::wire::frame::{self, Frame, HEAD, LONGEST_SEEN};
use crate::wire::message::{self, Severity, Target};

/// How many unanswered messages a client may run ahead.
const AHEAD: usize = 8192;

/// Refuses a connection: the text goes to the client, then both sides are closed.
pub(super) struct Refused;

impl Session {
    /// Takes bytes from the client. Gives how many it used; the caller keeps the rest.
    pub fn client(&mut self, buf: &[u8], io: &mut Io<'_>) -> (usize, Next) {
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
                io.upstream.extend_from_slice(&buf[at..]);
                return (buf.len(), Next::Continue);
            }
            if self.holds_client() || self.pending.len() > AHEAD {
                break;
            }
            let rest = &buf[at..];
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
                Ok(0) => break,
                Ok(used) => at += used,
                Err(Refused) => return (buf.len(), Next::Close),
            }
        }
        (at, Next::Continue)
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
            b'd' => true,
            _ if len <= LONGEST_SEEN || self.flow.phase == Phase::Login => false,
            _ if self.pending.skipping => true,
            b'Q' | b'F' => {
                self.account_opaque(Why::TooLong, io);
                self.statements.query(true);
                self.owe(Owed::Query { fill: false });
                self.pending.close();
                true
            }
            b'P' => {
                let Some((name, _)) = message::cstr(&rest[HEAD..]) else {
                    return Ok(0);
                };
                self.ensure_upstream(name, io);
                let before = self.statements.put(name, Some(Known::Foreign));
                self.pending.open(io.now).marks.impure = true;
                self.owe(Owed::Statement(name.into(), before));
                true
            }
            b'B' => {
                let Some(bind) = message::bind(&rest[HEAD..]) else {
                    return Ok(0);
                };
                self.bind_upstream(bind.portal, bind.statement, io);
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
            io.upstream.extend_from_slice(raw);
            return Ok(raw.len());
        }
        if self.flow.copy != Copy::None || self.pending.skipping {
            self.client_unheard(tag, raw, io);
            return Ok(raw.len());
        }
        match tag {
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
                    self.single(tag, body, raw, io);
                }
                Ahead::Not => self.single(tag, body, raw, io),
            },
            b'D' | b'E' | b'C' => self.single(tag, body, raw, io),
            b'S' => self.sync(raw, io),
            b'H' => {
                if self.pending.forwarded() {
                    io.upstream.extend_from_slice(raw);
                }
            }
            b'F' => {
                self.account_opaque(Why::NotSelect, io);
                io.upstream.extend_from_slice(raw);
                self.owe(Owed::Function);
                self.pending.close();
            }
            b'X' => {
                self.flow.parting = true;
                io.upstream.extend_from_slice(raw);
            }
            // Left over from a COPY that has failed: PostgreSQL ignores them, too.
            b'd' | b'c' | b'f' => io.upstream.extend_from_slice(raw),
            _ => self.pass_unknown(raw, io),
        }
        Ok(raw.len())
    }

    fn pass_unknown(&mut self, raw: &[u8], io: &mut Io<'_>) {
        self.lose_track();
        io.upstream.extend_from_slice(raw);
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
            b'X' => self.flow.parting = true,
            _ if self.flow.copy != Copy::None => self.lose_track(),
            _ => {}
        }
        io.upstream.extend_from_slice(raw);
    }

    fn query(&mut self, sql: &[u8], raw: &[u8], io: &mut Io<'_>) -> usize {
        let text = self.thread.text(sql);
        if text.is_last && !self.pending.forwarded() {
            self.statements.query(false);
            self.pending.local = false;
            self.answer(Item::Last { simple: true }, io);
            return raw.len();
        }
        if self.wants_probe(&text) {
            self.ask_itself(io);
            return 0;
        }
        if self.flow.replication && is_replication_command(sql) {
            self.pending.open(io.now).marks.impure = true;
            self.count(Outcome::Other, None);
        } else {
            match self.plan(
                &text,
                How {
                    types: &[],
                    tail: None,
                    describe: true,
                    limit: 0,
                },
                io.now,
            ) {
                Ok(entry) if !self.pending.forwarded() => {
                    self.hit(entry.header().made, entry.header().cost, io);
                    self.statements.query(false);
                    self.pending.local = false;
                    self.emit(entry.body(), io);
                    self.answer(Item::Ready, io);
                    return raw.len();
                }
                Ok(_) => self.account_opaque(Why::Pipeline, io),
                Err(pass) => {
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

    /// Decides about a unit. `None`: its messages are to be taken one by one.
    fn unit(&mut self, unit: &Unit<'_>, io: &mut Io<'_>) -> Option<usize> {
        let named = match &unit.parse {
            Some(parse) => {
                let name = parse.name;
                if !name.is_empty() && self.statements.get(name).is_some() {
                    return None; // 42P05, from PostgreSQL itself
                }
                Named {
                    text: self.thread.text(parse.text),
                    types: parse.types.into(),
                    upstream: false,
                }
            }
            None => self.statements.named(unit.bind.statement)?.clone(),
        };
        if named.text.is_last {
            return None;
        }
        if self.wants_probe(&named.text) {
            self.ask_itself(io);
            return Some(0);
        }
        let limit = unit.execute.unwrap_or(0);
        let how = How {
            types: &named.types,
            tail: Some(unit.bind.tail),
            describe: unit.describe,
            limit,
        };
        match self.plan(&named.text, how, io.now) {
            Ok(entry) => {
                if let Some(parse) = &unit.parse {
                    self.emit(message::PARSE_COMPLETE, io);
                    self.statements
                        .put(parse.name, Some(Known::Named(named.clone())));
                }
                self.emit(message::BIND_COMPLETE, io);
                if unit.describe {
                    self.emit(entry.description(), io);
                }
                self.statements.portal = Some(if unit.execute.is_some() {
                    self.hit(entry.header().made, entry.header().cost, io);
                    self.emit(entry.rows(), io);
                    Portal::Done
                } else {
                    Portal::Bound {
                        entry,
                        named,
                        bind: unit.bytes[unit.bind_at..].into(),
                    }
                });
                self.pending.local = true;
            }
            Err(mut pass) => {
                match &unit.parse {
                    Some(parse) => self.parse_upstream(parse, &unit.bytes[..unit.bind_at], io),
                    None => self.ensure_upstream(unit.bind.statement, io),
                }
                self.bind_upstream(b"", unit.bind.statement, io);
                io.upstream.extend_from_slice(&unit.bytes[unit.bind_at..]);
                let fill = pass.fill.is_some();
                if unit.describe {
                    self.owe(Owed::Describe { fill });
                }
                if unit.execute.is_some() {
                    self.prepare_upstream(&named.text, io);
                    self.account(&named.text, *pass, io);
                    self.owe(Owed::Execute { fill });
                } else if !unit.describe {
                    // Its snapshot is taken at Bind: the stamp is of this moment, the rows come with Execute.
                    self.statements.bound_fill = pass.fill.take();
                }
            }
        }
        Some(unit.bytes.len())
    }

    /// One message of the extended protocol.
    fn single(&mut self, tag: u8, body: &[u8], raw: &[u8], io: &mut Io<'_>) {
        let done = match tag {
            b'P' => message::parse(body).map(|parse| self.single_parse(&parse, raw, io)),
            b'B' => message::bind(body).map(|bind| self.single_bind(&bind, raw, io)),
            b'D' => message::target(body).map(|target| self.describe(target, raw, io)),
            b'C' => message::target(body).map(|target| self.close(target, raw, io)),
            _ => message::execute(body).map(|(portal, limit)| self.execute(portal, limit, raw, io)),
        };
        if done.is_none() {
            self.pass_unknown(raw, io);
        }
    }

    fn single_parse(&mut self, parse: &message::Parse<'_>, raw: &[u8], io: &mut Io<'_>) {
        let text = self.thread.text(parse.text);
        if text.is_last
            && self
                .statements
                .get(parse.name)
                .is_none_or(|_| parse.name.is_empty())
        {
            let named = Named {
                text,
                types: parse.types.into(),
                upstream: false,
            };
            self.statements.put(parse.name, Some(Known::Named(named)));
            self.emit(message::PARSE_COMPLETE, io);
            self.pending.local = true;
            return;
        }
        self.parse_upstream(parse, raw, io);
    }

    fn single_bind(&mut self, bind: &message::Bind<'_>, raw: &[u8], io: &mut Io<'_>) {
        let last = self
            .statements
            .named(bind.statement)
            .is_some_and(|named| named.text.is_last);
        if last && bind.portal.is_empty() {
            let format = match bind.tail {
                [.., 0, 1, 0, format] => *format,
                _ => 0,
            };
            self.statements.portal = Some(Portal::Last(format));
            self.emit(message::BIND_COMPLETE, io);
            self.pending.local = true;
            return;
        }
        self.ensure_upstream(bind.statement, io);
        self.bind_upstream(bind.portal, bind.statement, io);
        io.upstream.extend_from_slice(raw);
    }

    fn describe(&mut self, target: Target<'_>, raw: &[u8], io: &mut Io<'_>) {
        let local = match target {
            Target::Statement(name) => {
                let last = self
                    .statements
                    .named(name)
                    .is_some_and(|named| named.text.is_last);
                if !last {
                    self.ensure_upstream(name, io);
                }
                last.then(|| Session::describe_last(true, 0))
            }
            Target::Portal(b"") => match &self.statements.portal {
                Some(Portal::Last(format)) => Some(Session::describe_last(false, *format)),
                Some(Portal::Bound { entry, .. }) if !entry.description().is_empty() => {
                    Some(entry.description().to_vec())
                }
                _ => {
                    self.portal_upstream(io);
                    None
                }
            },
            Target::Portal(_) => None,
        };
        match local {
            Some(bytes) => {
                self.emit(&bytes, io);
                self.pending.local = true;
            }
            None => {
                io.upstream.extend_from_slice(raw);
                self.pending.open(io.now);
                self.owe(Owed::Describe { fill: false });
            }
        }
    }

    fn close(&mut self, target: Target<'_>, raw: &[u8], io: &mut Io<'_>) {
        let owed = match target {
            Target::Statement(name) => {
                let local = self
                    .statements
                    .named(name)
                    .is_some_and(|named| !named.upstream);
                let before = self.statements.put(name, None);
                if local && !name.is_empty() {
                    self.emit(message::CLOSE_COMPLETE, io);
                    self.pending.local = true;
                    return;
                }
                Owed::Statement(name.into(), before)
            }
            Target::Portal(b"") if self.statements.portal.is_some() => {
                self.statements.portal = Some(Portal::Closed);
                self.emit(message::CLOSE_COMPLETE, io);
                self.pending.local = true;
                return;
            }
            Target::Portal(name) => {
                self.statements.portals.remove(name);
                Owed::Simple
            }
        };
        io.upstream.extend_from_slice(raw);
        self.pending.open(io.now);
        self.owe(owed);
    }

    fn execute(&mut self, portal: &[u8], limit: i32, raw: &[u8], io: &mut Io<'_>) {
        if portal.is_empty() && self.execute_local(limit, io) {
            self.pending.local = true;
            return;
        }
        let text = self.statements.portals.get(portal).cloned().flatten();
        let mut fill = false;
        match text {
            Some(text) => {
                let bound = if portal.is_empty() {
                    self.statements.bound_fill.take()
                } else {
                    None
                };
                let pass = self.plan_portal(&text, bound, io.now);
                fill = pass.fill.is_some();
                self.prepare_upstream(&text, io);
                self.account(&text, pass, io);
            }
            None => self.account_opaque(Why::Portal, io),
        }
        io.upstream.extend_from_slice(raw);
        self.owe(Owed::Execute { fill });
    }

    /// Executes the unnamed portal here if it lives here; else makes sure that the upstream has it.
    fn execute_local(&mut self, limit: i32, io: &mut Io<'_>) -> bool {
        match &self.statements.portal {
            None => return false,
            Some(Portal::Last(_)) => self.answer(Item::Last { simple: false }, io),
            Some(Portal::Done) => {
                let mut out = Vec::new();
                message::put_complete(&mut out, "SELECT 0");
                self.emit(&out, io);
            }
            Some(Portal::Bound { entry, .. }) => {
                let whole = limit <= 0 || entry.header().rows < limit as u32;
                if !whole || self.gate().is_err() || !entry.again(io.now) {
                    self.portal_upstream(io);
                    return false;
                }
                let Some(Portal::Bound { entry, .. }) =
                    self.statements.portal.replace(Portal::Done)
                else {
                    return false;
                };
                self.hit(entry.header().made, entry.header().cost, io);
                self.emit(entry.rows(), io);
            }
            Some(Portal::Closed) => {
                self.portal_upstream(io);
                return false;
            }
        }
        true
    }

    fn sync(&mut self, raw: &[u8], io: &mut Io<'_>) {
        // A bare Sync is a health check: it reaches the database.
        if self.pending.local && !self.pending.forwarded() {
            self.pending.local = false;
            if self.transaction.status() == b'I' {
                self.statements.portal = None;
            }
            self.answer(Item::Ready, io);
            return;
        }
        self.pending.open(io.now);
        io.upstream.extend_from_slice(raw);
        self.owe(Owed::Sync);
        self.pending.close();
        if self.transaction.status() == b'I' {
            self.statements.portal = None;
        }
    }

    /// A hit, for the books.
    fn hit(&mut self, made: u64, cost: u32, io: &Io<'_>) {
        self.last = (Outcome::Hit, None);
        self.transaction.hit |= self.transaction.status() == b'T';
        self.thread
            .hit(io.now.saturating_sub(made), u64::from(cost));
    }

    /// Sends bytes of ours to the client, behind everything that is owed.
    pub(super) fn emit(&mut self, bytes: &[u8], io: &mut Io<'_>) {
        if self.pending.nothing_owed() {
            io.client.extend_from_slice(bytes);
        } else {
            self.pending.push_local(bytes);
        }
    }

    fn answer(&mut self, item: Item, io: &mut Io<'_>) {
        self.pending.push(item);
        self.release(io);
    }

    fn owe(&mut self, owed: Owed) {
        self.pending.push(Item::Owed {
            owed,
            hidden: false,
        });
    }

    fn hidden(&mut self, owed: Owed, io: &Io<'_>) {
        self.pending.open(io.now);
        self.pending.push(Item::Owed { owed, hidden: true });
    }

    /// Forwards a Parse.
    fn parse_upstream(&mut self, parse: &message::Parse<'_>, raw: &[u8], io: &mut Io<'_>) {
        self.pending.open(io.now);
        let before = if !parse.name.is_empty() && self.statements.get(parse.name).is_some() {
            // PostgreSQL shall say that it exists: it must know.
            self.ensure_upstream(parse.name, io);
            self.statements.get(parse.name).cloned()
        } else {
            let text = self.thread.text(parse.text);
            let named = Named {
                text,
                types: parse.types.into(),
                upstream: true,
            };
            self.statements.put(parse.name, Some(Known::Named(named)))
        };
        if parse.name.is_empty() {
            self.statements.unnamed_left = false;
        }
        io.upstream.extend_from_slice(raw);
        self.owe(Owed::Statement(parse.name.into(), before));
    }

    /// Keeps the books of a Bind that is about to be forwarded.
    fn bind_upstream(&mut self, portal: &[u8], statement: &[u8], io: &mut Io<'_>) {
        if statement.is_empty()
            && self.statements.unnamed_left
            && self.statements.get(b"").is_none()
        {
            frame::put(io.upstream, b'C', b"S\0");
            self.hidden(Owed::Simple, io);
            self.statements.unnamed_left = false;
        }
        let text = self
            .statements
            .named(statement)
            .map(|named| named.text.clone());
        if portal.is_empty() {
            self.statements.portal = None;
            self.statements.bound_fill = None;
        }
        self.statements.portals.insert(portal.into(), text);
        self.pending.open(io.now);
        self.owe(Owed::Simple);
    }

    /// Makes sure that the upstream has a statement that so far was only needed here.
    fn ensure_upstream(&mut self, name: &[u8], io: &mut Io<'_>) {
        let Some(named) = self.statements.named(name) else {
            return;
        };
        if named.upstream || named.text.is_last {
            return;
        }
        let named = named.clone();
        let parse = message::Parse {
            name,
            text: &named.text.sql,
            types: &named.types,
        };
        message::put_parse(io.upstream, &parse);
        self.hidden(Owed::Statement(name.into(), Some(Known::Named(named))), io);
        self.statements.is_upstream(name);
    }

    /// Makes sure that the upstream's unnamed portal is the client's.
    fn portal_upstream(&mut self, io: &mut Io<'_>) {
        match self.statements.portal.take() {
            Some(Portal::Bound { named, bind, .. }) => {
                let Frame::Whole { body, .. } = frame::peek(&bind) else {
                    return;
                };
                let Some(found) = message::bind(body) else {
                    return;
                };
                let name = found.statement.to_vec();
                if self.statements.get(&name).is_none() {
                    self.statements
                        .put(&name, Some(Known::Named(named.clone())));
                }
                self.ensure_upstream(&name, io);
                self.statements
                    .portals
                    .insert(Box::default(), Some(named.text));
                io.upstream.extend_from_slice(&bind[..HEAD + body.len()]);
                self.hidden(Owed::Simple, io);
            }
            Some(Portal::Closed | Portal::Done) => {
                frame::put(io.upstream, b'C', b"P\0");
                self.hidden(Owed::Simple, io);
            }
            Some(Portal::Last(_)) | None => {}
        }
    }

    /// What must be upstream before a text runs there.
    fn prepare_upstream(&mut self, text: &Rc<Text>, io: &mut Io<'_>) {
        for statement in &text.analysis.statements {
            match statement {
                Statement::Prepare(name)
                | Statement::Execute(name)
                | Statement::Deallocate(Some(name)) => {
                    self.ensure_upstream(name.as_bytes(), io);
                }
                // PostgreSQL refuses these after a query (25001): it must have seen one.
                Statement::SetTransaction(_)
                    if self.transaction.hit && !self.pending.forwarded() =>
                {
                    self.transaction.hit = false;
                    self.statements.own_query();
                    frame::put(io.upstream, b'Q', b"SELECT 1\0");
                    self.hidden(Owed::Query { fill: false }, io);
                    self.pending.close();
                }
                _ => {}
            }
        }
    }

    /// Asks the backend about the session; the client waits meanwhile.
    pub(super) fn ask_itself(&mut self, io: &mut Io<'_>) {
        self.statements.own_query();
        let mut body = super::settings::probe().into_bytes();
        body.push(0);
        frame::put(io.upstream, b'Q', &body);
        self.hidden(Owed::Query { fill: false }, io);
        self.pending.open(io.now).marks.own = true;
        let local = self.pending.local;
        self.pending.close();
        self.pending.local = local;
    }
}

/// Tells a client why its connection ends.
fn refuse(io: &mut Io<'_>, sqlstate: &str, text: &str) {
    let hint = "This error comes from Larder, not from PostgreSQL.";
    message::put_error(io.client, Severity::Fatal, sqlstate, text, hint);
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
