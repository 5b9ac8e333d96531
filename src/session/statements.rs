//! Prepared statements and the unnamed portal, as the client sees them.
//!
//! * A statement that was only ever needed for hits is not known upstream; it is parsed there before the first
//!   message that needs it, and that answer is hidden from the client.
//! * Names share one space with SQL's PREPARE (hazard 56): what was made there is `Prepared`.

use std::collections::HashMap;
use std::rc::Rc;

use super::text::Text;
use crate::cache::fill::Fill;
use crate::cache::version::Fresh;
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
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub enum Known {
    Named(Named),
    /// Made by SQL's PREPARE, which takes nothing but queries and DML.
    Prepared,
    /// Something the upstream may have and that is not followed: too long.
    Foreign,
}

/// The unnamed portal, as long as it lives here.
#[derive(Debug)]
pub enum Portal {
    /// `SHOW larder.last`, result in that format.
    Last(u8),
    /// Bound to an answer; `bind` is the message, should the upstream need it.
    Bound {
        entry: Fresh,
        named: Named,
        bind: Box<[u8]>,
        /// The context of the key then: settings show in what is sent at Execute.
        context: u64,
    },
    /// Bound to a statement of transaction control; `bind` is the message, should the upstream need it.
    Control { named: Named, bind: Box<[u8]> },
    /// Has run a statement of a block that goes on: it cannot be run again.
    Ran,
    /// Has given its whole answer, and can still be described.
    Done(Fresh),
    /// Closed here; the upstream may still have an older one.
    Closed,
}

/// Statements by name; the unnamed one has the empty name.
#[derive(Debug, Default)]
pub struct Statements {
    known: HashMap<Box<[u8]>, Known>,
    unnamed: Option<Known>,
    /// The upstream has an unnamed statement that the client has none of any more.
    pub unnamed_left: bool,
    /// Names prepared here that the upstream is to be told of.
    pub untaught: Vec<Box<[u8]>>,
    /// The unnamed portal; `None`: what the upstream has.
    pub portal: Option<Portal>,
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
            Some(Known::Prepared) => false,
            Some(Known::Named(named)) => !matches!(named.text.single(), Some(Statement::Query(_))),
            Some(Known::Foreign) | None => true,
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
        match known {
            Some(known) => self.known.insert(name.into(), known),
            None => self.known.remove(name),
        }
    }

    /// The upstream has it now.
    pub fn is_upstream(&mut self, name: &[u8]) {
        let known = if name.is_empty() {
            self.unnamed.as_mut()
        } else {
            self.known.get_mut(name)
        };
        if let Some(Known::Named(named)) = known {
            named.upstream = true;
        }
        if name.is_empty() {
            self.unnamed_left = false;
        }
    }

    /// The upstream has bound it under that word of the catalog.
    pub fn checked(&mut self, name: &[u8], word: u64) {
        let known = if name.is_empty() {
            self.unnamed.as_mut()
        } else {
            self.known.get_mut(name)
        };
        if let Some(Known::Named(named)) = known {
            named.checked = word;
        }
    }

    /// A simple Query ends the unnamed statement. `forwarded`: the upstream's too.
    pub fn query(&mut self, forwarded: bool) {
        let had = matches!(
            self.unnamed.take(),
            Some(Known::Named(Named { upstream: true, .. }) | Known::Prepared | Known::Foreign)
        );
        self.unnamed_left = !forwarded && (had || self.unnamed_left);
        // In a block the upstream may still have an unnamed portal that the Query would have ended.
        self.portal = (!forwarded).then_some(Portal::Closed);
    }

    /// A query of Larder's own has ended the upstream's unnamed statement, not the client's.
    pub fn own_query(&mut self) {
        self.unnamed_left = false;
        match &mut self.unnamed {
            Some(Known::Named(named)) => named.upstream = false,
            unnamed => *unnamed = None,
        }
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
        self.portals.clear();
        self.bound_fill = None;
        left
    }

    /// DEALLOCATE: of one name, or of all but the unnamed one.
    pub fn drop_named(&mut self, name: Option<&str>) -> Vec<(Box<[u8]>, Known)> {
        match name {
            Some(name) => self
                .known
                .remove_entry(name.as_bytes())
                .into_iter()
                .collect(),
            None => self.known.drain().collect(),
        }
    }
}
