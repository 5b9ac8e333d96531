//! P1, P6 and P7: a text, a constant and a parameter mean what they mean to the upstream at that place of the session.

use crate::ground::{Ground, assert_same, until_hit};
use crate::wireclient::{Answered, Batch, Client, Login, Transcript, normalised};

/// What is done, and how.
type Way<'a> = (&'a str, &'a dyn Fn(&Login) -> Transcript);

const SCHEMA: &str = "
    CREATE TABLE things (id int PRIMARY KEY, at timestamptz, day date, cash money, name text);
    INSERT INTO things VALUES (1, '2024-03-04 05:06:07Z', '2024-02-01', 1234.5, 'x');
    CREATE TABLE counts (v int); INSERT INTO counts VALUES (1);
    CREATE TABLE \"é\" (v int); INSERT INTO \"é\" VALUES (1); CREATE TABLE \"Ã©\" (v int); INSERT INTO \"Ã©\" VALUES (1);";

fn raw(client: &mut Client, sql: &[u8], extended: bool) -> Transcript {
    let text = [sql, b"\0"].concat();
    let batch = match extended {
        false => Batch::new().raw(b'Q', &text),
        true => Batch::new()
            .raw(b'P', &[b"\0", &text[..], b"\0\0"].concat())
            .bind_text("", &[])
            .execute("", 0)
            .sync(),
    };
    client.run(batch)
}

/// Hazard 15: with standard_conforming_strings off a quote behind a backslash ends nothing, and what looks like a string
/// may be a statement that writes. However it was turned off, what such a text writes is seen by the next read.
#[test]
fn p1_a_write_does_not_hide_in_a_string() {
    let ground = Ground::new("read_strings", SCHEMA);
    let read = "SELECT v FROM counts";
    let mut reader = ground.through();
    let hidden = |n: i32| format!("SELECT '\\'' ; UPDATE counts SET v = {n}; --'");
    let off = "SET standard_conforming_strings = off";
    let ways: [(&str, &[&str]); 6] = [
        ("SET", &[off]),
        (
            "set_config",
            &["SELECT set_config('standard_conforming_strings', 'off', false)"],
        ),
        (
            "a function",
            &[
                "DO $$ BEGIN PERFORM set_config('standard_conforming_strings', 'off', false); END $$",
            ],
        ),
        (
            "SET LOCAL",
            &["BEGIN", "SET LOCAL standard_conforming_strings = off"],
        ),
        ("options", &[]),
        (
            "undone",
            &[
                off,
                "BEGIN",
                "SET standard_conforming_strings = on",
                "ROLLBACK",
            ],
        ),
    ];
    let mut n = 10;
    for (what, before) in ways {
        for piped in [false, true] {
            n += 1;
            until_hit(&mut reader, read);
            let login = match what {
                "options" => ground
                    .login()
                    .parameter("options", "-c standard_conforming_strings=off"),
                _ => ground.login(),
            };
            let mut writer = ground.over(&login).connect();
            let all = before
                .iter()
                .map(|s| (*s).to_owned())
                .chain([hidden(n), "COMMIT".into()]);
            if piped {
                let all: Vec<_> = all.collect();
                writer.send(all.iter().fold(Batch::new(), |batch, sql| batch.query(sql)));
                writer.until_ready_times(all.len());
            } else {
                all.for_each(|sql| drop(writer.ok(&sql)));
            }
            let value = ground.direct().query(read).value();
            assert_eq!(
                value,
                Some(n.to_string()),
                "{what}: nothing was hidden, the test is wrong"
            );
            assert_eq!(reader.query(read).value(), value, "{what}, piped {piped}");
        }
    }
}

/// Hazard 15: the same bytes name another table in another encoding, and a quote may be half of a character.
#[test]
fn p1_a_name_is_read_in_the_clients_encoding() {
    let ground = Ground::new("read_names", SCHEMA);
    let mut reader = ground.through();
    let tilde = "SELECT v FROM \"Ã©\"";
    let mut n = 1;
    for encoding in ["LATIN1", "WIN1252", "LATIN9"] {
        for extended in [false, true] {
            for by_set in [false, true] {
                n += 1;
                until_hit(&mut reader, tilde);
                let mut writer = match by_set {
                    false => ground
                        .over(&ground.login().parameter("client_encoding", encoding))
                        .connect(),
                    true => ground.through(),
                };
                let sql = [
                    &b"UPDATE \"\xc3\xa9\" SET v = "[..],
                    n.to_string().as_bytes(),
                ]
                .concat();
                if by_set && extended {
                    let set = format!("SET client_encoding = {encoding}");
                    writer.send(Batch::new().query(&set));
                    raw(&mut writer, &sql, extended);
                    writer.until_ready();
                } else if by_set {
                    writer.ok(&format!("SET NAMES '{encoding}'"));
                    raw(&mut writer, &sql, extended);
                } else {
                    raw(&mut writer, &sql, extended);
                }
                let value = ground.direct().query(tilde).value();
                assert_eq!(
                    value,
                    Some(n.to_string()),
                    "{encoding}: the other table, the test is wrong"
                );
                assert_eq!(
                    reader.query(tilde).value(),
                    value,
                    "{encoding}, extended {extended}, SET {by_set}"
                );
            }
        }
    }
    let count = "SELECT v FROM counts";
    for encoding in ["SJIS", "BIG5", "GBK"] {
        n += 1;
        until_hit(&mut reader, count);
        let mut writer = ground
            .over(&ground.login().parameter("client_encoding", encoding))
            .connect();
        // 0x5c is the second byte of a character: the string ends at the next quote.
        let sql = [
            &b"SELECT E'\x95\x5c'; UPDATE counts SET v = "[..],
            n.to_string().as_bytes(),
            b" --'",
        ]
        .concat();
        raw(&mut writer, &sql, false);
        let value = ground.direct().query(count).value();
        assert_eq!(reader.query(count).value(), value, "{encoding}");
    }
    // What is ASCII is analysed as ever, and so is what has other characters in its constants only.
    until_hit(&mut reader, tilde);
    let mut writer = ground
        .over(&ground.login().parameter("client_encoding", "LATIN1"))
        .connect();
    writer.ok("UPDATE counts SET v = 0");
    raw(&mut writer, b"UPDATE things SET name = '\xe9'", false);
    reader.ok(tilde);
    assert_eq!(
        reader.larder_last(),
        "hit",
        "only what was written is raised"
    );
    assert_eq!(
        reader.query("SELECT name FROM things").value().as_deref(),
        Some("é")
    );
}

/// A setting, two values, and a statement with a constant that means another thing under each.
const CONSTANTS: &[(&str, &str, &str, &str)] = &[
    (
        "TimeZone",
        "UTC",
        "Asia/Tokyo",
        "SELECT count(*) FROM things WHERE at = '2024-03-04 05:06:07'",
    ),
    (
        "DateStyle",
        "ISO, MDY",
        "ISO, DMY",
        "SELECT count(*) FROM things WHERE day = '01/02/2024'",
    ),
    (
        "IntervalStyle",
        "postgres",
        "sql_standard",
        "SELECT extract(epoch from '-1 1:00:00'::interval) FROM things",
    ),
    (
        "transform_null_equals",
        "on",
        "off",
        "SELECT count(*) FROM things WHERE id = 1 AND (id = null) IS FALSE",
    ),
    (
        "array_nulls",
        "on",
        "off",
        "SELECT ('{NULL}'::text[])[1] FROM things",
    ),
    (
        "standard_conforming_strings",
        "off",
        "on",
        "SELECT 'a\\\\b', id FROM things",
    ),
    (
        "client_encoding",
        "LATIN1",
        "UTF8",
        "SELECT length('é') FROM things",
    ),
];

/// Hazards 13, 14: a constant is read when its statement is prepared; what is executed under other settings has the old
/// one, and is given to nobody who prepares it now.
#[test]
fn p7_constants_are_read_when_a_statement_is_prepared() {
    let ground = Ground::new("read_constants", SCHEMA);
    ground.warm("things");
    let prepare = |sql: &str| {
        Batch::new()
            .parse("s", sql, &[])
            .describe_statement("s")
            .sync()
    };
    let run = || {
        Batch::new()
            .bind_text("s", &[])
            .describe_portal("")
            .execute("", 0)
            .sync()
    };
    for (name, one, other, sql) in CONSTANTS {
        for (first, second) in [(one, other), (other, one)] {
            let by_set = |login: &Login| {
                let mut c = login.connect();
                let mut t = c.query(&format!("SET {name} = '{first}'"));
                t.extend(c.run(prepare(sql)));
                t.extend(c.query(&format!("SET {name} = '{second}'")));
                t.extend(c.run(run()));
                t.extend(c.run(run()));
                t.extend(c.query(&format!("SET {name} = '{first}'")));
                t.extend(c.run(run()));
                normalised(t)
            };
            let in_block = |login: &Login| {
                let mut c = login.connect();
                let mut t = c.query(&format!("SET {name} = '{second}'"));
                t.extend(c.query("BEGIN"));
                t.extend(c.query(&format!("SET LOCAL {name} = '{first}'")));
                t.extend(c.run(prepare(sql)));
                t.extend(c.query("COMMIT"));
                t.extend(c.run(run()));
                t.extend(c.run(run()));
                normalised(t)
            };
            let piped = |login: &Login| {
                let mut c = login.connect();
                c.send(
                    Batch::new()
                        .query(&format!("SET {name} = '{first}'"))
                        .bytes(&prepare(sql).0)
                        .query(&format!("SET {name} = '{second}'"))
                        .bytes(&run().0)
                        .bytes(&run().0),
                );
                normalised(c.until_ready_times(5))
            };
            let fresh = |login: &Login| {
                let mut c = login.connect();
                let mut t = c.query(&format!("SET {name} = '{second}'"));
                t.extend(c.run(prepare(sql)));
                t.extend(c.run(run()));
                t.extend(c.run(run()));
                normalised(t)
            };
            let direct = ground.login();
            let through = ground.over(&direct);
            let ways: [Way<'_>; 4] = [
                ("SET", &by_set),
                ("SET LOCAL", &in_block),
                ("a pipeline", &piped),
                ("fresh", &fresh),
            ];
            for (what, way) in ways.iter().cycle().take(8) {
                let what = format!("{name} from {first} to {second}, {what}");
                assert_same(&what, &way(&direct), &way(&through));
            }
        }
    }
    // Without constants, or under the same settings, it hits as ever.
    let mut client = ground.through();
    client.run(prepare("SELECT name FROM things WHERE name = 'x'"));
    for _ in 0..3 {
        client.run(run());
    }
    assert_eq!(client.larder_last(), "hit");
    client.ok("SET TimeZone = 'Asia/Tokyo'");
    client.run(run());
    assert_eq!(client.larder_last(), "bypass: constants");
    client.ok("SET app.tenant = '7'; RESET TimeZone");
    client.run(
        Batch::new()
            .parse("t", "SELECT name FROM things WHERE id = $1", &[])
            .sync(),
    );
    client.ok("SET TimeZone = 'Asia/Tokyo'");
    for _ in 0..3 {
        client.run(Batch::new().bind_text("t", &["1"]).execute("", 0).sync());
    }
    assert_eq!(client.larder_last(), "hit");
}

/// Hazard 14: what a text parameter means follows the session.
#[test]
fn p7_parameters_mean_what_the_session_makes_them_mean() {
    let ground = Ground::new("read_parameters", SCHEMA);
    ground.warm("things");
    for (name, values, sql, parameter) in [
        (
            "TimeZone",
            ["UTC", "Asia/Tokyo"],
            "SELECT id FROM things WHERE at = $1",
            "2024-03-04 05:06:07",
        ),
        (
            "DateStyle",
            ["ISO, MDY", "ISO, DMY"],
            "SELECT id FROM things WHERE day = $1",
            "01/02/2024",
        ),
        (
            "IntervalStyle",
            ["postgres", "sql_standard"],
            "SELECT id, $1::interval FROM things",
            "-1 1:00:00",
        ),
        (
            "array_nulls",
            ["on", "off"],
            "SELECT id, ($1::text[])[1] IS NULL FROM things",
            "{NULL}",
        ),
        (
            "bytea_output",
            ["hex", "escape"],
            "SELECT id, $1::bytea FROM things",
            "ab",
        ),
        (
            "search_path",
            ["public", "pg_catalog"],
            "SELECT id, $1::regtype FROM public.things",
            "things",
        ),
        (
            "xmloption",
            ["content", "document"],
            "SELECT id, $1::xml FROM things",
            "ab",
        ),
    ] {
        for value in values.iter().cycle().take(4) {
            let set = format!("SET {name} = '{value}'");
            ground.same(&format!("{set}; {sql}"), |c| {
                let mut t = c.query(&set);
                t.extend(c.extended(sql, &[parameter]));
                t.extend(c.extended(sql, &[parameter]));
                t
            });
            ground.same_as(
                &ground.login().parameter(name, value),
                &format!("startup {set}"),
                |c| c.extended(sql, &[parameter]),
            );
        }
    }
}

/// Hazard 3: the clock as text that is put together at run time.
#[test]
fn p7_text_that_becomes_the_clock_is_not_kept() {
    let ground = Ground::new("read_clock", SCHEMA);
    ground.warm("things");
    for sql in [
        "SELECT id FROM things WHERE at > ('to' || 'day')::timestamptz",
        "SELECT id FROM things WHERE day < concat('n', 'ow')::date",
        "SELECT id FROM things WHERE day < translate('nXw', 'X', 'o')::date",
        "SELECT id FROM things WHERE at > CAST(lower('NO' || 'W') AS timestamp)",
        "SELECT id, name::date FROM things WHERE id < 0",
        "SELECT id, (ARRAY[name]::date[])[1] FROM things WHERE id < 0",
        "SELECT id FROM things WHERE at > U&'n\\006fw'",
        "SELECT id FROM things WHERE at > E'n\\x6fw'",
        "SELECT id, x.* FROM things, json_to_record('{}') AS x(t timestamptz)",
        "SELECT id, age(at) FROM things",
        "SELECT id, LOCALTIME, CURRENT_DATE FROM things",
    ] {
        let mut client = ground.through();
        for round in 0..3 {
            client.query(sql);
            let last = client.larder_last();
            assert!(last.starts_with("bypass: "), "{sql}, round {round}: {last}");
            client.extended(sql, &[]);
            let last = client.larder_last();
            assert!(
                last.starts_with("bypass: "),
                "{sql}, extended, round {round}: {last}"
            );
        }
    }
}
