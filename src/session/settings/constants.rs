//! What the settings say of how a text is read, before it runs.
//!
//! * The bytes of a text mean what they seem to only in UTF8 and with standard_conforming_strings on: in another
//!   encoding names are others, and `'\''` ends elsewhere, so that a write could hide in a constant (hazard 15).
//! * A prepared statement's constants are read when it is prepared: `'01/02/2024'` stays the day that it was under the
//!   DateStyle of that moment, whatever is set later (hazards 13, 14).

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{Layer, Settings};
use crate::sql::statement::Setting;

/// Settings that decide what a constant means; the reported ones come first.
const REPORTED: [&str; 4] = ["timezone", "datestyle", "intervalstyle", "client_encoding"];
const OTHERS: [&str; 6] = [
    "lc_monetary",
    "xmloption",
    "array_nulls",
    "transform_null_equals",
    "timezone_abbreviations",
    "backslash_quote",
];

/// Settings under which a text itself is another.
pub fn is_of_text(name: &str) -> bool {
    matches!(name, "client_encoding" | "standard_conforming_strings")
}

/// Settings under which a constant may be another.
pub fn is_of_constants(name: &str) -> bool {
    is_of_text(name) || REPORTED.contains(&name) || OTHERS.contains(&name)
}

/// Encodings in which a byte below 128 may be part of a longer character.
const MIXED: [&str; 8] = [
    "SJIS",
    "SHIFT_JIS_2004",
    "BIG5",
    "GBK",
    "UHC",
    "GB18030",
    "JOHAB",
    "MULE_INTERNAL",
];

/// Whether texts are read in another way than they stand under that value.
pub(super) fn is_strange(name: &str, value: &str) -> bool {
    match name {
        "client_encoding" | "server_encoding" => !value.eq_ignore_ascii_case("UTF8"),
        "standard_conforming_strings" => !value.eq_ignore_ascii_case("on"),
        _ => false,
    }
}

/// Stands for settings that are more than are kept: no setting has such a name.
pub(super) const TOO_MUCH: &str = "\0too much";

/// How many bytes of a session's settings are kept, and how many of all that savepoints may bring back.
const KEPT: usize = 64 << 10;
const KEPT_BEHIND: usize = 1 << 20;

impl Layer {
    pub(super) fn is_too_much(&self) -> bool {
        self.local.contains_key(TOO_MUCH) || self.session.contains_key(TOO_MUCH)
    }

    /// What was set is not kept; what counts of it is read on the backend.
    pub(super) fn is_too_much_now(&mut self, local: bool) {
        let map = match local {
            true => &mut self.local,
            false => &mut self.session,
        };
        *map = Rc::new(BTreeMap::from([(TOO_MUCH.into(), "".into())]));
    }

    /// All is undone.
    pub(super) fn is_reset(&mut self) {
        if self.is_too_much() {
            (self.session, self.local) = Default::default();
        }
    }

    fn weight(&self) -> usize {
        let all = self.session.iter().chain(self.local.iter());
        all.map(|(name, value)| 100 + name.len() + value.len())
            .sum()
    }
}

impl Settings {
    /// Whether with that setting there would be more than is kept (hazard 77): then nothing hits until it is undone.
    pub(super) fn is_too_much(&self, setting: &Setting) -> bool {
        let value = setting.value.as_ref().map_or(0, |value| value.len());
        let weight = self.layer.weight() + setting.name.len() + value;
        setting.value.is_some()
            && (self.layer.is_too_much()
                || weight > KEPT
                || weight.saturating_mul(self.journal.len()) > KEPT_BEHIND)
    }
}

impl Settings {
    /// Whether the backend reports that value, in whatever case.
    pub(super) fn is(&self, name: &str, value: &str) -> bool {
        let reported = self.reported.get(name);
        reported.is_some_and(|v| v.eq_ignore_ascii_case(value))
    }

    /// Whether texts are read as they are analysed here: asked for each.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.derived.plain.get().unwrap_or_else(|| {
            let plain = self.is_utf8() && self.strings_conform();
            self.derived.plain.set(Some(plain));
            plain
        })
    }

    /// Whether both encodings are UTF8.
    pub fn is_utf8(&self) -> bool {
        self.is("client_encoding", "UTF8") && self.is("server_encoding", "UTF8")
    }

    /// Whether every ASCII byte is a character of its own.
    pub fn keeps_ascii(&self) -> bool {
        let encoding = self.reported.get("client_encoding");
        encoding.is_some_and(|e| !MIXED.iter().any(|mixed| e.eq_ignore_ascii_case(mixed)))
    }

    /// Whether a backslash in `'…'` is a backslash.
    pub fn strings_conform(&self) -> bool {
        self.is("standard_conforming_strings", "on")
    }

    /// Under what constants are read now; `None` while it is not known.
    pub fn reading(&mut self) -> Option<Rc<str>> {
        self.probed.as_ref()?;
        if let Some(reading) = &self.derived.reading {
            return Some(reading.clone());
        }
        let mut parts = Vec::with_capacity(REPORTED.len() + 2 * OTHERS.len());
        parts.extend(REPORTED.map(|name| self.reported.get(name).map_or("", |value| value)));
        for name in OTHERS {
            let set = self.layer.local.get(name);
            let set = set.or_else(|| self.layer.session.get(name));
            parts.push(set.map_or("", |value| value));
            parts.push(self.now(name).unwrap_or_default());
        }
        let reading: Rc<str> = parts.join("\0").into();
        self.derived.reading = Some(reading.clone());
        Some(reading)
    }
}
