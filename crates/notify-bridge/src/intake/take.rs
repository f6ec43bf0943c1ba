//! From a name in a spool to a line in the journal: moved, checked, read, written down, removed.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{RawDir, SeekFrom, fsync, seek};
use rustix::io::Errno;

use crate::alert::{Alert, LONGEST_CHOICE};
use crate::desk::{Desk, unix_now};
use crate::ledger::Origin;
use crate::name::AlertName;
use crate::notice::{Choice, Notice, NoticeId, Side, Speaker, TaskName};
use crate::own::OwnAlert;
use crate::spool::{Found, Source, remove};
use crate::spool_file::{FileMark, SpoolError, claim, claimed, mark_at};
use crate::text;

/// Nobody waits longer for an answer, in seconds.
const QUESTION: u64 = 24 * 3600;

/// What became of the names of one step.
#[derive(Default)]
pub(super) struct Batch {
    /// Something was written down.
    pub(super) took: bool,
    pub(super) removed: u64,
    /// Directories that are not empty, under an alert's name.
    pub(super) stuck: u64,
}

enum Outcome {
    /// Written down, and the file is gone.
    Taken,
    /// Nothing to show, and gone.
    Refused,
    /// It could not be moved or read now.
    Later,
    /// Nothing to show, and it stays.
    Stuck,
}

/// Takes, folds or refuses what one step of a sweep found.
///
/// # Errors
/// Where the journal cannot be written: what was not written down stays where it is.
pub(super) fn batch(
    desk: &mut Desk,
    source: &Source,
    spool: BorrowedFd<'_>,
    taken: BorrowedFd<'_>,
    found: Found,
) -> io::Result<Batch> {
    let mut batch = Batch {
        removed: found.foreign,
        ..Batch::default()
    };
    desk.metrics.refused("bad_name", found.foreign);
    desk.metrics.refused("stuck", found.stuck);
    let agent = match source {
        Source::Task(task) => Some(Speaker {
            side: Side::Agent,
            task: task.clone(),
        }),
        Source::Own => None,
    };
    let mut surplus = Vec::new();
    for name in found.alerts {
        if desk.ledger.knows_any() && is_known(desk, source, spool, &name) {
            // A crash or a power cut came between the journal and the removal.
            discard(desk, spool, name.as_str());
            continue;
        }
        // Whom nobody listens to is not read either.
        if agent.as_ref().is_some_and(|agent| !desk.admit(agent)) {
            surplus.push(name);
            continue;
        }
        let outcome = match claim(spool, &name, taken, &source.taken_name(&name)) {
            Ok(()) => take(desk, source, taken, &name)?,
            Err(error) => unmoved(desk, spool, &name, &error),
        };
        match (&outcome, &agent) {
            (Outcome::Taken, _) => batch.took = true,
            (Outcome::Refused | Outcome::Later | Outcome::Stuck, Some(agent)) => {
                desk.give_back(agent);
            }
            (Outcome::Refused | Outcome::Later | Outcome::Stuck, None) => {}
        }
        batch.removed += u64::from(matches!(outcome, Outcome::Taken | Outcome::Refused));
        batch.stuck += u64::from(matches!(outcome, Outcome::Stuck));
    }
    if let Some(agent) = agent {
        desk.fold(&agent, surplus.len() as u64)?;
        batch.removed += surplus.len() as u64;
        for name in &surplus {
            discard(desk, spool, name.as_str());
        }
    }
    if batch.took {
        // Before any outlet is asked, it is certain that the files are gone: see the ledger.
        fsync(taken)?;
        fsync(spool)?;
    }
    Ok(batch)
}

/// What an earlier process had moved and not written down, or written down and not removed.
///
/// # Errors
/// As [`batch`].
pub(super) fn leftovers(desk: &mut Desk, taken: impl AsFd) -> io::Result<bool> {
    let taken = taken.as_fd();
    let mut names = Vec::new();
    let mut buffer = Vec::with_capacity(4096);
    let mut entries = RawDir::new(taken, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        names.extend(entry.file_name().to_str().map(str::to_owned));
    }
    seek(taken, SeekFrom::Start(0))?;
    names.sort();
    let mut took = false;
    for under in names {
        let Some((source, name)) = Source::of_taken(&under) else {
            continue;
        };
        let mark = mark_at(taken, &under, &under);
        let known = |mark| {
            desk.ledger.knows(&Origin {
                source: source.clone(),
                mark,
            })
        };
        if mark.is_some_and(known) {
            discard(desk, taken, &under);
        } else {
            took |= matches!(take(desk, &source, taken, &name)?, Outcome::Taken);
        }
    }
    if took {
        fsync(taken)?;
    }
    Ok(took)
}

/// Reads a file that was moved, writes it down, and removes it.
fn take(
    desk: &mut Desk,
    source: &Source,
    taken: BorrowedFd<'_>,
    name: &AlertName,
) -> io::Result<Outcome> {
    let under = source.taken_name(name);
    let read = claimed(taken, &under).and_then(|(mark, bytes)| Ok((mark, parse(source, &bytes)?)));
    let (mark, parsed) = match read {
        Ok(read) => read,
        Err(SpoolError::Read(e)) if is_ours(&e) => {
            desk.metrics.trouble(&format!("a spool's file: {e}"));
            return Ok(Outcome::Later);
        }
        Err(error) => {
            desk.metrics.refused(error.word(), 1);
            discard(desk, taken, &under);
            return Ok(Outcome::Refused);
        }
    };
    let outcome = write_down(desk, source, name, mark, parsed)?;
    discard(desk, taken, &under);
    Ok(outcome)
}

fn parse(source: &Source, bytes: &[u8]) -> Result<OwnAlert, SpoolError> {
    Ok(match source {
        Source::Own => OwnAlert::parse(bytes)?,
        Source::Task(task) => OwnAlert {
            alert: Alert::parse(bytes)?,
            task: task.clone(),
            urgency: None,
        },
    })
}

fn write_down(
    desk: &mut Desk,
    source: &Source,
    name: &AlertName,
    mark: FileMark,
    parsed: OwnAlert,
) -> io::Result<Outcome> {
    let side = match source {
        Source::Task(_) => Side::Agent,
        Source::Own => Side::Own,
    };
    desk.metrics.taken(side, parsed.alert.kind.into());
    if *source == Source::Own {
        let task = parsed.task.clone();
        let speaker = Speaker { side, task };
        if !desk.admit(&speaker) {
            desk.fold(&speaker, 1)?;
            return Ok(Outcome::Refused);
        }
    }
    let mut notice = notice_of(&parsed.task, name, desk.ledger.next(), &parsed.alert);
    if let Some(urgency) = parsed.urgency {
        notice.urgency = urgency;
    }
    let source = source.clone();
    desk.take(notice, Some(Origin { source, mark }))?;
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
        notice.until = Some(unix_now() + QUESTION);
    }
    notice
}

/// What could not be moved is removed where it stands, unread.
fn unmoved(
    desk: &mut Desk,
    spool: BorrowedFd<'_>,
    name: &AlertName,
    error: &SpoolError,
) -> Outcome {
    match error {
        SpoolError::Read(e) if e.kind() == io::ErrorKind::NotFound => Outcome::Later,
        SpoolError::Read(e) if e.kind() == io::ErrorKind::AlreadyExists => Outcome::Later,
        SpoolError::Read(e) if is_ours(e) => {
            desk.metrics.trouble(&format!("a spool's file: {e}"));
            Outcome::Later
        }
        SpoolError::Read(_)
        | SpoolError::Name(_)
        | SpoolError::NotAFile
        | SpoolError::Linked(_)
        | SpoolError::Alert(_) => {
            if discard(desk, spool, name.as_str()) {
                desk.metrics.refused(error.word(), 1);
                Outcome::Refused
            } else {
                Outcome::Stuck
            }
        }
    }
}

/// No descriptor, memory or space left is our trouble and not the file's.
fn is_ours(error: &io::Error) -> bool {
    let error = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(
        error,
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOSPC | Errno::INTR)
    )
}

fn is_known(desk: &Desk, source: &Source, spool: BorrowedFd<'_>, name: &AlertName) -> bool {
    let mark = mark_at(spool, name.as_str(), &source.taken_name(name));
    mark.is_some_and(|mark| {
        desk.ledger.knows(&Origin {
            source: source.clone(),
            mark,
        })
    })
}

/// `false` where it cannot be removed, which is counted and, where it is no full directory, said.
fn discard(desk: &Desk, directory: BorrowedFd<'_>, name: &str) -> bool {
    let Err(e) = remove(directory, name) else {
        return true;
    };
    desk.metrics.refused("stuck", 1);
    if e.raw_os_error() != Some(Errno::NOTEMPTY.raw_os_error()) {
        desk.metrics
            .trouble(&format!("a spool's file cannot be removed: {e}"));
    }
    false
}
