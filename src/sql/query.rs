//! What a query's syntax mentions: names to be held against the catalog, and constructs that forbid caching.
//!
//! * A superset is always right here: a name too many makes a verdict stricter, a name too few makes it wrong.
//!
//! Not here: the parser's types (`parse`), the catalog (`verdict`).

use super::catalog::WriteKind;
use super::statement::Name;
use crate::why::Why;

/// A query's syntax.
#[derive(Debug, Default)]
pub struct Query {
    /// The first syntactic reason against caching.
    pub why: Option<Why>,
    /// Takes row locks.
    pub locks: bool,
    /// Contains syntax that the analysis does not know: it may do anything.
    pub unknown: bool,
    /// Relations read; names of WITH queries are resolved away.
    pub reads: Vec<Name>,
    /// Relations written.
    pub targets: Vec<(Name, WriteKind)>,
    /// Everything called like a function, with the number of arguments.
    pub functions: Vec<(Name, usize)>,
    /// Operators, written or implied (`=` of CASE, IN and USING, `~~` of LIKE).
    pub operators: Vec<Name>,
    /// Types of casts, of typed constants and of column definition lists.
    pub types: Vec<Name>,
    /// `f` of `t.f`, which is `f(t)` if `t` has no such column.
    pub attributes: Vec<Box<str>>,
    /// `f` of `(e).f`, which is `f(e)` or a cast to `f` if `e` has no such field.
    pub fields: Vec<Box<str>>,
    /// What the text alone does not decide.
    pub hidden: Hidden,
    /// What matters where a system catalog is read.
    pub catalogs: OfCatalogs,
}

/// What may run or be read although it is not written, if the catalog does not speak against it.
#[derive(Debug, Default)]
pub struct Hidden {
    /// Columns cast to a type that reads the clock in text, by names that nothing inside the query gives: wrong for a
    /// column of text with 'today' in it.
    pub cast_columns: Vec<Box<str>>,
    /// What the grammar has as syntax and an older server calls as a function, if there is one of that name
    /// (`json_array(a)`).
    pub older: Vec<Box<str>>,
    /// Calls `timezone` (AT TIME ZONE), which of a `time` gives a time of today.
    pub zones: bool,
}

/// What a query's text says that decides about a read of system catalogs.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfCatalogs {
    /// Shows columns of a relation without naming each: stars, whole rows, NATURAL, columns that are renamed by place.
    pub whole_rows: bool,
    /// Names a column that changes without DDL (`reltuples`, `xmin` and their kin).
    pub statistics: bool,
    /// Casts to a type whose input looks a name up (`'t'::regclass`): a constant is looked up when it is parsed.
    pub looks_up: bool,
}

impl Query {
    /// Leaves each name once. Short lists are short of repetitions already; long ones must not make a verdict long.
    pub(super) fn dedup(&mut self) {
        fn once<T: Ord>(names: &mut Vec<T>) {
            if names.len() > 32 {
                names.sort_unstable();
                names.dedup();
            }
        }
        once(&mut self.reads);
        once(&mut self.functions);
        once(&mut self.operators);
        once(&mut self.types);
        once(&mut self.attributes);
        once(&mut self.fields);
        once(&mut self.hidden.older);
        once(&mut self.hidden.cast_columns);
    }
}
