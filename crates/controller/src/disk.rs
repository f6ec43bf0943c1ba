//! What a task writes to the host's disk, and who stops it where the engine cannot bound it: `agentnet run` looks as long
//! as its command runs, and [`watcher`] after all tasks of `agentnet up`.
//!
//! Counted is everything of the host's that the agent writes (what its files, its git directory and the login that it shares
//! grew by, and its spool), the writable layers of agent and services, and the services' volumes. Files that may not be read
//! do not count, so there is a second bound that nobody gets around: the disk that holds the task's files keeps [`RESERVE`].

mod ledger;
pub mod watcher;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use jiff::Timestamp;

pub use self::ledger::Ledger;
use crate::ceiling::{binary, written};
use crate::engine::Engine;
use crate::error::Error;
use crate::labels::Role;
use crate::paths::TaskDir;
use crate::record::Record;
use crate::workspace::Workspace;

/// What stays free on the disk of the task's files, where it was free when the command began.
pub const RESERVE: u64 = 1 << 30;
/// Least time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// A look takes a twentieth of the time at most.
const SHARE: u32 = 20;
/// Entries of the tree that are looked at.
const MOST_ENTRIES: usize = 2_000_000;
/// Blocks of `stat(2)`.
const BLOCK: u64 = 512;

/// Waits until the task has written more than it may, and says so. A task without a ceiling is never stopped for its
/// own sake. What is seen on the way is in the task's ledger.
pub async fn exceeded<E: Engine>(engine: &E, record: &Record, dir: &TaskDir) -> Error {
    loop {
        let begun = Instant::now();
        let ledger = look(engine, record, dir).await;
        if let Some(why) = &ledger.stopped {
            ledger.write(dir).ok();
            return Error::Failed(format!("task {} was stopped: {why}", record.task));
        }
        tokio::time::sleep(INTERVAL.max(begun.elapsed() * SHARE)).await;
    }
}

/// Keeps where the task's files begin. Before its command does: what that writes at once is to count.
pub async fn begin<E: Engine>(engine: &E, record: &Record, dir: &TaskDir) {
    let ledger = Ledger {
        v: 1,
        since: record.since,
        before: before(engine, record).await,
        free_before: free(record.workspace.files()),
        at: Timestamp::now(),
        written: 0,
        ceiling: record.disk,
        stopped: None,
    };
    // The first look begins it, where this cannot.
    ledger.write(dir).ok();
}

/// Looks once, and keeps what was seen; `stopped` says that it is too much. The first look at a task says where it began.
async fn look<E: Engine>(engine: &E, record: &Record, dir: &TaskDir) -> Ledger {
    let (tree, alerts, rest) = futures_util::join!(
        before(engine, record),
        below(dir.spool()),
        containers(engine, record)
    );
    let free = free(record.workspace.files());
    let earlier = Ledger::read(dir).filter(|ledger| ledger.since == record.since);
    let (before, free_before) = earlier.map_or((tree, free), |l| (l.before, l.free_before));
    let sum = tree.saturating_sub(before).saturating_add(rest);
    let written = sum.saturating_add(alerts);
    let ledger = Ledger {
        v: 1,
        since: record.since,
        before,
        free_before,
        at: Timestamp::now(),
        written,
        ceiling: record.disk,
        stopped: judge(written, record.disk, free_before, free),
    };
    // That it was stopped is written when it is, and stays: it may have been for another reason while this look went on. A
    // task that was taken down meanwhile has no place for it, and a full disk none either.
    let earlier = Ledger::read(dir).filter(|ledger| ledger.since == record.since);
    if ledger.stopped.is_none() && earlier.is_none_or(|earlier| earlier.stopped.is_none()) {
        ledger.write(dir).ok();
    }
    ledger
}

fn judge(
    written: u64,
    most: Option<u64>,
    free_before: Option<u64>,
    free: Option<u64>,
) -> Option<String> {
    if let Some(most) = most
        && written > most
    {
        return Some(format!(
            "it wrote {} to the disk, and its ceiling is {}; disk = in [agent] of agentnet.toml raises it",
            binary(written),
            binary(most)
        ));
    }
    match (free_before, free) {
        (Some(before), Some(now)) if before > RESERVE && now < RESERVE => Some(format!(
            "the disk with its files has only {} left, of {} when it began",
            binary(now),
            binary(before)
        )),
        _ => None,
    }
}

/// The task's files, in their directory or in volumes.
async fn tree<E: Engine>(engine: &E, record: &Record) -> u64 {
    let agent = record.places.iter().find(|place| place.role == Role::Agent);
    match agent {
        Some(agent) if !agent.volumes.is_empty() => {
            written(engine, &agent.container, &agent.volumes).await
        }
        Some(_) | None => below(record.workspace.files().to_owned()).await,
    }
}

/// Layers, and the volumes of services.
async fn containers<E: Engine>(engine: &E, record: &Record) -> u64 {
    let places = record.places.iter();
    let places = places.filter(|place| matches!(place.role, Role::Agent | Role::Service));
    let all = join_all(places.map(|place| async move {
        let layer = engine.written(&place.container).await.unwrap_or(0);
        if place.volumes.is_empty() || place.role == Role::Agent {
            return layer;
        }
        layer.saturating_add(written(engine, &place.container, &place.volumes).await)
    }))
    .await;
    all.into_iter().fold(0, u64::saturating_add)
}

/// What was there when the task began, and is its to write: its files, its git directory and a login.
async fn before<E: Engine>(engine: &E, record: &Record) -> u64 {
    let git = match &record.workspace {
        Workspace::Worktree { git, .. } => Some(&git.directory),
        Workspace::Directory { .. } => None,
    };
    let all = [git, record.login.as_ref()].into_iter().flatten();
    let all = all.map(|directory| below(directory.clone()));
    let (files, more) = futures_util::join!(tree(engine, record), join_all(all));
    more.into_iter().fold(files, u64::saturating_add)
}

/// Bytes on disk, in a thread of its own.
async fn below(root: std::path::PathBuf) -> u64 {
    let walked = tokio::task::spawn_blocking(move || walk(&root, MOST_ENTRIES)).await;
    walked.unwrap_or(0)
}

/// Nothing is read but metadata, and no link is followed: an agent wrote this.
fn walk(root: &Path, most: usize) -> u64 {
    let mut waiting = vec![root.to_owned()];
    let (mut bytes, mut left) = (0_u64, most);
    while let Some(path) = waiting.pop() {
        let Ok(meta) = fs_err::symlink_metadata(&path) else {
            continue;
        };
        bytes = bytes.saturating_add(meta.blocks().saturating_mul(BLOCK));
        if meta.is_dir() {
            let below = fs_err::read_dir(&path).into_iter().flatten().flatten();
            // Counted here: one directory may hold more names than memory does.
            for entry in below.take(left) {
                left -= 1;
                waiting.push(entry.path());
            }
        }
    }
    bytes
}

/// Bytes that a user may still write on the disk of a path.
pub(crate) fn free(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn too_much_is_said_with_the_key_and_a_full_disk_without() {
        let why = judge(21 * GIB, Some(20 * GIB), None, None).unwrap();
        assert_eq!(
            why,
            "it wrote 21 GiB to the disk, and its ceiling is 20 GiB; disk = in [agent] of agentnet.toml raises it"
        );
        let why = judge(0, Some(20 * GIB), Some(50 * GIB), Some(GIB / 2)).unwrap();
        assert_eq!(
            why,
            "the disk with its files has only 512 MiB left, of 50 GiB when it began"
        );
    }

    #[test]
    fn a_task_within_its_bounds_and_a_disk_that_was_full_before_stop_nobody() {
        assert_eq!(
            judge(20 * GIB, Some(20 * GIB), Some(50 * GIB), Some(2 * GIB)),
            None
        );
        assert_eq!(judge(99 * GIB, None, None, None), None);
        assert_eq!(judge(0, Some(GIB), Some(GIB / 2), Some(0)), None);
    }

    #[test]
    fn a_tree_is_measured_on_disk_without_following_links() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        fs_err::write(outside.path().join("big"), vec![1; 1 << 20]).unwrap();
        fs_err::create_dir(dir.path().join("a")).unwrap();
        fs_err::write(dir.path().join("a/b"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        // A sparse file has no blocks.
        fs_err::File::create(dir.path().join("hole"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        let bytes = walk(dir.path(), MOST_ENTRIES);
        assert!((100_000..500_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn of_a_directory_with_very_many_names_no_more_are_looked_at_than_may_be() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..50 {
            fs_err::write(dir.path().join(number.to_string()), [1; 4096]).unwrap();
        }
        let all = walk(dir.path(), 50);
        let some = walk(dir.path(), 10);
        assert_eq!(all - walk(dir.path(), 0), 5 * (some - walk(dir.path(), 0)));
    }
}
