//! `agentnet snapshot`

use clap::Subcommand;
use jiff::Timestamp;

use super::Format;
use super::context::Context;
use crate::ceiling::binary;
use crate::config::Bytes;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::lock::TaskLock;
use crate::output::{Progress, printable, table};
use crate::snapshot::{Excluded, Manifest, Shelf, Stored, Wish, create, estimate, restore};
use crate::task::{Slug, TaskId};

/// `agentnet snapshot create|ls|restore|rm`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Store a task's files, git state, service volumes and what its container changed
    Create(CreateArgs),
    /// List the snapshots of a task, there or gone, or of all
    Ls(LsArgs),
    /// Put a snapshot back into its task, which is up: what is there now goes
    Restore(RestoreArgs),
    /// Remove a snapshot; the task is not needed for it
    Rm(RmArgs),
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    /// The task, which is up
    task: Slug,
    /// The snapshot's name [default: the time]
    name: Option<Slug>,
    /// Leave out what a glob matches: a name or a path of the files; of the container where it begins with / (repeat)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Take at most this many bytes
    #[arg(long, value_name = "SIZE", default_value = "20GiB", value_parser = size)]
    max_size: Bytes,
    /// Copy while the task works: files may be half written
    #[arg(long)]
    no_hold: bool,
    /// Only say what it would cost
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct LsArgs {
    /// The task [default: all of them]
    task: Option<Slug>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct RestoreArgs {
    /// The task
    task: Slug,
    /// The snapshot's name [default: the latest]
    name: Option<Slug>,
    #[command(flatten)]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct RmArgs {
    /// The task
    task: Slug,
    /// The snapshots' names
    #[arg(required = true)]
    names: Vec<Slug>,
}

impl Args {
    pub(super) fn json(&self) -> bool {
        match &self.action {
            Action::Create(args) => args.format.json,
            Action::Ls(args) => args.format.json,
            Action::Restore(args) => args.format.json,
            Action::Rm(_) => false,
        }
    }
}

fn size(text: &str) -> std::result::Result<Bytes, String> {
    Bytes::try_from(text.to_owned())
}

pub(super) async fn snapshot(context: &Context, args: Args) -> Result<u8> {
    match args.action {
        Action::Create(args) => Box::pin(make(context, args)).await?,
        Action::Ls(args) => ls(context, args)?,
        Action::Restore(args) => Box::pin(put_back(context, args)).await?,
        Action::Rm(args) => rm(context, args).await?,
    }
    Ok(Exit::Ok.code())
}

async fn make(context: &Context, args: CreateArgs) -> Result<()> {
    let excluded = Excluded::new(args.exclude)?;
    let (_lock, id, record) = context.hold_up(&args.task).await?;
    let engine = context.engine_of(&record)?;
    let progress = Progress::new(context.output);
    progress.step("measuring");
    let cost = estimate(&engine, &context.state, &record, &excluded).await?;
    progress.finish();
    if args.dry_run {
        if context.output.json {
            return context
                .output
                .json(&serde_json::json!({ "v": 1, "task": id, "estimate": cost }));
        }
        return context.output.data(&format!("{}\n", cost.sentence()));
    }
    context.output.say(&cost.sentence());
    cost.check(args.max_size.0)?;
    let wish = Wish {
        name: match args.name {
            Some(name) => name,
            None => now()?,
        },
        excluded,
        hold: !args.no_hold,
        most: args.max_size.0,
    };
    let cancel = context.interrupts()?;
    let made = create(&engine, &context.state, &record, &wish, &cancel, &progress).await?;
    progress.finish();
    if context.output.json {
        let value = serde_json::json!({ "v": 1, "bytes": made.bytes(), "estimate": cost, "snapshot": made });
        return context.output.json(&value);
    }
    for missed in &made.left_out {
        context
            .output
            .warn(&format!("not stored: {}: {}", missed.what, missed.why));
    }
    context.output.data(&format!(
        "snapshot {} of task {id}: {} in {:.1} s, {:.1} s of which the task stood still\n{}\n  agentnet snapshot restore {id} \
         {0}        puts it back\n  agentnet up NEW --snapshot {id}/{0}     a new task that begins with it\n",
        made.name,
        binary(made.bytes()),
        made.seconds,
        made.held,
        contents(&made),
    ))
}

/// A name for who gave none.
fn now() -> Result<Slug> {
    let text = Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string();
    text.parse().map_err(Error::Failed)
}

/// A line for each part.
fn contents(manifest: &Manifest) -> String {
    let lines = manifest
        .summary()
        .into_iter()
        .map(|(name, entries, bytes)| format!("  {name}  {} in {entries} entries", binary(bytes)));
    let gone = (manifest.removed > 0).then(|| {
        format!(
            "  container  without {} files of its image",
            manifest.removed
        )
    });
    lines.chain(gone).collect::<Vec<_>>().join("\n")
}

fn ls(context: &Context, args: LsArgs) -> Result<()> {
    let tasks = match &args.task {
        Some(task) => vec![context.find_shelf(task)?],
        None => context.state.snapshot_tasks()?,
    };
    let wanted = |id: &TaskId| context.project.as_ref().is_none_or(|p| *p == id.project);
    let mut found: Vec<Stored> = Vec::new();
    for task in tasks.iter().filter(|id| wanted(id)) {
        found.extend(Shelf::of(&context.state, task).list()?);
    }
    if context.output.json {
        let all: Vec<_> = found
            .iter()
            .map(|stored| {
                serde_json::json!({ "bytes": stored.manifest.bytes(), "snapshot": stored.manifest })
            })
            .collect();
        return context
            .output
            .json(&serde_json::json!({ "v": 1, "snapshots": all }));
    }
    if found.is_empty() {
        context
            .output
            .say("no snapshots; agentnet snapshot create TASK makes one");
        return Ok(());
    }
    let header = ["TASK", "NAME", "TAKEN", "SIZE", "ENTRIES", "WITH"];
    let rows: Vec<_> = found.iter().map(|stored| row(&stored.manifest)).collect();
    context.output.data(&table(&header, &rows))
}

fn row(manifest: &Manifest) -> Vec<String> {
    let parts: Vec<_> = manifest
        .summary()
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    let mut with = parts.join(", ");
    if !manifest.excluded.is_empty() {
        with.push_str(&format!(", without {}", manifest.excluded.join(" ")));
    }
    vec![
        manifest.of.to_string(),
        manifest.name.to_string(),
        manifest.taken.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        binary(manifest.bytes()),
        manifest.entries().to_string(),
        printable(&with),
    ]
}

async fn put_back(context: &Context, args: RestoreArgs) -> Result<()> {
    let begun = std::time::Instant::now();
    // Not `hold_up`: that waits for the end of one that was killed, and this is it.
    let (_lock, id, record) = context.hold(&args.task).await?;
    let shelf = Shelf::of(&context.state, &id);
    let stored = match &args.name {
        Some(name) => shelf.get(name)?,
        None => shelf.latest()?,
    };
    let name = &stored.manifest.name;
    if !record.phase.is_up() {
        return Err(Error::Failed(format!(
            "task {id} is not up; agentnet up {id} --snapshot {id}/{name} brings it up with the snapshot"
        )));
    }
    let engine = context.engine_of(&record)?;
    let progress = Progress::new(context.output);
    context.output.say(&format!(
        "putting {} of snapshot {name} back; the task's containers start anew",
        binary(stored.manifest.bytes())
    ));
    let cancel = context.interrupts()?;
    let proof = restore(
        &engine,
        &context.state,
        &record,
        &stored,
        &cancel,
        &progress,
    )
    .await?;
    progress.finish();
    let seconds = begun.elapsed().as_secs_f64();
    if context.output.json {
        let value = serde_json::json!({
            "v": 1, "task": id, "snapshot": stored.manifest.name, "bytes": stored.manifest.bytes(), "seconds": seconds,
            "proof": proof,
        });
        return context.output.json(&value);
    }
    context.output.data(&format!(
        "task {id} is as in snapshot {name}, after {seconds:.1} s; its fence is sealed ({} rows proven)\n",
        proof.proven()
    ))
}

async fn rm(context: &Context, args: RmArgs) -> Result<()> {
    let id = context.find_shelf(&args.task)?;
    let _lock = TaskLock::take(&context.state, &id).await?;
    let shelf = Shelf::of(&context.state, &id);
    // A name that is mistyped is told before anything goes.
    for name in &args.names {
        shelf.get(name)?;
    }
    for name in &args.names {
        let bytes = shelf.get(name)?.manifest.bytes();
        shelf.remove(name).await?;
        context.output.say(&format!(
            "snapshot {name} of task {id} is gone: {}",
            binary(bytes)
        ));
    }
    Ok(())
}
