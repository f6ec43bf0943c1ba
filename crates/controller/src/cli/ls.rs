//! `agentnet ls`

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;

use super::Format;
use super::context::Context;
use crate::config::{Fence, Mode};
use crate::disk::Ledger;
use crate::error::Result;
use crate::exit::Exit;
use crate::output::table;
use crate::record::Record;
use crate::stats::figures::{bytes, cpu, health, memory, pids, span};
use crate::stats::{Before, Stats};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Serialize)]
struct Line {
    project: String,
    task: String,
    mode: Mode,
    fence: Option<Fence>,
    /// On the host; an empty worktree where they are in a volume.
    files: std::path::PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<String>,
    disk: Option<Ledger>,
    #[serde(flatten)]
    stats: Stats,
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
    context.watch_disks(&records.iter().collect::<Vec<_>>());
    let now = Timestamp::now();
    let lines = join_all(records.iter().map(|record| async move {
        Line {
            project: record.task.project.to_string(),
            task: record.task.task.to_string(),
            mode: record.mode,
            fence: record.fence,
            files: record.workspace.files().to_owned(),
            volume: record.workspace.volumes().next().map(|v| v.name.clone()),
            disk: Ledger::read(&context.state.task(&record.task)),
            stats: stats(context, record, now).await,
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
    let header = [
        "TASK", "PROJECT", "STATE", "HEALTH", "NETWORK", "CPU", "MEMORY", "PIDS", "DISK", "UP",
        "DOWN", "REFUSED", "AGE", "FILES",
    ];
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    context.output.data(&table(&header, &rows))?;
    Ok(Exit::Ok.code())
}

async fn stats(context: &Context, record: &Record, now: Timestamp) -> Stats {
    match context.engine_of(record) {
        Ok(engine) => Stats::gather(&engine, record, &mut Before::new(), now).await,
        Err(_) if record.phase.is_up() => {
            Stats::resting(record, now, "engine unreachable".to_owned())
        }
        Err(_) => Stats::resting(record, now, record.phase.to_string()),
    }
}

fn row(line: Line) -> Vec<String> {
    let stats = &line.stats;
    let fence = line
        .fence
        .map_or_else(|| line.mode.to_string(), |f| f.to_string());
    let load = stats.agent.as_ref();
    let traffic = stats.traffic.as_ref();
    let figure = |of: fn(&crate::stats::Traffic) -> String| traffic.map(of).unwrap_or_default();
    vec![
        line.task,
        line.project,
        stats.state.clone(),
        health(stats.health).to_owned(),
        fence,
        cpu(load),
        memory(load),
        pids(load),
        line.disk.as_ref().map(Ledger::figure).unwrap_or_default(),
        figure(|traffic| bytes(traffic.up)),
        figure(|traffic| bytes(traffic.down)),
        figure(|traffic| traffic.denied.to_string()),
        span(stats.age_seconds),
        match line.volume {
            Some(volume) => format!("volume {volume}"),
            None => line.files.display().to_string(),
        },
    ]
}
