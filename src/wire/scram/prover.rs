//! The client's role: Larder proves to the upstream that it may log in, and has the upstream prove that it is it.
//!
//! * The server's signature is checked before anything it says afterwards counts: a server without the secret is
//!   refused though it would let us in.
//! * A server's nonce must continue ours, and its iteration count is limited: a lying server costs little
//!   (hazard 64).

use super::{Key, Keys, MECHANISM, MECHANISM_PLUS, auth_message, digest, equal, keyed, xor};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The most iterations that are done for a server; PostgreSQL's default is 4096.
const MOST_ITERATIONS: u32 = 1_000_000;

/// What is wrong with what the server said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not what RFC 5802 says.
    #[error("the upstream's SCRAM message is malformed: {0}")]
    Malformed(&'static str),
    /// `e=…`.
    #[error("the upstream ended the SCRAM exchange: {0}")]
    Refused(String),
    /// The server does not know the secret.
    #[error(
        "the upstream could not prove that it knows the password: it is not the server it should be"
    )]
    Impostor,
}

/// What the keys must be derived for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The salt's bytes.
    pub salt: Box<[u8]>,
    /// How often the password is hashed.
    pub iterations: u32,
}

/// One exchange.
pub struct Prover {
    plus: bool,
    /// The header and what the channel is bound to, as the last message carries them.
    binding: Vec<u8>,
    header: &'static str,
    nonce: String,
    server_first: String,
    server_nonce: String,
    expected: Option<Key>,
}

impl Prover {
    /// An exchange. `binding` is the upstream certificate's `tls-server-end-point`, if the connection is TLS; `offered`
    /// says whether the server offers SCRAM-SHA-256-PLUS.
    pub fn new(nonce: String, binding: Option<&[u8]>, offered: bool) -> Prover {
        let (header, data) = match binding {
            Some(data) if offered => ("p=tls-server-end-point,,", data),
            // "I could, you do not": a server that could learns that somebody stands between.
            Some(_) => ("y,,", &[][..]),
            None => ("n,,", &[][..]),
        };
        Prover {
            plus: header.starts_with('p'),
            binding: [header.as_bytes(), data].concat(),
            header,
            nonce,
            server_first: String::new(),
            server_nonce: String::new(),
            expected: None,
        }
    }

    /// The mechanism to name.
    pub fn mechanism(&self) -> &'static str {
        if self.plus { MECHANISM_PLUS } else { MECHANISM }
    }

    fn first_bare(&self) -> String {
        // PostgreSQL takes the name from the startup message and ignores this one.
        format!("n=,r={}", self.nonce)
    }

    /// The client-first-message.
    pub fn first(&self) -> Vec<u8> {
        format!("{}{}", self.header, self.first_bare()).into_bytes()
    }

    /// Reads the server-first-message.
    pub fn challenge(&mut self, message: &[u8]) -> Result<Challenge, Broken> {
        let wrong = |what| Err(Broken::Malformed(what));
        let Ok(text) = std::str::from_utf8(message) else {
            return wrong("not UTF-8");
        };
        let mut attributes = text.split(',');
        let mut next = |name: &str| attributes.next()?.strip_prefix(name);
        let Some(nonce) = next("r=") else {
            return wrong("no nonce");
        };
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return wrong("the nonce does not continue ours");
        }
        if !nonce.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
            return wrong("the nonce is not printable");
        }
        let Some(salt) = next("s=").and_then(|s| STANDARD.decode(s).ok()) else {
            return wrong("no salt");
        };
        let Some(iterations) = next("i=").and_then(|i| i.parse().ok()) else {
            return wrong("no iteration count");
        };
        if !(1..=MOST_ITERATIONS).contains(&iterations) {
            return wrong("the iteration count is not between 1 and 1,000,000");
        }
        self.server_first = text.to_owned();
        self.server_nonce = nonce.to_owned();
        Ok(Challenge {
            salt: salt.into(),
            iterations,
        })
    }

    /// The client-final-message for the challenge that was read.
    pub fn proof(&mut self, keys: &Keys) -> Vec<u8> {
        let without_proof = format!(
            "c={},r={}",
            STANDARD.encode(&self.binding),
            self.server_nonce
        );
        let signed = auth_message(
            self.first_bare().as_bytes(),
            self.server_first.as_bytes(),
            without_proof.as_bytes(),
        );
        let signature = keyed(&digest(&[&keys.client]), &[&signed]);
        self.expected = Some(keyed(&keys.server, &[&signed]));
        let proof = STANDARD.encode(xor(keys.client, &signature));
        format!("{without_proof},p={proof}").into_bytes()
    }

    /// Reads the server-final-message: `Ok` only if the server knows the secret.
    pub fn finish(&self, message: &[u8]) -> Result<(), Broken> {
        let Ok(text) = std::str::from_utf8(message) else {
            return Err(Broken::Malformed("not UTF-8"));
        };
        let first = text.split(',').next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("e=") {
            let words = error.chars().filter(|c| c.is_ascii_graphic()).take(100);
            return Err(Broken::Refused(words.collect()));
        }
        let signature = first
            .strip_prefix("v=")
            .and_then(|v| STANDARD.decode(v).ok());
        match (signature, self.expected) {
            (Some(signature), Some(expected)) if equal(&signature, &expected) => Ok(()),
            (Some(_), Some(_)) => Err(Broken::Impostor),
            _ => Err(Broken::Malformed("no signature")),
        }
    }
}
