//! What a container changed in its own layer, from the engine's list and its archives.
//!
//! Archives are asked for of whole directories, so that hard links among them stay links, and only what the list
//! names is kept of them. Nothing that is mounted is ever asked for. Here an archive is blocks to copy or to leave:
//! no name of it is opened.

use std::collections::{BTreeSet, HashSet};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use fs_err::File;

use super::exclude::Excluded;
use crate::engine::Change;
use crate::error::{Error, Result};

/// More archives than this are asked for of no container.
const MOST_ROOTS: usize = 500;
/// Made for every container by its engine.
const ENGINES: [&str; 4] = ["/dev", "/proc", "/sys", "/.dockerenv"];
/// Bytes of a block.
const BLOCK: u64 = 512;

/// What is to be stored of a layer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Every path that was added or modified.
    pub(super) paths: HashSet<String>,
    /// What archives are asked for; nothing is mounted at or below them.
    pub(super) roots: Vec<String>,
    /// What the image has and the container has not, the topmost of it.
    pub(super) removed: Vec<String>,
}

impl Wanted {
    /// From the engine's list and the places where something is mounted.
    pub(super) fn of(
        changes: Vec<(String, Change)>,
        mounts: &[String],
        excluded: &Excluded,
    ) -> Result<Wanted> {
        let mut wanted = Wanted::default();
        let (mut roots, mut removed) = (BTreeSet::new(), BTreeSet::new());
        for (path, change) in changes {
            let plain = path.starts_with('/') && !path.contains("/../") && !path.ends_with("/..");
            if !plain || ENGINES.iter().any(|own| is_below(&path, own)) || excluded.covers(&path) {
                continue;
            }
            if change == Change::Deleted {
                removed.insert(path);
                continue;
            }
            // A place for a mount, or a directory on the way to one: the engine made it or the image has it.
            let mounted = |mount: &String| is_below(&path, mount) || is_below(mount, &path);
            if mounts.iter().any(mounted) {
                continue;
            }
            roots.insert(root(&path, mounts).to_owned());
            wanted.paths.insert(path);
        }
        if roots.len() > MOST_ROOTS {
            return Err(Error::Failed(format!(
                "the agent's container changed {} directories that hold mounts: at most {MOST_ROOTS} are stored; \
                 --exclude leaves some out",
                roots.len()
            )));
        }
        wanted.roots = roots.into_iter().collect();
        let topmost = |path: &String| !above(path).any(|parent| removed.contains(parent));
        wanted.removed = removed
            .iter()
            .filter(|path| topmost(path))
            .cloned()
            .collect();
        Ok(wanted)
    }
}

/// The topmost part of a path that has no mount at or below it.
fn root<'p>(path: &'p str, mounts: &[String]) -> &'p str {
    let ends = path.char_indices().skip(1);
    let ends = ends.filter(|(_, c)| *c == '/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        let part = path.get(..end).unwrap_or(path);
        if !mounts.iter().any(|mount| is_below(mount, part)) {
            return part;
        }
    }
    path
}

/// At a place or below it.
fn is_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(path.rsplit_once('/'), |(parent, _)| parent.rsplit_once('/'))
        .map(|(parent, _)| parent)
        .filter(|parent| !parent.is_empty())
}

/// The directory that a root's archive is unpacked in.
pub(super) fn parent(root: &str) -> &str {
    match root.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

/// Copies what is wanted of a root's archive; the entries that were. Devices are left: no agent can make one, and
/// nobody has to put one back.
pub(super) fn filter(from: &Path, to: &Path, root: &str, paths: &HashSet<String>) -> Result<u64> {
    let unread = |e: std::io::Error| {
        Error::Failed(format!(
            "the engine's archive of {root} cannot be read: {e}"
        ))
    };
    let mut source = File::open(from)?;
    let mut target = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(to)?;
    let base = parent(root).trim_end_matches('/');
    let (mut kept, mut before) = (0, 0);
    let mut archive = tar::Archive::new(File::open(from)?);
    for entry in archive.entries_with_seek().map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let kind = entry.header().entry_type();
        // Not `entry.size()`: that of a link is told and not there.
        let data = if kind.is_hard_link() || kind.is_symlink() {
            0
        } else {
            entry.size()
        };
        let end = entry.raw_file_position() + data.div_ceil(BLOCK) * BLOCK;
        let bytes = entry.path_bytes();
        let name = String::from_utf8_lossy(&bytes);
        let path = format!("{base}/{}", name.trim_end_matches('/'));
        let plain = kind.is_file()
            || kind.is_dir()
            || kind.is_symlink()
            || kind.is_hard_link()
            || kind == tar::EntryType::Fifo;
        if plain && paths.contains(&path) {
            // Its names and attributes stand in blocks before its own.
            source.seek(SeekFrom::Start(before))?;
            std::io::copy(&mut (&mut source).take(end - before), &mut target)?;
            kept += 1;
        }
        before = end;
    }
    target.write_all(&[0; 2 * BLOCK as usize])?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(changes: &[(&str, Change)], mounts: &[&str], exclude: &[&str]) -> Wanted {
        let changes = changes
            .iter()
            .map(|(path, change)| ((*path).to_owned(), *change));
        let mounts: Vec<_> = mounts.iter().map(|m| (*m).to_owned()).collect();
        let exclude = Excluded::new(exclude.iter().map(|g| (*g).to_owned()).collect()).unwrap();
        Wanted::of(changes.collect(), &mounts, &exclude).unwrap()
    }

    use Change::{Added, Deleted, Modified};

    #[test]
    fn nothing_that_is_mounted_is_asked_for_and_the_rest_in_as_few_archives_as_can_be() {
        let changes = [
            ("/workspace", Added),
            ("/agentnet", Added),
            ("/agentnet/bin", Added),
            ("/tmp", Modified),
            ("/tmp/a", Added),
            ("/home", Modified),
            ("/home/agent", Modified),
            ("/home/agent/.cache", Added),
            ("/home/agent/.cache/x", Added),
            ("/home/agent/login", Added),
            ("/etc/ssh", Modified),
            ("/etc/ssh/own.conf", Added),
            ("/dev", Modified),
            ("/.dockerenv", Added),
        ];
        let mounts = [
            "/workspace",
            "/agentnet/bin",
            "/home/agent/login",
            "/etc/ssh/own.conf",
        ];
        let found = wanted(&changes, &mounts, &[]);
        assert_eq!(found.roots, ["/home/agent/.cache", "/tmp"]);
        let mut paths: Vec<_> = found.paths.iter().map(String::as_str).collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "/home/agent/.cache",
                "/home/agent/.cache/x",
                "/tmp",
                "/tmp/a"
            ]
        );
    }

    #[test]
    fn what_is_gone_is_named_once_and_what_is_left_out_not_at_all() {
        let changes = [
            ("/usr/share/doc", Deleted),
            ("/usr/share/doc/a", Deleted),
            ("/etc/motd", Deleted),
            ("/tmp/big", Added),
            ("/tmp/big/x", Added),
            ("/tmp/../etc", Added),
        ];
        let found = wanted(&changes, &[], &["/tmp/big"]);
        assert_eq!(found.removed, ["/etc/motd", "/usr/share/doc"]);
        assert_eq!((found.roots.len(), found.paths.len()), (0, 0));
    }

    #[test]
    fn only_wanted_entries_are_copied_with_the_blocks_that_name_them() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        let mut builder = tar::Builder::new(File::create(&from).unwrap());
        let long = format!("tmp/{}", "n".repeat(200));
        let mut add = |name: &str, kind: tar::EntryType, text: &[u8], link: &str| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o4755);
            header.set_uid(70);
            header.set_size(text.len() as u64);
            if link.is_empty() {
                builder.append_data(&mut header, name, text).unwrap();
            } else {
                builder.append_link(&mut header, name, link).unwrap();
            }
        };
        use tar::EntryType::{Char, Directory, Link, Regular};
        add("tmp/", Directory, b"", "");
        add("tmp/old", Regular, b"of the image", "");
        add(&long, Regular, &[7; 1500], "");
        add("tmp/hard", Link, b"", &long);
        add("tmp/device", Char, b"", "");
        add("tmp/last", Regular, b"last", "");
        builder.into_inner().unwrap();
        let paths = [
            format!("/{long}"),
            "/tmp/hard".into(),
            "/tmp/device".into(),
            "/tmp/last".into(),
        ];
        let kept = filter(&from, &to, "/tmp", &paths.into_iter().collect()).unwrap();
        assert_eq!(kept, 3);
        let mut archive = tar::Archive::new(File::open(&to).unwrap());
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = Vec::new();
            entry.read_to_end(&mut text).unwrap();
            let header = entry.header();
            let (mode, uid) = (header.mode().unwrap(), header.uid().unwrap());
            let link = entry.link_name().unwrap().map(|l| l.display().to_string());
            (
                entry.path().unwrap().display().to_string(),
                mode,
                uid,
                text.len(),
                link,
            )
        });
        let entries: Vec<_> = entries.collect();
        let wanted = [
            (long.clone(), 0o4755, 70, 1500, None),
            ("tmp/hard".to_owned(), 0o4755, 70, 0, Some(long)),
            ("tmp/last".to_owned(), 0o4755, 70, 4, None),
        ];
        assert_eq!(entries, wanted);
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs_err::write(&from, vec![b'x'; 4096]).unwrap();
        let error = filter(&from, &dir.path().join("to"), "/tmp", &HashSet::new()).unwrap_err();
        assert!(
            error.to_string().contains("archive of /tmp cannot be read"),
            "{error}"
        );
    }
}
