//! What was last seen of a task's disk, in its directory: no container sees it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::paths::{TaskDir, write_atomically};
use crate::stats::figures::bytes;

/// The last look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Format version.
    pub v: u8,
    /// Which `up` it is of.
    pub since: Timestamp,
    /// Bytes of the task's files at the first look.
    pub before: u64,
    /// Bytes that were free on their disk then.
    pub free_before: Option<u64>,
    /// When.
    pub at: Timestamp,
    /// Bytes that the task wrote.
    pub written: u64,
    /// The most it may write.
    pub ceiling: Option<u64>,
    /// Why it was stopped.
    pub stopped: Option<String>,
}

impl Ledger {
    /// Of a task; `None` where nobody has looked yet.
    #[must_use]
    pub fn read(dir: &TaskDir) -> Option<Ledger> {
        serde_json::from_str(&fs_err::read_to_string(dir.disk()).ok()?).ok()
    }

    pub(super) fn write(&self, dir: &TaskDir) -> Result<()> {
        let text = serde_json::to_string(self).map_err(std::io::Error::from)?;
        write_atomically(&dir.disk(), &text)
    }

    /// `1.2G/20G`.
    #[must_use]
    pub fn figure(&self) -> String {
        match self.ceiling {
            Some(ceiling) => format!("{}/{}", bytes(self.written), bytes(ceiling)),
            None => bytes(self.written),
        }
    }
}
