//! The walk over expressions.
//!
//! * Operators are looked up by the name that PostgreSQL looks up: `~~` for LIKE, `>=` and `<=` for BETWEEN, `=` for
//!   IN, CASE, NULLIF, IS DISTINCT FROM, USING.
//! * CURRENT_TIMESTAMP, CURRENT_USER and their kin are no functions in the tree, but depend on the same things.
//! * The system columns ctid, xmax, cmin and cmax change without a write (row locks, VACUUM FULL).

use super::super::clock::reads_the_clock;
use super::walk::{COMPARED, Scope, Walk, add, add_text, last_two};
use crate::why::Why;
use pg_raw_parse::list::NodeList;
use pg_raw_parse::nodes;
use pg_raw_parse::raw::{A_Expr_Kind, SubLinkType};
use pg_raw_parse::{ConstValue, Node};

impl<'t> Walk<'t> {
    pub(super) fn operator(&mut self, schema: Option<&str>, name: &str) {
        add(&mut self.query.operators, schema, name);
    }

    fn operator_list(&mut self, names: &'t NodeList) {
        if !names.is_empty() {
            let (schema, name) = last_two(names.iter().map(Node::as_str));
            self.operator(schema, name);
        }
    }

    pub(super) fn called(&mut self, schema: Option<&str>, name: &str, arguments: usize) {
        let all = &self.query.functions;
        let known = all
            .iter()
            .take(COMPARED)
            .any(|(n, a)| &*n.name == name && n.schema.as_deref() == schema && *a == arguments);
        if !known {
            let name = super::super::statement::Name {
                schema: schema.map(Into::into),
                name: name.into(),
            };
            self.query.functions.push((name, arguments));
        }
    }

    /// False for what is no expression.
    pub(super) fn expression(&mut self, node: Node<'t>, scope: Scope) -> bool {
        match node {
            Node::ColumnRef(column) => self.column(column.fields()),
            Node::ParamRef(_)
            | Node::A_Star(_)
            | Node::SetToDefault(_)
            | Node::CurrentOfExpr(_) => {}
            Node::String(_)
            | Node::Integer(_)
            | Node::Float(_)
            | Node::Boolean(_)
            | Node::BitString(_) => {}
            Node::MergeSupportFunc(_) => self.spelled("merge_action"),
            Node::A_Const(constant) => self.constant(constant),
            Node::A_Expr(expression) => self.operation(expression, scope),
            Node::BoolExpr(expression) => self.list(expression.args(), scope),
            Node::FuncCall(call) => self.call(call, scope),
            Node::TypeCast(cast) => {
                self.cast(cast.arg(), cast.type_name());
                self.push(cast.arg(), scope);
            }
            Node::CollateClause(collate) => self.push(collate.arg(), scope),
            Node::SubLink(link) => self.sublink(link, scope),
            Node::CaseExpr(case) => {
                if !matches!(case.arg(), Node::None) {
                    self.operator(None, "=");
                }
                self.push(case.defresult(), scope);
                self.list(case.args(), scope);
                self.push(case.arg(), scope);
            }
            Node::CaseWhen(when) => {
                self.push(when.result(), scope);
                self.push(when.expr(), scope);
            }
            Node::CoalesceExpr(expression) => self.list(expression.args(), scope),
            Node::MinMaxExpr(expression) => self.list(expression.args(), scope),
            Node::RowExpr(expression) => self.list(expression.args(), scope),
            Node::A_ArrayExpr(expression) => self.list(expression.elements(), scope),
            Node::NullTest(test) => self.push(test.arg(), scope),
            Node::BooleanTest(test) => self.push(test.arg(), scope),
            Node::GroupingFunc(call) => self.list(call.args(), scope),
            Node::NamedArgExpr(argument) => self.push(argument.arg(), scope),
            Node::SQLValueFunction(_) => self.deny(Why::ClockValue),
            _ => return self.part(node, scope),
        }
        true
    }

    /// Parts of expressions.
    fn part(&mut self, node: Node<'t>, scope: Scope) -> bool {
        match node {
            Node::A_Indirection(indirection) => {
                for part in indirection.indirection() {
                    if let Some(name) = part.as_str() {
                        add_text(&mut self.query.fields, name);
                    }
                    self.open_names |= matches!(part, Node::A_Star(_));
                }
                self.list(indirection.indirection(), scope);
                self.push(indirection.arg(), scope);
            }
            Node::A_Indices(indices) => {
                self.push(indices.lidx(), scope);
                self.push(indices.uidx(), scope);
            }
            Node::ResTarget(target) => {
                self.list(target.indirection(), scope);
                self.push(target.val(), scope);
            }
            // Every column of `(a, b) = (…)` has the same source.
            Node::MultiAssignRef(assign) if assign.colno > 1 => {}
            Node::MultiAssignRef(assign) => self.push(assign.source(), scope),
            Node::SortBy(sort) => {
                self.operator_list(sort.use_op());
                self.push(sort.node(), scope);
            }
            Node::WindowDef(window) => {
                self.push(window.end_offset(), scope);
                self.push(window.start_offset(), scope);
                for sort in window.order_clause() {
                    self.push(sort, scope);
                }
                self.list(window.partition_clause(), scope);
            }
            Node::GroupingSet(set) => self.list(set.content(), scope),
            Node::IndexElem(element) => self.push(element.expr(), scope),
            _ => return false,
        }
        true
    }

    fn column(&mut self, fields: &'t NodeList) {
        self.column_or_row(fields);
        let Some(Node::String(last)) = fields.iter().next_back() else {
            return;
        };
        let name = last.sval().unwrap_or_default();
        if matches!(name, "ctid" | "xmax" | "cmin" | "cmax") {
            self.deny(Why::SystemColumn);
        }
        for field in fields.iter().skip(1).filter_map(Node::as_str) {
            add_text(&mut self.query.attributes, field);
        }
    }

    fn constant(&mut self, constant: &'t nodes::A_Const) {
        if let Some(ConstValue::String(text)) = constant.val()
            && reads_the_clock(text.as_bytes())
        {
            self.deny(Why::ClockText);
        }
    }

    fn operation(&mut self, expression: &'t nodes::A_Expr, scope: Scope) {
        match expression.kind {
            A_Expr_Kind::AEXPR_BETWEEN
            | A_Expr_Kind::AEXPR_NOT_BETWEEN
            | A_Expr_Kind::AEXPR_BETWEEN_SYM
            | A_Expr_Kind::AEXPR_NOT_BETWEEN_SYM => {
                for name in ["<", "<=", ">", ">="] {
                    self.operator(None, name);
                }
            }
            _ => self.operator_list(expression.name()),
        }
        self.push(expression.rexpr(), scope);
        self.push(expression.lexpr(), scope);
    }

    fn sublink(&mut self, link: &'t nodes::SubLink, scope: Scope) {
        if link.sub_link_type == SubLinkType::ANY_SUBLINK && link.oper_name().is_empty() {
            self.operator(None, "=");
        }
        self.operator_list(link.oper_name());
        self.push(link.subselect(), scope);
        self.push(link.testexpr(), scope);
    }

    fn call(&mut self, call: &'t nodes::FuncCall, scope: Scope) {
        let (schema, name) = last_two(call.funcname().iter().map(Node::as_str));
        let ordered = if call.agg_within_group {
            call.agg_order().len()
        } else {
            0
        };
        self.called(schema, name, call.args().len() + ordered);
        self.query.hidden.zones |= name == "timezone";
        self.call_as_cast(name, call.args());
        self.push(call.over(), scope);
        self.push(call.agg_filter(), scope);
        for sort in call.agg_order() {
            self.push(sort, scope);
        }
        self.list(call.args(), scope);
    }
}
