//! A tunnel from the moment hyper lets go of it to its end.
//!
//! Ten thousand of these may be idle at once, so what one holds is counted: a task that is little more
//! than the copy loop, its record and its two sockets, and no buffer.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use agentnet_policy::{Reason, Target};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::budget::Charge;
use crate::connection;
use crate::endpoint::Endpoint;
use crate::greeting::{Expected, Greeted, greet};
use crate::hello::Fault;
use crate::intake::Intake;
use crate::listener::{Listener, Raised, Session};
use crate::live::Member;
use crate::record::Record;
use crate::stream::Stream;
use crate::tunnel::{self, Account, Direction, Ending, Overseer, Silence};

/// Time to tell a client why its tunnel is closed.
const TELL: Duration = Duration::from_millis(50);

/// What a tunnel's first bytes must be, where the rule does not say `raw`.
#[derive(Debug)]
pub(crate) struct Greeting {
    /// Whose name they must have.
    pub(crate) target: Target,
    /// Whether an encrypted part of a ClientHello passes.
    pub(crate) ech: bool,
    /// False in mode observe: what is wrong is only recorded.
    pub(crate) enforced: bool,
}

/// Both ends of a tunnel and who looks on.
struct Open {
    record: Record,
    watched: Watched,
    client: Stream,
    upstream: Stream,
}

/// A tunnel whose answer is on its way: hyper still has the client.
pub(crate) struct Waiting {
    pub(crate) record: Record,
    pub(crate) watched: Watched,
    pub(crate) client: OnUpgrade,
    pub(crate) upstream: Stream,
    /// What the upstream has already said.
    pub(crate) early: Bytes,
    pub(crate) greeting: Option<Greeting>,
}

impl Waiting {
    /// Waits until hyper has sent its answer and let go of the client, reads the greeting, and copies to
    /// the end.
    pub(crate) async fn carry(mut self: Box<Self>) {
        let client = taken(&mut self.client).await;
        let Self {
            record,
            watched,
            upstream,
            early,
            greeting,
            ..
        } = *self;
        let Some((client, first)) = client else {
            // The client went away before the answer reached it.
            return watched.end(record, Reason::Allowed, 0, 0);
        };
        let open = Box::new(Open {
            record,
            watched,
            client,
            upstream,
        });
        through(open, first, early, greeting).await;
    }
}

/// Reads the greeting, if there is to be one, and copies to the end. The reading is in a box, so that its
/// memory is free again once the copying begins: what is left is the size of an idle tunnel.
async fn through(open: Box<Open>, up: Bytes, down: Bytes, greeting: Option<Greeting>) {
    let greeted = match greeting {
        None => Some((open, up, down, None)),
        Some(greeting) => Box::pin(greeted(open, up, down, greeting)).await,
    };
    if let Some((open, up, down, wrong)) = greeted {
        copy(open, up, down, wrong).await;
    }
}

/// Copies between a client whose greeting has been read and accepted, and the upstream; what both have
/// said so far is `(up, down)`.
pub(crate) fn carry_on(
    record: Record,
    watched: Watched,
    streams: (Stream, Stream),
    said: (Bytes, Bytes),
) {
    carry_through(record, watched, streams, said, None);
}

/// The same, of a client whose first bytes must be a `greeting` yet.
pub(crate) fn carry_through(
    record: Record,
    watched: Watched,
    (client, upstream): (Stream, Stream),
    (up, down): (Bytes, Bytes),
    greeting: Option<Greeting>,
) {
    let tasks = record.session().shared().tasks.clone();
    let open = Box::new(Open {
        record,
        watched,
        client,
        upstream,
    });
    tasks.spawn("tunnel", through(open, up, down, greeting));
}

/// The client's stream that hyper upgraded, and what was read of it beyond the request.
pub(crate) async fn taken(upgrade: &mut OnUpgrade) -> Option<(Stream, Bytes)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Intake>>().ok()?;
    parts.io.into_inner().into_tunnel(parts.read_buf).ok()
}

/// The upstream's stream that hyper upgraded, and what was read of it beyond the response.
pub(crate) async fn taken_upstream(upgrade: OnUpgrade) -> Option<(Stream, Bytes)> {
    let parts = upgrade.await.ok()?.downcast::<TokioIo<Endpoint>>().ok()?;
    Some((parts.io.into_inner().into_stream().ok()?, parts.read_buf))
}

/// A tunnel to copy, what both sides have said so far, and what mode observe found wrong.
type Greetings = (Box<Open>, Bytes, Bytes, Option<Reason>);

/// Reads the greeting. `None` where nothing is left to copy.
async fn greeted(
    mut open: Box<Open>,
    up: Bytes,
    down: Bytes,
    greeting: Greeting,
) -> Option<Greetings> {
    let Open {
        record,
        watched,
        client,
        upstream,
    } = open.as_mut();
    let shared = record.session().shared();
    let expected = Expected {
        target: &greeting.target,
        ech: greeting.ech,
        patience: shared.timeouts.head.min(shared.timeouts.idle),
    };
    let greeted = if down.is_empty() {
        greet(client, upstream, up, expected, watched).await
    } else {
        let fault = Fault::NotTls;
        Greeted::Refused { fault, up, down }
    };
    match greeted {
        Greeted::Tls(up) => return Some((open, up, Bytes::new(), None)),
        Greeted::Refused { fault, up, down } if !greeting.enforced => {
            return Some((open, up, down, Some(fault.reason())));
        }
        Greeted::Http(up) => {
            let tasks = shared.tasks.clone();
            tasks.spawn("connection", plain(open, up, greeting.target));
        }
        Greeted::Refused { fault, .. } => refuse(*open, fault).await,
        Greeted::Ended(reason) => {
            if reason != Reason::Allowed {
                open.client.reset_on_close();
                open.upstream.reset_on_close();
            }
            open.watched.end(open.record, reason, 0, 0);
        }
    }
    None
}

/// The tunnel's upstream has not heard a byte, and hears none: the requests in it are judged one by
/// one, and go their own ways. Boxed, for a connection can hold a tunnel that holds a connection.
fn plain(open: Box<Open>, first: Bytes, target: Target) -> BoxFuture<'static, ()> {
    let Open {
        record,
        watched,
        client,
        upstream,
    } = *open;
    drop(upstream);
    let session = Arc::new(Session::within(Arc::clone(record.session()), target));
    watched.end(record, Reason::Allowed, 0, 0);
    Box::pin(connection::serve_from(client, first, session))
}

/// Tells a TLS client, and closes.
async fn refuse(mut open: Open, fault: Fault) {
    match fault.alert() {
        Some(alert) => {
            let told = async {
                open.client.write_all(&alert).await?;
                open.client.shutdown().await
            };
            // It fits every socket buffer; a client that is gone does not need it.
            timeout(TELL, told).await.ok();
        }
        None => open.client.reset_on_close(),
    }
    open.watched.listener.metrics.closed(fault.reason());
    open.record.broken_off(&fault);
    connection::read_away(open.client).await;
}

/// `wrong` is what mode observe found wrong with the greeting.
async fn copy(mut open: Box<Open>, up: Bytes, down: Bytes, wrong: Option<Reason>) {
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
    finish(*open, &account, wrong);
}

fn finish(open: Open, account: &Account, wrong: Option<Reason>) {
    let reason = match account.ending {
        Ending::Finished | Ending::ClientLost(_) => wrong.unwrap_or(Reason::Allowed),
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
