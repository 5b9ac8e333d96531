//! The console: a database that is Larder's own, for psql and drivers.
//!
//! * Both protocols. A statement runs at its Execute; what it shows is settled then, so a Describe before it is answered
//!   from the columns alone, which are the same for every run.
//! * All columns are of type text, whose bytes are the same in both formats.
//! * A message is 64 KB at most, and a console ends with the process.
//!
//! Not here: who may come in (`proxy`), what commands there are (`command`), what they show (`views`).

use super::command::{Command, HELP, Refused, read};
use super::desk::Desk;
use super::views::{self, Value, View};
use crate::net::{Phase, Stream};
use crate::wire::frame::{self, Frame};
use crate::wire::message::{self, Severity};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest message.
const LONGEST: usize = 64 << 10;
/// How many statements and portals a driver may keep.
const KEPT: usize = 256;

/// The type `text`, and those of numbers and truth.
const TEXT: u32 = 25;

/// Serves an operator until he leaves or the process stops. `changes`: he may.
pub async fn serve(
    mut client: Stream,
    unread: Vec<u8>,
    desk: Arc<Desk>,
    user: Box<str>,
    changes: bool,
) {
    let mut console = Console {
        desk,
        user,
        changes,
        statements: HashMap::new(),
        portals: HashMap::new(),
        skips: false,
    };
    if let Err(error) = console.run(&mut client, unread).await {
        tracing::debug!(%error, "a console broke");
    }
    let _ = client.shutdown().await;
}

/// One operator.
struct Console {
    desk: Arc<Desk>,
    user: Box<str>,
    changes: bool,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, (String, bool)>,
    /// Up to the Sync, after an error.
    skips: bool,
}

/// What a command has said.
enum Said {
    Rows(View),
    Tag(String),
    Notice(Vec<String>),
    Nothing,
}

impl Console {
    async fn run(&mut self, client: &mut Stream, mut unread: Vec<u8>) -> io::Result<()> {
        let mut out = welcome(&self.user);
        let stopping = self.desk.drain.clone();
        loop {
            let mut used = 0;
            while let Some((tag, len)) = whole(&unread[used..])? {
                let body = unread[used + 5..used + len].to_vec();
                used += len;
                if tag == b'X' {
                    return Ok(());
                }
                self.message(tag, &body, &mut out);
            }
            unread.drain(..used);
            client.write_all(&out).await?;
            client.flush().await?;
            out.clear();
            let read = tokio::select! {
                read = client.read_buf(&mut unread) => read?,
                () = stopping.reached(Phase::Stopping) => {
                    let text = "terminating connection due to administrator command";
                    message::put_error(&mut out, Severity::Fatal, "57P01", text, "Larder is stopping.");
                    return client.write_all(&out).await;
                }
            };
            if read == 0 {
                return Ok(());
            }
        }
    }

    fn message(&mut self, tag: u8, body: &[u8], out: &mut Vec<u8>) {
        match tag {
            b'S' => {
                self.skips = false;
                self.portals.clear();
                out.extend(message::ready(b'I'));
            }
            b'Q' => {
                self.skips = false;
                self.query(body, out);
                out.extend(message::ready(b'I'));
            }
            _ if self.skips => {}
            b'P' => self.parse(body, out),
            b'B' => self.bind(body, out),
            b'D' => self.describe(body, out),
            b'E' => self.execute(body, out),
            b'C' => {
                let (kind, name) = body.split_first().unwrap_or((&b'S', &[]));
                let name = name.strip_suffix(b"\0").unwrap_or(name);
                match kind {
                    b'S' => drop(self.statements.remove(name)),
                    _ => drop(self.portals.remove(name)),
                }
                frame::put(out, b'3', &[]);
            }
            b'H' => {}
            _ => self.fail(
                &Refused {
                    sqlstate: "08P01",
                    text: "the console does not take this message".into(),
                    hint: String::new(),
                },
                out,
            ),
        }
    }

    fn fail(&mut self, refused: &Refused, out: &mut Vec<u8>) {
        self.skips = true;
        let (state, text) = (refused.sqlstate, &refused.text);
        message::put_error(out, Severity::Error, state, text, &refused.hint);
    }

    fn query(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned();
        let said = read(&text).and_then(|command| self.run_command(&command));
        match said {
            Ok(said) => put(&said, true, out),
            Err(refused) => {
                self.fail(&refused, out);
                self.skips = false;
            }
        }
    }

    fn parse(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let Some((name, text)) =
            message::cstr(body).and_then(|(name, rest)| Some((name, message::cstr(rest)?.0)))
        else {
            return self.fail(&malformed(), out);
        };
        let text = String::from_utf8_lossy(text).into_owned();
        if let Err(refused) = read(&text) {
            return self.fail(&refused, out);
        }
        if self.statements.len() >= KEPT {
            self.statements.clear();
        }
        self.statements.insert(name.to_vec(), text);
        frame::put(out, b'1', &[]);
    }

    fn bind(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let bound = message::cstr(body).and_then(|(portal, rest)| {
            let (statement, tail) = message::cstr(rest)?;
            Some((
                portal.to_vec(),
                self.statements.get(statement)?.clone(),
                binary(tail),
            ))
        });
        match bound {
            Some((portal, text, binary)) => {
                if self.portals.len() >= KEPT {
                    self.portals.clear();
                }
                self.portals.insert(portal, (text, binary));
                frame::put(out, b'2', &[]);
            }
            None => self.fail(&missing("prepared statement", "26000"), out),
        }
    }

    fn describe(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let (kind, name) = body.split_first().unwrap_or((&b'S', &[]));
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        let (found, binary) = match kind {
            b'S' => (self.statements.get(name), false),
            _ => match self.portals.get(name) {
                Some((text, binary)) => (Some(text), *binary),
                None => (None, false),
            },
        };
        let Some(text) = found else {
            let (what, state) = match kind {
                b'S' => ("prepared statement", "26000"),
                _ => ("portal", "34000"),
            };
            return self.fail(&missing(what, state), out);
        };
        if *kind == b'S' {
            frame::put(out, b't', &[0, 0]);
        }
        match read(text) {
            Ok(Command::Show(place)) => {
                // The same columns for every run: what is in them does not matter.
                let view = (views::ALL[place].make)(&self.desk);
                put_columns(view.columns, binary, out);
            }
            Ok(Command::Ping(_)) => put_columns(&["?column?"], binary, out),
            _ => frame::put(out, b'n', &[]),
        }
    }

    fn execute(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let name = message::cstr(body).map_or(&[][..], |(name, _)| name);
        let Some((text, _)) = self.portals.get(name).cloned() else {
            return self.fail(&missing("portal", "34000"), out);
        };
        match read(&text).and_then(|command| self.run_command(&command)) {
            Ok(said) => put(&said, false, out),
            Err(refused) => self.fail(&refused, out),
        }
    }

    fn run_command(&self, command: &Command) -> Result<Said, Refused> {
        let (desk, who) = (&self.desk, &*self.user);
        let tag = |tag: &str| Ok(Said::Tag(tag.into()));
        match command {
            Command::Empty => return Ok(Said::Nothing),
            Command::Show(place) => return Ok(Said::Rows((views::ALL[*place].make)(desk))),
            Command::Help => {
                let shows = views::ALL.iter();
                let shows = shows.map(|shown| format!("SHOW {:<12} {}", shown.name, shown.what));
                let rest = HELP.iter().map(|help| (*help).to_owned());
                return Ok(Said::Notice(shows.chain(rest).collect()));
            }
            Command::Harmless(tag) => return Ok(Said::Tag((*tag).into())),
            Command::Ping(value) => {
                return Ok(Said::Rows(View {
                    columns: &["?column?"],
                    rows: vec![vec![Value::Text(value.clone())]],
                }));
            }
            _ if !self.changes => {
                return Err(Refused {
                    sqlstate: "42501",
                    text: "only admin_users may change anything".into(),
                    hint: "Name the user in admin.admin_users of Larder's configuration.".into(),
                });
            }
            _ => {}
        }
        let wrong = |text: String| Refused {
            sqlstate: "22023",
            text,
            hint: String::new(),
        };
        match command {
            Command::PauseCache => desk.pause(who),
            Command::ResumeCache => desk.resume(who),
            Command::Purge(purge) => {
                let gone = desk.purge(who, purge).map_err(wrong)?;
                return tag(&format!("PURGE {gone}"));
            }
            Command::Reload => {
                let words = desk.reload(who).map_err(|text| Refused {
                    sqlstate: "F0000",
                    text,
                    hint: "The configuration before stays in force.".into(),
                })?;
                return Ok(Said::Notice(vec![words]));
            }
            Command::Set(key, value) => desk.set(who, key, value).map_err(wrong)?,
            Command::Kill(database) => {
                let wanted = |name: &str| database.as_deref().is_none_or(|d| d == name);
                let ended = desk.kill(who, |_, database| wanted(database));
                return tag(&format!("KILL {ended}"));
            }
            Command::KillClient(id) => {
                if desk.kill(who, |found, _| found == *id) == 0 {
                    return Err(wrong(format!("there is no client {id}: see SHOW CLIENTS")));
                }
            }
            Command::Shutdown { at_once } => desk.shut_down(who, *at_once),
            _ => {}
        }
        tag(match command {
            Command::PauseCache => "PAUSE",
            Command::ResumeCache => "RESUME",
            Command::Set(..) => "SET",
            Command::KillClient(_) => "KILL",
            _ => "SHUTDOWN",
        })
    }
}

fn malformed() -> Refused {
    Refused {
        sqlstate: "08P01",
        text: "invalid message format".into(),
        hint: String::new(),
    }
}

fn missing(what: &str, sqlstate: &'static str) -> Refused {
    Refused {
        sqlstate,
        text: format!("this {what} does not exist"),
        hint: String::new(),
    }
}

/// The tag and length of the whole message at the start; an error: it is too long, or none.
fn whole(buf: &[u8]) -> io::Result<Option<(u8, usize)>> {
    match frame::peek(buf) {
        Frame::Whole { tag, body } => Ok(Some((tag, body.len() + 5))),
        Frame::Part { len, .. } if len > LONGEST => Err(io::Error::other("a message is too long")),
        Frame::Malformed => Err(io::Error::other("not the protocol")),
        Frame::Part { .. } | Frame::Short => Ok(None),
    }
}

/// Whether Bind wants binary results, behind its names.
fn binary(tail: &[u8]) -> bool {
    let number = |at: usize| {
        let bytes = tail.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    let wants = || {
        let formats = number(0)?;
        let mut at = 2 + 2 * formats;
        let values = number(at)?;
        at += 2;
        for _ in 0..values {
            let len = i32::from_be_bytes(tail.get(at..at + 4)?.try_into().ok()?);
            at += 4 + usize::try_from(len.max(0)).ok()?;
        }
        let results = number(at)?;
        let mut results = (0..results).filter_map(|i| number(at + 2 + 2 * i));
        Some(results.any(|format| format == 1))
    };
    wants().unwrap_or(false)
}

/// What follows a proof: AuthenticationOk, what drivers want to know of the server, ReadyForQuery.
fn welcome(user: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put(&mut out, b'R', &[0, 0, 0, 0]);
    for (name, value) in [
        ("server_version", "15.0"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("application_name", ""),
        ("is_superuser", "off"),
        ("session_authorization", user),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        message::put_parameter_status(&mut out, name, value);
    }
    frame::put(&mut out, b'K', &[0; 8]);
    out.extend(message::ready(b'I'));
    out
}

fn put_columns(columns: &[&str], binary: bool, out: &mut Vec<u8>) {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        body.extend_from_slice(column.as_bytes());
        body.push(0);
        body.extend_from_slice(&[0; 6]);
        body.extend_from_slice(&TEXT.to_be_bytes());
        body.extend_from_slice(&(-1i16).to_be_bytes());
        body.extend_from_slice(&(-1i32).to_be_bytes());
        // The bytes of a text are the same in both formats.
        body.extend_from_slice(&u16::from(binary).to_be_bytes());
    }
    frame::put(out, b'T', &body);
}

fn put(said: &Said, columns: bool, out: &mut Vec<u8>) {
    match said {
        Said::Nothing => frame::put(out, b'I', &[]),
        Said::Tag(tag) => message::put_complete(out, tag),
        Said::Notice(lines) => {
            message::put_notice(out, &lines.join("\n"));
            message::put_complete(out, "SHOW");
        }
        Said::Rows(view) => {
            if columns {
                put_columns(view.columns, false, out);
            }
            for row in &view.rows {
                let mut body = (row.len() as u16).to_be_bytes().to_vec();
                for value in row {
                    if *value == Value::Null {
                        body.extend_from_slice(&(-1i32).to_be_bytes());
                        continue;
                    }
                    let text = value.to_string();
                    body.extend_from_slice(&(text.len() as i32).to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
                frame::put(out, b'D', &body);
            }
            message::put_complete(out, &format!("SHOW {}", view.rows.len()));
        }
    }
}
