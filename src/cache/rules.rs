//! How long an answer may be kept: the default time to live and the tables' own.

use std::collections::HashMap;
use std::time::Duration;

use super::Micros;
use crate::sql::catalog::SYSTEM_CATALOGS;
use crate::sql::{Cacheable, Catalog};

/// Times to live.
#[derive(Debug, Default)]
pub struct Rules {
    default: Micros,
    /// Of reads of system catalogs alone: they are watched, whoever writes.
    catalogs: Micros,
    tables: HashMap<(Box<str>, Box<str>), Micros>,
}

impl Rules {
    /// A default for all tables, and exceptions by schema and table name.
    pub fn new(
        default: Duration,
        tables: impl IntoIterator<Item = ((Box<str>, Box<str>), Duration)>,
    ) -> Rules {
        Rules {
            default: micros(default),
            catalogs: micros(default),
            tables: tables.into_iter().map(|(k, v)| (k, micros(v))).collect(),
        }
    }

    /// With another time to live for what reads nothing but system catalogs.
    #[must_use]
    pub fn catalogs(self, ttl: Duration) -> Rules {
        Rules {
            catalogs: micros(ttl),
            ..self
        }
    }

    /// The same with what says so, in words.
    pub fn told(&self, reads: &Cacheable, catalog: &Catalog) -> (Micros, String) {
        let ttl = self.ttl(reads, catalog);
        let named = reads.relations().iter().filter_map(|relation| {
            let (schema, name) = catalog.relation_name(*relation)?;
            let ruled = self.tables.get(&(Box::from(schema), Box::from(name)))?;
            (*ruled == ttl).then(|| format!("[[rule]] table = \"{schema}.{name}\""))
        });
        let rule = named.into_iter().next();
        (ttl, rule.unwrap_or_else(|| "cache.ttl".into()))
    }

    /// The time to live of an answer: the shortest of what it reads. A table without a rule has the default.
    pub fn ttl(&self, reads: &Cacheable, catalog: &Catalog) -> Micros {
        let default = match reads.relations() {
            [SYSTEM_CATALOGS] => self.catalogs,
            _ => self.default,
        };
        if self.tables.is_empty() {
            return default;
        }
        let of = |relation: &u32| {
            let (schema, name) = catalog.relation_name(*relation)?;
            self.tables
                .get(&(Box::from(schema), Box::from(name)))
                .copied()
        };
        // A rule for a view speaks for what is below it, unless that has a rule of its own.
        reads
            .relations()
            .iter()
            .filter_map(of)
            .min()
            .unwrap_or(default)
    }
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
