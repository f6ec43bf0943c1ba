//! What comes back from a person: a click is acted on once, by whoever is there for its kind.

use std::io;
use std::sync::Arc;

use super::Bridge;
use super::delivery::Done;
use crate::desk::unix_now;
use crate::ledger::Line;
use crate::notice::{Notice, NoticeId, NoticeKind, TaskName, Urgency};
use crate::outlet::{Answered, Feedback, Handle};

/// What a click on a notice comes to whose time is over.
fn too_late(notice: &Notice) -> String {
    let TaskName { project, task } = &notice.task;
    match (&notice.about, notice.kind) {
        (Some(target), NoticeKind::Blocked) => format!(
            "Too late, nothing was changed. Type: agentnet allow {task} {target} --project {project} --for 10m"
        ),
        _ => "Too late: nobody waits for an answer any more.".to_owned(),
    }
}

impl Bridge {
    /// Something came from an outlet.
    pub(super) fn heard(&mut self, heard: Option<Feedback>) {
        let done = match heard {
            None => {
                self.feedback = None;
                Ok(())
            }
            Some(Feedback::Answered(answered)) => self.answered(&answered),
            Some(Feedback::Dismissed(id)) => self.dismissed(&id),
            Some(Feedback::Placed {
                notice,
                outlet,
                handle,
            }) => self.placed(&notice, outlet, handle),
            Some(Feedback::Lost(outlet)) => {
                self.lost(&outlet);
                Ok(())
            }
        };
        self.survive(done);
    }

    /// Only an open notice of ours can be answered, and only with what it offered.
    fn answered(&mut self, answered: &Answered) -> io::Result<()> {
        let open = self.desk.ledger.open_one(&answered.notice);
        let Some((seq, entry)) = open else {
            return Ok(());
        };
        let kind = entry.notice.kind;
        let offered = entry
            .notice
            .choices
            .iter()
            .any(|c| c.key == answered.choice);
        let Some(answerer) = self.answerers.get(&kind).filter(|_| offered) else {
            self.desk.metrics.answered(kind, "stale");
            return Ok(());
        };
        let answerer = Arc::clone(answerer);
        let notice = Box::new(entry.notice.clone());
        if entry.is_past(unix_now()) {
            // The machine slept, or the click was on its way while the notice was taken away.
            self.desk.ledger.note(Line::Closed { seq })?;
            self.desk.metrics.answered(kind, "stale");
            return self.tell_in_place(&notice, Urgency::Normal, &too_late(&notice));
        }
        // First: a second click, or one after a crash, finds nothing to answer.
        self.desk.ledger.note(Line::Closed { seq })?;
        let choice = answered.choice.clone();
        self.working.push(Box::pin(async move {
            let result = answerer.answer(&notice, &choice).await;
            Done::Answered { notice, result }
        }));
        Ok(())
    }

    /// Tells the person, where the notice stood, what was done or why it was not.
    pub(super) fn acted(
        &mut self,
        notice: &Notice,
        result: Result<String, String>,
    ) -> io::Result<()> {
        let outcome = if result.is_ok() { "done" } else { "failed" };
        self.desk.metrics.answered(notice.kind, outcome);
        let urgency = if result.is_ok() {
            Urgency::Low
        } else {
            Urgency::Normal
        };
        let (Ok(text) | Err(text)) = result;
        self.tell_in_place(notice, urgency, &text)
    }

    fn tell_in_place(&mut self, notice: &Notice, urgency: Urgency, text: &str) -> io::Result<()> {
        let id = NoticeId(format!("{}/answer", notice.id));
        let mut told = Notice::new(id, notice.task.clone(), notice.kind, text);
        told.urgency = urgency;
        told.replaces = Some(notice.id.clone());
        self.desk.take_in_place(told)
    }

    /// Nobody waits for its answer any more, and it goes from every screen.
    pub(super) fn close(&mut self, id: &NoticeId) -> io::Result<()> {
        self.withdraw(id);
        match self.desk.ledger.newest(id) {
            Some((seq, _)) => self.desk.ledger.note(Line::Closed { seq }),
            None => Ok(()),
        }
    }

    /// It is not shown again. What another outlet has not shown yet, it still shows.
    fn dismissed(&mut self, id: &NoticeId) -> io::Result<()> {
        match self.desk.ledger.open_one(id) {
            Some((seq, _)) => self.desk.ledger.note(Line::Closed { seq }),
            None => Ok(()),
        }
    }

    /// It stands there after all: it can be taken away and be shown again in its place.
    fn placed(&mut self, id: &NoticeId, outlet: String, handle: Handle) -> io::Result<()> {
        self.desk.place(id, &outlet, handle);
        let Some((seq, _)) = self.desk.ledger.open_one(id) else {
            // Its time went by meanwhile.
            self.withdraw(id);
            return Ok(());
        };
        let handle = Some(handle);
        self.desk.ledger.note(Line::Shown {
            seq,
            outlet,
            handle,
        })
    }

    /// Asks every outlet that has shown it to take it away.
    pub(super) fn withdraw(&mut self, id: &NoticeId) {
        let places = self.desk.handles(id);
        for mounted in &self.desk.mounted {
            let Some(handle) = places.get(mounted.outlet.name()) else {
                continue;
            };
            let (outlet, handle, id) = (Arc::clone(&mounted.outlet), *handle, id.clone());
            self.working.push(Box::pin(async move {
                outlet.withdraw(&id, Some(handle)).await;
                Done::Withdrawn
            }));
        }
    }

    /// A daemon began anew: nothing of ours is on its screen, and it can be asked at once.
    fn lost(&mut self, outlet: &str) {
        self.forgive(outlet);
        let open: Vec<u64> = self
            .desk
            .ledger
            .entries()
            .filter(|(_, entry)| entry.open && entry.handles.contains_key(outlet))
            .map(|(seq, _)| seq)
            .collect();
        self.desk.forget_places(outlet);
        for seq in open {
            self.desk.ledger.again(seq, outlet);
        }
    }
}
