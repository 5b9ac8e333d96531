//! Columns that a query shows without naming them: for system catalogs, some of whose columns change without DDL.
//!
//! * A star, a whole row (`SELECT c FROM pg_class c`), NATURAL and a list of column aliases take columns by place. A
//!   star over nothing but sub-selects, functions and WITH queries shows only what those have named.
//! * A name too many refuses a query; names are compared wherever they stand, whatever their scope.
//!
//! Not here: which relations have such columns (`sql::verdict`).

use super::walk::{Scope, Walk};
use pg_raw_parse::Node;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes;

/// Columns of `pg_class` that VACUUM, ANALYZE, TRUNCATE and REINDEX change, and the system column that tells of every
/// change of a row.
const STATISTICS: &[&str] = &[
    "xmin",
    "relallfrozen",
    "relallvisible",
    "relfilenode",
    "relfrozenxid",
    "relminmxid",
    "relpages",
    "relrewrite",
    "reltuples",
];

/// More pairs of names are not compared.
const MOST_PAIRS: usize = 100_000;

/// Names seen so far.
#[derive(Default)]
pub(super) struct WholeRows<'t> {
    /// Of relations and joins in FROM: aliases, or their own.
    relations: Vec<&'t str>,
    /// Of columns without a qualifier, and of what a star belongs to: a relation's name here is its row.
    rows: Vec<&'t str>,
}

impl<'t> Walk<'t> {
    pub(super) fn relation_of_from(&mut self, relation: &'t nodes::RangeVar) {
        let alias = relation.alias();
        let own = relation.relname();
        self.whole
            .relations
            .extend(alias.map_or(own, nodes::Alias::aliasname));
        self.query.catalogs.whole_rows |= renames(alias);
    }

    pub(super) fn join_of_from(&mut self, join: &'t nodes::JoinExpr) {
        for alias in [join.alias(), join.join_using_alias()] {
            self.whole
                .relations
                .extend(alias.and_then(nodes::Alias::aliasname));
            self.query.catalogs.whole_rows |= renames(alias);
        }
        self.query.catalogs.whole_rows |= join.is_natural;
        self.query.catalogs.statistics |= join
            .using_clause()
            .iter()
            .filter_map(|name| name.sval())
            .any(is_statistics);
    }

    pub(super) fn column_or_row(&mut self, fields: &'t NodeList) {
        self.query.catalogs.statistics |= fields.iter().filter_map(Node::as_str).any(is_statistics);
        let mut from_last = fields.iter().rev();
        let named = match (from_last.next(), from_last.next()) {
            (Some(Node::A_Star(_)), Some(row)) => row.as_str(),
            (Some(only), None) => only.as_str(),
            _ => None,
        };
        self.whole.rows.extend(named);
    }

    /// `SELECT *`: refused if something in its FROM is a relation.
    pub(super) fn star_of_select(&mut self, select: &'t nodes::SelectStmt, scope: Scope) {
        let bare = |target: &nodes::ResTarget| match target.val() {
            Node::ColumnRef(column) => matches!(column.fields().first(), Some(Node::A_Star(_))),
            _ => false,
        };
        if !select.target_list().iter().any(bare) {
            return;
        }
        let mut work: Vec<Node<'t>> = select.from_clause().iter().collect();
        while let Some(item) = work.pop() {
            match item {
                Node::JoinExpr(join) => work.extend([join.larg(), join.rarg()]),
                Node::RangeSubselect(_) | Node::RangeFunction(_) | Node::None => {}
                Node::RangeVar(relation)
                    if relation.schemaname().is_none()
                        && self.is_with_query(relation.relname().unwrap_or_default(), scope) => {}
                _ => self.query.catalogs.whole_rows = true,
            }
        }
    }

    /// At the end: whether a name that stands alone is a relation's.
    pub(super) fn judge_whole_rows(&mut self) {
        let WholeRows { relations, rows } = &self.whole;
        self.query.catalogs.whole_rows |= relations.len() * rows.len() > MOST_PAIRS
            || rows.iter().any(|row| relations.contains(row));
    }
}

fn renames(alias: Option<&nodes::Alias>) -> bool {
    alias.is_some_and(|alias| !alias.colnames().is_empty())
}

fn is_statistics(name: &str) -> bool {
    STATISTICS.contains(&name)
}
