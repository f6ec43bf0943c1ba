//! What an engine says about itself, as facts.

use std::collections::HashMap;

use bollard::models;

use super::{podman, quota};
use crate::engine::{EngineError, EngineResult};
use crate::facts::{API_FLOOR, Facts, LimitFacts, LinkFacts, Version};

/// Reads `version` and `info`. `here`: the engine's host is this machine; `rootless`: it says so in another way.
pub(super) fn facts(
    endpoint: &str,
    version: models::SystemVersion,
    info: models::SystemInfo,
    here: bool,
    rootless: bool,
) -> EngineResult<Facts> {
    let read = |text: &Option<String>| text.as_deref().and_then(Version::parse);
    let podman = podman::is_podman(&version);
    let its_runc = podman::runc(&version);
    let components = version.components.unwrap_or_default();
    let product = if podman { "Podman" } else { "Docker" }.to_owned();
    let number = version.version.clone().unwrap_or_default();
    let api = read(&version.api_version)
        .ok_or_else(|| EngineError::Broken("it does not say which API it speaks".into()))?;
    if api < API_FLOOR {
        let name = format!("{product} {number}");
        return Err(EngineError::TooOld {
            name,
            api,
            floor: API_FLOOR,
        });
    }
    let local = endpoint.starts_with("unix://");
    let disk_quota = quota::can_bound(&info, here);
    let security = info.security_options.unwrap_or_default();
    let rootless = rootless || security.iter().any(|s| s.contains("name=rootless"));
    // Only the second version can be handed to an ordinary user, and Podman claims all limits for both.
    let limited = !rootless || info.cgroup_version != Some(models::SystemInfoCgroupVersionEnum::_1);
    let runc = components
        .iter()
        .find(|c| c.name == "runc")
        .map(|c| c.version.clone())
        .or(its_runc);
    Ok(Facts {
        opens_vsock: Facts::opens_vsock_until(&product, api),
        isolated_gateway: Facts::isolated_since(&product, api),
        many_networks: Facts::many_networks_since(api),
        start_interval: Facts::many_networks_since(api),
        product,
        version: number,
        api,
        api_min: read(&version.min_api_version).unwrap_or(api),
        endpoint: endpoint.to_owned(),
        local,
        rootless,
        remaps_users: security.iter().any(|s| s.contains("name=userns")),
        root_outside: info.docker_root_dir.as_deref().and_then(root_outside),
        limits: LimitFacts {
            memory: limited && info.memory_limit != Some(false),
            cpus: limited && info.cpu_cfs_quota != Some(false),
            pids: limited && info.pids_limit != Some(false),
        },
        // Podman turns it on with its first network.
        forwarding: podman || info.ipv4_forwarding != Some(false),
        fills_at_start: podman,
        shares_names: !podman,
        user: listener(endpoint),
        cpus: info.ncpu.and_then(|n| u32::try_from(n).ok()).unwrap_or(1),
        memory: info
            .mem_total
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(u64::MAX),
        link: if local && here {
            LinkFacts::read(std::path::Path::new("/proc/sys/net/ipv4/conf"))
        } else {
            LinkFacts::Unknown
        },
        runc,
        seccomp: security
            .iter()
            .any(|s| s.contains("name=seccomp") && !s.contains("unconfined")),
        nofile: (!rootless).then(most_files),
        gpus: gives_gpus(&info.runtimes, &info.discovered_devices),
        disk_quota,
    })
}

/// An engine that maps users keeps everything in a directory that is called after its root: `231072.231072`. It tells
/// the mapping nowhere else.
fn root_outside(directory: &str) -> Option<(u32, u32)> {
    let (_, name) = directory.rsplit_once('/')?;
    let (uid, gid) = name.split_once('.')?;
    Some((uid.parse().ok()?, gid.parse().ok()?))
}

/// Ours: an engine on this machine is seldom given fewer, and one that is elsewhere is no worse a guess.
fn most_files() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.maximum.unwrap_or(u64::MAX)
}

/// Who listens on the engine's socket.
fn listener(endpoint: &str) -> Option<u32> {
    let path = endpoint.strip_prefix("unix://")?;
    let stream = std::os::unix::net::UnixStream::connect(path).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    Some(peer.uid.as_raw())
}

/// NVIDIA's toolkit registers a runtime of that name, or describes the devices (CDI, Docker 28.3 tells them).
fn gives_gpus(
    runtimes: &Option<HashMap<String, models::Runtime>>,
    devices: &Option<Vec<models::DeviceInfo>>,
) -> bool {
    let runtime = runtimes.iter().flatten().any(|(name, _)| name == "nvidia");
    let mut ids = devices.iter().flatten().filter_map(|d| d.id.as_deref());
    runtime || ids.any(|id| id.contains("/gpu="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_root_is_outside_is_read_from_the_name_of_the_root_directory() {
        assert_eq!(
            root_outside("/var/lib/docker/231072.231072"),
            Some((231_072, 231_072))
        );
        for plain in ["/var/lib/docker", "/var/lib/docker.d/data", "/1.x", ""] {
            assert_eq!(root_outside(plain), None, "{plain}");
        }
    }

    #[test]
    fn gpus_are_there_where_a_runtime_or_a_device_says_so() {
        let runtimes = |name: &str| {
            Some(HashMap::from([(
                name.to_owned(),
                models::Runtime::default(),
            )]))
        };
        let devices = |id: &str| {
            Some(vec![models::DeviceInfo {
                source: Some("cdi".into()),
                id: Some(id.into()),
            }])
        };
        assert!(gives_gpus(&runtimes("nvidia"), &None));
        assert!(gives_gpus(&None, &devices("nvidia.com/gpu=0")));
        assert!(!gives_gpus(&runtimes("runc"), &devices("vendor.com/nic=0")));
    }
}
