//! The process's log: one line per event on standard error.
//!
//! Text on a terminal, JSON elsewhere. `RUST_LOG` overrides the configured level. What an event may say is each
//! caller's business: no statement, parameter, row or password.

use crate::config::{Log, LogFormat, LogLevel};
use std::io::IsTerminal;
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// The host's own lines tell of its workings, not of ours ("SIGINT received" after every SIGTERM), and its HTTP calls it
/// an error when a scraper hangs up.
const HOST: &str = "pingora_core=warn,pingora_core::apps=off,pingora_runtime=warn";

/// Whoever asks for an audit gets it at every level.
pub const AUDIT: &str = "larder::audit";

/// Lets the level be another.
static LEVEL: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Another level from now on, as far as `RUST_LOG` does not say something else.
pub fn change(level: LogLevel) {
    if let Some(set) = LEVEL.get() {
        set(filter(level).0);
    }
}

/// Starts logging; later calls change nothing.
pub fn start(log: &Log) {
    let (filter, complaint) = filter(log.level);
    let json = match log.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr);
    // What is made of either is of another type.
    macro_rules! begin {
        ($builder:expr) => {{
            let builder = $builder.with_env_filter(filter).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.try_init().map(|()| {
                LEVEL.get_or_init(|| Box::new(move |filter| drop(handle.reload(filter))));
            })
        }};
    }
    let started = if json {
        let builder = builder.json().flatten_event(true);
        begin!(builder.with_current_span(false).with_span_list(false))
    } else {
        begin!(builder.with_ansi(std::io::stderr().is_terminal()))
    };
    if let (Ok(()), Some(complaint)) = (started, complaint) {
        tracing::warn!(
            error = complaint,
            "RUST_LOG is not understood; log.level holds"
        );
    }
}

/// The same for a command that prints its own answer: only what is wrong is logged, for people.
pub fn quietly(log: &Log) {
    let level = match log.level {
        LogLevel::Info => LogLevel::Error,
        other => other,
    };
    start(&Log {
        level,
        format: LogFormat::Text,
        audit: log.audit,
    });
}

fn filter(level: LogLevel) -> (EnvFilter, Option<String>) {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    let ours = format!("{level},{AUDIT}=info,{HOST}");
    match std::env::var(EnvFilter::DEFAULT_ENV) {
        // Behind ours, so that it wins where it names the same, and need not repeat the rest.
        Ok(text) if !text.is_empty() => match EnvFilter::try_new(format!("{ours},{text}")) {
            Ok(filter) => (filter, None),
            Err(e) => (EnvFilter::new(ours), Some(e.to_string())),
        },
        _ => (EnvFilter::new(ours), None),
    }
}
