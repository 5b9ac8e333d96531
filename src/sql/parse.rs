//! Text to [`Analysis`], by PostgreSQL's own grammar. This file and its children alone know which parser it is.
//!
//! * The grammar is PostgreSQL's, so what is a table here is a table there. A newer server may know more: that text
//!   does not parse, and is opaque.
//! * Trees are walked with a work-list, never by recursion: a client's text must not end the process by its depth.
//!   The parser itself keeps its stack on the heap and refuses what is nested deeper than PostgreSQL allows.
//!
//! Not here: anything that needs the catalog (`verdict`).

mod casts;
mod classify;
mod expressions;
mod json;
mod variables;
mod walk;
mod wholerows;

use super::canonical::canonical;
use super::hint::Hints;
use super::statement::{Analysis, Statement};
use crate::why::Why;

/// Longer texts are not parsed: a bulk statement is not worth the time, and is opaque.
pub const LONGEST_TEXT: usize = 1 << 20;

/// Analyses one message's text. Never panics; what does not parse is one `Opaque` statement.
pub fn analyse(text: &str) -> Analysis {
    if text.len() > LONGEST_TEXT {
        return refuse(Why::TooLong);
    }
    let Some(canonical) = canonical(text) else {
        return refuse(Why::Unparsable);
    };
    match pg_raw_parse::parse(&canonical.text) {
        Ok(tree) => {
            let statements = tree.stmts().map(classify::classify).collect();
            Analysis {
                canonical: canonical.text,
                shape: canonical.shape,
                hints: canonical.hints,
                refused: None,
                statements,
            }
        }
        Err(_) => refuse(Why::Unparsable),
    }
}

fn refuse(why: Why) -> Analysis {
    Analysis {
        canonical: "".into(),
        shape: "".into(),
        hints: Hints::default(),
        refused: Some(why),
        statements: Box::new([Statement::Opaque]),
    }
}

#[cfg(test)]
mod depth_tests;
#[cfg(test)]
mod differential_tests;
#[cfg(test)]
mod query_tests;
#[cfg(test)]
mod statements_tests;
