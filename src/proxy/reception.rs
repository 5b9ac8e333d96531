//! Clients that Larder lets in itself: who they are, what they are told, and how long that holds.
//!
//! * What the upstream says to a user at login is kept, so that the next client of the same user, database and startup
//!   parameters needs no upstream. It is kept until the catalog is raised (a role's or database's defaults may have
//!   changed), the credentials change, or `auth.recheck` has passed.
//! * While clients live by it, the upstream is asked again every `auth.recheck`, by a login with the same credentials. One
//!   that is refused ends those who have no upstream connection: nobody else would.

use std::collections::HashMap;
use std::io;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;

use super::Door;
use super::cancel::{Cancels, Registered};
use super::far::Home;
use crate::net::Stream;
use crate::net::login::Credentials;
use crate::net::pool::{Parameters, Pools, Refusal, Reset};
use crate::net::users::Users;
use crate::session::Greeting;
use crate::wire::frame;
use crate::wire::message::{self, Severity};
use crate::wire::startup::Startup;

/// How many greetings are kept that no client lives by.
const SPARE: usize = 1024;
/// How often it is looked which must be asked again.
const LOOK: Duration = Duration::from_secs(1);
/// The newest minor version of protocol 3 that is spoken.
const NEWEST: u16 = 2;
/// Bytes of a cancel key's secret, before and since protocol 3.2.
const SECRET: [usize; 2] = [4, 32];

/// What a process knows of the clients it lets in.
pub struct Reception {
    /// Who is known.
    pub users: Arc<Users>,
    /// Whose cancel requests go where.
    pub cancels: Arc<Cancels>,
    entries: Mutex<HashMap<Parameters, Arc<Entry>>>,
    recheck: Duration,
    clients: Arc<AtomicUsize>,
    max_clients: usize,
}

/// What clients of one user, database and set of parameters are told.
#[derive(Debug)]
pub struct Entry {
    pub greeting: Arc<Greeting>,
    /// When the upstream said it.
    pub since: Instant,
    /// The catalog's word then.
    word: u64,
    credentials: Arc<Credentials>,
    /// When the upstream last let these credentials in.
    verified: Mutex<Instant>,
    asking: AtomicBool,
    revoked: AtomicBool,
    clients: AtomicUsize,
}

impl Entry {
    /// Whether the upstream does not let these credentials in any more.
    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Relaxed)
    }

    fn verified(&self) -> Instant {
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the clients that are counted.
pub struct Admitted(Arc<AtomicUsize>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Reception {
    /// A process's reception. `max_clients` 0: no limit.
    pub fn new(users: Arc<Users>, recheck: Duration, max_clients: usize) -> Reception {
        Reception {
            users,
            cancels: Arc::default(),
            entries: Mutex::default(),
            recheck,
            clients: Arc::default(),
            max_clients,
        }
    }

    /// Counts a client; `None`: there are enough.
    pub fn admit(&self) -> Option<Admitted> {
        let admitted = Admitted(self.clients.clone());
        let before = self.clients.fetch_add(1, Ordering::Relaxed);
        (self.max_clients == 0 || before < self.max_clients).then_some(admitted)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Parameters, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(
        &self,
        parameters: &Parameters,
        credentials: &Credentials,
        word: u64,
    ) -> Option<Arc<Entry>> {
        let entry = self.lock().get(parameters).cloned()?;
        let holds = !entry.is_revoked()
            && entry.word == word
            && *entry.credentials == *credentials
            && entry.verified().elapsed() < self.recheck;
        holds.then_some(entry)
    }

    fn keep(&self, parameters: &Parameters, entry: Arc<Entry>) {
        let mut entries = self.lock();
        if entries.len() >= SPARE {
            entries.retain(|_, entry| entry.clients.load(Ordering::Relaxed) > 0);
        }
        entries.insert(parameters.clone(), entry);
    }

    /// Asks the upstream again for whom clients live by, until the thread ends.
    pub async fn recheck(self: Arc<Reception>, pools: Weak<Pools>) {
        loop {
            tokio::time::sleep(LOOK.min(self.recheck / 4)).await;
            let Some(pools) = pools.upgrade() else { return };
            let due = self.recheck - self.recheck / 4;
            let all: Vec<_> = {
                let mut entries = self.lock();
                entries.retain(|_, entry| {
                    entry.clients.load(Ordering::Relaxed) > 0
                        || entry.verified().elapsed() < self.recheck
                });
                let entries = entries.iter();
                entries.map(|(p, e)| (p.clone(), e.clone())).collect()
            };
            for (parameters, entry) in all {
                let asked = entry.clients.load(Ordering::Relaxed) > 0
                    && !entry.is_revoked()
                    && entry.verified().elapsed() >= due
                    && !entry.asking.swap(true, Ordering::AcqRel);
                if asked {
                    ask_again(&pools, &parameters, &entry).await;
                    entry.asking.store(false, Ordering::Release);
                }
            }
        }
    }
}

async fn ask_again(pools: &Rc<Pools>, parameters: &Parameters, entry: &Entry) {
    let began = Instant::now();
    let pool = pools.pool(parameters, &entry.credentials);
    match pools.open(&pool).await {
        Ok(_) => {
            *entry
                .verified
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = began;
        }
        Err(Refusal::Upstream(error)) if is_final(&error) => {
            tracing::warn!("a user who was let in may not log in upstream any more");
            entry.revoked.store(true, Ordering::Relaxed);
        }
        // Whether it would is not known: the upstream is away, or full.
        Err(error) => tracing::debug!(?error, "a user could not be checked again"),
    }
}

/// Whether an error at login says that this user may not be in this database.
fn is_final(error: &[u8]) -> bool {
    message::sqlstate(error).is_some_and(|state| {
        state.starts_with(b"28") || [&b"3D000"[..], b"42501", b"42704"].contains(&state)
    })
}

/// A client's place at an entry.
pub struct Guest(pub Arc<Entry>);

impl Guest {
    fn new(entry: Arc<Entry>) -> Guest {
        entry.clients.fetch_add(1, Ordering::Relaxed);
        Guest(entry)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.clients.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a client that asks for more than is spoken is told before anything else; empty: it does not.
pub fn negotiation(startup: &Startup<'_>) -> Vec<u8> {
    let unknown: Vec<_> = startup
        .parameters
        .iter()
        .filter(|(name, _)| name.starts_with("_pq_."))
        .collect();
    let mut out = Vec::new();
    if startup.minor > NEWEST || !unknown.is_empty() {
        let version = 3 << 16 | u32::from(startup.minor.min(NEWEST));
        let mut body = version.to_be_bytes().to_vec();
        body.extend((unknown.len() as u32).to_be_bytes());
        for (name, _) in unknown {
            body.extend(name.as_bytes());
            body.push(0);
        }
        frame::put(&mut out, b'v', &body);
    }
    out
}

/// Lets a client in whose proof was good: asks the upstream for its greeting where that is not known, and tells the client.
/// `None`: it was refused, and told why.
pub async fn let_in(
    client: &mut Stream,
    startup: &Startup<'_>,
    credentials: &Arc<Credentials>,
    door: &Door,
) -> Option<Home> {
    let own = |name: &str| name.starts_with("_pq_.");
    let parameters = startup.parameters.iter().filter(|(name, _)| !own(name));
    let parameters: Parameters = parameters
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    let pool = door.pools.pool(&parameters, credentials);
    let database = crate::session::database_name(startup);
    let word = || door.thread.ledger.database(database).catalog_word();
    let entry = match door.reception.current(&parameters, credentials, word()) {
        Some(entry) => entry,
        None => {
            // What happens after this is of a later word.
            let word = word();
            let since = Instant::now();
            match door.pools.open(&pool).await {
                Ok((stream, lease)) => {
                    let entry = Arc::new(Entry {
                        greeting: lease.greeting.clone(),
                        since,
                        word,
                        credentials: credentials.clone(),
                        verified: Mutex::new(since),
                        asking: AtomicBool::new(false),
                        revoked: AtomicBool::new(false),
                        clients: AtomicUsize::new(0),
                    });
                    door.reception.keep(&parameters, entry.clone());
                    door.pools.release(stream, lease, Reset::None);
                    entry
                }
                Err(refusal) => {
                    if matches!(&refusal, Refusal::Upstream(error) if is_final(error)) {
                        let user = startup.get("user").unwrap_or_default();
                        door.reception.users.failed(user);
                    }
                    let _ = client.write_all(&words(&refusal)).await;
                    let _ = client.shutdown().await;
                    return None;
                }
            }
        }
    };
    let secret = SECRET[usize::from(startup.minor >= NEWEST)];
    let key = door.reception.cancels.register(secret).ok()?;
    welcome(client, &entry.greeting, &key).await.ok()?;
    Some(Home {
        pools: door.pools.clone(),
        pool,
        guest: Guest::new(entry),
        key,
    })
}

async fn welcome(client: &mut Stream, greeting: &Greeting, key: &Registered) -> io::Result<()> {
    let mut out = Vec::new();
    frame::put(&mut out, b'R', &[0; 4]);
    for (name, value) in &greeting.statuses {
        message::put_parameter_status(&mut out, name, value);
    }
    let (pid, secret) = &key.key;
    frame::put(&mut out, b'K', &[&pid.to_be_bytes(), &**secret].concat());
    out.extend_from_slice(&message::ready(b'I'));
    client.write_all(&out).await?;
    client.flush().await
}

/// What a client is told that gets no connection.
pub fn words(refusal: &Refusal) -> Vec<u8> {
    let mut out = Vec::new();
    let mut say = |sqlstate: &str, text: &str, hint: &str| {
        message::put_error(&mut out, Severity::Fatal, sqlstate, text, hint);
    };
    match refusal {
        Refusal::Upstream(error) => out.extend_from_slice(error),
        Refusal::Io(error) => say(
            "08001",
            &format!("cannot connect to the database behind Larder: {error}"),
            "Larder itself is up. Check upstream.url and whether PostgreSQL accepts connections.",
        ),
        Refusal::Unable(text) => say(
            "28000",
            text,
            "This error comes from Larder, not from PostgreSQL.",
        ),
        Refusal::Waited(limit) => say(
            "53300",
            &format!("no connection to the database became free within {limit:?}"),
            "Larder's pool is in use: raise pool.pool_size or pool.query_wait_timeout.",
        ),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn startup(minor: u16, parameters: Vec<(&'static str, &'static str)>) -> Startup<'static> {
        Startup {
            packet: b"",
            major: 3,
            minor,
            parameters,
        }
    }

    #[test]
    fn what_is_not_spoken_is_negotiated() {
        assert!(negotiation(&startup(0, vec![("user", "ann")])).is_empty());
        assert!(negotiation(&startup(2, vec![])).is_empty());
        assert_eq!(
            negotiation(&startup(9999, vec![])),
            b"v\0\0\0\x0c\0\x03\0\x02\0\0\0\0"
        );
        assert_eq!(
            negotiation(&startup(0, vec![("_pq_.x", "1")])),
            b"v\0\0\0\x13\0\x03\0\0\0\0\0\x01_pq_.x\0"
        );
    }

    #[test]
    fn only_what_says_that_the_user_may_not_be_there_is_final() {
        let error = |state: &str| {
            let mut out = Vec::new();
            message::put_error(&mut out, Severity::Fatal, state, "no", "");
            out
        };
        assert!(is_final(&error("28P01")) && is_final(&error("3D000")));
        assert!(!is_final(&error("53300")) && !is_final(&error("57P03")));
    }
}
