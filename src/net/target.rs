//! The server that is dialed, where there are several to choose from.
//!
//! * Whoever chooses is not here (`watch`): this file knows the address in use, waits for one, and says when it could not
//!   be reached.
//! * One wait for one limit, look-up, choice and second tries included: a client never waits longer than the operator
//!   said.
//! * Where there is one host there is nothing to wait for, and its address never changes.

use super::{Address, Stream, dial};
use std::io;
use std::sync::Arc;
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
    chosen: watch::Sender<Option<Arc<Address>>>,
    suspected: Notify,
}

impl Target {
    /// The server, or those of which one is to be chosen (`single` is false then, even for one host).
    pub fn new(hosts: Vec<Address>, single: bool) -> Target {
        let first = hosts.first().filter(|_| single).cloned().map(Arc::new);
        Target {
            hosts,
            single,
            chosen: watch::Sender::new(first),
            suspected: Notify::new(),
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

    /// The address in use at this moment.
    pub fn now(&self) -> Option<Arc<Address>> {
        self.chosen.borrow().clone()
    }

    /// The address in use, as soon as there is one.
    ///
    /// # Errors
    /// There is none until `deadline`.
    pub async fn wait(&self, deadline: Instant) -> io::Result<Arc<Address>> {
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

    /// Puts an address in use, or none.
    pub fn choose(&self, address: Option<Arc<Address>>) {
        self.chosen.send_replace(address);
    }

    /// A server could not be reached: it is out of use until somebody has asked it.
    pub fn suspect(&self, address: &Address) {
        if self.single {
            return;
        }
        self.chosen.send_if_modified(|chosen| {
            let is_it = chosen.as_deref() == Some(address);
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

    /// Connects to the server in use; to the next one if it is gone.
    ///
    /// # Errors
    /// Why the last try failed.
    pub async fn dial(&self, limit: Duration) -> io::Result<(Stream, Arc<Address>)> {
        let deadline = Instant::now() + limit;
        let mut failed = None;
        loop {
            let address = match self.wait(deadline).await {
                Ok(address) => address,
                Err(error) => return Err(failed.unwrap_or(error)),
            };
            let left = deadline.saturating_duration_since(Instant::now());
            match dial(&address, left).await {
                Ok(stream) => return Ok((stream, address)),
                Err(error) if self.single || Instant::now() >= deadline => {
                    self.suspect(&address);
                    return Err(error);
                }
                Err(error) => {
                    self.suspect(&address);
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

    fn tcp(port: u16) -> Address {
        Address::Tcp("127.0.0.1".into(), port)
    }

    #[tokio::test]
    async fn one_host_is_in_use_whatever_is_said_of_it() {
        let target = Target::new(vec![tcp(1)], true);
        target.suspect(&tcp(1));
        assert_eq!(target.now().as_deref(), Some(&tcp(1)));
        let error = target.dial(Duration::from_secs(5)).await;
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
        assert!(target.dial(Duration::from_millis(20)).await.is_err());
        let chooser = {
            let target = target.clone();
            tokio::spawn(async move {
                target.choose(Some(Arc::new(tcp(1))));
                target.suspected().await;
                assert_eq!(target.now(), None, "nobody is sent there again");
                target.choose(Some(Arc::new(tcp(port))));
            })
        };
        let (_, address) = target
            .dial(Duration::from_secs(20))
            .await
            .expect("a stream");
        assert_eq!(*address, tcp(port));
        chooser.await.expect("no panic");
    }
}
