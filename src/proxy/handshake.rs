//! The first packets of a connection, up to the startup message that is forwarded.
//!
//! * TLS is answered as PostgreSQL answers it: once asked for, never on a Unix socket, and bytes sent behind the request
//!   are refused since CVE-2021-23222: they could have been stuffed in by somebody else (hazard 61). GSSAPI encryption
//!   is refused with 'N'; what the client does next is its choice.
//! * A client that says nothing, or too much, is closed: 60 seconds as PostgreSQL's authentication_timeout, 10,000
//!   bytes as its own limit, a TLS handshake included.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Door, cancel, greeting};
use crate::config::TlsMode;
use crate::metrics::{Counted, UpstreamState};
use crate::net::{Start, Stream};
use crate::session::{Binding, Session};
use crate::wire::message::{self, Severity};
use crate::wire::startup::{Bad, First, LONGEST, Startup, first};

const LIMIT: Duration = Duration::from_secs(60);

/// The first byte of a TLS handshake; no startup packet is that long.
const TLS: u8 = 0x16;

/// A client and its upstream, the startup message forwarded.
pub struct Arrived {
    pub client: Stream,
    pub upstream: Stream,
    pub session: Session,
    /// What the client sent behind its startup message.
    pub unread: Vec<u8>,
    /// What the upstream has answered already.
    pub greeting: Vec<u8>,
    pub counted: Counted,
}

/// Reads the first packets; `None`: the connection is over.
pub async fn run(client: Stream, door: &Door) -> Option<Arrived> {
    let peer = tracing::enabled!(tracing::Level::DEBUG).then(|| client.peer());
    match tokio::time::timeout(LIMIT, Box::pin(packets(client, door))).await {
        Ok(arrived) => arrived,
        Err(_) => {
            tracing::debug!(peer, "a client sent no startup message in time");
            None
        }
    }
}

/// What a client has asked for already; each is answered once.
#[derive(Default)]
struct Asked {
    tls: bool,
    gss: bool,
}

async fn packets(mut client: Stream, door: &Door) -> Option<Arrived> {
    let mut buf = Vec::with_capacity(1024);
    let mut asked = Asked::default();
    loop {
        if buf.first() == Some(&TLS) && !asked.tls && !asked.gss {
            asked.tls = true;
            client = encrypt(client, &buf, Start::Direct, door).await?;
            buf.clear();
        }
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
                refuse(&mut client, "08P01", text, "").await;
                return None;
            }
            Ok(Some((request @ (First::Ssl | First::GssEnc), used))) => {
                let tls = request == First::Ssl;
                let again =
                    std::mem::replace(if tls { &mut asked.tls } else { &mut asked.gss }, true);
                if again {
                    // PostgreSQL takes the second for a version of the protocol.
                    let minor = if tls { 5679 } else { 5680 };
                    refuse_version(&mut client, 1234, minor).await;
                    return None;
                }
                if buf.len() > used {
                    let text = "received unencrypted data after SSL request";
                    refuse(&mut client, "08P01", text, "").await;
                    return None;
                }
                if tls && may_encrypt(&client, door) {
                    client.write_all(b"S").await.ok()?;
                    client = encrypt(client, &[], Start::Asked, door).await?;
                    asked.gss = true; // as PostgreSQL: no other encryption inside
                } else {
                    client.write_all(b"N").await.ok()?;
                }
                used
            }
            Ok(Some((First::Cancel(packet), _))) => {
                cancel::pass(packet, door).await;
                // Clients wait for the end, and with TLS they want it said.
                let _ = client.shutdown().await;
                return None;
            }
            Ok(Some((First::Startup(startup), used))) => {
                let behind = buf[used..].to_vec();
                return arrive(client, &startup, behind, door).await;
            }
        };
        buf.drain(..used);
    }
}

/// Only over TCP: who shares the machine can read no other's socket, and PostgreSQL says no there, too.
fn may_encrypt(client: &Stream, door: &Door) -> bool {
    matches!(client, Stream::Tcp(_)) && door.tls.clients.mode() != TlsMode::Off
}

async fn encrypt(client: Stream, early: &[u8], start: Start, door: &Door) -> Option<Stream> {
    if !may_encrypt(&client, door) {
        return None;
    }
    let Stream::Tcp(socket) = client else {
        return None;
    };
    let peer = tracing::enabled!(tracing::Level::DEBUG).then(|| socket.peer_addr().ok());
    match Box::pin(door.tls.clients.accept(socket, early, start)).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, ?peer, "a client's TLS handshake failed");
            None
        }
    }
}

/// Lets a client through to the upstream, if its way here is as it must be.
async fn arrive(
    mut client: Stream,
    startup: &Startup<'_>,
    unread: Vec<u8>,
    door: &Door,
) -> Option<Arrived> {
    if startup.major != 3 {
        refuse_version(&mut client, startup.major, startup.minor).await;
        return None;
    }
    if door.tls.clients.mode() == TlsMode::Require && matches!(client, Stream::Tcp(_)) {
        let text = "Larder accepts no unencrypted connections over TCP";
        let hint =
            "Connect with sslmode=require, or set tls.mode = \"allow\" in Larder's configuration.";
        refuse(&mut client, "28000", text, hint).await;
        return None;
    }
    if door.tls.clients.wants_certificate() && client.is_tls() && !client.has_client_certificate() {
        let text = "connection requires a valid client certificate";
        let hint = "Give the client one (sslcert and sslkey) that is signed by an authority in Larder's tls.client_ca.";
        refuse(&mut client, "28000", text, hint).await;
        return None;
    }
    let mut session = Session::new(door.thread.clone(), startup);
    let (upstream, greeting, counted) = connect(&mut client, startup.packet, door).await?;
    session.binds(binding(&client, &upstream));
    Some(Arrived {
        client,
        upstream,
        session,
        unread,
        greeting,
        counted,
    })
}

/// What becomes of channel binding between the two connections.
fn binding(client: &Stream, upstream: &Stream) -> Binding {
    if !upstream.is_tls() {
        return Binding::Kept;
    }
    if !client.is_tls() {
        return Binding::Hidden;
    }
    let ours = client.server_end_point();
    // Where both show the same certificate, it holds from end to end.
    if ours.is_some() && ours == upstream.peer_end_point() {
        Binding::Kept
    } else {
        Binding::Broken
    }
}

async fn connect(
    client: &mut Stream,
    startup: &[u8],
    door: &Door,
) -> Option<(Stream, Vec<u8>, Counted)> {
    let connecting = door.metrics.upstream(UpstreamState::Connecting);
    let reached = greeting::reach(startup, door).await;
    drop(connecting);
    match reached {
        Ok((upstream, greeting)) => {
            let counted = door.metrics.upstream(UpstreamState::Client);
            Some((upstream, greeting, counted))
        }
        Err(error) => {
            let address = &door.upstream.address;
            tracing::warn!(%error, upstream = %address, "cannot connect to the upstream");
            let text = format!("cannot connect to the database behind Larder: {error}");
            let hint = "Larder itself is up. Check upstream.url and whether PostgreSQL accepts connections.";
            refuse(client, "08001", &text, hint).await;
            None
        }
    }
}

async fn refuse_version(client: &mut Stream, major: u16, minor: u16) {
    let text = format!("unsupported frontend protocol {major}.{minor}: Larder speaks 3.0");
    refuse(client, "0A000", &text, "").await;
}

async fn refuse(client: &mut Stream, sqlstate: &str, text: &str, hint: &str) {
    let mut out = Vec::new();
    message::put_error(&mut out, Severity::Fatal, sqlstate, text, hint);
    let _ = client.write_all(&out).await;
    let _ = client.shutdown().await;
}
