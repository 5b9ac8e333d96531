//! Logging in upstream: from the startup message to the first ReadyForQuery.
//!
//! * A password leaves in clear text only where nobody can listen: over TLS or a Unix socket.
//! * A server that asked for SCRAM must prove that it knows the secret before its word counts; an `AuthenticationOk`
//!   without that proof is refused.
//! * Where the login must be bound to the connection, nothing else is answered: not even a server that asks nothing is
//!   believed.
//! * What Larder cannot answer is said, with what to do; nothing weaker is tried instead.
//! * The work of deriving SCRAM's keys is done off the session's thread, and once: the same password under the same
//!   salt gives the same keys.
//!
//! Not here: dialing, TLS, the time limit of it all.

use super::exchange::{Heard, hear, say};
use crate::wire::frame::{self, LONGEST_SEEN};
use crate::wire::message;
use crate::wire::scram::{self, Challenge, Keys, NONCE, Prover};
use crate::wire::verifier::Md5Hash;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};

/// The longest secret of a BackendKeyData (protocol 3.2).
const LONGEST_SECRET: usize = 256;
/// How many bytes a greeting may have.
const LONGEST_GREETING: usize = LONGEST_SEEN;

/// What logs a user in upstream. Its `Debug` shows nothing of it.
#[derive(Debug)]
pub enum Credentials {
    /// Nothing: for a server that does not ask.
    None,
    /// The password.
    Password(Password),
    /// The keys of SCRAM, as a client's proof gives them. They fit a server that keeps the same secret (salt and
    /// iterations, too) as the one that the proof was about.
    Scram(Keys),
    /// The hash of `md5…`.
    Md5(Md5Hash),
}

impl Credentials {
    /// A password.
    pub fn password(text: &str) -> Credentials {
        Credentials::Password(Password {
            text: text.into(),
            derived: Mutex::default(),
        })
    }

    fn kind(&self) -> &'static str {
        match self {
            Credentials::None => "no password",
            Credentials::Password(_) => "the password",
            Credentials::Scram(_) => "only the SCRAM keys",
            Credentials::Md5(_) => "only the md5 hash",
        }
    }
}

impl PartialEq for Credentials {
    /// Whether both log in alike.
    fn eq(&self, other: &Credentials) -> bool {
        match (self, other) {
            (Credentials::None, Credentials::None) => true,
            (Credentials::Password(one), Credentials::Password(other)) => one.text == other.text,
            (Credentials::Scram(one), Credentials::Scram(other)) => one == other,
            (Credentials::Md5(one), Credentials::Md5(other)) => one == other,
            _ => false,
        }
    }
}

/// A password, with the keys that were derived from it last.
pub struct Password {
    text: Box<str>,
    derived: Mutex<Option<(Challenge, Keys)>>,
}

impl Password {
    async fn keys(&self, challenge: Challenge) -> Result<Keys, LoginError> {
        let lock = || self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, keys)) = &*lock()
            && *known == challenge
        {
            return Ok(keys.clone());
        }
        let (password, asked) = (self.text.clone(), challenge.clone());
        let derive =
            move || Keys::derive(password.as_bytes(), &challenge.salt, challenge.iterations);
        let keys = tokio::task::spawn_blocking(derive)
            .await
            .map_err(io::Error::other)?;
        *lock() = Some((asked, keys.clone()));
        Ok(keys)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How to log in.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The startup message's parameters: `user`, `database` and whatever else.
    pub parameters: &'a [(Box<str>, Box<str>)],
    /// With what.
    pub credentials: &'a Credentials,
    /// The `tls-server-end-point` of the upstream's certificate, if the connection is TLS.
    pub channel_binding: Option<&'a [u8]>,
    /// Whether the login must be bound to it (`channel_binding=require`).
    pub must_bind: bool,
    /// Nobody can listen: TLS or a Unix socket.
    pub private: bool,
}

/// A connection on which queries may be sent.
#[derive(Debug)]
pub struct LoggedIn<S> {
    /// The connection.
    pub stream: S,
    /// What was received behind the greeting.
    pub unread: Vec<u8>,
    /// What the server reported of its settings, in order.
    pub statuses: Vec<(Box<str>, Box<str>)>,
    /// BackendKeyData's process; 0 if there was none.
    pub pid: i32,
    /// BackendKeyData's secret, of 4 to 256 bytes; empty if there was none.
    pub secret: Box<[u8]>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The upstream's ErrorResponse, head included, as it came.
    #[error("the upstream refused the login")]
    Refused(Box<[u8]>),
    /// The connection broke, or what came was not PostgreSQL's protocol.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What Larder cannot do, or must not; for people.
    #[error("{0}")]
    Unable(String),
}

/// Logs in.
///
/// # Errors
/// The upstream's refusal; what Larder cannot answer; a broken connection.
pub async fn login<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    how: &Login<'_>,
) -> Result<LoggedIn<S>, LoginError> {
    let mut upstream = Upstream {
        stream,
        pending: Vec::new(),
    };
    say(&mut upstream.stream, &startup(how.parameters)?).await?;
    upstream.authenticate(how).await?;
    upstream.greeted().await
}

/// A StartupMessage of protocol 3.0.
fn startup(parameters: &[(Box<str>, Box<str>)]) -> Result<Vec<u8>, LoginError> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for (name, value) in parameters {
        if name.is_empty() || name.contains('\0') || value.contains('\0') {
            return Err(LoginError::Unable(
                "a startup parameter has no name or contains a NUL byte".into(),
            ));
        }
        for word in [name, value] {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.append(&mut body);
    Ok(packet)
}

struct Upstream<S> {
    stream: S,
    pending: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Upstream<S> {
    /// The next message that means something; an ErrorResponse is the end.
    async fn next(&mut self) -> Result<(u8, Vec<u8>), LoginError> {
        loop {
            match hear(&mut self.stream, &mut self.pending, b"", LONGEST_SEEN).await? {
                Heard::Message(b'E', body) => {
                    let mut whole = Vec::new();
                    frame::put(&mut whole, b'E', &body);
                    return Err(LoginError::Refused(whole.into()));
                }
                // Notices; what the server says of the protocol's version, which is the oldest there is.
                Heard::Message(b'N' | b'v', _) => {}
                Heard::Message(tag, body) => return Ok((tag, body)),
                Heard::Ended => {
                    let text = "the upstream closed the connection during the login";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
                }
                Heard::TooLong | Heard::Other(_) => return Err(unexpected()),
            }
        }
    }

    async fn answer(&mut self, body: &[u8]) -> Result<(), LoginError> {
        let mut out = Vec::new();
        frame::put(&mut out, b'p', body);
        Ok(say(&mut self.stream, &out).await?)
    }

    /// Answers what is asked, once, up to AuthenticationOk.
    async fn authenticate(&mut self, how: &Login<'_>) -> Result<(), LoginError> {
        let (code, data) = self.request().await?;
        if how.must_bind && code != 10 {
            return Err(unbound());
        }
        match code {
            0 => return Ok(()),
            3 => self.cleartext(how).await?,
            5 => self.md5(how, &data).await?,
            10 => self.scram(how, &data).await?,
            2 | 6 | 7 | 8 | 9 => return Err(method(code)),
            _ => return Err(unexpected()),
        }
        match self.request().await? {
            (0, _) => Ok(()),
            _ => Err(unexpected()),
        }
    }

    /// The next Authentication message: its code and what follows.
    async fn request(&mut self) -> Result<(u32, Vec<u8>), LoginError> {
        let (b'R', mut body) = self.next().await? else {
            return Err(unexpected());
        };
        let code = body.first_chunk::<4>().ok_or_else(unexpected)?;
        let code = u32::from_be_bytes(*code);
        body.drain(..4);
        Ok((code, body))
    }

    async fn cleartext(&mut self, how: &Login<'_>) -> Result<(), LoginError> {
        let Credentials::Password(password) = how.credentials else {
            return Err(lacking("the password itself", how.credentials));
        };
        if !how.private {
            return Err(LoginError::Unable(
                "the upstream asks for the password in clear text on a connection that others can read: use TLS to it \
                 (sslmode=require), or scram-sha-256 in its pg_hba.conf"
                    .into(),
            ));
        }
        let text = [password.text.as_bytes(), b"\0"].concat();
        self.answer(&text).await
    }

    async fn md5(&mut self, how: &Login<'_>, salt: &[u8]) -> Result<(), LoginError> {
        let salt = <[u8; 4]>::try_from(salt).map_err(|_| unexpected())?;
        let response = match how.credentials {
            Credentials::Md5(hash) => hash.response(salt),
            Credentials::Password(password) => {
                let user = how.parameters.iter().rfind(|(name, _)| &**name == "user");
                let user = user.map_or("", |(_, value)| value);
                Md5Hash::derive(user, password.text.as_bytes()).response(salt)
            }
            other => return Err(lacking("the password or its md5 hash", other)),
        };
        self.answer(&[&response[..], b"\0"].concat()).await
    }

    /// The whole exchange, up to the server's proof.
    async fn scram(&mut self, how: &Login<'_>, mechanisms: &[u8]) -> Result<(), LoginError> {
        let offers = |name: &str| mechanisms.split(|b| *b == 0).any(|m| m == name.as_bytes());
        if !offers(scram::MECHANISM) {
            return Err(foreign(mechanisms));
        }
        if !matches!(
            how.credentials,
            Credentials::Password(_) | Credentials::Scram(_)
        ) {
            return Err(lacking("the password or its SCRAM keys", how.credentials));
        }
        let plus = offers(scram::MECHANISM_PLUS);
        let mut prover = Prover::new(nonce()?, how.channel_binding, plus);
        if how.must_bind && prover.mechanism() != scram::MECHANISM_PLUS {
            return Err(unbound());
        }
        let first = prover.first();
        let mut initial = [prover.mechanism().as_bytes(), b"\0"].concat();
        initial.extend_from_slice(&(first.len() as u32).to_be_bytes());
        initial.extend_from_slice(&first);
        self.answer(&initial).await?;

        let challenge = prover.challenge(&self.sasl(11).await?).map_err(broken)?;
        let keys = match how.credentials {
            Credentials::Password(password) => password.keys(challenge).await?,
            Credentials::Scram(keys) => keys.clone(),
            other => return Err(lacking("the password or its SCRAM keys", other)),
        };
        let proof = prover.proof(&keys);
        self.answer(&proof).await?;
        prover.finish(&self.sasl(12).await?).map_err(broken)
    }

    /// The data of the SASL message that must come now.
    async fn sasl(&mut self, expected: u32) -> Result<Vec<u8>, LoginError> {
        match self.request().await? {
            (code, data) if code == expected => Ok(data),
            (0, _) => Err(LoginError::Unable(
                "the upstream let us in without proving that it knows the password: it is not the server it should be"
                    .into(),
            )),
            _ => Err(unexpected()),
        }
    }

    /// What the server says of itself, until it is ready.
    async fn greeted(mut self) -> Result<LoggedIn<S>, LoginError> {
        let (mut statuses, mut pid, mut secret) = (Vec::new(), 0, Box::default());
        let mut bytes = 0;
        loop {
            let (tag, body) = self.next().await?;
            bytes += body.len();
            if bytes > LONGEST_GREETING {
                return Err(unexpected());
            }
            match tag {
                b'S' => {
                    let status = message::parameter_status(&body).ok_or_else(unexpected)?;
                    statuses.push((status.0.into(), status.1.into()));
                }
                b'K' => {
                    let (process, rest) = body.split_first_chunk().ok_or_else(unexpected)?;
                    if !(4..=LONGEST_SECRET).contains(&rest.len()) {
                        return Err(unexpected());
                    }
                    (pid, secret) = (i32::from_be_bytes(*process), rest.into());
                }
                b'Z' => {
                    return Ok(LoggedIn {
                        stream: self.stream,
                        unread: self.pending,
                        statuses,
                        pid,
                        secret,
                    });
                }
                _ => return Err(unexpected()),
            }
        }
    }
}

/// A fresh nonce.
///
/// # Errors
/// The kernel has no random bytes.
pub fn nonce() -> io::Result<String> {
    let mut bytes = [0; NONCE];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(scram::nonce(&bytes))
}

fn unexpected() -> LoginError {
    let text = "the upstream said something during the login that is not PostgreSQL's protocol";
    io::Error::new(io::ErrorKind::InvalidData, text).into()
}

fn broken(error: scram::Broken) -> LoginError {
    LoginError::Unable(error.to_string())
}

fn lacking(needed: &str, credentials: &Credentials) -> LoginError {
    LoginError::Unable(format!(
        "the upstream asks for {needed}, and Larder knows {} of this user: give its password in [[users]] \
         (upstream_password), or change how the upstream's pg_hba.conf asks",
        credentials.kind()
    ))
}

fn unbound() -> LoginError {
    LoginError::Unable(
        "channel_binding=require, and the upstream does not offer SCRAM-SHA-256-PLUS on this connection: it needs TLS, \
         and scram-sha-256 in pg_hba.conf"
            .into(),
    )
}

fn method(code: u32) -> LoginError {
    let name = match code {
        2 => "Kerberos 5",
        6 => "SCM credentials",
        9 => "SSPI",
        _ => "GSSAPI",
    };
    LoginError::Unable(format!(
        "the upstream asks for {name}, which Larder does not speak: use scram-sha-256 in its pg_hba.conf for Larder's \
         address"
    ))
}

fn foreign(mechanisms: &[u8]) -> LoginError {
    let names = mechanisms.split(|b| *b == 0).filter(|m| !m.is_empty());
    let names: Vec<String> = names.map(|m| m.escape_ascii().to_string()).collect();
    LoginError::Unable(format!(
        "the upstream asks for {}, which Larder does not speak: use scram-sha-256 in its pg_hba.conf for Larder's \
         address",
        names.join(", ").chars().take(100).collect::<String>()
    ))
}

#[cfg(test)]
mod login_tests;
