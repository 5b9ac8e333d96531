//! `[pool]`: how the connections to the upstream are shared, in PgBouncer's words.

use super::values::{a_duration, maybe_parsed, parsed};
use std::time::Duration;

/// `[pool]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pool {
    /// When a client gives its connection back.
    pub mode: PoolMode,
    /// Connections per user, database and startup parameters. 0: no limit. Default: 0 in session mode, else 20.
    #[serde(deserialize_with = "maybe_parsed")]
    pub pool_size: Option<usize>,
    /// So many more for clients that have waited for `reserve_timeout`.
    #[serde(deserialize_with = "parsed")]
    pub reserve: usize,
    /// See `reserve`.
    #[serde(deserialize_with = "a_duration")]
    pub reserve_timeout: Duration,
    /// So many are kept open, once a pool was used.
    #[serde(deserialize_with = "parsed")]
    pub min_pool_size: usize,
    /// Clients at a time. 0: no limit.
    #[serde(deserialize_with = "parsed")]
    pub max_client_conn: usize,
    /// How long a client waits for a connection. 0: for ever.
    #[serde(deserialize_with = "a_duration")]
    pub query_wait_timeout: Duration,
    /// How long a connection that nobody uses is kept. 0: for ever.
    #[serde(deserialize_with = "a_duration")]
    pub server_idle_timeout: Duration,
    /// How old a connection may be when it is given to a client. 0: any age.
    #[serde(deserialize_with = "a_duration")]
    pub server_lifetime: Duration,
    /// How long a client may leave a transaction open without a word. 0: for ever.
    #[serde(deserialize_with = "a_duration")]
    pub idle_transaction_timeout: Duration,
}

/// `pool.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// When it leaves.
    Session,
    /// After each transaction, unless the connection holds something of the client's.
    Transaction,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool {
            mode: PoolMode::Session,
            pool_size: None,
            reserve: 0,
            reserve_timeout: Duration::from_secs(5),
            min_pool_size: 0,
            max_client_conn: 0,
            query_wait_timeout: Duration::from_secs(120),
            server_idle_timeout: Duration::from_secs(600),
            server_lifetime: Duration::from_secs(3600),
            idle_transaction_timeout: Duration::ZERO,
        }
    }
}

impl Pool {
    /// The limit of one pool on each of so many threads; `None`: none.
    pub fn size_on(&self, threads: usize) -> Option<usize> {
        let size = match (self.pool_size, self.mode) {
            (Some(size), _) => size,
            (None, PoolMode::Session) => 0,
            (None, PoolMode::Transaction) => 20,
        };
        (size > 0).then(|| size.div_ceil(threads.max(1)))
    }

    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(size) = self.pool_size.filter(|size| *size > 0)
            && self.min_pool_size > size
        {
            let least = self.min_pool_size;
            wrong.push(format!(
                "pool.min_pool_size ({least}) is more than pool.pool_size ({size}): raise the one or lower the other"
            ));
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_shared_by_the_threads() {
        let mut pool = Pool::default();
        assert_eq!(pool.size_on(2), None, "a session keeps its connection");
        pool.mode = PoolMode::Transaction;
        assert_eq!(pool.size_on(2), Some(10));
        pool.pool_size = Some(3);
        assert_eq!((pool.size_on(2), pool.size_on(8)), (Some(2), Some(1)));
        pool.min_pool_size = 4;
        assert_eq!(pool.contradictions().len(), 1);
    }
}
