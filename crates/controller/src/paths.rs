//! Where things are on the host: one layout, drawn here.
//!
//! ```text
//! STATE/                     $XDG_STATE_HOME/agentnet, --state-dir or AGENTNET_STATE_DIR; mode 0700
//!   locks/PROJECT.TASK       held while a task is being changed
//!   locks/PROJECT.TASK.run   held by `agentnet run` to its end
//!   disk.lock                held by the process that watches what tasks write
//!   grants/                  what each checkout may ask for
//!   logins/AGENT/            an agent's login, which all tasks with it share
//!   notify/out/              what agentnet itself tells whoever notifies people; never mounted
//!   repositories/PROJECT/TASK.git  what `--clone ADDRESS` fetched; stays while commits of the task are in it
//!   snapshots/PROJECT/TASK/NAME/  what was stored of a task; outlives it
//!   tasks/PROJECT/TASK/
//!     record.json            what the task is, where, and how far it came
//!     journal.jsonl          every step of `up`, before and after
//!     policy/                project.txt, task.txt, presets/: read-only in the proxy's container
//!     gitfile, gitfile-*     cover .git in the containers, and that of each submodule
//!     alternates             covers objects/info/alternates of the private git directory there
//!     no-alternates          covers the repository's own lists of alternates there
//!     git/                   the private git directory: the agent's to write
//!     ssh.conf               tells ssh in the agent's container of the proxy
//!     secrets/env            what the agent was given, until `down` or `withdraw`
//!     ssh/agent.sock         leads to the person's SSH agent, until then as well
//!     verify.json            the last proof
//!     disk.json              what it was last seen to have written
//!     passwords.json         made for its services; mode 0600
//!     spool/out/, spool/in/  alerts of its agent, and answers to them; until `down`
//!     tree/, tree.made, tree.moved  the worktree, when it was made, that its files are in volumes
//! ```

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use fs_err::os::unix::fs::OpenOptionsExt;

use crate::error::{Error, Result};
use crate::task::{Slug, TaskId, fnv64};

/// The spool's name in a task's directory.
pub const SPOOL: &str = "spool";

/// The state directory of this installation.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
    id: String,
}

impl StateDir {
    /// Opens or creates it: mode 0700, because policies and journals are nobody else's business.
    pub fn open(explicit: Option<&Path>) -> Result<StateDir> {
        let root = match explicit {
            Some(path) => path.to_owned(),
            None => default_root()?,
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&root)
            .map_err(|e| {
                std::io::Error::new(e.kind(), format!("cannot create {}: {e}", root.display()))
            })?;
        // The kernel's name for it: two ways of writing one directory are one installation.
        let root = fs_err::canonicalize(&root)?;
        let id = format!("{:016x}", fnv64(root.as_os_str().as_encoded_bytes()));
        Ok(StateDir { root, id })
    }

    /// Which installation this is: the value of the label `agentnet.state`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A task's directory.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> TaskDir {
        let project = self.root.join("tasks").join(id.project.as_str());
        TaskDir {
            root: project.join(id.task.as_str()),
        }
    }

    /// Where a task's repository is fetched to, if it is none of the person's.
    #[must_use]
    pub fn repository(&self, id: &TaskId) -> PathBuf {
        let project = self.root.join("repositories").join(id.project.as_str());
        project.join(format!("{}.git", id.task))
    }

    /// Where a task's snapshots are, which outlive it.
    #[must_use]
    pub fn snapshots(&self, id: &TaskId) -> PathBuf {
        let project = self.root.join("snapshots").join(id.project.as_str());
        project.join(id.task.as_str())
    }

    /// A task's lock file.
    #[must_use]
    pub fn lock(&self, id: &TaskId) -> PathBuf {
        self.root
            .join("locks")
            .join(format!("{}.{}", id.project, id.task))
    }

    /// The lock file that an `agentnet run` holds to its end.
    #[must_use]
    pub fn run_lock(&self, id: &TaskId) -> PathBuf {
        self.root
            .join("locks")
            .join(format!("{}.{}.run", id.project, id.task))
    }

    /// System call filters, for an engine that takes them as files: each is named after its text.
    #[must_use]
    pub fn filters(&self) -> PathBuf {
        self.root.join("filters")
    }

    /// The lock file of the process that watches what tasks write to the disk.
    #[must_use]
    pub fn watcher_lock(&self) -> PathBuf {
        self.root.join("disk.lock")
    }

    /// Where agentnet leaves its own alerts.
    #[must_use]
    pub fn notices(&self) -> PathBuf {
        self.root.join("notify").join("out")
    }

    /// Every lock file, held or not.
    pub fn locks(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs_err::read_dir(self.root.join("locks")) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        };
        Ok(entries
            .map(|entry| entry.map(|e| e.path()))
            .collect::<std::io::Result<_>>()?)
    }

    /// Every task that has a directory, in order.
    pub fn tasks(&self) -> Result<Vec<TaskId>> {
        self.below("tasks")
    }

    /// Every task that has snapshots, there or gone, in order.
    pub fn snapshot_tasks(&self) -> Result<Vec<TaskId>> {
        self.below("snapshots")
    }

    fn below(&self, kind: &str) -> Result<Vec<TaskId>> {
        let mut found = Vec::new();
        for project in slugs(&self.root.join(kind))? {
            for task in slugs(&self.root.join(kind).join(project.as_str()))? {
                found.push(TaskId {
                    project: project.clone(),
                    task,
                });
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The subdirectories whose names are slugs.
fn slugs(directory: &Path) -> Result<Vec<Slug>> {
    let entries = match fs_err::read_dir(directory) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e.into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Some(slug) = entry.file_name().to_str().and_then(|n| n.parse().ok())
        {
            found.push(slug);
        }
    }
    Ok(found)
}

fn default_root() -> Result<PathBuf> {
    let base = etcetera::choose_base_strategy()
        .map_err(|_| Error::Usage("no home directory is known; give --state-dir".into()))?;
    let state = base.state_dir().unwrap_or_else(|| base.data_dir());
    Ok(state.join("agentnet"))
}

/// One task's files.
#[derive(Debug, Clone)]
pub struct TaskDir {
    root: PathBuf,
}

impl TaskDir {
    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
    /// The record.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.root.join("record.json")
    }
    /// The journal.
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal.jsonl")
    }
    /// The policy directory.
    #[must_use]
    pub fn policy(&self) -> PathBuf {
        self.root.join("policy")
    }
    /// The last proof.
    #[must_use]
    pub fn verify(&self) -> PathBuf {
        self.root.join("verify.json")
    }
    /// The private git directory.
    #[must_use]
    pub fn git(&self) -> PathBuf {
        self.root.join("git")
    }
    /// The passwords made for its services.
    #[must_use]
    pub fn passwords(&self) -> PathBuf {
        self.root.join("passwords.json")
    }
    /// What it was found to have written to the disk.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.root.join("disk.json")
    }
    /// The secrets of the agent.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }
    /// Its agent's alerts (`out/`) and the answers to them (`in/`).
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.root.join(SPOOL)
    }
    /// The directory of the socket that leads to the person's SSH agent.
    #[must_use]
    pub fn ssh(&self) -> PathBuf {
        self.root.join("ssh")
    }
    /// The worktree.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.root.join("tree")
    }
}

/// Makes a directory that a container's user may look into. Our root keeps everybody else out, and
/// the caller's umask would keep the proxy from its own policy.
pub fn make_shared(directory: &Path) -> Result<()> {
    fs_err::create_dir_all(directory)?;
    Ok(fs_err::set_permissions(
        directory,
        Permissions::from_mode(0o755),
    )?)
}

/// Writes a file so that a reader sees the old text or the new one, never half of it, and a full
/// disk leaves the old one. A new file can be read by a container's user, as [`make_shared`].
pub fn write_atomically(path: &Path, text: &str) -> Result<()> {
    let mode = fs_err::metadata(path).map_or(0o644, |meta| meta.permissions().mode() & 0o777);
    replace(path, text, mode)
}

/// As [`write_atomically`], for what only its owner may read.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    replace(path, text, 0o600)
}

fn replace(path: &Path, text: &str, mode: u32) -> Result<()> {
    let temporary = temporary(path);
    // From its first moment nobody else can read it.
    let written = remove_if_there(&temporary).and_then(|()| {
        let mut options = fs_err::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        Ok(fs_err::rename(&temporary, path)?)
    });
    if written.is_err() {
        remove_if_there(&temporary)?;
    }
    written
}

/// Reads a text of at most `most` bytes, also from what has no end.
///
/// # Errors
/// When it cannot be read, is no UTF-8 or is larger; the file is named.
pub fn read_bounded(path: &Path, most: u64) -> std::io::Result<String> {
    let mut text = String::new();
    fs_err::File::open(path)?
        .take(most + 1)
        .read_to_string(&mut text)
        .map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
    if text.len() as u64 > most {
        let what = format!("{} is larger than {} MiB", path.display(), most >> 20);
        return Err(std::io::Error::other(what));
    }
    Ok(text)
}

/// Writes a file that one user alone may read, in a directory that a container's user may look into.
/// Who may not give files away and is another user leaves it readable: our root keeps everybody else
/// out.
pub fn write_for(path: &Path, owner: (u32, u32), text: &str) -> Result<()> {
    use fs_err::os::unix::fs::OpenOptionsExt;
    use std::io::Write;
    if let Some(parent) = path.parent() {
        make_shared(parent)?;
    }
    remove_if_there(path)?;
    let mut file = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    if !give(path, owner)? {
        fs_err::set_permissions(path, Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// Gives a socket to one user alone. Who may not give files away and is another user leaves it to anybody: our
/// root keeps everybody else out.
pub fn own_socket(path: &Path, owner: (u32, u32)) -> Result<()> {
    let mode = if give(path, owner)? { 0o600 } else { 0o666 };
    Ok(fs_err::set_permissions(path, Permissions::from_mode(mode))?)
}

/// Makes a directory that one user alone may use. One that is there stays as it is.
pub fn make_for(path: &Path, owner: (u32, u32)) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs_err::create_dir_all(path)?;
    let given = give(path, owner)?;
    let mode = if given { 0o700 } else { 0o777 };
    Ok(fs_err::set_permissions(path, Permissions::from_mode(mode))?)
}

/// Makes a spool: `out/` for that user alone, `in/` for everybody to read. What an earlier one held
/// is nobody's any more.
pub fn make_spool(path: &Path, owner: (u32, u32)) -> Result<()> {
    crate::workspace::remove_tree(path)?;
    make_shared(path)?;
    make_for(&path.join("out"), owner)?;
    make_shared(&path.join("in"))
}

/// Gives a path of ours to somebody; `false`: it is somebody else, and we may not.
fn give(path: &Path, (uid, gid): (u32, u32)) -> Result<bool> {
    let me = rustix::process::geteuid();
    if me.is_root() {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
        return Ok(true);
    }
    // Root of a rootless engine is the person who runs it.
    Ok(me.as_raw() == uid || uid == 0)
}

/// Where [`write_atomically`] writes first.
fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Removes what [`write_atomically`] wrote, whole or killed half way.
pub fn remove_written(path: &Path) -> Result<()> {
    remove_if_there(&temporary(path))?;
    remove_if_there(path)
}

/// Removes a file; not found is done.
pub fn remove_if_there(path: &Path) -> Result<()> {
    match fs_err::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
