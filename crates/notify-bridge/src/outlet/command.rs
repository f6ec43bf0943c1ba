//! A program of the user's, once a notice. No shell: what an agent wrote is one argument, whole, and
//! never an option (THREATS W126).

use std::path::PathBuf;
use std::process::Stdio;
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
        let said = child.stderr.take();
        let ended = tokio::time::timeout(self.timeout, async {
            tokio::join!(keep(said), child.wait())
        });
        let Ok((said, status)) = ended.await else {
            end_group(&child);
            let seconds = self.timeout.as_secs();
            let text = format!(
                "{} ran longer than {seconds} s and was ended",
                program.display()
            );
            return Err(OutletError::Unknown(text));
        };
        let status = status.map_err(|e| OutletError::Unknown(e.to_string()))?;
        let text = || {
            let said = text::line(&said, 200);
            format!("{}: {status}: {said}", program.display())
        };
        match status.code() {
            Some(0) => Ok(None),
            Some(TEMPORARY) => Err(OutletError::Unavailable(text())),
            _ => Err(OutletError::Unknown(text())),
        }
    }
}

/// The beginning of what a program says, read to its end so that it never waits for us.
async fn keep(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        let mut buffer = [0; 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            let room = KEPT.saturating_sub(kept.len());
            kept.extend(buffer.iter().take(read.min(room)));
        }
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn end_group(child: &Child) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(pid) = pid.and_then(Pid::from_raw) {
        // It may have ended in this moment: no error says more.
        kill_process_group(pid, Signal::KILL).unwrap_or_default();
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
mod tests {
    use super::*;
    use crate::config::{Config, OutletKind};
    use crate::notice::{NoticeKind, TaskName};
    use std::fs;
    use std::path::Path;

    fn notice(body: &str) -> Notice {
        let task = TaskName::new("shop", "fix-42").unwrap();
        Notice::new(NoticeId("a".into()), task, NoticeKind::Complete, body)
    }

    fn read(toml: &str) -> Result<CommandConfig, String> {
        let text = format!("[[outlet]]\ntype = \"command\"\n{toml}");
        let config = Config::parse(&text, Path::new("notify.toml")).map_err(|e| e.to_string())?;
        let OutletKind::Command(command) = config.outlets[0].kind.clone() else {
            panic!("a command");
        };
        Ok(command)
    }

    fn command(toml: &str) -> Command {
        Command::new("command".into(), &read(toml).unwrap())
    }

    /// The example of `docs/notifications.md`.
    fn macos() -> Command {
        let document = include_str!("../../../../docs/notifications.md");
        let (_, from) = document.split_once("<!-- macos -->\n```toml\n").unwrap();
        let (example, _) = from.split_once("```").unwrap();
        let toml = example
            .replace("[[outlet]]", "")
            .replace("type = \"command\"", "");
        command(&toml)
    }

    #[test]
    fn w126_on_macos_the_text_is_an_argument_and_never_script() {
        let hostile = "\" & (do shell script \"id\") & \"";
        let arguments = macos().arguments(&notice(hostile));
        assert_eq!(
            arguments,
            [
                "/usr/bin/osascript",
                "-e",
                "on run argv",
                "-e",
                "display notification (item 2 of argv) with title (item 1 of argv)",
                "-e",
                "end run",
                "fix-42: done",
                hostile,
            ]
        );
    }

    #[test]
    fn w126_no_text_becomes_an_option() {
        let run = "run = [\"notify-send\", \"--\", \"{title}\", \"{text}\", \"{task}\"]";
        let arguments = command(run).arguments(&notice("-u critical"));
        assert_eq!(
            arguments[1..],
            ["--", "fix-42: done", " -u critical", "fix-42"]
        );
        let arguments = macos().arguments(&notice("--help"));
        assert_eq!(arguments.last().unwrap(), " --help");
    }

    #[test]
    fn a_field_inside_a_larger_argument_is_refused() {
        let error = read("run = [\"sh\", \"-c\", \"echo {text}\"]").unwrap_err();
        assert!(error.contains("argument of its own"), "{error}");
        for bad in [
            "run = []",
            "run = [\"{title}\"]",
            "run = [\"a\"]\ntimeout = 0",
            "run = [\"a\"]\nat_once = 99",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test]
    async fn it_is_run_without_a_shell_and_its_failure_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let seen = dir.path().join("seen");
        let run = format!(
            "run = [\"/bin/sh\", \"-c\", 'printf \"%s|\" \"$@\" > {}', \"x\", \"{{title}}\", \"{{text}}\"]",
            seen.display()
        );
        let outlet = command(&run);
        outlet
            .show(&notice("$(id); `id`\n\"'"), None)
            .await
            .unwrap();
        assert_eq!(
            fs::read_to_string(seen).unwrap(),
            "fix-42: done|$(id); `id`\n\"'|"
        );

        let failed = command("run = [\"/bin/sh\", \"-c\", \"echo why >&2; exit 3\"]");
        let error = failed.show(&notice("x"), None).await.unwrap_err();
        assert!(
            matches!(&error, OutletError::Unknown(text) if text.contains("why")),
            "{error}"
        );
        let later = command("run = [\"/bin/sh\", \"-c\", \"exit 75\"]");
        let error = later.show(&notice("x"), None).await.unwrap_err();
        assert!(matches!(error, OutletError::Unavailable(_)), "{error}");
        let missing = command("run = [\"/nonexistent/program\"]");
        let error = missing.show(&notice("x"), None).await.unwrap_err();
        assert!(matches!(error, OutletError::Unavailable(_)), "{error}");
    }

    #[tokio::test]
    async fn one_that_does_not_end_is_ended_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let run = format!(
            "run = [\"/bin/sh\", \"-c\", 'sleep 600 & echo $! > {}; wait']\ntimeout = 1",
            pid.display()
        );
        let error = command(&run).show(&notice("x"), None).await.unwrap_err();
        assert!(error.to_string().contains("longer than 1 s"), "{error}");
        let pid = fs::read_to_string(pid).unwrap();
        let stat = format!("/proc/{}/stat", pid.trim());
        // The kernel takes a moment; a zombie is ended, too.
        for _ in 0..500 {
            let text = fs::read_to_string(&stat).unwrap_or_default();
            if text.is_empty() || text.contains(") Z ") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it still runs");
    }
}
