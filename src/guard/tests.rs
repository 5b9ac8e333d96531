//! That each guard is missed when it is taken out.

use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Guard;

/// Names the guard that is taken out of this process.
const WITHOUT: &str = "LARDER_WITHOUT";

/// What the table and the list here call the simulation, and the test's name.
const SIMULATION: (&str, &str) = (
    "simulation",
    "p1_p4_p5_p9_simulation_of_clients_over_one_ledger",
);

/// The guard that is taken out of this process.
fn out() -> Option<Guard> {
    static OUT: OnceLock<Option<Guard>> = OnceLock::new();
    *OUT.get_or_init(|| {
        let name = std::env::var(WITHOUT).ok()?;
        let named = |(guard, ..): &&(Guard, &str, &[&str])| format!("{guard:?}") == name;
        let (guard, ..) = Guard::ALL.iter().find(named).expect("a guard's name");
        Some(*guard)
    })
}

/// Whether that line of defence stands.
pub(crate) fn stands(guard: Guard) -> bool {
    out() != Some(guard)
}

/// Whether tests are expected to fail: why in particular is nobody's question then.
pub(crate) fn one_is_out() -> bool {
    out().is_some()
}

/// Whether that test fails in a process without that guard.
fn is_missed(guard: Guard, test: &str) -> bool {
    let test = if test == SIMULATION.0 {
        SIMULATION.1
    } else {
        test
    };
    let output = Command::new(std::env::current_exe().expect("this test's own program"))
        .args([test, "--test-threads=1"])
        .env(WITHOUT, format!("{guard:?}"))
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null())
        .output()
        .expect("this test's own program runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("running 1 test"),
        "{test} is no test:\n{told}"
    );
    !output.status.success()
}

#[test]
fn every_guard_is_missed_by_its_tests() {
    if one_is_out() {
        return;
    }
    let all: Vec<(Guard, &str)> = Guard::ALL
        .iter()
        .flat_map(|(guard, _, tests)| tests.iter().map(|test| (*guard, *test)))
        .collect();
    let next = AtomicUsize::new(0);
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let unmissed: Vec<String> = thread::scope(|scope| {
        let work = || {
            let take = || all.get(next.fetch_add(1, Ordering::Relaxed));
            let mut unmissed = Vec::new();
            while let Some((guard, test)) = take() {
                if !is_missed(*guard, test) {
                    unmissed.push(format!("{guard:?}: {test}"));
                }
            }
            unmissed
        };
        let running: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .flat_map(|worker| worker.join().expect("no test of ours panics here"))
            .collect()
    });
    assert!(
        unmissed.is_empty(),
        "taken out and not missed: {unmissed:#?}"
    );
}

#[test]
fn the_table_of_guards_is_true() {
    let page = include_str!("../../docs/consistency.md");
    for (guard, text, tests) in Guard::ALL {
        let row = page
            .lines()
            .find(|line| line.starts_with(&format!("| {text} |")))
            .unwrap_or_else(|| panic!("docs/consistency.md has no row \"{text}\" ({guard:?})"));
        for test in *tests {
            let named = *test == SIMULATION.0 || row.contains(&format!("`{test}`"));
            assert!(
                named,
                "docs/consistency.md does not name {test} for \"{text}\""
            );
        }
    }
}
