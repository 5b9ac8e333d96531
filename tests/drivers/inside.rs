//! The scripts that are part of this program: tokio-postgres, and Npgsql's bytes.
//!
//! Npgsql itself cannot be had here: what it sends was written down from its source (the type-loading query is the shape of
//! it, not the whole), and is sent by the wire client of these tests.

use crate::runner::Talk;
use crate::wireclient::{Answered, Batch, Bind, Client, Transcript};
use serde_json::{Value, json};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{NoTls, Row, SimpleQueryMessage};

const POINT: &str = "SELECT id, name FROM items WHERE id = $1";
const MANY: &str = "SELECT id, name FROM items WHERE id > $1 ORDER BY id";
const TYPES: &str =
    "SELECT id, name, ok, at::text, price::text, raw, extra::text, tags FROM items WHERE id = $1";
const NAME: &str = "SELECT name FROM items WHERE id = $1";
const SCRATCH: &str = "SELECT id, name FROM scratch ORDER BY id";

/// A parameter and its type.
type Typed<'a> = (&'a (dyn ToSql + Sync), Type);

/// tokio-postgres: named statements (the unnamed one by `query_typed`), binary values, portals with a row limit.
pub fn tokio_postgres(talk: Talk) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async move {
        let url = talk.target.url();
        let (mut client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a login");
        let connection = tokio::spawn(connection);
        let talk = rust_script(&mut client, talk).await;
        drop(client);
        let _ended = connection.await;
        drop(talk);
    });
}

fn pairs(rows: &[Row]) -> Value {
    let pair = |row: &Row| json!([row.get::<_, i32>(0), row.get::<_, Option<String>>(1)]);
    json!({ "rows": rows.iter().map(pair).collect::<Vec<_>>() })
}

fn failed<T: std::fmt::Debug>(result: Result<T, tokio_postgres::Error>) -> Value {
    let error = result.expect_err("an error");
    json!({ "sqlstate": error.code().map(|c| c.code().to_owned()), "message": error.as_db_error().map(|e| e.message().to_owned()) })
}

fn every_type(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        json!([
            row.get::<_, i32>(0),
            row.get::<_, Option<String>>(1),
            row.get::<_, Option<bool>>(2),
            row.get::<_, Option<String>>(3),
            row.get::<_, Option<String>>(4),
            row.get::<_, Option<Vec<u8>>>(5),
            row.get::<_, Option<String>>(6),
            row.get::<_, Option<Vec<Option<String>>>>(7),
        ])
    };
    json!({ "rows": rows.iter().map(row).collect::<Vec<_>>() })
}

async fn rust_script(client: &mut tokio_postgres::Client, mut talk: Talk) -> Talk {
    talk.step("connect", json!({ "version": version("tokio-postgres") }));
    let rows = client.query(POINT, &[&3]).await.unwrap();
    talk.step("plain point", pairs(&rows));
    let rows = client.query_typed(POINT, &[(&3, Type::INT4)]).await;
    talk.step("plain typed", pairs(&rows.unwrap()));
    let rows = client.query(MANY, &[&5]).await.unwrap();
    talk.step("plain many", pairs(&rows));
    for (name, id) in [("plain types", 2), ("plain nulls", 11)] {
        let rows = client.query(TYPES, &[&id]).await.unwrap();
        talk.step(name, every_type(&rows));
    }
    let simple = client.simple_query("SELECT id FROM items WHERE id = 3");
    let rows = simple.await.unwrap().into_iter().filter_map(|m| match m {
        SimpleQueryMessage::Row(row) => Some(json!([row.get(0)])),
        _ => None,
    });
    let rows: Vec<_> = rows.collect();
    talk.step("plain simple", json!({ "rows": rows }));
    let prepared = client.prepare(NAME).await.unwrap();
    talk.step("prepare", json!({}));
    for n in 1..8 {
        let row = client.query_one(&prepared, &[&n]).await.unwrap();
        let rows = json!({ "rows": [[row.get::<_, Option<String>>(0)]] });
        talk.step(&format!("prepared {n}"), rows);
    }
    let transaction = client.transaction().await.unwrap();
    talk.step("begin", json!({}));
    let rows = transaction.query(POINT, &[&3]).await.unwrap();
    talk.step("transaction point", pairs(&rows));
    transaction.query_one(&prepared, &[&2]).await.unwrap();
    talk.step("transaction prepared", json!({ "rows": [] }));
    let many = transaction.prepare(MANY).await.unwrap();
    let portal = transaction.bind(&many, &[&5]).await.unwrap();
    let mut rows = Vec::new();
    loop {
        let piece = transaction.query_portal(&portal, 2).await.unwrap();
        let end = piece.is_empty();
        rows.extend(piece);
        if end {
            break;
        }
    }
    talk.step("limit portal", pairs(&rows));
    drop(portal);
    transaction.commit().await.unwrap();
    talk.step("commit", json!({}));
    let (one, two): (&[Typed<'_>], &[Typed<'_>]) = (&[(&1, Type::INT4)], &[(&2, Type::INT4)]);
    let piped = tokio::join!(
        client.query_typed(POINT, one),
        client.query_typed(POINT, two)
    );
    let mut rows = piped.0.unwrap();
    rows.extend(piped.1.unwrap());
    talk.step("plain pipeline", pairs(&rows));
    rust_writes(client, &mut talk).await;
    talk
}

async fn rust_writes(client: &mut tokio_postgres::Client, talk: &mut Talk) {
    let insert = "INSERT INTO scratch VALUES ($1, $2)";
    let wrote = client.execute(insert, &[&1, &"one"]).await.unwrap();
    talk.step("write insert", json!({ "tag": wrote }));
    for name in ["write read", "write again"] {
        let rows = client.query(SCRATCH, &[]).await.unwrap();
        talk.step(name, pairs(&rows));
    }
    let division = "SELECT 1 / (id - $1) FROM items WHERE id = 1";
    let error = client.query(division, &[&1]).await;
    talk.step("error division", failed(error));
    let transaction = client.transaction().await.unwrap();
    let error = transaction.execute(insert, &[&1, &"again"]).await;
    talk.step("error unique", failed(error));
    let error = transaction.query_typed(POINT, &[(&3, Type::INT4)]).await;
    talk.step("failed transaction", failed(error));
    transaction.rollback().await.unwrap();
    let rows = client.query(POINT, &[&3]).await.unwrap();
    talk.step("failed rollback", pairs(&rows));
    let mut transaction = client.transaction().await.unwrap();
    transaction.execute(insert, &[&2, &"two"]).await.unwrap();
    let nested = transaction.transaction().await.unwrap();
    let error = nested.execute(insert, &[&1, &"again"]).await;
    talk.step("savepoint error", failed(error));
    nested.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    let rows = client.query(SCRATCH, &[]).await.unwrap();
    talk.step("savepoint read", pairs(&rows));
    let wrote = client.execute("DELETE FROM scratch", &[]).await.unwrap();
    talk.step("clean", json!({ "tag": wrote }));
}

/// A crate's version, from the lock file of this build.
fn version(name: &str) -> String {
    let lock = include_str!("../../Cargo.lock");
    let mut lines = lock.lines();
    let wanted = format!("name = \"{name}\"");
    lines.find(|line| *line == wanted);
    let version = lines.next().unwrap_or_default();
    format!(
        "{name} {}",
        version.trim_start_matches("version = ").trim_matches('"')
    )
}

/// Npgsql's connection string opens a data source: version and types once, then commands; a pooled connection's reset is
/// prepended to the next command, BEGIN to the transaction's first.
pub fn npgsql(mut talk: Talk) {
    let login = talk.target.login().parameter("client_encoding", "UTF8");
    let mut client = login.connect();
    let loading = "SELECT version();";
    let version = client.query(loading);
    talk.step(
        "connect",
        json!({ "version": "replayed (Npgsql 10)", "server": version.value() }),
    );
    let types = client.query(NPGSQL_TYPES);
    talk.step("types loaded", json!({ "count": types.rows().len() }));
    for (name, sql, id) in [
        ("point", POINT, 3),
        ("many", MANY, 5),
        ("types", NPGSQL_ROW, 2),
        ("nulls", NPGSQL_ROW, 11),
    ] {
        let seen = client.run(npgsql_command("", sql, id).sync());
        talk.step(&format!("plain {name}"), read(&seen));
    }
    // Max Auto Prepare: named at the fifth use, then Bind and Execute alone.
    let parse = Batch::new()
        .parse("_auto0", NAME, &[23])
        .describe_statement("_auto0")
        .sync();
    let seen = client.run(parse);
    talk.step("prepare", json!({ "tags": seen.tags() }));
    for n in 1..8 {
        let seen = client.run(npgsql_bind(Batch::new(), "_auto0", n).execute("", 0).sync());
        talk.step(&format!("prepared {n}"), read(&seen));
    }
    let begin = Batch::new().query("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED");
    client.send(Batch(
        [begin.0, npgsql_command("", POINT, 3).sync().0].concat(),
    ));
    let seen = client.until_ready_times(2);
    talk.step("transaction point", read(&seen));
    let seen = client.run(npgsql_command("", MANY, 5).sync());
    talk.step("transaction many", read(&seen));
    let seen = client.query("COMMIT");
    talk.step("commit", json!({ "tags": seen.tags() }));
    // CommandBehavior.SingleRow.
    let limited = Batch::new().parse("", MANY, &[23]);
    let limited = npgsql_bind(limited, "", 5)
        .describe_portal("")
        .execute("", 1)
        .sync();
    let seen = client.run(limited);
    talk.step("limit single row", read(&seen));
    npgsql_writes(&mut client, &mut talk);
    // Back from the pool: the reset goes with the next command.
    let reset = Batch::new().query("DISCARD ALL");
    client.send(Batch(
        [reset.0, npgsql_command("", POINT, 3).sync().0].concat(),
    ));
    let seen = client.until_ready_times(2);
    talk.step("reset read", read(&seen));
    client.send(Batch::new().terminate());
    assert!(client.closed());
}

fn npgsql_writes(client: &mut Client, talk: &mut Talk) {
    let mut say = |name: &str, seen: Transcript| {
        let error =
            json!({ "tags": seen.tags(), "tag": seen.complete(), "sqlstate": seen.sqlstate() });
        talk.step(name, error);
    };
    let insert = |id: i32| {
        let text = format!("INSERT INTO scratch VALUES ({id}, 'row {id}')");
        Batch::new().unnamed(&text, &[]).sync()
    };
    say("write insert", client.run(insert(1)));
    let scratch = || Batch::new().unnamed(SCRATCH, &[]).sync();
    for name in ["write read", "write again"] {
        let seen = client.run(scratch());
        say(name, seen);
    }
    say(
        "error division",
        client.extended("SELECT 1 / (id - id) FROM items", &[]),
    );
    client.query("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED");
    say("error unique", client.run(insert(1)));
    say(
        "failed transaction",
        client.run(npgsql_command("", POINT, 3).sync()),
    );
    say("failed rollback", client.query("ROLLBACK"));
    client.query("BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED");
    client.run(insert(2));
    client.query("SAVEPOINT here");
    say("savepoint error", client.run(insert(1)));
    client.query("ROLLBACK TO SAVEPOINT here");
    say("savepoint commit", client.query("COMMIT"));
    say("savepoint read", client.run(scratch()));
    say("clean", client.extended("DELETE FROM scratch", &[]));
}

/// Parse, Bind, Describe, Execute: an int parameter and every result in binary.
fn npgsql_command(statement: &str, sql: &str, id: i32) -> Batch {
    let parse = Batch::new().parse(statement, sql, &[23]);
    npgsql_bind(parse, statement, id)
        .describe_portal("")
        .execute("", 0)
}

fn npgsql_bind(batch: Batch, statement: &str, id: i32) -> Batch {
    batch.bind(Bind {
        statement,
        formats: &[1],
        params: &[Some(&id.to_be_bytes())],
        results: &[1],
        ..Bind::default()
    })
}

fn read(seen: &Transcript) -> Value {
    json!({ "rows": seen.rows(), "tags": seen.tags(), "tag": seen.complete(), "sqlstate": seen.sqlstate() })
}

const NPGSQL_ROW: &str =
    "SELECT id, name, ok, at, price, raw, extra, tags FROM items WHERE id = $1";

const NPGSQL_TYPES: &str = "\
SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid
FROM (
    SELECT typ.oid, typ.typnamespace, typ.typname, typ.typtype, typ.typrelid, typ.typnotnull, typ.relkind,
        elemtyp.oid AS elemtypoid, elemtyp.typname AS elemtypname, elemcls.relkind AS elemrelkind
    FROM (
        SELECT typ.oid, typnamespace, typname, typrelid, typnotnull, relkind, typelem AS elemoid,
            CASE WHEN proc.proname='array_recv' THEN 'a' ELSE typ.typtype END AS typtype
        FROM pg_type AS typ
        LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid)
        LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive
    ) AS typ
    LEFT JOIN pg_type AS elemtyp ON elemtyp.oid = elemoid
    LEFT JOIN pg_class AS elemcls ON (elemcls.oid = elemtyp.typrelid)
) AS t
JOIN pg_namespace AS ns ON (ns.oid = typnamespace)
WHERE typtype IN ('b', 'r', 'm', 'e', 'd')
ORDER BY t.oid;";
