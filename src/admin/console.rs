//! The console: a database that is Larder's own, for psql and drivers.
//!
//! * Both protocols. A statement runs at its Execute; a Describe before it is answered from the columns alone, which are
//!   the same for every run.
//! * All columns are of type text, whose bytes are the same in both formats.
//! * What takes long to make or to come is not made on the thread of a client's session.
//! * A message is 64 KB at most, there are so many places and no more, and what is not read is not made (hazard 77).
//!
//! Not here: who may come in (`proxy`), what commands there are (`command`), what they do (`orders`) and show (`views`).

mod orders;
mod replies;

use super::command::{Command, Refused, read};
use super::desk::Desk;
use super::views::{self, Value};
use crate::net::{Phase, Stream};
use crate::wire::frame::{self, Frame, HEAD};
use crate::wire::message::{self, Severity};
use orders::{Said, Wait};
use replies::{binary, put_columns, put_rows, welcome};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest message.
const LONGEST: usize = 64 << 10;
/// How many statements a driver may keep.
const KEPT: usize = 256;
/// … and how many portals, which may hold rows.
const PORTALS: usize = 16;
/// What may wait to be read before the next message is dealt with.
const WAITING: usize = 256 << 10;
/// How often it is looked whether what is waited for has come.
const LOOK: Duration = Duration::from_millis(50);

/// What a view has left to give.
pub type Rows = std::vec::IntoIter<Vec<Value>>;

/// Serves an operator until he leaves or the process stops. `changes`: he may.
pub async fn serve(
    client: Stream,
    unread: Vec<u8>,
    desk: Arc<Desk>,
    user: Box<str>,
    changes: bool,
) {
    let mut wire = Wire {
        client,
        unread,
        desk: desk.clone(),
    };
    let Ok(_place) = desk.consoles.clone().try_acquire_owned() else {
        let text = "there are too many operators on the console";
        let _ = wire.refuse("53300", text, "Close another console.").await;
        return;
    };
    let mut console = Console {
        desk,
        user,
        changes,
        statements: HashMap::new(),
        portals: HashMap::new(),
        skips: false,
    };
    if let Err(error) = console.run(&mut wire).await {
        tracing::debug!(%error, "a console broke");
    }
    let _ = wire.client.shutdown().await;
}

/// An operator's connection.
struct Wire {
    client: Stream,
    unread: Vec<u8>,
    desk: Arc<Desk>,
}

/// A message: its type and body.
type Message = (u8, Vec<u8>);

impl Wire {
    /// The next message that is there; an error: it is too long, or none.
    fn next(&mut self) -> Result<Option<Message>, &'static str> {
        let too_long = "a message of the console has 64 KB at most";
        match frame::peek(&self.unread) {
            Frame::Whole { body, .. } if body.len() > LONGEST => Err(too_long),
            Frame::Whole { tag, body } => {
                let message = (tag, body.to_vec());
                let used = HEAD + body.len();
                self.unread.drain(..used);
                Ok(Some(message))
            }
            Frame::Part { len, .. } if len > HEAD + LONGEST => Err(too_long),
            Frame::Malformed => Err("invalid message format"),
            Frame::Part { .. } | Frame::Short => Ok(None),
        }
    }

    /// Sends all of it; an error: the client has gone, or the process stops.
    async fn send(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        let client = &mut self.client;
        let sent = async {
            client.write_all(out).await?;
            client.flush().await
        };
        tokio::select! {
            sent = sent => sent?,
            () = self.desk.drain.reached(Phase::Stopping) => {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
        out.clear();
        Ok(())
    }

    /// Receives more; `false`: the client has gone, or the process stops.
    async fn receive(&mut self) -> io::Result<bool> {
        let stopping = tokio::select! {
            read = self.client.read_buf(&mut self.unread) => return Ok(read? > 0),
            () = self.desk.drain.reached(Phase::Stopping) => true,
        };
        if stopping {
            let text = "terminating connection due to administrator command";
            self.refuse("57P01", text, "Larder is stopping.").await?;
        }
        Ok(false)
    }

    async fn refuse(&mut self, sqlstate: &str, text: &str, hint: &str) -> io::Result<()> {
        let mut out = Vec::new();
        message::put_error(&mut out, Severity::Fatal, sqlstate, text, hint);
        self.client.write_all(&out).await?;
        self.client.shutdown().await
    }
}

/// A statement that is bound.
struct Portal {
    text: String,
    binary: bool,
    /// What it has not given yet, once it was run.
    rest: Option<Rows>,
}

/// One operator.
struct Console {
    desk: Arc<Desk>,
    user: Box<str>,
    changes: bool,
    statements: HashMap<Vec<u8>, String>,
    portals: HashMap<Vec<u8>, Portal>,
    /// Up to the Sync, after an error.
    skips: bool,
}

impl Console {
    async fn run(&mut self, wire: &mut Wire) -> io::Result<()> {
        let mut out = welcome(&self.user);
        loop {
            loop {
                match wire.next() {
                    Ok(Some((b'X', _))) => return Ok(()),
                    Ok(Some((tag, body))) => self.message(tag, &body, wire, &mut out).await?,
                    Ok(None) => break,
                    Err(text) => return wire.refuse("08P01", text, "").await,
                }
                if out.len() >= WAITING {
                    wire.send(&mut out).await?;
                }
            }
            wire.send(&mut out).await?;
            if !wire.receive().await? {
                return Ok(());
            }
        }
    }

    async fn message(
        &mut self,
        tag: u8,
        body: &[u8],
        wire: &mut Wire,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        match tag {
            b'S' => {
                self.skips = false;
                // A driver that fetches a few rows at a time believes that it is in a transaction, and names its portal.
                self.portals.remove(&b""[..]);
                out.extend(message::ready(b'I'));
            }
            b'Q' => {
                self.skips = false;
                self.query(body, wire, out).await?;
                self.skips = false;
                out.extend(message::ready(b'I'));
            }
            _ if self.skips => {}
            b'P' => self.parse(body, out),
            b'B' => self.bind(body, out),
            b'D' => self.describe(body, out).await,
            b'E' => self.execute(body, wire, out).await?,
            b'C' => self.close(body, out),
            b'H' => {}
            _ => self.fail(
                &refused("08P01", "the console does not take this message"),
                out,
            ),
        }
        Ok(())
    }

    fn fail(&mut self, refused: &Refused, out: &mut Vec<u8>) {
        self.skips = true;
        let (state, text) = (refused.sqlstate, &refused.text);
        message::put_error(out, Severity::Error, state, text, &refused.hint);
    }

    async fn query(&mut self, body: &[u8], wire: &mut Wire, out: &mut Vec<u8>) -> io::Result<()> {
        let text = String::from_utf8_lossy(body.strip_suffix(b"\0").unwrap_or(body)).into_owned();
        match self.perform(&text, wire).await? {
            Ok(Said::Rows(view)) => {
                put_columns(view.columns, false, out);
                put_rows(&mut view.rows.into_iter(), 0, out);
            }
            Ok(said) => put(&said, out),
            Err(refused) => self.fail(&refused, out),
        }
        Ok(())
    }

    /// Does what a text says, and waits for what it waits for.
    async fn perform(&self, text: &str, wire: &mut Wire) -> io::Result<Result<Said, Refused>> {
        let command = match read(text) {
            Ok(command) => command,
            Err(refused) => return Ok(Err(refused)),
        };
        let (desk, user, changes) = (self.desk.clone(), self.user.clone(), self.changes);
        let done = move || orders::perform(&desk, &user, changes, command);
        match tokio::task::spawn_blocking(done).await {
            Ok(Ok(Said::Until(wait))) => self.until(wait, wire).await,
            Ok(said) => Ok(said),
            Err(_) => Ok(Err(refused(
                "XX000",
                "the command has failed inside Larder",
            ))),
        }
    }

    async fn until(&self, wait: Wait, wire: &mut Wire) -> io::Result<Result<Said, Refused>> {
        loop {
            if let Some(over) = wait.is_over(&self.desk) {
                return Ok(over);
            }
            // What is sent meanwhile waits; who leaves does not.
            let listens = wire.unread.len() < LONGEST;
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                here = wire.receive(), if listens => {
                    if !here? {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    fn parse(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let Some((name, text)) =
            message::cstr(body).and_then(|(name, rest)| Some((name, message::cstr(rest)?.0)))
        else {
            return self.fail(&refused("08P01", "invalid message format"), out);
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
            let made = Portal {
                text: self.statements.get(statement)?.clone(),
                binary: binary(tail),
                rest: None,
            };
            Some((portal.to_vec(), made))
        });
        match bound {
            Some((name, portal)) => {
                if self.portals.len() >= PORTALS {
                    self.portals.clear();
                }
                self.portals.insert(name, portal);
                frame::put(out, b'2', &[]);
            }
            None => self.fail(&missing("prepared statement", "26000"), out),
        }
    }

    async fn describe(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let (kind, name) = kind_and_name(body);
        let (found, binary) = match kind {
            b'S' => (self.statements.get(name), false),
            _ => match self.portals.get(name) {
                Some(portal) => (Some(&portal.text), portal.binary),
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
        let command = read(text);
        if kind == b'S' {
            frame::put(out, b't', &[0, 0]);
        }
        match command {
            Ok(Command::Show(place)) => {
                let desk = self.desk.clone();
                let columns = move || (views::ALL[place].make)(&desk).columns;
                let columns = tokio::task::spawn_blocking(columns).await;
                put_columns(columns.unwrap_or(&[]), binary, out);
            }
            Ok(Command::Ping(_)) => put_columns(orders::PING, binary, out),
            _ => frame::put(out, b'n', &[]),
        }
    }

    async fn execute(&mut self, body: &[u8], wire: &mut Wire, out: &mut Vec<u8>) -> io::Result<()> {
        let (name, limit) = message::execute(body).unwrap_or((&[], 0));
        let limit = usize::try_from(limit).unwrap_or(0);
        let (text, rest) = match self.portals.get_mut(name) {
            Some(portal) => (portal.text.clone(), portal.rest.take()),
            None => {
                self.fail(&missing("portal", "34000"), out);
                return Ok(());
            }
        };
        let mut rows = match rest {
            Some(rows) => rows,
            None => match self.perform(&text, wire).await? {
                Ok(Said::Rows(view)) => view.rows.into_iter(),
                Ok(said) => {
                    put(&said, out);
                    return Ok(());
                }
                Err(refused) => {
                    self.fail(&refused, out);
                    return Ok(());
                }
            },
        };
        put_rows(&mut rows, limit, out);
        if let Some(portal) = self.portals.get_mut(name) {
            portal.rest = Some(rows);
        }
        Ok(())
    }

    fn close(&mut self, body: &[u8], out: &mut Vec<u8>) {
        let (kind, name) = kind_and_name(body);
        match kind {
            b'S' => drop(self.statements.remove(name)),
            _ => drop(self.portals.remove(name)),
        }
        frame::put(out, b'3', &[]);
    }
}

/// Of Describe and Close: `S`tatement or `P`ortal, and its name.
fn kind_and_name(body: &[u8]) -> (u8, &[u8]) {
    let (kind, name) = body.split_first().unwrap_or((&b'S', &[]));
    (*kind, name.strip_suffix(b"\0").unwrap_or(name))
}

fn refused(sqlstate: &'static str, text: &str) -> Refused {
    Refused {
        sqlstate,
        text: text.into(),
        hint: String::new(),
    }
}

fn missing(what: &str, sqlstate: &'static str) -> Refused {
    refused(sqlstate, &format!("this {what} does not exist"))
}

/// What has no rows.
fn put(said: &Said, out: &mut Vec<u8>) {
    match said {
        Said::Nothing => frame::put(out, b'I', &[]),
        Said::Tag(tag) => message::put_complete(out, tag),
        Said::Notice(text, tag) => {
            message::put_notice(out, text);
            message::put_complete(out, tag);
        }
        Said::Rows(_) | Said::Until(_) => {}
    }
}
