//! Larder's own connections: what is asked of the upstream that no client asked.
//!
//! * Everything here runs with a search path of its own, under names with their schema: nothing that a user made
//!   can stand in for what PostgreSQL brings with it.
//!
//! Not here: conclusions (`sql::catalog`), and what they do to the cache (`cache::version`).

pub mod authfiles;
pub mod authquery;
pub mod control;
pub mod doubt;
pub mod link;
pub mod once;
pub mod primary;
pub mod schema;
pub mod sole;
