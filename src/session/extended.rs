//! The extended protocol: units as a whole, and its messages one by one.
//!
//! A statement or portal lives here as long as hits suffice; the upstream hears of it with the first message that needs
//! it there (`replay`).

use super::decision::{How, Pass};
use super::pending::{Item, Owed};
use super::statements::{Known, Named, Portal};
use super::unit::Unit;
use super::{Io, Session};
use crate::cache::reply::Reply;
use crate::cache::version::Fresh;
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
                Named {
                    text: self.thread.text(parse.text),
                    types: self.thread.types(parse.types),
                    upstream: false,
                    checked: self.database.catalog_word(),
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
        if self.unit_held(unit, &named, io) {
            return Some(unit.bytes.len());
        }
        let limit = unit.execute.unwrap_or(0);
        let how = How {
            types: &named.types,
            tail: Some(unit.bind.tail),
            describe: unit.describe,
            limit,
            serve: named.checked == self.database.catalog_word(),
            last: unit.last,
        };
        match self.plan(&named.text, how, io.now) {
            Ok(entry) => self.unit_hit(unit, entry, named, io),
            Err(_) if !self.reach(io) => return Some(0),
            Err(pass) => self.unit_upstream(unit, *pass, &named, io),
        }
        Some(unit.bytes.len())
    }

    /// Answers a unit from memory.
    fn unit_hit(&mut self, unit: &Unit<'_>, entry: Fresh, named: Named, io: &mut Io<'_>) {
        if let Some(parse) = &unit.parse {
            self.emit(message::PARSE_COMPLETE, io);
            self.statements
                .put(parse.name, Some(Known::Named(named.clone())));
            if !parse.name.is_empty() {
                self.statements.untaught.push(parse.name.into());
            }
        }
        self.emit(message::BIND_COMPLETE, io);
        if unit.describe {
            self.emit(entry.description(), io);
        }
        self.statements.portal = Some(if unit.execute.is_some() {
            self.hit(entry.header().made, entry.header().cost, io);
            self.emit(entry.rows(), io);
            Portal::Done(entry)
        } else {
            Portal::Bound {
                entry,
                named,
                bind: unit.bytes[unit.bind_at..].into(),
                context: self.settings.context(&self.thread.contexts),
            }
        });
        self.pending.local = true;
    }

    /// Forwards a unit.
    fn unit_upstream(&mut self, unit: &Unit<'_>, mut pass: Pass, named: &Named, io: &mut Io<'_>) {
        if unit.execute.is_some() {
            self.prepare_upstream(&named.text, io);
        }
        match &unit.parse {
            Some(parse) => self.parse_upstream(parse, &unit.bytes[..unit.bind_at], io),
            None => self.ensure_upstream(unit.bind.statement, io),
        }
        self.bind_upstream(b"", unit.bind.statement, io);
        io.upstream.extend_from_slice(&unit.bytes[unit.bind_at..]);
        let fill = pass.fill.is_some() && unit.execute.is_some();
        if unit.describe {
            self.owe(Owed::Describe { fill });
        }
        if unit.execute.is_some() {
            self.account(&named.text, pass, io);
            self.owe(Owed::Execute { fill });
        } else if !unit.describe {
            // Its snapshot is taken at Bind: the stamp is of this moment, the rows come with Execute.
            self.statements.bound_fill = pass.fill.take();
        }
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

    pub(super) fn single_parse(
        &mut self,
        parse: &message::Parse<'_>,
        raw: &[u8],
        io: &mut Io<'_>,
    ) -> bool {
        let text = self.thread.text(parse.text);
        // Transaction control has no parameter that could be refused. Behind what may fail PostgreSQL knows best whether
        // the name has come to mean it.
        let control = text.is_control && parse.types.is_empty() && self.pending.nothing_owed();
        let local = text.is_last || control;
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
            };
            let before = self.statements.put(parse.name, Some(Known::Named(named)));
            self.emit(message::PARSE_COMPLETE, io);
            if !self.pending.nothing_owed() {
                self.pending.push(Item::Made(parse.name.into(), before));
            }
            self.pending.local = true;
            return true;
        }
        self.reach(io) && {
            self.parse_upstream(parse, raw, io);
            true
        }
    }

    pub(super) fn single_bind(
        &mut self,
        bind: &message::Bind<'_>,
        raw: &[u8],
        io: &mut Io<'_>,
    ) -> bool {
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
            return true;
        }
        if let Some(named) = self.control(bind) {
            self.statements.portal = Some(Portal::Control {
                named,
                bind: raw.into(),
            });
            self.emit(message::BIND_COMPLETE, io);
            self.pending.local = true;
            return true;
        }
        if !self.reach(io) {
            return false;
        }
        self.ensure_upstream(bind.statement, io);
        self.bind_upstream(bind.portal, bind.statement, io);
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
            && self.transaction.status() != b'E';
        (plain && message::parameters(bind.tail)?.is_empty()).then(|| named.clone())
    }

    pub(super) fn describe(&mut self, target: Target<'_>, raw: &[u8], io: &mut Io<'_>) -> bool {
        let local = match target {
            Target::Statement(name) => {
                let text = self.statements.named(name).map(|named| &*named.text);
                text.and_then(|text| match text {
                    text if text.is_last => Some(Session::describe_last(true, 0)),
                    // In a failed block, too: it has no row.
                    text if text.is_control && self.pending.nothing_awaited() => {
                        Some([message::NO_PARAMETERS, message::NO_DATA].concat())
                    }
                    _ => None,
                })
            }
            Target::Portal(b"") => match &self.statements.portal {
                Some(Portal::Last(format)) => Some(Session::describe_last(false, *format)),
                Some(Portal::Control { .. } | Portal::Ran) => Some(message::NO_DATA.to_vec()),
                Some(Portal::Bound { entry, .. } | Portal::Done(entry))
                    if !entry.description().is_empty() =>
                {
                    Some(entry.description().to_vec())
                }
                _ => None,
            },
            Target::Portal(_) => None,
        };
        if let Some(bytes) = local {
            self.emit(&bytes, io);
            self.pending.local = true;
            return true;
        }
        if !self.reach(io) {
            return false;
        }
        match target {
            Target::Statement(name) => self.ensure_upstream(name, io),
            Target::Portal(b"") => self.portal_upstream(io),
            Target::Portal(_) => {}
        }
        io.upstream.extend_from_slice(raw);
        self.pending.open(io.now);
        self.owe(Owed::Describe { fill: false });
        true
    }

    pub(super) fn close(&mut self, target: Target<'_>, raw: &[u8], io: &mut Io<'_>) -> bool {
        let owed = match target {
            Target::Statement(name) => {
                // Behind what may fail it must be taken back with the rest.
                let local = self.pending.nothing_owed()
                    && self
                        .statements
                        .named(name)
                        .is_some_and(|named| !named.upstream);
                let local = local && !name.is_empty();
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
            Target::Portal(b"") if self.statements.portal.is_some() => {
                self.statements.portal = Some(Portal::Closed);
                self.emit(message::CLOSE_COMPLETE, io);
                self.pending.local = true;
                return true;
            }
            Target::Portal(_) if !self.reach(io) => return false,
            Target::Portal(name) => {
                self.statements.portals.remove(name);
                Owed::Simple
            }
        };
        io.upstream.extend_from_slice(raw);
        self.pending.open(io.now);
        self.owe(owed);
        true
    }

    pub(super) fn execute(
        &mut self,
        portal: &[u8],
        limit: i32,
        raw: &[u8],
        io: &mut Io<'_>,
    ) -> bool {
        if portal.is_empty() && self.execute_local(limit, io) {
            self.pending.local = true;
            return true;
        }
        if !self.reach(io) {
            return false;
        }
        if portal.is_empty() {
            self.portal_upstream(io);
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
        true
    }

    /// Executes the unnamed portal here if it lives here and may.
    pub(super) fn execute_local(&mut self, limit: i32, io: &mut Io<'_>) -> bool {
        let now = self.settings.context(&self.thread.contexts);
        match &self.statements.portal {
            None => return false,
            Some(Portal::Last(_)) => {
                let word = self.last_word();
                self.answer(
                    Item::Last {
                        simple: false,
                        word,
                    },
                    io,
                );
            }
            Some(Portal::Done(_)) => {
                let mut out = Vec::new();
                message::put_complete(&mut out, "SELECT 0");
                self.emit(&out, io);
            }
            Some(Portal::Bound { entry, context, .. }) => {
                let whole = limit <= 0 || entry.header().rows < limit as u32;
                let same = *context == now && self.pending.nothing_owed();
                if !whole || !same || self.gate().is_err() || !entry.again(io.now) {
                    return false;
                }
                let Some(Portal::Bound { entry, .. }) = self.statements.portal.take() else {
                    return false;
                };
                self.hit(entry.header().made, entry.header().cost, io);
                self.emit(entry.rows(), io);
                self.statements.portal = Some(Portal::Done(entry));
            }
            Some(Portal::Control { named, .. }) => {
                let text = named.text.clone();
                let Some(tag) = self.hold(&text) else {
                    return false;
                };
                self.say_held(tag, io);
            }
            Some(Portal::Closed | Portal::Ran) => return false,
        }
        true
    }

    pub(super) fn sync(&mut self, raw: &[u8], io: &mut Io<'_>) -> bool {
        // A bare Sync is a health check: it reaches the database.
        if self.pending.local && !self.pending.forwarded() {
            self.pending.local = false;
            if self.transaction.status() == b'I' {
                self.statements.portal = None;
            }
            self.answer(Item::Ready, io);
            self.teach(raw, io);
            return true;
        }
        if !self.reach(io) {
            return false;
        }
        self.pending.open(io.now);
        io.upstream.extend_from_slice(raw);
        self.owe(Owed::Sync);
        self.pending.close();
        if self.transaction.status() == b'I' {
            self.statements.portal = None;
        }
        true
    }
}
