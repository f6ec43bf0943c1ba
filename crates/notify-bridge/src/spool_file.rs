//! Reading one file that the adversary wrote: moved out of its reach, opened without following a
//! link or waiting for a reader, looked at through the descriptor, read to its bound (THREATS W120 to
//! W123).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, open, openat2, renameat, statat,
};
use serde::{Deserialize, Serialize};

use crate::alert::{Alert, AlertError, LONGEST};
use crate::name::{AlertName, NameError};
use crate::spool::remove;

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

/// Which file it was, by its place and number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct FileMark {
    pub(crate) name: String,
    inode: u64,
}

/// Reads and checks one alert file by its path, for a person who asks.
///
/// # Errors
/// [`SpoolError`], in the order of its variants.
pub fn read(path: &Path) -> Result<(AlertName, Alert), SpoolError> {
    let name = AlertName::parse(path.file_name().unwrap_or_default())?;
    let file = File::from(open(path, READ, Mode::empty()).map_err(io::Error::from)?);
    Ok((name, Alert::parse(&checked(file)?)?))
}

/// Takes one alert out of a spool, as the bridge does: moved into `taken`, where its writer cannot
/// reach, checked and read there, and removed.
///
/// The move is what makes the checks true. Asked where it stood, a file may change between any two
/// questions: a hard link to somebody else's file passes "has one name" when the writer removes the
/// link after it was opened. Where nobody else can add or remove a name, one name is one name, and
/// neither a link nor a pipe can take the file's place.
///
/// # Errors
/// [`SpoolError`]; the file is gone then, too, unless it could not be moved.
pub fn take(
    spool: BorrowedFd<'_>,
    name: &AlertName,
    taken: BorrowedFd<'_>,
) -> Result<Alert, SpoolError> {
    claim(spool, name, taken, name.as_str())?;
    let read = claimed(taken, name.as_str());
    remove(taken, name.as_str())?;
    let (_, bytes) = read?;
    Ok(Alert::parse(&bytes)?)
}

/// Moves one name out of a spool. A directory is left where it is.
///
/// # Errors
/// [`SpoolError`]: nothing was moved.
pub(crate) fn claim(
    spool: BorrowedFd<'_>,
    name: &AlertName,
    taken: BorrowedFd<'_>,
    under: &str,
) -> Result<(), SpoolError> {
    let name = name.as_str();
    let is_directory = |at: BorrowedFd<'_>, name: &str| {
        let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
        Ok::<_, io::Error>(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
    };
    if is_directory(spool, name)? {
        return Err(SpoolError::NotAFile);
    }
    // One bridge holds the lock, so nobody makes this name in between.
    if statat(taken, under, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    renameat(spool, name, taken, under).map_err(io::Error::from)?;
    if is_directory(taken, under)? {
        // Swapped in meanwhile. It goes back: what is in it is not for us to keep or to remove.
        renameat(taken, under, spool, name)
            .or_else(|_| renameat(taken, under, spool, format!("{name}.back")))
            .map_err(io::Error::from)?;
        return Err(SpoolError::NotAFile);
    }
    Ok(())
}

/// The bytes of a file that was moved, at most [`LONGEST`] of them.
///
/// # Errors
/// [`SpoolError`], but not yet for its content.
pub(crate) fn claimed(
    taken: BorrowedFd<'_>,
    name: &str,
) -> Result<(FileMark, Vec<u8>), SpoolError> {
    let stat = statat(taken, name, AtFlags::SYMLINK_NOFOLLOW).map_err(io::Error::from)?;
    // Not even opened: opening a device may do something.
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(SpoolError::NotAFile);
    }
    let fd = openat2(taken, name, READ, Mode::empty(), BENEATH).map_err(io::Error::from)?;
    let mark = FileMark {
        name: name.to_owned(),
        inode: stat.st_ino,
    };
    Ok((mark, checked(File::from(fd))?))
}

/// The mark of a file as it is now, under the name that it would have when taken.
pub(crate) fn mark_at(directory: BorrowedFd<'_>, name: &str, taken_name: &str) -> Option<FileMark> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileMark {
        name: taken_name.to_owned(),
        inode: stat.st_ino,
    })
}

/// Everything is asked of the open file.
fn checked(file: File) -> Result<Vec<u8>, SpoolError> {
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
    // One byte more than allowed tells "full" from "too long", however the file grows meanwhile: its
    // writer may still have it open.
    let mut bytes = Vec::new();
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        return Err(AlertError::TooLong.into());
    }
    Ok(bytes)
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
    use rustix::fs::mknodat;
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
