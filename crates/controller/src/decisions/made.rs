//! Events for tests of what is built on them.

use super::*;
use agentnet_policy::event::Version;

/// A refused CONNECT at `second`.
pub(crate) fn denied(host: &str, second: i64) -> Event {
    Event {
        v: Version,
        time: Timestamp::from_second(1_795_000_000 + second).unwrap(),
        id: "1".into(),
        event: Moment::Decision,
        listener: "task".into(),
        client: "10.213.0.4:4000".into(),
        protocol: Protocol::Connect,
        method: "CONNECT".into(),
        path: None,
        host: host.into(),
        port: 443,
        verdict: Word::Deny,
        reason: Reason::NotListed,
        rule: None,
        address: None,
        route: None,
        status: Some(403),
        up: 0,
        down: 0,
        ms: 0,
        sentence: None,
        quiet: false,
        transparent: false,
        agent: None,
    }
}

/// A refused question to the DNS.
pub(crate) fn asked(host: &str, second: i64) -> Event {
    Event {
        protocol: Protocol::Dns,
        method: "A".into(),
        status: None,
        transparent: true,
        ..denied(host, second)
    }
}

/// One that was let through.
pub(crate) fn allowed(host: &str, second: i64) -> Event {
    Event {
        verdict: Word::Allow,
        reason: Reason::Allowed,
        status: Some(200),
        ..denied(host, second)
    }
}
