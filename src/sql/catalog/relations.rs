//! Relations by name and identifier, with what a read of each depends on.
//!
//! * What a read depends on is concluded once, transitively: a statement's check is a look-up.
//! * Views, partitions and inheritance children are part of what depends, by identifier: a write to any of them is
//!   seen whatever name it used.
//! * A refusal below is a refusal above, with its own reason.
//!
//! Not here: writes (`touches`).

use super::blame;
use super::datatypes::Datatypes;
use super::declared::Reach;
use super::functions::Functions;
use super::introspection::{CATALOGS, INFORMATION_SCHEMA, VIEWS};
use super::nodetree::Tree;
use super::rows::{self, FIRST_NORMAL, PG_CATALOG, Place, Rows};
use super::{FunctionClass, Oid};
use crate::why::Why;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Views over views, and partitions of partitions, deeper than anybody builds.
const DEEPEST: usize = 200;

/// All relations.
#[derive(Debug, Default)]
pub(super) struct Relations {
    by_name: HashMap<Box<str>, Vec<(Oid, Oid)>>,
    by_oid: HashMap<Oid, Relation>,
}

/// One relation, concluded.
#[derive(Debug)]
pub(super) struct Relation {
    schema: Box<str>,
    name: Box<str>,
    pub(super) kind: u8,
    reads: Result<Box<[Oid]>, Why>,
    runs: FunctionClass,
    /// What the query of a materialised view runs may write.
    query_writes: bool,
    /// What declared functions write when it is read, or when the query of a materialised view is run.
    pub(super) written: Box<[Oid]>,
    /// The relations that a view's query names.
    pub(super) below: Box<[Oid]>,
    /// What of its own it is refused for, in words for people.
    pub(super) blame: Option<Box<str>>,
}

struct Builder<'a> {
    rows: HashMap<Oid, &'a rows::Relation>,
    system: HashSet<Oid>,
    columns: HashMap<Oid, Vec<Oid>>,
    children: HashMap<Oid, Vec<Oid>>,
    queries: HashMap<Oid, Tree>,
    /// Policies and generated columns that are not stored.
    expressions: HashMap<Oid, Vec<Tree>>,
    functions: &'a Functions,
    types: &'a Datatypes,
    done: HashMap<Oid, Conclusion>,
    open: HashSet<Oid>,
    all: &'a Rows,
    blamed: HashMap<Oid, Box<str>>,
}

#[derive(Clone, Debug)]
struct Conclusion {
    reads: Result<BTreeSet<Oid>, Why>,
    runs: FunctionClass,
    /// What declared functions write.
    written: BTreeSet<Oid>,
}

impl Relations {
    pub(super) fn build(rows: &Rows, functions: &Functions, types: &Datatypes) -> Relations {
        let schemas: HashMap<Oid, &str> =
            rows.namespaces.iter().map(|n| (n.oid, &*n.name)).collect();
        let mut builder = Builder::new(rows, functions, types);
        let mut relations = Relations::default();
        for row in &rows.relations {
            let Conclusion {
                reads,
                runs,
                mut written,
            } = builder.conclude(row.oid);
            let reads = match types.implicit().why {
                Some(why) => reads.and(Err(why)),
                None => reads.map(|all| all.into_iter().collect()),
            };
            let query = (row.kind == b'm').then(|| builder.view(row.oid));
            let query_writes = query.as_ref().is_some_and(|query| query.runs.writes);
            written.extend(query.into_iter().flat_map(|query| query.written));
            let below = builder
                .queries
                .get(&row.oid)
                .map(|tree| tree.relations.as_slice());
            let relation = Relation {
                schema: schemas
                    .get(&row.namespace)
                    .copied()
                    .unwrap_or_default()
                    .into(),
                name: row.name.clone(),
                kind: row.kind,
                reads,
                runs: runs.and(types.implicit()),
                query_writes,
                written: written.into_iter().collect(),
                below: below
                    .unwrap_or_default()
                    .iter()
                    .copied()
                    .filter(|oid| *oid != row.oid)
                    .collect(),
                blame: builder.blamed.remove(&row.oid),
            };
            relations.by_oid.insert(row.oid, relation);
            if row.kind != b'c' && row.persistence != b't' {
                relations
                    .by_name
                    .entry(row.name.clone())
                    .or_default()
                    .push((row.namespace, row.oid));
            }
        }
        relations
    }

    /// (schema, relation) of every relation of that name.
    pub(super) fn named(&self, name: &str) -> &[(Oid, Oid)] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn name(&self, relation: Oid) -> Option<(&str, &str)> {
        self.by_oid.get(&relation).map(|r| (&*r.schema, &*r.name))
    }

    pub(super) fn get(&self, relation: Oid) -> Option<&Relation> {
        self.by_oid.get(&relation)
    }

    pub(super) fn reads(&self, relation: Oid) -> Result<&[Oid], Why> {
        match self.by_oid.get(&relation) {
            Some(found) => found.reads.as_deref().map_err(|why| *why),
            None => Err(Why::UnknownRelation),
        }
    }

    pub(super) fn introspected(&self, relation: Oid) -> bool {
        self.by_oid.get(&relation).is_some_and(|found| {
            let on = |list: &[&str]| list.binary_search(&&*found.name).is_ok();
            relation < FIRST_NORMAL
                && match (&*found.schema, found.kind) {
                    ("pg_catalog", b'r') => on(CATALOGS),
                    ("pg_catalog", b'v') => on(VIEWS),
                    ("information_schema", b'v') => on(INFORMATION_SCHEMA),
                    _ => false,
                }
        })
    }

    /// Identifier, schema and name of each.
    pub(super) fn all(&self) -> impl Iterator<Item = (Oid, &str, &str)> {
        let all = self.by_oid.iter();
        all.map(|(oid, found)| (*oid, &*found.schema, &*found.name))
    }

    pub(super) fn query_writes(&self, relation: Oid) -> bool {
        self.by_oid.get(&relation).is_none_or(|r| r.query_writes)
    }

    pub(super) fn runs(&self, relation: Oid) -> FunctionClass {
        let unknown = FunctionClass::anything(Why::UnknownRelation);
        self.by_oid.get(&relation).map_or(unknown, |r| r.runs)
    }

    pub(super) fn written(&self, relation: Oid) -> &[Oid] {
        self.by_oid.get(&relation).map_or(&[], |r| &r.written)
    }
}

impl<'a> Builder<'a> {
    fn new(rows: &'a Rows, functions: &'a Functions, types: &'a Datatypes) -> Builder<'a> {
        let is_system =
            |n: &&rows::Namespace| n.oid == PG_CATALOG || &*n.name == "information_schema";
        let mut builder = Builder {
            rows: rows.relations.iter().map(|r| (r.oid, r)).collect(),
            system: rows
                .namespaces
                .iter()
                .filter(is_system)
                .map(|n| n.oid)
                .collect(),
            columns: HashMap::new(),
            children: HashMap::new(),
            queries: HashMap::new(),
            expressions: HashMap::new(),
            functions,
            types,
            done: HashMap::new(),
            open: HashSet::new(),
            all: rows,
            blamed: HashMap::new(),
        };
        for column in &rows.columns {
            builder
                .columns
                .entry(column.relation)
                .or_default()
                .push(column.type_oid);
        }
        for row in &rows.inheritance {
            builder
                .children
                .entry(row.parent)
                .or_default()
                .push(row.child);
        }
        for rule in rows.rules.iter().filter(|rule| rule.view) {
            builder
                .queries
                .insert(rule.relation, Tree::scan(&rule.action));
        }
        for row in rows
            .expressions
            .iter()
            .filter(|e| matches!(e.place, Place::Read | Place::Policy))
        {
            builder
                .expressions
                .entry(row.owner)
                .or_default()
                .push(Tree::scan(&row.tree));
        }
        builder
    }

    fn conclude(&mut self, oid: Oid) -> Conclusion {
        if let Some(done) = self.done.get(&oid) {
            return done.clone();
        }
        let Some(row) = self.rows.get(&oid).copied() else {
            return Conclusion::refused(
                Why::UnknownRelation,
                FunctionClass::anything(Why::UnknownRelation),
            );
        };
        if self.open.len() > DEEPEST || !self.open.insert(oid) {
            return Conclusion::refused(Why::OpaqueView, FunctionClass::anything(Why::OpaqueView));
        }
        let found = self.examine(row);
        self.open.remove(&oid);
        self.done.insert(oid, found.clone());
        found
    }

    fn examine(&mut self, row: &rows::Relation) -> Conclusion {
        let refused = |why| Conclusion::refused(why, FunctionClass::reads(why));
        if self.system.contains(&row.namespace) {
            return refused(Why::SystemCatalog);
        }
        let mut found = match (row.persistence, row.kind) {
            (b't', _) => refused(Why::TemporaryTable),
            (_, b'r' | b'p') => self.family(row.oid),
            (_, b'm') => Conclusion::of(row.oid),
            (_, b'v') => self.view(row.oid),
            // What it runs, it runs elsewhere: a writer like any other that does not come this way.
            (_, b'f') => refused(Why::ForeignTable),
            (_, b'S') => refused(Why::Sequence),
            _ => refused(Why::UnknownRelation),
        };
        for column in self.columns.get(&row.oid).into_iter().flatten() {
            let class = self.types.kept(*column);
            if found.reads.is_ok() && class.why.is_some() {
                let words = blame::column(self.all, row.oid, *column);
                self.blamed.insert(row.oid, words);
            }
            found.also(class);
        }
        for tree in self.expressions.get(&row.oid).cloned().unwrap_or_default() {
            let (class, reach) = self.judge(&tree);
            found.also(class);
            self.reach(&mut found, reach);
        }
        if row.row_security {
            found.reads = Err(Why::RowSecurity);
        }
        found
    }

    fn family(&mut self, oid: Oid) -> Conclusion {
        let mut found = Conclusion::of(oid);
        for child in self.children.get(&oid).cloned().unwrap_or_default() {
            found.join(self.conclude(child));
        }
        found
    }

    fn view(&mut self, oid: Oid) -> Conclusion {
        let Some(tree) = self.queries.get(&oid) else {
            return Conclusion::refused(Why::OpaqueView, FunctionClass::anything(Why::OpaqueView));
        };
        let ((judged, reach), below) = (self.judge(tree), tree.relations.clone());
        if judged.why.is_some() {
            let words = blame::query(self.all, tree, self.functions, self.types);
            self.blamed.extend(words.map(|words| (oid, words)));
        }
        let mut found = Conclusion::of(oid);
        // Up to PostgreSQL 15 a view's own query names the view itself, as OLD and NEW.
        for relation in below.into_iter().filter(|relation| *relation != oid) {
            found.join(self.conclude(relation));
        }
        found.also(FunctionClass {
            why: judged.why.map(|_| Why::OpaqueView),
            ..judged
        });
        self.reach(&mut found, reach);
        found
    }

    fn judge(&self, tree: &Tree) -> (FunctionClass, Reach) {
        let types = tree.types.iter().map(|oid| self.types.kept(*oid));
        let inputs = tree.inputs.iter().map(|oid| self.types.input(*oid));
        let mut reach = Reach::default();
        let own = self.functions.of_tree_reaching(tree, &mut reach);
        let class = types.chain(inputs).fold(own, FunctionClass::and);
        (class, reach)
    }

    /// What declared functions read is read, too.
    fn reach(&mut self, found: &mut Conclusion, reach: Reach) {
        for relation in reach.reads {
            found.join(self.conclude(relation));
        }
        found.written.extend(reach.writes);
    }
}

impl Conclusion {
    fn of(oid: Oid) -> Conclusion {
        Conclusion {
            reads: Ok(BTreeSet::from([oid])),
            runs: FunctionClass::PURE,
            written: BTreeSet::new(),
        }
    }

    fn refused(why: Why, runs: FunctionClass) -> Conclusion {
        Conclusion {
            reads: Err(why),
            runs,
            written: BTreeSet::new(),
        }
    }

    fn join(&mut self, below: Conclusion) {
        self.runs = self.runs.and(below.runs);
        self.written.extend(below.written);
        match (&mut self.reads, below.reads) {
            (Ok(all), Ok(more)) => all.extend(more),
            (Ok(_), Err(why)) => self.reads = Err(why),
            (Err(_), _) => {}
        }
    }

    fn also(&mut self, class: FunctionClass) {
        self.runs = self.runs.and(class);
        if let (Ok(_), Some(why)) = (&self.reads, class.why) {
            self.reads = Err(why);
        }
    }
}
