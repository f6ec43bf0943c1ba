//! The gate on its volume.

use super::containers::{bare, volume_of};
use super::{Draft, Inputs, Step, missing};
use crate::error::Result;
use crate::labels::Role;
use crate::spec::{Limits, Mount};

/// Where everything of ours is in every container.
pub(super) const OURS: &str = "/agentnet";
/// Where the gate's volume is in every container.
pub(super) const GATE_DIR: &str = "/agentnet/bin";
/// The gate itself, in every container.
pub const GATE: &str = "/agentnet/bin/agentnet-gate";

/// When the gate can be used.
#[derive(Debug, Clone, Copy)]
pub(super) struct GateSteps {
    /// Before a container that mounts it may be created: the engine would make a volume of that
    /// name by itself, without our labels.
    pub(super) volume: usize,
    /// Before it may start.
    pub(super) filled: usize,
}

/// The volume with the gate. The engine fills an empty volume when a container is created on it,
/// so that container is never started and goes at once; or, as Podman does, when it starts.
pub(super) fn gate(inputs: &Inputs<'_>, draft: &mut Draft) -> Result<GateSteps> {
    let image = inputs.images.gate.as_ref().ok_or_else(|| missing("gate"))?;
    let name = inputs.task.resource(Role::Gate);
    let volume = draft.add(Step::Volume(volume_of(inputs, Role::Gate)), &[]);
    let mut filler = bare(inputs, Role::Gate, name.clone(), image.to_string());
    filler.command = vec![GATE.to_owned(), "--version".to_owned()];
    filler.mounts = vec![Mount::Volume {
        volume: volume_of(inputs, Role::Gate),
        target: GATE_DIR.to_owned(),
        writable: true,
        fill: true,
    }];
    filler.limits = Limits::default();
    let mut filled = draft.add(Step::Container(filler), &[volume]);
    if inputs.facts.fills_at_start {
        let start = Step::Start {
            container: name.clone(),
            role: Role::Gate,
        };
        filled = draft.add(start, &[filled]);
    }
    draft.add(Step::Remove { container: name }, &[filled]);
    Ok(GateSteps { volume, filled })
}
