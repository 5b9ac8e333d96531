//! Whether the upstream's certificate is believed, by libpq's rules.
//!
//! * A certificate that stands in the root file itself is believed without a chain: self-signed servers are common, and
//!   libpq takes them.
//! * The common name counts only where the certificate names no host otherwise, as for libpq.
//! * The handshake's signature is checked in every mode: whoever answers has the certificate's key.
//!
//! Revocation lists are not here.

use super::certificate::{common_name, is_valid_at, names_hosts};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::time::Duration;

/// Who is believed.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) store: RootCertStore,
    /// The same as they are written.
    pub(super) written: Vec<CertificateDer<'static>>,
}

/// The verifier of one mode.
#[derive(Debug)]
pub(super) struct Verify {
    /// Nobody is asked for without.
    pub(super) roots: Option<Roots>,
    /// The certificate must be the host's.
    pub(super) name: bool,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

impl Verify {
    fn chain(
        &self,
        roots: &Roots,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if roots.written.contains(certificate) {
            return if is_valid_at(certificate, Duration::from_secs(now.as_secs())) {
                Ok(())
            } else {
                Err(CertificateError::Expired.into())
            };
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots.store,
            between,
            now,
            self.algorithms.all,
        )
    }
}

/// Whether the certificate is for this host.
fn is_for(certificate: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<(), Error> {
    let named = ParsedCertificate::try_from(certificate)
        .and_then(|parsed| verify_server_name(&parsed, host));
    if named.is_err()
        && !names_hosts(certificate)
        && common_name(certificate).is_some_and(|name| matches(&name, &host.to_str()))
    {
        return Ok(());
    }
    named
}

/// A common name that may begin with `*.`, which stands for one label.
fn matches(name: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let name = name.to_ascii_lowercase();
    if let Some(rest) = name.strip_prefix("*.") {
        // A wildcard for a whole top level, or for numbers, is nobody's.
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        return rest.contains('.')
            && !is_address
            && host
                .split_once('.')
                .is_some_and(|(label, after)| !label.is_empty() && after == rest);
    }
    name == host
}

impl ServerCertVerifier for Verify {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            self.chain(roots, certificate, between, now)?;
        }
        if self.name {
            is_for(certificate, host)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names_match_as_for_libpq() {
        assert!(matches("DB.example", "db.EXAMPLE"));
        assert!(matches("*.example.org", "db.example.org"));
        for (name, host) in [
            ("*.example.org", "a.b.example.org"),
            ("*.example.org", "example.org"),
            ("*.org", "example.org"),
            ("*.0.0.1", "127.0.0.1"),
            ("db", "db.example"),
        ] {
            assert!(!matches(name, host), "{name} {host}");
        }
    }
}
