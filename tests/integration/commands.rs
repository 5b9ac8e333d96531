//! `larder explain` and `larder check`: from the shell, against a real PostgreSQL, without a running Larder.

use crate::ground::{Ground, create_database, create_database_on, server_port, upstream};
use crate::larder::free_port;
use crate::postgres::Options;
use serde_json::Value;
use std::process::{Command, Stdio};

const SCHEMA: &str = "CREATE TABLE items (id int PRIMARY KEY, name text); \
    CREATE SCHEMA other; CREATE TABLE other.items (id int); \
    CREATE VIEW lucky AS SELECT name, random() FROM items; \
    CREATE TABLE secret (id int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY; \
    CREATE UNLOGGED TABLE scratch (id int); \
    CREATE TABLE audited (id int); \
    CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
    CREATE TRIGGER audit BEFORE INSERT ON audited FOR EACH ROW EXECUTE FUNCTION audit(); \
    CREATE FUNCTION mine(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1'";

/// What a command says: exit code, standard output, standard error.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn larder(upstream: &str, arguments: &[&str]) -> Said {
    larder_with(upstream, &[], arguments)
}

fn larder_with(upstream: &str, settings: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LARDER_")) {
        command.env_remove(name);
    }
    let said = command
        .current_dir("/")
        .env("LARDER_UPSTREAM__URL", upstream)
        .envs(settings.iter().copied())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    Said {
        code: said.status.code(),
        out: String::from_utf8(said.stdout).expect("text"),
        err: String::from_utf8(said.stderr).expect("text"),
    }
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}{}", self.out, self.err))
    }

    /// The findings about that: level and words.
    fn about(&self, subject: &str) -> Vec<(String, String)> {
        let json = self.json();
        let all = json["findings"].as_array().expect("a list").iter();
        let all = all.filter(|finding| finding["subject"] == subject);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        all.map(|finding| (text(&finding["level"]), text(&finding["found"])))
            .collect()
    }

    fn level(&self, subject: &str) -> String {
        let found = self.about(subject);
        let [(level, _)] = &found[..] else {
            panic!("{subject}: {found:?}")
        };
        level.clone()
    }
}

#[test]
fn explain_needs_no_running_larder_and_runs_nothing() {
    create_database("commands_explain", SCHEMA);
    let url = upstream(server_port(), "commands_explain");
    let read = larder(&url, &["explain", "SELECT name FROM items WHERE id = $1"]);
    let lines: Vec<_> = read.out.lines().collect();
    assert_eq!((read.code, &*read.err), (Some(0), ""), "{}", read.out);
    assert_eq!(lines[0], "Larder: cacheable (is kept 10 s: cache.ttl)");
    assert_eq!(lines[1], "  Reads: public.items (named in the statement)");
    let json = larder(
        &url,
        &["explain", "--json", "--ttl", "3s", "SELECT * FROM lucky"],
    )
    .json();
    assert_eq!(json["larder"], "bypass");
    assert_eq!(json["reasons"][0]["reason"], "opaque_view");
    assert_eq!(
        json["reasons"][0]["object"],
        "view public.lucky: its function random()"
    );
    // It may be any statement, the form of the session's own included.
    for (sql, expected) in [
        (
            "EXPLAIN (LARDER) SELECT name FROM items",
            "Larder: cacheable",
        ),
        ("TRUNCATE items", "Larder: write"),
        ("DROP TABLE items", "Larder: write"),
        ("SELEC 1", "Larder: bypass - unparsable"),
        ("SELECT mine(1)", "Larder: bypass - no_relation"),
        ("BEGIN", "Larder: other"),
    ] {
        let said = larder(&url, &["explain", sql]);
        assert!(
            said.out.starts_with(expected),
            "{sql}: {}{}",
            said.out,
            said.err
        );
        assert_eq!(said.code, Some(0), "{sql}");
    }
    let count = "SELECT to_regclass('items')";
    let mut direct =
        crate::wireclient::Login::new(server_port(), "postgres", "commands_explain").connect();
    use crate::wireclient::Answered;
    assert_eq!(direct.query(count).value().as_deref(), Some("items"));
}

#[test]
fn explain_asks_as_another_session_would() {
    create_database("commands_session", SCHEMA);
    let url = upstream(server_port(), "commands_session");
    let reads = |arguments: &[&str]| {
        let all = [&["explain", "--json", "SELECT * FROM items"], arguments].concat();
        let json = larder(&url, &all).json();
        let reads = json["reads"].as_array().expect("a list").iter();
        reads
            .map(|read| read["relation"].as_str().expect("a name").to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(reads(&[]), ["public.items"]);
    assert_eq!(reads(&["--set", "search_path=other"]), ["other.items"]);
    assert_eq!(
        reads(&[
            "--role",
            "pg_monitor",
            "--set",
            "search_path=\"$user\", other"
        ]),
        ["other.items"]
    );
    let off = larder(
        &url,
        &[
            "explain",
            "--set",
            "larder.cache=off",
            "SELECT * FROM items",
        ],
    );
    assert!(off.out.starts_with("Larder: bypass - hint"), "{}", off.out);
    for (arguments, code, words) in [
        (["--set", "nothing"], 2, "must be name=value"),
        (["--role", "nobody_is_called_this"], 1, "does not exist"),
        (["--set", "work_mem=much"], 1, "invalid value"),
    ] {
        let said = larder(
            &url,
            &[&["explain"][..], &arguments, &["SELECT 1"]].concat(),
        );
        assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.err);
        assert!(
            said.err.contains(words) && said.out.is_empty(),
            "{}",
            said.err
        );
    }
}

#[test]
fn what_cannot_be_asked_says_so_without_secrets() {
    let url = format!("postgres://app:s3cret@127.0.0.1:{}/app", free_port());
    let explained = larder(&url, &["explain", "SELECT 1"]);
    assert_eq!(explained.code, Some(1));
    assert!(explained.err.contains("refused"), "{}", explained.err);
    let checked = larder(&url, &["check", "--json"]);
    assert_eq!(checked.code, Some(1));
    assert_eq!(checked.level("upstream"), "failure");
    let text = larder(&url, &["check"]);
    assert!(text.out.contains("FAILURE  upstream: "), "{}", text.out);
    for said in [&explained, &checked, &text] {
        assert!(!format!("{}{}", said.out, said.err).contains("s3cret"));
    }
    let wrong = larder(&url, &["check", "--ttl", "soon"]);
    assert_eq!((wrong.code, &*wrong.out), (Some(2), ""), "{}", wrong.err);
    let tls = [
        ("LARDER_TLS__MODE", "require"),
        ("LARDER_TLS__CERTIFICATE", "/no/such"),
        ("LARDER_TLS__KEY", "/no/such"),
    ];
    let tls = larder_with(&url, &tls, &["check", "--json"]);
    assert_eq!((tls.code, &*tls.level("tls")), (Some(1), "failure"));
}

#[test]
fn check_tells_what_will_work() {
    create_database("commands_check", SCHEMA);
    let url = upstream(server_port(), "commands_check");
    let said = larder(&url, &["check", "--json"]);
    assert_eq!((said.code, &*said.err), (Some(0), ""), "{}", said.out);
    for subject in [
        "configuration",
        "clients",
        "upstream",
        "tls",
        "pooler",
        "server",
        "recovery",
        "privileges",
        "locks",
    ] {
        assert_eq!(
            said.level(subject),
            "ok",
            "{subject}: {:?}",
            said.about(subject)
        );
    }
    let reads = said.about("reads");
    for expected in [
        "of 6 tables and views 4 can be read from memory",
        "row_security: a table with row-level security (table public.secret)",
        "(view public.lucky: its function random())",
    ] {
        assert!(
            reads.iter().any(|(_, found)| found.contains(expected)),
            "{expected}: {reads:?}"
        );
    }
    let writes = said.about("writes");
    assert!(
        writes[0]
            .1
            .contains("public.audited has a trigger whose function public.audit()"),
        "{writes:?}"
    );
    assert!(
        said.about("unlogged tables")[0]
            .1
            .contains("public.scratch")
    );
    assert!(
        said.about("functions")[0]
            .1
            .starts_with("1 of users (0 of them volatile)"),
        "{:?}",
        said.about("functions")
    );
    // Every finding that is no ok in text, too, each with its remedy below.
    let text = larder(&url, &["check"]).out;
    assert!(
        text.contains("note     outside writes: ") && text.contains("         -> "),
        "{text}"
    );
    assert!(text.ends_with("0 failures, 0 warnings\n"), "{text}");
    let off = larder_with(&url, &[("LARDER_CACHE__MODE", "off")], &["check", "--json"]);
    assert_eq!((off.code, &*off.level("mode")), (Some(0), "warning"));
    let open = [
        ("LARDER_LISTEN__ADDRESS", "0.0.0.0:6432"),
        ("LARDER_CACHE__MEMORY", "100TB"),
    ];
    let open = larder_with(&url, &open, &["check", "--json"]);
    assert_eq!(
        (&*open.level("clients"), &*open.level("memory")),
        ("warning", "warning")
    );
}

#[test]
fn check_finds_what_stands_in_the_way() {
    let server = Options::new()
        .set("idle_session_timeout", "1h")
        .set("max_connections", "15")
        .start();
    create_database_on(
        server.port(),
        "commands_hindered",
        "CREATE TABLE items (id int)",
    );
    let mut admin =
        crate::wireclient::Login::new(server.port(), "postgres", "commands_hindered").connect();
    admin.ok("CREATE ROLE plain LOGIN; ALTER ROLE plain SET statement_timeout = '5s'");
    admin.ok("CREATE ROLE app; ALTER ROLE app SET idle_in_transaction_session_timeout = '1s'");
    admin.ok("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    admin.ok("ALTER DATABASE commands_hindered SET default_transaction_isolation = 'serializable'");
    let url = format!(
        "postgres://plain@127.0.0.1:{}/commands_hindered",
        server.port()
    );
    let pool = [
        ("LARDER_POOL__MODE", "transaction"),
        ("LARDER_POOL__POOL_SIZE", "30"),
    ];
    let said = larder_with(&url, &pool, &["check", "--json"]);
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    for subject in ["privileges", "connections", "isolation"] {
        assert_eq!(said.level(subject), "warning", "{subject}");
    }
    assert_eq!(said.level("lost backends"), "note");
    let timeouts = said.about("time-outs");
    for expected in [
        "statement_timeout = 5s for Larder's role",
        "idle_session_timeout = 1h",
        "idle_in_transaction_session_timeout = 1s for role app",
    ] {
        assert!(
            timeouts.iter().any(|(_, found)| found.contains(expected)),
            "{expected}: {timeouts:?}"
        );
    }
    // A Larder that runs is seen.
    let ground = Ground::new("commands_running", "CREATE TABLE items (id int)");
    ground.warm("items");
    let said = larder(
        &upstream(ground.port, &ground.database),
        &["check", "--json"],
    );
    assert_ne!(said.level("other Larders"), "ok");
}
