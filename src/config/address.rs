//! Addresses: where Larder listens and where the upstream is.
//!
//! A Unix socket is named as PostgreSQL's clients name it: a directory and a port make `<directory>/.s.PGSQL.<port>`.
//! Nothing is resolved or opened here.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of a listener that is given as a directory only.
pub const DEFAULT_PORT: u16 = 6432;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Host name or IP address (IPv6 without brackets), and port.
    Tcp(String, u16),
    /// The socket file itself.
    Unix(PathBuf),
}

impl Address {
    /// The socket file that PostgreSQL's clients look for in `directory`.
    pub fn unix(directory: impl Into<PathBuf>, port: u16) -> Address {
        Address::Unix(directory.into().join(format!(".s.PGSQL.{port}")))
    }

    /// The TCP port, or the number that a socket file's name ends with.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(_, port) => Some(*port),
            Address::Unix(path) => path
                .file_name()?
                .to_str()?
                .strip_prefix(".s.PGSQL.")?
                .parse()
                .ok(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    /// `host:port`, `[v6]:port`, or an absolute path to a socket file.
    fn from_str(text: &str) -> Result<Address, String> {
        if text.starts_with('/') {
            return Ok(Address::Unix(text.into()));
        }
        let wrong = || {
            format!(
                "`{text}` is not an address: write host:port, such as \"127.0.0.1:6432\" or \"[::1]:6432\""
            )
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(wrong)?,
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        if host.is_empty() {
            return Err(format!(
                "`{text}` names no host: write \"127.0.0.1:{port}\", or \"0.0.0.0:{port}\" for every interface"
            ));
        }
        Ok(Address::Tcp(host.to_owned(), port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes() {
        for text in [
            "127.0.0.1:6432",
            "[::1]:6432",
            "db.example:5432",
            "/run/pg/.s.PGSQL.5432",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "localhost",
            ":6432",
            "::1:6432",
            "[::1:6432",
            "h:99999",
            "h:x",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        assert_eq!(Address::unix("/run/pg", 5432).port(), Some(5432));
        assert_eq!(Address::Unix("/run/pg/odd".into()).port(), None);
    }
}
