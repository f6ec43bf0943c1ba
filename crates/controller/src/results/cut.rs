//! A file that takes so many bytes and lets the rest go by.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Several writers may share it: a container's two streams.
#[derive(Debug)]
pub(super) struct Cut<W>(Arc<Mutex<State<W>>>);

#[derive(Debug)]
struct State<W> {
    inner: W,
    left: usize,
    over: bool,
}

impl<W> Clone for Cut<W> {
    fn clone(&self) -> Self {
        Cut(Arc::clone(&self.0))
    }
}

impl<W> Cut<W> {
    /// For at most `limit` bytes.
    pub(super) fn new(inner: W, limit: usize) -> Cut<W> {
        Cut(Arc::new(Mutex::new(State {
            inner,
            left: limit,
            over: false,
        })))
    }

    /// Some went by.
    pub(super) fn is_over(&self) -> bool {
        self.state().over
    }

    fn state(&self) -> MutexGuard<'_, State<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Cut<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state();
        let Some(fits) = bytes
            .get(..state.left.min(bytes.len()))
            .filter(|b| !b.is_empty())
        else {
            state.over |= !bytes.is_empty();
            return Poll::Ready(Ok(bytes.len()));
        };
        let poll = Pin::new(&mut state.inner).poll_write(cx, fits);
        if let Poll::Ready(Ok(written)) = poll {
            state.left = state.left.saturating_sub(written);
        }
        poll
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.state().inner).poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn takes_the_first_bytes_of_both_streams_and_says_that_there_were_more() {
        let mut out = Cut::new(Vec::new(), 5);
        let mut errors = out.clone();
        out.write_all(b"abc").await.unwrap();
        errors.write_all(b"de").await.unwrap();
        assert!(!out.is_over());
        errors.write_all(b"fgh").await.unwrap();
        assert!(out.is_over());
        assert_eq!(out.state().inner, b"abcde");
    }
}
