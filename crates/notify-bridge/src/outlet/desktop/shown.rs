//! What is on the screen, as far as this process knows.

use std::collections::VecDeque;

use crate::notice::{Notice, NoticeId};
use crate::outlet::{Answered, OutletError};

/// Notifications that are remembered. A click on an older one says nothing any more.
const MOST: usize = 512;

/// The notifications of one life of the daemon.
#[derive(Debug, Default)]
pub(super) struct Shown {
    entries: VecDeque<Entry>,
    /// The notice that was being shown when a daemon died.
    fatal: Option<NoticeId>,
}

#[derive(Debug)]
struct Entry {
    id: u32,
    notice: NoticeId,
    keys: Vec<String>,
}

impl Shown {
    /// Remembers a notice under the daemon's id.
    pub(super) fn put(&mut self, id: u32, notice: &Notice) {
        self.entries
            .retain(|entry| entry.id != id && entry.notice != notice.id);
        if self.entries.len() == MOST {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            id,
            notice: notice.id.clone(),
            keys: notice.choices.iter().map(|c| c.key.clone()).collect(),
        });
    }

    /// A click: an answer, if it is on one of ours and on a button that it has. It counts once.
    pub(super) fn clicked(&mut self, id: u32, action: &str) -> Option<Answered> {
        let entry = self.entries.iter().find(|entry| entry.id == id)?;
        let choice = entry.keys.iter().find(|key| *key == action)?.clone();
        let notice = self.close(id)?;
        Some(Answered { notice, choice })
    }

    /// It was closed: whose it was.
    pub(super) fn close(&mut self, id: u32) -> Option<NoticeId> {
        let place = self.entries.iter().position(|entry| entry.id == id)?;
        self.entries.remove(place).map(|entry| entry.notice)
    }

    /// Forgets a notice: the id that it had.
    pub(super) fn remove(&mut self, notice: &NoticeId) -> Option<u32> {
        let place = self.entries.iter().position(|e| e.notice == *notice)?;
        self.entries.remove(place).map(|entry| entry.id)
    }

    /// The daemon is gone, and with it whatever it showed.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
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

    #[test]
    fn a_click_is_an_answer_once_and_only_on_a_button_that_is_there() {
        let mut shown = Shown::default();
        shown.put(7, &notice("a"));
        assert_eq!(shown.clicked(8, "once"), None);
        assert_eq!(shown.clicked(7, "default"), None);
        let answer = shown.clicked(7, "once").unwrap();
        assert_eq!(
            (answer.notice.0.as_str(), answer.choice.as_str()),
            ("a", "once")
        );
        assert_eq!(shown.clicked(7, "once"), None);
        assert_eq!(shown.close(7), None);
    }

    #[test]
    fn what_takes_anothers_place_has_its_id_alone() {
        let mut shown = Shown::default();
        shown.put(7, &notice("a"));
        shown.put(7, &notice("b"));
        shown.put(9, &notice("b"));
        assert_eq!(shown.remove(&NoticeId("a".into())), None);
        assert_eq!(shown.close(7), None);
        assert_eq!(shown.close(9), Some(NoticeId("b".into())));
    }

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut shown = Shown::default();
        for id in 0..=u32::try_from(MOST).unwrap() {
            shown.put(id, &notice(&id.to_string()));
        }
        assert_eq!(shown.close(0), None);
        assert!(shown.close(1).is_some());
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
