//! The kinds of writes. `#` stands for a number; `t#` has the columns id, u and name and five rows, `w#` id and name and one.

/// Where a kind of write may stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Place {
    Anywhere,
    /// Not in a transaction block.
    Alone,
    /// In nothing else.
    Block,
}

/// One kind.
pub struct Kind {
    pub name: &'static str,
    /// What it needs besides the two tables.
    pub make: &'static str,
    /// What is filled besides them.
    pub fill: &'static str,
    pub write: &'static [&'static str],
    /// What is sent behind `COPY … FROM STDIN`.
    pub rows: &'static [u8],
    /// Reads besides those of the two tables.
    pub reads: &'static [&'static str],
    /// … and those that are never kept.
    pub cold: &'static [&'static str],
    pub after: &'static str,
    pub place: Place,
    /// It changes the catalog: each time it is made anew.
    pub alters: bool,
    /// Some read is another behind it.
    pub changes: bool,
}

const KIND: Kind = Kind {
    name: "",
    make: "",
    fill: "",
    write: &[],
    rows: b"70\t70\tcopied\n71\t71\ttoo\n",
    reads: &[],
    cold: &[],
    after: "",
    place: Place::Anywhere,
    alters: false,
    changes: true,
};

const fn plain(name: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        write,
        ..KIND
    }
}

const fn with(name: &'static str, make: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        make,
        write,
        ..KIND
    }
}

const fn altering(name: &'static str, make: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        make,
        write,
        alters: true,
        ..KIND
    }
}

const TREE: &str = "
    CREATE TABLE a# (id int PRIMARY KEY, u int UNIQUE);
    CREATE TABLE b# (id int PRIMARY KEY, a int REFERENCES a# ON DELETE CASCADE ON UPDATE CASCADE);
    CREATE TABLE c# (b int REFERENCES b# ON DELETE SET NULL, d int DEFAULT 9 REFERENCES a# (id) ON DELETE SET DEFAULT ON UPDATE SET NULL);
    CREATE TABLE d# (u int REFERENCES a# (u) ON UPDATE CASCADE ON DELETE CASCADE);";
const TREE_ROWS: &str = "
    DELETE FROM a#; INSERT INTO a# VALUES (1, 11), (2, 12), (9, 19);
    DELETE FROM b#; INSERT INTO b# VALUES (1, 1), (2, 2);
    DELETE FROM c#; INSERT INTO c# VALUES (1, 1), (2, 2);
    DELETE FROM d#; INSERT INTO d# VALUES (11), (12)";
const TREE_READS: &[&str] = &[
    "SELECT * FROM a# ORDER BY id",
    "SELECT * FROM b# ORDER BY id",
    "SELECT * FROM c# ORDER BY b",
    "SELECT * FROM d# ORDER BY u",
];

const fn tree(name: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        write,
        make: TREE,
        fill: TREE_ROWS,
        reads: TREE_READS,
        ..KIND
    }
}

const PARTS: &str = "
    CREATE TABLE p# (id int, k int, name text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
    CREATE TABLE pa# PARTITION OF p# FOR VALUES FROM (0) TO (10);
    CREATE TABLE pb# PARTITION OF p# FOR VALUES FROM (10) TO (100) PARTITION BY LIST (id);
    CREATE TABLE pc# PARTITION OF pb# FOR VALUES IN (1, 2, 3);
    CREATE TABLE pd# PARTITION OF pb# DEFAULT;
    CREATE TABLE q# (id int, k int, FOREIGN KEY (id, k) REFERENCES p# ON DELETE CASCADE ON UPDATE CASCADE);";
const PARTS_ROWS: &str = "
    DELETE FROM p#; INSERT INTO p# VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 30, 'c'), (7, 70, 'd');
    DELETE FROM q#; INSERT INTO q# VALUES (1, 1), (3, 30)";
const PARTS_READS: &[&str] = &[
    "SELECT * FROM p# ORDER BY id",
    "SELECT * FROM pa# ORDER BY id",
    "SELECT * FROM pb# ORDER BY id",
    "SELECT * FROM pc# ORDER BY id",
    "SELECT * FROM pd# ORDER BY id",
    "SELECT * FROM q# ORDER BY id",
];

const fn parts(name: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        write,
        make: PARTS,
        fill: PARTS_ROWS,
        reads: PARTS_READS,
        ..KIND
    }
}

const FAMILY: &str = "
    CREATE TABLE k# (id int, name text); CREATE TABLE ka# (more int) INHERITS (k#); CREATE TABLE kb# () INHERITS (ka#);";
const FAMILY_ROWS: &str = "
    DELETE FROM k#; INSERT INTO k# VALUES (1, 'k'); INSERT INTO ka# VALUES (2, 'ka', 0); INSERT INTO kb# VALUES (3, 'kb', 0)";
const FAMILY_READS: &[&str] = &[
    "SELECT * FROM k# ORDER BY id",
    "SELECT * FROM ONLY k# ORDER BY id",
    "SELECT * FROM ka# ORDER BY id",
    "SELECT * FROM kb# ORDER BY id",
];

const fn family(name: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        write,
        make: FAMILY,
        fill: FAMILY_ROWS,
        reads: FAMILY_READS,
        ..KIND
    }
}

const VIEWS: &str = "
    CREATE VIEW v# AS SELECT id, u, name FROM t# WHERE id < 1000;
    CREATE VIEW x# AS SELECT id, name FROM v# WHERE id > 0 WITH CASCADED CHECK OPTION;";
const VIEWS_READS: &[&str] = &["SELECT * FROM v# ORDER BY id", "SELECT count(*) FROM x#"];

const fn view(name: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        write,
        make: VIEWS,
        reads: VIEWS_READS,
        ..KIND
    }
}

/// A row for `t#`, as COPY takes it in binary.
const BINARY: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x50\0\0\0\x04\0\0\0\x50\0\0\0\x06binary\xff\xff";

const fn block(name: &'static str, make: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        make,
        write,
        place: Place::Block,
        ..KIND
    }
}

const fn alone(name: &'static str, make: &'static str, write: &'static [&'static str]) -> Kind {
    Kind {
        name,
        make,
        write,
        place: Place::Alone,
        ..KIND
    }
}

const fn copy(
    name: &'static str,
    make: &'static str,
    write: &'static [&'static str],
    rows: &'static [u8],
) -> Kind {
    Kind {
        name,
        make,
        write,
        rows,
        ..KIND
    }
}

/// Kinds that leave the catalog as it is.
pub const PLAIN: &[Kind] = &[
    with(
        "UPDATE of an unlogged table",
        "ALTER TABLE w# SET UNLOGGED;",
        &["UPDATE w# SET name = 'unlogged'"],
    ),
    plain(
        "a commit that is not awaited",
        &[
            "SET synchronous_commit = off",
            "UPDATE t# SET name = 'off' WHERE id = 1",
            "RESET synchronous_commit",
        ],
    ),
    plain("INSERT", &["INSERT INTO t# VALUES (20, 20, 'new')"]),
    plain(
        "INSERT of several rows",
        &["INSERT INTO public.t# (id, name) VALUES (20, 'a'), (21, 'b'), (22, 'c')"],
    ),
    plain(
        "INSERT … SELECT",
        &["INSERT INTO t# SELECT id + 100, u + 5000, name FROM t#"],
    ),
    plain(
        "INSERT … RETURNING",
        &["INSERT INTO t# VALUES (20, 20, 'new') RETURNING *, lower(name)"],
    ),
    plain(
        "ON CONFLICT of the key DO UPDATE",
        &["INSERT INTO t# VALUES (1, 1, 'up') ON CONFLICT (id) DO UPDATE SET name = excluded.name"],
    ),
    plain(
        "ON CONFLICT of another key DO UPDATE",
        &["INSERT INTO t# VALUES (99, 1010, 'up') ON CONFLICT (u) DO UPDATE SET name = 'by u'"],
    ),
    plain(
        "ON CONFLICT ON CONSTRAINT that moves the key",
        &[
            "INSERT INTO t# VALUES (99, 1010, 'up') ON CONFLICT ON CONSTRAINT u# DO UPDATE SET id = 98",
        ],
    ),
    plain(
        "ON CONFLICT DO NOTHING that inserts",
        &["INSERT INTO t# VALUES (1, 1, 'no'), (20, 20, 'yes') ON CONFLICT DO NOTHING"],
    ),
    Kind {
        changes: false,
        ..plain(
            "ON CONFLICT DO NOTHING that does nothing",
            &["INSERT INTO t# VALUES (1, 1, 'no') ON CONFLICT DO NOTHING"],
        )
    },
    plain("UPDATE", &["UPDATE t# SET name = 'changed' WHERE id = 1"]),
    plain(
        "UPDATE … FROM",
        &["UPDATE t# SET name = w#.name FROM w# WHERE w#.id = t#.id"],
    ),
    plain(
        "UPDATE of a key",
        &["UPDATE ONLY t# AS x SET id = 50 WHERE x.u = 1010"],
    ),
    plain(
        "UPDATE of several columns",
        &["UPDATE t# SET (u, name) = (SELECT 77, 'seven') WHERE id = 1"],
    ),
    plain("DELETE", &["DELETE FROM t# WHERE id = 1"]),
    plain(
        "DELETE … USING",
        &["DELETE FROM t# USING w# WHERE w#.id = t#.id RETURNING t#.*"],
    ),
    plain(
        "MERGE that updates",
        &["MERGE INTO t# USING w# ON t#.id = w#.id WHEN MATCHED THEN UPDATE SET name = w#.name"],
    ),
    plain(
        "MERGE that deletes",
        &[
            "MERGE INTO t# USING w# ON t#.id = w#.id WHEN MATCHED AND u > 0 THEN DELETE WHEN NOT MATCHED THEN DO NOTHING",
        ],
    ),
    plain(
        "MERGE that inserts",
        &[
            "MERGE INTO t# USING (VALUES (60)) s (i) ON t#.id = s.i WHEN MATCHED THEN DO NOTHING WHEN NOT MATCHED THEN INSERT VALUES (i, i, 'merged')",
        ],
    ),
    plain(
        "MERGE with WITH",
        &[
            "WITH s AS (SELECT id FROM w#) MERGE INTO t# USING s ON t#.id = s.id WHEN MATCHED THEN UPDATE SET name = 'with'",
        ],
    ),
    plain("TRUNCATE", &["TRUNCATE t#"]),
    plain(
        "TRUNCATE of several",
        &["TRUNCATE TABLE ONLY t#, w# RESTART IDENTITY"],
    ),
    plain(
        "DML in WITH of a SELECT",
        &["WITH d AS (DELETE FROM t# WHERE id = 1 RETURNING id) SELECT count(*) FROM d"],
    ),
    plain(
        "DML in WITH that nobody reads",
        &["WITH d AS (UPDATE t# SET name = 'unread' WHERE id = 1) SELECT 1"],
    ),
    plain(
        "DML in WITH of an INSERT",
        &[
            "WITH d AS (DELETE FROM t# WHERE id = 1 RETURNING *) INSERT INTO w# SELECT id, name FROM d",
        ],
    ),
    plain(
        "DML in WITH behind another",
        &[
            "WITH d AS (DELETE FROM t# WHERE id = 1 RETURNING *), i AS (INSERT INTO w# SELECT id, name FROM d RETURNING *) SELECT * FROM i",
        ],
    ),
    plain(
        "DML in WITH of an UPDATE under a name of the table",
        &[
            "WITH t# AS (INSERT INTO w# VALUES (5, 'in') RETURNING id) UPDATE t# SET name = 'out' WHERE id IN (SELECT 1 FROM t#)",
        ],
    ),
    plain(
        "INSERT … SELECT from WITH",
        &["WITH s AS (SELECT 30 AS i) INSERT INTO t# SELECT i, i, 'cte' FROM s"],
    ),
    block(
        "WHERE CURRENT OF",
        "",
        &[
            "DECLARE c CURSOR FOR SELECT * FROM t# WHERE id = 1 FOR UPDATE",
            "FETCH c",
            "UPDATE t# SET name = 'current' WHERE CURRENT OF c",
        ],
    ),
    block(
        "DELETE WHERE CURRENT OF",
        "",
        &[
            "DECLARE c CURSOR FOR SELECT * FROM t# WHERE id = 1",
            "FETCH NEXT FROM c",
            "DELETE FROM t# WHERE CURRENT OF c",
        ],
    ),
    view(
        "UPDATE of a view",
        &["UPDATE v# SET name = 'by view' WHERE id = 1"],
    ),
    view(
        "INSERT into a view",
        &["INSERT INTO v# VALUES (40, 40, 'by view')"],
    ),
    view(
        "UPDATE of a view of a view WITH CHECK OPTION",
        &["UPDATE x# SET name = 'by two' WHERE id = 1"],
    ),
    view(
        "DELETE from a view of a view",
        &["DELETE FROM x# WHERE id = 1"],
    ),
    view(
        "MERGE-like upsert into a view",
        &[
            "INSERT INTO v# VALUES (1, 1, 'x') ON CONFLICT (id) DO UPDATE SET name = 'upserted by view'",
        ],
    ),
    with(
        "a view with an INSTEAD OF trigger",
        "CREATE VIEW v# AS SELECT count(*) AS n FROM t#; CREATE TRIGGER i INSTEAD OF UPDATE ON v# FOR EACH ROW EXECUTE FUNCTION g#();",
        &["UPDATE v# SET n = 3"],
    ),
    with(
        "a view whose default writes",
        "CREATE VIEW v# AS SELECT id, u, name FROM t#; ALTER VIEW v# ALTER u SET DEFAULT f#(8);",
        &["INSERT INTO v# (id, name) VALUES (41, 'default')"],
    ),
    with(
        "a rule DO ALSO",
        "CREATE RULE r AS ON UPDATE TO t# DO ALSO INSERT INTO w# VALUES (NEW.id, 'also');",
        &["UPDATE t# SET name = 'ruled' WHERE id = 1"],
    ),
    with(
        "a rule DO INSTEAD",
        "CREATE RULE r AS ON INSERT TO t# DO INSTEAD UPDATE w# SET name = 'instead';",
        &["INSERT INTO t# VALUES (44, 44, 'x')"],
    ),
    with(
        "a rule with a condition",
        "CREATE RULE r AS ON DELETE TO t# WHERE OLD.id = 1 DO INSTEAD (INSERT INTO w# VALUES (1, 'one'); INSERT INTO w# VALUES (2, 'two'));",
        &["DELETE FROM t#"],
    ),
    with(
        "a rule on a view",
        "CREATE VIEW v# AS SELECT 1 AS one; CREATE RULE r AS ON INSERT TO v# DO INSTEAD DELETE FROM t# WHERE id = NEW.one;",
        &["INSERT INTO v# VALUES (1)"],
    ),
    plain("SELECT of a function", &["SELECT f#(5)"]),
    plain("SELECT of a function in FROM", &["SELECT * FROM f#(5)"]),
    plain(
        "SELECT of a function in WHERE",
        &["SELECT count(*) FROM t# WHERE f#(id) > 0"],
    ),
    plain(
        "SELECT of a function in ORDER BY",
        &["SELECT id FROM t# ORDER BY f#(id)"],
    ),
    plain(
        "SELECT of a function in LIMIT",
        &["SELECT id FROM t# LIMIT f#(2)"],
    ),
    plain(
        "SELECT of a function in JOIN",
        &["SELECT count(*) FROM t# a JOIN t# b ON a.id = f#(b.id)"],
    ),
    plain(
        "SELECT of a function in FILTER",
        &["SELECT count(*) FILTER (WHERE f#(id) = 1) FROM t#"],
    ),
    plain(
        "SELECT of a function LATERAL",
        &["SELECT count(*) FROM t#, LATERAL (SELECT f#(t#.id)) x"],
    ),
    plain("VALUES of a function", &["VALUES (f#(6)), (7)"]),
    plain("a function that says it writes nothing", &["SELECT h#(6)"]),
    plain(
        "RETURNING of a function",
        &["UPDATE t# SET name = 'x' WHERE id = 1 RETURNING f#(id)"],
    ),
    plain(
        "UPDATE of no row with a function",
        &["UPDATE t# SET name = 'x' WHERE id = 1 AND f#(id) = 99"],
    ),
    plain(
        "DELETE of no row with a function in WITH",
        &[
            "WITH x AS MATERIALIZED (SELECT f#(1) AS i) DELETE FROM t# USING x WHERE t#.id = x.i + 90",
        ],
    ),
    with(
        "a function that returns rows",
        "CREATE FUNCTION s#() RETURNS SETOF t# LANGUAGE sql AS 'UPDATE t# SET name = ''by set'' RETURNING *';",
        &["SELECT * FROM s#() LIMIT 1"],
    ),
    with(
        "a function with a default that writes",
        "CREATE FUNCTION s#(i int DEFAULT f#(3)) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN i; END';",
        &["SELECT s#()"],
    ),
    with(
        "a method of a row",
        "CREATE FUNCTION m#(r t#) RETURNS int LANGUAGE sql AS 'SELECT f#(1)';",
        &["SELECT t#.m# FROM t#"],
    ),
    with(
        "an aggregate",
        "CREATE FUNCTION n#(s int, i int) RETURNS int LANGUAGE sql AS 'SELECT f#(i)'; CREATE AGGREGATE y# (int) (SFUNC = n#, STYPE = int, INITCOND = '0');",
        &["SELECT y#(id) FROM t#"],
    ),
    with(
        "an aggregate's final function",
        "CREATE AGGREGATE y# (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0', FINALFUNC = f#);",
        &["SELECT y#(id) OVER () FROM t#"],
    ),
    with(
        "an operator",
        "CREATE TYPE e# AS ENUM ('a'); CREATE FUNCTION n#(a e#, b int) RETURNS int LANGUAGE sql AS 'SELECT f#(b)'; CREATE OPERATOR public.@@@ (LEFTARG = e#, RIGHTARG = int, FUNCTION = n#);",
        &["SELECT 'a'::e# @@@ 1"],
    ),
    with(
        "a view that writes when it is read",
        "CREATE VIEW v# AS SELECT f#(id) FROM t#;",
        &["SELECT count(*) FROM (SELECT * FROM v# OFFSET 0) x"],
    ),
    with(
        "TABLE of a view that writes",
        "CREATE VIEW v# AS SELECT id FROM t# WHERE f#(id) > 0;",
        &["TABLE v#"],
    ),
    with(
        "COPY of a view that writes",
        "CREATE VIEW v# AS SELECT f#(id) FROM t#;",
        &["COPY (SELECT * FROM v#) TO STDOUT"],
    ),
    with(
        "a policy that writes when it is read",
        "CREATE TABLE x# (id int); INSERT INTO x# VALUES (1); ALTER TABLE x# ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON x# USING (f#(id) > 0); GRANT ALL ON x#, w# TO guest;",
        &["SET ROLE guest", "SELECT * FROM x#", "RESET ROLE"],
    ),
    with(
        "a policy that writes when it is copied",
        "CREATE TABLE x# (id int); INSERT INTO x# VALUES (1); ALTER TABLE x# ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON x# USING (f#(id) > 0); GRANT ALL ON x#, w# TO guest;",
        &["SET ROLE guest", "COPY x# TO STDOUT", "RESET ROLE"],
    ),
    with(
        "a policy that writes when it is checked",
        "CREATE TABLE x# (id int); ALTER TABLE x# ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON x# WITH CHECK (f#(id) > 0); GRANT ALL ON x#, w# TO guest;",
        &["SET ROLE guest", "INSERT INTO x# VALUES (1)", "RESET ROLE"],
    ),
    with(
        "a cast",
        "CREATE TYPE e# AS ENUM ('a', 'b'); CREATE FUNCTION n#(e e#) RETURNS int LANGUAGE sql AS 'SELECT f#(3)'; CREATE CAST (e# AS int) WITH FUNCTION n#(e#);",
        &["SELECT 'a'::e#::int"],
    ),
    with(
        "a cast to json that nobody wrote",
        "CREATE TYPE e# AS ENUM ('a', 'b'); CREATE FUNCTION n#(e e#) RETURNS json LANGUAGE sql AS 'SELECT ''1''::json FROM f#(3)'; CREATE CAST (e# AS json) WITH FUNCTION n#(e#);",
        &["SELECT to_json('a'::e#)"],
    ),
    with(
        "an implicit cast",
        "CREATE TYPE e# AS ENUM ('a', 'b'); CREATE TABLE x# (e e#); INSERT INTO x# VALUES ('a'); CREATE FUNCTION n#(e e#) RETURNS int LANGUAGE sql AS 'SELECT f#(3)'; CREATE CAST (e# AS int) WITH FUNCTION n#(e#) AS IMPLICIT;",
        &["SELECT * FROM x# WHERE e = 3"],
    ),
    with(
        "a domain's check",
        "CREATE DOMAIN d# AS int CHECK (h#(VALUE) > 0);",
        &["SELECT (1 + 1)::d#"],
    ),
    with(
        "a domain's check in a column",
        "CREATE DOMAIN d# AS int CHECK (h#(VALUE) > 0); CREATE TABLE x# (d d#);",
        &["INSERT INTO x# VALUES (4)"],
    ),
    with(
        "a domain's check in an array of rows",
        "CREATE DOMAIN d# AS int CHECK (h#(VALUE) > 0); CREATE TYPE c# AS (d d#); CREATE TABLE x# (c c#[]);",
        &["INSERT INTO x# VALUES (ARRAY[ROW(4)::c#])"],
    ),
    with(
        "a domain's check by way of JSON",
        "CREATE DOMAIN d# AS int CHECK (h#(VALUE) > 0); CREATE TYPE c# AS (d d#);",
        &["SELECT json_populate_record(NULL::c#, '{\"d\": 5}')"],
    ),
    with(
        "a domain's check in a list of columns",
        "CREATE DOMAIN d# AS int CHECK (h#(VALUE) > 0);",
        &["SELECT * FROM json_to_record('{\"d\": 5}') AS x (d d#)"],
    ),
    with(
        "CALL",
        "CREATE PROCEDURE s#(i int) LANGUAGE sql AS 'INSERT INTO t# VALUES (i, i, ''called'')';",
        &["CALL s#(70)"],
    ),
    alone(
        "CALL with COMMIT",
        "CREATE PROCEDURE s#(i int) LANGUAGE plpgsql AS 'BEGIN INSERT INTO t# VALUES (i, i, ''one''); COMMIT; UPDATE w# SET name = ''two''; COMMIT; UPDATE t# SET name = ''no''; ROLLBACK; END';",
        &["CALL s#(70)"],
    ),
    plain(
        "DO",
        &["DO 'BEGIN INSERT INTO t# VALUES (70, 70, ''done''); END'"],
    ),
    plain(
        "DO with dynamic SQL",
        &["DO $$ BEGIN EXECUTE 'INSERT INTO t' || # || ' VALUES (70, 70)'; END $$"],
    ),
    alone(
        "DO with COMMIT",
        "",
        &[
            "DO $$ BEGIN INSERT INTO t# VALUES (70, 70); COMMIT; UPDATE t# SET name = 'late' WHERE id = 70; END $$",
        ],
    ),
    with(
        "a trigger BEFORE each row",
        "CREATE TRIGGER g BEFORE INSERT OR UPDATE OR DELETE ON t# FOR EACH ROW EXECUTE FUNCTION g#();",
        &["DELETE FROM t# WHERE id = 1"],
    ),
    with(
        "a trigger AFTER each row",
        "CREATE TRIGGER g AFTER INSERT OR UPDATE OR DELETE ON t# FOR EACH ROW EXECUTE FUNCTION g#();",
        &["UPDATE t# SET name = 'same' WHERE id = 1"],
    ),
    with(
        "a trigger of a statement, without rows",
        "CREATE TRIGGER g AFTER UPDATE ON t# EXECUTE FUNCTION g#();",
        &["UPDATE t# SET name = 'none' WHERE id = 1000"],
    ),
    with(
        "a trigger of TRUNCATE",
        "CREATE TABLE x# (); CREATE TRIGGER g BEFORE TRUNCATE ON x# EXECUTE FUNCTION g#();",
        &["TRUNCATE x#"],
    ),
    with(
        "a trigger with rows before and behind",
        "CREATE FUNCTION n#() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO w# SELECT id, name FROM n; RETURN NULL; END'; CREATE TRIGGER g AFTER INSERT ON t# REFERENCING NEW TABLE AS n EXECUTE FUNCTION n#();",
        &["INSERT INTO t# VALUES (33, 33, 'n')"],
    ),
    with(
        "a trigger's condition",
        "CREATE TRIGGER g BEFORE UPDATE ON t# FOR EACH ROW WHEN (f#(NEW.id) > 0) EXECUTE FUNCTION suppress_redundant_updates_trigger();",
        &["UPDATE t# SET name = name WHERE id = 1"],
    ),
    with(
        "a trigger's condition on DELETE",
        "CREATE TABLE x# (id int); CREATE TRIGGER g AFTER DELETE ON x# FOR EACH ROW WHEN (f#(OLD.id) < 0) EXECUTE FUNCTION suppress_redundant_updates_trigger();",
        &["INSERT INTO x# VALUES (1)", "DELETE FROM x#"],
    ),
    with(
        "a deferred trigger",
        "CREATE CONSTRAINT TRIGGER g AFTER UPDATE ON t# DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION g#();",
        &["UPDATE t# SET name = 'late' WHERE id = 1"],
    ),
    block(
        "a deferred trigger made IMMEDIATE",
        "CREATE CONSTRAINT TRIGGER g AFTER UPDATE ON t# DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION g#();",
        &[
            "UPDATE t# SET name = 'late' WHERE id = 1",
            "SET CONSTRAINTS ALL IMMEDIATE",
        ],
    ),
    tree(
        "ON DELETE CASCADE, SET NULL, SET DEFAULT",
        &["DELETE FROM a# WHERE id = 1"],
    ),
    tree(
        "ON UPDATE CASCADE, SET NULL",
        &["UPDATE a# SET id = 5 WHERE id = 1"],
    ),
    tree(
        "ON UPDATE CASCADE of another key",
        &["UPDATE a# SET u = 55 WHERE id = 1"],
    ),
    tree("ON DELETE of the middle", &["DELETE FROM b# WHERE id = 2"]),
    tree(
        "a cascade by an upsert",
        &["INSERT INTO a# VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET id = 6"],
    ),
    tree(
        "a cascade by MERGE",
        &["MERGE INTO a# USING (VALUES (1)) s (i) ON a#.id = s.i WHEN MATCHED THEN DELETE"],
    ),
    tree(
        "a cascade by a CTE",
        &["WITH d AS (DELETE FROM a# WHERE id = 1 RETURNING 1) SELECT * FROM d"],
    ),
    tree("TRUNCATE … CASCADE", &["TRUNCATE a# CASCADE"]),
    with(
        "a key of the same table",
        "CREATE TABLE x# (id int PRIMARY KEY, up int REFERENCES x# ON DELETE CASCADE); CREATE VIEW v# AS SELECT * FROM x#;",
        &[
            "INSERT INTO x# VALUES (1, NULL), (2, 1), (3, 2)",
            "INSERT INTO w# SELECT id, 'tree' FROM v#",
            "DELETE FROM v# WHERE id = 1",
        ],
    ),
    with(
        "SET DEFAULT with a default that writes",
        "CREATE TABLE x# (id int PRIMARY KEY); CREATE TABLE y# (x int DEFAULT f#(1) - 1 REFERENCES x# ON DELETE SET DEFAULT);",
        &[
            "INSERT INTO x# VALUES (0), (7) ON CONFLICT DO NOTHING",
            "DELETE FROM y#",
            "INSERT INTO y# VALUES (7)",
            "DELETE FROM x# WHERE id = 7",
        ],
    ),
    family("UPDATE of a parent", &["UPDATE k# SET name = 'all'"]),
    family(
        "UPDATE of ONLY a parent",
        &["UPDATE ONLY k# SET name = 'only'"],
    ),
    family(
        "INSERT into a child",
        &["INSERT INTO kb# VALUES (4, 'new', 1)"],
    ),
    family("DELETE from the middle", &["DELETE FROM ka# *"]),
    family("TRUNCATE of a parent", &["TRUNCATE k#"]),
    parts(
        "INSERT into a partitioned table",
        &["INSERT INTO p# VALUES (5, 5, 'new'), (6, 66, 'default')"],
    ),
    parts(
        "INSERT into a partition",
        &["INSERT INTO pc# VALUES (2, 22, 'leaf')"],
    ),
    parts(
        "UPDATE that moves a row",
        &["UPDATE p# SET k = 50 WHERE id = 1"],
    ),
    parts(
        "UPDATE that moves a row below",
        &["UPDATE pb# SET id = 8 WHERE id = 3"],
    ),
    parts(
        "UPDATE of a partition",
        &["UPDATE pa# SET name = 'leaf' WHERE id = 1"],
    ),
    parts(
        "DELETE from a partition, with a cascade",
        &["DELETE FROM pc#"],
    ),
    parts("TRUNCATE of a partition", &["TRUNCATE pd# CASCADE"]),
    parts("TRUNCATE of a partitioned table", &["TRUNCATE p# CASCADE"]),
    parts(
        "an upsert into a partitioned table",
        &["INSERT INTO p# VALUES (1, 1, 'x') ON CONFLICT (id, k) DO UPDATE SET name = 'upserted'"],
    ),
    parts(
        "MERGE into a partitioned table",
        &[
            "MERGE INTO p# USING (VALUES (1)) s (i) ON p#.id = s.i WHEN MATCHED THEN UPDATE SET k = 77",
        ],
    ),
    parts("COPY into a partitioned table", &["COPY p# FROM STDIN"]).rows(b"9\t9\tcopied\n"),
    with(
        "a trigger on a partition",
        "CREATE TABLE p# (id int) PARTITION BY LIST (id); CREATE TABLE pa# PARTITION OF p# DEFAULT; CREATE TRIGGER g AFTER INSERT ON pa# FOR EACH ROW EXECUTE FUNCTION g#();",
        &["INSERT INTO p# VALUES (1)"],
    ),
    with(
        "a partition by what a function says",
        "CREATE TABLE p# (id int) PARTITION BY LIST (h#(id)); CREATE TABLE pa# PARTITION OF p# DEFAULT;",
        &["INSERT INTO p# VALUES (1)"],
    ),
    copy("COPY", "", &["COPY t# FROM STDIN"], KIND.rows),
    copy(
        "COPY of columns as CSV",
        "",
        &["COPY t# (id, name) FROM STDIN WITH (FORMAT csv, HEADER)"],
        b"id,name\n70,\"a,b\"\n",
    ),
    copy(
        "COPY in binary",
        "",
        &["COPY t# FROM STDIN (FORMAT binary)"],
        BINARY,
    ),
    copy(
        "COPY with WHERE",
        "",
        &["COPY t# FROM STDIN WHERE h#(id) > 70"],
        KIND.rows,
    ),
    copy(
        "COPY into a view",
        "CREATE VIEW v# AS SELECT 1 AS i; CREATE TRIGGER g INSTEAD OF INSERT ON v# FOR EACH ROW EXECUTE FUNCTION g#();",
        &["COPY v# FROM STDIN"],
        b"1\n",
    ),
    copy(
        "COPY of two tables",
        "",
        &["COPY t# (id) FROM STDIN", "COPY w# (name) FROM STDIN"],
        b"75\n76\n",
    ),
    Kind {
        changes: false,
        ..copy("COPY of nothing", "", &["COPY t# FROM STDIN"], b"")
    },
    Kind {
        place: Place::Block,
        ..copy(
            "COPY with FREEZE",
            "",
            &["TRUNCATE t#", "COPY t# FROM STDIN (FREEZE)"],
            KIND.rows,
        )
    },
    plain(
        "COPY FROM PROGRAM",
        &["COPY w# (name) FROM PROGRAM 'echo program'"],
    ),
    plain(
        "COPY (DELETE) TO",
        &["COPY (DELETE FROM t# WHERE id = 1 RETURNING *) TO STDOUT"],
    ),
    plain(
        "COPY (SELECT of a function) TO",
        &["COPY (SELECT f#(id) FROM t#) TO STDOUT"],
    ),
    Kind {
        reads: &["SELECT * FROM v#"],
        ..with(
            "REFRESH MATERIALIZED VIEW",
            "CREATE MATERIALIZED VIEW v# AS SELECT count(*) AS n, max(id) AS m FROM t#;",
            &[
                "INSERT INTO t# VALUES (90, 90, 'm')",
                "REFRESH MATERIALIZED VIEW v#",
            ],
        )
    },
    Kind {
        reads: &["SELECT * FROM v#"],
        after: "REFRESH MATERIALIZED VIEW v#",
        ..with(
            "REFRESH … CONCURRENTLY",
            "CREATE MATERIALIZED VIEW v# AS SELECT id FROM t#; CREATE UNIQUE INDEX ON v# (id);",
            &[
                "DELETE FROM t#",
                "REFRESH MATERIALIZED VIEW v#",
                "INSERT INTO t# VALUES (91)",
                "REFRESH MATERIALIZED VIEW CONCURRENTLY v#",
            ],
        )
    },
    with(
        "REFRESH of a view that writes",
        "CREATE MATERIALIZED VIEW v# AS SELECT f#(id) AS f FROM t#;",
        &["REFRESH MATERIALIZED VIEW v#"],
    ),
    with(
        "REFRESH of a view with an index that writes",
        "CREATE MATERIALIZED VIEW v# AS SELECT id FROM t#; CREATE INDEX ON v# (h#(id));",
        &["REFRESH MATERIALIZED VIEW v#"],
    ),
    with(
        "ANALYZE of an index that writes",
        "CREATE INDEX ON t# (h#(id));",
        &["ANALYZE t#"],
    ),
    with(
        "REINDEX of an index that writes",
        "CREATE INDEX ON t# (h#(id));",
        &["REINDEX TABLE t#"],
    ),
    alone(
        "VACUUM ANALYZE of an index that writes",
        "CREATE INDEX ON t# (h#(id));",
        &["VACUUM (ANALYZE) t#"],
    ),
    alone(
        "PREPARE TRANSACTION",
        "",
        &[
            "BEGIN",
            "UPDATE t# SET name = 'prepared' WHERE id = 1",
            "PREPARE TRANSACTION 'kind#'",
            "COMMIT PREPARED 'kind#'",
        ],
    ),
    Kind {
        changes: false,
        ..alone(
            "ROLLBACK PREPARED",
            "",
            &[
                "BEGIN",
                "UPDATE t# SET name = 'prepared' WHERE id = 1",
                "PREPARE TRANSACTION 'kind#'",
                "ROLLBACK PREPARED 'kind#'",
            ],
        )
    },
    alone(
        "a deferred trigger in a prepared transaction",
        "CREATE CONSTRAINT TRIGGER g AFTER UPDATE ON t# DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION g#();",
        &[
            "BEGIN",
            "UPDATE t# SET u = 5 WHERE id = 1",
            "PREPARE TRANSACTION 'kind#'",
            "COMMIT PREPARED 'kind#'",
        ],
    ),
    plain(
        "EXPLAIN ANALYZE",
        &["EXPLAIN ANALYZE UPDATE t# SET name = 'explained' WHERE id = 1"],
    ),
    plain(
        "EXPLAIN with options",
        &["EXPLAIN (COSTS off, ANALYZE, TIMING off) DELETE FROM t# WHERE id = 1"],
    ),
    plain("EXPLAIN of what planning runs", &["EXPLAIN SELECT h#(3)"]),
    plain(
        "EXPLAIN EXECUTE of what planning runs",
        &[
            "PREPARE q AS SELECT h#(3)",
            "EXPLAIN EXECUTE q",
            "DEALLOCATE q",
        ],
    ),
    plain(
        "EXPLAIN DECLARE of what planning runs",
        &["EXPLAIN DECLARE c CURSOR FOR SELECT h#(3)"],
    ),
    plain(
        "EXPLAIN CREATE TABLE AS of what planning runs",
        &["EXPLAIN CREATE TABLE z# AS SELECT h#(3)"],
    ),
    plain(
        "EXPLAIN ANALYZE EXECUTE",
        &[
            "PREPARE q AS DELETE FROM t#",
            "EXPLAIN ANALYZE EXECUTE q",
            "DEALLOCATE q",
        ],
    ),
    plain(
        "PREPARE and EXECUTE",
        &[
            "PREPARE q (int) AS UPDATE t# SET name = 'executed' WHERE id = $1",
            "EXECUTE q (1)",
            "DEALLOCATE q",
        ],
    ),
    plain(
        "PREPARE and EXECUTE of a function",
        &["PREPARE q AS SELECT f#(4)", "EXECUTE q", "DEALLOCATE q"],
    ),
    with(
        "a default that writes",
        "ALTER TABLE t# ADD more int DEFAULT f#(9);",
        &["INSERT INTO t# (id) VALUES (80)"],
    ),
    with(
        "a CHECK that writes",
        "ALTER TABLE t# ADD CHECK (h#(id) > 0);",
        &["UPDATE t# SET name = 'checked' WHERE id = 1"],
    ),
    with(
        "a generated column that writes",
        "ALTER TABLE t# ADD g int GENERATED ALWAYS AS (h#(u)) STORED;",
        &["UPDATE t# SET name = 'made' WHERE id = 1"],
    ),
    with(
        "an index that writes",
        "CREATE INDEX ON t# (h#(u));",
        &["UPDATE t# SET u = 500 WHERE id = 1"],
    ),
    with(
        "an index's condition that writes",
        "CREATE INDEX ON t# (u) WHERE h#(u) > 7;",
        &["INSERT INTO t# VALUES (81, 81)"],
    ),
    Kind {
        reads: &["SELECT * FROM i#"],
        cold: &["SELECT last_value, is_called FROM i#_n_seq"],
        fill: "DELETE FROM i#",
        ..with(
            "an identity and its sequence",
            "CREATE TABLE i# (n int GENERATED ALWAYS AS IDENTITY, v int);",
            &[
                "INSERT INTO i# (v) VALUES (1)",
                "SELECT setval('i#_n_seq', 70)",
                "INSERT INTO i# (v) VALUES (2)",
            ],
        )
    },
    Kind {
        reads: &["SELECT * FROM i#"],
        fill: "DELETE FROM i#",
        ..with(
            "TRUNCATE … RESTART IDENTITY",
            "CREATE TABLE i# (n int GENERATED ALWAYS AS IDENTITY, v int);",
            &[
                "INSERT INTO i# (v) VALUES (1)",
                "TRUNCATE i# RESTART IDENTITY",
                "INSERT INTO i# (v) VALUES (9)",
            ],
        )
    },
    block(
        "a cursor over a function",
        "",
        &[
            "DECLARE c CURSOR FOR SELECT f#(id) FROM t#",
            "FETCH ALL FROM c",
        ],
    ),
    block(
        "MOVE in a cursor over a function",
        "",
        &[
            "DECLARE c SCROLL CURSOR FOR SELECT f#(id) FROM t#",
            "MOVE FORWARD 2 IN c",
        ],
    ),
    Kind {
        after: "CLOSE ALL",
        ..block(
            "a cursor WITH HOLD that COMMIT runs",
            "",
            &["DECLARE c CURSOR WITH HOLD FOR SELECT f#(id) FROM t#"],
        )
    },
    block(
        "a cursor that a function opened",
        "CREATE FUNCTION s#() RETURNS refcursor LANGUAGE plpgsql AS 'DECLARE c refcursor := ''mine''; BEGIN OPEN c FOR SELECT f#(id) FROM t#; RETURN c; END';",
        &["SELECT s#()", "FETCH ALL FROM mine"],
    ),
    Kind {
        changes: false,
        ..plain("LOCK TABLE", &["DO 'BEGIN LOCK TABLE t#; END'"])
    },
    Kind {
        changes: false,
        ..plain(
            "SELECT FOR UPDATE",
            &["SELECT * FROM t# WHERE id = 1 FOR UPDATE"],
        )
    },
    Kind {
        cold: &["SELECT count(*) FROM pg_largeobject_metadata"],
        ..plain(
            "a large object",
            &["INSERT INTO w# SELECT lo_from_bytea(0, 'abc')::int % 1, 'lo'"],
        )
    },
    plain(
        "NOTIFY beside a write",
        &["INSERT INTO w# SELECT 3, pg_notify('c', 'x')::text"],
    ),
];

impl Kind {
    const fn rows(self, rows: &'static [u8]) -> Kind {
        Kind { rows, ..self }
    }
}

/// Kinds that change it.
pub const ALTERING: &[Kind] = &[
    altering(
        "ALTER TABLE … TYPE",
        "",
        &["ALTER TABLE t# ALTER u TYPE bigint, ALTER name TYPE varchar(20)"],
    ),
    altering(
        "ALTER TABLE … TYPE USING what writes",
        "",
        &["ALTER TABLE t# ALTER u TYPE int USING f#(u)"],
    ),
    altering(
        "ADD COLUMN with a default",
        "",
        &["ALTER TABLE t# ADD more int DEFAULT 7"],
    ),
    altering(
        "ADD COLUMN with a default that writes",
        "",
        &["ALTER TABLE t# ADD more int DEFAULT f#(3)"],
    ),
    altering(
        "ADD CHECK that writes",
        "",
        &["ALTER TABLE t# ADD CHECK (h#(id) > 0)"],
    ),
    altering(
        "RENAME COLUMN",
        "",
        &["ALTER TABLE t# RENAME name TO label"],
    ),
    altering("DROP COLUMN", "", &["ALTER TABLE t# DROP u"]),
    altering("RENAME", "", &["ALTER TABLE t# RENAME TO other#"]),
    altering(
        "SET SCHEMA",
        "CREATE SCHEMA s#;",
        &["ALTER TABLE t# SET SCHEMA s#"],
    ),
    altering("DROP TABLE", "", &["DROP TABLE t#"]),
    altering(
        "DROP and CREATE under the same name",
        "",
        &[
            "DROP TABLE t#",
            "CREATE TABLE t# (id int, name text)",
            "INSERT INTO t# VALUES (1, 'again')",
        ],
    ),
    altering(
        "two tables change names",
        "CREATE TABLE x# AS SELECT 1 AS id, 7 AS u, 'x' AS name;",
        &[
            "ALTER TABLE t# RENAME TO y#",
            "ALTER TABLE x# RENAME TO t#",
            "ALTER TABLE y# RENAME TO x#",
        ],
    ),
    Kind {
        reads: &["SELECT * FROM v# ORDER BY 1"],
        ..altering(
            "CREATE OR REPLACE VIEW",
            "CREATE VIEW v# AS SELECT id, name FROM t#;",
            &["CREATE OR REPLACE VIEW v# AS SELECT id, name FROM t# WHERE id > 3"],
        )
    },
    Kind {
        reads: &["SELECT * FROM v# ORDER BY 1"],
        ..altering(
            "ALTER VIEW",
            "CREATE VIEW v# AS SELECT id, name FROM t#;",
            &["ALTER VIEW v# RENAME name TO label"],
        )
    },
    altering(
        "CREATE RULE, and a write",
        "",
        &[
            "CREATE OR REPLACE RULE r AS ON UPDATE TO t# DO ALSO DELETE FROM w#",
            "UPDATE t# SET name = 'r' WHERE id = 1",
        ],
    ),
    altering(
        "CREATE TRIGGER, and a write",
        "",
        &[
            "CREATE TRIGGER g AFTER DELETE ON t# FOR EACH ROW EXECUTE FUNCTION g#()",
            "DELETE FROM t# WHERE id = 1",
        ],
    ),
    altering(
        "CREATE OR REPLACE FUNCTION, and a call",
        "CREATE FUNCTION n#() RETURNS int LANGUAGE sql AS 'SELECT 1';",
        &[
            "CREATE OR REPLACE FUNCTION n#() RETURNS int LANGUAGE sql AS 'UPDATE t# SET name = ''by n'' RETURNING 1'",
            "SELECT n#()",
        ],
    ),
    altering(
        "ADD FOREIGN KEY, and a cascade",
        "",
        &[
            "ALTER TABLE w# ADD FOREIGN KEY (id) REFERENCES t# ON DELETE CASCADE",
            "DELETE FROM t# WHERE id = 1",
        ],
    ),
    Kind {
        fill: PARTS_ROWS,
        reads: PARTS_READS,
        ..altering(
            "DETACH PARTITION",
            PARTS,
            &[
                "ALTER TABLE q# DROP CONSTRAINT q#_id_k_fkey",
                "ALTER TABLE p# DETACH PARTITION pa#",
            ],
        )
    },
    Kind {
        fill: PARTS_ROWS,
        reads: PARTS_READS,
        ..altering(
            "ATTACH PARTITION",
            PARTS_AND_ONE,
            &["ALTER TABLE p# ATTACH PARTITION pe# FOR VALUES FROM (200) TO (300)"],
        )
    },
    Kind {
        fill: PARTS_ROWS,
        reads: PARTS_READS,
        ..altering(
            "DROP of a partition",
            PARTS,
            &["DROP TABLE q#", "DROP TABLE pb#"],
        )
    },
    Kind {
        place: Place::Alone,
        alters: true,
        ..with(
            "DETACH PARTITION CONCURRENTLY",
            "CREATE TABLE p# (id int) PARTITION BY LIST (id); CREATE TABLE pa# PARTITION OF p# FOR VALUES IN (1); INSERT INTO p# VALUES (1); CREATE TABLE y# AS SELECT 1 AS i;",
            &[
                "ALTER TABLE p# DETACH PARTITION pa# CONCURRENTLY",
                "INSERT INTO w# SELECT count(*), 'p' FROM p#",
            ],
        )
    },
    Kind {
        fill: FAMILY_ROWS,
        reads: FAMILY_READS,
        ..altering("NO INHERIT", FAMILY, &["ALTER TABLE ka# NO INHERIT k#"])
    },
    Kind {
        fill: FAMILY_ROWS,
        reads: FAMILY_READS,
        ..altering(
            "INHERIT",
            "CREATE TABLE k# (id int, name text); CREATE TABLE ka# (id int, name text, more int); CREATE TABLE kb# () INHERITS (ka#);",
            &["ALTER TABLE ka# INHERIT k#"],
        )
    },
    Kind {
        reads: &["SELECT * FROM z#"],
        ..altering(
            "CREATE TABLE AS",
            "",
            &["CREATE TABLE z# AS SELECT * FROM t# WHERE id = 1"],
        )
    },
    Kind {
        reads: &["SELECT * FROM z#"],
        ..altering(
            "CREATE TABLE AS of a function",
            "",
            &["CREATE TABLE z# AS SELECT f#(id) FROM t# WHERE id = 1"],
        )
    },
    Kind {
        reads: &["SELECT * FROM z#"],
        ..altering(
            "SELECT INTO",
            "",
            &["SELECT f#(id) AS n INTO z# FROM t# WHERE id = 1"],
        )
    },
    Kind {
        reads: &["SELECT * FROM z#"],
        ..altering(
            "CREATE TABLE AS EXECUTE",
            "",
            &[
                "PREPARE q AS SELECT f#(id) AS n FROM t# WHERE id = 1",
                "CREATE TABLE z# AS EXECUTE q",
                "DEALLOCATE q",
            ],
        )
    },
    Kind {
        after: "DISCARD TEMP",
        ..altering(
            "CREATE TEMP TABLE AS of a function",
            "",
            &["CREATE TEMP TABLE z# AS SELECT f#(id) FROM t#"],
        )
    },
    Kind {
        after: "DISCARD TEMP",
        ..altering(
            "CREATE TEMP TABLE AS of what planning runs",
            "",
            &["CREATE TEMP TABLE z# AS SELECT h#(1)"],
        )
    },
    Kind {
        reads: &["SELECT * FROM z#"],
        ..altering(
            "CREATE MATERIALIZED VIEW",
            "",
            &["CREATE MATERIALIZED VIEW z# AS SELECT count(*) FROM t#"],
        )
    },
    altering(
        "CREATE INDEX of a function",
        "",
        &["CREATE INDEX ON t# (h#(id))"],
    ),
    Kind {
        place: Place::Alone,
        ..altering(
            "CREATE INDEX CONCURRENTLY of a function",
            "",
            &["CREATE INDEX CONCURRENTLY ON t# (h#(id))"],
        )
    },
    Kind {
        reads: &["SELECT e FROM x#"],
        ..altering(
            "ALTER TYPE … RENAME VALUE",
            "CREATE TYPE e# AS ENUM ('a', 'b'); CREATE TABLE x# AS SELECT 'a'::e# AS e;",
            &["ALTER TYPE e# RENAME VALUE 'a' TO 'z'"],
        )
    },
    altering(
        "ADD CONSTRAINT to a domain that writes",
        "CREATE DOMAIN d# AS int; CREATE TABLE x# AS SELECT 1::d# AS d;",
        &["ALTER DOMAIN d# ADD CHECK (h#(VALUE) > 0)"],
    ),
    Kind {
        reads: &["SELECT * FROM s#.x#"],
        ..altering(
            "DROP SCHEMA … CASCADE",
            "CREATE SCHEMA s#; CREATE TABLE s#.x# AS SELECT 1 AS i;",
            &["DROP SCHEMA s# CASCADE"],
        )
    },
    altering(
        "DROP TYPE … CASCADE",
        "CREATE TYPE e# AS ENUM ('a', 'b'); ALTER TABLE t# ADD e e#;",
        &["DROP TYPE e# CASCADE"],
    ),
    Kind {
        place: Place::Alone,
        changes: false,
        ..altering("VACUUM FULL", "", &["VACUUM FULL t#"])
    },
    Kind {
        changes: false,
        ..altering("CLUSTER", "", &["CLUSTER t# USING t#_pkey"])
    },
    Kind {
        changes: false,
        ..altering(
            "ALTER TABLE … SET LOGGED",
            "CREATE UNLOGGED TABLE x# ();",
            &["ALTER TABLE x# SET LOGGED"],
        )
    },
    Kind {
        place: Place::Alone,
        ..altering(
            "CLUSTER of an index that writes",
            "CREATE INDEX c# ON t# (id) WHERE h#(id) > 0; ",
            &["VACUUM FULL t#"],
        )
    },
    altering(
        "COMMENT beside a write",
        "",
        &["COMMENT ON TABLE t# IS 'x'", "DELETE FROM t#"],
    ),
    Kind {
        fill: "INSERT INTO i# (v) VALUES (1)",
        reads: &["SELECT * FROM i# ORDER BY v, n"],
        ..altering(
            "ALTER SEQUENCE",
            "CREATE TABLE i# (n int GENERATED ALWAYS AS IDENTITY, v int);",
            &[
                "ALTER SEQUENCE i#_n_seq RESTART WITH 900",
                "INSERT INTO i# (v) VALUES (2)",
            ],
        )
    },
];

const PARTS_AND_ONE: &str = "
    CREATE TABLE p# (id int, k int, name text, PRIMARY KEY (id, k)) PARTITION BY RANGE (k);
    CREATE TABLE pa# PARTITION OF p# FOR VALUES FROM (0) TO (10);
    CREATE TABLE pb# PARTITION OF p# FOR VALUES FROM (10) TO (100) PARTITION BY LIST (id);
    CREATE TABLE pc# PARTITION OF pb# FOR VALUES IN (1, 2, 3);
    CREATE TABLE pd# PARTITION OF pb# DEFAULT;
    CREATE TABLE q# (id int, k int);
    CREATE TABLE pe# AS SELECT 1 AS id, 222 AS k, 'e' AS name; ALTER TABLE pe# ALTER id SET NOT NULL, ALTER k SET NOT NULL;";
