//! A connection of Larder's own, and how it is made.
//!
//! * It knows which server it reached: what it says of another than the one in use is not believed (P9).
//! * The password is asked for at each login, and a refused one is not used again.
//!
//! Not here: what is asked over it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::config::{Address, Upstream};
use crate::metrics::{Counted, Metrics, UpstreamState};
use crate::net::{Passwords, Target};

/// How long a connection may take to open and for a small answer: what hangs longer is as good as lost.
pub(super) const SMALL: Duration = Duration::from_secs(5);

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// By simple query: poolers that share connections do not know our prepared statements.
const FACTS: &str = "SELECT pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.pg_postmaster_start_time()), \
    'YYYY-MM-DD HH24:MI:SS.US'), pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

/// What connections are made with.
pub struct Dialer {
    pub upstream: Upstream,
    pub passwords: Passwords,
    pub target: Arc<Target>,
    pub metrics: Arc<Metrics>,
}

/// An open connection; the other half of it runs beside.
pub(super) struct Link {
    pub client: Client,
    /// Ends with the connection.
    pub runs: JoinSet<()>,
    _counted: Counted,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// When it was started: no two servers were at the same microsecond.
    pub started: String,
    pub recovery: bool,
    pub read_only: bool,
}

impl Dialer {
    /// To the server in use.
    pub(super) async fn connect(&self, database: &str) -> Result<Link, Failure> {
        let address = self.target.wait(Instant::now() + SMALL).await?;
        self.connect_to(&address, database).await
    }

    /// To that server.
    pub(super) async fn connect_to(
        &self,
        address: &Address,
        database: &str,
    ) -> Result<Link, Failure> {
        let password = self.passwords.get().await?;
        let config = self.upstream.control(address, database, password.as_ref());
        let opened = timeout(SMALL, config.connect(NoTls)).await?;
        let (client, connection) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let refused = [
                    SqlState::INVALID_PASSWORD,
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                ];
                if error.code().is_some_and(|code| refused.contains(code)) {
                    self.passwords.refused().await;
                }
                return Err(error.into());
            }
        };
        let mut runs = JoinSet::new();
        runs.spawn(async move {
            let _ = connection.await;
        });
        Ok(Link {
            client,
            runs,
            _counted: self.metrics.upstream(UpstreamState::Control),
        })
    }
}

impl Link {
    /// Asks the server about itself.
    pub async fn facts(&self) -> Result<Facts, Failure> {
        let answer = timeout(SMALL, self.client.simple_query(FACTS)).await??;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let row = row.ok_or("no answer")?;
        Ok(Facts {
            started: row.get(0).unwrap_or_default().to_owned(),
            recovery: row.get(1) != Some("f"),
            read_only: row.get(2) != Some("off"),
        })
    }
}

/// What went wrong, without the query: the database's own words and their cause.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
