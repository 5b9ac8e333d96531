use super::super::key::Asked;
use super::super::reply::Reply;
use super::super::store::Store;
use super::super::sync::{AtomicU64, model};
use super::super::version::{Fresh, Intent, Ledger, Outcome, WriteSet};
use super::*;
use crate::sql::verdict::tests_support::cacheable;
use crate::sql::{Catalog, Touched};
use shuttle::thread;
use std::task::Wake;

const LIMIT: Micros = 1000;

struct World {
    ledger: Ledger,
    db: Arc<Database>,
    version: u64,
    store: Store,
}

fn asked(text: &str) -> Asked<'_> {
    Asked {
        context: 1,
        text: text.as_bytes(),
        types: b"",
        tail: None,
        limit: 0,
    }
}

impl World {
    fn new() -> World {
        let ledger = Ledger::default();
        let db = ledger.database("d");
        let version = db.load_version().unwrap();
        let catalog = Catalog {
            version,
            ..Catalog::default()
        };
        db.publish(catalog).unwrap();
        World {
            ledger,
            db,
            version,
            store: Store::new(1 << 20, 1000, 1),
        }
    }

    /// A miss of a statement that reads table 1.
    fn miss(&self, text: &str) -> Fill {
        self.try_miss(text).unwrap()
    }

    fn try_miss(&self, text: &str) -> Option<Fill> {
        let stamp = self.db.stamp(&cacheable(&[1]), self.version)?;
        Some(Fill::new(asked(text).to_key(), stamp, 1 << 40, 0, 100))
    }

    fn write(&self) -> Intent {
        let writes = WriteSet::new(Touched::Relations([1].into()), false, Some(self.version));
        Intent::open(&self.ledger, &self.db, &writes)
    }
}

fn asks(now: Micros) -> Asks {
    Asks {
        described: false,
        now,
        limit: LIMIT,
        waits: true,
    }
}

fn leads(entered: Entered) -> Lead {
    match entered {
        Entered::Leads(lead) => lead,
        other => panic!("{other:?}"),
    }
}

fn follows(entered: Entered) -> Ticket {
    match entered {
        Entered::Follows(ticket) => ticket,
        other => panic!("{other:?}"),
    }
}

fn alone(entered: Entered) -> bool {
    matches!(entered, Entered::Alone)
}

#[test]
fn who_waits_is_freed_when_the_answer_is_kept_and_finds_it() {
    let world = World::new();
    let mut fill = world.miss("a");
    fill.lead(leads(enter(&fill, asks(0))));
    let other = leads(enter(&world.miss("b"), asks(0)));
    let tickets = [0, 1].map(|_| follows(enter(&world.miss("a"), asks(5))));
    assert!(tickets.iter().all(|ticket| !ticket.is_over()));
    fill.complete(b"C\0");
    assert!(world.store.keep(fill, 9));
    assert!(tickets.iter().all(|ticket| ticket.is_over()));
    assert!(world.store.lookup(&asked("a"), false, 9).is_some());
    assert_eq!(world.db.flights.count(), (1, 0));
    drop(other);
    assert_eq!(world.db.flights.count(), (0, 0));
}

#[test]
fn who_waits_is_freed_when_the_leader_is_lost_and_one_leads_next() {
    let world = World::new();
    let lead = leads(enter(&world.miss("a"), asks(0)));
    let [one, other] = [0, 1].map(|_| follows(enter(&world.miss("a"), asks(5))));
    drop(lead);
    assert!(one.is_over() && other.is_over());
    let _next = leads(enter(&world.miss("a"), asks(6)));
    let _again = follows(enter(&world.miss("a"), asks(6)));
}

#[test]
fn what_is_not_kept_is_not_waited_for_again() {
    let world = World::new();
    let mut fill = world.miss("a");
    fill.lead(leads(enter(&fill, asks(0))));
    let ticket = follows(enter(&world.miss("a"), asks(5)));
    fill.rows(&[0; 101], 1);
    assert!(fill.is_too_large() && ticket.is_over());
    assert!(alone(enter(&world.miss("a"), asks(6))));
    drop(fill);
    assert!(alone(enter(&world.miss("a"), asks(LIMIT - 1))));
    let _next = leads(enter(&world.miss("a"), asks(LIMIT)));
}

#[test]
fn a_write_that_opens_frees_at_once() {
    let world = World::new();
    let lead = leads(enter(&world.miss("a"), asks(0)));
    let ticket = follows(enter(&world.miss("a"), asks(5)));
    let intent = world.write();
    assert!(ticket.is_over());
    assert!(world.try_miss("a").is_none());
    intent.close(Outcome::Visible);
    assert!(alone(enter(&world.miss("a"), asks(6))), "nobody waits");
    drop(lead);

    // Nobody has waited: the next leads, though the one before is still under way.
    let before = leads(enter(&world.miss("b"), asks(10)));
    world.write().close(Outcome::Visible);
    let next = leads(enter(&world.miss("b"), asks(11)));
    drop(before);
    let ticket = follows(enter(&world.miss("b"), asks(12)));
    drop(next);
    assert!(ticket.is_over());
}

#[test]
fn every_change_of_the_ledger_frees() {
    type Change = fn(&World);
    let changes: [Change; 4] = [
        |world| world.db.raise(1),
        |world| world.db.raise_catalog(),
        |world| world.db.blind(),
        |world| {
            let catalog = WriteSet::new(Touched::Nothing, true, None);
            // DDL in another database.
            let other = world.ledger.database("e");
            Intent::open(&world.ledger, &other, &catalog).close(Outcome::Nothing);
        },
    ];
    for change in changes {
        let world = World::new();
        let lead = leads(enter(&world.miss("a"), asks(0)));
        let ticket = follows(enter(&world.miss("a"), asks(5)));
        world.db.raise(2);
        assert!(!ticket.is_over(), "another table");
        change(&world);
        assert!(ticket.is_over());
        drop(lead);
    }
}

#[test]
fn a_miss_older_than_the_leader_goes_alone() {
    let world = World::new();
    let old = world.miss("a");
    world.write().close(Outcome::Visible);
    let _lead = leads(enter(&world.miss("a"), asks(0)));
    assert!(alone(enter(&old, asks(1))));
}

#[test]
fn a_slow_leader_gives_way() {
    let world = World::new();
    let slow = leads(enter(&world.miss("a"), asks(0)));
    let ticket = follows(enter(&world.miss("a"), asks(LIMIT - 1)));
    let next = leads(enter(&world.miss("a"), asks(LIMIT)));
    assert!(ticket.is_over());
    drop(slow);
    let ticket = follows(enter(&world.miss("a"), asks(LIMIT + 1)));
    assert!(!ticket.is_over(), "the one that was slow ends no other's");
    drop(next);
    assert!(ticket.is_over());
}

#[test]
fn a_leader_without_description_is_waited_for_by_those_who_need_none() {
    let world = World::new();
    let described = |described| Asks {
        described,
        ..asks(1)
    };
    let _lead = leads(enter(&world.miss("a"), described(false)));
    assert!(alone(enter(&world.miss("a"), described(true))));
    let _ticket = follows(enter(&world.miss("a"), described(false)));
    let _lead = leads(enter(&world.miss("b"), described(true)));
    let _ticket = follows(enter(&world.miss("b"), described(false)));
    let never = Asks {
        waits: false,
        ..asks(1)
    };
    assert!(alone(enter(&world.miss("b"), never)));
}

#[test]
fn flights_and_followers_are_bounded() {
    let world = World::new();
    let lead = leads(enter(&world.miss("a"), asks(0)));
    let tickets: Vec<Ticket> = (0..FOLLOWERS)
        .map(|_| follows(enter(&world.miss("a"), asks(1))))
        .collect();
    assert!(alone(enter(&world.miss("a"), asks(1))));
    drop(tickets);
    let _ticket = follows(enter(&world.miss("a"), asks(1)));
    assert_eq!(world.db.flights.count().1, 1, "who has left is forgotten");
    drop(lead);
    let mut leads = Vec::new();
    let entered = |n: usize| enter(&world.miss(&format!("{n}")), asks(1));
    for n in 0..2 * FLIGHTS * SHARDS {
        match entered(n) {
            Entered::Leads(lead) => leads.push(lead),
            Entered::Alone => {}
            Entered::Follows(_) => panic!("two statements have one hash"),
        }
    }
    assert_eq!(world.db.flights.count().0, FLIGHTS * SHARDS);
    leads.into_iter().for_each(Lead::ground);
    // What was not kept makes room once it says nothing any more.
    let later = Asks {
        now: 2 * LIMIT,
        ..asks(1)
    };
    assert!(matches!(enter(&world.miss("z"), later), Entered::Leads(_)));
    assert!(world.db.flights.count().0 < FLIGHTS * SHARDS);
}

#[test]
fn a_follower_knows_what_became_of_it() {
    let world = World::new();
    let _lead = leads(enter(&world.miss("a"), asks(0)));
    let [one, other] = [0, 1].map(|_| follows(enter(&world.miss("a"), asks(5))));
    let waits = [one.clone(), other.clone()];
    assert_eq!(waits[0].outcome(), None);
    one.goes();
    drop(other);
    assert_eq!(waits.map(|wait| wait.outcome()), [Some(true), Some(false)]);
}

struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// What threads of a model share: a database of one number, who has been told of it, and the world.
struct Shared {
    world: World,
    truth: AtomicU64,
    acknowledged: AtomicU64,
}

impl Shared {
    fn new() -> Arc<Shared> {
        Arc::new(Shared {
            world: World::new(),
            truth: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
        })
    }

    fn write(&self) {
        let intent = self.world.write();
        self.truth.fetch_add(1, Ordering::SeqCst);
        intent.close(Outcome::Visible);
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
    }

    /// Sends a miss, and keeps what comes.
    fn ask(&self, mut fill: Fill) -> u64 {
        let number = self.truth.load(Ordering::SeqCst);
        fill.rows(&number.to_be_bytes(), 1);
        fill.complete(b"");
        self.world.store.keep(fill, 1);
        number
    }

    fn kept(&self) -> Option<u64> {
        let entry: Fresh = self.world.store.lookup(&asked("a"), false, 1)?;
        Some(u64::from_be_bytes(entry.rows().try_into().unwrap()))
    }

    /// A client reads as a session does: `breaks`: its connection does when it leads.
    fn read(&self, breaks: bool) {
        let told = self.acknowledged.load(Ordering::SeqCst);
        for round in 0..3 {
            if let Some(number) = self.kept() {
                return assert!(number >= told, "{number} after {told}");
            }
            let Some(mut fill) = self.world.try_miss("a") else {
                break;
            };
            let waits = round < 2;
            match enter(&fill, Asks { waits, ..asks(1) }) {
                Entered::Leads(_) if breaks => return,
                Entered::Leads(lead) => {
                    fill.lead(lead);
                    assert!(self.ask(fill) >= told);
                    return;
                }
                Entered::Follows(ticket) => wait(&ticket),
                Entered::Alone => {
                    assert!(self.ask(fill) >= told);
                    return;
                }
            }
        }
        assert!(self.truth.load(Ordering::SeqCst) >= told);
    }
}

/// As a connection waits: polled, and again only when woken.
fn wait(ticket: &Ticket) {
    let woken = Arc::new(Woken(AtomicU64::new(0)));
    let waker = Waker::from(woken.clone());
    let mut seen = 0;
    while ticket.poll_over(&Context::from_waker(&waker)).is_pending() {
        while woken.0.load(Ordering::SeqCst) == seen {}
        seen = woken.0.load(Ordering::SeqCst);
    }
}

/// What one thread of a model does.
type Act = Box<dyn FnOnce(&Shared) + Send>;

fn run(threads: Vec<Act>) {
    let shared = Shared::new();
    let spawned = threads.into_iter().map(|act| {
        let shared = shared.clone();
        thread::spawn(move || act(&shared))
    });
    for thread in spawned.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
    let flights = &shared.world.db.flights;
    assert_eq!(flights.awaited.load(Ordering::SeqCst), 0);
    assert_eq!(flights.count().1, 0);
}

#[test]
fn p1_model_of_a_write_among_equal_reads() {
    model(3000, || {
        run(vec![
            Box::new(|shared| shared.read(false)),
            Box::new(|shared| shared.read(false)),
            Box::new(|shared| {
                shared.write();
                shared.read(false);
            }),
        ]);
    });
}

#[test]
fn p8_model_of_leaders_that_are_lost() {
    model(3000, || {
        run(vec![
            Box::new(|shared| shared.read(true)),
            Box::new(|shared| shared.read(false)),
            Box::new(|shared| shared.read(true)),
            Box::new(Shared::write),
        ]);
    });
}
