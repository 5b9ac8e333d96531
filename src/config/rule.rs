//! `[[rule]]`: for whom and what another time to live holds, or none.
//!
//! * All conditions that a rule gives must hold. The first rule that fits a table of the answer speaks for it.
//! * A rule says whom it means and what it does; one that says neither would be `cache.ttl`.
//!
//! Not here: how rules are held against statements (`cache::rules`).

use super::values::{a_table, maybe_duration, maybe_parsed, maybe_size, maybe_text, switch};
use serde::Deserialize;
use serde::de::Deserializer;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// `[[rule]]`
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Answers that read this table or view: `schema.table`, as PostgreSQL stores the names.
    #[serde(deserialize_with = "maybe_table")]
    pub table: Option<String>,
    /// Statements of this role (`current_user`).
    #[serde(deserialize_with = "maybe_text")]
    pub role: Option<String>,
    /// Statements in this database.
    #[serde(deserialize_with = "maybe_text")]
    pub database: Option<String>,
    /// Statements of sessions of this name.
    #[serde(deserialize_with = "maybe_text")]
    pub application_name: Option<String>,
    /// One statement, whatever its constants: its number in the statistics, or its text.
    #[serde(deserialize_with = "maybe_text")]
    pub statement: Option<String>,
    /// Statements whose text without constants fits a regular expression.
    #[serde(deserialize_with = "maybe_parsed")]
    pub matches: Option<Pattern>,
    /// How long an answer is served at most; 0s: never.
    #[serde(deserialize_with = "maybe_duration")]
    pub ttl: Option<Duration>,
    /// Never answered from memory.
    #[serde(deserialize_with = "switch")]
    pub off: bool,
    /// The operator answers for functions, operators and types that Larder does not know.
    #[serde(deserialize_with = "switch")]
    pub trust: bool,
    /// The largest answer that is kept, in bytes.
    #[serde(deserialize_with = "maybe_size")]
    pub max_bytes: Option<u64>,
}

fn maybe_table<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    a_table(d).map(Some)
}

/// A regular expression, which takes time in proportion to what it is held against.
#[derive(Clone, Debug)]
pub struct Pattern(pub regex::Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// The most that a compiled expression may take.
const LARGEST: usize = 1 << 20;

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        let built = regex::RegexBuilder::new(text).size_limit(LARGEST).build();
        built.map(Pattern).map_err(|error| {
            let last = error.to_string();
            let last = last.lines().last().unwrap_or_default().trim().to_owned();
            format!("is no regular expression: {last}")
        })
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Pattern, D::Error> {
        super::values::parsed(d)
    }
}

impl Rule {
    fn conditions(&self) -> (&Option<String>, [&Option<String>; 4], &Option<Pattern>) {
        let named = [
            &self.role,
            &self.database,
            &self.application_name,
            &self.statement,
        ];
        (&self.table, named, &self.matches)
    }

    fn is_for_all(&self) -> bool {
        let (table, named, pattern) = self.conditions();
        table.is_none() && named.iter().all(|name| name.is_none()) && pattern.is_none()
    }

    fn says_nothing(&self) -> bool {
        self.ttl.is_none() && !self.off && !self.trust && self.max_bytes.is_none()
    }
}

/// What is wrong with the rules.
pub(super) fn contradictions(rules: &[Rule]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (i, rule) in rules.iter().enumerate() {
        if rule.is_for_all() {
            wrong.push(format!(
                "rule.{i}: whom does it mean? Give table, role, database, application_name, statement or matches; for \
                 everything there is cache.ttl"
            ));
        }
        if rule.says_nothing() {
            wrong.push(format!(
                "rule.{i}: what does it say? Give ttl, off, trust or max_bytes"
            ));
        }
        if rule.off && (rule.ttl.is_some() || rule.trust || rule.max_bytes.is_some()) {
            wrong.push(format!(
                "rule.{i}: `off = true` leaves nothing for ttl, trust or max_bytes to say"
            ));
        }
        if rules[..i]
            .iter()
            .any(|other| other.conditions() == rule.conditions())
        {
            let what = match &rule.table {
                Some(table) => format!("the table `{table}`"),
                None => "what it means".into(),
            };
            wrong.push(format!("rule.{i}: {what} has a rule already"));
        }
    }
    wrong
}
