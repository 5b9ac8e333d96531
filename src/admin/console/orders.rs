//! What the console's commands do, and who may.
//!
//! * Whoever may only look changes nothing: each command is either known to change nothing or refused (CVE-2026-6667 of
//!   another pooler was a KILL_CLIENT that nobody had thought of).

use crate::admin::command::{Command, HELP, Patience, Refused};
use crate::admin::desk::Desk;
use crate::admin::views::{self, Value, View};

/// The column of a constant.
pub const PING: &[&str] = &["?column?"];

/// What a command has said.
pub enum Said {
    Rows(View),
    Tag(String),
    /// Words, and a tag.
    Notice(String, String),
    Nothing,
    /// It says something when something has come.
    Until(Wait),
}

/// What is waited for: of one database, or of all.
pub enum Wait {
    /// Nothing of a paused database is connected.
    Paused(Option<String>),
    /// What was to be replaced is gone.
    Closed(Option<String>),
}

impl Wait {
    /// What there is to say once it is over.
    pub fn is_over(&self, desk: &Desk) -> Option<Result<Said, Refused>> {
        let tag = |over: bool, tag: &str| over.then(|| Ok(Said::Tag(tag.into())));
        match self {
            Wait::Paused(database) => match desk.has_paused(database.as_deref()) {
                Some(over) => tag(over, "PAUSE"),
                None => Some(Err(Refused {
                    sqlstate: "57014",
                    text: "the pause was ended before every connection was closed".into(),
                    hint: "Another operator has said RESUME.".into(),
                })),
            },
            Wait::Closed(database) => tag(desk.has_closed(database.as_deref()), "WAIT_CLOSE"),
        }
    }
}

fn wrong(text: String) -> Refused {
    Refused {
        sqlstate: "22023",
        text,
        hint: String::new(),
    }
}

/// A state that the command needs is not that of the database.
fn unfit(done: bool, database: Option<&str>, is: &str) -> Result<(), Refused> {
    let what = database.map_or("Larder".to_owned(), |name| format!("database \"{name}\""));
    match done {
        true => Ok(()),
        false => Err(Refused {
            sqlstate: "55000",
            text: format!("{what} is {is}"),
            hint: "See SHOW DATABASES.".into(),
        }),
    }
}

/// Does what a command says, for a user who may change things or only look.
pub fn perform(desk: &Desk, who: &str, changes: bool, command: Command) -> Result<Said, Refused> {
    let rows = match command {
        Command::Empty => return Ok(Said::Nothing),
        Command::Show(place) => (views::ALL[place].make)(desk),
        Command::Help => {
            let shows = views::ALL.iter();
            let shows = shows.map(|shown| format!("SHOW {:<14} {}", shown.name, shown.what));
            let rest = HELP.iter().map(|help| (*help).to_owned());
            let lines: Vec<_> = shows.chain(rest).collect();
            return Ok(Said::Notice(lines.join("\n"), "SHOW".into()));
        }
        Command::Harmless(tag) => return Ok(Said::Tag(tag.into())),
        Command::Ping(value) => View {
            columns: PING,
            rows: vec![vec![Value::Text(value)]],
        },
        _ if !changes => {
            return Err(Refused {
                sqlstate: "42501",
                text: "only admin_users may change anything".into(),
                hint: "Name the user in admin.admin_users of Larder's configuration.".into(),
            });
        }
        command => return change(desk, who, command),
    };
    Ok(Said::Rows(rows))
}

fn change(desk: &Desk, who: &str, command: Command) -> Result<Said, Refused> {
    let tag = |tag: &str| Ok(Said::Tag(tag.into()));
    match command {
        Command::PauseCache => {
            desk.pause(who);
            tag("PAUSE")
        }
        Command::ResumeCache => {
            desk.resume(who);
            tag("RESUME")
        }
        Command::Purge(purge) => {
            let gone = desk.purge(who, &purge).map_err(wrong)?;
            tag(&format!("PURGE {gone}"))
        }
        Command::Reload => {
            let words = desk.reload(who).map_err(|text| Refused {
                sqlstate: "F0000",
                text,
                hint: "The configuration before stays in force.".into(),
            })?;
            Ok(Said::Notice(words, "RELOAD".into()))
        }
        Command::Set(key, value) => {
            desk.set(who, &key, &value).map_err(wrong)?;
            tag("SET")
        }
        Command::Shutdown(patience) => {
            match patience {
                Patience::None => desk.shut_down(who, true),
                Patience::Drain => desk.shut_down(who, false),
                Patience::Clients => desk.shut_down_behind_clients(who),
            }
            tag("SHUTDOWN")
        }
        Command::Unable(why) => Err(Refused {
            sqlstate: "0A000",
            text: "Larder cannot do that".into(),
            hint: why.into(),
        }),
        command => connections(desk, who, command),
    }
}

/// What is done to databases and connections.
fn connections(desk: &Desk, who: &str, command: Command) -> Result<Said, Refused> {
    let tag = |tag: &str| Ok(Said::Tag(tag.into()));
    match command {
        Command::Pause(database) => {
            let name = database.as_deref();
            unfit(desk.pause_database(who, name), name, "paused already")?;
            Ok(Said::Until(Wait::Paused(database)))
        }
        Command::Resume(database) => {
            let name = database.as_deref();
            unfit(desk.resume_database(who, name), name, "not paused")?;
            tag("RESUME")
        }
        Command::Disable(name) => {
            desk.admit(who, &name, false);
            tag("DISABLE")
        }
        Command::Enable(name) => {
            desk.admit(who, &name, true);
            tag("ENABLE")
        }
        Command::Reconnect(database) => {
            desk.reconnect(who, database.as_deref());
            tag("RECONNECT")
        }
        Command::WaitClose(database) => Ok(Said::Until(Wait::Closed(database))),
        Command::Kill(database) => {
            let ended = desk.kill(who, database.as_deref());
            let words = match &database {
                Some(name) => format!("clients of {name} wait until RESUME {name}"),
                None => "clients wait until RESUME".into(),
            };
            Ok(Said::Notice(words, format!("KILL {ended}")))
        }
        Command::KillClient(id) => match desk.kill_client(who, id) {
            true => tag("KILL"),
            false => Err(wrong(format!("there is no client {id}: see SHOW CLIENTS"))),
        },
        _ => Err(wrong("this is no command".into())),
    }
}
