//! Addresses that must not answer: public ones, metadata services, and whatever the controller names.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::attempt::{Attempt, Knock, Lies, fold, judge, knock};
use crate::expectation::{Expectation, Fence};
use crate::report::{Finding, Row};
use crate::row_id::RowId;
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
enum List {
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
    fn what(self) -> String {
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

/// Knocks on every list and every foreign address, all at the same time, and gives each its row.
///
/// Lists are tried by the routes as they are. Addresses of somebody else are also tried past the
/// routes in IPv4: a socket bound to an interface needs no privilege since Linux 5.7, and where it
/// has no route the kernel takes the destination to be on the link
/// (`ip_route_output_key_hash_rcu`). Whoever owns the address behind that link then answers.
pub(crate) fn rows(expectation: &Expectation, snapshot: &Snapshot, window: Duration) -> Vec<Row> {
    let start = Instant::now();
    let lists = [
        (RowId::DirectIpv4, List::PublicV4),
        (RowId::DirectIpv6, List::PublicV6),
        (RowId::Metadata, List::Metadata),
    ]
    .map(|(id, list)| Question {
        id,
        what: list.what(),
        knocks: list.addresses().map(Knock::at).collect(),
        advice: WAY_OUT,
    });
    let foreign = expectation.foreign.iter().map(|address| Question {
        id: RowId::Foreign,
        what: format!("TCP to {address}"),
        knocks: ways_to(snapshot, *address),
        advice: SOMEBODY_ELSE,
    });
    let questions: Vec<Question> = lists.into_iter().chain(foreign).collect();
    let mut attempts = Vec::new();
    if expectation.fence != Fence::Open {
        let all: Vec<Knock> = questions
            .iter()
            .flat_map(|one| one.knocks.clone())
            .collect();
        for few in all.chunks(MOST_AT_ONCE) {
            attempts.extend(knock(few, window));
        }
    }
    let mut attempts = attempts.into_iter();
    let answered = questions.into_iter().map(|question| {
        let mine: Vec<Attempt> = attempts.by_ref().take(question.knocks.len()).collect();
        let finding = question.judge(expectation, snapshot, mine);
        Row::since(start, question.id, question.what, finding)
    });
    answered.collect()
}

/// One row's knocks.
#[derive(Clone, Debug)]
struct Question {
    id: RowId,
    what: String,
    knocks: Vec<Knock>,
    advice: &'static str,
}

impl Question {
    fn judge(
        &self,
        expectation: &Expectation,
        snapshot: &Snapshot,
        attempts: Vec<Attempt>,
    ) -> Finding {
        if expectation.fence == Fence::Open {
            return Finding::skipped(OPEN);
        }
        let ours = |ip| snapshot.is_own(ip) || expectation.may_answer(ip);
        let own = self.knocks.iter().find(|knock| ours(knock.to.ip()));
        if let Some(Knock { to, .. }) = own.filter(|_| self.id == RowId::Foreign) {
            return Finding::broken(format!(
                "{to} is one of this task's own addresses, so it cannot also be foreign: the plan \
                 contradicts itself"
            ));
        }
        judge_all(snapshot, &self.knocks, attempts, self.advice)
    }
}

/// Sockets that are open at the same time, well below the usual limit of descriptors.
const MOST_AT_ONCE: usize = 400;

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
    let advice = "a name of the host leads there, and it is open";
    judge_all(snapshot, &knocks, knock(&knocks, window), advice)
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
    use crate::attempt::End;
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
        let address: SocketAddr = "172.17.0.1:22".parse().unwrap();
        let nowhere = Snapshot {
            interfaces: vec![],
            addresses: vec![],
            routes: vec![],
        };
        let question = Question {
            id: RowId::Foreign,
            what: String::new(),
            knocks: ways_to(&nowhere, address),
            advice: SOMEBODY_ELSE,
        };
        let connected = Attempt {
            end: End::Connected,
            at_once: false,
        };
        let outcome = |expectation: &Expectation| {
            question
                .judge(expectation, &nowhere, vec![connected])
                .outcome
        };
        let none = Expectation::new(Fence::None);
        assert_eq!(outcome(&none), Outcome::Leak);
        assert_eq!(outcome(&Expectation::new(Fence::Open)), Outcome::Skipped);
        let own = Expectation {
            peers: vec![address.ip()],
            ..none
        };
        assert_eq!(outcome(&own), Outcome::Broken);
    }
}
