//! What an engine has, in our words.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::labels::Labels;
use crate::spec::Health;

/// The kinds of object that we create.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A container.
    Container,
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// An image: what a snapshot's container began from.
    Image,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Container => "container",
            Kind::Network => "network",
            Kind::Volume => "volume",
            Kind::Image => "image",
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
    /// Where it is on each while it runs, by the network's name.
    pub seats: BTreeMap<String, Seat>,
    /// Labels.
    pub labels: Labels,
    /// What it was given that a fenced container must not have, one phrase each; empty is good.
    pub privileges: Vec<String>,
    /// Fingerprint of the system call filter that it has instead of the engine's own.
    pub filter: Option<String>,
    /// It has GPUs of the host.
    pub gpus: bool,
    /// It ended because its memory did not suffice.
    pub oom_killed: bool,
    /// The id of the image it was created from.
    pub image: String,
    /// Where something is mounted in it: not part of its own layer.
    pub mounts: Vec<String>,
}

/// What happened to a path in a container's own layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is other than in the image: content or metadata.
    Modified,
    /// The image does not have it.
    Added,
    /// Only the image has it.
    Deleted,
}

/// Where a running container is on a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seat {
    /// The network's id.
    pub network: String,
    /// Its IPv4 address there.
    pub v4: Ipv4Addr,
}

/// What a container has used, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// The engine's clock; absent where it does not say, or the container does not run.
    pub at: Option<jiff::Timestamp>,
    /// Nanoseconds of CPU since its start.
    pub cpu_nanos: u64,
    /// Bytes in memory, without what the kernel only caches of files.
    pub memory: u64,
    /// The most it may have; the machine's where it has no ceiling.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub pids: u64,
    /// The most it may have.
    pub pids_limit: Option<u64>,
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
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// User, empty for root.
    pub user: String,
    /// TCP ports it says it listens on.
    pub ports: Vec<u16>,
    /// Health check.
    pub health: Option<Health>,
}
