//! Volumes, and what is mounted in a container.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::labels::Labels;

/// A volume to create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeSpec {
    /// Engine-wide name.
    pub name: String,
    /// Our labels.
    pub labels: Labels,
}

/// A place inside a container and what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Mount {
    /// A file or directory of the host.
    Bind {
        /// On the host, absolute.
        source: PathBuf,
        /// In the container.
        target: String,
        /// The container may write there.
        writable: bool,
    },
    /// A named volume.
    Volume {
        /// The volume. An engine that does not have it makes it: then it is labelled too.
        volume: VolumeSpec,
        /// In the container.
        target: String,
        /// The container may write there.
        writable: bool,
        /// An empty volume is first filled with what the image has at `target`.
        fill: bool,
    },
    /// Memory, gone with the container.
    Memory {
        /// In the container.
        target: String,
        /// At most so many bytes; `None`: what the container's memory holds.
        size: Option<u64>,
    },
    /// A directory for mounts of ours alone, which nobody can write, move or replace: not even who owns what is above it.
    Frame {
        /// In the container.
        target: String,
    },
}

impl Mount {
    /// The volume, where there is one, else the directory.
    #[must_use]
    pub fn either(
        volume: Option<&VolumeSpec>,
        directory: &Path,
        target: String,
        writable: bool,
    ) -> Mount {
        match volume {
            Some(volume) => Mount::Volume {
                volume: volume.clone(),
                target,
                writable,
                fill: false,
            },
            None => Mount::Bind {
                source: directory.to_owned(),
                target,
                writable,
            },
        }
    }
}
