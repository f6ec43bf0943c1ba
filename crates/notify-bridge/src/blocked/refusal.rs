//! The decisions that a person may want to change, as the proxy recorded them.

use agentnet_policy::event::{Event, Moment, Protocol, Word};
use agentnet_policy::{Host, Reason};
use serde::Deserialize;

use crate::notice::TaskName;

/// Longest line that is looked at, in bytes: an event is shorter.
pub(super) const LONGEST_LINE: usize = 64 << 10;
/// Longest name that has a button: of a longer one a person would not see the part that counts.
const LONGEST_SHOWN: usize = 100;

/// One line of `agentnet watch --json`.
#[derive(Deserialize)]
struct Line {
    project: String,
    task: String,
    /// Our own proof asked, to see it refused.
    #[serde(default)]
    proof: bool,
    event: Event,
}

/// What a decision means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sighting {
    /// Whose it was.
    pub(super) task: TaskName,
    /// What was asked for.
    pub(super) target: Target,
    /// When, in unix seconds.
    pub(super) at: u64,
    /// How it ended.
    pub(super) how: How,
    /// The controller knows the task, so that a click can open something.
    pub(super) can_grant: bool,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// Refused, and a grant of this host and port would help.
    Refused(Reason),
    /// Let through: whoever was asked about it need not be any more.
    Allowed,
}

/// A host and a port in the proxy's own spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Target {
    host: Host,
    port: u16,
}

impl Target {
    /// Of a host that was parsed.
    pub(super) fn new(host: Host, port: u16) -> Self {
        Self { host, port }
    }

    /// The host as [`Host::parse`] takes it, and the port.
    pub(super) fn parts(&self) -> (String, u16) {
        let host = match &self.host {
            Host::Ip(std::net::IpAddr::V6(address)) => format!("[{address}]"),
            Host::Ip(std::net::IpAddr::V4(_)) | Host::Name(_) => self.host.to_string(),
        };
        (host, self.port)
    }

    /// As a whitelist and `agentnet allow` have it: `host:port`.
    pub(super) fn line(&self) -> String {
        match &self.host {
            Host::Ip(std::net::IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            Host::Ip(std::net::IpAddr::V4(address)) => format!("{address}:{}", self.port),
            Host::Name(name) => format!("{}:{}", name.as_str(), self.port),
        }
    }

    /// Whether a click may open it. An address opens what is behind it whatever that is, private
    /// networks too, so a person types it; a name has to be seen whole.
    pub(super) fn is_clickable(&self) -> bool {
        match &self.host {
            Host::Name(name) => name.as_str().len() <= LONGEST_SHOWN,
            Host::Ip(_) => false,
        }
    }

    /// As a person sees it: of a long name the end, which says whose it is.
    pub(super) fn shown(&self) -> String {
        let line = self.line();
        let surplus = line.len().saturating_sub(LONGEST_SHOWN + ":65535".len());
        match line.get(surplus..) {
            Some(end) if surplus > 0 => format!("\u{2026}{end}"),
            _ => line,
        }
    }
}

/// Reads a line of `agentnet watch --json`; `None`: not a line that matters here.
pub(super) fn of_watch(line: &[u8]) -> Option<Sighting> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let task = TaskName::new(&line.project, &line.task)?;
    let seen = of_event(task, &line.event).filter(|_| !line.proof)?;
    Some(Sighting {
        can_grant: true,
        ..seen
    })
}

/// What one decision means, whoever told of it.
pub(super) fn of_event(task: TaskName, event: &Event) -> Option<Sighting> {
    let how = how(event)?;
    let port = Some(event.port).filter(|port| *port != 0)?;
    // Parsed again: whatever the record is, what we show and grant is a host and nothing else.
    let host = Host::parse(event.host.as_str()).ok()?;
    Some(Sighting {
        task,
        target: Target { host, port },
        at: u64::try_from(event.time.as_second()).unwrap_or(0),
        how,
        can_grant: false,
    })
}

fn how(event: &Event) -> Option<How> {
    match (event.event, event.verdict) {
        // A name that is looked up is not one that was reached.
        (Moment::Decision, Word::Allow) => (event.reason == Reason::Allowed
            && event.protocol != Protocol::Dns)
            .then_some(How::Allowed),
        (Moment::Decision, Word::Deny) => {
            let counts = !event.quiet && helps(event.reason) && is_address_wanted(event);
            counts.then_some(How::Refused(event.reason))
        }
        (Moment::Decision, Word::Report) | (Moment::Closed, _) => None,
    }
}

/// A question to the DNS for anything but an address is no attempt to reach a host.
fn is_address_wanted(event: &Event) -> bool {
    event.protocol != Protocol::Dns || matches!(event.method.as_str(), "A" | "AAAA")
}

/// Whether a line `host:port` would change the answer, and is all that a person has to decide. A line
/// that refuses, a method and a path are somebody's decision already; an address that is not public,
/// bytes that are not TLS and a budget need a word that a person types.
fn helps(reason: Reason) -> bool {
    match reason {
        Reason::NotListed | Reason::PortNotListed => true,
        Reason::Allowed
        | Reason::RuleDenied
        | Reason::MethodNotListed
        | Reason::PathNotListed
        | Reason::PrivateAddress
        | Reason::HostMismatch
        | Reason::UpgradeNotListed
        | Reason::BudgetSpent
        | Reason::ClientNotAllowed
        | Reason::Loop
        | Reason::SniMismatch
        | Reason::SniMissing
        | Reason::EchRefused
        | Reason::NotTls
        | Reason::PolicyChanged
        | Reason::BadRequest
        | Reason::AuthRequired
        | Reason::ResolveFailed
        | Reason::ConnectFailed
        | Reason::UpstreamFailed
        | Reason::TooManyConnections
        | Reason::TimedOut => false,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A decision as the controller prints it.
    pub(in crate::blocked) fn line(host: &str, port: u16, more: &str) -> String {
        format!(
            r#"{{"v":1,"project":"shop","task":"fix-42","proof":false,"event":{{"v":1,"time":"2026-11-20T22:00:00Z","id":"7","event":"decision","listener":"task","client":"","protocol":"connect","method":"CONNECT","host":"{host}","port":{port},"verdict":"deny","reason":"not_listed","up":0,"down":0,"ms":1{more}}}}}"#
        )
    }

    pub(in crate::blocked) fn sighting(host: &str, port: u16) -> Sighting {
        of_watch(line(host, port, "").as_bytes()).unwrap()
    }

    #[test]
    fn a_refused_host_is_seen_with_its_task_and_in_the_proxys_spelling() {
        let seen = sighting("pypi.org", 443);
        assert_eq!(seen.target.line(), "pypi.org:443");
        assert_eq!(seen.task.to_string(), "shop/fix-42");
        assert_eq!(seen.at, 1_795_212_000);
        assert_eq!(seen.how, How::Refused(Reason::NotListed));
    }

    #[test]
    fn reasons_that_a_grant_of_the_host_would_not_help_are_passed_over() {
        let with = |from: &str, to: &str| {
            let line = line("pypi.org", 443, "").replace(from, to);
            of_watch(line.as_bytes()).map(|seen| seen.how)
        };
        let refused = r#""verdict":"deny","reason":"not_listed""#;
        for (from, to, expected) in [
            (
                "not_listed",
                "port_not_listed",
                Some(How::Refused(Reason::PortNotListed)),
            ),
            (
                refused,
                r#""verdict":"allow","reason":"allowed""#,
                Some(How::Allowed),
            ),
            ("not_listed", "rule_denied", None),
            ("not_listed", "private_address", None),
            ("not_listed", "method_not_listed", None),
            (refused, r#""verdict":"report","reason":"not_listed""#, None),
            (
                refused,
                r#""verdict":"allow","reason":"connect_failed""#,
                None,
            ),
            (r#""decision""#, r#""closed""#, None),
            (r#""ms":1"#, r#""ms":1,"quiet":true"#, None),
            (r#""proof":false"#, r#""proof":true"#, None),
            (
                r#""CONNECT""#,
                r#""A""#,
                Some(How::Refused(Reason::NotListed)),
            ),
            (
                r#""connect","method":"CONNECT""#,
                r#""dns","method":"AAAA""#,
                Some(How::Refused(Reason::NotListed)),
            ),
            (
                r#""connect","method":"CONNECT""#,
                r#""dns","method":"SRV""#,
                None,
            ),
            (r#""port":443"#, r#""port":0"#, None),
            (r#""project":"shop""#, r#""project":"--x/y""#, None),
        ] {
            assert_eq!(with(from, to), expected, "{to}");
        }
        for broken in ["", "{}", "[1]", "\u{fffd}"] {
            assert_eq!(of_watch(broken.as_bytes()), None);
        }
    }

    #[test]
    fn what_is_no_host_is_never_shown_or_granted() {
        for host in ["*.evil.example", "a b", "-x y", "a\\nb", "", "a/b", "a:1"] {
            assert_eq!(of_watch(line(host, 443, "").as_bytes()), None, "{host}");
        }
    }

    #[test]
    fn an_address_and_a_name_that_cannot_be_seen_whole_have_no_button() {
        let label = "a".repeat(60);
        let long = format!("github.com.{label}.{label}.evil.example");
        for (host, clickable) in [
            ("pypi.org", true),
            ("10.1.2.3", false),
            ("[2001:db8::1]", false),
            (long.as_str(), false),
        ] {
            assert_eq!(
                sighting(host, 443).target.is_clickable(),
                clickable,
                "{host}"
            );
        }
        let shown = sighting(&long, 443).target.shown();
        assert!(
            shown.starts_with('\u{2026}') && shown.ends_with("evil.example:443"),
            "{shown}"
        );
        assert_eq!(
            sighting("[2001:db8::1]", 1).target.shown(),
            "[2001:db8::1]:1"
        );
    }
}
