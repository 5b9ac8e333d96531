//! The control connections: one per database that clients use, and one for each write in doubt.
//!
//! * A database's catalog is loaded at first need, after every raise, and when its digest has changed; it is looked at
//!   every `catalog.refresh`. While the connection is missing the database is shut (`no_catalog`), never guessed at.
//! * A write whose connection broke stays in doubt, and what it touches shut, until the upstream says that its backend
//!   is gone (hazard 40). Larder asks the upstream to end such a backend: nobody waits for its answer any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::doubt::{gone, terminate};
use super::link::open;
use super::schema::{Digest, digest, load};
use crate::cache::version::{Database, Outcome};
use crate::config::Upstream;
use crate::metrics::{Counted, Metrics, Scope, Source, UpstreamState};
use crate::net::Tls;
use crate::session::Doubt;

/// How long a catalog may take to load; nothing is served meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a control connection may take to open and for a small answer: what hangs longer is as good as lost.
const SMALL: Duration = Duration::from_secs(5);
/// Between attempts to connect: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Between questions whether a backend is gone: at first, and at most.
const ASK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What the control connections need.
#[derive(Clone)]
pub struct Control {
    pub upstream: Upstream,
    /// How they are encrypted.
    pub tls: Arc<Tls>,
    /// `catalog.refresh`.
    pub refresh: Duration,
    pub metrics: Arc<Metrics>,
}

/// An open control connection; the other half of it runs beside.
pub(super) struct Link {
    pub(super) client: Client,
    /// Ends with the connection.
    runs: JoinSet<()>,
    _counted: Counted,
}

/// Why there is no connection, or none any more.
pub(super) type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Control {
    /// Runs until both senders are gone.
    pub async fn run(
        self,
        mut databases: UnboundedReceiver<Arc<Database>>,
        mut doubts: UnboundedReceiver<Doubt>,
    ) {
        let mut tasks = JoinSet::new();
        loop {
            tokio::select! {
                Some(database) = databases.recv() => {
                    tasks.spawn(self.clone().keep(database));
                }
                Some(doubt) = doubts.recv() => {
                    tasks.spawn(self.clone().settle(doubt));
                }
                Some(_) = tasks.join_next() => {}
                else => return,
            }
        }
    }

    pub(super) async fn connect(&self, database: &str) -> Result<Link, Failure> {
        let opened = open(&self.upstream, &self.tls, database);
        let (client, connection) = timeout(SMALL, opened).await??;
        let mut runs = JoinSet::new();
        runs.spawn(async move {
            let _ = connection.await;
        });
        let counted = self.metrics.upstream(UpstreamState::Control);
        Ok(Link {
            client,
            runs,
            _counted: counted,
        })
    }

    /// Keeps a database's catalog.
    async fn keep(self, database: Arc<Database>) {
        let (mut pause, mut told) = (RETRY.0, false);
        loop {
            let error = match self.connect(database.name()).await {
                Ok(link) => {
                    (pause, told) = (RETRY.0, false);
                    self.watch(&database, link).await
                }
                Err(error) => error,
            };
            database.blind();
            if !std::mem::replace(&mut told, true) {
                let hint = "nothing is cached there meanwhile; check upstream.url: its role must be able to connect";
                tracing::warn!(database = database.name(), error = %reason(&*error), hint, "no catalog");
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Loads and looks again; returns only with what went wrong.
    ///
    /// A look that is late is as bad as one that fails: what was changed past Larder is promised to be seen in time.
    async fn watch(&self, database: &Database, mut link: Link) -> Failure {
        let mut known: Option<Digest> = None;
        loop {
            let step = async {
                match database.catalog() {
                    None => {
                        timeout(PATIENCE, self.reload(database, &link.client, &mut known)).await
                    }
                    Some(_) => match timeout(self.refresh, database.wanted.notified()).await {
                        Ok(()) => Ok(Ok(())),
                        Err(_) => timeout(SMALL, self.look(database, &link.client, &known)).await,
                    },
                }
            };
            let done = tokio::select! {
                done = step => done,
                // At once, not at the next look: whoever listens there next may be another.
                _ = link.runs.join_next() => return "the control connection was closed".into(),
            };
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(late) => return late.into(),
            }
        }
    }

    async fn reload(
        &self,
        database: &Database,
        client: &Client,
        known: &mut Option<Digest>,
    ) -> Result<(), tokio_postgres::Error> {
        let wait = Duration::from_millis(20);
        let Some(version) = database.load_version() else {
            let _ = timeout(wait, database.wanted.notified()).await;
            return Ok(());
        };
        let began = std::time::Instant::now();
        let (mut catalog, found) = load(client, version).await?;
        // Not in force as long as writes are in flight that were resolved with an older one.
        while database.load_version() == Some(version) {
            match database.publish(catalog) {
                Ok(()) => {
                    let took = began.elapsed();
                    tracing::debug!(database = database.name(), ?took, "catalog loaded");
                    *known = Some(found);
                    return Ok(());
                }
                Err(back) => catalog = back,
            }
            let _ = timeout(wait, database.wanted.notified()).await;
        }
        Ok(())
    }

    async fn look(
        &self,
        database: &Database,
        client: &Client,
        known: &Option<Digest>,
    ) -> Result<(), tokio_postgres::Error> {
        let now = digest(client).await?;
        if known.as_ref() != Some(&now) {
            tracing::info!(
                database = database.name(),
                "the catalog was changed past Larder"
            );
            self.metrics.invalidated(Scope::Database, Source::Catalog);
            database.raise_catalog();
        }
        Ok(())
    }

    /// Closes the intents of a lost connection once its backend is gone.
    async fn settle(self, doubt: Doubt) {
        let Doubt {
            intents,
            database,
            backend,
        } = doubt;
        let Some((pid, start)) = backend else {
            // Behind a pooler nobody can say which backend it was.
            tracing::error!(
                database = database.name(),
                "a write is in doubt and its backend is not known: what it touches stays uncached until a restart"
            );
            return; // an intent that nobody closes stays open
        };
        tracing::warn!(
            database = database.name(),
            pid,
            "a write's connection was lost before its answer"
        );
        let (mut pause, mut ask) = (RETRY.0, ASK.0);
        loop {
            if let Ok(link) = self.connect(database.name()).await {
                pause = RETRY.0;
                if let Some(start) = &start {
                    // Not every role may; the backend then ends by itself.
                    let _ = timeout(SMALL, terminate(&link.client, pid, start)).await;
                }
                while let Ok(Ok(is_gone)) =
                    timeout(SMALL, gone(&link.client, pid, start.as_deref())).await
                {
                    if is_gone {
                        for intent in intents {
                            let raised = intent.close(Outcome::Visible);
                            for _ in 0..raised.tables {
                                self.metrics.invalidated(Scope::Table, Source::Own);
                            }
                            for _ in 0..raised.databases {
                                self.metrics.invalidated(Scope::Database, Source::Own);
                            }
                        }
                        return;
                    }
                    sleep(ask).await;
                    ask = (ask * 2).min(ASK.1);
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }
}

/// What went wrong, without the query: the database's own words and their cause.
pub(super) fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}
