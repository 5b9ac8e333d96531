//! The control connections: one per database that clients use, and one for each write in doubt.
//!
//! * A database's catalog is loaded at first need, after every raise, and when its digest has changed; it is looked at
//!   every `catalog.refresh`. While the connection is missing the database is shut (`no_catalog`), never guessed at.
//! * A write whose connection broke stays in doubt, and what it touches shut, until the upstream says that its backend
//!   is gone (hazard 40). Larder asks the upstream to end such a backend: nobody waits for its answer any more.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::doubt::{gone, terminate};
use super::link::{Dialer, Facts, Failure, Link, SMALL, facts, reason};
use super::primary::Parked;
use super::schema::{Digest, digest, load};
use super::sole::Links;
use crate::cache::servers::Server;
use crate::cache::version::{Database, Intent, Outcome, Raised};
use crate::metrics::{Scope, Source};
use crate::session::{Doubt, Shared};
use crate::sql::Catalog;
use crate::sql::catalog::{Declaration, Misdeclared, SYSTEM_CATALOGS};

/// How long a catalog may take to load; nothing is served meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between attempts to connect: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// The same at most where another server may be chosen.
const CHOSEN: Duration = Duration::from_millis(500);
/// Between questions whether a backend is gone: at first, and at most.
const ASK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What the control connections need.
#[derive(Clone)]
pub struct Control {
    pub dialer: Arc<Dialer>,
    /// `catalog.refresh`.
    pub refresh: Duration,
    /// `[[function]]`.
    pub declared: Arc<[Declaration]>,
    pub shared: Arc<Shared>,
    pub parked: Arc<Parked>,
    /// Where doubts go that must be settled again.
    pub doubts: UnboundedSender<Doubt>,
    /// Which server is in use, where there is nothing to choose.
    pub links: Arc<Links>,
}

impl Control {
    /// Runs for as long as the process.
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

    /// Connects to the server that is dialed, and tells what it says of itself.
    pub(super) async fn connect(&self, database: &str) -> Result<(Link, Facts), Failure> {
        let link = self.dialer.connect(database).await?;
        let facts = link.facts(&self.shared.ledger.servers).await?;
        Ok((link, facts))
    }

    /// Keeps a database's catalog.
    async fn keep(self, database: Arc<Database>) {
        let (mut pause, mut told) = (RETRY.0, false);
        loop {
            let held = async {
                let (link, facts) = self.connect(database.name()).await?;
                let held = self.hold(&facts)?;
                Ok::<_, Failure>((link, facts, held))
            };
            let error = match held.await {
                Ok((link, facts, _held)) => {
                    (pause, told) = (RETRY.0, false);
                    self.watch(&database, link, &facts).await
                }
                Err(error) => error,
            };
            database.blind();
            if !std::mem::replace(&mut told, true) {
                let hint = "nothing is cached there meanwhile; check upstream.url: its role must be able to connect";
                tracing::warn!(database = database.name(), error = %reason(&*error), hint, "no catalog");
            }
            sleep(pause).await;
            let most = match self.dialer.route.target.is_single() {
                true => RETRY.1,
                false => CHOSEN, // soon another is in use
            };
            pause = (pause * 2).min(most);
        }
    }

    /// Loads and looks again; returns only with what went wrong.
    ///
    /// A look that is late is as bad as one that fails: what was changed past Larder is promised to be seen in time.
    async fn watch(&self, database: &Database, mut link: Link, facts: &Facts) -> Failure {
        let server = facts.server;
        let mut moved = pin!(self.moved(database.name(), facts));
        let mut known: Option<Digest> = None;
        loop {
            let step = async {
                match database.catalog() {
                    None => {
                        let load = self.reload(database, &link.client, server, &mut known);
                        timeout(PATIENCE, load).await
                    }
                    Some(_) => match timeout(self.refresh, database.wanted.notified()).await {
                        Ok(()) => Ok(Ok(())),
                        Err(_) => {
                            timeout(SMALL, self.look(database, &link.client, server, &mut known))
                                .await
                        }
                    },
                }
            };
            let done = tokio::select! {
                done = step => done,
                () = &mut moved => return "its address leads to another server now".into(),
                // At once, not at the next look: whoever listens there next may be another.
                _ = link.runs.join_next() => return "the control connection was closed".into(),
            };
            match done {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error,
                Err(late) => return late.into(),
            }
        }
    }

    async fn reload(
        &self,
        database: &Database,
        client: &Client,
        server: Server,
        known: &mut Option<Digest>,
    ) -> Result<(), Failure> {
        let wait = Duration::from_millis(20);
        let Some(version) = database.load_version() else {
            let _ = timeout(wait, database.wanted.notified()).await;
            return Ok(());
        };
        // After the version was read: what changes the server raises it afterwards.
        if !self.shared.ledger.servers.allow(server) {
            return Err("another server is in use".into());
        }
        let began = std::time::Instant::now();
        let counts = &self.dialer.metrics.counts;
        let loaded = load(client, version, &self.declared).await;
        counts.loaded(loaded.is_ok().then(|| began.elapsed()));
        let (mut catalog, found) = loaded?;
        if !known
            .as_ref()
            .is_some_and(|known| known.same_baselines(&found))
        {
            database.rebase();
        }
        tell_misdeclared(database, &catalog);
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
        server: Server,
        known: &mut Option<Digest>,
    ) -> Result<(), Failure> {
        let facts = facts(client, &self.shared.ledger.servers).await?;
        if facts.server != server {
            return Err("its server was set back".into());
        }
        let now = digest(client).await?;
        let of = |same: fn(&Digest, &Digest) -> bool| {
            known.as_ref().is_some_and(|known| same(known, &now))
        };
        if !of(Digest::same_catalog) {
            if !of(Digest::same_baselines) {
                database.rebase();
            }
            tracing::info!(
                database = database.name(),
                "the catalog was changed past Larder"
            );
            let metrics = &self.dialer.metrics;
            metrics.invalidated(Scope::Database, Source::Catalog);
            database.raise_catalog();
        } else if !of(|known, now| known.shown == now.shown) {
            self.dialer
                .metrics
                .invalidated(Scope::Table, Source::Catalog);
            database.raise(SYSTEM_CATALOGS);
            *known = Some(now);
        }
        Ok(())
    }

    /// Closes the intents of a lost connection once its backend is gone.
    async fn settle(self, mut doubt: Doubt) {
        let Some((pid, start)) = doubt.backend.clone() else {
            // Behind a pooler nobody can say which backend it was.
            tracing::error!(
                database = doubt.database.name(),
                "a write is in doubt and its backend is not known: what it touches stays uncached until a restart"
            );
            // An intent that nobody closes stays open, and is counted as long.
            std::mem::forget(doubt.counted);
            return;
        };
        let (mut pause, mut ask, mut told) = (RETRY.0, ASK.0, false);
        loop {
            doubt = match self.parked.park(&self.shared, doubt) {
                Ok(raised) => return self.tell(&raised),
                Err(doubt) => doubt,
            };
            let database = doubt.database.name();
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    database,
                    pid,
                    "a write's connection was lost before its answer"
                );
            }
            let single = self.dialer.route.target.is_single();
            if let Ok((link, facts)) = self.connect(database).await
                && (facts.server == doubt.server || (single && doubt.server == Server::UNKNOWN))
            {
                pause = RETRY.0;
                if let Some(start) = &start {
                    // Not every role may; the backend then ends by itself.
                    let _ = timeout(SMALL, terminate(&link.client, pid, start)).await;
                }
                while let Ok(Ok(is_gone)) =
                    timeout(SMALL, gone(&link.client, pid, start.as_deref())).await
                {
                    if is_gone {
                        let close = |intent: Intent| intent.close(Outcome::Visible);
                        let raised: Vec<_> = doubt.intents.into_iter().map(close).collect();
                        return self.tell(&raised);
                    }
                    sleep(ask).await;
                    ask = (ask * 2).min(ASK.1);
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY.1);
        }
    }

    /// Counts what closed intents have raised.
    fn tell(&self, raised: &[Raised]) {
        let metrics = &self.dialer.metrics;
        for raised in raised {
            for _ in 0..raised.tables {
                metrics.invalidated(Scope::Table, Source::Own);
            }
            for _ in 0..raised.databases {
                metrics.invalidated(Scope::Database, Source::Own);
            }
        }
    }
}

/// Says which declarations of functions do not count in a database.
fn tell_misdeclared(database: &Database, catalog: &Catalog) {
    for wrong in catalog.misdeclared() {
        match wrong {
            // It may be meant for another database.
            Misdeclared::NoFunction(_) => tracing::info!(database = database.name(), "{wrong}"),
            Misdeclared::NoRelation { .. } => tracing::warn!(
                database = database.name(),
                hint = "a call of it counts as a write to everything; correct [[function]] in the configuration",
                "{wrong}"
            ),
        }
    }
}
