//! `[[function]]`: what an operator declares of a function that Larder cannot look into.
//!
//! * A declaration is the operator's word: a wrong one makes wrong answers. So it must say something, name one thing
//!   exactly, and contradict neither itself nor another.
//! * PostgreSQL's own functions were reviewed, and cannot be declared to be something else.
//!
//! Not here: whether there is such a function (`sql::catalog`); a declaration may be meant for one database of several.

use super::Tables;
use super::values::{Words, a_table, maybe_switch};
use serde::de::value::StringDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, de::IntoDeserializer};
use std::fmt;

/// `[[function]]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Which function: without argument types every one of that name.
    pub name: FunctionName,
    /// The tables and views that its result depends on, besides its arguments, the role and the settings: `schema.table`.
    #[serde(default, deserialize_with = "tables")]
    pub reads: Option<Vec<String>>,
    /// The tables that it may change, itself or by what it calls: `schema.table`.
    #[serde(default, deserialize_with = "tables")]
    pub writes: Option<Vec<String>>,
    /// Its result depends on its arguments alone, and it changes nothing.
    #[serde(default, deserialize_with = "maybe_switch")]
    pub pure: Option<bool>,
}

/// A function's name, `schema.name` or `schema.name(type, type)`, as PostgreSQL stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionName {
    /// The schema.
    pub schema: String,
    /// The name in it.
    pub name: String,
    /// Types of the input arguments; `None`: whatever they are.
    pub arguments: Option<Vec<String>>,
}

impl fmt::Display for FunctionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)?;
        match &self.arguments {
            Some(arguments) => write!(f, "({})", arguments.join(", ")),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for FunctionName {
    type Err = String;

    fn from_str(text: &str) -> Result<FunctionName, String> {
        let (path, arguments) = match text.trim().strip_suffix(')') {
            Some(open) => {
                let (path, list) = open
                    .split_once('(')
                    .ok_or_else(|| format!("`{text}` closes a bracket that it does not open"))?;
                (path, Some(types(list, text)?))
            }
            None => (text, None),
        };
        match path.trim().split_once('.') {
            _ if path.contains(['(', ')']) => Err(format!(
                "`{text}` is no function's name: write \"schema.name\" or \"schema.name(type, type)\""
            )),
            Some((schema, name)) if !schema.is_empty() && !name.is_empty() => {
                let (schema, name) = (schema.to_owned(), name.to_owned());
                Ok(FunctionName {
                    schema,
                    name,
                    arguments,
                })
            }
            _ => Err(format!(
                "`{text}` does not name a schema: write \"schema.name\", such as \"public.{text}\""
            )),
        }
    }
}

impl<'de> Deserialize<'de> for FunctionName {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<FunctionName, D::Error> {
        super::values::parsed(d)
    }
}

fn types(list: &str, text: &str) -> Result<Vec<String>, String> {
    if list.trim().is_empty() {
        return Ok(Vec::new());
    }
    list.split(',')
        .map(|word| match word.trim() {
            word if word.is_empty() || word.contains(['(', ')']) => Err(format!(
                "`{text}`: its arguments are not types divided by commas (and without lengths)"
            )),
            word => Ok(word.to_lowercase()),
        })
        .collect()
}

/// `schema.table` each.
fn tables<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<String>>, D::Error> {
    let Words(words) = Words::deserialize(d)?;
    let one = |word: String| a_table(word.into_deserializer());
    let checked: Result<Vec<_>, serde::de::value::Error> = words.into_iter().map(one).collect();
    checked.map(Some).map_err(D::Error::custom)
}

impl Function {
    fn contradictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let name = &self.name;
        if matches!(&*name.schema, "pg_catalog" | "information_schema") {
            wrong.push(format!(
                "`{name}` is PostgreSQL's own: what it does is known and cannot be declared"
            ));
        }
        let says = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| !l.is_empty());
        if self.pure == Some(true) && (says(&self.reads) || says(&self.writes)) {
            wrong.push(format!(
                "`{name}` is declared pure, and to read or write tables: it cannot be both"
            ));
        }
        if self.pure != Some(true) && self.reads.is_none() && self.writes.is_none() {
            wrong.push(format!(
                "nothing is declared of `{name}`: say reads, writes or pure = true"
            ));
        }
        wrong
    }
}

/// What is wrong with the declarations, each and together.
pub(super) fn contradictions(functions: &[Function]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (i, function) in functions.iter().enumerate() {
        let texts = function.contradictions().into_iter();
        wrong.extend(texts.map(|text| format!("function.{i}: {text}")));
        let same = |other: &Function| other.name == function.name;
        if functions[..i].iter().any(same) {
            wrong.push(format!(
                "function.{i}: `{}` is declared already",
                function.name
            ));
        }
    }
    wrong
}

/// All tables of the file: those that are one each, and the functions.
#[derive(Default)]
pub(super) struct Everything {
    pub(super) tables: Tables,
    pub(super) functions: Vec<Function>,
}

impl<'de> Deserialize<'de> for Everything {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Everything, D::Error> {
        struct AllOf;
        impl<'de> Visitor<'de> for AllOf {
            type Value = Everything;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("tables")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Everything, A::Error> {
                let mut functions = Vec::new();
                let rest = Rest {
                    map,
                    functions: &mut functions,
                };
                let tables =
                    Tables::deserialize(serde::de::value::MapAccessDeserializer::new(rest))?;
                Ok(Everything { tables, functions })
            }
        }
        d.deserialize_map(AllOf)
    }
}

/// A map without its key `function`, which is taken out on the way.
struct Rest<'f, A> {
    map: A,
    functions: &'f mut Vec<Function>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let mut seed = Some(seed);
        while let Some(found) = self.map.next_key_seed(Key(&mut seed))? {
            if found.is_some() {
                return Ok(found);
            }
            *self.functions = self.map.next_value()?;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// A key that is not `function`; `None` for that.
struct Key<'s, K>(&'s mut Option<K>);

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, K> {
    type Value = Option<K::Value>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Option<K::Value>, D::Error> {
        let key = String::deserialize(d)?;
        match self.0.take_if(|_| key != "function") {
            Some(seed) => {
                let key: StringDeserializer<D::Error> = key.into_deserializer();
                seed.deserialize(key).map(Some)
            }
            None => Ok(None),
        }
    }
}
