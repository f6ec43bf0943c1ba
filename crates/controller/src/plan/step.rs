//! One thing to do, and what undoes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::engine::Kind;
use crate::labels::Role;
use crate::passwords::Passwords;
use crate::secret::Secret;
use crate::snapshot::{Layer, Pour};
use crate::spec::{Attachment, ContainerSpec, NetworkSpec, VolumeSpec};
use crate::ssh_agent::{SOCKET, SshAgent};
use crate::workspace::Workspace;

/// What undoes a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "undo")]
pub enum Inverse {
    /// Nothing: it goes with something else.
    Nothing,
    /// Remove an object of the engine.
    Remove {
        /// Kind.
        kind: Kind,
        /// Name; removed by the id that the engine gave.
        name: String,
    },
    /// Remove a worktree that nobody changed, and its branch where it is.
    Workspace,
    /// Remove a task's spool with everything in it.
    Spool,
    /// Remove files of ours.
    Files {
        /// The directory.
        directory: PathBuf,
        /// Names in it.
        names: Vec<String>,
    },
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Step {
    /// Write small files.
    Files {
        /// Into this directory.
        directory: PathBuf,
        /// Relative name → text.
        files: BTreeMap<String, String>,
    },
    /// Write the passwords of the task's services into its own file.
    Passwords {
        /// The file.
        file: PathBuf,
        /// What is in it; shown without the values.
        passwords: Passwords,
    },
    /// Write a secret for the agent alone.
    Secret {
        /// Into this file.
        path: PathBuf,
        /// Whose it is.
        owner: (u32, u32),
        /// The text, which no plan shows.
        text: Secret,
    },
    /// Start what stands between the agent and the person's SSH agent.
    SshAgent {
        /// Its socket is there.
        directory: PathBuf,
        /// Who may connect.
        owner: (u32, u32),
        /// The person's.
        agent: SshAgent,
    },
    /// Make a directory for the agent alone, which stays when the task goes.
    Shared {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner: (u32, u32),
    },
    /// Make the directories for the agent's alerts and for the answers.
    Spool {
        /// Above both.
        path: PathBuf,
        /// Who writes alerts.
        owner: (u32, u32),
    },
    /// Make the task's files available.
    Workspace(Workspace),
    /// Leave an empty worktree: the files are in volumes.
    Vacate(Workspace),
    /// Put an archive where it belongs.
    Pour(Pour),
    /// Make the image of a snapshot's container.
    Layer(Layer),
    /// Create a network.
    Network(NetworkSpec),
    /// Let the kernel refuse strangers on the fence's bridge, where it does not by itself.
    GuardLink {
        /// The fence's name.
        network: String,
    },
    /// Create a volume.
    Volume(VolumeSpec),
    /// Create a container.
    Container(ContainerSpec),
    /// Attach a container to one more network, for engines that take one at creation.
    Connect {
        /// The container's name.
        container: String,
        /// Where.
        attachment: Attachment,
    },
    /// Start a container.
    Start {
        /// Its name.
        container: String,
        /// Its role.
        role: Role,
    },
    /// Wait until a container's health check passes.
    AwaitHealthy {
        /// Its name.
        container: String,
        /// At most this long.
        seconds: u32,
    },
    /// Remove a container that has done its work.
    Remove {
        /// Its name.
        container: String,
    },
}

impl Step {
    /// What undoes it.
    #[must_use]
    pub fn inverse(&self) -> Inverse {
        let remove = |kind, name: &String| Inverse::Remove {
            kind,
            name: name.clone(),
        };
        match self {
            Step::Files { directory, files } => Inverse::Files {
                directory: directory.clone(),
                names: files.keys().cloned().collect(),
            },
            Step::Passwords { file, .. } => Inverse::Files {
                directory: file.parent().map(PathBuf::from).unwrap_or_default(),
                names: file
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .into_iter()
                    .collect(),
            },
            Step::Secret { path, .. } => Inverse::Files {
                directory: path.parent().unwrap_or(path).to_owned(),
                names: path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .into_iter()
                    .collect(),
            },
            // It ends by itself when its socket is gone.
            Step::SshAgent { directory, .. } => Inverse::Files {
                directory: directory.clone(),
                names: vec![SOCKET.to_owned()],
            },
            Step::Workspace(_) => Inverse::Workspace,
            Step::Spool { .. } => Inverse::Spool,
            Step::Pour(pour) => remove(Kind::Container, &pour.spec.name),
            Step::Layer(layer) => remove(Kind::Image, &layer.name),
            Step::Network(spec) => remove(Kind::Network, &spec.name),
            Step::Volume(spec) => remove(Kind::Volume, &spec.name),
            Step::Container(spec) => remove(Kind::Container, &spec.name),
            Step::GuardLink { .. }
            | Step::Vacate(_)
            | Step::Shared { .. }
            | Step::Connect { .. }
            | Step::Start { .. }
            | Step::AwaitHealthy { .. }
            | Step::Remove { .. } => Inverse::Nothing,
        }
    }

    /// What is being done, as a participle, for errors and progress.
    #[must_use]
    pub fn doing(&self) -> String {
        match self {
            Step::Files { directory, .. } => format!("writing into {}", directory.display()),
            Step::Passwords { .. } => "making passwords for the services".to_owned(),
            Step::Secret { path, .. } => format!("writing {}", path.display()),
            Step::SshAgent { .. } => "joining the task to your SSH agent".to_owned(),
            Step::Shared { path, .. } | Step::Spool { path, .. } => {
                format!("making {}", path.display())
            }
            Step::Workspace(workspace) => workspace.doing(),
            Step::Vacate(workspace) => {
                format!("leaving {} empty", workspace.files().display())
            }
            Step::Pour(pour) => pour.doing.clone(),
            Step::Layer(_) => "making the container's files again".to_owned(),
            Step::Network(spec) => format!("creating network {}", spec.name),
            Step::GuardLink { network } => format!("guarding the bridge of {network}"),
            Step::Volume(spec) => format!("creating volume {}", spec.name),
            Step::Container(spec) => format!("creating container {}", spec.name),
            Step::Connect {
                container,
                attachment,
            } => {
                format!("connecting {container} to {}", attachment.network)
            }
            Step::Start { container, .. } => format!("starting {container}"),
            Step::AwaitHealthy { container, .. } => format!("waiting for {container}"),
            Step::Remove { container } => format!("removing {container}"),
        }
    }
}

/// A step and the steps that come before it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Planned {
    /// What.
    pub step: Step,
    /// Places in the plan; all smaller than its own.
    pub after: Vec<usize>,
}
