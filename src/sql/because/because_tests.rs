use super::*;
use crate::sql::catalog::Rows;
use crate::sql::catalog::rows::{ForeignKey, Inheritance, Trigger};
use crate::sql::{analyse, resolve};

fn public() -> Vec<Box<str>> {
    vec!["public".into()]
}

/// What is told of a statement's reads: `relation: because`.
fn reads(catalog: &Catalog, sql: &str) -> Vec<String> {
    let (analysis, path) = (analyse(sql), public());
    let asking = Asking {
        catalog,
        path: &path,
    };
    let query = queries(&analysis.statements[0])[0];
    let links = asking.reads(query).into_iter();
    links
        .map(|link| format!("{}: {}", catalog.words(link.relation), link.because))
        .collect()
}

/// The verdict's reason, and what is in the way.
fn obstacles(catalog: &Catalog, sql: &str) -> Vec<(Why, Option<String>)> {
    let (analysis, path) = (analyse(sql), public());
    let asking = Asking {
        catalog,
        path: &path,
    };
    let why = resolve(&analysis.statements[0], Some(catalog), &path)
        .reads
        .expect_err("a refusal");
    let query = queries(&analysis.statements[0])[0];
    let all = asking.obstacles(query, why);
    assert_eq!(all[0].why, why, "{sql}");
    all.into_iter().map(|o| (o.why, o.what)).collect()
}

fn invalidates(catalog: &Catalog, sql: &str) -> Vec<String> {
    let (analysis, path) = (analyse(sql), public());
    let asking = Asking {
        catalog,
        path: &path,
    };
    let effect = resolve(&analysis.statements[0], Some(catalog), &path);
    match asking.invalidates(&analysis.statements[0], &effect) {
        Invalidates::Nothing => vec![],
        Invalidates::Everything(because) => vec![format!("everything: {because}")],
        Invalidates::Relations(links) => links
            .iter()
            .map(|link| format!("{}: {}", catalog.words(link.relation), link.because))
            .collect(),
    }
}

fn shop() -> Catalog {
    let mut rows = Rows::empty_database();
    rows.operator("pg_catalog", "=");
    rows.builtin("lower", 1, b'i');
    rows.builtin("random", 0, b'v');
    rows.builtin("now", 0, b's');
    let (a, users) = (
        rows.table("public", "orders"),
        rows.table("public", "users"),
    );
    let part = rows.table("public", "orders_2024");
    rows.view("public", "v", &[a]);
    rows.view("public", "w", &[users]);
    rows.relation("public", "far", b'f');
    let far = rows.relations.last().expect("it").oid;
    rows.view("public", "seen", &[far]);
    let secret = rows.table("public", "secret");
    rows.relations
        .iter_mut()
        .filter(|r| r.oid == secret)
        .for_each(|r| r.row_security = true);
    rows.inheritance.push(Inheritance {
        child: part,
        parent: a,
    });
    let items = rows.table("public", "items");
    rows.foreign_keys.push(ForeignKey {
        referencing: items,
        referenced: a,
        on_delete: b'c',
        on_update: b'a',
    });
    let audit = rows.function("public", "audit", 0, b'v');
    rows.triggers.push(Trigger {
        relation: users,
        function: audit,
    });
    rows.function("public", "mine", 1, b'i');
    rows.operator("public", "%%");
    Catalog::build(1, rows)
}

#[test]
fn each_relation_that_is_read_says_by_which_way() {
    let catalog = shop();
    assert_eq!(
        reads(&catalog, "SELECT * FROM v, users"),
        [
            "public.v: named in the statement",
            "public.users: named in the statement",
            "public.orders: below view public.v",
            "public.orders_2024: inherits from public.orders",
        ]
    );
}

#[test]
fn the_object_that_is_the_reason_is_named() {
    let catalog = shop();
    let named = |why, what: &str| (why, Some(what.to_owned()));
    for (sql, expected) in [
        (
            "SELECT random() FROM orders",
            named(Why::VolatileFunction, "function random()"),
        ),
        (
            "SELECT mine(1) FROM orders",
            named(Why::UserFunction, "function mine()"),
        ),
        (
            "SELECT 1 %% 2 FROM orders",
            named(Why::UserOperator, "operator %%"),
        ),
        (
            "SELECT nowhere.f(1) FROM orders",
            named(Why::UnknownFunction, "function nowhere.f()"),
        ),
        (
            "SELECT 1 FROM orders, lost",
            named(Why::UnknownRelation, "lost"),
        ),
        (
            "SELECT 1 FROM secret",
            named(Why::RowSecurity, "table public.secret"),
        ),
        (
            "SELECT 1 FROM seen",
            named(
                Why::ForeignTable,
                "foreign table public.far, in view public.seen",
            ),
        ),
        ("SELECT 1", (Why::NoRelation, None)),
        ("SELECT 1 FROM orders FOR UPDATE", (Why::Locking, None)),
    ] {
        assert_eq!(obstacles(&catalog, sql)[0], expected, "{sql}");
    }
    // All of them, so that one is not met after the other.
    assert_eq!(
        obstacles(
            &catalog,
            "SELECT random(), mine(1) FROM orders, secret FOR UPDATE"
        ),
        [
            (Why::Locking, None),
            named(Why::RowSecurity, "table public.secret"),
            named(Why::UserFunction, "function mine()"),
            named(Why::VolatileFunction, "function random()"),
        ]
    );
}

#[test]
fn what_a_write_makes_old_says_why() {
    let catalog = shop();
    let mut deleted = invalidates(&catalog, "DELETE FROM orders WHERE id = 1");
    deleted.sort();
    assert_eq!(
        deleted,
        [
            "public.items: its foreign key to public.orders carries the change on",
            "public.orders: named in the statement",
            "public.orders_2024: inherits from public.orders",
        ]
    );
    for (sql, expected) in [
        (
            "INSERT INTO orders VALUES (1)",
            "public.orders: named in the statement",
        ),
        (
            "INSERT INTO users VALUES (1)",
            "everything: public.users has a trigger whose function public.audit() may write anything",
        ),
        (
            "UPDATE lost SET a = 1",
            "everything: lost is not in the catalog",
        ),
        (
            "SELECT mine(1)",
            "everything: function mine() may write anything",
        ),
        (
            "CREATE TABLE n (a int)",
            "everything: it changes the schema, or privileges, or roles",
        ),
        (
            "DO 'begin end'",
            "everything: what it does cannot be told (DO, LOAD, or not analysed)",
        ),
    ] {
        assert_eq!(invalidates(&catalog, sql), [expected], "{sql}");
    }
    assert!(invalidates(&catalog, "SELECT 1 FROM orders").is_empty());
}
