//! The extended protocol: units as a whole, and its messages one by one.
//!
//! A statement or portal lives here as long as hits suffice; the upstream hears of it with the first message that needs
//! it there (`replay`).

use std::rc::Rc;

use super::decision::{How, Pass};
use super::pending::{Item, Owed};
use super::portal::Local;
use super::statements::{Known, Named, Portal};
use super::unit::Unit;
use super::writes::May;
use super::{Io, Session};
use crate::cache::reply::Reply;
use crate::cache::version::Fresh;
use crate::sql::statement::Statement;
use crate::why::Why;
use crate::wire::message::{self, Target};

impl Session {
    /// Decides about a unit. `None`: its messages are to be taken one by one.
    pub(super) fn unit(&mut self, unit: &Unit<'_>, io: &mut Io<'_>) -> Option<usize> {
        let named = match &unit.parse {
            Some(parse) => {
                let name = parse.name;
                if !name.is_empty() && self.statements.get(name).is_some() {
                    return None; // 42P05, from PostgreSQL itself
                }
                if !self.statements.has_room(name) {
                    return None;
                }
                let Some(text) = self.text(parse.text) else {
                    return Some(0);
                };
                if text.names && self.pending.in_doubt() {
                    return Some(0);
                }
                let shape = match name {
                    b"" if !unit.describes_statement() => None,
                    _ => self.described(&text, parse.types),
                };
                self.named_now(text, parse.types, shape)
            }
            None => {
                match self.verify(unit.bind.statement, io) {
                    Some(Local::Wait) => return Some(0),
                    Some(_) => return Some(unit.bytes.len()),
                    None => {}
                }
                let mut named = self.statements.named(unit.bind.statement)?.clone();
                if unit.describes_statement() {
                    named.shape = self.describe_statement(unit.bind.statement);
                }
                named
            }
        };
        let stays = self.transaction.status() != b'I' || !unit.last || unit.execute.is_some();
        if named.text.ours.is_some() || !stays || !self.statements.takes_portal(unit.bind.portal) {
            return None;
        }
        if self.wants_probe(&named.text) {
            self.ask_itself(io);
            return Some(0);
        }
        if self.unit_held(unit, &named, io) {
            return Some(unit.bytes.len());
        }
        let limit = unit.execute.unwrap_or(0);
        let how = How {
            types: &named.types,
            tail: Some(unit.bind.tail),
            describe: unit.describe,
            limit,
            serve: named.checked == self.database.catalog_word()
                && (named.shape.is_some() || !unit.describes_statement()),
            last: unit.last,
            runs: unit.execute.is_some(),
            parsed: unit.parse.is_some(),
            reads: match &unit.parse {
                Some(_) => Ok(()),
                None => self.constants_hold(&named),
            },
        };
        match self.plan(&named.text, how, io.now) {
            Ok(entry) => self.unit_hit(unit, entry, named, io),
            Err(pass) => return Some(self.unit_upstream(unit, *pass, &named, &how, io)),
        }
        Some(unit.bytes.len())
    }

    /// Answers a unit from memory.
    fn unit_hit(&mut self, unit: &Unit<'_>, entry: Fresh, named: Named, io: &mut Io<'_>) {
        if let Some(parse) = &unit.parse {
            self.emit(message::PARSE_COMPLETE, io);
            self.statements
                .put(parse.name, Some(Known::Named(named.clone())));
            if !parse.name.is_empty() && named.shape.is_none() {
                self.statements.untaught.push(parse.name.into());
            }
        }
        let shape = named.shape.as_deref().unwrap_or_default();
        if unit.describe_statement[0] {
            self.emit(shape, io);
        }
        self.emit(message::BIND_COMPLETE, io);
        if unit.describe_statement[1] {
            self.emit(shape, io);
        }
        if unit.describe {
            self.emit(entry.description(), io);
        }
        let at = unit.execute.map(|limit| {
            self.hit(&named.text, &entry, io);
            self.give(&entry, 0, limit, io)
        });
        self.keep_portal(unit, entry, named, at);
        self.pending.local = true;
    }

    /// Forwards a unit. Gives how many bytes it used; 0: not now.
    fn unit_upstream(
        &mut self,
        unit: &Unit<'_>,
        mut pass: Pass,
        named: &Named,
        how: &How<'_>,
        io: &mut Io<'_>,
    ) -> usize {
        let waits = unit.execute.is_some() && self.joins(&mut pass, how, io.now);
        if waits || !self.reach(io) {
            return 0;
        }
        if unit.execute.is_some() {
            self.prepare_upstream(&named.text, io);
        }
        match &unit.parse {
            Some(parse) => self.parse_upstream(parse, &named.text, &unit.bytes[..unit.bind_at], io),
            None => self.ensure_upstream(unit.bind.statement, io),
        }
        if unit.describe_statement[0] {
            let owed = self.owed_description(unit.bind.statement);
            self.owe(owed);
        }
        self.bind_upstream(unit.bind.portal, unit.bind.statement, io);
        if unit.describe_statement[1] {
            let owed = self.owed_description(unit.bind.statement);
            self.owe(owed);
        }
        io.upstream.extend_from_slice(&unit.bytes[unit.bind_at..]);
        let fill = pass.fill.is_some() && unit.execute.is_some();
        if unit.describe {
            self.owe(Owed::Describe { fill });
        }
        if unit.execute.is_some() {
            self.account(&named.text, pass, io);
            self.owe(Owed::Execute { fill });
            return unit.bytes.len();
        }
        self.account_bound(May::Do(pass.effects.clone(), pass.version), io);
        if !unit.describe && unit.bind.portal.is_empty() {
            // Its snapshot is taken at Bind: the stamp is of this moment, the rows come with Execute.
            self.statements.bound_fill = pass.fill.take();
        }
        unit.bytes.len()
    }

    /// One message of the extended protocol. `false`: not now.
    pub(super) fn single(&mut self, tag: u8, body: &[u8], raw: &[u8], io: &mut Io<'_>) -> bool {
        let done = match tag {
            b'P' => message::parse(body).map(|parse| self.single_parse(&parse, raw, io)),
            b'B' => message::bind(body).map(|bind| self.single_bind(&bind, raw, io)),
            b'D' => message::target(body).map(|target| self.describe(target, raw, io)),
            b'C' => message::target(body).map(|target| self.close(target, raw, io)),
            _ => message::execute(body).map(|(portal, limit)| self.execute(portal, limit, raw, io)),
        };
        done.unwrap_or_else(|| self.pass_unknown(raw, io))
    }

    fn single_parse(&mut self, parse: &message::Parse<'_>, raw: &[u8], io: &mut Io<'_>) -> bool {
        let Some(text) = self.text(parse.text) else {
            return false;
        };
        if let Some(done) = self.our_parse(&text, io) {
            return done;
        }
        if text.constants && self.wants_probe(&text) {
            self.ask_itself(io);
            return false;
        }
        // Transaction control has no parameter that could be refused. Behind what may fail PostgreSQL knows best whether
        // the name has come to mean it.
        let control = text.is_control && parse.types.is_empty() && self.pending.nothing_owed();
        let local = text.ours.is_some() || control;
        if local
            && self.transaction.status() != b'E'
            && self
                .statements
                .get(parse.name)
                .is_none_or(|_| parse.name.is_empty())
        {
            let named = Named {
                text,
                types: self.thread.types(parse.types),
                upstream: false,
                checked: self.database.catalog_word(),
                shape: None,
                reading: None,
            };
            let before = self.statements.put(parse.name, Some(Known::Named(named)));
            self.emit(message::PARSE_COMPLETE, io);
            if !self.pending.nothing_owed() {
                self.pending.push(Item::Made(parse.name.into(), before));
            }
            self.pending.local = true;
            return true;
        }
        if self.parse_local(parse, &text, io) {
            return true;
        }
        self.reach(io) && {
            self.parse_upstream(parse, &text, raw, io);
            true
        }
    }

    fn single_bind(&mut self, bind: &message::Bind<'_>, raw: &[u8], io: &mut Io<'_>) -> bool {
        if let Some(done) = self.our_bind(bind, io) {
            return done;
        }
        if let Some(named) = self.control(bind) {
            let control = Portal::Control {
                named,
                bind: raw.into(),
            };
            self.statements.place(b"", Some(control));
            self.emit(message::BIND_COMPLETE, io);
            self.pending.local = true;
            return true;
        }
        match self.verify(bind.statement, io) {
            Some(local) => return local == Local::Done,
            None if !self.reach(io) => return false,
            None => {}
        }
        let found = self.statements.get(bind.statement).is_some() && !self.in_failed_block();
        if found && !bind.portal.is_empty() {
            // Where it exists PostgreSQL shall say so (42P03): it must know. It looks for the statement first.
            self.shadow(bind.portal, io);
        }
        let may = self.may_do(bind.statement);
        self.ensure_upstream(bind.statement, io);
        self.bind_upstream(bind.portal, bind.statement, io);
        self.account_bound(may, io);
        io.upstream.extend_from_slice(raw);
        true
    }

    /// The statement of transaction control that a message binds to the unnamed portal.
    fn control(&self, bind: &message::Bind<'_>) -> Option<Named> {
        let named = self.statements.named(bind.statement)?;
        let plain = named.text.is_control
            && named.types.is_empty()
            && bind.portal.is_empty()
            && self.pending.nothing_awaited()
            // One that is bound behind a COMMIT must not be taken for one that has ended with it.
            && !self.portals_over()
            && self.transaction.status() != b'E';
        (plain && message::parameters(bind.tail)?.is_empty()).then(|| named.clone())
    }

    fn describe(&mut self, target: Target<'_>, raw: &[u8], io: &mut Io<'_>) -> bool {
        match self.portal_message(target, false, io) {
            Some(false) => {}
            done => return done.is_some(),
        }
        let mut owed = Owed::Describe { fill: false };
        if let Target::Statement(name) = target {
            let settled = self.pending.nothing_awaited();
            // Behind a segment that may fail PostgreSQL knows best whether there is what it has; what lives here only may
            // then have to be refused.
            let doubted = self.pending.has_closed();
            let local: Option<Rc<[u8]>> = match self.statements.named(name) {
                Some(named) if doubted && named.upstream => None,
                Some(named) if doubted && !named.text.is_control => return false,
                Some(Named { text, types, .. }) if text.ours.is_some() => {
                    let ours = text.ours.as_ref();
                    ours.map(|ours| {
                        [ours.describe_parameters(types), ours.describe(0)]
                            .concat()
                            .into()
                    })
                }
                // In a failed block, too: it has no row.
                Some(named) if named.text.is_control && (settled || !named.upstream) => {
                    Some([message::NO_PARAMETERS, message::NO_DATA].concat().into())
                }
                _ => self.describe_statement(name),
            };
            if let Some(bytes) = local {
                self.emit(&bytes, io);
                self.pending.local = true;
                return true;
            }
            if let Some(local) = self.verify(name, io) {
                return local == Local::Done;
            }
            if !self.reach(io) {
                return false;
            }
            self.ensure_upstream(name, io);
            self.reads_again(name);
            owed = self.owed_description(name);
        }
        if !self.reach(io) {
            return false;
        }
        io.upstream.extend_from_slice(raw);
        self.pending.open(io.now);
        self.owe(owed);
        true
    }

    fn close(&mut self, target: Target<'_>, raw: &[u8], io: &mut Io<'_>) -> bool {
        match self.portal_message(target, true, io) {
            Some(false) => {}
            done => return done.is_some(),
        }
        let owed = match target {
            Target::Statement(name) => {
                // Behind what may fail it must be taken back with the rest. What only Larder waits for is a message of its own.
                let local = self.pending.nothing_awaited()
                    && self
                        .statements
                        .named(name)
                        .is_some_and(|named| !named.upstream);
                if !local && !self.reach(io) {
                    return false;
                }
                let before = self.statements.put(name, None);
                self.pending.risks(before.is_some());
                if local {
                    self.emit(message::CLOSE_COMPLETE, io);
                    self.pending.local = true;
                    return true;
                }
                Owed::Statement(name.into(), before)
            }
            Target::Portal(_) if !self.reach(io) => return false,
            Target::Portal(name) => {
                // An error before it would leave it unheard; a name too many does no harm.
                if self.pending.nothing_owed() {
                    self.statements.portals.remove(name);
                }
                Owed::Simple
            }
        };
        io.upstream.extend_from_slice(raw);
        self.pending.open(io.now);
        self.owe(owed);
        true
    }

    fn execute(&mut self, portal: &[u8], limit: i32, raw: &[u8], io: &mut Io<'_>) -> bool {
        match self.execute_local(portal, limit, io) {
            Local::Upstream => {}
            Local::Wait => return false,
            Local::Done => {
                self.pending.local = true;
                return true;
            }
        }
        if !self.reach(io) {
            return false;
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
            None if self.lacks_portal(portal) => {
                self.account_refused(io);
                io.upstream.extend_from_slice(raw);
                self.owe(Owed::Refused);
                return true;
            }
            None => self.account_opaque(Why::Portal, io),
        }
        io.upstream.extend_from_slice(raw);
        self.owe(Owed::Execute { fill });
        true
    }

    pub(super) fn sync(&mut self, raw: &[u8], io: &mut Io<'_>) -> bool {
        // A bare Sync is a health check: it reaches the database.
        if self.pending.local && !self.pending.forwarded() {
            self.pending.local = false;
            self.end_implicit();
            self.answer(Item::Ready, io);
            self.teach(raw, io);
            return true;
        }
        if !self.reach(io) {
            return false;
        }
        self.ask_at_sync(io);
        self.pending.open(io.now);
        io.upstream.extend_from_slice(raw);
        self.owe(Owed::Sync);
        // What is bound behind a BEGIN lives on in its block.
        let begins = self.pending.segments().any(|segment| {
            let mut statements = segment
                .ran
                .iter()
                .flat_map(|text| &*text.analysis.statements);
            statements.any(|statement| matches!(statement, Statement::Begin(_)))
        });
        self.pending.close();
        if !begins {
            self.end_implicit();
        }
        true
    }

    /// A Sync outside a block ends every portal.
    fn end_implicit(&mut self) {
        if self.transaction.status() == b'I' {
            self.statements.place(b"", None);
            self.statements.end_portals();
        }
    }
}
