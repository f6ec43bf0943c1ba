//! One file of ours among others'.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A file of ours is never longer.
const LONGEST: u64 = 64 * 1024;

/// What is in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A file with our mark, and what it says.
    Ours(String),
}

/// Why a place cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// Somebody else's.
    #[error("{}: this is not a file that `agentnet-notify install` made; move it away, then try again", .0.display())]
    NotOurs(PathBuf),
    /// The system says no.
    #[error("{path}: {1}", path = .0.display())]
    Io(PathBuf, io::Error),
}

/// What is there.
///
/// # Errors
/// [`PlaceError`].
pub(crate) fn look(path: &Path, mark: &str) -> Result<Found, PlaceError> {
    let failed = |error| PlaceError::Io(path.to_owned(), error);
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(failed(error)),
        Ok(there) if !there.is_file() => return Err(PlaceError::NotOurs(path.to_owned())),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    match String::from_utf8(bytes) {
        Ok(text) if text.contains(mark) => Ok(Found::Ours(text)),
        _ => Err(PlaceError::NotOurs(path.to_owned())),
    }
}

/// Puts a file there whole: whoever reads it sees the old one or the new one.
///
/// # Errors
/// [`PlaceError::Io`].
pub(crate) fn write(path: &Path, text: &str) -> Result<(), PlaceError> {
    let failed = |error| PlaceError::Io(path.to_owned(), error);
    let Some(dir) = path.parent() else {
        return Err(failed(io::ErrorKind::InvalidInput.into()));
    };
    fs::create_dir_all(dir).map_err(failed)?;
    let new = path.with_extension("new");
    // A left-over of ours, or of nobody's: `create_new` follows no link.
    drop(fs::remove_file(&new));
    let written = fs::File::create_new(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, path));
    written.map_err(|error| {
        drop(fs::remove_file(&new));
        failed(error)
    })
}

/// Takes a file away.
///
/// # Errors
/// [`PlaceError::Io`].
pub(crate) fn remove(path: &Path) -> Result<(), PlaceError> {
    fs::remove_file(path).map_err(|error| PlaceError::Io(path.to_owned(), error))
}
