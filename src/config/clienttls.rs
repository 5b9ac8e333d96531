//! `[tls]`: how clients may encrypt.
//!
//! * What contradicts itself stops the start: a certificate authority that is named but not asked for would let in
//!   whom the operator meant to keep out.
//!
//! The files are not read here.

use super::values::{maybe_parsed, parsed};
use std::path::PathBuf;

/// `[tls]`
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientTls {
    /// Whether clients may or must encrypt.
    pub mode: TlsMode,
    /// The certificate that clients see, with what leads to its authority (PEM).
    #[serde(deserialize_with = "maybe_parsed")]
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[serde(deserialize_with = "maybe_parsed")]
    pub key: Option<PathBuf>,
    /// Make a certificate where there is none.
    #[serde(deserialize_with = "parsed")]
    pub self_signed: bool,
    /// Who signs the certificates of clients (PEM).
    #[serde(deserialize_with = "maybe_parsed")]
    pub client_ca: Option<PathBuf>,
    /// Whether clients may or must show a certificate.
    pub client_certificates: ClientCertificates,
}

/// `tls.mode`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Clients are told that there is no TLS.
    #[default]
    Off,
    /// Clients choose.
    Allow,
    /// Over TCP, only encrypted.
    Require,
}

/// `tls.client_certificates`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    Off,
    /// One that is shown must be good.
    Allow,
    /// One must be shown.
    Require,
}

impl ClientTls {
    /// What is wrong about values that are each fine by themselves.
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.mode == TlsMode::Off {
            return wrong;
        }
        match (&self.certificate, &self.key) {
            (Some(_), None) => wrong.push("tls.key: the key of tls.certificate is missing".into()),
            (None, Some(_)) => {
                wrong.push("tls.certificate: the certificate of tls.key is missing".into());
            }
            (None, None) if !self.self_signed => wrong.push(
                "tls.certificate: TLS needs one; give tls.certificate and tls.key, or tls.self_signed = true".into(),
            ),
            _ => {}
        }
        match (&self.client_ca, self.client_certificates) {
            (None, ClientCertificates::Allow | ClientCertificates::Require) => wrong.push(
                "tls.client_ca: tls.client_certificates needs to know who signs them".into(),
            ),
            (Some(_), ClientCertificates::Off) => wrong.push(
                "tls.client_certificates: tls.client_ca is given, but no certificate is asked for; say \"allow\" or \"require\"".into(),
            ),
            _ => {}
        }
        if self.client_certificates == ClientCertificates::Require && self.mode == TlsMode::Allow {
            wrong.push(
                "tls.client_certificates: \"require\" needs tls.mode = \"require\": a client without TLS shows none".into(),
            );
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_told() {
        let files = ClientTls {
            mode: TlsMode::Allow,
            certificate: Some("/c".into()),
            key: Some("/k".into()),
            ..ClientTls::default()
        };
        assert!(ClientTls::default().contradictions().is_empty());
        assert!(files.contradictions().is_empty());
        let none = ClientTls {
            certificate: None,
            key: None,
            ..files.clone()
        };
        let made = ClientTls {
            self_signed: true,
            ..none.clone()
        };
        assert!(made.contradictions().is_empty());
        for (tls, word) in [
            (none, "self_signed"),
            (
                ClientTls {
                    key: None,
                    ..files.clone()
                },
                "tls.key",
            ),
            (
                ClientTls {
                    certificate: None,
                    ..files.clone()
                },
                "tls.certificate",
            ),
            (
                ClientTls {
                    client_ca: Some("/a".into()),
                    ..files.clone()
                },
                "no certificate is asked for",
            ),
            (
                ClientTls {
                    client_certificates: ClientCertificates::Allow,
                    ..files.clone()
                },
                "tls.client_ca",
            ),
            (
                ClientTls {
                    client_ca: Some("/a".into()),
                    client_certificates: ClientCertificates::Require,
                    ..files
                },
                "tls.mode",
            ),
        ] {
            let wrong = tls.contradictions().join("\n");
            assert!(wrong.contains(word), "{tls:?}: {wrong}");
        }
    }
}
