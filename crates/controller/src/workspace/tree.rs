//! Walking a task's tree on the host without believing anything in it: no link is followed, nothing
//! is read but metadata.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

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
    // A path that is too long or may not be read is none that git made.
    Ok(newer(tree, made).unwrap_or(true))
}

/// Is anything here or below newer?
fn newer(tree: &Path, made: ChangeTime) -> Result<bool> {
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

/// Where a tree is taken apart.
fn grave(tree: &Path) -> PathBuf {
    tree.with_extension("gone")
}

/// Removes a tree; not found is done.
///
/// It leaves its place in one step: what a kill leaves behind cannot be taken for a tree that
/// somebody changed. There every directory is moved to the top before it is emptied, so that no path
/// is long and nothing recurses, however deep an agent has nested them.
pub(crate) fn remove(tree: &Path) -> Result<()> {
    let grave = grave(tree);
    fs_err::create_dir_all(&grave)?;
    let mut buried: Vec<PathBuf> = Vec::new();
    let mut names = 0_u64;
    // What an earlier removal, which was killed, had moved here.
    for entry in fs_err::read_dir(&grave)? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|n| n.parse().ok());
        names = names.max(number.unwrap_or(0) + 1);
        buried.push(entry.path());
    }
    if fs_err::symlink_metadata(tree).is_ok() {
        buried.push(bury(tree, &grave, &mut names)?);
    }
    while let Some(directory) = buried.pop() {
        for entry in fs_err::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                buried.push(bury(&entry.path(), &grave, &mut names)?);
            } else {
                fs_err::remove_file(entry.path())?;
            }
        }
        fs_err::remove_dir(&directory)?;
    }
    fs_err::remove_dir(&grave)?;
    Ok(())
}

/// Moves a directory into the grave under a name of its own; we may enter it from then on.
fn bury(directory: &Path, grave: &Path, names: &mut u64) -> Result<PathBuf> {
    let may_enter = std::fs::Permissions::from_mode(0o700);
    fs_err::set_permissions(directory, may_enter)?;
    let place = grave.join(names.to_string());
    *names += 1;
    fs_err::rename(directory, &place)?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of two files, a directory and a link, and its marker.
    fn fresh() -> (tempfile::TempDir, PathBuf, PathBuf) {
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
    fn a_tree_deeper_than_any_path_is_kept_and_can_be_removed() {
        use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
        let (_dir, tree, marker) = fresh();
        let mut here = openat(CWD, &tree, OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..5_000 {
            mkdirat(&here, "d", Mode::RWXU).unwrap();
            here = openat(&here, "d", OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        assert!(changed(&tree, &marker).unwrap());
        remove(&tree).unwrap();
        assert!(!tree.exists() && !grave(&tree).exists());
    }

    #[test]
    fn directories_that_their_owner_may_not_enter_are_removed() {
        let (_dir, tree, _) = fresh();
        for (name, mode) in [("sub", 0), ("locked", 0o555)] {
            fs_err::create_dir_all(tree.join(name).join("below")).unwrap();
            fs_err::write(tree.join(name).join("below/x"), "").unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            fs_err::set_permissions(tree.join(name), mode).unwrap();
        }
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }

    #[test]
    fn a_removal_that_was_killed_goes_on_and_is_not_a_change() {
        let (_dir, tree, marker) = fresh();
        fs_err::create_dir(grave(&tree)).unwrap();
        fs_err::rename(&tree, grave(&tree).join("0")).unwrap();
        fs_err::remove_file(grave(&tree).join("0/a")).unwrap();
        assert!(!changed(&tree, &marker).unwrap());
        remove(&tree).unwrap();
        assert!(!grave(&tree).exists());
    }

    #[test]
    fn links_out_of_a_tree_are_removed_and_not_followed() {
        let (dir, tree, _) = fresh();
        fs_err::create_dir(dir.path().join("mine")).unwrap();
        fs_err::write(dir.path().join("mine/x"), "").unwrap();
        std::os::unix::fs::symlink(dir.path().join("mine"), tree.join("out")).unwrap();
        remove(&tree).unwrap();
        assert!(dir.path().join("mine/x").exists());
    }

    #[test]
    fn removing_what_is_gone_is_done() {
        let (_dir, tree, _) = fresh();
        remove(&tree).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
    }
}
