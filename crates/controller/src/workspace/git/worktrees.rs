//! The worktrees of the user's repository, made and forgotten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use fs_err::File;
use rustix::fs::{FlockOperation, flock};

use super::{Repository, git};
use crate::error::{Error, Result};
use crate::workspace::blocking;
use crate::workspace::command::Git;

impl Repository {
    /// The directory that the repository keeps about a worktree. Found from the repository's side:
    /// nothing in the tree is believed.
    pub(crate) async fn admin_of(&self, tree: &Path) -> Result<Option<PathBuf>> {
        let worktrees = self.common_dir().await?.join("worktrees");
        let entries = match fs_err::read_dir(&worktrees) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        for entry in entries {
            let directory = entry?.path();
            let Ok(file) = fs_err::read_to_string(directory.join("gitdir")) else {
                continue;
            };
            // Relative where git was told so (worktree.useRelativePaths).
            let named = directory.join(file.trim_end());
            let Some(named) = named.parent() else {
                continue;
            };
            let same = named == tree || fs_err::canonicalize(named).is_ok_and(|real| real == tree);
            if same {
                return Ok(Some(directory));
            }
        }
        Ok(None)
    }

    /// Waits until nobody else of us changes the repository's worktrees; until the value is dropped
    /// nobody does. git reads the half-made worktree of another git and gives up (measured, 2.39).
    pub(in crate::workspace) async fn alone(&self) -> Result<File> {
        let file = File::open(self.common_dir().await?)?;
        // The kernel frees the lock of a process that is killed, and leaves no file behind.
        blocking(move || match flock(&file, FlockOperation::LockExclusive) {
            Ok(()) => Ok(file),
            Err(e) => Err(std::io::Error::from(e).into()),
        })
        .await
    }

    /// Names in the way of a branch: git cannot have a branch and a directory of one name.
    async fn blocked(&self, branch: &str) -> Result<()> {
        let format = "--format=%(refname)";
        let mut above = String::from("refs/heads");
        for part in branch.split('/') {
            above = format!("{above}/{part}");
            let whole = above == format!("refs/heads/{branch}");
            let git = Git::at(&self.root).args(["for-each-ref", format, &above]);
            let found = git.text("for-each-ref").await?;
            // Above it a branch of that very name is in the way, at its own place any below it.
            let mut names = found.lines();
            if let Some(name) = names.find(|name| (**name == above) != whole) {
                let name = name.trim_start_matches("refs/heads/");
                return Err(Error::Config(format!(
                    "the repository has a branch {name}, so git can have none called {branch}; rename \
                     it: git branch -m {name} {}-branch",
                    name.replace('/', "-")
                )));
            }
        }
        Ok(())
    }

    /// The user's filters, switched off: they may run for an agent's files, and a task sees what is
    /// committed (a pointer of LFS, for one).
    async fn no_filters(&self) -> Result<Vec<String>> {
        let mut names = BTreeSet::new();
        for (key, _) in self.settings().await? {
            if let Some(rest) = key.strip_prefix("filter.")
                && let Some((name, _)) = rest.rsplit_once('.')
            {
                names.insert(name.to_owned());
            }
        }
        let off = |name: String| {
            ["smudge=", "process=", "clean=", "required=false"]
                .map(|s| format!("filter.{name}.{s}"))
        };
        Ok(names.into_iter().flat_map(off).collect())
    }

    /// Makes a locked worktree on a branch: a new one at `base`, or the branch as an earlier task
    /// of that name left it.
    pub(in crate::workspace) async fn add_worktree(
        &self,
        tree: &Path,
        branch: &str,
        base: &str,
    ) -> Result<()> {
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
        self.blocked(branch).await?;
        let mut git = Git::at(&self.root).args(args);
        for setting in self.no_filters().await? {
            git = git.setting(setting);
        }
        for plain in ["core.splitIndex=false", "core.untrackedCache=false"] {
            git = git.setting(plain.to_owned());
        }
        git.text(&doing).await.map(drop)
    }

    /// Forgets a worktree whose directory is gone; unknown is done.
    pub(in crate::workspace) async fn forget_worktree(&self, tree: &Path) -> Result<()> {
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
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| {
        Error::Usage(format!(
            "the path {} is not UTF-8, which git needs",
            path.display()
        ))
    })
}
