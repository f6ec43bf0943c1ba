//! Walking a task's tree on the host without believing anything in it: no link is followed, nothing
//! is read but metadata.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::error::Result;

type ChangeTime = (i64, i64);

fn change_time(path: &Path) -> Result<ChangeTime> {
    let meta = fs_err::symlink_metadata(path)?;
    Ok((meta.ctime(), meta.ctime_nsec()))
}

/// Writes the marker: whatever changes later has a later change time.
pub(super) fn mark(marker: &Path) -> Result<()> {
    fs_err::write(marker, "")?;
    Ok(())
}

/// Was anything below `tree` created, written, renamed, removed or given other rights since the
/// marker? Removal and renaming show in the directory's own change time. Unsure means yes.
pub(super) fn changed(tree: &Path, marker: &Path) -> Result<bool> {
    if !tree.exists() {
        return Ok(false);
    }
    let Ok(made) = change_time(marker) else {
        // Never finished: git was still writing, and nobody else has been there. The marker is
        // written before any container can exist.
        return Ok(false);
    };
    let mut waiting = vec![tree.to_owned()];
    while let Some(path) = waiting.pop() {
        if change_time(&path)? > made {
            return Ok(true);
        }
        if fs_err::symlink_metadata(&path)?.is_dir() {
            for entry in fs_err::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(false)
}

/// Gives everything below a fresh tree to the container's user.
pub(super) fn give_away(tree: &Path, uid: u32, gid: u32) -> Result<()> {
    let mut waiting = vec![tree.to_owned()];
    while let Some(path) = waiting.pop() {
        std::os::unix::fs::lchown(&path, Some(uid), Some(gid)).map_err(|e| {
            std::io::Error::new(
                e.kind(),
                format!("cannot give {} away: {e}", path.display()),
            )
        })?;
        if fs_err::symlink_metadata(&path)?.is_dir() {
            for entry in fs_err::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// Removes a tree; not found is done.
pub(super) fn remove(tree: &Path) -> Result<()> {
    match fs_err::remove_dir_all(tree) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of two files, a directory and a link, and its marker.
    fn fresh() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let (tree, marker) = (dir.path().join("tree"), dir.path().join("tree.made"));
        fs_err::create_dir_all(tree.join("sub")).unwrap();
        fs_err::write(tree.join("a"), "1").unwrap();
        fs_err::write(tree.join("sub/b"), "2").unwrap();
        std::os::unix::fs::symlink("/nonexistent", tree.join("link")).unwrap();
        mark(&marker).unwrap();
        wait_for_the_clock(&marker);
        (dir, tree, marker)
    }

    /// Change times tick with the kernel's coarse clock: wait until it shows a later one.
    fn wait_for_the_clock(marker: &Path) {
        let made = change_time(marker).unwrap();
        let probe = marker.with_extension("probe");
        loop {
            fs_err::write(&probe, "").unwrap();
            if change_time(&probe).unwrap() > made {
                return;
            }
        }
    }

    #[test]
    fn an_untouched_tree_has_not_changed() {
        let (_dir, tree, marker) = fresh();
        assert!(!changed(&tree, &marker).unwrap());
    }

    #[test]
    fn every_kind_of_change_is_seen() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("written", |t| fs_err::write(t.join("sub/b"), "3").unwrap()),
            ("created", |t| fs_err::write(t.join("sub/new"), "").unwrap()),
            ("removed", |t| fs_err::remove_file(t.join("sub/b")).unwrap()),
            ("renamed", |t| {
                fs_err::rename(t.join("a"), t.join("z")).unwrap()
            }),
            ("relinked", |t| {
                fs_err::remove_file(t.join("link")).unwrap();
                std::os::unix::fs::symlink("/etc", t.join("link")).unwrap();
            }),
        ];
        for (what, change) in changes {
            let (_dir, tree, marker) = fresh();
            change(&tree);
            assert!(changed(&tree, &marker).unwrap(), "{what} was not seen");
        }
    }

    #[test]
    fn a_change_that_sets_the_old_modification_time_is_seen() {
        let (_dir, tree, marker) = fresh();
        let file = fs_err::OpenOptions::new()
            .write(true)
            .open(tree.join("a"))
            .unwrap();
        let old = file.metadata().unwrap().modified().unwrap();
        fs_err::write(tree.join("a"), "x").unwrap();
        file.file().set_modified(old).unwrap();
        assert!(changed(&tree, &marker).unwrap());
    }

    #[test]
    fn removing_what_is_gone_is_done() {
        let (_dir, tree, _) = fresh();
        remove(&tree).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }
}
