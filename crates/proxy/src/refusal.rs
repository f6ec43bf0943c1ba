//! What a refused client reads.
//!
//! Three readers: a program that sees only the status line of a refused CONNECT (most do), a tool
//! that reads `X-Agentnet-Reason` or the JSON of the body's first line, and a model that acts on the
//! sentence of the second.

use agentnet_policy::event::RuleLine;
use agentnet_policy::{Reason, Target};
use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;
use serde::Serialize;

use crate::body::Body;
use crate::headers::X_AGENTNET_REASON;
use crate::manners::Dress;

/// RFC 9209.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Our name in `Proxy-Status`.
pub const OWN_NAME: &str = "agentnet";

/// Longest reason phrase. Clients print it; some cut lines at 256 bytes.
const MAX_PHRASE: usize = 200;

/// A refusal in words.
#[derive(Clone, Debug)]
pub struct Refusal<'a> {
    /// The word.
    pub reason: Reason,
    /// The status, where it is not the reason's own.
    pub status: StatusCode,
    /// What was refused, if it could be told.
    pub target: Option<&'a Target>,
    /// What happened, as a clause for the status line.
    pub clause: &'a str,
    /// What happened and what to do, for a model.
    pub sentence: &'a str,
    /// The line that decided.
    pub rule: Option<&'a RuleLine>,
    /// Whether the connection can be used for another request.
    pub close: bool,
    /// What the listener's manners add.
    pub dress: Dress,
}

/// The first line of the body.
#[derive(Serialize)]
struct Machine<'a> {
    v: u8,
    reason: Reason,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a RuleLine>,
}

impl Refusal<'_> {
    /// The answer.
    #[must_use]
    pub fn response(&self) -> Response<Body> {
        let machine = Machine {
            v: 1,
            reason: self.reason,
            status: self.status.as_u16(),
            host: self.target.map(|target| target.host().to_string()),
            port: self.target.map(Target::port),
            rule: self.rule,
        };
        let (text, kind) = match &self.dress.page {
            Some(page) => (page.clone(), "text/html; charset=utf-8"),
            None => (self.words(&machine), "text/plain; charset=utf-8"),
        };
        let length = HeaderValue::from(text.len());
        let mut response = Response::new(Body::Full(Bytes::from(text)));
        *response.status_mut() = self.status;
        if let Ok(phrase) = ReasonPhrase::try_from(self.phrase().into_bytes()) {
            response.extensions_mut().insert(phrase);
        }
        let headers = response.headers_mut();
        headers.insert(
            X_AGENTNET_REASON,
            HeaderValue::from_static(self.reason.as_str()),
        );
        headers.insert(PROXY_STATUS, proxy_status(self.reason));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if let Some((name, value)) = &self.dress.challenge {
            headers.insert(name.clone(), value.clone());
        }
        headers.insert(header::CONTENT_LENGTH, length);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// A line for tools, a sentence, and Tinyproxy's words where somebody may look for them.
    fn words(&self, machine: &Machine<'_>) -> String {
        let mut text = serde_json::to_string(machine).unwrap_or_default();
        text.push('\n');
        text.push_str(self.sentence);
        text.push('\n');
        if let Some(cause) = self.dress.cause {
            text.push_str(&format!(
                "{} {}: {}\n",
                cause.status, cause.title, cause.detail
            ));
        }
        text
    }

    /// `not_listed: example.com:443: no line of the whitelist allows this host`, printable ASCII.
    fn phrase(&self) -> String {
        let mut phrase = self.reason.as_str().to_owned();
        if let Some(target) = self.target {
            phrase.push_str(": ");
            phrase.push_str(&target.to_string());
        }
        phrase.push_str(": ");
        phrase.push_str(self.clause);
        let printable = phrase
            .chars()
            .map(|c| if (' '..='~').contains(&c) { c } else { '?' });
        printable.take(MAX_PHRASE).collect()
    }
}

/// A response of ours as it goes over the wire, for a client that is answered outside hyper.
#[must_use]
pub fn text_of(response: &Response<Body>) -> Vec<u8> {
    let status = response.status();
    let mut text = format!("HTTP/1.1 {} ", status.as_u16()).into_bytes();
    match response.extensions().get::<ReasonPhrase>() {
        Some(phrase) => text.extend_from_slice(phrase.as_bytes()),
        None => text.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes()),
    }
    text.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    if let Body::Full(body) = response.body() {
        text.extend_from_slice(body);
    }
    text
}

/// The answer to `OPTIONS *`: the proxy itself is here.
#[must_use]
pub fn present() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    response
        .headers_mut()
        .insert(PROXY_STATUS, HeaderValue::from_static(OWN_NAME));
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    response
}

/// RFC 9209: the error type that comes nearest, and our own word as the details.
fn proxy_status(reason: Reason) -> HeaderValue {
    let text = format!(
        "{OWN_NAME}; error={}; details=\"{reason}\"",
        error_type(reason)
    );
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(OWN_NAME))
}

/// RFC 9209 §2.3.
fn error_type(reason: Reason) -> &'static str {
    match reason {
        Reason::Allowed
        | Reason::NotListed
        | Reason::RuleDenied
        | Reason::PortNotListed
        | Reason::MethodNotListed
        | Reason::PathNotListed
        | Reason::HostMismatch
        | Reason::UpgradeNotListed
        | Reason::BudgetSpent
        | Reason::ClientNotAllowed
        | Reason::SniMismatch
        | Reason::SniMissing
        | Reason::EchRefused
        | Reason::NotTls
        | Reason::PolicyChanged
        | Reason::AuthRequired => "http_request_denied",
        Reason::PrivateAddress => "destination_ip_prohibited",
        Reason::Loop => "proxy_loop_detected",
        Reason::BadRequest => "http_request_error",
        Reason::ResolveFailed => "dns_error",
        Reason::ConnectFailed => "destination_unavailable",
        Reason::UpstreamFailed => "http_protocol_error",
        Reason::TooManyConnections => "connection_limit_reached",
        Reason::TimedOut => "connection_timeout",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_phrase_printable_and_short() {
        let clause = format!("a\r\nX: y\u{7f}é{}", "z".repeat(400));
        let refusal = Refusal {
            reason: Reason::BadRequest,
            status: StatusCode::BAD_REQUEST,
            target: None,
            clause: &clause,
            sentence: "s",
            rule: None,
            close: true,
            dress: Dress::default(),
        };
        let phrase = refusal.phrase();
        assert!(phrase.starts_with("bad_request: a??X: y??zzz"), "{phrase}");
        assert_eq!(phrase.len(), MAX_PHRASE);
    }

    #[test]
    fn names_every_reason_in_proxy_status() {
        for reason in Reason::ALL
            .iter()
            .filter(|reason| **reason != Reason::Allowed)
        {
            let value = proxy_status(*reason);
            let details = format!("details=\"{reason}\"");
            assert!(value.to_str().unwrap().ends_with(&details), "{value:?}");
        }
    }
}
