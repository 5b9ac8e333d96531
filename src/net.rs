//! Sockets: listening, dialing, streams. Nothing about SQL.
//!
//! TCP and Unix sockets are one type from here on, so that nothing above tells them apart.

mod dial;
mod drain;
mod listen;
mod passwords;
mod stream;
mod target;

pub use crate::config::Address;
pub use dial::dial;
pub use drain::{Drain, Guard, Phase, PhaseWatch, ThreadPhase};
pub use listen::{Accepted, Bound, Listener, bind};
pub use passwords::Passwords;
pub use stream::Stream;
pub use target::Target;
