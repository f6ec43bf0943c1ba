//! The task's own git directory: at `/agentnet/git` in its containers, with objects, refs, index and
//! configuration of its own. The user's objects are read-only alternates there, and the user's git
//! directory is not there at all.

mod clone;
mod layout;
mod module;
mod settings;

pub use module::Module;
pub(super) use module::{find as modules, tell_left_out};
pub(super) use settings::without_secrets;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::git::{Repository, ShownRef};
use super::{blocking, tree};
use crate::error::{Error, Result};
use crate::paths::TaskDir;
use crate::spec::{Mount, VolumeSpec};
use crate::task::fnv64;

/// Where it is in a container.
pub const GIT: &str = "/agentnet/git";
/// Where the user's object directories are in a container, by number.
const OBJECTS: &str = "/agentnet/objects";
/// What covers `objects/info/alternates`: the user's object directories, as the container sees them.
const ALTERNATES: &str = "alternates";
/// What covers the user's own lists of alternates: they name places that a container does not have.
const NO_ALTERNATES: &str = "no-alternates";

/// A task's own git directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateGit {
    /// On the host. The agent writes it: no git of the host is ever started there.
    pub directory: PathBuf,
    /// The user's object directories, its own first, then the whole chain of alternates.
    pub objects: Vec<Objects>,
    /// `sha1` or `sha256`.
    pub format: String,
    /// The remote that promised the objects a partial clone has not fetched.
    pub promisor: Option<String>,
    /// A clone: it has what the task's branch leads to as objects of its own, and none of the user's
    /// object directories are there.
    #[serde(default)]
    pub own: bool,
    /// Where it is once the task is up, if that is not `directory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeSpec>,
    /// The submodule's name, if it is one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The submodules that the task has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<Module>,
}

/// Where a task begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start<'a> {
    /// Its branch.
    pub(super) branch: &'a str,
    /// The commit.
    pub(super) base: &'a str,
    /// The ref that the commit was found at, where there is one.
    pub(super) from: Option<&'a str>,
}

/// One of the user's object directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objects {
    /// On the host.
    pub directory: PathBuf,
    /// It names others to borrow from.
    pub borrows: bool,
}

impl PrivateGit {
    /// For a task of a repository. Nothing is made yet.
    pub(super) async fn of(
        repository: &Repository,
        dir: &TaskDir,
        own: bool,
    ) -> Result<PrivateGit> {
        let objects = match own {
            true => Vec::new(),
            false => repository.object_directories().await?,
        };
        Ok(PrivateGit {
            directory: dir.git(),
            objects,
            format: repository.object_format().await?,
            promisor: repository.promisor().await?,
            own,
            volume: None,
            name: None,
            modules: Vec::new(),
        })
    }

    /// Where it is in a container.
    pub(crate) fn place(&self) -> String {
        match &self.name {
            None => GIT.to_owned(),
            Some(name) => format!("{GIT}/modules/{name}"),
        }
    }

    /// Its object directories, and where they are in a container.
    fn borrowed(&self) -> impl Iterator<Item = (&Objects, String)> {
        // A submodule's do not move when others come and go: their names stand in its own files.
        let label = self.name.as_ref().map_or_else(String::new, |name| {
            format!("{:016x}-", fnv64(name.as_bytes()))
        });
        let all = self.objects.iter().enumerate();
        all.map(move |(n, objects)| (objects, format!("{OBJECTS}/{label}{n}")))
    }

    fn alternates(&self) -> String {
        self.borrowed()
            .map(|(_, place)| format!("{place}\n"))
            .collect()
    }

    /// Small files of ours that containers mount over files of the directory.
    #[must_use]
    pub fn covers(&self) -> [(String, String); 2] {
        [
            (ALTERNATES.to_owned(), self.alternates()),
            (NO_ALTERNATES.to_owned(), String::new()),
        ]
    }

    /// The task's submodules of all levels, each behind the one that it is in.
    #[must_use]
    pub fn all_modules(&self) -> Vec<&Module> {
        let all = self.modules.iter();
        all.flat_map(|module| std::iter::once(module).chain(module.git.all_modules()))
            .collect()
    }

    /// Forgets the submodules that are not at one of these paths.
    pub(super) fn keep_modules(&mut self, paths: &[PathBuf]) {
        self.modules.retain(|module| paths.contains(&module.path));
        for module in &mut self.modules {
            module.git.keep_modules(paths);
        }
    }

    /// What a container needs besides the files; `covers` is the directory where [`Self::covers`] are.
    #[must_use]
    pub fn mounts(&self, covers: &Path, writable: bool) -> Vec<Mount> {
        let read_only = |source: PathBuf, target: String| Mount::Bind {
            source,
            target,
            writable: false,
        };
        let mut mounts = vec![
            Mount::either(
                self.volume.as_ref(),
                &self.directory,
                GIT.to_owned(),
                writable,
            ),
            read_only(
                covers.join(ALTERNATES),
                format!("{GIT}/objects/info/alternates"),
            ),
        ];
        let modules = self.all_modules().into_iter();
        let modules = modules.flat_map(|module| module.git.borrowed());
        for (objects, target) in self.borrowed().chain(modules) {
            mounts.push(read_only(objects.directory.clone(), target.clone()));
            if objects.borrows {
                mounts.push(read_only(
                    covers.join(NO_ALTERNATES),
                    format!("{target}/info/alternates"),
                ));
            }
        }
        mounts
    }

    /// All its object directories as a container sees them, with colons between.
    pub(crate) fn object_path(&self) -> String {
        let own = std::iter::once(format!("{}/objects", self.place()));
        let all: Vec<_> = own.chain(self.borrowed().map(|(_, place)| place)).collect();
        all.join(":")
    }

    /// The variables of an extractor that reads it.
    #[must_use]
    pub fn environment(&self, branch: &str) -> [(&'static str, String); 5] {
        [
            ("AGENTNET_GIT", self.place()),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.object_path()),
            ("AGENTNET_OBJECT_FORMAT", self.format.clone()),
            (
                "AGENTNET_PROMISOR",
                self.promisor.clone().unwrap_or_default(),
            ),
            ("AGENTNET_BRANCH", branch.to_owned()),
        ]
    }

    /// Makes it, and pins what it shows. One that is there already, of an earlier task of the name,
    /// stays as it is.
    pub(super) async fn make(
        &self,
        repository: &Repository,
        tree: &Path,
        start: Start<'_>,
        owner: Option<(u32, u32)>,
    ) -> Result<()> {
        if self.directory.exists() {
            return Ok(());
        }
        let draft = self.directory.with_extension("new");
        self.write(repository, tree, start, owner, &draft).await?;
        for module in self.all_modules() {
            module.write(&draft, tree, start.branch, owner).await?;
        }
        // Whole or not at all.
        Ok(fs_err::rename(&draft, &self.directory)?)
    }

    /// Writes it to a place, and pins what it shows.
    async fn write(
        &self,
        repository: &Repository,
        tree: &Path,
        start: Start<'_>,
        owner: Option<(u32, u32)>,
        draft: &Path,
    ) -> Result<()> {
        let branch = start.branch;
        let admin = repository.admin_of(tree).await?.ok_or_else(|| {
            Error::Failed(format!(
                "the repository {} knows no worktree {}; agentnet gc cleans up",
                repository.root().display(),
                tree.display()
            ))
        })?;
        let shown = match self.own {
            true => clone::shown(repository, start).await?,
            false => self.shown(repository, branch).await?,
        };
        repository.pin(branch, &shown).await?;
        let config = settings::config(repository, self, branch, &shown).await?;
        let common = repository.common_dir().await?;
        let mut tips: Vec<_> = shown.iter().map(|shown| shown.oid.clone()).collect();
        let (place, branch) = (draft.to_owned(), branch.to_owned());
        // A submodule's is no mount of its own, and its list is no secret of ours: nothing but git in the
        // container and in the extractor reads it.
        let alternates = match self.name {
            None => String::new(),
            Some(_) => self.alternates(),
        };
        blocking(move || {
            tree::remove(&place)?;
            layout::write(&place, &branch, &config, &shown)?;
            fs_err::write(place.join("objects/info/alternates"), alternates)?;
            layout::copy(&place, &admin, &common)
        })
        .await?;
        if self.own {
            tips.push(start.base.to_owned());
            clone::fill(self, repository, draft, &tips).await?;
        }
        if let Some((uid, gid)) = owner {
            let place = draft.to_owned();
            blocking(move || tree::give_away(&place, uid, gid)).await?;
        }
        Ok(())
    }

    /// The refs that the task sees: branches but other tasks', tags, remote-tracking branches. Fewer
    /// where there are so many that pinning them would slow the user's repository down.
    async fn shown(&self, repository: &Repository, branch: &str) -> Result<Vec<ShownRef>> {
        const MOST: usize = 20_000;
        let own = format!("refs/heads/{branch}");
        let mut refs = repository.refs(None).await?;
        refs.retain(|r| r.name == own || !r.name.starts_with("refs/heads/agentnet/"));
        for less in ["refs/remotes/", "refs/tags/", "refs/heads/"] {
            if refs.len() > MOST {
                crate::output::tell(&format!(
                    "the repository has more than {MOST} refs: the task does not see {less}*"
                ));
                refs.retain(|r| r.name == own || !r.name.starts_with(less));
            }
        }
        Ok(refs)
    }

    /// Removes it and its pins; not found is done.
    pub(super) async fn remove(&self, repository: Option<&Repository>, branch: &str) -> Result<()> {
        let doomed = self.directory.clone();
        blocking(move || {
            tree::remove(&doomed)?;
            tree::remove(&doomed.with_extension("new"))
        })
        .await?;
        match repository {
            Some(repository) => repository.unpin(branch).await,
            None => Ok(()),
        }
    }
}
