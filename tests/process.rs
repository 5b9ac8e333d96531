//! The process as its operators see it: start, probes, signals, exit codes. No database is needed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Far beyond what anything here takes: only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(60);

const PASSWORD: &str = "s3cret";

fn larder() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    for (name, _) in std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("LARDER_"))
    {
        command.env_remove(name);
    }
    command
        .env_remove("RUST_LOG")
        .env_remove("NOTIFY_SOCKET")
        .current_dir(std::env::temp_dir())
        .stdin(Stdio::null());
    command
}

fn url(port: u16) -> String {
    format!("postgres://app:{PASSWORD}@127.0.0.1:{port}/app")
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path =
            std::env::temp_dir().join(format!("larder-process-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Directory(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join(".s.PGSQL.6432")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A server that takes connections, never says a word, and hangs up when the other side does.
fn silent_upstream() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
        }
    });
    port
}

/// A Larder that runs, on ports the kernel chose.
struct Running {
    child: Child,
    clients: String,
    admin: String,
    log: Arc<Mutex<String>>,
}

impl Running {
    fn start(directory: &Directory, arguments: &[&str]) -> Running {
        Running::start_with(directory, arguments, 1)
    }

    fn start_with(directory: &Directory, arguments: &[&str], upstream: u16) -> Running {
        Running::of(larder(), directory, arguments, upstream)
    }

    /// One that has a service manager, which listens at that path.
    fn start_told(directory: &Directory, arguments: &[&str], manager: &Path) -> Running {
        let mut command = larder();
        command.env("NOTIFY_SOCKET", manager);
        Running::of(command, directory, arguments, 1)
    }

    fn of(
        mut command: Command,
        directory: &Directory,
        arguments: &[&str],
        upstream: u16,
    ) -> Running {
        let mut child = command
            .args([
                "--listen",
                "127.0.0.1:0",
                "--listen",
                directory.0.to_str().unwrap(),
            ])
            .args([
                "--admin",
                "127.0.0.1:0",
                "--workers",
                "2",
                "--log-format",
                "json",
            ])
            .args(arguments)
            .env("LARDER_UPSTREAM__URL", url(upstream))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (log, mut clients, mut admin) = (Arc::new(Mutex::new(String::new())), None, None);
        while clients.is_none() || admin.is_none() {
            let line = lines.next().expect("ended before it listened").unwrap();
            let address = line
                .split("\"address\":\"")
                .nth(1)
                .and_then(|rest| rest.split('"').next());
            match address {
                Some(a) if line.contains("listening for operators") => admin = Some(a.to_owned()),
                Some(a) if a.starts_with("127") => clients = Some(a.to_owned()),
                _ => {}
            }
            log.lock().unwrap().push_str(&(line + "\n"));
        }
        let kept = log.clone();
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|l| kept.lock().unwrap().push_str(&(l + "\n")))
        });
        let running = Running {
            child,
            clients: clients.unwrap(),
            admin: admin.unwrap(),
            log,
        };
        running.until(|| {
            running
                .get("/ready")
                .is_some_and(|a| a.starts_with("HTTP/1.1 200 "))
        });
        running
    }

    fn until(&self, mut true_at_last: impl FnMut() -> bool) {
        let start = Instant::now();
        while !true_at_last() {
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain; log:\n{}",
                self.log.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn request(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect(&self.admin).ok()?;
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    fn get(&self, path: &str) -> Option<String> {
        self.request(&format!("GET {path}"))
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(
            Command::new("sh")
                .args(["-c", &kill])
                .status()
                .unwrap()
                .success()
        );
    }

    fn ended(mut self) -> (ExitStatus, String) {
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "does not end; log:\n{}",
                self.log.lock().unwrap()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let log = self.log.lock().unwrap().clone();
        assert!(
            !log.contains(PASSWORD),
            "the log shows the password:\n{log}"
        );
        (status, log)
    }

    /// A client that the process has taken in.
    fn client(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.clients).unwrap();
        self.until(|| {
            self.get("/metrics")
                .unwrap()
                .contains("\nlarder_client_connections 1\n")
        });
        stream
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs to the end: exit code and what was said.
fn said(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains(PASSWORD), "shows the password: {text}");
    (output.status.code(), text)
}

#[test]
fn serves_probes_and_ends_with_0_on_sigterm() {
    let directory = Directory::new("serves");
    let running = Running::start(&directory, &[]);
    TcpStream::connect(&running.clients).unwrap();
    UnixStream::connect(directory.socket()).unwrap();
    for (request, status) in [
        ("GET /live", 200),
        ("GET /startup", 200),
        ("GET /ready", 200),
        ("GET /ready?verbose", 200),
        ("GET /metrics", 200),
        ("GET /elsewhere", 404),
        ("POST /metrics", 405),
        ("DELETE /elsewhere", 405),
    ] {
        let answer = running.request(request).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{request}: {answer}"
        );
    }
    let head = running.request("HEAD /metrics").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    assert_eq!(
        said(larder().args(["health", "--admin", &running.admin])).0,
        Some(0)
    );
    running.signal("TERM");
    let admin = running.admin.clone();
    let (status, log) = running.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(!directory.socket().exists(), "the socket file stays behind");
    assert_eq!(
        said(larder().args(["health", "--admin", &admin])).0,
        Some(1)
    );
}

#[test]
fn promtool_is_content() {
    let running = Running::start(&Directory::new("promtool"), &[]);
    let answer = running.get("/metrics").unwrap();
    let (head, metrics) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        eprintln!("promtool is not installed (Debian: prometheus); the check is left out");
        return;
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(metrics.as_bytes())
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_drain_ends_at_its_deadline() {
    let running = Running::start_with(
        &Directory::new("deadline"),
        &["--drain", "100ms"],
        silent_upstream(),
    );
    let _client = running.client();
    running.signal("TERM");
    let (status, log) = running.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.contains("SIGTERM: draining"), "{log}");
}

#[test]
fn sigint_ends_at_once_even_in_a_drain() {
    let running = Running::start_with(
        &Directory::new("sigint"),
        &["--drain", "1h"],
        silent_upstream(),
    );
    let _client = running.client();
    running.signal("INT");
    let (status, log) = running.ended();
    assert_eq!(status.code(), Some(0), "{log}");

    let directory = Directory::new("sigint-drain");
    let running = Running::start_with(&directory, &["--drain", "1h"], silent_upstream());
    let _client = running.client();
    running.signal("TERM");
    running.until(|| !directory.socket().exists());
    running.signal("INT");
    let (status, log) = running.ended();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[test]
fn sighup_does_not_end_it() {
    let running = Running::start(&Directory::new("sighup"), &[]);
    running.signal("HUP");
    running.until(|| running.log.lock().unwrap().contains("SIGHUP"));
    assert!(running.get("/ready").unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn out_of_descriptors_it_waits_for_some() {
    let directory = Directory::new("descriptors");
    let running = Running::start_with(&directory, &[], silent_upstream());
    let own = std::fs::read_dir(format!("/proc/{}/fd", running.child.id()))
        .unwrap()
        .count();
    let prlimit = [
        "--pid",
        &running.child.id().to_string(),
        &format!("--nofile={}", own + 8),
    ];
    if !Command::new("prlimit")
        .args(prlimit)
        .status()
        .is_ok_and(|s| s.success())
    {
        eprintln!("prlimit is not installed (Debian: util-linux); the test is left out");
        return;
    }
    let clients: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(&running.clients).unwrap())
        .collect();
    running.until(|| {
        running
            .log
            .lock()
            .unwrap()
            .contains("cannot accept a connection")
    });
    drop(clients);
    running.until(|| {
        running
            .get("/ready")
            .is_some_and(|a| a.starts_with("HTTP/1.1 200 "))
    });
    let _client = running.client();
}

#[test]
fn a_killed_process_leaves_nothing_that_hinders_the_next() {
    let directory = Directory::new("killed");
    let running = Running::start(&directory, &[]);
    running.signal("KILL");
    running.ended();
    assert!(directory.socket().exists());
    let running = Running::start(&directory, &[]);
    UnixStream::connect(directory.socket()).unwrap();
    drop(running);
}

#[test]
fn a_taken_port_is_a_failure_that_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for arguments in [
        ["--listen", &address, "--admin", "127.0.0.1:0"],
        ["--listen", "127.0.0.1:0", "--admin", &address],
    ] {
        let (code, text) = said(larder().args(arguments).args(["--upstream", &url(1)]));
        assert_eq!(code, Some(1), "{text}");
        assert!(
            text.contains(&format!(
                "cannot listen on {address}: something else listens there"
            )),
            "{text}"
        );
    }
}

#[test]
fn misuse_ends_with_2_and_the_way_out() {
    let file = |name: &str, text: &str| -> String {
        let path =
            std::env::temp_dir().join(format!("larder-process-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let unknown = file(
        "unknown",
        &format!("[upstream]\nurl = '{}'\n[cache]\nmemroy = '1MB'\n", url(1)),
    );
    let broken = file("broken", &format!("[upstream]\nurl = {}\n", url(1)));
    let plain = url(1);
    let tls = format!("{}?sslmode=verify-full", url(1));
    for (arguments, expected) in [
        (
            vec!["serve", "--config", &unknown],
            "did you mean `cache.memory`?",
        ),
        (vec!["--config", &broken], "TOML parse error at line 2"),
        (vec!["--upstream", &tls], "verify-full need sslrootcert"),
        (vec![], "no upstream: say where the database is"),
        (vec!["--upstrem", "x"], "--upstream"),
        (vec![&plain], "postgres://***"),
        (
            vec!["--upstream", &url(1), "--mode", "onn"],
            "did you mean `on`?",
        ),
        (vec!["health", "--admin", "nowhere"], "is not an address"),
    ] {
        let (code, text) = said(larder().args(&arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    for path in [unknown, broken] {
        std::fs::remove_file(Path::new(&path)).unwrap();
    }
}

#[test]
fn started_it_takes_at_most_20_mb() {
    let running = Running::start(&Directory::new("memory"), &[]);
    running.get("/metrics").unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
    let resident = status
        .lines()
        .find_map(|l| l.strip_prefix("VmRSS:"))
        .unwrap();
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes <= 20 << 10, "{status}");
}

#[test]
fn version_and_help() {
    let (code, text) = said(larder().arg("--version"));
    assert_eq!(
        (code, text.trim()),
        (Some(0), concat!("larder ", env!("CARGO_PKG_VERSION")))
    );
    let (code, text) = said(larder().arg("--help"));
    assert_eq!(code, Some(0));
    assert!(
        text.contains("--upstream <URL>") && text.contains("health"),
        "{text}"
    );
}

/// A listening socket is the process's third descriptor, as systemd passes it.
#[test]
fn listens_on_what_a_service_manager_opened() {
    let directory = Directory::new("activated");
    let clients = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, at) = (
        clients.local_addr().unwrap(),
        admin.local_addr().unwrap().to_string(),
    );
    // A client that comes before there is anybody waits, and is not refused.
    let early = TcpStream::connect(port).unwrap();
    let log = std::fs::File::create(directory.0.join("log")).unwrap();
    let words = "exec 3<&0 4>&1 0</dev/null 1>&2; \
        LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=larder.socket:admin exec \"$@\"";
    let start = |words: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", words, "sh", env!("CARGO_BIN_EXE_larder"), "serve"])
            .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .env("LARDER_UPSTREAM__URL", url(silent_upstream()))
            .stdin(std::os::fd::OwnedFd::from(clients.try_clone().unwrap()))
            .stdout(std::os::fd::OwnedFd::from(admin.try_clone().unwrap()))
            .stderr(log.try_clone().unwrap());
        command.spawn().unwrap()
    };
    let running = Running {
        child: start(words),
        clients: port.to_string(),
        admin: at,
        log: Arc::default(),
    };
    running.until(|| {
        running
            .get("/ready")
            .is_some_and(|a| a.starts_with("HTTP/1.1 200 "))
    });
    // A request for encryption is answered with one letter.
    let asks = |mut client: &TcpStream| {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
        let mut letter = [0];
        client.read_exact(&mut letter).unwrap();
        letter
    };
    assert_eq!(asks(&early), *b"N");
    assert_eq!(asks(&TcpStream::connect(port).unwrap()), *b"N");
    drop(early);
    running.signal("TERM");
    assert_eq!(running.ended().0.code(), Some(0));
    // Words for another process count for nothing: it opens what it is told to.
    let said = std::fs::read_to_string(directory.0.join("log")).unwrap();
    assert!(said.contains(&port.to_string()), "{said}");
    let mut other = start(&words.replace("$$", "1"));
    let begun = Instant::now();
    let at = format!("{:?}", port.to_string());
    loop {
        let said = std::fs::read_to_string(directory.0.join("log")).unwrap();
        let lines = said
            .lines()
            .filter(|line| line.contains("listening for clients"));
        let lines: Vec<_> = lines.collect();
        if let [_, own] = lines[..] {
            assert!(!own.contains(&at), "{own}");
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{said}");
        std::thread::sleep(Duration::from_millis(5));
    }
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn what_is_passed_and_cannot_listen_stops_the_start() {
    let words = "exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", words, "sh", env!("CARGO_BIN_EXE_larder"), "serve"])
        .args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .env("LARDER_UPSTREAM__URL", url(1))
        .stdin(Stdio::null());
    let (code, text) = said(&mut command);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("not a"), "{text}");
}

#[test]
fn a_service_manager_is_told_of_each_step() {
    let directory = Directory::new("notify");
    let path = directory.0.join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = || {
        let mut words = [0; 256];
        let count = manager.recv(&mut words).unwrap();
        String::from_utf8_lossy(&words[..count]).into_owned()
    };
    let running = Running::start_told(&directory, &[], &path);
    assert!(told().starts_with("READY=1\n"));
    running.signal("HUP");
    assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(told().starts_with("READY=1\n"));
    running.signal("TERM");
    assert!(told().starts_with("STOPPING=1\n"));
    assert_eq!(running.ended().0.code(), Some(0));
}
