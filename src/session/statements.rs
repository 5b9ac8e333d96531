//! Prepared statements and portals, as the client sees them.
//!
//! * A statement that was only ever needed for hits is not known upstream; it is parsed there before the first
//!   message that needs it, and that answer is hidden from the client.
//! * Names share one space with SQL's PREPARE (hazard 56): what was made there is `Prepared`.

use std::collections::HashMap;
use std::rc::Rc;

use super::ours::OurPortal;
use super::text::Text;
use crate::cache::fill::Fill;
use crate::cache::version::Fresh;
use crate::guard::{Guard, stands};
use crate::sql::statement::Statement;

/// A prepared statement made by Parse.
#[derive(Clone, Debug)]
pub struct Named {
    pub text: Rc<Text>,
    /// Declared parameter types as in Parse.
    pub types: Rc<[u8]>,
    /// Whether the upstream has it.
    pub upstream: bool,
    /// The catalog's word when it was parsed or last bound: what it returns is of that moment, and after a change of the
    /// catalog PostgreSQL must say whether it still does (hazard 28).
    pub checked: u64,
    /// Its description then, if it is known.
    pub shape: Option<Rc<[u8]>>,
    /// The settings that its constants were read under; `None`: not known, or read again since.
    pub reading: Option<Rc<str>>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Known {
    Named(Named),
    /// Made by SQL's PREPARE, which takes nothing but queries and DML; by that text, unless it may have another meaning by
    /// now.
    Prepared(Option<Rc<Text>>),
    /// Something the upstream may have and that is not followed: too long.
    Foreign,
}

/// A portal, as long as it lives here.
#[derive(Debug)]
pub enum Portal {
    /// Of a statement of Larder's own.
    Ours(OurPortal),
    /// Bound to an answer.
    Held(Held),
    /// Bound to a statement of transaction control; `bind` is the message, should the upstream need it.
    Control { named: Named, bind: Box<[u8]> },
    /// Has run this statement of a block that goes on: it cannot be run again.
    Ran(Rc<Text>),
    /// Closed here; the upstream may still have an older one.
    Closed,
}

impl Portal {
    /// Whether it ends with its transaction.
    pub fn is_bound(&self) -> bool {
        matches!(
            self,
            Portal::Held(_) | Portal::Control { .. } | Portal::Ran(_) | Portal::Ours(_)
        )
    }
}

/// A portal that is bound to an answer.
#[derive(Debug)]
pub struct Held {
    pub entry: Fresh,
    pub named: Named,
    /// The Bind message, should the upstream need it.
    pub bind: Vec<u8>,
    /// The context of the key then: settings show in what is sent at Execute.
    pub context: u64,
    /// Where its next row stands; `None`: it has not run.
    pub at: Option<usize>,
    /// How many savepoints, the block included, it was made behind.
    pub depth: usize,
    /// The settings that the rows it has left depend on.
    pub dates: Option<Rc<str>>,
    /// The upstream has a portal of its name that stands for nothing but its description.
    pub shadow: bool,
}

/// How many bytes of statements a client may have here; more are the upstream's alone.
const STATEMENTS: usize = 8 << 20;

/// Longest Bind whose room is kept for the next.
const SPARE: usize = 4096;

/// How many named portals a client may have here; more are the upstream's.
const PORTALS: usize = 256;

/// Statements by name; the unnamed one has the empty name.
#[derive(Debug, Default)]
pub struct Statements {
    known: HashMap<Box<[u8]>, Known>,
    unnamed: Option<Known>,
    /// The upstream has an unnamed statement that the client has none of any more.
    pub unnamed_left: bool,
    /// A statement that does not return any more what it did when it was prepared here.
    pub changed: Option<Box<[u8]>>,
    /// What is kept of them, in bytes.
    weight: usize,
    /// There were more than are kept: a name that is not here may be the upstream's.
    pub spilled: bool,
    /// Names prepared here that the upstream is to be told of.
    pub untaught: Vec<Box<[u8]>>,
    /// The unnamed portal; `None`: what the upstream has.
    portal: Option<Portal>,
    /// Named portals that live here.
    held: HashMap<Box<[u8]>, Portal>,
    /// The bytes of a Bind that is not needed any more, to be used again.
    spare: Vec<u8>,
    /// What the upstream's portals run, as far as followed.
    pub portals: HashMap<Box<[u8]>, Option<Rc<Text>>>,
    /// The fill of the unnamed portal, begun at its Bind.
    pub bound_fill: Option<Fill>,
}

impl Statements {
    /// What that name stands for.
    pub fn get(&self, name: &[u8]) -> Option<&Known> {
        if name.is_empty() {
            self.unnamed.as_ref()
        } else {
            self.known.get(name)
        }
    }

    /// The statement of that name, if it is one that is followed.
    pub fn named(&self, name: &[u8]) -> Option<&Named> {
        match self.get(name) {
            Some(Known::Named(named)) => Some(named),
            _ => None,
        }
    }

    /// Whether EXECUTE of that name may end a transaction block: Parse takes COMMIT, too, and EXECUTE of one that does.
    pub fn may_end(&self, name: &[u8]) -> bool {
        match self.get(name) {
            Some(Known::Prepared(_)) => false,
            Some(Known::Named(named)) => !matches!(named.text.single(), Some(Statement::Query(_))),
            Some(Known::Foreign) | None => true,
        }
    }

    /// Code that is not known may have prepared other statements under the names of those made by SQL.
    pub fn doubt_prepared(&mut self) {
        for (name, known) in &mut self.known {
            if let Known::Prepared(Some(_)) = known
                && stands(Guard::PreparedInDoubt)
            {
                self.weight -= weight(name, known);
                *known = Known::Prepared(None);
                self.weight += weight(name, known);
            }
        }
    }

    /// Makes a name stand for something; gives what it stood for before.
    pub fn put(&mut self, name: &[u8], known: Option<Known>) -> Option<Known> {
        if name.is_empty() {
            let there = |known: &Option<Known>| {
                matches!(
                    known,
                    Some(Known::Named(Named { upstream: true, .. }) | Known::Foreign)
                )
            };
            self.unnamed_left |= there(&self.unnamed) && !there(&known);
            return std::mem::replace(&mut self.unnamed, known);
        }
        let before = self.known.remove(name);
        self.weight -= before.as_ref().map_or(0, |known| weight(name, known));
        if let Some(known) = known {
            if self.weight + weight(name, &known) > STATEMENTS {
                self.spilled = true;
                return before;
            }
            self.weight += weight(name, &known);
            self.known.insert(name.into(), known);
        }
        before
    }

    /// Whether a statement may be kept here that the upstream does not know of.
    pub fn has_room(&self, name: &[u8]) -> bool {
        name.is_empty() || (!self.spilled && self.weight < STATEMENTS / 2)
    }

    /// A statement returns what the upstream has said.
    pub fn shaped(&mut self, name: &[u8], text: &Rc<Text>, bytes: &Rc<[u8]>) {
        if let Some(Known::Named(named)) = self.get_mut(name)
            && Rc::ptr_eq(&named.text, text)
        {
            named.shape = Some(bytes.clone());
        }
    }

    fn get_mut(&mut self, name: &[u8]) -> Option<&mut Known> {
        match name {
            b"" => self.unnamed.as_mut(),
            _ => self.known.get_mut(name),
        }
    }

    /// What the upstream has under that name is not what the client means.
    pub fn is_not_upstream(&mut self, name: &[u8]) {
        if let Some(Known::Named(named)) = self.get_mut(name) {
            named.upstream = false;
        }
    }

    /// PostgreSQL may have read its constants under other settings.
    pub fn is_read_again(&mut self, name: &[u8]) {
        if let Some(Known::Named(named)) = self.get_mut(name) {
            named.reading = None;
        }
    }

    /// All that are named, and what they stand for.
    pub fn all(&self) -> impl Iterator<Item = (&[u8], &Known)> {
        let named = self.known.iter().map(|(name, known)| (&**name, known));
        named.chain(self.unnamed.as_ref().map(|known| (&b""[..], known)))
    }

    /// The upstream has it now.
    pub fn is_upstream(&mut self, name: &[u8]) {
        if let Some(Known::Named(named)) = self.get_mut(name) {
            named.upstream = true;
        }
        if name.is_empty() {
            self.unnamed_left = false;
        }
    }

    /// The upstream has bound it under that word of the catalog.
    pub fn checked(&mut self, name: &[u8], word: u64) {
        if let Some(Known::Named(named)) = self.get_mut(name) {
            named.checked = word;
        }
    }

    /// A simple Query ends the unnamed statement. `forwarded`: the upstream's too.
    pub fn query(&mut self, forwarded: bool) {
        let had = matches!(
            self.unnamed.take(),
            Some(Known::Named(Named { upstream: true, .. }) | Known::Prepared(_) | Known::Foreign)
        );
        self.unnamed_left = !forwarded && (had || self.unnamed_left);
        // In a block the upstream may still have an unnamed portal that the Query would have ended.
        self.place(b"", (!forwarded).then_some(Portal::Closed));
        self.portals.remove(&b""[..]);
    }

    /// The portal of that name, if it lives here.
    pub fn local(&self, name: &[u8]) -> Option<&Portal> {
        match name {
            b"" => self.portal.as_ref(),
            _ if self.held.is_empty() => None,
            _ => self.held.get(name),
        }
    }

    /// Takes it from here.
    pub fn take_local(&mut self, name: &[u8]) -> Option<Portal> {
        match name {
            b"" => self.portal.take(),
            _ => self.held.remove(name),
        }
    }

    /// Puts a portal in the place of what has lived here under that name.
    pub fn place(&mut self, name: &[u8], portal: Option<Portal>) {
        let before = match (name, portal) {
            (b"", portal) => std::mem::replace(&mut self.portal, portal),
            (_, Some(portal)) => self.held.insert(name.into(), portal),
            (_, None) => self.held.remove(name),
        };
        if let Some(Portal::Held(Held { bind, .. })) = before
            && bind.capacity() <= SPARE
        {
            self.spare = bind;
        }
    }

    /// Room for the bytes of a Bind.
    pub fn spare(&mut self) -> Vec<u8> {
        let mut spare = std::mem::take(&mut self.spare);
        spare.clear();
        spare
    }

    /// Whether a portal of that name can live here: no other has it, and there are not too many.
    pub fn takes_portal(&self, name: &[u8]) -> bool {
        name.is_empty()
            || (self.held.len() < PORTALS
                && !self.held.contains_key(name)
                && !self.portals.contains_key(name))
    }

    /// Names of portals that live here.
    pub fn held_names(&self) -> Vec<Box<[u8]>> {
        self.held.keys().cloned().collect()
    }

    /// The transaction has ended, and with it what was bound to an answer.
    pub fn end_portals(&mut self) {
        self.held.clear();
        if self.portal.as_ref().is_some_and(Portal::is_bound) {
            self.place(b"", None);
        }
    }

    /// A savepoint, the one with so many before it, was released or gone back to.
    pub fn leave_savepoint(&mut self, at: usize, released: bool) {
        let stays = |portal: &mut Portal| match portal {
            Portal::Held(held) if held.depth > at => {
                held.depth = at;
                released
            }
            _ => true,
        };
        self.held.retain(|_, portal| stays(portal));
        if self.portal.as_mut().is_some_and(|portal| !stays(portal)) {
            self.place(b"", Some(Portal::Closed));
        }
    }

    /// A query of Larder's own has ended the upstream's unnamed statement, not the client's.
    pub fn own_query(&mut self) {
        self.unnamed_left = false;
        match &mut self.unnamed {
            Some(Known::Named(named)) => named.upstream = false,
            unnamed => *unnamed = None,
        }
    }

    /// A backend that others have had may still have an unnamed statement of theirs.
    pub fn meet_backend(&mut self) {
        self.unnamed_left = true;
    }

    /// The backend that had them is another's now. Gives whether it has named ones.
    pub fn unlink(&mut self) -> bool {
        let upstream = |known: &Known| !matches!(known, Known::Named(named) if !named.upstream);
        let left = self.known.values().any(upstream);
        for known in self.known.values_mut().chain(&mut self.unnamed) {
            if let Known::Named(named) = known {
                named.upstream = false;
            }
        }
        self.unnamed_left = false;
        self.end_known();
        left
    }

    /// What the upstream's portals run is forgotten: they are gone.
    pub fn end_known(&mut self) {
        self.portals.clear();
        self.bound_fill = None;
    }

    /// Which of them the last Binds have replaced is not known.
    pub fn doubt_known(&mut self) {
        for text in self.portals.values_mut() {
            *text = None;
        }
    }

    /// DEALLOCATE: of one name, or of all but the unnamed one.
    pub fn drop_named(&mut self, name: Option<&str>) -> Vec<(Box<[u8]>, Known)> {
        let dropped: Vec<_> = match name {
            Some(name) => self
                .known
                .remove_entry(name.as_bytes())
                .into_iter()
                .collect(),
            None => self.known.drain().collect(),
        };
        for (name, known) in &dropped {
            self.weight -= weight(name, known);
        }
        dropped
    }
}

/// What a statement takes here: its text is counted although others may share it.
fn weight(name: &[u8], known: &Known) -> usize {
    let own = match known {
        Known::Named(named) => named.types.len() + 3 * named.text.sql.len(),
        Known::Prepared(Some(text)) => 3 * text.sql.len(),
        Known::Prepared(None) | Known::Foreign => 0,
    };
    200 + name.len() + own
}
