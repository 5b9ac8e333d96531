//! A connection of Larder's own, and how it is made: the same way to the upstream as clients take.
//!
//! * It knows which server it reached: what it says of another than the one in use is not believed (P9).
//! * The password is asked for at each login, and a refused one is not used again.
//! * The stream is connected and encrypted by `net`, so that `sslmode` means one thing in the whole process; the driver
//!   is told that TLS is up already, and what the channel binding is.
//!
//! Not here: what is asked over it.

use std::future::{Ready, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{ChannelBinding as Wanted, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Connection, SimpleQueryMessage};

use crate::cache::servers::{Server, Servers, position};
use crate::config::{Address, ChannelBinding as Configured};
use crate::metrics::{Attempt, Counted, Metrics, UpstreamState};
use crate::net::Stream;
use crate::net::pool::Route;

/// How long a connection may take to open and for a small answer: what hangs longer is as good as lost.
pub(super) const SMALL: Duration = Duration::from_secs(5);

pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// By simple query: poolers that share connections do not know our prepared statements.
const FACTS: &str = "SELECT pg_catalog.to_char(pg_catalog.timezone('UTC', pg_catalog.pg_postmaster_start_time()), \
    'YYYY-MM-DD HH24:MI:SS.US'), pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only'), \
    CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_insert_lsn() END";

/// What connections are made with.
pub struct Dialer {
    pub route: Route,
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
    /// Which it is: no two servers were started at the same microsecond.
    pub server: Server,
    pub recovery: bool,
    pub read_only: bool,
}

impl Dialer {
    /// To the server in use.
    pub(super) async fn connect(&self, database: &str) -> Result<Link, Failure> {
        let place = self.route.target.wait(Instant::now() + SMALL).await?;
        self.connect_to(&place.address, database).await
    }

    /// To that server.
    pub(super) async fn connect_to(
        &self,
        address: &Address,
        database: &str,
    ) -> Result<Link, Failure> {
        let route = &self.route;
        let password = route.own.password().await?;
        let mut config = route.upstream.control(database, password.as_ref());
        // The driver's words for "TLS is there from the first byte", which it is by then.
        config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct)
            .channel_binding(match route.upstream.tls.channel_binding {
                Configured::Disable => Wanted::Disable,
                Configured::Prefer => Wanted::Prefer,
                Configured::Require => Wanted::Require,
            });
        let counts = &self.metrics.counts;
        let opened = timeout(SMALL, self.open(address, &config)).await;
        let made = matches!(opened, Ok(Ok(_)));
        counts.is_up(made);
        counts.login(if made { Attempt::Made } else { Attempt::Failed });
        let opened = opened?;
        let (client, connection) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let refused = [
                    SqlState::INVALID_PASSWORD,
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                ];
                if code(&*error).is_some_and(|code| refused.contains(code)) {
                    route.own.refused().await;
                }
                return Err(error);
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

    /// Connects and logs in, by whichever way `sslmode` allows.
    async fn open(&self, address: &Address, config: &Config) -> Result<(Client, Runs), Failure> {
        let (tls, limit) = (
            &self.route.tls.upstream,
            self.route.upstream.connect_timeout,
        );
        let stream = tls.connect(address, limit).await?;
        let other = tls.other_way(&stream);
        match (login(config, stream).await, other) {
            (Err(error), Some(way))
                if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) =>
            {
                let stream = tls.connect_by(way, address, limit).await?;
                Ok(login(config, stream).await?)
            }
            (done, _) => Ok(done?),
        }
    }
}

/// What runs beside a client.
type Runs = Connection<Stream, Stream>;

async fn login(config: &Config, stream: Stream) -> Result<(Client, Runs), tokio_postgres::Error> {
    config.connect_raw(stream, Already).await
}

/// Encrypts nothing: what must be encrypted is.
struct Already;

impl TlsConnect<Stream> for Already {
    type Stream = Stream;
    type Error = io::Error;
    type Future = Ready<io::Result<Stream>>;

    fn connect(self, stream: Stream) -> Self::Future {
        ready(Ok(stream))
    }
}

impl TlsStream for Stream {
    fn channel_binding(&self) -> ChannelBinding {
        self.peer_end_point()
            .map_or_else(ChannelBinding::none, ChannelBinding::tls_server_end_point)
    }
}

impl Link {
    /// Asks the server about itself.
    pub async fn facts(&self, servers: &Servers) -> Result<Facts, Failure> {
        facts(&self.client, servers).await
    }
}

/// Asks a server about itself.
pub(super) async fn facts(client: &Client, servers: &Servers) -> Result<Facts, Failure> {
    let mark = servers.mark();
    let answer = timeout(SMALL, client.simple_query(FACTS)).await??;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let row = row.ok_or("no answer")?;
    let position = row.get(3).and_then(position);
    Ok(Facts {
        server: servers.named(row.get(0).unwrap_or_default(), position, &mark),
        recovery: row.get(1) != Some("f"),
        read_only: row.get(2) != Some("off"),
    })
}

/// The database's own word for what went wrong.
pub(super) fn code<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a SqlState> {
    error.downcast_ref::<tokio_postgres::Error>()?.code()
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
