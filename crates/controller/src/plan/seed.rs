//! The steps that fill a task from a snapshot, between what makes its places and what starts in them.

use super::{Draft, Inputs, Step, missing};
use crate::error::Result;
use crate::snapshot::Hands;
use crate::spec::{ContainerSpec, VolumeSpec};

fn hands<'a>(inputs: &'a Inputs<'_>) -> Result<Hands<'a>> {
    Ok(Hands {
        tools: inputs
            .images
            .tools
            .as_ref()
            .ok_or_else(|| missing("tools"))?,
        state: inputs.state,
        task: inputs.task,
        owner: inputs.reader,
        facts: inputs.facts,
    })
}

/// The task's files and its git directory; the step after which they are as they are to be.
pub(super) fn workspace(
    inputs: &Inputs<'_>,
    [files, made]: [usize; 2],
    draft: &mut Draft,
) -> Result<usize> {
    let Some(seed) = inputs.seed else {
        return Ok(made);
    };
    let steps = seed.workspace(inputs.workspace, &inputs.directory, &hands(inputs)?);
    Ok(steps.into_iter().fold(made, |last, pour| {
        draft.add(Step::Pour(pour), &[files, last])
    }))
}

/// A service's volume; it is filled after its container was created, which would fill an empty one from the image.
pub(super) fn volume(
    inputs: &Inputs<'_>,
    volume: &VolumeSpec,
    created: usize,
    draft: &mut Draft,
) -> Result<Option<usize>> {
    let Some(seed) = inputs.seed else {
        return Ok(None);
    };
    let pour = seed.volume(volume, &hands(inputs)?);
    Ok(pour.map(|pour| draft.add(Step::Pour(pour), &[created])))
}

/// The image that the agent's container begins from instead; the step that makes it.
pub(super) fn layer(
    inputs: &Inputs<'_>,
    spec: &mut ContainerSpec,
    draft: &mut Draft,
) -> Result<Option<usize>> {
    let Some(layer) = inputs
        .seed
        .map(|seed| hands(inputs).map(|hands| seed.layer(&hands)))
        .transpose()?
        .flatten()
    else {
        return Ok(None);
    };
    spec.image.clone_from(&layer.name);
    Ok(Some(draft.add(Step::Layer(layer), &[])))
}
