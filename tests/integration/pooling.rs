//! Clients that Larder lets in hold a connection to the database only while they need one, and never somebody else's.

use crate::faults::{Fault, Relay};
use crate::ground::{SUPERUSER, create_database_on, eventually};
use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres, Stop};
use crate::wireclient::{Answered, Batch, Bind, Client, Login, cancel};
use std::time::Duration;

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text);
    INSERT INTO items SELECT g, 'item ' || g FROM generate_series(1, 50) g;";
const READ: &str = "SELECT name FROM items WHERE id = 4";

/// A server that asks the user `app` for a password, and a Larder that knows it.
struct Pooled {
    server: Postgres,
    larder: Larder,
    database: String,
}

impl Pooled {
    fn new(name: &str, change: impl FnOnce(Setup) -> Setup) -> Pooled {
        let server = Options::new()
            .hba("host all app 127.0.0.1/32 scram-sha-256")
            .start();
        create_database_on(server.port(), name, SCHEMA);
        let mut direct = Login::new(server.port(), SUPERUSER, name).connect();
        direct.ok("SET password_encryption = 'scram-sha-256'; CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'");
        let url = format!("postgres://app:secret@127.0.0.1:{}/{name}", server.port());
        let larder = change(Setup::new(&url)).start();
        Pooled {
            server,
            larder,
            database: name.into(),
        }
    }

    fn login(&self) -> Login {
        self.larder.login("app", &self.database).password("secret")
    }

    fn client(&self) -> Client {
        self.login().connect()
    }

    fn direct(&self) -> Client {
        Login::new(self.server.port(), SUPERUSER, &self.database).connect()
    }

    /// How many backends serve clients, or wait to.
    fn backends(&self) -> i64 {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND application_name <> 'larder'";
        self.direct().ok(sql).value().unwrap().parse().unwrap()
    }

    fn lent(&self) -> f64 {
        self.larder
            .metric("larder_upstream_connections", &[("state", "client")])
    }
}

fn backend(client: &mut Client) -> String {
    client.ok("SELECT pg_backend_pid()").value().unwrap()
}

#[test]
fn clients_whose_reads_hit_hold_no_connection() {
    let pooled = Pooled::new("pooling_hits", |setup| setup);
    pooled.larder.wait_hit(&pooled.login(), READ);
    eventually("it goes back", || pooled.lent() == 0.0);
    let extended = || {
        let bind = Bind {
            statement: "s",
            ..Bind::default()
        };
        let batch = Batch::new().parse("s", READ, &[]).bind(bind);
        batch.describe_portal("").execute("", 0).sync()
    };
    pooled.client().run(extended());
    eventually("it goes back", || pooled.lent() == 0.0);
    let idle = pooled.backends();
    let mut clients: Vec<_> = (0..40).map(|_| pooled.client()).collect();
    for client in &mut clients {
        assert_eq!(client.ok(READ).value().unwrap(), "item 4");
        assert_eq!(client.larder_last(), "hit");
        for sql in ["BEGIN", "SAVEPOINT a", READ] {
            client.ok(sql);
        }
        assert_eq!(client.larder_last(), "hit");
        client.ok("RELEASE a");
        client.ok("COMMIT");
        assert_eq!(client.run(extended()).tags(), "12TDCZ");
        assert_eq!(client.larder_last(), "hit");
    }
    assert_eq!(pooled.lent(), 0.0, "nobody has needed one");
    assert!(pooled.backends() <= idle);
}

#[test]
fn a_login_is_told_what_postgresql_tells() {
    let pooled = Pooled::new("pooling_login", |setup| setup);
    let statuses = |login: Login| {
        let mut client = login.connect();
        let shown = client.ok("SELECT current_user, session_user, current_setting('TimeZone')");
        (client.parameters.clone(), shown)
    };
    for parameter in [
        ("application_name", "shop"),
        ("options", "-c TimeZone=Asia/Tokyo -c DateStyle=German"),
        ("client_encoding", "LATIN1"),
    ] {
        let set = |login: Login| login.parameter(parameter.0, parameter.1);
        let direct = Login::new(pooled.server.port(), "app", &pooled.database).password("secret");
        for _ in 0..2 {
            assert_eq!(statuses(set(pooled.login())), statuses(set(direct.clone())));
        }
    }
    for (login, state) in [
        (pooled.login().password("wrong"), "28P01"),
        (
            pooled.larder.login("app", "nowhere").password("secret"),
            "3D000",
        ),
        (pooled.login().parameter("TimeZone", "Nowhere"), "22023"),
        (pooled.login().parameter("no_such_setting", "x"), "42704"),
    ] {
        let refused = login.try_connect().err().expect("refused");
        assert_eq!(refused.sqlstate().unwrap(), state);
    }
}

#[test]
fn a_session_keeps_its_connection_and_leaves_nothing_in_it() {
    let pooled = Pooled::new("pooling_session", |setup| {
        setup
            .set("POOL__POOL_SIZE", "1")
            .set("SERVER__WORKERS", "1")
    });
    pooled.larder.wait_hit(&pooled.login(), READ);
    let mut first = pooled.client();
    let pid = backend(&mut first);
    first.ok(
        "CREATE TEMP TABLE mine (a int); SET DateStyle = 'German'; LISTEN x; PREPARE p AS SELECT 1",
    );
    first.ok("SELECT pg_advisory_lock(7); DECLARE c CURSOR WITH HOLD FOR SELECT 1");
    first.run(Batch::new().parse("kept", "SELECT 1", &[]).sync());
    assert_eq!(backend(&mut first), pid);
    drop(first);
    let mut second = pooled.client();
    assert_eq!(backend(&mut second), pid, "the connection is used again");
    let left = "SELECT (SELECT count(*) FROM pg_prepared_statements) + (SELECT count(*) FROM pg_cursors) \
                + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') + (SELECT count(*) FROM pg_listening_channels()), \
                to_regclass('mine'), current_setting('DateStyle')";
    let rows = second.ok(left).rows();
    assert_eq!(
        rows[0],
        [Some("0".into()), None, Some("ISO, MDY".into())],
        "nothing is left"
    );
    // What is under way when a client leaves ends with its connection.
    second.ok("BEGIN; UPDATE items SET name = 'no' WHERE id = 4");
    drop(second);
    eventually("it is rolled back", || {
        let mut direct = pooled.direct();
        direct
            .ok("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
            .value()
            .unwrap()
            == "0"
    });
    assert_eq!(pooled.client().ok(READ).value().unwrap(), "item 4");
}

#[test]
fn transactions_share_a_connection() {
    let pooled = Pooled::new("pooling_transactions", |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("POOL__POOL_SIZE", "1")
            .set("SERVER__WORKERS", "1")
    });
    // With the first catalog the first connections go.
    pooled.larder.wait_hit(&pooled.login(), READ);
    let mut clients: Vec<_> = (0..3).map(|_| pooled.client()).collect();
    let pids: Vec<_> = clients.iter_mut().map(backend).collect();
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    // The same name of three statements, each of which needs the database.
    for (n, client) in clients.iter_mut().enumerate() {
        let sql =
            format!("UPDATE items SET name = 'by {n}' WHERE id = $1::int + {n} RETURNING name");
        let batch = Batch::new()
            .parse("s", &sql, &[])
            .describe_statement("s")
            .sync();
        assert_eq!(client.run(batch).tags(), "1tTZ");
    }
    for turn in 0..3 {
        for (n, client) in clients.iter_mut().enumerate() {
            let batch = Batch::new().bind_text("s", &["10"]).execute("", 0).sync();
            let told = client.run(batch);
            assert_eq!(told.value().unwrap(), format!("by {n}"), "turn {turn}");
        }
    }
    // A block keeps the connection until it ends.
    clients[0].ok("BEGIN");
    clients[0].ok("UPDATE items SET name = 'block' WHERE id = 20");
    clients[1].send(Batch::new().query("UPDATE items SET name = 'other' WHERE id = 21"));
    assert!(
        clients[1]
            .frame_within(Duration::from_millis(200))
            .is_none(),
        "it waits"
    );
    clients[0].ok("COMMIT");
    assert_eq!(clients[1].until_ready().complete(), ["UPDATE 1"]);
}

#[test]
fn an_unnamed_statement_is_not_seen_by_the_next_client() {
    let pooled = Pooled::new("pooling_unnamed", |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("POOL__POOL_SIZE", "1")
            .set("SERVER__WORKERS", "1")
    });
    pooled.larder.wait_hit(&pooled.login(), READ);
    let mut first = pooled.client();
    let read = "SELECT pg_backend_pid(), $1::text";
    for batch in [
        Batch::new().describe_statement("").sync(),
        Batch::new().bind_text("", &["x"]).execute("", 0).sync(),
    ] {
        first.extended(read, &["secret"]);
        let told = pooled.client().run(batch);
        assert_eq!(told.sqlstate().as_deref(), Some("26000"));
    }
    let again = Batch::new().bind_text("", &["mine"]).execute("", 0).sync();
    let told = first.run(again);
    assert!(told.value().is_some(), "its own is kept: {told:?}");
}

#[test]
fn what_a_transaction_pool_cannot_keep_keeps_its_connection() {
    let pooled = Pooled::new("pooling_pinned", |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("SERVER__WORKERS", "1")
    });
    pooled
        .direct()
        .ok("CREATE VIEW locking AS SELECT pg_try_advisory_lock(5)");
    let mut other = pooled.client();
    for sql in [
        "SET work_mem = '5MB'",
        "SET DateStyle = 'German'",
        "CREATE TEMP TABLE mine (a int)",
        "LISTEN x",
        "PREPARE p AS SELECT 1",
        "SELECT pg_advisory_lock(3)",
        "SELECT count(*) FROM items WHERE pg_try_advisory_lock_shared(4)",
        "SELECT * FROM locking",
        "SELECT setseed(0.5)",
        "SELECT set_config('my.setting', 'x', false)",
        "DO $$ BEGIN PERFORM set_config('my.setting', 'y', false); END $$",
    ] {
        // Without a catalog every client keeps its connection until there is one.
        pooled.larder.wait_hit(&pooled.login(), READ);
        let mut client = pooled.client();
        client.ok(sql);
        let pid = backend(&mut client);
        for _ in 0..3 {
            assert_ne!(backend(&mut other), pid, "{sql}");
            assert_eq!(backend(&mut client), pid, "{sql}");
        }
    }
    // What ends with its transaction pins nothing.
    let mut client = pooled.client();
    backend(&mut client);
    client.ok("BEGIN");
    client.ok("SET LOCAL work_mem = '6MB'");
    client.ok("INSERT INTO items VALUES (1000, 'new')");
    client.ok("COMMIT");
    eventually("all go back", || pooled.lent() == 0.0);
    for client in [&mut other, &mut client] {
        assert_eq!(client.ok("SHOW work_mem").value().unwrap(), "4MB");
    }
}

#[test]
fn a_cancel_request_reaches_the_query_of_its_client_and_no_other() {
    let pooled = Pooled::new("pooling_cancel", |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("SERVER__WORKERS", "1")
    });
    let (mut sleeper, mut bystander) = (pooled.client(), pooled.client());
    sleeper.send(Batch::new().query("SELECT pg_sleep(60)"));
    bystander.send(Batch::new().query("SELECT pg_sleep(2)"));
    eventually("both run", || pooled.lent() == 2.0);
    let key = sleeper.key;
    cancel(pooled.larder.port, (key.0, key.1 ^ 1));
    assert!(sleeper.frame_within(Duration::from_millis(300)).is_none());
    eventually("the query is cancelled", || {
        cancel(pooled.larder.port, key);
        sleeper
            .frame_within(Duration::from_millis(500))
            .is_some_and(|frame| frame.tag == b'T' || frame.tag == b'E')
    });
    sleeper.until_ready();
    assert_eq!(bystander.until_ready().complete(), ["SELECT 1"]);
    // Nothing is under way: nothing happens, to nobody.
    cancel(pooled.larder.port, key);
    assert_eq!(bystander.ok(READ).value().unwrap(), "item 4");
    assert_eq!(sleeper.ok(READ).value().unwrap(), "item 4");
}

#[test]
fn limits_are_kept() {
    let pooled = Pooled::new("pooling_limits", |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("POOL__POOL_SIZE", "1")
            .set("POOL__QUERY_WAIT_TIMEOUT", "300ms")
            .set("POOL__IDLE_TRANSACTION_TIMEOUT", "2s")
            .set("POOL__MAX_CLIENT_CONN", "3")
            .set("SERVER__WORKERS", "1")
    });
    let mut holder = pooled.client();
    holder.ok("BEGIN");
    holder.ok("UPDATE items SET name = 'held' WHERE id = 9");
    let mut waiter = pooled.client();
    waiter.send(Batch::new().query("SELECT pg_backend_pid()"));
    assert_eq!(waiter.frame().body[..6], *b"SFATAL");
    assert!(waiter.closed());
    let told = holder
        .frame_within(Duration::from_secs(10))
        .expect("an end");
    assert_eq!([told].sqlstate().unwrap(), "25P03");
    assert!(holder.closed());
    eventually("there is room again", || {
        pooled.login().try_connect().is_ok()
    });
    let clients: Vec<_> = (0..3).map(|_| pooled.login().try_connect()).collect();
    let refused = pooled.login().try_connect().err().expect("too many");
    assert_eq!(refused.sqlstate().unwrap(), "53300");
    drop(clients);
    eventually("there is room again", || {
        pooled.login().try_connect().is_ok()
    });
}

#[test]
fn whom_the_database_does_not_let_in_any_more_hits_no_longer() {
    let pooled = Pooled::new("pooling_revoked", |setup| setup.set("AUTH__RECHECK", "1s"));
    pooled.larder.wait_hit(&pooled.login(), READ);
    let mut client = pooled.client();
    client.ok(READ);
    assert_eq!(client.larder_last(), "hit");
    pooled.direct().ok("ALTER ROLE app PASSWORD 'another'");
    eventually("the session ends", || {
        client.send(Batch::new().query(READ));
        client.frame().tag == b'E' || {
            client.until_ready();
            false
        }
    });
    assert!(client.closed());
    let refused = pooled.login().try_connect().err().expect("refused");
    assert_eq!(refused.sqlstate().unwrap(), "28P01");
}

#[test]
fn a_restart_of_the_database_ends_only_who_has_a_connection() {
    let mut pooled = Pooled::new("pooling_restart", |setup| setup);
    let (mut idle, mut busy) = (pooled.client(), pooled.client());
    busy.ok("BEGIN");
    busy.ok("UPDATE items SET name = 'lost' WHERE id = 3");
    pooled.server.stop(Stop::Fast);
    pooled.server.start_again();
    assert_eq!(busy.frame().tag, b'E');
    eventually("a new connection is made", || {
        pooled
            .larder
            .login("app", &pooled.database)
            .password("secret")
            .try_connect()
            .is_ok()
    });
    assert_eq!(idle.ok(READ).value().unwrap(), "item 4");
}

#[test]
fn who_lives_by_a_greeting_that_was_replaced_is_asked_for_too() {
    let pooled = Pooled::new("pooling_replaced", |setup| setup.set("AUTH__RECHECK", "2s"));
    pooled.larder.wait_hit(&pooled.login(), READ);
    let mut former = pooled.client();
    assert_eq!(former.ok(READ).value().unwrap(), "item 4");
    // Raises the catalog: who comes now is greeted anew.
    let mut newer = pooled.client();
    newer.ok("CREATE TABLE another (a int)");
    let mut newest = pooled.client();
    pooled.direct().ok("ALTER ROLE app PASSWORD 'another'");
    for client in [&mut former, &mut newest] {
        eventually("the session ends", || {
            client.send(Batch::new().query("SHOW larder.last"));
            client.frame().tag == b'E' || {
                client.until_ready();
                false
            }
        });
        assert!(client.closed());
    }
    assert!(
        newer.ok("SELECT 1").sqlstate().is_none(),
        "it has a connection"
    );
}

#[test]
fn clients_that_come_at_once_cause_one_login() {
    let pooled = Pooled::new("pooling_herd", |setup| setup);
    let relay = Relay::to(pooled.server.port());
    // An attempt that fails is one connection, not one for each way; Larder's own come through the relay, too.
    let url = format!(
        "postgres://app:secret@127.0.0.1:{}/pooling_herd?sslmode=disable",
        relay.port
    );
    let larder = Setup::new(&url).set("SERVER__WORKERS", "2").start();
    let login = larder.login("app", "pooling_herd").password("secret");
    larder.wait_hit(&login, READ);
    for fault in [
        Fault::Delay(Duration::from_millis(30)),
        Fault::AcceptAndClose,
    ] {
        let refused = fault == Fault::AcceptAndClose;
        relay.set(fault);
        let before = relay.accepted();
        let login = login
            .clone()
            .parameter("application_name", if refused { "r" } else { "a" });
        let threads: Vec<_> = (0..40)
            .map(|_| {
                let login = login.clone();
                std::thread::spawn(move || login.try_connect().err())
            })
            .collect();
        for thread in threads {
            let error = thread.join().unwrap();
            assert_eq!(error.is_some(), refused, "{error:?}");
            assert!(error.is_none_or(|told| told.sqlstate().unwrap() == "08001"));
        }
        let logins = relay.accepted() - before;
        assert!(logins < 12, "{logins} logins");
    }
}

#[test]
fn a_connection_that_was_told_of_its_clients_end_is_nobodys() {
    let pooled = Pooled::new("pooling_end", |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("POOL__POOL_SIZE", "1")
            .set("SERVER__WORKERS", "1")
    });
    for round in 0..5 {
        let mut holder = pooled.direct();
        holder.ok("BEGIN; LOCK items");
        let mut gone = pooled.client();
        gone.send(Batch::new().query("UPDATE items SET name = name WHERE id = 1"));
        let mut direct = pooled.direct();
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND wait_event_type = 'Lock'";
        eventually("it waits", || {
            direct.ok(waits).value().as_deref() == Some("1")
        });
        drop(gone);
        // There is one connection; the next client waits for it.
        let mut next = pooled.client();
        next.send(Batch::new().query("SELECT 1"));
        assert!(next.frame_within(Duration::from_millis(200)).is_none());
        holder.ok("COMMIT");
        let answer = next.until_ready();
        assert_eq!(answer.tags(), "TDCZ", "round {round}: {answer:?}");
        assert_eq!(next.ok(READ).tags(), "TDCZ");
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_a_message_holds_no_lock() {
    let pooled = Pooled::new("pooling_middle", |setup| {
        setup.set("POOL__MODE", "transaction")
    });
    let insert = "INSERT INTO items VALUES (77, 'x')";
    let logins = [
        pooled.login(),
        pooled.larder.login(SUPERUSER, &pooled.database),
    ];
    for login in logins {
        for cut in [1, 4] {
            let batch = Batch::new().unnamed(insert, &[]).sync();
            let mut gone = login.connect();
            gone.send(Batch(batch.0[..batch.0.len() - cut].to_vec()));
            // PostgreSQL has begun with it.
            let mut direct = pooled.direct();
            let held = "SELECT count(*) FROM pg_locks WHERE relation = 'items'::regclass AND mode = 'RowExclusiveLock'";
            eventually("it is held", || {
                direct.ok(held).value().as_deref() == Some("1")
            });
            drop(gone);
            eventually("it is let go", || {
                direct.ok(held).value().as_deref() == Some("0")
            });
            let found = direct.ok("SELECT count(*) FROM items WHERE id = 77");
            assert_eq!(found.value().as_deref(), Some("0"));
        }
    }
}
