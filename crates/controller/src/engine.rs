//! The seam to a container engine: our nouns above, one file per engine library below.

pub mod bollard;
pub mod fake;

use std::future::Future;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::facts::{Facts, Version};
use crate::labels::Labels;
use crate::spec::{BuildSpec, ContainerSpec, ExecSpec, Health, ImageRef, NetworkSpec, VolumeSpec};

/// Why an engine call failed, as far as anybody here acts on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nothing answers there.
    #[error("no container engine answers at {endpoint}: {why}")]
    Unreachable {
        /// Where we looked.
        endpoint: String,
        /// The system's words.
        why: String,
    },
    /// It speaks only older APIs.
    #[error("{name} speaks API {api}, and agentnet needs {floor} or newer (Docker 20.10)")]
    TooOld {
        /// Product and version.
        name: String,
        /// What it speaks.
        api: Version,
        /// What we need.
        floor: Version,
    },
    /// There is no such object.
    #[error("not found: {0}")]
    NotFound(String),
    /// The name is taken.
    #[error("the name is in use: {0}")]
    NameInUse(String),
    /// The address block is taken.
    #[error("the address block is taken: {0}")]
    Overlap(String),
    /// The address is taken inside its network.
    #[error("the address is taken: {0}")]
    AddressTaken(String),
    /// The engine's disk is full.
    #[error("the engine's disk is full: {0}")]
    DiskFull(String),
    /// The command exists but cannot be executed.
    #[error("cannot execute: {0}")]
    NotExecutable(String),
    /// The command does not exist in the container.
    #[error("command not found: {0}")]
    CommandNotFound(String),
    /// Any other answer.
    #[error("the engine answered {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        message: String,
    },
    /// The conversation broke or made no sense.
    #[error("talking to the engine failed: {0}")]
    Broken(String),
}

impl EngineError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            EngineError::Unreachable { .. } => Some(
                "start Docker, or name another engine with --engine unix:///path/to.sock or \
                 DOCKER_HOST; agentnet doctor shows what was tried"
                    .into(),
            ),
            EngineError::TooOld { .. } => {
                Some("install Docker 28 or newer (20.10 at least)".into())
            }
            EngineError::NameInUse(_) => {
                Some("choose another task name, or remove the object that has the name".into())
            }
            EngineError::DiskFull(_) => Some("docker system df shows what uses the space".into()),
            EngineError::NotFound(_)
            | EngineError::Overlap(_)
            | EngineError::AddressTaken(_)
            | EngineError::NotExecutable(_)
            | EngineError::CommandNotFound(_)
            | EngineError::Refused { .. }
            | EngineError::Broken(_) => None,
        }
    }
}

/// An engine call's result.
pub type EngineResult<T> = Result<T, EngineError>;

/// The kinds of object that we create.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Container => "container",
            Kind::Network => "network",
            Kind::Volume => "volume",
        })
    }
}

/// An object with labels, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// Kind.
    pub kind: Kind,
    /// The engine's id (a volume's is its name).
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
}

/// A network that exists, whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkState {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its blocks.
    pub blocks: Vec<IpNet>,
    /// The gateway addresses it tells: on the engine's own host these are the host's.
    pub gateways: Vec<std::net::IpAddr>,
    /// The containers with an endpoint on it; filled by `inspect_network` only.
    pub endpoints: Vec<Endpoint>,
}

/// A running container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Endpoint {
    /// The container's id.
    pub container: String,
    /// The container's name.
    pub name: String,
    /// Its address.
    pub v4: Option<Ipv4Addr>,
    /// Its address.
    pub v6: Option<Ipv6Addr>,
}

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Running {
    /// Created, never started.
    Created,
    /// Up.
    Running,
    /// Ended with this code.
    Exited(i64),
    /// Paused, restarting, dead: the engine's word.
    Other(String),
}

/// What an image's or our own health check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HealthState {
    /// There is no check.
    None,
    /// Not yet known.
    Starting,
    /// Passed.
    Healthy,
    /// Failed.
    Unhealthy,
}

/// A container as the engine describes it: the part that `verify` judges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerState {
    /// The engine's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// State.
    pub running: Running,
    /// Health.
    pub health: HealthState,
    /// The engine's own error text from the last start.
    pub error: String,
    /// The ids or names of the networks it is on.
    pub networks: Vec<String>,
    /// Labels.
    pub labels: Labels,
    /// What it was given that a fenced container must not have, one phrase each; empty is good.
    pub privileges: Vec<String>,
}

/// What an image brings along.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageInfo {
    /// The engine's id.
    pub id: String,
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Arguments.
    pub command: Vec<String>,
    /// User, empty for root.
    pub user: String,
    /// TCP ports it says it listens on.
    pub ports: Vec<u16>,
    /// Health check.
    pub health: Option<Health>,
}

/// What a captured command said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit code.
    pub code: i64,
    /// At most `Output::LIMIT` bytes.
    pub stdout: Vec<u8>,
    /// As `stdout`.
    pub stderr: Vec<u8>,
}

impl Output {
    /// A captured stream is cut here: what runs in a container can print without end.
    pub const LIMIT: usize = 1 << 20;
}

/// The ends of a command that a person or a script talks to.
pub struct Streams {
    /// Our input, if it goes there.
    pub stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Its output.
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its errors.
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Columns and rows of our terminal, as they change.
    pub size: Option<watch::Receiver<(u16, u16)>>,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams")
            .field("stdin", &self.stdin.is_some())
            .finish_non_exhaustive()
    }
}

/// Which of a container's log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogQuery {
    /// Keep following.
    pub follow: bool,
    /// The last N lines, or all.
    pub tail: Option<u32>,
}

/// A container engine. Ids are the engine's; where a name is accepted it says so.
pub trait Engine: Send + Sync {
    /// What it can do. Called once.
    fn facts(&self) -> impl Future<Output = EngineResult<Facts>> + Send;
    /// Every network, whoever's.
    fn networks(&self) -> impl Future<Output = EngineResult<Vec<NetworkState>>> + Send;
    /// Everything that carries our labels of this installation.
    fn owned(&self, state: &str) -> impl Future<Output = EngineResult<Vec<Resource>>> + Send;

    /// Creates; returns the id.
    fn create_network(
        &self,
        spec: &NetworkSpec,
    ) -> impl Future<Output = EngineResult<String>> + Send;
    /// Creates; fails when a volume of this name exists that is not ours.
    fn create_volume(&self, spec: &VolumeSpec) -> impl Future<Output = EngineResult<()>> + Send;
    /// Creates, does not start; returns the id.
    fn create_container(
        &self,
        spec: &ContainerSpec,
    ) -> impl Future<Output = EngineResult<String>> + Send;
    /// Attaches a created container to one more network.
    fn connect(
        &self,
        container: &str,
        attachment: &crate::spec::Attachment,
    ) -> impl Future<Output = EngineResult<()>> + Send;
    /// Starts.
    fn start(&self, container: &str) -> impl Future<Output = EngineResult<()>> + Send;
    /// Removes by id, running or not; a container's anonymous volumes go with it.
    fn remove(&self, kind: Kind, id: &str) -> impl Future<Output = EngineResult<()>> + Send;

    /// Describes; takes a name or an id.
    fn inspect_container(
        &self,
        name: &str,
    ) -> impl Future<Output = EngineResult<ContainerState>> + Send;
    /// Describes; takes a name or an id.
    fn inspect_network(
        &self,
        name: &str,
    ) -> impl Future<Output = EngineResult<NetworkState>> + Send;
    /// Describes an image that is on the engine; `None` when it is not.
    fn image(
        &self,
        image: &ImageRef,
    ) -> impl Future<Output = EngineResult<Option<ImageInfo>>> + Send;
    /// Fetches an image from its registry.
    fn pull(
        &self,
        image: &ImageRef,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> impl Future<Output = EngineResult<()>> + Send;
    /// Builds an image.
    fn build(
        &self,
        spec: BuildSpec,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> impl Future<Output = EngineResult<()>> + Send;

    /// Runs a command and keeps what it says.
    fn exec(
        &self,
        container: &str,
        spec: &ExecSpec,
    ) -> impl Future<Output = EngineResult<Output>> + Send;
    /// Runs a command joined to these streams; returns its exit code.
    fn exec_attached(
        &self,
        container: &str,
        spec: &ExecSpec,
        streams: Streams,
    ) -> impl Future<Output = EngineResult<i64>> + Send;
    /// Writes a container's log.
    fn logs(
        &self,
        container: &str,
        query: LogQuery,
        streams: Streams,
    ) -> impl Future<Output = EngineResult<()>> + Send;
}
