//! Which clients may use a listener.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::host::{self, Host};

/// A list of clients as Tinyproxy's `Allow` and `Deny` lines make one: the first entry that fits
/// decides. Without entries everybody may; with any, who fits none may not.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct ClientList {
    rules: Vec<ClientRule>,
}

/// One entry of a [`ClientList`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientRule {
    /// What happens to those it fits.
    pub access: Access,
    /// Whom it fits.
    pub client: Client,
}

/// What an entry does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// They may use the listener.
    Allow,
    /// They may not.
    Deny,
}

/// Whom an entry fits.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Client {
    /// Addresses. A network of IPv6 that holds `::ffff:0:0/96` holds IPv4 too, as in Tinyproxy.
    Network(IpNet),
    /// `host.example`: the name, and names below it.
    Host(Box<str>),
    /// `.example`: names below it. Kept without the dot.
    Below(Box<str>),
}

/// Why a text is not a client.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientError {
    /// The part after the slash.
    #[error("the bits of a network are a number up to 32, for IPv6 up to 128")]
    Bits,
    /// A slash behind something else than an address.
    #[error("a slash follows an address only")]
    Slash,
    /// Neither an address nor a name.
    #[error("it is neither an address nor a host name: {0}")]
    Name(#[from] host::HostError),
}

impl Client {
    /// Reads `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32` (brackets are optional), `host.example`
    /// or `.example`. Bits to the right of the prefix length are ignored, as in Tinyproxy.
    ///
    /// # Errors
    /// Everything else.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let bare = |text: &str| -> Option<IpAddr> {
            let inner = text
                .strip_prefix('[')
                .and_then(|text| text.strip_suffix(']'));
            inner.unwrap_or(text).parse().ok()
        };
        if let Some((address, bits)) = text.split_once('/') {
            let address = bare(address).ok_or(ClientError::Slash)?;
            let number = bits.bytes().all(|b| b.is_ascii_digit());
            let bits = bits.parse().ok().filter(|_| number);
            let network = bits.and_then(|bits| IpNet::new(address, bits).ok());
            return network
                .map(|network| Client::Network(network.trunc()))
                .ok_or(ClientError::Bits);
        }
        if let Some(address) = bare(text) {
            return Ok(Client::Network(address.into()));
        }
        let (name, below) = match text.strip_prefix('.') {
            Some(name) => (name, true),
            None => (text, false),
        };
        match Host::parse(name)? {
            Host::Name(name) if below => Ok(Client::Below(name.as_str().into())),
            Host::Name(name) => Ok(Client::Host(name.as_str().into())),
            // `.1.2.3.4`; without the dot it was an address above.
            Host::Ip(_) => Err(host::HostError::EndsInNumber.into()),
        }
    }

    fn fits(&self, ip: IpAddr, names: &[&str]) -> bool {
        match self {
            Client::Network(network) => {
                let mapped = match (network, ip) {
                    (IpNet::V6(network), IpAddr::V4(ip)) => network.contains(&ip.to_ipv6_mapped()),
                    _ => false,
                };
                mapped || network.contains(&ip)
            }
            Client::Host(host) => names
                .iter()
                .any(|name| is_same(name, host) || is_below(name, host)),
            Client::Below(domain) => names.iter().any(|name| is_below(name, domain)),
        }
    }
}

/// Without the dot of the root, in whatever case a resolver gave it.
fn is_same(name: &str, host: &str) -> bool {
    name.strip_suffix('.')
        .unwrap_or(name)
        .eq_ignore_ascii_case(host)
}

/// On a label's boundary: Tinyproxy also takes `evilexample.com` for `example.com`
/// (tinyproxy#627).
fn is_below(name: &str, domain: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let Some(at) = name.len().checked_sub(domain.len() + 1) else {
        return false;
    };
    let tail = name.get(at..).and_then(|tail| tail.strip_prefix('.'));
    at > 0 && tail.is_some_and(|tail| tail.eq_ignore_ascii_case(domain))
}

impl ClientList {
    /// A list with these entries, in this order.
    pub fn new(rules: Vec<ClientRule>) -> Self {
        Self { rules }
    }

    /// Whether the client may use the listener. `names` are those that its address is known to
    /// have; they are needed only if [`needs_names`](Self::needs_names).
    ///
    /// A name must be proved by a look-up forwards, because whoever holds an address says what
    /// its look-up backwards answers.
    pub fn permits(&self, ip: IpAddr, names: &[&str]) -> bool {
        let ip = ip.to_canonical();
        let first = self.rules.iter().find(|rule| rule.client.fits(ip, names));
        match first {
            Some(rule) => rule.access == Access::Allow,
            None => self.rules.is_empty(),
        }
    }

    /// Whether an entry has a name, so that the answer may depend on the client's.
    pub fn needs_names(&self) -> bool {
        let is_name = |rule: &ClientRule| !matches!(rule.client, Client::Network(_));
        self.rules.iter().any(is_name)
    }

    /// The hosts that entries name. Tinyproxy looks these up and compares addresses; a client with
    /// such an address has the name.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| match &rule.client {
            Client::Host(host) => Some(&**host),
            Client::Network(_) | Client::Below(_) => None,
        })
    }

    /// The entries, in order.
    pub fn rules(&self) -> &[ClientRule] {
        &self.rules
    }

    /// Whether everybody may.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

/// As it is written.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                network.addr().fmt(f)
            }
            Client::Network(network) => network.fmt(f),
            Client::Host(host) => f.write_str(host),
            Client::Below(domain) => write!(f, ".{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> ClientList {
        let rules = text.lines().map(|line| {
            let (access, client) = line.split_once(' ').unwrap();
            let access = match access {
                "Allow" => Access::Allow,
                _ => Access::Deny,
            };
            let client = Client::parse(client).unwrap();
            ClientRule { access, client }
        });
        ClientList::new(rules.collect())
    }

    fn permits(list: &ClientList, ip: &str) -> bool {
        list.permits(ip.parse().unwrap(), &[])
    }

    #[test]
    fn an_empty_list_permits_everybody_and_any_entry_closes_it() {
        assert!(permits(&list(""), "192.0.2.1"));
        assert!(!permits(&list("Deny 192.0.2.9"), "192.0.2.1"));
        assert!(!permits(&list("Allow 192.0.2.9"), "192.0.2.1"));
    }

    #[test]
    fn the_first_entry_that_fits_decides() {
        let first = list("Deny 10.0.0.7\nAllow 10.0.0.0/8");
        assert!(permits(&first, "10.0.0.8") && !permits(&first, "10.0.0.7"));
        let second = list("Allow 10.0.0.0/8\nDeny 10.0.0.7");
        assert!(permits(&second, "10.0.0.7"));
    }

    #[test]
    fn an_address_of_ipv4_is_the_same_inside_ipv6() {
        assert!(permits(&list("Allow 10.1.2.3/8"), "::ffff:10.9.9.9"));
        assert!(permits(&list("Allow ::ffff:10.0.0.0/104"), "10.9.9.9"));
        assert!(!permits(&list("Allow ::ffff:10.0.0.0/104"), "11.9.9.9"));
        assert!(permits(&list("Allow ::/0"), "10.9.9.9"));
        assert!(!permits(&list("Allow 0.0.0.0/0"), "2001:db8::1"));
        assert!(permits(&list("Allow [2001:db8::]/32"), "2001:db8::1"));
    }

    #[test]
    fn names_match_at_a_dot_and_never_inside_a_label() {
        let ip = "192.0.2.1".parse().unwrap();
        let host = list("Allow example.com");
        assert!(host.needs_names() && host.hosts().eq(["example.com"]));
        assert!(host.permits(ip, &["Example.COM."]) && host.permits(ip, &["a.example.com"]));
        assert!(!host.permits(ip, &["evilexample.com"]) && !host.permits(ip, &[]));
        let below = list("Allow .example.com");
        assert!(below.permits(ip, &["x", "a.example.com"]) && !below.permits(ip, &["example.com"]));
        assert!(!below.permits(ip, &["evilexample.com"]) && !below.permits(ip, &[".example.com"]));
        assert!(!list("Allow 10.0.0.0/8").needs_names());
    }

    #[test]
    fn what_is_no_client_is_refused_and_the_rest_reads_back() {
        for bad in [
            "",
            ".",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/",
            "::/129",
            "a/8",
            "300.1.1.1",
            "a b",
            "*",
            "10.0.0.0/255.0.0.0",
            ".1.2.3.4",
            "a..b",
        ] {
            assert!(Client::parse(bad).is_err(), "{bad}");
        }
        for good in [
            "192.0.2.1",
            "10.0.0.0/8",
            "2001:db8::/32",
            "host.example",
            ".example",
        ] {
            assert_eq!(Client::parse(good).unwrap().to_string(), good);
        }
        assert_eq!(
            Client::parse("10.1.2.3/8").unwrap().to_string(),
            "10.0.0.0/8"
        );
    }
}
