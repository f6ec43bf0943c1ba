//! Images: looked for, fetched and built.

use std::collections::HashMap;

use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::StreamExt;

use super::{BollardEngine, answer, cause};
use crate::engine::{EngineError, EngineResult, ImageInfo};
use crate::spec::{BuildSpec, ImageRef};

impl BollardEngine {
    /// Looks for it on the engine.
    pub(super) async fn find_image(&self, image: &ImageRef) -> EngineResult<Option<ImageInfo>> {
        match self
            .docker
            .inspect_image(&image.0)
            .await
            .map_err(|e| self.failed(e))
        {
            Ok(found) => Ok(Some(answer::image(found))),
            Err(EngineError::NotFound(_)) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Fetches it from its registry.
    pub(super) async fn fetch_image(
        &self,
        image: &ImageRef,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> EngineResult<()> {
        // Without a tag the API would fetch every tag there is.
        let name = image.0.rsplit('/').next().unwrap_or_default();
        let whole = name.contains(':') || name.contains('@');
        let from = if whole {
            image.0.clone()
        } else {
            format!("{image}:latest")
        };
        let options = query::CreateImageOptionsBuilder::new()
            .from_image(&from)
            .build();
        let mut stream = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        while let Some(info) = stream.next().await {
            let info = info.map_err(|e| self.failed(e))?;
            if let Some(line) = answer::pull_progress(&info) {
                progress(&line);
            }
        }
        Ok(())
    }

    /// Builds it with the classic builder, which every engine has.
    pub(super) async fn build_image(
        &self,
        spec: BuildSpec,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> EngineResult<()> {
        let args: HashMap<String, String> = spec.args.into_iter().collect();
        let mut options = query::BuildImageOptionsBuilder::new()
            .dockerfile("Dockerfile")
            .t(&spec.tag.0)
            .rm(true)
            .forcerm(true)
            .nocache(spec.fresh)
            .buildargs(&args);
        if let Some(network) = &spec.network {
            options = options.networkmode(network);
        }
        let options = options.build();
        let context = bollard::body_full(Bytes::from(spec.context));
        let mut stream = std::pin::pin!(self.docker.build_image(options, None, Some(context)));
        while let Some(info) = stream.next().await {
            let info = info.map_err(|e| self.failed(e))?;
            if let Some(message) = info.error_detail.and_then(|e| e.message) {
                return Err(cause::refused(500, message));
            }
            if let Some(piece) = info.stream {
                progress(&piece);
            }
        }
        Ok(())
    }
}
