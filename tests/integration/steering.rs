//! What can change while Larder runs: rules, a reload, a pause, a purge, the mode. Whatever changes and whenever, nothing
//! is served under a rule that no longer holds, and nothing that was written before is read as it was.

use crate::ground::{Ground, eventually, until_hit};
use crate::larder::Larder;
use crate::tunnel::Directory;
use crate::wireclient::{Answered, Batch, Bind, Client};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};

const SCHEMA: &str = "
    CREATE TABLE items (id int PRIMARY KEY, n int, name text);
    INSERT INTO items SELECT g, 0, 'item ' || g FROM generate_series(1, 9) g;
    CREATE TABLE others (id int PRIMARY KEY, n int);
    INSERT INTO others VALUES (1, 0);
    CREATE VIEW seen AS SELECT id, n FROM items;
    CREATE TABLE secret (id int); ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
    CREATE TABLE days (id int, day text); INSERT INTO days VALUES (1, 'today');
    CREATE SEQUENCE numbers;
    CREATE VIEW lucky AS SELECT id, random() FROM items;
    CREATE FUNCTION held(n int) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN n; END $$;
    CREATE FUNCTION reads_others() RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN RETURN (SELECT n FROM others WHERE id = 1); END $$;
    CREATE FUNCTION writes_others() RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN UPDATE others SET n = n + 1; RETURN 1; END $$;
    CREATE FUNCTION mystery(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n; END $$;";

const DECLARED: &str = "
    [[function]]
    name = 'public.held(int)'
    pure = true
    [[function]]
    name = 'public.reads_others'
    reads = ['public.others']
    [[function]]
    name = 'public.writes_others'
    writes = ['public.others']
";

const READ: &str = "SELECT n FROM items WHERE id = 1";
const TOKEN: &str = "open sesame";

/// A Larder whose file can be changed.
struct Place {
    ground: Ground,
    files: Directory,
}

impl Place {
    fn new(name: &str, rules: &str) -> Place {
        Place::with(name, rules, &[])
    }

    fn with(name: &str, rules: &str, settings: &[(&str, &str)]) -> Place {
        let files = Directory::new(name);
        let file = files.file("larder.toml", &format!("{rules}\n{DECLARED}"));
        let ground = Ground::with(name, SCHEMA, |setup| {
            let setup = setup.argument("--config").argument(&file);
            let setup = setup.set("ADMIN__TOKEN", TOKEN);
            let settings = settings.iter();
            settings.fold(setup, |setup, (key, value)| setup.set(key, value))
        });
        Place { ground, files }
    }

    fn started(name: &str, rules: &str) -> Place {
        let place = Place::new(name, rules);
        place.ground.warm("others");
        place
    }

    /// Changes the file and has it read; whether it was taken.
    fn reload(&self, rules: &str) -> bool {
        self.files
            .file("larder.toml", &format!("{rules}\n{DECLARED}"));
        self.post("/reload", "").0 == 200
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        post(&self.ground.larder, path, body)
    }

    fn done(&self, path: &str, body: &str) {
        let (status, said) = self.post(path, body);
        assert_eq!(status, 200, "{path}: {said}");
    }

    /// Sends a read that has its snapshot, and waits for the lock that `gate` holds.
    fn under_way(&self, sql: &str) -> UnderWay {
        let mut gate = self.ground.direct();
        gate.ok("SELECT pg_advisory_lock(7)");
        let mut reader = self.ground.through();
        reader.send(Batch::new().query(sql));
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()";
        eventually("the read waits", || value(&mut gate, waits) == "1");
        UnderWay { gate, reader }
    }
}

struct UnderWay {
    gate: Client,
    reader: Client,
}

impl UnderWay {
    /// Lets it go on, and gives what it has read.
    fn ends(mut self) -> String {
        self.gate.ok("SELECT pg_advisory_unlock(7)");
        let answer = self.reader.until_ready();
        answer.rows()[0][0].clone().expect("a value")
    }
}

fn post(larder: &Larder, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", larder.admin)).expect("it listens");
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: larder\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
    .expect("it reads");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
    (status.unwrap_or(0), answer)
}

fn value(client: &mut Client, sql: &str) -> String {
    client.ok(sql).rows()[0][0].clone().expect("a value")
}

/// What became of a read.
fn asked(client: &mut Client, sql: &str) -> String {
    client.ok(sql);
    client.larder_last()
}

#[test]
fn a_rule_holds_at_once_for_what_is_in_memory() {
    let place = Place::started("steer_reload", "");
    let mut client = place.ground.through();
    until_hit(&mut client, READ);
    assert!(place.reload("[[rule]]\ntable = 'public.items'\noff = true"));
    for _ in 0..2 {
        assert_eq!(asked(&mut client, READ), "bypass: rule");
        assert_eq!(asked(&mut client, "SELECT n FROM seen"), "bypass: rule");
    }
    until_hit(&mut client, "SELECT n FROM others");
    assert!(place.reload("[[rule]]\ntable = 'public.items'\nttl = '1h'"));
    assert_eq!(asked(&mut client, READ), "miss");
    assert_eq!(asked(&mut client, READ), "hit");
    // The shortened time holds for what was kept for longer.
    assert!(place.reload("[[rule]]\ntable = 'public.items'\nttl = '1ms'"));
    assert_eq!(asked(&mut client, READ), "miss");
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert_eq!(asked(&mut client, READ), "miss");
    // By the signal, too.
    place.files.file("larder.toml", DECLARED);
    place.ground.larder.signal("HUP");
    eventually("the signal was heard", || asked(&mut client, READ) == "hit");
}

#[test]
fn a_wrong_configuration_changes_nothing() {
    let place = Place::started(
        "steer_wrong",
        "[[rule]]\ntable = 'public.items'\noff = true",
    );
    let mut client = place.ground.through();
    let successful = || {
        place
            .ground
            .larder
            .metric("larder_config_last_reload_successful", &[])
    };
    until_hit(&mut client, "SELECT n FROM others");
    for wrong in [
        "[[rule]]\ntable = 'public.others'\noff = true\n[[rule]]\nrole = 'x'\nttl = 'soon'",
        "[[rule]]\nmatches = '('\noff = true",
        "[[rule]]\nmatches = '(a{1000}){1000}'\noff = true",
        "[[rule]]\nstatement = \"SELECT 'a\"\noff = true",
        "[cache]\nmode = 'sideways'",
        "[cache]\ntll = '5s'",
    ] {
        assert!(!place.reload(wrong), "{wrong}");
        assert_eq!(successful(), 0.0);
        assert_eq!(asked(&mut client, READ), "bypass: rule");
        assert_eq!(asked(&mut client, "SELECT n FROM others"), "hit");
    }
    assert!(place.reload("[cache]\ncoalesce_wait = '2s'"));
    assert_eq!(successful(), 1.0);
    // What no rule speaks of any more: all was purged.
    assert_eq!(asked(&mut client, READ), "miss");
}

#[test]
fn a_read_under_way_is_not_kept_under_what_no_longer_holds() {
    let place = Place::started("steer_fills", "");
    let mut client = place.ground.through();
    let read = "SELECT held(n) FROM items WHERE id = 1";
    let kept = |client: &mut Client| asked(client, read) == "hit";
    // Undisturbed it is kept.
    assert_eq!(place.under_way(read).ends(), "0");
    assert!(kept(&mut client));
    let explained = client.ok(&format!("EXPLAIN (LARDER) {read}"));
    let lines = explained
        .rows()
        .into_iter()
        .map(|row| row[0].clone().unwrap());
    let text = lines.collect::<Vec<_>>().join("\n");
    let number = text
        .split(|c: char| !c.is_ascii_hexdigit())
        .find(|word| word.len() == 16)
        .unwrap_or_else(|| panic!("no number: {text}"));
    let by_number = format!(r#"{{"statement": "{number}"}}"#);
    for (path, body) in [
        ("/purge", r#"{"all": true}"#),
        ("/purge", r#"{"table": "public.items"}"#),
        ("/purge", r#"{"role": "postgres"}"#),
        ("/purge", &by_number),
    ] {
        place.done(path, body);
        let under_way = place.under_way(read);
        place.done(path, body);
        assert_eq!(under_way.ends(), "0");
        assert!(!kept(&mut client), "{path} {body}");
        assert!(kept(&mut client));
    }
    for rules in [
        "[[rule]]\ntable = 'public.items'\nttl = '10m'",
        "[[rule]]\nmatches = 'held'\nttl = '20m'",
        "",
    ] {
        place.done("/purge", r#"{"all": true}"#);
        let under_way = place.under_way(read);
        assert!(place.reload(rules));
        assert_eq!(under_way.ends(), "0");
        assert!(!kept(&mut client), "{rules}");
        assert!(kept(&mut client));
    }
}

#[test]
fn p1_writes_count_while_the_cache_is_paused() {
    let place = Place::started("steer_pause", "");
    let (mut reader, mut writer) = (place.ground.through(), place.ground.through());
    let untouched = "SELECT n FROM others";
    until_hit(&mut reader, READ);
    until_hit(&mut reader, untouched);
    place.done("/pause", "");
    for _ in 0..2 {
        assert_eq!(asked(&mut reader, READ), "bypass: paused");
    }
    writer.ok("UPDATE items SET n = 1");
    assert_eq!(value(&mut reader, READ), "1");
    // A reload does not go on by itself.
    assert!(place.reload("[cache]\ncoalesce_wait = '2s'"));
    assert_eq!(asked(&mut reader, READ), "bypass: paused");
    place.done("/resume", "");
    assert_eq!(value(&mut reader, READ), "1");
    assert_eq!(asked(&mut reader, untouched), "hit");

    // A read that has begun before the pause, a write within, and no time between.
    let read = "SELECT held(n) FROM items WHERE id = 1";
    let under_way = place.under_way(read);
    place.done("/pause", "");
    writer.ok("UPDATE items SET n = 2");
    place.done("/resume", "");
    assert_eq!(under_way.ends(), "1");
    assert_eq!(value(&mut reader, read), "2");
    // In a transaction that began before, too.
    until_hit(&mut reader, READ);
    writer.ok("BEGIN");
    writer.ok("UPDATE items SET n = 3");
    place.done("/pause", "");
    writer.ok("COMMIT");
    place.done("/resume", "");
    assert_eq!(value(&mut reader, READ), "3");
}

#[test]
fn the_mode_changes_but_not_from_or_to_off() {
    let place = Place::started("steer_mode", "[cache]\nmode = 'on'");
    let (mut reader, mut writer) = (place.ground.through(), place.ground.through());
    until_hit(&mut reader, READ);
    assert!(place.reload("[cache]\nmode = 'observe'"));
    let hits = place
        .ground
        .larder
        .metric("larder_time_saved_seconds_total", &[]);
    for n in 1..4 {
        writer.ok(&format!("UPDATE items SET n = {n}"));
        assert_eq!(value(&mut reader, READ), n.to_string());
        // A hit in name only: the database has answered.
        place.ground.direct().ok("UPDATE items SET n = n + 10");
        assert_eq!(value(&mut reader, READ), (n + 10).to_string());
    }
    let saved = place
        .ground
        .larder
        .metric("larder_time_saved_seconds_total", &[]);
    assert_eq!(saved, hits);
    writer.ok("UPDATE items SET n = 5");
    assert!(place.reload("[cache]\nmode = 'on'"));
    assert_eq!(value(&mut reader, READ), "5");
    until_hit(&mut reader, READ);
    // What is off follows no write, so it can be neither entered nor left.
    assert!(place.reload("[cache]\nmode = 'off'"));
    assert!(place.ground.larder.log().contains("needs_restart"));
    assert_eq!(asked(&mut reader, READ), "hit");
    writer.ok("UPDATE items SET n = 6");
    assert_eq!(value(&mut reader, READ), "6");

    let off = Place::new("steer_mode_off", "[cache]\nmode = 'off'");
    let mut client = off.ground.through();
    client.ok(READ);
    client.ok("PREPARE p AS SELECT n FROM items");
    assert!(off.reload("[cache]\nmode = 'on'"));
    for sql in [READ, READ, "EXECUTE p"] {
        assert_eq!(asked(&mut client, sql), "bypass: off");
        assert_eq!(asked(&mut off.ground.through(), READ), "bypass: off");
    }
}

#[test]
fn p6_rules_by_application_are_judged_for_each_who_asks() {
    let rules = "
        [[rule]]
        application_name = 'batch'
        off = true
        [[rule]]
        application_name = 'web'
        trust = true
        [[rule]]
        application_name = 'quick'
        ttl = '1ms'";
    let place = Place::started("steer_application", rules);
    let login = place.ground.over(&place.ground.login());
    let of = |name: &str| login.clone().parameter("application_name", name).connect();
    let (mut web, mut batch) = (of("web"), of("batch"));
    let trusted = "SELECT mystery(n) FROM items WHERE id = 1";
    for read in [READ, trusted] {
        until_hit(&mut web, read);
        for _ in 0..2 {
            assert!(asked(&mut batch, read).starts_with("bypass: "), "{read}");
        }
    }
    // Whom no rule trusts is not answered with what was kept for another.
    let mut nobody = of("nobody");
    // (Whom it does not trust may have written by calling that function.)
    until_hit(&mut nobody, READ);
    until_hit(&mut web, trusted);
    assert_eq!(asked(&mut nobody, trusted), "bypass: user_function");
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert_eq!(asked(&mut of("quick"), READ), "miss");
    // The name is followed.
    until_hit(&mut nobody, READ);
    nobody.ok("SET application_name = 'batch'");
    assert_eq!(asked(&mut nobody, READ), "bypass: rule");
    nobody.ok("BEGIN");
    nobody.ok("SET LOCAL application_name = 'web'");
    assert_eq!(asked(&mut nobody, READ), "hit");
    nobody.ok("ROLLBACK");
    assert_eq!(asked(&mut nobody, READ), "bypass: rule");
    nobody.ok("SET application_name = 'else'");
    assert_eq!(asked(&mut nobody, READ), "hit");
    // All in one go: the name is set and meant for the read behind it.
    let hits = place.ground.larder.outcome("hit");
    let portal = || Bind::default();
    nobody.run(
        Batch::new()
            .parse("", "SET application_name = 'batch'", &[])
            .bind(portal())
            .execute("", 0)
            .parse("", READ, &[])
            .bind(portal())
            .execute("", 0)
            .sync(),
    );
    assert_eq!(place.ground.larder.outcome("hit"), hits);
    nobody.ok("SET application_name = 'else'");
    nobody.send(
        Batch::new()
            .query("SET application_name = 'batch'")
            .query(READ),
    );
    nobody.until_ready_times(2);
    assert_eq!(place.ground.larder.outcome("hit"), hits);
}

#[test]
fn rules_by_role_database_and_statement() {
    let rules = "
        [[rule]]
        role = 'steer_reporting'
        off = true
        [[rule]]
        statement = 'SELECT name FROM items WHERE id = 17'
        off = true
        [[rule]]
        matches = '(?i)order by n limit \\?'
        off = true
        [[rule]]
        database = 'steer_elsewhere'
        off = true
        [[rule]]
        table = 'public.others'
        ttl = '1h'
        [[rule]]
        table = 'public.others'
        role = 'postgres'
        off = true
        [[rule]]
        table = 'public.items'
        max_bytes = '100B'";
    let place = Place::started("steer_conditions", rules);
    let mut client = place.ground.through();
    client.ok("CREATE ROLE steer_reporting; GRANT SELECT ON items TO steer_reporting");
    until_hit(&mut client, READ);
    client.ok("SET ROLE steer_reporting");
    assert_eq!(asked(&mut client, READ), "bypass: rule");
    assert_eq!(asked(&mut client, READ), "bypass: rule");
    client.ok("RESET ROLE");
    until_hit(&mut client, READ);
    for n in 1..3 {
        let read = format!("/* the caller */ SELECT  name FROM items\n WHERE id = {n}");
        assert_eq!(asked(&mut client, &read), "bypass: rule");
        assert_eq!(asked(&mut client, &read), "bypass: rule");
        let listed = format!("SELECT n FROM items ORDER BY n LIMIT {n}");
        assert_eq!(asked(&mut client, &listed), "bypass: rule");
    }
    // The first that fits speaks: there is one for the table before the one for table and role.
    until_hit(&mut client, "SELECT n FROM others");
    // A large answer is not kept.
    let all = "SELECT name FROM items";
    for _ in 0..3 {
        assert_eq!(asked(&mut client, all), "bypass: too_large");
    }
    until_hit(&mut client, "SELECT name FROM items WHERE id = 3 AND n = 0");
    client.ok("DROP OWNED BY steer_reporting; DROP ROLE steer_reporting");
}

#[test]
fn trust_overrules_functions_and_nothing_else() {
    let rules = "
        [[rule]]
        database = 'steer_trust'
        trust = true";
    let place = Place::started("steer_trust", rules);
    let (mut client, mut writer) = (place.ground.through(), place.ground.through());
    for read in [
        "SELECT mystery(n) FROM items WHERE id = 1",
        "SELECT n FROM items WHERE id = 1 AND now() > '2000-01-01Z'",
        "SELECT n, random() < 2 FROM items WHERE id = 1",
    ] {
        until_hit(&mut client, read);
        let before = value(&mut client, "SELECT n FROM items WHERE id = 1");
        writer.ok("UPDATE items SET n = n + 1");
        let after = (before.parse::<i32>().unwrap() + 1).to_string();
        assert_eq!(value(&mut client, read), after, "{read}");
        // In a transaction that has written it is not answered from memory.
        until_hit(&mut client, read);
        client.ok("BEGIN; UPDATE others SET n = n");
        assert_eq!(asked(&mut client, read), "bypass: transaction_dirty");
        client.ok("COMMIT");
    }
    // What a declared function reads is followed, whoever else is trusted beside it.
    let both = "SELECT mystery(reads_others()) FROM items WHERE id = 1";
    until_hit(&mut client, both);
    let before = value(&mut client, "SELECT n FROM others");
    writer.ok("UPDATE others SET n = n + 1");
    let after = (before.parse::<i32>().unwrap() + 1).to_string();
    assert_eq!(value(&mut client, both), after);

    for never in [
        "SELECT nextval('numbers'), mystery(n) FROM items WHERE id = 1",
        "SELECT pg_advisory_xact_lock(8), mystery(n) FROM items WHERE id = 1",
        "SELECT mystery(n) FROM items WHERE pg_try_advisory_lock_shared(9) AND id = 1",
        "SELECT set_config('my.own', '1', false), mystery(n) FROM items WHERE id = 1",
        "SELECT pg_notify('x', 'y'), mystery(n) FROM items WHERE id = 1",
        "SELECT query_to_xml('SELECT n FROM others', true, true, '')::text, mystery(n) FROM items WHERE id = 1",
        "SELECT mystery(n), writes_others() FROM items WHERE id = 1",
        "SELECT mystery(n) FROM items WHERE id = 1 FOR UPDATE",
        "SELECT mystery(id) FROM secret",
        "SELECT mystery(id), day::date FROM days",
        "SELECT mystery(id), 'today'::date FROM days",
        "SELECT mystery(id) FROM lucky WHERE id = 1",
        "SELECT mystery(1)",
        "SELECT mystery(oid::int) FROM pg_class WHERE relname = 'items'",
        "SELECT mystery(n) FROM items TABLESAMPLE SYSTEM (100)",
        "UPDATE items SET n = mystery(n) RETURNING n",
        "WITH w AS (UPDATE items SET n = mystery(n) RETURNING n) SELECT n FROM w",
    ] {
        for _ in 0..3 {
            let became = asked(&mut client, never);
            assert!(
                became == "write" || became.starts_with("bypass"),
                "{became}: {never}"
            );
        }
    }
    let mut other = place.ground.through();
    other.ok("CREATE TEMP TABLE mine (n int)");
    for _ in 0..2 {
        assert!(asked(&mut other, "SELECT mystery(n) FROM mine").starts_with("bypass"));
    }
    // Other settings, another answer.
    let read = "SELECT mystery(n) FROM items WHERE id = 1";
    until_hit(&mut client, read);
    client.ok("SET my.tenant = '5'");
    assert_eq!(asked(&mut client, read), "miss");
}

#[test]
fn a_purge_by_role_or_statement_leaves_the_others() {
    let place = Place::started("steer_purge", "");
    let mut client = place.ground.through();
    client.ok("CREATE ROLE steer_purged; GRANT SELECT ON items, others TO steer_purged");
    until_hit(&mut client, READ);
    client.ok("SET ROLE steer_purged");
    until_hit(&mut client, READ);
    place.done("/purge", r#"{"role": "steer_purged"}"#);
    assert_eq!(asked(&mut client, READ), "miss");
    client.ok("RESET ROLE");
    assert_eq!(asked(&mut client, READ), "hit");
    // By a table, what reads a view over it goes, too.
    until_hit(&mut client, "SELECT n FROM seen WHERE id = 1");
    until_hit(&mut client, "SELECT n FROM others");
    place.done("/purge", r#"{"table": "public.items"}"#);
    assert_eq!(
        asked(&mut client, "SELECT n FROM seen WHERE id = 1"),
        "miss"
    );
    assert_eq!(asked(&mut client, "SELECT n FROM others"), "hit");
    assert_eq!(
        place.post("/purge", r#"{"table": "public.nothing"}"#).0,
        400
    );
    // What is read of the catalogs goes with any of them.
    let introspection = "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = 'public'";
    until_hit(&mut client, introspection);
    place.done("/purge", r#"{"table": "pg_catalog.pg_namespace"}"#);
    assert_eq!(asked(&mut client, introspection), "miss");
    client.ok("DROP OWNED BY steer_purged; DROP ROLE steer_purged");
}

#[test]
fn p1_holds_while_everything_is_steered() {
    let place = Place::started("steer_storm", "[cache]\nmode = 'on'");
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for id in 1..=3 {
            let (place, over) = (&place, &over);
            scope.spawn(move || {
                let (mut writer, mut reader) = (place.ground.through(), place.ground.through());
                let read = format!("SELECT n FROM items WHERE id = {id}");
                let mut n = 0;
                while !over.load(Ordering::Relaxed) {
                    n += 1;
                    writer.ok(&format!("UPDATE items SET n = {n} WHERE id = {id}"));
                    for _ in 0..3 {
                        assert_eq!(value(&mut reader, &read), n.to_string());
                    }
                }
            });
        }
        let steered = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..60 {
                let rules = [
                    "[cache]\nmode = 'observe'",
                    "[[rule]]\ntable = 'public.items'\nttl = '1h'",
                    "[cache]\ntransactions = 'never'",
                    "[[rule]]\nmatches = 'items'\noff = true",
                    "[cache]\nmode = 'on'",
                ];
                assert!(place.reload(rules[round % rules.len()]));
                place.done("/pause", "");
                place.done("/purge", r#"{"table": "public.items"}"#);
                place.done("/resume", "");
                place.done("/purge", r#"{"role": "postgres"}"#);
            }
        }));
        over.store(true, Ordering::Relaxed);
        steered.expect("it is steered");
    });
}
