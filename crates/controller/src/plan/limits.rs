//! Default ceilings, fitted to the engine's host.

use crate::config::{Bytes, Cpus};
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
}

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// Wanted, or the role's default; never more CPUs than there are (the engine refuses that), and
/// nothing that the engine's host cannot enforce.
pub(super) fn limits(role: Role, wanted: Wanted, facts: &Facts) -> Limits {
    let (memory, pids) = match role {
        Role::Agent => (8 * GIB, 4096),
        Role::Service => (2 * GIB, 1024),
        // Its scratch space is memory: untracked files that are saved go there.
        Role::Extractor => (2 * GIB, 256),
        Role::Proxy | Role::Relay => (512 * MIB, 256),
        Role::Fence | Role::Egress | Role::Gate | Role::Socket | Role::Budgets => (64 * MIB, 16),
    };
    // A default must not take the whole machine down with it; a wish of the user's may.
    let memory = wanted
        .memory
        .map_or_else(|| memory.min(facts.memory / 4 * 3), |bytes| bytes.0);
    let all = u64::from(facts.cpus) * 1000;
    let spare = if facts.cpus >= 4 { all - 1000 } else { all };
    let cpus = wanted.cpus.map_or(spare, |cpus| cpus.0.min(all));
    Limits {
        memory: facts
            .limits
            .memory
            .then_some(memory)
            .filter(|m| *m >= 6 * MIB),
        milli_cpus: facts.limits.cpus.then_some(cpus).filter(|c| *c > 0),
        pids: facts.limits.pids.then(|| wanted.pids.unwrap_or(pids)),
    }
}
