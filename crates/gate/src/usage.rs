//! What a container has used of its ceilings, from its own cgroup: only there is seen that the kernel killed one
//! process of a container for its memory, and not the container.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Where a container sees its cgroup.
const CGROUP: &str = "/sys/fs/cgroup";
/// Blocks of `stat(2)`.
const BLOCK: u64 = 512;
/// Entries of a tree that are looked at: a walk must end.
const MOST_ENTRIES: u64 = 2_000_000;

/// What `agentnet-gate usage` prints. What the kernel does not tell is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Format version.
    pub v: u8,
    /// Processes that the kernel killed because the container's memory did not suffice.
    pub oom_kills: Option<u64>,
    /// Times that no process or thread could be started because of the ceiling on them.
    pub pids_refused: Option<u64>,
    /// Most memory at once, in bytes.
    pub memory_peak: Option<u64>,
    /// Bytes on disk below each directory that was asked for.
    pub directories: BTreeMap<String, u64>,
}

impl Usage {
    /// Looks at this container's cgroup and at these directories.
    pub(crate) fn read(directories: &[String]) -> Usage {
        let mut usage = Usage::of(Path::new(CGROUP));
        usage.directories = directories
            .iter()
            .map(|path| (path.clone(), below(Path::new(path))))
            .collect();
        usage
    }

    /// Either version of the kernel's interface: cgroup-v2.rst, cgroup-v1/memory.rst.
    fn of(root: &Path) -> Usage {
        let text = |name: &str| fs::read_to_string(root.join(name)).ok();
        let number = |name: &str| text(name)?.trim().parse().ok();
        let keyed = |name: &str, key: &str| value(&text(name)?, key);
        Usage {
            v: 1,
            oom_kills: keyed("memory.events", "oom_kill")
                .or_else(|| keyed("memory/memory.oom_control", "oom_kill")),
            pids_refused: keyed("pids.events", "max").or_else(|| keyed("pids/pids.events", "max")),
            memory_peak: number("memory.peak")
                .or_else(|| number("memory/memory.max_usage_in_bytes")),
            directories: BTreeMap::new(),
        }
    }
}

/// `key value`, a line each.
fn value(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(name, _)| *name == key)?;
    value.trim().parse().ok()
}

/// Bytes on disk, no link followed; what may not be read does not count.
fn below(root: &Path) -> u64 {
    let mut waiting: Vec<PathBuf> = vec![root.to_owned()];
    let (mut bytes, mut entries) = (0_u64, 0_u64);
    while let Some(path) = waiting.pop() {
        entries += 1;
        if entries > MOST_ENTRIES {
            break;
        }
        let Ok(meta) = fs::symlink_metadata(&path) else {
            continue;
        };
        bytes = bytes.saturating_add(meta.blocks().saturating_mul(BLOCK));
        if meta.is_dir() {
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(entries.map(|entry| entry.path()));
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroup(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn both_versions_of_the_kernels_interface_are_read() {
        let v2 = cgroup(&[
            (
                "memory.events",
                "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n",
            ),
            ("memory.peak", "1048576\n"),
            ("pids.events", "max 7\n"),
        ]);
        let v1 = cgroup(&[
            (
                "memory/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
            ),
            ("memory/memory.max_usage_in_bytes", "1048576\n"),
            ("pids/pids.events", "max 7\n"),
        ]);
        let expected = Usage {
            v: 1,
            oom_kills: Some(2),
            pids_refused: Some(7),
            memory_peak: Some(1 << 20),
            directories: BTreeMap::new(),
        };
        assert_eq!(Usage::of(v2.path()), expected);
        assert_eq!(Usage::of(v1.path()), expected);
    }

    #[test]
    fn what_the_kernel_does_not_tell_is_absent() {
        let odd = cgroup(&[("memory.events", "oom_kill many\n"), ("memory.peak", "")]);
        let expected = Usage {
            v: 1,
            ..Usage::default()
        };
        assert_eq!(Usage::of(odd.path()), expected);
    }

    #[test]
    fn a_directory_is_measured_on_disk_and_links_are_not_followed() {
        let outside = cgroup(&[("big", &"x".repeat(1 << 20))]);
        let dir = cgroup(&[("a/b", &"x".repeat(100_000))]);
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        let bytes = below(dir.path());
        assert!((100_000..500_000).contains(&bytes), "{bytes}");
        assert_eq!(below(Path::new("/nonexistent")), 0);
    }
}
