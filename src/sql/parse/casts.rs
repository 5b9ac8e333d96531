//! Casts: the types they name, and whether text of a row may be read as the clock.
//!
//! * `note::date` reads a row's 'today' as the clock. Constants and parameters are looked at where they stand, so a
//!   cast to a type whose input may read the clock is harmless of those, of what cannot be text, and of a relation's
//!   column that is not text (which the catalog tells); of anything else it is not.
//! * A column that gets its name inside the query may have a namesake in a relation: its type is not known.

use super::super::clock::{TextInput, text_input};
use super::walk::{Walk, add, add_text, last_two};
use crate::why::Why;
use pg_raw_parse::Node;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes;
use pg_raw_parse::raw::A_Expr_Kind;

/// Functions that never give text. A user's function of that name is refused by the catalog.
const NEVER_TEXT: &[&str] = &[
    "abs",
    "age",
    "avg",
    "bool_and",
    "bool_or",
    "ceil",
    "clock_timestamp",
    "count",
    "date",
    "date_bin",
    "date_part",
    "date_trunc",
    "extract",
    "floor",
    "justify_days",
    "justify_hours",
    "justify_interval",
    "make_date",
    "make_interval",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "now",
    "round",
    "statement_timestamp",
    "sum",
    "timezone",
    "to_date",
    "to_timestamp",
    "transaction_timestamp",
    "trunc",
];

/// Functions that give one of their arguments, or an array of them.
const GIVES_ARGUMENT: &[&str] = &[
    "any_value",
    "array_agg",
    "first_value",
    "generate_series",
    "lag",
    "last_value",
    "lead",
    "max",
    "min",
    "nth_value",
    "unnest",
];

/// Functions of one argument by these names may be casts (manual, 4.2.9).
const CAST_FUNCTIONS: &[&str] = &[
    "date",
    "datemultirange",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "tsmultirange",
    "tstzmultirange",
];

/// Names that PostgreSQL gives to columns without one.
const NAMELESS: &[&str] = &[
    "?column?",
    "array",
    "case",
    "coalesce",
    "exists",
    "greatest",
    "grouping",
    "json",
    "json_array",
    "json_arrayagg",
    "json_object",
    "json_objectagg",
    "json_scalar",
    "json_serialize",
    "least",
    "nullif",
    "row",
];

impl<'t> Walk<'t> {
    /// A cast of that to this.
    pub(super) fn cast(&mut self, source: Node<'t>, target: Option<&'t nodes::TypeName>) {
        let looks_up = target.is_some_and(looks_up);
        self.query.catalogs.looks_up |= looks_up;
        if self.type_name(target) == TextInput::MayReadClock && !looks_up {
            self.source(source);
        }
    }

    /// Text of unknown origin is read as this type (JSON_TABLE, RETURNING, column definition lists).
    pub(super) fn read_as(&mut self, target: Option<&'t nodes::TypeName>) {
        if self.type_name(target) == TextInput::MayReadClock {
            self.deny(Why::ClockText);
        }
    }

    pub(super) fn call_as_cast(&mut self, name: &str, arguments: &'t NodeList) {
        if arguments.len() == 1 && CAST_FUNCTIONS.contains(&name) {
            self.source(arguments.first().unwrap_or(Node::None));
        }
    }

    fn type_name(&mut self, target: Option<&'t nodes::TypeName>) -> TextInput {
        let Some(target) = target else {
            return TextInput::Keeps;
        };
        let (schema, name) = last_two(target.names().iter().map(|s| s.sval()));
        if target.pct_type || target.setof {
            self.deny(Why::Construct);
        }
        add(&mut self.query.types, schema, name);
        text_input(name)
    }

    /// What is cast to a type whose input may read the clock.
    fn source(&mut self, source: Node<'t>) {
        // A text that was made of a column may say what the column does not: an enum's label, a row's element.
        let mut text = false;
        let mut work = vec![source];
        while let Some(node) = work.pop() {
            match node {
                Node::None | Node::A_Const(_) | Node::ParamRef(_) | Node::SQLValueFunction(_) => {}
                Node::ColumnRef(column) => match column.fields().iter().next_back() {
                    Some(Node::String(name)) if !text => {
                        add_text(
                            &mut self.query.hidden.cast_columns,
                            name.sval().unwrap_or_default(),
                        );
                    }
                    _ => self.deny(Why::ClockText),
                },
                Node::TypeCast(cast) => {
                    let inner = cast
                        .type_name()
                        .map(|t| last_two(t.names().iter().map(|s| s.sval())).1);
                    // The text of a regclass is a name that somebody gave: `today`.
                    if cast.type_name().is_some_and(looks_up) {
                        self.deny(Why::ClockText);
                    }
                    if inner.is_none_or(|name| text_input(name) == TextInput::Keeps) {
                        text = true;
                        work.push(cast.arg());
                    }
                }
                Node::CollateClause(collate) => work.push(collate.arg()),
                Node::CoalesceExpr(e) => work.extend(e.args()),
                Node::MinMaxExpr(e) => work.extend(e.args()),
                Node::A_ArrayExpr(e) => work.extend(e.elements()),
                Node::CaseExpr(case) => {
                    work.push(case.defresult());
                    work.extend(case.args());
                }
                Node::CaseWhen(when) => work.push(when.result()),
                Node::A_Expr(e) if e.kind == A_Expr_Kind::AEXPR_NULLIF => work.push(e.lexpr()),
                Node::A_Expr(e) if arithmetic(e) => {}
                Node::FuncCall(call) => {
                    let (_, name) = last_two(call.funcname().iter().map(Node::as_str));
                    if GIVES_ARGUMENT.contains(&name) {
                        work.extend(call.args());
                    } else if !NEVER_TEXT.contains(&name) {
                        self.deny(Why::ClockText);
                    }
                }
                _ => self.deny(Why::ClockText),
            }
        }
    }

    /// Notes the names that a column of a select list may have for those outside.
    pub(super) fn derive(&mut self, target: &'t nodes::ResTarget) {
        if let Some(name) = target.name() {
            self.derived.push(name);
            return;
        }
        // Whether a column's name is passed on with a value that may be text where the column is none.
        let mut text = None;
        let mut value = target.val();
        loop {
            match value {
                Node::TypeCast(cast) => {
                    let name = cast
                        .type_name()
                        .map(|t| last_two(t.names().iter().map(|s| s.sval())).1);
                    text.get_or_insert(name.is_none_or(may_be_text));
                    self.derived.extend(name);
                    value = cast.arg();
                }
                Node::CollateClause(collate) => value = collate.arg(),
                Node::CaseExpr(case) => {
                    text.get_or_insert(true);
                    value = case.defresult();
                }
                Node::ColumnRef(column) => {
                    let name = column.fields().iter().next_back();
                    self.derived
                        .extend(name.and_then(Node::as_str).filter(|_| text == Some(true)));
                    return;
                }
                Node::FuncCall(call) => {
                    self.derived
                        .push(last_two(call.funcname().iter().map(Node::as_str)).1);
                    return;
                }
                Node::A_Indirection(indirection) => {
                    self.derived
                        .extend(indirection.indirection().iter().filter_map(Node::as_str));
                    value = indirection.arg();
                }
                // A sub-select's column is named inside it, and noted there; or it is a relation's.
                _ => return,
            }
        }
    }

    /// At the end: a cast column whose name may be given inside the query is not known to be a relation's.
    pub(super) fn judge_cast_columns(&mut self) {
        let (columns, derived) = (&self.query.hidden.cast_columns, &self.derived);
        let mine =
            |name: &str| NAMELESS.contains(&name) || of_values(name) || derived.contains(&name);
        // Quadratic texts must not cost seconds.
        if columns.len() * derived.len() > 1_000_000
            || (self.open_names && !columns.is_empty())
            || columns.iter().any(|name| mine(name))
        {
            self.deny(Why::ClockText);
        }
    }
}

/// Types whose input looks a name up in the catalogs. It reads no clock.
const LOOKS_UP: &[&str] = &[
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

fn looks_up(target: &nodes::TypeName) -> bool {
    LOOKS_UP.contains(&last_two(target.names().iter().map(|s| s.sval())).1)
}

/// Whether values of that type may be text; those of the types that a name in pg_catalog tells are not.
fn may_be_text(type_name: &str) -> bool {
    text_input(type_name) != TextInput::Clockless && !CAST_FUNCTIONS.contains(&type_name)
}

/// `column1`, `column2` …: what VALUES calls its columns.
fn of_values(name: &str) -> bool {
    name.strip_prefix("column")
        .is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

fn arithmetic(expression: &nodes::A_Expr) -> bool {
    let mut names = expression.name().iter().filter_map(Node::as_str);
    expression.kind == A_Expr_Kind::AEXPR_OP
        && matches!(
            (names.next(), names.next()),
            (Some("+" | "-" | "*" | "/"), None)
        )
}
