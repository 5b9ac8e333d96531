//! What the console sends: its welcome, columns and rows.

use super::Rows;
use crate::admin::views::Value;
use crate::wire::{frame, message};

/// The type `text`.
const TEXT: u32 = 25;

/// Whether Bind wants binary results, behind its names.
pub fn binary(tail: &[u8]) -> bool {
    let number = |at: usize| {
        let bytes = tail.get(at..at + 2)?;
        Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
    };
    let wants = || {
        let formats = number(0)?;
        let mut at = 2 + 2 * formats;
        let values = number(at)?;
        at += 2;
        for _ in 0..values {
            let len = i32::from_be_bytes(tail.get(at..at + 4)?.try_into().ok()?);
            at += 4 + usize::try_from(len.max(0)).ok()?;
        }
        let results = number(at)?;
        let mut results = (0..results).filter_map(|i| number(at + 2 + 2 * i));
        Some(results.any(|format| format == 1))
    };
    wants().unwrap_or(false)
}

/// What follows a proof: AuthenticationOk, what drivers want to know of the server, ReadyForQuery.
pub fn welcome(user: &str) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put(&mut out, b'R', &[0, 0, 0, 0]);
    for (name, value) in [
        ("server_version", "15.0"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("application_name", ""),
        ("is_superuser", "off"),
        ("session_authorization", user),
        ("DateStyle", "ISO, MDY"),
        ("IntervalStyle", "postgres"),
        ("TimeZone", "UTC"),
        ("integer_datetimes", "on"),
        ("standard_conforming_strings", "on"),
    ] {
        message::put_parameter_status(&mut out, name, value);
    }
    frame::put(&mut out, b'K', &[0; 8]);
    out.extend(message::ready(b'I'));
    out
}

pub fn put_columns(columns: &[&str], binary: bool, out: &mut Vec<u8>) {
    let mut body = (columns.len() as u16).to_be_bytes().to_vec();
    for column in columns {
        body.extend_from_slice(column.as_bytes());
        body.push(0);
        body.extend_from_slice(&[0; 6]);
        body.extend_from_slice(&TEXT.to_be_bytes());
        body.extend_from_slice(&(-1i16).to_be_bytes());
        body.extend_from_slice(&(-1i32).to_be_bytes());
        // The bytes of a text are the same in both formats.
        body.extend_from_slice(&u16::from(binary).to_be_bytes());
    }
    frame::put(out, b'T', &body);
}

/// At most so many rows (0: all) from those that are left. `false`: the limit was reached, and there may be more.
pub fn put_rows(rows: &mut Rows, limit: usize, out: &mut Vec<u8>) -> bool {
    let mut sent = 0;
    while limit == 0 || sent < limit {
        let Some(row) = rows.next() else { break };
        sent += 1;
        let mut body = (row.len() as u16).to_be_bytes().to_vec();
        for value in row {
            if value == Value::Null {
                body.extend_from_slice(&(-1i32).to_be_bytes());
                continue;
            }
            let text = value.to_string();
            body.extend_from_slice(&(text.len() as i32).to_be_bytes());
            body.extend_from_slice(text.as_bytes());
        }
        frame::put(out, b'D', &body);
    }
    // As PostgreSQL: a limit that was reached suspends, whether there is more or not.
    if limit > 0 && sent == limit {
        frame::put(out, b's', &[]);
        return false;
    }
    message::put_complete(out, &format!("SHOW {sent}"));
    true
}
