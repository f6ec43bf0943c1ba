//! Settings: flags over `AGENTNET_*` over one TOML file, checked as a whole.
//!
//! Nothing here binds, resolves or connects; what it needs from the machine is passed in. All
//! problems are reported together, each with where it stands and what to write instead.

mod address;
mod check;
mod listeners;
mod origin;
mod raw;
mod side_doors;
mod tinyproxy;
mod upstream;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use agentnet_policy::tinyproxy::LogLevel;
use agentnet_policy::{Layer, Mode};

use crate::conduct::Conduct;
use crate::journal::Style;

pub use self::address::{Address, AddressError, AdminAddress, AdminAddressError};
pub use self::origin::Origins;
pub use self::raw::{Raw, RawListener};
pub use self::side_doors::{SideDoors, Transparent, TransparentKind};
pub use self::tinyproxy::{DEFAULT_PATH, TinyproxyFile, Understood, has_directives, is_tinyproxy};
pub use self::upstream::RawUpstream;

/// The name of the listener that the flags make.
pub const DEFAULT_LISTENER: &str = "default";

/// Something in the settings that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    place: String,
    what: String,
}

impl Problem {
    /// `place` is a flag, a variable or file:line; `what` says what is wrong and what to write.
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One sentence a line.
    Text,
    /// Tinyproxy's own lines.
    Tinyproxy {
        /// How lines begin.
        style: Style,
        /// The least important lines that are written, until a reload says otherwise.
        level: LogLevel,
    },
}

/// What to do when the kernel would route packets past the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Do not start.
    Refuse,
    /// Start; on a bare machine forwarding is somebody else's business.
    Ignore,
}

/// One whitelist file and its layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhitelistFile {
    /// Where it is.
    pub path: PathBuf,
    /// Which layer its lines belong to. A task-layer file may be absent: it is then empty.
    pub layer: Layer,
}

impl WhitelistFile {
    /// A file that has to be there.
    #[must_use]
    pub fn of_project(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            layer: Layer::Project,
        }
    }
}

/// One listener: its name is the identity of whoever comes in through it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Its name in metrics and events.
    pub name: String,
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// True where the addresses are the built-in ones, of which a missing family is forgiven.
    pub by_default: bool,
    /// Its policy and its conduct.
    pub source: PolicySource,
    /// The bytes that may be sent under a line that says no `up=`.
    pub default_up: Option<NonZeroU64>,
    /// Its doors for programs that know nothing of proxies.
    pub side_doors: SideDoors,
}

/// Where a listener's policy and conduct are read from, at the start and at each reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// Whitelist files and a file of credentials; the rest of the conduct is as fixed as the other
    /// settings.
    Whitelist {
        /// In layer order.
        files: Vec<WhitelistFile>,
        /// A directory whose files replace built-in presets or add to them.
        presets: Option<PathBuf>,
        /// Whether the policy is enforced.
        mode: Mode,
        /// The limit of lines that say none.
        default_up: Option<NonZeroU64>,
        /// The file of those who are let in, if anybody is asked.
        credentials: Option<PathBuf>,
        /// The listener's conduct.
        conduct: Arc<Conduct>,
    },
    /// A `tinyproxy.conf` and the files that it names.
    Tinyproxy(Box<TinyproxyFile>),
}

/// Where the log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Destination {
    /// To whoever started the program.
    #[default]
    Stdout,
    /// To the end of a file.
    File(PathBuf),
    /// To the syslog daemon at this socket.
    Syslog(PathBuf),
}

/// What concerns the process and not the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Where its number is written.
    pub pid_file: Option<PathBuf>,
    /// Where the log goes.
    pub log: Destination,
}

/// Time limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named for the settings, which describe them")]
pub struct Timeouts {
    pub head: Duration,
    pub resolve: Duration,
    pub connect: Duration,
    pub upstream: Duration,
    pub idle: Duration,
    pub half_close: Duration,
    pub drain: Duration,
}

/// Checked settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// At least one; names and addresses are unique.
    pub listeners: Vec<ListenerSettings>,
    /// The directory in which what was spent of budgets survives the process.
    pub state: Option<PathBuf>,
    /// Whether another proxy may listen at the same TCP addresses.
    pub reuse_port: bool,
    /// Where the admin listener is.
    pub admin: AdminAddress,
    /// How events are written.
    pub log: LogFormat,
    /// What concerns the process.
    pub process: Process,
    /// What to do about forwarding.
    pub forwarding: Forwarding,
    /// The machine's own addresses; empty means the gateway of the default route.
    pub host_addresses: Vec<IpAddr>,
    /// Client connections at once.
    pub max_connections: usize,
    /// Largest request head in bytes.
    pub max_head_bytes: usize,
    /// Whether an encrypted part of a ClientHello passes.
    pub ech: bool,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Idle upstream connections kept.
    pub pool_connections: usize,
    /// How long an idle upstream connection is kept.
    pub pool_idle: Duration,
    /// How often the whitelist files are read again.
    pub rescan: Duration,
    /// Hosts with a label of their own; 0 turns the metric off.
    pub blocked_hosts_labels: usize,
    /// Threads that serve; `None` is one per core.
    pub worker_threads: Option<usize>,
}

/// Files with their layers: a file named `task.txt` holds task grants.
#[must_use]
pub fn whitelist_files(files: &[PathBuf], task_files: &[PathBuf]) -> Vec<WhitelistFile> {
    let layer = |path: &Path| match path.file_name() {
        Some(name) if name == "task.txt" => Layer::Task,
        Some(_) | None => Layer::Project,
    };
    let named = files.iter().map(|path| WhitelistFile {
        path: path.clone(),
        layer: layer(path),
    });
    let task = task_files.iter().map(|path| WhitelistFile {
        path: path.clone(),
        layer: Layer::Task,
    });
    named.chain(task).collect()
}

#[cfg(test)]
mod tests;
