//! P1, P4 and P5 under load: writers and readers on versioned rows (`accounts`), with backends being terminated meanwhile.

pub use crate::accounts::SCHEMA;
use crate::accounts::{ACCOUNTS, Versioned, read, write};
use crate::ground::{Ground, SUPERUSER, server_port};
use crate::wireclient::{Answered, Login};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const WRITERS: usize = 2;
const READERS: usize = 4;

#[derive(Default)]
struct World {
    accounts: [Versioned; ACCOUNTS],
    stop: AtomicBool,
    reads: AtomicU64,
    writes: AtomicU64,
    lost: AtomicU64,
}

impl World {
    fn running(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }
}

fn writer(world: &World, login: &Login, number: usize) {
    let mut client = None;
    for step in 0.. {
        if !world.running() {
            return;
        }
        // Each account has one writer, so that versions grow in the order of the acknowledgements.
        let id = (step as usize * WRITERS + number) % ACCOUNTS;
        let account = &world.accounts[id];
        let Some(connection) = client.as_mut() else {
            client = login.try_connect().ok();
            continue;
        };
        let version = account.next();
        if write(connection, id, version, step / 3) {
            account.acknowledge(version);
            world.writes.fetch_add(1, Ordering::SeqCst);
        } else {
            world.lost.fetch_add(1, Ordering::SeqCst);
            client = None;
        }
        std::thread::sleep(Duration::from_micros(1500));
    }
}

fn reader(world: &World, login: &Login, number: usize) -> Result<(), String> {
    let mut client = None;
    let mut step = number as u64;
    while world.running() {
        step += 1;
        let id = (step as usize * 5 + number) % ACCOUNTS;
        let account = &world.accounts[id];
        let Some(connection) = client.as_mut() else {
            client = login.try_connect().ok();
            continue;
        };
        let before = account.before();
        let Some((a, b)) = read(connection, id, step / 2) else {
            client = None;
            continue;
        };
        world.reads.fetch_add(1, Ordering::SeqCst);
        let torn = || Err(format!("torn: versions {a} and {b}"));
        let verdict = account.judge(before, a);
        let verdict = if a == b { verdict } else { torn() };
        if let Err(what) = verdict {
            let last = client.take().map(|mut c| c.larder_last());
            return Err(format!("account {id}: {what} ({last:?})"));
        }
    }
    Ok(())
}

/// What happens meanwhile; it is called again and again until the time is over.
pub type Disturb<'a> = &'a mut dyn FnMut(&mut Ground);

/// Writers and readers by these logins (past Larder) until the time is over. Gives how many writes were not answered.
pub fn storm(
    ground: &mut Ground,
    logins: &[Login],
    duration: Duration,
    disturb: Disturb<'_>,
) -> u64 {
    let name = ground.database.clone();
    let world = World::default();
    let logins: Vec<_> = logins.iter().map(|login| ground.over(login)).collect();
    let verdicts = std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let (world, login) = (&world, &logins[number % logins.len()]);
            scope.spawn(move || writer(world, login, number));
        }
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                let (world, login) = (&world, &logins[number / 2 % logins.len()]);
                scope.spawn(move || {
                    let verdict = reader(world, login, number);
                    if verdict.is_err() {
                        world.stop.store(true, Ordering::SeqCst);
                    }
                    verdict
                })
            })
            .collect();
        let end = Instant::now() + duration;
        while Instant::now() < end && world.running() {
            disturb(ground);
        }
        world.stop.store(true, Ordering::SeqCst);
        readers
            .into_iter()
            .map(|r| r.join().expect("a reader"))
            .collect::<Vec<_>>()
    });
    for verdict in verdicts {
        if let Err(what) = verdict {
            panic!("{what}");
        }
    }
    let (reads, writes, lost) = (
        world.reads.into_inner(),
        world.writes.into_inner(),
        world.lost.into_inner(),
    );
    let hits = ground.larder.outcome("hit");
    println!("{name}: {reads} reads, {hits} of them hits, {writes} writes, {lost} lost");
    assert!(
        reads > 100 && writes > 20,
        "{reads} reads, {writes} writes: nothing was tested"
    );
    assert!(
        hits > 0.0,
        "{hits} hits of {reads} reads: the cache was not tested"
    );
    // In the end both say the same.
    let read = "SELECT * FROM both_rows ORDER BY id";
    assert_eq!(ground.direct().query(read), ground.through().query(read));
    // What was acknowledged is there.
    for (id, account) in world.accounts.iter().enumerate() {
        let sql = format!("SELECT version FROM rows_a WHERE id = {id}");
        let there: u64 = ground.direct().ok(&sql).value().unwrap().parse().unwrap();
        let acknowledged = account.acknowledged();
        assert!(
            there >= acknowledged,
            "{id}: {there}, {acknowledged} was acknowledged"
        );
    }
    lost
}

fn run(name: &str, duration: Duration, terminate: Option<Duration>) {
    let mut ground = Ground::new(name, SCHEMA);
    ground.warm("rows_a");
    let mut assassin = Login::new(server_port(), SUPERUSER, "postgres").connect();
    let login = ground.login();
    let lost = storm(&mut ground, &[login], duration, &mut |_| {
        std::thread::sleep(terminate.unwrap_or(Duration::from_millis(100)));
        if terminate.is_some() {
            // One backend at random, Larder's own among them.
            assassin.ok(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' ORDER BY random() LIMIT 1"
            ));
        }
    });
    let hits = ground.larder.outcome("hit");
    assert!(hits > 20.0, "{hits} hits: the cache was not tested");
    assert!(
        terminate.is_none() || lost > 0,
        "no write was ever lost: the terminations were not tested"
    );
}

#[test]
fn p1_p4_p5_nothing_stale_torn_or_backwards() {
    run("consistency_calm", Duration::from_secs(5), None);
}

#[test]
fn p9_nothing_stale_while_backends_are_terminated() {
    run(
        "consistency_storm",
        Duration::from_secs(8),
        Some(Duration::from_millis(150)),
    );
}
