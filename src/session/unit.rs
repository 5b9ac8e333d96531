//! The unit: Parse, Bind, Describe and Execute of one statement, as far as they stand in the buffer.
//!
//! A unit is decided as a whole at its Execute (or at a Flush before it), so that a hit costs one look-up and the
//! upstream hears nothing. A client cannot tell: PostgreSQL itself sends nothing before Flush or Sync.

use crate::wire::frame::{self, Frame};
use crate::wire::message::{self, Bind, Parse, Target};

/// Longest unit that waits for its end.
const LONGEST: usize = frame::LONGEST_SEEN;

/// Messages of one statement that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Unit<'a> {
    pub parse: Option<Parse<'a>>,
    pub bind: Bind<'a>,
    /// Describe of the portal.
    pub describe: bool,
    /// Describe of the statement, before and behind Bind.
    pub describe_statement: [bool; 2],
    /// Row limit; `None`: a Flush or Sync stands where the Execute may come.
    pub execute: Option<i32>,
    /// The messages as they came, that Flush or Sync not included.
    pub bytes: &'a [u8],
    /// Where Bind starts in them.
    pub bind_at: usize,
    /// A Sync follows at once.
    pub last: bool,
}

impl<'a> Unit<'a> {
    /// Whether its statement is to be described.
    pub fn describes_statement(&self) -> bool {
        self.describe_statement != [false; 2]
    }

    /// The Bind as it came.
    pub fn bind_message(&self) -> &'a [u8] {
        let bytes = &self.bytes[self.bind_at..];
        match frame::peek(bytes) {
            Frame::Whole { body, .. } => &bytes[..frame::HEAD + body.len()],
            _ => bytes,
        }
    }
}

/// What stands at the start of the buffer.
#[derive(Debug)]
pub enum Ahead<'a> {
    Unit(Unit<'a>),
    /// The beginning of a unit; more bytes will tell.
    Open,
    /// No unit: take the messages one by one.
    Not,
}

/// Looks ahead from a Parse or Bind.
pub fn ahead(buf: &[u8]) -> Ahead<'_> {
    let mut at = 0;
    let mut parse = None;
    let mut bind: Option<(Bind<'_>, usize)> = None;
    let mut describe = false;
    let mut describe_statement = [false; 2];
    loop {
        let (tag, body) = match frame::peek(&buf[at..]) {
            Frame::Whole { tag, body } => (tag, body),
            Frame::Part { tag, len } if b"PBDEHS".contains(&tag) && at + len <= LONGEST => {
                return Ahead::Open;
            }
            Frame::Short if at < LONGEST => return Ahead::Open,
            _ => return Ahead::Not,
        };
        let end = at + frame::HEAD + body.len();
        match (tag, &bind) {
            (b'P', None) if parse.is_none() => match message::parse(body) {
                Some(found) => parse = Some(found),
                None => return Ahead::Not,
            },
            (b'B', None) => match message::bind(body) {
                Some(found) if parse.is_none_or(|p: Parse<'_>| p.name == found.statement) => {
                    bind = Some((found, at));
                }
                _ => return Ahead::Not,
            },
            (b'D', Some((bind, _))) if !describe => match message::target(body) {
                Some(Target::Portal(name)) if name == bind.portal => describe = true,
                Some(Target::Statement(name))
                    if name == bind.statement && !describe_statement[1] =>
                {
                    describe_statement[1] = true;
                }
                _ => return Ahead::Not,
            },
            (b'D', None) if !describe_statement[0] => match (message::target(body), &parse) {
                (Some(Target::Statement(name)), Some(parse)) if name == parse.name => {
                    describe_statement[0] = true;
                }
                _ => return Ahead::Not,
            },
            (b'E' | b'H' | b'S', Some((bind, bind_at))) => {
                let execute = match (tag, message::execute(body)) {
                    (b'E', Some((name, limit))) if name == bind.portal => Some(limit),
                    (b'E', _) => return Ahead::Not,
                    _ => None,
                };
                return Ahead::Unit(Unit {
                    parse,
                    bind: *bind,
                    describe,
                    describe_statement,
                    execute,
                    bytes: &buf[..if execute.is_some() { end } else { at }],
                    bind_at: *bind_at,
                    last: tag == b'S' || (tag == b'E' && buf.get(end) == Some(&b'S')),
                });
            }
            _ => return Ahead::Not,
        }
        at = end;
    }
}
