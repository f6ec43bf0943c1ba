//! Where snapshots are: `snapshots/PROJECT/TASK/NAME/` of the state directory, mode 0700. They outlive their task.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::manifest::Manifest;
use super::origin::Origin;
use crate::error::{Error, Result};
use crate::lock::TaskLock;
use crate::passwords::Passwords;
use crate::paths::{StateDir, read_bounded, write_private};
use crate::task::{Slug, TaskId};
use crate::workspace::Workspace;

/// The file that says what is there.
const MANIFEST: &str = "snapshot.json";
/// What was deleted from the image's files.
pub(super) const REMOVED: &str = "container.removed";
/// The passwords that the volumes know.
const PASSWORDS: &str = "passwords.json";
/// The largest manifest.
const MOST: u64 = 16 << 20;

/// One task's snapshots.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: PathBuf,
    of: TaskId,
}

/// One snapshot that is there.
#[derive(Debug, Clone)]
pub struct Stored {
    directory: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

/// One that is being made: it goes unless it is finished.
#[derive(Debug)]
pub(super) struct Draft {
    directory: PathBuf,
    target: PathBuf,
    origin: Option<Origin>,
    space: String,
    done: bool,
}

impl Shelf {
    /// A task's, whether it is there or not.
    #[must_use]
    pub fn of(state: &StateDir, task: &TaskId) -> Shelf {
        Shelf {
            root: state.snapshots(task),
            of: task.clone(),
        }
    }

    /// Every snapshot, the oldest first. One that cannot be read is an error.
    pub fn list(&self) -> Result<Vec<Stored>> {
        let mut found = Vec::new();
        for name in self.names()? {
            if let Ok(name) = name.parse() {
                found.push(self.get(&name)?);
            }
        }
        found.sort_by_key(|stored| stored.manifest.taken);
        Ok(found)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        let names = self.names().unwrap_or_default();
        names.iter().filter(|n| n.parse::<Slug>().is_ok()).count()
    }

    /// One of them.
    pub fn get(&self, name: &Slug) -> Result<Stored> {
        let directory = self.root.join(name.as_str());
        let path = directory.join(MANIFEST);
        if !directory.exists() {
            return Err(Error::NoSnapshot {
                task: self.of.to_string(),
                name: name.to_string(),
            });
        }
        let text = read_bounded(&path, MOST)?;
        let manifest = serde_json::from_str(&text)
            .map_err(|e| Error::Failed(format!("{} is not a snapshot's: {e}", path.display())))?;
        Ok(Stored {
            directory,
            manifest,
        })
    }

    /// The latest one.
    pub fn latest(&self) -> Result<Stored> {
        self.list()?.pop().ok_or_else(|| Error::NoSnapshot {
            task: self.of.to_string(),
            name: String::new(),
        })
    }

    /// Removes one, and what it pins in the person's repository. It is gone in one step, whatever happens after.
    pub async fn remove(&self, name: &Slug) -> Result<()> {
        let stored = self.get(name)?;
        let doomed = self.root.join(format!(".{name}.gone"));
        clear(&doomed)?;
        fs_err::rename(&stored.directory, &doomed)?;
        let origin = stored.manifest.origin.as_ref();
        unpin(origin, &space(&self.of, name)).await?;
        clear(&doomed)?;
        tidy(&self.root);
        Ok(())
    }

    /// A place for a new one.
    pub(super) fn draft(&self, name: &Slug, origin: Option<Origin>) -> Result<Draft> {
        let target = self.root.join(name.as_str());
        if target.exists() {
            return Err(Error::InUse(format!(
                "task {} has a snapshot {name} already; choose another name, or agentnet snapshot rm {} {name}",
                self.of, self.of
            )));
        }
        let directory = self.root.join(format!(".{name}.new"));
        clear(&directory)?;
        fs_err::create_dir_all(&directory)?;
        fs_err::set_permissions(&directory, Permissions::from_mode(0o700))?;
        let draft = Draft {
            directory,
            target,
            origin,
            space: space(&self.of, name),
            done: false,
        };
        // Whoever finds it half made learns from this where it has pinned something.
        let text = serde_json::to_string(&draft.origin).map_err(std::io::Error::from)?;
        write_private(&draft.directory.join(ORIGIN), &text)?;
        Ok(draft)
    }

    fn names(&self) -> Result<Vec<String>> {
        let entries = match fs_err::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }
}

/// Empty directories go: the task's, the project's, the place of all.
fn tidy(shelf: &Path) {
    for directory in shelf.ancestors().take(3) {
        drop(fs_err::remove_dir(directory));
    }
}

/// In a draft: where the commits began.
const ORIGIN: &str = "origin.json";

impl Draft {
    pub(super) fn at(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps what its commits stand on from a gc of the person's.
    pub(super) async fn pin(&self) -> Result<()> {
        match &self.origin {
            Some(origin) => origin.pin(&self.space).await,
            None => Ok(()),
        }
    }

    /// It has its name, in one step.
    pub(super) fn finish(mut self, manifest: &Manifest) -> Result<()> {
        let text = serde_json::to_string_pretty(manifest).map_err(std::io::Error::from)?;
        write_private(&self.at(MANIFEST), &text)?;
        crate::paths::remove_if_there(&self.at(ORIGIN))?;
        fs_err::rename(&self.directory, &self.target)?;
        self.done = true;
        Ok(())
    }

    /// It is given up; what it pinned as well.
    pub(super) async fn abandon(self) {
        drop(unpin(self.origin.as_ref(), &self.space).await);
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.done {
            drop(clear(&self.directory));
            if let Some(shelf) = self.directory.parent() {
                tidy(shelf);
            }
        }
    }
}

impl Stored {
    /// A file of it.
    #[must_use]
    pub fn at(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// The list of files that the container did not have any more.
    #[must_use]
    pub fn removed(&self) -> Option<PathBuf> {
        (self.manifest.removed > 0).then(|| self.at(REMOVED))
    }

    /// The passwords that its volumes know.
    pub fn passwords(&self) -> Result<Passwords> {
        Passwords::read(&self.at(PASSWORDS))
    }

    /// Every archive is there and as long as it was.
    pub fn check(&self) -> Result<()> {
        for part in &self.manifest.parts {
            let path = self.at(&part.file);
            let size = fs_err::metadata(&path)?.len();
            if size != part.bytes {
                return Err(Error::Failed(format!(
                    "snapshot {} is damaged: {} has {size} bytes of {}",
                    self.manifest.name,
                    path.display(),
                    part.bytes
                )));
            }
        }
        Ok(())
    }

    /// Keeps what its commits stand on for a task that has them, whatever becomes of the snapshot.
    pub(super) async fn share(&self, workspace: &Workspace) -> Result<()> {
        let space = space(&self.manifest.of, &self.manifest.name);
        match &self.manifest.origin {
            Some(origin) => origin.share(&space, workspace).await,
            None => Ok(()),
        }
    }
}

/// Keeps the passwords of a task that its volumes know.
pub(super) fn keep_passwords(draft: &Draft, passwords: &Passwords) -> Result<()> {
    passwords.write(&draft.at(PASSWORDS))
}

/// Removes what killed commands left of snapshots; says what it was.
pub async fn sweep(state: &StateDir, remove: bool) -> Result<Vec<(TaskId, String)>> {
    let mut found = Vec::new();
    for task in state.snapshot_tasks()? {
        // Somebody works on it.
        let Some(_lock) = TaskLock::try_take(&state.lock(&task))? else {
            continue;
        };
        let shelf = Shelf::of(state, &task);
        let stored: BTreeSet<_> = shelf.names()?.into_iter().collect();
        for half in stored.iter().filter(|name| name.starts_with('.')) {
            let directory = shelf.root.join(half);
            let name = half.trim_start_matches('.');
            let name = name.trim_end_matches(".new").trim_end_matches(".gone");
            if remove {
                // A new one of that name may have been finished since: then the pins are its.
                if let (Ok(slug), false) = (name.parse::<Slug>(), stored.contains(name)) {
                    unpin(origin(&directory).as_ref(), &space(&task, &slug)).await?;
                }
                clear(&directory)?;
            }
            found.push((task.clone(), name.to_owned()));
        }
        if remove {
            tidy(&shelf.root);
        }
    }
    Ok(found)
}

/// What a half-made or half-removed one says of its origin.
fn origin(directory: &Path) -> Option<Origin> {
    let whole = read_bounded(&directory.join(MANIFEST), MOST).ok();
    let whole = whole.and_then(|text| serde_json::from_str::<Manifest>(&text).ok());
    let half = || {
        let text = read_bounded(&directory.join(ORIGIN), MOST).ok()?;
        serde_json::from_str::<Option<Origin>>(&text).ok()?
    };
    whole.map_or_else(half, |manifest| manifest.origin)
}

async fn unpin(origin: Option<&Origin>, space: &str) -> Result<()> {
    match origin {
        Some(origin) => origin.unpin(space).await,
        None => Ok(()),
    }
}

/// Where a snapshot pins.
fn space(task: &TaskId, name: &Slug) -> String {
    format!("refs/agentnet/snapshot/{}/{name}", task.task)
}

/// Only files of ours are in it.
fn clear(directory: &Path) -> Result<()> {
    match fs_err::remove_dir_all(directory) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
