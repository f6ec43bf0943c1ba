//! A task's commits into the user's repository, as data: never fetched from a repository that an agent
//! wrote. An extractor lists and packs what is new, git checks every object in a quarantine, and refs
//! move by compare-and-swap.

mod decision;
mod intake;
mod listing;

use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::io::BufReader;

use self::decision::{Decision, Host};
use self::intake::Quarantine;
use self::listing::Listing;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::extractor::{Extractor, Job};
use crate::paths::StateDir;
use crate::record::Record;
use crate::scan::{self, Planted};
use crate::task::TaskId;
use crate::workspace::command::Git;
use crate::workspace::git::{BEGAN, pins};
use crate::workspace::{Repository, Workspace};

pub use self::decision::Branch;

/// The largest pack that is taken unless the user says otherwise, in bytes.
pub const LARGEST: u64 = 2 << 30;
/// How long an extractor may take to list and pack.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Branches and tags that are brought over at once.
const MOST_REFS: usize = 2_000;

/// What is done about what was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncommitted {
    /// It stays in the tree.
    Leave,
    /// It is made a commit, `refs/agentnet/wip/TASK`.
    Save,
}

/// What came over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Refs that were made or moved, and where they are now.
    pub refs: Vec<Moved>,
    /// What became of the task's branch.
    pub branch: Option<Branch>,
    /// The commit with what was not committed.
    pub wip: Option<String>,
    /// What no commit holds: it is only in the tree. A phrase each.
    pub unsaved: Vec<String>,
    /// What the task left that tools of a person's obey.
    pub planted: Vec<Planted>,
    /// What else a person wants to know, a sentence each.
    pub notes: Vec<String>,
}

/// One ref of the user's repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Its full name.
    pub name: String,
    /// Where it is now.
    pub object: String,
}

/// Brings over what a task's repository has and the user's has not. The caller holds the task's lock.
pub async fn sync<E: Engine>(
    engine: &E,
    state: &StateDir,
    record: &Record,
    uncommitted: Uncommitted,
    limit: u64,
) -> Result<Report> {
    let Workspace::Worktree {
        checkout,
        tree,
        branch,
        base,
        git,
        source,
        ..
    } = &record.workspace
    else {
        return Err(Error::Usage(format!(
            "task {} works on {} as it is: there is nothing to bring over",
            record.task,
            record.workspace.files().display()
        )));
    };
    if !git.directory.exists() {
        return Err(Error::Failed(format!(
            "task {} has no git directory any more; agentnet up {} makes one",
            record.task, record.task
        )));
    }
    let repository = Repository::at(checkout.clone());
    let host = read_host(&repository, &record.task, branch).await?;
    let facts = engine
        .facts()
        .await
        .map_err(Error::engine("asking the engine"))?;
    let extractor = Extractor::of(engine, state, &facts, record)?;

    let (to, from) = tokio::io::duplex(256 << 10);
    let doing = format!("collecting the commits of task {}", record.task);
    let save = match uncommitted {
        Uncommitted::Save => "yes",
        Uncommitted::Leave => "no",
    };
    let script = format!("{}\n{}", scan::SCRIPT, include_str!("sync/collect.sh"));
    let job = Job::git(&doing, &script)
        .arguments([save, host.began.as_deref().unwrap_or(base)])
        .within(PATIENCE)
        // The list comes before the pack.
        .at_most(limit.saturating_add(64 << 20));
    let haves: String = host.known.iter().map(|oid| format!("{oid}\n")).collect();
    let haves = std::io::Cursor::new(haves.into_bytes());
    let run = extractor.run(job, Some(Box::new(haves)), to);
    let take = async {
        let mut from = BufReader::new(from);
        let listing = Listing::read(&mut from).await?;
        let decision = decision::decide(&record.task, branch, listing, &host)?;
        if decision.wanted.len() > MOST_REFS {
            return Err(Error::Failed(format!(
                "task {} has {} branches and tags that the repository has not; at most {MOST_REFS} are \
                 brought over: delete some in the task",
                record.task,
                decision.wanted.len()
            )));
        }
        let quarantine = Quarantine::new(&repository).await?;
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
    let mut report = admit(
        &repository,
        tree,
        branch,
        decision,
        quarantine,
        any,
        git.promisor.is_some(),
    )
    .await?;
    if let Some(source) = source {
        let (place, from) = (checkout.display(), &source.address);
        report.notes.push(format!(
            "the repository is a clone of {from} and lies in {place}; git -C {place} push origin {branch} \
             publishes the task's commits, git fetch {place} {branch} gets them"
        ));
    }
    Ok(report)
}

async fn read_host(repository: &Repository, task: &TaskId, branch: &str) -> Result<Host> {
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
    let brought: std::collections::BTreeMap<_, _> =
        ours.into_iter().filter(|(name, _)| is_mine(name)).collect();
    let began = pinned.get(&format!("{space}/{BEGAN}")).cloned();
    let shown: std::collections::BTreeSet<_> = pinned.into_values().collect();
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
    repository: &Repository,
    tree: &Path,
    branch: &str,
    decision: Decision,
    quarantine: Quarantine<'_>,
    any: bool,
    promisor: bool,
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
        quarantine.is_connected(&tips, promisor).await?;
    }
    let admitted = match any {
        true => Some(quarantine.admit()?),
        false => None,
    };
    let outcome = decision.apply(repository, branch).await;
    if let Some(admitted) = admitted {
        admitted.release()?;
    }
    let mut report = outcome?;
    if let Some(Branch::Moved { from, to, .. }) = &report.branch
        && let Err(e) = follow(repository, tree, branch, from, to).await
    {
        let note = format!(
            "the index of {} does not follow: {e}; git -C {0} reset makes it",
            tree.display()
        );
        report.notes.push(note);
    }
    Ok(report)
}

/// The worktree's index is that of the branch's new commit: its files are already, because the agent
/// wrote them. No file is touched or looked at. Somebody's staged changes stay.
async fn follow(
    repository: &Repository,
    tree: &Path,
    branch: &str,
    from: &str,
    to: &str,
) -> Result<()> {
    let Some(admin) = repository.admin_of(tree).await? else {
        return Ok(());
    };
    let head = fs_err::read_to_string(admin.join("HEAD"))?;
    if head.trim_end() != format!("ref: refs/heads/{branch}") {
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
