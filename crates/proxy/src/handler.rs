//! One request, told once: read, judge, and then the way of its kind.

use std::convert::Infallible;
use std::sync::Arc;

use agentnet_policy::event::{Protocol, Word};
use agentnet_policy::{Denial, Reason, Request as Judged, Verdict};
use http::{Request, Response};
use hyper::body::Incoming;
use jiff::Timestamp;

use crate::body::Body;
use crate::listener::Session;
use crate::record::Record;
use crate::{connect, forward, headers, refusal, request};

/// Answers one request of a client. Never fails: every error is an answer.
///
/// # Errors
/// None.
pub async fn handle(
    session: Arc<Session>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, incoming) = request.into_parts();
    if request::is_for_us(&parts) {
        return Ok(refusal::present());
    }
    let mut record = Record::begin(&session, request::protocol(&parts), &parts);
    let asked = match request::read(&parts) {
        Ok(asked) => asked,
        Err(bad) => return Ok(record.malformed(&bad)),
    };
    record.set_target(&asked.target);
    let listener = &session.listener;
    let active = listener.policy.now_full();
    if headers::has_passed(&parts.headers, &session.shared().pseudonym) {
        let denial = Denial::new(asked.target, Reason::Loop);
        return Ok(record.refused(&active, &denial, None));
    }
    let judged = Judged {
        target: asked.target.clone(),
        ask: asked.ask(&parts),
    };
    let (grant, word, reason) = match active.policy.judge(judged, Timestamp::now()) {
        Verdict::Allow(grant) => (grant, Word::Allow, Reason::Allowed),
        Verdict::Report(grant, denial) => (grant, Word::Report, denial.reason()),
        Verdict::Deny(denial) => return Ok(record.refused(&active, &denial, None)),
    };
    record.set_permission(word, reason);
    record.set_rule(&active, grant.rule());
    let purse = listener.policy.purse(&active, &grant);
    if purse.as_ref().is_some_and(|purse| purse.is_spent()) {
        let denial = Denial::new(asked.target, Reason::BudgetSpent);
        return Ok(record.refused(&active, &denial, None));
    }
    let granted = Granted {
        active,
        grant,
        purse,
    };
    let request = Request::from_parts(parts, incoming);
    Ok(match asked.protocol {
        Protocol::Connect => connect::serve(record, granted, request).await,
        Protocol::Http => forward::serve(record, granted, request).await,
    })
}

/// A grant, the policy that gave it and the purse it spends from.
#[derive(Debug)]
pub struct Granted {
    /// The policy that judged.
    pub active: Arc<crate::active::Active>,
    /// What it allowed.
    pub grant: agentnet_policy::Grant,
    /// What its rule may still send.
    pub purse: Option<Arc<crate::budget::Budget>>,
}
