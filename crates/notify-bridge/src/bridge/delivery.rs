//! Showing: each outlet is asked for its oldest notice, and asked again later where it could not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Bridge;
use crate::desk::{Desk, Mounted, local_time, unix_now};
use crate::ledger::{Entry, Line, Progress};
use crate::metrics::Ended;
use crate::notice::NoticeId;
use crate::outlet::{Handle, OutletError};

/// An outlet that says nothing for so long may have shown it.
const LONGEST_SHOW: Duration = Duration::from_secs(60);

/// The first wait after a failure, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// After so many attempts with one notice, about a minute, the others are tried before it: what an outlet
/// will not have must not hold up what it would. An agent may have written it for that.
const ATTEMPTS: u32 = 7;

/// What no outlet took for a day is of no use to anybody, in seconds.
const OLDEST: u64 = 24 * 3600;

/// What a piece of work ended with.
pub(crate) enum Done {
    Shown {
        seq: u64,
        id: NoticeId,
        outlet: usize,
        took: Duration,
        result: Result<Option<Handle>, OutletError>,
    },
    Answered {
        notice: Box<crate::notice::Notice>,
        result: Result<String, String>,
    },
    Withdrawn,
}

/// How each outlet is doing.
#[derive(Debug)]
pub(crate) struct Delivery {
    outlets: Vec<Doing>,
}

/// One of them.
#[derive(Debug, Default)]
pub(crate) struct Doing {
    busy: usize,
    wait: Option<Duration>,
    retry: Option<Instant>,
    /// The notice that failed last, and how often in a row.
    failing: Option<(u64, u32)>,
    /// Why the last attempt failed, until one succeeds.
    pub(crate) trouble: Option<String>,
}

impl Doing {
    /// What is to wait for the others.
    fn passed_over(&self) -> Option<u64> {
        let (seq, attempts) = self.failing?;
        (attempts >= ATTEMPTS).then_some(seq)
    }

    /// An attempt that is to be made again.
    fn failed(&mut self, seq: u64) {
        let before = match self.failing {
            Some((last, attempts)) if last == seq => attempts,
            _ => 0,
        };
        self.failing = Some((seq, before.saturating_add(1)));
        let wait = self
            .wait
            .map_or(FIRST_WAIT, |wait| (wait * 2).min(LONGEST_WAIT));
        self.wait = Some(wait);
        self.retry = Some(Instant::now() + wait);
    }
}

impl Delivery {
    /// None of them has been asked yet.
    pub(crate) fn new(outlets: usize) -> Self {
        Self {
            outlets: (0..outlets).map(|_| Doing::default()).collect(),
        }
    }

    /// Each outlet in the order of the configuration.
    pub(crate) fn outlets(&self) -> impl Iterator<Item = &Doing> {
        self.outlets.iter()
    }

    /// When an outlet that failed is asked again.
    pub(crate) fn retry(&self, desk: &Desk) -> Option<Instant> {
        let doing = self.outlets.iter().zip(&desk.mounted);
        doing
            .filter(|(_, mounted)| pending(desk, mounted, None).is_some())
            .filter_map(|(doing, _)| doing.retry)
            .min()
    }

    /// How many notices wait for an outlet.
    pub(crate) fn waiting(&self, desk: &Desk, outlet: &str) -> usize {
        let waits = |at: Option<&Progress>| at == Some(&Progress::Pending);
        let entries = desk.ledger.entries();
        entries
            .filter(|(_, entry)| waits(entry.outlets.get(outlet)))
            .count()
    }
}

/// The oldest notice that waits for an outlet and may be shown at this hour; `last` only where there is
/// no other.
fn pending(desk: &Desk, mounted: &Mounted, last: Option<u64>) -> Option<u64> {
    let (outlet, now) = (mounted.outlet.name(), local_time());
    let waits = |entry: &Entry| {
        entry.outlets.get(outlet) == Some(&Progress::Pending)
            && !mounted.rule.holds_back(&entry.notice, now)
    };
    let waiting = || desk.ledger.entries().filter(|(_, entry)| waits(entry));
    let mut others = waiting().filter(|(seq, _)| Some(*seq) != last);
    let found = others.next().or_else(|| waiting().next());
    found.map(|(seq, _)| seq)
}

impl Bridge {
    /// Asks every outlet that is free for what waits for it.
    pub(super) fn pump(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for at in 0..self.desk.mounted.len() {
            while self.ask(at, now)? {}
        }
        Ok(())
    }

    fn ask(&mut self, at: usize, now: Instant) -> io::Result<bool> {
        let (Some(mounted), Some(doing)) =
            (self.desk.mounted.get(at), self.delivery.outlets.get_mut(at))
        else {
            return Ok(false);
        };
        let waits = doing.retry.is_some_and(|retry| retry > now);
        if waits || doing.busy >= mounted.outlet.at_once() {
            return Ok(false);
        }
        let outlet = Arc::clone(&mounted.outlet);
        let name = outlet.name().to_owned();
        let Some(seq) = pending(&self.desk, mounted, doing.passed_over()) else {
            return Ok(false);
        };
        let Some(entry) = self.desk.ledger.get(seq) else {
            return Ok(false);
        };
        if entry.at + OLDEST < unix_now() && !entry.open {
            self.desk.metrics.notice(&name, Ended::Dropped);
            self.desk.ledger.note(Line::GaveUp { seq, outlet: name })?;
            return Ok(true);
        }
        let notice = entry.notice.clone();
        let earlier = entry.handles.get(&name).copied();
        self.desk.ledger.showing(seq, &name)?;
        doing.busy += 1;
        self.working.push(Box::pin(async move {
            let began = Instant::now();
            let shown = timeout(LONGEST_SHOW, outlet.show(&notice, earlier)).await;
            let result = shown.unwrap_or_else(|_| {
                let text = format!("no answer after {} s", LONGEST_SHOW.as_secs());
                Err(OutletError::Unknown(text))
            });
            Done::Shown {
                seq,
                id: notice.id,
                outlet: at,
                took: began.elapsed(),
                result,
            }
        }));
        Ok(true)
    }

    /// Writes down what a piece of work ended with.
    pub(super) fn finished(&mut self, done: Done) {
        let written = match done {
            Done::Shown {
                seq,
                id,
                outlet,
                took,
                result,
            } => self.shown(seq, &id, outlet, took, result),
            Done::Answered { notice, result } => self.acted(&notice, result),
            Done::Withdrawn => Ok(()),
        };
        self.survive(written);
    }

    fn shown(
        &mut self,
        seq: u64,
        id: &NoticeId,
        at: usize,
        took: Duration,
        result: Result<Option<Handle>, OutletError>,
    ) -> io::Result<()> {
        let (Some(mounted), Some(doing)) =
            (self.desk.mounted.get(at), self.delivery.outlets.get_mut(at))
        else {
            return Ok(());
        };
        let outlet = mounted.outlet.name().to_owned();
        doing.busy = doing.busy.saturating_sub(1);
        let metrics = Arc::clone(&self.desk.metrics);
        let line = match result {
            Ok(handle) => {
                doing.wait = None;
                doing.retry = None;
                doing.trouble = None;
                metrics.notice(&outlet, Ended::Shown);
                metrics.took(&outlet, took);
                if let Some(handle) = handle {
                    self.desk.place(id, &outlet, handle);
                }
                if let Some(entry) = self.desk.ledger.get(seq) {
                    self.reporter.shown(&entry.notice, &outlet);
                }
                Line::Shown {
                    seq,
                    outlet,
                    handle,
                }
            }
            Err(OutletError::Unavailable(text)) => {
                doing.failed(seq);
                metrics.trouble(&format!("{outlet}: {text}; trying again"));
                doing.trouble = Some(text);
                metrics.notice(&outlet, Ended::Retried);
                Line::Failed { seq, outlet }
            }
            Err(OutletError::Refused(text) | OutletError::Unknown(text)) => {
                metrics.trouble(&format!("{outlet}: {text}"));
                doing.trouble = Some(text);
                metrics.notice(&outlet, Ended::Failed);
                Line::GaveUp { seq, outlet }
            }
        };
        // One that took its place meanwhile stands there now, and stays.
        let replaced = self.desk.ledger.newest(id).is_some_and(|(at, _)| at != seq);
        let late = matches!(line, Line::Shown { .. }) && self.is_closed(seq) && !replaced;
        self.desk.ledger.note(line)?;
        if late {
            // It was withdrawn while it was being shown.
            self.withdraw(id);
        }
        Ok(())
    }

    /// Whether it carries choices and nobody waits for an answer any more.
    fn is_closed(&self, seq: u64) -> bool {
        let entry = self.desk.ledger.get(seq);
        entry.is_some_and(|entry| entry.notice.asks() && !entry.open)
    }

    /// An outlet may be asked at once again.
    pub(super) fn forgive(&mut self, outlet: &str) {
        let named = self.desk.mounted.iter().zip(&mut self.delivery.outlets);
        for (_, doing) in named.filter(|(mounted, _)| mounted.outlet.name() == outlet) {
            doing.retry = None;
            doing.wait = None;
        }
    }
}
