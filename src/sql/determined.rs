//! The determinedness of an answer: whether the same data must give the same rows again.
//!
//! * Two right answers may differ where PostgreSQL is free to choose: which rows a LIMIT leaves, in which order an
//!   aggregate takes them, which of two equal values stands for a group. Only where it is not free does a difference
//!   prove anything.
//! * A superset is right here, too: words count wherever they stand, in a literal or a quoted name as well. A word too
//!   many makes a difference prove nothing, a word too few would make a right answer look wrong.
//! * Not looked into: views, whose text is not here. So what reads one is never determined.
//!
//! It is asked when two answers differ, and never on the way of a statement.

use super::catalog::SYSTEM_CATALOGS;
use super::{Catalog, Oid, Statement, analyse};

/// How far the data determines an answer, apart from the order of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Determined {
    /// All of it.
    Whole,
    /// The number of its rows; all of it if these are fewer than so many.
    Below(u32),
    /// Nothing of it.
    Nothing,
}

/// Words of constructs that leave PostgreSQL a choice. Sorted.
const WORDS: &[&str] = &[
    "array",
    "cube",
    "distinct",
    "except",
    "fetch",
    "group",
    "grouping",
    "having",
    "intersect",
    "json_arrayagg",
    "json_objectagg",
    "over",
    "recursive",
    "rollup",
    "tablesample",
    "union",
    "window",
];

/// Aggregates and window functions whose result may depend on the order of the rows, if only in how an equal value looks
/// (`max` of 1.0 and 1.00). Sorted.
const FUNCTIONS: &[&str] = &[
    "any_value",
    "array_agg",
    "avg",
    "corr",
    "covar_pop",
    "covar_samp",
    "cume_dist",
    "dense_rank",
    "first_value",
    "int_array_aggregate",
    "json_agg",
    "json_agg_strict",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "lag",
    "last_value",
    "lead",
    "max",
    "min",
    "mode",
    "nth_value",
    "ntile",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "rank",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "row_number",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "sum",
    "var_pop",
    "var_samp",
    "variance",
    "xmlagg",
];

/// Aggregates whose result does not. Sorted.
const PLAIN: &[&str] = &[
    "bit_and", "bit_or", "bit_xor", "bool_and", "bool_or", "count", "every",
];

/// Whether a name is that of an aggregate or window function that was looked at.
pub fn is_reviewed(name: &str) -> bool {
    FUNCTIONS.binary_search(&name).is_ok() || PLAIN.binary_search(&name).is_ok()
}

/// How far the answer to a canonical text that reads these relations is determined.
pub fn determined(text: &str, relations: &[Oid], catalog: &Catalog) -> Determined {
    // What PostgreSQL does by itself (statistics, freezing) shows in its catalogs.
    let watched = relations
        .iter()
        .all(|oid| *oid != SYSTEM_CATALOGS && catalog.is_view(*oid) == Some(false));
    let analysis = analyse(text);
    let [Statement::Query(query)] = &*analysis.statements else {
        return Determined::Nothing;
    };
    let calls = query.functions.iter().map(|(name, _)| &*name.name);
    let dots = query.attributes.iter().chain(&query.fields).map(|f| &**f);
    let chosen = calls
        .chain(dots)
        .any(|name| FUNCTIONS.binary_search(&name).is_ok());
    match watched && !chosen {
        true => by_words(text),
        false => Determined::Nothing,
    }
}

fn by_words(text: &str) -> Determined {
    let text = text.to_ascii_lowercase();
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
    let mut limits = Vec::new();
    let mut at = 0;
    for word in text.split(|c: char| !is_word(c)) {
        if WORDS.binary_search(&word).is_ok() {
            return Determined::Nothing;
        }
        if matches!(word, "limit" | "offset") {
            limits.push((word, at + word.len()));
        }
        at += word.len();
        at += text[at..].chars().next().map_or(0, char::len_utf8);
    }
    let tail = |at: usize| text[at..].trim();
    match limits[..] {
        [] => Determined::Whole,
        // Behind the LIMIT of a query inside comes its end.
        [(_, first), ..] if tail(first).contains(')') => Determined::Nothing,
        [("limit", first)] => Determined::Below(tail(first).parse().unwrap_or(0)),
        [("offset", _)] | [("limit", _), ("offset", _)] | [("offset", _), ("limit", _)] => {
            Determined::Below(0)
        }
        _ => Determined::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::catalog::Rows;

    #[test]
    fn lists_are_sorted_for_bisection() {
        for list in [WORDS, FUNCTIONS, PLAIN] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn what_leaves_postgresql_a_choice_is_not_determined() {
        let mut rows = Rows::empty_database();
        let t = rows.table("public", "t");
        let view = rows.view("public", "v", &[t]);
        let catalog = Catalog::build(1, rows);
        let of = |text: &str, relations: &[Oid]| determined(text, relations, &catalog);
        for (text, expected) in [
            ("SELECT * FROM t WHERE id = 1", Determined::Whole),
            (
                "SELECT lower(a), count FROM t ORDER BY a",
                Determined::Whole,
            ),
            ("SELECT count(*) FROM t", Determined::Whole),
            (
                "SELECT * FROM t WHERE id = $1 LIMIT 21",
                Determined::Below(21),
            ),
            ("SELECT * FROM t LIMIT $1", Determined::Below(0)),
            ("SELECT * FROM t LIMIT 5 OFFSET 3", Determined::Below(0)),
            ("SELECT * FROM t OFFSET 3", Determined::Below(0)),
            ("SELECT * FROM t OFFSET 3 LIMIT 5", Determined::Below(0)),
            ("SELECT a FROM t WHERE b = 'limit 5'", Determined::Below(0)),
            (
                "SELECT * FROM (SELECT * FROM t LIMIT 1) q",
                Determined::Nothing,
            ),
            (
                "SELECT * FROM t WHERE b = 'limit' LIMIT 3",
                Determined::Nothing,
            ),
            (
                "SELECT * FROM t FETCH FIRST 1 ROW ONLY",
                Determined::Nothing,
            ),
            ("SELECT DISTINCT a FROM t", Determined::Nothing),
            ("SELECT a FROM t GROUP BY a", Determined::Nothing),
            ("SELECT a FROM t UNION ALL SELECT 1", Determined::Nothing),
            ("SELECT sum(a) FROM t", Determined::Nothing),
            ("SELECT U&\"\\0073um\"(a) FROM t", Determined::Nothing),
            ("SELECT \"max\"(a) FROM t", Determined::Nothing),
            ("SELECT t.max FROM t", Determined::Nothing),
            ("SELECT ARRAY(SELECT a FROM t)", Determined::Nothing),
            ("SELECT rank() OVER () FROM t", Determined::Nothing),
            ("SELECT 'ä limit', a FROM t", Determined::Below(0)),
            ("not a statement", Determined::Nothing),
        ] {
            assert_eq!(of(text, &[t]), expected, "{text}");
        }
        let all = "SELECT * FROM v";
        assert_eq!(of(all, &[t, view]), Determined::Nothing, "a view");
        assert_eq!(of(all, &[SYSTEM_CATALOGS]), Determined::Nothing);
        assert_eq!(of(all, &[t + 77]), Determined::Nothing, "not known");
    }
}
