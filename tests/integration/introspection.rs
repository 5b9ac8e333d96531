//! What drivers ask the system catalogs at connect is answered from memory, until the catalog is another.

use crate::ground::{Ground, assert_same, until_hit};
use crate::wireclient::{Batch, normalised};
use std::time::{Duration, Instant};

const SCHEMA: &str = "
    CREATE TYPE mood AS ENUM ('sad', 'happy');
    CREATE TABLE owners (id int PRIMARY KEY, name text NOT NULL DEFAULT 'nobody', feels mood);
    CREATE TABLE items (id serial PRIMARY KEY, owner int REFERENCES owners, price numeric(10,2) CHECK (price > 0),
        CONSTRAINT priced UNIQUE (owner, price));
    COMMENT ON COLUMN items.price IS 'in euro';
    CREATE VIEW cheap AS SELECT id FROM items WHERE price < 10;";

/// What drivers and tools ask, in our own words where it is not their text.
const TEXTS: &[(&str, &str)] = &[
    (
        "hstore's numbers",
        "SELECT t.oid, typarray FROM pg_type t JOIN pg_namespace ns ON typnamespace = ns.oid WHERE typname = 'hstore'",
    ),
    (
        "array types",
        "select b.oid, b.typarray from pg_catalog.pg_type a left join pg_catalog.pg_type b on b.oid = a.typelem \
        where a.typcategory = 'A' group by b.oid, b.typarray order by b.oid",
    ),
    (
        "type map",
        "SELECT t.oid, t.typname, t.typelem, t.typdelim, t.typinput, r.rngsubtype, t.typtype, t.typbasetype FROM pg_type as t \
        LEFT JOIN pg_range as r ON oid = rngtypid WHERE t.typname IN ('int2', 'text') OR t.typtype IN ('r', 'e', 'd') \
        OR t.typinput = 'array_in(cstring,oid,integer)'::regprocedure OR t.typelem != 0",
    ),
    (
        "columns of a model",
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(d.adbin, d.adrelid), a.attnotnull, \
        a.atttypid, a.atttypmod, c.collname, col_description(a.attrelid, a.attnum) AS comment FROM pg_attribute a \
        LEFT JOIN pg_attrdef d ON a.attrelid = d.adrelid AND a.attnum = d.adnum LEFT JOIN pg_type t ON a.atttypid = t.oid \
        LEFT JOIN pg_collation c ON a.attcollation = c.oid AND a.attcollation <> t.typcollation \
        WHERE a.attrelid = '\"items\"'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
    ),
    (
        "primary key",
        "SELECT a.attname FROM (SELECT indrelid, indkey, generate_subscripts(indkey, 1) idx FROM pg_index \
        WHERE indrelid = '\"items\"'::regclass AND indisprimary) i JOIN pg_attribute a ON a.attrelid = i.indrelid \
        AND a.attnum = i.indkey[i.idx] ORDER BY i.idx",
    ),
    (
        "tables of the path",
        "SELECT c.relname FROM pg_class c LEFT JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE n.nspname = ANY (current_schemas(false)) AND c.relkind IN ('r','v','m','p','f') ORDER BY 1",
    ),
    (
        "has table",
        "SELECT pg_catalog.pg_class.relname FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace \
        ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace WHERE pg_catalog.pg_class.relname IN ('sessions') \
        AND pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm']) AND pg_catalog.pg_table_is_visible(pg_catalog.pg_class.oid) \
        AND pg_catalog.pg_namespace.nspname != 'pg_catalog'",
    ),
    (
        "ranges",
        "WITH ranges AS (SELECT pg_range.rngtypid, pg_type.typname AS rngtypname, pg_type.typarray AS rngtyparray, \
        pg_range.rngsubtype FROM pg_range LEFT OUTER JOIN pg_type ON pg_type.oid = pg_range.rngtypid) SELECT pg_type.typname, \
        pg_type.typtype, pg_type.oid, pg_type.typarray, ranges.rngtypname, ranges.rngtypid, ranges.rngtyparray FROM pg_type \
        LEFT OUTER JOIN ranges ON pg_type.oid = ranges.rngsubtype WHERE (pg_type.typtype IN('b', 'e'))",
    ),
    (
        "a tree of types",
        "WITH RECURSIVE tree (oid, ns, name, kind, elem, depth) AS (SELECT t.oid, n.nspname, t.typname, t.typtype, t.typelem, 0 \
        FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = any('{1007,3904}'::oid[]) \
        UNION ALL SELECT t.oid, n.nspname, t.typname, t.typtype, t.typelem, tree.depth + 1 FROM pg_catalog.pg_type t \
        JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace, tree WHERE t.oid = tree.elem) \
        SELECT DISTINCT *, oid::regtype::text AS shown FROM tree ORDER BY depth DESC, oid",
    ),
    (
        "types to load",
        "SELECT ns.nspname, t.oid, t.typname, t.typtype, t.typnotnull, t.elemtypoid FROM (SELECT typ.oid, typnamespace, typname, \
        typtype, typrelid, typnotnull, typelem AS elemtypoid, CASE WHEN proc.proname = 'array_recv' THEN 'a' ELSE typ.typtype END AS kind \
        FROM pg_type AS typ LEFT JOIN pg_class AS cls ON (cls.oid = typ.typrelid) LEFT JOIN pg_proc AS proc ON proc.oid = typ.typreceive) AS t \
        JOIN pg_namespace AS ns ON (ns.oid = t.typnamespace) WHERE t.kind IN ('b', 'r', 'm', 'e', 'd') ORDER BY t.oid",
    ),
    (
        "labels",
        "SELECT pg_type.oid, enumlabel FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid ORDER BY oid, enumsortorder",
    ),
    (
        "a type by its name",
        "SELECT typname AS name, oid, typarray AS array_oid, oid::regtype::text AS regtype, typdelim AS delimiter \
        FROM pg_type t WHERE t.oid = to_regtype('mood') ORDER BY t.oid",
    ),
    (
        "tables of a framework",
        "SELECT c.relname, CASE WHEN c.relispartition THEN 'p' WHEN c.relkind IN ('m', 'v') THEN 'v' ELSE 't' END, \
        obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind IN ('f', 'm', 'p', 'r', 'v') AND n.nspname NOT IN ('pg_catalog', 'pg_toast') \
        AND pg_catalog.pg_table_is_visible(c.oid) ORDER BY 1",
    ),
    (
        "constraints",
        "SELECT c.conname, c.contype, c.conkey, pg_get_constraintdef(c.oid) FROM pg_constraint AS c \
        JOIN pg_class AS cl ON c.conrelid = cl.oid WHERE cl.relname = 'items' AND pg_catalog.pg_table_is_visible(cl.oid) ORDER BY 1",
    ),
    (
        "indexes",
        "SELECT c2.relname, i.indisprimary, i.indisunique, i.indisvalid, pg_catalog.pg_get_indexdef(i.indexrelid, 0, true) \
        FROM pg_catalog.pg_class c, pg_catalog.pg_class c2, pg_catalog.pg_index i WHERE c.relname = 'items' AND c.oid = i.indrelid \
        AND i.indexrelid = c2.oid ORDER BY 2 DESC, 1",
    ),
    (
        "columns within columns",
        "SELECT * FROM (SELECT n.nspname, c.relname, a.attname, a.atttypid, \
        row_number() OVER (PARTITION BY a.attrelid ORDER BY a.attnum) AS attnum, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS adsrc, \
        dsc.description FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_class c ON (c.relnamespace = n.oid) \
        JOIN pg_catalog.pg_attribute a ON (a.attrelid = c.oid) LEFT JOIN pg_catalog.pg_attrdef def ON (a.attrelid = def.adrelid AND a.attnum = def.adnum) \
        LEFT JOIN pg_catalog.pg_description dsc ON (c.oid = dsc.objoid AND a.attnum = dsc.objsubid) WHERE a.attnum > 0 AND c.relname LIKE 'items') c \
        WHERE true ORDER BY attnum",
    ),
    (
        "keys in order",
        "SELECT a.attname, (information_schema._pg_expandarray(i.indkey)).n AS seq FROM pg_catalog.pg_class ct \
        JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN pg_catalog.pg_index i ON (a.attrelid = i.indrelid) \
        WHERE ct.relname = 'items' AND i.indisprimary AND a.attnum > 0 ORDER BY 1, 2",
    ),
    (
        "a sequence's owner",
        "SELECT s.relname, a.attname FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass \
        AND d.refclassid = 'pg_class'::regclass JOIN pg_class t ON d.refobjid = t.oid JOIN pg_attribute a ON t.oid = d.refobjid \
        AND a.attrelid = d.refobjid AND a.attnum = d.refobjsubid WHERE s.relkind = 'S' AND d.deptype = 'a' ORDER BY 1",
    ),
    (
        "tables by the standard",
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
    ),
    (
        "columns by the standard",
        "SELECT * FROM information_schema.columns WHERE table_name = 'items' ORDER BY ordinal_position",
    ),
    (
        "keys by the standard",
        "SELECT tc.constraint_name, kcu.column_name FROM information_schema.table_constraints tc \
        JOIN information_schema.key_column_usage kcu USING (constraint_schema, constraint_name) WHERE tc.table_name = 'items' ORDER BY 1, 2",
    ),
    (
        "nothing",
        "SELECT oid FROM pg_catalog.pg_type WHERE typname = 'there is none'",
    ),
    (
        "a list of views",
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
    ),
];

/// What shows more than the catalog's word and the digest tell of.
const REFUSED: &[(&str, &str)] = &[
    (
        "SELECT * FROM pg_class WHERE relname = 'items'",
        "system_catalog",
    ),
    ("TABLE pg_class", "system_catalog"),
    ("SELECT c FROM pg_class c", "system_catalog"),
    ("SELECT c.* FROM pg_class c", "system_catalog"),
    ("SELECT c.row_to_json FROM pg_class c", "system_catalog"),
    (
        "SELECT j FROM (pg_class a JOIN pg_type b ON b.oid = a.reltype) AS j",
        "system_catalog",
    ),
    (
        "SELECT k FROM pg_class AS c (a, b, d, e, f, g, h, i, j, k)",
        "system_catalog",
    ),
    (
        "SELECT relname FROM pg_class NATURAL JOIN (SELECT 1::real AS x) s",
        "system_catalog",
    ),
    (
        "SELECT relname FROM pg_class WHERE reltuples > 0",
        "system_catalog",
    ),
    (
        "SELECT s.n FROM (SELECT relpages AS n FROM pg_class) s",
        "system_catalog",
    ),
    ("SELECT typname, xmin FROM pg_type", "system_catalog"),
    ("SELECT * FROM pg_stat_activity", "system_catalog"),
    ("SELECT name FROM pg_settings", "system_catalog"),
    ("SELECT rolname FROM pg_roles", "system_catalog"),
    (
        "SELECT relname FROM pg_class, LATERAL (SELECT pg_relation_size(oid)) s",
        "volatile_function",
    ),
    ("SELECT version() FROM pg_class", "stable_function"),
    ("SELECT pg_catalog.version()", "no_relation"),
    ("SELECT current_schema()", "no_relation"),
];

#[test]
fn p7_introspection_hits_with_the_upstreams_bytes() {
    let ground = Ground::new("introspection", SCHEMA);
    ground.warm("items");
    let (mut direct, mut first) = (ground.direct(), ground.through());
    for (what, sql) in TEXTS {
        let expected = normalised(direct.query(sql));
        assert_same(what, &expected, &normalised(first.query(sql)));
        assert_eq!(first.larder_last(), "miss", "{what}");
        // A connection of its own, as a pool opens one.
        let mut second = ground.through();
        assert_same(what, &expected, &normalised(second.query(sql)));
        assert_eq!(second.larder_last(), "hit", "{what}");
        let batch = || Batch::new().unnamed(sql, &[]).sync();
        let expected = normalised(direct.run(batch()));
        for outcome in ["miss", "hit"] {
            assert_same(what, &expected, &normalised(second.run(batch())));
            assert_eq!(second.larder_last(), outcome, "{what}");
        }
    }
    for (sql, why) in REFUSED {
        for _ in 0..2 {
            first.query(sql);
            assert_eq!(first.larder_last(), format!("bypass: {why}"), "{sql}");
        }
    }
}

/// What looks names up sees the catalogs from the start of its transaction on, not from that of its statement: only a
/// read that is alone in its transaction is kept, and constants only as they are looked up then.
#[test]
fn p4_introspection_is_kept_from_a_moment_of_its_own() {
    let ground = Ground::new("introspection_moment", SCHEMA);
    ground.warm("items");
    let (mut a, mut b) = (ground.through(), ground.through());
    let read = "SELECT format_type(oid, NULL) FROM pg_type WHERE typname = 'mood'";
    a.ok("BEGIN");
    for _ in 0..2 {
        a.ok(read);
        assert_eq!(a.larder_last(), "bypass: catalog_moment");
    }
    b.ok(read);
    until_hit(&mut b, read);
    a.ok(read);
    assert_eq!(a.larder_last(), "hit", "inside a block it is served");
    a.ok("COMMIT");
    let constant = "SELECT relname FROM pg_class WHERE oid = 'items'::regclass";
    a.run(Batch::new().parse("s", constant, &[]).sync());
    for _ in 0..2 {
        a.run(Batch::new().bind_text("s", &[]).execute("", 0).sync());
        assert_eq!(a.larder_last(), "bypass: catalog_moment");
    }
    let parameter = "SELECT relname FROM pg_class WHERE relname = $1";
    a.run(Batch::new().parse("t", parameter, &[]).sync());
    for outcome in ["miss", "hit"] {
        a.run(
            Batch::new()
                .bind_text("t", &["items"])
                .execute("", 0)
                .sync(),
        );
        assert_eq!(a.larder_last(), outcome);
    }
}

#[test]
fn p1_introspection_shows_what_was_made_through_larder() {
    let ground = Ground::alone("introspection_own", SCHEMA);
    ground.warm("items");
    let (mut writer, mut reader, mut direct) =
        (ground.through(), ground.through(), ground.direct());
    let reads = [
        "SELECT relname, relkind, relpersistence, relispopulated FROM pg_class WHERE relnamespace <> 11 AND relkind <> 't' ORDER BY 1, 2, 3",
        "SELECT typname FROM pg_type WHERE typtype = 'e' ORDER BY 1",
        "SELECT attname FROM pg_attribute WHERE attrelid = 'items'::regclass AND attnum > 0 ORDER BY attnum",
        "SELECT description FROM pg_description d WHERE d.objoid = 'items'::regclass ORDER BY 1",
        "SELECT count(*) FROM information_schema.tables",
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'items'",
        "SELECT has_table_privilege('introspected', oid, 'SELECT') FROM pg_class WHERE relname = 'items'",
    ];
    direct.ok("CREATE ROLE introspected");
    for change in [
        "CREATE TABLE more (id int)",
        "ALTER TABLE items ADD COLUMN more text",
        "CREATE TYPE colour AS ENUM ('red')",
        "BEGIN; CREATE TABLE within (id int); COMMIT",
        "COMMENT ON TABLE items IS 'things'",
        "CREATE TEMP TABLE mine (id int)",
        "DROP TABLE mine",
        "CREATE TEMP TABLE mine AS SELECT 1 AS one",
        "DISCARD TEMP",
        "SELECT 1 AS one INTO TEMP mine",
        "DISCARD ALL",
        "CREATE MATERIALIZED VIEW kept AS SELECT id FROM items WITH NO DATA",
        "REFRESH MATERIALIZED VIEW kept",
        "DO 'BEGIN CREATE TEMP TABLE hidden (id int); END'",
        "ALTER INDEX priced RENAME TO dear",
        "GRANT SELECT ON items TO introspected",
        "REVOKE SELECT ON items FROM introspected",
        "DROP TABLE within, more",
    ] {
        for read in reads {
            until_hit(&mut reader, read);
        }
        writer.ok(change);
        for read in reads {
            let got = normalised(reader.query(read));
            assert_same(
                &format!("{read} after {change}"),
                &normalised(direct.query(read)),
                &got,
            );
        }
    }
}

/// A pool's DISCARD ALL with nothing to discard leaves all that is kept.
#[test]
fn discard_all_without_temporary_tables_keeps_introspection() {
    let ground = Ground::new("introspection_discard", SCHEMA);
    ground.warm("items");
    let (mut a, mut b) = (ground.through(), ground.through());
    let read = "SELECT typname FROM pg_type WHERE typname = 'mood'";
    until_hit(&mut a, read);
    b.ok(read);
    b.ok("DISCARD ALL");
    a.ok(read);
    assert_eq!(a.larder_last(), "hit");
}

#[test]
fn p3_introspection_shows_what_was_made_elsewhere_within_the_refresh() {
    let ground = Ground::with("introspection_else", SCHEMA, |setup| {
        setup.set("CATALOG__REFRESH", "200ms")
    });
    ground.warm("items");
    let (mut reader, mut direct) = (ground.through(), ground.direct());
    let reads = [
        "SELECT relname FROM pg_class WHERE relnamespace <> 11 AND relkind <> 't' ORDER BY 1",
        "SELECT count(*) FROM pg_description",
    ];
    for change in [
        "CREATE TABLE more (id int)",
        "CREATE TEMP TABLE mine (id int)",
        "COMMENT ON TABLE items IS 'things'",
        "ALTER INDEX priced RENAME TO dear",
        "DISCARD TEMP",
    ] {
        for read in reads {
            until_hit(&mut reader, read);
        }
        direct.ok(change);
        let deadline = Instant::now() + Duration::from_secs(20);
        for read in reads {
            while normalised(reader.query(read)) != normalised(direct.query(read)) {
                assert!(Instant::now() < deadline, "{read} after {change}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
