//! P6: rights, policies and logins, taken away by every way there is.

use crate::ground::{Ground, assert_same, until_hit};
use crate::wireclient::{Answered, normalised};
use std::time::{Duration, Instant};

fn schema(prefix: &str) -> String {
    format!(
        "DROP ROLE IF EXISTS {prefix}_a; DROP ROLE IF EXISTS {prefix}_b; DROP ROLE IF EXISTS {prefix}_group; DROP ROLE IF EXISTS {prefix}_owner;
         CREATE ROLE {prefix}_a LOGIN; CREATE ROLE {prefix}_b LOGIN; CREATE ROLE {prefix}_group; CREATE ROLE {prefix}_owner;
         CREATE SCHEMA s; CREATE TABLE s.secrets (id int PRIMARY KEY, owner text, word text);
         INSERT INTO s.secrets VALUES (1, '{prefix}_a', 'apple'), (2, '{prefix}_b', 'banana'), (3, 'postgres', 'cherry');
         CREATE VIEW s.window_view AS SELECT id, word FROM s.secrets;"
    )
}

const READ: &str = "SELECT word FROM s.secrets WHERE id = 1";
const VIEW: &str = "SELECT word FROM s.window_view WHERE id = 1";

/// What is given, what is read, and how it is taken away; `%` stands for the prefix of the roles.
const WAYS: &[(&str, &str, &[&str])] = &[
    (
        "GRANT USAGE ON SCHEMA s TO %_a; GRANT SELECT ON s.secrets TO %_a",
        READ,
        &["REVOKE USAGE ON SCHEMA s FROM %_a"],
    ),
    (
        "GRANT USAGE ON SCHEMA s TO PUBLIC",
        READ,
        &["REVOKE ALL ON ALL TABLES IN SCHEMA s FROM %_a"],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_a",
        READ,
        &["DROP OWNED BY %_a"],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_a",
        READ,
        &["BEGIN", "REVOKE SELECT ON s.secrets FROM %_a", "COMMIT"],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_a",
        READ,
        &[
            "BEGIN",
            "SAVEPOINT a",
            "SELECT 1",
            "RELEASE a",
            "REVOKE SELECT ON s.secrets FROM %_a",
            "PREPARE TRANSACTION 'r'",
            "COMMIT PREPARED 'r'",
        ],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_a",
        READ,
        &[
            "CREATE OR REPLACE FUNCTION s.take() RETURNS int LANGUAGE plpgsql AS $f$ BEGIN REVOKE SELECT ON s.secrets FROM %_a; RETURN 1; END $f$",
            "GRANT SELECT ON s.secrets TO %_a",
            "SELECT s.take()",
        ],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_a",
        READ,
        &[
            "CREATE OR REPLACE PROCEDURE s.taking() LANGUAGE plpgsql AS $f$ BEGIN REVOKE SELECT ON s.secrets FROM %_a; COMMIT; END $f$",
            "CALL s.taking()",
        ],
    ),
    (
        "ALTER TABLE s.secrets OWNER TO %_a",
        READ,
        &[
            "REASSIGN OWNED BY %_a TO postgres",
            "REVOKE ALL ON s.secrets FROM %_a",
        ],
    ),
    (
        "ALTER TABLE s.secrets OWNER TO %_owner; GRANT %_owner TO %_a",
        READ,
        &["ALTER TABLE s.secrets OWNER TO postgres"],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_group; GRANT %_group TO %_a",
        READ,
        &["ALTER GROUP %_group DROP USER %_a"],
    ),
    (
        "REVOKE %_owner FROM %_a; GRANT %_group TO %_b; GRANT %_b TO %_a",
        READ,
        &["REVOKE %_group FROM %_b"],
    ),
    (
        "GRANT pg_read_all_data TO %_a",
        READ,
        &["REVOKE pg_read_all_data FROM %_a"],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_group; GRANT %_group TO %_b",
        READ,
        &["REVOKE %_b FROM %_a"],
    ),
    // The view's owner reads the table, not who reads the view.
    (
        "REVOKE %_group FROM %_b; ALTER VIEW s.window_view OWNER TO %_owner; GRANT USAGE ON SCHEMA s TO %_owner; GRANT SELECT ON s.secrets TO %_owner; GRANT SELECT ON s.window_view TO %_a",
        VIEW,
        &["REVOKE SELECT ON s.secrets FROM %_owner"],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_owner",
        VIEW,
        &[
            "REVOKE SELECT (word) ON s.secrets FROM %_owner",
            "REVOKE SELECT ON s.secrets FROM %_owner",
        ],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_owner",
        VIEW,
        &["ALTER VIEW s.window_view OWNER TO %_b"],
    ),
    (
        "ALTER VIEW s.window_view OWNER TO postgres",
        VIEW,
        &["ALTER VIEW s.window_view SET (security_invoker = true)"],
    ),
    (
        "ALTER VIEW s.window_view RESET (security_invoker)",
        VIEW,
        &[
            "CREATE OR REPLACE VIEW s.window_view WITH (security_invoker) AS SELECT id, word FROM s.secrets",
        ],
    ),
    (
        "GRANT SELECT ON s.secrets TO %_a",
        READ,
        &["DROP TABLE s.secrets CASCADE"],
    ),
];

/// Hazard 20: by every way, the very next read is refused as PostgreSQL refuses it; by none that was undone.
#[test]
fn p6_every_way_to_lose_a_right_holds_at_once() {
    let ground = Ground::alone("rights_lost", &schema("rl"));
    ground.warm("s.secrets");
    let (mut admin, mut reader) = (
        ground.through(),
        ground.over(&ground.login_as("rl_a")).connect(),
    );
    for (grant, read, ways) in WAYS {
        admin.ok(&grant.replace('%', "rl"));
        until_hit(&mut reader, read);
        // Undone, it takes nothing away.
        if !ways
            .iter()
            .any(|sql| sql.contains("PREPARE") || sql.contains("COMMIT"))
        {
            admin.ok("BEGIN");
            for sql in *ways {
                admin.ok(&sql.replace('%', "rl"));
            }
            admin.ok("ROLLBACK");
            until_hit(&mut reader, read);
        }
        for sql in *ways {
            admin.ok(&sql.replace('%', "rl"));
        }
        let what = ways.join("; ");
        let refusal = ground.login_as("rl_a").connect().query(read);
        assert!(
            refusal.sqlstate().is_some(),
            "{what} takes nothing away, the test is wrong"
        );
        assert_same(&what, &refusal, &reader.query(read));
        let extended = ground.login_as("rl_a").connect().extended(read, &[]);
        assert_same(
            &what,
            &normalised(extended),
            &normalised(reader.extended(read, &[])),
        );
    }
}

/// Hazard 20: what new tables may be read by is theirs alone.
#[test]
fn p6_default_privileges_and_dropped_roles() {
    let ground = Ground::alone("rights_default", &schema("rd"));
    ground.warm("s.secrets");
    let mut admin = ground.through();
    admin.ok("GRANT USAGE ON SCHEMA s TO PUBLIC");
    admin.ok("ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT SELECT ON TABLES TO rd_a");
    admin.ok("CREATE TABLE s.later AS SELECT 1 AS id");
    let login = ground.login_as("rd_a");
    let mut reader = ground.over(&login).connect();
    until_hit(&mut reader, "SELECT id FROM s.later");
    admin.ok("ALTER DEFAULT PRIVILEGES IN SCHEMA s REVOKE SELECT ON TABLES FROM rd_a");
    until_hit(&mut reader, "SELECT id FROM s.later");
    admin.ok("DROP TABLE s.later; CREATE TABLE s.later AS SELECT 2 AS id");
    let refused = login.connect().query("SELECT id FROM s.later");
    assert_eq!(refused.sqlstate().as_deref(), Some("42501"));
    assert_same(
        "a table made anew",
        &refused,
        &reader.query("SELECT id FROM s.later"),
    );
    // A role that is gone, and another of its name.
    admin.ok("GRANT SELECT ON s.secrets TO rd_a");
    until_hit(&mut reader, READ);
    admin.ok("DROP OWNED BY rd_a; DROP ROLE rd_a");
    assert!(
        reader.query(READ).error().is_some(),
        "a role that is gone still reads"
    );
    admin.ok("CREATE ROLE rd_a LOGIN");
    let refused = login.connect().query(READ);
    assert_same(
        "another of its name",
        &refused,
        &ground.over(&login).connect().query(READ),
    );
    assert_eq!(refused.sqlstate().as_deref(), Some("42501"));
}

/// Hazard 21: row security by every way; each step is compared for its owner, for two roles and under row_security = off.
#[test]
fn p6_row_security_by_every_way() {
    let ground = Ground::alone("rights_rows", &schema("rr"));
    ground.warm("s.secrets");
    let mut admin = ground.through();
    admin.ok(
        "GRANT USAGE ON SCHEMA s TO PUBLIC; GRANT SELECT ON s.secrets, s.window_view TO PUBLIC",
    );
    let direct = ["postgres", "rr_a", "rr_b"].map(|role| ground.login_as(role));
    let mut sessions = direct
        .each_ref()
        .map(|login| (login.connect(), ground.over(login).connect()));
    let reads = [
        "SELECT word FROM s.secrets ORDER BY id",
        "SELECT word FROM s.window_view ORDER BY id",
    ];
    for step in [
        "SELECT 1",
        "ALTER TABLE s.secrets ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY own ON s.secrets USING (owner = current_user)",
        "ALTER POLICY own ON s.secrets USING (owner <> current_user)",
        "ALTER POLICY own ON s.secrets TO rr_a",
        "CREATE POLICY tight ON s.secrets AS RESTRICTIVE USING (id = 2)",
        "DROP POLICY tight ON s.secrets",
        "ALTER VIEW s.window_view SET (security_invoker = true)",
        "ALTER ROLE rr_b BYPASSRLS",
        "ALTER TABLE s.secrets OWNER TO rr_a",
        "ALTER TABLE s.secrets FORCE ROW LEVEL SECURITY",
        "ALTER TABLE s.secrets NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE s.secrets OWNER TO postgres",
        "ALTER ROLE rr_b NOBYPASSRLS",
        "DO $$ BEGIN ALTER TABLE s.secrets DISABLE ROW LEVEL SECURITY; END $$",
        "BEGIN; ALTER TABLE s.secrets ENABLE ROW LEVEL SECURITY; ROLLBACK",
        "DROP POLICY own ON s.secrets",
    ] {
        admin.ok(step);
        for round in 0..3 {
            for (past, through) in &mut sessions {
                for read in reads {
                    for sql in [
                        read,
                        "SET row_security = off",
                        read,
                        "RESET row_security",
                        read,
                    ] {
                        let what = format!("{step}: {sql}, round {round}");
                        assert_same(&what, &past.query(sql), &through.query(sql));
                    }
                }
            }
        }
    }
    let (_, through) = &mut sessions[1];
    until_hit(through, reads[0]);
}

/// Hazards 22, 83: whoever was told that the backend is gone is given nothing more, though it would hit.
#[test]
fn p6_whoever_was_told_to_go_hits_no_longer() {
    let ground = Ground::new(
        "rights_gone",
        "CREATE TABLE t (v int); INSERT INTO t VALUES (1)",
    );
    ground.warm("t");
    let read = "SELECT v FROM t";
    let mut client = ground.through();
    client.ok("SET idle_session_timeout = '300ms'");
    until_hit(&mut client, read);
    let deadline = Instant::now() + Duration::from_secs(20);
    let end = loop {
        // Hits do not touch the backend: to PostgreSQL the session is idle.
        let answer = client.query(read);
        if answer.error().is_some() || !answer.tags().ends_with('Z') {
            break answer;
        }
        assert!(
            Instant::now() < deadline,
            "the session outlives its backend"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(end.sqlstate().as_deref(), Some("57P05"), "{end:?}");
    assert!(end.rows().is_empty(), "an answer behind the end: {end:?}");
}
