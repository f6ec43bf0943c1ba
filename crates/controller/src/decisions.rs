//! What a task's proxy decided, folded: the hosts that it refused or could not reach, each once.
//!
//! What the agent asks for decides how much there is, so every list here has a bound.

mod log;
#[cfg(test)]
pub(crate) mod made;
mod told;

use std::collections::HashMap;

use agentnet_policy::Reason;
use agentnet_policy::event::{Event, Moment, Protocol, Text, Word};
use jiff::Timestamp;
use serde::Serialize;

pub use self::log::{LONGEST_LINE, Lines, follow, recent};
pub use self::told::{Told, Tone, told};

/// Hosts that are kept apart; the rest is only counted.
pub const MOST_HOSTS: usize = 500;
/// Names of clients that are kept of one host.
const MOST_AGENTS: usize = 4;

/// How a client asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// It asked the proxy.
    Proxy,
    /// It asked the DNS.
    Dns,
    /// It took the proxy for the host, and spoke TLS.
    TlsDoor,
    /// It took the proxy for the host, and spoke plain HTTP.
    HttpDoor,
    /// It came to the door of a `raw` line.
    RawDoor,
}

impl Way {
    /// Of an event.
    #[must_use]
    pub fn of(event: &Event) -> Way {
        match (event.protocol, event.transparent) {
            (Protocol::Dns, _) => Way::Dns,
            (Protocol::Tls, _) => Way::TlsDoor,
            (Protocol::Raw, _) => Way::RawDoor,
            (Protocol::Http, true) => Way::HttpDoor,
            (Protocol::Http, false) | (Protocol::Connect, _) => Way::Proxy,
        }
    }

    /// A client that comes this way passes the proxy's variables by.
    #[must_use]
    pub fn is_around(self) -> bool {
        self != Way::Proxy
    }

    /// In words, after "asked".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Way::Proxy => "proxy",
            Way::Dns => "dns",
            Way::TlsDoor => "tls door",
            Way::HttpDoor => "http door",
            Way::RawDoor => "raw door",
        }
    }
}

/// A host and port that a task did not get to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blocked {
    /// The host as the proxy read it.
    pub host: Text,
    /// The port; a question to the DNS has the one that its refusal speaks of.
    pub port: u16,
    /// The last reason.
    pub reason: Reason,
    /// Refused, and not only failed: a change of the whitelist could help.
    pub refused: bool,
    /// Nobody is to be alarmed: each of the refusals was by a `quiet` line, or of our own proof.
    pub quiet: bool,
    /// How often.
    pub count: u64,
    /// The first time.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
    /// By which ways, with how often.
    pub ways: Vec<(Way, u64)>,
    /// What the clients call themselves, the first few.
    pub agents: Vec<Text>,
    /// The line that decided last: `file:line text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What the client was told last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentence: Option<Text>,
}

impl Blocked {
    /// `host:port`, or what stands for a host that could not be read.
    #[must_use]
    pub fn target(&self) -> String {
        target(&self.host, self.port)
    }
}

/// `host:port` as people read it.
#[must_use]
pub fn target(host: &Text, port: u16) -> String {
    match (host.as_str(), port) {
        ("", _) => "(no host)".to_owned(),
        (host, 0) => host.to_owned(),
        (host, port) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        (host, port) => format!("{host}:{port}"),
    }
}

/// Is it one of the attempts of our own proof, or looks like one? Nobody is to be alarmed by it; it
/// is shown all the same, because an agent can make its own look so.
#[must_use]
pub fn is_of_proof(event: &Event) -> bool {
    let named = event.agent.as_ref().map(Text::as_str) == Some(agentnet_gate::PROOF);
    named || event.protocol == Protocol::Dns && agentnet_gate::proof_asks_for(event.host.as_str())
}

/// Does an event tell of something that did not get through?
#[must_use]
pub fn is_blocked(event: &Event) -> bool {
    match event.event {
        Moment::Decision => match event.verdict {
            Word::Deny => true,
            // Permitted, and then it failed. What `observe` would refuse got through.
            Word::Allow => event.reason != Reason::Allowed,
            Word::Report => event.reason.status() >= 500,
        },
        // A tunnel that was ended, and not by its own ends.
        Moment::Closed => {
            event.reason.is_of_greeting()
                || matches!(event.reason, Reason::PolicyChanged | Reason::BudgetSpent)
        }
    }
}

/// The hosts of one task.
#[derive(Debug, Clone, Default)]
pub struct Blocks {
    hosts: Vec<Blocked>,
    places: HashMap<(Text, u16), usize>,
    /// Refusals of hosts beyond [`MOST_HOSTS`].
    pub other: u64,
}

impl Blocks {
    /// In the order in which they came first.
    #[must_use]
    pub fn hosts(&self) -> &[Blocked] {
        &self.hosts
    }

    /// How many refusals and failures, folded or not.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.hosts.iter().map(|host| host.count).sum::<u64>() + self.other
    }

    /// Counts an event, if it tells of something that did not get through.
    pub fn add(&mut self, event: &Event) {
        if !is_blocked(event) {
            return;
        }
        let key = (event.host.clone(), event.port);
        let place = self.places.get(&key).copied();
        let is_full = self.hosts.len() >= MOST_HOSTS;
        match place.and_then(|place| self.hosts.get_mut(place)) {
            Some(host) => host.again(event),
            None if !is_full => {
                self.places.insert(key, self.hosts.len());
                self.hosts.push(Blocked::new(event));
            }
            None => self.other += 1,
        }
    }
}

impl Blocked {
    fn new(event: &Event) -> Blocked {
        let mut blocked = Blocked {
            host: event.host.clone(),
            port: event.port,
            reason: event.reason,
            refused: false,
            quiet: true,
            count: 0,
            first: event.time,
            last: event.time,
            ways: Vec::new(),
            agents: Vec::new(),
            rule: None,
            sentence: None,
        };
        blocked.again(event);
        blocked
    }

    fn again(&mut self, event: &Event) {
        self.count += 1;
        self.first = self.first.min(event.time);
        self.last = self.last.max(event.time);
        self.reason = event.reason;
        self.refused = event.verdict == Word::Deny || event.event == Moment::Closed;
        self.quiet &= event.quiet || is_of_proof(event);
        self.sentence.clone_from(&event.sentence);
        self.rule = event
            .rule
            .as_ref()
            .map(|rule| format!("{}:{} {}", rule.file, rule.line, rule.text));
        let way = Way::of(event);
        match self.ways.iter_mut().find(|(there, _)| *there == way) {
            Some((_, count)) => *count += 1,
            None => self.ways.push((way, 1)),
        }
        if let Some(agent) = &event.agent
            && self.agents.len() < MOST_AGENTS
            && !self.agents.contains(agent)
        {
            self.agents.push(agent.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::made::{allowed, asked, denied};
    use super::*;

    #[test]
    fn refusals_of_a_host_are_one_row_with_its_ways_and_clients() {
        let mut blocks = Blocks::default();
        let from = |agent: &str, second| Event {
            agent: Some(agent.into()),
            ..denied("a.example", second)
        };
        for event in [
            asked("a.example", 3),
            from("pip/24.0", 5),
            from("pip/24.0", 4),
            from("npm/10", 9),
            allowed("b.example", 6),
            denied("c.example", 7),
        ] {
            blocks.add(&event);
        }
        let [a, c] = blocks.hosts() else {
            panic!("two hosts: {:?}", blocks.hosts());
        };
        assert_eq!((a.target().as_str(), a.count), ("a.example:443", 4));
        assert_eq!(a.ways, [(Way::Dns, 1), (Way::Proxy, 3)]);
        assert_eq!(a.agents, ["pip/24.0".into(), "npm/10".into()]);
        assert_eq!((a.first, a.last), (denied("", 3).time, denied("", 9).time));
        assert_eq!((c.count, blocks.total()), (1, 5));
    }

    #[test]
    fn what_failed_after_it_was_permitted_is_told_and_not_called_refused() {
        let mut blocks = Blocks::default();
        blocks.add(&Event {
            reason: Reason::ResolveFailed,
            ..allowed("typo.example", 1)
        });
        let [only] = blocks.hosts() else {
            panic!("one host")
        };
        assert_eq!((only.reason, only.refused), (Reason::ResolveFailed, false));
    }

    #[test]
    fn a_tunnel_counts_once_unless_it_was_cut_off() {
        let closed = |reason| Event {
            event: Moment::Closed,
            verdict: Word::Allow,
            reason,
            ..denied("a.example", 1)
        };
        for (reason, expected) in [
            (Reason::Allowed, false),
            (Reason::TimedOut, false),
            (Reason::NotTls, true),
            (Reason::BudgetSpent, true),
            (Reason::PolicyChanged, true),
        ] {
            assert_eq!(is_blocked(&closed(reason)), expected, "{reason}");
        }
    }

    #[test]
    fn one_loud_refusal_makes_a_quiet_host_loud() {
        let mut blocks = Blocks::default();
        let quiet = Event {
            quiet: true,
            ..denied("t.example", 1)
        };
        blocks.add(&quiet);
        assert!(blocks.hosts()[0].quiet);
        blocks.add(&denied("t.example", 2));
        blocks.add(&quiet);
        assert!(!blocks.hosts()[0].quiet);
    }

    #[test]
    fn what_our_own_proof_tried_alarms_nobody() {
        let by = |agent: &str| Event {
            agent: Some(agent.into()),
            ..denied("x.example", 1)
        };
        assert!(is_of_proof(&by("agentnet-gate")));
        assert!(is_of_proof(&asked("host.docker.internal", 1)));
        assert!(!is_of_proof(&by("agentnet-gate-connect")));
        assert!(!is_of_proof(&denied("host.docker.internal", 1)));
        let mut blocks = Blocks::default();
        blocks.add(&by("agentnet-gate"));
        assert!(blocks.hosts()[0].quiet);
    }

    #[test]
    fn names_without_end_are_counted_and_not_kept() {
        let mut blocks = Blocks::default();
        for number in 0..2_000 {
            blocks.add(&denied(&format!("{number}.example"), 1));
        }
        assert_eq!(blocks.hosts().len(), MOST_HOSTS);
        assert_eq!((blocks.other, blocks.total()), (1_500, 2_000));
    }

    #[test]
    fn a_target_is_written_as_people_read_it() {
        let of = |host: &str, port| target(&host.into(), port);
        assert_eq!(of("a.example", 443), "a.example:443");
        assert_eq!(of("2001:db8::1", 443), "[2001:db8::1]:443");
        assert_eq!(of("[2001:db8::1]", 443), "[2001:db8::1]:443");
        assert_eq!(of("a.example", 0), "a.example");
        assert_eq!(of("", 0), "(no host)");
    }
}
