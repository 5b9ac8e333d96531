//! What people ask of a catalog: names, kinds, and why one relation leads to another.
//!
//! Nothing here is on the way of a statement; some of it looks through everything there is.

use std::collections::BTreeMap;

use super::touches::{Because, Unbounded};
use super::{Catalog, Oid, SYSTEM_CATALOGS, WriteKind};
use crate::sql::catalog::rows::FIRST_NORMAL;

impl Catalog {
    /// A relation's name with its schema, for people.
    pub fn words(&self, relation: Oid) -> String {
        match self.relation_name(relation) {
            _ if relation == SYSTEM_CATALOGS => "the system catalogs".into(),
            Some((schema, name)) => format!("{schema}.{name}"),
            None => format!("the relation with number {relation}"),
        }
    }

    /// A function's name with its schema, for people; PostgreSQL's own schema is not written.
    pub fn function_words(&self, function: Oid) -> String {
        let Some((schema, name)) = self.parts.functions.name_of(function) else {
            return format!("the function with number {function}");
        };
        let mut schemas = self.parts.namespaces.iter();
        match schemas.find(|(_, oid)| **oid == schema) {
            Some((schema, _)) if &**schema != "pg_catalog" => format!("{schema}.{name}()"),
            _ => format!("{name}()"),
        }
    }

    /// `relkind`.
    pub fn kind(&self, relation: Oid) -> Option<u8> {
        Some(self.parts.relations.get(relation)?.kind)
    }

    /// What of its own a relation is refused for: a column, a function of its query.
    pub fn blame(&self, relation: Oid) -> Option<&str> {
        self.parts.relations.get(relation)?.blame.as_deref()
    }

    /// What a view's query names.
    pub fn below(&self, relation: Oid) -> &[Oid] {
        let found = self.parts.relations.get(relation);
        found.map_or(&[], |found| &found.below)
    }

    /// Partitions and inheritance children.
    pub fn children(&self, relation: Oid) -> &[Oid] {
        self.parts.touches.children_of(relation)
    }

    /// What a write to this relation touches, and why; or why that is everything.
    ///
    /// # Errors
    /// It may be everything.
    pub fn traced(
        &self,
        relation: Oid,
        kind: WriteKind,
    ) -> Result<BTreeMap<Oid, Because>, Unbounded> {
        let traced = self
            .parts
            .touches
            .trace(&self.parts.relations, relation, kind);
        traced.map(|(touched, _)| touched)
    }

    /// Every relation that is not the system's own, by name.
    pub fn relations(&self) -> Vec<Oid> {
        let all = self.parts.relations.all();
        let own = all.filter(|(oid, name, _)| {
            let system = ["pg_catalog", "information_schema", "pg_toast"];
            *oid >= FIRST_NORMAL && !system.contains(name)
        });
        let mut named: Vec<_> = own.map(|(oid, schema, name)| (schema, name, oid)).collect();
        named.sort_unstable();
        named.into_iter().map(|(.., oid)| oid).collect()
    }
}
