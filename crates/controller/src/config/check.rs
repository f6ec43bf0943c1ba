//! What the shape of the file cannot say: values that no engine, or no fence, could hold.

use std::collections::BTreeMap;

use super::{Config, environment};
use crate::pool::Pool;

/// The gate's own threads and its command need this many.
const FEWEST_PIDS: u32 = 16;
/// Names that mean somebody else inside a task.
const RESERVED: [&str; 3] = ["localhost", "agent", "proxy"];

/// The first thing that is wrong, with its section.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let agent = &config.agent;
    environment::check(agent)?;
    for (key, directory) in [
        ("[agent] build", &agent.build),
        ("[network] presets", &config.network.presets),
    ] {
        if let Some(directory) = directory
            && (directory.is_absolute() || directory.components().any(|c| c.as_os_str() == ".."))
        {
            return Err(format!(
                "{key} = {:?} leaves the checkout; name a directory below it",
                directory.display()
            ));
        }
    }
    let workdir = agent.workdir.as_slice();
    container("[agent]", "workdir", workdir, &agent.env, agent.pids)?;
    for (name, service) in &config.services {
        let section = format!("[services.{name}]");
        if RESERVED.contains(&name.as_str()) {
            return Err(format!(
                "{section} cannot have that name: it means another inside a task"
            ));
        }
        container(
            &section,
            "tmpfs",
            &service.tmpfs,
            &service.env,
            service.pids,
        )?;
    }
    if let Some(pool) = config.network.pool {
        Pool::new(pool).map_err(|e| format!("[network] pool: {e}"))?;
    }
    Ok(())
}

/// What agent and services have in common.
fn container(
    section: &str,
    key: &str,
    paths: &[String],
    env: &BTreeMap<String, String>,
    pids: Option<u32>,
) -> Result<(), String> {
    if let Some(path) = paths.iter().find(|path| !is_plain_path(path)) {
        return Err(format!(
            "{section} {key} = {path:?} must be an absolute path other than / and /agentnet, \
             without . and .."
        ));
    }
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!(
                "{section} env has {name:?}, which is no name of a variable"
            ));
        }
        if value.contains('\0') {
            return Err(format!("{section} env: the value of {name:?} holds a NUL"));
        }
    }
    match pids {
        Some(pids) if pids < FEWEST_PIDS => Err(format!(
            "{section} pids = {pids} is too few: at least {FEWEST_PIDS}"
        )),
        Some(_) | None => Ok(()),
    }
}

/// Absolute, as the kernel writes it, not the root and not the place where the gate is.
fn is_plain_path(path: &str) -> bool {
    let Some(below) = path.strip_prefix('/') else {
        return false;
    };
    let below = below.strip_suffix('/').unwrap_or(below);
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains([':', '\0']);
    below.split('/').all(plain) && below.split('/').next() != Some("agentnet")
}
