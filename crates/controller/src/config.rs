//! `agentnet.toml`: read from the user's checkout, never from a task's worktree.

mod check;
mod compose;
mod credentials;
mod environment;
mod files;
mod gpus;
mod healthcheck;
mod network;
mod notify;
mod quantity;
mod results;
mod service;
mod template;
mod tmpfs;
mod workspace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use agentnet_policy::toml_words;
use serde::Deserialize;

use crate::agents;
use crate::error::{Error, Result};
use crate::paths::read_bounded;
use crate::spec::ImageRef;
use crate::task::Slug;

pub use compose::Compose;
pub use credentials::{Credentials, SshKeys};
pub use environment::Preset;
pub use gpus::Gpus;
pub use healthcheck::{Healthcheck, Test};
pub use network::{Fence, Mode, Network};
pub use notify::Notify;
pub use quantity::{Bytes, Cpus};
pub use results::Results;
pub use service::Service;
pub use template::Template;
pub use tmpfs::Tmpfs;
pub use workspace::Workspace;

/// The file's name, in the root of the checkout.
pub const FILE: &str = "agentnet.toml";
/// The project's whitelist, below the root of the checkout.
pub const WHITELIST: &str = ".agentnet/whitelist.txt";

/// The largest file in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Instead of the directory's name.
    pub project: Option<Slug>,
    /// The task's files.
    pub workspace: Workspace,
    /// The agent's container.
    pub agent: Agent,
    /// Its way out.
    pub network: Network,
    /// What of the person's a task is given.
    pub credentials: Credentials,
    /// Our own images.
    pub images: Images,
    /// Services of a compose file.
    pub compose: Compose,
    /// What a task is to leave behind.
    pub results: Results,
    /// Alerts of its agent.
    pub notify: Notify,
    /// Side services, by the name under which the agent reaches them.
    pub services: BTreeMap<Slug, Service>,
}

/// `[agent]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agent {
    /// Which agent: `claude`, `codex`, `gemini` or `shell`.
    pub name: Option<agents::Agent>,
    /// The environment it works in, built here.
    pub preset: Option<Preset>,
    /// Its image.
    pub image: Option<ImageRef>,
    /// Or a directory with a Dockerfile, below the root of the checkout.
    pub build: Option<PathBuf>,
    /// Or a Dockerfile, right here.
    pub dockerfile: Option<String>,
    /// What a build runs reaches only what the task may reach.
    pub fenced_build: bool,
    /// Instead of the image's arguments.
    pub command: Vec<String>,
    /// `uid:gid` instead of the owner of the files.
    pub user: Option<String>,
    /// The group that the agent's files belong to, instead of the owner's.
    pub group: Option<u32>,
    /// Where the files are, `/workspace` by default.
    pub workdir: Option<String>,
    /// More environment.
    pub env: BTreeMap<String, String>,
    /// The root of the container cannot be written; `/tmp` can.
    pub read_only: bool,
    /// Ceiling, as `8GiB`.
    pub memory: Option<Bytes>,
    /// Ceiling, as `2.5`.
    pub cpus: Option<Cpus>,
    /// Ceiling on processes and threads.
    pub pids: Option<u32>,
    /// Ceiling on open files a process.
    pub nofile: Option<u32>,
    /// Size of `/dev/shm`.
    pub shm: Option<Bytes>,
    /// Ceiling on what the container writes into its own layer, and the task into its files.
    pub disk: Option<Bytes>,
    /// GPUs of the host.
    pub gpus: Option<Gpus>,
}

/// `[images]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Images {
    /// Instead of `agentnet/proxy:VERSION`.
    pub proxy: Option<ImageRef>,
    /// Instead of `agentnet/gate:VERSION`.
    pub gate: Option<ImageRef>,
    /// Instead of `agentnet/tools:VERSION`.
    pub tools: Option<ImageRef>,
    /// What environments are built from, instead of Debian.
    pub base: Option<ImageRef>,
}

impl Config {
    /// Reads a file; an absent one is an empty one.
    pub fn load(path: &Path) -> Result<Config> {
        match read_bounded(path, MAX_BYTES) {
            Ok(text) => Config::parse(path, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
            Err(e) => Err(Error::Config(e.to_string())),
        }
    }

    /// Parses and checks; errors name file, line and fix.
    pub fn parse(path: &Path, text: &str) -> Result<Config> {
        let config: Config = toml::from_str(text).map_err(|e| {
            let start = e.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default().matches('\n').count();
            let line = text.lines().nth(before).unwrap_or_default();
            let words = misplaced(e.message(), line);
            let words = words.unwrap_or_else(|| toml_words(e.message(), line));
            Error::Config(format!("{}:{}: {words}", path.display(), before + 1))
        })?;
        check::check(&config).map_err(|why| Error::Config(format!("{}: {why}", path.display())))?;
        Ok(config)
    }
}

/// A key that stands above every table and belongs into one.
fn misplaced(message: &str, line: &str) -> Option<String> {
    if !message.contains("expected one of `project`") {
        return None;
    }
    let key = line.split('=').next().unwrap_or_default().trim();
    let table = if has_key::<Agent>(key) {
        "[agent]"
    } else if has_key::<Workspace>(key) {
        "[workspace]"
    } else if has_key::<Network>(key) {
        "[network]"
    } else {
        return None;
    };
    Some(format!("`{key}` is a key of {table}; write that above it"))
}

fn has_key<T: for<'de> Deserialize<'de>>(key: &str) -> bool {
    match toml::from_str::<T>(&format!("{key} = 0")) {
        Ok(_) => true,
        Err(error) => error.message().starts_with("invalid "),
    }
}

#[cfg(test)]
mod tests;
