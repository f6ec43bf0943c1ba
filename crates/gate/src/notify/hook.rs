//! What the hooks of Claude Code, Codex and the Gemini CLI say, as alerts.
//!
//! A hook runs in the agent's container as the agent, and says no more than the agent could say by
//! itself. It prints nothing, because some of these programs obey what a hook prints, and never fails.

use std::ffi::{OsStr, OsString};
use std::io::Read;

use clap::Args;
use serde::Deserialize;
use serde_json::Value;

use super::kind::Kind;

/// Longest document that is read, in bytes: some carry the agent's last words.
const LONGEST: u64 = 1 << 20;
/// Set for the command of an `agentnet run`, which tells of its own end by itself.
const OF_RUN: &str = "AGENTNET_RUN";

/// `hook`
#[derive(Args, Debug)]
pub struct Hook {
    /// Whose hook it is, and what happened as JSON, which otherwise comes on standard input. Any words
    /// are taken: exit code 2, which wrong ones have elsewhere, orders Claude Code not to stop.
    #[arg(
        value_name = "AGENT [JSON]",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    words: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Claude,
    Codex,
    Gemini,
}

impl Program {
    fn named(name: &OsStr) -> Option<Self> {
        match name.to_str()? {
            "claude" => Some(Self::Claude),
            "codex" => Some(Self::Codex),
            "gemini" => Some(Self::Gemini),
            _ => None,
        }
    }
}

/// The fields that we look at, of all three. Others may come and go with their versions.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    hook_event_name: String,
    notification_type: String,
    message: String,
    agent_type: String,
    last_assistant_message: String,
    prompt_response: String,
    /// A list of objects, as far as we know.
    background_tasks: Value,
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "last-assistant-message")]
    last_message: String,
}

impl Hook {
    /// Whether the agent works for an `agentnet run`.
    pub(super) fn is_of_run() -> bool {
        is_set(std::env::var_os(OF_RUN).as_deref())
    }

    /// What to tell people, if anything.
    pub(super) fn tells(&self, input: &mut dyn Read, of_run: bool) -> Option<(Kind, String)> {
        let mut words = self.words.iter();
        let program = Program::named(words.next()?)?;
        let bytes = match words.next() {
            Some(text) => text.as_encoded_bytes().to_owned(),
            None => {
                let mut bytes = Vec::new();
                input.take(LONGEST).read_to_end(&mut bytes).ok()?;
                bytes
            }
        };
        let told: Told = serde_json::from_slice(&bytes).ok()?;
        told.alert(program)
            .filter(|(kind, _)| !(of_run && *kind == Kind::Complete))
    }
}

fn is_set(value: Option<&OsStr>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

impl Told {
    fn has_subagents(&self) -> bool {
        let tasks = self.background_tasks.as_array();
        let works = |task: &Value| {
            let is =
                |field: &str, word: &str| task.get(field).and_then(Value::as_str) == Some(word);
            is("type", "subagent") && is("status", "running")
        };
        tasks.is_some_and(|tasks| tasks.iter().any(works))
    }

    fn alert(self, agent: Program) -> Option<(Kind, String)> {
        let or = |text: String, instead: &str| match text.trim() {
            "" => instead.to_owned(),
            _ => text,
        };
        let turn = "it has finished, and waits for you";
        match (agent, self.hook_event_name.as_str(), self.kind.as_str()) {
            (Program::Claude, "Notification", _) if self.notification_type == "auth_success" => {
                None
            }
            (Program::Claude | Program::Gemini, "Notification", _) => {
                Some((Kind::Clarification, or(self.message, "it waits for you")))
            }
            // Its turn ends while subagents work on. It is woken when they are done, and stops once more.
            (Program::Claude, "Stop", _) if self.has_subagents() => None,
            (Program::Claude, "Stop", _) => {
                Some((Kind::Complete, or(self.last_assistant_message, turn)))
            }
            (Program::Claude, "SubagentStop", _) => {
                let who = or(self.agent_type, "subagent");
                let what = or(self.last_assistant_message, "it has finished");
                Some((Kind::Info, format!("{who}: {what}")))
            }
            (Program::Gemini, "AfterAgent", _) => {
                Some((Kind::Complete, or(self.prompt_response, turn)))
            }
            (Program::Codex, _, "agent-turn-complete") => {
                Some((Kind::Complete, or(self.last_message, turn)))
            }
            (Program::Claude | Program::Codex | Program::Gemini, _, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tells(agent: &str, text: &str, of_run: bool) -> Option<(Kind, String)> {
        let hook = Hook {
            words: vec![agent.into()],
        };
        hook.tells(&mut text.as_bytes(), of_run)
    }

    #[test]
    fn what_each_program_says_becomes_the_alert_that_it_is() {
        for (agent, text, kind, expected) in [
            (
                "claude",
                r#"{"session_id":"a","hook_event_name":"Notification","message":"Claude needs your permission to use Bash","notification_type":"permission_prompt"}"#,
                Kind::Clarification,
                "Claude needs your permission to use Bash",
            ),
            (
                "claude",
                r#"{"hook_event_name":"Stop","stop_hook_active":false,"last_assistant_message":"The parser is mended."}"#,
                Kind::Complete,
                "The parser is mended.",
            ),
            (
                "claude",
                r#"{"hook_event_name":"Stop","stop_hook_active":false}"#,
                Kind::Complete,
                "it has finished, and waits for you",
            ),
            // A server that it left running is no reason to wait, and nor is what we do not know.
            (
                "claude",
                r#"{"hook_event_name":"Stop","last_assistant_message":"Up.","background_tasks":[{"id":"a","type":"shell","status":"running"},{"type":"subagent","status":"completed"},7]}"#,
                Kind::Complete,
                "Up.",
            ),
            (
                "claude",
                r#"{"hook_event_name":"Stop","last_assistant_message":"Up.","background_tasks":{"a":"subagent"}}"#,
                Kind::Complete,
                "Up.",
            ),
            (
                "claude",
                r#"{"hook_event_name":"SubagentStop","agent_type":"Explore","last_assistant_message":"Found.","background_tasks":[{"type":"subagent","status":"running"}]}"#,
                Kind::Info,
                "Explore: Found.",
            ),
            (
                "claude",
                r#"{"hook_event_name":"SubagentStop","agent_type":"Explore"}"#,
                Kind::Info,
                "Explore: it has finished",
            ),
            (
                "gemini",
                r#"{"hook_event_name":"AfterAgent","prompt":"x","prompt_response":"Done."}"#,
                Kind::Complete,
                "Done.",
            ),
            (
                "gemini",
                r#"{"hook_event_name":"Notification","notification_type":"ToolPermission","message":"Run ls?","details":{"type":"exec"}}"#,
                Kind::Clarification,
                "Run ls?",
            ),
        ] {
            assert_eq!(
                tells(agent, text, false),
                Some((kind, expected.to_owned())),
                "{text}"
            );
        }
        let codex = Hook {
            words: vec![
                "codex".into(),
                r#"{"type":"agent-turn-complete","turn-id":"1","input-messages":["x"],"last-assistant-message":"Renamed."}"#.into(),
            ],
        };
        let expected = Some((Kind::Complete, "Renamed.".to_owned()));
        assert_eq!(codex.tells(&mut std::io::empty(), false), expected);
        // A run tells of its own end.
        assert_eq!(codex.tells(&mut std::io::empty(), true), None);
    }

    #[test]
    fn what_is_not_understood_tells_nothing() {
        for text in [
            "",
            "null",
            "[1]",
            "{\"hook_event_name\":3}",
            "{\"hook_event_name\":\"PreToolUse\"}",
            r#"{"hook_event_name":"Stop","last_assistant_message":"I wait for it.","background_tasks":[{"id":"a","type":"subagent","status":"running"}]}"#,
            r#"{"hook_event_name":"Notification","notification_type":"auth_success","message":"x"}"#,
            "\u{fffd}",
        ] {
            assert_eq!(tells("claude", text, false), None, "{text}");
        }
        assert!(is_set(Some(OsStr::new("1"))) && !is_set(Some(OsStr::new(""))) && !is_set(None));
    }
}
