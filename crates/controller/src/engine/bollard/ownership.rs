//! What is ours on an engine, by its labels.

use std::collections::HashMap;

use bollard::query_parameters as query;

use super::{BollardEngine, answer};
use crate::engine::{EngineResult, Kind, Resource};
use crate::labels::STATE;

impl BollardEngine {
    /// Containers, networks, volumes and images of one state directory, those that do not run too.
    pub(super) async fn labelled(&self, state: &str) -> EngineResult<Vec<Resource>> {
        let filter = HashMap::from([("label", vec![format!("{STATE}={state}")])]);
        let containers = query::ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filter)
            .build();
        let networks = query::ListNetworksOptionsBuilder::new()
            .filters(&filter)
            .build();
        let volumes = query::ListVolumesOptionsBuilder::new()
            .filters(&filter)
            .build();
        let images = query::ListImagesOptionsBuilder::new()
            .all(true)
            .filters(&filter)
            .build();
        let (containers, networks, volumes, images) = futures_util::join!(
            self.docker.list_containers(Some(containers)),
            self.docker.list_networks(Some(networks)),
            self.docker.list_volumes(Some(volumes)),
            self.docker.list_images(Some(images)),
        );
        let made = |kind, id: Option<String>, name: Option<String>, map| Resource {
            kind,
            id: id.unwrap_or_default(),
            name: name.unwrap_or_default(),
            labels: answer::labels(map),
        };
        let mut found = Vec::new();
        for c in containers.map_err(|e| self.failed(e))? {
            let name = c.names.unwrap_or_default().into_iter().next();
            let name = name.map(|n| n.trim_start_matches('/').to_owned());
            found.push(made(Kind::Container, c.id, name, c.labels));
        }
        for n in networks.map_err(|e| self.failed(e))? {
            found.push(made(Kind::Network, n.id, n.name, n.labels));
        }
        for v in volumes
            .map_err(|e| self.failed(e))?
            .volumes
            .unwrap_or_default()
        {
            found.push(made(
                Kind::Volume,
                Some(v.name.clone()),
                Some(v.name),
                Some(v.labels),
            ));
        }
        for i in images.map_err(|e| self.failed(e))? {
            found.push(made(
                Kind::Image,
                Some(i.id.clone()),
                Some(i.id),
                Some(i.labels),
            ));
        }
        Ok(found)
    }
}
