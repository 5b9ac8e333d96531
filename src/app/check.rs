//! `larder check`: what will work and what will not, before anything is served.
//!
//! * Every finding says what was looked at, what was found and, where something is to be done, what.
//! * What cannot be found out is a finding, too. No secret is printed: neither a password nor a key.
//! * It changes nothing, on either side.
//!
//! Files: `thismachine` looks at the machine and the configuration, `theserver` asks the database, `theschema` judges its
//! tables.

mod theschema;
mod theserver;
mod thismachine;

use super::Error;
use super::explainer::asking;
use crate::config::Config;
use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It works, but not as one may think.
    Warning,
    /// It does not work.
    Failure,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub subject: &'static str,
    pub found: String,
    pub remedy: Option<String>,
}

/// All findings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Findings {
    pub failures: usize,
    pub warnings: usize,
    pub findings: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, level: Level, subject: &'static str, found: String, remedy: Option<&str>) {
        match level {
            Level::Failure => self.failures += 1,
            Level::Warning => self.warnings += 1,
            Level::Note | Level::Ok => {}
        }
        self.findings.push(Finding {
            level,
            subject,
            found,
            remedy: remedy.map(Into::into),
        });
    }

    fn ok(&mut self, subject: &'static str, found: impl Into<String>) {
        self.add(Level::Ok, subject, found.into(), None);
    }

    fn note(&mut self, subject: &'static str, found: impl Into<String>, remedy: &str) {
        let remedy = (!remedy.is_empty()).then_some(remedy);
        self.add(Level::Note, subject, found.into(), remedy);
    }

    fn warn(&mut self, subject: &'static str, found: impl Into<String>, remedy: &str) {
        self.add(Level::Warning, subject, found.into(), Some(remedy));
    }

    fn fail(&mut self, subject: &'static str, found: impl Into<String>, remedy: &str) {
        self.add(Level::Failure, subject, found.into(), Some(remedy));
    }

    /// For people, a line each, remedies below.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for finding in &self.findings {
            let word = match finding.level {
                Level::Ok => "ok",
                Level::Note => "note",
                Level::Warning => "WARNING",
                Level::Failure => "FAILURE",
            };
            lines.push(format!("{word:<8} {}: {}", finding.subject, finding.found));
            let remedy = finding.remedy.as_ref();
            lines.extend(remedy.map(|remedy| format!("{:<8} -> {remedy}", "")));
        }
        let (failures, warnings) = (self.failures, self.warnings);
        let count = |n: usize, word: &str| match n {
            1 => format!("1 {word}"),
            _ => format!("{n} {word}s"),
        };
        lines.push(format!(
            "{}, {}",
            count(failures, "failure"),
            count(warnings, "warning")
        ));
        lines
    }
}

/// Looks at everything.
pub fn check(config: &Config) -> Findings {
    let mut findings = Findings::default();
    thismachine::look(config, &mut findings);
    let asked = asking(config, async |asker| {
        theserver::look(&asker, &mut findings).await;
        Ok(())
    });
    match asked {
        Ok(()) => {}
        Err(Error::Tls(words)) => findings.fail(
            "tls",
            words,
            "Correct the files named in [tls] and upstream.sslrootcert, sslcert, sslkey: serving does not start like this.",
        ),
        Err(Error::Users(words)) => findings.fail(
            "users",
            words,
            "Correct [[users]] and auth.auth_file: serving does not start like this.",
        ),
        Err(error) => findings.fail(
            "configuration",
            error.to_string(),
            "Serving does not start like this.",
        ),
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_and_told_with_their_remedies() {
        let mut findings = Findings::default();
        findings.ok("a", "fine");
        findings.note("b", "so it is", "");
        findings.warn("c", "hm", "Do that.");
        findings.fail("d", "no", "Do this.");
        assert_eq!(
            findings.lines(),
            [
                "ok       a: fine",
                "note     b: so it is",
                "WARNING  c: hm",
                "         -> Do that.",
                "FAILURE  d: no",
                "         -> Do this.",
                "1 failure, 1 warning",
            ]
        );
    }
}
