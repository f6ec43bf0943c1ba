//! One process at a time changes a task. A killed process's lock is free again: the kernel sees to it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::File;
use rustix::fs::{FlockOperation, flock};

use crate::error::{Error, Result};
use crate::paths::{StateDir, remove_if_there};
use crate::task::TaskId;

/// How long a change of another process is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked for: the kernel would tell, but only a thread that waits.
const INTERVAL: Duration = Duration::from_millis(50);

fn locked(id: &TaskId) -> Error {
    Error::Locked {
        task: id.to_string(),
    }
}

/// A held lock; dropping it frees it and removes the file.
#[derive(Debug)]
pub struct TaskLock {
    path: PathBuf,
    _file: File,
}

impl TaskLock {
    /// Takes a task's. Another process has a moment to end with it: most changes are short.
    pub async fn take(state: &StateDir, id: &TaskId) -> Result<TaskLock> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(lock) = TaskLock::try_take(&state.lock(id))? {
                return Ok(lock);
            }
            if tokio::time::Instant::now() >= end {
                return Err(locked(id));
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Takes the one that says that an `agentnet run` is there.
    pub fn take_run(state: &StateDir, id: &TaskId) -> Result<TaskLock> {
        TaskLock::try_take(&state.run_lock(id))?.ok_or_else(|| locked(id))
    }

    /// Takes it if it is free.
    pub fn try_take(path: &Path) -> Result<Option<TaskLock>> {
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        loop {
            let file = fs_err::OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
                Err(e) => return Err(std::io::Error::from(e).into()),
            }
            // Its last holder may have removed the file between our open and our lock: then we hold
            // a lock on nothing, and look again.
            let ours = file.metadata()?;
            match fs_err::metadata(path) {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                    return Ok(Some(TaskLock {
                        path: path.to_owned(),
                        _file: file,
                    }));
                }
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Drop for TaskLock {
    fn drop(&mut self) {
        // Removed while still held, so that nobody can hold the old file and miss the new one. A
        // file that stays does no harm.
        drop(remove_if_there(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_held_by_one_and_free_again_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("locks/shop.t1");
        let held = TaskLock::try_take(&path).unwrap().unwrap();
        assert!(TaskLock::try_take(&path).unwrap().is_none());
        drop(held);
        assert!(!path.exists());
        assert!(TaskLock::try_take(&path).unwrap().is_some());
    }
}
