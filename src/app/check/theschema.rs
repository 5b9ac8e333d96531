//! What of the schema will be answered from memory and what not, and which writes empty it.

use super::super::explainer::Asker;
use super::Findings;
use crate::sql::Oid;
use crate::sql::because::{Asking, unbounded_words};
use crate::sql::catalog::{Catalog, Misdeclared, WriteKind};
use crate::watch::once::Once;
use crate::why::Why;
use std::collections::BTreeMap;

/// So many of each kind are named.
const NAMED: usize = 20;

const UNLOGGED: &str = "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class c \
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'p') ORDER BY 1";

/// Functions of users that no declaration speaks of are known by their schema and language alone.
const FUNCTIONS: &str = "SELECT count(*), count(*) FILTER (WHERE p.provolatile = 'v') FROM pg_catalog.pg_proc p \
    WHERE p.oid >= 16384 AND p.prokind IN ('f', 'w') AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype) \
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass \
        AND d.objid = p.oid AND d.deptype = 'e')";

pub(super) async fn look(asker: &Asker<'_>, once: &Once, findings: &mut Findings) {
    let catalog = match asker.load(once, 0).await {
        Ok(catalog) => catalog,
        Err(error) => {
            return findings.fail(
                "catalog",
                error.to_string(),
                "Let Larder's role read the system catalogs: without them nothing is served from memory.",
            );
        }
    };
    declarations(&catalog, findings);
    reads(&catalog, findings);
    writes(&catalog, findings);
    locks(&catalog, findings);
    unlogged(once, findings).await;
    functions(asker, once, findings).await;
}

fn declarations(catalog: &Catalog, findings: &mut Findings) {
    for wrong in catalog.misdeclared() {
        let remedy = "Correct [[function]]: the declaration does not count in this database.";
        match wrong {
            Misdeclared::NoFunction(_) => findings.note("functions", wrong.to_string(), remedy),
            Misdeclared::NoRelation { .. } => findings.warn("functions", wrong.to_string(), remedy),
        }
    }
}

/// Relations that can be read from memory, and why others cannot.
fn reads(catalog: &Catalog, findings: &mut Findings) {
    let read = |oid: &Oid| matches!(catalog.kind(*oid), Some(b'r' | b'p' | b'v' | b'm' | b'f'));
    let all: Vec<Oid> = catalog.relations().into_iter().filter(read).collect();
    let asking = Asking { catalog, path: &[] };
    let mut refused: BTreeMap<Why, Vec<String>> = BTreeMap::new();
    for relation in &all {
        if let Err(why) = catalog.reads_of(*relation) {
            refused
                .entry(why)
                .or_default()
                .push(asking.blamed(*relation, why));
        }
    }
    let count: usize = refused.values().map(Vec::len).sum();
    let served = all.len() - count;
    findings.ok(
        "reads",
        format!(
            "of {} tables and views {served} can be read from memory",
            all.len()
        ),
    );
    for (why, relations) in refused {
        let found = format!("{}: {} ({})", why.label(), why.text(), some(&relations));
        findings.note(
            "reads",
            format!("not served - {found}"),
            match why {
                // It is said already what is in it.
                Why::OpaqueView => "",
                why => why.remedy(),
            },
        );
    }
}

/// Tables whose writes empty the memory.
fn writes(catalog: &Catalog, findings: &mut Findings) {
    let mut wide = Vec::new();
    let tables = catalog.relations().into_iter();
    for table in tables.filter(|oid| matches!(catalog.kind(*oid), Some(b'r' | b'p'))) {
        let kinds = [WriteKind::Insert, WriteKind::Update, WriteKind::Delete];
        let mut traced = kinds.into_iter().map(|kind| catalog.traced(table, kind));
        if let Some(unbounded) = traced.find_map(Result::err) {
            let (name, words) = (catalog.words(table), unbounded_words(catalog, unbounded));
            wide.push(match words.contains(&name) {
                true => words,
                false => format!("{name}, as {words}"),
            });
        }
    }
    if wide.is_empty() {
        return findings.ok(
            "writes",
            "a write to a table invalidates what reads that table, and no more",
        );
    }
    findings.note(
        "writes",
        format!(
            "a write to these invalidates everything in the database, or in a transaction block what it has locked - {}",
            some(&wide)
        ),
        "Declare what the functions do that run there, by [[function]].",
    );
}

/// Whether a transaction's locks tell what it has written.
fn locks(catalog: &Catalog, findings: &mut Findings) {
    match catalog.locks_tell() {
        true => findings.ok("locks", "what code in a transaction block has written is told by its locks"),
        false => findings.note(
            "locks",
            "what code in a transaction block has written is not told by its locks: it invalidates everything",
            "Untrusted languages, deferred triggers of users, or a pg_locks that not everybody may read stand in the way.",
        ),
    }
}

async fn unlogged(once: &Once, findings: &mut Findings) {
    let Ok(rows) = once.rows(UNLOGGED).await else {
        return;
    };
    let names: Vec<String> = rows
        .into_iter()
        .filter_map(|mut row| row.swap_remove(0))
        .collect();
    if !names.is_empty() {
        let found = format!(
            "served like others; no replication will ever tell of writes past Larder to them - {}",
            some(&names)
        );
        findings.note("unlogged tables", found, "");
    }
}

async fn functions(asker: &Asker<'_>, once: &Once, findings: &mut Findings) {
    let Ok(row) = once.row(FUNCTIONS).await else {
        return;
    };
    let number = |n: usize| {
        let text = row.get(n).cloned().flatten().unwrap_or_default();
        text.parse::<usize>().unwrap_or_default()
    };
    let declared = asker.config.catalog.functions.len();
    if number(0) > 0 {
        let found = format!(
            "{} of users ({} of them volatile), {declared} declarations: a statement that calls one which is not declared is not \
                served, and counts as a write to everything",
            number(0),
            number(1)
        );
        findings.note(
            "functions",
            found,
            "Declare those that reads call, by [[function]] with pure or reads.",
        );
    }
}

/// The first few.
fn some(names: &[String]) -> String {
    let shown = names
        .iter()
        .take(NAMED)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    match names.len().checked_sub(NAMED) {
        Some(more) if more > 0 => format!("{shown}; and {more} more"),
        _ => shown,
    }
}
