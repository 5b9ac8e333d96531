//! The configuration: what an operator can say, read and judged before anything starts.
//!
//! * Unknown keys and values are errors with the nearest known name: a typing mistake in `ttl` must not silently give
//!   the default.
//! * Everything is checked here, at start: a configuration that loads does not fail later.
//! * `Debug` shows no password.
//!
//! Not here: what of it can change while running, and how (`said`, `app::live`).

mod address;
mod auth;
mod cgroup;
mod clienttls;
mod complaint;
mod function;
mod hosts;
mod layers;
mod password;
mod pooling;
mod rule;
mod said;
mod sslmode;
mod units;
mod url;
mod values;
mod verifying;

pub use address::Address;
pub use auth::{Auth, User};
pub use cgroup::memory_limit;
pub use clienttls::{ClientCertificates, ClientTls, TlsMode};
pub use complaint::ConfigError;
pub use function::{Function, FunctionName};
pub use hosts::SessionAttrs;
pub use layers::{Flags, KEYS};
pub use password::{Password, Secret};
pub use pooling::{Pool, PoolMode};
pub use rule::{Pattern, Rule};
pub use said::{Said, Setting};
pub use sslmode::{ChannelBinding, RootCert, SslMode, SslNegotiation, TlsWords, UpstreamTls};
pub use url::{Pooler, Upstream, UpstreamUrl};
pub use verifying::{Share, Verify};

pub use units::duration;

use function::Everything;
use std::path::{Path, PathBuf};
use std::time::Duration;
use values::{
    Words, a_duration, a_size, maybe_duration, maybe_parsed, maybe_path, maybe_words, parsed, words,
};

/// Everything an operator can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[listen]`: where clients connect, TCP first.
    pub listen: Vec<Address>,
    /// `[tls]`
    pub tls: ClientTls,
    /// `[admin]`
    pub admin: Admin,
    /// `[cache]`
    pub cache: Cache,
    /// `[catalog]`
    pub catalog: Catalog,
    /// `[[rule]]`
    pub rules: Vec<Rule>,
    /// `[auth]`
    pub auth: Auth,
    /// `[pool]`
    pub pool: Pool,
    /// `[[users]]`
    pub users: Vec<User>,
    /// `[verify]`
    pub verify: Verify,
    /// `[log]`
    pub log: Log,
}

/// `[server]`: the process.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// How long SIGTERM waits for clients to finish.
    #[serde(deserialize_with = "a_duration")]
    pub drain: Duration,
    /// Threads that serve clients.
    pub workers: Workers,
    /// Where a successor asks for the listening sockets; `None`: there is no upgrade without a pause.
    #[serde(deserialize_with = "maybe_path")]
    pub upgrade_socket: Option<PathBuf>,
}

/// `server.workers`: `auto` is one per core this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// So many.
    Fixed(usize),
}

impl Workers {
    /// The number.
    pub fn count(self) -> usize {
        match self {
            Workers::Auto => std::thread::available_parallelism().map_or(1, usize::from),
            Workers::Fixed(n) => n,
        }
    }
}

/// `[admin]`: the HTTP listener of operators.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Where it listens.
    #[serde(deserialize_with = "parsed")]
    pub address: Address,
    /// The name of the database that is the console; empty: there is none.
    pub console: String,
    /// Who may change things there; `None`: the user of the upstream's URL.
    #[serde(deserialize_with = "maybe_words")]
    pub admin_users: Option<Vec<String>>,
    /// Who may look.
    #[serde(deserialize_with = "words")]
    pub stats_users: Vec<String>,
    /// How many statements each thread tells apart in the statistics.
    #[serde(deserialize_with = "parsed")]
    pub statements: usize,
    /// How many of them are shown as metrics.
    #[serde(deserialize_with = "parsed")]
    pub statement_metrics: usize,
    /// What HTTP callers that change something must show.
    pub token: Option<Secret>,
    /// The same from a file, read again at each call.
    pub token_file: Option<PathBuf>,
}

/// `[cache]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Whether answers come from memory.
    pub mode: Mode,
    /// How long an answer is served at most.
    pub ttl: Ttl,
    /// Which transactions are answered from memory.
    pub transactions: Transactions,
    /// Bytes that answers may take together.
    #[serde(deserialize_with = "a_size")]
    pub memory: u64,
    /// Bytes of the largest answer kept.
    #[serde(deserialize_with = "a_size")]
    pub max_answer: u64,
    /// How long a read waits for an equal one that is on its way to the upstream; 0s: not at all.
    #[serde(deserialize_with = "a_duration")]
    pub coalesce_wait: Duration,
}

/// `cache.mode`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Answer from memory.
    On,
    /// Decide and count, serve nothing.
    Observe,
    /// Pass everything through.
    Off,
}

/// `cache.transactions`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transactions {
    /// READ COMMITTED ones, until they write.
    UntilWrite,
    /// Those that are READ ONLY.
    ReadOnly,
    /// None.
    Never,
}

/// `cache.ttl`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// 10 s while nothing watches outside writes, 1 h while something does.
    Auto,
    /// Always this long.
    Fixed(Duration),
}

/// `[catalog]`: what Larder knows of the upstream's tables and functions.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Catalog {
    /// How often it is compared with the upstream's.
    #[serde(deserialize_with = "a_duration")]
    pub refresh: Duration,
    /// `[[function]]`: what is declared of functions.
    #[serde(skip)]
    pub functions: Vec<Function>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// The least level that is written, unless RUST_LOG says otherwise.
    pub level: LogLevel,
    /// What of the answers from memory is told, whatever the level.
    pub audit: Audit,
}

/// `log.audit`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Audit {
    /// Nothing.
    Off,
    /// Each: who was given one, of which statement, and how old it was.
    Hits,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// `log.level`
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// The tables as they are written.
#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Tables {
    server: Server,
    upstream: UpstreamTable,
    listen: ListenTable,
    tls: ClientTls,
    admin: Admin,
    cache: Cache,
    catalog: Catalog,
    rule: Vec<Rule>,
    auth: Auth,
    pool: Pool,
    users: Vec<User>,
    verify: Verify,
    log: Log,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UpstreamTable {
    #[serde(deserialize_with = "maybe_parsed")]
    url: Option<UpstreamUrl>,
    #[serde(deserialize_with = "maybe_duration")]
    connect_timeout: Option<Duration>,
    password_file: Option<String>,
    password_command: Option<String>,
    #[serde(deserialize_with = "maybe_duration")]
    password_command_ttl: Option<Duration>,
    pooler: Pooler,
    #[serde(deserialize_with = "maybe_parsed")]
    sslmode: Option<SslMode>,
    #[serde(deserialize_with = "maybe_parsed")]
    sslrootcert: Option<String>,
    #[serde(deserialize_with = "maybe_parsed")]
    sslcert: Option<String>,
    #[serde(deserialize_with = "maybe_parsed")]
    sslkey: Option<String>,
    #[serde(deserialize_with = "maybe_parsed")]
    sslnegotiation: Option<SslNegotiation>,
    #[serde(deserialize_with = "maybe_parsed")]
    channel_binding: Option<ChannelBinding>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ListenTable {
    address: Option<Words>,
    unix: Option<Words>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_MEMORY: u64 = 256 << 20;

impl Default for Server {
    fn default() -> Server {
        Server {
            drain: Duration::from_secs(30),
            workers: Workers::Auto,
            upgrade_socket: None,
        }
    }
}

impl Default for Admin {
    fn default() -> Admin {
        Admin {
            address: Address::Tcp("127.0.0.1".into(), 9432),
            console: "larder".into(),
            admin_users: None,
            stats_users: Vec::new(),
            statements: 5000,
            statement_metrics: 50,
            token: None,
            token_file: None,
        }
    }
}

impl Default for Cache {
    fn default() -> Cache {
        let memory = cgroup::memory_limit().map_or(DEFAULT_MEMORY, |limit| limit / 4);
        Cache {
            mode: Mode::On,
            ttl: Ttl::Auto,
            transactions: Transactions::UntilWrite,
            memory,
            max_answer: 1 << 20,
            coalesce_wait: Duration::from_secs(1),
        }
    }
}

impl Default for Catalog {
    fn default() -> Catalog {
        Catalog {
            refresh: Duration::from_secs(5),
            functions: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            format: LogFormat::Auto,
            level: LogLevel::Info,
            audit: Audit::Off,
        }
    }
}

impl Config {
    /// The configuration of this process: defaults < file < environment < flags.
    pub fn load(flags: &Flags) -> Result<Config, ConfigError> {
        Config::load_with(flags, environment())
    }

    /// The same with the environment given.
    pub fn load_with(
        flags: &Flags,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, ConfigError> {
        Said::read_with(flags, environment)?.config()
    }

    /// The admin address alone, for a probe that need not know the upstream.
    pub fn load_admin(flags: &Flags) -> Result<Address, ConfigError> {
        Ok(layers::figment(flags, environment())?
            .extract::<Everything>()?
            .tables
            .admin
            .address)
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
}

impl Tables {
    /// What is wrong about values that are each fine by themselves.
    fn contradictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (key, value) in [
            ("server.workers", self.server.workers == Workers::Fixed(0)),
            ("catalog.refresh", self.catalog.refresh.is_zero()),
        ] {
            if value {
                wrong.push(format!("{key}: must be more than zero"));
            }
        }
        if self.cache.max_answer > self.cache.memory {
            let (answer, memory) = (self.cache.max_answer, self.cache.memory);
            wrong.push(format!("cache.max_answer ({answer} bytes) is more than cache.memory ({memory} bytes): raise the one or lower the other"));
        }
        wrong.extend(rule::contradictions(&self.rule));
        wrong.extend(function::contradictions(&self.catalog.functions));
        let file = self.admin.token_file.as_ref();
        let file = file.is_some_and(|file| !file.as_os_str().is_empty());
        if self.admin.token.is_some() && file {
            wrong.push("admin: token and token_file say the same: keep one".into());
        }
        wrong.extend(self.auth.contradictions());
        wrong.extend(self.pool.contradictions());
        wrong.extend(auth::users_contradictions(&self.users));
        if matches!(self.admin.address, Address::Unix(_)) {
            wrong.push("admin.address: must be host:port".into());
        }
        wrong
    }

    fn judge(self) -> Result<Config, ConfigError> {
        let mut wrong = self.contradictions();
        wrong.extend(self.tls.contradictions());
        let Some(url) = self.upstream.url.clone() else {
            return Err(ConfigError::new(
                "no upstream: say where the database is with --upstream postgres://user:password@host:5432/database, \
                 LARDER_UPSTREAM__URL or upstream.url in the file",
            ));
        };
        let listen = self.listen.addresses().unwrap_or_else(|text| {
            wrong.push(text);
            Vec::new()
        });
        let upstream = self.upstream.judge(url, &mut wrong);
        for host in &upstream.hosts {
            if host.port() != Some(0) && listen.contains(host) {
                wrong.push(format!(
                    "upstream.url names {host}, which is where Larder itself listens"
                ));
            }
        }
        if !wrong.is_empty() {
            return Err(ConfigError::several(wrong));
        }
        Ok(Config {
            server: self.server,
            upstream,
            listen,
            tls: self.tls,
            admin: self.admin,
            cache: self.cache,
            catalog: self.catalog,
            rules: self.rule,
            auth: self.auth,
            pool: self.pool,
            users: self.users,
            verify: self.verify,
            log: self.log,
        })
    }
}

impl UpstreamTable {
    fn judge(self, url: UpstreamUrl, wrong: &mut Vec<String>) -> Upstream {
        let connect_timeout = self
            .connect_timeout
            .or(url.connect_timeout)
            .unwrap_or(CONNECT_TIMEOUT);
        if connect_timeout.is_zero() {
            wrong.push("upstream.connect_timeout: must be more than zero".into());
        }
        let words = self.tls_words().over(url.tls).judge();
        let tls = words.unwrap_or_else(|text| {
            wrong.push(format!("upstream: {text}"));
            UpstreamTls::default()
        });
        let password = password::password(
            url.password,
            self.password_file,
            self.password_command,
            self.password_command_ttl,
            wrong,
        );
        Upstream {
            hosts: url.hosts,
            attrs: url.attrs,
            balance: url.balance,
            user: url.user,
            password,
            database: url.database,
            connect_timeout,
            tls,
            pooler: self.pooler,
        }
    }

    fn tls_words(&self) -> TlsWords {
        TlsWords {
            mode: self.sslmode,
            root: self.sslrootcert.clone(),
            certificate: self.sslcert.clone(),
            key: self.sslkey.clone(),
            negotiation: self.sslnegotiation,
            channel_binding: self.channel_binding,
        }
    }
}

impl ListenTable {
    /// TCP addresses, then Unix sockets; a directory's socket takes the first TCP port.
    fn addresses(&self) -> Result<Vec<Address>, String> {
        let mut addresses = Vec::new();
        let default = Words(vec![format!("127.0.0.1:{}", address::DEFAULT_PORT)]);
        // A Unix socket alone is a listener; only where nothing is said does the default hold.
        let nothing = Words(Vec::new());
        let tcp = match (&self.address, &self.unix) {
            (Some(tcp), _) => tcp,
            (None, Some(unix)) if !unix.0.is_empty() => &nothing,
            (None, _) => &default,
        };
        for text in &tcp.0 {
            match text.parse().map_err(|e| format!("listen.address: {e}"))? {
                Address::Unix(_) => {
                    return Err(format!(
                        "listen.address: `{text}` is a path; Unix sockets are listen.unix"
                    ));
                }
                tcp => addresses.push(tcp),
            }
        }
        let port = addresses
            .first()
            .and_then(Address::port)
            .filter(|p| *p != 0)
            .unwrap_or(address::DEFAULT_PORT);
        for text in self.unix.iter().flat_map(|w| &w.0) {
            if !text.starts_with('/') {
                return Err(format!("listen.unix: `{text}` is not an absolute path"));
            }
            let is_socket = Address::Unix(text.into()).port().is_some();
            addresses.push(if is_socket {
                Address::Unix(text.into())
            } else {
                Address::unix(Path::new(text), port)
            });
        }
        if addresses.is_empty() {
            return Err("listen: nothing to listen on: give listen.address or listen.unix".into());
        }
        Ok(addresses)
    }
}
