//! Another server under the same address: a copy, a restored backup, a promoted standby, another database of that name.
//!
//! What was kept of the one is never served for the other, whose data are older (hazards 18, 67, 68): the relay leads new
//! connections elsewhere, as a name or a virtual address that moves does, while those that exist stay where they are.

use crate::faults::Relay;
use crate::ground::{SUPERUSER, create_database_on};
use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres, Stop};
use crate::wireclient::{Answered, Client, Login};
use std::time::{Duration, Instant};

const NAME: &str = "failover";
const READ: &str = "SELECT who FROM place";

/// A server with a table that says `before`, and a role that Larder lets in itself.
fn server() -> Postgres {
    let server = Options::new().start();
    let schema = "CREATE TABLE place (who text); INSERT INTO place VALUES ('before')";
    create_database_on(server.port(), NAME, schema);
    Login::new(server.port(), SUPERUSER, NAME)
        .connect()
        .ok("CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'");
    server
}

/// The same server twice: the other from a copy of its data, a standby that no primary feeds if `standby`.
fn twice(standby: bool) -> (Postgres, Postgres) {
    let mut first = server();
    first.stop(Stop::Fast);
    if standby {
        first.make_standby();
    }
    let second = Options::new().data(first.data_directory()).start();
    if standby {
        let _gone = std::fs::remove_file(first.data_directory().join("standby.signal"));
    }
    first.start_again();
    (first, second)
}

/// Who asks: users whose login is relayed, or whom Larder lets in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Relayed,
    LetIn,
    Shared,
}

impl Way {
    fn larder(self, port: u16) -> Larder {
        let setup = |url: &str| Setup::new(url).set("SERVER__WORKERS", "2");
        match self {
            Way::Relayed => setup(&format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{NAME}")),
            Way::LetIn => setup(&format!("postgres://app:secret@127.0.0.1:{port}/{NAME}")),
            Way::Shared => setup(&format!("postgres://app:secret@127.0.0.1:{port}/{NAME}"))
                .set("POOL__MODE", "transaction"),
        }
        .start()
    }

    fn login(self, larder: &Larder) -> Login {
        match self {
            Way::Relayed => larder.login(SUPERUSER, NAME),
            Way::LetIn | Way::Shared => larder.login("app", NAME).password("secret"),
        }
    }
}

fn value(client: &mut Client, sql: &str) -> String {
    let answer = client.query(sql);
    answer
        .value()
        .unwrap_or_else(|| panic!("{sql}: {answer:?}"))
}

/// The address leads to `second` from now on, which has not seen what `first` was told last.
fn moves(way: Way, first: &Postgres, second: &Postgres, arrive: impl FnOnce()) {
    let relay = Relay::to(first.port());
    let larder = way.larder(relay.port);
    let login = way.login(&larder);
    let mut old = login.connect();
    old.ok("UPDATE place SET who = 'after'");
    larder.wait_hit(&login, READ);
    assert_eq!(value(&mut old, READ), "after");
    let idle = login.connect();
    relay.lead(second.port());
    arrive();
    let mut news: Vec<_> = Vec::new();
    for round in 0..20 {
        let mut new = login
            .clone()
            .parameter("application_name", &format!("n{round}"))
            .connect();
        assert_eq!(
            value(&mut new, READ),
            "before",
            "{way:?}, round {round}, at {}",
            new.larder_last()
        );
        news.push(new);
    }
    // Those who were there see their own server's rows or, without a connection of their own, those of the new one.
    let expected = if way == Way::Shared {
        "before"
    } else {
        "after"
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while value(&mut old, READ) != expected {
        assert!(
            way == Way::Shared && Instant::now() < deadline,
            "{}",
            larder.log()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(idle);
    larder.wait_hit(&login, READ);
    for new in &mut news {
        assert_eq!(value(new, READ), "before", "{way:?}");
    }
    let mut new = news.pop().expect("one of them");
    new.ok("UPDATE place SET who = 'later'");
    for other in &mut news {
        assert_eq!(value(other, READ), "later", "{way:?}");
    }
    assert_eq!(
        value(&mut old, READ),
        if way == Way::Shared { "later" } else { "after" }
    );
    larder.wait_hit(&login, READ);
    // DDL on the new server is analysed with the new server's catalog.
    new.ok("ALTER TABLE place RENAME TO places; CREATE VIEW place AS SELECT who || '!' AS who FROM places");
    for other in &mut news {
        assert_eq!(value(other, READ), "later!", "{way:?}");
    }
    larder.wait_hit(&login, READ);
    new.ok("UPDATE places SET who = 'last'");
    for other in &mut news {
        assert_eq!(value(other, READ), "last!", "{way:?}");
    }
}

#[test]
fn p9_a_copy_of_the_server_under_its_address() {
    for way in [Way::Relayed, Way::LetIn, Way::Shared] {
        let (first, second) = twice(false);
        moves(way, &first, &second, || {});
    }
}

#[test]
fn p9_a_standby_is_promoted_and_read_at_once() {
    for way in [Way::Relayed, Way::Shared] {
        let (first, second) = twice(true);
        moves(way, &first, &second, || {
            // Its control file says the old timeline until its first checkpoint.
            Login::new(second.port(), SUPERUSER, NAME)
                .connect()
                .ok("SELECT pg_promote()");
        });
    }
}

/// The primary dies as the machine does, and the address leads to a standby that has not seen all of it.
#[test]
fn p9_a_primary_dies_and_the_standby_has_not_seen_all() {
    for way in [Way::Relayed, Way::LetIn, Way::Shared] {
        let (mut first, second) = twice(true);
        let relay = Relay::to(first.port());
        let larder = way.larder(relay.port);
        let login = way.login(&larder);
        let mut old = login.connect();
        old.ok("UPDATE place SET who = 'after'");
        larder.wait_hit(&login, READ);
        let mut idle = login.connect();
        relay.lead(second.port());
        first.stop(Stop::Kill);
        Login::new(second.port(), SUPERUSER, NAME)
            .connect()
            .ok("SELECT pg_promote()");
        for round in 0..10 {
            // In the first moments the connections of the first are being closed.
            if let Ok(mut new) = login.try_connect() {
                assert_eq!(value(&mut new, READ), "before", "{way:?}, round {round}");
            }
        }
        larder.wait_hit(&login, READ);
        let mut new = login.connect();
        new.ok("UPDATE place SET who = 'later'");
        assert_eq!(value(&mut login.connect(), READ), "later");
        if way != Way::Relayed {
            // A client that had no connection has not noticed anything.
            assert_eq!(value(&mut idle, READ), "later");
        }
    }
}

/// Several addresses: the standby is promoted, and takes over.
#[test]
fn p9_a_promoted_standby_of_a_list_of_hosts_is_another_server() {
    let (mut first, second) = twice(true);
    let [a, b] = [first.port(), second.port()].map(|port| format!("127.0.0.1:{port}"));
    let url = format!("postgres://{SUPERUSER}@{a},{b}/{NAME}?target_session_attrs=read-write");
    let larder = Setup::new(&url).start();
    let login = Way::Relayed.login(&larder);
    login.connect().ok("UPDATE place SET who = 'after'");
    larder.wait_hit(&login, READ);
    first.stop(Stop::Immediate);
    Login::new(second.port(), SUPERUSER, NAME)
        .connect()
        .ok("SELECT pg_promote()");
    for _ in 0..5 {
        assert_eq!(value(&mut login.connect(), READ), "before");
    }
    larder.wait_hit(&login, READ);
    // The old primary comes back, with what it has and the other has not.
    first.start_again();
    for _ in 0..5 {
        assert_eq!(value(&mut login.connect(), READ), "before");
    }
}

/// Restored from a copy of its files: the same system identifier, the same timeline, an older state.
#[test]
fn p9_a_server_restored_from_older_files() {
    for way in [Way::Relayed, Way::LetIn, Way::Shared] {
        let mut server = server();
        server.stop(Stop::Fast);
        let backup = server.backup_directory("backup");
        server.copy_data(&server.data_directory(), &backup);
        server.start_again();
        let larder = way.larder(server.port());
        let login = way.login(&larder);
        let mut client = login.connect();
        client.ok("UPDATE place SET who = 'after'");
        larder.wait_hit(&login, READ);
        let mut idle = login.connect();
        server.stop(Stop::Kill);
        // Its children must be gone before their files are.
        std::thread::sleep(Duration::from_millis(500));
        server.copy_data(&backup, &server.data_directory());
        server.start_again();
        for _ in 0..10 {
            if let Ok(mut new) = login.try_connect() {
                assert_eq!(value(&mut new, READ), "before", "{way:?}");
            }
        }
        larder.wait_hit(&login, READ);
        assert_eq!(value(&mut login.connect(), READ), "before");
        if way != Way::Relayed {
            assert_eq!(value(&mut idle, READ), "before", "{way:?}");
        }
    }
}

/// Another database of the same name: made anew, or renamed.
#[test]
fn p9_another_database_of_that_name() {
    let server = server();
    let schema =
        "CREATE TABLE place (filler int, who text); INSERT INTO place VALUES (1, 'another')";
    let relayed = Way::Relayed.larder(server.port());
    let shared = Way::Shared.larder(server.port());
    let ways = [(Way::Relayed, &relayed), (Way::Shared, &shared)];
    let mut admin = Login::new(server.port(), SUPERUSER, "postgres").connect();
    let all = |expected: &str| {
        for (way, larder) in ways {
            let login = way.login(larder);
            for _ in 0..5 {
                assert_eq!(value(&mut login.connect(), READ), expected, "{way:?}");
            }
            larder.wait_hit(&login, READ);
            login.connect().ok("UPDATE place SET who = who || '+'");
            let (mut now, expected) = (login.connect(), format!("{expected}+"));
            assert_eq!(value(&mut now, READ), expected, "{way:?}");
            now.ok("UPDATE place SET who = left(who, -1)");
            larder.wait_hit(&login, READ);
        }
    };
    all("before");
    let mut early = Way::Shared.login(&shared).connect();
    // By force, as whoever is connected is in the way.
    admin.ok("CREATE DATABASE stand_by TEMPLATE template0");
    Login::new(server.port(), SUPERUSER, "stand_by")
        .connect()
        .ok(schema);
    let swap = |admin: &mut Client, pairs: &[(&str, &str)]| {
        for (from, to) in pairs {
            let deadline = Instant::now() + Duration::from_secs(20);
            // The control connections come back at once.
            while {
                admin.ok(&format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"
                ));
                admin
                    .query(&format!("ALTER DATABASE {from} RENAME TO {to}"))
                    .error()
                    .is_some()
            } {
                assert!(Instant::now() < deadline, "{from} is in use");
            }
        }
    };
    swap(&mut admin, &[(NAME, "put_by"), ("stand_by", NAME)]);
    all("another");
    assert_eq!(value(&mut early, READ), "another");
    swap(&mut admin, &[(NAME, "stand_by"), ("put_by", NAME)]);
    all("before");
    assert_eq!(value(&mut early, READ), "before");
    admin.ok(&format!("DROP DATABASE {NAME} WITH (FORCE)"));
    admin.ok(&format!("CREATE DATABASE {NAME}"));
    Login::new(server.port(), SUPERUSER, NAME)
        .connect()
        .ok(schema);
    all("another");
    assert_eq!(value(&mut early, READ), "another");
}
