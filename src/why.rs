//! The closed list of reasons for which a statement is not answered from memory.
//!
//! One list is the metric label, the log field, the console's word and the documentation's table
//! (`docs/reasons.md`).

macro_rules! why {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $text:literal, $remedy:literal;)*) => {
        /// Why a statement is not answered from memory.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Why { $($(#[$doc])* #[doc = $text] $name,)* }

        impl Why {
            /// Every reason, in the order of the documentation's table.
            pub const ALL: &[Why] = &[$(Why::$name,)*];

            /// The reason's word: metric label, log field, `SHOW larder.last`.
            pub fn label(self) -> &'static str {
                match self { $(Why::$name => $label,)* }
            }

            /// One sentence for people.
            pub fn text(self) -> &'static str {
                match self { $(Why::$name => $text,)* }
            }

            /// What would have to change for it to be answered from memory; empty where nothing sensible would.
            pub fn remedy(self) -> &'static str {
                match self { $(Why::$name => $remedy,)* }
            }
        }
    };
}

why! {
    // The installation.
    Off = "off", "`cache.mode` is off", "set `cache.mode` to on";
    Paused = "paused", "an operator has paused the cache", "`RESUME CACHE` on the console";
    Upgrade = "upgrade", "another process of this Larder still has, or will have, clients: an upgrade is under way", "wait until the process before is gone: at most `server.drain`";
    Observe = "observe", "`cache.mode` is observe: decided and counted, not served", "set `cache.mode` to on";
    NoCatalog = "no_catalog", "the database's catalog is not loaded, or was raised and is being loaded again", "wait a moment; if it lasts, see the log: Larder's own connection cannot read the catalog";
    Pooler = "pooler", "the upstream is itself a pooler: its backend is not the one it announced", "point `upstream.url` at PostgreSQL itself, or declare `upstream.pooler`";
    Server = "server", "the session's server is not the one in use, or none is chosen", "reconnect: the server has changed";
    Recovery = "recovery", "the server is in recovery: it shows another server's writes late", "point `upstream.url` at the primary";
    // The session.
    Settings = "settings", "a setting of the session cannot be followed, or is not known yet", "set it by SET or in the connection string, not by a function; and EXECUTE on pg_control_system() is needed";
    Encoding = "encoding", "client_encoding or server_encoding is not UTF8", "use a UTF8 database and client_encoding = UTF8";
    StringSyntax = "string_syntax", "standard_conforming_strings is off", "leave standard_conforming_strings on";
    Constants = "constants", "a prepared statement whose constants were read under other settings, or may have been", "prepare it again after the SET";
    TempSchema = "temp_schema", "the session has temporary objects", "keep temporary tables in connections of their own";
    Protocol = "protocol", "the session left the part of the protocol that Larder follows", "";
    Pipeline = "pipeline", "earlier messages of the pipeline are not answered yet", "send it behind the answers of what is before it";
    // The transaction.
    Dirty = "transaction_dirty", "the transaction has written, locked or run something opaque", "read before the first write, or outside of the transaction";
    Transactions = "transactions", "`cache.transactions` does not let this transaction use the cache", "set `cache.transactions` to until_write";
    Isolation = "isolation", "the transaction is not READ COMMITTED", "use READ COMMITTED where it is enough";
    FailedTransaction = "failed_transaction", "the transaction has failed and waits for ROLLBACK", "";
    // The message.
    RowLimit = "row_limit", "Execute asked for fewer rows than the answer has, and the others might look different later", "fetch all rows at once";
    Portal = "portal", "a named portal, or a portal already started", "run the portal once, to its end";
    Batch = "multi_statement", "more than one statement in one message", "send one statement in a message";
    Execute = "execute", "EXECUTE in SQL: it is run upstream each time", "use the driver's prepared statements";
    TooLong = "too_long", "the statement or its parameters are larger than Larder analyses", "pass lists as an array parameter";
    Unparsable = "unparsable", "the statement does not parse with PostgreSQL's grammar", "";
    // The statement.
    NotSelect = "not_select", "not a SELECT", "";
    NoRelation = "no_relation", "the statement reads no relation (a health check must reach the database)", "";
    Locking = "locking_read", "FOR UPDATE, FOR SHARE and their kin", "leave FOR UPDATE away where no lock is needed";
    SelectInto = "select_into", "SELECT INTO writes a table", "";
    DataModifyingCte = "data_modifying_cte", "WITH contains INSERT, UPDATE, DELETE or MERGE", "";
    TableSample = "tablesample", "TABLESAMPLE", "";
    ClockText = "clock_text", "a text constant or parameter such as 'today' that PostgreSQL may read as the clock", "pass a date instead of 'today'";
    ClockValue = "clock_value", "CURRENT_TIMESTAMP and its kin, CURRENT_USER and its kin", "pass the time as a parameter that changes less often";
    VolatileFunction = "volatile_function", "a volatile function", "move it out of the statement; or, if it reads nothing else, a rule with `trust = true`";
    StableFunction = "stable_function", "a stable function whose inputs are not in the key", "pass its result as a parameter; or, if it depends on nothing but the tables, a rule with `trust = true`";
    UserFunction = "user_function", "a function that is not PostgreSQL's own, and not declared as one that only reads", "declare what it does with `[[function]]`";
    UnknownFunction = "unknown_function", "a function that the catalog does not have", "";
    UserOperator = "user_operator", "an operator that is not PostgreSQL's own", "use one of PostgreSQL's own; or, if it only compares, a rule with `trust = true`";
    UserType = "user_type", "a type, cast or domain that is not PostgreSQL's own, or one that reads the catalog", "use one of PostgreSQL's own types; or, if its functions read nothing, a rule with `trust = true`";
    SystemColumn = "system_column", "ctid, xmax, cmin or cmax: they change without a write", "";
    Construct = "construct", "syntax that Larder's analysis does not judge (XMLTABLE, JSON_TABLE and such)", "";
    UnknownRelation = "unknown_relation", "a relation that the catalog does not have", "write the schema; if it was just created, wait for `catalog.refresh`";
    SystemCatalog = "system_catalog", "a system catalog, or what of one changes without DDL (statistics)", "";
    CatalogMoment = "catalog_moment", "a read of system catalogs that is not alone in its transaction, or was parsed before: it may be of an earlier moment", "ask outside of the transaction";
    TemporaryTable = "temporary_table", "a temporary table", "";
    ForeignTable = "foreign_table", "a foreign table", "keep a materialised view of it";
    Sequence = "sequence", "a sequence read as a table", "";
    RowSecurity = "row_security", "a table with row-level security", "";
    OpaqueView = "opaque_view", "a view over something that is itself not cacheable", "see what the view reads with EXPLAIN (LARDER)";
    ClockColumn = "clock_column", "a column of a type whose input reads the clock or the catalog (timetz, regclass)", "use timestamptz instead of timetz, text instead of regclass";
    TooLarge = "too_large", "the answer is larger than `cache.max_answer`", "raise `cache.max_answer`, or ask for less";
    Rule = "rule", "a rule gives the answer no time to live", "see SHOW RULES on the console";
    Hint = "hint", "a comment in the statement or a setting of the session says so (`larder: off`, `larder.cache`, `larder.ttl`)", "remove the hint, or the setting";
    Quarantined = "quarantined", "the self-check has found an answer in memory that was not the database's: not served until everything is purged or Larder is restarted", "report it; `PURGE ALL` lets it be served again";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_distinct_words() {
        let labels: HashSet<_> = Why::ALL.iter().map(|w| w.label()).collect();
        assert_eq!(labels.len(), Why::ALL.len());
        for w in Why::ALL {
            assert!(
                w.label()
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_'),
                "{w:?}"
            );
        }
    }
}
