//! `agentnet gc`

use super::Format;
use super::context::Context;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::gc::collect;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) async fn gc(context: &Context, args: Args) -> Result<u8> {
    let engine = context.engine()?;
    let (found, report) = collect(&engine, &context.state, !args.dry_run).await?;
    if context.output.json {
        let removed = !args.dry_run;
        let value = serde_json::json!({ "v": 1, "removed": removed, "leftovers": found, "errors": report.errors });
        context.output.json(&value)?;
    } else if found.is_empty() {
        context.output.say("nothing is left behind");
    } else {
        let verb = if args.dry_run {
            "would remove"
        } else {
            "removed"
        };
        for leftover in &found {
            for (kind, name) in &leftover.objects {
                context.output.data(&format!("{verb} {kind} {name}\n"))?;
            }
            if let Some(path) = &leftover.kept {
                let task = &leftover.task;
                context.output.data(&format!(
                    "kept the changed files of task {task} in {}; agentnet down {task} --discard removes them\n",
                    path.display()
                ))?;
            }
            if leftover.files {
                context
                    .output
                    .data(&format!("{verb} the files of task {}\n", leftover.task))?;
            }
        }
    }
    if report.errors.is_empty() {
        Ok(Exit::Ok.code())
    } else {
        Err(Error::LeftBehind(report.errors.join("\n")))
    }
}
