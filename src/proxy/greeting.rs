//! An upstream connection with the startup message sent, by whichever way `sslmode` allows.
//!
//! * `allow` and `prefer` try the other way where the server refuses the first at login, as libpq does for "no
//!   pg_hba.conf entry". Only they wait for the first answer here; it is passed on as it came.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Door;
use crate::net::Stream;
use crate::wire::frame::{self, Frame};
use crate::wire::message;

/// An error at login is no longer than this; what is longer is not looked into.
const LONGEST: usize = 16 << 10;

/// Connects, sends the startup message, and gives what was read of the answer.
pub async fn reach(startup: &[u8], door: &Door) -> io::Result<(Stream, Vec<u8>)> {
    let (address, limit) = (
        &door.pools.upstream.address,
        door.pools.upstream.connect_timeout,
    );
    let connector = &door.pools.tls.upstream;
    let mut stream = connector.connect(address, limit).await?;
    say(&mut stream, startup).await?;
    let Some(way) = connector.other_way(&stream) else {
        return Ok((stream, Vec::new()));
    };
    let greeting = first_answer(&mut stream).await;
    if !is_refusal(&greeting) {
        return Ok((stream, greeting));
    }
    match connector.connect_by(way, address, limit).await {
        Ok(mut other) => {
            say(&mut other, startup).await?;
            Ok((other, Vec::new()))
        }
        // The server's own words say more than ours.
        Err(error) => {
            tracing::debug!(%error, "the other way to the upstream failed, too");
            Ok((stream, greeting))
        }
    }
}

async fn say(stream: &mut Stream, startup: &[u8]) -> io::Result<()> {
    stream.write_all(startup).await?;
    stream.flush().await
}

/// The first message if it is an error, else as much as shows that it is none. A broken connection is found again by
/// whoever reads on.
async fn first_answer(stream: &mut Stream) -> Vec<u8> {
    let mut read = Vec::with_capacity(512);
    loop {
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return read,
            Ok(_) => {}
        }
        let whole = matches!(frame::peek(&read), Frame::Whole { .. } | Frame::Malformed);
        if read[0] != b'E' || whole || read.len() > LONGEST {
            return read;
        }
    }
}

/// Whether the server refuses who comes this way: SQLSTATE 28000.
fn is_refusal(greeting: &[u8]) -> bool {
    matches!(frame::peek(greeting), Frame::Whole { tag: b'E', .. })
        && message::sqlstate(greeting) == Some(b"28000")
}
