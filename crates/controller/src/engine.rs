//! The seam to a container engine: our nouns above, one file per engine library below.

pub mod bollard;
mod cause;
pub mod fake;
mod state;

use std::future::Future;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

pub use cause::{EngineError, EngineResult};
pub use state::{
    Change, ContainerState, Endpoint, HealthState, ImageInfo, Kind, NetworkState, Resource,
    Running, Seat, Usage,
};

use crate::facts::Facts;
use crate::labels::Labels;
use crate::spec::{BuildSpec, ContainerSpec, ExecSpec, ImageRef, NetworkSpec, VolumeSpec};

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
    /// Where it is: what a task's record names.
    fn endpoint(&self) -> &str;
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
    /// Ends all processes of a container at once; takes a name or an id. One that does not run is done.
    fn kill(&self, container: &str) -> impl Future<Output = EngineResult<()>> + Send;
    /// Removes by id, running or not; a container's anonymous volumes go with it.
    fn remove(&self, kind: Kind, id: &str) -> impl Future<Output = EngineResult<()>> + Send;

    /// Describes; takes a name or an id.
    fn inspect_container(
        &self,
        name: &str,
    ) -> impl Future<Output = EngineResult<ContainerState>> + Send;
    /// Bytes in a container's writable layer; takes a name or an id. The engine counts them one by one.
    fn written(&self, name: &str) -> impl Future<Output = EngineResult<u64>> + Send;
    /// What a container uses now, measured once; takes a name or an id.
    fn stats(&self, name: &str) -> impl Future<Output = EngineResult<Usage>> + Send;
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
    /// Builds an image; `progress` hears what the build says as the engine hands it over: in pieces,
    /// not in lines.
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
    /// Starts a created container whose spec says `attached`, joined to these streams, and waits until
    /// it ends; returns its exit code. A caller that goes away leaves it running.
    fn run(
        &self,
        container: &str,
        streams: Streams,
    ) -> impl Future<Output = EngineResult<i64>> + Send;
    /// What a container changed in its own layer, as absolute paths. Bounded: a layer with very many
    /// changes is an error.
    fn changes(
        &self,
        container: &str,
    ) -> impl Future<Output = EngineResult<Vec<(String, Change)>>> + Send;
    /// Writes a tar archive of a path in a container, with what is mounted below it. Names in it begin
    /// with the path's last part.
    fn read_archive(
        &self,
        container: &str,
        path: &str,
        to: Box<dyn AsyncWrite + Send + Unpin>,
    ) -> impl Future<Output = EngineResult<()>> + Send;
    /// Unpacks a tar archive below a directory of a container that does not run, with its owners and
    /// modes.
    fn write_archive(
        &self,
        container: &str,
        directory: &str,
        from: Box<dyn AsyncRead + Send + Unpin>,
    ) -> impl Future<Output = EngineResult<()>> + Send;
    /// Makes an image without a name of a container that does not run; returns its id. The image has the
    /// container's configuration, environment included.
    fn commit(
        &self,
        container: &str,
        labels: &Labels,
    ) -> impl Future<Output = EngineResult<String>> + Send;
    /// Freezes a running container.
    fn pause(&self, container: &str) -> impl Future<Output = EngineResult<()>> + Send;
    /// Lets a frozen container go on.
    fn unpause(&self, container: &str) -> impl Future<Output = EngineResult<()>> + Send;
    /// Ends a container and keeps it; done where it does not run.
    fn stop(&self, container: &str) -> impl Future<Output = EngineResult<()>> + Send;
    /// Creates a container as `like` was asked for, but from this image and with this name; returns its id.
    fn recreate(
        &self,
        like: &str,
        name: &str,
        image: &str,
    ) -> impl Future<Output = EngineResult<String>> + Send;
    /// Gives a container another name.
    fn rename(&self, container: &str, name: &str) -> impl Future<Output = EngineResult<()>> + Send;
    /// Writes a container's log.
    fn logs(
        &self,
        container: &str,
        query: LogQuery,
        streams: Streams,
    ) -> impl Future<Output = EngineResult<()>> + Send;
}
