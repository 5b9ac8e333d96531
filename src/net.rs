//! Sockets: listening, dialing, streams, TLS. Nothing about SQL.
//!
//! TCP and Unix sockets, with TLS or without, are one type from here on, so that nothing above tells them apart.

mod dial;
mod drain;
pub mod exchange;
mod gates;
mod handover;
mod listen;
pub mod login;
pub mod notify;
mod own;
mod passed;
mod passwords;
pub mod pool;
mod stream;
mod target;
mod tls;
pub mod users;

pub use crate::config::Address;
pub use dial::dial;
pub use drain::{Drain, Guard, Phase, PhaseWatch, ThreadPhase};
pub use gates::Gates;
pub use handover::{Heir, Predecessor, Waiting};
pub use listen::{Accepted, Bound, Listener, bind, open};
pub use own::Own;
pub use passed::{Passed, Use, managed};
pub use passwords::Passwords;
pub use stream::{AcceptedTls, Stream};
pub use target::{Place, Target};
pub use tls::{Acceptor, Connector, Start, Tls, Way};
