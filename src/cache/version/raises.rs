//! What was raised, when and how often, for people.
//!
//! * Nothing here decides anything. How often is the version itself; when is noted by whoever looks, every second, so
//!   that a write pays nothing for it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use super::{Database, Ledger, STEP, Slot, Stamp};
use crate::sql::Oid;
use crate::sql::catalog::SYSTEM_CATALOGS;
use crate::sql::statement::Name;

/// Whose slot it is, and what was last seen of it.
#[derive(Debug, Default)]
pub(super) struct Noted {
    relation: Oid,
    version: AtomicU64,
    /// Microseconds since 1970; 0: never.
    at: AtomicU64,
}

impl Noted {
    pub(super) fn of(relation: Oid) -> Noted {
        Noted {
            relation,
            ..Noted::default()
        }
    }
}

/// One relation that somebody has read or written through Larder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableLine {
    pub database: Box<str>,
    pub relation: Oid,
    /// Schema and name, as far as the catalog in force knows it.
    pub name: Option<(Box<str>, Box<str>)>,
    /// How often it was raised.
    pub invalidations: u64,
    /// When that was last noticed, to a second.
    pub last: Option<SystemTime>,
}

/// What has made an answer untrue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The whole database was raised.
    Everything,
    /// The catalog was.
    Catalog,
    /// A relation was.
    Relation(Oid),
}

impl Stamp {
    /// The first word that a version has passed; `None`: none has.
    pub fn passed(&self) -> Option<Cause> {
        let passed = |slot: &Slot, word: u64| slot.word() / STEP != word / STEP;
        let relations = self.relations.iter();
        let found = relations
            .filter(|(slot, word)| passed(slot, *word))
            .map(|(slot, _)| Cause::Relation(slot.noted.relation))
            .next();
        let all = passed(&self.database.all, self.all).then_some(Cause::Everything);
        let catalog = passed(&self.database.catalog, self.catalog).then_some(Cause::Catalog);
        found.or(all).or(catalog)
    }

    /// The relations it is of.
    pub fn relations(&self) -> impl Iterator<Item = (&Arc<Database>, Oid)> {
        let relations = self.relations.iter();
        relations.map(|(slot, _)| (&self.database, slot.noted.relation))
    }
}

impl Database {
    /// A cause in words: a table with its schema, `everything`, `catalog`.
    pub fn cause(&self, cause: &Cause) -> Arc<str> {
        match cause {
            Cause::Everything => "everything".into(),
            Cause::Catalog => "catalog".into(),
            Cause::Relation(relation) => match self.relation_name(*relation) {
                Some((schema, name)) => format!("{schema}.{name}").into(),
                None => "a relation that is gone".into(),
            },
        }
    }

    /// The relation of that name in the last catalog that was loaded. System catalogs are one.
    pub fn relation_named(&self, schema: &str, name: &str) -> Option<Oid> {
        let loaded = self.loaded.load();
        let name = Name {
            schema: Some(schema.into()),
            name: name.into(),
        };
        let loaded = loaded.as_ref()?;
        let found = loaded.relations_named(&name, &[]).first().copied()?;
        Some(if loaded.introspected(found) {
            SYSTEM_CATALOGS
        } else {
            found
        })
    }

    /// Schema and name of a relation in the last catalog that was loaded.
    pub fn relation_name(&self, relation: Oid) -> Option<(Box<str>, Box<str>)> {
        if relation == SYSTEM_CATALOGS {
            return Some(("pg_catalog".into(), "(all)".into()));
        }
        let loaded = self.loaded.load();
        let (schema, name) = loaded.as_ref()?.relation_name(relation)?;
        Some((schema.into(), name.into()))
    }

    fn lines(&self) -> Vec<TableLine> {
        let relations = self.relations.read();
        let relations = relations.unwrap_or_else(PoisonError::into_inner);
        let line = |(relation, slot): (&Oid, &Arc<Slot>)| TableLine {
            database: self.name.clone(),
            relation: *relation,
            name: self.relation_name(*relation),
            invalidations: slot.word() / STEP,
            last: match slot.noted.at.load(Relaxed) {
                0 => None,
                at => Some(SystemTime::UNIX_EPOCH + Duration::from_micros(at)),
            },
        };
        relations.iter().map(line).collect()
    }

    fn note(&self, now: u64) {
        let relations = self.relations.read();
        for slot in relations.unwrap_or_else(PoisonError::into_inner).values() {
            let version = slot.word() / STEP;
            if slot.noted.version.swap(version, Relaxed) != version {
                slot.noted.at.store(now, Relaxed);
            }
        }
    }
}

impl Ledger {
    /// Every relation that somebody has read or written, by database and name.
    pub fn tables(&self) -> Vec<TableLine> {
        let all = self.all();
        let mut lines: Vec<_> = all.iter().flat_map(|database| database.lines()).collect();
        lines.sort_by(|a, b| (&a.database, &a.name).cmp(&(&b.database, &b.name)));
        lines
    }

    /// Notes what was raised since the last time. For a background thread, every second.
    pub fn note_raises(&self, now: SystemTime) {
        let since = now.duration_since(SystemTime::UNIX_EPOCH);
        let now = since.map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX));
        for database in self.all() {
            database.note(now);
        }
    }
}
