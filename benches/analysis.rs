//! Time of analysis and of resolution per statement, by kind: `cargo bench --bench analysis`.

#[path = "analysis/orm.rs"]
mod orm;

use larder::sql::catalog::{Catalog, Rows};
use larder::sql::{analyse, resolve};
use std::hint::black_box;
use std::time::Instant;

const STATEMENTS: &[(&str, &str)] = &[
    (
        "point read",
        "SELECT abalance FROM pgbench_accounts WHERE aid = 123456",
    ),
    (
        "Prisma find",
        r#"SELECT "public"."User"."id", "public"."User"."email", "public"."User"."name", "public"."User"."role"::text FROM "public"."User" WHERE ("public"."User"."email" = $1 AND 1=1) LIMIT $2 OFFSET $3"#,
    ),
    (
        "Hibernate, three joins",
        "select o1_0.id,o1_0.created_at,o1_0.status,c1_0.id,c1_0.email,c1_0.name,l1_0.order_id,l1_0.id,l1_0.quantity,l1_0.price,p1_0.id,p1_0.name,p1_0.sku from orders o1_0 join customer c1_0 on c1_0.id=o1_0.customer_id left join order_line l1_0 on o1_0.id=l1_0.order_id left join product p1_0 on p1_0.id=l1_0.product_id where o1_0.customer_id=? and o1_0.status in (?,?) order by o1_0.created_at desc fetch first ? rows only",
    ),
    (
        "Django aggregate",
        r#"SELECT "shop_order"."customer_id", "shop_customer"."name", COUNT("shop_order"."id") AS "orders", SUM(CASE WHEN "shop_order"."status" = 'paid' THEN "shop_order"."total" ELSE 0 END) AS "revenue", COALESCE(MAX("shop_order"."created_at"), '2000-01-01') AS "last" FROM "shop_order" INNER JOIN "shop_customer" ON ("shop_order"."customer_id" = "shop_customer"."id") WHERE ("shop_order"."created_at" >= '2024-01-01' AND NOT ("shop_order"."id" IN (SELECT U0."order_id" FROM "shop_refund" U0 WHERE U0."approved" = true)) AND UPPER("shop_customer"."email"::text) LIKE UPPER('%@example.com')) GROUP BY "shop_order"."customer_id", "shop_customer"."name" ORDER BY "revenue" DESC LIMIT 21"#,
    ),
    (
        "WITH and window",
        "WITH ranked AS (SELECT o.*, row_number() OVER (PARTITION BY o.customer_id ORDER BY o.created_at DESC) AS rn FROM orders o WHERE o.status <> 'cancelled'), totals AS (SELECT customer_id, sum(total) AS total FROM orders GROUP BY customer_id) SELECT r.id, r.total, t.total AS lifetime, rank() OVER (ORDER BY t.total DESC) FROM ranked r JOIN totals t USING (customer_id) WHERE r.rn = 1 AND t.total > 100 ORDER BY t.total DESC LIMIT 50",
    ),
    (
        "UPDATE by key",
        "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
    ),
];

fn main() {
    let catalog = catalog();
    let in_list = format!(
        "SELECT id, name FROM users WHERE id IN ({})",
        (0..100)
            .map(|n| n.to_string())
            .collect::<Vec<_>>()
            .join(", ")
    );
    heading("by kind");
    for (name, text) in STATEMENTS.iter().copied().chain([("IN (100)", &*in_list)]) {
        measure(&catalog, name, text);
    }
    heading("of ORMs");
    let mut all: Vec<f64> = orm::STATEMENTS
        .iter()
        .map(|(name, text)| measure(&catalog, name, text))
        .collect();
    all.sort_by(f64::total_cmp);
    let (median, most) = (all[all.len() / 2], all[all.len() - 1]);
    println!("median of ORMs' statements: {median:.2} µs, most {most:.2} µs");
}

/// As many functions and operators of a name as PostgreSQL has.
fn catalog() -> Catalog {
    let mut rows = Rows::empty_database();
    for name in [&"pgbench_accounts"].into_iter().chain(orm::TABLES) {
        rows.table("public", name);
    }
    for (name, arguments, overloads) in [
        ("count", 0, 1),
        ("count", 1, 1),
        ("sum", 1, 8),
        ("max", 1, 23),
        ("lower", 1, 3),
        ("upper", 1, 3),
        ("jsonb_build_object", 4, 1),
        ("row_number", 0, 1),
        ("rank", 0, 1),
    ] {
        for _ in 0..overloads {
            rows.builtin(name, arguments, b'i');
        }
    }
    for name in ["=", "<>", "<", "<=", ">", ">=", "+", "%", "~~"] {
        for _ in 0..60 {
            rows.operator("pg_catalog", name);
        }
    }
    for name in ["text", "timestamp", "timestamptz", "int8"] {
        rows.named_type("pg_catalog", name, b'b');
    }
    Catalog::build(1, rows)
}

fn heading(kind: &str) {
    println!(
        "{kind:<24} {:>6} {:>12} {:>12}",
        "bytes", "analyse µs", "resolve µs"
    );
}

/// Prints what a statement takes; gives the sum.
fn measure(catalog: &Catalog, name: &str, text: &str) -> f64 {
    let path = ["public".into()];
    // Placeholders that a driver writes over.
    let text = text
        .replace('?', "$1")
        .replace("%(name_1)s", "$1")
        .replace("%(param_1)s", "$2");
    let analysis = analyse(&text);
    assert_eq!(analysis.refused, None, "{name}");
    let first = time(|| drop(black_box(analyse(black_box(&text)))));
    let second = time(|| {
        for statement in &analysis.statements {
            drop(black_box(resolve(statement, Some(catalog), &path)));
        }
    });
    println!("{name:<24} {:>6} {first:>12.2} {second:>12.2}", text.len());
    first + second
}

/// The median of batches, in microseconds a call.
fn time(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 200;
    let mut batches: Vec<f64> = (0..101)
        .map(|_| {
            let begun = Instant::now();
            (0..CALLS).for_each(|_| call());
            begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[batches.len() / 2]
}
