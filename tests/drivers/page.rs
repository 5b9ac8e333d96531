//! What a run of the drivers says: on the terminal, and in docs/drivers.md.

use crate::Finding;
use crate::roster::{Kind, Mark};
use std::fmt::Write as _;
use std::path::Path;

/// A finding for the terminal.
pub fn report(finding: &Finding) -> String {
    let name = finding.driver.name;
    let mut text = match &finding.outcome {
        Ok(version) => format!("{name} ({version})"),
        Err(reason) => return format!("{name}: NOT RUN: {reason}"),
    };
    for (kind, (mark, reads)) in Kind::ALL
        .iter()
        .zip(finding.driver.marks.iter().zip(&finding.reads))
    {
        if reads.all == 0 {
            continue;
        }
        let _ = write!(
            text,
            "\n  {}: {} of {} hit",
            kind.word(),
            reads.hits,
            reads.all
        );
        match mark {
            Mark::May(reason) if reads.hit() => {
                let _ = write!(text, ": the mark can be raised (it says: {reason})");
            }
            Mark::May(_) => {
                for missed in &reads.missed {
                    let _ = write!(text, "\n    {missed}");
                }
            }
            _ => {}
        }
    }
    if let Some(step) = &finding.holds_from {
        let _ = write!(text, "\n  holds a connection from \"{step}\" on");
    }
    for failure in &finding.failures {
        let _ = write!(text, "\n  FAILED {failure}");
    }
    text
}

const HEAD: &str = "\
# Drivers

Each of these runs one script direct and three times through Larder: rows, types, tags, SQLSTATEs and every message sent to
the driver are the same. The table says which of its reads hit once the cache is warm, with default settings unless noted.
This page is written by `UPDATE_DOCS=1 make test-drivers`.

* *plain*: a query outside a transaction, as the driver sends it by default
* *prepared*: the same statement seven times, so that thresholds for preparing are crossed
* *transaction*: reads in a READ COMMITTED transaction that has not written
* *row limit*: one row of many, or rows in portions (`fetchrow`, fetch sizes, cursors of the protocol; not SQL's `DECLARE`)
* in brackets: how Larder counted those that do not hit ([reasons](reasons.md))

| driver | version | plain | prepared | transaction | row limit | how |
|---|---|---|---|---|---|---|
";

/// Writes docs/drivers.md.
pub fn write(modes: &[Vec<Finding>]) {
    let findings = &modes[0];
    let mut text = HEAD.to_owned();
    let mut reasons = String::new();
    for finding in findings {
        let driver = finding.driver;
        let version = match &finding.outcome {
            Ok(version) => version.clone(),
            Err(reason) => format!("not run: {}", reason.replace('|', "\\|")),
        };
        let _ = write!(text, "| {} | {version} |", driver.name);
        for at in 0..Kind::ALL.len() {
            let cell = finding.reads.get(at).map(|reads| match reads {
                reads if reads.all == 0 => "–".to_owned(),
                reads if reads.hit() => "hit".to_owned(),
                reads if reads.hits == 0 => format!("no ({})", reads.why.join(", ")),
                reads => format!("{} of {} ({})", reads.hits, reads.all, reads.why.join(", ")),
            });
            let _ = write!(text, " {} |", cell.unwrap_or_default());
        }
        let _ = writeln!(text, " {} |", driver.note);
        for (kind, mark) in Kind::ALL.iter().zip(driver.marks) {
            if let Mark::May(reason) = mark {
                let _ = writeln!(reasons, "* {}, {}: {reason}", driver.name, kind.word());
            }
        }
    }
    if !reasons.is_empty() {
        let _ = write!(text, "\n## Reads that may miss, and why\n\n{reasons}");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/drivers.md");
    std::fs::write(path, text).expect("docs/drivers.md");
}
