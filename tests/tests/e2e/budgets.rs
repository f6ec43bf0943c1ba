//! What a task has spent of a budget: its proxy may die, and it stays spent.

use std::time::Duration;

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::bed::compose_or_skip;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::{ALLOWED, Origin};
use agentnet_e2e::stack::Stack;
use agentnet_e2e::wait;

/// Room for some requests of `send`, and for fewer than six.
fn whitelist() -> String {
    format!("{ALLOWED} private up=16KiB\n")
}

/// Sends four thousand bytes; the answer's head and text.
fn send(engine: &Engine, agent: &str) -> String {
    let curl = "head -c 4000 /dev/zero | curl --silent --include --max-time 10 --data-binary @-";
    let script = format!("{curl} http://{ALLOWED}/hello");
    engine.shell(agent, &script).stdout
}

fn outlives_a_kill(engine: &Engine, agent: &str, proxy: &str) {
    let taken = |answer: &str| answer.contains("took 4000 bytes");
    let spent = |answer: &str| answer.contains("budget_spent");
    let answers: Vec<_> = (0..6).map(|_| send(engine, agent)).collect();
    assert!(
        answers.first().is_some_and(|answer| taken(answer)),
        "{answers:?}"
    );
    assert!(
        answers.last().is_some_and(|answer| spent(answer)),
        "{answers:?}"
    );

    engine.docker(["kill", proxy]).expect();
    engine.docker(["start", proxy]).expect();
    let answer = wait::until("the new proxy to answer", Duration::from_secs(30), || {
        Some(send(engine, agent)).filter(|answer| taken(answer) || spent(answer))
    });
    assert!(spent(&answer), "a restart began the budget anew: {answer}");
}

fn of_a_task(engine: &Engine, fence: &str) {
    let checkout = Checkout::new(engine, Some(fence), &whitelist());
    checkout.agentnet(&["up", "t"]).expect();
    let _origin = Origin::start(engine, &checkout.network("t", "egress"));
    outlives_a_kill(
        engine,
        &checkout.container("t", "agent"),
        &checkout.container("t", "proxy"),
    );
}

fn of_a_stack(engine: &Engine, fence: &str) {
    if !compose_or_skip(engine) {
        return;
    }
    let stack = Stack::new(engine, fence, &whitelist());
    stack.up().expect();
    let _origin = Origin::start(engine, &stack.network("egress"));
    outlives_a_kill(engine, &stack.container("agent"), &stack.container("proxy"));
}

on_engines! {
    [isolating] fn what_a_task_behind_a_network_fence_spent_stays_spent(engine) {
        of_a_task(engine, "network");
    }

    [current, old] fn what_a_task_behind_a_socket_fence_spent_stays_spent(engine) {
        of_a_task(engine, "socket");
    }

    [isolating] fn what_the_network_stack_spent_stays_spent(engine) {
        of_a_stack(engine, "network");
    }

    [current, old] fn what_the_socket_stack_spent_stays_spent(engine) {
        of_a_stack(engine, "socket");
    }
}
