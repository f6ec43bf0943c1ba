//! A submodule of the task's repository: a worktree of the person's own repository of it, as the whole is
//! one of theirs, with a git directory of its own below the task's. Its own submodules are the same again,
//! one level down, as git itself nests their directories: `modules/A/modules/B`.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{PrivateGit, Start};
use crate::error::Result;
use crate::paths::TaskDir;
use crate::spec::Mount;
use crate::task::fnv64;
use crate::workspace::command::Git;
use crate::workspace::git::Repository;

/// More than anybody has, of all levels together; each is a worktree and three mounts.
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
    /// What git in the containers works with; its own submodules are in there.
    pub git: PrivateGit,
}

/// The submodules that a commit names and the person's repository has, and theirs. Others are said, and stay empty.
pub(in crate::workspace) async fn find(
    repository: &Repository,
    base: &str,
    dir: &TaskDir,
    own: bool,
) -> Result<Vec<Module>> {
    let mut search = Search {
        dir,
        own,
        left: MOST,
    };
    let whole = Above {
        repository,
        base,
        path: Path::new(""),
        name: None,
    };
    search.below(whole).await
}

/// Where a commit has a submodule: name, path and commit.
pub(in crate::workspace) async fn named(
    repository: &Repository,
    base: &str,
) -> Result<Vec<(String, String, String)>> {
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
    let mut found = Vec::new();
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
        let git = Git::at(repository.root()).env("GIT_LITERAL_PATHSPECS", "1");
        let args = ["ls-tree", base, "--", path];
        let listed = git.args(args).text("ls-tree").await?;
        let commit = listed
            .strip_prefix("160000 commit ")
            .and_then(|rest| rest.split('\t').next());
        if let Some(commit) = commit {
            found.push((name.to_owned(), path.to_owned(), commit.to_owned()));
        }
    }
    Ok(found)
}

/// Says which submodules a clone of an address has not: their addresses are the repository's words, and the person's
/// credentials are not for those.
pub(in crate::workspace) async fn tell_left_out(repository: &Repository, base: &str) -> Result<()> {
    const SHOWN: usize = 5;
    let all = named(repository, base).await?;
    if all.is_empty() {
        return Ok(());
    }
    let paths = all
        .iter()
        .take(SHOWN)
        .map(|(_, path, _)| printable(Path::new(path)));
    let mut list = paths.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = all.len().checked_sub(SHOWN) {
        list.push_str(&format!(" and {more} more"));
    }
    crate::output::tell(&format!(
        "submodules are empty in a clone of an address, because nobody fetches with your credentials what a repository \
         names: {list}; in the task git submodule update --init gets what the whitelist lets through, and a task of a \
         checkout that has them (git clone --recurse-submodules) has them too"
    ));
    Ok(())
}

/// Looks for them.
struct Search<'a> {
    dir: &'a TaskDir,
    own: bool,
    /// How many more are taken.
    left: usize,
}

/// Whose submodules are looked for.
struct Above<'a> {
    repository: &'a Repository,
    base: &'a str,
    /// Where it is, below the tree.
    path: &'a Path,
    /// Its name, if it is a submodule itself.
    name: Option<&'a str>,
}

impl Search<'_> {
    async fn below(&mut self, above: Above<'_>) -> Result<Vec<Module>> {
        let places = above.repository.module_directories().await?;
        let mut names: Vec<String> = Vec::new();
        let mut found: Vec<Module> = Vec::new();
        for (name, path, commit) in named(above.repository, above.base).await? {
            let path = above.path.join(path);
            let Some(rest) = self.left.checked_sub(1) else {
                tell_empty(&path, &format!("a task has {MOST} submodules at most"));
                continue;
            };
            let inside = |other: &String| {
                Path::new(&name).starts_with(other) || Path::new(other).starts_with(&name)
            };
            if names.iter().any(inside) {
                tell_empty(&path, "its name is a part of another's");
                continue;
            }
            let there = places.iter().map(|place| place.join(&name));
            let there: Vec<_> = there.filter(|place| place.join("HEAD").is_file()).collect();
            let mut theirs = None;
            for place in &there {
                let repository = Repository::at(place.clone());
                if repository.has_commit(&commit).await {
                    theirs = Some(repository);
                    break;
                }
            }
            let Some(theirs) = theirs else {
                tell_empty(
                    &path,
                    match there.is_empty() {
                        true => {
                            "your checkout does not have it, or not below .git/modules; git submodule update --init \
                             --recursive there gets it, git submodule absorbgitdirs moves it"
                        }
                        false => {
                            "your copy of it does not have the commit; git submodule update --init --recursive in \
                             your checkout gets it"
                        }
                    },
                );
                continue;
            };
            self.left = rest;
            let whole = match above.name {
                None => name.clone(),
                Some(above) => format!("{above}/modules/{name}"),
            };
            let next = Above {
                repository: &theirs,
                base: &commit,
                path: &path,
                name: Some(&whole),
            };
            // Boxed: it is the same step again, one level down.
            let modules = Box::pin(self.below(next)).await?;
            let git = PrivateGit {
                directory: self.dir.git().join("modules").join(&whole),
                name: Some(whole.clone()),
                modules,
                ..PrivateGit::of(&theirs, self.dir, self.own).await?
            };
            names.push(name);
            found.push(Module {
                path,
                repository: theirs.root().to_owned(),
                base: commit,
                git,
            });
        }
        Ok(found)
    }
}

fn tell_empty(path: &Path, why: &str) {
    crate::output::tell(&format!(
        "the submodule {} is empty in the task: {why}",
        printable(path)
    ));
}

/// For a terminal, and not long.
fn printable(path: &Path) -> String {
    let path = path.to_string_lossy();
    path.chars().filter(|c| !c.is_control()).take(120).collect()
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

    /// The host's own `.git` of it in a tree, as a line of [`crate::workspace::Workspace::links`]; `None`: the
    /// repository knows no such worktree any more.
    pub(in crate::workspace) async fn link(&self, tree: &Path) -> Result<Option<String>> {
        let Some(repository) = self.repository() else {
            return Ok(None);
        };
        let admin = repository.admin_of(&tree.join(&self.path)).await?;
        let path = self.path.display();
        Ok(admin.map(|admin| format!("{path}\tgitdir: {}\n", admin.display())))
    }

    /// The same where the files are in a volume: nothing covers it there.
    pub(in crate::workspace) fn covered(&self) -> String {
        format!("{}\t{}", self.path.display(), self.gitfile().1)
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
