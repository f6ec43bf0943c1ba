//! One thing to find out.

use std::time::Duration;

use crate::spec::{Capability, ContainerSpec, Mount};

/// A shell script, and how much it may say and how long it may take.
#[derive(Debug)]
pub struct Job {
    doing: String,
    script: String,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    mounts: Vec<Mount>,
    deadline: Duration,
    limit: u64,
    rights: Vec<Capability>,
}

/// Comes before every script that runs git.
const OPEN: &str = include_str!("open.sh");

impl Job {
    /// A script for `sh -eu`; `doing` is what errors say, as a participle. It finds the files in
    /// `$AGENTNET_TREE` and may write in `$AGENTNET_SCRATCH`, which is memory.
    #[must_use]
    pub fn script(doing: impl Into<String>, script: &str) -> Job {
        Job {
            doing: doing.into(),
            script: script.to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            mounts: Vec::new(),
            deadline: Duration::from_secs(60),
            limit: 16 << 20,
            rights: Vec::new(),
        }
    }

    /// The same with git on the task's objects and refs, and none of its configuration. `use_index`
    /// or `fresh_index` comes first where an index is needed. A worktree's task only.
    #[must_use]
    pub fn git(doing: impl Into<String>, script: &str) -> Job {
        Job::script(doing, &format!("{OPEN}\n{script}"))
    }

    /// `$1`, `$2` …
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> Job {
        self.arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn variable(mut self, name: &'static str, value: impl Into<String>) -> Job {
        self.variables.push((name, value.into()));
        self
    }

    /// More to look at, or a volume to write.
    #[must_use]
    pub fn mounts(mut self, mounts: impl IntoIterator<Item = Mount>) -> Job {
        self.mounts.extend(mounts);
        self
    }

    /// How long it may take; 60 s otherwise.
    #[must_use]
    pub fn within(mut self, deadline: Duration) -> Job {
        self.deadline = deadline;
        self
    }

    /// How many bytes it may print; 16 MiB otherwise.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> Job {
        self.limit = bytes;
        self
    }

    /// As root of its container, with these rights: for files of several owners.
    #[must_use]
    pub fn as_root(mut self, rights: &[Capability]) -> Job {
        self.rights = rights.to_vec();
        self
    }

    pub(super) fn doing(&self) -> &str {
        &self.doing
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The container that runs it.
    pub(crate) fn spec(self, template: &ContainerSpec, name: String, stdin: bool) -> ContainerSpec {
        // Whoever started it may be killed: it ends by itself a little later than it is stopped.
        let seconds = (self.deadline.as_secs() + 10).to_string();
        let words = ["timeout", "-s", "KILL", &seconds, "sh", "-eu", "-c"];
        let mut spec = template.clone();
        spec.name = name;
        spec.entrypoint = Some(words.map(str::to_owned).to_vec());
        spec.command = vec![self.script, "agentnet".to_owned()];
        spec.command.extend(self.arguments);
        let variables = self.variables.into_iter();
        spec.env
            .extend(variables.map(|(name, value)| (name.to_owned(), value)));
        spec.mounts.extend(self.mounts);
        spec.stdin_open = stdin;
        if !self.rights.is_empty() {
            spec.user = Some("0:0".to_owned());
            spec.capabilities = self.rights;
        }
        spec
    }
}
