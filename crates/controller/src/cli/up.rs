//! `agentnet up`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Format;
use super::context::Context;
use super::editor::Editor;
use crate::agents::{Agent, Issue};
use crate::config::{Config, FILE, Fence, Mode, Preset, WHITELIST};
use crate::credentials::{Grants, Person, Want, overriding};
use crate::error::{Error, Result};
use crate::exit::Exit;
use crate::facts::Facts;
use crate::images::own_directory;
use crate::output::{Color, Progress};
use crate::plan::{Place, Plan};
use crate::policy::{Layers, effect};
use crate::spec::ImageRef;
use crate::ssh_agent;
use crate::task::{Slug, TaskId};
use crate::up::{Setup, Up, dry_run, up as bring_up};
use crate::workspace::{Repository, Workspace};

/// What `up` and `run` have in common.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The task: a-z, 0-9 and hyphens
    pub(super) task: Slug,
    /// Settings from this file instead of agentnet.toml in the checkout
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Work on this directory as it is, not on a worktree; settings come from --config only
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Services of a compose file: what docker compose config --format json printed
    #[arg(long, value_name = "FILE")]
    compose: Option<PathBuf>,
    /// Build this fence instead of the best the engine can
    #[arg(long, value_enum)]
    fence: Option<Fence>,
    /// How much network the task has
    #[arg(long, value_enum, value_name = "MODE")]
    network: Option<Mode>,
    /// The agent's image
    #[arg(long, value_name = "IMAGE", conflicts_with = "preset")]
    image: Option<ImageRef>,
    /// The agent to work with: its image, its environment, its command
    #[arg(long, value_enum)]
    pub(super) agent: Option<Agent>,
    /// The environment it works in, built on first use
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Build the agent's image behind the task's own fence: its steps reach what the task may reach
    #[arg(long)]
    fenced_build: bool,
    /// Build the agent's image anew, with what is current
    #[arg(long)]
    rebuild: bool,
    /// An issue for the agent: a file, - for standard input, or an address that gh or glab can show
    #[arg(long, value_name = "FILE|URL")]
    issue: Option<Issue>,
    /// Give the task this of yours: git-identity, gh, login, ssh-agent, ssh-agent:SHA256:… or env:NAME (repeat)
    #[arg(long = "with", value_name = "WHAT")]
    with: Vec<Want>,
    /// Grant this checkout what [credentials] in its agentnet.toml asks for, from now on
    #[arg(long)]
    grant: bool,
    /// Open this editor on the task's files
    #[arg(long, value_enum, value_name = "EDITOR")]
    pub(super) open: Option<Editor>,
    /// The proxy's image, instead of one of this version
    #[arg(
        long,
        value_name = "IMAGE",
        env = "AGENTNET_PROXY_IMAGE",
        hide_env_values = true
    )]
    proxy_image: Option<ImageRef>,
    /// The gate's image, instead of one of this version
    #[arg(
        long,
        value_name = "IMAGE",
        env = "AGENTNET_GATE_IMAGE",
        hide_env_values = true
    )]
    gate_image: Option<ImageRef>,
    /// The image that looks at the task's files, instead of one of this version
    #[arg(
        long,
        value_name = "IMAGE",
        env = "AGENTNET_TOOLS_IMAGE",
        hide_env_values = true
    )]
    tools_image: Option<ImageRef>,
    /// Where the static agentnet-proxy and agentnet-gate are that images are built from
    /// [default: next to agentnet]
    #[arg(
        long,
        value_name = "DIR",
        env = "AGENTNET_BIN_DIR",
        hide_env_values = true
    )]
    bin_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) options: Options,
    #[command(flatten)]
    pub(super) format: Format,
    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    /// What the agent container runs, instead of its image's command
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Options {
    /// Are the words after `--` a prompt?
    pub(super) fn is_prompted(&self) -> bool {
        self.agent.is_some() || self.issue.is_some()
    }

    /// What an agent that works in `--workspace` must not find there: who writes it decides about the
    /// sandbox.
    fn off_limits(
        &self,
        context: &Context,
        config: &Config,
        project_root: Option<&Path>,
    ) -> Result<Vec<(&'static str, PathBuf)>> {
        let mut found = Vec::new();
        if let Some(socket) = context.endpoint().strip_prefix("unix://") {
            found.push(("the engine's socket", PathBuf::from(socket)));
        }
        if let Some(file) = &self.config {
            found.push(("the settings", std::path::absolute(file)?));
        }
        if let Some(root) = project_root {
            found.push(("the whitelist", root.join(WHITELIST)));
            let build = config.agent.build.iter();
            found.extend(build.map(|build| ("the image's directory", root.join(build))));
            let presets = config.network.presets.iter();
            found.extend(presets.map(|presets| ("the presets", root.join(presets))));
        }
        if let Some(root) = project_root {
            found.extend(config.named_files(root, self.compose.as_deref()));
        } else if let Some(file) = &self.compose {
            found.push(("the compose file", std::path::absolute(file)?));
        }
        let programs = match &self.bin_dir {
            Some(directory) => Some(std::path::absolute(directory)?),
            None => own_directory(),
        };
        found.extend(programs.map(|directory| ("agentnet's programs", directory)));
        Ok(found)
    }

    /// Reads everything `up` needs; nothing is changed.
    pub(super) async fn setup(self, context: &Context, command: Vec<String>) -> Result<Setup> {
        let (root, project_root) = match &self.workspace {
            Some(directory) => {
                let directory =
                    fs_err::canonicalize(directory).map_err(|e| Error::Usage(e.to_string()))?;
                let config = self.config.as_ref().map(fs_err::canonicalize).transpose();
                let config = config.map_err(|e| Error::Config(e.to_string()))?;
                (
                    directory,
                    config.and_then(|file| file.parent().map(PathBuf::from)),
                )
            }
            None => {
                let here = std::env::current_dir()?;
                let repository = Repository::find(&here, &context.state).await?;
                (
                    repository.root().to_owned(),
                    Some(repository.root().to_owned()),
                )
            }
        };
        let mut config = match (&self.config, &self.workspace) {
            (Some(file), _) => {
                fs_err::metadata(file).map_err(|e| Error::Config(e.to_string()))?;
                Config::load(file)?
            }
            (None, None) => Config::load(&root.join(FILE))?,
            (None, Some(_)) => Config::default(),
        };
        let off_limits = self.off_limits(context, &config, project_root.as_deref())?;
        config.read_files(project_root.as_deref(), self.compose.as_deref())?;
        config.network.fence = self.fence.or(config.network.fence);
        config.network.mode = self.network.or(config.network.mode);
        config.images.proxy = self.proxy_image.or(config.images.proxy);
        config.images.gate = self.gate_image.or(config.images.gate);
        config.images.tools = self.tools_image.or(config.images.tools);
        config.agent.name = self.agent.or(config.agent.name);
        config.agent.fenced_build |= self.fenced_build;
        if self.image.is_some() || self.preset.is_some() {
            config.agent.image = self.image;
            config.agent.preset = self.preset;
            config.agent.build = None;
            config.agent.dockerfile = None;
        }
        let issue = match &self.issue {
            Some(issue) => Some(issue.read().await?),
            None => None,
        };
        let asked = Want::of(&config.credentials);
        let granted_to = project_root.as_deref().unwrap_or(&root);
        Grants::check(&context.state, granted_to, &asked, self.grant)?;
        let wants = asked.into_iter().chain(self.with).collect();
        let person = Person {
            variable: &|name| std::env::var(name).ok(),
            checkout: project_root
                .as_ref()
                .filter(|_| self.workspace.is_none())
                .map(|root| Repository::at(root.clone())),
            logins: context.state.root().join("logins"),
            gh: "gh",
        };
        let handover = person.gather(&wants, config.agent.name).await?;
        let by_name = || {
            root.file_name()
                .and_then(|n| n.to_str())
                .and_then(Slug::from_text)
        };
        let project = context
            .project
            .clone()
            .or_else(|| config.project.clone())
            .or_else(by_name);
        let project = project.ok_or_else(|| {
            Error::Config(format!(
                "no project name can be made of {}; set project = in agentnet.toml",
                root.display()
            ))
        })?;
        let task = TaskId {
            project,
            task: self.task,
        };
        let presets = config.network.presets.as_deref();
        let layers = Layers::for_project(project_root.as_deref(), presets)?;
        let workspace = match &self.workspace {
            Some(directory) => Workspace::directory(directory, &context.state, &off_limits)?,
            None => {
                let repository = Repository::at(root.clone());
                Workspace::worktree(&repository, &task, &context.state.task(&task)).await?
            }
        };
        Ok(Setup {
            task,
            config,
            workspace,
            layers,
            root: project_root.unwrap_or(root),
            command: Some(command).filter(|command| !command.is_empty()),
            programs: self.bin_dir,
            rebuild: self.rebuild,
            handover,
            issue,
            once: false,
        })
    }
}

pub(super) async fn up(context: &Context, args: Args) -> Result<u8> {
    let begun = std::time::Instant::now();
    let open = args.options.open;
    let setup = args.options.setup(context, args.command).await?;
    let engine = context.engine()?;
    let progress = Progress::new(context.output);
    if args.dry_run {
        let (plan, facts) = dry_run(&engine, &context.state, &setup, &progress).await?;
        progress.finish();
        print_plan(context, &plan, &facts)?;
        return Ok(Exit::Ok.code());
    }
    let cancel = context.interrupts()?;
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
    for warning in setup.layers.load()?.warnings {
        context.output.say(&warning.to_string());
    }
    warn_of_agent(context, &setup)?;
    print(context, &setup, &up, begun.elapsed())?;
    if let Some(editor) = open {
        editor.open(context, &up.record.workspace)?;
    }
    Ok(Exit::Ok.code())
}

/// Nothing is allowed that nobody wrote down: an agent whose model cannot be reached is said.
pub(super) fn warn_of_agent(context: &Context, setup: &Setup) -> Result<()> {
    let Some(agent) = setup.config.agent.name else {
        return Ok(());
    };
    if let Some((agent, name)) = overriding(&setup.config) {
        context.output.warn(&format!(
            "{name} is in the task's environment: {agent} does not look at its login"
        ));
    }
    let traits = agent.traits();
    let (Some(host), Some(preset)) = (traits.host, traits.preset) else {
        return Ok(());
    };
    // Somebody else's address for the model is somebody else's line in the whitelist.
    let elsewhere = |name: &String| name.ends_with("_BASE_URL");
    if setup.config.agent.env.keys().any(elsewhere) {
        return Ok(());
    }
    let limited = matches!(setup.config.network.mode, None | Some(Mode::Limited));
    let policy = setup.layers.load()?.policy;
    if limited && effect(&policy, host).is_some_and(|(allowed, _)| !allowed) {
        context.output.warn(&format!(
            "{agent} cannot reach its model: {host} is not in the whitelist; a line {preset} in \
             {WHITELIST} allows what {agent} needs"
        ));
    }
    Ok(())
}

fn print_plan(context: &Context, plan: &Plan, facts: &Facts) -> Result<()> {
    if context.output.json {
        return context
            .output
            .json(&serde_json::json!({ "v": 1, "plan": plan, "facts": facts }));
    }
    let fence = plan
        .fence
        .map_or_else(|| "none".to_owned(), |fence| fence.to_string());
    context.output.data(&format!(
        "task {} on {}, network {}, fence {fence}\n{}",
        plan.task,
        facts.name(),
        plan.mode,
        plan.describe()
    ))
}

/// What must be heard, whoever brought the task up.
pub(super) fn warn(context: &Context, up: &Up) {
    if up.cleaned {
        context
            .output
            .say("removed what an interrupted run of this task had left");
    }
    if up.record.mode == Mode::Full {
        context.output.warn(
            "network full: NOTHING is fenced; the agent reaches the internet, this machine and \
             its neighbours directly",
        );
    }
    for sentence in up.record.places.iter().flat_map(Place::widened) {
        context.output.warn(&sentence);
    }
    if up.facts.rootless {
        context
            .output
            .say("the engine is rootless: root in the containers is your own user outside");
    }
}

#[derive(Serialize)]
struct Summary<'a> {
    v: u8,
    seconds: f64,
    #[serde(flatten)]
    record: &'a crate::record::Record,
    proof: &'a crate::verify::Proof,
}

fn print(context: &Context, setup: &Setup, up: &Up, took: std::time::Duration) -> Result<()> {
    let (record, proof) = (&up.record, &up.proof);
    if context.output.json {
        let seconds = took.as_secs_f64();
        return context.output.json(&Summary {
            v: 1,
            seconds,
            record,
            proof,
        });
    }
    let task = &record.task;
    let fence = match (record.mode, record.fence) {
        (Mode::Full, _) => context.output.paint(Color::Red, "NOT FENCED"),
        (_, Some(fence)) => {
            let sealed = context.output.paint(Color::Green, "sealed");
            format!("{fence} fence, {sealed} ({} rows proven)", proof.proven())
        }
        (_, None) => format!(
            "no network, {}",
            context.output.paint(Color::Green, "sealed")
        ),
    };
    let rules = setup.layers.load()?.policy.rules().len();
    let rules = match rules {
        0 => "nothing is allowed yet: agentnet allow, or .agentnet/whitelist.txt".to_owned(),
        1 => "1 rule".to_owned(),
        n => format!("{n} rules"),
    };
    let mut lines = vec![
        format!("task {task} is up in {:.1} s", took.as_secs_f64()),
        format!("  fence      {fence}"),
        format!("  files      {}", record.workspace.files().display()),
    ];
    if let Some(branch) = record.workspace.branch() {
        lines.push(format!("  branch     {branch}"));
    }
    if record.mode == Mode::Limited {
        lines.push(format!("  whitelist  {rules}"));
    }
    for name in setup.config.services.keys() {
        lines.push(format!("  service    {name}"));
    }
    lines.push(String::new());
    lines.push(format!("  agentnet shell {task}            a shell in it"));
    if let Some(agent) = record.agent {
        lines.push(format!("  agentnet shell {task} --agent    {agent} in it"));
    }
    lines.push(format!(
        "  agentnet logs {task} --events    what its proxy decided"
    ));
    lines.push(format!("  agentnet down {task}             take it down"));
    context.output.data(&format!("{}\n", lines.join("\n")))
}
