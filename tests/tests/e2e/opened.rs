//! Fences that somebody opened on purpose: `verify` finds each, and says which way was open.

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::command::Outcome;
use agentnet_e2e::engine::{BASE_IMAGE, Engine};
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::whitelist;

/// A task that is up and proven sealed.
fn sealed<'e>(engine: &'e Engine, fence: &str) -> Checkout<'e> {
    let checkout = Checkout::new(engine, Some(fence), &whitelist());
    checkout.agentnet(&["up", "t"]).expect();
    checkout.agentnet(&["verify", "t"]).expect();
    checkout
}

/// The engine's name for the bridge of the fence.
fn bridge(checkout: &Checkout<'_>) -> String {
    format!("br-{}", checkout.network("t", "fence").get(..12).unwrap())
}

/// Runs as root in the network namespace of one of the task's containers, as an operator's mistake would.
fn inside(checkout: &Checkout<'_>, role: &str, script: &str) {
    let namespace = format!("--network=container:{}", checkout.container("t", role));
    let words = [
        "run",
        "--rm",
        "--privileged",
        &namespace,
        BASE_IMAGE,
        "sh",
        "-c",
        script,
    ];
    checkout.engine.docker(words).expect();
}

/// Exit code not 0, and the table names one of these rows as a leak.
fn found(checkout: &Checkout<'_>, rows: &[&str]) -> Outcome {
    let verify = checkout.agentnet(&["verify", "t"]).expect_failure();
    let leak = |line: &str| line.contains("leak") && rows.iter().any(|row| line.contains(row));
    assert!(
        verify.text().lines().any(leak),
        "none of {rows:?} is named as a leak: {verify}"
    );
    verify
}

on_engines! {
    // What plain `--internal` does: the host has an address on the bridge.
    [isolating] fn verify_finds_a_host_address_on_the_bridge(engine) {
        let checkout = sealed(engine, "network");
        let bridge = bridge(&checkout);
        engine.on_host(&format!("ip address add $(ip -json route show default | jq -r .[0].prefsrc) dev {bridge} 2>/dev/null; \
            ip address add 10.213.255.254/16 dev {bridge}")).expect();
        found(&checkout, &["link_ipv4", "link_hosts", "bridge"]);
    }

    [isolating] fn verify_finds_an_ipv6_address_of_the_host_on_the_bridge(engine) {
        let checkout = sealed(engine, "network");
        let bridge = bridge(&checkout);
        engine.on_host(&format!("echo 0 >/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6; ip address add fe80::dead/64 dev {bridge} nodad")).ok();
        let words = ["run", "--rm", "--network=host", "--privileged", BASE_IMAGE, "sh", "-c"];
        let script = format!("echo 0 >/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6; ip address add fe80::dead/64 dev {bridge} nodad");
        engine.docker(words.into_iter().chain([script.as_str()])).expect();
        found(&checkout, &["link_ipv6", "bridge"]);
    }

    [isolating] fn verify_finds_a_second_network(engine) {
        let checkout = sealed(engine, "network");
        engine.docker(["network", "connect", "bridge", &checkout.container("t", "agent")]).expect();
        let said = found(&checkout, &["interfaces", "routes", "direct_ipv4"]);
        assert!(said.text().contains("eth1"), "{said}");
    }

    // A gateway that answers: an address on the bridge and a route to it.
    [isolating] fn verify_finds_a_published_gateway(engine) {
        let checkout = sealed(engine, "network");
        let bridge = bridge(&checkout);
        let address = engine.docker(["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", &checkout.container("t", "agent")]).expect();
        let gateway = address.rsplit_once('.').map(|(block, last)| format!("{block}.{}", last.parse::<u8>().unwrap() + 10)).unwrap();
        engine.on_host(&format!("ip address add {gateway}/28 dev {bridge}")).expect();
        inside(&checkout, "agent", &format!("ip route add default via {gateway}"));
        found(&checkout, &["routes", "link_ipv4"]);
    }

    [current, old] fn verify_finds_an_interface_in_the_socket_fence(engine) {
        let checkout = sealed(engine, "socket");
        inside(&checkout, "relay", "ip link add way type dummy && ip address add 10.9.9.1/24 dev way && ip link set way up && ip route add default dev way");
        let said = found(&checkout, &["interfaces", "routes"]);
        assert!(said.text().contains("way"), "{said}");
    }

    [isolating] fn an_agent_that_is_restarted_behind_an_opened_fence_does_not_run(engine) {
        let checkout = sealed(engine, "network");
        let agent = checkout.container("t", "agent");
        engine.docker(["network", "connect", "bridge", &agent]).expect();
        engine.docker(["restart", "--time", "0", &agent]);
        let code = agentnet_e2e::wait::until("the agent to end", std::time::Duration::from_secs(20), || {
            let state = engine.docker(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", &agent]).expect();
            state.starts_with("exited").then_some(state)
        });
        assert_eq!(code, "exited 125");
    }
}
