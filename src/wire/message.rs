//! The messages that Larder looks into or writes itself (manual, 55.7): readers by offset, writers by hand.
//!
//! * A reader gives `None` for any message whose layout is not exactly what the manual says; the caller passes
//!   such a message on untouched and lets PostgreSQL judge it (hazard 64).

use super::frame;

/// ParseComplete.
pub const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";
/// BindComplete.
pub const BIND_COMPLETE: &[u8] = b"2\0\0\0\x04";
/// ParameterDescription of no parameter.
pub const NO_PARAMETERS: &[u8] = b"t\0\0\0\x06\0\0";
/// NoData.
pub const NO_DATA: &[u8] = b"n\0\0\0\x04";
/// CloseComplete.
pub const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";
/// PortalSuspended.
pub const PORTAL_SUSPENDED: &[u8] = b"s\0\0\0\x04";
/// Flush.
pub const FLUSH: &[u8] = b"H\0\0\0\x04";
/// Sync.
pub const SYNC: &[u8] = b"S\0\0\0\x04";

/// ReadyForQuery with a transaction status of `I`, `T` or `E`.
pub fn ready(status: u8) -> [u8; 6] {
    [b'Z', 0, 0, 0, 5, status]
}

/// A string up to its NUL, and what follows.
#[inline]
pub fn cstr(buf: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = buf.iter().position(|b| *b == 0)?;
    Some((&buf[..end], &buf[end + 1..]))
}

fn u16_at(buf: &[u8]) -> Option<(usize, &[u8])> {
    let head = buf.first_chunk::<2>()?;
    Some((u16::from_be_bytes(*head) as usize, &buf[2..]))
}

/// The text of a simple Query.
pub fn query(body: &[u8]) -> Option<&[u8]> {
    match cstr(body)? {
        (text, []) => Some(text),
        _ => None,
    }
}

/// Parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    pub name: &'a [u8],
    pub text: &'a [u8],
    /// Declared parameter types, four bytes each, as sent.
    pub types: &'a [u8],
}

/// Reads Parse.
pub fn parse(body: &[u8]) -> Option<Parse<'_>> {
    let (name, rest) = cstr(body)?;
    let (text, rest) = cstr(rest)?;
    let (count, types) = u16_at(rest)?;
    (types.len() == count * 4).then_some(Parse { name, text, types })
}

/// Appends a Parse message.
pub fn put_parse(out: &mut Vec<u8>, parse: &Parse<'_>) {
    let mut body = Vec::with_capacity(parse.name.len() + parse.text.len() + parse.types.len() + 4);
    body.extend_from_slice(parse.name);
    body.push(0);
    body.extend_from_slice(parse.text);
    body.push(0);
    body.extend_from_slice(&((parse.types.len() / 4) as u16).to_be_bytes());
    body.extend_from_slice(parse.types);
    frame::put(out, b'P', &body);
}

/// Bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    pub portal: &'a [u8],
    pub statement: &'a [u8],
    /// Everything behind the two names: parameter formats, parameters, result formats, as sent. It is part of
    /// the key as it is.
    pub tail: &'a [u8],
}

/// Reads the two names of Bind.
#[inline]
pub fn bind(body: &[u8]) -> Option<Bind<'_>> {
    let (portal, rest) = cstr(body)?;
    let (statement, tail) = cstr(rest)?;
    Some(Bind {
        portal,
        statement,
        tail,
    })
}

/// A parameter: format code and value; no value is NULL.
pub type Parameter<'a> = (u16, Option<&'a [u8]>);

/// The parameters of a Bind; `None` if the layout is wrong anywhere.
pub fn parameters(tail: &[u8]) -> Option<Vec<Parameter<'_>>> {
    let (formats, mut rest) = u16_at(tail)?;
    let codes = rest.get(..formats * 2)?;
    rest = &rest[formats * 2..];
    let (count, mut rest) = u16_at(rest)?;
    if formats > 1 && formats != count {
        return None;
    }
    let code = |i: usize| -> u16 {
        let at = if formats == 1 { 0 } else { i };
        codes
            .get(at * 2..at * 2 + 2)
            .map_or(0, |c| u16::from_be_bytes([c[0], c[1]]))
    };
    let mut found = Vec::with_capacity(count.min(64));
    for i in 0..count {
        let len = i32::from_be_bytes(*rest.first_chunk::<4>()?);
        rest = &rest[4..];
        let value = if len == -1 {
            None
        } else {
            let value = rest.get(..usize::try_from(len).ok()?)?;
            rest = &rest[value.len()..];
            Some(value)
        };
        found.push((code(i), value));
    }
    let (results, rest) = u16_at(rest)?;
    (rest.len() == results * 2).then_some(found)
}

/// The format codes of the results in a Bind behind its names, two bytes each: none stand for text, one for all.
pub fn results(tail: &[u8]) -> Option<&[u8]> {
    let (formats, rest) = u16_at(tail)?;
    let (count, mut rest) = u16_at(rest.get(formats * 2..)?)?;
    for _ in 0..count {
        let len = i32::from_be_bytes(*rest.first_chunk::<4>()?);
        rest = rest.get(4 + usize::try_from(len).unwrap_or(0)..)?;
    }
    let (results, codes) = u16_at(rest)?;
    (codes.len() == results * 2).then_some(codes)
}

/// A column of a RowDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    pub name: &'a [u8],
    /// Its type.
    pub oid: u32,
    /// Size and modifier of the type, as sent.
    pub size: &'a [u8],
    /// Text or binary; 0 where a statement is described.
    pub format: u16,
}

/// The columns of a RowDescription; `None` if the layout is wrong.
pub fn columns(body: &[u8]) -> Option<Vec<Column<'_>>> {
    let (count, mut rest) = u16_at(body)?;
    let mut found = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let (name, fixed) = cstr(rest)?;
        let fixed_part = fixed.first_chunk::<18>()?;
        found.push(Column {
            name,
            oid: u32::from_be_bytes([fixed_part[6], fixed_part[7], fixed_part[8], fixed_part[9]]),
            size: &fixed[10..16],
            format: u16::from_be_bytes([fixed_part[16], fixed_part[17]]),
        });
        rest = &fixed[18..];
    }
    rest.is_empty().then_some(found)
}

/// What Describe and Close name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    Statement(&'a [u8]),
    Portal(&'a [u8]),
}

/// Reads Describe or Close.
pub fn target(body: &[u8]) -> Option<Target<'_>> {
    let (kind, rest) = body.split_first()?;
    let (name, []) = cstr(rest)? else { return None };
    match kind {
        b'S' => Some(Target::Statement(name)),
        b'P' => Some(Target::Portal(name)),
        _ => None,
    }
}

/// Execute: portal and row limit (0: none; PostgreSQL takes a negative one as none, too).
pub fn execute(body: &[u8]) -> Option<(&[u8], i32)> {
    let (portal, rest) = cstr(body)?;
    let limit: [u8; 4] = rest.try_into().ok()?;
    Some((portal, i32::from_be_bytes(limit)))
}

/// Name and value of a ParameterStatus.
pub fn parameter_status(body: &[u8]) -> Option<(&str, &str)> {
    let (name, rest) = cstr(body)?;
    let (value, []) = cstr(rest)? else {
        return None;
    };
    Some((
        std::str::from_utf8(name).ok()?,
        std::str::from_utf8(value).ok()?,
    ))
}

/// Appends a ParameterStatus.
pub fn put_parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    frame::put(
        out,
        b'S',
        &[name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat(),
    );
}

/// The fields of a DataRow, in order; `None` if the layout is wrong.
pub fn data_row(body: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let (count, mut rest) = u16_at(body)?;
    let mut fields = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let len = i32::from_be_bytes(*rest.first_chunk::<4>()?);
        rest = &rest[4..];
        if len < 0 {
            fields.push(None);
            continue;
        }
        let value = rest.get(..len as usize)?;
        rest = &rest[value.len()..];
        fields.push(Some(value));
    }
    Some(fields)
}

/// Appends the RowDescription of one text column.
pub fn put_text_column(out: &mut Vec<u8>, name: &str) {
    let mut body = 1u16.to_be_bytes().to_vec();
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[0; 7]); // the name's NUL, no table, no attribute
    body.extend_from_slice(&25u32.to_be_bytes()); // text
    body.extend_from_slice(&(-1i16).to_be_bytes());
    body.extend_from_slice(&(-1i32).to_be_bytes());
    body.extend_from_slice(&0u16.to_be_bytes());
    frame::put(out, b'T', &body);
}

/// Appends a DataRow of one field.
pub fn put_text_row(out: &mut Vec<u8>, value: &str) {
    let mut body = 1u16.to_be_bytes().to_vec();
    body.extend_from_slice(&(value.len() as i32).to_be_bytes());
    body.extend_from_slice(value.as_bytes());
    frame::put(out, b'D', &body);
}

/// Appends a CommandComplete.
pub fn put_complete(out: &mut Vec<u8>, tag: &str) {
    let mut body = tag.as_bytes().to_vec();
    body.push(0);
    frame::put(out, b'C', &body);
}

/// The SQLSTATE of an ErrorResponse, head included.
pub fn sqlstate(error: &[u8]) -> Option<&[u8]> {
    let fields = error.get(frame::HEAD..)?.split(|byte| *byte == 0);
    fields.filter_map(|field| field.strip_prefix(b"C")).next()
}

/// How bad an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    Fatal,
}

/// Appends an ErrorResponse of Larder's own. The hint says that it is not PostgreSQL's.
pub fn put_error(out: &mut Vec<u8>, severity: Severity, sqlstate: &str, text: &str, hint: &str) {
    let severity = match severity {
        Severity::Error => "ERROR",
        Severity::Fatal => "FATAL",
    };
    put_fields(
        out,
        &[
            (b'S', severity),
            (b'V', severity),
            (b'C', sqlstate),
            (b'M', text),
            (b'H', hint),
        ],
    );
}

/// Appends a NoticeResponse of Larder's own.
pub fn put_notice(out: &mut Vec<u8>, text: &str) {
    let fields = [
        (b'S', "NOTICE"),
        (b'V', "NOTICE"),
        (b'C', "00000"),
        (b'M', text),
    ];
    put_said(out, b'N', &fields);
}

/// The same, of a warning.
pub fn put_warning(out: &mut Vec<u8>, text: &str) {
    let fields = [
        (b'S', "WARNING"),
        (b'V', "WARNING"),
        (b'C', "01000"),
        (b'M', text),
    ];
    put_said(out, b'N', &fields);
}

/// Appends an ErrorResponse that says what PostgreSQL would say in the same place.
pub fn put_fatal(out: &mut Vec<u8>, sqlstate: &str, text: &str, detail: &str) {
    put_fields(
        out,
        &[
            (b'S', "FATAL"),
            (b'V', "FATAL"),
            (b'C', sqlstate),
            (b'M', text),
            (b'D', detail),
        ],
    );
}

/// Empty fields are left out.
fn put_fields(out: &mut Vec<u8>, fields: &[(u8, &str)]) {
    put_said(out, b'E', fields);
}

fn put_said(out: &mut Vec<u8>, tag: u8, fields: &[(u8, &str)]) {
    let mut body = Vec::new();
    for (kind, value) in fields {
        if !value.is_empty() {
            body.push(*kind);
            body.extend_from_slice(value.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    frame::put(out, tag, &body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parse_survives_being_written_and_read() {
        let parse_in = Parse {
            name: b"s1",
            text: b"SELECT $1",
            types: &[0, 0, 0, 23],
        };
        let mut out = Vec::new();
        put_parse(&mut out, &parse_in);
        let frame::Frame::Whole { tag: b'P', body } = frame::peek(&out) else {
            panic!()
        };
        assert_eq!(parse(body), Some(parse_in));
    }

    #[test]
    fn parameters_carry_their_formats() {
        // formats [1], two parameters "ab" and NULL, result formats []
        let tail = b"\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\0";
        assert_eq!(
            parameters(tail),
            Some(vec![(1, Some(b"ab".as_slice())), (1, None)])
        );
        let tail = b"\0\0\0\x01\0\0\0\x01x\0\0";
        assert_eq!(parameters(tail), Some(vec![(0, Some(b"x".as_slice()))]));
        assert_eq!(parameters(b"\0\x02\0\0\0\x01\0\x01\0\0\0\0\0\0"), None);
        assert_eq!(parameters(b"\0\0\0\x01\0\0\0\x05x\0\0"), None);
        assert_eq!(parameters(b"\0\0\xff\xff"), None);
    }

    #[test]
    fn columns_and_their_formats_are_read() {
        let mut out = Vec::new();
        put_text_column(&mut out, "name");
        let found = columns(&out[frame::HEAD..]).unwrap();
        assert_eq!((found[0].name, found[0].oid), (b"name".as_slice(), 25));
        assert_eq!((found[0].size, found[0].format), (&[255; 6][..], 0));
        let tail = b"\0\x01\0\x01\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\x01\0\x01";
        assert_eq!(results(tail), Some(&[0, 1][..]));
        assert_eq!(results(&tail[..tail.len() - 1]), None);
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..48)) {
            let _ = (query(&body), parse(&body), target(&body), execute(&body), data_row(&body));
            let _ = parameter_status(&body);
            let _ = columns(&body);
            if let Some(b) = bind(&body) {
                let _ = parameters(b.tail);
                prop_assert!(parameters(b.tail).is_none() || results(b.tail).is_some());
            }
        }
    }
}
