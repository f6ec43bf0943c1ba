//! Judging who answered on the link. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::expectation::Expectation;
use crate::link::{AllNodes, Answers, Asked};
use crate::report::Finding;
use crate::snapshot::{Neighbour, Snapshot, hardware_text};

/// Neighbours in our own IPv4 subnets.
pub(crate) fn ipv4(expectation: &Expectation, snapshot: &Snapshot, answers: &Answers) -> Finding {
    let strangers = answers.neighbours.iter().filter(|neighbour| {
        neighbour.address.is_ipv4()
            && snapshot.on_link(neighbour.address)
            && !expectation.may_answer(neighbour.address)
    });
    let mut found: Vec<&Neighbour> = strangers.collect();
    found.sort_by_key(|neighbour| neighbour.address);
    if let Some(first) = found.first() {
        let more = match found.len() {
            1 => String::new(),
            count => format!(" (and {} more)", count - 1),
        };
        return Finding::leak(format!(
            "{} ({}) answers on this network{more} and is not one of this task's containers: the \
             bridge has an address of the host, as a network made without \
             `gateway_mode_ipv4=isolated` has, and every service of the host on 0.0.0.0 can be \
             reached there; or somebody else's container is attached",
            first.address,
            hardware_text(&first.hardware)
        ));
    }
    let asked = snapshot
        .link_addresses()
        .filter(|(_, own)| own.address.is_ipv4());
    let subnets: Vec<String> = asked
        .map(|(_, own)| format!("{}/{}", own.address, own.prefix))
        .collect();
    match subnets.as_slice() {
        [] => Finding::sealed("no IPv4 on the link"),
        subnets => Finding::sealed(format!(
            "only this task's containers answer around {}",
            subnets.join(", ")
        )),
    }
}

/// Neighbours over IPv6: an address is known by itself, or by the hardware address that it shares
/// with a container whose address is known (every container has a link-local address too).
pub(crate) fn ipv6(
    expectation: &Expectation,
    snapshot: &Snapshot,
    asked: &Asked,
    answers: &Answers,
) -> Finding {
    let known = known_hardware(expectation, &answers.neighbours);
    let of = |address: IpAddr| {
        answers
            .neighbours
            .iter()
            .find(|neighbour| neighbour.address == address)
    };
    let seen: BTreeSet<IpAddr> = answers
        .neighbours
        .iter()
        .map(|neighbour| neighbour.address)
        .chain(answers.echoes.iter().copied().map(IpAddr::V6))
        .filter(|address| address.is_ipv6() && !snapshot.is_own(*address))
        .collect();
    for address in &seen {
        let hardware = of(*address).map(|neighbour| neighbour.hardware.as_slice());
        let is_known = hardware.is_some_and(|hardware| known.contains(hardware));
        if expectation.may_answer(*address) || is_known {
            continue;
        }
        let who = hardware.map_or(String::new(), |bytes| {
            format!(" ({})", hardware_text(bytes))
        });
        return Finding::leak(format!(
            "{address}{who} answers on this network and belongs to none of this task's containers: \
             the bridge has an IPv6 address of the host, as a network made without `EnableIPv6` and \
             `gateway_mode_ipv6=isolated` keeps on fe80::, and every service of the host on [::] can \
             be reached there"
        ));
    }
    match &asked.all_nodes {
        AllNodes::Asked => Finding::sealed(format!("{} known neighbours, nobody else", seen.len())),
        AllNodes::NoIpv6 => Finding::sealed("no IPv6 on the link"),
        AllNodes::NotAsked(why) => Finding::skipped(why.clone()),
    }
}

/// Machines behind the link that answer for addresses of other networks.
pub(crate) fn hosts(expectation: &Expectation, asked: &Asked, answers: &Answers) -> Finding {
    let answered = |address: &&IpAddr| {
        answers
            .neighbours
            .iter()
            .any(|neighbour| neighbour.address == **address)
    };
    let Some(address) = asked.hosts.iter().find(answered) else {
        return match &asked.hosts_refused {
            Some(error) => Finding::skipped(format!(
                "sockets cannot be bound to an interface here ({error}), by the agent either"
            )),
            None if asked.hosts.is_empty() => Finding::sealed("no IPv4 on the link"),
            None => Finding::sealed(format!(
                "nobody on the link answers for {} addresses of other networks",
                asked.hosts.len()
            )),
        };
    };
    let hardware = answers
        .neighbours
        .iter()
        .find(|neighbour| neighbour.address == *address)
        .map(|neighbour| neighbour.hardware.as_slice())
        .unwrap_or_default();
    let owner = answers.neighbours.iter().find(|neighbour| {
        neighbour.hardware == hardware && expectation.may_answer(neighbour.address)
    });
    match owner {
        Some(owner) => Finding::leak(format!(
            "{} answers on this network for {address}, which is its address on another: a socket \
             bound to the interface reaches that side, admin port included; start its container with \
             the sysctl net.ipv4.conf.all.arp_ignore=1",
            owner.address
        )),
        None => Finding::leak(format!(
            "a machine on this network ({}) answers for {address}: the host owns the bridge without an \
             address on it and takes packets for its other addresses, so datagrams reach its services; \
             set net.ipv4.conf.<bridge>.rp_filter=1 on the engine's host, or use the socket fence",
            hardware_text(hardware)
        )),
    }
}

fn known_hardware<'a>(
    expectation: &Expectation,
    neighbours: &'a [Neighbour],
) -> BTreeSet<&'a [u8]> {
    let known = neighbours
        .iter()
        .filter(|neighbour| expectation.may_answer(neighbour.address));
    known
        .map(|neighbour| neighbour.hardware.as_slice())
        .collect()
}
