//! What a backend says at its login: what it reports unasked, and its answer to Larder's own question.
//!
//! * One greeting serves every client that comes with the same user, database and startup parameters, so that a client
//!   whose reads hit needs no backend at all. It is shared, not copied: a thousand idle clients hold it once.
//! * It is as true as the backend that gave it: who keeps one says for how long.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::settings::{TRACKED, is_reported};
use crate::wire::message;

/// Reported settings by lower-cased name.
pub type Reported = BTreeMap<Box<str>, Box<str>>;

/// A backend's answer to the question about itself.
#[derive(Debug, PartialEq, Eq)]
pub struct Probed {
    pub session_user: Box<str>,
    pub current_user: Box<str>,
    pub temporary: bool,
    /// Cluster, timeline and database: another server under the same name is another context (hazards 18, 68).
    pub identity: Box<str>,
    /// The tracked settings, in their order.
    pub values: Box<[Box<str>]>,
}

impl Probed {
    /// Reads the answer, with process id and start; `None` if it is not one.
    pub fn read(fields: &[Option<&[u8]>]) -> Option<(i32, Option<Box<str>>, Probed)> {
        let text =
            |field: &Option<&[u8]>| Some(Box::<str>::from(std::str::from_utf8((*field)?).ok()?));
        let [
            pid,
            start,
            session,
            current,
            temporary,
            identity,
            values @ ..,
        ] = fields
        else {
            return None;
        };
        if values.len() != TRACKED.len() {
            return None;
        }
        let probed = Probed {
            session_user: text(session)?,
            current_user: text(current)?,
            temporary: *text(temporary)? != *"0",
            identity: text(identity).unwrap_or_default(),
            values: values.iter().map(|v| text(v).unwrap_or_default()).collect(),
        };
        Some((text(pid)?.parse().ok()?, text(start), probed))
    }
}

/// What a backend says at its login.
#[derive(Debug)]
pub struct Greeting {
    /// ParameterStatus as they came.
    pub statuses: Vec<(Box<str>, Box<str>)>,
    pub(super) reported: Arc<Reported>,
    /// BackendKeyData's process id.
    pub(super) pid: i32,
    pub(super) backend: Option<(i32, Option<Box<str>>)>,
    pub(super) probed: Option<Arc<Probed>>,
}

impl Greeting {
    /// Of what came up to ReadyForQuery, and the row that answered [`super::probe`] if it was asked.
    pub fn new(
        statuses: Vec<(Box<str>, Box<str>)>,
        pid: i32,
        answer: Option<&[Option<&[u8]>]>,
    ) -> Greeting {
        let reported = statuses.iter().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            is_reported(&name).then(|| (name.into(), value.clone()))
        });
        let reported = Arc::new(reported.collect());
        let (backend, probed) = match answer.and_then(Probed::read) {
            Some((pid, start, probed)) => (Some((pid, start)), Some(Arc::new(probed))),
            None => (None, None),
        };
        Greeting {
            statuses,
            reported,
            pid,
            backend,
            probed,
        }
    }

    /// Whether the backend that answered is the one that the upstream had announced.
    pub fn is_direct(&self) -> bool {
        matches!(&self.backend, Some((pid, _)) if *pid == self.pid)
    }

    /// Whether a ParameterStatus says what was said then.
    pub fn says(&self, body: &[u8]) -> bool {
        let said = message::parameter_status(body);
        let said = said.map(|(name, value)| (Box::from(name), Box::from(value)));
        said.is_some_and(|said| self.statuses.contains(&said))
    }

    /// Whether a client that was told the one need not be told the other.
    pub fn says_the_same(&self, other: &Greeting) -> bool {
        self.statuses == other.statuses && self.probed == other.probed
    }
}
