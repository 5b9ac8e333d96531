//! What an operator has declared of functions, held against the catalog.
//!
//! * A declaration that names a relation which is not there does not count at all: half of what a function does is not
//!   what it does.
//! * One with argument types is about that function alone, and wins over one without.
//! * What a function reaches is never dropped on the way: who cannot follow it must treat the function as undeclared.
//!
//! Not here: what a write to a relation touches besides (`touches`), what a read of it depends on (`relations`).

use super::rows::{FIRST_NORMAL, Function, PG_CATALOG, Rows, Type};
use super::{FunctionClass, Oid};
use crate::why::Why;
use std::collections::HashMap;
use std::fmt;

/// One declaration, as it was written. Names are as PostgreSQL stores them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declaration {
    /// The function's schema.
    pub schema: Box<str>,
    /// Its name there.
    pub name: Box<str>,
    /// Types of its input arguments, in lower case; `None`: every function of that name.
    pub arguments: Option<Box<[Box<str>]>>,
    /// What its result depends on besides its arguments and what is in the key; `None`: that is not known.
    pub reads: Option<Box<[Path]>>,
    /// What it may change.
    pub writes: Box<[Path]>,
}

/// Schema and name of a relation.
pub type Path = (Box<str>, Box<str>);

/// The relations that declared functions read and write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Results depend on these.
    pub reads: Vec<Oid>,
    /// Rows of these may change in any way.
    pub writes: Vec<Oid>,
}

impl Reach {
    /// Whether it is no relation at all.
    pub fn is_nothing(&self) -> bool {
        self.reads.is_empty() && self.writes.is_empty()
    }

    pub(super) fn add(&mut self, other: &Reach) {
        self.reads.extend_from_slice(&other.reads);
        self.writes.extend_from_slice(&other.writes);
    }
}

/// Why a declaration does not count in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misdeclared {
    /// There is no such function; it may be meant for another database.
    NoFunction(Box<str>),
    /// It names a relation that is not there or is a system catalog.
    NoRelation {
        /// The function.
        function: Box<str>,
        /// What it names.
        relation: Box<str>,
    },
}

impl fmt::Display for Misdeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misdeclared::NoFunction(function) => {
                write!(
                    f,
                    "a function is declared that is not in this database: {function}"
                )
            }
            Misdeclared::NoRelation { function, relation } => write!(
                f,
                "the declaration of {function} does not count: there is no table or view {relation} here"
            ),
        }
    }
}

/// What was declared of one function.
#[derive(Clone, Debug)]
struct Declared {
    class: FunctionClass,
    reach: Reach,
}

/// All that counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Declarations {
    by_function: HashMap<Oid, Declared>,
    pub(super) wrong: Vec<Misdeclared>,
}

impl Declarations {
    pub(super) fn build(rows: &Rows, written: &[Declaration]) -> Declarations {
        let mut declarations = Declarations::default();
        // Those with types last, so that they win.
        let mut all: Vec<_> = written.iter().collect();
        all.sort_by_key(|declared| declared.arguments.is_some());
        for declaration in all {
            let meant = functions(rows, declaration);
            if meant.is_empty() {
                let function = named(declaration);
                declarations.wrong.push(Misdeclared::NoFunction(function));
                continue;
            }
            let declared = Declared::of(rows, declaration);
            for function in meant {
                match &declared {
                    Ok(declared) => declarations.by_function.insert(function, declared.clone()),
                    // What was said of it without types does not hold for it either.
                    Err(_) => declarations.by_function.remove(&function),
                };
            }
            declarations.wrong.extend(declared.err());
        }
        declarations
    }

    /// What was declared of a function, with what it reaches added.
    pub(super) fn of(&self, function: Oid, reach: &mut Reach) -> Option<FunctionClass> {
        let declared = self.by_function.get(&function)?;
        reach.add(&declared.reach);
        Some(declared.class)
    }

    pub(super) fn has(&self, function: Oid) -> bool {
        self.by_function.contains_key(&function)
    }
}

impl Declared {
    fn of(rows: &Rows, declaration: &Declaration) -> Result<Declared, Misdeclared> {
        let all = |paths: &[Path]| -> Result<Vec<Oid>, Misdeclared> {
            let find = |path| {
                relation(rows, path).ok_or_else(|| Misdeclared::NoRelation {
                    function: named(declaration),
                    relation: format!("{}.{}", path.0, path.1).into(),
                })
            };
            paths.iter().map(find).collect()
        };
        let reads = all(declaration.reads.as_deref().unwrap_or_default())?;
        let writes = all(&declaration.writes)?;
        let class = if declaration.reads.is_some() && writes.is_empty() {
            FunctionClass::PURE
        } else {
            // A hit would not do what it does, or what it reads is not known. It may lock rows.
            FunctionClass {
                dirty: true,
                ..FunctionClass::reads(Why::UserFunction)
            }
        };
        let reach = Reach { reads, writes };
        Ok(Declared { class, reach })
    }
}

fn named(declaration: &Declaration) -> Box<str> {
    let Declaration { schema, name, .. } = declaration;
    match &declaration.arguments {
        Some(arguments) => format!("{schema}.{name}({})", arguments.join(", ")).into(),
        None => format!("{schema}.{name}").into(),
    }
}

fn relation(rows: &Rows, (schema, name): &Path) -> Option<Oid> {
    let schema = rows.namespaces.iter().find(|n| n.name == *schema)?.oid;
    let found = rows.relations.iter().find(|r| {
        r.namespace == schema && r.name == *name && r.kind != b'c' && r.persistence != b't'
    })?;
    (found.oid >= FIRST_NORMAL && schema != PG_CATALOG).then_some(found.oid)
}

/// The functions that a declaration is about.
fn functions(rows: &Rows, declaration: &Declaration) -> Vec<Oid> {
    let schema = rows
        .namespaces
        .iter()
        .find(|n| n.name == declaration.schema);
    let Some(schema) = schema.map(|n| n.oid).filter(|oid| *oid != PG_CATALOG) else {
        return Vec::new();
    };
    let meant = |function: &&Function| {
        function.namespace == schema
            && function.name == declaration.name
            && declaration.arguments.as_ref().is_none_or(|arguments| {
                arguments.len() == function.arguments.len()
                    && arguments
                        .iter()
                        .zip(&function.arguments)
                        .all(|(word, oid)| is_type(rows, word, *oid, schema))
            })
    };
    rows.functions.iter().filter(meant).map(|f| f.oid).collect()
}

/// Whether a type is what that word means: PostgreSQL's own, or one of the function's own schema, or with its schema.
fn is_type(rows: &Rows, word: &str, oid: Oid, schema: Oid) -> bool {
    let Some(found) = rows.types.iter().find(|t| t.oid == oid) else {
        return false;
    };
    if let Some(element) = word.strip_suffix("[]") {
        let array = found.kind == b'b' && found.inner != 0;
        return array && is_type(rows, element.trim_end(), found.inner, schema);
    }
    let has_name = |found: &Type, name: &str| found.name.to_lowercase() == name;
    match word.split_once('.') {
        Some((of, name)) => {
            let is_of = |n: &&super::rows::Namespace| n.name.to_lowercase() == of;
            let mut all = rows.namespaces.iter().filter(is_of);
            has_name(found, name) && all.any(|n| n.oid == found.namespace)
        }
        None => {
            [PG_CATALOG, schema].contains(&found.namespace) && has_name(found, stored_name(word))
        }
    }
}

/// How `pg_type` calls what SQL has other words for (PostgreSQL manual, table 8.1).
fn stored_name(word: &str) -> &str {
    match word {
        "bigint" => "int8",
        "integer" | "int" => "int4",
        "smallint" => "int2",
        "boolean" => "bool",
        "real" => "float4",
        "double precision" | "float" => "float8",
        "decimal" => "numeric",
        "character varying" => "varchar",
        "character" | "char" => "bpchar",
        "bit varying" => "varbit",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        other => other,
    }
}

#[cfg(test)]
mod declared_tests;
