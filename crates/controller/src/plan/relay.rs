//! The relay of the socket fence: the owner of the namespace that agent and services share, and the
//! doors in it.

use std::net::{IpAddr, Ipv4Addr};

use super::containers::{bare, volume_of};
use super::door::{DNS_PORT, PORTS_FOR_ALL, SIDE_DOORS};
use super::fence::Layout;
use super::services::ports;
use super::{Inputs, PROXY_PORT, RELAY_ADDRESS};
use crate::config::Config;
use crate::labels::Role;
use crate::spec::{ContainerSpec, Health, Mount};

/// Where the volume with the proxy's unix sockets is.
pub(super) const SOCKET_DIR: &str = "/run/agentnet";

/// The socket where the proxy is a proxy.
pub(super) const SOCKET: &str = "proxy.sock";

/// The socket where it is what names with `raw` are: the relay listens where it is told to there.
pub(super) const NAMES: &str = "raw.sock";

/// What a program asks for names, by file of the task's directory and place in a container.
const NAMES_OF_ALL: [(&str, &str); 2] =
    [("resolv.conf", "/etc/resolv.conf"), ("hosts", "/etc/hosts")];

/// The two for who joins the relay, where the engine does not hand the relay's on: the same answerer and the same
/// services.
pub fn names_for_all(config: &Config) -> [(String, String); 2] {
    let services: String = config
        .services
        .keys()
        .map(|name| format!("127.0.0.1\t{name}\n"))
        .collect();
    let [(resolver, _), (hosts, _)] = NAMES_OF_ALL;
    [
        (
            resolver.to_owned(),
            format!("nameserver {RELAY_ADDRESS}\nsearch .\n"),
        ),
        (
            hosts.to_owned(),
            format!("127.0.0.1\tlocalhost\n{services}"),
        ),
    ]
}

/// The same as mounts.
pub(super) fn mounts_of_names(inputs: &Inputs<'_>) -> impl Iterator<Item = Mount> {
    NAMES_OF_ALL.into_iter().map(|(file, target)| Mount::Bind {
        source: inputs.directory.join(file),
        target: target.to_owned(),
        writable: false,
    })
}

/// A socket on that volume, as flags name it.
pub(super) fn socket(name: &str) -> String {
    format!("unix:{SOCKET_DIR}/{name}")
}

/// What `--dns`, hosts and sysctls are elsewhere is set here: containers that join may set none of
/// them.
pub(super) fn relay(inputs: &Inputs<'_>, layout: &Layout, image: String) -> ContainerSpec {
    let mut spec = bare(
        inputs,
        Role::Relay,
        inputs.task.resource(Role::Relay),
        image,
    );
    spec.read_only = true;
    spec.hostname = Some(inputs.task.hostname());
    spec.command = vec!["relay".to_owned()];
    let mut carry = |flag: &str, port: u16, name: &str| {
        let door = format!("{RELAY_ADDRESS}:{port}={}", socket(name));
        spec.command.extend([flag.to_owned(), door]);
    };
    carry("--listen", PROXY_PORT, SOCKET);
    if layout.fence.is_some() {
        let taken = ports(inputs);
        for (_, port, name) in SIDE_DOORS {
            match port {
                DNS_PORT => carry("--dns", port, name),
                // A service that listens on every address of the namespace could not start beside
                // the door.
                _ if taken.contains_key(&port) => {}
                _ => carry("--listen", port, name),
            }
        }
        spec.command
            .extend(["--raw-doors".to_owned(), socket(NAMES)]);
        for port in taken.keys() {
            spec.command
                .extend(["--keep-free".to_owned(), port.to_string()]);
        }
    }
    // The image's own check asks a proxy, and this is none.
    spec.health = Some(Health::new(vec!["NONE".to_owned()], 0));
    spec.dns = vec![IpAddr::V4(RELAY_ADDRESS)];
    spec.hosts = inputs
        .config
        .services
        .keys()
        .map(|name| (name.to_string(), IpAddr::V4(Ipv4Addr::LOCALHOST)))
        .collect();
    spec.sysctls
        .insert(PORTS_FOR_ALL.to_owned(), "0".to_owned());
    if layout.fence.is_some() {
        spec.mounts.push(Mount::Volume {
            volume: volume_of(inputs, Role::Socket),
            target: SOCKET_DIR.to_owned(),
            writable: false,
            fill: false,
        });
    }
    spec
}
