//! The process environment behind a seam, so that no test reads or writes the real one.
//!
//! Only `AGENTNET_*`, the two names of compose files for a parent, and what a service manager says of its
//! own business (`LISTEN_PID`, `NOTIFY_SOCKET`) are ever asked for. `HTTP_PROXY` and its kin are not: a proxy that takes its
//! upstream from its surroundings can be sent around its own policy (THREATS W91).

use std::collections::BTreeMap;
use std::fmt;

/// What all our variables begin with.
pub const PREFIX: &str = "AGENTNET_";

/// Where variables come from.
pub trait Environment: fmt::Debug {
    /// The value of `name`, if it is set and valid Unicode.
    fn get(&self, name: &str) -> Option<String>;
    /// The names of all variables that begin with [`PREFIX`].
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn names(&self) -> Vec<String> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        names.filter(|name| name.starts_with(PREFIX)).collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        BTreeMap::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys()
            .filter(|name| name.starts_with(PREFIX))
            .cloned()
            .collect()
    }
}
