//! Statements made from a seed: every kind of query, mixed with every kind of expression, over the corpus' schema.
//!
//! * Expressions are made by type, so that most statements are ones that the server takes.
//! * Now and then something is put in that must not be cached: the clock, the session, a user's code.
//!
//! Not here: what is asked of them.

use std::fmt::Write;

/// What an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Int,
    Numeric,
    Text,
    Bool,
    Moment,
    Stamp,
    Date,
    Time,
    Span,
    Json,
    Ints,
    Texts,
    Mood,
    Pair,
    Range,
}

use Kind::*;

const KINDS: &[Kind] = &[
    Int, Int, Int, Numeric, Text, Text, Text, Bool, Bool, Moment, Stamp, Date, Time, Span, Json,
    Ints, Texts, Mood, Pair, Range,
];

/// Relations and some of their columns.
const RELATIONS: &[(&str, &[(&str, Kind)])] = &[
    (
        "users",
        &[
            ("id", Int),
            ("name", Text),
            ("active", Bool),
            ("age", Int),
            ("role", Mood),
            ("created_at", Moment),
            ("updated_at", Stamp),
            ("birthday", Date),
            ("wakes", Time),
            ("settings", Json),
            ("tags", Texts),
            ("scores", Ints),
            ("address", Pair),
            ("valid", Range),
            ("balance", Numeric),
        ],
    ),
    (
        "orders",
        &[
            ("id", Int),
            ("user_id", Int),
            ("status", Text),
            ("total", Numeric),
            ("placed_at", Moment),
            ("shipped_on", Date),
            ("note", Text),
        ],
    ),
    (
        "public.items",
        &[
            ("order_id", Int),
            ("line", Int),
            ("quantity", Int),
            ("price", Numeric),
        ],
    ),
    (
        "products",
        &[
            ("id", Int),
            ("name", Text),
            ("price", Numeric),
            ("tags", Texts),
            ("description", Text),
        ],
    ),
    (
        "posts",
        &[
            ("id", Int),
            ("title", Text),
            ("published", Bool),
            ("created_at", Stamp),
            ("views", Int),
        ],
    ),
    (
        "times",
        &[
            ("id", Int),
            ("t", Time),
            ("ts", Stamp),
            ("tz", Moment),
            ("d", Date),
            ("i", Span),
            ("txt", Text),
        ],
    ),
    (
        "category",
        &[("id", Int), ("parent_id", Int), ("title", Text)],
    ),
    (
        "logs",
        &[
            ("id", Int),
            ("at", Moment),
            ("level", Text),
            ("payload", Json),
        ],
    ),
    (
        "ONLY logs_2021",
        &[("id", Int), ("at", Moment), ("message", Text)],
    ),
    ("measures", &[("id", Int), ("day", Date)]),
    ("parent", &[("id", Int)]),
    ("child", &[("id", Int), ("more", Text)]),
    ("typed", &[("id", Int), ("m", Mood), ("p", Pair)]),
    ("other.users", &[("id", Int), ("login", Text)]),
    ("\"Mixed Case\"", &[("\"Id\"", Int), ("\"select\"", Text)]),
    (
        "active_users",
        &[("id", Int), ("name", Text), ("created_at", Moment)],
    ),
    (
        "user_totals",
        &[
            ("id", Int),
            ("name", Text),
            ("total", Numeric),
            ("orders", Int),
        ],
    ),
    ("top_users", &[("id", Int), ("total", Numeric)]),
    ("all_logs", &[("id", Int), ("at", Moment), ("level", Text)]),
    ("exists_view", &[("id", Int)]),
    (
        "v_plain",
        &[("id", Int), ("name", Text), ("moment", Moment)],
    ),
    ("totals", &[("user_id", Int), ("total", Numeric)]),
    (
        "over_totals",
        &[("user_id", Int), ("name", Text), ("birthday", Date)],
    ),
    // These are refused.
    ("late_logs", &[("id", Int), ("at", Moment)]),
    ("hidden_function", &[("id", Int)]),
    ("wakes_elsewhere", &[("id", Int), ("hour", Numeric)]),
    ("texts_as_days", &[("id", Int), ("day", Date)]),
    ("secured", &[("id", Int)]),
    ("foreign_one", &[("a", Int)]),
    ("with_cast_enum", &[]),
    ("with_circle", &[("id", Int)]),
];

/// What must not be cached, by kind.
const POISON: &[(Kind, &str)] = &[
    (Moment, "now()"),
    (Moment, "CURRENT_TIMESTAMP"),
    (Moment, "clock_timestamp()"),
    (Moment, "'now'::timestamptz"),
    (Moment, "'yesterday'"),
    (Date, "CURRENT_DATE"),
    (Date, "'today'::date"),
    (Date, "date 'tomorrow'"),
    (Stamp, "LOCALTIMESTAMP"),
    (Text, "CURRENT_USER::text"),
    (Text, "SESSION_USER::text"),
    (Text, "version()"),
    (Text, "current_setting('a.b', true)"),
    (Text, "current_query()"),
    (Int, "user_immutable(1)"),
    (Int, "user_volatile(1)"),
    (Int, "random()::int"),
    (Int, "pg_backend_pid()"),
    (Int, "json_array(1, 2)"),
    (Int, "json_scalar(3)"),
    (Bool, "1 <+> 2"),
    (Text, "public.upper('x'::text)"),
    (Int, "with_defaults(1)"),
    (Int, "other.far_away(1)"),
    (Text, "gen_random_uuid()::text"),
    (Time, "LOCALTIME"),
    (Int, "5::checked_domain"),
    (Span, "age(now())"),
    (Json, "to_jsonb(now())"),
    (Range, "tstzrange(now(), NULL)"),
    (Ints, "ARRAY[user_volatile(1)]"),
    (Int, "(SELECT txid_current()::int)"),
];

/// Functions and operators: `{i}`, `{n}`, `{t}`, `{b}`, `{m}`, `{s}`, `{d}`, `{h}`, `{v}`, `{j}`, `{I}`, `{T}`, `{o}`,
/// `{p}`, `{r}` stand for expressions of the kinds in their order.
const SHAPES: &[(Kind, &[&str])] = &[
    (
        Int,
        &[
            "{i} + {i}",
            "{i} * {i}",
            "- {i}",
            "abs({i})",
            "length({t})",
            "strpos({t}, {t})",
            "cardinality({I})",
            "({I})[1]",
            "({p}).a",
            "extract(year FROM {d})::int",
            "({j} ->> 'n')::int",
            "({d} - {d})",
            "{n}::int",
            "ascii({t})",
            "array_length({T}, 1)",
            "date_part('hour', {m})::int",
            "nullif({i}, {i})",
            "coalesce({i}, {i})",
            "greatest({i}, {i})",
            "num_nulls({i}, {t})",
            "CAST({i} AS smallint)::int",
            "least({i}, {i}, 5)",
            "CASE WHEN {b} THEN {i} ELSE {i} END",
            "CASE {t} WHEN {t} THEN {i} END",
            "jsonb_array_length({j})",
            "date_part('hour', {h})::int",
            "date_part('hour', {h} AT TIME ZONE 'Europe/Berlin')::int",
            "mod({i}, 7)",
        ],
    ),
    (
        Numeric,
        &[
            "{n} + {n}",
            "{n} * {i}",
            "round({n}, 2)",
            "{i}::numeric",
            "trunc({n})",
            "extract(epoch FROM {m})",
            "coalesce({n}, 0)",
            "greatest({n}, {i})",
            "({t})::numeric",
            "to_number({t}, '999')",
            "{i} / 2.5",
        ],
    ),
    (
        Text,
        &[
            "{t} || {t}",
            "{t} || {i}",
            "lower({t})",
            "btrim({t})",
            "substring({t} FROM 1 FOR 2)",
            "{i}::text",
            "coalesce({t}, {t})",
            "replace({t}, 'a', {t})",
            "to_char({m}, 'YYYY')",
            "to_char({n}, '99')",
            "{d}::text",
            "{j} ->> 'a'",
            "({p}).b",
            "{o}::text",
            "({T})[1]",
            "concat({t}, {i}, {m})",
            "format('%s', {d})",
            "array_to_string({I}, ',')",
            "CASE WHEN {b} THEN {t} END",
            "md5({t})",
            "regexp_replace({t}, 'a', {t})",
            "{t} COLLATE \"C\"",
            "split_part({t}, ',', 1)",
            "nullif({t}, '')",
            "{m}::text",
            "CAST({b} AS text)",
            "quote_literal({t})",
            "left({t}, {i}::int)",
            "{r}::text",
            "{p}::text",
            "greatest({t}, {t})",
            "{h}::text",
            "to_json({t})::text",
            "overlay({t} PLACING {t} FROM 1)",
            "initcap({t})",
            "{v}::text",
        ],
    ),
    (
        Bool,
        &[
            "{i} = {i}",
            "{i} < {n}",
            "{t} = {t}",
            "{t} LIKE {t}",
            "{t} ~ 'a'",
            "{t} ILIKE 'x%'",
            "{b} AND {b}",
            "{b} OR {b}",
            "NOT {b}",
            "{i} IN ({i}, {i})",
            "{t} NOT IN ('a', {t})",
            "{m} > {m}",
            "{m} < {d}",
            "{s} = {m}",
            "{d} BETWEEN {d} AND {d}",
            "{t} IS NULL",
            "{i} IS DISTINCT FROM {i}",
            "{i} = ANY ({I}::bigint[])",
            "{t} <> ALL ({T})",
            "{j} @> {j}",
            "{j} ? 'a'",
            "{I}::int[] && {I}::int[]",
            "{r} @> {m}",
            "{r} && {r}",
            "{o} = {o}",
            "{o} < 'good'",
            "({i}, {t}) = ({i}, {t})",
            "({i}, {i}) < ({i}, {i})",
            "{p} IS NOT NULL",
            "{b} IS TRUE",
            "{t} SIMILAR TO 'a%'",
            "({d}, {v}) OVERLAPS ({d}, {v})",
            "{h} < {h}",
            "{v} > {v}",
            "{i} BETWEEN SYMMETRIC {i} AND {i}",
            "isfinite({m})",
            "starts_with({t}, 'a')",
            "{p} = {p}",
            "{b}",
            "{i} OPERATOR(pg_catalog.>=) {i}",
            "{h} AT TIME ZONE 'UTC' > '10:00+00'",
        ],
    ),
    (
        Moment,
        &[
            "{m} + {v}",
            "{m} - {v}",
            "date_trunc('day', {m})",
            "{d}::timestamptz",
            "{s} AT TIME ZONE 'UTC'",
            "coalesce({m}, {m})",
            "greatest({m}, {m})",
            "lower({r})",
            "to_timestamp({i})",
            "{s}::timestamptz",
            "make_timestamptz(2020, 1, 1, 0, 0, 0)",
            "CASE WHEN {b} THEN {m} ELSE {m} END",
            "date_bin('1 hour', {m}, {m})",
        ],
    ),
    (
        Stamp,
        &[
            "{s} + {v}",
            "{m} AT TIME ZONE 'UTC'",
            "{d} + {h}",
            "date_trunc('hour', {s})",
            "{m}::timestamp",
            "{d} + {v}",
        ],
    ),
    (
        Date,
        &[
            "{d} + {i}::int",
            "{m}::date",
            "{s}::date",
            "date({m})",
            "coalesce({d}, {d})",
            "make_date(2020, 1, 1)",
            "{t}::date",
            "CASE WHEN {b} THEN {d} END",
            "greatest({d}, {d})",
            "to_date({t}, 'YYYY')",
        ],
    ),
    (
        Time,
        &[
            "{h} + {v}",
            "{m}::time",
            "{s}::time",
            "make_time(1, 2, 3)",
            "coalesce({h}, {h})",
        ],
    ),
    (
        Span,
        &[
            "{m} - {m}",
            "{v} * {i}",
            "age({m}, {m})",
            "make_interval(days => {i}::int)",
            "justify_days({v})",
            "{h} - {h}",
            "{v} + {v}",
            "{h}::interval",
        ],
    ),
    (
        Json,
        &[
            "{j} -> 'a'",
            "jsonb_build_object('a', {i}, 'b', {t})",
            "to_jsonb({t})",
            "{j} || {j}",
            "{j} - 'a'",
            "jsonb_set({j}, '{a}', {j})",
            "{j} #> '{a,b}'",
            "to_jsonb({m})",
            "jsonb_build_array({i}, {t})",
            "jsonb_path_query_first({j}, '$.a')",
            "coalesce({j}, '{}')",
            "jsonb_strip_nulls({j})",
            "({j})['a']",
        ],
    ),
    (
        Ints,
        &[
            "ARRAY[{i}, {i}]::int[]",
            "{I}::int[] || {i}::int",
            "({I})[1:2]",
            "array_remove({I}::int[], {i}::int)",
            "coalesce({I}, '{}')",
            "string_to_array({t}, ',')::int[]",
        ],
    ),
    (
        Texts,
        &[
            "ARRAY[{t}, {t}]",
            "{T} || {t}",
            "string_to_array({t}, ',')",
            "regexp_split_to_array({t}, 'a')",
            "array_append({T}, {t})",
            "{I}::text[]",
        ],
    ),
    (
        Mood,
        &[
            "coalesce({o}, 'bad')",
            "CASE WHEN {b} THEN {o} ELSE 'good' END",
            "greatest({o}, 'bad')",
            "enum_last({o})",
        ],
    ),
    (
        Pair,
        &[
            "coalesce({p}, {p})",
            "CASE WHEN {b} THEN {p} END",
            "ROW({i}, {t})::pair",
        ],
    ),
    (
        Range,
        &[
            "tstzrange({m}, NULL)",
            "{r} * {r}",
            "coalesce({r}, 'empty')",
        ],
    ),
];

const LITERALS: &[(Kind, &[&str])] = &[
    (
        Int,
        &[
            "1",
            "0",
            "42",
            "$1::int",
            "'7'::int",
            "NULL::int",
            "int4 '5'",
        ],
    ),
    (
        Numeric,
        &[
            "1.5",
            "0.0",
            "$2::numeric",
            "numeric '2.50'",
            "1e3::numeric",
        ],
    ),
    (
        Text,
        &[
            "'a'",
            "''::text",
            "'x,y'::text",
            "$3::text",
            "E'a\\nb'::text",
            "text 'abc'",
            "$$d$$::text",
            "'now here'::text",
        ],
    ),
    (Bool, &["true", "false", "$4::bool", "NULL::bool"]),
    (
        Moment,
        &[
            "'2020-01-01 00:00:00+00'::timestamptz",
            "timestamptz '2020-02-02 UTC'",
            "$5::timestamptz",
        ],
    ),
    (
        Stamp,
        &[
            "'2020-01-01 10:00'::timestamp",
            "timestamp '2020-03-03'",
            "$6::timestamp",
        ],
    ),
    (
        Date,
        &[
            "'2020-01-01'::date",
            "date '2021-02-03'",
            "$7::date",
            "'2020-01-01'::text::date",
        ],
    ),
    (Time, &["'10:00'::time", "time '11:11:11'"]),
    (
        Span,
        &[
            "interval '1 day'",
            "'2 hours'::interval",
            "interval '3' month",
        ],
    ),
    (
        Json,
        &["'{}'::jsonb", "'{\"a\": [1, 2]}'::jsonb", "$8::jsonb"],
    ),
    (Ints, &["'{1,2}'::int[]", "ARRAY[1, 2, 3]", "$9::int[]"]),
    (Texts, &["'{a,b}'::text[]", "ARRAY['a'::text]"]),
    (Mood, &["'good'::mood", "mood 'bad'"]),
    (Pair, &["ROW(1, 'a')::pair", "NULL::pair"]),
    (
        Range,
        &[
            "'[2020-01-01,2020-02-01)'::tstzrange",
            "tstzrange '[2020-01-01,)'",
        ],
    ),
];

/// A statement from a seed.
pub fn statement(seed: u64) -> String {
    let mut maker = Maker {
        state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        names: 0,
        scopes: Vec::new(),
        with: Vec::new(),
    };
    for _ in 0..4 {
        maker.below(2);
    }
    let poison = maker.below(3) == 0;
    let text = maker.query(3, None).0;
    // A third of them may have something in that must be refused; in the others it is taken out again.
    number(if poison { text } else { tame(&text) })
}

/// Parameters in the order in which they stand.
fn number(text: String) -> String {
    let mut parts = text.split('$');
    let mut numbered = parts.next().unwrap_or_default().to_owned();
    let mut known: Vec<&str> = Vec::new();
    for part in parts {
        let digits = part
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(part.len());
        let (digits, rest) = part.split_at(digits);
        if digits.is_empty() {
            let _ = write!(numbered, "${rest}");
            continue;
        }
        let place = known.iter().position(|d| *d == digits).unwrap_or_else(|| {
            known.push(digits);
            known.len() - 1
        });
        let _ = write!(numbered, "${}{rest}", place + 1);
    }
    numbered
}

fn tame(text: &str) -> String {
    let mut text = text.to_owned();
    for (kind, poison) in POISON {
        let (_, literals) = LITERALS.iter().find(|(k, _)| k == kind).expect("literals");
        text = text.replace(&format!("({poison})"), &format!("({})", literals[0]));
    }
    text
}

type Columns = Vec<(String, Kind)>;

struct Maker {
    state: u64,
    names: usize,
    /// What is in FROM, from the outermost query on: aliases with columns.
    scopes: Vec<Vec<(String, Columns)>>,
    with: Vec<(String, Columns)>,
}

impl Maker {
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).expect("31 bits") % bound.max(1)
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }

    fn name(&mut self, of: &str) -> String {
        self.names += 1;
        format!("{of}{}", self.names)
    }

    fn kind(&mut self) -> Kind {
        KINDS[self.below(KINDS.len())]
    }

    fn expression(&mut self, kind: Kind, depth: usize) -> String {
        let poisons: Vec<&str> = POISON
            .iter()
            .filter(|(k, _)| *k == kind)
            .map(|(_, text)| *text)
            .collect();
        if self.below(40) == 0 && !poisons.is_empty() {
            return format!("({})", self.one(&poisons));
        }
        match self.below(10) {
            0..=3 => self.leaf(kind),
            4 if depth > 1 => self.scalar_query(kind, depth),
            _ if depth == 0 => self.leaf(kind),
            _ => self.shape(kind, depth),
        }
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let columns: Vec<String> = self
            .scopes
            .iter()
            .flatten()
            .flat_map(|(alias, columns)| columns.iter().map(move |(name, k)| (alias, name, k)))
            .filter(|(_, _, k)| **k == kind)
            .map(|(alias, name, _)| format!("{alias}.{name}"))
            .collect();
        if !columns.is_empty() && self.below(5) > 0 {
            return columns[self.below(columns.len())].clone();
        }
        let (_, literals) = LITERALS.iter().find(|(k, _)| *k == kind).expect("literals");
        self.one(literals).to_owned()
    }

    fn shape(&mut self, kind: Kind, depth: usize) -> String {
        let (_, shapes) = SHAPES.iter().find(|(k, _)| *k == kind).expect("shapes");
        let shape = self.one(shapes);
        let mut text = String::from("( ");
        let mut rest = shape;
        while let Some(at) = rest.find('{') {
            let letter = rest[at + 1..].chars().next().expect("a letter");
            let inner = match letter {
                _ if rest.as_bytes().get(at + 2) != Some(&b'}') => None,
                'i' => Some(Int),
                'n' => Some(Numeric),
                't' => Some(Text),
                'b' => Some(Bool),
                'm' => Some(Moment),
                's' => Some(Stamp),
                'd' => Some(Date),
                'h' => Some(Time),
                'v' => Some(Span),
                'j' => Some(Json),
                'I' => Some(Ints),
                'T' => Some(Texts),
                'o' => Some(Mood),
                'p' => Some(Pair),
                'r' => Some(Range),
                _ => None,
            };
            text.push_str(&rest[..at]);
            match inner {
                Some(inner) => {
                    let made = self.expression(inner, depth - 1);
                    text.push_str(&made);
                    rest = &rest[at + 3..];
                }
                None => {
                    text.push('{');
                    rest = &rest[at + 1..];
                }
            }
        }
        text + rest + " )"
    }

    fn scalar_query(&mut self, kind: Kind, depth: usize) -> String {
        let inner = |maker: &mut Maker| maker.query(depth - 2, Some(&[kind])).0;
        match (kind, self.below(4)) {
            (Bool, 0) => format!("EXISTS ( {} )", inner(self)),
            (Bool, 1) => {
                let query = self.query(depth - 2, Some(&[Int])).0;
                let value = self.expression(Int, 1);
                let how = self.one(&["IN", "NOT IN", "= ANY", "> ALL"]);
                format!("( {value} {how} ( {query} ) )")
            }
            (Ints, 0 | 1) => format!("ARRAY( {} )", self.query(depth - 2, Some(&[Int])).0),
            (Int, 0) => self.push_from(depth - 1, |maker, from| {
                let filter = maker.expression(Bool, 1);
                format!("( SELECT count(*)::int FROM {from} WHERE {filter} )")
            }),
            _ => format!("( SELECT x FROM ( {} ) s (x) LIMIT 1 )", inner(self)),
        }
    }

    /// Makes a FROM list, and then what is said over it.
    fn push_from(
        &mut self,
        depth: usize,
        then: impl FnOnce(&mut Maker, String) -> String,
    ) -> String {
        self.scopes.push(Vec::new());
        let from = self.from(depth);
        let text = then(self, from);
        self.scopes.pop();
        text
    }

    fn from(&mut self, depth: usize) -> String {
        let mut text = self.item(depth, false);
        for _ in 0..self.below(3) {
            match self.below(5) {
                0 => {
                    let item = self.item(depth, true);
                    let _ = write!(text, " CROSS JOIN {item}");
                }
                1 => {
                    let item = self.item(depth, true);
                    let _ = write!(text, " , {item}");
                }
                _ => {
                    let kind = self.one(&["JOIN", "LEFT JOIN", "JOIN", "INNER JOIN"]);
                    let item = self.item(depth, true);
                    let on = self.expression(Bool, 1);
                    // Of a comma's left side ON may not speak.
                    text = match text.contains(" , ") {
                        true => format!("{text} , {item}"),
                        false => format!("{text} {kind} {item} ON {on}"),
                    };
                }
            }
        }
        text
    }

    fn item(&mut self, depth: usize, lateral: bool) -> String {
        let alias = self.name("a");
        let (text, columns) = match self.below(8) {
            0 if depth > 0 => {
                let hidden = match lateral && self.below(2) == 0 {
                    true => None,
                    false => self.scopes.pop(),
                };
                let (query, columns) = self.query(depth - 1, None);
                let word = if hidden.is_some() { "" } else { "LATERAL " };
                self.scopes.extend(hidden);
                (format!("{word}( {query} ) AS {alias}"), columns)
            }
            1 => self.function(&alias),
            2 if !self.with.is_empty() => {
                let n = self.below(self.with.len());
                let (name, columns) = self.with[n].clone();
                (format!("{name} {alias}"), columns)
            }
            _ => {
                let few = if self.below(4) == 0 {
                    RELATIONS.len()
                } else {
                    8
                };
                let (name, columns) = RELATIONS[self.below(few)];
                let columns = columns
                    .iter()
                    .map(|(name, kind)| ((*name).to_owned(), *kind));
                (format!("{name} {alias}"), columns.collect())
            }
        };
        self.scopes
            .last_mut()
            .expect("a scope")
            .push((alias, columns));
        text
    }

    fn function(&mut self, alias: &str) -> (String, Columns) {
        let (call, kind) = match self.below(6) {
            0 => ("generate_series(1, 3)", Int),
            1 => ("unnest(ARRAY[1, 2])", Int),
            2 => ("regexp_split_to_table('a b', ' ')", Text),
            3 => (
                "generate_series('2020-01-01'::timestamptz, '2020-01-09', '1 day')",
                Moment,
            ),
            4 => ("jsonb_array_elements('[]')", Json),
            _ => ("unnest('{a,b}'::text[])", Text),
        };
        match self.below(3) {
            0 => {
                let columns = vec![("v".to_owned(), kind), ("n".to_owned(), Int)];
                (format!("{call} WITH ORDINALITY AS {alias} (v, n)"), columns)
            }
            1 => (
                format!("ROWS FROM ( {call} ) AS {alias} (v)"),
                vec![("v".to_owned(), kind)],
            ),
            _ => (
                format!("{call} AS {alias} (v)"),
                vec![("v".to_owned(), kind)],
            ),
        }
    }

    /// A query and its columns; of these kinds, if that is asked for.
    fn query(&mut self, depth: usize, kinds: Option<&[Kind]>) -> (String, Columns) {
        let count = 1 + self.below(3);
        let kinds: Vec<Kind> = match kinds {
            Some(kinds) => kinds.to_vec(),
            None => (0..count).map(|_| self.kind()).collect(),
        };
        let before = self.with.len();
        let mut text = String::new();
        if depth > 1 && self.below(4) == 0 {
            text = self.with_clause(depth);
        }
        let columns: Columns = kinds.iter().map(|kind| (self.name("c"), *kind)).collect();
        text += &self.select(depth, &columns);
        if depth > 0 && self.below(6) == 0 && !kinds.contains(&Json) {
            let how = self.one(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]);
            let other = self.select(depth - 1, &columns);
            text = format!("{text} {how} {other}");
        }
        self.with.truncate(before);
        (text, columns)
    }

    fn with_clause(&mut self, depth: usize) -> String {
        let name = self.name("w");
        let hidden = std::mem::take(&mut self.scopes);
        let (query, columns) = self.query(depth - 2, None);
        self.scopes = hidden;
        let how = self.one(&["", "MATERIALIZED ", "NOT MATERIALIZED "]);
        let recursive = self.one(&["", "RECURSIVE "]);
        self.with.push((name.clone(), columns));
        format!("WITH {recursive}{name} AS {how}( {query} ) ")
    }

    fn select(&mut self, depth: usize, columns: &Columns) -> String {
        let columns = columns.clone();
        self.push_from(depth, |maker, from| {
            let shape = maker.below(8);
            let mut targets: Vec<String> = Vec::new();
            for (name, kind) in &columns {
                let value = match shape {
                    0 => maker.aggregate(*kind),
                    1 => maker.window(*kind),
                    _ => maker.expression(*kind, depth),
                };
                targets.push(format!("{value} AS {name}"));
            }
            let distinct = if shape == 2 && !columns.iter().any(|(_, k)| *k == Json) {
                "DISTINCT "
            } else {
                ""
            };
            let mut text = format!("SELECT {distinct}{} FROM {from}", targets.join(" , "));
            if maker.below(3) > 0 {
                let filter = maker.expression(Bool, depth);
                let _ = write!(text, " WHERE {filter}");
            }
            if shape == 0 && maker.below(2) == 0 {
                let key = maker.leaf(Int);
                let _ = write!(text, " GROUP BY {key} , ( {} )", maker.leaf(Text));
            }
            text
        })
    }

    fn aggregate(&mut self, kind: Kind) -> String {
        let inner = self.expression(kind, 1);
        let text = self.expression(Text, 1);
        let filter = self.expression(Bool, 1);
        match kind {
            Int => format!("( count(DISTINCT {inner}) FILTER (WHERE {filter}) )::int"),
            Numeric => format!("( percentile_disc(0.5) WITHIN GROUP (ORDER BY {inner}) )"),
            Text => format!("string_agg({inner}, ',' ORDER BY {text} DESC)"),
            Bool => format!("bool_and({inner})"),
            Json => format!("jsonb_agg({inner})"),
            Ints => format!("array_agg(({inner})[1])::int[]"),
            Texts => format!("array_agg({text})"),
            Range | Pair => format!("( array_agg({inner}) )[1]"),
            _ => format!("max({inner})"),
        }
    }

    fn window(&mut self, kind: Kind) -> String {
        let inner = self.expression(kind, 1);
        let (by, order) = (self.leaf(Text), self.leaf(Int));
        let function = self.one(&["first_value", "lag", "last_value"]);
        let frame = self.one(&[
            "",
            " ROWS 2 PRECEDING",
            " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
        ]);
        format!(
            "{function}({inner}) OVER ( PARTITION BY {by} ORDER BY {order}, {inner}::text{frame} )"
        )
    }
}
