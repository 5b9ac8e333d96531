//! The HTTP listener of operators: `/metrics`, `/live`, `/ready`, `/startup`.
//!
//! * `/ready` does not ask the upstream: a database that is down must not take every pod out of service at once.
//! * It outlives the listeners of clients: while the process drains, `/ready` says 503 and not "connection refused".
//! * A slow or silent caller holds at most one of a few places, for a limited time.
//!
//! pingora reads and writes HTTP. Its listening service is not used: it ends the process when a port is taken.

use crate::metrics::Metrics;
use crate::net::{Accepted, Address, Drain, Listener, Phase, Stream};
use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora_core::apps::ServerApp;
use pingora_core::apps::http_app::{HttpServer, ServeHttp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use pingora_core::server::ShutdownWatch;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Callers at one time. A scraper, three probes and a person are five.
const PLACES: usize = 32;

/// How long a caller may keep its place.
const VISIT: Duration = Duration::from_secs(60);

/// How long a probe waits for its answer.
const PROBE: Duration = Duration::from_secs(2);

/// The largest answer that a probe reads.
const LARGEST: u64 = 64 << 10;

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

/// What is served.
pub struct Pages {
    metrics: Arc<Metrics>,
    drain: Drain,
}

impl Pages {
    /// The pages of a process.
    pub fn new(metrics: Arc<Metrics>, drain: Drain) -> Pages {
        Pages { metrics, drain }
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Vec<u8>> {
        let page = match path {
            "/metrics" => match self.metrics.render() {
                Ok(text) => (StatusCode::OK, METRICS_TYPE, text),
                Err(e) => (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT_TYPE,
                    format!("{e}\n"),
                ),
            },
            "/live" => (StatusCode::OK, TEXT_TYPE, "live\n".to_owned()),
            "/ready" => self.probed(self.drain.phase() == Phase::Running),
            "/startup" => self.probed(self.drain.phase() != Phase::Starting),
            _ => (
                StatusCode::NOT_FOUND,
                TEXT_TYPE,
                "here are /metrics, /live, /ready and /startup\n".to_owned(),
            ),
        };
        if *method != Method::GET && *method != Method::HEAD {
            let mut response = response(
                (
                    StatusCode::METHOD_NOT_ALLOWED,
                    TEXT_TYPE,
                    "GET or HEAD\n".to_owned(),
                ),
                method,
            );
            response
                .headers_mut()
                .insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        response(page, method)
    }

    fn probed(&self, yes: bool) -> (StatusCode, &'static str, String) {
        let status = if yes {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let word = match self.drain.phase() {
            Phase::Starting => "starting\n",
            Phase::Running => "running\n",
            Phase::Draining => "draining\n",
            Phase::Stopping => "stopping\n",
        };
        (status, TEXT_TYPE, word.to_owned())
    }
}

fn response(
    (status, kind, text): (StatusCode, &'static str, String),
    method: &Method,
) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(
        header::CONTENT_LENGTH,
        header::HeaderValue::from(text.len()),
    );
    if *method != Method::HEAD {
        *response.body_mut() = text.into_bytes();
    }
    response
}

#[async_trait]
impl ServeHttp for Pages {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let request = session.req_header();
        self.answer(&request.method, request.uri.path())
    }
}

/// Serves the pages until the process stops.
pub async fn serve(listeners: Vec<Listener>, pages: Pages, shutdown: ShutdownWatch) {
    let drain = pages.drain.clone();
    let app = Arc::new(HttpServer::new_app(pages));
    let places = Arc::new(Semaphore::new(PLACES));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        accepting.spawn(accept(
            listener,
            places.clone(),
            app.clone(),
            shutdown.clone(),
        ));
    }
    drain.reached(Phase::Stopping).await;
}

async fn accept(
    listener: Listener,
    places: Arc<Semaphore>,
    app: Arc<HttpServer<Pages>>,
    shutdown: ShutdownWatch,
) {
    while let Ok(place) = places.clone().acquire_owned().await {
        let accepted = listener.accept().await;
        let (app, shutdown) = (app.clone(), shutdown.clone());
        tokio::spawn(async move {
            let _place = place;
            let _ = tokio::time::timeout(VISIT, visit(accepted, app, shutdown)).await;
        });
    }
}

async fn visit(accepted: Accepted, app: Arc<HttpServer<Pages>>, shutdown: ShutdownWatch) {
    let stream = match accepted.into_stream() {
        Ok(Stream::Tcp(stream)) => L4Stream::from(stream),
        Ok(Stream::Unix(stream)) => L4Stream::from(stream),
        // Operators' connections are never encrypted.
        Ok(Stream::Accepted(_) | Stream::Dialed(_)) | Err(_) => return,
    };
    let mut next: Option<pingora_core::protocols::Stream> = Some(Box::new(stream));
    while let Some(stream) = next {
        next = app.process_new(stream, &shutdown).await;
    }
}

/// Asks the Larder at `address` whether it is ready, as a container's health check does.
pub fn probe(address: &Address) -> Result<(), String> {
    let Address::Tcp(host, port) = address else {
        return Err(format!("{address} is not host:port"));
    };
    // A wildcard says where to listen, not where to call.
    let host = match host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let status = ask(host, *port).map_err(|e| format!("no answer from {address}: {e}"))?;
    if status.starts_with("HTTP/1.1 200 ") || status.starts_with("HTTP/1.0 200 ") {
        Ok(())
    } else {
        Err(format!(
            "{address} is not ready: {}",
            status.lines().next().unwrap_or_default()
        ))
    }
}

fn ask(host: &str, port: u16) -> std::io::Result<String> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PROBE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(PROBE))?;
                stream.set_write_timeout(Some(PROBE))?;
                stream.write_all(
                    b"GET /ready HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n\r\n",
                )?;
                // To the end: hanging up on an answer looks like a fault to the other side.
                let mut answer = Vec::new();
                stream.take(LARGEST).read_to_end(&mut answer)?;
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pages: &Pages, method: Method, path: &str) -> u16 {
        pages.answer(&method, path).status().as_u16()
    }

    #[test]
    fn probes_follow_the_phase() {
        let pages = Pages::new(Arc::new(Metrics::new(1).unwrap()), Drain::default());
        for (phase, live, ready, startup) in [
            (Phase::Starting, 200, 503, 503),
            (Phase::Running, 200, 200, 200),
            (Phase::Draining, 200, 503, 200),
            (Phase::Stopping, 200, 503, 200),
        ] {
            pages.drain.advance(phase);
            let found =
                ["/live", "/ready", "/startup"].map(|path| status(&pages, Method::GET, path));
            assert_eq!(found, [live, ready, startup], "{phase:?}");
        }
    }

    #[test]
    fn methods_and_paths() {
        let pages = Pages::new(Arc::new(Metrics::new(1).unwrap()), Drain::default());
        assert_eq!(status(&pages, Method::GET, "/"), 404);
        assert_eq!(status(&pages, Method::POST, "/metrics"), 405);
        let head = pages.answer(&Method::HEAD, "/metrics");
        assert!(head.body().is_empty());
        assert_ne!(head.headers()[header::CONTENT_LENGTH], "0");
    }
}
