//! The part of one database's system catalogs that analysis rests on, as loaded at one moment.

use crate::why::Why;

/// An object's identifier (PostgreSQL manual, 8.19).
pub type Oid = u32;

/// The schemas in which unqualified names are looked up, in order, `$user` resolved, without the implicit
/// `pg_catalog` and `pg_temp` (manual, 5.10.3).
pub type SearchPath = [Box<str>];

/// A database's catalog at one moment.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The ledger's catalog version under which the load began.
    pub version: u64,
}

/// What a name that is called like a function may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionClass {
    /// `None`: may be in a cacheable statement.
    pub why: Option<Why>,
    /// May write relations (not on the reviewed list of pg_catalog's volatile functions that write none).
    pub writes: bool,
    /// May change settings, roles or temporary objects of the session in a way the text does not show.
    pub opaque: bool,
    /// May hold locks or have other effects that make a transaction no longer clean.
    pub dirty: bool,
}

impl Catalog {
    /// Schema and name of a relation.
    pub fn relation_name(&self, _relation: Oid) -> Option<(&str, &str)> {
        None
    }
}
