//! What interrupted runs left: tasks whose `up` never ended, and engine objects without a task.
//! Only this installation's: another's label is another's business.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::engine::{Engine, EngineError, Kind, Resource, Running};
use crate::error::{Error, Result};
use crate::labels::{Owner, Role};
use crate::lock::TaskLock;
use crate::paths::StateDir;
use crate::record::{Phase, Record};
use crate::snapshot::{self, release};
use crate::task::TaskId;
use crate::teardown::{self, Changes, Report};
use crate::workspace::Fate;

/// Something without a living task.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Leftover {
    /// Whose it was.
    pub task: TaskId,
    /// The engine objects that are there, or that were removed: kind and name.
    pub objects: Vec<(Kind, String)>,
    /// It has files in the state directory.
    pub files: bool,
    /// A snapshot of it that was half made, or half removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Where its changed files are kept; they are nobody's to remove without a word.
    pub kept: Option<PathBuf>,
}

/// Finds leftovers on one engine and of the tasks that were there, and removes them if `remove`. Also
/// one sentence for each thing that is still there.
pub async fn collect<E: Engine>(
    engine: &E,
    state: &StateDir,
    remove: bool,
) -> Result<(Vec<Leftover>, Vec<String>)> {
    let listed = engine
        .owned(state.id())
        .await
        .map_err(Error::engine("listing what is ours"))?;
    let mut tasks: BTreeSet<TaskId> = state.tasks()?.into_iter().collect();
    tasks.extend(
        listed
            .iter()
            .filter_map(|r| Owner::read(&r.labels))
            .map(|owner| owner.task),
    );
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for task in tasks {
        // Somebody works on it, so it is not a leftover.
        let Some(_lock) = TaskLock::try_take(&state.lock(&task))? else {
            continue;
        };
        let dir = state.task(&task);
        let record = match Record::read(&dir) {
            Ok(record) => record,
            // Whether it lives cannot be known, so it is not touched.
            Err(e) => {
                errors.push(e.to_string());
                continue;
            }
        };
        let elsewhere = record
            .as_ref()
            .is_some_and(|r| r.engine != engine.endpoint());
        // Its files are not this engine's business; what is here in its name is nobody's.
        let kept = elsewhere
            || record
                .as_ref()
                .is_some_and(|r| r.phase == Phase::Down && !r.is_abandoned());
        let lives = match &record {
            Some(record) => record.lives(state)?,
            None => false,
        };
        if lives && !elsewhere {
            // A snapshot that was killed may have held it.
            if let (Some(record), true) = (&record, remove) {
                errors.extend(release(engine, record).await);
            }
            let ended = ended_extractors(engine, state, &task).await?;
            if !ended.is_empty() {
                found.push(sweep_extractors(engine, task, ended, remove, &mut errors).await);
            }
            continue;
        }
        // Listed again under the lock: an `up` may have begun and ended since.
        let listed = engine
            .owned(state.id())
            .await
            .map_err(Error::engine("listing what is ours"))?;
        // What a task that went down left for the next one is not a leftover.
        let spare = match &record {
            Some(record) if kept && !elsewhere => record.kept(),
            Some(record) if !elsewhere => record.kept_volumes.clone(),
            Some(_) | None => Vec::new(),
        };
        let mut objects: Vec<_> = listed
            .into_iter()
            .filter(|r| Owner::read(&r.labels).is_some_and(|owner| owner.task == task))
            .filter(|r| r.kind != Kind::Volume || !spare.contains(&r.name))
            .map(|r| (r.kind, r.name))
            .collect();
        let files = dir.root().exists() && !kept;
        if objects.is_empty() && !files {
            continue;
        }
        let (mut kept_at, mut all_gone) = (None, true);
        if remove {
            let mut report = Report::default();
            if kept {
                let mine = |owner: &Owner| owner.task == task;
                teardown::objects(engine, state.id(), &mine, &[], &spare, &mut report).await;
            } else {
                let workspace = record.as_ref().map(|r| &r.workspace);
                report = teardown::task(engine, state, &task, workspace, Changes::Keep).await;
            }
            objects = report.removed;
            all_gone = report.errors.is_empty();
            errors.extend(report.errors);
            if let Some(Fate::Kept(path)) = report.fate {
                kept_at = Some(path);
            }
        }
        found.push(Leftover {
            task,
            objects,
            snapshot: None,
            files: files && kept_at.is_none() && all_gone,
            kept: kept_at,
        });
    }
    for (task, name) in snapshot::sweep(state, remove).await? {
        found.push(Leftover {
            task,
            objects: Vec::new(),
            snapshot: Some(name),
            files: false,
            kept: None,
        });
    }
    if remove {
        sweep_locks(state)?;
    }
    Ok((found, errors))
}

/// Extractors of a living task that nobody waits for: one that runs ends by itself.
async fn ended_extractors<E: Engine>(
    engine: &E,
    state: &StateDir,
    task: &TaskId,
) -> Result<Vec<Resource>> {
    let listed = engine
        .owned(state.id())
        .await
        .map_err(Error::engine("listing what is ours"))?;
    let mine = |r: &Resource| {
        Owner::read(&r.labels).is_some_and(|o| o.task == *task && o.role == Role::Extractor)
    };
    let mut ended = Vec::new();
    for resource in listed.into_iter().filter(mine) {
        match engine.inspect_container(&resource.id).await {
            Ok(found) if found.running != Running::Running => ended.push(resource),
            // Gone since, or not to be had: not ours to judge.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(ended)
}

async fn sweep_extractors<E: Engine>(
    engine: &E,
    task: TaskId,
    ended: Vec<Resource>,
    remove: bool,
    errors: &mut Vec<String>,
) -> Leftover {
    for resource in &ended {
        if remove {
            match engine.remove(Kind::Container, &resource.id).await {
                Ok(()) | Err(EngineError::NotFound(_)) => {}
                Err(e) => errors.push(format!("removing {}: {e}", resource.name)),
            }
        }
    }
    Leftover {
        task,
        objects: ended.into_iter().map(|r| (r.kind, r.name)).collect(),
        snapshot: None,
        files: false,
        kept: None,
    }
}

/// A killed process leaves its lock's file: free, and empty. Taking and dropping it removes it.
fn sweep_locks(state: &StateDir) -> Result<()> {
    for path in state.locks()? {
        drop(TaskLock::try_take(&path)?);
    }
    Ok(())
}
