//! What the shape of the file cannot say: values that no engine, or no fence, could hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Config, Service, environment};
use crate::credentials;
use crate::pool::Pool;
use crate::results::Outputs;
use crate::task::Slug;

/// The gate's own threads and its command need this many.
const FEWEST_PIDS: u32 = 16;
/// The least that programs expect (`_POSIX_OPEN_MAX` is 20, a shell pipeline has more).
const FEWEST_FILES: u32 = 64;
/// What a kernel lets a process have by default (`fs.nr_open`).
const MOST_FILES: u32 = 1_048_576;
/// Names that mean somebody else inside a task.
const RESERVED: [&str; 3] = ["localhost", "agent", "proxy"];
/// The least that IPv6 works with (RFC 8200), and the most that a packet can have.
const MTU: std::ops::RangeInclusive<u16> = 1280..=65535;

/// The first thing that is wrong, with its section.
pub(super) fn check(config: &Config) -> Result<(), String> {
    let agent = &config.agent;
    environment::check(agent)?;
    for name in &config.credentials.env {
        if !credentials::is_variable(name) {
            return Err(format!(
                "[credentials] env has {name:?}, which is no name of a variable"
            ));
        }
        if agent.env.contains_key(name) {
            return Err(format!(
                "{name} is in [agent] env and in [credentials] env; keep one"
            ));
        }
    }
    if let Some(build) = &agent.build {
        below("[agent] build", build, "a directory")?;
    }
    if let Some(presets) = &config.network.presets {
        below("[network] presets", presets, "a directory")?;
    }
    paths("[agent]", "workdir", agent.workdir.as_deref())?;
    variables("[agent]", &agent.env)?;
    ceilings("[agent]", agent.pids, agent.nofile)?;
    for (name, service) in &config.services {
        let section = format!("[services.{name}]");
        if RESERVED.contains(&name.as_str()) {
            return Err(format!(
                "{section} cannot have that name: it means another inside a task"
            ));
        }
        self::service(&section, service)?;
    }
    if let Some(file) = &config.compose.file {
        below("[compose] file", file, "a file")?;
    }
    Outputs::new(&config.results.outputs).map_err(|why| format!("[results] outputs: {why}"))?;
    if let Some(pool) = config.network.pool {
        Pool::new(pool).map_err(|e| format!("[network] pool: {e}"))?;
    }
    match config.network.mtu {
        Some(mtu) if !MTU.contains(&mtu) => Err(format!(
            "[network] mtu = {mtu} is not from {} to {}",
            MTU.start(),
            MTU.end()
        )),
        Some(_) | None => Ok(()),
    }
}

/// What only shows once the compose file was read.
pub(super) fn whole(config: &Config) -> Result<(), String> {
    check(config)?;
    for (name, service) in &config.services {
        let section = format!("[services.{name}]");
        if service.image.is_none() {
            return Err(format!("{section} has no image"));
        }
        for other in &service.after {
            if !config.services.contains_key(other) {
                return Err(format!(
                    "{section} after names {other}, which is no service"
                ));
            }
        }
    }
    no_circle(&config.services)
}

/// Services that wait for each other would wait for ever.
fn no_circle(services: &BTreeMap<Slug, Service>) -> Result<(), String> {
    let mut ready: BTreeSet<&Slug> = BTreeSet::new();
    loop {
        let next = services.iter().find(|(name, service)| {
            !ready.contains(name) && service.after.iter().all(|other| ready.contains(other))
        });
        match next {
            Some((name, _)) => ready.insert(name),
            None => break,
        };
    }
    let stuck: Vec<_> = services
        .keys()
        .filter(|name| !ready.contains(name))
        .collect();
    match stuck.as_slice() {
        [] => Ok(()),
        stuck => {
            let names: Vec<_> = stuck.iter().map(|name| name.as_str()).collect();
            Err(format!(
                "services wait for each other in a circle: {}; take one of their after = away",
                names.join(", ")
            ))
        }
    }
}

fn service(section: &str, service: &Service) -> Result<(), String> {
    paths(
        section,
        "tmpfs",
        service.tmpfs.iter().map(|t| t.path.as_str()),
    )?;
    paths(
        section,
        "volumes",
        service.volumes.values().map(String::as_str),
    )?;
    if let Some(path) = service
        .workdir
        .as_ref()
        .filter(|path| !path.starts_with('/'))
    {
        return Err(format!(
            "{section} workdir = {path:?} must be an absolute path"
        ));
    }
    let mut seen = BTreeSet::new();
    let tmpfs = service.tmpfs.iter().map(|t| t.path.as_str());
    for path in tmpfs.chain(service.volumes.values().map(String::as_str)) {
        if !seen.insert(path.trim_end_matches('/')) {
            return Err(format!("{section} has two things at {path:?}"));
        }
    }
    variables(section, &service.env)?;
    ceilings(section, service.pids, service.nofile)?;
    if let Some(file) = &service.seccomp {
        below(&format!("{section} seccomp"), file, "a file")?;
    }
    for name in &service.generate {
        if !is_variable(name) {
            return Err(format!(
                "{section} generate has {name:?}; a variable's name has A-Z, a-z, 0-9 and _"
            ));
        }
        if service.env.contains_key(name) {
            return Err(format!(
                "{section} has {name} in both env and generate; keep one"
            ));
        }
    }
    for (name, template) in &service.agent_env {
        if !is_variable(name) {
            return Err(format!(
                "{section} agent_env has {name:?}; a variable's name has A-Z, a-z, 0-9 and _"
            ));
        }
        for variable in template.variables() {
            if !service.env.contains_key(variable)
                && !service.generate.iter().any(|g| g == variable)
            {
                return Err(format!(
                    "{section} agent_env: {name} uses ${{{variable}}}, which neither env nor generate of \
                     this service has"
                ));
            }
        }
    }
    Ok(())
}

fn is_variable(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.bytes().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

fn below(key: &str, path: &Path, what: &str) -> Result<(), String> {
    if path.is_absolute() || path.components().any(|c| c.as_os_str() == "..") {
        return Err(format!(
            "{key} = {:?} leaves the checkout; name {what} below it",
            path.display()
        ));
    }
    Ok(())
}

fn paths<'a>(
    section: &str,
    key: &str,
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<(), String> {
    match paths.into_iter().find(|path| !is_plain_path(path)) {
        Some(path) => Err(format!(
            "{section} {key} = {path:?} must be an absolute path other than / and /agentnet, \
             without . and .."
        )),
        None => Ok(()),
    }
}

fn variables(section: &str, env: &BTreeMap<String, String>) -> Result<(), String> {
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
    Ok(())
}

fn ceilings(section: &str, pids: Option<u32>, nofile: Option<u32>) -> Result<(), String> {
    if let Some(pids) = pids
        && pids < FEWEST_PIDS
    {
        return Err(format!(
            "{section} pids = {pids} is too few: at least {FEWEST_PIDS}"
        ));
    }
    if let Some(files) = nofile
        && !(FEWEST_FILES..=MOST_FILES).contains(&files)
    {
        return Err(format!(
            "{section} nofile = {files} is not from {FEWEST_FILES} to {MOST_FILES}"
        ));
    }
    Ok(())
}

/// Absolute, as the kernel writes it, not the root and not the place where the gate is.
fn is_plain_path(path: &str) -> bool {
    let Some(below) = path.strip_prefix('/') else {
        return false;
    };
    let below = below.strip_suffix('/').unwrap_or(below);
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains([':', ',', '\0']);
    below.split('/').all(plain) && below.split('/').next() != Some("agentnet")
}
