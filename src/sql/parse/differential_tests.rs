//! A second reader: sqlparser and this analysis must find the same relations in the same texts.
//!
//! Every shape of a SELECT is combined with every shape of a table expression. What sqlparser is known to get wrong
//! is listed, and the list is checked too: a fault that is gone must leave it.

use super::analyse;
use crate::sql::statement::{Name, Statement};
use sqlparser::ast::{ObjectNamePart, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// A SELECT around a table expression `{}`; `w` is always the name of a WITH query.
const SHAPES: &[&str] = &[
    "SELECT * FROM {}",
    "SELECT a, b AS c, 1 + 2 FROM {} WHERE a = 1 AND b IS NOT NULL",
    "SELECT DISTINCT a FROM {} ORDER BY a DESC NULLS LAST LIMIT 10 OFFSET 5",
    "SELECT DISTINCT ON (a) * FROM {}",
    "SELECT count(*), sum(a) FILTER (WHERE b > 1) FROM {} GROUP BY c HAVING count(*) > 1",
    "SELECT a, row_number() OVER (PARTITION BY b ORDER BY c) FROM {}",
    "SELECT a FROM {} GROUP BY GROUPING SETS ((a), ())",
    "SELECT (SELECT max(x) FROM inner_1 WHERE inner_1.y = a) FROM {}",
    "SELECT * FROM {} WHERE a IN (SELECT b FROM inner_1)",
    "SELECT * FROM {} WHERE EXISTS (SELECT 1 FROM s.inner_2 JOIN inner_1 ON true)",
    "SELECT * FROM {} WHERE NOT EXISTS (SELECT 1 FROM inner_1) OR a = ANY (SELECT b FROM inner_2)",
    "SELECT * FROM {} WHERE (a, b) IN (SELECT c, d FROM inner_1)",
    "SELECT * FROM (SELECT * FROM {}) AS sub",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM {}) x) y JOIN inner_1 ON x = y",
    "SELECT ARRAY(SELECT a FROM {})",
    "SELECT CASE WHEN EXISTS (SELECT 1 FROM inner_1) THEN a ELSE b END FROM {}",
    "SELECT coalesce((SELECT a FROM inner_1 LIMIT 1), b) FROM {}",
    "SELECT a FROM {} UNION ALL SELECT b FROM inner_1",
    "SELECT a FROM {} EXCEPT (SELECT b FROM inner_1 INTERSECT SELECT c FROM inner_2)",
    "WITH w AS (SELECT * FROM {}) SELECT * FROM w",
    "WITH w AS (SELECT 1) SELECT * FROM w, {}",
    "WITH w AS (SELECT * FROM inner_1), w2 AS (SELECT * FROM w) SELECT * FROM w2 JOIN {} ON true",
    "WITH RECURSIVE w AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM w, {}) SELECT * FROM w",
    "SELECT * FROM {} ORDER BY (SELECT a FROM inner_1)",
    "SELECT * FROM {} LIMIT (SELECT a FROM inner_1)",
    "SELECT a::text, CAST(b AS integer), c BETWEEN 1 AND 2, d LIKE 'x%' FROM {}",
    "SELECT extract(year FROM a), substring(b FROM 1 FOR 2), trim(c) FROM {}",
    "SELECT a -> 'b' ->> 'c', d @> '{\"e\": 1}', f || g FROM {}",
    "SELECT a[1], b[1:2], ARRAY[1, 2] FROM {}",
    "SELECT * FROM {} FOR UPDATE SKIP LOCKED",
];

/// Table expressions.
const SOURCES: &[&str] = &[
    "t",
    "t AS x (a, b)",
    "s.t",
    "\"T\".\"Quoted name\"",
    "Folded.NAMES x",
    "t1 JOIN t2 ON t1.a = t2.a LEFT JOIN s.t3 USING (b)",
    "t1 CROSS JOIN t2 NATURAL JOIN t3",
    "t1, t2 x, LATERAL (SELECT * FROM t3 WHERE t3.a = x.a) l",
    "(t1 JOIN t2 ON true)",
    "t, generate_series(1, 2) g",
    "ONLY t",
    "ONLY (s.t) x",
    "t * x",
];

/// What sqlparser reads wrongly (with a word that is no relation, or lacks one that is), or not at all.
const FAULTS: &[(&str, Option<&str>)] = &[
    ("SELECT * FROM json_each('{}') x", Some("json_each")),
    ("SELECT * FROM ROWS FROM (f(), g()) WITH ORDINALITY", None),
    ("SELECT U&'!0061' UESCAPE '!' FROM t", None),
    (
        "MERGE INTO t USING s ON true WHEN NOT MATCHED BY TARGET THEN INSERT DEFAULT VALUES",
        None,
    ),
    (
        "CREATE TABLE t (a int) PARTITION BY RANGE (a); COMMENT ON COLUMN t.a IS NULL; REINDEX TABLE t",
        None,
    ),
];

/// Relations by sqlparser, without those that a WITH clause brings in.
fn theirs(text: &str) -> Option<BTreeSet<String>> {
    #[derive(Default)]
    struct Relations {
        found: BTreeSet<String>,
        with: BTreeSet<String>,
    }
    impl Visitor for Relations {
        type Break = ();
        fn pre_visit_query(&mut self, query: &sqlparser::ast::Query) -> ControlFlow<()> {
            for item in query.with.iter().flat_map(|with| &with.cte_tables) {
                self.with.insert(item.alias.name.value.clone());
            }
            ControlFlow::Continue(())
        }
        fn pre_visit_relation(&mut self, relation: &sqlparser::ast::ObjectName) -> ControlFlow<()> {
            let parts = relation.0.iter().filter_map(ObjectNamePart::as_ident);
            let folded = parts.map(|p| match p.quote_style {
                Some(_) => p.value.clone(),
                None => p.value.to_lowercase(),
            });
            self.found.insert(folded.collect::<Vec<_>>().join("."));
            ControlFlow::Continue(())
        }
    }
    let statements = sqlparser::parser::Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
    let mut relations = Relations::default();
    let _ = statements.visit(&mut relations);
    // Functions in FROM are relations to sqlparser.
    relations.with.insert("generate_series".into());
    Some(
        relations
            .found
            .difference(&relations.with)
            .cloned()
            .collect(),
    )
}

fn ours(text: &str) -> BTreeSet<String> {
    let analysis = analyse(text);
    let [Statement::Query(query)] = &*analysis.statements else {
        panic!("{text}: {analysis:?}")
    };
    let plain = |name: &Name| match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    };
    query
        .reads
        .iter()
        .chain(query.targets.iter().map(|(name, _)| name))
        .map(plain)
        .collect()
}

#[test]
fn both_readers_find_the_same_relations() {
    let mut compared = 0;
    for shape in SHAPES {
        for source in SOURCES {
            let text = shape.replace("{}", source);
            if let Some(theirs) = theirs(&text) {
                assert_eq!(ours(&text), theirs, "{text}");
                compared += 1;
            }
        }
    }
    assert!(compared >= 350, "sqlparser reads only {compared}");
}

#[test]
fn the_second_readers_faults_are_known() {
    for (text, wrong) in FAULTS {
        let theirs = theirs(text);
        assert_eq!(theirs.is_some(), wrong.is_some(), "{text}: {theirs:?}");
        if let (Some(theirs), Some(wrong)) = (theirs, wrong) {
            assert!(theirs.contains(*wrong), "{text}: {theirs:?}");
            assert_ne!(theirs, ours(text), "{text}");
        }
    }
}
