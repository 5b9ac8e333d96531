//! `[auth]` and `[[users]]`: who Larder lets in itself, and what it knows of their passwords.
//!
//! * Trust is never a default: a user without password, verifier or certificate stops the start.
//! * A user who shows a certificate gives nothing that logs in upstream: how to must be said.
//!
//! Files are not read here, and verifiers not understood (`net::users`): both happen before the first client, too.

use super::url::Secret;
use super::values::{a_duration, maybe_text, switch};
use std::path::PathBuf;
use std::time::Duration;

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether users that Larder does not know are the upstream's to judge.
    #[serde(deserialize_with = "switch")]
    pub relay: bool,
    /// How long what is known of a user is used before it is looked up again.
    #[serde(deserialize_with = "a_duration")]
    pub recheck: Duration,
    /// A PgBouncer userlist.
    pub auth_file: Option<PathBuf>,
    /// Asks the upstream for a user's verifier.
    #[serde(deserialize_with = "maybe_text")]
    pub auth_query: Option<String>,
    /// Where `auth_query` runs.
    #[serde(deserialize_with = "maybe_text")]
    pub auth_dbname: Option<String>,
}

impl Default for Auth {
    fn default() -> Auth {
        Auth {
            relay: true,
            recheck: Duration::from_secs(60),
            auth_file: None,
            auth_query: None,
            auth_dbname: None,
        }
    }
}

impl Auth {
    pub(super) fn contradictions(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.recheck.is_zero() {
            wrong.push("auth.recheck: must be more than zero".into());
        }
        if self.auth_query.as_ref().is_some_and(|q| !q.contains("$1")) {
            wrong.push("auth.auth_query: must contain $1, where the user's name goes".into());
        }
        if self.auth_dbname.is_some() && self.auth_query.is_none() {
            wrong.push("auth.auth_dbname: nothing runs there without auth.auth_query".into());
        }
        wrong
    }
}

/// `[[users]]`
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The role's name, as PostgreSQL stores it.
    pub name: String,
    /// The password, or what `pg_authid` keeps of it.
    #[serde(default)]
    pub password: Option<Secret>,
    /// The same in a file of its own.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Whether a client certificate with this name is needed.
    #[serde(default)]
    pub certificate: bool,
    /// What logs in upstream, where that is something else.
    #[serde(default)]
    pub upstream_password: Option<Secret>,
    /// The same in a file of its own.
    #[serde(default)]
    pub upstream_password_file: Option<PathBuf>,
}

impl User {
    fn contradictions(&self) -> Vec<String> {
        let name = &self.name;
        let mut wrong = Vec::new();
        if name.is_empty() || name.contains('\0') {
            wrong.push("`name` must not be empty or contain NUL bytes".to_owned());
        }
        if self.password.is_some() && self.password_file.is_some() {
            wrong.push(format!(
                "`{name}` has a password and a password_file: keep one"
            ));
        }
        if self.upstream_password.is_some() && self.upstream_password_file.is_some() {
            wrong.push(format!(
                "`{name}` has an upstream_password and an upstream_password_file: keep one"
            ));
        }
        let secret = self.password.is_some() || self.password_file.is_some();
        let upstream = self.upstream_password.is_some() || self.upstream_password_file.is_some();
        if !secret && !self.certificate {
            wrong.push(format!(
                "`{name}` could log in with nothing: give password, password_file or certificate = true"
            ));
        } else if !secret && !upstream {
            wrong.push(format!(
                "`{name}` shows a certificate, which does not log in upstream: give upstream_password or \
                 upstream_password_file"
            ));
        }
        wrong
    }
}

/// What is wrong with the users, each and together.
pub(super) fn users_contradictions(users: &[User]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (i, user) in users.iter().enumerate() {
        let texts = user.contradictions().into_iter();
        wrong.extend(texts.map(|text| format!("users.{i}: {text}")));
        if users[..i].iter().any(|other| other.name == user.name) {
            wrong.push(format!("users.{i}: `{}` is there already", user.name));
        }
    }
    wrong
}
