//! Backends whose last write was never answered.
//!
//! * Such a write is in doubt until its backend is gone: only then has it committed or never will.
//! * A process identifier is used again, so the start time counts too; where it is hidden (the asking role may not
//!   see other roles' sessions) the identifier alone decides, which can only take longer.
//!
//! Not here: how often to ask.

use tokio_postgres::{Client, Error};

/// True once no backend with this pid and, where it is known and shown, this `backend_start` (in UTC, as
/// the session read it of itself) is left.
///
/// # Errors
/// The connection's.
pub async fn gone(client: &Client, pid: i32, backend_start: Option<&str>) -> Result<bool, Error> {
    let query = "SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity \
         WHERE pid OPERATOR(pg_catalog.=) $1 AND ($2::pg_catalog.text IS NULL OR backend_start IS NULL \
         OR pg_catalog.to_char(pg_catalog.timezone('UTC', backend_start), 'YYYY-MM-DD HH24:MI:SS.US') \
         OPERATOR(pg_catalog.=) $2))";
    let row = client.query_one(query, &[&pid, &backend_start]).await?;
    row.try_get(0)
}

/// Ends that backend, if its start time is known, shown and the same: never another that got its pid. False where
/// there is none, or this role may not.
///
/// # Errors
/// The connection's, and a lacking privilege (SQLSTATE 42501).
pub async fn terminate(client: &Client, pid: i32, backend_start: &str) -> Result<bool, Error> {
    let query = "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
         WHERE pid OPERATOR(pg_catalog.=) $1 \
         AND pg_catalog.to_char(pg_catalog.timezone('UTC', backend_start), 'YYYY-MM-DD HH24:MI:SS.US') \
         OPERATOR(pg_catalog.=) $2::pg_catalog.text";
    match client.query_opt(query, &[&pid, &backend_start]).await? {
        Some(row) => row.try_get(0),
        None => Ok(false),
    }
}
