//! The only parser of untrusted host text. It refuses; it does not repair.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A host in its one canonical form: a name, or an address that was written as an address.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Host {
    /// A DNS name.
    Name(Name),
    /// An address literal.
    Ip(IpAddr),
}

/// A canonical DNS name: ASCII lower case, no trailing dot, labels of 1 to 63 bytes out of
/// `[a-z0-9_-]`, at most 253 bytes, and never text that a resolver would read as an address.
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text is not a host.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HostError {
    /// No text at all, or a single dot.
    #[error("the host is empty")]
    Empty,
    /// A character that no host name has. Userinfo, zones, percent signs, NUL, spaces and
    /// everything outside ASCII end here.
    #[error("{0:?} cannot stand in a host name")]
    BadCharacter(char),
    /// Two dots in a row, or a dot in front.
    #[error("the host name has an empty label")]
    EmptyLabel,
    /// RFC 1035 §2.3.4: a label has at most 63 bytes.
    #[error("a label of the host name is longer than 63 bytes")]
    LongLabel,
    /// RFC 1035 §2.3.4, without the dot of the root: a name has at most 253 bytes.
    #[error("the host name is longer than 253 bytes")]
    LongName,
    /// The last label is a number, so the system's resolver may read the text as an IPv4
    /// address (`127.1`, `0x7f000001`, `2130706433`), yet it is not a strict dotted quad.
    #[error("the host ends in a number but is not a dotted IPv4 address")]
    EndsInNumber,
    /// Brackets around something that is not an IPv6 address without a zone.
    #[error("brackets may only enclose an IPv6 address without a zone")]
    BadBrackets,
}

impl Host {
    /// Reads a host as it stands in an authority: a name, a dotted IPv4 address, or an IPv6
    /// address in brackets (RFC 3986 §3.2.2).
    ///
    /// Only two things are normalised: ASCII upper case, and one trailing dot of a name.
    ///
    /// # Errors
    /// Everything else that is not canonical already, see [`HostError`].
    pub fn parse(text: &str) -> Result<Host, HostError> {
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or(HostError::BadBrackets)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| HostError::BadBrackets)?;
            return Ok(Host::Ip(IpAddr::V6(address)));
        }
        if let Some(bad) = text.chars().find(|&c| !is_host_character(c)) {
            return Err(HostError::BadCharacter(bad));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        check_labels(name)?;
        if ends_in_number(name) {
            // The text itself, not `name`: an address has no trailing dot.
            let address: Ipv4Addr = text.parse().map_err(|_| HostError::EndsInNumber)?;
            return Ok(Host::Ip(IpAddr::V4(address)));
        }
        Ok(Host::Name(Name(canonical(name))))
    }

    /// The name, unless this is an address.
    pub fn name(&self) -> Option<&Name> {
        match self {
            Host::Name(name) => Some(name),
            Host::Ip(_) => None,
        }
    }

    /// The address, unless this is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::Ip(ip) => Some(*ip),
        }
    }
}

impl Name {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The lengths of RFC 1035, for text whose characters were checked.
pub(crate) fn check_labels(name: &str) -> Result<(), HostError> {
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > 253 {
        return Err(HostError::LongName);
    }
    let mut label = 0;
    for byte in name.bytes().chain(std::iter::once(b'.')) {
        match (byte, label) {
            (b'.', 0) => return Err(HostError::EmptyLabel),
            (b'.', 64..) => return Err(HostError::LongLabel),
            (b'.', _) => label = 0,
            _ => label += 1,
        }
    }
    Ok(())
}

/// The WHATWG URL standard's "ends in a number", a little wider: whatever begins with `0x` counts.
/// `inet_aton` reads octal, hexadecimal and short forms, so the standard library's refusal to parse
/// an address does not make a text a name.
pub(crate) fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = last
        .get(..2)
        .is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    hexadecimal || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

fn canonical(name: &str) -> Arc<str> {
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        name.to_ascii_lowercase().into()
    } else {
        name.into()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// The canonical text, an IPv6 address without brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => name.fmt(f),
            Host::Ip(ip) => ip.fmt(f),
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        Host::Ip(ip)
    }
}
