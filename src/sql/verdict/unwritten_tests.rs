//! Tests of verdicts about what runs although no text names it: casts, orders, functions of an older grammar.

use super::*;
use crate::sql::analyse;
use crate::sql::catalog::Rows;
use crate::sql::catalog::rows::{Expression, Place};

fn reads(rows: &Rows, text: &str) -> Result<Cacheable, Why> {
    let catalog = Catalog::build(1, rows.clone());
    let analysis = analyse(text);
    let path: Vec<Box<str>> = vec!["public".into(), "s".into()];
    resolve(&analysis.statements[0], Some(&catalog), &path).reads
}

fn refused(rows: &Rows, text: &str) -> Option<Why> {
    reads(rows, text).err()
}

/// Two tables, one with a `time` in it.
fn world() -> Rows {
    let mut rows = Rows::empty_database();
    let (with, without) = (
        rows.table("public", "with"),
        rows.table("public", "without"),
    );
    let names = [
        "time",
        "timestamptz",
        "text",
        "timetz",
        "bytea",
        "json",
        "int4",
    ];
    let types = names.map(|name| rows.named_type("pg_catalog", name, b'b'));
    let row = rows.named_type("public", "of_times", b'c');
    let part = rows.relation("public", "of_times", b'c');
    rows.types
        .iter_mut()
        .filter(|t| t.oid == row)
        .for_each(|t| t.relation = part);
    rows.column(part, "opens", types[0]);
    rows.column(with, "at", types[0]);
    rows.column(with, "made", types[1]);
    rows.column(without, "made", types[1]);
    let nested = rows.table("public", "nested");
    rows.column(nested, "hours", row);
    for arguments in [1, 2] {
        rows.builtin("timezone", arguments, b's');
    }
    let made = rows.builtin("make_time", 3, b'i');
    rows.functions
        .iter_mut()
        .filter(|f| f.oid == made)
        .for_each(|f| f.result = types[0]);
    rows.operator("pg_catalog", ">");
    rows.builtin("json_build_array", 1, b's');
    rows.builtin("json_agg", 1, b's');
    rows.builtin("to_json", 1, b's');
    rows
}

#[test]
fn a_time_at_a_zone_gets_the_offset_of_today() {
    let rows = world();
    for text in [
        "SELECT made AT TIME ZONE 'UTC' FROM without",
        "SELECT timezone('UTC', made) FROM without",
        "SELECT at FROM \"with\"",
        "SELECT made FROM without WHERE made > $1 AT TIME ZONE $2",
    ] {
        assert_eq!(refused(&rows, text), None, "{text}");
    }
    for text in [
        "SELECT at AT TIME ZONE 'UTC' FROM \"with\"",
        "SELECT made FROM \"with\" WHERE timezone('UTC', at)::text = 'x'",
        "SELECT at AT LOCAL FROM \"with\"",
        "SELECT made::time AT TIME ZONE 'UTC' FROM without",
        "SELECT (made).time AT TIME ZONE 'UTC' FROM without",
        "SELECT make_time(1, 2, 3) AT TIME ZONE 'UTC' FROM without",
        "SELECT ($1::of_times).opens AT TIME ZONE 'UTC' FROM without",
        "SELECT (hours).opens AT TIME ZONE 'UTC' FROM nested",
        "SELECT x AT TIME ZONE 'UTC' FROM (SELECT at AS x FROM \"with\") q",
    ] {
        assert!(refused(&rows, text).is_some(), "{text}");
    }
}

#[test]
fn a_namesake_of_a_plain_type_may_read_the_clock() {
    let mut rows = world();
    let inner = rows
        .types
        .iter()
        .find(|t| &*t.name == "timestamptz")
        .expect("a type")
        .oid;
    let domain = rows.named_type("s", "bytea", b'd');
    rows.types
        .iter_mut()
        .filter(|t| t.oid == domain)
        .for_each(|t| t.inner = inner);
    let column = "SELECT t::s.bytea FROM without AS t (t)";
    assert_eq!(refused(&rows, column), Some(Why::UserType));
    // pg_catalog's comes first unless the path says otherwise: both may be meant.
    assert_eq!(
        refused(&rows, "SELECT made::bytea FROM without"),
        Some(Why::UserType)
    );
    assert_eq!(
        refused(&rows, "SELECT made::pg_catalog.bytea FROM without"),
        None
    );
}

#[test]
fn syntax_that_an_older_server_takes_for_a_call_is_one_if_somebody_made_the_function() {
    let texts = [
        "SELECT json_array(made) FROM without",
        "SELECT json_arrayagg(made) FROM without",
        "SELECT json_scalar(made) FROM without",
    ];
    let mut rows = world();
    for text in texts {
        assert_eq!(refused(&rows, text), None, "{text}");
    }
    for name in ["json_array", "json_arrayagg", "json_scalar", "json_value"] {
        rows.function("public", name, 1, b'v');
    }
    for text in texts {
        assert_eq!(refused(&rows, text), Some(Why::UserFunction), "{text}");
    }
    // Refused in any case; but on such a server it may write.
    let catalog = Catalog::build(1, rows);
    let analysis = analyse("SELECT json_value(made, '$') FROM without");
    let effect = resolve(&analysis.statements[0], Some(&catalog), &["public".into()]);
    assert_eq!((effect.writes, effect.opaque), (Touched::Everything, true));
    let blind = resolve(&analyse("SELECT json_scalar(1)").statements[0], None, &[]);
    assert_eq!(blind.writes, Touched::Everything);
}

#[test]
fn values_that_a_users_function_sorts_may_come_from_a_function() {
    let mut rows = world();
    let circle = rows.named_type("pg_catalog", "circle", b'b');
    let (makes, takes) = (
        rows.builtin("makes", 1, b'i'),
        rows.builtin("takes", 1, b'i'),
    );
    for function in &mut rows.functions {
        if function.oid == makes || function.oid == takes {
            function.result = circle;
        }
        if function.oid == takes {
            function.arguments = [circle].into();
        }
    }
    let text = "SELECT DISTINCT makes(made) FROM without";
    assert_eq!(refused(&rows, text), None);
    rows.types
        .iter_mut()
        .filter(|t| t.oid == circle)
        .for_each(|t| t.user_order = true);
    assert_eq!(refused(&rows, text), Some(Why::UserType));
    assert_eq!(
        refused(&rows, "SELECT takes($1) FROM without"),
        None,
        "of what nothing makes"
    );
}

#[test]
fn a_row_is_cast_column_by_column() {
    let mut rows = world();
    let polygon = rows.named_type("pg_catalog", "polygon", b'b');
    let text = rows
        .types
        .iter()
        .find(|t| &*t.name == "text")
        .expect("a type")
        .oid;
    let row = rows.named_type("public", "polygons", b'c');
    let relation = rows.relation("public", "polygons", b'c');
    rows.types
        .iter_mut()
        .filter(|t| t.oid == row)
        .for_each(|t| t.relation = relation);
    rows.column(relation, "p", polygon);
    assert_eq!(refused(&rows, "SELECT $1::polygons FROM without"), None);
    let function = rows.function("public", "to_polygon", 1, b'v');
    rows.casts.push(crate::sql::catalog::rows::Cast {
        source: text,
        target: polygon,
        function,
        method: b'f',
        context: b'e',
    });
    assert_eq!(
        refused(&rows, "SELECT $1::polygons FROM without"),
        Some(Why::UserType)
    );
}

#[test]
fn a_view_with_a_subquery_in_in_is_seen_through() {
    let mut rows = world();
    let (view, table) = (
        rows.relation("public", "v", b'v'),
        rows.table("public", "t"),
    );
    let action = format!(
        "({{QUERY :rtable ({{RTE :relid {table}}}) :x {{SUBLINK :subLinkType 2 :testexpr {{PARAM :paramkind 2 \
         :paramid 1 :paramtype 0 :location -1}} :subselect {{QUERY :rtable <>}}}}}})"
    );
    rows.rules.push(crate::sql::catalog::rows::Rule {
        relation: view,
        view: true,
        action: action.into(),
    });
    // A policy of nothing is nothing.
    rows.expressions.push(Expression {
        owner: table,
        place: Place::Read,
        tree: "{CONST :consttype 0}".into(),
    });
    let found = reads(&rows, "SELECT * FROM v").expect("cacheable");
    assert_eq!(found.relations(), [table.min(view), table.max(view)]);
}
