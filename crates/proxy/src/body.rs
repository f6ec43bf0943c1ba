//! Bodies: ours, and the two of an exchange as they pass through.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use agentnet_policy::Reason;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

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
        Self(Through::new(Some(incoming), exchange, Direction::Up))
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
    ended: bool,
}

impl Through {
    fn new(incoming: Option<Incoming>, exchange: Arc<Exchange>, direction: Direction) -> Self {
        Self {
            incoming,
            exchange,
            direction,
            timer: None,
            ended: false,
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        if let Err(reason) = self.exchange.check() {
            return Poll::Ready(Some(Err(self.break_off(reason))));
        }
        loop {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.timer = None;
                    // Trailers are not passed on: a server may merge them into what was judged.
                    let Some(data) = frame.data_ref() else {
                        continue;
                    };
                    return Poll::Ready(Some(
                        match self.exchange.pass(self.direction, data.len()) {
                            Ok(()) => Ok(frame),
                            Err(reason) => Err(self.break_off(reason)),
                        },
                    ));
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
                Poll::Pending => {
                    let idle = self.exchange.session().shared().timeouts.idle;
                    let timer = self
                        .timer
                        .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
                    if timer.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Some(Err(self.break_off(Reason::TimedOut))));
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }

    fn break_off(&self, reason: Reason) -> BrokenOff {
        self.exchange.break_off(reason);
        if self.direction == Direction::Down {
            self.exchange.session().link.abort();
        }
        BrokenOff(reason)
    }
}
