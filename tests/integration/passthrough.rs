//! P7: what a client sees through Larder is what PostgreSQL says, byte for byte, for every shape of the protocol.

use crate::faults::{Fault, Relay};
use crate::ground::{Ground, assert_same, create_database, server_port, upstream};
use crate::larder::Setup;
use crate::wireclient::{Answered, Batch, Bind, Client, Login, Transcript, cancel, normalised};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(10,2), seen timestamptz);
    INSERT INTO items SELECT g, 'item ' || g, g * 1.5, '2024-01-01Z' FROM generate_series(1, 50) g;
    CREATE TABLE target (id int PRIMARY KEY, name text);
    CREATE FUNCTION shout(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'shout %', t; RETURN upper(t); END $$;";

type Script = fn(&mut Client) -> Transcript;

fn all(ground: &Ground, scripts: &[(&str, Script)]) {
    for (what, script) in scripts {
        ground.same(what, script);
    }
}

#[test]
fn p7_simple_queries() {
    let ground = Ground::new("pass_simple", SCHEMA);
    all(
        &ground,
        &[
            ("a read", |c| c.query("SELECT * FROM items ORDER BY id")),
            ("no row", |c| c.query("SELECT * FROM items WHERE id < 0")),
            ("no column", |c| c.query("SELECT FROM items WHERE id < 4")),
            ("NULL and empty", |c| {
                c.query("SELECT NULL::text, '', 'NULL' FROM items WHERE id = 1")
            }),
            ("empty", |c| c.query("")),
            ("only a comment", |c| c.query("/* nothing */ -- here")),
            ("only semicolons", |c| c.query(" ; ;; ")),
            ("syntax error", |c| c.query("SELEC 1")),
            ("unknown column", |c| c.query("SELECT nothing FROM items")),
            ("error after rows", |c| {
                c.query("SELECT 1 / (id - 40) FROM items ORDER BY id")
            }),
            ("several", |c| {
                c.query("SELECT id FROM items WHERE id = 1; SELECT name FROM items WHERE id = 2; SELECT 3")
            }),
            ("several, one fails", |c| {
                c.query("SELECT id FROM items WHERE id = 1; SELECT 1/0; SELECT 3")
            }),
            ("BEGIN inside", |c| {
                c.query("BEGIN; SELECT count(*) FROM items; COMMIT; SELECT 1")
            }),
            ("EXPLAIN", |c| {
                c.query("EXPLAIN (COSTS OFF) SELECT * FROM items WHERE id = 7")
            }),
            ("DDL rolled back", |c| {
                c.query("BEGIN; CREATE TABLE fleeting (a int); DROP TABLE fleeting; ROLLBACK")
            }),
            ("notice", |c| {
                c.query("SELECT shout(name) FROM items WHERE id < 4 ORDER BY id")
            }),
            ("DO with notice", |c| {
                c.query("DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'there'; END $$")
            }),
            ("a warning", |c| c.query("COMMIT")),
            ("SHOW", |c| c.query("SHOW server_version")),
            ("a failed transaction", |c| {
                let mut t = c.query("BEGIN");
                for sql in [
                    "SELECT 1/0",
                    "SELECT count(*) FROM items",
                    "SAVEPOINT a",
                    "COMMIT",
                    "SELECT count(*) FROM items",
                ] {
                    t.extend(c.query(sql));
                }
                t
            }),
            ("three messages at once", |c| {
                c.send(
                    Batch::new()
                        .query("SELECT 1 FROM items WHERE id = 1")
                        .query("SELEC")
                        .query("SELECT 2 FROM items WHERE id = 2"),
                );
                c.until_ready_times(3)
            }),
            ("cursors", |c| {
                let mut t = c.query("BEGIN");
                for sql in [
                    "DECLARE a CURSOR FOR SELECT id FROM items ORDER BY id",
                    "FETCH 3 FROM a",
                    "MOVE 5 IN a",
                    "FETCH 2 FROM a",
                    "CLOSE a",
                    "ROLLBACK",
                ] {
                    t.extend(c.query(sql));
                }
                t
            }),
            ("PREPARE and EXECUTE", |c| {
                let mut t = c.query("PREPARE p(int) AS SELECT name FROM items WHERE id = $1");
                for sql in [
                    "EXECUTE p(3)",
                    "EXECUTE p(3)",
                    "EXECUTE p('x')",
                    "DEALLOCATE p",
                    "EXECUTE p(3)",
                ] {
                    t.extend(c.query(sql));
                }
                t
            }),
            ("long text", |c| {
                c.query(&format!(
                    "SELECT '{}', id FROM items WHERE id = 5",
                    "x".repeat(300_000)
                ))
            }),
            ("wide answer", |c| {
                c.query("SELECT repeat(name, 20000) FROM items ORDER BY id")
            }),
        ],
    );
}

#[test]
fn p7_extended_queries() {
    let ground = Ground::new("pass_extended", SCHEMA);
    let point = "SELECT id, name, price FROM items WHERE id = $1";
    all(
        &ground,
        &[
            ("one batch", |c| {
                c.extended("SELECT id, name, price FROM items WHERE id = $1", &["4"])
            }),
            ("without Describe", |c| {
                c.run(
                    Batch::new()
                        .parse("", "SELECT id FROM items WHERE id = $1", &[23])
                        .bind_text("", &["9"])
                        .execute("", 0)
                        .sync(),
                )
            }),
            ("binary both ways", |c| {
                let bind = Bind {
                    formats: &[1],
                    params: &[Some(&[0, 0, 0, 7])],
                    results: &[1],
                    ..Bind::default()
                };
                c.run(
                    Batch::new()
                        .parse("", "SELECT id, name, price FROM items WHERE id = $1", &[23])
                        .bind(bind)
                        .describe_portal("")
                        .execute("", 0)
                        .sync(),
                )
            }),
            ("a format for each column", |c| {
                let bind = Bind {
                    params: &[Some(b"7")],
                    results: &[0, 1, 1],
                    ..Bind::default()
                };
                c.run(
                    Batch::new()
                        .parse("", "SELECT id, name, price FROM items WHERE id = $1", &[])
                        .bind(bind)
                        .describe_portal("")
                        .execute("", 0)
                        .sync(),
                )
            }),
            ("wrong number of formats", |c| {
                let bind = Bind {
                    params: &[Some(b"7")],
                    results: &[0, 1],
                    ..Bind::default()
                };
                c.run(
                    Batch::new()
                        .parse("", "SELECT id, name, price FROM items WHERE id = $1", &[])
                        .bind(bind)
                        .execute("", 0)
                        .sync(),
                )
            }),
            ("wrong number of parameters", |c| {
                c.extended("SELECT id FROM items WHERE id = $1", &["1", "2"])
            }),
            ("a parameter that is no number", |c| {
                c.extended("SELECT id FROM items WHERE id = $1", &["one"])
            }),
            ("NULL parameter", |c| {
                let bind = Bind {
                    params: &[None],
                    ..Bind::default()
                };
                c.run(
                    Batch::new()
                        .parse(
                            "",
                            "SELECT id FROM items WHERE name IS NOT DISTINCT FROM $1",
                            &[25],
                        )
                        .bind(bind)
                        .describe_portal("")
                        .execute("", 0)
                        .sync(),
                )
            }),
            ("empty statement", |c| c.extended("", &[])),
            ("a command without rows", |c| {
                c.extended("SET application_name = 'x'", &[])
            }),
            ("two statements in one Parse", |c| {
                c.extended("SELECT 1; SELECT 2", &[])
            }),
            ("a batch of many", |c| {
                let batch = (1..40).fold(Batch::new(), |b, i: i32| {
                    b.unnamed(
                        "SELECT id, name FROM items WHERE id = $1",
                        &[&i.to_string()],
                    )
                });
                c.run(batch.sync())
            }),
            ("many batches at once", |c| {
                let batch = (1..60).fold(Batch::new(), |b, i: i32| {
                    b.unnamed(
                        "SELECT id, name FROM items WHERE id = $1",
                        &[&(i % 7).to_string()],
                    )
                    .sync()
                });
                c.send(batch);
                c.until_ready_times(59)
            }),
            ("Syncs alone", |c| {
                c.send((0..60).fold(Batch::new(), |b, _| b.sync()));
                c.until_ready_times(60)
            }),
            ("an error in the middle skips to Sync", |c| {
                let batch = Batch::new()
                    .unnamed("SELECT id FROM items WHERE id = 1", &[])
                    .unnamed("SELECT 1/0", &[]);
                c.send(
                    batch
                        .unnamed("SELECT id FROM items WHERE id = 2", &[])
                        .sync()
                        .unnamed("SELECT id FROM items WHERE id = 3", &[])
                        .sync(),
                );
                c.until_ready_times(2)
            }),
            ("a failed Parse in the middle", |c| {
                c.send(
                    Batch::new()
                        .unnamed("SELECT id FROM items WHERE id = 1", &[])
                        .unnamed("SELEC", &[])
                        .sync()
                        .query("SELECT 1"),
                );
                c.until_ready_times(2)
            }),
            ("simple and extended mixed", |c| {
                let batch = Batch::new()
                    .unnamed("SELECT id FROM items WHERE id = $1", &["8"])
                    .query("SELECT name FROM items WHERE id = 8");
                c.send(
                    batch
                        .unnamed("SELECT price FROM items WHERE id = $1", &["8"])
                        .sync(),
                );
                c.until_ready_times(2)
            }),
            ("BEGIN, read, COMMIT before one Sync", |c| {
                c.run(
                    Batch::new()
                        .unnamed("BEGIN", &[])
                        .unnamed("SELECT id FROM items WHERE id = $1", &["8"])
                        .unnamed("COMMIT", &[])
                        .sync(),
                )
            }),
        ],
    );
    ground.same("Flush before each answer", |c| {
        c.send(Batch::new().parse("", point, &[]).flush());
        let mut t = c.frames(1);
        c.send(Batch::new().describe_statement("").flush());
        t.extend(c.frames(2));
        c.send(Batch::new().bind_text("", &["3"]).flush());
        t.extend(c.frames(1));
        c.send(Batch::new().execute("", 0).flush());
        t.extend(c.frames(2));
        t.extend(c.run(Batch::new().sync()));
        t
    });
    ground.same("an error behind Flush waits for Sync", |c| {
        c.send(Batch::new().unnamed("SELECT 1/0", &[]).flush());
        let mut t = c.until(b'E');
        c.send(
            Batch::new()
                .unnamed("SELECT id FROM items WHERE id = 1", &[])
                .flush(),
        );
        assert_eq!(
            c.frame_within(Duration::from_millis(200)),
            None,
            "nothing before Sync"
        );
        t.extend(c.run(Batch::new().sync()));
        t
    });
}

#[test]
fn p7_statements_and_portals() {
    let ground = Ground::new("pass_names", SCHEMA);
    all(
        &ground,
        &[
            ("named statement over several batches", |c| {
                let mut t = c.run(
                    Batch::new()
                        .parse("s", "SELECT name FROM items WHERE id = $1", &[])
                        .describe_statement("s")
                        .sync(),
                );
                for id in ["1", "2", "1"] {
                    t.extend(
                        c.run(
                            Batch::new()
                                .bind_text("s", &[id])
                                .describe_portal("")
                                .execute("", 0)
                                .sync(),
                        ),
                    );
                }
                t.extend(c.run(Batch::new().close_statement("s").sync()));
                t.extend(c.run(Batch::new().bind_text("s", &["1"]).execute("", 0).sync()));
                t
            }),
            ("the same name twice", |c| {
                let parse = |b: Batch| b.parse("s", "SELECT 1 FROM items WHERE id = 1", &[]);
                let mut t = c.run(parse(Batch::new()).sync());
                t.extend(
                    c.run(
                        parse(Batch::new())
                            .bind_text("s", &[])
                            .execute("", 0)
                            .sync(),
                    ),
                );
                t.extend(
                    c.run(
                        parse(Batch::new().close_statement("s"))
                            .bind_text("s", &[])
                            .execute("", 0)
                            .sync(),
                    ),
                );
                t
            }),
            ("a name never parsed", |c| {
                c.run(
                    Batch::new()
                        .bind_text("nobody", &[])
                        .describe_portal("")
                        .execute("", 0)
                        .sync(),
                )
            }),
            ("describe a name never parsed", |c| {
                c.run(Batch::new().describe_statement("nobody").sync())
            }),
            ("a failed Parse leaves no statement", |c| {
                let mut t = c.run(
                    Batch::new()
                        .parse("s", "SELECT nothing FROM items", &[])
                        .sync(),
                );
                t.extend(c.run(Batch::new().bind_text("s", &[]).execute("", 0).sync()));
                t
            }),
            ("the unnamed statement survives Sync", |c| {
                let mut t = c.run(
                    Batch::new()
                        .parse("", "SELECT name FROM items WHERE id = $1", &[])
                        .describe_statement("")
                        .sync(),
                );
                t.extend(c.run(Batch::new().bind_text("", &["5"]).execute("", 0).sync()));
                t.extend(c.run(Batch::new().bind_text("", &["6"]).execute("", 0).sync()));
                t
            }),
            ("the unnamed statement ends at a simple Query", |c| {
                let mut t = c.run(
                    Batch::new()
                        .parse("", "SELECT name FROM items WHERE id = $1", &[])
                        .sync(),
                );
                t.extend(c.query("SELECT name FROM items WHERE id = 2"));
                t.extend(c.run(Batch::new().bind_text("", &["5"]).execute("", 0).sync()));
                t
            }),
            ("DEALLOCATE takes a protocol statement away", |c| {
                let mut t = c.run(
                    Batch::new()
                        .parse("s", "SELECT name FROM items WHERE id = $1", &[])
                        .sync(),
                );
                t.extend(c.run(Batch::new().bind_text("s", &["3"]).execute("", 0).sync()));
                t.extend(c.query("DEALLOCATE s"));
                t.extend(c.run(Batch::new().bind_text("s", &["3"]).execute("", 0).sync()));
                t
            }),
            ("DISCARD ALL takes every statement away", |c| {
                let mut t = c.run(
                    Batch::new()
                        .parse("s", "SELECT name FROM items WHERE id = $1", &[])
                        .sync(),
                );
                t.extend(c.query("DISCARD ALL"));
                t.extend(c.run(Batch::new().bind_text("s", &["3"]).execute("", 0).sync()));
                t
            }),
            ("row limits", |c| {
                let mut t = Vec::new();
                for limit in [0, 1, 4, 5, 6, 100, -1] {
                    let batch = Batch::new()
                        .parse("", "SELECT id FROM items WHERE id <= 5 ORDER BY id", &[])
                        .bind_text("", &[]);
                    t.extend(c.run(batch.describe_portal("").execute("", limit).sync()));
                }
                t
            }),
            ("a portal in pieces", |c| {
                let batch = Batch::new()
                    .parse("", "SELECT id FROM items WHERE id <= 5 ORDER BY id", &[])
                    .bind_text("", &[]);
                c.run(
                    batch
                        .execute("", 2)
                        .execute("", 2)
                        .execute("", 2)
                        .execute("", 2)
                        .sync(),
                )
            }),
            (
                "a suspended portal ends with the implicit transaction",
                |c| {
                    let batch = Batch::new()
                        .parse("", "SELECT id FROM items WHERE id <= 5 ORDER BY id", &[])
                        .bind_text("", &[]);
                    let mut t = c.run(batch.execute("", 2).sync());
                    t.extend(c.run(Batch::new().execute("", 2).sync()));
                    t
                },
            ),
            ("named portals in a transaction", |c| {
                let mut t = c.query("BEGIN");
                let open = |b: Batch, portal| {
                    b.bind(Bind {
                        portal,
                        ..Bind::default()
                    })
                };
                let batch =
                    Batch::new().parse("", "SELECT id FROM items WHERE id <= 5 ORDER BY id", &[]);
                t.extend(
                    c.run(
                        open(open(batch, "a"), "b")
                            .describe_portal("a")
                            .execute("a", 2)
                            .execute("b", 3)
                            .sync(),
                    ),
                );
                t.extend(
                    c.run(
                        Batch::new()
                            .execute("b", 0)
                            .execute("a", 0)
                            .execute("a", 0)
                            .sync(),
                    ),
                );
                t.extend(c.run(open(Batch::new(), "a").sync()));
                t.extend(c.query("ROLLBACK"));
                t.extend(c.run(Batch::new().execute("b", 0).sync()));
                t
            }),
            ("closing a portal", |c| {
                let batch = Batch::new()
                    .parse("", "SELECT id FROM items WHERE id <= 5", &[])
                    .bind(Bind {
                        portal: "p",
                        ..Bind::default()
                    });
                c.run(batch.close_portal("p").execute("p", 0).sync())
            }),
            ("describe both ways", |c| {
                let bind = Bind {
                    params: &[Some(b"1")],
                    results: &[1],
                    ..Bind::default()
                };
                let batch = Batch::new().parse(
                    "",
                    "SELECT id, name FROM items WHERE id = $1 AND price < $2",
                    &[],
                );
                let mut t = c.run(batch.describe_statement("").sync());
                t.extend(
                    c.run(
                        Batch::new()
                            .parse("", "SELECT id, name FROM items WHERE id = $1", &[])
                            .bind(bind)
                            .describe_portal("")
                            .describe_statement("")
                            .execute("", 0)
                            .sync(),
                    ),
                );
                t
            }),
            ("a cached plan must not change its type", |c| {
                let mut t =
                    c.query("CREATE TABLE changing (a int); INSERT INTO changing VALUES (1)");
                t.extend(
                    c.run(
                        Batch::new()
                            .parse("s", "SELECT * FROM changing", &[])
                            .bind_text("s", &[])
                            .execute("", 0)
                            .sync(),
                    ),
                );
                t.extend(c.run(Batch::new().bind_text("s", &[]).execute("", 0).sync()));
                t.extend(c.query("ALTER TABLE changing ADD b int DEFAULT 2"));
                t.extend(c.run(Batch::new().bind_text("s", &[]).execute("", 0).sync()));
                t.extend(c.query("DROP TABLE changing"));
                t
            }),
            ("EXECUTE of a protocol statement", |c| {
                let mut t = c.run(
                    Batch::new()
                        .parse("s", "SELECT name FROM items WHERE id = $1", &[23])
                        .sync(),
                );
                t.extend(c.query("EXECUTE s(4)"));
                t.extend(c.query("PREPARE q AS SELECT name FROM items WHERE id = 4"));
                t.extend(
                    c.run(
                        Batch::new()
                            .bind_text("q", &[])
                            .describe_portal("")
                            .execute("", 0)
                            .sync(),
                    ),
                );
                t
            }),
        ],
    );
}

#[test]
fn p7_copy() {
    let ground = Ground::new("pass_copy", SCHEMA);
    let clean = |c: &mut Client| c.ok("TRUNCATE target");
    let rest = |c: &mut Client, mut t: Transcript| {
        t.extend(c.query("SELECT id, name FROM target ORDER BY id"));
        t
    };
    ground.same("out", |c| c.query("COPY items TO STDOUT"));
    ground.same("out, binary", |c| {
        c.query("COPY (SELECT id, name FROM items ORDER BY id) TO STDOUT (FORMAT binary)")
    });
    ground.same("out, fails", |c| {
        c.query("COPY (SELECT 1 / (id - 40) FROM items ORDER BY id) TO STDOUT")
    });
    ground.same("out, extended", |c| c.extended("COPY items TO STDOUT", &[]));
    ground.same("in", |c| {
        clean(c);
        let t = c.run(
            Batch::new()
                .query("COPY target FROM STDIN")
                .copy_data(b"1\tone\n2\tt")
                .copy_data(b"wo\n")
                .copy_done(),
        );
        rest(c, t)
    });
    ground.same("in, fails by the client", |c| {
        clean(c);
        let t = c.run(
            Batch::new()
                .query("COPY target FROM STDIN")
                .copy_data(b"1\tone\n")
                .copy_fail("changed my mind"),
        );
        rest(c, t)
    });
    ground.same("in, fails by the data, more data behind", |c| {
        clean(c);
        let bad = Batch::new()
            .query("COPY target FROM STDIN")
            .copy_data(b"1\tone\n")
            .copy_data(b"x\ttwo\n");
        let t = c.run(
            (0..50)
                .fold(bad, |b, _| b.copy_data(b"3\tthree\n"))
                .copy_done(),
        );
        rest(c, t)
    });
    ground.same("in, Sync and Flush are ignored meanwhile", |c| {
        clean(c);
        let t = c.run(
            Batch::new()
                .query("COPY target FROM STDIN")
                .copy_data(b"1\tone\n")
                .sync()
                .flush()
                .copy_data(b"2\ttwo\n")
                .copy_done(),
        );
        rest(c, t)
    });
    ground.same("in, broken off by a Query", |c| {
        clean(c);
        c.send(
            Batch::new()
                .query("COPY target FROM STDIN")
                .copy_data(b"1\tone\n")
                .query("SELECT 1"),
        );
        let t = c.until_ready();
        rest(c, t)
    });
    ground.same(
        "in, extended as libpq does it: Sync before and after the data",
        |c| {
            clean(c);
            c.send(Batch::new().unnamed("COPY target FROM STDIN", &[]).sync());
            let mut t = c.until(b'G');
            c.send(Batch::new().copy_data(b"1\tone\n").copy_done().sync());
            t.extend(c.until_ready());
            rest(c, t)
        },
    );
    ground.same("in, extended, fails by the client", |c| {
        clean(c);
        c.send(Batch::new().unnamed("COPY target FROM STDIN", &[]).sync());
        let mut t = c.until(b'G');
        c.send(Batch::new().copy_data(b"1\tone\n").copy_fail("no").sync());
        t.extend(c.until_ready());
        rest(c, t)
    });
    ground.same("in, extended, the data is wrong", |c| {
        clean(c);
        c.send(Batch::new().unnamed("COPY target FROM STDIN", &[]).sync());
        let mut t = c.until(b'G');
        c.send(Batch::new().copy_data(b"x\tone\n").copy_done().sync());
        t.extend(c.until_ready());
        rest(c, t)
    });
    ground.same("several statements around a COPY", |c| {
        clean(c);
        let t = c.run(
            Batch::new()
                .query("SELECT 1; COPY target FROM STDIN; SELECT count(*) FROM target")
                .copy_data(b"1\tone\n")
                .copy_done(),
        );
        rest(c, t)
    });
    ground.same("in, large", |c| {
        clean(c);
        let start = Batch::new().query("COPY target FROM STDIN");
        let batch = (0..20_000).fold(start, |b, i| {
            b.copy_data(format!("{i}\tthe row number {i}\n").as_bytes())
        });
        let t = c.run(batch.copy_done());
        rest(c, t)
    });
}

#[test]
fn p7_function_call() {
    let ground = Ground::new("pass_function", SCHEMA);
    let word = |n: i32| n.to_be_bytes();
    ground.same("int4pl", |c| {
        c.run(Batch::new().function_call(177, &[&word(40), &word(2)]))
    });
    ground.same("int4div by zero", |c| {
        c.run(Batch::new().function_call(154, &[&word(40), &word(0)]))
    });
    ground.same("no such function", |c| {
        c.run(Batch::new().function_call(1, &[]))
    });
    ground.same("between reads", |c| {
        c.send(
            Batch::new()
                .query("SELECT id FROM items WHERE id = 1")
                .function_call(177, &[&word(1), &word(1)])
                .query("SELECT id FROM items WHERE id = 1"),
        );
        c.until_ready_times(3)
    });
}

#[test]
fn p7_asynchronous_messages() {
    let ground = Ground::new("pass_async", SCHEMA);
    ground.same("LISTEN and NOTIFY on one connection", |c| {
        let mut t = c.query("LISTEN a");
        t.extend(c.query("NOTIFY a, 'one'"));
        t.extend(c.query("BEGIN; NOTIFY a, 'two'; NOTIFY a, 'three'; COMMIT"));
        t.extend(c.query("UNLISTEN *"));
        t
    });
    let mut listener = ground.through();
    listener.ok("LISTEN chime");
    for round in 0..3 {
        ground
            .direct()
            .ok(&format!("NOTIFY chime, 'while idle {round}'"));
        let frame = listener.frame();
        assert_eq!(frame.tag, b'A', "{frame:?}");
        assert!(
            frame
                .body
                .ends_with(format!("chime\0while idle {round}\0").as_bytes()),
            "{frame:?}"
        );
        // Hits in between must not swallow or delay what comes after them.
        listener.ok("SELECT name FROM items WHERE id = 3");
    }
    ground.same("ParameterStatus", |c| {
        let mut t = c.query("SET TimeZone = 'Asia/Tokyo'");
        t.extend(c.query("SELECT seen FROM items WHERE id = 1"));
        t.extend(c.query(
            "BEGIN; SET LOCAL DateStyle = 'German'; SELECT seen FROM items WHERE id = 1; ROLLBACK",
        ));
        t.extend(c.extended("SET application_name = 'me'", &[]));
        t.extend(c.query("RESET ALL"));
        t
    });
}

#[test]
fn p7_startup() {
    let ground = Ground::new("pass_startup", SCHEMA);
    let greeting: Script = |c| c.greeting.clone();
    ground.same("plain", greeting);
    ground.same_as(
        &ground
            .login()
            .parameter("application_name", "mine")
            .parameter("TimeZone", "UTC"),
        "settings",
        greeting,
    );
    let options = "-c search_path=pg_catalog -c statement_timeout=5s";
    ground.same_as(
        &ground.login().parameter("options", options),
        "options",
        |c| {
            let mut t = c.greeting.clone();
            t.extend(c.query("SHOW search_path; SHOW statement_timeout"));
            t
        },
    );
    let refused = |what: &str, login: Login| {
        let expected = login
            .try_connect()
            .err()
            .unwrap_or_else(|| panic!("{what} must be refused"));
        let got = ground
            .over(&login)
            .try_connect()
            .err()
            .unwrap_or_else(|| panic!("{what} must be refused through Larder"));
        assert_same(what, &expected, &got);
    };
    refused(
        "unknown database",
        Login::new(server_port(), "postgres", "no_such_database"),
    );
    refused(
        "unknown role",
        Login::new(server_port(), "no_such_role", &ground.database),
    );
    refused(
        "unknown setting",
        ground.login().parameter("no_such_setting", "1"),
    );
    refused(
        "wrong value",
        ground.login().parameter("client_encoding", "KLINGON"),
    );
}

#[test]
fn p7_before_startup() {
    let ground = Ground::new("pass_before", SCHEMA);
    let login = ground.over(&ground.login());
    for requests in [&[80_877_103][..], &[80_877_104], &[80_877_104, 80_877_103]] {
        let mut sock = login.dial().unwrap();
        for code in requests {
            let request = [8i32.to_be_bytes(), i32::to_be_bytes(*code)].concat();
            sock.write_all(&request).unwrap();
            let mut answer = [0];
            sock.read_exact(&mut answer).unwrap();
            assert_eq!(answer, *b"N");
        }
        let mut client = Client::over(sock);
        client.send(Batch(login.startup()));
        let greeting = client.until_ready();
        assert!(greeting.tags().ends_with('Z'), "{greeting:?}");
        assert_eq!(
            client
                .query("SELECT name FROM items WHERE id = 3")
                .value()
                .as_deref(),
            Some("item 3")
        );
    }
    // A newer minor version and an option nobody knows: what PostgreSQL says to it, Larder says.
    let newer = |mut sock: crate::wireclient::Sock| {
        let mut packet = ground.login().startup();
        packet[4..8].copy_from_slice(&196_610i32.to_be_bytes());
        sock.write_all(&packet).unwrap();
        normalised(Client::over(sock).until_ready())
    };
    assert_same(
        "protocol 3.2",
        &newer(ground.login().dial().unwrap()),
        &newer(login.dial().unwrap()),
    );
    let old = |mut sock: crate::wireclient::Sock| {
        let mut packet = ground.login().startup();
        packet[4..8].copy_from_slice(&131_072i32.to_be_bytes());
        sock.write_all(&packet).unwrap();
        let mut bytes = Vec::new();
        let _ = sock.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let said = old(login.dial().unwrap());
    assert!(
        said.contains("FATAL"),
        "a protocol of another age is refused: {said:?}"
    );
}

#[test]
fn p7_cancel() {
    let ground = Ground::new("pass_cancel", SCHEMA);
    let mut client = ground.through();
    client.send(Batch::new().query("SELECT pg_sleep(60)"));
    std::thread::sleep(Duration::from_millis(200));
    let before = Instant::now();
    cancel(ground.larder.port, client.key);
    let answer = client.until_ready();
    assert_eq!(answer.sqlstate().as_deref(), Some("57014"), "{answer:?}");
    assert!(before.elapsed() < Duration::from_secs(15));
    assert_eq!(
        client
            .query("SELECT name FROM items WHERE id = 3")
            .value()
            .as_deref(),
        Some("item 3")
    );

    // A wrong secret cancels nothing, and the connection lives on.
    client.send(Batch::new().query("SELECT pg_sleep(0.5), 'slept'"));
    cancel(ground.larder.port, (client.key.0, client.key.1 ^ 1));
    let answer = client.until_ready();
    assert_eq!(answer.rows()[0][1].as_deref(), Some("slept"), "{answer:?}");
    // A cancel that comes too late is nobody's.
    cancel(ground.larder.port, client.key);
    assert_eq!(
        client
            .query("SELECT name FROM items WHERE id = 4")
            .value()
            .as_deref(),
        Some("item 4")
    );
}

#[test]
fn p7_replication_connections() {
    let ground = Ground::new("pass_replication", SCHEMA);
    let login = ground.login().parameter("replication", "database");
    let identify = |login: &Login| {
        let mut client = login.connect();
        let mut transcript = client.query("IDENTIFY_SYSTEM");
        // The position of the log moves; everything else is the server's identity.
        transcript.retain(|f| f.tag != b'D');
        transcript.extend(client.query("SHOW wal_segment_size"));
        transcript.extend(client.query("SELECT 1"));
        transcript.extend(client.query("NONSENSE"));
        transcript
    };
    assert_same(
        "replication",
        &identify(&login),
        &identify(&ground.over(&login)),
    );
}

#[test]
fn p7_authentication_is_the_upstreams() {
    let name = "pass_auth";
    let ground = Ground::alone(name, SCHEMA);
    let mut admin = ground.direct();
    admin.ok("SET password_encryption = 'md5'; CREATE ROLE auth_md5 LOGIN PASSWORD 'right one'");
    admin.ok("SET password_encryption = 'scram-sha-256'; CREATE ROLE auth_scram LOGIN PASSWORD 'right one'");
    admin.ok("CREATE ROLE auth_password LOGIN PASSWORD 'right one'; CREATE ROLE auth_reject LOGIN; CREATE ROLE auth_trust LOGIN");
    admin.ok("GRANT SELECT ON items TO PUBLIC");
    let methods = [
        ("auth_md5", "md5"),
        ("auth_scram", "scram-sha-256"),
        ("auth_password", "password"),
        ("auth_reject", "reject"),
    ];
    let rules: Vec<_> = methods
        .iter()
        .map(|(role, method)| format!("host {name} {role} 127.0.0.1/32 {method}"))
        .collect();
    let server = ground.own.as_ref().expect("a server of its own");
    let file = server.data_directory().join("pg_hba.conf");
    let before = std::fs::read_to_string(&file).expect("pg_hba.conf");
    std::fs::write(&file, format!("{}\n{before}", rules.join("\n")))
        .expect("pg_hba.conf can be written");
    admin.ok("SELECT pg_reload_conf()");
    // The reload is a signal: it holds when a rejected role is rejected.
    let deadline = Instant::now() + Duration::from_secs(10);
    while ground.login_as("auth_reject").try_connect().is_ok() {
        assert!(Instant::now() < deadline, "the new pg_hba.conf is not read");
        std::thread::sleep(Duration::from_millis(20));
    }

    for role in ["auth_md5", "auth_scram", "auth_password", "auth_trust"] {
        let right = ground.over(&ground.login_as(role).password("right one"));
        let mut client = right.connect();
        assert_eq!(
            client
                .query("SELECT name FROM items WHERE id = 1")
                .value()
                .as_deref(),
            Some("item 1"),
            "{role}"
        );
    }
    for role in ["auth_md5", "auth_scram", "auth_password", "auth_reject"] {
        let wrong = ground.login_as(role).password("wrong one");
        let refusal = |login: &Login| login.try_connect().err().expect("refused").last().cloned();
        let (expected, got) = (refusal(&wrong), refusal(&ground.over(&wrong)));
        assert!(expected.as_ref().is_some_and(|f| f.tag == b'E'));
        assert_eq!(expected, got, "{role}: the text is the upstream's own");
    }
    std::fs::write(&file, before).expect("pg_hba.conf can be written");
    admin.ok("SELECT pg_reload_conf()");
}

#[test]
fn p7_unix_socket() {
    let directory = std::env::temp_dir().join(format!("larder-socket-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    {
        let ground = Ground::with("pass_unix", SCHEMA, |setup| setup.socket(&directory));
        let path = directory.join(format!(".s.PGSQL.{}", ground.larder.port));
        let login = ground.login().socket(&path);
        let mut client = login.connect();
        let expected = ground
            .direct()
            .extended("SELECT * FROM items WHERE id = $1", &["5"]);
        for _ in 0..3 {
            assert_same(
                "over a socket",
                &expected,
                &client.extended("SELECT * FROM items WHERE id = $1", &["5"]),
            );
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn p7_byte_by_byte() {
    create_database("pass_drip", SCHEMA);
    let relay = Relay::to(server_port());
    relay.set(Fault::Drip);
    let larder = Setup::new(&upstream(relay.port, "pass_drip")).start();
    let script = |port: u16| {
        let mut client = Login::new(port, "postgres", "pass_drip").connect();
        let batch = Batch::new()
            .unnamed("SELECT * FROM items WHERE id < $1", &["20"])
            .sync()
            .query("SELECT name FROM items WHERE id < 9");
        for byte in batch.0 {
            client.send(Batch(vec![byte]));
        }
        client.until_ready_times(2)
    };
    let expected = script(server_port());
    for round in 0..2 {
        assert_same(
            &format!("dripping, round {round}"),
            &expected,
            &script(larder.port),
        );
    }
}

/// Back-pressure: what the client does not read, Larder does not buffer.
#[test]
fn p8_slow_reader_costs_bounded_memory() {
    let ground = Ground::new("pass_slow", SCHEMA);
    let mut client = ground.through();
    let before = ground.larder.resident();
    client.send(Batch::new().query("SELECT repeat('x', 1000) FROM generate_series(1, 300000)"));
    let mut highest = 0;
    for _ in 0..15 {
        std::thread::sleep(Duration::from_millis(100));
        highest = highest.max(ground.larder.resident());
    }
    let grown = highest.saturating_sub(before);
    assert!(grown < 32 << 20, "{grown} bytes more while nobody reads");
    assert!(client.skim_until_ready() > 300_000_000);
    let grown = ground.larder.resident().saturating_sub(before);
    assert!(
        grown < 32 << 20,
        "{grown} bytes more after 300 MB went through"
    );
    assert_eq!(
        client
            .query("SELECT name FROM items WHERE id = 3")
            .value()
            .as_deref(),
        Some("item 3")
    );
}

/// The other direction: an upstream that does not read makes the client wait, not Larder grow.
#[test]
fn p8_slow_upstream_costs_bounded_memory() {
    let ground = Ground::new("pass_stuck", SCHEMA);
    let mut holder = ground.direct();
    holder.ok("BEGIN; LOCK TABLE target IN ACCESS EXCLUSIVE MODE");
    let mut client = ground.through();
    let before = ground.larder.resident();
    client.send(Batch::new().query("COPY target FROM STDIN"));
    let crate::wireclient::Sock::Tcp(socket) = &client.sock else {
        unreachable!()
    };
    let mut writer = socket.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        let row = format!("{}\n", "y".repeat(1000));
        let chunk = (0..100).fold(Batch::new(), |b, _| b.copy_data(row.as_bytes()));
        for _ in 0..1000 {
            writer.write_all(&chunk.0).unwrap();
        }
        writer
            .write_all(&Batch::new().copy_fail("enough").0)
            .unwrap();
    });
    std::thread::sleep(Duration::from_millis(1500));
    let grown = ground.larder.resident().saturating_sub(before);
    assert!(
        grown < 32 << 20,
        "{grown} bytes more while the upstream waits"
    );
    holder.ok("ROLLBACK");
    let answer = client.until_ready();
    assert!(answer.sqlstate().is_some(), "{answer:?}");
    sender.join().unwrap();
}
