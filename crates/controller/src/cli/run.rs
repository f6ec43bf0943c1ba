//! `agentnet run`

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agentnet_gate::notify::Kind;

use super::context::Context;
use super::exec::attached;
use super::results::sentence;
use super::sync::tell_saved;
use super::up::{Options, warn, warn_of_agent};
use crate::agents::Prompt;
use crate::ceiling;
use crate::credentials::with_secrets;
use crate::disk;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::labels::Role;
use crate::lock::TaskLock;
use crate::notices;
use crate::output::Progress;
use crate::policy;
use crate::record::{Phase, Record};
use crate::results::{self, Collector, Ended, Outcome};
use crate::spec::ExecSpec;
use crate::ssh_agent;
use crate::teardown::{self, Changes};
use crate::terminal::is_interactive;
use crate::up::{Setup, up as bring_up};
use crate::verify;
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
    /// Leave the task up when the command fails
    #[arg(long)]
    keep: bool,
    /// Collect the results into this new or empty directory before the task is taken down
    #[arg(long, value_name = "DIR")]
    results: Option<PathBuf>,
    /// Stop the command after so long, as 30m or 2h; exits with 124
    #[arg(long, value_name = "SPAN")]
    timeout: Option<String>,
    /// What to run in the agent container; with --agent or --issue: what the agent is to do
    #[arg(last = true, required_unless_present_any = ["agent", "issue"], value_name = "CMD")]
    command: Vec<String>,
}

/// A command as it is, or a prompt for the agent.
fn command(setup: &Setup, prompted: bool, words: Vec<String>) -> Result<Vec<String>> {
    if !prompted {
        return Ok(words);
    }
    let agent = setup.config.agent.name.ok_or_else(|| {
        Error::Usage(
            "who is to work on it? say --agent, or name = in [agent] of agentnet.toml".into(),
        )
    })?;
    let prompt = Prompt {
        words: words.join(" "),
        issue: setup.issue.clone(),
    };
    Ok(agent.unattended(&prompt.text()?))
}

/// As timeout(1) has it.
const TIMED_OUT: u8 = 124;

fn span(text: &str) -> Result<Duration> {
    let span = policy::parse_duration(text)?;
    Duration::try_from(span).map_err(|e| Error::Usage(format!("{text:?}: {e}")))
}

/// Tells whoever notifies people. Nothing of the run depends on it.
fn tell(context: &Context, record: &Record, kind: Kind, text: &str) {
    if record.notify
        && let Err(e) = notices::leave(&context.state, &record.task, kind, text)
    {
        context
            .output
            .warn(&format!("nobody can be notified of this: {e}"));
    }
}

async fn collect<E: Engine>(
    context: &Context,
    engine: &E,
    record: &Record,
    directory: &Path,
    outcome: Outcome,
) -> Result<()> {
    let collector = Collector::new(engine, &context.state, record, directory).await?;
    let report = collector.collect(Some(outcome)).await?;
    context.output.say(&sentence(&report, directory));
    Ok(())
}

pub(super) async fn run(context: &Context, args: Args) -> Result<u8> {
    let (prompted, open) = (args.options.is_prompted(), args.options.open);
    let setup = Setup {
        once: true,
        ..args.options.setup(context, Vec::new()).await?
    };
    let command = command(&setup, prompted, args.command)?;
    let span = args.timeout.as_deref().map(span).transpose()?;
    if let Some(directory) = &args.results {
        // Found out now, not after an hour's work.
        results::prepare(directory, setup.workspace.files())?;
    }
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
    if let Some(sentence) = ssh_agent::unreachable(&engine, &up.record).await {
        context.output.warn(&sentence);
    }
    warn_of_agent(context, &setup)?;
    if let Some(editor) = open {
        // Without it the work can be done as well.
        if let Err(e) = editor.open(context, &up.record.workspace) {
            context.output.warn(&e.to_string());
        }
    }
    let tty = is_interactive() && !args.no_tty;
    let spec = ExecSpec {
        tty,
        stdin: true,
        // We tell of its end: its agent's own hooks need not.
        env: BTreeMap::from([("AGENTNET_RUN".to_owned(), "1".to_owned())]),
        ..ExecSpec::quiet(with_secrets(&up.record, command.clone()))
    };
    let agent = up.record.task.resource(Role::Agent);
    let dir = context.state.task(&setup.task);
    let over = async {
        match span {
            Some(span) => tokio::time::sleep(span).await,
            None => std::future::pending().await,
        }
    };
    disk::begin(&engine, &up.record, &dir).await;
    let begun = Instant::now();
    // Told while the command still works: it gets nowhere, and nobody would see why.
    let deserted = async {
        let why = notices::proxy_ended(&engine, &up.record).await;
        context.output.warn(&why);
        tell(context, &up.record, Kind::Error, &why);
        std::future::pending::<Infallible>().await
    };
    let (outcome, ended) = tokio::select! {
        never = deserted => match never {},
        () = cancel.cancelled() => (Err(Error::Interrupted), Ended::Interrupted),
        error = disk::exceeded(&engine, &up.record, &dir) => (Err(error), Ended::Failed),
        error = verify::breached(&engine, &up.record) => (Err(error), Ended::Failed),
        () = over => {
            context.output.warn("the command took longer than --timeout allows, and is stopped");
            (Ok(TIMED_OUT), Ended::TimedOut)
        }
        outcome = attached(context, &engine, &agent, spec) => {
            let ended = if outcome.is_ok() { Ended::Exited } else { Ended::Failed };
            (outcome, ended)
        }
    };
    // While its containers are there to be asked; a command's exit code alone does not say it.
    let strains = ceiling::strains(&engine, &up.record).await;
    let sentences: Vec<String> = strains
        .into_iter()
        .flat_map(|strain| strain.sentences)
        .collect();
    for sentence in &sentences {
        context.output.warn(sentence);
    }
    let code = outcome.as_ref().ok().copied();
    let code = code.filter(|_| ended == Ended::Exited);
    let why = outcome.as_ref().err().map(ToString::to_string);
    let why: Vec<String> = why.into_iter().chain(sentences).collect();
    let told = notices::of_run(ended, code, begun.elapsed().as_secs(), &why);
    if let Some(directory) = &args.results {
        let outcome = Outcome {
            command,
            ended,
            code,
            why: (!why.is_empty()).then(|| why.join("; ")),
        };
        // What the command did is not undone by that: its own exit status stays.
        if let Err(e) = Box::pin(collect(context, &engine, &up.record, directory, outcome)).await {
            context
                .output
                .warn(&format!("the results could not be collected: {e}"));
        }
    }
    if let Some((kind, text)) = told {
        tell(context, &up.record, kind, &text);
    }
    let changes = if args.discard {
        Changes::Discard
    } else {
        Changes::Keep
    };
    let _lock = TaskLock::take(&context.state, &setup.task).await?;
    let record = Record::read(&dir)?.filter(|record| record.since == up.record.since);
    let Some(mut record) = record else {
        // Somebody took it down meanwhile; what may be there now is another's.
        return outcome;
    };
    if args.keep && !matches!(outcome, Ok(0) | Err(Error::Interrupted)) {
        record.phase = Phase::Up;
        record.write(&dir)?;
        context.watch_disks(&[&record]);
        let task = &setup.task;
        context.output.say(&format!(
            "task {task} is kept as it is: agentnet shell {task} looks at it, agentnet down {task} ends it"
        ));
        return outcome;
    }
    let workspace = Some(&up.record.workspace);
    let report = teardown::task(&engine, &context.state, &setup.task, workspace, changes).await;
    let branch = up.record.workspace.branch();
    tell_saved(context, &setup.task, branch, &report);
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
