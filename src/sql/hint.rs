//! Hints: what an application says about caching in the comments of a statement.
//!
//! * `/* larder: off */`, `/* larder: ttl=30s */`, `-- larder: ttl=30s`, and, as other caches have it, `/* CACHE_PARAM(ttl=300s) */`
//!   and `/*NO QUERY CACHE*/`. In upper or lower case, anywhere between tokens; not inside of another comment, a string or
//!   a name.
//! * Of several hints the more cautious counts. One that cannot be read counts as `off`: whoever wrote it wanted something
//!   else than what happens without it.
//!
//! Not here: what durations are, and what comes of a hint (the session's).

/// What the comments of one text say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Not from memory.
    pub off: bool,
    /// Times to live, as they were written.
    pub ttls: Vec<Box<str>>,
}

/// No hint is longer.
const LONGEST: usize = 256;

impl Hints {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        !self.off && self.ttls.is_empty()
    }

    /// Reads a comment, with what begins and ends it.
    pub fn read(&mut self, comment: &[u8]) {
        if comment.len() > LONGEST {
            return;
        }
        let Ok(comment) = std::str::from_utf8(comment) else {
            return;
        };
        let inner = comment
            .strip_prefix("/*")
            .and_then(|rest| rest.strip_suffix("*/"))
            .or(comment.strip_prefix("--"))
            .unwrap_or_default();
        let inner = inner.trim().to_ascii_lowercase();
        if let Some(items) = inner.strip_prefix("larder:") {
            self.items(items);
        } else if let Some((_, rest)) = inner.split_once("cache_param(") {
            match rest.split_once(')') {
                Some((items, _)) => self.items(items),
                None => self.off = true,
            }
        } else if inner.starts_with("no query cache") {
            self.off = true;
        }
    }

    fn items(&mut self, items: &str) {
        let mut any = false;
        for item in items.split(',').map(str::trim) {
            any = true;
            match item.split_once('=').map(|(k, v)| (k.trim(), v.trim())) {
                Some(("ttl", value)) if !value.is_empty() => self.ttls.push(value.into()),
                _ => self.off = true,
            }
        }
        self.off |= !any;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::canonical::canonical;

    fn hints(text: &str) -> Hints {
        canonical(text).expect("it is closed").hints
    }

    fn ttl(value: &str) -> Hints {
        Hints {
            off: false,
            ttls: vec![value.into()],
        }
    }

    fn off() -> Hints {
        Hints {
            off: true,
            ttls: Vec::new(),
        }
    }

    #[test]
    fn hints_are_read() {
        for text in [
            "/* larder: ttl=30s */ SELECT 1",
            "SELECT 1 /*LARDER:TTL = 30s*/",
            "SELECT /* larder: ttl=30s */ 1",
            "SELECT 1 -- larder: ttl=30s",
            "SELECT 1 -- larder: ttl=30s\n + 2",
            "/* CACHE_PARAM(ttl=30s) */ SELECT 1",
            "/* x, cache_param(ttl=30s), y */ SELECT 1",
        ] {
            assert_eq!(hints(text), ttl("30s"), "{text}");
        }
        for text in [
            "/* larder: off */ SELECT 1",
            "/*NO QUERY CACHE*/ SELECT 1",
            "SELECT 1 -- larder: off",
        ] {
            assert_eq!(hints(text), off(), "{text}");
        }
        let two = hints("/* larder: ttl=5s */ SELECT 1 /* larder: off */");
        assert!(two.off && two.ttls.len() == 1);
    }

    #[test]
    fn what_cannot_be_read_is_off() {
        for text in [
            "/* larder: */ SELECT 1",
            "/* larder: of */ SELECT 1",
            "/* larder: ttl */ SELECT 1",
            "/* larder: ttl= */ SELECT 1",
            "/* CACHE_PARAM(tll=300s) */ SELECT 1",
            "/* CACHE_PARAM(ttl=300s */ SELECT 1",
        ] {
            assert!(hints(text).off, "{text}");
        }
    }

    #[test]
    fn what_is_no_comment_is_no_hint() {
        for text in [
            "SELECT '/* larder: off */'",
            "SELECT $$/* larder: off */$$",
            r#"SELECT "/* larder: off */""#,
            "SELECT E'\\'/* larder: off */'",
            "/* /* larder: off */ */ SELECT 1",
            "/* traceparent='00-0af7-b7ad-01',route='larder' */ SELECT 1",
            "/*FORCE QUERY CACHE*/ SELECT 1",
            "SELECT 1",
        ] {
            assert!(hints(text).is_empty(), "{text}");
        }
    }
}
