//! Statements of Larder's own: what asks about Larder in SQL is answered here, as one column of text.
//!
//! * Answered is only what is alone in its message. Behind messages of an open pipeline, and in a failed block, it goes
//!   to PostgreSQL, which does not know it and says so, with the block's own error first (25P02).
//! * The rows are of the moment at which the statement's turn has come, and they wait behind all that is owed
//!   (hazard 50).

use std::rc::Rc;

use super::pending::Item;
use super::statements::Portal;
use super::text::Text;
use super::{Io, Session};
use crate::metrics::Outcome;
use crate::sql::statement::{Analysis, Statement};
use crate::wire::{frame, message};

/// A statement that Larder answers itself.
#[derive(Debug)]
pub enum Ours {
    /// `SHOW larder.last`: what became of the last statement that was not itself this one.
    Last,
}

impl Ours {
    /// Whether a text in full may be one: such texts are analysed even where nothing else is.
    pub fn may_be(sql: &[u8]) -> bool {
        let names = |window: &[u8]| window.eq_ignore_ascii_case(b"larder.");
        sql.len() <= 64 && sql.windows(7).any(names)
    }

    /// The one that a text is.
    pub fn of(analysis: &Analysis) -> Option<Ours> {
        match &*analysis.statements {
            [Statement::Show(name)] if **name == *"larder.last" => Some(Ours::Last),
            _ => None,
        }
    }

    /// The name of its column.
    fn column(&self) -> &'static str {
        match self {
            Ours::Last => "larder.last",
        }
    }

    /// Its command tag.
    fn tag(&self) -> &'static str {
        match self {
            Ours::Last => "SHOW",
        }
    }

    /// Its description: ParameterDescription for a statement, RowDescription in the format asked for.
    pub fn describe(&self, statement: bool, format: u8) -> Vec<u8> {
        let mut out = Vec::new();
        if statement {
            frame::put(&mut out, b't', &[0, 0]);
        }
        message::put_text_column(&mut out, self.column());
        if let Some(last) = out.last_mut() {
            *last = format;
        }
        out
    }
}

/// The portal of such a statement.
#[derive(Debug)]
pub struct OurPortal {
    text: Rc<Text>,
    format: u8,
    /// The rows that it has still to give; `None`: it has not run.
    left: Option<std::vec::IntoIter<String>>,
}

impl OurPortal {
    /// Its description.
    pub fn describe(&self) -> Vec<u8> {
        let ours = self.text.ours.as_ref();
        ours.map_or_else(Vec::new, |ours| ours.describe(false, self.format))
    }
}

impl Session {
    /// The rows of this moment.
    fn our_rows(&mut self, ours: &Ours) -> Vec<String> {
        match ours {
            Ours::Last => vec![self.last_word()],
        }
    }

    fn last_word(&self) -> String {
        match self.last {
            (Outcome::Bypass, Some(why)) => format!("bypass: {}", why.label()),
            (outcome, _) => outcome.label().into(),
        }
    }

    /// Answers a simple query if it is ours. `false`: it is not.
    pub(super) fn our_query(&mut self, text: &Text, io: &mut Io<'_>) -> bool {
        let Some(ours) = &text.ours else {
            return false;
        };
        if self.pending.forwarded() || self.transaction.status() == b'E' {
            return false;
        }
        self.statements.query(false);
        self.pending.local = false;
        let mut bytes = ours.describe(false, 0);
        for row in self.our_rows(ours) {
            message::put_text_row(&mut bytes, &row);
        }
        message::put_complete(&mut bytes, ours.tag());
        let simple = true;
        self.answer(Item::Ours { simple, bytes }, io);
        true
    }

    /// Binds a statement of ours. `None`: it is none, or the portal cannot live here; `Some(false)`: not now.
    pub(super) fn our_bind(&mut self, bind: &message::Bind<'_>, io: &mut Io<'_>) -> Option<bool> {
        let named = self.statements.named(bind.statement)?;
        named.text.ours.as_ref()?;
        if !self.statements.takes_portal(bind.portal) {
            return None;
        }
        let text = named.text.clone();
        if !self.settled(io) {
            return Some(false);
        }
        let format = match bind.tail {
            [.., 0, 1, 0, format] => *format,
            _ => 0,
        };
        let portal = OurPortal {
            text,
            format,
            left: None,
        };
        self.statements
            .place(bind.portal, Some(Portal::Ours(portal)));
        self.emit(message::BIND_COMPLETE, io);
        self.pending.local = true;
        Some(true)
    }

    /// Executes a portal of ours, if there is one of that name.
    pub(super) fn our_execute(&mut self, name: &[u8], limit: i32, io: &mut Io<'_>) {
        let Some(Portal::Ours(mut portal)) = self.statements.take_local(name) else {
            return;
        };
        let text = portal.text.clone();
        if let Some(ours) = &text.ours {
            let mut left = match portal.left.take() {
                Some(left) => left,
                None => self.our_rows(ours).into_iter(),
            };
            let most = usize::try_from(limit).unwrap_or(0);
            let (mut bytes, mut given) = (Vec::new(), 0);
            while (most == 0 || given < most)
                && let Some(row) = left.next()
            {
                message::put_text_row(&mut bytes, &row);
                given += 1;
            }
            if most > 0 && given == most {
                bytes.extend_from_slice(message::PORTAL_SUSPENDED);
            } else {
                message::put_complete(&mut bytes, ours.tag());
            }
            portal.left = Some(left);
            let simple = false;
            self.answer(Item::Ours { simple, bytes }, io);
        }
        self.statements.place(name, Some(Portal::Ours(portal)));
    }
}
