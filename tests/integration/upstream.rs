//! Which server is used, what is kept of which, whose password is sent, and what stands between.

use crate::ground::{Ground, SUPERUSER, create_database, create_database_on, server_port};
use crate::larder::{Larder, Setup, at_exit, free_port};
use crate::postgres::{Options, Postgres, Stop};
use crate::wireclient::{Answered, Client, Login};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const READ: &str = "SELECT who FROM place";

/// A server of its own whose rows say which it is.
fn server(who: &str) -> Postgres {
    let server = Options::new().start();
    let schema = format!("CREATE TABLE place (who text); INSERT INTO place VALUES ('{who}')");
    create_database_on(server.port(), "upstream", &schema);
    server
}

fn direct(server: &Postgres) -> Client {
    Login::new(server.port(), SUPERUSER, "upstream").connect()
}

fn login(larder: &Larder) -> Login {
    larder.login(SUPERUSER, "upstream")
}

fn read_only(server: &Postgres, word: &str) {
    let mut admin = direct(server);
    admin.ok("SET default_transaction_read_only = off");
    admin.ok(&format!(
        "ALTER SYSTEM SET default_transaction_read_only = {word}"
    ));
    admin.ok("SELECT pg_reload_conf()");
}

fn larder(ports: [u16; 2], attrs: &str) -> Larder {
    let [a, b] = ports;
    let url = format!(
        "postgres://{SUPERUSER}@127.0.0.1:{a},127.0.0.1:{b}/upstream?target_session_attrs={attrs}"
    );
    Setup::new(&url).start()
}

/// What the read gives on a new connection, once there is one.
fn eventually(larder: &Larder, expected: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = login(larder).try_connect().map(|mut c| c.query(READ));
        if let Ok(answer) = &answer
            && answer.value().as_deref() == Some(expected)
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{answer:?} instead of {expected}\n{}",
            larder.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn p9_a_server_that_is_lost_takes_its_answers_with_it() {
    let (mut a, b) = (server("a"), server("b"));
    let larder = larder([a.port(), b.port()], "any");
    larder.wait_hit(&login(&larder), READ);
    eventually(&larder, "a");
    a.stop(Stop::Fast);
    for _ in 0..5 {
        let value = login(&larder).connect().query(READ).value();
        assert_eq!(value.as_deref(), Some("b"), "at once, and nothing of a's");
    }
    larder.wait_hit(&login(&larder), READ);
    eventually(&larder, "b");
    let mut client = login(&larder).connect();
    client.ok("UPDATE place SET who = 'b2'");
    assert_eq!(client.query(READ).value().as_deref(), Some("b2"));
}

#[test]
fn p4_a_session_on_the_server_before_neither_hits_nor_fills() {
    let (a, b) = (server("a"), server("b"));
    let larder = larder([a.port(), b.port()], "read-write");
    larder.wait_hit(&login(&larder), READ);
    let mut old = login(&larder).connect();
    assert_eq!(old.query(READ).value().as_deref(), Some("a"));
    read_only(&a, "on");
    eventually(&larder, "b");
    larder.wait_hit(&login(&larder), READ);
    for _ in 0..3 {
        assert_eq!(old.query(READ).value().as_deref(), Some("a"));
        assert_eq!(old.larder_last(), "bypass: server");
        let mut new = login(&larder).connect();
        assert_eq!(new.query(READ).value().as_deref(), Some("b"));
        assert_eq!(new.larder_last(), "hit");
    }
    // What it writes where it is shows there, and a cancel still reaches it.
    old.ok("SET default_transaction_read_only = off");
    old.ok("UPDATE place SET who = 'a2'");
    assert_eq!(old.query(READ).value().as_deref(), Some("a2"));
    old.send(crate::wireclient::Batch::new().query("SELECT pg_sleep(60)"));
    std::thread::sleep(Duration::from_millis(200));
    crate::wireclient::cancel(larder.port, old.key);
    assert_eq!(old.until_ready().sqlstate().as_deref(), Some("57014"));

    // And back: what was kept of it is not what it says now.
    read_only(&b, "on");
    read_only(&a, "off");
    eventually(&larder, "a2");
    larder.wait_hit(&login(&larder), READ);
    assert_eq!(old.query(READ).value().as_deref(), Some("a2"));
    old.ok(READ);
    assert_eq!(old.larder_last(), "hit", "its server is in use again");
}

#[test]
fn no_server_as_wanted_is_an_error_that_says_so() {
    let (a, b) = (server("a"), server("b"));
    read_only(&a, "on");
    read_only(&b, "on");
    let [a, b] = [a.port(), b.port()].map(|port| format!("127.0.0.1:{port}"));
    let url = format!("postgres://{SUPERUSER}@{a},{b}/upstream?target_session_attrs=read-write");
    let larder = Setup::new(&url)
        .set("UPSTREAM__CONNECT_TIMEOUT", "1s")
        .start();
    let refused = login(&larder).try_connect().err().expect("no server");
    assert_eq!(refused.sqlstate().as_deref(), Some("08001"));
    let text = refused.error().unwrap_or_default();
    assert!(text.contains("target_session_attrs"), "{text}");
}

#[test]
fn p2_a_server_in_recovery_is_never_served_from_memory() {
    let mut server = server("standby");
    server.stop(Stop::Fast);
    server.make_standby();
    server.start_again();
    let larder = Setup::new(&server.url(SUPERUSER, "upstream")).start();
    let mut before = login(&larder).connect();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert_eq!(before.query(READ).value().as_deref(), Some("standby"));
        let last = before.larder_last();
        assert!(!matches!(&*last, "hit" | "miss"), "{last}");
        if last == "bypass: recovery" {
            break;
        }
        assert!(Instant::now() < deadline, "{last}\n{}", larder.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    direct(&server).ok("SELECT pg_promote()");
    larder.wait_hit(&login(&larder), READ);
    // The session from before has heard of it (since PostgreSQL 14).
    let reports = before.parameters.contains_key("in_hot_standby");
    before.ok("SELECT 1"); // told with its answer
    for _ in 0..3 {
        before.ok(READ); // asked itself again, filled, hit
    }
    let expected = if reports { "hit" } else { "bypass: recovery" };
    assert_eq!(before.larder_last(), expected);
    before.ok("UPDATE place SET who = 'primary'");
    assert_eq!(before.query(READ).value().as_deref(), Some("primary"));
}

#[test]
fn the_password_comes_from_a_file_or_a_command_at_each_login() {
    let hba = "host all larder_role 127.0.0.1/32 scram-sha-256";
    let server = Options::new().hba(hba).start();
    let schema = "CREATE TABLE place (who text); INSERT INTO place VALUES ('x')";
    create_database_on(server.port(), "upstream", schema);
    direct(&server).ok("CREATE ROLE larder_role LOGIN SUPERUSER PASSWORD 'first'");
    let file = std::env::temp_dir().join(format!("larder-upstream-password-{}", server.port()));
    std::fs::write(&file, "first\nnot this\n").unwrap();
    at_exit(&format!("rm -f '{}'", file.display()));
    let url = server.url("larder_role", "upstream");
    let path = file.display().to_string();
    let by_file = Setup::new(&url)
        .set("UPSTREAM__PASSWORD_FILE", &path)
        .start();
    let by_command = Setup::new(&url)
        .set("UPSTREAM__PASSWORD_COMMAND", &format!("cat '{path}'"))
        .set("UPSTREAM__PASSWORD_COMMAND_TTL", "1h")
        .start();
    for larder in [&by_file, &by_command] {
        larder.wait_hit(&login(larder), READ);
    }
    direct(&server).ok("ALTER ROLE larder_role PASSWORD 'second'");
    std::fs::write(&file, "second\n").unwrap();
    direct(&server)
        .ok("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'larder_role'");
    for larder in [&by_file, &by_command] {
        larder.wait_hit(&login(larder), READ);
        assert!(!larder.log().contains("second"));
    }
}

/// A pgbouncer in front of the server on `port`; gone with the tests. `None`: there is none to run.
fn pgbouncer(port: u16, mode: &str) -> Option<u16> {
    let listen = free_port();
    let directory = std::env::temp_dir().join(format!("larder-pgbouncer-{listen}"));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let users = directory.join("users");
    std::fs::write(&users, format!("\"{SUPERUSER}\" \"\"\n")).unwrap();
    let ini = directory.join("pgbouncer.ini");
    let text = format!(
        "[databases]\n* = host=127.0.0.1 port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {listen}\n\
         unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n",
        users.display()
    );
    std::fs::write(&ini, text).unwrap();
    at_exit(&format!("rm -rf '{}'", directory.display()));
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/usr/local/sbin";
    let mut command = Command::new("pgbouncer");
    command.arg(&ini).env("PATH", path).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    if std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0) {
        command.uid(65534).gid(65534); // it refuses to run as root
    }
    match command.spawn() {
        Ok(child) => at_exit(&format!("kill -9 {} 2>/dev/null", child.id())),
        Err(error) => {
            eprintln!("NOT TESTED: no pgbouncer ({error}); scripts/deps.sh installs it");
            return None;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", listen)).is_err() {
        assert!(Instant::now() < deadline, "pgbouncer does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(listen)
}

#[test]
fn p9_a_pooler_is_trusted_only_as_far_as_it_is_declared() {
    let name = "upstream_pooler";
    let schema = "CREATE TABLE place (who text); INSERT INTO place VALUES ('x')";
    create_database(name, schema);
    for mode in ["session", "transaction"] {
        let Some(port) = pgbouncer(server_port(), mode) else {
            return;
        };
        for declared in ["none", mode] {
            let larder = Setup::new(&crate::ground::upstream(port, name))
                .set("UPSTREAM__POOLER", declared)
                .start();
            let login = larder.login(SUPERUSER, name);
            if declared == "session" {
                larder.wait_hit(&login, READ);
                let (mut a, mut b) = (login.connect(), login.connect());
                a.ok(READ);
                assert_eq!(a.larder_last(), "hit");
                b.ok("UPDATE place SET who = who || 'y'");
                let now = b.query(READ).value();
                assert_eq!(a.query(READ).value(), now, "own writes");
                // The settings that the next client of the same server connection has are its own.
                a.ok("SET search_path = pg_catalog");
                drop(a);
                assert_eq!(login.connect().query(READ).value(), now);
                assert!(!larder.log().contains("the upstream is a pooler"));
                continue;
            }
            let deadline = Instant::now() + Duration::from_secs(3);
            while Instant::now() < deadline {
                let mut client = login.connect();
                client.ok(READ);
                client.ok(READ);
                assert_eq!(client.larder_last(), "bypass: pooler", "{mode} {declared}");
                std::thread::sleep(Duration::from_millis(300));
            }
            let told = larder.log().matches("the upstream is a pooler").count();
            assert_eq!(told, usize::from(declared == "none"), "{}", larder.log());
        }
    }
}

/// A setting's default changes in postgresql.conf while sessions are connected.
#[test]
fn p6_a_default_changed_in_the_servers_configuration_is_seen_within_the_refresh() {
    const READS: [&str; 4] = [
        "SELECT f FROM things",
        "SELECT i FROM things",
        "SELECT b FROM things",
        "SELECT s FROM things",
    ];
    let schema = "CREATE TABLE things (f float8, i interval, b bytea, s text);
        INSERT INTO things VALUES (0.1::float8 + 0.2, '1 day 2:03', '\\x00ff', 'public');
        CREATE SCHEMA other; CREATE TABLE other.things AS SELECT f, i, b, 'other'::text AS s FROM things;";
    let ground = Ground::alone_with("upstream_reload", schema, |setup| {
        setup.set("CATALOG__REFRESH", "200ms")
    });
    ground.warm("things");
    let mut connected = ground.through();
    // Has the old values for itself, whatever the default.
    let login = ground
        .login()
        .parameter("options", "-c extra_float_digits=1 -c bytea_output=hex");
    let mut fixed = ground.over(&login).connect();
    let values = |client: &mut Client| READS.map(|read| client.query(read).value());
    let (before, kept) = (values(&mut connected), values(&mut fixed));
    values(&mut connected);
    assert_eq!(connected.larder_last(), "hit");
    let mut admin = ground.direct();
    for (name, value) in [
        ("extra_float_digits", "-5"),
        ("intervalstyle", "iso_8601"),
        ("bytea_output", "escape"),
        ("search_path", "other, public"),
    ] {
        admin.ok(&format!("ALTER SYSTEM SET {name} = {value}"));
    }
    admin.ok("SELECT pg_reload_conf()");
    let deadline = Instant::now() + Duration::from_secs(20);
    let after = loop {
        let now = values(&mut ground.direct());
        if now.iter().zip(&before).all(|(now, before)| now != before) {
            break now;
        }
        assert!(Instant::now() < deadline, "{now:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    std::thread::sleep(Duration::from_secs(2)); // ten times catalog.refresh
    for _ in 0..3 {
        assert_eq!(values(&mut connected), after);
        let fixed = values(&mut fixed);
        assert_eq!((&fixed[0], &fixed[2]), (&kept[0], &kept[2]));
        assert_eq!((&fixed[1], &fixed[3]), (&after[1], &after[3]));
    }
    assert_eq!(connected.larder_last(), "hit");
}

/// Both servers know the role; Larder shares its connections out.
fn pooled(servers: &[&Postgres], password: &str, attrs: &str) -> Setup {
    let hosts: Vec<_> = servers
        .iter()
        .map(|server| format!("127.0.0.1:{}", server.port()))
        .collect();
    for server in servers {
        direct(server).ok("CREATE ROLE pooled LOGIN SUPERUSER PASSWORD 'first'");
    }
    Setup::new(&format!(
        "postgres://pooled{password}@{}/upstream?target_session_attrs={attrs}",
        hosts.join(",")
    ))
    .set("POOL__MODE", "transaction")
    .set("SERVER__WORKERS", "1")
    .set("CATALOG__REFRESH", "200ms")
}

fn as_pooled(larder: &Larder, password: &str) -> Login {
    larder.login("pooled", "upstream").password(password)
}

/// How many client connections to its database a server has.
fn connections(server: &Postgres) -> String {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'pooled' AND application_name <> 'larder'";
    direct(server).query(count).value().expect("a number")
}

#[test]
fn p4_a_pool_gives_on_nothing_of_the_server_before() {
    let (a, b) = (server("a"), server("b"));
    let larder = pooled(&[&a, &b], ":first", "read-write").start();
    let login = as_pooled(&larder, "first");
    larder.wait_hit(&login, READ);
    let mut early = login.connect();
    assert_eq!(early.query(READ).value().as_deref(), Some("a"));
    assert_eq!(early.larder_last(), "hit", "without a connection");
    assert_ne!(connections(&a), "0", "one is idle");
    read_only(&a, "on");
    let deadline = Instant::now() + Duration::from_secs(30);
    while login.connect().query(READ).value().as_deref() != Some("b") {
        assert!(Instant::now() < deadline, "{}", larder.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    larder.wait_hit(&login, READ);
    // Who came before is told by the next connection where it is.
    assert_eq!(early.query(READ).value().as_deref(), Some("b"));
    early.ok("UPDATE place SET who = 'b2'");
    assert_eq!(early.query(READ).value().as_deref(), Some("b2"));
    early.ok(READ);
    assert_eq!(early.larder_last(), "hit");
    assert_eq!(direct(&a).query(READ).value().as_deref(), Some("a"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while connections(&a) != "0" {
        assert!(Instant::now() < deadline, "idle ones are closed");
        std::thread::sleep(Duration::from_millis(50));
    }
    // A cancel request reaches the server that the client is at.
    early.send(crate::wireclient::Batch::new().query("SELECT pg_sleep(60)"));
    std::thread::sleep(Duration::from_millis(200));
    crate::wireclient::cancel(larder.port, early.key);
    assert_eq!(early.until_ready().sqlstate().as_deref(), Some("57014"));
}

#[test]
fn p6_a_reload_is_seen_by_clients_without_a_connection_and_by_pools() {
    let server = Options::new().start();
    let schema = "CREATE TABLE place (who bytea); INSERT INTO place VALUES ('\\x00ff')";
    create_database_on(server.port(), "upstream", schema);
    let larder = pooled(&[&server], ":first", "any").start();
    let login = as_pooled(&larder, "first");
    larder.wait_hit(&login, READ);
    let mut early = login.connect();
    let hex = early.query(READ).value();
    assert_eq!(early.larder_last(), "hit");
    let mut admin = direct(&server);
    admin.ok("ALTER SYSTEM SET bytea_output = escape");
    admin.ok("SELECT pg_reload_conf()");
    let expected = Login::new(server.port(), "pooled", "upstream")
        .connect()
        .query(READ)
        .value();
    assert_ne!(hex, expected);
    // `catalog.refresh` and the look itself.
    let deadline = Instant::now() + Duration::from_secs(20);
    while early.query(READ).value() != expected {
        assert!(Instant::now() < deadline, "{}", larder.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..20 {
        let mut new = login.connect();
        assert_eq!(new.query(READ).value(), expected);
        assert_eq!(early.query(READ).value(), expected);
    }
    // The catalog may be on its way again.
    while early.larder_last() != "hit" {
        assert!(Instant::now() < deadline, "{}", larder.log());
        assert_eq!(early.query(READ).value(), expected);
    }
}

#[test]
fn a_password_that_changes_is_the_pools_and_the_clients_at_once() {
    let hba = "host all pooled 127.0.0.1/32 scram-sha-256";
    let server = Options::new().hba(hba).start();
    let schema = "CREATE TABLE place (who text); INSERT INTO place VALUES ('x')";
    create_database_on(server.port(), "upstream", schema);
    let file = std::env::temp_dir().join(format!("larder-pooled-password-{}", server.port()));
    std::fs::write(&file, "first\n").unwrap();
    at_exit(&format!("rm -f '{}'", file.display()));
    let larder = pooled(&[&server], "", "any")
        .set("UPSTREAM__PASSWORD_FILE", &file.display().to_string())
        .set("AUTH__RELAY", "false")
        .start();
    let login = as_pooled(&larder, "first");
    larder.wait_hit(&login, READ);
    let mut early = login.connect();
    early.ok(READ);
    direct(&server).ok("ALTER ROLE pooled PASSWORD 'second'");
    std::fs::write(&file, "second\n").unwrap();
    direct(&server)
        .ok("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pooled'");
    let deadline = Instant::now() + Duration::from_secs(20);
    while as_pooled(&larder, "second").try_connect().is_err() {
        assert!(Instant::now() < deadline, "{}", larder.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    early.ok("UPDATE place SET who = 'y'");
    assert_eq!(early.query(READ).value().as_deref(), Some("y"));
    let refused = as_pooled(&larder, "first").try_connect();
    let refused = refused.err().expect("the old password is none any more");
    assert_eq!(refused.sqlstate().as_deref(), Some("28P01"));
    assert!(!larder.log().contains("second"));
}
