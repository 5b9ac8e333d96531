//! Functions and operators by name, each with what it may do.

use super::nodetree::{Surprise, Tree};
use super::rows::{FIRST_NORMAL, Function, PG_CATALOG, Rows};
use super::{FunctionClass, Oid, reviewed};
use crate::why::Why;
use std::collections::{HashMap, HashSet};

/// One function as a call sees it.
#[derive(Debug)]
struct Candidate {
    namespace: Oid,
    least: usize,
    most: usize,
    class: FunctionClass,
}

/// All functions and operators.
#[derive(Debug, Default)]
pub(super) struct Functions {
    by_name: HashMap<Box<str>, Vec<Candidate>>,
    by_oid: HashMap<Oid, FunctionClass>,
    operators: HashMap<Box<str>, Vec<(Oid, FunctionClass)>>,
    operator_by_oid: HashMap<Oid, FunctionClass>,
    /// Names of users' functions that may be called with one argument.
    attributes: HashSet<Box<str>>,
}

impl Functions {
    pub(super) fn build(rows: &Rows) -> Functions {
        let mut functions = Functions::default();
        for row in &rows.functions {
            let class = class_of(row);
            let arguments = usize::from(row.arguments);
            let left_out = usize::from(row.defaults).max(usize::from(row.variadic));
            let candidate = match row.kind {
                b'o' => Candidate {
                    namespace: row.namespace,
                    least: 0,
                    most: usize::MAX,
                    class,
                },
                _ => Candidate {
                    namespace: row.namespace,
                    least: arguments.saturating_sub(left_out),
                    most: if row.variadic { usize::MAX } else { arguments },
                    class,
                },
            };
            if class.why.is_some()
                && !built_in(row)
                && (candidate.least..=candidate.most).contains(&1)
            {
                functions.attributes.insert(row.name.clone());
            }
            functions.by_oid.insert(row.oid, class);
            functions
                .by_name
                .entry(row.name.clone())
                .or_default()
                .push(candidate);
        }
        for row in &rows.operators {
            let class = match functions.by_oid.get(&row.function) {
                Some(class) if class.why.is_none() => FunctionClass::PURE,
                Some(class) => FunctionClass {
                    why: Some(Why::UserOperator),
                    ..*class
                },
                None => FunctionClass::anything(Why::UserOperator),
            };
            functions.operator_by_oid.insert(row.oid, class);
            functions
                .operators
                .entry(row.name.clone())
                .or_default()
                .push((row.namespace, class));
        }
        functions
    }

    pub(super) fn called(&self, name: &str, arguments: usize, schemas: &[Oid]) -> FunctionClass {
        let all = self.by_name.get(name).into_iter().flatten();
        all.filter(|c| schemas.contains(&c.namespace) && (c.least..=c.most).contains(&arguments))
            .map(|c| c.class)
            .reduce(FunctionClass::and)
            .unwrap_or(FunctionClass::anything(Why::UnknownFunction))
    }

    pub(super) fn operator(&self, name: &str, schemas: &[Oid]) -> Option<Why> {
        let all = self.operators.get(name).into_iter().flatten();
        all.filter(|(schema, _)| schemas.contains(schema))
            .map(|(_, class)| *class)
            .reduce(FunctionClass::and)
            .map_or(Some(Why::UserOperator), |class| class.why)
    }

    /// A function called by a stored expression.
    pub(super) fn by_oid(&self, oid: Oid) -> FunctionClass {
        let unknown = FunctionClass::anything(Why::UnknownFunction);
        self.by_oid.get(&oid).copied().unwrap_or(unknown)
    }

    /// All functions and operators that a stored expression calls, and what it has of its own.
    pub(super) fn of_tree(&self, tree: &Tree) -> FunctionClass {
        let own = match tree.surprise {
            Surprise::None => FunctionClass::PURE,
            Surprise::Value => FunctionClass::reads(Why::OpaqueView),
            Surprise::Effect => FunctionClass {
                dirty: true,
                ..FunctionClass::reads(Why::OpaqueView)
            },
            Surprise::Unknown => FunctionClass::anything(Why::OpaqueView),
        };
        let functions = tree.functions.iter().map(|oid| self.by_oid(*oid));
        let operators = tree.operators.iter().map(|oid| self.operator_by_oid(*oid));
        functions.chain(operators).fold(own, FunctionClass::and)
    }

    fn operator_by_oid(&self, oid: Oid) -> FunctionClass {
        let unknown = FunctionClass::anything(Why::UserOperator);
        self.operator_by_oid.get(&oid).copied().unwrap_or(unknown)
    }

    pub(super) fn has_user_function(&self, name: &str) -> bool {
        self.attributes.contains(name)
    }
}

fn built_in(row: &Function) -> bool {
    row.oid < FIRST_NORMAL && row.namespace == PG_CATALOG
}

fn class_of(row: &Function) -> FunctionClass {
    match &row.extension {
        _ if !row.trusted_language => FunctionClass::anything(Why::UserFunction),
        _ if row.range_constructor => FunctionClass::PURE,
        _ if built_in(row) => reviewed::built_in(&row.name, row.volatility),
        Some(extension) => reviewed::of_extension(extension, &row.name, row.volatility),
        None => FunctionClass::anything(Why::UserFunction),
    }
}
