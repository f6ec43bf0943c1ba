//! A repository that is elsewhere: what `--clone ADDRESS` names. It is fetched by the person's own git,
//! with their credentials, into a bare repository of ours: nothing is checked out there, nothing in it
//! is another's configuration, and no program that its content names is started (ADR 9).

use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::command::Git;
use super::git::Repository;
use super::private::without_secrets;
use super::{blocking, tree};
use crate::error::{Error, Result};
use crate::paths::StateDir;
use crate::task::Slug;

/// Ways of fetching that start no program that the address names, as `ext::` does.
const PROTOCOLS: [&str; 5] = ["https", "ssh", "http", "git", "file"];

/// What a fetch may not do, and what it has to look at. The four that are let pass are in the history of
/// many an old repository, and harmless.
const FETCH: [&str; 11] = [
    "fetch.fsckObjects=true",
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.fsck.missingEmail=ignore",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "transfer.bundleURI=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "init.templateDir=",
];

/// An address that may be fetched from, without a password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    text: String,
    branch: Option<String>,
}

/// Where a clone came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// As git takes it.
    pub address: String,
    /// The branch that the task begins at, there.
    pub branch: String,
}

impl FromStr for Address {
    type Err = String;

    /// `https://`, `ssh://`, `git@host:path`, `file:///`; with `#BRANCH` behind it, or where HEAD is.
    fn from_str(text: &str) -> std::result::Result<Address, String> {
        let no_address = || {
            format!(
                "{:?} is no address of a repository: https://…, ssh://…, git@host:path or file:///… \
                 (the task's name comes before --clone)",
                text.chars().take(200).collect::<String>()
            )
        };
        let (address, branch) = match text.split_once('#') {
            Some((address, branch)) => (address, Some(branch.to_owned())),
            None => (text, None),
        };
        let odd = |c: char| c.is_control() || c.is_whitespace();
        if address.starts_with('-') || text.contains(odd) || branch.as_deref() == Some("") {
            return Err(no_address());
        }
        let known = match address.split_once("://") {
            Some((scheme, rest)) => PROTOCOLS.contains(&scheme) && !rest.is_empty(),
            // host:path, and not a helper's name:: or a path of this machine.
            None => !address.contains("::") && without_secrets(address).is_some(),
        };
        if !known {
            return Err(no_address());
        }
        if without_secrets(address).is_some_and(|plain| plain != address) {
            return Err(
                "the address holds a password or a token, which would be written down with the task; leave it \
                 out, and let git's credential helper give it (git config credential.helper)"
                    .to_owned(),
            );
        }
        Ok(Address {
            text: address.to_owned(),
            branch,
        })
    }
}

impl Address {
    /// Without the branch.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A project's name made of its last part.
    #[must_use]
    pub fn project(&self) -> Option<Slug> {
        let name = self.text.trim_end_matches('/');
        let name = name.rsplit(['/', ':']).next().unwrap_or(name);
        Slug::from_text(name.strip_suffix(".git").unwrap_or(name))
    }

    /// Asks where to begin: the commit, and what is to be fetched. Changes nothing. `there` is where it
    /// would be fetched to.
    pub(super) async fn look(&self, state: &StateDir, there: &Path) -> Result<(String, Source)> {
        if let Some(path) = self.text.strip_prefix("file://")
            && fs_err::canonicalize(path).is_ok_and(|real| real.starts_with(state.root()))
        {
            return Err(Error::Usage(format!(
                "{path} lies in agentnet's own state; an agent may have written it"
            )));
        }
        self.is_free(there).await?;
        let head = match &self.branch {
            Some(branch) => format!("refs/heads/{branch}"),
            None => "HEAD".to_owned(),
        };
        let git = Git::at(Path::new("/")).with_the_persons();
        let git = git.env("GIT_ALLOW_PROTOCOL", PROTOCOLS.join(":"));
        let args = ["ls-remote", "--symref", "--", &self.text, &head];
        let doing = format!("ls-remote {}", self.text);
        let said = git.args(args).text(&doing).await?;
        let mut branch = self.branch.clone();
        let mut commit = None;
        for line in said.lines() {
            match line.split_once('\t') {
                Some((target, name)) if name == head => match target.strip_prefix("ref: ") {
                    Some(target) => {
                        branch = target.strip_prefix("refs/heads/").map(str::to_owned);
                    }
                    None => commit = Some(target.to_owned()),
                },
                Some(_) | None => {}
            }
        }
        let hex = |commit: &String| {
            matches!(commit.len(), 40 | 64) && commit.bytes().all(|b| b.is_ascii_hexdigit())
        };
        let (Some(commit), Some(branch)) = (commit.filter(hex), branch) else {
            return Err(Error::Config(format!(
                "the repository at {} has no {}; name a branch behind the address: #BRANCH",
                self.text,
                self.branch.as_deref().unwrap_or("branch that HEAD is on")
            )));
        };
        let address = self.text.clone();
        Ok((commit, Source { address, branch }))
    }

    /// Commits of an earlier task of the name may be there, of another repository.
    async fn is_free(&self, there: &Path) -> Result<()> {
        if !there.exists() {
            return Ok(());
        }
        let git = Git::at(there).args(["config", "--get", "remote.origin.url"]);
        let of = git.text("config").await.unwrap_or_default();
        if of == self.text {
            return Ok(());
        }
        Err(Error::InUse(format!(
            "{} holds commits of an earlier task of this name, of {of}; fetch them and remove it, or choose \
             another name",
            there.display()
        )))
    }
}

impl Source {
    /// The ref in the clone that is the branch there.
    pub(super) fn tracking(&self) -> String {
        format!("refs/remotes/origin/{}", self.branch)
    }

    /// Fetches the branch into a bare repository, which is made first; one that is there is brought up
    /// to date. `base` must be in it then.
    pub(super) async fn fetch(&self, to: &Path, base: &str) -> Result<()> {
        if !to.exists() {
            let draft = to.with_extension("new");
            let old = draft.clone();
            blocking(move || tree::remove(&old)).await?;
            self.init(&draft, base).await?;
            fs_err::rename(&draft, to)?;
        }
        let refspec = format!("+refs/heads/{}:{}", self.branch, self.tracking());
        let mut git = Git::at(to)
            .with_the_persons()
            .env("GIT_ALLOW_PROTOCOL", PROTOCOLS.join(":"));
        for setting in FETCH {
            git = git.setting(setting.to_owned());
        }
        let args = [
            "fetch",
            "--quiet",
            "--no-write-fetch-head",
            "--",
            "origin",
            &refspec,
        ];
        git.args(args)
            .text(&format!("fetch {}", self.address))
            .await?;
        if Repository::at(to.to_owned()).has_commit(base).await {
            return Ok(());
        }
        Err(Error::Failed(format!(
            "the branch {} of {} was rewritten while it was fetched; run agentnet up again",
            self.branch, self.address
        )))
    }

    async fn init(&self, place: &Path, base: &str) -> Result<()> {
        fs_err::create_dir_all(place)?;
        let format = match base.len() {
            64 => "--object-format=sha256",
            _ => "--object-format=sha1",
        };
        let args = ["init", "--quiet", "--bare", "--template=", format];
        Git::at(place).args(args).text("init").await?;
        // For the person who works with it later.
        let settings = [
            ("remote.origin.url", self.address.as_str()),
            ("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"),
        ];
        for (key, value) in settings {
            let args = ["config", "--", key, value];
            Git::at(place).args(args).text("config").await?;
        }
        Ok(())
    }
}

/// Removes a clone in which nothing is but what was fetched; not found is done.
pub(crate) async fn remove_if_empty(place: &Path) -> Result<()> {
    if place.is_dir() {
        let repository = Repository::at(place.to_owned());
        for space in ["refs/heads", "refs/agentnet"] {
            if !repository.below(space).await?.is_empty() {
                return Ok(());
            }
        }
    }
    for doomed in [place.to_owned(), place.with_extension("new")] {
        blocking(move || tree::remove(&doomed)).await?;
    }
    // The project's directory, if this was the last.
    if let Some(parent) = place.parent() {
        drop(fs_err::remove_dir(parent));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_starts_no_program_and_holds_no_secret() {
        let cases = [
            ("https://git.example/a/b.git", Ok(("b", None))),
            (
                "https://git.example/a/b.git#fix/1",
                Ok(("b", Some("fix/1"))),
            ),
            ("ssh://git@git.example:2222/My_Repo", Ok(("my-repo", None))),
            ("git@git.example:a/b.git", Ok(("b", None))),
            ("file:///srv/git/b.git/", Ok(("b", None))),
            ("https://me:s3cret@git.example/a", Err("credential helper")),
            ("https://t0ken@git.example/a", Err("credential helper")),
            ("ssh://git:pw@git.example/a", Err("credential helper")),
            ("ext::sh -c x", Err("is no address")),
            ("ext::sh", Err("is no address")),
            ("ext://x", Err("is no address")),
            ("fd::7", Err("is no address")),
            ("--upload-pack=x", Err("is no address")),
            ("-oProxyCommand=x:a", Err("is no address")),
            ("/home/me/a", Err("is no address")),
            ("../a", Err("is no address")),
            ("fix-42", Err("comes before --clone")),
            ("https://", Err("is no address")),
            ("https://git.example/a#", Err("is no address")),
            ("https://git.example/a\nb", Err("is no address")),
        ];
        for (text, expected) in cases {
            let found = text.parse::<Address>();
            match (found, expected) {
                (Ok(address), Ok((project, branch))) => {
                    assert_eq!(address.project().unwrap().as_str(), project, "{text}");
                    assert_eq!(address.branch.as_deref(), branch, "{text}");
                }
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{text}: {why}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
