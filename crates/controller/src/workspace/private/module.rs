//! A submodule of the task's repository: a worktree of the person's own repository of it, as the whole is
//! one of theirs, with a git directory of its own below the task's. One level: a submodule's own
//! submodules are empty directories.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{PrivateGit, Start};
use crate::error::Result;
use crate::paths::TaskDir;
use crate::spec::Mount;
use crate::task::fnv64;
use crate::workspace::command::Git;
use crate::workspace::git::Repository;

/// More than anybody has; each is a worktree and three mounts.
const MOST: usize = 64;

/// One submodule that the person's repository has as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// Where it is, below the tree.
    pub path: PathBuf,
    /// The person's git directory of it.
    pub repository: PathBuf,
    /// The commit that the task's base names.
    pub base: String,
    /// What git in the containers works with.
    pub git: PrivateGit,
}

/// The submodules that a commit names and the person's repository has. Others are said, and stay empty.
pub(in crate::workspace) async fn find(
    repository: &Repository,
    base: &str,
    dir: &TaskDir,
    own: bool,
) -> Result<Vec<Module>> {
    let blob = format!("--blob={base}:.gitmodules");
    let args = [
        "config",
        &blob,
        "--null",
        "--get-regexp",
        r"^submodule\..*\.path$",
    ];
    // None, or a file that git cannot read: then it is no submodule for git either.
    let text = Git::at(repository.root()).args(args).bytes("config").await;
    let text = String::from_utf8_lossy(&text.unwrap_or_default()).into_owned();
    let common = repository.common_dir().await?;
    let mut found: Vec<Module> = Vec::new();
    for entry in text.split('\0').take(MOST) {
        let Some((key, path)) = entry.split_once('\n') else {
            continue;
        };
        let name = key
            .strip_prefix("submodule.")
            .and_then(|k| k.strip_suffix(".path"));
        let Some(name) = name.filter(|name| is_plain(name) && is_plain(path)) else {
            continue;
        };
        let place = common.join("modules").join(name);
        let inside = |module: &Module| {
            let other = module.git.name.as_deref().unwrap_or_default();
            Path::new(name).starts_with(other) || Path::new(other).starts_with(name)
        };
        let git = Git::at(repository.root()).env("GIT_LITERAL_PATHSPECS", "1");
        let named = git
            .args(["ls-tree", base, "--", path])
            .text("ls-tree")
            .await?;
        let named = named
            .strip_prefix("160000 commit ")
            .and_then(|rest| rest.split('\t').next());
        let Some(commit) = named else {
            continue;
        };
        let theirs = Repository::at(place.clone());
        let missing = if !place.join("HEAD").is_file() {
            "your checkout does not have it"
        } else if found.iter().any(inside) {
            "its name is a part of another's"
        } else if !theirs.has_commit(commit).await {
            "your copy of it does not have the commit"
        } else {
            ""
        };
        if !missing.is_empty() {
            let path: String = path.chars().filter(|c| !c.is_control()).take(120).collect();
            crate::output::tell(&format!(
                "the submodule {path} is empty in the task: {missing}; git submodule update --init there gets it"
            ));
            continue;
        }
        let git = PrivateGit {
            directory: dir.git().join("modules").join(name),
            name: Some(name.to_owned()),
            ..PrivateGit::of(&theirs, dir, own).await?
        };
        found.push(Module {
            path: PathBuf::from(path),
            repository: place,
            base: commit.to_owned(),
            git,
        });
    }
    Ok(found)
}

/// A path that stays where it is put, and is one line.
fn is_plain(path: &str) -> bool {
    let part = |part: Component<'_>| matches!(part, Component::Normal(part) if !part.eq_ignore_ascii_case(".git"));
    let odd = |c: char| c.is_control() || "\\:\"".contains(c);
    !path.is_empty()
        && path.len() <= 200
        && !path.contains(odd)
        && Path::new(path).components().all(part)
}

impl Module {
    /// The person's repository of it, if it is still there.
    pub(crate) fn repository(&self) -> Option<Repository> {
        self.repository
            .is_dir()
            .then(|| Repository::at(self.repository.clone()))
    }

    /// What covers its `.git` in containers, by its name beside the tree, and its text.
    pub(in crate::workspace) fn gitfile(&self) -> (String, String) {
        let name = self.git.name.as_deref().unwrap_or_default();
        let file = format!("gitfile-{:016x}", fnv64(name.as_bytes()));
        (file, format!("gitdir: {}\n", self.git.place()))
    }

    /// The cover itself; `covers` is the directory where it is.
    #[must_use]
    pub fn cover(&self, covers: &Path, workdir: &str) -> Mount {
        Mount::Bind {
            source: covers.join(self.gitfile().0),
            target: format!("{workdir}/{}/.git", self.path.display()),
            writable: false,
        }
    }

    /// Makes its files: a locked worktree on the task's branch.
    pub(in crate::workspace) async fn add(&self, tree: &Path, branch: &str) -> Result<()> {
        let repository = Repository::at(self.repository.clone());
        let _alone = repository.alone().await?;
        let tree = tree.join(&self.path);
        repository.add_worktree(&tree, branch, &self.base).await
    }

    /// Writes its git directory into a draft of the whole's.
    pub(super) async fn write(
        &self,
        draft: &Path,
        tree: &Path,
        branch: &str,
        owner: Option<(u32, u32)>,
    ) -> Result<()> {
        let place = draft
            .join("modules")
            .join(self.git.name.as_deref().unwrap_or_default());
        let repository = Repository::at(self.repository.clone());
        let start = Start {
            branch,
            base: &self.base,
            from: None,
        };
        let tree = tree.join(&self.path);
        // Boxed: it is the same step again, one level down.
        Box::pin(self.git.write(&repository, &tree, start, owner, &place)).await?;
        if let Some((uid, gid)) = owner {
            for above in place
                .ancestors()
                .skip(1)
                .take_while(|above| *above != draft)
            {
                std::os::unix::fs::lchown(above, Some(uid), Some(gid))?;
            }
        }
        Ok(())
    }

    /// Forgets everything that the person's repository knows of the task, as for the whole.
    pub(in crate::workspace) async fn forget(&self, tree: &Path, branch: &str) -> Result<()> {
        let Some(repository) = self.repository() else {
            return Ok(());
        };
        repository.unpin(branch).await?;
        let _alone = repository.alone().await?;
        repository.forget_worktree(&tree.join(&self.path)).await?;
        repository.tidy(branch).await?;
        repository.delete_branch_at(branch, &self.base).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submodule_stays_in_the_tree() {
        for good in ["lib", "third/lib", "a b"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "",
            "/etc",
            "../lib",
            "a/../../b",
            ".git",
            "a/.GIT/b",
            "a\nb",
            "a:b",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
