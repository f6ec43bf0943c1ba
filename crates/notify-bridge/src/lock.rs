//! One bridge per state directory: two would show everything twice.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// A bridge that was killed while it started a program leaves its lock to that program until the
/// program has begun: so long it is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Held for as long as it lives; the kernel lets go of it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock in the bridge's directory, or says whose it is.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn take(directory: &Path) -> io::Result<Result<Self, Option<u32>>> {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut file = open(directory)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    file.set_len(0)?;
                    // Only for messages: a full disk is no reason not to begin.
                    drop(writeln!(file, "{}", std::process::id()));
                    return Ok(Ok(Self { _file: file }));
                }
                Err(Errno::WOULDBLOCK) => {
                    let holder = pid(&mut file);
                    if holder.is_none_or(is_alive) || Instant::now() > end {
                        return Ok(Err(holder));
                    }
                }
                Err(e) => return Err(e.into()),
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// Whose it is, without taking it; `None` where no bridge runs.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn holder(directory: &Path) -> io::Result<Option<u32>> {
        let mut file = match OpenOptions::new().read(true).open(directory.join("lock")) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(Errno::WOULDBLOCK) => Ok(Some(pid(&mut file).unwrap_or(0))),
            Err(e) => Err(e.into()),
        }
    }
}

fn open(directory: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .mode(0o600)
        .open(directory.join("lock"))
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_none_or(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

fn pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_whose_it_is_and_may_have_it_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Lock::holder(dir.path()).unwrap(), None);
        let lock = Lock::take(dir.path()).unwrap().unwrap();
        let me = Some(std::process::id());
        assert_eq!(Lock::take(dir.path()).unwrap().unwrap_err(), me);
        assert_eq!(Lock::holder(dir.path()).unwrap(), me);
        drop(lock);
        assert_eq!(Lock::holder(dir.path()).unwrap(), None);
        assert!(Lock::take(dir.path()).unwrap().is_ok());
    }
}
