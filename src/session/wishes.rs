//! What the application wants of the cache: hints in comments, and the settings `larder.cache`, `larder.ttl` and `larder.trace`.
//!
//! * A wish never makes a statement cacheable. It can only say no, say how long, and ask to be told.
//! * A time to live in a hint or setting takes the place of `cache.ttl`, longer or shorter; what a rule says it can only
//!   shorten. It holds for what is kept, and for what is given: nobody is given an answer that is older than he asked for.
//! * What cannot be read counts as no.
//! * PostgreSQL keeps these settings like any others with a dot in their names: they are undone by ROLLBACK, set by roles,
//!   databases and connection strings, and harmless where there is no Larder.

use super::text::Text;
use super::{Io, Session};
use crate::cache::Micros;
use crate::cache::reply::{Entry, Reply};
use crate::cache::rules::{Asker, micros};
use crate::config::duration;
use crate::metrics::Outcome;
use crate::sql::hint::Hints;
use crate::sql::{Cacheable, Catalog};
use crate::why::Why;
use crate::wire::message;

/// What is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Not from memory.
    pub off: bool,
    /// No older than that.
    pub ttl: Option<Micros>,
    /// To be told of each statement.
    pub trace: bool,
}

impl Wish {
    /// What the settings say, by their values; empty as if not set.
    pub fn of([cache, ttl, trace]: [Option<&str>; 3], least: Option<&str>) -> Wish {
        let given = |value: Option<&str>| value.is_some_and(|value| !value.is_empty());
        let mut wish = Wish {
            off: given(cache) && switch(cache) != Some(true),
            // At a level above it the client is not shown what PostgreSQL would say.
            trace: switch(trace) == Some(true) && !matches!(least, Some("warning" | "error")),
            ttl: None,
        };
        if let Some(ttl) = ttl.filter(|ttl| !ttl.is_empty()) {
            wish.shorten(ttl);
        }
        wish
    }

    /// What the comments of a text say.
    pub fn hinted(hints: &Hints) -> Wish {
        let mut wish = Wish {
            off: hints.off,
            ..Wish::default()
        };
        for ttl in &hints.ttls {
            wish.shorten(ttl);
        }
        wish
    }

    fn shorten(&mut self, ttl: &str) {
        match duration(ttl) {
            Ok(ttl) => {
                let ttl = micros(ttl);
                self.ttl = Some(self.ttl.map_or(ttl, |other| other.min(ttl)));
                self.off |= ttl == 0;
            }
            Err(_) => self.off = true,
        }
    }

    /// Both: a hint stands for its own statement where the settings do not say no.
    fn and(self, hinted: Wish) -> Wish {
        Wish {
            off: self.off || hinted.off,
            ttl: hinted.ttl.or(self.ttl),
            trace: self.trace,
        }
    }
}

/// PostgreSQL's words for yes and no.
fn switch(value: Option<&str>) -> Option<bool> {
    match &*value?.to_ascii_lowercase() {
        "on" | "true" | "yes" | "1" | "t" | "y" => Some(true),
        "off" | "false" | "no" | "0" | "f" | "n" => Some(false),
        _ => None,
    }
}

impl Session {
    /// What is wanted of this text.
    #[inline]
    pub(super) fn wish(&self, text: &Text) -> Wish {
        let settings = self.settings.wish();
        match &text.hinted {
            None => settings,
            Some(hinted) => settings.and(*hinted),
        }
    }

    /// Who asks, for the rules.
    pub(super) fn asker<'a>(&'a self, text: &'a Text) -> Asker<'a> {
        Asker {
            database: self.database.name(),
            role: self.settings.role(),
            application_name: Some(self.settings.application()),
            statement: self.thread.record(text).id(),
            shape: &text.analysis.shape,
        }
    }

    /// How old an answer to this text may be at most, beside its own time to live; an error: it may not be given.
    #[inline]
    pub(super) fn bound(&mut self, text: &Text, wish: Wish) -> Result<Option<Micros>, Why> {
        if wish.off {
            return Err(Why::Hint);
        }
        if !self.thread.live().rules.by_application() {
            return Ok(wish.ttl);
        }
        self.bound_by_rules(text, wish)
    }

    #[cold]
    fn bound_by_rules(&mut self, text: &Text, wish: Wish) -> Result<Option<Micros>, Why> {
        let Some(catalog) = self.database.catalog() else {
            return Ok(wish.ttl);
        };
        let context = self.settings.context(&self.thread.contexts);
        let path = self.settings.path();
        let effects = text.effects(Some(&catalog), context, &path);
        let Some(Ok(reads)) = effects.first().map(|effect| &effect.reads) else {
            return Ok(wish.ttl);
        };
        let live = self.thread.live();
        let ruling = live.rules.decide(&self.asker(text), reads, &catalog);
        match (ruling.ruled, wish.ttl) {
            (true, _) if ruling.ttl == 0 => Err(Why::Rule),
            (true, Some(ttl)) => Ok(Some(ttl.min(ruling.ttl))),
            (true, None) => Ok(Some(ruling.ttl)),
            (false, ttl) => Ok(ttl),
        }
    }

    /// How long an answer to this text is kept, and what says so.
    pub(super) fn kept_for(
        &self,
        text: &Text,
        reads: &Cacheable,
        catalog: &Catalog,
    ) -> (Micros, String) {
        let live = self.thread.live();
        let ruling = live.rules.decide(&self.asker(text), reads, catalog);
        let rule = || match ruling.rule.filter(|_| ruling.ruled) {
            Some(at) => live.rules.words(at),
            None => "cache.ttl".into(),
        };
        match self.wish(text).ttl {
            Some(ttl) if !ruling.ruled || ttl < ruling.ttl => {
                let hinted = text.hinted.is_some_and(|hinted| hinted.ttl.is_some());
                let what = if hinted {
                    "a hint in the statement"
                } else {
                    "larder.ttl"
                };
                (ttl, what.into())
            }
            _ => (ruling.ttl, rule()),
        }
    }

    /// Tells the client what became of a statement, if it wants to know.
    #[inline]
    pub(super) fn trace(&mut self, outcome: Outcome, why: Option<Why>, io: &mut Io<'_>) {
        if self.settings.wish().trace {
            let words = match (outcome, why) {
                (Outcome::Other, _) => return,
                (_, Some(why)) => {
                    format!(
                        "larder: {}: {} ({})",
                        outcome.label(),
                        why.label(),
                        why.text()
                    )
                }
                (_, None) => format!("larder: {}", outcome.label()),
            };
            self.notice(&words, io);
        }
    }

    /// The same of a hit.
    #[inline]
    pub(super) fn trace_hit(&mut self, entry: &Entry, io: &mut Io<'_>) {
        if self.settings.wish().trace {
            let header = entry.header();
            let seconds = |micros: Micros| micros as f64 / 1e6;
            let words = format!(
                "larder: hit, {:.3} s old, {:.3} s at most",
                seconds(io.now.saturating_sub(header.made)),
                seconds(header.expires.saturating_sub(header.made)),
            );
            self.notice(&words, io);
        }
    }

    #[cold]
    fn notice(&mut self, words: &str, io: &mut Io<'_>) {
        let mut notice = Vec::new();
        message::put_notice(&mut notice, words);
        self.emit(&notice, io);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_postgresql_reads_them() {
        let of = |cache, ttl, trace| Wish::of([Some(cache), Some(ttl), Some(trace)], None);
        assert_eq!(of("", "", ""), Wish::default());
        assert_eq!(of("on", "", "off"), Wish::default());
        assert!(of("OFF", "", "").off && of("no", "", "").off);
        assert!(of("banana", "", "").off && of("", "banana", "").off && of("", "0s", "").off);
        assert_eq!(of("", "5s", "").ttl, Some(5_000_000));
        assert!(of("", "", "on").trace && !of("", "", "banana").trace);
        let quiet = Wish::of([None, None, Some("on")], Some("warning"));
        assert!(!quiet.trace);
    }

    #[test]
    fn a_hint_stands_for_its_statement() {
        let hints = |off, ttls: &[&str]| Hints {
            off,
            ttls: ttls.iter().map(|ttl| Box::from(*ttl)).collect(),
        };
        let settings = Wish {
            ttl: Some(1),
            ..Wish::default()
        };
        let both = |hints: &Hints| settings.and(Wish::hinted(hints));
        assert_eq!(both(&hints(false, &["30s"])).ttl, Some(30_000_000));
        assert_eq!(both(&hints(false, &["30s", "5s"])).ttl, Some(5_000_000));
        assert_eq!(both(&hints(false, &[])).ttl, Some(1));
        assert!(both(&hints(true, &["30s"])).off);
        assert!(both(&hints(false, &["soon"])).off);
    }
}
