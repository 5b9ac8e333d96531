//! What every integration test stands on: a database of its own, a Larder of its own, and the comparison of the two.
#![allow(dead_code)]

use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres};
use crate::wireclient::{Answered, Client, Login, PATIENCE, Transcript, normalised};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The superuser of the throw-away server.
pub const SUPERUSER: &str = "postgres";

/// Reads until it is a hit.
pub fn until_hit(client: &mut Client, sql: &str) {
    eventually(&format!("{sql} hits"), || {
        client.ok(sql);
        client.larder_last() == "hit"
    });
}

/// Waits until it holds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The server that tests share. Nothing that is the cluster's is changed on it: roles, databases' and roles' defaults.
pub fn server() -> &'static Postgres {
    static SERVER: LazyLock<Postgres> = LazyLock::new(start);
    &SERVER
}

fn start() -> Postgres {
    Options::new()
        .set("max_prepared_transactions", "10")
        .start()
}

/// A database and a Larder.
pub struct Ground {
    pub database: String,
    pub larder: Larder,
    /// The server's port.
    pub port: u16,
    /// The server, where the test has its own.
    pub own: Option<Postgres>,
}

impl Ground {
    /// A fresh database with this schema, and a Larder in front of it.
    pub fn new(name: &str, schema: &str) -> Self {
        Self::with(name, schema, |setup| setup)
    }

    /// The same with changes to the set-up.
    pub fn with(name: &str, schema: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        Self::on(server().port(), None, name, schema, change)
    }

    /// The same on a server of its own, whose roles the test may change without others noticing.
    pub fn alone(name: &str, schema: &str) -> Self {
        Self::alone_with(name, schema, |setup| setup)
    }

    /// The same with changes to the set-up.
    pub fn alone_with(name: &str, schema: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        let own = start();
        Self::on(own.port(), Some(own), name, schema, change)
    }

    /// The same on a server that tests share otherwise, with Larder as this user with this password.
    pub fn as_user(
        port: u16,
        (user, password): (&str, &str),
        name: &str,
        schema: &str,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        create_database_on(port, name, schema);
        let url = format!("postgres://{user}:{password}@127.0.0.1:{port}/{name}");
        Self {
            database: name.into(),
            larder: change(Setup::new(&url)).start(),
            port,
            own: None,
        }
    }

    fn on(
        port: u16,
        own: Option<Postgres>,
        name: &str,
        schema: &str,
        change: impl FnOnce(Setup) -> Setup,
    ) -> Self {
        create_database_on(port, name, schema);
        let larder = change(Setup::new(&upstream(port, name))).start();
        Self {
            database: name.into(),
            larder,
            port,
            own,
        }
    }

    /// A login past Larder.
    pub fn login(&self) -> Login {
        self.login_as(SUPERUSER)
    }

    /// A login past Larder as someone else.
    pub fn login_as(&self, user: &str) -> Login {
        Login::new(self.port, user, &self.database)
    }

    /// The same login through Larder.
    pub fn over(&self, login: &Login) -> Login {
        login.clone().port(self.larder.port)
    }

    /// A connection past Larder.
    pub fn direct(&self) -> Client {
        self.login().connect()
    }

    /// A connection through Larder.
    pub fn through(&self) -> Client {
        self.over(&self.login()).connect()
    }

    /// Waits until a read of `table` hits.
    pub fn warm(&self, table: &str) {
        let read = format!("SELECT count(*) AS warming FROM {table}");
        self.larder.wait_hit(&self.login(), &read);
    }

    /// Runs a script on a fresh connection past Larder and three times on fresh connections through it: every byte
    /// must be the same. The script undoes what it does.
    pub fn same(&self, what: &str, script: impl Fn(&mut Client) -> Transcript) {
        self.same_as(&self.login(), what, script);
    }

    /// The same for a login of one's own.
    pub fn same_as(&self, login: &Login, what: &str, script: impl Fn(&mut Client) -> Transcript) {
        let expected = normalised(script(&mut login.connect()));
        for round in 1..=3 {
            let got = normalised(script(&mut self.over(login).connect()));
            assert_same(&format!("{what}, round {round}"), &expected, &got);
        }
    }
}

/// Where a Larder finds a database of the server (or of a relay before it) on `port`.
pub fn upstream(port: u16, database: &str) -> String {
    format!("postgres://{SUPERUSER}@127.0.0.1:{port}/{database}")
}

/// The shared server's port.
pub fn server_port() -> u16 {
    server().port()
}

/// A fresh database with this schema on the shared server.
pub fn create_database(name: &str, schema: &str) {
    create_database_on(server_port(), name, schema);
}

/// The same on any server.
pub fn create_database_on(port: u16, name: &str, schema: &str) {
    let mut admin = Login::new(port, SUPERUSER, "postgres").connect();
    admin.ok(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    admin.ok(&format!("CREATE DATABASE {name}"));
    if !schema.is_empty() {
        Login::new(port, SUPERUSER, name).connect().ok(schema);
    }
}

/// Fails with the first frame that differs.
pub fn assert_same(
    what: &str,
    expected: &[crate::wireclient::Frame],
    got: &[crate::wireclient::Frame],
) {
    if expected == got {
        return;
    }
    let at = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
    panic!(
        "{what}: PostgreSQL says {}, through Larder {}; they differ at frame {at}:\n  {:?}\n  {:?}",
        expected.tags(),
        got.tags(),
        expected.get(at),
        got.get(at)
    );
}
