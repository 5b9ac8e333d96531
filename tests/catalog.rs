//! The catalog against a real PostgreSQL: what its rows say about reads, writes and names.
#[path = "support/postgres.rs"]
mod postgres;

use larder::sql::catalog::{FunctionClass, WriteKind};
use larder::sql::statement::Name;
use larder::sql::{Catalog, Oid, Touched, analyse, resolve};
use larder::watch::{doubt, schema};
use larder::why::Why;
use postgres::{Options, Postgres, Stop};
use std::collections::BTreeSet;
use std::time::Duration;

const HOUSE: &str = include_str!("catalog/house.sql");

/// A catalog and the search path that its questions use.
struct Loaded {
    catalog: Catalog,
    path: Vec<Box<str>>,
}

impl Loaded {
    async fn from(server: &Postgres, role: &str, database: &str) -> Loaded {
        let client = server.connect(role, database).await;
        let (catalog, digest) = schema::load(&client, 7, &[]).await.expect("load");
        assert_eq!(schema::digest(&client).await.expect("digest"), digest);
        assert_eq!(catalog.version, 7);
        Loaded {
            catalog,
            path: vec!["public".into()],
        }
    }

    fn oid(&self, name: &str) -> Oid {
        let found = self.catalog.relations_named(&named(name), &self.path);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0]
    }

    fn names(&self, oids: &[Oid]) -> BTreeSet<&str> {
        oids.iter()
            .map(|oid| self.catalog.relation_name(*oid).expect("a name").1)
            .collect()
    }

    /// Names of what a read depends on, or the reason.
    fn reads(&self, name: &str) -> Result<BTreeSet<&str>, Why> {
        self.catalog
            .reads_of(self.oid(name))
            .map(|oids| self.names(oids))
    }

    fn writes(&self, name: &str, kind: WriteKind) -> Option<BTreeSet<&str>> {
        match self.catalog.writes_of(self.oid(name), kind) {
            Touched::Relations(oids) => Some(self.names(&oids)),
            Touched::Everything => None,
            Touched::Nothing => panic!("a write to {name} touches nothing"),
        }
    }

    fn function(&self, name: &str, arguments: usize) -> FunctionClass {
        self.catalog.function(&named(name), arguments, &self.path)
    }

    fn operator(&self, name: &str) -> Option<Why> {
        self.catalog.operator(&named(name), &self.path)
    }

    fn type_named(&self, name: &str) -> Option<Why> {
        self.catalog.type_named(&named(name), &self.path)
    }
}

/// `schema.name` or `name`; an operator's dot is its own.
fn named(name: &str) -> Name {
    match name.split_once('.') {
        Some((schema, name)) => Name {
            schema: Some(schema.into()),
            name: name.into(),
        },
        None => Name {
            schema: None,
            name: name.into(),
        },
    }
}

fn set<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

#[tokio::test]
async fn the_server_comes_and_goes() {
    let mut server = Options::new().set("wal_level", "logical").start();
    let level = server.sql("postgres", "SHOW wal_level").await;
    assert_eq!(level, [[Some("logical".to_owned())]]);
    server.stop(Stop::Immediate);
    server.start_again();
    assert_eq!(server.sql("postgres", "SELECT 1").await.len(), 1);
    let directory = server.data_directory();
    drop(server);
    assert!(!directory.exists());
}

#[tokio::test]
async fn reads_writes_and_names_of_a_house() {
    let server = Postgres::start();
    server.sql("postgres", HOUSE).await;
    // Another session's temporary child, as long as that session lives.
    let session = server.connect("postgres", "postgres").await;
    let temporary = "CREATE TEMP TABLE temporary_child () INHERITS (with_temporary)";
    session.batch_execute(temporary).await.expect("a child");
    let house = Loaded::from(&server, "plain", "postgres").await;
    reads(&house);
    refused_reads(&house);
    views(&house);
    what_reads_run(&house);
    writes(&house);
    cascades(&house);
    writes_that_run_code(&house);
    functions(&house);
    types_and_operators(&house);
    columns(&house);
    introspection(&house);
    results(&house, &server).await;
    names(&house);
    every_builtin(&house, &server).await;
}

fn reads(house: &Loaded) {
    for table in [
        "plain_table",
        "logged_not",
        "typed",
        "many_types",
        "referenced",
        "mat",
    ] {
        assert_eq!(house.reads(table), Ok(set(&[table])), "{table}");
    }
    assert_eq!(
        house.reads("measures"),
        Ok(set(&[
            "measures",
            "measures_1",
            "measures_2",
            "measures_2a"
        ]))
    );
    assert_eq!(
        house.reads("measures_2"),
        Ok(set(&["measures_2", "measures_2a"]))
    );
    assert_eq!(
        house.reads("parent"),
        Ok(set(&["parent", "child", "grandchild"]))
    );
    assert_eq!(house.reads("child"), Ok(set(&["child", "grandchild"])));
}

fn refused_reads(house: &Loaded) {
    for (relation, why) in [
        ("pg_catalog.pg_class", Why::SystemCatalog),
        ("pg_stat_activity", Why::SystemCatalog),
        ("information_schema.tables", Why::SystemCatalog),
        ("plain_table_id_seq", Why::Sequence),
        ("foreign_one", Why::ForeignTable),
        ("with_foreign", Why::ForeignTable),
        ("with_temporary", Why::TemporaryTable),
        ("secured", Why::RowSecurity),
        ("secured_child_parent", Why::RowSecurity),
        ("secured_view", Why::RowSecurity),
        ("with_timetz", Why::ClockColumn),
        ("with_regclass", Why::ClockColumn),
        ("with_regclass_array", Why::ClockColumn),
        ("with_regclass_row", Why::ClockColumn),
        ("with_checked_domain", Why::UserType),
        ("with_lying_domain", Why::UserType),
        ("with_cast_enum", Why::UserType),
    ] {
        assert_eq!(house.reads(relation), Err(why), "{relation}");
    }
    assert_eq!(house.catalog.reads_of(1), Err(Why::UnknownRelation));
}

fn views(house: &Loaded) {
    let below = |view: &str, tables: &[&str]| {
        let mut all = tables.to_vec();
        all.push(view);
        assert_eq!(house.reads(view), Ok(set(&all)), "{view}");
    };
    below("v_plain", &["plain_table"]);
    below("v_over", &["v_plain", "plain_table", "referenced"]);
    below("v_rich", &["plain_table"]);
    below("v_recursive", &["plain_table"]);
    below("v_mat", &["mat"]);
    below(
        "v_part",
        &["measures", "measures_1", "measures_2", "measures_2a"],
    );
    below("v_constant_clock", &["plain_table"]);
    below("v_search", &["plain_table"]);
    for view in [
        "v_now",
        "v_current_timestamp",
        "v_current_user",
        "v_random",
        "v_over_random",
        "v_volatile",
        "v_immutable_lie",
        "v_operator",
        "v_sample",
        "v_locking",
        "v_ctid",
        "v_text_to_date",
        "v_text_to_date_called",
        "v_text_to_range",
        "v_texts_to_dates",
        "v_domain_to_date",
        "v_setting",
        "v_xml",
        "v_aggregate",
        "v_window",
        "v_range_function",
        "v_nextval",
        "v_populate",
        "v_regclass",
        "v_regclass_hidden",
    ] {
        assert_eq!(house.reads(view), Err(Why::OpaqueView), "{view}");
    }
    assert_eq!(house.reads("v_catalog"), Err(Why::SystemCatalog));
}

fn what_reads_run(house: &Loaded) {
    let runs = |name: &str| house.catalog.runs_on_read(house.oid(name));
    assert_eq!(runs("plain_table"), FunctionClass::PURE);
    assert!(
        !runs("v_now").writes && !runs("v_random").writes && !runs("pg_catalog.pg_class").writes
    );
    assert!(
        runs("v_volatile").writes && runs("v_immutable_lie").writes && runs("v_operator").writes
    );
    assert!(runs("secured").writes, "its policy calls a user's function");
    assert!(runs("v_nextval").dirty && !runs("v_nextval").writes);
}

fn writes(house: &Loaded) {
    use WriteKind::{Copy, Delete, Insert, Update};
    for kind in [Insert, Update, Delete, Copy] {
        assert_eq!(
            house.writes("plain_table", kind),
            Some(set(&["plain_table"])),
            "{kind:?}"
        );
        let family = set(&["measures", "measures_1", "measures_2", "measures_2a"]);
        assert_eq!(house.writes("measures", kind), Some(family), "{kind:?}");
        assert_eq!(
            house.writes("measures_1", kind),
            Some(set(&["measures_1"])),
            "{kind:?}"
        );
    }
    assert_eq!(house.writes("parent", Insert), Some(set(&["parent"])));
    assert_eq!(
        house.writes("parent", Update),
        Some(set(&["parent", "child", "grandchild"]))
    );
    let truncate = WriteKind::Truncate { cascade: false };
    assert_eq!(
        house.writes("parent", truncate),
        Some(set(&["parent", "child", "grandchild"]))
    );
    assert_eq!(
        house.writes("v_plain", Update),
        Some(set(&["v_plain", "plain_table"]))
    );
    assert_eq!(house.writes("mat", Insert), Some(set(&["mat"])));
}

fn cascades(house: &Loaded) {
    use WriteKind::{Delete, Insert, Update};
    let truncate = |cascade| WriteKind::Truncate { cascade };
    let all = [
        "referenced",
        "by_cascade",
        "by_cascade_2",
        "by_null",
        "by_default",
        "by_nothing",
    ];
    assert_eq!(
        house.writes("referenced", Insert),
        Some(set(&["referenced"]))
    );
    assert_eq!(house.writes("referenced", Delete), Some(set(&all[..5])));
    assert_eq!(
        house.writes("referenced", Update),
        Some(set(&["referenced", "by_update"]))
    );
    assert_eq!(
        house.writes("referenced", truncate(false)),
        Some(set(&["referenced"]))
    );
    let mut everything = set(&all);
    everything.insert("by_update");
    assert_eq!(house.writes("referenced", truncate(true)), Some(everything));
    // A partition's row is referenced through its parent.
    assert_eq!(
        house.writes("ref_part_1", Delete),
        Some(set(&["ref_part_1", "by_part", "by_part_1"]))
    );
    // Before PostgreSQL 15 a row that moves is deleted.
    let moved = house.writes("ref_part", Update).expect("known");
    assert!(moved.contains("by_part_1"), "{moved:?}");
    assert_eq!(
        house.writes("to_triggered", Delete),
        None,
        "cascades to a table with a trigger"
    );
    assert_eq!(
        house.writes("self_referencing", Delete),
        Some(set(&["self_referencing"]))
    );
}

fn writes_that_run_code(house: &Loaded) {
    use WriteKind::{Copy, Delete, Insert, Update};
    for (relation, kind) in [
        ("triggered", Insert),
        ("triggered", Copy),
        ("triggered", WriteKind::Truncate { cascade: false }),
        ("triggered_part", Insert),
        ("triggered_part_1", Insert),
        ("ruled", Insert),
        ("v_instead", Update),
        ("v_ruled", Insert),
        ("with_default", Insert),
        ("with_generated", Update),
        ("with_check", Update),
        ("with_index", Insert),
        ("with_checked_domain", Insert),
        ("secured", Delete),
        ("foreign_one", Insert),
        ("mat_volatile", Insert),
    ] {
        assert_eq!(house.writes(relation, kind), None, "{relation} {kind:?}");
    }
    for (relation, kind) in [
        ("with_default", Delete),
        ("trigger_off", Insert),
        ("trigger_harmless", Update),
        ("with_default_now", Insert),
        ("plain_table", Insert),
    ] {
        assert_eq!(
            house.writes(relation, kind),
            Some(set(&[relation])),
            "{relation} {kind:?}"
        );
    }
    assert_eq!(house.catalog.writes_of(1, Insert), Touched::Everything);
}

fn functions(house: &Loaded) {
    for (name, arguments) in [
        ("lower", 1),
        ("count", 0),
        ("count", 1),
        ("sum", 1),
        ("to_char", 2),
        ("date_trunc", 2),
        ("date_trunc", 3),
        ("extract", 2),
        ("age", 2),
        ("json_agg", 1),
        ("jsonb_build_object", 0),
        ("jsonb_build_object", 8),
        ("concat", 5),
        ("concat_ws", 3),
        ("generate_series", 3),
        ("to_tsvector", 1),
        ("row_number", 0),
        ("percentile_cont", 1),
        ("string_agg", 2),
        ("substring", 2),
        ("timezone", 2),
        ("coalesce_citext", 9),
    ] {
        let class = house.function(name, arguments);
        if name == "coalesce_citext" {
            assert_eq!(class, FunctionClass::anything(Why::UnknownFunction));
        } else {
            assert_eq!(class, FunctionClass::PURE, "{name}/{arguments}");
        }
    }
    for (name, arguments, why) in [
        ("now", 0, Why::StableFunction),
        ("age", 1, Why::StableFunction),
        ("current_setting", 1, Why::StableFunction),
        ("to_regclass", 1, Why::CatalogMoment),
        ("pg_walfile_name", 1, Why::StableFunction),
        ("random", 0, Why::VolatileFunction),
        ("pg_sleep", 1, Why::VolatileFunction),
        ("gen_random_uuid", 0, Why::VolatileFunction),
        ("digest_of_nothing", 1, Why::UnknownFunction),
        ("lower", 2, Why::UnknownFunction),
        ("user_immutable", 1, Why::UserFunction),
        ("pg_catalog.user_immutable", 1, Why::UnknownFunction),
        ("public.user_immutable", 1, Why::UserFunction),
        // Shadows pg_catalog's.
        ("upper", 1, Why::UserFunction),
        ("user_aggregate", 1, Why::UserFunction),
        ("with_defaults", 1, Why::UserFunction),
        ("with_defaults", 3, Why::UserFunction),
        ("with_defaults", 4, Why::UnknownFunction),
        ("variadic_one", 0, Why::UserFunction),
        ("variadic_one", 9, Why::UserFunction),
    ] {
        assert_eq!(
            house.function(name, arguments).why,
            Some(why),
            "{name}/{arguments}"
        );
    }
    assert_eq!(house.function("pg_catalog.upper", 1), FunctionClass::PURE);
    assert!(
        house.function("user_immutable", 1).writes && house.function("digest_of_nothing", 1).writes
    );
    assert!(!house.function("nextval", 1).writes && house.function("nextval", 1).dirty);
    assert!(house.function("set_config", 3).opaque);
    assert!(house.function("query_to_xml", 4).writes);
    // Extensions.
    assert_eq!(house.function("similarity", 2), FunctionClass::PURE);
    assert_eq!(
        house.function("regexp_replace", 3),
        FunctionClass::PURE,
        "citext has one too"
    );
    assert!(house.function("set_limit", 1).opaque && !house.function("set_limit", 1).writes);
    // Attribute notation.
    for (name, why) in [
        ("of_row", Some(Why::UserFunction)),
        ("of_any", Some(Why::UserFunction)),
        ("far_away", Some(Why::UserFunction)),
        ("pg_typeof", Some(Why::StableFunction)),
        ("user_immutable", None),
        ("with_defaults", None),
        ("two_arguments", None),
        ("lower", None),
        ("age", None),
    ] {
        assert_eq!(house.catalog.attribute(name).why, why, "{name}");
    }
    for (name, why) in [
        ("of_row", Some(Why::UserFunction)),
        ("user_immutable", Some(Why::UserFunction)),
        ("with_defaults", Some(Why::UserFunction)),
        ("age", Some(Why::StableFunction)),
        ("nextval", Some(Why::VolatileFunction)),
        ("date", Some(Why::ClockText)),
        ("clock_domain", Some(Why::UserType)),
        ("regclass", Some(Why::StableFunction)),
        ("two_arguments", None),
        ("lower", None),
        ("name", None),
        ("city", None),
    ] {
        assert_eq!(house.catalog.field(name).why, why, "{name}");
    }
    // Types that cannot be kept, without a word of them.
    for (name, arguments) in [
        ("timetz_larger", 2),
        ("timetz_pl_interval", 2),
        ("acldefault", 2),
        ("makeaclitem", 4),
        ("aclinsert", 2),
    ] {
        let why = house.function(name, arguments).why;
        assert!(why.is_some(), "{name}/{arguments}");
    }
    assert_eq!(
        house.function("acldefault", 2),
        FunctionClass::reads(Why::ClockColumn)
    );
    assert_eq!(house.function("max", 1), FunctionClass::PURE);
}

fn types_and_operators(house: &Loaded) {
    for name in [
        "int4",
        "pg_catalog.int4",
        "text",
        "timestamptz",
        "jsonb",
        "mood",
        "regconfig",
        "citext",
        "pair",
        "text_range",
        "plain_domain",
        "numeric",
        "xml",
        "uuid",
        "bpchar",
        "interval",
    ] {
        assert_eq!(house.type_named(name), None, "{name}");
    }
    for (name, why) in [
        ("regclass", Why::CatalogMoment),
        ("timetz", Why::ClockColumn),
        ("aclitem", Why::ClockColumn),
        ("no_such_type", Why::UserType),
        ("checked_domain", Why::UserType),
        ("clock_domain", Why::UserType),
        ("cstring", Why::UserType),
        ("cast_enum", Why::UserType),
        // The target of a user's explicit cast.
        ("polygon", Why::UserType),
    ] {
        assert_eq!(house.type_named(name), Some(why), "{name}");
    }
    for name in ["=", "<", "||", "+", "@>", "~~", "->>", "%", "pg_catalog.="] {
        assert_eq!(house.operator(name), None, "{name}");
    }
    for name in ["<+>", "no-such", "other.="] {
        assert_eq!(house.operator(name), Some(Why::UserOperator), "{name}");
    }
    assert_eq!(house.catalog.type_kept(23), None);
    assert_eq!(house.catalog.type_kept(1266), Some(Why::ClockColumn));
    assert_eq!(house.catalog.type_kept(0), Some(Why::UserType));
}

fn columns(house: &Loaded) {
    let never_text = |relations: &[&str], name| {
        let oids: Vec<Oid> = relations.iter().map(|name| house.oid(name)).collect();
        house.catalog.never_text(&oids, name)
    };
    for (relation, name, expected) in [
        ("plain_table", "id", true),
        ("plain_table", "moment", true),
        ("plain_table", "name", false),
        ("plain_table", "absent", false),
        ("plain_table", "ctid", false),
        ("v_plain", "moment", true),
        ("v_plain", "name", false),
        ("mat", "made", true),
        ("v_rich", "y", false),
        ("typed", "m", true),
        ("typed", "p", true),
        ("typed", "d", false),
        ("typed", "ds", false),
    ] {
        assert_eq!(never_text(&[relation], name), expected, "{relation}.{name}");
    }
    for (name, text) in [
        ("c", true),
        ("d", true),
        ("h", true),
        ("s", true),
        ("t", true),
        ("aj", true),
        ("j", false),
        ("k", false),
        ("u", false),
        ("x", false),
        ("af", false),
        ("ai", false),
    ] {
        assert_eq!(never_text(&["many_types"], name), !text, "{name}");
    }
    assert!(never_text(&["plain_table", "referenced"], "moment"));
    assert!(!never_text(&["plain_table", "with_text_moment"], "moment"));
    assert!(!never_text(&[], "moment"));
    let reads = |text: &str| {
        let analysis = analyse(text);
        resolve(&analysis.statements[0], Some(&house.catalog), &house.path).reads
    };
    for text in [
        "SELECT moment::date, count(*) FROM plain_table GROUP BY 1",
        "SELECT date(moment) FROM v_plain WHERE moment::date = $1",
        "SELECT extract(year FROM moment), moment AT TIME ZONE 'UTC' FROM plain_table",
    ] {
        assert!(reads(text).is_ok(), "{text}: {:?}", reads(text));
    }
    for text in [
        "SELECT name::date FROM plain_table",
        "SELECT date(name) FROM v_plain",
        "SELECT s.moment::date FROM (SELECT * FROM with_text_moment) s, plain_table",
        "SELECT d::plain_domain::date FROM typed",
    ] {
        assert_eq!(reads(text).err(), Some(Why::ClockText), "{text}");
    }
    assert_eq!(
        reads("SELECT (moment).age FROM plain_table").err(),
        Some(Why::StableFunction)
    );
}

/// What looks into system catalogs has their word in its stamp; what somebody else's object may look into has not.
fn introspection(house: &Loaded) {
    let reads = |text: &str| {
        let analysis = analyse(text);
        resolve(&analysis.statements[0], Some(&house.catalog), &house.path).reads
    };
    for text in [
        "SELECT format_type(23, NULL) FROM plain_table",
        "SELECT typname FROM pg_catalog.pg_type",
        "SELECT 'plain_table'::regclass FROM plain_table",
        "SELECT table_name FROM information_schema.tables",
    ] {
        assert!(reads(text).is_ok_and(|reads| reads.of_catalogs()), "{text}");
    }
    assert!(reads("SELECT name FROM plain_table").is_ok_and(|reads| !reads.of_catalogs()));
    for (text, why) in [
        // The house has a relation of its own by that name: either may be meant.
        ("SELECT reltuples FROM pg_class", Why::SystemCatalog),
        ("SELECT * FROM pg_catalog.pg_class", Why::SystemCatalog),
        (
            "SELECT rolname FROM pg_catalog.pg_authid",
            Why::SystemCatalog,
        ),
        (
            "SELECT format_type(23, NULL), now() FROM plain_table",
            Why::StableFunction,
        ),
        ("SELECT format_type(23, NULL)", Why::NoRelation),
        (
            "SELECT format_type(23, NULL) FROM pg_type FOR SHARE",
            Why::Locking,
        ),
        (
            "SELECT '1'::polygon, 't'::regclass FROM pg_type",
            Why::UserType,
        ),
    ] {
        assert_eq!(reads(text).err(), Some(why), "{text}");
    }
}

/// Every function that a cacheable statement may call gives values that can be kept.
async fn results(house: &Loaded, server: &Postgres) {
    let all = "SELECT DISTINCT proname, pronargs, prorettype FROM pg_proc p
        WHERE pronamespace = 'pg_catalog'::regnamespace AND NOT proretset AND 'internal'::regtype <> ALL (proargtypes)
          AND EXISTS (SELECT FROM pg_type t WHERE t.oid = prorettype AND t.typtype <> 'p')";
    let mut mixed = BTreeSet::new();
    for row in server.sql("postgres", all).await {
        let [name, arguments, result] = [0, 1, 2].map(|n| row[n].clone().expect("a value"));
        let class = house.catalog.function(
            &named(&format!("pg_catalog.{name}")),
            arguments.parse().expect("a number"),
            &[],
        );
        let kept = house.catalog.type_kept(result.parse().expect("an oid"));
        // PostgreSQL's polygon is the target of this house's own cast.
        if class.why.is_none() && kept == Some(Why::ClockColumn) {
            mixed.insert(name);
        }
    }
    // Those give a timetz for a timetz, and another type for anything else.
    let expected = ["max", "min", "timezone"].map(str::to_owned);
    assert_eq!(mixed, BTreeSet::from(expected));
}

fn names(house: &Loaded) {
    let oids = |name: &str, path: &[&str]| {
        let path: Vec<Box<str>> = path.iter().map(|s| Box::from(*s)).collect();
        let found = house.catalog.relations_named(&named(name), &path);
        found
            .into_iter()
            .map(|oid| house.catalog.relation_name(oid).expect("a name").0)
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(
        oids("shadowed", &["public", "other"]),
        set(&["public", "other"])
    );
    assert_eq!(oids("shadowed", &["other"]), set(&["other"]));
    assert_eq!(oids("other.shadowed", &["public"]), set(&["other"]));
    assert_eq!(oids("shadowed", &[]), set(&[]));
    assert_eq!(
        oids("pg_class", &["public"]),
        set(&["pg_catalog", "public"])
    );
    assert_eq!(
        oids("pair", &["public"]),
        set(&[]),
        "a composite type is no relation"
    );
    assert_eq!(
        oids("plain_table_pkey", &["public"]),
        set(&[]),
        "an index is no relation"
    );
    assert_eq!(oids("missing", &["nowhere"]), set(&[]));
}

/// Names the server itself: everything that PostgreSQL brings is as the lists were reviewed for.
async fn every_builtin(house: &Loaded, server: &Postgres) {
    let bad = "SELECT DISTINCT o.oprname FROM pg_operator o WHERE o.oid < 16384";
    for row in server.sql("postgres", bad).await {
        let name = row[0].clone().expect("a name");
        let name = Name {
            schema: Some("pg_catalog".into()),
            name: name.into(),
        };
        assert_eq!(house.catalog.operator(&name, &[]), None, "{name:?}");
    }
    let volatile =
        "SELECT DISTINCT proname, pronargs FROM pg_proc WHERE provolatile = 'v' AND oid < 10000";
    for row in server.sql("postgres", volatile).await {
        let (name, arguments) = (
            row[0].clone().expect("a name"),
            row[1].clone().expect("a number"),
        );
        let name = Name {
            schema: Some("pg_catalog".into()),
            name: name.into(),
        };
        let class = house
            .catalog
            .function(&name, arguments.parse().expect("a number"), &[]);
        // A timetz's, in PostgreSQL 13 and 14.
        assert!(class.why.is_some() || &*name.name == "timezone", "{name:?}");
    }
}

/// Whether an aggregate's result depends on the order of rows was looked at for each that PostgreSQL brings, and for
/// hypothetical sets and window functions.
#[tokio::test]
async fn every_aggregate_was_looked_at() {
    let server = Postgres::start();
    let all = "SELECT DISTINCT proname FROM pg_proc WHERE prokind IN ('a', 'w') AND oid < 16384";
    for row in server.sql("postgres", all).await {
        let name = row[0].clone().expect("a name");
        assert!(larder::sql::determined::is_reviewed(&name), "{name}");
    }
}

#[tokio::test]
async fn an_implicit_cast_between_builtin_types_shuts_the_database() {
    let server = Postgres::start();
    server
        .sql(
            "postgres",
            "CREATE TABLE t (a int); CREATE TABLE u (a int);
             CREATE FUNCTION to_point(text) RETURNS point LANGUAGE sql AS 'SELECT point(1, 2)';
             CREATE CAST (text AS point) WITH FUNCTION to_point(text) AS IMPLICIT;",
        )
        .await;
    let house = Loaded::from(&server, "postgres", "postgres").await;
    assert_eq!(house.reads("t"), Err(Why::UserType));
    assert_eq!(house.writes("t", WriteKind::Insert), None);
    assert_eq!(house.writes("t", WriteKind::Delete), Some(set(&["t"])));
    assert!(house.catalog.runs_on_read(house.oid("t")).writes);
}

#[tokio::test]
async fn the_digest_changes_with_the_catalog_and_not_with_the_data() {
    let server = Postgres::start();
    server.sql("postgres", HOUSE).await;
    let client = server.connect("plain", "postgres").await;
    let first = schema::digest(&client).await.expect("digest");
    let mut last = first.catalog.clone();
    let mut shown = first.shown;
    let other = server.connect("postgres", "postgres").await;
    for quiet in [
        "INSERT INTO plain_table (name) SELECT g::text FROM generate_series(1, 1000) g",
        "UPDATE plain_table SET name = name || 'x'",
        "ANALYZE plain_table, measures, parent",
        "VACUUM",
        "VACUUM FREEZE",
        "TRUNCATE plain_table",
        "REFRESH MATERIALIZED VIEW mat",
        "REINDEX TABLE plain_table",
        "CREATE TEMP TABLE tt (id serial PRIMARY KEY, a int CHECK (a > 0), b text DEFAULT 'x' UNIQUE)",
        "CREATE TEMP VIEW tv AS SELECT * FROM tt",
        "DROP VIEW tv",
        "SELECT nextval('plain_table_id_seq')",
        "SET application_name = 'x'",
        "BEGIN",
        "CREATE TABLE not_yet (a int)",
        "ROLLBACK",
    ] {
        other.batch_execute(quiet).await.expect(quiet);
        let now = schema::digest(&client).await.expect("digest");
        assert_eq!(now.catalog, last, "{quiet}");
        // A read of system catalogs shows temporary tables, and whether a view is populated.
        let shows = ["TEMP", "DROP VIEW", "REFRESH"]
            .iter()
            .any(|word| quiet.contains(word));
        if !shows {
            assert_eq!(now.shown, shown, "{quiet}");
        }
        shown = now.shown;
    }
    for loud in [
        "CREATE TABLE new_one (a int)",
        "ALTER TABLE new_one ADD COLUMN b text",
        "ALTER TABLE new_one RENAME COLUMN b TO c",
        "ALTER TABLE new_one RENAME TO newer_one",
        "ALTER TABLE newer_one SET SCHEMA other",
        "ALTER TABLE other.newer_one OWNER TO plain",
        "ALTER TABLE other.newer_one ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY p ON other.newer_one USING (true)",
        "ALTER POLICY p ON other.newer_one USING (false)",
        "DROP TABLE other.newer_one",
        "GRANT SELECT ON plain_table TO plain",
        "GRANT SELECT (id) ON typed TO plain",
        "REVOKE SELECT ON plain_table FROM plain",
        "GRANT USAGE ON SCHEMA other TO plain",
        "REVOKE EXECUTE ON FUNCTION pg_catalog.lower(text) FROM PUBLIC",
        "CREATE ROLE club",
        "GRANT club TO plain",
        "REVOKE club FROM plain",
        "ALTER ROLE plain NOINHERIT",
        "ALTER ROLE plain BYPASSRLS",
        "ALTER ROLE plain SET work_mem = '5MB'",
        "ALTER DATABASE postgres SET timezone = 'Europe/Paris'",
        "ALTER DATABASE postgres CONNECTION LIMIT 150",
        "DROP ROLE club",
        "CREATE OR REPLACE VIEW v_plain AS SELECT id, name, moment FROM plain_table WHERE id > 0",
        "ALTER VIEW v_plain SET (security_barrier = true)",
        "CREATE OR REPLACE FUNCTION user_immutable(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT 2'",
        "ALTER FUNCTION user_immutable(int) VOLATILE",
        "CREATE RULE r AS ON DELETE TO plain_table DO INSTEAD NOTHING",
        "ALTER TABLE triggered DISABLE TRIGGER ALL",
        "ALTER TABLE by_null DROP CONSTRAINT by_null_id_fkey",
        "ALTER TABLE measures DETACH PARTITION measures_1",
        "ALTER TABLE child NO INHERIT parent",
        "ALTER TYPE mood ADD VALUE 'better'",
        "ALTER TYPE mood RENAME VALUE 'better' TO 'best'",
        "ALTER DOMAIN clock_domain ADD CHECK (VALUE > '2001-01-01')",
        "CREATE INDEX new_index ON plain_table (name)",
        "DROP INDEX new_index",
        "ALTER TEXT SEARCH DICTIONARY simple (stopwords = 'english')",
        "ALTER TEXT SEARCH CONFIGURATION english ALTER MAPPING FOR word WITH simple",
        "DROP EXTENSION pg_trgm",
        "CREATE TEMP TABLE temporary_child () INHERITS (plain_table)",
    ] {
        other.batch_execute(loud).await.expect(loud);
        let now = schema::digest(&client).await.expect("digest");
        assert_ne!(now.catalog, last, "{loud}");
        (last, shown) = (now.catalog, now.shown);
    }
    for shows in [
        "COMMENT ON TABLE plain_table IS 'x'",
        "COMMENT ON ROLE plain IS 'x'",
        "CREATE TEMP TABLE tt2 (a int)",
        "ALTER TABLE tt2 ADD b int",
        "DROP TABLE tt2",
        "CREATE SEQUENCE shown_sequence",
        "ALTER INDEX plain_table_pkey RENAME TO plain_table_key",
        "CREATE PUBLICATION shown_publication",
        "CREATE STATISTICS shown_statistics ON id, name FROM plain_table",
        "CLUSTER plain_table USING plain_table_key",
    ] {
        other.batch_execute(shows).await.expect(shows);
        let now = schema::digest(&client).await.expect("digest");
        assert_ne!(now.shown, shown, "{shows}");
        shown = now.shown;
    }
}

#[tokio::test]
async fn a_load_that_was_left_open_does_not_show_its_old_snapshot() {
    let server = Postgres::start();
    let client = server.connect("postgres", "postgres").await;
    client
        .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .await
        .expect("begin");
    server
        .sql("postgres", "CREATE TABLE made_since (a int)")
        .await;
    let (catalog, _) = schema::load(&client, 1, &[]).await.expect("load");
    assert_eq!(
        catalog
            .relations_named(&named("public.made_since"), &[])
            .len(),
        1
    );
    client.batch_execute("BEGIN").await.expect("begin");
    client
        .batch_execute("SELECT 1 / 0")
        .await
        .expect_err("a failed transaction");
    schema::digest(&client).await.expect("digest");
    assert!(!server.log().contains("WARNING"), "{}", server.log());
}

#[tokio::test]
async fn a_hostile_search_path_and_shadows_change_nothing() {
    let server = Postgres::start();
    server
        .sql(
            "postgres",
            "CREATE TABLE t (a int); CREATE SCHEMA evil; CREATE TABLE evil.pg_class (oid oid);
             CREATE FUNCTION evil.never(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT false';
             CREATE OPERATOR evil.= (FUNCTION = evil.never, LEFTARG = oid, RIGHTARG = oid);
             ALTER DATABASE postgres SET search_path = evil, pg_catalog;",
        )
        .await;
    let house = Loaded::from(&server, "postgres", "postgres").await;
    assert_eq!(house.reads("t"), Ok(set(&["t"])));
    assert_eq!(house.operator("evil.="), Some(Why::UserOperator));
}

#[tokio::test]
async fn a_backend_is_in_doubt_until_it_is_gone() {
    let server = Postgres::start();
    server.sql("postgres", "CREATE ROLE plain LOGIN").await;
    let client = server.connect("postgres", "postgres").await;
    let lost = server.connect("postgres", "postgres").await;
    let own = "SELECT pid, to_char(timezone('UTC', backend_start), 'YYYY-MM-DD HH24:MI:SS.US') \
         FROM pg_stat_activity WHERE pid = pg_backend_pid()";
    let row = lost.query_one(own, &[]).await.expect("itself");
    let (pid, start): (i32, String) = (row.get(0), row.get(1));
    assert!(
        !doubt::gone(&client, pid, Some(&start))
            .await
            .expect("asked")
    );
    assert!(!doubt::gone(&client, pid, None).await.expect("asked"));
    assert!(
        doubt::gone(&client, pid, Some("2001-01-01 00:00:00.000000"))
            .await
            .expect("asked")
    );
    // Another role does not see the start: the pid alone decides.
    let stranger = server.connect("plain", "postgres").await;
    assert!(
        !doubt::gone(&stranger, pid, Some("2001-01-01 00:00:00.000000"))
            .await
            .expect("asked")
    );
    assert!(
        !doubt::terminate(&client, pid, "2001-01-01 00:00:00.000000")
            .await
            .expect("asked")
    );
    assert!(doubt::terminate(&client, pid, &start).await.expect("asked"));
    while !doubt::gone(&client, pid, Some(&start))
        .await
        .expect("asked")
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(doubt::gone(&client, pid, None).await.expect("asked"));
}
