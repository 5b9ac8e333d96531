//! Drivers: the same script direct and through Larder, cold, warm and warm again, with the same outcome.
//!
//! * What a script prints (rows as text, types, tags, SQLSTATEs) and every message sent to its driver must be equal.
//! * Which of its reads must hit is a table (`roster`), held against Larder's own counters.
//! * Nothing is left out in silence: a driver that is not there is named, with the reason.
//!
//! `cargo test --test drivers` runs the drivers that `make deps` installs; `make test-drivers` installs and runs all of them
//! (`DRIVERS_ONLY=name,…` some; `DRIVERS_SET=POOL__MODE=transaction,…` with other settings; `UPDATE_DOCS=1` writes
//! docs/drivers.md). `depth` has longer scripts for a few clients.

#[path = "../support/ground.rs"]
mod ground;
#[path = "../support/larder.rs"]
mod larder;
#[path = "../support/postgres.rs"]
mod postgres;
#[path = "../support/wireclient.rs"]
mod wireclient;

mod depth;
mod inside;
mod page;
mod relay;
mod roster;
mod runner;

use ground::Ground;
use roster::{Driver, Kind, MODES, Mark, Mode};
use runner::{Run, Target};
use std::io::Write;

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
    pub failures: Vec<String>,
}

/// Runs one driver in a mode.
fn judge(driver: &'static Driver, mode: &Mode) -> Finding {
    let mut finding = Finding {
        driver,
        outcome: Ok(String::new()),
        reads: Vec::new(),
        failures: Vec::new(),
    };
    if let Err(reason) = runner::command(driver) {
        finding.outcome = Err(reason);
        return finding;
    }
    let database = format!("driver_{}", driver.name.replace(['-', '.'], "_"));
    let more = std::env::var("DRIVERS_SET").unwrap_or_default();
    let more = more.split(',').filter_map(|pair| pair.split_once('='));
    let keys: Vec<_> = mode.larder.iter().copied().chain(more).collect();
    let ground = Ground::with(&database, SCHEMA, |setup| {
        keys.iter().fold(setup, |setup, (k, v)| setup.set(k, v))
    });
    ground.warm("items");
    let environment = mode.drivers.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    let target = Target {
        port: ground.port,
        database,
        environment: environment.collect(),
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
    finding
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
fn fast(name: &str) {
    let driver = roster::DRIVERS.iter().find(|d| d.name == name);
    let finding = judge(driver.expect(name), &MODES[0]);
    if let Err(reason) = &finding.outcome {
        tell(&format!("NOT TESTED: {name}: {reason}"));
    }
    let failures = finding.failures.join("\n");
    assert!(failures.is_empty(), "{name}: {failures}");
}

macro_rules! fast {
    ($($test:ident = $name:literal),* $(,)?) => {
        $(#[test] fn $test() { fast($name) })*
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
    let only = std::env::var("DRIVERS_ONLY").unwrap_or_default();
    let only: Vec<_> = only.split(',').filter(|name| !name.is_empty()).collect();
    let chosen = |driver: &&Driver| only.is_empty() || only.contains(&driver.name);
    let mut failed = false;
    for mode in MODES {
        let mut findings = Vec::new();
        for driver in roster::DRIVERS.iter().filter(chosen) {
            let finding = judge(driver, mode);
            tell(&page::report(&finding));
            failed |= !finding.failures.is_empty();
            findings.push(finding);
        }
        if mode.name == MODES[0].name
            && only.is_empty()
            && std::env::var_os("UPDATE_DOCS").is_some()
        {
            page::write(&findings);
        }
    }
    assert!(!failed, "see above");
}
