//! P1, P4 and P5 under load: writers and readers on versioned rows, with backends being terminated meanwhile.
//!
//! Every account has two rows that are always updated together. A read is stale if it shows less than what was
//! acknowledged before it was sent; torn if the two rows differ; non-monotonic if it shows less than any read that
//! had ended before it was sent, on whatever connection.

use crate::ground::{Ground, SUPERUSER, server_port};
use crate::wireclient::{Answered, Batch, Client, Login, Transcript};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const ACCOUNTS: usize = 8;
const WRITERS: usize = 2;
const READERS: usize = 4;

pub const SCHEMA: &str = "
    CREATE TABLE rows_a (id int PRIMARY KEY, version bigint NOT NULL);
    CREATE TABLE rows_b (id int PRIMARY KEY, version bigint NOT NULL);
    INSERT INTO rows_a SELECT g, 0 FROM generate_series(0, 7) g;
    INSERT INTO rows_b SELECT g, 0 FROM generate_series(0, 7) g;
    CREATE VIEW both_rows AS SELECT a.id, a.version AS a, b.version AS b FROM rows_a a JOIN rows_b b USING (id);
    CREATE FUNCTION bump(i int, v bigint) RETURNS void LANGUAGE plpgsql AS
        $$ BEGIN UPDATE rows_a SET version = v WHERE id = i; UPDATE rows_b SET version = v WHERE id = i; END $$;";

/// What is known of each account.
#[derive(Default)]
struct Account {
    /// Given out to a write, whether or not it succeeded.
    tried: AtomicU64,
    acknowledged: AtomicU64,
    seen: AtomicU64,
}

#[derive(Default)]
struct World {
    accounts: [Account; ACCOUNTS],
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

/// One write of one account in one of many ways; true if it was acknowledged.
fn write(client: &mut Client, id: usize, version: u64, way: u64) -> bool {
    let a = format!("UPDATE rows_a SET version = {version} WHERE id = {id}");
    let b = format!("UPDATE rows_b SET version = {version} WHERE id = {id}");
    let both = format!("WITH a AS ({a}) {b}");
    let done = |t: &Transcript| t.tags().ends_with('Z') && t.error().is_none();
    let id = id.to_string();
    match way % 7 {
        0 => done(&client.query(&both)),
        1 => done(&client.extended(&both, &[])),
        2 => ["BEGIN", &a, &b, "COMMIT"]
            .iter()
            .all(|sql| done(&client.query(sql))),
        3 => done(
            &client.run(
                Batch::new()
                    .unnamed("BEGIN", &[])
                    .unnamed(&a, &[])
                    .unnamed(&b, &[])
                    .unnamed("COMMIT", &[])
                    .sync(),
            ),
        ),
        4 => done(&client.run(Batch::new().unnamed(&a, &[]).unnamed(&b, &[]).sync())),
        5 => done(&client.query(&format!("{a}; {b}"))),
        _ => done(&client.extended(
            "SELECT bump($1::int, $2::bigint)",
            &[&id, &version.to_string()],
        )),
    }
}

/// One read of one account in one of many ways; the two versions, or `None` if the connection failed.
fn read(client: &mut Client, id: usize, way: u64) -> Option<(u64, u64)> {
    let joined = format!(
        "SELECT a.version, b.version FROM rows_a a, rows_b b WHERE a.id = {id} AND b.id = {id}"
    );
    let view = format!("SELECT a, b FROM both_rows WHERE id = {id}");
    let answer = match way % 5 {
        0 => client.query(&joined),
        1 => client.extended(&joined, &[]),
        2 => client.query(&view),
        3 => client.extended(
            "SELECT a, b FROM both_rows WHERE id = $1",
            &[&id.to_string()],
        ),
        _ => {
            let t = client.run(
                Batch::new()
                    .unnamed("BEGIN", &[])
                    .unnamed(&view, &[])
                    .unnamed("COMMIT", &[])
                    .sync(),
            );
            if !t.tags().ends_with('Z') {
                return None;
            }
            t
        }
    };
    let rows = answer.rows();
    let row = rows.first()?;
    if answer.error().is_some() || !answer.tags().ends_with('Z') {
        return None;
    }
    Some((
        row[0].as_ref()?.parse().ok()?,
        row[1].as_ref()?.parse().ok()?,
    ))
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
        let version = account.tried.fetch_add(1, Ordering::SeqCst) + 1;
        if write(connection, id, version, step / 3) {
            account.acknowledged.store(version, Ordering::SeqCst);
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
        let acknowledged = account.acknowledged.load(Ordering::SeqCst);
        let seen = account.seen.load(Ordering::SeqCst);
        let Some((a, b)) = read(connection, id, step / 2) else {
            client = None;
            continue;
        };
        world.reads.fetch_add(1, Ordering::SeqCst);
        account.seen.fetch_max(a, Ordering::SeqCst);
        let tried = account.tried.load(Ordering::SeqCst);
        let mut outcome = || {
            client
                .take()
                .map(|mut c| c.larder_last())
                .unwrap_or_default()
        };
        if a != b {
            return Err(format!(
                "torn: account {id} has versions {a} and {b} ({})",
                outcome()
            ));
        }
        if a < acknowledged {
            return Err(format!(
                "stale: account {id} shows {a}, {acknowledged} was acknowledged ({})",
                outcome()
            ));
        }
        if a < seen {
            return Err(format!(
                "back in time: account {id} shows {a}, {seen} was seen before ({})",
                outcome()
            ));
        }
        if a > tried {
            return Err(format!(
                "from nowhere: account {id} shows {a}, {tried} is the last that was tried"
            ));
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
        let acknowledged = account.acknowledged.load(Ordering::SeqCst);
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
