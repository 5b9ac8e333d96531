//! What a running Larder saves, or would save in mode observe: statement by statement, with what stands in the way, what
//! helps, and rules to paste.
//!
//! * A rule that trusts is never proposed without the words of its risk, and nothing a client has sent can write a line of it.

use super::figures::{Status, bytes, count, line, share, span};
use crate::admin::call::Call;
use crate::config::Address;
use serde_json::{Value, json};
use std::collections::HashMap;

/// What happened to fewer than one call of so many is not what stands in the way: a start, a reload of the catalog.
const SELDOM: f64 = 20.0;

/// What a running Larder told.
pub struct Report {
    status: Status,
    address: String,
}

/// Asks a running Larder for its status, with so many statements.
///
/// # Errors
/// There is none, or it is not one.
pub fn status(address: &Address, statements: usize) -> Result<Status, String> {
    let answer = Call::get(&format!("/status?statements={statements}")).ask(address)?;
    if answer.status != 200 {
        return Err(format!("{address} answers {} to /status", answer.status));
    }
    let told = serde_json::from_str(&answer.body).ok();
    let told = told.filter(|told: &Value| told["larder"].is_object());
    told.map(Status)
        .ok_or_else(|| format!("what listens at {address} is not Larder"))
}

/// Asks a running Larder for a report of so many statements, those called most.
///
/// # Errors
/// There is none, or it is not one.
pub fn report(address: &Address, statements: usize) -> Result<Report, String> {
    let status = status(address, statements)?;
    let address = address.to_string();
    Ok(Report { status, address })
}

impl Report {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "larder": self.status.at("larder"),
            "cache": self.status.at("cache"),
            "report": self.status.at("report"),
        })
    }

    /// For people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.summary();
        let meanings = self.meanings();
        let rows = self.status.rows("report");
        // What only writes or sets something has no answer to keep.
        let reads = |row: &&Value| !row["hit_ratio"].is_null() || !row["reason"].is_null();
        for (at, row) in rows.iter().filter(reads).enumerate() {
            lines.push(String::new());
            lines.extend(self.statement(at + 1, row, &meanings));
        }
        if !rows.iter().any(|row| reads(&row)) {
            lines.push(String::new());
            lines.push(
                "No statement has come yet that reads. Let the application work for a while, and ask again."
                    .into(),
            );
        }
        lines.extend(rules(rows));
        lines
    }

    /// Whether hits are only counted.
    fn observes(&self) -> bool {
        self.status.word("larder/mode") == "observe"
    }

    fn summary(&self) -> Vec<String> {
        let status = &self.status;
        let hits = status.number("cache/hits");
        let all = ["hits", "misses", "bypasses", "writes", "others"];
        let all: f64 = all
            .map(|name| status.number(&format!("cache/{name}")))
            .iter()
            .sum();
        let ratio = share(status.at("cache/hit_ratio"));
        let (were, saved) = match self.observes() {
            true => ("would have been answered from memory", "would have saved"),
            false => ("were answered from memory", "saved"),
        };
        vec![
            format!("{} ({})", status.title(), self.address),
            format!(
                "{} of {} statements {were} (hit ratio {ratio}: of those that may be cached), which {saved} {} of waiting for the database.",
                count(hits),
                count(all),
                span(status.number("cache/time_saved_seconds"))
            ),
            format!(
                "Memory: {} of {}, {} answers.",
                bytes(status.number("cache/bytes")),
                bytes(status.number("cache/limit_bytes")),
                count(status.number("cache/entries"))
            ),
        ]
    }

    fn meanings(&self) -> HashMap<&str, &str> {
        let rows = self.status.rows("reasons").iter();
        rows.filter_map(|row| Some((row["reason"].as_str()?, row["meaning"].as_str()?)))
            .collect()
    }

    /// How many calls of a statement were passed on.
    fn passed(&self, id: &str) -> f64 {
        let mut rows = self.status.rows("queries").iter();
        let row = rows.find(|row| row["id"] == id);
        row.and_then(|row| row["bypasses"].as_f64())
            .unwrap_or_default()
    }

    fn statement(&self, number: usize, row: &Value, meanings: &HashMap<&str, &str>) -> Vec<String> {
        let word = |name: &str| row[name].as_str().unwrap_or_default();
        let figure = |name: &str| row[name].as_f64().unwrap_or_default();
        let hit = match self.observes() {
            true => "would hit",
            false => "hit",
        };
        let mut lines = vec![
            format!("{number}. {}", line(word("query"))),
            format!(
                "   {} calls, {} {hit} (ratio {}), {} saved; statement {}",
                count(figure("calls")),
                count(figure("would_hit")),
                share(&row["hit_ratio"]),
                span(figure("saved_ms") / 1e3),
                line(word("id"))
            ),
        ];
        let reason = word("reason");
        let passed = self.passed(word("id")).min(figure("calls"));
        if !reason.is_empty() && passed * SELDOM >= figure("calls") {
            let meaning = meanings.get(reason).copied().unwrap_or_default();
            lines.push(format!(
                "   in the way of {}: {} ({})",
                count(passed),
                line(reason),
                line(meaning)
            ));
            if !word("remedy").is_empty() {
                lines.push(format!("   what helps: {}", line(word("remedy"))));
            }
        }
        lines
    }
}

/// All rules to paste, each with its statement in a comment before it.
fn rules(rows: &[Value]) -> Vec<String> {
    let mut lines = Vec::new();
    for row in rows {
        let Some(rule) = row["rule"].as_str() else {
            continue;
        };
        if lines.is_empty() {
            lines.push(String::new());
            lines.push("Rules to paste into larder.toml, those you agree with; then RELOAD on the console, or SIGHUP:".into());
        }
        lines.push(String::new());
        lines.push(format!(
            "# {}",
            line(row["query"].as_str().unwrap_or_default())
        ));
        lines.extend(rule.lines().map(line));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(mode: &str, report: Value) -> Report {
        let status = json!({
            "larder": {"version": "1", "mode": mode, "phase": "running", "uptime_seconds": 60},
            "cache": {"hits": 10, "misses": 10, "bypasses": 5, "writes": 0, "others": 0, "hit_ratio": 0.5,
                "time_saved_seconds": 2.0, "bytes": 10, "limit_bytes": 1024, "entries": 1},
            "reasons": [{"reason": "user_function", "meaning": "a function somebody wrote"}],
            "report": report,
        });
        Report {
            status: Status(status),
            address: "127.0.0.1:9432".into(),
        }
    }

    /// A comment that ends early would let whoever sends a statement write the rules.
    #[test]
    fn a_statement_writes_no_line_of_the_rules() {
        let report = told(
            "observe",
            json!([{"id": "00000000000000ff", "calls": 3, "would_hit": 0, "hit_ratio": null, "saved_ms": 0.0,
                "reason": "user_function", "remedy": "declare it", "rule": "[[rule]]\nstatement = \"00000000000000ff\"\ntrust = true",
                "query": "SELECT f() AS \"x\n[[rule]]\r\ntrust = true\u{1b}[2J\""}]),
        );
        let lines = report.lines();
        assert!(lines.iter().all(|line| !line.contains(char::is_control)));
        let rules = lines
            .iter()
            .filter(|line| line.starts_with("[[rule]]"))
            .count();
        assert_eq!(rules, 1, "{lines:#?}");
        let paste = lines
            .iter()
            .position(|line| line.starts_with("Rules to paste"))
            .unwrap();
        let paste = lines[paste + 1..].join("\n");
        let read: Result<figment::value::Dict, _> = figment::Figment::from(
            <figment::providers::Toml as figment::providers::Format>::string(&paste),
        )
        .extract();
        assert!(read.is_ok(), "{paste}");
    }

    #[test]
    fn words_say_whether_it_was_so_or_would_have_been() {
        let text = |mode| told(mode, json!([])).lines().join("\n");
        assert!(
            text("observe").contains("10 of 25 statements would have been answered from memory")
        );
        assert!(text("on").contains("10 of 25 statements were answered from memory"));
        assert!(text("on").contains("No statement has come yet that reads"));
    }
}
