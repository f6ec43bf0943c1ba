//! Whether an engine can bound a container's writable layer (`--storage-opt size=`).

use std::path::Path;

use bollard::models;

/// `here`: the engine's host is this machine, so that its mounts can be read.
pub(super) fn can_bound(info: &models::SystemInfo, here: bool) -> bool {
    match info.driver.as_deref() {
        Some("btrfs" | "zfs") => true,
        // Only where project quotas are on, which the engine does not tell.
        Some("overlay2") if here && is_on_xfs(info) => {
            let root = info.docker_root_dir.as_deref().unwrap_or("/var/lib/docker");
            let mounts = fs_err::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            has_project_quota(&mounts, Path::new(root))
        }
        Some(_) | None => false,
    }
}

fn is_on_xfs(info: &models::SystemInfo) -> bool {
    let pairs = info.driver_status.iter().flatten();
    pairs
        .map(Vec::as_slice)
        .any(|pair| matches!(pair, [name, value] if name == "Backing Filesystem" && value == "xfs"))
}

/// proc_pid_mountinfo(5): the fifth field is the mount point, the last the options of the file system.
fn has_project_quota(mounts: &str, root: &Path) -> bool {
    let covering = mounts.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?;
        let options = line.rsplit(' ').next()?;
        root.starts_with(point).then_some((point.len(), options))
    });
    // Of mounts on one place the last is on top.
    let on_top = covering.max_by_key(|(length, _)| *length);
    on_top.is_some_and(|(_, options)| {
        options
            .split(',')
            .any(|o| matches!(o, "prjquota" | "pquota"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw
31 22 254:2 / /var/lib/docker rw,relatime - xfs /dev/vdb1 rw,attr2,prjquota
32 22 254:3 / /srv rw,relatime - xfs /dev/vdc1 rw,attr2,noquota";

    #[test]
    fn the_mount_that_holds_the_root_decides() {
        assert!(has_project_quota(MOUNTS, Path::new("/var/lib/docker")));
        assert!(has_project_quota(MOUNTS, Path::new("/var/lib/docker/x")));
        assert!(!has_project_quota(MOUNTS, Path::new("/srv/docker")));
        assert!(!has_project_quota(MOUNTS, Path::new("/var/lib")));
        assert!(!has_project_quota("", Path::new("/")));
    }

    #[test]
    fn overlay_on_something_else_than_xfs_cannot() {
        let info = |driver: &str, backing: &str| models::SystemInfo {
            driver: Some(driver.into()),
            driver_status: Some(vec![vec!["Backing Filesystem".into(), backing.into()]]),
            docker_root_dir: Some("/nonexistent".into()),
            ..Default::default()
        };
        assert!(!can_bound(&info("overlay2", "extfs"), true));
        assert!(!can_bound(&info("overlayfs", "xfs"), true));
        assert!(!can_bound(&info("overlay2", "xfs"), false));
        assert!(can_bound(&info("zfs", ""), false));
    }
}
