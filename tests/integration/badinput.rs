//! P8: bad input ends in bypass, refusal or a closed connection, and no other client notices.

use crate::faults::{Fault, Relay, Toward};
use crate::ground::{Ground, SUPERUSER, assert_same, create_database, server_port, upstream};
use crate::larder::{Larder, Setup, free_port};
use crate::wireclient::{Answered, Batch, Bind, Client, Login};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 50) g;";

const READ: &str = "SELECT name FROM items WHERE id = 1";

/// A client that was there before, and must not notice anything.
struct Witness(Client);

impl Witness {
    fn new(larder: &Larder, database: &str) -> Self {
        let mut client = larder.login(SUPERUSER, database).connect();
        client.ok(READ);
        Self(client)
    }

    fn is_well(&mut self, what: &str) {
        assert_eq!(
            self.0.query(READ).value().as_deref(),
            Some("item 1"),
            "the witness of: {what}"
        );
        assert_eq!(
            self.0
                .extended("SELECT count(*) FROM items", &[])
                .value()
                .as_deref(),
            Some("50"),
            "the witness of: {what}"
        );
    }
}

/// Sends bytes instead of a startup packet and returns what comes back until the other side closes.
fn instead_of_startup(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut sock = Login::new(port, SUPERUSER, "x").dial().unwrap();
    let _ = sock.write_all(bytes);
    sock.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let mut client = Client::over(sock);
    let _ = client.sock.read_to_end(&mut answer);
    answer
}

#[test]
fn p8_before_startup_nonsense_is_closed() {
    let mut ground = Ground::new("bad_startup", SCHEMA);
    ground.warm("items");
    let mut witness = Witness::new(&ground.larder, "bad_startup");
    let port = ground.larder.port;
    let packet = |len: i32, rest: &[u8]| [&len.to_be_bytes()[..], rest].concat();
    let startup = 196_608i32.to_be_bytes();
    let before = ground.larder.resident();
    let mut ten_megabytes = packet(10 << 20, &startup);
    ten_megabytes.resize(10 << 20, b'a');
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("one byte", vec![0]),
        ("a length of zero", packet(0, &startup)),
        ("a length of three", packet(3, &startup)),
        ("a negative length", packet(-8, &startup)),
        ("the largest length", packet(i32::MAX, &startup)),
        ("a packet of 10 MB", ten_megabytes),
        ("a packet that ends early", packet(100, &startup)),
        ("no terminator", packet(16, b"\0\x03\0\0user\0x\0\0")),
        ("a name without value", packet(14, b"\0\x03\0\0user\0")),
        ("no user", packet(9, b"\0\x03\0\0\0")),
        ("an unknown version", packet(9, b"\0\x09\0\0\0")),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        (
            "TLS without asking",
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        ),
        ("a short cancel", packet(12, b"\x04\xd2\x16\x2e\0\0\0\x01")),
        (
            "a cancel of nobody",
            packet(16, b"\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x01"),
        ),
    ] {
        let answer = instead_of_startup(port, &bytes);
        let served = answer.windows(5).any(|w| w == b"Z\0\0\0\x05");
        assert!(!served, "{what}: {:?}", answer.escape_ascii().to_string());
        witness.is_well(what);
    }
    assert!(ground.larder.resident() < before + (32 << 20));
    assert!(ground.larder.alive());
}

/// Bytes behind an SSLRequest would be taken for encrypted ones by whoever is tricked: refused (CVE-2021-23222).
#[test]
fn p8_bytes_behind_sslrequest_are_refused() {
    let ground = Ground::new("bad_ssl", SCHEMA);
    let login = ground.over(&ground.login());
    for code in [80_877_103i32, 80_877_104] {
        let mut sock = login.dial().unwrap();
        let bytes = [
            &8i32.to_be_bytes()[..],
            &code.to_be_bytes(),
            &login.startup(),
        ]
        .concat();
        sock.write_all(&bytes).unwrap();
        let mut client = Client::over(sock);
        let mut answer = Vec::new();
        let _ = client.sock.read_to_end(&mut answer);
        assert!(
            !answer.windows(4).any(|w| w == b"\0\0\0\x08"),
            "no AuthenticationOk: {:?}",
            answer.escape_ascii().to_string()
        );
    }
    assert_eq!(
        ground.through().query(READ).value().as_deref(),
        Some("item 1")
    );
}

#[test]
fn p8_bad_messages_end_only_their_own_session() {
    let mut ground = Ground::new("bad_messages", SCHEMA);
    ground.warm("items");
    let mut witness = Witness::new(&ground.larder, "bad_messages");
    let before = ground.larder.resident();
    let header = |tag: u8, len: i32| [&[tag][..], &len.to_be_bytes()].concat();
    for (what, bytes) in [
        ("an unknown type", Batch::new().raw(b'?', b"what").0),
        ("type zero", Batch::new().raw(0, b"").0),
        ("a length below four", header(b'Q', 3)),
        ("a length of zero", header(b'P', 0)),
        ("a negative length", header(b'Q', -1)),
        ("the largest length", header(b'Q', i32::MAX)),
        ("a gigabyte announced, nothing sent", header(b'd', 1 << 30)),
        (
            "a Query without its end",
            Batch::new().raw(b'Q', b"SELECT 1").0,
        ),
        (
            "a NUL inside a Query",
            Batch::new().raw(b'Q', b"SELECT 1\0; DROP TABLE items\0").0,
        ),
        ("an empty Parse", Batch::new().raw(b'P', b"").0),
        (
            "a Parse that announces too many types",
            Batch::new().raw(b'P', b"\0SELECT 1\0\xff\xff").sync().0,
        ),
        ("an empty Bind", Batch::new().raw(b'B', b"").0),
        (
            "a Bind that announces too much",
            Batch::new()
                .parse("", READ, &[])
                .raw(b'B', b"\0\0\0\0\xff\xff")
                .sync()
                .0,
        ),
        (
            "a Bind with a negative length",
            Batch::new()
                .parse("", READ, &[])
                .raw(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xf0\0\0")
                .sync()
                .0,
        ),
        (
            "a Bind with bytes behind it",
            Batch::new()
                .parse("", READ, &[])
                .raw(b'B', b"\0\0\0\0\0\0\0\0more")
                .sync()
                .0,
        ),
        ("an empty Execute", Batch::new().raw(b'E', b"").sync().0),
        (
            "an Execute without limit",
            Batch::new().raw(b'E', b"\0").sync().0,
        ),
        (
            "Describe of neither",
            Batch::new().raw(b'D', b"X\0").sync().0,
        ),
        ("Close of neither", Batch::new().raw(b'C', b"X\0").sync().0),
        ("a Sync with a body", Batch::new().raw(b'S', b"body").0),
        (
            "a password out of place",
            Batch::new().raw(b'p', b"secret\0").0,
        ),
        (
            "CopyData out of place",
            Batch::new().copy_data(b"x").copy_done().0,
        ),
        ("CopyFail out of place", Batch::new().copy_fail("x").0),
        ("an empty FunctionCall", Batch::new().raw(b'F', b"").0),
        ("half a message", header(b'Q', 100)),
        (
            "server messages",
            Batch::new().raw(b'Z', b"I").raw(b'T', b"\0\0").0,
        ),
    ] {
        let script = |login: Login| {
            let mut client = login.connect();
            client.send(Batch(bytes.clone()).query("SELECT 'after'"));
            client.sock.shutdown(Shutdown::Write);
            let mut seen = Vec::new();
            while let Ok(frame) = client.try_frame() {
                seen.push(frame);
            }
            seen
        };
        let expected = script(ground.login());
        let got = script(ground.over(&ground.login()));
        // Where Larder refuses itself it need not use PostgreSQL's words, but never does it answer more.
        if expected != got {
            let (theirs, ours) = (expected.tags(), got.tags());
            let refusal = got.last().is_none_or(|f| f.tag == b'E') || ours == theirs;
            assert!(
                refusal && !got.iter().any(|f| f.tag == b'D'),
                "{what}: {theirs} direct, {ours} through Larder: {got:?}"
            );
        }
        witness.is_well(what);
    }
    assert!(
        ground.larder.resident() < before + (64 << 20),
        "announced lengths are not allocated"
    );
    assert!(ground.larder.alive());
    let log = ground.larder.log();
    assert!(!log.contains("panicked"), "{log}");
    assert!(!log.contains("secret"), "a password reached the log");
}

#[test]
fn p8_statements_no_parser_likes() {
    let mut ground = Ground::new("bad_sql", SCHEMA);
    ground.warm("items");
    let mut witness = Witness::new(&ground.larder, "bad_sql");
    let statements = [
        (
            "100,000 parentheses",
            format!(
                "SELECT {}1{} FROM items",
                "(".repeat(100_000),
                ")".repeat(100_000)
            ),
        ),
        (
            "100,000 parentheses, open",
            format!("SELECT {}1 FROM items", "(".repeat(100_000)),
        ),
        (
            "200,000 terms",
            format!("SELECT id{} FROM items WHERE id = 1", "+1".repeat(200_000)),
        ),
        (
            "200,000 minus signs",
            format!("SELECT id {} FROM items", "- ".repeat(200_000)),
        ),
        (
            "5,000 ANDs",
            format!(
                "SELECT id FROM items WHERE id = 1{}",
                " AND id > 0".repeat(5_000)
            ),
        ),
        (
            "20,000 sub-selects",
            format!(
                "SELECT id FROM {}items{}",
                "(SELECT id FROM ".repeat(20_000),
                ") s".repeat(20_000)
            ),
        ),
        (
            "30,000 UNIONs",
            format!(
                "SELECT id FROM items{}",
                " UNION ALL SELECT id FROM items".repeat(30_000)
            ),
        ),
        (
            "60,000 values in IN",
            format!(
                "SELECT id FROM items WHERE id IN (0{})",
                ",1".repeat(60_000)
            ),
        ),
        (
            "2,000 columns",
            format!("SELECT id{} FROM items", ", id".repeat(2_000)),
        ),
        (
            "10 MB of text",
            format!(
                "SELECT id, '{}' FROM items WHERE id = 1",
                "x".repeat(10 << 20)
            ),
        ),
        ("50,000 statements", "SELECT 1;".repeat(50_000)),
        (
            "an open comment",
            "SELECT id FROM items /* and so on".into(),
        ),
        (
            "nested comments",
            format!(
                "SELECT id FROM items {} x {}",
                "/*".repeat(1_000),
                "*/".repeat(1_000)
            ),
        ),
        ("an open string", "SELECT 'and so on FROM items".into()),
        (
            "an open dollar quote",
            "SELECT $q$and so on FROM items".into(),
        ),
        (
            "a long name",
            format!("SELECT {} FROM items", "n".repeat(100_000)),
        ),
        ("control characters", "SELECT \x01\x02 FROM items".into()),
        (
            "casts of casts",
            format!(
                "SELECT id{} FROM items WHERE id = 1",
                "::int".repeat(50_000)
            ),
        ),
        (
            "arrays of arrays",
            format!(
                "SELECT {}1{} FROM items",
                "ARRAY[".repeat(50_000),
                "]".repeat(50_000)
            ),
        ),
        (
            "CASE in CASE",
            format!(
                "SELECT {}1{} FROM items",
                "CASE WHEN true THEN ".repeat(30_000),
                " END".repeat(30_000)
            ),
        ),
    ];
    for (what, sql) in &statements {
        let expected = ground.direct().query(sql);
        for _ in 0..2 {
            assert_same(what, &expected, &ground.through().query(sql));
        }
        if !what.contains("statements") {
            let expected = ground.direct().extended(sql, &[]);
            for _ in 0..2 {
                assert_same(what, &expected, &ground.through().extended(sql, &[]));
            }
        }
        witness.is_well(what);
        assert!(ground.larder.alive(), "{what}");
    }
}

#[test]
fn p8_parameters_by_the_thousand() {
    let ground = Ground::new("bad_params", SCHEMA);
    ground.warm("items");
    let list: Vec<_> = (1..=65_535).map(|n| format!("${n}")).collect();
    let sql = format!(
        "SELECT id FROM items WHERE id IN ({}) ORDER BY id",
        list.join(",")
    );
    let params = vec![Some(&b"7"[..]); 65_535];
    let run = |c: &mut Client| {
        c.run(
            Batch::new()
                .parse("", &sql, &[])
                .bind(Bind {
                    params: &params,
                    ..Bind::default()
                })
                .describe_portal("")
                .execute("", 0)
                .sync(),
        )
    };
    ground.same("65,535 parameters", run);
    let large = vec![b'7'; 20 << 20];
    let run = |c: &mut Client| {
        let bind = Bind {
            params: &[Some(&large)],
            ..Bind::default()
        };
        c.run(
            Batch::new()
                .parse("", "SELECT count(*) FROM items WHERE name = $1", &[])
                .bind(bind)
                .execute("", 0)
                .sync(),
        )
    };
    ground.same("a parameter of 20 MB", run);
    ground.same("not UTF-8", |c| {
        let bind = Bind {
            params: &[Some(b"\xff\xfe")],
            ..Bind::default()
        };
        let mut t = c.run(
            Batch::new()
                .parse("", "SELECT id FROM items WHERE name = $1", &[])
                .bind(bind)
                .execute("", 0)
                .sync(),
        );
        t.extend(c.run(Batch::new().raw(b'Q', b"SELECT id, '\xff' FROM items\0")));
        t
    });
}

/// A thousand clients who say nothing, one who speaks a byte at a time, one who leaves in the middle.
#[test]
fn p8_idle_and_broken_clients() {
    let ground = Ground::new("bad_clients", SCHEMA);
    ground.warm("items");
    let mut witness = Witness::new(&ground.larder, "bad_clients");
    let login = ground.over(&ground.login());
    let silent: Vec<_> = (0..300).map(|_| login.dial().unwrap()).collect();
    witness.is_well("300 silent connections");
    for _ in 0..15 {
        let mut client = login.connect();
        client.send(Batch::new().query("SELECT a.id FROM items a, items b, items c"));
        client.frame();
        drop(client);
        let mut client = login.connect();
        client.send(Batch::new().unnamed(READ, &[]));
        drop(client);
        let mut client = login.connect();
        client.send(Batch(Batch::new().query(READ).0[..9].to_vec()));
        drop(client);
    }
    witness.is_well("clients who leave in the middle");
    drop(silent);
    let deadline = Instant::now() + Duration::from_secs(20);
    while ground.larder.metric("larder_client_connections", &[]) > 1.0 {
        assert!(
            Instant::now() < deadline,
            "connections are counted that nobody has: {}",
            ground.larder.metrics()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn refusal(login: &Login) -> crate::wireclient::Transcript {
    login.try_connect().err().expect("no upstream, no session")
}

/// Nobody listens where the database should be.
#[test]
fn p8_an_upstream_that_is_down() {
    let nobody = free_port();
    let larder = Setup::new(&upstream(nobody, "bad_down")).start();
    let answer = refusal(&larder.login(SUPERUSER, "bad_down"));
    let sqlstate = answer
        .sqlstate()
        .expect("an ErrorResponse, not a closed socket");
    assert!(
        ["08001", "08006", "57P03"].contains(&sqlstate.as_str()),
        "{answer:?}"
    );
    let text = answer.error().unwrap();
    assert!(!text.is_empty(), "{text}");
    assert_eq!(
        larder.http("/ready").unwrap().0,
        200,
        "ready means that Larder answers"
    );
    assert_eq!(larder.http("/live").unwrap().0, 200);
    // And when it comes, everything works without a restart.
    let relay_listener = TcpListener::bind(("127.0.0.1", nobody)).expect("the port is still free");
    create_database("bad_down", SCHEMA);
    std::thread::spawn(move || {
        for client in relay_listener.incoming().flatten() {
            let server = std::net::TcpStream::connect(("127.0.0.1", server_port())).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    assert_eq!(
        larder
            .login(SUPERUSER, "bad_down")
            .connect()
            .query(READ)
            .value()
            .as_deref(),
        Some("item 1")
    );
    larder.wait_hit(&larder.login(SUPERUSER, "bad_down"), READ);
}

#[test]
fn p8_an_upstream_that_breaks() {
    create_database("bad_breaks", SCHEMA);
    let relay = Relay::to(server_port());
    let mut larder = Setup::new(&upstream(relay.port, "bad_breaks")).start();
    let login = larder.login(SUPERUSER, "bad_breaks");
    larder.wait_hit(&login, READ);
    let many = "SELECT repeat(name, 50), b.id FROM items, generate_series(1, 200) b(id)";

    // In the middle of an answer, at many places: an error or a closed connection, never an answer that looks complete.
    for bytes in [0, 1, 4, 5, 6, 30, 200, 5_000, 70_000, 300_000] {
        let mut client = login.connect();
        relay.set(Fault::CutAfter(Toward::Client, bytes));
        client.send(Batch::new().query(many));
        let answer = client.until_ready();
        assert!(
            !answer.tags().ends_with('Z'),
            "cut after {bytes} bytes, yet complete"
        );
        relay.heal();
        let mut client = login.connect();
        let answer = client.query(many);
        assert_eq!(
            answer.complete(),
            ["SELECT 10000"],
            "what was cut is not kept"
        );
    }
    // On the way to the server.
    for bytes in [0, 1, 5, 20] {
        let mut client = login.connect();
        relay.set(Fault::CutAfter(Toward::Server, bytes));
        let answer = client.query("SELECT name FROM items WHERE id = 2");
        relay.heal();
        assert!(
            !answer.tags().ends_with('Z') || answer.value().as_deref() == Some("item 2"),
            "{answer:?}"
        );
    }
    // New connections are refused, or accepted and closed.
    for fault in [Fault::Refuse, Fault::AcceptAndClose] {
        relay.set(fault.clone());
        let answer = refusal(&login);
        assert!(answer.sqlstate().is_some(), "{fault:?}: {answer:?}");
        assert_eq!(larder.http("/ready").unwrap().0, 200);
        relay.heal();
        larder.wait_hit(&login, READ);
    }
    assert!(larder.alive());
}

#[test]
fn p8_an_upstream_that_sends_nonsense() {
    create_database("bad_nonsense", SCHEMA);
    let relay = Relay::to(server_port());
    let mut larder = Setup::new(&upstream(relay.port, "bad_nonsense")).start();
    let login = larder.login(SUPERUSER, "bad_nonsense");
    larder.wait_hit(&login, READ);
    let frame = |tag: u8, len: i32| [&[tag][..], &len.to_be_bytes()].concat();
    for (what, bytes) in [
        ("text", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("zeros", vec![0; 64]),
        ("a length below four", frame(b'D', 2)),
        ("a negative length", frame(b'D', -5)),
        ("an unknown type", Batch::new().raw(b'!', b"x").0),
        (
            "answers to nothing",
            Batch::new()
                .raw(b'1', b"")
                .raw(b'2', b"")
                .raw(b'C', b"SELECT 1\0")
                .raw(b'Z', b"I")
                .raw(b'Z', b"I")
                .raw(b'Z', b"I")
                .0,
        ),
        (
            "a row without description",
            Batch::new()
                .raw(b'D', b"\0\x01\0\0\0\x03lie")
                .raw(b'C', b"SELECT 1\0")
                .raw(b'Z', b"I")
                .0,
        ),
        ("a status that is none", Batch::new().raw(b'Z', b"?").0),
        ("an empty status", Batch::new().raw(b'Z', b"").0),
        (
            "an error without fields",
            Batch::new().raw(b'E', b"").raw(b'Z', b"I").0,
        ),
        (
            "a CopyIn nobody asked for",
            Batch::new().raw(b'G', b"\0\0\0").0,
        ),
        (
            "an authentication nobody asked for",
            Batch::new().raw(b'R', b"\0\0\0\x05salt").0,
        ),
    ] {
        let mut client = login.connect();
        relay.set(Fault::Garbage(bytes));
        client.send(Batch::new().query("SELECT name FROM items WHERE id = 9"));
        while let Some(frame) = client.frame_within(Duration::from_millis(150)) {
            let _ = frame;
        }
        drop(client);
        relay.set(Fault::Refuse);
        relay.heal();
        // Nothing of it was kept.
        let mut client = login.connect();
        assert_eq!(
            client
                .query("SELECT name FROM items WHERE id = 9")
                .value()
                .as_deref(),
            Some("item 9"),
            "{what}"
        );
        assert_eq!(
            client.query(READ).value().as_deref(),
            Some("item 1"),
            "{what}"
        );
        assert!(larder.alive(), "{what}: {}", larder.log());
    }
    assert!(!larder.log().contains("panicked"), "{}", larder.log());
    // Nonsense from the first byte on.
    relay.set(Fault::Garbage(b"SSH-2.0-nonsense\r\n".to_vec()));
    let answer = login.dial().map(|sock| {
        let mut client = Client::over(sock);
        client.send(Batch(login.startup()));
        client.frame_within(Duration::from_millis(500))
    });
    assert!(answer.unwrap().is_none_or(|f| f.tag != b'Z'));
    relay.set(Fault::Refuse);
    relay.heal();
    larder.wait_hit(&login, READ);
}

/// Every cached answer survives its upstream's restart only as far as it is still true.
#[test]
fn p9_an_upstream_that_was_replaced() {
    create_database("bad_old", SCHEMA);
    create_database(
        "bad_new",
        "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'new world')",
    );
    let relay = Relay::to(server_port());
    let larder = Setup::new(&upstream(relay.port, "bad_swap")).start();
    let mut admin = Login::new(server_port(), SUPERUSER, "postgres").connect();
    admin.ok("ALTER DATABASE bad_old RENAME TO bad_swap");
    let login = larder.login(SUPERUSER, "bad_swap");
    larder.wait_hit(&login, READ);
    relay.set(Fault::Refuse);
    admin.ok("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('bad_swap', 'bad_new')");
    let deadline = Instant::now() + Duration::from_secs(10);
    while admin
        .query("ALTER DATABASE bad_swap RENAME TO bad_old")
        .error()
        .is_some()
    {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    admin.ok("ALTER DATABASE bad_new RENAME TO bad_swap");
    relay.heal();
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        if let Ok(mut client) = login.try_connect() {
            assert_eq!(client.query(READ).value().as_deref(), Some("new world"));
            break;
        }
        assert!(Instant::now() < deadline, "no new session");
        std::thread::sleep(Duration::from_millis(50));
    }
}
