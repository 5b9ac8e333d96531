//! The walk over the SQL standard's JSON and XML constructors.
//!
//! * What PostgreSQL makes of them are functions, and those are judged by their names; JSON_TABLE, JSON_VALUE,
//!   JSON_QUERY, JSON_EXISTS, XMLTABLE and the XML constructors are not judged yet, and refused.
//! * All of them are walked: what they call, they call.
//! * A server whose grammar is older takes `json_array(a)` for a call of a function of that name, if somebody made one.

use super::walk::{Scope, Walk, add_text};
use crate::why::Why;
use pg_raw_parse::Node;
use pg_raw_parse::nodes;

impl<'t> Walk<'t> {
    /// False for what is neither JSON nor XML.
    pub(super) fn json(&mut self, node: Node<'t>, scope: Scope) -> bool {
        for name in older_calls(node) {
            self.spelled(name);
        }
        match node {
            Node::JsonFormat(_) => {}
            Node::JsonValueExpr(value) => {
                self.push(value.raw_expr(), scope);
                self.push(value.formatted_expr(), scope);
            }
            Node::JsonKeyValue(pair) => {
                self.push(pair.key(), scope);
                self.push(pair.value(), scope);
            }
            Node::JsonIsPredicate(predicate) => self.push(predicate.expr(), scope),
            Node::JsonObjectConstructor(object) => {
                self.called(Some("pg_catalog"), "json_build_object", 2);
                for pair in object.exprs() {
                    self.push(pair, scope);
                }
                self.output(object.output());
            }
            Node::JsonArrayConstructor(array) => {
                self.called(Some("pg_catalog"), "json_build_array", 1);
                for value in array.exprs() {
                    self.push(value, scope);
                }
                self.output(array.output());
            }
            Node::JsonObjectAgg(aggregate) => {
                self.called(Some("pg_catalog"), "json_object_agg", 2);
                self.push(aggregate.arg(), scope);
                self.push(aggregate.constructor(), scope);
            }
            Node::JsonArrayAgg(aggregate) => {
                self.called(Some("pg_catalog"), "json_agg", 1);
                self.push(aggregate.arg(), scope);
                self.push(aggregate.constructor(), scope);
            }
            Node::JsonAggConstructor(constructor) => {
                self.push(constructor.agg_filter(), scope);
                self.list(constructor.agg_order(), scope);
                self.push(constructor.over(), scope);
                self.output(constructor.output());
            }
            Node::JsonScalarExpr(scalar) => {
                self.called(Some("pg_catalog"), "to_json", 1);
                self.push(scalar.expr(), scope);
                self.output(scalar.output());
            }
            _ => return self.refused(node, scope),
        }
        true
    }

    fn refused(&mut self, node: Node<'t>, scope: Scope) -> bool {
        match node {
            Node::JsonParseExpr(e) => {
                self.push(e.expr(), scope);
                self.output(e.output());
            }
            Node::JsonSerializeExpr(e) => {
                self.push(e.expr(), scope);
                self.output(e.output());
            }
            Node::JsonArrayQueryConstructor(e) => {
                self.push(e.query(), scope);
                self.output(e.output());
            }
            Node::JsonFuncExpr(e) => {
                self.push(e.context_item(), scope);
                self.push(e.pathspec(), scope);
                self.list(e.passing(), scope);
                self.push(e.on_empty(), scope);
                self.push(e.on_error(), scope);
                self.output(e.output());
            }
            Node::JsonArgument(argument) => self.push(argument.val(), scope),
            Node::JsonBehavior(behavior) => self.push(behavior.expr(), scope),
            Node::JsonTablePathSpec(path) => self.push(path.string(), scope),
            Node::JsonTable(table) => {
                self.push(table.context_item(), scope);
                self.push(table.pathspec(), scope);
                self.list(table.passing(), scope);
                for column in table.columns() {
                    self.push(column, scope);
                }
                self.push(table.on_error(), scope);
            }
            Node::JsonTableColumn(column) => {
                self.read_as(column.type_name());
                self.push(column.pathspec(), scope);
                self.list(column.columns(), scope);
                self.push(column.on_empty(), scope);
                self.push(column.on_error(), scope);
            }
            Node::XmlExpr(xml) => {
                self.list(xml.named_args(), scope);
                self.list(xml.args(), scope);
            }
            Node::XmlSerialize(xml) => {
                self.read_as(xml.type_name());
                self.push(xml.expr(), scope);
            }
            Node::RangeTableFunc(table) => {
                self.push(table.docexpr(), scope);
                self.push(table.rowexpr(), scope);
                self.list(table.namespaces(), scope);
                for column in table.columns() {
                    self.push(column, scope);
                }
            }
            Node::RangeTableFuncCol(column) => {
                self.read_as(column.type_name());
                self.push(column.colexpr(), scope);
                self.push(column.coldefexpr(), scope);
            }
            _ => return false,
        }
        self.deny(Why::Construct);
        true
    }

    /// A word of the grammar that an older server takes for the name of a function.
    pub(super) fn spelled(&mut self, name: &str) {
        add_text(&mut self.query.hidden.older, name);
    }

    fn output(&mut self, output: Option<&'t nodes::JsonOutput>) {
        self.read_as(output.and_then(nodes::JsonOutput::type_name));
    }
}

/// The functions that an older server would call where the grammar here has syntax.
fn older_calls(node: Node<'_>) -> &'static [&'static str] {
    match node {
        Node::JsonObjectConstructor(_) => &["json_object"],
        Node::JsonArrayConstructor(_) => &["json_array"],
        Node::JsonObjectAgg(_) => &["json_objectagg"],
        Node::JsonArrayAgg(_) => &["json_arrayagg"],
        Node::JsonScalarExpr(_) => &["json_scalar"],
        Node::JsonParseExpr(_) => &["json"],
        Node::JsonSerializeExpr(_) => &["json_serialize"],
        Node::JsonFuncExpr(_) => &["json_exists", "json_query", "json_value"],
        Node::JsonTable(_) => &["json_table"],
        _ => &[],
    }
}
