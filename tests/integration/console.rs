//! The console: who may come in, what it shows, and what its commands do to clients and connections.

use crate::ground::{SUPERUSER, create_database_on, eventually};
use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres};
use crate::tunnel::Directory;
use crate::wireclient::{Answered, Batch, Bind, Client, Login, Transcript, field};
use std::time::Duration;

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 50) g;
    CREATE TABLE stock (id int PRIMARY KEY, name text);
    INSERT INTO stock SELECT g, 'left' FROM generate_series(1, 50) g;";
const READ: &str = "SELECT name FROM items WHERE id = 4";

/// A Larder whose users are `app` (the upstream's, an admin), `viewer` (may look), `old` (an md5 hash) and `other` (nobody
/// on the console).
struct World {
    server: Postgres,
    larder: Larder,
    database: String,
    _files: Directory,
}

impl World {
    fn new(name: &str, change: impl FnOnce(Setup) -> Setup) -> World {
        let server = Options::new()
            .hba("host all app 127.0.0.1/32 scram-sha-256")
            .start();
        create_database_on(server.port(), name, SCHEMA);
        let mut direct = Login::new(server.port(), SUPERUSER, name).connect();
        direct.ok("SET password_encryption = 'scram-sha-256'; CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'");
        let files = Directory::new(name);
        let config = files.file(
            "larder.toml",
            "[admin]\nadmin_users = [\"app\", \"ghost\", \"old\"]\nstats_users = [\"viewer\"]\n\
             [[users]]\nname = \"viewer\"\npassword = \"look\"\n\
             [[users]]\nname = \"other\"\npassword = \"other\"\n\
             [[users]]\nname = \"old\"\npassword = \"md53d5a6a3d3c5d5a6a3d3c5d5a6a3d3c5d\"\nupstream_password = \"x\"\n",
        );
        let url = format!("postgres://app:secret@127.0.0.1:{}/{name}", server.port());
        let setup = Setup::new(&url).argument("--config").argument(&config);
        let larder = change(setup).start();
        World {
            server,
            larder,
            database: name.into(),
            _files: files,
        }
    }

    fn console_as(&self, user: &str, password: &str) -> Login {
        self.larder.login(user, "larder").password(password)
    }

    fn admin(&self) -> Client {
        self.console_as("app", "secret").connect()
    }

    fn client(&self) -> Client {
        self.larder
            .login("app", &self.database)
            .password("secret")
            .connect()
    }

    fn direct(&self) -> Client {
        Login::new(self.server.port(), SUPERUSER, &self.database).connect()
    }
}

/// The names of a RowDescription.
fn names(transcript: &Transcript) -> Vec<String> {
    let body = &transcript
        .iter()
        .find(|f| f.tag == b'T')
        .expect("columns")
        .body;
    let mut rest = &body[2..];
    let mut names = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == 0).unwrap();
        names.push(String::from_utf8_lossy(&rest[..end]).into_owned());
        rest = &rest[end + 19..];
    }
    names
}

/// The fields of the first row of which `column` is `value`.
fn row(
    console: &mut Client,
    show: &str,
    column: &str,
    value: &str,
) -> Option<Vec<(String, String)>> {
    let shown = console.ok(show);
    let names = names(&shown);
    let rows = shown.rows().into_iter().map(|row| {
        let row = row.into_iter().map(Option::unwrap_or_default);
        names.iter().cloned().zip(row).collect::<Vec<_>>()
    });
    rows.into_iter()
        .find(|row| row.iter().any(|(n, v)| n == column && v == value))
}

fn get<'a>(row: &'a [(String, String)], column: &str) -> &'a str {
    let found = row.iter().find(|(name, _)| name == column);
    &found.unwrap_or_else(|| panic!("no {column}")).1
}

#[test]
fn only_operators_come_in_and_by_a_password_that_larder_knows() {
    let world = World::new("console_users", |setup| setup);
    let refused = |user: &str, password: &str| {
        let login = world.console_as(user, password);
        let told = login.try_connect().err().expect("refused");
        (told.sqlstate().unwrap(), told.error().unwrap())
    };
    assert_eq!(refused("app", "wrong").0, "28P01");
    assert_eq!(refused("viewer", "secret").0, "28P01");
    // A user of the database, but no operator: the same for one that does not exist.
    for user in ["other", "postgres", "nobody"] {
        let (state, text) = refused(user, "other");
        assert_eq!(state, "28000");
        assert!(text.contains("may not use Larder's console"), "{text}");
    }
    // Named, but Larder has no password of his: PostgreSQL is not asked, and trust there counts for nothing.
    let (state, text) = refused("ghost", "x");
    assert_eq!(state, "28000", "{text}");
    assert!(text.contains("does not know the password"), "{text}");
    let (state, text) = refused("old", "x");
    assert_eq!(state, "28000", "{text}");
    assert!(text.contains("SCRAM"), "{text}");
    world.admin().ok("SHOW VERSION");
    // It is reached where clients have taken every place, too.
    let full = World::new("console_full", |setup| {
        setup.set("POOL__MAX_CLIENT_CONN", "1")
    });
    let _client = full.client();
    full.admin().ok("SHOW VERSION");
}

/// Every command of the console's list, with what it needs.
const CHANGES: &[&str] = &[
    "PAUSE CACHE",
    "RESUME CACHE",
    "PURGE ALL",
    "PURGE TABLE items",
    "PURGE QUERY 0000000000000001",
    "PURGE ROLE app",
    "RELOAD",
    "SET cache.ttl = '5s'",
    "PAUSE",
    "RESUME",
    "DISABLE x",
    "ENABLE x",
    "RECONNECT",
    "WAIT_CLOSE",
    "KILL",
    "KILL_CLIENT 1",
    "SHUTDOWN",
    "SHUTDOWN IMMEDIATE",
    "SHUTDOWN WAIT_FOR_CLIENTS",
    "SUSPEND",
];

#[test]
fn what_cannot_change_is_not_said_to_have_changed() {
    let world = World::new("console_set", |setup| setup);
    let mut admin = world.admin();
    for setting in ["cache.mode = 'off'", "pool.mode = 'transaction'"] {
        let told = admin.query(&format!("SET {setting}"));
        assert_eq!(told.sqlstate().as_deref(), Some("22023"), "{setting}");
    }
    admin.ok("SET cache.mode = 'observe'");
    admin.ok("SET cache.mode = 'on'");
    admin.ok("RELOAD");
}

#[test]
fn who_may_look_changes_nothing() {
    let world = World::new("console_roles", |setup| setup);
    let mut client = world.client();
    let mut viewer = world.console_as("viewer", "look").connect();
    for command in CHANGES {
        let told = viewer.query(command);
        assert_eq!(told.sqlstate().as_deref(), Some("42501"), "{command}");
        let told = viewer.run(Batch::new().unnamed(command, &[]).sync());
        assert_eq!(told.sqlstate().as_deref(), Some("42501"), "{command}");
    }
    // Each line of SHOW HELP that is no SHOW was tried.
    let help = viewer.query("SHOW HELP");
    let notice = help.iter().find(|f| f.tag == b'N').expect("help");
    let text = field(&notice.body, b'M').unwrap();
    for line in text.lines().filter(|line| !line.starts_with("SHOW")) {
        let verb = line.split(' ').next().unwrap();
        let tried = CHANGES.iter().any(|c| c.split(' ').next() == Some(verb));
        assert!(tried, "{line}");
    }
    for line in text.lines().filter_map(|line| line.strip_prefix("SHOW ")) {
        let name = line.split(' ').next().unwrap();
        viewer.ok(&format!("SHOW {name}"));
    }
    assert_eq!(client.ok(READ).value().unwrap(), "item 4");
    assert!(!world.larder.log().contains("an operator has changed"));
    world.admin().ok("PAUSE CACHE");
    eventually("it is noted", || {
        let log = world.larder.log();
        log.contains("an operator has changed") && log.contains("PAUSE CACHE")
    });
}

#[test]
fn clients_servers_and_statistics_are_shown() {
    let world = World::new("console_shows", |setup| setup);
    let mut admin = world.admin();
    let login = world.larder.login("app", &world.database);
    let login = login
        .password("secret")
        .parameter("application_name", "shop");
    let mut client = login.connect();
    for _ in 0..3 {
        client.ok(READ);
    }
    client.ok("BEGIN");
    client.ok("UPDATE stock SET name = 'x' WHERE id = 1");
    let clients = row(&mut admin, "SHOW CLIENTS", "application_name", "shop").expect("the client");
    let servers = row(&mut admin, "SHOW SERVERS", "id", get(&clients, "link")).expect("its server");
    assert_eq!(get(&clients, "state"), "active");
    assert_eq!(get(&clients, "addr"), "127.0.0.1");
    assert_eq!(get(&servers, "state"), "active");
    assert_eq!(get(&servers, "link"), get(&clients, "id"));
    let pid = client.ok("SELECT pg_backend_pid()").value().unwrap();
    assert_eq!(get(&servers, "remote_pid"), pid);
    client.ok("COMMIT");
    let pool = row(&mut admin, "SHOW POOLS", "database", &world.database).expect("a pool");
    assert_eq!(get(&pool, "cl_active"), "1");
    assert_eq!(get(&pool, "pool_mode"), "session");
    let database = row(&mut admin, "SHOW DATABASES", "name", &world.database).unwrap();
    assert_eq!(get(&database, "port"), world.server.port().to_string());
    let count = |admin: &mut Client, column: &str| {
        let row = row(admin, "SHOW STATS", "database", &world.database).expect("statistics");
        get(&row, column).parse::<u64>().unwrap()
    };
    // Three reads, one transaction of BEGIN, UPDATE, SELECT, COMMIT.
    assert_eq!(count(&mut admin, "total_query_count"), 7);
    assert_eq!(count(&mut admin, "total_xact_count"), 4);
    assert_eq!(count(&mut admin, "total_client_login_count"), 1);
    assert!(count(&mut admin, "total_server_assignment_count") >= 1);
    drop(client);
    eventually("he is gone", || {
        row(&mut admin, "SHOW CLIENTS", "application_name", "shop").is_none()
    });
    // What he did is not, and nothing lags behind any more: three statements of 40 bytes at least.
    assert_eq!(count(&mut admin, "total_query_count"), 7);
    assert!(count(&mut admin, "total_query_time") > 0);
    assert!(count(&mut admin, "total_received") > 120);
    assert!(count(&mut admin, "total_sent") > 120);
    let totals = row(&mut admin, "SHOW TOTALS", "name", "total_query_count").unwrap();
    assert_eq!(get(&totals, "value"), "7");
}

#[test]
fn a_paused_database_lets_hits_through_and_the_others_wait() {
    let world = World::new("console_pause", |setup| {
        setup.set("POOL__MODE", "transaction")
    });
    let (mut admin, mut other) = (world.admin(), world.admin());
    let mut client = world.client();
    let login = world
        .larder
        .login("app", &world.database)
        .password("secret");
    world.larder.wait_hit(&login, READ);
    // A transaction under way ends before the pause is complete.
    client.ok("BEGIN");
    client.ok("UPDATE stock SET name = 'x' WHERE id = 2");
    admin.send(Batch::new().query(&format!("PAUSE {}", world.database)));
    assert!(admin.frame_within(Duration::from_millis(300)).is_none());
    client.ok("COMMIT");
    assert_eq!(admin.until_ready().complete(), ["PAUSE"]);
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'larder'";
    eventually("nobody is connected", || {
        world.direct().ok(sql).value().as_deref() == Some("0")
    });
    assert_eq!(client.ok(READ).value().as_deref(), Some("item 4"));
    assert_eq!(client.larder_last(), "hit");
    client.send(Batch::new().query("UPDATE stock SET name = 'y' WHERE id = 2"));
    assert!(client.frame_within(Duration::from_millis(300)).is_none());
    let shown = row(&mut other, "SHOW DATABASES", "name", &world.database).unwrap();
    assert_eq!(get(&shown, "paused"), "1");
    let pool = row(&mut other, "SHOW POOLS", "database", &world.database).unwrap();
    assert_eq!(get(&pool, "cl_waiting"), "1");
    assert_eq!(
        other
            .query(&format!("PAUSE {}", world.database))
            .sqlstate()
            .as_deref(),
        Some("55000")
    );
    other.ok(&format!("RESUME {}", world.database));
    assert_eq!(client.until_ready().complete(), ["UPDATE 1"]);
    assert_eq!(other.query("RESUME").sqlstate().as_deref(), Some("55000"));
    // A pause that is ended by another operator says so.
    client.ok("BEGIN");
    client.ok("UPDATE stock SET name = 'z' WHERE id = 2");
    admin.send(Batch::new().query("PAUSE"));
    assert!(admin.frame_within(Duration::from_millis(200)).is_none());
    other.ok("RESUME");
    assert_eq!(admin.until_ready().sqlstate().as_deref(), Some("57014"));
    client.ok("COMMIT");
    // Who leaves the console while it waits leaves nothing running.
    client.ok("BEGIN");
    client.ok("UPDATE stock SET name = 'z' WHERE id = 2");
    admin.send(Batch::new().query("PAUSE"));
    drop(admin);
    client.ok("COMMIT");
    world.admin().ok("RESUME");
    client.ok("UPDATE stock SET name = 'w' WHERE id = 2");
}

#[test]
fn connections_are_replaced_clients_ended_and_databases_closed() {
    let world = World::new("console_kill", |setup| {
        setup.set("POOL__MODE", "transaction")
    });
    let (mut admin, name) = (world.admin(), world.database.as_str());
    let mut client = world.client();
    let backend = |client: &mut Client| client.ok("SELECT pg_backend_pid()").value().unwrap();
    let before = backend(&mut client);
    assert_eq!(backend(&mut client), before);
    admin.ok(&format!("RECONNECT {name}"));
    admin.ok("WAIT_CLOSE");
    assert_ne!(backend(&mut client), before);
    // Disabled: who is there stays.
    admin.ok(&format!("DISABLE {name}"));
    let login = world.larder.login("app", name).password("secret");
    let told = login.try_connect().err().expect("refused");
    assert_eq!(told.sqlstate().as_deref(), Some("55000"));
    client.ok("UPDATE stock SET name = 'x' WHERE id = 2");
    admin.ok(&format!("ENABLE {name}"));
    let mut second = login.connect();
    second.ok(READ);
    // One client ends, by its number.
    let pid = backend(&mut second);
    let _ = pid;
    let all = admin.ok("SHOW CLIENTS");
    let id = all.rows().last().unwrap().last().unwrap().clone().unwrap();
    admin.ok(&format!("KILL_CLIENT {id}"));
    let told = second.until(b'E');
    assert_eq!(told.sqlstate().as_deref(), Some("57P01"));
    assert!(second.closed());
    assert_eq!(
        admin
            .query(&format!("KILL_CLIENT {id}"))
            .sqlstate()
            .as_deref(),
        Some("22023")
    );
    client.ok(READ);
    // All of a database end, and those that come wait.
    admin.ok(&format!("KILL {name}"));
    assert_eq!(client.until(b'E').sqlstate().as_deref(), Some("57P01"));
    let waits = std::thread::spawn(move || {
        let mut client = login.connect();
        client
            .ok("UPDATE stock SET name = 'x' WHERE id = 2")
            .complete()
    });
    std::thread::sleep(Duration::from_millis(300));
    assert!(!waits.is_finished());
    admin.ok(&format!("RESUME {name}"));
    assert_eq!(waits.join().unwrap(), ["UPDATE 1"]);
}

#[test]
fn both_protocols_row_limits_and_binary_are_answered() {
    let world = World::new("console_wire", |setup| setup);
    let mut admin = world.admin();
    for sql in [
        "SET extra_float_digits = 3",
        "SET client_encoding TO 'UTF8'",
        "SET application_name = 'x'",
        "SELECT 1",
        "select version()",
        "BEGIN",
        "COMMIT",
        "SHOW transaction_isolation",
    ] {
        admin.ok(sql);
        let told = admin.run(Batch::new().unnamed(sql, &[]).sync());
        assert!(told.sqlstate().is_none(), "{sql}: {told:?}");
    }
    assert_eq!(admin.query("").tags(), "IZ");
    let bind = |results: &'static [i16]| Bind {
        results,
        ..Bind::default()
    };
    let batch = |results| {
        let batch = Batch::new().parse("", "SHOW STATE", &[]);
        batch.bind(bind(results)).describe_portal("")
    };
    let whole = admin.run(batch(&[1]).execute("", 0).sync());
    assert_eq!(whole.tags(), "12TDDDDDCZ");
    assert_eq!(whole.value().as_deref(), Some("active"));
    let parts = batch(&[])
        .execute("", 2)
        .execute("", 2)
        .execute("", 2)
        .sync();
    assert_eq!(admin.run(parts).tags(), "12TDDsDDsDCZ");
    // A portal with a name lives on, as in a transaction.
    let named = Bind {
        portal: "p",
        ..Bind::default()
    };
    let batch = Batch::new().parse("", "SHOW STATE", &[]).bind(named);
    assert_eq!(admin.run(batch.execute("p", 3).sync()).tags(), "12DDDsZ");
    assert_eq!(
        admin.run(Batch::new().execute("p", 3).sync()).tags(),
        "DDCZ"
    );
    // An error skips to the Sync, and the console goes on.
    let told = admin.run(
        Batch::new()
            .parse("", "SHOW NONSENSE", &[])
            .bind(bind(&[]))
            .sync(),
    );
    assert_eq!(told.tags(), "EZ");
    assert_eq!(told.sqlstate().as_deref(), Some("42601"));
    let told = admin.run(Batch::new().execute("nothing", 0).sync());
    assert_eq!(told.sqlstate().as_deref(), Some("34000"));
    // Many at once: what is not read is not made.
    let many = (0..200).fold(Batch::new(), |batch, _| batch.query("SHOW CONFIG"));
    admin.send(many);
    assert_eq!(admin.until_ready_times(200).complete().len(), 200);
    // What is too long, and what is no message at all.
    let long = format!("SHOW '{}'", "x".repeat(70_000));
    admin.send(Batch::new().query(&long));
    assert_eq!(admin.until(b'E').sqlstate().as_deref(), Some("08P01"));
    assert!(admin.closed());
    let mut admin = world.admin();
    admin.send(Batch::new().bytes(&[b'Q', 0, 0, 0, 1]));
    assert_eq!(admin.until(b'E').sqlstate().as_deref(), Some("08P01"));
    assert!(admin.closed());
}

#[test]
fn there_are_so_many_places_and_no_more() {
    let world = World::new("console_places", |setup| setup);
    let mut all: Vec<_> = (0..32).map(|_| world.admin()).collect();
    let told = world.console_as("app", "secret").try_connect();
    assert_eq!(told.err().unwrap().sqlstate().as_deref(), Some("53300"));
    all[31].ok("SHOW VERSION");
    drop(all.pop());
    eventually("a place is free", || {
        world.console_as("app", "secret").try_connect().is_ok()
    });
}

#[test]
fn shutdown_waits_for_clients_when_it_is_said_so() {
    let mut world = World::new("console_shutdown", |setup| setup);
    let mut client = world.client();
    world.admin().ok("SHUTDOWN WAIT_FOR_CLIENTS");
    let login = world
        .larder
        .login("app", &world.database)
        .password("secret");
    let told = login.try_connect().err().expect("refused");
    assert_eq!(told.sqlstate().as_deref(), Some("57P03"));
    std::thread::sleep(Duration::from_millis(300));
    client.ok(READ);
    drop(client);
    let status = world.larder.wait(Duration::from_secs(20));
    assert!(status.expect("it has ended").success());
    let mut world = World::new("console_shutdown_now", |setup| setup);
    let _client = world.client();
    // It may be gone before it could say so.
    world.admin().send(Batch::new().query("SHUTDOWN IMMEDIATE"));
    assert!(world.larder.wait(Duration::from_secs(20)).is_some());
}
