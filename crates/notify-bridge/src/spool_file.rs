//! Reading one file that the adversary wrote: opened without following a link or waiting for a
//! reader, looked at through the descriptor, read to its bound.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open};

use crate::alert::{Alert, AlertError, LONGEST};
use crate::name::{AlertName, NameError};

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

/// Reads and checks one alert file.
///
/// # Errors
/// [`SpoolError`], in the order of its variants.
pub fn read(path: &Path) -> Result<(AlertName, Alert), SpoolError> {
    let name = AlertName::parse(path.file_name().unwrap_or_default())?;
    // NOFOLLOW: no link to somebody else's file. NONBLOCK: no pipe that nobody writes to.
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::from(open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(SpoolError::NotAFile);
    }
    if metadata.nlink() != 1 {
        return Err(SpoolError::Linked(metadata.nlink()));
    }
    // One byte more than allowed tells "full" from "too long", however the file grows meanwhile.
    let mut bytes = Vec::with_capacity(LONGEST + 1);
    file.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok((name, Alert::parse(&bytes)?))
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
