//! `[results]`: what a task is to leave behind.

use serde::Deserialize;

/// `[results]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Results {
    /// Files that `agentnet results` takes along, as globs below the task's files.
    pub outputs: Vec<String>,
}
