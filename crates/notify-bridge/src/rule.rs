//! Which notices an outlet wants: by kind, by urgency, and not in quiet hours.

use jiff::civil::Time;
use serde::Deserialize;

use crate::notice::{Notice, NoticeKind, Urgency};

/// What one outlet wants; by default everything at any hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Only these kinds; all where there is none.
    pub(crate) kinds: Option<Vec<NoticeKind>>,
    /// Only these tasks, by their names; all where there is none.
    pub(crate) tasks: Option<Vec<String>>,
    /// At least so urgent.
    pub(crate) urgency: Option<Urgency>,
    /// Hours in which only what is critical passes.
    pub(crate) quiet: Option<Quiet>,
}

/// Hours of the day in local time, perhaps over midnight: `22:00-07:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Quiet {
    from: Time,
    to: Time,
}

impl Rule {
    /// Whether the outlet wants a notice at a time of the day.
    pub(crate) fn wants(&self, notice: &Notice, now: Time) -> bool {
        let kind = self
            .kinds
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&notice.kind));
        kind && self.wants_some(notice, now)
    }

    /// As [`Rule::wants`], for a line that stands for notices whose kinds nobody read.
    pub(crate) fn wants_some(&self, notice: &Notice, now: Time) -> bool {
        let critical = notice.urgency == Urgency::Critical;
        let loud = self.urgency.is_none_or(|least| notice.urgency >= least);
        let its = self
            .tasks
            .as_ref()
            .is_none_or(|tasks| tasks.contains(&notice.task.task));
        loud && its && (critical || !self.is_quiet(now))
    }

    /// Whether a notice that was wanted when it came, and could not be shown then, has to wait for the
    /// end of these hours. Not what a click came to: that person is awake.
    pub(crate) fn holds_back(&self, notice: &Notice, now: Time) -> bool {
        let passes = notice.urgency == Urgency::Critical || notice.replaces.is_some();
        !passes && self.is_quiet(now)
    }

    fn is_quiet(&self, now: Time) -> bool {
        self.quiet.is_some_and(|quiet| quiet.holds(now))
    }
}

impl Quiet {
    fn holds(self, now: Time) -> bool {
        if self.from <= self.to {
            self.from <= now && now < self.to
        } else {
            self.from <= now || now < self.to
        }
    }
}

impl TryFrom<String> for Quiet {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} are no hours; write \"22:00-07:00\", in local time");
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok()
        };
        let (from, to) = text.split_once('-').ok_or_else(wrong)?;
        // The end of a day is also written as its last hour.
        let to = if to.trim() == "24:00" { "00:00" } else { to };
        let (from, to) = (time(from).ok_or_else(wrong)?, time(to).ok_or_else(wrong)?);
        if from == to {
            return Err(wrong());
        }
        Ok(Self { from, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{NoticeId, TaskName};
    use jiff::civil::time;

    fn notice(kind: NoticeKind, urgency: Urgency) -> Notice {
        let task = TaskName::new("shop", "fix-42").unwrap();
        let mut notice = Notice::new(NoticeId("a".into()), task, kind, "x");
        notice.urgency = urgency;
        notice
    }

    fn quiet(text: &str) -> Result<Quiet, String> {
        Quiet::try_from(text.to_owned())
    }

    #[test]
    fn hours_may_go_over_midnight_and_end_before_their_end() {
        let night = quiet("22:00-07:00").unwrap();
        let noon = quiet("12:00 - 13:30").unwrap();
        for (at, in_night, in_noon) in [
            (time(21, 59, 0, 0), false, false),
            (time(22, 0, 0, 0), true, false),
            (time(0, 0, 0, 0), true, false),
            (time(7, 0, 0, 0), false, false),
            (time(12, 0, 0, 0), false, true),
            (time(13, 30, 0, 0), false, false),
        ] {
            assert_eq!(
                (night.holds(at), noon.holds(at)),
                (in_night, in_noon),
                "{at}"
            );
        }
        for bad in [
            "",
            "22:00",
            "22-07",
            "25:00-07:00",
            "22:00-22:00",
            "a:b-c:d",
        ] {
            assert!(quiet(bad).unwrap_err().contains("22:00-07:00"), "{bad}");
        }
    }

    #[test]
    fn kind_urgency_task_and_hours_each_decide() {
        let noon = time(12, 0, 0, 0);
        let night = time(23, 0, 0, 0);
        let error = notice(NoticeKind::Error, Urgency::Normal);
        let oom = notice(NoticeKind::Error, Urgency::Critical);
        let info = notice(NoticeKind::Info, Urgency::Low);

        assert!(Rule::default().wants(&info, night));
        let kinds = Rule {
            kinds: Some(vec![NoticeKind::Error]),
            ..Rule::default()
        };
        assert!(kinds.wants(&error, noon) && !kinds.wants(&info, noon));
        assert!(kinds.wants_some(&info, noon));
        let loud = Rule {
            urgency: Some(Urgency::Normal),
            ..Rule::default()
        };
        assert!(loud.wants(&error, noon) && !loud.wants(&info, noon));
        let other = Rule {
            tasks: Some(vec!["other".into()]),
            ..Rule::default()
        };
        assert!(!other.wants(&oom, noon));
        let hours = Rule {
            quiet: Some(quiet("22:00-07:00").unwrap()),
            ..Rule::default()
        };
        assert!(hours.wants(&error, noon) && !hours.wants(&error, night));
        assert!(hours.wants(&oom, night));
    }

    /// Central Europe, in POSIX's words: no machine's own list of zones is asked.
    const EUROPE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    #[test]
    fn hours_are_those_of_the_clock_on_the_wall_when_it_is_put_forward_and_back() {
        let zone = jiff::tz::TimeZone::posix(EUROPE).unwrap();
        let night = quiet("01:30-02:30").unwrap();
        for (utc, expected) in [
            // The last Sunday of March: 02:00 to 03:00 does not exist.
            ("2026-03-29T00:29:59Z", false),
            ("2026-03-29T00:30:00Z", true),
            ("2026-03-29T00:59:59Z", true),
            ("2026-03-29T01:00:00Z", false),
            // The last Sunday of October: it exists twice, and is quiet twice.
            ("2026-10-24T23:30:00Z", true),
            ("2026-10-25T00:29:59Z", true),
            ("2026-10-25T00:30:00Z", false),
            ("2026-10-25T01:00:00Z", true),
            ("2026-10-25T01:30:00Z", false),
            // Any other day, in summer and in winter.
            ("2026-07-01T00:00:00Z", true),
            ("2026-12-01T00:00:00Z", false),
        ] {
            let at: jiff::Timestamp = utc.parse().unwrap();
            assert_eq!(
                night.holds(at.to_zoned(zone.clone()).time()),
                expected,
                "{utc}"
            );
        }
    }

    #[test]
    fn the_end_of_the_day_is_written_as_either_midnight() {
        for hours in ["22:00-24:00", "22:00-00:00"] {
            let evening = quiet(hours).unwrap();
            assert!(evening.holds(time(23, 59, 59, 0)), "{hours}");
            assert!(!evening.holds(time(0, 0, 0, 0)), "{hours}");
            assert!(!evening.holds(time(21, 59, 0, 0)), "{hours}");
        }
        let day = quiet("00:00-24:00");
        assert!(
            day.is_err(),
            "an outlet that is never to be heard has no kinds"
        );
        for bad in ["24:00-07:00", "22:00-24:01"] {
            assert!(quiet(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_had_to_wait_is_held_back_in_quiet_hours_and_what_a_click_came_to_is_not() {
        let night = Rule {
            quiet: Some(quiet("22:00-07:00").unwrap()),
            ..Rule::default()
        };
        let (at_night, at_noon) = (time(23, 0, 0, 0), time(12, 0, 0, 0));
        let error = notice(NoticeKind::Error, Urgency::Normal);
        assert!(night.holds_back(&error, at_night) && !night.holds_back(&error, at_noon));
        assert!(!Rule::default().holds_back(&error, at_night));
        let critical = notice(NoticeKind::Error, Urgency::Critical);
        assert!(!night.holds_back(&critical, at_night));
        let mut answer = notice(NoticeKind::Blocked, Urgency::Low);
        answer.replaces = Some(NoticeId("b".into()));
        assert!(!night.holds_back(&answer, at_night));
    }
}
