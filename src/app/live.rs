//! From the configuration to what can change while Larder runs, and the reading of the configuration again.
//!
//! * A configuration that is wrong in any place changes nothing: it is refused as a whole, and told of.
//! * Another rule or time to live holds for what is in memory, too: everything is purged.
//! * What needs a restart is named, and stays as it was.

use crate::cache::rules::{Rule, Rules, Says, micros};
use crate::config::{self, Config, Flags, Mode as Configured, Said, Setting, Ttl};
use crate::logging;
use crate::session::{Live, Mode, Purge, Shared, Transactions, Verify};
use crate::sql::canonical::canonical;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// `cache.ttl = "auto"` while nothing watches writes made past Larder.
const UNWATCHED: Duration = Duration::from_secs(10);
/// … and where something does: the digest of the catalogs, every `catalog.refresh`.
const WATCHED: Duration = Duration::from_secs(3600);

/// What the configuration says of it.
pub fn live(config: &Config) -> Result<Live, String> {
    let (ttl, catalogs) = match config.cache.ttl {
        Ttl::Auto => (UNWATCHED, WATCHED),
        Ttl::Fixed(ttl) => (ttl, ttl),
    };
    let rules = config.rules.iter().enumerate();
    let rules: Result<Vec<Rule>, String> = rules
        .map(|(at, rule)| self::rule(rule).map_err(|text| format!("rule.{at}: {text}")))
        .collect();
    Ok(Live {
        mode: match config.cache.mode {
            Configured::On => Mode::On,
            Configured::Observe => Mode::Observe,
            Configured::Off => Mode::Off,
        },
        paused: false,
        shared: false,
        transactions: match config.cache.transactions {
            config::Transactions::UntilWrite => Transactions::UntilWrite,
            config::Transactions::ReadOnly => Transactions::ReadOnly,
            config::Transactions::Never => Transactions::Never,
        },
        rules: Rules::new(ttl, rules?).catalogs(catalogs),
        coalesce_wait: micros(config.cache.coalesce_wait),
        verify: Verify {
            sample: config.verify.sample,
            outside_writers: config.verify.outside_writers,
        },
        audit: config.log.audit == config::Audit::Hits,
    })
}

/// The largest answer that is kept.
pub fn max_answer(config: &Config) -> usize {
    usize::try_from(config.cache.max_answer).unwrap_or(usize::MAX)
}

/// Tells whoever reads the log of what rests on an operator's word.
pub fn warn(rules: &Rules) {
    for (rule, _) in rules.all().filter(|(_, says)| says.trust) {
        tracing::warn!(
            rule,
            "functions, operators and types are taken on trust: where one reads more than the statement's tables, answers \
             from memory are as old as their time to live; where one changes something, the change is missed"
        );
    }
}

fn rule(rule: &config::Rule) -> Result<Rule, String> {
    let table = rule
        .table
        .as_deref()
        .and_then(|table| table.split_once('.'));
    let boxed = |name: &Option<String>| name.as_deref().map(Box::from);
    Ok(Rule {
        table: table.map(|(schema, name)| (schema.into(), name.into())),
        role: boxed(&rule.role),
        database: boxed(&rule.database),
        application_name: boxed(&rule.application_name),
        statement: rule.statement.as_deref().map(statement).transpose()?,
        matches: rule.matches.as_ref().map(|pattern| pattern.0.clone()),
        says: Says {
            ttl: rule.ttl.map(micros),
            off: rule.off,
            trust: rule.trust,
            max_bytes: rule
                .max_bytes
                .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        },
    })
}

/// The number of a statement that is given by its number or its text.
fn statement(text: &str) -> Result<u64, String> {
    if text.len() == 16
        && let Ok(number) = u64::from_str_radix(text, 16)
    {
        return Ok(number);
    }
    let canonical =
        canonical(text).ok_or("`statement` is no SQL: a quote or comment is not closed")?;
    Ok(crate::metrics::number(&canonical.shape))
}

/// What came of reading the configuration again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The keys that hold now.
    pub applied: Vec<String>,
    /// Those that another start is needed for.
    pub needs_restart: Vec<String>,
}

/// The configuration in force, and the way to another.
pub struct Reload {
    flags: Flags,
    said: Mutex<InForce>,
    shared: Arc<Shared>,
}

struct InForce {
    said: Said,
    /// What the process was started with, and still holds of some keys.
    started: Said,
    /// Keys that are said to be something else, which a restart is needed for.
    waiting: Vec<&'static str>,
}

impl Reload {
    /// Over the configuration that the process was started with.
    pub fn new(flags: Flags, said: Said, shared: Arc<Shared>) -> Reload {
        Reload {
            flags,
            said: Mutex::new(InForce {
                started: said.clone(),
                said,
                waiting: Vec::new(),
            }),
            shared,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, InForce> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings in force.
    pub fn settings(&self) -> Vec<Setting> {
        let in_force = self.lock();
        let settings = in_force.said.settings().into_iter();
        let started = in_force.started.settings();
        settings
            .zip(started)
            .map(|(new, old)| match in_force.waiting.contains(&new.key) {
                true => old,
                false => new,
            })
            .collect()
    }

    /// Reads the configuration again, and lets hold of it what can.
    pub fn reload(&self) -> Result<Reloaded, String> {
        // One at a time from the reading on: what was read first must not hold last.
        let mut in_force = self.lock();
        let said = Said::read(&self.flags).map_err(|error| error.to_string());
        let result = said.and_then(|said| self.apply(said, &mut in_force));
        self.shared.metrics.reloaded(result.is_ok());
        match &result {
            Ok(reloaded) => tracing::info!(
                applied = reloaded.applied.join(", "),
                needs_restart = reloaded.needs_restart.join(", "),
                "the configuration was read again"
            ),
            Err(text) => tracing::error!(
                error = text.as_str(),
                "the configuration is wrong; the one before stays in force"
            ),
        }
        result
    }

    /// Lets one setting have another value until the configuration is read again.
    pub fn set(&self, key: &str, value: &str) -> Result<Reloaded, String> {
        let setting = self.settings().into_iter().find(|s| s.key == key);
        if setting.is_some_and(|setting| !setting.changeable) {
            return Err(format!(
                "{key} cannot change while Larder runs: set it in the configuration and restart"
            ));
        }
        let mut in_force = self.lock();
        let said = in_force.said.with(key, value);
        let said = said.map_err(|error| error.to_string())?;
        let new = said.config().map_err(|error| error.to_string())?;
        if key == "cache.mode" && self.switches(&live(&new)?) {
            return Err(
                "cache.mode cannot become or cease to be off while Larder runs; PAUSE CACHE does what can be done at once"
                    .into(),
            );
        }
        self.apply(said, &mut in_force)
    }

    /// Whether the cache would be off and is not, or the other way. What is off follows no write: what was kept before
    /// would not be true.
    fn switches(&self, new: &Live) -> bool {
        (self.shared.steering.live().mode == Mode::Off) != (new.mode == Mode::Off)
    }

    fn apply(&self, said: Said, in_force: &mut InForce) -> Result<Reloaded, String> {
        let config = said.config().map_err(|error| error.to_string())?;
        let new = live(&config)?;
        let mut reloaded = Reloaded::default();
        let switched = self.switches(&new);
        for setting in said.settings() {
            let key = setting.key;
            let stays = !setting.changeable || (key == "cache.mode" && switched);
            let than = if stays {
                &in_force.started
            } else {
                &in_force.said
            };
            let same = said.says_the_same(than, key);
            in_force.waiting.retain(|waiting| *waiting != key);
            match (same, stays) {
                (true, _) => {}
                (false, false) => reloaded.applied.push(key.into()),
                (false, true) => {
                    in_force.waiting.push(key);
                    reloaded.needs_restart.push(key.into());
                }
            }
        }
        self.shared.steer(|live| {
            *live = Live {
                paused: live.paused,
                shared: live.shared,
                mode: if switched { live.mode } else { new.mode },
                ..new.clone()
            };
        });
        let applied = |keys: &[&str]| reloaded.applied.iter().any(|key| keys.contains(&&**key));
        if applied(&["rule", "cache.ttl"]) {
            self.shared.purge(&Purge::All);
        }
        if applied(&["cache.memory"]) {
            self.shared.store.resize(config.cache.memory);
        }
        if applied(&["cache.max_answer"]) {
            self.shared.store.keep_up_to(max_answer(&config));
        }
        if applied(&["log.level"]) {
            logging::change(config.log.level);
        }
        if applied(&["rule"]) {
            warn(&new.rules);
        }
        in_force.said = said;
        Ok(reloaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_known_by_its_number_or_its_text() {
        let number = statement("SELECT a FROM t WHERE b = 5").unwrap();
        assert_eq!(statement("select"), statement(" select ; "));
        assert_eq!(statement("SELECT a  FROM t WHERE b = 'x'"), Ok(number));
        assert_eq!(statement(&format!("{number:016x}")), Ok(number));
        assert!(statement("SELECT 'a").is_err());
    }
}
