//! A reader of `pg_node_tree`, made for the oracle alone.
//!
//! * It shares nothing with the analysis' own scanner: this one builds the whole tree and then asks every node for
//!   every field, whatever the node is called, so that what one of the two overlooks, the other sees.
//! * It knows names of fields, not of nodes: a node of a later PostgreSQL is looked into like any other.

use std::collections::BTreeSet;

/// One value of a field.
#[derive(Clone, Debug)]
pub enum Value {
    Node(Node),
    List(Vec<Value>),
    Atom(String),
}

/// `{NAME :field value … :field value …}`.
#[derive(Clone, Debug)]
pub struct Node {
    pub name: String,
    pub fields: Vec<(String, Vec<Value>)>,
}

/// A constant: its type and its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Constant {
    pub type_oid: u32,
    pub bytes: Vec<u8>,
}

/// All that a tree names.
#[derive(Clone, Debug, Default)]
pub struct Named {
    pub relations: BTreeSet<u32>,
    pub functions: BTreeSet<u32>,
    pub operators: BTreeSet<u32>,
    pub types: BTreeSet<u32>,
    /// Target types of casts by way of text, of something that is not a constant.
    pub inputs: BTreeSet<u32>,
    pub constants: BTreeSet<Constant>,
    /// What is no function and yet depends on more than the rows read.
    pub notes: BTreeSet<String>,
}

impl Named {
    pub fn add(&mut self, other: &Named) {
        self.relations.extend(&other.relations);
        self.functions.extend(&other.functions);
        self.operators.extend(&other.operators);
        self.types.extend(&other.types);
        self.inputs.extend(&other.inputs);
        self.constants.extend(other.constants.iter().cloned());
        self.notes.extend(other.notes.iter().cloned());
    }
}

/// Reads a tree; panics where PostgreSQL could not read it either.
pub fn read(text: &str) -> Value {
    let tokens = tokens(text);
    let mut at = 0;
    let mut all = Vec::new();
    while at < tokens.len() {
        all.push(value(&tokens, &mut at));
    }
    Value::List(all)
}

/// As PostgreSQL cuts them: brackets stand alone, and a backslash makes the next character part of the word (it is kept,
/// so that an escaped bracket or colon is none).
fn tokens(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let mut all = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let from = at;
        match bytes[at] {
            b' ' | b'\n' | b'\t' => {
                at += 1;
                continue;
            }
            b'(' | b')' | b'{' | b'}' => at += 1,
            _ => {
                while at < bytes.len() && !b" \n\t(){}".contains(&bytes[at]) {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                while at < bytes.len() && !text.is_char_boundary(at) {
                    at += 1;
                }
            }
        }
        all.push(&text[from..at.min(text.len())]);
    }
    all
}

fn value(tokens: &[&str], at: &mut usize) -> Value {
    let token = tokens[*at];
    *at += 1;
    match token {
        "{" => {
            let mut node = Node {
                name: tokens[*at].to_owned(),
                fields: Vec::new(),
            };
            *at += 1;
            while tokens[*at] != "}" {
                if let Some(field) = tokens[*at].strip_prefix(':') {
                    node.fields.push((field.to_owned(), Vec::new()));
                    *at += 1;
                } else {
                    let found = value(tokens, at);
                    let last = node.fields.last_mut();
                    last.expect("a value without a field").1.push(found);
                }
            }
            *at += 1;
            Value::Node(node)
        }
        "(" => {
            let mut list = Vec::new();
            while tokens[*at] != ")" {
                list.push(value(tokens, at));
            }
            *at += 1;
            Value::List(list)
        }
        _ => Value::Atom(token.to_owned()),
    }
}

/// Everything that the tree names.
pub fn named(tree: &Value) -> Named {
    let mut found = Named::default();
    let mut work = vec![tree];
    while let Some(value) = work.pop() {
        match value {
            Value::Atom(_) => {}
            Value::List(list) => work.extend(list),
            Value::Node(node) => {
                node.note(&mut found);
                for (field, values) in &node.fields {
                    node.field(field, values, &mut found);
                    work.extend(values);
                }
            }
        }
    }
    found
}

/// Fields that end like a type's and are none.
const NO_TYPES: &[&str] = &[
    "booltesttype",
    "cmptype",
    "commandtype",
    "format_type",
    "item_type",
    "jointype",
    "nulltesttype",
    "rctype",
    "rowcomparetype",
    "sublinktype",
];

impl Node {
    fn get(&self, field: &str) -> &[Value] {
        let found = self.fields.iter().find(|(name, _)| name == field);
        found.map_or(&[], |(_, values)| values)
    }

    fn atom(&self, field: &str) -> &str {
        match self.get(field) {
            [Value::Atom(atom), ..] => atom,
            _ => "",
        }
    }

    fn field(&self, field: &str, values: &[Value], found: &mut Named) {
        let lower = field.to_ascii_lowercase();
        let functions = ["func", "funcid", "fnoid", "handler"];
        let operators = ["opno", "opnos", "sortop", "eqop", "neop", "eqops"];
        let types = ["type", "types", "typeid", "typid", "typeids"];
        let ends = |all: &[&str]| all.iter().any(|end| lower.ends_with(end));
        // What the constructor makes, by number.
        if lower == "type" && self.name == "JSONCONSTRUCTOREXPR" {
            return;
        }
        let into = if lower == "relid" || lower == "resorigtbl" {
            &mut found.relations
        } else if ends(&operators) {
            &mut found.operators
        } else if ends(&functions) {
            &mut found.functions
        } else if ends(&types) && !NO_TYPES.contains(&lower.as_str()) {
            &mut found.types
        } else {
            return;
        };
        let mut work: Vec<&Value> = values.iter().collect();
        while let Some(value) = work.pop() {
            match value {
                Value::List(list) => work.extend(list),
                Value::Atom(atom) => into.extend(atom.parse::<u32>().ok().filter(|oid| *oid != 0)),
                Value::Node(_) => {}
            }
        }
    }

    fn note(&self, found: &mut Named) {
        match self.name.as_str() {
            // Not functions in the tree, but as good as functions that read the clock, the role, a setting, a counter.
            "SQLVALUEFUNCTION" | "NEXTVALUEEXPR" | "XMLEXPR" | "XML" | "TABLEFUNC" | "JSONEXPR"
            | "TABLESAMPLECLAUSE" | "ROWMARKCLAUSE" | "CURRENTOFEXPR" => {
                found.notes.insert(self.name.clone());
            }
            "VAR" if matches!(self.atom("varattno"), "-1" | "-3" | "-4" | "-5") => {
                found.notes.insert("system column".into());
            }
            "CONST" => self.constant(found),
            "COERCEVIAIO" if !self.get("arg").iter().all(is_constant) => {
                found.inputs.extend(self.atom("resulttype").parse::<u32>());
            }
            _ => {}
        }
    }

    fn constant(&self, found: &mut Named) {
        let Ok(type_oid) = self.atom("consttype").parse() else {
            return;
        };
        // `4 [ 1 0 0 0 0 0 0 0 ]`
        let bytes = self.get("constvalue").iter().filter_map(|v| match v {
            Value::Atom(atom) => Some(atom.as_str()),
            _ => None,
        });
        let bytes = bytes.skip_while(|word| *word != "[").skip(1);
        let bytes = bytes.take_while(|word| *word != "]");
        let bytes = bytes.filter_map(|word| word.parse::<i16>().ok());
        found.constants.insert(Constant {
            type_oid,
            bytes: bytes.map(|byte| byte.to_le_bytes()[0]).collect(),
        });
    }
}

/// A constant, or a constant cast to another type; its text is looked at where it stands.
fn is_constant(value: &Value) -> bool {
    match value {
        Value::Node(node) => match node.name.as_str() {
            "CONST" => true,
            "RELABELTYPE" | "COERCEVIAIO" | "COLLATEEXPR" | "COLLATE" => {
                node.get("arg").iter().all(is_constant)
            }
            _ => false,
        },
        _ => false,
    }
}

#[test]
fn a_tree_is_read_whole() {
    let text = r#"({QUERY :rtable ({RTE :relid 5 :alias {ALIAS :aliasname \:x\ \{ :colnames ("a" "b\ \)")}})
        :jointree {FROMEXPR :quals {OPEXPR :opno 96 :opfuncid 65 :opresulttype 16 :args ({VAR :varattno -1 :vartype 27}
        {CONST :consttype 23 :constvalue 4 [ 7 0 0 -1 0 0 0 0 ]})}} :rowMarks <>
        {COERCEVIAIO :arg {CONST :consttype 25} :resulttype 1082} {ROWCOMPAREEXPR :opnos (o 97 664)}
        {COERCEVIAIO :arg {VAR :vartype 25 :varattno 2} :resulttype 1184} {SUBLINK :subLinkType 3}
        {SQLVALUEFUNCTION :op 3 :type 1184}})"#;
    // PostgreSQL writes values without a field nowhere; the last lines stand in one.
    let text = text
        .replace(":rowMarks <>", ":rowMarks ")
        .replace("{SQLVALUE", " {SQLVALUE");
    let found = named(&read(&text));
    assert_eq!(found.relations, BTreeSet::from([5]));
    assert_eq!(found.functions, BTreeSet::from([65]));
    assert_eq!(found.operators, BTreeSet::from([96, 97, 664]));
    assert_eq!(found.types, BTreeSet::from([16, 23, 25, 27, 1082, 1184]));
    assert_eq!(found.inputs, BTreeSet::from([1184]));
    let notes: Vec<&str> = found.notes.iter().map(String::as_str).collect();
    assert_eq!(notes, ["SQLVALUEFUNCTION", "system column"]);
    assert!(
        found
            .constants
            .iter()
            .any(|c| c.bytes == [7, 0, 0, 255, 0, 0, 0, 0])
    );
}
