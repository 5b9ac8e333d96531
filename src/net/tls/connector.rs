//! The upstream's side of TLS, in libpq's order.
//!
//! * `prefer` asks and goes on in plain text where the server says no; `allow` and `prefer` have a second way for a
//!   server that refuses the first at login. No other mode ever falls back.
//! * The answer to the request is read as the one byte that it is: what an intruder puts behind it becomes part of the
//!   handshake and breaks it (CVE-2021-23222).
//! * What a server says in plain text instead of an answer is not believed and not repeated (CVE-2024-10977).
//! * Unix sockets are never encrypted.

use super::pemfile::{certificates, key, store};
use super::trust::{Roots, Verify};
use super::{PROTOCOL, provider};
use crate::config::{Address, RootCert, SslMode, SslNegotiation, UpstreamTls};
use crate::net::{Stream, dial};
use arc_swap::ArcSwapOption;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// `SSLRequest`.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A way to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In plain text.
    Plain,
    /// Encrypted where the server can.
    Offered,
    /// Encrypted.
    Tls,
}

/// The upstream's side.
#[derive(Debug)]
pub struct Connector {
    settings: UpstreamTls,
    current: ArcSwapOption<ClientConfig>,
}

impl Connector {
    pub(super) fn new(settings: &UpstreamTls) -> Result<Connector, String> {
        let connector = Connector {
            settings: settings.clone(),
            current: ArcSwapOption::empty(),
        };
        connector.reload()?;
        Ok(connector)
    }

    /// The files that are read.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let used = self.settings.mode != SslMode::Disable;
        let root = match &self.settings.root {
            Some(RootCert::File(file)) => Some(file),
            _ => None,
        };
        let identity = self.settings.identity.as_ref();
        root.into_iter()
            .chain(identity.into_iter().flat_map(|(c, k)| [c, k]))
            .filter(move |_| used)
            .map(|file| file.as_path())
    }

    pub(super) fn reload(&self) -> Result<(), String> {
        if self.settings.mode != SslMode::Disable {
            self.current.store(Some(Arc::new(self.read()?)));
        }
        Ok(())
    }

    fn roots(&self) -> Result<Option<Roots>, String> {
        match &self.settings.root {
            None => Ok(None),
            Some(RootCert::File(file)) => {
                let written = certificates(file)?;
                let store = store(&written, file)?;
                Ok(Some(Roots { store, written }))
            }
            Some(RootCert::System) => {
                let found = rustls_native_certs::load_native_certs();
                let mut store = RootCertStore::empty();
                let (good, _) = store.add_parsable_certificates(found.certs);
                if good == 0 {
                    return Err(
                        "sslrootcert=system: this machine has no trusted certificates; install them \
                         (ca-certificates) or name a file"
                            .into(),
                    );
                }
                Ok(Some(Roots {
                    store,
                    written: Vec::new(),
                }))
            }
        }
    }

    fn read(&self) -> Result<ClientConfig, String> {
        let provider = provider();
        let verify = Verify {
            roots: self.roots()?,
            name: self.settings.mode == SslMode::VerifyFull,
            algorithms: provider.signature_verification_algorithms,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| e.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify));
        let mut config = match &self.settings.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, file)) => builder
                .with_client_auth_cert(certificates(certificate)?, key(file)?)
                .map_err(|e| {
                    let certificate = certificate.display();
                    format!("{certificate}: sslcert and sslkey do not go together: {e}")
                })?,
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(config)
    }

    /// Connects the mode's first way.
    ///
    /// # Errors
    /// Why there is no connection, in words for the log and for clients.
    pub async fn connect(&self, address: &Address, limit: Duration) -> io::Result<Stream> {
        let way = match self.settings.mode {
            SslMode::Disable | SslMode::Allow => Way::Plain,
            SslMode::Prefer => Way::Offered,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => Way::Tls,
        };
        self.connect_by(way, address, limit).await
    }

    /// The way that is left when the server has refused a login over `stream`, in the modes that have two.
    pub fn other_way(&self, stream: &Stream) -> Option<Way> {
        match (self.settings.mode, stream) {
            (SslMode::Allow, Stream::Tcp(_)) => Some(Way::Tls),
            (SslMode::Prefer, Stream::Dialed(_)) => Some(Way::Plain),
            _ => None,
        }
    }

    /// Connects a certain way.
    ///
    /// # Errors
    /// As [`Connector::connect`].
    pub async fn connect_by(
        &self,
        way: Way,
        address: &Address,
        limit: Duration,
    ) -> io::Result<Stream> {
        let (config, host) = match (address, self.current.load_full()) {
            (Address::Tcp(host, _), Some(config)) if way != Way::Plain => (config, host),
            _ => return dial(address, limit).await,
        };
        let reached = Box::pin(async {
            match self.encrypted(address, host, config, way, limit).await {
                // The server can no TLS after all, or none that we can: libpq goes on without, too.
                Err(_) if way == Way::Offered => dial(address, limit).await,
                done => done,
            }
        });
        match tokio::time::timeout(limit, reached).await {
            Ok(done) => done,
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no encrypted connection within {limit:?}"),
            )),
        }
    }

    async fn encrypted(
        &self,
        address: &Address,
        host: &str,
        config: Arc<ClientConfig>,
        way: Way,
        limit: Duration,
    ) -> io::Result<Stream> {
        let mut stream = dial(address, limit).await?;
        if self.settings.negotiation == SslNegotiation::Postgres {
            stream.write_all(&REQUEST).await?;
            match stream.read_u8().await? {
                b'S' => {}
                b'N' if way == Way::Offered => return Ok(stream),
                b'N' => {
                    let mode = "the server does not speak TLS, but sslmode asks for it: turn ssl on there, or use sslmode=prefer";
                    return Err(io::Error::other(mode));
                }
                _ => {
                    return Err(io::Error::other(
                        "the server did not answer the request for TLS as PostgreSQL does",
                    ));
                }
            }
        }
        let Stream::Tcp(socket) = stream else {
            return Ok(stream);
        };
        self.handshake(socket, host, config).await
    }

    async fn handshake(
        &self,
        socket: TcpStream,
        host: &str,
        config: Arc<ClientConfig>,
    ) -> io::Result<Stream> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            io::Error::other(format!("the host {host} is no name that TLS can ask for"))
        })?;
        let stream = TlsConnector::from(config)
            .connect(name, socket)
            .await
            .map_err(|error| told(error, host))?;
        let direct = self.settings.negotiation == SslNegotiation::Direct;
        if direct && stream.get_ref().1.alpn_protocol() != Some(PROTOCOL) {
            return Err(io::Error::other(
                "the server did not confirm PostgreSQL's protocol (ALPN): sslnegotiation=direct needs PostgreSQL 17",
            ));
        }
        Ok(Stream::Dialed(Box::new(stream)))
    }
}

/// A handshake's failure in words that say what to do.
fn told(error: io::Error, host: &str) -> io::Error {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>());
    let text = match inner {
        Some(Error::InvalidCertificate(CertificateError::NotValidForName)) => {
            format!("the upstream's certificate is not for {host} (sslmode=verify-full)")
        }
        Some(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) => {
            let others = match presented.as_slice() {
                [] => "it names no host".to_owned(),
                names => format!("it is for {}", names.join(", ")),
            };
            format!(
                "the upstream's certificate is not for {host} (sslmode=verify-full); {others}: \
                 connect by a name that it has, or have it reissued"
            )
        }
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "the upstream's certificate is not signed by anybody in sslrootcert".to_owned(),
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "the upstream's certificate has expired".to_owned(),
        Some(Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        )) => "the upstream's certificate is not valid yet".to_owned(),
        Some(other) => format!("TLS with the upstream failed: {other}"),
        None => format!("TLS with the upstream failed: {error}"),
    };
    io::Error::new(error.kind(), text)
}
