//! The drivers, how each is run, and which of its reads must hit: the data that the runs are held against.
//!
//! A read marked `Must` that does not hit fails the run. One marked `May` is reported, with the reason why it may miss;
//! a run also says which of those hit by now, so that their marks can be raised.

use crate::inside;
use crate::runner::Talk;
use Mark::{May, Must, None};
use Program::{Inside, Installed, Node, Psql, Python};

/// A kind of read; a step's first word says which kind it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Prepared,
    Transaction,
    Limit,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Plain, Kind::Prepared, Kind::Transaction, Kind::Limit];

    /// The first word of its steps.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::Prepared => "prepared",
            Kind::Transaction => "transaction",
            Kind::Limit => "limit",
        }
    }
}

/// What is expected of a driver's reads of one kind once the cache is warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// All of them hit.
    Must,
    /// They may miss, and why.
    May(&'static str),
    /// The driver has no such reads.
    None,
}

/// How a driver is run.
#[derive(Clone, Copy)]
pub enum Program {
    /// A script for Python that needs a module.
    Python(&'static str, &'static str),
    /// A script for Node.
    Node(&'static str),
    /// A script for psql.
    Psql(&'static str),
    /// A program and its arguments; `{installed}` and `{here}` are directories.
    Installed(&'static [&'static str]),
    /// A function of this test program.
    Inside(fn(Talk)),
}

/// A driver.
pub struct Driver {
    pub name: &'static str,
    pub program: Program,
    /// Whether `make test` runs it.
    pub fast: bool,
    /// Marks, in the order of `Kind::ALL`.
    pub marks: [Mark; 4],
    /// With which settings, and what else is to be known.
    pub note: &'static str,
}

/// A way to run PostgreSQL, Larder and the drivers.
pub struct Mode {
    pub name: &'static str,
    /// What the page says of it.
    pub about: &'static str,
    pub entry: Entry,
    /// Larder's configuration keys as in the environment (`POOL__MODE`).
    pub larder: &'static [(&'static str, &'static str)],
}

/// How a driver gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// PostgreSQL trusts it, and Larder passes that on.
    Relayed,
    /// By SCRAM-SHA-256, which Larder verifies.
    Verified,
    /// The same inside TLS, for PostgreSQL as for Larder.
    Encrypted,
}

/// The modes that `make test-drivers` goes through (`DRIVERS_MODE`: one of them); `DRIVERS_SET` adds keys to each.
pub const MODES: &[Mode] = &[
    Mode {
        name: "relayed",
        about: "the login is passed on, so each client has a connection of its own",
        entry: Entry::Relayed,
        larder: &[],
    },
    Mode {
        name: "session",
        about: "Larder lets in with SCRAM-SHA-256; a connection from the first need until the client leaves",
        entry: Entry::Verified,
        larder: &[],
    },
    Mode {
        name: "transaction",
        about: "the same with `pool.mode = \"transaction\"`",
        entry: Entry::Verified,
        larder: &[("POOL__MODE", "transaction")],
    },
    Mode {
        name: "tls",
        about: "as *session*, with `tls.mode = \"require\"` for clients and TLS upstream: SCRAM-SHA-256-PLUS where the driver can",
        entry: Entry::Encrypted,
        larder: &[
            ("TLS__MODE", "require"),
            ("TLS__SELF_SIGNED", "true"),
            ("UPSTREAM__SSLMODE", "require"),
        ],
    },
];

/// Who needs a connection before it writes, and why.
pub const KEEPS: &[(&[&str], &str)] = &[
    (
        &[
            "npgsql",
            "sqlalchemy-psycopg2",
            "sqlalchemy-psycopg",
            "postgres.js",
            "typeorm",
            "drizzle",
            "lib-pq",
        ],
        "asks first for what is no table's: the version, `SELECT 1`, an empty query (`Ping`)",
    ),
    (
        &["django", "sequelize", "pgjdbc", "activerecord", "diesel"],
        "sets something for the session at connect, which in a transaction pool keeps its connection, too",
    ),
    (
        &["libpq", "psycopg", "psycopg-pipeline", "php-pdo", "dbd-pg"],
        "prepares by a Parse without Describe, which only the database can answer",
    ),
    (
        &["postgres.js"],
        "describes its SAVEPOINT, which only the database can answer",
    ),
    (&["psql-execute"], "SQL's PREPARE"),
];

const SQL_EXECUTE: Mark =
    May("SQL's EXECUTE is passed through and counts as a write to everything");
const CLOSING: Mark = May(
    "the driver sends Close of a dropped statement and does not wait: a read behind it is not given before its answer",
);
const FLUSHED: Mark =
    May("a portal that is read in portions with Flush between them, not Sync, is passed through");

const fn driver(
    name: &'static str,
    program: Program,
    fast: bool,
    marks: [Mark; 4],
    note: &'static str,
) -> Driver {
    Driver {
        name,
        program,
        fast,
        marks,
        note,
    }
}

/// Everyone, the fast ones first.
pub const DRIVERS: &[Driver] = &[
    driver(
        "psql",
        Psql("steps.psql"),
        true,
        [Must, None, Must, None],
        "the simple protocol",
    ),
    driver(
        "psql-execute",
        Psql("execute.psql"),
        true,
        [None, SQL_EXECUTE, None, None],
        "SQL's PREPARE and EXECUTE",
    ),
    driver(
        "libpq",
        Python("psycopg.pq", "libpq_steps.py"),
        true,
        [Must, Must, Must, Must],
        "row limit: single-row mode",
    ),
    driver(
        "psycopg2",
        Python("psycopg2", "psycopg2_steps.py"),
        true,
        [Must, None, Must, Must],
        "the simple protocol; row limit: fetchone",
    ),
    driver(
        "psycopg",
        Python("psycopg", "psycopg_steps.py"),
        true,
        [Must, Must, Must, Must],
        "row limit: stream",
    ),
    driver(
        "psycopg-pipeline",
        Python("psycopg", "psycopg_steps.py pipeline"),
        true,
        [Must, Must, Must, None],
        "everything in pipelines",
    ),
    driver(
        "asyncpg",
        Python("asyncpg", "asyncpg_steps.py"),
        true,
        [Must, Must, Must, Must],
        "row limit: fetchrow, fetchval, cursors",
    ),
    driver(
        "tokio-postgres",
        Inside(inside::tokio_postgres),
        true,
        [CLOSING, Must, Must, Must],
        "row limit: query_portal",
    ),
    driver(
        "npgsql",
        Inside(inside::npgsql),
        true,
        [Must, Must, Must, Must],
        "its bytes, written from its source; Npgsql itself was not run",
    ),
    driver(
        "pg8000",
        Python("pg8000", "pg8000_steps.py"),
        false,
        [Must, Must, Must, None],
        "as it comes",
    ),
    driver(
        "sqlalchemy-psycopg2",
        Python("sqlalchemy", "sqlalchemy_steps.py psycopg2"),
        false,
        [Must, Must, Must, None],
        "plain: isolation_level=\"AUTOCOMMIT\"",
    ),
    driver(
        "sqlalchemy-psycopg",
        Python("sqlalchemy", "sqlalchemy_steps.py psycopg"),
        false,
        [Must, Must, Must, None],
        "plain: isolation_level=\"AUTOCOMMIT\"",
    ),
    driver(
        "django",
        Python("django", "django_steps.py"),
        false,
        [Must, Must, Must, None],
        "prepared: server_side_binding",
    ),
    driver(
        "node-postgres",
        Node("node-postgres.mjs"),
        false,
        [Must, Must, Must, Must],
        "prepared: named; row limit: pg-cursor",
    ),
    driver(
        "postgres.js",
        Node("postgres-js.mjs"),
        false,
        [Must, Must, Must, FLUSHED],
        "row limit: cursor",
    ),
    driver(
        "prisma",
        Node("prisma.mjs"),
        false,
        [Must, Must, Must, None],
        "adapter-pg",
    ),
    driver(
        "typeorm",
        Node("typeorm.mjs"),
        false,
        [Must, None, Must, None],
        "",
    ),
    driver(
        "sequelize",
        Node("sequelize.mjs"),
        false,
        [Must, None, Must, None],
        "",
    ),
    driver(
        "drizzle",
        Node("drizzle.mjs"),
        false,
        [Must, Must, Must, None],
        "over node-postgres",
    ),
    driver(
        "pgjdbc",
        Installed(&["{installed}/bin/java", "Pgjdbc"]),
        false,
        [Must, Must, Must, Must],
        "prepared: prepareThreshold 5 crossed; transaction: autocommit=false; row limit: setFetchSize, setMaxRows",
    ),
    driver(
        "php-pdo",
        Installed(&["{installed}/bin/php", "{here}/pdo.php"]),
        false,
        [Must, Must, Must, None],
        "plain: ATTR_EMULATE_PREPARES",
    ),
    driver(
        "activerecord",
        Installed(&["{installed}/bin/ruby", "{here}/activerecord.rb"]),
        false,
        [Must, Must, Must, None],
        "plain: unprepared; prepared: prepared_statements (the default)",
    ),
    driver(
        "dbd-pg",
        Installed(&["{installed}/bin/perl", "{here}/dbd-pg.pl"]),
        false,
        [Must, Must, Must, None],
        "",
    ),
    driver(
        "lib-pq",
        Installed(&["{installed}/bin/go-libpq"]),
        false,
        [Must, Must, Must, None],
        "",
    ),
    driver(
        "pgx",
        Installed(&["{installed}/bin/go-pgx"]),
        false,
        [Must, Must, Must, None],
        "v4",
    ),
    driver(
        "sqlx",
        Installed(&["{installed}/rust/debug/sqlx"]),
        false,
        [Must, Must, Must, Must],
        "row limit: fetch_optional",
    ),
    driver(
        "diesel",
        Installed(&["{installed}/rust/debug/diesel"]),
        false,
        [Must, Must, Must, None],
        "",
    ),
];
