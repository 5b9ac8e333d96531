//! The login of the upstream URL's own user, whose password may change while running.
//!
//! * Clients of that user are judged by the password as it is: a change is found within seconds, and at each login of
//!   Larder's own.
//! * Their connections log in with what is the password then, not with what it was when the client came: a token that
//!   has run out would end them.
//! * Where `[[users]]` names the user, too, that entry decides (`users`).
//!
//! Not here: where the password comes from (`passwords`).

use super::login::Credentials;
use super::passwords::Passwords;
use super::users::Users;
use crate::config::Secret;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Between looks at a file.
const EVERY: Duration = Duration::from_secs(1);

/// The own user's password, and everybody who must know of a new one.
pub struct Own {
    passwords: Passwords,
    users: Arc<Users>,
}

impl Own {
    /// The own user among these.
    pub fn new(passwords: Passwords, users: Arc<Users>) -> Own {
        Own { passwords, users }
    }

    /// The password for a login that begins now, as [`Passwords::get`].
    ///
    /// # Errors
    /// As there.
    pub async fn password(&self) -> io::Result<Option<Secret>> {
        let secret = self.passwords.get().await?;
        if let Some(secret) = &secret
            && self.passwords.may_change()
            && !self.users.own_password_is(secret)
        {
            self.tell(secret.clone()).await;
        }
        Ok(secret)
    }

    /// The server has refused a password.
    pub async fn refused(&self) {
        self.passwords.refused().await;
    }

    /// What logs a user in now, if that is the own one and its password may be another than it was.
    pub async fn credentials(&self, user: &str) -> Option<Arc<Credentials>> {
        if !self.passwords.may_change() || !self.users.is_own(user) {
            return None;
        }
        if let Err(error) = self.password().await {
            tracing::warn!(%error, "no new password for the upstream's user; the one before is tried");
        }
        self.users.own_credentials(user)
    }

    /// Looks for a new password until it is dropped.
    pub async fn keep(&self) {
        let Some(every) = self.passwords.look_after(EVERY) else {
            return;
        };
        let mut told = false;
        loop {
            match self.password().await {
                Ok(_) => told = false,
                Err(error) if !std::mem::replace(&mut told, true) => {
                    tracing::warn!(%error, "no password for the upstream's user");
                }
                Err(_) => {}
            }
            sleep(every).await;
        }
    }

    async fn tell(&self, secret: Secret) {
        let users = self.users.clone();
        // Deriving its keys is work, which is not for a session's thread.
        let told =
            tokio::task::spawn_blocking(move || users.set_own_password(Some(secret.expose())));
        match told.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(
                    error,
                    "the new password of the upstream's user cannot be used"
                );
            }
            Err(error) => tracing::error!(%error, "the new password could not be taken over"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, Password, User};
    use crate::net::users::Found;

    async fn upstream_of(users: &Users, user: &str) -> Option<Arc<Credentials>> {
        match users.find(user).await {
            Found::Known(known) => known.upstream.clone(),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_new_password_is_everybodys_at_the_next_login() {
        let path = std::env::temp_dir().join(format!("larder-own-{}", std::process::id()));
        std::fs::write(&path, "first\n").expect("a file");
        let (users, _) = Users::new(&Auth::default(), &[], ("app", None)).expect("users");
        let users = Arc::new(users);
        let own = Own::new(Passwords::new(Password::File(path.clone())), users.clone());
        assert!(own.credentials("bob").await.is_none());
        let first = own.credentials("app").await.expect("the own user");
        assert_eq!(*first, Credentials::password("first"));
        assert_eq!(upstream_of(&users, "app").await, Some(first));
        std::fs::write(&path, "second\n").expect("a file");
        let second = own.credentials("app").await.expect("the own user");
        assert_eq!(*second, Credentials::password("second"));
        let _ = std::fs::remove_file(&path);
        let last = own.credentials("app").await.expect("the one before");
        assert_eq!(last, second);
    }

    #[tokio::test]
    async fn who_is_named_in_users_logs_in_as_it_says_there() {
        let user = User {
            name: "app".into(),
            password: Some(Secret::new("theirs".into())),
            password_file: None,
            certificate: false,
            upstream_password: None,
            upstream_password_file: None,
        };
        let own = ("app", None);
        let (users, _) = Users::new(&Auth::default(), &[user], own).expect("users");
        let command = Password::Command {
            line: "echo ours".into(),
            ttl: Duration::from_secs(60),
        };
        let own = Own::new(Passwords::new(command), Arc::new(users));
        assert!(own.credentials("app").await.is_none());
    }
}
