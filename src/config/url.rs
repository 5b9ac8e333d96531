//! The upstream's connection string.
//!
//! * The password is a [`Secret`]: no error text of this file shows it. They quote at most a parameter's name, a host or
//!   a word of its closed list.
//! * What Larder cannot keep is refused, not ignored: GSSAPI, unknown parameters.
//!
//! Files with passwords (`.pgpass`, `service`) and `PG…` variables are not read.

use super::address::Address;
use super::complaint::nearest;
use super::hosts::{self, SessionAttrs};
use super::password::{Password, Secret};
use super::sslmode::{TlsWords, UpstreamTls};
use percent_encoding::percent_decode_str;
use std::str::FromStr;
use std::time::Duration;

/// A PostgreSQL server, or several of which one is used, and how Larder's own connections log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Where servers listen, in the order in which they are tried; never empty.
    pub hosts: Vec<Address>,
    /// Which of them is wanted.
    pub attrs: SessionAttrs,
    /// The order is random instead.
    pub balance: bool,
    /// The role of Larder's own connections.
    pub user: String,
    /// Where its password comes from.
    pub password: Password,
    /// The database of the string; clients may name others.
    pub database: String,
    /// How long a connect may take, clients' and our own.
    pub connect_timeout: Duration,
    /// How connections are encrypted, clients' and our own.
    pub tls: UpstreamTls,
    /// What stands between Larder and the server.
    pub pooler: Pooler,
}

/// `upstream.pooler`: what kind of pooler Larder connects to, if the server is behind one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooler {
    /// None. Where one is found nothing is served.
    #[default]
    None,
    /// One that keeps a server connection for as long as its client stays.
    Session,
    /// One that may change it behind every transaction.
    Transaction,
}

impl Upstream {
    /// Whether there is nothing to choose: one host, whatever it is.
    pub fn is_single(&self) -> bool {
        self.hosts.len() == 1 && self.attrs == SessionAttrs::Any
    }

    /// How a control connection to `database` logs in, over a stream that is connected and encrypted already.
    pub fn control(&self, database: &str, password: Option<&Secret>) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .user(&self.user)
            .dbname(database)
            .application_name("larder");
        if let Some(password) = password {
            config.password(password.expose());
        }
        config
    }
}

/// What a connection string says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// Where servers listen, in order; never empty.
    pub hosts: Vec<Address>,
    /// `target_session_attrs`
    pub attrs: SessionAttrs,
    /// `load_balance_hosts=random`
    pub balance: bool,
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
    "load_balance_hosts",
];

const EXAMPLE: &str = "postgres://user:password@host:5432/database";

/// The string's parts, percent-decoded, not yet judged.
#[derive(Default)]
struct Parts {
    hosts: Vec<String>,
    ports: Vec<String>,
    attrs: SessionAttrs,
    balance: bool,
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
        let (hosts, ports) = hosts::places(place, EXAMPLE)?;
        let decode = |host: &String| decoded(host, "host");
        parts.hosts = hosts.iter().map(decode).collect::<Result<_, _>>()?;
        parts.ports = ports;
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
    fn parameter(&mut self, name: &str, value: String) -> Result<(), String> {
        match (name, value.as_str()) {
            ("host", _) => self.hosts = value.split(',').map(str::to_owned).collect(),
            ("port", _) => self.ports = value.split(',').map(str::to_owned).collect(),
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
            ("target_session_attrs", word) => self.attrs = SessionAttrs::read(word)?,
            ("load_balance_hosts", word) => self.balance = hosts::balance(word)?,
            // Larder's own connections are called larder, so that operators find them.
            ("application_name" | "gssencmode", _) => {}
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
        if self.user.is_empty() {
            return Err(format!(
                "the connection string names no user; Larder's own connections need one: {EXAMPLE}"
            ));
        }
        let hosts = hosts::addresses(&self.hosts, &self.ports, EXAMPLE)?;
        let database = if self.database.is_empty() {
            self.user.clone()
        } else {
            self.database
        };
        let password = self.password.map(Secret::new);
        Ok(UpstreamUrl {
            hosts,
            attrs: self.attrs,
            balance: self.balance,
            user: self.user,
            password,
            database,
            connect_timeout: self.connect_timeout,
            tls: self.tls,
        })
    }
}

/// A connection string as it was written, without its password.
pub(super) fn without_password(text: &str) -> String {
    const SECRET: &str = "***";
    let (head, query) = match text.split_once('?') {
        Some((head, query)) => (head, Some(query)),
        None => (text, None),
    };
    let head = match (head.split_once("://"), head.rfind('@')) {
        (Some((scheme, _)), Some(at)) => match head[scheme.len() + 3..at].split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:{SECRET}{}", &head[at..]),
            None => head.to_owned(),
        },
        // Not what it should be: it may hold anything.
        _ => SECRET.to_owned(),
    };
    let hidden = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.contains("password") => format!("{name}={SECRET}"),
        _ => pair.to_owned(),
    };
    match query {
        Some(query) => {
            let pairs: Vec<_> = query.split('&').map(hidden).collect();
            format!("{head}?{}", pairs.join("&"))
        }
        None => head,
    }
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
        assert_eq!(url.hosts, [Address::Tcp("db.example".into(), 5433)]);
        assert_eq!((url.user.as_str(), url.database.as_str()), ("app", "shop"));
        assert_eq!(url.password.as_ref().unwrap().expose(), "s3cr@t");
        assert_eq!(
            read("postgresql://app@[::1]/").hosts,
            [Address::Tcp("::1".into(), 5432)]
        );
        assert_eq!(
            read("postgresql://app@[::1]:7").hosts,
            [Address::Tcp("::1".into(), 7)]
        );
        assert_eq!(read("postgres://app@db").database, "app");
        assert_eq!(
            read("postgres://app@%2Frun%2Fpg:5433/d").hosts,
            [Address::unix("/run/pg", 5433)]
        );
        assert_eq!(
            read("postgres:///d?host=/run/pg&user=app").hosts,
            [Address::unix("/run/pg", 5432)]
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
            ("postgres://app:s3cret@db,,db2/d", "no host at one place"),
            (
                "postgres://app:s3cret@a,b,c/d?port=1,2",
                "3 hosts and 2 ports",
            ),
            ("postgres://app:s3cret@db:5432,db2:s3cret/d", "not a number"),
            ("postgres://app:s3cret@a,b:0/d", "between 1 and 65535"),
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
                "postgres://app:s3cret@db/d?target_session_attrs=readwrite",
                "did you mean `read-write`",
            ),
            (
                "postgres://app:s3cret@db/d?load_balance_hosts=on",
                "known are disable, random",
            ),
            ("postgres://app:s3cret@db/%00", "NUL"),
            ("postgres://app:s3cret%ff@db/d", "UTF-8"),
        ] {
            let error = refused(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn several_hosts_are_read_as_libpq_reads_them() {
        let tcp = |host: &str, port| Address::Tcp(host.into(), port);
        for (text, expected) in [
            ("a:1,b:2/d", vec![tcp("a", 1), tcp("b", 2)]),
            ("a,b:2/d", vec![tcp("a", 5432), tcp("b", 2)]),
            ("[::1]:1,b/d", vec![tcp("::1", 1), tcp("b", 5432)]),
            ("a,b/d?port=7", vec![tcp("a", 7), tcp("b", 7)]),
            ("/d?host=a,b&port=1,2", vec![tcp("a", 1), tcp("b", 2)]),
            ("/d?host=a,b&port=,2", vec![tcp("a", 5432), tcp("b", 2)]),
            (
                "/d?host=/run/pg,b",
                vec![Address::unix("/run/pg", 5432), tcp("b", 5432)],
            ),
            ("a,a,b/d", vec![tcp("a", 5432), tcp("b", 5432)]),
        ] {
            let url = read(&format!("postgres://app:s3cr@t@{text}"));
            assert_eq!(url.hosts, expected, "{text}");
            assert!(!url.balance && url.attrs == SessionAttrs::Any);
        }
        let url = read(
            "postgres://app@a,b/d?target_session_attrs=prefer-standby&load_balance_hosts=random",
        );
        assert_eq!(url.attrs.word(), "prefer-standby");
        assert!(url.balance);
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = read("postgres://app:s3cret@db/shop");
        let secret = url.password.clone().unwrap();
        let upstream = Upstream {
            hosts: url.hosts.clone(),
            attrs: url.attrs,
            balance: url.balance,
            user: url.user.clone(),
            password: Password::Value(secret.clone()),
            database: url.database.clone(),
            connect_timeout: Duration::from_secs(5),
            tls: UpstreamTls::default(),
            pooler: Pooler::None,
        };
        let control = upstream.control("other", Some(&secret));
        let command = Password::Command {
            line: "echo s3cret".into(),
            ttl: Duration::ZERO,
        };
        for text in [
            format!("{url:?}"),
            format!("{upstream:?}"),
            format!("{control:?}"),
            format!("{command:?}"),
        ] {
            assert!(!text.contains("s3cret"), "{text}");
        }
        assert_eq!(control.get_password(), Some("s3cret".as_bytes()));
        assert_eq!(control.get_dbname(), Some("other"));
    }
}
