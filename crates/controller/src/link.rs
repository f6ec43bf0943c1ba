//! The fence's bridge as the engine's own host sees it: no address, and no ear for strangers.
//!
//! Read from `/proc`, which follows our network namespace; `/sys` follows a mount and can show
//! another's. A bridge that is not there is not a bridge without addresses: it is not known.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What can be seen of a bridge from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bridge {
    /// The engine's host is somewhere else.
    NotHere,
    /// It is here, with these addresses (as text); empty is right.
    Here(Vec<String>),
}

/// The name the engine gives the bridge of a network.
fn bridge_name(network_id: &str) -> String {
    format!("br-{}", network_id.chars().take(12).collect::<String>())
}

/// Is an interface in our network namespace?
#[must_use]
pub fn is_here(interface: &str) -> bool {
    let list = fs_err::read_to_string("/proc/self/net/dev").unwrap_or_default();
    list.lines().any(|line| {
        line.split(':')
            .next()
            .is_some_and(|name| name.trim() == interface)
    })
}

/// Looks at the bridge of a network.
#[must_use]
pub fn look(network_id: &str) -> Bridge {
    let bridge = bridge_name(network_id);
    if !is_here(&bridge) {
        return Bridge::NotHere;
    }
    let read = |name: &str| fs_err::read_to_string(name).unwrap_or_default();
    let mut found = v6_addresses(&read("/proc/self/net/if_inet6"), &bridge);
    found.extend(v4_routes(&read("/proc/self/net/route"), &bridge));
    Bridge::Here(found)
}

/// `if_inet6` has one line an address: hex digits, index, prefix, scope, flags, interface.
fn v6_addresses(text: &str, interface: &str) -> Vec<String> {
    let on = |line: &&str| line.split_whitespace().last() == Some(interface);
    let address = |line: &str| {
        let digits = line.split_whitespace().next()?;
        let bits = u128::from_str_radix(digits, 16).ok()?;
        Some(Ipv6Addr::from(bits).to_string())
    };
    text.lines().filter(on).filter_map(address).collect()
}

/// An IPv4 address brings a connected route with it.
fn v4_routes(text: &str, interface: &str) -> Vec<String> {
    let on = |line: &&str| line.split_whitespace().next() == Some(interface);
    let route = |line: &str| {
        let digits = line.split_whitespace().nth(1)?;
        let bits = u32::from_str_radix(digits, 16).ok()?.swap_bytes();
        Some(format!("a route to {}", Ipv4Addr::from(bits)))
    };
    text.lines().filter(on).filter_map(route).collect()
}

fn rp_filter(interface: &str) -> PathBuf {
    Path::new("/proc/sys/net/ipv4/conf")
        .join(interface)
        .join("rp_filter")
}

/// Makes the kernel drop what arrives on the bridge from an address it has no route to, where it
/// does not already: with `rp_filter` 0 an address-less bridge still takes datagrams for any other
/// address of the host (measured). The bridge is ours and goes with the network.
pub fn guard(network_id: &str) -> Result<()> {
    let bridge = bridge_name(network_id);
    if !is_here(&bridge) {
        // Somewhere else: the gate proves it from inside.
        return Ok(());
    }
    let value = |interface: &str| -> Option<u8> {
        fs_err::read_to_string(rp_filter(interface))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    // The kernel takes the larger of the two.
    if value("all").max(value(&bridge)).unwrap_or(0) > 0 {
        return Ok(());
    }
    fs_err::write(rp_filter(&bridge), "1").map_err(|e| {
        Error::Unfit(format!(
            "the host's kernel takes strangers' datagrams on the fence (rp_filter is 0) and this \
             user cannot change that: {e}; sysctl net.ipv4.conf.default.rp_filter=2 or \
             --fence socket helps"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_only_the_bridges_own_addresses() {
        let v6 = "fe80000000000000004266fffe4f0001 05 40 20 80 br-0123456789ab\n\
                  00000000000000000000000000000001 01 80 10 80 lo\n";
        assert_eq!(
            v6_addresses(v6, "br-0123456789ab"),
            ["fe80::42:66ff:fe4f:1"]
        );
        assert_eq!(v6_addresses(v6, "br-0123456789a"), [""; 0]);
        let v4 = "Iface\tDestination\tGateway\nbr-0123456789ab\t0000D50A\t00000000\t0001\n";
        assert_eq!(v4_routes(v4, "br-0123456789ab"), ["a route to 10.213.0.0"]);
        assert_eq!(v4_routes(v4, "eth0"), [""; 0]);
    }

    #[test]
    fn a_bridge_that_is_not_here_is_not_known_to_be_empty() {
        assert_eq!(look("ffffffffffffffff"), Bridge::NotHere);
        guard("ffffffffffffffff").unwrap();
    }
}
