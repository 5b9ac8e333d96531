//! What can change while Larder runs: the mode, a pause, rules and limits; and what is taken out of memory by hand.
//!
//! * A thread looks at one number before each turn, and takes the new state if that has changed. A statement is decided
//!   under one state.
//! * A change is in force for a fill only if it was when its stamp was taken: the number is looked at again behind the
//!   stamp, and whoever changes raises it before he purges. So nothing is kept under a rule that no longer holds.
//! * While the cache is paused, writes are followed as before: what is in memory stays true, and may be served again the
//!   moment it goes on. `cache.mode = "off"` follows nothing, so it is left and entered by a restart only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::lazy::Transactions;
use super::thread::{Mode, Shared};
use crate::cache::Micros;
use crate::cache::rules::Rules;
use crate::config::Share;
use crate::metrics::{Scope, Source};
use crate::why::Why;

/// What can change while Larder runs.
#[derive(Clone, Debug)]
pub struct Live {
    pub mode: Mode,
    /// Nothing is served or kept until an operator says so.
    pub paused: bool,
    /// Another process has clients of the same listeners: writes of which this one hears nothing.
    pub shared: bool,
    pub transactions: Transactions,
    pub rules: Rules,
    /// How long a miss waits for an equal one that is under way; 0: not at all.
    pub coalesce_wait: Micros,
    pub verify: Verify,
    /// Whether each hit is told to the log.
    pub audit: bool,
}

/// What the self-check looks at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Verify {
    /// The share of hits that is looked at.
    pub sample: Share,
    /// Whether others write past this Larder.
    pub outside_writers: bool,
}

/// The state of the process.
#[derive(Debug)]
pub struct Steering {
    live: ArcSwap<Live>,
    turn: AtomicU64,
}

impl Live {
    /// Why nothing is served or kept.
    pub fn shut(&self) -> Option<Why> {
        match self {
            Live {
                mode: Mode::Off, ..
            } => Some(Why::Off),
            Live { paused: true, .. } => Some(Why::Paused),
            Live { shared: true, .. } => Some(Why::Upgrade),
            _ => None,
        }
    }
}

impl Default for Live {
    fn default() -> Live {
        Live {
            mode: Mode::On,
            paused: false,
            shared: false,
            transactions: Transactions::UntilWrite,
            rules: Rules::default(),
            coalesce_wait: 1_000_000,
            verify: Verify::default(),
            audit: false,
        }
    }
}

impl Steering {
    /// The state at start.
    pub fn new(live: Live) -> Steering {
        Steering {
            live: ArcSwap::from_pointee(live),
            turn: AtomicU64::new(1),
        }
    }

    /// The state of this moment.
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// A number that is another after each change.
    #[inline]
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::SeqCst)
    }
}

/// What is taken out of memory by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Everything.
    All,
    /// What reads a table or view; in every database, or in one.
    Table {
        database: Option<Box<str>>,
        schema: Box<str>,
        name: Box<str>,
    },
    /// A statement, by the number of its shape.
    Statement(u64),
    /// What was made for a role (`current_user`).
    Role(Box<str>),
}

impl Shared {
    /// Shuts the cache while two processes have clients of the same listeners. When it returns, no statement that is
    /// read from a client from then on is answered from memory.
    pub fn shut(&self) {
        self.steer(|live| live.shared = true);
    }

    /// Opens it when this process is the only one again: what the other wrote or changed is not known, so nothing that
    /// was read before is true.
    pub fn open(&self) {
        for database in self.ledger.all() {
            database.raise_all();
            database.raise_catalog();
        }
        self.store.purge(|_, _| true);
        self.steer(|live| live.shared = false);
    }

    /// Whether answers may be served: not while the cache is off, paused or shut for an upgrade, or the catalog of a
    /// database is not known.
    pub fn is_open(&self) -> bool {
        let live = self.steering.live();
        live.mode == Mode::On
            && live.shut().is_none()
            && self
                .ledger
                .all()
                .iter()
                .all(|database| database.catalog().is_some())
    }

    /// Changes the state. When it returns, every turn that begins and every stamp that is taken is under the new one. What
    /// was kept, and what is on its way to be, stays: who changes what that must not outlive purges behind it.
    pub fn steer(&self, change: impl Fn(&mut Live)) {
        self.steering.live.rcu(|live| {
            let mut live = Live::clone(live);
            change(&mut live);
            live
        });
        self.steering.turn.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes answers out of memory. When it returns, none of them is served again, and no fill that had begun is kept.
    /// Gives how many there were; `None` for a table that no loaded catalog has.
    pub fn purge(&self, purge: &Purge) -> Option<usize> {
        let gone = match purge {
            Purge::All => {
                for database in self.ledger.all() {
                    database.raise_all();
                }
                self.quarantine.clear();
                self.store.purge(|_, _| true)
            }
            Purge::Table {
                database,
                schema,
                name,
            } => {
                let wanted = |name: &str| database.as_deref().is_none_or(|wanted| wanted == name);
                let all = self.ledger.all();
                let mut raised = Vec::new();
                for database in all.iter().filter(|database| wanted(database.name())) {
                    if let Some(relation) = database.relation_named(schema, name) {
                        database.raise(relation);
                        raised.push((database.clone(), relation));
                    }
                }
                if raised.is_empty() {
                    return None;
                }
                self.store.purge(|_, header| {
                    let mut relations = header.stamp.relations();
                    relations.any(|(of, relation)| {
                        raised.iter().any(|(database, found)| {
                            Arc::ptr_eq(of, database) && *found == relation
                        })
                    })
                })
            }
            Purge::Statement(number) => self.store.purge(|_, header| header.statement == *number),
            Purge::Role(role) => {
                let contexts = self.contexts.of_role(role);
                self.store.purge(|key, _| contexts.contains(&key.context()))
            }
        };
        let scope = match purge {
            Purge::All => Scope::Database,
            _ => Scope::Table,
        };
        self.metrics.invalidated(scope, Source::Console);
        Some(gone)
    }
}
