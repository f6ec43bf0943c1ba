//! What is removed, until it is gone.

use std::time::Duration;

use bollard::query_parameters as query;

use super::{BollardEngine, podman};
use crate::engine::{EngineError, EngineResult, Kind};

/// How often a removal is tried that is refused for a moment only, a tenth of a second apart.
const REMOVALS: u32 = 150;

impl BollardEngine {
    /// Removes one thing; a container with its anonymous volumes, and by force.
    pub(super) async fn take_away(&self, kind: Kind, id: &str) -> EngineResult<()> {
        for _ in 0..REMOVALS {
            match self.remove_once(kind, id).await {
                // Who shares its namespace goes first, and is on the way; or it ended at this moment.
                Err(EngineError::Refused { message, .. }) if podman::passes(&message) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => return other,
            }
        }
        self.remove_once(kind, id).await
    }

    async fn remove_once(&self, kind: Kind, id: &str) -> EngineResult<()> {
        let done = match kind {
            Kind::Container => {
                let options = query::RemoveContainerOptionsBuilder::new()
                    .force(true)
                    .v(true)
                    .build();
                self.docker.remove_container(id, Some(options)).await
            }
            Kind::Network => self.docker.remove_network(id).await,
            Kind::Volume => {
                self.docker
                    .remove_volume(id, None::<query::RemoveVolumeOptions>)
                    .await
            }
            Kind::Image => self.forget_image(id).await,
        };
        match done.map_err(|e| self.failed(e)) {
            // Somebody else is at it: done when it is gone.
            Err(EngineError::Refused {
                status: 409,
                message,
            }) if message.contains("in progress") => self.await_gone(id).await,
            other => other,
        }
    }

    async fn await_gone(&self, container: &str) -> EngineResult<()> {
        const TRIES: u32 = 300;
        for _ in 0..TRIES {
            match self
                .docker
                .inspect_container(container, None)
                .await
                .map_err(|e| self.failed(e))
            {
                Err(EngineError::NotFound(_)) => return Ok(()),
                Err(e) => return Err(e),
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Err(EngineError::Broken(format!(
            "the removal of {container} does not end"
        )))
    }
}
