//! Places in the order of answers: what the upstream owes, and what waits behind it.

use super::describe::Learn;
use super::statements::{Known, Portal};

/// An answer the upstream owes.
#[derive(Debug)]
pub enum Owed {
    /// ParseComplete, or CloseComplete of a statement: with the name and what it stood for before.
    Statement(Box<[u8]>, Option<Known>),
    /// BindComplete, or CloseComplete of a portal.
    Simple,
    /// BindComplete of a statement that was not bound yet under this word of the catalog.
    Bound(Box<[u8]>, u64),
    /// RowDescription or NoData, after ParameterDescription for a statement.
    Describe {
        fill: bool,
    },
    /// The same of a statement, to be kept.
    Learn(Box<Learn>),
    /// The same of a statement that has lived here only: is it still what it was under another word of the catalog?
    Verify(Box<[u8]>, u64),
    /// An error, instead of which the client is told this one.
    Instead(Vec<u8>),
    Execute {
        fill: bool,
    },
    /// The rows that say what the transaction has locked.
    Locks,
    /// An error: what was to run does not exist.
    Refused,
    /// ReadyForQuery.
    Sync,
    /// Everything up to ReadyForQuery.
    Query {
        fill: bool,
    },
    /// The same for a FunctionCall.
    Function,
}

/// One place in the order of answers.
#[derive(Debug)]
pub enum Item {
    Owed {
        owed: Owed,
        hidden: bool,
    },
    /// Bytes of ours.
    Local(Vec<u8>),
    /// ReadyForQuery of ours, with the status of the moment it is sent.
    Ready,
    /// The answer to a statement of ours; in simple protocol a ReadyForQuery follows, with the status of the moment.
    Ours {
        simple: bool,
        bytes: Vec<u8>,
    },
    /// A name was given a meaning here, and what it meant before: to be taken back if the pipeline fails.
    Made(Box<[u8]>, Option<Known>),
    /// The unnamed portal that lived here gave way to a Bind: should that fail, it is still there.
    Replaced(Box<Portal>),
    /// CopyDone or CopyFail was sent here, before the upstream had asked for data.
    CopyEnd,
}

/// What is known of the answers so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tag {
    /// Nothing was completed.
    #[default]
    None,
    /// Something has begun to run.
    Begun,
    /// The upstream refused it all before any of it ran.
    Unrun,
    /// Nothing can be: it is one statement that names something which does not exist.
    Refused,
    Other,
    Rollback,
    /// No row was changed.
    Zero,
}

impl Tag {
    /// Whether a statement was completed.
    pub fn is_done(self) -> bool {
        matches!(self, Tag::Other | Tag::Rollback | Tag::Zero)
    }
}

/// Whose a segment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Client,
    /// Larder's own question about the session's settings.
    Own,
    /// Only teaches the upstream names; the client has its answers already.
    Quiet,
}
