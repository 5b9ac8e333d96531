//! What a statement does: pure functions over its text and the catalog.
//!
//! `analyse` looks at the text alone; `resolve` holds it against a [`catalog::Catalog`]. Default deny: what is
//! not proven cacheable is not, what is not proven read-only is a write to all it may touch.

pub mod because;
pub mod canonical;
pub mod catalog;
pub mod clock;
pub mod determined;
pub mod explained;
pub mod hint;
pub mod parse;
pub mod query;
pub mod statement;
pub mod verdict;

pub use catalog::{Catalog, Oid};
pub use clock::reads_the_clock;
pub use determined::{Determined, determined};
pub use parse::analyse;
pub use query::Query;
pub use statement::{Analysis, Statement};
pub use verdict::{
    Cacheable, Effect, Touched, may_overrule, resolve, resolve_execute, resolve_trusting,
};
