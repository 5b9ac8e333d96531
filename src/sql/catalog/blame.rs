//! The words for what of a relation's own keeps it from the cache: the column, the function, the operator.
//!
//! Made while a catalog is built, only for relations that are refused: a statement's verdict does not look here.

use super::Oid;
use super::datatypes::Datatypes;
use super::functions::Functions;
use super::nodetree::Tree;
use super::rows::Rows;

/// The first column of that type.
pub(super) fn column(rows: &Rows, relation: Oid, type_oid: Oid) -> Box<str> {
    let mut columns = rows.columns.iter();
    let found = columns.find(|c| c.relation == relation && c.type_oid == type_oid);
    let name = found.map_or("?", |column| &*column.name);
    format!("its column {name}, of type {}", type_name(rows, type_oid)).into()
}

/// The first thing in a view's query that is not harmless.
pub(super) fn query(
    rows: &Rows,
    tree: &Tree,
    functions: &Functions,
    types: &Datatypes,
) -> Option<Box<str>> {
    let mut called = tree.functions.iter();
    if let Some(oid) = called.find(|oid| functions.by_oid(**oid).why.is_some()) {
        let found = rows.functions.iter().find(|row| row.oid == *oid)?;
        let schema = schema(rows, found.namespace);
        return Some(format!("its function {schema}{}()", found.name).into());
    }
    let mut used = tree.operators.iter();
    if let Some(oid) = used.find(|oid| functions.operator_by_oid(**oid).why.is_some()) {
        let found = rows.operators.iter().find(|row| row.oid == *oid)?;
        return Some(format!("its operator {}", found.name).into());
    }
    let kept = tree.types.iter().map(|oid| (oid, types.kept(*oid)));
    let inputs = tree.inputs.iter().map(|oid| (oid, types.input(*oid)));
    let (oid, _) = kept.chain(inputs).find(|(_, class)| class.why.is_some())?;
    Some(format!("its type {}", type_name(rows, *oid)).into())
}

fn type_name(rows: &Rows, oid: Oid) -> String {
    match rows.types.iter().find(|row| row.oid == oid) {
        Some(found) => format!("{}{}", schema(rows, found.namespace), found.name),
        None => format!("number {oid}"),
    }
}

/// A schema in front of a name; PostgreSQL's own is not written.
fn schema(rows: &Rows, oid: Oid) -> String {
    match rows.namespaces.iter().find(|row| row.oid == oid) {
        Some(found) if &*found.name != "pg_catalog" => format!("{}.", found.name),
        _ => String::new(),
    }
}
