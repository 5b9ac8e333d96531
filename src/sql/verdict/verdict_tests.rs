//! Tests of verdicts: what is cacheable on which relations, what is written, what ends cleanness.

use super::*;
use crate::sql::analyse;
use crate::sql::catalog::Rows;
use crate::sql::catalog::rows::{Cast, Expression, ForeignKey, Inheritance, Place, Trigger};

struct World {
    catalog: Catalog,
    t: Oid,
    parent: Oid,
    child: Oid,
    view: Oid,
    matview: Oid,
    order: Oid,
    line: Oid,
}

fn world() -> World {
    let mut rows = Rows::empty_database();
    let t = rows.table("public", "t");
    rows.table("public", "u");
    rows.table("s", "only_in_s");
    let parent = rows.table("public", "parent");
    let child = rows.table("public", "child");
    rows.inheritance.push(Inheritance { child, parent });
    let view = rows.view("public", "v", &[t]);
    let matview = rows.relation("public", "m", b'm');
    rows.relation("public", "seq", b'S');
    rows.relation("public", "remote", b'f');
    rows.relation("pg_catalog", "pg_class", b'r');
    let order = rows.table("public", "orders");
    let line = rows.table("public", "line");
    rows.foreign_keys.push(ForeignKey {
        referencing: line,
        referenced: order,
        on_delete: b'c',
        on_update: b'a',
    });
    let (relation, function) = (
        rows.table("public", "triggered"),
        rows.function("public", "on_write", 0, b'v'),
    );
    rows.triggers.push(Trigger { relation, function });
    for (name, arguments) in [("lower", 1), ("count", 0), ("max", 1), ("length", 1)] {
        rows.builtin(name, arguments, b'i');
    }
    rows.builtin("random", 0, b'v');
    rows.function("public", "mine", 1, b'i');
    rows.function("public", "lower", 3, b'i');
    rows.builtin("age", 1, b's');
    for name in ["=", "<", "<=", ">", ">=", "+", "~~"] {
        rows.operator("pg_catalog", name);
    }
    rows.operator("public", "<~>");
    rows.operator("s", "=");
    for name in ["int4", "text", "date", "timestamptz"] {
        rows.named_type("pg_catalog", name, b'b');
    }
    rows.named_type("public", "shape", b'b');
    World {
        catalog: Catalog::build(1, rows),
        t,
        parent,
        child,
        view,
        matview,
        order,
        line,
    }
}

fn effect(world: &World, text: &str) -> Effect {
    let analysis = analyse(text);
    assert_eq!(analysis.refused, None, "{text}");
    assert_eq!(analysis.statements.len(), 1, "{text}");
    resolve(
        &analysis.statements[0],
        Some(&world.catalog),
        &["public".into()],
    )
}

#[test]
fn plain_reads_are_cacheable_on_their_relations() {
    let world = world();
    for (text, expected) in [
        ("SELECT * FROM t", vec![world.t]),
        (
            "SELECT lower(a), count(*) FROM public.t WHERE b = 1 AND c LIKE 'x%'",
            vec![world.t],
        ),
        ("TABLE t", vec![world.t]),
        (
            "SELECT * FROM t a, t b, (SELECT max(x) FROM t) c",
            vec![world.t],
        ),
        (
            "WITH t AS (SELECT * FROM parent) SELECT * FROM t",
            vec![world.parent, world.child],
        ),
        ("SELECT * FROM child", vec![world.child]),
        ("SELECT * FROM m", vec![world.matview]),
        ("SELECT x::int, x::text FROM t", vec![world.t]),
        ("SELECT t.name, t.length FROM t", vec![world.t]),
    ] {
        let effect = effect(&world, text);
        let mut expected = expected;
        expected.sort_unstable();
        assert_eq!(
            effect.reads.as_ref().map(Cacheable::relations),
            Ok(&*expected),
            "{text}"
        );
        assert_eq!(effect.writes, Touched::Nothing, "{text}");
        assert!(!effect.dirty && !effect.opaque && !effect.catalog, "{text}");
    }
    let reads = effect(&world, "SELECT * FROM v").reads.unwrap();
    assert!(reads.relations().contains(&world.t) && reads.relations().contains(&world.view));
}

#[test]
fn every_no_has_its_reason() {
    let world = world();
    for (text, why) in [
        ("SELECT 1", Why::NoRelation),
        ("SELECT random()", Why::NoRelation),
        ("VALUES (1), (2)", Why::NoRelation),
        ("SELECT random() FROM t", Why::VolatileFunction),
        ("SELECT * FROM t ORDER BY random()", Why::VolatileFunction),
        ("SELECT mine(a) FROM t", Why::UserFunction),
        ("SELECT t.mine FROM t", Why::UserFunction),
        ("SELECT (t).mine FROM t", Why::UserFunction),
        ("SELECT (a).age FROM t", Why::StableFunction),
        ("SELECT (a).date FROM t", Why::ClockText),
        ("SELECT (a).shape FROM t", Why::UserType),
        ("SELECT absent(a) FROM t", Why::UnknownFunction),
        ("SELECT lower(a, b) FROM t", Why::UnknownFunction),
        ("SELECT lower(a, b, c) FROM t", Why::UserFunction),
        ("SELECT a <~> b FROM t", Why::UserOperator),
        ("SELECT a OPERATOR(s.=) b FROM t", Why::UserOperator),
        ("SELECT a::shape FROM t", Why::UserType),
        ("SELECT $1::shape FROM t", Why::UserType),
        ("SELECT a::absent FROM t", Why::UserType),
        ("SELECT a::date FROM t", Why::ClockText),
        ("SELECT * FROM absent", Why::UnknownRelation),
        ("SELECT * FROM only_in_s", Why::UnknownRelation),
        ("SELECT * FROM t, absent.t", Why::UnknownRelation),
        ("SELECT * FROM pg_class", Why::SystemCatalog),
        ("SELECT * FROM t, pg_catalog.pg_class", Why::SystemCatalog),
        ("SELECT * FROM remote", Why::ForeignTable),
        ("SELECT last_value FROM seq", Why::Sequence),
        ("SELECT * FROM t FOR UPDATE", Why::Locking),
        ("UPDATE t SET a = 1", Why::NotSelect),
        ("EXPLAIN ANALYZE SELECT * FROM t", Why::NotSelect),
        ("DECLARE c CURSOR FOR SELECT * FROM t", Why::NotSelect),
        ("COPY (SELECT * FROM t) TO STDOUT", Why::NotSelect),
        ("SHOW search_path", Why::NotSelect),
    ] {
        assert_eq!(effect(&world, text).reads, Err(why), "{text}");
    }
}

fn relations(of: &[Oid]) -> Touched {
    let mut all = of.to_vec();
    all.sort_unstable();
    Touched::Relations(all.into())
}

fn touches(touched: &Touched, relation: Oid) -> bool {
    match touched {
        Touched::Nothing => false,
        Touched::Relations(all) => all.contains(&relation),
        Touched::Everything => true,
    }
}

#[test]
fn writes_touch_their_targets() {
    let world = world();
    for text in [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET a = lower('x')",
        "DELETE FROM t USING u WHERE t.a = u.a",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
        "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
        "EXPLAIN ANALYZE UPDATE t SET a = 1",
        "COPY t FROM STDIN",
        "COPY (DELETE FROM t RETURNING *) TO STDOUT",
        "TRUNCATE t",
    ] {
        let effect = effect(&world, text);
        assert_eq!(effect.writes, relations(&[world.t]), "{text}");
        assert!(effect.dirty && !effect.opaque && !effect.catalog, "{text}");
        assert!(effect.reads.is_err(), "{text}");
    }
    let both = effect(&world, "WITH x AS (DELETE FROM child) UPDATE t SET a = 1").writes;
    assert!(touches(&both, world.t) && touches(&both, world.child));
    let cascade = effect(&world, "DELETE FROM orders").writes;
    assert!(touches(&cascade, world.order) && touches(&cascade, world.line));
    assert!(touches(
        &effect(&world, "REFRESH MATERIALIZED VIEW m").writes,
        world.matview
    ));
}

#[test]
fn code_that_may_write_writes_everything() {
    let world = world();
    for text in [
        "SELECT mine(1)",
        "SELECT t.mine FROM t",
        "SELECT absent()",
        "SELECT a <~> b FROM t",
        "SELECT a::shape FROM t",
        "SELECT * FROM absent",
        "SELECT 1 WHERE EXISTS (SELECT mine(a) FROM t) AND false",
        "UPDATE t SET a = mine(1)",
        "INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET a = mine(1)",
        "INSERT INTO triggered VALUES (1)",
        "INSERT INTO absent VALUES (1)",
        "COPY (SELECT mine(1)) TO STDOUT",
        "DECLARE c CURSOR FOR SELECT mine(1)",
        "CREATE TEMP TABLE x AS SELECT mine(1)",
        "SELECT mine(1) INTO TEMP x",
        "EXPLAIN ANALYZE SELECT mine(1)",
        // The planner calls an IMMUTABLE function whose arguments it knows.
        "EXPLAIN SELECT mine(1)",
        "SELECT (a).mine FROM t",
    ] {
        let effect = effect(&world, text);
        assert_eq!(effect.writes, Touched::Everything, "{text}");
        assert!(effect.dirty && effect.opaque && !effect.catalog, "{text}");
        assert!(effect.reads.is_err(), "{text}");
    }
}

#[test]
fn definitions_raise_the_catalog() {
    let world = world();
    for text in [
        "CREATE TABLE x (a int)",
        "SELECT * INTO x FROM t",
        "DROP TABLE t",
        "GRANT SELECT ON t TO r",
        "DO 'BEGIN END'",
        "CALL p()",
        "EXECUTE p",
        "COMMIT PREPARED 'g'",
        "UPDATE pg_class SET relname = 'x'",
        "DELETE FROM pg_catalog.pg_class",
        "INSERT INTO pg_catalog.absent VALUES (1)",
    ] {
        let effect = effect(&world, text);
        assert!(effect.catalog && effect.dirty, "{text}");
        assert_eq!(effect.writes, Touched::Everything, "{text}");
    }
    let refused = analyse("SELEC 1");
    let effect = resolve(&refused.statements[0], Some(&world.catalog), &[]);
    assert!(
        effect.catalog && effect.dirty && effect.opaque && effect.writes == Touched::Everything
    );
}

#[test]
fn what_only_changes_the_session_writes_nothing() {
    let world = world();
    for (text, dirty, opaque) in [
        ("BEGIN", false, false),
        ("COMMIT", false, false),
        ("ROLLBACK TO a", false, false),
        ("PREPARE TRANSACTION 'g'", false, false),
        ("ROLLBACK PREPARED 'g'", false, false),
        ("SET search_path = s", false, false),
        ("SELECT set_config('a.b', 'c', true)", false, false),
        ("RESET ALL", false, false),
        ("SHOW ALL", false, false),
        ("PREPARE p AS SELECT mine(1)", false, false),
        ("DEALLOCATE ALL", false, false),
        ("SET search_path FROM CURRENT", true, true),
        ("FETCH c", true, false),
        ("DECLARE c CURSOR FOR SELECT * FROM t", true, false),
        ("LISTEN a", true, false),
        ("NOTIFY a", true, false),
        ("LOCK t", true, false),
        ("SELECT * FROM t FOR SHARE", true, false),
        ("EXPLAIN SELECT * FROM t", false, false),
        ("EXPLAIN (VERBOSE) SELECT lower(a) FROM v", false, false),
        ("EXPLAIN SELECT * FROM t FOR UPDATE", true, false),
        ("EXPLAIN UPDATE t SET a = 1", true, false),
        ("EXPLAIN DECLARE c CURSOR FOR SELECT 1", false, false),
        ("EXPLAIN CREATE TABLE x AS SELECT * FROM t", false, false),
        ("COPY t TO STDOUT", true, false),
    ] {
        let effect = effect(&world, text);
        assert_eq!(effect.writes, Touched::Nothing, "{text}");
        assert_eq!(
            (effect.dirty, effect.opaque, effect.catalog),
            (dirty, opaque, false),
            "{text}"
        );
    }
}

#[test]
fn what_shows_in_system_catalogs_alone_touches_them_alone() {
    let world = world();
    for (text, opaque) in [
        ("CREATE TEMP TABLE x (a int)", true),
        ("CREATE TEMP TABLE x AS SELECT * FROM t", true),
        ("SELECT * INTO TEMP x FROM t", true),
        ("DISCARD TEMP", false),
        ("DISCARD ALL", false),
        ("VACUUM t", false),
        ("ANALYZE", false),
        ("COMMENT ON TABLE t IS 'x'", false),
        ("REINDEX TABLE t", false),
    ] {
        let effect = effect(&world, text);
        assert_eq!(effect.writes, relations(&[SYSTEM_CATALOGS]), "{text}");
        assert_eq!(
            (effect.dirty, effect.opaque, effect.catalog),
            (true, opaque, false),
            "{text}"
        );
    }
    let refresh = effect(&world, "REFRESH MATERIALIZED VIEW m").writes;
    assert!(touches(&refresh, SYSTEM_CATALOGS) && touches(&refresh, world.matview));
}

#[test]
fn commands_run_event_triggers_and_expressions_of_indexes() {
    let commands = [
        "REINDEX TABLE t",
        "ANALYZE",
        "VACUUM (ANALYZE)",
        "COMMENT ON TABLE t IS 'x'",
        "CREATE TEMP TABLE x (a int)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "SELECT 1 AS n INTO TEMP x",
        "REFRESH MATERIALIZED VIEW m",
    ];
    let everything = |catalog: Option<&Catalog>, text: &str| {
        let effect = resolve(&analyse(text).statements[0], catalog, &["public".into()]);
        effect.writes == Touched::Everything && effect.dirty && effect.opaque
    };
    let plain = Catalog::build(1, Rows::empty_database());
    for text in &commands[..7] {
        assert!(!everything(Some(&plain), text), "{text}");
        assert!(everything(None, text), "{text}");
    }
    for indexed in [false, true] {
        let mut rows = Rows::empty_database();
        let table = rows.table("public", "t");
        rows.relation("public", "m", b'm');
        let owner = rows.table("public", "u");
        let function = rows.function("public", "mine", 1, b'i');
        let place = if indexed {
            Place::Index
        } else {
            Place::Trigger
        };
        let tree = format!("({{FUNCEXPR :funcid {function} :funcresulttype 23}})").into();
        rows.expressions.push(Expression { owner, place, tree });
        if !indexed {
            let relation = 0;
            rows.triggers.push(Trigger { relation, function });
        }
        let catalog = Catalog::build(1, rows);
        for text in commands {
            assert!(everything(Some(&catalog), text), "{text}");
        }
        let update = catalog.writes_of(table, WriteKind::Update);
        assert_eq!(update, relations(&[table]));
        let delete = catalog.writes_of(owner, WriteKind::Delete);
        let conditions = if indexed {
            relations(&[owner])
        } else {
            Touched::Everything
        };
        assert_eq!(
            delete, conditions,
            "a condition runs without a new row, too"
        );
    }
}

#[test]
fn a_copy_of_a_table_runs_its_policies() {
    let mut rows = Rows::empty_database();
    let owner = rows.table("public", "t");
    let function = rows.function("public", "mine", 1, b'v');
    rows.expressions.push(Expression {
        owner,
        place: Place::Policy,
        tree: format!("{{FUNCEXPR :funcid {function} :funcresulttype 16}}").into(),
    });
    let catalog = Catalog::build(1, rows);
    let copy = analyse("COPY t TO STDOUT");
    let effect = resolve(&copy.statements[0], Some(&catalog), &["public".into()]);
    assert_eq!(effect.writes, Touched::Everything);
}

#[test]
fn without_a_catalog_a_name_may_be_anything() {
    for (text, why, everything) in [
        ("SELECT 1", Why::NoCatalog, false),
        ("SELECT $1", Why::NoCatalog, false),
        ("SELECT * FROM t", Why::NoCatalog, true),
        ("SELECT f()", Why::NoCatalog, true),
        ("SELECT 1 + 1", Why::NoCatalog, true),
        ("SELECT * FROM t FOR UPDATE", Why::Locking, true),
        ("UPDATE t SET a = 1", Why::NotSelect, true),
        ("TRUNCATE t", Why::NotSelect, true),
        ("COPY t FROM STDIN", Why::NotSelect, true),
        ("BEGIN", Why::NotSelect, false),
    ] {
        let effect = resolve(&analyse(text).statements[0], None, &["public".into()]);
        assert_eq!(effect.reads, Err(why), "{text}");
        assert_eq!(effect.writes == Touched::Everything, everything, "{text}");
        assert!(
            !effect.catalog,
            "an ordinary write must not keep the catalog from being loaded: {text}"
        );
    }
    let effect = resolve(&analyse("DELETE FROM pg_class").statements[0], None, &[]);
    assert!(effect.catalog);
}

#[test]
fn the_path_decides_and_all_of_it_counts() {
    let mut rows = Rows::empty_database();
    let (first, second) = (rows.table("a", "t"), rows.table("b", "t"));
    let catalog = Catalog::build(1, rows);
    let resolved =
        |text: &str, path: &[Box<str>]| resolve(&analyse(text).statements[0], Some(&catalog), path);
    let (a, b): (Box<str>, Box<str>) = ("a".into(), "b".into());
    for (path, expected) in [
        (vec![a.clone()], vec![first]),
        (vec![b.clone()], vec![second]),
        (vec![a.clone(), b.clone()], vec![first, second]),
    ] {
        let mut expected = expected;
        expected.sort_unstable();
        let reads = resolved("SELECT * FROM t", &path).reads;
        assert_eq!(reads.as_ref().map(Cacheable::relations), Ok(&*expected));
        assert_eq!(
            resolved("DELETE FROM t", &path).writes,
            relations(&expected)
        );
    }
    assert_eq!(
        resolved("SELECT * FROM t", &[]).reads,
        Err(Why::UnknownRelation)
    );
    assert_eq!(
        resolved("DELETE FROM b.t", &[a]).writes,
        relations(&[second])
    );
}

#[test]
fn a_column_that_is_never_text_may_be_cast() {
    let mut rows = Rows::empty_database();
    let mut a_type = |name: &str, string: bool| {
        let oid = rows.named_type("pg_catalog", name, b'b');
        rows.types.last_mut().expect("a type").string = string;
        oid
    };
    let (timestamptz, text, _) = (
        a_type("timestamptz", false),
        a_type("text", true),
        a_type("date", false),
    );
    rows.builtin("date", 1, b's');
    rows.builtin("quote_literal", 1, b's');
    rows.operator("pg_catalog", "=");
    let texts = rows.named_type("pg_catalog", "_text", b'b');
    rows.types.last_mut().expect("a type").inner = text;
    let (t, u) = (rows.table("public", "t"), rows.table("public", "u"));
    let v = rows.view("public", "v", &[u]);
    for (relation, name, type_oid) in [
        (t, "made", timestamptz),
        (t, "note", text),
        (t, "notes", texts),
        (t, "quote_literal", timestamptz),
        (u, "made", text),
        (v, "made", timestamptz),
    ] {
        rows.column(relation, name, type_oid);
    }
    let catalog = Catalog::build(1, rows);
    for (text, cacheable) in [
        ("SELECT made::date FROM t", true),
        ("SELECT date(made), t.made::date FROM t", true),
        ("SELECT x.made::date FROM (SELECT * FROM t) x", true),
        ("SELECT made::date FROM v", true),
        ("SELECT note::date FROM t", false),
        ("SELECT date(note) FROM t", false),
        ("SELECT notes::date[] FROM t", false),
        ("SELECT made::date FROM u", false),
        (
            "SELECT t.made::date FROM t JOIN u ON t.note = u.made",
            false,
        ),
        (
            "SELECT made::date FROM t WHERE EXISTS (SELECT FROM u)",
            false,
        ),
        ("SELECT absent::date FROM t", false),
        ("SELECT t.quote_literal::date FROM t", false),
    ] {
        let reads = resolve(
            &analyse(text).statements[0],
            Some(&catalog),
            &["public".into()],
        )
        .reads;
        match cacheable {
            true => assert!(reads.is_ok(), "{text}: {reads:?}"),
            false => assert_eq!(reads, Err(Why::ClockText), "{text}"),
        }
    }
}

#[test]
fn only_what_takes_a_row_can_be_an_attribute() {
    let mut rows = Rows::empty_database();
    let t = rows.table("public", "t");
    let number = rows.named_type("pg_catalog", "int4", b'b');
    let row = rows.named_type("public", "t", b'c');
    let element = rows.named_type("pg_catalog", "anyelement", b'p');
    let domain = rows.named_type("public", "d", b'd');
    rows.types.last_mut().expect("a type").inner = row;
    for (name, argument, variadic) in [
        ("status", number, 0),
        ("of_row", row, 0),
        ("of_any", element, 0),
        ("of_domain", domain, 0),
        ("variadic", number, row),
    ] {
        rows.function("public", name, 1, b'i');
        let function = rows.functions.last_mut().expect("a function");
        (function.arguments, function.variadic) = ([argument].into(), variadic);
    }
    let reads = |rows: Rows, text: &str| {
        let catalog = Catalog::build(1, rows);
        let path = ["public".into()];
        resolve(&analyse(text).statements[0], Some(&catalog), &path).reads
    };
    let plain = reads(rows.clone(), "SELECT o.status FROM t o");
    assert_eq!(plain.as_ref().map(Cacheable::relations), Ok(&[t][..]));
    for text in [
        "SELECT o.of_row FROM t o",
        "SELECT o.of_any FROM t o",
        "SELECT o.of_domain FROM t o",
        "SELECT o.variadic FROM t o",
        "SELECT (o.id).status FROM t o",
    ] {
        assert_eq!(reads(rows.clone(), text), Err(Why::UserFunction), "{text}");
    }
    rows.casts.push(Cast {
        source: row,
        target: number,
        function: 0,
        method: b'i',
        context: b'i',
    });
    assert_eq!(
        reads(rows, "SELECT o.status FROM t o"),
        Err(Why::UserFunction),
        "a row can be cast to its argument"
    );
}
