//! `[workspace]`: the task's files.

use serde::Deserialize;

/// `[workspace]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workspace {
    /// Every task has a clone of its own: it shares no objects with the repository.
    pub clone: bool,
}
