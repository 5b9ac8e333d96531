//! What a SELECT reads where an operator answers for its functions, operators and types.
//!
//! * His word is not taken against what is known: what declared functions read is read, what they write is written, and a
//!   function of PostgreSQL's own that acts is no read. Else a sequence would stand still, and a lock be held by nobody.
//! * It is taken for nothing that a table, a role or the syntax forbids: row security is not the function's.

use super::{Cacheable, Effect, Found, Resolver};
use crate::sql::catalog::{Catalog, Reach, SearchPath};
use crate::sql::query::Query;
use crate::why::Why;

/// What may be overruled by an operator who answers for it: functions, operators and types that are not known to be
/// harmless. Not what the syntax or a table forbids.
const OVERRULED: [Why; 7] = [
    Why::VolatileFunction,
    Why::StableFunction,
    Why::UserFunction,
    Why::UnknownFunction,
    Why::UserOperator,
    Why::UserType,
    Why::ClockColumn,
];

/// Whether an operator may overrule that reason.
pub fn may_overrule(why: Why) -> bool {
    OVERRULED.contains(&why)
}

/// What a SELECT does if its functions, operators and types are taken to read nothing but the tables that it names, and to
/// change nothing: the word of an operator. `None` where something else stands against it.
///
/// The word is not taken against what is known: what declared functions read is read, what they write is written, and
/// a function of PostgreSQL's own that acts (`nextval`, `pg_advisory_lock`, `set_config`) is no read. Views are not
/// looked through: code in a view keeps its reason, as it may hide what a table forbids.
pub fn resolve_trusting(query: &Query, catalog: &Catalog, path: &SearchPath) -> Option<Effect> {
    let resolver = Resolver {
        catalog: Some(catalog),
        path,
    };
    let (mut found, mut reach) = (Found::default(), Reach::default());
    resolver.code(catalog, query, &mut reach);
    let run = resolver.reads(catalog, query, &mut found, &mut reach);
    let mut columns = query.hidden.cast_columns.iter();
    let plain = query.why.is_none()
        && query.targets.is_empty()
        && !query.locks
        && !query.unknown
        && run.why.is_none()
        && !resolver.acts(catalog, query)
        && columns.all(|column| catalog.never_text(&found.named, column))
        && !found.catalogs
        && reach.writes.is_empty()
        && !found.below.is_empty();
    plain.then(|| {
        found.below.sort_unstable();
        found.below.dedup();
        Effect {
            reads: Ok(Cacheable {
                relations: found.below.into_boxed_slice(),
            }),
            ..Effect::NOTHING
        }
    })
}

impl Resolver<'_> {
    /// Whether a function in the text is known to do more than to give a value, and is nobody's own.
    fn acts(&self, catalog: &Catalog, query: &Query) -> bool {
        let mut functions = query.functions.iter();
        let mut fields = query.attributes.iter().chain(&query.fields);
        functions.any(|(name, arguments)| catalog.acts(name, *arguments, self.path))
            || fields.any(|name| catalog.field_acts(name))
    }
}
