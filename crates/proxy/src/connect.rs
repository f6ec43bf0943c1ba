//! CONNECT: 200 only once the dial has succeeded, then a tunnel of its own.
//!
//! The check of the ClientHello comes between the two, in a module `sni` beside this one: the early
//! data that hyper leaves over is where it will begin to read.

use std::sync::Arc;
use std::task::{Context, Poll};

use agentnet_policy::Reason;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::body::Body;
use crate::endpoint::Endpoint;
use crate::handler::Granted;
use crate::listener::{Listener, Raised};
use crate::live::{Kind, Member};
use crate::reach::reach;
use crate::record::Record;
use crate::stream::Stream;
use crate::tunnel::{self, Direction, Ending, Overseer, Silence};

/// Serves a CONNECT that was granted.
pub async fn serve(
    mut record: Record,
    granted: Granted,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let Granted {
        active,
        grant,
        purse,
    } = granted;
    let session = Arc::clone(record.session());
    let dialed = match reach(session.shared(), &active, &grant).await {
        Ok(dialed) => dialed,
        Err(unreached) => {
            return record.refused(&active, &unreached.denial, unreached.detail.as_deref());
        }
    };
    record.set_address(dialed.address.ip());
    record.passed(StatusCode::OK);
    let member = session.listener.live.enter(
        grant.target().clone(),
        dialed.address,
        Kind::Tunnel,
        purse,
        grant.expires(),
    );
    let watched = Watched::new(&session.listener, member);
    // A policy that came into force since the judgement did not see this tunnel among the open.
    watched.judge_again(active.generation);
    let upgrade = hyper::upgrade::on(&mut request);
    let task = carry(record, watched, upgrade, dialed.stream, Bytes::new());
    session.shared().tasks.spawn("tunnel", task);
    let mut response = Response::new(Body::Empty);
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(b"Connection established"));
    response
}

/// Waits until hyper has sent the answer and let go of the connection, then copies. `early` is what
/// the upstream has already said.
pub(crate) async fn carry(
    record: Record,
    watched: Watched,
    upgrade: OnUpgrade,
    mut upstream: Stream,
    early: Bytes,
) {
    let taken = match upgrade.await {
        Ok(upgraded) => upgraded.downcast::<TokioIo<Endpoint>>().ok(),
        // The client went away before the answer reached it.
        Err(_) => None,
    };
    let Some(parts) = taken else {
        return watched.end(record, Reason::Allowed, 0, 0);
    };
    let Ok(mut client) = parts.io.into_inner().into_stream() else {
        return watched.end(record, Reason::Allowed, 0, 0);
    };
    let timeouts = record.session().shared().timeouts;
    let silence = Silence {
        idle: timeouts.idle,
        half_closed: timeouts.half_close,
    };
    let account = tunnel::run(
        &mut client,
        &mut upstream,
        (parts.read_buf, early),
        silence,
        &watched,
    )
    .await;
    let reason = match account.ending {
        Ending::Finished | Ending::ClientLost(_) => Reason::Allowed,
        Ending::Silent => Reason::TimedOut,
        Ending::UpstreamLost(_) => Reason::UpstreamFailed,
        Ending::Stopped(reason) => reason,
    };
    match account.ending {
        Ending::Finished => {}
        Ending::Silent | Ending::ClientLost(_) | Ending::UpstreamLost(_) | Ending::Stopped(_) => {
            client.reset_on_close();
            upstream.reset_on_close();
        }
    }
    watched.end(record, reason, account.up, account.down);
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

    fn charge(&self, bytes: usize) -> usize {
        self.member
            .entry()
            .purse
            .as_ref()
            .map_or(bytes, |purse| purse.charge(bytes))
    }

    fn refund(&self, bytes: usize) {
        if let Some(purse) = &self.member.entry().purse {
            purse.refund(bytes);
        }
    }

    fn poll_stop(&self, cx: &mut Context<'_>) -> Poll<Reason> {
        self.member.entry().poll_stop(cx)
    }
}
