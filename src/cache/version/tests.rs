use super::*;
use crate::cache::sync::model;
use crate::sql::verdict::tests_support::cacheable;

fn loaded(ledger: &Ledger, name: &str) -> (Arc<Database>, u64) {
    let database = ledger.database(name);
    let version = database.load_version().unwrap();
    database
        .publish(Catalog {
            version,
            ..Catalog::default()
        })
        .unwrap();
    (database, version)
}

fn writes(relations: &[Oid], version: u64) -> WriteSet {
    WriteSet::new(Touched::Relations(relations.into()), false, Some(version))
}

#[test]
fn an_open_intent_shuts_and_a_raise_kills() {
    let ledger = Ledger::default();
    let (db, v) = loaded(&ledger, "d");
    let stamp = db.stamp(&cacheable(&[1, 2]), v).unwrap();
    let other = db.stamp(&cacheable(&[3]), v).unwrap();
    let intent = Intent::open(&ledger, &db, &writes(&[2], v));
    assert!(!stamp.holds() && other.holds());
    assert!(
        db.stamp(&cacheable(&[2]), v).is_none(),
        "no fill begins while an intent is open"
    );
    assert!(!stamp.dead(), "the write may yet be rolled back");
    intent.close(Outcome::Visible);
    assert!(!stamp.holds() && stamp.dead() && other.holds());
}

#[test]
fn a_rollback_leaves_entries_valid() {
    let ledger = Ledger::default();
    let (db, v) = loaded(&ledger, "d");
    let stamp = db.stamp(&cacheable(&[1]), v).unwrap();
    Intent::open(&ledger, &db, &writes(&[1], v)).close(Outcome::Nothing);
    assert!(stamp.holds());
}

#[test]
fn a_window_wholly_inside_a_fill_is_seen() {
    let ledger = Ledger::default();
    let (db, v) = loaded(&ledger, "d");
    let stamp = db.stamp(&cacheable(&[1]), v).unwrap();
    Intent::open(&ledger, &db, &writes(&[1], v)).close(Outcome::Visible);
    assert!(!stamp.holds());
}

#[test]
fn everything_is_every_relation_of_that_database_only() {
    let ledger = Ledger::default();
    let (db, v) = loaded(&ledger, "d");
    let (other, w) = loaded(&ledger, "e");
    let here = db.stamp(&cacheable(&[7]), v).unwrap();
    let there = other.stamp(&cacheable(&[7]), w).unwrap();
    let intent = Intent::open(
        &ledger,
        &db,
        &WriteSet::new(Touched::Everything, false, None),
    );
    assert!(!here.holds() && there.holds());
    assert_eq!(
        intent.close(Outcome::Visible),
        Raised {
            tables: 0,
            databases: 1,
            catalog: false
        }
    );
    assert!(here.dead());
}

#[test]
fn a_catalog_change_shuts_every_database_until_a_load_begun_after_it() {
    let ledger = Ledger::default();
    let (db, v) = loaded(&ledger, "d");
    let (other, w) = loaded(&ledger, "e");
    let stamp = other.stamp(&cacheable(&[7]), w).unwrap();
    let begun_before = other.load_version().unwrap();
    let intent = Intent::open(
        &ledger,
        &db,
        &WriteSet::new(Touched::Nothing, true, Some(v)),
    );
    assert!(!stamp.holds() && db.catalog().is_none() && other.catalog().is_none());
    assert!(
        other.load_version().is_none(),
        "no load begins while the change is in flight"
    );
    intent.close(Outcome::Visible);
    let late = Catalog {
        version: begun_before,
        ..Catalog::default()
    };
    assert!(
        other.publish(late).is_err(),
        "a load begun before the change is not good"
    );
    let version = other.load_version().unwrap();
    other
        .publish(Catalog {
            version,
            ..Catalog::default()
        })
        .unwrap();
    assert!(other.catalog().is_some() && !stamp.holds());
}

#[test]
fn p6_a_catalog_change_shuts_a_database_that_is_first_used_meanwhile() {
    let ledger = Ledger::default();
    let (db, v) = loaded(&ledger, "d");
    for outcome in [Outcome::Visible, Outcome::Nothing] {
        let change = WriteSet::new(Touched::Nothing, true, Some(v));
        let intent = Intent::open(&ledger, &db, &change);
        let new = ledger.database(&format!("{outcome:?}"));
        assert!(
            new.load_version().is_none(),
            "what it loads and reads now may have been taken back when the client is told"
        );
        intent.close(outcome);
        assert!(new.load_version().is_some() && db.load_version().is_some());
    }
}

#[test]
fn a_set_resolved_with_an_older_catalog_is_widened() {
    let ledger = Ledger::default();
    let (db, v) = loaded(&ledger, "d");
    db.raise_catalog();
    let w = db.load_version().unwrap();
    db.publish(Catalog {
        version: w,
        ..Catalog::default()
    })
    .unwrap();
    let stamp = db.stamp(&cacheable(&[9]), w).unwrap();
    let intent = Intent::open(&ledger, &db, &writes(&[1], v));
    assert!(
        !stamp.holds(),
        "relation 9 may be written by a trigger that the old catalog did not have"
    );
    intent.close(Outcome::Visible);
}

#[test]
fn a_catalog_waits_for_writes_resolved_with_an_older_one() {
    let ledger = Ledger::default();
    let (db, v) = loaded(&ledger, "d");
    let intent = Intent::open(&ledger, &db, &writes(&[1], v));
    db.raise_catalog();
    let w = db.load_version().unwrap();
    let catalog = db
        .publish(Catalog {
            version: w,
            ..Catalog::default()
        })
        .unwrap_err();
    assert!(db.catalog().is_none());
    intent.close(Outcome::Visible);
    db.publish(catalog).unwrap();
    assert!(db.catalog().is_some());
}

#[test]
fn sets_add_up_and_never_shrink() {
    let mut set = WriteSet::default();
    set.add(&writes(&[2, 5], 1));
    set.add(&writes(&[3], 1));
    assert_eq!(set.touched, Touched::Relations(vec![2, 3, 5].into()));
    set.add(&writes(&[4], 2));
    assert_eq!(
        set.touched,
        Touched::Everything,
        "resolved with two catalogs"
    );
    set.add(&WriteSet::new(Touched::Nothing, true, None));
    assert!(set.catalog && set.touched == Touched::Everything);
}

/// Threads that read, write and change the catalog at once; `truth` is the database, and what each relation's number
/// was is known at both ends of a hit.
#[test]
fn p1_threads_never_find_what_was_raised() {
    use std::sync::atomic::AtomicBool;
    const RELATIONS: [Oid; 2] = [1, 2];
    let ledger = Ledger::default();
    let (db, _) = loaded(&ledger, "d");
    let truth = [AtomicU64::new(0), AtomicU64::new(0)];
    let over = AtomicBool::new(false);
    let now = || truth.each_ref().map(|number| number.load(Ordering::SeqCst));
    let write = |nth: u64| {
        let (touched, catalog) = match nth % 9 {
            0 => (Touched::Everything, false),
            1 => (Touched::Everything, true),
            2 => (Touched::Relations(RELATIONS.into()), false),
            n => (
                Touched::Relations([RELATIONS[n as usize % 2]].into()),
                false,
            ),
        };
        let version = db.catalog().map(|catalog| catalog.version);
        let intent = Intent::open(
            &ledger,
            &db,
            &WriteSet::new(touched.clone(), catalog, version),
        );
        let rolled_back = nth.is_multiple_of(5);
        for (relation, number) in RELATIONS.iter().zip(&truth) {
            let touches = match &touched {
                Touched::Relations(relations) => relations.contains(relation),
                _ => true,
            };
            if touches && !rolled_back {
                number.fetch_add(1, Ordering::SeqCst);
            }
        }
        intent.close(if rolled_back {
            Outcome::Nothing
        } else {
            Outcome::Visible
        });
        if let Some(version) = db.load_version() {
            let _ = db.publish(Catalog {
                version,
                ..Catalog::default()
            });
        }
    };
    let read = || {
        let (mut kept, mut hits) = (None::<(Stamp, [u64; 2])>, 0);
        while !over.load(Ordering::SeqCst) {
            let before = now();
            if let Some((stamp, shown)) = &kept
                && stamp.holds()
            {
                let after = now();
                let legal = (0..2).all(|n| before[n] <= shown[n] && shown[n] <= after[n]);
                assert!(
                    legal,
                    "{shown:?} was served between {before:?} and {after:?}"
                );
                hits += 1;
                continue;
            }
            let Some(catalog) = db.catalog() else {
                continue;
            };
            let Some(stamp) = db.stamp(&cacheable(&RELATIONS), catalog.version) else {
                continue;
            };
            let shown = now();
            kept = stamp.holds().then_some((stamp, shown));
        }
        hits
    };
    let hits: u64 = std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        let writers =
            [0, 1].map(|n| scope.spawn(move || (0..20_000).for_each(|nth| write(nth + n))));
        for writer in writers {
            writer.join().unwrap();
        }
        over.store(true, Ordering::SeqCst);
        readers.map(|reader| reader.join().unwrap()).iter().sum()
    });
    assert!(hits > 0);
    assert!(
        db.stamp(&cacheable(&RELATIONS), db.load_version().unwrap())
            .is_some()
    );
}

/// Threads of a model share the ledger, two numbers that writes raise by one, and how often that was acknowledged.
struct Shared {
    ledger: Ledger,
    db: Arc<Database>,
    numbers: [AtomicU64; 2],
    told: [AtomicU64; 2],
    /// Table 1 has a trigger that writes table 2; the catalogs by version, as far as they were loaded, say so.
    trigger: AtomicU64,
    loaded: Mutex<BTreeMap<u64, bool>>,
}

impl Shared {
    fn new() -> Arc<Shared> {
        let ledger = Ledger::default();
        let (db, version) = loaded(&ledger, "d");
        Arc::new(Shared {
            ledger,
            db,
            numbers: Default::default(),
            told: Default::default(),
            trigger: AtomicU64::new(0),
            loaded: Mutex::new([(version, false)].into()),
        })
    }

    fn load(&self) {
        let Some(version) = self.db.load_version() else {
            return;
        };
        let trigger = self.trigger.load(Ordering::SeqCst) > 0;
        self.loaded
            .lock()
            .unwrap()
            .entry(version)
            .or_insert(trigger);
        let _ = self.db.publish(Catalog {
            version,
            ..Catalog::default()
        });
    }

    /// Writes table 1, and what its trigger does.
    fn write(&self, rolled_back: bool) {
        let set = match self.db.catalog() {
            None => WriteSet::new(Touched::Everything, false, None),
            Some(catalog) => {
                let trigger = self.loaded.lock().unwrap()[&catalog.version];
                writes(if trigger { &[1, 2] } else { &[1] }, catalog.version)
            }
        };
        let intent = Intent::open(&self.ledger, &self.db, &set);
        let fires = self.trigger.load(Ordering::SeqCst) > 0;
        let tables = if fires { 0..2 } else { 0..1 };
        if rolled_back {
            let _ = intent.close(Outcome::Nothing);
            return;
        }
        for n in tables.clone() {
            self.numbers[n].fetch_add(1, Ordering::SeqCst);
        }
        let _ = intent.close(Outcome::Visible);
        for n in tables {
            self.told[n].fetch_add(1, Ordering::SeqCst);
        }
    }

    fn make_trigger(&self) {
        let ddl = WriteSet::new(Touched::Nothing, true, None);
        let intent = Intent::open(&self.ledger, &self.db, &ddl);
        self.trigger.fetch_add(1, Ordering::SeqCst);
        let _ = intent.close(Outcome::Visible);
    }

    /// Reads both tables again and again: what was kept is given as long as it holds.
    fn read(&self) {
        let mut kept: Option<(Stamp, u64)> = None;
        for n in [1, 1, 0, 0, 1] {
            let told = self.told[n].load(Ordering::SeqCst);
            if let Some((stamp, number)) = &kept
                && stamp.relations.len() == n + 1
                && stamp.holds()
            {
                assert!(*number >= told, "{number} was given after {told}");
                continue;
            }
            let tables = if n == 0 { &[1][..] } else { &[1, 2] };
            let Some(catalog) = self.db.catalog() else {
                continue;
            };
            let stamp = self.db.stamp(&cacheable(tables), catalog.version);
            let Some(stamp) = stamp else { continue };
            let number = self.numbers[n].load(Ordering::SeqCst);
            kept = stamp.holds().then_some((stamp, number));
        }
    }

    fn run(threads: Vec<fn(&Shared)>) {
        let shared = Shared::new();
        let spawned = threads.into_iter().map(|act| {
            let shared = shared.clone();
            shuttle::thread::spawn(move || act(&shared))
        });
        for thread in spawned.collect::<Vec<_>>() {
            thread.join().unwrap();
        }
        shared.load();
        let catalog = shared.db.catalog().expect("nothing stays shut");
        let all = cacheable(&[1, 2]);
        assert!(shared.db.stamp(&all, catalog.version).is_some());
    }
}

#[test]
fn p1_model_of_writes_and_of_what_is_kept_meanwhile() {
    model(5000, || {
        Shared::run(vec![
            |shared| shared.write(false),
            |shared| shared.write(true),
            Shared::read,
            Shared::read,
        ]);
    });
}

#[test]
fn p1_model_of_a_trigger_that_is_made_while_a_write_is_resolved() {
    model(5000, || {
        Shared::run(vec![
            |shared| {
                shared.make_trigger();
                shared.load();
            },
            |shared| {
                shared.write(false);
                shared.load();
            },
            Shared::load,
            Shared::read,
        ]);
    });
}
