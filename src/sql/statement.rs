//! Statements by kind, as far as the text alone tells.

use super::hint::Hints;
use super::query::Query;
use crate::why::Why;

/// One message's text, analysed without a catalog.
#[derive(Debug)]
pub struct Analysis {
    /// The text without comments and insignificant white space: the text's part of the key. Empty if refused.
    pub canonical: Box<str>,
    /// The same without constants. Empty if refused.
    pub shape: Box<str>,
    /// What its comments say.
    pub hints: Hints,
    /// `TooLong` or `Unparsable`: the text was not analysed and is one `Opaque` statement.
    pub refused: Option<Why>,
    /// In order; empty for an empty query.
    pub statements: Box<[Statement]>,
}

/// Isolation levels (PostgreSQL manual, 13.2). READ UNCOMMITTED is READ COMMITTED.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadCommitted,
    RepeatableRead,
    Serializable,
}

/// What `BEGIN`, `START TRANSACTION` and `SET TRANSACTION` may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionModes {
    pub isolation: Option<Isolation>,
    pub read_only: Option<bool>,
    pub deferrable: Option<bool>,
}

/// One statement.
#[derive(Debug)]
pub enum Statement {
    /// SELECT, VALUES, TABLE, INSERT, UPDATE, DELETE, MERGE, with or without WITH; SELECT INTO; EXPLAIN of those
    /// without ANALYZE is `Explain`, with ANALYZE it is the query itself (never cacheable).
    Query(Query),
    Begin(TransactionModes),
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(Box<str>),
    Release(Box<str>),
    RollbackTo(Box<str>),
    PrepareTransaction,
    CommitPrepared,
    RollbackPrepared,
    /// `SET TRANSACTION …`, `SET TRANSACTION SNAPSHOT` and RESET of its settings included (then the modes are empty),
    /// and `SELECT set_config('transaction_isolation', …)`, alone, with literals.
    SetTransaction(TransactionModes),
    /// Changes the session in a way that the text does not tell (`SET name FROM CURRENT`): writes nothing.
    Unfollowed,
    /// `SET [LOCAL] name = value`, `SET ROLE`, `SET SESSION AUTHORIZATION` (as `role`, `session_authorization`),
    /// `SET TIME ZONE`, `SET NAMES`, `SET SESSION CHARACTERISTICS` (as several), `SELECT set_config('…','…',…)`
    /// when that is all the statement does and both are literals (then `query` tells that rows come back).
    Set(Box<[Setting]>),
    /// `RESET ALL`. It does not reset `role` and `session_authorization`.
    ResetAll,
    Discard(Discard),
    Show(Box<str>),
    /// `PREPARE name AS …`, with what it prepares where that is a query or DML; the statement itself writes nothing.
    Prepare(Box<str>, Option<Box<Query>>),
    /// `EXECUTE name(…)` with its arguments: what it does is known only where the name is.
    Execute(Box<str>, Box<Query>),
    /// `DEALLOCATE name`, `None` for ALL.
    Deallocate(Option<Box<str>>),
    /// `DECLARE … CURSOR FOR query`: what the query does, it does (locks, functions).
    Declare(Query),
    /// FETCH, MOVE, CLOSE.
    Cursor,
    Listen,
    Unlisten,
    Notify,
    /// EXPLAIN without ANALYZE of a query: it is planned and does not run, but planning calls functions whose
    /// arguments are known.
    Explain(Query),
    /// EXPLAIN of other statements, CHECKPOINT, SET CONSTRAINTS: writes no row, changes no setting.
    Utility,
    /// COMMENT, REINDEX, VACUUM, ANALYZE: as `Utility`, but it shows in the system catalogs, and may run the expressions
    /// of indexes and event triggers.
    Maintenance,
    /// `LOCK TABLE`.
    Lock,
    /// `COPY relation FROM`.
    CopyFrom(Name),
    /// `COPY relation TO`, `COPY (query) TO`: what the query does, it does; never cached.
    CopyTo(Query),
    Truncate {
        relations: Box<[Name]>,
        cascade: bool,
    },
    RefreshMaterializedView(Name),
    /// `CREATE TEMP TABLE … AS query`, `SELECT … INTO TEMP`: a temporary table, and what the query does.
    TemporaryTableAs(Query),
    /// Raises the catalog and everything. CREATE TEMP TABLE too, with `temporary`.
    Ddl {
        temporary: bool,
    },
    /// `CALL`: the procedure and its arguments, like a query's.
    Call(Query),
    /// `DO`, `LOAD`, and anything not known: writes everything, may change anything in the session.
    Opaque,
}

/// A possibly qualified name, already folded as PostgreSQL folds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    pub schema: Option<Box<str>>,
    pub name: Box<str>,
}

/// One change of one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Lower-cased; `role` and `session_authorization` for those statements; `timezone` for TIME ZONE.
    pub name: Box<str>,
    /// The value as text, `None` for DEFAULT and RESET.
    pub value: Option<Box<str>>,
    /// `SET LOCAL`, `set_config(…, true)`.
    pub local: bool,
}

/// What DISCARD discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    All,
    Plans,
    Temp,
    Sequences,
}

impl Analysis {
    /// A text that is not looked into.
    pub fn unseen(why: Why) -> Analysis {
        Analysis {
            canonical: Box::default(),
            shape: Box::default(),
            hints: Hints::default(),
            refused: Some(why),
            statements: Box::new([Statement::Opaque]),
        }
    }
}
