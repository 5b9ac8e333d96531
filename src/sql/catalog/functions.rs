//! Functions and operators by name, each with what it may do.
//!
//! * `t.f` is `f(t)` where `t` is a row without such a column: every function that takes a row counts for it, the
//!   system's own too (`t.pg_typeof`), and where a row can be cast, every function of one argument.
//! * `(e).f` is `f(e)` for a value of any type (`(made).age` reads the clock).
//! * A function that takes or gives values that cannot be kept (timetz, regclass) can be named without a word of
//!   them (`timetz_larger($1, $2)`). Where others of its name take other types, PostgreSQL prefers those for what
//!   has no type yet.
//! * Where what a declared function reaches is not followed (operators, casts, `t.f`), it counts as undeclared unless it
//!   reaches nothing.

use super::datatypes::{DEEPEST, NEVER_KEPT};
use super::declared::{Declarations, Misdeclared, Reach};
use super::nodetree::{Surprise, Tree};
use super::rows::{FIRST_NORMAL, Function, PG_CATALOG, Rows, Type};
use super::{FunctionClass, Oid, reviewed};
use crate::why::Why;
use std::collections::HashMap;

/// One function as a call sees it.
#[derive(Clone, Debug)]
struct Candidate {
    oid: Oid,
    namespace: Oid,
    least: usize,
    most: usize,
    class: FunctionClass,
    /// Takes or gives a type whose values cannot be kept.
    unkept: bool,
    gives_time: bool,
}

/// All functions and operators.
#[derive(Debug, Default)]
pub(super) struct Functions {
    by_name: HashMap<Box<str>, Vec<Candidate>>,
    by_oid: HashMap<Oid, FunctionClass>,
    operators: HashMap<Box<str>, Vec<(Oid, FunctionClass)>>,
    operator_by_oid: HashMap<Oid, FunctionClass>,
    /// What may be called with a row as its only argument.
    of_rows: HashMap<Box<str>, FunctionClass>,
    /// A user's cast takes rows.
    row_casts: bool,
    declared: Declarations,
}

/// The types that tell what a function can be called with.
struct Types<'a> {
    by_oid: HashMap<Oid, &'a Type>,
}

impl Types<'_> {
    /// May be the type of a row, as far as is known.
    fn takes_rows(&self, mut oid: Oid) -> bool {
        for _ in 0..DEEPEST {
            match self.by_oid.get(&oid) {
                Some(domain) if domain.kind == b'd' => oid = domain.inner,
                Some(found) => return matches!(found.kind, b'c' | b'p'),
                None => return true,
            }
        }
        true
    }

    /// Whether the type or its elements are PostgreSQL's own and called like one of these (sorted).
    fn called(&self, oid: Oid, names: &[&str]) -> bool {
        self.and_element(oid)
            .any(|t| t.namespace == PG_CATALOG && names.binary_search(&&*t.name).is_ok())
    }

    /// Whether what sorts and compares values of this type is a user's.
    fn user_order(&self, oid: Oid) -> bool {
        self.and_element(oid).any(|t| t.user_order)
    }

    fn and_element(&self, oid: Oid) -> impl Iterator<Item = &Type> {
        let found = self.by_oid.get(&oid).copied();
        let element = found.and_then(|found| self.by_oid.get(&found.inner).copied());
        found.into_iter().chain(element)
    }
}

impl Candidate {
    fn of(row: &Function, types: &Types<'_>) -> Candidate {
        let arguments = row.arguments.len();
        let variadic = row.variadic != 0;
        let left_out = usize::from(row.defaults).max(usize::from(variadic));
        let (least, most) = match row.kind {
            b'o' => (0, usize::MAX),
            _ if variadic => (arguments.saturating_sub(left_out), usize::MAX),
            _ => (arguments.saturating_sub(left_out), arguments),
        };
        let unkept = row
            .arguments
            .iter()
            .chain([&row.result])
            .any(|t| types.called(*t, NEVER_KEPT));
        // Values whose type nothing in the statement names may be sorted by a user's function.
        let made =
            types.user_order(row.result) && !row.arguments.iter().any(|t| types.user_order(*t));
        let class = match made {
            true => class_of(row).and(FunctionClass::anything(Why::UserType)),
            false => class_of(row),
        };
        Candidate {
            oid: row.oid,
            namespace: row.namespace,
            least,
            most,
            class,
            unkept,
            gives_time: types.called(row.result, &["time"]),
        }
    }

    fn takes(&self, arguments: usize) -> bool {
        (self.least..=self.most).contains(&arguments)
    }
}

impl Functions {
    pub(super) fn build(rows: &Rows, declared: Declarations) -> Functions {
        let mut functions = Functions {
            declared,
            ..Functions::default()
        };
        let types = Types {
            by_oid: rows.types.iter().map(|t| (t.oid, t)).collect(),
        };
        functions.row_casts = rows.casts.iter().any(|cast| types.takes_rows(cast.source));
        for row in &rows.functions {
            let mut candidate = Candidate::of(row, &types);
            let mut reach = Reach::default();
            if let Some(class) = functions.declared.of(row.oid, &mut reach)
                && reach.is_nothing()
            {
                candidate.class = class;
            }
            // In what is stored (views, checks) no stamp would say what it read.
            let class = match candidate.class.why {
                Some(Why::CatalogMoment) => FunctionClass::reads(Why::StableFunction),
                _ => candidate.class,
            };
            let element = Some(row.variadic).filter(|t| *t != 0 && row.arguments.len() == 1);
            let mut first = row.arguments.first().copied().into_iter().chain(element);
            if candidate.takes(1) && first.any(|t| types.takes_rows(t)) {
                let known = functions.of_rows.entry(row.name.clone());
                let known = known.or_insert(FunctionClass::PURE);
                *known = known.and(class);
            }
            functions.by_oid.insert(row.oid, class);
            functions
                .by_name
                .entry(row.name.clone())
                .or_default()
                .push(candidate);
        }
        functions.read_extract_as_date_part();
        for row in &rows.operators {
            let class = match functions.by_oid.get(&row.function) {
                Some(class) if class.why.is_none() => FunctionClass::PURE,
                Some(class) => FunctionClass {
                    why: Some(Why::UserOperator),
                    ..*class
                },
                None => FunctionClass::anything(Why::UserOperator),
            };
            functions.operator_by_oid.insert(row.oid, class);
            functions
                .operators
                .entry(row.name.clone())
                .or_default()
                .push((row.namespace, class));
        }
        functions
    }

    /// PostgreSQL 13 reads EXTRACT as `date_part`, the grammar here as `extract`.
    fn read_extract_as_date_part(&mut self) {
        let Some(parts) = self.by_name.get("date_part").cloned() else {
            return;
        };
        let all = self.by_name.entry("extract".into()).or_default();
        if !all.iter().any(|c| c.namespace == PG_CATALOG) {
            all.extend(parts.into_iter().filter(|c| c.namespace == PG_CATALOG));
        }
    }

    /// What a call may do, with what it reaches by declaration added.
    pub(super) fn called(
        &self,
        name: &str,
        arguments: usize,
        schemas: &[Oid],
        reach: &mut Reach,
    ) -> FunctionClass {
        let all = self.by_name.get(name).into_iter().flatten();
        let all = all.filter(|c| schemas.contains(&c.namespace) && c.takes(arguments));
        let class = |c: &Candidate| self.declared.of(c.oid, reach).unwrap_or(c.class);
        worst(all, class).unwrap_or(FunctionClass::anything(Why::UnknownFunction))
    }

    /// Whether a call may be one of a function that is known, is nobody's own, and does more than to give a value.
    pub(super) fn acts(&self, name: &str, arguments: usize, schemas: Option<&[Oid]>) -> bool {
        let all = self.by_name.get(name).into_iter().flatten();
        let mut all = all.filter(|c| c.takes(arguments));
        let within = |c: &Candidate| schemas.is_none_or(|all| all.contains(&c.namespace));
        all.any(|c| within(c) && c.class.acts())
    }

    pub(super) fn made_by_users(&self, name: &str) -> FunctionClass {
        let all = self.by_name.get(name).into_iter().flatten();
        let all = all.filter(|c| c.namespace != PG_CATALOG);
        worst(all, |c| c.class).unwrap_or(FunctionClass::PURE)
    }

    pub(super) fn gives_time(&self, name: &str) -> bool {
        let mut all = self.by_name.get(name).into_iter().flatten();
        all.any(|c| c.gives_time)
    }

    /// `t.f`, if it is a call.
    pub(super) fn attribute(&self, name: &str) -> FunctionClass {
        if self.row_casts {
            return self.field(name);
        }
        self.of_rows
            .get(name)
            .copied()
            .unwrap_or(FunctionClass::PURE)
    }

    /// Whether `t.f` may be a call.
    pub(super) fn has_attribute(&self, name: &str) -> bool {
        self.row_casts || self.of_rows.contains_key(name)
    }

    /// `(e).f`, if it is a call.
    pub(super) fn field(&self, name: &str) -> FunctionClass {
        let all = self.by_name.get(name).into_iter().flatten();
        worst(all.filter(|c| c.takes(1)), |c| c.class).unwrap_or(FunctionClass::PURE)
    }

    pub(super) fn operator(&self, name: &str, schemas: &[Oid]) -> Option<Why> {
        let all = self.operators.get(name).into_iter().flatten();
        all.filter(|(schema, _)| schemas.contains(schema))
            .map(|(_, class)| *class)
            .reduce(FunctionClass::and)
            .map_or(Some(Why::UserOperator), |class| class.why)
    }

    /// A function called by a stored expression.
    pub(super) fn by_oid(&self, oid: Oid) -> FunctionClass {
        let unknown = FunctionClass::anything(Why::UnknownFunction);
        self.by_oid.get(&oid).copied().unwrap_or(unknown)
    }

    /// The same, with what it reaches by declaration added.
    pub(super) fn reaching(&self, oid: Oid, reach: &mut Reach) -> FunctionClass {
        let declared = self.declared.of(oid, reach);
        declared.unwrap_or_else(|| self.by_oid(oid))
    }

    /// Whether that function is declared.
    pub(super) fn is_declared(&self, oid: Oid) -> bool {
        self.declared.has(oid)
    }

    /// Declarations that do not count here.
    pub(super) fn misdeclared(&self) -> &[Misdeclared] {
        &self.declared.wrong
    }

    /// All functions and operators that a stored expression calls, and what it has of its own.
    pub(super) fn of_tree(&self, tree: &Tree) -> FunctionClass {
        let functions = tree.functions.iter().map(|oid| self.by_oid(*oid));
        functions.fold(self.of_tree_itself(tree), FunctionClass::and)
    }

    /// The same, with what its functions reach by declaration added.
    pub(super) fn of_tree_reaching(&self, tree: &Tree, reach: &mut Reach) -> FunctionClass {
        let functions = tree.functions.iter();
        functions
            .map(|oid| self.reaching(*oid, reach))
            .fold(self.of_tree_itself(tree), FunctionClass::and)
    }

    fn of_tree_itself(&self, tree: &Tree) -> FunctionClass {
        let own = match tree.surprise {
            Surprise::None => FunctionClass::PURE,
            Surprise::Value => FunctionClass::reads(Why::OpaqueView),
            Surprise::Effect => FunctionClass {
                dirty: true,
                ..FunctionClass::reads(Why::OpaqueView)
            },
            Surprise::Unknown => FunctionClass::anything(Why::OpaqueView),
        };
        let operators = tree.operators.iter().map(|oid| self.operator_by_oid(*oid));
        operators.fold(own, FunctionClass::and)
    }

    /// Name and schema of a function. For people: it looks through them all.
    pub(super) fn name_of(&self, oid: Oid) -> Option<(Oid, &str)> {
        self.by_name.iter().find_map(|(name, all)| {
            let found = all.iter().find(|candidate| candidate.oid == oid)?;
            Some((found.namespace, &**name))
        })
    }

    /// An operator used by a stored expression.
    pub(super) fn operator_by_oid(&self, oid: Oid) -> FunctionClass {
        let unknown = FunctionClass::anything(Why::UserOperator);
        self.operator_by_oid.get(&oid).copied().unwrap_or(unknown)
    }
}

/// What any of these may do; `None` if there are none.
fn worst<'a>(
    candidates: impl Iterator<Item = &'a Candidate>,
    class: impl FnMut(&'a Candidate) -> FunctionClass,
) -> Option<FunctionClass> {
    let mut unkept = true;
    let class = candidates
        .inspect(|c| unkept &= c.unkept)
        .map(class)
        .reduce(FunctionClass::and)?;
    // What looks names up gives what it found, and that is watched.
    Some(if unkept && class.why != Some(Why::CatalogMoment) {
        class.and(FunctionClass::reads(Why::ClockColumn))
    } else {
        class
    })
}

fn built_in(row: &Function) -> bool {
    row.oid < FIRST_NORMAL && row.namespace == PG_CATALOG
}

fn class_of(row: &Function) -> FunctionClass {
    match &row.extension {
        _ if !row.trusted_language => FunctionClass::anything(Why::UserFunction),
        // What information_schema has for itself is SQL over its arguments.
        _ if row.oid < FIRST_NORMAL && &*row.name == "_pg_expandarray" => FunctionClass::PURE,
        _ if row.range_constructor => FunctionClass::PURE,
        _ if built_in(row) => reviewed::built_in(&row.name, row.volatility),
        Some(extension) => reviewed::of_extension(extension, &row.name, row.volatility),
        None => FunctionClass::anything(Why::UserFunction),
    }
}
