//! A throw-away PostgreSQL server.
//!
//! * The server is the child of a small shell script that waits for its standard input to end: however the test
//!   program ends (return, panic, abort, SIGKILL), the server stops and its directory goes.
//! * `initdb` runs once per build directory and version; each server starts from a copy of its result.
//! * As root the server runs as `postgres`, else as `nobody`: PostgreSQL refuses to run as root.
//!
//! Not here: anything between a client and this server. Used by `#[path = "support/postgres.rs"] mod postgres;`
//! (a `support.rs` would be a test program of its own).
#![allow(dead_code)]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// The guard: commands come in, `done` goes out; at the end of its input everything is cleared away.
const GUARD: &str = r#"
trap '' INT TERM HUP PIPE
directory=$1; shift
pid=
while read -r word; do
  case $word in
    start) "$@" >>"$directory/log" 2>&1 & pid=$! ;;
    *) kill -s "$word" "$pid" 2>/dev/null; wait "$pid"; pid= ;;
  esac
  echo done
done
if [ -n "$pid" ]; then kill -s QUIT "$pid" 2>/dev/null; wait "$pid"; fi
rm -rf "$directory"
"#;

/// How a server is asked to stop (PostgreSQL manual, 18.5).
#[derive(Clone, Copy, Debug)]
pub enum Stop {
    Fast,
    Immediate,
    /// The postmaster alone, by SIGKILL: its children notice by themselves.
    Kill,
}

/// What a server starts with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    settings: Vec<String>,
    hba: Vec<String>,
    binaries: Option<PathBuf>,
    data: Option<PathBuf>,
}

impl Options {
    pub fn new() -> Options {
        Options::default()
    }

    /// `-c name=value`, later ones win.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Options {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// A line of pg_hba.conf before the one that trusts everybody on loopback.
    #[must_use]
    pub fn hba(mut self, line: &str) -> Options {
        self.hba.push(line.to_owned());
        self
    }

    /// Of another version than the other tests' server.
    #[must_use]
    pub fn binaries(mut self, directory: PathBuf) -> Options {
        self.binaries = Some(directory);
        self
    }

    /// From a copy of this data directory of a server that does not run.
    #[must_use]
    pub fn data(mut self, directory: PathBuf) -> Options {
        self.data = Some(directory);
        self
    }

    /// Starts a server; panics with its log if it does not come up.
    #[must_use]
    pub fn start(self) -> Postgres {
        Postgres::start_with(&self)
    }
}

/// A running server. Dropped, it is gone.
#[derive(Debug)]
pub struct Postgres {
    directory: PathBuf,
    port: u16,
    guard: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Postgres {
    /// A server with everything as by default.
    #[must_use]
    pub fn start() -> Postgres {
        Options::new().start()
    }

    fn start_with(options: &Options) -> Postgres {
        let binaries = options.binaries.clone().unwrap_or_else(binaries);
        let owner = Owner::choose();
        let template = options.data.clone();
        let template = template.unwrap_or_else(|| self::template(&binaries, owner));
        for attempt in 1.. {
            let directory = fresh_directory(owner);
            copy_tree(&template, &directory.join("data"), owner).expect("copy of the template");
            let hba: String = options.hba.iter().map(|line| format!("{line}\n")).collect();
            let hba = hba
                + "local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\n";
            fs::write(directory.join("data/pg_hba.conf"), hba).expect("pg_hba.conf");
            let port = free_port();
            let mut server = Postgres::guarded(&binaries, owner, directory, port, options);
            server.say("start");
            match server.wait_until_ready(0) {
                Ok(()) => return server,
                Err(log) if attempt < 5 && log.contains("Address already in use") => {}
                Err(log) => panic!("PostgreSQL did not start:\n{log}"),
            }
        }
        unreachable!("the loop returns or panics")
    }

    fn guarded(
        binaries: &Path,
        owner: Owner,
        directory: PathBuf,
        port: u16,
        options: &Options,
    ) -> Postgres {
        let mut command = owner.command("sh");
        command.args(["-c", GUARD, "guard"]).arg(&directory);
        if options.binaries.is_some() {
            command.env("LD_LIBRARY_PATH", binaries.join("../lib"));
        }
        command
            .arg(binaries.join("postgres"))
            .arg("-D")
            .arg(directory.join("data"));
        let own = [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={}", directory.display()),
            "fsync=off".to_owned(),
            "max_connections=200".to_owned(),
            "shared_buffers=32MB".to_owned(),
        ];
        for setting in own.iter().chain(&options.settings) {
            command.arg("-c").arg(setting);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut guard = command.current_dir("/").spawn().expect("sh");
        let words = guard.stdin.take();
        let answers = BufReader::new(guard.stdout.take().expect("piped"));
        Postgres {
            directory,
            port,
            guard,
            words,
            answers,
        }
    }

    /// The TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the Unix socket.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// `PGDATA`.
    pub fn data_directory(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read(self.directory.join("log"))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// A connection string over TCP without password.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// A client connection, served in the background of the current runtime.
    pub async fn connect(&self, user: &str, database: &str) -> Client {
        let url = self.url(user, database);
        let (client, connection) = tokio_postgres::connect(&url, NoTls)
            .await
            .expect("connection");
        tokio::spawn(async move {
            let _ended = connection.await;
        });
        client
    }

    /// Runs statements as the superuser over a connection of their own; the rows of all of them, as text.
    pub async fn sql(&self, database: &str, text: &str) -> Vec<Vec<Option<String>>> {
        let client = self.connect("postgres", database).await;
        let messages = match client.simple_query(text).await {
            Ok(messages) => messages,
            Err(error) => panic!("{error:?} in {text}"),
        };
        let row = |message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|i| row.get(i).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        };
        messages.into_iter().filter_map(row).collect()
    }

    /// Stops the server; its data stays until it is dropped.
    pub fn stop(&mut self, how: Stop) {
        self.say(match how {
            Stop::Fast => "INT",
            Stop::Immediate => "QUIT",
            Stop::Kill => "KILL",
        });
    }

    /// Copies the data of a stopped server, or puts such a copy in its place.
    pub fn copy_data(&self, from: &Path, to: &Path) {
        let _absent = fs::remove_dir_all(to);
        copy_tree(from, to, Owner::choose()).expect("copy of the data");
    }

    /// A directory for a copy of its data; it goes with the server.
    pub fn backup_directory(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The postmaster's process id.
    pub fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data_directory().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    /// Makes a stopped server a standby that waits for a primary which never comes: it starts in recovery and stays there
    /// until it is promoted.
    pub fn make_standby(&self) {
        let signal = self.data_directory().join("standby.signal");
        fs::write(&signal, "").expect("standby.signal");
        fs::set_permissions(&signal, fs::Permissions::from_mode(0o666)).expect("mode");
    }

    /// Starts a stopped server again, on the same port.
    pub fn start_again(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            // What a killed one has left says that it is ready.
            let stale = self.postmaster();
            let before = self.log().len();
            self.say("start");
            match self.wait_until_ready_but(before, stale) {
                Ok(()) => return,
                // Its children have not noticed yet that it is gone.
                Err(log)
                    if log.contains("pre-existing shared memory") && Instant::now() < deadline => {}
                Err(log) => panic!("PostgreSQL did not start again:\n{log}"),
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn say(&mut self, word: &str) {
        let words = self.words.as_mut().expect("the guard runs");
        writeln!(words, "{word}").expect("the guard listens");
        let mut answer = String::new();
        self.answers
            .read_line(&mut answer)
            .expect("the guard answers");
        assert_eq!(answer, "done\n");
    }

    /// `before`: how much the log had said before the start.
    fn wait_until_ready(&self, before: usize) -> Result<(), String> {
        self.wait_until_ready_but(before, None)
    }

    /// `stale`: the postmaster that is not meant.
    fn wait_until_ready_but(&self, before: usize, stale: Option<u32>) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let status = fs::read_to_string(self.directory.join("data/postmaster.pid"));
            let fresh = stale.is_none() || self.postmaster() != stale;
            if status.is_ok_and(|text| {
                fresh
                    && text
                        .lines()
                        .any(|line| matches!(line.trim(), "ready" | "standby"))
            }) {
                return Ok(());
            }
            let log = self.log();
            // That it is not ready yet, or not any more, it tells clients, not us.
            let told = ["FATAL:  the database system is", "FATAL:  terminating"];
            let mut lines = log.get(before..).unwrap_or_default().lines();
            let failed = lines
                .any(|line| line.contains("FATAL") && !told.iter().any(|told| line.contains(told)));
            if failed || Instant::now() > deadline {
                return Err(log.get(before..).unwrap_or_default().to_owned());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.words.take());
        let _status = self.guard.wait();
    }
}

/// Where PostgreSQL's programs are: `LARDER_TEST_PG_BINDIR`, PATH, pg_config, Debian's directories.
pub fn binaries() -> PathBuf {
    if let Some(given) = std::env::var_os("LARDER_TEST_PG_BINDIR") {
        return given.into();
    }
    let has_all = |dir: &PathBuf| dir.join("postgres").is_file() && dir.join("initdb").is_file();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        places.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    for entry in fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
    {
        let version = entry.file_name().to_string_lossy().parse().unwrap_or(0);
        versions.push((version, entry.path().join("bin")));
    }
    versions.sort();
    places.extend(versions.into_iter().rev().map(|(_, place)| place));
    places
        .into_iter()
        .find(has_all)
        .expect("PostgreSQL's postgres and initdb are not installed")
}

/// The user that the server runs as, where it is not ourselves.
#[derive(Clone, Copy, Debug)]
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn choose() -> Owner {
        if fs::metadata("/proc/self").map_or(0, |m| m.uid()) != 0 {
            return Owner(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let find = |name: &str| {
            let line = users
                .lines()
                .find(|line| line.split(':').next() == Some(name))?;
            let mut ids = line.split(':').skip(2).map(str::parse::<u32>);
            Some((ids.next()?.ok()?, ids.next()?.ok()?))
        };
        Owner(Some(
            find("postgres")
                .or_else(|| find("nobody"))
                .unwrap_or((65534, 65534)),
        ))
    }

    fn command(self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }

    fn take(self, path: &Path) -> io::Result<()> {
        match self.0 {
            Some((user, group)) => chown(path, Some(user), Some(group)),
            None => Ok(()),
        }
    }
}

/// The result of `initdb`, made once for this build directory and this version.
fn template(binaries: &Path, owner: Owner) -> PathBuf {
    let version = Command::new(binaries.join("postgres"))
        .arg("--version")
        .env("LD_LIBRARY_PATH", binaries.join("../lib"))
        .output();
    let version = version.expect("postgres --version").stdout;
    let version =
        String::from_utf8_lossy(&version).replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(&cache).expect("target/tmp");
    let lock = fs::File::create(cache.join("template.lock")).expect("lock file");
    lock.lock().expect("lock");
    let template = cache.join(version.trim_end_matches('_'));
    if !template.exists() {
        let made = fresh_directory(owner);
        let mut initdb = owner.command(binaries.join("initdb"));
        initdb.args([
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ]);
        if !binaries.starts_with("/usr") {
            initdb.env("LD_LIBRARY_PATH", binaries.join("../lib"));
        }
        let output = initdb
            .arg(made.join("data"))
            .current_dir("/")
            .output()
            .expect("initdb");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let partial = cache.join("template.partial");
        let _absent = fs::remove_dir_all(&partial);
        copy_tree(&made.join("data"), &partial, Owner(None)).expect("copy into target/tmp");
        fs::rename(&partial, &template).expect("rename");
        fs::remove_dir_all(&made).expect("removal");
    }
    template
}

/// A new directory that only the server's user may enter.
fn fresh_directory(owner: Owner) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let base = std::env::temp_dir();
    // A Unix socket's path has at most 107 bytes.
    let base = if base.as_os_str().len() > 60 {
        PathBuf::from("/tmp")
    } else {
        base
    };
    loop {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = base.join(format!("larder-pg-{}-{number}", std::process::id()));
        match fs::create_dir(&directory) {
            Ok(()) => {
                fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).expect("mode");
                owner.take(&directory).expect("owner");
                return directory;
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => panic!("{}: {error}", directory.display()),
        }
    }
}

fn copy_tree(from: &Path, to: &Path, owner: Owner) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o700))?;
    owner.take(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target, owner)?;
        } else {
            fs::copy(entry.path(), &target)?;
            owner.take(&target)?;
        }
    }
    Ok(())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
