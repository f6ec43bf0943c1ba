//! The controller's program, `agentnet`, as the bridge runs it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

/// Where it is, and which state directory it works on.
#[derive(Debug, Clone)]
pub(super) struct Controller {
    program: PathBuf,
    state_dir: PathBuf,
}

/// What a command came to.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: ExitStatus,
    /// Standard output, at most [`KEPT`] bytes.
    pub(super) answer: Vec<u8>,
    /// Standard error, as much.
    pub(super) complaint: Vec<u8>,
}

/// What is kept of each output, in bytes: an answer is shorter.
const KEPT: usize = 64 << 10;

/// Reads to the end, so that nobody waits for us, and keeps the beginning.
async fn kept(from: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut from) = from {
        let mut piece = vec![0; 4096];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            let room = KEPT.saturating_sub(kept.len());
            kept.extend(piece.iter().take(read.min(room)));
        }
    }
    kept
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

    /// Runs a command of it to its end; the beginning of what it says, whatever it says.
    pub(super) async fn said(&self, words: &[&str]) -> io::Result<Said> {
        let mut command = self.command(words);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (answer, complaint, status) = tokio::join!(kept(out), kept(err), child.wait());
        Ok(Said {
            status: status?,
            answer,
            complaint,
        })
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        self.program.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn of_what_a_program_says_the_beginning_is_kept_and_the_rest_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("agentnet");
        let script =
            "#!/bin/sh\nhead -c 20000000 /dev/zero\nhead -c 20000000 /dev/zero >&2\nexit 3\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let controller = Controller::find(Some(&program), "/state".as_ref());
        let said = controller.said(&["allow"]).await.unwrap();
        assert_eq!(said.status.code(), Some(3));
        assert_eq!((said.answer.len(), said.complaint.len()), (KEPT, KEPT));
    }
}
