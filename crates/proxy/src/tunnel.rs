//! Bytes both ways between two streams, until one side is done or somebody says stop.
//!
//! The copy loop is our own because `tokio::io::copy_bidirectional` holds two buffers for the life
//! of the tunnel and waits for both ends for ever (a peer that closes one half and stays silent
//! would keep a tunnel open). Here an idle tunnel owns no buffer (see `buffer`), the end of one side
//! is passed on at once, and two silences are limited: one of the whole tunnel, and a shorter one
//! after the first end. There is no limit on its total time: a reasoning model can stream for hours.

mod buffer;
mod flow;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use agentnet_policy::Reason;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use self::flow::{End, Fault, Flow};
use crate::budget::Charge;

/// How long a tunnel may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    /// While both directions are open.
    pub idle: Duration,
    /// After one side has ended.
    pub half_closed: Duration,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the task outwards.
    Up,
    /// Towards the task.
    Down,
}

/// Who looks on while a tunnel runs: counts, charges and may stop it.
pub trait Overseer {
    /// `bytes` were written in `direction`.
    fn moved(&self, direction: Direction, bytes: u64);
    /// `bytes` are about to go up: may they? Those that are not taken are asked for again.
    fn charge(&self, bytes: usize) -> Charge;
    /// `bytes` that were charged never left.
    fn refund(&self, bytes: usize);
    /// Ready when the tunnel must end now. Called on every poll, with the waker to use later.
    fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Reason>;
}

/// How a tunnel ended.
#[derive(Debug)]
pub enum Ending {
    /// Both sides were done.
    Finished,
    /// Nothing moved for the time allowed.
    Silent,
    /// The client's connection broke.
    ClientLost(io::Error),
    /// The upstream's connection broke.
    UpstreamLost(io::Error),
    /// It was told to end.
    Stopped(Reason),
}

/// What a tunnel did.
#[derive(Debug)]
pub struct Account {
    /// Bytes the upstream took.
    pub up: u64,
    /// Bytes the client took.
    pub down: u64,
    /// Why it ended.
    pub ending: Ending,
}

/// Copies both ways until the end. `early` are bytes that were read before, to go up and down.
pub fn run<C, U, O>(
    client: &mut C,
    upstream: &mut U,
    early: (Bytes, Bytes),
    silence: Silence,
    overseer: &O,
) -> impl Future<Output = Account>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
    O: Overseer,
{
    let mut up = Flow::new(early.0);
    let mut down = Flow::new(early.1);
    // Not an `async fn`: that would hold its arguments beside what is made of them.
    async move {
        let mut last = Instant::now();
        let mut timer = pin!(sleep_until(last + silence.idle));
        let ending = poll_fn(|cx| {
            if let Poll::Ready(reason) = overseer.poll_stop(cx) {
                return Poll::Ready(Ending::Stopped(reason));
            }
            let half_closed = up.is_closed() || down.is_closed();
            let before = (up.moved(), down.moved());
            let sent = up.poll(cx, client, upstream, &|bytes| overseer.charge(bytes));
            let received = down.poll(cx, upstream, client, &Charge::Taken);
            let (sent_now, received_now) = (up.moved() - before.0, down.moved() - before.1);
            if sent_now > 0 {
                overseer.moved(Direction::Up, sent_now);
            }
            if received_now > 0 {
                overseer.moved(Direction::Down, received_now);
            }
            let half_closes = !half_closed && (up.is_closed() || down.is_closed());
            match (sent, received) {
                (Poll::Ready(Err(fault)), _) => return Poll::Ready(ending(fault, Direction::Up)),
                (_, Poll::Ready(Err(fault))) => return Poll::Ready(ending(fault, Direction::Down)),
                (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Ending::Finished),
                (Poll::Ready(Ok(())) | Poll::Pending, Poll::Pending)
                | (Poll::Pending, Poll::Ready(Ok(()))) => {}
            }
            if sent_now > 0 || received_now > 0 || half_closes {
                last = Instant::now();
            }
            let allowed = if up.is_closed() || down.is_closed() {
                silence.half_closed
            } else {
                silence.idle
            };
            // The timer is moved only where it must: when it fired, or when the shorter limit begins.
            // Moving it for every byte would cost a timer-wheel operation each.
            if half_closes {
                timer.as_mut().reset(last + allowed);
            }
            while timer.as_mut().poll(cx).is_ready() {
                if Instant::now() >= last + allowed {
                    return Poll::Ready(Ending::Silent);
                }
                timer.as_mut().reset(last + allowed);
            }
            Poll::Pending
        })
        .await;
        overseer.refund(up.stranded());
        Account {
            up: up.moved(),
            down: down.moved(),
            ending,
        }
    }
}

fn ending(fault: Fault, direction: Direction) -> Ending {
    match (fault, direction) {
        (Fault::Spent, _) => Ending::Stopped(Reason::BudgetSpent),
        (Fault::Io(End::Reader, error), Direction::Up)
        | (Fault::Io(End::Writer, error), Direction::Down) => Ending::ClientLost(error),
        (Fault::Io(End::Writer, error), Direction::Up)
        | (Fault::Io(End::Reader, error), Direction::Down) => Ending::UpstreamLost(error),
    }
}

#[cfg(test)]
mod tests;
