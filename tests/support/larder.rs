//! A running Larder: the binary of this build in front of a PostgreSQL, on ports of its own.
//!
//! It is killed when dropped, and by a reaper if the test process dies first, so nothing is left behind.
//! Deliberately not here: Larder's own code; the tests see what a user sees.
#![allow(dead_code)]

use crate::wireclient::{Answered, Login};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// A port nobody listens on, below the range from which the kernel takes ports for outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new(18_000 + (std::process::id() % 600) as u16 * 20));
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 18_000 + (port - 18_000) % 14_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Runs shell lines when this process ends, however it ends: the other end of its standard input is ours.
pub fn at_exit(line: &str) {
    static REAPER: LazyLock<Mutex<(Child, ChildStdin)>> = LazyLock::new(|| {
        let script = "all=; while IFS= read -r line; do all=\"$all$line\n\"; done; eval \"$all\"";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("/bin/sh");
        let stdin = child.stdin.take().expect("a pipe");
        Mutex::new((child, stdin))
    });
    writeln!(REAPER.lock().unwrap().1, "{line}").expect("the reaper reads");
}

/// What to start.
#[derive(Clone)]
pub struct Setup {
    upstream: String,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Setup {
    /// Larder in front of `upstream` (a URL), with a TTL no test outlives.
    pub fn new(upstream: &str) -> Self {
        let environment = vec![("LARDER_CACHE__TTL".into(), "30m".into())];
        Self {
            upstream: upstream.into(),
            environment,
            arguments: Vec::new(),
        }
    }

    /// A configuration key by its environment variable, `LARDER_` not included: `("CACHE__MODE", "off")`.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.environment
            .push((format!("LARDER_{key}"), value.into()));
        self
    }

    /// A variable that is no configuration key.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Listens on a Unix socket in this directory too.
    pub fn socket(self, directory: &Path) -> Self {
        self.argument("--listen")
            .argument(&directory.display().to_string())
    }

    /// The command, not started.
    pub fn command(&self, port: u16, admin: u16) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("LARDER_")) {
            command.env_remove(name);
        }
        command.arg("serve").args(["--upstream", &self.upstream]);
        command.args([
            "--listen",
            &format!("127.0.0.1:{port}"),
            "--admin",
            &format!("127.0.0.1:{admin}"),
        ]);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(k, v)| (k, v)));
        command
            .current_dir("/")
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Larder {
        let (port, admin) = (free_port(), free_port());
        let log = std::env::temp_dir().join(format!("larder-{}-{port}.log", std::process::id()));
        let child = launch(&self, port, admin, &log);
        let larder = Larder {
            port,
            admin,
            setup: self,
            log,
            child,
        };
        at_exit(&format!("rm -f '{}'", larder.log.display()));
        larder.wait_ready();
        larder
    }
}

fn launch(setup: &Setup, port: u16, admin: u16, log: &Path) -> Child {
    let out = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .expect("a log file");
    let mut command = setup.command(port, admin);
    command.stdout(out.try_clone().expect("a file")).stderr(out);
    let child = command.spawn().expect("the larder binary");
    at_exit(&format!("kill -9 {} 2>/dev/null", child.id()));
    child
}

/// A running Larder.
pub struct Larder {
    /// Where clients connect.
    pub port: u16,
    /// Where HTTP is answered.
    pub admin: u16,
    setup: Setup,
    log: PathBuf,
    child: Child,
}

impl Larder {
    fn wait_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.http("/ready").is_none_or(|(status, _)| status != 200) {
            assert!(
                Instant::now() < deadline,
                "larder is not ready; its log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by name (`TERM`, `INT`, `KILL`).
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(status.expect("kill").success());
    }

    /// Waits for the end; `None` if it still runs after `timeout`.
    pub fn wait(&mut self, timeout: Duration) -> Option<std::process::ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same ports.
    pub fn restart(&mut self) {
        self.kill();
        self.child = launch(&self.setup, self.port, self.admin, &self.log);
        self.wait_ready();
    }

    /// The command of one that takes over the ports, not started.
    pub fn command_of_successor(&self) -> Command {
        let setup = self.setup.clone().argument("--upgrade");
        setup.command(self.port, self.admin)
    }

    /// Starts one that takes over the ports, and waits until it has them.
    pub fn successor(&self) -> Larder {
        let log = self.log.with_extension("next.log");
        let setup = self.setup.clone().argument("--upgrade");
        let child = launch(&setup, self.port, self.admin, &log);
        let next = Larder {
            port: self.port,
            admin: self.admin,
            setup: self.setup.clone(),
            log,
            child,
        };
        at_exit(&format!("rm -f '{}'", next.log.display()));
        let deadline = Instant::now() + Duration::from_secs(30);
        while !next.log().contains("the listening sockets are ours") {
            assert!(
                Instant::now() < deadline,
                "no successor; its log:\n{}",
                next.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        next.wait_ready();
        next
    }

    /// The same login through this Larder.
    pub fn login(&self, user: &str, database: &str) -> Login {
        Login::new(self.port, user, database)
    }

    /// GET on the admin listener: status and body.
    pub fn http(&self, path: &str) -> Option<(u16, String)> {
        http(self.admin, &format!("GET {path}"), "", "")
    }

    /// The whole exposition.
    pub fn metrics(&self) -> String {
        let (status, body) = self.http("/metrics").expect("the admin listener answers");
        assert_eq!(status, 200, "{body}");
        body
    }

    /// The sum of a metric's series that carry all these labels; 0 when there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let wanted: Vec<_> = labels.iter().map(|(k, v)| format!("{k}=\"{v}\"")).collect();
        let exposition = self.metrics();
        let of_name = exposition.lines().filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        });
        let of_labels =
            of_name.filter(|line| wanted.iter().all(|label| line.contains(label.as_str())));
        of_labels
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// Queries counted with an outcome.
    pub fn outcome(&self, outcome: &str) -> f64 {
        self.metric("larder_queries_total", &[("outcome", outcome)])
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("a running process");
        let line = status
            .lines()
            .find(|l| l.starts_with("VmRSS:"))
            .expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
            * 1024
    }

    /// Waits until `sql` hits for this login: the catalog is loaded and nothing shuts the cache.
    pub fn wait_hit(&self, login: &Login, sql: &str) {
        let mut client = login.clone().port(self.port).connect();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = client.query(sql);
            let last = client.larder_last();
            if last == "hit" {
                return;
            }
            let failed = answer.error();
            assert!(
                Instant::now() < deadline,
                "{sql}: never a hit, last: {last}, error: {failed:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Larder {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!(
                "larder's log ends:\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

/// Asks over HTTP: method and path, more headers, a body. Gives status and body.
pub fn http(port: u16, request: &str, headers: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).ok()?;
    let head = format!("{request} HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n{headers}");
    let length = body.len();
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = match chunked {
        true => dechunked(body),
        false => body.to_owned(),
    };
    Some((status, body))
}

fn dechunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else {
            break;
        };
        if size == 0 || rest.len() < size {
            break;
        }
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}
