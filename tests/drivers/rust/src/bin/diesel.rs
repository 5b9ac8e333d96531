//! The script for diesel: libpq's PQprepare and PQexecPrepared, results in binary, two SETs on each connection.

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::result::Error;
use serde_json::{Value, json};
use std::io::BufRead;

diesel::table! {
    items (id) {
        id -> Int4,
        name -> Nullable<Text>,
        ok -> Nullable<Bool>,
        raw -> Nullable<Bytea>,
        tags -> Nullable<Array<Nullable<Text>>>,
    }
}

diesel::table! {
    scratch (id) {
        id -> Int4,
        name -> Nullable<Text>,
    }
}

type Pair = (i32, Option<String>);

fn step(name: &str, mut seen: Value) {
    seen["step"] = name.into();
    println!("{seen}");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).expect("standard input");
}

fn point(db: &mut PgConnection, wanted: i32) -> QueryResult<Value> {
    use crate::items::dsl::{id, items, name};
    let rows: Vec<Pair> = items.filter(id.eq(wanted)).select((id, name)).load(db)?;
    Ok(json!({ "rows": rows }))
}

fn scratches(db: &mut PgConnection) -> QueryResult<Value> {
    let rows: Vec<Pair> = scratch::table.order(scratch::id).load(db)?;
    Ok(json!({ "rows": rows }))
}

fn insert(db: &mut PgConnection, id: i32, name: &str) -> QueryResult<usize> {
    let values = (scratch::id.eq(id), scratch::name.eq(name));
    diesel::insert_into(scratch::table).values(values).execute(db)
}

fn failed<T>(result: QueryResult<T>) -> Value {
    match result {
        Err(Error::DatabaseError(kind, text)) => json!({ "sqlstate": format!("{kind:?}"), "message": text.message() }),
        _ => json!({ "error": "none" }),
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    use crate::items::dsl::{id, items, name};
    let of = |variable: &str| std::env::var(variable).unwrap_or_default();
    let url = format!("postgres://{}@{}:{}/{}", of("PGUSER"), of("PGHOST"), of("PGPORT"), of("PGDATABASE"));
    let db = &mut PgConnection::establish(&url)?;
    let lock = include_str!("../../Cargo.lock");
    let version = lock.lines().skip_while(|l| *l != "name = \"diesel\"").nth(1).unwrap_or_default();
    step("connect", json!({ "version": format!("diesel {}", version.trim_start_matches("version = ").trim_matches('"')) }));
    step("plain point", point(db, 3)?);
    let rows: Vec<Pair> = items.filter(id.gt(5)).order(id).select((id, name)).load(db)?;
    step("plain many", json!({ "rows": rows }));
    type All = (i32, Option<String>, Option<bool>, Option<Vec<u8>>, Option<Vec<Option<String>>>);
    for (label, wanted) in [("plain types", 2), ("plain nulls", 11)] {
        let rows: Vec<All> = items.filter(id.eq(wanted)).load(db)?;
        step(label, json!({ "rows": rows }));
    }
    let rows: Vec<i32> = items.filter(name.eq("it's \\ 2")).select(id).load(db)?;
    step("plain text", json!({ "rows": rows }));
    for n in 1..=7 {
        let rows: Vec<Option<String>> = items.find(n).select(name).load(db)?;
        step(&format!("prepared {n}"), json!({ "rows": rows }));
    }
    db.transaction(|db| {
        step("transaction point", point(db, 3)?);
        db.transaction(|db| {
            step("transaction nested", point(db, 4)?);
            QueryResult::Ok(())
        })
    })?;
    step("commit", json!({}));
    step("write insert", json!({ "count": insert(db, 1, "one")? }));
    step("write read", scratches(db)?);
    step("write again", scratches(db)?);
    step("error division", failed(db.batch_execute("SELECT 1 / (id - id) FROM items")));
    let _rolled_back: QueryResult<()> = db.transaction(|db| {
        step("error unique", failed(insert(db, 1, "again")));
        step("failed transaction", failed(point(db, 3)));
        Err(Error::RollbackTransaction)
    });
    step("failed rollback", point(db, 3)?);
    db.transaction(|db| {
        insert(db, 2, "two")?;
        step("savepoint error", failed(db.transaction(|db| insert(db, 1, "again"))));
        QueryResult::Ok(())
    })?;
    step("savepoint read", scratches(db)?);
    step("clean", json!({ "count": diesel::delete(scratch::table).execute(db)? }));
    step("close", json!({}));
    Ok(())
}
