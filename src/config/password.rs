//! Where the password of Larder's own connections comes from.
//!
//! * A [`Secret`] is never shown: neither `Debug` nor an error text has it, so that it cannot reach a log.
//! * One source, not several: which of two would count is a question nobody should have to ask.
//!
//! Reading the file and running the command are not here (`net`): they happen at each login, not at start.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a value that must not be shown.
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

/// Where the password comes from.
#[derive(Clone, PartialEq, Eq)]
pub enum Password {
    /// There is none: the server must not ask.
    None,
    /// `upstream.url` has it.
    Value(Secret),
    /// `upstream.password_file`: the first line, read again at each login.
    File(PathBuf),
    /// `upstream.password_command`: the first line it prints.
    Command {
        /// A line for `sh -c`.
        line: String,
        /// How long what it printed is used.
        ttl: Duration,
    },
}

/// A command line may have a secret among its words.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Password::None => f.write_str("None"),
            Password::Value(_) => f.write_str("Value(***)"),
            Password::File(path) => f.debug_tuple("File").field(path).finish(),
            Password::Command { ttl, .. } => write!(f, "Command(***, {ttl:?})"),
        }
    }
}

/// How long a command's password is used unless told otherwise: logins come in bursts, and a token lives for minutes.
const COMMAND_TTL: Duration = Duration::from_secs(60);

/// The one source of the password.
pub(super) fn password(
    url: Option<Secret>,
    file: Option<String>,
    command: Option<String>,
    ttl: Option<Duration>,
    wrong: &mut Vec<String>,
) -> Password {
    // An empty text is as good as none: so a variable can take back what the file says.
    let said = |text: &String| !text.trim().is_empty();
    let (file, command) = (file.filter(said), command.filter(said));
    let given: Vec<&str> = [
        ("the password in upstream.url", url.is_some()),
        ("upstream.password_file", file.is_some()),
        ("upstream.password_command", command.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, given)| given.then_some(name))
    .collect();
    if given.len() > 1 {
        wrong.push(format!(
            "the upstream's password has {} sources: {}; keep one of them",
            given.len(),
            given.join(" and ")
        ));
    }
    match (url, file, command) {
        (Some(secret), ..) => Password::Value(secret),
        (_, Some(path), _) => Password::File(path.into()),
        (.., Some(line)) => Password::Command {
            line,
            ttl: ttl.unwrap_or(COMMAND_TTL),
        },
        _ => Password::None,
    }
}
