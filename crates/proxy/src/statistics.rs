//! The statistics of one listener as Tinyproxy's page shows them, for what is asked of its host.
//!
//! A request for them is counted on the page and nowhere else: what scrapes it every few seconds is no
//! traffic of the task's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agentnet_policy::Reason;
use agentnet_policy::event::{Protocol, Word};
use bytes::Bytes;
use http::Response;
use http::header::{self, HeaderValue};
use http::request::Parts;

use crate::body::Body;
use crate::listener::{Listener, Session};
use crate::manners::pages::Counts;
use crate::manners::{Manners, Occasion};
use crate::record::Record;

/// What is counted for the page alone. The rest of it comes out of the metrics.
#[derive(Debug, Default)]
pub struct Tally {
    opens: AtomicU64,
    refused: AtomicU64,
    silent: AtomicU64,
    read: AtomicU64,
}

impl Tally {
    /// A connection was accepted.
    pub fn opened(&self) {
        self.opens.fetch_add(1, Ordering::Relaxed);
    }

    /// One is over; `asked` if a request came over it.
    pub fn closed(&self, asked: bool) {
        self.opens.fetch_sub(1, Ordering::Relaxed);
        if !asked {
            self.silent.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection was turned away because there were too many.
    pub fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// The counters of a listener in Tinyproxy's sense: a connection without a request is a request and a
/// bad one; what the filter refuses is bad and denied.
#[must_use]
pub fn counts(listener: &Listener) -> Counts {
    let tally = &listener.tally;
    let silent = tally.silent.load(Ordering::Relaxed);
    let read = tally.read.load(Ordering::Relaxed);
    let metrics = &listener.metrics;
    Counts {
        opens: tally.opens.load(Ordering::Relaxed),
        requests: metrics.total(|_, _| true) + silent + read,
        bad: metrics.total(|word, reason| word == Word::Deny && is_bad(reason)) + silent,
        denied: metrics.total(|word, reason| word == Word::Deny && is_denied(reason)),
        refused: tally.refused.load(Ordering::Relaxed),
    }
}

/// What the filter refused.
fn is_filtered(reason: Reason) -> bool {
    use Reason as R;
    [
        R::NotListed,
        R::RuleDenied,
        R::MethodNotListed,
        R::PathNotListed,
    ]
    .contains(&reason)
}

fn is_bad(reason: Reason) -> bool {
    use Reason as R;
    is_filtered(reason) || [R::BadRequest, R::HostMismatch, R::PortNotListed].contains(&reason)
}

/// Tinyproxy knows the first two; the others are refusals that it has no counter for.
fn is_denied(reason: Reason) -> bool {
    use Reason as R;
    let others = [
        R::ClientNotAllowed,
        R::AuthRequired,
        R::PrivateAddress,
        R::UpgradeNotListed,
        R::BudgetSpent,
        R::Loop,
    ];
    is_filtered(reason) || others.contains(&reason)
}

/// Answers a request for the statistics.
#[must_use]
pub fn answer(session: &Arc<Session>, manners: &Manners, parts: &Parts) -> Response<Body> {
    if let Some(host) = &manners.statistics
        && !manners.knows_reader(&parts.headers)
    {
        let mut record = Record::begin(session, Protocol::Http, parts);
        record.keep_line(parts);
        return record.unauthorized(manners, host);
    }
    let listener = &session.listener;
    listener.tally.read.fetch_add(1, Ordering::Relaxed);
    let client = session.address.map(|address| address.to_string());
    let url = parts.uri.to_string();
    let request = format!("{} {url} {:?}", parts.method, parts.version);
    let occasion = Occasion {
        request: Some(&request),
        url: Some(&url),
        client: client.as_deref().unwrap_or_default(),
    };
    let page = manners.pages.statistics(counts(listener), occasion);
    let length = HeaderValue::from(page.len());
    let mut response = Response::new(Body::Full(Bytes::from(page)));
    let headers = response.headers_mut();
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    headers.insert(header::CONTENT_TYPE, html);
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // As Tinyproxy does: whatever body the request has is not read.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
