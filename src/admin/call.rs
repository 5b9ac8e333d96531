//! Calls of a running Larder's admin listener, for the commands that look at one.
//!
//! * It waits a limited time and reads a limited length: whatever else listens there cannot hold a command or fill its memory.
//! * An answer that is cut short is none: half a page of numbers would look like fewer statements.
//!
//! Deliberately not here: encryption, which operators' connections never have.

use crate::config::{Address, Secret};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a probe waits for its answer.
const PROBE: Duration = Duration::from_secs(2);
/// How long other calls wait: a walk through a large store takes a moment.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const LARGEST: u64 = 32 << 20;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    pub method: &'static str,
    pub path: &'a str,
    pub token: Option<&'a Secret>,
    pub patience: Duration,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl<'a> Call<'a> {
    /// A look.
    pub fn get(path: &'a str) -> Call<'a> {
        Call {
            method: "GET",
            path,
            token: None,
            patience: PATIENCE,
        }
    }

    /// A change.
    pub fn post(path: &'a str, token: &'a Secret) -> Call<'a> {
        Call {
            method: "POST",
            token: Some(token),
            ..Call::get(path)
        }
    }

    /// Asks the Larder at `address`.
    ///
    /// # Errors
    /// There is none, or it says nothing that can be read.
    pub fn ask(self, address: &Address) -> Result<Answer, String> {
        let Address::Tcp(host, port) = address else {
            return Err(format!("{address} is not host:port"));
        };
        // A wildcard says where to listen, not where to call.
        let host = match host.as_str() {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        let request = self.request()?;
        let answer = exchange(host, *port, &request, self.patience)
            .map_err(|e| format!("no answer from {address}: {e}"))?;
        read(&answer).ok_or_else(|| format!("what listens at {address} does not speak as Larder"))
    }

    fn request(&self) -> Result<String, String> {
        let Call { method, path, .. } = self;
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: larder\r\nConnection: close\r\n");
        if let Some(token) = self.token {
            let token = token.expose();
            if token.is_empty() || !token.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
                return Err("the token is not one line of ASCII characters".into());
            }
            request += &format!("Authorization: Bearer {token}\r\nContent-Length: 0\r\n");
        }
        Ok(request + "\r\n")
    }
}

/// Asks the Larder at `address` whether it is ready, as a container's health check does.
///
/// # Errors
/// It is not, or is not there.
pub fn probe(address: &Address) -> Result<(), String> {
    let call = Call {
        patience: PROBE,
        ..Call::get("/ready")
    };
    let answer = call.ask(address)?;
    match answer.status {
        200 => Ok(()),
        status => Err(format!(
            "{address} is not ready: {status} {}",
            answer.body.lines().next().unwrap_or_default()
        )),
    }
}

fn exchange(host: &str, port: u16, request: &str, patience: Duration) -> std::io::Result<Vec<u8>> {
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PROBE) {
            Ok(mut stream) => {
                stream.set_read_timeout(Some(patience))?;
                stream.set_write_timeout(Some(patience))?;
                stream.write_all(request.as_bytes())?;
                // To the end: hanging up on an answer looks like a fault to the other side.
                let mut answer = Vec::new();
                stream.take(LARGEST).read_to_end(&mut answer)?;
                return Ok(answer);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Status and body, if all of it has come.
fn read(answer: &[u8]) -> Option<Answer> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let mut lengths = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.eq_ignore_ascii_case("content-length")).then(|| value.trim().parse().ok())
    });
    let length: usize = lengths.next()??;
    (body.len() == length).then_some(Answer {
        status: status.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_or_none() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let found = read(whole).unwrap();
        assert_eq!((found.status, &*found.body), (200, "ok"));
        for broken in [
            &whole[..whole.len() - 1],
            b"HTTP/1.1 200 OK\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
            b"HTTP/2 200\r\nContent-Length: 2\r\n\r\nok",
            b"SSH-2.0-x\r\n\r\n",
            b"",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xff",
        ] {
            assert_eq!(read(broken), None, "{:?}", String::from_utf8_lossy(broken));
        }
    }

    /// A file with two lines must not write a header.
    #[test]
    fn a_token_is_one_line() {
        for wrong in ["", "a\r\nX: y", "a\nb", "\u{e9}"] {
            let token = Secret::new(wrong.into());
            assert!(Call::post("/pause", &token).request().is_err(), "{wrong:?}");
        }
        let token = Secret::new("s3cret".into());
        let request = Call::post("/pause", &token).request().unwrap();
        assert!(request.contains("\r\nAuthorization: Bearer s3cret\r\n"));
        assert!(request.ends_with("\r\n\r\n"));
    }
}
