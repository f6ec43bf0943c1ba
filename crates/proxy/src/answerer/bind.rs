//! The sockets of an answerer: one pair for each address, because the address that was asked is the
//! answer; and unix sockets, for a relay that has the address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, UdpSocket};
use tokio::time::{MissedTickBehavior, interval};

use super::reply::Own;
use super::{Answerer, Ration, streams, udp};
use crate::bind::{self, Access, Door, Doors, Others};
use crate::diagnostic;
use crate::listener::Listener;
use crate::raw_doors::Book;
use crate::settings::{Address, SideDoors};
use crate::surroundings::Machine;

/// How often what was not told is summed up.
const SUM_UP: Duration = Duration::from_secs(10);

/// What questions come to at one address, bound and not yet served.
#[derive(Debug)]
pub struct Counter {
    /// A unix socket has streams only.
    udp: Option<UdpSocket>,
    streams: Door,
    address: Address,
}

impl Counter {
    /// Where it really is.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The address that programs would connect to.
    #[must_use]
    pub fn ip(&self) -> Option<SocketAddr> {
        match self.address {
            Address::Tcp(address) => Some(address),
            Address::Unix(_) => None,
        }
    }
}

/// Binds what the settings name. Must be called inside the runtime.
///
/// # Errors
/// The address that cannot be bound, and what the system said.
pub fn open(
    side_doors: &SideDoors,
    machine: &Machine,
    doors: &mut Doors,
) -> Result<Vec<Counter>, (Address, io::Error)> {
    let mut counters = Vec::new();
    for address in &side_doors.dns {
        match address {
            Address::Tcp(address) => {
                for address in expand(*address, machine) {
                    let counter = counter(address);
                    counters.push(counter.map_err(|error| (Address::Tcp(address), error))?);
                }
            }
            Address::Unix(_) => {
                let streams = doors.open(address, Access::Everybody, None);
                counters.push(Counter {
                    udp: None,
                    streams: streams.map_err(|error| (address.clone(), error))?,
                    address: address.clone(),
                });
            }
        }
    }
    Ok(counters)
}

/// Serves them for `listener`.
pub(crate) fn serve(
    counters: Vec<Counter>,
    doors: &SideDoors,
    book: Option<&Arc<Book>>,
    machine: &Machine,
    listener: &Arc<Listener>,
) {
    if counters.is_empty() {
        return;
    }
    let ration = Arc::new(Ration::new(Instant::now()));
    let all: Vec<IpAddr> = counters
        .iter()
        .filter_map(|counter| Some(counter.ip()?.ip()))
        .collect();
    let tasks = &listener.shared.tasks;
    for counter in counters {
        let asked = counter.ip().map(|address| address.ip());
        let own = own(asked, &all, doors, machine);
        let answerer = Answerer::new(Arc::clone(listener), own, Arc::clone(&ration));
        let answerer = Arc::new(answerer.with_book(book.cloned()));
        if let Some(udp) = counter.udp {
            tasks.spawn("dns", udp::run(udp, Arc::clone(&answerer)));
        }
        tasks.spawn("dns", streams::run(counter.streams, answerer));
    }
    tasks.spawn("dns", sum_up(ration, Arc::clone(listener)));
}

/// Says now and then how many refusals were not told one by one, until the drain begins.
async fn sum_up(ration: Arc<Ration>, listener: Arc<Listener>) {
    let drain = listener.shared.tasks.drain().clone();
    let mut clock = interval(SUM_UP);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = drain.cancelled() => return,
            _ = clock.tick() => {}
        }
        let untold = ration.take_untold();
        if untold > 0 {
            diagnostic::note(format_args!(
                "listener {}: {untold} more refused questions to the DNS were counted and not logged one by one",
                listener.name
            ));
        }
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
fn own(asked: Option<IpAddr>, all: &[IpAddr], doors: &SideDoors, machine: &Machine) -> Own {
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
    let Some(asked) = asked else { return own };
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
    let (tcp, udp) = bind::pair(address)?;
    let address = Address::Tcp(tcp.local_addr()?);
    Ok(Counter {
        udp: Some(UdpSocket::from_std(udp)?),
        streams: Door::Tcp(TcpListener::from_std(tcp)?, Others::Nobody),
        address,
    })
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
            let own = own(asked.parse().ok(), &ips(all), &doors, &machine());
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
        assert_eq!(own("unix", &[], &["127.128.0.1"]), said);
    }
}
