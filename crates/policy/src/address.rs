//! What kind of address an address is. One total function, no I/O.
//!
//! After the IANA special-purpose registries (RFC 6890 and its updates). A block that is listed
//! there is not public here, also where the registry says "globally reachable": no host that a
//! task would need lives in one.

mod embedded;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use self::embedded::Embedded;
pub(crate) use self::embedded::faces;

/// The kind of an address. Exactly one holds for every address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum AddressClass {
    /// Global unicast that no registry sets apart.
    Public,
    /// A cloud's metadata or credential service.
    Metadata,
    /// 127.0.0.0/8, `::1`.
    Loopback,
    /// 0.0.0.0/8, `::`: connecting there reaches the machine itself.
    Unspecified,
    /// 224.0.0.0/4, ff00::/8.
    Multicast,
    /// 255.255.255.255.
    Broadcast,
    /// 169.254.0.0/16, fe80::/10.
    LinkLocal,
    /// RFC 1918, unique local fc00::/7, site-local fec0::/10.
    Private,
    /// Carrier-grade NAT, 100.64.0.0/10.
    Shared,
    /// 198.18.0.0/15, 2001:2::/48.
    Benchmarking,
    /// The networks of examples.
    Documentation,
    /// IETF protocol assignments, anycast relays, AS112, discard-only, segment routing.
    Protocol,
    /// An IPv6 address that carries an IPv4 address which is none of the above that nothing
    /// opens: mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP.
    Embedded,
    /// Set aside: 240.0.0.0/4, and IPv6 outside 2000::/3.
    Reserved,
}

/// What a whitelist line must say for an address of a class to be dialled.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) enum Opener {
    /// Nothing beyond the name.
    Name,
    /// `private`, or the address itself.
    Private,
    /// `host`, with this address and port.
    Host,
    /// No word does.
    Nothing,
}

impl AddressClass {
    pub(crate) fn opener(self) -> Opener {
        match self {
            AddressClass::Public => Opener::Name,
            AddressClass::LinkLocal
            | AddressClass::Private
            | AddressClass::Shared
            | AddressClass::Benchmarking
            | AddressClass::Documentation
            | AddressClass::Protocol
            | AddressClass::Embedded
            | AddressClass::Reserved => Opener::Private,
            AddressClass::Loopback => Opener::Host,
            AddressClass::Metadata
            | AddressClass::Unspecified
            | AddressClass::Multicast
            | AddressClass::Broadcast => Opener::Nothing,
        }
    }

    /// The class in words that can follow "is".
    pub fn words(self) -> &'static str {
        match self {
            AddressClass::Public => "a public address",
            AddressClass::Metadata => "a cloud metadata address",
            AddressClass::Loopback => "a loopback address",
            AddressClass::Unspecified => "the unspecified address",
            AddressClass::Multicast => "a multicast address",
            AddressClass::Broadcast => "the broadcast address",
            AddressClass::LinkLocal => "a link-local address",
            AddressClass::Private => "a private address",
            AddressClass::Shared => "a carrier-grade NAT address",
            AddressClass::Benchmarking => "a benchmarking address",
            AddressClass::Documentation => "a documentation address",
            AddressClass::Protocol => "an address of a protocol's own",
            AddressClass::Embedded => "an IPv6 address with an IPv4 address inside",
            AddressClass::Reserved => "a reserved address",
        }
    }
}

/// The kind of an address. An IPv6 address that embeds an IPv4 address is judged by the worse of
/// the two.
pub fn classify(ip: IpAddr) -> AddressClass {
    match ip {
        IpAddr::V4(ip) => classify_v4(ip),
        IpAddr::V6(ip) => classify_v6(ip),
    }
}

/// Addresses at which clouds hand credentials to whoever asks: AWS (instance, ECS, EKS), Google,
/// Azure, Alibaba, Oracle, Scaleway, Tencent.
const METADATA_V4: &[Ipv4Addr] = &[
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];

const METADATA_V6: &[Ipv6Addr] = &[
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0023),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254),
    Ipv6Addr::new(0xfd00, 0x00c1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x0042, 0, 0, 0, 0, 0, 0x0042),
];

type Block4 = (Ipv4Addr, u32, AddressClass);
type Block6 = (Ipv6Addr, u32, AddressClass);

const BLOCKS_V4: &[Block4] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, AddressClass::Unspecified),
    (Ipv4Addr::new(10, 0, 0, 0), 8, AddressClass::Private),
    (Ipv4Addr::new(100, 64, 0, 0), 10, AddressClass::Shared),
    (Ipv4Addr::new(127, 0, 0, 0), 8, AddressClass::Loopback),
    (Ipv4Addr::new(169, 254, 0, 0), 16, AddressClass::LinkLocal),
    (Ipv4Addr::new(172, 16, 0, 0), 12, AddressClass::Private),
    (Ipv4Addr::new(192, 0, 0, 0), 24, AddressClass::Protocol),
    (Ipv4Addr::new(192, 0, 2, 0), 24, AddressClass::Documentation),
    (Ipv4Addr::new(192, 31, 196, 0), 24, AddressClass::Protocol),
    (Ipv4Addr::new(192, 52, 193, 0), 24, AddressClass::Protocol),
    (Ipv4Addr::new(192, 88, 99, 0), 24, AddressClass::Protocol),
    (Ipv4Addr::new(192, 168, 0, 0), 16, AddressClass::Private),
    (Ipv4Addr::new(192, 175, 48, 0), 24, AddressClass::Protocol),
    (Ipv4Addr::new(198, 18, 0, 0), 15, AddressClass::Benchmarking),
    (
        Ipv4Addr::new(198, 51, 100, 0),
        24,
        AddressClass::Documentation,
    ),
    (
        Ipv4Addr::new(203, 0, 113, 0),
        24,
        AddressClass::Documentation,
    ),
    (Ipv4Addr::new(224, 0, 0, 0), 4, AddressClass::Multicast),
    (Ipv4Addr::BROADCAST, 32, AddressClass::Broadcast),
    (Ipv4Addr::new(240, 0, 0, 0), 4, AddressClass::Reserved),
];

const BLOCKS_V6: &[Block6] = &[
    (Ipv6Addr::UNSPECIFIED, 128, AddressClass::Unspecified),
    (Ipv6Addr::LOCALHOST, 128, AddressClass::Loopback),
    (
        Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 0),
        48,
        AddressClass::Benchmarking,
    ),
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        AddressClass::Protocol,
    ),
    (
        Ipv6Addr::new(0x2001, 0x0db8, 0, 0, 0, 0, 0, 0),
        32,
        AddressClass::Documentation,
    ),
    (
        Ipv6Addr::new(0x2620, 0x004f, 0x8000, 0, 0, 0, 0, 0),
        48,
        AddressClass::Protocol,
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        AddressClass::Documentation,
    ),
    (
        Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0),
        3,
        AddressClass::Public,
    ),
    (
        Ipv6Addr::new(0x0100, 0, 0, 0, 0, 0, 0, 0),
        63,
        AddressClass::Protocol,
    ),
    (
        Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0),
        16,
        AddressClass::Protocol,
    ),
    (
        Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0),
        7,
        AddressClass::Private,
    ),
    (
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0),
        10,
        AddressClass::LinkLocal,
    ),
    (
        Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0),
        10,
        AddressClass::Private,
    ),
    (
        Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0),
        8,
        AddressClass::Multicast,
    ),
];

fn classify_v4(ip: Ipv4Addr) -> AddressClass {
    if METADATA_V4.contains(&ip) {
        return AddressClass::Metadata;
    }
    let inside = |&&(base, bits, _): &&Block4| (ip.to_bits() ^ base.to_bits()) >> (32 - bits) == 0;
    BLOCKS_V4
        .iter()
        .find(inside)
        .map_or(AddressClass::Public, |&(_, _, class)| class)
}

fn classify_v6(ip: Ipv6Addr) -> AddressClass {
    if METADATA_V6.contains(&ip) {
        return AddressClass::Metadata;
    }
    // `::` and `::1` look like compatible addresses; they are not.
    if ip != Ipv6Addr::UNSPECIFIED && ip != Ipv6Addr::LOCALHOST {
        let inner = Embedded::of(ip);
        if !inner.is_empty() {
            // A class that `private` does not open keeps its name, so that nothing opens it here.
            let worst = inner
                .iter()
                .map(classify_v4)
                .find(|c| c.opener() > Opener::Private);
            return worst.unwrap_or(AddressClass::Embedded);
        }
    }
    let inside = |&&(base, bits, _): &&Block6| (ip.to_bits() ^ base.to_bits()) >> (128 - bits) == 0;
    BLOCKS_V6
        .iter()
        .find(inside)
        .map_or(AddressClass::Reserved, |&(_, _, class)| class)
}
