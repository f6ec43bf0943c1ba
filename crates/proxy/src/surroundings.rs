//! The machine around the proxy: its interfaces, its default route, whether it forwards packets.
//!
//! Read from `/proc` and getifaddrs; the parsing is pure and tested on captured text.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One address of one interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfaceAddress {
    /// The interface's name.
    pub interface: String,
    /// One of its addresses.
    pub address: IpAddr,
}

/// A default route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultRoute {
    /// The interface it leaves by.
    pub interface: String,
    /// Its gateway, if it has one.
    pub gateway: Option<IpAddr>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// All addresses of all interfaces.
    pub addresses: Vec<InterfaceAddress>,
    /// The default routes, IPv4 first.
    pub default_routes: Vec<DefaultRoute>,
}

impl Machine {
    /// Looks now.
    ///
    /// # Errors
    /// When the interfaces cannot be listed; without them the proxy could be sent to itself.
    pub fn look() -> io::Result<Self> {
        let mut addresses = Vec::new();
        for entry in nix::ifaddrs::getifaddrs().map_err(io::Error::from)? {
            let Some(storage) = entry.address else {
                continue;
            };
            let address = if let Some(four) = storage.as_sockaddr_in() {
                IpAddr::V4(four.ip())
            } else if let Some(six) = storage.as_sockaddr_in6() {
                IpAddr::V6(six.ip())
            } else {
                continue;
            };
            addresses.push(InterfaceAddress {
                interface: entry.interface_name,
                address,
            });
        }
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut default_routes = ipv4_default_routes(&read("/proc/net/route"));
        default_routes.extend(ipv6_default_routes(&read("/proc/net/ipv6_route")));
        Ok(Self {
            addresses,
            default_routes,
        })
    }

    /// All own addresses.
    #[must_use]
    pub fn own(&self) -> Vec<IpAddr> {
        self.addresses.iter().map(|entry| entry.address).collect()
    }

    /// The gateways: the machine that carries this container, as far as one can tell from inside.
    #[must_use]
    pub fn gateways(&self) -> Vec<IpAddr> {
        self.default_routes
            .iter()
            .filter_map(|route| route.gateway)
            .collect()
    }

    /// The interface of the default route, and its addresses that an admin client could use:
    /// link-local ones need a zone and are left out.
    #[must_use]
    pub fn egress(&self) -> Option<(&str, Vec<IpAddr>)> {
        let interface = self.default_routes.first()?.interface.as_str();
        let addresses = self
            .addresses
            .iter()
            .filter(|entry| entry.interface == interface);
        let usable = addresses
            .map(|entry| entry.address)
            .filter(|address| match address {
                IpAddr::V4(_) => true,
                IpAddr::V6(six) => !six.is_unicast_link_local(),
            });
        Some((interface, usable.collect()))
    }

    /// Interfaces that carry an address and are not loopback.
    #[must_use]
    pub fn interfaces(&self) -> BTreeSet<&str> {
        let outward = self
            .addresses
            .iter()
            .filter(|entry| !entry.address.is_loopback());
        outward.map(|entry| entry.interface.as_str()).collect()
    }

    /// Why this machine would route packets past the proxy, with the setting that stops it; `None`
    /// when it would not. `read` gives the value below `/proc/sys/net`.
    #[must_use]
    pub fn forwards(&self, read: impl Fn(&str) -> Option<String>) -> Option<String> {
        if self.interfaces().len() < 2 {
            return None;
        }
        let on = |path: &str| read(path).is_some_and(|value| value.trim() != "0");
        let mut settings = Vec::new();
        if on("ipv4/ip_forward") {
            settings.push("net.ipv4.ip_forward=0");
        }
        if on("ipv6/conf/all/forwarding") {
            settings.push("net.ipv6.conf.all.forwarding=0");
        }
        if settings.is_empty() {
            return None;
        }
        let interfaces: Vec<&str> = self.interfaces().into_iter().collect();
        Some(format!(
            "this container has {} interfaces ({}) and forwards packets between them, past the \
             proxy: start it with the sysctl {}",
            interfaces.len(),
            interfaces.join(", "),
            settings.join(" and ")
        ))
    }
}

/// Reads one value below `/proc/sys/net`.
#[must_use]
pub fn sysctl(path: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/sys/net/{path}")).ok()
}

/// `/proc/net/route`: interface, destination and gateway, printed as the machine's own numbers.
fn ipv4_default_routes(text: &str) -> Vec<DefaultRoute> {
    let mut routes = Vec::new();
    for line in text.lines().skip(1) {
        let mut words = line.split_ascii_whitespace();
        let (Some(interface), Some("00000000"), Some(gateway)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        // Flags, reference count, use, metric; then the mask, which must be empty as well.
        if words.nth(4) != Some("00000000") {
            continue;
        }
        let gateway = u32::from_str_radix(gateway, 16)
            .ok()
            .filter(|gateway| *gateway != 0)
            .map(|gateway| IpAddr::V4(Ipv4Addr::from(gateway.to_ne_bytes())));
        routes.push(DefaultRoute {
            interface: interface.to_owned(),
            gateway,
        });
    }
    routes
}

/// `/proc/net/ipv6_route`: destination, its length, source, its length, gateway, …, interface.
fn ipv6_default_routes(text: &str) -> Vec<DefaultRoute> {
    let mut routes = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [destination, "00", _, _, gateway, .., interface] = words.as_slice() else {
            continue;
        };
        // The kernel keeps an unreachable default route on `lo` in every namespace.
        if *interface == "lo" || destination.bytes().any(|byte| byte != b'0') {
            continue;
        }
        let gateway = u128::from_str_radix(gateway, 16)
            .ok()
            .filter(|gateway| *gateway != 0)
            .map(|gateway| IpAddr::V6(Ipv6Addr::from(gateway)));
        routes.push(DefaultRoute {
            interface: (*interface).to_owned(),
            gateway,
        });
    }
    routes
}

#[cfg(test)]
mod tests;
