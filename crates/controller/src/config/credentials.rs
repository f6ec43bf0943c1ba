//! `[credentials]`: what of the person's a task is given. Nothing, unless it is named here and granted.

use serde::Deserialize;

use crate::ssh_agent::Fingerprint;

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
    /// The person's SSH agent.
    pub ssh_agent: SshKeys,
    /// Variables of the person's environment.
    pub env: Vec<String>,
}

/// `ssh_agent`: whether, or which of its keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "ssh_agent is true, false or a list of fingerprints as ssh-add -l prints them (SHA256:…)"
)]
pub enum SshKeys {
    /// All or none.
    All(bool),
    /// These.
    Named(Vec<Fingerprint>),
}

impl Default for SshKeys {
    fn default() -> SshKeys {
        SshKeys::All(false)
    }
}
