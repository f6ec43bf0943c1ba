//! What is known about a task between two commands.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agents::Agent;
use crate::config::{Fence, Mode};
use crate::error::{Error, Result};
use crate::lock::TaskLock;
use crate::paths::{StateDir, TaskDir, write_atomically};
use crate::plan::Place;
use crate::spec::ImageRef;
use crate::task::TaskId;
use crate::workspace::Workspace;

/// How far a task came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// `up` or `down` works on it, or was killed while it did.
    Partial,
    /// It was brought up and proven.
    Up,
    /// As `Up`, for one command: it ends with the `agentnet run` that holds its second lock.
    Run,
    /// It was taken down; its tree has changes and was kept.
    Down,
}

impl Phase {
    /// Its containers run, or should.
    #[must_use]
    pub fn is_up(self) -> bool {
        match self {
            Phase::Up | Phase::Run => true,
            Phase::Partial | Phase::Down => false,
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Phase::Partial => "partial",
            Phase::Up => "up",
            Phase::Run => "run",
            Phase::Down => "down",
        })
    }
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Format version.
    pub v: u8,
    /// Which.
    #[serde(flatten)]
    pub task: TaskId,
    /// How far.
    pub phase: Phase,
    /// When `up` began.
    pub since: Timestamp,
    /// The engine's endpoint.
    pub engine: String,
    /// How much network.
    pub mode: Mode,
    /// Which fence.
    pub fence: Option<Fence>,
    /// The sealed network.
    pub fence_network: Option<String>,
    /// Where the proxy answers, as the task sees it.
    pub proxy: Option<std::net::SocketAddr>,
    /// Who is where.
    pub places: Vec<Place>,
    /// Its files.
    pub workspace: Workspace,
    /// Which agent it was brought up for.
    #[serde(default)]
    pub agent: Option<Agent>,
    /// The names of the secrets that it was given.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// It was given the person's SSH agent.
    #[serde(default)]
    pub ssh_agent: bool,
    /// The directory with an agent's login that it may write, which other tasks share.
    #[serde(default)]
    pub login: Option<PathBuf>,
    /// The gate's promise, as flags: what `verify` runs with.
    pub expectation: Vec<String>,
    /// The image that looks at the task's files.
    #[serde(default)]
    pub tools: Option<ImageRef>,
    /// `uid:gid` that owns the task's files in its containers.
    #[serde(default)]
    pub owner: Option<(u32, u32)>,
    /// Volumes with data of services that outlive the next `down`, by name.
    #[serde(default)]
    pub kept_volumes: Vec<String>,
    /// The images it runs, by container: reference and, where it is known, the engine's id.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// The engine's id of the image that the agent's container began from; a snapshot may lie between.
    #[serde(default)]
    pub agent_image: Option<String>,
    /// The files that `agentnet results` is asked for, as globs.
    #[serde(default)]
    pub outputs: Vec<String>,
    /// What the task may write to the disk, in bytes.
    #[serde(default)]
    pub disk: Option<u64>,
    /// Its agent has a spool for alerts.
    #[serde(default)]
    pub notify: bool,
}

/// A task that is up, for tests of what is said about one.
#[cfg(test)]
pub(crate) fn made() -> Record {
    let task = TaskId {
        project: "shop".parse().unwrap(),
        task: "t".parse().unwrap(),
    };
    let place = |role| Place {
        container: task.resource(role),
        role,
        networks: Vec::new(),
        addresses: Vec::new(),
        service: None,
        limits: crate::spec::Limits::default(),
        filter: None,
        gpus: false,
        volumes: Default::default(),
    };
    use crate::labels::Role;
    Record {
        v: 1,
        phase: Phase::Up,
        since: Timestamp::UNIX_EPOCH,
        engine: String::new(),
        mode: Mode::Limited,
        fence: Some(Fence::Network),
        fence_network: None,
        proxy: None,
        places: vec![place(Role::Proxy), place(Role::Agent)],
        workspace: Workspace::Directory {
            path: "/work".into(),
            git: crate::workspace::GitEntry::None,
        },
        agent: None,
        secrets: Vec::new(),
        ssh_agent: false,
        login: None,
        expectation: Vec::new(),
        tools: None,
        owner: None,
        kept_volumes: Vec::new(),
        images: BTreeMap::new(),
        agent_image: None,
        outputs: Vec::new(),
        disk: None,
        notify: false,
        task,
    }
}

impl Record {
    /// Reads a task's record; `None` when there is none.
    pub fn read(dir: &TaskDir) -> Result<Option<Record>> {
        let path = dir.record();
        match fs_err::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).map(Some).map_err(|e| {
                Error::Failed(format!("{} is not a task record: {e}", path.display()))
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    /// Writes it.
    pub fn write(&self, dir: &TaskDir) -> Result<()> {
        let text = serde_json::to_string_pretty(self).map_err(std::io::Error::from)?;
        write_atomically(&dir.record(), &text)
    }

    /// Does what carries the task's name on the engine still serve somebody? A task that came up
    /// does until `down`, one of an `agentnet run` as long as that; one that is kept needs only its
    /// files, one that never came up nothing.
    pub fn lives(&self, state: &StateDir) -> Result<bool> {
        match self.phase {
            Phase::Up => Ok(true),
            Phase::Run => Ok(TaskLock::try_take(&state.run_lock(&self.task))?.is_none()),
            Phase::Partial | Phase::Down => Ok(false),
        }
    }

    /// It is down, and nothing that was kept of it is there any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.phase == Phase::Down
            && self.kept_volumes.is_empty()
            && !self.workspace.files().exists()
    }

    /// The volumes that stay while it is down.
    #[must_use]
    pub fn kept(&self) -> Vec<String> {
        let files = self.workspace.volume_names();
        self.kept_volumes.iter().cloned().chain(files).collect()
    }

    /// The first container of a role.
    #[must_use]
    pub fn container(&self, role: crate::labels::Role) -> Option<&str> {
        self.places
            .iter()
            .find(|p| p.role == role)
            .map(|p| p.container.as_str())
    }
}
