//! Statements by their top node.
//!
//! * A kind comes from the tree, never from the first word: EXPLAIN ANALYZE of an UPDATE is that UPDATE.
//! * What is not known is DDL or opaque: both raise everything and have the session read again.

use super::super::query::Query;
use super::super::statement::{Discard, Name, Statement};
use super::variables;
use super::walk::{SelectInto, add, last_two, range_name, walk};
use crate::why::Why;
use pg_raw_parse::nodes;
use pg_raw_parse::raw::{DiscardMode, DropBehavior, TransactionStmtKind};
use pg_raw_parse::{ConstValue, Node};

pub(super) fn classify(node: Node<'_>) -> Statement {
    match node {
        Node::SelectStmt(select) => variables::set_config(select).unwrap_or_else(|| query(node)),
        Node::InsertStmt(_) | Node::UpdateStmt(_) | Node::DeleteStmt(_) | Node::MergeStmt(_) => {
            query(node)
        }
        Node::TransactionStmt(statement) => transaction(statement),
        Node::VariableSetStmt(statement) => variables::set(statement),
        Node::VariableShowStmt(show) => {
            Statement::Show(show.name().unwrap_or_default().to_ascii_lowercase().into())
        }
        Node::DiscardStmt(discard) => Statement::Discard(match discard.target {
            DiscardMode::DISCARD_PLANS => Discard::Plans,
            DiscardMode::DISCARD_SEQUENCES => Discard::Sequences,
            DiscardMode::DISCARD_TEMP => Discard::Temp,
            _ => Discard::All,
        }),
        Node::PrepareStmt(prepare) => prepared(prepare),
        Node::ExecuteStmt(execute) => executed(execute),
        Node::DeallocateStmt(deallocate) => {
            Statement::Deallocate(deallocate.name().map(Into::into))
        }
        Node::DeclareCursorStmt(declare) => match query(declare.query()) {
            Statement::Query(query) => Statement::Declare(query),
            _ => Statement::Opaque,
        },
        Node::FetchStmt(_) | Node::ClosePortalStmt(_) => Statement::Cursor,
        Node::ListenStmt(_) => Statement::Listen,
        Node::UnlistenStmt(_) => Statement::Unlisten,
        Node::NotifyStmt(_) => Statement::Notify,
        Node::LockStmt(_) => Statement::Lock,
        Node::CopyStmt(statement) => copy(statement),
        Node::TruncateStmt(truncate) => Statement::Truncate {
            relations: names(truncate.relations().iter()),
            cascade: truncate.behavior == DropBehavior::DROP_CASCADE,
        },
        Node::ExplainStmt(explain) if analyzes(explain) => match classify(explain.query()) {
            Statement::Query(mut query) => {
                query.why.get_or_insert(Why::NotSelect);
                Statement::Query(query)
            }
            Statement::Set(_) => Statement::Opaque,
            other => other,
        },
        // What is executed is only planned, but its arguments are evaluated.
        Node::ExplainStmt(explain) => match explain.query() {
            Node::ExecuteStmt(execute) => executed(execute),
            Node::CreateTableAsStmt(create) => match create.query() {
                Node::ExecuteStmt(execute) => executed(execute),
                source => Statement::Explain(walk(source).0),
            },
            Node::DeclareCursorStmt(declare) => Statement::Explain(walk(declare.query()).0),
            source @ (Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_)) => Statement::Explain(walk(source).0),
            _ => Statement::Utility,
        },
        Node::CallStmt(call) => match call.funccall() {
            Some(call) => Statement::Call(walk(Node::FuncCall(call)).0),
            None => Statement::Opaque,
        },
        Node::DoStmt(_) | Node::LoadStmt(_) | Node::None | Node::Invalid(_) => Statement::Opaque,
        _ => utility(node),
    }
}

/// PREPARE takes nothing but queries and DML. An argument of a user's type may run a user's code.
fn prepared(prepare: &nodes::PrepareStmt) -> Statement {
    let body = match classify(prepare.query()) {
        Statement::Query(mut query) => {
            for argument in prepare.argtypes() {
                let (schema, name) = last_two(argument.names().iter().map(|s| s.sval()));
                add(&mut query.types, schema, name);
                query.unknown |= argument.pct_type || argument.setof;
            }
            Some(Box::new(query))
        }
        _ => None,
    };
    Statement::Prepare(prepare.name().unwrap_or_default().into(), body)
}

fn executed(execute: &nodes::ExecuteStmt) -> Statement {
    let arguments = walk(Node::NodeList(execute.params())).0;
    let name = execute.name().unwrap_or_default();
    Statement::Execute(name.into(), Box::new(arguments))
}

fn utility(node: Node<'_>) -> Statement {
    match node {
        Node::CheckPointStmt(_) | Node::ConstraintsSetStmt(_) => Statement::Utility,
        Node::CommentStmt(_) | Node::ReindexStmt(_) => Statement::Maintenance,
        // VACUUM FULL moves rows (as CLUSTER does): their ctid changes.
        Node::VacuumStmt(vacuum)
            if !vacuum.options().iter().any(|o| o.defname() == Some("full")) =>
        {
            Statement::Maintenance
        }
        Node::RefreshMatViewStmt(refresh) => match refresh.relation() {
            Some(relation) => Statement::RefreshMaterializedView(range_name(relation)),
            None => Statement::Opaque,
        },
        // A temporary child of a permanent table changes what a read of its parent means.
        Node::CreateStmt(create) => Statement::Ddl {
            temporary: create.relation().is_some_and(temporary)
                && create.inh_relations().is_empty(),
        },
        Node::ViewStmt(create) => Statement::Ddl {
            temporary: create.view().is_some_and(temporary),
        },
        Node::CreateSeqStmt(create) => Statement::Ddl {
            temporary: create.sequence().is_some_and(temporary),
        },
        Node::CreateTableAsStmt(create) => {
            let target = create.into().and_then(nodes::IntoClause::rel);
            match (target.is_some_and(temporary), create.query()) {
                (true, Node::ExecuteStmt(_)) => Statement::Opaque,
                (true, source) => Statement::TemporaryTableAs(walk(source).0),
                (false, _) => Statement::Ddl { temporary: false },
            }
        }
        _ => Statement::Ddl { temporary: false },
    }
}

/// Whether it goes to the session's temporary schema.
pub(super) fn temporary(relation: &nodes::RangeVar) -> bool {
    relation.relpersistence == b't'.cast_signed() || relation.schemaname() == Some("pg_temp")
}

fn query(node: Node<'_>) -> Statement {
    match walk(node) {
        (query, SelectInto::Nothing) => Statement::Query(query),
        (query, SelectInto::TemporaryTable) => Statement::TemporaryTableAs(query),
        (_, SelectInto::Table) => Statement::Ddl { temporary: false },
    }
}

fn names<'t>(relations: impl Iterator<Item = Node<'t>>) -> Box<[Name]> {
    relations
        .filter_map(|node| match node {
            Node::RangeVar(relation) => Some(range_name(relation)),
            _ => None,
        })
        .collect()
}

fn copy(copy: &nodes::CopyStmt) -> Statement {
    match copy.relation() {
        // The server runs a program, which may do anything.
        _ if copy.is_program => Statement::Opaque,
        Some(_) if copy.is_from && !matches!(copy.where_clause(), Node::None) => Statement::Opaque,
        Some(relation) if copy.is_from => Statement::CopyFrom(range_name(relation)),
        // Its policies may run anything.
        Some(relation) => Statement::CopyTo(Query {
            reads: vec![range_name(relation)],
            ..Query::default()
        }),
        None => match query(copy.query()) {
            Statement::Query(query) => Statement::CopyTo(query),
            other => other,
        },
    }
}

/// EXPLAIN runs the statement if the last ANALYZE among its options says so.
fn analyzes(explain: &nodes::ExplainStmt) -> bool {
    let option = explain
        .options()
        .iter()
        .rfind(|o| o.defname() == Some("analyze"));
    option.is_some_and(|option| match option.arg() {
        Node::Integer(number) => number.ival != 0,
        Node::String(text) => !["false", "off"]
            .iter()
            .any(|no| no.eq_ignore_ascii_case(text.sval().unwrap_or_default())),
        Node::A_Const(constant) => !matches!(constant.val(), Some(ConstValue::Boolean(false))),
        _ => true,
    })
}

fn transaction(statement: &nodes::TransactionStmt) -> Statement {
    let name = || statement.savepoint_name().unwrap_or_default().into();
    match statement.kind {
        TransactionStmtKind::TRANS_STMT_BEGIN | TransactionStmtKind::TRANS_STMT_START => {
            Statement::Begin(variables::modes(statement.options()))
        }
        TransactionStmtKind::TRANS_STMT_COMMIT => Statement::Commit {
            chain: statement.chain,
        },
        TransactionStmtKind::TRANS_STMT_ROLLBACK => Statement::Rollback {
            chain: statement.chain,
        },
        TransactionStmtKind::TRANS_STMT_SAVEPOINT => Statement::Savepoint(name()),
        TransactionStmtKind::TRANS_STMT_RELEASE => Statement::Release(name()),
        TransactionStmtKind::TRANS_STMT_ROLLBACK_TO => Statement::RollbackTo(name()),
        TransactionStmtKind::TRANS_STMT_PREPARE => Statement::PrepareTransaction,
        TransactionStmtKind::TRANS_STMT_COMMIT_PREPARED => Statement::CommitPrepared,
        TransactionStmtKind::TRANS_STMT_ROLLBACK_PREPARED => Statement::RollbackPrepared,
        _ => Statement::Opaque,
    }
}
