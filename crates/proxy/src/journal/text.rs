//! An event as one line for people.

use std::fmt::Write;

use agentnet_policy::Event;
use agentnet_policy::event::{Moment, Protocol, Word};

/// One line with its end. Every field is already printable: `event::Text` sees to that.
pub(super) fn line(event: &Event) -> String {
    let mut line = String::with_capacity(160);
    let word = match (event.event, event.verdict) {
        (Moment::Closed, _) => "closed",
        (Moment::Decision, Word::Allow) => "allow",
        (Moment::Decision, Word::Report) => "report",
        (Moment::Decision, Word::Deny) => "DENY",
    };
    // Writing to a string does not fail.
    write!(
        line,
        "{} {word:<6} {:<13} ",
        event.time,
        event.reason.as_str()
    )
    .ok();
    match event.protocol {
        Protocol::Dns => write!(line, "{} {}", event.method, event.host),
        Protocol::Connect | Protocol::Http | Protocol::Tls | Protocol::Raw => {
            write!(line, "{} {}:{}", event.method, event.host, event.port)
        }
    }
    .ok();
    if let (Protocol::Http, Some(path)) = (event.protocol, &event.path) {
        write!(line, "{path}").ok();
    }
    write!(line, " from {} at {}", event.client, event.listener).ok();
    if let Some(rule) = &event.rule {
        write!(line, " by {}:{} `{}`", rule.file, rule.line, rule.text).ok();
    }
    if event.event == Moment::Closed {
        write!(
            line,
            " up {} down {} in {} ms",
            event.up, event.down, event.ms
        )
        .ok();
    }
    if let Some(sentence) = &event.sentence {
        write!(line, ": {sentence}").ok();
    }
    line.push('\n');
    line
}
