//! A canary that is known to be reachable: not reaching it then says something.

use agentnet_e2e::canary::Canary;
use agentnet_e2e::engine::{BASE_IMAGE, Engine, Thing};
use agentnet_e2e::name::unique;
use agentnet_e2e::probe;

/// Starts one and lets an ordinary container reach it.
pub(crate) fn start(engine: &Engine) -> Canary<'_> {
    let canary = Canary::start(engine);
    let name = unique("ordinary");
    let ordinary = Thing::container(engine, &name, &["--init", BASE_IMAGE, "sleep", "infinity"]);
    let reached = probe::reached(engine, &name, &canary.targets());
    assert!(
        !reached.is_empty(),
        "not even an ordinary container reaches the host"
    );
    drop(ordinary);
    canary
}
