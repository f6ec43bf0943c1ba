//! What the fake engine keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Fault;
use crate::engine::{Change, EngineError, EngineResult, ImageInfo, Kind, Output, Running, Usage};
use crate::labels::Labels;
use crate::spec::{Attachment, ContainerNetwork, ContainerSpec, Mount, NetworkSpec};

#[derive(Debug, Clone)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) spec: ContainerSpec,
    pub(super) running: Running,
    pub(super) oom_killed: bool,
}

/// A container's program, as the tests write it.
#[derive(Clone)]
pub(super) struct Runner(pub(super) Arc<Run>);

type Run = dyn Fn(&ContainerSpec, &[u8]) -> Output + Send + Sync;

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runner")
    }
}

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) calls: usize,
    pub(super) written: u64,
    pub(super) fault: Option<(usize, Fault)>,
    pub(super) next_id: usize,
    pub(super) networks: BTreeMap<String, NetworkSpec>,
    pub(super) volumes: BTreeMap<String, Labels>,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) images: BTreeMap<String, ImageInfo>,
    pub(super) log: Vec<String>,
    pub(super) answers: BTreeMap<String, Output>,
    pub(super) runner: Option<Runner>,
    pub(super) printed: BTreeMap<String, String>,
    pub(super) usage: BTreeMap<String, Usage>,
    pub(super) changes: Vec<(String, Change)>,
    pub(super) archive: Vec<u8>,
    /// Images that were made of containers, by id.
    pub(super) layers: BTreeMap<String, Labels>,
}

impl World {
    pub(super) fn id(&mut self) -> String {
        self.next_id += 1;
        format!("id{:04}", self.next_id)
    }

    pub(super) fn by_name_or_id(&self, name: &str) -> EngineResult<&Container> {
        self.containers
            .get(name)
            .or_else(|| self.containers.values().find(|c| c.spec.name == name))
            .ok_or_else(|| EngineError::NotFound(format!("container {name}")))
    }

    pub(super) fn turn(&mut self, name: &str, running: Running) -> EngineResult<()> {
        let id = self.by_name_or_id(name)?.id.clone();
        if let Some(found) = self.containers.get_mut(&id) {
            found.running = running;
        }
        Ok(())
    }

    pub(super) fn network_id(&self, name: &str) -> Option<String> {
        if self.networks.contains_key(name) {
            return Some(name.to_owned());
        }
        self.networks
            .iter()
            .find(|(_, n)| n.name == name)
            .map(|(id, _)| id.clone())
    }

    pub(super) fn attached(spec: &ContainerSpec) -> Vec<Attachment> {
        match &spec.network {
            ContainerNetwork::Attached(all) => all.clone(),
            ContainerNetwork::None | ContainerNetwork::Joined(_) => Vec::new(),
        }
    }

    pub(super) fn remove(&mut self, kind: Kind, id: &str) -> EngineResult<()> {
        let gone = || EngineError::NotFound(format!("{kind} {id}"));
        let in_use = |by: &str| EngineError::Refused {
            status: 403,
            message: format!("{kind} {id} is in use by {by}"),
        };
        match kind {
            Kind::Container => {
                let id = self.by_name_or_id(id)?.id.clone();
                self.containers.remove(&id).map(drop).ok_or_else(gone)
            }
            Kind::Network => {
                let user = self
                    .containers
                    .values()
                    .find(|c| World::attached(&c.spec).iter().any(|a| a.network == id));
                if let Some(user) = user {
                    return Err(in_use(&user.spec.name));
                }
                self.networks.remove(id).map(drop).ok_or_else(gone)
            }
            Kind::Volume => {
                let uses =
                    |m: &Mount| matches!(m, Mount::Volume { volume, .. } if volume.name == *id);
                let user = self
                    .containers
                    .values()
                    .find(|c| c.spec.mounts.iter().any(uses));
                if let Some(user) = user {
                    return Err(in_use(&user.spec.name));
                }
                self.volumes.remove(id).map(drop).ok_or_else(gone)
            }
            Kind::Image => {
                let user = self.containers.values().find(|c| c.spec.image == *id);
                if let Some(user) = user {
                    return Err(in_use(&user.spec.name));
                }
                self.layers.remove(id).map(drop).ok_or_else(gone)
            }
        }
    }
}
