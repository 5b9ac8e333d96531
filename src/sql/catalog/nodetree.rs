//! Stored expressions and view queries (`pg_node_tree` as text): what they name.
//!
//! * `pg_depend` does not list what initdb made, so a view's `now()` can only be seen in the tree itself.
//! * Nodes are fine by a closed list: a kind of node that a later PostgreSQL adds makes the tree opaque.
//! * Every token is looked at by itself, so that a name spelled like a field can refuse a tree but hide nothing:
//!   braces inside names are escaped.
//!
//! Not here: whether what is named is harmless (`judge`).

use super::Oid;

/// What a tree names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree {
    pub relations: Vec<Oid>,
    pub functions: Vec<Oid>,
    pub operators: Vec<Oid>,
    pub types: Vec<Oid>,
    /// Types whose input function gets text that is not known before.
    pub inputs: Vec<Oid>,
    pub surprise: Surprise,
}

/// What stands in a tree that is on no list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Surprise {
    #[default]
    None,
    /// Its value is not a function of what was read, but it changes nothing (CURRENT_TIMESTAMP, `ctid`).
    Value,
    /// It locks or counts (FOR UPDATE, nextval).
    Effect,
    /// Nobody knows.
    Unknown,
}

/// Nodes whose meaning is in the fields that are looked at, under the names of all supported versions. Sorted.
const NODES: &[&str] = &[
    "AGGREF",
    "ALIAS",
    "ARRAY",
    "ARRAYCOERCEEXPR",
    "ARRAYEXPR",
    "BOOLEANTEST",
    "BOOLEXPR",
    "CASE",
    "CASEEXPR",
    "CASETESTEXPR",
    "CASEWHEN",
    "COALESCE",
    "COALESCEEXPR",
    "COERCETODOMAIN",
    "COERCETODOMAINVALUE",
    "COERCEVIAIO",
    "COLLATE",
    "COLLATEEXPR",
    "COMMONTABLEEXPR",
    "CONST",
    "CONVERTROWTYPEEXPR",
    "CTECYCLECLAUSE",
    "CTESEARCHCLAUSE",
    "DISTINCTEXPR",
    "FIELDSELECT",
    "FROMEXPR",
    "FUNCEXPR",
    "GROUPINGFUNC",
    "GROUPINGSET",
    "JOINEXPR",
    "JSONCONSTRUCTOREXPR",
    "JSONFORMAT",
    "JSONISPREDICATE",
    "JSONRETURNING",
    "JSONVALUEEXPR",
    "MINMAX",
    "MINMAXEXPR",
    "NAMEDARGEXPR",
    "NULLIFEXPR",
    "NULLTEST",
    "OPEXPR",
    "PARAM",
    "QUERY",
    "RANGETBLENTRY",
    "RANGETBLFUNCTION",
    "RANGETBLREF",
    "RELABELTYPE",
    "ROW",
    "ROWCOMPARE",
    "ROWCOMPAREEXPR",
    "ROWEXPR",
    "RTE",
    "RTEPERMISSIONINFO",
    "SCALARARRAYOPEXPR",
    "SETOPERATIONSTMT",
    "SORTGROUPCLAUSE",
    "SUBLINK",
    "SUBSCRIPTINGREF",
    "TARGETENTRY",
    "VAR",
    "WHEN",
    "WINDOWCLAUSE",
    "WINDOWFUNC",
];

/// Fields called `…type` that are not types (of nodes on the list).
const NOT_TYPES: &[&str] = &[
    "booltesttype",
    "cmptype",
    "commandType",
    "format_type",
    "item_type",
    "jointype",
    "nulltesttype",
    "rctype",
    "subLinkType",
    "type",
];

impl Tree {
    /// Reads one tree. Never fails: what is not understood is a surprise.
    pub(super) fn scan(text: &str) -> Tree {
        let mut tree = Tree::default();
        let mut nodes: Vec<&str> = Vec::new();
        let mut tokens = Tokens { rest: text }.peekable();
        while let Some(token) = tokens.next() {
            match token {
                "{" => {
                    let node = tokens.next().unwrap_or_default();
                    tree.meet(node);
                    nodes.push(node);
                }
                "}" => {
                    nodes.pop();
                }
                _ => {
                    let Some(field) = token.strip_prefix(':') else {
                        continue;
                    };
                    let Some(kind) = Kind::of(field) else {
                        continue;
                    };
                    let mut values = Vec::new();
                    if tokens.next_if_eq(&"(").is_some() {
                        values.extend(
                            tokens
                                .by_ref()
                                .take_while(|t| *t != ")")
                                .filter(|t| *t != "o"),
                        );
                    } else if tokens.next_if_eq(&"<>").is_none() {
                        values.extend(tokens.next_if(|t| !t.starts_with([':', '{', '}', '('])));
                        if values.is_empty() {
                            tree.surprise = Surprise::Unknown;
                        }
                    }
                    let node = nodes.last().copied().unwrap_or_default();
                    values
                        .into_iter()
                        .for_each(|value| tree.take(kind, node, value));
                }
            }
        }
        tree
    }

    fn meet(&mut self, node: &str) {
        let surprise = match node {
            _ if NODES.binary_search(&node).is_ok() => Surprise::None,
            "SQLVALUEFUNCTION" | "XMLEXPR" | "XML" | "TABLEFUNC" | "JSONEXPR" | "JSONBEHAVIOR"
            | "TABLESAMPLECLAUSE" => Surprise::Value,
            "NEXTVALUEEXPR" | "ROWMARKCLAUSE" => Surprise::Effect,
            _ => Surprise::Unknown,
        };
        self.surprise = self.surprise.max(surprise);
    }

    fn take(&mut self, kind: Kind, node: &str, value: &str) {
        if let Kind::Attribute = kind {
            // ctid, xmin, cmin, xmax, cmax: VACUUM FULL and row locks change them. tableoid (-6) stays.
            if matches!(value, "-1" | "-2" | "-3" | "-4" | "-5") {
                self.surprise = self.surprise.max(Surprise::Value);
            }
            return;
        }
        let Ok(oid) = value.parse::<Oid>() else {
            self.surprise = Surprise::Unknown;
            return;
        };
        let list = match kind {
            _ if oid == 0 => return,
            Kind::Relation => &mut self.relations,
            Kind::Function => &mut self.functions,
            Kind::Operator => &mut self.operators,
            Kind::Type if node == "COERCEVIAIO" => &mut self.inputs,
            Kind::Type | Kind::Attribute => &mut self.types,
        };
        if !list.contains(&oid) {
            list.push(oid);
        }
    }
}

/// What the value of a field is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Relation,
    Function,
    Operator,
    Type,
    Attribute,
}

impl Kind {
    fn of(field: &str) -> Option<Kind> {
        let lower = || field.to_ascii_lowercase();
        match field {
            "relid" => Some(Kind::Relation),
            "varattno" => Some(Kind::Attribute),
            "aggfnoid" | "winfnoid" | "startInRangeFunc" | "endInRangeFunc" => Some(Kind::Function),
            "eqop" | "sortop" | "opno" | "opnos" => Some(Kind::Operator),
            // The transition state is never shown; the planner fills it in.
            "aggtranstype" => None,
            _ if field.ends_with("funcid") => Some(Kind::Function),
            _ if NOT_TYPES.contains(&field) => None,
            _ if ["type", "types", "typeid", "typid"]
                .iter()
                .any(|end| lower().ends_with(end)) =>
            {
                Some(Kind::Type)
            }
            _ => None,
        }
    }
}

/// Tokens as PostgreSQL's own reader cuts them: brackets of both kinds stand alone, a backslash escapes.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.rest.trim_start_matches([' ', '\n', '\t']);
        let bytes = text.as_bytes();
        let end = match bytes.first()? {
            b'(' | b')' | b'{' | b'}' => 1,
            _ => {
                let mut at = 0;
                while let Some(byte) = bytes.get(at) {
                    match byte {
                        b' ' | b'\n' | b'\t' | b'(' | b')' | b'{' | b'}' => break,
                        b'\\' => at += 2,
                        _ => at += 1,
                    }
                }
                // An escape may stand before a character of several bytes.
                (at..=bytes.len())
                    .find(|at| text.is_char_boundary(*at))
                    .unwrap_or(bytes.len())
            }
        };
        let (token, rest) = text.split_at(end);
        self.rest = rest;
        Some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nodes_are_sorted_for_bisection() {
        assert!(NODES.is_sorted());
    }

    #[test]
    fn fields_are_found_and_zero_is_nothing() {
        let tree = Tree::scan(
            "({QUERY :rtable ({RTE :relid 5} {RTE :relid 0}) :x {OPEXPR :opno 96 :opfuncid 65 :opresulttype 16} \
             {ROWCOMPAREEXPR :opnos (o 97 664) :largs <>} {COERCEVIAIO :arg {VAR :vartype 25} :resulttype 1184} \
             {JOINEXPR :jointype 7}})",
        );
        assert_eq!(tree.relations, [5]);
        assert_eq!(tree.functions, [65]);
        assert_eq!(tree.operators, [96, 97, 664]);
        assert_eq!(tree.types, [16, 25]);
        assert_eq!(tree.inputs, [1184]);
        assert_eq!(tree.surprise, Surprise::None);
    }

    #[test]
    fn names_cannot_hide_and_cannot_pretend() {
        let tree = Tree::scan(
            r"{ALIAS :aliasname \{SQLVALUEFUNCTION\ x :colnames <>} {FUNCEXPR :funcid 7}",
        );
        assert_eq!((tree.surprise, tree.functions), (Surprise::None, vec![7]));
        let tree = Tree::scan("{TARGETENTRY :resname :funcid :expr {FUNCEXPR :funcid 7}}");
        assert_eq!(
            (tree.surprise, tree.functions),
            (Surprise::Unknown, vec![7])
        );
    }

    #[test]
    fn unknown_nodes_and_system_columns_surprise() {
        assert_eq!(
            Tree::scan("{SQLVALUEFUNCTION :op 3 :type 1184}").surprise,
            Surprise::Value
        );
        assert_eq!(
            Tree::scan("{VAR :varattno -1 :vartype 27}").surprise,
            Surprise::Value
        );
        assert_eq!(
            Tree::scan("{VAR :varattno -6 :vartype 26}").surprise,
            Surprise::None
        );
        assert_eq!(
            Tree::scan("{ROWMARKCLAUSE :rti 1}").surprise,
            Surprise::Effect
        );
        assert_eq!(
            Tree::scan("{TABLESAMPLECLAUSE :tsmhandler 3313}").surprise,
            Surprise::Value
        );
        assert_eq!(Tree::scan("{OFNEXTYEAR :x 1}").surprise, Surprise::Unknown);
        assert_eq!(
            Tree::scan("{FUNCEXPR :funcid abc}").surprise,
            Surprise::Unknown
        );
        assert_eq!(Tree::scan("{FUNCEXPR :funcid").surprise, Surprise::Unknown);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in r"[(){}: \\a-c0-9é<>]*") {
            let _tree = Tree::scan(&text);
        }
    }
}
