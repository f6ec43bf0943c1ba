//! Plain HTTP: terminated here and serialised anew from the target that was judged.
//!
//! Nothing of the client's own head goes upstream as bytes; redirects go back to the client, which
//! asks again and is judged again (THREATS W68). Bodies stream both ways.

mod pool;
mod send;

use std::borrow::Cow;
use std::sync::Arc;

use agentnet_policy::{Denial, Reason};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;

pub use self::pool::{Bounds, Connection, Key, Lease, Pool};
use self::send::{Failure, Send};
use crate::active::Active;
use crate::body::{Body, Download};
use crate::carry::{Waiting, Watched, taken_upstream};
use crate::exchange::Exchange;
use crate::handler::Granted;
use crate::headers;
use crate::listener::Session;
use crate::record::Record;
use crate::request::path_and_query;
use crate::standing::{Asked, Kind, Standing};

/// Serves a plain request that was granted.
pub async fn serve(
    mut record: Record,
    granted: Granted,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let session = Arc::clone(record.session());
    let active = Arc::clone(&granted.active);
    let target = granted.grant.target().clone();
    let deny = |record: &mut Record, reason, detail: Option<&str>| {
        record.refused(&active, &Denial::new(target.clone(), reason), detail)
    };
    let upgrade = match headers::wanted_upgrade(request.headers()) {
        None => None,
        Some(protocol) if granted.grant.raw() => Some(protocol.clone()),
        Some(protocol) if headers::is_optional_upgrade(protocol) => None,
        Some(_) => return deny(&mut record, Reason::UpgradeNotListed, None),
    };
    let client_upgrade = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (parts, incoming) = request.into_parts();
    let generation = active.generation;
    let asked = || Asked {
        method: parts.method.clone(),
        path: path_and_query(&parts.uri).to_owned(),
    };
    let client = session.address;
    let stands = |kind| Standing::new(&granted.grant, kind, granted.purse.clone(), client);
    let standing = stands(Kind::Plain(asked()));
    let exchange = Arc::new(Exchange::begin(&session, standing, generation));
    let key = Key {
        target: target.clone(),
        rule: granted.grant.rule(),
        generation,
        route: active.conduct.routes.take(&target).0,
        from: active.conduct.bind.of(session.local),
        session: session.logged_in(&parts.headers),
    };
    let send = Send {
        session: &session,
        granted: &granted,
        key,
        parts: &parts,
        upgrade,
    };
    let (mut response, lease) = match send.send(incoming, &exchange).await {
        Ok(answered) => answered,
        Err(Failure::Unreached(unreached)) => {
            return record.refused(&active, &unreached.denial, unreached.detail.as_deref());
        }
        Err(Failure::Broken(reason, detail)) => {
            return deny(&mut record, reason, detail.as_deref());
        }
    };
    record.set_reached(&lease.connection.route, lease.connection.address);
    record.set_socket(lease.connection.socket);
    if lease.connection.refused_us(response.status()) {
        let said = format!("{} wants other credentials (407)", lease.connection.route);
        return deny(&mut record, Reason::UpstreamFailed, Some(&said));
    }
    if !headers::is_plainly_framed(response.headers()) {
        let said = "its Transfer-Encoding is not chunked";
        return deny(&mut record, Reason::UpstreamFailed, Some(said));
    }
    record.passed(response.status());
    let upstream_upgrade = (response.status() == StatusCode::SWITCHING_PROTOCOLS)
        .then(|| hyper::upgrade::on(&mut response));
    let (mut head, incoming) = response.into_parts();
    let via = via(&session, &active);
    let upgraded = upstream_upgrade.is_some();
    head.headers = headers::client_response(&head.headers, via.as_deref(), upgraded);
    head.version = http::Version::HTTP_11;
    match (client_upgrade, upstream_upgrade) {
        (Some(client), Some(upstream)) => {
            let live = &session.listener.live;
            let member = live.enter(stands(Kind::Upgraded(asked())), lease.connection.address);
            let watched = Watched::new(&session.listener, member);
            watched.judge_again(generation);
            session.shared().tasks.spawn("upgrade", async move {
                match taken_upstream(upstream).await {
                    Some((upstream, early)) => {
                        let waiting = Box::new(Waiting {
                            record,
                            watched,
                            client,
                            upstream,
                            early,
                            greeting: None,
                        });
                        waiting.carry().await;
                    }
                    None => watched.end(record, Reason::UpstreamFailed, 0, 0),
                }
            });
            Response::from_parts(head, Body::Empty)
        }
        (_, None) => {
            exchange.passed(record);
            let download = Download::new(incoming, exchange, lease);
            Response::from_parts(head, Body::Download(Box::new(download)))
        }
        // A switch that nobody asked for leaves the connection in no known state.
        (None, Some(_)) => deny(
            &mut record,
            Reason::UpstreamFailed,
            Some("it switched protocols"),
        ),
    }
}

/// The `Via` of this listener, if it has one.
fn via<'a>(session: &'a Session, active: &Active) -> Option<Cow<'a, HeaderValue>> {
    let shared = session.shared();
    match &active.conduct.manners {
        None => Some(Cow::Borrowed(&shared.via)),
        Some(manners) => manners.fields.via(&shared.pseudonym).map(Cow::Owned),
    }
}
