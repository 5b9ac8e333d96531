//! SET, RESET, SET TRANSACTION and `set_config` with literals.
//!
//! * A value is text that says which value it is and no other: a list that PostgreSQL quotes is quoted here, so
//!   that `SET search_path = 'a, b'` is not `SET search_path = a, b`.
//! * What does not tell its value (`FROM CURRENT`) is not followed, and says so.

use super::super::statement::{Isolation, Setting, Statement, TransactionModes};
use super::walk::last_two;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes;
use pg_raw_parse::raw::VariableSetKind;
use pg_raw_parse::{ConstValue, Node};
use std::fmt::Write;

/// Settings whose elements PostgreSQL quotes as identifiers (GUC_LIST_QUOTE).
const QUOTED_LISTS: &[&str] = &[
    "search_path",
    "temp_tablespaces",
    "local_preload_libraries",
    "session_preload_libraries",
    "shared_preload_libraries",
    "unix_socket_directories",
];

pub(super) fn set(statement: &nodes::VariableSetStmt) -> Statement {
    let name = statement.name().unwrap_or_default();
    match statement.kind {
        VariableSetKind::VAR_RESET_ALL => Statement::ResetAll,
        VariableSetKind::VAR_SET_MULTI => multiple(name, statement.args()),
        VariableSetKind::VAR_SET_VALUE => {
            let name = name.to_ascii_lowercase();
            let Some(value) = value(&name, statement.args()) else {
                return Statement::Unfollowed;
            };
            if let Some(modes) = transaction_setting(&name, &value) {
                return Statement::SetTransaction(modes);
            }
            one(&name, Some(value.into()), statement.is_local)
        }
        VariableSetKind::VAR_SET_DEFAULT | VariableSetKind::VAR_RESET => {
            if is_of_transaction(&name.to_ascii_lowercase()) {
                return Statement::SetTransaction(TransactionModes::default());
            }
            one(name, None, statement.is_local)
        }
        _ => Statement::Unfollowed,
    }
}

fn one(name: &str, value: Option<Box<str>>, local: bool) -> Statement {
    Statement::Set(Box::new([Setting {
        name: name.to_ascii_lowercase().into(),
        value,
        local,
    }]))
}

fn multiple(name: &str, arguments: &NodeList) -> Statement {
    if name != "SESSION CHARACTERISTICS" {
        return Statement::SetTransaction(modes(arguments));
    }
    let modes = modes(arguments);
    let flag = |on: bool| if on { "on" } else { "off" };
    let values = [
        ("default_transaction_isolation", modes.isolation.map(level)),
        ("default_transaction_read_only", modes.read_only.map(flag)),
        ("default_transaction_deferrable", modes.deferrable.map(flag)),
    ];
    let settings = values.into_iter().filter_map(|(name, value)| {
        Some(Setting {
            name: name.into(),
            value: Some(value?.into()),
            local: false,
        })
    });
    Statement::Set(settings.collect())
}

/// The options of BEGIN, START TRANSACTION and SET TRANSACTION.
pub(super) fn modes(options: &NodeList) -> TransactionModes {
    let mut modes = TransactionModes::default();
    for option in options {
        let Node::DefElem(option) = option else {
            continue;
        };
        match option.defname().unwrap_or_default() {
            "transaction_isolation" => {
                modes.isolation = text(option.arg()).as_deref().and_then(isolation)
            }
            "transaction_read_only" => {
                modes.read_only = text(option.arg()).as_deref().and_then(boolean)
            }
            "transaction_deferrable" => {
                modes.deferrable = text(option.arg()).as_deref().and_then(boolean)
            }
            _ => {}
        }
    }
    modes
}

/// Settings of the transaction at hand, not of the session.
fn is_of_transaction(name: &str) -> bool {
    matches!(
        name,
        "transaction_isolation" | "transaction_read_only" | "transaction_deferrable"
    )
}

fn transaction_setting(name: &str, value: &str) -> Option<TransactionModes> {
    let mut modes = TransactionModes::default();
    match name {
        "transaction_isolation" => modes.isolation = Some(isolation(value)?),
        "transaction_read_only" => modes.read_only = Some(boolean(value)?),
        "transaction_deferrable" => modes.deferrable = Some(boolean(value)?),
        _ => return None,
    }
    Some(modes)
}

fn isolation(text: &str) -> Option<Isolation> {
    match text.to_ascii_lowercase().as_str() {
        "read committed" | "read uncommitted" => Some(Isolation::ReadCommitted),
        "repeatable read" => Some(Isolation::RepeatableRead),
        "serializable" => Some(Isolation::Serializable),
        _ => None,
    }
}

fn level(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "read committed",
        Isolation::RepeatableRead => "repeatable read",
        Isolation::Serializable => "serializable",
    }
}

/// PostgreSQL's `parse_bool`: unique prefixes count.
fn boolean(text: &str) -> Option<bool> {
    let text = text.to_ascii_lowercase();
    let prefix = |word: &str, least: usize| text.len() >= least && word.starts_with(&*text);
    if prefix("true", 1) || prefix("yes", 1) || prefix("on", 2) || text == "1" {
        Some(true)
    } else if prefix("false", 1) || prefix("no", 1) || prefix("off", 2) || text == "0" {
        Some(false)
    } else {
        None
    }
}

/// A constant as text.
fn text(node: Node<'_>) -> Option<String> {
    match node {
        Node::A_Const(constant) => match constant.val()? {
            ConstValue::Unrecognized(_) => None,
            value => Some(value.to_string()),
        },
        Node::String(text) => text.sval().map(Into::into),
        Node::Integer(number) => Some(number.ival.to_string()),
        Node::Boolean(flag) => Some(flag.boolval.to_string()),
        // SET TIME ZONE INTERVAL '…' HOUR TO MINUTE: the type modifiers decide what is cut off.
        Node::TypeCast(cast) => {
            let modifiers = cast.type_name()?.typmods();
            let mut value = format!("INTERVAL '{}'", text(cast.arg())?);
            for modifier in modifiers {
                write!(value, " {}", text(modifier)?).ok()?;
            }
            Some(value)
        }
        _ => None,
    }
}

fn value(name: &str, arguments: &NodeList) -> Option<String> {
    let mut values = String::new();
    for (n, argument) in arguments.iter().enumerate() {
        let element = text(argument)?;
        if n > 0 {
            values.push_str(", ");
        }
        if QUOTED_LISTS.contains(&name) || arguments.len() > 1 {
            quote(&mut values, &element)
        } else {
            values.push_str(&element)
        }
    }
    Some(values)
}

fn quote(out: &mut String, identifier: &str) {
    let plain = identifier
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && identifier.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if plain {
        out.push_str(identifier);
    } else {
        out.push('"');
        out.push_str(&identifier.replace('"', "\"\""));
        out.push('"');
    }
}

/// `SELECT set_config('…', '…', …) [, …]` and nothing else, all literals: the SET that it is.
pub(super) fn set_config(select: &nodes::SelectStmt) -> Option<Statement> {
    let bare = !select.target_list().is_empty()
        && select.distinct_clause().is_empty()
        && select.into_clause().is_none()
        && select.from_clause().is_empty()
        && matches!(select.where_clause(), Node::None)
        && select.group_clause().is_empty()
        && matches!(select.having_clause(), Node::None)
        && select.window_clause().is_empty()
        && select.sort_clause().is_empty()
        && matches!(select.limit_offset(), Node::None)
        && matches!(select.limit_count(), Node::None)
        && select.locking_clause().is_empty()
        && select.with_clause().is_none()
        && select.larg().is_none();
    if !bare {
        return None;
    }
    let settings: Box<[Setting]> = select
        .target_list()
        .iter()
        .map(set_config_call)
        .collect::<Option<_>>()?;
    if !settings.iter().any(|s| is_of_transaction(&s.name)) {
        return Some(Statement::Set(settings));
    }
    match &*settings {
        [one] => {
            transaction_setting(&one.name, one.value.as_deref()?).map(Statement::SetTransaction)
        }
        // Together with others: neither kind tells all, so it is a call like any other.
        _ => None,
    }
}

fn set_config_call(target: &nodes::ResTarget) -> Option<Setting> {
    let Node::FuncCall(call) = target.val() else {
        return None;
    };
    let plain = call.over().is_none()
        && matches!(call.agg_filter(), Node::None)
        && call.agg_order().is_empty()
        && !call.agg_star
        && !call.agg_distinct
        && !call.func_variadic;
    let name = last_two(call.funcname().iter().map(Node::as_str));
    if !plain
        || !matches!(name, (None | Some("pg_catalog"), "set_config"))
        || call.args().len() != 3
    {
        return None;
    }
    let local = match call.args().get(2)? {
        Node::A_Const(constant) => match constant.val()? {
            ConstValue::Boolean(local) => local,
            ConstValue::String(text) => boolean(text)?,
            _ => return None,
        },
        _ => return None,
    };
    let setting = literal(call.args().get(0)?)??;
    Some(Setting {
        name: setting.to_ascii_lowercase().into(),
        value: literal(call.args().get(1)?)?,
        local,
    })
}

/// `Some(None)` is NULL.
fn literal(node: Node<'_>) -> Option<Option<Box<str>>> {
    match node {
        Node::A_Const(constant) if constant.isnull => Some(None),
        Node::A_Const(constant) => match constant.val()? {
            ConstValue::String(text) => Some(Some(text.into())),
            _ => None,
        },
        Node::TypeCast(cast) => {
            let name = last_two(cast.type_name()?.names().iter().map(|s| s.sval())).1;
            if name == "text" && cast.type_name()?.array_bounds().is_empty() {
                literal(cast.arg())
            } else {
                None
            }
        }
        _ => None,
    }
}
