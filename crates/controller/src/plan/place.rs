//! Who is where once everything runs.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::labels::{Role, SERVICE};
use crate::spec::{ContainerSpec, Limits, SystemCalls, digest};
use crate::task::Slug;

/// Who is where once everything runs: what `verify` holds against the engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Container name.
    pub container: String,
    /// What it is.
    pub role: Role,
    /// The networks it is on, by name; empty: none, or its relay's.
    pub networks: Vec<String>,
    /// Its addresses in the fence.
    pub addresses: Vec<IpAddr>,
    /// Which service, if it is one.
    #[serde(default)]
    pub service: Option<Slug>,
    /// Its ceilings.
    #[serde(default)]
    pub limits: Limits,
    /// The system call filter that it was given instead of the engine's own.
    #[serde(default)]
    pub filter: Option<Filter>,
    /// It has GPUs of the host.
    #[serde(default)]
    pub gpus: bool,
    /// Where its volumes with data are: a service's, or the task's files.
    #[serde(default)]
    pub volumes: Vec<String>,
}

/// Which system call filter a container was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The user's file; `None`: ours.
    pub file: Option<PathBuf>,
    /// Fingerprint of its text.
    pub digest: String,
}

impl Place {
    /// Where a planned container is.
    pub(super) fn of(
        spec: &ContainerSpec,
        role: Role,
        networks: Vec<String>,
        addresses: Vec<IpAddr>,
    ) -> Place {
        let file = match &spec.system_calls {
            SystemCalls::Profile(profile) => Some(profile.file.clone()),
            SystemCalls::Engine | SystemCalls::Ours => None,
        };
        let digest = spec.system_calls.text().map(digest);
        Place {
            container: spec.name.clone(),
            role,
            networks,
            addresses,
            service: spec.labels.get(SERVICE).and_then(|name| name.parse().ok()),
            limits: spec.limits,
            filter: digest.map(|digest| Filter { file, digest }),
            gpus: spec.gpus.is_some(),
            volumes: Vec::new(),
        }
    }

    /// Who it is to a person: "the agent", "service postgres".
    #[must_use]
    pub fn who(&self) -> String {
        match &self.service {
            Some(name) => format!("service {name}"),
            None => format!("the {}", self.role),
        }
    }

    /// What it has of the host beyond every other container, because the user said so; one sentence each.
    #[must_use]
    pub fn widened(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(Filter {
            file: Some(file), ..
        }) = &self.filter
        {
            found.push(format!(
                "{} runs with the system call filter {} instead of the engine's: what that lets through, the host's kernel takes",
                self.who(),
                file.display()
            ));
        }
        if self.gpus {
            found.push(format!(
                "{} has GPUs of this machine: their driver runs in the host's kernel",
                self.who()
            ));
        }
        found
    }
}
