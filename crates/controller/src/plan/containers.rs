//! The containers of a task: the gate's filler, the proxy or relay, the services, the agent.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::fence::{Layout, Networks};
use super::limits::{Wanted, limits};
use super::{Draft, Inputs, PROXY_PORT, Place, RELAY_ADDRESS, Step, block6, missing};
use crate::config::{Fence, Mode, Service};
use crate::engine::ImageInfo;
use crate::environment::proxy_variables;
use crate::error::{Error, Result};
use crate::labels::{Labels, Owner, Role, SERVICE};
use crate::pool::LAST_PLACE;
use crate::spec::{
    Attachment, Capability, ContainerNetwork, ContainerSpec, Health, Limits, Mount, SystemCalls,
    VolumeSpec,
};
use crate::task::Slug;
use crate::workspace::Workspace;

/// Where the gate is in every container.
const GATE_DIR: &str = "/agentnet/bin";
const GATE: &str = "/agentnet/bin/agentnet-gate";
/// Where the proxy's unix socket is.
const SOCKET_DIR: &str = "/run/agentnet";
const SOCKET: &str = "unix:/run/agentnet/proxy.sock";
/// The resolver of a container in the fence network while the proxy answers no names: TEST-NET-1
/// (RFC 5737), where there is no route, so a lookup fails at once. At the proxy's own address, where
/// nothing listens, the kernel rations its "port unreachable" and a lookup hangs for four seconds.
const NO_RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// How long a service may take to become healthy.
const HEALTHY_SECONDS: u32 = 120;

fn labels(inputs: &Inputs<'_>, role: Role) -> Labels {
    Owner {
        state: inputs.state.to_owned(),
        task: inputs.task.clone(),
        role,
    }
    .labels()
}

/// A container with nothing: everything that follows adds to it.
fn bare(inputs: &Inputs<'_>, role: Role, name: String, image: String) -> ContainerSpec {
    ContainerSpec {
        name,
        image,
        user: None,
        hostname: None,
        entrypoint: None,
        command: Vec::new(),
        env: BTreeMap::new(),
        workdir: None,
        labels: labels(inputs, role),
        mounts: Vec::new(),
        network: ContainerNetwork::None,
        dns: Vec::new(),
        hosts: Vec::new(),
        sysctls: BTreeMap::new(),
        capabilities: Vec::new(),
        system_calls: match inputs.facts.opens_vsock {
            true => SystemCalls::Ours,
            false => SystemCalls::Engine,
        },
        read_only: false,
        limits: limits(role, Wanted::default(), inputs.facts),
        health: None,
        stdin_open: false,
    }
}

/// Refuses what no fence can hold, before anything is created.
pub(super) fn check_services(inputs: &Inputs<'_>, mode: Mode, fence: Option<Fence>) -> Result<()> {
    let services = &inputs.config.services;
    if services.len() > usize::from(LAST_PLACE - 2) {
        return Err(Error::Config(format!(
            "{} services are too many for one task: at most {}",
            services.len(),
            LAST_PLACE - 2
        )));
    }
    if let Some(name) = services.keys().find(|name| name.as_str() == "localhost") {
        return Err(Error::Config(format!(
            "[services.{name}] cannot have that name"
        )));
    }
    if fence == Some(Fence::Socket) || mode == Mode::None {
        one_port_each(inputs)?;
    }
    Ok(())
}

/// Where everybody shares one loopback, two services on one port cannot both start.
fn one_port_each(inputs: &Inputs<'_>) -> Result<()> {
    let mut taken: BTreeMap<u16, &Slug> = BTreeMap::new();
    for (name, service) in &inputs.config.services {
        let info = inputs.images.services.get(name);
        let exposed = info.map(|info| info.ports.clone()).unwrap_or_default();
        for port in service.port.map_or(exposed, |port| vec![port]) {
            if let Some(other) = taken.insert(port, name) {
                return Err(Error::Config(format!(
                    "services {other} and {name} both listen on port {port}, and in the socket \
                     fence all services share one address; make one of them listen elsewhere and \
                     say so with port = in [services.{name}]"
                )));
            }
        }
    }
    Ok(())
}

/// When the gate can be used.
#[derive(Debug, Clone, Copy)]
pub(super) struct GateSteps {
    /// Before a container that mounts it may be created: the engine would make a volume of that
    /// name by itself, without our labels.
    volume: usize,
    /// Before it may start.
    filled: usize,
}

/// The volume with the gate. The engine fills an empty volume when a container is created on it,
/// so that container is never started and goes at once.
pub(super) fn gate(inputs: &Inputs<'_>, draft: &mut Draft) -> Result<GateSteps> {
    let image = inputs.images.gate.as_ref().ok_or_else(|| missing("gate"))?;
    let name = inputs.task.resource(Role::Gate);
    let volume = VolumeSpec {
        name: name.clone(),
        labels: labels(inputs, Role::Gate),
    };
    let volume = draft.add(Step::Volume(volume), &[]);
    let mut filler = bare(inputs, Role::Gate, name.clone(), image.to_string());
    filler.command = vec![GATE.to_owned(), "--version".to_owned()];
    filler.mounts = vec![Mount::Volume {
        name: name.clone(),
        target: GATE_DIR.to_owned(),
        writable: true,
        fill: true,
    }];
    filler.limits = Limits::default();
    let filled = draft.add(Step::Container(filler), &[volume]);
    draft.add(Step::Remove { container: name }, &[filled]);
    Ok(GateSteps { volume, filled })
}

/// What stands between the task and the world, and the steps to wait for.
#[derive(Debug)]
pub(super) struct Door {
    /// Before a container that joins it may be created.
    created: Vec<usize>,
    /// Before a container that uses it may start.
    started: Vec<usize>,
    /// Its namespace is everybody's.
    relay: Option<String>,
}

pub(super) fn door(
    inputs: &Inputs<'_>,
    layout: &Layout,
    networks: &Networks,
    files: usize,
    draft: &mut Draft,
) -> Result<Door> {
    let mut door = Door {
        created: Vec::new(),
        started: Vec::new(),
        relay: None,
    };
    if layout.fence.is_none() && (layout.mode == Mode::Full || inputs.config.services.is_empty()) {
        return Ok(door);
    }
    let image = inputs
        .images
        .proxy
        .as_ref()
        .ok_or_else(|| missing("proxy"))?
        .to_string();
    let mut socket = Vec::new();
    if layout.fence == Some(Fence::Socket) {
        let name = inputs.task.resource(Role::Socket);
        let spec = VolumeSpec {
            name,
            labels: labels(inputs, Role::Socket),
        };
        socket.push(draft.add(Step::Volume(spec), &[]));
    }
    if layout.fence.is_some() {
        let proxy = proxy(inputs, layout, image.clone());
        let name = proxy.name.clone();
        let extra = split_attachments(inputs, proxy, &mut |spec| {
            let mut after = networks.created.clone();
            after.push(files);
            after.extend(&socket);
            draft.add(Step::Container(spec), &after)
        });
        let mut before_start = vec![extra.created];
        for attachment in extra.later {
            let step = Step::Connect {
                container: name.clone(),
                attachment,
            };
            before_start.push(draft.add(step, &[extra.created]));
        }
        socket.push(extra.created);
        before_start.extend(&networks.guarded);
        let start = Step::Start {
            container: name.clone(),
            role: Role::Proxy,
        };
        door.started.push(draft.add(start, &before_start));
        let mut on: Vec<String> = layout.fence_name.iter().cloned().collect();
        on.extend(layout.egress_name.clone());
        draft.places.push(Place {
            container: name,
            role: Role::Proxy,
            networks: on,
            addresses: layout.addresses(inputs, 1),
        });
    }
    if layout.fence == Some(Fence::Network) {
        return Ok(door);
    }
    let relay = relay(inputs, layout, image);
    let name = relay.name.clone();
    let created = draft.add(Step::Container(relay), &socket);
    let start = Step::Start {
        container: name.clone(),
        role: Role::Relay,
    };
    door.started.push(draft.add(start, &[created]));
    door.created.push(created);
    door.relay = Some(name.clone());
    draft.places.push(Place {
        container: name,
        role: Role::Relay,
        networks: Vec::new(),
        addresses: Vec::new(),
    });
    Ok(door)
}

struct Split {
    created: usize,
    later: Vec<Attachment>,
}

/// An engine that takes one network at creation gets the rest afterwards, before the start.
fn split_attachments(
    inputs: &Inputs<'_>,
    mut spec: ContainerSpec,
    create: &mut dyn FnMut(ContainerSpec) -> usize,
) -> Split {
    let mut later = Vec::new();
    if let ContainerNetwork::Attached(all) = &mut spec.network
        && !inputs.facts.many_networks
        && all.len() > 1
    {
        later = all.split_off(1);
    }
    Split {
        created: create(spec),
        later,
    }
}

fn proxy(inputs: &Inputs<'_>, layout: &Layout, image: String) -> ContainerSpec {
    let name = inputs.task.resource(Role::Proxy);
    let mut spec = bare(inputs, Role::Proxy, name, image);
    spec.read_only = true;
    spec.hostname = Some("proxy".to_owned());
    spec.mounts.push(Mount::Bind {
        source: inputs.directory.join("policy"),
        target: "/etc/agentnet".to_owned(),
        writable: false,
    });
    // The proxy has a leg on each side: its kernel must not route between them (forwarding), nor
    // answer on one side for the other's address (arp_ignore, measured).
    for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
        spec.sysctls.insert(key.to_owned(), "0".to_owned());
    }
    spec.sysctls
        .insert("net.ipv4.conf.all.arp_ignore".to_owned(), "1".to_owned());
    let mut listen = Vec::new();
    let mut attachments = Vec::new();
    if let Some(fence) = &layout.fence_name {
        let (v4, v6) = (layout.block.address(1), block6(inputs).address(1));
        listen.push(format!("{v4}:{PROXY_PORT}"));
        listen.push(format!("[{v6}]:{PROXY_PORT}"));
        attachments.push(Attachment {
            network: fence.clone(),
            v4: Some(v4),
            v6: Some(v6),
            aliases: vec!["proxy".to_owned()],
        });
    } else {
        listen.push(SOCKET.to_owned());
        spec.mounts.push(Mount::Volume {
            name: inputs.task.resource(Role::Socket),
            target: SOCKET_DIR.to_owned(),
            writable: true,
            fill: true,
        });
    }
    if let Some(egress) = &layout.egress_name {
        attachments.push(Attachment {
            network: egress.clone(),
            v4: None,
            v6: None,
            aliases: Vec::new(),
        });
    }
    spec.network = ContainerNetwork::Attached(attachments);
    for address in listen {
        spec.command.extend(["--listen".to_owned(), address]);
    }
    spec.command.extend(
        [
            "--whitelist",
            "/etc/agentnet/project.txt",
            "--task-whitelist",
            "/etc/agentnet/task.txt",
        ]
        .map(str::to_owned),
    );
    spec.command.extend(["--log", "json"].map(str::to_owned));
    spec
}

/// The owner of the namespace that agent and services share. What `--dns`, hosts and sysctls are
/// elsewhere is set here: containers that join may set none of them.
fn relay(inputs: &Inputs<'_>, layout: &Layout, image: String) -> ContainerSpec {
    let mut spec = bare(
        inputs,
        Role::Relay,
        inputs.task.resource(Role::Relay),
        image,
    );
    spec.read_only = true;
    spec.hostname = Some(inputs.task.hostname());
    spec.command = ["relay", "--listen"].map(str::to_owned).to_vec();
    spec.command.push(format!("{RELAY_ADDRESS}:{PROXY_PORT}"));
    spec.command.extend(["--to".to_owned(), SOCKET.to_owned()]);
    // The image's own check asks a proxy, and this is none.
    spec.health = Some(Health {
        test: vec!["NONE".to_owned()],
    });
    spec.dns = vec![IpAddr::V4(RELAY_ADDRESS)];
    spec.hosts = inputs
        .config
        .services
        .keys()
        .map(|name| (name.to_string(), IpAddr::V4(Ipv4Addr::LOCALHOST)))
        .collect();
    spec.sysctls.insert(
        "net.ipv4.ip_unprivileged_port_start".to_owned(),
        "0".to_owned(),
    );
    if layout.fence.is_some() {
        spec.mounts.push(Mount::Volume {
            name: inputs.task.resource(Role::Socket),
            target: SOCKET_DIR.to_owned(),
            writable: false,
            fill: false,
        });
    }
    spec
}

/// Network, resolver, gate and proxy variables: what agent and services have in common.
fn fenced(
    inputs: &Inputs<'_>,
    layout: &Layout,
    door: &Door,
    spec: &mut ContainerSpec,
    place: u8,
    aliases: Vec<String>,
    real: Vec<String>,
) {
    spec.entrypoint = Some(vec![GATE.to_owned()]);
    spec.command = vec!["exec".to_owned()];
    spec.command.extend(layout.expectation.arguments());
    spec.command.push("--".to_owned());
    spec.command.extend(real);
    spec.mounts.push(Mount::Volume {
        name: inputs.task.resource(Role::Gate),
        target: GATE_DIR.to_owned(),
        writable: false,
        fill: false,
    });
    if let Some(proxy) = layout.proxy {
        let names: Vec<_> = inputs
            .config
            .services
            .keys()
            .map(ToString::to_string)
            .collect();
        for (key, value) in proxy_variables(proxy, &names) {
            spec.env.entry(key).or_insert(value);
        }
    }
    spec.network = match (&door.relay, &layout.fence_name, &layout.egress_name) {
        (Some(relay), _, _) => ContainerNetwork::Joined(relay.clone()),
        (None, Some(fence), _) => {
            spec.dns = vec![NO_RESOLVER.into()];
            ContainerNetwork::Attached(vec![Attachment {
                network: fence.clone(),
                v4: Some(layout.block.address(place)),
                v6: Some(block6(inputs).address(place)),
                aliases,
            }])
        }
        (None, None, Some(open)) => ContainerNetwork::Attached(vec![Attachment {
            network: open.clone(),
            v4: None,
            v6: None,
            aliases,
        }]),
        (None, None, None) => ContainerNetwork::None,
    };
    if door.relay.is_none() {
        spec.hostname.get_or_insert_with(|| inputs.task.hostname());
    }
}

fn networks_of(spec: &ContainerSpec) -> Vec<String> {
    match &spec.network {
        ContainerNetwork::None | ContainerNetwork::Joined(_) => Vec::new(),
        ContainerNetwork::Attached(all) => all.iter().map(|a| a.network.clone()).collect(),
    }
}

/// The image's entrypoint and arguments, or what replaces the arguments.
fn real_command(what: &str, image: &ImageInfo, command: &[String]) -> Result<Vec<String>> {
    let mut real = image.entrypoint.clone();
    real.extend_from_slice(if command.is_empty() {
        &image.command
    } else {
        command
    });
    if real.is_empty() {
        return Err(Error::Config(format!(
            "the image of {what} names no command to run; say which with command ="
        )));
    }
    Ok(real)
}

/// The services; returns the steps after which all of them can be used.
pub(super) fn services(
    inputs: &Inputs<'_>,
    layout: &Layout,
    networks: &Networks,
    door: &Door,
    gate: GateSteps,
    draft: &mut Draft,
) -> Result<Vec<usize>> {
    let mut ready = Vec::new();
    for (name, place) in &layout.service_places {
        let Some(service) = inputs.config.services.get(name) else {
            continue;
        };
        let spec = service_spec(inputs, layout, door, name, service, *place)?;
        let container = spec.name.clone();
        draft.places.push(Place {
            container: container.clone(),
            role: Role::Service,
            networks: networks_of(&spec),
            addresses: layout.addresses(inputs, *place),
        });
        let image = inputs.images.services.get(name);
        let checked = spec.health.is_some() || image.is_some_and(|i| i.health.is_some());
        let mut before = networks.created.clone();
        before.extend(&door.created);
        before.push(gate.volume);
        let created = draft.add(Step::Container(spec), &before);
        let mut before = vec![created, gate.filled];
        before.extend(&door.started);
        before.extend(&networks.guarded);
        let start = Step::Start {
            container: container.clone(),
            role: Role::Service,
        };
        let mut last = draft.add(start, &before);
        if checked {
            let seconds = service.wait_seconds.unwrap_or(HEALTHY_SECONDS);
            last = draft.add(Step::AwaitHealthy { container, seconds }, &[last]);
        }
        ready.push(last);
    }
    Ok(ready)
}

fn service_spec(
    inputs: &Inputs<'_>,
    layout: &Layout,
    door: &Door,
    name: &Slug,
    service: &Service,
    place: u8,
) -> Result<ContainerSpec> {
    let what = format!("service {name}");
    let image = inputs
        .images
        .services
        .get(name)
        .ok_or_else(|| missing(&what))?;
    let real = real_command(&what, image, &service.command)?;
    let container = inputs.task.service(name);
    let mut spec = bare(inputs, Role::Service, container, service.image.to_string());
    spec.labels.insert(SERVICE.to_owned(), name.to_string());
    spec.user.clone_from(&service.user);
    spec.env.clone_from(&service.env);
    spec.capabilities = Capability::SERVICE.to_vec();
    spec.read_only = service.read_only;
    spec.mounts = memory(service.read_only, &service.tmpfs);
    let wanted = Wanted {
        memory: service.memory,
        cpus: service.cpus,
        pids: service.pids,
    };
    spec.limits = limits(Role::Service, wanted, inputs.facts);
    spec.health = service.healthcheck.as_ref().map(|test| Health {
        test: vec!["CMD-SHELL".to_owned(), test.clone()],
    });
    if door.relay.is_none() {
        spec.hostname = Some(name.to_string());
    }
    fenced(
        inputs,
        layout,
        door,
        &mut spec,
        place,
        vec![name.to_string()],
        real,
    );
    Ok(spec)
}

fn memory(read_only: bool, directories: &[String]) -> Vec<Mount> {
    let tmp = read_only.then(|| "/tmp".to_owned());
    tmp.into_iter()
        .chain(directories.iter().cloned())
        .map(|target| Mount::Memory { target })
        .collect()
}

#[expect(
    clippy::too_many_arguments,
    reason = "what must come before the agent, one by one"
)]
pub(super) fn agent(
    inputs: &Inputs<'_>,
    layout: &Layout,
    networks: &Networks,
    door: &Door,
    gate: GateSteps,
    files_there: [usize; 2],
    ready: &[usize],
    draft: &mut Draft,
) -> Result<()> {
    let (image, info) = inputs
        .images
        .agent
        .as_ref()
        .ok_or_else(|| missing("agent"))?;
    let config = &inputs.config.agent;
    let command = inputs.command.as_ref().unwrap_or(&config.command);
    let real = real_command("the agent", info, command)?;
    let name = inputs.task.resource(Role::Agent);
    let mut spec = bare(inputs, Role::Agent, name.clone(), image.to_string());
    let workdir = config
        .workdir
        .clone()
        .unwrap_or_else(|| "/workspace".to_owned());
    let (uid, gid) = inputs.owner;
    spec.user = Some(
        config
            .user
            .clone()
            .unwrap_or_else(|| format!("{uid}:{gid}")),
    );
    spec.env.clone_from(&config.env);
    spec.env
        .entry("AGENTNET_TASK".to_owned())
        .or_insert_with(|| inputs.task.task.to_string());
    spec.read_only = config.read_only;
    spec.stdin_open = true;
    spec.mounts = memory(config.read_only, &[]);
    spec.mounts.extend(files(inputs, &workdir));
    spec.workdir = Some(workdir);
    let wanted = Wanted {
        memory: config.memory,
        cpus: config.cpus,
        pids: config.pids,
    };
    spec.limits = limits(Role::Agent, wanted, inputs.facts);
    let aliases = vec!["agent".to_owned()];
    fenced(
        inputs,
        layout,
        door,
        &mut spec,
        layout.agent_place,
        aliases,
        real,
    );
    draft.places.push(Place {
        container: name.clone(),
        role: Role::Agent,
        networks: networks_of(&spec),
        addresses: layout.addresses(inputs, layout.agent_place),
    });
    let mut before = networks.created.clone();
    before.extend(&door.created);
    before.push(gate.volume);
    before.extend(files_there);
    let created = draft.add(Step::Container(spec), &before);
    let mut before = vec![created, gate.filled];
    before.extend(&door.started);
    before.extend(&networks.guarded);
    before.extend(ready);
    draft.add(
        Step::Start {
            container: name,
            role: Role::Agent,
        },
        &before,
    );
    Ok(())
}

/// The task's files, with `.git` covered: nothing that a tool on the host reads as git's
/// configuration can be written from inside.
fn files(inputs: &Inputs<'_>, workdir: &str) -> Vec<Mount> {
    let target = format!("{workdir}/.git");
    let mut mounts = vec![Mount::Bind {
        source: inputs.workspace.files().to_owned(),
        target: workdir.to_owned(),
        writable: true,
    }];
    let gitfile = || Mount::Bind {
        source: inputs.directory.join("gitfile"),
        target: target.clone(),
        writable: false,
    };
    match inputs.workspace {
        Workspace::Worktree { .. } => mounts.push(gitfile()),
        Workspace::Directory { git, .. } => match git {
            crate::workspace::GitEntry::None => {}
            crate::workspace::GitEntry::File => mounts.push(gitfile()),
            crate::workspace::GitEntry::Directory => {
                mounts.push(Mount::Memory {
                    target: target.clone(),
                });
            }
        },
    }
    mounts
}
