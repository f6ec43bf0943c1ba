//! A tunnel from the moment hyper lets go of it to its end.
//!
//! Ten thousand of these may be idle at once, so what one holds is counted: a task that is little more
//! than the copy loop, its record and its two sockets, and no buffer.

use std::sync::Arc;
use std::task::{Context, Poll};

use agentnet_policy::Reason;
use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::budget::Charge;
use crate::endpoint::Endpoint;
use crate::intake::Intake;
use crate::listener::{Listener, Raised};
use crate::live::Member;
use crate::record::Record;
use crate::stream::Stream;
use crate::tunnel::{self, Account, Direction, Ending, Overseer, Silence};

/// Both ends of a tunnel and who looks on.
struct Open {
    record: Record,
    watched: Watched,
    client: Stream,
    upstream: Stream,
}

/// Waits until hyper has sent its answer and let go of the client, then copies in a task of its own:
/// this one is as large as all that it waited for. `early` is what the upstream has already said.
pub(crate) async fn carry(
    record: Record,
    watched: Watched,
    client: OnUpgrade,
    upstream: Stream,
    early: Bytes,
) {
    match taken(client).await {
        Some((client, first)) => {
            let tasks = record.session().shared().tasks.clone();
            let open = Box::new(Open {
                record,
                watched,
                client,
                upstream,
            });
            tasks.spawn("tunnel", copy(open, first, early));
        }
        // The client went away before the answer reached it.
        None => watched.end(record, Reason::Allowed, 0, 0),
    }
}

/// The client's stream that hyper upgraded, and what was read of it beyond the request.
pub(crate) async fn taken(upgrade: OnUpgrade) -> Option<(Stream, Bytes)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Intake>>().ok()?;
    parts.io.into_inner().into_tunnel(parts.read_buf).ok()
}

/// The upstream's stream that hyper upgraded, and what was read of it beyond the response.
pub(crate) async fn taken_upstream(upgrade: OnUpgrade) -> Option<(Stream, Bytes)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Endpoint>>().ok()?;
    Some((parts.io.into_inner().into_stream().ok()?, parts.read_buf))
}

async fn copy(mut open: Box<Open>, up: Bytes, down: Bytes) {
    let Open {
        record,
        watched,
        client,
        upstream,
    } = open.as_mut();
    let timeouts = record.session().shared().timeouts;
    let silence = Silence {
        idle: timeouts.idle,
        half_closed: timeouts.half_close,
    };
    let account = tunnel::run(client, upstream, (up, down), silence, watched).await;
    finish(*open, &account);
}

fn finish(open: Open, account: &Account) {
    let reason = match account.ending {
        Ending::Finished | Ending::ClientLost(_) => Reason::Allowed,
        Ending::Silent => Reason::TimedOut,
        Ending::UpstreamLost(_) => Reason::UpstreamFailed,
        Ending::Stopped(reason) => reason,
    };
    match account.ending {
        Ending::Finished => {}
        Ending::Silent | Ending::ClientLost(_) | Ending::UpstreamLost(_) | Ending::Stopped(_) => {
            open.client.reset_on_close();
            open.upstream.reset_on_close();
        }
    }
    open.watched
        .end(open.record, reason, account.up, account.down);
}

/// What looks on while a tunnel runs.
#[derive(Debug)]
pub(crate) struct Watched {
    listener: Arc<Listener>,
    member: Member,
    open: Raised,
}

impl Watched {
    pub(crate) fn new(listener: &Arc<Listener>, member: Member) -> Self {
        let open = Raised::new(&listener.shared.metrics.tunnels);
        Self {
            listener: Arc::clone(listener),
            member,
            open,
        }
    }

    /// Stops the tunnel if the policy has changed since `generation` and no longer allows it.
    pub(crate) fn judge_again(&self, generation: u64) {
        let active = self.listener.policy.now();
        if active.generation != generation {
            self.member.entry().judge_again(&self.listener, &active);
        }
    }

    pub(crate) fn end(self, record: Record, reason: Reason, up: u64, down: u64) {
        self.listener.metrics.closed(reason);
        drop(self.open);
        record.closed(reason, up, down);
    }
}

impl Overseer for Watched {
    fn moved(&self, direction: Direction, bytes: u64) {
        match direction {
            Direction::Up => self.listener.metrics.tunnel_up.inc_by(bytes),
            Direction::Down => self.listener.metrics.tunnel_down.inc_by(bytes),
        }
    }

    fn charge(&self, bytes: usize) -> Charge {
        match self.member.entry().standing.purse() {
            Some(purse) => purse.charge(bytes),
            None => Charge::Taken(bytes),
        }
    }

    fn refund(&self, bytes: usize) {
        if let Some(purse) = self.member.entry().standing.purse() {
            purse.refund(bytes);
        }
    }

    fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.member.entry().poll_stop(cx)
    }
}
