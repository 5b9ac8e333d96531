//! What a write touches: the relation itself, its partitions and children, what foreign keys cascade to, what lies
//! under a view; or everything, where code of a user runs.
//!
//! * A read of a parent depends on its children by identifier, so a write to a partition need not touch the parent.
//! * Foreign keys are followed by their actions, not by their triggers; on partitions both the parents' and the
//!   partitions' own constraints count.
//! * An UPDATE that moves a row between partitions is a DELETE for the foreign keys of PostgreSQL 13 and 14.
//! * A user's trigger or rule touches everything unless its function is known to write nothing: what the function
//!   writes is not in the catalog.
//!
//! * A declared function of a trigger, default or policy touches what it is said to write, in every way.
//!
//! Not here: single rows; which relation a statement names.

use super::datatypes::Datatypes;
use super::declared::Reach;
use super::functions::Functions;
use super::nodetree::Tree;
use super::relations::{Relation, Relations};
use super::rows::{Place, Rows};
use super::{Oid, Touched, WriteKind};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The graph that writes spread along.
#[derive(Debug, Default)]
pub(super) struct Touches {
    children: HashMap<Oid, Vec<Oid>>,
    parents: HashMap<Oid, Vec<Oid>>,
    /// By the referenced relation.
    referencing: HashMap<Oid, Vec<Reference>>,
    /// Relations where any write runs a user's code: triggers, rules, policies.
    hazards: HashMap<Oid, Hazard>,
    /// Relations where a new row version runs a user's code: defaults, constraints, indexes, domains.
    row_hazards: HashMap<Oid, Hazard>,
    /// Views and tables with a rule, or a trigger whose function is not declared.
    rewritten: HashSet<Oid>,
    /// What declared functions write with any write to the relation.
    reached: HashMap<Oid, Vec<Oid>>,
    /// … and with a new row version.
    row_reached: HashMap<Oid, Vec<Oid>>,
    /// Users' casts may run in any INSERT and UPDATE.
    casts: bool,
    /// Event triggers, or expressions of indexes and statistics: what is no DML may run a user's code that writes.
    commands: bool,
}

#[derive(Clone, Copy, Debug)]
struct Reference {
    relation: Oid,
    on_delete: u8,
    on_update: u8,
}

/// What it is that runs a user's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hazard {
    /// A trigger with that function.
    Trigger(Oid),
    /// The condition of a trigger.
    Condition,
    /// A rule.
    Rule,
    /// A row security policy.
    Policy,
    /// A default, a generated column or a constraint.
    Stored,
    /// The expression of an index or of statistics.
    Index,
    /// A column's type.
    Column,
    /// A user's cast, in any assignment.
    Cast,
}

/// Why a write touches a relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It is what the statement names.
    Named,
    /// It is a partition or an inheritance child of that one.
    ChildOf(Oid),
    /// A foreign key on that one carries the change on.
    ForeignKeyTo(Oid),
    /// It lies below that view.
    Below(Oid),
    /// A declared function, which that one runs, writes it.
    DeclaredOn(Oid),
}

/// Why a write touches everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unbounded {
    /// The relation is not in the catalog.
    Unknown,
    /// That relation runs a user's code.
    Code(Oid, Hazard),
    /// That view is written by code of its own, or runs some.
    View(Oid),
    /// The query of that materialised view runs a user's code.
    Query(Oid),
    /// That is no table of this database.
    Elsewhere(Oid),
}

/// What happens to one relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Insert,
    Update,
    Delete,
    Truncate { cascade: bool },
}

/// One step on the way of a write.
type Step = (Oid, Act, Because);

/// All that can happen to a relation.
const EVERY_WAY: [Act; 4] = [
    Act::Insert,
    Act::Update,
    Act::Delete,
    Act::Truncate { cascade: true },
];

/// Whether it makes new row versions.
fn new_row(act: Act) -> bool {
    matches!(act, Act::Insert | Act::Update)
}

/// Remembers what declared functions write.
fn add(reached: &mut HashMap<Oid, Vec<Oid>>, relation: Oid, reach: Reach) {
    if !reach.writes.is_empty() {
        reached.entry(relation).or_default().extend(reach.writes);
    }
}

impl Touches {
    pub(super) fn build(rows: &Rows, functions: &Functions, types: &Datatypes) -> Touches {
        let mut touches = Touches {
            casts: types.assignment().writes,
            ..Touches::default()
        };
        for row in &rows.inheritance {
            touches
                .children
                .entry(row.parent)
                .or_default()
                .push(row.child);
            touches
                .parents
                .entry(row.child)
                .or_default()
                .push(row.parent);
        }
        for key in &rows.foreign_keys {
            let reference = Reference {
                relation: key.referencing,
                on_delete: key.on_delete,
                on_update: key.on_update,
            };
            touches
                .referencing
                .entry(key.referenced)
                .or_default()
                .push(reference);
        }
        touches.code(rows, functions);
        for rule in &rows.rules {
            if !rule.view {
                touches.rewritten.insert(rule.relation);
                touches.hazards.insert(rule.relation, Hazard::Rule);
            }
        }
        for column in &rows.columns {
            if types.kept(column.type_oid).writes {
                let hazard = Hazard::Column;
                touches.row_hazards.insert(column.relation, hazard);
            }
        }
        touches
    }

    /// What triggers and stored expressions run.
    fn code(&mut self, rows: &Rows, functions: &Functions) {
        for trigger in &rows.triggers {
            let mut reach = Reach::default();
            let writes = functions.reaching(trigger.function, &mut reach).writes;
            if trigger.relation == 0 {
                self.commands |= writes || !reach.is_nothing();
                continue;
            }
            if !functions.is_declared(trigger.function) {
                self.rewritten.insert(trigger.relation);
            }
            if writes {
                let hazard = Hazard::Trigger(trigger.function);
                self.hazards.insert(trigger.relation, hazard);
            }
            add(&mut self.reached, trigger.relation, reach);
        }
        for expression in &rows.expressions {
            let (tree, mut reach) = (Tree::scan(&expression.tree), Reach::default());
            let writes = functions.of_tree_reaching(&tree, &mut reach).writes;
            match expression.place {
                Place::Policy | Place::Trigger => {
                    add(&mut self.reached, expression.owner, reach);
                }
                Place::Write | Place::Read => add(&mut self.row_reached, expression.owner, reach),
                Place::Index => {
                    self.commands |= !reach.is_nothing();
                    add(&mut self.row_reached, expression.owner, reach);
                }
                // Types do not follow what a declared function reaches.
                Place::Domain => {}
            }
            let (hazards, hazard) = match expression.place {
                _ if !writes => continue,
                Place::Policy => (&mut self.hazards, Hazard::Policy),
                Place::Trigger => (&mut self.hazards, Hazard::Condition),
                Place::Write | Place::Read => (&mut self.row_hazards, Hazard::Stored),
                Place::Index => {
                    self.commands = true;
                    (&mut self.row_hazards, Hazard::Index)
                }
                Place::Domain => continue,
            };
            hazards.entry(expression.owner).or_insert(hazard);
        }
    }

    /// What a write touches, and whether without declared functions' doing.
    pub(super) fn of(
        &self,
        relations: &Relations,
        relation: Oid,
        kind: WriteKind,
    ) -> (Touched, bool) {
        match self.trace(relations, relation, kind) {
            Ok((touched, alone)) => (Touched::Relations(touched.into_keys().collect()), alone),
            Err(_) => (Touched::Everything, false),
        }
    }

    /// The same, and why each.
    pub(super) fn trace(
        &self,
        relations: &Relations,
        relation: Oid,
        kind: WriteKind,
    ) -> Result<(BTreeMap<Oid, Because>, bool), Unbounded> {
        let first = match kind {
            WriteKind::Insert | WriteKind::Copy => Act::Insert,
            WriteKind::Update => Act::Update,
            WriteKind::Delete => Act::Delete,
            WriteKind::Truncate { cascade } => Act::Truncate { cascade },
        };
        let mut work = vec![(relation, first, Because::Named)];
        let mut seen = HashSet::new();
        let mut touched = BTreeMap::new();
        let mut alone = true;
        while let Some((relation, act, because)) = work.pop() {
            if !seen.insert((relation, act)) {
                continue;
            }
            let Some(found) = relations.get(relation) else {
                return Err(Unbounded::Unknown);
            };
            if let Some(hazard) = self.runs_code(relation, act) {
                return Err(Unbounded::Code(relation, hazard));
            }
            touched.entry(relation).or_insert(because);
            for reached in self.reached_by(found, relation, act) {
                alone = false;
                let declared = Because::DeclaredOn(relation);
                work.extend(EVERY_WAY.map(|act| (*reached, act, declared)));
            }
            match found.kind {
                b'r' | b'p' => self.spread(relation, found.kind, act, &mut work),
                b'v' if self.rewritten.contains(&relation) || relations.runs(relation).writes => {
                    return Err(Unbounded::View(relation));
                }
                b'v' => {
                    let below = found.below.iter();
                    work.extend(below.map(|below| (*below, act, Because::Below(relation))));
                }
                // REFRESH runs the query, and what its indexes run.
                b'm' if relations.query_writes(relation) => {
                    return Err(Unbounded::Query(relation));
                }
                b'm' | b'S' => {}
                _ => return Err(Unbounded::Elsewhere(relation)),
            }
        }
        Ok((touched, alone))
    }

    /// What declared functions write when that happens.
    fn reached_by<'a>(
        &'a self,
        found: &'a Relation,
        relation: Oid,
        act: Act,
    ) -> impl Iterator<Item = &'a Oid> {
        let always = self.reached.get(&relation).into_iter().flatten();
        let row = new_row(act).then(|| self.row_reached.get(&relation));
        let row = row.flatten().into_iter().flatten();
        always.chain(row).chain(&found.written)
    }

    /// Whether REINDEX, ANALYZE, COMMENT and their kin may write.
    pub(super) fn commands(&self) -> bool {
        self.commands
    }

    /// Its partitions and inheritance children.
    pub(super) fn children_of(&self, relation: Oid) -> &[Oid] {
        self.children.get(&relation).map_or(&[], Vec::as_slice)
    }

    fn runs_code(&self, relation: Oid, act: Act) -> Option<Hazard> {
        if let Some(hazard) = self.hazards.get(&relation) {
            return Some(*hazard);
        }
        match new_row(act) {
            true if self.casts => Some(Hazard::Cast),
            true => self.row_hazards.get(&relation).copied(),
            false => None,
        }
    }

    fn spread(&self, relation: Oid, kind: u8, act: Act, work: &mut Vec<Step>) {
        // INSERT into an inheritance parent stays there; into a partitioned table it goes to a partition.
        if act != Act::Insert || kind == b'p' {
            let children = self.children.get(&relation).into_iter().flatten();
            work.extend(children.map(|child| (*child, act, Because::ChildOf(relation))));
        }
        if act == Act::Update && kind == b'p' {
            work.push((relation, Act::Delete, Because::Named));
        }
        for referenced in self.with_ancestors(relation) {
            for reference in self.referencing.get(&referenced).into_iter().flatten() {
                let next = match (act, reference.on_delete, reference.on_update) {
                    (Act::Delete, b'c', _) => Act::Delete,
                    (Act::Delete, b'n' | b'd', _) | (Act::Update, _, b'c' | b'n' | b'd') => {
                        Act::Update
                    }
                    (Act::Truncate { cascade: true }, ..) => act,
                    _ => continue,
                };
                let key = Because::ForeignKeyTo(referenced);
                work.push((reference.relation, next, key));
            }
        }
    }

    fn with_ancestors(&self, relation: Oid) -> Vec<Oid> {
        let mut all = vec![relation];
        let mut next = 0;
        while let Some(at) = all.get(next).copied() {
            for parent in self.parents.get(&at).into_iter().flatten() {
                if !all.contains(parent) {
                    all.push(*parent);
                }
            }
            next += 1;
        }
        all
    }
}
