//! What a snapshot holds: the only file of it that is read as more than bytes. We wrote it, in a directory that no
//! container is given.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::origin::{Held, Origin};
use crate::error::{Error, Result};
use crate::output::printable;
use crate::task::{Slug, TaskId};
use crate::workspace::{PrivateGit, Workspace};

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format version.
    pub v: u8,
    /// Of which task.
    #[serde(flatten)]
    pub of: TaskId,
    /// Its name.
    pub name: Slug,
    /// When.
    pub taken: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How long the task stood still meanwhile, in seconds.
    pub held: f64,
    /// The engine's id of the image that the agent's container began from.
    pub image: String,
    /// Where its commits began; absent where the task had no git.
    pub origin: Option<Origin>,
    /// What was left out, as it was asked for.
    pub excluded: Vec<String>,
    /// What is there.
    pub parts: Vec<Part>,
    /// Files of the image that the container did not have any more.
    pub removed: u64,
    /// What could not be stored.
    pub left_out: Vec<Missed>,
}

/// One archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Of what.
    #[serde(flatten)]
    pub what: What,
    /// The file beside the manifest.
    pub file: String,
    /// Files, directories and links in it.
    pub entries: u64,
    /// Its size.
    pub bytes: u64,
}

/// What an archive was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "part")]
pub enum What {
    /// The task's files.
    Files,
    /// Its private git directory.
    Git,
    /// A service's volume.
    Volume {
        /// The service.
        service: Slug,
        /// The volume's name, as the service has it.
        volume: String,
    },
    /// A part of what the agent's container changed.
    Container {
        /// It is unpacked in this directory.
        directory: String,
    },
}

/// What could not be stored, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl std::fmt::Display for What {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            What::Files => f.write_str("files"),
            What::Git => f.write_str("git"),
            What::Volume { service, volume } => write!(f, "volume {service}.{volume}"),
            What::Container { .. } => f.write_str("container"),
        }
    }
}

impl What {
    /// The file's name.
    #[must_use]
    pub fn file(&self, number: usize) -> String {
        match self {
            What::Files => "files.tar".to_owned(),
            What::Git => "git.tar".to_owned(),
            What::Volume { .. } => format!("volume.{number}.tar"),
            What::Container { .. } => format!("container.{number}.tar"),
        }
    }
}

impl Manifest {
    /// Bytes of all archives.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// Entries of all archives.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.parts.iter().map(|part| part.entries).sum()
    }

    /// The parts of one kind together: name, entries, bytes.
    #[must_use]
    pub fn summary(&self) -> Vec<(String, u64, u64)> {
        let mut all: Vec<(String, u64, u64)> = Vec::new();
        for part in &self.parts {
            let name = part.what.to_string();
            match all.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, entries, bytes)) => {
                    *entries += part.entries;
                    *bytes += part.bytes;
                }
                None => all.push((name, part.entries, part.bytes)),
            }
        }
        all
    }

    /// The part of a place.
    #[must_use]
    pub fn part(&self, what: &What) -> Option<&Part> {
        self.parts.iter().find(|part| part.what == *what)
    }

    /// Does it hold changes of a container that began from another image than this?
    #[must_use]
    pub fn needs_another(&self, image: &str) -> bool {
        let mut parts = self.parts.iter();
        let layered = parts.any(|part| matches!(part.what, What::Container { .. }));
        (layered || self.removed > 0) && self.image != image
    }

    /// Refuses files that these cannot take the place of.
    pub fn fits(&self, workspace: &Workspace) -> Result<()> {
        let (what, whose) = (
            format!("snapshot {} of task {}", self.name, self.of),
            &self.origin,
        );
        match (whose, workspace) {
            (Some(origin), Workspace::Worktree { git, .. })
                if origin.borrows && git.objects.is_empty() =>
            {
                Err(Error::Usage(format!(
                    "{what} borrows objects from your repository, and a --clone, or a task in volumes, has its own: bring it up without --clone, on an engine \
                     without userns-remap"
                )))
            }
            (
                Some(origin),
                Workspace::Worktree {
                    checkout,
                    source,
                    git,
                    ..
                },
            ) => {
                let address = source.as_ref().map(|source| &source.address);
                // A clone of an address has all of its objects, so another of that address takes them.
                let same_address = address.is_some() && address == origin.source.as_ref();
                if origin.checkout != *checkout && (origin.borrows || !same_address) {
                    return Err(elsewhere(&what, origin, checkout));
                }
                same_modules(&what, origin, git)
            }
            (Some(_), Workspace::Directory { .. }) => Err(Error::Usage(format!(
                "{what} is of a git worktree: it cannot be put back into a --workspace"
            ))),
            (None, Workspace::Directory { .. }) => Ok(()),
            (None, Workspace::Worktree { .. }) => Err(Error::Usage(format!(
                "{what} is of a --workspace: name an empty one to put it back into"
            ))),
        }
    }
}

/// The sentence for a repository that is not the snapshot's.
fn elsewhere(what: &str, origin: &Origin, checkout: &Path) -> Error {
    Error::Usage(match &origin.source {
        Some(address) => {
            format!("{what} is of a clone of {address}: bring it up with --clone {address}")
        }
        None => format!(
            "{what} was taken in {}, and belongs to that repository: it cannot be put back in {}",
            origin.checkout.display(),
            checkout.display()
        ),
    })
}

/// A submodule's git directory is of no use without the person's repository of it.
fn same_modules(what: &str, origin: &Origin, git: &PrivateGit) -> Result<()> {
    let there: BTreeSet<_> = git.all_modules().into_iter().map(Held::from).collect();
    let stored: BTreeSet<_> = origin.modules.iter().cloned().collect();
    let Some(other) = there.symmetric_difference(&stored).next() else {
        return Ok(());
    };
    let path = printable(&other.path.to_string_lossy());
    Err(Error::Usage(match stored.contains(other) {
        true => format!(
            "{what} has the submodule {path} from {}, which the task has not: your checkout must have it (git submodule \
             update --init --recursive)",
            other.repository.display()
        ),
        false => format!(
            "the task has the submodule {path}, which {what} has not: only a new task takes it (agentnet up NEW --snapshot)"
        ),
    }))
}
