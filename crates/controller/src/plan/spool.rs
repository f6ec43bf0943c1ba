//! The directories through which the agent tells people something, and is answered.
//!
//! Both are plain directories of the host's: a volume in memory would bound what the agent can fill,
//! and could not be read by a person's own program (THREATS W132). What lies there counts as the
//! task's files do ([`crate::disk`]). An engine's API has no words for mounting a directory of the
//! host without programs, devices and set-user bits. None is of use there: the agent has no new
//! privileges and no capability, and may write its workspace as well.

use super::{Draft, Inputs, Step};
use crate::paths::SPOOL;
use crate::spec::{ContainerSpec, Mount};

/// Where the agent finds the two directories: what `AGENTNET_NOTIFY` says.
const NOTIFY_DIR: &str = "/agentnet/notify";

/// The step before the agent's container may be created.
pub(super) fn step(inputs: &Inputs<'_>, draft: &mut Draft) -> Option<usize> {
    let step = Step::Spool {
        path: inputs.directory.join(SPOOL),
        owner: inputs.facts.outside(inputs.reader),
    };
    inputs.config.notify.enabled.then(|| draft.add(step, &[]))
}

/// The mounts, and the variable that names them.
pub(super) fn give(inputs: &Inputs<'_>, spec: &mut ContainerSpec) {
    if !inputs.config.notify.enabled {
        return;
    }
    let spool = inputs.directory.join(SPOOL);
    for (name, writable) in [("out", true), ("in", false)] {
        spec.mounts.push(Mount::Bind {
            source: spool.join(name),
            target: format!("{NOTIFY_DIR}/{name}"),
            writable,
        });
    }
    spec.env
        .insert("AGENTNET_NOTIFY".to_owned(), NOTIFY_DIR.to_owned());
}
