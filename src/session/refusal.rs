//! Errors that prove that nothing of a message has run.
//!
//! * PostgreSQL parses the whole text of a message before it runs any of it, and analyses a statement before it runs that
//!   one. Where in its source an error was raised stands in the error (file name F), and whether anything was running
//!   then (context W, internal query p and q): a function that fails to parse something has a context.
//! * What may be otherwise proves nothing: a pooler's own errors, fields that are missing, files that are not known.
//! * A Parse that fails ran nothing, whatever the error. What stood in its segment and was not answered before is skipped.
//!
//! Not here: what an error after the first statement takes back (`finish`).

use super::pending::{Item, Owed, Segment, Tag};
use crate::guard::{Guard, stands};
use crate::sql::statement::Statement;

/// How far PostgreSQL had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It was parsing the text.
    Parsing,
    /// It was analysing a statement.
    Analysis,
    /// Nobody knows.
    Unknown,
}

/// Whether an error (its body) is the first that comes for what the upstream owes, and says that nothing of it ran.
pub(super) fn proves_nothing_ran(body: &[u8], owed: Option<&Item>, segment: &Segment) -> bool {
    if segment.tag != Tag::None {
        return false;
    }
    match owed {
        Some(Item::Owed {
            owed: Owed::Statement(..),
            ..
        }) => true,
        Some(Item::Owed {
            owed: Owed::Query { .. },
            ..
        }) => {
            let Some(text) = segment.ran.last() else {
                return false;
            };
            let statements = &*text.analysis.statements;
            let is_query = |statement: &Statement| matches!(statement, Statement::Query(_));
            match stage(body) {
                // Event triggers run before a function's body is parsed.
                Stage::Parsing => {
                    text.analysis.refused.is_some() || statements.iter().all(is_query)
                }
                Stage::Analysis => {
                    text.analysis.refused.is_none() && statements.first().is_some_and(is_query)
                }
                Stage::Unknown => !stands(Guard::UnrunIsProven),
            }
        }
        _ => false,
    }
}

/// Reads the fields of an ErrorResponse (PostgreSQL manual, 55.8).
fn stage(body: &[u8]) -> Stage {
    let (mut code, mut file, mut placed) = (&b""[..], &b""[..], false);
    for field in body.split(|byte| *byte == 0) {
        match field.split_first() {
            Some((b'C', value)) => code = value,
            Some((b'F', value)) => file = value,
            Some((b'P', _)) => placed = true,
            Some((b'W' | b'p' | b'q', _)) => return Stage::Unknown,
            _ => {}
        }
    }
    match file {
        _ if !placed => Stage::Unknown,
        b"scan.l" | b"gram.y" if code == b"42601" => Stage::Parsing,
        _ if file.starts_with(b"parse_") && code.starts_with(b"42") => Stage::Analysis,
        _ => Stage::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stage_is_told_by_where_the_error_was_raised() {
        let stage_of = |fields: &str| stage(format!("SERROR\0VERROR\0{fields}\0\0").as_bytes());
        for (fields, expected) in [
            (
                "C42601\0Msyntax error\0P1\0Fscan.l\0L1\0Rscanner_yyerror",
                Stage::Parsing,
            ),
            (
                "C42601\0Mno\0P1\0Fgram.y\0L1\0RprocessCASbits",
                Stage::Parsing,
            ),
            (
                "C42P01\0Mno\0P15\0Fparse_relation.c\0L1\0RparserOpenTable",
                Stage::Analysis,
            ),
            ("C42883\0Mno\0P8\0Fparse_func.c", Stage::Analysis),
            // What was running when it was raised.
            ("C42601\0Mno\0P1\0Wfunction f\0Fscan.l", Stage::Unknown),
            ("C42601\0Mno\0p1\0qSELEC\0Fscan.l", Stage::Unknown),
            ("C42P01\0Mno\0P1\0q\0Fparse_relation.c", Stage::Unknown),
            ("C42601\0Mno\0Fscan.l", Stage::Unknown),
            ("C42601\0Mno\0P1", Stage::Unknown),
            ("C42601\0Mno\0P1\0Fpl_scanner.c", Stage::Unknown),
            ("C22P02\0Mno\0P1\0Fparse_func.c", Stage::Unknown),
            ("C42P01\0MP1\0Fnamespace.c", Stage::Unknown),
        ] {
            assert_eq!(stage_of(fields), expected, "{fields:?}");
        }
    }
}
