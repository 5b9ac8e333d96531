//! Data types: may values of one be kept, and may a cast to one be repeated.
//!
//! * A value is fine if its output depends on nothing but the value, the key and the catalog's version: output of a
//!   regclass reads names, of an aclitem roles, input of a timetz the date.
//! * A user's cast may run where no cast is written: an implicit one between PostgreSQL's own types makes the whole
//!   database uncacheable, one of a user's type makes that type so.
//!
//! Not here: casts of text that names the clock (`'today'`): that is a matter of the statement.

use super::super::clock::{TextInput, text_input};
use super::functions::Functions;
use super::introspection::LOOKED_UP;
use super::nodetree::Tree;
use super::rows::{FIRST_NORMAL, PG_CATALOG, Place, Rows, Type};
use super::{FunctionClass, Oid, reviewed};
use crate::why::Why;
use std::collections::{HashMap, HashSet};

/// Deeper nesting of types than anybody builds.
pub(super) const DEEPEST: usize = 64;

/// PostgreSQL's own scalar types whose input function reads the clock, or the catalog. Sorted.
const INPUT_READS: &[&str] = &[
    "aclitem",
    "date",
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
];

/// Of those, the ones whose values cannot be kept. (regconfig and regdictionary are on neither list: what they read
/// raises the catalog when it changes.)
pub(super) const NEVER_KEPT: &[&str] = &[
    "aclitem",
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "timetz",
];

/// All types.
#[derive(Debug, Default)]
pub(super) struct Datatypes {
    by_oid: HashMap<Oid, Datatype>,
    by_name: HashMap<Box<str>, Vec<(Oid, Oid)>>,
    /// What users' implicit casts between PostgreSQL's own types run, anywhere.
    implicit: FunctionClass,
    /// What users' casts between PostgreSQL's own types run that INSERT and UPDATE may apply.
    assignment: FunctionClass,
}

#[derive(Clone, Copy, Debug)]
struct Datatype {
    /// Values of it in a relation or a result.
    kept: FunctionClass,
    /// A cast to it, beyond `kept`.
    cast: FunctionClass,
    /// Its input function depends on nothing but the text.
    plain_input: bool,
    /// Its values, or its elements, are text as far as is known: a cast of them reads that text.
    text: bool,
    /// PostgreSQL's own, and its input and output look names up.
    looks_up: bool,
    /// `time`, or made of it.
    time: bool,
    /// A user's, called like one of PostgreSQL's own that reads text as it stands or without the clock, and does not.
    namesake: bool,
}

struct Builder<'a> {
    types: HashMap<Oid, &'a Type>,
    columns: HashMap<Oid, Vec<Oid>>,
    checks: HashMap<Oid, Vec<Tree>>,
    functions: &'a Functions,
    poison: HashMap<Oid, Poison>,
    done: HashMap<Oid, Datatype>,
    open: HashSet<Oid>,
}

/// What users' casts add to a type.
#[derive(Clone, Copy, Debug, Default)]
struct Poison {
    kept: FunctionClass,
    cast: FunctionClass,
}

impl Poison {
    fn kept(&mut self, class: FunctionClass) {
        self.kept = self.kept.and(class);
    }

    fn cast(&mut self, class: FunctionClass) {
        self.cast = self.cast.and(class);
    }
}

impl Datatypes {
    pub(super) fn build(rows: &Rows, functions: &Functions) -> Datatypes {
        let mut builder = Builder {
            types: rows.types.iter().map(|t| (t.oid, t)).collect(),
            columns: HashMap::new(),
            checks: HashMap::new(),
            functions,
            poison: HashMap::new(),
            done: HashMap::new(),
            open: HashSet::new(),
        };
        for column in &rows.columns {
            builder
                .columns
                .entry(column.relation)
                .or_default()
                .push(column.type_oid);
        }
        for check in rows.expressions.iter().filter(|e| e.place == Place::Domain) {
            builder
                .checks
                .entry(check.owner)
                .or_default()
                .push(Tree::scan(&check.tree));
        }
        let mut types = Datatypes::default();
        builder.poison = types.casts(rows, &mut builder);
        // Which text a type reads stays; what contains a poisoned type is poisoned.
        builder.done.clear();
        for row in &rows.types {
            let found = builder.datatype(row.oid);
            types.by_oid.insert(row.oid, found);
            types
                .by_name
                .entry(row.name.clone())
                .or_default()
                .push((row.namespace, row.oid));
        }
        types
    }

    fn casts(&mut self, rows: &Rows, builder: &mut Builder<'_>) -> HashMap<Oid, Poison> {
        let mut poison: HashMap<Oid, Poison> = HashMap::new();
        for cast in &rows.casts {
            let class = match cast.method {
                b'b' => continue,
                b'f' => builder.functions.by_oid(cast.function),
                _ if builder.datatype(cast.target).plain_input => continue,
                _ => FunctionClass::reads(Why::UserType),
            };
            if class.why.is_none() {
                continue;
            }
            let class = FunctionClass {
                why: Some(Why::UserType),
                ..class
            };
            let is_user = |oid: Oid| oid >= FIRST_NORMAL;
            let written = cast.context == b'e';
            if !is_user(cast.source) && !is_user(cast.target) && !written {
                self.assignment = self.assignment.and(class);
                if cast.context == b'i' {
                    self.implicit = self.implicit.and(class);
                }
            }
            // It needs a value of its source type: from a relation, a name or a parameter. What may apply it
            // unwritten has a value of its target type in hand, or is an assignment to such a column.
            if is_user(cast.source) {
                poison.entry(cast.source).or_default().kept(class);
            }
            if is_user(cast.target) && !written {
                poison.entry(cast.target).or_default().kept(class);
            }
            if !is_user(cast.source) {
                poison.entry(cast.target).or_default().cast(class);
            }
        }
        poison
    }

    /// Values of this type, in a relation or in an answer.
    pub(super) fn kept(&self, oid: Oid) -> FunctionClass {
        self.by_oid
            .get(&oid)
            .map_or(FunctionClass::anything(Why::UserType), |t| t.kept)
    }

    /// A cast by way of text to this type.
    pub(super) fn input(&self, oid: Oid) -> FunctionClass {
        match self.by_oid.get(&oid) {
            Some(found) if found.plain_input => found.kept,
            Some(found) => FunctionClass::reads(Why::ClockColumn).and(found.kept),
            None => FunctionClass::anything(Why::UserType),
        }
    }

    /// A cast written in a statement.
    pub(super) fn named(&self, name: &str, schemas: &[Oid]) -> Option<Why> {
        let all = self.by_name.get(name).into_iter().flatten();
        all.filter(|(schema, _)| schemas.contains(schema))
            .filter_map(|(_, oid)| self.by_oid.get(oid))
            .map(|t| match t.looks_up {
                true => FunctionClass::reads(Why::CatalogMoment).and(t.cast),
                false if t.namesake => FunctionClass::reads(Why::UserType).and(t.kept).and(t.cast),
                false => t.kept.and(t.cast),
            })
            .reduce(FunctionClass::and)
            .map_or(Some(Why::UserType), |class| class.why)
    }

    /// `(e).t`, if it is a cast to this type: the text of any value may become its input.
    pub(super) fn field(&self, name: &str) -> FunctionClass {
        let all = self.by_name.get(name).into_iter().flatten();
        all.filter_map(|(_, oid)| self.by_oid.get(oid))
            .fold(FunctionClass::PURE, |class, found| {
                let own = if found.plain_input {
                    FunctionClass::PURE
                } else {
                    FunctionClass::reads(Why::ClockText)
                };
                class.and(found.kept).and(found.cast).and(own)
            })
    }

    /// Whether a cast of this type's values may read text that they hold.
    pub(super) fn is_text(&self, oid: Oid) -> bool {
        self.by_oid.get(&oid).is_none_or(|t| t.text)
    }

    pub(super) fn has_time(&self, oid: Oid) -> bool {
        self.by_oid.get(&oid).is_none_or(|t| t.time)
    }

    pub(super) fn has_time_named(&self, name: &str) -> bool {
        let mut all = self.by_name.get(name).into_iter().flatten();
        all.any(|(_, oid)| self.has_time(*oid))
    }

    pub(super) fn implicit(&self) -> FunctionClass {
        self.implicit
    }

    pub(super) fn assignment(&self) -> FunctionClass {
        self.assignment
    }
}

impl Builder<'_> {
    fn datatype(&mut self, oid: Oid) -> Datatype {
        if let Some(done) = self.done.get(&oid) {
            return *done;
        }
        if self.open.len() > DEEPEST || !self.open.insert(oid) {
            return Datatype::refused(FunctionClass::anything(Why::UserType));
        }
        let mut found = match self.types.get(&oid).copied() {
            Some(row) => self.examine(row),
            None => Datatype::refused(FunctionClass::anything(Why::UserType)),
        };
        if let Some(poison) = self.poison.get(&oid) {
            found.kept = found.kept.and(poison.kept);
            found.cast = found.cast.and(poison.cast);
        }
        let built_in = |row: &Type| row.oid < FIRST_NORMAL && row.namespace == PG_CATALOG;
        let user = self.types.get(&oid).filter(|row| !built_in(row));
        found.namesake = !found.plain_input
            && user.is_some_and(|row| text_input(&row.name) != TextInput::MayReadClock);
        self.open.remove(&oid);
        self.done.insert(oid, found);
        found
    }

    fn examine(&mut self, row: &Type) -> Datatype {
        let built_in = row.oid < FIRST_NORMAL && row.namespace == PG_CATALOG;
        if row.user_order {
            return Datatype::refused(FunctionClass::anything(Why::UserType));
        }
        match row.kind {
            b'e' => Datatype::FINE,
            b'b' if row.inner != 0 => self.datatype(row.inner).wrapped(),
            b'b' if built_in => {
                let on = |list: &[&str]| list.binary_search(&&*row.name).is_ok();
                let kept = if on(NEVER_KEPT) {
                    FunctionClass::reads(Why::ClockColumn)
                } else {
                    FunctionClass::PURE
                };
                Datatype {
                    kept,
                    plain_input: !on(INPUT_READS),
                    text: row.string || &*row.name == "char",
                    looks_up: on(LOOKED_UP),
                    time: &*row.name == "time",
                    ..Datatype::FINE
                }
            }
            b'b' if row
                .extension
                .as_deref()
                .is_some_and(reviewed::has_plain_types) =>
            {
                Datatype {
                    text: row.string,
                    ..Datatype::FINE
                }
            }
            b'm' => self.datatype(row.inner).wrapped(),
            b'r' if row.canonical == 0 || row.canonical < FIRST_NORMAL => {
                self.datatype(row.inner).wrapped()
            }
            b'd' => {
                let mut domain = self.datatype(row.inner).wrapped();
                for check in self.checks.get(&row.oid).cloned().into_iter().flatten() {
                    domain.kept = domain.kept.and(self.check(&check));
                }
                domain
            }
            b'c' if !built_in => {
                let columns = self.columns.get(&row.relation).cloned().unwrap_or_default();
                let mut found = Datatype::FINE.wrapped();
                for column in columns {
                    let column = self.datatype(column);
                    found.kept = found.kept.and(column.kept);
                    // A row that is cast to it is cast column by column.
                    found.cast = found.cast.and(column.cast);
                    found.time |= column.time;
                }
                found
            }
            // A row, an array of rows, a literal not yet typed: what is inside has types of its own.
            b'p' if matches!(&*row.name, "record" | "_record" | "unknown") && built_in => {
                Datatype {
                    text: &*row.name == "unknown",
                    ..Datatype::FINE.wrapped()
                }
            }
            b'p' => Datatype::refused(FunctionClass::reads(Why::UserType)),
            // A user's base type is written in C by a superuser; it is not known, but it writes no relation.
            _ => Datatype::refused(FunctionClass::reads(Why::UserType)),
        }
    }
}

impl Builder<'_> {
    /// A domain's CHECK: functions and operators, and text that is cast. (Other types in it are theirs.)
    fn check(&mut self, tree: &Tree) -> FunctionClass {
        let plain = tree
            .inputs
            .iter()
            .all(|oid| self.datatype(*oid).plain_input);
        let own = if plain {
            FunctionClass::PURE
        } else {
            FunctionClass::reads(Why::UserType)
        };
        let class = own.and(self.functions.of_tree(tree));
        FunctionClass {
            why: class.why.map(|_| Why::UserType),
            ..class
        }
    }
}

impl Datatype {
    const FINE: Datatype = Datatype {
        kept: FunctionClass::PURE,
        cast: FunctionClass::PURE,
        plain_input: true,
        text: false,
        looks_up: false,
        time: false,
        namesake: false,
    };

    fn refused(class: FunctionClass) -> Datatype {
        Datatype {
            kept: class,
            cast: FunctionClass::PURE,
            plain_input: false,
            text: true,
            time: true,
            ..Datatype::FINE
        }
    }

    /// As part of something whose text is read part by part.
    fn wrapped(self) -> Datatype {
        Datatype {
            plain_input: false,
            looks_up: false,
            namesake: false,
            ..self
        }
    }
}
