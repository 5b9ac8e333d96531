//! `EXPLAIN (LARDER) statement`: which statement is asked about.
//!
//! * Read by its words, not by the grammar: what is asked about must stand here as it was written, comments included.
//!   Whoever calls has the whole parsed by the grammar, too, and asks only about what that takes for one statement.
//! * What is not read is left to PostgreSQL, which knows no such option and runs nothing then.
//!
//! Not here: the answer (`session::explain`).

/// What a text asks of Larder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Explained {
    /// About this statement.
    Statement(String),
    /// … with an option beside `LARDER`, which cannot be given.
    Refused,
}

/// Reads a text; `None`: it is no EXPLAIN with that option.
pub fn explained(sql: &str) -> Option<Explained> {
    let begin = skip(sql, 0);
    let mut at = skip(sql, word(sql, begin, "explain")?);
    if sql.as_bytes().get(at) != Some(&b'(') {
        return None;
    }
    at += 1;
    let (mut larder, mut others) = (false, false);
    loop {
        at = skip(sql, at);
        let end = option_end(sql, at)?;
        let mut words = sql[at..end].split_ascii_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some(name), value, None) if name.eq_ignore_ascii_case("larder") => {
                larder = value.is_none_or(is_true);
                if !larder {
                    return None;
                }
            }
            _ => others = true,
        }
        at = end + 1;
        if sql.as_bytes()[end] == b')' {
            break;
        }
    }
    if !larder {
        return None;
    }
    if others {
        return Some(Explained::Refused);
    }
    let rest = sql[at..].trim_ascii_start();
    Some(Explained::Statement(format!("{}{rest}", &sql[..begin])))
}

/// How many parameters (`$1`, `$2`, …) a text without constants has.
pub fn parameters(shape: &str) -> u16 {
    let (mut most, mut quoted, mut before) = (0, false, b' ');
    for (at, byte) in shape.bytes().enumerate() {
        let inside = before.is_ascii_alphanumeric() || before == b'_' || before >= 0x80;
        if byte == b'"' {
            quoted = !quoted;
        } else if byte == b'$' && !quoted && !inside {
            let digits = shape[at + 1..]
                .bytes()
                .take_while(u8::is_ascii_digit)
                .count();
            most = most.max(shape[at + 1..at + 1 + digits].parse().unwrap_or(0));
        }
        before = byte;
    }
    most
}

/// PostgreSQL's words for an option that is on (`defGetBoolean`).
fn is_true(value: &str) -> bool {
    ["on", "true", "1"]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

/// Where a word ends that begins there.
fn word(sql: &str, at: usize, word: &str) -> Option<usize> {
    let end = at + word.len();
    let found = sql.get(at..end)?.eq_ignore_ascii_case(word);
    let next = sql.as_bytes().get(end);
    (found && next.is_some_and(|byte| !byte.is_ascii_alphanumeric())).then_some(end)
}

/// The comma or parenthesis behind an option. No option has one inside, but in a constant.
fn option_end(sql: &str, at: usize) -> Option<usize> {
    let mut quote = None;
    for (end, byte) in sql.bytes().enumerate().skip(at) {
        match (quote, byte) {
            (Some(open), _) if open == byte => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b',' | b')') => return Some(end),
            _ => {}
        }
    }
    None
}

/// The first place from there on that is neither white space nor in a comment.
fn skip(sql: &str, mut at: usize) -> usize {
    let bytes = sql.as_bytes();
    loop {
        let rest = &bytes[at..];
        if rest.first().is_some_and(u8::is_ascii_whitespace) {
            at += 1;
        } else if rest.starts_with(b"--") {
            at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        } else if rest.starts_with(b"/*") {
            let (mut depth, mut inside) = (1, 2);
            while depth > 0 && inside < rest.len() {
                if rest[inside..].starts_with(b"/*") {
                    (depth, inside) = (depth + 1, inside + 2);
                } else if rest[inside..].starts_with(b"*/") {
                    (depth, inside) = (depth - 1, inside + 2);
                } else {
                    inside += 1;
                }
            }
            at += inside.min(rest.len());
        } else {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_stands_behind_the_option() {
        let statement = |text: &str| Some(Explained::Statement(text.into()));
        for (sql, expected) in [
            ("EXPLAIN (LARDER) SELECT 1", statement("SELECT 1")),
            (
                "explain(larder on)select 'a)' from t",
                statement("select 'a)' from t"),
            ),
            (
                "/* app */ EXPLAIN /* why */ ( larder ) /* larder: off */ SELECT 1",
                statement("/* app */ /* larder: off */ SELECT 1"),
            ),
            (
                "-- a\nEXPLAIN (LARDER TRUE)\nEXECUTE p(1)",
                statement("-- a\nEXECUTE p(1)"),
            ),
            (
                "EXPLAIN (LARDER, ANALYZE) SELECT 1",
                Some(Explained::Refused),
            ),
            (
                "EXPLAIN (FORMAT 'json', LARDER) SELECT 1",
                Some(Explained::Refused),
            ),
            ("EXPLAIN (LARDER off) SELECT 1", None),
            ("EXPLAIN (ANALYZE, LARDER false) SELECT 1", None),
            ("EXPLAIN (ANALYZE) SELECT larder FROM t", None),
            ("EXPLAIN SELECT (larder) FROM t", None),
            ("EXPLAIN (LARDER", None),
            ("EXPLAIN (LARDER 'x", None),
            ("EXPLAINX (LARDER) SELECT 1", None),
            ("/* EXPLAIN (LARDER) SELECT 1", None),
            ("EXPLAIN", None),
            ("", None),
        ] {
            assert_eq!(explained(sql), expected, "{sql}");
        }
    }

    #[test]
    fn parameters_are_counted_by_the_highest() {
        for (shape, expected) in [
            ("SELECT a FROM t", 0),
            ("SELECT a FROM t WHERE b = $2 AND c = $1", 2),
            ("SELECT a$9 FROM t WHERE b=$1", 1),
            (r#"SELECT "$7" FROM t"#, 0),
            ("SELECT $", 0),
        ] {
            assert_eq!(parameters(shape), expected, "{shape}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(sql in "(EXPLAIN|explain|/\\*|\\*/|--|\n|[(),'\"]| |larder|é|\\$1){0,12}") {
            let _ = (explained(&sql), parameters(&sql));
        }
    }
}
