//! The git command line, with an environment in which nobody else's settings point elsewhere.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use fs_err::File;
use rustix::fs::{FlockOperation, flock};
use tokio::process::Command;

use super::blocking;

use crate::error::{Error, Result};
use crate::paths::StateDir;

/// The user's checkout.
#[derive(Debug, Clone)]
pub struct Repository {
    root: PathBuf,
}

impl Repository {
    /// The checkout that a directory is in. Never a task's own tree: what an agent wrote is not
    /// read as configuration, and git is not even started there.
    pub async fn find(start: &Path, state: &StateDir) -> Result<Repository> {
        let start = fs_err::canonicalize(start)?;
        if start.starts_with(state.root()) {
            return Err(Error::Usage(format!(
                "{} is a task's own tree; run agentnet from your checkout",
                start.display()
            )));
        }
        if !start.ancestors().any(|dir| dir.join(".git").exists()) {
            return Err(Error::NotARepository(start));
        }
        let root = git(
            &start,
            &["rev-parse", "--show-toplevel"],
            "finding the checkout",
        )
        .await?;
        Ok(Repository {
            root: PathBuf::from(root),
        })
    }

    /// A checkout that was found before.
    #[must_use]
    pub fn at(root: PathBuf) -> Repository {
        Repository { root }
    }

    /// Its top directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The commit that is checked out.
    pub async fn head(&self) -> Result<String> {
        git(
            &self.root,
            &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"],
            "reading HEAD",
        )
        .await
        .map_err(|_| {
            Error::Config(format!(
                "{} has no commit yet, so there is nothing to make a worktree of; commit first",
                self.root.display()
            ))
        })
    }

    /// Waits until nobody else of us changes the repository's worktrees; until the value is dropped
    /// nobody does. git reads the half-made worktree of another git and gives up (measured, 2.39).
    pub(super) async fn alone(&self) -> Result<File> {
        let args = ["rev-parse", "--git-common-dir"];
        let directory = git(&self.root, &args, "finding the repository").await?;
        let file = File::open(self.root.join(directory))?;
        // The kernel frees the lock of a process that is killed, and leaves no file behind.
        blocking(move || match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => Ok(file),
            Err(e) => Err(std::io::Error::from(e).into()),
        })
        .await
    }

    /// Makes a locked worktree on a branch: a new one at `base`, or the branch as an earlier task
    /// of that name left it.
    pub(super) async fn add_worktree(&self, tree: &Path, branch: &str, base: &str) -> Result<()> {
        if let Some(parent) = tree.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let tree = utf8(tree)?;
        let reference = format!("refs/heads/{branch}");
        let doing = format!("worktree add {tree}");
        let there = git(
            &self.root,
            &["rev-parse", "--verify", "--quiet", &reference],
            "",
        )
        .await;
        let reason = "agentnet task: agentnet down removes it";
        let mut args = vec!["worktree", "add", "--quiet", "--lock", "--reason", reason];
        match there {
            Ok(_) => args.extend(["--", tree, branch]),
            Err(_) => args.extend(["-b", branch, "--", tree, base]),
        }
        git(&self.root, &args, &doing).await.map(drop)
    }

    /// Forgets a worktree whose directory is gone; unknown is done.
    pub(super) async fn forget_worktree(&self, tree: &Path) -> Result<()> {
        let tree = utf8(tree)?;
        let list = git(
            &self.root,
            &["worktree", "list", "--porcelain"],
            "worktree list",
        )
        .await?;
        if !list
            .lines()
            .any(|line| line.strip_prefix("worktree ") == Some(tree))
        {
            return Ok(());
        }
        // Twice: once for changes, once for the lock. The directory is gone, so git looks at nothing.
        let args = ["worktree", "remove", "--force", "--force", "--", tree];
        git(&self.root, &args, &format!("worktree remove {tree}"))
            .await
            .map(drop)
    }

    /// Deletes a branch if it is still at `commit`; anything else is done.
    pub(super) async fn delete_branch_at(&self, branch: &str, commit: &str) -> Result<()> {
        let reference = format!("refs/heads/{branch}");
        let at = git(
            &self.root,
            &["rev-parse", "--verify", "--quiet", &reference],
            "",
        )
        .await;
        if at.is_ok_and(|at| at == commit) {
            let args = ["update-ref", "-d", &reference, commit];
            git(&self.root, &args, &format!("update-ref -d {reference}")).await?;
        }
        Ok(())
    }
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::Usage(format!(
            "the path {} is not UTF-8, which git needs",
            path.display()
        ))
    })
}

/// git's last words are of what it could not do, and not of why; "unable to write file" is what it
/// says of a file that it could open, without the system's error.
fn is_full(line: &str) -> bool {
    [
        "No space left on device",
        "Disk quota exceeded",
        "error: unable to write file",
    ]
    .iter()
    .any(|words| line.contains(words))
}

/// What git inherits. Everything else (`GIT_DIR`, `GIT_CONFIG_*`, `GIT_SSH_COMMAND` …) stays here.
const INHERITED: [&str; 5] = ["PATH", "HOME", "XDG_CONFIG_HOME", "USER", "TMPDIR"];

async fn git(directory: &Path, args: &[&str], doing: &str) -> Result<String> {
    let mut command = Command::new("git");
    command
        .env_clear()
        .envs(
            INHERITED
                .iter()
                .filter_map(|key| Some((key, std::env::var_os(key)?))),
        )
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        // Its errors are read.
        .env("LC_ALL", "C.UTF-8")
        // A worktree is ours to make; the user's hooks are about the user's checkouts.
        .args([
            "-c",
            "core.hooksPath=/dev/null",
            "-c",
            "core.fsmonitor=false",
        ])
        .arg("-C")
        .arg(directory)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(false);
    let fail = |why: String| Error::Git {
        doing: doing.to_owned(),
        why,
    };
    let output = command.output().await.map_err(|e| {
        let absent = e.kind() == ErrorKind::NotFound;
        fail(if absent {
            "the program git is not installed".into()
        } else {
            e.to_string()
        })
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    if let Some(full) = words.lines().find(|line| is_full(line)) {
        let text = format!("git {doing}: {full}");
        return Err(std::io::Error::new(ErrorKind::StorageFull, text).into());
    }
    let last = words
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it failed");
    Err(fail(last.trim_start_matches("fatal: ").to_owned()))
}
