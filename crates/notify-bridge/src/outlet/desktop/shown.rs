//! What is on the screen, as far as this process knows.

use std::collections::VecDeque;

use crate::notice::{Notice, NoticeId};
use crate::outlet::{Answered, Feedback, OutletError};

/// Notifications that are remembered. A click on an older one says nothing any more.
const MOST: usize = 512;

/// Signals that are kept for ids that are not known yet. One is enough; the rest is for who shouts.
const MOST_EARLY: usize = 256;

/// What a daemon says of a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// A button, by its key.
    Clicked(String),
    /// It is gone from the screen.
    Closed,
}

/// A call that shows a notice, from its beginning to its answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) notice: NoticeId,
    /// Whose place it is to take.
    place: Option<u32>,
    keys: Vec<String>,
}

impl Call {
    /// Whether there is anything to click.
    pub(super) fn asks(&self) -> bool {
        !self.keys.is_empty()
    }
}

/// The notifications of one life of the daemon.
#[derive(Debug, Default)]
pub(super) struct Shown {
    entries: VecDeque<Entry>,
    /// Calls without an answer yet.
    calls: usize,
    /// What came meanwhile for ids that nobody has, oldest first.
    early: VecDeque<(u32, Signal)>,
    /// The notice that was being shown when a daemon died.
    fatal: Option<NoticeId>,
}

#[derive(Debug)]
struct Entry {
    id: u32,
    call: Call,
}

impl Shown {
    /// Begins to show a notice, in the place of the one with this id where there is one.
    pub(super) fn call(&mut self, notice: &Notice, place: Option<u32>) -> Call {
        self.calls += 1;
        Call {
            notice: notice.id.clone(),
            place,
            keys: notice.choices.iter().map(|c| c.key.clone()).collect(),
        }
    }

    /// The daemon's id for it; what was said of that id before it was known.
    pub(super) fn answered(&mut self, mut call: Call, id: u32) -> Option<Feedback> {
        let is_anothers = |entry: &Entry| entry.id == id && entry.call.notice != call.notice;
        if call.place != Some(id) && self.entries.iter().any(is_anothers) {
            // Two of ours with one id: nobody knows on which of them a click is, and no click may open
            // the other's host.
            call.keys.clear();
        }
        self.entries
            .retain(|entry| entry.id != id && entry.call.notice != call.notice);
        if self.entries.len() == MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry { id, call });
        let early: Vec<Signal> = self
            .early
            .iter()
            .filter(|(of, _)| *of == id)
            .map(|(_, signal)| signal.clone())
            .collect();
        self.ended();
        early.into_iter().find_map(|signal| self.heard(id, signal))
    }

    /// There will be no id.
    pub(super) fn give_up(&mut self, _: Call) {
        self.ended();
    }

    fn ended(&mut self) {
        self.calls = self.calls.saturating_sub(1);
        if self.calls == 0 {
            self.early.clear();
        }
    }

    /// The daemon said something of an id: what that means, if it is one of ours. A click is on a button
    /// that it has, and counts once.
    pub(super) fn heard(&mut self, id: u32, signal: Signal) -> Option<Feedback> {
        let Some(entry) = self.entries.iter().find(|entry| entry.id == id) else {
            if self.calls > 0 {
                if self.early.len() == MOST_EARLY {
                    self.early.pop_front();
                }
                self.early.push_back((id, signal));
            }
            return None;
        };
        match signal {
            Signal::Closed => self.close(id).map(Feedback::Dismissed),
            Signal::Clicked(action) => {
                let keys = &entry.call.keys;
                let choice = keys.iter().find(|key| **key == action)?.clone();
                let notice = self.close(id)?;
                Some(Feedback::Answered(Answered { notice, choice }))
            }
        }
    }

    fn close(&mut self, id: u32) -> Option<NoticeId> {
        let place = self.entries.iter().position(|entry| entry.id == id)?;
        self.entries.remove(place).map(|entry| entry.call.notice)
    }

    /// Forgets a notice: the id that it had.
    pub(super) fn remove(&mut self, notice: &NoticeId) -> Option<u32> {
        let place = self
            .entries
            .iter()
            .position(|entry| entry.call.notice == *notice)?;
        self.entries.remove(place).map(|entry| entry.id)
    }

    /// The daemon is gone, and with it whatever it showed.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.early.clear();
        self.calls = 0;
    }

    /// The daemon died while it was asked to show this: nothing is on the screen, so another may try.
    /// A notice that two died of is not shown to a third.
    pub(super) fn died(&mut self, notice: &NoticeId, why: String) -> OutletError {
        if self.fatal.as_ref() == Some(notice) {
            return OutletError::Refused(format!("two notification daemons died of it: {why}"));
        }
        self.fatal = Some(notice.clone());
        OutletError::Unavailable(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{Choice, NoticeKind, TaskName};
    use crate::text;

    fn notice(id: &str) -> Notice {
        let task = TaskName {
            project: "shop".into(),
            task: "fix-42".into(),
        };
        let mut notice = Notice::new(NoticeId(id.into()), task, NoticeKind::Blocked, "x");
        notice.choices = vec![Choice {
            key: "once".into(),
            label: text::line("Allow once", 40),
        }];
        notice
    }

    /// Shows a notice under this id.
    fn put(shown: &mut Shown, id: u32, notice: &Notice) -> Option<Feedback> {
        let call = shown.call(notice, None);
        shown.answered(call, id)
    }

    fn click(shown: &mut Shown, id: u32, key: &str) -> Option<Feedback> {
        shown.heard(id, Signal::Clicked(key.to_owned()))
    }

    fn once(notice: &str) -> Option<Feedback> {
        Some(Feedback::Answered(Answered {
            notice: NoticeId(notice.into()),
            choice: "once".into(),
        }))
    }

    fn dismissed(notice: &str) -> Option<Feedback> {
        Some(Feedback::Dismissed(NoticeId(notice.into())))
    }

    #[test]
    fn a_click_is_an_answer_once_and_only_on_a_button_that_is_there() {
        let mut shown = Shown::default();
        assert_eq!(put(&mut shown, 7, &notice("a")), None);
        assert_eq!(click(&mut shown, 8, "once"), None);
        for other in ["default", "deny", ""] {
            assert_eq!(click(&mut shown, 7, other), None, "{other}");
        }
        assert_eq!(click(&mut shown, 7, "once"), once("a"));
        assert_eq!(click(&mut shown, 7, "once"), None);
        assert_eq!(shown.heard(7, Signal::Closed), None);
    }

    #[test]
    fn where_two_have_one_id_no_click_is_an_answer_to_either() {
        let mut shown = Shown::default();
        // A daemon that says the same id for everything.
        for name in ["a", "b"] {
            put(&mut shown, 7, &notice(name));
        }
        assert_eq!(click(&mut shown, 7, "once"), None);
        // One that was to take the other's place has it, and is what is clicked on.
        let mut shown = Shown::default();
        put(&mut shown, 7, &notice("a"));
        let call = shown.call(&notice("b"), Some(7));
        shown.answered(call, 7);
        assert_eq!(click(&mut shown, 7, "once"), once("b"));
    }

    #[test]
    fn what_is_said_before_the_id_is_known_is_kept_for_it_and_a_storm_is_not() {
        let mut shown = Shown::default();
        put(&mut shown, 1, &notice("a"));
        let call = shown.call(&notice("b"), None);
        for id in 1000..100_000 {
            assert_eq!(shown.heard(id, Signal::Closed), None);
        }
        // Others are heard meanwhile.
        assert_eq!(click(&mut shown, 1, "once"), once("a"));
        assert_eq!(click(&mut shown, 2, "once"), None);
        assert_eq!(shown.early.len(), MOST_EARLY);
        assert_eq!(shown.answered(call, 2), once("b"));
        assert!(shown.early.is_empty());
        // Nobody is asked: nothing is kept.
        assert_eq!(shown.heard(3, Signal::Closed), None);
        assert_eq!(put(&mut shown, 3, &notice("c")), None);
    }

    #[test]
    fn what_takes_anothers_place_has_its_id_alone() {
        let mut shown = Shown::default();
        for (id, name) in [(7, "a"), (7, "b"), (9, "b")] {
            put(&mut shown, id, &notice(name));
        }
        assert_eq!(shown.remove(&NoticeId("a".into())), None);
        assert_eq!(shown.heard(7, Signal::Closed), None);
        assert_eq!(shown.heard(9, Signal::Closed), dismissed("b"));
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut shown = Shown::default();
        for id in 0..=u32::try_from(MOST).unwrap() {
            put(&mut shown, id, &notice(&id.to_string()));
        }
        assert_eq!(shown.heard(0, Signal::Closed), None);
        assert_eq!(shown.heard(1, Signal::Closed), dismissed("1"));
    }

    #[test]
    fn a_notice_that_a_daemon_died_of_gets_one_more() {
        let mut shown = Shown::default();
        let [a, b] = ["a", "b"].map(|id| NoticeId(id.into()));
        let again = |error| matches!(error, OutletError::Unavailable(_));
        assert!(again(shown.died(&a, String::new())));
        assert!(!again(shown.died(&a, String::new())));
        assert!(again(shown.died(&b, String::new())));
    }
}
