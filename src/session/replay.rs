//! What the upstream must hear before a message can mean there what it means here: statements and portals that only
//! lived in the session, and Larder's own question. Its answers to these are hidden from the client.

use std::rc::Rc;

use super::pending::{Item, Kind, Owed};
use super::portal::ASIDE;
use super::reach::Link;
use super::statements::{Known, Named, Portal};
use super::text::Text;
use super::{Io, Session};
use crate::sql::statement::{Discard, Statement};
use crate::wire::frame;
use crate::wire::message;

impl Session {
    /// Forwards a Parse.
    pub(super) fn parse_upstream(
        &mut self,
        parse: &message::Parse<'_>,
        text: &Rc<Text>,
        raw: &[u8],
        io: &mut Io<'_>,
    ) {
        let known = self.statements.get(parse.name).is_some();
        if self.transaction.status() == b'E' || (known && !parse.name.is_empty()) {
            // It will be refused itself.
            self.pending.open(io.now);
        }
        self.pending.risks(known || self.statements.unnamed_left);
        if !parse.name.is_empty() {
            // Where it exists PostgreSQL shall say so: it must know. If it accepts the new one, the new one it is.
            self.ensure_upstream(parse.name, io);
        }
        self.pending.open(io.now);
        let named = Named {
            reading: self.read_under(text),
            text: text.clone(),
            types: self.thread.types(parse.types),
            upstream: true,
            checked: self.database.catalog_word(),
            shape: None,
        };
        let before = self.statements.put(parse.name, Some(Known::Named(named)));
        if parse.name.is_empty() {
            self.statements.unnamed_left = false;
        }
        // Only this backend has what is not kept here.
        self.link.pinned |= self.statements.spilled;
        io.upstream.extend_from_slice(raw);
        self.owe(Owed::Statement(parse.name.into(), before));
    }

    /// Keeps the books of a Bind that is about to be forwarded.
    pub(super) fn bind_upstream(&mut self, portal: &[u8], statement: &[u8], io: &mut Io<'_>) {
        let version = self.database.catalog_word();
        self.reads_again(statement);
        let named = self.statements.named(statement);
        let checked = named.is_none_or(|named| named.checked == version);
        let text = named.map(|named| named.text.clone());
        let mut before = None;
        if portal.is_empty() {
            let closed = matches!(self.statements.local(b""), Some(Portal::Closed))
                && self.transaction.status() != b'I';
            if closed {
                // Should the Bind fail, the one before must not be there.
                self.portal_upstream(b"", io);
                // The Close may be unheard, too.
                self.statements.place(b"", Some(Portal::Closed));
            }
            let lives = closed || self.statements.local(b"").is_some_and(Portal::is_bound);
            before = lives.then(|| self.statements.take_local(b"")).flatten();
            self.statements.place(b"", None);
            self.statements.bound_fill = None;
        }
        // Where the statement is missing no portal is made, and the one before stays.
        if text.is_some() || !self.lacks_statement(statement) {
            self.statements.portals.insert(portal.into(), text);
        }
        self.pending.open(io.now);
        self.owe(if checked {
            Owed::Simple
        } else {
            Owed::Bound(statement.into(), version)
        });
        if let Some(before) = before {
            self.pending.push(Item::Replaced(before.into()));
        }
    }

    /// Makes sure that the upstream has a statement that so far was only needed here, and has none that is gone here.
    pub(super) fn ensure_upstream(&mut self, name: &[u8], io: &mut Io<'_>) {
        if name.is_empty() && self.statements.unnamed_left && self.statements.get(b"").is_none() {
            self.pending.risks(true);
            frame::put(io.upstream, b'C', b"S\0");
            self.hidden(Owed::Simple, io);
            self.statements.unnamed_left = false;
        }
        let Some(named) = self.statements.named(name) else {
            return;
        };
        let ours = named.text.ours.as_ref();
        if named.upstream || ours.is_some_and(|ours| !ours.is_known_upstream()) {
            return;
        }
        let named = named.clone();
        let status = self.transaction.status();
        if status == b'E' || self.pending.may_abort(status == b'T') {
            // PostgreSQL will refuse it there.
            self.pending.open(io.now);
        }
        self.pending.risks(true);
        let parse = message::Parse {
            name,
            text: &named.text.sql,
            types: &named.types,
        };
        message::put_parse(io.upstream, &parse);
        self.hidden(Owed::Statement(name.into(), Some(Known::Named(named))), io);
        self.statements.is_upstream(name);
    }

    /// Tells the upstream of the names that were prepared here in this segment, with the client's own Sync (`raw`).
    ///
    /// A name is kept for long: the upstream must have it as it is now, to say so when its shape changes (0A000).
    pub(super) fn teach(&mut self, raw: &[u8], io: &mut Io<'_>) {
        // In a block it might fail, and the block with it.
        let free = self.pending.nothing_owed() && self.transaction.status() == b'I';
        if self.statements.untaught.is_empty() || !free {
            return;
        }
        if self.link.state != Link::Held {
            return self.statements.untaught.clear();
        }
        for name in std::mem::take(&mut self.statements.untaught) {
            self.ensure_upstream(&name, io);
        }
        if self.pending.forwarded() {
            self.pending.open(io.now).marks.kind = Kind::Quiet;
            io.upstream.extend_from_slice(raw);
            self.hidden(Owed::Sync, io);
            self.pending.close();
        }
    }

    /// Prepares a text under a name that is the client's in nothing.
    pub(super) fn parse_aside(&mut self, text: &[u8], types: &[u8], io: &mut Io<'_>) {
        // The one before is still there.
        frame::put(io.upstream, b'C', &[b"S", ASIDE, b"\0"].concat());
        message::put_parse(
            io.upstream,
            &message::Parse {
                name: ASIDE,
                text,
                types,
            },
        );
        self.hidden(Owed::Simple, io);
        self.hidden(Owed::Statement(ASIDE.into(), None), io);
    }

    /// What must be upstream before a text runs there.
    pub(super) fn prepare_upstream(&mut self, text: &Rc<Text>, io: &mut Io<'_>) {
        // A failed block would refuse what goes in front of the text, and the text would be unheard.
        let failed = self.in_failed_block();
        if !failed {
            self.teach_before(text, io);
        }
        for statement in &text.analysis.statements {
            match statement {
                Statement::Prepare(name, _) | Statement::Execute(name, _) if !failed => {
                    self.ensure_upstream(name.as_bytes(), io);
                }
                // Now, not when it is answered: what is sent behind it may use the names anew.
                Statement::Deallocate(Some(name)) => {
                    if !failed {
                        self.ensure_upstream(name.as_bytes(), io);
                    }
                    let dropped = self.statements.drop_named(Some(name));
                    self.drops(dropped, io);
                }
                Statement::Deallocate(None) | Statement::Discard(Discard::All) => {
                    let dropped = self.statements.drop_named(None);
                    self.drops(dropped, io);
                }
                Statement::Cursor | Statement::Declare(_) if !failed => {
                    self.portals_meet(statement, io);
                }
                // PostgreSQL refuses these after a query (25001): it must have seen one.
                Statement::SetTransaction(_) if self.transaction.hit && !failed => {
                    self.transaction.hit = false;
                    // The unnamed portal may be the one that is about to run.
                    self.run_aside(b"SELECT 1 WHERE false", ASIDE, io);
                }
                Statement::Commit { .. } if !failed => self.ask_at_commit(text, io),
                _ => {}
            }
        }
    }

    /// Names are taken away by a statement that is about to be sent, which may itself fail.
    fn drops(&mut self, dropped: Vec<(Box<[u8]>, Known)>, io: &Io<'_>) {
        let risky = !dropped.is_empty();
        self.pending.open(io.now).dropped.push_back(dropped);
        self.pending.risks(risky);
    }

    /// Asks the backend about the session, or gets one, which says the same unasked; the client waits meanwhile.
    pub(super) fn ask_itself(&mut self, io: &mut Io<'_>) {
        if !self.reach(io) {
            return;
        }
        self.statements.own_query();
        if self.settings.known() {
            // What was read of it may be true no more, and what is set meanwhile is not the default.
            self.settings.forget();
        }
        self.footing.baselines = self.database.baselines();
        self.footing.mark = self.thread.ledger.servers.mark();
        let mut body = super::probe::probe().into_bytes();
        body.push(0);
        frame::put(io.upstream, b'Q', &body);
        self.hidden(Owed::Query { fill: false }, io);
        self.pending.open(io.now).marks.kind = Kind::Own;
        let local = self.pending.local;
        self.pending.close();
        self.pending.local = local;
    }
}
