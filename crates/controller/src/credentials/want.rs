//! One thing of the person's, by its word.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::Credentials;

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
        flags
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
            text => match text.strip_prefix("env:") {
                Some(name) if is_variable(name) => Ok(Want::Env(name.to_owned())),
                Some(name) => Err(format!("{name:?} is no name of a variable")),
                None => Err(format!(
                    "{text:?} is none of git-identity, gh, login and env:NAME"
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
            Want::Env(name) => write!(f, "env:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_it_is_written() {
        for word in ["git-identity", "gh", "login", "env:OPENAI_API_KEY"] {
            assert_eq!(word.parse::<Want>().unwrap().to_string(), word);
        }
        for bad in ["env:", "env:A=B", "env:1A", "all", "", "env:A B"] {
            assert!(bad.parse::<Want>().is_err(), "{bad}");
        }
    }
}
