//! The first packets of a connection, up to the startup message that is forwarded.
//!
//! * TLS is answered as PostgreSQL answers it: once asked for, never on a Unix socket, and bytes sent behind the request
//!   are refused since CVE-2021-23222: they could have been stuffed in by somebody else (hazard 61). GSSAPI encryption
//!   is refused with 'N'; what the client does next is its choice.
//! * A client that says nothing, or too much, is closed: 60 seconds as PostgreSQL's authentication_timeout, 10,000
//!   bytes as its own limit, a TLS handshake included.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::far::Far;
use super::line::Line;
use super::reception::Admitted;
use super::verify::{Verified, verify};
use super::{Console, Door, Visitor, cancel, greeting, reception};
use crate::config::TlsMode;
use crate::metrics::{Counted, Listed, Name, UpstreamState};
use crate::net::pool::Refusal;
use crate::net::users::{Check, Found};
use crate::net::{Start, Stream};
use crate::session::{Binding, Session, database_name};
use crate::wire::message::{self, Severity};
use crate::wire::startup::{Bad, First, LONGEST, Startup, first};

const LIMIT: Duration = Duration::from_secs(60);

/// The first byte of a TLS handshake; no startup packet is that long.
const TLS: u8 = 0x16;

/// A client and its upstream, the startup message forwarded.
pub struct Arrived {
    pub client: Stream,
    pub upstream: Far,
    pub session: Session,
    /// What the client sent behind its startup message.
    pub unread: Vec<u8>,
    /// The upstream has answered already.
    pub greeted: bool,
    /// One of those that are counted, and on the roll; set when it has come so far.
    pub admitted: Option<(Admitted, Listed)>,
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
    matches!(client, Stream::Tcp(_)) && door.pools.tls.clients.mode() != TlsMode::Off
}

async fn encrypt(client: Stream, early: &[u8], start: Start, door: &Door) -> Option<Stream> {
    if !may_encrypt(&client, door) {
        return None;
    }
    let Stream::Tcp(socket) = client else {
        return None;
    };
    let peer = tracing::enabled!(tracing::Level::DEBUG).then(|| socket.peer_addr().ok());
    match Box::pin(door.pools.tls.clients.accept(socket, early, start)).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, ?peer, "a client's TLS handshake failed");
            None
        }
    }
}

/// What is wrong with a client's way here, and what to do.
fn bad_way(client: &Stream, door: &Door) -> Option<(&'static str, &'static str)> {
    let tls = &door.pools.tls.clients;
    if tls.mode() == TlsMode::Require && matches!(client, Stream::Tcp(_)) {
        return Some((
            "Larder accepts no unencrypted connections over TCP",
            "Connect with sslmode=require, or set tls.mode = \"allow\" in Larder's configuration.",
        ));
    }
    let shows_none = tls.wants_certificate() && client.is_tls() && !client.has_client_certificate();
    shows_none.then_some((
        "connection requires a valid client certificate",
        "Give the client one (sslcert and sslkey) that is signed by an authority in Larder's tls.client_ca.",
    ))
}

/// Why no client may come in now, if an operator has said so: SQLSTATE, words, and what to do.
fn closed(database: &str, door: &Door) -> Option<(&'static str, String, &'static str)> {
    let gates = &door.pools.target.gates;
    if gates.is_leaving() {
        let text = "Larder is stopping and takes no new clients".to_owned();
        return Some(("57P03", text, "Connect to another."));
    }
    gates.is_disabled(database).then(|| {
        let text = format!("database \"{database}\" is not currently accepting connections");
        let hint = "An operator of Larder has disabled it: ENABLE on Larder's console.";
        ("55000", text, hint)
    })
}

/// Lets a client through to the upstream, if its way here is as it must be.
async fn arrive(
    mut client: Stream,
    startup: &Startup<'_>,
    mut unread: Vec<u8>,
    door: &Door,
) -> Option<Arrived> {
    if startup.major != 3 {
        refuse_version(&mut client, startup.major, startup.minor).await;
        return None;
    }
    if let Some((text, hint)) = bad_way(&client, door) {
        refuse(&mut client, "28000", text, hint).await;
        return None;
    }
    if let Some(console) = &door.console
        && console.is_meant(database_name(startup), startup)
    {
        // Where clients have taken every place, an operator is needed most.
        visit(client, startup, unread, door, console).await;
        return None;
    }
    if let Some((state, text, hint)) = closed(database_name(startup), door) {
        refuse(&mut client, state, &text, hint).await;
        return None;
    }
    let Some(admitted) = door.reception.admit() else {
        let hint = "Larder's pool.max_client_conn is reached.";
        refuse(
            &mut client,
            "53300",
            "sorry, too many clients already",
            hint,
        )
        .await;
        return None;
    };
    let arrived = match verified(&mut client, startup, &mut unread, door).await? {
        Verified::Ours(credentials) => {
            let home = reception::let_in(&mut client, startup, &credentials, door).await?;
            let session = Session::welcomed(door.thread.clone(), startup, home.greeting());
            Some(Arrived {
                client,
                upstream: Far::pooled(home),
                session,
                unread,
                greeted: false,
                admitted: None,
            })
        }
        Verified::Relay => relay(client, startup, unread, door).await,
        Verified::Refused => None,
    };
    arrived.map(|arrived| {
        let listed = door.pools.metrics.roll.client(Name {
            peer: arrived.client.peer().into(),
            tls: arrived.client.is_tls(),
            ..name(startup)
        });
        Arrived {
            admitted: Some((admitted, listed)),
            ..arrived
        }
    })
}

/// Who a client says that he is.
fn name(startup: &Startup<'_>) -> Name {
    let text = |name: &str| startup.get(name).unwrap_or_default().into();
    Name {
        user: text("user"),
        database: database_name(startup).into(),
        application: text("application_name"),
        ..Name::default()
    }
}

/// Lets an operator into the console. Larder itself is the judge: nobody is relayed there, and nobody trusted.
async fn visit(
    mut client: Stream,
    startup: &Startup<'_>,
    mut unread: Vec<u8>,
    door: &Door,
    console: &Console,
) {
    let user = startup.get("user").unwrap_or_default();
    let Some(role) = console.role(user) else {
        let text = format!("user \"{user}\" may not use Larder's console");
        let hint =
            "Name the user in admin.admin_users or admin.stats_users of Larder's configuration.";
        return refuse(&mut client, "28000", &text, hint).await;
    };
    if let Found::Known(known) = door.reception.users.find(user).await
        && !matches!(known.check, Check::Scram(_))
    {
        let text = "Larder's console takes a password by SCRAM-SHA-256 only";
        let hint = "Give the user a password or a SCRAM verifier in [[users]], not an md5 hash.";
        return refuse(&mut client, "28000", text, hint).await;
    }
    match verified(&mut client, startup, &mut unread, door).await {
        Some(Verified::Ours(_)) => {
            let visitor = Visitor {
                user: user.into(),
                role,
            };
            // An operator may rest as long as he likes.
            tokio::task::spawn_local((console.enter)(client, unread, visitor));
        }
        Some(Verified::Relay) => {
            let text = format!("Larder does not know the password of user \"{user}\"");
            let hint = "The console is Larder's own: give the user a password in [[users]], or in upstream.url.";
            refuse(&mut client, "28000", &text, hint).await;
        }
        Some(Verified::Refused) | None => {}
    }
}

/// Who the client is, as far as that is Larder's to judge.
async fn verified(
    client: &mut Stream,
    startup: &Startup<'_>,
    unread: &mut Vec<u8>,
    door: &Door,
) -> Option<Verified> {
    let users = &door.reception.users;
    let user = startup.get("user").unwrap_or_default();
    // A replication connection is the upstream's own business from its first byte.
    if user.is_empty() || startup.get("replication").is_some() {
        return Some(Verified::Relay);
    }
    let negotiation = reception::negotiation(startup);
    if !negotiation.is_empty() && matches!(users.find(user).await, Found::Known(_)) {
        client.write_all(&negotiation).await.ok()?;
    }
    let end_point = client.server_end_point();
    let certificate = client.client_certificate_common_name();
    let verified = verify(
        client,
        unread,
        user,
        users,
        end_point.as_deref(),
        certificate.as_deref(),
    );
    verified.await.ok()
}

/// Leaves the judgement to the upstream: the exchange is relayed.
async fn relay(
    mut client: Stream,
    startup: &Startup<'_>,
    unread: Vec<u8>,
    door: &Door,
) -> Option<Arrived> {
    let mut session = Session::new(door.thread.clone(), startup);
    let (database, gates) = (database_name(startup), &door.pools.target.gates);
    if !gates.open(database, reception::PAUSED).await {
        let words = reception::words(&Refusal::Paused(reception::PAUSED));
        let _ = client.write_all(&words).await;
        return None;
    }
    let (upstream, greeting, counted) = connect(&mut client, startup.packet, door).await?;
    session.binds(binding(&client, &upstream));
    let listed = door.pools.metrics.roll.server(Name {
        peer: upstream.peer().into(),
        tls: upstream.is_tls(),
        ..name(startup)
    });
    Some(Arrived {
        client,
        greeted: !greeting.is_empty(),
        upstream: Far::own(Line::new(upstream, greeting), counted, listed),
        session,
        unread,
        admitted: None,
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
    let connecting = door.pools.metrics.upstream(UpstreamState::Connecting);
    let reached = greeting::reach(startup, door).await;
    drop(connecting);
    match reached {
        Ok((upstream, greeting)) => {
            let counted = door.pools.metrics.upstream(UpstreamState::Client);
            Some((upstream, greeting, counted))
        }
        Err(error) => {
            let hosts = door.pools.target.hosts().iter().map(ToString::to_string);
            let upstream = hosts.collect::<Vec<_>>().join(",");
            tracing::warn!(%error, upstream, "cannot connect to the upstream");
            let text = format!("cannot connect to the database behind Larder: {error}");
            let hint = "Larder itself is up. Check upstream.url and whether PostgreSQL accepts connections.";
            refuse(client, "08001", &text, hint).await;
            None
        }
    }
}

async fn refuse_version(client: &mut Stream, major: u16, minor: u16) {
    let text = format!("unsupported frontend protocol {major}.{minor}: Larder speaks 3.0 to 3.2");
    refuse(client, "0A000", &text, "").await;
}

async fn refuse(client: &mut Stream, sqlstate: &str, text: &str, hint: &str) {
    let mut out = Vec::new();
    message::put_error(&mut out, Severity::Fatal, sqlstate, text, hint);
    let _ = client.write_all(&out).await;
    let _ = client.shutdown().await;
}
