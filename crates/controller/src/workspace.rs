//! The task's files: a git worktree on a branch of its own, or a directory the user names.
//!
//! git runs in the user's checkout only, never in the tree: a tree that an agent wrote can make a
//! plain `git status` run programs (THREATS W38). Whether anybody changed the tree is read from the
//! kernel's change times, which no unprivileged program can set back.

mod alternates;
pub(crate) mod command;
pub(crate) mod git;
mod kept;
mod private;
mod source;
mod tree;
mod volumes;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use git::Repository;
use kept::{kept, shares};
use private::Start;
pub use private::{GIT, Module, Objects, PrivateGit};
pub(crate) use source::remove_if_empty as remove_clone_if_empty;
pub use source::{Address, Source};
pub(crate) use tree::remove as remove_tree;
pub use volumes::Half;

use crate::error::{Error, Result};
use crate::paths::{StateDir, TaskDir};
use crate::spec::VolumeSpec;
use crate::task::TaskId;

/// What covers `.git` in a container: there is a git directory, and it is not the user's.
pub const GITFILE: &str = "gitdir: /agentnet/git\n";

/// The file of that text, beside the tree.
const GITFILE_NAME: &str = "gitfile";

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
        git: Box<PrivateGit>,
        /// Where `checkout` was cloned from, if it is a clone of ours and not the user's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Source>,
        /// Where the files are once the task is up, if that is not `tree`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        volume: Option<VolumeSpec>,
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
        Self::of(repository, id, dir, false).await
    }

    /// The same, whose git directory shares no objects with the repository.
    pub async fn clone_of(repository: &Repository, id: &TaskId, dir: &TaskDir) -> Result<Self> {
        Self::of(repository, id, dir, true).await
    }

    async fn of(repository: &Repository, id: &TaskId, dir: &TaskDir, own: bool) -> Result<Self> {
        // A kept tree began where its branch did, wherever the checkout is by now.
        let (base, own, modules) = match kept(dir, repository.root())? {
            Some((_, git, _)) if own && !git.own => return Err(shares(id)),
            Some((base, git, _)) => (base, git.own, git.modules),
            None => {
                let base = repository.head().await?;
                let modules = private::modules(repository, &base, dir, own).await?;
                (base, own, modules)
            }
        };
        let git = PrivateGit::of(repository, dir, own).await?;
        Ok(Workspace::Worktree {
            checkout: repository.root().to_owned(),
            tree: dir.tree(),
            branch: id.branch(),
            base,
            owner: given_to(),
            git: Box::new(PrivateGit { modules, ..git }),
            source: None,
            volume: None,
        })
    }

    /// A clone of a repository that is elsewhere. It is asked where to begin, and not fetched yet.
    pub async fn fetched(address: &Address, id: &TaskId, state: &StateDir) -> Result<Self> {
        let (dir, checkout) = (state.task(id), state.repository(id));
        let (base, source) = match kept(&dir, &checkout)? {
            Some((base, _, Some(source))) if source.address == address.as_str() => (base, source),
            Some(_) | None => address.look(state, &checkout).await?,
        };
        let format = match base.len() {
            64 => "sha256",
            _ => "sha1",
        };
        let git = PrivateGit {
            directory: dir.git(),
            format: format.to_owned(),
            own: true,
            ..PrivateGit::default()
        };
        Ok(Workspace::Worktree {
            checkout,
            tree: dir.tree(),
            branch: id.branch(),
            base,
            owner: given_to(),
            git: Box::new(git),
            source: Some(source),
            volume: None,
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

    /// For a person, if it is a clone.
    #[must_use]
    pub fn clone_note(&self) -> Option<String> {
        match self {
            Workspace::Worktree {
                source: Some(source),
                checkout,
                ..
            } => Some(format!(
                "of {}; sync brings commits to {}",
                source.address,
                checkout.display()
            )),
            Workspace::Worktree { git, .. } if git.own => {
                Some("it has the objects of its own history only".to_owned())
            }
            Workspace::Worktree { .. } | Workspace::Directory { .. } => None,
        }
    }

    /// As a participle.
    #[must_use]
    pub fn doing(&self) -> String {
        match self {
            Workspace::Worktree {
                tree,
                branch,
                source,
                ..
            } => {
                let worktree = format!("making worktree {} on branch {branch}", tree.display());
                match source {
                    Some(source) => format!("fetching {}, {worktree}", source.address),
                    None => worktree,
                }
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
            source,
            ..
        } = self
        else {
            return Ok(());
        };
        let repository = Repository::at(checkout.clone());
        let fresh = !(tree.join(".git").exists() && self.marker().exists());
        if fresh {
            if let Some(source) = source {
                source.fetch(checkout, base).await?;
                private::tell_left_out(&repository, base).await?;
            }
            {
                let _alone = repository.alone().await?;
                repository.add_worktree(tree, branch, base).await?;
            }
            for module in git.all_modules() {
                module.add(tree, branch).await?;
            }
            if let Some((uid, gid)) = *owner {
                let tree = tree.clone();
                blocking(move || tree::give_away(&tree, uid, gid)).await?;
            }
        }
        let from = match source {
            Some(source) => Some(source.tracking()),
            None => repository.head_branch().await,
        };
        let from = from.as_deref();
        let start = Start { branch, base, from };
        git.make(&repository, tree, start, *owner).await?;
        let modules = git.all_modules().into_iter().map(Module::gitfile);
        let whole = (GITFILE_NAME.to_owned(), GITFILE.to_owned());
        for (name, text) in modules.chain([whole]) {
            let file = tree.with_file_name(name);
            fs_err::write(&file, text)?;
            // git in a container wants it to be the agent's own.
            if let Some((uid, gid)) = *owner {
                std::os::unix::fs::lchown(file, Some(uid), Some(gid))?;
            }
        }
        match fresh {
            true => self.mark(),
            false => Ok(()),
        }
    }

    /// What changes from now on is somebody's.
    fn mark(&self) -> Result<()> {
        tree::mark(&self.marker())
    }

    /// Its time is when the tree was as we made it. Lies outside the tree.
    fn marker(&self) -> PathBuf {
        self.files().with_extension("made")
    }

    /// What stands in `.git` of each submodule on the host, or in the volume that the files are in, for who puts files there: where it is below the tree, a
    /// tab, and the line of it.
    pub(crate) async fn links(&self) -> Result<String> {
        let mut lines = String::new();
        if let Workspace::Worktree { tree, git, .. } = self {
            for module in git.all_modules() {
                match git.volume {
                    Some(_) => lines.push_str(&module.covered()),
                    None => lines.extend(module.link(tree).await?),
                }
            }
        }
        Ok(lines)
    }

    /// Begins where a snapshot's task did, with the submodules that it had. Nothing is made yet.
    pub(crate) async fn begin_at(
        &mut self,
        commit: &str,
        modules: &[PathBuf],
        dir: &TaskDir,
    ) -> Result<()> {
        let Workspace::Worktree {
            checkout,
            base,
            git,
            source,
            ..
        } = self
        else {
            return Ok(());
        };
        if *base != commit && source.is_none() {
            let repository = Repository::at(checkout.clone());
            git.modules = private::modules(&repository, commit, dir, git.own).await?;
        }
        commit.clone_into(base);
        git.keep_modules(modules);
        Ok(())
    }

    /// Did anybody change the files, or commit?
    pub async fn is_changed(&self) -> Result<bool> {
        let Workspace::Worktree { tree, git, .. } = self else {
            return Ok(false);
        };
        // What is in a volume is not seen from here, and unsure means yes.
        if self.is_moved() {
            return Ok(true);
        }
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
            source,
            ..
        } = self
        else {
            return Ok(Fate::Untouched);
        };
        if !discard && self.is_changed().await? {
            return Ok(Fate::Kept(self.files().to_owned()));
        }
        crate::paths::remove_if_there(&self.moved())?;
        let doomed = tree.clone();
        blocking(move || tree::remove(&doomed)).await?;
        let repository = checkout.is_dir().then(|| Repository::at(checkout.clone()));
        git.remove(repository.as_ref(), branch).await?;
        for module in git.all_modules() {
            crate::paths::remove_if_there(&tree.with_file_name(module.gitfile().0))?;
            module.forget(tree, branch).await?;
        }
        crate::paths::remove_if_there(&tree.with_file_name(GITFILE_NAME))?;
        crate::paths::remove_if_there(&self.marker())?;
        if let Some(repository) = repository {
            let _alone = repository.alone().await?;
            repository.forget_worktree(tree).await?;
            repository.tidy(branch).await?;
            repository.delete_branch_at(branch, base).await?;
        }
        if source.is_some() {
            source::remove_if_empty(checkout).await?;
        }
        Ok(Fate::Removed)
    }
}

/// Whom a new tree is given to: an agent is never root.
fn given_to() -> Option<(u32, u32)> {
    rustix::process::geteuid().is_root().then_some((1000, 1000))
}

/// File work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(e) => Err(Error::Failed(format!("file work ended early: {e}"))),
    }
}
