//! Names: nameservers that must not answer for the world, and the engines' names for their host.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use socket2::Protocol;

use crate::attempt::{End, Knock, Lies, fold, judge, knock};
use crate::datagram::{PUBLIC, exchange};
use crate::dns::{Answer, Question};
use crate::expectation::{Expectation, Fence};
use crate::reach;
use crate::report::{Finding, Outcome};
use crate::shape::OPEN;
use crate::snapshot::Snapshot;

/// A name that every resolver of the world knows.
const PUBLIC_NAME: &str = "example.com";
/// What engines call the machine that they run on.
pub(crate) const HOST_NAMES: [&str; 4] = [
    "host.docker.internal",
    "gateway.docker.internal",
    "host.containers.internal",
    "host.lima.internal",
];
/// Where a host most likely listens.
const HOST_PORTS: [u16; 4] = [22, 80, 443, 2375];
/// The engines' resolver inside of a container.
const EMBEDDED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
/// Nameservers, and bytes of a file, that are read at most.
const MOST_NAMESERVERS: usize = 4;
const LONGEST_FILE: usize = 64 * 1024;

/// Whether the proof asks nameservers for this name.
#[must_use]
pub fn proof_asks_for(name: &str) -> bool {
    name == PUBLIC_NAME || HOST_NAMES.contains(&name)
}

/// The nameservers that the container would ask, and the engine's own in any case.
pub(crate) fn nameservers(root: &Path) -> BTreeSet<IpAddr> {
    let text = read(root, "etc/resolv.conf");
    let named = text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some("nameserver"))
            .then(|| words.next())??
            .parse()
            .ok()
    });
    named.take(MOST_NAMESERVERS).chain([EMBEDDED]).collect()
}

/// The addresses that `/etc/hosts` gives one of the names.
fn in_hosts(root: &Path, name: &str) -> Vec<IpAddr> {
    let text = read(root, "etc/hosts");
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(address)
    });
    lines.take(8).collect()
}

fn read(root: &Path, path: &str) -> String {
    let mut bytes = fs::read(root.join(path)).unwrap_or_default();
    bytes.truncate(LONGEST_FILE);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// No nameserver in reach may look up a public name for the task: a name is data, too.
pub(crate) fn must_not_resolve(
    expectation: &Expectation,
    snapshot: &Snapshot,
    servers: &BTreeSet<IpAddr>,
    window: Duration,
) -> Finding {
    if expectation.fence == Fence::Open {
        return Finding::skipped(OPEN);
    }
    let ask_one = |server: &IpAddr| {
        let question = Question::new(PUBLIC_NAME);
        let to = SocketAddr::new(*server, 53);
        let is_answer = |reply: &[u8]| question.read(reply).is_some();
        let done = exchange(to, Protocol::UDP, question.bytes(), window, is_answer);
        let answer = done.reply.as_deref().and_then(|reply| question.read(reply));
        let ours = server.is_loopback() || expectation.may_answer(*server);
        let (outcome, detail) = match answer {
            Some(answer) => judge_answer(&answer, |ip| is_the_proxys(expectation, ip)),
            None if ours => (Outcome::Sealed, silence_of_ours(done.attempt.end)),
            None => judge(done.attempt, lies(snapshot, *server)),
        };
        (server.to_string(), outcome, detail)
    };
    let advice = "names leave this container, and with them whatever is written into them; the \
         engine forwards for its embedded resolver (CVE-2024-29018), or the container was given a \
         nameserver other than the proxy";
    // The servers are asked at the same time: each may be silent for the whole window.
    let tried: Vec<_> = std::thread::scope(|scope| {
        let asking: Vec<_> = servers
            .iter()
            .map(|server| scope.spawn(move || ask_one(server)))
            .collect();
        asking
            .into_iter()
            .filter_map(|one| one.join().ok())
            .collect()
    });
    if tried.len() < servers.len() {
        return Finding::broken("a question to a nameserver could not be asked");
    }
    fold(&tried, advice)
}

fn silence_of_ours(end: End) -> String {
    match end {
        End::Silence => "does not answer".to_owned(),
        End::Connected | End::Failed(_) => "nothing listens there".to_owned(),
    }
}

fn lies(snapshot: &Snapshot, server: IpAddr) -> Lies {
    if snapshot.on_link(server) {
        Lies::OnLink
    } else {
        Lies::Elsewhere
    }
}

/// The proxy's own address; behind a relay, names may have doors of their own on its loopback.
fn is_the_proxys(expectation: &Expectation, ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    let doors = expectation.fence == Fence::Socket && (first, second) == (127, 128);
    doors || expectation.proxy.map(|proxy| proxy.ip()) == Some(IpAddr::V4(ip))
}

/// The proxy's own resolver answers allowed names with the proxy's own address, and no others.
fn judge_answer(answer: &Answer, is_own: impl Fn(Ipv4Addr) -> bool) -> (Outcome, String) {
    let foreign = answer.addresses.iter().find(|ip| !is_own(**ip));
    match (answer.code, foreign, answer.records) {
        (0, Some(ip), _) => (Outcome::Leak, format!("says that {PUBLIC_NAME} is {ip}")),
        (0, None, 0) => (Outcome::Sealed, "knows no address".to_owned()),
        (0, None, _) if answer.addresses.is_empty() => (
            Outcome::Leak,
            format!("knows {PUBLIC_NAME}, without an address"),
        ),
        (0, None, _) => (
            Outcome::Sealed,
            "answers with the proxy's own address".to_owned(),
        ),
        (2, ..) => (Outcome::Sealed, "SERVFAIL".to_owned()),
        (3, ..) => (Outcome::Sealed, "NXDOMAIN".to_owned()),
        (5, ..) => (Outcome::Sealed, "REFUSED".to_owned()),
        (code, ..) => (Outcome::Sealed, format!("refuses with code {code}")),
    }
}

/// Public resolvers, over UDP and TCP.
pub(crate) fn public_dns(
    expectation: &Expectation,
    snapshot: &Snapshot,
    window: Duration,
) -> Finding {
    if expectation.fence == Fence::Open {
        return Finding::skipped(OPEN);
    }
    let over_udp = must_not_resolve(expectation, snapshot, &PUBLIC.into(), window);
    if over_udp.outcome != Outcome::Sealed {
        return over_udp;
    }
    let knocks = PUBLIC.map(|ip| Knock::at(SocketAddr::new(ip, 53)));
    let tried: Vec<_> = knocks
        .iter()
        .zip(knock(&knocks, window))
        .map(|(knock, attempt)| {
            let (outcome, detail) = judge(attempt, Lies::Elsewhere);
            (format!("{} over TCP", knock.to), outcome, detail)
        })
        .collect();
    fold(&tried, "a public resolver is in reach")
}

/// The engines' names for their host lead nowhere.
pub(crate) fn host_names(
    expectation: &Expectation,
    snapshot: &Snapshot,
    root: &Path,
    window: Duration,
) -> Finding {
    if expectation.fence == Fence::Open {
        return Finding::skipped(OPEN);
    }
    let mut found: BTreeSet<IpAddr> = BTreeSet::new();
    for name in HOST_NAMES {
        found.extend(in_hosts(root, name));
    }
    found.extend(ask_for_host_names(&nameservers(root), window));
    found.retain(|ip| !snapshot.is_own(*ip) && !ip.is_loopback() && !expectation.may_answer(*ip));
    if found.is_empty() {
        return Finding::sealed("neither /etc/hosts nor a nameserver knows them");
    }
    let addresses: Vec<SocketAddr> = found
        .iter()
        .take(8)
        .flat_map(|ip| HOST_PORTS.map(|port| SocketAddr::new(*ip, port)))
        .collect();
    let finding = reach::named(snapshot, &addresses, window);
    let list: Vec<String> = found.iter().map(IpAddr::to_string).collect();
    Finding {
        detail: format!("known as {}; {}", list.join(", "), finding.detail),
        ..finding
    }
}

fn ask_for_host_names(servers: &BTreeSet<IpAddr>, window: Duration) -> Vec<IpAddr> {
    let ask = |server: IpAddr, name: &str| {
        let question = Question::new(name);
        let is_answer = |reply: &[u8]| question.read(reply).is_some();
        let to = SocketAddr::new(server, 53);
        let done = exchange(to, Protocol::UDP, question.bytes(), window, is_answer);
        done.reply.as_deref().and_then(|reply| question.read(reply))
    };
    std::thread::scope(|scope| {
        let pairs = servers
            .iter()
            .flat_map(|server| HOST_NAMES.map(|name| (*server, name)));
        let asking: Vec<_> = pairs
            .map(|(server, name)| scope.spawn(move || ask(server, name)))
            .collect();
        let answers = asking
            .into_iter()
            .filter_map(|one| one.join().ok().flatten());
        answers
            .flat_map(|answer| answer.addresses)
            .map(IpAddr::V4)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(resolv: &str, hosts: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/resolv.conf"), resolv).unwrap();
        fs::write(root.path().join("etc/hosts"), hosts).unwrap();
        root
    }

    #[test]
    fn nameservers_are_read_and_the_engines_own_is_always_among_them() {
        let text = "# by the engine\nsearch .\nnameserver 10.213.0.1\n nameserver\nnameserver x\n\
                    nameserver fd00::1\noptions ndots:0\n";
        let root = root(text, "");
        let servers = nameservers(root.path());
        let texts: Vec<String> = servers.iter().map(IpAddr::to_string).collect();
        assert_eq!(texts, ["10.213.0.1", "127.0.0.11", "fd00::1"]);
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(nameservers(empty.path()), BTreeSet::from([EMBEDDED]));
    }

    #[test]
    fn a_name_in_hosts_is_found_as_a_whole_word_and_not_in_a_comment() {
        let text = "127.0.0.1 localhost\n172.17.0.1\tother HOST.docker.internal # x\n\
                    1.2.3.4 nothost.docker.internal\n# 9.9.9.9 host.docker.internal\nbad host.docker.internal\n";
        let root = root("", text);
        let found = in_hosts(root.path(), "host.docker.internal");
        assert_eq!(found, ["172.17.0.1".parse::<IpAddr>().unwrap()]);
    }

    #[test]
    fn only_the_proxys_own_address_may_stand_in_an_answer() {
        let mut expectation = Expectation::new(Fence::Network);
        expectation.proxy = Some("10.213.0.1:8888".parse().unwrap());
        let of = |code, addresses: &[[u8; 4]], records| {
            let addresses = addresses.iter().copied().map(Ipv4Addr::from).collect();
            judge_answer(
                &Answer {
                    code,
                    addresses,
                    records,
                },
                |ip| is_the_proxys(&expectation, ip),
            )
            .0
        };
        assert_eq!(of(0, &[[93, 184, 215, 14]], 1), Outcome::Leak);
        assert_eq!(
            of(0, &[[10, 213, 0, 1], [93, 184, 215, 14]], 2),
            Outcome::Leak
        );
        assert_eq!(
            of(0, &[], 1),
            Outcome::Leak,
            "a CNAME that somebody looked up"
        );
        assert_eq!(of(0, &[[10, 213, 0, 1]], 1), Outcome::Sealed);
        for code in [0, 2, 3, 4, 5] {
            assert_eq!(of(code, &[], 0), Outcome::Sealed, "{code}");
        }
        assert_eq!(of(0, &[[127, 128, 7, 9]], 1), Outcome::Leak);
    }

    #[test]
    fn behind_a_relay_a_name_may_have_a_door_of_its_own() {
        let mut expectation = Expectation::new(Fence::Socket);
        expectation.proxy = Some("127.128.0.1:8888".parse().unwrap());
        let own = |octets: [u8; 4]| is_the_proxys(&expectation, octets.into());
        assert!(own([127, 128, 0, 1]) && own([127, 128, 7, 9]));
        assert!(!own([127, 0, 0, 1]) && !own([93, 184, 215, 14]));
    }
}
