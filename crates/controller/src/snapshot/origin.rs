//! Where a snapshot's commits began: in which repositories, which it keeps from being cleaned away.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::workspace::{Module, Repository, Workspace, remove_clone_if_empty};

/// Where a task's commits began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The person's checkout, or what `--clone ADDRESS` fetched.
    pub checkout: PathBuf,
    /// The task's branch.
    pub branch: String,
    /// The commit it began at.
    pub base: String,
    /// Its objects are not complete without the repository's.
    pub borrows: bool,
    /// The address that it is a clone of, if it is one of an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Its submodules, of all levels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Held>,
}

/// One of its submodules.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Held {
    /// Where it is, below the tree.
    pub path: PathBuf,
    /// The person's repository of it.
    pub repository: PathBuf,
}

impl From<&Module> for Held {
    fn from(module: &Module) -> Held {
        Held {
            path: module.path.clone(),
            repository: module.repository.clone(),
        }
    }
}

impl Origin {
    /// Of a task; `None`: it has no git.
    pub(super) fn of(workspace: &Workspace) -> Option<Origin> {
        let Workspace::Worktree {
            checkout,
            branch,
            base,
            git,
            source,
            ..
        } = workspace
        else {
            return None;
        };
        let modules = git.all_modules().into_iter();
        Some(Origin {
            checkout: checkout.clone(),
            branch: branch.clone(),
            base: base.clone(),
            borrows: !git.objects.is_empty(),
            source: source.as_ref().map(|source| source.address.clone()),
            modules: modules.map(Held::from).collect(),
        })
    }

    /// Every repository that is still there, the whole's first.
    fn repositories(&self) -> impl Iterator<Item = Repository> {
        let modules = self.modules.iter().map(|held| &held.repository);
        let all = std::iter::once(&self.checkout).chain(modules);
        all.filter(|place| place.is_dir())
            .map(|place| Repository::at(place.clone()))
    }

    /// Keeps what its task sees from a gc of the person's, at a place for the snapshot.
    pub(super) async fn pin(&self, space: &str) -> Result<()> {
        for repository in self.repositories() {
            repository.copy_pins(&self.branch, space).await?;
        }
        Ok(())
    }

    /// The opposite; none is done. What was fetched for a task that is gone, and stayed for this only, goes as well:
    /// the caller holds the lock of the snapshot's task.
    pub(super) async fn unpin(&self, space: &str) -> Result<()> {
        for repository in self.repositories() {
            repository.remove_below(space).await?;
        }
        match self.source {
            Some(_) => remove_clone_if_empty(&self.checkout).await,
            None => Ok(()),
        }
    }

    /// Keeps the same for a task that has what the snapshot holds, whatever becomes of the snapshot.
    pub(super) async fn share(&self, space: &str, workspace: &Workspace) -> Result<()> {
        let Workspace::Worktree {
            checkout,
            branch,
            git,
            ..
        } = workspace
        else {
            return Ok(());
        };
        let modules = git.all_modules().into_iter();
        let mut there: Vec<&Path> = modules.map(|module| module.repository.as_path()).collect();
        there.push(checkout);
        for repository in self.repositories() {
            if there.contains(&repository.root()) {
                repository.share_pins(space, branch).await?;
            }
        }
        Ok(())
    }
}
