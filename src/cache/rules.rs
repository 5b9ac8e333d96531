//! How long an answer may be kept: the default time to live and the tables' own.

use std::collections::HashMap;
use std::time::Duration;

use super::Micros;
use crate::sql::{Cacheable, Catalog};

/// Times to live.
#[derive(Debug, Default)]
pub struct Rules {
    default: Micros,
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
            tables: tables.into_iter().map(|(k, v)| (k, micros(v))).collect(),
        }
    }

    /// The time to live of an answer: the shortest of what it reads. A table without a rule has the default.
    pub fn ttl(&self, reads: &Cacheable, catalog: &Catalog) -> Micros {
        if self.tables.is_empty() {
            return self.default;
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
            .unwrap_or(self.default)
    }
}

fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
