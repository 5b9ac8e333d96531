//! What a write may make visible: relations, or everything, and whether the catalog.
//!
//! * Two sets resolved with different catalogs are everything: neither says what the other's names meant.
//! * A set of everything may know that the locks of its transaction will tell what it was, and what is certain besides
//!   (DESIGN: open wide, raise narrow). That is lost where one part of it says no.

use crate::guard::{Guard, stands};
use crate::sql::{Oid, Touched};

/// What a write may make visible.
#[derive(Clone, Debug, Default)]
pub struct WriteSet {
    pub(super) touched: Touched,
    pub(super) catalog: bool,
    /// The catalog version `touched` was resolved with; `None` if without or with several.
    pub(super) version: Option<u64>,
    /// Locks do not tell what of everything it was.
    blind: bool,
    /// Of a set of everything: what was certain without them.
    certain: Touched,
}

impl WriteSet {
    /// A statement's write set, resolved with the catalog of that version.
    pub fn new(touched: Touched, catalog: bool, version: Option<u64>) -> WriteSet {
        WriteSet {
            touched,
            catalog,
            version,
            blind: true,
            certain: Touched::Nothing,
        }
    }

    /// The same of a statement of which its transaction's locks tell what it has written, or do not.
    #[must_use]
    pub fn told(self, by_locks: bool) -> WriteSet {
        WriteSet {
            blind: !by_locks,
            ..self
        }
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        self.touched == Touched::Nothing && !self.catalog
    }

    /// Whether locks would make it smaller.
    pub fn asks(&self) -> bool {
        self.touched == Touched::Everything && !self.catalog && !self.blind
    }

    /// What it was, now that the locks have told `touched` and whether the `catalog` was changed, and a catalog of that
    /// version what they are. `None`: they do not count.
    pub fn narrowed(&self, touched: Touched, catalog: bool, version: u64) -> Option<WriteSet> {
        if !self.asks() || self.version != Some(version) {
            return None;
        }
        let touched = match stands(Guard::LocksAndText) {
            true => union(touched, &self.certain),
            false => touched,
        };
        Some(WriteSet::new(touched, catalog, self.version))
    }

    /// Whether an intent on this set shuts all that one on the other would.
    ///
    /// An intent on relations is good for sets of the same catalog version only: while it is open no later catalog
    /// is published, so what a change of the catalog adds to the other set cannot be served meanwhile.
    pub fn covers(&self, other: &WriteSet) -> bool {
        let touched = match (&self.touched, &other.touched) {
            (_, Touched::Nothing) | (Touched::Everything, _) => true,
            (Touched::Relations(mine), Touched::Relations(others)) => {
                self.version.is_some()
                    && self.version == other.version
                    && others.iter().all(|oid| mine.binary_search(oid).is_ok())
            }
            _ => false,
        };
        touched && (self.catalog || !other.catalog)
    }

    /// Takes in a set that an intent was opened on beside this one's: as far as the two can be said in one.
    pub fn extend(&mut self, other: &WriteSet) {
        let same = self.version.is_some() && self.version == other.version;
        if self.is_empty() || same || other.touched == Touched::Everything {
            self.add(other);
        }
    }

    /// Adds another set. Two sets resolved with different catalogs make everything.
    pub fn add(&mut self, other: &WriteSet) {
        if other.is_empty() {
            return;
        }
        if self.is_empty() {
            *self = other.clone();
            return;
        }
        self.catalog |= other.catalog;
        let same = (self.version.is_some() && self.version == other.version)
            || !stands(Guard::TwoCatalogsWiden);
        self.blind |= other.blind || !same;
        self.certain = match (&self.touched, &other.touched) {
            (Touched::Everything, _) | (_, Touched::Everything) => {
                union(self.certain().clone(), other.certain())
            }
            _ => Touched::Nothing,
        };
        self.touched = match (std::mem::take(&mut self.touched), &other.touched) {
            (touched, Touched::Nothing) => touched,
            (Touched::Nothing, touched) => {
                self.version = other.version;
                touched.clone()
            }
            (touched @ Touched::Relations(_), Touched::Relations(_)) if same => {
                union(touched, &other.touched)
            }
            _ => Touched::Everything,
        };
    }

    fn certain(&self) -> &Touched {
        match self.touched {
            Touched::Everything => &self.certain,
            _ => &self.touched,
        }
    }
}

fn union(touched: Touched, other: &Touched) -> Touched {
    match (touched, other) {
        (Touched::Relations(a), Touched::Relations(b)) => {
            let mut both: Vec<Oid> = a.iter().chain(b.iter()).copied().collect();
            both.sort_unstable();
            both.dedup();
            Touched::Relations(both.into())
        }
        (Touched::Nothing, other) => other.clone(),
        (touched, Touched::Nothing) => touched,
        _ => Touched::Everything,
    }
}
