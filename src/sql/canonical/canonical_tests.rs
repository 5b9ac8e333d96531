//! Tests of the canonical text: known cases, and PostgreSQL's own parser as the judge of generated ones.

use proptest::prelude::*;

fn maybe(text: &str) -> Option<Box<str>> {
    super::canonical(text).map(|canonical| canonical.text)
}

#[test]
fn comments_and_white_space_go() {
    for (text, expected) in [
        ("SELECT 1", "SELECT 1"),
        ("  SELECT\t\r\n 1  ;  ", "SELECT 1"),
        ("SELECT 1;;\n;", "SELECT 1"),
        (";", ""),
        ("-- all\n", ""),
        ("SELECT 1 -- comment", "SELECT 1"),
        ("SELECT 1 -- a\rFROM t", "SELECT 1 FROM t"),
        ("SELECT/* a /* b */ c */1", "SELECT 1"),
        ("/* hint */ SELECT 1 /* traceparent='x' */", "SELECT 1"),
        ("a - -1", "a - -1"),
        ("a -/**/-1", "a - -1"),
        ("a/**/b", "a b"),
        ("a *-- c\n b", "a * b"),
        ("1 /**/. 5", "1 . 5"),
        ("SELECT 1; -- two\nSELECT 2;", "SELECT 1; SELECT 2"),
    ] {
        assert_eq!(&*canonical(text), expected, "{text:?}");
    }
}

#[test]
fn quoted_text_stays() {
    for text in [
        "SELECT 'a  b'",
        "SELECT '-- no comment'",
        "SELECT '/* no */  comment'",
        "SELECT 'it''s  here'",
        "SELECT 'back\\'",
        "SELECT E'it\\'s  -- here'",
        "SELECT e'\\\\', 'a  b'",
        "SELECT \"a  --b\"",
        "SELECT \"a\"\"  b\"",
        "SELECT U&'d\\0061t  a'",
        "SELECT U&\"d\\0061t  a\"",
        "SELECT $$a  --b$$",
        "SELECT $tag$a  $$ $ta$ b$tag$",
        "SELECT $é$a  b$é$",
        "SELECT a$b$, c AS d",
        "SELECT B'01', x'1F', N'a  b'",
        "SELECT 'a'\n'b  c'",
        "SELECT $1 + $2",
        "SELECT $1a$b$",
    ] {
        assert_eq!(&*canonical(text), text);
    }
    assert_ne!(canonical("SELECT 'a  b'"), canonical("SELECT 'a b'"));
    assert_ne!(canonical("SELECT a"), canonical("SELECT A"));
    assert_ne!(canonical("SELECT 1"), canonical("SELECT 1.0"));
}

#[test]
fn a_constant_goes_on_behind_a_line_break_only() {
    for (text, expected) in [
        ("SELECT 'a'  \n\n  'b'", "SELECT 'a'\n'b'"),
        ("SELECT E'a'\n'\\'  --' , 1", "SELECT E'a'\n'\\'  --' , 1"),
        ("SELECT 'a' /* \n */ 'b'", "SELECT 'a' 'b'"),
        ("SELECT 'a' -- why\n , 'b'", "SELECT 'a' , 'b'"),
        ("SELECT 'a'   'b'", "SELECT 'a' 'b'"),
        ("SELECT 'a'\n, 'b'", "SELECT 'a' , 'b'"),
        ("SELECT \"a\"\n'b'", "SELECT \"a\" 'b'"),
    ] {
        assert_eq!(&*canonical(text), expected, "{text:?}");
    }
}

#[test]
fn what_does_not_end_is_refused() {
    let signs = "+".repeat(1000);
    for text in [
        "'a",
        "E'a\\'",
        "\"a",
        "$$a",
        "$a$ $b$",
        "/* a",
        "/* /* */",
        "'a'\n'b",
        "SELECT 'a' -- why\n'b'",
        "SELECT\u{b}1",
        "B'",
        &signs,
    ] {
        assert_eq!(maybe(text), None, "{text:?}");
    }
    assert!(maybe("SELECT '\u{b}'").is_some());
    assert!(maybe("SELECT $ 'a'").is_some(), "the parser's business");
}

fn canonical(text: &str) -> Box<str> {
    maybe(text).unwrap_or_else(|| panic!("refused: {text:?}"))
}

/// The tree as text, without positions. `None`: does not parse.
fn tree(text: &str) -> Option<String> {
    let tree = pg_raw_parse::parse(text).ok()?;
    let text = format!("{tree:?}");
    let mut kept = String::new();
    let positions = ["location: ", "list_start: ", "list_end: ", "stmt_len: "];
    let mut rest = &*text;
    while let Some((at, found)) = positions
        .iter()
        .filter_map(|p| rest.find(p).map(|at| (at + p.len(), p)))
        .min_by_key(|(at, _)| *at)
    {
        kept.push_str(&rest[..at - found.len()]);
        rest = rest[at..].trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
    }
    kept.push_str(rest);
    Some(kept)
}

fn piece() -> impl Strategy<Value = String> {
    let fixed = prop::sample::select(vec![
        "SELECT",
        "a",
        "eE",
        "1",
        "1.5e3",
        "$1",
        "'a  b'",
        "E'\\'--'",
        "e'x'",
        "'it''s'",
        "U&'\\0061'",
        "B'01'",
        "x'ff'",
        "\"q  --\"",
        "$$ '-- $$",
        "$t$ $$ $t$",
        "a$b$",
        "+",
        "-",
        "*",
        "/",
        "<",
        ">=",
        "||",
        "!~~*",
        "::int",
        "(",
        ")",
        ",",
        ".",
        ";",
        "FROM t",
        "AS b",
        "é",
    ])
    .prop_map(str::to_owned);
    let gap = prop::sample::select(vec![
        " ",
        "  ",
        "\t",
        "\n",
        "\r\n",
        "-- c\n",
        "--\r",
        "/* c */",
        "/**/",
        "/* a /* ' */ \n */",
        " \n ",
        "\u{c}",
    ])
    .prop_map(str::to_owned);
    prop_oneof![3 => fixed, 2 => gap]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn the_tree_stays_the_same(pieces in proptest::collection::vec(piece(), 0..24)) {
        let text = format!("SELECT {}", pieces.concat());
        match maybe(&text) {
            None => prop_assert_eq!(tree(&text), None, "{:?}", text),
            Some(short) => {
                prop_assert_eq!(canonical(&short), short.clone());
                prop_assert_eq!(tree(&text), tree(&short), "{:?} became {:?}", text, short);
            }
        }
    }

    #[test]
    fn gaps_between_tokens_do_not_matter(gaps in proptest::collection::vec(gap(), 14)) {
        let tokens = ["SELECT", "a", ",", "'x  y'", "AS", "\"b  c\"", ",", "E'\\''", "FROM", "t", "WHERE", "c", "=", "$1"];
        let text: String = tokens.iter().zip(&gaps).map(|(token, gap)| format!("{gap}{token}")).collect();
        prop_assert_eq!(&*canonical(&text), &*tokens.join(" "));
    }

    #[test]
    fn any_text_is_taken(text in any::<String>()) {
        maybe(&text);
    }
}

/// White space of any kind, never nothing.
fn gap() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop::sample::select(vec![" ", "\t", "\n", "\r", "-- c '\n", "/* \" */"]),
        1..4,
    )
    .prop_map(|parts| parts.concat())
}
