//! The wiring: every part, and how they start and end.
//!
//! The only file that knows them all. What can fail at start fails before the first client is let in.

mod board;
mod check;
mod explainer;
mod figures;
mod host;
mod live;
mod report;
mod screen;
mod top;
mod upgrade;
mod workers;

pub use check::{Findings, check};
pub use explainer::{Asked, explain};
use live::Reload;
pub use live::Reloaded;
pub use report::{Report, report};
pub use top::{Watch, once, top};
pub use upgrade::Succession;
pub use workers::{Handler, MakeHandler, Seat, Session};

use crate::admin;
use crate::admin::desk::Desk;
use crate::cache::servers::Servers;
use crate::cache::store::{Cause, Store};
use crate::cache::version::Ledger;
use crate::config::{self, Config, Flags, Password, Said};
use crate::metrics::{CacheNumbers, Eviction, Metrics, ModeNow};
use crate::net::pool::{Pools, Route};
use crate::net::users::{Question, Users};
use crate::net::{Bound, Drain, Own, Passwords, Stream, Target, Tls, managed};
use crate::proxy::reception::Reception;
use crate::proxy::{Console, Door, Role, serve};
use crate::session::{Live, Mode, Shared, Steering, Thread};
use crate::sql::catalog::Declaration;
use crate::watch::authfiles;
use crate::watch::authquery::AuthQuery;
use crate::watch::control::Control;
use crate::watch::link::Dialer;
use crate::watch::primary::{Chooser, Parked};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedSender};

/// How often what went from the store is told to the metrics.
const TELL: Duration = Duration::from_secs(1);
/// How many of those pass between two sweeps of the store.
const SWEEP: u32 = 30;

/// Why the process could not run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be listened on.
    #[error("{0}")]
    Listen(io::Error),
    /// The process before this one does not hand over.
    #[error("{0}")]
    Upgrade(String),
    /// A certificate or key could not be used.
    #[error("{0}")]
    Tls(String),
    /// A user's password could not be read.
    #[error("{0}")]
    Users(String),
    /// The database could not be asked.
    #[error("{0}")]
    Upstream(String),
    /// The question is none.
    #[error("{0}")]
    Asked(String),
    /// A rule cannot be understood.
    #[error("{0}")]
    Rules(String),
    /// The threads could not be started.
    #[error("cannot start: {0}")]
    Start(io::Error),
    /// The metrics contradict each other.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs until a signal ends the process.
pub fn run(flags: Flags, said: Said, config: Config, succession: Succession) -> Result<(), Error> {
    // Reads the environment, and so comes before there are threads.
    let mut passed = managed().map_err(Error::Listen)?;
    let live = live::live(&config).map_err(Error::Rules)?;
    let config = Arc::new(config);
    raise_open_files();
    let count = config.server.workers.count();
    let metrics = Arc::new(metrics(&config.admin, count)?);
    let drain = Drain::default();
    let tls = Arc::new(Tls::new(&config.tls, &config.upstream.tls).map_err(Error::Tls)?);
    let mut upgrade = upgrade::Upgrade::begin(&config, succession, &mut passed)?;
    let (clients, admin) = upgrade.bind(&config, &mut passed).map_err(Error::Listen)?;
    announce(&config, &clients, &admin, count);
    live::warn(&live.rules);
    let epoch = Instant::now();
    let (new_database, databases) = mpsc::unbounded_channel();
    let (doubts, doubted) = mpsc::unbounded_channel();
    let servers = Servers::unchosen(!config.upstream.is_single());
    let ledger = Ledger::telling(new_database, servers);
    let shared = Arc::new(share(&config, live, metrics.clone(), ledger));
    let reload = Arc::new(Reload::new(flags, said, shared.clone()));
    upgrade.shut(&shared);
    watch_store(&shared);
    let (users, questions) = users(&config)?;
    let route = route(&config, tls.clone(), users.clone());
    let reception = reception(&config, users.clone());
    first_password(&route.own).map_err(Error::Start)?;
    let (control, chooser) = watchers(&config, &shared, &route, doubts.clone());
    let asked = ask_for_users(&config, &control, questions);
    let (keep, files, own) = (shared.clone(), tls.clone(), route.own.clone());
    beside("larder-control", async move {
        tokio::join!(
            control.run(databases, doubted),
            chooser.run(),
            tend(&keep, epoch),
            files.watch(),
            authfiles::keep(users),
            own.keep(),
            asked
        );
    })
    .map_err(Error::Start)?;
    let desk = Arc::new(desk(&shared, &reload, &drain, &route));
    let config_too = config.clone();
    let make = make_handler(config_too, desk.clone(), route, reception, doubts, epoch);
    let workers =
        workers::Workers::start(count, metrics.clone(), &drain, &make).map_err(Error::Start)?;
    let parts = host::Parts {
        clients,
        admin,
        pages: admin::http::Pages::new(desk, token(&config)),
        places: workers.places(),
        drain_for: config.server.drain,
        reload: Box::new(move || {
            tls.reload();
            let _ = reload.reload();
        }),
        succeed: Box::new(upgrade.succeed()),
    };
    let succession = upgrade.take_over(shared, drain.clone())?;
    beside("larder-upgrade", succession).map_err(Error::Start)?;
    host::run(parts, &drain);
    workers.join();
    Ok(())
}

/// What is counted.
fn metrics(admin: &config::Admin, threads: usize) -> Result<Metrics, prometheus::Error> {
    Metrics::telling_apart(admin.statements, admin.statement_metrics, threads)
}

/// Who is known. A password that may change is not read here.
fn users(
    config: &Config,
) -> Result<(Arc<Users>, Option<mpsc::UnboundedReceiver<Question>>), Error> {
    let password = match &config.upstream.password {
        Password::Value(secret) => Some(secret),
        Password::None | Password::File(_) | Password::Command { .. } => None,
    };
    let own = (&*config.upstream.user, password);
    let (users, questions) = Users::new(&config.auth, &config.users, own).map_err(Error::Users)?;
    Ok((Arc::new(users), questions))
}

/// Who is let in.
fn reception(config: &Config, users: Arc<Users>) -> Arc<Reception> {
    let (recheck, most) = (config.auth.recheck, config.pool.max_client_conn);
    Arc::new(Reception::new(users, recheck, most))
}

/// How the upstream is reached.
fn route(config: &Config, tls: Arc<Tls>, users: Arc<Users>) -> Route {
    let upstream = config.upstream.clone();
    let passwords = Passwords::new(upstream.password.clone());
    let single = upstream.is_single();
    Route {
        target: Arc::new(Target::new(upstream.hosts.clone(), single)),
        own: Arc::new(Own::new(passwords, users)),
        upstream,
        tls,
    }
}

/// Learns the password of the upstream's own user before the first client comes.
fn first_password(own: &Own) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if let Err(error) = runtime.block_on(own.password()) {
        tracing::warn!(%error, "no password for the upstream's user");
    }
    Ok(())
}

/// Larder's own connections.
fn watchers(
    config: &Config,
    shared: &Arc<Shared>,
    route: &Route,
    doubts: UnboundedSender<crate::session::Doubt>,
) -> (Control, Chooser) {
    let dialer = Arc::new(Dialer {
        route: route.clone(),
        metrics: shared.metrics.clone(),
    });
    let parked = Arc::new(Parked::default());
    let control = Control {
        dialer: dialer.clone(),
        refresh: config.catalog.refresh,
        declared: config.catalog.functions.iter().map(declaration).collect(),
        shared: shared.clone(),
        parked: parked.clone(),
        doubts: doubts.clone(),
        links: Arc::default(),
    };
    let chooser = Chooser {
        dialer,
        shared: shared.clone(),
        parked,
        doubts,
    };
    (control, chooser)
}

/// What all threads share.
fn share(config: &Config, live: Live, metrics: Arc<Metrics>, ledger: Ledger) -> Shared {
    let max_answer = live::max_answer(config);
    let threads = config.server.workers.count();
    Shared {
        steering: Steering::new(live),
        ledger,
        store: Store::new(config.cache.memory, max_answer, threads),
        contexts: Default::default(),
        pooler: config.upstream.pooler,
        metrics,
        quarantine: Default::default(),
    }
}

/// What is declared of a function, for the catalogs of all databases.
fn declaration(function: &config::Function) -> Declaration {
    let paths = |list: &Option<Vec<String>>| {
        let words = list
            .iter()
            .flatten()
            .filter_map(|word| word.split_once('.'));
        words.map(|(a, b)| (a.into(), b.into())).collect()
    };
    let name = &function.name;
    let arguments = name.arguments.as_ref();
    Declaration {
        schema: (&*name.schema).into(),
        name: (&*name.name).into(),
        arguments: arguments.map(|words| words.iter().map(|word| (&**word).into()).collect()),
        reads: (function.pure == Some(true) || function.reads.is_some())
            .then(|| paths(&function.reads)),
        writes: paths(&function.writes),
    }
}

/// Lets a scrape ask the store.
fn watch_store(shared: &Arc<Shared>) {
    let asked = Arc::downgrade(shared);
    let numbers = move || match asked.upgrade() {
        Some(shared) => CacheNumbers {
            entries: shared.store.entries() as u64,
            bytes: shared.store.bytes(),
            limit: shared.store.capacity(),
            open: shared.is_open(),
            mode: mode_now(&shared.steering.live()),
            intents: shared.ledger.open_intents(),
            catalogs: shared.ledger.catalogs(),
        },
        None => CacheNumbers::default(),
    };
    shared.metrics.watch_cache(Box::new(numbers));
}

fn mode_now(live: &Live) -> ModeNow {
    match live.mode {
        Mode::Off => ModeNow::Off,
        Mode::On | Mode::Observe if live.paused => ModeNow::Paused,
        Mode::Observe => ModeNow::Observe,
        Mode::On => ModeNow::On,
    }
}

/// Sweeps the store now and then, and tells the metrics what went from it.
async fn tend(shared: &Shared, epoch: Instant) {
    let causes = [
        (Cause::Size, Eviction::Size),
        (Cause::Ttl, Eviction::Ttl),
        (Cause::Stale, Eviction::Invalid),
    ];
    let mut told = [0; 3];
    for turn in 1u32.. {
        tokio::time::sleep(TELL).await;
        shared.ledger.note_raises(SystemTime::now());
        shared.metrics.roll.tick();
        if turn.is_multiple_of(SWEEP) {
            shared
                .store
                .sweep(u64::try_from(epoch.elapsed().as_micros()).unwrap_or(u64::MAX));
        }
        for ((cause, eviction), told) in causes.into_iter().zip(&mut told) {
            let gone = shared.store.gone(cause);
            shared
                .metrics
                .evicted(eviction, gone - std::mem::replace(told, gone));
        }
    }
}

/// Runs something on a thread of its own for as long as the process lives.
fn beside(name: &str, body: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || runtime.block_on(body))?;
    Ok(())
}

/// Takes what the system allows: a client costs two descriptors, and many systems start a process with 1024.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, limit = ?limit.current, "cannot raise the limit of open files");
        }
    }
}

fn announce(config: &Config, clients: &[Bound], admin: &[Bound], workers: usize) {
    for bound in clients {
        tracing::info!(address = %bound.address(), "listening for clients");
    }
    for bound in admin {
        tracing::info!(address = %bound.address(), "listening for operators");
    }
    let version = env!("CARGO_PKG_VERSION");
    let hosts = config.upstream.hosts.iter().map(ToString::to_string);
    let (upstream, mode) = (hosts.collect::<Vec<_>>().join(","), config.cache.mode);
    tracing::info!(
        version,
        upstream,
        ?mode,
        memory = config.cache.memory,
        workers,
        "larder starts"
    );
}

/// Answers what is asked by `auth_query`, if there is one.
fn ask_for_users(
    config: &Config,
    control: &Control,
    questions: Option<mpsc::UnboundedReceiver<Question>>,
) -> impl Future<Output = ()> + Send + use<> {
    let query = config.auth.auth_query.clone().zip(questions);
    let named = config.auth.auth_dbname.as_ref();
    let database = named.unwrap_or(&config.upstream.database).clone();
    let dialer = control.dialer.clone();
    async move {
        if let Some((query, questions)) = query {
            let asks = AuthQuery {
                dialer,
                database,
                query,
            };
            asks.run(questions).await;
        }
    }
}

/// What operators look at and do.
fn desk(shared: &Arc<Shared>, reload: &Arc<Reload>, drain: &Drain, route: &Route) -> Desk {
    let (read, set, settings) = (reload.clone(), reload.clone(), reload.clone());
    Desk {
        shared: shared.clone(),
        metrics: shared.metrics.clone(),
        drain: drain.clone(),
        target: route.target.clone(),
        consoles: Arc::new(Semaphore::new(admin::desk::CONSOLES)),
        started: Instant::now(),
        reload: Box::new(move || {
            let reloaded = read.reload()?;
            Ok((reloaded.applied, reloaded.needs_restart))
        }),
        set: Box::new(move |key, value| set.set(key, value).map(drop)),
        settings: Box::new(move || settings.settings()),
        counted: Default::default(),
    }
}

/// What callers must show who change something.
fn token(config: &Config) -> admin::status::Token {
    match (&config.admin.token, &config.admin.token_file) {
        (Some(secret), _) => admin::status::Token::Value(secret.clone()),
        (None, Some(file)) => admin::status::Token::File(file.clone()),
        (None, None) => admin::status::Token::None,
    }
}

/// Where operators come in by the port of clients, if they may.
fn console(config: &Config, desk: &Arc<Desk>) -> Option<Console> {
    let desk = desk.clone();
    let admin = &config.admin;
    (!admin.console.is_empty()).then(|| Console {
        database: (&*admin.console).into(),
        admins: match &admin.admin_users {
            Some(users) => users.clone(),
            None => vec![config.upstream.user.clone()],
        },
        stats: admin.stats_users.clone(),
        enter: Rc::new(move |client, unread, visitor| {
            let changes = visitor.role == Role::Admin;
            let session =
                admin::console::serve(client, unread, desk.clone(), visitor.user, changes);
            Box::pin(session)
        }),
    })
}

/// The handler of each thread: a session for each client.
fn make_handler(
    config: Arc<Config>,
    desk: Arc<Desk>,
    route: Route,
    reception: Arc<Reception>,
    doubts: UnboundedSender<crate::session::Doubt>,
    epoch: Instant,
) -> MakeHandler {
    Arc::new(move |seat: Seat| {
        let shared = &desk.shared;
        let thread = Rc::new(Thread::new(shared.clone(), seat.recorder));
        let pools = Pools::new(
            config.pool.clone(),
            config.server.workers.count(),
            route.clone(),
            shared.clone(),
        );
        tokio::task::spawn_local(Pools::tend(Rc::downgrade(&pools)));
        tokio::task::spawn_local(reception.clone().recheck(Rc::downgrade(&pools)));
        let door = Rc::new(Door::new(
            thread,
            seat.phase,
            doubts.clone(),
            epoch,
            reception.clone(),
            pools,
            console(&config, &desk),
        ));
        Box::new(move |client: Stream| -> Session { Box::pin(serve(client, door.clone())) })
    })
}
