//! Our specifications in the API's words.

mod like;

use std::collections::HashMap;

use bollard::models;

use crate::labels::Labels;
use crate::spec::{
    Attachment, ContainerNetwork, ContainerSpec, Exposure, Gpus, Limits, Mount, NetworkSpec,
};

pub(super) use like::like;

/// The API has signed numbers only.
fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The API counts nanoseconds.
const SECOND: i64 = 1_000_000_000;

pub(super) fn map(labels: &Labels) -> HashMap<String, String> {
    labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

pub(super) fn endpoint(attachment: &Attachment) -> models::EndpointSettings {
    models::EndpointSettings {
        ipam_config: Some(models::EndpointIpamConfig {
            ipv4_address: attachment.v4.map(|a| a.to_string()),
            ipv6_address: attachment.v6.map(|a| a.to_string()),
            link_local_ips: None,
        }),
        aliases: Some(attachment.aliases.clone()).filter(|a| !a.is_empty()),
        ..Default::default()
    }
}

fn mount(mount: &Mount) -> Option<models::Mount> {
    let made = |typ, target: &String, source, writable: bool| models::Mount {
        typ: Some(typ),
        target: Some(target.clone()),
        source,
        read_only: Some(!writable),
        ..Default::default()
    };
    match mount {
        Mount::Bind {
            source,
            target,
            writable,
        } => {
            let source = Some(source.to_string_lossy().into_owned());
            Some(made(models::MountType::BIND, target, source, *writable))
        }
        Mount::Volume {
            volume,
            target,
            writable,
            fill,
        } => Some(models::Mount {
            volume_options: Some(models::MountVolumeOptions {
                no_copy: Some(!fill),
                labels: Some(map(&volume.labels)),
                ..Default::default()
            }),
            ..made(
                models::MountType::VOLUME,
                target,
                Some(volume.name.clone()),
                *writable,
            )
        }),
        Mount::Memory { .. } | Mount::Frame { .. } => None,
    }
}

fn security_options(spec: &ContainerSpec) -> Vec<String> {
    let mut options = vec!["no-new-privileges".to_owned()];
    if let Some(profile) = spec.system_calls.text() {
        options.push(format!("seccomp={profile}"));
    }
    options
}

fn host_config(spec: &ContainerSpec) -> models::HostConfig {
    let list = |items: Vec<String>| Some(items).filter(|items| !items.is_empty());
    let memory = spec.mounts.iter().filter_map(|m| match m {
        Mount::Memory { target, size } => {
            let size = size.map_or_else(String::new, |bytes| format!(",size={bytes}"));
            Some((target.clone(), format!("rw,nosuid,nodev,mode=1777{size}")))
        }
        // Mounts need no room in it.
        Mount::Frame { target } => {
            let options = "ro,nosuid,nodev,noexec,mode=755,size=65536";
            Some((target.clone(), options.to_owned()))
        }
        Mount::Bind { .. } | Mount::Volume { .. } => None,
    });
    models::HostConfig {
        network_mode: Some(match &spec.network {
            ContainerNetwork::None => "none".to_owned(),
            ContainerNetwork::Joined(id) => format!("container:{id}"),
            ContainerNetwork::Attached(all) => all
                .first()
                .map_or_else(|| "none".to_owned(), |a| a.network.clone()),
        }),
        mounts: Some(spec.mounts.iter().filter_map(mount).collect()),
        tmpfs: Some(memory.collect()),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: list(
            spec.capabilities
                .iter()
                .map(|c| c.as_str().to_owned())
                .collect(),
        ),
        security_opt: Some(security_options(spec)),
        readonly_rootfs: Some(spec.read_only),
        dns: list(spec.dns.iter().map(ToString::to_string).collect()),
        dns_search: list(spec.dns.iter().take(1).map(|_| ".".to_owned()).collect()),
        extra_hosts: list(spec.hosts.iter().map(|(n, a)| format!("{n}:{a}")).collect()),
        sysctls: Some(
            spec.sysctls
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect(),
        ),
        memory: spec.limits.memory.map(number),
        nano_cpus: spec
            .limits
            .milli_cpus
            .map(|m| number(m.saturating_mul(1_000_000))),
        pids_limit: spec.limits.pids.map(i64::from),
        log_config: spec.attached.then(|| models::HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        shm_size: spec.limits.shm.map(number),
        ulimits: Some(ulimits(&spec.limits)),
        storage_opt: spec
            .limits
            .disk
            .map(|bytes| HashMap::from([("size".to_owned(), bytes.to_string())])),
        device_requests: spec.gpus.map(|gpus| vec![gpu_request(gpus)]),
        ..Default::default()
    }
}

/// Bytes of a core file. With 0 the kernel still starts the handler that the host has in `core_pattern`, as the host's root and
/// on what crashed in the container; only with exactly 1 it does not (`do_coredump` in Linux's `fs/coredump.c`).
const CORE: u64 = 1;

/// What the kernel bounds for each process; soft and hard are one number.
fn ulimits(limits: &Limits) -> Vec<models::ResourcesUlimits> {
    [
        ("core", Some(CORE)),
        ("nofile", limits.nofile),
        ("memlock", limits.memlock),
    ]
    .into_iter()
    .filter_map(|(name, most)| {
        let most = Some(number(most?));
        Some(models::ResourcesUlimits {
            name: Some(name.to_owned()),
            soft: most,
            hard: most,
        })
    })
    .collect()
}

/// What the secret part says wins.
fn environment(spec: &ContainerSpec) -> Vec<String> {
    let plain = spec
        .env
        .iter()
        .filter(|(name, _)| !spec.secret_env.contains_key(*name))
        .map(|(name, value)| format!("{name}={value}"));
    let secret = spec
        .secret_env
        .iter()
        .map(|(name, value)| format!("{name}={}", value.expose()));
    plain.chain(secret).collect()
}

/// As `docker run --gpus`: by what it can do, so that the engine finds who hands them out.
fn gpu_request(gpus: Gpus) -> models::DeviceRequest {
    models::DeviceRequest {
        count: Some(match gpus {
            Gpus::All => -1,
            Gpus::Count(count) => i64::from(count),
        }),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..Default::default()
    }
}

pub(super) fn container(spec: &ContainerSpec) -> models::ContainerCreateBody {
    let endpoints = match &spec.network {
        ContainerNetwork::Attached(all) => Some(
            all.iter()
                .map(|a| (a.network.clone(), endpoint(a)))
                .collect(),
        ),
        ContainerNetwork::None | ContainerNetwork::Joined(_) => None,
    };
    models::ContainerCreateBody {
        image: Some(spec.image.clone()),
        user: spec.user.clone(),
        hostname: spec.hostname.clone(),
        entrypoint: spec.entrypoint.clone(),
        cmd: Some(spec.command.clone()).filter(|c| !c.is_empty()),
        env: Some(environment(spec)),
        working_dir: spec.workdir.clone(),
        labels: Some(map(&spec.labels)),
        open_stdin: Some(spec.stdin_open),
        // The end of our input is the end of its input.
        stdin_once: spec.attached.then_some(true),
        healthcheck: spec.health.as_ref().map(|h| models::HealthConfig {
            test: Some(h.test.clone()),
            interval: Some(i64::from(h.every_seconds) * SECOND),
            timeout: Some(i64::from(h.timeout_seconds) * SECOND),
            retries: Some(i64::from(h.retries)),
            start_period: Some(i64::from(h.start_seconds) * SECOND),
            start_interval: Some(SECOND / 5),
        }),
        host_config: Some(host_config(spec)),
        networking_config: endpoints.map(|all| models::NetworkingConfig {
            endpoints_config: Some(all),
        }),
        ..Default::default()
    }
}

pub(super) fn network(spec: &NetworkSpec) -> models::NetworkCreateRequest {
    let isolated = spec.exposure == Exposure::Isolated;
    let mut options = HashMap::new();
    if isolated {
        for key in [
            "com.docker.network.bridge.gateway_mode_ipv4",
            "com.docker.network.bridge.gateway_mode_ipv6",
        ] {
            options.insert(key.to_owned(), "isolated".to_owned());
        }
    }
    if let Some(mtu) = spec.mtu {
        options.insert("com.docker.network.driver.mtu".to_owned(), mtu.to_string());
    }
    let config = |s: &crate::spec::Subnet| models::IpamConfig {
        subnet: Some(s.block.to_string()),
        ip_range: s.range.map(|range| range.to_string()),
        ..Default::default()
    };
    models::NetworkCreateRequest {
        name: spec.name.clone(),
        driver: Some("bridge".to_owned()),
        internal: Some(isolated),
        enable_ipv6: Some(isolated),
        ipam: Some(models::Ipam {
            config: Some(spec.subnets.iter().map(config).collect()),
            ..Default::default()
        }),
        options: Some(options).filter(|options| !options.is_empty()),
        labels: Some(map(&spec.labels)),
        ..Default::default()
    }
}
