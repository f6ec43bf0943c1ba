//! A program of the user's, once a notice. No shell: what an agent wrote is one argument, whole, and
//! never an option (THREATS W126).

use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use futures_util::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

use crate::notice::{Notice, NoticeId};
use crate::outlet::{Handle, Outlet, OutletError};
use crate::text;

/// What a program says on standard error is kept to this, in bytes; the rest is read and dropped.
const KEPT: usize = 1024;

/// How long what a program said is waited for when it has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// "Try again later" of sysexits.h.
const TEMPORARY: i32 = 75;

/// `type = "command"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandConfig {
    /// The program and its arguments; `{title}` and the like stand for a whole argument.
    run: Vec<Argument>,
    /// Seconds after which it is killed.
    timeout: u64,
    /// How many may run at once.
    at_once: usize,
}

/// One argument: as it stands, or a whole field of the notice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Argument {
    Fixed(String),
    Title,
    Text,
    Kind,
    Urgency,
    Project,
    Task,
    Id,
}

const FIELDS: &str = "{title}, {text}, {kind}, {urgency}, {project}, {task}, {id}";

impl TryFrom<String> for Argument {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let field = match word.as_str() {
            "{title}" => Self::Title,
            "{text}" => Self::Text,
            "{kind}" => Self::Kind,
            "{urgency}" => Self::Urgency,
            "{project}" => Self::Project,
            "{task}" => Self::Task,
            "{id}" => Self::Id,
            other => {
                let inside = FIELDS.split(", ").find(|field| other.contains(field));
                if let Some(field) = inside {
                    // Text of an agent inside a larger argument could become script.
                    return Err(format!(
                        "{field} must be an argument of its own; {other:?} would mix it with other text"
                    ));
                }
                Self::Fixed(word)
            }
        };
        Ok(field)
    }
}

impl CommandConfig {
    /// Ten seconds and one at once, where nothing else is said.
    ///
    /// # Errors
    /// A sentence.
    pub(crate) fn new(
        run: Vec<Argument>,
        timeout: Option<u64>,
        at_once: Option<usize>,
    ) -> Result<Self, String> {
        let (timeout, at_once) = (timeout.unwrap_or(10), at_once.unwrap_or(1));
        match run.first() {
            Some(Argument::Fixed(program)) if !program.is_empty() => {}
            _ => return Err("run must begin with the program".to_owned()),
        }
        if !(1..=50).contains(&timeout) {
            return Err("timeout must be 1 to 50 seconds".to_owned());
        }
        if !(1..=16).contains(&at_once) {
            return Err("at_once must be 1 to 16".to_owned());
        }
        Ok(Self {
            run,
            timeout,
            at_once,
        })
    }
}

/// Runs a program.
#[derive(Debug)]
pub(crate) struct Command {
    name: String,
    run: Vec<Argument>,
    timeout: Duration,
    at_once: usize,
}

impl Command {
    /// Under this name.
    pub(crate) fn new(name: String, config: &CommandConfig) -> Self {
        Self {
            name,
            run: config.run.clone(),
            timeout: Duration::from_secs(config.timeout),
            at_once: config.at_once,
        }
    }

    /// The arguments for one notice. A text that begins with a hyphen gets a space in front: programs
    /// that look for options among all of their arguments find none, with or without `--`.
    fn arguments(&self, notice: &Notice) -> Vec<String> {
        let plain = |text: &str| {
            if text.starts_with('-') {
                format!(" {text}")
            } else {
                text.to_owned()
            }
        };
        let argument = |argument: &Argument| match argument {
            Argument::Fixed(text) => text.clone(),
            Argument::Title => plain(notice.title.as_str()),
            Argument::Text => plain(notice.body.as_str()),
            Argument::Kind => notice.kind.as_str().to_owned(),
            Argument::Urgency => notice.urgency.as_str().to_owned(),
            Argument::Project => plain(&notice.task.project),
            Argument::Task => plain(&notice.task.task),
            Argument::Id => plain(&notice.id.0),
        };
        self.run.iter().map(argument).collect()
    }

    async fn run(&self, notice: &Notice) -> Result<Option<Handle>, OutletError> {
        let arguments = self.arguments(notice);
        let (program, arguments) = arguments
            .split_first()
            .ok_or_else(|| OutletError::Refused("run is empty".to_owned()))?;
        let program = PathBuf::from(program);
        let mut child = tokio::process::Command::new(&program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Of its own, so that what it starts can be ended with it.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| OutletError::Unavailable(format!("{}: {e}", program.display())))?;
        let group = Group::of(&child);
        let mut said = Vec::new();
        let Ok(status) = tokio::time::timeout(self.timeout, end_of(&mut child, &mut said)).await
        else {
            drop(group);
            let seconds = self.timeout.as_secs();
            let text = format!(
                "{} ran longer than {seconds} s and was ended",
                program.display()
            );
            return Err(OutletError::Unknown(text));
        };
        group.let_go();
        let status = status.map_err(|e| OutletError::Unknown(e.to_string()))?;
        let text = || {
            let said = text::line(&String::from_utf8_lossy(&said), 200);
            format!("{}: {status}: {said}", program.display())
        };
        match status.code() {
            Some(0) => Ok(None),
            Some(TEMPORARY) => Err(OutletError::Unavailable(text())),
            _ => Err(OutletError::Unknown(text())),
        }
    }
}

/// Waits for a program's end, and keeps the beginning of what it says.
async fn end_of(child: &mut Child, said: &mut Vec<u8>) -> io::Result<ExitStatus> {
    let keeping = keep(child.stderr.take(), said);
    tokio::pin!(keeping);
    tokio::select! {
        biased;
        () = &mut keeping => child.wait().await,
        status = child.wait() => {
            // What it left running has its standard error, too, and may keep it for hours.
            drop(tokio::time::timeout(LAST_WORDS, keeping).await);
            status
        }
    }
}

/// Read to its end, so that no program waits for us.
async fn keep(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    if let Some(mut from) = from {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let room = KEPT.saturating_sub(kept.len());
            kept.extend(buffer.iter().take(read.min(room)));
        }
    }
}

/// A program with all that it started, ended when this is dropped: too late, or the bridge ends.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        Self(pid.and_then(Pid::from_raw))
    }

    /// It ended by itself: what it left running it meant to leave, and its number may be another's.
    fn let_go(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended in this moment: no error says more.
            kill_process_group(pid, Signal::KILL).unwrap_or_default();
        }
    }
}

impl Outlet for Command {
    fn name(&self) -> &str {
        &self.name
    }

    fn at_once(&self) -> usize {
        self.at_once
    }

    fn show<'a>(
        &'a self,
        notice: &'a Notice,
        _: Option<Handle>,
    ) -> BoxFuture<'a, Result<Option<Handle>, OutletError>> {
        Box::pin(self.run(notice))
    }

    fn withdraw<'a>(&'a self, _: &'a NoticeId, _: Option<Handle>) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests;
