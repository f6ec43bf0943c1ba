//! A stream inside hyper, which closes what it is given in one way only; this adds the other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::head::Fault;
use crate::stream::Stream;

/// What the outside knows of a connection inside hyper. Clones speak of the same connection.
#[derive(Clone, Debug, Default)]
pub struct Link(Arc<State>);

#[derive(Debug, Default)]
struct State {
    abort: AtomicBool,
    moves: AtomicU32,
    fault: OnceLock<Fault>,
}

impl Link {
    /// From now on, closing is a reset.
    pub fn abort(&self) {
        self.0.abort.store(true, Ordering::Relaxed);
    }

    /// A number that changes whenever bytes come or go.
    #[must_use]
    pub fn moves(&self) -> u32 {
        self.0.moves.load(Ordering::Relaxed)
    }

    /// A head was not let through; nothing comes after it.
    pub(crate) fn set_fault(&self, fault: Fault) {
        // There is one at most: the connection is over with it.
        self.0.fault.set(fault).ok();
    }

    /// Why the last head was not let through.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.0.fault.get().copied()
    }

    fn is_aborted(&self) -> bool {
        self.0.abort.load(Ordering::Relaxed)
    }

    fn moved(&self, happened: bool) {
        if happened {
            self.0.moves.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A [`Stream`] that resets when it is dropped after [`Link::abort`]: a message that broke off must
/// not look like one that ended (RFC 9112 §8).
#[derive(Debug)]
pub struct Endpoint {
    stream: Option<Stream>,
    link: Link,
}

impl Endpoint {
    /// Wraps a stream.
    #[must_use]
    pub fn new(stream: Stream, link: Link) -> Self {
        Self {
            stream: Some(stream),
            link,
        }
    }

    /// The stream itself, for a tunnel.
    ///
    /// # Errors
    /// Never in practice: only this takes it out.
    pub fn into_stream(mut self) -> io::Result<Stream> {
        self.stream
            .take()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn stream(&mut self) -> io::Result<Pin<&mut Stream>> {
        match self.stream.as_mut() {
            Some(stream) => Ok(Pin::new(stream)),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.as_ref().filter(|_| self.link.is_aborted()) {
            stream.reset_on_close();
        }
    }
}

impl AsyncRead for Endpoint {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(self.stream()?.poll_read(cx, buf));
        self.link.moved(read.is_ok());
        Poll::Ready(read)
    }
}

impl AsyncWrite for Endpoint {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream()?.poll_write(cx, buf));
        self.link.moved(written.is_ok());
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(self.stream()?.poll_write_vectored(cx, bufs));
        self.link.moved(written.is_ok());
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
