//! Doors for programs that know nothing of proxies.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;

use super::{Address, Problem};

/// What a listener has beside its proxy doors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideDoors {
    /// Where questions to the DNS are answered: over UDP and TCP, or over a unix socket in the way of
    /// TCP.
    pub dns: Vec<Address>,
    /// The addresses that permitted names are given, one a family at most. Empty: the address that
    /// was asked; a unix socket has none.
    pub dns_addresses: Vec<IpAddr>,
    /// Where programs come that take the proxy for their host.
    pub transparent: Vec<Transparent>,
    /// Where a relay brings connections to the doors of names. Never an address: whoever could
    /// connect there could say that he stands at any door.
    pub raw: Vec<PathBuf>,
}

/// A door for programs that take the proxy for their host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transparent {
    /// Where it is.
    pub listen: Address,
    /// What is spoken there, and says the host.
    pub kind: TransparentKind,
    /// The port of the host that the program means.
    pub port: NonZeroU16,
}

/// What is spoken at a transparent door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransparentKind {
    /// TLS, and the host is its server name.
    Tls,
    /// Plain HTTP, and the host is its Host field.
    Http,
}

impl TransparentKind {
    /// The port that the hosts have where nothing says another.
    fn usual_port(self) -> NonZeroU16 {
        const HTTPS: NonZeroU16 = NonZeroU16::new(443).unwrap();
        const HTTP: NonZeroU16 = NonZeroU16::new(80).unwrap();
        match self {
            Self::Tls => HTTPS,
            Self::Http => HTTP,
        }
    }
}

/// What was written, by setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawSideDoors<'r> {
    pub(super) dns: &'r [String],
    pub(super) dns_address: &'r [String],
    pub(super) transparent_tls: &'r [String],
    pub(super) transparent_http: &'r [String],
    pub(super) raw_doors: &'r [String],
    pub(super) has_credentials: bool,
}

impl SideDoors {
    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty() && self.transparent.is_empty() && self.raw.is_empty()
    }

    /// Checks what was written at `place`.
    pub(super) fn check(place: &str, raw: RawSideDoors<'_>, problems: &mut Vec<Problem>) -> Self {
        let mut problem = |name: &str, what: String| {
            problems.push(Problem::new(join(place, name), what));
        };
        let mut doors = Self::default();
        for text in raw.dns {
            match text.parse() {
                Ok(Address::Unix(_)) if raw.dns_address.is_empty() => {
                    let what = "has no address that permitted names could be given: say one with `dns_address`";
                    problem("dns", format!("`{text}` {what}"));
                }
                Ok(address) => doors.dns.push(address),
                Err(_) => {
                    let what =
                        "is not an address to answer at: write IP:53, [IPv6]:53 or unix:PATH";
                    problem("dns", format!("`{text}` {what}"));
                }
            }
        }
        for text in raw.dns_address {
            match text.parse::<IpAddr>() {
                Ok(ip) if ip.is_unspecified() || ip.is_multicast() => {
                    let what = "is no address that a program could connect to";
                    problem("dns_address", format!("`{text}` {what}"));
                }
                Ok(ip)
                    if doors
                        .dns_addresses
                        .iter()
                        .any(|other| other.is_ipv4() == ip.is_ipv4()) =>
                {
                    let what = "is a second address of its family: name one IPv4 and one IPv6 address at most";
                    problem("dns_address", format!("`{text}` {what}"));
                }
                Ok(ip) => doors.dns_addresses.push(ip),
                Err(_) => problem("dns_address", format!("`{text}` is not an IP address")),
            }
        }
        if raw.dns.is_empty() && !raw.dns_address.is_empty() {
            let what = "says what the DNS answers, and there is none: give `dns` as well";
            problem("dns_address", what.to_owned());
        }
        let kinds = [
            ("transparent_tls", raw.transparent_tls, TransparentKind::Tls),
            (
                "transparent_http",
                raw.transparent_http,
                TransparentKind::Http,
            ),
        ];
        for (name, texts, kind) in kinds {
            for text in texts {
                match transparent(text, kind) {
                    Ok(door) => doors.transparent.push(door),
                    Err(what) => problem(name, format!("`{text}` {what}")),
                }
            }
        }
        for text in raw.raw_doors {
            match text.parse() {
                Ok(Address::Unix(path)) => doors.raw.push(path),
                Ok(Address::Tcp(_)) | Err(_) => {
                    let what = "is no socket for a relay: write unix:PATH";
                    problem("raw_doors", format!("`{text}` {what}"));
                }
            }
        }
        if raw.dns.is_empty() && !raw.raw_doors.is_empty() {
            let what =
                "are at addresses that only the DNS gives, and there is none: give `dns` as well";
            problem("raw_doors", what.to_owned());
        }
        if raw.has_credentials && !doors.is_empty() {
            let what = "has nothing to do with `dns`, `transparent_tls`, `transparent_http` and `raw_doors`, where \
                        nobody can be asked: give those to a listener without it";
            problem("credentials_file", what.to_owned());
        }
        doors
    }
}

/// `IP:PORT` or `unix:PATH`, either with `=TARGETPORT`.
fn transparent(text: &str, kind: TransparentKind) -> Result<Transparent, &'static str> {
    // A path may have the sign in it, and ends in a port only behind the last.
    let (listen, port) = match text.rsplit_once('=') {
        Some((listen, port)) => (listen, Some(port)),
        None => (text, None),
    };
    let listen: Address = listen.parse().map_err(|_| {
        "is not an address to listen on: write IP:PORT or unix:PATH, and =PORT behind it where the hosts have another port"
    })?;
    let plain = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match (port, &listen) {
        (None, Address::Tcp(listen)) => NonZeroU16::new(listen.port()),
        (None, Address::Unix(_)) => Some(kind.usual_port()),
        (Some(port), _) if plain(port) => port.parse().ok(),
        (Some(_), _) => None,
    };
    let port = port.ok_or("names no port of the hosts: write IP:PORT=443, from 1 to 65535")?;
    Ok(Transparent { listen, kind, port })
}

/// The name of a setting of a listener, which is called nothing where the setting is for all.
pub(super) fn join(place: &str, name: &str) -> String {
    if place.is_empty() {
        name.to_owned()
    } else {
        format!("{place}, {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dns: &[&str], addresses: &[&str], tls: &[&str], has_credentials: bool) -> Vec<String> {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let (dns, addresses, tls) = (owned(dns), owned(addresses), owned(tls));
        let raw = RawSideDoors {
            dns: &dns,
            dns_address: &addresses,
            transparent_tls: &tls,
            transparent_http: &[],
            raw_doors: &[],
            has_credentials,
        };
        said(raw)
    }

    fn said(raw: RawSideDoors<'_>) -> Vec<String> {
        let mut problems = Vec::new();
        SideDoors::check("listener 1", raw, &mut problems);
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn doors_of_names_are_a_socket_beside_a_dns() {
        let of = |dns: &[&str], doors: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            said(RawSideDoors {
                dns: &owned(dns),
                dns_address: &[],
                transparent_tls: &[],
                transparent_http: &[],
                raw_doors: &owned(doors),
                has_credentials: false,
            })
        };
        let dns = ["127.0.0.1:53"];
        assert_eq!(of(&dns, &["unix:/run/raw.sock"]), Vec::<String>::new());
        assert!(of(&dns, &["127.0.0.1:22"])[0].contains("write unix:PATH"));
        assert!(of(&[], &["unix:/run/raw.sock"])[0].contains("give `dns` as well"));
    }

    #[test]
    fn says_what_cannot_be_followed() {
        let dns = ["10.0.0.1:53", "[fd00::1]:53"];
        let both = ["10.0.0.1", "fd00::1"];
        let none: Vec<String> = Vec::new();
        assert_eq!(check(&dns, &both, &["10.0.0.1:443"], false), none);
        for (found, said) in [
            (
                check(&["proxy:53"], &[], &[], false),
                "listener 1, dns: `proxy:53`",
            ),
            (
                check(&dns, &["0.0.0.0"], &[], false),
                "no address that a program",
            ),
            (
                check(&dns, &["10.0.0.1", "10.0.0.2"], &[], false),
                "a second address",
            ),
            (check(&dns, &["x"], &[], false), "`x` is not an IP address"),
            (check(&[], &["10.0.0.1"], &[], false), "give `dns` as well"),
            (
                check(&[], &[], &["10.0.0.1"], false),
                "transparent_tls: `10.0.0.1`",
            ),
            (
                check(&["unix:/run/dns.sock"], &[], &[], false),
                "say one with `dns_address`",
            ),
            (
                check(&[], &[], &["10.0.0.1:443"], true),
                "listener 1, credentials_file",
            ),
        ] {
            assert!(
                matches!(found.as_slice(), [one] if one.contains(said)),
                "{found:?}"
            );
        }
        assert_eq!(check(&[], &[], &[], true), none);
        let (unix, relay) = (["unix:/run/dns.sock"], ["127.128.0.1"]);
        assert_eq!(check(&unix, &relay, &["unix:/run/tls.sock"], false), none);
    }

    #[test]
    fn a_transparent_door_stands_for_its_own_port_or_another() {
        let read = |text| transparent(text, TransparentKind::Tls).map(|door| door.port.get());
        assert_eq!(read("10.0.0.1:443"), Ok(443));
        assert_eq!(read("[fd00::1]:8443=443"), Ok(443));
        assert_eq!(read("127.0.0.1:0=443"), Ok(443));
        assert_eq!(read("unix:/run/tls.sock"), Ok(443));
        assert_eq!(read("unix:/run/a=b/tls.sock=8443"), Ok(8443));
        for wrong in [
            "",
            "443",
            "example.com:443",
            "10.0.0.1:443=",
            "10.0.0.1:443=+1",
            "10.0.0.1:443=0",
            "10.0.0.1:443=65536",
            "10.0.0.1:0",
            "unix:",
            "unix:/x=",
            "unix:/x=0",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
