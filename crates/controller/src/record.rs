//! What is known about a task between two commands.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{Fence, Mode};
use crate::error::{Error, Result};
use crate::paths::{TaskDir, write_atomically};
use crate::plan::Place;
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
    /// It was taken down; its tree has changes and was kept.
    Down,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Phase::Partial => "partial",
            Phase::Up => "up",
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
    /// The gate's promise, as flags: what `verify` runs with.
    pub expectation: Vec<String>,
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

    /// The first container of a role.
    #[must_use]
    pub fn container(&self, role: crate::labels::Role) -> Option<&str> {
        self.places
            .iter()
            .find(|p| p.role == role)
            .map(|p| p.container.as_str())
    }
}
