//! The controller's program, `agentnet`, as the bridge runs it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

/// Where it is, and which state directory it works on.
#[derive(Debug, Clone)]
pub(super) struct Controller {
    program: PathBuf,
    state_dir: PathBuf,
}

impl Controller {
    /// The one that was named, the one beside us, or the one on PATH.
    pub(super) fn find(named: Option<&Path>, state_dir: &Path) -> Self {
        let beside = || {
            let own = std::env::current_exe().ok()?;
            let beside = own.parent()?.join("agentnet");
            beside.is_file().then_some(beside)
        };
        Self {
            program: named
                .map(Path::to_owned)
                .or_else(beside)
                .unwrap_or_else(|| "agentnet".into()),
            state_dir: state_dir.to_owned(),
        }
    }

    /// A command of it. It reads nothing of ours and nothing below the directory we were started in,
    /// and ends when we drop it.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("--state-dir")
            .arg(&self.state_dir)
            .args(words)
            .current_dir("/")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.program.display().to_string()
    }
}
