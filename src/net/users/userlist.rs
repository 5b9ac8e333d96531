//! PgBouncer's userlist: `"user" "password"` a line, quotes doubled inside quotes, `;` before a comment.
//!
//! * A line that is not understood is an error with its number, and never shown: it holds a password.

use crate::wire::verifier::Verifier;

/// Reads a userlist's text.
pub(super) fn read(text: &str) -> Result<Vec<(String, Verifier)>, String> {
    let mut entries = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with(';') {
            continue;
        }
        let wrong = |what: &str| format!("line {}: {what}", number + 1);
        let shape = || wrong("not \"user\" \"password\"");
        let (user, rest) = quoted(line).ok_or_else(shape)?;
        let (password, _) = quoted(rest.trim_start()).ok_or_else(shape)?;
        if user.is_empty() {
            return Err(wrong("the user's name is empty"));
        }
        let verifier = Verifier::parse(&password).map_err(wrong)?;
        entries.push((user, verifier));
    }
    Ok(entries)
}

/// The text in quotes at the start, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut found = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        found.push_str(part);
        match after.strip_prefix('"') {
            Some(more) => {
                found.push('"');
                rest = more;
            }
            None => return Some((found, after)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_read_as_pgbouncer_reads_them() {
        let text = "; a comment\n\n\"ann\" \"secret\"\r\n  \"b\"\"ob\"\t\"say \"\"yes\"\"\" \"ignored\"\n\
                    \"eve\" \"md507159c47ee1b19ae4fb9c40d480856c4\"";
        let entries = read(text).unwrap();
        let plain = |text: &str| Verifier::Plain(text.into());
        assert_eq!(entries[0], ("ann".into(), plain("secret")));
        assert_eq!(entries[1], ("b\"ob".into(), plain("say \"yes\"")));
        assert!(matches!(entries[2].1, Verifier::Md5(_)));
    }

    #[test]
    fn what_is_not_understood_is_named_by_its_line_and_not_shown() {
        for (text, expected) in [
            ("\"ann\" \"s3cret\"\nbob s3cret", "line 2: not"),
            ("\"ann\"", "line 1: not"),
            ("\"ann\" \"s3cret", "line 1: not"),
            ("\"\" \"s3cret\"", "line 1: the user's name is empty"),
            ("\"ann\" \"\"", "line 1: the password is empty"),
            ("\"ann\" \"SCRAM-SHA-256$s3cret\"", "line 1: it begins like"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[\";a \\n]{0,40}") {
            let _ = read(&text);
        }
    }
}
