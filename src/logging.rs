//! The process's log: one line per event on standard error.
//!
//! Text on a terminal, JSON elsewhere. `RUST_LOG` overrides the configured level. What an event may say is each
//! caller's business: no statement, parameter, row or password.

use crate::config::{Log, LogFormat, LogLevel};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// The host's own lines tell of its workings, not of ours ("SIGINT received" after every SIGTERM), and its HTTP calls it
/// an error when a scraper hangs up.
const HOST: &str = "pingora_core=warn,pingora_core::apps=off,pingora_runtime=warn";

/// Whoever asks for an audit gets it at every level.
pub const AUDIT: &str = "larder::audit";

/// Starts logging; later calls change nothing.
pub fn start(log: &Log) {
    let (filter, complaint) = filter(log.level);
    let json = match log.format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = if json {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init()
    } else {
        builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init()
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
