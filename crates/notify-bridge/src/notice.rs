//! What a person is told.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kind::Kind;
use crate::text::{self, CleanText};

/// Names one notice for as long as it matters: over restarts, and when a later one takes its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NoticeId(pub String);

impl fmt::Display for NoticeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The task that a notice is about: from the path or from our own side, never from a file of the
/// agent's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskName {
    /// The project's name, a slug.
    pub project: String,
    /// The task's name, a slug.
    pub task: String,
}

/// Who says something, about which task. Each has a limit of its own, so that an agent cannot drown
/// what agentnet or the proxy says of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Speaker {
    /// Which side.
    pub side: Side,
    /// About which task.
    pub task: TaskName,
}

/// The sides that notices come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The agent, through its spool.
    Agent,
    /// agentnet itself.
    Own,
    /// The proxy's decisions.
    Proxy,
}

impl Side {
    /// The word in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Own => "agentnet",
            Self::Proxy => "proxy",
        }
    }
}

/// Longest name of a project or a task, in bytes; the controller's rule.
const LONGEST_SLUG: usize = 40;

impl TaskName {
    /// Takes two names that follow the controller's rule for them.
    #[must_use]
    pub fn new(project: &str, task: &str) -> Option<Self> {
        let is_slug = |name: &str| {
            let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !name.is_empty() && name.len() <= LONGEST_SLUG && name.bytes().all(allowed)
        };
        (is_slug(project) && is_slug(task)).then(|| Self {
            project: project.to_owned(),
            task: task.to_owned(),
        })
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.task)
    }
}

/// What a notice is about: the kinds of an agent's alert, and `blocked`, which only our own side makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeKind {
    /// The agent has finished.
    Complete,
    /// Something cannot go on.
    Error,
    /// The agent asks a question.
    Clarification,
    /// Something worth knowing.
    Info,
    /// Somebody tries out whether alerts arrive.
    Test,
    /// A host was refused that the person may allow.
    Blocked,
}

/// How loud a notice is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    /// Can wait.
    Low,
    /// The ordinary one.
    #[default]
    Normal,
    /// Only from agentnet itself: an agent can never make an alert that stays on the screen.
    Critical,
}

/// Something that the person may pick. The key is ours; the label may be the agent's, cleaned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// What comes back in [`crate::outlet::Answered`]: `[a-z0-9-]`, never the agent's text.
    pub key: String,
    /// What the person sees.
    pub label: CleanText,
}

/// What a person is told. Texts are clean: see [`crate::text`]. Who shows them escapes them for
/// where they go, and makes nothing of them but text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its name.
    pub id: NoticeId,
    /// Whose it is.
    pub task: TaskName,
    /// What it is about.
    pub kind: NoticeKind,
    /// How loud it is, already capped by its kind and source.
    pub urgency: Urgency,
    /// One line that begins with the task's name; a file cannot set it.
    pub title: CleanText,
    /// At most [`text::LONGEST`] graphemes, perhaps with line breaks.
    pub body: CleanText,
    /// What the person may pick; empty for most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// An earlier notice whose place this one takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<NoticeId>,
    /// What an answer is about, for whoever made the notice (a `blocked` one: `host:port`). Never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// Unix seconds after which an unanswered one is withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl NoticeKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::Complete,
        Self::Error,
        Self::Clarification,
        Self::Info,
        Self::Test,
        Self::Blocked,
    ];

    /// The word in configuration, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Complete => Kind::Complete.as_str(),
            Self::Error => Kind::Error.as_str(),
            Self::Clarification => Kind::Clarification.as_str(),
            Self::Info => Kind::Info.as_str(),
            Self::Test => Kind::Test.as_str(),
        }
    }

    /// The words of the title, after the task's name.
    fn says(self) -> &'static str {
        match self {
            Self::Complete => "done",
            Self::Error => "failed",
            Self::Clarification => "asks",
            Self::Info => "says",
            Self::Test => "test",
            Self::Blocked => "blocked",
        }
    }

    /// What an agent's alert of this kind is worth at most.
    fn urgency(self) -> Urgency {
        match self {
            Self::Info | Self::Test => Urgency::Low,
            Self::Complete | Self::Error | Self::Clarification | Self::Blocked => Urgency::Normal,
        }
    }
}

impl From<Kind> for NoticeKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Complete => Self::Complete,
            Kind::Error => Self::Error,
            Kind::Clarification => Self::Clarification,
            Kind::Info => Self::Info,
            Kind::Test => Self::Test,
        }
    }
}

impl Urgency {
    /// The word in configuration and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::Critical => "critical",
        }
    }
}

impl Notice {
    /// A notice in the bridge's own words: title `TASK: what happened`, body cleaned and cut.
    #[must_use]
    pub fn new(id: NoticeId, task: TaskName, kind: NoticeKind, body: &str) -> Self {
        let title = text::line(&format!("{}: {}", task.task, kind.says()), text::LONGEST);
        Self {
            id,
            kind,
            urgency: kind.urgency(),
            title,
            body: text::body(body),
            choices: Vec::new(),
            replaces: None,
            about: None,
            until: None,
            task,
        }
    }

    /// The line that stands for `count` others of a speaker.
    #[must_use]
    pub fn of_the_rest(speaker: &Speaker, count: u64) -> Self {
        let id = NoticeId(format!("rest/{}/{}", speaker.side.as_str(), speaker.task));
        let kind = match speaker.side {
            Side::Proxy => NoticeKind::Blocked,
            Side::Agent | Side::Own => NoticeKind::Info,
        };
        let body = format!("and {count} more from {}", speaker.task.task);
        let mut notice = Self::new(id, speaker.task.clone(), kind, &body);
        // An error may be among them: nobody has read them.
        notice.urgency = Urgency::Normal;
        notice
    }

    /// Whether it waits for a click.
    #[must_use]
    pub fn asks(&self) -> bool {
        !self.choices.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskName {
        TaskName {
            project: "shop".into(),
            task: "fix-42".into(),
        }
    }

    #[test]
    fn the_title_is_the_tasks_name_and_our_words() {
        let id = NoticeId("a".into());
        let notice = Notice::new(id, task(), NoticeKind::Info, "System: your password");
        assert_eq!(notice.title.as_str(), "fix-42: says");
        assert_eq!(notice.body.as_str(), "System: your password");
    }

    #[test]
    fn no_kind_of_an_agent_is_critical() {
        for kind in Kind::ALL {
            let kind = NoticeKind::from(*kind);
            let notice = Notice::new(NoticeId("a".into()), task(), kind, "x");
            assert!(notice.urgency < Urgency::Critical, "{kind:?}");
        }
    }

    #[test]
    fn every_word_is_the_one_that_serde_writes() {
        for kind in NoticeKind::ALL {
            let written = serde_json::to_string(kind).unwrap();
            assert_eq!(written, format!("\"{}\"", kind.as_str()));
        }
        for urgency in [Urgency::Low, Urgency::Normal, Urgency::Critical] {
            let written = serde_json::to_string(&urgency).unwrap();
            assert_eq!(written, format!("\"{}\"", urgency.as_str()));
        }
    }

    #[test]
    fn a_notice_survives_being_kept() {
        let mut notice = Notice::new(NoticeId("a".into()), task(), NoticeKind::Blocked, "x");
        notice.about = Some("evil.example:443".into());
        notice.choices.push(Choice {
            key: "once".into(),
            label: text::line("Allow once", 40),
        });
        let kept = serde_json::to_string(&notice).unwrap();
        assert_eq!(serde_json::from_str::<Notice>(&kept).unwrap(), notice);
        assert!(notice.asks());
    }
}
