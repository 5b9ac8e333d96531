//! `larder explain`: what Larder would do with a statement, told without a running one.
//!
//! * The statement is never sent. The database is asked for its catalog, and for the settings of a session as it would be.
//! * It is explained by a session like those in service, over a cache that is empty.
//!
//! Not here: the words (`session::explain`).

use super::live::live;
use super::{Error, declaration, first_password, route, share, users};
use crate::cache::servers::Servers;
use crate::cache::version::Ledger;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::net::Tls;
use crate::session::explain::Explanation;
use crate::session::{self, Shared, Thread};
use crate::sql::Catalog;
use crate::sql::catalog::Declaration;
use crate::watch::link::Dialer;
use crate::watch::once::Once;
use crate::watch::schema;
use crate::wire::startup::Startup;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use tokio::sync::mpsc;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The statement.
    pub sql: String,
    /// The role that would ask it, if not the one of `upstream.url`.
    pub role: Option<String>,
    /// Settings of its session: `name=value`.
    pub set: Vec<String>,
}

/// Settings of a session that a server reports unasked.
const REPORTED: [&str; 3] = [
    "client_encoding",
    "server_encoding",
    "standard_conforming_strings",
];

/// Explains a statement.
///
/// # Errors
/// The database cannot be asked.
pub fn explain(config: &Config, question: &Asked) -> Result<Explanation, Error> {
    asking(config, async |asker| {
        let once = asker.connect().await?;
        explained(&asker, &once, question).await
    })
}

/// What asks the upstream from the shell.
pub(super) struct Asker<'a> {
    pub(super) config: &'a Config,
    pub(super) dialer: Dialer,
    shared: Arc<Shared>,
    thread: Rc<Thread>,
    // Nobody loads catalogs here; the ledger may tell of databases all the same.
    _databases: mpsc::UnboundedReceiver<Arc<crate::cache::version::Database>>,
}

/// Runs what asks, on a runtime of its own.
pub(super) fn asking<'a, T>(
    config: &'a Config,
    ask: impl AsyncFnOnce(Asker<'a>) -> Result<T, Error>,
) -> Result<T, Error> {
    let live = live(config).map_err(Error::Rules)?;
    let metrics = Arc::new(Metrics::new(1)?);
    let tls = Arc::new(Tls::new(&config.tls, &config.upstream.tls).map_err(Error::Tls)?);
    let (users, _) = users(config)?;
    let route = route(config, tls, users);
    first_password(&route.own).map_err(Error::Start)?;
    let (new_database, databases) = mpsc::unbounded_channel();
    let ledger = Ledger::telling(new_database, Servers::unchosen(false));
    let shared = Arc::new(share(config, live, metrics.clone(), ledger));
    let recorder = metrics.recorder(0);
    let recorder =
        recorder.ok_or_else(|| Error::Start(io::Error::other("no thread to count on")))?;
    let asker = Asker {
        config,
        thread: Rc::new(Thread::new(shared.clone(), recorder)),
        dialer: Dialer { route, metrics },
        shared,
        _databases: databases,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    runtime.block_on(ask(asker))
}

impl Asker<'_> {
    /// Connects as in service.
    pub(super) async fn connect(&self) -> Result<Once, Error> {
        let database = &self.config.upstream.database;
        let opened = self.dialer.once(database).await;
        opened.map_err(|words| Error::Upstream(format!("the upstream cannot be asked: {words}")))
    }

    /// Loads the catalog.
    pub(super) async fn load(&self, once: &Once, version: u64) -> Result<Catalog, Error> {
        let functions = self.config.catalog.functions.iter();
        let declared: Vec<Declaration> = functions.map(declaration).collect();
        let loaded = schema::load(once.client(), version, &declared).await;
        let loaded = loaded.map_err(|error| {
            Error::Upstream(format!("its catalog cannot be read: {}", words(&error)))
        });
        loaded.map(|(catalog, _)| catalog)
    }
}

async fn explained(asker: &Asker<'_>, once: &Once, question: &Asked) -> Result<Explanation, Error> {
    let name = &*asker.config.upstream.database;
    let database = asker.shared.ledger.database(name);
    let version = database.load_version().unwrap_or_default();
    let catalog = asker.load(once, version).await?;
    // Nothing else is under way that could stand against it.
    let _ = database.publish(catalog);
    let asked = |words| Error::Upstream(format!("the session cannot be made as asked: {words}"));
    for statement in question.statements().map_err(Error::Asked)? {
        once.rows(&statement).await.map_err(asked)?;
    }
    let reported = REPORTED.map(|name| format!("pg_catalog.current_setting('{name}')"));
    let row = once
        .row(&format!("SELECT {}", reported.join(", ")))
        .await
        .map_err(asked)?;
    let statuses: Vec<(&str, &str)> = REPORTED
        .into_iter()
        .zip(row.iter().map(|value| value.as_deref().unwrap_or_default()))
        .collect();
    let probed = once.row(&session::probe()).await.map_err(asked)?;
    let fields: Vec<Option<&[u8]>> = probed
        .iter()
        .map(|field| field.as_ref().map(|field| field.as_bytes()))
        .collect();
    let startup = Startup {
        packet: b"",
        major: 3,
        minor: 0,
        parameters: vec![("user", &*asker.config.upstream.user), ("database", name)],
    };
    let at_rest = session::Session::at_rest(asker.thread.clone(), &startup, &statuses, &fields);
    let mut at_rest =
        at_rest.ok_or_else(|| asked("the server does not say what it is like".into()))?;
    Ok(at_rest.explain_sql(&question.sql))
}

impl Asked {
    /// What makes the session as it would be.
    fn statements(&self) -> Result<Vec<String>, String> {
        let quoted = |text: &str| text.replace('\'', "''");
        let config = |name: &str, value: &str| {
            let (name, value) = (quoted(name), quoted(value));
            format!("SELECT pg_catalog.set_config('{name}', '{value}', false)")
        };
        let mut all = vec!["SET standard_conforming_strings = on".into()];
        for pair in &self.set {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(format!("--set {pair}: must be name=value"));
            };
            all.push(config(name.trim(), value));
        }
        all.extend(self.role.iter().map(|role| config("role", role)));
        Ok(all)
    }
}

/// The database's own words.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => error.to_string(),
        None => error.to_string(),
    }
}
