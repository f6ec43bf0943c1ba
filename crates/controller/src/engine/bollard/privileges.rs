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
    // Podman lists what an image exposes as well, with nothing of the host behind it.
    let bindings = host.port_bindings.iter().flatten();
    let published = bindings
        .into_iter()
        .any(|(_, to)| to.as_ref().is_some_and(|to| !to.is_empty()));
    say(published, "it publishes ports");
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
    let ours = Capability::SERVICE.map(Capability::as_str);
    let added: Vec<_> = host.cap_add.iter().flatten().map(|c| plain(c)).collect();
    let foreign = held(host)
        .into_iter()
        .filter(|c| !ours.contains(&c.as_str()));
    let (more, kept): (Vec<_>, Vec<_>) = foreign.partition(|c| added.contains(&c.as_str()));
    say(
        !kept.is_empty(),
        "it keeps the engine's default capabilities",
    );
    say(!more.is_empty(), "it has capabilities beyond a service's");
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

/// What Docker and Podman give to who asks for nothing.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The capabilities that a container may use. Docker repeats what was asked for, `ALL` in one word; Podman names what
/// was dropped one by one, without what was added.
pub(super) fn held(host: &models::HostConfig) -> Vec<String> {
    let dropped: Vec<_> = host.cap_drop.iter().flatten().map(|c| plain(c)).collect();
    let none = dropped.contains(&"ALL");
    let usual = DEFAULT
        .into_iter()
        .filter(|c| !none && !dropped.contains(c));
    let added = host.cap_add.iter().flatten().map(|c| plain(c));
    usual.chain(added).map(str::to_owned).collect()
}

/// The kernel's word.
fn plain(capability: &str) -> &str {
    capability.strip_prefix("CAP_").unwrap_or(capability)
}

/// Fingerprint of the system call filter that replaces the engine's own: whether it was planned shows who knows the
/// plan. Of a file, where the engine was given one.
pub(super) fn filter(host: &models::HostConfig) -> Option<String> {
    let options = host.security_opt.iter().flatten();
    let mut profiles =
        options.filter_map(|o| o.strip_prefix("seccomp=").or(o.strip_prefix("seccomp:")));
    let profile = profiles.next()?;
    let text = profile
        .starts_with('/')
        .then(|| fs_err::read_to_string(profile));
    Some(match text {
        Some(Ok(text)) => digest(&text),
        Some(Err(_)) | None => digest(profile),
    })
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
    fn podmans_words_for_a_fenced_container_say_the_same() {
        let one_by_one = |left: &[&str]| {
            let all = DEFAULT.iter().filter(|c| !left.contains(c));
            Some(all.map(|c| format!("CAP_{c}")).collect())
        };
        let fenced = |dropped| models::HostConfig {
            cap_drop: dropped,
            cap_add: Some(Vec::new()),
            port_bindings: Some(HashMap::from([("8888/tcp".into(), None)])),
            security_opt: Some(vec!["no-new-privileges".into()]),
            ..Default::default()
        };
        assert_eq!(privileges(&fenced(one_by_one(&[])), ENDPOINT), [""; 0]);
        assert_eq!(
            privileges(&fenced(one_by_one(&["CHOWN", "SETUID"])), ENDPOINT),
            [""; 0]
        );
        let found = privileges(&fenced(one_by_one(&["NET_RAW"])), ENDPOINT);
        assert_eq!(found, ["it keeps the engine's default capabilities"]);
    }

    #[test]
    fn a_filter_in_a_file_is_the_one_whose_text_it_has() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("filter.json");
        fs_err::write(&file, "{}").unwrap();
        let given = |option: String| models::HostConfig {
            security_opt: Some(vec![option]),
            ..Default::default()
        };
        let text = filter(&given("seccomp={}".into()));
        assert_eq!(filter(&given(format!("seccomp={}", file.display()))), text);
        fs_err::write(&file, "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}").unwrap();
        assert_ne!(filter(&given(format!("seccomp={}", file.display()))), text);
        fs_err::remove_file(&file).unwrap();
        assert_ne!(filter(&given(format!("seccomp={}", file.display()))), text);
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
                |h| {
                    let anywhere = Some(vec![models::PortBinding::default()]);
                    h.port_bindings = Some(HashMap::from([("80/tcp".into(), anywhere)]));
                },
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
