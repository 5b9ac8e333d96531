//! The files that users' passwords are in, read again when they change.
//!
//! * Reading and deriving keys is done off the threads that serve clients.
//! * A change that cannot be used is told once; what was known before holds on.

use crate::net::users::Users;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between looks: each is a `stat` of every file.
const EVERY: Duration = Duration::from_secs(1);

/// Looks until it is dropped.
pub async fn keep(users: Arc<Users>) {
    loop {
        sleep(EVERY).await;
        let look = users.clone();
        match tokio::task::spawn_blocking(move || look.reread()).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => tracing::info!("the users' files were read again"),
            Ok(Err(error)) => {
                tracing::error!(error, "the users' files have changed and cannot be used");
            }
            Err(error) => tracing::error!(%error, "the users' files could not be looked at"),
        }
    }
}
