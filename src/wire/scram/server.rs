//! The server's role: Larder judges a client, in PostgreSQL's own words (`auth-scram.c`).
//!
//! * A known user with a wrong password and an unknown one go through the same steps: the proof is computed in both.
//! * Channel binding is judged as PostgreSQL does: a client that could bind but believes that we cannot ('y') while we
//!   offer it has been lied to by somebody between, and is refused.
//! * A message that RFC 5802 does not allow is refused, never guessed at (hazard 64). Nothing of it but single
//!   printable characters gets into an error.

use super::{
    END_POINT, Key, Keys, MECHANISM, MECHANISM_PLUS, Secret, auth_message, digest, equal, keyed,
    xor,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PROTOCOL_VIOLATION: &str = "08P01";
const NOT_SUPPORTED: &str = "0A000";
const INVALID_AUTHORIZATION: &str = "28000";

/// An error that ends the exchange, as PostgreSQL would report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The SQLSTATE.
    pub sqlstate: &'static str,
    /// The message.
    pub message: String,
    /// The detail, or nothing.
    pub detail: String,
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this, and read on.
    Continue(Vec<u8>),
    /// The client is who it says: send this. The keys log in where the same secret is kept.
    Proven(Vec<u8>, Keys),
    /// It is not.
    Wrong,
}

/// The mechanism that the client chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding<'a> {
    /// SCRAM-SHA-256 on a connection without TLS, or whose certificate gives nothing to bind to.
    Impossible,
    /// SCRAM-SHA-256 though SCRAM-SHA-256-PLUS was offered.
    Offered,
    /// SCRAM-SHA-256-PLUS: our certificate's `tls-server-end-point`.
    Chosen(&'a [u8]),
}

impl<'a> Binding<'a> {
    /// What a client's choice of mechanism means; `end_point` is what there is to bind to.
    pub fn choice(mechanism: &[u8], end_point: Option<&'a [u8]>) -> Result<Binding<'a>, Refusal> {
        match end_point {
            Some(data) if mechanism == MECHANISM_PLUS.as_bytes() => Ok(Binding::Chosen(data)),
            Some(_) if mechanism == MECHANISM.as_bytes() => Ok(Binding::Offered),
            None if mechanism == MECHANISM.as_bytes() => Ok(Binding::Impossible),
            _ => Err(violation(
                "client selected an invalid SASL authentication mechanism",
                "",
            )),
        }
    }
}

enum State {
    Start,
    Challenged(Challenged),
    Over,
}

struct Challenged {
    /// The gs2 header, as the last message must repeat it.
    header: &'static str,
    first_bare: Box<[u8]>,
    server_first: String,
    /// The client's nonce and ours.
    nonce: String,
}

/// One exchange.
pub struct Server<'a> {
    secret: &'a Secret,
    /// The user is not known, or has no password: it fails in the end, and not before.
    doomed: bool,
    binding: Binding<'a>,
    nonce: String,
    state: State,
}

impl<'a> Server<'a> {
    /// An exchange about `secret`; `doomed` with [`Secret::mock`].
    pub fn new(secret: &'a Secret, doomed: bool, binding: Binding<'a>, nonce: String) -> Self {
        Server {
            secret,
            doomed,
            binding,
            nonce,
            state: State::Start,
        }
    }

    /// Takes the client's next message.
    pub fn step(&mut self, message: &[u8]) -> Result<Step, Refusal> {
        // Whatever is refused ends the exchange.
        let state = std::mem::replace(&mut self.state, State::Over);
        if message.is_empty() {
            return Err(malformed("The message is empty."));
        }
        if message.contains(&0) {
            return Err(malformed("Message length does not match input length."));
        }
        match state {
            State::Start => self.first(message),
            State::Challenged(challenged) => self.last(&challenged, message),
            State::Over => Err(violation("invalid SCRAM exchange state", "")),
        }
    }

    fn first(&mut self, message: &[u8]) -> Result<Step, Refusal> {
        let mut rest = Reader(message);
        let header = self.flag(&mut rest)?;
        match rest.peek() {
            Some(b'a') => {
                let text = "client uses authorization identity, but it is not supported";
                return Err(refusal(NOT_SUPPORTED, text, ""));
            }
            Some(b',') => rest.skip(),
            other => {
                return Err(malformed(&format!(
                    "Unexpected attribute \"{}\" in client-first-message.",
                    shown(other)
                )));
            }
        }
        let bare = rest.0;
        if rest.peek() == Some(b'm') {
            let text = "client requires an unsupported SCRAM extension";
            return Err(refusal(NOT_SUPPORTED, text, ""));
        }
        rest.attribute(b'n')?; // PostgreSQL takes the name from the startup message
        let nonce = rest.attribute(b'r')?;
        if !nonce.iter().all(|b| (0x21..=0x7e).contains(b)) {
            return Err(violation("non-printable characters in SCRAM nonce", ""));
        }
        let nonce = [&*String::from_utf8_lossy(nonce), &self.nonce].concat();
        while rest.peek().is_some() {
            rest.any_attribute()?;
        }
        let salt = STANDARD.encode(&self.secret.salt);
        let server_first = format!("r={nonce},s={salt},i={}", self.secret.iterations);
        let answer = server_first.clone().into_bytes();
        self.state = State::Challenged(Challenged {
            header,
            first_bare: bare.into(),
            server_first,
            nonce,
        });
        Ok(Step::Continue(answer))
    }

    /// Reads the channel binding's flag and gives the header that belongs to it.
    fn flag(&self, rest: &mut Reader<'_>) -> Result<&'static str, Refusal> {
        let chosen = matches!(self.binding, Binding::Chosen(_));
        let flag = rest.peek();
        match flag {
            Some(b'n' | b'y') if chosen => Err(malformed(
                "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.",
            )),
            Some(b'y') if self.binding == Binding::Offered => Err(refusal(
                INVALID_AUTHORIZATION,
                "SCRAM channel binding negotiation error",
                "The client supports SCRAM channel binding but thinks the server does not.  \
                 However, this server does support channel binding.",
            )),
            Some(b'n' | b'y') => {
                rest.skip();
                match rest.peek() {
                    Some(b',') => rest.skip(),
                    other => {
                        return Err(malformed(&format!(
                            "Comma expected, but found character \"{}\".",
                            shown(other)
                        )));
                    }
                }
                Ok(if flag == Some(b'y') { "y,," } else { "n,," })
            }
            Some(b'p') if !chosen => Err(malformed(
                "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel \
                 binding data.",
            )),
            Some(b'p') => {
                let kind = rest.attribute(b'p')?;
                if kind != END_POINT.as_bytes() {
                    let kind: String = kind.iter().take(30).map(|b| printable(*b)).collect();
                    let text = format!("unsupported SCRAM channel-binding type \"{kind}\"");
                    return Err(violation(&text, ""));
                }
                Ok("p=tls-server-end-point,,")
            }
            other => Err(malformed(&format!(
                "Unexpected channel-binding flag \"{}\".",
                shown(other)
            ))),
        }
    }

    fn last(&self, challenged: &Challenged, message: &[u8]) -> Result<Step, Refusal> {
        let mut rest = Reader(message);
        self.bound(challenged, rest.attribute(b'c')?)?;
        let nonce = rest.attribute(b'r')?;
        let (proof, without_proof) = loop {
            let before = message.len() - rest.0.len();
            let (name, value) = rest.any_attribute()?;
            if name == b'p' {
                break (value, &message[..before.saturating_sub(1)]);
            }
        };
        let Some(proof) = STANDARD
            .decode(proof)
            .ok()
            .and_then(|p| Key::try_from(p).ok())
        else {
            return Err(malformed("Malformed proof in client-final-message."));
        };
        if rest.peek().is_some() {
            return Err(malformed(
                "Garbage found at the end of client-final-message.",
            ));
        }
        if nonce != challenged.nonce.as_bytes() {
            return Err(violation("invalid SCRAM response", "Nonce does not match."));
        }
        let signed = auth_message(
            &challenged.first_bare,
            challenged.server_first.as_bytes(),
            without_proof,
        );
        Ok(self.judge(proof, &signed))
    }

    fn judge(&self, proof: Key, signed: &[u8]) -> Step {
        let signature = keyed(&self.secret.stored, &[signed]);
        let client = xor(proof, &signature);
        let fits = equal(&digest(&[&client]), &self.secret.stored);
        if !fits || self.doomed {
            return Step::Wrong;
        }
        let server = self.secret.server;
        let signature = STANDARD.encode(keyed(&server, &[signed]));
        Step::Proven(
            format!("v={signature}").into_bytes(),
            Keys { client, server },
        )
    }

    /// Whether the last message is bound to what the first said, and to our certificate.
    fn bound(&self, challenged: &Challenged, found: &[u8]) -> Result<(), Refusal> {
        let header = challenged.header.as_bytes();
        if let Binding::Chosen(data) = self.binding {
            let expected = STANDARD.encode([header, data].concat());
            if found != expected.as_bytes() {
                let text = "SCRAM channel binding check failed";
                return Err(refusal(INVALID_AUTHORIZATION, text, ""));
            }
        } else if found != STANDARD.encode(header).as_bytes() {
            let text = "unexpected SCRAM channel-binding attribute in client-final-message";
            return Err(violation(text, ""));
        }
        Ok(())
    }
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn skip(&mut self) {
        self.0 = self.0.get(1..).unwrap_or_default();
    }

    /// The value up to the next comma, which is taken, too.
    fn value(&mut self, name: u8) -> Result<&'a [u8], Refusal> {
        self.skip();
        if self.peek() != Some(b'=') {
            return Err(malformed(&format!(
                "Expected character \"=\" for attribute \"{}\".",
                char::from(name)
            )));
        }
        self.skip();
        let all = self.0;
        let end = all.iter().position(|b| *b == b',').unwrap_or(all.len());
        self.0 = all.get(end + 1..).unwrap_or_default();
        Ok(&all[..end])
    }

    fn attribute(&mut self, name: u8) -> Result<&'a [u8], Refusal> {
        if self.peek() != Some(name) {
            return Err(malformed(&format!(
                "Expected attribute \"{}\" but found \"{}\".",
                char::from(name),
                shown(self.peek())
            )));
        }
        self.value(name)
    }

    fn any_attribute(&mut self) -> Result<(u8, &'a [u8]), Refusal> {
        match self.peek() {
            None => Err(malformed("Attribute expected, but found end of string.")),
            Some(name) if name.is_ascii_alphabetic() => Ok((name, self.value(name)?)),
            other => Err(malformed(&format!(
                "Attribute expected, but found invalid character \"{}\".",
                shown(other)
            ))),
        }
    }
}

fn refusal(sqlstate: &'static str, message: &str, detail: &str) -> Refusal {
    Refusal {
        sqlstate,
        message: message.to_owned(),
        detail: detail.to_owned(),
    }
}

fn violation(message: &str, detail: &str) -> Refusal {
    refusal(PROTOCOL_VIOLATION, message, detail)
}

fn malformed(detail: &str) -> Refusal {
    violation("malformed SCRAM message", detail)
}

/// A byte of the client's for an error's text; the end of a message is a NUL to PostgreSQL.
fn shown(byte: Option<u8>) -> String {
    match byte.unwrap_or(0) {
        byte @ 0x21..=0x7e => format!("'{}'", char::from(byte)),
        byte => format!("0x{byte:02x}"),
    }
}

fn printable(byte: u8) -> char {
    match byte {
        0x21..=0x7e => char::from(byte),
        _ => '?',
    }
}
