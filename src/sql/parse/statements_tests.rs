//! Tests of kinds of statements: each utility statement, SET in all its forms, transactions.

use super::analyse;
use crate::sql::statement::{Discard, Isolation, Name, Setting, Statement, TransactionModes};
use crate::why::Why;
use proptest::prelude::*;

fn one(text: &str) -> Statement {
    let analysis = analyse(text);
    assert_eq!(analysis.refused, None, "does not parse: {text}");
    let mut all = Vec::from(analysis.statements);
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

/// The variant's name, with `temporary` for such DDL.
fn kind(text: &str) -> String {
    match one(text) {
        Statement::Ddl { temporary: true } => "temporary".into(),
        other => {
            let debug = format!("{other:?}");
            debug
                .split(|c: char| !c.is_alphanumeric())
                .next()
                .unwrap_or_default()
                .into()
        }
    }
}

#[test]
fn every_kind_is_told_by_the_tree() {
    let table: &[(&str, &[&str])] = &[
        (
            "Query",
            &[
                "SELECT 1",
                "VALUES (1)",
                "TABLE t",
                "(SELECT 1)",
                "/* UPDATE */ SELECT 1",
                "WITH x AS (SELECT 1) SELECT * FROM x",
                "INSERT INTO t VALUES (1)",
                "UPDATE t SET a = 1",
                "DELETE FROM t",
                "MERGE INTO t USING s ON t.a = s.a WHEN MATCHED THEN DELETE",
                "EXPLAIN ANALYZE SELECT * FROM t",
                "EXPLAIN (ANALYZE, BUFFERS) UPDATE t SET a = 1",
                "EXPLAIN (ANALYZE off, ANALYZE) DELETE FROM t",
                "SELECT set_config('a.b', $1, false)",
                "SELECT set_config('a.b', 'c', false) FROM t",
                "SELECT set_config('a.b', 'c', false), now()",
                "SELECT other.set_config('a.b', 'c', false)",
                "SELECT set_config('transaction_isolation', 'none such', true)",
                "SELECT set_config('transaction_read_only', NULL, true)",
                "SELECT set_config('a.b', 'c', false), set_config('transaction_read_only', 'on', true)",
            ],
        ),
        (
            "Begin",
            &["BEGIN", "BEGIN WORK", "START TRANSACTION READ ONLY"],
        ),
        ("Commit", &["COMMIT", "END", "COMMIT AND CHAIN"]),
        ("Rollback", &["ROLLBACK", "ABORT", "ROLLBACK AND NO CHAIN"]),
        ("Savepoint", &["SAVEPOINT a"]),
        ("Release", &["RELEASE a", "RELEASE SAVEPOINT a"]),
        ("RollbackTo", &["ROLLBACK TO a", "ROLLBACK TO SAVEPOINT a"]),
        ("PrepareTransaction", &["PREPARE TRANSACTION 'g'"]),
        ("CommitPrepared", &["COMMIT PREPARED 'g'"]),
        ("RollbackPrepared", &["ROLLBACK PREPARED 'g'"]),
        (
            "SetTransaction",
            &[
                "SET TRANSACTION SNAPSHOT '00000003-0000001B-1'",
                "SET transaction_read_only = on",
            ],
        ),
        ("Unfollowed", &["SET search_path FROM CURRENT"]),
        ("ResetAll", &["RESET ALL"]),
        (
            "Show",
            &[
                "SHOW search_path",
                "SHOW ALL",
                "SHOW TIME ZONE",
                "SHOW larder.last",
            ],
        ),
        (
            "Prepare",
            &[
                "PREPARE p AS SELECT 1",
                "PREPARE p (int) AS UPDATE t SET a = $1",
            ],
        ),
        (
            "Execute",
            &[
                "EXECUTE p",
                "EXECUTE p(1)",
                "EXPLAIN ANALYZE EXECUTE p",
                "EXPLAIN EXECUTE p(f())",
                "EXPLAIN CREATE TABLE t AS EXECUTE p(f())",
            ],
        ),
        (
            "Deallocate",
            &["DEALLOCATE p", "DEALLOCATE PREPARE p", "DEALLOCATE ALL"],
        ),
        (
            "Declare",
            &[
                "DECLARE c CURSOR FOR SELECT 1",
                "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT f()",
            ],
        ),
        (
            "Cursor",
            &["FETCH c", "MOVE 5 IN c", "CLOSE c", "CLOSE ALL"],
        ),
        ("Listen", &["LISTEN a"]),
        ("Unlisten", &["UNLISTEN a", "UNLISTEN *"]),
        ("Notify", &["NOTIFY a", "NOTIFY a, 'b'"]),
        ("Lock", &["LOCK t", "LOCK TABLE a, b IN ACCESS SHARE MODE"]),
        (
            "CopyFrom",
            &[
                "COPY t FROM STDIN",
                "COPY s.t (a, b) FROM '/file' WITH (FREEZE)",
            ],
        ),
        (
            "CopyTo",
            &[
                "COPY t TO STDOUT",
                "COPY (SELECT f()) TO STDOUT",
                "COPY (DELETE FROM t RETURNING *) TO STDOUT",
            ],
        ),
        (
            "Truncate",
            &["TRUNCATE t", "TRUNCATE ONLY a, b RESTART IDENTITY CASCADE"],
        ),
        (
            "RefreshMaterializedView",
            &["REFRESH MATERIALIZED VIEW CONCURRENTLY v"],
        ),
        (
            "Explain",
            &[
                "EXPLAIN SELECT f()",
                "EXPLAIN VERBOSE SELECT * INTO t FROM u",
                "EXPLAIN (ANALYZE false) UPDATE t SET a = 1",
                "EXPLAIN (ANALYZE, ANALYZE off) DELETE FROM t",
                "EXPLAIN CREATE TABLE t AS SELECT f()",
                "EXPLAIN DECLARE c CURSOR FOR SELECT 1",
            ],
        ),
        ("Utility", &["CHECKPOINT", "SET CONSTRAINTS ALL IMMEDIATE"]),
        (
            "Maintenance",
            &[
                "VACUUM",
                "VACUUM (ANALYZE) t",
                "ANALYZE t",
                "REINDEX TABLE t",
                "COMMENT ON TABLE t IS 'now'",
            ],
        ),
        ("Call", &["CALL p(1)", "CALL s.p(f(1), (SELECT a FROM t))"]),
        (
            "Opaque",
            &[
                "DO $$ BEGIN END $$",
                "LOAD 'lib'",
                "COPY t FROM PROGRAM 'ls'",
                "COPY t TO PROGRAM 'ls'",
                "COPY t FROM STDIN WHERE f(a)",
                "CREATE TEMP TABLE t AS EXECUTE p",
            ],
        ),
        (
            "TemporaryTableAs",
            &[
                "CREATE TEMP TABLE t AS SELECT f()",
                "CREATE TABLE pg_temp.t AS SELECT 1",
                "SELECT * INTO TEMP t FROM u",
                "SELECT 1 INTO TEMPORARY t UNION SELECT 2",
                "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1",
            ],
        ),
        (
            "temporary",
            &[
                "CREATE TEMP TABLE t (a int)",
                "CREATE TABLE pg_temp.t (a int)",
                "CREATE LOCAL TEMPORARY TABLE t (a int) ON COMMIT DROP",
                "CREATE TEMP VIEW v AS SELECT 1",
                "CREATE TEMP SEQUENCE s",
            ],
        ),
    ];
    for (expected, texts) in table {
        for text in *texts {
            assert_eq!(kind(text), *expected, "{text}");
        }
    }
}

#[test]
fn what_defines_or_grants_is_ddl() {
    for text in [
        "CREATE TABLE t (a int)",
        "CREATE UNLOGGED TABLE t (a int)",
        "CREATE TEMP TABLE t () INHERITS (permanent)",
        "CREATE TABLE t AS SELECT 1",
        "SELECT * INTO t FROM u",
        "SELECT 1 INTO t UNION SELECT 2",
        "WITH x AS (SELECT 1) SELECT * INTO t FROM x",
        "EXPLAIN ANALYZE CREATE TABLE t AS SELECT 1",
        "CREATE MATERIALIZED VIEW v AS SELECT 1",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "ALTER TABLE t ADD COLUMN b int",
        "ALTER TABLE t RENAME TO u",
        "ALTER TABLE p ATTACH PARTITION c DEFAULT",
        "ALTER SEQUENCE s RESTART",
        "DROP TABLE t",
        "DROP VIEW v CASCADE",
        "CREATE INDEX ON t (a)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER FUNCTION f() VOLATILE",
        "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()",
        "CREATE RULE r AS ON INSERT TO t DO ALSO NOTIFY a",
        "CREATE POLICY p ON t USING (true)",
        "CREATE TYPE e AS ENUM ('a')",
        "ALTER TYPE e RENAME VALUE 'a' TO 'b'",
        "CREATE DOMAIN d AS int CHECK (f(VALUE))",
        "CREATE EXTENSION citext",
        "CREATE SCHEMA s",
        "CREATE ROLE r",
        "ALTER ROLE r SET search_path = s",
        "ALTER DATABASE d SET timezone = 'UTC'",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "GRANT SELECT ON t TO r",
        "REVOKE g FROM r",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO r",
        "REASSIGN OWNED BY a TO b",
        "DROP OWNED BY a",
        "IMPORT FOREIGN SCHEMA s FROM SERVER f INTO l",
        "SECURITY LABEL ON TABLE t IS 'x'",
        "CREATE PUBLICATION p FOR ALL TABLES",
        "CREATE COLLATION c FROM \"C\"",
        "CLUSTER t",
        "VACUUM FULL t",
        "CREATE DATABASE d",
    ] {
        assert_eq!(kind(text), "Ddl", "{text}");
    }
}

#[test]
fn messages_hold_any_number_of_statements() {
    for (text, count) in [
        ("", 0),
        (" ; ;", 0),
        ("-- nothing", 0),
        ("/* nothing */", 0),
        ("SELECT 1;", 1),
        ("BEGIN; UPDATE t SET a = 1; COMMIT", 3),
        ("SELECT ';' ; SELECT 2 -- ; SELECT 3", 2),
        (
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 1",
            2,
        ),
    ] {
        assert_eq!(analyse(text).statements.len(), count, "{text}");
    }
}

#[test]
fn what_is_not_analysed_is_opaque_and_says_why() {
    let long = format!("SELECT '{}'", "a".repeat(super::LONGEST_TEXT));
    for (text, why) in [
        ("SELEC 1", Why::Unparsable),
        ("SELECT 'a", Why::Unparsable),
        ("SELECT 1 FROM", Why::Unparsable),
        ("SELECT 'a' 'b'", Why::Unparsable),
        ("SELECT \0", Why::Unparsable),
        (&long, Why::TooLong),
    ] {
        let analysis = analyse(text);
        assert_eq!(analysis.refused, Some(why));
        assert!(matches!(*analysis.statements, [Statement::Opaque]));
    }
}

#[test]
fn transactions_tell_their_modes() {
    let modes = |isolation, read_only, deferrable| TransactionModes {
        isolation,
        read_only,
        deferrable,
    };
    let serializable = Some(Isolation::Serializable);
    for (text, expected) in [
        ("BEGIN", modes(None, None, None)),
        ("BEGIN READ ONLY", modes(None, Some(true), None)),
        (
            "BEGIN READ WRITE, NOT DEFERRABLE",
            modes(None, Some(false), Some(false)),
        ),
        (
            "BEGIN ISOLATION LEVEL READ UNCOMMITTED",
            modes(Some(Isolation::ReadCommitted), None, None),
        ),
        (
            "START TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            modes(Some(Isolation::RepeatableRead), None, None),
        ),
        (
            "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE",
            modes(serializable, Some(true), Some(true)),
        ),
    ] {
        assert!(
            matches!(one(text), Statement::Begin(found) if found == expected),
            "{text}"
        );
    }
    for (text, expected) in [
        (
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            modes(serializable, None, None),
        ),
        (
            "SET LOCAL TRANSACTION READ ONLY",
            modes(None, Some(true), None),
        ),
        (
            "SET transaction_isolation = 'serializable'",
            modes(serializable, None, None),
        ),
        (
            "SET TRANSACTION_READ_ONLY TO off",
            modes(None, Some(false), None),
        ),
        ("SET TRANSACTION SNAPSHOT 'x'", modes(None, None, None)),
        ("RESET transaction_isolation", modes(None, None, None)),
        (
            "SET LOCAL transaction_read_only TO DEFAULT",
            modes(None, None, None),
        ),
        (
            "SELECT set_config('Transaction_Isolation', 'serializable', false)",
            modes(serializable, None, None),
        ),
        (
            "SELECT pg_catalog.set_config('transaction_read_only', 'on', true)",
            modes(None, Some(true), None),
        ),
        (
            "SELECT set_config('transaction_deferrable', 'f', true)",
            modes(None, None, Some(false)),
        ),
    ] {
        assert!(
            matches!(one(text), Statement::SetTransaction(found) if found == expected),
            "{text}"
        );
    }
    assert!(matches!(
        one("COMMIT AND CHAIN"),
        Statement::Commit { chain: true }
    ));
    assert!(matches!(
        one("ROLLBACK"),
        Statement::Rollback { chain: false }
    ));
    assert!(matches!(one("ROLLBACK TO \"A\""), Statement::RollbackTo(name) if &*name == "A"));
    assert!(matches!(
        one("DISCARD TEMP"),
        Statement::Discard(Discard::Temp)
    ));
    assert!(matches!(
        one("DISCARD ALL"),
        Statement::Discard(Discard::All)
    ));
    assert!(matches!(one("DEALLOCATE ALL"), Statement::Deallocate(None)));
    assert!(matches!(one("SHOW TimeZone"), Statement::Show(name) if &*name == "timezone"));
}

fn settings(text: &str) -> Vec<(String, Option<String>, bool)> {
    let Statement::Set(all) = one(text) else {
        panic!("not SET: {text}")
    };
    let plain =
        |Setting { name, value, local }: Setting| (name.into(), value.map(Into::into), local);
    all.into_iter().map(plain).collect()
}

#[test]
fn settings_tell_name_and_value() {
    for (text, name, value, local) in [
        ("SET search_path = a, b", "search_path", Some("a, b"), false),
        (
            "SET search_path = 'a, b'",
            "search_path",
            Some("\"a, b\""),
            false,
        ),
        (
            "SET search_path TO \"$user\", public",
            "search_path",
            Some("\"$user\", public"),
            false,
        ),
        ("SET SCHEMA 's'", "search_path", Some("s"), false),
        (
            "SET LOCAL search_path = ''",
            "search_path",
            Some("\"\""),
            true,
        ),
        (
            "SET SESSION work_mem = '1MB'",
            "work_mem",
            Some("1MB"),
            false,
        ),
        ("SET work_mem = 65536", "work_mem", Some("65536"), false),
        (
            "SET extra_float_digits = -1",
            "extra_float_digits",
            Some("-1"),
            false,
        ),
        (
            "SET Random_Page_Cost = 1.5",
            "random_page_cost",
            Some("1.5"),
            false,
        ),
        (
            "SET datestyle = iso, mdy",
            "datestyle",
            Some("iso, mdy"),
            false,
        ),
        (
            "SET datestyle = 'ISO, MDY'",
            "datestyle",
            Some("ISO, MDY"),
            false,
        ),
        (
            "SET enable_seqscan = off",
            "enable_seqscan",
            Some("off"),
            false,
        ),
        (
            "SET enable_seqscan = true",
            "enable_seqscan",
            Some("true"),
            false,
        ),
        ("SET my.\"Name\" = 'x'", "my.name", Some("x"), false),
        ("SET a.b TO DEFAULT", "a.b", None, false),
        ("RESET a.b", "a.b", None, false),
        ("RESET TIME ZONE", "timezone", None, false),
        ("SET TIME ZONE 'UTC'", "timezone", Some("UTC"), false),
        ("SET TIME ZONE -3", "timezone", Some("-3"), false),
        ("SET TIME ZONE 1.5", "timezone", Some("1.5"), false),
        ("SET TIME ZONE LOCAL", "timezone", None, false),
        ("SET LOCAL TIME ZONE DEFAULT", "timezone", None, true),
        (
            "SET NAMES 'LATIN1'",
            "client_encoding",
            Some("LATIN1"),
            false,
        ),
        ("SET NAMES DEFAULT", "client_encoding", None, false),
        (
            "SET XML OPTION DOCUMENT",
            "xmloption",
            Some("DOCUMENT"),
            false,
        ),
        ("SET ROLE r", "role", Some("r"), false),
        ("SET ROLE 'R'", "role", Some("R"), false),
        ("SET LOCAL ROLE NONE", "role", Some("none"), true),
        ("RESET ROLE", "role", None, false),
        (
            "SET SESSION AUTHORIZATION a",
            "session_authorization",
            Some("a"),
            false,
        ),
        (
            "SET SESSION AUTHORIZATION DEFAULT",
            "session_authorization",
            None,
            false,
        ),
        (
            "RESET SESSION AUTHORIZATION",
            "session_authorization",
            None,
            false,
        ),
        ("SET larder.cache = off", "larder.cache", Some("off"), false),
        (
            "SELECT set_config('a.B', 'c', false)",
            "a.b",
            Some("c"),
            false,
        ),
        (
            "SELECT set_config('a.b', 'c'::text, true)",
            "a.b",
            Some("c"),
            true,
        ),
        (
            "select pg_catalog.set_config('search_path', '', false);",
            "search_path",
            Some(""),
            false,
        ),
        (
            "SELECT set_config('a.b', NULL, false) AS x",
            "a.b",
            None,
            false,
        ),
    ] {
        assert_eq!(
            settings(text),
            [(name.to_owned(), value.map(str::to_owned), local)],
            "{text}"
        );
    }
    let interval = settings("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE");
    assert_ne!(interval, settings("SET TIME ZONE INTERVAL '-08:00'"));
    assert_ne!(interval, settings("SET TIME ZONE '-08:00'"));
}

#[test]
fn one_statement_may_set_several() {
    let several = settings(
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ ONLY",
    );
    let expected = [
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_read_only", "on"),
    ];
    assert_eq!(several.len(), 2);
    for (found, (name, value)) in several.iter().zip(expected) {
        assert_eq!(
            (&*found.0, found.1.as_deref(), found.2),
            (name, Some(value), false)
        );
    }
    let several = settings("SELECT set_config('a.b', '1', true), set_config('c.d', '2', false)");
    assert_eq!(
        several.iter().map(|s| (&*s.0, s.2)).collect::<Vec<_>>(),
        [("a.b", true), ("c.d", false)]
    );
}

#[test]
fn names_are_folded_as_postgresql_folds_them() {
    let name = |schema: Option<&str>, name: &str| Name {
        schema: schema.map(Into::into),
        name: name.into(),
    };
    for (text, expected) in [
        ("COPY T FROM STDIN", name(None, "t")),
        ("COPY \"T\" FROM STDIN", name(None, "T")),
        ("COPY S.\"a\"\"b\" FROM STDIN", name(Some("s"), "a\"b")),
        ("COPY db.S.t FROM STDIN", name(Some("s"), "t")),
        ("COPY U&\"\\0061b\" FROM STDIN", name(None, "ab")),
        ("COPY ÄB FROM STDIN", name(None, "Äb")),
    ] {
        assert!(
            matches!(one(text), Statement::CopyFrom(found) if found == expected),
            "{text}"
        );
    }
    let long = format!("COPY {} FROM STDIN", "a".repeat(80));
    assert!(
        matches!(one(&long), Statement::CopyFrom(found) if found.name.len() == 63),
        "NAMEDATALEN"
    );
}

proptest! {
    #[test]
    fn no_text_ends_the_process(text in any::<String>()) {
        let analysis = analyse(&text);
        prop_assert!(analysis.refused.is_none() || analysis.statements.len() == 1);
    }

    #[test]
    fn nor_does_any_heap_of_tokens(words in proptest::collection::vec(token(), 0..40)) {
        analyse(&words.join(" "));
    }
}

/// Words that make texts which get far into the grammar.
fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT",
        "FROM",
        "WHERE",
        "t",
        "a.b",
        "(",
        ")",
        ",",
        "*",
        "1",
        "'x'",
        "E'\\'",
        "'",
        "\"",
        "$$",
        "$1",
        "=",
        "WITH",
        "AS",
        "x",
        "UNION",
        "ALL",
        "INSERT",
        "INTO",
        "VALUES",
        "UPDATE",
        "SET",
        "DELETE",
        "MERGE",
        "USING",
        "ON",
        "CONFLICT",
        "DO",
        "NOTHING",
        "RETURNING",
        "CASE",
        "WHEN",
        "THEN",
        "END",
        "CAST",
        "::",
        "date",
        "f(",
        "OVER",
        "JSON_TABLE(",
        "XMLTABLE(",
        "COLUMNS",
        "SET",
        "LOCAL",
        "TIME",
        "ZONE",
        "INTERVAL",
        "TO",
        "DEFAULT",
        "ROLE",
        "TRANSACTION",
        "READ",
        "ONLY",
        "COPY",
        "STDIN",
        "--",
        "/*",
        "*/",
        ";",
        "\n",
        "U&'\\",
        "B'",
        "é",
        "EXPLAIN",
        "ANALYZE",
        "CREATE",
        "TEMP",
        "TABLE",
        "VIEW",
        "GRANT",
        "ALTER",
        "DROP",
        "BEGIN",
        "ATOMIC",
    ])
}
