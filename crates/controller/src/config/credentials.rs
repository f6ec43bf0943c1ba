//! `[credentials]`: what of the person's a task is given. Nothing, unless it is named here and granted.

use serde::Deserialize;

/// `[credentials]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// The person's name and address for commits.
    pub git_identity: bool,
    /// The token of the GitHub CLI.
    pub gh: bool,
    /// The agent's login, which all tasks share.
    pub login: bool,
    /// Variables of the person's environment.
    pub env: Vec<String>,
}
