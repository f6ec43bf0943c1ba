//! Docker and what speaks its API, through bollard. Only this module imports it; what differs between
//! engines leaves here as [`Facts`].

mod answer;
mod cause;
mod facts;
mod image;
mod layer;
mod ownership;
mod podman;
mod privileges;
mod quota;
mod removal;
mod request;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models;
use bollard::query_parameters as query;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::OnceCell;

use super::{
    Change, ContainerState, Engine, EngineError, EngineResult, ImageInfo, Kind, LogQuery,
    NetworkState, Output, Resource, Streams, Usage,
};
use crate::facts::Facts;
use crate::labels::Labels;
use crate::spec::{
    Attachment, BuildSpec, ContainerSpec, ExecSpec, ImageRef, NetworkSpec, VolumeSpec,
};

/// Longest wait for the head of an answer, in seconds. A pull or a build streams and may take
/// longer; stopping a stuck container takes the engine ten.
const TIMEOUT_SECONDS: u64 = 120;

/// A connection to a Docker API.
#[derive(Debug, Clone)]
pub struct BollardEngine {
    docker: Docker,
    endpoint: String,
    filters: Option<PathBuf>,
    podman: Arc<OnceCell<bool>>,
}

impl BollardEngine {
    /// Prepares to talk to `unix:///path`, `tcp://host:port`. Nothing is sent yet.
    pub fn new(endpoint: &str) -> EngineResult<Self> {
        let unreachable = |why: String| EngineError::Unreachable {
            endpoint: endpoint.to_owned(),
            why,
        };
        let docker = match endpoint.strip_prefix("unix://") {
            Some(path) => {
                Docker::connect_with_unix(path, TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION)
            }
            None if endpoint.starts_with("tcp://") => {
                Docker::connect_with_http(endpoint, TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION)
            }
            None => return Err(unreachable("only unix:// and tcp:// are understood".into())),
        };
        let docker = docker.map_err(|e| {
            let absent = matches!(e, Bollard::SocketNotFoundError(_));
            unreachable(if absent {
                "there is no such socket".into()
            } else {
                e.to_string()
            })
        })?;
        Ok(BollardEngine {
            docker,
            endpoint: endpoint.to_owned(),
            filters: None,
            podman: Arc::default(),
        })
    }

    /// Where system call filters are kept, for an engine that takes them as files.
    #[must_use]
    pub fn keeping_filters_in(mut self, directory: PathBuf) -> Self {
        self.filters = Some(directory);
        self
    }

    /// Asked once.
    async fn is_podman(&self) -> EngineResult<bool> {
        let ask = || async {
            let version = self.docker.version().await;
            version.map(|version| podman::is_podman(&version))
        };
        let known = self.podman.get_or_try_init(ask).await;
        known.copied().map_err(|e| self.failed(e))
    }

    /// In the words of this engine.
    async fn adapted(
        &self,
        mut body: models::ContainerCreateBody,
    ) -> EngineResult<models::ContainerCreateBody> {
        if self.is_podman().await? {
            podman::adapt(&mut body, self.filters.as_deref())?;
        }
        Ok(body)
    }

    fn failed(&self, error: Bollard) -> EngineError {
        if let Bollard::DockerResponseServerError {
            status_code,
            message,
        } = error
        {
            cause::refused(status_code, message)
        } else if let Bollard::DockerStreamError { error } = error {
            cause::refused(500, error)
        } else if let Bollard::HyperLegacyError { err } = &error
            && err.is_connect()
        {
            EngineError::Unreachable {
                endpoint: self.endpoint.clone(),
                why: cause::innermost(err),
            }
        } else if matches!(error, Bollard::RequestTimeoutError) {
            EngineError::Broken(format!("no answer within {TIMEOUT_SECONDS} s"))
        } else {
            EngineError::Broken(cause::innermost(&error))
        }
    }

    /// The bridge that an engine makes by itself: there, the engine's host is this machine.
    async fn host_is_here(&self) -> bool {
        let Ok(bridge) = self.docker.inspect_network("bridge", None).await else {
            return false;
        };
        let name = bridge
            .options
            .and_then(|o| o.get("com.docker.network.bridge.name").cloned());
        crate::link::is_here(name.as_deref().unwrap_or("docker0"))
    }
}

impl Engine for BollardEngine {
    fn endpoint(&self) -> &str {
        &self.endpoint
    }

    async fn facts(&self) -> EngineResult<Facts> {
        let (version, info, here) = futures_util::join!(
            self.docker.version(),
            self.docker.info(),
            self.host_is_here()
        );
        let version = version.map_err(|e| self.failed(e))?;
        let info = info.map_err(|e| self.failed(e))?;
        let rootless =
            podman::is_podman(&version) && podman::is_rootless(&self.endpoint).await == Some(true);
        facts::facts(&self.endpoint, version, info, here, rootless)
    }

    async fn networks(&self) -> EngineResult<Vec<NetworkState>> {
        let all = self
            .docker
            .list_networks(None)
            .await
            .map_err(|e| self.failed(e))?;
        Ok(all.into_iter().map(answer::listed_network).collect())
    }

    async fn owned(&self, state: &str) -> EngineResult<Vec<Resource>> {
        self.labelled(state).await
    }

    async fn create_network(&self, spec: &NetworkSpec) -> EngineResult<String> {
        let made = self.docker.create_network(request::network(spec)).await;
        made.map(|m| m.id).map_err(|e| self.failed(e))
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> EngineResult<()> {
        let request = models::VolumeCreateRequest {
            name: Some(spec.name.clone()),
            labels: Some(request::map(&spec.labels)),
            ..Default::default()
        };
        // The engine answers with a volume that exists already as if it had made it.
        let volume = self
            .docker
            .create_volume(request)
            .await
            .map_err(|e| self.failed(e))?;
        if answer::labels(Some(volume.labels)) == spec.labels {
            Ok(())
        } else {
            Err(EngineError::NameInUse(format!(
                "there is a volume {} that is not ours",
                spec.name
            )))
        }
    }

    async fn create_container(&self, spec: &ContainerSpec) -> EngineResult<String> {
        let options = query::CreateContainerOptionsBuilder::new()
            .name(&spec.name)
            .build();
        let body = self.adapted(request::container(spec)).await?;
        let made = self.docker.create_container(Some(options), body).await;
        made.map(|m| m.id).map_err(|e| self.failed(e))
    }

    async fn connect(&self, container: &str, attachment: &Attachment) -> EngineResult<()> {
        let request = models::NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(request::endpoint(attachment)),
        };
        let done = self
            .docker
            .connect_network(&attachment.network, request)
            .await;
        done.map_err(|e| self.failed(e))
    }

    async fn start(&self, container: &str) -> EngineResult<()> {
        let done = self.docker.start_container(container, None).await;
        done.map_err(|e| self.failed(e))
    }

    async fn kill(&self, container: &str) -> EngineResult<()> {
        let done = self.docker.kill_container(container, None).await;
        match done.map_err(|e| self.failed(e)) {
            Err(EngineError::Refused { status: 409, .. }) => Ok(()),
            other => other,
        }
    }

    async fn remove(&self, kind: Kind, id: &str) -> EngineResult<()> {
        self.take_away(kind, id).await
    }

    async fn inspect_container(&self, name: &str) -> EngineResult<ContainerState> {
        let found = self.docker.inspect_container(name, None).await;
        found
            .map(|found| answer::container(found, &self.endpoint))
            .map_err(|e| self.failed(e))
    }

    async fn written(&self, name: &str) -> EngineResult<u64> {
        let options = query::InspectContainerOptionsBuilder::new()
            .size(true)
            .build();
        let found = self.docker.inspect_container(name, Some(options)).await;
        let found = found.map_err(|e| self.failed(e))?;
        Ok(found
            .size_rw
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0))
    }

    async fn stats(&self, name: &str) -> EngineResult<Usage> {
        // One sample, at once: without `one_shot` the engine takes a second for another.
        let options = query::StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let mut samples = std::pin::pin!(self.docker.stats(name, Some(options)));
        match samples.next().await {
            Some(Ok(sample)) if answer::is_nobodys(&sample) => Err(EngineError::Broken(
                "it counts for the whole machine only".into(),
            )),
            Some(sample) => sample
                .map(|s| answer::usage(&s))
                .map_err(|e| self.failed(e)),
            None => Err(EngineError::Broken("it gives no figures".into())),
        }
    }

    async fn inspect_network(&self, name: &str) -> EngineResult<NetworkState> {
        let found = self.docker.inspect_network(name, None).await;
        found
            .map(answer::inspected_network)
            .map_err(|e| self.failed(e))
    }

    async fn image(&self, image: &ImageRef) -> EngineResult<Option<ImageInfo>> {
        self.find_image(image).await
    }

    async fn pull(
        &self,
        image: &ImageRef,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> EngineResult<()> {
        self.fetch_image(image, progress).await
    }

    async fn build(
        &self,
        spec: BuildSpec,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> EngineResult<()> {
        self.build_image(spec, progress).await
    }

    async fn exec(&self, container: &str, spec: &ExecSpec) -> EngineResult<Output> {
        self.capture(container, spec).await
    }

    async fn exec_attached(
        &self,
        container: &str,
        spec: &ExecSpec,
        streams: Streams,
    ) -> EngineResult<i64> {
        self.join(container, spec, streams).await
    }

    async fn run(&self, container: &str, streams: Streams) -> EngineResult<i64> {
        self.start_joined(container, streams).await
    }

    async fn changes(&self, container: &str) -> EngineResult<Vec<(String, Change)>> {
        self.layer_changes(container).await
    }

    async fn read_archive(
        &self,
        container: &str,
        path: &str,
        to: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> EngineResult<()> {
        self.download(container, path, to).await
    }

    async fn write_archive(
        &self,
        container: &str,
        directory: &str,
        from: Box<dyn AsyncRead + Send + Unpin>,
    ) -> EngineResult<()> {
        self.upload(container, directory, from).await
    }

    async fn commit(&self, container: &str, labels: &Labels) -> EngineResult<String> {
        self.image_of(container, labels).await
    }

    async fn pause(&self, container: &str) -> EngineResult<()> {
        let done = self.docker.pause_container(container).await;
        done.map_err(|e| self.failed(e))
    }

    async fn unpause(&self, container: &str) -> EngineResult<()> {
        let done = self.docker.unpause_container(container).await;
        done.map_err(|e| self.failed(e))
    }

    async fn stop(&self, container: &str) -> EngineResult<()> {
        self.end(container).await
    }

    async fn recreate(&self, like: &str, name: &str, image: &str) -> EngineResult<String> {
        self.create_like(like, name, image).await
    }

    async fn rename(&self, container: &str, name: &str) -> EngineResult<()> {
        let options = query::RenameContainerOptionsBuilder::new()
            .name(name)
            .build();
        let done = self.docker.rename_container(container, options).await;
        done.map_err(|e| self.failed(e))
    }

    async fn logs(&self, container: &str, query: LogQuery, streams: Streams) -> EngineResult<()> {
        let tail = query
            .tail
            .map_or_else(|| "all".to_owned(), |n| n.to_string());
        let options = query::LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(query.follow)
            .tail(&tail)
            .build();
        let Streams {
            mut stdout,
            mut stderr,
            ..
        } = streams;
        let output = self.docker.logs(container, Some(options));
        self.pour(output, &mut stdout, &mut stderr).await
    }
}
