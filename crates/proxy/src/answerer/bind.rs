//! The sockets of an answerer: one pair for each address, because the address that was asked is the
//! answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use super::reply::Own;
use super::{Answerer, Ration, tcp, udp};
use crate::bind;
use crate::listener::Listener;
use crate::settings::SideDoors;
use crate::surroundings::Machine;

/// How often another port is tried where any is wanted, and UDP's is taken in TCP.
const TRIES: usize = 16;

/// The two sockets of one address, bound and not yet served.
#[derive(Debug)]
pub struct Counter {
    udp: UdpSocket,
    tcp: TcpListener,
    address: SocketAddr,
}

impl Counter {
    /// Where it really is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Binds what the settings name. Must be called inside the runtime.
///
/// # Errors
/// The address that cannot be bound, and what the system said.
pub fn open(doors: &SideDoors, machine: &Machine) -> Result<Vec<Counter>, (SocketAddr, io::Error)> {
    let mut counters = Vec::new();
    for address in doors
        .dns
        .iter()
        .flat_map(|address| expand(*address, machine))
    {
        let counter = counter(address).map_err(|error| (address, error))?;
        counters.push(counter);
    }
    Ok(counters)
}

/// Serves them for `listener`.
pub(crate) fn serve(
    counters: Vec<Counter>,
    doors: &SideDoors,
    machine: &Machine,
    listener: &Arc<Listener>,
) {
    let ration = Arc::new(Ration::new(Instant::now()));
    let all: Vec<IpAddr> = counters
        .iter()
        .map(|counter| counter.address.ip())
        .collect();
    for counter in counters {
        let own = own(counter.address.ip(), &all, doors, machine);
        let answerer = Answerer::new(Arc::clone(listener), own, Arc::clone(&ration));
        let answerer = Arc::new(answerer);
        let tasks = &listener.shared.tasks;
        tasks.spawn("dns", udp::run(counter.udp, Arc::clone(&answerer)));
        tasks.spawn("dns", tcp::run(counter.tcp, answerer));
    }
}

/// An unspecified address stands for those of all interfaces. Link-local ones need a zone, which no
/// answer can say.
fn expand(address: SocketAddr, machine: &Machine) -> Vec<SocketAddr> {
    if !address.ip().is_unspecified() {
        return vec![address];
    }
    let same_family = |ip: &IpAddr| ip.is_ipv4() == address.is_ipv4();
    let has_zone = |ip: &IpAddr| matches!(ip, IpAddr::V6(six) if six.is_unicast_link_local());
    let own = machine.own().into_iter();
    let usable = own.filter(|ip| same_family(ip) && !has_zone(ip));
    usable
        .map(|ip| SocketAddr::new(ip, address.port()))
        .collect()
}

/// What permitted names are given at `asked`: what the settings say, or that address itself and, in
/// the other family, the one of `all` on the same interface.
fn own(asked: IpAddr, all: &[IpAddr], doors: &SideDoors, machine: &Machine) -> Own {
    let mut own = Own::default();
    if !doors.dns_addresses.is_empty() {
        for address in &doors.dns_addresses {
            match *address {
                IpAddr::V4(four) => own.v4 = Some(four),
                IpAddr::V6(six) => own.v6 = Some(six),
            }
        }
        return own;
    }
    let interface = |ip: IpAddr| {
        let known = machine.addresses.iter().find(|entry| entry.address == ip);
        known.map(|entry| entry.interface.as_str())
    };
    let beside = |ip: &&IpAddr| interface(**ip) == interface(asked);
    let other = |is_meant: fn(&IpAddr) -> bool| {
        let found = all.iter().filter(|ip| is_meant(ip)).find(beside);
        found.copied()
    };
    for ip in [Some(asked), other(IpAddr::is_ipv4), other(IpAddr::is_ipv6)] {
        match ip {
            Some(IpAddr::V4(four)) => own.v4 = own.v4.or(Some(four)),
            Some(IpAddr::V6(six)) => own.v6 = own.v6.or(Some(six)),
            None => {}
        }
    }
    own
}

fn counter(address: SocketAddr) -> io::Result<Counter> {
    let mut tries = TRIES;
    loop {
        let tcp = TcpListener::from_std(bind::tcp(address, None)?)?;
        let bound = tcp.local_addr()?;
        match datagrams(bound) {
            Ok(udp) => {
                return Ok(Counter {
                    udp,
                    tcp,
                    address: bound,
                });
            }
            Err(error)
                if address.port() == 0 && tries > 0 && error.kind() == io::ErrorKind::AddrInUse =>
            {
                tries -= 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surroundings::InterfaceAddress;

    fn machine() -> Machine {
        let entries = [
            ("lo", "127.0.0.1"),
            ("eth0", "10.0.0.1"),
            ("eth0", "fd00::1"),
            ("eth0", "fe80::1"),
            ("eth1", "192.168.7.2"),
        ];
        let addresses = entries.map(|(interface, address)| InterfaceAddress {
            interface: interface.to_owned(),
            address: address.parse().unwrap(),
        });
        Machine {
            addresses: addresses.into(),
            ..Machine::default()
        }
    }

    fn ips(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn an_unspecified_address_is_every_one_that_an_answer_can_say() {
        let expand = |text: &str| {
            let addresses = expand(text.parse().unwrap(), &machine());
            addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            expand("0.0.0.0:53"),
            ["127.0.0.1:53", "10.0.0.1:53", "192.168.7.2:53"]
        );
        assert_eq!(expand("[::]:53"), ["[fd00::1]:53"]);
        assert_eq!(expand("10.9.9.9:53"), ["10.9.9.9:53"]);
    }

    #[test]
    fn the_answer_is_the_address_that_was_asked_and_its_neighbour() {
        let own = |asked: &str, all: &[&str], said: &[&str]| {
            let doors = SideDoors {
                dns_addresses: ips(said),
                ..SideDoors::default()
            };
            let own = own(asked.parse().unwrap(), &ips(all), &doors, &machine());
            let text = |ip: Option<IpAddr>| ip.map(|ip| ip.to_string()).unwrap_or_default();
            (
                text(own.v4.map(IpAddr::from)),
                text(own.v6.map(IpAddr::from)),
            )
        };
        let both = ("10.0.0.1".to_owned(), "fd00::1".to_owned());
        let all = ["192.168.7.2", "10.0.0.1", "fd00::1"];
        assert_eq!(own("10.0.0.1", &all, &[]), both);
        assert_eq!(own("fd00::1", &all, &[]), both);
        let egress = ("192.168.7.2".to_owned(), String::new());
        assert_eq!(own("192.168.7.2", &all, &[]), egress);
        let fence = ("10.0.0.1".to_owned(), String::new());
        assert_eq!(own("10.0.0.1", &["10.0.0.1"], &[]), fence);
        let said = ("127.128.0.1".to_owned(), String::new());
        assert_eq!(own("10.0.0.1", &all, &["127.128.0.1"]), said);
    }
}
