//! The loader's SQL, for PostgreSQL 13 to 18.
//!
//! * With `search_path = pg_catalog, pg_temp` an unqualified name or operator is PostgreSQL's own; a temporary table
//!   called `pg_class` comes second, and we make none.
//! * Nothing here needs more than PUBLIC has: of `pg_authid` only what `pg_roles` shows is read.

/// Only a statement that is a transaction of its own begins with it.
pub(super) const LEFT_OPEN: &str = "SELECT pg_catalog.transaction_timestamp() \
    OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp()";

pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL statement_timeout = '60s'; SET LOCAL jit = off; \
    SET LOCAL max_parallel_workers_per_gather = 0";

pub(super) const SERVER_VERSION: &str = "SELECT current_setting('server_version_num')::int4";

pub(super) const NAMESPACES: &str =
    "SELECT oid, nspname::text FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp_)'";

pub(super) const RELATIONS: &str = "
    SELECT c.oid, c.relnamespace, c.relname::text, c.relkind, c.relpersistence, c.relrowsecurity
    FROM pg_class c
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relnamespace <> 'pg_toast'::regnamespace
      AND (c.relpersistence <> 't' OR EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class parent ON parent.oid = i.inhparent
        WHERE i.inhrelid = c.oid AND parent.relpersistence <> 't'))";

pub(super) const COLUMNS: &str = "
    SELECT a.attrelid, a.attname::text, a.atttypid
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND c.relpersistence <> 't'
      AND a.attnum > 0 AND NOT a.attisdropped";

/// Multiranges came with PostgreSQL 14. A true array is what array_out (751) writes; `name` and `point` have
/// elements and are none.
pub(super) fn types(server_version: i32) -> String {
    let ranges = match server_version {
        140_000.. => {
            "SELECT rngtypid, rngmultitypid, rngsubtype, rngcanonical, rngsubopc FROM pg_range"
        }
        _ => {
            "SELECT rngtypid, 0::oid AS rngmultitypid, rngsubtype, rngcanonical, rngsubopc FROM pg_range"
        }
    };
    format!(
        "WITH ranges AS ({ranges})
        SELECT t.oid, t.typnamespace, t.typname::text, t.typtype,
            CASE t.typtype WHEN 'd' THEN t.typbasetype WHEN 'r' THEN r.rngsubtype WHEN 'm' THEN m.rngtypid
                WHEN 'b' THEN CASE WHEN t.typoutput = 751 THEN t.typelem ELSE 0::oid END ELSE 0::oid END,
            t.typcategory = 'S', t.typrelid, coalesce(r.rngcanonical::oid, 0::oid),
            coalesce(r.rngsubopc >= 16384, false) OR EXISTS (
                SELECT FROM pg_opclass o WHERE o.opcintype = t.oid AND o.oid >= 16384 AND o.opcdefault
                AND o.opcmethod IN (403, 405) AND NOT EXISTS (SELECT FROM pg_depend d
                    WHERE d.classid = 'pg_opclass'::regclass AND d.objid = o.oid AND d.deptype = 'e')),
            e.extname::text
        FROM pg_type t LEFT JOIN ranges r ON r.rngtypid = t.oid
            LEFT JOIN ranges m ON m.rngmultitypid = t.oid AND t.typtype = 'm'
            LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
                AND d.refclassid = 'pg_extension'::regclass
            LEFT JOIN pg_extension e ON e.oid = d.refobjid
        WHERE t.typnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(temp_|toast)')"
    )
}

/// Languages: internal 12, c 13, sql 14. Constructors of ranges and multiranges depend on their type internally.
pub(super) fn functions(server_version: i32) -> String {
    let range_of = match server_version {
        140_000.. => "r.rngtypid = d.refobjid OR r.rngmultitypid = d.refobjid",
        _ => "r.rngtypid = d.refobjid",
    };
    format!(
        "SELECT p.oid, p.pronamespace, p.proname::text, p.proargtypes::oid[], p.pronargdefaults, p.provariadic, p.prorettype,
            CASE WHEN a.aggkind IN ('o', 'h') THEN 'o'::\"char\" ELSE p.prokind END, p.provolatile,
            p.prolang IN (12, 13, 14),
            p.oid >= 16384 AND p.prolang = 12 AND EXISTS (
                SELECT FROM pg_depend d JOIN pg_range r ON {range_of}
                WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i'
                AND d.refclassid = 'pg_type'::regclass
                AND r.rngcanonical::oid = 0 AND r.rngsubopc < 16384 AND r.rngsubtype < 16384),
            e.extname::text
        FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
            LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                AND d.refclassid = 'pg_extension'::regclass
            LEFT JOIN pg_extension e ON e.oid = d.refobjid
        WHERE p.pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(temp_|toast)')"
    )
}

pub(super) const OPERATORS: &str = "
    SELECT oid, oprnamespace, oprname::text, oprcode::oid FROM pg_operator
    WHERE oprnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(temp_|toast)')";

pub(super) const CASTS: &str = "SELECT castsource, casttarget, castfunc, castmethod, castcontext FROM pg_cast WHERE oid >= 16384";

pub(super) const RULES: &str = "
    SELECT r.ev_class, r.ev_type = '1' AND c.relkind IN ('v', 'm'), r.ev_action::text
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class
    WHERE c.oid >= 16384 AND c.relpersistence <> 't'";

/// Built-in trigger functions are foreign keys', or change the row at hand. Event triggers belong to no relation.
pub(super) const TRIGGERS: &str = "
    SELECT t.tgrelid, t.tgfoid FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgenabled <> 'D' AND t.tgfoid >= 16384 AND c.relpersistence <> 't'
    UNION ALL
    SELECT 0::oid, evtfoid FROM pg_event_trigger WHERE evtenabled <> 'D'";

pub(super) const FOREIGN_KEYS: &str = "
    SELECT k.conrelid, k.confrelid, k.confdeltype, k.confupdtype
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.contype = 'f' AND c.relpersistence <> 't'";

pub(super) const INHERITANCE: &str = "
    SELECT i.inhrelid, i.inhparent FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent
    WHERE c.relpersistence <> 't' AND c.relkind IN ('r', 'p', 'f')";

/// Virtual generated columns (PostgreSQL 18) are computed by those who read. PostgreSQL 13 has no statistics of expressions.
pub(super) const EXPRESSIONS: &str = "
    SELECT d.adrelid, CASE WHEN a.attgenerated = 'v' THEN 'read' ELSE 'write' END, d.adbin::text
    FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
        JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    WHERE c.oid >= 16384 AND c.relpersistence <> 't'
    UNION ALL
    SELECT CASE WHEN k.contypid <> 0 THEN k.contypid ELSE k.conrelid END,
        CASE WHEN k.contypid <> 0 THEN 'domain' ELSE 'write' END, k.conbin::text
    FROM pg_constraint k LEFT JOIN pg_class c ON c.oid = k.conrelid
    WHERE k.conbin IS NOT NULL AND c.relpersistence IS DISTINCT FROM 't'
    UNION ALL
    SELECT i.indrelid, 'index', e.tree
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid,
        LATERAL (VALUES (i.indexprs::text), (i.indpred::text)) e (tree)
    WHERE e.tree IS NOT NULL AND c.oid >= 16384 AND c.relpersistence <> 't'
    UNION ALL
    SELECT p.partrelid, 'write', p.partexprs::text
    FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid
    WHERE p.partexprs IS NOT NULL AND c.relpersistence <> 't'
    UNION ALL
    SELECT s.stxrelid, 'index', to_jsonb(s) ->> 'stxexprs'
    FROM pg_statistic_ext s JOIN pg_class c ON c.oid = s.stxrelid
    WHERE to_jsonb(s) ->> 'stxexprs' IS NOT NULL AND c.relpersistence <> 't'
    UNION ALL
    SELECT t.tgrelid, 'trigger', t.tgqual::text
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE t.tgqual IS NOT NULL AND t.tgenabled <> 'D' AND c.relpersistence <> 't'
    UNION ALL
    SELECT p.polrelid, 'policy', e.tree
    FROM pg_policy p, LATERAL (VALUES (p.polqual::text), (p.polwithcheck::text)) e (tree)
    WHERE e.tree IS NOT NULL";

/// What `sql::catalog::Locking` says: may anybody ask `session::locks`' question, whose functions can reach out of their
/// transaction, which triggers fire at COMMIT, which relations are locked with another. A language that is not trusted
/// can; so can C.
pub(super) const LOCKING: &str = "
    SELECT has_schema_privilege('public', 'pg_catalog', 'USAGE') AND (
            SELECT bool_and(has_function_privilege('public', f, 'EXECUTE')) FROM unnest(ARRAY[
                'pg_lock_status()', 'pg_backend_pid()', 'pg_cursor()', 'pg_stat_get_xact_tuples_inserted(oid)',
                'pg_stat_get_xact_tuples_updated(oid)', 'pg_stat_get_xact_tuples_deleted(oid)', 'unnest(anyarray)',
                'current_setting(text)', 'texteq(text, text)', 'textne(text, text)', 'int4eq(int4, int4)',
                'int8pl(int8, int8)', 'int8gt(int8, int8)']::regprocedure[]) f),
        ARRAY(SELECT DISTINCT coalesce(e.extname::text, '')
            FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
                    AND d.refclassid = 'pg_extension'::regclass
                LEFT JOIN pg_extension e ON e.oid = d.refobjid
            WHERE p.oid >= 16384 AND p.prolang NOT IN (12, 14) AND NOT l.lanpltrusted),
        ARRAY(SELECT DISTINCT t.tgrelid FROM pg_trigger t
            WHERE t.tgdeferrable AND t.tgenabled <> 'D' AND t.tgfoid >= 16384),
        ARRAY(SELECT c.oid FROM pg_class c
            WHERE c.relkind IN ('i', 'I', 't') AND c.relpersistence <> 't' AND c.oid >= 16384)";

/// The catalogs that count by the transactions that wrote their rows, and which rows the catalog rests on. A read of
/// such a catalog shows all of them.
const BY_WRITER: &[(&str, &str)] = &[
    ("pg_namespace", "t.oid IN (SELECT oid FROM schemas)"),
    (
        "pg_attribute",
        "t.attrelid >= 16384 AND t.attrelid IN (SELECT oid FROM relations)",
    ),
    ("pg_attrdef", "t.adrelid IN (SELECT oid FROM relations)"),
    ("pg_index", "t.indrelid IN (SELECT oid FROM relations)"),
    (
        "pg_constraint",
        "t.connamespace IN (SELECT oid FROM schemas)",
    ),
    ("pg_trigger", "t.tgrelid IN (SELECT oid FROM relations)"),
    ("pg_event_trigger", "true"),
    ("pg_rewrite", "t.ev_class IN (SELECT oid FROM relations)"),
    ("pg_inherits", "t.inhparent IN (SELECT oid FROM relations)"),
    ("pg_policy", "t.polrelid IN (SELECT oid FROM relations)"),
    (
        "pg_partitioned_table",
        "t.partrelid IN (SELECT oid FROM relations)",
    ),
    ("pg_type", "t.typnamespace IN (SELECT oid FROM schemas)"),
    ("pg_proc", "t.pronamespace IN (SELECT oid FROM schemas)"),
    ("pg_operator", "true"),
    ("pg_opclass", "true"),
    ("pg_cast", "true"),
    ("pg_aggregate", "true"),
    ("pg_enum", "true"),
    ("pg_range", "true"),
    ("pg_collation", "t.oid >= 16384"),
    ("pg_conversion", "true"),
    ("pg_extension", "true"),
    ("pg_language", "true"),
    ("pg_ts_config", "true"),
    ("pg_ts_config_map", "true"),
    ("pg_ts_dict", "true"),
    ("pg_ts_parser", "true"),
    ("pg_ts_template", "true"),
    ("pg_database", "t.datname = current_database()"),
    ("pg_db_role_setting", "true"),
    ("pg_auth_members", "true"),
    ("pg_am", "false"),
    ("pg_depend", "false"),
    ("pg_description", "false"),
    ("pg_foreign_data_wrapper", "false"),
    ("pg_foreign_server", "false"),
    ("pg_foreign_table", "false"),
    ("pg_publication", "false"),
    ("pg_publication_rel", "false"),
    ("pg_sequence", "false"),
    ("pg_shdescription", "false"),
    (
        "pg_statistic_ext",
        "t.stxrelid IN (SELECT oid FROM relations)",
    ),
    ("pg_tablespace", "false"),
];

/// Two digests, each with one word per catalog, of what the catalog rests on and of all that a read of system catalogs
/// shows; and when the backend last read the server's configuration. A new version of a row comes from a new
/// transaction, so how many rows each transaction left tells all; there are far fewer transactions than rows. (Flags of
/// `pg_index` are changed in place up to PostgreSQL 13.)
pub(super) fn digest() -> String {
    let by_writer: String = BY_WRITER
        .iter()
        .map(|(catalog, which)| {
            format!(
                " UNION ALL SELECT '{catalog}', \
                 sum(hashtextextended(concat_ws(':', writer, n), 0)) FILTER (WHERE n > 0), \
                 sum(hashtextextended(concat_ws(':', writer, every), 0)) FROM \
                 (SELECT t.xmin AS writer, count(*) FILTER (WHERE {which}) AS n, count(*) AS every \
                 FROM {catalog} t GROUP BY t.xmin) g"
            )
        })
        .collect();
    format!(
        "WITH schemas AS MATERIALIZED (
            SELECT oid FROM pg_namespace WHERE nspname !~ '^pg_(temp_|toast)'
        ), relations AS MATERIALIZED (
            SELECT c.oid, hashtextextended(concat_ws('/', c.oid, c.relname, c.relnamespace, c.relowner, c.relkind,
                c.relpersistence, c.relrowsecurity, c.relforcerowsecurity, c.relispartition, c.reltype, c.relacl,
                c.reloptions), 0) AS hash
            FROM pg_class c
            WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relnamespace IN (SELECT oid FROM schemas)
        )
        SELECT string_agg(catalog || ':' || hash, ' ' ORDER BY catalog), string_agg(catalog || ':' || every, ' ' ORDER BY catalog),
            pg_conf_load_time()::text
        FROM (
            SELECT 'pg_class', (SELECT sum(hash) FROM relations), sum(hashtextextended(concat_ws('/', c.oid, c.relname,
                c.relnamespace, c.reltype, c.reloftype, c.relowner, c.relam, c.reltablespace, c.reltoastrelid, c.relhasindex,
                c.relisshared, c.relpersistence, c.relkind, c.relnatts, c.relchecks, c.relhasrules, c.relhastriggers,
                c.relhassubclass, c.relrowsecurity, c.relforcerowsecurity, c.relispopulated, c.relreplident,
                c.relispartition, '/' || c.relacl::text, '//' || c.reloptions::text, c.relpartbound), 0))
            FROM pg_class c
            UNION ALL
            SELECT 'flags', NULL, sum(hashtextextended(concat_ws('/', i.indexrelid, i.indisprimary, i.indisclustered,
                i.indisvalid, i.indcheckxmin, i.indisready, i.indislive, i.indisreplident), 0)) FROM pg_index i
            UNION ALL
            SELECT 'pg_roles', sum(hash), sum(hash) FROM (SELECT hashtextextended(concat_ws('/', t.oid, t.rolname, t.rolsuper,
                t.rolinherit, t.rolcanlogin, t.rolbypassrls, t.rolvaliduntil), 0) AS hash FROM pg_roles t) roles
            {by_writer}
        ) hashes (catalog, hash, every)"
    )
}
