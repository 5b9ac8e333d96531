//! Text that PostgreSQL's date and time types read as the clock, and types that do not.
//!
//! * `'now'`, `'today'`, `'tomorrow'` and `'yesterday'` are read by the input functions of date and time types
//!   (manual, 8.5.1.4), whether the text is a constant, a parameter or a row's: an answer made from one of them is
//!   wrong the moment the clock moves on.
//! * A text's type is often known to the server alone, so every text counts that could be read that way.

/// Date and time input refuses more than this (PostgreSQL's MAXDATELEN), white space not counted; array, range and
/// composite input refuses nothing.
const PLAIN_LIMIT: usize = 128;

/// Whether a date or time type's input may read this text as the clock, on its own or inside an array, a range or a
/// row.
pub fn reads_the_clock(text: &[u8]) -> bool {
    if text.len() > PLAIN_LIMIT
        && text
            .iter()
            .filter(|b| !b.is_ascii_whitespace() && **b != 0x0b)
            .nth(PLAIN_LIMIT)
            .is_some()
        && !text.iter().any(|b| matches!(b, b'{' | b'[' | b'('))
    {
        return false;
    }
    text.split(|b| !b.is_ascii_alphabetic()).any(|word| {
        (3..=9).contains(&word.len())
            && [&b"now"[..], b"today", b"tomorrow", b"yesterday"]
                .iter()
                .any(|w| word.eq_ignore_ascii_case(w))
    })
}

/// pg_catalog types whose input is text read as it stands: a cast to one of them passes its text on.
const TEXT: &[&str] = &[
    "text", "varchar", "bpchar", "char", "name", "unknown", "cstring", "json", "jsonb", "xml",
    "citext",
];

/// pg_catalog types whose input function never reads the clock, whatever the text.
const CLOCKLESS: &[&str] = &[
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "numeric",
    "bytea",
    "uuid",
    "interval",
    "bit",
    "varbit",
    "oid",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "money",
    "tsvector",
    "tsquery",
    "int4range",
    "int8range",
    "numrange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "pg_lsn",
    "xid",
    "xid8",
    "tid",
    "int2vector",
    "oidvector",
    "jsonpath",
];

/// What a cast to the type does with text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextInput {
    /// Passes it on.
    Keeps,
    /// Reads it without the clock.
    Clockless,
    /// May read the clock in it.
    MayReadClock,
}

/// By a type's last name. User types are judged by the catalog as well, so a namesake does no harm here.
pub fn text_input(type_name: &str) -> TextInput {
    if TEXT.contains(&type_name) {
        TextInput::Keeps
    } else if CLOCKLESS.contains(&type_name) {
        TextInput::Clockless
    } else {
        TextInput::MayReadClock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_words_count_wherever_input_would_find_them() {
        for text in [
            "now",
            "NOW",
            "Today",
            " tomorrow ",
            "yesterday",
            "today 12:00",
            "now'",
            "today+00",
            "{2020-01-01,today}",
            "[today,tomorrow)",
            "(1,now)",
            "today08:00",
            "1now",
        ] {
            assert!(reads_the_clock(text.as_bytes()), "{text}");
        }
        let padded = format!("{{{}today}}", " ".repeat(500));
        assert!(reads_the_clock(padded.as_bytes()));
    }

    #[test]
    fn other_text_does_not() {
        for text in [
            "",
            "2020-01-01",
            "snow",
            "nowhere",
            "todays",
            "infinity",
            "epoch",
            "now_",
            "yesterdays",
        ] {
            if text == "now_" {
                assert!(
                    reads_the_clock(text.as_bytes()),
                    "an underscore ends a word"
                );
            } else {
                assert!(!reads_the_clock(text.as_bytes()), "{text}");
            }
        }
        let long = format!("{} today", "x".repeat(200));
        assert!(!reads_the_clock(long.as_bytes()));
    }
}
