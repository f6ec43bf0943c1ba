//! The API's answers in our words.

use std::collections::{BTreeMap, HashMap};

use bollard::models;

use super::privileges::{filter, privileges};
use crate::engine::{
    ContainerState, Endpoint, HealthState, ImageInfo, NetworkState, Running, Seat, Usage,
};
use crate::labels::Labels;
use crate::spec::Health;

pub(super) fn labels(map: Option<HashMap<String, String>>) -> Labels {
    map.unwrap_or_default().into_iter().collect()
}

pub(super) fn addresses(ipam: Option<models::Ipam>) -> (Vec<ipnet::IpNet>, Vec<std::net::IpAddr>) {
    let configs = ipam.and_then(|i| i.config).unwrap_or_default();
    let blocks = configs
        .iter()
        .filter_map(|c| c.subnet.as_ref()?.parse().ok())
        .collect();
    let gateways = configs
        .iter()
        .filter_map(|c| c.gateway.as_ref()?.parse().ok())
        .collect();
    (blocks, gateways)
}

/// One line of a pull: which layer, what happens to it and how far it came.
pub(super) fn pull_progress(info: &models::CreateImageInfo) -> Option<String> {
    const MIB: i64 = 1 << 20;
    let status = info.status.as_ref()?;
    let layer = info.id.as_ref().map(|id| format!("{id}: "));
    let far = info.progress_detail.as_ref().and_then(|detail| {
        let (current, total) = (detail.current?, detail.total?);
        (total > 0).then(|| format!(" {} of {} MiB", current / MIB, total / MIB))
    });
    let (layer, far) = (layer.unwrap_or_default(), far.unwrap_or_default());
    Some(format!("{layer}{status}{far}"))
}

pub(super) fn plain<T: std::str::FromStr>(address: Option<&String>) -> Option<T> {
    address?.split('/').next()?.parse().ok()
}

pub(super) fn running(state: &models::ContainerState) -> Running {
    use models::ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => Running::Created,
        Some(Status::RUNNING) => Running::Running,
        Some(Status::EXITED | Status::DEAD) => Running::Exited(state.exit_code.unwrap_or(-1)),
        Some(
            other @ (Status::PAUSED
            | Status::RESTARTING
            | Status::REMOVING
            | Status::STOPPING
            | Status::EMPTY),
        ) => Running::Other(other.to_string()),
        None => Running::Other("unknown".to_owned()),
    }
}

pub(super) fn health(state: &models::ContainerState) -> HealthState {
    use models::HealthStatusEnum as Status;
    match state.health.as_ref().and_then(|h| h.status) {
        None | Some(Status::EMPTY | Status::NONE) => HealthState::None,
        Some(Status::STARTING) => HealthState::Starting,
        Some(Status::HEALTHY) => HealthState::Healthy,
        Some(Status::UNHEALTHY) => HealthState::Unhealthy,
    }
}

/// A container, as `inspect` describes it.
pub(super) fn container(c: models::ContainerInspectResponse, endpoint: &str) -> ContainerState {
    let state = c.state.unwrap_or_default();
    let host = c.host_config.unwrap_or_default();
    let networks = c
        .network_settings
        .and_then(|n| n.networks)
        .unwrap_or_default();
    let seats = networks.iter().filter_map(|(name, place)| {
        let seat = Seat {
            network: place.network_id.clone()?,
            v4: plain(place.ip_address.as_ref())?,
        };
        Some((name.clone(), seat))
    });
    let seats = seats.collect();
    let mut networks: Vec<_> = networks.into_keys().filter(|name| name != "none").collect();
    networks.sort();
    ContainerState {
        id: c.id.unwrap_or_default(),
        name: c
            .name
            .unwrap_or_default()
            .trim_start_matches('/')
            .to_owned(),
        running: running(&state),
        health: health(&state),
        error: state.error.unwrap_or_default(),
        networks,
        seats,
        labels: labels(c.config.and_then(|c| c.labels)),
        privileges: privileges(&host, endpoint),
        filter: filter(&host),
        gpus: host.device_requests.as_ref().is_some_and(|d| !d.is_empty()),
        oom_killed: state.oom_killed == Some(true),
        image: c.image.unwrap_or_default(),
        mounts: targets(c.mounts, host.tmpfs),
    }
}

/// Where things are mounted.
fn targets(
    mounts: Option<Vec<models::MountPoint>>,
    memory: Option<HashMap<String, String>>,
) -> Vec<String> {
    let mounts = mounts.unwrap_or_default().into_iter();
    let mounts = mounts.filter_map(|mount| mount.destination);
    let mut all: Vec<_> = mounts
        .chain(memory.unwrap_or_default().into_keys())
        .collect();
    all.sort();
    all.dedup();
    all
}

/// A container without a control group of its own, as an ordinary user's Podman has where only the first version of
/// them exists: no process is counted, and the memory is that of the whole machine.
pub(super) fn is_nobodys(sample: &models::ContainerStatsResponse) -> bool {
    let memory = sample.memory_stats.as_ref().and_then(|m| m.usage);
    let processes = sample.pids_stats.as_ref().and_then(|p| p.current);
    processes == Some(0) && memory.is_some_and(|bytes| bytes > 0)
}

/// What a container uses.
pub(super) fn usage(sample: &models::ContainerStatsResponse) -> Usage {
    let cpu = sample.cpu_stats.as_ref();
    let memory = sample.memory_stats.as_ref();
    let pids = sample.pids_stats.as_ref();
    let used = memory.and_then(|m| m.usage).unwrap_or_default();
    // Control groups of version 2 and 1 have two words for it, as the engine's own client knows.
    let cached = memory.and_then(|m| m.stats.as_ref()).and_then(|stats| {
        let mut names = ["inactive_file", "total_inactive_file"].iter();
        names.find_map(|name| stats.get(*name)).copied()
    });
    Usage {
        // A container that does not run was measured in the year 1.
        at: sample
            .read
            .as_ref()
            .and_then(|read| read.to_string().parse().ok())
            .filter(|at| *at > jiff::Timestamp::UNIX_EPOCH),
        cpu_nanos: cpu
            .and_then(|c| c.cpu_usage.as_ref())
            .and_then(|usage| usage.total_usage)
            .unwrap_or_default(),
        memory: used.saturating_sub(cached.unwrap_or_default()),
        memory_limit: memory.and_then(|m| m.limit).filter(|limit| *limit > 0),
        pids: pids.and_then(|p| p.current).unwrap_or_default(),
        // "No ceiling" is the largest number.
        pids_limit: pids
            .and_then(|p| p.limit)
            .filter(|limit| (1..u64::MAX).contains(limit)),
    }
}

/// A network, as `inspect` describes it.
pub(super) fn inspected_network(n: models::NetworkInspect) -> NetworkState {
    let (blocks, gateways) = addresses(n.ipam);
    let one = |(id, e): (String, models::EndpointResource)| Endpoint {
        container: id,
        name: e.name.unwrap_or_default(),
        v4: plain(e.ipv4_address.as_ref()),
        v6: plain(e.ipv6_address.as_ref()),
    };
    let mut endpoints: Vec<_> = n
        .containers
        .unwrap_or_default()
        .into_iter()
        .map(one)
        .collect();
    endpoints.sort();
    NetworkState {
        id: n.id.unwrap_or_default(),
        name: n.name.unwrap_or_default(),
        blocks,
        gateways,
        endpoints,
    }
}

/// A network, as a listing describes it: without endpoints.
pub(super) fn listed_network(network: models::Network) -> NetworkState {
    let (blocks, gateways) = addresses(network.ipam);
    NetworkState {
        id: network.id.unwrap_or_default(),
        name: network.name.unwrap_or_default(),
        blocks,
        gateways,
        endpoints: Vec::new(),
    }
}

/// `NAME=value`, each.
fn variables(env: Vec<String>) -> BTreeMap<String, String> {
    let pairs = env.iter().filter_map(|pair| pair.split_once('='));
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// An image, as `inspect` describes it.
pub(super) fn image(found: models::ImageInspect) -> ImageInfo {
    let config = found.config.unwrap_or_default();
    let ports = config.exposed_ports.unwrap_or_default();
    let tcp = |p: &String| p.strip_suffix("/tcp").unwrap_or(p).parse().ok();
    let test = config.healthcheck.and_then(|h| h.test);
    ImageInfo {
        id: found.id.unwrap_or_default(),
        entrypoint: config.entrypoint.unwrap_or_default(),
        command: config.cmd.unwrap_or_default(),
        env: variables(config.env.unwrap_or_default()),
        user: config.user.unwrap_or_default(),
        ports: ports.iter().filter_map(tcp).collect(),
        health: test
            .filter(|t| t.first().is_some_and(|word| word != "NONE"))
            .map(|test| Health::new(test, 0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_whole_machine_are_nobodys() {
        let sample = |text: &str| serde_json::from_str(text).unwrap();
        let whole = r#"{"memory_stats":{"usage":2500000000},"pids_stats":{"current":0}}"#;
        assert!(is_nobodys(&sample(whole)));
        let one = r#"{"memory_stats":{"usage":2500000},"pids_stats":{"current":1}}"#;
        assert!(!is_nobodys(&sample(one)));
        assert!(!is_nobodys(&sample(
            r#"{"memory_stats":{},"pids_stats":{}}"#
        )));
    }

    #[test]
    fn a_pull_says_which_layer_came_how_far() {
        let info = |id: Option<&str>, detail| models::CreateImageInfo {
            id: id.map(Into::into),
            status: Some("Downloading".into()),
            progress_detail: detail,
            ..Default::default()
        };
        let detail = models::ProgressDetail {
            current: Some(3 << 20),
            total: Some(10 << 20),
        };
        let line = pull_progress(&info(Some("f00"), Some(detail)));
        assert_eq!(line.as_deref(), Some("f00: Downloading 3 of 10 MiB"));
        assert_eq!(
            pull_progress(&info(None, None)).as_deref(),
            Some("Downloading")
        );
        assert_eq!(pull_progress(&models::CreateImageInfo::default()), None);
    }
}
