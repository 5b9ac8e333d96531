//! The page, `/status` and the calls that change something; `larder top` and `larder report`, which ask the same listener.

use crate::ground::{Ground, eventually, until_hit};
use crate::wireclient::{Answered, Client, PATIENCE};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const SCHEMA: &str = "CREATE TABLE items (id int PRIMARY KEY, name text, price int);
    INSERT INTO items SELECT g, 'n' || g, g FROM generate_series(1, 500) g;
    CREATE TABLE orders (id serial PRIMARY KEY, item int REFERENCES items, placed timestamptz DEFAULT now());
    CREATE FUNCTION mine(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT count(*)::int FROM items WHERE id <= $1'";

const READ: &str = "SELECT name FROM items WHERE id = 7";

const TOKEN: &str = "s3cret-t0ken";

/// What a client may send as the name of a column.
const HOSTILE: &str =
    "SELECT name AS \"<img src=x onerror=alert(1)>\u{1b}[31m\u{202e}\" FROM items WHERE id = 1";

fn ground(name: &str) -> Ground {
    Ground::with(name, SCHEMA, |setup| setup.set("ADMIN__TOKEN", TOKEN))
}

/// One request as it stands; status, head and body.
fn raw(ground: &Ground, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", ground.larder.admin)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

fn ask(ground: &Ground, method: &str, path: &str, more: &str) -> (u16, String, String) {
    raw(
        ground,
        &format!("{method} {path} HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n{more}\r\n"),
    )
}

fn post(ground: &Ground, path: &str, token: &str, body: &str) -> (u16, String) {
    let more = format!(
        "Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let request = format!("POST {path} HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n{more}");
    let (status, _, body) = raw(ground, &request);
    (status, body)
}

fn status(ground: &Ground, query: &str) -> Value {
    let (code, _, body) = ask(ground, "GET", &format!("/status{query}"), "");
    assert_eq!(code, 200);
    serde_json::from_str(&body).unwrap()
}

/// A command of this build that asks this Larder.
fn larder(ground: &Ground, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_larder"))
        .args(arguments)
        .args(["--admin", &format!("127.0.0.1:{}", ground.larder.admin)])
        .current_dir("/")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Statements of every outcome, hostile ones among them.
fn traffic(ground: &Ground) -> Client {
    let mut client = ground.through();
    until_hit(&mut client, READ);
    for sql in [
        READ,
        HOSTILE,
        "SELECT mine(3)",
        "SELECT 1",
        "INSERT INTO orders (item) VALUES (1)",
        "SELECT count(*) FROM orders",
    ] {
        client.ok(sql);
    }
    client
}

#[test]
fn status_says_what_was_asked_and_nothing_that_was_a_value() {
    let ground = ground("page_status");
    let _client = traffic(&ground);
    let told = status(&ground, "");
    for (name, keys) in [
        (
            "larder",
            &["version", "uptime_seconds", "mode", "paused", "phase"][..],
        ),
        (
            "cache",
            &[
                "hits",
                "misses",
                "bypasses",
                "writes",
                "others",
                "bytes",
                "limit_bytes",
                "entries",
            ],
        ),
    ] {
        for key in keys {
            assert!(!told[name][key].is_null(), "{name}.{key} in {told:#}");
        }
    }
    for name in [
        "queries", "report", "tables", "reasons", "sources", "rules", "pools", "memory",
    ] {
        assert!(
            told[name].as_array().is_some_and(|rows| !rows.is_empty()),
            "{name} in {told:#}"
        );
    }
    let queries = told["queries"].as_array().unwrap();
    let read = queries
        .iter()
        .find(|row| row["query"] == "SELECT name FROM items WHERE id = ?");
    let read = read.unwrap_or_else(|| panic!("{told:#}"));
    assert!(
        read["hits"].as_u64().unwrap() >= 2 && read["entries"] == 1,
        "{read}"
    );
    assert_eq!(
        status(&ground, "?statements=1")["queries"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // Whatever else is asked for is the default, not an error of the process.
    for query in [
        "?statements=",
        "?statements=-1",
        "?statements=99999999999999999999999",
        "?x",
        "?",
    ] {
        assert!(
            status(&ground, query)["queries"].as_array().unwrap().len() > 1,
            "{query}"
        );
    }
}

#[test]
fn the_page_comes_with_its_headers_and_is_small() {
    let ground = ground("page_headers");
    let mut size = 0;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page.css", "text/css; charset=utf-8"),
        ("/page.js", "text/javascript; charset=utf-8"),
    ] {
        let (code, head, body) = ask(&ground, "GET", path, "");
        assert_eq!(code, 200, "{path}");
        size += body.len();
        for header in [
            &format!("content-type: {kind}"),
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'",
            "cache-control: no-cache",
        ] {
            assert!(head.contains(header), "{path}: {header} in {head}");
        }
        let tag = head
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap();
        let (code, _, body) = ask(&ground, "GET", path, &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((code, &*body), (304, ""), "{path}");
        let (code, head, body) = ask(&ground, "HEAD", path, "");
        assert_eq!((code, &*body), (200, ""), "{path}");
        assert!(!head.contains("content-length: 0"), "{head}");
    }
    assert!(size > 10 << 10 && size <= 200 << 10, "{size} bytes");
    let (_, head, _) = ask(&ground, "GET", "/status", "Origin: http://evil.example\r\n");
    assert!(
        head.contains("cache-control: no-store") && !head.contains("access-control"),
        "{head}"
    );
}

/// A page of somebody else's that is open in an operator's browser must not be able to change anything.
#[test]
fn nothing_changes_without_the_token_or_by_another_method() {
    let ground = ground("page_token");
    let mut client = ground.through();
    until_hit(&mut client, READ);
    for path in ["/purge", "/pause", "/resume", "/reload"] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
            let (code, head, _) = ask(
                &ground,
                method,
                path,
                &format!("Authorization: Bearer {TOKEN}\r\n"),
            );
            assert_eq!(code, 405, "{method} {path}");
            assert!(
                head.contains("allow: post") && !head.contains("access-control"),
                "{head}"
            );
        }
        for token in ["", "wrong", &TOKEN[..TOKEN.len() - 1], &format!("{TOKEN}x")] {
            assert_eq!(
                post(&ground, path, token, r#"{"all": true}"#).0,
                401,
                "{path} {token}"
            );
        }
        let (code, head, _) = ask(
            &ground,
            "POST",
            path,
            "Content-Length: 0\r\nCookie: token=s3cret-t0ken\r\n",
        );
        assert_eq!(code, 401);
        assert!(head.contains("www-authenticate: bearer"), "{head}");
    }
    for path in ["/", "/status", "/metrics", "/nothing"] {
        assert_eq!(post(&ground, path, TOKEN, "").0, 405, "{path}");
    }
    client.ok(READ);
    assert_eq!(client.larder_last(), "hit", "nothing has changed");
    for body in [
        "",
        "{}",
        "null",
        r#"{"all": false}"#,
        r#"{"all": true, "role": "x"}"#,
        r#"{"table": "nothing.here"}"#,
    ] {
        assert_eq!(post(&ground, "/purge", TOKEN, body).0, 400, "{body}");
    }
    assert_eq!(
        post(
            &ground,
            "/purge",
            TOKEN,
            &format!("{{\"role\": \"{}\"}}", "x".repeat(9_000))
        )
        .0,
        413
    );
    client.ok(READ);
    assert_eq!(
        client.larder_last(),
        "hit",
        "nor with what is not understood"
    );
}

#[test]
fn with_the_token_answers_are_purged_and_the_cache_is_paused() {
    let ground = ground("page_calls");
    let mut client = ground.through();
    let id = |ground: &Ground| {
        let told = status(ground, "");
        let queries = told["queries"].as_array().unwrap().clone();
        let row = queries
            .iter()
            .find(|row| row["query"] == "SELECT name FROM items WHERE id = ?");
        row.unwrap()["id"].as_str().unwrap().to_owned()
    };
    until_hit(&mut client, READ);
    let statement = format!(r#"{{"statement": "{}"}}"#, id(&ground));
    for body in [
        r#"{"all": true}"#,
        r#"{"table": "public.items"}"#,
        &statement,
        r#"{"role": "postgres"}"#,
    ] {
        until_hit(&mut client, READ);
        let (code, text) = post(&ground, "/purge", TOKEN, body);
        assert_eq!(code, 200, "{body}: {text}");
        client.ok(READ);
        assert_ne!(client.larder_last(), "hit", "{body}");
    }
    until_hit(&mut client, READ);
    assert_eq!(post(&ground, "/pause", TOKEN, "").0, 200);
    client.ok(READ);
    assert!(client.larder_last().starts_with("bypass"), "paused");
    let told = status(&ground, "");
    assert_eq!(
        (&told["larder"]["paused"], &told["larder"]["mode"]),
        (&true.into(), &"paused".into())
    );
    // A write while it is paused is not forgotten.
    client.ok("UPDATE items SET name = 'new' WHERE id = 7");
    assert_eq!(post(&ground, "/resume", TOKEN, "").0, 200);
    let answer = client.ok(READ);
    assert_eq!(answer.value().as_deref(), Some("new"));
    assert_eq!(post(&ground, "/reload", TOKEN, "").0, 200);
}

#[test]
fn a_token_in_a_file_is_read_at_each_call_and_without_one_nobody_may() {
    let file = std::env::temp_dir().join(format!("larder-token-{}", std::process::id()));
    std::fs::write(&file, "first\n").unwrap();
    let path = file.display().to_string();
    let ground = Ground::with("page_token_file", SCHEMA, |setup| {
        setup.set("ADMIN__TOKEN_FILE", &path)
    });
    assert_eq!(post(&ground, "/resume", "first", "").0, 200);
    std::fs::write(&file, "second").unwrap();
    assert_eq!(post(&ground, "/resume", "first", "").0, 401);
    assert_eq!(post(&ground, "/resume", "second", "").0, 200);
    for empty in ["", " \n"] {
        std::fs::write(&file, empty).unwrap();
        assert_eq!(post(&ground, "/resume", "", "").0, 403);
    }
    std::fs::remove_file(&file).unwrap();
    let (code, text) = post(&ground, "/resume", "second", "");
    assert_eq!(code, 403);
    assert!(text.contains("admin.token"), "{text}");
    assert!(!ground.larder.log().contains("second"));
}

#[test]
fn report_tells_what_would_hit_and_what_stands_in_the_way() {
    let ground = Ground::with("page_report", SCHEMA, |setup| {
        setup.set("CACHE__MODE", "observe")
    });
    let mut client = ground.through();
    eventually("it would hit", || {
        client.ok(READ);
        status(&ground, "")["cache"]["hits"].as_u64() > Some(3)
    });
    for _ in 0..5 {
        client.ok("SELECT count(*) FROM items WHERE id = mine(3)");
        client.ok("SELECT random() < 2 FROM items WHERE id = 3");
        client.ok(HOSTILE);
    }
    let output = larder(&ground, &["report"]);
    assert!(output.status.success(), "{output:?}");
    let text = said(&output);
    for words in [
        "mode observe",
        "would have been answered from memory",
        "SELECT name FROM items WHERE id = ?",
        "in the way of 5: ",
        "what helps: ",
        "[[rule]]\nstatement = \"",
    ] {
        assert!(text.contains(words), "{words} in:\n{text}");
    }
    assert!(
        !text.replace('\n', "").contains(char::is_control),
        "{text:?}"
    );
    assert!(!text.contains('\u{202e}'));
    // Nobody is told to keep an answer that is another one each time; and what no rule can change has no place here.
    assert_eq!(text.matches("[[rule]]\n").count(), 1, "{text}");
    client.ok("BEGIN");
    client.ok("COMMIT");
    assert!(!said(&larder(&ground, &["report"])).contains("COMMIT"));
    let output = larder(&ground, &["report", "--json", "--statements", "1"]);
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["report"].as_array().unwrap().len(), 1);
    assert_eq!(told["larder"]["mode"], "observe");
}

#[test]
fn who_is_not_there_is_said_in_one_line() {
    let mut ground = ground("page_gone");
    ground.larder.kill();
    for command in ["report", "top"] {
        let output = larder(&ground, &[command]);
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.starts_with("larder: no answer from 127.0.0.1:") && text.lines().count() == 1,
            "{text}"
        );
    }
    // Something else listens there: PostgreSQL.
    let output = Command::new(env!("CARGO_BIN_EXE_larder"))
        .args(["report", "--admin", &format!("127.0.0.1:{}", ground.port)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn top_prints_plain_text_where_there_is_no_terminal() {
    let ground = ground("page_top_once");
    traffic(&ground);
    for arguments in [&["top"][..], &["top", "--once"]] {
        let text = said(&larder(&ground, arguments));
        for words in [
            "Larder ",
            "Hit ratio",
            "Since the start",
            "Statements\n",
            "SELECT name FROM items WHERE id = ?",
            "Reasons\n",
            "Tables\n",
            "public.items",
        ] {
            assert!(text.contains(words), "{words} in:\n{text}");
        }
        assert!(
            !text.replace('\n', "").contains(char::is_control),
            "{text:?}"
        );
    }
}

/// A terminal of tmux's, on a server of its own.
struct Terminal(String);

impl Terminal {
    fn tmux(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("tmux")
            .args(["-L", &self.0, "-f", "/dev/null"])
            .args(arguments)
            .env_remove("TMUX")
            .output()
            .ok()?;
        output.status.success().then(|| said(&output))
    }

    fn start(name: &str, ground: &Ground, more: &str) -> Option<Terminal> {
        let terminal = Terminal(format!("larder-{name}-{}", std::process::id()));
        let line = format!(
            "{more} {} top --every 1 --admin 127.0.0.1:{}; echo left with $?; sleep 600",
            env!("CARGO_BIN_EXE_larder"),
            ground.larder.admin
        );
        if terminal
            .tmux(&["new-session", "-d", "-x", "80", "-y", "24", &line])
            .is_none()
        {
            eprintln!("tmux is not installed: not run");
            return None;
        }
        Some(terminal)
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]).unwrap();
    }

    fn pane(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).unwrap()
    }

    fn shows(&self, words: &str) {
        let began = Instant::now();
        while !self.pane().contains(words) {
            assert!(
                began.elapsed() < PATIENCE,
                "{words} is not in:\n{}",
                self.pane()
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[test]
fn top_in_a_terminal() {
    let ground = ground("page_top");
    traffic(&ground);
    let file = std::env::temp_dir().join(format!("larder-top-token-{}", std::process::id()));
    std::fs::write(&file, TOKEN).unwrap();
    let Some(terminal) = Terminal::start("top", &ground, "NO_COLOR=1") else {
        return;
    };
    terminal.shows("SELECT name FROM items");
    terminal.shows("q quit");
    let pane = terminal.pane();
    assert!(
        pane.lines().count() <= 24 && pane.starts_with("Larder "),
        "{pane}"
    );
    let coloured = terminal.tmux(&["capture-pane", "-p", "-e"]).unwrap();
    assert!(
        !coloured.contains("\u{1b}[32m") && !coloured.contains("\u{1b}[31m"),
        "NO_COLOR: {coloured:?}"
    );
    terminal.press("Right");
    terminal.shows("What helps");
    terminal.press("Right");
    terminal.shows("public.items");
    terminal.press("Left");
    terminal.press("Left");
    terminal.press("s");
    terminal.press("Down");
    terminal.shows("STATEMENT");
    terminal.press("p");
    terminal.shows("--token-file");
    for (width, height) in [("40", "8"), ("160", "50"), ("80", "24")] {
        terminal
            .tmux(&["resize-window", "-x", width, "-y", height])
            .unwrap();
        terminal.shows("Larder ");
    }
    terminal.press("q");
    terminal.shows("left with 0");
    drop(terminal);
    let terminal = Terminal::start("pause", &ground, "").unwrap();
    terminal.shows("q quit");
    terminal.press("C-c");
    terminal.shows("left with 0");
    let line = format!(
        "{} top --every 1 --token-file {} --admin 127.0.0.1:{}",
        env!("CARGO_BIN_EXE_larder"),
        file.display(),
        ground.larder.admin
    );
    terminal.tmux(&["respawn-pane", "-k", &line]).unwrap();
    terminal.shows("SELECT name FROM items");
    for (question, paused) in [("Pause the cache", true), ("Resume the cache", false)] {
        terminal.press("p");
        terminal.shows(question);
        terminal.press("n");
        terminal.shows("q quit");
        assert_eq!(status(&ground, "")["larder"]["paused"], !paused);
        terminal.press("p");
        terminal.shows(question);
        terminal.press("y");
        eventually("it is done", || {
            status(&ground, "")["larder"]["paused"] == paused
        });
        terminal.shows(if paused {
            "the cache is paused"
        } else {
            "the cache is on"
        });
        terminal.shows(if paused { "paused  up" } else { "on  up" });
    }
    std::fs::remove_file(&file).unwrap();
}

/// In Chromium, by tests/page/look.mjs; `make test-page` installs what it needs.
#[test]
#[ignore = "needs Chromium, Node.js and playwright-core: make test-page"]
fn the_page_in_a_browser() {
    let modules = std::env::var("PAGE_MODULES").expect("PAGE_MODULES: make test-page");
    let ground = ground("page_browser");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for seed in 1..=2u32 {
            let (ground, ended) = (&ground, &ended);
            scope.spawn(move || visitor(ground, seed, ended));
        }
        let out = Path::new(&modules).join("shots");
        std::fs::create_dir_all(&out).unwrap();
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/page/look.mjs"]
            .iter()
            .collect();
        let status = Command::new("node")
            .arg(script)
            .env(
                "PAGE_URL",
                format!("http://127.0.0.1:{}", ground.larder.admin),
            )
            .env("PAGE_TOKEN", TOKEN)
            .env("PAGE_OUT", out)
            .status();
        ended.store(true, Ordering::Relaxed);
        assert!(status.expect("node").success());
    });
}

/// An application at work.
fn visitor(ground: &Ground, seed: u32, ended: &AtomicBool) {
    let mut client = ground.through();
    let mut n = seed;
    while !ended.load(Ordering::Relaxed) {
        n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let key = (n >> 16) % 40 + 1;
        client.ok(&format!("SELECT name FROM items WHERE id = {key}"));
        client.ok(&format!(
            "SELECT price FROM items WHERE id <= {key} ORDER BY price DESC"
        ));
        client.ok("SELECT count(*) FROM orders");
        client.ok(HOSTILE);
        match key {
            1 => client.ok("INSERT INTO orders (item) VALUES (1)"),
            2 => client.ok("UPDATE items SET price = price + 1 WHERE id = 2"),
            3..=5 => client.ok("SELECT mine(3)"),
            _ => client.ok("SELECT 1"),
        };
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
