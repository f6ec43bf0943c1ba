//! One line of a whitelist, checked.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where in the load order a file stands. A later layer adds to an earlier one; a `deny` of any
/// layer holds in all.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Built in, included by `@name`.
    Preset,
    /// The project's file.
    Project,
    /// What a person granted to one task.
    Task,
}

/// The number of a line within one [`Policy`](crate::Policy).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RuleId(pub(crate) u32);

impl RuleId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A checked line and where it came from.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) file: Arc<File>,
    pub(crate) line: u32,
    pub(crate) text: Range<u32>,
    pub(crate) comment: Range<u32>,
}

/// A file that rules came from.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) layer: Layer,
    pub(crate) text: String,
}

impl Rule {
    /// The file's name as it was given to the loader; `@name` for a preset.
    pub fn file(&self) -> &str {
        &self.file.name
    }

    /// The line's number, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The layer of the file.
    pub fn layer(&self) -> Layer {
        self.file.layer
    }

    /// The line as written, without its comment and the space around it.
    pub fn text(&self) -> &str {
        self.slice(&self.text)
    }

    /// The comment on the line: the reason its author gave.
    pub fn comment(&self) -> Option<&str> {
        Some(self.slice(&self.comment)).filter(|comment| !comment.is_empty())
    }

    fn slice(&self, range: &Range<u32>) -> &str {
        self.file
            .text
            .get(range.start as usize..range.end as usize)
            .unwrap_or_default()
    }
}
