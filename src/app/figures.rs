//! What a running Larder says of itself, as a person reads it in a terminal: numbers with units, text of one line.
//!
//! * Text of a statement is whatever some client has sent. Characters that move the cursor, colour what follows, turn the
//!   direction of writing or begin a new line are replaced, so that it can neither command the terminal nor write a line of a
//!   file that is pasted.

use serde_json::Value;

/// Larder's answer to `/status`.
#[derive(Clone, Debug, Default)]
pub struct Status(pub Value);

impl Status {
    /// What stands at `path`, such as `cache/hits`.
    pub fn at(&self, path: &str) -> &Value {
        path.split('/').fold(&self.0, |value, key| &value[key])
    }

    /// A number; 0 where there is none.
    pub fn number(&self, path: &str) -> f64 {
        self.at(path).as_f64().unwrap_or_default()
    }

    /// A word; nothing where there is none.
    pub fn word(&self, path: &str) -> String {
        line(self.at(path).as_str().unwrap_or_default())
    }

    /// The rows of a view.
    pub fn rows(&self, name: &str) -> &[Value] {
        self.at(name).as_array().map_or(&[], Vec::as_slice)
    }

    /// Name, version, mode, and how long it has run.
    pub fn title(&self) -> String {
        let phase = match &*self.word("larder/phase") {
            "running" => String::new(),
            other => format!(", {other}"),
        };
        format!(
            "Larder {}, mode {}{phase}, up {}",
            self.word("larder/version"),
            self.word("larder/mode"),
            span(self.number("larder/uptime_seconds"))
        )
    }
}

/// Text of one line that commands nothing.
pub fn line(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}');
    let ends = |c: char| matches!(c, '\u{2028}' | '\u{2029}');
    let mut out = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || ends(c)) {
        if word.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.extend(word.chars().map(|c| match c.is_control() || turns(c) {
            true => '\u{fffd}',
            false => c,
        }));
    }
    out
}

/// A whole number with its thousands apart.
pub fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number in at most five characters.
pub fn short(number: f64) -> String {
    let mut number = number.max(0.0);
    for unit in ["", "k", "M", "G", "T"] {
        if number < 9_999.5 {
            return match (unit, number) {
                ("", number) => format!("{number:.0}"),
                (_, number) if number < 99.95 => format!("{number:.1}{unit}"),
                (_, number) => format!("{number:.0}{unit}"),
            };
        }
        number /= 1_000.0;
    }
    "many".into()
}

/// Bytes with their unit.
pub fn bytes(number: f64) -> String {
    let mut number = number.max(0.0);
    for unit in ["B", "kB", "MB", "GB"] {
        if number < 1024.0 {
            return match unit == "B" || number >= 100.0 {
                true => format!("{number:.0} {unit}"),
                false => format!("{number:.1} {unit}"),
            };
        }
        number /= 1024.0;
    }
    format!("{number:.1} TB")
}

/// A time in seconds with a unit that suits it.
pub fn span(seconds: f64) -> String {
    match seconds.max(0.0) {
        0.0 => "0 s".into(),
        s if s < 0.000_999_5 => format!("{:.0} µs", s * 1e6),
        s if s < 0.099_95 => format!("{:.1} ms", s * 1e3),
        s if s < 0.999_5 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.1} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

/// A share, if there is anything to share.
pub fn share(part: &Value) -> String {
    part.as_f64()
        .map_or("-".into(), |part| format!("{:.1} %", part * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_is_one_line_and_commands_nothing() {
        assert_eq!(line("SELECT  1\n\tFROM t "), "SELECT 1 FROM t");
        assert_eq!(
            line("a\u{1b}[2Jb\u{7}\u{9b}c"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c"
        );
        assert_eq!(line("x\u{202e}y\u{2028}z\u{85}w\r\nv"), "x\u{fffd}y z w v");
        assert_eq!(line("naïve 猫"), "naïve 猫");
    }

    #[test]
    fn numbers_have_units() {
        let all = [0.0, 999.0, 1_000.0, 1_234_567.0].map(count);
        assert_eq!(all, ["0", "999", "1,000", "1,234,567"]);
        let all = [0.0, 9_999.0, 10_000.0, 123_456.0, 9.9e18].map(short);
        assert_eq!(all, ["0", "9999", "10.0k", "123k", "many"]);
        let all = [0.0, 1_023.0, 1_536.0, 268_435_456.0].map(bytes);
        assert_eq!(all, ["0 B", "1023 B", "1.5 kB", "256 MB"]);
        let all = [0.0, 0.000_02, 0.0123, 0.5, 61.0, 180.0, 7_200.0, 864_000.0].map(span);
        let wanted = [
            "0 s", "20 µs", "12.3 ms", "500 ms", "61.0 s", "3.0 min", "2.0 h", "10.0 d",
        ];
        assert_eq!(all, wanted);
        assert_eq!(share(&json!(0.5)), "50.0 %");
        assert_eq!(share(&json!(null)), "-");
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let status = Status(json!({"cache": {"hits": 3}, "larder": {"mode": "on"}}));
        assert_eq!(status.number("cache/hits"), 3.0);
        assert_eq!(status.number("cache/none/deeper"), 0.0);
        assert_eq!(status.word("larder/mode"), "on");
        assert!(status.rows("queries").is_empty());
    }
}
