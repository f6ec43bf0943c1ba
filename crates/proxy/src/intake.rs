//! A client's connection as hyper reads it: behind the check of every head.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::endpoint::{Endpoint, Link};
use crate::head::{Inlet, Passage, Stop};
use crate::stream::Stream;

/// What hyper reads in the place of a faulty head. The handler answers it with the fault that the
/// [`Link`] holds, in its turn behind earlier requests, and records it like any refusal. A client
/// that sends it by itself asks for an origin-form target and is refused for that.
const SUBSTITUTE: &[u8] = b"GET /faulty-head HTTP/1.1\r\nHost: agentnet.invalid\r\n\r\n";

/// The path of the substitute.
pub(crate) const SUBSTITUTE_PATH: &str = "/faulty-head";

/// An [`Endpoint`] whose requests are checked before they are read.
#[derive(Debug)]
pub struct Intake {
    endpoint: Endpoint,
    inlet: Inlet,
    link: Link,
    /// Bytes that were read before and have not been looked at.
    first: Bytes,
    /// Bytes that have passed and were not yet taken.
    passed: Bytes,
}

impl Intake {
    /// Wraps a client's connection, of which `first` has been read; `max_head` is the longest head in
    /// bytes.
    #[must_use]
    pub fn new(endpoint: Endpoint, first: Bytes, link: Link, max_head: usize) -> Self {
        Self {
            endpoint,
            inlet: Inlet::new(max_head),
            link,
            first,
            passed: Bytes::new(),
        }
    }

    /// The stream, for a tunnel, and what the client has already said in it; `read` is what hyper had
    /// read beyond the request.
    ///
    /// # Errors
    /// Never in practice: only this takes the stream out.
    pub fn into_tunnel(self, read: Bytes) -> io::Result<(Stream, Bytes)> {
        let Self {
            endpoint,
            inlet,
            passed,
            first,
            ..
        } = self;
        let is_over = inlet.is_over();
        let rest = inlet.into_rest();
        let is_all = !is_over && passed.is_empty() && rest.is_empty() && first.is_empty();
        if is_all {
            return Ok((endpoint.into_stream()?, read));
        }
        let mut said = [&*read, &*passed].concat();
        // A tunnel's first bytes may have come before the answer that opened it, and were no head.
        // hyper then got the substitute behind what had passed, which is not the client's.
        if is_over && said.ends_with(SUBSTITUTE) {
            said.truncate(said.len() - SUBSTITUTE.len());
        }
        said.extend_from_slice(&rest);
        said.extend_from_slice(&first);
        Ok((endpoint.into_stream()?, said.into()))
    }

    /// The endpoint, whatever was read of it; nothing more will be understood.
    #[must_use]
    pub fn into_endpoint(self) -> Endpoint {
        self.endpoint
    }

    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.passed.len().min(buf.remaining());
        buf.put_slice(self.passed.get(..count).unwrap_or_default());
        self.passed.advance(count);
    }
}

impl AsyncRead for Intake {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.passed.is_empty() {
                this.give(buf);
                return Poll::Ready(Ok(()));
            }
            if this.inlet.is_over() {
                // Not an end: hyper would take that for a client that has left, and not answer. The
                // answer closes the connection, so nobody needs to wake this up.
                return Poll::Pending;
            }
            let before = buf.filled().len();
            if this.first.is_empty() {
                ready!(Pin::new(&mut this.endpoint).poll_read(cx, buf))?;
            } else {
                let count = this.first.len().min(buf.remaining());
                buf.put_slice(&this.first.split_to(count));
            }
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if fresh.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let Passage { held, fresh, stop } = this.inlet.admit(fresh);
            buf.set_filled(before + fresh);
            match stop {
                Some(Stop::Body) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Some(Stop::Head(fault)) => {
                    this.link.set_fault(fault);
                    this.passed = [held.as_slice(), SUBSTITUTE].concat().into();
                }
                None => this.passed = held.into(),
            }
            if fresh > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Intake {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.endpoint).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.endpoint).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.endpoint.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.endpoint).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.endpoint).poll_shutdown(cx)
    }
}
