//! Runs of the simulation: by seed, and from a list of steps that gets shorter as long as it fails.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Simulation, Tally};

/// A small generator of numbers.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// How many of the bytes on the way arrive.
pub fn cut(len: usize, rng: &mut Rng) -> usize {
    match rng.below(6) {
        0 => rng.below(10).min(len),
        1 => rng.below(len + 1),
        _ => len,
    }
}

/// Messages for people, as far as they are whole.
pub fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = match text.split_once("SELECT pg_catalog") {
        Some((before, _)) => format!("{before}(what are you?)"),
        None => text.into_owned(),
    };
    let plain = |c: char| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '.'
        }
    };
    text.chars().map(plain).collect()
}

/// Runs a schedule; the error says what was wrong, after how many steps.
fn run(seed: u64, schedule: &[u64], traced: bool) -> Result<Tally, (String, usize, Vec<String>)> {
    let mut simulation = Simulation::new(seed);
    simulation.trace = traced.then(Vec::new);
    let mut at = 0;
    let done = catch_unwind(AssertUnwindSafe(|| {
        for number in schedule {
            at += 1;
            simulation.step(*number)?;
        }
        simulation.finish()
    }));
    let error = match done {
        Ok(Ok(())) => return Ok(simulation.tally),
        Ok(Err(error)) => error,
        Err(_) => "a panic".into(),
    };
    Err((error, at, simulation.trace.take().unwrap_or_default()))
}

/// Leaves out what is not needed for the failure.
fn shrunk(seed: u64, mut schedule: Vec<u64>) -> Vec<u64> {
    let mut part = schedule.len().div_ceil(2);
    let mut runs = 0;
    while part > 0 && runs < 3000 {
        let (mut at, before) = (0, schedule.len());
        while at < schedule.len() && runs < 3000 {
            let mut shorter = schedule.clone();
            shorter.drain(at..(at + part).min(schedule.len()));
            runs += 1;
            match run(seed, &shorter, false) {
                Err((_, steps, _)) => {
                    shorter.truncate(steps);
                    schedule = shorter;
                }
                Ok(_) => at += part,
            }
        }
        if part == 1 && schedule.len() == before {
            break;
        }
        part = if part == 1 { 1 } else { part / 2 };
    }
    schedule
}

fn simulate(seed: u64, steps: usize) -> Tally {
    let mut rng = Rng(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
    let schedule: Vec<u64> = (0..steps).map(|_| rng.next()).collect();
    let (error, at, _) = match run(seed, &schedule, false) {
        Ok(tally) => return tally,
        Err(failed) => failed,
    };
    if crate::guard::one_is_out() {
        panic!("seed {seed} fails at step {at}: {error}");
    }
    let short = shrunk(seed, schedule[..at].to_vec());
    let (shorter, _, trace) = run(seed, &short, true).expect_err("it has failed before");
    panic!(
        "seed {seed} fails at step {at}: {error}\nshrunk to {} steps: {shorter}\n{}\nagain: LARDER_SIM_SEEDS={seed} cargo test simulation",
        short.len(),
        trace.join("\n")
    );
}

#[test]
fn p1_p4_p5_p9_simulation_of_clients_over_one_ledger() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|value| value.parse().ok())
    };
    let asked = std::env::var("LARDER_SIM_SEEDS").unwrap_or_else(|_| "0..500".into());
    let (first, end) = match asked.split_once("..") {
        Some((first, end)) => (first.parse().unwrap(), end.parse().unwrap()),
        None => (asked.parse().unwrap(), asked.parse::<u64>().unwrap() + 1),
    };
    let steps = number("LARDER_SIM_STEPS").unwrap_or(3000);
    let mut all = Tally::default();
    for seed in first..end {
        let tally = simulate(seed, steps);
        all.steps += tally.steps;
        all.hits += tally.hits;
        all.in_doubt += tally.in_doubt;
        all.loads += tally.loads;
        all.states += tally.states;
        all.evicted += tally.evicted;
        all.shared += tally.shared;
        all.coalesced += tally.coalesced;
        all.freed += tally.freed;
        all.asked += tally.asked;
    }
    println!("{all:?}");
    // A simulation in which nothing happens finds nothing.
    let seeds = (end - first) as usize;
    assert!(all.hits > 10 * seeds && all.states > 5 * seeds, "{all:?}");
    assert!(
        seeds < 50
            || (all.in_doubt > 0
                && all.evicted > 0
                && all.shared > 0
                && 4 * all.asked > seeds
                && all.coalesced > seeds / 10
                && all.freed > seeds / 50),
        "{all:?}"
    );
}
