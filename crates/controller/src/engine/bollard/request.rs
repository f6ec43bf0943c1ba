//! Our specifications in the API's words.

use std::collections::HashMap;

use bollard::models;

use crate::labels::Labels;
use crate::spec::{
    Attachment, ContainerNetwork, ContainerSpec, Exposure, Mount, NetworkSpec, OUR_FILTER,
    SystemCalls,
};

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
        Mount::Memory { .. } => None,
    }
}

fn security_options(spec: &ContainerSpec) -> Vec<String> {
    let mut options = vec!["no-new-privileges".to_owned()];
    if spec.system_calls == SystemCalls::Ours {
        options.push(format!("seccomp={OUR_FILTER}"));
    }
    options
}

fn host_config(spec: &ContainerSpec) -> models::HostConfig {
    let list = |items: Vec<String>| Some(items).filter(|items| !items.is_empty());
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let memory = spec.mounts.iter().filter_map(|m| match m {
        Mount::Memory { target } => Some((target.clone(), "rw,nosuid,nodev,mode=1777".to_owned())),
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
        env: Some(spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect()),
        working_dir: spec.workdir.clone(),
        labels: Some(map(&spec.labels)),
        open_stdin: Some(spec.stdin_open),
        // The end of our input is the end of its input.
        stdin_once: spec.attached.then_some(true),
        healthcheck: spec.health.as_ref().map(|h| models::HealthConfig {
            test: Some(h.test.clone()),
            interval: Some(i64::from(h.every_seconds) * SECOND),
            timeout: Some(5 * SECOND),
            retries: Some(3),
            start_period: Some(120 * SECOND),
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
    let options = isolated.then(|| {
        [
            "com.docker.network.bridge.gateway_mode_ipv4",
            "com.docker.network.bridge.gateway_mode_ipv6",
        ]
        .map(|key| (key.to_owned(), "isolated".to_owned()))
        .into()
    });
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
        options,
        labels: Some(map(&spec.labels)),
        ..Default::default()
    }
}
