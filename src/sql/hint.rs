//! Hints: what an application says about caching in the comments of a statement.
//!
//! * `/* larder: off */`, `/* larder: ttl=30s */`, `-- larder: ttl=30s`, and, as other caches have it, `/* CACHE_PARAM(ttl=300s) */`
//!   and `/*NO QUERY CACHE*/`. In upper or lower case, anywhere between tokens; not inside of another comment, a string or
//!   a name.
//! * Of several hints the more cautious counts. One that cannot be read counts as `off`: whoever wrote it wanted something
//!   else than what happens without it. That goes for one that is too long, too.
//! * Any comment is read in time linear in its length: it comes from the client.
//!
//! Not here: what durations are, and what comes of a hint (the session's).

/// What the comments of one text say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Not from memory.
    pub off: bool,
    /// One of them cannot be read; then they say `off`, too.
    pub unread: bool,
    /// Times to live, as they were written.
    pub ttls: Vec<Box<str>>,
}

/// What a hint says is no longer.
const LONGEST: usize = 256;
/// AWS's word.
const CACHE_PARAM: &[u8] = b"cache_param";
/// Pgpool's words.
const NO_QUERY_CACHE: &[u8] = b"no query cache";

impl Hints {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        !self.off && self.ttls.is_empty()
    }

    /// Reads a comment, with what begins and ends it.
    pub fn read(&mut self, comment: &[u8]) {
        let inner = comment
            .strip_prefix(b"/*")
            .and_then(|rest| rest.strip_suffix(b"*/"))
            .or(comment.strip_prefix(b"--"))
            .unwrap_or_default();
        // `/*+ … */` is how hints to planners are written.
        let inner = inner.strip_prefix(b"+").unwrap_or(inner).trim_ascii();
        if let Some(rest) = after(inner, b"larder")
            && let Some(items) = rest.trim_ascii_start().strip_prefix(b":")
        {
            self.items(items);
        } else if after(inner, NO_QUERY_CACHE).is_some() {
            self.off = true;
        } else if let Some(items) = parameters(inner) {
            match items.iter().position(|byte| *byte == b')') {
                Some(end) => self.items(&items[..end]),
                None => self.unread(),
            }
        }
    }

    fn items(&mut self, items: &[u8]) {
        match std::str::from_utf8(items) {
            Ok(items) if items.len() <= LONGEST => {
                for item in items.to_ascii_lowercase().split(',').map(str::trim) {
                    self.item(item);
                }
            }
            _ => self.unread(),
        }
    }

    fn item(&mut self, item: &str) {
        match item.split_once('=').map(|(k, v)| (k.trim(), v.trim())) {
            // The lexer comes by some comments twice.
            Some(("ttl", value)) if self.ttls.last().is_some_and(|ttl| **ttl == *value) => {}
            Some(("ttl", value)) if !value.is_empty() => self.ttls.push(value.into()),
            None if item == "off" => self.off = true,
            _ => self.unread(),
        }
    }

    fn unread(&mut self) {
        (self.off, self.unread) = (true, true);
    }
}

/// What follows a word at the start, in upper or lower case.
fn after<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = text.split_at_checked(word.len())?;
    start.eq_ignore_ascii_case(word).then_some(rest)
}

/// What follows `CACHE_PARAM(` anywhere in a comment.
fn parameters(text: &[u8]) -> Option<&[u8]> {
    let mut words = text.windows(CACHE_PARAM.len()).enumerate();
    words.find_map(|(at, word)| {
        let rest = &text[at + word.len()..];
        word.eq_ignore_ascii_case(CACHE_PARAM)
            .then(|| rest.trim_ascii_start().strip_prefix(b"("))?
    })
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
            ttls: vec![value.into()],
            ..Hints::default()
        }
    }

    fn off() -> Hints {
        Hints {
            off: true,
            ..Hints::default()
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
            "/*+ CACHE_PARAM (ttl=30s) */ SELECT 1",
            "/* Larder : ttl=30s */ SELECT 1",
            "SELECT 'a' /* larder: ttl=30s */, $$b$$",
            "/* a */ /* larder: ttl=30s */ SELECT /* b */ 1",
        ] {
            assert_eq!(hints(text), ttl("30s"), "{text}");
        }
        for text in [
            "/* larder: off */ SELECT 1",
            "/*NO QUERY CACHE*/ SELECT 1",
            "/* no query cache, please */ SELECT 1",
            "/*+ larder: off */ SELECT 1",
            "SELECT 1 -- larder: off",
            "SELECT 1 -- larder: off\r\n",
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
            "/* CACHE_PARAM() */ SELECT 1",
            "/* larder: on */ SELECT 1",
            "/* larder: ttl=30s, */ SELECT 1",
            "/* larder: ttl=30s; off */ SELECT 1 -- larder: ttl=30s off=1",
            "/* larder: ttl=30s /* larder: off */ */ SELECT 1",
            "-- larder: off /* why */\nSELECT 1",
            "/* larder: öff */ SELECT 1",
        ] {
            let hints = hints(text);
            // A time to live is read where the session knows what durations are.
            let read_later = hints
                .ttls
                .iter()
                .any(|ttl| !ttl.ends_with('s') || ttl.len() > 4);
            assert!((hints.off && hints.unread) || read_later, "{text}");
        }
        let long = format!("/* larder: off,{} */ SELECT 1", " ".repeat(LONGEST));
        assert!(hints(&long).unread && hints(&long).off);
    }

    /// What says nothing may be as long as it likes, and may stand around what does.
    #[test]
    fn long_comments_are_read() {
        let prose = "x".repeat(100_000);
        assert!(hints(&format!("/* {prose} */ SELECT 1")).is_empty());
        assert_eq!(
            hints(&format!("/* larder: ttl=30s */ SELECT 1 /* {prose} */")),
            ttl("30s")
        );
        assert_eq!(
            hints(&format!(
                "/* {prose} CACHE_PARAM(ttl=30s) {prose} */ SELECT 1"
            )),
            ttl("30s")
        );
        assert_eq!(
            hints(&format!("/*NO QUERY CACHE {prose} */ SELECT 1")),
            off()
        );
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
            "SELECT $a$ -- larder: off\n$a$",
            "SELECT U&'/* larder: off */', B'1'",
            "SELECT 'a'\n'/* larder: off */'",
            "/* the larder is full: ttl=30s */ SELECT 1",
            "/* cache_param is AWS's */ SELECT 1",
            "SELECT 1 - - 2 AS larder",
            "SELECT 1",
        ] {
            assert!(hints(text).is_empty(), "{text}");
        }
    }
}
