//! Answers, and whether they still hold: key, reply, version, flight, servers, store, rules. No socket and no clock here.

pub mod fill;
pub mod flight;
pub mod key;
pub mod reply;
pub mod rules;
pub mod servers;
pub mod store;
pub mod sync;
pub mod version;

/// Microseconds on the process's monotonic clock, read by the caller.
pub type Micros = u64;
