//! Build contexts as tar archives in memory. The same files always give the same bytes, so that
//! their fingerprint names the image.

use std::hash::Hasher;
use std::path::Path;

use super::ignore::Ignore;
use crate::error::{Error, Result};

/// A project's build directory may have this many bytes; a bigger one is a mistake more often than
/// a wish.
const LARGEST: u64 = 256 << 20;

/// Twelve hexadecimal digits of a content. Only a cache key: the worst a collision or another hash
/// in the next Rust can do is an image that is stale or built again.
pub(super) fn fingerprint(content: &[u8]) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(content);
    let hash = format!("{:016x}", hasher.finish());
    hash.chars().take(12).collect()
}

/// An archive of files (name, mode, content), empty directories and links (name, target).
pub(super) fn tar(
    files: &[(&str, u32, &[u8])],
    directories: &[&str],
    links: &[(&str, &str)],
) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for name in directories {
        let mut header = header(0o755, 0);
        header.set_entry_type(tar::EntryType::Directory);
        archive.append_data(&mut header, name, std::io::empty())?;
    }
    for (name, target) in links {
        let mut header = header(0o777, 0);
        header.set_entry_type(tar::EntryType::Symlink);
        archive.append_link(&mut header, name, target)?;
    }
    for (name, mode, content) in files {
        let mut header = header(*mode, content.len() as u64);
        archive.append_data(&mut header, name, *content)?;
    }
    Ok(archive.into_inner()?)
}

fn header(mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// An archive of a directory with a Dockerfile, in order of names, without what its `.dockerignore`
/// leaves out. Links stay links.
pub(super) fn directory(root: &Path) -> Result<Vec<u8>> {
    use std::os::unix::fs::PermissionsExt;
    if !root.join("Dockerfile").is_file() {
        return Err(Error::Config(format!(
            "[agent] build: there is no Dockerfile in {}",
            root.display()
        )));
    }
    let ignore = Ignore::read(root)?;
    let mut archive = tar::Builder::new(Vec::new());
    let mut total = 0;
    let mut waiting = vec![root.to_owned()];
    while let Some(path) = waiting.pop() {
        let name = path.strip_prefix(root).unwrap_or(&path).to_owned();
        let meta = fs_err::symlink_metadata(&path)?;
        let excluded = ignore.excludes(&name);
        if excluded && !(meta.is_dir() && ignore.has_exceptions()) {
            continue;
        }
        let mut entry = header(meta.permissions().mode() & 0o777, 0);
        if meta.is_dir() {
            let mut below = Vec::new();
            for entry in fs_err::read_dir(&path)? {
                below.push(entry?.path());
            }
            below.sort_by(|a, b| b.cmp(a));
            waiting.extend(below);
            if !name.as_os_str().is_empty() && !excluded {
                entry.set_entry_type(tar::EntryType::Directory);
                archive.append_data(&mut entry, &name, std::io::empty())?;
            }
        } else if meta.is_symlink() {
            entry.set_entry_type(tar::EntryType::Symlink);
            archive.append_link(&mut entry, &name, fs_err::read_link(&path)?)?;
        } else if meta.is_file() {
            total += meta.len();
            if total > LARGEST {
                return Err(Error::Config(format!(
                    "[agent] build: {} holds more than {} MiB; keep only what the image needs there, or leave the rest out in \
                     .dockerignore",
                    root.display(),
                    LARGEST >> 20
                )));
            }
            let content = fs_err::read(&path)?;
            entry.set_size(content.len() as u64);
            archive.append_data(&mut entry, &name, content.as_slice())?;
        }
    }
    Ok(archive.into_inner()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_give_the_same_bytes_whenever_they_were_written() {
        let make = || {
            let dir = tempfile::tempdir().unwrap();
            fs_err::write(dir.path().join("Dockerfile"), "FROM scratch").unwrap();
            fs_err::create_dir(dir.path().join("sub")).unwrap();
            fs_err::write(dir.path().join("sub/a"), "1").unwrap();
            std::os::unix::fs::symlink("a", dir.path().join("sub/link")).unwrap();
            directory(dir.path()).unwrap()
        };
        assert_eq!(make(), make());
        let mut archive = tar::Archive::new(make().leak() as &[u8]);
        let names: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["Dockerfile", "sub", "sub/a", "sub/link"]);
    }

    #[test]
    fn what_dockerignore_names_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["Dockerfile", "a.txt", "skip/x", "skip/keep/y", "big/z"] {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, name).unwrap();
        }
        fs_err::write(
            dir.path().join(".dockerignore"),
            "big\nskip\n!skip/keep\n*.txt\n",
        )
        .unwrap();
        let bytes = directory(dir.path()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().display().to_string())
            .collect();
        assert_eq!(
            names,
            [".dockerignore", "Dockerfile", "skip/keep", "skip/keep/y"]
        );
    }

    #[test]
    fn a_directory_without_a_dockerfile_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            directory(dir.path())
                .unwrap_err()
                .to_string()
                .contains("no Dockerfile")
        );
    }

    #[test]
    fn content_decides_the_fingerprint() {
        assert_eq!(fingerprint(b"a"), fingerprint(b"a"));
        assert_ne!(fingerprint(b"a"), fingerprint(b"b"));
        assert_eq!(fingerprint(b"a").len(), 12);
    }
}
