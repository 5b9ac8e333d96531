//! The configuration as it was said: merged layers, which can be judged, shown, and given another value for one key.
//!
//! * A secret is `***`, wherever it stands.
//! * Every key is shown, in the order of [`KEYS`]; the defaults are those of the file that the project ships, which a test
//!   holds against the code.

use super::function::Everything;
use super::layers::{self, Flags, KEYS};
use super::{Config, ConfigError, url};
use figment::Figment;
use figment::value::Value;

/// The file with every key and its default.
const FILE: &str = include_str!("../../config/larder.toml");

/// What can change while Larder runs, by a reload or by hand.
const CHANGEABLE: &[&str] = &[
    "cache.mode",
    "cache.ttl",
    "cache.transactions",
    "cache.memory",
    "cache.max_answer",
    "cache.coalesce_wait",
    "rule",
    "verify.sample",
    "verify.outside_writers",
    "log.level",
    "log.audit",
];

/// What stands for a secret.
const SECRET: &str = "***";

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `table.key`.
    pub key: &'static str,
    /// What holds, without secrets.
    pub value: String,
    /// What holds where nothing is said.
    pub default: String,
    /// Whether it can change while Larder runs.
    pub changeable: bool,
}

/// All layers of a configuration, merged and not judged yet.
#[derive(Clone)]
pub struct Said(Figment);

impl Said {
    /// Reads the layers of this process.
    pub fn read(flags: &Flags) -> Result<Said, ConfigError> {
        Said::read_with(flags, super::environment())
    }

    /// The same with the environment given.
    pub fn read_with(
        flags: &Flags,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Said, ConfigError> {
        Ok(Said(layers::figment(flags, environment)?))
    }

    /// The configuration, judged.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let Everything {
            mut tables,
            functions,
        } = self.0.extract()?;
        tables.catalog.functions = functions;
        tables.judge()
    }

    /// With another value for one key, as if a flag had given it.
    pub fn with(&self, key: &str, value: &str) -> Result<Said, ConfigError> {
        layers::over(self.0.clone(), key, value).map(Said)
    }

    /// Whether a key was given the same value in both.
    pub fn says_the_same(&self, other: &Said, key: &str) -> bool {
        let plain = |said: &Said| said.0.find_value(key).ok().map(|value| words(&value));
        plain(self) == plain(other)
    }

    /// Every setting.
    pub fn settings(&self) -> Vec<Setting> {
        // Merged once: each look into the layers merges all of them.
        let merged = self.0.extract::<Value>().ok();
        let setting = |key: &&'static str| {
            let default = default(key);
            let given = merged.as_ref().and_then(|all| all.find_ref(key));
            Setting {
                key,
                value: given.map_or_else(|| default.clone(), |value| shown(key, value)),
                default,
                changeable: CHANGEABLE.contains(key),
            }
        };
        KEYS.iter().map(setting).collect()
    }
}

/// A value without what must not be seen.
fn shown(key: &str, value: &Value) -> String {
    match (key, value) {
        ("upstream.url", Value::String(_, text)) => url::without_password(text),
        ("upstream.password_command", _) => SECRET.into(),
        (_, Value::Array(_, list)) if !key.contains('.') => format!("{} entries", list.len()),
        (key, _) if key.ends_with("token") || key.ends_with("password") => SECRET.into(),
        (_, value) => words(value),
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::String(_, text) => text.clone(),
        Value::Char(_, c) => c.to_string(),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Num(_, number) => {
            let whole = number.to_i128().map(|n| n.to_string());
            let whole = whole.or(number.to_u128().map(|n| n.to_string()));
            whole
                .or(number.to_f64().map(|n| n.to_string()))
                .unwrap_or_default()
        }
        Value::Array(_, list) => list.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Dict(_, dict) => {
            let pairs = dict
                .iter()
                .map(|(key, value)| format!("{key} = {}", words(value)));
            pairs.collect::<Vec<_>>().join("; ")
        }
        Value::Empty(..) => String::new(),
    }
}

/// What the file shows for a key, as far as it is what holds without one.
fn default(key: &str) -> String {
    let Some((table, name)) = key.split_once('.') else {
        return "0 entries".into();
    };
    let mut inside = false;
    for line in FILE.lines() {
        if let Some(header) = line.strip_prefix('[') {
            inside = header.trim_end_matches(']') == table;
        }
        let found = line
            .strip_prefix("# ")
            .and_then(|line| line.split_once(" = "));
        if let Some((_, value)) = found.filter(|(found, _)| inside && *found == name) {
            let value = value.trim_matches('"');
            let example = EXAMPLES.contains(&key);
            return if example { String::new() } else { value.into() };
        }
    }
    String::new()
}

/// Keys for which the file shows an example, since nothing holds without them.
const EXAMPLES: &[&str] = &[
    "upstream.url",
    "upstream.sslrootcert",
    "upstream.sslcert",
    "upstream.sslkey",
    "listen.unix",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
    "pool.pool_size",
    "auth.auth_file",
    "auth.auth_query",
    "auth.auth_dbname",
    "admin.token",
    "admin.token_file",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)]) -> Said {
        let pairs = pairs.iter().map(|(k, v)| (k.to_string(), v.to_string()));
        let pairs: Vec<_> = pairs.collect();
        Said::read_with(&Flags::default(), pairs.into_iter()).unwrap()
    }

    fn value(said: &Said, key: &str) -> String {
        let found = said.settings().into_iter().find(|s| s.key == key);
        found.unwrap().value
    }

    #[test]
    fn secrets_are_not_shown() {
        let said = said(&[
            (
                "LARDER_UPSTREAM__URL",
                "postgres://app:s3cret@db/shop?sslmode=require",
            ),
            ("LARDER_UPSTREAM__PASSWORD_COMMAND", "echo s3cret"),
        ]);
        for setting in said.settings() {
            assert!(!setting.value.contains("s3cret"), "{setting:?}");
        }
        assert!(value(&said, "upstream.url").contains("app:***@db/shop"));
    }

    #[test]
    fn one_key_gets_another_value() {
        let before = said(&[("LARDER_UPSTREAM__URL", "postgres://app@db/shop")]);
        let after = before.with("cache.ttl", "7s").unwrap();
        assert_eq!(value(&before, "cache.ttl"), "auto");
        assert_eq!(value(&after, "cache.ttl"), "7s");
        assert!(!before.says_the_same(&after, "cache.ttl"));
        assert!(before.says_the_same(&after, "cache.mode"));
        let config = after.config().unwrap();
        assert_eq!(
            config.cache.ttl,
            super::super::Ttl::Fixed(std::time::Duration::from_secs(7))
        );
        assert!(
            before
                .with("cache.tll", "7s")
                .err()
                .unwrap()
                .to_string()
                .contains("cache.ttl")
        );
        assert!(before.with("cache.ttl", "soon").unwrap().config().is_err());
    }
}
