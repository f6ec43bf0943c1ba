//! Who answers on the link: every neighbour must be one of the task's own containers.
//!
//! Nobody needs a privilege to ask: a datagram to an address makes the kernel look for its owner by
//! ARP or neighbour discovery, and the kernel's neighbour table says who answered. An answer is
//! enough: a host that has an address here serves everything that listens on all addresses.
//!
//! A question that is out already is not asked again at once: the kernel repeats it once a second,
//! and after the third time gives up. So whoever began to answer since an earlier proof is heard only
//! at the next repetition, and [`Asked::answers`] waits for it.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::thread::sleep;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::expectation::Expectation;
use crate::reach::known_v4;
use crate::snapshot::{
    Address, Interface, Neighbour, Snapshot, is_link_local, neighbours, unanswered,
};

/// The discard port: whoever listens there wants nothing from us.
const DISCARD: u16 = 9;
/// Most addresses of one subnet that are asked for.
const MOST_OF_SUBNET: u32 = 256;
/// A little more than the kernel's pause between two questions (`retrans_time_ms`, 1,000 unless
/// somebody changed it in this namespace, which takes NET_ADMIN).
const REPETITION: Duration = Duration::from_millis(1_050);
/// How often what is waited for is asked for anew: a question that the kernel has given up is then
/// asked at once.
const NUDGE: Duration = Duration::from_millis(50);
/// Datagrams a socket holds while their neighbours are unresolved, well below `wmem_default`.
const PER_SOCKET: usize = 64;

/// Addresses that hosts have behind other bridges, and gateways that engines and hypervisors give.
const USUAL_HOSTS: [[u8; 4]; 14] = [
    [172, 17, 0, 1],
    [172, 18, 0, 1],
    [172, 19, 0, 1],
    [172, 20, 0, 1],
    [172, 21, 0, 1],
    [10, 88, 0, 1],
    [10, 89, 0, 1],
    [10, 0, 0, 1],
    [10, 0, 2, 2],
    [169, 254, 1, 2],
    [192, 168, 0, 1],
    [192, 168, 1, 1],
    [192, 168, 65, 254],
    [192, 168, 122, 1],
];

/// Questions that are out, and what is needed to judge the answers.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) subnet: BTreeSet<IpAddr>,
    pub(crate) hosts: BTreeSet<IpAddr>,
    pub(crate) hosts_refused: Option<io::Error>,
    pub(crate) all_nodes: AllNodes,
    /// What was out before we asked, so that our asking sent nothing.
    earlier: Vec<Earlier>,
    echo: Vec<(Interface, Socket)>,
    since: Instant,
}

/// Questions on one interface that somebody had asked before us.
#[derive(Debug)]
struct Earlier {
    link: Interface,
    subnet: BTreeSet<IpAddr>,
    hosts: BTreeSet<IpAddr>,
}

impl Earlier {
    fn nudge(&self) {
        // As in `ask`: what cannot be sent says that there is no such way.
        drop(send(&self.link, &self.subnet, Through::Routes));
        drop(send(&self.link, &self.hosts, Through::Interface));
    }
}

/// Whether all link-local neighbours could be asked at once (`ff02::1`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AllNodes {
    Asked,
    /// There is no IPv6 on the link, so nobody can be asked, by the agent either.
    NoIpv6,
    /// Our link-local address is still tentative, or ping sockets are forbidden; why.
    NotAsked(String),
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answers {
    pub(crate) neighbours: Vec<Neighbour>,
    /// Sources of echo replies to `ff02::1`.
    pub(crate) echoes: BTreeSet<Ipv6Addr>,
}

/// Sends every question; collects nothing yet, so that other rows use the wait.
///
/// # Errors
/// Those of the neighbour dump.
pub(crate) fn ask(expectation: &Expectation, snapshot: &Snapshot) -> io::Result<Asked> {
    let out = unanswered()?;
    let mut asked = Asked {
        subnet: BTreeSet::new(),
        hosts: BTreeSet::new(),
        hosts_refused: None,
        all_nodes: AllNodes::NoIpv6,
        earlier: Vec::new(),
        echo: Vec::new(),
        since: Instant::now(),
    };
    for link in snapshot.links() {
        let own: Vec<&Address> = snapshot
            .addresses
            .iter()
            .filter(|own| own.interface == link.index)
            .collect();
        let mut questions: BTreeSet<IpAddr> = own.iter().flat_map(|own| candidates(own)).collect();
        let reachable = |address: &IpAddr| own.iter().any(|own| own.covers(*address));
        questions.extend(expectation.peers.iter().copied().filter(reachable));
        questions.retain(|address| !snapshot.is_own(*address));
        // A refusal here means that there is no such way, which is what the row is to show.
        drop(send(link, &questions, Through::Routes));
        let mut earlier = Earlier {
            link: link.clone(),
            subnet: questions.intersection(&out).copied().collect(),
            hosts: BTreeSet::new(),
        };
        asked.subnet.extend(questions);

        if own.iter().any(|own| own.address.is_ipv4()) {
            let hosts = elsewhere(expectation, snapshot);
            if let Err(error) = send(link, &hosts, Through::Interface) {
                asked.hosts_refused = Some(error);
            }
            earlier.hosts = hosts.intersection(&out).copied().collect();
            asked.hosts.extend(hosts);
        }
        if !(earlier.subnet.is_empty() && earlier.hosts.is_empty()) {
            asked.earlier.push(earlier);
        }
        ask_all_nodes(link, &own, &mut asked);
    }
    asked.since = Instant::now();
    Ok(asked)
}

/// Addresses of other networks that nobody on this link may own.
fn elsewhere(expectation: &Expectation, snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let foreign = expectation
        .foreign
        .iter()
        .map(SocketAddr::ip)
        .filter(IpAddr::is_ipv4);
    let usual = USUAL_HOSTS
        .iter()
        .copied()
        .map(Ipv4Addr::from)
        .chain(known_v4())
        .map(IpAddr::V4);
    let all = foreign.chain(usual);
    all.filter(|ip| !snapshot.on_link(*ip) && !expectation.may_answer(*ip))
        .collect()
}

/// The addresses of one subnet that are asked for, at most [`MOST_OF_SUBNET`].
fn candidates(own: &Address) -> Vec<IpAddr> {
    match own.address {
        IpAddr::V4(v4) => candidates_v4(v4, own.prefix)
            .into_iter()
            .map(IpAddr::V4)
            .collect(),
        IpAddr::V6(v6) => {
            // No /64 can be walked. The router's anycast address, the low addresses that every
            // tool hands out first, and one that hypervisors like.
            let base = v6.to_bits() & !u128::from(u64::MAX);
            // Docker gives a gateway the first address of an `ip-range`, often the upper half.
            let upper = 1 << 63;
            let low = (0..=16).chain([0xff, 0xfffe, 0xffff, upper, upper | 1, upper | 2]);
            low.map(|low| Ipv6Addr::from(base | low).into()).collect()
        }
    }
}

fn candidates_v4(own: Ipv4Addr, prefix: u8) -> Vec<Ipv4Addr> {
    let host_bits = 32u32.saturating_sub(u32::from(prefix));
    let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
    let (first, last) = (own.to_bits() & mask, own.to_bits() | !mask);
    if last - first < MOST_OF_SUBNET {
        // In a /31 and /32 both ends are addresses; elsewhere they are network and broadcast.
        let trim = u32::from(last - first > 1);
        return (first + trim..=last - trim).map(Ipv4Addr::from).collect();
    }
    let near = own.to_bits() & !0xff;
    let ends = [first + 1, first + 2, last - 2, last - 1];
    ends.into_iter()
        .chain(near + 1..near + 255)
        .map(Ipv4Addr::from)
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Through {
    Routes,
    /// Past the routes: see [`crate::reach::rows`].
    Interface,
}

/// One empty datagram to each address. The error is the socket's own; an address that cannot be
/// sent to is not one.
fn send(link: &Interface, to: &BTreeSet<IpAddr>, through: Through) -> io::Result<()> {
    for domain in [Domain::IPV4, Domain::IPV6] {
        let of_family = |ip: &&IpAddr| ip.is_ipv4() == (domain == Domain::IPV4);
        let all: Vec<&IpAddr> = to.iter().filter(of_family).collect();
        for chunk in all.chunks(PER_SOCKET) {
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_nonblocking(true)?;
            if through == Through::Interface {
                socket.bind_device(Some(link.name.as_bytes()))?;
            }
            for ip in chunk {
                drop(socket.send_to(&[], &at(**ip, link, DISCARD).into()));
            }
        }
    }
    Ok(())
}

fn at(ip: IpAddr, link: &Interface, port: u16) -> SocketAddr {
    match ip {
        IpAddr::V6(v6) if is_link_local(ip) || v6.is_multicast() => {
            SocketAddrV6::new(v6, port, 0, link.index).into()
        }
        IpAddr::V4(_) | IpAddr::V6(_) => SocketAddr::new(ip, port),
    }
}

/// An ICMPv6 echo to all nodes, from each address that may already be used.
///
/// After a start the link-local one is still tentative for a second; then only neighbours that know
/// a way back to the other one answer, and the row says that it is not the whole proof.
fn ask_all_nodes(link: &Interface, own: &[&Address], asked: &mut Asked) {
    let sixes = own.iter().filter_map(|own| match own.address {
        IpAddr::V6(v6) => Some((v6, own.tentative)),
        IpAddr::V4(_) => None,
    });
    for (address, tentative) in sixes {
        let whole = is_link_local(address.into());
        let ended = match tentative {
            true => Err(
                "our own link-local address is still being checked for duplicates; \
                `verify` asks again"
                    .to_owned(),
            ),
            false => echo_all_nodes(link, address).map_err(|error| {
                format!("ping sockets do not open here ({error}), so neighbours stayed unasked")
            }),
        };
        match ended {
            Ok(socket) => {
                asked.echo.push((link.clone(), socket));
                if whole && asked.all_nodes == AllNodes::NoIpv6 {
                    asked.all_nodes = AllNodes::Asked;
                }
            }
            Err(why) if whole => asked.all_nodes = AllNodes::NotAsked(why),
            Err(_) => {}
        }
    }
}

fn echo_all_nodes(link: &Interface, from: Ipv6Addr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::ICMPV6))?;
    socket.set_nonblocking(true)?;
    socket.bind(&at(from.into(), link, 0).into())?;
    // Type 128; the kernel fills in checksum and identifier.
    let request = [128, 0, 0, 0, 0, 0, 0, 1, b'g', b'a', b't', b'e'];
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    socket.set_multicast_if_v6(link.index)?;
    socket.send_to(&request, &at(all_nodes.into(), link, 0).into())?;
    if is_link_local(from.into()) {
        // fe80::1 is what routers and hosts name themselves by hand.
        let first = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        drop(socket.send_to(&request, &at(first.into(), link, 0).into()));
    }
    Ok(socket)
}

impl Asked {
    /// Waits until `settle` after the proxy has answered (then everybody else has had the same
    /// chance), at most `longest` after the questions, and reads the answers. Questions that were out
    /// before ours get the kernel's next repetition as well, unless `just_proven` says that the earlier
    /// ones were the gate's own, a moment ago.
    ///
    /// # Errors
    /// Those of the neighbour dump.
    pub(crate) fn answers(
        &self,
        expectation: &Expectation,
        settle: Duration,
        longest: Duration,
        just_proven: bool,
    ) -> io::Result<Answers> {
        let repeated = if just_proven || self.earlier.is_empty() {
            self.since
        } else {
            self.since + REPETITION
        };
        while Instant::now() < repeated {
            self.earlier.iter().for_each(Earlier::nudge);
            sleep(NUDGE);
        }
        let end = repeated + longest;
        let mut echoes = BTreeSet::new();
        let mut proxy_since: Option<Instant> = None;
        loop {
            // Echoes first: who sent one is then in the table, by the question it asked to find us. The
            // other way round an own container's reply between the two looks like a stranger's.
            self.read_echoes(&mut echoes);
            let neighbours = neighbours()?;
            let now = Instant::now();
            let nameless = self.ask_who(&echoes, &neighbours);
            let proxy = expectation.proxy.map(|proxy| proxy.ip());
            if neighbours
                .iter()
                .any(|neighbour| Some(neighbour.address) == proxy)
            {
                proxy_since.get_or_insert(now);
            }
            // Seen only now, but perhaps there for long: twice the time since asking is as good.
            let settled = now >= repeated + settle * 2
                || proxy_since.is_some_and(|since| now >= since + settle);
            let settled = settled && proxy_since.is_some() && !nameless;
            if settled || now >= end || self.subnet.is_empty() {
                return Ok(Answers { neighbours, echoes });
            }
            sleep(Duration::from_millis(1));
        }
    }

    /// Asks for the hardware address of those whose echo came without a question of theirs: who had
    /// ours in its table needed none. True if there are any.
    fn ask_who(&self, echoes: &BTreeSet<Ipv6Addr>, neighbours: &[Neighbour]) -> bool {
        let is_known = |ip: &IpAddr| neighbours.iter().any(|neighbour| neighbour.address == *ip);
        let mut nameless: BTreeSet<IpAddr> = echoes.iter().copied().map(IpAddr::V6).collect();
        nameless.retain(|ip| !is_known(ip));
        for (link, _) in &self.echo {
            // What cannot be sent stays nameless, and counts against the fence.
            drop(send(link, &nameless, Through::Routes));
        }
        !nameless.is_empty()
    }

    fn read_echoes(&self, into: &mut BTreeSet<Ipv6Addr>) {
        for (_, socket) in &self.echo {
            let mut buffer = [MaybeUninit::uninit(); 64];
            for _ in 0..MOST_OF_SUBNET {
                let Ok((_, from)) = socket.recv_from(&mut buffer) else {
                    break;
                };
                into.extend(from.as_socket_ipv6().map(|from| *from.ip()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_subnet_is_asked_whole_and_a_large_one_in_part() {
        let own = Ipv4Addr::new(10, 213, 0, 2);
        let small = candidates_v4(own, 28);
        assert_eq!(small.len(), 14);
        assert_eq!(small.first(), Some(&Ipv4Addr::new(10, 213, 0, 1)));
        assert_eq!(small.last(), Some(&Ipv4Addr::new(10, 213, 0, 14)));
        assert_eq!(candidates_v4(own, 24).len(), 254);
        assert_eq!(candidates_v4(own, 31).len(), 2);
        assert_eq!(candidates_v4(own, 32), [own]);
        for prefix in [0, 8, 16, 23] {
            let large = candidates_v4(own, prefix);
            assert!(large.len() <= MOST_OF_SUBNET as usize + 2, "{prefix}");
            assert!(large.contains(&Ipv4Addr::new(10, 213, 0, 1)));
        }
        let docker = candidates_v4(Ipv4Addr::new(172, 17, 3, 4), 16);
        assert!(
            docker.contains(&Ipv4Addr::new(172, 17, 0, 1)),
            "the usual gateway"
        );
    }
}
