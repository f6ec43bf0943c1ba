//! What is there of a task before it comes up.

use super::Setup;
use crate::engine::{Engine, EngineError, Running};
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::paths::{StateDir, TaskDir};
use crate::record::{Phase, Record};
use crate::teardown::{self, Changes};
use crate::workspace::Workspace;

/// Removes what an interrupted `up`, or a host that restarted, left of this task. A task that is
/// up stays as it is.
pub(super) async fn make_way<E: Engine>(
    engine: &E,
    state: &StateDir,
    setup: &Setup,
    dir: &TaskDir,
) -> Result<bool> {
    let Some(record) = Record::read(dir)? else {
        return Ok(false);
    };
    if record.workspace != setup.workspace && record.workspace.files().exists() {
        let same = same_checkout(&record.workspace, &setup.workspace);
        if !same {
            return Err(Error::InUse(format!(
                "task {} exists for {}; choose another name, or set project = in agentnet.toml",
                setup.task,
                place(&record.workspace)
            )));
        }
    }
    if record.phase == Phase::Down {
        return Ok(false);
    }
    if record.engine != engine.endpoint() {
        return Err(Error::InUse(format!(
            "task {0} is on the engine at {1}, and this is {2}; agentnet down {0} ends it there",
            setup.task,
            record.engine,
            engine.endpoint()
        )));
    }
    if record.lives(state)? {
        let agent = setup.task.resource(Role::Agent);
        match engine.inspect_container(&agent).await {
            Ok(state) if state.running == Running::Running => {
                return Err(Error::InUse(format!(
                    "task {0} is up already; agentnet exec {0} -- CMD uses it, agentnet down {0} ends it",
                    setup.task
                )));
            }
            Ok(_) | Err(EngineError::NotFound(_)) => {}
            Err(e) => return Err(Error::engine(format!("looking at {agent}"))(e)),
        }
    }
    let workspace = Some(&record.workspace);
    let report = teardown::task(engine, state, &setup.task, workspace, Changes::Keep).await;
    if report.errors.is_empty() {
        Ok(true)
    } else {
        Err(Error::LeftBehind(report.errors.join("\n")))
    }
}

/// A kept tree is taken up again although the checkout has moved on since.
fn same_checkout(old: &Workspace, new: &Workspace) -> bool {
    match (old, new) {
        (Workspace::Worktree { checkout: a, .. }, Workspace::Worktree { checkout: b, .. }) => {
            a == b
        }
        (Workspace::Directory { path: a, .. }, Workspace::Directory { path: b, .. }) => a == b,
        (Workspace::Worktree { .. }, Workspace::Directory { .. })
        | (Workspace::Directory { .. }, Workspace::Worktree { .. }) => false,
    }
}

fn place(workspace: &Workspace) -> String {
    match workspace {
        Workspace::Worktree { checkout, .. } => checkout.display().to_string(),
        Workspace::Directory { path, .. } => path.display().to_string(),
    }
}
