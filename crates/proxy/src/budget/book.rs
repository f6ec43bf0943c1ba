//! The file in which reservations stand: one line each, added before the bytes may flow.
//!
//! Several processes may share a directory (a restart in which the old one drains while the new one
//! serves): each change is made under a lock, after reading what the others have added. Each line
//! has a checksum. A last line that is not whole was never confirmed to anybody and is cut off; any
//! other line that cannot be read means that something else has been at the file: it is set aside,
//! and what is not known to be left counts as spent.

mod line;
mod rewrite;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use self::line::Line;
use super::Key;

/// The file with the reservations.
const FILE: &str = "budgets";
/// Locked by whoever changes it.
const LOCK: &str = "budgets.lock";

/// The first line.
const HEADER: &str = "agentnet budgets 1\n";

/// Lines beyond two for each purse after which the file is written anew.
const SLACK: usize = 1000;

/// Largest file that is read: 250,000 rules with lines of 4 KiB.
const MAX_BYTES: u64 = 2 << 30;

/// One wish: reserve up to `wanted` under `limit`.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) key: Key,
    pub(super) limit: u64,
    pub(super) wanted: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Granted {
    pub(super) granted: u64,
    /// Reserved by all processes together, this grant included.
    pub(super) total: u64,
}

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be {what}: {source}", path = path.display())]
pub(super) struct BookError {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

/// The reservations of all purses of one directory.
#[derive(Debug)]
pub(super) struct Book {
    directory: PathBuf,
    lock: File,
    open: Option<Opened>,
    reserved: HashMap<Key, u64>,
    /// A file was set aside: a purse that is not in this one counts as spent.
    lost: bool,
    /// Set when a file was set aside and nobody has been told.
    news: Option<PathBuf>,
}

#[derive(Debug)]
struct Opened {
    file: File,
    identity: (u64, u64),
    /// Up to where it was read.
    length: u64,
    lines: usize,
}

/// Whether a file makes sense.
enum Reading {
    Sound(Opened),
    Corrupt,
}

impl Book {
    /// Opens the book of a directory, which is made if only its last part is missing.
    pub(super) fn open(directory: &Path) -> Result<Self, BookError> {
        match fs::DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(trouble(directory.to_owned(), "made", source)),
        }
        let path = directory.join(LOCK);
        let lock = writable(&path).map_err(|source| trouble(path, "opened", source))?;
        let mut book = Self {
            directory: directory.to_owned(),
            lock,
            open: None,
            reserved: HashMap::new(),
            lost: false,
            news: None,
        };
        book.locked(|_| Ok(()))?;
        Ok(book)
    }

    /// The file that was set aside, once.
    pub(super) fn news(&mut self) -> Option<PathBuf> {
        self.news.take()
    }

    /// Reserves, and returns when that is on the disk. All of it fails, or nothing.
    pub(super) fn reserve(&mut self, wishes: &[Wish]) -> Result<Vec<Granted>, BookError> {
        self.locked(|book| {
            let mut lines = Vec::new();
            let mut granted = Vec::with_capacity(wishes.len());
            for wish in wishes {
                let before = book.reserved.get(&wish.key).copied();
                let settled = before.unwrap_or(if book.lost { wish.limit } else { 0 });
                if before.is_none() && book.lost {
                    lines.push(Line::Change(wish.key.clone(), i128::from(wish.limit)));
                }
                let left = wish.limit.saturating_sub(settled);
                let grant = wish.wanted.min(left);
                if grant > 0 {
                    lines.push(Line::Change(wish.key.clone(), i128::from(grant)));
                }
                granted.push(Granted {
                    granted: grant,
                    total: settled.saturating_add(grant),
                });
            }
            book.add(&lines)?;
            Ok(granted)
        })
    }

    /// Gives back what was reserved and not spent.
    pub(super) fn give_back(&mut self, unspent: &[(Key, u64)]) -> Result<(), BookError> {
        self.locked(|book| {
            // A purse that is not in the book has nothing to be given back: the book was lost, and an
            // entry made here would say that nothing of it is spent.
            let kept = unspent
                .iter()
                .filter(|(key, bytes)| *bytes > 0 && book.reserved.contains_key(key));
            let lines: Vec<Line> = kept
                .map(|(key, bytes)| Line::Change(key.clone(), -i128::from(*bytes)))
                .collect();
            book.add(&lines)
        })
    }

    fn locked<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, BookError>,
    ) -> Result<T, BookError> {
        let refused = |source| trouble(self.directory.join(LOCK), "locked", source);
        self.lock.lock().map_err(refused)?;
        let result = self.catch_up().and_then(|()| work(self));
        // Closing would unlock it as well.
        self.lock.unlock().ok();
        result
    }

    /// Reads what others have written since.
    fn catch_up(&mut self) -> Result<(), BookError> {
        let path = self.directory.join(FILE);
        let found = match fs::metadata(&path) {
            Ok(found) => found,
            // Nothing was ever spent here; or somebody took the file away from under us, and what
            // we remember is written down again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.rewrite(),
            Err(source) => return Err(trouble(path, "read", source)),
        };
        let identity = (found.dev(), found.ino());
        let same = self.open.as_ref().filter(|open| open.identity == identity);
        match same.map(|open| open.length) {
            Some(length) if length == found.len() => return Ok(()),
            Some(length) if length > found.len() => return self.rewrite(),
            Some(_) | None => {}
        }
        let open = match self.open.take().filter(|open| open.identity == identity) {
            Some(open) => open,
            None => {
                let file =
                    existing(&path).map_err(|source| trouble(path.clone(), "read", source))?;
                self.reserved.clear();
                self.lost = false;
                Opened {
                    file,
                    identity,
                    length: 0,
                    lines: 0,
                }
            }
        };
        match self.read(open) {
            Ok(Reading::Sound(open)) => {
                self.open = Some(open);
                Ok(())
            }
            Ok(Reading::Corrupt) => self.set_aside(&path),
            Err(source) => Err(trouble(path, "read", source)),
        }
    }

    fn read(&mut self, mut open: Opened) -> io::Result<Reading> {
        if open.file.metadata()?.len() > MAX_BYTES {
            return Ok(Reading::Corrupt);
        }
        open.file.seek(SeekFrom::Start(open.length))?;
        let mut text = Vec::new();
        open.file.read_to_end(&mut text)?;
        // A write that was cut short. Nobody has got what it says.
        let whole = text
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let tail = text.split_off(whole);
        // Whole but for its last byte: that was a line once.
        if Line::is_spoilt(&tail) {
            return Ok(Reading::Corrupt);
        }
        let Ok(text) = String::from_utf8(text) else {
            return Ok(Reading::Corrupt);
        };
        let mut rest = text.as_str();
        if open.length == 0 {
            match rest.strip_prefix(HEADER) {
                Some(after) => rest = after,
                None => return Ok(Reading::Corrupt),
            }
        }
        for line in rest.lines() {
            match Line::parse(line) {
                Some(line) => self.apply(&line),
                None => return Ok(Reading::Corrupt),
            }
            open.lines += 1;
        }
        open.length += text.len() as u64;
        if !tail.is_empty() {
            open.file.set_len(open.length)?;
        }
        Ok(Reading::Sound(open))
    }

    fn apply(&mut self, line: &Line) {
        match line {
            Line::Lost => {
                self.reserved.clear();
                self.lost = true;
            }
            Line::Change(key, by) => {
                let before = self.reserved.entry(key.clone()).or_default();
                let after = i128::from(*before) + by;
                *before = u64::try_from(after.max(0)).unwrap_or(u64::MAX);
            }
        }
    }

    /// Adds lines, and applies them once they are on the disk.
    fn add(&mut self, lines: &[Line]) -> Result<(), BookError> {
        if lines.is_empty() {
            return Ok(());
        }
        let path = self.directory.join(FILE);
        let Some(open) = &mut self.open else {
            let source = io::ErrorKind::NotFound.into();
            return Err(trouble(path, "written", source));
        };
        let text: String = lines.iter().map(ToString::to_string).collect();
        let written = open
            .file
            .seek(SeekFrom::Start(open.length))
            .and_then(|_| open.file.write_all(text.as_bytes()))
            .and_then(|()| open.file.sync_data());
        if let Err(source) = written {
            // A torn line is cut off by whoever reads it next, if not here.
            open.file.set_len(open.length).ok();
            return Err(trouble(path, "written", source));
        }
        open.length += text.len() as u64;
        open.lines += lines.len();
        let many = open.lines > SLACK + 2 * self.reserved.len();
        for line in lines {
            self.apply(line);
        }
        if many {
            // It can wait: the lines are all there.
            self.rewrite().ok();
        }
        Ok(())
    }
}

fn trouble(path: PathBuf, what: &'static str, source: io::Error) -> BookError {
    BookError { path, what, source }
}

fn writable(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.mode(0o600).open(path)
}

fn existing(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

#[cfg(test)]
mod tests;
