//! Doors for programs that know nothing of proxies.

use std::net::{IpAddr, SocketAddr};

use super::Problem;

/// What a listener has beside its proxy doors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideDoors {
    /// Where questions to the DNS are answered, over UDP and TCP.
    pub dns: Vec<SocketAddr>,
    /// The addresses that permitted names are given, one a family at most. Empty: the address that
    /// was asked.
    pub dns_addresses: Vec<IpAddr>,
}

/// What was written, by setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawSideDoors<'r> {
    pub(super) dns: &'r [String],
    pub(super) dns_address: &'r [String],
}

impl SideDoors {
    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.dns.is_empty()
    }

    /// Checks what was written at `place`.
    pub(super) fn check(place: &str, raw: RawSideDoors<'_>, problems: &mut Vec<Problem>) -> Self {
        let mut problem = |name: &str, what: String| {
            problems.push(Problem::new(join(place, name), what));
        };
        let mut doors = Self::default();
        for text in raw.dns {
            match text.parse() {
                Ok(address) => doors.dns.push(address),
                Err(_) => {
                    let what = "is not an address to answer at: write IP:53 or [IPv6]:53";
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
        doors
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() {
        name.to_owned()
    } else {
        format!("{place}, {name}")
    }
}
