//! The task's whitelist files as the controller sees them: validated with the code of the running
//! proxy before anything is written.

use std::path::Path;

use agentnet_policy::{
    Ask, BuiltinPresets, Host, Layer, LoadOptions, Loaded, Policy, Request, Source, Target,
    Verdict, load,
};
use jiff::{SignedDuration, Timestamp};

use crate::config;
use crate::error::{Error, Result};
use crate::paths::{TaskDir, write_atomically};

/// The project's layer in the policy directory.
pub const PROJECT: &str = "project.txt";
/// The task's layer in the policy directory.
pub const TASK: &str = "task.txt";

/// Both layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers {
    /// The project's whitelist.
    pub project: String,
    /// What was granted and denied for the task alone.
    pub task: String,
}

impl Layers {
    /// A new task's: the project's whitelist from the user's checkout, and no grants.
    pub fn for_project(checkout: Option<&Path>) -> Result<Layers> {
        let project =
            match checkout.map(|root| fs_err::read_to_string(root.join(config::WHITELIST))) {
                Some(Ok(text)) => text,
                Some(Err(e)) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::Config(e.to_string()));
                }
                Some(Err(_)) | None => {
                    "# There is no .agentnet/whitelist.txt: nothing is allowed.\n".into()
                }
            };
        let task = "# Written by agentnet allow and agentnet deny.\n".to_owned();
        let layers = Layers { project, task };
        layers.check()?;
        Ok(layers)
    }

    /// A running task's.
    pub fn read(dir: &TaskDir) -> Result<Layers> {
        Ok(Layers {
            project: fs_err::read_to_string(dir.policy().join(PROJECT))?,
            task: fs_err::read_to_string(dir.policy().join(TASK))?,
        })
    }

    /// Loads both; the error has one line for each problem.
    pub fn load(&self) -> Result<Loaded> {
        let source = |name: &str, layer, text: &String| Source {
            name: name.to_owned(),
            layer,
            text: text.clone(),
        };
        let sources = [
            source(config::WHITELIST, Layer::Project, &self.project),
            source(TASK, Layer::Task, &self.task),
        ];
        load(&sources, &BuiltinPresets, LoadOptions::default())
            .map_err(|problems| Error::Whitelist(problems.to_string().trim_end().to_owned()))
    }

    /// Loads both and forgets the result.
    pub fn check(&self) -> Result<()> {
        self.load().map(drop)
    }

    /// Writes the task's layer in place, as one change.
    pub fn write_task(&self, dir: &TaskDir) -> Result<()> {
        write_atomically(&dir.policy().join(TASK), &self.task)
    }
}

/// A change to the task's layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Allow, perhaps only until then.
    Allow(Option<Timestamp>),
    /// Refuse.
    Deny,
}

/// A line for one target as the user typed it.
#[must_use]
pub fn line(target: &str, change: &Change) -> String {
    match change {
        Change::Allow(None) => target.to_owned(),
        Change::Allow(Some(until)) => format!("{target} until={until:.0}"),
        Change::Deny => format!("{target} deny"),
    }
}

/// The target that a line of ours is about: its first word.
fn target_of(line: &str) -> Option<&str> {
    line.split('#').next()?.split_whitespace().next()
}

/// The task's layer after a change. A task's own earlier word about the same target is replaced:
/// a deny would otherwise beat the allow that was just asked for.
#[must_use]
pub fn changed(task: &str, targets: &[String], change: &Change) -> String {
    let stays = |line: &&str| target_of(line).is_none_or(|t| !targets.iter().any(|new| new == t));
    let mut text: String = task
        .lines()
        .filter(stays)
        .map(|line| format!("{line}\n"))
        .collect();
    for target in targets {
        text.push_str(&line(target, change));
        text.push('\n');
    }
    text
}

/// `30m`, `2h`, `90s`, `1d`: how long a grant lasts.
pub fn parse_duration(text: &str) -> Result<SignedDuration> {
    let bad = || {
        Error::Usage(format!(
            "{text:?} is not a time span: write it as 30m, 2h or 1d"
        ))
    };
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(bad)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    let number: i64 = number.parse().map_err(|_| bad())?;
    match number.checked_mul(seconds) {
        Some(total @ 1..=31_536_000) => Ok(SignedDuration::from_secs(total)),
        _ => Err(Error::Usage(format!(
            "{text:?} is out of range: from 1s to 365d"
        ))),
    }
}

/// What the policy now says about a target, in a sentence. `None` for patterns: they are about many
/// names.
#[must_use]
pub fn effect(policy: &Policy, target: &str) -> Option<(bool, String)> {
    let https = std::num::NonZeroU16::new(443);
    let target = match Target::parse(target, https) {
        Ok(target) => target,
        Err(_) => Target::new(Host::parse(target).ok()?, https?),
    };
    let request = Request {
        target: target.clone(),
        ask: Ask::Tunnel,
    };
    let verdict = policy.judge(request, Timestamp::now());
    let by = verdict
        .rule()
        .and_then(|id| policy.rule(id))
        .map(|rule| format!(" ({}:{})", rule.file(), rule.line()))
        .unwrap_or_default();
    Some(match verdict {
        Verdict::Allow(grant) => {
            let until = grant
                .expires()
                .map(|t| format!(" until {t:.0}"))
                .unwrap_or_default();
            (true, format!("{target} is allowed{until}{by}"))
        }
        Verdict::Report(..) => (true, format!("{target} is let through and reported{by}")),
        Verdict::Deny(denial) => (false, denial.sentence(policy)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_word_replaces_the_tasks_old_one_and_leaves_the_rest() {
        let task = "# head\na.example deny\nb.example\n";
        let text = changed(task, &["a.example".into()], &Change::Allow(None));
        assert_eq!(text, "# head\nb.example\na.example\n");
        let text = changed(&text, &["a.example".into()], &Change::Deny);
        assert_eq!(text, "# head\nb.example\na.example deny\n");
    }

    #[test]
    fn a_grant_for_a_while_names_its_end() {
        let until = "2026-11-20T22:00:00.5Z".parse().unwrap();
        let change = Change::Allow(Some(until));
        assert_eq!(
            line("a.example", &change),
            "a.example until=2026-11-20T22:00:00Z"
        );
    }

    #[test]
    fn reads_time_spans_and_refuses_nonsense() {
        assert_eq!(parse_duration("30m").unwrap().as_secs(), 1800);
        assert_eq!(parse_duration("1d").unwrap().as_secs(), 86_400);
        for bad in ["", "m", "30", "-5m", "0s", "9999999d", "1w", "5ü"] {
            assert!(parse_duration(bad).is_err(), "{bad:?}");
        }
    }
}
