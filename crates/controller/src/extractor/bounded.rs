//! Writers that an agent cannot fill without end.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;

/// Has a limit been passed?
#[derive(Debug, Clone, Default)]
pub(super) struct Spent(Arc<AtomicBool>);

impl Spent {
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Passes on so many bytes and fails at the next.
#[derive(Debug)]
pub(super) struct Bounded<W> {
    inner: W,
    left: u64,
    spent: Spent,
}

impl<W> Bounded<W> {
    pub(super) fn new(inner: W, limit: u64) -> Bounded<W> {
        Bounded {
            inner,
            left: limit,
            spent: Spent::default(),
        }
    }

    pub(super) fn spent(&self) -> Spent {
        self.spent.clone()
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Bounded<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.len() as u64 > self.left {
            self.spent.0.store(true, Ordering::Release);
            return Poll::Ready(Err(io::Error::other("the limit is passed")));
        }
        let poll = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = poll {
            self.left = self.left.saturating_sub(written as u64);
        }
        poll
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// Keeps the first bytes that are written and drops the rest.
#[derive(Debug, Clone)]
pub struct Sink {
    kept: Arc<Mutex<Vec<u8>>>,
    limit: usize,
}

impl Sink {
    /// For at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Sink {
        Sink {
            kept: Arc::default(),
            limit,
        }
    }

    /// What was written so far; empty afterwards.
    #[must_use]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.limit.saturating_sub(kept.len());
        kept.extend(bytes.iter().take(room));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn passes_on_what_is_allowed_and_fails_at_the_next_byte() {
        let sink = Sink::new(100);
        let mut bounded = Bounded::new(sink.clone(), 4);
        let spent = bounded.spent();
        bounded.write_all(b"abcd").await.unwrap();
        assert!(!spent.is_over());
        bounded.write_all(b"e").await.unwrap_err();
        assert!(spent.is_over());
        assert_eq!(sink.take(), b"abcd");
    }

    #[tokio::test]
    async fn a_sink_keeps_the_first_bytes() {
        let mut sink = Sink::new(3);
        sink.write_all(b"abcdef").await.unwrap();
        assert_eq!(sink.take(), b"abc");
    }
}
