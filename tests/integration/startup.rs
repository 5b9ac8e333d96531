//! P6 and P7: the first message, in every form that PostgreSQL reads, and what it means for whose answers are whose.

use crate::ground::{Ground, SUPERUSER, assert_same, create_database_on};
use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres};
use crate::wireclient::{Answered, Batch, Client, Login, Transcript, normalised};
use std::io::{Read, Write};
use std::path::PathBuf;

const SCHEMA: &str = "
    CREATE TABLE things (id int, at timestamptz, ratio float8);
    INSERT INTO things VALUES (1, '2024-03-04 05:06:07Z', 0.1::float8 + 0.2);
    CREATE SCHEMA \"other place\"; CREATE TABLE \"other place\".things AS SELECT 2 AS id, at, ratio FROM things;";

const READS: [&str; 3] = [
    "SELECT id FROM things",
    "SELECT at FROM things",
    "SELECT ratio FROM things",
];

fn reads(client: &mut Client) -> Transcript {
    let all = READS.iter().chain(&READS);
    all.flat_map(|read| client.query(read)).collect()
}

fn values(client: &mut Client) -> Vec<Option<String>> {
    READS
        .iter()
        .map(|read| client.query(read).value())
        .collect()
}

#[test]
fn p6_options_are_read_as_postgresql_reads_them() {
    let ground = Ground::new("startup_options", SCHEMA);
    ground.warm("things");
    let options = [
        "",
        " ",
        "-c TimeZone=Asia/Tokyo",
        "-cTimeZone=Asia/Tokyo",
        "-c TimeZone=Asia/Tokyo -c extra_float_digits=-3",
        "  -c   TimeZone=Asia/Tokyo   --extra-float-digits=-3  ",
        "--TimeZone=Asia/Tokyo",
        "--search_path=\"other\\ place\"",
        "-c search_path=\\\"other\\ place\\\",public",
        "-c search_path=other\\ place",
        "-c datestyle=German,\\ DMY",
        "-c DateStyle=German -c datestyle=ISO",
        "-c my.setting=a\\\\b",
        "-c search_path=nowhere",
        "-e -c TimeZone=Asia/Tokyo",
        "-c statement_timeout=1min -c work_mem=1MB",
        "-c TimeZone=Mars",
        "-c nosuch=1",
        "--nosuch",
        "-c",
        "-Z",
        "words",
    ];
    for option in options {
        let login = ground.login().parameter("options", option);
        match login.try_connect() {
            Ok(_) => ground.same_as(&login, option, reads),
            Err(expected) => {
                let got = ground.over(&login).try_connect().err();
                assert_same(option, &expected, &got.unwrap_or_default());
            }
        }
    }
    // The same by name, in any case, last one first; and both.
    for (name, value) in [
        ("TIMEZONE", "Asia/Tokyo"),
        ("datestyle", "German"),
        ("Search_Path", "\"other place\""),
        ("extra_float_digits", "-3"),
    ] {
        let login = ground.login().parameter(name, value);
        ground.same_as(&login, name, reads);
        let login = login.parameter("options", "-c TimeZone=America/Lima -c DateStyle=SQL");
        ground.same_as(&login, name, reads);
    }
}

#[test]
fn p6_clients_with_different_options_share_only_equal_bytes() {
    let ground = Ground::new("startup_share", SCHEMA);
    ground.warm("things");
    let with = |options: &str| ground.login().parameter("options", options);
    let (tokyo, german) = (with("-c TimeZone=Asia/Tokyo"), with("-c DateStyle=German"));
    let expected = [&tokyo, &german].map(|login| values(&mut login.connect()));
    for _ in 0..3 {
        for (login, expected) in [&tokyo, &german].into_iter().zip(&expected) {
            assert_eq!(values(&mut ground.over(login).connect()), *expected);
        }
    }
    let mut client = ground.over(&tokyo).connect();
    client.ok(READS[1]);
    assert_eq!(client.larder_last(), "hit", "the same options");
}

#[test]
fn p6_defaults_of_roles_never_mix_and_hold_for_sessions_to_come() {
    let ground = Ground::alone("startup_roles", SCHEMA);
    ground.warm("things");
    let mut admin = ground.direct();
    admin.ok("CREATE ROLE plain SUPERUSER LOGIN; CREATE ROLE fancy SUPERUSER LOGIN");
    admin.ok(
        "ALTER ROLE fancy SET DateStyle = German; ALTER ROLE fancy SET extra_float_digits = -3",
    );
    admin.ok("ALTER ROLE fancy IN DATABASE startup_roles SET search_path = 'other place'");
    let [plain, fancy] = ["plain", "fancy"].map(|user| ground.login_as(user));
    let expected = [&plain, &fancy].map(|login| values(&mut login.connect()));
    assert!(expected[0].iter().zip(&expected[1]).all(|(a, b)| a != b));
    for _ in 0..3 {
        for (login, expected) in [&plain, &fancy].into_iter().zip(&expected) {
            assert_eq!(values(&mut ground.over(login).connect()), *expected);
        }
    }
    let mut before = ground.over(&fancy).connect();
    values(&mut before);
    for (through, way) in [(true, "seen"), (false, "made past Larder")] {
        let zone = if through {
            "Asia/Tokyo"
        } else {
            "America/Lima"
        };
        let mut who = if through {
            ground.through()
        } else {
            ground.direct()
        };
        who.ok(&format!("ALTER ROLE fancy SET TimeZone = '{zone}'"));
        let now = values(&mut fancy.connect());
        assert_ne!(now, expected[1]);
        for _ in 0..3 {
            let new = values(&mut ground.over(&fancy).connect());
            assert_eq!(new, now, "{way}: a session that begins now");
            assert_eq!(values(&mut before), expected[1], "{way}: one that runs");
        }
    }
}

#[test]
fn p7_names_are_postgresqls_to_judge() {
    let ground = Ground::new("startup_names", SCHEMA);
    let long = "n".repeat(70);
    let mut admin = ground.direct();
    admin.ok(&format!("DROP DATABASE IF EXISTS {long} WITH (FORCE)"));
    admin.ok(&format!("CREATE DATABASE {long}"));
    let cut = &long[..63];
    let packet = |parameters: &[(&str, &str)]| {
        let mut body = 196_608i32.to_be_bytes().to_vec();
        for (name, value) in parameters {
            body.extend(format!("{name}\0{value}\0").bytes());
        }
        body.push(0);
        sized(&body)
    };
    let user = SUPERUSER;
    for parameters in [
        vec![],
        vec![("user", "")],
        vec![("database", "postgres")],
        vec![("user", user)],
        vec![("user", user), ("database", "")],
        vec![("user", "nobody at all")],
        vec![("user", user), ("database", "no such")],
        vec![("user", user), ("database", cut)],
        vec![("user", "nobody"), ("user", user)],
        vec![("user", user), ("nosuch", "1")],
        vec![("user", user), ("replication", "off")],
        vec![("user", user), ("replication", "true")],
        vec![("user", user), ("replication", "database")],
        vec![("user", user), ("replication", "maybe")],
    ] {
        let packet = packet(&parameters);
        let greet = |port| normalised(greeting(port, &packet, false));
        let (expected, got) = (greet(ground.port), greet(ground.larder.port));
        assert_same(&format!("{parameters:?}"), &expected, &got);
    }
    // Where PostgreSQL cuts a name itself, both are one database: a write under one is seen under the other.
    let logins = [cut, &long].map(|name| Login::new(ground.larder.port, user, name));
    if let (Ok(mut a), Ok(mut b)) = (logins[0].try_connect(), logins[1].try_connect()) {
        a.ok("CREATE TABLE one (n int); INSERT INTO one VALUES (1)");
        ground.larder.wait_hit(&logins[0], "SELECT n FROM one");
        b.ok("UPDATE one SET n = 2");
        assert_eq!(a.query("SELECT n FROM one").value().as_deref(), Some("2"));
    }
    drop(logins);
    admin.ok(&format!("DROP DATABASE {long} WITH (FORCE)"));
}

fn sized(body: &[u8]) -> Vec<u8> {
    let mut packet = (body.len() as i32 + 4).to_be_bytes().to_vec();
    packet.extend_from_slice(body);
    packet
}

/// What comes of a startup packet, up to the first ReadyForQuery or the end; `read`: and of a statement.
fn greeting(port: u16, packet: &[u8], read: bool) -> Transcript {
    let login = Login::new(port, SUPERUSER, "");
    let mut client = Client::over(login.dial().expect("a connection"));
    client.send(Batch(packet.to_vec()));
    let mut greeting = client.until_ready();
    if read && client.status == b'I' {
        for frame in &mut greeting {
            if frame.tag == b'K' {
                frame.body.fill(0);
            }
        }
        greeting.extend(client.query("SELECT id FROM things"));
    }
    greeting
}

/// A startup packet of protocol 3.`minor`.
fn startup(database: &str, minor: u16, extra: &str) -> Vec<u8> {
    let mut body = (3 << 16 | i32::from(minor)).to_be_bytes().to_vec();
    body.extend(format!("user\0{SUPERUSER}\0database\0{database}\0{extra}\0").bytes());
    sized(&body)
}

fn versions_are_negotiated_by(port: u16, larder: &Larder, database: &str) {
    for (minor, extra) in [
        (0, ""),
        (0, "_pq_.nosuch\x001\0"),
        (1, ""),
        (2, ""),
        (2, "_pq_.nosuch\x001\0_pq_.other\0x\0"),
        (3, ""),
        (9999, "_pq_.test_protocol_negotiation\0\0"),
    ] {
        let packet = startup(database, minor, extra);
        let expected = normalised(greeting(port, &packet, true));
        for round in 0..3 {
            let got = normalised(greeting(larder.port, &packet, true));
            assert_same(&format!("3.{minor} {extra:?} {round}"), &expected, &got);
        }
    }
}

#[test]
fn p7_protocol_versions_are_the_servers_to_negotiate() {
    let ground = Ground::new("startup_versions", SCHEMA);
    ground.warm("things");
    versions_are_negotiated_by(ground.port, &ground.larder, &ground.database);
    let packet = [&[0, 0, 0, 9][..], &[0, 2, 0, 0, 0]].concat();
    let refused = greeting(ground.larder.port, &packet, false);
    assert_eq!(refused.sqlstate().as_deref(), Some("0A000"), "{refused:?}");
}

/// PostgreSQL 18: `LARDER_TEST_PG18_BINDIR`, or where Debian has it.
fn postgresql_18(options: Options) -> Option<Postgres> {
    let given = std::env::var_os("LARDER_TEST_PG18_BINDIR").map(PathBuf::from);
    let place = given.unwrap_or_else(|| "/usr/lib/postgresql/18/bin".into());
    if place.join("initdb").is_file() {
        return Some(options.binaries(place).start());
    }
    eprintln!("NOT TESTED: no PostgreSQL 18; LARDER_TEST_PG18_BINDIR says where it is");
    None
}

#[test]
fn p7_protocol_3_2_and_its_long_cancel_keys() {
    let Some(server) = postgresql_18(Options::new()) else {
        return;
    };
    create_database_on(server.port(), "startup_18", SCHEMA);
    let larder = Setup::new(&server.url(SUPERUSER, "startup_18")).start();
    larder.wait_hit(&larder.login(SUPERUSER, "startup_18"), READS[0]);
    versions_are_negotiated_by(server.port(), &larder, "startup_18");

    let login = larder.login(SUPERUSER, "startup_18");
    let mut client = Client::over(login.dial().expect("a connection"));
    client.send(Batch(startup("startup_18", 2, "")));
    let greeting = client.until_ready();
    let key = greeting.iter().find(|frame| frame.tag == b'K');
    let key = key.expect("BackendKeyData").body.clone();
    assert!(key.len() > 8, "a key of {} bytes", key.len());
    client.ok(READS[0]);
    assert_eq!(client.larder_last(), "hit");

    only_the_whole_key_cancels(&login, &mut client, &key);
    psql_18(&server, &larder);
}

/// A key that is cut short reaches nothing, the whole one the query.
fn only_the_whole_key_cancels(login: &Login, client: &mut Client, key: &[u8]) {
    client.send(Batch::new().query("SELECT pg_sleep(60)"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    for (key, hears) in [(&key[..8], key.len() == 8), (key, true)] {
        let mut sock = login.dial().expect("a connection");
        let body = [&80_877_102i32.to_be_bytes()[..], key].concat();
        sock.write_all(&sized(&body)).expect("the cancel request");
        let _ = sock.read(&mut [0; 1]);
        if hears {
            let answer = client.until_ready();
            assert_eq!(answer.sqlstate().as_deref(), Some("57014"));
            break;
        }
        let second = std::time::Duration::from_secs(1);
        assert!(client.frame_within(second).is_none());
    }
}

/// A server that asks `app` for a password, and a login.
fn guarded(server: &Postgres) -> Login {
    create_database_on(server.port(), "startup_let_in", SCHEMA);
    let mut admin = Login::new(server.port(), SUPERUSER, "startup_let_in").connect();
    admin.ok("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'");
    Login::new(server.port(), "app", "startup_let_in").password("secret")
}

/// What is settled at login: the messages' types up to the first ParameterStatus, what is negotiated, the key's length.
fn settled(login: &Login) -> (String, Vec<Vec<u8>>, usize) {
    let client = login.connect();
    let of = |tag: u8| client.greeting.iter().filter(move |f| f.tag == tag);
    let tags = client.greeting.tags();
    let before = tags.split('S').next().unwrap_or_default().to_owned();
    let negotiated = of(b'v').map(|f| f.body.clone()).collect();
    (before, negotiated, of(b'K').map(|f| f.body.len()).sum())
}

/// Whom Larder lets in it speaks to itself, and so as PostgreSQL 18 does, whatever server is behind.
#[test]
fn p7_clients_that_are_let_in_speak_protocol_3_2() {
    let options = || Options::new().hba("host all app 127.0.0.1/32 scram-sha-256");
    let server = options().start();
    let login = guarded(&server);
    let url = format!("postgres://app:secret@127.0.0.1:{}/x", server.port());
    let larder = Setup::new(&url).start();
    let login = login.port(larder.port);
    larder.wait_hit(&login, READS[0]);

    // Asked for what is spoken, nothing is negotiated.
    let bare = "RRRR".to_owned();
    for (minor, key) in [(0, 8), (1, 8), (2, 36)] {
        let login = login.clone().minor(minor);
        assert_eq!(settled(&login), (bare.clone(), vec![], key), "3.{minor}");
        let mut client = login.connect();
        client.ok(READS[0]);
        assert_eq!(client.larder_last(), "hit", "3.{minor}");
        let sent = client.greeting.iter().find(|frame| frame.tag == b'K');
        let key = sent.expect("BackendKeyData").body.clone();
        only_the_whole_key_cancels(&login, &mut client, &key);
    }
    // More than that is, before the password is asked for.
    let latest = [0, 3, 0, 2];
    let (none, one) = (&[0, 0, 0, 0][..], &b"\0\0\0\x01_pq_.x\0"[..]);
    let asked = [
        (login.clone().minor(3), [&latest, none].concat(), 36),
        (login.clone().minor(9999), [&latest, none].concat(), 36),
        (
            login.clone().minor(2).parameter("_pq_.x", "1"),
            [&latest, one].concat(),
            36,
        ),
        (
            login.clone().parameter("_pq_.x", "1"),
            [&[0, 3, 0, 0], one].concat(),
            8,
        ),
    ];
    for (login, told, key) in &asked {
        assert_eq!(
            settled(login),
            (format!("v{bare}"), vec![told.clone()], *key)
        );
    }
    let Some(newest) = postgresql_18(options()) else {
        return;
    };
    guarded(&newest);
    let plain = [0, 1, 2].map(|minor| login.clone().minor(minor));
    for login in asked.into_iter().map(|(login, ..)| login).chain(plain) {
        let direct = login.clone().port(newest.port());
        assert_eq!(settled(&login), settled(&direct));
    }
}

/// The version's own psql through Larder, where it was unpacked with it.
fn psql_18(server: &Postgres, larder: &Larder) {
    let given = std::env::var_os("LARDER_TEST_PG18_BINDIR").map(PathBuf::from);
    let psql = given
        .map(|place| place.join("psql"))
        .filter(|psql| psql.is_file());
    let Some(psql) = psql else {
        eprintln!("NOT TESTED: psql of PostgreSQL 18");
        return;
    };
    let run = |port: u16| {
        let words = format!(
            "host=127.0.0.1 port={port} user={SUPERUSER} dbname=startup_18 min_protocol_version=3.2 max_protocol_version=3.2 sslmode=disable"
        );
        let mut command = std::process::Command::new(&psql);
        command.env("LD_LIBRARY_PATH", psql.join("../../lib"));
        let output = command
            .args(["-XAtd", &words, "-c", READS[0], "-c", READS[0]])
            .output();
        let output = output.expect("psql");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    assert_eq!(run(larder.port), run(server.port()));
}
