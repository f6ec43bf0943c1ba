//! The counters of one listener, resolved before the first request.

use agentnet_policy::Reason;
use agentnet_policy::event::{Protocol, Word};
use prometheus::IntCounter;

use super::{BlockedHosts, Metrics};

const PROTOCOLS: [(Protocol, &str); 5] = [
    (Protocol::Connect, "connect"),
    (Protocol::Http, "http"),
    (Protocol::Tls, "tls"),
    (Protocol::Dns, "dns"),
    (Protocol::Raw, "raw"),
];
const WORDS: [(Word, &str); 3] = [
    (Word::Allow, "allow"),
    (Word::Report, "report"),
    (Word::Deny, "deny"),
];

/// What one listener counts.
#[derive(Debug)]
pub struct ListenerMetrics {
    /// By protocol, verdict and reason, each in the order of its declaration.
    requests: Vec<Option<IntCounter>>,
    closed: Vec<Option<IntCounter>>,
    /// Bytes that went out through tunnels.
    pub tunnel_up: IntCounter,
    /// Bytes that came in through tunnels.
    pub tunnel_down: IntCounter,
    /// Bytes that went out in plain requests.
    pub http_up: IntCounter,
    /// Bytes that came in as plain responses.
    pub http_down: IntCounter,
    /// Refusals by host.
    pub blocked_hosts: BlockedHosts,
    all: Metrics,
    name: String,
}

impl ListenerMetrics {
    /// Resolves the counters of the listener `name`; `hosts` bounds the host label.
    #[must_use]
    pub fn new(metrics: &Metrics, name: &str, hosts: usize) -> Self {
        let mut requests = Vec::new();
        for (kind, protocol) in PROTOCOLS {
            for (word, verdict) in WORDS {
                for reason in Reason::ALL {
                    let is_known =
                        can_be(word, *reason) && (kind != Protocol::Dns || can_be_of_dns(*reason));
                    requests.push(is_known.then(|| {
                        let labels = [name, protocol, verdict, reason.as_str()];
                        metrics.requests.with_label_values(&labels)
                    }));
                }
            }
        }
        let closed = Reason::ALL
            .iter()
            .map(|reason| {
                ends_a_tunnel(*reason).then(|| {
                    let labels = [name, reason.as_str()];
                    metrics.tunnels_closed.with_label_values(&labels)
                })
            })
            .collect();
        Self {
            requests,
            closed,
            tunnel_up: metrics.tunnel_bytes.with_label_values(&[name, "up"]),
            tunnel_down: metrics.tunnel_bytes.with_label_values(&[name, "down"]),
            http_up: metrics.http_bytes.with_label_values(&[name, "up"]),
            http_down: metrics.http_bytes.with_label_values(&[name, "down"]),
            blocked_hosts: BlockedHosts::new(metrics.blocked_hosts.clone(), name, hosts),
            all: metrics.clone(),
            name: name.to_owned(),
        }
    }

    /// Counts one decided request.
    pub fn request(&self, protocol: Protocol, word: Word, reason: Reason) {
        let row = protocol as usize * WORDS.len() + word as usize;
        let counter = self.requests.get(row * Reason::ALL.len() + reason as usize);
        match counter {
            Some(Some(counter)) => counter.inc(),
            // A combination that nobody foresaw is still counted.
            Some(None) | None => {
                let words = (PROTOCOLS.get(protocol as usize), WORDS.get(word as usize));
                if let (Some((_, protocol)), Some((_, verdict))) = words {
                    let labels = [self.name.as_str(), protocol, verdict, reason.as_str()];
                    self.all.requests.with_label_values(&labels).inc();
                }
            }
        }
    }

    /// How many requests got a verdict and a reason that `is_meant`.
    pub fn total(&self, is_meant: impl Fn(Word, Reason) -> bool) -> u64 {
        let words = WORDS.iter().map(|(word, _)| *word);
        let kinds = words.flat_map(|word| Reason::ALL.iter().map(move |reason| (word, *reason)));
        let counted = self.requests.iter().zip(kinds.cycle());
        let meant = counted.filter(|(_, (word, reason))| is_meant(*word, *reason));
        meant
            .filter_map(|(counter, _)| counter.as_ref())
            .map(IntCounter::get)
            .sum()
    }

    /// Counts one ended tunnel.
    pub fn closed(&self, reason: Reason) {
        match self.closed.get(reason as usize) {
            Some(Some(counter)) => counter.inc(),
            Some(None) | None => {
                let labels = [self.name.as_str(), reason.as_str()];
                self.all.tunnels_closed.with_label_values(&labels).inc();
            }
        }
    }
}

/// Which combinations are known and so start at 0.
fn can_be(word: Word, reason: Reason) -> bool {
    let (allow, report, deny) = match reason {
        Reason::Allowed => (true, false, false),
        Reason::NotListed
        | Reason::RuleDenied
        | Reason::PortNotListed
        | Reason::MethodNotListed
        | Reason::PathNotListed => (false, true, true),
        Reason::PrivateAddress
        | Reason::HostMismatch
        | Reason::UpgradeNotListed
        | Reason::BudgetSpent
        | Reason::ClientNotAllowed
        | Reason::Loop
        | Reason::PolicyChanged
        | Reason::BadRequest
        | Reason::AuthRequired
        | Reason::TooManyConnections => (false, false, true),
        // Allowed, and then it did not work: not a refusal of ours.
        Reason::ResolveFailed
        | Reason::ConnectFailed
        | Reason::UpstreamFailed
        | Reason::TimedOut => (true, true, false),
        // What the first bytes of a tunnel are closed for: its request was allowed.
        Reason::SniMismatch | Reason::SniMissing | Reason::EchRefused | Reason::NotTls => {
            (false, false, false)
        }
    };
    match word {
        Word::Allow => allow,
        Word::Report => report,
        Word::Deny => deny,
    }
}

/// Which of them a question to the DNS can have.
fn can_be_of_dns(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Allowed
            | Reason::NotListed
            | Reason::RuleDenied
            | Reason::PrivateAddress
            | Reason::ClientNotAllowed
            | Reason::BadRequest
    )
}

/// Which reasons a tunnel can end with today.
fn ends_a_tunnel(reason: Reason) -> bool {
    match reason {
        Reason::Allowed
        | Reason::PolicyChanged
        | Reason::BudgetSpent
        | Reason::TimedOut
        | Reason::UpstreamFailed
        | Reason::SniMismatch
        | Reason::SniMissing
        | Reason::EchRefused
        | Reason::NotTls => true,
        Reason::NotListed
        | Reason::RuleDenied
        | Reason::PortNotListed
        | Reason::MethodNotListed
        | Reason::PathNotListed
        | Reason::PrivateAddress
        | Reason::HostMismatch
        | Reason::UpgradeNotListed
        | Reason::ClientNotAllowed
        | Reason::Loop
        | Reason::BadRequest
        | Reason::AuthRequired
        | Reason::ResolveFailed
        | Reason::ConnectFailed
        | Reason::TooManyConnections => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_every_word_in_its_place() {
        for (place, (protocol, _)) in PROTOCOLS.iter().enumerate() {
            assert_eq!(*protocol as usize, place);
        }
        for (place, (word, _)) in WORDS.iter().enumerate() {
            assert_eq!(*word as usize, place);
        }
        for (place, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
        }
    }
}
