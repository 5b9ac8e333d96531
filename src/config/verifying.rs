//! `[verify]`: which share of the answers from memory is compared with the database's own.

use super::values::{parsed, switch};
use std::str::FromStr;

/// `[verify]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Verify {
    /// The share of answers from memory that the database is asked for again.
    #[serde(deserialize_with = "parsed")]
    pub sample: Share,
    /// Whether others write to the database past this Larder: then a difference may be a write of theirs.
    #[serde(deserialize_with = "switch")]
    pub outside_writers: bool,
}

impl Default for Verify {
    fn default() -> Verify {
        Verify {
            sample: Share::NONE,
            outside_writers: true,
        }
    }
}

/// A share from 0 to 1, in parts of 2^63.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u64);

impl Share {
    /// Nothing.
    pub const NONE: Share = Share(0);
    /// Everything.
    pub const ALL: Share = Share(1 << 63);

    /// Whether it is nothing.
    #[inline]
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether a number drawn evenly from all numbers falls into the share.
    #[inline]
    pub fn takes(self, drawn: u64) -> bool {
        drawn >> 1 < self.0
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Share, String> {
        let wrong =
            || format!("`{text}` is not a share: write a number from 0 to 1, such as 0.001");
        let number: f64 = text.trim().parse().map_err(|_| wrong())?;
        if !(0.0..=1.0).contains(&number) {
            return Err(wrong());
        }
        // What is written as more than nothing is more than nothing.
        let parts = (number * Share::ALL.0 as f64) as u64;
        Ok(Share(parts.max(u64::from(number > 0.0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_from_nothing_to_all() {
        for (text, share) in [("0", Share::NONE), ("1", Share::ALL), ("1.0", Share::ALL)] {
            assert_eq!(text.parse(), Ok(share), "{text}");
        }
        assert_eq!("0.5".parse(), Ok(Share(1 << 62)));
        assert_eq!("1e-300".parse(), Ok(Share(1)));
        for text in ["", "-0.1", "1.01", "nan", "inf", "1%", "often"] {
            let said = text.parse::<Share>().expect_err(text);
            assert!(said.contains("number from 0 to 1"), "{said}");
        }
    }

    #[test]
    fn a_share_takes_its_share() {
        let half: Share = "0.5".parse().unwrap();
        assert!(!Share::NONE.takes(0) && Share::ALL.takes(u64::MAX));
        assert!(half.takes(u64::MAX / 2) && !half.takes(u64::MAX / 2 + 1));
    }
}
