//! Default ceilings, fitted to the engine's host.

use std::collections::BTreeMap;

use super::Inputs;
use crate::config::{Bytes, Cpus};
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::labels::Role;
use crate::spec::Limits;

/// The ceilings of a short-lived container of ours.
#[must_use]
pub fn tool_limits(facts: &Facts) -> Limits {
    limits(Role::Extractor, Wanted::default(), facts)
}

/// What was configured for one container.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) memory: Option<Bytes>,
    pub(super) cpus: Option<Cpus>,
    pub(super) pids: Option<u32>,
    pub(super) nofile: Option<u32>,
    pub(super) memlock: Option<Bytes>,
    pub(super) shm: Option<Bytes>,
    pub(super) disk: Option<Bytes>,
}

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// A role's ceilings where nothing is said.
struct Usual {
    memory: u64,
    cpus: u64,
    pids: u32,
    disk: Option<u64>,
}

/// What an agent may write where nothing is said.
pub(super) const AGENT_DISK: u64 = 20 * GIB;
/// Open files: more than a build or a database needs. Where it is a thousand million, as some engines have it,
/// programs that close every file they could have open take minutes to start.
const FILES: u64 = 65_536;
/// An engine gives 64 MiB, in which neither a browser nor a parallel query of PostgreSQL gets far.
const SHM: u64 = 256 * MIB;

/// Wanted, or the role's default; never more CPUs than there are (the engine refuses that), and
/// nothing that the engine's host cannot enforce.
pub(super) fn limits(role: Role, wanted: Wanted, facts: &Facts) -> Limits {
    let all = u64::from(facts.cpus) * 1000;
    let spare = if facts.cpus >= 4 { all - 1000 } else { all };
    let default = match role {
        Role::Agent => Usual {
            memory: 4 * GIB,
            cpus: 2000,
            pids: 512,
            disk: Some(AGENT_DISK),
        },
        Role::Service => Usual {
            memory: 2 * GIB,
            cpus: 2000,
            pids: 512,
            disk: None,
        },
        // Its scratch space is memory: untracked files that are saved go there.
        Role::Extractor => Usual {
            memory: 2 * GIB,
            cpus: spare,
            pids: 256,
            disk: None,
        },
        Role::Proxy | Role::Relay => Usual {
            memory: 512 * MIB,
            cpus: spare,
            pids: 256,
            disk: None,
        },
        Role::Fence
        | Role::Egress
        | Role::Gate
        | Role::Socket
        | Role::Budgets
        | Role::Volume
        | Role::Snapshot
        | Role::Files
        | Role::Git => Usual {
            memory: 64 * MIB,
            cpus: spare,
            pids: 16,
            disk: None,
        },
    };
    // A default must not take the whole machine down with it; a wish of the user's may.
    let memory = wanted
        .memory
        .map_or_else(|| default.memory.min(facts.memory / 4 * 3), |bytes| bytes.0);
    let cpus = wanted.cpus.map_or(default.cpus, |cpus| cpus.0).min(all);
    let tenant = matches!(role, Role::Agent | Role::Service);
    let nofile = match wanted.nofile {
        Some(files) => Some(u64::from(files)),
        None => facts.nofile.filter(|_| tenant).map(|most| most.min(FILES)),
    };
    Limits {
        memory: facts
            .limits
            .memory
            .then_some(memory)
            .filter(|m| *m >= 6 * MIB),
        milli_cpus: facts.limits.cpus.then_some(cpus).filter(|c| *c > 0),
        pids: facts
            .limits
            .pids
            .then(|| wanted.pids.unwrap_or(default.pids)),
        nofile,
        memlock: wanted.memlock.map(|bytes| bytes.0),
        shm: wanted
            .shm
            .map(|bytes| bytes.0)
            .or_else(|| tenant.then_some(SHM)),
        disk: wanted
            .disk
            .map(|bytes| bytes.0)
            .or(default.disk)
            .filter(|_| facts.disk_quota),
    }
}

/// Refuses what this engine cannot give, before anything is created.
pub(super) fn check(inputs: &Inputs<'_>) -> Result<()> {
    let agent = inputs.config.agent.gpus.map(|_| "[agent]".to_owned());
    let services = inputs.config.services.iter();
    let services = services
        .filter(|(_, service)| service.gpus.is_some())
        .map(|(name, _)| format!("[services.{name}]"));
    match agent.into_iter().chain(services).next() {
        Some(section) if !inputs.facts.gpus => Err(Error::Unfit(format!(
            "{section} gpus: {} on {} hands out no GPUs; install NVIDIA's container toolkit there and register it \
             (nvidia-ctk runtime configure --runtime=docker), or take gpus away",
            inputs.facts.name(),
            inputs.facts.endpoint
        ))),
        Some(_) | None => Ok(()),
    }
}

/// What a program is told of its ceilings: a process sees the host's memory and CPUs, not its cgroup's.
pub(super) fn told(limits: &Limits, disk: Option<u64>) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    let mut tell = |name: &str, value: Option<String>| {
        env.extend(value.map(|value| (name.to_owned(), value)));
    };
    tell(
        "AGENTNET_MEMORY_BYTES",
        limits.memory.map(|n| n.to_string()),
    );
    tell("AGENTNET_CPUS", limits.milli_cpus.map(decimal));
    tell("AGENTNET_PIDS", limits.pids.map(|n| n.to_string()));
    tell("AGENTNET_NOFILE", limits.nofile.map(|n| n.to_string()));
    tell("AGENTNET_SHM_BYTES", limits.shm.map(|n| n.to_string()));
    tell("AGENTNET_DISK_BYTES", disk.map(|n| n.to_string()));
    // Go before 1.25 and Python know the host's CPUs only, and start a thread or a worker for each.
    // Node, the JVM, .NET and Rust read the cgroup by themselves.
    let whole = limits.milli_cpus.map(|n| n.div_ceil(1000).to_string());
    tell("GOMAXPROCS", whole.clone());
    tell("PYTHON_CPU_COUNT", whole);
    env
}

/// Thousandths as people write them: `2`, `1.5`.
fn decimal(thousandths: u64) -> String {
    let (whole, rest) = (thousandths / 1000, thousandths % 1000);
    let text = format!("{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousandths_are_written_as_people_write_them() {
        let cases = [
            (2000, "2"),
            (1500, "1.5"),
            (10, "0.01"),
            (1234, "1.234"),
            (20_000, "20"),
        ];
        for (thousandths, text) in cases {
            assert_eq!(decimal(thousandths), text);
        }
    }

    #[test]
    fn what_is_not_bounded_is_not_told() {
        assert_eq!(told(&Limits::default(), None), BTreeMap::new());
    }
}
