//! The agents we know: how each is started, what it needs, and where it keeps its login. Data only.
//!
//! Checked with the command lines of Claude Code 2.1, Codex CLI 0.169 and Gemini CLI 0.61
//! (docs/agents.md).

mod prompt;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use prompt::{ISSUE_FILE, Issue, Prompt};

/// An agent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Agent {
    /// Claude Code.
    Claude,
    /// Codex CLI.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// No agent: a shell, where a prompt is a command line.
    Shell,
}

/// What one agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traits {
    /// With a person at the terminal.
    pub interactive: &'static [&'static str],
    /// Without anybody to ask; the prompt follows, joined to the last word where that ends in `=`.
    pub unattended: &'static [&'static str],
    /// What it runs with besides: the fence asks for nothing, so it need not either.
    pub env: &'static [(&'static str, &'static str)],
    /// The preset of the whitelist with its hosts.
    pub preset: Option<&'static str>,
    /// The host without which nothing of it works.
    pub host: Option<&'static str>,
    /// Variables that carry a key: where one is set, a login is not looked at.
    pub keys: &'static [&'static str],
}

impl Agent {
    /// Every agent.
    pub const ALL: [Agent; 4] = [Agent::Claude, Agent::Codex, Agent::Gemini, Agent::Shell];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Agent::Claude => "claude",
            Agent::Codex => "codex",
            Agent::Gemini => "gemini",
            Agent::Shell => "shell",
        }
    }

    /// What is known about it.
    #[must_use]
    pub fn traits(self) -> Traits {
        match self {
            Agent::Claude => Traits {
                interactive: &["claude"],
                // `--`: a prompt may begin with a hyphen.
                unattended: &["claude", "--print", "--dangerously-skip-permissions", "--"],
                // IS_SANDBOX: in a rootless engine the agent is root, and Claude Code refuses to skip its
                // questions for root anywhere else.
                env: &[("DISABLE_AUTOUPDATER", "1"), ("IS_SANDBOX", "1")],
                preset: Some("@claude"),
                host: Some("api.anthropic.com:443"),
                keys: &[
                    "ANTHROPIC_API_KEY",
                    "ANTHROPIC_AUTH_TOKEN",
                    "CLAUDE_CODE_OAUTH_TOKEN",
                ],
            },
            Agent::Codex => Traits {
                interactive: &["codex"],
                // Its own sandbox needs what a container without capabilities does not have.
                unattended: &[
                    "codex",
                    "exec",
                    "--dangerously-bypass-approvals-and-sandbox",
                    "--skip-git-repo-check",
                    "--",
                ],
                env: &[],
                preset: Some("@codex"),
                host: Some("api.openai.com:443"),
                keys: &["OPENAI_API_KEY", "CODEX_API_KEY"],
            },
            Agent::Gemini => Traits {
                interactive: &["gemini"],
                // The prompt in one word with its flag: yargs would take one that begins with a hyphen
                // for a flag.
                unattended: &["gemini", "--yolo", "--skip-trust", "--prompt="],
                env: &[("NO_BROWSER", "true")],
                preset: Some("@gemini"),
                host: Some("generativelanguage.googleapis.com:443"),
                keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
            },
            Agent::Shell => Traits {
                interactive: &["bash"],
                unattended: &["bash", "-c"],
                env: &[],
                preset: None,
                host: None,
                keys: &[],
            },
        }
    }

    /// The command that a person talks to.
    #[must_use]
    pub fn interactive(self) -> Vec<String> {
        self.traits()
            .interactive
            .iter()
            .map(|word| (*word).to_owned())
            .collect()
    }

    /// The command that works a prompt off and asks nothing.
    #[must_use]
    pub fn unattended(self, prompt: &str) -> Vec<String> {
        let words = self.traits().unattended;
        let mut command: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        match command.last_mut() {
            Some(last) if last.ends_with('=') => last.push_str(prompt),
            _ => command.push(prompt.to_owned()),
        }
        command
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_is_one_word_that_no_agent_takes_for_a_flag() {
        let lines: Vec<_> = Agent::ALL.map(|agent| agent.unattended("-x y")).into();
        assert_eq!(
            lines,
            [
                vec![
                    "claude",
                    "--print",
                    "--dangerously-skip-permissions",
                    "--",
                    "-x y"
                ],
                vec![
                    "codex",
                    "exec",
                    "--dangerously-bypass-approvals-and-sandbox",
                    "--skip-git-repo-check",
                    "--",
                    "-x y"
                ],
                vec!["gemini", "--yolo", "--skip-trust", "--prompt=-x y"],
                vec!["bash", "-c", "-x y"],
            ]
        );
    }

    #[test]
    fn every_agents_preset_exists_and_has_its_host() {
        for agent in Agent::ALL {
            let traits = agent.traits();
            let (Some(preset), Some(host)) = (traits.preset, traits.host) else {
                assert_eq!(agent, Agent::Shell);
                continue;
            };
            let layers = crate::policy::Layers {
                project: format!("{preset}\n"),
                task: String::new(),
                presets: Default::default(),
            };
            let policy = layers.load().unwrap().policy;
            let (allowed, sentence) = crate::policy::effect(&policy, host).unwrap();
            assert!(allowed, "{sentence}");
        }
    }
}
