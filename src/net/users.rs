//! The users that Larder lets in itself: what verifies them, and what logs them in upstream.
//!
//! * Nobody is trusted: a user without password, verifier or certificate is an error, in a userlist too.
//! * What is known is in memory when a client comes: keys of plain passwords are derived before, so that a known user's
//!   exchange takes as long as an unknown one's.
//! * A file that has become unreadable or wrong changes nothing: the last good one holds, and the error is told.
//! * An answer of `auth_query` is kept for seconds, and dropped as soon as a proof does not fit it; how many are kept is
//!   limited, since any stranger can name users.
//!
//! Not here: the exchange itself (`proxy::verify`), and running the query (`watch::authquery`).

mod userlist;

use super::login::Credentials;
use crate::config::{Auth, Secret, User};
use crate::wire::scram::{self, ITERATIONS, Key, SALT};
use crate::wire::verifier::{Md5Hash, Verifier};
use arc_swap::ArcSwap;
use lru::LruCache;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// How long an answer of `auth_query` is kept at most; less where `auth.recheck` is less.
const KEPT: Duration = Duration::from_secs(5);
/// How many answers are kept.
const ANSWERS: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();
/// How long a client waits for `auth_query`.
const PATIENCE: Duration = Duration::from_secs(10);

/// A user's name, to be looked up by `auth_query`.
#[derive(Debug)]
pub struct Question {
    /// The name.
    pub user: Box<str>,
    /// Takes what the database keeps of the password; nothing, if there is no such user or no password; or why it
    /// could not be asked.
    pub answer: oneshot::Sender<Result<Option<String>, String>>,
}

/// What verifies a user.
#[derive(Debug, PartialEq)]
pub enum Check {
    /// The client's certificate has, already.
    Nothing,
    /// SCRAM-SHA-256.
    Scram(scram::Secret),
    /// md5.
    Md5(Md5Hash),
}

/// A user that Larder knows.
#[derive(Debug, PartialEq)]
pub struct Known {
    /// What is asked.
    pub check: Check,
    /// Whether a client certificate with the user's name is needed before that.
    pub certificate: bool,
    /// What logs in upstream; without it, the keys that the proof gives.
    pub upstream: Option<Arc<Credentials>>,
}

/// What is known of a name.
#[derive(Debug)]
pub enum Found {
    /// Larder is the judge.
    Known(Arc<Known>),
    /// Nobody that Larder knows.
    Unknown,
    /// `auth_query` could not be asked; for the log.
    Unreachable(String),
}

/// All users.
pub struct Users {
    sources: Sources,
    table: ArcSwap<Table>,
    /// What the files were when they were read.
    stamps: Mutex<Vec<Stamp>>,
    questions: Option<mpsc::UnboundedSender<Question>>,
    answers: Mutex<LruCache<Box<str>, Answer>>,
    kept: Duration,
    relay: bool,
    /// Makes the salts of users that do not exist.
    process: Key,
}

struct Answer {
    until: Instant,
    known: Option<Arc<Known>>,
}

/// Where users come from.
struct Sources {
    users: Vec<User>,
    auth_file: Option<PathBuf>,
    /// The user of the upstream's URL, and its password.
    own: Mutex<(Box<str>, Option<Secret>)>,
}

#[derive(Default)]
struct Table {
    known: HashMap<Box<str>, Arc<Known>>,
    /// Plain passwords with what was derived from them, so that reading a file again costs only what is new.
    derived: HashMap<Box<str>, (Box<str>, scram::Secret)>,
}

/// Changes whenever a file does; `None`: not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Users {
    /// Everybody that the configuration names; `own` is the upstream URL's user and its password. The receiver gives
    /// what `auth_query` is to be asked.
    ///
    /// # Errors
    /// What must stop the start, for people.
    pub fn new(
        auth: &Auth,
        users: &[User],
        own: (&str, Option<&Secret>),
    ) -> Result<(Users, Option<mpsc::UnboundedReceiver<Question>>), String> {
        let sources = Sources {
            users: users.to_vec(),
            auth_file: auth.auth_file.clone(),
            own: Mutex::new((own.0.into(), own.1.cloned())),
        };
        let (questions, receiver) = match &auth.auth_query {
            Some(_) => {
                let (sender, receiver) = mpsc::unbounded_channel();
                (Some(sender), Some(receiver))
            }
            None => (None, None),
        };
        let stamps = sources.stamps();
        let table = sources.read(&Table::default())?;
        let users = Users {
            sources,
            table: ArcSwap::from_pointee(table),
            stamps: Mutex::new(stamps),
            questions,
            answers: Mutex::new(LruCache::new(ANSWERS)),
            kept: KEPT.min(auth.recheck),
            relay: auth.relay,
            process: random().map_err(|e| format!("no random bytes: {e}"))?,
        };
        Ok((users, receiver))
    }

    /// Whether unknown users are the upstream's to judge.
    pub fn relay(&self) -> bool {
        self.relay
    }

    /// What an unknown user is asked: it fits no password.
    pub fn mock(&self, user: &str) -> scram::Secret {
        scram::Secret::mock(user, &self.process)
    }

    /// Looks a user up.
    pub async fn find(&self, user: &str) -> Found {
        if let Some(known) = self.table.load().known.get(user) {
            return Found::Known(known.clone());
        }
        let Some(questions) = &self.questions else {
            return Found::Unknown;
        };
        if let Some(answer) = lock(&self.answers).get(user)
            && answer.until > Instant::now()
        {
            return answer.known.clone().map_or(Found::Unknown, Found::Known);
        }
        // Counted from before the question: an answer is as old as what it tells.
        let until = Instant::now() + self.kept;
        let kept = match ask(questions, user).await {
            Ok(kept) => kept,
            Err(error) => return Found::Unreachable(error),
        };
        let known = match kept {
            Some(text) => match queried(text).await {
                Ok(known) => Some(Arc::new(known)),
                Err(error) => return Found::Unreachable(error),
            },
            None => None,
        };
        let answer = Answer {
            until,
            known: known.clone(),
        };
        lock(&self.answers).put(user.into(), answer);
        known.map_or(Found::Unknown, Found::Known)
    }

    /// A proof did not fit: what `auth_query` said is asked again next time, the password may have been changed.
    pub fn failed(&self, user: &str) {
        lock(&self.answers).pop(user);
    }

    /// Reads the files again if they have changed; tells whether they had. Not for a session's thread.
    ///
    /// # Errors
    /// What is wrong with them, for people, once for each change; what was known before holds on.
    pub fn reread(&self) -> Result<bool, String> {
        let found = self.sources.stamps();
        let mut stamps = lock(&self.stamps);
        if *stamps == found {
            return Ok(false);
        }
        *stamps = found;
        self.renew().map(|()| true)
    }

    /// Replaces the password of the upstream URL's user. Not for a session's thread.
    ///
    /// # Errors
    /// As [`Users::reread`].
    pub fn set_own_password(&self, password: Option<&str>) -> Result<(), String> {
        let _one_at_a_time = lock(&self.stamps);
        lock(&self.sources.own).1 = password.map(|p| Secret::new(p.to_owned()));
        self.renew()
    }

    fn renew(&self) -> Result<(), String> {
        let table = self.sources.read(&self.table.load())?;
        self.table.store(Arc::new(table));
        Ok(())
    }
}

impl Sources {
    fn files(&self) -> impl Iterator<Item = &Path> {
        let users = self.users.iter();
        let files = users.flat_map(|u| [&u.password_file, &u.upstream_password_file]);
        files.chain([&self.auth_file]).filter_map(Option::as_deref)
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.files()
            .map(|file| {
                let m = fs::metadata(file).ok()?;
                Some((
                    m.dev(),
                    m.ino(),
                    m.size(),
                    m.mtime_nsec() ^ m.mtime(),
                    m.ctime_nsec() ^ m.ctime(),
                ))
            })
            .collect()
    }

    /// The later source of a name is the one that says less about it: `[[users]]`, then the URL, then the file.
    fn read(&self, old: &Table) -> Result<Table, String> {
        let mut table = Table::default();
        if let Some(file) = &self.auth_file {
            let wrong = |error| format!("auth.auth_file {}: {error}", file.display());
            let text = fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
            for entry in userlist::read(&text).map_err(wrong)? {
                table.add(old, &entry.0, entry.1, false, None)?;
            }
        }
        let (name, password) = lock(&self.own).clone();
        if let Some(password) = password.filter(|p| !p.expose().is_empty()) {
            // What the URL holds logs in, whatever it looks like.
            table.add(
                old,
                &name,
                Verifier::Plain(password.expose().into()),
                false,
                None,
            )?;
        }
        for user in &self.users {
            let wrong = |error| format!("users: `{}`: {error}", user.name);
            let kept =
                kept(user.password.as_ref(), user.password_file.as_deref()).map_err(wrong)?;
            let upstream = kept_upstream(user).map_err(wrong)?;
            match kept {
                Some(text) => {
                    let verifier = Verifier::parse(&text).map_err(|e| wrong(e.to_owned()))?;
                    table.add(old, &user.name, verifier, user.certificate, upstream)?;
                }
                None if user.certificate && upstream.is_some() => table.insert(
                    &user.name,
                    Known {
                        check: Check::Nothing,
                        certificate: true,
                        upstream,
                    },
                ),
                None => return Err(wrong("could log in with nothing".to_owned())),
            }
        }
        Ok(table)
    }
}

impl Table {
    fn insert(&mut self, user: &str, known: Known) {
        self.known.insert(user.into(), Arc::new(known));
    }

    fn add(
        &mut self,
        old: &Table,
        user: &str,
        verifier: Verifier,
        certificate: bool,
        upstream: Option<Arc<Credentials>>,
    ) -> Result<(), String> {
        let known = match verifier {
            Verifier::Plain(password) => {
                let secret = match old.derived.get(user) {
                    Some((same, secret)) if *same == password => secret.clone(),
                    _ => derived(&password)?,
                };
                let own = || Arc::new(Credentials::password(&password));
                let upstream = upstream.unwrap_or_else(own);
                self.derived.insert(user.into(), (password, secret.clone()));
                Known {
                    check: Check::Scram(secret),
                    certificate,
                    upstream: Some(upstream),
                }
            }
            kept => Known {
                certificate,
                ..hashed(kept, upstream)?
            },
        };
        self.insert(user, known);
        Ok(())
    }
}

/// A user of whom a hash is kept.
fn hashed(verifier: Verifier, upstream: Option<Arc<Credentials>>) -> Result<Known, String> {
    let (check, upstream) = match verifier {
        Verifier::Scram(secret) => (Check::Scram(secret), upstream),
        Verifier::Md5(hash) => {
            let own = || Arc::new(Credentials::Md5(hash.clone()));
            let upstream = upstream.unwrap_or_else(own);
            (Check::Md5(hash), Some(upstream))
        }
        Verifier::Plain(password) => {
            let upstream = upstream.unwrap_or_else(|| Arc::new(Credentials::password(&password)));
            (Check::Scram(derived(&password)?), Some(upstream))
        }
    };
    Ok(Known {
        check,
        certificate: false,
        upstream,
    })
}

/// Asks, and waits for what the database keeps of the password.
async fn ask(
    questions: &mpsc::UnboundedSender<Question>,
    user: &str,
) -> Result<Option<String>, String> {
    let (answer, answered) = oneshot::channel();
    let question = Question {
        user: user.into(),
        answer,
    };
    let gone = || "nobody runs it".to_owned();
    questions.send(question).map_err(|_| gone())?;
    match tokio::time::timeout(PATIENCE, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(gone()),
        Err(_) => Err(format!("no answer within {PATIENCE:?}")),
    }
}

/// What `auth_query` found. A plain password is work, which is not for a session's thread.
async fn queried(text: String) -> Result<Known, String> {
    let verifier = Verifier::parse(&text).map_err(|e| format!("of no use: {e}"))?;
    match verifier {
        Verifier::Plain(_) => tokio::task::spawn_blocking(|| hashed(verifier, None))
            .await
            .map_err(|e| e.to_string())?,
        kept => hashed(kept, None),
    }
}

fn derived(password: &str) -> Result<scram::Secret, String> {
    let salt: [u8; SALT] = random().map_err(|e| format!("no random bytes: {e}"))?;
    Ok(scram::Secret::derive(
        password.as_bytes(),
        &salt,
        ITERATIONS,
    ))
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

/// A password by value or from its file, whose last line end is not part of it.
fn kept(value: Option<&Secret>, file: Option<&Path>) -> Result<Option<String>, String> {
    let Some(file) = file else {
        return Ok(value.map(|secret| secret.expose().to_owned()));
    };
    let text = fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.contains('\n') {
        return Err(format!(
            "{} has several lines: it must hold the password alone",
            file.display()
        ));
    }
    Ok(Some(text.to_owned()))
}

fn kept_upstream(user: &User) -> Result<Option<Arc<Credentials>>, String> {
    let file = user.upstream_password_file.as_deref();
    let Some(text) = kept(user.upstream_password.as_ref(), file)? else {
        return Ok(None);
    };
    let credentials = match Verifier::parse(&text) {
        Ok(Verifier::Plain(password)) => Credentials::password(&password),
        Ok(Verifier::Md5(hash)) => Credentials::Md5(hash),
        Ok(Verifier::Scram(_)) => {
            return Err(
                "the upstream password is a SCRAM secret, which logs in nowhere: give the password"
                    .into(),
            );
        }
        Err(error) => return Err(format!("the upstream password: {error}")),
    };
    Ok(Some(Arc::new(credentials)))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
