//! From hyper's parts to what the policy judges, or a refusal. Pure.
//!
//! Refuse, do not repair (THREATS §0 rule 2): whatever two parsers could read differently is a 400.
//! What hyper swallows (a second Content-Length, one beside a Transfer-Encoding, bare line feeds, a
//! fragment) has been refused by [`head`](crate::head) before hyper read it.

use std::num::NonZeroU16;

use agentnet_policy::event::Protocol;
use agentnet_policy::{Ask, Host, Name, Reason, Target};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method, StatusCode, Uri, Version, header};

use crate::head::Fault;
use crate::headers;
use crate::intake::SUBSTITUTE_PATH;

/// The longest method that is looked at; the longest registered one has 17 letters.
pub const MAX_METHOD: usize = 24;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Where to.
    pub target: Target,
    /// How.
    pub protocol: Protocol,
}

impl Asked {
    /// What the policy is to judge. `parts` are those that this came from.
    #[must_use]
    pub fn ask<'a>(&self, parts: &'a Parts) -> Ask<'a> {
        match self.protocol {
            Protocol::Connect | Protocol::Tls | Protocol::Dns | Protocol::Raw => Ask::Tunnel,
            Protocol::Http => Ask::Http {
                method: parts.method.as_str(),
                path: path_and_query(&parts.uri),
            },
        }
    }
}

/// What is judged of a URL beside its authority.
pub(crate) fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

/// A request that is not judged at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRequest {
    /// `bad_request`, or `host_mismatch`.
    pub reason: Reason,
    /// 400, or what says more.
    pub status: StatusCode,
    /// What is wrong and what would be right; a sentence without its full stop.
    pub what: String,
    /// What it was for, if that could be told.
    pub target: Option<Target>,
}

impl BadRequest {
    fn new(what: impl Into<String>) -> Self {
        let (reason, status) = (Reason::BadRequest, StatusCode::BAD_REQUEST);
        Self {
            reason,
            status,
            what: what.into(),
            target: None,
        }
    }

    fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl From<Fault> for BadRequest {
    fn from(fault: Fault) -> Self {
        Self::new(fault.to_string()).with_status(fault.status())
    }
}

/// True for `OPTIONS *`, which asks whoever it reaches (RFC 9110 §9.3.7). Health checks send it: it is
/// answered here, and counted nowhere, so that they do not look like the task's refusals.
#[must_use]
pub fn is_for_us(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS && parts.uri.authority().is_none() && parts.uri.path() == "*"
}

/// True for what stands in the place of a head that was not let through.
#[must_use]
pub fn stands_for_a_fault(parts: &Parts) -> bool {
    parts.uri.authority().is_none() && parts.uri.path() == SUBSTITUTE_PATH
}

/// Which of the two kinds of request this is, for the record of one that cannot be read further.
#[must_use]
pub fn protocol(parts: &Parts) -> Protocol {
    if parts.method == Method::CONNECT {
        Protocol::Connect
    } else {
        Protocol::Http
    }
}

/// Reads a request strictly. `bound` is the target of the tunnel that it came in, if it did.
///
/// # Errors
/// On everything that is not exactly CONNECT in authority form or a plain request in absolute form;
/// in a tunnel, on everything that is not a plain request for its target.
pub fn read(parts: &Parts, bound: Option<&Target>) -> Result<Asked, BadRequest> {
    check_method(&parts.method)?;
    check_framing(&parts.headers)?;
    let asked = if let Some(target) = bound {
        inside(parts, target)?
    } else if parts.method == Method::CONNECT {
        connect(parts)?
    } else {
        absolute(parts)?
    };
    check_host(parts, &asked)?;
    Ok(asked)
}

fn check_method(method: &Method) -> Result<(), BadRequest> {
    let refuse =
        |what: &str| Err(BadRequest::new(what).with_status(StatusCode::METHOD_NOT_ALLOWED));
    if method == Method::TRACE {
        // It would send back the headers that a credential helper may have added.
        return refuse("TRACE is not served");
    }
    let name = method.as_str().as_bytes();
    // Methods are case-sensitive (RFC 9110 §9.1) and all registered ones are upper case: `connect`
    // is not CONNECT, and taking it for a plain request would be the wrong door.
    if name.len() > MAX_METHOD
        || !name
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || *byte == b'-')
    {
        return refuse("the method is not a known word in upper case");
    }
    Ok(())
}

fn check_framing(headers: &HeaderMap) -> Result<(), BadRequest> {
    if headers::is_plainly_framed(headers) {
        Ok(())
    } else {
        let what = "Transfer-Encoding is not exactly `chunked`";
        Err(BadRequest::new(what))
    }
}

fn connect(parts: &Parts) -> Result<Asked, BadRequest> {
    let uri = &parts.uri;
    let Some(authority) = uri.authority().filter(|_| uri.scheme().is_none()) else {
        return Err(BadRequest::new("CONNECT takes HOST:PORT and nothing else"));
    };
    let target = Target::parse(authority.as_str(), None)
        .map_err(|error| BadRequest::new(format!("CONNECT takes HOST:PORT: {error}")))?;
    let headers = &parts.headers;
    if headers.contains_key(header::CONTENT_LENGTH)
        || headers.contains_key(header::TRANSFER_ENCODING)
    {
        // hyper would take those bytes out of the tunnel (RFC 9110 §9.3.6: no content defined).
        let what = "CONNECT has no body: leave out Content-Length and Transfer-Encoding";
        return Err(BadRequest {
            target: Some(target),
            ..BadRequest::new(what)
        });
    }
    Ok(Asked {
        target,
        protocol: Protocol::Connect,
    })
}

fn absolute(parts: &Parts) -> Result<Asked, BadRequest> {
    let uri = &parts.uri;
    match (uri.scheme(), uri.authority()) {
        (Some(scheme), Some(authority)) if *scheme == Scheme::HTTP => {
            let port = NonZeroU16::new(80);
            let target = Target::parse(authority.as_str(), port)
                .map_err(|error| BadRequest::new(format!("the URL is not acceptable: {error}")))?;
            Ok(Asked {
                target,
                protocol: Protocol::Http,
            })
        }
        (Some(scheme), _) if *scheme == Scheme::HTTPS => Err(BadRequest::new(
            "https:// cannot be asked for in the clear: use CONNECT",
        )),
        (Some(_), _) => Err(BadRequest::new("only http:// URLs are served, and CONNECT")),
        (None, Some(_)) => Err(BadRequest::new(
            "HOST:PORT is for CONNECT: write a whole http:// URL",
        )),
        (None, None) => Err(BadRequest::new(
            "this is a proxy, not a web server: send a whole http:// URL, or CONNECT",
        )),
    }
}

/// Reads a request of a client that takes us for its host: the Host field says which, and `port` is
/// the one it means.
///
/// # Errors
/// On everything that is not a plain request in origin form with the name of another host.
pub fn read_as_origin(parts: &Parts, port: NonZeroU16) -> Result<Asked, BadRequest> {
    check_method(&parts.method)?;
    check_framing(&parts.headers)?;
    if parts.method == Method::CONNECT || parts.uri.authority().is_some() {
        return Err(BadRequest::new(
            "this address stands for web servers and is no proxy: send this to the proxy's own port",
        ));
    }
    if !parts.uri.path().starts_with('/') {
        return Err(BadRequest::new("the path does not begin with `/`"));
    }
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(BadRequest::new(
            "there is not exactly one Host header, and nothing else says which host is meant",
        ));
    };
    let named = host.to_str().ok();
    let target = named.and_then(|text| Target::parse(text, Some(port)).ok());
    let target =
        target.ok_or_else(|| BadRequest::new("the Host header is not HOST or HOST:PORT"))?;
    let is_our_own =
        |name: &Name| rustix::system::uname().nodename().to_bytes() == name.as_str().as_bytes();
    let what = match target.host() {
        Host::Ip(_) => {
            "the Host header is an address: write the name of a host, or send this to the proxy's own port"
        }
        Host::Name(name) if is_our_own(name) => {
            "the Host header is the proxy itself, which is no web server: write the name of a host"
        }
        Host::Name(_) if target.port() != port.get() => {
            return Err(BadRequest {
                reason: Reason::HostMismatch,
                status: StatusCode::FORBIDDEN,
                target: Some(target),
                ..BadRequest::new("the Host header names another port than this address stands for")
            });
        }
        Host::Name(_) => {
            return Ok(Asked {
                target,
                protocol: Protocol::Http,
            });
        }
    };
    Err(BadRequest {
        target: Some(target),
        ..BadRequest::new(what)
    })
}

/// In a tunnel the request has the form that an origin is sent (RFC 9112 §3.2.1).
fn inside(parts: &Parts, target: &Target) -> Result<Asked, BadRequest> {
    if parts.method == Method::CONNECT {
        return Err(BadRequest::new("a tunnel is not opened inside another"));
    }
    if parts.uri.authority().is_none() && parts.uri.path().starts_with('/') {
        return Ok(Asked {
            target: target.clone(),
            protocol: Protocol::Http,
        });
    }
    let asked = absolute(parts)?;
    if asked.target == *target {
        return Ok(asked);
    }
    Err(BadRequest {
        reason: Reason::HostMismatch,
        status: StatusCode::FORBIDDEN,
        target: Some(asked.target),
        ..BadRequest::new("the request is for another host than the tunnel that it came in")
    })
}

/// RFC 9112 §3.2: exactly one Host in HTTP/1.1, and it must agree with the target. A server that
/// looks at Host and a filter that looks at the URL would otherwise see two requests.
fn check_host(parts: &Parts, asked: &Asked) -> Result<(), BadRequest> {
    let bad = |what: &str| BadRequest {
        target: Some(asked.target.clone()),
        ..BadRequest::new(what)
    };
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let Some(host) = hosts.next() else {
        // HTTP/1.0 clients need not send one; there are SSH helpers that do not.
        return match parts.version {
            Version::HTTP_10 => Ok(()),
            _ => Err(bad("the Host header is missing")),
        };
    };
    if hosts.next().is_some() {
        return Err(bad("the Host header is given more than once"));
    }
    let default = match asked.protocol {
        Protocol::Connect | Protocol::Tls | Protocol::Dns | Protocol::Raw => {
            NonZeroU16::new(asked.target.port())
        }
        Protocol::Http => NonZeroU16::new(80),
    };
    let named = host
        .to_str()
        .ok()
        .and_then(|text| Target::parse(text, default).ok());
    match named {
        Some(named) if named == asked.target => Ok(()),
        Some(_) => Err(BadRequest {
            reason: Reason::HostMismatch,
            status: StatusCode::FORBIDDEN,
            ..bad("the Host header names another host than the request")
        }),
        None => Err(bad("the Host header is not HOST or HOST:PORT")),
    }
}

#[cfg(test)]
mod tests;
