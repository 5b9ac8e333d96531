//! The reply: one statement's answer, kept as the bytes the upstream sent.
//!
//! * One allocation an entry: header and bytes. The bytes are RowDescription (if it was sent), DataRows,
//!   CommandComplete, in this order and nothing else; a reply with a notice, a notification or a parameter status
//!   among them is never made (hazard 6). The first rows of an answer end in PortalSuspended instead, and are kept under
//!   a key of their own.
//! * Held by reference count: an entry evicted while it is sent to a slow client stays whole (P5).

use triomphe::ThinArc;

use super::Micros;
use super::version::Stamp;
use crate::wire::message::PORTAL_SUSPENDED;

/// An answer with what is known of it.
pub type Entry = ThinArc<Header, u8>;

/// What is known of an answer.
#[derive(Debug)]
pub struct Header {
    /// The words it was made under.
    pub stamp: Stamp,
    /// When it was read.
    pub made: Micros,
    /// When its time to live ends.
    pub expires: Micros,
    /// When it ends for who wishes no other than what holds for everybody: not later.
    pub usual: Micros,
    /// The number of the statement's shape.
    pub statement: u64,
    /// What the upstream took for it, in microseconds.
    pub cost: u32,
    /// Number of rows.
    pub rows: u32,
    /// Length of the RowDescription at the start; 0 if none was asked for.
    pub description: u32,
}

/// Reading an entry.
pub trait Reply {
    /// What is known of it.
    fn header(&self) -> &Header;
    /// RowDescription; empty if none was asked for when the entry was made.
    fn description(&self) -> &[u8];
    /// DataRows and CommandComplete.
    fn rows(&self) -> &[u8];
    /// Whether these are the first rows only.
    fn suspended(&self) -> bool;
    /// Everything, as a simple Query is answered.
    fn body(&self) -> &[u8];
}

impl Reply for Entry {
    #[inline]
    fn header(&self) -> &Header {
        &self.header.header
    }

    #[inline]
    fn description(&self) -> &[u8] {
        &self.slice[..self.header.header.description as usize]
    }

    #[inline]
    fn rows(&self) -> &[u8] {
        &self.slice[self.header.header.description as usize..]
    }

    #[inline]
    fn suspended(&self) -> bool {
        // A CommandComplete ends in NUL.
        self.slice.ends_with(PORTAL_SUSPENDED)
    }

    #[inline]
    fn body(&self) -> &[u8] {
        &self.slice
    }
}
