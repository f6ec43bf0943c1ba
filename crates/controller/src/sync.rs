//! A task's commits into the user's repository, as data: never fetched from a repository that an agent
//! wrote. An extractor lists and packs what is new, git checks every object in a quarantine, and refs
//! move by compare-and-swap.

mod decision;
mod intake;
mod listing;
mod side;

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use self::side::Side;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::extractor::Extractor;
use crate::paths::StateDir;
use crate::record::Record;
use crate::scan::Planted;
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
    /// What came over of submodules, into the person's repositories of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<OfModule>,
}

/// What came over of one submodule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OfModule {
    /// Where it is, below the tree.
    pub path: PathBuf,
    /// As for the whole.
    #[serde(flatten)]
    pub report: Report,
}

impl Report {
    /// Everything of the tree is in a commit that came over.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let modules = self.modules.iter().all(|module| module.report.is_whole());
        self.wip.is_none() && self.unsaved.is_empty() && modules
    }
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
    let facts = engine
        .facts()
        .await
        .map_err(Error::engine("asking the engine"))?;
    let extractor = Extractor::of(engine, state, &facts, record)?;
    let whole = Side {
        repository: Repository::at(checkout.clone()),
        tree: tree.clone(),
        task: &record.task,
        branch,
        base,
        promisor: git.promisor.is_some(),
    };
    // Submodules first, and theirs before them: commits that name others come after those.
    let (mut modules, mut notes) = (Vec::new(), Vec::new());
    for module in git.all_modules().into_iter().rev() {
        let path = &module.path;
        let Some(repository) = module.repository() else {
            let place = module.repository.display();
            notes.push(format!(
                "the submodule {} stays in the task: your repository of it, {place}, is gone",
                path.display()
            ));
            continue;
        };
        let side = Side {
            repository,
            tree: tree.join(path),
            base: &module.base,
            promisor: module.git.promisor.is_some(),
            ..whole.clone()
        };
        let extractor = extractor.in_module(module, branch);
        let report = side.bring(&extractor, uncommitted, limit).await;
        let report =
            report.map_err(|e| Error::Failed(format!("the submodule {}: {e}", path.display())))?;
        let path = path.clone();
        modules.push(OfModule { path, report });
    }
    let mut report = whole.bring(&extractor, uncommitted, limit).await?;
    report.modules = modules;
    report.notes.append(&mut notes);
    if let Some(source) = source {
        let (place, from) = (checkout.display(), &source.address);
        report.notes.push(format!(
            "the repository is a clone of {from} and lies in {place}; git -C {place} push origin {branch} \
             publishes the task's commits, git fetch {place} {branch} gets them"
        ));
    }
    Ok(report)
}
