//! What a statement reads and writes, resolved against the catalog. The only place that makes a [`Cacheable`].

use super::catalog::{Catalog, Oid, SearchPath};
use super::statement::{Name, Statement};
use crate::why::Why;

/// A query's syntax: names it mentions, constructs that forbid caching.
#[derive(Debug, Default)]
pub struct Query {
    /// The first syntactic reason against caching.
    pub why: Option<Why>,
    /// Relations read (CTE names resolved away), functions, operators, types … (fill in)
    pub reads: Vec<Name>,
}

/// Proof that a statement's answer depends on nothing but these relations, its key and the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cacheable {
    relations: Box<[Oid]>,
}

impl Cacheable {
    /// Sorted, distinct, never empty: base tables, materialised views, partitions, and the views between.
    pub fn relations(&self) -> &[Oid] {
        &self.relations
    }
}

/// What is no longer what it was once the statement has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Touched {
    #[default]
    Nothing,
    /// Sorted and distinct.
    Relations(Box<[Oid]>),
    /// Opaque: every relation of the database.
    Everything,
}

/// What one statement does.
#[derive(Clone, Debug)]
pub struct Effect {
    pub reads: Result<Cacheable, Why>,
    pub writes: Touched,
    /// DDL, GRANT, role changes: the catalog itself is raised.
    pub catalog: bool,
    /// Ends the cleanness of a transaction: writes, locks, cursors, advisory locks, anything opaque.
    pub dirty: bool,
    /// May have changed settings, role or temporary objects unseen: the session must be re-read.
    pub opaque: bool,
}

/// Resolves a statement. Without a catalog a query is `Err(Why::NoCatalog)` and a write touches everything.
pub fn resolve(statement: &Statement, catalog: Option<&Catalog>, path: &SearchPath) -> Effect {
    let _ = (statement, catalog, path);
    Effect { reads: Err(Why::NoCatalog), writes: Touched::Everything, catalog: true, dirty: true, opaque: true }
}

/// For the tests of the floors above.
#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;

    /// A proof out of thin air.
    pub(crate) fn cacheable(relations: &[Oid]) -> Cacheable {
        Cacheable { relations: relations.into() }
    }
}
