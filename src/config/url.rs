//! The upstream's connection string.
//!
//! * The password is a [`Secret`]: neither `Debug` nor `Display` nor an error text of this file shows it, so that it
//!   cannot reach a log. Error texts quote at most a parameter's name or a host.
//! * What Larder cannot keep is refused, not ignored: several hosts, GSSAPI, unknown parameters.
//!
//! Files with passwords (`.pgpass`, `service`) and `PG…` variables are not read.

use super::address::Address;
use super::complaint::nearest;
use super::sslmode::{TlsWords, UpstreamTls};
use percent_encoding::percent_decode_str;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of this value.
    pub fn new(value: String) -> Secret {
        Secret(value)
    }

    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    /// A text and nothing else: a number would lose its leading zeros.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A PostgreSQL server and how Larder's own connections log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where the server listens.
    pub address: Address,
    /// The role of Larder's own connections.
    pub user: String,
    /// Its password, if the server asks.
    pub password: Option<Secret>,
    /// The database of the string; clients may name others.
    pub database: String,
    /// How long a connect may take, clients' and our own.
    pub connect_timeout: Duration,
    /// How connections are encrypted, clients' and our own.
    pub tls: UpstreamTls,
}

impl Upstream {
    /// How a control connection to `database` logs in, over a stream that is connected and encrypted already.
    pub fn control(&self, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .user(&self.user)
            .dbname(database)
            .application_name("larder");
        if let Some(password) = &self.password {
            config.password(password.expose());
        }
        config
    }
}

/// What a connection string says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// Where the server listens.
    pub address: Address,
    /// The role.
    pub user: String,
    /// Its password.
    pub password: Option<Secret>,
    /// The database, or the user's name.
    pub database: String,
    /// `connect_timeout`, in whole seconds as libpq counts.
    pub connect_timeout: Option<Duration>,
    /// What it says of TLS.
    pub tls: TlsWords,
}

/// The parameters that mean something here.
const PARAMETERS: &[&str] = &[
    "host",
    "port",
    "user",
    "password",
    "dbname",
    "connect_timeout",
    "application_name",
    "gssencmode",
    "target_session_attrs",
];

const EXAMPLE: &str = "postgres://user:password@host:5432/database";

/// The string's parts, percent-decoded, not yet judged.
#[derive(Default)]
struct Parts {
    host: String,
    port: String,
    user: String,
    password: Option<String>,
    database: String,
    connect_timeout: Option<Duration>,
    tls: TlsWords,
}

impl FromStr for UpstreamUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<UpstreamUrl, String> {
        let rest = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| format!("the connection string must look like {EXAMPLE}"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut parts = Parts::default();
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        parts.database = decoded(database, "database")?;
        // The last @ ends the password: people forget to encode theirs.
        let place = match authority.rsplit_once('@') {
            Some((login, place)) => {
                let (user, password) = match login.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (login, None),
                };
                parts.user = decoded(user, "user")?;
                parts.password = password.map(|p| decoded(p, "password")).transpose()?;
                place
            }
            None => authority,
        };
        parts.place(place)?;
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name, "parameter name")?;
            let value = decoded(value, &name)?;
            parts.parameter(&name, value)?;
        }
        parts.judge()
    }
}

fn decoded(text: &str, what: &str) -> Result<String, String> {
    let text = percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| format!("the {what} is not UTF-8 after percent-decoding"))?;
    if text.contains('\0') {
        return Err(format!("the {what} contains a NUL byte"));
    }
    Ok(text.into_owned())
}

impl Parts {
    /// `host`, `host:port`, `[v6]:port` or a percent-encoded directory.
    fn place(&mut self, place: &str) -> Result<(), String> {
        if place.contains(',') {
            return Err(several_hosts());
        }
        let (host, port) = match place.strip_prefix('[') {
            Some(inner) => {
                let (host, after) = inner
                    .split_once(']')
                    .ok_or("the IPv6 address in the connection string lacks its `]`")?;
                match after.strip_prefix(':') {
                    Some(port) => (host, port),
                    None if after.is_empty() => (host, ""),
                    None => {
                        return Err(
                            "after `]` in the connection string only :port may follow".into()
                        );
                    }
                }
            }
            None => match place.split_once(':') {
                // The text behind the colon is not shown: it may be a password whose @ is missing.
                Some((_, port)) if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) => {
                    return Err(format!(
                        "the port in the connection string is not a number (the string looks like {EXAMPLE}; \
                         an IPv6 address needs [ ], and `/`, `?`, `#` in a password must be percent-encoded)"
                    ));
                }
                Some((host, port)) => (host, port),
                None => (place, ""),
            },
        };
        self.host = decoded(host, "host")?;
        self.port = port.to_owned();
        Ok(())
    }

    fn parameter(&mut self, name: &str, value: String) -> Result<(), String> {
        match (name, value.as_str()) {
            ("host", _) => self.host = value,
            ("port", _) => self.port = value,
            ("user", _) => self.user = value,
            ("password", _) => self.password = Some(value),
            ("dbname", _) => self.database = value,
            ("connect_timeout", _) => {
                let seconds = value.parse().map_err(
                    |_| "connect_timeout in the connection string is not a number of seconds",
                )?;
                // libpq: zero means no limit, which a proxy must not have.
                self.connect_timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            ("gssencmode", "require") => {
                return Err("gssencmode=require cannot be kept: Larder encrypts with TLS (sslmode), not with GSSAPI".into());
            }
            ("target_session_attrs", other) if other != "any" => {
                return Err("target_session_attrs other than any is not supported: name the one server to use".into());
            }
            // Larder's own connections are called larder, so that operators find them.
            ("application_name" | "gssencmode" | "target_session_attrs", _) => {}
            _ if self.tls.take(name, &value)? => {}
            _ => {
                let known = || PARAMETERS.iter().copied().chain(TlsWords::NAMES);
                let hint = nearest(name, known()).map(|n| format!("; did you mean `{n}`?"));
                let hint = hint.unwrap_or_else(|| {
                    format!("; known are {}", known().collect::<Vec<_>>().join(", "))
                });
                return Err(format!(
                    "unknown parameter `{name}` in the connection string{hint}"
                ));
            }
        }
        Ok(())
    }

    fn judge(self) -> Result<UpstreamUrl, String> {
        if self.host.contains(',') || self.port.contains(',') {
            return Err(several_hosts());
        }
        let port = match self.port.as_str() {
            "" => 5432,
            text => text
                .parse()
                .ok()
                .filter(|p| *p != 0)
                .ok_or("the port in the connection string is not between 1 and 65535")?,
        };
        if self.user.is_empty() {
            return Err(format!(
                "the connection string names no user; Larder's own connections need one: {EXAMPLE}"
            ));
        }
        let address = match self.host.as_str() {
            "" => {
                return Err(format!(
                    "the connection string names no host: {EXAMPLE}, or ?host=/directory for a Unix socket"
                ));
            }
            host if host.starts_with('/') => Address::unix(host, port),
            host => Address::Tcp(host.to_owned(), port),
        };
        let database = if self.database.is_empty() {
            self.user.clone()
        } else {
            self.database
        };
        let password = self.password.map(Secret);
        Ok(UpstreamUrl {
            address,
            user: self.user,
            password,
            database,
            connect_timeout: self.connect_timeout,
            tls: self.tls,
        })
    }
}

fn several_hosts() -> String {
    "the connection string names several hosts; Larder follows one server: name the one to use"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> UpstreamUrl {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    fn refused(text: &str) -> String {
        let error = text.parse::<UpstreamUrl>().expect_err(text);
        assert!(!error.contains("s3cret"), "{error}");
        error
    }

    #[test]
    fn reads_what_libpq_reads() {
        let url = read("postgres://app:s3cr%40t@db.example:5433/shop?sslmode=prefer");
        assert_eq!(url.address, Address::Tcp("db.example".into(), 5433));
        assert_eq!((url.user.as_str(), url.database.as_str()), ("app", "shop"));
        assert_eq!(url.password.as_ref().unwrap().expose(), "s3cr@t");
        assert_eq!(
            read("postgresql://app@[::1]/").address,
            Address::Tcp("::1".into(), 5432)
        );
        assert_eq!(
            read("postgresql://app@[::1]:7").address,
            Address::Tcp("::1".into(), 7)
        );
        assert_eq!(read("postgres://app@db").database, "app");
        assert_eq!(
            read("postgres://app@%2Frun%2Fpg:5433/d").address,
            Address::unix("/run/pg", 5433)
        );
        assert_eq!(
            read("postgres:///d?host=/run/pg&user=app").address,
            Address::unix("/run/pg", 5432)
        );
        assert_eq!(
            read("postgres://a:p@b@db/d").password.unwrap().expose(),
            "p@b"
        );
        assert_eq!(
            read("postgres://a@db?connect_timeout=3").connect_timeout,
            Some(Duration::from_secs(3))
        );
        assert_eq!(
            read("postgres://a@db?connect_timeout=0").connect_timeout,
            None
        );
    }

    #[test]
    fn refuses_with_the_reason() {
        for (text, word) in [
            ("mysql://app:s3cret@db", "postgres://"),
            ("app:s3cret@db", "postgres://"),
            ("postgres://app:s3cret@db,db2/d", "several hosts"),
            ("postgres://app:s3cret@/d?host=a,b", "several hosts"),
            ("postgres://app:s3cret@db:5432,db2:5432/d", "several hosts"),
            ("postgres://app:s3cret@/d", "no host"),
            ("postgres://db/d", "no user"),
            ("postgres://app:s3cret", "port"),
            ("postgres://app:s3cret@db:0/d", "between 1 and 65535"),
            ("postgres://app:s3cret@[::1/d", "]"),
            (
                "postgres://app:s3cret@db/d?sslmode=perfer",
                "did you mean `prefer`",
            ),
            (
                "postgres://app:s3cret@db/d?ssl_mode=disable",
                "did you mean `sslmode`",
            ),
            (
                "postgres://app:s3cret@db/d?gssencmode=require",
                "cannot be kept",
            ),
            (
                "postgres://app:s3cret@db/d?target_session_attrs=read-write",
                "not supported",
            ),
            ("postgres://app:s3cret@db/%00", "NUL"),
            ("postgres://app:s3cret%ff@db/d", "UTF-8"),
        ] {
            let error = refused(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = read("postgres://app:s3cret@db/shop");
        let upstream = Upstream {
            address: url.address.clone(),
            user: url.user.clone(),
            password: url.password.clone(),
            database: url.database.clone(),
            connect_timeout: Duration::from_secs(5),
            tls: UpstreamTls::default(),
        };
        for text in [
            format!("{url:?}"),
            format!("{upstream:?}"),
            format!("{:?}", upstream.control("x")),
        ] {
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert_eq!(
            upstream.control("other").get_password(),
            Some("s3cret".as_bytes())
        );
        assert_eq!(upstream.control("other").get_dbname(), Some("other"));
    }
}
