//! What we ask an engine for, in our words. `engine/bollard.rs` translates; nothing here is Docker's.

mod image;
mod mount;
mod privilege;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use self::image::ImageRef;
pub use self::mount::{Mount, VolumeSpec};
pub use self::privilege::{Capability, OUR_FILTER, Profile, SystemCalls, digest};
use crate::labels::Labels;
use crate::secret::Secret;

/// One address family of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Subnet {
    /// The whole block.
    pub block: IpNet,
    /// Where the engine picks addresses for whoever asks for none, itself included; the whole block
    /// when absent.
    pub range: Option<IpNet>,
}

/// How a network meets the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exposure {
    /// No route out and no address of the host on the bridge, in both families.
    Isolated,
    /// An ordinary bridge with a way out.
    Open,
}

/// A network to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NetworkSpec {
    /// Engine-wide name.
    pub name: String,
    /// Sealed or open.
    pub exposure: Exposure,
    /// Its blocks: one IPv4, for a fence also one IPv6.
    pub subnets: Vec<Subnet>,
    /// Largest packet, where the engine's own choice is not right.
    pub mtu: Option<u16>,
    /// Our labels.
    pub labels: Labels,
}

/// One network a container is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attachment {
    /// The network's name; `apply` replaces it by the id the engine gave.
    pub network: String,
    /// Static addresses; the engine picks when absent.
    pub v4: Option<Ipv4Addr>,
    /// As `v4`.
    pub v6: Option<Ipv6Addr>,
    /// Names the engine's resolver answers for.
    pub aliases: Vec<String>,
}

/// Where a container's packets go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerNetwork {
    /// Loopback only.
    None,
    /// The namespace of another container (name, replaced by its id).
    Joined(String),
    /// These networks, all at creation where the engine can.
    Attached(Vec<Attachment>),
}

/// Ceilings. `None`: the engine cannot enforce it, or the user lifted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Bytes.
    pub memory: Option<u64>,
    /// Thousandths of a CPU.
    pub milli_cpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u32>,
    /// Open files a process.
    pub nofile: Option<u64>,
    /// Bytes that a process may lock in memory; the engine's own default for `None`.
    pub memlock: Option<u64>,
    /// Bytes of `/dev/shm`.
    pub shm: Option<u64>,
    /// Bytes of the container's writable layer.
    pub disk: Option<u64>,
}

/// Which of the host's GPUs a container is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gpus {
    /// Every one.
    All,
    /// So many.
    Count(u32),
}

/// A health check that replaces the image's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// `CMD …` or `CMD-SHELL text`.
    pub test: Vec<String>,
    /// Seconds from one check to the next once it passed.
    pub every_seconds: u32,
    /// Seconds that one may take.
    pub timeout_seconds: u32,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// Seconds from the start in which a failure does not count.
    pub start_seconds: u32,
}

impl Health {
    /// With the defaults of a service that takes its time to come up.
    #[must_use]
    pub fn new(test: Vec<String>, every_seconds: u32) -> Health {
        Health {
            test,
            every_seconds,
            timeout_seconds: 5,
            retries: 3,
            start_seconds: 120,
        }
    }
}

/// A container to create. Privileges are what is absent: there is no field for host namespaces,
/// devices other than GPUs, published ports or added security options, so no plan can ask for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContainerSpec {
    /// Engine-wide name.
    pub name: String,
    /// An image that is on the engine.
    pub image: String,
    /// `uid:gid`, or the image's own.
    pub user: Option<String>,
    /// Host name; `None` where the namespace belongs to another container.
    pub hostname: Option<String>,
    /// Replaces the image's; `None` keeps it.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments of the entrypoint.
    pub command: Vec<String>,
    /// Environment on top of the image's.
    pub env: BTreeMap<String, String>,
    /// More of it that no plan, log or error may show. It wins over `env`.
    pub secret_env: BTreeMap<String, Secret>,
    /// Working directory.
    pub workdir: Option<String>,
    /// Our labels.
    pub labels: Labels,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Networks.
    pub network: ContainerNetwork,
    /// The container's resolver.
    pub dns: Vec<IpAddr>,
    /// Lines of its hosts file.
    pub hosts: Vec<(String, IpAddr)>,
    /// Kernel parameters of its network namespace.
    pub sysctls: BTreeMap<String, String>,
    /// Capabilities it keeps; all others are dropped.
    pub capabilities: Vec<Capability>,
    /// Which system calls it may make.
    pub system_calls: SystemCalls,
    /// Its root cannot be written.
    pub read_only: bool,
    /// Ceilings.
    pub limits: Limits,
    /// GPUs of the host.
    pub gpus: Option<Gpus>,
    /// Health check.
    pub health: Option<Health>,
    /// Standard input stays open, so that a shell as main process does not end at once.
    pub stdin_open: bool,
    /// One command whose streams are read by whoever starts it ([`crate::engine::Engine::run`]): the
    /// engine keeps no log of them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub attached: bool,
}

impl ContainerSpec {
    /// One that has a name and nothing else.
    #[must_use]
    pub fn bare(name: &str) -> ContainerSpec {
        ContainerSpec {
            name: name.to_owned(),
            image: String::new(),
            user: None,
            hostname: None,
            entrypoint: None,
            command: Vec::new(),
            env: BTreeMap::new(),
            secret_env: BTreeMap::new(),
            workdir: None,
            labels: Labels::new(),
            mounts: Vec::new(),
            network: ContainerNetwork::None,
            dns: Vec::new(),
            hosts: Vec::new(),
            sysctls: BTreeMap::new(),
            capabilities: Vec::new(),
            system_calls: SystemCalls::Engine,
            read_only: false,
            limits: Limits::default(),
            gpus: None,
            health: None,
            stdin_open: false,
            attached: false,
        }
    }
}

/// An image to build from an in-memory context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSpec {
    /// What to call it.
    pub tag: ImageRef,
    /// A tar archive with a `Dockerfile` at its root.
    pub context: Vec<u8>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// The network of its steps: a network's id, or `container:ID`; the engine's own otherwise.
    pub network: Option<String>,
    /// Nothing of an earlier build is taken.
    pub fresh: bool,
}

/// A command in a running container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// On top of the container's environment.
    pub env: BTreeMap<String, String>,
    /// Instead of the container's user.
    pub user: Option<String>,
    /// Instead of the container's directory.
    pub workdir: Option<String>,
    /// A terminal.
    pub tty: bool,
    /// Our standard input goes there.
    pub stdin: bool,
}

impl ExecSpec {
    /// A command of ours without input or terminal.
    #[must_use]
    pub fn quiet<S: Into<String>>(command: impl IntoIterator<Item = S>) -> ExecSpec {
        ExecSpec {
            command: command.into_iter().map(Into::into).collect(),
            env: BTreeMap::new(),
            user: None,
            workdir: None,
            tty: false,
            stdin: false,
        }
    }
}
