//! What PostgreSQL keeps of a password (`pg_authid.rolpassword`, a PgBouncer userlist): SCRAM secret, md5 hash or plain.
//!
//! * A text is taken for what PostgreSQL takes it for (`get_password_type`), but one that begins like a SCRAM secret
//!   and is none is refused: as a password it would be one that everybody can read in a backup.
//! * No `Debug` shows any of it (hazard 76).

use super::scram;
use md5::{Digest, Md5};
use std::fmt;
use subtle::ConstantTimeEq;

/// What is known of a user's password.
#[derive(Clone, PartialEq, Eq)]
pub enum Verifier {
    /// `SCRAM-SHA-256$…`
    Scram(scram::Secret),
    /// `md5…`
    Md5(Md5Hash),
    /// The password itself.
    Plain(Box<str>),
}

impl Verifier {
    /// Reads what is kept; the error is for people.
    pub fn parse(text: &str) -> Result<Verifier, &'static str> {
        if text.is_empty() {
            return Err("the password is empty: PostgreSQL accepts no empty password");
        }
        if text.contains('\0') {
            return Err("the password contains a NUL byte");
        }
        if let Some(hash) = Md5Hash::parse(text) {
            return Ok(Verifier::Md5(hash));
        }
        if let Some(secret) = scram::Secret::parse(text) {
            return Ok(Verifier::Scram(secret));
        }
        if text.starts_with("SCRAM-SHA-256$") {
            return Err(
                "it begins like a SCRAM secret but is none: copy rolpassword from pg_authid whole",
            );
        }
        Ok(Verifier::Plain(text.into()))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verifier::Scram(_) => "Scram(***)",
            Verifier::Md5(_) => "Md5(***)",
            Verifier::Plain(_) => "Plain(***)",
        })
    }
}

/// `md5` and 32 hexadecimal digits: the hash of password and user name. Who has it logs in by md5.
#[derive(Clone, PartialEq, Eq)]
pub struct Md5Hash([u8; 32]);

impl Md5Hash {
    /// The hash of a password.
    pub fn derive(user: &str, password: &[u8]) -> Md5Hash {
        Md5Hash(hex(&[password, user.as_bytes()]))
    }

    /// Reads the form that `pg_authid` has.
    pub fn parse(text: &str) -> Option<Md5Hash> {
        let digits: [u8; 32] = text.strip_prefix("md5")?.as_bytes().try_into().ok()?;
        let lower = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        digits.iter().all(lower).then_some(Md5Hash(digits))
    }

    /// What a client answers to a salt.
    pub fn response(&self, salt: [u8; 4]) -> [u8; 35] {
        let mut response = *b"md500000000000000000000000000000000";
        response[3..].copy_from_slice(&hex(&[&self.0, &salt]));
        response
    }

    /// Whether this is the answer; how long it took does not tell where it differs.
    pub fn fits(&self, salt: [u8; 4], response: &[u8]) -> bool {
        self.response(salt).ct_eq(response).into()
    }
}

impl fmt::Debug for Md5Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Md5Hash(***)")
    }
}

fn hex(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    let mut digits = [0; 32];
    for (at, byte) in hash.finalize().iter().enumerate() {
        let digit = |n: u8| b"0123456789abcdef"[usize::from(n)];
        digits[2 * at] = digit(byte >> 4);
        digits[2 * at + 1] = digit(byte & 15);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

    #[test]
    fn texts_are_taken_for_what_postgresql_takes_them_for() {
        // RFC 7677's example, as rolpassword would have it.
        let Ok(Verifier::Scram(secret)) = Verifier::parse(SECRET) else {
            panic!()
        };
        assert_eq!(
            secret,
            scram::Secret::derive(b"pencil", &secret.salt.clone(), 4096)
        );
        let hash = Verifier::parse("md507159c47ee1b19ae4fb9c40d480856c4").unwrap();
        assert_eq!(hash, Verifier::Md5(Md5Hash::derive("a", b"b")));
        for plain in [
            "secret",
            "md5",
            "md5A6343a68d964ca596d9752250d54bb8a",
            "é",
            "SCRAM-SHA-256",
        ] {
            assert!(
                matches!(Verifier::parse(plain), Ok(Verifier::Plain(_))),
                "{plain}"
            );
        }
        for wrong in [
            "",
            "a\0b",
            &SECRET[..SECRET.len() - 1],
            "SCRAM-SHA-256$0:YQ==$a:b",
        ] {
            assert!(Verifier::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_shown() {
        for text in [SECRET, "md507159c47ee1b19ae4fb9c40d480856c4", "secret"] {
            let shown = format!("{:?}", Verifier::parse(text).unwrap());
            assert!(shown.ends_with("(***)"), "{shown}");
        }
    }

    #[test]
    fn an_md5_response_fits_its_salt_alone() {
        let hash = Md5Hash::derive("ann", b"secret");
        // postgres-protocol is another reading of the same rule.
        let theirs = postgres_protocol::authentication::md5_hash(b"ann", b"secret", [1, 2, 3, 4]);
        assert_eq!(hash.response([1, 2, 3, 4]), theirs.as_bytes());
        assert!(hash.fits([1, 2, 3, 4], theirs.as_bytes()));
        assert!(!hash.fits([1, 2, 3, 5], theirs.as_bytes()));
        assert!(!hash.fits([1, 2, 3, 4], b""));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "(SCRAM-SHA-256\\$|md5)?[0-9a-f:$=+]{0,48}") {
            let _ = Verifier::parse(&text);
        }
    }
}
