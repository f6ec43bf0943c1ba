//! The shape of the namespace: pure judgements over one [`Snapshot`].

use std::net::IpAddr;

use crate::expectation::{Expectation, Fence};
use crate::report::Finding;
use crate::snapshot::{Address, Route, Snapshot, in_prefix, is_link_local};

/// Only the interfaces that the fence promises are up.
pub(crate) fn interfaces(expectation: &Expectation, snapshot: &Snapshot) -> Finding {
    let names: Vec<&str> = snapshot.links().map(|link| link.name.as_str()).collect();
    let list = names.join(", ");
    match (expectation.fence, names.len()) {
        (Fence::Open, _) => Finding::skipped(OPEN),
        (Fence::Network, 1) => Finding::sealed(format!("lo and {list}")),
        (Fence::Network, 0) => Finding::broken(
            "only lo is up: the network has not been attached, or it was taken away",
        ),
        (Fence::Network, count) => Finding::leak(format!(
            "{count} interfaces besides lo are up ({list}): the container stands in a second network; \
             something attached it with `network connect`, or a compose file names two networks"
        )),
        (Fence::Socket | Fence::None, 0) => Finding::sealed("lo only"),
        (Fence::Socket | Fence::None, _) => Finding::leak(format!(
            "{list} is up where only lo may be: the container has a network of its own instead of \
             `none` or the relay's namespace"
        )),
    }
}

/// Why rows about the network do not apply.
pub(crate) const OPEN: &str = "the task asked for an open network";

/// Every own address belongs to the subnets of the plan.
pub(crate) fn addresses(expectation: &Expectation, snapshot: &Snapshot) -> Finding {
    if expectation.fence == Fence::Open {
        return Finding::skipped(OPEN);
    }
    let mut seen = Vec::new();
    for (link, own) in snapshot.link_addresses() {
        if expectation.fence.loopback_only() || !is_planned(expectation, own) {
            return Finding::leak(format!(
                "{} has {}/{}, which is in no subnet of this task: the network is not the one that \
                 was planned, or it was made without its address pool",
                link.name, own.address, own.prefix
            ));
        }
        seen.push(own.address.to_string());
    }
    if seen.is_empty() {
        return Finding::sealed("loopback addresses only");
    }
    Finding::sealed(seen.join(", "))
}

/// A link-local IPv6 address, or one whose subnet also holds an address that we were told of.
fn is_planned(expectation: &Expectation, own: &Address) -> bool {
    if own.address.is_ipv6() && is_link_local(own.address) {
        return true;
    }
    let proxy = expectation.proxy.map(|proxy| proxy.ip());
    let subnet_is_narrow = own.prefix >= if own.address.is_ipv4() { 16 } else { 48 };
    subnet_is_narrow
        && expectation
            .peers
            .iter()
            .copied()
            .chain(proxy)
            .any(|peer| own.covers(peer))
}

/// No route leads past the link, in any table.
pub(crate) fn routes(expectation: &Expectation, snapshot: &Snapshot) -> Finding {
    if expectation.fence == Fence::Open {
        return Finding::skipped(OPEN);
    }
    for route in &snapshot.routes {
        if let Some(detail) = route_leak(expectation.fence, snapshot, route) {
            return Finding::leak(detail);
        }
    }
    let what = match snapshot.links().count() {
        0 => "no route leaves this namespace",
        _ => "only the link's own subnets",
    };
    Finding::sealed(what)
}

fn route_leak(fence: Fence, snapshot: &Snapshot, route: &Route) -> Option<String> {
    let device = route.interface.and_then(|index| snapshot.interface(index));
    if !route.past_link && device.is_some_and(|device| device.loopback) {
        return None;
    }
    let name = device.map_or("an unnamed interface", |device| device.name.as_str());
    let to = match route.prefix {
        0 => "a default route".to_owned(),
        prefix => format!("a route to {}/{prefix}", route.to),
    };
    if route.past_link {
        let via = route
            .gateway
            .map_or("a next hop".to_owned(), |gateway| gateway.to_string());
        return Some(format!(
            "{to} leads through {via} on {name}: the network was made without `internal`, or with a \
             gateway"
        ));
    }
    if fence.loopback_only() {
        return Some(format!(
            "{to} leaves through {name}, where only loopback may be"
        ));
    }
    let own_subnet = snapshot
        .link_addresses()
        .any(|(_, own)| own.prefix <= route.prefix && own.covers(route.to));
    // A route may be narrower than our subnet, never wider; fe80::/64 and ff00::/8 stay on the link.
    let stays = own_subnet || on_link_by_nature(route.to, route.prefix);
    (!stays).then(|| {
        format!("{to} on {name} reaches past the subnets of this task: somebody added it by hand")
    })
}

fn on_link_by_nature(to: IpAddr, prefix: u8) -> bool {
    let link_local = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0]);
    let multicast = IpAddr::from([0xff00, 0, 0, 0, 0, 0, 0, 0]);
    (prefix >= 10 && in_prefix(link_local, 10, to)) || (prefix >= 8 && in_prefix(multicast, 8, to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;
    use crate::snapshot::Interface;

    fn interface(index: u32, name: &str) -> Interface {
        Interface {
            index,
            name: name.into(),
            up: true,
            loopback: name == "lo",
        }
    }

    fn own(interface: u32, text: &str) -> Address {
        let (address, prefix) = text.split_once('/').unwrap();
        Address {
            interface,
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
            tentative: false,
        }
    }

    fn to(text: &str, interface: u32) -> Route {
        let (to, prefix) = text.split_once('/').unwrap();
        Route {
            to: to.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
            interface: Some(interface),
            past_link: false,
            gateway: None,
        }
    }

    fn through(text: &str, gateway: &str) -> Route {
        Route {
            past_link: true,
            gateway: Some(gateway.parse().unwrap()),
            ..to(text, 2)
        }
    }

    fn fenced() -> Snapshot {
        Snapshot {
            interfaces: vec![interface(1, "lo"), interface(2, "eth0")],
            addresses: vec![
                own(1, "127.0.0.1/8"),
                own(2, "10.213.0.2/28"),
                own(2, "fd00:1::2/64"),
                own(2, "fe80::2/64"),
            ],
            routes: vec![
                to("10.213.0.0/28", 2),
                to("fd00:1::/64", 2),
                to("fe80::/64", 2),
            ],
        }
    }

    fn loopback() -> Snapshot {
        Snapshot {
            interfaces: vec![interface(1, "lo")],
            addresses: vec![own(1, "127.0.0.1/8"), own(1, "::1/128")],
            routes: vec![to("::1/128", 1)],
        }
    }

    fn network() -> Expectation {
        Expectation {
            proxy: Some("10.213.0.1:8888".parse().unwrap()),
            peers: vec!["10.213.0.2".parse().unwrap(), "fd00:1::1".parse().unwrap()],
            ..Expectation::new(Fence::Network)
        }
    }

    #[test]
    fn the_planned_shapes_are_sealed() {
        for (expectation, snapshot) in [
            (network(), fenced()),
            (Expectation::new(Fence::None), loopback()),
            (Expectation::new(Fence::Socket), loopback()),
        ] {
            for judge in [interfaces, addresses, routes] {
                let finding = judge(&expectation, &snapshot);
                assert_eq!(finding.outcome, Outcome::Sealed, "{finding:?}");
            }
        }
    }

    #[test]
    fn an_open_network_is_not_judged() {
        for judge in [interfaces, addresses, routes] {
            let finding = judge(&Expectation::new(Fence::Open), &fenced());
            assert_eq!(finding.outcome, Outcome::Skipped);
        }
    }

    #[test]
    fn every_route_past_the_link_is_a_leak() {
        for bad in [
            through("0.0.0.0/0", "10.213.0.14"),
            through("::/0", "fe80::1"),
            through("10.0.0.0/8", "10.213.0.14"),
            to("0.0.0.0/0", 2),
            to("0.0.0.0/1", 2),
            to("169.254.169.254/32", 2),
            to("10.213.0.0/24", 2),
            to("::/0", 2),
            Route {
                interface: None,
                ..through("0.0.0.0/0", "10.213.0.14")
            },
        ] {
            let mut snapshot = fenced();
            snapshot.routes.push(bad.clone());
            let finding = routes(&network(), &snapshot);
            assert_eq!(finding.outcome, Outcome::Leak, "{bad:?}");
        }
    }

    #[test]
    fn a_leak_by_route_names_the_gateway() {
        let mut snapshot = fenced();
        snapshot.routes.push(through("0.0.0.0/0", "10.213.0.14"));
        let detail = routes(&network(), &snapshot).detail;
        assert!(
            detail.contains("default route") && detail.contains("10.213.0.14"),
            "{detail}"
        );
    }

    #[test]
    fn routes_inside_the_subnet_and_multicast_stay_on_the_link() {
        let mut snapshot = fenced();
        snapshot.routes.extend([
            to("10.213.0.1/32", 2),
            to("ff00::/8", 2),
            to("fd00:1::1/128", 2),
        ]);
        assert_eq!(routes(&network(), &snapshot).outcome, Outcome::Sealed);
    }

    #[test]
    fn a_second_interface_is_a_leak_and_one_that_is_down_is_not() {
        let mut snapshot = fenced();
        snapshot.interfaces.push(Interface {
            up: false,
            ..interface(3, "tunl0")
        });
        assert_eq!(interfaces(&network(), &snapshot).outcome, Outcome::Sealed);
        snapshot.interfaces.push(interface(4, "eth1"));
        let finding = interfaces(&network(), &snapshot);
        assert_eq!(finding.outcome, Outcome::Leak);
        assert!(finding.detail.contains("eth1"));
        assert_eq!(interfaces(&network(), &loopback()).outcome, Outcome::Broken);
        assert_eq!(
            interfaces(&Expectation::new(Fence::None), &fenced()).outcome,
            Outcome::Leak
        );
    }

    #[test]
    fn an_address_outside_the_plan_is_a_leak() {
        for bad in ["172.17.0.5/16", "2001:db8::5/64", "10.213.0.2/8"] {
            let mut snapshot = fenced();
            snapshot.addresses.push(own(2, bad));
            assert_eq!(
                addresses(&network(), &snapshot).outcome,
                Outcome::Leak,
                "{bad}"
            );
        }
        assert_eq!(
            addresses(&Expectation::new(Fence::None), &fenced()).outcome,
            Outcome::Leak
        );
    }
}
