//! Where an agent works: an image, a Dockerfile, or one of our presets.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Agent;

/// An environment of ours: a target of `images/agent/Dockerfile`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// git, curl, jq, Python.
    Minimal,
    /// And pytest, black, flake8, mypy …
    PythonDev,
    /// And Node, jest, eslint, prettier, TypeScript …
    NodejsDev,
    /// Both, with compilers and database clients.
    Fullstack,
    /// Python with NumPy, pandas, scikit-learn …
    PythonMl,
    /// bandit, pip-audit, `npm audit` …
    Security,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 6] = [
        Preset::Minimal,
        Preset::PythonDev,
        Preset::NodejsDev,
        Preset::Fullstack,
        Preset::PythonMl,
        Preset::Security,
    ];

    /// The word for it: its target.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Preset::Minimal => "minimal",
            Preset::PythonDev => "python-dev",
            Preset::NodejsDev => "nodejs-dev",
            Preset::Fullstack => "fullstack",
            Preset::PythonMl => "python-ml",
            Preset::Security => "security",
        }
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Two sources of one image contradict each other; a preset under a Dockerfile does not: it is its
/// `BASE`.
pub(super) fn check(agent: &Agent) -> Result<(), String> {
    let sources = [
        ("image", agent.image.is_some()),
        ("build", agent.build.is_some()),
        ("dockerfile", agent.dockerfile.is_some()),
    ];
    let mut named = sources
        .iter()
        .filter_map(|(key, there)| there.then_some(*key));
    if let (Some(first), Some(second)) = (named.next(), named.next()) {
        return Err(format!("[agent] has both {first} and {second}; keep one"));
    }
    if agent.image.is_some() && agent.preset.is_some() {
        return Err("[agent] has both image and preset; keep one".into());
    }
    if let Some(text) = &agent.dockerfile {
        let begins = |line: &str| {
            let word = line.split_whitespace().next();
            word.is_some_and(|word| word.eq_ignore_ascii_case("FROM"))
        };
        if !text.lines().any(begins) {
            return Err(
                "[agent] dockerfile has no FROM; begin with `ARG BASE` and `FROM ${BASE}` to build \
                 on the preset, or name an image"
                    .into(),
            );
        }
    }
    Ok(())
}
