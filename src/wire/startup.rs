//! The first packet of a connection: startup, cancel, or a request for encryption (manual, 55.2.1, 55.7).
//!
//! * At most 10,000 bytes, as PostgreSQL itself allows (hazard 60, 64): the announced length is checked before
//!   anything is kept.

/// PostgreSQL's own limit (`MAX_STARTUP_PACKET_LENGTH`).
pub const LONGEST: usize = 10_000;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSSENC: u32 = 80_877_104;

/// A client's first packet.
#[derive(Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// `SSLRequest`.
    Ssl,
    /// `GSSENCRequest`.
    GssEnc,
    /// `CancelRequest`, whole as it came.
    Cancel(&'a [u8]),
    /// A startup message.
    Startup(Startup<'a>),
}

/// A startup message.
#[derive(Debug, PartialEq, Eq)]
pub struct Startup<'a> {
    /// The whole packet as it came.
    pub packet: &'a [u8],
    /// Major protocol version.
    pub major: u16,
    /// Minor protocol version.
    pub minor: u16,
    /// Names and values in order.
    pub parameters: Vec<(&'a str, &'a str)>,
}

impl Startup<'_> {
    /// The last value of a parameter, as PostgreSQL takes it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .rev()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| *v)
    }
}

/// Why a first packet is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Bad {
    /// A length that no startup packet can have.
    Length,
    /// Parameters without terminator, or not UTF-8.
    Layout,
}

/// Reads the first packet; `Ok(None)`: not whole yet. Also tells how many bytes it took.
pub fn first(buf: &[u8]) -> Result<Option<(First<'_>, usize)>, Bad> {
    let Some(head) = buf.first_chunk::<4>() else {
        return Ok(None);
    };
    let len = u32::from_be_bytes(*head) as usize;
    if !(8..=LONGEST).contains(&len) {
        return Err(Bad::Length);
    }
    let Some(packet) = buf.get(..len) else {
        return Ok(None);
    };
    let code = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    let first = match code {
        SSL if len == 8 => First::Ssl,
        GSSENC if len == 8 => First::GssEnc,
        SSL | GSSENC => return Err(Bad::Length),
        CANCEL if len > 12 => First::Cancel(packet),
        CANCEL => return Err(Bad::Length),
        _ => First::Startup(Startup {
            packet,
            major: (code >> 16) as u16,
            minor: code as u16,
            parameters: parameters(&packet[8..])?,
        }),
    };
    Ok(Some((first, len)))
}

fn parameters(mut body: &[u8]) -> Result<Vec<(&str, &str)>, Bad> {
    let mut found = Vec::new();
    while body != [0] {
        let (name, rest) = cstr(body).ok_or(Bad::Layout)?;
        if name.is_empty() {
            return Err(Bad::Layout);
        }
        let (value, rest) = cstr(rest).ok_or(Bad::Layout)?;
        found.push((name, value));
        body = rest;
    }
    Ok(found)
}

fn cstr(buf: &[u8]) -> Option<(&str, &[u8])> {
    let end = buf.iter().position(|b| *b == 0)?;
    Some((std::str::from_utf8(&buf[..end]).ok()?, &buf[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(code: u32, body: &[u8]) -> Vec<u8> {
        let mut p = (body.len() as u32 + 8).to_be_bytes().to_vec();
        p.extend_from_slice(&code.to_be_bytes());
        p.extend_from_slice(body);
        p
    }

    #[test]
    fn a_startup_message_is_read() {
        let p = packet(196_608, b"user\0ann\0database\0shop\0\0");
        let Ok(Some((First::Startup(s), len))) = first(&p) else {
            panic!()
        };
        assert_eq!((len, s.major, s.minor), (p.len(), 3, 0));
        assert_eq!(s.get("user"), Some("ann"));
        assert_eq!(s.get("options"), None);
    }

    #[test]
    fn the_last_of_two_equal_parameters_counts() {
        let p = packet(196_608, b"user\0a\0user\0b\0\0");
        let Ok(Some((First::Startup(s), _))) = first(&p) else {
            panic!()
        };
        assert_eq!(s.get("user"), Some("b"));
    }

    #[test]
    fn bad_lengths_and_layouts_are_refused() {
        assert_eq!(first(&10_000_000u32.to_be_bytes()), Err(Bad::Length));
        assert_eq!(first(&7u32.to_be_bytes()), Err(Bad::Length));
        assert_eq!(first(&packet(196_608, b"user\0ann")), Err(Bad::Layout));
        assert_eq!(first(&packet(196_608, b"user\0ann\0")), Err(Bad::Layout));
        assert_eq!(first(&packet(196_608, b"\0\0\0")), Err(Bad::Layout));
        assert_eq!(first(&packet(SSL, b"x")), Err(Bad::Length));
    }

    #[test]
    fn a_part_is_awaited() {
        let p = packet(SSL, b"");
        assert_eq!(first(&p[..7]), Ok(None));
        assert_eq!(first(&p), Ok(Some((First::Ssl, 8))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(buf in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = first(&buf);
        }
    }
}
