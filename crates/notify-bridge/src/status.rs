//! What a bridge says of itself, in a file beside its journal, for `agentnet-notify status`.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::bridge::Delivery;
use crate::desk::{Desk, unix_now};
use crate::notice::{Notice, NoticeKind, TaskName, Urgency};
use crate::text::CleanText;

/// Alerts that are remembered.
const LAST: usize = 20;

/// Between two writings.
const PAUSE: Duration = Duration::from_secs(1);

/// The file.
const NAME: &str = "status.json";

/// Longer is not what a bridge wrote.
const LONGEST: u64 = 1024 * 1024;

/// The version of the document.
pub(crate) const VERSION: u8 = 1;

/// The document, which `status --json` prints with `running` put right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) v: u8,
    /// Whether a bridge holds the lock; not from the file.
    #[serde(default)]
    pub(crate) running: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
    /// Unix seconds.
    pub(crate) started: u64,
    pub(crate) written: u64,
    pub(crate) spools: u64,
    pub(crate) open: u64,
    pub(crate) taken: u64,
    pub(crate) folded: u64,
    pub(crate) refused: Vec<Count>,
    pub(crate) outlets: Vec<OutletStatus>,
    /// Newest last.
    pub(crate) last: VecDeque<Shown>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// How often, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) reason: String,
    pub(crate) count: u64,
}

/// One outlet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutletStatus {
    pub(crate) name: String,
    pub(crate) waiting: usize,
    pub(crate) shown: u64,
    pub(crate) failed: u64,
    pub(crate) unconfirmed: u64,
    /// Why the last attempt failed, until one succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// One notice that was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) at: u64,
    pub(crate) task: TaskName,
    pub(crate) kind: NoticeKind,
    pub(crate) urgency: Urgency,
    pub(crate) title: CleanText,
    pub(crate) body: CleanText,
    pub(crate) outlets: Vec<String>,
}

/// Reads the last report below a state directory.
///
/// # Errors
/// When it cannot be read or is none.
pub(crate) fn read(directory: &Path) -> io::Result<Option<Status>> {
    use std::io::Read;
    let file = match std::fs::File::open(directory.join(NAME)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// Writes the report, at most once a second and only when something changed.
#[derive(Debug)]
pub(crate) struct Reporter {
    directory: PathBuf,
    started: u64,
    last: VecDeque<Shown>,
    ids: VecDeque<String>,
    written: Option<(Instant, Status)>,
    /// What the counters had come to then.
    seen: u64,
    late: bool,
}

impl Reporter {
    /// Goes on with the alerts that an earlier bridge showed.
    pub(crate) fn new(directory: &Path) -> Self {
        let earlier = read(directory).ok().flatten().unwrap_or_default();
        Self {
            directory: directory.to_owned(),
            started: unix_now(),
            ids: earlier.last.iter().map(|_| String::new()).collect(),
            last: earlier.last,
            written: None,
            seen: 0,
            late: false,
        }
    }

    /// An outlet has shown a notice.
    pub(crate) fn shown(&mut self, notice: &Notice, outlet: &str) {
        if let Some(at) = self.ids.iter().position(|id| *id == notice.id.0)
            && let Some(shown) = self.last.get_mut(at)
        {
            shown.outlets.push(outlet.to_owned());
            shown.outlets.sort();
            shown.outlets.dedup();
            return;
        }
        self.last.push_back(Shown {
            at: unix_now(),
            task: notice.task.clone(),
            kind: notice.kind,
            urgency: notice.urgency,
            title: notice.title.clone(),
            body: notice.body.clone(),
            outlets: vec![outlet.to_owned()],
        });
        self.ids.push_back(notice.id.0.clone());
        while self.last.len() > LAST {
            self.last.pop_front();
            self.ids.pop_front();
        }
    }

    /// When the file is to be written.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (at, _) = self.written.as_ref()?;
        self.late.then(|| *at + PAUSE)
    }

    /// Writes it if something changed and it is time.
    pub(crate) fn report(&mut self, desk: &Desk, delivery: &Delivery) {
        let changes = desk.metrics.changes();
        if changes == self.seen {
            return;
        }
        let now = Instant::now();
        self.late = self
            .written
            .as_ref()
            .is_some_and(|(at, _)| *at + PAUSE > now);
        if self.late {
            return;
        }
        self.seen = changes;
        let status = self.status(desk, delivery);
        if let Err(e) = self.write(&status) {
            desk.metrics.trouble(&format!("the status file: {e}"));
        }
        self.written = Some((now, status));
    }

    /// The bridge ends as it should.
    pub(crate) fn stopped(&mut self) {
        if let Some((_, mut status)) = self.written.take() {
            status.last.clone_from(&self.last);
            status.written = unix_now();
            // Nobody is left to tell.
            drop(self.write(&status));
        }
    }

    fn write(&self, status: &Status) -> io::Result<()> {
        let new = self.directory.join("status.new");
        std::fs::write(&new, serde_json::to_vec_pretty(status)?)?;
        std::fs::rename(new, self.directory.join(NAME))
    }

    fn status(&self, desk: &Desk, delivery: &Delivery) -> Status {
        let metrics = &desk.metrics;
        let sum = |name: &str| metrics.counts(name).iter().map(|(_, count)| count).sum();
        let refused = metrics.counts("refused_total").into_iter();
        let refused = refused.filter(|(_, count)| *count > 0);
        let notices = metrics.counts("notices_total");
        let outlets = desk.mounted.iter().zip(delivery.outlets());
        let outlets = outlets.map(|(mounted, doing)| {
            let name = mounted.outlet.name();
            let of = |outcome: &str| {
                let of = |labels: &[String]| labels == [outcome, name] || labels == [name, outcome];
                let found = notices.iter().find(|(labels, _)| of(labels));
                found.map_or(0, |(_, count)| *count)
            };
            OutletStatus {
                name: name.to_owned(),
                waiting: delivery.waiting(desk, name),
                shown: of("shown"),
                failed: of("failed"),
                unconfirmed: of("unconfirmed"),
                trouble: doing.trouble.clone(),
            }
        });
        Status {
            v: VERSION,
            running: true,
            pid: Some(std::process::id()),
            started: self.started,
            written: unix_now(),
            spools: metrics.spool_count(),
            open: desk
                .ledger
                .entries()
                .filter(|(_, entry)| entry.open)
                .count() as u64,
            taken: sum("alerts_total"),
            folded: sum("folded_total"),
            refused: refused
                .map(|(labels, count)| Count {
                    reason: labels.join(","),
                    count,
                })
                .collect(),
            outlets: outlets.collect(),
            last: self.last.clone(),
            trouble: metrics.last_trouble(),
        }
    }
}
