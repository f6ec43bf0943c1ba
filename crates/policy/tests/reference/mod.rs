//! The language once more, as plainly as it can be said: a list that is read line by line.

use std::fmt;
use std::net::Ipv4Addr;

use agentnet_policy::{Ask, Reason, Target};
use proptest::prelude::*;

/// The clock of all properties.
pub(crate) const NOW: &str = "2027-01-01T00:00:00Z";

/// A line, by its parts.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) labels: Vec<&'static str>,
    pub(crate) ports: Option<(u16, u16)>,
    pub(crate) methods: Option<&'static str>,
    pub(crate) path: Option<&'static str>,
    pub(crate) until: Option<&'static str>,
    pub(crate) up: Option<u32>,
    pub(crate) raw: bool,
    pub(crate) private: bool,
    pub(crate) deny: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) labels: Vec<&'static str>,
    port: u16,
    http: Option<(&'static str, &'static str)>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.labels.join("."))?;
        if let Some((first, last)) = self.ports {
            write!(f, ":{first}-{last}")?;
        }
        for word in [self.path, self.methods].into_iter().flatten() {
            write!(f, " {word}")?;
        }
        if let Some(until) = self.until {
            write!(f, " until={until}")?;
        }
        if let Some(up) = self.up {
            write!(f, " up={up}B")?;
        }
        for (said, word) in [
            (self.raw, "raw"),
            (self.private, "private"),
            (self.deny, "deny"),
        ] {
            if said {
                write!(f, " {word}")?;
            }
        }
        Ok(())
    }
}

impl Asked {
    pub(crate) fn target(&self) -> Target {
        Target::parse(&format!("{}:{}", self.labels.join("."), self.port), None).unwrap()
    }

    pub(crate) fn ask(&self) -> Ask<'_> {
        match self.http {
            None => Ask::Tunnel,
            Some((method, path)) => Ask::Http { method, path },
        }
    }
}

impl Line {
    /// The labels right of the last star.
    pub(crate) fn literal_end(&self) -> String {
        let stars = self.labels.iter().rposition(|label| label.contains('*'));
        self.labels[stars.map_or(0, |at| at + 1)..].join(".")
    }

    fn names(&self, host: &[&str]) -> bool {
        let wild = self.labels.iter().any(|label| label.contains('*'));
        let odd = host
            .iter()
            .any(|label| label.starts_with('-') || label.ends_with('-'));
        if wild && odd && !self.deny {
            return false;
        }
        match self.labels.split_first() {
            Some((&"**", rest)) => (0..=host.len()).any(|cut| each(rest, &host[cut..])),
            Some((&"*", rest)) => (1..=host.len()).any(|cut| each(rest, &host[cut..])),
            _ => each(&self.labels, host),
        }
    }

    fn has_port(&self, port: u16) -> bool {
        match self.ports {
            Some((first, last)) => (first..=last).contains(&port),
            None if self.methods.is_some() || self.path.is_some() => port == 80,
            None if self.deny => true,
            None => port == 80 || port == 443,
        }
    }
}

fn each(patterns: &[&str], labels: &[&str]) -> bool {
    patterns.len() == labels.len() && patterns.iter().zip(labels).all(|(p, l)| glob(p, l))
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text
            .strip_prefix(before)
            .is_some_and(|rest| (0..=rest.len()).any(|at| glob(after, &rest[at..]))),
    }
}

/// The reason of the verdict.
pub(crate) fn judge(lines: &[Line], asked: &Asked) -> Reason {
    let mut nearest = 0;
    let mut allowed = false;
    for line in lines.iter().filter(|line| line.names(&asked.labels)) {
        let step = step(line, asked);
        if line.deny && step == 4 {
            return Reason::RuleDenied;
        }
        if !line.deny {
            allowed |= step == 4;
            nearest = nearest.max(step);
        }
    }
    match nearest {
        _ if allowed => Reason::Allowed,
        3 => Reason::PathNotListed,
        2 => Reason::MethodNotListed,
        1 => Reason::PortNotListed,
        _ => Reason::NotListed,
    }
}

/// Whether there is a port on which a line allows something of the host and none refuses all of it.
pub(crate) fn permitted(lines: &[Line], asked: &Asked) -> bool {
    let of = |line: &&Line| line.names(&asked.labels) && line.until.is_none_or(|until| until > NOW);
    let lines: Vec<&Line> = lines.iter().filter(of).collect();
    // One port of every stretch that the lines can tell apart.
    [1, 22, 80, 81, 443, 444, 9001].into_iter().any(|port| {
        let at = |line: &&&Line| line.has_port(port);
        lines.iter().filter(at).any(|line| !line.deny)
            && (lines.iter().filter(at))
                .all(|line| !line.deny || line.methods.is_some() || line.path.is_some())
    })
}

/// How far a request comes with a line: 0 expired, 1 port, 2 method, 3 path, 4 through.
fn step(line: &Line, asked: &Asked) -> u8 {
    if line.until.is_some_and(|until| until <= NOW) {
        return 0;
    }
    if !line.has_port(asked.port) {
        return 1;
    }
    let unseen = line.methods.is_some() || line.path.is_some();
    let Some((method, path)) = asked.http else {
        return match (unseen, line.deny, line.methods) {
            (false, ..) | (true, true, _) => 4,
            (true, false, Some(_)) => 2,
            (true, false, None) => 3,
        };
    };
    if line
        .methods
        .is_some_and(|methods| !methods.split(',').any(|m| m == method))
    {
        return 2;
    }
    let odd = path.contains("//") || path.contains("..") || path.contains('%');
    match line.path {
        None => 4,
        Some(_) if odd => {
            if line.deny {
                4
            } else {
                3
            }
        }
        Some("/v1/**") => {
            if path.starts_with("/v1/") {
                4
            } else {
                3
            }
        }
        Some("/*") => {
            if path.matches('/').count() == 1 {
                4
            } else {
                3
            }
        }
        Some(exact) => {
            if path == exact {
                4
            } else {
                3
            }
        }
    }
}

const DOMAINS: [[&str; 2]; 2] = [["example", "com"], ["example", "org"]];

pub(crate) fn arbitrary_line() -> impl Strategy<Value = Line> {
    let label = prop::sample::select(vec!["a", "b", "ab", "-a", "*", "a*", "*b", "*a*", "a*b"]);
    let first = prop::sample::select(vec!["a", "b", "*", "**", "a*"]);
    let labels = (
        prop::option::of(first),
        prop::collection::vec(label, 0..3),
        prop::sample::select(DOMAINS.to_vec()),
    )
        .prop_map(|(first, middle, domain)| {
            first.into_iter().chain(middle).chain(domain).collect()
        });
    let ports = prop::option::weighted(
        0.4,
        prop::sample::select(vec![(1, 65535), (80, 80), (22, 79), (81, 9000)]),
    );
    let http = prop::option::weighted(
        0.3,
        (
            prop::option::of(prop::sample::select(vec!["GET", "GET,HEAD", "POST"])),
            prop::option::of(prop::sample::select(vec!["/v1/**", "/*", "/x/y"])),
        ),
    );
    let until = prop::option::weighted(
        0.2,
        prop::sample::select(vec![
            "2026-01-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
            "2028-01-01T00:00:00Z",
        ]),
    );
    let words = (
        prop::option::weighted(0.2, 1_u32..9),
        any::<[bool; 2]>(),
        prop::bool::weighted(0.3),
    );
    (labels, ports, http, until, words).prop_map(
        |(labels, ports, http, until, (up, [raw, private], deny))| {
            let (methods, path) = http.unwrap_or_default();
            let seen = methods.is_some() || path.is_some();
            Line {
                labels,
                ports,
                methods,
                path,
                until,
                up: up.filter(|_| !deny),
                raw: raw && !deny && !seen,
                private: private && !deny,
                deny,
            }
        },
    )
}

pub(crate) fn arbitrary_request() -> impl Strategy<Value = Asked> {
    let label = prop::sample::select(vec!["a", "b", "ab", "ba", "-a", "aab", "axb"]);
    let labels = (
        prop::collection::vec(label, 0..4),
        prop::sample::select(DOMAINS.to_vec()),
    )
        .prop_map(|(labels, domain)| labels.into_iter().chain(domain).collect());
    let port = prop::sample::select(vec![80, 80, 80, 443, 22, 8080]);
    let http = prop::option::of((
        prop::sample::select(vec!["GET", "HEAD", "POST", "PUT"]),
        prop::sample::select(vec![
            "/", "/v1/", "/v1/a", "/v1", "/x/y", "/v1//a", "/v1/../x", "/v1/%2e",
        ]),
    ));
    (labels, port, http).prop_map(|(labels, port, http)| Asked { labels, port, http })
}

/// What inet_aton(3) makes of a text: one to four numbers, decimal, octal or hexadecimal, the last
/// of which fills the remaining bytes.
pub(crate) fn inet_aton(text: &str) -> Option<Ipv4Addr> {
    let parts: Vec<u64> = text.split('.').map(number).collect::<Option<_>>()?;
    let (last, front) = parts.split_last()?;
    if front.len() > 3 || front.iter().any(|&part| part > 255) {
        return None;
    }
    let room = 8 * (4 - front.len() as u32);
    if *last >= 1 << room {
        return None;
    }
    let high = front.iter().fold(0, |bits, part| bits << 8 | part);
    u32::try_from(high << room | last)
        .ok()
        .map(Ipv4Addr::from_bits)
}

fn number(text: &str) -> Option<u64> {
    let lower = text.to_ascii_lowercase();
    match (lower.strip_prefix("0x"), lower.strip_prefix('0')) {
        (Some(""), _) => Some(0),
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
        (_, Some("")) => Some(0),
        (_, Some(digits)) => u64::from_str_radix(digits, 8).ok(),
        _ if lower.starts_with('+') => None,
        _ => lower.parse().ok(),
    }
}
