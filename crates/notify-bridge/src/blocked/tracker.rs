//! Few notices of many refusals. Pure: no clock, no channel.

use std::collections::HashMap;

use agentnet_policy::Reason;

use super::refusal::{How, Sighting, Target};
use crate::incoming::Incoming;
use crate::notice::{Choice, Notice, NoticeId, NoticeKind, TaskName};
use crate::text;

/// Seconds in which a host and port of a task is told once.
pub(super) const QUIET: u64 = 30 * 60;
/// Seconds after which nobody needs to answer any more.
pub(super) const OPEN: u64 = 10 * 60;
/// Notices of single hosts that one task has in [`WINDOW`]; the rest is one summary.
const MOST: usize = 5;
/// Seconds.
const WINDOW: u64 = 10 * 60;
/// Least seconds between two states of a summary.
const SUMMARY: u64 = 60;
/// Hosts of one task that are remembered.
const MOST_HOSTS: usize = 512;
/// Tasks that are remembered.
const MOST_TASKS: usize = 256;
/// What was told more seconds in the future was told by a clock that was set back since, and is
/// forgotten: nothing is silent until that time comes again.
const AHEAD: u64 = 60;

/// The keys of the three choices.
pub(super) const ONCE: &str = "once";
pub(super) const TASK: &str = "task";
pub(super) const DENY: &str = "deny";

/// What was told of which task.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    tasks: HashMap<TaskName, Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// When each host was told last, alone or in a summary.
    hosts: HashMap<Target, Seen>,
    /// When single ones were told, within [`WINDOW`].
    alone: Vec<u64>,
    /// Hosts in the present summary.
    more: u64,
    /// The summary has to be told again.
    grown: bool,
    summed: u64,
    last: u64,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: u64,
    open: bool,
}

impl Tracker {
    /// Takes what was seen; what the person is to be told of it.
    pub(super) fn take(&mut self, seen: Sighting, now: u64) -> Option<Incoming> {
        match seen.how {
            How::Allowed => self.settled(&seen.task, &seen.target),
            How::Refused(reason) => self.refused(seen, reason, now),
        }
    }

    /// It was allowed meanwhile, here or elsewhere: the question is none any more.
    fn settled(&mut self, task: &TaskName, target: &Target) -> Option<Incoming> {
        let host = self.tasks.get_mut(task)?.hosts.get_mut(target)?;
        let was_open = std::mem::replace(&mut host.open, false);
        was_open.then(|| Incoming::Withdraw(id(task, &target.line())))
    }

    fn refused(&mut self, seen: Sighting, reason: Reason, now: u64) -> Option<Incoming> {
        self.forget_a_task_for(&seen.task);
        let told = self.tasks.entry(seen.task.clone()).or_default();
        told.last = now;
        told.hosts.retain(|_, host| is_within(host.at, QUIET, now));
        told.alone.retain(|at| is_within(*at, WINDOW, now));
        if told.hosts.contains_key(&seen.target) {
            return None;
        }
        let alone = told.alone.len() < MOST;
        let open = alone && seen.can_grant && seen.target.is_clickable();
        if told.hosts.len() < MOST_HOSTS {
            told.hosts
                .insert(seen.target.clone(), Seen { at: now, open });
        } else if alone {
            // It could not be remembered, and would be told again and again.
            return told.sum(&seen.task, now);
        }
        if alone {
            told.alone.push(now);
            let shown = notice(&seen.task, &seen.target, reason, open, now);
            return Some(Incoming::Show(Box::new(shown)));
        }
        told.sum(&seen.task, now)
    }

    /// Takes up what an earlier bridge told alone.
    pub(super) fn remember(&mut self, task: TaskName, target: Target, at: u64, now: u64) {
        if !is_within(at, QUIET, now) {
            return;
        }
        self.forget_a_task_for(&task);
        let told = self.tasks.entry(task).or_default();
        told.last = told.last.max(at);
        if is_within(at, WINDOW, now) {
            told.alone.push(at);
        }
        let open = is_within(at, OPEN, now);
        told.hosts.insert(target, Seen { at, open });
    }

    /// What is due although nothing was seen.
    pub(super) fn tick(&mut self, now: u64) -> Vec<Incoming> {
        let due = self.tasks.iter_mut();
        due.filter_map(|(task, told)| told.flush(task, now))
            .collect()
    }

    /// The one that was quiet longest makes room.
    fn forget_a_task_for(&mut self, task: &TaskName) {
        if self.tasks.len() < MOST_TASKS || self.tasks.contains_key(task) {
            return;
        }
        let oldest = self.tasks.iter().min_by_key(|(_, told)| told.last);
        if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
            self.tasks.remove(&oldest);
        }
    }
}

/// Whether `at` is less than `seconds` ago, and not ahead.
fn is_within(at: u64, seconds: u64, now: u64) -> bool {
    now < at.saturating_add(seconds) && at <= now.saturating_add(AHEAD)
}

impl Told {
    fn sum(&mut self, task: &TaskName, now: u64) -> Option<Incoming> {
        // A summary that nobody saw grow for a window is history.
        if !is_within(self.summed, WINDOW, now) && !self.grown {
            self.more = 0;
        }
        self.more += 1;
        self.grown = true;
        self.flush(task, now)
    }

    fn flush(&mut self, task: &TaskName, now: u64) -> Option<Incoming> {
        if !self.grown || is_within(self.summed, SUMMARY, now) {
            return None;
        }
        self.grown = false;
        self.summed = now;
        let body = format!(
            "It wanted {} more that it may not reach: agentnet watch {} --project {} shows them.",
            match self.more {
                1 => "1 host".to_owned(),
                many => format!("{many} hosts"),
            },
            task.task,
            task.project
        );
        let notice = Notice::new(id(task, "more"), task.clone(), NoticeKind::Blocked, &body);
        Some(Incoming::Show(Box::new(notice)))
    }
}

/// Told again after a restart, it takes its own place.
pub(super) fn id(task: &TaskName, what: &str) -> NoticeId {
    NoticeId(format!("blocked/{task}/{what}"))
}

/// Nothing that the agent says is in it but the host's name, which the proxy read.
fn notice(task: &TaskName, target: &Target, reason: Reason, open: bool, now: u64) -> Notice {
    let (line, shown) = (target.line(), target.shown());
    let is_port = reason == Reason::PortNotListed;
    let which = if is_port { " on this port" } else { "" };
    let then = if open {
        "Allowing it opens this host and port to this task, and nothing else; it has to try again."
    } else {
        "Only a line that somebody writes into its whitelist opens it."
    };
    let body = format!("{shown}\nIt may not reach that{which}. {then}");
    let id = id(task, &line);
    let mut notice = Notice::new(id, task.clone(), NoticeKind::Blocked, &body);
    if open {
        let choices = [
            (ONCE, "Allow once"),
            (TASK, "For this task"),
            (DENY, "Deny"),
        ];
        notice.choices = choices
            .map(|(key, label)| Choice {
                key: key.to_owned(),
                label: text::line(label, text::LONGEST),
            })
            .into();
        notice.about = Some(line);
        notice.until = Some(now.saturating_add(OPEN));
    }
    notice
}

#[cfg(test)]
mod tests {
    use super::super::refusal::tests::sighting;
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn shown(incoming: Option<Incoming>) -> Notice {
        match incoming {
            Some(Incoming::Show(notice)) => *notice,
            other => panic!("not shown: {other:?}"),
        }
    }

    fn allowed(host: &str) -> Sighting {
        Sighting {
            how: How::Allowed,
            ..sighting(host, 443)
        }
    }

    #[test]
    fn a_refused_host_is_told_once_with_what_a_click_would_open() {
        let mut tracker = Tracker::default();
        let notice = shown(tracker.take(sighting("pypi.org", 443), NOW));
        assert_eq!(notice.title.as_str(), "fix-42: blocked");
        assert!(
            notice.body.as_str().starts_with("pypi.org:443\n"),
            "{}",
            notice.body
        );
        let keys: Vec<_> = notice.choices.iter().map(|c| c.key.as_str()).collect();
        assert_eq!(keys, [ONCE, TASK, DENY]);
        assert_eq!(notice.about.as_deref(), Some("pypi.org:443"));
        assert_eq!(notice.until, Some(NOW + OPEN));
        assert_eq!(
            tracker.take(sighting("pypi.org", 443), NOW + QUIET - 1),
            None
        );
        // Another port is another question.
        shown(tracker.take(sighting("pypi.org", 8443), NOW + 1));
        let again = shown(tracker.take(sighting("pypi.org", 443), NOW + QUIET));
        assert_eq!(again.id, notice.id);
    }

    #[test]
    fn ten_thousand_names_are_five_notices_and_one_summary() {
        let mut tracker = Tracker::default();
        let mut told = Vec::new();
        for number in 0..10_000_u64 {
            let at = NOW + number / 100;
            told.extend(tracker.take(sighting(&format!("n{number}.example"), 443), at));
        }
        told.extend(tracker.tick(NOW + 10_000));
        assert_eq!(
            told.len(),
            MOST + 3,
            "five, and a summary now, after a minute and at the end"
        );
        let first = shown(told.get(MOST).cloned());
        assert!(
            first.body.as_str().contains("wanted 1 host more"),
            "{}",
            first.body
        );
        let last = shown(told.pop());
        assert!(
            last.body.as_str().contains("9995 hosts more"),
            "{}",
            last.body
        );
        assert!(!last.asks());
        let ids: std::collections::HashSet<_> =
            told.into_iter().map(|t| shown(Some(t)).id).collect();
        assert_eq!(ids.len(), MOST + 1);
        assert_eq!(
            tracker.tasks.values().map(|t| t.hosts.len()).max(),
            Some(MOST_HOSTS)
        );
    }

    #[test]
    fn tasks_without_end_are_forgotten_in_their_order() {
        let mut tracker = Tracker::default();
        for number in 0..1_000_u64 {
            let task = TaskName::new("shop", &format!("t{number}")).unwrap();
            let seen = Sighting {
                task,
                ..sighting("a.example", 443)
            };
            shown(tracker.take(seen, NOW + number));
        }
        assert_eq!(tracker.tasks.len(), MOST_TASKS);
        assert!(
            tracker
                .tasks
                .contains_key(&TaskName::new("shop", "t999").unwrap())
        );
    }

    #[test]
    fn what_was_allowed_meanwhile_is_withdrawn_once() {
        let mut tracker = Tracker::default();
        let notice = shown(tracker.take(sighting("pypi.org", 443), NOW));
        let withdrawn = Some(Incoming::Withdraw(notice.id));
        assert_eq!(tracker.take(allowed("pypi.org"), NOW + 1), withdrawn);
        assert_eq!(tracker.take(allowed("pypi.org"), NOW + 2), None);
        assert_eq!(tracker.take(allowed("other.example"), NOW + 2), None);
    }

    #[test]
    fn without_a_controller_or_for_an_address_nothing_can_be_clicked() {
        let unknown = Sighting {
            can_grant: false,
            ..sighting("pypi.org", 443)
        };
        let notice = shown(Tracker::default().take(unknown, NOW));
        assert!(!notice.asks() && notice.about.is_none() && notice.until.is_none());
        let notice = shown(Tracker::default().take(sighting("10.1.2.3", 443), NOW));
        assert!(!notice.asks());
        assert!(
            notice.body.as_str().contains("into its whitelist"),
            "{}",
            notice.body
        );
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_a_host_until_that_time_comes_again() {
        let mut tracker = Tracker::default();
        let ahead = NOW + 400 * 24 * 3600;
        for number in 0..=MOST {
            let seen = sighting(&format!("n{number}.example"), 443);
            shown(tracker.take(seen, ahead));
        }
        let again = shown(tracker.take(sighting("n0.example", 443), NOW));
        assert!(again.asks(), "alone, and with buttons: {again:?}");
        assert_eq!(tracker.take(sighting("n0.example", 443), NOW + 1), None);
        // A second is what clocks are set back by every day, and is no reason to say it twice.
        assert_eq!(tracker.take(sighting("n0.example", 443), NOW - 1), None);
    }

    #[test]
    fn what_an_earlier_bridge_told_counts_and_can_be_withdrawn() {
        let mut tracker = Tracker::default();
        let seen = |host: &str| sighting(host, 443);
        let remember = |tracker: &mut Tracker, host: &str, at: u64| {
            let Sighting { task, target, .. } = seen(host);
            tracker.remember(task, target, at, NOW);
        };
        for (host, at) in [
            ("long-ago.example", NOW - QUIET),
            ("ahead.example", NOW + 400 * 24 * 3600),
            ("a.example", NOW - QUIET + 1),
            ("b.example", NOW - 60),
        ] {
            remember(&mut tracker, host, at);
        }
        assert_eq!(tracker.take(seen("a.example"), NOW), None);
        assert_eq!(tracker.take(seen("b.example"), NOW), None);
        assert_eq!(
            tracker.take(allowed("a.example"), NOW),
            None,
            "its buttons are gone"
        );
        assert!(matches!(
            tracker.take(allowed("b.example"), NOW),
            Some(Incoming::Withdraw(_))
        ));
        // Four more are left of five in ten minutes.
        for host in [
            "long-ago.example",
            "ahead.example",
            "c.example",
            "d.example",
        ] {
            assert!(shown(tracker.take(seen(host), NOW)).asks(), "{host}");
        }
        assert!(!shown(tracker.take(seen("e.example"), NOW)).asks());
    }
}
