//! What of a session's settings is in the key of an answer.
//!
//! * Everything that is not on the reviewed list of harmless settings is, known or not (hazard 13).
//! * Larder's own settings are not, by whatever way they come: they change no answer, and sessions that differ in nothing
//!   else share what is kept.

use std::collections::BTreeMap;

use super::{HARMLESS, OWN, Settings, TRACKED};
use crate::cache::key::Contexts;
use crate::guard::{Guard, stands};
use crate::wire::startup::Startup;

impl Settings {
    /// Names of the settings that are this session's own.
    pub fn names_set(&self) -> Vec<&str> {
        let set = self.layer.session.keys().chain(self.layer.local.keys());
        let given = self.startup.iter().map(|(name, _)| name);
        let mut names: Vec<&str> = set.chain(given).map(|name| &**name).collect();
        names.retain(|name| !OWN.contains(name));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The context of the key.
    pub fn context(&mut self, contexts: &Contexts) -> u64 {
        if let Some(context) = &self.derived.context {
            return context.id();
        }
        let mut parts: Vec<&[u8]> = vec![self.database.as_bytes()];
        if let Some(probed) = &self.probed {
            parts.push(probed.identity.as_bytes());
            if stands(Guard::RoleInKey) {
                parts.extend([
                    probed.session_user.as_bytes(),
                    probed.current_user.as_bytes(),
                ]);
            }
            let own = probed.values.len() - OWN.len();
            parts.extend(probed.values[..own].iter().map(|value| value.as_bytes()));
        }
        let maps = [&*self.reported, &*self.layer.session, &*self.layer.local];
        let maps = maps.map(of_answers);
        let counts = maps.each_ref().map(|pairs| pairs.len().to_string());
        let taken = if stands(Guard::SettingsInKey) { 3 } else { 0 };
        for (count, pairs) in counts.iter().zip(&maps).take(taken) {
            parts.push(count.as_bytes());
            let all = pairs.iter();
            parts.extend(all.flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]));
        }
        parts.extend(
            self.startup
                .iter()
                .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]),
        );
        let role = self.role().unwrap_or_default();
        let context = contexts.intern(role, parts);
        let id = context.id();
        self.derived.context = Some(context);
        id
    }
}

/// Without Larder's own.
fn of_answers(settings: &BTreeMap<Box<str>, Box<str>>) -> Vec<(&str, &str)> {
    let pairs = settings.iter().map(|(name, value)| (&**name, &**value));
    pairs.filter(|(name, _)| !OWN.contains(name)).collect()
}

/// What the startup message sets, but for what is read from the backend and what is harmless.
pub(super) fn of_startup(startup: &Startup<'_>) -> Vec<(Box<str>, Box<str>)> {
    let kept = |name: &str| {
        !matches!(name, "user" | "database" | "replication")
            && !TRACKED.contains(&name)
            && !HARMLESS.contains(&name)
    };
    let parameters =
        startup
            .parameters
            .iter()
            .filter_map(|(name, value)| match &*name.to_ascii_lowercase() {
                "options" => Some((Box::from(*name), without_own(value)?)),
                lower => kept(lower).then(|| (Box::from(*name), Box::from(*value))),
            });
    parameters.collect()
}

/// `options` without Larder's own settings, words apart by one space. `None`: nothing is left.
fn without_own(options: &str) -> Option<Box<str>> {
    let mut kept: Vec<&str> = Vec::new();
    let mut words = words(options).into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "-c" && words.next_if(|setting| is_own(setting)).is_some() {
            continue;
        }
        let setting = word.strip_prefix("-c").or(word.strip_prefix("--"));
        if !setting.is_some_and(is_own) {
            kept.push(word);
        }
    }
    (!kept.is_empty()).then(|| kept.join(" ").into())
}

fn is_own(setting: &str) -> bool {
    let name = setting.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| OWN.contains(&&*name.to_ascii_lowercase()))
}

/// The words of `options` as they stand (`pg_split_opts`): a backslash takes the next character with it.
fn words(options: &str) -> Vec<&str> {
    let (mut found, mut start, mut escaped) = (Vec::new(), None, false);
    for (at, c) in options.char_indices() {
        let space = matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c') && !escaped;
        match start {
            Some(from) if space => {
                found.push(&options[from..at]);
                start = None;
            }
            None if !space => start = Some(at),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    found.extend(start.map(|from| &options[from..]));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_settings_are_not_in_the_key() {
        for (options, expected) in [
            ("-c larder.cache=off", None),
            ("-clarder.ttl=5s --larder.trace=on", None),
            ("  -c   Larder.Cache=off  ", None),
            ("-c geqo=off -c larder.cache=off", Some("-c geqo=off")),
            ("-c larder.cache=off --geqo=off", Some("--geqo=off")),
            // What only looks like one stays.
            ("-c geqo=larder.cache=off", Some("-c geqo=larder.cache=off")),
            (
                r"-c a.b=x\ -clarder.ttl=5s",
                Some(r"-c a.b=x\ -clarder.ttl=5s"),
            ),
            (r"-c a.b=x\\ -clarder.ttl=5s", Some(r"-c a.b=x\\")),
            ("-c larder.caches=off", Some("-c larder.caches=off")),
            ("-c", Some("-c")),
            ("", None),
        ] {
            assert_eq!(without_own(options).as_deref(), expected, "{options}");
        }
    }
}
