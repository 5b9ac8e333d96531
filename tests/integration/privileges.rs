//! P6: an answer is its role's own, and what a role may no longer read it no longer gets.

use crate::faults::{Fault, Relay, Toward};
use crate::ground::{Ground, assert_same, until_hit, upstream};
use crate::larder::Setup;
use crate::wireclient::{Answered, Batch};
use std::time::{Duration, Instant};

fn schema(prefix: &str) -> String {
    format!(
        "DROP ROLE IF EXISTS {prefix}_a; DROP ROLE IF EXISTS {prefix}_b; DROP ROLE IF EXISTS {prefix}_group;
         CREATE ROLE {prefix}_a LOGIN; CREATE ROLE {prefix}_b LOGIN; CREATE ROLE {prefix}_group;
         CREATE TABLE secrets (id int PRIMARY KEY, owner text, word text);
         INSERT INTO secrets VALUES (1, '{prefix}_a', 'apple'), (2, '{prefix}_b', 'banana');
         CREATE VIEW window_view AS SELECT id, word FROM secrets;
         CREATE TABLE guarded (id int PRIMARY KEY, owner text); INSERT INTO guarded VALUES (1, '{prefix}_a'), (2, '{prefix}_b');
         ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON guarded USING (owner = current_user);
         GRANT SELECT ON guarded TO PUBLIC;"
    )
}

const READ: &str = "SELECT word FROM secrets WHERE id = 1";

/// For each way in which a right goes, the very next read is refused as PostgreSQL refuses it.
#[test]
fn p6_a_revoke_through_larder_holds_at_once() {
    let ground = Ground::alone("priv_revoke", &schema("priv_r"));
    ground.warm("secrets");
    let (mut admin, mut reader) = (
        ground.through(),
        ground.over(&ground.login_as("priv_r_a")).connect(),
    );
    for (grant, revoke) in [
        (
            "GRANT SELECT ON secrets TO priv_r_a",
            "REVOKE SELECT ON secrets FROM priv_r_a",
        ),
        (
            "GRANT SELECT ON secrets TO PUBLIC",
            "REVOKE SELECT ON secrets FROM PUBLIC",
        ),
        (
            "GRANT SELECT (id, word) ON secrets TO priv_r_a",
            "REVOKE SELECT (word) ON secrets FROM priv_r_a",
        ),
        (
            "GRANT SELECT ON secrets TO priv_r_group; GRANT priv_r_group TO priv_r_a",
            "REVOKE priv_r_group FROM priv_r_a",
        ),
        (
            "GRANT priv_r_group TO priv_r_a; GRANT SELECT ON secrets TO priv_r_group",
            "ALTER ROLE priv_r_a NOINHERIT",
        ),
        (
            "ALTER ROLE priv_r_a INHERIT",
            "REVOKE ALL ON secrets FROM priv_r_group",
        ),
        (
            "GRANT SELECT ON secrets TO priv_r_a",
            "REVOKE USAGE ON SCHEMA public FROM PUBLIC",
        ),
        (
            "GRANT USAGE ON SCHEMA public TO PUBLIC; ALTER TABLE secrets OWNER TO priv_r_a",
            "ALTER TABLE secrets OWNER TO postgres; REVOKE ALL ON secrets FROM priv_r_a",
        ),
        (
            "GRANT SELECT ON secrets TO priv_r_a",
            "DO $$ BEGIN EXECUTE 'REVOKE SELECT ON secrets FROM priv_r_a'; END $$",
        ),
        (
            "GRANT SELECT ON secrets TO priv_r_a",
            "BEGIN; REVOKE SELECT ON secrets FROM priv_r_a; COMMIT",
        ),
        (
            "ALTER ROLE priv_r_a SUPERUSER",
            "ALTER ROLE priv_r_a NOSUPERUSER",
        ),
    ] {
        admin.ok(grant);
        // A role's attributes and memberships hold from a connection's start or from its next statement alike.
        if grant.contains("SUPERUSER") || reader.query(READ).error().is_some() {
            reader = ground.over(&ground.login_as("priv_r_a")).connect();
        }
        until_hit(&mut reader, READ);
        admin.ok(revoke);
        let refusal = ground.login_as("priv_r_a").connect().query(READ);
        assert!(
            refusal.sqlstate().is_some(),
            "{revoke} takes nothing away, the test is wrong"
        );
        assert_same(revoke, &refusal, &reader.query(READ));
        let mut fresh = ground.over(&ground.login_as("priv_r_a")).connect();
        assert_eq!(
            fresh.extended(READ, &[]).sqlstate(),
            refusal.sqlstate(),
            "{revoke}, a new connection"
        );
    }
}

/// One made past Larder holds within `catalog.refresh`.
#[test]
fn p6_a_revoke_elsewhere_holds_within_the_refresh() {
    let ground = Ground::alone_with("priv_elsewhere", &schema("priv_e"), |setup| {
        setup.set("CATALOG__REFRESH", "300ms")
    });
    ground.warm("secrets");
    let mut reader = ground.over(&ground.login_as("priv_e_a")).connect();
    for (grant, revoke) in [
        (
            "GRANT SELECT ON secrets TO priv_e_a",
            "REVOKE SELECT ON secrets FROM priv_e_a",
        ),
        (
            "GRANT SELECT ON secrets TO priv_e_group; GRANT priv_e_group TO priv_e_a",
            "REVOKE priv_e_group FROM priv_e_a",
        ),
    ] {
        ground.direct().ok(grant);
        until_hit(&mut reader, READ);
        // Roles are the cluster's: the other database's connection does not see ours at all.
        let database = if revoke.contains(" ON ") {
            ground.database.as_str()
        } else {
            "postgres"
        };
        crate::wireclient::Login::new(ground.port, "postgres", database)
            .connect()
            .ok(revoke);
        // Generous towards a busy machine; a TTL of half an hour is what it must not wait for.
        let deadline = Instant::now() + Duration::from_secs(10);
        while reader.query(READ).error().is_none() {
            assert!(Instant::now() < deadline, "{revoke} was never noticed");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A connection to the catalogs that says nothing more, neither answer nor end: what is not watched is not served.
#[test]
fn p6_silence_of_the_catalogs_shuts_the_cache() {
    let ground = Ground::alone("priv_silent", &schema("priv_q"));
    let relay = Relay::to(ground.port);
    let larder = Setup::new(&upstream(relay.port, "priv_silent"))
        .set("CATALOG__REFRESH", "300ms")
        .start();
    let login = larder.login("postgres", "priv_silent");
    larder.wait_hit(&login, READ);
    let mut reader = login.connect();
    until_hit(&mut reader, READ);
    relay.set(Fault::Hold(Toward::Client));
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // A hit needs no upstream; what is no hit waits for one that is silent.
        reader.send(Batch::new().query(READ));
        if reader.frame_within(Duration::from_secs(1)).is_none() {
            break;
        }
        reader.until_ready();
        assert!(
            Instant::now() < deadline,
            "hits although nobody watches the catalogs"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    // And when it speaks again, everything comes back.
    relay.set(Fault::Refuse);
    relay.heal();
    larder.wait_hit(&login, READ);
}

#[test]
fn p6_set_role_changes_whose_answers_are_given() {
    let ground = Ground::alone("priv_role", &schema("priv_s"));
    ground.warm("secrets");
    ground
        .through()
        .ok("GRANT SELECT ON secrets TO priv_s_a; GRANT priv_s_a, priv_s_b TO postgres");
    let run = |statements: &[&str]| {
        let statements: Vec<_> = statements.iter().map(|s| (*s).to_owned()).collect();
        ground.same(&statements.join(" / "), |c| {
            statements.iter().flat_map(|sql| c.query(sql)).collect()
        });
        ground.same(&format!("extended {}", statements.join(" / ")), |c| {
            statements
                .iter()
                .flat_map(|sql| c.extended(sql, &[]))
                .collect()
        });
        ground.same(&format!("pipelined {}", statements.join(" / ")), |c| {
            c.send(
                statements
                    .iter()
                    .fold(Batch::new(), |b, sql| b.unnamed(sql, &[]).sync()),
            );
            c.until_ready_times(statements.len())
        });
    };
    run(&[READ, READ, "SET ROLE priv_s_b", READ, "RESET ROLE", READ]);
    run(&[
        READ,
        "SET ROLE priv_s_a",
        READ,
        READ,
        "SET ROLE priv_s_b",
        READ,
        "SET ROLE NONE",
        READ,
    ]);
    run(&[
        "SET SESSION AUTHORIZATION priv_s_b",
        READ,
        "RESET SESSION AUTHORIZATION",
        READ,
    ]);
    run(&[
        "BEGIN",
        READ,
        "SET LOCAL ROLE priv_s_b",
        READ,
        "ROLLBACK",
        READ,
    ]);
    run(&["BEGIN", "SET LOCAL ROLE priv_s_a", READ, "COMMIT", READ]);
    run(&[
        "BEGIN",
        "SAVEPOINT x",
        "SET ROLE priv_s_b",
        "ROLLBACK TO x",
        READ,
        "COMMIT",
    ]);
    run(&["SET ROLE priv_s_b", "RESET ALL", READ, "DISCARD ALL", READ]);
    run(&[
        "SELECT set_config('role', 'priv_s_b', false)",
        READ,
        "RESET role",
        READ,
    ]);
    run(&[
        "DO $$ BEGIN EXECUTE 'SET ROLE priv_s_b'; END $$",
        READ,
        READ,
    ]);
    run(&["SET ROLE no_such_role", READ]);
    run(&[
        "SELECT current_user FROM secrets WHERE id = 1",
        "SET ROLE priv_s_b",
        "SELECT current_user",
    ]);
}

#[test]
fn p6_row_security_is_never_served() {
    let ground = Ground::alone("priv_rls", &schema("priv_l"));
    ground.warm("secrets");
    let read = "SELECT id FROM guarded ORDER BY id";
    for _ in 0..3 {
        for (role, expected) in [("priv_l_a", "1"), ("priv_l_b", "2")] {
            let mut client = ground.over(&ground.login_as(role)).connect();
            let rows = client.query(read).rows();
            assert_eq!(rows, vec![vec![Some(expected.to_owned())]], "{role}");
            assert_eq!(client.larder_last(), "bypass: row_security");
        }
    }
    // Row security that comes later takes the cached answers away.
    let mut admin = ground.through();
    admin.ok("GRANT SELECT ON secrets TO priv_l_a");
    let mut reader = ground.over(&ground.login_as("priv_l_a")).connect();
    let all = "SELECT word FROM secrets ORDER BY id";
    until_hit(&mut reader, all);
    admin.ok("ALTER TABLE secrets ENABLE ROW LEVEL SECURITY");
    assert!(reader.query(all).rows().is_empty(), "no policy, no row");
    admin.ok("CREATE POLICY own ON secrets USING (owner = current_user)");
    assert_eq!(
        reader.query(all).rows(),
        vec![vec![Some("apple".to_owned())]]
    );
}

#[test]
fn p6_views_read_with_their_owners_rights() {
    let ground = Ground::alone("priv_view", &schema("priv_v"));
    ground.warm("secrets");
    let mut admin = ground.through();
    admin.ok("GRANT SELECT ON window_view TO priv_v_a");
    let read = "SELECT word FROM window_view WHERE id = 1";
    let login = ground.login_as("priv_v_a");
    ground.same_as(&login, "through the view", |c| c.query(read));
    let mut reader = ground.over(&login).connect();
    until_hit(&mut reader, read);
    ground.same_as(&login, "past the view", |c| c.query(READ));
    admin.ok("ALTER VIEW window_view SET (security_invoker = true)");
    assert_eq!(reader.query(read).sqlstate().as_deref(), Some("42501"));
    admin.ok("ALTER VIEW window_view RESET (security_invoker)");
    until_hit(&mut reader, read);
    admin.ok("REVOKE SELECT ON window_view FROM priv_v_a");
    assert_eq!(reader.query(read).sqlstate().as_deref(), Some("42501"));
}

/// A session whose backend is terminated does not live on from hits.
#[test]
fn p6_a_terminated_backend_ends_its_session() {
    let ground = Ground::alone("priv_end", &schema("priv_t"));
    ground.warm("secrets");
    ground.through().ok("GRANT SELECT ON secrets TO priv_t_a");
    let login = ground.over(&ground.login_as("priv_t_a"));
    let mut reader = login.connect();
    until_hit(&mut reader, READ);
    let mut admin = ground.direct();
    admin.ok("ALTER ROLE priv_t_a NOLOGIN");
    admin.ok("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'priv_t_a'");
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let answer = reader.query(READ);
        if answer.tags().contains('!') || answer.error().is_some() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "a session without a backend still gets answers"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(login.try_connect().is_err());
}
