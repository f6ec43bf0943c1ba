//! The user's repository: what is asked of it and what is changed in it.

mod worktrees;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::alternates;
use super::command::Git;
use super::private::Objects;

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

    /// Is this commit in it?
    pub(super) async fn has_commit(&self, commit: &str) -> bool {
        let commit = format!("{commit}^{{commit}}");
        let args = ["cat-file", "-e", &commit];
        git(&self.root, &args, "cat-file").await.is_ok()
    }

    /// The branch that is checked out, by its full name.
    pub(super) async fn head_branch(&self) -> Option<String> {
        let args = ["symbolic-ref", "--quiet", "HEAD"];
        git(&self.root, &args, "reading HEAD").await.ok()
    }

    /// Where its objects, refs and configuration are: of all its worktrees.
    pub(crate) async fn common_dir(&self) -> Result<PathBuf> {
        let args = ["rev-parse", "--git-common-dir"];
        let directory = git(&self.root, &args, "finding the repository").await?;
        Ok(fs_err::canonicalize(self.root.join(directory))?)
    }

    /// Where the git directories of its submodules are: those of this worktree first, then the main one's.
    pub(super) async fn module_directories(&self) -> Result<Vec<PathBuf>> {
        let args = ["rev-parse", "--git-path", "modules"];
        let own = git(&self.root, &args, "finding the submodules").await?;
        let common = self.common_dir().await?.join("modules");
        let mut places = Vec::new();
        for place in [self.root.join(own), common] {
            // git names them by their real paths.
            if let Ok(real) = fs_err::canonicalize(place)
                && !places.contains(&real)
            {
                places.push(real);
            }
        }
        Ok(places)
    }

    /// Its own object directory.
    pub(crate) async fn objects(&self) -> Result<PathBuf> {
        let args = ["rev-parse", "--git-path", "objects"];
        let own = git(&self.root, &args, "finding the objects").await?;
        Ok(fs_err::canonicalize(self.root.join(own))?)
    }

    /// Refs below a place: name and object.
    pub(crate) async fn below(&self, space: &str) -> Result<BTreeMap<String, String>> {
        let git =
            Git::at(&self.root).args(["for-each-ref", "--format=%(objectname) %(refname)", space]);
        let text = git.text("for-each-ref").await?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs
            .map(|(oid, name)| (name.to_owned(), oid.to_owned()))
            .collect())
    }

    /// Is everything of `a` in `b`?
    pub(crate) async fn is_ancestor(&self, a: &str, b: &str) -> Result<bool> {
        if a == b {
            return Ok(true);
        }
        // Empty where nothing of `a` is missing in `b`.
        let not = format!("^{b}");
        let args = ["rev-list", "--max-count=1", a, &not];
        Ok(git(&self.root, &args, "rev-list").await?.is_empty())
    }

    /// How many commits `b` has that `a` has not.
    pub(crate) async fn commits_between(&self, a: &str, b: &str) -> Result<u64> {
        let range = format!("{a}..{b}");
        let text = git(&self.root, &["rev-list", "--count", &range], "rev-list").await?;
        Ok(text.parse().unwrap_or(0))
    }

    /// Its object directory and the whole chain of its alternates, as git follows it.
    pub(super) async fn object_directories(&self) -> Result<Vec<Objects>> {
        alternates::chain(&self.objects().await?)
    }

    /// `sha1` or `sha256`.
    pub(super) async fn object_format(&self) -> Result<String> {
        let args = ["rev-parse", "--show-object-format"];
        git(&self.root, &args, "finding the object format").await
    }

    /// The remote that a partial clone fetches missing objects from.
    pub(super) async fn promisor(&self) -> Result<Option<String>> {
        if let Some(name) = self.setting("extensions.partialclone").await? {
            return Ok(Some(name));
        }
        let promising = |(key, value): (String, String)| {
            let name = key.strip_prefix("remote.")?.strip_suffix(".promisor")?;
            (value == "true").then(|| name.to_owned())
        };
        Ok(self.settings().await?.into_iter().find_map(promising))
    }

    /// Are only some files checked out?
    pub(super) async fn is_sparse(&self) -> Result<bool> {
        let value = self.setting("core.sparsecheckout").await?;
        Ok(value.is_some_and(|value| value == "true"))
    }

    async fn setting(&self, key: &str) -> Result<Option<String>> {
        let all = self.settings().await?;
        Ok(all
            .into_iter()
            .rev()
            .find_map(|(k, v)| (k == key).then_some(v)))
    }

    /// Its settings: keys in lower case where git does not mind, later ones win.
    pub(super) async fn settings(&self) -> Result<Vec<(String, String)>> {
        let git = Git::at(&self.root).args(["config", "--null", "--list"]);
        let text = git.bytes("config --list").await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let pairs = text
            .split('\0')
            .filter_map(|pair| match pair.split_once('\n') {
                Some((key, value)) => Some((key.to_owned(), value.to_owned())),
                // A key alone means yes.
                None if !pair.is_empty() => Some((pair.to_owned(), "true".to_owned())),
                None => None,
            });
        Ok(pairs.collect())
    }

    /// Its branches, tags and remote-tracking branches; those only that lead to what a commit leads
    /// to, where one is given.
    pub(super) async fn refs(&self, within: Option<&str>) -> Result<Vec<ShownRef>> {
        let format = "--format=%(objectname) %(*objectname) %(refname) %(symref)";
        let spaces = ["refs/heads", "refs/tags", "refs/remotes"];
        let git = Git::at(&self.root)
            .args(["for-each-ref", format])
            .args(within.map(|commit| format!("--merged={commit}")))
            .args(spaces);
        let text = git.text("for-each-ref").await?;
        Ok(text.lines().filter_map(ShownRef::parse).collect())
    }

    /// Keeps what the task sees from a gc of the user's.
    pub(super) async fn pin(&self, branch: &str, shown: &[ShownRef]) -> Result<()> {
        let oids: BTreeSet<_> = shown.iter().map(|r| r.oid.as_str()).collect();
        let space = pins(branch);
        let lines = oids
            .iter()
            .map(|oid| format!("update {space}/{oid} {oid}\n"));
        let own = format!("refs/heads/{branch}");
        let own = shown.iter().find(|r| r.name == own);
        let began = own.map(|own| format!("update {space}/{BEGAN} {}\n", own.oid));
        self.update_refs(lines.chain(began).collect(), "pinning what the task sees")
            .await
    }

    /// The opposite of [`Self::pin`]; none is done.
    pub(super) async fn unpin(&self, branch: &str) -> Result<()> {
        self.remove_below(&pins(branch)).await
    }

    /// Removes every ref below a place of ours; none is done.
    pub(crate) async fn remove_below(&self, space: &str) -> Result<()> {
        let names = self.below(space).await?;
        let lines = names.keys().map(|name| format!("delete {name}\n"));
        self.update_refs(lines.collect(), "removing pins").await
    }

    /// Keeps what a task of this branch sees at another place as well.
    pub(crate) async fn copy_pins(&self, branch: &str, space: &str) -> Result<()> {
        let pinned = self.below(&pins(branch)).await?;
        self.pin_at(space, pinned.values()).await
    }

    /// Keeps what is pinned at a place for a task of this branch as well.
    pub(crate) async fn share_pins(&self, space: &str, branch: &str) -> Result<()> {
        let pinned = self.below(space).await?;
        self.pin_at(&pins(branch), pinned.values()).await
    }

    async fn pin_at(&self, space: &str, oids: impl Iterator<Item = &String>) -> Result<()> {
        let oids: BTreeSet<_> = oids.collect();
        let lines = oids
            .into_iter()
            .map(|oid| format!("update {space}/{oid} {oid}\n"));
        self.update_refs(lines.collect(), "pinning what a snapshot stands on")
            .await
    }

    /// Forgets what was brought over where the task's branch leads to it as well.
    pub(super) async fn tidy(&self, branch: &str) -> Result<()> {
        let own = format!("refs/heads/{branch}");
        let Some(at) = self.below(&own).await?.remove(&own) else {
            return Ok(());
        };
        let task = branch.rsplit('/').next().unwrap_or(branch);
        let mut lines = String::new();
        for (name, oid) in self.below(&format!("refs/agentnet/task/{task}")).await? {
            if self.is_ancestor(&oid, &at).await? {
                lines.push_str(&format!("delete {name} {oid}\n"));
            }
        }
        self.update_refs(lines, "forgetting what is on the branch")
            .await
    }

    /// One transaction of `git update-ref --stdin`: all of it or nothing.
    pub(crate) async fn update_refs(&self, lines: String, doing: &str) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let git = Git::at(&self.root).args(["update-ref", "--no-deref", "--stdin"]);
        git.input(lines).text(doing).await.map(drop)
    }

    /// The person's name and address for commits, where git knows both.
    pub async fn identity(&self) -> Result<Option<(String, String)>> {
        let get = async |key: &str| {
            let value = git(&self.root, &["config", "--get", key], "").await;
            value.ok().filter(|value| !value.is_empty())
        };
        let (name, email) = (get("user.name").await, get("user.email").await);
        Ok(name.zip(email))
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

/// A ref of the user's that a task sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownRef {
    pub(super) oid: String,
    /// What a tag object leads to.
    pub(super) peeled: Option<String>,
    pub(super) name: String,
    /// The ref that a symbolic one leads to.
    pub(super) leads_to: Option<String>,
}

impl ShownRef {
    /// A line of `for-each-ref`: four words, the second and the last can be empty.
    fn parse(line: &str) -> Option<ShownRef> {
        let mut words = line.split(' ');
        let mut next = || words.next().map(str::to_owned);
        let (oid, peeled, name, leads_to) = (next()?, next()?, next()?, next());
        Some(ShownRef {
            oid,
            peeled: Some(peeled).filter(|p| !p.is_empty()),
            name,
            leads_to: leads_to.filter(|l| !l.is_empty()),
        })
    }
}

/// The pin that says where the task's branch was when the task began.
pub(crate) const BEGAN: &str = "began";

/// Where a task's pins are.
pub(crate) fn pins(branch: &str) -> String {
    let task = branch.rsplit('/').next().unwrap_or(branch);
    format!("refs/agentnet/pin/{task}")
}

async fn git(directory: &Path, args: &[&str], doing: &str) -> Result<String> {
    Git::at(directory).args(args).text(doing).await
}
