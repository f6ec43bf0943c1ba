//! What stands between a task and the world: the proxy, and in the socket fence the relay to it.

use std::net::{IpAddr, SocketAddr};

use super::containers::{bare, volume_of};
use super::fence::{Layout, Networks};
use super::{Draft, Inputs, PROXY_PORT, Place, RELAY_ADDRESS, Step, block6, missing, relay};
use crate::config::{Fence, Mode};
use crate::error::Result;
use crate::labels::Role;
use crate::pool::PROXY_PLACE;
use crate::spec::{Attachment, ContainerNetwork, ContainerSpec, Mount};

/// Where the proxy's own volume is: what was spent of budgets outlives its container's restarts, and goes
/// with the task.
const STATE_DIR: &str = "/var/lib/agentnet";

/// Where programs come that ignore the proxy's variables: they look a name up, are told that it is at
/// the proxy, and connect there. The last is the name of the socket that a relay carries it to.
pub(super) const SIDE_DOORS: [(&str, u16, &str); 3] = [
    ("--dns", DNS_PORT, "dns.sock"),
    ("--transparent-tls", 443, "tls.sock"),
    ("--transparent-http", 80, "http.sock"),
];

/// The port of questions.
pub(super) const DNS_PORT: u16 = 53;

/// The first port that needs no privilege.
pub(super) const PORTS_FOR_ALL: &str = "net.ipv4.ip_unprivileged_port_start";

/// What stands between the task and the world, and the steps to wait for.
#[derive(Debug)]
pub(super) struct Door {
    /// Before a container that joins it may be created.
    pub(super) created: Vec<usize>,
    /// Before a container that joins it may start. The proxy is not among them: the gate of each
    /// container waits for it, so that they can start at the same time.
    pub(super) started: Vec<usize>,
    /// Its namespace is everybody's.
    pub(super) relay: Option<String>,
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
        socket.push(draft.add(Step::Volume(volume_of(inputs, Role::Socket)), &[]));
    }
    if layout.fence.is_some() {
        let budgets = draft.add(Step::Volume(volume_of(inputs, Role::Budgets)), &[]);
        let proxy = proxy(inputs, layout, image.clone());
        let name = proxy.name.clone();
        let place_of = proxy.clone();
        let extra = split_attachments(inputs, proxy, &mut |spec| {
            let mut after = networks.both();
            after.extend([files, budgets]);
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
        before_start.extend(networks.guarded());
        let start = Step::Start {
            container: name.clone(),
            role: Role::Proxy,
        };
        draft.add(start, &before_start);
        let mut on: Vec<String> = layout.fence_name.iter().cloned().collect();
        on.extend(layout.egress_name.clone());
        let addresses = layout.addresses(inputs, PROXY_PLACE);
        draft
            .places
            .push(Place::of(&place_of, Role::Proxy, on, addresses));
    }
    if layout.fence == Some(Fence::Network) {
        return Ok(door);
    }
    let relay = relay::relay(inputs, layout, image);
    let name = relay.name.clone();
    draft
        .places
        .push(Place::of(&relay, Role::Relay, Vec::new(), Vec::new()));
    let created = draft.add(Step::Container(relay), &socket);
    let start = Step::Start {
        container: name.clone(),
        role: Role::Relay,
    };
    door.started.push(draft.add(start, &[created]));
    door.created.push(created);
    if !inputs.facts.shares_names {
        door.created.push(files);
    }
    door.relay = Some(name);
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
    spec.mounts.push(Mount::Volume {
        volume: volume_of(inputs, Role::Budgets),
        target: STATE_DIR.to_owned(),
        writable: true,
        fill: true,
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
        let (v4, v6) = (
            layout.block.address(PROXY_PLACE),
            block6(inputs).address(PROXY_PLACE),
        );
        // On the fence's side alone: on the other there is nobody to serve.
        for address in [IpAddr::V4(v4), IpAddr::V6(v6)] {
            let at = |port| SocketAddr::new(address, port).to_string();
            listen.push(at(PROXY_PORT));
            for (flag, port, _) in SIDE_DOORS {
                spec.command.extend([flag.to_owned(), at(port)]);
            }
        }
        // It is not root, and those are ports below 1024.
        spec.sysctls
            .insert(PORTS_FOR_ALL.to_owned(), "0".to_owned());
        attachments.push(Attachment {
            network: fence.clone(),
            v4: Some(v4),
            v6: Some(v6),
            aliases: vec!["proxy".to_owned()],
        });
    } else {
        listen.push(relay::socket(relay::SOCKET));
        for (flag, _, name) in SIDE_DOORS {
            spec.command.extend([flag.to_owned(), relay::socket(name)]);
        }
        let names = relay::socket(relay::NAMES);
        spec.command.extend(["--raw-doors".to_owned(), names]);
        // A socket has no address that permitted names could be given: the relay has.
        let address = RELAY_ADDRESS.to_string();
        spec.command.extend(["--dns-address".to_owned(), address]);
        spec.mounts.push(Mount::Volume {
            volume: volume_of(inputs, Role::Socket),
            target: relay::SOCKET_DIR.to_owned(),
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
    if inputs.config.network.presets.is_some() {
        spec.command
            .extend(["--presets", "/etc/agentnet/presets"].map(str::to_owned));
    }
    spec.command
        .extend(["--state", STATE_DIR, "--log", "json"].map(str::to_owned));
    spec
}
