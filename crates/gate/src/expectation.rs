//! What the container was promised: the one type behind the gate's flags.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// Most `--peer` and most `--foreign` addresses that one gate accepts.
pub const MOST_ADDRESSES: usize = 256;

/// Which build of the fence the container stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// One interface on a network that has no address of the host; the proxy is on it.
    Network,
    /// Loopback only; the proxy is behind a relay at a loopback address.
    Socket,
    /// Loopback only, and no proxy at all.
    None,
    /// An ordinary network, asked for loudly: only the process itself is checked.
    Open,
}

impl Fence {
    /// The word used in flags, reports and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Socket => "socket",
            Self::None => "none",
            Self::Open => "open",
        }
    }

    /// Does the fence promise that nothing but loopback is there?
    pub(crate) fn loopback_only(self) -> bool {
        match self {
            Self::Socket | Self::None => true,
            Self::Network | Self::Open => false,
        }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The promise, as flags of `exec` and `verify`. [`Expectation::arguments`] writes the same flags,
/// so the controller never spells one.
#[derive(Args, Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// Which build of the fence this container stands in
    #[arg(long, value_enum)]
    pub fence: Fence,

    /// The proxy's address on this side, as ADDR:PORT
    #[arg(long, value_name = "ADDR:PORT")]
    pub proxy: Option<SocketAddr>,

    /// An address that may answer on the link: the proxy's, the agent's, a service's (repeat)
    #[arg(long = "peer", value_name = "IP")]
    pub peers: Vec<IpAddr>,

    /// An address that must not answer: another task's proxy or agent, the egress side of our own
    /// proxy, a service of the host (repeat)
    #[arg(long, value_name = "ADDR:PORT")]
    pub foreign: Vec<SocketAddr>,

    /// A destination that the whitelist allows: `verify` shows that it works
    #[arg(long, value_name = "HOST:PORT")]
    pub allowed_host: Option<String>,

    /// The proxy only observes, so that a name which is not listed passes
    #[arg(long)]
    pub observe: bool,
}

impl Expectation {
    /// An expectation with nothing but its fence.
    #[must_use]
    pub fn new(fence: Fence) -> Self {
        Self {
            fence,
            proxy: None,
            peers: Vec::new(),
            foreign: Vec::new(),
            allowed_host: None,
            observe: false,
        }
    }

    /// The flags that say this, ready for a container's entrypoint.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec!["--fence".to_owned(), self.fence.to_string()];
        let mut flag = |name: &str, value: String| words.extend([name.to_owned(), value]);
        if let Some(proxy) = self.proxy {
            flag("--proxy", proxy.to_string());
        }
        for peer in &self.peers {
            flag("--peer", peer.to_string());
        }
        for foreign in &self.foreign {
            flag("--foreign", foreign.to_string());
        }
        if let Some(host) = &self.allowed_host {
            flag("--allowed-host", host.clone());
        }
        if self.observe {
            words.push("--observe".to_owned());
        }
        words
    }

    /// Refuses promises that contradict themselves, so that a typing error is never a pass.
    ///
    /// # Errors
    /// One sentence naming the flag that is missing, superfluous or repeated too often.
    pub fn check(&self) -> Result<(), ExpectationError> {
        match (self.fence, self.proxy) {
            (Fence::Network | Fence::Socket, None) => {
                return Err(ExpectationError::ProxyMissing(self.fence));
            }
            (Fence::None, Some(_)) => return Err(ExpectationError::ProxyWithoutNetwork),
            (Fence::Socket, Some(proxy)) if !proxy.ip().is_loopback() => {
                return Err(ExpectationError::ProxyNotLoopback(proxy));
            }
            (Fence::Network | Fence::Socket | Fence::Open, _) | (Fence::None, None) => {}
        }
        for (flag, count) in [
            ("--peer", self.peers.len()),
            ("--foreign", self.foreign.len()),
        ] {
            if count > MOST_ADDRESSES {
                return Err(ExpectationError::TooMany { flag, count });
            }
        }
        if let Some(host) = &self.allowed_host
            && !is_authority(host)
        {
            return Err(ExpectationError::AllowedHost);
        }
        Ok(())
    }

    /// May this address answer on the link?
    pub(crate) fn may_answer(&self, address: IpAddr) -> bool {
        self.peers.contains(&address) || self.proxy.is_some_and(|proxy| proxy.ip() == address)
    }
}

/// Letters that can stand in `HOST:PORT` and cannot break out of a request line.
fn is_authority(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b);
    text.len() <= 260
        && text.bytes().all(allowed)
        && text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

/// Why an expectation makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectationError {
    /// A fence with a proxy, and no `--proxy`.
    ProxyMissing(Fence),
    /// `--fence none` and a `--proxy`.
    ProxyWithoutNetwork,
    /// `--fence socket` with a proxy that is not on loopback.
    ProxyNotLoopback(SocketAddr),
    /// A flag that is repeated more than [`MOST_ADDRESSES`] times.
    TooMany {
        /// The flag.
        flag: &'static str,
        /// How often it stands there.
        count: usize,
    },
    /// `--allowed-host` is not `HOST:PORT`.
    AllowedHost,
}

impl fmt::Display for ExpectationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ProxyMissing(fence) => write!(
                f,
                "--fence {fence} needs --proxy ADDR:PORT: without it nobody can tell the proxy from a stranger"
            ),
            Self::ProxyWithoutNetwork => {
                f.write_str("--fence none has no proxy: leave --proxy out, or name another fence")
            }
            Self::ProxyNotLoopback(proxy) => write!(
                f,
                "--proxy {proxy} is not a loopback address, and --fence socket has nothing but loopback"
            ),
            Self::TooMany { flag, count } => {
                write!(
                    f,
                    "{flag} is given {count} times; the most is {MOST_ADDRESSES}"
                )
            }
            Self::AllowedHost => {
                f.write_str("--allowed-host must be HOST:PORT, as in example.org:443")
            }
        }
    }
}

impl std::error::Error for ExpectationError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Job};
    use clap::Parser;

    fn full() -> Expectation {
        Expectation {
            fence: Fence::Network,
            proxy: Some("10.213.0.1:8888".parse().unwrap()),
            peers: vec!["10.213.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            foreign: vec![
                "[fd01::1]:8888".parse().unwrap(),
                "172.17.0.1:22".parse().unwrap(),
            ],
            allowed_host: Some("example.org:443".to_owned()),
            observe: true,
        }
    }

    #[test]
    fn arguments_are_read_back_as_the_same_expectation() {
        for expectation in [
            full(),
            Expectation::new(Fence::None),
            Expectation::new(Fence::Open),
        ] {
            let mut words = vec!["agentnet-gate".to_owned(), "verify".to_owned()];
            words.extend(expectation.arguments());
            let Job::Verify(verify) = Cli::try_parse_from(words).unwrap().job else {
                panic!("not verify");
            };
            assert_eq!(verify.expectation, expectation);
        }
    }

    #[test]
    fn contradictions_are_refused_and_sense_is_not() {
        let proxy = Some("10.213.0.1:8888".parse().unwrap());
        let relay = Some("127.128.0.1:8888".parse().unwrap());
        let of = |fence, proxy| {
            Expectation {
                proxy,
                ..Expectation::new(fence)
            }
            .check()
        };
        assert_eq!(of(Fence::Network, proxy), Ok(()));
        assert_eq!(of(Fence::Socket, relay), Ok(()));
        assert_eq!(of(Fence::None, None), Ok(()));
        assert_eq!(of(Fence::Open, None), Ok(()));
        assert!(of(Fence::Network, None).is_err());
        assert!(of(Fence::Socket, None).is_err());
        assert!(of(Fence::Socket, proxy).is_err());
        assert!(of(Fence::None, proxy).is_err());
        let mut many = full();
        many.peers = vec!["10.0.0.1".parse().unwrap(); MOST_ADDRESSES + 1];
        assert!(
            many.check()
                .unwrap_err()
                .to_string()
                .contains("--peer is given 257 times")
        );
    }

    #[test]
    fn an_allowed_host_cannot_break_out_of_a_request_line() {
        for bad in [
            "",
            "example.org",
            ":443",
            "a b:443",
            "a\r\nX: y:443",
            "a:99999",
            "a/b:443",
        ] {
            let expectation = Expectation {
                allowed_host: Some(bad.to_owned()),
                ..full()
            };
            assert_eq!(
                expectation.check(),
                Err(ExpectationError::AllowedHost),
                "{bad:?}"
            );
        }
        assert_eq!(full().check(), Ok(()));
    }
}
