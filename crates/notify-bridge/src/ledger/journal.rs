//! The journal's file: lines at its end, or another one in its place.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The journal is written anew when it is longer than this, in bytes, and twice as long as needed.
pub(super) const LONG: u64 = 512 * 1024;

/// The file. Whole lines up to `length`; what a failure left behind that is written over.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    pub(super) file: File,
    pub(super) length: u64,
    /// How long it was when it was written anew.
    least: u64,
}

impl Journal {
    /// Opens it, and makes it where it is missing: with its whole lines, and whether one behind them is torn.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<u8>, bool)> {
        let mut text = match std::fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(e) => return Err(e),
        };
        let end = text.iter().rposition(|b| *b == b'\n');
        let whole = end.map_or(0, |at| at + 1);
        let torn = whole < text.len();
        text.truncate(whole);
        let journal = Self {
            file: OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(path)?,
            path: path.to_owned(),
            length: whole as u64,
            least: whole as u64,
        };
        Ok((journal, text, torn))
    }

    /// Adds lines, on disk where `sync` says so.
    ///
    /// # Errors
    /// When they cannot be written; then they are not there.
    pub(super) fn append(&mut self, bytes: &[u8], sync: bool) -> io::Result<()> {
        // By its place: an attempt that failed half way has moved on the file's own.
        let mut written = self.file.write_all_at(bytes, self.length);
        if sync && written.is_ok() {
            written = self.file.sync_data();
        }
        if let Err(e) = written {
            // Half a line would spoil the next one.
            self.cut()?;
            return Err(e);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Removes what is behind the last whole line.
    ///
    /// # Errors
    /// When the file cannot be changed.
    pub(super) fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.length)
    }

    /// Whether it should be written anew.
    pub(super) fn is_long(&self) -> bool {
        self.length > LONG.max(2 * self.least)
    }

    /// It could not be: not before it is twice as long.
    pub(super) fn stay(&mut self) {
        self.least = self.length;
    }

    /// Writes a new file and puts it in the old one's place: at every moment one of the two is there, whole.
    ///
    /// # Errors
    /// When there is no room for it; the old one is as it was.
    pub(super) fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let written = create(&new).and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            Ok(file)
        });
        let file = match written {
            Ok(file) => file,
            Err(e) => {
                // What there is of it takes room that others wait for.
                drop(std::fs::remove_file(&new));
                return Err(e);
            }
        };
        // From here on the new one is the journal, whatever becomes of its name on the disk.
        self.file = file;
        self.length = text.len() as u64;
        self.least = self.length;
        match self.path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
}
