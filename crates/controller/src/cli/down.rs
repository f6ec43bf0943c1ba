//! `agentnet down`

use futures_util::future::join_all;
use serde::Serialize;

use super::Format;
use super::context::Context;
use super::sync::tell_saved;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::labels::{Labels, Owner, Role};
use crate::lock::TaskLock;
use crate::record::{Phase, Record};
use crate::snapshot::Shelf;
use crate::task::{Slug, TaskId};
use crate::teardown::{self, Changes};
use crate::workspace::{Fate, Workspace};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The tasks
    #[arg(required_unless_present = "all")]
    tasks: Vec<Slug>,
    /// Every task of this installation, or of --project
    #[arg(long, conflicts_with = "tasks")]
    all: bool,
    /// Remove the tasks' files even if they were changed
    #[arg(long)]
    discard: bool,
    /// Keep the volumes of the tasks' services, and their passwords, for the next up
    #[arg(long, conflicts_with = "discard")]
    keep_volumes: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Serialize)]
struct Line {
    task: String,
    project: String,
    removed: Vec<String>,
    files: Option<Fate>,
    kept_volumes: Vec<String>,
    saved: Option<crate::sync::Report>,
    unsaved: Option<String>,
}

/// The volumes with data of a task's services that are there.
async fn volumes<E: Engine>(engine: &E, state: &str, id: &TaskId) -> Result<Vec<String>> {
    let listed = engine.owned(state).await;
    let listed = listed.map_err(Error::engine("listing what is ours"))?;
    let data = |labels: &Labels| {
        Owner::read(labels).is_some_and(|o| o.task == *id && o.role == Role::Volume)
    };
    let found = listed.into_iter().filter(|r| data(&r.labels));
    Ok(found.map(|r| r.name).collect())
}

pub(super) async fn down(context: &Context, args: Args) -> Result<u8> {
    let changes = if args.discard {
        Changes::Discard
    } else {
        Changes::Keep
    };
    let mut tasks = Vec::new();
    if args.all {
        let mine = |id: &TaskId| context.project.as_ref().is_none_or(|p| *p == id.project);
        tasks.extend(context.state.tasks()?.into_iter().filter(mine));
    }
    for task in &args.tasks {
        match context.find(task) {
            Ok((id, _)) => tasks.push(id),
            // Down twice is fine.
            Err(Error::NoTask { task, .. }) => {
                context.output.say(&format!("task {task} is not up"))
            }
            Err(e) => return Err(e),
        }
    }
    tasks.sort();
    tasks.dedup();
    // To the end, whatever fails on the way.
    let outcomes = join_all(
        tasks
            .iter()
            .map(|id| one(context, id, changes, args.keep_volumes)),
    )
    .await;
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for (id, outcome) in tasks.iter().zip(outcomes) {
        match outcome {
            Ok(line) => lines.push(line),
            Err(e) if tasks.len() == 1 => return Err(e),
            Err(e) => errors.push(format!("task {id}: {e}")),
        }
    }
    if context.output.json {
        context
            .output
            .json(&serde_json::json!({ "v": 1, "tasks": lines }))?;
    }
    if errors.is_empty() {
        Ok(Exit::Ok.code())
    } else {
        Err(Error::LeftBehind(errors.join("\n")))
    }
}

async fn one(context: &Context, id: &TaskId, changes: Changes, keep_volumes: bool) -> Result<Line> {
    let _lock = TaskLock::take(&context.state, id).await?;
    let dir = context.state.task(id);
    let mut record = Record::read(&dir)?;
    // A tree that a person removed by hand leaves nothing to keep.
    let idle = record
        .as_ref()
        .is_some_and(|r| r.phase == Phase::Down && !r.is_abandoned());
    if idle && changes == Changes::Keep {
        let (record, record_volumes) = record
            .map(|r| {
                let place = r.workspace.whereabouts();
                ((r.workspace.files().to_owned(), place), r.kept_volumes)
            })
            .unwrap_or_default();
        let (record, place) = record;
        let what = match record.exists() {
            true => format!("its changed files are kept in {place}"),
            false => "the volumes of its services are kept".to_owned(),
        };
        context.output.say(&format!(
            "task {id} is down; {what}; --discard removes what is left of it"
        ));
        let (task, project) = (id.task.to_string(), id.project.to_string());
        return Ok(Line {
            task,
            project,
            removed: Vec::new(),
            kept_volumes: record_volumes,
            files: Some(Fate::Kept(record)),
            saved: None,
            unsaved: None,
        });
    }
    let engine = match &record {
        Some(record) => context.engine_of(record)?,
        None => context.engine()?,
    };
    // Killed from here on, it is what gc looks for.
    if let Some(record) = &mut record {
        record.phase = Phase::Partial;
        record.kept_volumes = match keep_volumes {
            true => volumes(&engine, context.state.id(), id).await?,
            false => Vec::new(),
        };
        record.write(&dir)?;
    }
    let workspace = record.as_ref().map(|record| &record.workspace);
    let report = teardown::task(&engine, &context.state, id, workspace, changes).await;
    if !report.errors.is_empty() {
        return Err(Error::LeftBehind(report.errors.join("\n")));
    }
    tell_saved(context, id, workspace.and_then(Workspace::branch), &report);
    match &report.fate {
        Some(Fate::Kept(path)) => context.output.say(&format!(
            "task {id} is down; changed files are kept in {}; agentnet down {id} --discard removes them",
            match workspace.filter(|workspace| workspace.is_in_volumes()) {
                Some(workspace) => workspace.whereabouts(),
                None => path.display().to_string(),
            }
        )),
        Some(Fate::Removed | Fate::Untouched) | None => {
            context.output.say(&format!("task {id} is down"));
        }
    }
    if !report.kept_volumes.is_empty() {
        context.output.say(&format!(
            "the volumes of its services are kept ({}); agentnet up {id} uses them, agentnet down {id} --discard \
             removes them",
            report.kept_volumes.join(", ")
        ));
    }
    let snapshots = Shelf::of(&context.state, id).count();
    if snapshots > 0 {
        let plural = if snapshots == 1 { " stays" } else { "s stay" };
        context.output.say(&format!(
            "{snapshots} snapshot{plural}: agentnet snapshot ls {id} shows, agentnet snapshot rm {id} NAME removes"
        ));
    }
    Ok(Line {
        task: id.task.to_string(),
        project: id.project.to_string(),
        kept_volumes: report.kept_volumes,
        removed: report.removed.into_iter().map(|(_, name)| name).collect(),
        files: report.fate,
        saved: report.saved,
        unsaved: report.unsaved,
    })
}
