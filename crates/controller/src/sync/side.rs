//! One repository of a task's, on both sides: what is here, what an extractor says is there, and what is
//! brought over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio::io::BufReader;

use super::decision::{self, Branch, Decision, Host};
use super::intake::Quarantine;
use super::listing::Listing;
use super::{MOST_REFS, PATIENCE, Report, Uncommitted};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::extractor::{Extractor, Job};
use crate::scan;
use crate::task::TaskId;
use crate::workspace::Repository;
use crate::workspace::command::Git;
use crate::workspace::git::{BEGAN, pins};

/// The repository here, and the task's files of it.
#[derive(Debug, Clone)]
pub(super) struct Side<'a> {
    pub(super) repository: Repository,
    pub(super) tree: PathBuf,
    pub(super) task: &'a TaskId,
    pub(super) branch: &'a str,
    /// The commit that the task began at.
    pub(super) base: &'a str,
    /// Objects may be missing that a remote has.
    pub(super) promisor: bool,
}

impl Side<'_> {
    /// Lists, packs, checks, and moves refs; all or nothing.
    pub(super) async fn bring<E: Engine>(
        &self,
        extractor: &Extractor<'_, E>,
        uncommitted: Uncommitted,
        limit: u64,
    ) -> Result<Report> {
        let host = self.host().await?;
        let (to, from) = tokio::io::duplex(256 << 10);
        let doing = format!("collecting the commits of task {}", self.task);
        let save = match uncommitted {
            Uncommitted::Save => "yes",
            Uncommitted::Leave => "no",
        };
        let script = format!("{}\n{}", scan::SCRIPT, include_str!("collect.sh"));
        let job = Job::git(&doing, &script)
            .arguments([save, host.began.as_deref().unwrap_or(self.base)])
            .within(PATIENCE)
            // The list comes before the pack.
            .at_most(limit.saturating_add(64 << 20));
        let haves: String = host.known.iter().map(|oid| format!("{oid}\n")).collect();
        let haves = std::io::Cursor::new(haves.into_bytes());
        let run = extractor.run(job, Some(Box::new(haves)), to);
        let take = async {
            let mut from = BufReader::new(from);
            let listing = Listing::read(&mut from).await?;
            let decision = decision::decide(self.task, self.branch, listing, &host)?;
            if decision.wanted.len() > MOST_REFS {
                return Err(Error::Failed(format!(
                    "task {} has {} branches and tags that the repository has not; at most {MOST_REFS} are \
                     brought over: delete some in the task",
                    self.task,
                    decision.wanted.len()
                )));
            }
            let quarantine = Quarantine::new(&self.repository).await?;
            let any = quarantine.receive(&mut from, limit).await?;
            // Whatever comes behind the pack is read and forgotten, so that the container ends.
            tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
            Ok((decision, quarantine, any))
        };
        let (ended, taken) = tokio::join!(run, take);
        // What was refused is the story; the container then only lost its reader.
        let (decision, quarantine, any) = match (taken, ended) {
            (Ok(taken), Ok(ended)) => {
                ended.ok(&doing)?;
                taken
            }
            (_, Err(e @ Error::Failed(_))) => return Err(e),
            (Err(e), Ok(ended)) => {
                ended.ok(&doing)?;
                return Err(e);
            }
            (Err(e), Err(_)) | (Ok(_), Err(e)) => return Err(e),
        };
        self.admit(decision, quarantine, any).await
    }

    async fn host(&self) -> Result<Host> {
        let Side {
            repository,
            task,
            branch,
            ..
        } = self;
        let space = pins(branch);
        let pinned = repository.below(&space).await?;
        let ours = repository.below("refs/agentnet").await?;
        let own = format!("refs/heads/{branch}");
        let at = repository.below(&own).await?.remove(&own);
        let mine: Vec<_> = ["task", "tag", "head", "stash", "wip"]
            .map(|space| format!("refs/agentnet/{space}/{task}"))
            .to_vec();
        let is_mine = |name: &str| {
            let below = |m: &String| {
                name.strip_prefix(m.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            mine.iter().any(below)
        };
        let brought: BTreeMap<_, _> = ours.into_iter().filter(|(name, _)| is_mine(name)).collect();
        let began = pinned.get(&format!("{space}/{BEGAN}")).cloned();
        let shown: BTreeSet<_> = pinned.into_values().collect();
        let known = shown
            .iter()
            .chain(brought.values())
            .chain(&at)
            .cloned()
            .collect();
        Ok(Host {
            shown,
            known,
            brought,
            branch: at,
            began,
        })
    }

    /// Objects in, refs after them, then the worktree's index.
    async fn admit(
        &self,
        decision: Decision,
        quarantine: Quarantine<'_>,
        any: bool,
    ) -> Result<Report> {
        let tips: Vec<_> = decision
            .wanted
            .iter()
            .map(|(_, oid)| oid.as_str())
            .collect();
        if !tips.is_empty() {
            let types = quarantine.types(&tips).await?;
            for ((name, _), kind) in decision.wanted.iter().zip(&types) {
                if kind != "commit" && !(kind == "tag" && name.starts_with("refs/agentnet/tag/")) {
                    return Err(Error::Failed(format!(
                        "what the task committed is refused: {name} would be no commit"
                    )));
                }
            }
            quarantine.is_connected(&tips, self.promisor).await?;
        }
        let admitted = match any {
            true => Some(quarantine.admit()?),
            false => None,
        };
        let outcome = decision.apply(&self.repository, self.branch).await;
        if let Some(admitted) = admitted {
            admitted.release()?;
        }
        let mut report = outcome?;
        if let Some(Branch::Moved { from, to, .. }) = &report.branch
            && let Err(e) = self.follow(from, to).await
        {
            let note = format!(
                "the index of {} does not follow: {e}; git -C {0} reset makes it",
                self.tree.display()
            );
            report.notes.push(note);
        }
        Ok(report)
    }

    /// The worktree's index is that of the branch's new commit: its files are already, because the agent
    /// wrote them. No file is touched or looked at. Somebody's staged changes stay.
    async fn follow(&self, from: &str, to: &str) -> Result<()> {
        let Some(admin) = self.repository.admin_of(&self.tree).await? else {
            return Ok(());
        };
        let head = fs_err::read_to_string(admin.join("HEAD"))?;
        if head.trim_end() != format!("ref: refs/heads/{}", self.branch) {
            return Ok(());
        }
        // A place without files: git is not even told where the tree is.
        let nowhere = admin.join("agentnet-nowhere");
        fs_err::create_dir_all(&nowhere)?;
        let git = || {
            Git::at(&nowhere)
                .env("GIT_DIR", &admin)
                .env("GIT_WORK_TREE", &nowhere)
        };
        let outcome = async {
            let args = ["diff-index", "--cached", "--quiet", from, "--"];
            let unstaged = git().args(args).text("diff-index").await.is_ok();
            if !unstaged {
                return Err(Error::Failed("somebody staged changes there".into()));
            }
            git().args(["read-tree", to]).text("read-tree").await
        };
        let outcome = outcome.await;
        fs_err::remove_dir(&nowhere)?;
        outcome.map(drop)
    }
}
