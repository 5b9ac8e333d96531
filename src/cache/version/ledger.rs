//! The databases of one ledger, by name.
//!
//! * Roles and privileges are the cluster's: an intent on one catalog shuts all, and those that are used for the first
//!   time while it is open (P6).
//!
//! Not here: what is true of one database (`version`).

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use super::Database;
use crate::cache::servers::Servers;
use crate::cache::sync::RwLock;
use crate::guard::{Guard, stands};

/// All databases that clients have used.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(super) databases: Arc<RwLock<Databases>>,
    /// Told of each new one: somebody must load its catalog.
    new: Option<UnboundedSender<Arc<Database>>>,
    /// Which server they are on.
    pub servers: Servers,
}

/// All of them, and whether their catalogs are being changed.
#[derive(Debug, Default)]
pub(super) struct Databases {
    by_name: HashMap<Box<str>, Arc<Database>>,
    /// Open intents on the catalogs. They shut a database that is used for the first time meanwhile, too: what it loads
    /// and reads before the change is visible must not outlive it.
    changing: usize,
}

impl Databases {
    fn made(&mut self, name: &str) -> Arc<Database> {
        let database = Arc::new(Database::new(name));
        let changing = if stands(Guard::NewDatabases) {
            self.changing
        } else {
            0
        };
        for _ in 0..changing {
            database.catalog.open();
        }
        self.by_name.insert(name.into(), database.clone());
        database
    }

    pub(super) fn open_catalogs(&mut self) {
        self.changing += 1;
        for database in self.by_name.values().take(reached()) {
            database.catalog.open();
            database.flights.shaken();
        }
    }

    pub(super) fn close_catalogs(&mut self, raise: bool) {
        self.changing -= 1;
        for database in self.by_name.values().take(reached()) {
            database.catalog.close(raise);
            database.wanted.notify_one();
        }
    }
}

/// How many catalogs a change of one reaches.
fn reached() -> usize {
    if stands(Guard::AllCatalogs) {
        usize::MAX
    } else {
        1
    }
}

impl Ledger {
    /// A ledger that tells of each database that is used for the first time.
    pub fn telling(new: UnboundedSender<Arc<Database>>, servers: Servers) -> Ledger {
        Ledger {
            databases: Arc::default(),
            new: Some(new),
            servers,
        }
    }

    /// The database of that name, made at first need.
    pub fn database(&self, name: &str) -> Arc<Database> {
        if let Some(found) = self
            .databases
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .by_name
            .get(name)
        {
            return found.clone();
        }
        let mut databases = self
            .databases
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = databases.by_name.get(name) {
            return found.clone();
        }
        let database = databases.made(name);
        if let Some(new) = &self.new {
            let _ = new.send(database.clone());
        }
        database
    }

    /// Open intents on the catalogs.
    pub(super) fn changing(&self) -> usize {
        let databases = self.databases.read();
        databases.unwrap_or_else(PoisonError::into_inner).changing
    }

    /// Every database named so far.
    pub fn all(&self) -> Vec<Arc<Database>> {
        let databases = self.databases.read();
        let databases = databases.unwrap_or_else(PoisonError::into_inner);
        databases.by_name.values().cloned().collect()
    }

    /// No catalog can be watched, or another server is in use: what was kept or loaded is void.
    pub fn blind(&self) {
        for database in self.all() {
            database.blind();
        }
    }
}
