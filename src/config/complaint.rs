//! What is wrong with a configuration, in words for people.
//!
//! Every text says which key, where its value came from, and what to write instead. Values are quoted only where a
//! type's own reader quotes them: a connection string holds a password.

use super::layers::{KEYS, variable};
use figment::Source;
use figment::error::Kind;
use std::fmt;

/// All that is wrong, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    lines: Vec<String>,
}

impl ConfigError {
    /// One complaint.
    pub fn new(line: impl Into<String>) -> ConfigError {
        ConfigError {
            lines: vec![line.into()],
        }
    }

    /// Several complaints.
    pub fn several(lines: Vec<String>) -> ConfigError {
        ConfigError { lines }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl From<figment::Error> for ConfigError {
    fn from(error: figment::Error) -> ConfigError {
        ConfigError {
            lines: error.into_iter().map(|e| line(&e)).collect(),
        }
    }
}

/// Where a value came from.
enum Origin {
    File(String),
    Environment,
    Flag,
    Unknown,
}

fn line(error: &figment::Error) -> String {
    let path: Vec<&str> = error.path.iter().map(String::as_str).collect();
    let origin = match &error.metadata {
        Some(m) if m.name == super::layers::ENVIRONMENT => Origin::Environment,
        Some(m) if m.name == super::layers::FLAGS => Origin::Flag,
        Some(figment::Metadata {
            source: Some(Source::File(file)),
            ..
        }) => Origin::File(file.display().to_string()),
        _ => Origin::Unknown,
    };
    let key = named(&path, &origin);
    match &error.kind {
        Kind::UnknownField(_, expected) => unknown_key(&path, &origin, expected),
        Kind::UnknownVariant(value, expected) => {
            let hint = nearest(value, expected.iter().copied());
            let hint = hint
                .map(|n| format!("did you mean `{n}`?"))
                .unwrap_or_else(|| format!("write one of {}", list(expected)));
            format!("{key}: `{value}` is not a value it takes; {hint}")
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            let expected = match expected.strip_prefix("struct ") {
                Some(_) => "a table",
                None => expected.as_str(),
            };
            format!("{key}: expected {expected}, found {}", kind_of(actual))
        }
        Kind::MissingField(field) => format!("{key}: `{field}` is missing"),
        Kind::Message(text) if path.is_empty() => match origin {
            Origin::File(file) => format!("{file}: {}", without_source_lines(text)),
            _ => without_source_lines(text),
        },
        Kind::Message(text) => format!("{key}: {text}"),
        other => format!("{key}: {}", without_source_lines(&other.to_string())),
    }
}

fn named(path: &[&str], origin: &Origin) -> String {
    let key = path.join(".");
    match origin {
        Origin::File(file) => format!("{file}: {key}"),
        Origin::Environment => format!("environment variable {}", variable(&key)),
        Origin::Flag => format!("flag for {key}"),
        Origin::Unknown => key,
    }
}

fn unknown_key(path: &[&str], origin: &Origin, expected: &[&str]) -> String {
    let key = path.join(".");
    let table = path[..path.len().saturating_sub(1)].join(".");
    let hint = match nearest_key(path, expected) {
        Some(key) => format!("did you mean `{key}`?"),
        None if table.is_empty() => format!("the tables are {}", list(expected)),
        None => format!("[{table}] has {}", list(expected)),
    };
    match origin {
        Origin::File(file) => format!("{file}: unknown key `{key}`; {hint}"),
        _ => format!("unknown key `{key}`; {hint}"),
    }
}

/// First the names the same table has, then all keys, so that a key under the wrong table is found too.
fn nearest_key(path: &[&str], expected: &[&str]) -> Option<String> {
    let (last, table) = path.split_last()?;
    if let Some(name) = nearest(last, expected.iter().copied()) {
        return Some([table, &[name]].concat().join("."));
    }
    let same_name = KEYS.iter().find(|k| k.rsplit('.').next() == Some(last));
    same_name
        .copied()
        .or_else(|| nearest(&path.join("."), KEYS.iter().copied()))
        .map(str::to_owned)
}

/// The name that differs least from `word`, if it differs little enough to be meant.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let (distance, name) = names
        .map(|n| (edits(&word, &n.to_lowercase()), n))
        .min_by_key(|(d, _)| *d)?;
    (distance <= (word.chars().count().max(3) / 3).max(1)).then_some(name)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let swap = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (rows[i - 1][j] + 1)
                .min(rows[i][j - 1] + 1)
                .min(rows[i - 1][j - 1] + swap);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

fn list(names: &[&str]) -> String {
    names
        .iter()
        .map(|n| format!("`{n}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The kind of a value without the value, which may be a secret at the wrong place.
fn kind_of(actual: &figment::error::Actual) -> &'static str {
    use figment::error::Actual::*;
    match actual {
        Bool(_) => "true or false",
        Unsigned(_) | Signed(_) | Float(_) => "a number",
        Char(_) | Str(_) => "a text",
        Seq => "a list",
        Map => "a table",
        _ => "something else",
    }
}

/// A TOML error quotes the line it is about, and that line may be the one with the password.
fn without_source_lines(text: &str) -> String {
    let quoted = |line: &str| {
        let line = line.trim_start();
        line.trim_start_matches(|c: char| c.is_ascii_digit())
            .trim_start()
            .starts_with('|')
    };
    let lines: Vec<&str> = text
        .lines()
        .filter(|l| !quoted(l) && !l.trim().is_empty())
        .map(str::trim)
        .collect();
    lines.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_forgives_typing_not_guessing() {
        let names = ["memory", "mode", "ttl", "max_answer"];
        for (word, name) in [
            ("memroy", "memory"),
            ("TTL", "ttl"),
            ("maxanswer", "max_answer"),
            ("mod", "mode"),
        ] {
            assert_eq!(nearest(word, names.iter().copied()), Some(name), "{word}");
        }
        assert_eq!(nearest("colour", names.iter().copied()), None);
        assert_eq!(nearest("x", std::iter::empty()), None);
    }

    #[test]
    fn toml_errors_lose_the_quoted_line() {
        let text = "TOML parse error at line 2, column 7\n  |\n2 | url = postgres://app:s3cret@db\n  |       ^\ninvalid string\nexpected `\"`\n";
        assert_eq!(
            without_source_lines(text),
            "TOML parse error at line 2, column 7: invalid string: expected `\"`"
        );
    }
}
