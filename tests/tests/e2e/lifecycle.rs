//! Ups that are killed, doubled or wrong; downs that come twice: nothing unfenced runs and nothing is left.

use std::thread;
use std::time::{Duration, Instant};

use agentnet_e2e::agentnet::Checkout;
use agentnet_e2e::engine::Engine;
use agentnet_e2e::on_engines;
use agentnet_e2e::origin::whitelist;
use agentnet_e2e::repository::git;

/// What a task may leave in the user's repository and in the state directory: nothing.
fn nothing_is_left(checkout: &Checkout<'_>) {
    assert_eq!(checkout.leftovers(), []);
    let worktrees = git(&checkout.directory(), &["worktree", "list"]);
    assert_eq!(worktrees.lines().count(), 1, "{worktrees}");
    let branches = git(&checkout.directory(), &["branch", "--list", "agentnet/*"]);
    assert_eq!(branches, "");
}

/// Every agent container that runs is on no network but its own fence.
fn nothing_runs_unfenced(checkout: &Checkout<'_>) {
    for agent in checkout.containers("t", "agent") {
        let format =
            "{{.State.Running}} {{len .NetworkSettings.Networks}} {{.HostConfig.NetworkMode}}";
        let said = checkout
            .engine
            .docker(["inspect", "--format", format, &agent]);
        // It may be gone by now; if it is there, it was created where it belongs.
        assert!(
            !said.ok() || !said.stdout.contains(" default") && !said.stdout.contains(" bridge"),
            "{said}"
        );
    }
}

/// How many objects of the task exist: the clock that the killings go by.
fn objects(checkout: &Checkout<'_>) -> usize {
    checkout.leftovers().len()
}

/// A request that was on its way when its sender was killed is still carried out: waits until the engine is quiet.
pub(crate) fn settle(checkout: &Checkout<'_>) {
    let mut looks = Vec::new();
    agentnet_e2e::wait::until("the engine to be quiet", Duration::from_secs(60), || {
        looks.push(checkout.leftovers());
        let last = looks.iter().rev().take(10);
        (looks.len() >= 10 && last.clone().all(|look| Some(look) == looks.last())).then_some(())
    });
}

fn killed_ups_leave_nothing_after_gc(engine: &Engine, fence: &str) {
    let checkout = Checkout::new(engine, Some(fence), &whitelist());
    // Once to the end, to know how many objects there are.
    checkout.agentnet(&["up", "t"]).expect();
    let all = objects(&checkout);
    checkout.agentnet(&["down", "t"]).expect();
    nothing_is_left(&checkout);

    for enough in 0..=all {
        let mut up = checkout.start(&["up", "t"]);
        let deadline = Instant::now() + Duration::from_secs(60);
        while objects(&checkout) < enough && up.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "up hangs");
        }
        // SIGKILL: no rollback, no drop, no journal line.
        up.kill().unwrap();
        up.wait().unwrap();
        nothing_runs_unfenced(&checkout);
        settle(&checkout);
        checkout.agentnet(&["gc"]).expect();
        if !checkout.leftovers().is_empty() {
            // It came too late: the task is up, and gc leaves what is whole and proven.
            checkout.agentnet(&["verify", "t"]).expect();
            checkout.agentnet(&["down", "t"]).expect();
        }
        nothing_is_left(&checkout);
    }
    // And the name can be used again.
    checkout.agentnet(&["up", "t"]).expect();
    checkout.agentnet(&["down", "t"]).expect();
}

on_engines! {
    [isolating] fn killed_ups_of_a_network_fence_leave_nothing_after_gc(engine) {
        killed_ups_leave_nothing_after_gc(engine, "network");
    }

    [current, old] fn killed_ups_of_a_socket_fence_leave_nothing_after_gc(engine) {
        killed_ups_leave_nothing_after_gc(engine, "socket");
    }

    [current, old] fn two_ups_of_one_task_at_once_make_one_task(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        let outcomes = thread::scope(|scope| {
            let ups = [(); 2].map(|()| scope.spawn(|| checkout.agentnet(&["up", "t"])));
            ups.map(|up| up.join().unwrap())
        });
        assert!(outcomes.iter().any(agentnet_e2e::command::Outcome::ok), "{outcomes:?}");
        for outcome in &outcomes {
            assert!(outcome.ok() || outcome.stderr.contains('t'), "one sentence: {outcome}");
        }
        assert_eq!(checkout.containers("t", "agent").len(), 1);
        checkout.agentnet(&["verify", "t"]).expect();
        checkout.agentnet(&["down", "t"]).expect();
        nothing_is_left(&checkout);
    }

    [current, old] fn a_second_down_is_fine(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        checkout.agentnet(&["up", "t"]).expect();
        checkout.agentnet(&["down", "t"]).expect();
        nothing_is_left(&checkout);
        checkout.agentnet(&["down", "t"]).expect();
        checkout.agentnet(&["down", "--all"]).expect();
        checkout.agentnet(&["gc"]).expect();
    }

    [current, old] fn gc_leaves_what_runs_and_what_is_not_ours(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        let other = Checkout::new(engine, None, &whitelist());
        checkout.agentnet(&["up", "t"]).expect();
        other.agentnet(&["up", "t"]).expect();
        let before = (objects(&checkout), objects(&other));
        checkout.agentnet(&["gc"]).expect();
        assert_eq!((objects(&checkout), objects(&other)), before);
        checkout.agentnet(&["down", "--all"]).expect();
        assert_eq!(objects(&other), before.1);
        other.agentnet(&["verify", "t"]).expect();
    }

    [current, old] fn a_broken_whitelist_stops_up_before_anything_exists(engine) {
        let checkout = Checkout::new(engine, None, "example.com\n*\n");
        let up = checkout.agentnet(&["up", "t"]).expect_failure();
        assert!(up.stderr.contains(":2:"), "the line is named: {up}");
        nothing_is_left(&checkout);
    }

    [current, old] fn an_interrupted_up_rolls_itself_back(engine) {
        let checkout = Checkout::new(engine, None, &whitelist());
        let mut up = checkout.start(&["up", "t"]);
        agentnet_e2e::wait::until("something to exist", Duration::from_secs(60), || (objects(&checkout) >= 2).then_some(()));
        std::process::Command::new("kill").args(["-INT", &up.id().to_string()]).status().unwrap();
        assert!(!up.wait().unwrap().success());
        nothing_is_left(&checkout);
    }
}
