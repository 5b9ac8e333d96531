//! Modes, mistakes in the configuration, signals, and what the log may not say.

use crate::ground::{Ground, assert_same, server_port, upstream};
use crate::larder::{Setup, free_port};
use crate::wireclient::{Answered, Batch};
use std::time::{Duration, Instant};

const SCHEMA: &str = "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 9) g";
const READ: &str = "SELECT name FROM items WHERE id = 1";

#[test]
fn mode_off_passes_everything_on() {
    let ground = Ground::with("config_off", SCHEMA, |setup| {
        setup.set("CACHE__MODE", "off")
    });
    let mut client = ground.through();
    for _ in 0..4 {
        assert_same(READ, &ground.direct().query(READ), &client.query(READ));
        assert_eq!(client.larder_last(), "bypass: off");
    }
    ground
        .direct()
        .ok("UPDATE items SET name = 'new' WHERE id = 1");
    assert_eq!(client.query(READ).value().as_deref(), Some("new"));
    assert_eq!(ground.larder.outcome("hit"), 0.0);
}

#[test]
fn mode_observe_decides_and_serves_nothing() {
    let ground = Ground::with("config_observe", SCHEMA, |setup| {
        setup.set("CACHE__MODE", "observe")
    });
    let mut client = ground.through();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        client.ok(READ);
        let last = client.larder_last();
        assert_ne!(last, "hit");
        if last != "bypass: no_catalog" {
            break;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    for n in 0..5 {
        ground
            .direct()
            .ok(&format!("UPDATE items SET name = '{n}' WHERE id = 1"));
        assert_eq!(
            client.query(READ).value(),
            Some(n.to_string()),
            "nothing is served from memory"
        );
    }
}

#[test]
fn a_table_has_a_ttl_of_its_own() {
    let file = std::env::temp_dir().join(format!("larder-rule-{}.toml", std::process::id()));
    std::fs::write(
        &file,
        "[[rule]]\ntable = \"public.items\"\nttl = \"600ms\"\n",
    )
    .unwrap();
    {
        let ground = Ground::with(
            "config_rule",
            &format!("{SCHEMA}; CREATE TABLE calm AS SELECT * FROM items"),
            |setup| {
                setup
                    .argument("--config")
                    .argument(&file.display().to_string())
            },
        );
        ground.warm("calm");
        let mut client = ground.through();
        let calm = "SELECT name FROM calm WHERE id = 1";
        client.ok(calm);
        client.ok(READ);
        ground.direct().ok("UPDATE items SET name = 'outside'");
        std::thread::sleep(Duration::from_millis(650));
        assert_eq!(client.query(READ).value().as_deref(), Some("outside"));
        client.ok(calm);
        assert_eq!(client.larder_last(), "hit");
    }
    std::fs::remove_file(&file).unwrap();
}

/// The process ends with a text that helps; nothing starts half-configured.
#[test]
fn mistakes_are_errors_with_the_nearest_name() {
    for (key, value, expected) in [
        ("CACHE__MOD", "on", "LARDER_CACHE__MODE"),
        ("CACH__MODE", "on", "LARDER_CACHE__MODE"),
        ("CACHE__MODE", "sometimes", "observe"),
        ("CACHE__TTL", "soon", "ttl"),
        ("CACHE__MEMORY", "lots", "memory"),
        ("UPSTREAM__URL", "mysql://x", "postgres"),
    ] {
        let setup = Setup::new(&upstream(server_port(), "postgres")).set(key, value);
        let mut command = setup.command(free_port(), free_port());
        if key == "UPSTREAM__URL" {
            command = std::process::Command::new(env!("CARGO_BIN_EXE_larder"));
            command.arg("serve").env("LARDER_UPSTREAM__URL", value);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{key}={value} was accepted");
        assert!(
            said.to_lowercase().contains(&expected.to_lowercase()),
            "{key}={value}: {said}"
        );
    }
    for mode in ["verify-full", "prefer&sslnegotiation=direct"] {
        let url = format!("{}?sslmode={mode}", upstream(server_port(), "postgres"));
        let output = Setup::new(&url)
            .command(free_port(), free_port())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(
            !output.status.success() && said.contains("sslmode"),
            "{said}"
        );
    }
}

#[test]
fn sigterm_drains() {
    let mut ground = Ground::with("config_term", SCHEMA, |setup| {
        setup.set("SERVER__DRAIN", "20s")
    });
    let mut client = ground.through();
    client.ok("BEGIN");
    client.ok("UPDATE items SET name = 'drained' WHERE id = 1");
    ground.larder.signal("TERM");
    // What has begun may end.
    std::thread::sleep(Duration::from_millis(300));
    assert!(ground.larder.alive(), "a transaction is open");
    assert_ne!(
        ground
            .larder
            .http("/ready")
            .map_or(503, |(status, _)| status),
        200,
        "not ready while draining"
    );
    client.ok("COMMIT");
    client.send(Batch::new().terminate());
    drop(client);
    assert!(
        ground
            .larder
            .wait(Duration::from_secs(15))
            .is_some_and(|status| status.success()),
        "it ends when the last client has gone"
    );
    assert_eq!(
        ground.direct().query(READ).value().as_deref(),
        Some("drained")
    );
}

#[test]
fn sigterm_has_a_deadline_and_sigint_has_none() {
    let mut ground = Ground::with("config_deadline", SCHEMA, |setup| {
        setup.set("SERVER__DRAIN", "1s")
    });
    let mut client = ground.through();
    client.ok("BEGIN");
    ground.larder.signal("TERM");
    assert!(
        ground.larder.wait(Duration::from_secs(15)).is_some(),
        "the deadline is a second"
    );
    let mut ground = Ground::with("config_int", SCHEMA, |setup| {
        setup.set("SERVER__DRAIN", "300s")
    });
    let _client = ground.through();
    ground.larder.signal("INT");
    assert!(
        ground.larder.wait(Duration::from_secs(10)).is_some(),
        "SIGINT ends at once"
    );
}

#[test]
fn kill_and_restart_lose_nothing_but_memory() {
    let mut ground = Ground::new("config_kill", SCHEMA);
    ground.warm("items");
    ground
        .through()
        .ok("UPDATE items SET name = 'before' WHERE id = 1");
    ground.larder.restart();
    assert_eq!(
        ground.through().query(READ).value().as_deref(),
        Some("before")
    );
    ground.warm("items");
}

/// No literal, parameter, row or password in the log, even at its most talkative.
#[test]
fn the_log_keeps_secrets() {
    for format in ["text", "json"] {
        let name = format!("config_log_{format}");
        let ground = Ground::alone_with(&name, SCHEMA, |setup| {
            setup.set("LOG__LEVEL", "trace").set("LOG__FORMAT", format)
        });
        ground.warm("items");
        let mut client = ground.through();
        client.ok("SELECT name, 'hunter2literal' FROM items WHERE id = 3");
        client.extended(
            "SELECT name FROM items WHERE name = $1",
            &["hunter2parameter"],
        );
        client.ok("INSERT INTO items VALUES (77, 'hunter2row')");
        client.ok("SELECT name FROM items WHERE id = 77");
        client.query("ALTER ROLE postgres PASSWORD 'hunter2password'");
        client.query("SELEC 'hunter2wrong'");
        client.ok("ALTER ROLE postgres PASSWORD NULL");
        let _ = ground
            .over(&ground.login_as("nobody_here").password("hunter2login"))
            .try_connect();
        let log = ground.larder.log();
        assert!(!log.is_empty());
        assert!(
            !log.contains("hunter2"),
            "{}",
            log.lines()
                .find(|l| l.contains("hunter2"))
                .unwrap_or_default()
        );
        if format == "json" {
            let lines = log.lines().filter(|l| !l.trim().is_empty());
            lines.for_each(|l| {
                drop(
                    serde_json::from_str::<serde_json::Value>(l)
                        .unwrap_or_else(|e| panic!("{e}: {l}")),
                )
            });
        }
    }
}
