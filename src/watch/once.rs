//! One look at the upstream from the shell: a connection of Larder's own that no running Larder has.
//!
//! * The servers are tried in the order of `upstream.url`, by the same way and with the same login as in service, so that
//!   what fails here would fail there.
//!
//! Not here: what is asked (`app::explainer`, `app::check`).

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::link::{Dialer, Failure, Link, SMALL, reason};
use super::primary::meets;
use crate::cache::servers::Servers;
use crate::config::{Address, ChannelBinding};
use crate::net::exchange::{Heard, hear, say};
use crate::net::login::{Credentials, Login, login};
use crate::wire::frame::{self, LONGEST_SEEN};
use crate::wire::message;

/// A connection, and where it goes.
pub struct Once {
    pub address: Address,
    link: Link,
}

/// What a login shows that a driver does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whether the backend that answers is the one that was announced: where it is not, a pooler stands in between.
    pub direct: bool,
}

impl Once {
    /// What questions are asked with.
    pub fn client(&self) -> &Client {
        &self.link.client
    }

    /// The first row of a simple query, as text.
    ///
    /// # Errors
    /// The database's words, or that there was no row.
    pub async fn row(&self, query: &str) -> Result<Vec<Option<String>>, String> {
        let rows = self.rows(query).await?;
        rows.into_iter().next().ok_or("no answer".into())
    }

    /// All rows of a simple query, as text.
    ///
    /// # Errors
    /// The database's words.
    pub async fn rows(&self, query: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        let answer = timeout(SMALL, self.client().simple_query(query)).await;
        let answer = answer.map_err(|_| format!("no answer within {SMALL:?}"))?;
        let answer = answer.map_err(|error| match error.as_db_error() {
            Some(words) => words.to_string(),
            None => reason(&error),
        })?;
        let rows = answer.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let fields = rows.map(|row| {
            let fields = (0..row.len()).map(|n| row.get(n).map(str::to_owned));
            fields.collect()
        });
        Ok(fields.collect())
    }
}

impl Dialer {
    /// Connects to the first server that is as wanted.
    ///
    /// # Errors
    /// What each of them said.
    pub async fn once(&self, database: &str) -> Result<Once, String> {
        let mut reasons = Vec::new();
        let wanted = self.route.upstream.attrs;
        for address in self.route.target.hosts() {
            match self.ask_one(address, database).await {
                Ok((link, true)) => {
                    let address = address.clone();
                    return Ok(Once { address, link });
                }
                Ok(_) => reasons.push(format!("{address}: not {}", wanted.word())),
                Err(error) => reasons.push(format!("{address}: {}", reason(&*error))),
            }
        }
        Err(reasons.join("; "))
    }

    async fn ask_one(&self, address: &Address, database: &str) -> Result<(Link, bool), Failure> {
        let link = self.connect_to(address, database).await?;
        let facts = link.facts(&Servers::default()).await?;
        Ok((link, meets(self.route.upstream.attrs, &facts)))
    }

    /// What a login there shows. The connection is closed again.
    ///
    /// # Errors
    /// The login failed.
    pub async fn shown(&self, address: &Address, database: &str) -> Result<Shown, String> {
        let asked = timeout(SMALL, self.show(address, database)).await;
        let asked = asked.map_err(|_| format!("no answer within {SMALL:?}"))?;
        asked.map_err(|error| reason(&*error))
    }

    async fn show(&self, address: &Address, database: &str) -> Result<Shown, Failure> {
        let upstream = &self.route.upstream;
        let connector = &self.route.tls.upstream;
        let stream = connector.connect(address, upstream.connect_timeout).await?;
        let (tls, private, bound) = (
            stream.is_tls(),
            stream.is_private(),
            stream.peer_end_point(),
        );
        let password = self.route.own.password().await?;
        let credentials = match &password {
            Some(password) => Credentials::password(password.expose()),
            None => Credentials::None,
        };
        let parameters = [
            ("user", &*upstream.user),
            ("database", database),
            ("application_name", "larder"),
        ];
        let parameters = parameters.map(|(name, value)| (name.into(), value.into()));
        let binding = upstream.tls.channel_binding;
        let how = Login {
            parameters: &parameters,
            credentials: &credentials,
            channel_binding: bound
                .as_deref()
                .filter(|_| binding != ChannelBinding::Disable),
            must_bind: binding == ChannelBinding::Require,
            private,
        };
        let mut opened = login(stream, &how).await?;
        let mut query = Vec::new();
        frame::put(&mut query, b'Q', b"SELECT pg_catalog.pg_backend_pid()\0");
        say(&mut opened.stream, &query).await?;
        loop {
            match hear(&mut opened.stream, &mut opened.unread, b"", LONGEST_SEEN).await? {
                Heard::Message(b'D', body) => {
                    let fields = message::data_row(&body).unwrap_or_default();
                    let pid = opened.pid.to_string();
                    let direct =
                        matches!(fields.first(), Some(Some(told)) if *told == pid.as_bytes());
                    return Ok(Shown { tls, direct });
                }
                Heard::Message(b'E' | b'Z', _) | Heard::Ended => {
                    return Err("it did not say which backend it is".into());
                }
                Heard::Message(..) => {}
                Heard::TooLong | Heard::Other(_) => return Err("an unexpected answer".into()),
            }
        }
    }
}
