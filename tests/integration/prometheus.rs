//! A real Prometheus scrapes a running Larder, and is asked everything that the dashboards and the alerts ask.

use crate::faults::{Fault, Relay, Toward};
use crate::ground::{Ground, SUPERUSER, create_database_on, eventually};
use crate::larder::{Setup, at_exit, free_port, http};
use crate::postgres::{Options, Postgres, Stop};
use crate::wireclient::{Batch, Login};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'n' || g FROM generate_series(1, 99) g;
    CREATE TABLE busy (id int)";

const BOARDS: [(&str, &str); 5] = [
    ("overview", include_str!("../../grafana/overview.json")),
    ("statements", include_str!("../../grafana/statements.json")),
    ("freshness", include_str!("../../grafana/freshness.json")),
    (
        "connections",
        include_str!("../../grafana/connections.json"),
    ),
    ("process", include_str!("../../grafana/process.json")),
];

/// Panels of Grafana that are not deprecated.
const KINDS: [&str; 4] = ["stat", "timeseries", "heatmap", "table"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a panel asks, with Grafana's variables replaced.
fn expressions(board: &Value) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for panel in board["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().expect("targets") {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            let expression = target["expr"].as_str().expect("an expression");
            let asked = expression
                .replace("$__rate_interval", "10s")
                .replace("$job", ".*")
                .replace("$instance", ".*");
            assert!(!asked.contains('$'), "{title}: {asked}");
            all.push((title.to_owned(), asked));
        }
    }
    all
}

#[test]
fn dashboards_are_whole() {
    let mut uids = BTreeSet::new();
    for (name, text) in BOARDS {
        let board: Value = serde_json::from_str(text).expect("JSON");
        assert!(uids.insert(board["uid"].as_str().expect("a uid").to_owned()));
        assert_eq!(board["schemaVersion"], 39, "{name}");
        assert!(board["title"].is_string() && board["__inputs"].is_null());
        let variables = board["templating"]["list"].as_array().expect("variables");
        let names: Vec<_> = variables
            .iter()
            .map(|v| v["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["datasource", "job", "instance"], "{name}");
        let mut ids = BTreeSet::new();
        for panel in board["panels"].as_array().expect("panels") {
            let title = panel["title"].as_str().expect("a title");
            assert!(
                ids.insert(panel["id"].as_u64()),
                "{title}: its id is another's"
            );
            assert!(panel["description"].is_string(), "{name}: {title}");
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{title}"
            );
            let kind = panel["type"].as_str().expect("a type");
            assert!(KINDS.contains(&kind), "{title}: {kind}");
        }
        assert!(!expressions(&board).is_empty());
    }
}

/// Traffic of all kinds, for as long as is needed.
fn traffic(ground: &Ground) {
    let mut client = ground.through();
    for n in 0..60 {
        client.ok(&format!("SELECT name FROM items WHERE id = {}", n % 20));
        client.ok("SELECT 1");
    }
    client.ok("INSERT INTO busy VALUES (1)");
    client.ok("SELECT count(*) FROM busy");
    client.query("SELECT nothing FROM items");
    client.ok(&format!(
        "SELECT repeat(name, 50), {} FROM items",
        ground.port
    ));
}

/// The tools of Prometheus, which `make deps` installs.
fn tool(name: &str) -> Option<Command> {
    let found = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        eprintln!("{name} is not installed: make deps");
        assert!(std::env::var_os("CI").is_none(), "{name} is missing");
        return None;
    }
    Some(Command::new(name))
}

#[test]
fn alerts_fire_when_they_should() {
    for (command, file) in [
        (["check", "rules"], "larder.rules.yml"),
        (["test", "rules"], "larder.rules.test.yml"),
    ] {
        let Some(mut promtool) = tool("promtool") else {
            return;
        };
        let rules = root().join("deploy/prometheus");
        let done = promtool
            .args(command)
            .arg(file)
            .current_dir(rules)
            .output()
            .unwrap();
        let said = [done.stdout, done.stderr].concat();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
    }
}

/// Every alert has its section in the runbooks.
#[test]
fn alerts_have_runbooks() {
    let rules = include_str!("../../deploy/prometheus/larder.rules.yml");
    let runbooks = include_str!("../../docs/runbooks.md");
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|l| l.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 10);
    for alert in &alerts {
        assert!(runbooks.contains(&format!("\n## {alert}\n")), "{alert}");
        let link = format!("docs/runbooks.md#{}", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert}");
    }
    assert_eq!(
        runbooks.matches("\n## ").count(),
        alerts.len(),
        "a section too many"
    );
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

/// What Prometheus answers: the number of series, or its words.
fn ask(port: u16, expression: &str) -> Result<usize, String> {
    let request = format!("GET /api/v1/query?query={}", encoded(expression));
    let (_, body) = http(port, &request, "", "").ok_or("no answer")?;
    let answer: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
    if answer["status"] != "success" {
        return Err(answer["error"].to_string());
    }
    Ok(answer["data"]["result"].as_array().map_or(0, Vec::len))
}

#[test]
fn every_panel_and_alert_has_an_answer() {
    let Some(mut prometheus) = tool("prometheus") else {
        return;
    };
    let ground = Ground::with("prometheus", SCHEMA, |setup| {
        setup
            .set("VERIFY__SAMPLE", "0.2")
            .set("CACHE__MEMORY", "1MB")
            .set("CACHE__MAX_ANSWER", "100KB")
    });
    ground.warm("items");
    let port = free_port();
    let home = std::env::temp_dir().join(format!("larder-prometheus-{port}"));
    std::fs::create_dir_all(&home).unwrap();
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: ['{}']\n\
         scrape_configs: [{{ job_name: larder, static_configs: [{{ targets: ['127.0.0.1:{}'] }}] }}]\n",
        root().join("deploy/prometheus/larder.rules.yml").display(),
        ground.larder.admin
    );
    std::fs::write(home.join("prometheus.yml"), config).unwrap();
    let log = std::fs::File::create(home.join("log")).unwrap();
    let mut running = prometheus
        .arg(format!(
            "--config.file={}",
            home.join("prometheus.yml").display()
        ))
        .arg(format!(
            "--storage.tsdb.path={}",
            home.join("data").display()
        ))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("prometheus");
    at_exit(&format!(
        "kill -9 {} 2>/dev/null; rm -rf '{}'",
        running.id(),
        home.display()
    ));

    let mut asked: Vec<(String, String)> = Vec::new();
    for (name, text) in BOARDS {
        let board: Value = serde_json::from_str(text).expect("JSON");
        let all = expressions(&board).into_iter();
        asked.extend(all.map(|(title, asked)| (format!("{name}, {title}"), asked)));
    }
    let mut missing = asked;
    let until = Instant::now() + Duration::from_secs(60);
    while !missing.is_empty() && Instant::now() < until {
        traffic(&ground);
        std::thread::sleep(Duration::from_millis(500));
        missing.retain(|(what, expression)| match ask(port, expression) {
            Ok(series) => series == 0,
            Err(error) if error == "no answer" => true,
            Err(error) => panic!("{what}: {expression}: {error}"),
        });
    }
    assert!(missing.is_empty(), "these have no answer: {missing:#?}");

    let (_, rules) = http(port, "GET /api/v1/rules", "", "").expect("an answer");
    let rules: Value = serde_json::from_str(&rules).expect("JSON");
    for rule in rules["data"]["groups"][0]["rules"]
        .as_array()
        .expect("rules")
    {
        assert_eq!(rule["health"], "ok", "{rule}");
    }
    let _ = running.kill();
    let _ = running.wait();
}

/// A server that asks the user `app` for a password.
fn asking(name: &str) -> Postgres {
    let server = Options::new()
        .hba("host all app 127.0.0.1/32 scram-sha-256")
        .start();
    create_database_on(server.port(), name, SCHEMA);
    let mut direct = Login::new(server.port(), SUPERUSER, name).connect();
    direct.ok("SET password_encryption = 'scram-sha-256'; CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'");
    server
}

/// A Larder that knows the password.
fn known(port: u16, name: &str) -> Setup {
    Setup::new(&format!("postgres://app:secret@127.0.0.1:{port}/{name}"))
}

/// A database that is gone is seen, and so is one that is back. A Larder that nobody has used yet is no reason for an alarm.
#[test]
fn the_upstream_is_down_and_up() {
    let name = "prometheus_down";
    let mut server = asking(name);
    let larder = known(server.port(), name).start();
    let login = larder.login("app", name).password("secret");
    let is_up = || larder.metric("larder_upstream_up", &[]) == 1.0;
    let catalogs = |state| larder.metric("larder_catalogs", &[("state", state)]);
    assert!(is_up(), "nobody has tried");
    larder.wait_hit(&login, "SELECT count(*) FROM items");
    assert!(is_up());
    assert_eq!(larder.metric("larder_mode", &[("mode", "on")]), 1.0);
    assert_eq!((catalogs("loaded"), catalogs("missing")), (1.0, 0.0));
    server.stop(Stop::Immediate);
    eventually("it is seen", || {
        !is_up() && catalogs("missing") == 1.0 && larder.metric("larder_cache_open", &[]) == 0.0
    });
    server.start_again();
    eventually("it is back", || is_up() && catalogs("loaded") == 1.0);
}

/// Who waits for a connection is seen while he waits, and for how long afterwards.
#[test]
fn who_waits_is_seen() {
    let name = "prometheus_waits";
    let server = asking(name);
    let setup = known(server.port(), name)
        .set("POOL__MODE", "transaction")
        .set("POOL__POOL_SIZE", "1")
        .set("SERVER__WORKERS", "1");
    let larder = setup.start();
    let login = larder.login("app", name).password("secret");
    larder.wait_hit(&login, "SELECT count(*) FROM items");
    let of = |metric: &str| larder.metric(metric, &[]);
    let (mut first, mut second) = (login.connect(), login.connect());
    first.ok("BEGIN");
    first.ok("UPDATE items SET name = 'x' WHERE id = 1");
    assert_eq!(of("larder_client_waiting_connections"), 0.0);
    second.send(Batch::new().query("UPDATE items SET name = 'y' WHERE id = 2"));
    eventually("it waits", || {
        of("larder_client_waiting_connections") == 1.0
            && of("larder_client_longest_wait_seconds") > 0.1
    });
    first.ok("COMMIT");
    second.until_ready();
    eventually("nobody waits", || {
        of("larder_client_waiting_connections") == 0.0
    });
    assert_eq!(of("larder_client_longest_wait_seconds"), 0.0);
    assert!(of("larder_pool_wait_seconds_sum") > 0.1);
}

/// A write whose answer was lost is in doubt until the database can be asked, though its server is not in use meanwhile;
/// nothing stays open afterwards.
#[test]
fn a_write_in_doubt_is_seen() {
    let name = "prometheus_doubt";
    let server = asking(name);
    let relay = Relay::to(server.port());
    let larder = known(relay.port, name).start();
    let login = larder.login("app", name).password("secret");
    let read = "SELECT count(*) FROM items";
    larder.wait_hit(&login, read);
    let doubts = || larder.metric("larder_writes_in_doubt", &[]);
    let open = |scope| larder.metric("larder_open_intents", &[("scope", scope)]);
    let mut client = login.connect();
    client.ok("UPDATE items SET name = 'x' WHERE id = 1");
    assert_eq!((doubts(), open("table")), (0.0, 0.0));
    relay.set(Fault::Hold(Toward::Client));
    client.send(Batch::new().query("UPDATE items SET name = 'y' WHERE id = 1"));
    eventually("it is under way", || open("table") == 1.0);
    relay.set(Fault::Refuse);
    eventually("it is in doubt", || doubts() == 1.0);
    relay.heal();
    eventually("it is settled", || doubts() == 0.0);
    eventually("nothing is open", || {
        ["table", "database", "catalog"].map(open) == [0.0, 0.0, 0.0]
    });
    larder.wait_hit(&login, read);
}
