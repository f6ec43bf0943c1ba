//! The loop: look, write down, show, and act on what comes back. One task, no thread of its own.

mod delivery;
mod feedback;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::Instant;

pub(crate) use self::delivery::Delivery;
use self::delivery::Done;
use crate::desk::{Desk, Mounted, unix_now};
use crate::inbox::Inbox;
use crate::incoming::{Answerer, Incoming};
use crate::intake::Intake;
use crate::ledger::{Ledger, Line};
use crate::lock::Lock;
use crate::metrics::{Ended, Metrics};
use crate::notice::{NoticeId, NoticeKind, Side, Speaker};
use crate::outlet::Feedback;
use crate::spool::State;
use crate::status::Reporter;

/// After the journal could not be written (a full disk), everything waits so long.
const BROKEN: Duration = Duration::from_secs(5);

/// On the way out, what is being shown may end.
const PARTING: Duration = Duration::from_secs(2);

/// What a bridge is made of.
pub(crate) struct Setup {
    pub(crate) state_dir: PathBuf,
    pub(crate) mounted: Vec<Mounted>,
    /// Notices of one speaker a minute.
    pub(crate) a_minute: usize,
    /// Who acts on clicks; questions of agents are answered by the bridge itself.
    pub(crate) answerers: BTreeMap<NoticeKind, Arc<dyn Answerer>>,
    /// From sources on our own side. A channel whose senders are gone says nothing any more.
    pub(crate) incoming: mpsc::Receiver<Incoming>,
    /// From the outlets.
    pub(crate) feedback: mpsc::Receiver<Feedback>,
}

/// Why a bridge cannot start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// One bridge per state directory, so that nothing is shown twice.
    #[error("a bridge is running for {} already{}", .0.display(), .1.map(|pid| format!(" (process {pid})")).unwrap_or_default())]
    Running(PathBuf, Option<u32>),
    /// The directory or the journal.
    #[error("cannot use the state directory: {0}")]
    State(#[from] io::Error),
    /// Our own mistake in the names of metrics.
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// The state directory was removed, or another one is in its place: this bridge hears nothing any more,
/// and its lock and its journal are nobody's. The next one begins with what is there.
#[derive(Debug, thiserror::Error)]
#[error(
    "the state directory is not there any more, or another one has its name; start the bridge again"
)]
pub(crate) struct Orphaned;

/// A bridge that holds its lock and has read its journal.
pub(crate) struct Bridge {
    desk: Desk,
    intake: Intake,
    delivery: Delivery,
    answerers: BTreeMap<NoticeKind, Arc<dyn Answerer>>,
    incoming: Option<mpsc::Receiver<Incoming>>,
    feedback: Option<mpsc::Receiver<Feedback>>,
    working: FuturesUnordered<futures_util::future::BoxFuture<'static, Done>>,
    reporter: Reporter,
    /// Nothing is done before this: the journal could not be written.
    paused: Instant,
    _lock: Lock,
}

impl Bridge {
    /// Takes the lock, reads the journal, and puts what is open back in its place.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn start(setup: Setup) -> Result<Self, StartError> {
        let state = State::open(&setup.state_dir)?;
        let lock = Lock::take(&state.bridge())?.map_err(|pid| {
            let whose = setup.state_dir.clone();
            StartError::Running(whose, pid)
        })?;
        let names: Vec<String> = setup
            .mounted
            .iter()
            .map(|m| m.outlet.name().to_owned())
            .collect();
        let metrics = Arc::new(Metrics::new(&names)?);
        let (ledger, left) = Ledger::open(&state.bridge())?;
        if left.unreadable > 0 {
            let lines = left.unreadable;
            metrics.trouble(&format!("{lines} lines of the journal could not be read"));
        }
        let is_shown_again = |outlet: &str, notice: &NoticeId| {
            let clicked = setup
                .mounted
                .iter()
                .any(|m| m.outlet.name() == outlet && m.outlet.takes_clicks());
            clicked && ledger.open_one(notice).is_some()
        };
        let (again, lost): (Vec<_>, Vec<_>) = left
            .unconfirmed
            .into_iter()
            .partition(|(outlet, notice)| is_shown_again(outlet, notice));
        for (outlet, notice) in &lost {
            metrics.notice(outlet, Ended::Unconfirmed);
            metrics.trouble(&format!(
                "notice {notice} was on its way to {outlet} when the last bridge died; it is not shown again"
            ));
        }
        let reporter = Reporter::new(&state.bridge());
        let mut answerers = setup.answerers;
        let inbox = Inbox::new(State::open(&setup.state_dir)?);
        answerers.insert(NoticeKind::Clarification, Arc::new(inbox));
        let mut desk = Desk::new(ledger, setup.mounted, metrics, setup.a_minute);
        Self::put_back(&mut desk, &names, &again)?;
        Ok(Self {
            intake: Intake::new(state, &desk)?,
            delivery: Delivery::new(names.len()),
            desk,
            answerers,
            incoming: Some(setup.incoming),
            feedback: Some(setup.feedback),
            working: FuturesUnordered::new(),
            reporter,
            paused: Instant::now(),
            _lock: lock,
        })
    }

    /// The counters, for a listener.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.desk.metrics)
    }

    /// Open notices are shown again in their place; outlets that are no longer configured are not
    /// waited for. `asked`: open ones of which nobody knows whether they stand there. A second one on the
    /// screen is better than the only one with buttons that reach nobody.
    fn put_back(desk: &mut Desk, names: &[String], asked: &[(String, NoticeId)]) -> io::Result<()> {
        let mut again = Vec::new();
        let mut nobodys = Vec::new();
        for (seq, entry) in desk.ledger.entries() {
            for outlet in entry.outlets.keys() {
                if !names.contains(outlet) {
                    nobodys.push((seq, outlet.clone()));
                    continue;
                }
                let is_asked =
                    |(name, id): &(String, NoticeId)| name == outlet && *id == entry.notice.id;
                let stands = entry.handles.contains_key(outlet) || asked.iter().any(is_asked);
                if entry.open && stands {
                    again.push((seq, outlet.clone()));
                }
            }
        }
        for (seq, outlet) in nobodys {
            desk.ledger.note(Line::GaveUp { seq, outlet })?;
        }
        for (seq, outlet) in again {
            desk.ledger.again(seq, &outlet);
        }
        Ok(())
    }

    /// Runs until `end`.
    ///
    /// # Errors
    /// [`Orphaned`].
    pub(crate) async fn run(mut self, end: impl Future<Output = ()>) -> Result<(), Orphaned> {
        tokio::pin!(end);
        let ended = loop {
            self.turn();
            if self.intake.is_orphaned() {
                break Err(Orphaned);
            }
            let pause = (self.paused > Instant::now()).then_some(self.paused);
            let wake = self.wake();
            tokio::select! {
                () = &mut end => break Ok(()),
                () = self.intake.ready(), if pause.is_none() => {}
                Some(done) = self.working.next() => self.finished(done),
                heard = receive(&mut self.feedback) => self.heard(heard),
                came = receive(&mut self.incoming), if pause.is_none() => self.came(came),
                () = until(pause.or(wake)) => {}
            }
        };
        let parting = async {
            while let Some(done) = self.working.next().await {
                self.finished(done);
            }
        };
        drop(tokio::time::timeout(PARTING, parting).await);
        self.reporter.stopped();
        ended
    }

    /// Everything that is due now.
    fn turn(&mut self) {
        if self.paused > Instant::now() {
            return;
        }
        let done = self.intake.step(&mut self.desk).map(drop);
        let done = done.and_then(|()| self.desk.tell_the_rest());
        let done = done.and_then(|()| self.expire());
        let done = done.and_then(|()| self.drop_questions());
        let done = done.and_then(|()| self.pump());
        self.survive(done);
        self.count();
    }

    /// A journal that cannot be written stops everything for a while, and nothing is lost: files stay
    /// where they are.
    fn survive(&mut self, done: io::Result<()>) {
        if let Err(e) = done {
            self.desk
                .metrics
                .trouble(&format!("the journal cannot be written: {e}; trying again"));
            self.paused = Instant::now() + BROKEN;
        }
    }

    /// When something is due that no event announces.
    fn wake(&self) -> Option<Instant> {
        let now = Instant::now();
        let seconds = |until: u64| now + Duration::from_secs(until.saturating_sub(unix_now()));
        let open = self.desk.ledger.entries().filter(|(_, entry)| entry.open);
        let expires = open.filter_map(|(_, entry)| entry.notice.until).min();
        let retry = self.delivery.retry(&self.desk);
        let report = self.reporter.due();
        [self.desk.due(), expires.map(seconds), retry, report]
            .into_iter()
            .flatten()
            .min()
            .map(|at| at.max(now + Duration::from_millis(1)))
    }

    /// Unanswered ones whose time is over go.
    fn expire(&mut self) -> io::Result<()> {
        let now = unix_now();
        let entries = self.desk.ledger.entries();
        let over = entries.filter(|(_, entry)| entry.is_past(now));
        let over: Vec<NoticeId> = over.map(|(_, entry)| entry.notice.id.clone()).collect();
        for id in over {
            self.close(&id)?;
        }
        Ok(())
    }

    /// Questions of tasks that are gone go.
    fn drop_questions(&mut self) -> io::Result<()> {
        if !self.intake.has_looked() {
            return Ok(());
        }
        let gone = self.desk.ledger.entries().filter(|(_, entry)| {
            let question = entry.notice.kind == NoticeKind::Clarification;
            entry.open && question && !self.intake.has_spool(&entry.notice.task)
        });
        let gone: Vec<NoticeId> = gone.map(|(_, entry)| entry.notice.id.clone()).collect();
        for id in gone {
            self.close(&id)?;
        }
        Ok(())
    }

    fn came(&mut self, came: Option<Incoming>) {
        let done = match came {
            None => {
                self.incoming = None;
                Ok(())
            }
            Some(Incoming::Withdraw(id)) => self.close(&id),
            Some(Incoming::Show(notice)) => {
                let speaker = Speaker {
                    side: Side::Proxy,
                    task: notice.task.clone(),
                };
                // Its source was killed before it could note that it had told this, and tells it again.
                if self.desk.ledger.open_one(&notice.id).is_some() {
                    return;
                }
                self.desk.metrics.taken(Side::Proxy, notice.kind);
                if self.desk.admit(&speaker) {
                    self.desk.take(*notice, None)
                } else {
                    self.desk.fold(&speaker, 1)
                }
            }
        };
        self.survive(done);
    }

    fn count(&mut self) {
        let metrics = &self.desk.metrics;
        for mounted in &self.desk.mounted {
            let name = mounted.outlet.name();
            metrics.waiting(name, self.delivery.waiting(&self.desk, name));
        }
        let open = self.desk.ledger.entries().filter(|(_, entry)| entry.open);
        metrics.open(open.count());
        self.reporter.report(&self.desk, &self.delivery);
    }
}

/// The next message, or never where the channel is gone.
async fn receive<T>(channel: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match channel {
        Some(channel) => channel.recv().await,
        None => std::future::pending().await,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The bridge's directory below a state directory, for who only reads.
pub(crate) fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join("notify").join("bridge")
}

#[cfg(test)]
mod tests;
