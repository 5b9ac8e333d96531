//! The hosts of a connection string, and which of them is wanted.
//!
//! * Lists, ports and words mean what they mean to libpq (manual, 34.1): one port for all hosts or one for each.
//! * A host that cannot be told from a password whose `@` is missing is never shown.
//!
//! Nothing is resolved or asked here: a name with several addresses is one host.

use super::address::Address;
use super::complaint::nearest;

/// Which of several servers is wanted: `target_session_attrs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionAttrs {
    /// The first that answers.
    #[default]
    Any,
    /// One whose transactions may write unless they say otherwise.
    ReadWrite,
    /// One whose transactions may not.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is.
    Standby,
    /// One that is in recovery, or else any.
    PreferStandby,
}

/// Every word, and what it means.
const WORDS: [(&str, SessionAttrs); 6] = [
    ("any", SessionAttrs::Any),
    ("read-write", SessionAttrs::ReadWrite),
    ("read-only", SessionAttrs::ReadOnly),
    ("primary", SessionAttrs::Primary),
    ("standby", SessionAttrs::Standby),
    ("prefer-standby", SessionAttrs::PreferStandby),
];

impl SessionAttrs {
    /// The word.
    pub fn word(self) -> &'static str {
        let found = WORDS.iter().find(|(_, attrs)| *attrs == self);
        found.map_or("any", |(word, _)| word)
    }

    pub(super) fn read(word: &str) -> Result<SessionAttrs, String> {
        let found = WORDS.iter().find(|(known, _)| *known == word);
        found
            .map(|(_, attrs)| *attrs)
            .ok_or_else(|| unknown("target_session_attrs", word, &WORDS.map(|(word, _)| word)))
    }
}

/// `load_balance_hosts`: whether the hosts are tried in random order.
pub(super) fn balance(word: &str) -> Result<bool, String> {
    match word {
        "disable" => Ok(false),
        "random" => Ok(true),
        _ => Err(unknown("load_balance_hosts", word, &["disable", "random"])),
    }
}

pub(super) fn unknown(what: &str, word: &str, known: &[&'static str]) -> String {
    let hint = nearest(word, known.iter().copied()).map(|n| format!("; did you mean `{n}`?"));
    let hint = hint.unwrap_or_else(|| format!("; known are {}", known.join(", ")));
    format!("unknown {what} `{word}`{hint}")
}

/// Splits `host`, `host:port`, `[v6]:port` or several of them, joined by commas, into hosts and ports.
pub(super) fn places(text: &str, example: &str) -> Result<(Vec<String>, Vec<String>), String> {
    text.split(',').map(|one| place(one, example)).collect()
}

fn place(place: &str, example: &str) -> Result<(String, String), String> {
    let (host, port) = match place.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner
                .split_once(']')
                .ok_or("the IPv6 address in the connection string lacks its `]`")?;
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => {
                    return Err("after `]` in the connection string only :port may follow".into());
                }
            }
        }
        None => match place.split_once(':') {
            // The text behind the colon is not shown: it may be a password whose @ is missing.
            Some((_, port)) if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(format!(
                    "the port in the connection string is not a number (the string looks like {example}; \
                     an IPv6 address needs [ ], and `/`, `?`, `#` in a password must be percent-encoded)"
                ));
            }
            Some((host, port)) => (host, port),
            None => (place, ""),
        },
    };
    Ok((host.to_owned(), port.to_owned()))
}

/// The addresses of hosts and ports, in the order in which they are tried.
pub(super) fn addresses(
    hosts: &[String],
    ports: &[String],
    example: &str,
) -> Result<Vec<Address>, String> {
    if ports.len() > 1 && ports.len() != hosts.len() {
        return Err(format!(
            "the connection string names {} hosts and {} ports: give one port for all, or one for each",
            hosts.len(),
            ports.len()
        ));
    }
    let mut found: Vec<Address> = Vec::new();
    for (i, host) in hosts.iter().enumerate() {
        let port = ports.get(i).or(ports.first()).map_or("", String::as_str);
        let port = match port {
            "" => 5432,
            text => text
                .parse()
                .ok()
                .filter(|p| *p != 0)
                .ok_or("the port in the connection string is not between 1 and 65535")?,
        };
        let address = match host.as_str() {
            "" => {
                return Err(format!(
                    "the connection string names no host{}: {example}, or ?host=/directory for a Unix socket",
                    if hosts.len() > 1 {
                        " at one place of its list"
                    } else {
                        ""
                    }
                ));
            }
            host if host.starts_with('/') => Address::unix(host, port),
            host => Address::Tcp(host.to_owned(), port),
        };
        if !found.contains(&address) {
            found.push(address);
        }
    }
    Ok(found)
}
