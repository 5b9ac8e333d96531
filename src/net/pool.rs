//! Connections to the upstream that clients share, on one thread.
//!
//! * A pool is of one user, database and set of startup parameters: what these set is in force on every connection of it.
//! * A connection is given on only when nothing of the client before is left in it ([`Reset`]), and only to a client
//!   whose login it is not older than, unless it greeted with the same words: a role's defaults may have changed. For
//!   the same reason none is given on that was opened before the configuration was reloaded.
//! * One that goes to a server that is not in use any more is closed, not given on.
//! * A pool's limit is per thread, its share of the configured size: a socket stays on its thread.
//!
//! What a client may have left in a connection is not known here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;

use self::queue::{Called, Queue, is_full};
use super::exchange::{Heard, hear, say};
use super::login::{Credentials, LoggedIn, Login, LoginError, login};
use super::{Own, Place, Stream, Target, Tls};
use crate::cache::version::Database;
use crate::config::{ChannelBinding, Pool as Limits, Upstream};
use crate::metrics::{Attempt, Counted, Listed, Metrics, Name, UpstreamState};
use crate::session::{Greeting, Mode, Shared, database_of, probe};
use crate::wire::frame::{self, LONGEST_SEEN};
use crate::wire::message;

mod queue;
mod unserved;

pub use unserved::Refusal;

/// How long a login may take, the question behind it included.
const LOGIN: Duration = Duration::from_secs(60);
/// How long a connection may take to be reset.
const RESET: Duration = Duration::from_secs(10);
/// How long a backend may take to go once its connection is closed.
const CLOSED: Duration = Duration::from_millis(50);
/// How often pools are looked after.
const TEND: Duration = Duration::from_secs(1);
/// A pool without connections is forgotten after this.
const FORGET: Duration = Duration::from_secs(600);

/// Startup parameters, `user` and `database` among them.
pub type Parameters = Box<[(Box<str>, Box<str>)]>;

/// What must happen to a connection before another client may have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Nothing.
    None,
    /// Its prepared statements go.
    Statements,
    /// Everything goes.
    All,
}

/// A connection but for its socket.
#[derive(Debug)]
pub struct Lease {
    /// What it said at its login.
    pub greeting: Arc<Greeting>,
    /// BackendKeyData: process id and secret.
    pub key: (i32, Box<[u8]>),
    /// The server it goes to.
    pub place: Arc<Place>,
    /// On the roll of those to the database.
    pub listed: Listed,
    opened: Instant,
    seat: Seat,
}

/// A place in a pool.
#[derive(Debug)]
struct Seat {
    pool: Weak<Pool>,
    counted: Counted,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.open.set(pool.open.get() - 1);
            pool.queue.call(None);
        }
    }
}

struct Idle {
    stream: Stream,
    lease: Lease,
    since: Instant,
}

/// Connections of one user, database and set of startup parameters.
pub struct Pool {
    parameters: Parameters,
    database: Arc<Database>,
    credentials: RefCell<Arc<Credentials>>,
    idle: RefCell<Vec<Idle>>,
    open: Cell<usize>,
    queue: Queue<(Stream, Lease)>,
    used: Cell<Instant>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("open", &self.open).finish()
    }
}

impl Pool {
    /// Whose it is, for the roll.
    fn name(&self) -> Name {
        let text = |name: &str| {
            let mut all = self.parameters.iter();
            let found = all.find(|(found, _)| **found == *name);
            found.map_or_else(Box::default, |(_, value)| value.clone())
        };
        Name {
            user: text("user"),
            database: self.database.name().into(),
            application: text("application_name"),
            ..Name::default()
        }
    }

    /// What reached a client that does not want it.
    fn pass_on(&self, given: Option<(Stream, Lease)>) {
        match given {
            Some((stream, lease)) => self.give(stream, lease),
            None => drop(self.queue.call(None)),
        }
    }

    fn give(&self, stream: Stream, lease: Lease) {
        if let Some((stream, lease)) = self.queue.call(Some((stream, lease))) {
            let since = Instant::now();
            self.idle.borrow_mut().push(Idle {
                stream,
                lease,
                since,
            });
        }
    }
}

/// How the upstream is reached.
#[derive(Clone)]
pub struct Route {
    /// Where it may be, and how one logs in.
    pub upstream: Upstream,
    /// Where it is.
    pub target: Arc<Target>,
    /// How both sides are encrypted.
    pub tls: Arc<Tls>,
    /// How the URL's own user logs in.
    pub own: Arc<Own>,
}

/// All pools of a thread.
pub struct Pools {
    limits: Limits,
    size: Option<usize>,
    /// Where the upstream may be, and how one logs in.
    pub upstream: Upstream,
    /// Where it is.
    pub target: Arc<Target>,
    /// How both sides are encrypted.
    pub tls: Arc<Tls>,
    /// Gauges of connections.
    pub metrics: Arc<Metrics>,
    own: Arc<Own>,
    shared: Arc<Shared>,
    pools: RefCell<HashMap<Parameters, Rc<Pool>>>,
}

impl Pools {
    /// The pools of one of `threads` threads.
    pub fn new(limits: Limits, threads: usize, route: Route, shared: Arc<Shared>) -> Rc<Pools> {
        let size = limits.size_on(threads);
        let Route {
            upstream,
            target,
            tls,
            own,
        } = route;
        Rc::new(Pools {
            limits,
            size,
            upstream,
            target,
            tls,
            metrics: shared.metrics.clone(),
            own,
            shared,
            pools: RefCell::default(),
        })
    }

    /// The configuration.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The pool of these parameters, from now on logging in with these credentials.
    pub fn pool(&self, parameters: &Parameters, credentials: &Arc<Credentials>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools
            .entry(parameters.clone())
            .or_insert_with(|| self.apart(parameters, credentials));
        *pool.credentials.borrow_mut() = credentials.clone();
        pool.clone()
    }

    /// A pool that no client shares: for a login with credentials that may be out of date.
    pub fn apart(&self, parameters: &Parameters, credentials: &Arc<Credentials>) -> Rc<Pool> {
        let database = database_of(|name| get(parameters, name));
        Rc::new(Pool {
            parameters: parameters.clone(),
            database: self.shared.ledger.database(database),
            credentials: RefCell::new(credentials.clone()),
            idle: RefCell::default(),
            open: Cell::new(0),
            queue: Queue::default(),
            used: Cell::new(Instant::now()),
        })
    }

    /// A connection for a client that was told `told` at `since`: an idle one, a new one, or one that becomes free.
    pub async fn acquire(
        self: Rc<Pools>,
        pool: Rc<Pool>,
        told: Arc<Greeting>,
        since: Instant,
    ) -> Result<(Stream, Lease), Refusal> {
        let began = Instant::now();
        let suits = |lease: &Lease| {
            (lease.opened >= since || lease.greeting.says_the_same(&told))
                && self.holds(lease, &pool)
        };
        let limit = match self.limits.query_wait_timeout {
            Duration::ZERO => Duration::MAX,
            limit => limit,
        };
        let mut place: Option<Called<(Stream, Lease)>> = None;
        let mut refused = None;
        loop {
            pool.used.set(Instant::now());
            let left = limit.saturating_sub(began.elapsed());
            if !self.target.gates.open(pool.database.name(), left).await {
                return Err(Refusal::Paused(limit));
            }
            while let Some(mut idle) = self.pop(&pool) {
                if suits(&idle.lease) && self.is_young(&idle.lease) && is_quiet(&mut idle.stream) {
                    idle.lease.seat.counted = self.metrics.upstream(UpstreamState::Client);
                    return Ok((idle.stream, idle.lease));
                }
            }
            let waited = began.elapsed();
            if self.may_open(&pool, waited) && pool.queue.may_try() {
                let opened = self.open(&pool).await;
                let full = match &opened {
                    Err(Refusal::Upstream(words)) if is_full(words) => Some(words.clone()),
                    _ => None,
                };
                pool.queue.tried(full.is_some());
                // As when its own connections are all in use: some client will leave.
                if full.is_none() || began.elapsed() >= limit {
                    return opened;
                }
                refused = full;
            }
            let waited = began.elapsed();
            let until = match self.limits.reserve_timeout {
                reserve if waited < reserve && self.limits.reserve > 0 => reserve.min(limit),
                _ => limit,
            };
            let left = until.saturating_sub(waited);
            let left = pool.queue.pause().map_or(left, |pause| pause.min(left));
            let mine = place.get_or_insert_with(|| {
                let back = pool.clone();
                pool.queue.wait(Box::new(move |given| back.pass_on(given)))
            });
            match timeout(left, &mut mine.called).await {
                Ok(called) => {
                    place = None;
                    if let Ok(Some((stream, lease))) = called
                        && suits(&lease)
                    {
                        return Ok((stream, lease));
                    }
                }
                Err(_) if began.elapsed() >= limit => {
                    return Err(refused.map_or(Refusal::Waited(limit), Refusal::Upstream));
                }
                Err(_) => {}
            }
        }
    }

    fn pop(&self, pool: &Pool) -> Option<Idle> {
        pool.idle.borrow_mut().pop()
    }

    fn may_open(&self, pool: &Pool, waited: Duration) -> bool {
        let Some(size) = self.size else { return true };
        let reserve = if waited >= self.limits.reserve_timeout {
            self.limits.reserve
        } else {
            0
        };
        pool.open.get() < size + reserve
    }

    /// Whether what a connection is and has said is still so, as far as it can be known without asking it.
    fn holds(&self, lease: &Lease, pool: &Pool) -> bool {
        self.target.is_current(&lease.place)
            && lease.greeting.is_current(&pool.database)
            && !lease.listed.is_killed()
            && !self.target.gates.is_paused(pool.database.name())
    }

    fn is_young(&self, lease: &Lease) -> bool {
        let lifetime = self.limits.server_lifetime;
        lifetime.is_zero() || lease.opened.elapsed() < lifetime
    }

    /// Opens a connection, whatever the limits. One that nobody uses makes room for it where the database is full.
    pub async fn open(&self, pool: &Rc<Pool>) -> Result<(Stream, Lease), Refusal> {
        loop {
            let opened = self.open_one(pool).await;
            self.metrics.counts.login(match &opened {
                Ok(_) => Attempt::Made,
                Err(_) => Attempt::Failed,
            });
            match opened {
                Err(Refusal::Upstream(words)) if is_full(&words) && self.close_one() => {
                    tokio::time::sleep(CLOSED).await;
                }
                done => return done,
            }
        }
    }

    /// Closes a connection that nobody uses; `false`: there is none.
    fn close_one(&self) -> bool {
        let pools = self.pools.borrow();
        let mut idle = pools.values().filter_map(|pool| {
            let mut idle = pool.idle.borrow_mut();
            (!idle.is_empty()).then(|| idle.remove(0))
        });
        // Who waits for a place in its pool is called, and tries for itself.
        idle.next().is_some()
    }

    async fn open_one(&self, pool: &Rc<Pool>) -> Result<(Stream, Lease), Refusal> {
        let opened = Instant::now();
        pool.open.set(pool.open.get() + 1);
        let mut seat = Seat {
            pool: Rc::downgrade(pool),
            counted: self.metrics.upstream(UpstreamState::Connecting),
        };
        let baselines = pool.database.baselines();
        let servers = &self.shared.ledger.servers;
        let mark = servers.mark();
        let (mut stream, place, mut logged_in) = timeout(LOGIN, self.log_in(pool))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let answer = match self.shared.steering.live().mode {
            Mode::On | Mode::Observe => ask(&mut stream, &mut logged_in.unread).await?,
            Mode::Off => None,
        };
        let fields: Option<Vec<_>> = answer.as_deref().and_then(message::data_row);
        let (statuses, pid) = (logged_in.statuses, logged_in.pid);
        let greeting = Greeting::new(statuses, pid, fields.as_deref(), baselines);
        let greeting = greeting.of(servers, &mark);
        seat.counted = self.metrics.upstream(UpstreamState::Client);
        let listed = self.metrics.roll.server(Name {
            peer: place.address.to_string().into(),
            tls: stream.is_tls(),
            pooled: true,
            ..pool.name()
        });
        listed.is_process(pid);
        let lease = Lease {
            greeting: Arc::new(greeting),
            key: (pid, logged_in.secret),
            listed,
            place,
            opened,
            seat,
        };
        Ok((stream, lease))
    }

    /// Logs in by whichever way `sslmode` allows.
    async fn log_in(&self, pool: &Pool) -> Result<(Stream, Arc<Place>, LoggedIn<()>), Refusal> {
        let (connector, limit) = (&self.tls.upstream, self.upstream.connect_timeout);
        let (stream, place) = self.target.dial(connector, limit).await?;
        let other = connector.other_way(&stream);
        let user = get(&pool.parameters, "user").unwrap_or_default();
        let own = self.own.credentials(user).await;
        let kept = || pool.credentials.borrow().clone();
        let credentials = own.clone().unwrap_or_else(kept);
        let binding = self.upstream.tls.channel_binding;
        let entered = enter(stream, &pool.parameters, &credentials, binding).await;
        let state = match &entered {
            Err(LoginError::Refused(error)) => message::sqlstate(error).unwrap_or_default(),
            _ => b"",
        };
        if own.is_some() && state.starts_with(b"28") {
            self.own.refused().await;
        }
        let (stream, logged_in) = match other {
            Some(way) if state == b"28000" => {
                match connector.connect_by(way, &place.address, limit).await {
                    Ok(stream) => enter(stream, &pool.parameters, &credentials, binding).await?,
                    Err(_) => entered?,
                }
            }
            _ => entered?,
        };
        Ok((stream, place, logged_in))
    }

    /// Takes a connection back.
    pub fn release(self: &Rc<Pools>, mut stream: Stream, mut lease: Lease, reset: Reset) {
        let Some(pool) = lease.seat.pool.upgrade() else {
            return;
        };
        // A login for a greeting asks for no room; what it has opened above the limit is not kept.
        let over = self.size.is_some_and(|size| pool.open.get() > size);
        if !self.holds(&lease, &pool) || (over && pool.queue.is_empty()) {
            return;
        }
        // A login that was only to hear the greeting may be one too many.
        if self
            .size
            .is_some_and(|size| pool.open.get() > size + self.limits.reserve)
        {
            return;
        }
        lease.seat.counted = self.metrics.upstream(UpstreamState::Idle);
        let text = match reset {
            Reset::None => return pool.give(stream, lease),
            Reset::Statements => "DEALLOCATE ALL",
            Reset::All => "DISCARD ALL",
        };
        tokio::task::spawn_local(async move {
            let greeting = lease.greeting.clone();
            let mut unread = Vec::new();
            let done = query(&mut stream, &mut unread, text, Some(&greeting));
            match timeout(RESET, done).await {
                Ok(Ok(_)) => pool.give(stream, lease),
                Ok(Err(error)) => tracing::debug!(%error, "a connection could not be reset"),
                Err(_) => tracing::debug!("a connection was not reset in time"),
            }
        });
    }

    /// Looks after the pools until they are gone: what nobody uses goes, and the least is kept open.
    pub async fn tend(pools: Weak<Pools>) {
        loop {
            tokio::time::sleep(TEND).await;
            let Some(pools) = pools.upgrade() else { return };
            let all: Vec<_> = pools.pools.borrow().values().cloned().collect();
            for pool in all {
                pools.close_unused(&pool);
                let paused = pools.target.gates.is_paused(pool.database.name());
                let lacks = !paused
                    && pool.open.get() < pools.limits.min_pool_size
                    && pools.size.is_none_or(|size| pool.open.get() < size);
                if lacks {
                    match pools.open(&pool).await {
                        Ok((stream, lease)) => pools.release(stream, lease, Reset::None),
                        Err(_) => tracing::debug!("a pool cannot be kept at its least size"),
                    }
                }
            }
            pools.pools.borrow_mut().retain(|_, pool| {
                pool.open.get() > 0
                    || Rc::strong_count(pool) > 1
                    || pool.used.get().elapsed() < FORGET
            });
        }
    }

    fn close_unused(&self, pool: &Pool) {
        let unused = self.limits.server_idle_timeout;
        let mut spare = pool.open.get().saturating_sub(self.limits.min_pool_size);
        let mut kept = Vec::new();
        let all = std::mem::take(&mut *pool.idle.borrow_mut());
        for mut idle in all {
            let old = !unused.is_zero() && idle.since.elapsed() >= unused;
            let good = self.is_young(&idle.lease) && self.holds(&idle.lease, pool);
            if (old && spare > 0) || !good || !is_quiet(&mut idle.stream) {
                spare = spare.saturating_sub(1);
            } else {
                kept.push(idle);
            }
        }
        pool.idle.borrow_mut().append(&mut kept);
    }
}

fn get<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    // As PostgreSQL: of two the last.
    let found = parameters.iter().rfind(|(known, _)| **known == *name);
    found.map(|(_, value)| &**value)
}

async fn enter(
    stream: Stream,
    parameters: &Parameters,
    credentials: &Credentials,
    binding: ChannelBinding,
) -> Result<(Stream, LoggedIn<()>), LoginError> {
    let end_point = match binding {
        ChannelBinding::Disable => None,
        ChannelBinding::Prefer | ChannelBinding::Require => stream.peer_end_point(),
    };
    let how = Login {
        parameters,
        credentials,
        channel_binding: end_point.as_deref(),
        must_bind: binding == ChannelBinding::Require,
        private: stream.is_private(),
    };
    let LoggedIn {
        stream,
        unread,
        statuses,
        pid,
        secret,
    } = login(stream, &how).await?;
    let rest = LoggedIn {
        stream: (),
        unread,
        statuses,
        pid,
        secret,
    };
    Ok((stream, rest))
}

/// The backend's answer to the question about itself; `None` where it may not answer.
async fn ask(stream: &mut Stream, unread: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    query(stream, unread, &probe(), None).await
}

/// Runs a text and gives its last row. With a greeting: an error is an error here, and so is a setting that is reported
/// to be another than it was then.
async fn query(
    stream: &mut Stream,
    unread: &mut Vec<u8>,
    text: &str,
    greeting: Option<&Greeting>,
) -> io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    frame::put(&mut out, b'Q', &[text.as_bytes(), b"\0"].concat());
    say(stream, &out).await?;
    let mut row = None;
    loop {
        match hear(stream, unread, b"", LONGEST_SEEN).await? {
            Heard::Message(b'Z', body) if body == b"I" && unread.is_empty() => return Ok(row),
            Heard::Message(b'D', body) => row = Some(body),
            Heard::Message(b'E', _) if greeting.is_some() => {
                return Err(io::Error::other("refused"));
            }
            Heard::Message(b'S', body) if greeting.is_some_and(|then| !then.says(&body)) => {
                return Err(io::Error::other("a setting has another default now"));
            }
            Heard::Message(b'T' | b'C' | b'N' | b'E' | b'S' | b'A', _) => {}
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Whether nothing has come on an idle connection: what comes there unasked is an end, or a setting that has changed.
fn is_quiet(stream: &mut Stream) -> bool {
    let mut byte = [0; 1];
    let mut context = Context::from_waker(Waker::noop());
    matches!(
        Pin::new(stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)),
        Poll::Pending
    )
}
