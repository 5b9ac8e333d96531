//! A statement's text, analysed, with its last verdict.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::describe::Descriptions;
use super::ours::Ours;
use super::wishes::Wish;
use crate::metrics::{Book, Record, number};
use crate::sql::Query;
use crate::sql::catalog::SearchPath;
use crate::sql::statement::{Analysis, Discard, Statement};
use crate::sql::{Catalog, Effect, analyse, resolve};
use crate::why::Why;

/// What stands for texts that are not analysed, and for messages that have none.
pub(super) const NOT_ANALYSED: &str = "(not analysed)";

/// One message's text.
#[derive(Debug)]
pub struct Text {
    /// As it came.
    pub sql: Rc<[u8]>,
    pub analysis: Analysis,
    /// What it is of Larder's own statements.
    pub ours: Option<Ours>,
    /// One statement of transaction control: no parameter, no row, nothing that is not its text.
    pub is_control: bool,
    /// Contains COMMIT, PREPARE TRANSACTION and their kin, or may: makes visible what the transaction wrote.
    pub commits: bool,
    /// May end a transaction block, ROLLBACK included: what is sent behind it may run outside of one.
    pub ends: bool,
    /// Names prepared statements by SQL, or may.
    pub names: bool,
    /// Has constants whose meaning is settled when it is prepared, or may have.
    pub constants: bool,
    /// Effects of the statements, with the catalog version and context they were resolved with.
    verdict: RefCell<Option<Verdict>>,
    /// What its comments want, if anything.
    pub hinted: Option<Wish>,
    /// What it is counted in, from its first count on.
    record: OnceCell<Arc<Record>>,
    /// What it takes and returns, as far as the upstream was asked.
    pub described: RefCell<Descriptions>,
}

#[derive(Debug)]
struct Verdict {
    version: u64,
    context: u64,
    effects: Rc<[Effect]>,
}

impl Text {
    /// Analyses a text; `deep`: by the grammar, else only enough to know Larder's own statements.
    pub fn new(sql: &[u8], deep: bool) -> Text {
        let analysis = match std::str::from_utf8(sql) {
            Ok(text) if deep || Ours::may_be(sql) => analyse(text),
            _ => Analysis::unseen(Why::Unparsable),
        };
        Text::analysed(sql, analysis)
    }

    /// A text that is not what it seems to be.
    pub fn unread(sql: &[u8], why: Why) -> Text {
        Text::analysed(sql, Analysis::unseen(why))
    }

    /// A text in another encoding: what is not ASCII stands for a character that no name has.
    pub fn of_ascii(sql: &[u8]) -> Text {
        let seen = |byte: &u8| {
            if byte.is_ascii() {
                char::from(*byte)
            } else {
                '\u{fffd}'
            }
        };
        let seen: String = sql.iter().map(seen).collect();
        // In another encoding a byte of a character may look like a quote: where its constants end is not certain.
        let analysis = Analysis {
            shape: Box::default(),
            ..analyse(&seen)
        };
        Text::analysed(sql, analysis)
    }

    fn analysed(sql: &[u8], analysis: Analysis) -> Text {
        let several = analysis.statements.len() > 1;
        let rolls_back = analysis
            .statements
            .iter()
            .any(|statement| matches!(statement, Statement::Rollback { .. }));
        let commits = analysis.statements.iter().any(|statement| {
            matches!(
                statement,
                Statement::Commit { .. }
                    | Statement::PrepareTransaction
                    | Statement::CommitPrepared
            )
        });
        // What was not looked into may hold a COMMIT; what follows a ROLLBACK in its message runs outside the block.
        let commits = commits || analysis.refused.is_some() || (rolls_back && several);
        let names = analysis.statements.iter().any(names_statements);
        let is_control = matches!(
            &*analysis.statements,
            [Statement::Begin(_)
                | Statement::Commit { .. }
                | Statement::Rollback { .. }
                | Statement::Savepoint(_)
                | Statement::Release(_)
                | Statement::RollbackTo(_)]
        );
        let hints = &analysis.hints;
        let hinted = (!hints.is_empty()).then(|| Wish::hinted(hints));
        Text {
            sql: sql.into(),
            ours: Ours::of(sql, &analysis),
            analysis,
            is_control,
            commits,
            names,
            constants: has_constants(sql),
            ends: commits || rolls_back,
            verdict: RefCell::default(),
            record: OnceCell::new(),
            hinted,
            described: RefCell::default(),
        }
    }

    /// What it is counted in.
    #[inline]
    pub fn record(&self, book: &Book) -> &Arc<Record> {
        self.record.get_or_init(|| {
            // Of what is not analysed nothing may be shown, as nobody knows where its constants are.
            let shape = match &*self.analysis.shape {
                "" => NOT_ANALYSED,
                shape => shape,
            };
            book.record(number(shape), shape)
        })
    }

    /// The statement, if there is exactly one.
    pub fn single(&self) -> Option<&Statement> {
        match &*self.analysis.statements {
            [one] => Some(one),
            _ => None,
        }
    }

    /// SET, and not `set_config`.
    pub fn is_set(&self) -> bool {
        begins(&self.analysis.canonical, "set")
    }

    /// The query or DML that it is, or prepares by SQL.
    pub fn body(&self) -> Option<&Query> {
        match self.single()? {
            Statement::Query(query) => Some(query),
            Statement::Prepare(_, body) => body.as_deref(),
            _ => None,
        }
    }

    /// Whether a failed block takes it (PostgreSQL's IsTransactionExitStmt).
    pub fn leaves_failure(&self) -> bool {
        use Statement::{Commit, PrepareTransaction, Rollback, RollbackTo};
        matches!(
            self.single(),
            Some(Commit { .. } | PrepareTransaction | Rollback { .. } | RollbackTo(_))
        )
    }

    /// The command tag of a BEGIN.
    pub fn begin_tag(&self) -> &'static str {
        if begins(&self.analysis.canonical, "start") {
            "START TRANSACTION"
        } else {
            "BEGIN"
        }
    }

    /// What its statements do; resolved anew when catalog or context is another.
    pub fn effects(
        &self,
        catalog: Option<&Arc<Catalog>>,
        context: u64,
        path: &SearchPath,
    ) -> Rc<[Effect]> {
        let resolve_all = || {
            self.analysis
                .statements
                .iter()
                .map(|s| resolve(s, catalog.map(|c| &**c), path))
                .collect()
        };
        let Some(version) = catalog.map(|c| c.version) else {
            return resolve_all();
        };
        if let Some(known) = &*self.verdict.borrow()
            && (known.version, known.context) == (version, context)
        {
            return known.effects.clone();
        }
        let effects: Rc<[Effect]> = resolve_all();
        *self.verdict.borrow_mut() = Some(Verdict {
            version,
            context,
            effects: effects.clone(),
        });
        effects
    }
}

fn names_statements(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Prepare(..)
            | Statement::Execute(..)
            | Statement::Deallocate(_)
            | Statement::Discard(Discard::All)
    )
}

/// Whether a text may have constants that settings say how to read: strings, `= NULL`, names in another encoding.
fn has_constants(sql: &[u8]) -> bool {
    let dollar = |pair: &[u8]| pair[0] == b'$' && !pair[1].is_ascii_digit();
    let null = |four: &[u8]| four.eq_ignore_ascii_case(b"null");
    sql.contains(&b'\'')
        || !sql.is_ascii()
        || sql.windows(2).any(dollar)
        || (sql.contains(&b'=') && sql.windows(4).any(null))
}

fn begins(text: &str, word: &str) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}
