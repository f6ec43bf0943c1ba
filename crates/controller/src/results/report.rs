//! `report.json`: what is there, what is not and why. `docs/report.schema.json` is its schema.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::listing::LeftOut;
use crate::scan::Planted;

/// The whole document, version 1. Later ones of the same number may add fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
    /// Format version.
    pub v: u8,
    /// The task.
    pub task: String,
    /// Its project.
    pub project: String,
    /// The agentnet that collected.
    pub agentnet: String,
    /// When `up` began.
    pub since: Timestamp,
    /// When this was collected.
    pub collected: Timestamp,
    /// How the command of `agentnet run` ended.
    pub outcome: Option<Outcome>,
    /// The task's branch, where it has one.
    pub branch: Option<String>,
    /// The commit it began at.
    pub base: Option<String>,
    /// Commits on its branches that the base has not.
    pub commits: Option<usize>,
    /// Files that differ from the base, deleted ones too; `None` where nobody knows what there was.
    pub changed_files: Option<usize>,
    /// What tools of a person's run or obey and the task made or changed, at most a hundred; `None` where
    /// nobody knows what there was.
    #[serde(default)]
    pub planted: Option<Vec<Planted>>,
    /// Hosts that answered.
    pub hosts_reached: usize,
    /// Requests that were refused, those of the proofs too.
    pub requests_refused: u64,
    /// The last proof's word.
    pub sealed: Option<bool>,
    /// Everything that was written, by path.
    pub files: Vec<Written>,
    /// Everything that was not, or not whole.
    pub left_out: Vec<LeftOut>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Outcome {
    /// The command.
    pub command: Vec<String>,
    /// The way.
    pub ended: Ended,
    /// Its exit code, where it had one.
    pub code: Option<u8>,
    /// In words, where it did not end by itself.
    pub why: Option<String>,
}

/// The ways in which a command ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// By itself.
    Exited,
    /// `--timeout` was over.
    TimedOut,
    /// Ctrl-C or SIGTERM.
    Interrupted,
    /// It could not be run, or its container or engine went away.
    Failed,
}

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Written {
    /// Below the directory.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}
