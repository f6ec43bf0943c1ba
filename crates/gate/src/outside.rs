//! What of the machine can be seen from in here: engine sockets and the machine's own namespaces.

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::report::Finding;

/// Where engines put their sockets, relative to the root.
const SOCKETS: [&str; 10] = [
    "var/run/docker.sock",
    "run/docker.sock",
    "run/containerd/containerd.sock",
    "run/containerd/containerd.sock.ttrpc",
    "run/podman/podman.sock",
    "var/run/podman/podman.sock",
    "run/crio/crio.sock",
    "run/buildkit/buildkitd.sock",
    "run/host-services/docker.proxy.sock",
    "run/host-services/backend.sock",
];

/// The same below each directory of `run/user`.
const USER_SOCKETS: [&str; 4] = [
    "docker.sock",
    "podman/podman.sock",
    "buildkit/buildkitd.sock",
    "containerd/containerd.sock",
];

/// Most user directories looked into.
const MOST_USERS: usize = 64;

/// No container engine's socket below `root`.
pub(crate) fn engine_socket(root: &Path) -> Finding {
    let mut candidates: Vec<PathBuf> = SOCKETS.iter().map(|path| root.join(path)).collect();
    if let Ok(users) = fs::read_dir(root.join("run/user")) {
        for user in users.take(MOST_USERS).flatten() {
            candidates.extend(USER_SOCKETS.iter().map(|path| user.path().join(path)));
        }
    }
    let found = candidates.iter().find(|path| {
        // Follows links on purpose: a link to a mounted socket is a socket.
        fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
    });
    match found {
        Some(path) => Finding::leak(format!(
            "{} is an engine's socket: whoever talks to it starts a container without a fence; a \
             volume mounts it or a directory above it",
            path.display()
        )),
        None => Finding::sealed(format!("none at {} well-known paths", candidates.len())),
    }
}

/// The numbers of the machine's first namespaces, which the kernel fixes
/// (`include/uapi/linux/nsfs.h`; the network's only since Linux 6.18, and never reused before).
const FIRST: [(&str, u64, &str); 5] = [
    (
        "pid",
        0xEFFF_FFFC,
        "every process of the machine is visible: `pid: host`",
    ),
    (
        "net",
        0xEFFF_FFF9,
        "the machine's own network: `network_mode: host`",
    ),
    (
        "ipc",
        0xEFFF_FFFF,
        "the machine's shared memory: `ipc: host`",
    ),
    ("uts", 0xEFFF_FFFE, "the machine's host name: `uts: host`"),
    ("mnt", 0xEFFF_FFF8, "the machine's own file system"),
];

/// None of the machine's own namespaces, as far as their numbers tell.
pub(crate) fn host_namespaces(root: &Path) -> Finding {
    let mut own = Vec::new();
    for (name, first, means) in FIRST {
        let Ok(link) = fs::read_link(root.join("proc/self/ns").join(name)) else {
            return Finding::broken(format!(
                "/proc/self/ns/{name} is not readable: is /proc mounted?"
            ));
        };
        let Some(number) = namespace_number(&link.to_string_lossy(), name) else {
            return Finding::broken(format!("/proc/self/ns/{name} is not a namespace's name"));
        };
        if number == first {
            return Finding::leak(format!("{name}:[{number}] is the machine's first: {means}"));
        }
        own.push(name);
    }
    // Unix sockets are listed per network namespace, so an engine's here means it is the engine's.
    let sockets = fs::read_to_string(root.join("proc/net/unix")).unwrap_or_default();
    if let Some(path) = engine_in_unix_table(&sockets) {
        return Finding::leak(format!(
            "{path} listens in this network namespace: it is the engine's own, `network_mode: host`"
        ));
    }
    Finding::sealed(format!("own {}", own.join(", ")))
}

/// `pid:[4026531836]` → the number.
fn namespace_number(text: &str, name: &str) -> Option<u64> {
    text.strip_prefix(name)?
        .strip_prefix(":[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

/// An engine's socket in `/proc/net/unix`, whose eighth column is a path.
fn engine_in_unix_table(text: &str) -> Option<&str> {
    text.lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(7))
        .find(|path| {
            SOCKETS
                .iter()
                .any(|known| path.strip_prefix('/') == Some(*known))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Outcome;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn an_engine_socket_is_found_through_links_and_below_user_directories() {
        for path in ["run/docker.sock", "run/user/1000/podman/podman.sock"] {
            let root = tempfile::tempdir().unwrap();
            assert_eq!(engine_socket(root.path()).outcome, Outcome::Sealed);
            let at = root.path().join(path);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&at, "not a socket").unwrap();
            assert_eq!(engine_socket(root.path()).outcome, Outcome::Sealed);
            fs::remove_file(&at).unwrap();
            let real = root.path().join("hidden.sock");
            let _listener = UnixListener::bind(&real).unwrap();
            symlink(&real, &at).unwrap();
            let finding = engine_socket(root.path());
            assert_eq!(finding.outcome, Outcome::Leak);
            assert!(finding.detail.contains(path));
        }
    }

    fn root_with_namespaces(pid: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let ns = root.path().join("proc/self/ns");
        fs::create_dir_all(&ns).unwrap();
        for name in ["net", "ipc", "uts", "mnt"] {
            symlink(format!("{name}:[4026532999]"), ns.join(name)).unwrap();
        }
        symlink(pid, ns.join("pid")).unwrap();
        root
    }

    #[test]
    fn the_machines_first_namespace_is_a_leak() {
        let own = root_with_namespaces("pid:[4026532842]");
        assert_eq!(host_namespaces(own.path()).outcome, Outcome::Sealed);
        let host = root_with_namespaces("pid:[4026531836]");
        let finding = host_namespaces(host.path());
        assert_eq!(finding.outcome, Outcome::Leak);
        assert!(finding.detail.contains("pid: host"));
        let odd = root_with_namespaces("pid:4026531836");
        assert_eq!(host_namespaces(odd.path()).outcome, Outcome::Broken);
        let none = tempfile::tempdir().unwrap();
        assert_eq!(host_namespaces(none.path()).outcome, Outcome::Broken);
    }

    #[test]
    fn an_engine_listening_in_this_network_namespace_is_a_leak() {
        let root = root_with_namespaces("pid:[4026532842]");
        fs::create_dir_all(root.path().join("proc/net")).unwrap();
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21520 /tmp/mine.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 21523 /run/docker.sock\n";
        fs::write(root.path().join("proc/net/unix"), table).unwrap();
        let finding = host_namespaces(root.path());
        assert_eq!(finding.outcome, Outcome::Leak);
        assert!(finding.detail.contains("/run/docker.sock"));
    }
}
