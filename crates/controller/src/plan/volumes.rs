//! The steps that move the task's files into volumes, where the engine maps users.

use super::{Draft, Inputs, Step, missing};
use crate::error::Result;
use crate::extractor::{Job, TREE, template};
use crate::labels::Role;
use crate::snapshot::{Archive, PATIENCE, Pour};
use crate::spec::{Capability, Mount};
use crate::workspace::{GIT, Half};

/// What unpacks an archive of ours.
const UNPACK: &str = "exec tar --extract --file=- --directory=\"$1\" --numeric-owner --same-owner --preserve-permissions \
                      --delay-directory-restore";

/// The volumes themselves; none where the files are directories of the host.
pub(super) fn make(inputs: &Inputs<'_>, draft: &mut Draft) -> Vec<usize> {
    let volumes = inputs.workspace.volumes().cloned();
    let steps = volumes.map(|volume| draft.add(Step::Volume(volume), &[]));
    steps.collect()
}

/// The step after which the files are where the containers find them; `made` is the one that made them.
pub(super) fn fill(inputs: &Inputs<'_>, made: usize, draft: &mut Draft) -> Result<usize> {
    let workspace = inputs.workspace;
    if !workspace.is_in_volumes() || inputs.moved {
        return Ok(made);
    }
    let tools = inputs.images.tools.as_ref();
    let tools = tools.ok_or_else(|| missing("tools"))?;
    let template = template(tools, inputs.state, inputs.task, None, inputs.facts);
    let halves = [(Half::Files, TREE), (Half::Git, GIT)];
    let mut filled = Vec::new();
    for (volume, (half, target)) in workspace.volumes().zip(halves) {
        let half_name = half.as_str();
        let doing = format!("moving {half_name} into volume {}", volume.name);
        let mount = Mount::either(Some(volume), target.as_ref(), target.to_owned(), true);
        let job = Job::script(&doing, UNPACK)
            .arguments([target])
            .mounts([mount])
            .as_root(&Capability::WRITE)
            .within(PATIENCE);
        let name = format!("{}-fill-{half_name}", inputs.task.resource(Role::Extractor));
        let pour = Pour {
            doing,
            archive: Some(Archive::Half {
                workspace: Box::new(workspace.clone()),
                half,
                owner: inputs.reader,
            }),
            links: None,
            spec: job.spec(&template, name, true),
        };
        filled.push(draft.add(Step::Pour(pour), &[made]));
    }
    Ok(draft.add(Step::Vacate(workspace.clone()), &filled))
}
