//! P6: what changes a session where its text does not say so, and roles under savepoints, functions and triggers.

use crate::ground::{Ground, assert_same};
use crate::wireclient::{Answered, Batch, Client, Transcript, normalised};

const SCHEMA: &str = "
    DROP ROLE IF EXISTS hidden_a; DROP ROLE IF EXISTS hidden_b; CREATE ROLE hidden_a LOGIN; CREATE ROLE hidden_b LOGIN;
    CREATE TABLE things (id int PRIMARY KEY, at timestamptz); INSERT INTO things VALUES (1, '2024-03-04 05:06:07Z');
    CREATE SCHEMA other; CREATE TABLE other.things AS SELECT id + 100 AS id, at FROM things;
    GRANT USAGE ON SCHEMA other TO PUBLIC; GRANT SELECT ON things, other.things TO PUBLIC;
    CREATE TABLE secrets (id int PRIMARY KEY, word text); INSERT INTO secrets VALUES (1, 'apple'); GRANT SELECT ON secrets TO hidden_a;
    CREATE TABLE guarded (id int, owner text); INSERT INTO guarded VALUES (1, 'hidden_a'), (2, 'hidden_b'), (3, 'x');
    ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; GRANT SELECT ON guarded TO PUBLIC;
    CREATE POLICY own ON guarded USING (owner = current_user OR id::text = current_setting('app.tenant', true));
    CREATE VIEW owners AS SELECT id FROM guarded; GRANT SELECT ON owners TO PUBLIC;
    CREATE VIEW tenants AS SELECT id, current_setting('app.tenant', true) AS tenant FROM things; GRANT SELECT ON tenants TO PUBLIC;
    CREATE FUNCTION temporary(way text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        IF way = 'view' THEN CREATE TEMP VIEW things AS SELECT 778 AS id;
        ELSIF way = 'drop' THEN CREATE TEMP TABLE things ON COMMIT DROP AS SELECT 779 AS id;
        ELSE CREATE TEMP TABLE things AS SELECT 777 AS id; END IF; RETURN 1; END $$;
    CREATE FUNCTION path(path text, local bool) RETURNS int LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', path, local); RETURN 1; END $$;
    CREATE FUNCTION elsewhere() RETURNS int LANGUAGE plpgsql SET search_path = other AS $$ BEGIN RETURN (SELECT id FROM things); END $$;
    CREATE FUNCTION become(name text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN EXECUTE format('SET ROLE %I', name); RETURN 1; END $$;
    CREATE FUNCTION definer() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS $$ SELECT word || current_user FROM secrets $$;
    CREATE TABLE triggering (id int);
    CREATE FUNCTION trigger_path() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('search_path', 'other', false); RETURN NEW; END $$;
    CREATE TRIGGER moves AFTER INSERT ON triggering FOR EACH ROW EXECUTE FUNCTION trigger_path();";

/// `R`, `T`, `S`, `G` stand for reads.
const READS: &[(&str, &str)] = &[
    ("R", "SELECT id FROM things"),
    ("T", "SELECT at FROM things"),
    ("S", "SELECT word FROM secrets WHERE id = 1"),
    ("G", "SELECT id FROM guarded ORDER BY id"),
    ("P", "SELECT definer() FROM things"),
    ("V", "SELECT * FROM tenants"),
    ("O", "SELECT id FROM owners ORDER BY id"),
];

/// Separated by slashes.
const SCRIPTS: &[&str] = &[
    // Hazard 16: temporary objects that a function makes, and takes away.
    "R / SELECT temporary('table') / R / R / DROP TABLE pg_temp.things / R / R",
    "R / BEGIN / SELECT temporary('drop') / R / COMMIT / R / R",
    "R / BEGIN / SELECT temporary('table') / R / ROLLBACK / R / R",
    "R / BEGIN / R / SAVEPOINT a / SELECT temporary('table') / R / ROLLBACK TO a / R / COMMIT / R",
    "R / SELECT temporary('view') / R / R / DISCARD TEMP / R",
    "R / CREATE TEMP TABLE things (id int) / R / INSERT INTO things VALUES (5) / R / DISCARD ALL / R",
    // Hazards 13, 17: search_path, set where the text does not say so.
    "R / SELECT path('other', false) / R / R / RESET search_path / R",
    "R / BEGIN / SELECT path('other', false) / R / ROLLBACK / R / R",
    "R / BEGIN / SELECT path('other', true) / R / COMMIT / R / R",
    "R / BEGIN / R / SAVEPOINT a / SELECT path('other', false) / ROLLBACK TO a / R / COMMIT / R",
    "SELECT elsewhere() / R / SELECT elsewhere() / R",
    "R / INSERT INTO triggering VALUES (1) / R / R / RESET ALL / R",
    "R / BEGIN / INSERT INTO triggering VALUES (1) / R / ROLLBACK / R / R",
    "R / SET search_path = 'other, public' / R / SET search_path = other, public / R / SET search_path = '' / R",
    "R / SET SCHEMA 'other' / R / RESET search_path / R",
    "R / PREPARE p AS SELECT path('other', false) / EXECUTE p / R / DEALLOCATE p / R / RESET ALL / R",
    // Hazard 13: transactional, in every combination.
    "T / BEGIN / SET LOCAL TimeZone = 'Asia/Tokyo' / T / SET TimeZone = 'UTC' / T / COMMIT / T",
    "T / BEGIN / SET TimeZone = 'Asia/Tokyo' / SET LOCAL TimeZone = 'America/New_York' / T / COMMIT / T",
    "T / BEGIN / SET TimeZone = 'Asia/Tokyo' / SAVEPOINT a / SET LOCAL TimeZone = 'America/New_York' / RELEASE a / T / COMMIT / T",
    "T / BEGIN / SET LOCAL TimeZone = 'Asia/Tokyo' / COMMIT AND CHAIN / T / COMMIT / T",
    "T / BEGIN / SET TimeZone = 'Asia/Tokyo' / ROLLBACK AND CHAIN / T / COMMIT / T",
    "T / BEGIN / SET LOCAL TimeZone TO DEFAULT / T / SET TimeZone = 'Asia/Tokyo' / SET LOCAL TimeZone TO DEFAULT / T / COMMIT / T",
    "T / SET TIME ZONE 'Asia/Tokyo' / T / SET TIME ZONE LOCAL / T / SET TIME ZONE -7 / T / SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE / T / SET TIME ZONE DEFAULT / T",
    "T / SET DateStyle = 'German' / T / SET DateStyle = 'DMY' / T / SET DateStyle = 'ISO' / T",
    "SET TimeZone = 'Asia/Tokyo'; BEGIN; SELECT 1/0 / T / ROLLBACK / T",
    "BEGIN; SET TimeZone = 'Asia/Tokyo'; COMMIT; SELECT 1/0 / T / RESET TimeZone / T",
    "DECLARE c CURSOR WITH HOLD FOR SELECT at FROM things / SET TimeZone = 'Asia/Tokyo' / FETCH c / T / CLOSE c / RESET TimeZone / T",
    "T / SELECT set_config('TimeZone', name, false) FROM (SELECT 'Asia/Tokyo' AS name FROM things) s / T",
    // Hazard 19: the role, undone with its transaction; RESET ALL leaves it alone, DISCARD ALL does not.
    "S / SELECT become('hidden_b') / S / S / RESET ROLE / S",
    "S / BEGIN / SELECT become('hidden_b') / S / ROLLBACK / S",
    "S / BEGIN / SET ROLE hidden_b / ROLLBACK / S / S",
    "S / BEGIN / SAVEPOINT x / SET ROLE hidden_b / S / ROLLBACK TO x / S / COMMIT / S",
    "S / SET ROLE hidden_b / RESET ALL / S / SELECT 1/0 / S / DISCARD ALL / S",
    "S / SET ROLE hidden_a / S / BEGIN / SET LOCAL ROLE hidden_b / S / COMMIT / S",
    "S / SET ROLE hidden_a / BEGIN / RESET ROLE / S / ROLLBACK / S",
    "S / SET LOCAL ROLE hidden_b / S",
    "S / SET SESSION AUTHORIZATION hidden_b / S / RESET SESSION AUTHORIZATION / S / S",
    "S / BEGIN / SET SESSION AUTHORIZATION hidden_b / ROLLBACK / S / S",
    "S / BEGIN / SET LOCAL SESSION AUTHORIZATION hidden_b / S / COMMIT / S / S",
    "S / SET ROLE hidden_a / SET SESSION AUTHORIZATION hidden_b / SET SESSION AUTHORIZATION DEFAULT / S / S",
    "S / SET ROLE hidden_b / DO $$ BEGIN EXECUTE 'RESET ROLE'; END $$ / S / S",
    "S / SET ROLE hidden_b / BEGIN / DO $$ BEGIN EXECUTE 'RESET ROLE'; END $$ / S / ROLLBACK / S / S",
    "S / SET role TO 'hidden_b' / S / SET role = none / S",
    "P / SET SESSION AUTHORIZATION hidden_b / P / RESET SESSION AUTHORIZATION / P",
    // Hazards 13, 21: names that pg_settings does not list, read by policies and views.
    "G / SET ROLE hidden_a / G / SET ROLE hidden_b / G / SET app.tenant = '3' / G / SET app.tenant = '1' / G / RESET ALL / G / RESET ROLE / G",
    "SET ROLE hidden_a / SELECT set_config('app.tenant', '3', false) / G / SELECT set_config('app.tenant', id::text, false) FROM things / G / RESET app.tenant / G",
    "SET ROLE hidden_a / O / SET ROLE hidden_b / O / BEGIN / SET LOCAL app.tenant = '3' / O / COMMIT / O",
    "V / SET app.tenant = '5' / V / BEGIN / SET LOCAL app.tenant = '6' / V / COMMIT / V / DO $$ BEGIN PERFORM set_config('app.tenant', '9', false); END $$ / V",
    "SET ROLE hidden_a / SET row_security = off / G / O / SET row_security = on / G",
];

type Way = fn(&mut Client, &[String]) -> Transcript;

const WAYS: &[(&str, Way)] = &[
    ("simple", |c, all| {
        all.iter().flat_map(|sql| c.query(sql)).collect()
    }),
    ("extended", |c, all| {
        all.iter().flat_map(|sql| c.extended(sql, &[])).collect()
    }),
    ("pipelined", |c, all| {
        c.send(
            all.iter()
                .fold(Batch::new(), |b, sql| b.unnamed(sql, &[]).sync()),
        );
        c.until_ready_times(all.len())
    }),
    ("queries at once", |c, all| {
        c.send(all.iter().fold(Batch::new(), |b, sql| b.query(sql)));
        c.until_ready_times(all.len())
    }),
    ("prepared", |c, all| {
        let mut t = Transcript::new();
        for (n, sql) in all.iter().enumerate() {
            let first = all.iter().position(|s| s == sql).unwrap_or(n);
            let name = format!("s{first}");
            if first == n {
                t.extend(
                    c.run(
                        Batch::new()
                            .parse(&name, sql, &[])
                            .describe_statement(&name)
                            .sync(),
                    ),
                );
            }
            t.extend(c.run(Batch::new().bind_text(&name, &[]).execute("", 0).sync()));
        }
        t
    }),
];

/// Temporary tables are tables of their own: their OIDs differ.
fn comparable(transcript: Transcript) -> Transcript {
    let mut t = normalised(transcript);
    t.retain(|f| f.tag != b'T');
    t
}

/// Hazards 13, 16, 17, 19, 21.
#[test]
fn p6_what_the_text_does_not_say_is_followed() {
    let ground = Ground::alone("hidden_changes", SCHEMA);
    ground.warm("things");
    for script in SCRIPTS {
        let statements: Vec<String> = script
            .split(" / ")
            .map(|s| {
                READS
                    .iter()
                    .find(|(n, _)| *n == s)
                    .map_or(s, |(_, read)| read)
                    .to_owned()
            })
            .collect();
        for (what, way) in WAYS {
            let expected = comparable(way(&mut ground.direct(), &statements));
            for round in 0..3 {
                let got = comparable(way(&mut ground.through(), &statements));
                assert_same(&format!("{script}, {what}, round {round}"), &expected, &got);
            }
        }
    }
    assert!(
        ground.larder.outcome("hit") > 200.0,
        "hardly anything hit: nothing was tested"
    );
}

/// Hazard 23: what a client sets for itself has no part in Larder's own questions, nor in what it is given.
#[test]
fn p6_a_hostile_search_path_reaches_none_of_larders_own_questions() {
    let ground = Ground::alone(
        "hidden_hostile",
        "CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'true');
         CREATE SCHEMA evil; CREATE SEQUENCE evil.called; GRANT USAGE ON SCHEMA evil TO PUBLIC; GRANT ALL ON evil.called TO PUBLIC;
         CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE sql AS 'SELECT nextval(''evil.called'')::text';
         CREATE FUNCTION evil.pg_backend_pid() RETURNS int LANGUAGE sql AS 'SELECT nextval(''evil.called'')::int';
         CREATE FUNCTION evil.pg_my_temp_schema() RETURNS oid LANGUAGE sql AS 'SELECT nextval(''evil.called'')::oid';
         CREATE FUNCTION evil.equal(name, name) RETURNS bool LANGUAGE sql AS 'SELECT nextval(''evil.called'') > 0';
         CREATE OPERATOR evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = evil.equal);
         CREATE FUNCTION evil.unequal(timestamptz, timestamptz) RETURNS bool LANGUAGE sql AS 'SELECT nextval(''evil.called'') > 0';
         CREATE OPERATOR evil.<> (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.unequal);
         CREATE VIEW evil.pg_class AS SELECT 1 AS oid; CREATE VIEW evil.pg_database AS SELECT nextval('evil.called') AS oid, 'x'::name AS datname;
         ALTER DATABASE hidden_hostile SET search_path = evil, pg_catalog, public;",
    );
    ground.warm("public.items");
    let read = "SELECT name FROM public.items WHERE id OPERATOR(pg_catalog.=) 1";
    for login in [
        ground.login(),
        ground
            .login()
            .parameter("search_path", "evil, pg_catalog, public"),
        ground
            .login()
            .parameter("options", "-c search_path=evil,pg_catalog,public"),
    ] {
        ground.same_as(&login, "a hostile path", |c| {
            [
                c.query(read),
                c.query("DO $$ BEGIN END $$"),
                c.query(read),
                c.extended(read, &[]),
            ]
            .concat()
        });
    }
    let called = ground
        .direct()
        .query("SELECT is_called FROM evil.called")
        .value();
    assert_eq!(
        called.as_deref(),
        Some("f"),
        "something of the client's ran in a question of Larder's"
    );
}

/// Hazard 18: the same text in databases whose names together with the text read alike, and in one made anew.
#[test]
fn p6_answers_of_databases_never_mix() {
    let ground = Ground::alone(
        "ab",
        "CREATE TABLE t (v text); INSERT INTO t VALUES ('ab'); CREATE TABLE ta AS TABLE t",
    );
    crate::ground::create_database_on(
        ground.port,
        "b",
        "CREATE TABLE t (v text); INSERT INTO t VALUES ('b'); CREATE TABLE ta AS TABLE t",
    );
    let login = |database: &str| ground.larder.login("postgres", database);
    for _ in 0..2 {
        for (database, expected) in [("ab", "ab"), ("b", "b")] {
            for read in ["SELECT v FROM t", "SELECT v FROM ta"] {
                ground.larder.wait_hit(&login(database), read);
                let value = login(database).connect().query(read).value();
                assert_eq!(value.as_deref(), Some(expected), "{read} in {database}");
            }
        }
    }
    // Dropped, and made anew under its name, with the very same objects.
    let mut admin = crate::wireclient::Login::new(ground.port, "postgres", "postgres").connect();
    for round in 0..3 {
        admin.ok("DROP DATABASE b WITH (FORCE)");
        crate::ground::create_database_on(
            ground.port,
            "b",
            &format!("CREATE TABLE t (v text); INSERT INTO t VALUES ('{round}')"),
        );
        for n in 0..5 {
            let value = login("b").connect().query("SELECT v FROM t").value();
            assert_eq!(value, Some(round.to_string()), "made anew, read {n}");
        }
        ground.larder.wait_hit(&login("b"), "SELECT v FROM t");
    }
    // Renamed.
    admin.ok("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ('ab', 'b')");
    for (from, to) in [("ab", "c"), ("b", "ab")] {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while admin
            .query(&format!("ALTER DATABASE {from} RENAME TO {to}"))
            .error()
            .is_some()
        {
            assert!(std::time::Instant::now() < deadline, "{from} is in use");
            admin.ok(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'"
            ));
        }
    }
    assert_eq!(
        login("ab")
            .connect()
            .query("SELECT v FROM t")
            .value()
            .as_deref(),
        Some("2")
    );
}
