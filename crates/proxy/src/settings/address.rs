//! Where to listen, as it is written in settings.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on or to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `IP:PORT`.
    Tcp(SocketAddr),
    /// `unix:PATH`.
    Unix(PathBuf),
}

/// The text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address to listen on: write {fix}")]
pub struct AddressError {
    text: String,
    fix: String,
}

impl AddressError {
    fn new(text: &str) -> Self {
        let is_port = |port: &str| port.parse::<u16>().is_ok();
        let fix = match text.rsplit_once(':') {
            None if is_port(text) => format!("0.0.0.0:{text}"),
            Some(("" | "*", port)) if is_port(port) => format!("0.0.0.0:{port}"),
            Some(("localhost", port)) if is_port(port) => format!("127.0.0.1:{port}"),
            _ => match text.parse() {
                Ok(IpAddr::V4(four)) => format!("{four}:8888"),
                Ok(IpAddr::V6(six)) => format!("[{six}]:8888"),
                Err(_) => "IP:PORT, [IPv6]:PORT or unix:PATH".to_owned(),
            },
        };
        Self {
            text: text.to_owned(),
            fix,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressError::new(text);
        match text.strip_prefix("unix:") {
            Some("") => Err(error()),
            Some(path) => Ok(Self::Unix(PathBuf::from(path))),
            None => text.parse().map(Self::Tcp).map_err(|_| error()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Where the admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// There is none.
    Off,
    /// Loopback and the interface of the default route, on this port: in a container with two
    /// networks that is never the agent's side.
    Egress(u16),
    /// Exactly here.
    At(Address),
}

/// The text is no admin address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an admin address: write IP:PORT, egress:PORT, unix:PATH or off")]
pub struct AdminAddressError {
    text: String,
}

impl FromStr for AdminAddress {
    type Err = AdminAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AdminAddressError {
            text: text.to_owned(),
        };
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.strip_prefix("egress:") {
            Some(port) => port.parse().map(Self::Egress).map_err(|_| error()),
            None => text.parse().map(Self::At).map_err(|_| error()),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Egress(port) => write!(f, "egress:{port}"),
            Self::At(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_it_writes_and_refuses_the_rest() {
        for text in [
            "127.0.0.1:8888",
            "[::]:8888",
            "unix:/run/agentnet/proxy.sock",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
            assert_eq!(text.parse::<AdminAddress>().unwrap().to_string(), text);
        }
        for text in ["egress:9100", "off"] {
            assert_eq!(text.parse::<AdminAddress>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "8888",
            "localhost:8888",
            "unix:",
            "egress:",
            "egress:70000",
            "::1:80",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
            assert!(text.parse::<AdminAddress>().is_err(), "{text}");
        }
    }
}
