//! What the application wants of the cache: hints in comments, and the settings `larder.cache`, `larder.ttl` and `larder.trace`.
//!
//! * A wish never makes a statement cacheable. It can only say no, say how long, and ask to be told.
//! * A time to live in a hint or setting takes the place of `cache.ttl`, longer or shorter; what a rule says it can only
//!   shorten. It holds for what is kept, and for what is given: nobody is given an answer that is older than he asked for.
//! * What cannot be read counts as no, and the client is warned of it, once a session and setting.
//! * Who wishes no time to live is given nothing that is older than what holds without a wish, however long somebody else
//!   has let it be kept.
//! * PostgreSQL keeps these settings like any others with a dot in their names: they are undone by ROLLBACK, set by roles,
//!   databases and connection strings, and harmless where there is no Larder.

use super::text::Text;
use super::{Io, Session};
use crate::cache::Micros;
use crate::cache::reply::{Entry, Header, Reply};
use crate::cache::rules::{Asker, micros};
use crate::config::duration;
use crate::guard::{Guard, stands};
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
    /// What of it cannot be read, as far as the client wants to hear of it.
    pub unread: Unread,
}

/// What cannot be read: any of `UNREAD`, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unread(u8);

/// What is said of it.
const UNREAD: [&str; 4] = [
    "larder: larder.cache is neither on nor off: nothing is answered from memory until it is set anew or reset",
    "larder: larder.ttl is no number with a unit, such as 30s: nothing is answered from memory until it is set anew or reset",
    "larder: larder.trace is neither on nor off: statements are not traced",
    "larder: a comment of this statement looks like a hint and cannot be read: the statement is not answered from memory \
     (write \"larder: off\" or \"larder: ttl=30s\")",
];
const CACHE: Unread = Unread(1);
const TTL: Unread = Unread(2);
const TRACE: Unread = Unread(4);
const HINT: Unread = Unread(8);

impl Unread {
    fn add(&mut self, other: Unread) {
        self.0 |= other.0;
    }

    /// Whether there is any.
    #[inline]
    pub fn any(self) -> bool {
        self.0 != 0
    }

    /// What is here and not yet there; then it is there, too.
    pub fn new_in(self, known: &mut Unread) -> impl Iterator<Item = &'static str> + use<> {
        let new = self.0 & !known.0;
        known.add(self);
        let all = UNREAD.iter().enumerate();
        all.filter(move |(at, _)| new & (1 << at) != 0)
            .map(|(_, words)| *words)
    }
}

impl Wish {
    /// What the settings say, by their values; empty as if not set. `least`: `client_min_messages`.
    pub fn of([cache, ttl, trace]: [Option<&str>; 3], least: Option<&str>) -> Wish {
        let given = |value: &Option<&str>| value.is_some_and(|value| !value.is_empty());
        let (cache, trace) = (
            cache.filter(|_| given(&cache)),
            trace.filter(|_| given(&trace)),
        );
        // At a level above theirs the client is not shown what PostgreSQL would say.
        let least = least.unwrap_or_default().to_ascii_lowercase();
        let deaf = matches!(&*least, "error" | "fatal" | "panic");
        let mut wish = Wish {
            off: cache.is_some() && switch(cache) != Some(true),
            trace: switch(trace) == Some(true) && !deaf && least != "warning",
            ..Wish::default()
        };
        for (value, which) in [(cache, CACHE), (trace, TRACE)] {
            if value.is_some() && switch(value).is_none() {
                wish.unread.add(which);
            }
        }
        if let Some(ttl) = ttl.filter(|ttl| !ttl.is_empty()) {
            wish.shorten(ttl, TTL);
        }
        if deaf {
            wish.unread = Unread::default();
        }
        wish
    }

    /// What the comments of a text say.
    pub fn hinted(hints: &Hints) -> Wish {
        let mut wish = Wish {
            off: hints.off,
            ..Wish::default()
        };
        if hints.unread {
            wish.unread.add(HINT);
        }
        for ttl in &hints.ttls {
            wish.shorten(ttl, HINT);
        }
        wish
    }

    fn shorten(&mut self, ttl: &str, which: Unread) {
        match duration(ttl) {
            Ok(ttl) => {
                let ttl = micros(ttl);
                self.ttl = Some(self.ttl.map_or(ttl, |other| other.min(ttl)));
                self.off |= ttl == 0;
            }
            Err(_) => {
                self.off = true;
                self.unread.add(which);
            }
        }
    }

    /// When an answer is too old for who wishes that.
    #[inline]
    pub fn end(self, header: &Header) -> Micros {
        match self.ttl {
            Some(ttl) => header.made.saturating_add(ttl).min(header.expires),
            None => header.usual,
        }
    }

    /// Whether an answer is older than is wished.
    #[inline]
    pub fn outlived(self, header: &Header, now: Micros) -> bool {
        now >= self.end(header) && stands(Guard::TimeToLive)
    }

    /// Both: a hint stands for its own statement where the settings do not say no.
    fn and(self, hinted: Wish) -> Wish {
        let mut unread = self.unread;
        unread.add(hinted.unread);
        Wish {
            off: self.off || hinted.off,
            ttl: hinted.ttl.or(self.ttl),
            trace: self.trace,
            unread,
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

    /// What is wanted of this text, an answer from memory no older than a rule for this application lets it be; and
    /// whether it may be given one, by that and by `gate`.
    #[inline]
    pub(super) fn bound(&mut self, text: &Text, gate: Result<(), Why>) -> (Result<(), Why>, Wish) {
        let mut wish = self.wish(text);
        let gate = match wish.off {
            true => gate.and(Err(Why::Hint)),
            false if self.thread.live().rules.by_application() => {
                gate.and_then(|()| self.bound_by_rules(text, &mut wish))
            }
            false => gate,
        };
        (gate, wish)
    }

    #[cold]
    fn bound_by_rules(&mut self, text: &Text, wish: &mut Wish) -> Result<(), Why> {
        let Some(catalog) = self.database.catalog() else {
            return Ok(());
        };
        let context = self.settings.context(&self.thread.contexts);
        let path = self.settings.path();
        let effects = text.effects(Some(&catalog), context, &path);
        // Whom no rule trusts is not given what is kept for another.
        let effects = self.overruled(text, Some(&catalog), effects);
        let reads = match effects.first().map(|effect| &effect.reads) {
            Some(Ok(reads)) => reads,
            Some(Err(why)) => return Err(*why),
            None => return Ok(()),
        };
        let live = self.thread.live();
        let ruling = live.rules.decide(&self.asker(text), reads, &catalog);
        // Whom no rule means, too: what is there may be kept for long for somebody whom one does.
        wish.ttl = Some(ruling.within(wish.ttl));
        match ruling.ttl {
            0 if ruling.ruled => Err(Why::Rule),
            _ => Ok(()),
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

    /// Tells the client what became of a statement that goes upstream, if it wants to know.
    #[inline]
    pub(super) fn trace(
        &mut self,
        text: Option<&Text>,
        outcome: Outcome,
        why: Option<Why>,
        io: &mut Io<'_>,
    ) {
        let wish = match text {
            Some(text) => self.wish(text),
            None => self.settings.wish(),
        };
        if wish.unread.any() {
            self.warn(wish, io);
        }
        if wish.trace && outcome != Outcome::Other {
            self.notice(&traced(outcome, why), io);
        }
    }

    /// The same of a hit.
    #[inline]
    pub(super) fn trace_hit(&mut self, text: &Text, entry: &Entry, io: &mut Io<'_>) {
        let wish = self.settings.wish();
        if wish.trace || wish.unread.any() {
            self.tell_hit(text, entry, io);
        }
    }

    #[cold]
    fn tell_hit(&mut self, text: &Text, entry: &Entry, io: &mut Io<'_>) {
        let wish = self.wish(text);
        self.warn(wish, io);
        if wish.trace {
            let header = entry.header();
            let age = io.now.saturating_sub(header.made);
            let end = wish.end(header);
            let words = format!(
                "larder: hit, age {}, at most {} more",
                seconds(age),
                seconds(end.saturating_sub(io.now)),
            );
            self.notice(&words, io);
        }
    }

    /// Says what cannot be read, once a session.
    #[cold]
    fn warn(&mut self, wish: Wish, io: &mut Io<'_>) {
        for words in wish.unread.new_in(self.settings.warned()) {
            let mut warning = Vec::new();
            message::put_warning(&mut warning, words);
            self.emit(&warning, io);
        }
    }

    #[cold]
    fn notice(&mut self, words: &str, io: &mut Io<'_>) {
        let mut notice = Vec::new();
        message::put_notice(&mut notice, words);
        self.emit(&notice, io);
    }
}

fn traced(outcome: Outcome, why: Option<Why>) -> String {
    match (outcome, why) {
        (_, Some(why)) => format!(
            "larder: {}: {} ({})",
            outcome.label(),
            why.label(),
            why.text()
        ),
        // It was decided, and not served.
        (Outcome::Hit, None) => "larder: would be a hit (cache.mode is observe)".into(),
        (_, None) => format!("larder: {}", outcome.label()),
    }
}

/// For people.
fn seconds(micros: Micros) -> String {
    match micros {
        0..100_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.1} s", micros as f64 / 1e6),
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
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let of = |cache, ttl, trace| Wish::of([Some(cache), Some(ttl), Some(trace)], None).unread;
        assert!(!of("on", "5s", "off").any() && !of("", "0s", "").any());
        assert_eq!(of("banana", "", ""), CACHE);
        assert_eq!((of("", "5", ""), of("", "", "maybe")), (TTL, TRACE));
        let mut known = Unread::default();
        let words = |unread: Unread, known: &mut Unread| unread.new_in(known).count();
        assert_eq!(words(of("banana", "5", ""), &mut known), 2);
        assert_eq!(words(of("banana", "5", "maybe"), &mut known), 1);
        assert_eq!(words(of("banana", "5", "maybe"), &mut known), 0);
    }

    /// As PostgreSQL would: each level hides what is below it.
    #[test]
    fn nobody_is_told_what_he_does_not_want_to_hear() {
        for (least, traced, warned) in [
            ("debug1", true, true),
            ("log", true, true),
            ("notice", true, true),
            ("warning", false, true),
            ("WARNING", false, true),
            ("error", false, false),
            ("Fatal", false, false),
        ] {
            let wish = Wish::of([Some("banana"), None, Some("on")], Some(least));
            assert_eq!((wish.trace, wish.unread.any()), (traced, warned), "{least}");
            assert!(wish.off);
        }
    }

    /// A client may have another encoding.
    #[test]
    fn what_is_told_is_ascii() {
        let told = Why::ALL
            .iter()
            .map(|why| traced(Outcome::Bypass, Some(*why)));
        let told = told
            .chain(UNREAD.map(str::to_owned))
            .chain([seconds(1), seconds(1 << 40)]);
        for words in told {
            assert!(words.is_ascii(), "{words}");
        }
    }

    #[test]
    fn a_hint_stands_for_its_statement() {
        let hints = |off, ttls: &[&str]| Hints {
            off,
            unread: false,
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
