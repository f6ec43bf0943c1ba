//! An archive of an agent's files becomes files below a directory of ours. Nothing of it is obeyed
//! but names and bytes: no owner, no link, no device, no mode but the executable bit.

use fs_err::os::unix::fs::OpenOptionsExt;
use std::io::Read;
use std::path::{Component, Path};

use super::listing::LeftOut;
use crate::error::Result;

/// Unpacks regular files below `directory`, which nobody else writes in. `wanted` says which paths
/// belong there. Returns how many there are now, and what was not made.
pub(super) fn unpack(
    archive: impl Read,
    directory: &Path,
    wanted: &dyn Fn(&Path) -> bool,
) -> Result<(usize, Vec<LeftOut>)> {
    let (mut count, mut left_out) = (0, Vec::new());
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let what = path.display().to_string();
        if entry.header().entry_type() != tar::EntryType::Regular {
            left_out.push(LeftOut::new(what, "it is no longer a file"));
            continue;
        }
        let plain = path.components().all(|c| matches!(c, Component::Normal(_)));
        if !plain || path.as_os_str().is_empty() {
            left_out.push(LeftOut::new(what, "its path leads elsewhere"));
            continue;
        }
        if !wanted(&path) {
            continue;
        }
        let executable = entry.header().mode().unwrap_or(0) & 0o111 != 0;
        let target = directory.join(&path);
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true);
        options.mode(if executable { 0o755 } else { 0o644 });
        let mut file = options.open(&target)?;
        std::io::copy(&mut entry, &mut file)?;
        count += 1;
    }
    Ok((count, left_out))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// An archive as nobody's tar would make it: the name goes into the header as it is.
    fn archive(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            let field = &mut header.as_gnu_mut().unwrap().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o4755);
            header.set_uid(0);
            if *kind == Symlink {
                header.set_link_name("/etc").unwrap();
            }
            header.set_cksum();
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn unpacked(entries: &[(&str, tar::EntryType, &[u8])]) -> (tempfile::TempDir, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("in");
        fs_err::create_dir(&inner).unwrap();
        let archive = archive(entries);
        let (_, left) = unpack(archive.as_slice(), &inner, &|_| true).unwrap();
        (directory, left.into_iter().map(|l| l.what).collect())
    }

    use tar::EntryType::{Char, Link, Regular, Symlink};

    #[test]
    fn a_file_has_its_bytes_and_no_more_than_the_executable_bit() {
        let (directory, left) = unpacked(&[("a/b.sh", Regular, b"hello")]);
        assert_eq!(left, [] as [&str; 0]);
        let path = directory.path().join("in/a/b.sh");
        assert_eq!(fs_err::read(&path).unwrap(), b"hello");
        let mode = fs_err::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777 & !0o022, 0o755);
    }

    #[test]
    fn nothing_is_made_outside_and_nothing_but_files() {
        let hostile: &[(&str, tar::EntryType, &[u8])] = &[
            ("../out", Regular, b"x"),
            ("/tmp/agentnet-absolute", Regular, b"x"),
            ("a/../../out", Regular, b"x"),
            ("link", Symlink, b""),
            ("hard", Link, b""),
            ("device", Char, b""),
        ];
        let (directory, left) = unpacked(hostile);
        assert_eq!(left.len(), hostile.len(), "{left:?}");
        assert!(!directory.path().join("out").exists());
        assert!(!Path::new("/tmp/agentnet-absolute").exists());
        let inside = fs_err::read_dir(directory.path().join("in")).unwrap();
        assert_eq!(inside.count(), 0);
    }

    #[test]
    fn one_name_twice_is_an_error_and_the_first_stays() {
        let directory = tempfile::tempdir().unwrap();
        let archive = archive(&[("a", Regular, b"1"), ("a", Regular, b"2")]);
        assert!(unpack(archive.as_slice(), directory.path(), &|_| true).is_err());
        assert_eq!(fs_err::read(directory.path().join("a")).unwrap(), b"1");
    }
}
