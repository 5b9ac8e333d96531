//! CancelRequest: to the backend that serves the client at this moment, or, where the key is the upstream's own, as it is.
//!
//! * The client's connection closes only after the upstream's has: libpq takes the close as the sign that the request
//!   has been heard, and a later query must not be hit by it (hazard 57).
//! * A client that Larder has let in has a key of Larder's. While a request is on its way to a backend, that backend is
//!   given to nobody else: it would hit the next client's query.
//! * Where there are several servers a key of the upstream's own is passed to each of them: a session may have stayed on
//!   the one before, and a server ignores a key that is not its own.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Door;
use super::landing::Waits;
use crate::net::Address;
use crate::net::pool::Pools;

/// How long the upstream may take to hear a request.
const LIMIT: Duration = Duration::from_secs(10);
/// Length and code of a CancelRequest.
const HEAD: usize = 8;
const CODE: u32 = 80_877_102;

/// Process id and secret, as in BackendKeyData.
pub type Key = (i32, Box<[u8]>);

/// The keys of the clients that Larder has let in.
#[derive(Debug, Default)]
pub struct Cancels {
    keys: Mutex<HashMap<Key, Arc<Aimed>>>,
    /// Clients that wait for equal reads.
    pub waits: Arc<Waits>,
}

/// Where a client's cancel requests go.
#[derive(Debug, Default)]
struct Aimed(Mutex<Aim>);

#[derive(Debug, Default)]
struct Aim {
    /// And the server that it is of.
    backend: Option<(Key, Address)>,
    /// Requests that are on their way.
    coming: usize,
}

/// A client's key, for as long as the client is there.
#[derive(Debug)]
pub struct Registered {
    /// What the client is told.
    pub key: Key,
    aimed: Arc<Aimed>,
    cancels: Arc<Cancels>,
}

impl Cancels {
    /// A new key with a secret of so many bytes.
    pub fn register(self: &Arc<Cancels>, secret: usize) -> io::Result<Registered> {
        let aimed = Arc::new(Aimed::default());
        loop {
            let mut pid = [0; 4];
            let mut bytes = vec![0; secret].into_boxed_slice();
            getrandom::fill(&mut pid).map_err(io::Error::other)?;
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            // As a process id it is positive.
            let key = (i32::from_be_bytes(pid) & i32::MAX, bytes);
            let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            if key.0 != 0 && !keys.contains_key(&key) {
                keys.insert(key.clone(), aimed.clone());
                drop(keys);
                return Ok(Registered {
                    key,
                    aimed,
                    cancels: self.clone(),
                });
            }
        }
    }

    fn find(&self, packet: &[u8]) -> Option<Arc<Aimed>> {
        let (pid, secret) = packet.get(HEAD..)?.split_first_chunk::<4>()?;
        let key = (i32::from_be_bytes(*pid), Box::from(secret));
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&key).cloned()
    }
}

impl Registered {
    /// That backend serves the client now.
    pub fn aim(&self, backend: &Key, address: &Address) {
        self.aimed.lock().backend = Some((backend.clone(), address.clone()));
    }

    /// None does any more. `false`: a request is on its way to the one that did; nobody else may have it.
    pub fn rest(&self) -> bool {
        let mut aim = self.aimed.lock();
        aim.backend = None;
        aim.coming == 0
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let keys = &self.cancels.keys;
        keys.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

impl Aimed {
    fn lock(&self) -> std::sync::MutexGuard<'_, Aim> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes the request on and waits until the upstream closes.
pub async fn pass(packet: &[u8], door: &Door) {
    let key = packet.get(HEAD..).unwrap_or_default();
    let waits = &door.reception.cancels.waits;
    waits.cancel(key, || pass_on(packet, door)).await;
}

async fn pass_on(packet: &[u8], door: &Door) {
    let Some(aimed) = door.reception.cancels.find(packet) else {
        return pass_everywhere(packet, door).await;
    };
    let (backend, address) = {
        let mut aim = aimed.lock();
        // Without a backend nothing is under way that could be cancelled.
        let Some(backend) = aim.backend.clone() else {
            return;
        };
        aim.coming += 1;
        backend
    };
    let len = HEAD + 4 + backend.1.len();
    let mut request = (len as u32).to_be_bytes().to_vec();
    request.extend_from_slice(&CODE.to_be_bytes());
    request.extend_from_slice(&backend.0.to_be_bytes());
    request.extend_from_slice(&backend.1);
    send(&address, &request, &door.pools).await;
    aimed.lock().coming -= 1;
}

/// A key of the upstream's own is a backend's of whichever server.
async fn pass_everywhere(packet: &[u8], door: &Door) {
    let target = &door.pools.target;
    let current = target.now();
    for host in target.hosts() {
        let is_current = current.as_ref().is_some_and(|place| place.address == *host);
        if !target.is_single() && !is_current {
            let (host, packet, pools) = (host.clone(), packet.to_vec(), door.pools.clone());
            // Nobody waits for a server that is not in use, and may be down.
            tokio::task::spawn_local(async move {
                tokio::time::timeout(LIMIT, tell(&host, &packet, &pools)).await
            });
        }
    }
    if let Some(place) = current {
        send(&place.address, packet, &door.pools).await;
    }
}

async fn send(address: &Address, packet: &[u8], pools: &Pools) {
    match tokio::time::timeout(LIMIT, tell(address, packet, pools)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a cancel request could not be passed on"),
        Err(_) => tracing::warn!("the upstream did not hear a cancel request in time"),
    }
}

async fn tell(address: &Address, packet: &[u8], pools: &Pools) -> io::Result<()> {
    let limit = pools.upstream.connect_timeout.min(LIMIT);
    let mut upstream = pools.tls.upstream.connect(address, limit).await?;
    upstream.write_all(packet).await?;
    upstream.flush().await?;
    match upstream.read(&mut [0; 1]).await {
        // With TLS, too, PostgreSQL just hangs up.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        read => read.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_aims_at_the_backend_of_the_moment_and_goes_with_its_client() {
        let cancels = Arc::new(Cancels::default());
        let registered = cancels.register(32).unwrap();
        let mut packet = vec![0; HEAD];
        packet.extend(registered.key.0.to_be_bytes());
        packet.extend(&*registered.key.1);
        let aimed = cancels.find(&packet).unwrap();
        assert!(aimed.lock().backend.is_none());
        let address = Address::Tcp("db".into(), 5432);
        registered.aim(&(7, Box::from(*b"secr")), &address);
        let backend = aimed.lock().backend.clone().unwrap();
        assert_eq!(backend, ((7, Box::from(*b"secr")), address));
        aimed.lock().coming += 1;
        assert!(!registered.rest(), "a request is on its way");
        aimed.lock().coming -= 1;
        assert!(registered.rest());
        let last = packet.len() - 1;
        packet[last] ^= 1;
        assert!(cancels.find(&packet).is_none());
        packet[last] ^= 1;
        drop(registered);
        assert!(cancels.find(&packet).is_none());
    }
}
