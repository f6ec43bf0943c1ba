//! What an engine can do, found out once. Plans read facts; no call site asks which engine it is.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Major and minor version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u32, pub u32);

impl Version {
    /// Reads `28.5.2+dfsg4` or `1.48`; `None` when there are not two numbers in front.
    #[must_use]
    pub fn parse(text: &str) -> Option<Version> {
        let mut parts = text.split(['.', '-', '+', '~']);
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        Some(Version(major, minor))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// The oldest API we speak: Docker 20.10.
pub const API_FLOOR: Version = Version(1, 41);
/// The API of Docker 28.0, the first with isolated gateways.
const API_ISOLATED: Version = Version(1, 48);
/// The API of Docker 23.0, whose filter refuses AF_VSOCK (moby#44562).
const API_NO_VSOCK: Version = Version(1, 42);
/// The API of Docker 25.0: several networks in one create call, and health checks with a start
/// interval.
const API_MANY_NETWORKS: Version = Version(1, 44);

/// What one engine can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// "Docker" or "Podman".
    pub product: String,
    /// Its version, as it says it.
    pub version: String,
    /// The API version it speaks.
    pub api: Version,
    /// The oldest API version it still speaks.
    pub api_min: Version,
    /// How we reach it: `unix:///…`.
    pub endpoint: String,
    /// On this machine: our files can be mounted.
    pub local: bool,
    /// Runs without root; files of a container's root belong to the user who runs it.
    pub rootless: bool,
    /// Who runs it, where its socket tells.
    #[serde(default)]
    pub user: Option<u32>,
    /// Fills an empty volume when a container on it starts, not when it is created: Podman.
    #[serde(default)]
    pub fills_at_start: bool,
    /// Who joins a namespace without a network gets its owner's resolver and hosts: all but Podman.
    #[serde(default)]
    pub shares_names: bool,
    /// Maps users (`userns-remap`): what a container writes into a directory of the host belongs to
    /// nobody there.
    #[serde(default)]
    pub remaps_users: bool,
    /// Who root of a container is on the host then: uid and gid, where the engine tells.
    #[serde(default)]
    pub root_outside: Option<(u32, u32)>,
    /// Networks without any address of the host (DESIGN §5, Docker ≥ 28).
    pub isolated_gateway: bool,
    /// A container can be created on several networks at once.
    pub many_networks: bool,
    /// A health check can run more often while a container starts.
    pub start_interval: bool,
    /// Ceilings it can enforce.
    pub limits: LimitFacts,
    /// The host forwards IPv4: without it no container reaches the internet.
    pub forwarding: bool,
    /// CPUs of the engine's host.
    pub cpus: u32,
    /// Bytes of memory of the engine's host.
    pub memory: u64,
    /// What the host's kernel says about strangers on a link; only known when `local`.
    pub link: LinkFacts,
    /// The engine's default system call filter lets a container open sockets to a hypervisor
    /// (AF_VSOCK): Docker before 23, and Podman. Then ours replaces it.
    pub opens_vsock: bool,
    /// runc's version, where the engine tells it.
    pub runc: Option<String>,
    /// The default seccomp profile is in force.
    pub seccomp: bool,
    /// Open files that a process there can surely have: an engine does not tell, and cannot give more than it has
    /// itself. Absent where it runs without root.
    pub nofile: Option<u64>,
    /// It has a runtime that hands out GPUs.
    pub gpus: bool,
    /// It can bound what a container writes into its own layer.
    pub disk_quota: bool,
}

/// Which ceilings the engine's host supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitFacts {
    /// Memory.
    pub memory: bool,
    /// CPU quota.
    pub cpus: bool,
    /// Processes.
    pub pids: bool,
}

/// Whether a bridge without addresses still lets datagrams of its link in.
///
/// A socket bound to a device needs no route: the kernel asks for any address by ARP on that link,
/// and with `rp_filter` 0 the host answers for all of its addresses and takes what comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkFacts {
    /// `rp_filter` is 1 or 2 for new interfaces.
    Filtered,
    /// It is 0, and we can set it on our own bridge.
    CanFilter,
    /// It is 0 and we cannot change it.
    Unfiltered,
    /// The engine's host is not this machine, or it does not tell.
    Unknown,
}

impl LinkFacts {
    /// Reads this machine's.
    #[must_use]
    pub fn read(root: &Path) -> LinkFacts {
        let value = |name: &str| -> Option<u8> {
            let path = root.join(name).join("rp_filter");
            fs_err::read_to_string(path).ok()?.trim().parse().ok()
        };
        match (value("all"), value("default")) {
            (Some(0), Some(0)) if rustix::process::geteuid().is_root() => LinkFacts::CanFilter,
            (Some(0), Some(0)) => LinkFacts::Unfiltered,
            (Some(_), Some(_)) => LinkFacts::Filtered,
            _ => LinkFacts::Unknown,
        }
    }
}

impl Facts {
    /// Fills in what follows from versions.
    #[must_use]
    pub fn isolated_since(product: &str, api: Version) -> bool {
        product == "Docker" && api >= API_ISOLATED
    }

    /// As `isolated_since`.
    #[must_use]
    pub fn many_networks_since(api: Version) -> bool {
        api >= API_MANY_NETWORKS
    }

    /// As `isolated_since`; Podman's filter lets it through in all versions.
    #[must_use]
    pub fn opens_vsock_until(product: &str, api: Version) -> bool {
        product != "Docker" || api < API_NO_VSOCK
    }

    /// Who a container's user is on the host, where the engine maps users.
    #[must_use]
    pub fn outside(&self, (uid, gid): (u32, u32)) -> (u32, u32) {
        let (first_uid, first_gid) = self.root_outside.unwrap_or_default();
        (first_uid.saturating_add(uid), first_gid.saturating_add(gid))
    }

    /// Product and version in one phrase.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} {}", self.product, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_versions_that_engines_really_print() {
        assert_eq!(Version::parse("28.5.2+dfsg4"), Some(Version(28, 5)));
        assert_eq!(Version::parse("20.10.24+dfsg1"), Some(Version(20, 10)));
        assert_eq!(Version::parse("1.48"), Some(Version(1, 48)));
        assert_eq!(Version::parse("4.3.1"), Some(Version(4, 3)));
        assert_eq!(Version::parse("dev"), None);
    }

    #[test]
    fn a_mapped_user_is_another_outside_and_any_other_the_same() {
        let plain = crate::engine::fake::FakeEngine::docker28();
        assert_eq!(plain.outside((1000, 100)), (1000, 100));
        let mapped = Facts {
            remaps_users: true,
            root_outside: Some((231_072, 300_000)),
            ..plain
        };
        assert_eq!(mapped.outside((1000, 100)), (232_072, 300_100));
    }

    #[test]
    fn only_docker_28_has_isolated_gateways() {
        assert!(Facts::isolated_since("Docker", Version(1, 48)));
        assert!(!Facts::isolated_since("Docker", Version(1, 47)));
        assert!(!Facts::isolated_since("Podman", Version(1, 50)));
    }

    #[test]
    fn only_dockers_filter_refuses_sockets_to_a_hypervisor_since_23() {
        assert!(Facts::opens_vsock_until("Docker", Version(1, 41)));
        assert!(!Facts::opens_vsock_until("Docker", Version(1, 42)));
        assert!(Facts::opens_vsock_until("Podman", Version(1, 41)));
        assert!(Facts::opens_vsock_until("Podman", Version(1, 44)));
    }
}
