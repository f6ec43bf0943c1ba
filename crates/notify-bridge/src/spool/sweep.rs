//! One pass over a spool directory, in bounded steps: what stands there is sorted by its name alone,
//! and what cannot be an alert is removed (THREATS W124, W130, W131).

use std::ffi::{CStr, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, RawDir, SeekFrom, seek, statat, unlinkat};
use rustix::io::Errno;
use rustix::path::Arg;

use crate::name::AlertName;

/// Most names that one step looks at.
const STEP: usize = 1024;

/// Files that are still being written, in one directory. A writer has one.
const MOST_TEMPORARY: usize = 32;

/// A file that is still being written after so many seconds is nobody's any more.
const OLD: i64 = 60;

/// What one step found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Names of alerts, in order: writers begin them with the time.
    pub(crate) alerts: Vec<AlertName>,
    /// How many names were no alert's and were removed.
    pub(crate) foreign: u64,
    /// How many could not be removed: directories that are not empty, mount points.
    pub(crate) stuck: u64,
    /// The pass is over.
    pub(crate) ended: bool,
}

/// A pass over one directory, which is held open.
#[derive(Debug)]
pub(crate) struct Sweep {
    directory: OwnedFd,
    temporary: usize,
    now: i64,
}

impl Sweep {
    /// Begins at the start of the directory; `now` is in Unix seconds.
    pub(crate) fn new(directory: OwnedFd, now: i64) -> Self {
        Self {
            directory,
            temporary: 0,
            now,
        }
    }

    /// The directory, for reading and removing what was found.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Looks at the next names, about a thousand of them, where the last step stopped.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn step(&mut self) -> io::Result<Found> {
        let mut found = Found::default();
        let mut looked = 0;
        let mut buffer = [MaybeUninit::<u8>::uninit(); 8192];
        let directory = self.directory.as_fd();
        let mut entries = RawDir::new(directory, &mut buffer);
        // The kernel has moved on past a whole buffer: only between two is a place to stop.
        while looked < STEP || !entries.is_buffer_empty() {
            let Some(entry) = entries.next() else {
                found.ended = true;
                break;
            };
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            looked += 1;
            match AlertName::parse(OsStr::from_bytes(name.to_bytes())) {
                Ok(name) => found.alerts.push(name),
                Err(_) if is_being_written(directory, name, self.now, &mut self.temporary) => {}
                Err(_) => match remove(directory, name) {
                    Ok(()) => found.foreign += 1,
                    Err(_) => found.stuck += 1,
                },
            }
        }
        if found.ended {
            seek(&self.directory, SeekFrom::Start(0))?;
        }
        found.alerts.sort();
        Ok(found)
    }
}

/// `NAME.tmp` or `NAME.json.tmp`, young, and not one of many.
fn is_being_written(
    directory: BorrowedFd<'_>,
    name: &CStr,
    now: i64,
    temporary: &mut usize,
) -> bool {
    let Some(stem) = name.to_bytes().strip_suffix(b".tmp") else {
        return false;
    };
    let stem = stem.strip_suffix(b".json").unwrap_or(stem);
    let as_alert = [stem, b".json"].concat();
    if AlertName::parse(OsStr::from_bytes(&as_alert)).is_err() {
        return false;
    }
    *temporary += 1;
    // The change time: no program can set it back or ahead.
    *temporary <= MOST_TEMPORARY
        && statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| now.saturating_sub(stat.st_ctime) < OLD)
}

/// Removes one name from a held directory: a file, a link itself, an empty directory. Never what a
/// link points to, and nothing inside a directory. Gone already is done.
pub(crate) fn remove(directory: BorrowedFd<'_>, name: impl Arg + Copy) -> io::Result<()> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => match unlinkat(directory, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        },
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
