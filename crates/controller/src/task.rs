//! A task's name and every name derived from it. Nobody else formats one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::labels::Role;

/// Longest task or project slug. Engine names stay below 128, host names below 64.
const MAX_SLUG: usize = 40;

/// A checked slug: `a-z`, `0-9` and single inner hyphens, at most 40 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Slug(String);

impl Slug {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Turns any text (a directory's name) into a slug; `None` when nothing usable is in it.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Slug> {
        let mut out = String::new();
        for c in text.chars().map(|c| c.to_ascii_lowercase()) {
            match c {
                'a'..='z' | '0'..='9' => out.push(c),
                _ if !out.is_empty() && !out.ends_with('-') => out.push('-'),
                _ => {}
            }
            if out.len() == MAX_SLUG {
                break;
            }
        }
        let out = out.trim_end_matches('-');
        (!out.is_empty()).then(|| Slug(out.to_owned()))
    }
}

impl FromStr for Slug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let problem = if text.is_empty() {
            "is empty"
        } else if text.len() > MAX_SLUG {
            "is longer than 40 characters"
        } else if !text
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            "may hold only a-z, 0-9 and hyphens"
        } else if text.starts_with('-') || text.ends_with('-') || text.contains("--") {
            "may not begin or end with a hyphen or hold two in a row"
        } else {
            return Ok(Slug(text.to_owned()));
        };
        let better = Slug::from_text(text)
            .map(|s| format!("; {s} would do"))
            .unwrap_or_default();
        Err(format!("the name {text:?} {problem}{better}"))
    }
}

impl TryFrom<String> for Slug {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Slug> for String {
    fn from(slug: Slug) -> String {
        slug.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One task of one project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The project: the checkout's directory name, or `project =` in agentnet.toml.
    pub project: Slug,
    /// The task, as typed.
    pub task: Slug,
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.task)
    }
}

impl TaskId {
    /// The engine-wide name of one of the task's resources.
    #[must_use]
    pub fn resource(&self, role: Role) -> String {
        format!("agentnet-{}-{}-{role}", self.project, self.task)
    }

    /// The engine-wide name of a service's container.
    #[must_use]
    pub fn service(&self, name: &Slug) -> String {
        format!("{}-{name}", self.resource(Role::Service))
    }

    /// The engine-wide name of a volume with a service's data. A name has no dot, so no two are one.
    #[must_use]
    pub fn volume(&self, service: &Slug, name: &Slug) -> String {
        format!("{}-{service}.{name}", self.resource(Role::Volume))
    }

    /// The branch of the task's worktree.
    #[must_use]
    pub fn branch(&self) -> String {
        format!("agentnet/{}", self.task)
    }

    /// The host name inside the containers: what a prompt shows.
    #[must_use]
    pub fn hostname(&self) -> String {
        self.task.to_string()
    }

    /// A stable number for this task: where it begins to look for a free address block.
    #[must_use]
    pub fn seed(&self) -> u64 {
        fnv64(format!("{}/{}", self.project, self.task).as_bytes())
    }
}

/// FNV-1a: a stable spread of names over the pool and a short fingerprint of a path. Not a
/// cryptographic hash, and nothing here needs one.
#[must_use]
pub fn fnv64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_plain_slugs_and_refuses_everything_else() {
        for good in ["a", "fix-login", "7", "a1-b2-c3"] {
            assert_eq!(good.parse::<Slug>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "a--b",
            "A",
            "a_b",
            "a/b",
            "../x",
            "ä",
            "a b",
            &"a".repeat(41),
        ] {
            assert!(bad.parse::<Slug>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn says_which_name_would_do() {
        let error = "Fix Login!".parse::<Slug>().unwrap_err();
        assert!(error.ends_with("; fix-login would do"), "{error}");
    }

    #[test]
    fn makes_a_slug_of_any_directory_name_or_none() {
        assert_eq!(
            Slug::from_text("My_Repo.git").unwrap().as_str(),
            "my-repo-git"
        );
        assert_eq!(Slug::from_text("..."), None);
        assert_eq!(
            Slug::from_text(&"x".repeat(100)).unwrap().as_str().len(),
            40
        );
    }

    #[test]
    fn derives_every_name_from_project_and_task() {
        let id = TaskId {
            project: "shop".parse().unwrap(),
            task: "fix-1".parse().unwrap(),
        };
        assert_eq!(id.resource(Role::Proxy), "agentnet-shop-fix-1-proxy");
        assert_eq!(
            id.service(&"db".parse().unwrap()),
            "agentnet-shop-fix-1-service-db"
        );
        assert_eq!(id.branch(), "agentnet/fix-1");
    }
}
