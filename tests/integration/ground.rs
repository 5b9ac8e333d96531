//! What every integration test stands on: a database of its own, a Larder of its own, and the comparison of the two.

use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres};
use crate::wireclient::{Answered, Client, Login, Transcript, normalised};
use std::sync::LazyLock;

/// The superuser of the throw-away server.
pub const SUPERUSER: &str = "postgres";

/// The server of this test run.
pub fn server() -> &'static Postgres {
    static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
        Options::new()
            .set("max_prepared_transactions", "10")
            .start()
    });
    &SERVER
}

/// A database and a Larder.
pub struct Ground {
    pub database: String,
    pub larder: Larder,
}

impl Ground {
    /// A fresh database with this schema, and a Larder in front of it.
    pub fn new(name: &str, schema: &str) -> Self {
        Self::with(name, schema, |setup| setup)
    }

    /// The same with changes to the set-up.
    pub fn with(name: &str, schema: &str, change: impl FnOnce(Setup) -> Setup) -> Self {
        create_database(name, schema);
        let larder = change(Setup::new(&upstream(server_port(), name))).start();
        Self {
            database: name.into(),
            larder,
        }
    }

    /// A login past Larder.
    pub fn login(&self) -> Login {
        Login::new(server_port(), SUPERUSER, &self.database)
    }

    /// A login past Larder as someone else.
    pub fn login_as(&self, user: &str) -> Login {
        Login::new(server_port(), user, &self.database)
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
        self.larder.wait_hit(
            &self.login(),
            &format!("SELECT count(*) AS warming FROM {table}"),
        );
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

/// The server's port.
pub fn server_port() -> u16 {
    server().port()
}

/// A fresh database with this schema.
pub fn create_database(name: &str, schema: &str) {
    let mut admin = Login::new(server_port(), SUPERUSER, "postgres").connect();
    admin.ok(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    admin.ok(&format!("CREATE DATABASE {name}"));
    if !schema.is_empty() {
        Login::new(server_port(), SUPERUSER, name)
            .connect()
            .ok(schema);
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
