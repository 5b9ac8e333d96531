//! Clients' side of TLS.
//!
//! * A connection that starts with TLS at once must name the protocol (ALPN `postgresql`), as PostgreSQL demands: what
//!   was meant for another server must not be taken for ours.
//! * A ClientHello is read within the bounds of the TLS library; how long it may take is the caller's to say.

use super::pemfile::{certificates, key, store};
use super::selfsigned::{Made, make, make_files};
use super::{PROTOCOL, end_point, provider};
use crate::config::{ClientCertificates, ClientTls, TlsMode};
use crate::net::Stream;
use crate::net::stream::AcceptedTls;
use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{Accepted, NoServerSessionStorage, WebPkiClientVerifier};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The client has asked, and was told yes.
    Asked,
    /// With the first byte.
    Direct,
}

/// What new connections use.
#[derive(Debug)]
struct Serving {
    config: Arc<ServerConfig>,
    end_point: Option<Arc<[u8]>>,
}

/// Clients' side.
#[derive(Debug)]
pub struct Acceptor {
    settings: ClientTls,
    /// A certificate without files, for as long as the process lives.
    made: Option<Made>,
    current: ArcSwapOption<Serving>,
}

impl Acceptor {
    /// Reads the files, or makes them.
    pub(super) fn new(settings: &ClientTls) -> Result<Acceptor, String> {
        let mut acceptor = Acceptor {
            settings: settings.clone(),
            made: None,
            current: ArcSwapOption::empty(),
        };
        if settings.mode != TlsMode::Off && settings.self_signed {
            match (&settings.certificate, &settings.key) {
                (Some(certificate), Some(key)) => {
                    if make_files(certificate, key)? {
                        tracing::info!(certificate = %certificate.display(), "made a self-signed certificate");
                    }
                }
                _ => acceptor.made = Some(make()?),
            }
        }
        acceptor.reload()?;
        Ok(acceptor)
    }

    /// Whether clients may or must encrypt.
    pub fn mode(&self) -> TlsMode {
        self.settings.mode
    }

    /// Whether a client must show a certificate.
    pub fn wants_certificate(&self) -> bool {
        self.mode() != TlsMode::Off
            && self.settings.client_certificates == ClientCertificates::Require
    }

    /// The files that are read.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let settings = &self.settings;
        let used = settings.mode != TlsMode::Off;
        [&settings.certificate, &settings.key, &settings.client_ca]
            .into_iter()
            .filter(move |_| used)
            .filter_map(|file| file.as_deref())
    }

    pub(super) fn reload(&self) -> Result<(), String> {
        if self.settings.mode != TlsMode::Off {
            self.current.store(Some(Arc::new(self.read()?)));
        }
        Ok(())
    }

    fn pair(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
        if let Some(made) = &self.made {
            let certificate = CertificateDer::from_pem_slice(made.certificate.as_bytes());
            let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes());
            return certificate
                .and_then(|certificate| Ok((vec![certificate], key?)))
                .map_err(|e| format!("the certificate made at start: {e}"));
        }
        match (&self.settings.certificate, &self.settings.key) {
            (Some(certificate), Some(file)) => Ok((certificates(certificate)?, key(file)?)),
            _ => Err("tls.certificate and tls.key are needed".into()),
        }
    }

    fn read(&self) -> Result<Serving, String> {
        let provider = provider();
        let (chain, key) = self.pair()?;
        let end_point = chain.first().and_then(|first| end_point(first));
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?;
        let builder = match &self.settings.client_ca {
            Some(file) if self.settings.client_certificates != ClientCertificates::Off => {
                let roots = store(&certificates(file)?, file)?;
                // Who must show one and does not is told so in words, once PostgreSQL's protocol has begun.
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .allow_unauthenticated()
                        .build()
                        .map_err(|e| format!("{}: {e}", file.display()))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|e| {
            let file = self.settings.certificate.as_deref();
            let file = file.map_or_else(|| "tls".into(), |f| f.display().to_string());
            format!("{file}: the certificate and tls.key do not go together: {e}")
        })?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Serving {
            config: Arc::new(config),
            end_point: end_point.map(Arc::from),
        })
    }

    /// Encrypts a connection of which `early` has been read.
    ///
    /// # Errors
    /// The connection's, and everything that is not a handshake; the client has then been sent an alert.
    pub async fn accept(
        &self,
        mut socket: TcpStream,
        early: &[u8],
        start: Start,
    ) -> io::Result<Stream> {
        let Some(serving) = self.current.load_full() else {
            return Err(io::Error::other("TLS is off"));
        };
        let hello = hello(&mut socket, early).await?;
        let names_us = |accepted: &Accepted| {
            let hello = accepted.client_hello();
            hello
                .alpn()
                .is_some_and(|mut names| names.any(|name| name == PROTOCOL))
        };
        if start == Start::Direct && !names_us(&hello) {
            return Err(io::Error::other(
                "TLS from the first byte without the protocol's name (ALPN)",
            ));
        }
        let handshake = StartHandshake::from_parts(hello, socket);
        let stream = handshake.into_stream(serving.config.clone()).await?;
        Ok(Stream::Accepted(Box::new(AcceptedTls {
            stream,
            end_point: serving.end_point.clone(),
        })))
    }
}

/// The first message of a handshake.
async fn hello(socket: &mut TcpStream, early: &[u8]) -> io::Result<Accepted> {
    let mut acceptor = rustls::server::Acceptor::default();
    let mut buffer = [0; 4096];
    let mut read = early.len();
    buffer
        .get_mut(..read)
        .ok_or(io::ErrorKind::InvalidData)?
        .copy_from_slice(early);
    loop {
        let mut rest = buffer.get(..read).unwrap_or_default();
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
            match acceptor.accept() {
                // Nothing may stand behind it: the client waits for the answer.
                Ok(Some(accepted)) if rest.is_empty() => return Ok(accepted),
                Ok(Some(_)) => return Err(io::ErrorKind::InvalidData.into()),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut words = Vec::new();
                    alert.write_all(&mut words)?;
                    let _ = socket.write_all(&words).await;
                    let _ = socket.shutdown().await;
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            }
        }
        read = socket.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
