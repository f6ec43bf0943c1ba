//! What an earlier task of the name left, and the next one takes up.

use std::path::Path;

use super::{PrivateGit, Source, Workspace};
use crate::error::{Error, Result};
use crate::paths::TaskDir;
use crate::record::{Phase, Record};
use crate::task::TaskId;

/// Where a task began, its git directory, and where its repository came from.
pub(super) type Kept = (String, Box<PrivateGit>, Option<Source>);

/// What an earlier task of the name, of the same repository, left.
pub(super) fn kept(dir: &TaskDir, repository: &Path) -> Result<Option<Kept>> {
    let kept = Record::read(dir)?
        .filter(|record| record.phase == Phase::Down && record.workspace.files().exists());
    Ok(match kept.map(|record| record.workspace) {
        Some(Workspace::Worktree {
            checkout,
            base,
            git,
            source,
            ..
        }) if checkout == repository => Some((base, git, source)),
        Some(_) | None => None,
    })
}

pub(super) fn shares(id: &TaskId) -> Error {
    Error::InUse(format!(
        "the kept files of task {0} share the repository's objects, so it cannot become a clone; take it up \
         without --clone, or agentnet down {0} --discard removes them",
        id.task
    ))
}
