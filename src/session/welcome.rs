//! What a backend says at its login: what it reports unasked, and its answer to Larder's own question.
//!
//! * One greeting serves every client that comes with the same user, database and startup parameters, so that a client
//!   whose reads hit needs no backend at all. It is shared, not copied: a thousand idle clients hold it once.
//! * It is as true as the backend that gave it: who keeps one says for how long.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::probe::Probed;
use super::settings::is_reported;
use crate::cache::servers::{Mark, Server, Servers};
use crate::cache::version::Database;
use crate::wire::message;

/// Reported settings by lower-cased name.
pub type Reported = BTreeMap<Box<str>, Box<str>>;

/// What a backend says at its login.
#[derive(Debug)]
pub struct Greeting {
    /// ParameterStatus as they came.
    pub statuses: Vec<(Box<str>, Box<str>)>,
    pub(super) reported: Arc<Reported>,
    /// What the session is called where nothing else was said.
    pub(super) application: Option<Box<str>>,
    /// BackendKeyData's process id.
    pub(super) pid: i32,
    pub(super) probed: Option<Arc<Probed>>,
    /// The database's baselines before the login began: what it says of settings is not newer.
    pub(super) baselines: u64,
    /// The server of the backend, as far as it has said which.
    pub(super) server: Server,
}

impl Greeting {
    /// Of what came up to ReadyForQuery, and the row that answered [`super::probe()`] if it was asked; `baselines`: the
    /// database's before the login began.
    pub fn new(
        statuses: Vec<(Box<str>, Box<str>)>,
        pid: i32,
        answer: Option<&[Option<&[u8]>]>,
        baselines: u64,
    ) -> Greeting {
        let reported = statuses.iter().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            is_reported(&name).then(|| (name.into(), value.clone()))
        });
        let reported = Arc::new(reported.collect());
        let mut named = statuses.iter();
        let application = named.find(|(name, _)| &**name == "application_name");
        Greeting {
            application: application.map(|(_, value)| value.clone()),
            statuses,
            reported,
            pid,
            probed: answer.and_then(Probed::read).map(Arc::new),
            baselines,
            server: Server::UNKNOWN,
        }
    }

    /// The same, of the server that it names; `mark`: of before the login.
    #[must_use]
    pub fn of(mut self, servers: &Servers, mark: &Mark) -> Greeting {
        if let Some(probed) = &self.probed {
            self.server = servers.named(&probed.started, probed.position, mark);
            servers.meet(self.server);
        }
        self
    }

    /// The backend's process id and start, as it said itself.
    pub(super) fn backend(&self) -> Option<&(i32, Option<Box<str>>)> {
        self.probed.as_ref().map(|probed| &probed.backend)
    }

    /// Whether the backend that answered is the one that the upstream had announced.
    pub fn is_direct(&self) -> bool {
        matches!(self.backend(), Some((pid, _)) if *pid == self.pid)
    }

    /// Whether no default is known to have changed since.
    pub fn is_current(&self, database: &Database) -> bool {
        self.baselines == database.baselines()
    }

    /// Whether a ParameterStatus says what was said then.
    pub fn says(&self, body: &[u8]) -> bool {
        let said = message::parameter_status(body);
        let said = said.map(|(name, value)| (Box::from(name), Box::from(value)));
        said.is_some_and(|said| self.statuses.contains(&said))
    }

    /// Whether a client that was told the one need not be told the other.
    pub fn says_the_same(&self, other: &Greeting) -> bool {
        let probed = match (&self.probed, &other.probed) {
            (Some(this), Some(other)) => this.says_the_same(other),
            (None, None) => true,
            _ => false,
        };
        probed
            && self.server == other.server
            && self.statuses == other.statuses
            && self.baselines == other.baselines
    }
}
