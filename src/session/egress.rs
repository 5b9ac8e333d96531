//! The order in which the client gets its answers: local ones behind all that the upstream owes.

use super::pending::{Item, Owed};
use super::text::Text;
use super::{Io, Session};
use crate::cache::reply::{Entry, Reply};
use crate::guard::{Guard, stands};
use crate::logging;
use crate::metrics::Outcome;
use crate::wire::message;

impl Session {
    /// A hit, for the books.
    pub(super) fn hit(&mut self, text: &Text, entry: &Entry, io: &mut Io<'_>) {
        self.last = (Outcome::Hit, None);
        self.transaction.hit |= self.transaction.status() == b'T';
        let header = entry.header();
        let age = io.now.saturating_sub(header.made);
        let bytes = entry.body().len();
        self.thread.hit(text, age, u64::from(header.cost), bytes);
        self.trace_hit(text, entry, io);
        if self.thread.live().audit {
            self.audit(text, age);
        }
    }

    /// Tells the log who was given what, by numbers and names alone.
    #[cold]
    fn audit(&self, text: &Text, age: u64) {
        tracing::info!(
            target: logging::AUDIT,
            statement = format_args!("{:016x}", self.thread.record(text).id()),
            database = self.database.name(),
            role = self.settings.role(),
            application_name = self.settings.application(),
            age_ms = age / 1000,
            "hit"
        );
    }

    /// Sends bytes of ours to the client, behind everything that is owed.
    pub(super) fn emit(&mut self, bytes: &[u8], io: &mut Io<'_>) {
        if self.pending.nothing_awaited() || !stands(Guard::LocalWaits) {
            io.client.extend_from_slice(bytes);
        } else {
            self.pending.push_local(bytes);
        }
    }

    pub(super) fn answer(&mut self, item: Item, io: &mut Io<'_>) {
        if self.pending.nothing_awaited() || !stands(Guard::LocalWaits) {
            self.say(item, io);
        } else {
            self.pending.push(item);
            self.release(io);
        }
    }

    fn say(&mut self, item: Item, io: &mut Io<'_>) {
        match item {
            Item::Local(bytes) => io.client.extend_from_slice(&bytes),
            Item::Ready => {
                let status = self.transaction.status();
                self.thread.ready(status);
                let ready = message::ready(status);
                io.client.extend_from_slice(&ready);
            }
            Item::Ours { simple, bytes } => {
                io.client.extend_from_slice(&bytes);
                if simple {
                    let status = self.transaction.status();
                    self.thread.ready(status);
                    let ready = message::ready(status);
                    io.client.extend_from_slice(&ready);
                }
            }
            Item::CopyEnd | Item::Made(..) | Item::Replaced(_) | Item::Owed { .. } => {}
        }
    }

    pub(super) fn owe(&mut self, owed: Owed) {
        // An error of what was held would leave it unheard.
        self.pending.fragile |=
            matches!(owed, Owed::Query { .. } | Owed::Function) && self.pending.is_held();
        self.pending.push(Item::Owed {
            owed,
            hidden: false,
        });
    }

    pub(super) fn hidden(&mut self, owed: Owed, io: &Io<'_>) {
        // A message of ours may fail, and what is behind it is unheard.
        self.pending.open(io.now).marks.held |= !matches!(owed, Owed::Query { .. } | Owed::Sync);
        self.pending.push(Item::Owed { owed, hidden: true });
    }

    /// Sends the local answers that nothing stands before any more.
    pub(super) fn release(&mut self, io: &mut Io<'_>) {
        while !matches!(self.pending.first(), None | Some(Item::Owed { .. })) {
            if let Some(item) = self.pending.pop() {
                self.say(item, io);
            }
        }
    }
}
