//! What all containers of a task have in common: nothing, until it is added.

use std::collections::BTreeMap;

use super::door::Door;
use super::fence::Layout;
use super::gate::{GATE, GATE_DIR, OURS};
use super::limits::{Wanted, limits};
use super::relay::mounts_of_names;
use super::{Inputs, block6};
use crate::config::Tmpfs;
use crate::engine::ImageInfo;
use crate::environment::client_wiring;
use crate::error::{Error, Result};
use crate::labels::{Labels, Owner, Role};
use crate::pool::PROXY_PLACE;
use crate::spec::{
    Attachment, ContainerNetwork, ContainerSpec, Limits, Mount, SystemCalls, VolumeSpec,
};

pub(super) fn labels(inputs: &Inputs<'_>, role: Role) -> Labels {
    Owner {
        state: inputs.state.to_owned(),
        task: inputs.task.clone(),
        role,
    }
    .labels()
}

/// The task's volume of a role.
pub(super) fn volume_of(inputs: &Inputs<'_>, role: Role) -> VolumeSpec {
    VolumeSpec {
        name: inputs.task.resource(role),
        labels: labels(inputs, role),
    }
}

/// A container with nothing: everything that follows adds to it.
pub(super) fn bare(inputs: &Inputs<'_>, role: Role, name: String, image: String) -> ContainerSpec {
    ContainerSpec {
        name,
        image,
        user: None,
        hostname: None,
        entrypoint: None,
        command: Vec::new(),
        env: BTreeMap::new(),
        secret_env: BTreeMap::new(),
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
        gpus: None,
        health: None,
        stdin_open: false,
        attached: false,
    }
}

/// Network, resolver, gate and client wiring: what agent and services have in common.
#[expect(
    clippy::too_many_arguments,
    reason = "what the two differ in, one by one"
)]
pub(super) fn fenced(
    inputs: &Inputs<'_>,
    layout: &Layout,
    door: &Door,
    spec: &mut ContainerSpec,
    place: u8,
    aliases: Vec<String>,
    image: &ImageInfo,
    real: Vec<String>,
) {
    spec.entrypoint = Some(vec![GATE.to_owned()]);
    spec.command = vec!["exec".to_owned()];
    spec.command.extend(layout.expectation.arguments());
    spec.command.push("--".to_owned());
    spec.command.extend(real);
    // Root of the container owns `/`, and could otherwise put a gate of its own in the place of ours.
    spec.mounts.push(Mount::Frame {
        target: OURS.to_owned(),
    });
    spec.mounts.push(Mount::Volume {
        volume: volume_of(inputs, Role::Gate),
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
        // What the user sets himself stays, in whichever case: the other case would be read first by some.
        let mut wiring = client_wiring(proxy, &names, GATE, &image.env);
        wiring.retain(|name, _| !spec.env.keys().any(|own| own.eq_ignore_ascii_case(name)));
        spec.env.append(&mut wiring);
    }
    if door.relay.is_some() && !inputs.facts.shares_names {
        spec.mounts.extend(mounts_of_names(inputs));
    }
    spec.network = match (&door.relay, &layout.fence_name, &layout.egress_name) {
        (Some(relay), _, _) => ContainerNetwork::Joined(relay.clone()),
        (None, Some(fence), _) => {
            // The engine's own resolver knows the services and passes the rest to the proxy, from inside
            // the container.
            spec.dns = vec![layout.block.address(PROXY_PLACE).into()];
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

pub(super) fn networks_of(spec: &ContainerSpec) -> Vec<String> {
    match &spec.network {
        ContainerNetwork::None | ContainerNetwork::Joined(_) => Vec::new(),
        ContainerNetwork::Attached(all) => all.iter().map(|a| a.network.clone()).collect(),
    }
}

/// The image's entrypoint and arguments, or what replaces them.
pub(super) fn real_command(
    what: &str,
    image: &ImageInfo,
    entrypoint: &[String],
    command: &[String],
) -> Result<Vec<String>> {
    let own = entrypoint.is_empty();
    let mut real = if own { &image.entrypoint } else { entrypoint }.to_vec();
    real.extend_from_slice(match (own, command) {
        (true, []) => &image.command,
        // The image's arguments are for its own entrypoint.
        (_, command) => command,
    });
    if real.is_empty() {
        return Err(Error::Config(format!(
            "the image of {what} names no command to run; say which with command ="
        )));
    }
    Ok(real)
}

/// `/tmp` where the root cannot be written, and what was asked for.
pub(super) fn memory(read_only: bool, directories: &[Tmpfs], limits: &Limits) -> Vec<Mount> {
    // What lies there counts as the container's memory: all of it there would be the end of the container.
    let usual = limits.memory.map(|bytes| bytes / 2);
    let tmp = (read_only && !directories.iter().any(|d| d.path == "/tmp")).then(|| Mount::Memory {
        target: "/tmp".to_owned(),
        size: usual,
    });
    let wanted = directories.iter().map(|directory| Mount::Memory {
        target: directory.path.clone(),
        size: directory.size.map(|bytes| bytes.0).or(usual),
    });
    tmp.into_iter().chain(wanted).collect()
}
