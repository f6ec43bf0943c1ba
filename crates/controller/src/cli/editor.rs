//! An editor on a task's files, on the person's command only.

use std::process::{Command, Stdio};

use super::context::Context;
use crate::error::{Error, Result};
use crate::workspace::Workspace;

/// The editors we know how to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Editor {
    /// Visual Studio Code
    Code,
    /// A JetBrains IDE
    Idea,
}

impl Editor {
    fn program(self) -> &'static str {
        match self {
            Editor::Code => "code",
            Editor::Idea => "idea",
        }
    }

    /// Starts it and does not wait for it. Never through a shell, and never from within the files:
    /// what the agent plants there is an argument, not a place to look for programs.
    pub(super) fn open(self, context: &Context, workspace: &Workspace) -> Result<()> {
        if workspace.is_in_volumes() {
            return Err(Error::Usage(format!(
                "the files are in {} of the engine, where {} does not get: agentnet shell and agentnet sync do",
                workspace.whereabouts(),
                self.program()
            )));
        }
        let files = workspace.files();
        let started = Command::new(self.program())
            .arg(files)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(_) => {
                context.output.warn(&format!(
                    "{} shows files that the agent writes: keep them untrusted there (restricted mode), or \
                     its tasks and settings run on this machine",
                    self.program()
                ));
                Ok(())
            }
            Err(e) => Err(Error::Failed(format!(
                "{} does not start: {e}; the files are in {}",
                self.program(),
                files.display()
            ))),
        }
    }
}
