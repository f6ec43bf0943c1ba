//! The drop-in stacks of `compose/`: they come up with `docker compose up`, and they hold.

use agentnet_e2e::bed::compose_or_skip;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::origin::{Origin, UNLISTED, whitelist};
use agentnet_e2e::stack::Stack;
use agentnet_e2e::{on_engines, probe, wait};
use std::time::Duration;

use crate::{canaries, clients};

/// The whole promise of a stack, once.
fn holds(engine: &Engine, fence: &str) {
    if !compose_or_skip(engine) {
        return;
    }
    let canary = canaries::start(engine);
    let stack = Stack::new(engine, fence, &whitelist());
    stack.up().expect();
    let origin = Origin::start(engine, &stack.network("egress"));
    let agent = stack.container("agent");

    clients::get_through(engine, &agent, &origin);
    clients::are_refused(engine, &agent, &origin);
    clients::need_no_variables(engine, fence, &agent, &origin);

    let before = canary.contacts();
    let mut targets = canary.targets();
    targets.extend(probe::outside());
    assert_eq!(
        probe::reached(engine, &agent, &targets),
        Vec::<String>::new()
    );
    assert_eq!(
        canary.contacts(),
        before,
        "a service of the host heard from the agent"
    );

    metrics_count_the_refusal(engine, &stack);
    stack
        .compose(&["down", "--volumes", "--timeout", "0"])
        .expect();
}

/// Published on loopback only, and the block is in it.
fn metrics_count_the_refusal(engine: &Engine, stack: &Stack<'_>) {
    let address = stack.metrics();
    assert!(address.starts_with("127.0.0.1:"), "metrics at {address}");
    let metrics = engine
        .on_host(&format!(
            "curl --silent --fail --max-time 10 http://{address}/metrics"
        ))
        .expect();
    let refused = metrics.lines().find(|line| {
        line.starts_with("agentnet_proxy_requests_total")
            && line.contains(r#"reason="not_listed""#)
            && !line.ends_with(" 0")
    });
    assert!(refused.is_some(), "no refusal is counted:\n{metrics}");
    let host = metrics.lines().find(|line| {
        line.starts_with("agentnet_proxy_blocked_hosts_total") && line.contains(UNLISTED)
    });
    assert!(host.is_some(), "the blocked host is not named:\n{metrics}");
}

on_engines! {
    [isolating] fn the_network_stack_comes_up_and_holds(engine) {
        holds(engine, "network");
    }

    [current, old] fn the_socket_stack_comes_up_and_holds(engine) {
        holds(engine, "socket");
    }

    [isolating] fn a_network_stack_whose_bridge_has_a_host_address_does_not_start(engine) {
        if !compose_or_skip(engine) {
            return;
        }
        // One family at a time: each alone would be a way to the host.
        for mode in ["gateway_mode_ipv4", "gateway_mode_ipv6"] {
            let stack = Stack::new(engine, "network", &whitelist());
            let file = stack.directory().join("compose.yaml");
            let text = std::fs::read_to_string(&file).unwrap();
            let opened: Vec<_> = text.lines().filter(|line| !line.contains(mode)).collect();
            assert_eq!(opened.len() + 1, text.lines().count());
            std::fs::write(&file, opened.join("\n")).unwrap();
            let up = stack.up().expect_failure();
            assert!(up.text().contains("Address already in use"), "{mode}: {up}");
            let running = stack.compose(&["ps", "--quiet", "agent"]).stdout;
            assert_eq!(running, "", "{mode}: the agent runs behind an open fence");
        }
    }

    [isolating] fn an_agent_that_gets_a_second_network_does_not_start_again(engine) {
        if !compose_or_skip(engine) {
            return;
        }
        let stack = Stack::new(engine, "network", &whitelist());
        stack.up().expect();
        let agent = stack.container("agent");
        engine.docker(["network", "connect", "bridge", &agent]).expect();
        engine.docker(["restart", "--time", "0", &agent]);
        let state = wait::until("the agent to end", Duration::from_secs(20), || {
            let state = engine.docker(["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", &agent]).expect();
            state.starts_with("exited").then_some(state)
        });
        assert_eq!(state, "exited 125");
        let said = engine.docker(["logs", &agent]).stderr;
        assert!(said.contains("eth1"), "the gate names the way that is open: {said}");
    }

    [current, old] fn nobody_can_plug_a_network_into_the_socket_stack(engine) {
        if !compose_or_skip(engine) {
            return;
        }
        let stack = Stack::new(engine, "socket", &whitelist());
        stack.up().expect();
        for service in ["agent", "relay"] {
            engine.docker(["network", "connect", "bridge", &stack.container(service)]).expect_failure();
        }
    }

    [current, old] fn a_restarted_relay_takes_its_agent_along(engine) {
        if !compose_or_skip(engine) {
            return;
        }
        let stack = Stack::new(engine, "socket", &whitelist());
        stack.up().expect();
        stack.compose(&["restart", "--timeout", "1", "relay"]).expect();
        let refused = wait::until("the agent's new door", Duration::from_secs(20), || {
            let script = format!("curl --silent --include --max-time 5 http://{UNLISTED}/");
            let answer = engine.shell(&stack.container("agent"), &script);
            answer.ok().then_some(answer.stdout)
        });
        assert!(refused.contains("not_listed"), "{refused}");
    }
}
