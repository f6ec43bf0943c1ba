//! From files to notices: every spool is swept, in turn and in bounded steps, and each alert is
//! written down before its file is removed.

mod take;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::time::Instant;

use crate::desk::{Desk, unix_now};
use crate::hints::{Heard, Hints};
use crate::notice::TaskName;
use crate::spool::{MOST_TASKS, Source, State, Sweep, is_absent};

/// Everything is looked at after so long, whatever inotify said.
const RESCAN: Duration = Duration::from_secs(10);

/// The same where inotify cannot be had.
const RESCAN_BLIND: Duration = Duration::from_secs(1);

/// After inotify could not be had, it is asked for again so much later: somebody may have let go of it.
const DEAF: Duration = Duration::from_secs(60);

/// A new task's directories appear one after the other.
const SOON: Duration = Duration::from_millis(200);

/// Between two looks at one directory that is being written to.
const PACE: Duration = Duration::from_millis(5);

/// Between two looks at one that is being flooded: a thousand names each time, and a processor for
/// everybody else.
const FLOODED: Duration = Duration::from_millis(20);

/// After a directory with more than so much that cannot be removed, it is left alone for twenty times as
/// long as the look took: it costs a twentieth of a processor at most, and never more than a minute.
const CROWDED: u64 = 64;
const REST: u32 = 20;
const LONGEST_REST: Duration = Duration::from_secs(60);

/// What a hint is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Place {
    /// A directory in which new tasks or spools appear.
    Tree,
    Spool(Source),
}

/// One spool and when it is to be looked at.
#[derive(Debug, Default)]
struct Spool {
    sweep: Option<Sweep>,
    due: Option<Instant>,
    heard: bool,
    /// In this sweep.
    stuck: u64,
    began: Option<Instant>,
    /// Not looked at before.
    rested: Option<Instant>,
}

impl Spool {
    /// The next moment from `now` on at which it may be looked at.
    fn when(&self, now: Instant) -> Instant {
        self.rested.map_or(now, |rested| rested.max(now))
    }
}

/// All spools of a state directory.
pub(crate) struct Intake {
    state: State,
    taken: OwnedFd,
    hints: Option<Hints<Place>>,
    spools: BTreeMap<Source, Spool>,
    rescan: Instant,
    listen: Instant,
    /// The tasks that have a spool may be others than before.
    looked: bool,
    /// No spool was looked at before this process: files of an earlier one may be there.
    first: bool,
    orphaned: bool,
    /// When inotify is tried again, after it could not be had.
    deaf_until: Instant,
}

impl Intake {
    /// Looks at everything at its first step.
    ///
    /// # Errors
    /// When the directory for files that are being taken cannot be opened.
    pub(crate) fn new(state: State, desk: &Desk) -> io::Result<Self> {
        let hints = Hints::new();
        if let Err(e) = &hints {
            desk.metrics
                .trouble(&format!("inotify: {e}; spools are looked at every second"));
        }
        let now = Instant::now();
        Ok(Self {
            taken: state.taken()?,
            state,
            hints: hints.ok(),
            spools: BTreeMap::new(),
            rescan: now,
            listen: now,
            looked: false,
            first: true,
            orphaned: false,
            deaf_until: now + DEAF,
        })
    }

    /// Waits until [`Intake::step`] has something to do. Cancel safe.
    pub(crate) async fn ready(&mut self) {
        let spools = self.spools.values().filter_map(|spool| spool.due);
        let due = spools.min().unwrap_or(self.rescan).min(self.rescan);
        let listen = self.listen;
        let Some(hints) = &mut self.hints else {
            return tokio::time::sleep_until(due).await;
        };
        let heard = tokio::select! {
            () = tokio::time::sleep_until(due) => return,
            heard = async { tokio::time::sleep_until(listen).await; hints.heard().await } => heard,
        };
        let now = Instant::now();
        self.listen = now + PACE;
        match heard {
            Ok(Heard::In(places)) => {
                for place in places {
                    match place {
                        Place::Tree => self.rescan = self.rescan.min(now),
                        Place::Spool(source) => self.hear(&source, now),
                    }
                }
            }
            Ok(Heard::Everywhere) => self.rescan = now,
            Err(_) => self.hints = None,
        }
    }

    fn listen_again(&mut self, now: Instant) {
        if self.hints.is_none() && self.deaf_until <= now {
            self.hints = Hints::new().ok();
            self.deaf_until = now + DEAF;
        }
    }

    /// Whether all tasks were looked for since this was asked last.
    pub(crate) fn has_looked(&mut self) -> bool {
        std::mem::take(&mut self.looked)
    }

    /// Whether a task had a spool then.
    pub(crate) fn has_spool(&self, task: &TaskName) -> bool {
        self.spools.contains_key(&Source::Task(task.clone()))
    }

    fn hear(&mut self, source: &Source, now: Instant) {
        if let Some(spool) = self.spools.get_mut(source) {
            spool.heard = true;
            let when = spool.when(now);
            if spool.sweep.is_none() {
                spool.due.get_or_insert(when);
            }
        }
    }

    /// Whether the state directory is not there any more, or another one: as of the last look at all of it.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.orphaned
    }

    /// Does what is due, a bounded part of it. `true` where notices were taken or told.
    ///
    /// # Errors
    /// Where the journal cannot be written: nothing is removed then.
    pub(crate) fn step(&mut self, desk: &mut Desk) -> io::Result<bool> {
        let now = Instant::now();
        let mut took = false;
        if self.rescan <= now {
            self.orphaned = !self.state.is_there();
            if self.orphaned {
                return Ok(false);
            }
            self.listen_again(now);
            took |= take::leftovers(desk, &self.taken)?;
            self.discover(desk, now);
        }
        let due = |spool: &Spool| spool.due.is_some_and(|at| at <= now);
        let sources: Vec<Source> = self
            .spools
            .iter()
            .filter(|(_, spool)| due(spool))
            .map(|(source, _)| source.clone())
            .collect();
        for source in &sources {
            took |= self.look(source, desk, now)?;
        }
        let idle = |spool: &Spool| spool.due.is_none();
        if self.first && self.spools.values().all(idle) {
            self.first = false;
            desk.ledger.forget_known();
        }
        Ok(took)
    }

    /// Finds all spools, watches them, and looks at each.
    fn discover(&mut self, desk: &Desk, now: Instant) {
        let usual = if self.hints.is_some() {
            RESCAN
        } else {
            RESCAN_BLIND
        };
        self.rescan = now + usual;
        let (tasks, parents) = match self.state.tasks() {
            Ok(found) => found,
            Err(e) => return desk.metrics.trouble(&format!("the state directory: {e}")),
        };
        if tasks.len() >= MOST_TASKS {
            desk.metrics.trouble(&format!(
                "there are {MOST_TASKS} tasks and perhaps more: the rest is not looked at"
            ));
        }
        let mut watched = Ok(());
        for parent in parents {
            watched = watched.and(self.watch(&parent, Place::Tree));
        }
        let tasks = tasks.into_iter().map(Source::Task);
        let mut spools = BTreeMap::new();
        for source in tasks.chain([Source::Own]) {
            match self.state.out(&source) {
                Ok(directory) => {
                    if let Some(hints) = &mut self.hints {
                        let place = Place::Spool(source.clone());
                        watched = watched.and(hints.watch(directory, place));
                    }
                    let mut spool = self.spools.remove(&source).unwrap_or_else(|| {
                        // Its files may come right behind it.
                        self.rescan = self.rescan.min(now + SOON);
                        Spool::default()
                    });
                    if spool.sweep.is_none() {
                        spool.due = Some(spool.when(now));
                    }
                    spools.insert(source, spool);
                }
                Err(e) => {
                    if let Source::Task(task) = &source {
                        if is_absent(&e) {
                            let below = format!("tasks/{}/{}", task.project, task.task);
                            watched = watched.and(self.watch(&below, Place::Tree));
                        } else {
                            desk.metrics.trouble(&format!("the spool of {task}: {e}"));
                        }
                    }
                }
            }
        }
        self.looked = true;
        self.spools = spools;
        desk.metrics.spools(self.spools.len());
        if let Err(e) = watched {
            desk.metrics
                .trouble(&format!("inotify: {e}; spools are looked at every second"));
            self.hints = None;
            self.deaf_until = now + DEAF;
            self.rescan = self.rescan.min(now + RESCAN_BLIND);
        }
    }

    fn watch(&mut self, below: &str, place: Place) -> io::Result<()> {
        let Some(hints) = &mut self.hints else {
            return Ok(());
        };
        match self.state.beneath(below) {
            Ok(directory) => hints.watch(directory, place),
            Err(e) if is_absent(&e) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// One step of one spool's sweep.
    fn look(&mut self, source: &Source, desk: &mut Desk, now: Instant) -> io::Result<bool> {
        let Some(spool) = self.spools.get_mut(source) else {
            return Ok(false);
        };
        let mut sweep = match spool.sweep.take() {
            Some(sweep) => sweep,
            None => {
                spool.heard = false;
                spool.stuck = 0;
                spool.began = Some(now);
                match self.state.out(source) {
                    Ok(directory) => {
                        Sweep::new(directory, i64::try_from(unix_now()).unwrap_or(i64::MAX))
                    }
                    Err(_) => {
                        // Gone with its task; the next rescan drops it.
                        spool.due = None;
                        return Ok(false);
                    }
                }
            }
        };
        let found = match sweep.step() {
            Ok(found) => found,
            Err(e) => {
                spool.due = None;
                desk.metrics.trouble(&format!("a spool: {e}"));
                return Ok(false);
            }
        };
        let ended = found.ended;
        spool.stuck += found.stuck;
        let (spool_directory, taken) = (sweep.directory(), self.taken.as_fd());
        let batch = take::batch(desk, source, spool_directory, taken, found);
        spool.stuck += batch.as_ref().map_or(0, |batch| batch.stuck);
        let busy = batch.as_ref().map_or(true, |batch| batch.removed > 64);
        let pace = if busy { FLOODED } else { PACE };
        if ended {
            let took = spool.began.map_or(pace, |began| now.duration_since(began));
            let rest = (took * REST).clamp(pace, LONGEST_REST);
            spool.rested = (spool.stuck > CROWDED).then(|| now + rest);
            spool.due = spool.heard.then(|| spool.when(now + pace));
        } else {
            spool.sweep = Some(sweep);
            spool.due = Some(now + pace);
        }
        Ok(batch?.took)
    }
}
