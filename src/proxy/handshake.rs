//! The first packets of a connection, up to the startup message that is forwarded.
//!
//! * Encryption is refused with 'N' until it is there; bytes sent behind such a request are refused, as PostgreSQL
//!   does since CVE-2021-23222: they could have been stuffed in by somebody else (hazard 61).
//! * A client that says nothing, or too much, is closed: 60 seconds as PostgreSQL's authentication_timeout, 10,000
//!   bytes as its own limit.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Door, cancel};
use crate::metrics::{Counted, UpstreamState};
use crate::net::Stream;
use crate::session::Session;
use crate::wire::message::{self, Severity};
use crate::wire::startup::{Bad, First, LONGEST, first};

const LIMIT: Duration = Duration::from_secs(60);

/// A client and its upstream, the startup message forwarded.
pub struct Arrived {
    pub client: Stream,
    pub upstream: Stream,
    pub session: Session,
    /// What the client sent behind its startup message.
    pub unread: Vec<u8>,
    pub counted: Counted,
}

/// Reads the first packets; `None`: the connection is over.
pub async fn run(mut client: Stream, door: &Door) -> Option<Arrived> {
    match tokio::time::timeout(LIMIT, packets(&mut client, door)).await {
        Ok(Some((upstream, session, unread, counted))) => Some(Arrived {
            client,
            upstream,
            session,
            unread,
            counted,
        }),
        Ok(None) => None,
        Err(_) => {
            tracing::debug!(
                peer = client.peer(),
                "a client sent no startup message in time"
            );
            None
        }
    }
}

async fn packets(client: &mut Stream, door: &Door) -> Option<(Stream, Session, Vec<u8>, Counted)> {
    let mut buf = Vec::with_capacity(1024);
    loop {
        let used = match first(&buf) {
            Ok(None) => {
                if buf.len() > LONGEST || client.read_buf(&mut buf).await.ok()? == 0 {
                    return None;
                }
                continue;
            }
            Err(Bad::Length) => return None, // as PostgreSQL: no answer to what is not its protocol
            Err(Bad::Layout) => {
                let text = "invalid startup packet layout: expected terminator as last byte";
                refuse(client, "08P01", text, "").await;
                return None;
            }
            Ok(Some((First::Ssl | First::GssEnc, used))) => {
                if buf.len() > used {
                    let text = "received unencrypted data after SSL request";
                    refuse(client, "08P01", text, "").await;
                    return None;
                }
                client.write_all(b"N").await.ok()?;
                used
            }
            Ok(Some((First::Cancel(packet), _))) => {
                cancel::pass(packet, door).await;
                return None;
            }
            Ok(Some((First::Startup(startup), used))) => {
                if startup.major != 3 {
                    let text = format!(
                        "unsupported frontend protocol {}.{}: Larder speaks 3.0 to 3.2",
                        startup.major, startup.minor
                    );
                    refuse(client, "0A000", &text, "").await;
                    return None;
                }
                let session = Session::new(door.thread.clone(), &startup);
                let (mut upstream, counted) = connect(client, door).await?;
                upstream.write_all(startup.packet).await.ok()?;
                return Some((upstream, session, buf[used..].to_vec(), counted));
            }
        };
        buf.drain(..used);
    }
}

async fn connect(client: &mut Stream, door: &Door) -> Option<(Stream, Counted)> {
    let connecting = door.metrics.upstream(UpstreamState::Connecting);
    let dialed = door.target.dial(door.connect_timeout).await;
    drop(connecting);
    match dialed {
        Ok((upstream, _)) => Some((upstream, door.metrics.upstream(UpstreamState::Client))),
        Err(error) => {
            let hosts: Vec<_> = door
                .target
                .hosts()
                .iter()
                .map(ToString::to_string)
                .collect();
            tracing::warn!(%error, upstream = hosts.join(","), "cannot connect to the upstream");
            let text = format!("cannot connect to the database behind Larder: {error}");
            let hint = "Larder itself is up. Check upstream.url and whether PostgreSQL accepts connections.";
            refuse(client, "08001", &text, hint).await;
            None
        }
    }
}

async fn refuse(client: &mut Stream, sqlstate: &str, text: &str, hint: &str) {
    let mut out = Vec::new();
    message::put_error(&mut out, Severity::Fatal, sqlstate, text, hint);
    let _ = client.write_all(&out).await;
    let _ = client.shutdown().await;
}
