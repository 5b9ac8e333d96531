//! What is known of statements without asking: that they are accepted, and what they take and return.
//!
//! * A description is kept with its text, per thread, for one context, one list of declared types and one word of the
//!   catalog, and a few of these at a time: a driver may declare types in one of its ways to ask, and none in another. It
//!   is learnt from the upstream's own answer to a Describe of the statement, where nothing but reads had run
//!   before it. With another word it says nothing.
//! * A SELECT that is described needs no upstream for its Parse and Describe. What it returns is settled from then on
//!   (hazard 28): should the catalog change before the upstream has heard of it, the upstream is asked what it would
//!   return now, and if that is not the same the client is told what PostgreSQL says of a cached plan.
//!
//! Not here: texts that do not parse, and writes. They go upstream, and PostgreSQL answers for itself.

use std::rc::Rc;

use super::pending::Owed;
use super::portal::{ASIDE, Local};
use super::statements::Known;
use super::text::Text;
use super::{Io, Mode, Session};
use crate::sql::statement::Statement;
use crate::wire::frame::{self, HEAD};
use crate::wire::message;

/// Longer descriptions are not kept; nor are several that are longer together.
const LONGEST: usize = 16 << 10;
/// How many are kept of one text.
const MOST: usize = 4;

/// What a statement takes and returns: ParameterDescription and RowDescription as they came.
#[derive(Debug)]
pub struct Described {
    word: u64,
    context: u64,
    types: Rc<[u8]>,
    bytes: Rc<[u8]>,
}

/// What is known of a text, the newest first.
#[derive(Debug, Default)]
pub struct Descriptions(Vec<Described>);

impl Descriptions {
    fn get(&self, word: u64, context: u64, types: &[u8]) -> Option<&Described> {
        let of = |one: &&Described| one.is_for(word, context, types);
        self.0.iter().find(of)
    }

    /// Keeps one; what holds for another catalog is dropped with what it replaces.
    fn put(&mut self, new: Described) {
        self.0
            .retain(|old| old.word == new.word && !old.is_for(new.word, new.context, &new.types));
        self.0.insert(0, new);
        let mut left = LONGEST;
        let fits = self.0.iter().take(MOST).take_while(|one| {
            let rest = left.checked_sub(one.bytes.len());
            left = rest.unwrap_or_default();
            rest.is_some()
        });
        let fits = fits.count();
        self.0.truncate(fits);
    }
}

impl Described {
    fn is_for(&self, word: u64, context: u64, types: &[u8]) -> bool {
        self.word == word && self.context == context && *self.types == *types
    }
}

/// A description on its way.
#[derive(Debug)]
pub struct Learn {
    name: Box<[u8]>,
    text: Rc<Text>,
    word: u64,
    context: u64,
    types: Rc<[u8]>,
}

impl Session {
    /// The description of a text, if it holds at this moment.
    pub(super) fn described(&mut self, text: &Text, types: &[u8]) -> Option<Rc<[u8]>> {
        let known = text.described.borrow();
        if known.0.is_empty() {
            return None;
        }
        let context = self.settings.context(&self.thread.contexts);
        let known = known.get(self.database.catalog_word(), context, types)?;
        let holds = self.thread.mode() == Mode::On && self.gate().is_ok();
        holds.then(|| known.bytes.clone())
    }

    /// Takes a Parse of a statement that is known to be accepted. `false`: it is not.
    pub(super) fn parse_local(
        &mut self,
        parse: &message::Parse<'_>,
        text: &Rc<Text>,
        io: &mut Io<'_>,
    ) -> bool {
        let free = parse.name.is_empty() || self.statements.get(parse.name).is_none();
        if !free || !self.pending.nothing_awaited() || !self.statements.has_room(parse.name) {
            return false;
        }
        let Some(shape) = self.described(text, parse.types) else {
            return false;
        };
        let named = self.named_now(text.clone(), parse.types, Some(shape));
        self.statements.put(parse.name, Some(Known::Named(named)));
        self.transaction.hit |= self.transaction.status() == b'T';
        self.emit(message::PARSE_COMPLETE, io);
        self.pending.local = true;
        true
    }

    /// The description of a prepared statement, if it is known.
    pub(super) fn describe_statement(&mut self, name: &[u8]) -> Option<Rc<[u8]>> {
        let named = self.statements.named(name)?;
        if named.checked != self.database.catalog_word() {
            return None;
        }
        let (text, types) = (named.text.clone(), named.types.clone());
        self.described(&text, &types)
    }

    /// What the upstream owes to a Describe of a statement: kept, if it is one to keep.
    pub(super) fn owed_description(&mut self, name: &[u8]) -> Owed {
        let other = Owed::Describe { fill: false };
        if self.thread.mode() == Mode::Off || self.gate().is_err() {
            return other;
        }
        let context = self.settings.context(&self.thread.contexts);
        let word = self.database.catalog_word();
        let Some(named) = self.statements.named(name) else {
            return other;
        };
        let read =
            matches!(named.text.single(), Some(Statement::Query(query)) if query.why.is_none());
        if !read || named.checked != word || self.database.catalog().is_none() {
            return other;
        }
        Owed::Learn(Box::new(Learn {
            name: name.into(),
            text: named.text.clone(),
            types: named.types.clone(),
            word,
            context,
        }))
    }

    /// The description that was owed has come.
    pub(super) fn learn(&mut self, learn: Learn) {
        let bytes = std::mem::take(&mut self.pending.description);
        if bytes.len() > LONGEST || learn.word != self.database.catalog_word() {
            return;
        }
        let bytes: Rc<[u8]> = bytes.into();
        self.statements.shaped(&learn.name, &learn.text, &bytes);
        learn.text.described.borrow_mut().put(Described {
            word: learn.word,
            context: learn.context,
            types: learn.types,
            bytes,
        });
    }

    /// Before a statement that has only lived here is used after a change of the catalog: whether it still returns the
    /// same. `None`: it does, or PostgreSQL will say.
    pub(super) fn verify(&mut self, name: &[u8], io: &mut Io<'_>) -> Option<Local> {
        let word = self.database.catalog_word();
        let named = self.statements.named(name)?;
        let unsure = !named.upstream && named.checked != word && named.shape.is_some();
        if !unsure || self.transaction.status() == b'E' {
            return None;
        }
        if !self.reach(io) {
            return Some(Local::Wait);
        }
        if self.statements.changed.as_deref() == Some(name) {
            self.statements.changed = None;
            self.fail_instead(result_changed(), io);
            return Some(Local::Done);
        }
        self.ensure_upstream(name, io);
        frame::put(io.upstream, b'D', &[b"S", name, b"\0"].concat());
        io.upstream.extend_from_slice(message::FLUSH);
        self.hidden(Owed::Verify(name.into(), word), io);
        Some(Local::Wait)
    }

    /// The upstream has said what a statement returns now.
    pub(super) fn verified(&mut self, name: &[u8], word: u64, io: &mut Io<'_>) {
        let now = std::mem::take(&mut self.pending.description);
        let Some(named) = self.statements.named(name) else {
            return;
        };
        let before = named.shape.as_deref().unwrap_or_default();
        if same_shape(before, &now) {
            self.statements.checked(name, word);
            return;
        }
        // What it was is not to be had any more.
        self.statements.changed = Some(name.into());
        self.statements.is_not_upstream(name);
        frame::put(io.upstream, b'C', &[b"S", name, b"\0"].concat());
        self.hidden(Owed::Simple, io);
    }

    /// The client is told an error of ours. The upstream must fail, too: it is asked for a statement that it has not.
    pub(super) fn fail_instead(&mut self, words: Vec<u8>, io: &mut Io<'_>) {
        frame::put(
            io.upstream,
            b'B',
            &[b"\0", ASIDE, b"!\0\0\0\0\0\0\0"].concat(),
        );
        self.pending.open(io.now);
        self.owe(Owed::Instead(words));
    }
}

/// What PostgreSQL says of a prepared statement that would return something else now (plancache.c).
fn result_changed() -> Vec<u8> {
    let mut out = Vec::new();
    let text = "cached plan must not change result type";
    message::put_error(&mut out, message::Severity::Error, "0A000", text, "");
    out
}

/// Whether two descriptions are of rows of the same columns: names and types. Where a column comes from may differ.
fn same_shape(one: &[u8], other: &[u8]) -> bool {
    let columns = |bytes| message::columns(rows_of(bytes)?.get(HEAD..)?);
    let own = |c: message::Column<'_>| (c.name.to_vec(), c.oid, c.size.to_vec());
    let (Some(one), Some(other)) = (columns(one), columns(other)) else {
        return false;
    };
    one.len() == other.len() && one.into_iter().map(own).eq(other.into_iter().map(own))
}

/// The RowDescription among a statement's description.
pub(super) fn rows_of(bytes: &[u8]) -> Option<&[u8]> {
    let (skipped, _) = frame::run(bytes, b't');
    let rest = &bytes[skipped..];
    (rest.first() == Some(&b'T')).then_some(rest)
}
