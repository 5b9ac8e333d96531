//! The HTTP listener of operators: the page, `/status`, `/metrics`, the probes, and calls that change something.
//!
//! * `/ready` does not ask the upstream: a database that is down must not take every pod out of service at once.
//! * It outlives the listeners of clients: while the process drains, `/ready` says 503 and not "connection refused".
//! * The page is one of its own: no other origin's script, style or frame, and no other page's script can read what is here,
//!   because no header lets it.
//! * A slow or silent caller holds at most one of a few places, for a limited time.
//!
//! pingora reads and writes HTTP. Its listening service is not used: it ends the process when a port is taken.

use super::desk::Desk;
use super::status::{self, Token};
use crate::net::{Accepted, Drain, Listener, Phase, Stream};
use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora_core::apps::ServerApp;
use pingora_core::apps::http_app::{HttpServer, ServeHttp};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::l4::stream::Stream as L4Stream;
use pingora_core::server::ShutdownWatch;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Callers at one time. A scraper, three probes and a person are five.
const PLACES: usize = 32;

/// How long a caller may keep its place.
const VISIT: Duration = Duration::from_secs(60);

const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT_TYPE: &str = "text/plain; charset=utf-8";

const HTML_TYPE: &str = "text/html; charset=utf-8";
const JSON_TYPE: &str = "application/json";
/// The page loads nothing from elsewhere and runs nothing that is not in its own file.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The longest body of a call.
const LONGEST_CALL: usize = 4 << 10;

/// The page, its style and its script.
const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

/// A part of the page.
struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
    /// Made of the text, so that a browser that was here before another version asks anew.
    tag: LazyLock<String>,
}

static ASSETS: [Asset; 3] = [
    Asset {
        path: "/",
        kind: HTML_TYPE,
        text: PAGE,
        tag: LazyLock::new(|| tag(PAGE)),
    },
    Asset {
        path: "/page.css",
        kind: "text/css; charset=utf-8",
        text: STYLE,
        tag: LazyLock::new(|| tag(STYLE)),
    },
    Asset {
        path: "/page.js",
        kind: "text/javascript; charset=utf-8",
        text: SCRIPT,
        tag: LazyLock::new(|| tag(SCRIPT)),
    },
];

fn tag(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest[..8].iter().fold("\"".to_owned(), |mut tag, byte| {
        let _ = write!(tag, "{byte:02x}");
        tag
    }) + "\""
}

impl Asset {
    fn response(&self, method: &Method, known: Option<&str>) -> Response<Vec<u8>> {
        let same =
            known.is_some_and(|known| known.split(',').any(|known| known.trim() == *self.tag));
        let mut response = match same {
            true => response((StatusCode::NOT_MODIFIED, self.kind, String::new()), method),
            false => response((StatusCode::OK, self.kind, self.text.to_owned()), method),
        };
        let headers = response.headers_mut();
        if same {
            headers.remove(header::CONTENT_LENGTH);
        }
        // Kept, but asked for each time: a new Larder has a new page.
        let value = header::HeaderValue::from_static("no-cache");
        headers.insert(header::CACHE_CONTROL, value);
        if let Ok(value) = header::HeaderValue::from_str(&self.tag) {
            headers.insert(header::ETAG, value);
        }
        response
    }
}

/// What is served.
#[derive(Clone)]
pub struct Pages {
    desk: Arc<Desk>,
    drain: Drain,
    token: Token,
}

type Page = (StatusCode, &'static str, String);

impl Pages {
    /// The pages of a process. `token`: what callers must show who change something.
    pub fn new(desk: Arc<Desk>, token: Token) -> Pages {
        let drain = desk.drain.clone();
        Pages { desk, drain, token }
    }

    /// `known`: what the caller has of it already (`If-None-Match`).
    fn answer(
        &self,
        method: &Method,
        path: &str,
        query: &str,
        known: Option<&str>,
    ) -> Response<Vec<u8>> {
        if CALLS.contains(&path) {
            return refused("POST");
        }
        if *method != Method::GET && *method != Method::HEAD {
            return refused("GET, HEAD");
        }
        if let Some(asset) = ASSETS.iter().find(|asset| asset.path == path) {
            return asset.response(method, known);
        }
        let page = match path {
            "/status" => {
                let wanted = query.strip_prefix("statements=");
                let wanted = wanted.and_then(|number| number.parse().ok());
                (
                    StatusCode::OK,
                    JSON_TYPE,
                    status::status(&self.desk, wanted),
                )
            }
            "/metrics" => match self.desk.metrics.render() {
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
                "here are /, /status, /metrics, /live, /ready and /startup\n".to_owned(),
            ),
        };
        response(page, method)
    }

    /// A call that changes something.
    fn call(&self, path: &str, authorization: Option<&str>, body: &[u8]) -> Response<Vec<u8>> {
        let page = match self.token.admits(authorization) {
            None => (
                StatusCode::FORBIDDEN,
                TEXT_TYPE,
                "nobody may: set admin.token or admin.token_file in Larder's configuration\n"
                    .into(),
            ),
            Some(false) => (
                StatusCode::UNAUTHORIZED,
                TEXT_TYPE,
                "show admin.token: Authorization: Bearer ...\n".into(),
            ),
            Some(true) => match status::act(&self.desk, path, body) {
                Ok(text) => (StatusCode::OK, TEXT_TYPE, format!("{text}\n")),
                Err(text) => (StatusCode::BAD_REQUEST, TEXT_TYPE, format!("{text}\n")),
            },
        };
        let mut response = response(page, &Method::POST);
        if response.status() == StatusCode::UNAUTHORIZED {
            let value = header::HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }

    /// Answers on a thread of its own: who only asks whether Larder lives does not wait for it.
    async fn beside(
        &self,
        answer: impl FnOnce(&Pages) -> Response<Vec<u8>> + Send + 'static,
    ) -> Response<Vec<u8>> {
        let pages = self.clone();
        let answered = tokio::task::spawn_blocking(move || answer(&pages)).await;
        answered.unwrap_or_else(|error| {
            let page = (
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT_TYPE,
                format!("{error}\n"),
            );
            response(page, &Method::GET)
        })
    }

    fn probed(&self, yes: bool) -> Page {
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

/// What looks at all that there is.
const DEAR: &[&str] = &["/status", "/metrics"];

/// Calls that change something.
const CALLS: &[&str] = &["/purge", "/pause", "/resume", "/reload"];

/// Another method is wanted.
fn refused(allowed: &'static str) -> Response<Vec<u8>> {
    let page = (
        StatusCode::METHOD_NOT_ALLOWED,
        TEXT_TYPE,
        format!("{allowed}\n"),
    );
    let mut response = response(page, &Method::GET);
    let allowed = header::HeaderValue::from_static(allowed);
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

fn response((status, kind, text): Page, method: &Method) -> Response<Vec<u8>> {
    let mut response = Response::new(Vec::new());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
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
        let path = request.uri.path().to_owned();
        if request.method == Method::POST && CALLS.contains(&&*path) {
            let shown = request.headers.get(header::AUTHORIZATION);
            let shown = shown.and_then(|value| Some(value.to_str().ok()?.to_owned()));
            let mut body = Vec::new();
            while let Ok(Some(part)) = session.read_request_body().await {
                body.extend_from_slice(&part);
                if body.len() > LONGEST_CALL {
                    let words = format!("at most {LONGEST_CALL} bytes\n");
                    let page = (StatusCode::PAYLOAD_TOO_LARGE, TEXT_TYPE, words);
                    return response(page, &Method::POST);
                }
            }
            return self
                .beside(move |pages| pages.call(&path, shown.as_deref(), &body))
                .await;
        }
        let known = request.headers.get(header::IF_NONE_MATCH);
        let known = known.and_then(|value| Some(value.to_str().ok()?.to_owned()));
        let (method, query) = (request.method.clone(), request.uri.query());
        let query = query.unwrap_or_default().to_owned();
        let answer = move |pages: &Pages| pages.answer(&method, &path, &query, known.as_deref());
        match DEAR.contains(&request.uri.path()) {
            true => self.beside(answer).await,
            false => answer(self),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(pages: &Pages, method: Method, path: &str) -> u16 {
        pages.answer(&method, path, "", None).status().as_u16()
    }

    #[test]
    fn probes_follow_the_phase() {
        let pages = Pages::new(Arc::new(Desk::plain()), Token::None);
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

    /// All that a browser loads.
    #[test]
    fn the_page_is_small_and_loads_nothing_from_elsewhere() {
        assert!(PAGE.len() + STYLE.len() + SCRIPT.len() <= 200 << 10);
        for text in [PAGE, STYLE, SCRIPT] {
            assert!(!text.contains("http://") && !text.contains("https://"));
            assert!(!text.contains("innerHTML"), "what a statement says is text");
        }
        for inline in ["onclick", "style=", "<style", "javascript:"] {
            assert!(!PAGE.contains(inline), "{inline}");
        }
    }

    #[test]
    fn who_shows_the_token_may_change_things() {
        let token = Token::Value(crate::config::Secret::new("s3cret".into()));
        let pages = Pages::new(Arc::new(Desk::plain()), token);
        let call =
            |path, shown, body: &str| pages.call(path, shown, body.as_bytes()).status().as_u16();
        assert_eq!(call("/pause", None, ""), 401);
        assert_eq!(call("/pause", Some("Bearer wrong"), ""), 401);
        let shown = Some("Bearer s3cret");
        assert_eq!(call("/pause", shown, ""), 200);
        assert!(pages.desk.shared.steering.live().paused);
        assert_eq!(call("/resume", shown, ""), 200);
        assert!(!pages.desk.shared.steering.live().paused);
        assert_eq!(call("/purge", shown, "{}"), 400);
        assert_eq!(call("/purge", shown, r#"{"all": true}"#), 200);
    }

    #[test]
    fn who_has_the_page_is_not_sent_it_again() {
        let pages = Pages::new(Arc::new(Desk::plain()), Token::None);
        let ask = |path: &str, known: Option<&str>| pages.answer(&Method::GET, path, "", known);
        for path in ["/", "/page.css", "/page.js"] {
            let first = ask(path, None);
            let tag = first.headers()[header::ETAG].to_str().unwrap();
            let again = ask(path, Some(tag));
            assert_eq!((again.status().as_u16(), again.body().len()), (304, 0));
            assert_eq!(ask(path, Some("\"x\"")).status(), 200);
            let both = format!("\"x\", {tag}");
            assert_eq!(ask(path, Some(&both)).status(), 304);
        }
        assert!(!ask("/status", None).headers().contains_key(header::ETAG));
    }

    #[test]
    fn methods_and_paths() {
        let pages = Pages::new(Arc::new(Desk::plain()), Token::None);
        assert_eq!(status(&pages, Method::GET, "/"), 200);
        assert_eq!(status(&pages, Method::GET, "/status"), 200);
        assert_eq!(status(&pages, Method::GET, "/favicon.ico"), 404);
        assert_eq!(status(&pages, Method::GET, "/purge"), 405);
        assert_eq!(pages.call("/pause", Some("Bearer x"), b"").status(), 403);
        assert_eq!(status(&pages, Method::POST, "/metrics"), 405);
        let head = pages.answer(&Method::HEAD, "/metrics", "", None);
        assert!(head.body().is_empty());
        assert_ne!(head.headers()[header::CONTENT_LENGTH], "0");
    }
}
