//! Which of the person's keys a task may use.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Fingerprint;

/// Which keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Keys {
    /// All that the person's agent has, now and later.
    All,
    /// These.
    Named(BTreeSet<Fingerprint>),
}

impl Keys {
    /// Is it one of them?
    #[must_use]
    pub fn have(&self, key: &Fingerprint) -> bool {
        match self {
            Keys::All => true,
            Keys::Named(keys) => keys.contains(key),
        }
    }
}
