//! One thing of the person's, by its word.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::{Credentials, SshKeys};
use crate::ssh_agent::Fingerprint;

/// One thing of the person's that a task can be given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Want {
    /// Name and address for commits.
    GitIdentity,
    /// The GitHub CLI's token.
    Gh,
    /// The agent's login.
    Login,
    /// The SSH agent: this key of it, or all.
    SshAgent(Option<Fingerprint>),
    /// A variable of the environment.
    Env(String),
}

impl Want {
    /// What `[credentials]` asks for.
    #[must_use]
    pub fn of(config: &Credentials) -> BTreeSet<Want> {
        let flags = [
            (config.git_identity, Want::GitIdentity),
            (config.gh, Want::Gh),
            (config.login, Want::Login),
        ];
        let flags = flags
            .into_iter()
            .filter_map(|(wanted, want)| wanted.then_some(want));
        let keys = match &config.ssh_agent {
            SshKeys::All(true) => vec![None],
            SshKeys::All(false) => Vec::new(),
            SshKeys::Named(keys) => keys.iter().copied().map(Some).collect(),
        };
        flags
            .chain(keys.into_iter().map(Want::SshAgent))
            .chain(config.env.iter().cloned().map(Want::Env))
            .collect()
    }
}

/// A name of a variable as shells have it.
pub(crate) fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.len() <= 256
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl FromStr for Want {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "git-identity" => Ok(Want::GitIdentity),
            "gh" => Ok(Want::Gh),
            "login" => Ok(Want::Login),
            "ssh-agent" => Ok(Want::SshAgent(None)),
            text => match text.split_once(':') {
                Some(("env", name)) if is_variable(name) => Ok(Want::Env(name.to_owned())),
                Some(("env", name)) => Err(format!("{name:?} is no name of a variable")),
                Some(("ssh-agent", key)) => Ok(Want::SshAgent(Some(key.parse()?))),
                Some(_) | None => Err(format!(
                    "{text:?} is none of git-identity, gh, login, ssh-agent, ssh-agent:SHA256:… and env:NAME"
                )),
            },
        }
    }
}

impl TryFrom<String> for Want {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Want> for String {
    fn from(want: Want) -> String {
        want.to_string()
    }
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Want::GitIdentity => f.write_str("git-identity"),
            Want::Gh => f.write_str("gh"),
            Want::Login => f.write_str("login"),
            Want::SshAgent(None) => f.write_str("ssh-agent"),
            Want::SshAgent(Some(key)) => write!(f, "ssh-agent:{key}"),
            Want::Env(name) => write!(f, "env:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for word in [
            "git-identity",
            "gh",
            "login",
            "ssh-agent",
            "ssh-agent:SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "env:OPENAI_API_KEY",
        ] {
            assert_eq!(word.parse::<Want>().unwrap().to_string(), word);
        }
        for bad in [
            "env:",
            "env:A=B",
            "env:1A",
            "all",
            "",
            "env:A B",
            "ssh-agent:",
            "ssh-agent:me",
        ] {
            assert!(bad.parse::<Want>().is_err(), "{bad}");
        }
    }
}
