//! What the locks of a transaction tell of what code in it has written.
//!
//! * Whoever changes rows of a relation holds a lock above ROW SHARE on it until the end of the transaction: triggers,
//!   functions, dynamic SQL and cascades too. What was rolled back to a savepoint has given its locks back.
//! * Code that could write outside of its transaction (dblink, an untrusted language) leaves no lock here. Where a
//!   database has a function that is not known to stay inside, locks tell nothing there: what a body may reach, by
//!   name, by operator, by the trigger of a table that it writes, is not in the catalog (hazard 26).
//! * A deferred trigger fires behind the question: what has locked its relation may write everything.
//! * DDL, GRANT and CREATE FUNCTION need hold no lock. Rows of system catalogs that the transaction has changed are told
//!   like locked relations, and raise the catalog.
//!
//! Not here: the question itself (`session::locks`).

use super::relations::Relations;
use super::rows::FIRST_NORMAL;
use super::{Oid, SYSTEM_CATALOGS, Touched, reviewed};
use crate::guard::{Guard, stands};

/// What a database says of its locks. The default: they tell nothing.
#[derive(Clone, Debug, Default)]
pub struct Locking {
    /// Any role may ask for the locks of its backend.
    pub open: bool,
    /// The extensions of the functions in languages that can reach out of their transaction, each once; the empty name
    /// for those that belong to none.
    pub strangers: Vec<Box<str>>,
    /// Relations with triggers of users' functions that may fire at COMMIT.
    pub deferred: Vec<Oid>,
    /// Indexes and TOAST tables: locked with their relation.
    pub beside: Vec<Oid>,
    /// Concluded: they tell all.
    pub(crate) tell: bool,
}

/// System catalogs whose rows say nothing that analysis rests on, with SYSTEM_CATALOGS for what shows them: of
/// `pg_description`, `pg_shdescription`, `pg_statistic`, `pg_statistic_ext_data`.
const SHOWN: [Oid; 4] = [2396, 2609, 2619, 3429];
/// `pg_largeobject`, `pg_largeobject_metadata` and their indexes: nothing that reads them is kept.
const LARGE_OBJECTS: [Oid; 4] = [2613, 2683, 2995, 2996];

impl Locking {
    pub(super) fn settled(mut self) -> Locking {
        self.deferred.sort_unstable();
        self.beside.sort_unstable();
        let stay = self.strangers.iter().all(|name| reviewed::stays(name));
        self.tell = self.open && (stay || !stands(Guard::LocksStay));
        self
    }

    /// What was written by who holds locks on these relations, and whether the catalog was.
    pub(super) fn written(&self, relations: &Relations, locked: &[Oid]) -> (Touched, bool) {
        let mut touched: Vec<Oid> = Vec::with_capacity(locked.len());
        let (mut everything, mut catalog) = (false, false);
        for oid in locked {
            let kind = relations.get(*oid).map(|found| found.kind);
            match (*oid, kind) {
                // What runs at COMMIT only, or cannot be told.
                (0, _) => everything = true,
                _ if SHOWN.contains(oid) => touched.push(SYSTEM_CATALOGS),
                _ if LARGE_OBJECTS.contains(oid) => {}
                (..FIRST_NORMAL, _) => catalog = true,
                _ if self.deferred.binary_search(oid).is_ok() => everything = true,
                (_, Some(b'r' | b'p' | b'm' | b'v' | b'S')) => touched.push(*oid),
                _ if self.beside.binary_search(oid).is_ok() => {}
                // Foreign tables write elsewhere; what is not in the catalog is new, or temporary.
                _ => everything = true,
            }
        }
        touched.sort_unstable();
        touched.dedup();
        everything &= stands(Guard::LocksUnknown);
        catalog &= stands(Guard::LocksOfCatalogs);
        let nothing = touched.is_empty() || !stands(Guard::LocksRaise);
        let touched = match (everything, nothing) {
            (true, _) => Touched::Everything,
            (_, true) => Touched::Nothing,
            _ => Touched::Relations(touched.into()),
        };
        (touched, catalog)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Catalog, Rows};
    use super::*;

    fn catalog(strangers: &[&str]) -> (Catalog, [Oid; 4]) {
        let mut rows = Rows::empty_database();
        let made = [
            rows.table("public", "a"),
            rows.table("public", "b"),
            rows.table("public", "late"),
            rows.relation("public", "far", b'f'),
        ];
        let locking = Locking {
            open: true,
            strangers: strangers.iter().map(|name| Box::from(*name)).collect(),
            deferred: vec![made[2]],
            beside: vec![90_001, 90_000],
            ..Locking::default()
        };
        (Catalog::build(1, rows).with_locks(locking), made)
    }

    #[test]
    fn locks_tell_where_all_code_stays_in_its_transaction() {
        for (strangers, tell) in [
            (&[][..], true),
            (&["pg_stat_statements", "citext"], true),
            (&["dblink"], false),
            (&["citext", ""], false),
            (&["postgres_fdw"], false),
        ] {
            assert_eq!(catalog(strangers).0.locks_tell(), tell, "{strangers:?}");
        }
        let unasked = Catalog::build(1, Rows::empty_database());
        assert!(!unasked.locks_tell(), "not known to be allowed");
    }

    #[test]
    fn what_is_locked_is_what_was_written() {
        let (catalog, [a, b, late, far]) = catalog(&[]);
        let both = Touched::Relations([a, b].into());
        for (locked, expected) in [
            (&[][..], (Touched::Nothing, false)),
            (&[b, a, b, 90_000, 90_001], (both.clone(), false)),
            (&[a, 2613, b], (both.clone(), false)),
            (&[a, b, 1259], (both, true)),
            (
                &[2609],
                (Touched::Relations([SYSTEM_CATALOGS].into()), false),
            ),
            (&[a, 0], (Touched::Everything, false)),
            (&[a, late], (Touched::Everything, false)),
            (&[far], (Touched::Everything, false)),
            (&[a, 90_002], (Touched::Everything, false)),
        ] {
            assert_eq!(catalog.written(locked), expected, "{locked:?}");
        }
    }
}
