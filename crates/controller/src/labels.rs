//! The labels on everything we create: the only source of truth for "is this ours".

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::task::TaskId;

/// Label key of the task's slug.
pub const TASK: &str = "agentnet.task";
/// Label key of the project's slug.
pub const PROJECT: &str = "agentnet.project";
/// Label key of the resource's role.
pub const ROLE: &str = "agentnet.role";
/// Label key of the installation: which state directory owns it.
pub const STATE: &str = "agentnet.state";
/// Label key of a service's name.
pub const SERVICE: &str = "agentnet.service";

/// Label key of a volume's name, as its service has it.
pub const VOLUME: &str = "agentnet.volume";

/// A label set.
pub type Labels = BTreeMap<String, String>;

/// What a resource is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The filtering proxy's container.
    Proxy,
    /// The namespace owner of the `socket` fence.
    Relay,
    /// The agent's container.
    Agent,
    /// A side service's container.
    Service,
    /// The sealed network.
    Fence,
    /// The proxy's way out.
    Egress,
    /// The volume with the gate, and the container that fills it.
    Gate,
    /// The volume with the proxy's unix socket.
    Socket,
    /// The volume with what the proxy has spent of its budgets.
    Budgets,
    /// A short-lived container of ours that looks at the task's files.
    Extractor,
    /// A volume with a service's data.
    Volume,
    /// The image that the agent's container was restored from.
    Snapshot,
    /// The volume with the task's files, where they cannot be a directory of the host.
    Files,
    /// The volume with its git directory, then.
    Git,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 14] = [
        Role::Proxy,
        Role::Relay,
        Role::Agent,
        Role::Service,
        Role::Fence,
        Role::Egress,
        Role::Gate,
        Role::Socket,
        Role::Budgets,
        Role::Extractor,
        Role::Volume,
        Role::Snapshot,
        Role::Files,
        Role::Git,
    ];

    /// The word in labels and names.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Proxy => "proxy",
            Role::Relay => "relay",
            Role::Agent => "agent",
            Role::Service => "service",
            Role::Fence => "fence",
            Role::Egress => "egress",
            Role::Gate => "gate",
            Role::Socket => "socket",
            Role::Budgets => "budgets",
            Role::Extractor => "extractor",
            Role::Volume => "volume",
            Role::Snapshot => "snapshot",
            Role::Files => "files",
            Role::Git => "git",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Role::ALL.into_iter().find(|r| r.as_str() == text).ok_or(())
    }
}

/// What our labels say about a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The installation.
    pub state: String,
    /// The task.
    pub task: TaskId,
    /// The role.
    pub role: Role,
}

impl Owner {
    /// The labels that say so.
    #[must_use]
    pub fn labels(&self) -> Labels {
        Labels::from([
            (TASK.to_owned(), self.task.task.to_string()),
            (PROJECT.to_owned(), self.task.project.to_string()),
            (ROLE.to_owned(), self.role.to_string()),
            (STATE.to_owned(), self.state.clone()),
        ])
    }

    /// Reads them back. `None`: not ours, or not made by a version we understand; hands off.
    #[must_use]
    pub fn read(labels: &Labels) -> Option<Owner> {
        Some(Owner {
            state: labels.get(STATE)?.clone(),
            task: TaskId {
                project: labels.get(PROJECT)?.parse().ok()?,
                task: labels.get(TASK)?.parse().ok()?,
            },
            role: labels.get(ROLE)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(role: Role) -> Owner {
        let task = TaskId {
            project: "shop".parse().unwrap(),
            task: "t1".parse().unwrap(),
        };
        Owner {
            state: "00ff".into(),
            task,
            role,
        }
    }

    #[test]
    fn every_role_survives_being_written_and_read() {
        for role in Role::ALL {
            assert_eq!(Owner::read(&owner(role).labels()), Some(owner(role)));
        }
    }

    #[test]
    fn labels_of_somebody_else_are_not_ours() {
        let mut labels = owner(Role::Agent).labels();
        labels.remove(STATE);
        assert_eq!(Owner::read(&labels), None);
        let mut labels = owner(Role::Agent).labels();
        labels.insert(TASK.into(), "Not A Slug".into());
        assert_eq!(Owner::read(&labels), None);
    }
}
