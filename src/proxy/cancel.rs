//! CancelRequest, passed on as it is: the key is the upstream's own, for it was relayed at login.
//!
//! The client's connection closes only after the upstream's has: libpq takes the close as the sign that the request
//! has been heard, and a later query must not be hit by it (hazard 57).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Door;

/// How long the upstream may take to hear a request.
const LIMIT: Duration = Duration::from_secs(10);

/// Passes the request on and waits until the upstream closes.
pub async fn pass(packet: &[u8], door: &Door) {
    let heard = async {
        let (address, limit) = (&door.upstream.address, door.upstream.connect_timeout);
        let mut upstream = door.tls.upstream.connect(address, limit).await?;
        upstream.write_all(packet).await?;
        upstream.flush().await?;
        match upstream.read(&mut [0; 1]).await {
            // With TLS, too, PostgreSQL just hangs up.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            read => read,
        }
    };
    match tokio::time::timeout(LIMIT, heard).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "a cancel request could not be passed on"),
        Err(_) => tracing::warn!("the upstream did not hear a cancel request in time"),
    }
}
