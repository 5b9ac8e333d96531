//! TLS with clients and with the upstream, against a real PostgreSQL with ssl = on.

use crate::faults::{Fault, Relay, Toward};
use crate::ground::{self, assert_same};
use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres};
use crate::tunnel::{Authority, Caller, Directory, Identity, REQUEST, psql, said};
use crate::wireclient::{Answered, Batch, Login, cancel, field, normalised};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

const MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

pub const PASSWORD: &str = "open sesame";

/// A PostgreSQL with ssl = on, whose certificate is for localhost by name, and who has signed it.
pub struct World {
    pub server: Postgres,
    pub authority: Authority,
    identity: Identity,
    files: Directory,
}

pub fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(World::start);
    &WORLD
}

impl World {
    fn start() -> World {
        let server = Options::new()
            .hba("hostssl all secured 127.0.0.1/32 trust")
            .hba("host all secured 127.0.0.1/32 reject")
            .hba("hostnossl all open 127.0.0.1/32 trust")
            .hba("host all open 127.0.0.1/32 reject")
            .hba("hostssl all certified 127.0.0.1/32 trust clientcert=verify-ca")
            .hba("host all scrammed 127.0.0.1/32 scram-sha-256")
            .start();
        let authority = Authority::new("upstream authority");
        let identity = authority.issue("db", &["localhost", "db.example"]);
        let files = Directory::new("world");
        files.file("root.crt", &authority.pem);
        for (name, text) in [
            ("server.crt", &identity.certificate),
            ("server.key", &identity.key),
            ("root.crt", &authority.pem),
        ] {
            let path = server.data_directory().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let owner = std::fs::metadata(server.data_directory()).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        let mut admin = Login::new(server.port(), "postgres", "postgres").connect();
        admin.ok("ALTER SYSTEM SET ssl_ca_file = 'root.crt'");
        admin.ok("ALTER SYSTEM SET ssl = on");
        for role in ["secured", "open", "certified", "scrammed"] {
            admin.ok(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"));
        }
        admin.ok(
            "CREATE TABLE t AS SELECT g AS id, 'row ' || g AS name FROM generate_series(1, 100) g; \
             GRANT ALL ON t TO public",
        );
        admin.ok("SELECT pg_reload_conf()");
        let deadline = Instant::now() + Duration::from_secs(20);
        while Caller::plain().shown(server.port()).is_err() {
            assert!(Instant::now() < deadline, "{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        World {
            server,
            authority,
            identity,
            files,
        }
    }

    /// An upstream URL.
    pub fn url(&self, user: &str, host: &str, parameters: &str) -> String {
        let port = self.server.port();
        // With a password Larder would verify that user itself; without, the login is relayed.
        let login = match user {
            "scrammed" => "scrammed:open%20sesame",
            _ => user,
        };
        format!("postgres://{login}@{host}:{port}/postgres?{parameters}")
    }

    pub fn root(&self) -> String {
        self.files.path("root.crt")
    }

    /// A Larder that reaches the server without TLS.
    fn larder(&self, change: impl FnOnce(Setup) -> Setup) -> Larder {
        change(Setup::new(&self.url(
            "postgres",
            "127.0.0.1",
            "sslmode=disable",
        )))
        .start()
    }

    /// … and has a certificate for clients.
    fn encrypting(&self, files: &Directory, mode: &str) -> Larder {
        let ours = self.authority.issue("larder", &["localhost", "127.0.0.1"]);
        let (certificate, key) = (
            files.file("tls.crt", &ours.certificate),
            files.file("tls.key", &ours.key),
        );
        self.larder(|setup| {
            setup
                .set("TLS__MODE", mode)
                .set("TLS__CERTIFICATE", &certificate)
                .set("TLS__KEY", &key)
        })
    }
}

fn connection(port: u16, mode: &str, more: &str) -> String {
    format!(
        "host=localhost hostaddr=127.0.0.1 port={port} user=postgres dbname=postgres sslmode={mode} {more}"
    )
}

/// Whether psql's connection is encrypted.
fn is_encrypted(connection: &str) -> Result<bool, String> {
    said(connection, &["\\conninfo"]).map(|text| text.contains("SSL connection"))
}

#[test]
fn every_sslmode_of_clients_is_answered_as_by_postgresql() {
    let world = world();
    for (ours, plain, encrypted) in [
        ("off", true, false),
        ("allow", true, true),
        ("require", false, true),
    ] {
        let files = Directory::new(&format!("modes-{ours}"));
        let larder = world.encrypting(&files, ours);
        for mode in MODES {
            let root = format!("sslrootcert={}", world.root());
            let got = is_encrypted(&connection(larder.port, mode, &root));
            let expected = match mode {
                "disable" => plain.then_some(false),
                // Plain first; libpq then tries TLS where it was refused.
                "allow" => Some(!plain),
                "prefer" => Some(encrypted),
                _ => encrypted.then_some(true),
            };
            assert_eq!(
                got.as_ref().ok().copied(),
                expected,
                "{ours} {mode}: {got:?}"
            );
        }
        if !plain {
            let error = is_encrypted(&connection(larder.port, "disable", "")).unwrap_err();
            assert!(error.contains("no unencrypted connections"), "{error}");
            let refused = Login::new(larder.port, "postgres", "postgres").try_connect();
            let refused = refused.err().unwrap();
            assert_eq!(refused.sqlstate().as_deref(), Some("28000"));
            let hint = field(&refused.last().unwrap().body, b'H').unwrap();
            assert!(hint.contains("sslmode=require"), "{hint}");
        }
    }
}

/// Whether a client of Larder's reaches the upstream over TLS, or what it is told.
fn upstream_is_encrypted(larder: &Larder, login: &Login) -> Result<bool, String> {
    let mut client = login.clone().port(larder.port).try_connect().map_err(|t| {
        format!(
            "{} {}",
            t.sqlstate().unwrap_or_default(),
            t.error().unwrap_or_default()
        )
    })?;
    let answer = client.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()");
    Ok(answer.value().as_deref() == Some("t"))
}

#[test]
fn every_sslmode_upstream_means_what_it_means_to_libpq() {
    let world = world();
    let root = format!("&sslrootcert={}", world.root());
    for mode in MODES {
        for user in ["postgres", "secured", "open"] {
            let root = if mode.starts_with("verify") {
                &root
            } else {
                ""
            };
            let url = world.url(user, "localhost", &format!("sslmode={mode}{root}"));
            let larder = Setup::new(&url).start();
            let login = Login::new(0, user, "postgres");
            let got = upstream_is_encrypted(&larder, &login);
            let expected = match (mode, user) {
                ("disable", "secured") | ("require" | "verify-ca" | "verify-full", "open") => None,
                ("disable" | "allow", "postgres") | (_, "open") => Some(false),
                _ => Some(true),
            };
            assert_eq!(
                got.as_ref().ok().copied(),
                expected,
                "{mode} {user}: {got:?}"
            );
            match expected {
                // PostgreSQL's own words.
                None => assert!(
                    got.unwrap_err().starts_with("28000 pg_hba.conf"),
                    "{mode} {user}"
                ),
                // Larder's own connection has found the same way.
                Some(_) => larder.wait_hit(&login, "SELECT name FROM t WHERE id = 1"),
            }
        }
    }
}

#[test]
fn a_server_without_tls_is_met_in_plain_text_or_not_at_all() {
    let port = ground::server_port();
    let url = |mode: &str| format!("{}?sslmode={mode}", ground::upstream(port, "postgres"));
    let login = Login::new(0, ground::SUPERUSER, "postgres");
    for mode in ["allow", "prefer"] {
        let larder = Setup::new(&url(mode)).start();
        assert_eq!(upstream_is_encrypted(&larder, &login), Ok(false), "{mode}");
    }
    let larder = Setup::new(&url("require")).start();
    let error = upstream_is_encrypted(&larder, &login).unwrap_err();
    assert!(error.starts_with("08001"), "{error}");
    assert!(error.contains("does not speak TLS"), "{error}");
}

#[test]
fn the_file_says_it_as_well_as_the_url() {
    let world = world();
    let url = world.url("postgres", "localhost", "sslmode=disable");
    let larder = Setup::new(&url)
        .set("UPSTREAM__SSLMODE", "verify-full")
        .set("UPSTREAM__SSLROOTCERT", &world.root())
        .start();
    let login = Login::new(0, "postgres", "postgres");
    assert_eq!(upstream_is_encrypted(&larder, &login), Ok(true));
}

#[test]
fn a_certificate_that_is_not_believed_is_told_in_words() {
    let world = world();
    let files = Directory::new("believed");
    let other = files.file("other.crt", &Authority::new("somebody else").pem);
    let login = Login::new(0, "postgres", "postgres");
    for (host, parameters, words) in [
        (
            "127.0.0.1",
            format!("sslmode=verify-full&sslrootcert={}", world.root()),
            &["not for 127.0.0.1", "localhost", "verify-full"][..],
        ),
        (
            "localhost",
            format!("sslmode=verify-full&sslrootcert={other}"),
            &["not signed", "sslrootcert"],
        ),
        (
            "localhost",
            format!("sslmode=verify-ca&sslrootcert={other}"),
            &["not signed"],
        ),
        // As for libpq: a root file makes `require` verify.
        (
            "localhost",
            format!("sslmode=require&sslrootcert={other}"),
            &["not signed"],
        ),
    ] {
        let larder = Setup::new(&world.url("postgres", host, &parameters)).start();
        let error = upstream_is_encrypted(&larder, &login).unwrap_err();
        assert!(error.starts_with("08001"), "{parameters}: {error}");
        for word in words {
            assert!(error.contains(word), "{parameters}: {error}");
        }
        assert!(larder.log().contains(words[0]), "{}", larder.log());
    }
    // The name is not asked for by verify-ca.
    let parameters = format!("sslmode=verify-ca&sslrootcert={}", world.root());
    let larder = Setup::new(&world.url("postgres", "127.0.0.1", &parameters)).start();
    assert_eq!(upstream_is_encrypted(&larder, &login), Ok(true));
    // A self-signed certificate, or any, that is itself in the root file.
    let own = files.file("own.crt", &world.identity.certificate);
    let parameters = format!("sslmode=verify-full&sslrootcert={own}");
    let larder = Setup::new(&world.url("postgres", "localhost", &parameters)).start();
    assert_eq!(upstream_is_encrypted(&larder, &login), Ok(true));
}

#[test]
fn larder_shows_the_upstream_its_certificate() {
    let world = world();
    let files = Directory::new("shows");
    let ours = world.authority.issue("certified", &[]);
    let (certificate, key) = (
        files.file("c", &ours.certificate),
        files.file("k", &ours.key),
    );
    let login = Login::new(0, "certified", "postgres");
    let with = format!("sslmode=require&sslcert={certificate}&sslkey={key}");
    let larder = Setup::new(&world.url("certified", "localhost", &with)).start();
    assert_eq!(upstream_is_encrypted(&larder, &login), Ok(true));
    larder.wait_hit(&login, "SELECT name FROM t WHERE id = 2");
    let larder = Setup::new(&world.url("certified", "localhost", "sslmode=require")).start();
    let error = upstream_is_encrypted(&larder, &login).unwrap_err();
    assert!(error.contains("valid client certificate"), "{error}");
}

#[test]
fn clients_show_larder_their_certificates() {
    let world = world();
    let files = Directory::new("clients");
    let authority = Authority::new("clients' authority");
    let ann = authority.issue("ann", &[]);
    let stranger = Authority::new("somebody else").issue("ann", &[]);
    let ca = files.file("ca.crt", &authority.pem);
    let pair = |name: &str, identity: &Identity| {
        let certificate = files.file(&format!("{name}.crt"), &identity.certificate);
        let key = files.file(&format!("{name}.key"), &identity.key);
        format!("sslcert={certificate} sslkey={key}")
    };
    let (good, bad) = (pair("good", &ann), pair("bad", &stranger));
    for (wanted, without) in [("allow", true), ("require", false)] {
        let larder = world.larder(|setup| {
            setup
                .set("TLS__MODE", "require")
                .set("TLS__SELF_SIGNED", "true")
                .set("TLS__CLIENT_CA", &ca)
                .set("TLS__CLIENT_CERTIFICATES", wanted)
        });
        let call = |more: &str| is_encrypted(&connection(larder.port, "require", more));
        assert_eq!(call(&good), Ok(true), "{wanted}");
        assert!(call(&bad).is_err(), "{wanted}");
        let got = call("");
        assert_eq!(got.is_ok(), without, "{wanted}: {got:?}");
        if let Err(error) = got {
            assert!(error.contains("valid client certificate"), "{error}");
        }
    }
}

#[test]
fn a_certificate_is_made_where_there_is_none() {
    let world = world();
    let files = Directory::new("made");
    let in_memory = world.larder(|s| s.set("TLS__MODE", "allow").set("TLS__SELF_SIGNED", "true"));
    assert_eq!(
        is_encrypted(&connection(in_memory.port, "require", "")),
        Ok(true)
    );
    // A reload does not make another.
    let first = Caller::plain().shown(in_memory.port).unwrap();
    in_memory.signal("HUP");
    wait_log(&in_memory, "SIGHUP");
    assert_eq!(Caller::plain().shown(in_memory.port).unwrap(), first);

    let (certificate, key) = (files.path("new.crt"), files.path("new.key"));
    let mut in_files = world.larder(|setup| {
        setup
            .set("TLS__MODE", "allow")
            .set("TLS__SELF_SIGNED", "true")
            .set("TLS__CERTIFICATE", &certificate)
            .set("TLS__KEY", &key)
    });
    // It can be pinned, and is the same after a restart.
    let pinned = format!("sslrootcert={certificate}");
    assert_eq!(
        is_encrypted(&connection(in_files.port, "verify-full", &pinned)),
        Ok(true)
    );
    let first = Caller::plain().shown(in_files.port).unwrap();
    in_files.restart();
    assert_eq!(Caller::plain().shown(in_files.port).unwrap(), first);
}

#[test]
fn files_that_cannot_be_used_stop_the_start() {
    let world = world();
    let files = Directory::new("unusable");
    let one = world.authority.issue("one", &["localhost"]);
    let two = world.authority.issue("two", &["localhost"]);
    let certificate = files.file("one.crt", &one.certificate);
    let (other, absent) = (files.file("two.key", &two.key), files.path("absent.key"));
    let garbage = files.file("garbage", "nothing");
    let url = world.url("postgres", "localhost", "");
    for (setup, word) in [
        (
            Setup::new(&url)
                .set("TLS__CERTIFICATE", &certificate)
                .set("TLS__KEY", &other),
            "do not go together",
        ),
        (
            Setup::new(&url)
                .set("TLS__CERTIFICATE", &certificate)
                .set("TLS__KEY", &absent),
            "cannot read",
        ),
        (
            Setup::new(&url)
                .set("TLS__CERTIFICATE", &garbage)
                .set("TLS__KEY", &other),
            "holds no certificate",
        ),
        (
            Setup::new(&url)
                .set("UPSTREAM__SSLMODE", "verify-ca")
                .set("UPSTREAM__SSLROOTCERT", &garbage)
                .set("TLS__SELF_SIGNED", "true"),
            "holds no certificate",
        ),
    ] {
        let mut command = setup.set("TLS__MODE", "require").command(0, 0);
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && text.contains(word),
            "{word}: {text}"
        );
    }
}

fn wait_log(larder: &Larder, word: &str) {
    wait(|| larder.log().contains(word), || larder.log());
}

fn wait(done: impl Fn() -> bool, else_say: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{}", else_say());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn new_certificates_are_taken_in_while_running() {
    let world = world();
    let files = Directory::new("reload");
    let larder = world.encrypting(&files, "require");
    let caller = Caller::plain();
    let tunnel = caller.tunnel(larder.port);
    let mut kept = Login::new(tunnel.port, "postgres", "postgres").connect();
    let first = caller.shown(larder.port).unwrap();

    let next = world.authority.issue("next", &["localhost"]);
    // The certificate alone does not fit: the old pair stays.
    files.file("tls.crt", &next.certificate);
    larder.signal("HUP");
    wait_log(&larder, "could not be read anew");
    assert_eq!(caller.shown(larder.port).unwrap(), first);
    files.file("tls.key", &next.key);
    larder.signal("HUP");
    wait_log(&larder, "were read anew");
    let second = caller.shown(larder.port).unwrap();
    assert_ne!(second, first);

    // Without a signal.
    let last = world.authority.issue("last", &["localhost"]);
    files.file("tls.key", &last.key);
    files.file("tls.crt", &last.certificate);
    wait(
        || caller.shown(larder.port).unwrap() != second,
        || larder.log(),
    );
    // What was connected stays so.
    assert_eq!(kept.query("SELECT 1").value().as_deref(), Some("1"));
}

#[test]
fn tls_from_the_first_byte_must_name_the_protocol() {
    let world = world();
    let files = Directory::new("direct");
    let mut larder = world.encrypting(&files, "require");
    let login = |tunnel: u16| Login::new(tunnel, "postgres", "postgres");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let caller = Caller::new(None, &["postgresql"], Some(version)).direct();
        let tunnel = caller.tunnel(larder.port);
        let mut client = login(tunnel.port).connect();
        assert_eq!(client.query("SELECT 1").value().as_deref(), Some("1"));
    }
    for names in [&[][..], &["http/1.1"]] {
        let caller = Caller::new(None, names, None);
        assert!(
            caller.clone().direct().shown(larder.port).is_err(),
            "{names:?}"
        );
        // Asked for first, the name may be missing, but not be another.
        assert_eq!(
            caller.shown(larder.port).is_ok(),
            names.is_empty(),
            "{names:?}"
        );
    }
    // A Larder before a Larder reaches it so.
    let url = format!(
        "postgres://postgres@localhost:{}/postgres?sslmode=verify-full&sslrootcert={}&sslnegotiation=direct",
        larder.port,
        world.root()
    );
    let before = Setup::new(&url).start();
    let mut client = login(before.port).connect();
    assert_eq!(client.query("SELECT 2").value().as_deref(), Some("2"));
    assert!(larder.alive());
    let off = world.larder(|setup| setup);
    let caller = Caller::plain().direct();
    assert!(caller.shown(off.port).is_err());
}

/// Needs a libpq of PostgreSQL 17 or later: the directory of one in `LARDER_TEST_LIBPQ17`.
#[test]
fn libpq_17_starts_tls_at_once() {
    let Some(library) = std::env::var_os("LARDER_TEST_LIBPQ17") else {
        eprintln!(
            "SKIPPED: libpq_17_starts_tls_at_once: LARDER_TEST_LIBPQ17 names no libpq of PostgreSQL 17"
        );
        return;
    };
    let world = world();
    let files = Directory::new("libpq17");
    let larder = world.encrypting(&files, "require");
    let root = format!("sslrootcert={} sslnegotiation=direct", world.root());
    let output = psql(
        &connection(larder.port, "verify-full", &root),
        &["SELECT 1", "\\conninfo"],
        Some(library.as_ref()),
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("SSL connection"), "{text} {output:?}");
}

#[test]
fn hits_over_tls_are_the_same_bytes() {
    let world = world();
    let files = Directory::new("hits");
    let ours = world.authority.issue("larder", &["localhost"]);
    let larder = Setup::new(&world.url("postgres", "localhost", "sslmode=require"))
        .set("TLS__MODE", "require")
        .set("TLS__CERTIFICATE", &files.file("c", &ours.certificate))
        .set("TLS__KEY", &files.file("k", &ours.key))
        .start();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let tunnel = Caller::new(None, &["postgresql"], Some(version)).tunnel(larder.port);
        let login = Login::new(world.server.port(), "postgres", "postgres");
        let through = login.clone().port(tunnel.port);
        wait(
            || {
                let mut client = through.connect();
                client.query("SELECT count(*) FROM t");
                client.larder_last() == "hit"
            },
            || larder.log(),
        );
        let hits = larder.outcome("hit");
        let script = |login: &Login| {
            let mut client = login.connect();
            let mut all = client.query("SELECT id, name FROM t ORDER BY id");
            let bound = Batch::new()
                .unnamed("SELECT name FROM t WHERE id = $1", &["7"])
                .unnamed("SELECT name FROM t WHERE id > $1", &["50"])
                .sync();
            all.extend(client.run(bound));
            all.extend(client.query("SELECT nothing FROM t"));
            normalised(all)
        };
        let expected = script(&login);
        for round in 1..=3 {
            assert_same(&format!("round {round}"), &expected, &script(&through));
        }
        assert!(larder.outcome("hit") > hits + 1.0);
    }
}

#[test]
fn a_slow_reader_over_tls_costs_little_memory() {
    let world = world();
    let files = Directory::new("slow");
    let ours = world.authority.issue("larder", &["localhost"]);
    let larder = Setup::new(&world.url("postgres", "localhost", "sslmode=require"))
        .set("TLS__MODE", "require")
        .set("TLS__CERTIFICATE", &files.file("c", &ours.certificate))
        .set("TLS__KEY", &files.file("k", &ours.key))
        .start();
    let tunnel = Caller::plain().tunnel(larder.port);
    let mut client = Login::new(tunnel.port, "postgres", "postgres").connect();
    client.ok("SELECT 1");
    let before = larder.resident();
    let rows = 1000;
    client.send(Batch::new().query(&format!(
        "SELECT repeat('x', 100000) FROM generate_series(1, {rows})"
    )));
    std::thread::sleep(Duration::from_secs(1));
    let held = larder.resident().saturating_sub(before);
    assert!(held < 16 << 20, "{held} bytes while nobody reads");
    let bytes = client.skim_until_ready();
    assert!(bytes > rows * 100_000, "{bytes}");
    let after = larder.resident().saturating_sub(before);
    assert!(after < 16 << 20, "{after} bytes afterwards");
    client.ok("SELECT 2");
}

fn live(larder: &Larder) -> f64 {
    larder.metric("larder_client_connections", &[])
}

#[test]
fn connections_that_break_leave_nothing_behind() {
    let world = world();
    let files = Directory::new("broken");
    let ours = world.authority.issue("larder", &["localhost"]);
    let relay = Relay::to(world.server.port());
    let url = format!(
        "postgres://postgres@localhost:{}/postgres?sslmode=require",
        relay.port
    );
    let mut larder = Setup::new(&url)
        .set("TLS__MODE", "allow")
        .set("TLS__CERTIFICATE", &files.file("c", &ours.certificate))
        .set("TLS__KEY", &files.file("k", &ours.key))
        .start();
    let login = Login::new(larder.port, "postgres", "postgres");
    // The upstream's connection is cut within an answer, and within its handshake.
    let mut client = login.connect();
    relay.set(Fault::CutAfter(Toward::Client, 50_000));
    client.send(Batch::new().query("SELECT repeat('x', 1000) FROM generate_series(1, 1000)"));
    while let Ok(frame) = client.try_frame() {
        assert!(matches!(frame.tag, b'T' | b'D' | b'E'), "{frame:?}");
    }
    for at in [0, 1, 5, 100, 1000] {
        relay.set(Fault::CutAfter(Toward::Client, at));
        let refused = login.try_connect().err().expect("no upstream");
        assert!(
            matches!(refused.sqlstate().as_deref(), Some("08001" | "08006")),
            "{at}: {refused:?}"
        );
    }
    relay.heal();
    // Clients leave in the middle of everything.
    let caller = Caller::plain();
    let tunnel = caller.tunnel(larder.port);
    let login = login.port(tunnel.port);
    for how in [Shutdown::Write, Shutdown::Both] {
        let mut client = login.connect();
        client.send(Batch::new().query("SELECT pg_sleep(0.2)"));
        client.sock.shutdown(how);
    }
    for sent in [&REQUEST[..], &[0x16, 3, 1, 0], &[0x16, 3, 1, 2, 0, 1, 0, 1]] {
        let mut socket = TcpStream::connect(("127.0.0.1", larder.port)).unwrap();
        socket.write_all(sent).unwrap();
    }
    wait(|| live(&larder) == 0.0, || larder.log());
    assert!(larder.alive());
    assert_eq!(
        login.connect().query("SELECT 3").value().as_deref(),
        Some("3")
    );
}

fn raw(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    socket
}

fn rest(mut socket: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = socket.read_to_end(&mut rest);
    rest
}

#[test]
fn what_is_no_handshake_is_closed() {
    let world = world();
    let files = Directory::new("garbage");
    let mut larder = world.encrypting(&files, "allow");
    let asked = || {
        let mut socket = raw(larder.port);
        socket.write_all(&REQUEST).unwrap();
        let mut answer = [0];
        socket.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *b"S");
        socket
    };
    // Not TLS; a startup message; a handshake message of 16 MB; a record of the wrong kind.
    let endless = [
        &[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..],
        &[0; 16_379],
    ]
    .concat();
    let startup = Login::new(0, "postgres", "postgres").startup();
    let garbage = [0xaa; 5000];
    for sent in [
        &garbage[..],
        &startup,
        &endless,
        &[0x17, 3, 3, 0, 5, 1, 2, 3, 4, 5],
    ] {
        let mut socket = asked();
        let _ = socket.write_all(sent);
        let answer = rest(socket);
        assert!(
            answer.is_empty() || answer[0] == 0x15,
            "no alert: {answer:?}"
        );
    }
    // One that never ends holds its own connection only, until the limit of a login.
    let before = larder.resident();
    let mut slow: Vec<TcpStream> = (0..50).map(|_| asked()).collect();
    for socket in &mut slow {
        socket
            .write_all(&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc])
            .unwrap();
    }
    for _ in 0..20 {
        slow.iter_mut()
            .for_each(|s| s.write_all(&[0; 100]).unwrap());
    }
    assert!(larder.resident() < before + (16 << 20));
    let tunnel = Caller::plain().tunnel(larder.port);
    let login = Login::new(tunnel.port, "postgres", "postgres");
    assert_eq!(
        login.connect().query("SELECT 4").value().as_deref(),
        Some("4")
    );
    drop(slow);
    assert!(larder.alive());
}

#[test]
fn requests_for_encryption_are_answered_once_and_in_order() {
    const GSS: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];
    let world = world();
    let files = Directory::new("requests");
    let larder = world.encrypting(&files, "allow");
    let ask = |socket: &mut TcpStream, request: &[u8]| {
        socket.write_all(request).unwrap();
        let mut answer = [0];
        socket.read_exact(&mut answer).unwrap();
        answer[0]
    };
    // Bytes behind a request are nobody's.
    let startup = Login::new(0, "postgres", "postgres").startup();
    for request in [REQUEST, GSS] {
        let mut socket = raw(larder.port);
        socket
            .write_all(&[&request[..], &startup].concat())
            .unwrap();
        let answer = rest(socket);
        assert_eq!(answer[0], b'E');
        assert!(String::from_utf8_lossy(&answer).contains("received unencrypted data"));
    }
    // GSSAPI, then TLS or plain text; never twice.
    let mut socket = raw(larder.port);
    assert_eq!(ask(&mut socket, &GSS), b'N');
    assert_eq!(ask(&mut socket, &REQUEST), b'S');
    let mut socket = raw(larder.port);
    assert_eq!(ask(&mut socket, &GSS), b'N');
    socket.write_all(&startup).unwrap();
    let mut answer = [0];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], b'R');
    let mut socket = raw(larder.port);
    assert_eq!(ask(&mut socket, &GSS), b'N');
    socket.write_all(&GSS).unwrap();
    assert!(
        String::from_utf8_lossy(&rest(socket)).contains("unsupported frontend protocol 1234.5680")
    );
    let off = world.larder(|setup| setup.socket(&files.0));
    let mut socket = raw(off.port);
    assert_eq!(ask(&mut socket, &REQUEST), b'N');
    socket.write_all(&startup).unwrap();
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer[0], b'R');
}

#[test]
fn unix_sockets_are_never_encrypted() {
    let world = world();
    let files = Directory::new("unix");
    let larder = world.larder(|setup| {
        setup
            .set("TLS__MODE", "require")
            .set("TLS__SELF_SIGNED", "true")
            .socket(&files.0)
    });
    let port = larder.port;
    let path = files.0.join(format!(".s.PGSQL.{port}"));
    let mut socket = std::os::unix::net::UnixStream::connect(&path).unwrap();
    socket.write_all(&REQUEST).unwrap();
    let mut answer = [0];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"N");
    let mut client = Login::new(0, "postgres", "postgres")
        .socket(&path)
        .connect();
    assert_eq!(client.query("SELECT 5").value().as_deref(), Some("5"));
    // Nor are the upstream's.
    let directory = world.server.socket_directory().display().to_string();
    let url = format!(
        "postgres:///postgres?host={directory}&port={}&user=postgres&sslmode=require",
        world.server.port()
    );
    let larder = Setup::new(&url).start();
    let login = Login::new(0, "postgres", "postgres");
    assert_eq!(upstream_is_encrypted(&larder, &login), Ok(false));
}

#[test]
fn cancel_reaches_a_query_over_tls() {
    let world = world();
    let files = Directory::new("cancel");
    let ours = world.authority.issue("larder", &["localhost"]);
    let larder = Setup::new(&world.url("secured", "localhost", "sslmode=require"))
        .set("TLS__MODE", "allow")
        .set("TLS__CERTIFICATE", &files.file("c", &ours.certificate))
        .set("TLS__KEY", &files.file("k", &ours.key))
        .start();
    let tunnel = Caller::plain().tunnel(larder.port);
    for way in [larder.port, tunnel.port] {
        let mut client = Login::new(tunnel.port, "secured", "postgres").connect();
        client.send(Batch::new().query("SELECT pg_sleep(60)"));
        std::thread::sleep(Duration::from_millis(300));
        cancel(way, client.key);
        let answer = client.until_ready();
        assert_eq!(answer.sqlstate().as_deref(), Some("57014"));
    }
    assert!(
        !larder.log().contains("could not be passed on"),
        "{}",
        larder.log()
    );
}

#[test]
fn a_relayed_login_binds_its_channel_or_says_why_not() {
    let world = world();
    let files = Directory::new("scram");
    let larder = |upstream: &str, identity: &Identity| {
        Setup::new(&world.url("postgres", "localhost", &format!("sslmode={upstream}")))
            .set("TLS__MODE", "allow")
            .set("TLS__CERTIFICATE", &files.file("c", &identity.certificate))
            .set("TLS__KEY", &files.file("k", &identity.key))
            .start()
    };
    let login = |port: u16, mode: &str, binding: &str| {
        let more = format!("user=scrammed password='{PASSWORD}' channel_binding={binding}");
        said(&connection(port, mode, &more), &["SELECT 6"])
    };
    let ours = world.authority.issue("larder", &["localhost"]);
    // One leg encrypted, or none.
    for (upstream, mode) in [
        ("disable", "disable"),
        ("disable", "require"),
        ("require", "disable"),
    ] {
        let larder = larder(upstream, &ours);
        for binding in ["prefer", "disable"] {
            let got = login(larder.port, mode, binding);
            assert_eq!(got.as_deref(), Ok("6"), "{upstream} {mode} {binding}");
        }
        // Larder's own connection as well.
        let own = Login::new(0, "scrammed", "postgres").password(PASSWORD);
        larder.wait_hit(&own, "SELECT name FROM t WHERE id = 3");
    }
    // Both.
    let both = larder("require", &ours);
    assert_eq!(login(both.port, "require", "disable").as_deref(), Ok("6"));
    for binding in ["prefer", "require"] {
        let error = login(both.port, "require", binding).unwrap_err();
        assert!(error.contains("channel binding cannot pass"), "{error}");
        assert!(error.contains("sslmode=disable"), "no advice: {error}");
    }
    let output = psql(
        &connection(
            both.port,
            "require",
            &format!("user=scrammed password='{PASSWORD}'"),
        ),
        &["SELECT 6"],
        None,
    );
    assert!(!output.status.success());
    // With one certificate for both, what the client binds is what the upstream knows.
    let same = larder("require", &world.identity);
    for binding in ["disable", "prefer", "require"] {
        let got = login(same.port, "require", binding);
        assert_eq!(got.as_deref(), Ok("6"), "{binding}");
    }
}

#[test]
fn larders_own_logins_bind_their_channel() {
    let world = world();
    let login = Login::new(0, "scrammed", "postgres").password(PASSWORD);
    for binding in ["disable", "prefer", "require"] {
        let parameters = format!("sslmode=require&channel_binding={binding}");
        let larder = Setup::new(&world.url("scrammed", "localhost", &parameters)).start();
        larder.wait_hit(&login, "SELECT name FROM t WHERE id = 4");
    }
    // Where it cannot be, Larder does not log in.
    let url = world.url(
        "scrammed",
        "localhost",
        "sslmode=allow&channel_binding=require",
    );
    let larder = Setup::new(&url).start();
    let refused = login.port(larder.port).try_connect().err().unwrap();
    assert_eq!(refused.sqlstate().as_deref(), Some("28000"), "{refused:?}");
    wait_log(&larder, "no catalog");
}
