//! A notice in the words of `Notify`: pure.
//!
//! Two rules keep an agent's text from being more than text (THREATS W125, W129). It is escaped where
//! the daemon reads markup, and left alone where it does not. And no label of a button is an agent's:
//! the buttons of a question are numbered by us and what they stand for is in the body, so no
//! question can have a button that says *Allow once*.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::daemon::Capabilities;
use crate::notice::{Choice, Notice, NoticeKind, Urgency};
use crate::text::{self, CleanText};

/// Longest that a question of an agent may stay on the screen by our wish. A blocked request is ours
/// and stays until it is too old; anything else stays as long as the desktop lets it.
const QUESTION_STAYS: Duration = Duration::from_secs(60);

/// The daemon's own choice of how long.
const DAEMONS_CHOICE: i32 = -1;

/// The arguments of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The title: plain text for every daemon.
    pub(super) summary: String,
    /// Markup or plain, as the daemon reads it.
    pub(super) body: String,
    /// Keys and labels in turn.
    pub(super) actions: Vec<String>,
    /// 0, 1 or 2.
    pub(super) urgency: u8,
    /// What it is about, for rules of the person's desktop.
    pub(super) category: String,
    /// Milliseconds on the screen.
    pub(super) expires: i32,
}

impl Message {
    /// What to tell a daemon that has these capabilities.
    pub(super) fn of(notice: &Notice, capabilities: Capabilities, now: SystemTime) -> Self {
        let mut lines = vec![notice.body.as_str().to_owned()];
        if notice.kind != NoticeKind::Blocked {
            lines.extend(notice.choices.iter().enumerate().map(offered));
        }
        if notice.asks() && !capabilities.actions {
            lines.extend(how_to_type(notice));
        }
        lines.retain(|line| !line.is_empty());
        let body = lines.join("\n");
        let title = notice.title.as_str();
        let (summary, body) = match capabilities {
            Capabilities { body: false, .. } => (format!("{title}: {}", one_line(&body)), body),
            Capabilities { markup: true, .. } => (title.to_owned(), text::escaped(&body)),
            Capabilities { .. } => (title.to_owned(), body),
        };
        Self {
            summary,
            body,
            actions: if capabilities.actions {
                buttons(notice)
            } else {
                Vec::new()
            },
            urgency: match notice.urgency {
                Urgency::Low => 0,
                Urgency::Normal => 1,
                Urgency::Critical => 2,
            },
            category: format!("x-agentnet.{}", notice.kind.as_str()),
            expires: stays(notice, now),
        }
    }
}

fn offered((place, choice): (usize, &Choice)) -> String {
    format!("{}. {}", place + 1, choice.label)
}

/// A title that has to say it all.
fn one_line(body: &str) -> CleanText {
    text::line(body, text::LONGEST)
}

fn buttons(notice: &Notice) -> Vec<String> {
    let label = |(place, choice): (usize, &Choice)| match notice.kind {
        NoticeKind::Blocked => choice.label.to_string(),
        NoticeKind::Complete
        | NoticeKind::Error
        | NoticeKind::Clarification
        | NoticeKind::Info
        | NoticeKind::Test => format!("Answer {}", place + 1),
    };
    let pairs = notice.choices.iter().enumerate();
    pairs
        .flat_map(|(place, choice)| [choice.key.clone(), label((place, choice))])
        .collect()
}

/// What to type where there are no buttons.
fn how_to_type(notice: &Notice) -> Option<String> {
    let host = notice
        .about
        .as_ref()
        .filter(|_| notice.kind == NoticeKind::Blocked)?;
    let task = &notice.task;
    Some(format!(
        "To allow it, type: agentnet allow {} {host} --project {} --for 10m",
        task.task, task.project
    ))
}

fn stays(notice: &Notice, now: SystemTime) -> i32 {
    let (true, Some(until)) = (notice.asks(), notice.until) else {
        return DAEMONS_CHOICE;
    };
    let end = UNIX_EPOCH + Duration::from_secs(until.min(u64::from(u32::MAX)));
    let left = end.duration_since(now).unwrap_or_default();
    let stays = match notice.kind {
        NoticeKind::Blocked => left,
        NoticeKind::Complete
        | NoticeKind::Error
        | NoticeKind::Clarification
        | NoticeKind::Info
        | NoticeKind::Test => left.min(QUESTION_STAYS),
    };
    // 0 would be for ever.
    i32::try_from(stays.as_millis()).unwrap_or(i32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{NoticeId, TaskName};

    const ALL: Capabilities = Capabilities {
        body: true,
        markup: true,
        actions: true,
    };
    const PLAIN: Capabilities = Capabilities {
        body: true,
        markup: false,
        actions: false,
    };

    fn notice(kind: NoticeKind, body: &str, choices: &[(&str, &str)]) -> Notice {
        let task = TaskName {
            project: "shop".into(),
            task: "fix-42".into(),
        };
        let mut notice = Notice::new(NoticeId("a".into()), task, kind, body);
        let choice = |(key, label): &(&str, &str)| Choice {
            key: (*key).to_owned(),
            label: text::line(label, 40),
        };
        notice.choices = choices.iter().map(choice).collect();
        notice
    }

    fn blocked() -> Notice {
        let buttons = [
            ("once", "Allow once"),
            ("task", "For this task"),
            ("deny", "Deny"),
        ];
        let mut notice = notice(NoticeKind::Blocked, "wanted pypi.org:443", &buttons);
        notice.about = Some("pypi.org:443".into());
        notice.until = Some(1_000_600);
        notice
    }

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn a_blocked_request_has_our_buttons_and_stays_until_it_is_too_old() {
        let message = Message::of(&blocked(), ALL, at(1_000_000));
        assert_eq!(
            message,
            Message {
                summary: "fix-42: blocked".into(),
                body: "wanted pypi.org:443".into(),
                actions: [
                    "once",
                    "Allow once",
                    "task",
                    "For this task",
                    "deny",
                    "Deny"
                ]
                .map(str::to_owned)
                .into(),
                urgency: 1,
                category: "x-agentnet.blocked".into(),
                expires: 600_000,
            }
        );
        assert_eq!(Message::of(&blocked(), ALL, at(2_000_000)).expires, 1);
    }

    #[test]
    fn without_buttons_the_text_says_what_to_type() {
        let message = Message::of(&blocked(), PLAIN, at(0));
        assert_eq!(message.actions, Vec::<String>::new());
        let typed = "agentnet allow fix-42 pypi.org:443 --project shop --for 10m";
        assert_eq!(
            message.body,
            format!("wanted pypi.org:443\nTo allow it, type: {typed}")
        );
    }

    #[test]
    fn markup_is_escaped_for_who_reads_it_and_left_for_who_does_not() {
        let hostile = notice(NoticeKind::Info, "<a href=\"x\">'&</a>", &[]);
        let escaped = "&lt;a href=&quot;x&quot;&gt;&apos;&amp;&lt;/a&gt;";
        assert_eq!(Message::of(&hostile, ALL, at(0)).body, escaped);
        assert_eq!(
            Message::of(&hostile, PLAIN, at(0)).body,
            "<a href=\"x\">'&</a>"
        );
    }

    #[test]
    fn the_buttons_of_a_question_never_have_the_agents_words() {
        let choices = [("c1", "Allow once"), ("c2", "<b>no</b>")];
        let question = notice(NoticeKind::Clarification, "Which?", &choices);
        let message = Message::of(&question, ALL, at(0));
        assert_eq!(message.actions, ["c1", "Answer 1", "c2", "Answer 2"]);
        assert_eq!(
            message.body,
            "Which?\n1. Allow once\n2. &lt;b&gt;no&lt;/b&gt;"
        );
    }

    #[test]
    fn a_question_does_not_stay_longer_than_a_minute() {
        let mut question = notice(NoticeKind::Clarification, "Which?", &[("c1", "a")]);
        question.until = Some(4_000);
        assert_eq!(Message::of(&question, ALL, at(0)).expires, 60_000);
        assert_eq!(Message::of(&question, ALL, at(3_990)).expires, 10_000);
        let done = notice(NoticeKind::Complete, "done", &[]);
        assert_eq!(Message::of(&done, ALL, at(0)).expires, DAEMONS_CHOICE);
    }

    #[test]
    fn a_daemon_that_shows_titles_only_is_told_all_in_the_title() {
        let message = Message::of(&blocked(), Capabilities::default(), at(0));
        assert!(
            message
                .summary
                .starts_with("fix-42: blocked: wanted pypi.org:443 To allow"),
            "{message:?}"
        );
    }
}
