//! One run of the host's git, in an environment in which nobody else's settings point elsewhere.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::error::{Error, Result};

/// What git inherits. Everything else (`GIT_DIR`, `GIT_CONFIG_*`, `GIT_SSH_COMMAND` …) stays here.
const INHERITED: [&str; 5] = ["PATH", "HOME", "XDG_CONFIG_HOME", "USER", "TMPDIR"];

/// What more it inherits for somebody else's repository: how the person says who they are.
const PERSONS: [&str; 7] = [
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_ASKPASS",
    "GIT_SSL_CAINFO",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// Ours: a worktree is ours to make, and the user's hooks are about the user's checkouts; several
/// tasks change the refs of one repository at once.
const SETTINGS: [&str; 5] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.filesRefLockTimeout=10000",
    "core.packedRefsTimeout=10000",
    // A clone of ours has no checkout, and we know whose it is.
    "safe.bareRepository=all",
];

/// A git command that is being put together.
#[derive(Debug)]
pub(crate) struct Git {
    directory: OsString,
    environment: Vec<(&'static str, OsString)>,
    settings: Vec<String>,
    args: Vec<OsString>,
    input: Vec<u8>,
    is_the_persons: bool,
}

impl Git {
    /// `git -C DIRECTORY`.
    pub(crate) fn at(directory: &Path) -> Git {
        Git {
            directory: directory.as_os_str().to_owned(),
            environment: Vec::new(),
            settings: SETTINGS.map(str::to_owned).to_vec(),
            args: Vec::new(),
            input: Vec::new(),
            is_the_persons: false,
        }
    }

    /// With the person's whole environment (their agent's socket, their proxy, their helpers), but for
    /// what leads git to other repositories.
    pub(crate) fn with_the_persons(mut self) -> Git {
        self.is_the_persons = true;
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Git {
        let args = args.into_iter();
        self.args.extend(args.map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// `-c KEY=VALUE`.
    pub(crate) fn setting(mut self, setting: String) -> Git {
        self.settings.push(setting);
        self
    }

    pub(crate) fn env(mut self, key: &'static str, value: impl AsRef<OsStr>) -> Git {
        self.environment.push((key, value.as_ref().to_owned()));
        self
    }

    /// Its standard input.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Git {
        self.input = input.into();
        self
    }

    /// The process, not started yet, without its streams.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new("git");
        let inherited = |key: &str| match self.is_the_persons {
            true => !key.starts_with("GIT_") || PERSONS.contains(&key),
            false => INHERITED.contains(&key),
        };
        command
            .env_clear()
            .envs(std::env::vars_os().filter(|(key, _)| key.to_str().is_some_and(inherited)))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // Its errors are read.
            .env("LC_ALL", "C.UTF-8")
            .envs(self.environment.iter().map(|(key, value)| (*key, value)));
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.arg("-C").arg(&self.directory).args(&self.args);
        command
    }

    /// Runs it; its standard output as text without the last line end.
    pub(crate) async fn text(self, doing: &str) -> Result<String> {
        let output = self.bytes(doing).await?;
        let text = String::from_utf8_lossy(&output);
        Ok(text.trim_end().to_owned())
    }

    /// Runs it; its standard output.
    pub(crate) async fn bytes(self, doing: &str) -> Result<Vec<u8>> {
        let mut command = self.command();
        let stdin = match self.input.is_empty() {
            true => Stdio::null(),
            false => Stdio::piped(),
        };
        command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| not_started(doing, &e))?;
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // It may have said no already: its own words are the better story.
                drop(stdin.write_all(&self.input).await);
            }
        };
        let ((), output) = tokio::join!(feed, child.wait_with_output());
        let output = output?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(failure(doing, &output.stderr))
    }
}

/// git itself could not be started.
pub(crate) fn not_started(doing: &str, error: &std::io::Error) -> Error {
    let absent = error.kind() == ErrorKind::NotFound;
    Error::Git {
        doing: doing.to_owned(),
        why: match absent {
            true => "the program git is not installed".into(),
            false => error.to_string(),
        },
    }
}

/// Why it failed, in its own last words.
pub(crate) fn failure(doing: &str, words: &[u8]) -> Error {
    let words = String::from_utf8_lossy(words);
    // A name that an agent chose may be among them.
    let words = words.replace(|c: char| c.is_control() && c != '\n', "");
    if let Some(full) = words.lines().find(|line| is_full(line)) {
        let text = format!("git {doing}: {full}");
        return std::io::Error::new(ErrorKind::StorageFull, text).into();
    }
    let last = words
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("it failed");
    Error::Git {
        doing: doing.to_owned(),
        why: last.trim_start_matches("fatal: ").to_owned(),
    }
}

/// git's last words are of what it could not do, and not of why; "unable to write file" is what it
/// says of a file that it could open, without the system's error.
fn is_full(line: &str) -> bool {
    [
        "No space left on device",
        "Disk quota exceeded",
        "error: unable to write file",
    ]
    .iter()
    .any(|words| line.contains(words))
}
