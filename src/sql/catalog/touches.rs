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
use std::collections::{BTreeSet, HashMap, HashSet};

/// The graph that writes spread along.
#[derive(Debug, Default)]
pub(super) struct Touches {
    children: HashMap<Oid, Vec<Oid>>,
    parents: HashMap<Oid, Vec<Oid>>,
    /// By the referenced relation.
    referencing: HashMap<Oid, Vec<Reference>>,
    /// Relations where any write runs a user's code: triggers, rules, policies.
    hazards: HashSet<Oid>,
    /// Relations where a new row version runs a user's code: defaults, constraints, indexes, domains.
    row_hazards: HashSet<Oid>,
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

/// What happens to one relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Insert,
    Update,
    Delete,
    Truncate { cascade: bool },
}

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
                touches.hazards.insert(rule.relation);
            }
        }
        for column in &rows.columns {
            if types.kept(column.type_oid).writes {
                touches.row_hazards.insert(column.relation);
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
                self.hazards.insert(trigger.relation);
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
            match expression.place {
                _ if !writes => {}
                Place::Policy | Place::Trigger => drop(self.hazards.insert(expression.owner)),
                Place::Write | Place::Read => drop(self.row_hazards.insert(expression.owner)),
                Place::Index => {
                    self.row_hazards.insert(expression.owner);
                    self.commands = true;
                }
                Place::Domain => {}
            }
        }
    }

    /// What a write touches, and whether without declared functions' doing.
    pub(super) fn of(
        &self,
        relations: &Relations,
        relation: Oid,
        kind: WriteKind,
    ) -> (Touched, bool) {
        let first = match kind {
            WriteKind::Insert | WriteKind::Copy => Act::Insert,
            WriteKind::Update => Act::Update,
            WriteKind::Delete => Act::Delete,
            WriteKind::Truncate { cascade } => Act::Truncate { cascade },
        };
        let mut work = vec![(relation, first)];
        let mut seen = HashSet::new();
        let mut touched = BTreeSet::new();
        let mut alone = true;
        let everything = (Touched::Everything, false);
        while let Some((relation, act)) = work.pop() {
            if !seen.insert((relation, act)) {
                continue;
            }
            let Some(found) = relations.get(relation) else {
                return everything;
            };
            if self.runs_code(relation, act) {
                return everything;
            }
            touched.insert(relation);
            for reached in self.reached_by(found, relation, act) {
                alone = false;
                work.extend(EVERY_WAY.map(|act| (*reached, act)));
            }
            match found.kind {
                b'r' | b'p' => self.spread(relation, found.kind, act, &mut work),
                b'v' if self.rewritten.contains(&relation) || relations.runs(relation).writes => {
                    return everything;
                }
                b'v' => work.extend(found.below.iter().map(|below| (*below, act))),
                // REFRESH runs the query, and what its indexes run.
                b'm' if relations.query_writes(relation) => return everything,
                b'm' | b'S' => {}
                _ => return everything,
            }
        }
        (Touched::Relations(touched.into_iter().collect()), alone)
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

    fn runs_code(&self, relation: Oid, act: Act) -> bool {
        self.hazards.contains(&relation)
            || (new_row(act) && (self.casts || self.row_hazards.contains(&relation)))
    }

    fn spread(&self, relation: Oid, kind: u8, act: Act, work: &mut Vec<(Oid, Act)>) {
        // INSERT into an inheritance parent stays there; into a partitioned table it goes to a partition.
        if act != Act::Insert || kind == b'p' {
            let children = self.children.get(&relation).into_iter().flatten();
            work.extend(children.map(|child| (*child, act)));
        }
        if act == Act::Update && kind == b'p' {
            work.push((relation, Act::Delete));
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
                work.push((reference.relation, next));
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
