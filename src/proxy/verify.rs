//! Verifying a client: Larder asks for the proof, and PostgreSQL's own words refuse it.
//!
//! * No password is ever asked for in clear text: SCRAM for passwords and SCRAM secrets, md5 for md5 hashes.
//! * A wrong password and an unknown user differ in nothing that a client can see: the same messages, the same work
//!   (PostgreSQL's mock authentication).
//! * Whom Larder does not know it does not judge: the exchange is relayed, unless `auth.relay` is off.
//! * A message longer than PostgreSQL takes, or of another type, ends the exchange (hazard 64).
//!
//! An error has no `F`, `L` and `R`: they name a place in PostgreSQL's source. Not here: AuthenticationOk, which follows
//! once the session's greeting is known; the time limit; who is known (`net::users`).

use crate::net::exchange::{Heard, hear, say};
use crate::net::login::{Credentials, nonce};
use crate::net::users::{Check, Found, Known, Users};
use crate::wire::message::put_fatal;
use crate::wire::scram::{Binding, MECHANISM, MECHANISM_PLUS, Refusal, Secret, Server, Step};
use crate::wire::verifier::Md5Hash;
use crate::wire::{frame, message};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// Longest body of a SASL message (`PG_MAX_SASL_MESSAGE_LENGTH`, which counts the length word).
const LONGEST_SASL: usize = 1024 - 4;
/// Longest body of a password message (`PG_MAX_AUTH_TOKEN_LENGTH`).
const LONGEST_PASSWORD: usize = 65_535 - 4;

/// What became of a client's login.
#[derive(Debug)]
pub enum Verified {
    /// Larder was the judge: the client is who it says, and these log it in upstream.
    Ours(Arc<Credentials>),
    /// Nobody that Larder knows, and nothing was said yet: the exchange is to be relayed.
    Relay,
    /// It is over; the client was told, or has left.
    Refused,
}

/// Verifies that the client is `user`. `pending` is what was received behind its startup message; `end_point` our
/// certificate's `tls-server-end-point`, if the connection is TLS and there is one; `certificate` the name in the
/// client's certificate.
///
/// # Errors
/// The client's connection broke.
pub async fn verify<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    pending: &mut Vec<u8>,
    user: &str,
    users: &Users,
    end_point: Option<&[u8]>,
    certificate: Option<&str>,
) -> io::Result<Verified> {
    let mut client = Client {
        stream,
        pending,
        user,
        end_point,
    };
    match users.find(user).await {
        Found::Known(known) => {
            let verified = client.known(&known, certificate).await?;
            if matches!(verified, Verified::Refused) {
                users.failed(user);
            }
            Ok(verified)
        }
        Found::Unknown if users.relay() => Ok(Verified::Relay),
        Found::Unknown => client.scram(&users.mock(user), true, None).await,
        Found::Unreachable(error) => {
            tracing::warn!(error, "auth_query could not be asked");
            if users.relay() {
                return Ok(Verified::Relay);
            }
            let text = "Larder cannot ask the database who may log in";
            client.refuse("57P03", text, "").await
        }
    }
}

struct Client<'a, S> {
    stream: &'a mut S,
    pending: &'a mut Vec<u8>,
    user: &'a str,
    end_point: Option<&'a [u8]>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<'_, S> {
    async fn known(&mut self, known: &Known, certificate: Option<&str>) -> io::Result<Verified> {
        if known.certificate {
            match certificate {
                Some(name) if name == self.user => {}
                Some(_) => {
                    let text = format!(
                        "certificate authentication failed for user \"{}\"",
                        self.user
                    );
                    return self.refuse("28000", &text, "").await;
                }
                None => {
                    let text = "connection requires a valid client certificate";
                    return self.refuse("28000", text, "").await;
                }
            }
        }
        let upstream = known.upstream.clone();
        match (&known.check, upstream) {
            (Check::Scram(secret), upstream) => self.scram(secret, false, upstream).await,
            (Check::Md5(hash), Some(upstream)) => self.md5(hash, upstream).await,
            (Check::Nothing, Some(upstream)) if known.certificate => Ok(Verified::Ours(upstream)),
            (Check::Md5(_) | Check::Nothing, _) => self.wrong().await,
        }
    }

    async fn scram(
        &mut self,
        secret: &Secret,
        doomed: bool,
        upstream: Option<Arc<Credentials>>,
    ) -> io::Result<Verified> {
        let offer: &[&str] = match self.end_point {
            Some(_) => &[MECHANISM_PLUS, MECHANISM],
            None => &[MECHANISM],
        };
        let offer = offer.iter().flat_map(|m| [m.as_bytes(), b"\0"]);
        self.request(
            10,
            &[&offer.collect::<Vec<_>>().concat(), &b"\0"[..]].concat(),
        )
        .await?;
        let Some(body) = self.response("SASL", LONGEST_SASL).await? else {
            return Ok(Verified::Refused);
        };
        let (binding, mut data) = match initial(&body, self.end_point) {
            Ok((binding, data)) => (binding, data.map(<[u8]>::to_vec)),
            Err(refusal) => return self.refused(&refusal).await,
        };
        let mut server = Server::new(secret, doomed, binding, nonce()?);
        loop {
            let step = match data {
                Some(data) => server.step(&data),
                // The client wants to be asked first.
                None => Ok(Step::Continue(Vec::new())),
            };
            match step {
                Ok(Step::Continue(answer)) => self.request(11, &answer).await?,
                Ok(Step::Proven(answer, keys)) => {
                    self.request(12, &answer).await?;
                    let keys = || Arc::new(Credentials::Scram(keys));
                    return Ok(Verified::Ours(upstream.unwrap_or_else(keys)));
                }
                Ok(Step::Wrong) => return self.wrong().await,
                Err(refusal) => return self.refused(&refusal).await,
            }
            data = match self.response("SASL", LONGEST_SASL).await? {
                Some(body) => Some(body),
                None => return Ok(Verified::Refused),
            };
        }
    }

    async fn md5(&mut self, hash: &Md5Hash, upstream: Arc<Credentials>) -> io::Result<Verified> {
        let mut salt = [0; 4];
        getrandom::fill(&mut salt).map_err(io::Error::other)?;
        self.request(5, &salt).await?;
        let Some(body) = self.response("password", LONGEST_PASSWORD).await? else {
            return Ok(Verified::Refused);
        };
        match message::cstr(&body) {
            Some((b"", [])) => {
                self.refuse("28P01", "empty password returned by client", "")
                    .await
            }
            Some((response, [])) if hash.fits(salt, response) => Ok(Verified::Ours(upstream)),
            Some((_, [])) => self.wrong().await,
            _ => {
                self.refuse("08P01", "invalid password packet size", "")
                    .await
            }
        }
    }

    async fn request(&mut self, code: u32, data: &[u8]) -> io::Result<()> {
        let mut out = Vec::new();
        frame::put(&mut out, b'R', &[&code.to_be_bytes(), data].concat());
        say(self.stream, &out).await
    }

    /// The client's answer; `None`: it is over.
    async fn response(&mut self, what: &str, longest: usize) -> io::Result<Option<Vec<u8>>> {
        match hear(self.stream, self.pending, b"p", longest).await? {
            Heard::Message(_, body) => return Ok(Some(body)),
            Heard::Other(tag) => {
                let text = format!("expected {what} response, got message type {tag}");
                self.refuse("08P01", &text, "").await?;
            }
            Heard::TooLong => {
                self.wrong().await?;
            }
            Heard::Ended => {}
        }
        Ok(None)
    }

    async fn wrong(&mut self) -> io::Result<Verified> {
        let text = format!("password authentication failed for user \"{}\"", self.user);
        self.refuse("28P01", &text, "").await
    }

    async fn refused(&mut self, refusal: &Refusal) -> io::Result<Verified> {
        self.refuse(refusal.sqlstate, &refusal.message, &refusal.detail)
            .await
    }

    async fn refuse(&mut self, sqlstate: &str, text: &str, detail: &str) -> io::Result<Verified> {
        let mut out = Vec::new();
        put_fatal(&mut out, sqlstate, text, detail);
        say(self.stream, &out).await?;
        // What the client has not read yet must still reach it, so this end alone is closed.
        let _ = self.stream.shutdown().await;
        Ok(Verified::Refused)
    }
}

/// Reads SASLInitialResponse: the mechanism, and the first message if there is one.
fn initial<'a, 'b>(
    body: &'a [u8],
    end_point: Option<&'b [u8]>,
) -> Result<(Binding<'b>, Option<&'a [u8]>), Refusal> {
    let violation = |message: &str| Refusal {
        sqlstate: "08P01",
        message: message.to_owned(),
        detail: String::new(),
    };
    let (mechanism, rest) =
        message::cstr(body).ok_or_else(|| violation("invalid string in message"))?;
    let binding = Binding::choice(mechanism, end_point)?;
    let (len, data) = rest
        .split_first_chunk()
        .ok_or_else(|| violation("insufficient data left in message"))?;
    match i32::from_be_bytes(*len) {
        -1 if data.is_empty() => Ok((binding, None)),
        -1 => Err(violation("invalid message format")),
        len => match usize::try_from(len) {
            Ok(len) if len == data.len() => Ok((binding, Some(data))),
            Ok(len) if len < data.len() => Err(violation("invalid message format")),
            _ => Err(violation("insufficient data left in message")),
        },
    }
}

#[cfg(test)]
mod verify_tests;
