//! Bodies: ours, and the two of an exchange as they pass through.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agentnet_policy::Reason;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::budget::Charge;
use crate::exchange::Exchange;
use crate::forward::Lease;
use crate::tunnel::Direction;

/// Why a body broke off. hyper ends the connection on it.
#[derive(Debug, thiserror::Error)]
#[error("the body broke off: {0}")]
pub struct BrokenOff(Reason);

/// The body of a response to a client.
#[derive(Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Our own words.
    Full(Bytes),
    /// An upstream's, as it comes.
    Download(Box<Download>),
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Download(download) => download.through.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Download(download) => download.through.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Download(download) => download.through.size_hint(),
        }
    }
}

/// The body of a request on its way up.
#[derive(Debug)]
pub struct Upload(Through);

impl Upload {
    /// Passes `incoming` on as part of `exchange`.
    #[must_use]
    pub fn new(incoming: Incoming, exchange: Arc<Exchange>) -> Self {
        // hyper sends a body of unknown length in chunks.
        let chunked = incoming.size_hint().exact().is_none();
        let mut through = Through::new(Some(incoming), exchange, Direction::Up);
        through.chunked = chunked;
        Self(through)
    }

    /// No body, for a request that is sent a second time.
    #[must_use]
    pub fn empty(exchange: Arc<Exchange>) -> Self {
        Self(Through::new(None, exchange, Direction::Up))
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.get_mut().0.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// The body of a response on its way down; gives the upstream connection back when it was read to
/// its end, and closes it otherwise.
#[derive(Debug)]
pub struct Download {
    through: Through,
    lease: Option<Lease>,
}

impl Download {
    /// Passes `incoming` on as part of `exchange`; it came over `lease`.
    #[must_use]
    pub fn new(incoming: Incoming, exchange: Arc<Exchange>, lease: Lease) -> Self {
        Self {
            through: Through::new(Some(incoming), exchange, Direction::Down),
            lease: Some(lease),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take().filter(|_| self.through.is_end_stream()) {
            lease.give_back();
        }
    }
}

#[derive(Debug)]
struct Through {
    incoming: Option<Incoming>,
    exchange: Arc<Exchange>,
    direction: Direction,
    /// Runs only while the body is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    /// It leaves in chunks, whose sizes are sent as well.
    chunked: bool,
    /// What came and is not paid for, and what has to happen before it can be.
    unpaid: Option<(Bytes, Pin<Box<OwnedNotified>>)>,
    ended: bool,
}

impl Through {
    fn new(incoming: Option<Incoming>, exchange: Arc<Exchange>, direction: Direction) -> Self {
        Self {
            incoming,
            exchange,
            direction,
            timer: None,
            chunked: false,
            unpaid: None,
            ended: false,
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.incoming.is_none() {
            return Poll::Ready(None);
        }
        if let Err(reason) = self.exchange.check() {
            return Poll::Ready(Some(Err(self.break_off(reason))));
        }
        if let Some((_, changed)) = &mut self.unpaid
            && changed.as_mut().poll(cx).is_pending()
        {
            return self.poll_silence(cx);
        }
        if let Some((data, _)) = self.unpaid.take() {
            return self.pass(cx, data);
        }
        loop {
            let Some(incoming) = &mut self.incoming else {
                return Poll::Ready(None);
            };
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.timer = None;
                    // Trailers are not passed on: a server may merge them into what was judged.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    return self.pass(cx, data);
                }
                Poll::Ready(Some(Err(_))) => {
                    let reason = match self.direction {
                        // The client broke off its own request.
                        Direction::Up => Reason::BadRequest,
                        Direction::Down => Reason::UpstreamFailed,
                    };
                    return Poll::Ready(Some(Err(self.break_off(reason))));
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => return self.poll_silence(cx),
            }
        }
    }

    /// Lets bytes through that are paid for, or holds them until they can be.
    fn pass(
        &mut self,
        cx: &mut Context<'_>,
        data: Bytes,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            let framing = if self.chunked {
                chunk_size(data.len())
            } else {
                0
            };
            match self.exchange.pass(self.direction, data.len() + framing) {
                Charge::Taken(_) => {
                    self.timer = None;
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Charge::Spent => {
                    return Poll::Ready(Some(Err(self.break_off(Reason::BudgetSpent))));
                }
                Charge::Wait(changed) => {
                    let mut changed = Box::pin(changed);
                    if changed.as_mut().poll(cx).is_pending() {
                        self.unpaid = Some((data, changed));
                        return self.poll_silence(cx);
                    }
                }
            }
        }
    }

    /// Nothing can pass at the moment: that may last for a bounded time.
    fn poll_silence(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let idle = self.exchange.session().shared().timeouts.idle;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
        if timer.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(self.break_off(Reason::TimedOut))));
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.unpaid.is_none()
            && (self.ended || self.incoming.as_ref().is_none_or(HttpBody::is_end_stream))
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        let mut hint = incoming.map_or(SizeHint::with_exact(0), HttpBody::size_hint);
        // What is held back has left `incoming` and not us.
        if let Some((data, _)) = &self.unpaid {
            let held = data.len() as u64;
            let upper = hint.upper();
            hint.set_lower(hint.lower() + held);
            if let Some(upper) = upper {
                hint.set_upper(upper + held);
            }
        }
        hint
    }

    fn break_off(&self, reason: Reason) -> BrokenOff {
        self.exchange.break_off(reason);
        if self.direction == Direction::Down {
            self.exchange.session().link.abort();
        }
        BrokenOff(reason)
    }
}

/// The last chunk.
pub const LAST_CHUNK: usize = "0\r\n\r\n".len();

/// What is sent around so many bytes of a chunk: their number, and two ends of line.
fn chunk_size(bytes: usize) -> usize {
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4);
    digits as usize + 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_chunk_weighs() {
        for bytes in [1, 9, 15, 16, 255, 256, 65_535, 65_536] {
            let framing = format!("{bytes:x}\r\n\r\n");
            assert_eq!(chunk_size(bytes), framing.len(), "{bytes}");
        }
    }
}
