//! What a container was given that a fenced one must not have.

use bollard::models;

use crate::spec::{Capability, digest};

/// What a fenced container must not have, in words. A list of what is allowed, so that a field
/// nobody thought of cannot be a hole: capabilities, security options and modes are compared whole.
/// `endpoint`: where this engine is, besides the usual places.
pub(super) fn privileges(host: &models::HostConfig, endpoint: &str) -> Vec<String> {
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
    say(
        host.device_cgroup_rules
            .as_ref()
            .is_some_and(|r| !r.is_empty()),
        "it may use devices of the host",
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
        bound
            .chain(mounted)
            .any(|path| holds_engine_socket(&path, endpoint)),
        "it can reach the engine's socket",
    );
    found
}

/// Fingerprint of the system call filter that replaces the engine's own: whether it was planned shows who knows the
/// plan.
pub(super) fn filter(host: &models::HostConfig) -> Option<String> {
    let options = host.security_opt.iter().flatten();
    let mut profiles =
        options.filter_map(|o| o.strip_prefix("seccomp=").or(o.strip_prefix("seccomp:")));
    profiles.next().map(digest)
}

/// The socket itself or a directory it is in.
fn holds_engine_socket(path: &str, endpoint: &str) -> bool {
    let sockets = [
        endpoint.strip_prefix("unix://").unwrap_or(endpoint),
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const ENDPOINT: &str = "unix:///srv/engine/run/docker.sock";

    /// What our own containers have.
    fn fenced() -> models::HostConfig {
        models::HostConfig {
            network_mode: Some("n1".into()),
            cap_drop: Some(vec!["ALL".into()]),
            cap_add: Some(vec!["CHOWN".into(), "CAP_SETUID".into()]),
            security_opt: Some(vec!["no-new-privileges".into(), "seccomp={}".into()]),
            ..Default::default()
        }
    }

    #[test]
    fn a_fenced_container_has_nothing_to_be_said_about() {
        assert_eq!(privileges(&fenced(), ENDPOINT), [""; 0]);
    }

    #[test]
    fn every_privilege_is_named() {
        type Given = fn(&mut models::HostConfig);
        let cases: [(Given, &str); 14] = [
            (|h| h.privileged = Some(true), "privileged"),
            (
                |h| h.network_mode = Some("host".into()),
                "namespace of the host",
            ),
            (
                |h| h.pid_mode = Some("host".into()),
                "namespace of the host",
            ),
            (
                |h| h.ipc_mode = Some("host".into()),
                "namespace of the host",
            ),
            (
                |h| h.userns_mode = Some("host".into()),
                "namespace of the host",
            ),
            (
                |h| h.pid_mode = Some("container:x".into()),
                "shares processes",
            ),
            (
                |h| h.port_bindings = Some(HashMap::from([("80/tcp".into(), None)])),
                "publishes ports",
            ),
            (|h| h.cap_drop = None, "default capabilities"),
            (
                |h| h.cap_add = Some(vec!["CAP_NET_RAW".into()]),
                "beyond a service's",
            ),
            (|h| h.security_opt = None, "gain privileges"),
            (
                |h| {
                    h.security_opt
                        .get_or_insert_default()
                        .push("seccomp=unconfined".into())
                },
                "not filtered",
            ),
            (
                |h| h.extra_hosts = Some(vec!["h:host-gateway".into()]),
                "host's address",
            ),
            (
                |h| h.binds = Some(vec!["/run/docker.sock:/s".into()]),
                "engine's socket",
            ),
            (
                |h| h.binds = Some(vec!["/var/run:/x".into()]),
                "engine's socket",
            ),
        ];
        for (give, expected) in cases {
            let mut host = fenced();
            give(&mut host);
            let found = privileges(&host, ENDPOINT);
            assert!(
                found.len() == 1 && found[0].contains(expected),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn a_mount_of_the_root_holds_the_socket_and_a_neighbour_does_not() {
        assert!(holds_engine_socket("/", ENDPOINT));
        assert!(holds_engine_socket("/run/", ENDPOINT));
        assert!(holds_engine_socket("/srv/engine", ENDPOINT));
        assert!(!holds_engine_socket("/srv/engine/data", ENDPOINT));
        assert!(!holds_engine_socket("/run/dock", ENDPOINT));
        assert!(!holds_engine_socket("/home/me/project", ENDPOINT));
    }
}
