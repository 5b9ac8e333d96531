//! What the upstream must hear before a message can mean there what it means here: statements and portals that only
//! lived in the session, and Larder's own question. Its answers to these are hidden from the client.

use std::rc::Rc;

use super::pending::Owed;
use super::statements::{Known, Named, Portal};
use super::text::Text;
use super::{Io, Session};
use crate::sql::statement::{Discard, Statement};
use crate::wire::frame::{self, Frame, HEAD};
use crate::wire::message;

impl Session {
    /// Forwards a Parse.
    pub(super) fn parse_upstream(
        &mut self,
        parse: &message::Parse<'_>,
        raw: &[u8],
        io: &mut Io<'_>,
    ) {
        self.pending.open(io.now);
        if !parse.name.is_empty() {
            // Where it exists PostgreSQL shall say so: it must know. If it accepts the new one, the new one it is.
            self.ensure_upstream(parse.name, io);
        }
        let named = Named {
            text: self.thread.text(parse.text),
            types: self.thread.types(parse.types),
            upstream: true,
        };
        let before = self.statements.put(parse.name, Some(Known::Named(named)));
        if parse.name.is_empty() {
            self.statements.unnamed_left = false;
        }
        io.upstream.extend_from_slice(raw);
        self.owe(Owed::Statement(parse.name.into(), before));
    }

    /// Keeps the books of a Bind that is about to be forwarded.
    pub(super) fn bind_upstream(&mut self, portal: &[u8], statement: &[u8], io: &mut Io<'_>) {
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
    pub(super) fn ensure_upstream(&mut self, name: &[u8], io: &mut Io<'_>) {
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
    pub(super) fn portal_upstream(&mut self, io: &mut Io<'_>) {
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
    pub(super) fn prepare_upstream(&mut self, text: &Rc<Text>, io: &mut Io<'_>) {
        for statement in &text.analysis.statements {
            match statement {
                Statement::Prepare(name) | Statement::Execute(name) => {
                    self.ensure_upstream(name.as_bytes(), io);
                }
                // Now, not when it is answered: what is sent behind it may use the names anew.
                Statement::Deallocate(Some(name)) => {
                    self.ensure_upstream(name.as_bytes(), io);
                    let dropped = self.statements.drop_named(Some(name));
                    self.pending.open(io.now).dropped.extend(dropped);
                }
                Statement::Deallocate(None) | Statement::Discard(Discard::All) => {
                    let dropped = self.statements.drop_named(None);
                    self.pending.open(io.now).dropped.extend(dropped);
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
