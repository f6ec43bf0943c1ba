//! `agentnet allow` and `agentnet deny`

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::Format;
use super::context::Context;
use crate::config::{Mode, WHITELIST};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::labels::Role;
use crate::lock::TaskLock;
use crate::output::printable;
use crate::paths::write_atomically;
use crate::policy::{
    Change, Layers, changed, check_typed, effect, line, needs_host, parse_duration, read_whitelist,
};
use crate::record::Record;
use crate::spec::ExecSpec;
use crate::task::{Slug, TaskId};
use crate::workspace::Workspace;

#[derive(Debug, clap::Args)]
pub(super) struct AllowArgs {
    /// The task
    task: Slug,
    /// Targets as in a whitelist: example.com, *.example.com, registry.example:5000, each with the
    /// words that open more of it: 'git.example:22 raw', 'db.example:5432 raw private'
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
    /// Only for a while: 30m, 2h, 1d
    #[arg(long = "for", value_name = "TIME", conflicts_with = "save")]
    duration: Option<String>,
    /// Also write it into the project's whitelist
    #[arg(long)]
    save: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, clap::Args)]
pub(super) struct DenyArgs {
    /// The task
    task: Slug,
    /// Targets as in a whitelist: example.com, *.example.com, registry.example:5000
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,
    /// Also write it into the project's whitelist
    #[arg(long)]
    save: bool,
    #[command(flatten)]
    pub(super) format: Format,
}

#[derive(Debug, Serialize)]
pub(super) struct Effect {
    host: String,
    pub(super) allowed: Option<bool>,
    pub(super) sentence: String,
}

pub(super) async fn allow(context: &Context, args: AllowArgs) -> Result<u8> {
    let until = match &args.duration {
        Some(text) => {
            let until = Timestamp::now().checked_add(parse_duration(text)?);
            Some(until.map_err(|e| Error::Usage(e.to_string()))?)
        }
        None => None,
    };
    change(
        context,
        &args.task,
        &args.hosts,
        &Change::Allow(until),
        args.save,
    )
    .await
}

pub(super) async fn deny(context: &Context, args: DenyArgs) -> Result<u8> {
    change(context, &args.task, &args.hosts, &Change::Deny, args.save).await
}

async fn change(
    context: &Context,
    task: &Slug,
    hosts: &[String],
    change: &Change,
    save: bool,
) -> Result<u8> {
    for typed in hosts {
        check_typed(typed, change)?;
    }
    let (id, record) = context.find_up(task)?;
    let changed = apply(context, &id, &record, hosts, change, save).await?;
    if let Some(path) = &changed.saved {
        context.output.say(&format!("saved in {}", path.display()));
    }
    let effects = &changed.effects;
    if context.output.json {
        context
            .output
            .json(&serde_json::json!({ "v": 1, "task": task, "effects": effects }))?;
    } else {
        for effect in effects {
            context.output.data(&format!("{}\n", effect.sentence))?;
        }
    }
    Ok(Exit::Ok.code())
}

/// What a change did.
#[derive(Debug)]
pub(super) struct Changed {
    /// The lines that the task's whitelist has now.
    pub(super) lines: Vec<String>,
    /// What the policy says about each.
    pub(super) effects: Vec<Effect>,
    /// The project's whitelist, where they stand as well.
    pub(super) saved: Option<PathBuf>,
}

/// Changes the running proxy's policy and the files, or neither.
pub(super) async fn apply(
    context: &Context,
    id: &TaskId,
    record: &Record,
    hosts: &[String],
    change: &Change,
    save: bool,
) -> Result<Changed> {
    let task = &id.task;
    if record.mode != Mode::Limited {
        return Err(Error::Usage(format!(
            "task {task} has network {}, where no proxy decides",
            record.mode
        )));
    }
    if *change != Change::Deny {
        refuse_the_machine(context, id, record, hosts).await?;
    }
    let _lock = TaskLock::take(&context.state, id).await?;
    let dir = context.state.task(id);
    let old = Layers::read(&dir)?;
    let new = Layers {
        task: changed(&old.task, hosts, change),
        ..old.clone()
    };
    let loaded = new.load()?;
    let saved = match save {
        true => Some(Saved::prepare(record, &old, hosts, change)?),
        false => None,
    };
    new.write_task(&dir)?;
    if let Err(error) = reload(context, id, record).await {
        // The proxy kept its policy: the file must not say otherwise.
        old.write_task(&dir)?;
        return Err(error);
    }
    if let Some(saved) = &saved {
        saved.write()?;
    }
    let effects = hosts
        .iter()
        .map(|host| explain(&loaded.policy, host, change));
    Ok(Changed {
        lines: hosts.iter().map(|host| line(host, change)).collect(),
        effects: effects.collect(),
        saved: saved.map(|saved| saved.path),
    })
}

fn explain(policy: &agentnet_policy::Policy, host: &str, change: &Change) -> Effect {
    match effect(policy, host) {
        Some((allowed, sentence)) => Effect {
            host: host.to_owned(),
            allowed: Some(allowed),
            sentence: printable(&sentence),
        },
        None => Effect {
            host: host.to_owned(),
            allowed: None,
            sentence: format!("the task's whitelist has the line: {}", line(host, change)),
        },
    }
}

/// An address of this machine, as the task's proxy sees it, passes only with the word `host`: without
/// it the policy would say that it is allowed, and the proxy refuse it.
async fn refuse_the_machine(
    context: &Context,
    id: &TaskId,
    record: &Record,
    hosts: &[String],
) -> Result<()> {
    let egress = id.resource(Role::Egress);
    let network = context.engine_of(record)?.inspect_network(&egress).await;
    let network = network.map_err(Error::engine("looking at the egress network"))?;
    match hosts
        .iter()
        .find_map(|typed| needs_host(typed, &network.gateways))
    {
        None => Ok(()),
        Some(line) => Err(Error::Usage(format!(
            "that is an address of this machine, which only the word `host` opens; \
             write: agentnet allow {} '{line}'",
            id.task
        ))),
    }
}

/// Tells the running proxy, and hands on its complaint if it has one.
async fn reload(context: &Context, id: &TaskId, record: &Record) -> Result<()> {
    let proxy = id.resource(Role::Proxy);
    let spec = ExecSpec::quiet(["/agentnet-proxy", "admin", "reload"]);
    let done = context.engine_of(record)?.exec(&proxy, &spec).await;
    let done = done.map_err(Error::engine(format!("telling {proxy}")))?;
    if done.code == 0 {
        return Ok(());
    }
    let words = String::from_utf8_lossy(if done.stderr.is_empty() {
        &done.stdout
    } else {
        &done.stderr
    });
    Err(Error::Failed(format!(
        "the proxy keeps its old policy: {}",
        printable(words.trim())
    )))
}

/// The project's whitelist in the user's checkout, with the new lines at its end. Read and checked
/// before anything is changed.
#[derive(Debug)]
struct Saved {
    path: PathBuf,
    text: String,
}

impl Saved {
    fn prepare(
        record: &Record,
        layers: &Layers,
        hosts: &[String],
        change: &Change,
    ) -> Result<Saved> {
        let Workspace::Worktree {
            checkout,
            source: None,
            ..
        } = &record.workspace
        else {
            return Err(Error::Usage(
                "--save needs a task of a checkout of yours".into(),
            ));
        };
        let path = checkout.join(WHITELIST);
        let mut text = read_whitelist(&path)?.unwrap_or_default();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for host in hosts {
            let line = line(host, change);
            if !text.lines().any(|there| there.trim() == line) {
                text.push_str(&line);
                text.push('\n');
            }
        }
        Layers {
            project: text.clone(),
            task: String::new(),
            presets: layers.presets.clone(),
        }
        .check()?;
        Ok(Saved { path, text })
    }

    fn write(&self) -> Result<()> {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let written = fs_err::create_dir_all(parent)
            .map_err(Error::from)
            .and_then(|()| write_atomically(&self.path, &self.text));
        written.map_err(|e| {
            Error::Failed(format!("the task has the change, but it is not saved: {e}"))
        })
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::workspace::GitEntry;

    fn record(workspace: Workspace) -> Record {
        Record {
            workspace,
            ..crate::record::made()
        }
    }

    fn none() -> Layers {
        Layers::for_project(None, None).unwrap()
    }

    fn prepare(text: Option<&str>, host: &str) -> Result<String> {
        let dir = tempfile::tempdir().unwrap();
        if let Some(text) = text {
            fs_err::create_dir(dir.path().join(".agentnet")).unwrap();
            fs_err::write(dir.path().join(WHITELIST), text).unwrap();
        }
        let record = record(Workspace::Worktree {
            checkout: dir.path().to_owned(),
            tree: PathBuf::new(),
            branch: String::new(),
            base: String::new(),
            owner: None,
            git: Box::default(),
            source: None,
            volume: None,
        });
        Saved::prepare(&record, &none(), &[host.to_owned()], &Change::Allow(None))
            .map(|saved| saved.text)
    }

    #[test]
    fn a_line_is_added_once_at_the_end() {
        assert_eq!(prepare(None, "a.example").unwrap(), "a.example\n");
        let there = "b.example # why";
        let both = "b.example # why\na.example\n";
        assert_eq!(prepare(Some(there), "a.example").unwrap(), both);
        assert_eq!(prepare(Some(both), "a.example").unwrap(), both);
    }

    #[test]
    fn what_cannot_be_saved_is_said_before_anything_is_changed() {
        let error = prepare(Some("broken line *\n"), "a.example").unwrap_err();
        assert_eq!(error.exit(), Exit::Config, "{error}");
        let directory = record(Workspace::Directory {
            path: PathBuf::new(),
            git: GitEntry::None,
        });
        let hosts = ["a.example".to_owned()];
        let error = Saved::prepare(&directory, &none(), &hosts, &Change::Deny);
        assert_eq!(error.unwrap_err().exit(), Exit::Usage);
    }
}
