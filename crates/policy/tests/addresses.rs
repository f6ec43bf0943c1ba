//! Every edge of every special block: the first and the last address of it, and their neighbours.
#![allow(
    clippy::unwrap_used,
    reason = "a test that meets something else has failed"
)]

use std::net::IpAddr;

use agentnet_policy::AddressClass::{self, *};
use agentnet_policy::classify;

/// One before the first, the first, the last, one after the last; `None` where there is none.
type Edges = (
    Option<AddressClass>,
    &'static str,
    AddressClass,
    &'static str,
    Option<AddressClass>,
);

#[rustfmt::skip]
const BLOCKS: &[Edges] = &[
    (None, "0.0.0.0", Unspecified, "0.255.255.255", Some(Public)),
    (Some(Public), "10.0.0.0", Private, "10.255.255.255", Some(Public)),
    (Some(Public), "100.64.0.0", Shared, "100.127.255.255", Some(Public)),
    (Some(Public), "127.0.0.0", Loopback, "127.255.255.255", Some(Public)),
    (Some(Public), "169.254.0.0", LinkLocal, "169.254.255.255", Some(Public)),
    (Some(Public), "172.16.0.0", Private, "172.31.255.255", Some(Public)),
    (Some(Public), "192.0.0.0", Protocol, "192.0.0.255", Some(Public)),
    (Some(Public), "192.0.2.0", Documentation, "192.0.2.255", Some(Public)),
    (Some(Public), "192.31.196.0", Protocol, "192.31.196.255", Some(Public)),
    (Some(Public), "192.52.193.0", Protocol, "192.52.193.255", Some(Public)),
    (Some(Public), "192.88.99.0", Protocol, "192.88.99.255", Some(Public)),
    (Some(Public), "192.168.0.0", Private, "192.168.255.255", Some(Public)),
    (Some(Public), "192.175.48.0", Protocol, "192.175.48.255", Some(Public)),
    (Some(Public), "198.18.0.0", Benchmarking, "198.19.255.255", Some(Public)),
    (Some(Public), "198.51.100.0", Documentation, "198.51.100.255", Some(Public)),
    (Some(Public), "203.0.113.0", Documentation, "203.0.113.255", Some(Public)),
    (Some(Public), "224.0.0.0", Multicast, "239.255.255.255", Some(Reserved)),
    (Some(Multicast), "240.0.0.0", Reserved, "255.255.255.254", Some(Broadcast)),
    (Some(Reserved), "255.255.255.255", Broadcast, "255.255.255.255", None),
    (None, "::", Unspecified, "::", Some(Loopback)),
    (Some(Unspecified), "::1", Loopback, "::1", Some(Unspecified)),
    (Some(Protocol), "2001:2::", Benchmarking, "2001:2:0:ffff:ffff:ffff:ffff:ffff", Some(Protocol)),
    (None, "2001:1::", Protocol, "2001:1:ffff:ffff:ffff:ffff:ffff:ffff", Some(Benchmarking)),
    (Some(Protocol), "2001:200::", Public, "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", Some(Documentation)),
    (Some(Public), "2001:db8::", Documentation, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", Some(Public)),
    (Some(Public), "2620:4f:8000::", Protocol, "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", Some(Public)),
    (Some(Public), "3fff::", Documentation, "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", Some(Public)),
    (Some(Reserved), "2000::", Public, "2000::1", Some(Public)),
    (Some(Documentation), "3fff:1000::", Public, "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(Reserved)),
    (Some(Reserved), "100::", Protocol, "100:0:0:1:ffff:ffff:ffff:ffff", Some(Reserved)),
    (Some(Reserved), "5f00::", Protocol, "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(Reserved)),
    (Some(Reserved), "fc00::", Private, "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(Reserved)),
    (Some(Reserved), "fe80::", LinkLocal, "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(Private)),
    (Some(LinkLocal), "fec0::", Private, "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Some(Multicast)),
    (Some(Private), "ff00::", Multicast, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", None),
];

/// Addresses that carry others, and single ones.
const SINGLE: &[(&str, AddressClass)] = &[
    ("8.8.8.8", Public),
    ("2606:4700:4700::1111", Public),
    ("169.254.169.254", Metadata),
    ("169.254.170.2", Metadata),
    ("169.254.170.23", Metadata),
    ("100.100.100.200", Metadata),
    ("168.63.129.16", Metadata),
    ("192.0.0.192", Metadata),
    ("fd00:ec2::254", Metadata),
    ("fd00:ec2::23", Metadata),
    ("fd20:ce::254", Metadata),
    ("fd00:c1::a9fe:a9fe", Metadata),
    ("fd00:42::42", Metadata),
    ("::ffff:8.8.8.8", Embedded),
    ("::ffff:10.0.0.1", Embedded),
    ("::ffff:127.0.0.1", Loopback),
    ("::ffff:0.0.0.0", Unspecified),
    ("::ffff:169.254.169.254", Metadata),
    ("::ffff:0:169.254.169.254", Metadata),
    ("::8.8.8.8", Embedded),
    ("::127.0.0.1", Loopback),
    ("::2", Unspecified),
    ("64:ff9b::8.8.8.8", Embedded),
    ("64:ff9b::127.0.0.1", Loopback),
    ("64:ff9b:1::10.0.0.1", Embedded),
    ("64:ff9b:1::169.254.169.254", Metadata),
    ("64:ff9b:1:a9fe:a9:fe00::", Metadata),
    ("64:ff9b:1:00a9:00fe:a9fe::", Metadata),
    ("64:ff9b:1:0:a9:fea9:fe00:0", Metadata),
    ("2002:0808:0808::1", Embedded),
    ("2002:7f00:0001::1", Loopback),
    ("2002:a9fe:a9fe::", Metadata),
    ("2001:0:808:808::f7f7:f7f7", Embedded),
    ("2001:0:808:808::80ff:fffe", Loopback),
    ("2001:0:a9fe:a9fe::f7f7:f7f7", Metadata),
    ("2600::5efe:8.8.8.8", Embedded),
    ("2600::200:5efe:8.8.8.8", Embedded),
    ("fe80::5efe:127.0.0.1", Loopback),
];

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn neighbour(ip: IpAddr, step: i8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => IpAddr::V4(ip.to_bits().wrapping_add_signed(step.into()).into()),
        IpAddr::V6(ip) => IpAddr::V6(ip.to_bits().wrapping_add_signed(step.into()).into()),
    }
}

#[test]
fn every_block_ends_where_the_registry_ends_it() {
    for &(before, first, class, last, after) in BLOCKS {
        assert_eq!(classify(ip(first)), class, "{first}");
        assert_eq!(classify(ip(last)), class, "{last}");
        if let Some(before) = before {
            assert_eq!(classify(neighbour(ip(first), -1)), before, "before {first}");
        }
        if let Some(after) = after {
            assert_eq!(classify(neighbour(ip(last), 1)), after, "after {last}");
        }
    }
}

#[test]
fn an_address_inside_another_counts() {
    for &(address, class) in SINGLE {
        assert_eq!(classify(ip(address)), class, "{address}");
    }
}
