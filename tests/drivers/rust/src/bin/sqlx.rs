//! The script for sqlx: named statements, binary values, one row by Execute with a row limit.

use serde_json::{Value, json};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Executor, Row};
use std::io::BufRead;

const POINT: &str = "SELECT id, name FROM items WHERE id = $1";
const MANY: &str = "SELECT id, name FROM items WHERE id > $1 ORDER BY id";
const TYPES: &str = "SELECT id, name, ok, at::text, price::text, raw, extra::text, tags FROM items WHERE id = $1";
const NAME: &str = "SELECT name FROM items WHERE id = $1";
const SCRATCH: &str = "SELECT id, name FROM scratch ORDER BY id";

fn step(name: &str, mut seen: Value) {
    seen["step"] = name.into();
    println!("{seen}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("standard input");
}

fn pairs(rows: &[PgRow]) -> Value {
    let pair = |row: &PgRow| json!([row.get::<i32, _>(0), row.get::<Option<String>, _>(1)]);
    json!({ "rows": rows.iter().map(pair).collect::<Vec<_>>() })
}

fn failed<T>(result: Result<T, sqlx::Error>) -> Value {
    match result {
        Err(sqlx::Error::Database(error)) => json!({ "sqlstate": error.code(), "message": error.message() }),
        _ => json!({ "error": "none" }),
    }
}

fn every_type(row: &PgRow) -> Value {
    json!({ "rows": [[
        row.get::<i32, _>(0), row.get::<Option<String>, _>(1), row.get::<Option<bool>, _>(2), row.get::<Option<String>, _>(3),
        row.get::<Option<String>, _>(4), row.get::<Option<Vec<u8>>, _>(5), row.get::<Option<String>, _>(6),
        row.get::<Option<Vec<Option<String>>>, _>(7),
    ]] })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sqlx::Error> {
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    // It reads PGPASSWORD and PGSSLMODE itself.
    let url = format!("postgres://{}@{}:{}/{}", of("PGUSER"), of("PGHOST"), of("PGPORT"), of("PGDATABASE"));
    let mut db = PgConnection::connect(&url).await?;
    let lock = include_str!("../../Cargo.lock");
    let version = lock.lines().skip_while(|l| *l != "name = \"sqlx\"").nth(1).unwrap_or_default();
    step("connect", json!({ "version": format!("sqlx {}", version.trim_start_matches("version = ").trim_matches('"')) }));
    step("plain point", pairs(&sqlx::query(POINT).bind(3).fetch_all(&mut db).await?));
    step("plain many", pairs(&sqlx::query(MANY).bind(5).fetch_all(&mut db).await?));
    for (name, id) in [("plain types", 2), ("plain nulls", 11)] {
        step(name, every_type(&sqlx::query(TYPES).bind(id).fetch_all(&mut db).await?[0]));
    }
    let unprepared = sqlx::query(POINT).bind(3).persistent(false).fetch_all(&mut db).await?;
    step("plain unprepared", pairs(&unprepared));
    step("plain simple", pairs(&db.fetch_all("SELECT id, name FROM items WHERE id = 3").await?));
    for n in 1..=7 {
        let rows = sqlx::query(NAME).bind(n).fetch_all(&mut db).await?;
        step(&format!("prepared {n}"), json!({ "rows": [[rows[0].get::<Option<String>, _>(0)]] }));
    }
    step("limit one", pairs(&[sqlx::query(POINT).bind(3).fetch_one(&mut db).await?]));
    step("limit first of many", pairs(&[sqlx::query(MANY).bind(5).fetch_one(&mut db).await?]));
    let none = sqlx::query(POINT).bind(-1).fetch_optional(&mut db).await?;
    step("limit none", json!({ "rows": none.is_some() }));
    let mut transaction = db.begin().await?;
    step("begin", json!({}));
    step("transaction point", pairs(&sqlx::query(POINT).bind(3).fetch_all(&mut *transaction).await?));
    let mut nested = transaction.begin().await?;
    step("transaction nested", pairs(&sqlx::query(POINT).bind(4).fetch_all(&mut *nested).await?));
    nested.commit().await?;
    transaction.commit().await?;
    step("commit", json!({}));
    db.ping().await?;
    let wrote = sqlx::query("INSERT INTO scratch VALUES ($1, $2)").bind(1).bind("one").execute(&mut db).await?;
    step("write insert", json!({ "count": wrote.rows_affected() }));
    for name in ["write read", "write again"] {
        step(name, pairs(&sqlx::query(SCRATCH).fetch_all(&mut db).await?));
    }
    let division = sqlx::query("SELECT 1 / (id - $1) FROM items WHERE id = 1").bind(1).fetch_all(&mut db).await;
    step("error division", failed(division));
    let mut transaction = db.begin().await?;
    step("error unique", failed(transaction.execute("INSERT INTO scratch VALUES (1, 'again')").await));
    step("failed transaction", failed(sqlx::query(POINT).bind(3).fetch_all(&mut *transaction).await));
    transaction.rollback().await?;
    step("failed rollback", pairs(&sqlx::query(POINT).bind(3).fetch_all(&mut db).await?));
    let mut transaction = db.begin().await?;
    transaction.execute("INSERT INTO scratch VALUES (2, 'two')").await?;
    let mut nested = transaction.begin().await?;
    step("savepoint error", failed(nested.execute("INSERT INTO scratch VALUES (1, 'again')").await));
    nested.rollback().await?;
    transaction.commit().await?;
    step("savepoint read", pairs(&sqlx::query(SCRATCH).fetch_all(&mut db).await?));
    let wrote = db.execute("DELETE FROM scratch").await?;
    step("clean", json!({ "count": wrote.rows_affected() }));
    db.close().await?;
    step("close", json!({}));
    Ok(())
}
