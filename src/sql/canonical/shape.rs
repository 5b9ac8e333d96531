//! The shape of a text: what is left of it without its constants.
//!
//! * What was between two constants is copied, a constant never: where one ends is settled by the lexer that makes the key.
//! * A list of constants is one, however long: `IN (?, ...)`, `VALUES (?, ...), ...`. Else each length were a shape of its
//!   own.

/// A shape in the making.
#[derive(Debug, Default)]
pub(super) struct Shape {
    out: Vec<u8>,
    /// How far the canonical text is dealt with.
    seen: usize,
}

impl Shape {
    /// A constant stands in the canonical text from there to its end.
    pub(super) fn constant(&mut self, text: &[u8], start: usize) {
        self.out.extend_from_slice(&text[self.seen..start]);
        self.seen = text.len();
        for (ends, stays) in [(&b"?, "[..], 1), (b"?,", 1), (b"..., ", 3), (b"...,", 3)] {
            if self.out.ends_with(ends) {
                self.out.truncate(self.out.len() - ends.len() + stays);
                if stays == 1 {
                    self.out.extend_from_slice(b", ...");
                }
                return;
            }
        }
        self.out.push(b'?');
    }

    /// The same of digits: what is behind a point belongs to the number before it.
    pub(super) fn number(&mut self, text: &[u8], start: usize) {
        let between = &text[self.seen..start];
        if between == b"." && matches!(self.out.last(), Some(b'?' | b'.')) {
            self.seen = text.len();
            return;
        }
        let start = start - usize::from(between.ends_with(b"."));
        self.constant(text, start);
    }

    /// The whole, with what comes behind the last constant.
    pub(super) fn finish(mut self, text: &[u8]) -> Vec<u8> {
        let rest = text.get(self.seen..).unwrap_or_default();
        self.out.extend_from_slice(rest);
        fold_rows(self.out)
    }
}

/// `(?, ...), (?, ...), (?, ...)` is `(?, ...), ...`.
fn fold_rows(shape: Vec<u8>) -> Vec<u8> {
    const ROW: &[u8] = b"(?, ...)";
    let first = shape
        .windows(2 * ROW.len() + 1)
        .position(|w| w.starts_with(ROW) && w[ROW.len()] == b',');
    let Some(first) = first else {
        return shape;
    };
    let (head, mut rest) = shape.split_at(first + ROW.len());
    let mut out = head.to_vec();
    let mut folded = false;
    while let Some(next) = rest.strip_prefix(b", ").or(rest.strip_prefix(b",")) {
        let Some(next) = next.strip_prefix(ROW) else {
            break;
        };
        (rest, folded) = (next, true);
    }
    if folded {
        out.extend_from_slice(b", ...");
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use crate::sql::canonical::canonical;

    fn shape(text: &str) -> String {
        canonical(text).expect("it is closed").shape.into()
    }

    #[test]
    fn constants_of_every_kind_are_left_out() {
        for constant in [
            "1",
            "1.5",
            ".5",
            "1e10",
            "0x1F",
            "1_000",
            "'a'",
            "''",
            "'it''s'",
            r"E'a\'b'",
            r"e'\\'",
            r"U&'\0041'",
            "B'1'",
            "X'1f'",
            "N'a'",
            "$$a$$",
            "$x$a $$ b$x$",
            "'a'\n'b'",
        ] {
            let text = format!("SELECT a FROM t WHERE b = {constant} AND c");
            assert_eq!(
                shape(&text),
                "SELECT a FROM t WHERE b = ? AND c",
                "{constant}"
            );
        }
    }

    #[test]
    fn what_is_no_constant_stays() {
        for text in [
            r#"SELECT a1, "b 'x' 1", $1, $23 FROM s.t2 AS "t""u""#,
            "SELECT true, NULL, a::int4 FROM t",
        ] {
            assert_eq!(shape(text), text);
        }
        assert_eq!(shape("SELECT -1, a - 1"), "SELECT -?, a - ?");
        let text = "SELECT a /* 'x' */ FROM t -- 5\n;";
        assert_eq!(shape(text), "SELECT a FROM t");
    }

    #[test]
    fn lists_are_folded() {
        for list in ["1, 2", "1,2,3", "'a', 'b', 3, 4"] {
            let text = format!("SELECT a FROM t WHERE b IN ({list})");
            assert_eq!(shape(&text), "SELECT a FROM t WHERE b IN (?, ...)");
        }
        let one = "SELECT a FROM t WHERE b IN (1)";
        assert_eq!(shape(one), "SELECT a FROM t WHERE b IN (?)");
        for rows in ["(1, 2), (3, 4)", "(1,2),(3,4),('x', 5)"] {
            let text = format!("INSERT INTO t VALUES {rows} RETURNING a");
            let expected = "INSERT INTO t VALUES (?, ...), ... RETURNING a";
            assert_eq!(shape(&text), expected);
        }
    }

    /// Hazard 76.
    #[test]
    fn nothing_of_a_constant_is_left() {
        use proptest::prelude::*;
        let forms = [
            "'@'",
            "'x''@'''",
            r"E'\'@\\'",
            "U&'@'",
            "$q$@$q$",
            "'a'\n '@'",
            "/* @ */ 1",
            "X'@'",
        ];
        let quoted = ("[a-z]{6,9}", proptest::sample::select(forms.to_vec()));
        let lists = proptest::collection::vec(quoted, 1..5);
        let glues = proptest::sample::select(vec![", ", ",", " + ", " || "]);
        proptest!(|(constants in lists, glue in glues)| {
            let all: Vec<_> = constants.iter().map(|(secret, form)| form.replace('@', secret)).collect();
            let text = format!("SELECT UPPER FROM T WHERE A IN ({})", all.join(glue));
            let found = shape(&text);
            for (secret, _) in &constants {
                prop_assert!(!found.contains(secret.as_str()), "{} in {}", secret, found);
            }
        });
    }
}
