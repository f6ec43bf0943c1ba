//! The lines of the journal.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::notice::{Notice, Speaker};
use crate::outlet::Handle;
use crate::spool::Source;
use crate::spool_file::FileMark;

/// Which file a notice came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) mark: FileMark,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// A notice waits for these outlets.
    Took {
        seq: u64,
        /// Unix seconds.
        at: u64,
        notice: Box<Notice>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
        outlets: Vec<String>,
        /// What outlets call the notice whose place it takes.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        earlier: BTreeMap<String, Handle>,
    },
    /// An outlet is being asked.
    Showing { seq: u64, outlet: String },
    /// It has shown it.
    Shown {
        seq: u64,
        outlet: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        handle: Option<Handle>,
    },
    /// It could not, and is asked again.
    Failed { seq: u64, outlet: String },
    /// It is not asked again.
    GaveUp { seq: u64, outlet: String },
    /// Answered, dismissed, withdrawn or too old.
    Closed { seq: u64 },
    /// Alerts that were removed and are told of together.
    Folded { speaker: Speaker, count: u64 },
    /// They were told of.
    Told { speaker: Speaker },
}
