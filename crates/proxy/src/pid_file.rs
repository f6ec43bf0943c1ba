//! The file that says which process serves, for as long as it does.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file with the number of this process; it goes when this does.
#[derive(Debug)]
pub struct PidFile {
    path: PathBuf,
}

impl PidFile {
    /// Writes the file. One that a dead process left is replaced, and so is any other: that the
    /// ports could be bound says that nobody serves there.
    ///
    /// # Errors
    /// The system's.
    pub fn write(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(path)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self {
            path: path.to_owned(),
        })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Another process may have taken our place, and the file with it.
        let own = std::process::id().to_string();
        if std::fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == own) {
            std::fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_a_stale_file_and_removes_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        std::fs::write(&path, "4194305 and more than that\n").unwrap();
        let file = PidFile::write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn leaves_a_file_that_another_process_has_written_since() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let file = PidFile::write(&path).unwrap();
        std::fs::write(&path, "1\n").unwrap();
        drop(file);
        assert!(path.exists());
        let nowhere = directory.path().join("nowhere").join("pid");
        assert!(PidFile::write(&nowhere).is_err());
    }
}
