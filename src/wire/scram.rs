//! SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it, both roles: bytes in, bytes out.
//!
//! * A salted password is never kept longer than its keys take to be derived, and no `Debug` shows a key: what is in a
//!   log logs in (hazard 76).
//! * What decides over a login is compared in constant time: how long a refusal took tells nothing.
//! * Nonces are given by the caller, so that the RFC's own examples are tests.
//!
//! Not here: the messages' frames, the clock, sockets; who is known (`net::users`).

mod prover;
mod server;

pub use prover::{Broken, Challenge, Prover};
pub use server::{Binding, Refusal, Server, Step};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// The mechanism without channel binding.
pub const MECHANISM: &str = "SCRAM-SHA-256";
/// The mechanism with channel binding.
pub const MECHANISM_PLUS: &str = "SCRAM-SHA-256-PLUS";
/// The one kind of channel binding that PostgreSQL knows.
const END_POINT: &str = "tls-server-end-point";

/// PostgreSQL's default (`scram_iterations`).
pub const ITERATIONS: u32 = 4096;
/// Bytes of a salt that PostgreSQL makes.
pub const SALT: usize = 16;
/// Bytes of a nonce before base64, as PostgreSQL's.
pub const NONCE: usize = 18;

/// A key or a digest.
pub type Key = [u8; 32];

/// What proves a login: either is enough with the other party's, none is the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// `ClientKey`: who has it logs in.
    pub client: Key,
    /// `ServerKey`: who has it is the server.
    pub server: Key,
}

impl Keys {
    /// The keys of a password under a salt. This is the work that SCRAM asks for: some thousand hashes.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Keys {
        let salted = salted(&prepared(password), salt, iterations);
        Keys {
            client: keyed(&salted, &[b"Client Key"]),
            server: keyed(&salted, &[b"Server Key"]),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(***)")
    }
}

/// What a server keeps of a password: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// How often the password is hashed.
    pub iterations: u32,
    /// The salt's bytes.
    pub salt: Box<[u8]>,
    stored: Key,
    server: Key,
}

impl Secret {
    /// The secret of a password.
    pub fn derive(password: &[u8], salt: &[u8], iterations: u32) -> Secret {
        let keys = Keys::derive(password, salt, iterations);
        Secret {
            iterations,
            salt: salt.into(),
            stored: digest(&[&keys.client]),
            server: keys.server,
        }
    }

    /// Reads the form that `pg_authid` has.
    pub fn parse(text: &str) -> Option<Secret> {
        let (iterations, rest) = text
            .strip_prefix(MECHANISM)?
            .strip_prefix('$')?
            .split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text| Key::try_from(STANDARD.decode(text).ok()?).ok();
        let iterations = iterations.parse().ok().filter(|n| *n > 0)?;
        Some(Secret {
            iterations,
            salt: STANDARD.decode(salt).ok()?.into(),
            stored: key(stored)?,
            server: key(server)?,
        })
    }

    /// A secret that no password fits, with a salt that is the same each time: a client cannot tell it from a real
    /// one, so it cannot tell who is known (PostgreSQL's mock authentication).
    pub fn mock(user: &str, process: &Key) -> Secret {
        let salt = digest(&[user.as_bytes(), process]);
        Secret {
            iterations: ITERATIONS,
            salt: salt[..SALT].into(),
            stored: [0; 32],
            server: [0; 32],
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// SASLprep where the password allows it, else the password as it is: PostgreSQL takes any bytes.
fn prepared(password: &[u8]) -> Vec<u8> {
    let prepared = std::str::from_utf8(password)
        .ok()
        .and_then(|text| stringprep::saslprep(text).ok());
    match prepared {
        // PostgreSQL counts a password of which nothing is left as one that cannot be prepared.
        Some(text) if !text.is_empty() => text.as_bytes().to_vec(),
        _ => password.to_vec(),
    }
}

/// `Hi` of RFC 5802.
fn salted(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let key = hmac(password);
    let mut last = chained(&key, &[salt, &1u32.to_be_bytes()]);
    let mut all = last;
    for _ in 1..iterations {
        last = chained(&key, &[&last]);
        for (all, last) in all.iter_mut().zip(last) {
            *all ^= last;
        }
    }
    all
}

fn hmac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of every length: the fallback is never used.
    Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()))
}

fn chained(key: &Hmac<Sha256>, parts: &[&[u8]]) -> Key {
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HMAC over the parts.
fn keyed(key: &[u8], parts: &[&[u8]]) -> Key {
    chained(&hmac(key), parts)
}

/// SHA-256 over the parts.
fn digest(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn xor(mut one: Key, other: &Key) -> Key {
    for (one, other) in one.iter_mut().zip(other) {
        *one ^= other;
    }
    one
}

/// Whether two keys are equal; how long it took does not tell where they differ.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

/// What both sides sign: the bytes of three messages.
fn auth_message(first_bare: &[u8], server_first: &[u8], without_proof: &[u8]) -> Vec<u8> {
    [first_bare, server_first, without_proof].join(&b',')
}

/// A nonce's printable form.
pub fn nonce(bytes: &[u8; NONCE]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests;
