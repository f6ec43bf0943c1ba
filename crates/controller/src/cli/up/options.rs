//! What `up` and `run` are told, and what they work from then.

use std::path::{Path, PathBuf};

use super::super::context::Context;
use super::super::editor::Editor;
use crate::agents::{Agent, Issue};
use crate::config::{Config, FILE, Fence, Mode, Preset, WHITELIST};
use crate::credentials::{Grants, Person, Want};
use crate::error::{Error, Result};
use crate::images::own_directory;
use crate::policy::Layers;
use crate::snapshot::Which;
use crate::spec::ImageRef;
use crate::task::{Slug, TaskId};
use crate::up::Setup;
use crate::workspace::{Address, Repository, Workspace};

/// What `up` and `run` have in common.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Options {
    /// The task: a-z, 0-9 and hyphens
    pub(in crate::cli) task: Slug,
    /// Settings from this file instead of agentnet.toml in the checkout
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Work on this directory as it is, not on a worktree; settings come from --config only
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// A clone of its own instead of the repository's objects: of your checkout, or of what is at URL
    /// (then settings come from --config only; #BRANCH behind it names a branch)
    #[arg(long, value_name = "URL", conflicts_with = "workspace", num_args = 0..=1)]
    clone: Option<Option<Address>>,
    /// Services of a compose file: what docker compose config printed
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
    pub(in crate::cli) agent: Option<Agent>,
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
    /// Begin with what a snapshot holds: TASK/NAME, or TASK for its latest
    #[arg(long, value_name = "TASK/NAME")]
    snapshot: Option<Which>,
    /// Open this editor on the task's files
    #[arg(long, value_enum, value_name = "EDITOR")]
    pub(in crate::cli) open: Option<Editor>,
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

impl Options {
    /// Are the words after `--` a prompt?
    pub(in crate::cli) fn is_prompted(&self) -> bool {
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
    pub(in crate::cli) async fn setup(
        self,
        context: &Context,
        command: Vec<String>,
    ) -> Result<Setup> {
        let here = std::env::current_dir()?;
        let address = self.clone.clone().flatten();
        // Not a checkout of the person's: nothing in it says how it is fenced.
        let foreign = match (&self.workspace, &address) {
            (Some(directory), _) => {
                Some(fs_err::canonicalize(directory).map_err(|e| Error::Usage(e.to_string()))?)
            }
            (None, Some(_)) => Some(here.clone()),
            (None, None) => None,
        };
        let is_foreign = foreign.is_some();
        let (root, project_root) = match foreign {
            Some(directory) => {
                let config = self.config.as_ref().map(fs_err::canonicalize).transpose();
                let config = config.map_err(|e| Error::Config(e.to_string()))?;
                (
                    directory,
                    config.and_then(|file| file.parent().map(PathBuf::from)),
                )
            }
            None => {
                let repository = Repository::find(&here, &context.state).await?;
                (
                    repository.root().to_owned(),
                    Some(repository.root().to_owned()),
                )
            }
        };
        let mut config = match &self.config {
            Some(file) => {
                fs_err::metadata(file).map_err(|e| Error::Config(e.to_string()))?;
                Config::load(file)?
            }
            None if is_foreign => Config::default(),
            None => Config::load(&root.join(FILE))?,
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
                .filter(|_| !is_foreign)
                .map(|root| Repository::at(root.clone())),
            logins: context.state.root().join("logins"),
            gh: "gh",
        };
        let handover = person.gather(&wants, config.agent.name).await?;
        let by_name = || match &address {
            Some(address) => address.project(),
            None => root
                .file_name()
                .and_then(|n| n.to_str())
                .and_then(Slug::from_text),
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
        let (state, dir) = (&context.state, context.state.task(&task));
        let workspace = match (&self.workspace, &address) {
            (Some(directory), _) => Workspace::directory(directory, state, &off_limits)?,
            (None, Some(address)) => Workspace::fetched(address, &task, state).await?,
            (None, None) => {
                let repository = Repository::at(root.clone());
                match self.clone.is_some() || config.workspace.clone {
                    true => Workspace::clone_of(&repository, &task, &dir).await?,
                    false => Workspace::worktree(&repository, &task, &dir).await?,
                }
            }
        };
        let mut workspace = workspace;
        let seed = match &self.snapshot {
            Some(which) => Some(which.seed(state, &task, &mut workspace).await?),
            None => None,
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
            seed,
            opens: self.open.is_some(),
            once: false,
        })
    }
}
