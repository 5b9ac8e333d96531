//! Tests of deep and long texts, on a worker's stack: they must neither overflow it nor take for ever.

use super::analyse;
use crate::sql::catalog::{Catalog, Rows};
use crate::sql::resolve;
use crate::why::Why;

/// A worker's stack.
const STACK: usize = 2 << 20;

/// Analyses and resolves on a worker's stack; why it was refused, and the number of relations.
fn on_a_worker(text: String) -> (Option<Why>, usize) {
    let work = move || {
        let analysis = analyse(&text);
        let catalog = Catalog::build(1, Rows::empty_database());
        for statement in &analysis.statements {
            resolve(statement, Some(&catalog), &["public".into()]);
        }
        let relations = analysis.statements.iter().map(|s| match s {
            crate::sql::Statement::Query(query) => query.reads.len(),
            _ => 0,
        });
        (analysis.refused, relations.sum())
    };
    std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(work)
        .unwrap()
        .join()
        .unwrap()
}

#[test]
fn deep_parentheses() {
    let text = format!(
        "SELECT {}1{} FROM t",
        "(".repeat(100_000),
        ")".repeat(100_000)
    );
    assert_eq!(
        on_a_worker(text).0,
        Some(Why::Unparsable),
        "deeper than PostgreSQL's own limit"
    );
    let text = format!("SELECT {}1{} FROM t", "(".repeat(3000), ")".repeat(3000));
    assert_eq!(on_a_worker(text), (None, 1));
}

#[test]
fn long_sums() {
    let text = format!("SELECT 1{} FROM t", "+1".repeat(200_000));
    assert_eq!(on_a_worker(text), (None, 1));
}

#[test]
fn long_casts_and_signs() {
    assert_eq!(
        on_a_worker(format!("SELECT a{}::date FROM t", "::text".repeat(100_000))),
        (None, 1)
    );
    assert_eq!(
        on_a_worker(format!("SELECT {}a FROM t", "- ".repeat(100_000))).0,
        Some(Why::Unparsable)
    );
    assert_eq!(
        on_a_worker(format!(
            "SELECT a{} FROM t",
            " COLLATE \"C\"".repeat(50_000)
        )),
        (None, 1)
    );
    assert_eq!(
        on_a_worker(format!("SELECT a{} FROM t", "[1]".repeat(100_000))),
        (None, 1)
    );
    assert_eq!(
        on_a_worker(format!("SELECT {}a FROM t", "NOT ".repeat(9_000))),
        (None, 1)
    );
}

#[test]
fn many_branches() {
    let text = format!(
        "SELECT 1 FROM t{}",
        " UNION ALL SELECT 1 FROM t".repeat(20_000)
    );
    assert_eq!(on_a_worker(text), (None, 1));
}

#[test]
fn nested_sub_selects() {
    for depth in [1000, 5000] {
        let text = format!(
            "SELECT {}1{} FROM t",
            "(SELECT ".repeat(depth),
            ")".repeat(depth)
        );
        let (refused, relations) = on_a_worker(text);
        assert!(
            refused == Some(Why::Unparsable) || relations == 1,
            "{depth}"
        );
        let text = format!(
            "SELECT * FROM {}t{}",
            "(SELECT * FROM ".repeat(depth),
            ") s".repeat(depth)
        );
        let (refused, relations) = on_a_worker(text);
        assert!(
            refused == Some(Why::Unparsable) || relations == 1,
            "{depth}"
        );
        let text = format!("SELECT * FROM t{}", " JOIN t ON true".repeat(depth));
        assert_eq!(on_a_worker(text), (None, 1));
    }
}

#[test]
fn long_lists() {
    let list = vec!["1"; 200_000].join(",");
    assert_eq!(
        on_a_worker(format!("SELECT * FROM t WHERE a IN ({list})")),
        (None, 1)
    );
    assert_eq!(on_a_worker(format!("SELECT {list} FROM t")), (None, 1));
    let calls: Vec<String> = (0..60_000).map(|n| format!("f{n}()")).collect();
    assert_eq!(
        on_a_worker(format!("SELECT {} FROM t", calls.join(","))),
        (None, 1)
    );
    let pairs = vec!["(a, b) = (SELECT 1, 2 FROM u)"; 10_000].join(",");
    assert_eq!(on_a_worker(format!("UPDATE t SET {pairs}")).0, None);
    let columns = vec!["a"; 10_000].join(",");
    let one = format!(
        "UPDATE t SET ({columns}) = (SELECT {} FROM u)",
        vec!["1"; 10_000].join(",")
    );
    assert_eq!(on_a_worker(one), (None, 1));
}

#[test]
fn endless_quotes_and_comments() {
    let signs = format!("SELECT {}1", "+".repeat(1_000_000));
    let comments = format!("SELECT 1 {}{}", "/*".repeat(200_000), "*/".repeat(200_000));
    for text in [
        "/*".repeat(100_000),
        "$a".repeat(200_000),
        "$a$".repeat(100_001),
        "'".repeat(200_001),
        signs,
    ] {
        assert_eq!(on_a_worker(text).0, Some(Why::Unparsable));
    }
    assert_eq!(on_a_worker(comments), (None, 0));
}
