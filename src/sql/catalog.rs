//! The part of one database's system catalogs that analysis rests on, as loaded at one moment.
//!
//! * A catalog never changes once built: a statement is judged against one state of the schema, never a mixture.
//! * Names are resolved to every object they may mean on the path (USAGE privileges and `pg_temp` are not
//!   followed), and the worst of them counts: who may see which of them cannot make a verdict too mild.
//! * Default deny: what is not proven harmless has a reason, and a function not proven harmless writes everything.
//!
//! Not here: queries (`watch::schema`), syntax (`sql::parse`), whether a statement may be cached (`sql::verdict`).

mod blame;
mod columns;
mod datatypes;
mod declared;
mod functions;
mod inspect;
mod introspection;
mod locking;
mod nodetree;
mod relations;
mod reviewed;
pub mod rows;
mod touches;

pub use declared::{Declaration, Misdeclared, Path, Reach};
pub use locking::Locking;
pub use rows::Rows;
pub use touches::{Because, Hazard, Unbounded};

use self::columns::Columns;
use self::datatypes::Datatypes;
use self::declared::Declarations;
use self::functions::Functions;
use self::relations::Relations;
use self::touches::Touches;
use super::statement::Name;
use super::verdict::Touched;
use crate::why::Why;
use std::collections::HashMap;

/// An object's identifier (PostgreSQL manual, 8.19).
pub type Oid = u32;

/// Stands for the rows of all system catalogs: what reads any of them has its word in the stamp, what changes some
/// without raising the catalog (temporary tables, comments) touches it. (It is the number of `pg_class`.)
pub const SYSTEM_CATALOGS: Oid = 1259;

/// The schemas in which unqualified names are looked up, in order, `$user` resolved, without the implicit
/// `pg_catalog` and `pg_temp` (manual, 5.10.3).
pub type SearchPath = [Box<str>];

/// A database's catalog at one moment.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The ledger's catalog version under which the load began.
    pub version: u64,
    /// What was concluded under that version.
    pub(crate) parts: Box<Parts>,
}

/// What a catalog consists of.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    namespaces: HashMap<Box<str>, Oid>,
    functions: Functions,
    types: Datatypes,
    relations: Relations,
    columns: Columns,
    touches: Touches,
    locking: Locking,
}

/// What a name that is called like a function may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionClass {
    /// `None`: may be in a cacheable statement.
    pub why: Option<Why>,
    /// May write relations (not on the reviewed list of pg_catalog's volatile functions that write none).
    pub writes: bool,
    /// May change settings, roles or temporary objects of the session in a way the text does not show.
    pub opaque: bool,
    /// May hold locks or have other effects that make a transaction no longer clean.
    pub dirty: bool,
    /// Leaves something in its backend beyond its transaction: a lock, the seed of `random()`.
    pub leaves: bool,
}

/// How a statement writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    Insert,
    Update,
    Delete,
    Truncate { cascade: bool },
    Copy,
}

impl Catalog {
    /// Concludes everything that can be concluded before a statement is seen.
    pub fn build(version: u64, rows: Rows) -> Catalog {
        Catalog::build_with(version, rows, &[])
    }

    /// The same, with what is declared of functions.
    pub fn build_with(version: u64, rows: Rows, declared: &[Declaration]) -> Catalog {
        let namespaces = rows
            .namespaces
            .iter()
            .map(|n| (n.name.clone(), n.oid))
            .collect();
        let declared = Declarations::build(&rows, declared);
        let functions = Functions::build(&rows, declared);
        let types = Datatypes::build(&rows, &functions);
        let relations = Relations::build(&rows, &functions, &types);
        let columns = Columns::build(&rows, &types);
        let touches = Touches::build(&rows, &functions, &types);
        let parts = Parts {
            namespaces,
            functions,
            types,
            relations,
            columns,
            touches,
            locking: Locking::default(),
        };
        Catalog {
            version,
            parts: Box::new(parts),
        }
    }

    /// The same with what the database says of its locks.
    #[must_use]
    pub fn with_locks(mut self, locking: Locking) -> Catalog {
        self.parts.locking = locking.settled();
        self
    }

    /// Whether the locks that a transaction holds at its end tell what code in it has written.
    pub fn locks_tell(&self) -> bool {
        self.parts.locking.tell
    }

    /// What a transaction has written that holds locks above ROW SHARE on these relations, and whether the catalog was
    /// changed.
    pub fn written(&self, locked: &[Oid]) -> (Touched, bool) {
        self.parts.locking.written(&self.parts.relations, locked)
    }

    /// Every relation that the name may mean on this path. Empty: unknown.
    pub fn relations_named(&self, name: &Name, path: &SearchPath) -> Vec<Oid> {
        let schemas = self.schemas(name, path);
        self.parts
            .relations
            .named(&name.name)
            .iter()
            .filter(|(s, _)| schemas.contains(s))
            .map(|(_, oid)| *oid)
            .collect()
    }

    /// All that a read of this relation depends on: itself, partitions and inheritance children, for a view all
    /// below it, for a materialised view only itself. Or why it may not be cached.
    pub fn reads_of(&self, relation: Oid) -> Result<&[Oid], Why> {
        self.parts.relations.reads(relation)
    }

    /// Whether this is a system catalog, or a view of PostgreSQL's own over such, each change of which is noticed.
    pub fn introspected(&self, relation: Oid) -> bool {
        self.parts.relations.introspected(relation)
    }

    /// Whether `t.f` may be a call, with the whole row `t`.
    pub fn takes_row(&self, name: &str) -> bool {
        self.parts.functions.has_attribute(name)
    }

    /// What runs when this relation is read (functions of views, row security policies): even where `reads_of`
    /// refuses, a SELECT that runs a user's function may write.
    pub fn runs_on_read(&self, relation: Oid) -> FunctionClass {
        self.parts.relations.runs(relation)
    }

    /// What declared functions write when this relation is read.
    pub fn written_on_read(&self, relation: Oid) -> &[Oid] {
        self.parts.relations.written(relation)
    }

    /// What a write to this relation touches. INSERT … ON CONFLICT DO UPDATE is an INSERT and an UPDATE, MERGE is
    /// what its clauses are, REFRESH MATERIALIZED VIEW is an INSERT into it.
    pub fn writes_of(&self, relation: Oid, kind: WriteKind) -> Touched {
        self.touched(relation, kind).0
    }

    /// The same, and whether that is all of what a command tag counts: no declared function writes on the way.
    pub fn touched(&self, relation: Oid, kind: WriteKind) -> (Touched, bool) {
        self.parts.touches.of(&self.parts.relations, relation, kind)
    }

    /// Whether what is no DML and no DDL that raises everything (REINDEX, ANALYZE, COMMENT, CREATE TEMP TABLE) may run
    /// code that writes: an event trigger, the expression of an index.
    pub fn commands_write(&self) -> bool {
        self.parts.touches.commands()
    }

    /// The worst of all functions that a call by this name and number of arguments may mean. What it reaches by
    /// declaration is not followed.
    pub fn function(&self, name: &Name, arguments: usize, path: &SearchPath) -> FunctionClass {
        let mut reach = Reach::default();
        let class = self.call(name, arguments, path, &mut reach);
        match reach.is_nothing() {
            true => class,
            false => class.and(FunctionClass::anything(Why::UserFunction)),
        }
    }

    /// The worst of all functions that a call by this name and number of arguments may mean, with what they reach by
    /// declaration added.
    pub fn call(
        &self,
        name: &Name,
        arguments: usize,
        path: &SearchPath,
        reach: &mut Reach,
    ) -> FunctionClass {
        let schemas = self.schemas(name, path);
        let functions = &self.parts.functions;
        functions.called(&name.name, arguments, &schemas, reach)
    }

    /// Whether a call may be one of a function that PostgreSQL or a reviewed extension brings, and that does more than to
    /// give a value.
    pub fn acts(&self, name: &Name, arguments: usize, path: &SearchPath) -> bool {
        let schemas = self.schemas(name, path);
        let functions = &self.parts.functions;
        functions.acts(&name.name, arguments, Some(&schemas))
    }

    /// The same of `t.f` and `(e).f`, if that is a call.
    pub fn field_acts(&self, name: &str) -> bool {
        self.parts.functions.acts(name, 1, None)
    }

    /// Declarations of functions that do not count in this database.
    pub fn misdeclared(&self) -> &[Misdeclared] {
        self.parts.functions.misdeclared()
    }

    /// The worst of all functions of this name that are not PostgreSQL's own, anywhere; pure if there are none.
    pub fn made_by_users(&self, name: &str) -> FunctionClass {
        self.parts.functions.made_by_users(name)
    }

    /// Whether a relation has a column of type `time`, or of a type that is made of it.
    pub fn has_time(&self, relation: Oid) -> bool {
        self.parts.columns.has_time(relation)
    }

    /// Whether a type is `time` or made of it.
    pub fn type_is_time(&self, type_oid: Oid) -> bool {
        self.parts.types.has_time(type_oid)
    }

    /// Whether a type of this name, anywhere, is `time` or made of it.
    pub fn type_has_time(&self, name: &str) -> bool {
        self.parts.types.has_time_named(name)
    }

    /// Whether a function of this name, anywhere, gives a `time`.
    pub fn function_gives_time(&self, name: &str) -> bool {
        self.parts.functions.gives_time(name)
    }

    /// Why an operator of this name may not be in a cacheable statement. A user's operator may run anything.
    pub fn operator(&self, name: &Name, path: &SearchPath) -> Option<Why> {
        self.parts
            .functions
            .operator(&name.name, &self.schemas(name, path))
    }

    /// Why a cast to a type of this name may not be in a cacheable statement. A user's type may run anything.
    pub fn type_named(&self, name: &Name, path: &SearchPath) -> Option<Why> {
        self.parts
            .types
            .named(&name.name, &self.schemas(name, path))
    }

    /// Why values of a type (a parameter, a column of an answer) cannot be part of a cached answer.
    pub fn type_kept(&self, type_oid: Oid) -> Option<Why> {
        self.parts.types.kept(type_oid).why
    }

    /// What `t.f` may run, which is `f(t)` if the row `t` has no such column: any function of that name, anywhere,
    /// that takes a row.
    pub fn attribute(&self, name: &str) -> FunctionClass {
        self.parts.functions.attribute(name)
    }

    /// What `(e).f` may run, which is `f(e)`, a call or a cast, if `e` has no such field: any function of one argument
    /// and any type of that name.
    pub fn field(&self, name: &str) -> FunctionClass {
        self.parts
            .functions
            .field(name)
            .and(self.parts.types.field(name))
    }

    /// True if a column of that name, which a statement takes from one of these relations, holds no text that a cast
    /// to another type would read. The relations are those that the statement names, views as themselves.
    pub fn never_text(&self, relations: &[Oid], name: &str) -> bool {
        !self.parts.functions.has_attribute(name) && self.parts.columns.never_text(relations, name)
    }

    /// Whether a cast that an assignment makes unwritten may run a user's code.
    pub fn assigns_by_code(&self) -> bool {
        self.parts.types.assignment().writes
    }

    /// Schema and name of a relation.
    pub fn relation_name(&self, relation: Oid) -> Option<(&str, &str)> {
        self.parts.relations.name(relation)
    }

    /// Whether a relation is a view; `None`: not known.
    pub fn is_view(&self, relation: Oid) -> Option<bool> {
        let found = self.parts.relations.get(relation)?;
        Some(found.kind == b'v')
    }

    fn schemas(&self, name: &Name, path: &SearchPath) -> Vec<Oid> {
        match &name.schema {
            Some(schema) => self
                .parts
                .namespaces
                .get(schema)
                .copied()
                .into_iter()
                .collect(),
            None => {
                let found = path
                    .iter()
                    .filter_map(|s| self.parts.namespaces.get(s).copied());
                std::iter::once(rows::PG_CATALOG).chain(found).collect()
            }
        }
    }
}

impl FunctionClass {
    /// Depends on its arguments and on what is in the key, and does nothing.
    pub const PURE: FunctionClass = FunctionClass {
        why: None,
        writes: false,
        opaque: false,
        dirty: false,
        leaves: false,
    };

    /// Reads something that is not in the key, but does nothing.
    pub const fn reads(why: Why) -> FunctionClass {
        FunctionClass {
            why: Some(why),
            writes: false,
            opaque: false,
            dirty: false,
            leaves: false,
        }
    }

    /// May do anything.
    pub const fn anything(why: Why) -> FunctionClass {
        FunctionClass {
            why: Some(why),
            writes: true,
            opaque: true,
            dirty: true,
            leaves: true,
        }
    }

    /// Known to do more than to give a value; of what is a user's own nothing is known.
    pub(super) fn acts(self) -> bool {
        let known = matches!(self.why, Some(Why::VolatileFunction | Why::StableFunction));
        known && (self.writes || self.opaque || self.dirty || self.leaves)
    }

    /// Both run: the first reason, all effects.
    #[must_use]
    pub fn and(self, other: FunctionClass) -> FunctionClass {
        // What only reads the catalogs may yet be kept: any other reason is the stronger.
        let why = match (self.why, other.why) {
            (Some(Why::CatalogMoment), Some(stronger)) => Some(stronger),
            (mine, others) => mine.or(others),
        };
        FunctionClass {
            why,
            writes: self.writes || other.writes,
            opaque: self.opaque || other.opaque,
            dirty: self.dirty || other.dirty,
            leaves: self.leaves || other.leaves,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(schema: Option<&str>, name: &str) -> Name {
        Name {
            schema: schema.map(Into::into),
            name: name.into(),
        }
    }

    #[test]
    fn rows_made_by_hand_are_a_catalog() {
        let mut rows = Rows::empty_database();
        let (t, u) = (rows.table("public", "t"), rows.table("other", "t"));
        let v = rows.view("public", "v", &[t]);
        rows.builtin("lower", 1, b'i');
        rows.builtin("now", 0, b's');
        rows.function("public", "mine", 1, b'i');
        rows.operator("pg_catalog", "=");
        rows.operator("public", "%%");
        rows.named_type("pg_catalog", "int4", b'b');
        rows.named_type("public", "mood", b'e');
        let catalog = Catalog::build(3, rows);
        let path: Vec<Box<str>> = vec!["public".into(), "other".into()];
        assert_eq!(catalog.version, 3);
        assert_eq!(catalog.relations_named(&named(None, "t"), &path), [t, u]);
        assert_eq!(
            catalog.relations_named(&named(Some("other"), "t"), &path),
            [u]
        );
        assert_eq!(catalog.reads_of(v), Ok(&[t, v][..]));
        assert_eq!(
            catalog.writes_of(t, WriteKind::Update),
            Touched::Relations([t].into())
        );
        assert_eq!(
            catalog.writes_of(v, WriteKind::Update),
            Touched::Relations([t, v].into())
        );
        let function = |name, arguments| catalog.function(&named(None, name), arguments, &path);
        assert_eq!(function("lower", 1), FunctionClass::PURE);
        assert_eq!(
            function("now", 0),
            FunctionClass::reads(Why::StableFunction)
        );
        assert_eq!(
            function("mine", 1),
            FunctionClass::anything(Why::UserFunction)
        );
        assert_eq!(
            function("lower", 3),
            FunctionClass::anything(Why::UnknownFunction)
        );
        let mine = FunctionClass::anything(Why::UserFunction);
        assert_eq!(
            (catalog.attribute("mine"), catalog.field("mine")),
            (mine, mine)
        );
        assert_eq!(catalog.attribute("lower"), FunctionClass::PURE);
        assert_eq!(catalog.attribute("absent"), FunctionClass::PURE);
        assert_eq!(catalog.operator(&named(None, "="), &path), None);
        assert_eq!(
            catalog.operator(&named(None, "%%"), &path),
            Some(Why::UserOperator)
        );
        assert_eq!(catalog.type_named(&named(None, "int4"), &path), None);
        assert_eq!(catalog.type_named(&named(None, "mood"), &path), None);
        assert_eq!(
            catalog.type_named(&named(None, "text"), &path),
            Some(Why::UserType)
        );
    }

    #[test]
    fn an_empty_catalog_knows_nothing_and_allows_nothing() {
        let catalog = Catalog::default();
        assert!(catalog.relations_named(&named(None, "t"), &[]).is_empty());
        assert_eq!(catalog.reads_of(1), Err(Why::UnknownRelation));
        assert_eq!(catalog.writes_of(1, WriteKind::Delete), Touched::Everything);
        assert!(catalog.function(&named(None, "lower"), 1, &[]).writes);
    }

    #[test]
    fn views_over_themselves_and_very_deep_ones_end() {
        let mut rows = Rows::empty_database();
        let mut below = rows.table("public", "t");
        for depth in 0..5_000 {
            below = rows.view("public", &format!("v{depth}"), &[below]);
        }
        let (a, b) = (
            rows.relation("public", "a", b'v'),
            rows.relation("public", "b", b'v'),
        );
        for (view, reads) in [(a, b), (b, a)] {
            let action = format!("({{QUERY :rtable ({{RTE :relid {reads}}})}})").into();
            rows.rules.push(rows::Rule {
                relation: view,
                view: true,
                action,
            });
        }
        rows.relations.reverse();
        let catalog = Catalog::build(1, rows);
        assert_eq!(catalog.reads_of(below), Err(Why::OpaqueView));
        assert_eq!(catalog.reads_of(a), Err(Why::OpaqueView));
    }
}
