//! The image with the clients that the base image has not: `tests/clients`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::bed::root;
use crate::command::{Outcome, run_with};
use crate::engine::{BASE_IMAGE, Engine, IMAGES};

/// How long the registries may take, all together. It was 40 s where this was written.
const PATIENCE: Duration = Duration::from_secs(600);

/// Builds it, or takes what the engine has already, and makes an agent's image of it.
///
/// # Errors
/// The last line of the build: a registry that cannot be reached from the engine, as a rule.
pub fn image(engine: &Engine) -> Result<String, String> {
    // Tests that want it at the same time wait for the first one, and find it built.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let clients = format!("{IMAGES}/clients");
    let agent = format!("{IMAGES}/agent-clients");
    for (tag, base, directory) in [
        (&clients, BASE_IMAGE, "tests/clients"),
        (&agent, clients.as_str(), "images/agent"),
    ] {
        let mut build = engine.command("docker");
        let base = format!("BASE={base}");
        build
            .args(["build", "--build-arg", &base, "--tag", tag])
            .arg(root().join(directory));
        let outcome = run_with(&mut build, "", PATIENCE);
        if !outcome.ok() {
            return Err(format!(
                "{directory} could not be built: {}",
                last(&outcome)
            ));
        }
    }
    Ok(agent)
}

fn last(outcome: &Outcome) -> &str {
    if outcome.status.is_none() {
        return "the registries took too long";
    }
    let lines = outcome.stderr.lines().rev();
    lines
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("no word why")
}
