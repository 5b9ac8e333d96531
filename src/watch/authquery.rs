//! `auth_query`: the operator's question what the database keeps of a user's password, on a connection of Larder's own.
//!
//! * The search path is pg_catalog alone, whatever the role's default or a client says: nothing that a user made
//!   answers in place of what PostgreSQL brings with it (hazard 23).
//! * An answer about another user, or two of them, is no answer.
//! * The connection is opened at the first question, and once more where one has failed: it may have been lost long ago.
//!
//! Not here: how long answers are kept, and what they mean (`net::users`).

use super::control::{Control, Failure, Link, reason};
use crate::net::users::Question;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use tokio_postgres::types::Type;

/// How long one try may take, the connect included.
const PATIENCE: Duration = Duration::from_secs(4);
const SETTINGS: &str = "SET search_path = pg_catalog, pg_temp";

/// What runs the query.
pub struct AuthQuery {
    /// Connects.
    pub control: Control,
    /// `auth.auth_dbname`, or the database of the upstream's URL.
    pub database: String,
    /// `auth.auth_query`.
    pub query: String,
}

impl AuthQuery {
    /// Runs until nobody can ask any more.
    pub async fn run(self, mut questions: UnboundedReceiver<Question>) {
        let mut link = None;
        while let Some(question) = questions.recv().await {
            // Who waited is gone: nothing is asked in vain.
            if question.answer.is_closed() {
                continue;
            }
            let mut answer = Err(String::new());
            for _ in 0..2 {
                let old = link.is_some();
                answer = match timeout(PATIENCE, self.ask(&mut link, &question.user)).await {
                    Ok(Ok(kept)) => Ok(kept),
                    Ok(Err(error)) => Err(reason(&*error)),
                    Err(_) => Err(format!("no answer within {PATIENCE:?}")),
                };
                if answer.is_ok() {
                    break;
                }
                link = None;
                if !old {
                    break;
                }
            }
            let _ = question.answer.send(answer);
        }
    }

    async fn ask(&self, link: &mut Option<Link>, user: &str) -> Result<Option<String>, Failure> {
        let link = match link {
            Some(link) => link,
            None => {
                let fresh = self.control.connect(&self.database).await?;
                fresh.client.batch_execute(SETTINGS).await?;
                link.insert(fresh)
            }
        };
        // Without a statement's name, in one round trip: the upstream may be a pooler.
        let rows = link
            .client
            .query_typed(&self.query, &[(&user, Type::UNKNOWN)])
            .await?;
        let row = match rows.as_slice() {
            [] => return Ok(None),
            [row] if row.len() >= 2 => row,
            [_] => return Err("auth_query must give two columns: name and password".into()),
            _ => return Err("auth_query gave several rows for one user".into()),
        };
        if row.try_get::<_, &str>(0)? != user {
            return Err("auth_query answered about another user".into());
        }
        let kept: Option<String> = row.try_get(1)?;
        Ok(kept.filter(|text| !text.is_empty()))
    }
}
