//! What Larder says of a statement without running it: the answer to `EXPLAIN (LARDER)`, and of `larder explain`.
//!
//! * Names only: relations, functions, settings, rules. No literal, no parameter, no value of a setting.
//!
//! Not here: how it is found out (`explaining`), the reasons behind a verdict (`sql::because`).

use serde::Serialize;

use crate::cache::Micros;
use crate::why::Why;

/// Where a long list is broken.
const WIDTH: usize = 110;

/// What Larder says of a statement.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// `cacheable`, `bypass`, `write` or `other`.
    pub larder: &'static str,
    /// The number of the statement's shape, if it was analysed.
    pub statement: Option<String>,
    /// What would become of it at this moment, if it is cacheable.
    pub now: Option<String>,
    /// Why it is not answered from memory, the first one first.
    pub reasons: Vec<Reason>,
    pub reads: Vec<Told>,
    pub invalidates: Option<Invalidated>,
    /// What an answer belongs to besides the data.
    pub key: Vec<String>,
    pub ttl: Option<Kept>,
    pub stamp: Vec<String>,
    pub notes: Vec<String>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// Its word in metrics and logs.
    pub reason: &'static str,
    pub meaning: &'static str,
    /// The object that is to blame.
    pub object: Option<String>,
    /// What would have to change.
    pub remedy: Option<&'static str>,
}

/// A relation, and why it counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Told {
    pub relation: String,
    pub because: String,
}

/// What a statement makes old.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Invalidated {
    /// Why it is everything in the database.
    pub everything: Option<String>,
    pub relations: Vec<Told>,
}

/// How long an answer is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Kept {
    pub seconds: f64,
    /// What says so.
    pub rule: String,
}

impl Reason {
    /// A reason with the object that is to blame, if that is known.
    pub fn new(why: Why, object: Option<String>) -> Reason {
        Reason {
            reason: why.label(),
            meaning: why.text(),
            remedy: remedy(why, object.is_some()),
            object,
        }
    }

    fn words(&self) -> String {
        let mut words = format!("{}: {}", self.reason, self.meaning);
        if let Some(object) = &self.object {
            words.push_str(&format!(" ({object})"));
        }
        words
    }
}

impl Explanation {
    /// For people, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.headline()];
        let mut reasons = self.reasons.iter();
        if let Some(remedy) = reasons.next().and_then(|reason| reason.remedy) {
            lines.push(format!("  What would help: {remedy}"));
        }
        for reason in reasons {
            lines.push(format!("  Also in the way: {}", reason.words()));
            lines.extend(
                reason
                    .remedy
                    .map(|remedy| format!("    What would help: {remedy}")),
            );
        }
        section(&mut lines, "Reads", self.reads.iter().map(Told::words));
        if let Some(invalidated) = &self.invalidates {
            let everything = invalidated.everything.iter();
            let everything = everything.map(|because| format!("everything, because {because}"));
            let relations = invalidated.relations.iter().map(Told::words);
            section(&mut lines, "Invalidates", everything.chain(relations));
        }
        section(&mut lines, "Key", self.key.iter().cloned());
        if let Some(ttl) = &self.ttl {
            lines.push(format!("  TTL: {} ({})", span(ttl.seconds), ttl.rule));
        }
        section(&mut lines, "Stamp", self.stamp.iter().cloned());
        section(&mut lines, "Note", self.notes.iter().cloned());
        if let Some(statement) = &self.statement {
            lines.push(format!("  Statement: {statement}"));
        }
        lines
    }

    fn headline(&self) -> String {
        match (&self.now, self.reasons.first()) {
            (Some(now), _) => format!("Larder: {} ({now})", self.larder),
            (None, Some(reason)) => format!("Larder: {} - {}", self.larder, reason.words()),
            (None, None) => format!("Larder: {}", self.larder),
        }
    }
}

impl Kept {
    /// So long, for that rule.
    pub fn new(ttl: Micros, rule: &str) -> Kept {
        Kept {
            seconds: ttl as f64 / 1e6,
            rule: rule.into(),
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        format!("is kept {}: {}", span(self.seconds), self.rule)
    }
}

impl Told {
    fn words(&self) -> String {
        format!("{} ({})", self.relation, self.because)
    }
}

/// What would have to change; `named`: the object is.
fn remedy(why: Why, named: bool) -> Option<&'static str> {
    // Its remedy is to ask for that object.
    let asks = why == Why::OpaqueView && named;
    Some(why.remedy()).filter(|remedy| !remedy.is_empty() && !asks)
}

/// Items under a name, the first beside it.
fn section(lines: &mut Vec<String>, name: &str, items: impl Iterator<Item = String>) {
    for (n, item) in items.enumerate() {
        let mut line = match n {
            0 => format!("  {name}: "),
            _ => "    ".into(),
        };
        // A long list is broken between its members.
        let is_list = item.matches(", ").count() > 6;
        for (n, member) in item.split_inclusive(", ").enumerate() {
            if is_list && n > 0 && line.len() + member.len() > WIDTH {
                lines.push(line.trim_end().into());
                line = "      ".into();
            }
            line.push_str(member);
        }
        lines.push(line);
    }
}

/// A time in words.
pub fn time(micros: Micros) -> String {
    span(micros as f64 / 1e6)
}

fn span(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s >= 7200.0 => (s / 3600.0, "h"),
        s if s >= 120.0 => (s / 60.0, "min"),
        s if s >= 1.0 || s == 0.0 => (s, "s"),
        s => (s * 1e3, "ms"),
    };
    let text = format!("{value:.1}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (micros, expected) in [
            (0, "0 s"),
            (1_500, "1.5 ms"),
            (10_000_000, "10 s"),
            (1_234_567, "1.2 s"),
            (600_000_000, "10 min"),
            (86_400_000_000, "24 h"),
        ] {
            assert_eq!(time(micros), expected);
        }
    }

    #[test]
    fn an_explanation_is_lines() {
        let told = |relation: &str, because: &str| Told {
            relation: relation.into(),
            because: because.into(),
        };
        let object = Some("function random()".into());
        let mut first = Reason::new(Why::VolatileFunction, object);
        first.remedy = Some("use another");
        let explanation = Explanation {
            larder: "bypass",
            statement: Some("0123456789abcdef".into()),
            reasons: vec![first, Reason::new(Why::Locking, None)],
            reads: vec![
                told("public.a", "named"),
                told("public.b", "below view public.a"),
            ],
            invalidates: Some(Invalidated {
                everything: Some("it may".into()),
                relations: vec![],
            }),
            key: vec!["database".into(), "text".into()],
            ttl: Some(Kept {
                seconds: 10.0,
                rule: "cache.ttl".into(),
            }),
            ..Explanation::default()
        };
        assert_eq!(
            explanation.lines(),
            [
                "Larder: bypass - volatile_function: a volatile function (function random())",
                "  What would help: use another",
                "  Also in the way: locking_read: FOR UPDATE, FOR SHARE and their kin",
                "    What would help: leave FOR UPDATE away where no lock is needed",
                "  Reads: public.a (named)",
                "    public.b (below view public.a)",
                "  Invalidates: everything, because it may",
                "  Key: database",
                "    text",
                "  TTL: 10 s (cache.ttl)",
                "  Statement: 0123456789abcdef",
            ]
        );
        let cacheable = Explanation {
            larder: "cacheable",
            now: Some("miss now".into()),
            ..Explanation::default()
        };
        assert_eq!(cacheable.lines()[0], "Larder: cacheable (miss now)");
    }
}
