//! From files to notices: every spool is swept, in turn and in bounded steps, and each alert is
//! written down before its file is removed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use tokio::time::Instant;

use crate::alert::{Alert, LONGEST_CHOICE};
use crate::desk::{Desk, unix_now};
use crate::hints::{Heard, Hints};
use crate::ledger::Origin;
use crate::name::AlertName;
use crate::notice::{Choice, Notice, NoticeId, Side, Speaker, TaskName};
use crate::own::OwnAlert;
use crate::spool::{Found, Source, State, Sweep, is_absent, remove};
use crate::spool_file::{SpoolError, bytes_at, mark_at};
use crate::text;

/// Everything is looked at after so long, whatever inotify said.
const RESCAN: Duration = Duration::from_secs(10);

/// The same where inotify cannot be had.
const RESCAN_BLIND: Duration = Duration::from_secs(1);

/// A new task's directories appear one after the other.
const SOON: Duration = Duration::from_millis(200);

/// Between two looks at one directory that is being written to.
const PACE: Duration = Duration::from_millis(5);

/// Between two looks at one that is being flooded: a thousand names each time, and a processor for
/// everybody else.
const FLOODED: Duration = Duration::from_millis(20);

/// A directory with so much that cannot be removed is looked at with the rescans only.
const CROWDED: u64 = 64;

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
    crowded: bool,
}

/// All spools of a state directory.
pub(crate) struct Intake {
    state: State,
    hints: Option<Hints<Place>>,
    spools: BTreeMap<Source, Spool>,
    rescan: Instant,
    listen: Instant,
    /// No spool was looked at before this process: files of an earlier one may be there.
    first: bool,
}

impl Intake {
    /// Looks at everything at once, then.
    pub(crate) fn new(state: State, desk: &Desk) -> Self {
        let hints = Hints::new();
        if let Err(e) = &hints {
            desk.metrics
                .trouble(&format!("inotify: {e}; spools are looked at every second"));
        }
        let now = Instant::now();
        Self {
            state,
            hints: hints.ok(),
            spools: BTreeMap::new(),
            rescan: now,
            listen: now,
            first: true,
        }
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

    fn hear(&mut self, source: &Source, now: Instant) {
        if let Some(spool) = self.spools.get_mut(source).filter(|spool| !spool.crowded) {
            spool.heard = true;
            if spool.sweep.is_none() {
                spool.due.get_or_insert(now);
            }
        }
    }

    /// Does what is due, a bounded part of it. `true` where notices were taken or told.
    ///
    /// # Errors
    /// Where the journal cannot be written: nothing is removed then.
    pub(crate) fn step(&mut self, desk: &mut Desk) -> io::Result<bool> {
        let now = Instant::now();
        if self.rescan <= now {
            self.discover(desk, now);
        }
        let due = |spool: &Spool| spool.due.is_some_and(|at| at <= now);
        let sources: Vec<Source> = self
            .spools
            .iter()
            .filter(|(_, spool)| due(spool))
            .map(|(source, _)| source.clone())
            .collect();
        let mut took = false;
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
                    spool.crowded = false;
                    if spool.sweep.is_none() {
                        spool.due = Some(now);
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
        self.spools = spools;
        desk.metrics.spools(self.spools.len());
        if let Err(e) = watched {
            desk.metrics
                .trouble(&format!("inotify: {e}; spools are looked at every second"));
            self.hints = None;
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
        let batch = take_batch(desk, source, sweep.directory(), found);
        let busy = batch.as_ref().map_or(true, |batch| batch.removed > 64);
        let pace = if busy { FLOODED } else { PACE };
        if ended {
            spool.crowded = spool.stuck > CROWDED;
            spool.due = (spool.heard && !spool.crowded).then_some(now + pace);
        } else {
            spool.sweep = Some(sweep);
            spool.due = Some(now + pace);
        }
        Ok(batch?.took)
    }
}

/// What became of the names of one step.
#[derive(Default)]
struct Batch {
    took: bool,
    removed: u64,
}

/// Takes, folds or refuses each alert, and removes its file.
fn take_batch(
    desk: &mut Desk,
    source: &Source,
    directory: BorrowedFd<'_>,
    found: Found,
) -> io::Result<Batch> {
    let mut batch = Batch {
        removed: found.foreign,
        ..Batch::default()
    };
    desk.metrics.refused("bad_name", found.foreign);
    desk.metrics.refused("stuck", found.stuck);
    let mut surplus = Vec::new();
    for name in found.alerts {
        if desk.ledger.knows_any() && is_known(desk, source, directory, &name) {
            batch.removed += 1;
            discard(desk, source, directory, &name);
            continue;
        }
        let outcome = match source {
            Source::Task(task) => {
                let speaker = Speaker {
                    side: Side::Agent,
                    task: task.clone(),
                };
                // Whom nobody listens to is not read either.
                if !desk.admit(&speaker) {
                    surplus.push(name);
                    continue;
                }
                let outcome = take_alert(desk, source, task, directory, &name)?;
                if !matches!(outcome, Outcome::Taken) {
                    desk.give_back(&speaker);
                }
                outcome
            }
            Source::Own => take_own(desk, source, directory, &name)?,
        };
        match outcome {
            Outcome::Later => continue,
            Outcome::Taken => batch.took = true,
            Outcome::Refused => {}
        }
        batch.removed += 1;
        discard(desk, source, directory, &name);
    }
    if let Source::Task(task) = source {
        let speaker = Speaker {
            side: Side::Agent,
            task: task.clone(),
        };
        desk.fold(&speaker, surplus.len() as u64)?;
        batch.removed += surplus.len() as u64;
        for name in &surplus {
            discard(desk, source, directory, name);
        }
    }
    if batch.took {
        // Before any outlet is asked, it is certain that the files are gone: see the ledger.
        rustix::fs::fsync(directory)?;
    }
    Ok(batch)
}

enum Outcome {
    /// Written down.
    Taken,
    /// Nothing to show.
    Refused,
    /// It cannot be read now, for a reason of ours.
    Later,
}

fn take_alert(
    desk: &mut Desk,
    source: &Source,
    task: &TaskName,
    directory: BorrowedFd<'_>,
    name: &AlertName,
) -> io::Result<Outcome> {
    let read =
        bytes_at(directory, name).and_then(|(mark, bytes)| Ok((mark, Alert::parse(&bytes)?)));
    let (mark, alert) = match read {
        Ok(read) => read,
        Err(error) => return Ok(refuse(desk, &error)),
    };
    let seq = desk.ledger.next();
    let notice = notice_of(task, name, seq, &alert);
    desk.metrics.taken(Side::Agent, notice.kind);
    let origin = Origin {
        source: source.clone(),
        mark,
    };
    desk.take(notice, Some(origin))?;
    Ok(Outcome::Taken)
}

fn take_own(
    desk: &mut Desk,
    source: &Source,
    directory: BorrowedFd<'_>,
    name: &AlertName,
) -> io::Result<Outcome> {
    let read = bytes_at(directory, name);
    let read = read.and_then(|(mark, bytes)| Ok((mark, OwnAlert::parse(&bytes)?)));
    let (mark, own) = match read {
        Ok(read) => read,
        Err(error) => return Ok(refuse(desk, &error)),
    };
    let speaker = Speaker {
        side: Side::Own,
        task: own.task.clone(),
    };
    desk.metrics.taken(Side::Own, own.alert.kind.into());
    if !desk.admit(&speaker) {
        desk.fold(&speaker, 1)?;
        return Ok(Outcome::Refused);
    }
    let mut notice = notice_of(&own.task, name, desk.ledger.next(), &own.alert);
    if let Some(urgency) = own.urgency {
        notice.urgency = urgency;
    }
    let origin = Origin {
        source: source.clone(),
        mark,
    };
    desk.take(notice, Some(origin))?;
    Ok(Outcome::Taken)
}

/// The name of a notice of a file has the journal's number: an agent may use a name twice.
fn notice_of(task: &TaskName, name: &AlertName, seq: u64, alert: &Alert) -> Notice {
    let stem = name.as_str().trim_end_matches(".json");
    let id = NoticeId(format!("{task}/{stem}/{seq}"));
    let mut notice = Notice::new(id, task.clone(), alert.kind.into(), &alert.text);
    let choices = alert.choices.iter().enumerate();
    notice.choices = choices
        .map(|(at, label)| Choice {
            key: at.to_string(),
            label: text::line(label, LONGEST_CHOICE),
        })
        .collect();
    if notice.asks() {
        notice.about = Some(stem.to_owned());
    }
    notice
}

fn refuse(desk: &Desk, error: &SpoolError) -> Outcome {
    use io::ErrorKind;
    if let SpoolError::Read(e) = error {
        // No descriptor or memory left is our trouble and not the file's; gone is gone.
        let ours = matches!(
            e.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOMEM)
        );
        if ours || e.kind() == ErrorKind::Interrupted {
            desk.metrics.trouble(&format!("a spool's file: {e}"));
            return Outcome::Later;
        }
        if e.kind() == ErrorKind::NotFound {
            return Outcome::Later;
        }
    }
    desk.metrics.refused(error.word(), 1);
    Outcome::Refused
}

fn is_known(desk: &Desk, source: &Source, directory: BorrowedFd<'_>, name: &AlertName) -> bool {
    mark_at(directory, name.as_str()).is_some_and(|mark| {
        desk.ledger.knows(&Origin {
            source: source.clone(),
            mark,
        })
    })
}

fn discard(desk: &mut Desk, source: &Source, directory: BorrowedFd<'_>, name: &AlertName) {
    if let Err(e) = remove(directory, name.as_str()) {
        desk.metrics.refused("stuck", 1);
        desk.metrics
            .trouble(&format!("a spool's file cannot be removed: {e}"));
        if let Some(mark) = mark_at(directory, name.as_str()) {
            let source = source.clone();
            desk.ledger.cannot_remove(Origin { source, mark });
        }
    }
}
