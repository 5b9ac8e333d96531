//! Sockets: listening, dialing, streams, TLS. Nothing about SQL.
//!
//! TCP and Unix sockets, with TLS or without, are one type from here on, so that nothing above tells them apart.

mod dial;
mod drain;
pub mod exchange;
mod listen;
pub mod login;
pub mod pool;
mod stream;
mod tls;
pub mod users;

pub use crate::config::Address;
pub use dial::dial;
pub use drain::{Drain, Guard, Phase, PhaseWatch, ThreadPhase};
pub use listen::{Accepted, Bound, Listener, bind};
pub use stream::{AcceptedTls, Stream};
pub use tls::{Acceptor, Connector, Start, Tls, Way};
