//! `[notify]`: may a task's agent send alerts to whoever runs `agentnet-notify`?

use serde::Deserialize;

/// `[notify]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// The agent's container has a spool.
    pub enabled: bool,
}

impl Default for Notify {
    fn default() -> Notify {
        Notify { enabled: true }
    }
}
