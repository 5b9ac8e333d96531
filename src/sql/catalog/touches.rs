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
//! Not here: single rows; which relation a statement names.

use super::datatypes::Datatypes;
use super::functions::Functions;
use super::nodetree::Tree;
use super::relations::Relations;
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
    /// Views and tables with a trigger or rule of any kind.
    rewritten: HashSet<Oid>,
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
        for trigger in &rows.triggers {
            let writes = functions.by_oid(trigger.function).writes;
            if trigger.relation == 0 {
                touches.commands |= writes;
                continue;
            }
            touches.rewritten.insert(trigger.relation);
            if writes {
                touches.hazards.insert(trigger.relation);
            }
        }
        for rule in &rows.rules {
            if !rule.view {
                touches.rewritten.insert(rule.relation);
                touches.hazards.insert(rule.relation);
            }
        }
        for expression in &rows.expressions {
            let writes = functions.of_tree(&Tree::scan(&expression.tree)).writes;
            match expression.place {
                _ if !writes => {}
                Place::Policy | Place::Trigger => drop(touches.hazards.insert(expression.owner)),
                Place::Write | Place::Read => drop(touches.row_hazards.insert(expression.owner)),
                Place::Index => {
                    touches.row_hazards.insert(expression.owner);
                    touches.commands = true;
                }
                Place::Domain => {}
            }
        }
        for column in &rows.columns {
            if types.kept(column.type_oid).writes {
                touches.row_hazards.insert(column.relation);
            }
        }
        touches
    }

    pub(super) fn of(&self, relations: &Relations, relation: Oid, kind: WriteKind) -> Touched {
        let first = match kind {
            WriteKind::Insert | WriteKind::Copy => Act::Insert,
            WriteKind::Update => Act::Update,
            WriteKind::Delete => Act::Delete,
            WriteKind::Truncate { cascade } => Act::Truncate { cascade },
        };
        let mut work = vec![(relation, first)];
        let mut seen = HashSet::new();
        let mut touched = BTreeSet::new();
        while let Some((relation, act)) = work.pop() {
            if !seen.insert((relation, act)) {
                continue;
            }
            let Some(found) = relations.get(relation) else {
                return Touched::Everything;
            };
            if self.runs_code(relation, act) {
                return Touched::Everything;
            }
            touched.insert(relation);
            match found.kind {
                b'r' | b'p' => self.spread(relation, found.kind, act, &mut work),
                b'v' if self.rewritten.contains(&relation) || relations.runs(relation).writes => {
                    return Touched::Everything;
                }
                b'v' => work.extend(found.below.iter().map(|below| (*below, act))),
                // REFRESH runs the query, and what its indexes run.
                b'm' if relations.query_writes(relation) => return Touched::Everything,
                b'm' | b'S' => {}
                _ => return Touched::Everything,
            }
        }
        Touched::Relations(touched.into_iter().collect())
    }

    /// Whether REINDEX, ANALYZE, COMMENT and their kin may write.
    pub(super) fn commands(&self) -> bool {
        self.commands
    }

    fn runs_code(&self, relation: Oid, act: Act) -> bool {
        let new_row = matches!(act, Act::Insert | Act::Update);
        self.hazards.contains(&relation)
            || (new_row && (self.casts || self.row_hazards.contains(&relation)))
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
