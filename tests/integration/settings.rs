//! P6 and P7: an answer made under one set of settings is given only under the same; every way to change one is followed.

use crate::ground::Ground;
use crate::wireclient::{Answered, Batch, Client, Transcript};

const SCHEMA: &str = "
    CREATE TABLE things (id int PRIMARY KEY, at timestamptz, day date, span interval, ratio float8, raw bytea, cash money, doc xml, n numeric);
    INSERT INTO things VALUES (1, '2024-03-04 05:06:07.891Z', '2024-03-04', '1 year 2 months 3 days 04:05:06', 0.1::float8 + 0.2, '\\x00ff41', 1234.5, '<a/>', 1e3);
    CREATE SCHEMA other; CREATE TABLE other.things AS SELECT id + 100 AS id, at FROM things;";

/// A setting, a value unlike the default, and a read that shows it.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("TimeZone", "Asia/Tokyo", "SELECT at FROM things"),
    ("DateStyle", "German", "SELECT day, at FROM things"),
    ("IntervalStyle", "iso_8601", "SELECT span FROM things"),
    ("extra_float_digits", "-5", "SELECT ratio FROM things"),
    ("bytea_output", "escape", "SELECT raw FROM things"),
    ("search_path", "other", "SELECT id FROM things"),
    (
        "xmlbinary",
        "hex",
        "SELECT xmlelement(name a, raw) FROM things",
    ),
    (
        "transform_null_equals",
        "on",
        "SELECT count(*) FROM things WHERE id = NULL",
    ),
    (
        "quote_all_identifiers",
        "on",
        "SELECT quote_ident('id'), id FROM things",
    ),
    (
        "default_text_search_config",
        "pg_catalog.german",
        "SELECT to_tsvector('houses') FROM things",
    ),
    ("client_encoding", "LATIN1", "SELECT 'é', id FROM things"),
    (
        "standard_conforming_strings",
        "off",
        "SELECT 'a\\x41', id FROM things",
    ),
    (
        "my.setting",
        "changed",
        "SELECT current_setting('my.setting', true), id FROM things",
    ),
    (
        "statement_timeout",
        "12s",
        "SELECT current_setting('statement_timeout'), id FROM things",
    ),
    ("enable_seqscan", "off", "SELECT id FROM things ORDER BY id"),
    ("row_security", "off", "SELECT id FROM things ORDER BY id"),
];

fn script(statements: Vec<String>) -> impl Fn(&mut Client) -> Transcript {
    move |client| {
        statements
            .iter()
            .flat_map(|sql| client.query(sql))
            .collect()
    }
}

fn ground(name: &str) -> Ground {
    warmed(Ground::new(name, SCHEMA))
}

fn warmed(ground: Ground) -> Ground {
    ground.warm("things");
    // Whoever comes later finds answers made under the defaults, in both protocols.
    let mut client = ground.through();
    for (_, _, read) in SETTINGS {
        for _ in 0..2 {
            client.query(read);
            client.extended(read, &[]);
        }
    }
    ground
}

/// `%n` is the name, `%v` the value quoted, `%r` the read.
const WAYS: &[&[&str]] = &[
    &["%r", "SET %n = %v", "%r", "%r", "RESET %n", "%r"],
    &["SET SESSION %n TO %v", "%r", "SET %n TO DEFAULT", "%r"],
    &["SET %n = %v", "%r", "RESET ALL", "%r"],
    &["SET %n = %v", "%r", "DISCARD ALL", "%r"],
    &["BEGIN", "SET LOCAL %n = %v", "%r", "COMMIT", "%r"],
    &["BEGIN", "SET %n = %v", "%r", "ROLLBACK", "%r"],
    &["BEGIN", "SET %n = %v", "%r", "COMMIT", "%r"],
    &[
        "BEGIN",
        "%r",
        "SAVEPOINT a",
        "SET %n = %v",
        "%r",
        "ROLLBACK TO a",
        "%r",
        "COMMIT",
        "%r",
    ],
    &[
        "BEGIN",
        "SAVEPOINT a",
        "SET LOCAL %n = %v",
        "%r",
        "RELEASE a",
        "%r",
        "COMMIT",
        "%r",
    ],
    &[
        "BEGIN",
        "SET LOCAL %n = %v",
        "SAVEPOINT a",
        "RESET %n",
        "%r",
        "ROLLBACK TO a",
        "%r",
        "ROLLBACK",
        "%r",
    ],
    &["BEGIN", "SET %n = %v", "SELECT 1/0", "ROLLBACK", "%r"],
    &["SET %n = %v; SELECT 1/0", "%r"],
    &["SELECT 1/0; SET %n = %v", "%r"],
    &["SET %n = %v; %r", "%r"],
    &["SELECT set_config('%n', %v, false)", "%r", "RESET %n", "%r"],
    &[
        "BEGIN",
        "SELECT set_config('%n', %v, true)",
        "%r",
        "COMMIT",
        "%r",
    ],
    &[
        "SELECT pg_catalog.set_config('%n', %v, false) FROM things",
        "%r",
    ],
    &[
        "SELECT set_config(lower('%n'), %v || '', false)",
        "%r",
        "%r",
    ],
    &[
        "DO $$ BEGIN PERFORM set_config('%n', %v, false); END $$",
        "%r",
        "%r",
    ],
    &[
        "DO $do$ BEGIN EXECUTE $e$SET %n = %v$e$; END $do$",
        "%r",
        "%r",
    ],
    &[
        "CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE plpgsql AS $f$ BEGIN EXECUTE $e$SET %n = %v$e$; END $f$",
        "SELECT pg_temp.f()",
        "%r",
        "%r",
    ],
    &[
        "UPDATE pg_settings SET setting = %v WHERE name = '%n'",
        "%r",
        "%r",
    ],
    &[
        "PREPARE p AS SELECT set_config('%n', %v, false)",
        "EXECUTE p",
        "%r",
        "%r",
    ],
    &["SET %n = %v", "SET %n FROM CURRENT", "%r"],
];

fn filled(template: &str, (name, value, read): (&str, &str, &str)) -> String {
    template
        .replace("%n", name)
        .replace("%v", &format!("'{value}'"))
        .replace("%r", read)
}

#[test]
fn p6_every_way_of_setting_is_followed() {
    let ground = ground("set_ways");
    for setting in SETTINGS {
        for way in WAYS {
            let statements: Vec<_> = way.iter().map(|t| filled(t, *setting)).collect();
            ground.same(
                &format!("simple: {}", statements.join(" / ")),
                script(statements.clone()),
            );
            let extended = statements.clone();
            ground.same(
                &format!("extended: {}", statements.join(" / ")),
                move |client| {
                    extended
                        .iter()
                        .flat_map(|sql| client.extended(sql, &[]))
                        .collect()
                },
            );
        }
    }
}

#[test]
fn p6_settings_in_a_pipeline_are_followed() {
    let ground = ground("set_pipeline");
    for setting in SETTINGS {
        for way in WAYS {
            let statements: Vec<_> = way
                .iter()
                .map(|t| filled(t, *setting))
                .filter(|s| !s.contains("1/0; ") && !s.contains("; "))
                .collect();
            let what = statements.join(" / ");
            let batch = statements
                .iter()
                .fold(Batch::new(), |b, sql| b.unnamed(sql, &[]).sync());
            ground.same(&format!("many Syncs: {what}"), |client| {
                client.send(batch.clone());
                client.until_ready_times(statements.len())
            });
            let batch = statements
                .iter()
                .fold(Batch::new(), |b, sql| b.unnamed(sql, &[]))
                .sync();
            ground.same(&format!("one Sync: {what}"), |client| {
                client.run(batch.clone())
            });
            let batch = statements.iter().fold(Batch::new(), |b, sql| b.query(sql));
            ground.same(&format!("simple: {what}"), |client| {
                client.send(batch.clone());
                client.until_ready_times(statements.len())
            });
        }
    }
}

#[test]
fn p6_startup_settings_are_followed() {
    let ground = ground("set_startup");
    for (name, value, read) in SETTINGS {
        let reads = vec![
            (*read).to_owned(),
            (*read).to_owned(),
            format!("RESET {name}"),
            (*read).to_owned(),
            "DISCARD ALL".into(),
            (*read).to_owned(),
        ];
        ground.same_as(
            &ground.login().parameter(name, value),
            &format!("startup {name}"),
            script(reads.clone()),
        );
        let option = format!("-c {name}={}", value.replace(' ', "\\ "));
        ground.same_as(
            &ground.login().parameter("options", &option),
            &format!("options {name}"),
            script(reads.clone()),
        );
        let option = format!("--{}={}", name.replace('_', "-"), value.replace(' ', "\\ "));
        ground.same_as(
            &ground.login().parameter("options", &option),
            &format!("options --{name}"),
            script(reads),
        );
    }
}

#[test]
fn p6_defaults_of_roles_and_databases_are_followed() {
    let ground = warmed(Ground::alone("set_defaults", SCHEMA));
    let mut admin = ground.through();
    admin.ok("DROP ROLE IF EXISTS set_role; CREATE ROLE set_role LOGIN; GRANT SELECT ON things TO set_role; GRANT USAGE ON SCHEMA other TO set_role; GRANT SELECT ON other.things TO set_role");
    let read = "SELECT at FROM things";
    let login = ground.login_as("set_role");
    let check = |what: &str| {
        ground.same_as(&login, what, |c| {
            [
                c.query(read),
                c.query(read),
                c.query("SELECT id FROM things"),
            ]
            .concat()
        })
    };
    check("before");
    admin.ok("ALTER ROLE set_role SET TimeZone = 'Asia/Tokyo'");
    check("ALTER ROLE SET");
    admin.ok("ALTER DATABASE set_defaults SET search_path = other, public");
    check("ALTER DATABASE SET");
    admin.ok("ALTER ROLE set_role IN DATABASE set_defaults SET search_path = public");
    check("ALTER ROLE IN DATABASE SET");
    admin.ok("ALTER ROLE set_role RESET ALL");
    check("RESET ALL");
}

#[test]
fn p6_temporary_tables_shadow() {
    let ground = ground("set_temp");
    let read = "SELECT id FROM things";
    for create in [
        "CREATE TEMP TABLE things AS SELECT 777 AS id",
        "SELECT 777 AS id INTO TEMP things",
        "CREATE TEMP VIEW things AS SELECT 777 AS id",
        "DO $$ BEGIN CREATE TEMP TABLE things AS SELECT 777 AS id; END $$",
        "CREATE TABLE pg_temp.things AS SELECT 777 AS id",
        "BEGIN; CREATE TEMP TABLE things ON COMMIT DROP AS SELECT 777 AS id",
    ] {
        ground.same(create, |c| {
            let mut t = [c.query(read), c.query(create), c.query(read), c.query(read)].concat();
            if c.status == b'T' {
                t.extend(c.query("COMMIT"));
            }
            t.extend(c.query("DISCARD TEMP"));
            t.extend(c.query(read));
            // Each temporary table is a table of its own: its OID in the description differs.
            t.retain(|f| f.tag != b'T');
            t
        });
        let mut client = ground.through();
        client.ok(create);
        assert_eq!(
            client.query(read).value().as_deref(),
            Some("777"),
            "{create}"
        );
        assert_eq!(
            ground.through().query(read).value().as_deref(),
            Some("1"),
            "{create}: nobody else sees it"
        );
    }
}

#[test]
fn harmless_settings_do_not_part_the_cache() {
    let ground = ground("set_harmless");
    let read = "SELECT id, day FROM things";
    ground.through().ok(read);
    for set in [
        "SET application_name = 'me'",
        "SET statement_timeout = '1min'",
        "SET TimeZone = 'UTC'; RESET TimeZone",
    ] {
        let mut client = ground.through();
        client.ok(set);
        client.ok(read);
        assert_eq!(client.larder_last(), "hit", "{set}");
    }
    let mut client = ground
        .over(&ground.login().parameter("application_name", "mine"))
        .connect();
    client.ok(read);
    assert_eq!(client.larder_last(), "hit");
}
