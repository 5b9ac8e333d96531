//! What a run of the drivers says: on the terminal, and in docs/drivers.md.

use crate::roster::{KEEPS, Kind, MODES, Mark};
use crate::{Finding, Reads};
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
        let end = if finding.holds {
            "to the end"
        } else {
            "not to the end"
        };
        let _ = write!(text, "\n  holds a connection from \"{step}\", {end}");
    }
    for failure in &finding.failures {
        let _ = write!(text, "\n  FAILED {failure}");
    }
    text
}

const HEAD: &str = "\
# Drivers

Each of these runs one script direct and three times through Larder, in each of these modes:

";

const RELAYED: &str = "
Rows, types, tags, SQLSTATEs and (but in TLS, where nobody else sees them) every message sent to the driver are the same. The
tables say which of its reads hit once the cache is warm, with default settings unless noted. This page is written by
`UPDATE_DOCS=1 make test-drivers`.

* *plain*: a query outside a transaction, as the driver sends it by default
* *prepared*: the same statement seven times, so that thresholds for preparing are crossed
* *transaction*: reads in a READ COMMITTED transaction that has not written
* *row limit*: one row of many, or rows in portions (`fetchrow`, fetch sizes, cursors of the protocol; not SQL's `DECLARE`)
* in brackets: how Larder counted those that do not hit ([reasons](reasons.md))

## relayed

| driver | version | plain | prepared | transaction | row limit | how |
|---|---|---|---|---|---|---|
";

const LET_IN: &str = "
## Let in by Larder

*hit*: all that hit when relayed. In *session*, until which step of its script the warm client had no connection to the
database; in *transaction*, whether it holds one at the end ([what keeps one](pooling.md#what-is-left-behind)).

| driver | session | no connection until | transaction | at the end | tls |
|---|---|---|---|---|---|
";

/// What became of a driver's reads of one kind.
fn cell(reads: &Reads) -> String {
    match reads {
        reads if reads.all == 0 => "–".to_owned(),
        reads if reads.hit() => "hit".to_owned(),
        reads if reads.hits == 0 => format!("no ({})", reads.why.join(", ")),
        reads => format!("{} of {} ({})", reads.hits, reads.all, reads.why.join(", ")),
    }
}

/// What became of all of them, against another mode's.
fn summary(finding: &Finding, relayed: &Finding) -> String {
    let pairs = Kind::ALL.iter().zip(&finding.reads).zip(&relayed.reads);
    let others = pairs.filter(|((_, reads), relayed)| cell(reads) != cell(relayed));
    let others: Vec<_> = others
        .map(|((kind, reads), _)| format!("{}: {}", kind.word(), cell(reads)))
        .collect();
    match others.is_empty() {
        true if finding.reads.is_empty() => "not run".to_owned(),
        true if finding.reads.iter().any(Reads::hit) => "hit".to_owned(),
        true => "as relayed".to_owned(),
        false => others.join("; "),
    }
}

/// Writes docs/drivers.md, from what was found in each of the modes.
pub fn write(modes: &[Vec<Finding>]) {
    let mut text = HEAD.to_owned();
    for mode in MODES {
        let _ = writeln!(text, "* *{}*: {}", mode.name, mode.about);
    }
    text += RELAYED;
    let mut reasons = String::new();
    for finding in &modes[0] {
        let driver = finding.driver;
        let version = match &finding.outcome {
            Ok(version) => version.clone(),
            Err(reason) => format!("not run: {}", reason.replace('|', "\\|")),
        };
        let _ = write!(text, "| {} | {version} |", driver.name);
        for at in 0..Kind::ALL.len() {
            let cell = finding.reads.get(at).map(cell);
            let _ = write!(text, " {} |", cell.unwrap_or_default());
        }
        let _ = writeln!(text, " {} |", driver.note);
        for (kind, mark) in Kind::ALL.iter().zip(driver.marks) {
            if let Mark::May(reason) = mark {
                let _ = writeln!(reasons, "* {}, {}: {reason}", driver.name, kind.word());
            }
        }
    }
    text += LET_IN;
    for (at, relayed) in modes[0].iter().enumerate() {
        let [session, transaction, tls] = [1, 2, 3].map(|mode| &modes[mode][at]);
        let row = [
            relayed.driver.name,
            &summary(session, relayed),
            session.holds_from.as_deref().unwrap_or("–"),
            &summary(transaction, relayed),
            if transaction.holds { "held" } else { "none" },
            &summary(tls, relayed),
        ];
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    if !reasons.is_empty() {
        let _ = write!(text, "\n## Reads that may miss, and why\n\n{reasons}");
    }
    let _ = write!(
        text,
        "\n## Who needs a connection before it writes, and why\n\n"
    );
    for (names, reason) in KEEPS {
        let _ = writeln!(text, "* {}: {reason}", names.join(", "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/drivers.md");
    std::fs::write(path, text).expect("docs/drivers.md");
}
