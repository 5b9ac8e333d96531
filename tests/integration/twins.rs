//! Random scripts in random shapes of the protocol, through Larder and past it: every message and every row is the same.
//!
//! Two databases that are the same at the start; two clients each, one step at a time. What is compared: all that the
//! clients are told (an error's place in PostgreSQL's source and BackendKeyData aside), and what the tables hold then.
//! `LARDER_TWINS=<first>..<last>` runs more scripts; a script that fails is made shorter and printed.

use crate::faults::{Fault, Relay};
use crate::ground::{SUPERUSER, create_database_on};
use crate::larder::{Larder, Setup};
use crate::postgres::{Options, Postgres};
use crate::wireclient::{Batch, Bind, Client, Frame, Login, Transcript, field};
use std::ops::Range;
use std::time::{Duration, Instant};

const SCHEMA: &str = "
    CREATE TABLE t0 (id int PRIMARY KEY, name text, n int CHECK (n < 1000));
    CREATE TABLE t1 (id int PRIMARY KEY, name text, n int CHECK (n < 1000));
    CREATE TABLE d0 (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE d1 (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE y0 (id int PRIMARY KEY, name text);
    CREATE TABLE y1 (id int PRIMARY KEY, name text);
    CREATE FUNCTION touch0(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN UPDATE t0 SET n = n + 1 WHERE id = i; RETURN i; END';
    CREATE FUNCTION touch1(i int) RETURNS int LANGUAGE plpgsql AS 'BEGIN UPDATE t1 SET n = n + 1 WHERE id = i; RETURN i; END';
    CREATE FUNCTION tune(v text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RAISE NOTICE ''tuned''; RETURN set_config(''my.tune'', v, false); END';
    CREATE FUNCTION tune_path(v text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN set_config(''search_path'', v, false); END';
    CREATE TABLE j0 (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
    CREATE FUNCTION note0() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO j0 (name) VALUES (tg_op); RETURN NULL; END';
    CREATE TABLE trig0 (id int PRIMARY KEY, name text);
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON trig0 FOR EACH ROW EXECUTE FUNCTION note0();
    CREATE TABLE a0 (id int PRIMARY KEY);
    CREATE TABLE b0 (id int PRIMARY KEY, a int REFERENCES a0 ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE p0 (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE q0 PARTITION OF p0 FOR VALUES IN (1); CREATE TABLE o0 PARTITION OF p0 DEFAULT;
    CREATE TABLE ruled0 (id int); CREATE RULE also AS ON INSERT TO ruled0 DO ALSO UPDATE p0 SET k = NEW.id WHERE id = 1;
    CREATE VIEW v0 AS SELECT id, name FROM t0 WHERE id < 6 WITH CHECK OPTION;
    CREATE PROCEDURE twice0(i int) LANGUAGE plpgsql AS
        'BEGIN UPDATE t0 SET n = n + 1 WHERE id = i; COMMIT; UPDATE t0 SET n = n + 1 WHERE id = i; END';
    CREATE TABLE j1 (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text);
    CREATE FUNCTION note1() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO j1 (name) VALUES (tg_op); RETURN NULL; END';
    CREATE TABLE trig1 (id int PRIMARY KEY, name text);
    CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON trig1 FOR EACH ROW EXECUTE FUNCTION note1();
    CREATE TABLE a1 (id int PRIMARY KEY);
    CREATE TABLE b1 (id int PRIMARY KEY, a int REFERENCES a1 ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE p1 (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE q1 PARTITION OF p1 FOR VALUES IN (1); CREATE TABLE o1 PARTITION OF p1 DEFAULT;
    CREATE TABLE ruled1 (id int); CREATE RULE also AS ON INSERT TO ruled1 DO ALSO UPDATE p1 SET k = NEW.id WHERE id = 1;
    CREATE VIEW v1 AS SELECT id, name FROM t1 WHERE id < 6 WITH CHECK OPTION;
    CREATE PROCEDURE twice1(i int) LANGUAGE plpgsql AS
        'BEGIN UPDATE t1 SET n = n + 1 WHERE id = i; COMMIT; UPDATE t1 SET n = n + 1 WHERE id = i; END';
    CREATE SCHEMA other;
    CREATE TABLE other.t0 (id int PRIMARY KEY, name text, n int);
    INSERT INTO other.t0 SELECT g, 'other', g FROM generate_series(1, 4) g;
    GRANT USAGE ON SCHEMA other TO reader;
    GRANT SELECT ON t0, d0, y0, d1 TO reader;";

const RESET: &str = "
    DELETE FROM t0; DELETE FROM t1; DELETE FROM d0; DELETE FROM d1; DELETE FROM y0; DELETE FROM y1;
    INSERT INTO t0 SELECT g, 'zero ' || g, g FROM generate_series(1, 6) g;
    INSERT INTO t1 SELECT g, 'one ' || g, g FROM generate_series(1, 6) g;
    INSERT INTO d0 SELECT g, g FROM generate_series(1, 4) g;
    INSERT INTO d1 SELECT g, g FROM generate_series(1, 4) g;
    INSERT INTO y0 SELECT g, 'y' FROM generate_series(1, 3) g;
    INSERT INTO y1 SELECT g, 'y' FROM generate_series(1, 3) g;
    TRUNCATE j0 RESTART IDENTITY; DELETE FROM trig0; DELETE FROM b0; DELETE FROM a0; DELETE FROM p0;
    INSERT INTO a0 SELECT generate_series(1, 4); INSERT INTO b0 SELECT g, g FROM generate_series(1, 4) g;
    INSERT INTO p0 SELECT g, 1 + g % 2 FROM generate_series(1, 4) g;
    INSERT INTO trig0 VALUES (1, 'one'), (2, 'two'); TRUNCATE j0 RESTART IDENTITY;
    TRUNCATE j1 RESTART IDENTITY; DELETE FROM trig1; DELETE FROM b1; DELETE FROM a1; DELETE FROM p1;
    INSERT INTO a1 SELECT generate_series(1, 4); INSERT INTO b1 SELECT g, g FROM generate_series(1, 4) g;
    INSERT INTO p1 SELECT g, 1 + g % 2 FROM generate_series(1, 4) g;
    INSERT INTO trig1 VALUES (1, 'one'), (2, 'two'); TRUNCATE j1 RESTART IDENTITY;";
const RESET_DDL: &str = "
    ALTER TABLE y0 DROP COLUMN IF EXISTS extra; ALTER TABLE y1 DROP COLUMN IF EXISTS extra;
    GRANT SELECT ON t0 TO reader; REVOKE ALL ON t1 FROM reader;";
const DUMP: &str = "
    SELECT * FROM t0 ORDER BY id; SELECT * FROM t1 ORDER BY id; SELECT * FROM d0 ORDER BY id; SELECT * FROM d1 ORDER BY id;
    SELECT * FROM y0 ORDER BY id; SELECT * FROM y1 ORDER BY id; SELECT * FROM j0 ORDER BY id; SELECT * FROM j1 ORDER BY id;
    SELECT * FROM b0 ORDER BY id; SELECT * FROM b1 ORDER BY id; SELECT * FROM p0 ORDER BY id, k; SELECT * FROM p1 ORDER BY id, k";

/// A small generator of its own, so that a seed means the same for ever.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

#[derive(Clone, Debug)]
enum Say {
    Query(String),
    Parse(String, String),
    /// Portal, statement, parameters, result format.
    Bind(String, String, Vec<String>, i16),
    DescribeStatement(String),
    DescribePortal(String),
    Execute(String, i32),
    CloseStatement(String),
    ClosePortal(String),
    Flush,
    Sync,
    CopyData(String),
    CopyDone,
    CopyFail,
}

impl Say {
    fn put(&self, batch: Batch) -> Batch {
        match self {
            Say::Query(sql) => batch.query(sql),
            Say::Parse(name, sql) => batch.parse(name, sql, &[]),
            Say::Bind(portal, statement, params, format) => {
                let params: Vec<_> = params.iter().map(|p| Some(p.as_bytes())).collect();
                batch.bind(Bind {
                    portal,
                    statement,
                    params: &params,
                    results: &[*format],
                    formats: &[],
                })
            }
            Say::DescribeStatement(name) => batch.describe_statement(name),
            Say::DescribePortal(name) => batch.describe_portal(name),
            Say::Execute(portal, limit) => batch.execute(portal, *limit),
            Say::CloseStatement(name) => batch.close_statement(name),
            Say::ClosePortal(name) => batch.close_portal(name),
            Say::Flush => batch.flush(),
            Say::Sync => batch.sync(),
            Say::CopyData(rows) => batch.copy_data(rows.as_bytes()),
            Say::CopyDone => batch.copy_done(),
            Say::CopyFail => batch.copy_fail("no"),
        }
    }
}

/// What one client says before anybody says anything else.
#[derive(Clone, Debug)]
struct Step {
    client: usize,
    says: Vec<Say>,
    /// In so many segments.
    segments: usize,
}

struct Script {
    steps: Vec<Step>,
    ddl: bool,
}

/// Makes scripts.
struct Author {
    dice: Dice,
    ddl: bool,
    session: bool,
    /// Calls what may do anything: for a while nothing hits behind it.
    opaque: bool,
    /// The statements that a client has likely prepared: name and number of parameters.
    prepared: [Vec<(String, usize)>; 2],
    /// A client's last message was no Sync.
    open: [bool; 2],
}

impl Author {
    fn new(seed: u64, alters: bool) -> Author {
        let mut dice = Dice(seed);
        let ddl = dice.one_in(12) && alters;
        let session = dice.one_in(3);
        let opaque = dice.one_in(5);
        Author {
            dice,
            ddl,
            session,
            opaque,
            prepared: Default::default(),
            open: [false; 2],
        }
    }

    fn script(mut self) -> Script {
        let count = 3 + self.dice.below(30);
        let alone = self.dice.one_in(3);
        let steps = (0..count).map(|_| {
            let client = if alone || self.dice.one_in(2) { 0 } else { 1 };
            self.step(client)
        });
        Script {
            steps: steps.collect(),
            ddl: self.ddl,
        }
    }

    fn read(&mut self) -> (String, usize) {
        let d = &mut self.dice;
        let table = d.of(&[
            "t0", "t1", "t0", "d0", "d1", "j0", "j1", "b0", "b1", "q0", "q1", "v0", "v1",
        ]);
        let id = 1 + d.below(4);
        match d.below(7) {
            0 | 1 => (format!("SELECT * FROM {table} WHERE id = $1"), 1),
            2 => (format!("SELECT * FROM {table} WHERE id = {id}"), 0),
            3 => (format!("SELECT count(*), max(id) FROM {table}"), 0),
            4 => (format!("SELECT * FROM {table} ORDER BY id"), 0),
            5 => (
                "SELECT t0.id, t1.name FROM t0 JOIN t1 USING (id) ORDER BY 1".into(),
                0,
            ),
            _ => (
                format!("SELECT id FROM {table} WHERE id > $1 ORDER BY 1"),
                1,
            ),
        }
    }

    fn write(&mut self, client: usize) -> (String, usize) {
        let d = &mut self.dice;
        let (id, n) = (1 + d.below(7), d.below(1100));
        let c = client;
        if d.one_in(3) {
            return (self.deep_write(client), 0);
        }
        match d.below(9) {
            0 => (format!("UPDATE t{c} SET n = {n} WHERE id = {id}"), 0),
            1 => (format!("UPDATE t{c} SET name = 'p' || $1 WHERE id = 2"), 1),
            2 => (format!("INSERT INTO t{c} VALUES ({id}, 'new', 1)"), 0),
            3 => (
                format!(
                    "INSERT INTO t{c} VALUES ({id}, 'up', 2) ON CONFLICT (id) DO UPDATE SET n = 3 RETURNING *"
                ),
                0,
            ),
            4 => (format!("DELETE FROM t{c} WHERE id = {id}"), 0),
            5 => (format!("UPDATE d{c} SET u = {id} WHERE id = 1"), 0),
            6 => (format!("SELECT touch{c}({id})"), 0),
            7 => (
                format!(
                    "WITH w AS (UPDATE t{c} SET n = n + 1 WHERE id = 1 RETURNING n) SELECT count(*) FROM w"
                ),
                0,
            ),
            _ => (format!("SELECT * FROM t{c} WHERE id = {id} FOR UPDATE"), 0),
        }
    }

    /// What writes more than its table, or another.
    fn deep_write(&mut self, client: usize) -> String {
        let d = &mut self.dice;
        let id = 1 + d.below(5);
        d.of(&[
            "INSERT INTO trig# VALUES (@, 'new')",
            "UPDATE trig# SET name = 'x' WHERE id < @",
            "DELETE FROM trig# WHERE id = @ RETURNING *",
            "DELETE FROM a# WHERE id = @",
            "UPDATE a# SET id = id + 10 WHERE id = @",
            "INSERT INTO a# VALUES (@) ON CONFLICT (id) DO UPDATE SET id = excluded.id + 20",
            "MERGE INTO a# USING (VALUES (@), (9)) s (i) ON a#.id = s.i WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (i)",
            "UPDATE p# SET k = @ WHERE id = 1",
            "INSERT INTO p# VALUES (@, @) ON CONFLICT DO NOTHING",
            "DELETE FROM q# WHERE id > @",
            "INSERT INTO ruled# VALUES (@)",
            "UPDATE v# SET name = 'view' WHERE id = @",
            "INSERT INTO v# VALUES (@ + 3, 'view')",
            "DELETE FROM t# USING a# WHERE a#.id = t#.id AND t#.id = @",
            "UPDATE t# SET name = 'from' FROM b# WHERE b#.a = t#.id",
            "WITH d AS (DELETE FROM b# WHERE id = @ RETURNING *), i AS (INSERT INTO j# (name) SELECT a FROM d RETURNING id) SELECT count(*) FROM i",
            "WITH d AS (UPDATE a# SET id = id + 30 WHERE id = @) SELECT * FROM t# ORDER BY id",
            "CALL twice#(@)",
            "DO $$ BEGIN UPDATE t# SET n = n + 1; INSERT INTO j# (name) VALUES ('do'); END $$",
            "COPY (DELETE FROM b# WHERE id = @ RETURNING id) TO STDOUT",
        ])
        .replace('#', &client.to_string())
        .replace('@', &id.to_string())
    }

    fn control(&mut self) -> String {
        let d = &mut self.dice;
        let begin: &[&str] = &[
            "BEGIN",
            "BEGIN",
            "BEGIN",
            "begin;",
            "START TRANSACTION",
            "BEGIN READ ONLY",
            "BEGIN READ WRITE",
            "BEGIN ISOLATION LEVEL READ COMMITTED",
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY",
            "BEGIN /* note */ WORK",
        ];
        let inside: &[&str] = &[
            "SAVEPOINT a",
            "SAVEPOINT b",
            "SAVEPOINT a",
            "RELEASE a",
            "RELEASE SAVEPOINT b",
            "ROLLBACK TO a",
            "ROLLBACK TO SAVEPOINT b",
            "SET TRANSACTION READ ONLY",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET CONSTRAINTS ALL IMMEDIATE",
            "SET CONSTRAINTS ALL DEFERRED",
        ];
        let end: &[&str] = &[
            "COMMIT",
            "COMMIT",
            "END",
            "ROLLBACK",
            "ROLLBACK",
            "ABORT",
            "COMMIT AND CHAIN",
            "ROLLBACK AND CHAIN",
            "COMMIT;",
            "commit work",
        ];
        match d.below(3) {
            0 => d.of(begin),
            1 => d.of(inside),
            _ => d.of(end),
        }
        .into()
    }

    fn setting(&mut self, client: usize) -> String {
        let d = &mut self.dice;
        let local: &[&str] = &[
            "SET LOCAL my.tune = 'l'",
            "SET LOCAL statement_timeout = 9000",
            "SET LOCAL statement_timeout = '30s'",
            "SET LOCAL search_path = other, public",
            "SET LOCAL application_name = 'loc'",
            "SET LOCAL work_mem = '1MB'",
            "SET LOCAL nothing = 1",
            "SET LOCAL DateStyle = 'German'",
            "SET LOCAL ROLE reader",
            "SELECT set_config('my.tune', 'sl', true)",
            "SET LOCAL my.tune TO DEFAULT",
            "SET LOCAL statement_timeout = 'x'",
            "SET LOCAL lock_timeout = -1",
        ];
        let session: &[&str] = &[
            "SET my.tune = 's'",
            "SET search_path = other, public",
            "RESET search_path",
            "RESET ALL",
            "DISCARD ALL",
            "SET ROLE reader",
            "RESET ROLE",
            "SET ROLE nobody",
            "SET application_name = 'ses'",
            "RESET my.tune",
            "SELECT set_config('my.tune', 'ss', false)",
            "SELECT tune('f')",
            "SELECT tune_path('other, public')",
            "SET default_transaction_read_only = on",
            "RESET default_transaction_read_only",
            "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "SET default_transaction_isolation = 'read committed'",
            "DISCARD PLANS",
            "SET SESSION AUTHORIZATION DEFAULT",
            "DO $$ BEGIN PERFORM set_config('my.tune', 'do', false); END $$",
            "SET TimeZone = 'Asia/Tokyo'",
            "SET my.tune TO DEFAULT",
            "DISCARD TEMP",
        ];
        let kept: &[&str] = &[
            "CREATE TEMP TABLE temp_t (a int)",
            "DROP TABLE temp_t",
            "INSERT INTO temp_t VALUES (1)",
            "SELECT * FROM temp_t",
            "PREPARE q AS SELECT * FROM t0 ORDER BY id",
            "EXECUTE q",
            "DEALLOCATE q",
            "DEALLOCATE ALL",
            "PREPARE w AS BEGIN",
            "DECLARE c CURSOR FOR SELECT id FROM t0 ORDER BY id",
            "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM t1 ORDER BY id",
            "FETCH 2 FROM c",
            "FETCH 2 FROM h",
            "CLOSE c",
            "CLOSE ALL",
            "SELECT pg_advisory_xact_lock(1)",
        ];
        match d.below(if self.session { 4 } else { 2 }) {
            0 => d.of(local).into(),
            1 => "SELECT coalesce(current_setting('my.tune', true), '') || current_setting('statement_timeout') \
                  || current_setting('search_path') || current_user"
                .into(),
            2 => d.of(session).into(),
            _ if d.one_in(3) => {
                let what = d.of(&["LISTEN", "NOTIFY", "UNLISTEN"]);
                format!("{what} c{client}")
            }
            _ => d.of(kept).replace("(1)", &format!("({client})")),
        }
    }

    fn ddl(&mut self, client: usize) -> String {
        let d = &mut self.dice;
        d.of(&[
            "ALTER TABLE y# ADD COLUMN extra int DEFAULT 5",
            "ALTER TABLE y# DROP COLUMN extra",
            "SELECT * FROM y# ORDER BY id",
            "SELECT * FROM y# ORDER BY id",
            "GRANT SELECT ON t# TO reader",
            "REVOKE SELECT ON t# FROM reader",
            "SET LOCAL ROLE reader",
        ])
        .replace('#', &client.to_string())
    }

    /// A text and its number of parameters.
    fn text(&mut self, client: usize) -> (String, usize) {
        loop {
            let (text, count) = self.any_text(client);
            let opaque = [
                "touch",
                "tune(",
                "tune_path",
                "DO $$",
                "advisory",
                "trig",
                "CALL",
                "ruled",
            ]
            .iter()
            .any(|word| text.contains(word));
            if self.opaque || !opaque {
                return (text, count);
            }
        }
    }

    fn any_text(&mut self, client: usize) -> (String, usize) {
        if self.ddl && self.dice.one_in(5) {
            return (self.ddl(client), 0);
        }
        match self.dice.below(20) {
            0..=6 => self.read(),
            7..=9 => self.write(client),
            10..=15 => (self.control(), 0),
            16 | 17 => (self.setting(client), 0),
            18 => {
                let errors: &[&str] = &[
                    "SELECT 1/0",
                    "SELEC 1",
                    "SELECT * FROM nowhere",
                    "INSERT INTO t0 VALUES ('x')",
                    "SELECT 1/(id-1) FROM t0 ORDER BY id",
                    "",
                    ";",
                    "-- nothing",
                ];
                (self.dice.of(errors).into(), 0)
            }
            _ => {
                let plain: &[&str] = &[
                    "SELECT 1",
                    "SHOW search_path",
                    "VALUES (1), (2)",
                    "SHOW transaction_isolation",
                    "SHOW transaction_read_only",
                ];
                (self.dice.of(plain).into(), 0)
            }
        }
    }

    fn plain(&mut self, client: usize) -> String {
        let (text, count) = self.text(client);
        if count > 0 {
            let value = (1 + self.dice.below(4)).to_string();
            return text
                .replace("'p' || $1", &format!("'p' || '{value}'"))
                .replace("$1", &value);
        }
        text
    }

    fn parameters(&mut self, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| match self.dice.below(12) {
                0 => "x".into(),
                n => (1 + n % 4).to_string(),
            })
            .collect()
    }

    fn step(&mut self, client: usize) -> Step {
        let mut says = Vec::new();
        for _ in 0..=[0, 0, 0, 1, 2, 4][self.dice.below(6)] {
            let mut piece = Vec::new();
            self.piece(client, &mut piece);
            // Behind a pipeline that has failed a Query is ignored: no driver sends one there, and Larder does not follow it.
            if let Some(last) = says.last() {
                self.open[client] = !matches!(
                    last,
                    Say::Query(_) | Say::Sync | Say::CopyDone | Say::CopyFail
                );
            }
            let open = self.open[client];
            if open && matches!(piece.first(), Some(Say::Query(_))) {
                says.push(Say::Sync);
            }
            says.append(&mut piece);
        }
        if !matches!(
            says.last(),
            Some(Say::Query(_) | Say::Sync | Say::Flush | Say::CopyDone | Say::CopyFail)
        ) {
            says.push(if self.dice.one_in(5) {
                Say::Flush
            } else {
                Say::Sync
            });
        }
        self.open[client] = matches!(says.last(), Some(Say::Flush));
        let segments = match self.dice.below(6) {
            0 => 2,
            1 => 5,
            _ => 1,
        };
        Step {
            client,
            says,
            segments,
        }
    }

    fn piece(&mut self, client: usize, says: &mut Vec<Say>) {
        match self.dice.below(24) {
            0..=6 => {
                let mut sql = self.plain(client);
                while self.dice.one_in(8) {
                    sql = format!("{sql}; {}", self.plain(client));
                }
                says.push(Say::Query(sql));
            }
            7..=12 => {
                let (sql, count) = self.text(client);
                self.unit(client, "", Some(sql), count, says);
            }
            13 | 14 => {
                let (sql, count) = self.text(client);
                let name = self.dice.of(&["s1", "s2", "s3", "s4"]);
                if self.dice.one_in(3) {
                    says.push(Say::CloseStatement(name.into()));
                }
                self.prepared[client].push((name.into(), count));
                if self.dice.one_in(2) {
                    self.unit(client, name, Some(sql), count, says);
                } else {
                    says.push(Say::Parse(name.into(), sql));
                    if self.dice.one_in(2) {
                        says.push(Say::DescribeStatement(name.into()));
                    }
                    self.end(says);
                }
            }
            15..=18 => {
                let known = &self.prepared[client];
                let (name, count) = match known.len() {
                    0 => ("s1".into(), 0),
                    len => known[self.dice.below(len)].clone(),
                };
                self.unit(client, &name, None, count, says);
            }
            19 => {
                let portal = self.dice.of(&["", "p1", "p2"]);
                says.push(match self.dice.below(4) {
                    0 => Say::ClosePortal(portal.into()),
                    1 => Say::DescribePortal(portal.into()),
                    _ => Say::Execute(portal.into(), self.dice.below(3) as i32),
                });
                self.end(says);
            }
            20 => {
                let name = self.dice.of(&["", "s1", "s2", "s3"]);
                says.push(match self.dice.below(3) {
                    0 => Say::CloseStatement(name.into()),
                    _ => Say::DescribeStatement(name.into()),
                });
                self.end(says);
            }
            21 => says.push(Say::Sync),
            22 => {
                let rows = self.dice.of(&[
                    "11\tcopied\t1\n",
                    "1\ttwice\t1\n",
                    "x\n",
                    "12\ta\t1\n13\tb\t2000\n",
                ]);
                let text = format!("COPY t{client} FROM STDIN");
                let extended = self.dice.one_in(2);
                match extended {
                    // Names of its own: whoever runs it again would have to send rows.
                    true => says.extend([
                        Say::CloseStatement("copy".into()),
                        Say::Parse("copy".into(), text),
                        Say::Bind("copy".into(), "copy".into(), vec![], 0),
                        Say::Execute("copy".into(), 0),
                    ]),
                    false => says.push(Say::Query(text)),
                }
                says.push(Say::CopyData(rows.into()));
                says.push(if self.dice.one_in(4) {
                    Say::CopyFail
                } else {
                    Say::CopyDone
                });
                if extended {
                    says.extend([Say::ClosePortal("copy".into()), Say::Sync]);
                }
            }
            _ => says.push(Say::Query(
                "COPY (SELECT * FROM t0 ORDER BY id) TO STDOUT".into(),
            )),
        }
    }

    fn end(&mut self, says: &mut Vec<Say>) {
        match self.dice.below(8) {
            0 => says.push(Say::Flush),
            1 | 2 => {}
            _ => says.push(Say::Sync),
        }
    }

    fn unit(
        &mut self,
        _: usize,
        name: &str,
        sql: Option<String>,
        count: usize,
        says: &mut Vec<Say>,
    ) {
        if let Some(sql) = sql {
            says.push(Say::Parse(name.into(), sql));
        }
        if self.dice.one_in(5) {
            says.push(Say::DescribeStatement(name.into()));
            if self.dice.one_in(2) {
                self.end(says);
            }
        }
        let portal = match self.dice.below(8) {
            0 => "p1",
            1 => "p2",
            _ => "",
        };
        let parameters = self.parameters(count);
        let format = i16::from(self.dice.one_in(3));
        says.push(Say::Bind(portal.into(), name.into(), parameters, format));
        if self.dice.one_in(2) {
            says.push(Say::DescribePortal(portal.into()));
        }
        if !self.dice.one_in(10) {
            let limit = if self.dice.one_in(4) {
                1 + self.dice.below(3) as i32
            } else {
                0
            };
            says.push(Say::Execute(portal.into(), limit));
            if limit > 0 && self.dice.one_in(2) {
                says.push(Say::Execute(portal.into(), self.dice.below(3) as i32));
            }
        }
        self.end(says);
    }
}

/// A client and what it was told.
struct Listener {
    client: Client,
    told: Transcript,
    /// After an error everything up to the next Sync is skipped.
    skipping: bool,
    copying: Option<bool>,
    gone: bool,
}

impl Listener {
    fn new(login: &Login) -> Listener {
        Listener {
            client: login.connect(),
            told: Vec::new(),
            skipping: false,
            copying: None,
            gone: false,
        }
    }

    fn step(&mut self, step: &Step) {
        if self.gone {
            return;
        }
        let bytes = step
            .says
            .iter()
            .fold(Batch::new(), |batch, say| say.put(batch))
            .0;
        for part in bytes.chunks(bytes.len().div_ceil(step.segments)) {
            self.client.send(Batch(part.to_vec()));
            if step.segments > 1 {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        for say in &step.says {
            self.answer(say);
        }
    }

    fn answer(&mut self, say: &Say) {
        if self.gone || (self.skipping && !matches!(say, Say::Sync)) {
            return;
        }
        match (say, self.copying.take()) {
            (Say::CopyData(_), copying) => self.copying = copying,
            (Say::CopyDone | Say::CopyFail, None) => {}
            (Say::CopyDone | Say::CopyFail, Some(true)) => drop(self.until(b"Z")),
            (Say::CopyDone | Say::CopyFail, Some(false)) => self.extended(b"CE"),
            (Say::Query(_), _) => {
                if self.until(b"ZG") == b'G' {
                    self.copying = Some(true);
                }
            }
            (Say::Sync, _) => {
                self.until(b"Z");
                self.skipping = false;
            }
            (Say::Flush, _) => {}
            (Say::Parse(..), _) => self.extended(b"1E"),
            (Say::Bind(..), _) => self.extended(b"2E"),
            (Say::DescribeStatement(_) | Say::DescribePortal(_), _) => self.extended(b"TnE"),
            (Say::CloseStatement(_) | Say::ClosePortal(_), _) => self.extended(b"3E"),
            (Say::Execute(..), _) => self.extended(b"CsIEG"),
        }
    }

    fn extended(&mut self, ends: &[u8]) {
        match self.until(ends) {
            b'E' => self.skipping = true,
            b'G' => self.copying = Some(false),
            _ => {}
        }
    }

    fn until(&mut self, ends: &[u8]) -> u8 {
        // An answer to extended messages is only sent when Sync or Flush follows; here one always does.
        loop {
            let frame = self.client.frame();
            let tag = frame.tag;
            self.told.push(told(frame));
            if tag == b'!' {
                self.gone = true;
            }
            if ends.contains(&tag) || tag == b'!' {
                return tag;
            }
        }
    }
}

/// Without what must differ.
fn told(mut frame: Frame) -> Frame {
    match frame.tag {
        b'E' | b'N' => {
            let fields = frame.body.split_inclusive(|b| *b == 0);
            let kept = fields.filter(|field| !b"FLR".contains(&field[0]));
            frame.body = kept.flatten().copied().collect();
        }
        b'A' => frame.body[..4].fill(0),
        _ => {}
    }
    frame
}

type Outcome = (Vec<Transcript>, Transcript);

/// Runs a script on one side.
fn play(script: &Script, login: &Login, past: &Login, larder: bool) -> Outcome {
    let mut setup = login.connect();
    if script.ddl {
        setup.ok(RESET_DDL);
    }
    setup.ok(RESET);
    for table in ["t0", "t1", "d0", "d1"] {
        setup.ok(&format!("SELECT * FROM {table} ORDER BY id"));
        for id in 1..5 {
            setup.extended(
                &format!("SELECT * FROM {table} WHERE id = $1"),
                &[&id.to_string()],
            );
        }
    }
    let began = Instant::now();
    while larder && began.elapsed() < Duration::from_secs(1) && setup.larder_last() != "hit" {
        setup.ok("SELECT * FROM t0 ORDER BY id");
    }
    drop(setup);
    let mut clients = [Listener::new(login), Listener::new(login)];
    for step in &script.steps {
        clients[step.client].step(step);
    }
    let end = Step {
        client: 0,
        says: vec![Say::Sync, Say::Query("SHOW search_path".into())],
        segments: 1,
    };
    for client in &mut clients {
        client.step(&end);
    }
    let told = clients.into_iter().map(|client| client.told).collect();
    let dump = past.connect().query(DUMP);
    if script.ddl {
        login.connect().ok(RESET_DDL);
    }
    (told, dump)
}

/// A Larder, the database behind it, and its twin.
struct Twins {
    _server: Postgres,
    relay: Relay,
    larder: Larder,
    direct: Login,
    through: Login,
    past: [Login; 2],
    /// Scripts may change tables. In a transaction pool a statement is prepared again by each backend, so that there is
    /// none which would say that its result has changed; and in a block that has failed one cannot be prepared again.
    alters: bool,
}

impl Twins {
    fn new(name: &str, let_in: bool, change: impl FnOnce(Setup) -> Setup) -> Twins {
        let server = Options::new()
            .hba("host all app 127.0.0.1/32 scram-sha-256")
            .start();
        let (one, other) = (format!("{name}_direct"), format!("{name}_larder"));
        let mut admin = Login::new(server.port(), SUPERUSER, "postgres").connect();
        admin.ok("SET password_encryption = 'scram-sha-256'; CREATE ROLE app SUPERUSER LOGIN PASSWORD 'secret'; CREATE ROLE reader");
        create_database_on(server.port(), &one, SCHEMA);
        // With the same object identifiers: descriptions of rows show them.
        admin.ok(&format!("CREATE DATABASE {other} TEMPLATE {one}"));
        let relay = Relay::to(server.port());
        let url = format!("postgres://app:secret@127.0.0.1:{}/{other}", relay.port);
        let larder = change(Setup::new(&url)).start();
        let user = if let_in { "app" } else { SUPERUSER };
        let login = |port, database: &str| Login::new(port, user, database).password("secret");
        let twins = Twins {
            direct: login(server.port(), &one),
            through: login(larder.port, &other),
            past: [&one, &other].map(|d| Login::new(server.port(), SUPERUSER, d)),
            alters: !name.ends_with("transaction"),
            relay,
            larder,
            _server: server,
        };
        twins
            .larder
            .wait_hit(&twins.through, "SELECT count(*) FROM t0");
        twins
    }

    fn differs(&self, script: &Script) -> Option<String> {
        let expected = play(script, &self.direct, &self.past[0], false);
        let got = play(script, &self.through, &self.past[1], true);
        let unprepared = |text: &str| !self.alters && text.contains("C25P02");
        for (n, (expected, got)) in expected.0.iter().zip(&got.0).enumerate() {
            if let Some(text) = difference(expected, got) {
                return (!unprepared(&text)).then(|| format!("client {n}: {text}"));
            }
        }
        difference(&expected.1, &got.1).map(|text| format!("the tables: {text}"))
    }

    fn run(&self, seeds: Range<u64>) {
        let mut weather = Dice(seeds.start);
        for seed in seeds {
            if seed % 16 == 0 {
                let delay = Duration::from_micros(weather.below(3000) as u64);
                self.relay.set(match weather.below(4) {
                    0 => Fault::Delay(delay),
                    1 => Fault::Drip,
                    _ => Fault::None,
                });
            }
            let script = Author::new(seed, self.alters).script();
            if let Some(difference) = self.differs(&script) {
                let (script, difference) = self.shortest(script, difference);
                let steps: Vec<_> = script
                    .steps
                    .iter()
                    .map(|step| format!("  {step:?}"))
                    .collect();
                panic!("seed {seed}: {difference}\n{}", steps.join("\n"));
            }
        }
    }

    fn has_hit(&self) {
        let count = |outcome| self.larder.outcome(outcome);
        let (hits, misses) = (count("hit"), count("miss"));
        if std::env::var("LARDER_TWINS").is_ok() {
            eprintln!("{hits} hits, {misses} misses, {} bypasses", count("bypass"));
            let metrics = self.larder.metrics();
            metrics
                .lines()
                .filter(|line| line.starts_with("larder_bypass"))
                .for_each(|line| eprintln!("{line}"));
        }
        assert!(hits > 20.0);
    }

    /// Leaves out what is not needed for it.
    fn shortest(&self, mut script: Script, mut difference: String) -> (Script, String) {
        let mut at = script.steps.len();
        while at > 0 {
            at -= 1;
            let step = script.steps.remove(at);
            match self.differs(&script) {
                Some(found) => difference = found,
                None => script.steps.insert(at, step),
            }
        }
        (script, difference)
    }
}

fn difference(expected: &[Frame], got: &[Frame]) -> Option<String> {
    let tags = |frames: &[Frame]| frames.iter().map(|f| f.tag as char).collect::<String>();
    // In a block that has failed PostgreSQL counts a Bind's parameters first; Larder cannot prepare what it has kept to itself.
    let counted = |a: &Frame, b: &Frame| {
        let state = |frame: &Frame| field(&frame.body, b'C').unwrap_or_default();
        a.tag == b'E' && b.tag == b'E' && state(a) == "08P01" && state(b) == "25P02"
    };
    let alike = |(a, b): &(&Frame, &Frame)| a == b || counted(a, b);
    let same = expected.iter().zip(got).take_while(alike).count();
    (same < expected.len().max(got.len())).then(|| {
        format!(
            "PostgreSQL says {}, through Larder {}; they differ at frame {same}:\n  {:?}\n  {:?}",
            tags(expected),
            tags(got),
            expected.get(same),
            got.get(same)
        )
    })
}

fn seeds() -> Range<u64> {
    let Ok(given) = std::env::var("LARDER_TWINS") else {
        return 0..40;
    };
    let (first, last) = given
        .split_once("..")
        .expect("LARDER_TWINS=<first>..<last>");
    first.parse().expect("a number")..last.parse().expect("a number")
}

#[test]
fn p7_random_scripts_of_a_relayed_user_are_answered_as_by_its_twin() {
    let twins = Twins::new("twins_relayed", false, |setup| setup);
    twins.run(seeds());
    twins.has_hit();
}

#[test]
fn p7_random_scripts_of_a_user_let_in_are_answered_as_by_its_twin() {
    let twins = Twins::new("twins_session", true, |setup| {
        setup.set("SERVER__WORKERS", "1")
    });
    twins.run(seeds());
    twins.has_hit();
}

#[test]
fn p7_random_scripts_in_a_transaction_pool_are_answered_as_by_its_twin() {
    let twins = Twins::new("twins_transaction", true, |setup| {
        setup
            .set("POOL__MODE", "transaction")
            .set("POOL__POOL_SIZE", "3")
            .set("SERVER__WORKERS", "1")
    });
    twins.run(seeds());
    twins.has_hit();
}
