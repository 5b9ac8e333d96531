//! Columns of relations by name: which are text, which are not.
//!
//! * `note::date` reads what stands in the row, `created_at::date` does not: whether a name is text is known only if
//!   it is a column of a relation that the statement names, and of none of them a text column.
//! * Names repeat from table to table: each is kept once.
//!
//! Not here: names that columns get inside a statement (`sql::parse`).

use super::Oid;
use super::datatypes::Datatypes;
use super::rows::Rows;
use std::collections::{HashMap, HashSet};

/// The columns of all relations.
#[derive(Debug, Default)]
pub(super) struct Columns {
    names: HashMap<Box<str>, u32>,
    /// (name, is text), sorted.
    by_relation: HashMap<Oid, Box<[(u32, bool)]>>,
    /// Relations with a column that is a `time` or made of one.
    with_time: HashSet<Oid>,
}

impl Columns {
    pub(super) fn build(rows: &Rows, types: &Datatypes) -> Columns {
        let mut names: HashMap<Box<str>, u32> = HashMap::new();
        let mut by_relation: HashMap<Oid, Vec<(u32, bool)>> = HashMap::new();
        let mut with_time = HashSet::new();
        for column in &rows.columns {
            if types.has_time(column.type_oid) {
                with_time.insert(column.relation);
            }
            let next = u32::try_from(names.len()).unwrap_or(u32::MAX);
            let name = *names.entry(column.name.clone()).or_insert(next);
            by_relation
                .entry(column.relation)
                .or_default()
                .push((name, types.is_text(column.type_oid)));
        }
        let sorted = |mut columns: Vec<(u32, bool)>| {
            columns.sort_unstable();
            columns.into_boxed_slice()
        };
        Columns {
            names,
            by_relation: by_relation
                .into_iter()
                .map(|(relation, columns)| (relation, sorted(columns)))
                .collect(),
            with_time,
        }
    }

    pub(super) fn has_time(&self, relation: Oid) -> bool {
        self.with_time.contains(&relation)
    }

    /// True if some of these relations has such a column, and none of them a text column of that name.
    pub(super) fn never_text(&self, relations: &[Oid], name: &str) -> bool {
        let Some(name) = self.names.get(name) else {
            return false;
        };
        let has = |text: bool| {
            relations.iter().any(|relation| {
                self.by_relation
                    .get(relation)
                    .is_some_and(|columns| columns.binary_search(&(*name, text)).is_ok())
            })
        };
        has(false) && !has(true)
    }
}
