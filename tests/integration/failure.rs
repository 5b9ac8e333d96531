//! Errors, limits and administrators of the database: what clients are told, and that nothing partial or old is kept.

use crate::ground::{Ground, SUPERUSER, create_database_on, eventually};
use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres};
use crate::wireclient::{Answered, Batch, Client, Login, cancel};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 50) g;";
const READ: &str = "SELECT name FROM items WHERE id = 4";

/// A server with a role that is no superuser and may have so many connections, Larder's own one among them.
struct Limited {
    server: Postgres,
    larder: Larder,
}

impl Limited {
    const NAME: &'static str = "limited";

    fn new(connections: usize, change: impl FnOnce(Setup) -> Setup) -> Limited {
        let server = Options::new().start();
        create_database_on(server.port(), Limited::NAME, SCHEMA);
        let direct = Login::new(server.port(), SUPERUSER, Limited::NAME);
        direct.connect().ok(&format!(
            "CREATE ROLE app LOGIN PASSWORD 'secret' CONNECTION LIMIT {connections};
             GRANT ALL ON ALL TABLES IN SCHEMA public TO app"
        ));
        let url = format!("postgres://app:secret@127.0.0.1:{}/limited", server.port());
        let setup = Setup::new(&url).set("SERVER__WORKERS", "1");
        let larder = change(setup).start();
        let limited = Limited { server, larder };
        limited.larder.wait_hit(&limited.login(), READ);
        limited.empty();
        limited
    }

    fn login(&self) -> Login {
        self.larder.login("app", Limited::NAME).password("secret")
    }

    fn direct(&self) -> Client {
        Login::new(self.server.port(), SUPERUSER, Limited::NAME).connect()
    }

    /// Somebody else's connection of the same role, where Larder had one.
    fn other(&self) -> Client {
        let login = Login::new(self.server.port(), "app", Limited::NAME);
        let mut other = None;
        eventually("there is a place", || {
            self.empty();
            other = login.try_connect().ok();
            other.is_some()
        });
        other.expect("a place")
    }

    /// No connection of a client is left.
    fn empty(&self) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'larder'";
        let mut direct = self.direct();
        eventually("they end", || direct.ok(sql).rows().is_empty());
    }
}

#[test]
fn a_client_that_needs_a_connection_waits_while_the_database_is_full() {
    for mode in ["session", "transaction"] {
        let limited = Limited::new(2, |setup| setup.set("POOL__MODE", mode));
        let (mut first, mut second) = (limited.login().connect(), limited.login().connect());
        // The one place is taken past Larder.
        let other = limited.other();
        assert_eq!(first.ok(READ).value().as_deref(), Some("item 4"));
        assert_eq!(first.larder_last(), "hit", "it needs none");
        let update = "UPDATE items SET name = name || '+' WHERE id = 5";
        first.send(Batch::new().query(update));
        second.send(Batch::new().unnamed(update, &[]).sync());
        assert!(
            first.frame_within(Duration::from_millis(700)).is_none(),
            "it waits"
        );
        assert!(
            second.frame_within(Duration::from_millis(10)).is_none(),
            "it waits"
        );
        drop(other);
        let told = if mode == "session" {
            // Who came first keeps it until it leaves.
            let (mut first, mut second) = (Some(first), Some(second));
            let mut told = Vec::new();
            eventually("one has it", || {
                for client in [&mut first, &mut second] {
                    let answer = client
                        .as_mut()
                        .and_then(|c| c.frame_within(Duration::from_millis(50)));
                    if let Some(frame) = answer {
                        let mut client = client.take().expect("there");
                        told.push(frame);
                        told.extend(client.until_ready());
                        return true;
                    }
                }
                false
            });
            let mut last = first.or(second).expect("the other");
            told.extend(last.until_ready());
            told
        } else {
            [first.until_ready(), second.until_ready()].concat()
        };
        assert_eq!(told.complete(), ["UPDATE 1", "UPDATE 1"], "{told:?}");
        let read = "SELECT name FROM items WHERE id = 5";
        assert_eq!(
            limited.login().connect().ok(read).value().as_deref(),
            Some("item 5++")
        );
    }
}

#[test]
fn who_has_waited_for_a_full_database_is_told_its_words() {
    let limited = Limited::new(2, |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("POOL__QUERY_WAIT_TIMEOUT", "1s")
    });
    let mut client = limited.login().connect();
    let mut left = limited.login().connect();
    let other = limited.other();
    left.send(Batch::new().query("SELECT 1"));
    drop(left);
    let told = client.query("UPDATE items SET name = 'no' WHERE id = 5");
    assert_eq!(told.sqlstate().as_deref(), Some("53300"), "{told:?}");
    assert!(
        told.error().unwrap().contains("too many connections"),
        "{told:?}"
    );
    assert!(client.closed());
    // A login that needs one is told at once, as by the database.
    let parameter = limited.login().parameter("application_name", "another");
    let refused = parameter.try_connect().err().expect("full");
    assert_eq!(refused.sqlstate().as_deref(), Some("53300"));
    drop(other);
    eventually("there is room again", || parameter.try_connect().is_ok());
    let read = "SELECT name FROM items WHERE id = 5";
    assert_eq!(
        limited.login().connect().ok(read).value().as_deref(),
        Some("item 5")
    );
}

#[test]
fn p9_a_control_connection_that_finds_no_room_shuts_and_comes_back() {
    let limited = Limited::new(3, |setup| setup.set("POOL__MODE", "transaction"));
    let other = limited.other();
    let mut client = limited.login().connect();
    client.ok("BEGIN");
    client.ok("UPDATE items SET name = 'held' WHERE id = 7");
    let third = Login::new(limited.server.port(), "app", Limited::NAME);
    // Somebody is quicker than Larder.
    let mut direct = limited.direct();
    let mut thief = None;
    eventually("the place is taken", || {
        direct.ok("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' AND application_name = 'larder'");
        thief = third.try_connect().ok();
        thief.is_some()
    });
    for sql in ["UPDATE items SET name = 'held too' WHERE id = 8", "COMMIT"] {
        client.ok(sql);
    }
    eventually("nothing is served", || {
        client.ok(READ);
        client.larder_last() == "bypass: no_catalog"
    });
    direct.ok("UPDATE items SET name = 'changed' WHERE id = 4");
    assert_eq!(client.ok(READ).value().as_deref(), Some("changed"));
    drop((thief, other));
    limited.larder.wait_hit(&limited.login(), READ);
    assert_eq!(client.ok(READ).value().as_deref(), Some("changed"));
}

/// Errors behind rows: what came before is not an answer.
#[test]
fn p5_nothing_of_an_answer_that_ended_in_an_error_is_kept() {
    // More than all sockets between hold: the database is in the middle of it for as long as nobody reads.
    let schema = "CREATE TABLE many (id int, pad text);
        INSERT INTO many SELECT g, repeat('y', 10000) FROM generate_series(1, 3000) g";
    let ground = Ground::with("failure_partial", schema, |setup| {
        setup
            .set("CACHE__MAX_ANSWER", "64MB")
            .set("CACHE__MEMORY", "512MB")
    });
    ground.warm("many");
    let send = |client: &mut Client, way: &str, sql: &str| match way {
        "cancel" => client.send(Batch::new().unnamed(sql, &[]).sync()),
        _ => client.send(Batch::new().query(sql)),
    };
    for way in ["division", "statement_timeout", "cancel", "terminate"] {
        // A text of its own: whatever is kept of it is of this round.
        let mut sql = format!("SELECT id, pad AS {way} FROM many");
        if way == "division" {
            sql += " WHERE 1 / (id - 2900) < 2";
        }
        let (mut client, mut admin) = (ground.through(), ground.direct());
        if way == "statement_timeout" {
            client.ok("SET statement_timeout = '200ms'");
        }
        send(&mut client, way, &sql);
        std::thread::sleep(Duration::from_millis(500));
        match way {
            "cancel" => cancel(ground.larder.port, client.key),
            "terminate" => {
                drop(admin.ok(&format!("SELECT pg_terminate_backend({})", client.key.0)))
            }
            _ => {}
        }
        let told = client.until_ready();
        let rows = told.rows().len();
        assert!(0 < rows && rows < 3000, "{way}: {rows} rows came");
        match (way, told.sqlstate().as_deref()) {
            ("division", Some("22012")) | ("statement_timeout" | "cancel", Some("57014")) => {}
            // Its last words may not get through.
            ("terminate", None | Some("57P01" | "08006")) => {}
            (_, state) => panic!("{way}: {state:?}"),
        }
        if way == "division" {
            admin.ok("DELETE FROM many WHERE id = 2900");
        }
        let expected = if way == "division" { 2999 } else { 3000 };
        for _ in 0..3 {
            let mut other = ground.through();
            send(&mut other, way, &sql);
            let told = other.until_ready();
            assert_eq!((told.rows().len(), told.error()), (expected, None), "{way}");
            if other.larder_last() == "hit" {
                break;
            }
        }
        let mut other = ground.through();
        send(&mut other, way, &sql);
        other.until_ready();
        assert_eq!(other.larder_last(), "hit", "{way}");
        if way == "division" {
            admin.ok("INSERT INTO many SELECT 2900, repeat('y', 10000)");
        }
    }
}

/// Time-outs of locks and of sessions that rest.
#[test]
fn time_outs_are_told_and_leave_nothing_behind() {
    let ground = Ground::new("failure_timeouts", SCHEMA);
    ground.warm("items");
    let mut locker = ground.direct();
    locker.ok("BEGIN; LOCK TABLE items");
    let mut client = ground.through();
    client.ok("SET lock_timeout = '100ms'");
    let read = "SELECT name FROM items WHERE id = 11";
    for told in [client.query(read), client.extended(read, &[])] {
        assert_eq!(told.sqlstate().as_deref(), Some("55P03"));
    }
    locker.ok("UPDATE items SET name = 'other' WHERE id = 11; COMMIT");
    assert_eq!(client.ok(read).value().as_deref(), Some("other"));
    // A transaction that rests too long is ended, whatever hits in it meanwhile.
    let mut client = ground.through();
    client.ok("SET idle_in_transaction_session_timeout = '500ms'");
    client.ok("BEGIN");
    client.ok("UPDATE items SET name = 'lost' WHERE id = 12");
    let told = client
        .frame_within(Duration::from_secs(10))
        .expect("an end");
    assert_eq!([told].sqlstate().as_deref(), Some("25P03"));
    assert!(client.closed());
    let read = "SELECT name FROM items WHERE id = 12";
    assert_eq!(
        ground.through().ok(read).value().as_deref(),
        Some("item 12")
    );
    ground.larder.wait_hit(&ground.login(), read);
}

/// Hazard 83: hits do not keep a backend awake. Whose backend it is is told so; who is let in has none and goes on.
#[test]
fn a_session_whose_backend_is_ended_for_resting_is_told_so() {
    let server = Options::new().start();
    create_database_on(server.port(), "resting", SCHEMA);
    let mut direct = Login::new(server.port(), SUPERUSER, "resting").connect();
    let version: i32 = direct
        .ok("SHOW server_version_num")
        .value()
        .unwrap()
        .parse()
        .unwrap();
    if version < 140_000 {
        eprintln!("NOT TESTED: idle_session_timeout is PostgreSQL 14's");
        return;
    }
    direct.ok("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'; ALTER ROLE postgres SET idle_session_timeout = 0");
    direct.ok("CREATE ROLE relayed SUPERUSER LOGIN; ALTER ROLE relayed SET idle_session_timeout = '700ms'");
    let url = format!("postgres://app:secret@127.0.0.1:{}/resting", server.port());
    let larder = Setup::new(&url).start();
    let relayed = larder.login("relayed", "resting");
    larder.wait_hit(&relayed, READ);
    let mut client = relayed.connect();
    let began = Instant::now();
    let told = loop {
        let told = client.query(READ);
        if told.error().is_some() || !told.tags().ends_with('Z') {
            break told;
        }
        assert_eq!(told.value().as_deref(), Some("item 4"));
        assert!(began.elapsed() < Duration::from_secs(20), "it goes on");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(told.sqlstate().as_deref(), Some("57P05"), "{told:?}");
    assert!(client.closed());
    direct.ok("ALTER ROLE app SET idle_session_timeout = '700ms'");
    let guest = larder.login("app", "resting").password("secret");
    larder.wait_hit(&guest, READ);
    let mut client = guest.parameter("application_name", "guest").connect();
    client.ok(READ);
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(client.ok(READ).value().as_deref(), Some("item 4"));
    }
    client.ok("UPDATE items SET name = 'awake' WHERE id = 4");
    assert_eq!(client.ok(READ).value().as_deref(), Some("awake"));
}

/// What administrators do to Larder's own role while it runs: shut, and open again.
#[test]
fn p9_larders_own_role_loses_what_it_needs() {
    let hba = "host all keeper 127.0.0.1/32 scram-sha-256";
    let server = Options::new().hba(hba).start();
    create_database_on(server.port(), "admins", SCHEMA);
    let mut admin = Login::new(server.port(), SUPERUSER, "admins").connect();
    admin.ok("CREATE ROLE keeper LOGIN PASSWORD 'secret'");
    admin.ok("CREATE ROLE someone LOGIN; GRANT ALL ON items TO someone");
    let url = format!(
        "postgres://keeper:secret@127.0.0.1:{}/admins",
        server.port()
    );
    let larder = Setup::new(&url).set("CATALOG__REFRESH", "200ms").start();
    let login = larder.login("someone", "admins");
    let kick =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'larder'";
    let mut number = 0;
    for (take, give) in [
        ("ALTER ROLE keeper NOLOGIN", "ALTER ROLE keeper LOGIN"),
        (
            "ALTER ROLE keeper PASSWORD 'another'",
            "ALTER ROLE keeper PASSWORD 'secret'",
        ),
        (
            "DROP ROLE keeper",
            "CREATE ROLE keeper LOGIN PASSWORD 'secret'",
        ),
        (
            "ALTER ROLE keeper CONNECTION LIMIT 0",
            "ALTER ROLE keeper CONNECTION LIMIT -1",
        ),
        (
            "REVOKE CONNECT ON DATABASE admins FROM PUBLIC; GRANT CONNECT ON DATABASE admins TO someone",
            "GRANT CONNECT ON DATABASE admins TO PUBLIC",
        ),
        (
            "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
            "GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC",
        ),
        (
            "REVOKE EXECUTE ON FUNCTION pg_postmaster_start_time() FROM PUBLIC",
            "GRANT EXECUTE ON FUNCTION pg_postmaster_start_time() TO PUBLIC",
        ),
        (
            "REVOKE EXECUTE ON FUNCTION pg_current_wal_insert_lsn() FROM PUBLIC",
            "GRANT EXECUTE ON FUNCTION pg_current_wal_insert_lsn() TO PUBLIC",
        ),
        (
            "REVOKE SELECT ON pg_catalog.pg_class FROM PUBLIC",
            "GRANT SELECT ON pg_catalog.pg_class TO PUBLIC",
        ),
    ] {
        larder.wait_hit(&login, READ);
        let mut before = login.connect();
        let told = || larder.log().matches("no catalog").count();
        let before_it = told();
        admin.ok(take);
        admin.ok(kick);
        eventually("the end of its connection is noticed", || {
            told() > before_it
        });
        number += 1;
        admin.ok(&format!(
            "UPDATE items SET name = 'change {number}' WHERE id = 4"
        ));
        let expected = Some(format!("change {number}"));
        for client in [&mut before, &mut login.connect()] {
            for _ in 0..3 {
                assert_eq!(client.ok(READ).value(), expected, "{take}");
            }
            let last = client.larder_last();
            println!("{take}: {last}");
        }
        before.ok("UPDATE items SET name = name || '!' WHERE id = 4");
        let expected = expected.map(|name| name + "!");
        assert_eq!(login.connect().ok(READ).value(), expected, "{take}");
        admin.ok(give);
        admin.ok(kick);
        larder.wait_hit(&login, READ);
        assert_eq!(before.ok(READ).value(), expected);
    }
    assert!(!larder.log().contains("secret"), "no password in the log");
}
