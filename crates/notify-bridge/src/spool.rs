//! The spool directories of all tasks, found by scanning below the held state directory.
//!
//! ```text
//! STATE/tasks/PROJECT/TASK/spool/out/   the agent's to write
//! STATE/tasks/PROJECT/TASK/spool/in/    answers, ours to write
//! STATE/notify/out/                     agentnet's own alerts, never mounted anywhere
//! STATE/notify/bridge/                  the bridge's memory
//! STATE/notify/bridge/taken/            files between a spool and the journal
//! ```

mod sweep;

use std::ffi::{CStr, OsStr};
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::RawDir;

pub(crate) use self::sweep::{Found, Sweep, remove};
use crate::name::AlertName;
use crate::notice::TaskName;
use crate::spool_file::{hold, hold_beneath};

/// Tasks beyond this are not looked at, which is said; nobody runs a thousand at once.
pub(crate) const MOST_TASKS: usize = 1024;

impl Source {
    /// The name of one of its files in `taken/`.
    pub(crate) fn taken_name(&self, name: &AlertName) -> String {
        match self {
            Self::Task(task) => format!("{}.{}.{name}", task.project, task.task),
            Self::Own => name.to_string(),
        }
    }

    /// The other way; `None` for what is not ours.
    pub(crate) fn of_taken(name: &str) -> Option<(Self, AlertName)> {
        let parts: Vec<&str> = name.split('.').collect();
        let (source, stem) = match parts.as_slice() {
            [stem, "json"] => (Self::Own, stem),
            [project, task, stem, "json"] => (Self::Task(TaskName::new(project, task)?), stem),
            _ => return None,
        };
        let name = AlertName::parse(OsStr::new(&format!("{stem}.json"))).ok()?;
        Some((source, name))
    }
}

/// A state directory that is held open: everything else is found beneath it.
#[derive(Debug)]
pub(crate) struct State {
    root: OwnedFd,
    path: PathBuf,
}

/// Whose directory it is.
#[derive(
    Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub(crate) enum Source {
    /// A task's agent.
    Task(TaskName),
    /// agentnet itself.
    Own,
}

impl State {
    /// Opens the state directory, and makes it and the bridge's part of it where they are missing.
    ///
    /// # Errors
    /// When that fails; the path is named.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let make = |path: &Path| {
            let mut builder = DirBuilder::new();
            builder.recursive(true).mode(0o700).create(path)
        };
        make(path).map_err(named)?;
        // The kernel's name for it: a link in the user's own path is the user's business.
        let path = path.canonicalize().map_err(named)?;
        make(&path.join("notify").join("out")).map_err(named)?;
        make(&path.join("notify").join("bridge").join("taken")).map_err(named)?;
        let root = hold(&path).map_err(named)?;
        Ok(Self { root, path })
    }

    /// Whether the directory that is held is still the one of this name. One that was removed or moved
    /// away gets nothing new, and whoever makes another one is not heard.
    pub(crate) fn is_there(&self) -> bool {
        let held = rustix::fs::fstat(&self.root);
        let named = rustix::fs::stat(&self.path);
        matches!((held, named), (Ok(held), Ok(named))
            if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino))
    }

    /// The bridge's own directory.
    pub(crate) fn bridge(&self) -> PathBuf {
        self.path.join("notify").join("bridge")
    }

    /// The directory that alerts are read from.
    ///
    /// # Errors
    /// `NotFound` where the task has none.
    pub(crate) fn out(&self, source: &Source) -> io::Result<OwnedFd> {
        match source {
            Source::Own => self.beneath("notify/out"),
            Source::Task(task) => self.beneath(&format!("{}/spool/out", below(task))),
        }
    }

    /// The directory that files of all spools are moved into, to be read where nobody can change what
    /// stands behind a name.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn taken(&self) -> io::Result<OwnedFd> {
        self.beneath("notify/bridge/taken")
    }

    /// The directory that answers are written to.
    ///
    /// # Errors
    /// `NotFound` where the task has none.
    pub(crate) fn inbox(&self, task: &TaskName) -> io::Result<OwnedFd> {
        self.beneath(&format!("{}/spool/in", below(task)))
    }

    /// Opens a directory by its place below.
    ///
    /// # Errors
    /// As `openat2` has them.
    pub(crate) fn beneath(&self, below: &str) -> io::Result<OwnedFd> {
        hold_beneath(self.root.as_fd(), OsStr::new(below))
    }

    /// Every task that has a directory, with or without a spool, and the directories that new ones
    /// would appear in.
    ///
    /// # Errors
    /// Only where a directory of ours cannot be read.
    pub(crate) fn tasks(&self) -> io::Result<(Vec<TaskName>, Vec<String>)> {
        let mut tasks = Vec::new();
        let mut parents = vec!["tasks".to_owned()];
        for project in self.names("tasks")? {
            let place = format!("tasks/{project}");
            for task in self.names(&place)? {
                tasks.extend(TaskName::new(&project, &task));
            }
            parents.push(place);
            if tasks.len() >= MOST_TASKS {
                break;
            }
        }
        tasks.truncate(MOST_TASKS);
        Ok((tasks, parents))
    }

    /// The names in a directory of ours; none where it is missing.
    fn names(&self, below: &str) -> io::Result<Vec<String>> {
        let directory = match self.beneath(below) {
            Ok(directory) => directory,
            // A file among the directories is somebody else's.
            Err(e) if is_absent(&e) || e.kind() == io::ErrorKind::NotADirectory => {
                return Ok(Vec::new());
            }
            Err(e) => return Err(e),
        };
        let mut buffer = Vec::with_capacity(4096);
        let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry?;
            names.extend(plain(entry.file_name()));
            if names.len() >= MOST_TASKS {
                break;
            }
        }
        names.sort();
        Ok(names)
    }
}

/// Not there.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn below(task: &TaskName) -> String {
    format!("tasks/{}/{}", task.project, task.task)
}

/// A name that could be a slug.
fn plain(name: &CStr) -> Option<String> {
    let text = name.to_str().ok()?;
    TaskName::new(text, text).map(|name| name.task)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn made() -> (tempfile::TempDir, State) {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        (dir, state)
    }

    fn task() -> TaskName {
        TaskName::new("shop", "fix-42").unwrap()
    }

    #[test]
    fn tasks_are_found_by_their_directories_and_files_beside_them_are_not() {
        let (dir, state) = made();
        assert_eq!(state.tasks().unwrap().0, []);
        fs::create_dir_all(dir.path().join("tasks/shop/fix-42/spool/out")).unwrap();
        fs::create_dir_all(dir.path().join("tasks/shop/A B")).unwrap();
        fs::write(dir.path().join("tasks/README"), "x").unwrap();
        assert_eq!(state.tasks().unwrap().0, [task()]);
        assert!(state.out(&Source::Task(task())).is_ok());
        assert!(state.out(&Source::Own).is_ok());
        assert!(is_absent(&state.inbox(&task()).unwrap_err()));
    }

    #[test]
    fn a_file_that_was_taken_knows_where_it_came_from() {
        let name = AlertName::parse("a-1.json".as_ref()).unwrap();
        for source in [Source::Own, Source::Task(task())] {
            let taken = source.taken_name(&name);
            assert_eq!(Source::of_taken(&taken), Some((source, name.clone())));
        }
        for odd in [
            "",
            "a",
            "a.b.json",
            "a.b.c.d.json",
            "A.b.c.json",
            "a.b.c.txt",
        ] {
            assert_eq!(Source::of_taken(odd), None, "{odd}");
        }
    }

    #[test]
    fn w120_no_component_of_the_way_to_a_spool_may_be_a_link() {
        let (dir, state) = made();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir_all(elsewhere.path().join("spool/out")).unwrap();
        fs::create_dir_all(dir.path().join("tasks/shop/fix-42")).unwrap();
        let way = |below: &str| dir.path().join("tasks/shop").join(below);

        symlink(elsewhere.path().join("spool"), way("fix-42/spool")).unwrap();
        assert!(state.out(&Source::Task(task())).is_err());
        fs::remove_file(way("fix-42/spool")).unwrap();

        fs::create_dir(way("fix-42/spool")).unwrap();
        symlink(elsewhere.path().join("spool/out"), way("fix-42/spool/out")).unwrap();
        assert!(state.out(&Source::Task(task())).is_err());

        fs::remove_dir_all(way("fix-42")).unwrap();
        symlink(elsewhere.path(), way("fix-42")).unwrap();
        assert!(state.out(&Source::Task(task())).is_err());
    }
}
