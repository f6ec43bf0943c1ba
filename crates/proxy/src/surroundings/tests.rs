use super::*;

const ROUTE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
    eth1\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
    eth0\t0000D50A\t00000000\t0001\t0\t0\t0\tF0FFFFFF\t0\t0\t0\n";

const IPV6_ROUTE: &str = "\
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000001 00000000 00000003     eth1
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
";

fn machine(interfaces: &[(&str, &str)]) -> Machine {
    let address = |(interface, address): &(&str, &str)| InterfaceAddress {
        interface: (*interface).to_owned(),
        address: address.parse().unwrap(),
    };
    Machine {
        addresses: interfaces.iter().map(address).collect(),
        default_routes: ipv4_default_routes(ROUTE),
    }
}

#[test]
fn finds_the_default_routes_of_both_families() {
    let expected = |gateway: &str| DefaultRoute {
        interface: "eth1".to_owned(),
        gateway: Some(gateway.parse().unwrap()),
    };
    assert_eq!(ipv4_default_routes(ROUTE), [expected("172.17.0.1")]);
    assert_eq!(ipv6_default_routes(IPV6_ROUTE), [expected("fd00::1")]);
    assert_eq!(ipv4_default_routes("nonsense\n\u{0}\n"), []);
    assert_eq!(ipv6_default_routes("nonsense 00"), []);
}

#[test]
fn takes_the_admin_addresses_from_the_interface_of_the_default_route_only() {
    let machine = machine(&[
        ("lo", "127.0.0.1"),
        ("eth0", "10.213.0.1"),
        ("eth1", "172.17.0.5"),
        ("eth1", "fe80::1"),
    ]);
    let (interface, addresses) = machine.egress().unwrap();
    assert_eq!(interface, "eth1");
    assert_eq!(addresses, ["172.17.0.5".parse::<IpAddr>().unwrap()]);
}

#[test]
fn says_which_sysctl_stops_forwarding_between_two_interfaces() {
    let two = machine(&[
        ("lo", "127.0.0.1"),
        ("eth0", "10.213.0.1"),
        ("eth1", "172.17.0.5"),
    ]);
    let one = machine(&[
        ("lo", "127.0.0.1"),
        ("eth1", "172.17.0.5"),
        ("eth1", "fe80::1"),
    ]);
    let on = |_: &str| Some("1\n".to_owned());
    let off = |_: &str| Some("0\n".to_owned());
    let said = two.forwards(on).unwrap();
    assert!(
        said.contains("net.ipv4.ip_forward=0 and net.ipv6.conf.all.forwarding=0"),
        "{said}"
    );
    assert_eq!(two.forwards(off), None);
    assert_eq!(one.forwards(on), None);
    assert_eq!(
        two.forwards(|_| None),
        None,
        "no such sysctl: the family is not there"
    );
}
