//! What Tinyproxy's log says of a connection and its requests.
//!
//! fail2ban filters and people's scripts look for these lines, so text and level are those of the
//! packaged 1.11.1 at `LogLevel Info`; what they tell is found out here in our own way. Tinyproxy has
//! one request a connection: of a kept connection each request has its lines. A descriptor's number
//! ties the lines of a connection together, in Tinyproxy as here.

use std::net::IpAddr;

use agentnet_policy::Reason;
use agentnet_policy::event::{Event, Protocol, Text};
use agentnet_policy::tinyproxy::LogLevel;
use http::request::Parts;

/// A line and how important it is.
pub(crate) type Line = (LogLevel, String);

/// What is known of a request beside its event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// The URL as it was sent.
    pub(crate) url: Box<str>,
    /// The descriptor of the client's connection.
    pub(crate) client: i32,
    /// The descriptor of the connection to the host, once there is one.
    pub(crate) remote: Option<i32>,
    /// What the listener's filter looks at.
    pub(crate) filter: Filtered,
    /// What the system said of a failure.
    pub(crate) detail: Option<Box<str>>,
    /// The parent that was tried last, where the host was not reached.
    pub(crate) parent: Option<Text>,
}

impl Asked {
    /// A request that has been read, and its line.
    pub(crate) fn new(parts: &Parts, client: i32) -> (Self, Line) {
        let url = parts.uri.to_string();
        let text = format!(
            "Request (file descriptor {client}): {} {url} {:?}",
            parts.method, parts.version
        );
        let asked = Self {
            url: url.into(),
            client,
            ..Self::default()
        };
        (asked, (LogLevel::Connect, text))
    }

    /// The request reached its host.
    pub(crate) fn reached(&self, event: &Event) -> Vec<Line> {
        let mut lines = self.tried(event);
        let end = self.end(event);
        let socket = self.remote.unwrap_or(-1);
        lines.push((
            LogLevel::Info,
            format!("opensock: getaddrinfo returned for {}", end.address),
        ));
        let to = match end.scheme {
            None => "host",
            Some("socks4" | "socks4a") => "socks4 proxy",
            Some("socks5" | "socks5h") => "socks5 proxy",
            Some(_) => "upstream proxy",
        };
        let host = end.host();
        lines.push((
            LogLevel::Connect,
            format!("Established connection to {to} \"{host}\" using file descriptor {socket}."),
        ));
        if event.protocol == Protocol::Connect && end.scheme.is_none() {
            let text = "Not sending client headers to remote machine";
            lines.push((LogLevel::Info, text.to_owned()));
        }
        lines
    }

    /// The request was refused, or its host not reached. Where Tinyproxy has no such case the words
    /// are ours.
    pub(crate) fn refused(&self, event: &Event) -> Vec<Line> {
        let end = self.end(event);
        let line = match event.reason {
            Reason::NotListed
            | Reason::RuleDenied
            | Reason::MethodNotListed
            | Reason::PathNotListed => {
                let (what, text) = match self.filter {
                    Filtered::Domain => ("domain", event.host.as_str()),
                    Filtered::Url => ("url", &*self.url),
                };
                let text = format!("Proxying refused on filtered {what} \"{text}\"");
                (LogLevel::Notice, text)
            }
            Reason::PortNotListed => {
                let text = format!("Refused CONNECT method on port {}", event.port);
                (LogLevel::Info, text)
            }
            Reason::ClientNotAllowed => return vec![unauthorized(event.client.as_str())],
            // Tinyproxy asks without a word.
            Reason::AuthRequired => return Vec::new(),
            Reason::BadRequest => return vec![bad_request(self.client)],
            Reason::Loop => {
                let client = address(event.client.as_str());
                let socket = self.client;
                let text = format!("Prevented endless loop (file descriptor {socket}): {client}");
                // Its own addresses are more to us than they are to Tinyproxy.
                return vec![(LogLevel::Connect, text), ours(event)];
            }
            Reason::ResolveFailed => {
                let mut lines = self.tried(event);
                let said = self.detail.as_deref().unwrap_or(event.reason.clause());
                let address = &end.address;
                let text =
                    format!("opensock: Could not retrieve address info for {address}: {said}");
                lines.push((LogLevel::Error, text));
                return lines;
            }
            Reason::ConnectFailed | Reason::TimedOut | Reason::UpstreamFailed => {
                let mut lines = self.tried(event);
                let text = format!(
                    "opensock: Could not establish a connection to {}",
                    end.address
                );
                lines.push((LogLevel::Error, text));
                if end.scheme.is_some() {
                    let text = "Could not connect to upstream proxy.";
                    lines.push((LogLevel::Warning, text.to_owned()));
                }
                return lines;
            }
            Reason::PrivateAddress
            | Reason::HostMismatch
            | Reason::UpgradeNotListed
            | Reason::BudgetSpent
            | Reason::SniMismatch
            | Reason::SniMissing
            | Reason::EchRefused
            | Reason::NotTls
            | Reason::PolicyChanged
            | Reason::TooManyConnections
            | Reason::Allowed => ours(event),
        };
        vec![line]
    }

    /// What is dialled.
    fn end<'a>(&'a self, event: &'a Event) -> End<'a> {
        let route = event.route.as_ref().or(self.parent.as_ref());
        match route.and_then(|route| route.as_str().split_once("://")) {
            Some((scheme, address)) => End {
                scheme: Some(scheme),
                address: address.to_owned(),
            },
            None => End {
                scheme: None,
                address: format!("{}:{}", event.host, event.port),
            },
        }
    }

    /// The way that was chosen.
    fn tried(&self, event: &Event) -> Vec<Line> {
        let end = self.end(event);
        let (host, address) = (&event.host, &end.address);
        let chosen = match end.scheme {
            None => format!("No upstream proxy for {host}"),
            Some(scheme) => format!("Found upstream proxy {scheme} {address} for {host}"),
        };
        let opening = format!("opensock: opening connection to {address}");
        vec![(LogLevel::Info, chosen), (LogLevel::Info, opening)]
    }

    /// What was let through is over.
    pub(crate) fn closed(&self, reason: Reason) -> Vec<Line> {
        let mut lines = Vec::new();
        if reason == Reason::TimedOut {
            lines.push((LogLevel::Info, "Idle Timeout (after poll)".to_owned()));
        } else if reason != Reason::Allowed {
            let text = format!("Connection ended ({reason}): {}", reason.clause());
            lines.push((LogLevel::Notice, text));
        }
        let text = format!(
            "Closed connection between local client (fd:{}) and remote client (fd:{})",
            self.client,
            self.remote.unwrap_or(-1)
        );
        lines.push((LogLevel::Info, text));
        lines
    }
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filtered {
    /// The host.
    #[default]
    Domain,
    /// The whole URL.
    Url,
}

/// A client has come; to which address is told where that is the one to dial from.
pub(crate) fn arrived(client: &str, socket: i32, at: Option<IpAddr>) -> Line {
    let client = address(client);
    let at = at.map(|at| format!(" at [{at}]")).unwrap_or_default();
    let text = format!("Connect (file descriptor {socket}): {client}{at}");
    (LogLevel::Connect, text)
}

/// A client may not use the listener.
pub(crate) fn unauthorized(client: &str) -> Line {
    let text = format!("Unauthorized connection from \"{}\".", address(client));
    (LogLevel::Notice, text)
}

/// A client went away, or stayed silent, before it asked for anything.
pub(crate) fn left(socket: i32) -> Line {
    let text =
        format!("read_request_line: Client (file descriptor: {socket}) closed socket before read.");
    (LogLevel::Error, text)
}

/// What a client sent is no request.
pub(crate) fn bad_request(socket: i32) -> Line {
    let text = format!("process_request: Bad Request on file descriptor {socket}");
    (LogLevel::Error, text)
}

/// There are as many clients as there may be.
pub(crate) fn too_many() -> Line {
    let text = "Maximum number of connections reached. Refusing new connections.";
    (LogLevel::Warning, text.to_owned())
}

/// Somebody asked for the statistics.
pub(crate) fn statistics() -> Line {
    (LogLevel::Notice, "Request for the stathost.".to_owned())
}

/// What is dialled: the host of the request, or a parent.
struct End<'a> {
    scheme: Option<&'a str>,
    address: String,
}

impl End<'_> {
    fn host(&self) -> &str {
        self.address
            .rsplit_once(':')
            .map_or(&self.address, |(host, _)| host)
    }
}

/// A refusal that Tinyproxy does not know.
fn ours(event: &Event) -> Line {
    let Event {
        reason, host, port, ..
    } = event;
    let text = format!(
        "Proxying refused ({reason}) on \"{host}:{port}\": {}",
        reason.clause()
    );
    (LogLevel::Notice, text)
}

/// A client's address without its port; a unix socket's as it is.
fn address(client: &str) -> String {
    let parsed = client.parse::<std::net::SocketAddr>();
    parsed.map_or_else(|_| client.to_owned(), |address| address.ip().to_string())
}

#[cfg(test)]
mod tests;
