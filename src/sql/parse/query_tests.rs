//! Tests of what a query mentions: relations with the scopes of WITH, targets, functions, operators, types, and
//! the constructs that forbid caching.

use super::analyse;
use crate::sql::catalog::WriteKind;
use crate::sql::query::Query;
use crate::sql::statement::{Name, Statement};
use crate::why::Why;

fn query(text: &str) -> Query {
    let analysis = analyse(text);
    assert_eq!(analysis.refused, None, "does not parse: {text}");
    let first = Vec::from(analysis.statements).remove(0);
    match first {
        Statement::Query(query)
        | Statement::Declare(query)
        | Statement::TemporaryTableAs(query) => query,
        Statement::CopyTo(query) => query,
        other => panic!("{text}: {other:?}"),
    }
}

fn plain(name: &Name) -> String {
    match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    }
}

fn words(names: impl IntoIterator<Item = String>) -> String {
    let mut all: Vec<String> = names.into_iter().collect();
    all.sort();
    all.dedup();
    all.join(" ")
}

fn reads(text: &str) -> String {
    words(query(text).reads.iter().map(plain))
}

#[test]
fn relations_are_found_wherever_they_stand() {
    for (text, expected) in [
        ("SELECT 1", ""),
        ("SELECT * FROM t", "t"),
        ("TABLE t", "t"),
        ("SELECT * FROM ONLY t", "t"),
        ("SELECT * FROM t *", "t"),
        ("SELECT * FROM S.T, \"S\".\"T\", db.s.u", "S.T s.t s.u"),
        (
            "SELECT * FROM a x JOIN b y ON true LEFT JOIN (c CROSS JOIN d) ON true",
            "a b c d",
        ),
        (
            "SELECT * FROM a NATURAL JOIN b, LATERAL (SELECT * FROM c) x",
            "a b c",
        ),
        (
            "SELECT (SELECT 1 FROM a), EXISTS (SELECT FROM b), ARRAY(SELECT 1 FROM c), 1 IN (SELECT 1 FROM d)",
            "a b c d",
        ),
        (
            "SELECT 1 FROM a WHERE x = ANY (SELECT 1 FROM b) AND y > ALL (TABLE c)",
            "a b c",
        ),
        (
            "SELECT 1 FROM a GROUP BY (SELECT 1 FROM b) HAVING EXISTS (TABLE c) ORDER BY (SELECT 1 FROM d)",
            "a b c d",
        ),
        (
            "SELECT 1 FROM a LIMIT (SELECT 1 FROM b) OFFSET (SELECT 1 FROM c)",
            "a b c",
        ),
        ("SELECT DISTINCT ON ((SELECT 1 FROM b)) 1 FROM a", "a b"),
        (
            "SELECT sum(1) FILTER (WHERE EXISTS (TABLE b)) OVER (PARTITION BY (SELECT 1 FROM c)) FROM a",
            "a b c",
        ),
        (
            "SELECT sum(1) OVER w FROM a WINDOW w AS (ORDER BY (SELECT 1 FROM b))",
            "a b",
        ),
        (
            "SELECT string_agg(x, ',' ORDER BY (SELECT 1 FROM b)) FROM a",
            "a b",
        ),
        (
            "SELECT CASE (SELECT 1 FROM a) WHEN (SELECT 1 FROM b) THEN (SELECT 1 FROM c) ELSE (SELECT 1 FROM d) END",
            "a b c d",
        ),
        (
            "SELECT (ARRAY[(SELECT 1 FROM a)])[(SELECT 1 FROM b)], (ROW((SELECT 1 FROM c))).x",
            "a b c",
        ),
        (
            "SELECT coalesce((SELECT 1 FROM a), greatest((SELECT 1 FROM b))), f(x => (SELECT 1 FROM c))",
            "a b c",
        ),
        (
            "SELECT (SELECT 1 FROM a)::int, NOT EXISTS (TABLE b), (SELECT 1 FROM c) IS NULL, (SELECT true FROM d) IS TRUE",
            "a b c d",
        ),
        (
            "SELECT (SELECT 'x' FROM a) COLLATE \"C\", (SELECT 1 FROM b) BETWEEN (SELECT 1 FROM c) AND (SELECT 1 FROM d)",
            "a b c d",
        ),
        ("VALUES ((SELECT 1 FROM a)), ((SELECT 2 FROM b))", "a b"),
        (
            "TABLE a UNION TABLE b EXCEPT (TABLE c INTERSECT TABLE d) ORDER BY 1",
            "a b c d",
        ),
        (
            "SELECT * FROM f((SELECT 1 FROM a)), ROWS FROM (g((SELECT 1 FROM b)), h())",
            "a b",
        ),
        (
            "SELECT * FROM t TABLESAMPLE system ((SELECT 1 FROM a))",
            "a t",
        ),
        (
            "SELECT 1 FROM a GROUP BY GROUPING SETS ((x), ROLLUP ((SELECT 1 FROM b)), ())",
            "a b",
        ),
        (
            "SELECT JSON_OBJECT('a': (SELECT 1 FROM a)), JSON_ARRAY((SELECT 1 FROM b)), JSON_ARRAY(SELECT 1 FROM c)",
            "a b c",
        ),
        (
            "SELECT JSON_VALUE((SELECT x FROM a), '$' DEFAULT (SELECT 1 FROM b) ON ERROR), (SELECT x FROM c) IS JSON",
            "a b c",
        ),
        (
            "SELECT * FROM JSON_TABLE((SELECT x FROM a), '$' COLUMNS (y int))",
            "a",
        ),
        (
            "SELECT * FROM XMLTABLE('/r' PASSING (SELECT x FROM a) COLUMNS y int DEFAULT (SELECT 1 FROM b))",
            "a b",
        ),
        (
            "SELECT XMLELEMENT(NAME x, (SELECT 1 FROM a)), XMLSERIALIZE(CONTENT (SELECT x FROM b) AS text)",
            "a b",
        ),
        ("SELECT t FROM t", "t"),
        ("SELECT * FROM t FOR UPDATE OF x", "t"),
        (
            "INSERT INTO t SELECT * FROM a RETURNING (SELECT 1 FROM b)",
            "a b",
        ),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT (x) WHERE (EXISTS (TABLE a)) DO UPDATE SET x = (SELECT 1 FROM b) WHERE EXISTS (TABLE c)",
            "a b c",
        ),
        (
            "UPDATE t SET x = (SELECT 1 FROM a), (y, z) = (SELECT 1, 2 FROM b) FROM c WHERE EXISTS (TABLE d)",
            "a b c d",
        ),
        ("UPDATE t SET x[(SELECT 1 FROM a)] = 1", "a"),
        (
            "DELETE FROM t USING a, b WHERE EXISTS (TABLE c) RETURNING (SELECT 1 FROM d)",
            "a b c d",
        ),
        (
            "MERGE INTO t USING (SELECT * FROM a) s ON EXISTS (TABLE b) WHEN MATCHED AND EXISTS (TABLE c) THEN UPDATE SET x = (SELECT 1 FROM d)",
            "a b c d",
        ),
        ("DECLARE c CURSOR FOR SELECT * FROM a", "a"),
        ("COPY (SELECT * FROM a) TO STDOUT", "a"),
        ("EXPLAIN ANALYZE SELECT * FROM a", "a"),
        ("CREATE TEMP TABLE t AS SELECT * FROM a", "a"),
    ] {
        assert_eq!(reads(text), expected, "{text}");
    }
}

#[test]
fn with_hides_relations_only_in_its_scope() {
    for (text, expected) in [
        ("WITH x AS (SELECT 1) SELECT * FROM x", ""),
        ("WITH x AS (SELECT * FROM t) SELECT * FROM x, u", "t u"),
        ("WITH x AS (SELECT 1) SELECT * FROM public.x", "public.x"),
        ("WITH x AS (SELECT 1) SELECT * FROM \"X\"", "X"),
        // Without RECURSIVE an item does not see itself, nor later siblings.
        ("WITH x AS (SELECT * FROM x) SELECT * FROM x", "x"),
        (
            "WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x, y",
            "y",
        ),
        (
            "WITH y AS (SELECT 1), x AS (SELECT * FROM y) SELECT * FROM x",
            "",
        ),
        // With it, an item sees all.
        (
            "WITH RECURSIVE x AS (SELECT 1 UNION SELECT * FROM x) SELECT * FROM x",
            "",
        ),
        (
            "WITH RECURSIVE x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x",
            "",
        ),
        // Inner levels see outer ones, never the other way round.
        (
            "WITH x AS (SELECT 1) SELECT (SELECT 1 FROM x), (SELECT 1 FROM (SELECT * FROM x) s)",
            "",
        ),
        (
            "SELECT (WITH x AS (SELECT 1) SELECT 1 FROM x), (SELECT 1 FROM x)",
            "x",
        ),
        (
            "SELECT * FROM (WITH x AS (SELECT 1) SELECT * FROM x) s, x",
            "x",
        ),
        (
            "WITH x AS (WITH y AS (SELECT 1) SELECT * FROM y) SELECT * FROM y",
            "y",
        ),
        (
            "WITH x AS (SELECT * FROM t) SELECT * FROM (WITH x AS (SELECT * FROM x) SELECT * FROM x) s",
            "t",
        ),
        // WITH before a set operation belongs to all of it, in parentheses to its branch.
        (
            "WITH x AS (SELECT 1) SELECT * FROM x UNION SELECT * FROM x",
            "",
        ),
        (
            "(WITH x AS (SELECT 1) SELECT * FROM x) UNION SELECT * FROM x",
            "x",
        ),
        (
            "SELECT * FROM x UNION (WITH x AS (SELECT 1) SELECT * FROM x)",
            "x",
        ),
        // Sub-selects in ORDER BY and LIMIT are inside.
        (
            "WITH x AS (SELECT 1) SELECT 1 FROM t ORDER BY (SELECT 1 FROM x) LIMIT (SELECT 1 FROM x)",
            "t",
        ),
        ("WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", ""),
        ("WITH x AS (SELECT 1) UPDATE t SET a = 1 FROM x", ""),
        ("WITH x AS (SELECT 1) DELETE FROM t USING x", ""),
        (
            "WITH x AS (SELECT 1) MERGE INTO t USING x ON true WHEN MATCHED THEN DELETE",
            "",
        ),
    ] {
        assert_eq!(reads(text), expected, "{text}");
    }
}

#[test]
fn too_many_names_count_as_relations() {
    let items: Vec<String> = (0..3000).map(|n| format!("x{n} AS (SELECT 1)")).collect();
    let text = format!(
        "WITH {} SELECT * FROM {}",
        items.join(","),
        vec!["x0"; 3000].join(",")
    );
    assert_eq!(reads(&text), "x0", "a superset, and in time");
}

fn targets(text: &str) -> String {
    words(query(text).targets.iter().map(|(name, kind)| match kind {
        WriteKind::Insert => format!("+{}", plain(name)),
        WriteKind::Update => format!("~{}", plain(name)),
        WriteKind::Delete => format!("-{}", plain(name)),
        _ => format!("?{}", plain(name)),
    }))
}

#[test]
fn targets_are_found_wherever_they_stand() {
    for (text, expected) in [
        ("INSERT INTO t VALUES (1)", "+t"),
        ("INSERT INTO S.\"T\" DEFAULT VALUES", "+s.T"),
        ("INSERT INTO t AS x VALUES (1) ON CONFLICT DO NOTHING", "+t"),
        (
            "INSERT INTO t VALUES (1) ON CONFLICT (a) DO UPDATE SET a = 1",
            "+t ~t",
        ),
        ("UPDATE ONLY t x SET a = 1 FROM u", "~t"),
        ("UPDATE t SET a = 1 WHERE CURRENT OF c", "~t"),
        ("DELETE FROM t * USING u", "-t"),
        (
            "MERGE INTO t USING s ON true WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)",
            "+t ~t",
        ),
        (
            "MERGE INTO t USING s ON true WHEN NOT MATCHED BY SOURCE THEN DELETE",
            "-t",
        ),
        (
            "MERGE INTO t USING s ON true WHEN MATCHED THEN DO NOTHING",
            "~t",
        ),
        (
            "WITH x AS (INSERT INTO a VALUES (1) RETURNING *), y AS (DELETE FROM b) SELECT * FROM x",
            "+a -b",
        ),
        (
            "WITH x AS (UPDATE a SET b = 1) INSERT INTO t SELECT 1",
            "+t ~a",
        ),
        ("WITH t AS (SELECT 1) INSERT INTO t SELECT 1", "+t"),
        (
            "COPY (INSERT INTO t VALUES (1) RETURNING *) TO STDOUT",
            "+t",
        ),
        ("EXPLAIN ANALYZE DELETE FROM t", "-t"),
        ("SELECT 1", ""),
    ] {
        assert_eq!(targets(text), expected, "{text}");
    }
}

fn functions(text: &str) -> String {
    words(
        query(text)
            .functions
            .iter()
            .map(|(name, n)| format!("{}/{n}", plain(name))),
    )
}

#[test]
fn functions_are_found_wherever_they_stand() {
    for (text, expected) in [
        (
            "SELECT count(*), F(1, 2), \"F\"(), s.f(VARIADIC x)",
            "F/0 count/0 f/2 s.f/1",
        ),
        (
            "SELECT f() FROM g(1) WHERE h() GROUP BY i() HAVING j() ORDER BY k() LIMIT l() OFFSET m()",
            "f/0 g/1 h/0 i/0 j/0 k/0 l/0 m/0",
        ),
        (
            "SELECT * FROM a JOIN b ON f(), ROWS FROM (g(), h()), LATERAL i(a.x)",
            "f/0 g/0 h/0 i/1",
        ),
        (
            "SELECT rank() OVER (PARTITION BY f() ORDER BY g() ROWS h() PRECEDING)",
            "f/0 g/0 h/0 rank/0",
        ),
        ("SELECT sum(x) FILTER (WHERE f())", "f/0 sum/1"),
        (
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY f())",
            "f/0 percentile_cont/2",
        ),
        (
            "SELECT extract(year FROM x), trim(x), substring(x FROM 1), position('a' IN x), overlay(x PLACING 'a' FROM 1)",
            "pg_catalog.btrim/1 pg_catalog.extract/2 pg_catalog.overlay/3 pg_catalog.position/2 pg_catalog.substring/2",
        ),
        (
            "SELECT x AT TIME ZONE 'UTC', x SIMILAR TO 'a', x LIKE 'a' ESCAPE 'b', (a, b) OVERLAPS (c, d)",
            "pg_catalog.like_escape/2 pg_catalog.overlaps/4 pg_catalog.similar_to_escape/1 pg_catalog.timezone/2",
        ),
        (
            "SELECT x IS NORMALIZED, SYSTEM_USER, COLLATION FOR (x)",
            "pg_catalog.is_normalized/1 pg_catalog.pg_collation_for/1 pg_catalog.system_user/0",
        ),
        (
            "SELECT JSON_OBJECT('a': f()), JSON_ARRAYAGG(x ORDER BY g()), JSON_SCALAR(1)",
            "f/0 g/0 pg_catalog.json_agg/1 pg_catalog.json_build_object/2 pg_catalog.to_json/1",
        ),
        (
            "SELECT XMLFOREST(f() AS x), JSON_EXISTS(g(), '$'), JSON_SERIALIZE(h())",
            "f/0 g/0 h/0",
        ),
        ("VALUES (f())", "f/0"),
        (
            "INSERT INTO t VALUES (f()) ON CONFLICT (g(a)) DO UPDATE SET b = h() WHERE i() RETURNING j()",
            "f/0 g/1 h/0 i/0 j/0",
        ),
        (
            "UPDATE t SET a = f(), (b, c) = (g(), h()) WHERE i() RETURNING j()",
            "f/0 g/0 h/0 i/0 j/0",
        ),
        ("DELETE FROM t WHERE f() RETURNING g()", "f/0 g/0"),
        (
            "MERGE INTO t USING s ON f() WHEN MATCHED AND g() THEN UPDATE SET a = h() WHEN NOT MATCHED THEN INSERT VALUES (i()) RETURNING j()",
            "f/0 g/0 h/0 i/0 j/0",
        ),
        (
            "SELECT 1 FROM t TABLESAMPLE bernoulli (f()) REPEATABLE (g())",
            "f/0 g/0",
        ),
        (
            "WITH RECURSIVE x AS (SELECT f()) CYCLE a SET b TO g() DEFAULT h() USING c SELECT 1"
                .replace("g()", "1")
                .replace("h()", "0")
                .as_str(),
            "f/0",
        ),
        ("SELECT f(g(h(x)))", "f/1 g/1 h/1"),
    ] {
        assert_eq!(functions(text), expected, "{text}");
    }
}

#[test]
fn operators_are_those_that_postgresql_looks_up() {
    for (text, expected) in [
        ("SELECT a + b", "+"),
        (
            "SELECT -a, a OPERATOR(s.+) b, a OPERATOR(pg_catalog.=) b",
            "- pg_catalog.= s.+",
        ),
        (
            "SELECT a LIKE b, a NOT LIKE b, a ILIKE b, a NOT ILIKE b",
            "!~~ !~~* ~~ ~~*",
        ),
        ("SELECT a SIMILAR TO b", "~"),
        ("SELECT a BETWEEN b AND c", "< <= > >="),
        ("SELECT a NOT BETWEEN SYMMETRIC b AND c", "< <= > >="),
        ("SELECT a IN (1), b NOT IN (1)", "<> ="),
        ("SELECT a IN (SELECT 1)", "="),
        ("SELECT a NOT IN (SELECT 1)", "="),
        ("SELECT a < ANY (b), a >= ALL (SELECT 1)", "< >="),
        ("SELECT a LIKE ANY (b)", "~~"),
        ("SELECT a IS DISTINCT FROM b", "="),
        ("SELECT NULLIF(a, b)", "="),
        ("SELECT CASE a WHEN b THEN c END", "="),
        ("SELECT CASE WHEN b THEN c END", ""),
        ("SELECT * FROM a JOIN b USING (c)", "="),
        ("SELECT * FROM a NATURAL JOIN b", "="),
        ("SELECT 1 ORDER BY a USING OPERATOR(s.<<)", "s.<<"),
        ("SELECT a AND b OR NOT c", ""),
        ("SELECT (a, b) < (c, d)", "<"),
        ("SELECT a <-> b, a @> b, a || b, a ->> 'x'", "->> <-> @> ||"),
    ] {
        assert_eq!(
            words(query(text).operators.iter().map(plain)),
            expected,
            "{text}"
        );
    }
}

#[test]
fn types_and_attributes_are_noted() {
    for (text, expected) in [
        (
            "SELECT a::int, CAST(b AS s.t), date '2020-01-01', c::varchar(10)[]",
            "pg_catalog.int4 pg_catalog.varchar date s.t".to_owned(),
        ),
        (
            "SELECT * FROM f() AS (a int, b my)",
            "my pg_catalog.int4".to_owned(),
        ),
        ("SELECT * FROM ROWS FROM (f() AS (a my))", "my".to_owned()),
        (
            "SELECT JSON_SCALAR(1) , JSON_OBJECT('a': 1 RETURNING my)",
            "my".to_owned(),
        ),
    ] {
        let mut wanted: Vec<&str> = expected.split(' ').collect();
        wanted.sort_unstable();
        assert_eq!(
            words(query(text).types.iter().map(plain)),
            wanted.join(" "),
            "{text}"
        );
    }
    for (text, expected) in [
        ("SELECT a, t.b, s.t.c, t.*", "b c t"),
        ("SELECT (a).b, (t).c", ""),
        ("SELECT a FROM t WHERE t.x = 1 ORDER BY t.y", "x y"),
    ] {
        assert_eq!(
            words(query(text).attributes.iter().map(ToString::to_string)),
            expected,
            "{text}"
        );
    }
}

#[test]
fn fields_of_expressions_are_noted() {
    let fields = query("SELECT (a).b, (f(x)).c.d, (a[1]).e, ($1).f, (g).*, t.h FROM t").fields;
    assert_eq!(words(fields.iter().map(ToString::to_string)), "b c d e f");
}

#[test]
fn constructs_that_forbid_caching_are_named() {
    for (text, expected) in [
        ("SELECT * FROM t", None),
        ("SELECT * FROM t FOR UPDATE", Some(Why::Locking)),
        (
            "SELECT * FROM t FOR NO KEY UPDATE SKIP LOCKED",
            Some(Why::Locking),
        ),
        ("SELECT * FROM t FOR SHARE NOWAIT", Some(Why::Locking)),
        ("SELECT * FROM t FOR KEY SHARE", Some(Why::Locking)),
        (
            "SELECT * FROM (SELECT * FROM t FOR UPDATE) s",
            Some(Why::Locking),
        ),
        (
            "WITH x AS (SELECT * FROM t FOR UPDATE) SELECT * FROM x",
            Some(Why::Locking),
        ),
        (
            "SELECT 1 WHERE EXISTS (SELECT FROM t FOR SHARE)",
            Some(Why::Locking),
        ),
        ("INSERT INTO t VALUES (1)", Some(Why::NotSelect)),
        ("EXPLAIN ANALYZE SELECT * FROM t", Some(Why::NotSelect)),
        (
            "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
            Some(Why::DataModifyingCte),
        ),
        (
            "SELECT * FROM t TABLESAMPLE system (1)",
            Some(Why::TableSample),
        ),
        ("CREATE TEMP TABLE x AS SELECT * FROM t", None),
        ("SELECT * INTO TEMP x FROM t", Some(Why::SelectInto)),
        ("SELECT CURRENT_TIMESTAMP FROM t", Some(Why::ClockValue)),
        (
            "SELECT 1 FROM t WHERE d < CURRENT_DATE",
            Some(Why::ClockValue),
        ),
        (
            "SELECT LOCALTIME(3), LOCALTIMESTAMP FROM t",
            Some(Why::ClockValue),
        ),
        (
            "SELECT CURRENT_USER, SESSION_USER, USER FROM t",
            Some(Why::ClockValue),
        ),
        ("SELECT CURRENT_ROLE FROM t", Some(Why::ClockValue)),
        ("SELECT CURRENT_CATALOG FROM t", Some(Why::ClockValue)),
        ("SELECT CURRENT_SCHEMA FROM t", Some(Why::ClockValue)),
        ("SELECT ctid FROM t", Some(Why::SystemColumn)),
        ("SELECT * FROM t WHERE t.xmax = 0", Some(Why::SystemColumn)),
        ("SELECT xmin, tableoid FROM t", None),
        ("SELECT XMLELEMENT(NAME x) FROM t", Some(Why::Construct)),
        ("SELECT a IS DOCUMENT FROM t", Some(Why::Construct)),
        (
            "SELECT * FROM JSON_TABLE('{}', '$' COLUMNS (a int))",
            Some(Why::Construct),
        ),
        ("SELECT JSON_QUERY(a, '$') FROM t", Some(Why::Construct)),
        ("SELECT a IS JSON, JSON_OBJECT('a': b) FROM t", None),
    ] {
        let query = query(text);
        assert_eq!(query.why, expected, "{text}");
        assert!(!query.unknown, "{text}");
        assert_eq!(query.locks, text.contains(" FOR "), "{text}");
    }
}

#[test]
fn columns_shown_without_their_names_are_seen() {
    for (text, shown) in [
        ("SELECT * FROM t", true),
        ("TABLE t", true),
        ("SELECT * FROM (SELECT a FROM t) s, t", true),
        ("SELECT * FROM (SELECT a FROM t) s JOIN f() ON true", false),
        ("WITH w AS (SELECT a FROM t) SELECT * FROM w", false),
        ("WITH w AS (SELECT * FROM t) SELECT a FROM w", true),
        ("WITH t AS (SELECT a FROM t) SELECT * FROM t", false),
        ("WITH t AS (SELECT a FROM u) SELECT * FROM s.t", true),
        ("SELECT a FROM u WHERE EXISTS (SELECT * FROM t)", true),
        ("SELECT x FROM t x", true),
        ("SELECT t FROM t", true),
        ("SELECT x.* FROM t x", true),
        ("SELECT s.t.* FROM s.t", true),
        ("SELECT (x).a FROM t x", true),
        ("SELECT count(x) FROM t x", true),
        ("SELECT row_to_json(x) FROM t x", true),
        ("SELECT s.* FROM (SELECT a FROM t) s", false),
        ("SELECT s FROM (SELECT a FROM t) s", false),
        ("SELECT j FROM (t JOIN u ON true) AS j", true),
        ("SELECT k FROM t JOIN u USING (a) AS k", true),
        ("SELECT b FROM t AS x (b)", true),
        ("SELECT a FROM t NATURAL JOIN u", true),
        (
            "SELECT a, x.b, count(*) FROM t x JOIN u USING (a) GROUP BY 1, 2",
            false,
        ),
    ] {
        assert_eq!(query(text).catalogs.whole_rows, shown, "{text}");
    }
    for (text, statistics) in [
        ("SELECT reltuples FROM t", true),
        ("SELECT 1 FROM t x WHERE x.relpages > 0", true),
        ("SELECT a FROM t ORDER BY xmin", true),
        ("SELECT a FROM t JOIN u USING (relfilenode)", true),
        ("SELECT relname FROM t", false),
    ] {
        assert_eq!(query(text).catalogs.statistics, statistics, "{text}");
    }
    for (text, looks_up) in [
        ("SELECT a FROM t WHERE b = 't'::regclass", true),
        ("SELECT regtype 'int' FROM t", true),
        ("SELECT b::pg_catalog.regclass::text FROM t", true),
        ("SELECT b::text FROM t", false),
    ] {
        let query = query(text);
        assert_eq!(query.catalogs.looks_up, looks_up, "{text}");
        assert_eq!(query.why, None, "{text}");
    }
    let name = query("SELECT b::regclass::text::date FROM t");
    assert_eq!(name.why, Some(Why::ClockText));
}

#[test]
fn text_that_may_be_the_clock_forbids_caching() {
    let clock = Some(Why::ClockText);
    for (text, expected) in [
        ("SELECT 'now'::timestamptz FROM t", clock),
        ("SELECT * FROM t WHERE d = 'today'", clock),
        ("SELECT * FROM t WHERE d = date 'Tomorrow'", clock),
        ("SELECT * FROM t WHERE d = E'\\x79esterday'", clock),
        ("SELECT * FROM t WHERE d = U&'n\\006Fw'", clock),
        ("SELECT * FROM t WHERE d IN ('2020-01-01', $$now$$)", clock),
        (
            "SELECT * FROM t WHERE d = ANY ('{today,2020-01-01}')",
            clock,
        ),
        ("SELECT * FROM t LIMIT 'now'", clock),
        ("SELECT * FROM t WHERE d = 'snow'", None),
        ("SELECT now FROM t", None),
        ("SELECT * FROM t WHERE d = '2020-01-01'::date", None),
        // Text of rows, read as a date.
        ("SELECT d::date FROM t", None),
        ("SELECT $1::date, '2020-01-01'::text::date FROM t", None),
        (
            "SELECT d::timestamp::date, date_trunc('day', d)::date, (d + interval '1 day')::date FROM t",
            None,
        ),
        (
            "SELECT max(d)::date, coalesce(d, '2020-01-01')::date, (CASE WHEN a THEN d END)::date FROM t",
            None,
        ),
        (
            "SELECT a::int, (b || 'c')::text, (j ->> 'x')::numeric FROM t",
            None,
        ),
        ("SELECT (j ->> 'x')::date FROM t", clock),
        ("SELECT (a || b)::timestamptz FROM t", clock),
        ("SELECT lower(a)::date FROM t", clock),
        ("SELECT date(lower(a)) FROM t", clock),
        ("SELECT (SELECT a FROM u)::date FROM t", clock),
        ("SELECT (lower(a)::text)::date FROM t", clock),
        ("SELECT string_to_array(a, ',')::date[] FROM t", clock),
        ("SELECT coalesce(a, b || c)::date FROM t", clock),
        ("SELECT lower(a)::my_domain FROM t", clock),
        ("SELECT x::date FROM (SELECT a AS x FROM t) s", clock),
        ("SELECT x::date FROM (SELECT a FROM t) s (x)", clock),
        ("SELECT lower::date FROM (SELECT lower(a) FROM t) s", clock),
        (
            "SELECT coalesce::date FROM (SELECT coalesce(a) FROM t) s"
                .replace("coalesce::", "\"coalesce\"::")
                .as_str(),
            clock,
        ),
        (
            "WITH s (x) AS (SELECT a FROM t) SELECT x::date FROM s",
            clock,
        ),
        ("SELECT x::date FROM t, unnest(a) x", clock),
        // A name that something inside the query gives may be text, whatever the relation's column is.
        (
            "SELECT x::date FROM t, jsonb_each_text(t.data) e (x, y)",
            clock,
        ),
        ("SELECT e.d::date FROM t, jsonb_each_text(t.data) e", clock),
        (
            "SELECT d::date FROM (SELECT (jsonb_each_text(data)).* FROM t) s",
            clock,
        ),
        ("SELECT d::date FROM (SELECT d::text FROM t) s", clock),
        (
            "SELECT d::date FROM (SELECT CASE WHEN a THEN b ELSE d END FROM t) s",
            clock,
        ),
        ("SELECT s::pair FROM (SELECT note FROM t) s", clock),
        (
            "WITH s AS (SELECT note FROM t) SELECT s::pair FROM s",
            clock,
        ),
        ("SELECT j::pair FROM (t JOIN u ON true) AS j", clock),
        ("SELECT j::pair FROM t JOIN u USING (a) AS j", clock),
        ("SELECT column1::date FROM (VALUES ('x')) v, t", clock),
        ("SELECT f::date FROM t, f(1)", clock),
        ("SELECT d::text::date FROM t", clock),
        ("SELECT d::date FROM (SELECT d::my FROM t) s", clock),
        ("SELECT * FROM (SELECT d::date FROM t) s", None),
        ("SELECT d::text, d::date AS d FROM t", None),
        ("SELECT datemultirange(lower(a)) FROM t", clock),
        ("SELECT columns::date, column_1::date FROM t", None),
        (
            "SELECT s.d::date FROM (SELECT d COLLATE \"C\", * FROM t) s",
            None,
        ),
        (
            "SELECT g, count(*) FROM generate_series(1, 9) g LEFT JOIN t ON t.d::date = $1 + g GROUP BY g",
            None,
        ),
        ("SELECT * FROM json_to_record($1) AS x (d date), t", clock),
        ("SELECT JSON_OBJECT('a': 1 RETURNING date) FROM t", clock),
    ] {
        assert_eq!(query(text).why, expected, "{text}");
    }
    let columns = query("SELECT t.d::date, date(e), f::int, g::text FROM t")
        .hidden
        .cast_columns;
    assert_eq!(words(columns.iter().map(ToString::to_string)), "d e");
}
