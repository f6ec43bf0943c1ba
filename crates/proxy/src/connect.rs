//! CONNECT: 200 only once the dial has succeeded, then a tunnel of its own.
//!
//! The check of the ClientHello comes between the two, in a module `sni` beside this one: the early
//! data that hyper leaves over is where it will begin to read.

use std::sync::Arc;

use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use hyper::upgrade::OnUpgrade;

use crate::body::Body;
use crate::carry::{Watched, carry};
use crate::handler::Granted;
use crate::reach::{Wish, reach};
use crate::record::Record;
use crate::standing::{Kind, Standing};

/// Serves a CONNECT that was granted. `upgrade` is taken when it becomes a tunnel.
pub async fn serve(
    mut record: Record,
    granted: Granted,
    upgrade: &mut Option<OnUpgrade>,
) -> Response<Body> {
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
            return record.refused(&active, &unreached.denial, unreached.detail.as_deref());
        }
    };
    record.set_reached(&reached.route, reached.address);
    record.set_socket(reached.stream.descriptor());
    record.passed(StatusCode::OK);
    let standing = Standing::new(&grant, Kind::Tunnel, purse, session.address);
    let member = session.listener.live.enter(standing, reached.address);
    let watched = Watched::new(&session.listener, member);
    // A policy that came into force since the judgement did not see this tunnel among the open.
    watched.judge_again(active.generation);
    if let Some(upgrade) = upgrade.take() {
        let waiting = carry(record, watched, upgrade, reached.stream, reached.early);
        session.shared().tasks.spawn("upgrade", waiting);
    }
    let mut response = Response::new(Body::Empty);
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(b"Connection established"));
    response
}
