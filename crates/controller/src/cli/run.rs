//! `agentnet run`

use super::context::Context;
use super::exec::attached;
use super::up::{Options, warn};
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::lock::TaskLock;
use crate::output::Progress;
use crate::record::Record;
use crate::spec::ExecSpec;
use crate::teardown::{self, Changes};
use crate::terminal::is_interactive;
use crate::up::{Setup, up as bring_up};
use crate::workspace::Fate;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
    /// Remove the task's files even if they were changed
    #[arg(long)]
    discard: bool,
    /// Do not give the command a terminal
    #[arg(long)]
    no_tty: bool,
    /// What to run in the agent container
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) async fn run(context: &Context, args: Args) -> Result<u8> {
    let setup = Setup {
        once: true,
        ..args.options.setup(context, Vec::new()).await?
    };
    let engine = context.engine()?;
    let cancel = context.interrupts()?;
    // Free when we are killed: then gc, or the next up of that name, takes the task down.
    let _running = TaskLock::take_run(&context.state, &setup.task)?;
    let progress = Progress::new(context.output);
    let up = Box::pin(bring_up(
        &engine,
        &context.state,
        &setup,
        &cancel,
        &progress,
    ))
    .await?;
    progress.finish();
    warn(context, &up);
    let tty = is_interactive() && !args.no_tty;
    let spec = ExecSpec {
        tty,
        stdin: true,
        ..ExecSpec::quiet(args.command)
    };
    let agent = up.record.task.resource(Role::Agent);
    let outcome = tokio::select! {
        () = cancel.cancelled() => Err(Error::Interrupted),
        outcome = attached(context, &engine, &agent, spec) => outcome,
    };
    let changes = if args.discard {
        Changes::Discard
    } else {
        Changes::Keep
    };
    let _lock = TaskLock::take(&context.state, &setup.task).await?;
    let record = Record::read(&context.state.task(&setup.task))?;
    if record.is_none_or(|record| record.since != up.record.since) {
        // Somebody took it down meanwhile; what may be there now is another's.
        return outcome;
    }
    let workspace = Some(&up.record.workspace);
    let report = teardown::task(&engine, &context.state, &setup.task, workspace, changes).await;
    if let Some(Fate::Kept(path)) = &report.fate {
        context
            .output
            .say(&format!("changed files are kept in {}", path.display()));
    }
    match (outcome, report.errors.is_empty()) {
        (outcome, true) => outcome,
        (Ok(_), false) => Err(Error::LeftBehind(report.errors.join("\n"))),
        (Err(first), false) => Err(Error::AndUndo {
            first: Box::new(first),
            undo: report.errors.join("\n"),
        }),
    }
}
