//! What a statement reads and writes, resolved against the catalog. The only place that makes a [`Cacheable`].
//!
//! * Default deny: a name that the catalog does not have, and every name while there is no catalog, may be anything.
//! * A SELECT writes what the functions, operators and views in it may write.
//! * Code that may write anything may also change the session: it is opaque. The catalog is raised only by
//!   statements that say so (DDL, DO, CALL and such, writes to system catalogs). What a function creates or revokes is
//!   told at the COMMIT of a block, or found by the catalog's digest, like DDL made past Larder: raising the catalog for
//!   every trigger would end all caching.
//!
//! Not here: syntax (`parse`), transactions and settings (the session's).

mod trusting;

pub use trusting::{may_overrule, resolve_trusting};

use super::catalog::{Catalog, FunctionClass, Oid, Reach, SYSTEM_CATALOGS, SearchPath, WriteKind};
use super::query::Query;
use super::statement::{Discard, Name, Statement};
use crate::why::Why;

/// Proof that a statement's answer depends on nothing but these relations, its key and the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cacheable {
    relations: Box<[Oid]>,
}

impl Cacheable {
    /// Sorted, distinct, never empty: base tables, materialised views, partitions, and the views between.
    pub fn relations(&self) -> &[Oid] {
        &self.relations
    }

    /// Whether it reads system catalogs: then it is of one moment only if it is alone in its transaction.
    pub fn of_catalogs(&self) -> bool {
        self.relations.binary_search(&SYSTEM_CATALOGS).is_ok()
    }
}

/// What is no longer what it was once the statement has committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Touched {
    #[default]
    Nothing,
    /// Sorted and distinct.
    Relations(Box<[Oid]>),
    /// Opaque: every relation of the database.
    Everything,
}

/// What one statement does.
#[derive(Clone, Debug)]
pub struct Effect {
    pub reads: Result<Cacheable, Why>,
    pub writes: Touched,
    /// DDL, GRANT, role changes: the catalog itself is raised.
    pub catalog: bool,
    /// Ends the cleanness of a transaction: writes, locks, cursors, advisory locks, anything opaque.
    pub dirty: bool,
    /// May have changed settings, role or temporary objects unseen: the session must be re-read.
    pub opaque: bool,
    /// Leaves something in its backend beyond its transaction.
    pub leaves: bool,
    /// The locks that its transaction holds at its end tell what it has written.
    pub told: bool,
    /// The command tag counts all that it changes: with a count of zero nothing is touched. One plain table without
    /// triggers and rules, no other write in WITH, only functions that could be in a cacheable statement.
    pub counted: bool,
}

/// FirstNormalObjectId: relations below it are the system's own.
const FIRST_NORMAL: Oid = 16_384;

/// Resolves a statement. Without a catalog a query is `Err(Why::NoCatalog)` and whatever names anything may touch
/// everything.
pub fn resolve(statement: &Statement, catalog: Option<&Catalog>, path: &SearchPath) -> Effect {
    if may_run_code(statement) && catalog.is_none_or(Catalog::commands_write) {
        return Effect::CODE;
    }
    match statement {
        Statement::Query(query) => Resolver { catalog, path }.query(query),
        Statement::Explain(query) => Resolver { catalog, path }.explain(query),
        Statement::Declare(query) | Statement::CopyTo(query) => {
            let effect = Resolver { catalog, path }.query(query);
            Effect {
                dirty: true,
                ..not_cacheable(effect)
            }
        }
        // A procedure that is not declared may do anything, DDL included.
        Statement::Call(query) => {
            let effect = Resolver { catalog, path }.query(query);
            match effect.opaque || effect.writes == Touched::Everything {
                true => Effect::EVERYTHING,
                false => Effect {
                    dirty: true,
                    counted: false,
                    ..not_cacheable(effect)
                },
            }
        }
        // The session has temporary objects now.
        Statement::TemporaryTableAs(query) => {
            let mut effect = Resolver { catalog, path }.query(query);
            effect.touch(Touched::Relations([SYSTEM_CATALOGS].into()));
            Effect {
                dirty: true,
                opaque: true,
                told: false,
                ..not_cacheable(effect)
            }
        }
        Statement::CopyFrom(relation) => Effect {
            told: catalog.is_some_and(Catalog::locks_tell),
            ..Resolver { catalog, path }.targets([(relation, WriteKind::Copy)])
        },
        Statement::Truncate { relations, cascade } => {
            let kind = WriteKind::Truncate { cascade: *cascade };
            Resolver { catalog, path }.targets(relations.iter().map(|relation| (relation, kind)))
        }
        // Whether it is populated stands in pg_class.
        Statement::RefreshMaterializedView(relation) => {
            let mut effect = Resolver { catalog, path }.targets([(relation, WriteKind::Insert)]);
            effect.touch(Touched::Relations([SYSTEM_CATALOGS].into()));
            effect
        }
        _ => without_names(statement),
    }
}

/// No DML, and no DDL that raises everything: event triggers and the expressions of indexes are what it may run.
fn may_run_code(statement: &Statement) -> bool {
    matches!(
        statement,
        Statement::Maintenance
            | Statement::RefreshMaterializedView(_)
            | Statement::TemporaryTableAs(_)
            | Statement::Ddl { temporary: true }
    )
}

/// What EXECUTE does of a statement that is known, with these arguments. Never cacheable.
pub fn resolve_execute(
    body: &Query,
    arguments: &Query,
    catalog: Option<&Catalog>,
    path: &SearchPath,
) -> Effect {
    let resolver = Resolver { catalog, path };
    let (mut effect, given) = (resolver.query(body), resolver.query(arguments));
    effect.touch(given.writes);
    // An argument is cast to its parameter's type as in an assignment.
    if catalog.is_none_or(Catalog::assigns_by_code) {
        effect.touch(Touched::Everything);
    }
    Effect {
        reads: Err(effect.reads.err().unwrap_or(Why::Execute)),
        catalog: effect.catalog | given.catalog,
        dirty: effect.dirty | given.dirty | effect.opaque,
        opaque: effect.opaque | given.opaque,
        leaves: effect.leaves | given.leaves | effect.opaque,
        told: effect.told & given.told,
        counted: false,
        writes: effect.writes,
    }
}

/// What does the same whatever the catalog is like.
fn without_names(statement: &Statement) -> Effect {
    match statement {
        Statement::Begin(_)
        | Statement::Commit { .. }
        | Statement::Rollback { .. }
        | Statement::Savepoint(_)
        | Statement::Release(_)
        | Statement::RollbackTo(_)
        | Statement::PrepareTransaction
        | Statement::RollbackPrepared
        | Statement::SetTransaction(_)
        | Statement::Set(_)
        | Statement::ResetAll
        | Statement::Show(_)
        | Statement::Prepare(..)
        | Statement::Deallocate(_) => Effect::NOTHING,
        // Temporary tables go; where there are none, the session knows.
        Statement::Discard(Discard::All | Discard::Temp) | Statement::Maintenance => Effect {
            dirty: true,
            writes: Touched::Relations([SYSTEM_CATALOGS].into()),
            ..Effect::NOTHING
        },
        Statement::Discard(_)
        | Statement::Cursor
        | Statement::Listen
        | Statement::Unlisten
        | Statement::Notify
        | Statement::Utility
        | Statement::Lock => Effect {
            dirty: true,
            ..Effect::NOTHING
        },
        Statement::Unfollowed => Effect {
            dirty: true,
            opaque: true,
            ..Effect::NOTHING
        },
        Statement::Ddl { temporary: true } => Effect {
            dirty: true,
            opaque: true,
            writes: Touched::Relations([SYSTEM_CATALOGS].into()),
            ..Effect::NOTHING
        },
        Statement::CommitPrepared => Effect {
            opaque: false,
            ..Effect::EVERYTHING
        },
        // EXECUTE and DDL; what names relations is resolved above.
        _ => Effect::EVERYTHING,
    }
}

fn not_cacheable(effect: Effect) -> Effect {
    Effect {
        reads: Err(effect.reads.err().unwrap_or(Why::NotSelect)),
        ..effect
    }
}

impl Effect {
    const NOTHING: Effect = Effect {
        reads: Err(Why::NotSelect),
        writes: Touched::Nothing,
        catalog: false,
        dirty: false,
        opaque: false,
        leaves: false,
        told: false,
        counted: false,
    };
    const EVERYTHING: Effect = Effect {
        reads: Err(Why::NotSelect),
        writes: Touched::Everything,
        catalog: true,
        dirty: true,
        opaque: true,
        leaves: true,
        told: false,
        counted: false,
    };
    /// Code that nothing is known of, in a statement that is not DDL itself.
    const CODE: Effect = Effect {
        catalog: false,
        ..Effect::EVERYTHING
    };
}

/// The relations of a query.
#[derive(Default)]
struct Found {
    /// By what its names may mean.
    named: Vec<Oid>,
    /// All that a read of those depends on.
    below: Vec<Oid>,
    /// System catalogs that may be read from memory are among them.
    catalogs: bool,
    /// `pg_class` is.
    statistics: bool,
}

struct Resolver<'a> {
    catalog: Option<&'a Catalog>,
    path: &'a SearchPath,
}

impl Resolver<'_> {
    fn query(&self, query: &Query) -> Effect {
        let Some(catalog) = self.catalog else {
            return self.blind(query);
        };
        let (mut found, mut reach) = (Found::default(), Reach::default());
        let code = self.code(catalog, query, &mut reach);
        let mut run = self.reads(catalog, query, &mut found, &mut reach).and(code);
        let mut columns = query.hidden.cast_columns.iter();
        if !columns.all(|column| catalog.never_text(&found.named, column)) {
            run = run.and(FunctionClass::reads(Why::ClockText));
        }
        if query.hidden.zones && gives_time(catalog, query, &found.named) {
            run = run.and(FunctionClass::reads(Why::StableFunction));
        }
        if run.why == Some(Why::CatalogMoment) {
            (run.why, found.catalogs) = (None, true);
        }
        if found.catalogs {
            run = run.and(introspection(catalog, query, &found));
            found.below.push(SYSTEM_CATALOGS);
        }
        let why = query
            .why
            .or((query.reads.is_empty() && reach.reads.is_empty()).then_some(Why::NoRelation))
            .or(run.why);
        let mut effect = self.counting(query.targets.iter().map(|(name, kind)| (name, *kind)));
        effect.dirty = effect.dirty || query.locks || run.dirty;
        effect.opaque |= run.opaque;
        effect.leaves |= run.leaves;
        effect.touch(written(catalog, &reach));
        if run.writes || query.unknown {
            effect.writes = Touched::Everything;
        }
        effect.catalog |= query.unknown;
        effect.opaque |= query.unknown;
        effect.told = catalog.locks_tell() && !query.unknown;
        effect.dirty |= effect.opaque || effect.writes != Touched::Nothing;
        effect.counted = query.targets.len() == 1
            && effect.counted
            && reach.writes.is_empty()
            && run.why.is_none()
            && !effect.opaque
            && matches!(effect.writes, Touched::Relations(_));
        effect.reads = match why {
            Some(why) => Err(why),
            None => {
                found.below.sort_unstable();
                found.below.dedup();
                Ok(Cacheable {
                    relations: found.below.into_boxed_slice(),
                })
            }
        };
        effect
    }

    /// Planned, not run: what a SELECT would not do by running, it does not do by being planned. The planner does
    /// call functions, and a statement that would write locks its target.
    fn explain(&self, query: &Query) -> Effect {
        let Some(catalog) = self.catalog else {
            return Effect {
                reads: Err(Why::NotSelect),
                ..self.blind(query)
            };
        };
        let mut reach = Reach::default();
        let code = self.code(catalog, query, &mut reach);
        let run = self.reads(catalog, query, &mut Found::default(), &mut reach);
        let run = run.and(code);
        let writes = match run.writes || query.unknown {
            true => Touched::Everything,
            false => written(catalog, &reach),
        };
        let opaque = run.opaque || query.unknown || writes == Touched::Everything;
        Effect {
            dirty: opaque
                || run.dirty
                || query.locks
                || !query.targets.is_empty()
                || writes != Touched::Nothing,
            writes,
            catalog: query.unknown,
            opaque,
            leaves: run.leaves,
            ..Effect::NOTHING
        }
    }

    /// Without a catalog a name may be anything: a view over a function that writes.
    fn blind(&self, query: &Query) -> Effect {
        let names_nothing = query.reads.is_empty()
            && query.targets.is_empty()
            && query.functions.is_empty()
            && query.operators.is_empty()
            && query.types.is_empty()
            && query.attributes.is_empty()
            && query.fields.is_empty()
            && query.hidden.older.is_empty()
            && !query.unknown;
        let effect = match names_nothing {
            true => Effect::NOTHING,
            false => Effect::CODE,
        };
        let catalog = query.unknown || query.targets.iter().any(|(name, _)| of_the_system(name));
        let (reads, dirty) = (
            Err(query.why.unwrap_or(Why::NoCatalog)),
            effect.dirty || query.locks,
        );
        Effect {
            reads,
            dirty,
            catalog,
            ..effect
        }
    }

    /// The relations read, by declared functions, too, and what reading them runs.
    fn reads(
        &self,
        catalog: &Catalog,
        query: &Query,
        all: &mut Found,
        reach: &mut Reach,
    ) -> FunctionClass {
        let mut run = FunctionClass::PURE;
        for name in &query.reads {
            let found = catalog.relations_named(name, self.path);
            if found.is_empty() {
                // Of what it may be, only a temporary view runs code of the session's own (CREATE VIEW over a
                // temporary table makes one, too); what was made elsewhere counts from the next load. In a session
                // known to have nothing but plain tables in its temporary schema this could be
                // `FunctionClass::reads`; a verdict does not know the session, and so it stays the worst.
                run = run.and(FunctionClass::anything(Why::UnknownRelation));
            }
            for relation in found {
                all.named.push(relation);
                if catalog.introspected(relation) {
                    all.catalogs = true;
                    all.statistics |= relation == SYSTEM_CATALOGS;
                    continue;
                }
                run = run.and(all.read(catalog, relation, reach));
            }
        }
        for relation in reach.reads.clone() {
            run = run.and(all.read(catalog, relation, reach));
        }
        run
    }

    /// What the functions, operators and types in the text may do.
    fn code(&self, catalog: &Catalog, query: &Query, reach: &mut Reach) -> FunctionClass {
        let mut run = FunctionClass::PURE;
        for (name, arguments) in &query.functions {
            run = run.and(catalog.call(name, *arguments, self.path, reach));
        }
        for name in &query.operators {
            run = run.and(reason(catalog.operator(name, self.path)));
        }
        for name in &query.types {
            run = run.and(reason(catalog.type_named(name, self.path)));
        }
        for name in &query.attributes {
            run = run.and(catalog.attribute(name));
        }
        for name in &query.fields {
            run = run.and(catalog.field(name));
        }
        for name in &query.hidden.older {
            run = run.and(catalog.made_by_users(name));
        }
        run
    }

    fn targets<'t>(&self, targets: impl IntoIterator<Item = (&'t Name, WriteKind)>) -> Effect {
        Effect {
            counted: false,
            ..self.counting(targets)
        }
    }

    /// `counted`: no declared function writes on the way.
    fn counting<'t>(&self, targets: impl IntoIterator<Item = (&'t Name, WriteKind)>) -> Effect {
        let mut effect = Effect {
            counted: true,
            ..Effect::NOTHING
        };
        for (name, kind) in targets {
            effect.dirty = true;
            let Some(catalog) = self.catalog else {
                effect.catalog |= of_the_system(name);
                effect.touch(Touched::Everything);
                continue;
            };
            let found = catalog.relations_named(name, self.path);
            if found.is_empty() {
                effect.catalog |= of_the_system(name);
                effect.touch(Touched::Everything);
            }
            for relation in found {
                let schema = catalog.relation_name(relation).map(|(schema, _)| schema);
                if relation < FIRST_NORMAL || schema.is_none_or(|s| s == "pg_catalog") {
                    effect.catalog = true;
                    effect.touch(Touched::Everything);
                }
                let (touched, alone) = catalog.touched(relation, kind);
                effect.counted &= alone;
                effect.touch(touched);
            }
        }
        effect
    }
}

/// Whether something in the query may be a `time`. AT TIME ZONE casts it to a `timetz` unwritten, and what offset from UTC
/// that has, the date of today decides.
fn gives_time(catalog: &Catalog, query: &Query, relations: &[Oid]) -> bool {
    relations.iter().any(|oid| catalog.has_time(*oid))
        || query
            .types
            .iter()
            .any(|name| catalog.type_has_time(&name.name))
        || query
            .functions
            .iter()
            .any(|(name, _)| catalog.function_gives_time(&name.name))
        || query
            .attributes
            .iter()
            .chain(&query.fields)
            .any(|name| catalog.type_has_time(name) || catalog.function_gives_time(name))
}

impl Found {
    fn read(&mut self, catalog: &Catalog, relation: Oid, reach: &mut Reach) -> FunctionClass {
        let runs = catalog.runs_on_read(relation);
        reach
            .writes
            .extend_from_slice(catalog.written_on_read(relation));
        match catalog.reads_of(relation) {
            Ok(below) => {
                self.below.extend_from_slice(below);
                runs
            }
            Err(why) => FunctionClass::reads(why).and(runs),
        }
    }
}

/// What declared functions may change, in whichever way.
fn written(catalog: &Catalog, reach: &Reach) -> Touched {
    const EVERY_WAY: [WriteKind; 4] = [
        WriteKind::Insert,
        WriteKind::Update,
        WriteKind::Delete,
        WriteKind::Truncate { cascade: true },
    ];
    let mut effect = Effect::NOTHING;
    for relation in &reach.writes {
        for kind in EVERY_WAY {
            effect.touch(catalog.writes_of(*relation, kind));
        }
    }
    effect.writes
}

/// What a read of system catalogs must not show: what changes there without anybody being told.
fn introspection(catalog: &Catalog, query: &Query, found: &Found) -> FunctionClass {
    let rows = || {
        let mut attributes = query.attributes.iter();
        query.catalogs.whole_rows || attributes.any(|name| catalog.takes_row(name))
    };
    if query.catalogs.statistics || (found.statistics && rows()) {
        FunctionClass::reads(Why::SystemCatalog)
    } else {
        FunctionClass::PURE
    }
}

/// A system catalog as far as the name tells.
fn of_the_system(name: &Name) -> bool {
    match name.schema.as_deref() {
        Some(schema) => schema == "pg_catalog",
        None => name.name.starts_with("pg_"),
    }
}

impl Effect {
    fn touch(&mut self, touched: Touched) {
        self.writes = match (std::mem::take(&mut self.writes), touched) {
            (Touched::Nothing, other) | (other, Touched::Nothing) => other,
            (Touched::Relations(a), Touched::Relations(b)) => {
                let mut all = a.into_vec();
                all.extend_from_slice(&b);
                all.sort_unstable();
                all.dedup();
                Touched::Relations(all.into())
            }
            _ => Touched::Everything,
        };
        // Triggers and rules run code.
        if self.writes == Touched::Everything {
            self.opaque = true;
        }
    }
}

/// Operators and types: a user's may run anything, the others only read what is not in the key.
fn reason(why: Option<Why>) -> FunctionClass {
    match why {
        None => FunctionClass::PURE,
        Some(why @ (Why::UserOperator | Why::UserType | Why::UserFunction)) => {
            FunctionClass::anything(why)
        }
        Some(why) => FunctionClass::reads(why),
    }
}

#[cfg(test)]
mod unwritten_tests;
#[cfg(test)]
mod verdict_tests;

/// For the tests of the floors above.
#[cfg(test)]
pub(crate) mod tests_support {
    use super::*;

    /// A proof out of thin air.
    pub(crate) fn cacheable(relations: &[Oid]) -> Cacheable {
        Cacheable {
            relations: relations.into(),
        }
    }
}
