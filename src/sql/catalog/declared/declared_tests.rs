//! Tests of declarations: what counts, and what statements then read and write.

use super::super::rows::{Expression, Place, Rows, Rule, Trigger};
use super::super::{Catalog, Declaration, Misdeclared, Oid};
use crate::sql::{Cacheable, Effect, Touched, analyse, resolve};
use crate::why::Why;

fn path(text: &str) -> (Box<str>, Box<str>) {
    let (schema, name) = text.split_once('.').expect("a schema");
    (schema.into(), name.into())
}

fn declare(name: &str, reads: Option<&[&str]>, writes: &[&str]) -> Declaration {
    let (name, arguments) = match name.strip_suffix(')').and_then(|n| n.split_once('(')) {
        Some((name, "")) => (name, Some([].into())),
        Some((name, list)) => {
            let words = list.split(',').map(|word| word.trim().into());
            (name, Some(words.collect()))
        }
        None => (name, None),
    };
    let (schema, name) = path(name);
    Declaration {
        schema,
        name,
        arguments,
        reads: reads.map(|all| all.iter().map(|t| path(t)).collect()),
        writes: writes.iter().map(|t| path(t)).collect(),
    }
}

struct House {
    catalog: Catalog,
    orders: Oid,
    log: Oid,
    view: Oid,
    t: Oid,
}

/// Tables `app.orders`, `app.log`, `app.t`, functions of one argument each.
fn house(declared: &[Declaration]) -> House {
    let mut rows = Rows::empty_database();
    let orders = rows.table("app", "orders");
    let log = rows.table("app", "log");
    let t = rows.table("app", "t");
    for name in ["total", "note", "clean", "other"] {
        rows.function("app", name, 1, b'v');
    }
    rows.operator("pg_catalog", "=");
    for function in &mut rows.functions {
        function.arguments = function.arguments.iter().map(|_| 10_000).collect();
    }
    assert_eq!(rows.named_type("pg_catalog", "int4", b'b'), 10_000);
    let total = rows.functions.iter().find(|f| &*f.name == "total");
    let total = total.expect("a function").oid;
    let note = rows.functions.iter().find(|f| &*f.name == "note");
    let note = note.expect("a function").oid;
    let view = rows.relation("app", "v", b'v');
    let action =
        format!("({{QUERY :x {{FUNCEXPR :funcid {total}}} :rtable ({{RTE :relid {t}}})}})");
    rows.rules.push(Rule {
        relation: view,
        view: true,
        action: action.into(),
    });
    let noting = rows.relation("app", "noting_view", b'v');
    let action = format!("({{QUERY :x {{FUNCEXPR :funcid {note}}} :rtable ({{RTE :relid {t}}})}})");
    rows.rules.push(Rule {
        relation: noting,
        view: true,
        action: action.into(),
    });
    let relation = rows.table("app", "watched");
    rows.triggers.push(Trigger {
        relation,
        function: note,
    });
    let owner = rows.table("app", "numbered");
    rows.expressions.push(Expression {
        owner,
        place: Place::Write,
        tree: format!("{{FUNCEXPR :funcid {note}}}").into(),
    });
    House {
        catalog: Catalog::build_with(1, rows, declared),
        orders,
        log,
        view,
        t,
    }
}

fn effect(house: &House, text: &str) -> Effect {
    let analysis = analyse(text);
    assert_eq!(analysis.refused, None, "{text}");
    let [statement] = &*analysis.statements else {
        panic!("{text}")
    };
    resolve(statement, Some(&house.catalog), &["app".into()])
}

fn sorted(mut all: Vec<Oid>) -> Vec<Oid> {
    all.sort_unstable();
    all
}

#[test]
fn a_reader_is_cacheable_on_what_it_reads() {
    let house = house(&[declare("app.total", Some(&["app.orders"]), &[])]);
    for (text, expected) in [
        ("SELECT total(1)", vec![house.orders]),
        ("SELECT app.total(id) FROM t", vec![house.t, house.orders]),
        ("SELECT * FROM v", vec![house.t, house.orders, house.view]),
    ] {
        let effect = effect(&house, text);
        let reads = effect.reads.as_ref().map(Cacheable::relations);
        assert_eq!(reads, Ok(&*sorted(expected)), "{text}");
        assert_eq!(effect.writes, Touched::Nothing, "{text}");
        assert!(!effect.dirty && !effect.opaque && !effect.leaves, "{text}");
    }
    let update = effect(&house, "UPDATE t SET a = total(1)");
    assert_eq!(update.writes, Touched::Relations([house.t].into()));
    assert!(!update.opaque);
    for text in ["SELECT other(1) FROM t", "SELECT other(total(1)) FROM t"] {
        let effect = effect(&house, text);
        assert!(effect.reads.is_err() && effect.opaque, "{text}");
        assert_eq!(effect.writes, Touched::Everything, "{text}");
    }
    // Calls that are not followed count as undeclared.
    for text in ["SELECT (t.a).total FROM t", "SELECT total(1, 2)"] {
        assert!(effect(&house, text).opaque, "{text}");
    }
}

#[test]
fn a_pure_function_reads_nothing() {
    let house = house(&[declare("app.total(integer)", Some(&[]), &[])]);
    let reads = effect(&house, "SELECT total(a) FROM t").reads;
    assert_eq!(reads.unwrap().relations(), [house.t]);
    assert_eq!(
        effect(&house, "SELECT total(1)").reads,
        Err(Why::NoRelation)
    );
    assert!(effect(&house, "SELECT (t.a).total FROM t").reads.is_ok());
}

#[test]
fn a_writer_touches_what_it_writes_and_is_not_cacheable() {
    let house = house(&[
        declare("app.note", Some(&["app.orders"]), &["app.log"]),
        declare("app.clean", None, &[]),
    ]);
    let log = Touched::Relations([house.log].into());
    for text in [
        "SELECT note(1)",
        "SELECT note(id) FROM t",
        "SELECT * FROM noting_view",
        "EXPLAIN SELECT note(1)",
        "CALL note(1)",
    ] {
        let effect = effect(&house, text);
        assert!(effect.reads.is_err(), "{text}");
        assert_eq!(effect.writes, log, "{text}");
        assert!(effect.dirty && !effect.opaque && !effect.catalog, "{text}");
        assert!(!effect.counted, "{text}");
    }
    let effect_of = |text: &str| effect(&house, text);
    let clean = effect_of("SELECT clean(1) FROM t");
    assert_eq!(clean.reads, Err(Why::UserFunction));
    assert_eq!(clean.writes, Touched::Nothing);
    assert!(clean.dirty && !clean.opaque);
    let insert = effect_of("INSERT INTO t SELECT note(1)");
    let both = Touched::Relations(sorted(vec![house.t, house.log]).into());
    assert_eq!(insert.writes, both);
    let call = effect_of("CALL other(1)");
    assert!(call.opaque && call.catalog && call.writes == Touched::Everything);
    assert!(effect_of("CALL note(other(1))").opaque);
}

#[test]
fn triggers_and_defaults_touch_what_their_functions_write() {
    let declared = [declare("app.note", None, &["app.log"])];
    let (plain, house) = (house(&[]), house(&declared));
    for text in [
        "INSERT INTO watched VALUES (1)",
        "DELETE FROM watched",
        "TRUNCATE watched",
        "COPY watched FROM STDIN",
        "INSERT INTO numbered VALUES (1)",
    ] {
        assert_eq!(effect(&plain, text).writes, Touched::Everything, "{text}");
        let effect = effect(&house, text);
        let Touched::Relations(all) = &effect.writes else {
            panic!("{text}")
        };
        assert_eq!(all.len(), 2, "{text}");
        assert!(all.contains(&house.log) && !effect.opaque, "{text}");
        // A statement's trigger runs for no row, too.
        assert!(!effect.counted, "{text}");
    }
    assert!(effect(&house, "DELETE FROM t").counted);
    assert!(effect(&house, "DELETE FROM numbered").counted);
}

#[test]
fn what_is_written_in_turn_is_followed() {
    let house = house(&[
        declare("app.clean", None, &["app.watched"]),
        declare("app.other", None, &["app.noting_view"]),
    ]);
    // An undeclared trigger, a view over an undeclared function.
    for text in ["SELECT clean(1)", "SELECT other(1)"] {
        let effect = effect(&house, text);
        assert_eq!(effect.writes, Touched::Everything, "{text}");
        assert!(effect.opaque, "{text}");
    }
}

#[test]
fn what_names_nothing_does_not_count() {
    let declared = [
        declare("app.total", Some(&["app.order"]), &[]),
        declare("app.note(text)", Some(&[]), &[]),
        declare("nowhere.note", Some(&[]), &[]),
        declare("app.clean", None, &["pg_catalog.pg_class"]),
        // Of two that are about one function the one with types holds, for better or worse.
        declare("app.other", Some(&[]), &[]),
        declare("app.other(int)", Some(&["app.missing"]), &[]),
    ];
    let house = house(&declared);
    for text in ["total", "note", "clean", "other"] {
        let effect = effect(&house, &format!("SELECT {text}(1)"));
        assert!(effect.opaque && effect.reads.is_err(), "{text}");
    }
    let wrong: Vec<String> = house
        .catalog
        .misdeclared()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(wrong.len(), 5, "{wrong:?}");
    let total =
        "the declaration of app.total does not count: there is no table or view app.order here";
    assert!(wrong.iter().any(|text| text == total), "{wrong:?}");
    let none = Misdeclared::NoFunction("app.note(text)".into());
    assert!(house.catalog.misdeclared().contains(&none));
}

#[test]
fn types_are_known_by_sqls_names_and_their_own() {
    for (words, meant) in [
        ("integer", true),
        ("int", true),
        ("int4", true),
        ("pg_catalog.int4", true),
        ("bigint", false),
        ("integer[]", false),
        ("app.int4", false),
        ("", false),
        ("int, int", false),
    ] {
        let house = house(&[declare(&format!("app.total({words})"), Some(&[]), &[])]);
        assert_eq!(house.catalog.misdeclared().is_empty(), meant, "{words}");
        let counts = effect(&house, "SELECT total(1) FROM t").reads.is_ok();
        assert_eq!(counts, meant, "{words}");
    }
}
