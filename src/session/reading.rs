//! What a text means to the upstream at this place of the pipeline.
//!
//! * A text that would be read in another way than it is analysed here is not analysed as it stands: of one in another
//!   encoding only the ASCII part counts, and a name with anything else in it may be any; one with a backslash under
//!   `standard_conforming_strings = off` may be anything (hazard 15).
//! * Where that is about to change unanswered, such a text waits for the answer, or in the same transaction counts as
//!   unknown.
//! * A prepared statement whose constants were read under other settings is neither served nor kept, and never again
//!   once it was bound under others: PostgreSQL may have read them anew then (hazards 13, 14).
//! * One that only lives here is told the upstream before what its constants mean changes.

use std::rc::Rc;

use super::pending::Segment;
use super::settings::is_of_text;
use super::statements::{Known, Named};
use super::text::Text;
use super::{Io, Mode, Session};
use crate::sql::statement::{Discard, Statement};
use crate::why::Why;

impl Session {
    /// A text, analysed as far as the upstream reads it as it stands. `None`: what is under way decides, the client waits.
    pub(super) fn text(&self, sql: &[u8]) -> Option<Rc<Text>> {
        let usual =
            self.settings.is_plain() && !self.settings.was_strange() && self.pending.is_empty();
        if usual || self.thread.mode() == Mode::Off {
            return Some(self.thread.text(sql));
        }
        let (ascii, escapes) = (sql.is_ascii(), sql.contains(&b'\\'));
        if ascii && !escapes {
            return Some(self.thread.text(sql));
        }
        let strange = self.settings.was_strange();
        let doubts = |segment: &Segment| {
            segment.marks.opaque
                || (strange && segment.marks.impure)
                || segment.ran.iter().any(|text| sets(text, is_of_text))
        };
        if self.pending.closed().any(doubts) {
            return None;
        }
        let open = self.pending.unfinished().is_some_and(doubts);
        Some(if escapes && (open || !self.settings.strings_conform()) {
            Rc::new(Text::unread(sql, Why::StringSyntax))
        } else if ascii || (self.settings.is_utf8() && !open) {
            self.thread.text(sql)
        } else if open || !self.settings.keeps_ascii() {
            Rc::new(Text::unread(sql, Why::Encoding))
        } else {
            Rc::new(Text::of_ascii(sql))
        })
    }

    /// A statement that is prepared now, here.
    pub(super) fn named_now(
        &mut self,
        text: Rc<Text>,
        types: &[u8],
        shape: Option<Rc<[u8]>>,
    ) -> Named {
        Named {
            reading: self.read_under(&text),
            text,
            types: self.thread.types(types),
            upstream: false,
            checked: self.database.catalog_word(),
            shape,
        }
    }

    /// Under what the constants of a text are read that is prepared now; `None` where that is not known, or does not matter.
    pub(super) fn read_under(&mut self, text: &Text) -> Option<Rc<str>> {
        if !text.constants || self.rereads() {
            return None;
        }
        self.settings.reading()
    }

    /// Whether a statement's constants are what they would be if it were prepared now.
    pub(super) fn constants_hold(&mut self, named: &Named) -> Result<(), Why> {
        if !named.text.constants {
            return Ok(());
        }
        let now = self.settings.reading();
        match &named.reading {
            Some(then) if now.as_ref() == Some(then) && !self.rereads() => Ok(()),
            _ => Err(Why::Constants),
        }
    }

    /// A prepared statement is about to be bound or described upstream, which may read its constants anew.
    pub(super) fn reads_again(&mut self, name: &[u8]) {
        let Some(named) = self.statements.named(name) else {
            return;
        };
        if named.reading.is_none() {
            return;
        }
        let named = named.clone();
        if self.constants_hold(&named).is_err() {
            self.statements.is_read_again(name);
        }
    }

    /// Whether what is under way may change what constants mean.
    fn rereads(&self) -> bool {
        let journaled = self.settings.journaled() || self.settings.was_strange();
        let rereads = |segment: &Segment| {
            segment.marks.opaque
                || (journaled && segment.marks.ends)
                || segment.ran.iter().any(|text| rereads(text))
        };
        self.pending.closed().any(rereads) || self.pending.unfinished().is_some_and(rereads)
    }

    /// Tells the upstream of statements that only live here, before a text runs that changes what their constants mean.
    pub(super) fn teach_before(&mut self, text: &Text, io: &mut Io<'_>) {
        let undoes = self.settings.journaled() || self.settings.was_strange();
        let ends = text.ends && undoes;
        if !rereads(text) && !ends {
            return;
        }
        let word = self.database.catalog_word();
        for name in self.statements.only_here(word) {
            self.ensure_upstream(&name, io);
        }
    }
}

/// Whether a text sets one of these.
fn sets(text: &Text, which: fn(&str) -> bool) -> bool {
    text.analysis.statements.iter().any(|statement| {
        matches!(statement, Statement::Set(settings) if settings.iter().any(|s| which(&s.name)))
    })
}

/// Whether a text may change what constants mean.
fn rereads(text: &Text) -> bool {
    let resets = |statement: &Statement| {
        matches!(
            statement,
            Statement::ResetAll | Statement::Discard(Discard::All) | Statement::RollbackTo(_)
        )
    };
    sets(text, super::settings::is_of_constants) || text.analysis.statements.iter().any(resets)
}

impl super::statements::Statements {
    /// Statements with constants that the upstream does not know of and would take.
    fn only_here(&self, word: u64) -> Vec<Box<[u8]>> {
        let only = |known: &Known| {
            matches!(known, Known::Named(named)
                if !named.upstream && named.text.constants && named.checked == word && named.reading.is_some())
        };
        self.all()
            .filter(|(_, known)| only(known))
            .map(|(name, _)| name.into())
            .collect()
    }
}
