//! Addresses that must not answer: public ones, metadata services, and whatever the controller names.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::attempt::{Attempt, Knock, Lies, fold, judge, knock};
use crate::expectation::{Expectation, Fence};
use crate::report::Finding;
use crate::shape::OPEN;
use crate::snapshot::Snapshot;

/// Public resolvers and web servers that answer TCP everywhere.
const PUBLIC_V4: [&str; 4] = [
    "1.1.1.1:443",
    "8.8.8.8:53",
    "9.9.9.9:443",
    "140.82.112.3:22",
];
const PUBLIC_V6: [&str; 2] = ["[2606:4700:4700::1111]:443", "[2001:4860:4860::8888]:53"];

/// Metadata services by cloud, and the one address at which Docker Desktop once served its engine
/// to every container (CVE-2025-9074).
const METADATA: [&str; 12] = [
    "169.254.169.254:80",
    "169.254.170.2:80",
    "169.254.170.23:80",
    "100.100.100.200:80",
    "168.63.129.16:80",
    "192.0.0.192:80",
    "192.168.65.7:2375",
    "[fd00:ec2::254]:80",
    "[fd00:ec2::23]:80",
    "[fd20:ce::254]:80",
    "[fd00:c1::a9fe:a9fe]:80",
    "[fd00:42::42]:80",
];

/// Which of the fixed lists to knock on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    PublicV4,
    PublicV6,
    Metadata,
}

impl List {
    fn addresses(self) -> impl Iterator<Item = SocketAddr> {
        let texts: &[&str] = match self {
            Self::PublicV4 => &PUBLIC_V4,
            Self::PublicV6 => &PUBLIC_V6,
            Self::Metadata => &METADATA,
        };
        texts.iter().filter_map(|text| text.parse().ok())
    }

    /// What the table says was tried.
    pub(crate) fn what(self) -> String {
        let all: Vec<SocketAddr> = self.addresses().collect();
        match (self, all.first(), all.len()) {
            (Self::Metadata, _, count) => format!("TCP to {count} metadata addresses"),
            (_, Some(first), count) => format!("TCP to {first} and {} more", count - 1),
            (_, None, _) => "nothing".to_owned(),
        }
    }
}

const WAY_OUT: &str = "packets leave this container without the proxy; the network has a gateway, as \
     one made without `internal` has";

/// Knocks on one list, by the routes as they are.
pub(crate) fn list(
    expectation: &Expectation,
    snapshot: &Snapshot,
    list: List,
    window: Duration,
) -> Finding {
    if expectation.fence == Fence::Open {
        return Finding::skipped(OPEN);
    }
    let knocks: Vec<Knock> = list.addresses().map(Knock::at).collect();
    knock_all(snapshot, &knocks, window, WAY_OUT)
}

/// Knocks on addresses that belong to somebody else, all at the same time: by the routes, and, in
/// IPv4, past them. One finding for each address.
///
/// A socket bound to an interface needs no privilege since Linux 5.7, and where it has no route the
/// kernel takes the destination to be on the link (`ip_route_output_key_hash_rcu`). Whoever owns
/// the address behind that link then answers, though no route leads to it.
pub(crate) fn foreign(
    expectation: &Expectation,
    snapshot: &Snapshot,
    addresses: &[SocketAddr],
    window: Duration,
) -> Vec<Finding> {
    if expectation.fence == Fence::Open {
        return addresses.iter().map(|_| Finding::skipped(OPEN)).collect();
    }
    let knocks: Vec<Vec<Knock>> = addresses
        .iter()
        .map(|address| ways_to(snapshot, *address))
        .collect();
    let mut attempts = Vec::new();
    for few in knocks.concat().chunks(MOST_AT_ONCE) {
        attempts.extend(knock(few, window));
    }
    let mut attempts = attempts.into_iter();
    let mut findings = Vec::new();
    for (address, knocks) in addresses.iter().zip(knocks) {
        let mine: Vec<Attempt> = attempts.by_ref().take(knocks.len()).collect();
        let own = snapshot.is_own(address.ip()) || expectation.may_answer(address.ip());
        findings.push(if own {
            Finding::broken(format!(
                "{address} is one of this task's own addresses, so it cannot also be foreign: the \
                 plan contradicts itself"
            ))
        } else {
            judge_all(snapshot, &knocks, mine, SOMEBODY_ELSE)
        });
    }
    findings
}

/// Sockets that are open at the same time, well below the usual limit of descriptors.
const MOST_AT_ONCE: usize = 200;

const SOMEBODY_ELSE: &str = "this address belongs to somebody else; another network is attached, the \
     bridge has an address of the host, or the owner answers on the link for its other addresses \
     (the sysctl net.ipv4.conf.all.arp_ignore=1 on its container closes that)";

/// By the routes, and in IPv4 through each link without them.
fn ways_to(snapshot: &Snapshot, to: SocketAddr) -> Vec<Knock> {
    let links = snapshot.links().filter(|_| to.is_ipv4());
    let bound = links.map(|link| Knock {
        to,
        through: Some(link.name.clone()),
    });
    std::iter::once(Knock::at(to)).chain(bound).collect()
}

/// What came of knocking on addresses that a name led to.
pub(crate) fn named(snapshot: &Snapshot, addresses: &[SocketAddr], window: Duration) -> Finding {
    let knocks: Vec<Knock> = addresses
        .iter()
        .flat_map(|address| ways_to(snapshot, *address))
        .collect();
    knock_all(
        snapshot,
        &knocks,
        window,
        "a name of the host leads there, and it is open",
    )
}

fn knock_all(snapshot: &Snapshot, knocks: &[Knock], window: Duration, advice: &str) -> Finding {
    judge_all(snapshot, knocks, knock(knocks, window), advice)
}

fn judge_all(
    snapshot: &Snapshot,
    knocks: &[Knock],
    attempts: Vec<Attempt>,
    advice: &str,
) -> Finding {
    let tried: Vec<_> = knocks
        .iter()
        .zip(attempts)
        .map(|(knock, attempt)| {
            let lies = lies(snapshot, knock);
            let (outcome, detail) = judge(attempt, lies);
            (describe(knock), outcome, detail)
        })
        .collect();
    fold(&tried, advice)
}

fn lies(snapshot: &Snapshot, knock: &Knock) -> Lies {
    let on_link = knock.through.is_some() || snapshot.on_link(knock.to.ip());
    if on_link {
        Lies::OnLink
    } else {
        Lies::Elsewhere
    }
}

fn describe(knock: &Knock) -> String {
    match &knock.through {
        Some(interface) => format!("{} through {interface}", knock.to),
        None => knock.to.to_string(),
    }
}

/// Every IPv4 address of the lists, for those who ask the link for them.
pub(crate) fn known_v4() -> impl Iterator<Item = std::net::Ipv4Addr> {
    let all = List::PublicV4.addresses().chain(List::Metadata.addresses());
    all.filter_map(|address| match address.ip() {
        IpAddr::V4(v4) => Some(v4),
        IpAddr::V6(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;

    #[test]
    fn every_listed_address_is_one() {
        for (list, texts) in [
            (List::PublicV4, PUBLIC_V4.as_slice()),
            (List::PublicV6, PUBLIC_V6.as_slice()),
            (List::Metadata, METADATA.as_slice()),
        ] {
            assert_eq!(list.addresses().count(), texts.len(), "{}", list.what());
        }
    }

    #[test]
    fn a_foreign_address_that_answers_is_a_leak_and_one_of_ours_is_a_contradiction() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let nowhere = Snapshot {
            interfaces: vec![],
            addresses: vec![],
            routes: vec![],
        };
        let none = Expectation::new(Fence::None);
        let window = Duration::from_secs(5);
        let open = foreign(&none, &nowhere, &[address], window);
        assert_eq!(open[0].outcome, Outcome::Leak);
        let own = Expectation {
            peers: vec![address.ip()],
            ..none
        };
        let contradiction = foreign(&own, &nowhere, &[address], window);
        assert_eq!(contradiction[0].outcome, Outcome::Broken);
    }
}
