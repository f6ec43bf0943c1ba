//! `[services.NAME]`: a container beside the agent's.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde::Deserialize;

use super::{Bytes, Cpus};
use crate::spec::ImageRef;

/// `[services.NAME]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Its image.
    pub image: ImageRef,
    /// Instead of the image's arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// More environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// `uid:gid` instead of the image's user.
    pub user: Option<String>,
    /// The port it listens on, where the image does not say.
    pub port: Option<NonZeroU16>,
    /// A shell command that succeeds when the service can be used.
    pub healthcheck: Option<String>,
    /// How long to wait for that, in seconds.
    pub wait_seconds: Option<u32>,
    /// Directories kept in memory.
    #[serde(default)]
    pub tmpfs: Vec<String>,
    /// The root of the container cannot be written; `/tmp` and `tmpfs` can.
    #[serde(default)]
    pub read_only: bool,
    /// Ceiling, as `2GiB`.
    pub memory: Option<Bytes>,
    /// Ceiling, as `1.5`.
    pub cpus: Option<Cpus>,
    /// Ceiling on processes and threads.
    pub pids: Option<u32>,
}
