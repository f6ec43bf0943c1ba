//! What a task leaves behind for the person: its changes, commits, logs, decisions and declared
//! outputs, in a directory of theirs.
//!
//! Files of the task are read by the extractor only, and every part has a bound. A part that cannot
//! be had is named in the report and never keeps the others back: results are wanted most when
//! something went wrong.

mod cut;
mod files;
mod listing;
mod network;
mod outputs;
mod proxy_log;
mod report;
#[cfg(test)]
mod schema;
mod shelf;
mod traces;
mod unpack;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

pub use self::listing::{Bounds, LeftOut};
pub use self::network::{Network, Reached, Refused};
pub use self::outputs::Outputs;
pub use self::proxy_log::ProxyLog;
pub use self::report::{Ended, Outcome, Report, Written};
use self::shelf::Shelf;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::extractor::Extractor;
use crate::facts::Facts;
use crate::paths::{StateDir, TaskDir};
use crate::record::Record;
use crate::workspace::Workspace;

/// Makes the directory, or says why results cannot go there; `files` are the task's own.
pub fn prepare(directory: &Path, files: &Path) -> Result<()> {
    Shelf::make(directory, files).map(drop)
}

/// The most of each part. Whatever an agent does, results fit on a small disk.
mod most {
    use super::Bounds;

    pub(super) const CHANGED: Bounds = Bounds {
        files: 10_000,
        each: 16 << 20,
        all: 256 << 20,
    };
    pub(super) const OUTPUTS: Bounds = CHANGED;
    pub(super) const LISTING: u64 = 16 << 20;
    pub(super) const PATCH: u64 = 256 << 20;
    pub(super) const STATUS: u64 = 4 << 20;
    pub(super) const COMMITS: usize = 10_000;
    pub(super) const LOG: usize = 32 << 20;
    pub(super) const DECISIONS: usize = 256 << 20;
    /// Lines of an agent's or a service's log: the last ones.
    pub(super) const LINES: u32 = 100_000;
}

/// How long one look at the files may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Collects.
#[derive(Debug)]
pub struct Collector<'a, E> {
    engine: &'a E,
    dir: TaskDir,
    record: &'a Record,
    facts: Facts,
    extractor: Result<Extractor<'a, E>>,
    shelf: Shelf,
}

/// What one part has to tell the report.
#[derive(Debug, Default)]
struct Part {
    count: Option<usize>,
    left_out: Vec<LeftOut>,
}

impl Part {
    fn none(what: &str, why: impl Into<String>) -> Part {
        Part {
            count: None,
            left_out: vec![LeftOut::new(what, why)],
        }
    }
}

impl<'a, E: Engine> Collector<'a, E> {
    /// For one task; `directory` is new or empty.
    pub async fn new(
        engine: &'a E,
        state: &StateDir,
        record: &'a Record,
        directory: &Path,
    ) -> Result<Collector<'a, E>> {
        let shelf = Shelf::make(directory, record.workspace.files())?;
        let facts = engine.facts().await;
        let facts = facts.map_err(Error::engine("asking the engine"))?;
        Ok(Collector {
            engine,
            dir: state.task(&record.task),
            record,
            extractor: Extractor::of(engine, state, &facts, record),
            facts,
            shelf,
        })
    }

    /// Puts everything there, the report last.
    pub async fn collect(&self, outcome: Option<Outcome>) -> Result<Report> {
        let (changes, status, commits, planted, outputs, logs, decisions) = futures_util::join!(
            self.changes(),
            self.status(),
            self.commits(),
            self.planted(),
            self.outputs(),
            self.logs(),
            self.decisions(),
        );
        self.environment()?;
        let (network, mut left_out) = decisions?;
        let mut count = |part: Result<Part>, what: &str| {
            let part = part.unwrap_or_else(|e| Part::none(what, e.to_string()));
            left_out.extend(part.left_out);
            part.count
        };
        let changed_files = count(changes, "changes.patch");
        count(status, "git-status.txt");
        let commits = count(commits, "commits.json");
        count(outputs, "outputs");
        count(logs, "logs");
        let planted = planted.unwrap_or_else(|e| {
            left_out.push(LeftOut::new("planted", e.to_string()));
            None
        });
        let (branch, base) = match &self.record.workspace {
            Workspace::Worktree { branch, base, .. } => (Some(branch.clone()), Some(base.clone())),
            Workspace::Directory { .. } => (None, None),
        };
        let report = Report {
            v: 1,
            task: self.record.task.task.to_string(),
            project: self.record.task.project.to_string(),
            agentnet: env!("CARGO_PKG_VERSION").to_owned(),
            since: self.record.since,
            collected: Timestamp::now(),
            outcome,
            branch,
            base,
            commits,
            changed_files,
            planted,
            hosts_reached: network.reached.len(),
            requests_refused: network.refused.iter().map(|r| r.requests).sum(),
            sealed: network.proof.as_ref().map(|proof| proof.sealed),
            files: self.shelf.contents()?,
            left_out,
        };
        self.shelf.json("report.json", &report)?;
        Ok(report)
    }
}
