//! The network namespace as the kernel tells it: interfaces, addresses, routes, neighbours.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::netlink::{Dump, Message, dump, u32_at};

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) up: bool,
    pub(crate) loopback: bool,
}

/// One address of our own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) interface: u32,
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
    /// IPv6 only: duplicate detection still runs, so nothing can be sent from it yet.
    pub(crate) tentative: bool,
}

impl Address {
    /// Is `other` in this address's subnet?
    pub(crate) fn covers(&self, other: IpAddr) -> bool {
        in_prefix(self.address, self.prefix, other)
    }
}

/// One route that forwards packets (blackholes, local and multicast routes are left out).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// Where it leads; the unspecified address with prefix 0 for a default route.
    pub(crate) to: IpAddr,
    pub(crate) prefix: u8,
    /// The interface, if the route names one itself.
    pub(crate) interface: Option<u32>,
    /// Past the link: a gateway, several next hops, a next-hop object or an encapsulation.
    pub(crate) past_link: bool,
    pub(crate) gateway: Option<IpAddr>,
}

/// One neighbour that has a link-layer address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Neighbour {
    pub(crate) interface: u32,
    pub(crate) address: IpAddr,
    pub(crate) hardware: Vec<u8>,
}

/// The shape of the namespace at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
}

impl Snapshot {
    /// Asks the kernel.
    ///
    /// # Errors
    /// Those of the dump: then nothing is known, and the caller must not start anything.
    pub(crate) fn take() -> io::Result<Self> {
        Ok(Self {
            interfaces: dump(Dump::Links)?.iter().map(interface).collect(),
            addresses: dump(Dump::Addresses)?.iter().filter_map(address).collect(),
            routes: dump(Dump::Routes)?.iter().filter_map(route).collect(),
        })
    }

    pub(crate) fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces
            .iter()
            .find(|interface| interface.index == index)
    }

    /// The interfaces that can carry a packet away: up, and not loopback.
    pub(crate) fn links(&self) -> impl Iterator<Item = &Interface> {
        self.interfaces
            .iter()
            .filter(|interface| interface.up && !interface.loopback)
    }

    /// Our own addresses on such interfaces.
    pub(crate) fn link_addresses(&self) -> impl Iterator<Item = (&Interface, &Address)> {
        self.addresses.iter().filter_map(|address| {
            let link = self.links().find(|link| link.index == address.interface)?;
            Some((link, address))
        })
    }

    /// Is this one of our own addresses?
    pub(crate) fn is_own(&self, other: IpAddr) -> bool {
        self.addresses.iter().any(|own| own.address == other)
    }

    /// Is this in one of the subnets that we stand in?
    pub(crate) fn on_link(&self, other: IpAddr) -> bool {
        self.link_addresses().any(|(_, own)| own.covers(other))
    }
}

/// The neighbours that have answered, whatever they were asked.
///
/// # Errors
/// Those of the dump.
pub(crate) fn neighbours() -> io::Result<Vec<Neighbour>> {
    Ok(dump(Dump::Neighbours)?
        .iter()
        .filter_map(neighbour)
        .collect())
}

/// The addresses that were asked for and have not answered yet. The kernel asks for these again at
/// its own pace, whoever wants to know sooner.
///
/// # Errors
/// Those of the dump.
pub(crate) fn unanswered() -> io::Result<BTreeSet<IpAddr>> {
    const INCOMPLETE: u32 = 0x01;
    Ok(dump(Dump::Neighbours)?
        .iter()
        .filter(|message| message.word(8) & 0xffff == INCOMPLETE)
        .filter_map(|message| ip(message.attribute(1)?))
        .collect())
}

const FLAG_UP: u32 = 1;
const FLAG_LOOPBACK: u32 = 8;

fn interface(message: &Message) -> Interface {
    let flags = message.word(8);
    let name = message.attribute(3).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    Interface {
        index: message.word(4),
        name: String::from_utf8_lossy(name).into_owned(),
        up: flags & FLAG_UP != 0,
        loopback: flags & FLAG_LOOPBACK != 0,
    }
}

fn address(message: &Message) -> Option<Address> {
    // IFA_LOCAL is our end, IFA_ADDRESS on a point-to-point link the other one.
    let bytes = message.attribute(2).or_else(|| message.attribute(1))?;
    let flags = message
        .attribute(8)
        .and_then(|value| u32_at(value, 0))
        .unwrap_or_else(|| u32::from(message.byte(2)));
    Some(Address {
        interface: message.word(4),
        address: ip(bytes)?,
        prefix: message.byte(1),
        tentative: flags & 0x40 != 0,
    })
}

fn route(message: &Message) -> Option<Route> {
    const UNICAST: u8 = 1;
    if message.byte(7) != UNICAST {
        return None;
    }
    let nowhere: IpAddr = match message.byte(0) {
        2 => Ipv4Addr::UNSPECIFIED.into(),
        10 => Ipv6Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    // RTA_GATEWAY 5, RTA_MULTIPATH 9, RTA_VIA 18, RTA_ENCAP_TYPE 21, RTA_ENCAP 22, RTA_NH_ID 30
    let past_link = [5, 9, 18, 21, 22, 30]
        .iter()
        .any(|kind| message.attribute(*kind).is_some());
    Some(Route {
        to: message.attribute(1).and_then(ip).unwrap_or(nowhere),
        prefix: message.byte(1),
        interface: message.attribute(4).and_then(|value| u32_at(value, 0)),
        past_link,
        gateway: message.attribute(5).and_then(ip),
    })
}

fn neighbour(message: &Message) -> Option<Neighbour> {
    // REACHABLE, STALE, DELAY, PROBE, PERMANENT: the neighbour's address is known. INCOMPLETE and
    // FAILED are our own questions, NOARP is multicast and loopback.
    const KNOWN: u32 = 0x02 | 0x04 | 0x08 | 0x10 | 0x80;
    let state = message.word(8) & 0xffff;
    let hardware = message.attribute(2)?;
    if state & KNOWN == 0 || hardware.is_empty() {
        return None;
    }
    Some(Neighbour {
        interface: message.word(4),
        address: ip(message.attribute(1)?)?,
        hardware: hardware.to_vec(),
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Do both addresses share their first `prefix` bits (and their family)?
pub(crate) fn in_prefix(one: IpAddr, prefix: u8, other: IpAddr) -> bool {
    let (one, other, width) = match (one, other) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32u32),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    let host_bits = width.saturating_sub(u32::from(prefix));
    (one ^ other).checked_shr(host_bits).unwrap_or(0) == 0
}

/// `fe80::/10`.
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// A hardware address as people write it.
pub(crate) fn hardware_text(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_compared_bit_by_bit_and_family_by_family() {
        let covers = |one: &str, prefix, other: &str| {
            in_prefix(one.parse().unwrap(), prefix, other.parse().unwrap())
        };
        assert!(covers("10.213.0.2", 28, "10.213.0.15"));
        assert!(!covers("10.213.0.2", 28, "10.213.0.16"));
        assert!(covers("10.213.0.2", 0, "8.8.8.8"));
        assert!(!covers("10.213.0.2", 32, "10.213.0.3"));
        assert!(covers("fd00::1", 64, "fd00::ffff:0:0:1"));
        assert!(!covers("fd00::1", 64, "fd00:0:0:1::1"));
        assert!(covers("fd00::1", 0, "2001:db8::1"));
        assert!(!covers("0.0.0.0", 0, "::"));
    }

    #[test]
    fn the_real_namespace_has_a_loopback_interface() {
        let snapshot = Snapshot::take().unwrap();
        assert!(
            snapshot
                .interfaces
                .iter()
                .any(|i| i.name == "lo" && i.loopback)
        );
        assert!(snapshot.links().all(|link| !link.loopback && link.up));
        neighbours().unwrap();
    }
}
