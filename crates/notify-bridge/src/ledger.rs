//! What the bridge remembers over its own death: a journal of what was taken, shown and closed.
//!
//! # Once, and never twice
//!
//! The order for one alert, each step on disk before the next begins:
//!
//! 1. The file is moved from the spool into `taken/`, which its writer cannot reach.
//! 2. `took`: the notice and the mark of its file are written here and synced.
//! 3. The file is removed, and both directories are synced.
//! 4. `showing`: per outlet, synced. Only now is the outlet asked.
//! 5. `shown`: not synced; what is lost with the power is at step 4 then.
//!
//! Killed before 2, the file is in the spool or in `taken/`, and is taken next time. Killed between 2
//! and 3, it is there and known by its mark: it is removed, and the notice, which no outlet has
//! seen, is shown. (After a power cut the move itself may be undone; the mark finds the file in the
//! spool, too.) Killed after 3, the notice is here. Killed between 4 and 5, nobody can know whether the
//! outlet had shown it: D-Bus and a webhook have no such question. It is **not** shown again, is
//! counted as `unconfirmed`, and stands in `agentnet-notify status`. So a `kill -9` costs at most
//! the notices that were on their way to an outlet in that moment, milliseconds each, and never shows
//! one twice. Delete then show would lose every notice of a desktop that is not there yet; show then
//! delete would show again whatever a crash caught between the two.
//!
//! What waits for a click is the exception: D-Bus delivers a click only to the connection that sent the
//! notification, so open ones are shown again by the next bridge, in the place of the old one.

mod entry;
mod journal;
mod line;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::path::Path;

pub(crate) use self::entry::{Entry, Progress, Taken};
use self::journal::Journal;
pub(crate) use self::line::{Line, Origin};
use crate::notice::{NoticeId, Speaker};

/// The journal and what it says.
#[derive(Debug)]
pub(crate) struct Ledger {
    journal: Journal,
    next: u64,
    entries: BTreeMap<u64, Entry>,
    /// Alerts that nobody was told of one by one, and not yet together.
    folded: HashMap<Speaker, u64>,
    /// Files that were taken by an earlier process, and are perhaps still there.
    known: HashSet<Origin>,
}

/// What an earlier process left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Outlets that were being asked when it died, with the notice.
    pub(crate) unconfirmed: Vec<(String, NoticeId)>,
    /// Lines that could not be read: one torn at the end is what a power cut leaves.
    pub(crate) unreadable: u64,
}

impl Ledger {
    /// Opens the journal in `directory`, which exists, and writes it anew without what is over.
    ///
    /// # Errors
    /// When it cannot be read or written; the file is named.
    pub(crate) fn open(directory: &Path) -> io::Result<(Self, Left)> {
        let path = directory.join("ledger.jsonl");
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        let (journal, text, torn) = Journal::open(&path).map_err(named)?;
        let mut ledger = Self {
            journal,
            next: 0,
            entries: BTreeMap::new(),
            folded: HashMap::new(),
            known: HashSet::new(),
        };
        let mut left = Left {
            unreadable: u64::from(torn),
            ..Left::default()
        };
        for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(line) => ledger.replay(line),
                Err(_) => left.unreadable += 1,
            }
        }
        for entry in ledger.entries.values_mut() {
            ledger.known.extend(entry.origin.clone());
            for (outlet, at) in &mut entry.outlets {
                if *at == Progress::Showing {
                    *at = Progress::Done;
                    let asked = (outlet.clone(), entry.notice.id.clone());
                    left.unconfirmed.push(asked);
                }
            }
        }
        if ledger.rewrite().is_err() {
            // A full disk: the old one goes on, without a line that was torn.
            ledger.journal.cut().map_err(named)?;
        }
        Ok((ledger, left))
    }

    /// Everything that is not over, oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(seq, entry)| (*seq, entry))
    }

    /// One of them.
    pub(crate) fn get(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(&seq)
    }

    /// The open notice with this id.
    pub(crate) fn open_one(&self, id: &NoticeId) -> Option<(u64, &Entry)> {
        self.entries()
            .find(|(_, entry)| entry.open && entry.notice.id == *id)
    }

    /// The newest notice that goes by this id.
    pub(crate) fn newest(&self, id: &NoticeId) -> Option<(u64, &Entry)> {
        self.entries()
            .filter(|(_, entry)| entry.notice.id == *id)
            .last()
    }

    /// How many stand in it.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What earlier processes folded and did not tell.
    pub(crate) fn folded(&self) -> &HashMap<Speaker, u64> {
        &self.folded
    }

    /// Whether this very file was taken by an earlier process that died before it removed it.
    pub(crate) fn knows(&self, origin: &Origin) -> bool {
        self.known.contains(origin)
    }

    /// Whether that has to be asked at all.
    pub(crate) fn knows_any(&self) -> bool {
        !self.known.is_empty()
    }

    /// Every spool has been looked at once: no file of an earlier process is left.
    pub(crate) fn forget_known(&mut self) {
        self.known.clear();
    }

    /// The number of the next notice.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Adds a notice that waits for its outlets, and closes those whose place it takes. On disk when
    /// this returns its number.
    ///
    /// # Errors
    /// When it cannot be written; then it is not there.
    pub(crate) fn take(&mut self, at: u64, taken: Taken) -> io::Result<u64> {
        let seq = self.next;
        let closed = taken.closes.into_iter().map(|seq| Line::Closed { seq });
        let told = taken
            .tells
            .into_iter()
            .map(|speaker| Line::Told { speaker });
        let took = Line::Took {
            seq,
            at,
            notice: Box::new(taken.notice),
            origin: taken.origin,
            outlets: taken.outlets,
            earlier: taken.earlier,
        };
        let lines = closed.chain(told).chain([took]).collect();
        self.write(lines, true)?;
        Ok(seq)
    }

    /// An outlet is about to be asked. On disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written; the outlet must not be asked then.
    pub(crate) fn showing(&mut self, seq: u64, outlet: &str) -> io::Result<()> {
        let outlet = outlet.to_owned();
        self.write(vec![Line::Showing { seq, outlet }], true)
    }

    /// Writes what happened. Every other line; none of them has to be on disk before something else.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn note(&mut self, line: Line) -> io::Result<()> {
        self.write(vec![line], false)
    }

    /// An open notice shall be shown again at an outlet. Not written: a restart does the same.
    pub(crate) fn again(&mut self, seq: u64, outlet: &str) {
        if let Some(entry) = self.entries.get_mut(&seq)
            && let Some(at) = entry.outlets.get_mut(outlet)
            && *at == Progress::Done
        {
            *at = Progress::Pending;
        }
    }

    /// What an outlet called its notices means nothing any more.
    pub(crate) fn forget_handles(&mut self, outlet: &str) {
        for entry in self.entries.values_mut() {
            entry.handles.remove(outlet);
        }
    }

    fn write(&mut self, lines: Vec<Line>, sync: bool) -> io::Result<()> {
        self.journal.append(&text_of(&lines)?, sync)?;
        for line in lines {
            self.replay(line);
        }
        self.entries.retain(|_, entry| !entry.is_over());
        if self.journal.is_long() && self.rewrite().is_err() {
            // No room for a second journal. The lines are in this one, so they are written: who was told
            // otherwise would take the same alert again.
            self.journal.stay();
        }
        Ok(())
    }

    fn replay(&mut self, line: Line) {
        match line {
            Line::Took {
                seq,
                at,
                notice,
                origin,
                outlets,
                earlier,
            } => {
                self.next = self.next.max(seq + 1);
                let pending = |name| (name, Progress::Pending);
                let entry = Entry {
                    at,
                    open: notice.asks(),
                    notice: *notice,
                    outlets: outlets.into_iter().map(pending).collect(),
                    handles: earlier,
                    origin,
                };
                self.entries.insert(seq, entry);
            }
            Line::Showing { seq, outlet } => self.progress(seq, outlet, Progress::Showing),
            Line::Failed { seq, outlet } => self.progress(seq, outlet, Progress::Pending),
            Line::GaveUp { seq, outlet } => self.progress(seq, outlet, Progress::Done),
            Line::Shown {
                seq,
                outlet,
                handle,
            } => {
                if let (Some(entry), Some(handle)) = (self.entries.get_mut(&seq), handle) {
                    entry.handles.insert(outlet.clone(), handle);
                }
                self.progress(seq, outlet, Progress::Done);
            }
            Line::Closed { seq } => {
                if let Some(entry) = self.entries.get_mut(&seq) {
                    entry.open = false;
                    for at in entry.outlets.values_mut() {
                        if *at == Progress::Pending {
                            *at = Progress::Done;
                        }
                    }
                }
            }
            Line::Folded { speaker, count } => *self.folded.entry(speaker).or_default() += count,
            Line::Told { speaker } => {
                self.folded.remove(&speaker);
            }
        }
    }

    fn progress(&mut self, seq: u64, outlet: String, to: Progress) {
        if let Some(entry) = self.entries.get_mut(&seq) {
            entry.outlets.insert(outlet, to);
        }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        self.entries.retain(|_, entry| !entry.is_over());
        self.journal.replace(&text_of(&self.lines())?)
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for (seq, entry) in &self.entries {
            let seq = *seq;
            lines.push(Line::Took {
                seq,
                at: entry.at,
                notice: Box::new(entry.notice.clone()),
                origin: entry.origin.clone(),
                outlets: entry.outlets.keys().cloned().collect(),
                earlier: entry.handles.clone(),
            });
            for (outlet, at) in &entry.outlets {
                let outlet = outlet.clone();
                match at {
                    Progress::Pending => {}
                    Progress::Showing => lines.push(Line::Showing { seq, outlet }),
                    Progress::Done => lines.push(Line::GaveUp { seq, outlet }),
                }
            }
            if !entry.open && entry.notice.asks() {
                lines.push(Line::Closed { seq });
            }
        }
        let folded = self.folded.iter();
        lines.extend(folded.map(|(speaker, count)| Line::Folded {
            speaker: speaker.clone(),
            count: *count,
        }));
        lines
    }
}

fn text_of(lines: &[Line]) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line).map_err(io::Error::from)?;
        text.push(b'\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
