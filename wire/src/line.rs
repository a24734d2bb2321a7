//! The connection below the client: TCP, or TLS on it, that remembers its last exchange where that was short.
//!
//! In: a socket. Out: something to read and write, by the runtime's tasks, or by a thread that waits by itself. Touches the socket.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncBufRead as _, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::client::TlsStream;

/// The longest question, and the longest answer, that is remembered, in bytes.
pub(crate) const SHORT: usize = 4 << 10;

/// A socket, and who waits for it.
pub(crate) enum Socket {
    /// The runtime.
    Watched(TcpStream),
    /// Whoever reads or writes, and not after that moment.
    Blocking(std::net::TcpStream, Instant),
    /// Lost between the two.
    Lost,
}

impl Socket {
    /// From now on whoever reads or writes waits, for at most `limit`.
    fn block(&mut self, limit: Duration) -> io::Result<()> {
        if let Self::Watched(stream) = std::mem::replace(self, Self::Lost) {
            let stream = stream.into_std()?;
            stream.set_nonblocking(false)?;
            stream.set_read_timeout(Some(limit))?;
            stream.set_write_timeout(Some(limit))?;
            *self = Self::Blocking(stream, Instant::now() + limit);
        }
        Ok(())
    }

    /// From now on the runtime waits.
    fn watch(&mut self) -> io::Result<()> {
        if let Self::Blocking(stream, _) = std::mem::replace(self, Self::Lost) {
            stream.set_nonblocking(true)?;
            *self = Self::Watched(TcpStream::from_std(stream)?);
        }
        Ok(())
    }
}

/// TLS reads on until a record is whole, however slowly its bytes come: each read asks whether there is time left.
fn in_time(until: Instant) -> io::Result<()> {
    if Instant::now() < until {
        Ok(())
    } else {
        Err(io::ErrorKind::TimedOut.into())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Watched(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Blocking(stream, until) => Poll::Ready(in_time(*until).and_then(|()| {
                io::Read::read(stream, buf.initialize_unfilled()).map(|read| buf.advance(read))
            })),
            Self::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Watched(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
            Self::Blocking(stream, until) => {
                Poll::Ready(in_time(*until).and_then(|()| io::Write::write_vectored(stream, parts)))
            }
            Self::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Watched(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Blocking(..) | Self::Lost => Poll::Ready(Ok(())),
        }
    }
}

/// With TLS on it or not.
enum Dressed {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl AsyncRead for Dressed {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Dressed {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_write_vectored(cx, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// A question and its answer, as they went over the connection, where both were short.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub said: Vec<u8>,
    pub heard: Vec<u8>,
    is_answered: bool,
    is_long: bool,
}

impl Exchange {
    /// Something is said: after an answer that begins the next exchange.
    fn say(&mut self, bytes: &[u8]) {
        if self.is_answered {
            *self = Self::default();
        }
        self.is_long |= !remember(&mut self.said, bytes);
    }

    /// The exchange, if it is over and short.
    pub fn take_whole(&mut self) -> Option<Self> {
        (self.is_answered && !self.is_long).then(|| std::mem::take(self))
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.is_answered = true;
        self.is_long |= !remember(&mut self.heard, bytes);
    }
}

/// False: it would be too long.
fn remember(all: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let fits = all.len() + bytes.len() <= SHORT;
    if fits {
        all.extend_from_slice(bytes);
    }
    fits
}

/// A connection to an HTTP server.
pub(crate) struct Line {
    dressed: Dressed,
    /// What the runtime's tasks said and heard last.
    pub last: Exchange,
}

impl Line {
    pub fn plain(stream: TcpStream) -> Self {
        Self::of(Dressed::Plain(Socket::Watched(stream)))
    }

    pub fn tls(stream: TlsStream<Socket>) -> Self {
        Self::of(Dressed::Tls(Box::new(stream)))
    }

    fn of(dressed: Dressed) -> Self {
        Self {
            dressed,
            last: Exchange::default(),
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match &mut self.dressed {
            Dressed::Plain(socket) => socket,
            Dressed::Tls(stream) => stream.get_mut().0,
        }
    }

    /// Away from the runtime: [`Line::send`] and [`Line::receive`] wait for at most `limit` at each step, and for nothing after
    /// [`Line::give`]'s moment.
    pub fn block(&mut self, limit: Duration) -> io::Result<()> {
        self.socket().block(limit)
    }

    /// Of a line that blocks: so long all that follows may take together.
    pub fn give(&mut self, whole: Duration) {
        if let Socket::Blocking(_, until) = self.socket() {
            *until = Instant::now() + whole;
        }
    }

    /// Back to the runtime.
    pub fn watch(&mut self) -> io::Result<()> {
        self.socket().watch()
    }

    /// Of a line that blocks: sends all of it.
    pub fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match at_once(|cx| Pin::new(&mut self.dressed).poll_write(cx, bytes))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                sent => bytes = &bytes[sent..],
            }
        }
        at_once(|cx| Pin::new(&mut self.dressed).poll_flush(cx))
    }

    /// Of a line that blocks: what comes next; nothing at the end.
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.dressed {
            Dressed::Plain(socket) => {
                let mut buffer = ReadBuf::new(buffer);
                at_once(|cx| Pin::new(&mut *socket).poll_read(cx, &mut buffer))?;
                Ok(buffer.filled().len())
            }
            // Its poll_read would wait until the buffer is full.
            Dressed::Tls(stream) => at_once(|cx| {
                let mut stream = Pin::new(&mut **stream);
                let length = {
                    let bytes = ready!(stream.as_mut().poll_fill_buf(cx))?;
                    let length = bytes.len().min(buffer.len());
                    buffer[..length].copy_from_slice(&bytes[..length]);
                    length
                };
                stream.consume(length);
                Poll::Ready(Ok(length))
            }),
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut line.dressed).poll_read(cx, buf))?;
        line.last.hear(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let line = self.get_mut();
        let sent = ready!(Pin::new(&mut line.dressed).poll_write_vectored(cx, parts))?;
        let mut left = sent;
        for part in parts {
            let of_this = left.min(part.len());
            line.last.say(&part[..of_this]);
            left -= of_this;
        }
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().dressed).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().dressed).poll_shutdown(cx)
    }
}

/// A socket that blocks is always ready; TLS says that it is not where the socket's time was over.
fn at_once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>) -> io::Result<T> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(said: &[&[u8]], heard: &[&[u8]]) -> Exchange {
        let mut exchange = Exchange::default();
        exchange.say(b"before");
        exchange.hear(&[b'x'; SHORT + 1]);
        for bytes in said {
            exchange.say(bytes);
        }
        for bytes in heard {
            exchange.hear(bytes);
        }
        exchange
    }

    #[test]
    fn the_last_exchange_is_remembered_whole_or_not_at_all() {
        let short = exchange(&[b"who", b"?"], &[b"me", b"!"]);
        assert_eq!((&*short.said, &*short.heard), (&b"who?"[..], &b"me!"[..]));
        assert!(!short.is_long);
        let long = [b'x'; SHORT];
        for (said, heard) in [
            (&[&long[..], b"y"][..], &[&b"z"[..]][..]),
            (&[b"y"], &[&long[..], b"z"]),
        ] {
            assert!(exchange(said, heard).is_long);
        }
    }
}
