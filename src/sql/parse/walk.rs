//! The walk over a query's tree: statements, WITH, FROM.
//!
//! * A name in FROM is a WITH query only where PostgreSQL looks for one (manual, 7.8): unqualified, in scope, and
//!   without RECURSIVE only for later siblings. Anywhere else it is the relation.
//! * A target of INSERT, UPDATE, DELETE or MERGE is always the relation, never a WITH query.
//! * A node that the walk does not know makes the query opaque.

use super::super::catalog::WriteKind;
use super::super::query::Query;
use super::super::statement::Name;
use super::wholerows::WholeRows;
use crate::why::Why;
use pg_raw_parse::Node;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes;
use pg_raw_parse::raw::{CmdType, OnConflictAction};

/// The WITH queries in scope: a place in the list of all, linked to the one before. 0: none.
pub(super) type Scope = usize;

/// Look-ups of WITH names stop here, and everything counts as a relation: quadratic texts must not cost seconds.
const MOST_STEPS: usize = 1_000_000;
/// So many of the names before a new one are compared with it; a repeated name costs time, not truth.
pub(super) const COMPARED: usize = 32;

/// SELECT INTO's target, if there is one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SelectInto {
    Nothing,
    Table,
    TemporaryTable,
}

/// What a query mentions, with its SELECT INTO.
pub(super) fn walk(root: Node<'_>) -> (Query, SelectInto) {
    let mut walk = Walk {
        work: Vec::with_capacity(32),
        with: Vec::new(),
        steps: 0,
        nested: false,
        into: SelectInto::Nothing,
        derived: Vec::new(),
        open_names: false,
        whole: WholeRows::default(),
        query: Query::default(),
    };
    walk.work.push((root, 0));
    while let Some((node, scope)) = walk.work.pop() {
        walk.visit(node, scope);
    }
    walk.judge_cast_columns();
    walk.judge_whole_rows();
    walk.query.dedup();
    (walk.query, walk.into)
}

pub(super) struct Walk<'t> {
    work: Vec<(Node<'t>, Scope)>,
    with: Vec<(&'t str, Scope)>,
    steps: usize,
    /// The root has been visited.
    nested: bool,
    into: SelectInto,
    /// Names that columns get inside the query, instead of from a relation.
    pub(super) derived: Vec<&'t str>,
    /// Columns have names that neither the text nor a relation tells: a function's, a composite type's.
    pub(super) open_names: bool,
    pub(super) whole: WholeRows<'t>,
    pub(super) query: Query,
}

impl<'t> Walk<'t> {
    pub(super) fn deny(&mut self, why: Why) {
        self.query.why.get_or_insert(why);
    }

    pub(super) fn push(&mut self, node: impl Into<Node<'t>>, scope: Scope) {
        self.work.push((node.into(), scope));
    }

    pub(super) fn list(&mut self, list: &'t NodeList, scope: Scope) {
        self.work
            .extend(list.iter().rev().map(|node| (node, scope)));
    }

    fn visit(&mut self, node: Node<'t>, scope: Scope) {
        let root = !std::mem::replace(&mut self.nested, true);
        match node {
            Node::None => {}
            Node::NodeList(list) => self.list(list, scope),
            Node::SelectStmt(select) => self.select(select, root, scope),
            Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_) => {
                self.deny(if root {
                    Why::NotSelect
                } else {
                    Why::DataModifyingCte
                });
                self.write(node, scope);
            }
            _ => {
                if !self.item_of_from(node, scope)
                    && !self.expression(node, scope)
                    && !self.json(node, scope)
                {
                    self.deny(Why::Construct);
                    self.query.unknown = true;
                }
            }
        }
    }

    fn select(&mut self, select: &'t nodes::SelectStmt, root: bool, scope: Scope) {
        let scope = self.with_clause(select.with_clause(), scope);
        if !select.locking_clause().is_empty() {
            self.query.locks = true;
            self.deny(Why::Locking);
        }
        if let Some(target) = select.into_clause() {
            self.deny(Why::SelectInto);
            let temporary = target.rel().is_some_and(super::classify::temporary);
            self.into = if temporary {
                SelectInto::TemporaryTable
            } else {
                SelectInto::Table
            };
        }
        self.star_of_select(select, scope);
        self.push(select.limit_count(), scope);
        self.push(select.limit_offset(), scope);
        for sort in select.sort_clause() {
            self.push(sort, scope);
        }
        self.list(select.values_lists(), scope);
        self.list(select.window_clause(), scope);
        self.push(select.having_clause(), scope);
        self.list(select.group_clause(), scope);
        self.push(select.where_clause(), scope);
        for target in select.target_list() {
            // Nothing in the query takes a column of its own answer by name but to sort by it.
            if !root {
                self.derive(target);
            }
            self.push(target.val(), scope);
        }
        self.list(select.distinct_clause(), scope);
        self.list(select.from_clause(), scope);
        self.push(select.rarg(), scope);
        self.push(select.larg(), scope);
    }

    /// Enters a WITH clause; the scope of everything it belongs to.
    fn with_clause(&mut self, clause: Option<&'t nodes::WithClause>, outer: Scope) -> Scope {
        let Some(clause) = clause else { return outer };
        let mut scope = outer;
        if clause.recursive {
            for item in clause.ctes() {
                scope = self.bring_in(item, scope);
            }
        }
        for item in clause.ctes() {
            self.push(item.ctequery(), scope);
            self.columns(item.aliascolnames());
            if let Some(search) = item.search_clause() {
                self.derived.extend(search.search_seq_column());
            }
            if let Some(cycle) = item.cycle_clause() {
                self.push(cycle.cycle_mark_value(), scope);
                self.push(cycle.cycle_mark_default(), scope);
                self.derived.extend(cycle.cycle_mark_column());
                self.derived.extend(cycle.cycle_path_column());
                self.operator(None, "=");
                self.operator(None, "<>");
            }
            if !clause.recursive {
                scope = self.bring_in(item, scope);
            }
        }
        scope
    }

    fn bring_in(&mut self, item: &'t nodes::CommonTableExpr, scope: Scope) -> Scope {
        let name = item.ctename().unwrap_or_default();
        self.derived.push(name);
        self.with.push((name, scope));
        self.with.len()
    }

    pub(super) fn is_with_query(&mut self, name: &str, mut scope: Scope) -> bool {
        while scope > 0 && self.steps < MOST_STEPS {
            self.steps += 1;
            let (known, outer) = self.with[scope - 1];
            if known == name {
                return true;
            }
            scope = outer;
        }
        false
    }

    fn target(&mut self, relation: Option<&'t nodes::RangeVar>, kinds: &[WriteKind]) {
        let Some(relation) = relation else { return };
        let name = range_name(relation);
        for kind in kinds {
            if !self
                .query
                .targets
                .iter()
                .any(|(n, k)| n == &name && k == kind)
            {
                self.query.targets.push((name.clone(), *kind));
            }
        }
    }

    fn write(&mut self, node: Node<'t>, scope: Scope) {
        match node {
            Node::InsertStmt(insert) => self.insert(insert, scope),
            Node::UpdateStmt(update) => {
                let scope = self.with_clause(update.with_clause(), scope);
                self.target(update.relation(), &[WriteKind::Update]);
                for target in update.target_list() {
                    self.push(target, scope);
                }
                self.list(update.from_clause(), scope);
                self.push(update.where_clause(), scope);
                self.returning(update.returning_clause(), scope);
            }
            Node::DeleteStmt(delete) => {
                let scope = self.with_clause(delete.with_clause(), scope);
                self.target(delete.relation(), &[WriteKind::Delete]);
                self.list(delete.using_clause(), scope);
                self.push(delete.where_clause(), scope);
                self.returning(delete.returning_clause(), scope);
            }
            Node::MergeStmt(merge) => self.merge(merge, scope),
            _ => {}
        }
    }

    fn insert(&mut self, insert: &'t nodes::InsertStmt, scope: Scope) {
        let scope = self.with_clause(insert.with_clause(), scope);
        self.target(insert.relation(), &[WriteKind::Insert]);
        self.list(insert.cols(), scope);
        self.push(insert.select_stmt(), scope);
        self.returning(insert.returning_clause(), scope);
        let Some(conflict) = insert.on_conflict_clause() else {
            return;
        };
        if conflict.action != OnConflictAction::ONCONFLICT_NOTHING {
            self.target(insert.relation(), &[WriteKind::Update]);
        }
        for target in conflict.target_list() {
            self.push(target, scope);
        }
        self.push(conflict.where_clause(), scope);
        if let Some(infer) = conflict.infer() {
            self.list(infer.index_elems(), scope);
            self.push(infer.where_clause(), scope);
        }
    }

    fn merge(&mut self, merge: &'t nodes::MergeStmt, scope: Scope) {
        let scope = self.with_clause(merge.with_clause(), scope);
        for when in merge.merge_when_clauses() {
            let kind = match when.command_type {
                CmdType::CMD_INSERT => WriteKind::Insert,
                CmdType::CMD_DELETE => WriteKind::Delete,
                _ => WriteKind::Update,
            };
            self.target(merge.relation(), &[kind]);
            self.push(when.condition(), scope);
            self.list(when.target_list(), scope);
            self.list(when.values(), scope);
        }
        self.push(merge.source_relation(), scope);
        self.push(merge.join_condition(), scope);
        self.returning(merge.returning_clause(), scope);
    }

    fn returning(&mut self, clause: Option<&'t nodes::ReturningClause>, scope: Scope) {
        if let Some(clause) = clause {
            self.list(clause.exprs(), scope);
        }
    }

    /// What can stand in FROM; false for anything else.
    fn item_of_from(&mut self, node: Node<'t>, scope: Scope) -> bool {
        match node {
            Node::RangeVar(relation) => self.relation(relation, scope),
            Node::RangeSubselect(item) => {
                self.push(item.subquery(), scope);
                self.alias(item.alias());
            }
            Node::JoinExpr(join) => {
                if join.is_natural || !join.using_clause().is_empty() {
                    self.operator(None, "=");
                }
                self.join_of_from(join);
                self.push(join.quals(), scope);
                self.push(join.rarg(), scope);
                self.push(join.larg(), scope);
                self.alias(join.alias());
                self.alias(join.join_using_alias());
            }
            Node::RangeFunction(item) => {
                self.functions_of_from(item.functions());
                self.list(item.functions(), scope);
                for column in item.coldeflist() {
                    self.push(column, scope);
                }
                self.alias(item.alias());
            }
            Node::ColumnDef(column) => {
                self.derived.extend(column.colname());
                self.read_as(column.type_name());
            }
            Node::RangeTableSample(sample) => {
                self.deny(Why::TableSample);
                self.push(sample.relation(), scope);
                self.list(sample.args(), scope);
                self.push(sample.repeatable(), scope);
            }
            _ => return false,
        }
        true
    }

    fn relation(&mut self, relation: &'t nodes::RangeVar, scope: Scope) {
        let unqualified = relation.schemaname().is_none() && relation.catalogname().is_none();
        let name = relation.relname().unwrap_or_default();
        self.alias(relation.alias());
        if !(unqualified && self.is_with_query(name, scope)) {
            self.relation_of_from(relation);
            add(&mut self.query.reads, relation.schemaname(), name);
        }
    }

    /// An alias of a whole row may be cast to a composite type like a column; a function's only column is called like
    /// its alias.
    fn alias(&mut self, alias: Option<&'t nodes::Alias>) {
        let Some(alias) = alias else { return };
        self.derived.extend(alias.aliasname());
        self.columns(alias.colnames());
    }

    /// A function's columns are named in the catalog, but for a few that have only one without a name.
    fn functions_of_from(&mut self, functions: &'t NodeList) {
        for function in functions {
            let call = match function {
                Node::NodeList(pair) => pair.first().unwrap_or(Node::None),
                other => other,
            };
            let name = match call {
                Node::FuncCall(call) => last_two(call.funcname().iter().map(Node::as_str)).1,
                _ => "",
            };
            self.derived.push(name);
            self.open_names |= name != "generate_series";
        }
    }

    fn columns(&mut self, names: &'t NodeList) {
        self.derived.extend(names.iter().filter_map(Node::as_str));
    }
}

pub(super) fn range_name(relation: &nodes::RangeVar) -> Name {
    Name {
        schema: relation.schemaname().map(Into::into),
        name: relation.relname().unwrap_or_default().into(),
    }
}

/// Schema and name of a list of at most database, schema and name.
pub(super) fn last_two<'t>(
    names: impl Iterator<Item = Option<&'t str>>,
) -> (Option<&'t str>, &'t str) {
    let mut last = (None, None);
    for name in names {
        last = (last.1, name);
    }
    (last.0, last.1.unwrap_or_default())
}

/// Adds a name that is not among the first few already.
pub(super) fn add(names: &mut Vec<Name>, schema: Option<&str>, name: &str) {
    let known = |n: &&Name| &*n.name == name && n.schema.as_deref() == schema;
    if !names.iter().take(COMPARED).any(|n| known(&n)) {
        names.push(Name {
            schema: schema.map(Into::into),
            name: name.into(),
        });
    }
}

pub(super) fn add_text(names: &mut Vec<Box<str>>, name: &str) {
    if !names.iter().take(COMPARED).any(|n| &**n == name) {
        names.push(name.into());
    }
}
