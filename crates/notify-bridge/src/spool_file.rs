//! Reading one file that the adversary wrote: opened without following a link or waiting for a
//! reader, looked at through the descriptor, read to its bound (THREATS W120 to W123).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2};
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertError, LONGEST};
use crate::name::{AlertName, NameError};

/// No way out of a directory that is held: not above it, over no link, into no other file system.
pub(crate) const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// NOFOLLOW: no link to somebody else's file. NONBLOCK: no pipe that nobody writes to.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

/// Why a file of the spool was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Its name does not follow the rule.
    #[error(transparent)]
    Name(#[from] NameError),
    /// It could not be opened or read; a symbolic link ends here, too.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// A directory, pipe, socket or device.
    #[error("is not a regular file")]
    NotAFile,
    /// It has another name somewhere else.
    #[error("has {0} names; an alert has exactly one")]
    Linked(u64),
    /// Its content is no alert.
    #[error(transparent)]
    Alert(#[from] AlertError),
}

impl SpoolError {
    /// The word in metrics and status.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Name(_) => "bad_name",
            Self::Read(_) => "unreadable",
            Self::NotAFile => "not_a_file",
            Self::Linked(_) => "linked",
            Self::Alert(error) => error.word(),
        }
    }
}

/// Which file it was: what tells it from a later one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct FileMark {
    pub(crate) name: String,
    inode: u64,
    /// Seconds and nanoseconds of its last change, which an agent can move on but not back.
    changed: (i64, i64),
}

/// Reads and checks one alert file by its path, for a person who asks.
///
/// # Errors
/// [`SpoolError`], in the order of its variants.
pub fn read(path: &Path) -> Result<(AlertName, Alert), SpoolError> {
    let name = AlertName::parse(path.file_name().unwrap_or_default())?;
    let file = File::from(open(path, READ, Mode::empty()).map_err(io::Error::from)?);
    let (_, bytes) = checked(file, &name)?;
    Ok((name, Alert::parse(&bytes)?))
}

/// The bytes of one file beneath a held directory, at most [`LONGEST`] of them.
///
/// # Errors
/// [`SpoolError`], but not yet for its content.
pub(crate) fn bytes_at(
    directory: BorrowedFd<'_>,
    name: &AlertName,
) -> Result<(FileMark, Vec<u8>), SpoolError> {
    let fd = openat2(directory, name.as_str(), READ, Mode::empty(), BENEATH);
    checked(File::from(fd.map_err(io::Error::from)?), name)
}

/// The mark of a file as it is now, without opening it.
pub(crate) fn mark_at(directory: BorrowedFd<'_>, name: &str) -> Option<FileMark> {
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let stat = rustix::fs::statat(directory, name, flags).ok()?;
    Some(FileMark {
        name: name.to_owned(),
        inode: stat.st_ino,
        changed: (
            stat.st_ctime,
            i64::try_from(stat.st_ctime_nsec).unwrap_or(0),
        ),
    })
}

/// Everything is asked of the open file: its name may be another file's by now.
fn checked(file: File, name: &AlertName) -> Result<(FileMark, Vec<u8>), SpoolError> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(SpoolError::NotAFile);
    }
    if metadata.nlink() != 1 {
        return Err(SpoolError::Linked(metadata.nlink()));
    }
    if metadata.len() > LONGEST as u64 {
        return Err(AlertError::TooLong.into());
    }
    // One byte more than allowed tells "full" from "too long", however the file grows meanwhile.
    let mut bytes = Vec::new();
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        return Err(AlertError::TooLong.into());
    }
    let mark = FileMark {
        name: name.to_string(),
        inode: metadata.ino(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    };
    Ok((mark, bytes))
}

/// Opens a directory by its path, for holding.
///
/// # Errors
/// When it is not there or no directory.
pub(crate) fn hold(path: &Path) -> io::Result<rustix::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

/// Opens a directory beneath a held one: every component is a real directory on the same file system.
///
/// # Errors
/// When it is not there, or a component is a link, a mount point or no directory.
pub(crate) fn hold_beneath(
    directory: BorrowedFd<'_>,
    below: &OsStr,
) -> io::Result<rustix::fd::OwnedFd> {
    let flags =
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(openat2(directory, below, flags, Mode::empty(), BENEATH)?)
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;
    use rustix::fs::{CWD, FileType, mknodat};
    use std::fs;
    use std::os::unix::fs::symlink;

    const GOOD: &str = r#"{"v":1,"kind":"test","text":"hello"}"#;

    #[test]
    fn a_plain_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("one.json");
        fs::write(&path, GOOD).unwrap();
        let (name, alert) = read(&path).unwrap();
        assert_eq!((name.as_str(), alert.kind), ("one.json", Kind::Test));
    }

    #[test]
    fn links_pipes_and_directories_are_refused_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret.json");
        fs::write(&secret, GOOD).unwrap();

        let link = dir.path().join("link.json");
        symlink(&secret, &link).unwrap();
        assert!(matches!(read(&link), Err(SpoolError::Read(_))));

        let hard = dir.path().join("hard.json");
        fs::hard_link(&secret, &hard).unwrap();
        assert!(matches!(read(&hard), Err(SpoolError::Linked(2))));

        let pipe = dir.path().join("pipe.json");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert!(matches!(read(&pipe), Err(SpoolError::NotAFile)));

        let directory = dir.path().join("dir.json");
        fs::create_dir(&directory).unwrap();
        assert!(matches!(read(&directory), Err(SpoolError::NotAFile)));
    }

    #[test]
    fn a_sparse_giant_costs_no_more_than_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("giant.json");
        File::create(&path).unwrap().set_len(10 << 30).unwrap();
        assert!(matches!(
            read(&path),
            Err(SpoolError::Alert(AlertError::TooLong))
        ));
    }

    #[test]
    fn the_name_is_judged_before_anything_is_opened() {
        assert!(matches!(
            read(Path::new("/nonexistent/A.json")),
            Err(SpoolError::Name(_))
        ));
        assert!(matches!(
            read(Path::new("/nonexistent/a.json")),
            Err(SpoolError::Read(_))
        ));
        assert!(matches!(read(Path::new("/")), Err(SpoolError::Name(_))));
    }
}
