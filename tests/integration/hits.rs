//! Repeated reads are answered from memory, in every shape of message that drivers send, with the upstream's bytes.

use crate::ground::{Ground, assert_same};
use crate::wireclient::{Answered, Batch, Bind, Client, Transcript, normalised};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, name text, price numeric(10,2), seen timestamptz, flag bool);
    INSERT INTO items SELECT g, 'item ' || g, g * 1.5, '2024-01-01Z', g % 2 = 0 FROM generate_series(1, 50) g;
    UPDATE items SET name = NULL WHERE id = 7;
    CREATE VIEW cheap AS SELECT id, name FROM items WHERE price < 30;
    CREATE MATERIALIZED VIEW frozen AS SELECT id, name FROM items;
    CREATE TABLE parts (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
    CREATE TABLE parts_a PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
    CREATE TABLE parts_b PARTITION OF parts FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
    INSERT INTO parts SELECT g, '2024-01-15'::date + g FROM generate_series(1, 30) g;";

/// A way to ask: the same statement in one shape of messages. `%` stands for the connection's statement name.
type Shape = fn(&mut Client, &str) -> Transcript;

const PARAM: &[Option<&[u8]>] = &[Some(b"4")];

fn bind<'a>(results: &'a [i16]) -> Bind<'a> {
    Bind {
        params: PARAM,
        results,
        ..Bind::default()
    }
}

/// Every shape that clients were seen to send; each asks `SELECT id, name, price … WHERE id = $1` or its like.
const SHAPES: &[(&str, Shape)] = &[
    ("simple", |c, sql| c.query(&sql.replace("$1", "4"))),
    ("simple, semicolon", |c, sql| {
        c.query(&(sql.replace("$1", "4") + ";"))
    }),
    ("P/B/D/E/S", |c, sql| {
        c.run(
            Batch::new()
                .parse("", sql, &[])
                .bind(bind(&[]))
                .describe_portal("")
                .execute("", 0)
                .sync(),
        )
    }),
    ("P/B/E/S, no Describe", |c, sql| {
        c.run(
            Batch::new()
                .parse("", sql, &[23])
                .bind(bind(&[]))
                .execute("", 0)
                .sync(),
        )
    }),
    ("P/S then B/D/E/S", |c, sql| {
        let mut t = c.run(Batch::new().parse("", sql, &[]).sync());
        t.extend(
            c.run(
                Batch::new()
                    .bind(bind(&[]))
                    .describe_portal("")
                    .execute("", 0)
                    .sync(),
            ),
        );
        t
    }),
    ("P/D(S)/H then B/E/S", |c, sql| {
        c.send(
            Batch::new()
                .parse("", sql, &[])
                .describe_statement("")
                .flush(),
        );
        let mut t = c.frames(3);
        t.extend(c.run(Batch::new().bind(bind(&[1])).execute("", 0).sync()));
        t
    }),
    ("P/D(S)/S then B/E/S, unnamed", |c, sql| {
        let mut t = c.run(
            Batch::new()
                .parse("", sql, &[])
                .describe_statement("")
                .sync(),
        );
        t.extend(c.run(Batch::new().bind(bind(&[])).execute("", 0).sync()));
        t
    }),
    ("P/H/S, D/H/S, B/H/E/H/S", |c, sql| {
        let mut t = c.run(Batch::new().parse("", sql, &[]).flush().sync());
        t.extend(c.run(Batch::new().describe_statement("").flush().sync()));
        t.extend(
            c.run(
                Batch::new()
                    .bind(bind(&[]))
                    .flush()
                    .execute("", 0)
                    .flush()
                    .sync(),
            ),
        );
        t
    }),
    ("named, P/D(S)/S then B/D/E/S then C/S", |c, sql| {
        let named = Bind {
            statement: "s1",
            ..bind(&[0, 1, 1])
        };
        let mut t = c.run(
            Batch::new()
                .parse("s1", sql, &[])
                .describe_statement("s1")
                .sync(),
        );
        t.extend(
            c.run(
                Batch::new()
                    .bind(named)
                    .describe_portal("")
                    .execute("", 0)
                    .sync(),
            ),
        );
        t.extend(c.run(Batch::new().close_statement("s1").sync()));
        t
    }),
    ("named, P/D(S)/H then B/E/S", |c, sql| {
        c.send(
            Batch::new()
                .close_statement("__stmt_1__")
                .parse("__stmt_1__", sql, &[])
                .describe_statement("__stmt_1__")
                .flush(),
        );
        let mut t = c.frames(4);
        t.extend(
            c.run(
                Batch::new()
                    .bind(Bind {
                        statement: "__stmt_1__",
                        ..bind(&[1])
                    })
                    .execute("", 0)
                    .sync(),
            ),
        );
        t
    }),
    ("named, B/E/close portal/S", |c, sql| {
        let mut t = c.run(
            Batch::new()
                .close_statement("sqlx_s_1")
                .parse("sqlx_s_1", sql, &[])
                .describe_statement("sqlx_s_1")
                .sync(),
        );
        t.extend(
            c.run(
                Batch::new()
                    .bind(Bind {
                        statement: "sqlx_s_1",
                        ..bind(&[1])
                    })
                    .execute("", 0)
                    .close_portal("")
                    .sync(),
            ),
        );
        t
    }),
    ("binary results", |c, sql| {
        c.run(
            Batch::new()
                .parse("", sql, &[])
                .bind(bind(&[1]))
                .describe_portal("")
                .execute("", 0)
                .sync(),
        )
    }),
    ("mixed results", |c, sql| {
        c.run(
            Batch::new()
                .parse("", sql, &[])
                .bind(bind(&[0, 1, 1]))
                .describe_portal("")
                .execute("", 0)
                .sync(),
        )
    }),
    ("binary parameter", |c, sql| {
        let binary = Bind {
            formats: &[1],
            params: &[Some(&[0, 0, 0, 4])],
            ..Bind::default()
        };
        c.run(
            Batch::new()
                .parse("", sql, &[23])
                .bind(binary)
                .describe_portal("")
                .execute("", 0)
                .sync(),
        )
    }),
    ("a row limit above the answer", |c, sql| {
        c.run(
            Batch::new()
                .parse("", sql, &[])
                .bind(bind(&[]))
                .describe_portal("")
                .execute("", 2)
                .sync(),
        )
    }),
    ("two Syncs", |c, sql| {
        c.send(
            Batch::new()
                .parse("", sql, &[])
                .bind(bind(&[]))
                .describe_portal("")
                .execute("", 0)
                .sync()
                .sync(),
        );
        c.until_ready_times(2)
    }),
];

/// The word of the last statement after one run of a shape, and what it answered.
fn ask(client: &mut Client, shape: Shape, sql: &str) -> (Transcript, String) {
    let transcript = normalised(shape(client, sql));
    (transcript, client.larder_last())
}

#[test]
fn p7_every_shape_hits_with_the_upstreams_bytes() {
    let ground = Ground::new("hits_shapes", SCHEMA);
    ground.warm("items");
    for (n, (what, shape)) in SHAPES.iter().enumerate() {
        // The output name makes each shape a statement of its own.
        let sql = format!("SELECT id AS shape_{n}, name, price FROM items WHERE id = $1");
        let expected = normalised(shape(&mut ground.direct(), &sql));
        let mut first = ground.through();
        let (answer, last) = ask(&mut first, *shape, &sql);
        assert_same(&format!("{what}, first"), &expected, &answer);
        assert_eq!(last, "miss", "{what}, first");
        let mut second = ground.through();
        let (answer, last) = ask(&mut second, *shape, &sql);
        assert_same(&format!("{what}, another connection"), &expected, &answer);
        assert_eq!(last, "hit", "{what}, another connection");
        let (answer, last) = ask(&mut first, *shape, &sql);
        assert_same(&format!("{what}, third"), &expected, &answer);
        assert_eq!(last, "hit", "{what}, third");
    }
}

#[test]
fn p7_many_hits_on_one_connection() {
    let ground = Ground::new("hits_many", SCHEMA);
    ground.warm("items");
    let sql = "SELECT id, name, price FROM items WHERE id = $1";
    let mut direct = ground.direct();
    let mut client = ground.through();
    let prepare = || {
        Batch::new()
            .parse("s", sql, &[])
            .describe_statement("s")
            .sync()
    };
    assert_same("prepare", &direct.run(prepare()), &client.run(prepare()));
    for round in 0..5 {
        for id in 1..=50 {
            let id = id.to_string();
            let run = || Batch::new().bind_text("s", &[&id]).execute("", 0).sync();
            assert_same(
                &format!("round {round}, id {id}"),
                &direct.run(run()),
                &client.run(run()),
            );
        }
    }
    assert!(
        ground.larder.outcome("hit") >= 200.0,
        "{}",
        ground.larder.metrics()
    );
    // The same in one pipeline: hits wait behind nothing but each other, misses in between keep the order.
    let pipeline = (1..=50).fold(Batch::new(), |batch, id: i32| {
        let id = if id % 5 == 0 { 1000 + id } else { id }.to_string();
        batch.bind_text("s", &[&id]).execute("", 0).sync()
    });
    direct.send(pipeline.clone());
    client.send(pipeline);
    assert_same(
        "pipeline",
        &direct.until_ready_times(50),
        &client.until_ready_times(50),
    );
    // And before one single Sync.
    let batch = (1..=50)
        .fold(Batch::new(), |b, id: i32| {
            b.bind_text("s", &[&id.to_string()]).execute("", 0)
        })
        .sync();
    direct.send(batch.clone());
    client.send(batch);
    assert_same("one Sync", &direct.until_ready(), &client.until_ready());
}

#[test]
fn p7_row_limits() {
    let ground = Ground::new("hits_limits", SCHEMA);
    ground.warm("items");
    let sql = "SELECT id FROM items WHERE id <= 5 ORDER BY id";
    let batch = |limit: i32| {
        Batch::new()
            .parse("", sql, &[])
            .bind_text("", &[])
            .describe_portal("")
            .execute("", limit)
            .sync()
    };
    for limit in [0, 6, 5, 4, 1, 100, -1, 0, 6, 5, 4, 1, 100, -1] {
        let expected = ground.direct().run(batch(limit));
        for round in 0..3 {
            let mut client = ground.through();
            assert_same(
                &format!("limit {limit}, round {round}"),
                &expected,
                &client.run(batch(limit)),
            );
        }
    }
    let mut client = ground.through();
    client.run(batch(6));
    assert_eq!(
        client.larder_last(),
        "hit",
        "a limit that the answer does not reach"
    );
    // A portal that a hit could have answered goes on where it stopped.
    ground.same("in pieces after a hit", |c| {
        let mut t = c.query("BEGIN");
        t.extend(
            c.run(
                Batch::new()
                    .parse("", sql, &[])
                    .bind_text("", &[])
                    .execute("", 2)
                    .sync(),
            ),
        );
        t.extend(
            c.run(
                Batch::new()
                    .execute("", 2)
                    .execute("", 0)
                    .execute("", 0)
                    .sync(),
            ),
        );
        t.extend(c.query("COMMIT"));
        t
    });
    ground.same("a complete portal executed again", |c| {
        let mut t = c.query("BEGIN");
        t.extend(
            c.run(
                Batch::new()
                    .parse("", sql, &[])
                    .bind_text("", &[])
                    .execute("", 0)
                    .sync(),
            ),
        );
        t.extend(c.run(Batch::new().execute("", 0).sync()));
        t.extend(c.query("COMMIT"));
        t
    });
}

#[test]
fn p7_what_is_cached() {
    let ground = Ground::new("hits_what", SCHEMA);
    ground.warm("items");
    for sql in [
        "SELECT * FROM items",
        "SELECT * FROM items WHERE id < 0",
        "SELECT count(*), sum(price), max(name) FROM items",
        "SELECT a.id, b.name FROM items a JOIN items b ON a.id = b.id + 1 WHERE a.id < 20 ORDER BY 1",
        "SELECT id FROM items WHERE id IN (SELECT id FROM parts) ORDER BY id",
        "WITH few AS (SELECT * FROM items WHERE id < 5) SELECT count(*) FROM few",
        "SELECT id FROM items UNION SELECT id FROM parts ORDER BY 1",
        "SELECT name, row_number() OVER (ORDER BY id) FROM items",
        "SELECT flag, count(*) FROM items GROUP BY flag ORDER BY 1",
        "SELECT * FROM cheap ORDER BY id",
        "SELECT * FROM frozen ORDER BY id",
        "SELECT * FROM parts ORDER BY id",
        "SELECT * FROM parts_a ORDER BY id",
        "SELECT upper(name), price + 1, coalesce(name, 'none') FROM items ORDER BY id LIMIT 10 OFFSET 3",
        "SELECT CASE WHEN flag THEN 'y' ELSE 'n' END FROM items ORDER BY id",
        "TABLE items",
    ] {
        let expected = ground.direct().query(sql);
        assert_same(sql, &expected, &ground.through().query(sql));
        let mut client = ground.through();
        assert_same(sql, &expected, &client.query(sql));
        assert_eq!(client.larder_last(), "hit", "{sql}");
        let expected = ground.direct().extended(sql, &[]);
        assert_same(sql, &expected, &ground.through().extended(sql, &[]));
        assert_same(sql, &expected, &client.extended(sql, &[]));
        assert_eq!(client.larder_last(), "hit", "{sql}, extended");
    }
}

#[test]
fn p7_what_is_not_cached() {
    let ground = Ground::new(
        "hits_not",
        "CREATE TABLE items (id int PRIMARY KEY, name text, at timestamptz);
         CREATE TABLE clocks (id int PRIMARY KEY, tz timetz);
         INSERT INTO items SELECT g, 'item ' || g, now() FROM generate_series(1, 50) g;
         CREATE SEQUENCE counter;
         CREATE TABLE guarded (id int, owner text); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
         CREATE FUNCTION mine() RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
         CREATE VIEW volatile_view AS SELECT id, random() AS r FROM items;",
    );
    ground.warm("items");
    for (sql, why) in [
        ("SELECT 1", "no_relation"),
        ("SELECT version()", "no_relation"),
        (
            "SELECT id FROM items WHERE id = 1 FOR UPDATE",
            "locking_read",
        ),
        (
            "SELECT id FROM (SELECT * FROM items FOR SHARE) s WHERE id = 1",
            "locking_read",
        ),
        (
            "SELECT id, random() FROM items WHERE id = 1",
            "volatile_function",
        ),
        ("SELECT id FROM items WHERE at < now()", "stable_function"),
        (
            "SELECT id, CURRENT_TIMESTAMP FROM items WHERE id = 1",
            "clock_value",
        ),
        (
            "SELECT id, current_user FROM items WHERE id = 1",
            "clock_value",
        ),
        ("SELECT id FROM items WHERE at > 'today'", "clock_text"),
        (
            "SELECT id FROM items WHERE at > 'now'::timestamptz",
            "clock_text",
        ),
        (
            "SELECT id FROM items TABLESAMPLE SYSTEM (100)",
            "tablesample",
        ),
        ("SELECT last_value FROM counter", "sequence"),
        (
            "SELECT relname FROM pg_class WHERE reltuples > 0 AND relname = 'items'",
            "system_catalog",
        ),
        (
            "SELECT specific_name FROM information_schema.routines WHERE routine_name = 'items'",
            "system_catalog",
        ),
        ("SELECT id, mine() FROM items WHERE id = 1", "user_function"),
        ("SELECT tz FROM clocks", "clock_column"),
        ("SELECT id FROM guarded", "row_security"),
        ("SELECT id FROM volatile_view WHERE id = 1", "opaque_view"),
        (
            "SELECT id, nextval('counter') FROM items WHERE id = 1",
            "volatile_function",
        ),
    ] {
        let mut client = ground.through();
        for round in 0..3 {
            client.ok(sql);
            let last = client.larder_last();
            assert!(last.starts_with("bypass: "), "{sql}, round {round}: {last}");
        }
        client.ok(sql);
        let last = client.larder_last();
        // A system view under a view may be named by the view; the reason must be one of the two.
        assert!(
            last == format!("bypass: {why}")
                || (why == "system_catalog" && last == "bypass: opaque_view"),
            "{sql}: {last}, not {why}"
        );
    }
    // What is volatile changes; a cached answer would not.
    let mut client = ground.through();
    let values: Vec<_> = (0..5)
        .map(|_| {
            client
                .query("SELECT id, random() FROM items WHERE id = 1")
                .rows()[0][1]
                .clone()
        })
        .collect();
    assert!(
        values.windows(2).all(|pair| pair[0] != pair[1]),
        "{values:?}"
    );
}

#[test]
fn p6_hits_are_for_the_same_role_and_settings() {
    // Roles are the cluster's, and so are the catalogs that they raise: a server of its own.
    let ground = Ground::alone("hits_whose", SCHEMA);
    let mut admin = ground.direct();
    admin.ok("DROP ROLE IF EXISTS hits_other; CREATE ROLE hits_other LOGIN; GRANT SELECT ON items TO hits_other");
    ground.warm("items");
    let sql = "SELECT seen FROM items WHERE id = 1";
    let ask = |client: &mut Client| {
        let answer = client.query(sql);
        (answer.value().unwrap_or_default(), client.larder_last())
    };
    let mine = ground.over(&ground.login().parameter("TimeZone", "UTC"));
    assert_eq!(
        ask(&mut mine.connect()),
        ("2024-01-01 00:00:00+00".into(), "miss".into())
    );
    assert_eq!(ask(&mut mine.connect()).1, "hit");
    // Another role, another time zone, the same time zone by another way.
    let mut other = ground
        .over(&ground.login_as("hits_other").parameter("TimeZone", "UTC"))
        .connect();
    assert_eq!(
        ask(&mut other).1,
        "miss",
        "another role must fill for itself"
    );
    let mut tokyo = ground
        .over(&ground.login().parameter("TimeZone", "Asia/Tokyo"))
        .connect();
    assert_eq!(
        ask(&mut tokyo),
        ("2024-01-01 09:00:00+09".into(), "miss".into())
    );
    let mut by_set = ground.through();
    by_set.ok("SET TimeZone = 'Asia/Tokyo'");
    assert_eq!(ask(&mut by_set).0, "2024-01-01 09:00:00+09");
    let mut by_option = ground
        .over(
            &ground
                .login()
                .parameter("options", "-c TimeZone=Asia/Tokyo"),
        )
        .connect();
    assert_eq!(ask(&mut by_option).0, "2024-01-01 09:00:00+09");
    assert_eq!(
        ask(&mut mine.connect()),
        ("2024-01-01 00:00:00+00".into(), "hit".into())
    );
    // A role that may not read gets PostgreSQL's own refusal.
    admin.ok("DROP ROLE IF EXISTS hits_nobody; CREATE ROLE hits_nobody LOGIN");
    let nobody = ground.login_as("hits_nobody");
    ground.same_as(&nobody, "a role without the privilege", |c| c.query(sql));
    assert_eq!(
        nobody.connect().query(sql).sqlstate().as_deref(),
        Some("42501")
    );
}

#[test]
fn the_text_is_the_key_but_for_comments_and_space() {
    let ground = Ground::new("hits_text", SCHEMA);
    ground.warm("items");
    ground
        .through()
        .ok("SELECT name AS n FROM items WHERE id = 3");
    let hit = |sql: &str| {
        let mut client = ground.through();
        let expected = ground.direct().query(sql);
        assert_same(sql, &expected, &client.query(sql));
        client.larder_last() == "hit"
    };
    assert!(hit("SELECT name AS n FROM items WHERE id = 3"));
    assert!(hit(
        "SELECT  name\n AS n /* traceparent='00-1' */ FROM items WHERE id = 3 -- and more"
    ));
    for other in [
        "SELECT name AS m FROM items WHERE id = 3",
        "SELECT name AS \"N\" FROM items WHERE id = 3",
        "SELECT name AS n FROM items WHERE id = 4",
        "SELECT name AS n FROM items WHERE id = '3'",
        "SELECT name AS n FROM items WHERE name = 'item  3'",
        "SELECT name AS n FROM items WHERE name = 'item 3'",
        "SELECT name AS n FROM items WHERE name = 'item /* */ 3'",
        "SELECT name AS n FROM items WHERE name = $$item -- 3$$",
    ] {
        assert!(!hit(other), "{other} was asked for the first time");
    }
}

#[test]
fn parameters_are_part_of_the_key() {
    let ground = Ground::new("hits_params", SCHEMA);
    ground.warm("items");
    let sql = "SELECT id, name FROM items WHERE name = $1 OR $1 IS NULL ORDER BY id LIMIT 3";
    let run = |c: &mut Client, value: Option<&[u8]>, formats: &[i16]| {
        let params = [value];
        c.run(
            Batch::new()
                .parse("", sql, &[25])
                .bind(Bind {
                    params: &params,
                    formats,
                    ..Bind::default()
                })
                .describe_portal("")
                .execute("", 0)
                .sync(),
        )
    };
    for round in 0..2 {
        for (value, formats) in [
            (None, &[][..]),
            (Some(&b""[..]), &[]),
            (Some(b"NULL"), &[]),
            (Some(b"item 3"), &[]),
            (Some(b"item 3"), &[1]),
            (Some(b"item 4"), &[1]),
        ] {
            let expected = run(&mut ground.direct(), value, formats);
            assert_same(
                &format!("{value:?}, round {round}"),
                &expected,
                &run(&mut ground.through(), value, formats),
            );
        }
    }
    // The declared type is part of the key too: the same bytes as text and as int.
    let typed = |c: &mut Client, oid| {
        c.run(
            Batch::new()
                .parse(
                    "",
                    "SELECT id, pg_typeof($1) FROM items WHERE id = 1",
                    &[oid],
                )
                .bind_text("", &["1"])
                .execute("", 0)
                .sync(),
        )
    };
    for _ in 0..2 {
        for oid in [23, 25, 20] {
            assert_same(
                "a declared type",
                &typed(&mut ground.direct(), oid),
                &typed(&mut ground.through(), oid),
            );
        }
    }
    // A parameter that reads the clock is not cached.
    let mut client = ground.through();
    for _ in 0..3 {
        client.extended("SELECT id FROM items WHERE seen < $1", &["now"]);
        assert_eq!(client.larder_last(), "bypass: clock_text");
    }
}

#[test]
fn errors_are_never_kept() {
    let ground = Ground::new("hits_errors", SCHEMA);
    ground.warm("items");
    let mut client = ground.through();
    for sql in [
        "SELECT 1 / (id - 40) FROM items ORDER BY id",
        "SELECT name::int FROM items",
    ] {
        for _ in 0..3 {
            assert_same(sql, &ground.direct().query(sql), &client.query(sql));
            assert_ne!(client.larder_last(), "hit", "{sql}");
        }
    }
    // Nor an answer whose implicit transaction failed behind it.
    let batch = Batch::new()
        .unnamed("SELECT id AS then_fails FROM items WHERE id = 1", &[])
        .unnamed("SELECT 1/0", &[])
        .sync();
    client.run(batch);
    client.extended("SELECT id AS then_fails FROM items WHERE id = 1", &[]);
    assert_eq!(client.larder_last(), "miss");
}

#[test]
fn limits_hold() {
    let ground = Ground::with("hits_size", SCHEMA, |setup| {
        setup
            .set("CACHE__MAX_ANSWER", "64KB")
            .set("CACHE__MEMORY", "2MB")
    });
    ground.warm("items");
    let mut client = ground.through();
    let large = "SELECT repeat(coalesce(name, ''), 1000) FROM items";
    for _ in 0..3 {
        assert_same(large, &ground.direct().query(large), &client.query(large));
        assert_ne!(client.larder_last(), "hit", "larger than cache.max_answer");
    }
    for n in 0..400 {
        client.ok(&format!(
            "SELECT repeat(coalesce(name, ''), 80), {n} FROM items"
        ));
    }
    let bytes = ground.larder.metric("larder_cache_bytes", &[]);
    assert!(
        bytes > 100_000.0 && bytes <= (2 << 20) as f64,
        "{bytes} bytes kept of 2 MB allowed"
    );
    // Evictions are told to the metrics now and then.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while ground.larder.metric("larder_cache_evictions_total", &[]) == 0.0 {
        assert!(std::time::Instant::now() < deadline, "nothing was evicted");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // And what is kept is still right.
    for n in [0, 200, 399] {
        let sql = format!("SELECT repeat(coalesce(name, ''), 80), {n} FROM items");
        assert_same(&sql, &ground.direct().query(&sql), &client.query(&sql));
    }
}

#[test]
fn p3_no_hit_is_older_than_its_ttl() {
    let ground = Ground::with("hits_ttl", SCHEMA, |setup| setup.set("CACHE__TTL", "1s"));
    ground.warm("items");
    let sql = "SELECT name FROM items WHERE id = 3";
    let mut client = ground.through();
    client.ok(sql);
    // A write past Larder may go unseen for the TTL and no longer.
    ground
        .direct()
        .ok("UPDATE items SET name = 'outside' WHERE id = 3");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(client.query(sql).value().as_deref(), Some("outside"));
}
