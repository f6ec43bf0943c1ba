//! The log in a file, which logrotate moves away from under us.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::diagnostic;

/// Only the own user reads it: URLs hold secrets. Tinyproxy makes it so as well when it is detached.
const MODE: u32 = 0o600;

/// A file that is appended to.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    asked: Rotation,
    done: u64,
}

/// Asks a [`LogFile`] to open its path again; clones ask the same.
#[derive(Clone, Debug, Default)]
pub struct Rotation(Arc<AtomicU64>);

impl Rotation {
    /// The next line goes to whatever file is at the path then.
    pub fn ask(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl LogFile {
    /// Opens `path`, and makes it if need be.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, rotation: &Rotation) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: append(path)?,
            asked: rotation.clone(),
            done: rotation.0.load(Ordering::Acquire),
        })
    }

    fn rotate(&mut self) {
        let asked = self.asked.0.load(Ordering::Acquire);
        if asked == self.done {
            return;
        }
        self.done = asked;
        match append(&self.path) {
            Ok(file) => self.file = file,
            // The old one still takes lines.
            Err(error) => diagnostic::error(format_args!(
                "{}: the log cannot be opened again and goes on in the old file: {error}",
                self.path.display()
            )),
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .open(path)
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rotate();
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn goes_on_in_a_new_file_once_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        std::fs::write(&path, "before\n").unwrap();
        let rotation = Rotation::default();
        let mut log = LogFile::open(&path, &rotation).unwrap();
        log.write_all(b"one\n").unwrap();
        let moved = directory.path().join("log.1");
        std::fs::rename(&path, &moved).unwrap();
        log.write_all(b"two\n").unwrap();
        rotation.ask();
        log.write_all(b"three\n").unwrap();
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(text(&moved), "before\none\ntwo\n");
        assert_eq!(text(&path), "three\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn keeps_the_old_file_when_the_new_one_cannot_be_made() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("below");
        std::fs::create_dir(&below).unwrap();
        let path = below.join("log");
        let rotation = Rotation::default();
        let mut log = LogFile::open(&path, &rotation).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        std::fs::rename(&below, &elsewhere).unwrap();
        rotation.ask();
        log.write_all(b"one\n").unwrap();
        let text = std::fs::read_to_string(elsewhere.join("log")).unwrap();
        assert_eq!(text, "one\n");
        assert!(LogFile::open(&path, &rotation).is_err());
    }
}
