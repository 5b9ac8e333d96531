//! The password of Larder's own logins, as it is at the moment of each.
//!
//! * A file is read again and a command run again, so that a password that rotates needs no restart.
//! * A command has a time limit and is ended at it; what it prints is never logged, neither is its error output.
//! * What a command printed is used for a while, but not once the server has refused it.

use crate::config::{Password, Secret};
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(10);
/// A command that is to be run for each login is run as often without one.
const IDLE: Duration = Duration::from_secs(60);
/// No password is longer (a token of a cloud has some 2,000 bytes).
const LONGEST: u64 = 64 << 10;

/// The source of a password, and what it last said.
#[derive(Debug)]
pub struct Passwords {
    source: Password,
    last: Mutex<Option<(Secret, Instant)>>,
}

impl Passwords {
    /// Passwords from that source.
    pub fn new(source: Password) -> Passwords {
        Passwords {
            source,
            last: Mutex::new(None),
        }
    }

    /// The password for a login that begins now; `None`: there is none.
    ///
    /// # Errors
    /// The file cannot be read, the command has failed, or either has said nothing. The text shows no password.
    pub async fn get(&self) -> io::Result<Option<Secret>> {
        match &self.source {
            Password::None => Ok(None),
            Password::Value(secret) => Ok(Some(secret.clone())),
            Password::File(path) => {
                let text = tokio::fs::read_to_string(path).await;
                let text = text.map_err(|error| {
                    let path = path.display();
                    io::Error::new(
                        error.kind(),
                        format!("upstream.password_file {path}: {error}"),
                    )
                })?;
                first_line(&text, "upstream.password_file").map(Some)
            }
            Password::Command { line, ttl } => {
                // One run at a time: logins that come together share it.
                let mut last = self.last.lock().await;
                if let Some((secret, at)) = &*last
                    && at.elapsed() < *ttl
                {
                    return Ok(Some(secret.clone()));
                }
                let secret = run(line).await?;
                *last = Some((secret.clone(), Instant::now()));
                Ok(Some(secret))
            }
        }
    }

    /// Whether it may be another than it was.
    pub fn may_change(&self) -> bool {
        matches!(self.source, Password::File(_) | Password::Command { .. })
    }

    /// After how long to look for a new one, a file every so often; `None`: there will be none.
    pub(super) fn look_after(&self, file: Duration) -> Option<Duration> {
        match &self.source {
            Password::None | Password::Value(_) => None,
            Password::File(_) => Some(file),
            Password::Command { ttl, .. } if ttl.is_zero() => Some(IDLE),
            Password::Command { ttl, .. } => Some((*ttl).max(file)),
        }
    }

    /// The server has refused a password: the next login asks for a new one.
    pub async fn refused(&self) {
        *self.last.lock().await = None;
    }
}

fn first_line(text: &str, key: &str) -> io::Result<Secret> {
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(Secret::new(line.to_owned())),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{key}: there is no password in its first line"),
        )),
    }
}

async fn run(line: &str) -> io::Result<Secret> {
    const KEY: &str = "upstream.password_command";
    let failed = |text: String| io::Error::other(format!("{KEY}: {text}"));
    let mut child = Command::new("/bin/sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("cannot run /bin/sh: {error}")))?;
    let output = child.stdout.take();
    let said = async {
        let mut text = String::new();
        if let Some(output) = output {
            let mut output = BufReader::new(output);
            (&mut output).take(LONGEST).read_line(&mut text).await?;
            // What else it says is heard, or it would end of a broken pipe.
            tokio::io::copy(&mut output, &mut tokio::io::sink()).await?;
        }
        Ok::<_, io::Error>((text, child.wait().await?))
    };
    let (text, status) = match timeout(LIMIT, said).await {
        Ok(said) => said.map_err(|error| failed(error.to_string()))?,
        Err(_) => return Err(failed(format!("it took longer than {LIMIT:?}"))),
    };
    if !status.success() {
        return Err(failed(format!(
            "it failed ({status}); run it by hand to see why"
        )));
    }
    first_line(&text, KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str, ttl: Duration) -> Passwords {
        Passwords::new(Password::Command {
            line: line.into(),
            ttl,
        })
    }

    async fn got(passwords: &Passwords) -> String {
        let secret = passwords.get().await.expect("a password");
        secret.expect("one").expose().to_owned()
    }

    #[tokio::test]
    async fn a_file_is_read_again() {
        let path = std::env::temp_dir().join(format!("larder-password-{}", std::process::id()));
        let passwords = Passwords::new(Password::File(path.clone()));
        let error = passwords.get().await.expect_err("no file").to_string();
        assert!(error.contains("upstream.password_file"), "{error}");
        std::fs::write(&path, "one two\r\nrest\n").expect("a file");
        assert_eq!(got(&passwords).await, "one two");
        std::fs::write(&path, "new").expect("a file");
        assert_eq!(got(&passwords).await, "new");
        std::fs::write(&path, "\n").expect("a file");
        assert!(passwords.get().await.is_err());
        let _ = std::fs::remove_file(&path);
    }

    #[tokio::test]
    async fn a_command_is_run_again_when_its_time_is_over_or_its_word_was_refused() {
        let count = "echo $$; head -c 100000 /dev/zero";
        let passwords = command(count, Duration::from_secs(600));
        let first = got(&passwords).await;
        assert_eq!(got(&passwords).await, first);
        passwords.refused().await;
        assert_ne!(got(&passwords).await, first);
        let passwords = command(count, Duration::ZERO);
        assert_ne!(got(&passwords).await, got(&passwords).await);
    }

    #[tokio::test]
    async fn a_command_that_fails_is_told_without_its_words() {
        for line in ["echo s3cret; echo s3cret >&2; exit 3", "true", "echo"] {
            let passwords = command(line, Duration::ZERO);
            let error = passwords.get().await.expect_err(line).to_string();
            assert!(error.contains("upstream.password_command"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
