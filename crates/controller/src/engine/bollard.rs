//! Docker and what speaks its API, through bollard. The only file that imports it; what differs
//! between engines leaves here as [`Facts`].

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as Bollard;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models;
use bollard::query_parameters as query;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{
    ContainerState, Endpoint, Engine, EngineError, EngineResult, HealthState, ImageInfo, Kind,
    LogQuery, NetworkState, Output, Resource, Running, Streams,
};
use crate::facts::{API_FLOOR, Facts, LimitFacts, LinkFacts, Version};
use crate::labels::{Labels, STATE};
use crate::spec::{
    Attachment, BuildSpec, Capability, ContainerNetwork, ContainerSpec, ExecSpec, Exposure, Health,
    ImageRef, Mount, NetworkSpec, OUR_FILTER, SystemCalls, VolumeSpec,
};

/// Longest wait for the head of an answer, in seconds. A pull or a build streams and may take
/// longer; stopping a stuck container takes the engine ten.
const TIMEOUT_SECONDS: u64 = 120;

/// A connection to a Docker API.
#[derive(Debug, Clone)]
pub struct BollardEngine {
    docker: Docker,
    endpoint: String,
}

impl BollardEngine {
    /// Prepares to talk to `unix:///path`, `tcp://host:port`. Nothing is sent yet.
    pub fn new(endpoint: &str) -> EngineResult<Self> {
        let unreachable = |why: String| EngineError::Unreachable {
            endpoint: endpoint.to_owned(),
            why,
        };
        let docker = match endpoint.strip_prefix("unix://") {
            Some(path) => {
                Docker::connect_with_unix(path, TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION)
            }
            None if endpoint.starts_with("tcp://") => {
                Docker::connect_with_http(endpoint, TIMEOUT_SECONDS, bollard::API_DEFAULT_VERSION)
            }
            None => return Err(unreachable("only unix:// and tcp:// are understood".into())),
        };
        let docker = docker.map_err(|e| {
            let absent = matches!(e, Bollard::SocketNotFoundError(_));
            unreachable(if absent {
                "there is no such socket".into()
            } else {
                e.to_string()
            })
        })?;
        Ok(BollardEngine {
            docker,
            endpoint: endpoint.to_owned(),
        })
    }

    fn failed(&self, error: Bollard) -> EngineError {
        if let Bollard::DockerResponseServerError {
            status_code,
            message,
        } = error
        {
            refused(status_code, message)
        } else if let Bollard::DockerStreamError { error } = error {
            refused(500, error)
        } else if let Bollard::HyperLegacyError { err } = &error
            && err.is_connect()
        {
            EngineError::Unreachable {
                endpoint: self.endpoint.clone(),
                why: innermost(err),
            }
        } else if matches!(error, Bollard::RequestTimeoutError) {
            EngineError::Broken(format!("no answer within {TIMEOUT_SECONDS} s"))
        } else {
            EngineError::Broken(innermost(&error))
        }
    }

    /// The bridge that an engine makes by itself: there, the engine's host is this machine.
    async fn host_is_here(&self) -> bool {
        let Ok(bridge) = self.docker.inspect_network("bridge", None).await else {
            return false;
        };
        let name = bridge
            .options
            .and_then(|o| o.get("com.docker.network.bridge.name").cloned());
        crate::link::is_here(name.as_deref().unwrap_or("docker0"))
    }
}

/// The cause at the bottom: "connection refused" rather than "client error (Connect)".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// The engine's answers as causes somebody acts on. The API has no codes below the HTTP status, so
/// the words decide where one status stands for several causes.
fn refused(status: u16, message: String) -> EngineError {
    let has = |words: &str| message.contains(words);
    if has("no space left on device") || has("disk quota exceeded") {
        EngineError::DiskFull(message)
    } else if has("Pool overlaps") || has("overlaps with existing") || has("conflicts with network")
    {
        EngineError::Overlap(message)
    } else if has("Address already in use") {
        EngineError::AddressTaken(message)
    } else if status == 409 && (has("already in use") || has("already exists")) {
        EngineError::NameInUse(message)
    } else if status == 404 {
        EngineError::NotFound(message)
    } else {
        EngineError::Refused { status, message }
    }
}

fn map(labels: &Labels) -> HashMap<String, String> {
    labels.iter().map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn labels(map: Option<HashMap<String, String>>) -> Labels {
    map.unwrap_or_default().into_iter().collect()
}

fn endpoint(attachment: &Attachment) -> models::EndpointSettings {
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
            name,
            target,
            writable,
            fill,
        } => Some(models::Mount {
            volume_options: Some(models::MountVolumeOptions {
                no_copy: Some(!fill),
                ..Default::default()
            }),
            ..made(
                models::MountType::VOLUME,
                target,
                Some(name.clone()),
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
        ..Default::default()
    }
}

fn container_body(spec: &ContainerSpec) -> models::ContainerCreateBody {
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
        healthcheck: spec.health.as_ref().map(|h| models::HealthConfig {
            test: Some(h.test.clone()),
            interval: Some(1_000_000_000),
            timeout: Some(5_000_000_000),
            retries: Some(60),
            ..Default::default()
        }),
        host_config: Some(host_config(spec)),
        networking_config: endpoints.map(|all| models::NetworkingConfig {
            endpoints_config: Some(all),
        }),
        ..Default::default()
    }
}

fn network_body(spec: &NetworkSpec) -> models::NetworkCreateRequest {
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
        ip_range: Some(s.range.to_string()),
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

fn addresses(ipam: Option<models::Ipam>) -> (Vec<ipnet::IpNet>, Vec<std::net::IpAddr>) {
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

fn plain<T: std::str::FromStr>(address: Option<&String>) -> Option<T> {
    address?.split('/').next()?.parse().ok()
}

/// What a fenced container must not have, in words. A list of what is allowed, so that a field
/// nobody thought of cannot be a hole: capabilities, security options and modes are compared whole.
fn privileges(host: &models::HostConfig) -> Vec<String> {
    let mut found = Vec::new();
    let mut say = |bad: bool, what: &str| {
        if bad {
            found.push(what.to_owned());
        }
    };
    say(host.privileged == Some(true), "it is privileged");
    let modes = [
        &host.network_mode,
        &host.pid_mode,
        &host.ipc_mode,
        &host.uts_mode,
        &host.userns_mode,
    ];
    let shares_host = modes.iter().any(|m| m.as_deref() == Some("host"));
    say(shares_host, "it shares a namespace of the host");
    say(
        host.pid_mode
            .as_ref()
            .is_some_and(|m| m.starts_with("container:")),
        "it shares processes",
    );
    say(
        host.port_bindings.as_ref().is_some_and(|p| !p.is_empty()),
        "it publishes ports",
    );
    say(
        host.publish_all_ports == Some(true),
        "it publishes all ports",
    );
    say(
        host.devices.as_ref().is_some_and(|d| !d.is_empty()),
        "it has devices of the host",
    );
    let drops = |name: &str| host.cap_drop.iter().flatten().any(|c| c == name);
    say(
        !drops("ALL") && !drops("CAP_ALL"),
        "it keeps the engine's default capabilities",
    );
    let ours = Capability::SERVICE.map(Capability::as_str);
    let more = host
        .cap_add
        .iter()
        .flatten()
        .any(|c| !ours.contains(&c.strip_prefix("CAP_").unwrap_or(c)));
    say(more, "it has capabilities beyond a service's");
    let options = host.security_opt.clone().unwrap_or_default();
    say(
        !options
            .iter()
            .any(|o| o == "no-new-privileges" || o == "no-new-privileges:true"),
        "it may gain privileges",
    );
    say(
        options.iter().any(|o| o.contains("unconfined")),
        "its system calls are not filtered",
    );
    say(
        host.extra_hosts
            .iter()
            .flatten()
            .any(|h| h.ends_with(":host-gateway")),
        "it has the host's address",
    );
    let bound = host
        .binds
        .iter()
        .flatten()
        .filter_map(|b| b.split(':').next().map(str::to_owned));
    let mounted = host.mounts.iter().flatten().filter_map(|m| {
        (m.typ == Some(models::MountType::BIND))
            .then(|| m.source.clone())
            .flatten()
    });
    say(
        bound.chain(mounted).any(|path| holds_engine_socket(&path)),
        "it can reach the engine's socket",
    );
    found
}

/// The socket itself or a directory it is in.
fn holds_engine_socket(path: &str) -> bool {
    let sockets = [
        "/var/run/docker.sock",
        "/run/docker.sock",
        "/run/podman/podman.sock",
    ];
    let path = path.trim_end_matches('/');
    path.ends_with(".sock")
        || sockets
            .iter()
            .any(|s| *s == path || s.strip_prefix(path).is_some_and(|r| r.starts_with('/')))
}

fn running(state: &models::ContainerState) -> Running {
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

fn health(state: &models::ContainerState) -> HealthState {
    use models::HealthStatusEnum as Status;
    match state.health.as_ref().and_then(|h| h.status) {
        None | Some(Status::EMPTY | Status::NONE) => HealthState::None,
        Some(Status::STARTING) => HealthState::Starting,
        Some(Status::HEALTHY) => HealthState::Healthy,
        Some(Status::UNHEALTHY) => HealthState::Unhealthy,
    }
}

impl Engine for BollardEngine {
    async fn facts(&self) -> EngineResult<Facts> {
        let (version, info, here) = futures_util::join!(
            self.docker.version(),
            self.docker.info(),
            self.host_is_here()
        );
        let version = version.map_err(|e| self.failed(e))?;
        let info = info.map_err(|e| self.failed(e))?;
        let read = |text: &Option<String>| text.as_deref().and_then(Version::parse);
        let components = version.components.unwrap_or_default();
        let podman = components.iter().any(|c| c.name.contains("Podman"));
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
        let local = self.endpoint.starts_with("unix://");
        let security = info.security_options.unwrap_or_default();
        let runc = components
            .iter()
            .find(|c| c.name == "runc")
            .map(|c| c.version.clone());
        Ok(Facts {
            opens_vsock: Facts::opens_vsock_until(&product, api),
            isolated_gateway: Facts::isolated_since(&product, api),
            many_networks: Facts::many_networks_since(api),
            product,
            version: number,
            api,
            api_min: read(&version.min_api_version).unwrap_or(api),
            endpoint: self.endpoint.clone(),
            local,
            rootless: security.iter().any(|s| s.contains("name=rootless")),
            limits: LimitFacts {
                memory: info.memory_limit != Some(false),
                cpus: info.cpu_cfs_quota != Some(false),
                pids: info.pids_limit != Some(false),
            },
            forwarding: info.ipv4_forwarding != Some(false),
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
        })
    }

    async fn networks(&self) -> EngineResult<Vec<NetworkState>> {
        let all = self
            .docker
            .list_networks(None)
            .await
            .map_err(|e| self.failed(e))?;
        let one = |network: models::Network| {
            let (blocks, gateways) = addresses(network.ipam);
            NetworkState {
                id: network.id.unwrap_or_default(),
                name: network.name.unwrap_or_default(),
                blocks,
                gateways,
                endpoints: Vec::new(),
            }
        };
        Ok(all.into_iter().map(one).collect())
    }

    async fn owned(&self, state: &str) -> EngineResult<Vec<Resource>> {
        let filter = HashMap::from([("label", vec![format!("{STATE}={state}")])]);
        let containers = query::ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filter)
            .build();
        let networks = query::ListNetworksOptionsBuilder::new()
            .filters(&filter)
            .build();
        let volumes = query::ListVolumesOptionsBuilder::new()
            .filters(&filter)
            .build();
        let (containers, networks, volumes) = futures_util::join!(
            self.docker.list_containers(Some(containers)),
            self.docker.list_networks(Some(networks)),
            self.docker.list_volumes(Some(volumes)),
        );
        let made = |kind, id: Option<String>, name: Option<String>, map| Resource {
            kind,
            id: id.unwrap_or_default(),
            name: name.unwrap_or_default(),
            labels: labels(map),
        };
        let mut found = Vec::new();
        for c in containers.map_err(|e| self.failed(e))? {
            let name = c.names.unwrap_or_default().into_iter().next();
            let name = name.map(|n| n.trim_start_matches('/').to_owned());
            found.push(made(Kind::Container, c.id, name, c.labels));
        }
        for n in networks.map_err(|e| self.failed(e))? {
            found.push(made(Kind::Network, n.id, n.name, n.labels));
        }
        for v in volumes
            .map_err(|e| self.failed(e))?
            .volumes
            .unwrap_or_default()
        {
            found.push(made(
                Kind::Volume,
                Some(v.name.clone()),
                Some(v.name),
                Some(v.labels),
            ));
        }
        Ok(found)
    }

    async fn create_network(&self, spec: &NetworkSpec) -> EngineResult<String> {
        let made = self.docker.create_network(network_body(spec)).await;
        made.map(|m| m.id).map_err(|e| self.failed(e))
    }

    async fn create_volume(&self, spec: &VolumeSpec) -> EngineResult<()> {
        let request = models::VolumeCreateRequest {
            name: Some(spec.name.clone()),
            labels: Some(map(&spec.labels)),
            ..Default::default()
        };
        // The engine answers with a volume that exists already as if it had made it.
        let volume = self
            .docker
            .create_volume(request)
            .await
            .map_err(|e| self.failed(e))?;
        if labels(Some(volume.labels)) == spec.labels {
            Ok(())
        } else {
            Err(EngineError::NameInUse(format!(
                "there is a volume {} that is not ours",
                spec.name
            )))
        }
    }

    async fn create_container(&self, spec: &ContainerSpec) -> EngineResult<String> {
        let options = query::CreateContainerOptionsBuilder::new()
            .name(&spec.name)
            .build();
        let made = self
            .docker
            .create_container(Some(options), container_body(spec))
            .await;
        made.map(|m| m.id).map_err(|e| self.failed(e))
    }

    async fn connect(&self, container: &str, attachment: &Attachment) -> EngineResult<()> {
        let request = models::NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(endpoint(attachment)),
        };
        let done = self
            .docker
            .connect_network(&attachment.network, request)
            .await;
        done.map_err(|e| self.failed(e))
    }

    async fn start(&self, container: &str) -> EngineResult<()> {
        let done = self.docker.start_container(container, None).await;
        done.map_err(|e| self.failed(e))
    }

    async fn remove(&self, kind: Kind, id: &str) -> EngineResult<()> {
        let done = match kind {
            Kind::Container => {
                let options = query::RemoveContainerOptionsBuilder::new()
                    .force(true)
                    .v(true)
                    .build();
                self.docker.remove_container(id, Some(options)).await
            }
            Kind::Network => self.docker.remove_network(id).await,
            Kind::Volume => {
                self.docker
                    .remove_volume(id, None::<query::RemoveVolumeOptions>)
                    .await
            }
        };
        match done.map_err(|e| self.failed(e)) {
            // Somebody else is at it: done when it is gone.
            Err(EngineError::Refused {
                status: 409,
                message,
            }) if message.contains("in progress") => self.await_gone(id).await,
            other => other,
        }
    }

    async fn inspect_container(&self, name: &str) -> EngineResult<ContainerState> {
        let c = self
            .docker
            .inspect_container(name, None)
            .await
            .map_err(|e| self.failed(e))?;
        let state = c.state.unwrap_or_default();
        let host = c.host_config.unwrap_or_default();
        let networks = c
            .network_settings
            .and_then(|n| n.networks)
            .unwrap_or_default();
        let mut networks: Vec<_> = networks.into_keys().filter(|name| name != "none").collect();
        networks.sort();
        Ok(ContainerState {
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
            labels: labels(c.config.and_then(|c| c.labels)),
            privileges: privileges(&host),
        })
    }

    async fn inspect_network(&self, name: &str) -> EngineResult<NetworkState> {
        let n = self
            .docker
            .inspect_network(name, None)
            .await
            .map_err(|e| self.failed(e))?;
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
        Ok(NetworkState {
            id: n.id.unwrap_or_default(),
            name: n.name.unwrap_or_default(),
            blocks,
            gateways,
            endpoints,
        })
    }

    async fn image(&self, image: &ImageRef) -> EngineResult<Option<ImageInfo>> {
        let found = match self
            .docker
            .inspect_image(&image.0)
            .await
            .map_err(|e| self.failed(e))
        {
            Ok(found) => found,
            Err(EngineError::NotFound(_)) => return Ok(None),
            Err(e) => return Err(e),
        };
        let config = found.config.unwrap_or_default();
        let ports = config.exposed_ports.unwrap_or_default();
        let tcp = |p: &String| p.strip_suffix("/tcp").unwrap_or(p).parse().ok();
        let test = config.healthcheck.and_then(|h| h.test);
        Ok(Some(ImageInfo {
            id: found.id.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            command: config.cmd.unwrap_or_default(),
            user: config.user.unwrap_or_default(),
            ports: ports.iter().filter_map(tcp).collect(),
            health: test
                .filter(|t| t.first().is_some_and(|word| word != "NONE"))
                .map(|test| Health { test }),
        }))
    }

    async fn pull(
        &self,
        image: &ImageRef,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> EngineResult<()> {
        // Without a tag the API would fetch every tag there is.
        let name = image.0.rsplit('/').next().unwrap_or_default();
        let whole = name.contains(':') || name.contains('@');
        let from = if whole {
            image.0.clone()
        } else {
            format!("{image}:latest")
        };
        let options = query::CreateImageOptionsBuilder::new()
            .from_image(&from)
            .build();
        let mut stream = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        while let Some(info) = stream.next().await {
            let info = info.map_err(|e| self.failed(e))?;
            if let Some(status) = info.status {
                progress(&status);
            }
        }
        Ok(())
    }

    async fn build(
        &self,
        spec: BuildSpec,
        progress: &(dyn Fn(&str) + Send + Sync),
    ) -> EngineResult<()> {
        let args: HashMap<String, String> = spec.args.into_iter().collect();
        let options = query::BuildImageOptionsBuilder::new()
            .dockerfile("Dockerfile")
            .t(&spec.tag.0)
            .rm(true)
            .forcerm(true)
            .buildargs(&args)
            .build();
        let context = bollard::body_full(Bytes::from(spec.context));
        let mut stream = std::pin::pin!(self.docker.build_image(options, None, Some(context)));
        while let Some(info) = stream.next().await {
            let info = info.map_err(|e| self.failed(e))?;
            if let Some(message) = info.error_detail.and_then(|e| e.message) {
                return Err(refused(500, message));
            }
            if let Some(text) = info.stream.filter(|text| !text.trim().is_empty()) {
                progress(text.trim_end());
            }
        }
        Ok(())
    }

    async fn exec(&self, container: &str, spec: &ExecSpec) -> EngineResult<Output> {
        let (id, started) = self.begin_exec(container, spec).await?;
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        if let StartExecResults::Attached { mut output, .. } = started {
            while let Some(piece) = output.next().await {
                let (into, bytes) = match piece.map_err(|e| self.failed(e))? {
                    LogOutput::StdErr { message } => (&mut stderr, message),
                    LogOutput::StdOut { message }
                    | LogOutput::StdIn { message }
                    | LogOutput::Console { message } => (&mut stdout, message),
                };
                let room = Output::LIMIT.saturating_sub(into.len());
                into.extend(bytes.iter().take(room));
            }
        }
        Ok(Output {
            code: self.exec_code(&id).await?,
            stdout,
            stderr,
        })
    }

    async fn exec_attached(
        &self,
        container: &str,
        spec: &ExecSpec,
        streams: Streams,
    ) -> EngineResult<i64> {
        let (id, started) = self.begin_exec(container, spec).await?;
        let StartExecResults::Attached { output, input } = started else {
            return self.exec_code(&id).await;
        };
        let Streams {
            stdin,
            mut stdout,
            mut stderr,
            size,
        } = streams;
        let feed = async move {
            let mut input = input;
            if let Some(mut stdin) = stdin {
                // The command may end first and take its input with it: not our failure.
                drop(tokio::io::copy(&mut stdin, &mut input).await);
                drop(input.shutdown().await);
            }
            std::future::pending::<()>().await;
        };
        let resize = async {
            let Some(mut size) = size else {
                return std::future::pending().await;
            };
            loop {
                let (width, height) = *size.borrow_and_update();
                let options = query::ResizeExecOptionsBuilder::new()
                    .w(i32::from(width))
                    .h(i32::from(height))
                    .build();
                drop(self.docker.resize_exec(&id, options).await);
                if size.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::select! {
            done = self.pour(output, &mut stdout, &mut stderr) => done?,
            () = feed => {}
            () = resize => {}
        }
        self.exec_code(&id).await
    }

    async fn logs(&self, container: &str, query: LogQuery, streams: Streams) -> EngineResult<()> {
        let tail = query
            .tail
            .map_or_else(|| "all".to_owned(), |n| n.to_string());
        let options = query::LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .follow(query.follow)
            .tail(&tail)
            .build();
        let Streams {
            mut stdout,
            mut stderr,
            ..
        } = streams;
        let output = self.docker.logs(container, Some(options));
        self.pour(output, &mut stdout, &mut stderr).await
    }
}

impl BollardEngine {
    async fn begin_exec(
        &self,
        container: &str,
        spec: &ExecSpec,
    ) -> EngineResult<(String, StartExecResults)> {
        let config = models::ExecConfig {
            attach_stdin: Some(spec.stdin),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(spec.tty),
            cmd: Some(spec.command.clone()),
            env: Some(spec.env.iter().map(|(k, v)| format!("{k}={v}")).collect()),
            user: spec.user.clone(),
            working_dir: spec.workdir.clone(),
            ..Default::default()
        };
        let id = self
            .docker
            .create_exec(container, config)
            .await
            .map_err(|e| self.failed(e))?
            .id;
        let options = StartExecOptions {
            detach: false,
            tty: spec.tty,
            output_capacity: None,
        };
        let started = self.docker.start_exec(&id, Some(options)).await;
        // An engine says "not found" and "not executable" in the answer or in the stream.
        let started = started.map_err(|e| {
            let error = self.failed(e);
            let text = error.to_string();
            if text.contains("executable file not found") {
                EngineError::CommandNotFound(text)
            } else if text.contains("permission denied") {
                EngineError::NotExecutable(text)
            } else {
                error
            }
        })?;
        Ok((id, started))
    }

    /// The stream can end a moment before the engine has noted the exit code.
    async fn exec_code(&self, id: &str) -> EngineResult<i64> {
        const TRIES: u32 = 100;
        for _ in 0..TRIES {
            let state = self
                .docker
                .inspect_exec(id)
                .await
                .map_err(|e| self.failed(e))?;
            match state.exit_code {
                Some(code) if state.running != Some(true) => return Ok(code),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        Err(EngineError::Broken(
            "the command ended but the engine does not say how".into(),
        ))
    }

    async fn pour(
        &self,
        output: impl Stream<Item = Result<LogOutput, Bollard>>,
        stdout: &mut (dyn AsyncWrite + Send + Unpin),
        stderr: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> EngineResult<()> {
        let broken = |e: std::io::Error| EngineError::Broken(format!("writing its output: {e}"));
        let mut output = std::pin::pin!(output);
        while let Some(piece) = output.next().await {
            match piece.map_err(|e| self.failed(e))? {
                LogOutput::StdErr { message } => {
                    stderr.write_all(&message).await.map_err(broken)?;
                    stderr.flush().await.map_err(broken)?;
                }
                LogOutput::StdOut { message }
                | LogOutput::StdIn { message }
                | LogOutput::Console { message } => {
                    stdout.write_all(&message).await.map_err(broken)?;
                    stdout.flush().await.map_err(broken)?;
                }
            }
        }
        Ok(())
    }

    async fn await_gone(&self, container: &str) -> EngineResult<()> {
        const TRIES: u32 = 300;
        for _ in 0..TRIES {
            match self
                .docker
                .inspect_container(container, None)
                .await
                .map_err(|e| self.failed(e))
            {
                Err(EngineError::NotFound(_)) => return Ok(()),
                Err(e) => return Err(e),
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Err(EngineError::Broken(format!(
            "the removal of {container} does not end"
        )))
    }
}
