//! One event in a line for people.

use agentnet_policy::event::{Event, Moment, Word};

use super::{Way, is_blocked, is_of_proof, target};
use crate::stats::figures::bytes;

/// How much an event matters to whoever watches. The word says it too: colours only repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tone {
    /// It got through.
    Fine,
    /// It was refused.
    Refused,
    /// It was permitted, and then it failed.
    Failed,
    /// It was refused, and nobody is to be alarmed; or an end.
    Quiet,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// How much it matters.
    pub tone: Tone,
    /// The same in a word.
    pub word: &'static str,
    /// The host, and what else there is to say.
    pub text: String,
}

/// An event in a line, without its time and task. All of its text is safe to print.
#[must_use]
pub fn told(event: &Event) -> Told {
    let target = target(&event.host, event.port);
    let (tone, word) = match (is_blocked(event), event.verdict, event.event) {
        (true, _, _) if is_of_proof(event) => (Tone::Quiet, "refused to the proof"),
        (true, _, _) if event.quiet => (Tone::Quiet, "refused quietly"),
        (true, Word::Allow | Word::Report, Moment::Decision) => (Tone::Failed, "FAILED"),
        (true, _, Moment::Closed) => (Tone::Refused, "CUT OFF"),
        (true, _, Moment::Decision) => (Tone::Refused, "REFUSED"),
        (false, _, Moment::Closed) => (Tone::Quiet, "closed"),
        (false, Word::Report, Moment::Decision) => (Tone::Fine, "let through, not listed"),
        (false, Word::Allow | Word::Deny, Moment::Decision) => (Tone::Fine, "allowed"),
    };
    let mut text = target;
    if let Some(path) = event
        .path
        .as_ref()
        .filter(|_| event.event == Moment::Decision)
    {
        text.push_str(&format!(" {} {path}", event.method));
    }
    if is_blocked(event) {
        text.push_str(&format!(" {}", event.reason));
        let way = Way::of(event);
        let mut by = vec![way.as_str().to_owned()];
        by.extend(event.agent.as_ref().map(ToString::to_string));
        text.push_str(&format!(" ({})", by.join(", ")));
    } else if event.event == Moment::Closed {
        let (up, down) = (bytes(event.up), bytes(event.down));
        text.push_str(&format!(" {up} up, {down} down"));
    }
    if let Some(rule) = event
        .rule
        .as_ref()
        .filter(|_| event.event == Moment::Decision)
    {
        text.push_str(&format!(" by {}:{} {}", rule.file, rule.line, rule.text));
    }
    Told { tone, word, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decisions::made::{allowed, asked, denied};
    use agentnet_policy::Reason;
    use agentnet_policy::event::RuleLine;

    fn line(event: &Event) -> String {
        let told = told(event);
        format!("{} {}", told.word, told.text)
    }

    #[test]
    fn an_event_is_told_in_a_line() {
        let pip = Event {
            agent: Some("pip/24.0".into()),
            ..denied("a.example", 1)
        };
        assert_eq!(
            line(&pip),
            "REFUSED a.example:443 not_listed (proxy, pip/24.0)"
        );
        assert_eq!(
            line(&asked("a.example", 1)),
            "REFUSED a.example:443 not_listed (dns)"
        );
        let quiet = Event {
            quiet: true,
            ..denied("t.example", 1)
        };
        assert_eq!(
            line(&quiet),
            "refused quietly t.example:443 not_listed (proxy)"
        );
        let rule = RuleLine {
            file: "project.txt".into(),
            line: 3,
            text: "b.example".into(),
            comment: None,
        };
        let fine = Event {
            rule: Some(rule),
            ..allowed("b.example", 1)
        };
        assert_eq!(
            line(&fine),
            "allowed b.example:443 by project.txt:3 b.example"
        );
        let failed = Event {
            reason: Reason::ResolveFailed,
            ..fine.clone()
        };
        assert!(line(&failed).starts_with("FAILED b.example:443 resolve_failed (proxy)"));
        let closed = Event {
            event: Moment::Closed,
            up: 1_536,
            down: 10 << 10,
            ..fine
        };
        assert_eq!(line(&closed), "closed b.example:443 1.5K up, 10K down");
        let cut = Event {
            reason: Reason::NotTls,
            verdict: Word::Deny,
            ..closed
        };
        assert_eq!(line(&cut), "CUT OFF b.example:443 not_tls (proxy)");
    }
}
