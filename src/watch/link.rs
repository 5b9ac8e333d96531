//! A control connection's opening: the same way to the upstream as clients take.
//!
//! * The stream is connected and encrypted by `net`, so that `sslmode` means one thing in the whole process; the driver
//!   is told that TLS is up already, and what the channel binding is.

use std::future::{Ready, ready};
use std::io;

use tokio_postgres::config::{ChannelBinding as Wanted, SslMode, SslNegotiation};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{Client, Config, Connection};

use super::control::Failure;
use crate::config::{ChannelBinding as Configured, Upstream};
use crate::net::{Stream, Tls};

/// What runs beside a client.
pub type Runs = Connection<Stream, Stream>;

/// Connects and logs in.
pub async fn open(
    upstream: &Upstream,
    tls: &Tls,
    database: &str,
) -> Result<(Client, Runs), Failure> {
    let mut config = upstream.control(database);
    // The driver's words for "TLS is there from the first byte", which it is by then.
    config
        .ssl_mode(SslMode::Require)
        .ssl_negotiation(SslNegotiation::Direct)
        .channel_binding(match upstream.tls.channel_binding {
            Configured::Disable => Wanted::Disable,
            Configured::Prefer => Wanted::Prefer,
            Configured::Require => Wanted::Require,
        });
    let (address, limit) = (&upstream.address, upstream.connect_timeout);
    let stream = tls.upstream.connect(address, limit).await?;
    let other = tls.upstream.other_way(&stream);
    match (login(&config, stream).await, other) {
        (Err(error), Some(way))
            if error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION) =>
        {
            let stream = tls.upstream.connect_by(way, address, limit).await?;
            Ok(login(&config, stream).await?)
        }
        (done, _) => Ok(done?),
    }
}

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
