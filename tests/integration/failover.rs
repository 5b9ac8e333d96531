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
