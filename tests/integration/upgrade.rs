//! The change from a running Larder to its successor: nobody is refused, and nobody is given an old answer.

use crate::ground::{Ground, eventually, until_hit};
use crate::larder::{at_exit, free_port};
use crate::wireclient::{Answered, Client, Login};
use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const SCHEMA: &str =
    "CREATE TABLE counter (id int PRIMARY KEY, n int); INSERT INTO counter VALUES (1, 0)";
const READ: &str = "SELECT n FROM counter WHERE id = 1";
const LONG: Duration = Duration::from_secs(60);

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path =
            std::env::temp_dir().join(format!("larder-upgrade-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("upgrade.sock")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ground(name: &str, directory: &Directory) -> Ground {
    let socket = directory.socket();
    Ground::with(&format!("upgrade_{name}"), SCHEMA, |setup| {
        setup.set("SERVER__UPGRADE_SOCKET", &socket.display().to_string())
    })
}

fn number(client: &mut Client) -> i32 {
    let answer = client.ok(READ);
    answer.rows()[0][0]
        .as_ref()
        .expect("a number")
        .parse()
        .expect("a number")
}

fn set(client: &mut Client, n: i32) {
    client.ok(&format!("UPDATE counter SET n = {n} WHERE id = 1"));
}

#[test]
fn p1_own_writes_hold_across_both_processes() {
    let directory = Directory::new("p1");
    let mut ground = ground("p1", &directory);
    let login = ground.over(&ground.login());
    let (mut writer, mut reader) = (login.connect(), login.connect());
    until_hit(&mut reader, READ);
    for client in [&mut writer, &mut reader] {
        client.ok("BEGIN");
    }
    assert_eq!(number(&mut reader), 0);
    assert_eq!(reader.larder_last(), "hit", "before the upgrade");

    let next = ground.larder.successor();
    // The sockets are the successor's: who comes now comes to it.
    let mut newcomer = login.connect();
    // Time enough for the successor to know the schema, so that nothing but the upgrade keeps it from keeping this.
    for _ in 0..200 {
        assert_eq!(number(&mut newcomer), 0);
        std::thread::sleep(Duration::from_millis(10));
    }
    // A write through the process before, read through its successor.
    set(&mut writer, 1);
    writer.ok("COMMIT");
    assert_eq!(number(&mut newcomer), 1);
    assert_eq!(newcomer.larder_last(), "bypass: upgrade");
    // A write through the successor, read through the process before, which would keep what it reads.
    for _ in 0..2 {
        assert_eq!(number(&mut reader), 1);
    }
    set(&mut newcomer, 2);
    assert_eq!(number(&mut reader), 2);
    assert_eq!(reader.larder_last(), "bypass: upgrade");
    assert_eq!(number(&mut newcomer), 2);
    assert_eq!(newcomer.larder_last(), "bypass: upgrade");
    let (_, status) = next.http("/status").expect("the page");
    assert!(status.contains("\"upgrade\""), "{status}");

    reader.ok("COMMIT");
    let status = ground.larder.wait(LONG).expect("the process before ends");
    assert!(status.success(), "{status}: {}", ground.larder.log());
    until_hit(&mut newcomer, READ);
    assert_eq!(number(&mut newcomer), 2);
}

#[test]
fn nobody_is_refused_and_nobody_sees_what_was_before() {
    let directory = Directory::new("storm");
    let sockets = directory.0.clone();
    let upgrade = directory.socket();
    let mut ground = Ground::with("upgrade_storm", SCHEMA, |setup| {
        setup
            .set("SERVER__UPGRADE_SOCKET", &upgrade.display().to_string())
            .socket(&sockets)
    });
    let over_tcp = ground.over(&ground.login());
    let file = sockets.join(format!(".s.PGSQL.{}", ground.larder.port));
    let over_file = over_tcp.clone().socket(&file);
    let (stop, rounds) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU32::new(0)),
    );
    // Each client is new, writes, and is gone; the next must see it, whichever process each of them gets.
    let storm = {
        let (stop, rounds, over_file) = (stop.clone(), rounds.clone(), over_file.clone());
        std::thread::spawn(move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                let (one, other): (&Login, &Login) = match n % 2 {
                    0 => (&over_tcp, &over_file),
                    _ => (&over_file, &over_tcp),
                };
                set(&mut one.connect(), n);
                for _ in 0..3 {
                    assert_eq!(number(&mut other.connect()), n, "a write was not seen");
                }
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let more = |of: u32| {
        let began = rounds.load(Ordering::Relaxed);
        eventually("clients go on", || {
            storm.is_finished() || rounds.load(Ordering::Relaxed) >= began + of
        });
    };
    more(5);
    let mut next = ground.larder.successor();
    more(5);
    let status = ground.larder.wait(LONG).expect("the process before ends");
    assert!(status.success(), "{status}");
    more(5);
    // Once more, over the place that the first has left.
    eventually("the successor takes its place", || {
        directory.socket().exists()
    });
    let last = next.successor();
    let status = next.wait(LONG).expect("the second ends");
    assert!(status.success(), "{status}");
    more(5);
    stop.store(true, Ordering::Relaxed);
    storm.join().expect("no client was refused");
    let mut client = over_file.connect();
    until_hit(&mut client, READ);
    drop(last);
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let directory = Directory::new("fails");
    let ground = ground("fails", &directory);
    let mut client = ground.over(&ground.login()).connect();
    until_hit(&mut client, READ);
    // One that hangs up when it has the sockets.
    let mut fake = UnixStream::connect(directory.socket()).expect("the socket");
    fake.write_all(b"larder-upgrade 1\n").expect("it listens");
    fake.read_exact(&mut [0; 3]).expect("an answer");
    assert_eq!(number(&mut client), 0);
    assert_eq!(client.larder_last(), "bypass: upgrade");
    drop(fake);
    until_hit(&mut client, READ);
    // One that is something else.
    let mut stranger = UnixStream::connect(directory.socket()).expect("the socket");
    stranger
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .expect("it listens");
    let given = stranger.read(&mut [0; 8]);
    assert!(!matches!(given, Ok(1..)), "it was given something");
    assert_eq!(number(&mut client), 0);
    assert_eq!(client.larder_last(), "hit");
    // One that cannot start.
    let failed = ground
        .larder
        .command_of_successor()
        .env("LARDER_AUTH__AUTH_FILE", "/nonexistent")
        .output()
        .expect("it runs");
    assert!(!failed.status.success());
    until_hit(&mut client, READ);
    let mut another = ground.over(&ground.login()).connect();
    assert_eq!(number(&mut another), 0);
}

#[test]
fn there_must_be_somebody_to_take_over_from() {
    let directory = Directory::new("nobody");
    let socket = directory.socket().display().to_string();
    let port = free_port();
    for (socket, words) in [
        (&*socket, "start without --upgrade"),
        ("", "server.upgrade_socket"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_larder"))
            .args([
                "serve",
                "--upgrade",
                "--upstream",
                "postgres://a:b@127.0.0.1:1/c",
            ])
            .args(["--listen", &format!("127.0.0.1:{port}")])
            .env("LARDER_SERVER__UPGRADE_SOCKET", socket)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn a_predecessor_that_is_killed_opens_the_successor() {
    let directory = Directory::new("killed");
    let mut ground = ground("killed", &directory);
    let login = ground.over(&ground.login());
    let mut writer = login.connect();
    writer.ok("BEGIN");
    set(&mut writer, 1);
    let next = ground.larder.successor();
    let mut newcomer = login.connect();
    assert_eq!(number(&mut newcomer), 0);
    assert_eq!(newcomer.larder_last(), "bypass: upgrade");
    // There is no other upgrade while this one is under way.
    let another = next.command_of_successor().output().expect("it runs");
    assert!(!another.status.success());
    ground.larder.kill();
    until_hit(&mut newcomer, READ);
    assert_eq!(
        number(&mut newcomer),
        0,
        "what was not committed is not there"
    );
}

#[test]
fn sigusr2_starts_a_successor_that_the_service_manager_knows() {
    let directory = Directory::new("usr2");
    let socket = directory.socket().display().to_string();
    let manager = directory.0.join("manager");
    let manager = (UnixDatagram::bind(&manager).expect("a socket"), manager);
    let told = || {
        manager.0.set_read_timeout(Some(LONG)).expect("a socket");
        let mut words = [0; 256];
        let count = manager.0.recv(&mut words).expect("words");
        String::from_utf8_lossy(&words[..count]).into_owned()
    };
    let mut ground = Ground::with("upgrade_usr2", SCHEMA, |setup| {
        setup
            .set("SERVER__UPGRADE_SOCKET", &socket)
            .variable("NOTIFY_SOCKET", &manager.1.display().to_string())
    });
    assert!(told().starts_with("READY=1\n"));
    let login = ground.over(&ground.login());
    until_hit(&mut login.connect(), READ);
    ground.larder.signal("USR2");
    let words = told();
    let process = words
        .strip_prefix("MAINPID=")
        .and_then(|rest| rest.lines().next());
    let process: u32 = process.expect("its number").parse().expect("a number");
    at_exit(&format!("kill -9 {process} 2>/dev/null"));
    assert!(told().starts_with("READY=1\n"));
    let status = ground.larder.wait(LONG).expect("the process before ends");
    assert!(status.success(), "{status}: {}", ground.larder.log());
    let mut client = login.connect();
    set(&mut client, 7);
    until_hit(&mut client, READ);
    assert_eq!(number(&mut client), 7);
    let kill = Command::new("kill")
        .args(["-TERM", &process.to_string()])
        .status();
    assert!(
        kill.expect("kill").success(),
        "it is the successor that answered"
    );
    // The first word of an end is the successor's: the end of the process before is not that of the service.
    assert!(told().starts_with("STOPPING=1\n"));
    drop(client);
    let gone = || !PathBuf::from(format!("/proc/{process}/exe")).exists();
    eventually("the successor ends", gone);
    manager.0.set_nonblocking(true).expect("a socket");
    while let Ok(count) = manager.0.recv(&mut [0; 256]) {
        assert_eq!(
            count,
            "STOPPING=1\nSTATUS=draining".len(),
            "the successor's second"
        );
    }
}
