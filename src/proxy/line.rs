//! One of a session's two connections: a socket with what was received but not used, and what is not sent yet.
//!
//! An idle connection owns no buffer: bytes are received into and sent from the thread's scratch, and only what is
//! left over is kept here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::Stream;

/// A buffer that was larger than this is given back when it is empty.
const KEPT: usize = 4 << 10;

/// A connection.
pub struct Line {
    stream: Stream,
    /// Received, not used.
    pub unread: Vec<u8>,
    unsent: Vec<u8>,
    sent: usize,
    /// The other side sends no more.
    pub ended: bool,
}

impl Line {
    pub fn new(stream: Stream, unread: Vec<u8>) -> Line {
        Line {
            stream,
            unread,
            unsent: Vec::new(),
            sent: 0,
            ended: false,
        }
    }

    /// The socket.
    pub fn into_stream(self) -> Stream {
        self.stream
    }

    /// The other end, for a log line.
    pub fn peer(&self) -> String {
        self.stream.peer()
    }

    /// How many bytes wait to be sent; what TLS holds back already counts as one, for how much that is has a limit.
    pub fn waiting(&self) -> usize {
        self.unsent.len() - self.sent + usize::from(self.stream.holds_back())
    }

    /// Receives once into `scratch`; 0 bytes: the other side has ended.
    ///
    /// A read that does not fill the buffer tells tokio that nothing more is there: the next poll costs no system call.
    pub fn receive(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let received = buffer.filled().len();
                self.ended = received == 0;
                Poll::Ready(Ok(received))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Sends `bytes` behind what waits; what the kernel does not take is kept. `bytes` is empty afterwards.
    pub fn send(&mut self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) -> io::Result<()> {
        self.flush(cx)?;
        let mut from = 0;
        if self.waiting() == 0 {
            while from < bytes.len() {
                match Pin::new(&mut self.stream).poll_write(cx, &bytes[from..]) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(sent)) => from += sent,
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => break,
                }
            }
        }
        self.unsent.extend_from_slice(&bytes[from..]);
        bytes.clear();
        Ok(())
    }

    /// Sends what waits, as far as the kernel takes it.
    ///
    /// With TLS, a write that was taken may still wait to be sent; the write has asked to be woken then, and this goes on.
    pub fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.stream.holds_back()
            && let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx)
        {
            return Err(error);
        }
        while self.sent < self.unsent.len() {
            match Pin::new(&mut self.stream).poll_write(cx, &self.unsent[self.sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(sent)) => self.sent += sent,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        self.sent = 0;
        give_back(&mut self.unsent);
        Ok(())
    }

    /// Keeps the part of `bytes` behind the first `used`.
    pub fn keep(&mut self, bytes: &[u8], used: usize) {
        self.unread.extend_from_slice(&bytes[used..]);
    }

    /// Forgets the first `used` bytes that were kept.
    pub fn used(&mut self, used: usize) {
        self.unread.drain(..used);
        if self.unread.is_empty() {
            give_back(&mut self.unread);
        }
    }

    /// Says that no more will be sent.
    pub fn close_write(&mut self, cx: &mut Context<'_>) {
        let _ = Pin::new(&mut self.stream).poll_shutdown(cx);
    }
}

fn give_back(buffer: &mut Vec<u8>) {
    buffer.clear();
    if buffer.capacity() > KEPT {
        *buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, ClientTls, SslMode, TlsMode, UpstreamTls};
    use crate::net::{Start, Tls};
    use std::future::poll_fn;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Two ends of a connection with TLS.
    async fn ends() -> (Stream, Stream) {
        let clients = ClientTls {
            mode: TlsMode::Allow,
            self_signed: true,
            ..ClientTls::default()
        };
        let upstream = UpstreamTls {
            mode: SslMode::Require,
            ..UpstreamTls::default()
        };
        let tls = Tls::new(&clients, &upstream).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Address::Tcp("127.0.0.1".into(), port);
        let accepted = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.read_exact(&mut [0; 8]).await.unwrap();
            socket.write_all(b"S").await.unwrap();
            tls.clients.accept(socket, &[], Start::Asked).await.unwrap()
        };
        let limit = Duration::from_secs(20);
        let (near, far) = tokio::join!(accepted, tls.upstream.connect(&address, limit));
        (near, far.unwrap())
    }

    #[tokio::test]
    async fn what_tls_holds_back_counts_as_waiting_and_is_sent() {
        let (near, mut far) = ends().await;
        let mut line = Line::new(near, Vec::new());
        let mut total = 0;
        // Nobody reads: at some time the kernel takes no more.
        while line.waiting() == 0 {
            let mut bytes = vec![7; 1000];
            total += bytes.len();
            poll_fn(|cx| Poll::Ready(line.send(cx, &mut bytes)))
                .await
                .unwrap();
        }
        assert!(line.unsent.is_empty() && line.stream.holds_back());
        let sent = poll_fn(|cx| match line.flush(cx) {
            Ok(()) if line.waiting() > 0 => Poll::Pending,
            done => Poll::Ready(done),
        });
        let mut received = vec![0; total];
        let both = async { tokio::join!(sent, far.read_exact(&mut received)) };
        let (sent, read) = tokio::time::timeout(Duration::from_secs(20), both)
            .await
            .expect("bytes were held back for ever");
        sent.unwrap();
        assert_eq!(read.unwrap(), total);
        assert!(received.iter().all(|byte| *byte == 7));
    }
}
