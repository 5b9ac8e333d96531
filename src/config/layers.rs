//! The layers of a configuration: defaults < file < `LARDER_SECTION__KEY` < flags.
//!
//! * Every value keeps where it came from, so that a complaint can name it.
//! * An unknown variable is an error like an unknown key, but Kubernetes' own: a Service called `larder` puts
//!   `LARDER_PORT`, `LARDER_SERVICE_HOST` and their kin into every pod of its namespace.

use super::complaint::{ConfigError, nearest};
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use std::path::{Path, PathBuf};

/// The layer's name that complaints know the environment by.
pub(super) const ENVIRONMENT: &str = "environment";
/// The layer's name that complaints know the command line by.
pub(super) const FLAGS: &str = "flags";

const PREFIX: &str = "LARDER_";

/// The file that is read when none is named.
const DEFAULT_FILE: &str = "larder.toml";

/// Every key, as `table.key`. A test compares the list with the tables' types.
pub const KEYS: &[&str] = &[
    "server.drain",
    "server.workers",
    "server.upgrade_socket",
    "upstream.url",
    "upstream.connect_timeout",
    "upstream.password_file",
    "upstream.password_command",
    "upstream.password_command_ttl",
    "upstream.pooler",
    "upstream.sslmode",
    "upstream.sslrootcert",
    "upstream.sslcert",
    "upstream.sslkey",
    "upstream.sslnegotiation",
    "upstream.channel_binding",
    "listen.address",
    "listen.unix",
    "tls.mode",
    "tls.certificate",
    "tls.key",
    "tls.self_signed",
    "tls.client_ca",
    "tls.client_certificates",
    "admin.address",
    "admin.console",
    "admin.admin_users",
    "admin.stats_users",
    "admin.statements",
    "admin.statement_metrics",
    "admin.token",
    "admin.token_file",
    "cache.mode",
    "cache.transactions",
    "cache.ttl",
    "cache.memory",
    "cache.max_answer",
    "cache.coalesce_wait",
    "catalog.refresh",
    "rule",
    "function",
    "pool.mode",
    "pool.pool_size",
    "pool.reserve",
    "pool.reserve_timeout",
    "pool.min_pool_size",
    "pool.max_client_conn",
    "pool.query_wait_timeout",
    "pool.server_idle_timeout",
    "pool.server_lifetime",
    "pool.idle_transaction_timeout",
    "auth.relay",
    "auth.recheck",
    "auth.auth_file",
    "auth.auth_query",
    "auth.auth_dbname",
    "users",
    "verify.sample",
    "verify.outside_writers",
    "log.format",
    "log.level",
    "log.audit",
];

/// What the command line may set. Each is a configuration key too.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Configuration file [default: larder.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The database: postgres://user:password@host:5432/database (a password here is visible in the process list;
    /// LARDER_UPSTREAM__URL or the file is not)
    #[arg(long, global = true, value_name = "URL")]
    pub upstream: Option<String>,
    /// Where clients connect: host:port, or a directory for a Unix socket (repeatable)
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Where /metrics, /live, /ready and /startup are served
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub admin: Option<String>,
    /// on, observe (decide and count, serve nothing) or off
    #[arg(long, global = true, value_name = "MODE")]
    pub mode: Option<String>,
    /// How long an answer is served at most: auto, or a duration such as 30s
    #[arg(long, global = true, value_name = "DURATION")]
    pub ttl: Option<String>,
    /// Memory for answers, such as 256MB
    #[arg(long, global = true, value_name = "SIZE")]
    pub memory: Option<String>,
    /// How long SIGTERM waits for clients to finish
    #[arg(long, global = true, value_name = "DURATION")]
    pub drain: Option<String>,
    /// Threads that serve clients: auto, or a number
    #[arg(long, global = true, value_name = "NUMBER")]
    pub workers: Option<String>,
    /// text, json or auto (text on a terminal)
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// error, warn, info, debug or trace (RUST_LOG overrides it)
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// The variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// All layers, merged; the defaults are the types' own.
pub(super) fn figment(
    flags: &Flags,
    environment: impl Iterator<Item = (String, String)>,
) -> Result<Figment, ConfigError> {
    let mut figment = Figment::new();
    if let Some(file) = file(flags)? {
        figment = figment.merge(Toml::file_exact(file));
    }
    Ok(figment.merge(variables(environment)?).merge(Layer {
        name: FLAGS,
        values: flag_values(flags),
    }))
}

fn file(flags: &Flags) -> Result<Option<PathBuf>, ConfigError> {
    let file = match &flags.config {
        Some(file) => file.clone(),
        None if Path::new(DEFAULT_FILE).is_file() => DEFAULT_FILE.into(),
        None => return Ok(None),
    };
    // figment's own text for a missing file does not say that it was named by a flag.
    match std::fs::File::open(&file) {
        Ok(_) => Ok(Some(file)),
        Err(e) => Err(ConfigError::new(format!(
            "cannot read the configuration file {}: {e}",
            file.display()
        ))),
    }
}

/// With another value for one key above all layers.
pub(super) fn over(figment: Figment, key: &str, value: &str) -> Result<Figment, ConfigError> {
    if !KEYS.contains(&key) || !key.contains('.') {
        let hint = match nearest(key, KEYS.iter().copied()) {
            Some(near) => format!("; did you mean {near}?"),
            None => String::new(),
        };
        return Err(ConfigError::new(format!("unknown key {key}{hint}")));
    }
    let mut values = Dict::new();
    insert(&mut values, key, value.to_owned());
    Ok(figment.merge(Layer {
        name: FLAGS,
        values,
    }))
}

struct Layer {
    name: &'static str,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

fn variables(environment: impl Iterator<Item = (String, String)>) -> Result<Layer, ConfigError> {
    let mut values = Dict::new();
    let mut complaints = Vec::new();
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if is_kubernetes_own(rest) {
            continue;
        }
        let key = rest.to_lowercase().replace("__", ".");
        if KEYS.contains(&key.as_str()) && key.contains('.') {
            insert(&mut values, &key, value);
        } else {
            let known: Vec<String> = KEYS
                .iter()
                .filter(|k| k.contains('.'))
                .map(|k| variable(k))
                .collect();
            let hint = match nearest(&name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean {near}?"),
                None => format!(
                    "variables are called {PREFIX}SECTION__KEY, such as {}",
                    variable("cache.ttl")
                ),
            };
            complaints.push(format!("unknown environment variable {name}; {hint}"));
        }
    }
    complaints.sort();
    if complaints.is_empty() {
        Ok(Layer {
            name: ENVIRONMENT,
            values,
        })
    } else {
        Err(ConfigError::several(complaints))
    }
}

fn is_kubernetes_own(rest: &str) -> bool {
    let port = rest.strip_prefix("SERVICE_").unwrap_or(rest);
    rest == "SERVICE_HOST" || port == "PORT" || (port.starts_with("PORT_") && !rest.contains("__"))
}

fn flag_values(flags: &Flags) -> Dict {
    let mut values = Dict::new();
    for (key, value) in [
        ("upstream.url", &flags.upstream),
        ("admin.address", &flags.admin),
        ("cache.mode", &flags.mode),
        ("cache.ttl", &flags.ttl),
        ("cache.memory", &flags.memory),
        ("server.drain", &flags.drain),
        ("server.workers", &flags.workers),
        ("log.format", &flags.log_format),
        ("log.level", &flags.log_level),
    ] {
        if let Some(value) = value {
            insert(&mut values, key, value.clone());
        }
    }
    if !flags.listen.is_empty() {
        // The flags replace what the lower layers listen on, of either kind.
        let (unix, tcp): (Vec<_>, Vec<_>) = flags
            .listen
            .iter()
            .cloned()
            .partition(|l| l.starts_with('/'));
        insert(&mut values, "listen.address", tcp.join(","));
        insert(&mut values, "listen.unix", unix.join(","));
    }
    values
}

/// Values stay text: the types read text and numbers alike, and a password must not be taken for TOML.
fn insert(values: &mut Dict, key: &str, value: String) {
    if let Some((table, key)) = key.split_once('.') {
        let table = values
            .entry(table.to_owned())
            .or_insert_with(|| Value::from(Dict::new()));
        if let Value::Dict(_, table) = table {
            table.insert(key.to_owned(), Value::from(value));
        }
    }
}
