//! The IPv4 addresses inside IPv6 addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The IPv4 addresses that an IPv6 address may stand for, none for most.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Embedded([Option<Ipv4Addr>; 4]);

impl Embedded {
    pub(super) fn of(ip: Ipv6Addr) -> Self {
        let bits = ip.to_bits();
        // The 32 bits that begin at bit `at`, counted from the left.
        let v4 = |at: u32| Some(Ipv4Addr::from_bits((bits >> (96 - at)) as u32));
        // RFC 6052 §2.2: bits 64 to 71 are skipped by a shorter prefix.
        let around = |at: u32| {
            let joined = (bits >> 64 << 64) | u128::from((bits as u64) << 8);
            Some(Ipv4Addr::from_bits((joined >> (96 - at)) as u32))
        };
        match ip.segments() {
            // Mapped (RFC 4291 §2.5.5.2), translated (RFC 2765), compatible (§2.5.5.1).
            [0, 0, 0, 0, 0, 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0, 0, 0, 0, 0, 0, ..] => {
                Self([v4(96), None, None, None])
            }
            // NAT64, the well-known prefix (RFC 6052).
            [0x64, 0xff9b, 0, 0, 0, 0, ..] => Self([v4(96), None, None, None]),
            // NAT64, the local-use prefix (RFC 8215): its operator chooses the length, and the
            // places that the length leaves unused are zero.
            [0x64, 0xff9b, 1, ..] => {
                let used = |ip: &Ipv4Addr| ip.to_bits() >> 24 != 0;
                Self([v4(96), around(48), around(56), around(64)].map(|ip| ip.filter(used)))
            }
            // 6to4 (RFC 3056).
            [0x2002, ..] => Self([v4(16), None, None, None]),
            // Teredo (RFC 4380): the server, and the client with its bits inverted.
            [0x2001, 0, ..] => {
                let client = Ipv4Addr::from_bits(!(bits as u32));
                Self([v4(32), Some(client), None, None])
            }
            // ISATAP (RFC 5214 §6.1), under any prefix.
            [_, _, _, _, 0 | 0x0200, 0x5efe, ..] => Self([v4(96), None, None, None]),
            _ => Self::default(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        self.0.iter().flatten().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// The address, and the IPv4 addresses that it may stand for. What is dialled as
/// `::ffff:192.0.2.1` arrives at 192.0.2.1.
pub(crate) fn faces(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let inner = match ip {
        IpAddr::V4(_) | IpAddr::V6(Ipv6Addr::UNSPECIFIED | Ipv6Addr::LOCALHOST) => {
            Embedded::default()
        }
        IpAddr::V6(ip) => Embedded::of(ip),
    };
    std::iter::once(ip).chain(inner.0.into_iter().flatten().map(IpAddr::V4))
}
