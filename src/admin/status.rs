//! `/status` and the calls that change something, as JSON.
//!
//! * What is shown are the console's views, column by column.
//! * What changes something needs `Authorization: Bearer` with the token of the configuration. A browser sends no such
//!   header by itself, so that no other page can make it do so; and without a token in the configuration nobody can.

use super::desk::Desk;
use super::views::{self, Value, View};
use crate::config::Secret;
use crate::session::Purge;
use serde_json::{Map, Number, json};
use std::path::PathBuf;
use subtle::ConstantTimeEq;

/// Statements in `/status` unless it is asked for more.
const STATEMENTS: usize = 100;

/// What callers must show who change something.
#[derive(Clone, Debug, Default)]
pub enum Token {
    /// Nobody may.
    #[default]
    None,
    Value(Secret),
    /// In a file, which may be replaced.
    File(PathBuf),
}

impl Token {
    /// Whether the header's value shows it; `None`: there is none to show.
    pub fn admits(&self, header: Option<&str>) -> Option<bool> {
        let wanted = match self {
            Token::None => return None,
            Token::Value(secret) => secret.expose().to_owned(),
            Token::File(file) => std::fs::read_to_string(file).ok()?.trim().to_owned(),
        };
        if wanted.is_empty() {
            return None;
        }
        let shown = header.and_then(|header| header.strip_prefix("Bearer "));
        let shown = shown.unwrap_or_default().trim();
        Some(shown.as_bytes().ct_eq(wanted.as_bytes()).into())
    }
}

fn json(value: Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Text(text) => text.into(),
        Value::Int(number) => number.into(),
        Value::Float(number) => {
            Number::from_f64(number).map_or(serde_json::Value::Null, Into::into)
        }
        Value::Bool(yes) => yes.into(),
    }
}

fn rows(view: View, most: usize) -> serde_json::Value {
    let columns = view.columns;
    let object = |row: Vec<Value>| {
        let names = columns.iter().map(|name| (*name).to_owned());
        let pairs: Map<_, _> = names.zip(row.into_iter().map(json)).collect();
        serde_json::Value::Object(pairs)
    };
    view.rows.into_iter().take(most).map(object).collect()
}

/// A view of two columns as one object.
fn pairs(view: View) -> serde_json::Value {
    let pair = |mut row: Vec<Value>| {
        let value = row.pop()?;
        Some((row.pop()?.to_string(), json(value)))
    };
    let pairs: Map<_, _> = view.rows.into_iter().filter_map(pair).collect();
    serde_json::Value::Object(pairs)
}

/// Everything, with so many statements.
pub fn status(desk: &Desk, statements: Option<usize>) -> String {
    let view = |name: &str| {
        let mut all = views::ALL.iter();
        let found = all.find(|shown| shown.name == name);
        found.map_or(
            View {
                columns: &[],
                rows: Vec::new(),
            },
            |shown| (shown.make)(desk),
        )
    };
    let statements = statements.unwrap_or(STATEMENTS);
    let list = |name: &str| rows(view(name), usize::MAX);
    json!({
        "larder": {
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_seconds": desk.started.elapsed().as_secs(),
            "mode": views::mode(desk),
            "paused": desk.shared.steering.live().paused,
            "phase": format!("{:?}", desk.drain.phase()).to_lowercase(),
        },
        "cache": pairs(view("CACHE")),
        "queries": rows(view("QUERIES"), statements),
        "report": rows(view("REPORT"), statements),
        "tables": list("TABLES"),
        "reasons": list("REASONS"),
        "sources": list("SOURCES"),
        "rules": list("RULES"),
        "pools": list("POOLS"),
        "memory": list("MEM"),
    })
    .to_string()
}

/// Does what a path says; the text for the caller.
///
/// # Errors
/// What is wrong with the call, or with what it wants.
pub fn act(desk: &Desk, path: &str, body: &[u8]) -> Result<String, String> {
    const WHO: &str = "http";
    match path {
        "/pause" => desk.pause(WHO),
        "/resume" => desk.resume(WHO),
        "/reload" => return desk.reload(WHO),
        "/purge" => {
            let gone = desk.purge(WHO, &what(body)?)?;
            return Ok(format!("{gone} answers are gone"));
        }
        _ => return Err("no such call".into()),
    }
    Ok(format!("the cache is {}", views::mode(desk)))
}

/// `{"all": true}`, `{"table": "schema.name"}`, `{"statement": "<id>"}` or `{"role": "name"}`.
fn what(body: &[u8]) -> Result<Purge, String> {
    const USAGE: &str = r#"say what: {"all": true}, {"table": "schema.name"}, {"statement": "<16 hex digits>"} or {"role": "name"}"#;
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|_| USAGE)?;
    let object = value.as_object().filter(|object| object.len() == 1);
    let (key, value) = object
        .and_then(|object| object.iter().next())
        .ok_or(USAGE)?;
    let text = || value.as_str().ok_or(USAGE);
    Ok(match &**key {
        "all" if value.as_bool() == Some(true) => Purge::All,
        "table" => {
            let (schema, name) = text()?.split_once('.').ok_or(USAGE)?;
            Purge::Table {
                database: None,
                schema: schema.into(),
                name: name.into(),
            }
        }
        "statement" => {
            let number = u64::from_str_radix(text()?, 16).map_err(|_| USAGE)?;
            Purge::Statement(number)
        }
        "role" => Purge::Role(text()?.into()),
        _ => return Err(USAGE.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_shown_or_nobody_comes_in() {
        let token = Token::Value(Secret::new("s3cret".into()));
        assert_eq!(token.admits(Some("Bearer s3cret")), Some(true));
        for wrong in [None, Some("s3cret"), Some("Bearer s3cre"), Some("Bearer ")] {
            assert_eq!(token.admits(wrong), Some(false), "{wrong:?}");
        }
        assert_eq!(Token::None.admits(Some("Bearer ")), None);
        let empty = Token::Value(Secret::new(String::new()));
        assert_eq!(empty.admits(Some("Bearer ")), None);
        assert_eq!(Token::File("/nowhere".into()).admits(Some("Bearer ")), None);
    }

    #[test]
    fn what_is_purged_is_said_in_one_way() {
        assert_eq!(what(br#"{"all": true}"#), Ok(Purge::All));
        assert_eq!(
            what(br#"{"statement": "00000000000000ff"}"#),
            Ok(Purge::Statement(255))
        );
        assert!(matches!(
            what(br#"{"table": "public.t"}"#),
            Ok(Purge::Table { .. })
        ));
        for wrong in [
            "",
            "{}",
            r#"{"all": false}"#,
            r#"{"table": "t"}"#,
            r#"{"role": 1}"#,
            "[1]",
        ] {
            assert!(what(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
