//! Why a client gets no connection.

use std::io;
use std::time::Duration;

use crate::net::login::LoginError;

/// Why a client gets no connection.
#[derive(Debug)]
pub enum Refusal {
    /// The upstream's ErrorResponse, as it came.
    Upstream(Box<[u8]>),
    /// The upstream cannot be reached.
    Io(io::Error),
    /// What Larder cannot do, for people.
    Unable(String),
    /// None became free in time.
    Waited(Duration),
    /// The database was paused for so long.
    Paused(Duration),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Io(error)
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Refusal {
        match error {
            LoginError::Refused(message) => Refusal::Upstream(message),
            LoginError::Io(error) => Refusal::Io(error),
            LoginError::Unable(text) => Refusal::Unable(text),
        }
    }
}
