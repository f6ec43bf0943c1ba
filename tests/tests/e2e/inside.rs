//! What no agent may do from inside, tried by a program that knows all of it; and a fence that is opened while it works.

use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::origin::whitelist;
use agentnet_e2e::{on_engines, wait};

const INSIDE: &str = include_str!("../../scripts/inside.py");
/// As many as the script tries: one that ends early proves nothing.
const TRIED: &str = "tried 133";

/// As many processes as the container may have, until it goes.
const CROWD: &str = "
import os, time
while True:
    try:
        if os.fork() == 0:
            time.sleep(1000)
    except OSError:
        time.sleep(0.1)
";

/// The ways that worked, in a task behind this fence: for what the engine starts there, and for what a person starts.
fn nothing_works(engine: &Engine, fence: &str) {
    let checkout = Checkout::new(engine, Some(fence), &whitelist());
    checkout.agentnet(&["up", "t"]).expect();
    let agent = checkout.container("t", "agent");
    let said = engine.docker(["exec", &agent, "python3", "-c", INSIDE]);
    assert_eq!(said.expect(), TRIED);
    let words = ["exec", "t", "--", "python3", "-c", INSIDE];
    assert_eq!(checkout.agentnet(&words).expect(), TRIED);
    checkout.agentnet(&["verify", "t"]).expect();
}

/// Whoever takes every process there may be keeps nobody from hearing that nothing is proven.
fn a_crowd_is_no_proof(engine: &Engine) {
    let checkout = Checkout::new(engine, Some("network"), &whitelist());
    let config = fs_err::read_to_string(checkout.directory().join("agentnet.toml")).unwrap();
    checkout.set_config(&config.replace("[agent]\n", "[agent]\npids = 32\n"));
    checkout.agentnet(&["up", "t"]).expect();
    let agent = checkout.container("t", "agent");
    engine
        .docker(["exec", "--detach", &agent, "python3", "-c", CROWD])
        .expect();
    wait::until("a crowd", Duration::from_secs(60), || {
        let names = engine.docker(["exec", &agent, "ls", "/proc"]).stdout;
        let numbers = names.lines().filter(|name| name.parse::<u32>().is_ok());
        (numbers.count() >= 32).then_some(())
    });
    let verify = checkout.agentnet(&["verify", "t"]);
    assert_eq!(verify.code(), Some(6), "{verify}");
    assert!(verify.stdout.contains("ceiling on processes"), "{verify}");
}

on_engines! {
    [isolating] fn an_agent_behind_a_network_fence_gets_nothing_of_the_kernels_or_ours(engine) {
        nothing_works(engine, "network");
    }

    [current, old] fn an_agent_behind_a_socket_fence_gets_nothing_of_the_kernels_or_ours(engine) {
        nothing_works(engine, "socket");
    }

    [isolating] fn a_task_that_takes_every_process_it_may_is_not_proven(engine) {
        a_crowd_is_no_proof(engine);
    }

    // Root of a container owns `/`, and the proof is a program below it.
    [current, old] fn an_agent_that_is_root_has_no_gate_of_its_own_to_prove_the_fence(engine) {
        let checkout = Checkout::new(engine, Some("socket"), &whitelist());
        let config = checkout.directory().join("agentnet.toml");
        let config = fs_err::read_to_string(config).unwrap();
        checkout.set_config(&config.replace("[agent]\n", "[agent]\nuser = \"0:0\"\n"));
        checkout.agentnet(&["up", "t"]).expect();
        let agent = checkout.container("t", "agent");
        let forge = "id -u; mkdir -p /forged/bin && touch /forged/bin/agentnet-gate && echo ready; \
            mv /agentnet /gone; umount -l /agentnet; touch /agentnet/x; \
            mv -T /forged /agentnet; rmdir /agentnet/bin; ls /agentnet/bin/agentnet-gate /gone";
        let said = engine.shell(&agent, forge);
        assert_eq!(said.stdout.trim(), "0\nready\n/agentnet/bin/agentnet-gate", "{said}");
        checkout.agentnet(&["verify", "t"]).expect();
    }

    // The gate proves the fence at a start only: who attaches a network later ends the task.
    [isolating] fn a_network_that_is_attached_to_a_task_ends_it_and_is_named(engine) {
        let checkout = Checkout::new(engine, Some("network"), &whitelist());
        checkout.agentnet(&["up", "t"]).expect();
        let agent = checkout.container("t", "agent");
        engine.docker(["network", "connect", "bridge", &agent]).expect();
        wait::until("the task to end", Duration::from_secs(60), || {
            let state = engine.docker(["inspect", "--format", "{{.State.Status}}", &agent]).expect();
            (state == "exited").then_some(())
        });
        let why = wait::until("the reason", Duration::from_secs(20), || {
            let status = checkout.agentnet(&["status", "t"]).expect();
            status.contains("fence was opened").then_some(status)
        });
        assert!(why.contains("is on "), "{why}");
        checkout.agentnet(&["down", "t"]).expect();
        assert_eq!(checkout.leftovers(), []);
    }
}
