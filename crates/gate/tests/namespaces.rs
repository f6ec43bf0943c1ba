//! The gate in real network namespaces: what is sealed passes, and each way out is found and named.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod harness;

use std::process::Stdio;

use agentnet_gate::{Outcome, RowId};
use harness::fence::{EXPECT, Fence};
use harness::proxy::{Proxy, refuse};
use harness::{Namespace, can_run, leaks, row, verify};

#[test]
fn a_sealed_network_is_sealed_in_every_row() {
    if !can_run() {
        return;
    }
    let (report, code) = Fence::new().verify();
    let against: Vec<_> = report.against().collect();
    assert!(against.is_empty(), "{against:#?}");
    assert_eq!((report.sealed, code), (true, 0));
    for id in RowId::ALL {
        let outcome = row(&report, *id).outcome;
        let wanted = if [RowId::AllowedHost, RowId::Fronting].contains(id) {
            Outcome::Skipped
        } else {
            Outcome::Sealed
        };
        assert_eq!(outcome, wanted, "{id}: {}", row(&report, *id).detail);
    }
}

#[test]
fn a_default_route_is_a_leak_that_names_the_gateway() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    fence.agent.ip("route add default via 10.213.0.14");
    let (report, code) = fence.verify();
    assert_eq!(code, 1);
    let routes = row(&report, RowId::Routes);
    assert_eq!(routes.outcome, Outcome::Leak);
    assert!(routes.detail.contains("10.213.0.14"), "{}", routes.detail);
    // Packets leave, although nobody answers: silence is no proof.
    assert_eq!(row(&report, RowId::DirectIpv4).outcome, Outcome::Leak);
}

#[test]
fn a_host_address_on_the_bridge_is_a_leak_that_names_it() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    fence.host.ip("addr add 10.213.0.14/28 dev br0");
    let (report, code) = fence.verify();
    assert_eq!(code, 1);
    let link = row(&report, RowId::LinkIpv4);
    assert_eq!(link.outcome, Outcome::Leak);
    assert!(link.detail.contains("10.213.0.14 ("), "{}", link.detail);
}

#[test]
fn a_link_local_address_on_the_bridge_is_a_leak_that_names_it() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    fence.host.ip("link set br0 down");
    fence.host.set("ipv6/conf/br0/disable_ipv6", "0");
    fence.host.ip("link set br0 up");
    fence.host.ip("addr add fe80::dead:beef/64 dev br0 nodad");
    let (report, code) = fence.verify();
    assert_eq!(code, 1);
    assert_eq!(leaks(&report), [RowId::LinkIpv6]);
    let detail = &row(&report, RowId::LinkIpv6).detail;
    assert!(detail.contains("fe80::"), "{detail}");
}

#[test]
fn a_second_interface_is_a_leak_that_names_it() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    fence.agent.ip("link add eth1 type bridge");
    fence.agent.ip("addr add 172.19.0.7/16 dev eth1");
    fence.agent.ip("link set eth1 up");
    let (report, _) = fence.verify();
    let found = leaks(&report);
    for id in [RowId::Interfaces, RowId::Addresses] {
        assert!(found.contains(&id), "{id}: {found:?}");
        assert!(row(&report, id).detail.contains("eth1"));
    }
}

#[test]
fn a_proxy_that_answers_for_its_other_side_is_a_leak() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    fence.proxy.set("ipv4/conf/all/arp_ignore", "0");
    let _admin = Proxy::start(fence.proxy.listen("172.20.0.2:9100"), refuse);
    let (report, _) = fence.verify();
    assert_eq!(leaks(&report), [RowId::Foreign, RowId::LinkHosts]);
    let foreign = row(&report, RowId::Foreign);
    assert!(
        foreign
            .detail
            .contains("172.20.0.2:9100 through eth0 connected"),
        "{foreign:?}"
    );
    let hosts = row(&report, RowId::LinkHosts);
    assert!(
        hosts
            .detail
            .starts_with("10.213.0.1 answers on this network for 172.20.0.2")
    );
}

#[test]
fn what_was_opened_right_after_a_proof_is_found_by_the_next() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    assert!(fence.verify().0.sealed);
    fence.host.set("ipv4/conf/br0/rp_filter", "0");
    fence.host.set("ipv4/conf/all/rp_filter", "0");
    assert_eq!(leaks(&fence.verify().0), [RowId::LinkHosts]);
    fence.host.set("ipv4/conf/br0/rp_filter", "2");
    fence.host.ip("addr add 10.213.0.14/28 dev br0");
    assert!(leaks(&fence.verify().0).contains(&RowId::LinkIpv4));
}

#[test]
fn a_container_that_needs_no_question_to_answer_is_no_stranger() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    assert!(fence.verify().0.sealed);
    // The proxy remembers the agent; the agent forgets the proxy, as kernels do that remember many.
    fence.agent.ip("neigh flush dev eth0");
    let (report, _) = fence.verify();
    assert!(report.sealed, "{:#?}", row(&report, RowId::LinkIpv6));
}

#[test]
fn a_host_that_takes_packets_for_its_other_addresses_is_a_leak() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    fence.host.set("ipv4/conf/br0/rp_filter", "0");
    fence.host.set("ipv4/conf/all/rp_filter", "0");
    let (report, _) = fence.verify();
    assert_eq!(leaks(&report), [RowId::LinkHosts]);
    let detail = &row(&report, RowId::LinkHosts).detail;
    assert!(detail.contains("answers for 172.17.0.1"), "{detail}");
}

#[test]
fn a_stranger_on_the_link_is_a_leak() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    let stranger = Namespace::new();
    fence.plug(&stranger, "vs");
    stranger.ip("addr add 10.213.0.9/28 dev eth0");
    let (report, _) = fence.verify();
    assert_eq!(leaks(&report), [RowId::LinkIpv4, RowId::LinkIpv6]);
    assert!(row(&report, RowId::LinkIpv4).detail.contains("10.213.0.9"));
}

#[test]
fn a_proxy_that_lets_things_through_is_a_leak_in_each_row() {
    if !can_run() {
        return;
    }
    let mut fence = Fence::without_proxy();
    fence.serve(|request| match request.split(' ').next() {
        Some("CONNECT") => "HTTP/1.1 200 OK\r\nX-Agentnet-Reason: allowed\r\n\r\n",
        _ => "HTTP/1.1 502 connect_failed\r\nX-Agentnet-Reason: connect_failed\r\n\r\n",
    });
    let (report, _) = fence.verify();
    let open = [
        RowId::ConnectPrivate,
        RowId::ConnectNumeric,
        RowId::ConnectMetadata,
        RowId::ConnectItself,
        RowId::ConnectHostNames,
        RowId::ConnectUnlisted,
    ];
    assert_eq!(leaks(&report), open);
}

#[test]
fn a_proxy_that_does_not_answer_is_broken_and_not_a_leak() {
    if !can_run() {
        return;
    }
    let (report, code) = Fence::without_proxy().verify();
    assert_eq!((report.sealed, code), (false, 1));
    let against: Vec<_> = report.against().map(|row| (row.id, row.outcome)).collect();
    assert_eq!(against, [(RowId::ProxyAnswers, Outcome::Broken)]);
    assert_eq!(
        row(&report, RowId::ConnectPrivate).outcome,
        Outcome::Skipped
    );
}

#[test]
fn the_socket_fence_is_sealed_with_loopback_alone() {
    if !can_run() {
        return;
    }
    let relay = Namespace::new();
    let _proxy = Proxy::start(relay.listen("127.128.0.1:8888"), refuse);
    let words = "--fence socket --proxy 127.128.0.1:8888 --foreign 10.213.0.1:8888";
    let (report, code) = verify(&mut relay.gate(), words);
    assert_eq!(
        report.against().collect::<Vec<_>>(),
        Vec::<&agentnet_gate::Row>::new()
    );
    assert_eq!(code, 0);
    relay.ip("link add eth0 type bridge");
    relay.ip("link set eth0 up");
    let (report, _) = verify(&mut relay.gate(), words);
    assert!(leaks(&report).contains(&RowId::Interfaces));
}

#[test]
fn a_process_with_privileges_is_a_leak_even_in_a_sealed_network() {
    if !can_run() {
        return;
    }
    let nowhere = Namespace::new();
    let (report, code) = verify(&mut nowhere.unconfined_gate(), "--fence none");
    assert_eq!(code, 1);
    let found = leaks(&report);
    for id in [
        RowId::Capabilities,
        RowId::NoNewPrivs,
        RowId::Seccomp,
        RowId::RawSockets,
    ] {
        assert!(found.contains(&id), "{id}: {found:?}");
    }
    assert!(row(&report, RowId::HostNamespaces).detail.contains("pid"));
}

#[test]
fn nothing_is_started_in_a_network_with_the_host_on_it() {
    if !can_run() {
        return;
    }
    let fence = Fence::new();
    fence.host.ip("addr add 10.213.0.14/28 dev br0");
    let output = fence
        .agent
        .gate()
        .arg("exec")
        .args(EXPECT.split_ascii_whitespace())
        .args(["--", "echo", "started"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("so echo was not started"), "{said}");
    assert!(said.contains("leak link_ipv4: 10.213.0.14"), "{said}");
}
