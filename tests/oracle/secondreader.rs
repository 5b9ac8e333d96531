//! sqlparser as a second reader of every statement of the corpus: both must find the same relations.
//!
//! * By name alone, as the text has them, without names of WITH queries: it knows no catalog.
//! * What it is known to get wrong is listed with a reason.

use super::written;
use larder::sql::{Statement, analyse};
use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Query, TableFactor, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Of the statements, so many must be ones that it can read: else it would prove little.
const READ: usize = 3_000;

/// Parts of statements that it reads wrongly, and why.
const FAULTS: &[(&str, &str)] = &[
    (
        "WITH users AS",
        "it does not tell where a name of WITH begins to count: in its own query it does not",
    ),
    (
        "users AS (SELECT id FROM orders) SELECT * FROM users",
        "the same, of an earlier sibling",
    ),
    (
        "(TABLE users)",
        "TABLE is a relation to its parser and none to its visitor",
    ),
    (
        "FROM CURRENT_TIMESTAMP f",
        "a function without brackets is a relation to it",
    ),
    (", CURRENT_DATE d", "the same"),
];

/// What it finds: scopes of WITH as PostgreSQL has them.
#[derive(Default)]
struct Relations {
    found: BTreeSet<String>,
    with: Vec<Vec<String>>,
    functions: BTreeSet<String>,
}

fn folded(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_lowercase(),
    }
}

/// Without the database, which can only be the one at hand.
fn plain(name: &ObjectName) -> String {
    let parts: Vec<String> = name
        .0
        .iter()
        .filter_map(ObjectNamePart::as_ident)
        .map(folded)
        .collect();
    parts[parts.len().saturating_sub(2)..].join(".")
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let tables = query.with.iter().flat_map(|with| &with.cte_tables);
        self.with
            .push(tables.map(|table| folded(&table.alias.name)).collect());
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.with.pop();
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table {
            name,
            args: Some(_),
            ..
        }
        | TableFactor::Function { name, .. } = factor
        {
            self.functions.insert(plain(name));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = plain(relation);
        if !self.with.iter().flatten().any(|with| *with == name) {
            self.found.insert(name);
        }
        ControlFlow::Continue(())
    }
}

fn theirs(text: &str) -> Option<BTreeSet<String>> {
    let statements = sqlparser::parser::Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
    let mut relations = Relations::default();
    let _ = statements.visit(&mut relations);
    Some(
        relations
            .found
            .difference(&relations.functions)
            .cloned()
            .collect(),
    )
}

fn ours(text: &str) -> Option<BTreeSet<String>> {
    let analysis = analyse(text);
    let [Statement::Query(query)] = &*analysis.statements else {
        return None;
    };
    let names = query
        .reads
        .iter()
        .chain(query.targets.iter().map(|(name, _)| name));
    let names = names.map(|name| match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    });
    Some(names.collect())
}

#[test]
fn both_readers_find_the_same_relations_in_the_corpus() {
    let (mut read, mut different) = (0, Vec::new());
    let mut unused: BTreeSet<&str> = FAULTS.iter().map(|(part, _)| *part).collect();
    for statement in written::all() {
        let Some(theirs) = theirs(&statement.text) else {
            continue;
        };
        let Some(ours) = ours(&statement.text) else {
            continue;
        };
        read += 1;
        if ours == theirs {
            continue;
        }
        let faults = FAULTS
            .iter()
            .filter(|(part, _)| statement.text.contains(part));
        let faults: Vec<&str> = faults.map(|(part, _)| *part).collect();
        if faults.is_empty() {
            different.push(format!(
                "{}\n    ours {ours:?}, theirs {theirs:?}",
                statement.text
            ));
        }
        unused.retain(|part| !faults.contains(part));
    }
    println!("sqlparser reads {read}");
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
    assert!(unused.is_empty(), "no faults any more: {unused:?}");
    assert!(read >= READ, "sqlparser reads only {read}");
}
