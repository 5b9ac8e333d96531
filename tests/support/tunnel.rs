//! TLS for tests: certificates, a way into TLS for clients that speak none, and psql.
//!
//! A tunnel listens on a port of its own and carries each connection to a target inside TLS, so that every client of
//! the tests can be one with TLS. It shares no code with Larder but the TLS library.
#![allow(dead_code)]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// `SSLRequest`.
pub const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let pem = parameters.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(parameters, key);
        Self { issuer, pem }
    }

    /// A certificate for a common name and hosts.
    pub fn issue(&self, name: &str, hosts: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let hosts: Vec<String> = hosts.iter().map(|h| (*h).to_owned()).collect();
        let mut parameters = CertificateParams::new(hosts).unwrap();
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, name);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap().pem();
        Identity {
            certificate,
            key: key.serialize_pem(),
        }
    }
}

/// A directory that goes with the test.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("larder-tls-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file (by renaming, as a careful tool does) and gives its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let (path, partial) = (self.0.join(name), self.0.join(format!("{name}.partial")));
        std::fs::write(&partial, text).unwrap();
        // libpq, as PostgreSQL, refuses keys that others can read.
        std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(&partial, &path).unwrap();
        path.display().to_string()
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Believes everybody.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A TLS client.
#[derive(Clone)]
pub struct Caller {
    config: Arc<ClientConfig>,
    direct: bool,
}

impl Caller {
    /// One that believes everybody, with the protocol's name.
    pub fn new(
        identity: Option<&Identity>,
        names: &[&str],
        version: Option<&'static rustls::SupportedProtocolVersion>,
    ) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = match version {
            Some(version) => builder.with_protocol_versions(&[version]),
            None => builder.with_safe_default_protocol_versions(),
        };
        let builder = builder
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider)));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certificate =
                    CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
        };
        config.alpn_protocols = names.iter().map(|n| n.as_bytes().to_vec()).collect();
        Self {
            config: Arc::new(config),
            direct: false,
        }
    }

    /// Without certificate, with any version.
    pub fn plain() -> Self {
        Self::new(None, &["postgresql"], None)
    }

    /// TLS from the first byte.
    pub fn direct(mut self) -> Self {
        self.direct = true;
        self
    }

    /// Calls, and returns with TLS up.
    pub async fn call(&self, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        if !self.direct {
            socket.write_all(&REQUEST).await?;
            if socket.read_u8().await? != b'S' {
                return Err(io::Error::other("the server does not speak TLS"));
            }
        }
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(self.config.clone())
            .connect(name, socket)
            .await
    }

    /// The certificate that is shown there.
    pub fn shown(&self, port: u16) -> io::Result<CertificateDer<'static>> {
        runtime().block_on(async {
            let stream = self.call(port).await?;
            let shown = stream.get_ref().1.peer_certificates().unwrap();
            Ok(shown[0].clone())
        })
    }

    /// A port that leads to `target` inside TLS, for as long as the value lives.
    pub fn tunnel(&self, target: u16) -> Tunnel {
        let runtime = runtime();
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .unwrap();
        let port = listener.local_addr().unwrap().port();
        let caller = self.clone();
        runtime.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let caller = caller.clone();
                tokio::spawn(async move {
                    near.set_nodelay(true)?;
                    let mut far = caller.call(target).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                });
            }
        });
        Tunnel {
            port,
            _runtime: runtime,
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

/// A port into TLS.
pub struct Tunnel {
    pub port: u16,
    _runtime: tokio::runtime::Runtime,
}

/// psql with a connection string and commands; `library` is another libpq's directory.
pub fn psql(connection: &str, commands: &[&str], library: Option<&Path>) -> Output {
    let mut command = Command::new("psql");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
        command.env_remove(name);
    }
    if let Some(library) = library {
        command.env("LD_LIBRARY_PATH", library);
    }
    command
        .env("HOME", "/nonexistent")
        .args(["-X", "-At", "-d", connection]);
    for text in commands {
        command.args(["-c", text]);
    }
    command.output().expect("psql")
}

/// What psql said, or what went wrong.
pub fn said(connection: &str, commands: &[&str]) -> Result<String, String> {
    let output = psql(connection, commands, None);
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
