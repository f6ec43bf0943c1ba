//! One request, told once: read, judge, and then the way of its kind.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use agentnet_policy::event::{Protocol, Word};
use agentnet_policy::{Denial, Reason, Request as Judged, Verdict};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use jiff::Timestamp;

use crate::active::Active;
use crate::body::Body;
use crate::carry::Waiting;
use crate::connection::linger_after_connect;
use crate::listener::{Purpose, Session};
use crate::record::Record;
use crate::request::BadRequest;
use crate::words::{self, Asked};
use crate::{connect, forward, headers, refusal, request, statistics};

/// The tunnel that a connection becomes once hyper lets go of it.
pub(crate) type Next = Mutex<Option<Box<Waiting>>>;

/// Answers one request of a client. Never fails: every error is an answer. What the connection becomes is
/// left in `next`.
///
/// # Errors
/// None.
pub(crate) async fn handle(
    session: Arc<Session>,
    next: Arc<Next>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let connect = request.method() == Method::CONNECT;
    let mut upgrade = connect.then(|| hyper::upgrade::on(&mut request));
    let response = answer(&session, &next, request, &mut upgrade).await;
    if let Some(unused) = upgrade {
        let linger = linger_after_connect(unused, Arc::clone(&session));
        session.shared().tasks.spawn("linger", linger);
    }
    Ok(response)
}

/// `upgrade` is taken if the request becomes a tunnel.
async fn answer(
    session: &Arc<Session>,
    next: &Next,
    request: Request<Incoming>,
    upgrade: &mut Option<OnUpgrade>,
) -> Response<Body> {
    let (parts, incoming) = request.into_parts();
    session.note_request();
    if request::is_for_us(&parts) {
        return refusal::present();
    }
    let listener = &session.listener;
    let active = listener.policy.now_full();
    // The list may have changed since the connection was let in.
    let open = active.conduct.clients.is_open();
    if !open && !Box::pin(session.is_permitted(&active)).await {
        let protocol = request::protocol(&parts);
        return Record::begin(session, protocol, &parts).turned_away(&active);
    }
    let manners = active.conduct.manners.as_deref();
    let is_bound = session.bound.is_some();
    if let Some(manners) = manners.filter(|_| !is_bound && session.purpose == Purpose::Proxy)
        && manners.is_for_statistics(&parts)
    {
        session.say(|| Asked::new(&parts, session.socket).1);
        session.say(words::statistics);
        return statistics::answer(session, manners, &parts);
    }
    if let Some(fault) = session.link.fault()
        && request::stands_for_a_fault(&parts)
    {
        session.shared().metrics.rejected(fault.into()).inc();
        // What stands here is not what the client sent, so nothing of it is told.
        let mut record = Record::nameless(session, request::protocol(&parts));
        return record.malformed(&active, &BadRequest::from(fault));
    }
    let mut record = Record::begin(session, request::protocol(&parts), &parts);
    if manners.is_some_and(|manners| manners.pages.has_errors()) {
        record.keep_line(&parts);
    }
    let asked = match session.purpose {
        Purpose::Origin(port) if !is_bound => request::read_as_origin(&parts, port),
        Purpose::Proxy | Purpose::Origin(_) => request::read(&parts, session.bound.as_ref()),
    };
    let asked = match asked {
        Ok(asked) => asked,
        Err(bad) => return record.malformed(&active, &bad),
    };
    record.set_target(&asked.target);
    // Inside a tunnel the client has shown its credentials, to open it.
    if !is_bound && manners.is_some_and(|manners| !manners.knows(&parts.headers)) {
        let denial = Denial::new(asked.target, Reason::AuthRequired);
        return record.refused(&active, &denial, None);
    }
    if headers::has_passed(&parts.headers, &session.shared().pseudonym) {
        let denial = Denial::new(asked.target, Reason::Loop);
        return record.refused(&active, &denial, None);
    }
    let judged = Judged {
        target: asked.target.clone(),
        ask: asked.ask(&parts),
    };
    let granted = match grant(&mut record, active, judged).await {
        Ok(granted) => granted,
        Err(refused) => return refused.answer(&mut record),
    };
    match asked.protocol {
        Protocol::Connect | Protocol::Tls | Protocol::Dns | Protocol::Raw => {
            let (response, waiting) = connect::serve(record, granted, upgrade).await;
            *next.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
            response
        }
        Protocol::Http => {
            forward::serve(record, granted, Request::from_parts(parts, incoming)).await
        }
    }
}

/// Judges a request, and looks whether its purse is not empty.
pub(crate) async fn grant(
    record: &mut Record,
    active: Arc<Active>,
    request: Judged<'_>,
) -> Result<Granted, Refused> {
    let (grant, word, reason) = match active.policy.judge(request, Timestamp::now()) {
        Verdict::Allow(grant) => (grant, Word::Allow, Reason::Allowed),
        Verdict::Report(grant, denial) => (grant, Word::Report, denial.reason()),
        Verdict::Deny(denial) => return Err(Refused::new(active, denial, None)),
    };
    record.set_permission(word, reason);
    record.set_rule(&active, grant.rule());
    let purse = record.session().listener.policy.purse(&active, &grant);
    if let Some(purse) = &purse {
        purse.known().await;
        if purse.is_spent() {
            let denial = Denial::new(grant.target().clone(), Reason::BudgetSpent);
            let detail = purse.trouble().map(str::to_owned);
            return Err(Refused::new(active, denial, detail));
        }
    }
    Ok(Granted {
        active,
        grant,
        purse,
    })
}

/// Why a request goes no further, not yet told.
#[derive(Debug)]
pub(crate) struct Refused {
    /// The policy that judged.
    pub(crate) active: Arc<Active>,
    /// What it said, or what failed.
    pub(crate) denial: Denial,
    /// What the system or a parent said.
    pub(crate) detail: Option<String>,
}

impl Refused {
    pub(crate) fn new(active: Arc<Active>, denial: Denial, detail: Option<String>) -> Self {
        Self {
            active,
            denial,
            detail,
        }
    }

    /// Tells it, and makes the answer.
    pub(crate) fn answer(&self, record: &mut Record) -> Response<Body> {
        record.refused(&self.active, &self.denial, self.detail.as_deref())
    }
}

/// A grant, the policy that gave it and the purse it spends from.
#[derive(Debug)]
pub struct Granted {
    /// The policy that judged.
    pub active: Arc<Active>,
    /// What it allowed.
    pub grant: agentnet_policy::Grant,
    /// What its rule may still send.
    pub purse: Option<Arc<crate::budget::Budget>>,
}
