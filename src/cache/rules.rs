//! How long an answer may be kept, and whether: the operator's rules, and what holds without one.
//!
//! * For each table and view that an answer reads the first rule that fits speaks; over all of them the strictest counts.
//!   A rule for a view speaks for what is below it, unless that has a rule of its own.
//! * Rules are asked where a miss is judged, never for a hit: an answer that no rule lets in is not there. What depends
//!   on the name of the application is the exception, since that is not in the key: where such rules exist they are asked
//!   before a look-up, too.
//! * `trust` lets functions, operators and types pass that analysis cannot prove. It never makes a write a read, and never
//!   lets pass what depends on the table: row security, temporary and foreign tables, unknown names.

use std::time::Duration;

use regex::Regex;

use super::Micros;
use crate::sql::catalog::SYSTEM_CATALOGS;
use crate::sql::{Cacheable, Catalog};

/// One rule: the conditions that are given must all hold.
#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Schema and name.
    pub table: Option<(Box<str>, Box<str>)>,
    pub role: Option<Box<str>>,
    pub database: Option<Box<str>>,
    pub application_name: Option<Box<str>>,
    /// The number of its shape.
    pub statement: Option<u64>,
    /// Held against the shape.
    pub matches: Option<Regex>,
    /// What it says.
    pub says: Says,
}

/// What a rule says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Says {
    pub ttl: Option<Micros>,
    pub off: bool,
    pub trust: bool,
    pub max_bytes: Option<usize>,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    pub database: &'a str,
    /// `current_user`.
    pub role: Option<&'a str>,
    pub application_name: Option<&'a str>,
    /// The number of the statement's shape, and the shape.
    pub statement: u64,
    pub shape: &'a str,
}

/// What holds for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// 0: it is not kept.
    pub ttl: Micros,
    /// Whether a rule has given the time to live.
    pub ruled: bool,
    pub trust: bool,
    pub max_bytes: Option<usize>,
    /// The strictest of the rules that speak, by its place in the configuration.
    pub rule: Option<usize>,
}

/// The rules in their order.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    default: Micros,
    /// Of reads of system catalogs alone: they are watched, whoever writes.
    catalogs: Micros,
    rules: Vec<Rule>,
    trusts: bool,
    by_application: bool,
}

impl Rules {
    /// A default for all answers, and rules.
    pub fn new(default: Duration, rules: impl IntoIterator<Item = Rule>) -> Rules {
        let rules: Vec<Rule> = rules.into_iter().collect();
        Rules {
            default: micros(default),
            catalogs: micros(default),
            trusts: rules.iter().any(|rule| rule.says.trust),
            by_application: rules.iter().any(|rule| rule.application_name.is_some()),
            rules,
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

    /// Whether any rule trusts.
    pub fn trust(&self) -> bool {
        self.trusts
    }

    /// Whether any rule depends on the application's name.
    #[inline]
    pub fn by_application(&self) -> bool {
        self.by_application
    }

    /// What holds without a rule.
    pub fn default_ttl(&self) -> Micros {
        self.default
    }

    /// The same, as one would write it.
    pub fn default_words(&self) -> String {
        match self.default {
            ttl if ttl % 1_000_000 == 0 => format!("{}s", ttl / 1_000_000),
            ttl if ttl % 1_000 == 0 => format!("{}ms", ttl / 1_000),
            ttl => format!("{ttl}us"),
        }
    }

    /// A rule in words.
    pub fn words(&self, at: usize) -> String {
        let Some(rule) = self.rules.get(at) else {
            return "a rule".into();
        };
        let table = rule
            .table
            .as_ref()
            .map(|(schema, name)| format!("{schema}.{name}"));
        let statement = rule.statement.map(|number| format!("{number:016x}"));
        let matches = rule
            .matches
            .as_ref()
            .map(|matches| matches.as_str().to_owned());
        let owned = |name: &Option<Box<str>>| name.as_deref().map(str::to_owned);
        let conditions = [
            ("table", table),
            ("role", owned(&rule.role)),
            ("database", owned(&rule.database)),
            ("application_name", owned(&rule.application_name)),
            ("statement", statement),
            ("matches", matches),
        ];
        let given = conditions
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        let given: Vec<_> = given
            .map(|(name, value)| format!("{name} = \"{value}\""))
            .collect();
        format!("[[rule]] {}", given.join(", "))
    }

    /// All rules: their conditions in words, and what they say.
    pub fn all(&self) -> impl Iterator<Item = (String, Says)> {
        let rules = self.rules.iter().enumerate();
        rules.map(|(at, rule)| (self.words(at), rule.says))
    }

    /// What holds for an answer that reads these.
    pub fn decide(&self, asker: &Asker<'_>, reads: &Cacheable, catalog: &Catalog) -> Ruling {
        let default = match reads.relations() {
            [SYSTEM_CATALOGS] => self.catalogs,
            _ => self.default,
        };
        let mut ruling = Ruling {
            ttl: default,
            ruled: false,
            trust: false,
            max_bytes: None,
            rule: None,
        };
        if self.rules.is_empty() {
            return ruling;
        }
        for relation in reads.relations() {
            let name = catalog.relation_name(*relation);
            let fits = |rule: &Rule| rule.fits(asker, name);
            if let Some(at) = self.rules.iter().position(fits) {
                ruling.add(at, &self.rules[at].says);
            }
        }
        ruling
    }
}

impl Ruling {
    /// The time to live where another is wished: it takes the place of the default, and shortens what a rule gives.
    pub fn within(&self, wished: Option<Micros>) -> Micros {
        match wished {
            Some(ttl) if self.ruled => ttl.min(self.ttl),
            Some(ttl) => ttl,
            None => self.ttl,
        }
    }

    fn add(&mut self, at: usize, says: &Says) {
        let ttl = if says.off { Some(0) } else { says.ttl };
        if let Some(ttl) = ttl
            && (!self.ruled || ttl < self.ttl)
        {
            (self.ttl, self.ruled, self.rule) = (ttl, true, Some(at));
        }
        self.trust |= says.trust;
        self.max_bytes = match (self.max_bytes, says.max_bytes) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.rule = self.rule.or(Some(at));
    }
}

impl Rule {
    fn fits(&self, asker: &Asker<'_>, relation: Option<(&str, &str)>) -> bool {
        let is = |wanted: &Option<Box<str>>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.table
            .as_ref()
            .is_none_or(|(schema, name)| relation == Some((schema, name)))
            && is(&self.database, Some(asker.database))
            && is(&self.role, asker.role)
            && is(&self.application_name, asker.application_name)
            && self
                .statement
                .is_none_or(|number| number == asker.statement)
            && self
                .matches
                .as_ref()
                .is_none_or(|matches| matches.is_match(asker.shape))
    }
}

/// A duration in microseconds.
pub fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}
