//! What `up` did, one JSON line before and one after every step. It survives a `kill -9`: what was
//! written is in the kernel. It need not survive a power cut: labels alone find everything.

use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::engine::Kind;
use crate::error::Result;
use crate::plan::Inverse;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Format version.
    pub v: u8,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Entry {
    /// A step is about to be done.
    Begin {
        /// Its place in the plan.
        step: usize,
        /// In words.
        doing: String,
        /// What undoes it.
        inverse: Inverse,
    },
    /// It was done.
    Done {
        /// Its place in the plan.
        step: usize,
        /// What the engine calls the new object.
        id: Option<String>,
    },
    /// It failed.
    Failed {
        /// Its place in the plan.
        step: usize,
        /// Why.
        why: String,
    },
    /// Everything runs.
    Up,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: fs_err::File,
}

impl Journal {
    /// Begins a new one; an older one is history that was already undone.
    pub fn begin(path: &Path) -> Result<Journal> {
        Ok(Journal {
            file: fs_err::File::create(path)?,
        })
    }

    /// Goes on with one.
    pub fn reopen(path: &Path) -> Result<Journal> {
        Ok(Journal {
            file: fs_err::OpenOptions::new().append(true).open(path)?,
        })
    }

    /// Adds a line.
    pub fn add(&mut self, entry: Entry) -> Result<()> {
        let line = Line {
            v: 1,
            at: Timestamp::now(),
            entry,
        };
        let mut text = serde_json::to_string(&line).map_err(std::io::Error::from)?;
        text.push('\n');
        // One write call: a line is there whole or, when the disk is full, torn at the end.
        self.file.write_all(text.as_bytes())?;
        Ok(())
    }

    /// Everything that can be read; a torn last line and an absent file are not errors.
    pub fn read(path: &Path) -> Result<Vec<Entry>> {
        match fs_err::read_to_string(path) {
            Ok(text) => Ok(text
                .lines()
                .filter_map(|line| serde_json::from_str::<Line>(line).ok())
                .map(|line| line.entry)
                .collect()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e.into()),
        }
    }
}

/// The engine objects that a journal says exist: kind and id.
#[must_use]
pub fn objects(entries: &[Entry]) -> Vec<(Kind, String)> {
    let mut found = Vec::new();
    let mut begun = std::collections::BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::Begin { step, inverse, .. } => {
                begun.insert(*step, inverse.clone());
            }
            Entry::Done { step, id: Some(id) } => {
                if let Some(Inverse::Remove { kind, .. }) = begun.get(step) {
                    found.push((*kind, id.clone()));
                }
            }
            Entry::Done { id: None, .. } | Entry::Failed { .. } | Entry::Up => {}
        }
    }
    found
}

/// What was asked for and never heard of again: kind and name. A request that was on its way when its
/// sender was killed is still carried out.
#[must_use]
pub fn in_flight(entries: &[Entry]) -> Vec<(Kind, String)> {
    let mut open = std::collections::BTreeMap::new();
    for entry in entries {
        match entry {
            Entry::Begin {
                step,
                inverse: Inverse::Remove { kind, name },
                ..
            } => {
                open.insert(*step, (*kind, name.clone()));
            }
            Entry::Done { step, .. } | Entry::Failed { step, .. } => {
                open.remove(step);
            }
            Entry::Begin { .. } | Entry::Up => {}
        }
    }
    open.into_values().collect()
}

/// The files that a journal says were written.
#[must_use]
pub fn files(entries: &[Entry]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in entries {
        if let Entry::Begin {
            inverse: Inverse::Files { directory, names },
            ..
        } = entry
        {
            found.extend(names.iter().map(|name| directory.join(name)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(step: usize, kind: Kind, name: &str) -> Entry {
        let inverse = Inverse::Remove {
            kind,
            name: name.into(),
        };
        Entry::Begin {
            step,
            doing: "x".into(),
            inverse,
        }
    }

    #[test]
    fn reads_back_what_was_written_and_skips_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.jsonl");
        let entries = vec![
            begin(0, Kind::Network, "n"),
            Entry::Done {
                step: 0,
                id: Some("id0".into()),
            },
            begin(1, Kind::Container, "c"),
            Entry::Failed {
                step: 1,
                why: "no".into(),
            },
            Entry::Up,
        ];
        let mut journal = Journal::begin(&path).unwrap();
        for entry in &entries {
            journal.add(entry.clone()).unwrap();
        }
        journal.file.write_all(b"{\"v\":1,\"at\":\"20").unwrap();
        assert_eq!(Journal::read(&path).unwrap(), entries);
        assert_eq!(objects(&entries), [(Kind::Network, "id0".to_owned())]);
    }

    #[test]
    fn an_absent_journal_is_empty() {
        assert_eq!(Journal::read(Path::new("/nonexistent")).unwrap(), []);
    }
}
