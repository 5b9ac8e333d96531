//! How the way to the upstream is encrypted, in libpq's words.
//!
//! * The words mean what they mean to libpq: `require` verifies like `verify-ca` where a root file is given,
//!   `sslrootcert=system` needs `verify-full`, and a direct start of TLS needs a mode that never falls back.
//! * What verifies without a root to verify with is refused: no file of the user's home directory is looked for.
//!
//! The files are not read here.

use super::complaint::nearest;
use std::path::PathBuf;
use std::str::FromStr;

/// `sslmode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server insists.
    Allow,
    /// Encrypted where the server can.
    #[default]
    Prefer,
    /// Always encrypted.
    Require,
    /// … and the certificate's signer is known.
    VerifyCa,
    /// … and the certificate is the host's.
    VerifyFull,
}

/// `sslrootcert`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RootCert {
    /// Those that the system trusts.
    System,
    /// Those of a file.
    File(PathBuf),
}

/// `sslnegotiation`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslNegotiation {
    /// A request first, as every server since 7.0 knows it.
    #[default]
    Postgres,
    /// TLS from the first byte; PostgreSQL 17 and later.
    Direct,
}

/// `channel_binding`, of logins that Larder makes itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both can.
    #[default]
    Prefer,
    /// Always.
    Require,
}

impl RootCert {
    fn of(word: &str) -> Option<RootCert> {
        match word {
            "" => None,
            "system" => Some(RootCert::System),
            file => Some(RootCert::File(file.into())),
        }
    }
}

/// One of a list of words, or what is wrong with it.
fn word<T: Copy>(what: &str, text: &str, known: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names = || known.iter().map(|(name, _)| *name);
    let hint = match nearest(text, names()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known are {}", names().collect::<Vec<_>>().join(", ")),
    };
    Err(format!("unknown {what} `{text}`; {hint}"))
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(text: &str) -> Result<SslMode, String> {
        word("sslmode", text, &SslMode::WORDS)
    }
}

impl SslMode {
    const WORDS: [(&str, SslMode); 6] = [
        ("disable", SslMode::Disable),
        ("allow", SslMode::Allow),
        ("prefer", SslMode::Prefer),
        ("require", SslMode::Require),
        ("verify-ca", SslMode::VerifyCa),
        ("verify-full", SslMode::VerifyFull),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        let mut words = SslMode::WORDS.iter();
        let found = words.find(|(_, mode)| *mode == self);
        found.map_or("", |(word, _)| word)
    }
}

impl FromStr for SslNegotiation {
    type Err = String;

    fn from_str(text: &str) -> Result<SslNegotiation, String> {
        let known = [
            ("postgres", SslNegotiation::Postgres),
            ("direct", SslNegotiation::Direct),
        ];
        word("sslnegotiation", text, &known)
    }
}

impl FromStr for ChannelBinding {
    type Err = String;

    fn from_str(text: &str) -> Result<ChannelBinding, String> {
        let known = [
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ];
        word("channel_binding", text, &known)
    }
}

/// What one place says: the connection string, or the keys of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsWords {
    /// `sslmode`
    pub mode: Option<SslMode>,
    /// `sslrootcert`
    pub root: Option<String>,
    /// `sslcert`
    pub certificate: Option<String>,
    /// `sslkey`
    pub key: Option<String>,
    /// `sslnegotiation`
    pub negotiation: Option<SslNegotiation>,
    /// `channel_binding`
    pub channel_binding: Option<ChannelBinding>,
}

/// How the way to the upstream is encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamTls {
    /// `sslmode`
    pub mode: SslMode,
    /// `sslrootcert`
    pub root: Option<RootCert>,
    /// `sslcert` and `sslkey`
    pub identity: Option<(PathBuf, PathBuf)>,
    /// `sslnegotiation`
    pub negotiation: SslNegotiation,
    /// `channel_binding`
    pub channel_binding: ChannelBinding,
}

impl TlsWords {
    /// The names, for a complaint about others.
    pub const NAMES: [&str; 6] = [
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "sslnegotiation",
        "channel_binding",
    ];

    /// Takes a parameter of a connection string; `false`: it is none of these.
    pub fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        match name {
            "sslmode" => self.mode = Some(value.parse()?),
            "sslrootcert" => self.root = Some(value.into()),
            "sslcert" => self.certificate = Some(value.into()),
            "sslkey" => self.key = Some(value.into()),
            "sslnegotiation" => self.negotiation = Some(value.parse()?),
            "channel_binding" => self.channel_binding = Some(value.parse()?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// These words, and where they are silent those of `below`.
    pub fn over(self, below: TlsWords) -> TlsWords {
        TlsWords {
            mode: self.mode.or(below.mode),
            root: self.root.or(below.root),
            certificate: self.certificate.or(below.certificate),
            key: self.key.or(below.key),
            negotiation: self.negotiation.or(below.negotiation),
            channel_binding: self.channel_binding.or(below.channel_binding),
        }
    }

    /// What they mean together.
    pub fn judge(self) -> Result<UpstreamTls, String> {
        let root = self.root.as_deref().and_then(RootCert::of);
        let system = root == Some(RootCert::System);
        let default = if system {
            SslMode::VerifyFull
        } else {
            SslMode::Prefer
        };
        let mode = self.mode.unwrap_or(default);
        if system && mode != SslMode::VerifyFull {
            return Err(
                "sslrootcert=system needs sslmode=verify-full: anybody can get a certificate for a name of his own".into(),
            );
        }
        if mode >= SslMode::VerifyCa && root.is_none() {
            return Err(
                "sslmode=verify-ca and verify-full need sslrootcert: the file with the certificate of the upstream's \
                 authority, or \"system\" (with verify-full) for those that this machine trusts"
                    .into(),
            );
        }
        let negotiation = self.negotiation.unwrap_or_default();
        if negotiation == SslNegotiation::Direct && mode < SslMode::Require {
            return Err("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full: it cannot fall back".into());
        }
        let channel_binding = self.channel_binding.unwrap_or_default();
        if channel_binding == ChannelBinding::Require && mode == SslMode::Disable {
            return Err("channel_binding=require needs TLS: sslmode=disable forbids it".into());
        }
        let given = |file: Option<String>| file.filter(|f| !f.is_empty()).map(PathBuf::from);
        let identity = match (given(self.certificate), given(self.key)) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err("sslcert and sslkey need each other".into()),
        };
        Ok(UpstreamTls {
            mode,
            root,
            identity,
            negotiation,
            channel_binding,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[(&str, &str)]) -> Result<UpstreamTls, String> {
        let mut words = TlsWords::default();
        for (name, value) in pairs {
            assert!(words.take(name, value)?);
        }
        words.judge()
    }

    #[test]
    fn they_mean_what_libpq_means() {
        assert_eq!(words(&[]).unwrap().mode, SslMode::Prefer);
        assert_eq!(
            words(&[("sslrootcert", "system")]).unwrap().mode,
            SslMode::VerifyFull
        );
        let file = words(&[("sslmode", "require"), ("sslrootcert", "/r")]).unwrap();
        assert_eq!(file.root, Some(RootCert::File("/r".into())));
        let identity = words(&[("sslcert", "/c"), ("sslkey", "/k")]).unwrap();
        assert_eq!(identity.identity, Some(("/c".into(), "/k".into())));
        let direct = words(&[("sslmode", "require"), ("sslnegotiation", "direct")]).unwrap();
        assert_eq!(direct.negotiation, SslNegotiation::Direct);
    }

    #[test]
    fn what_cannot_be_kept_is_refused() {
        for (pairs, word) in [
            (&[("sslmode", "perfer")][..], "did you mean `prefer`"),
            (&[("sslmode", "on")], "known are disable"),
            (&[("sslmode", "verify-full")], "sslrootcert"),
            (&[("sslmode", "verify-ca")], "sslrootcert"),
            (
                &[("sslmode", "require"), ("sslrootcert", "system")],
                "verify-full",
            ),
            (&[("sslnegotiation", "direct")], "cannot fall back"),
            (&[("sslnegotiation", "directly")], "did you mean `direct`"),
            (&[("sslcert", "/c")], "need each other"),
            (
                &[("sslmode", "disable"), ("channel_binding", "require")],
                "needs TLS",
            ),
        ] {
            let error = words(pairs).unwrap_err();
            assert!(error.contains(word), "{pairs:?}: {error}");
        }
    }

    #[test]
    fn the_upper_words_win() {
        let upper = TlsWords {
            mode: Some(SslMode::Disable),
            ..TlsWords::default()
        };
        let below = TlsWords {
            mode: Some(SslMode::Require),
            root: Some("/r".into()),
            ..TlsWords::default()
        };
        let both = upper.over(below).judge().unwrap();
        assert_eq!(both.mode, SslMode::Disable);
        assert_eq!(both.root, Some(RootCert::File("/r".into())));
    }
}
