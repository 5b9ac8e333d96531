//! One message at a time, for what is said before a connection is in full use.
//!
//! * A message longer than its place allows is refused by its announced length, before any of it is kept (hazard 64).
//! * What follows a message stays where it is: the caller owns the bytes that were read too far.

use crate::wire::frame::{self, Frame, HEAD};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What was received.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message of one of the types that were awaited: its type and its body.
    Message(u8, Vec<u8>),
    /// A message of another type.
    Other(u8),
    /// A message with a length that it may not have.
    TooLong,
    /// The other side has closed.
    Ended,
}

/// Receives a message whose type is one of `tags` (every type, if there are none) and whose body has at most `longest`
/// bytes. `pending` is what was received and not used.
pub async fn hear<S: AsyncRead + Unpin>(
    stream: &mut S,
    pending: &mut Vec<u8>,
    tags: &[u8],
    longest: usize,
) -> io::Result<Heard> {
    loop {
        if let Some(tag) = pending.first()
            && !tags.is_empty()
            && !tags.contains(tag)
        {
            return Ok(Heard::Other(*tag));
        }
        match frame::peek(pending) {
            Frame::Whole { body, .. } if body.len() > longest => return Ok(Heard::TooLong),
            Frame::Whole { tag, body } => {
                let heard = Heard::Message(tag, body.to_vec());
                let used = HEAD + body.len();
                pending.drain(..used);
                return Ok(heard);
            }
            Frame::Part { len, .. } if len > HEAD + longest => return Ok(Heard::TooLong),
            Frame::Malformed => return Ok(Heard::TooLong),
            Frame::Part { .. } | Frame::Short => {}
        }
        if stream.read_buf(pending).await? == 0 {
            return Ok(Heard::Ended);
        }
    }
}

/// Sends all of it at once.
pub async fn say<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(bytes: &[u8], tags: &[u8], longest: usize) -> (Heard, Vec<u8>) {
        let (mut near, mut far) = tokio::io::duplex(3);
        let bytes = bytes.to_vec();
        let send = tokio::spawn(async move {
            let _ = far.write_all(&bytes).await;
        });
        let mut pending = Vec::new();
        let heard = hear(&mut near, &mut pending, tags, longest).await.unwrap();
        send.abort();
        (heard, pending)
    }

    #[tokio::test]
    async fn a_message_is_put_together_and_what_follows_is_kept() {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, b'p', b"secret\0");
        bytes.push(b'Q');
        let (message, rest) = heard(&bytes, b"p", 7).await;
        assert_eq!(message, Heard::Message(b'p', b"secret\0".to_vec()));
        assert!(rest.is_empty() || rest == b"Q");
    }

    #[tokio::test]
    async fn what_may_not_come_is_told_apart() {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, b'p', b"secret\0");
        assert_eq!(heard(&bytes, b"p", 6).await.0, Heard::TooLong);
        assert_eq!(heard(&bytes, b"q", 7).await.0, Heard::Other(b'p'));
        assert_eq!(heard(&bytes[..4], b"p", 7).await.0, Heard::Ended);
        assert_eq!(heard(b"p\0\0\0\x03", b"", 7).await.0, Heard::TooLong);
        assert_eq!(heard(b"p\x7f\xff\xff\xff", b"", 7).await.0, Heard::TooLong);
    }
}
