//! The admin listener: metrics under their fixed names, and what the dashboard asks of them.

use crate::ground::Ground;
use std::io::Write;
use std::process::{Command, Stdio};

const SCHEMA: &str = "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT g, 'n' || g FROM generate_series(1, 99) g";

/// Makes every outcome happen at least once.
fn busy(name: &str) -> Ground {
    let ground = Ground::with(name, SCHEMA, |setup| {
        setup
            .set("CACHE__MEMORY", "1MB")
            .set("CACHE__MAX_ANSWER", "100KB")
    });
    ground.warm("items");
    let mut client = ground.through();
    for n in 0..600 {
        client.ok(&format!("SELECT repeat(name, 20), {} FROM items", n % 300));
    }
    for sql in [
        "SELECT 1",
        "SET application_name = 'x'",
        "SELECT name FROM items",
        "INSERT INTO items VALUES (100, 'x')",
        "CREATE TABLE more (a int)",
    ] {
        client.ok(sql);
    }
    ground
}

#[test]
fn metrics_have_their_fixed_names() {
    let ground = busy("metrics_names");
    let exposition = ground.larder.metrics();
    for name in [
        "larder_queries_total{outcome=\"hit\"}",
        "larder_queries_total{outcome=\"miss\"}",
        "larder_queries_total{outcome=\"bypass\"}",
        "larder_queries_total{outcome=\"write\"}",
        "larder_queries_total{outcome=\"other\"}",
        "larder_bypass_total{reason=\"no_relation\"}",
        "larder_query_duration_seconds_bucket",
        "larder_upstream_queries_total",
        "larder_cache_entries",
        "larder_cache_bytes",
        "larder_cache_evictions_total",
        "larder_invalidations_total",
        "larder_entry_age_seconds",
        "larder_time_saved_seconds_total",
        "larder_coalesced_total{result=\"shared\"}",
        "larder_coalesced_total{result=\"freed\"}",
        "larder_client_connections",
        "larder_upstream_connections",
        "larder_verify_total{result=\"different\"}",
        "larder_verify_mismatch_total",
        "larder_build_info",
    ] {
        assert!(
            exposition.lines().any(|line| line.starts_with(name)),
            "{name} is missing:\n{exposition}"
        );
    }
    // Each is in the documentation, with its labels' meaning.
    let documented = include_str!("../../docs/metrics.md");
    for line in exposition.lines().filter_map(|l| l.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(
            documented.contains(&format!("`{name}`")),
            "{name} is not in docs/metrics.md"
        );
    }
    // Nothing of what was asked is in it.
    for word in ["repeat", "items", "SELECT", "metrics_names"] {
        assert!(!exposition.contains(word), "{word} is in the metrics");
    }
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
    else {
        eprintln!("promtool is not installed: `make deps`");
        return;
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(exposition.as_bytes())
        .unwrap();
    let verdict = promtool.wait_with_output().unwrap();
    let said = [verdict.stdout, verdict.stderr].concat();
    assert!(
        verdict.status.success() && said.is_empty(),
        "{}",
        String::from_utf8_lossy(&said)
    );
}

#[test]
fn liveness_and_readiness() {
    let mut ground = busy("metrics_live");
    for (path, expected) in [
        ("/live", 200),
        ("/ready", 200),
        ("/metrics", 200),
        ("/nothing", 404),
    ] {
        assert_eq!(ground.larder.http(path).unwrap().0, expected, "{path}");
    }
    let health = |port: u16| {
        Command::new(env!("CARGO_BIN_EXE_larder"))
            .args(["health", "--admin", &format!("127.0.0.1:{port}")])
            .output()
            .unwrap()
            .status
    };
    assert!(health(ground.larder.admin).success());
    ground.larder.kill();
    assert!(!health(ground.larder.admin).success());
}
