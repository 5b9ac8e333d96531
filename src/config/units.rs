//! Durations and sizes as people write them.
//!
//! A number needs a unit: `ttl = 5` means seconds to one reader and milliseconds to the next, so it is refused.
//! Zero and "no limit" are not decided here.

use std::time::Duration;

const DURATIONS: &[(&str, u64)] = &[
    ("us", 1),
    ("µs", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Binary and decimal spellings mean the same powers of 1024, as in PostgreSQL's own settings.
const SIZES: &[(&str, u64)] = &[
    ("b", 1),
    ("k", 1 << 10),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tb", 1 << 40),
    ("tib", 1 << 40),
];

/// Reads `"10s"`, `"500ms"`, `"1h"`, `"1.5s"`.
pub fn duration(text: &str) -> Result<Duration, String> {
    scaled(text, DURATIONS).map(Duration::from_micros).ok_or_else(|| {
        format!("`{text}` is not a duration: write a number with a unit (us, ms, s, m, h, d), such as \"10s\"")
    })
}

/// Reads `"256MB"`, `"1GB"`, `"64kB"`.
pub fn size(text: &str) -> Result<u64, String> {
    scaled(text, SIZES).ok_or_else(|| {
        format!(
            "`{text}` is not a size: write a number with a unit (B, kB, MB, GB), such as \"256MB\""
        )
    })
}

/// A number times the unit after it; `None` for a negative number, a missing or unknown unit, or an overflow.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = (&text[..end], text[end..].trim_start().to_lowercase());
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()? * factor as f64;
    // Beyond 2^53 a fraction means nothing any more.
    (value <= (1u64 << 53) as f64).then_some(value.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, micros) in [
            ("10s", 10_000_000),
            ("500ms", 500_000),
            ("1h", 3_600_000_000),
            ("1.5s", 1_500_000),
            (" 2 min ", 120_000_000),
            ("0s", 0),
            ("25us", 25),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "-1s",
            "1.2.3s",
            "10 parsecs",
            "99999999999999999d",
            "ünf",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("256MB", 256 << 20),
            ("1 gb", 1 << 30),
            ("64kB", 64 << 10),
            ("0.5GiB", 1 << 29),
            ("7B", 7),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["256", "MB", "1XB", "99999999TB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
