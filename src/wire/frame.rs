//! The frame: one type byte, a length that counts itself, a body (manual, 55.1).
//!
//! * A length below 4 is no frame at all: nothing behind it can be trusted, so the connection ends (hazard 64).
//! * Nothing is ever allocated for an announced length: a frame that is not whole yet is described, not awaited
//!   here; the caller streams what it does not need to see.

/// The longest message that is held whole to be looked into; longer ones are streamed unseen.
pub const LONGEST_SEEN: usize = 1 << 20;

/// What stands at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message.
    Whole { tag: u8, body: &'a [u8] },
    /// The head of a message of `len` bytes in all (type byte and length included).
    Part { tag: u8, len: usize },
    /// Fewer than five bytes.
    Short,
    /// A length that no message can have.
    Malformed,
}

/// Length of type byte and length word.
pub const HEAD: usize = 5;

/// Reads the frame at the start of `buf`.
#[inline]
pub fn peek(buf: &[u8]) -> Frame<'_> {
    let Some(head) = buf.first_chunk::<HEAD>() else {
        return Frame::Short;
    };
    let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if length < 4 {
        return Frame::Malformed;
    }
    let len = length as usize + 1;
    match buf.get(HEAD..len) {
        Some(body) => Frame::Whole { tag: head[0], body },
        None => Frame::Part { tag: head[0], len },
    }
}

/// Length in bytes of the run of whole messages of one type at the start of `buf`, and their number.
///
/// For rows: thousands of them are relayed with one copy.
pub fn run(buf: &[u8], tag: u8) -> (usize, usize) {
    run_of(buf, tag, usize::MAX)
}

/// The same, of at most that many messages.
pub fn run_of(buf: &[u8], tag: u8, most: usize) -> (usize, usize) {
    let (mut len, mut count) = (0, 0);
    while let Frame::Whole { tag: found, body } = peek(&buf[len..]) {
        if found != tag || count == most {
            break;
        }
        len += HEAD + body.len();
        count += 1;
    }
    (len, count)
}

/// Appends a message.
pub fn put(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_below_four_are_no_frames() {
        for length in [i32::MIN, -1, 0, 3] {
            let mut buf = vec![b'Q'];
            buf.extend_from_slice(&length.to_be_bytes());
            buf.extend_from_slice(b"rest");
            assert_eq!(peek(&buf), Frame::Malformed);
        }
    }

    #[test]
    fn a_run_ends_at_another_type_or_a_part() {
        let mut buf = Vec::new();
        put(&mut buf, b'D', b"one");
        put(&mut buf, b'D', b"");
        let whole = buf.len();
        put(&mut buf, b'C', b"SELECT 2\0");
        assert_eq!(run(&buf, b'D'), (whole, 2));
        assert_eq!(run(&buf[..whole - 1], b'D'), (whole - 5, 1));
        assert_eq!(run_of(&buf, b'D', 1), (whole - 5, 1));
        assert_eq!(run_of(&buf, b'D', 3), (whole, 2));
    }

    proptest! {
        #[test]
        fn any_bytes_are_described(buf in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Frame::Whole { body, .. } = peek(&buf) {
                prop_assert!(body.len() + HEAD <= buf.len());
            }
            prop_assert!(run(&buf, b'D').0 <= buf.len());
        }
    }
}
