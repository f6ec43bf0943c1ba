//! `agentnet gc`

use std::collections::BTreeSet;

use super::Format;
use super::context::{Context, connect};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::gc::collect;
use crate::record::Record;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

pub(super) async fn gc(context: &Context, args: Args) -> Result<u8> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    let mut unreachable = None;
    for endpoint in endpoints(context)? {
        let collected = async {
            let engine = connect(&endpoint, &context.state)?;
            collect(&engine, &context.state, !args.dry_run).await
        };
        match collected.await {
            Ok((leftovers, remain)) => {
                found.extend(leftovers);
                errors.extend(remain);
            }
            Err(e) if unreachable.is_none() => unreachable = Some(e),
            Err(e) => errors.push(e.to_string()),
        }
    }
    // A record that cannot be read is said for each engine.
    errors.sort();
    errors.dedup();
    if context.output.json {
        let removed = !args.dry_run;
        let value =
            serde_json::json!({ "v": 1, "removed": removed, "leftovers": found, "errors": errors });
        context.output.json(&value)?;
    } else if found.is_empty() && unreachable.is_none() {
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
            if let Some(name) = &leftover.snapshot {
                context.output.data(&format!(
                    "{verb} the half-made snapshot {name} of task {}\n",
                    leftover.task
                ))?;
            }
            if leftover.files {
                context
                    .output
                    .data(&format!("{verb} the files of task {}\n", leftover.task))?;
            }
        }
    }
    match (unreachable, errors.is_empty()) {
        (None, true) => Ok(Exit::Ok.code()),
        (Some(error), true) => Err(error),
        (error, false) => {
            errors.extend(error.map(|e| e.to_string()));
            Err(Error::LeftBehind(errors.join("\n")))
        }
    }
}

/// The engine that is asked for, and those that tasks are on.
fn endpoints(context: &Context) -> Result<BTreeSet<String>> {
    let mut endpoints = BTreeSet::from([context.endpoint()]);
    for id in context.state.tasks()? {
        // One that cannot be read is for `collect` to say.
        if let Ok(Some(record)) = Record::read(&context.state.task(&id)) {
            endpoints.insert(record.engine);
        }
    }
    Ok(endpoints)
}
