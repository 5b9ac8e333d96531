//! What a real server says a statement depends on, and what of that could change without the cache hearing of it.
//!
//! * The facts are read from the system catalogs here and judged here, by signature and not by name: nothing of
//!   `larder::sql::catalog` is asked.
//! * Everything is followed to its end: views, policies, virtual columns, domains, what aggregates are made of, what
//!   operators call, what types are made of.

use super::storedtree::{self, Constant, Named};
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::{Client, SimpleQueryMessage};

/// Objects below this number came with the server.
const FIRST_NORMAL: u32 = 16_384;

/// STABLE functions of PostgreSQL whose answer follows from arguments, settings and catalogs that are in the key or in
/// the stamp. By signature; `*` stands for every overload. None has a `time with time zone`.
const STABLE: &[&str] = &[
    "anytextcat(*)",
    "array_to_json(*)",
    "array_to_string(*)",
    "concat(*)",
    "concat_ws(*)",
    "convert(*)",
    "convert_from(*)",
    "convert_to(*)",
    "date(timestamp with time zone)",
    "date_add(*)",
    "date_cmp_timestamptz(*)",
    "date_eq_timestamptz(*)",
    "date_ge_timestamptz(*)",
    "date_gt_timestamptz(*)",
    "date_le_timestamptz(*)",
    "date_lt_timestamptz(*)",
    "date_ne_timestamptz(*)",
    "date_part(text,timestamp with time zone)",
    "date_subtract(*)",
    "date_trunc(*)",
    "enum_first(*)",
    "enum_last(*)",
    "enum_range(*)",
    "extract(text,timestamp with time zone)",
    "format(*)",
    "generate_series(*)",
    "get_current_ts_config(*)",
    "in_range(*)",
    "interval_pl_timestamptz(*)",
    "json_agg(*)",
    "json_agg_transfn(*)",
    "json_agg_strict(*)",
    "json_agg_strict_transfn(*)",
    "json_build_array(*)",
    "json_build_object(*)",
    "json_object_agg(*)",
    "json_object_agg_transfn(*)",
    "json_object_agg_strict(*)",
    "json_object_agg_strict_transfn(*)",
    "json_object_agg_unique(*)",
    "json_object_agg_unique_transfn(*)",
    "json_object_agg_unique_strict(*)",
    "json_object_agg_unique_strict_transfn(*)",
    "json_to_tsvector(*)",
    "jsonb_agg(*)",
    "jsonb_agg_finalfn(*)",
    "jsonb_agg_transfn(*)",
    "jsonb_agg_strict(*)",
    "jsonb_agg_strict_transfn(*)",
    "jsonb_build_array(*)",
    "jsonb_build_object(*)",
    "jsonb_object_agg(*)",
    "jsonb_object_agg_finalfn(*)",
    "jsonb_object_agg_transfn(*)",
    "jsonb_object_agg_strict(*)",
    "jsonb_object_agg_strict_transfn(*)",
    "jsonb_object_agg_unique(*)",
    "jsonb_object_agg_unique_transfn(*)",
    "jsonb_object_agg_unique_strict(*)",
    "jsonb_object_agg_unique_strict_transfn(*)",
    "jsonb_to_tsvector(*)",
    "length(bytea,name)",
    "make_timestamptz(*)",
    "money(*)",
    "numeric(money)",
    "overlaps(*)",
    "phraseto_tsquery(*)",
    "plainto_tsquery(*)",
    "quote_literal(*)",
    "quote_nullable(*)",
    "row_to_json(*)",
    "textanycat(*)",
    "time(timestamp with time zone)",
    "timestamp(timestamp with time zone)",
    "timestamp_cmp_timestamptz(*)",
    "timestamp_eq_timestamptz(*)",
    "timestamp_ge_timestamptz(*)",
    "timestamp_gt_timestamptz(*)",
    "timestamp_le_timestamptz(*)",
    "timestamp_lt_timestamptz(*)",
    "timestamp_ne_timestamptz(*)",
    "timestamptz(*)",
    "timestamptz_cmp_date(*)",
    "timestamptz_cmp_timestamp(*)",
    "timestamptz_eq_date(*)",
    "timestamptz_eq_timestamp(*)",
    "timestamptz_ge_date(*)",
    "timestamptz_ge_timestamp(*)",
    "timestamptz_gt_date(*)",
    "timestamptz_gt_timestamp(*)",
    "timestamptz_le_date(*)",
    "timestamptz_le_timestamp(*)",
    "timestamptz_lt_date(*)",
    "timestamptz_lt_timestamp(*)",
    "timestamptz_mi_interval(*)",
    "timestamptz_ne_date(*)",
    "timestamptz_ne_timestamp(*)",
    "timestamptz_pl_interval(*)",
    "timezone(timestamp with time zone)",
    "timezone(timestamp without time zone)",
    "to_char(*)",
    "to_date(*)",
    "to_json(*)",
    "to_jsonb(*)",
    "to_number(*)",
    "to_timestamp(*)",
    "to_tsquery(*)",
    "to_tsvector(*)",
    "ts_headline(*)",
    "ts_match_tq(*)",
    "ts_match_tt(*)",
    "websearch_to_tsquery(*)",
    "xml(text)",
];

/// IMMUTABLE ones that read more than their arguments all the same.
const NOT_IMMUTABLE: &[&str] = &[
    "pg_partition_root(*)",
    "pg_split_walfile_name(*)",
    "pg_walfile_name(*)",
    "pg_walfile_name_offset(*)",
];

/// STABLE functions that look into catalogs: allowed where the answer is stamped as a read of catalogs.
const OF_CATALOGS: &[&str] = &[
    "col_description(*)",
    "current_database(*)",
    "current_schema(*)",
    "current_schemas(*)",
    "format_type(*)",
    "has_column_privilege(*)",
    "has_schema_privilege(*)",
    "has_table_privilege(*)",
    "obj_description(*)",
    "pg_get_expr(*)",
    "pg_get_indexdef(*)",
    "pg_get_constraintdef(*)",
    "pg_get_userbyid(*)",
    "pg_get_viewdef(*)",
    "pg_table_is_visible(*)",
    "pg_type_is_visible(*)",
    "to_regclass(*)",
    "to_regtype(*)",
    "shobj_description(*)",
    "pg_get_serial_sequence(*)",
    "pg_get_functiondef(*)",
    "pg_has_role(*)",
    "to_regproc(*)",
    "to_regrole(*)",
    "pg_get_function_identity_arguments(*)",
    "pg_my_temp_schema(*)",
    "pg_encoding_to_char(*)",
    "pg_char_to_encoding(*)",
    "regclass(text)",
];

/// Extensions that are known, and of theirs what feeds text to any type's input.
const EXTENSIONS: &[&str] = &["citext", "hstore", "pg_trgm"];
const FEEDS_TEXT: &str = "populate_record";

/// Types whose input reads the clock in text.
const CLOCK: &[&str] = &["date", "time", "timestamp", "timestamptz", "timetz"];

#[derive(Debug)]
struct Function {
    name: String,
    signature: String,
    volatility: String,
    extension: String,
    /// What the server made for a range type over a type of its own.
    of_range: bool,
    takes_timetz: bool,
    builtin: bool,
}

#[derive(Debug, Default)]
struct Type {
    name: String,
    kind: String,
    builtin: bool,
    extension: String,
    /// Element, base, subtype, columns.
    parts: Vec<u32>,
    user_order: bool,
}

#[derive(Debug)]
struct Relation {
    name: String,
    kind: String,
    temporary: bool,
    system: bool,
    row_type: u32,
}

/// One server's facts.
#[derive(Default)]
pub struct Truth {
    functions: BTreeMap<u32, Function>,
    operators: BTreeMap<u32, (String, u32)>,
    aggregates: BTreeMap<u32, Vec<u32>>,
    sort_operators: BTreeMap<u32, u32>,
    types: BTreeMap<u32, Type>,
    relations: BTreeMap<u32, Relation>,
    children: BTreeMap<u32, Vec<u32>>,
    views: BTreeMap<u32, Named>,
    /// Policies, virtual columns.
    of_relation: BTreeMap<u32, Named>,
    /// CHECK of domains.
    of_domain: BTreeMap<u32, Named>,
    /// Days and microseconds since 2000-01-01 as the server counts them.
    today: i64,
    now: i64,
    /// What a clock shows in the session's time zone, in microseconds.
    of_day: i64,
}

/// What a statement depends on.
#[derive(Debug, Default)]
pub struct Depends {
    pub relations: BTreeSet<u32>,
    /// Why the answer may change without a write to those.
    pub objections: BTreeSet<String>,
    /// It looks into system catalogs.
    pub catalogs: bool,
}

/// All rows of a query.
pub async fn rows(client: &Client, query: &str) -> Vec<Vec<String>> {
    let messages = client.simple_query(query).await;
    let rows = messages.unwrap_or_else(|error| panic!("{query}: {error}"));
    rows.into_iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let field = |n| row.get(n).unwrap_or_default().to_owned();
                Some((0..row.len()).map(field).collect())
            }
            _ => None,
        })
        .collect()
}

fn number(text: &str) -> u32 {
    text.parse()
        .unwrap_or_else(|_| panic!("{text} is no identifier"))
}

impl Truth {
    pub async fn load(client: &Client) -> Truth {
        let mut truth = Truth::default();
        truth.code(client).await;
        truth.data(client).await;
        truth.stored(client).await;
        let clock = "SELECT current_date - date '2000-01-01',
            (extract(epoch FROM now() - timestamptz '2000-01-01 00:00:00+00') * 1000000)::int8,
            (extract(epoch FROM localtime) * 1000000)::int8";
        for row in rows(client, clock).await {
            truth.today = row[0].parse().expect("days");
            truth.now = row[1].parse().expect("microseconds");
            truth.of_day = row[2].parse().expect("microseconds");
        }
        truth
    }

    async fn code(&mut self, client: &Client) {
        let functions = "SELECT p.oid, p.proname, p.oid::regprocedure, p.provolatile, coalesce(e.extname, ''),
                p.prolang = 12 AND p.prosrc ~ '^(multi)?range_constructor' AND p.oid >= 16384,
                'timetz'::regtype = ANY (p.proargtypes::oid[] || p.prorettype),
                p.oid < 16384 AND p.pronamespace = 11
            FROM pg_proc p LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                AND d.deptype = 'e' LEFT JOIN pg_extension e ON e.oid = d.refobjid";
        for row in rows(client, functions).await {
            let signature = row[2].trim_start_matches("pg_catalog.").replace('"', "");
            let function = Function {
                name: row[1].clone(),
                signature,
                volatility: row[3].clone(),
                extension: row[4].clone(),
                of_range: row[5] == "t",
                takes_timetz: row[6] == "t",
                builtin: row[7] == "t",
            };
            self.functions.insert(number(&row[0]), function);
        }
        let operators = "SELECT oid, oprname, oprcode::oid FROM pg_operator";
        for row in rows(client, operators).await {
            self.operators
                .insert(number(&row[0]), (row[1].clone(), number(&row[2])));
        }
        let aggregates = "SELECT aggfnoid::oid, aggsortop, unnest(ARRAY[aggtransfn::oid, aggfinalfn::oid,
            aggcombinefn::oid, aggserialfn::oid, aggdeserialfn::oid, aggmtransfn::oid, aggminvtransfn::oid,
            aggmfinalfn::oid]) FROM pg_aggregate";
        for row in rows(client, aggregates).await {
            let parts = self.aggregates.entry(number(&row[0])).or_default();
            parts.extend(Some(number(&row[2])).filter(|oid| *oid != 0));
            self.sort_operators.insert(number(&row[0]), number(&row[1]));
        }
    }

    async fn data(&mut self, client: &Client) {
        let types = "SELECT t.oid, t.typname, t.typtype, t.oid < 16384 AND t.typnamespace = 11,
                coalesce(e.extname, ''), CASE WHEN t.typlen = -1 AND t.typelem <> 0 THEN t.typelem ELSE t.typbasetype END,
                EXISTS (SELECT FROM pg_opclass o WHERE o.opcintype = t.oid AND o.opcdefault AND o.oid >= 16384
                    AND o.opcmethod IN (SELECT oid FROM pg_am WHERE amname IN ('btree', 'hash'))
                    AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.objid = o.oid AND x.deptype = 'e'))
            FROM pg_type t LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = t.oid
                AND d.deptype = 'e' LEFT JOIN pg_extension e ON e.oid = d.refobjid";
        for row in rows(client, types).await {
            let found = Type {
                name: row[1].clone(),
                kind: row[2].clone(),
                builtin: row[3] == "t",
                extension: row[4].clone(),
                parts: Some(number(&row[5]))
                    .filter(|oid| *oid != 0)
                    .into_iter()
                    .collect(),
                user_order: row[6] == "t",
            };
            self.types.insert(number(&row[0]), found);
        }
        let parts = "SELECT rngtypid, rngsubtype FROM pg_range
            UNION ALL SELECT t.oid, a.atttypid FROM pg_type t JOIN pg_attribute a ON a.attrelid = t.typrelid
            WHERE t.typrelid <> 0 AND a.attnum > 0 AND NOT a.attisdropped";
        for row in rows(client, parts).await {
            let found = self.types.entry(number(&row[0])).or_default();
            found.parts.push(number(&row[1]));
        }
        let multiranges = "SELECT to_jsonb(r)->>'rngmultitypid', rngtypid FROM pg_range r
            WHERE to_jsonb(r)->>'rngmultitypid' IS NOT NULL";
        for row in rows(client, multiranges).await {
            let found = self.types.entry(number(&row[0])).or_default();
            found.parts.push(number(&row[1]));
        }
        let relations = "SELECT c.oid, n.nspname || '.' || c.relname, c.relkind, c.relpersistence = 't',
            n.nspname IN ('pg_catalog', 'information_schema'), c.reltype FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace";
        for row in rows(client, relations).await {
            let relation = Relation {
                name: row[1].clone(),
                kind: row[2].clone(),
                temporary: row[3] == "t",
                system: row[4] == "t",
                row_type: number(&row[5]),
            };
            self.relations.insert(number(&row[0]), relation);
        }
        for row in rows(client, "SELECT inhparent, inhrelid FROM pg_inherits").await {
            self.children
                .entry(number(&row[0]))
                .or_default()
                .push(number(&row[1]));
        }
    }

    async fn stored(&mut self, client: &Client) {
        let stored = "SELECT 'v', ev_class, ev_action::text FROM pg_rewrite WHERE ev_class >= 16384 AND ev_type = '1'
            UNION ALL SELECT 'r', polrelid, polqual::text FROM pg_policy WHERE polqual IS NOT NULL
            UNION ALL SELECT 'r', d.adrelid, d.adbin::text FROM pg_attrdef d JOIN pg_attribute a
                ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE a.attgenerated = 'v'
            UNION ALL SELECT 'd', contypid, conbin::text FROM pg_constraint WHERE contypid <> 0 AND conbin IS NOT NULL";
        for row in rows(client, stored).await {
            let named = storedtree::named(&storedtree::read(&row[2]));
            let into = match row[0].as_str() {
                "v" => &mut self.views,
                "r" => &mut self.of_relation,
                _ => &mut self.of_domain,
            };
            into.entry(number(&row[1])).or_default().add(&named);
        }
    }

    /// Whether `pg_depend` names this relation for something else than that its rows are read.
    pub fn only_by_type(&self, oid: u32, named: &Named) -> bool {
        let found = self.relations.get(&oid);
        found.is_none_or(|r| r.kind == "c" || named.types.contains(&r.row_type))
    }

    pub fn relation_name(&self, oid: u32) -> &str {
        self.relations.get(&oid).map_or("?", |r| &r.name)
    }

    /// Everything below what a tree names, judged.
    pub fn depends(&self, tree: &Named) -> Depends {
        let mut depends = Depends::default();
        let mut all = tree.clone();
        let mut work: Vec<u32> = tree.relations.iter().copied().collect();
        while let Some(oid) = work.pop() {
            if !depends.relations.insert(oid) {
                continue;
            }
            // The view that the statement was made into, and what it made of itself.
            let Some(relation) = self.relations.get(&oid) else {
                depends.relations.remove(&oid);
                continue;
            };
            if relation.system {
                depends.catalogs = true;
                continue;
            }
            match relation.kind.as_str() {
                "f" | "S" => drop(
                    depends
                        .objections
                        .insert(format!("{} is not a table", relation.name)),
                ),
                "m" => continue,
                _ if relation.temporary => drop(
                    depends
                        .objections
                        .insert(format!("{} is temporary", relation.name)),
                ),
                _ => {}
            }
            work.extend(self.children.get(&oid).into_iter().flatten());
            for more in [self.views.get(&oid), self.of_relation.get(&oid)]
                .into_iter()
                .flatten()
            {
                work.extend(&more.relations);
                all.add(more);
            }
        }
        self.judge(tree, &mut all, &mut depends);
        depends
    }

    fn judge(&self, tree: &Named, all: &mut Named, depends: &mut Depends) {
        let mut types = BTreeSet::new();
        let mut work: Vec<u32> = all.types.iter().chain(&all.inputs).copied().collect();
        while let Some(oid) = work.pop() {
            if !types.insert(oid) {
                continue;
            }
            if let Some(domain) = self.of_domain.get(&oid) {
                work.extend(domain.types.iter().chain(&domain.inputs));
                all.add(domain);
            }
            work.extend(self.types.get(&oid).into_iter().flat_map(|t| &t.parts));
        }
        for oid in &types {
            self.judge_type(*oid, depends);
        }
        let aggregates: Vec<u32> = all.functions.iter().copied().collect();
        for oid in aggregates {
            all.functions
                .extend(self.aggregates.get(&oid).into_iter().flatten());
            all.operators
                .extend(self.sort_operators.get(&oid).filter(|oid| **oid != 0));
        }
        for oid in &all.operators {
            match self.operators.get(oid) {
                Some((_, function)) => drop(all.functions.insert(*function)),
                None => drop(
                    depends
                        .objections
                        .insert(format!("operator {oid} is unknown")),
                ),
            }
        }
        for oid in &all.functions {
            self.judge_function(*oid, depends);
        }
        for oid in &all.inputs {
            if self
                .made_of(*oid)
                .iter()
                .any(|t| t.builtin && CLOCK.contains(&t.name.as_str()))
            {
                let name = self.types.get(oid).map_or("?", |t| &t.name);
                depends.objections.insert(format!("text is read as {name}"));
            }
        }
        // A view's constants were read when it was made.
        for constant in &tree.constants {
            if self.is_of_now(constant) {
                depends.objections.insert("a constant is of today".into());
            }
        }
        depends.objections.extend(all.notes.iter().cloned());
    }

    fn judge_type(&self, oid: u32, depends: &mut Depends) {
        let Some(found) = self.types.get(&oid) else {
            depends.objections.insert(format!("type {oid} is unknown"));
            return;
        };
        let known = EXTENSIONS.contains(&found.extension.as_str());
        if found.user_order {
            depends
                .objections
                .insert(format!("the order of {} is a user's", found.name));
        }
        let of_search = ["regconfig", "regdictionary"].contains(&found.name.as_str());
        if found.builtin && found.kind == "b" && found.name.starts_with("reg") && !of_search {
            depends.catalogs = true;
        }
        // It shows the names of roles.
        if found.name == "aclitem" {
            depends.catalogs = true;
        }
        let array = !found.parts.is_empty();
        if found.kind == "b" && !found.builtin && !array && !known {
            depends
                .objections
                .insert(format!("type {} is a user's", found.name));
        }
    }

    fn judge_function(&self, oid: u32, depends: &mut Depends) {
        let Some(function) = self.functions.get(&oid) else {
            depends
                .objections
                .insert(format!("function {oid} is unknown"));
            return;
        };
        let on = |list: &[&str]| {
            let every = format!("{}(*)", function.name);
            list.iter()
                .any(|known| *known == function.signature || *known == every)
        };
        let volatile = function.volatility == "v";
        let fine = if function.builtin {
            match function.volatility.as_str() {
                "i" => !on(NOT_IMMUTABLE),
                "s" if on(OF_CATALOGS) => {
                    depends.catalogs = true;
                    true
                }
                "s" => on(STABLE) && !function.takes_timetz,
                _ => false,
            }
        } else {
            let extension = EXTENSIONS.contains(&function.extension.as_str());
            function.of_range || (extension && !volatile && function.name != FEEDS_TEXT)
        };
        // It expands an array, in SQL.
        let expands = function.name == "_pg_expandarray" && oid < FIRST_NORMAL;
        if !fine && !expands {
            depends.objections.insert(function.signature.clone());
        }
    }

    /// A type and all that it is made of.
    fn made_of(&self, oid: u32) -> Vec<&Type> {
        let mut seen = BTreeSet::new();
        let mut work = vec![oid];
        let mut all = Vec::new();
        while let Some(oid) = work.pop() {
            if let Some(found) = self.types.get(&oid).filter(|_| seen.insert(oid)) {
                all.push(found);
                work.extend(&found.parts);
            }
        }
        all
    }

    /// Whether somewhere in a constant's bytes stands a date next to today, or a time next to now: no statement of the
    /// corpus has one but by a word such as 'today'.
    fn is_of_now(&self, constant: &Constant) -> bool {
        let parts = self.made_of(constant.type_oid);
        let has = |names: &[&str]| {
            parts
                .iter()
                .any(|t| t.builtin && names.contains(&t.name.as_str()))
        };
        let day = 24 * 3600 * 1_000_000_i64;
        let near = |value: i64, middle: i64, by: i64| (middle - by..=middle + by).contains(&value);
        let dates = has(&["date"])
            && constant.bytes.windows(4).any(|window| {
                let bytes: [u8; 4] = window.try_into().expect("four");
                near(i32::from_le_bytes(bytes).into(), self.today, 1)
            });
        let eight = |window: &[u8]| i64::from_le_bytes(window.try_into().expect("eight"));
        let moments = has(&["timestamp", "timestamptz"])
            && constant
                .bytes
                .windows(8)
                .any(|window| near(eight(window), self.now, 3 * day));
        let times = has(&["time", "timetz"])
            && constant
                .bytes
                .windows(8)
                .any(|window| near(eight(window), self.of_day, 600 * 1_000_000));
        dates || moments || times
    }
}
