//! Portals that live here: bound to an answer that is kept, and run from it.
//!
//! * A portal that has given rows goes on from the answer it was bound to, whatever has become of that since: its rows are
//!   of one snapshot, as PostgreSQL's are (P5). It is never told again upstream, where the snapshot would be another.
//! * So rows are left for later only of columns that look the same whatever is set meanwhile; dates follow the settings
//!   that the upstream reports, and if those have changed the portal is gone (34000).
//! * It moves only when nothing is awaited: a message that the upstream ignores behind an error must not move it.
//! * It ends with its transaction, or with the savepoint it was made behind.
//!
//! Not here: SQL's cursors. FETCH, MOVE and CLOSE find a portal that has not run yet; one that has they do not.

use std::rc::Rc;

use super::decision::How;
use super::pending::Owed;
use super::statements::{Held, Named, Portal};
use super::unit::Unit;
use super::{Io, Session};
use crate::cache::reply::Reply;
use crate::cache::version::Fresh;
use crate::guard::{Guard, stands};
use crate::sql::statement::Statement;
use crate::wire::frame::{self, HEAD};
use crate::wire::message::{self, Target};

/// A name for a moment that no client uses.
pub(super) const ASIDE: &[u8] = b"larder\x01aside";

/// What became of a message about a portal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Local {
    /// Answered here.
    Done,
    /// Not now: something is awaited.
    Wait,
    /// The upstream's business.
    Upstream,
}

/// How long rows that are left look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looks {
    Always,
    WithDates,
    Unsure,
}

impl Session {
    /// Whether a kept answer can be given under that row limit.
    pub(super) fn may_give(&self, entry: &Fresh, text: &super::text::Text, how: &How<'_>) -> bool {
        if how.limit <= 0 || entry.header().rows < how.limit as u32 || self.ends(how) {
            return true;
        }
        let tail = how.tail.unwrap_or_default();
        looks(self.shape(entry, text, how.types).as_deref(), tail) != Looks::Unsure
    }

    /// Whether a portal is gone behind its first Execute.
    pub(super) fn ends(&self, how: &How<'_>) -> bool {
        how.last && self.transaction.status() == b'I'
    }

    /// The RowDescription of an answer, if it is known; its format codes are not these.
    fn shape(&self, entry: &Fresh, _text: &super::text::Text, _types: &[u8]) -> Option<Rc<[u8]>> {
        (!entry.description().is_empty()).then(|| entry.description().into())
    }

    /// Keeps the portal of a unit that was answered here; `at`: how far it has run.
    pub(super) fn keep_portal(
        &mut self,
        unit: &Unit<'_>,
        entry: Fresh,
        named: Named,
        at: Option<usize>,
    ) {
        let name = unit.bind.portal;
        if unit.last && self.transaction.status() == b'I' {
            self.statements.place(name, None);
            return;
        }
        let context = self.settings.context(&self.thread.contexts);
        let mut held = Held {
            entry,
            named,
            bind: self.statements.spare(),
            context,
            at,
            depth: self.settings.depth(),
            dates: None,
            shadow: false,
        };
        held.bind.extend_from_slice(unit.bind_message());
        self.date(&mut held);
        self.statements.place(name, Some(Portal::Held(held)));
    }

    /// Notes the settings that rows still to come depend on.
    fn date(&self, held: &mut Held) {
        let left = held
            .at
            .is_some_and(|at| held.entry.rows().get(at) == Some(&b'D'));
        let tail = message::bind(&held.bind[HEAD..]).map_or(&[][..], |bind| bind.tail);
        let shape = || self.shape(&held.entry, &held.named.text, &held.named.types);
        if left && looks(shape().as_deref(), tail) == Looks::WithDates {
            held.dates = Some(self.settings.dates());
        }
    }

    /// Gives rows of an answer from that place on, and what ends them. Gives the place behind them.
    pub(super) fn give(&mut self, entry: &Fresh, at: usize, limit: i32, io: &mut Io<'_>) -> usize {
        let rows = entry.rows();
        let most = if limit <= 0 {
            usize::MAX
        } else {
            limit as usize
        };
        if at == 0 && (entry.header().rows as usize) < most || entry.suspended() {
            self.emit(rows, io);
            return rows.len();
        }
        let (len, count) = frame::run_of(&rows[at.min(rows.len())..], b'D', most);
        self.emit(&rows[at..at + len], io);
        if count == most {
            self.emit(message::PORTAL_SUSPENDED, io);
        } else {
            let mut tag = Vec::new();
            message::put_complete(&mut tag, &format!("SELECT {count}"));
            self.emit(&tag, io);
        }
        at + len
    }

    /// Executes a portal here if it lives here; else makes sure that the upstream has it.
    pub(super) fn execute_local(&mut self, name: &[u8], limit: i32, io: &mut Io<'_>) -> Local {
        if self.portal_unsure(name, io) {
            return Local::Wait;
        }
        let failed = self.in_failed_block();
        match self.statements.local(name) {
            None => return Local::Upstream,
            Some(Portal::Held(_) | Portal::Ran(_) | Portal::Ours(_)) if failed => {
                return self.refuse_failed(io);
            }
            Some(Portal::Control { named, .. }) if failed && !named.text.leaves_failure() => {
                return self.refuse_failed(io);
            }
            Some(Portal::Ours(_)) => self.our_execute(name, limit, io),
            Some(Portal::Control { named, .. }) => {
                let text = named.text.clone();
                let Some(tag) = self.hold(&text) else {
                    return self.leave(name, io);
                };
                self.say_held(&text, tag, io);
            }
            Some(Portal::Closed | Portal::Ran(_)) => return self.leave(name, io),
            Some(Portal::Held(Held { at: None, .. })) => return self.run_bound(name, limit, io),
            Some(Portal::Held(_)) => return self.go_on(name, limit, io),
        }
        Local::Done
    }

    /// The first Execute of a portal that is bound here.
    fn run_bound(&mut self, name: &[u8], limit: i32, io: &mut Io<'_>) -> Local {
        let now = self.settings.context(&self.thread.contexts);
        let Some(Portal::Held(held)) = self.statements.local(name) else {
            return Local::Upstream;
        };
        if self.portals_over() {
            return self.drop_portal(name, io);
        }
        let text = held.named.text.clone();
        let gate = self.gate();
        let (gate, wish) = self.bound(&text, gate);
        let Some(Portal::Held(held)) = self.statements.local(name) else {
            return Local::Upstream;
        };
        let tail = message::bind(&held.bind[HEAD..]).map(|bind| bind.tail);
        let how = How {
            types: &held.named.types,
            tail,
            describe: false,
            limit,
            serve: true,
            last: false,
            runs: true,
            parsed: false,
            reads: Ok(()),
        };
        let runs = (held.context == now || !stands(Guard::PortalSettings))
            && (self.pending.nothing_owed() || !stands(Guard::PortalWaits))
            && gate.is_ok()
            && self.trusted(&text).is_ok()
            && !wish.outlived(held.entry.header(), io.now)
            && held.entry.again(io.now)
            && self.may_give(&held.entry, &text, &how);
        if !runs {
            return self.leave(name, io);
        }
        let Some(Portal::Held(mut held)) = self.statements.take_local(name) else {
            return Local::Upstream;
        };
        self.hit(&text, &held.entry, io);
        held.at = Some(self.give(&held.entry, 0, limit, io));
        self.date(&mut held);
        self.statements.place(name, Some(Portal::Held(held)));
        Local::Done
    }

    /// An Execute of a portal that has run here before.
    fn go_on(&mut self, name: &[u8], limit: i32, io: &mut Io<'_>) -> Local {
        if !self.settled(io) {
            return Local::Wait;
        }
        let Some(Portal::Held(mut held)) = self.statements.take_local(name) else {
            return Local::Upstream;
        };
        let dates = self.settings.dates();
        if self.portals_over() || held.dates.as_ref().is_some_and(|then| *then != dates) {
            self.statements.place(name, Some(Portal::Held(held)));
            return self.drop_portal(name, io);
        }
        let at = held.at.unwrap_or_default();
        held.at = Some(self.give(&held.entry, at, limit, io));
        self.statements.place(name, Some(Portal::Held(held)));
        self.last = (crate::metrics::Outcome::Hit, None);
        Local::Done
    }

    /// Whether a portal lives here of which only an answer under way says whether it still does, and in what state the
    /// block is.
    fn portal_unsure(&mut self, name: &[u8], io: &mut Io<'_>) -> bool {
        let transient = self.statements.local(name).is_some_and(Portal::is_bound);
        transient && self.pending.has_closed() && !self.settled(io)
    }

    /// Whether nothing is awaited; else the upstream is asked to say what it has to say.
    pub(super) fn settled(&mut self, io: &mut Io<'_>) -> bool {
        if self.pending.nothing_awaited() {
            return true;
        }
        if self.pending.wants_flush() {
            io.upstream.extend_from_slice(message::FLUSH);
        }
        false
    }

    /// Whether what is sent now is heard in a block that has failed.
    pub(super) fn in_failed_block(&self) -> bool {
        self.transaction.status() == b'E' && self.pending.nothing_owed() && !self.portals_over()
    }

    /// Whether something has run in the open segment behind which portals may be gone.
    pub(super) fn portals_over(&self) -> bool {
        self.pending.unfinished().is_some_and(|segment| {
            let mut statements = segment
                .ran
                .iter()
                .flat_map(|text| &*text.analysis.statements);
            segment.marks.ends || statements.any(|s| matches!(s, Statement::RollbackTo(_)))
        })
    }

    /// In a failed block PostgreSQL refuses what is asked of a portal or a statement that it has: so does it here.
    pub(super) fn refuse_failed(&mut self, io: &mut Io<'_>) -> Local {
        if !self.reach(io) {
            return Local::Wait;
        }
        frame::put(io.upstream, b'C', &[b"S", ASIDE, b"\0"].concat());
        self.hidden(Owed::Simple, io);
        let parse = message::Parse {
            name: ASIDE,
            text: b"SELECT 1",
            types: b"",
        };
        message::put_parse(io.upstream, &parse);
        self.owe(Owed::Statement(ASIDE.into(), None));
        Local::Done
    }

    /// A portal that has not run here is the upstream's from now on.
    fn leave(&mut self, name: &[u8], io: &mut Io<'_>) -> Local {
        if !self.reach(io) {
            return Local::Wait;
        }
        let control = |portal: &Portal| matches!(portal, Portal::Ran(_) | Portal::Control { .. });
        if self.portals_over() && self.statements.local(name).is_some_and(control) {
            self.statements.place(name, Some(Portal::Closed));
        }
        self.portal_upstream(name, io);
        Local::Upstream
    }

    /// The portal is gone, here and upstream.
    fn drop_portal(&mut self, name: &[u8], io: &mut Io<'_>) -> Local {
        if !self.reach(io) {
            return Local::Wait;
        }
        let held = self.statements.take_local(name);
        let shadow = matches!(held, Some(Portal::Held(Held { shadow: true, .. })));
        if name.is_empty() || shadow {
            frame::put(io.upstream, b'C', &[b"P", name, b"\0"].concat());
            self.hidden(Owed::Simple, io);
            self.statements.portals.remove(name);
        }
        Local::Upstream
    }

    /// Describe of a portal that lives here.
    pub(super) fn describe_portal(&mut self, name: &[u8], io: &mut Io<'_>) -> Local {
        if self.portal_unsure(name, io) {
            return Local::Wait;
        }
        let bytes = match self.statements.local(name) {
            None => return Local::Upstream,
            Some(Portal::Ours(portal)) => portal.describe(),
            Some(Portal::Control { .. } | Portal::Ran(_)) if self.portals_over() => {
                return self.leave(name, io);
            }
            Some(Portal::Control { .. } | Portal::Ran(_)) => message::NO_DATA.to_vec(),
            Some(Portal::Closed) => return self.leave(name, io),
            Some(Portal::Held(_)) if self.in_failed_block() => {
                return self.refuse_failed(io);
            }
            Some(Portal::Held(held)) => match self.description(held) {
                Some(bytes) => bytes,
                None if held.at.is_none() => return self.leave(name, io),
                None if !self.reach(io) => return Local::Wait,
                None => {
                    self.shadow(name, io);
                    return Local::Upstream;
                }
            },
        };
        self.emit(&bytes, io);
        self.pending.local = true;
        Local::Done
    }

    /// The RowDescription of a portal, if it is known.
    fn description(&self, held: &Held) -> Option<Vec<u8>> {
        (!held.entry.description().is_empty()).then(|| held.entry.description().to_vec())
    }

    /// Close of a portal that lives here.
    pub(super) fn close_portal(&mut self, name: &[u8], io: &mut Io<'_>) -> Local {
        let (bound, shadow) = match self.statements.local(name) {
            None => return Local::Upstream,
            Some(Portal::Closed) => (false, false),
            Some(Portal::Held(held)) => (true, held.shadow && !name.is_empty()),
            Some(_) => (true, false),
        };
        // What an error leaves unheard must not close it.
        if bound && !self.settled(io) {
            return Local::Wait;
        }
        if shadow {
            if !self.reach(io) {
                return Local::Wait;
            }
            self.statements.place(name, None);
            return Local::Upstream;
        }
        // The upstream may still have an older unnamed one.
        let left = name.is_empty().then_some(Portal::Closed);
        self.statements.place(name, left);
        self.emit(message::CLOSE_COMPLETE, io);
        self.pending.local = true;
        Local::Done
    }

    /// Makes sure that the upstream's portal of that name is the client's, of one that has not run.
    pub(super) fn portal_upstream(&mut self, name: &[u8], io: &mut Io<'_>) {
        match self.statements.take_local(name) {
            Some(Portal::Held(held)) if held.at.is_none() => {
                self.bind_again(name, &held.named, &held.bind, io);
                self.statements
                    .portals
                    .insert(name.into(), Some(held.named.text));
            }
            Some(Portal::Control { named, bind }) => {
                self.bind_again(name, &named, &bind, io);
                self.statements
                    .portals
                    .insert(name.into(), Some(named.text));
            }
            // PostgreSQL knows the words for a portal that has run (55000); this one's text does nothing.
            Some(Portal::Ran(_)) => self.run_aside(b"SET LOCAL larder.ran = ''", b"", io),
            Some(Portal::Closed) => {
                frame::put(io.upstream, b'C', b"P\0");
                self.hidden(Owed::Simple, io);
            }
            held @ Some(Portal::Held(_)) => self.statements.place(name, held),
            Some(Portal::Ours(_)) | None => {}
        }
    }

    /// Gives the upstream a portal of that name that is never run there.
    pub(super) fn shadow(&mut self, name: &[u8], io: &mut Io<'_>) {
        let Some(Portal::Held(mut held)) = self.statements.take_local(name) else {
            return;
        };
        if !held.shadow {
            self.bind_again(name, &held.named, &held.bind, io);
            held.shadow = true;
        }
        self.statements.place(name, Some(Portal::Held(held)));
    }

    /// Binds upstream what is bound here.
    fn bind_again(&mut self, name: &[u8], named: &Named, bind: &[u8], io: &mut Io<'_>) {
        let Some(found) = message::bind(&bind[HEAD..]) else {
            return;
        };
        let same = |now: &Named| Rc::ptr_eq(&now.text, &named.text) && now.types == named.types;
        if self.statements.named(found.statement).is_some_and(same) {
            self.ensure_upstream(found.statement, io);
            io.upstream.extend_from_slice(bind);
        } else {
            // The name means something else by now.
            self.parse_aside(&named.text.sql, &named.types, io);
            let names = [name, b"\0", ASIDE, b"\0"].concat();
            frame::put(io.upstream, b'B', &[&names, found.tail].concat());
        }
        self.hidden(Owed::Simple, io);
    }

    /// Before SQL's own cursors are used: they share the names of portals.
    pub(super) fn portals_meet(&mut self, statement: &Statement, io: &mut Io<'_>) {
        for name in self.statements.held_names() {
            let ran = matches!(self.statements.local(&name), Some(Portal::Held(held)) if held.at.is_some());
            match (ran, statement) {
                (false, _) => self.portal_upstream(&name, io),
                (true, Statement::Declare(_)) => self.shadow(&name, io),
                // What it has given is of its own snapshot: the upstream has none of it.
                (true, _) => {}
            }
        }
    }

    /// What a statement of a segment that has ended leaves of the portals. Asked before the savepoints follow it.
    pub(super) fn portals_follow(&mut self, statement: &Statement) {
        let (name, released) = match statement {
            Statement::Release(name) => (name, true),
            Statement::RollbackTo(name) => (name, false),
            _ => return,
        };
        match self.settings.depth_of(name) {
            Some(at) => self.statements.leave_savepoint(at, released),
            None => self.statements.end_portals(),
        }
    }
}

/// Looks of the columns of an answer asked for with that Bind.
fn looks(description: Option<&[u8]>, tail: &[u8]) -> Looks {
    let Some(formats) = message::results(tail) else {
        return Looks::Unsure;
    };
    let (formats, _) = formats.as_chunks::<2>();
    let binary = |n: usize| match formats {
        [] => false,
        [one] => *one == [0, 1],
        several => several.get(n) == Some(&[0, 1]),
    };
    if formats == [[0, 1]] {
        return Looks::Always;
    }
    let columns = description
        .and_then(|frame| frame.get(HEAD..))
        .and_then(message::columns);
    let Some(columns) = columns else {
        return Looks::Unsure;
    };
    let mut found = Looks::Always;
    for (n, column) in columns.iter().enumerate() {
        match column.oid {
            _ if binary(n) => {}
            oid if PLAIN.contains(&oid) => {}
            oid if DATES.contains(&oid) => found = Looks::WithDates,
            _ => return Looks::Unsure,
        }
    }
    found
}

/// Types whose text no setting changes: bool, char, name, int8, int2, int4, text, oid, json, bpchar, varchar, numeric,
/// uuid, jsonb, inet, cidr, macaddr, bit, varbit; arrays of int2, int4, text, bpchar, varchar, int8, uuid.
const PLAIN: [u32; 26] = [
    16, 18, 19, 20, 21, 23, 25, 26, 114, 1042, 1043, 1700, 2950, 3802, 869, 650, 829, 1560, 1562,
    1005, 1007, 1009, 1014, 1015, 1016, 2951,
];

/// Types whose text follows DateStyle, IntervalStyle and TimeZone: date, time, timestamp, timestamptz, interval, timetz.
const DATES: [u32; 6] = [1082, 1083, 1114, 1184, 1186, 1266];

impl Session {
    /// Whether a message about a portal was dealt with; `None`: not now.
    pub(super) fn portal_message(
        &mut self,
        target: Target<'_>,
        close: bool,
        io: &mut Io<'_>,
    ) -> Option<bool> {
        let Target::Portal(name) = target else {
            return Some(false);
        };
        let local = match close {
            true => self.close_portal(name, io),
            false => self.describe_portal(name, io),
        };
        match local {
            Local::Done => Some(true),
            Local::Upstream => Some(false),
            Local::Wait => None,
        }
    }
}
