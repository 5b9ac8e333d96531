//! Channel binding in a login that is relayed: SCRAM-SHA-256-PLUS binds it to one TLS connection, and here are two.
//!
//! * A client without TLS is not offered it: libpq takes the offer for an attack, and would not log in at all.
//! * A client with TLS binds the login to a certificate that the upstream does not have, or says that it could
//!   (`y`) where the upstream knows better: the upstream would call either an attack. It is told before, and what to do.
//!
//! Logins that Larder verifies itself are not relayed, and bind as they should.

use super::Session;
use crate::wire::{frame, message};

/// What becomes of channel binding between a client and its upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// It is what the client sees: there is none, or both connections show the same certificate.
    Kept,
    /// The upstream may offer it, the client has no TLS.
    Hidden,
    /// Each connection has a TLS of its own.
    Broken,
    /// … and the upstream has offered it.
    Offered,
}

/// AuthenticationSASL
const SASL: [u8; 4] = 10u32.to_be_bytes();
const PLUS: &[u8] = b"SCRAM-SHA-256-PLUS";

impl Session {
    /// Says what becomes of channel binding, before the first byte.
    pub fn binds(&mut self, binding: Binding) {
        self.flow.binding = binding;
    }

    /// Passes a message of the upstream's during a login on.
    pub(super) fn relay_login(&mut self, tag: u8, body: &[u8], raw: &[u8], out: &mut Vec<u8>) {
        let offered = (tag == b'R').then(|| body.strip_prefix(&SASL)).flatten();
        match (self.flow.binding, offered) {
            (Binding::Hidden, Some(list)) => {
                let mut kept = SASL.to_vec();
                for name in list.split(|byte| *byte == 0) {
                    if name != PLUS && !name.is_empty() {
                        kept.extend_from_slice(name);
                        kept.push(0);
                    }
                }
                kept.push(0);
                frame::put(out, b'R', &kept);
            }
            (Binding::Broken, Some(list)) => {
                if list.split(|byte| *byte == 0).any(|name| name == PLUS) {
                    self.flow.binding = Binding::Offered;
                }
                out.extend_from_slice(raw);
            }
            _ => out.extend_from_slice(raw),
        }
    }

    /// Whether a client's answer to the offer (SASLInitialResponse) cannot succeed.
    pub(super) fn breaks_binding(&mut self, body: &[u8]) -> bool {
        if self.flow.binding != Binding::Offered {
            return false;
        }
        self.flow.binding = Binding::Broken;
        let Some((_, rest)) = message::cstr(body) else {
            return false;
        };
        // The length, then the flag of RFC 5802: `n`, `y` or `p`.
        matches!(rest.get(4), Some(b'y' | b'p'))
    }
}
