//! Relations by name and identifier, with what a read of each depends on and what a write to each touches.

use super::functions::Functions;
use super::rows::{FIRST_NORMAL, PG_CATALOG, Rows};
use super::{FunctionClass, Oid, Touched, WriteKind};
use crate::why::Why;
use std::collections::HashMap;

/// All relations.
#[derive(Debug, Default)]
pub(super) struct Relations {
    by_name: HashMap<Box<str>, Vec<(Oid, Oid)>>,
    by_oid: HashMap<Oid, Relation>,
    types: HashMap<Box<str>, Vec<(Oid, Option<Why>)>>,
}

#[derive(Debug)]
struct Relation {
    schema: Box<str>,
    name: Box<str>,
    reads: Result<Box<[Oid]>, Why>,
}

impl Relations {
    pub(super) fn build(rows: &Rows, _functions: &Functions) -> Relations {
        let schemas: HashMap<Oid, &str> =
            rows.namespaces.iter().map(|n| (n.oid, &*n.name)).collect();
        let mut relations = Relations::default();
        for row in &rows.relations {
            let schema = schemas.get(&row.namespace).copied().unwrap_or_default();
            let reads = match (row.kind, schema) {
                (_, "pg_catalog" | "information_schema") => Err(Why::SystemCatalog),
                (b'r' | b'm', _) if row.row_security => Err(Why::RowSecurity),
                (b'r' | b'm', _) => Ok([row.oid].into()),
                (b'S', _) => Err(Why::Sequence),
                (b'f', _) => Err(Why::ForeignTable),
                _ => Err(Why::OpaqueView),
            };
            relations
                .by_name
                .entry(row.name.clone())
                .or_default()
                .push((row.namespace, row.oid));
            let relation = Relation {
                schema: schema.into(),
                name: row.name.clone(),
                reads,
            };
            relations.by_oid.insert(row.oid, relation);
        }
        for row in &rows.types {
            let built_in = row.oid < FIRST_NORMAL && row.namespace == PG_CATALOG;
            let why = (!built_in).then_some(Why::UserType);
            relations
                .types
                .entry(row.name.clone())
                .or_default()
                .push((row.namespace, why));
        }
        relations
    }

    pub(super) fn named(&self, name: &str) -> &[(Oid, Oid)] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn name(&self, relation: Oid) -> Option<(&str, &str)> {
        self.by_oid.get(&relation).map(|r| (&*r.schema, &*r.name))
    }

    pub(super) fn reads(&self, relation: Oid) -> Result<&[Oid], Why> {
        match self.by_oid.get(&relation) {
            Some(found) => found.reads.as_deref().map_err(|why| *why),
            None => Err(Why::UnknownRelation),
        }
    }

    pub(super) fn runs(&self, relation: Oid) -> FunctionClass {
        match self.reads(relation) {
            Ok(_) => FunctionClass::PURE,
            Err(why) => FunctionClass::anything(why),
        }
    }

    pub(super) fn writes(&self, _relation: Oid, _kind: WriteKind) -> Touched {
        Touched::Everything
    }

    pub(super) fn type_named(&self, name: &str, schemas: &[Oid]) -> Option<Why> {
        let all = self.types.get(name).into_iter().flatten();
        let mut found = all
            .filter(|(schema, _)| schemas.contains(schema))
            .map(|(_, why)| *why)
            .peekable();
        if found.peek().is_none() {
            Some(Why::UserType)
        } else {
            found.flatten().next()
        }
    }
}
