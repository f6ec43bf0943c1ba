//! Where a request wants to go, parsed once.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;

use crate::host::{Host, HostError};

/// A host and a port in canonical form. What policy, resolver, dialer, SNI check, Host header,
/// log and metric are given; none of them sees the client's text.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Target {
    host: Host,
    port: NonZeroU16,
}

/// Why a text is not a target.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TargetError {
    /// The part before the port.
    #[error(transparent)]
    Host(#[from] HostError),
    /// `user@host`: filters and clients have disagreed about which side is the host.
    #[error("the target has a user part")]
    Userinfo,
    /// No port where one is required (RFC 9112 §3.2.3: CONNECT has no default).
    #[error("the target has no port")]
    NoPort,
    /// Not one to five digits from 1 to 65535 without sign or leading zero.
    #[error("the port is not a number from 1 to 65535")]
    BadPort,
    /// More than one colon outside brackets.
    #[error("an IPv6 address needs brackets")]
    BareIpv6,
}

impl Target {
    /// A target out of checked parts.
    pub fn new(host: Host, port: NonZeroU16) -> Self {
        Self { host, port }
    }

    /// Reads `host:port` as it stands in a request line. `default_port` is for a missing port;
    /// a present but empty one (`host:`) is refused. CONNECT passes `None`.
    ///
    /// # Errors
    /// Whatever is not a strict authority without user part, see [`TargetError`].
    pub fn parse(authority: &str, default_port: Option<NonZeroU16>) -> Result<Self, TargetError> {
        if authority.contains('@') {
            return Err(TargetError::Userinfo);
        }
        let (host, port) = split_port(authority)?;
        let host = Host::parse(host)?;
        let port = match port {
            Some(digits) => parse_port(digits).ok_or(TargetError::BadPort)?,
            None => default_port.ok_or(TargetError::NoPort)?,
        };
        Ok(Self { host, port })
    }

    /// The canonical host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, 1 to 65535.
    pub fn port(&self) -> u16 {
        self.port.get()
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), TargetError> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(HostError::BadBrackets)? + 1;
        let (host, rest) = authority
            .split_at_checked(end)
            .ok_or(HostError::BadBrackets)?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(HostError::BadBrackets.into()),
        };
    }
    match authority.split_once(':') {
        None => Ok((authority, None)),
        Some((_, rest)) if rest.contains(':') => Err(TargetError::BareIpv6),
        Some((host, port)) => Ok((host, Some(port))),
    }
}

/// A port as a policy and a request line may spell it: one spelling for each number.
pub(crate) fn parse_port(digits: &str) -> Option<NonZeroU16> {
    let canonical = (1..=5).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && !digits.starts_with('0');
    if canonical { digits.parse().ok() } else { None }
}

/// The authority form, an IPv6 address in brackets.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}", self.port),
            Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}
