//! The canonical text: a message without comments and insignificant white space.
//!
//! * A comment or a run of white space becomes one space, never nothing: `a/**/b` and `a - -1` keep their tokens apart.
//! * Nothing inside `'…'`, `E'…'`, `U&'…'`, `"…"`, `U&"…"` and `$tag$…$tag$` is touched: two literals that differ stay
//!   two keys.
//! * Two string constants with a line break between them are one constant (manual, 4.1.2.1), with a space between
//!   them a syntax error: there the line break stays.
//! * Case is kept: folding would have to know what is an identifier, and output names are part of the answer.
//!
//! * It is the text that is parsed. PostgreSQL's scanner takes quadratic time over nested comments and over endless
//!   runs of operator characters: the former are gone, the latter and whatever is not closed are refused here.
//!
//! Beside it its *shape* is made, for statistics: the same with each constant replaced by `?`, lists of them folded.
//! Nothing of a constant is left in a shape, so that it may be shown where a text may not.
//!
//! Not here: what a hint in a comment may say (`hint`).

/// PostgreSQL knows no longer operator than 63 bytes; longer runs are only signs, and nobody writes so many.
const LONGEST_OPERATOR: usize = 255;

/// A text without what does not matter, and without what only its one use has.
#[derive(Debug)]
pub struct Canonical {
    /// Without comments and insignificant white space.
    pub text: Box<str>,
    /// … and without constants.
    pub shape: Box<str>,
    /// What its comments say.
    pub hints: Hints,
}

/// Removes comments, collapses white space, drops trailing semicolons. `None`: a quote or a comment is not closed, a
/// run of operator characters does not end, or there is a vertical tab (white space only since PostgreSQL 16).
pub fn canonical(text: &str) -> Option<Canonical> {
    let mut lexer = Lexer {
        text: text.as_bytes(),
        at: 0,
        out: Vec::with_capacity(text.len()),
        shape: Shape::default(),
        hints: Hints::default(),
        operator: 0,
        broken: false,
    };
    lexer.run();
    let (mut out, shape, hints) = (lexer.out, lexer.shape, lexer.hints);
    while matches!(out.last(), Some(b';' | b' ' | b'\n')) {
        out.pop();
    }
    if lexer.broken {
        return None;
    }
    // Only whole ASCII bytes were left out, so this cannot fail.
    let shape = String::from_utf8(shape.finish(&out)).ok()?;
    Some(Canonical {
        text: String::from_utf8(out).ok()?.into(),
        shape: shape.into(),
        hints,
    })
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    shape: Shape,
    hints: Hints,
    /// Length of the run of operator characters before this place.
    operator: usize,
    broken: bool,
}

/// What a quoted token allows inside.
#[derive(Clone, Copy, PartialEq)]
enum Quote {
    /// `'…'`: a doubled quote is a quote, a backslash is a backslash (standard_conforming_strings is on).
    Plain,
    /// `E'…'`: a backslash takes the next byte with it.
    Escape,
    /// `"…"`: like `Plain`, but never continued on the next line.
    Identifier,
}

/// What lies between two tokens.
#[derive(Default)]
struct Gap {
    any: bool,
    newline: bool,
    comment: bool,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn copy(&mut self, bytes: usize) {
        let end = (self.at + bytes).min(self.text.len());
        self.out.extend_from_slice(&self.text[self.at..end]);
        self.at = end;
    }

    fn run(&mut self) {
        while self.at < self.text.len() && !self.broken {
            if self.gap().any && !self.out.is_empty() && self.at < self.text.len() {
                self.out.push(b' ');
            }
            if self.at < self.text.len() {
                self.token();
            }
        }
    }

    /// Passes over white space and comments.
    fn gap(&mut self) -> Gap {
        let mut gap = Gap::default();
        loop {
            match (self.peek(0), self.peek(1)) {
                (b' ' | b'\t' | 0x0c, _) => self.at += 1,
                (b'\n' | b'\r', _) => {
                    self.at += 1;
                    gap.newline = true;
                }
                (b'-', b'-') => {
                    let rest = &self.text[self.at..];
                    let end = rest.iter().position(|b| matches!(b, b'\n' | b'\r'));
                    let (comment, _) = rest.split_at(end.unwrap_or(rest.len()));
                    self.hints.read(comment);
                    self.at += comment.len();
                    gap.comment = true;
                }
                (b'/', b'*') => {
                    let start = self.at;
                    self.block_comment();
                    self.hints.read(&self.text[start..self.at]);
                    gap.comment = true;
                }
                _ => return gap,
            }
            gap.any = true;
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.text.len() {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return;
                    }
                }
                _ => self.at += 1,
            }
        }
        self.broken = true;
    }

    fn token(&mut self) {
        let operator = std::mem::take(&mut self.operator);
        match (self.peek(0), self.peek(1), self.peek(2)) {
            (b'\'', ..) => self.quoted(1, Quote::Plain),
            (b'"', ..) => self.quoted(1, Quote::Identifier),
            (b'e' | b'E', b'\'', _) => self.quoted(2, Quote::Escape),
            (b'b' | b'B' | b'x' | b'X' | b'n' | b'N', b'\'', _) => self.quoted(2, Quote::Plain),
            (b'u' | b'U', b'&', b'\'') => self.quoted(3, Quote::Plain),
            (b'u' | b'U', b'&', b'"') => self.quoted(3, Quote::Identifier),
            (b'$', digit, _) if digit.is_ascii_digit() => self.parameter(),
            (b'$', ..) => self.dollar(),
            (first, ..) if first.is_ascii_digit() => {
                let start = self.out.len();
                self.word();
                self.shape.number(&self.out, start);
            }
            (first, ..) if word_start(first) => self.word(),
            (
                b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'+' | b'-' | b'*'
                | b'/',
                ..,
            )
            | (b'%' | b'<' | b'>' | b'=', ..) => {
                self.operator = operator + 1;
                self.broken |= self.operator > LONGEST_OPERATOR;
                self.copy(1);
            }
            (0x0b, ..) => self.broken = true,
            _ => self.copy(1),
        }
    }

    /// An identifier, a keyword or a number: whole, so that its last letter is not taken for a string's prefix.
    fn word(&mut self) {
        let dollar = word_start(self.peek(0));
        let rest = &self.text[self.at..];
        let inside = |b: &u8| word_start(*b) || b.is_ascii_digit() || (dollar && *b == b'$');
        self.copy(rest.iter().position(|b| !inside(b)).unwrap_or(rest.len()));
    }

    /// `$1`: only digits belong to it, `$1a$b$` is `$1 AS a$b$`.
    fn parameter(&mut self) {
        let digits = self.text[self.at + 1..]
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        self.copy(1 + digits);
    }

    fn quoted(&mut self, prefix: usize, quote: Quote) {
        let close = if quote == Quote::Identifier {
            b'"'
        } else {
            b'\''
        };
        let start = self.out.len();
        self.copy(prefix);
        while self.at < self.text.len() {
            let byte = self.peek(0);
            if byte == b'\\' && quote == Quote::Escape {
                self.copy(2);
            } else if byte != close {
                self.copy(1);
            } else if self.peek(1) == close {
                self.copy(2);
            } else {
                self.copy(1);
                if quote == Quote::Identifier {
                    return;
                }
                if !self.continued() {
                    return self.shape.constant(&self.out, start);
                }
            }
        }
        self.broken = true;
    }

    /// Behind a closing quote: does the constant go on behind a line break? Then stands behind the next quote.
    fn continued(&mut self) -> bool {
        let before = self.at;
        let gap = self.gap();
        if gap.newline && self.peek(0) == b'\'' {
            // With a comment between them, versions disagree on whether it goes on.
            self.broken |= gap.comment;
            self.out.push(b'\n');
            self.copy(1);
            return true;
        }
        self.at = before;
        false
    }

    fn dollar(&mut self) {
        let rest = &self.text[self.at..];
        let tag = rest[1..]
            .iter()
            .position(|b| !(word_start(*b) || b.is_ascii_digit()))
            .map(|n| &rest[..n + 2]);
        match tag {
            Some(tag) if tag.ends_with(b"$") && !tag[1].is_ascii_digit() => {
                let body = &rest[tag.len()..];
                match find(body, tag) {
                    Some(at) => {
                        let (start, length) = (self.out.len(), at + 2 * tag.len());
                        self.copy(length);
                        self.shape.constant(&self.out, start);
                    }
                    None => self.broken = true,
                }
            }
            _ => self.copy(1),
        }
    }
}

fn word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

/// Where the delimiter begins. Linear: a delimiter has `$` only at its ends, so a failed match is never re-read.
fn find(body: &[u8], delimiter: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += body[at..].iter().position(|b| *b == b'$')?;
        if body[at..].starts_with(delimiter) {
            return Some(at);
        }
        at += 1;
    }
}

use super::hint::Hints;

mod shape;

use shape::Shape;

#[cfg(test)]
mod canonical_tests;
