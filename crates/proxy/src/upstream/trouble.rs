//! Why a parent did not do what it was asked, and what that means for the next one.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use agentnet_policy::Name;

/// Why. Each holds a clause that follows the parent's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is not there, or does not speak as it should: the next one is asked, and this one later.
    Down(String),
    /// It does not take who we are: the next one is asked.
    Credentials(String),
    /// It did not get there: another address, then the next one is asked.
    Unreachable(String),
    /// It does not want to: that is its last word, and nobody else is asked.
    Refused(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down(what)
            | Self::Credentials(what)
            | Self::Unreachable(what)
            | Self::Refused(what) => f.write_str(what),
        }
    }
}

/// What a parent is asked to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// An address that was admitted here.
    Address(SocketAddr),
    /// A name for it to resolve.
    Name(Name, u16),
}

impl Sent {
    pub(crate) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address.ip()),
            Self::Name(..) => None,
        }
    }
}

/// The authority form.
impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}
