//! `/etc/hosts`, read again when it changes.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

/// More than this is not a hosts file.
const MAX_BYTES: u64 = 1024 * 1024;

#[derive(Debug)]
pub(super) struct HostsFile {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    stamp: Option<(SystemTime, u64)>,
    entries: Vec<(String, IpAddr)>,
}

impl Default for HostsFile {
    fn default() -> Self {
        Self::at("/etc/hosts")
    }
}

impl HostsFile {
    pub(super) fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            read: Mutex::default(),
        }
    }

    /// The addresses the file gives for `name` (canonical: lower case, no final dot).
    pub(super) fn lookup(&self, name: &str) -> Vec<IpAddr> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = std::fs::metadata(&self.path)
            .ok()
            .filter(|meta| meta.len() <= MAX_BYTES)
            .and_then(|meta| Some((meta.modified().ok()?, meta.len())));
        if stamp != read.stamp {
            let text = match stamp {
                Some(_) => std::fs::read_to_string(&self.path).unwrap_or_default(),
                None => String::new(),
            };
            *read = Read {
                stamp,
                entries: parse(&text),
            };
        }
        let mut found: Vec<IpAddr> = Vec::new();
        for (listed, address) in &read.entries {
            if listed == name && !found.contains(address) && found.len() < super::MAX_ANSWERS {
                found.push(*address);
            }
        }
        found
    }
}

fn parse(text: &str) -> Vec<(String, IpAddr)> {
    let mut entries = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        for name in words {
            let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
            entries.push((name, address));
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_aliases_and_both_families_and_notices_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hosts");
        std::fs::write(
            &path,
            "10.1.2.3 Git.Corp.Example git # the forge\n::5 git\nbad line\n",
        )
        .unwrap();
        let hosts = HostsFile::at(&path);
        assert_eq!(
            hosts.lookup("git.corp.example"),
            ["10.1.2.3".parse::<IpAddr>().unwrap()]
        );
        assert_eq!(hosts.lookup("git").len(), 2);
        assert!(hosts.lookup("corp.example").is_empty());
        std::fs::write(&path, "10.1.2.4 git\n").unwrap();
        assert_eq!(hosts.lookup("git"), ["10.1.2.4".parse::<IpAddr>().unwrap()]);
        std::fs::remove_file(&path).unwrap();
        assert!(hosts.lookup("git").is_empty());
    }
}
