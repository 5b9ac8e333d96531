//! Connecting to an address within a time limit.
//!
//! A name with several addresses is tried in order; the limit covers all of it, the look-up included, so that a client
//! never waits longer than the operator said.

use super::{Address, Stream};
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// Connects, or says why not.
pub async fn dial(address: &Address, limit: Duration) -> io::Result<Stream> {
    let connected = async {
        match address {
            Address::Tcp(host, port) => {
                Stream::tcp(TcpStream::connect((host.as_str(), *port)).await?)
            }
            Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        }
    };
    match tokio::time::timeout(limit, connected).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no connection within {limit:?}"),
        )),
    }
}
