//! Clients that Larder lets in itself: who they are, what they are told, and how long that holds.
//!
//! * What the upstream says to a user at login is kept, so that the next client of the same user, database and startup
//!   parameters needs no upstream. It is kept until the catalog is raised (a role's or database's defaults may have
//!   changed), the server's configuration is reloaded, another server is in use, the credentials change, or
//!   `auth.recheck` has passed.
//! * While clients live by it, the upstream is asked again every `auth.recheck`, by a login with the same credentials. One
//!   that is refused ends those who have no upstream connection: nobody else would. What a newer greeting has replaced
//!   is asked for as long as somebody lives by it, and with the credentials of then.
//! * Clients that come at the same time with the same parameters cause one login, not one each: after a restart a
//!   thousand of them would fill the server's `max_connections`.

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
use crate::cache::version::Database;
use crate::net::login::Credentials;
use crate::net::pool::{Parameters, Pool, Pools, Refusal, Reset};
use crate::net::users::Users;
use crate::net::{Place, Stream, Target};
use crate::session::Greeting;
use crate::wire::frame;
use crate::wire::message::{self, Severity};
use crate::wire::startup::Startup;

/// How many greetings are kept that no client lives by.
const SPARE: usize = 1024;
/// How often it is looked which must be asked again.
const LOOK: Duration = Duration::from_secs(1);
/// How long a client that comes waits for a database that is paused: less than a login may take.
pub const PAUSED: Duration = Duration::from_secs(50);
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
    entries: Mutex<Entries>,
    gates: Mutex<HashMap<Parameters, Arc<Gate>>>,
    recheck: Duration,
    clients: Arc<AtomicUsize>,
    max_clients: usize,
}

/// By parameters; the newest last, those before have clients that live by them.
type Entries = HashMap<Parameters, Vec<Arc<Entry>>>;

/// Where clients wait while one of them logs in for all: when the last login ended that has failed for none of theirs to
/// mend, and what there is to say.
type Gate = tokio::sync::Mutex<Option<(Instant, Vec<u8>)>>;

/// What clients of one user, database and set of parameters are told.
#[derive(Debug)]
pub struct Entry {
    pub greeting: Arc<Greeting>,
    /// When the upstream said it.
    pub since: Instant,
    /// The catalog's word then.
    word: u64,
    /// The server that said it.
    place: Arc<Place>,
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

    fn is_lived_by(&self) -> bool {
        self.clients.load(Ordering::Relaxed) > 0
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
            gates: Mutex::default(),
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

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where one waits for a login with these parameters.
    fn gate(&self, parameters: &Parameters) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        if gates.len() >= SPARE {
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        gates.entry(parameters.clone()).or_default().clone()
    }

    fn current(
        &self,
        parameters: &Parameters,
        credentials: &Credentials,
        database: &Database,
        target: &Target,
    ) -> Option<Arc<Entry>> {
        let entry = self.lock().get(parameters)?.last()?.clone();
        let holds = !entry.is_revoked()
            && entry.word == database.catalog_word()
            && entry.greeting.is_current(database)
            && target.is_current(&entry.place)
            && *entry.credentials == *credentials
            && entry.verified().elapsed() < self.recheck;
        holds.then_some(entry)
    }

    fn keep(&self, parameters: &Parameters, entry: Arc<Entry>) {
        let mut entries = self.lock();
        if entries.len() >= SPARE {
            entries.retain(|_, entries| entries.iter().any(|entry| entry.is_lived_by()));
        }
        let entries = entries.entry(parameters.clone()).or_default();
        // One that a client has been given, but does not live by yet, is held by that client.
        entries.retain(|entry| Arc::strong_count(entry) > 1);
        entries.push(entry);
    }

    /// What is to be asked for: newest first, so that one answer does for all of the same credentials.
    fn known(&self) -> Vec<(Parameters, Arc<Entry>)> {
        let mut entries = self.lock();
        entries.retain(|_, entries| {
            let last = entries.len() - 1;
            let mut place = 0;
            entries.retain(|entry| {
                let newest = place == last && entry.verified().elapsed() < self.recheck;
                place += 1;
                newest || Arc::strong_count(entry) > 1
            });
            !entries.is_empty()
        });
        let all = entries.iter();
        all.flat_map(|(p, entries)| entries.iter().rev().map(|e| (p.clone(), e.clone())))
            .collect()
    }

    /// Asks the upstream again for whom clients live by, until the thread ends.
    pub async fn recheck(self: Arc<Reception>, pools: Weak<Pools>) {
        loop {
            tokio::time::sleep(LOOK.min(self.recheck / 4)).await;
            let Some(pools) = pools.upgrade() else { return };
            let due = self.recheck - self.recheck / 4;
            let all = self.known();
            for (parameters, entry) in &all {
                let name = crate::session::database_of(|name| value(parameters, name));
                let asked = entry.is_lived_by()
                    && !pools.target.gates.is_paused(name)
                    && !entry.is_revoked()
                    && entry.verified().elapsed() >= due
                    && !entry.asking.swap(true, Ordering::AcqRel);
                if asked {
                    let same = |(p, e): &&(Parameters, Arc<Entry>)| {
                        p == parameters && *e.credentials == *entry.credentials
                    };
                    let same = all.iter().filter(same).map(|(_, entry)| &**entry);
                    ask_again(&pools, parameters, &entry.credentials, same).await;
                    entry.asking.store(false, Ordering::Release);
                }
            }
        }
    }
}

fn value<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    let found = parameters.iter().rfind(|(known, _)| **known == *name);
    found.map(|(_, value)| &**value)
}

/// Asks whether credentials still log in, for those who live by entries of them.
async fn ask_again<'a>(
    pools: &Rc<Pools>,
    parameters: &Parameters,
    credentials: &Arc<Credentials>,
    entries: impl Iterator<Item = &'a Entry>,
) {
    let began = Instant::now();
    let pool = pools.apart(parameters, credentials);
    match pools.open(&pool).await {
        Ok(_) => entries.for_each(|entry| {
            *entry
                .verified
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = began;
        }),
        Err(Refusal::Upstream(error)) if is_final(&error) => {
            tracing::warn!("a user who was let in may not log in upstream any more");
            entries.for_each(|entry| entry.revoked.store(true, Ordering::Relaxed));
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
    let database = door.thread.ledger.database(database);
    let (reception, target) = (&door.reception, &door.pools.target);
    let find = || reception.current(&parameters, credentials, &database, target);
    let entry = match find() {
        Some(entry) => entry,
        None => {
            let came = Instant::now();
            let gate = reception.gate(&parameters);
            // A login that hangs holds nobody else up for ever.
            let patience = door.pools.upstream.connect_timeout;
            let mut failed = tokio::time::timeout(patience, gate.lock()).await.ok();
            let told = failed.as_ref().and_then(|failed| failed.as_ref());
            let told = told.filter(|(ended, _)| *ended >= came);
            match (find(), told) {
                (Some(entry), _) => entry,
                (None, Some((_, words))) => return refuse(client, &words.clone()).await,
                (None, None) => match greet(&parameters, &pool, credentials, &database, door).await
                {
                    Ok(entry) => entry,
                    Err(refusal) => {
                        let words = words(&refusal);
                        if matches!(&refusal, Refusal::Upstream(error) if is_final(error)) {
                            let user = startup.get("user").unwrap_or_default();
                            reception.users.failed(user);
                        } else if let Some(failed) = &mut failed {
                            **failed = Some((Instant::now(), words.clone()));
                        }
                        drop(failed);
                        return refuse(client, &words).await;
                    }
                },
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

/// Logs in for a greeting, and keeps it.
async fn greet(
    parameters: &Parameters,
    pool: &Rc<Pool>,
    credentials: &Arc<Credentials>,
    database: &Database,
    door: &Door,
) -> Result<Arc<Entry>, Refusal> {
    let gates = &door.pools.target.gates;
    if !gates.open(database.name(), PAUSED).await {
        return Err(Refusal::Paused(PAUSED));
    }
    // What happens after this is of a later word.
    let word = database.catalog_word();
    let since = Instant::now();
    let (stream, lease) = door.pools.open(pool).await?;
    let entry = Arc::new(Entry {
        greeting: lease.greeting.clone(),
        since,
        word,
        place: lease.place.clone(),
        credentials: credentials.clone(),
        verified: Mutex::new(since),
        asking: AtomicBool::new(false),
        revoked: AtomicBool::new(false),
        clients: AtomicUsize::new(0),
    });
    door.reception.keep(parameters, entry.clone());
    door.pools.release(stream, lease, Reset::None);
    Ok(entry)
}

async fn refuse(client: &mut Stream, words: &[u8]) -> Option<Home> {
    let _ = client.write_all(words).await;
    let _ = client.shutdown().await;
    None
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
        Refusal::Paused(limit) => say(
            "57P03",
            &format!("the database was paused for {limit:?}"),
            "An operator of Larder has paused it. RESUME on Larder's console lets clients go on.",
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
