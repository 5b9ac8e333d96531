//! The reviewed lists of introspection: which system catalogs and which functions over them may be read from memory.
//!
//! * A catalog is on the list only if each change of its rows is noticed: by the raise of the catalog, by
//!   [`SYSTEM_CATALOGS`](super::SYSTEM_CATALOGS), or by the loader's digest, which covers every row of each of them.
//!   `pg_class` is covered but for its statistics; a query may name its other columns.
//! * A function is on the list only if it depends on nothing but its arguments, the key (search path, role, settings)
//!   and catalogs of the list, roles and memberships included. Not here: `version()` (the binary), what counts, measures
//!   or tells of other sessions, privileges on what is not covered (tablespaces, other databases).
//! * These functions look at the newest state, not at the statement's snapshot, and only from the start of a
//!   transaction on: an answer is kept only if it was alone in its own (`Why::CatalogMoment`).
//!
//! Lists are sorted: they are searched by bisection. Not here: the digest (`watch::schema`).

/// Catalogs in `pg_catalog`.
pub(super) const CATALOGS: &[&str] = &[
    "pg_aggregate",
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_inherits",
    "pg_language",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_partitioned_table",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_publication_rel",
    "pg_range",
    "pg_rewrite",
    "pg_sequence",
    "pg_shdescription",
    "pg_statistic_ext",
    "pg_tablespace",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_type",
];

/// Views in `pg_catalog` over nothing else. None shows statistics.
pub(super) const VIEWS: &[&str] = &["pg_indexes", "pg_matviews", "pg_tables", "pg_views"];

/// Views in `information_schema` over nothing else, by the functions below and CURRENT_USER, which is in the key. None
/// shows statistics.
pub(super) const INFORMATION_SCHEMA: &[&str] = &[
    "check_constraints",
    "columns",
    "constraint_column_usage",
    "constraint_table_usage",
    "domains",
    "key_column_usage",
    "referential_constraints",
    "schemata",
    "table_constraints",
    "tables",
    "views",
];

/// STABLE functions of pg_catalog that read those catalogs.
pub(super) const FUNCTIONS: &[&str] = &[
    "col_description",
    "current_database",
    "current_schema",
    "current_schemas",
    "format_type",
    "has_any_column_privilege",
    "has_column_privilege",
    "has_function_privilege",
    "has_schema_privilege",
    "has_sequence_privilege",
    "has_table_privilege",
    "has_type_privilege",
    "obj_description",
    "pg_char_to_encoding",
    "pg_collation_is_visible",
    "pg_column_is_updatable",
    "pg_encoding_to_char",
    "pg_function_is_visible",
    "pg_get_constraintdef",
    "pg_get_expr",
    "pg_get_function_arg_default",
    "pg_get_function_arguments",
    "pg_get_function_identity_arguments",
    "pg_get_function_result",
    "pg_get_functiondef",
    "pg_get_indexdef",
    "pg_get_partition_constraintdef",
    "pg_get_partkeydef",
    "pg_get_ruledef",
    "pg_get_serial_sequence",
    "pg_get_statisticsobjdef",
    "pg_get_triggerdef",
    "pg_get_userbyid",
    "pg_get_viewdef",
    "pg_has_role",
    "pg_index_column_has_property",
    "pg_index_has_property",
    "pg_indexam_has_property",
    "pg_is_other_temp_schema",
    "pg_my_temp_schema",
    "pg_opclass_is_visible",
    "pg_operator_is_visible",
    "pg_relation_is_updatable",
    "pg_statistics_obj_is_visible",
    "pg_table_is_visible",
    "pg_type_is_visible",
    "shobj_description",
    "to_regclass",
    "to_regcollation",
    "to_regnamespace",
    "to_regoper",
    "to_regoperator",
    "to_regproc",
    "to_regprocedure",
    "to_regrole",
    "to_regtype",
];

/// Types of pg_catalog whose input and output look names up there.
pub(super) const LOOKED_UP: &[&str] = &[
    "regclass",
    "regcollation",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted_for_bisection() {
        for list in [CATALOGS, VIEWS, INFORMATION_SCHEMA, FUNCTIONS, LOOKED_UP] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
