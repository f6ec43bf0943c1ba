//! `agentnet ls`

use futures_util::future::join_all;
use serde::Serialize;

use super::Format;
use super::context::Context;
use crate::config::{Fence, Mode};
use crate::engine::{Engine, Running};
use crate::error::Result;
use crate::exit::Exit;
use crate::labels::Role;
use crate::output::table;
use crate::record::Record;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Serialize)]
struct Line {
    project: String,
    task: String,
    state: String,
    mode: Mode,
    fence: Option<Fence>,
    since: jiff::Timestamp,
    files: std::path::PathBuf,
}

pub(super) async fn ls(context: &Context, _: Args) -> Result<u8> {
    let mut records = Vec::new();
    for id in context.state.tasks()? {
        let wanted = context
            .project
            .as_ref()
            .is_none_or(|project| *project == id.project);
        match Record::read(&context.state.task(&id)) {
            Ok(Some(record)) if wanted => records.push(record),
            Ok(_) => {}
            Err(e) => context.output.warn(&e.to_string()),
        }
    }
    let lines = join_all(records.iter().map(|record| async {
        let state = match (record.phase.is_up(), context.engine_of(record)) {
            (true, Ok(engine)) => state(&engine, record).await,
            (true, Err(_)) => "engine unreachable".to_owned(),
            (false, _) => record.phase.to_string(),
        };
        Line {
            project: record.task.project.to_string(),
            task: record.task.task.to_string(),
            state,
            mode: record.mode,
            fence: record.fence,
            since: record.since,
            files: record.workspace.files().to_owned(),
        }
    }))
    .await;
    if context.output.json {
        context
            .output
            .json(&serde_json::json!({ "v": 1, "tasks": lines }))?;
        return Ok(Exit::Ok.code());
    }
    if lines.is_empty() {
        context.output.say("no tasks; agentnet up NAME makes one");
        return Ok(Exit::Ok.code());
    }
    let rows: Vec<_> = lines
        .into_iter()
        .map(|line| {
            let fence = line
                .fence
                .map_or_else(|| line.mode.to_string(), |f| f.to_string());
            let since = format!("{:.0}", line.since);
            vec![
                line.task,
                line.project,
                line.state,
                fence,
                since,
                line.files.display().to_string(),
            ]
        })
        .collect();
    let header = ["TASK", "PROJECT", "STATE", "NETWORK", "SINCE", "FILES"];
    context.output.data(&table(&header, &rows))?;
    Ok(Exit::Ok.code())
}

/// The agent's state stands for the task's.
async fn state<E: Engine>(engine: &E, record: &Record) -> String {
    let agent = record.task.resource(Role::Agent);
    match engine.inspect_container(&agent).await {
        Ok(state) => match state.running {
            Running::Running => "up".to_owned(),
            Running::Created => "created".to_owned(),
            Running::Exited(code) => format!("exited {code}"),
            Running::Other(word) => word,
        },
        Err(crate::engine::EngineError::NotFound(_)) => "gone".to_owned(),
        Err(_) => "engine unreachable".to_owned(),
    }
}
