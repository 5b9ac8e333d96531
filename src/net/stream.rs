//! One connected socket, TCP or Unix, with TLS or without.
//!
//! * TCP streams never wait to fill a segment (`TCP_NODELAY`): an answer held back by the kernel is latency.
//! * TCP streams are probed (keepalive): a peer that vanished without a word frees its session within about two
//!   minutes, not never.
//! * With TLS, what was written may wait in the stream until it is flushed ([`Stream::holds_back`]); without, it never
//!   does, and a flush costs nothing.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

use super::tls::{common_name, end_point};

/// One connected socket.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// A client's, with TLS.
    Accepted(Box<AcceptedTls>),
    /// The upstream's, with TLS.
    Dialed(Box<client::TlsStream<TcpStream>>),
}

/// A client's connection with TLS.
#[derive(Debug)]
pub struct AcceptedTls {
    pub(super) stream: server::TlsStream<TcpStream>,
    /// Of the certificate that this connection was shown.
    pub(super) end_point: Option<Arc<[u8]>>,
}

const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

impl Stream {
    /// A TCP stream with the options every stream has.
    pub(super) fn tcp(stream: TcpStream) -> io::Result<Stream> {
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_PROBES);
        let socket = SockRef::from(&stream);
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&keepalive)?;
        Ok(Stream::Tcp(stream))
    }

    /// The other end, for a log line.
    pub fn peer(&self) -> String {
        let socket = match self {
            Stream::Tcp(s) => s,
            Stream::Unix(_) => return "unix".into(),
            Stream::Accepted(s) => s.stream.get_ref().0,
            Stream::Dialed(s) => s.get_ref().0,
        };
        socket
            .peer_addr()
            .map_or_else(|_| "gone".into(), |a| a.to_string())
    }

    /// Whether the bytes are encrypted on their way.
    pub fn is_tls(&self) -> bool {
        matches!(self, Stream::Accepted(_) | Stream::Dialed(_))
    }

    /// Whether nobody between can read along: a password may cross in clear text.
    pub fn is_private(&self) -> bool {
        !matches!(self, Stream::Tcp(_))
    }

    /// Whether bytes that were written wait for the kernel to take them: [`AsyncWrite::poll_flush`] hands them on.
    pub fn holds_back(&self) -> bool {
        match self {
            Stream::Tcp(_) | Stream::Unix(_) => false,
            Stream::Accepted(s) => s.stream.get_ref().1.wants_write(),
            Stream::Dialed(s) => s.get_ref().1.wants_write(),
        }
    }

    /// Whether the client has shown a certificate, which is then a good one.
    pub fn has_client_certificate(&self) -> bool {
        self.shown().is_some()
    }

    /// The common name of the certificate that the client has shown.
    pub fn client_certificate_common_name(&self) -> Option<String> {
        common_name(self.shown()?)
    }

    fn shown(&self) -> Option<&[u8]> {
        match self {
            Stream::Accepted(s) => Some(s.stream.get_ref().1.peer_certificates()?.first()?),
            _ => None,
        }
    }

    /// Channel binding data (`tls-server-end-point`) of the certificate that the client was shown.
    pub fn server_end_point(&self) -> Option<Vec<u8>> {
        match self {
            Stream::Accepted(s) => s.end_point.as_deref().map(<[u8]>::to_vec),
            _ => None,
        }
    }

    /// Channel binding data (`tls-server-end-point`) of the certificate that the upstream has shown.
    pub fn peer_end_point(&self) -> Option<Vec<u8>> {
        match self {
            Stream::Dialed(s) => end_point(s.get_ref().1.peer_certificates()?.first()?),
            _ => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_read(cx, buffer),
            Stream::Unix(s) => Pin::new(s).poll_read(cx, buffer),
            Stream::Accepted(s) => Pin::new(&mut s.stream).poll_read(cx, buffer),
            Stream::Dialed(s) => Pin::new(&mut **s).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_write(cx, bytes),
            Stream::Unix(s) => Pin::new(s).poll_write(cx, bytes),
            Stream::Accepted(s) => Pin::new(&mut s.stream).poll_write(cx, bytes),
            Stream::Dialed(s) => Pin::new(&mut **s).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_write_vectored(cx, slices),
            Stream::Unix(s) => Pin::new(s).poll_write_vectored(cx, slices),
            Stream::Accepted(s) => Pin::new(&mut s.stream).poll_write_vectored(cx, slices),
            Stream::Dialed(s) => Pin::new(&mut **s).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(_) | Stream::Unix(_) => Poll::Ready(Ok(())),
            Stream::Accepted(s) => Pin::new(&mut s.stream).poll_flush(cx),
            Stream::Dialed(s) => Pin::new(&mut **s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Unix(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Accepted(s) => Pin::new(&mut s.stream).poll_shutdown(cx),
            Stream::Dialed(s) => Pin::new(&mut **s).poll_shutdown(cx),
        }
    }
}
