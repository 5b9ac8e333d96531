//! How a key's value is read, whichever layer it comes from.
//!
//! The file has numbers and lists where the environment and the command line have text: all read alike, so that a value
//! that works in one place works in every place.

use super::{Ttl, Workers, units};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// One text, a comma-separated text, or a list of texts.
pub(super) struct Words(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Words, D::Error> {
        struct WordsVisitor;
        impl<'de> Visitor<'de> for WordsVisitor {
            type Value = Words;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_str<E>(self, text: &str) -> Result<Words, E> {
                Ok(Words(
                    text.split(',')
                        .map(str::trim)
                        .filter(|w| !w.is_empty())
                        .map(str::to_owned)
                        .collect(),
                ))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element::<String>()? {
                    words.push(word);
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_any(WordsVisitor)
    }
}

/// Any scalar as text, so that the file's types and the environment's text read alike.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct TextVisitor;
    impl Visitor<'_> for TextVisitor {
        type Value = String;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }
        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
        fn visit_bool<E>(self, value: bool) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_i64<E>(self, value: i64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_u64<E>(self, value: u64) -> Result<String, E> {
            Ok(value.to_string())
        }
        fn visit_f64<E>(self, value: f64) -> Result<String, E> {
            Ok(value.to_string())
        }
    }
    deserializer.deserialize_any(TextVisitor)
}

pub(super) fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    d: D,
) -> Result<T, D::Error> {
    text(d)?.parse().map_err(D::Error::custom)
}

pub(super) fn maybe_parsed<'de, D: Deserializer<'de>, T: FromStr<Err: fmt::Display>>(
    d: D,
) -> Result<Option<T>, D::Error> {
    parsed(d).map(Some)
}

pub(super) fn a_duration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    units::duration(&text(d)?).map_err(D::Error::custom)
}

pub(super) fn maybe_duration<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Duration>, D::Error> {
    a_duration(d).map(Some)
}

pub(super) fn a_size<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    units::size(&text(d)?).map_err(D::Error::custom)
}

pub(super) fn maybe_size<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u64>, D::Error> {
    a_size(d).map(Some)
}

/// A text that says something.
pub(super) fn maybe_text<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let words = text(d)?;
    if words.trim().is_empty() || words.contains('\0') {
        return Err(D::Error::custom("is empty or contains a NUL byte"));
    }
    Ok(Some(words))
}

/// An absolute path, or nothing.
pub(super) fn maybe_path<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    let words = text(d)?;
    if words.is_empty() {
        return Ok(None);
    }
    if !words.starts_with('/') || words.contains('\0') {
        return Err(D::Error::custom(format!(
            "`{words}` is not an absolute path"
        )));
    }
    Ok(Some(words.into()))
}

pub(super) fn switch<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    match text(d)?.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(D::Error::custom(format!(
            "`{other}` is neither true nor false"
        ))),
    }
}

pub(super) fn maybe_switch<'de, D: Deserializer<'de>>(d: D) -> Result<Option<bool>, D::Error> {
    switch(d).map(Some)
}

pub(super) fn words<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    Words::deserialize(d).map(|Words(words)| words)
}

pub(super) fn maybe_words<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<Vec<String>>, D::Error> {
    words(d).map(Some)
}

pub(super) fn a_table<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let table = text(d)?;
    match table.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() => Ok(table),
        _ => Err(D::Error::custom(format!(
            "`{table}` does not name a schema: write \"schema.table\", such as \"public.{table}\""
        ))),
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Ttl, D::Error> {
        match text(d)?.as_str() {
            "auto" => Ok(Ttl::Auto),
            other => units::duration(other)
                .map(Ttl::Fixed)
                .map_err(|e| D::Error::custom(format!("{e}, or \"auto\""))),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Workers, D::Error> {
        match text(d)?.as_str() {
            "auto" => Ok(Workers::Auto),
            other => {
                let number = other.parse().ok().filter(|n| *n <= 1024);
                number.map(Workers::Fixed).ok_or_else(|| {
                    D::Error::custom(format!(
                        "`{other}` is neither \"auto\" nor a number up to 1024"
                    ))
                })
            }
        }
    }
}
