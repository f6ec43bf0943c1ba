//! CONNECT: 200 only once the dial has succeeded, then a tunnel of its own.
//!
//! Unless the rule says `raw`, the tunnel's first bytes are checked between the two
//! ([`greeting`](crate::greeting)).

use std::sync::Arc;

use agentnet_policy::Mode;
use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;

use crate::body::Body;
use crate::carry::{Greeting, Waiting, Watched};
use crate::handler::{Granted, Refused};
use crate::reach::{Wish, reach};
use crate::record::Record;
use crate::standing::{Kind, Standing};
use crate::stream::Stream;

/// Serves a CONNECT that was granted. `upgrade` is taken when it becomes a tunnel, which waits from then
/// on.
pub(crate) async fn serve(
    mut record: Record,
    granted: Granted,
    upgrade: &mut Option<OnUpgrade>,
) -> (Response<Body>, Option<Box<Waiting>>) {
    let opened = match open(&mut record, granted).await {
        Ok(opened) => opened,
        Err(refused) => return (refused.answer(&mut record), None),
    };
    let Opened {
        watched,
        stream,
        early,
        greeting,
    } = opened;
    let waiting = upgrade.take().map(|client| {
        Box::new(Waiting {
            record,
            watched,
            client,
            upstream: stream,
            early,
            greeting,
        })
    });
    let mut response = Response::new(Body::Empty);
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(b"Connection established"));
    (response, waiting)
}

/// A tunnel that is open on the far side, and recorded as such.
pub(crate) struct Opened {
    /// Who looks on.
    pub(crate) watched: Watched,
    /// The upstream.
    pub(crate) stream: Stream,
    /// What it has already said.
    pub(crate) early: Bytes,
    /// What the client's first bytes must be.
    pub(crate) greeting: Option<Greeting>,
}

/// Connects to the target of a tunnel that was granted.
pub(crate) async fn open(record: &mut Record, granted: Granted) -> Result<Opened, Refused> {
    let Granted {
        active,
        grant,
        purse,
    } = granted;
    let session = Arc::clone(record.session());
    let from = active.conduct.bind.of(session.local);
    let reached = match reach(session.shared(), &active, &grant, Wish::Tunnel, &from).await {
        Ok(reached) => reached,
        Err(unreached) => {
            return Err(Refused::new(active, unreached.denial, unreached.detail));
        }
    };
    record.set_reached(&reached.route, reached.address);
    record.set_socket(reached.stream.descriptor());
    record.passed(StatusCode::OK);
    // Where mode observe lets pass what no line allows, it is to say what a line would need.
    let is_checked = !grant.raw() || grant.reported();
    let greeting = is_checked.then(|| Greeting {
        target: grant.target().clone(),
        ech: session.shared().ech,
        enforced: active.policy.mode() == Mode::Enforce,
    });
    let kind = match greeting {
        Some(_) => Kind::Tunnel,
        None => Kind::Opaque,
    };
    let standing = Standing::new(&grant, kind, purse, session.address);
    let member = session.listener.live.enter(standing, reached.address);
    let watched = Watched::new(&session.listener, member);
    // A policy that came into force since the judgement did not see this tunnel among the open.
    watched.judge_again(active.generation);
    Ok(Opened {
        watched,
        stream: reached.stream,
        early: reached.early,
        greeting,
    })
}
