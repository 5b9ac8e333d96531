//! Real clients: one script each, past Larder and twice through it, with the same outcome for whoever wrote the client.
//!
//! A script prints what it saw (`said`), which must be equal everywhere, and how Larder answered each read (`last`),
//! which must be what the script expects once the first run has filled the cache. So no script changes the schema or
//! runs anything opaque, and each undoes what it wrote. Its other part, `opaque`, does, and is only compared.

use crate::ground::{Ground, SUPERUSER};
use crate::postgres::binaries;
use crate::wireclient::Answered;
use futures_util::SinkExt;
use std::future::poll_fn;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, Stdio};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, IsolationLevel, NoTls, Row, SimpleQueryMessage};

const SCHEMA: &str = r#"
    CREATE TABLE kinds (kind int PRIMARY KEY, label text NOT NULL);
    INSERT INTO kinds VALUES (0, 'none'), (1, 'some'), (2, 'many');
    CREATE TABLE items (id int PRIMARY KEY, kind int NOT NULL REFERENCES kinds, name text, price numeric(10, 2), since date,
        at timestamptz, tags text[], extra jsonb, raw bytea, ok boolean, big bigint, ratio float8, code uuid, span interval);
    INSERT INTO items SELECT n, n % 3, 'it''s \ ' || n, n * 1.25, date '2024-01-01' + n,
        timestamptz '2024-01-01 12:00:00+00' + n * interval '1 hour', ARRAY['a', n::text, NULL], jsonb_build_object('n', n),
        decode(lpad(n::text, 4, '0'), 'hex'), n % 2 = 0, n * 10000000000, n / 8.0,
        lpad(n::text, 32, '0')::uuid, n * interval '1 day' FROM generate_series(1, 10) n;
    INSERT INTO items (id, kind) VALUES (11, 0);
    CREATE TABLE scratch (id int PRIMARY KEY, name text, amount int);
    CREATE VIEW named AS SELECT id, name, label FROM items JOIN kinds USING (kind);
    CREATE FUNCTION by_name(wanted text) RETURNS int STABLE LANGUAGE sql AS 'SELECT id FROM items WHERE name = wanted'"#;

/// What one run printed.
#[derive(Default)]
struct Report {
    said: Vec<String>,
    outcomes: Vec<Outcome>,
}

/// How Larder answered a read, and how it should once the cache is warm.
struct Outcome {
    label: String,
    word: String,
    expected: String,
}

impl Report {
    fn say(&mut self, label: &str, value: impl std::fmt::Debug) {
        self.said.push(format!("{label}: {value:?}"));
    }

    /// Reads a script's lines: what begins with `last` and a tab is an outcome.
    fn of_lines(printed: &str) -> Self {
        let mut report = Self::default();
        for line in printed.lines() {
            let fields: Vec<_> = line.split('\t').collect();
            if let ["last", label, word, expected] = fields[..] {
                let [label, word, expected] = [label, word, expected].map(str::to_owned);
                report.outcomes.push(Outcome {
                    label,
                    word,
                    expected,
                });
            } else {
                report.said.push(line.to_owned());
            }
        }
        report
    }

    /// What was not answered as it should be.
    fn wrong(&self) -> Vec<String> {
        let wrong = |o: &&Outcome| o.expected != "None" && o.word != o.expected;
        let wrong = self.outcomes.iter().filter(wrong);
        wrong
            .map(|o| format!("{}: {}, expected {}", o.label, o.word, o.expected))
            .collect()
    }

    /// Reads what psql printed: a line that begins with `?` says what the next one should be.
    fn of_psql(printed: &str) -> Self {
        let mut report = Self::default();
        let mut lines = printed.lines();
        while let Some(line) = lines.next() {
            if let Some(expected) = line.strip_prefix("? ") {
                report.outcomes.push(Outcome {
                    label: format!("read {}", report.outcomes.len() + 1),
                    word: lines.next().unwrap_or_default().to_owned(),
                    expected: expected.to_owned(),
                });
            } else {
                report.said.push(line.to_owned());
            }
        }
        report
    }
}

/// How many warm runs there are at most.
const WARM_RUNS: usize = 4;

/// Runs a script past Larder and some times through it, then its other part past and through; it gets the port and the words
/// `larder` and `opaque` where they apply.
fn compare(ground: &Ground, client: &str, run: impl Fn(u16, &[&str]) -> Report) {
    ground.warm("items");
    let direct = run(ground.port, &[]);
    assert!(direct.said.len() > 9, "{client}: {:?}", direct.said);
    let cold = run(ground.larder.port, &["larder"]);
    same(&format!("{client}, cold"), &direct, &cold);
    let misses = |report: &Report| report.outcomes.iter().filter(|o| o.word == "miss").count();
    // A client that sends Close and Sync and does not wait for their answer gets no hit before that has come: how many
    // it meets is a matter of time. So one warm run of a few must have all that are expected, and each the same answers.
    let mut wrong = Vec::new();
    for _ in 0..WARM_RUNS {
        let warm = run(ground.larder.port, &["larder"]);
        same(&format!("{client}, warm"), &direct, &warm);
        assert!(
            misses(&cold) > misses(&warm),
            "{client}: the first run was not cold"
        );
        wrong = warm.wrong();
        assert!(warm.outcomes.iter().any(|o| o.word == "hit"), "{client}");
        if wrong.is_empty() {
            break;
        }
    }
    assert!(wrong.is_empty(), "{client}:\n{}", wrong.join("\n"));
    let direct = run(ground.port, &["opaque"]);
    let through = run(ground.larder.port, &["larder", "opaque"]);
    same(&format!("{client}, opaque"), &direct, &through);
}

fn same(what: &str, direct: &Report, through: &Report) {
    for (at, expected) in direct.said.iter().enumerate() {
        let got = through.said.get(at);
        assert_eq!(Some(expected), got, "{what}, line {at}");
    }
    let more = &through.said[direct.said.len()..];
    assert!(more.is_empty(), "{what}: {more:?}");
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers/depth")
}

/// Standard output and standard error, as they came, and whether it went well.
fn run(command: &mut Command) -> (String, bool) {
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().expect("a pipe"))
        .stderr(writer);
    let mut child = command.spawn().expect("the client");
    // The command holds the pipe's other end as long as it lives.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut printed = String::new();
    reader.read_to_string(&mut printed).expect("UTF-8");
    (printed, child.wait().expect("our child").success())
}

/// One of PostgreSQL's programs: beside the server's, or where the shell finds it.
pub fn program(name: &str) -> Command {
    let beside = binaries().join(name);
    let mut command = Command::new(if beside.exists() { beside } else { name.into() });
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command
}

fn psql(port: u16, database: &str) -> Command {
    let mut command = program("psql");
    command
        .args(["-X", "-q", "-h", "127.0.0.1", "-U", SUPERUSER])
        .args(["-p", &port.to_string(), "-d", database]);
    command
}

#[test]
fn psql_does_not_notice() {
    let ground = Ground::new("client_psql", SCHEMA);
    compare(&ground, "psql", |port, words| {
        let variable = format!("larder={}", words.contains(&"larder"));
        let script = match words.contains(&"opaque") {
            true => "opaque.psql",
            false => "script.psql",
        };
        let mut command = psql(port, &ground.database);
        command.args(["-v", &variable, "-f"]);
        let (printed, well) = run(command.arg(scripts().join(script)));
        assert!(well, "{printed}");
        Report::of_psql(&printed)
    });
}

/// The total of a column through psql.
fn total(port: u16, database: &str, column: &str, table: &str) -> String {
    let sql = format!("SELECT sum({column}) FROM {table}");
    let (printed, well) = run(psql(port, database).args(["-At", "-c", &sql]));
    assert!(well, "{printed}");
    printed.trim().to_owned()
}

#[test]
fn pgbench_adds_up_in_its_three_modes() {
    let ground = Ground::new("client_pgbench", "");
    let pgbench = |arguments: &[&str]| {
        let mut command = program("pgbench");
        command
            .args(["-n", "-h", "127.0.0.1", "-U", SUPERUSER, "-p"])
            .arg(ground.larder.port.to_string())
            .args(arguments)
            .arg(&ground.database);
        let (printed, well) = run(&mut command);
        assert!(well, "{printed}");
        printed
    };
    // Its own set-up: DROP, CREATE, TRUNCATE and COPY in a transaction, keys.
    pgbench(&["-i", "-q", "-s", "1"]);
    ground.warm("pgbench_accounts");
    let (clients, each, modes) = (4, 100, ["simple", "extended", "prepared"]);
    for mode in modes {
        let run = |script: &str, seed: &str| {
            let seed = format!("--random-seed={seed}");
            let (clients, each) = (clients.to_string(), each.to_string());
            let printed = pgbench(&[
                "-M", mode, "-b", script, "-c", &clients, "-t", &each, "-j", "2", &seed,
            ]);
            assert!(
                printed.contains("actually processed: 400/400"),
                "{mode}: {printed}"
            );
            assert!(
                printed.contains("failed transactions: 0 "),
                "{mode}: {printed}"
            );
        };
        run("tpcb-like", "1");
        // The same accounts in the same order.
        run("select-only", "2");
        let (hits, misses) = (ground.larder.outcome("hit"), ground.larder.outcome("miss"));
        run("select-only", "2");
        // pgbench's own question for the scale comes on top.
        assert!(
            ground.larder.outcome("hit") - hits >= f64::from(clients * each),
            "{mode}"
        );
        assert_eq!(ground.larder.outcome("miss"), misses, "{mode}");
    }
    let columns = [
        ("abalance", "pgbench_accounts"),
        ("bbalance", "pgbench_branches"),
        ("tbalance", "pgbench_tellers"),
        ("delta", "pgbench_history"),
    ];
    let expected = total(ground.port, &ground.database, "delta", "pgbench_history");
    for (column, table) in columns {
        for port in [ground.port, ground.larder.port, ground.larder.port] {
            assert_eq!(
                total(port, &ground.database, column, table),
                expected,
                "{table}"
            );
        }
    }
    let mut direct = ground.direct();
    let transactions = direct.ok("SELECT count(*) FROM pgbench_history").value();
    assert_eq!(transactions, Some((3 * clients * each).to_string()));
}

fn python_script(module: &str, script: &str, database: &str) {
    let Some(python) = crate::runner::python(module) else {
        return crate::tell(&format!(
            "NOT TESTED: Python's {module} is not installed (make deps)"
        ));
    };
    let ground = Ground::new(database, SCHEMA);
    compare(&ground, module, |port, words| {
        let mut command = Command::new(&python);
        command
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("TZ", "UTC")
            .env("LC_ALL", "C.UTF-8")
            .arg(scripts().join(script))
            .arg(crate::ground::upstream(port, database))
            .args(words);
        let (printed, well) = run(&mut command);
        assert!(well, "{printed}");
        Report::of_lines(&printed)
    });
}

#[test]
fn psycopg2_does_not_notice() {
    python_script("psycopg2", "psycopg2_script.py", "client_psycopg2");
}

#[test]
fn psycopg3_does_not_notice() {
    python_script("psycopg", "psycopg3_script.py", "client_psycopg3");
}

#[test]
fn asyncpg_does_not_notice() {
    python_script("asyncpg", "asyncpg_script.py", "client_asyncpg");
}

#[test]
fn tokio_postgres_does_not_notice() {
    let ground = Ground::new("client_tokio", SCHEMA);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    compare(&ground, "tokio-postgres", |port, words| {
        let url = crate::ground::upstream(port, &ground.database);
        runtime.block_on(Rust::script(&url, words))
    });
}

const POINT: &str = "SELECT name, since::text, raw, big FROM items WHERE id = $1";
const SCRATCH: &str = "SELECT id, name, amount FROM scratch ORDER BY id";

/// The script for tokio-postgres.
struct Rust {
    report: Report,
    larder: bool,
}

impl Rust {
    async fn script(url: &str, words: &[&str]) -> Report {
        let mut script = Self {
            report: Report::default(),
            larder: words.contains(&"larder"),
        };
        let (mut client, mut connection) = tokio_postgres::connect(url, NoTls).await.expect(url);
        let (heard, mut notified) = tokio::sync::mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(n) = message {
                    let _closed = heard.send((n.channel().to_owned(), n.payload().to_owned()));
                }
            }
        });
        if words.contains(&"opaque") {
            script.opaque(&client).await;
            drop(client);
            task.await.unwrap();
            return script.report;
        }
        script.reads(&client).await;
        script.transactions(&mut client).await;
        script.copies(&client).await;
        script.pipelines(&client).await;
        // A cancel, and notifications from another connection.
        let token = client.cancel_token();
        let sleep = client.simple_query("SELECT pg_sleep(20)");
        let (slept, _cancelled) = tokio::join!(sleep, async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            token.cancel_query(NoTls).await.expect("a cancel");
        });
        script.report.say("cancelled", failure(slept.map(drop)));
        script.read(&client, "after a cancel", "hit").await;
        client.batch_execute("LISTEN larder_test").await.unwrap();
        let (other, its_connection) = tokio_postgres::connect(url, NoTls).await.expect(url);
        let its_task = tokio::spawn(its_connection);
        other
            .batch_execute("NOTIFY larder_test, 'hello'")
            .await
            .unwrap();
        script.report.say("notified", notified.recv().await);
        drop((client, other));
        task.await.unwrap();
        its_task.await.unwrap().unwrap();
        script.report
    }

    async fn last(&mut self, client: &Client, label: &str, expected: &str) {
        if self.larder {
            let row = client.query_one("SHOW larder.last", &[]).await.unwrap();
            self.report.outcomes.push(Outcome {
                label: label.into(),
                word: row.get(0),
                expected: expected.into(),
            });
        }
    }

    async fn read(&mut self, client: &Client, label: &str, expected: &str) {
        let rows = client.query(POINT, &[&3]).await.map(|r| points(&r));
        self.report.say(label, failure(rows));
        self.last(client, label, expected).await;
    }

    async fn scratch(&mut self, client: &Client, label: &str, expected: &str) {
        let rows = client.query(SCRATCH, &[]).await;
        let rows = rows.map(|rows| rows.iter().map(scratch).collect::<Vec<_>>());
        self.report.say(label, failure(rows));
        self.last(client, label, expected).await;
    }

    async fn reads(&mut self, client: &Client) {
        let point = client.prepare(POINT).await.unwrap();
        let columns: Vec<_> = point
            .columns()
            .iter()
            .map(|c| (c.name(), c.type_().clone()))
            .collect();
        self.report.say("prepared", (point.params(), columns));
        for id in 1..=3 {
            let row = client.query_one(&point, &[&id]).await.unwrap();
            self.report.say("a point", points(&[row]));
            self.last(client, "a point", "hit").await;
        }
        let none = client.query_opt(&point, &[&-1]).await.unwrap();
        self.report.say("no row", none.is_none());
        self.last(client, "no row", "hit").await;
        let typed = client
            .prepare_typed("SELECT id FROM items WHERE kind = $1", &[Type::INT4])
            .await
            .unwrap();
        let rows = client.query(&typed, &[&2]).await.unwrap();
        self.report
            .say("typed", rows.iter().map(|r| r.get(0)).collect::<Vec<i32>>());
        self.last(client, "typed", "hit").await;
        let raw = client
            .query_typed(
                "SELECT tags, ok FROM items WHERE id = $1",
                &[(&4, Type::INT4)],
            )
            .await
            .unwrap();
        self.report.say(
            "unnamed",
            (
                raw[0].get::<_, Vec<Option<String>>>(0),
                raw[0].get::<_, bool>(1),
            ),
        );
        self.last(client, "unnamed", "hit").await;
        let simple = client
            .simple_query("SELECT * FROM items WHERE id < 4 ORDER BY id")
            .await;
        self.report.say("simple", simple.map(texts).unwrap());
        self.last(client, "simple", "hit").await;
        let several = client
            .simple_query("SELECT id FROM items WHERE id = 1; SELECT 2; SELECT 1 / 0")
            .await;
        self.report.say("several", failure(several.map(texts)));
        for sql in ["SELEC", "SELECT nothing FROM items", "SELECT $1::nothing"] {
            self.report
                .say(sql, failure(client.prepare(sql).await.map(|_| ())));
        }
        let divided = client.query("SELECT 1 / (id - $1) FROM items WHERE id = 1", &[&1]);
        self.report
            .say("a division", failure(divided.await.map(|_| ())));
        self.read(client, "after errors", "hit").await;
    }

    /// What raises the whole database.
    async fn opaque(&mut self, client: &Client) {
        let star = client.prepare("SELECT * FROM scratch").await.unwrap();
        for sql in [
            "INSERT INTO scratch VALUES (1, 'one', 10)",
            "ALTER TABLE scratch ADD COLUMN more int DEFAULT 7",
            "DO $$ BEGIN DELETE FROM scratch; END $$",
            "PREPARE get (int) AS SELECT name FROM items WHERE id = $1; EXECUTE get (2)",
            "SELEC 1",
            "ALTER TABLE scratch DROP COLUMN more",
            "SELECT by_name(name) FROM items",
        ] {
            let done = client.simple_query(sql).await.map(texts);
            self.report.say(sql, failure(done));
            let seen = client.simple_query("SELECT * FROM scratch").await;
            self.report.say("seen", failure(seen.map(texts)));
            // Where its result has another shape now PostgreSQL refuses it.
            let prepared = client.query(&star, &[]).await;
            let prepared = prepared.map(|rows| rows.iter().map(scratch).collect::<Vec<_>>());
            self.report.say("prepared before", failure(prepared));
        }
    }

    async fn transactions(&mut self, client: &mut Client) {
        let mut transaction = client.transaction().await.unwrap();
        self.read(transaction.client(), "in a transaction", "hit")
            .await;
        let inner = transaction.transaction().await.unwrap();
        inner
            .execute("INSERT INTO scratch VALUES (1, 'undone', 1)", &[])
            .await
            .unwrap();
        inner.rollback().await.unwrap();
        let arguments: [&(dyn ToSql + Sync); 3] = [&1, &"one", &10];
        let written = transaction
            .execute("INSERT INTO scratch VALUES ($1, $2, $3)", &arguments)
            .await;
        self.report.say("written", written.unwrap());
        self.scratch(transaction.client(), "own row", "bypass: transaction_dirty")
            .await;
        transaction.commit().await.unwrap();
        self.scratch(client, "after the commit", "miss").await;
        self.scratch(client, "and again", "hit").await;
        let transaction = client.transaction().await.unwrap();
        let unique = transaction
            .execute("INSERT INTO scratch VALUES (1, 'again', 0)", &[])
            .await;
        self.report.say("unique", failure(unique));
        let failed = transaction.query(POINT, &[&3]).await;
        self.report
            .say("failed transaction", failure(failed.map(drop)));
        drop(transaction);
        self.read(client, "after the rollback", "hit").await;
        for (level, expected) in [
            (IsolationLevel::ReadCommitted, "hit"),
            (IsolationLevel::Serializable, "bypass: isolation"),
        ] {
            let builder = client.build_transaction().isolation_level(level);
            let transaction = builder.read_only(true).start().await.unwrap();
            self.read(transaction.client(), "at a level", expected)
                .await;
            let refused = transaction.execute("DELETE FROM scratch", &[]).await;
            self.report.say("read only", failure(refused));
            transaction.rollback().await.unwrap();
        }
        let transaction = client.transaction().await.unwrap();
        let portal = transaction
            .bind("SELECT id FROM items ORDER BY id", &[])
            .await
            .unwrap();
        for rows in [4, 4, 0, 4] {
            let rows = transaction.query_portal(&portal, rows).await.unwrap();
            self.report.say(
                "a portal",
                rows.iter().map(|r| r.get(0)).collect::<Vec<i32>>(),
            );
        }
        transaction.commit().await.unwrap();
    }

    async fn copies(&mut self, client: &Client) {
        let mut sink = pin!(
            client
                .copy_in::<_, bytes::Bytes>("COPY scratch FROM STDIN (FORMAT csv)")
                .await
                .unwrap()
        );
        sink.send(bytes::Bytes::from_static(b"2,copied,1\n3,"))
            .await
            .unwrap();
        sink.send(bytes::Bytes::from_static(b"copied,2\n"))
            .await
            .unwrap();
        self.report.say("copy in", sink.finish().await.unwrap());
        self.scratch(client, "what was copied", "miss").await;
        let mut bad = pin!(
            client
                .copy_in::<_, bytes::Bytes>("COPY scratch FROM STDIN")
                .await
                .unwrap()
        );
        bad.send(bytes::Bytes::from_static(b"nonsense\n"))
            .await
            .unwrap();
        self.report.say("a bad copy", failure(bad.finish().await));
        // Dropped, it is given up: CopyFail.
        drop(
            client
                .copy_in::<_, bytes::Bytes>("COPY scratch FROM STDIN")
                .await
                .unwrap(),
        );
        let mut out = pin!(
            client
                .copy_out("COPY (SELECT * FROM scratch ORDER BY id) TO STDOUT")
                .await
                .unwrap()
        );
        let mut copied = Vec::new();
        while let Some(piece) =
            poll_fn(|cx| futures_util::Stream::poll_next(out.as_mut(), cx)).await
        {
            copied.extend_from_slice(&piece.unwrap());
        }
        self.report.say("copy out", String::from_utf8(copied));
        self.scratch(client, "after copies", "hit").await;
        let deleted = client.execute("DELETE FROM scratch WHERE id > $1", &[&0]);
        self.report.say("deleted", deleted.await.unwrap());
    }

    /// Futures polled together are one pipeline.
    async fn pipelines(&mut self, client: &Client) {
        let point = client.prepare(POINT).await.unwrap();
        let ids: [i32; 3] = [1, 2, 5];
        let arguments = ids.map(|id| [id]);
        let [one, two, five] = arguments
            .each_ref()
            .map(|a| client.query_raw(&point, a.iter()));
        let failing = client.simple_query("SELECT 1 / 0");
        let writing = client.execute("INSERT INTO scratch VALUES (1, 'piped', 1)", &[]);
        let wiping = client.execute("DELETE FROM scratch", &[]);
        let all = tokio::join!(one, two, failing, five, writing, wiping);
        for stream in [all.0, all.1, all.3] {
            let mut stream = pin!(stream.unwrap());
            let mut rows = Vec::new();
            while let Some(row) =
                poll_fn(|cx| futures_util::Stream::poll_next(stream.as_mut(), cx)).await
            {
                rows.push(row.unwrap());
            }
            self.report.say("piped", points(&rows));
        }
        self.report.say("failed", failure(all.2.map(drop)));
        self.report.say("written", all.4.unwrap());
        self.report.say("wiped", all.5.is_ok());
        self.read(client, "after a pipeline", "hit").await;
        client.batch_execute("DELETE FROM scratch").await.unwrap();
    }
}

/// What came, or how PostgreSQL refused it.
fn failure<T>(result: Result<T, tokio_postgres::Error>) -> Result<T, String> {
    result.map_err(|error| match error.as_db_error() {
        Some(db) => format!("{db:?}"),
        None => error.to_string(),
    })
}

/// A row of `points`.
type Point = (Option<String>, Option<String>, Option<Vec<u8>>, Option<i64>);

fn points(rows: &[Row]) -> Vec<Point> {
    let point = |row: &Row| (row.get(0), row.get(1), row.get(2), row.get(3));
    rows.iter().map(point).collect()
}

fn scratch(row: &Row) -> (i32, Option<String>, Option<i32>) {
    (row.get(0), row.get(1), row.get(2))
}

fn texts(messages: Vec<SimpleQueryMessage>) -> Vec<String> {
    let text = |message| match message {
        SimpleQueryMessage::Row(row) => {
            let values = (0..row.len()).map(|at| row.get(at).map(str::to_owned));
            format!("{:?}", values.collect::<Vec<_>>())
        }
        SimpleQueryMessage::CommandComplete(rows) => format!("{rows} rows"),
        SimpleQueryMessage::RowDescription(columns) => {
            format!("{:?}", columns.iter().map(|c| c.name()).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    messages.into_iter().map(text).collect()
}
