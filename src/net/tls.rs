//! TLS on both sides: what clients see, and how the upstream is reached.
//!
//! * Certificates, keys and authorities can change while running. What is new is read whole and judged before it takes
//!   the place of the old; what is wrong changes nothing and is said in the log. Connections that exist keep theirs.
//! * The files are looked at by their metadata, so a certificate that a tool renews is found without a signal.
//! * Versions below 1.2 do not exist here, nor session tickets: PostgreSQL has none, and a resumed session would not
//!   ask for a client's certificate again.
//!
//! Whose certificate may log in as whom is not here.

mod acceptor;
mod certificate;
mod connector;
mod pemfile;
mod selfsigned;
mod trust;

pub use acceptor::{Acceptor, Start};
pub use connector::{Connector, Way};

pub(super) use certificate::{common_name, end_point};

use crate::config::{ClientTls, UpstreamTls};
use pemfile::Marks;
use rustls::crypto::CryptoProvider;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(3);

/// What PostgreSQL's protocol is called in TLS (ALPN).
const PROTOCOL: &[u8] = b"postgresql";

/// Both sides.
#[derive(Debug)]
pub struct Tls {
    /// For clients.
    pub clients: Acceptor,
    /// For the upstream.
    pub upstream: Connector,
    /// The files as they were when they were read.
    seen: Mutex<Marks>,
}

impl Tls {
    /// Reads every file.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn new(clients: &ClientTls, upstream: &UpstreamTls) -> Result<Tls, String> {
        let clients = Acceptor::new(clients)?;
        let upstream = Connector::new(upstream)?;
        let seen = Mutex::new(marks(&clients, &upstream));
        Ok(Tls {
            clients,
            upstream,
            seen,
        })
    }

    /// Reads every file anew; what is wrong is logged, and the old stays.
    pub fn reload(&self) {
        // Taken before reading: what changes meanwhile is found at the next look.
        let now = marks(&self.clients, &self.upstream);
        if now.is_empty() {
            return;
        }
        if let Ok(mut seen) = self.seen.lock() {
            *seen = now;
        }
        let results = [self.clients.reload(), self.upstream.reload()];
        if results.iter().all(Result::is_ok) {
            tracing::info!("TLS certificates were read anew; new connections use them");
        }
        for error in results.into_iter().filter_map(Result::err) {
            tracing::error!(%error, "TLS certificates could not be read anew; the old ones stay in use");
        }
    }

    /// Reads anew whenever a file changes, for as long as the process lives.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = marks(&self.clients, &self.upstream);
            if self.seen.lock().is_ok_and(|seen| *seen != now) {
                self.reload();
            }
        }
    }
}

fn marks(clients: &Acceptor, upstream: &Connector) -> Marks {
    pemfile::marks(clients.files().chain(upstream.files()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
