//! The task's files: a git worktree on a branch of its own, or a directory the user names.
//!
//! git runs in the user's checkout only, never in the tree: a tree that an agent wrote can make a
//! plain `git status` run programs (THREATS W38). Whether anybody changed the tree is read from the
//! kernel's change times, which no unprivileged program can set back.

mod alternates;
pub(crate) mod command;
pub(crate) mod git;
mod private;
mod tree;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use git::Repository;
pub use private::{GIT, Objects, PrivateGit};
pub(crate) use tree::remove as remove_tree;

use crate::error::{Error, Result};
use crate::paths::{StateDir, TaskDir};
use crate::record::{Phase, Record};
use crate::task::TaskId;

/// What covers `.git` in a container: there is a git directory, and it is not the user's.
pub const GITFILE: &str = "gitdir: /agentnet/git\n";

/// Where the task's files come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Workspace {
    /// A worktree of the user's repository.
    Worktree {
        /// The user's checkout.
        checkout: PathBuf,
        /// The worktree.
        tree: PathBuf,
        /// Its branch.
        branch: String,
        /// The commit the branch began at.
        base: String,
        /// Who is to own the files, where we may give them away.
        owner: Option<(u32, u32)>,
        /// What git in the containers works with.
        git: PrivateGit,
    },
    /// A directory as it is.
    Directory {
        /// The directory.
        path: PathBuf,
        /// What its `.git` is.
        git: GitEntry,
    },
}

/// What is at `.git`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GitEntry {
    /// Nothing.
    None,
    /// A `gitdir:` file.
    File,
    /// A repository.
    Directory,
}

/// What became of a tree when its task went down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fate {
    /// Nobody had changed it, or the user said so: removed.
    Removed,
    /// It has changes and stays where it is.
    Kept(PathBuf),
    /// It is the user's own directory.
    Untouched,
}

impl Workspace {
    /// A worktree for a task of the repository that `start` is in.
    pub async fn worktree(repository: &Repository, id: &TaskId, dir: &TaskDir) -> Result<Self> {
        let owner = rustix::process::geteuid().is_root().then_some((1000, 1000));
        let kept = Record::read(dir)?
            .filter(|record| record.phase == Phase::Down && record.workspace.files().exists());
        let base = match kept.map(|record| record.workspace) {
            // A kept tree began where its branch did, wherever the checkout is by now.
            Some(Workspace::Worktree { checkout, base, .. }) if checkout == repository.root() => {
                base
            }
            Some(_) | None => repository.head().await?,
        };
        Ok(Workspace::Worktree {
            checkout: repository.root().to_owned(),
            tree: dir.tree(),
            branch: id.branch(),
            base,
            owner,
            git: PrivateGit::of(repository, dir).await?,
        })
    }

    /// A directory as it is, if it holds nothing that is `off_limits`: things with what they are. A
    /// thing that is not there yet counts where it would be.
    pub fn directory(
        path: &Path,
        state: &StateDir,
        off_limits: &[(&str, PathBuf)],
    ) -> Result<Self> {
        let path = fs_err::canonicalize(path).map_err(|e| Error::Usage(e.to_string()))?;
        if !path.is_dir() {
            return Err(Error::Usage(format!(
                "{} is not a directory",
                path.display()
            )));
        }
        if path.starts_with(state.root()) {
            return Err(Error::Usage(format!(
                "{} lies in agentnet's own state; name a directory of yours",
                path.display()
            )));
        }
        let ours = [("agentnet's own state", state.root().to_owned())];
        for (what, thing) in ours.iter().chain(off_limits) {
            let real = fs_err::canonicalize(thing);
            if real.is_ok_and(|real| real.starts_with(&path)) || thing.starts_with(&path) {
                return Err(Error::Usage(format!(
                    "{} holds {what} {}: an agent must not reach it; choose a directory below, or \
                     keep that elsewhere",
                    path.display(),
                    thing.display()
                )));
            }
        }
        let git = match fs_err::symlink_metadata(path.join(".git")) {
            Err(_) => GitEntry::None,
            Ok(meta) if meta.is_dir() => GitEntry::Directory,
            Ok(meta) if meta.is_file() => GitEntry::File,
            Ok(_) => {
                return Err(Error::Usage(format!(
                    "{}/.git is neither a file nor a directory; agentnet cannot cover it",
                    path.display()
                )));
            }
        };
        Ok(Workspace::Directory { path, git })
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> &Path {
        match self {
            Workspace::Worktree { tree, .. } => tree,
            Workspace::Directory { path, .. } => path,
        }
    }

    /// Its branch, if it has one.
    #[must_use]
    pub fn branch(&self) -> Option<&str> {
        match self {
            Workspace::Worktree { branch, .. } => Some(branch),
            Workspace::Directory { .. } => None,
        }
    }

    /// As a participle.
    #[must_use]
    pub fn doing(&self) -> String {
        match self {
            Workspace::Worktree { tree, branch, .. } => {
                format!("making worktree {} on branch {branch}", tree.display())
            }
            Workspace::Directory { path, .. } => format!("using {} as it is", path.display()),
        }
    }

    /// Makes the files available. A tree that an earlier `down` kept is taken up again as it is.
    pub async fn prepare(&self) -> Result<()> {
        let Workspace::Worktree {
            checkout,
            tree,
            branch,
            base,
            owner,
            git,
        } = self
        else {
            return Ok(());
        };
        let repository = Repository::at(checkout.clone());
        let fresh = !(tree.join(".git").exists() && self.marker().exists());
        if fresh {
            {
                let _alone = repository.alone().await?;
                repository.add_worktree(tree, branch, base).await?;
            }
            if let Some((uid, gid)) = *owner {
                let tree = tree.clone();
                blocking(move || tree::give_away(&tree, uid, gid)).await?;
            }
        }
        git.make(&repository, tree, branch, *owner).await?;
        // git in a container wants it to be the agent's own.
        fs_err::write(self.gitfile(), GITFILE)?;
        if let Some((uid, gid)) = *owner {
            std::os::unix::fs::lchown(self.gitfile(), Some(uid), Some(gid))?;
        }
        match fresh {
            true => tree::mark(&self.marker()),
            false => Ok(()),
        }
    }

    /// Its time is when the tree was as we made it. Lies outside the tree.
    fn marker(&self) -> PathBuf {
        self.files().with_extension("made")
    }

    /// What covers `.git` in the containers. Lies outside the tree.
    fn gitfile(&self) -> PathBuf {
        self.files().with_file_name("gitfile")
    }

    /// Did anybody change the files, or commit?
    pub async fn is_changed(&self) -> Result<bool> {
        let Workspace::Worktree { tree, git, .. } = self else {
            return Ok(false);
        };
        let (tree, private, marker) = (tree.clone(), git.directory.clone(), self.marker());
        blocking(move || Ok(tree::changed(&tree, &marker)? || tree::changed(&private, &marker)?))
            .await
    }

    /// Takes the files away again, unless somebody changed them and `discard` was not said. The
    /// branch goes too while it is where it began.
    pub async fn dismantle(&self, discard: bool) -> Result<Fate> {
        let Workspace::Worktree {
            checkout,
            tree,
            branch,
            base,
            git,
            ..
        } = self
        else {
            return Ok(Fate::Untouched);
        };
        if !discard && self.is_changed().await? {
            return Ok(Fate::Kept(self.files().to_owned()));
        }
        let doomed = tree.clone();
        blocking(move || tree::remove(&doomed)).await?;
        let repository = checkout.is_dir().then(|| Repository::at(checkout.clone()));
        git.remove(repository.as_ref(), branch).await?;
        crate::paths::remove_if_there(&self.gitfile())?;
        crate::paths::remove_if_there(&self.marker())?;
        if let Some(repository) = repository {
            let _alone = repository.alone().await?;
            repository.forget_worktree(tree).await?;
            repository.tidy(branch).await?;
            repository.delete_branch_at(branch, base).await?;
        }
        Ok(Fate::Removed)
    }
}

/// File work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Failed(format!("file work ended early: {e}"))),
    }
}
