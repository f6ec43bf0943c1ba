//! A stream inside hyper, which closes what it is given in one way only; this adds the other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Stream;

/// Says that the connection must end in a reset. Clones speak of the same connection.
#[derive(Clone, Debug, Default)]
pub struct Abort(Arc<AtomicBool>);

impl Abort {
    /// From now on, closing is a reset.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A [`Stream`] that resets when it is dropped after [`Abort::set`]: a message that broke off must
/// not look like one that ended (RFC 9112 §8).
#[derive(Debug)]
pub struct Endpoint {
    stream: Option<Stream>,
    abort: Abort,
}

impl Endpoint {
    /// Wraps a stream.
    #[must_use]
    pub fn new(stream: Stream, abort: Abort) -> Self {
        Self {
            stream: Some(stream),
            abort,
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
        if let Some(stream) = self.stream.as_ref().filter(|_| self.abort.is_set()) {
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
        self.stream()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Endpoint {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, bufs)
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
