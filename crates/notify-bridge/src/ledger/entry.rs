//! One notice in the journal.

use std::collections::BTreeMap;

use super::Origin;
use crate::notice::{Notice, Speaker};
use crate::outlet::Handle;

/// How far one outlet is with one notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not shown yet.
    Pending,
    /// Asked, and not answered yet.
    Showing,
    /// Shown, or given up: not tried again.
    Done,
}

/// One notice, for as long as there is something to do with it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    /// Unix seconds at which it was taken.
    pub(crate) at: u64,
    pub(crate) notice: Notice,
    pub(crate) outlets: BTreeMap<String, Progress>,
    pub(crate) handles: BTreeMap<String, Handle>,
    /// Waits for a click.
    pub(crate) open: bool,
    pub(super) origin: Option<Origin>,
}

/// A notice that was taken so many seconds in the future was taken by a clock that was set back since.
const AHEAD: u64 = 3600;

impl Entry {
    /// It waits for a click, and its time is over. Also where nobody can say any more when that is:
    /// a button that opens a host for ten minutes must not wait for years.
    pub(crate) fn is_past(&self, now: u64) -> bool {
        let over = self.notice.until.is_some_and(|until| until <= now);
        let ahead = self.notice.until.is_some() && self.at > now.saturating_add(AHEAD);
        self.open && (over || ahead)
    }

    /// Nothing is left to do with it.
    pub(super) fn is_over(&self) -> bool {
        !self.open && self.outlets.values().all(|at| *at == Progress::Done)
    }
}

/// A notice that is being taken.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) notice: Notice,
    /// The file that it came from.
    pub(crate) origin: Option<Origin>,
    /// Who shall show it.
    pub(crate) outlets: Vec<String>,
    /// What they call the notice whose place it takes.
    pub(crate) earlier: BTreeMap<String, Handle>,
    /// Open ones whose place it takes.
    pub(crate) closes: Vec<u64>,
    /// Whose folded alerts it tells of.
    pub(crate) tells: Option<Speaker>,
}
