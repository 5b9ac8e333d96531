//! P1 and P6 of what only its locks tell: a transaction that runs code raises what that code wrote, at once and for
//! everybody; what it did not write stays in memory. Where locks do not tell, everything is raised.

use crate::ground::{Ground, SUPERUSER, assert_same, until_hit};
use crate::larder::Setup;
use crate::wireclient::{Answered, Batch, Client, Login};

const SCHEMA: &str = "
    CREATE TABLE a (id int PRIMARY KEY, alias int UNIQUE, name text);
    INSERT INTO a SELECT g, g + 1000, 'a' || g FROM generate_series(1, 200) g;
    CREATE TABLE b (n int); INSERT INTO b VALUES (0);
    CREATE TABLE c (n int); INSERT INTO c VALUES (0);
    CREATE TABLE d (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE);
    INSERT INTO d SELECT g, g FROM generate_series(1, 200) g;
    CREATE TABLE s (n int); CREATE TABLE e (n int); CREATE TABLE late (n int); CREATE TABLE later (n int);
    CREATE TABLE parts (id int, kind text) PARTITION BY LIST (kind);
    CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN ('a');
    CREATE TABLE parts_b PARTITION OF parts FOR VALUES IN ('b');
    CREATE VIEW seen AS SELECT n FROM e;
    CREATE MATERIALIZED VIEW frozen AS SELECT n FROM b;
    CREATE FUNCTION bump() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE b SET n = n + 1; RETURN NULL; END $$;
    CREATE FUNCTION bump_by_name() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN EXECUTE 'UPD' || 'ATE ' || TG_ARGV[0] || ' SET n = n + 1'; RETURN NULL; END $$;
    CREATE FUNCTION bump_instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE b SET n = n + 1; RETURN NEW; END $$;
    CREATE TRIGGER t AFTER INSERT OR UPDATE ON a FOR EACH ROW EXECUTE FUNCTION bump_by_name('b');
    CREATE TRIGGER t AFTER DELETE ON d FOR EACH ROW EXECUTE FUNCTION bump();
    CREATE TRIGGER t AFTER UPDATE OR DELETE ON s FOR EACH STATEMENT EXECUTE FUNCTION bump();
    CREATE TRIGGER t INSTEAD OF INSERT ON seen FOR EACH ROW EXECUTE FUNCTION bump_instead();
    CREATE CONSTRAINT TRIGGER t AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION bump();
    CREATE CONSTRAINT TRIGGER t AFTER INSERT ON later DEFERRABLE FOR EACH ROW EXECUTE FUNCTION bump();
    CREATE FUNCTION add_b() RETURNS int LANGUAGE sql AS 'UPDATE b SET n = n + 1 RETURNING n';
    CREATE FUNCTION try_b(fails bool) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        BEGIN UPDATE b SET n = n + 1; IF fails THEN RAISE division_by_zero; END IF;
        EXCEPTION WHEN division_by_zero THEN NULL; END; RETURN 1; END $$;
    CREATE FUNCTION add_part(k text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO parts SELECT count(*), k FROM parts; RETURN 1; END $$;
    CREATE FUNCTION cut_b() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        TRUNCATE b; INSERT INTO b SELECT count(*) FROM e; INSERT INTO e VALUES (1); RETURN 1; END $$;
    CREATE FUNCTION freeze() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        PERFORM add_b(); REFRESH MATERIALIZED VIEW frozen; RETURN 1; END $$;
    CREATE FUNCTION with_temporary() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
        CREATE TEMP TABLE x (n int) ON COMMIT DROP; INSERT INTO x VALUES (1); UPDATE b SET n = n + 1; RETURN 1; END $$;
    CREATE PROCEDURE commits() LANGUAGE plpgsql AS $$ BEGIN
        UPDATE b SET n = n + 1; COMMIT; UPDATE e SET n = n + 1; UPDATE b SET n = n + 1; END $$;";

const READS: [&str; 9] = [
    "SELECT * FROM a ORDER BY id",
    "SELECT * FROM b",
    "SELECT * FROM c",
    "SELECT * FROM d ORDER BY id",
    "SELECT count(*) FROM s",
    "SELECT count(*) FROM parts",
    "SELECT count(*) FROM parts_a",
    "SELECT n FROM frozen",
    "SELECT count(*) FROM seen",
];

fn ground(name: &str, more: &str) -> Ground {
    let schema = format!("{SCHEMA}{more}");
    Ground::with(name, &schema, |setup: Setup| setup.set("cache.ttl", "600s"))
}

struct Scene {
    ground: Ground,
    reader: Client,
    direct: Client,
}

impl Scene {
    fn new(name: &str, more: &str) -> Scene {
        let ground = ground(name, more);
        let (reader, direct) = (ground.through(), ground.direct());
        Scene {
            ground,
            reader,
            direct,
        }
    }

    /// Everything is in memory; then something is written, acknowledged when that returns. Every read shows it; those of
    /// `changed` another state than before; those of `kept` were hits.
    fn writes(&mut self, what: &str, changed: &[&str], kept: &[&str], write: impl FnOnce()) {
        for read in READS {
            until_hit(&mut self.reader, read);
        }
        let before: Vec<_> = changed.iter().map(|read| self.direct.query(read)).collect();
        write();
        let mut missed = Vec::new();
        for read in READS {
            let shown = self.reader.query(read);
            if self.reader.larder_last() != "hit" {
                missed.push(read);
            }
            assert_same(&format!("{what}: {read}"), &self.direct.query(read), &shown);
        }
        for (read, before) in changed.iter().zip(before) {
            assert!(
                self.direct.query(read) != before,
                "{what}: {read} is not changed"
            );
            assert!(missed.contains(read), "{what}: {read} is shown from before");
        }
        for read in kept {
            assert!(
                !missed.contains(read),
                "{what}: {read} was raised, too: {missed:?}"
            );
        }
    }
}

fn acknowledged(client: &mut Client, sql: &str, extended: bool) {
    let answer = match extended {
        true => client.extended(sql, &[]),
        false => client.query(sql),
    };
    assert_eq!(answer.error(), None, "{sql}");
}

/// A way to run statements in one transaction.
type Way = fn(&mut Client, &[&str]);

const WAYS: [(&str, Way); 6] = [
    ("an implicit transaction", |c, all| {
        let batch = all
            .iter()
            .fold(Batch::new(), |batch, sql| batch.unnamed(sql, &[]));
        assert_eq!(c.run(batch.sync()).error(), None, "{all:?}");
    }),
    ("simple", |c, all| {
        for sql in [&["BEGIN"], all, &["COMMIT"]].concat() {
            acknowledged(c, sql, false);
        }
    }),
    ("extended", |c, all| {
        for sql in [&["BEGIN"], all, &["END"]].concat() {
            acknowledged(c, sql, true);
        }
    }),
    ("a chain", |c, all| {
        for sql in [&["BEGIN"], all, &["COMMIT AND CHAIN"], all, &["COMMIT"]].concat() {
            acknowledged(c, sql, false);
        }
    }),
    ("one pipeline", |c, all| {
        let mut batch = Batch::new().unnamed("BEGIN", &[]);
        for sql in all {
            batch = batch.unnamed(sql, &[]);
        }
        let answer = c.run(batch.unnamed("COMMIT", &[]).sync());
        assert_eq!(answer.error(), None, "{all:?}");
    }),
    ("COMMIT as a prepared statement", |c, all| {
        acknowledged(c, "BEGIN", true);
        for sql in all {
            acknowledged(c, sql, true);
        }
        let commit = Batch::new().parse("done", "COMMIT", &[]).sync();
        assert_eq!(c.run(commit).error(), None);
        let commit = Batch::new().bind_text("done", &[]).execute("", 0).sync();
        assert_eq!(c.run(commit).error(), None);
        c.run(Batch::new().close_statement("done").sync());
    }),
];

fn fits(how: &str, statements: &[&str]) -> bool {
    let any = |word: &str| statements.iter().any(|sql| sql.starts_with(word));
    match how {
        "an implicit transaction" => !any("SAVEPOINT") && !any("SET"),
        // A held cursor of the transaction before has its name.
        "a chain" => !any("DECLARE"),
        _ => true,
    }
}

/// What a transaction runs, what is changed by that, and what must stay in memory where the locks were asked.
const TOLD: &[(&[&str], &[&str], &[&str])] = &[
    (
        &["UPDATE a SET name = name || 'x' WHERE id = 1"],
        &[READS[0], READS[1]],
        &[READS[2], READS[3], READS[5]],
    ),
    (
        &["SELECT add_b()"],
        &[READS[1]],
        &[READS[0], READS[2], READS[5], READS[7]],
    ),
    (
        &["SELECT add_b()", "UPDATE public.c SET n = n + 1"],
        &[READS[1], READS[2]],
        &[READS[0], READS[5]],
    ),
    // A foreign key's cascade, and a trigger where it arrives.
    (
        &["DELETE FROM a WHERE id = (SELECT max(id) FROM a)"],
        &[READS[0], READS[1], READS[3]],
        &[READS[2], READS[5]],
    ),
    // No row counted, and yet something written.
    (
        &["UPDATE s SET n = 1 WHERE false"],
        &[READS[1]],
        &[READS[0], READS[2]],
    ),
    (
        &[
            "WITH gone AS (DELETE FROM s RETURNING n), more AS (UPDATE c SET n = n + 1) UPDATE e SET n = 1 WHERE false",
        ],
        &[READS[1], READS[2]],
        &[READS[0], READS[5]],
    ),
    // Found by another key than the one that is named.
    (
        &[
            "INSERT INTO a VALUES (1, 1002, 'by alias') ON CONFLICT (alias) DO UPDATE SET name = a.name || '.'",
        ],
        &[READS[0], READS[1]],
        &[READS[2], READS[3]],
    ),
    (&["SELECT try_b(false)"], &[READS[1]], &[READS[0], READS[2]]),
    (
        &["SELECT try_b(true)"],
        &[],
        &[READS[0], READS[1], READS[2]],
    ),
    (
        &["SAVEPOINT x", "SELECT add_b()", "ROLLBACK TO x"],
        &[],
        &[READS[0], READS[1], READS[2]],
    ),
    (
        &["SAVEPOINT x", "SELECT add_b()", "RELEASE x"],
        &[READS[1]],
        &[READS[0], READS[2]],
    ),
    (
        &["SELECT add_part('b')"],
        &[READS[5]],
        &[READS[0], READS[1], READS[6]],
    ),
    (
        &["SELECT add_part('a')"],
        &[READS[5], READS[6]],
        &[READS[0], READS[1]],
    ),
    (
        &["INSERT INTO seen VALUES (1)"],
        &[READS[1]],
        &[READS[0], READS[2]],
    ),
    (
        &["SELECT pg_advisory_xact_lock(7), add_b()"],
        &[READS[1]],
        &[READS[0], READS[2]],
    ),
];

#[test]
fn p1_a_transaction_raises_what_its_code_wrote_and_nothing_else() {
    let mut scene = Scene::new("locks_told", "");
    let mut writer = scene.ground.through();
    for (how, way) in WAYS {
        for (statements, changed, kept) in TOLD {
            if !fits(how, statements) {
                continue;
            }
            let what = format!("{statements:?}, {how}");
            // What is sent ahead of its answers is not asked about.
            let kept = if how == "one pipeline" { &[] } else { *kept };
            scene.writes(&what, changed, kept, || way(&mut writer, statements));
        }
    }
    assert!(
        scene.ground.larder.metric(
            "larder_invalidations_total",
            &[("scope", "table"), ("source", "own")]
        ) > 100.0
    );
}

/// By code that is met by locks alone, in each way: everything is shown; what is kept is not asked.
#[test]
fn p1_what_locks_do_not_tell_raises_everything() {
    let mut scene = Scene::new("locks_untold", "");
    let mut writer = scene.ground.through();
    for (how, way) in WAYS {
        for statements in [
            // Deferred triggers write at COMMIT.
            &["SELECT add_b()", "INSERT INTO late VALUES (1)"][..],
            &["INSERT INTO late VALUES (1)"],
            &[
                "SET CONSTRAINTS ALL DEFERRED",
                "INSERT INTO later VALUES (1)",
            ],
            // So does a cursor that outlives its transaction.
            &["DECLARE held CURSOR WITH HOLD FOR SELECT add_b()"],
            &[
                "SELECT add_b()",
                "DECLARE held CURSOR WITH HOLD FOR SELECT add_b()",
            ],
            &["SELECT cut_b()"],
            &[
                "TRUNCATE b",
                "INSERT INTO b SELECT count(*) FROM late",
                "INSERT INTO late VALUES (1)",
            ],
            &["SELECT with_temporary()"],
            &["SELECT freeze()"],
        ] {
            if !fits(how, statements) {
                continue;
            }
            let what = format!("{statements:?}, {how}");
            scene
                .direct
                .ok("INSERT INTO b SELECT 0 WHERE NOT EXISTS (SELECT FROM b)");
            scene.writes(&what, &[READS[1]], &[], || way(&mut writer, statements));
            writer.query("CLOSE ALL");
        }
    }
}

#[test]
fn p1_a_procedure_that_commits_is_raised_in_each_part() {
    let mut scene = Scene::new("locks_call", "INSERT INTO e VALUES (0);");
    let mut writer = scene.ground.through();
    for extended in [false, true] {
        scene.writes("CALL", &[READS[1]], &[], || {
            acknowledged(&mut writer, "CALL commits()", extended)
        });
    }
    scene.writes("DO", &[READS[1]], &[], || {
        acknowledged(
            &mut writer,
            "DO $$ BEGIN PERFORM add_b(); COMMIT; PERFORM add_b(); END $$",
            false,
        );
    });
    scene.writes("CALL in a block", &[], &[], || {
        acknowledged(&mut writer, "BEGIN", false);
        assert_eq!(
            writer.query("CALL commits()").error().as_deref(),
            Some("invalid transaction termination")
        );
        acknowledged(&mut writer, "COMMIT", false);
    });
}

#[test]
fn p1_a_prepared_transaction_that_ran_code_is_raised_once_it_is_committed() {
    let mut scene = Scene::new("locks_2pc", "");
    let (mut writer, mut other) = (scene.ground.through(), scene.ground.through());
    scene.writes("prepared", &[], &[], || {
        for sql in ["BEGIN", "SELECT add_b()", "PREPARE TRANSACTION 'locks_2pc'"] {
            acknowledged(&mut writer, sql, false);
        }
    });
    scene.writes("committed", &[READS[1]], &[], || {
        acknowledged(&mut other, "COMMIT PREPARED 'locks_2pc'", false);
    });
}

/// A write that goes through another connection leaves no lock on the one that has caused it.
#[test]
fn p1_where_code_can_write_elsewhere_locks_tell_nothing() {
    let mut scene = Scene::new("locks_elsewhere", "");
    // Through Larder: it counts at once.
    let mut admin = scene.ground.through();
    if admin.query("CREATE EXTENSION dblink").error().is_some() {
        eprintln!("SKIPPED: dblink is not installed");
        return;
    }
    let connection = format!(
        "host=127.0.0.1 port={} user={SUPERUSER} dbname=locks_elsewhere",
        scene.ground.port
    );
    admin.ok(&format!(
        "CREATE FUNCTION elsewhere() RETURNS text LANGUAGE sql AS
            $$ SELECT dblink_exec('{connection}', 'UPDATE b SET n = n + 1') $$;
        CREATE FUNCTION elsewhere_too() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM elsewhere(); RETURN NULL; END $$;
        CREATE TRIGGER t AFTER INSERT ON e FOR EACH ROW EXECUTE FUNCTION elsewhere_too()"
    ));
    let mut writer = scene.ground.through();
    for (how, way) in WAYS {
        for statements in [&["SELECT elsewhere()"][..], &["INSERT INTO e VALUES (1)"]] {
            let what = format!("{statements:?}, {how}");
            scene.writes(&what, &[READS[1]], &[], || way(&mut writer, statements));
        }
    }
}

/// GRANT, REVOKE and DDL in code hold no lock that tells.
#[test]
fn p6_what_code_changes_of_the_catalog_holds_at_once() {
    let more = "
        CREATE FUNCTION allow(yes bool) RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
            EXECUTE CASE WHEN yes THEN 'GRANT' ELSE 'REVOKE' END || ' SELECT ON c ' ||
                CASE WHEN yes THEN 'TO' ELSE 'FROM' END || ' locks_reader'; RETURN 1; END $$;
        CREATE FUNCTION arm() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
            CREATE TRIGGER t AFTER UPDATE ON c FOR EACH STATEMENT EXECUTE FUNCTION bump(); RETURN 1; END $$;";
    let ground = Ground::alone("locks_catalog", "CREATE ROLE locks_reader LOGIN");
    ground
        .direct()
        .ok(&format!("{SCHEMA}{more}GRANT SELECT ON b TO locks_reader"));
    let login = ground.over(&ground.login_as("locks_reader"));
    let mut reader = login.connect();
    let mut writer = ground.through();
    let denied = Some("permission denied for table c".to_owned());
    let run = |writer: &mut Client, all: &[&str]| {
        for sql in [&["BEGIN"], all, &["COMMIT"]].concat() {
            acknowledged(writer, sql, false);
        }
    };
    let ways: [[&str; 2]; 2] = [
        ["SELECT allow(true)", "SELECT allow(false)"],
        [
            "DO $$ BEGIN GRANT SELECT ON c TO locks_reader; END $$",
            "DO $$ BEGIN REVOKE SELECT ON c FROM locks_reader; END $$",
        ],
    ];
    for [grant, revoke] in ways {
        assert_eq!(reader.query(READS[2]).error(), denied);
        run(&mut writer, &[grant]);
        assert_eq!(reader.query(READS[2]).error(), None, "{grant}");
        until_hit(&mut reader, READS[2]);
        run(&mut writer, &[revoke]);
        assert_eq!(reader.query(READS[2]).error(), denied, "{revoke}");
    }
    // A trigger that was made by code is known to the next write.
    let mut other = ground.through();
    until_hit(&mut other, READS[1]);
    run(&mut writer, &["SELECT arm()"]);
    until_hit(&mut other, READS[1]);
    let before = other.query(READS[1]);
    writer.ok("UPDATE c SET n = n + 1");
    let after = other.query(READS[1]);
    assert_same(
        "by the new trigger",
        &ground.direct().query(READS[1]),
        &after,
    );
    assert!(before != after);
}

/// A lock that is held for hours shuts nothing, and its holder's transactions are asked like any other.
#[test]
fn p1_an_advisory_lock_that_is_held_changes_nothing() {
    let mut scene = Scene::new("locks_advisory", "");
    let mut leader = scene.ground.through();
    scene.writes("taken", &[], &[READS[0], READS[1], READS[2]], || {
        acknowledged(&mut leader, "SELECT pg_advisory_lock(42)", false);
    });
    for _ in 0..3 {
        scene.writes("held", &[READS[1]], &[READS[0], READS[2]], || {
            (WAYS[0].1)(&mut leader, &["SELECT add_b()"]);
        });
    }
    let taken = scene.direct.query("SELECT pg_try_advisory_lock(42)");
    assert_eq!(taken.value().as_deref(), Some("f"), "it is still held");
}

/// Where the question might fail it is not asked; all the same everything written is seen.
#[test]
fn p7_a_transaction_is_never_lost_for_the_question() {
    let more = "
        GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC;";
    let ground = Ground::alone("locks_denied", "CREATE ROLE locks_writer LOGIN");
    ground.direct().ok(&format!("{SCHEMA}{more}"));
    let direct = ground.direct();
    let reader = ground.through();
    let mut writer: Client = ground
        .over(&Login::new(ground.port, "locks_writer", &ground.database))
        .connect();
    let mut scene = Scene {
        ground,
        reader,
        direct,
    };
    scene.writes("asked", &[READS[1]], &[READS[2]], || {
        (WAYS[0].1)(&mut writer, &["SELECT add_b()"])
    });
    acknowledged(&mut writer, "SET statement_timeout = '300ms'", false);
    scene.writes("in a hurry", &[READS[1]], &[], || {
        (WAYS[0].1)(&mut writer, &["SELECT add_b()"])
    });
    acknowledged(&mut writer, "RESET statement_timeout", false);
    // Through Larder: it holds at once.
    scene
        .ground
        .through()
        .ok("REVOKE EXECUTE ON FUNCTION pg_lock_status() FROM PUBLIC");
    for (how, way) in WAYS {
        scene.writes(&format!("denied, {how}"), &[READS[1]], &[], || {
            way(&mut writer, &["SELECT add_b()"])
        });
    }
}

/// A SERIALIZABLE transaction that is doomed hears so at its COMMIT, as without the question.
#[test]
fn p7_a_commit_that_fails_fails_as_it_does_without_the_question() {
    let ground = ground(
        "locks_doomed",
        "CREATE TABLE k (id int PRIMARY KEY, of int REFERENCES k DEFERRABLE INITIALLY DEFERRED);",
    );
    for extended in [false, true] {
        ground.same(&format!("a foreign key, {extended}"), |client| {
            let mut told = Vec::new();
            for sql in [
                "BEGIN",
                "SELECT add_b()",
                "INSERT INTO k VALUES (1, 2)",
                "COMMIT",
                "SELECT count(*) FROM k",
            ] {
                told.extend(if extended {
                    client.extended(sql, &[])
                } else {
                    client.query(sql)
                });
            }
            told.into_iter().filter(|frame| frame.tag != b'D').collect()
        });
        ground.same(&format!("write skew, {extended}"), |client| {
            let mut other = ground.direct();
            let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE";
            let mut told = Vec::new();
            let mut ask = |sql: &str| {
                told.extend(if extended {
                    client.extended(sql, &[])
                } else {
                    client.query(sql)
                })
            };
            for sql in [begin, "SELECT count(*) FROM e", "SELECT count(*) FROM c"] {
                ask(sql);
                other.ok(sql);
            }
            ask("INSERT INTO e VALUES (1)");
            ask("SELECT try_b(false)");
            other.ok("INSERT INTO c VALUES (1)");
            other.ok("COMMIT");
            ask("COMMIT");
            ask("ROLLBACK");
            told.into_iter().filter(|frame| frame.tag != b'D').collect()
        });
    }
}
