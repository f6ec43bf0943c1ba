//! One direction of a tunnel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::futures::OwnedNotified;

use super::buffer::{Buffer, SMALL};
use crate::budget::Charge;

/// Buffers that one poll moves at most before other tasks get their turn.
const ROUNDS: usize = 16;

/// Bytes read and not yet written.
#[derive(Debug)]
enum Held {
    Nothing,
    /// What the HTTP parser had already read: the client's early data.
    Early(Bytes),
    Read {
        buffer: Buffer,
        from: usize,
        to: usize,
    },
}

impl Held {
    fn rest(&self) -> &[u8] {
        match self {
            Self::Nothing => &[],
            Self::Early(bytes) => bytes,
            Self::Read { buffer, from, to } => buffer.bytes().get(*from..*to).unwrap_or_default(),
        }
    }

    fn advance(&mut self, written: usize) {
        match self {
            Self::Nothing => {}
            Self::Early(bytes) => bytes.advance(written),
            Self::Read { from, .. } => *from += written,
        }
        if self.rest().is_empty() {
            // The buffer goes back to the thread here, not when the tunnel ends.
            *self = Self::Nothing;
        }
    }
}

/// Which end of a flow failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Reader,
    Writer,
}

/// Why a flow stopped before its end.
#[derive(Debug)]
pub(super) enum Fault {
    Io(End, io::Error),
    /// The toll let no more bytes pass.
    Spent,
}

#[derive(Debug)]
pub(super) struct Flow {
    held: Held,
    /// The last read filled its buffer, so the next one may be large.
    bulk: bool,
    ended: bool,
    closed: bool,
    /// So many of the bytes held are paid for, from the first on.
    paid: usize,
    /// What has to happen before more can be paid for.
    waiting: Option<Pin<Box<OwnedNotified>>>,
    /// The writer has taken bytes that it may still hold, as TLS does.
    unflushed: bool,
    moved: u64,
}

impl Flow {
    pub(super) fn new(early: Bytes) -> Self {
        let held = if early.is_empty() {
            Held::Nothing
        } else {
            Held::Early(early)
        };
        Self {
            held,
            bulk: false,
            ended: false,
            closed: false,
            paid: 0,
            waiting: None,
            unflushed: false,
            moved: 0,
        }
    }

    /// Bytes that reached the writer's socket.
    pub(super) fn moved(&self) -> u64 {
        self.moved
    }

    /// Bytes that were read and paid for but not written.
    pub(super) fn stranded(&self) -> usize {
        self.paid
    }

    /// True once the end was passed on to the writer.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Moves what can be moved. Ready once the reader's end was passed on; `toll` says how many of
    /// the bytes just read may pass, and is asked again for the rest of them.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        toll: &dyn Fn(usize) -> Charge,
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        for _ in 0..ROUNDS {
            if self.paid == 0 && !self.held.rest().is_empty() {
                ready!(self.poll_pay(cx, toll))?;
            }
            ready!(self.poll_drain(cx, writer))?;
            if !self.held.rest().is_empty() {
                continue;
            }
            if self.ended {
                match ready!(Pin::new(&mut *writer).poll_shutdown(cx)) {
                    Ok(()) => {}
                    // The peer is gone already: nothing left to tell it.
                    Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                    Err(error) => return Poll::Ready(Err(Fault::Io(End::Writer, error))),
                }
                self.closed = true;
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx, reader))?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_pay(
        &mut self,
        cx: &mut Context<'_>,
        toll: &dyn Fn(usize) -> Charge,
    ) -> Poll<Result<(), Fault>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            match toll(self.held.rest().len()) {
                Charge::Taken(bytes) => {
                    self.paid = bytes;
                    return Poll::Ready(Ok(()));
                }
                Charge::Spent => return Poll::Ready(Err(Fault::Spent)),
                Charge::Wait(changed) => self.waiting = Some(Box::pin(changed)),
            }
        }
    }

    fn poll_drain<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<Result<(), Fault>> {
        while self.paid > 0 {
            let paid = self.held.rest().get(..self.paid).unwrap_or_default();
            match ready!(Pin::new(&mut *writer).poll_write(cx, paid)) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::WriteZero);
                    return Poll::Ready(Err(Fault::Io(End::Writer, error)));
                }
                Ok(written) => {
                    self.held.advance(written);
                    self.paid = self.paid.saturating_sub(written);
                    self.unflushed = true;
                    self.moved += written as u64;
                }
                Err(error) => return Poll::Ready(Err(Fault::Io(End::Writer, error))),
            }
        }
        if self.unflushed {
            match Pin::new(&mut *writer).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(Fault::Io(End::Writer, error)));
                }
                // The next poll goes on with it; reading need not wait.
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
    ) -> Poll<Result<(), Fault>> {
        let mut buffer = Buffer::take(self.bulk);
        let mut window = ReadBuf::new(buffer.bytes_mut());
        let size = window.capacity();
        ready!(Pin::new(reader).poll_read(cx, &mut window))
            .map_err(|error| Fault::Io(End::Reader, error))?;
        let to = window.filled().len();
        if to == 0 {
            self.ended = true;
        } else {
            self.bulk = to == size || (self.bulk && to > SMALL);
            self.held = Held::Read {
                buffer,
                from: 0,
                to,
            };
        }
        Poll::Ready(Ok(()))
    }
}
