//! The commands of the console, read from their text.
//!
//! * Words in any case, names as SQL quotes them, strings in quotes; nothing else. What is not understood is refused with
//!   the nearest command.
//! * What drivers say of themselves when they connect (`SET extra_float_digits = 3`, `SELECT 1`) is taken for what it is:
//!   nothing.

use super::views;
use crate::session::Purge;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing, or a comment.
    Empty,
    /// A view, by its place in [`views::ALL`].
    Show(usize),
    Help,
    PauseCache,
    ResumeCache,
    Purge(Purge),
    Reload,
    Set(String, String),
    /// A setting of PostgreSQL's that a driver wants; it means nothing here.
    Harmless(&'static str),
    /// `SELECT` of a constant or of the version: clients ask whether somebody is there.
    Ping(String),
    Kill(Option<String>),
    KillClient(u64),
    Pause(Option<String>),
    Resume(Option<String>),
    Disable(String),
    Enable(String),
    Reconnect(Option<String>),
    WaitClose(Option<String>),
    Shutdown(Patience),
    /// PgBouncer's, and not Larder's: why.
    Unable(&'static str),
}

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// At once.
    None,
    /// Clients end as they come to rest, within `server.drain`.
    Drain,
    /// Clients leave by themselves.
    Clients,
}

/// Why a text is no command: for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub sqlstate: &'static str,
    pub text: String,
    pub hint: String,
}

/// Commands as people read them.
pub const HELP: &[&str] = &[
    "PAUSE CACHE",
    "RESUME CACHE",
    "PURGE ALL",
    "PURGE TABLE schema.name",
    "PURGE QUERY id",
    "PURGE ROLE name",
    "RELOAD",
    "SET key = value",
    "PAUSE [database]",
    "RESUME [database]",
    "DISABLE database",
    "ENABLE database",
    "RECONNECT [database]",
    "WAIT_CLOSE [database]",
    "KILL [database]",
    "KILL_CLIENT id",
    "SHUTDOWN [WAIT_FOR_SERVERS | WAIT_FOR_CLIENTS | IMMEDIATE]",
    "SHOW HELP",
];

/// One word of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// As it was written.
    Word(String),
    /// A quoted name or string, without its quotes.
    Quoted(String),
    Sign(char),
}

impl Token {
    fn is(&self, word: &str) -> bool {
        matches!(self, Token::Word(found) if found.eq_ignore_ascii_case(word))
    }

    /// A name: folded unless quoted.
    fn name(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some(word.to_lowercase()),
            Token::Quoted(name) => Some(name.clone()),
            Token::Sign(_) => None,
        }
    }

    /// As it was written.
    fn text(&self) -> Option<String> {
        match self {
            Token::Word(word) => Some(word.clone()),
            Token::Quoted(name) => Some(name.clone()),
            Token::Sign(_) => None,
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, Refused> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            return Ok(found);
        };
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, behind)| behind);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, behind)| behind);
        } else if first == '"' || first == '\'' {
            let mut value = String::new();
            let mut behind = &rest[1..];
            loop {
                let Some((part, more)) = behind.split_once(first) else {
                    return Err(refuse("a quote is not closed", String::new()));
                };
                value.push_str(part);
                match more.strip_prefix(first) {
                    Some(more) => {
                        value.push(first);
                        behind = more;
                    }
                    None => {
                        behind = more;
                        break;
                    }
                }
            }
            found.push(Token::Quoted(value));
            rest = behind;
        } else if first.is_alphanumeric() || "_$-".contains(first) {
            let inside = |c: char| c.is_alphanumeric() || "_$-".contains(c);
            let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
            found.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            found.push(Token::Sign(first));
            rest = &rest[first.len_utf8()..];
        }
    }
}

fn refuse(text: &str, hint: String) -> Refused {
    Refused {
        sqlstate: "42601",
        text: text.to_owned(),
        hint,
    }
}

/// Reads a command.
///
/// # Errors
/// It is none.
pub fn read(text: &str) -> Result<Command, Refused> {
    let mut tokens = tokens(text)?;
    while tokens.last() == Some(&Token::Sign(';')) {
        tokens.pop();
    }
    let [first, rest @ ..] = &*tokens else {
        return Ok(Command::Empty);
    };
    let word = |at: usize, word: &str| rest.get(at).is_some_and(|token| token.is(word));
    let command = match rest.len() {
        _ if first.is("SHOW") => show(rest),
        _ if first.is("SET") => set(rest),
        _ if first.is("SELECT") => ping(rest),
        1 if first.is("PAUSE") && word(0, "CACHE") => Some(Command::PauseCache),
        1 if first.is("RESUME") && word(0, "CACHE") => Some(Command::ResumeCache),
        _ if first.is("PURGE") => purge(rest).map(Command::Purge),
        0 if first.is("RELOAD") => Some(Command::Reload),
        1 if first.is("KILL_CLIENT") => {
            let number = rest[0].text().and_then(|text| text.parse().ok());
            number.map(Command::KillClient)
        }
        _ if first.is("SHUTDOWN") => shutdown(rest),
        _ if first.is("SUSPEND") => Some(Command::Unable(
            "a successor takes the listening sockets over without it",
        )),
        0 | 1 if DATABASES.iter().any(|(verb, _)| first.is(verb)) => of_database(first, rest),
        1 if first.is("DISABLE") => rest[0].name().map(Command::Disable),
        1 if first.is("ENABLE") => rest[0].name().map(Command::Enable),
        0 if first.is("HELP") => Some(Command::Help),
        0 if first.is("BEGIN") => Some(Command::Harmless("BEGIN")),
        0 if first.is("COMMIT") => Some(Command::Harmless("COMMIT")),
        0 if first.is("ROLLBACK") => Some(Command::Harmless("ROLLBACK")),
        2 if first.is("DISCARD") || first.is("RESET") => Some(Command::Harmless("RESET")),
        1 if first.is("DISCARD") && word(0, "ALL") => Some(Command::Harmless("DISCARD ALL")),
        _ => None,
    };
    command.ok_or_else(|| unknown(&tokens))
}

/// Makes a command for one database, or for all.
type Make = fn(Option<String>) -> Command;

/// Commands for one database, or for all.
const DATABASES: &[(&str, Make)] = &[
    ("PAUSE", Command::Pause),
    ("RESUME", Command::Resume),
    ("RECONNECT", Command::Reconnect),
    ("WAIT_CLOSE", Command::WaitClose),
    ("KILL", Command::Kill),
];

fn of_database(verb: &Token, rest: &[Token]) -> Option<Command> {
    let (_, make) = DATABASES.iter().find(|(word, _)| verb.is(word))?;
    match rest {
        [] => Some(make(None)),
        [name] => name.name().map(|name| make(Some(name))),
        _ => None,
    }
}

fn shutdown(rest: &[Token]) -> Option<Command> {
    let patience = match rest {
        [] => Patience::Drain,
        [word] if word.is("WAIT_FOR_SERVERS") => Patience::Drain,
        [word] if word.is("WAIT_FOR_CLIENTS") => Patience::Clients,
        [word] if word.is("IMMEDIATE") => Patience::None,
        _ => return None,
    };
    Some(Command::Shutdown(patience))
}

fn show(rest: &[Token]) -> Option<Command> {
    let [name] = rest else { return None };
    if name.is("HELP") {
        return Some(Command::Help);
    }
    // What drivers ask for at their start.
    for (setting, value) in [
        ("transaction_isolation", "read committed"),
        ("standard_conforming_strings", "on"),
    ] {
        if name.is(setting) {
            return Some(Command::Ping(value.into()));
        }
    }
    let place = views::ALL.iter().position(|shown| name.is(shown.name));
    place.map(Command::Show)
}

/// Settings of PostgreSQL's that drivers set when they connect.
const DRIVERS: &[&str] = &[
    "extra_float_digits",
    "application_name",
    "client_encoding",
    "datestyle",
    "timezone",
    "client_min_messages",
    "standard_conforming_strings",
    "session",
    "time",
    "names",
    "intervalstyle",
    "default_transaction_read_only",
];

fn set(rest: &[Token]) -> Option<Command> {
    let [key @ .., sign, value] = rest else {
        return None;
    };
    let first = rest[0].name()?;
    if DRIVERS.contains(&&*first) {
        return Some(Command::Harmless("SET"));
    }
    if !(*sign == Token::Sign('=') || sign.is("TO")) {
        return None;
    }
    let mut name = String::new();
    for token in key {
        match token {
            Token::Word(word) => name.push_str(&word.to_lowercase()),
            Token::Sign('.') => name.push('.'),
            _ => return None,
        }
    }
    (!name.is_empty()).then_some(Command::Set(name, value.text()?))
}

fn ping(rest: &[Token]) -> Option<Command> {
    match rest {
        [one] => Some(Command::Ping(one.text()?)),
        [name, Token::Sign('('), Token::Sign(')')] if name.is("version") => {
            let words = concat!("PostgreSQL 15.0 (Larder ", env!("CARGO_PKG_VERSION"), ")");
            Some(Command::Ping(words.into()))
        }
        [
            schema,
            Token::Sign('.'),
            name,
            Token::Sign('('),
            Token::Sign(')'),
        ] if schema.is("pg_catalog") && name.is("version") => ping(&rest[2..]),
        _ => None,
    }
}

fn purge(rest: &[Token]) -> Option<Purge> {
    match rest {
        [all] if all.is("ALL") => Some(Purge::All),
        [kind, schema, Token::Sign('.'), name] if kind.is("TABLE") => Some(Purge::Table {
            database: None,
            schema: schema.name()?.into(),
            name: name.name()?.into(),
        }),
        [kind, name] if kind.is("TABLE") => Some(Purge::Table {
            database: None,
            schema: "public".into(),
            name: name.name()?.into(),
        }),
        [kind, id] if kind.is("QUERY") => {
            let id = id.text().filter(|text| text.len() == 16)?;
            u64::from_str_radix(&id, 16).ok().map(Purge::Statement)
        }
        [kind, role] if kind.is("ROLE") => Some(Purge::Role(role.name()?.into())),
        _ => None,
    }
}

fn unknown(tokens: &[Token]) -> Refused {
    let words = tokens.iter().filter_map(Token::text);
    let said = words.collect::<Vec<_>>().join(" ").to_uppercase();
    let shows = views::ALL
        .iter()
        .map(|shown| format!("SHOW {}", shown.name));
    let all = shows.chain(HELP.iter().map(|help| (*help).to_owned()));
    // The one that begins most alike.
    let alike = |command: &String| {
        let pairs = command.bytes().zip(said.bytes());
        pairs.take_while(|(a, b)| a == b).count()
    };
    let near = all.max_by_key(alike).filter(|command| alike(command) > 2);
    let hint = match near {
        Some(near) => format!("Did you mean {near}? SHOW HELP lists the commands."),
        None => "SHOW HELP lists the commands.".into(),
    };
    refuse("this is no command of Larder's console", hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read() {
        let show = |name: &str| {
            let place = views::ALL.iter().position(|shown| shown.name == name);
            Command::Show(place.unwrap())
        };
        let table = |schema: &str, name: &str| {
            Command::Purge(Purge::Table {
                database: None,
                schema: schema.into(),
                name: name.into(),
            })
        };
        for (text, expected) in [
            ("", Command::Empty),
            (" ; ", Command::Empty),
            ("-- nothing", Command::Empty),
            ("show queries;", show("QUERIES")),
            ("/* x */ SHOW Cache", show("CACHE")),
            ("PAUSE CACHE", Command::PauseCache),
            ("purge all", Command::Purge(Purge::All)),
            ("PURGE TABLE orders", table("public", "orders")),
            ("PURGE TABLE Shop.Orders", table("shop", "orders")),
            (r#"PURGE TABLE shop."Or""ders""#, table("shop", "Or\"ders")),
            (
                "PURGE QUERY 00000000000000ff",
                Command::Purge(Purge::Statement(255)),
            ),
            (
                "SET cache.ttl = '5s'",
                Command::Set("cache.ttl".into(), "5s".into()),
            ),
            (
                "SET cache.mode TO observe",
                Command::Set("cache.mode".into(), "observe".into()),
            ),
            ("SET extra_float_digits = 3", Command::Harmless("SET")),
            ("SET DateStyle TO 'ISO'", Command::Harmless("SET")),
            ("select 1", Command::Ping("1".into())),
            ("KILL_CLIENT 7", Command::KillClient(7)),
            ("SHUTDOWN", Command::Shutdown(Patience::Drain)),
            (
                "shutdown wait_for_clients",
                Command::Shutdown(Patience::Clients),
            ),
            ("PAUSE", Command::Pause(None)),
            ("PAUSE Shop", Command::Pause(Some("shop".into()))),
            // Quoted it is the name of a database.
            ("PAUSE \"cache\"", Command::Pause(Some("cache".into()))),
            ("RESUME", Command::Resume(None)),
            ("RESUME CACHE", Command::ResumeCache),
            ("KILL", Command::Kill(None)),
            ("disable \"Shop\"", Command::Disable("Shop".into())),
            ("RECONNECT shop", Command::Reconnect(Some("shop".into()))),
            ("WAIT_CLOSE", Command::WaitClose(None)),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_command_is_told_the_nearest() {
        for (text, near) in [
            ("SHOW QUERYS", "SHOW QUERIES"),
            ("PURGE QUERY 7", "PURGE QUERY id"),
            ("PAUSE CACHE NOW", "PAUSE CACHE"),
            ("DISABLE", "DISABLE database"),
        ] {
            let refused = read(text).unwrap_err();
            assert_eq!(refused.sqlstate, "42601");
            assert!(refused.hint.contains(near), "{text}: {}", refused.hint);
        }
        assert!(read("DROP TABLE x").is_err());
        assert!(read("SHOW 'x").is_err());
    }

    #[test]
    fn no_text_ends_the_process() {
        use proptest::prelude::*;
        proptest!(|(text in ".{0,60}")| { let _ = read(&text); });
    }
}
