//! `[compose]`: services that a compose file describes.

use std::path::PathBuf;

use serde::Deserialize;

/// `[compose]`
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Compose {
    /// What `docker compose config` printed, YAML or JSON, below the checkout.
    pub file: Option<PathBuf>,
    /// Services of it that no task has: the one that the agent stands in for, above all.
    pub skip: Vec<String>,
    /// Fields that a task cannot honour and that may be left out.
    pub ignore: Vec<String>,
}
