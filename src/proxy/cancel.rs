//! CancelRequest, passed on as it is: the key is the upstream's own, for it was relayed at login.
//!
//! Where there are several servers it is passed to each of them: a session may have stayed on the one before, and a
//! server ignores a key that is not its own.
//!
//! The client's connection closes only after the upstream's has: libpq takes the close as the sign that the request
//! has been heard, and a later query must not be hit by it (hazard 57).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Door;
use crate::net::{Address, dial};

/// How long the upstream may take to hear a request.
const LIMIT: Duration = Duration::from_secs(10);

/// Passes the request on and waits until the upstream closes.
pub async fn pass(packet: &[u8], door: &Door) {
    let limit = door.connect_timeout.min(LIMIT);
    let current = door.target.now();
    for host in door.target.hosts() {
        if !door.target.is_single() && current.as_deref() != Some(host) {
            let (host, packet) = (host.clone(), packet.to_vec());
            // Nobody waits for a server that is not in use, and may be down.
            tokio::task::spawn_local(async move { tell(&host, &packet, limit).await });
        }
    }
    if let Some(address) = current {
        match tokio::time::timeout(LIMIT, tell(&address, packet, limit)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a cancel request could not be passed on"),
            Err(_) => tracing::warn!("the upstream did not hear a cancel request in time"),
        }
    }
}

async fn tell(address: &Address, packet: &[u8], limit: Duration) -> io::Result<()> {
    let mut upstream = dial(address, limit).await?;
    upstream.write_all(packet).await?;
    upstream.read(&mut [0; 1]).await.map(|_| ())
}
