//! The reasons behind a verdict, for people: which function, which table, and by which way one relation leads to another.
//!
//! * It decides nothing: what a statement may do is what `verdict` says, and here it is only put into words. A second,
//!   slower pass that is run when somebody asks.
//! * Words name what the catalog and the text name: never a literal.
//!
//! Not here: the session and its cache (`session::explain`).

use std::collections::BTreeMap;

use super::catalog::{
    Because, Catalog, FunctionClass, Hazard, Oid, Reach, SYSTEM_CATALOGS, SearchPath, Unbounded,
    WriteKind,
};
use super::query::Query;
use super::statement::{Name, Statement};
use super::verdict::{Effect, Touched};
use crate::why::Why;

/// Relations below each other, deeper than anybody builds.
const DEEPEST: usize = 64;

/// A relation and why it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub relation: Oid,
    pub because: String,
}

/// What stands in the way of a cached answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacle {
    pub why: Why,
    /// The object, where it is known.
    pub what: Option<String>,
}

/// What a statement makes old.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidates {
    Nothing,
    Relations(Vec<Link>),
    Everything(String),
}

/// The catalog and the path that names are looked up in.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    pub catalog: &'a Catalog,
    pub path: &'a SearchPath,
}

impl Asking<'_> {
    /// All that a query reads, and why, in the order in which it is found.
    pub fn reads(&self, query: &Query) -> Vec<Link> {
        let mut found = Links::default();
        for name in &query.reads {
            let relations = self.catalog.relations_named(name, self.path);
            let because = match relations.len() {
                0 | 1 => "named in the statement".into(),
                _ => format!("{} may mean it", words(name)),
            };
            for relation in relations {
                if self.catalog.introspected(relation) {
                    found.add(SYSTEM_CATALOGS, format!("{} is named", words(name)));
                } else {
                    found.add(relation, because.clone());
                }
            }
        }
        for (name, reach) in self.reaching(query) {
            for relation in reach.reads {
                let because = format!("function {}() is declared to read it", words(&name));
                found.add(relation, because);
            }
        }
        let mut at = 0;
        while let Some(relation) = found.0.get(at).map(|link| link.relation) {
            self.lead_on(relation, &mut found);
            at += 1;
        }
        found.0
    }

    /// What a read of that one reads besides.
    fn lead_on(&self, relation: Oid, found: &mut Links) {
        let (catalog, name) = (self.catalog, self.catalog.words(relation));
        let child = match catalog.kind(relation) {
            Some(b'p') => format!("a partition of {name}"),
            _ => format!("inherits from {name}"),
        };
        for below in catalog.children(relation) {
            found.add(*below, child.clone());
        }
        if catalog.kind(relation) == Some(b'v') {
            for below in catalog.below(relation) {
                found.add(*below, format!("below view {name}"));
            }
            // What functions in its query are declared to read.
            for below in catalog.reads_of(relation).unwrap_or_default() {
                found.add_last(*below, format!("read when {name} is"));
            }
        }
    }

    /// Calls of a query that reach relations by declaration.
    fn reaching(&self, query: &Query) -> Vec<(Name, Reach)> {
        let calls = query.functions.iter().map(|(name, arguments)| {
            let mut reach = Reach::default();
            self.catalog.call(name, *arguments, self.path, &mut reach);
            (name.clone(), reach)
        });
        calls.filter(|(_, reach)| !reach.is_nothing()).collect()
    }

    /// All that stands in the way, the verdict's own reason first.
    pub fn obstacles(&self, query: &Query, verdict: Why) -> Vec<Obstacle> {
        let mut all = Vec::new();
        all.extend(query.why.map(|why| Obstacle { why, what: None }));
        self.of_relations(query, &mut all);
        for part in self.code(query) {
            let why = part.class.why.filter(|why| *why != Why::CatalogMoment);
            all.extend(why.map(|why| Obstacle {
                why,
                what: Some(part.what),
            }));
        }
        self.hidden(query, verdict, &mut all);
        let mut first = all.extract_if(.., |obstacle| obstacle.why == verdict);
        let mut sorted: Vec<_> = first.by_ref().collect();
        drop(first);
        if sorted.is_empty() {
            let why = verdict;
            sorted.push(Obstacle { why, what: None });
        }
        sorted.extend(all);
        let mut seen = Vec::new();
        sorted.retain(|obstacle| {
            let new = !seen.contains(obstacle);
            seen.push(obstacle.clone());
            new
        });
        sorted
    }

    fn of_relations(&self, query: &Query, all: &mut Vec<Obstacle>) {
        for name in &query.reads {
            let found = self.catalog.relations_named(name, self.path);
            if found.is_empty() {
                let (why, what) = (Why::UnknownRelation, Some(words(name)));
                all.push(Obstacle { why, what });
            }
            for relation in found {
                if self.catalog.introspected(relation) {
                    continue;
                }
                if let Err(why) = self.catalog.reads_of(relation) {
                    let what = Some(self.culprit(relation, why, DEEPEST));
                    all.push(Obstacle { why, what });
                }
            }
        }
    }

    /// What is not in the text as a name.
    fn hidden(&self, query: &Query, verdict: Why, all: &mut Vec<Obstacle>) {
        let named = query.reads.iter();
        let named: Vec<Oid> = named
            .flat_map(|name| self.catalog.relations_named(name, self.path))
            .collect();
        for column in &query.hidden.cast_columns {
            if !self.catalog.never_text(&named, column) {
                let (why, what) = (Why::ClockText, Some(format!("column {column}")));
                all.push(Obstacle { why, what });
            }
        }
        if query.hidden.zones && verdict == Why::StableFunction {
            let what = "AT TIME ZONE, which of a `time` makes a time of today".into();
            all.push(Obstacle {
                why: verdict,
                what: Some(what),
            });
        }
    }

    /// Below which relation the reason lies, in words.
    fn culprit(&self, relation: Oid, why: Why, depth: usize) -> String {
        let (catalog, name) = (self.catalog, self.catalog.words(relation));
        let kind = kind_words(catalog.kind(relation));
        let mut lower = catalog
            .children(relation)
            .iter()
            .chain(catalog.below(relation));
        let same = |below: &&Oid| **below != relation && catalog.reads_of(**below) == Err(why);
        match (lower.find(same), catalog.blame(relation)) {
            // A table with row security says that itself, whatever its partitions are.
            (Some(below), _) if depth > 0 && why != Why::RowSecurity => {
                format!("{}, in {kind} {name}", self.culprit(*below, why, depth - 1))
            }
            (_, Some(own)) if why != Why::RowSecurity => format!("{kind} {name}: {own}"),
            _ => format!("{kind} {name}"),
        }
    }

    /// The functions, operators and types in the text, in the order of the verdict.
    fn code(&self, query: &Query) -> Vec<Part> {
        let (catalog, path) = (self.catalog, self.path);
        let mut parts = Vec::new();
        let mut add = |class, what| parts.push(Part { class, what });
        for (name, arguments) in &query.functions {
            let class = catalog.call(name, *arguments, path, &mut Reach::default());
            add(class, format!("function {}()", words(name)));
        }
        for name in &query.operators {
            let class = reason(catalog.operator(name, path));
            add(class, format!("operator {}", words(name)));
        }
        for name in &query.types {
            add(
                reason(catalog.type_named(name, path)),
                format!("type {}", words(name)),
            );
        }
        for name in &query.attributes {
            add(
                catalog.attribute(name),
                format!(".{name}, which may be a call of a function"),
            );
        }
        for name in &query.fields {
            add(
                catalog.field(name),
                format!(".{name}, which may be a call of a function or a cast"),
            );
        }
        for name in &query.hidden.older {
            add(catalog.made_by_users(name), format!("function {name}()"));
        }
        parts
    }

    /// What a statement makes old, in words for what its `effect` says.
    pub fn invalidates(&self, statement: &Statement, effect: &Effect) -> Invalidates {
        match &effect.writes {
            Touched::Nothing => Invalidates::Nothing,
            Touched::Everything => Invalidates::Everything(self.why_everything(statement)),
            Touched::Relations(relations) => {
                let reasons = self.why_touched(statement);
                let link = |relation: &Oid| Link {
                    relation: *relation,
                    because: reasons.get(relation).cloned().unwrap_or_else(|| {
                        match *relation == SYSTEM_CATALOGS {
                            true => "what it changes shows there".into(),
                            false => "it may be written".into(),
                        }
                    }),
                };
                let mut links: Vec<Link> = relations.iter().map(link).collect();
                // What is named first.
                links.sort_by_key(|link| !link.because.starts_with("named"));
                Invalidates::Relations(links)
            }
        }
    }

    fn why_touched(&self, statement: &Statement) -> BTreeMap<Oid, String> {
        let mut reasons = BTreeMap::new();
        for (name, kind) in targets(statement) {
            for relation in self.catalog.relations_named(name, self.path) {
                let traced = self.catalog.traced(relation, kind).unwrap_or_default();
                for (touched, because) in traced {
                    let words = self.because(because);
                    match because {
                        Because::Named => drop(reasons.insert(touched, words)),
                        _ => drop(reasons.entry(touched).or_insert(words)),
                    }
                }
            }
        }
        for (name, reach) in queries(statement).iter().flat_map(|q| self.reaching(q)) {
            for relation in reach.writes {
                let because = format!("function {}() is declared to write it", words(&name));
                reasons.entry(relation).or_insert(because);
            }
        }
        reasons
    }

    fn because(&self, because: Because) -> String {
        let name = |oid| self.catalog.words(oid);
        match because {
            Because::Named => "named in the statement".into(),
            Because::ChildOf(parent) if self.catalog.kind(parent) == Some(b'p') => {
                format!("a partition of {}", name(parent))
            }
            Because::ChildOf(parent) => format!("inherits from {}", name(parent)),
            Because::ForeignKeyTo(key) => {
                format!("its foreign key to {} carries the change on", name(key))
            }
            Because::Below(view) => format!("below view {}", name(view)),
            Because::DeclaredOn(by) => {
                format!("a declared function that {} runs writes it", name(by))
            }
        }
    }

    /// A relation that is refused, and below it what is to blame.
    pub fn blamed(&self, relation: Oid, why: Why) -> String {
        self.culprit(relation, why, DEEPEST)
    }

    fn why_everything(&self, statement: &Statement) -> String {
        if let Some(words) = whatever_the_catalog(statement) {
            return words.into();
        }
        for (name, kind) in targets(statement) {
            let found = self.catalog.relations_named(name, self.path);
            if found.is_empty() {
                return format!("{} is not in the catalog", words(name));
            }
            for relation in found {
                if let Err(unbounded) = self.catalog.traced(relation, kind) {
                    return unbounded_words(self.catalog, unbounded);
                }
            }
        }
        for query in queries(statement) {
            if let Some(part) = self.code(query).into_iter().find(|part| part.class.writes) {
                return format!("{} may write anything", part.what);
            }
            for name in &query.reads {
                let found = self.catalog.relations_named(name, self.path);
                if found.is_empty() {
                    let name = words(name);
                    return format!("{name} is not in the catalog: it may be a view that writes");
                }
                let mut found = found.into_iter();
                let writes = |oid: &Oid| self.catalog.runs_on_read(*oid).writes;
                if let Some(relation) = found.find(writes) {
                    let name = self.catalog.words(relation);
                    return format!("reading {name} runs a function that may write anything");
                }
            }
        }
        "what it writes cannot be told from its text and the catalog".into()
    }
}

/// Why a write touches everything, in words.
pub fn unbounded_words(catalog: &Catalog, unbounded: Unbounded) -> String {
    let name = |oid| catalog.words(oid);
    match unbounded {
        Unbounded::Unknown => "a relation is not in the catalog".into(),
        Unbounded::Code(on, hazard) => format!("{} {}", name(on), runs(catalog, hazard)),
        Unbounded::View(view) => {
            format!(
                "view {} has a rule, a trigger or code of its own",
                name(view)
            )
        }
        Unbounded::Query(view) => {
            format!("the query of {} runs code that may write", name(view))
        }
        Unbounded::Elsewhere(other) => {
            format!("{} is no table of this database", name(other))
        }
    }
}

fn runs(catalog: &Catalog, hazard: Hazard) -> String {
    let what = match hazard {
        Hazard::Trigger(function) => {
            let function = catalog.function_words(function);
            return format!("has a trigger whose function {function} may write anything");
        }
        Hazard::Condition => "a trigger whose condition",
        Hazard::Rule => "a rule that",
        Hazard::Policy => "a policy that",
        Hazard::Stored => "a default, generated column or constraint that",
        Hazard::Index => "an index or statistics over an expression that",
        Hazard::Column => "a column whose type",
        Hazard::Cast => "columns that a cast made by a user may be assigned through: it",
    };
    format!("has {what} runs code that may write anything")
}

/// What in the text may run.
struct Part {
    class: FunctionClass,
    what: String,
}

/// Relations, each once.
#[derive(Default)]
struct Links(Vec<Link>);

impl Links {
    fn add(&mut self, relation: Oid, because: String) {
        match self.0.iter_mut().find(|link| link.relation == relation) {
            // A way that is known better.
            Some(link) if link.because.starts_with("read when") => link.because = because,
            Some(_) => {}
            None => self.0.push(Link { relation, because }),
        }
    }

    fn add_last(&mut self, relation: Oid, because: String) {
        if !self.0.iter().any(|link| link.relation == relation) {
            self.0.push(Link { relation, because });
        }
    }
}

/// What a statement names to be written.
fn targets(statement: &Statement) -> Vec<(&Name, WriteKind)> {
    match statement {
        Statement::CopyFrom(name) => vec![(name, WriteKind::Copy)],
        Statement::Truncate { relations, cascade } => {
            let kind = WriteKind::Truncate { cascade: *cascade };
            relations.iter().map(|name| (name, kind)).collect()
        }
        Statement::RefreshMaterializedView(name) => vec![(name, WriteKind::Insert)],
        _ => {
            let all = queries(statement)
                .into_iter()
                .flat_map(|query| &query.targets);
            all.map(|(name, kind)| (name, *kind)).collect()
        }
    }
}

/// The queries in a statement.
pub fn queries(statement: &Statement) -> Vec<&Query> {
    match statement {
        Statement::Query(query)
        | Statement::Explain(query)
        | Statement::Declare(query)
        | Statement::CopyTo(query)
        | Statement::TemporaryTableAs(query)
        | Statement::Call(query) => vec![query],
        Statement::Prepare(_, body) => body.as_deref().into_iter().collect(),
        Statement::Execute(_, arguments) => vec![arguments],
        _ => Vec::new(),
    }
}

/// Why a statement touches everything whatever the catalog is like.
fn whatever_the_catalog(statement: &Statement) -> Option<&'static str> {
    match statement {
        Statement::Ddl { .. } => Some("it changes the schema, or privileges, or roles"),
        Statement::CommitPrepared => Some("what the prepared transaction has written is not known"),
        Statement::Execute(..) => Some("what the prepared statement does is not known"),
        Statement::Call(_) => Some("a procedure that is not declared may do anything"),
        Statement::Maintenance | Statement::RefreshMaterializedView(_) => None,
        Statement::Opaque => Some("what it does cannot be told (DO, LOAD, or not analysed)"),
        _ => queries(statement)
            .iter()
            .any(|query| query.unknown)
            .then_some("it has syntax that Larder's analysis does not know"),
    }
}

/// A name as it is written, quotes left out.
pub fn words(name: &Name) -> String {
    match &name.schema {
        Some(schema) => format!("{schema}.{}", name.name),
        None => name.name.to_string(),
    }
}

fn kind_words(kind: Option<u8>) -> &'static str {
    match kind {
        Some(b'v') => "view",
        Some(b'm') => "materialized view",
        Some(b'f') => "foreign table",
        Some(b'S') => "sequence",
        Some(b'p') => "partitioned table",
        _ => "table",
    }
}

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
mod because_tests;
