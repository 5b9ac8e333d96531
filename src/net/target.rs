//! The server that is dialed, where there are several to choose from.
//!
//! * Whoever chooses is not here (`watch`): this file knows the address in use, waits for one, and says when it could not
//!   be reached.
//! * One wait for one limit, look-up, choice and second tries included: a client never waits longer than the operator
//!   said.
//! * Where there is one host there is nothing to wait for, and its address never changes; the server behind it may.
//! * A connection knows the turn in which its server was in use: in another turn no other client is given it, nor told
//!   what it has said.

use super::{Address, Connector, Gates, Stream};
use crate::cache::servers::Server;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};

/// Between two tries to reach a server that is said to be fine.
const PAUSE: Duration = Duration::from_millis(50);

/// The server in use.
#[derive(Debug)]
pub struct Target {
    hosts: Vec<Address>,
    single: bool,
    chosen: watch::Sender<Option<Arc<Place>>>,
    turn: AtomicU64,
    suspected: Notify,
    /// Which databases an operator has closed.
    pub gates: Arc<Gates>,
}

/// A server that is in use, or was.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it listens.
    pub address: Address,
    server: Server,
    turn: u64,
}

impl Target {
    /// The server, or those of which one is to be chosen (`single` is false then, even for one host).
    pub fn new(hosts: Vec<Address>, single: bool) -> Target {
        let first = hosts.first().filter(|_| single).map(|address| {
            Arc::new(Place {
                address: address.clone(),
                server: Server::UNKNOWN,
                turn: 0,
            })
        });
        Target {
            hosts,
            single,
            chosen: watch::Sender::new(first),
            turn: AtomicU64::new(0),
            suspected: Notify::new(),
            gates: Arc::default(),
        }
    }

    /// Whether there is nothing to choose.
    pub fn is_single(&self) -> bool {
        self.single
    }

    /// All servers there may be.
    pub fn hosts(&self) -> &[Address] {
        &self.hosts
    }

    /// The server in use at this moment.
    pub fn now(&self) -> Option<Arc<Place>> {
        self.chosen.borrow().clone()
    }

    /// Whether no other server was chosen since that one.
    pub fn is_current(&self, place: &Place) -> bool {
        place.turn == self.turn.load(Ordering::SeqCst)
    }

    /// The server in use, as soon as there is one.
    ///
    /// # Errors
    /// There is none until `deadline`.
    pub async fn wait(&self, deadline: Instant) -> io::Result<Arc<Place>> {
        let mut chosen = self.chosen.subscribe();
        let found = timeout_at(deadline, chosen.wait_for(Option::is_some)).await;
        let found = found.ok().and_then(Result::ok).and_then(|it| it.clone());
        found.ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotConnected,
                "none of the servers in upstream.url is reachable and as target_session_attrs wants it",
            )
        })
    }

    /// Puts a server in use. A new turn, unless it is in use already.
    pub fn choose(&self, address: &Address, server: Server) -> Arc<Place> {
        let in_use = self.now();
        let same = in_use.filter(|now| now.address == *address && now.server == server);
        let place = same.unwrap_or_else(|| {
            Arc::new(Place {
                address: address.clone(),
                server,
                turn: self.turn.fetch_add(1, Ordering::SeqCst) + 1,
            })
        });
        self.chosen.send_replace(Some(place.clone()));
        place
    }

    /// The server in use is not as wanted any more, and none is.
    pub fn refuse(&self) {
        self.turn.fetch_add(1, Ordering::SeqCst);
        self.chosen.send_replace(None);
    }

    /// A server that was suspected is fine.
    pub fn trust(&self, place: &Arc<Place>) {
        self.chosen.send_if_modified(|chosen| {
            let modified = chosen.is_none();
            if modified {
                *chosen = Some(place.clone());
            }
            modified
        });
    }

    /// A server could not be reached: it is out of use until somebody has asked it.
    pub fn suspect(&self, address: &Address) {
        if self.single {
            return;
        }
        self.chosen.send_if_modified(|chosen| {
            let is_it = chosen.as_ref().is_some_and(|it| it.address == *address);
            if is_it {
                *chosen = None;
            }
            is_it
        });
        self.suspected.notify_one();
    }

    /// Returns when a server was suspected since the last time.
    pub async fn suspected(&self) {
        self.suspected.notified().await;
    }

    /// Connects to the server in use, encrypted as it must be; to the next one if it is gone.
    ///
    /// # Errors
    /// Why the last try failed.
    pub async fn dial(
        &self,
        connector: &Connector,
        limit: Duration,
    ) -> io::Result<(Stream, Arc<Place>)> {
        let deadline = Instant::now() + limit;
        let mut failed = None;
        loop {
            let place = match self.wait(deadline).await {
                Ok(place) => place,
                Err(error) => return Err(failed.unwrap_or(error)),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match connector.connect(&place.address, left).await {
                Ok(stream) => return Ok((stream, place)),
                Err(error) if self.single || Instant::now() >= deadline => {
                    self.suspect(&place.address);
                    return Err(error);
                }
                Err(error) => {
                    self.suspect(&place.address);
                    failed = Some(error);
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::servers::Servers;
    use crate::config::{ClientTls, SslMode, UpstreamTls};
    use crate::net::Tls;

    const NOBODY: Server = Server::UNKNOWN;

    fn plain() -> Tls {
        let mode = SslMode::Disable;
        let upstream = UpstreamTls {
            mode,
            ..UpstreamTls::default()
        };
        Tls::new(&ClientTls::default(), &upstream).expect("nothing to read")
    }

    fn tcp(port: u16) -> Address {
        Address::Tcp("127.0.0.1".into(), port)
    }

    #[tokio::test]
    async fn one_host_is_in_use_whatever_is_said_of_it() {
        let target = Target::new(vec![tcp(1)], true);
        target.suspect(&tcp(1));
        let place = target.now().expect("the one");
        assert_eq!(place.address, tcp(1));
        assert!(target.is_current(&place));
        let tls = plain();
        let error = target.dial(&tls.upstream, Duration::from_secs(5)).await;
        assert_eq!(
            error.expect_err("nobody listens").kind(),
            io::ErrorKind::ConnectionRefused
        );
    }

    #[tokio::test]
    async fn a_client_waits_for_a_choice_and_goes_where_it_says() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let target = Arc::new(Target::new(vec![tcp(1), tcp(port)], false));
        assert_eq!(target.now(), None);
        let (tls, short) = (plain(), Duration::from_millis(20));
        assert!(target.dial(&tls.upstream, short).await.is_err());
        let chooser = {
            let target = target.clone();
            tokio::spawn(async move {
                target.choose(&tcp(1), NOBODY);
                target.suspected().await;
                assert_eq!(target.now(), None, "nobody is sent there again");
                target.choose(&tcp(port), NOBODY);
            })
        };
        let (_, place) = target
            .dial(&tls.upstream, Duration::from_secs(20))
            .await
            .expect("a stream");
        assert_eq!(place.address, tcp(port));
        chooser.await.expect("no panic");
    }

    #[test]
    fn a_turn_lasts_for_as_long_as_one_server_is_in_use() {
        let target = Target::new(vec![tcp(1), tcp(2)], false);
        let servers = Servers::unchosen(true);
        let [a, b] = ["a", "b"].map(|name| servers.named(name, None, &servers.mark()));
        let first = target.choose(&tcp(1), a);
        assert!(target.is_current(&first));
        assert_eq!(target.choose(&tcp(1), a), first, "found again");
        target.suspect(&tcp(1));
        assert!(target.now().is_none() && target.is_current(&first));
        target.trust(&first);
        assert_eq!(target.now().as_ref(), Some(&first));
        let other = target.choose(&tcp(1), b);
        assert!(!target.is_current(&first) && target.is_current(&other));
        target.refuse();
        assert!(target.now().is_none() && !target.is_current(&other));
        let again = target.choose(&tcp(1), b);
        assert!(!target.is_current(&other) && target.is_current(&again));
        let next = target.choose(&tcp(2), b);
        assert!(!target.is_current(&again) && target.is_current(&next));
    }
}
