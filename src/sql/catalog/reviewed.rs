//! The reviewed lists: which of PostgreSQL's functions may be in a cacheable statement although they are not
//! IMMUTABLE, which do harm although they are, and which extensions are known.
//!
//! * STABLE is fine only where everything the function reads besides its arguments is in the key (TimeZone,
//!   DateStyle, lc_*, default_text_search_config …) or raises the catalog when it changes (enums, text search
//!   configurations): the clock, the catalog at large, privileges, sizes and statistics are neither.
//! * Functions that feed text to the input function of a type chosen by the caller (`json_populate_record` and its
//!   kin) are not on the list: the text `now` in a column would read the clock.
//! * VOLATILE functions write nothing only by this list: an unknown one may run any SQL (`query_to_xml`, `ts_stat`).
//!
//! Lists are sorted: they are searched by bisection. Not here: how a function gets its class (`functions`).

use super::FunctionClass;
use super::introspection::FUNCTIONS;
use crate::why::Why;

/// STABLE functions of pg_catalog whose inputs are all in the key or in the catalog's version.
const STABLE: &[&str] = &[
    "anytextcat",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "date",
    "date_add",
    "date_cmp_timestamptz",
    "date_eq_timestamptz",
    "date_ge_timestamptz",
    "date_gt_timestamptz",
    "date_le_timestamptz",
    "date_lt_timestamptz",
    "date_ne_timestamptz",
    "date_part",
    "date_subtract",
    "date_trunc",
    "enum_first",
    "enum_last",
    "enum_range",
    "extract",
    "format",
    "generate_series",
    "get_current_ts_config",
    "in_range",
    "interval_pl_timestamptz",
    "json_agg",
    "json_agg_finalfn",
    "json_agg_strict",
    "json_agg_strict_transfn",
    "json_agg_transfn",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_strict_transfn",
    "json_object_agg_transfn",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_object_agg_unique_strict_transfn",
    "json_object_agg_unique_transfn",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_agg_finalfn",
    "jsonb_agg_strict",
    "jsonb_agg_strict_transfn",
    "jsonb_agg_transfn",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_finalfn",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_strict_transfn",
    "jsonb_object_agg_transfn",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "jsonb_object_agg_unique_strict_transfn",
    "jsonb_object_agg_unique_transfn",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "money",
    "numeric",
    "overlaps",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "textanycat",
    "time",
    "timestamp",
    "timestamp_cmp_timestamptz",
    "timestamp_eq_timestamptz",
    "timestamp_ge_timestamptz",
    "timestamp_gt_timestamptz",
    "timestamp_le_timestamptz",
    "timestamp_lt_timestamptz",
    "timestamp_ne_timestamptz",
    "timestamptz",
    "timestamptz_cmp_date",
    "timestamptz_cmp_timestamp",
    "timestamptz_eq_date",
    "timestamptz_eq_timestamp",
    "timestamptz_ge_date",
    "timestamptz_ge_timestamp",
    "timestamptz_gt_date",
    "timestamptz_gt_timestamp",
    "timestamptz_le_date",
    "timestamptz_le_timestamp",
    "timestamptz_lt_date",
    "timestamptz_lt_timestamp",
    "timestamptz_mi_interval",
    "timestamptz_ne_date",
    "timestamptz_ne_timestamp",
    "timestamptz_pl_interval",
    // Besides these, of a timetz: it depends on the current date. No timetz gets this far, its type is refused.
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "ts_match_tq",
    "ts_match_tt",
    "websearch_to_tsquery",
];

/// STABLE functions of pg_catalog that run SQL over whatever they are pointed at: a view among it may do anything.
const STABLE_THAT_RUN: &[&str] = &[
    "database_to_xml",
    "database_to_xml_and_xmlschema",
    "schema_to_xml",
    "schema_to_xml_and_xmlschema",
    "table_to_xml",
    "table_to_xml_and_xmlschema",
];

/// IMMUTABLE functions of pg_catalog that read more than their arguments: the timeline, the catalog.
const IMMUTABLE_THAT_READ: &[&str] = &[
    "pg_partition_root",
    "pg_split_walfile_name",
    "pg_walfile_name",
    "pg_walfile_name_offset",
];

/// VOLATILE functions of pg_catalog that change nothing at all.
const VOLATILE_THAT_READ: &[&str] = &[
    "clock_timestamp",
    "current_query",
    "currval",
    "gen_random_uuid",
    "lastval",
    "pg_blocking_pids",
    "pg_collation_actual_version",
    "pg_control_checkpoint",
    "pg_control_init",
    "pg_control_recovery",
    "pg_control_system",
    "pg_current_logfile",
    "pg_current_wal_flush_lsn",
    "pg_current_wal_insert_lsn",
    "pg_current_wal_lsn",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_get_backend_memory_contexts",
    "pg_get_multixact_members",
    "pg_get_shmem_allocations",
    "pg_get_wal_replay_pause_state",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_isolation_test_session_is_blocked",
    "pg_jit_available",
    "pg_last_committed_xact",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_notification_queue_usage",
    "pg_partition_ancestors",
    "pg_partition_tree",
    "pg_prepared_xact",
    "pg_relation_size",
    "pg_safe_snapshot_blocking_pids",
    "pg_sequence_last_value",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_stat_clear_snapshot",
    "pg_stat_get_xact_blocks_fetched",
    "pg_stat_get_xact_blocks_hit",
    "pg_stat_get_xact_function_calls",
    "pg_stat_get_xact_function_self_time",
    "pg_stat_get_xact_function_total_time",
    "pg_stat_get_xact_numscans",
    "pg_stat_get_xact_tuples_deleted",
    "pg_stat_get_xact_tuples_fetched",
    "pg_stat_get_xact_tuples_hot_updated",
    "pg_stat_get_xact_tuples_inserted",
    "pg_stat_get_xact_tuples_returned",
    "pg_stat_get_xact_tuples_updated",
    "pg_table_size",
    "pg_tablespace_size",
    "pg_total_relation_size",
    "pg_xact_commit_timestamp",
    "pg_xact_commit_timestamp_origin",
    "pg_xact_status",
    "random",
    "random_normal",
    "setseed",
    "timeofday",
    "txid_status",
    "uuidv4",
    "uuidv7",
];

/// VOLATILE functions of pg_catalog that write no relation, but lock, notify, count or signal.
const VOLATILE_WITH_EFFECT: &[&str] = &[
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared",
    "pg_cancel_backend",
    "pg_export_snapshot",
    "pg_log_backend_memory_contexts",
    "pg_logical_emit_message",
    "pg_notify",
    "pg_terminate_backend",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock",
    "pg_try_advisory_xact_lock_shared",
    "setval",
    "suppress_redundant_updates_trigger",
    "tsvector_update_trigger",
    "tsvector_update_trigger_column",
    "unique_key_recheck",
];

/// Of all these, those that leave something in their backend beyond the transaction, other than `currval`.
const KEPT_BY_SESSION: &[&str] = &[
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "setseed",
];

/// Extensions whose IMMUTABLE and STABLE functions, operators and types are as good as PostgreSQL's own, and whose
/// VOLATILE functions write no relation. The settings that they read are in the key like any other.
const EXTENSIONS: &[&str] = &[
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "seg",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// Extensions that are not followed so far that their answers may be kept, but whose IMMUTABLE and STABLE
/// functions write nothing.
const READING_EXTENSIONS: &[&str] = &["postgis", "postgis_raster", "postgis_sfcgal"];

/// Extensions of trigger functions that change nothing but the row at hand.
const TRIGGER_EXTENSIONS: &[&str] = &["autoinc", "insert_username", "moddatetime", "tcn"];

/// Other extensions whose functions, in C though they are, write nothing outside of the transaction that calls them and
/// lock what they write in it.
const STAYING_EXTENSIONS: &[&str] = &[
    "amcheck",
    "bloom",
    "dict_int",
    "dict_xsyn",
    "hypopg",
    "intagg",
    "isn",
    "lo",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_visibility",
    "pg_walinspect",
    "pgaudit",
    "pgrowlocks",
    "pgstattuple",
    "plperl",
    "pltcl",
    "refint",
    "sslinfo",
    "tablefunc",
    "tsm_system_rows",
    "tsm_system_time",
    "xml2",
];

/// Of `EXTENSIONS`, functions that feed text to an input function chosen by the caller.
const EXTENSION_THAT_INPUT: &[&str] = &["populate_record"];

/// Of `EXTENSIONS`, functions that change a setting of the session.
const EXTENSION_THAT_SET: &[&str] = &["set_limit"];

/// The class of a function that PostgreSQL brings with it.
pub(super) fn built_in(name: &str, volatility: u8) -> FunctionClass {
    let on = |list: &[&str]| list.binary_search(&name).is_ok();
    let leaves = on(KEPT_BY_SESSION);
    let effect = FunctionClass {
        dirty: true,
        leaves,
        ..FunctionClass::reads(Why::VolatileFunction)
    };
    match volatility {
        b'i' if on(IMMUTABLE_THAT_READ) => FunctionClass::reads(Why::StableFunction),
        b'i' => FunctionClass::PURE,
        b's' if on(STABLE) => FunctionClass::PURE,
        b's' if on(FUNCTIONS) => FunctionClass::reads(Why::CatalogMoment),
        b's' if on(STABLE_THAT_RUN) => FunctionClass::anything(Why::StableFunction),
        b's' => FunctionClass::reads(Why::StableFunction),
        // Up to PostgreSQL 14 that of a timetz is VOLATILE; no timetz gets this far.
        _ if name == "timezone" => FunctionClass::PURE,
        _ if on(VOLATILE_THAT_READ) => FunctionClass {
            leaves,
            ..FunctionClass::reads(Why::VolatileFunction)
        },
        _ if on(VOLATILE_WITH_EFFECT) => effect,
        _ if name == "set_config" => FunctionClass {
            opaque: true,
            ..effect
        },
        _ => FunctionClass::anything(Why::VolatileFunction),
    }
}

/// Whether no function of that extension writes anything outside of its transaction, or unlocked.
pub(super) fn stays(extension: &str) -> bool {
    let lists = [
        EXTENSIONS,
        READING_EXTENSIONS,
        TRIGGER_EXTENSIONS,
        STAYING_EXTENSIONS,
    ];
    lists
        .iter()
        .any(|list| list.binary_search(&extension).is_ok())
}

/// The class of a function of an extension, written in C or SQL.
pub(super) fn of_extension(extension: &str, name: &str, volatility: u8) -> FunctionClass {
    let on = |list: &[&str], word| list.binary_search(&word).is_ok();
    if on(EXTENSIONS, extension) {
        return match volatility {
            b'v' if on(EXTENSION_THAT_SET, name) => FunctionClass {
                opaque: true,
                dirty: true,
                ..FunctionClass::reads(Why::VolatileFunction)
            },
            b'v' => FunctionClass::reads(Why::VolatileFunction),
            _ if on(EXTENSION_THAT_INPUT, name) => FunctionClass::reads(Why::UserFunction),
            _ => FunctionClass::PURE,
        };
    }
    let reads = on(READING_EXTENSIONS, extension) && volatility != b'v';
    if reads || on(TRIGGER_EXTENSIONS, extension) {
        return FunctionClass::reads(Why::UserFunction);
    }
    FunctionClass::anything(Why::UserFunction)
}

/// True for an extension whose types are as good as PostgreSQL's own.
pub(super) fn has_plain_types(extension: &str) -> bool {
    EXTENSIONS.binary_search(&extension).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_bisection() {
        for list in [
            STABLE,
            STABLE_THAT_RUN,
            IMMUTABLE_THAT_READ,
            VOLATILE_THAT_READ,
            VOLATILE_WITH_EFFECT,
            KEPT_BY_SESSION,
            EXTENSIONS,
            READING_EXTENSIONS,
            TRIGGER_EXTENSIONS,
            EXTENSION_THAT_INPUT,
            EXTENSION_THAT_SET,
        ] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn the_clock_and_the_catalog_are_not_fine() {
        for name in [
            "now",
            "age",
            "inet_server_addr",
            "current_setting",
            "pg_typeof",
            "timetz",
            "json_to_record",
        ] {
            assert_eq!(
                built_in(name, b's').why,
                Some(Why::StableFunction),
                "{name}"
            );
        }
        assert_eq!(built_in("to_char", b's'), FunctionClass::PURE);
    }

    #[test]
    fn what_may_run_sql_writes() {
        for (name, volatility) in [
            ("query_to_xml", b'v'),
            ("table_to_xml", b's'),
            ("ts_stat", b'v'),
            ("lo_get", b'v'),
        ] {
            assert!(built_in(name, volatility).writes, "{name}");
        }
        assert!(!built_in("random", b'v').writes && !built_in("random", b'v').dirty);
        assert!(built_in("nextval", b'v').dirty && !built_in("nextval", b'v').writes);
        assert!(built_in("set_config", b'v').opaque);
    }
}
