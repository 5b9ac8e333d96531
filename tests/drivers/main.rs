//! Drivers: the same script direct and through Larder, cold, warm and warm again, with the same outcome.
//!
//! * What a script prints (rows as text, types, tags, SQLSTATEs) and every message sent to its driver must be equal.
//! * Which of its reads must hit is a table (`roster`), held against Larder's own counters.
//! * Each mode (`roster::MODES`) is a PostgreSQL and a Larder of its own making: a login that is passed on, one that Larder
//!   verifies, pools, TLS. Inside TLS messages are not compared, only what the driver makes of them.
//! * A client that Larder lets in and whose reads hit has no connection to the database, but for what the roster names.
//! * Nothing is left out in silence: a driver that is not there is named, with the reason.
//!
//! `cargo test --test drivers` runs the drivers that `make deps` installs; `make test-drivers` installs and runs all of them
//! (`DRIVERS_ONLY=name,…` some; `DRIVERS_MODE=session,…` in some modes; `DRIVERS_SET=KEY=value,…` with other settings;
//! `UPDATE_DOCS=1` writes docs/drivers.md). `depth` has longer scripts for a few clients.

#[path = "../support/ground.rs"]
mod ground;
#[path = "../support/larder.rs"]
mod larder;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/tunnel.rs"]
mod tunnel;
#[path = "../support/wireclient.rs"]
mod wireclient;

mod depth;
mod inside;
mod page;
mod relay;
mod roster;
mod runner;

use ground::Ground;
use postgres::{Options, Postgres};
use roster::{Driver, Entry, Kind, MODES, Mark, Mode};
use runner::{DRIVER, Run, Target};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use tunnel::{Authority, Caller};
use wireclient::{Answered, Login};

const SCHEMA: &str = r"
    CREATE TABLE items (id int PRIMARY KEY, name text, ok boolean, at timestamptz, price numeric(10, 2), raw bytea,
        extra jsonb, tags text[]);
    INSERT INTO items SELECT n, 'it''s \ ' || n, n % 2 = 0, timestamptz '2024-01-01 12:00:00+00' + n * interval '1 hour',
        n * 1.25, decode(lpad(n::text, 4, '0'), 'hex'), jsonb_build_object('n', n), ARRAY['a', n::text, NULL]
        FROM generate_series(1, 10) n;
    INSERT INTO items (id) VALUES (11);
    CREATE TABLE scratch (id int PRIMARY KEY, name text)";

/// What was found out about a driver's reads of one kind.
pub struct Reads {
    pub all: usize,
    pub hits: usize,
    /// Of those that did not hit: the step, what Larder counted, what the driver sent.
    pub missed: Vec<String>,
    /// What Larder counted instead.
    pub why: Vec<String>,
}

impl Reads {
    pub fn hit(&self) -> bool {
        self.all > 0 && self.hits == self.all
    }
}

/// One driver's result.
pub struct Finding {
    pub driver: &'static Driver,
    /// Its version, or why it was not run.
    pub outcome: Result<String, String>,
    /// In the order of `Kind::ALL`.
    pub reads: Vec<Reads>,
    /// The first step after which the warm client holds a connection to the upstream, where it need not have one.
    pub holds_from: Option<String>,
    /// Whether it holds one at the end.
    pub holds: bool,
    pub failures: Vec<String>,
}

/// A server that asks the drivers' user for its password.
fn guarded() -> &'static Postgres {
    static SERVER: LazyLock<Postgres> = LazyLock::new(|| start_guarded("host"));
    &SERVER
}

/// The same, inside TLS alone.
fn encrypted() -> &'static Postgres {
    static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
        let server = start_guarded("hostssl");
        let identity = Authority::new("drivers").issue("db", &["localhost"]);
        let directory = server.data_directory();
        let owner = std::fs::metadata(&directory).expect("a directory");
        for (name, text) in [
            ("server.crt", identity.certificate),
            ("server.key", identity.key),
        ] {
            let path = directory.join(name);
            std::fs::write(&path, text).expect(name);
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect(name);
            chown(&path, Some(owner.uid()), Some(owner.gid())).expect(name);
        }
        let mut admin = Login::new(server.port(), ground::SUPERUSER, "postgres").connect();
        admin.ok("ALTER SYSTEM SET ssl = on");
        admin.ok("SELECT pg_reload_conf()");
        let deadline = Instant::now() + Duration::from_secs(20);
        while Caller::plain().shown(server.port()).is_err() {
            assert!(Instant::now() < deadline, "{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    });
    &SERVER
}

fn start_guarded(kind: &str) -> Postgres {
    let (user, password) = DRIVER;
    let server = Options::new()
        .hba(&format!("{kind} all {user} 127.0.0.1/32 scram-sha-256"))
        .hba(&format!("host all {user} 127.0.0.1/32 reject"))
        .start();
    let mut admin = Login::new(server.port(), ground::SUPERUSER, "postgres").connect();
    admin.ok(&format!(
        "CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{password}'"
    ));
    server
}

/// A database of the driver's own, and a Larder in front of it that has loaded its catalog.
fn prepare(database: &str, mode: &Mode) -> Ground {
    let more = std::env::var("DRIVERS_SET").unwrap_or_default();
    let more = more.split(',').filter_map(|pair| pair.split_once('='));
    let keys: Vec<_> = mode.larder.iter().copied().chain(more).collect();
    let change = |setup| {
        let set = |setup: larder::Setup, (k, v): &(&str, &str)| setup.set(k, v);
        keys.iter().fold(setup, set)
    };
    let server = match mode.entry {
        Entry::Relayed => return warmed(Ground::with(database, SCHEMA, change), mode),
        Entry::Verified => guarded(),
        Entry::Encrypted => encrypted(),
    };
    let ground = Ground::as_user(server.port(), DRIVER, database, SCHEMA, change);
    warmed(ground, mode)
}

/// Waits until a read hits.
fn warmed(ground: Ground, mode: &Mode) -> Ground {
    let tunnel =
        (mode.entry == Entry::Encrypted).then(|| Caller::plain().tunnel(ground.larder.port));
    let target = Target {
        port: tunnel.as_ref().map_or(ground.larder.port, |t| t.port),
        database: ground.database.clone(),
        entry: mode.entry,
    };
    let mut client = target.login().connect();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = client.query("SELECT count(*) AS warming FROM items");
        if client.larder_last() == "hit" {
            break;
        }
        let error = answer.error();
        assert!(Instant::now() < deadline, "never a hit: {error:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(client);
    ground
}

/// Runs one driver in a mode.
fn judge(driver: &'static Driver, mode: &Mode) -> Finding {
    let mut finding = Finding {
        driver,
        outcome: Ok(String::new()),
        reads: Vec::new(),
        holds_from: None,
        holds: false,
        failures: Vec::new(),
    };
    if let Err(reason) = runner::command(driver) {
        finding.outcome = Err(reason);
        return finding;
    }
    let database = format!("driver_{}", driver.name.replace(['-', '.'], "_"));
    let ground = prepare(&database, mode);
    let target = Target {
        port: ground.port,
        database,
        entry: mode.entry,
    };
    let through = Target {
        port: ground.larder.port,
        ..target.clone()
    };
    let direct = runner::run(driver, &target, None);
    if !direct.well || direct.steps.len() < 3 {
        let last = direct.steps.last().map(|s| s.line.as_str());
        let text = format!(
            "its script fails without Larder, behind {last:?}: {}",
            direct.complaints
        );
        finding.failures.push(text);
        return finding;
    }
    finding.outcome = Ok(direct.version());
    let runs: Vec<Run> = ["cold", "warm", "warm again"]
        .iter()
        .map(|round| {
            runner::settle(&ground.larder);
            let run = runner::run(driver, &through, Some(&ground.larder));
            if let Some(text) = runner::difference(&direct, &run) {
                finding
                    .failures
                    .push(format!("{round}: not as direct:{text}"));
            }
            run
        })
        .collect();
    finding.reads = Kind::ALL.map(|kind| reads(kind, &runs[1..])).into();
    judge_marks(&mut finding);
    if mode.entry != Entry::Relayed {
        judge_connection(&mut finding, &runs[1..]);
    }
    finding
}

/// A client whose reads hit needs no connection, to log in neither, but for what the roster says.
fn judge_connection(finding: &mut Finding, runs: &[Run]) {
    let last = runs.last().expect("a run");
    finding.holds_from = last.holds_from().map(str::to_owned);
    finding.holds = last.holds_at_the_end();
    let of_reads = |step: &str| {
        let word = step.split(' ').next().unwrap_or_default();
        let other = ["connect", "begin", "prepare", "commit", "types"];
        other.contains(&word) || Kind::ALL.iter().any(|kind| kind.word() == word)
    };
    let keeps = roster::KEEPS
        .iter()
        .any(|(names, _)| names.contains(&finding.driver.name));
    let early = finding.holds_from.as_deref().filter(|step| of_reads(step));
    if let Some(step) = early.filter(|_| !keeps) {
        let text = format!("it holds a connection from {step:?} on, before it has written");
        finding.failures.push(text);
    }
}

fn judge_marks(finding: &mut Finding) {
    let driver = finding.driver;
    for (kind, (mark, reads)) in Kind::ALL
        .iter()
        .zip(driver.marks.iter().zip(&finding.reads))
    {
        match mark {
            Mark::Must if !reads.hit() => {
                let missed = reads.missed.join("\n    ");
                finding
                    .failures
                    .push(format!("{} must hit:\n    {missed}", kind.word()));
            }
            Mark::None if reads.all > 0 => {
                finding
                    .failures
                    .push(format!("{} reads are marked as absent", kind.word()));
            }
            _ => {}
        }
    }
}

/// The reads of one kind in the runs that should hit.
fn reads(kind: Kind, runs: &[Run]) -> Reads {
    let steps = runs.iter().flat_map(|run| &run.steps);
    let of_kind: Vec<_> = steps
        .filter(|s| s.read && s.name.split(' ').next() == Some(kind.word()))
        .collect();
    let missed: Vec<_> = of_kind.iter().filter(|s| !s.counted.hit()).collect();
    let mut why: Vec<_> = missed.iter().flat_map(|s| s.counted.why()).collect();
    why.sort();
    why.dedup();
    let mut told: Vec<_> = missed
        .iter()
        .map(|s| format!("{}: {} (sent {})", s.name, s.counted, s.sent.join(" ")))
        .collect();
    told.dedup();
    told.sort();
    told.dedup();
    Reads {
        all: of_kind.len(),
        hits: of_kind.len() - missed.len(),
        missed: told,
        why,
    }
}

/// Writes past the test harness, which would swallow it.
fn tell(text: &str) {
    let _told = std::io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// Runs one of the drivers that `make test` runs.
fn fast(name: &str, mode: &str) {
    let driver = roster::DRIVERS.iter().find(|d| d.name == name);
    let mode = MODES.iter().find(|m| m.name == mode);
    let finding = judge(driver.expect(name), mode.expect("a mode"));
    if let Err(reason) = &finding.outcome {
        tell(&format!("NOT TESTED: {name}: {reason}"));
    }
    let failures = finding.failures.join("\n");
    assert!(failures.is_empty(), "{name}: {failures}");
}

macro_rules! fast {
    ($($test:ident = $name:literal),* $(,)?) => {
        $(#[test] fn $test() { fast($name, "relayed") })*
        const FAST: &[&str] = &[$($name),*];
    };
}

fast! {
    psql = "psql",
    psql_execute = "psql-execute",
    libpq = "libpq",
    psycopg2 = "psycopg2",
    psycopg = "psycopg",
    psycopg_pipeline = "psycopg-pipeline",
    asyncpg = "asyncpg",
    tokio_postgres = "tokio-postgres",
    npgsql = "npgsql",
}

#[test]
fn psycopg_in_a_transaction_pool() {
    fast("psycopg", "transaction");
}

#[test]
fn tokio_postgres_in_tls() {
    fast("tokio-postgres", "tls");
}

#[test]
fn the_roster_is_in_order() {
    let fast: Vec<_> = roster::DRIVERS
        .iter()
        .filter(|d| d.fast)
        .map(|d| d.name)
        .collect();
    assert_eq!(fast, FAST, "the fast drivers, in the roster's order");
}

#[test]
#[ignore = "needs what scripts/drivers.sh installs: make test-drivers"]
fn every_driver() {
    let only = |variable: &str| {
        let names = std::env::var(variable).unwrap_or_default();
        let names = names.split(',').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let (names, modes) = (only("DRIVERS_ONLY"), only("DRIVERS_MODE"));
    let chosen = |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
    let mut failed = false;
    let mut all = Vec::new();
    for mode in MODES.iter().filter(|m| chosen(&modes, m.name)) {
        tell(&format!("{}: {}", mode.name, mode.about));
        let mut findings = Vec::new();
        for driver in roster::DRIVERS.iter().filter(|d| chosen(&names, d.name)) {
            let began = Instant::now();
            let finding = judge(driver, mode);
            let took = began.elapsed().as_secs_f32();
            tell(&format!("{} [{took:.1} s]", page::report(&finding)));
            failed |= !finding.failures.is_empty();
            findings.push(finding);
        }
        all.push(findings);
    }
    let everything = names.is_empty() && modes.is_empty();
    if everything && std::env::var_os("UPDATE_DOCS").is_some() {
        page::write(&all);
    }
    assert!(!failed, "see above");
}
